/** The rounds in one process: warm verification of all subjects in turn, then tokens nobody has seen. */
import {
  awsJwtVerify,
  type Countersign,
  countersign,
  fastJwt,
  jose,
  jsonWebToken,
  type Subject,
} from './verify-subjects.ts';
import type { TokenSigner } from './verify-tokens.ts';
import { Tokens } from './verify-tokens.ts';

const ROUNDS = 15;
/** Rounds before the measured ones, so that code is compiled. */
const WARM_UP_ROUNDS = 2;
/** Verifications of one round; a millisecond and more between two readings of the clock. */
const CALLS = 30_000;
const CALLS_OF_THE_SLOW = 1_000;
const BATCH = 1_000;

/** Requests that arrive together. */
const TOGETHER = 64;
const COLD_ROUNDS = 9;
const COLD_BATCHES = 24;

/** One subject's rounds, in verifications per second. */
export interface Speed {
  readonly name: string;
  readonly perSecond: number[];
}

/** Processor time per token in each round, over all threads. */
export interface ColdCosts {
  readonly countersignMicroseconds: number[];
  readonly joseMicroseconds: number[];
}

/**
 * Each round presents tokens in an order of chance, as requests do, each as a string that nobody has seen. They are made before the
 * clock starts, and the event loop turns between batches, so that the verifier's stream is heard.
 */
export async function measureWarm(signer: TokenSigner, count: number): Promise<Speed[]> {
  const tokens = new Tokens(signer, count);
  const [ours, cached] = [await countersign(signer), fastJwt(signer, count)];
  const others = [await jose(signer, 1), await jose(signer, TOGETHER), jsonWebToken(signer), awsJwtVerify(signer)];
  await remember(tokens, ours, cached);
  const hitsBefore = ours.hits();
  let asked = 0;
  const speeds: (Speed & { subject: Subject })[] = [ours, cached, fastJwt(signer), ...others].map((subject) => ({
    ...{ subject, name: subject.name, perSecond: [] },
  }));
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const { subject, perSecond } of round % 2 === 0 ? speeds : speeds.toReversed()) {
      const calls = subject.isSlow ? CALLS_OF_THE_SLOW : CALLS;
      let elapsedMs = 0;
      for (let done = 0; done < calls; done += BATCH) {
        const batch = Array.from({ length: BATCH }, () => tokens.fresh(Math.floor(Math.random() * count)));
        const startedMs = performance.now();
        await subject.verifyAll(batch);
        elapsedMs += performance.now() - startedMs;
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (subject === ours) asked += calls;
      if (round >= WARM_UP_ROUNDS) perSecond.push((calls * 1_000) / elapsedMs);
    }
  }
  if (ours.hits() - hitsBefore !== asked) throw new Error('Not every verification was answered from memory.');
  await ours.close();
  return speeds.map(({ name, perSecond }) => ({ name, perSecond }));
}

async function remember(tokens: Tokens, ours: Countersign, cached: Subject): Promise<void> {
  for (let from = 0; from < tokens.count; from += TOGETHER) {
    const batch = () => freshFrom(tokens, from, Math.min(TOGETHER, tokens.count - from));
    await ours.verifyTogether(batch());
    await cached.verifyAll(batch());
  }
  if (ours.entries() !== tokens.count) throw new Error(`Only ${ours.entries()} of ${tokens.count} are remembered.`);
}

/** Tokens never seen, 64 at once: signature, check of the record and all, beside a signature and nothing else. */
export async function measureCold(signer: TokenSigner): Promise<ColdCosts> {
  const costs: ColdCosts = { countersignMicroseconds: [], joseMicroseconds: [] };
  const [ours, peer] = [await countersign(signer), await jose(signer, TOGETHER)];
  for (let round = 0; round < WARM_UP_ROUNDS + COLD_ROUNDS; round++) {
    const tokens = new Tokens(signer, COLD_BATCHES * TOGETHER);
    const [our, theirs] = [
      await processorTime(tokens, (batch) => ours.verifyTogether(batch)),
      await processorTime(tokens, (batch) => peer.verifyAll(batch)),
    ];
    if (round < WARM_UP_ROUNDS) continue;
    costs.countersignMicroseconds.push(our);
    costs.joseMicroseconds.push(theirs);
  }
  if (ours.hits() > 0) throw new Error('A token was known that should have been new.');
  await ours.close();
  return costs;
}

/** Microseconds per token, over all threads: jose and others use more than one. */
async function processorTime(tokens: Tokens, verify: (batch: readonly string[]) => Promise<void>): Promise<number> {
  let spent = 0;
  for (let from = 0; from < tokens.count; from += TOGETHER) {
    const batch = freshFrom(tokens, from, TOGETHER);
    const before = process.cpuUsage();
    await verify(batch);
    const { user, system } = process.cpuUsage(before);
    spent += user + system;
  }
  return spent / tokens.count;
}

function freshFrom(tokens: Tokens, from: number, length: number): string[] {
  return Array.from({ length }, (_, index) => tokens.fresh(from + index));
}
