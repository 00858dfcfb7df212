/** Longest wait for what comes over a loopback socket, on a machine that does much else. */
const WITHIN_MS = 15_000;
const PAUSE_MS = 5;

/** Waits until something is so: for what happens in another process or beside a socket, where no event can be awaited. */
export async function eventually(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + WITHIN_MS;
  while (!(await isSo())) {
    if (performance.now() > untilMs) throw new Error(`It did not come to be so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
