/**
 * A process that verifies 100,000 tokens and remembers as many of them as its argument says, then tells what it holds, garbage
 * collected. Two of them that differ in nothing else say what a remembered token costs, and nothing of the engine's own.
 */
import { countersign } from './verify-subjects.ts';
import { newTokenSigner, Tokens } from './verify-tokens.ts';

/** What the process prints, as JSON. */
export interface HeldMemory {
  readonly entries: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

const TOKENS = 100_000;
const TOGETHER = 64;

const signer = newTokenSigner();
const subject = await countersign(signer, { maxEntries: Number(process.argv[2]) });
for (let from = 0; from < TOKENS; from += TOGETHER) {
  // A few at a time: made all at once, tokens would leave more room behind than what is measured takes.
  const tokens = new Tokens(signer, Math.min(TOGETHER, TOKENS - from));
  await subject.verifyTogether(Array.from({ length: tokens.count }, (_, index) => tokens.fresh(index)));
}
// More than once: what finalizers let go of falls to the next collection.
for (let turn = 0; turn < 4; turn++) {
  globalThis.gc?.();
  await new Promise((resolve) => setImmediate(resolve));
}
const { rss: residentBytes, heapUsed: heapBytes } = process.memoryUsage();
const held: HeldMemory = { entries: subject.entries(), residentBytes, heapBytes };
process.stdout.write(JSON.stringify(held));
await subject.close();
