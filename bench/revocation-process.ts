/**
 * Resource servers of the revocation bench: many coherent verifiers in one process, each with a stream of its own. They verify one
 * token again and again, as requests would, and note when they refused it first.
 */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createVerifier, type Verifier } from '../packages/verifier/src/index.ts';
import { answerCalls } from './child.ts';

/** Between two looks of each verifier: what is measured is no finer. */
const LOOK_EVERY_MS = 5;
/** Verifiers that start together: each opens three connections, and handshakes are not what is measured. */
const START_TOGETHER = 5;
/** Of one call, for the same reason: on two cores everything here waits for everything else. */
const TIMEOUT_MS = 10_000;

export interface Fleet {
  readonly issuer: string;
  readonly audience: string;
  readonly credentials: { readonly clientId: string; readonly clientSecret: string };
  readonly caCertificate: string;
  readonly verifiers: number;
}

export interface Learnt {
  /** Verifiers that accept the token and hold a lease. */
  readonly verifiers: number;
}

/** When a verifier accepted last and refused first, by the clock of `nowMs`; `code` says why. */
export interface Refused {
  readonly acceptedAtMs: number;
  readonly atMs: number;
  readonly code: string;
}

/** A clock that all processes of one machine share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1_000_000;
}

const verifiers: Verifier[] = [];
let watching: Promise<Refused[]> = Promise.resolve([]);

async function openVerifiers({ caCertificate, verifiers: count, ...options }: Fleet): Promise<void> {
  setDefaultCACertificates([...getCACertificates('default'), caCertificate]);
  while (verifiers.length < count) {
    const some = Array.from({ length: Math.min(START_TOGETHER, count - verifiers.length) }, () =>
      createVerifier({ ...options, timeoutMs: TIMEOUT_MS }),
    );
    await Promise.all(some.map((verifier) => verifier.ready()));
    verifiers.push(...some);
  }
}

async function learn(token: string): Promise<Learnt> {
  const results = await Promise.all(verifiers.map((verifier) => verifier.verify(token)));
  const isGood = (verifier: Verifier, index: number) =>
    results[index]?.kind === 'accepted' && verifier.status().stalenessMs !== undefined;
  return { verifiers: verifiers.filter(isGood).length };
}

async function untilRefused(verifier: Verifier, token: string): Promise<Refused> {
  for (let acceptedAtMs = nowMs(); ; ) {
    const result = await verifier.verify(token);
    if (result.kind !== 'accepted') return { acceptedAtMs, atMs: nowMs(), code: result.code };
    acceptedAtMs = nowMs();
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

if (import.meta.main) {
  answerCalls(
    {
      openVerifiers,
      learn,
      watch(token) {
        watching = Promise.all(verifiers.map((verifier) => untilRefused(verifier, token)));
      },
      refusals: () => watching,
    },
    async () => void (await Promise.all(verifiers.map((verifier) => verifier.close()))),
  );
}
