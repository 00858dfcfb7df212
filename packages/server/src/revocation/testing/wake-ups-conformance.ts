/** What holds for wake-ups whatever carries them. Each implementation runs it; the second half only those that reach other nodes. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { WakeUps } from '../wake-ups.ts';

/** Far more than it takes: a machine may be busy. */
const PATIENCE_MS = 15_000;

export interface WakeUpsUnderTest {
  name: string;
  /** Another node of the authority, and what it wrote to its log, level and all. */
  node(): { wakeUps: WakeUps; logLines: readonly string[] };
}

export interface BusUnderTest extends WakeUpsUnderTest {
  /** A node of another authority that shares the server. */
  stranger(): { wakeUps: WakeUps };
  /** Ends every connection, without a word. */
  cut(): void;
  /** Nothing gets through from now on, and nothing new connects. */
  block(): Promise<void>;
  unblock(): Promise<void>;
  /** What no log line may hold. */
  secrets: readonly string[];
}

export function wakeUpsConformance({ name, node }: WakeUpsUnderTest): void {
  test(`${name}: a node wakes itself at once, all its listeners, each time`, async (t) => {
    const { wakeUps } = opened(t, node());
    const calls: string[] = [];
    wakeUps.onWake(() => calls.push('a'));
    wakeUps.onWake(() => calls.push('b'));
    wakeUps.wake();
    wakeUps.wake();
    assert.deepEqual(calls, ['a', 'b', 'a', 'b']);
  });

  test(`${name}: closed, it wakes nobody, and hurts nobody`, async (t) => {
    const { wakeUps } = opened(t, node());
    let calls = 0;
    wakeUps.onWake(() => calls++);
    await wakeUps.close();
    wakeUps.wake();
    await wakeUps.close();
    assert.equal(calls, 0);
  });
}

export function busConformance(bus: BusUnderTest): void {
  const { name } = bus;
  wakeUpsConformance(bus);

  test(`${name}: a node wakes all others, and hears itself once only`, async (t) => {
    const [one, two, three] = [await connected(t, bus), await connected(t, bus), await connected(t, bus)];
    const before = [one.calls(), two.calls(), three.calls()];
    one.wakeUps.wake();
    await until(() => two.calls() > (before[1] ?? 0) && three.calls() > (before[2] ?? 0));
    assert.equal(one.calls(), (before[0] ?? 0) + 1);
  });

  test(`${name}: wake-ups that come together are few on the way, and after the last one everybody is woken`, async (t) => {
    const [one, two] = [await connected(t, bus), await connected(t, bus)];
    const before = two.calls();
    for (let call = 0; call < 10_000; call++) one.wakeUps.wake();
    await until(() => two.calls() > before);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(two.calls() - before <= 3, `${two.calls() - before} for ten thousand`);
    const last = two.calls();
    one.wakeUps.wake();
    await until(() => two.calls() > last);
  });

  test(`${name}: another authority at the same server is not woken`, async (t) => {
    const [one, two] = [await connected(t, bus), await connected(t, bus)];
    const stranger = watched(opened(t, bus.stranger()));
    await until(() => stranger.calls() > 0);
    const [before, others] = [two.calls(), stranger.calls()];
    one.wakeUps.wake();
    await until(() => two.calls() > before);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(stranger.calls(), others);
  });

  test(`${name}: a connection that is lost comes back by itself, wakes its node, and carries on`, async (t) => {
    const [one, two] = [await connected(t, bus), await connected(t, bus)];
    const before = [one.calls(), two.calls()];
    bus.cut();
    await until(() => one.calls() > (before[0] ?? 0) && two.calls() > (before[1] ?? 0));
    const [, others] = [one.calls(), two.calls()];
    one.wakeUps.wake();
    await until(() => two.calls() > others);
    for (const { logLines } of [one, two]) {
      assert.equal(logLines.length, 2);
      assert.match(logLines[0] ?? '', /warn.*cannot wake this one/);
      assert.match(logLines[1] ?? '', /info.*again/);
    }
  });

  test(`${name}: without a server nothing waits, its own are woken, and once it is there all is as ever`, async (t) => {
    const [two] = [await connected(t, bus)];
    await bus.block();
    try {
      const one = watched(opened(t, bus.node()));
      const lost = two.calls();
      for (let call = 0; call < 5; call++) one.wakeUps.wake();
      assert.equal(one.calls(), 5);
      await until(() => one.logLines.length > 0 && two.logLines.length > 0);
      assert.equal(two.calls(), lost);
      await bus.unblock();
      await until(() => one.calls() > 5 && two.calls() > lost);
      const others = two.calls();
      one.wakeUps.wake();
      await until(() => two.calls() > others);
      for (const secret of bus.secrets) {
        for (const line of [...one.logLines, ...two.logLines]) assert.ok(!line.includes(secret), line);
      }
    } finally {
      await bus.unblock();
    }
  });

  test(`${name}: closed while there is no server, it is closed at once and does not come back`, async (t) => {
    await bus.block();
    const one = watched(opened(t, bus.node()));
    try {
      await until(() => one.logLines.length > 0);
      const startedMs = performance.now();
      await one.wakeUps.close();
      assert.ok(performance.now() - startedMs < 1_000);
    } finally {
      await bus.unblock();
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual([one.calls(), one.logLines.length], [0, 1]);
  });
}

function opened<Node extends { wakeUps: WakeUps }>(t: TestContext, node: Node): Node {
  t.after(() => node.wakeUps.close());
  return node;
}

function watched<Node extends { wakeUps: WakeUps }>(node: Node): Node & { calls(): number } {
  let calls = 0;
  node.wakeUps.onWake(() => calls++);
  return { ...node, calls: () => calls };
}

/** A node that is connected: then it wakes its own for the first time. */
async function connected(t: TestContext, bus: BusUnderTest) {
  const node = watched(opened(t, bus.node()));
  await until(() => node.calls() > 0);
  return node;
}

async function until(isSo: () => boolean): Promise<void> {
  const endsMs = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    if (performance.now() > endsMs) throw new Error(`It did not come within ${PATIENCE_MS} ms: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
