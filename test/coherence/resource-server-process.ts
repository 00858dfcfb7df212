/**
 * A resource server in a process of its own: one coherent verifier, asked over the channel that `fork` gives. Its argument is the
 * verifier's options as JSON. See resource-server.ts for what can be asked.
 */
import { createVerifier } from '@countersign/verifier';
import type { Asked, Calls, Sighting } from './resource-server.ts';

/** Between two verifications of a watch: short beside every bound, long beside what a processor can bear. */
const WATCH_PAUSE_MS = 20;

const verifier = createVerifier(JSON.parse(process.argv[2] ?? '{}'));

const calls: Calls = {
  ready: () => verifier.ready(),
  status: async () => verifier.status(),
  async verify(token) {
    const result = await verifier.verify(token);
    return { outcome: result.kind === 'accepted' ? 'accepted' : result.code, atMs: nowMs() };
  },
  verifyAll: (tokens) => Promise.all(tokens.map((token) => calls.verify(token))),
  async watch(token, forMs) {
    const sightings: Sighting[] = [];
    for (const untilMs = nowMs() + forMs; nowMs() < untilMs; ) {
      const seen = await calls.verify(token);
      const last = sightings.at(-1);
      if (last?.outcome === seen.outcome) last.untilMs = seen.atMs;
      else sightings.push({ outcome: seen.outcome, fromMs: seen.atMs, untilMs: seen.atMs });
      await new Promise((resolve) => setTimeout(resolve, WATCH_PAUSE_MS));
    }
    return sightings;
  },
};

/** A clock that whoever steers this process's wall clock does not reach. The same for all processes of a machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

process.on('message', async (message) => {
  const { id, name, given } = message as Asked; // the only sender is resource-server.ts
  try {
    const call = calls[name] as (...given: unknown[]) => Promise<unknown>; // as it was typed where it was asked
    process.send?.({ id, value: await call(...given) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
process.on('disconnect', () => process.exit());
