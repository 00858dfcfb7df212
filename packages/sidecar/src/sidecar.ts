/**
 * The sidecar: the verifier as a local process, for programs in other languages. A reverse proxy asks it about each request, over
 * plain http on loopback or a unix socket.
 *
 *   settings → verifier (keys read: a wrong setting stops the start) → listener → ready
 *   stop: not ready any more → listener closes, answers under way are finished → verifier closes
 *
 * An authority that is away at the start stops nothing: machines come up in any order. Until it answers, every question is 503.
 *
 * Owns who may ask, the probes and the life of the process. Leaves the answer to `answer.ts`, the token to the verifier, what the log
 * says of outages to `outages.ts`, words and files to `options.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AuthorityError, createVerifier, type Verifier } from '@countersign/verifier';
import { type Answer, answer, isQuestion, refuseQuestion, unavailable } from './answer.ts';
import { type Listener, listen } from './listener.ts';
import { Pace, type SidecarLog } from './log.ts';
import type { SidecarSettings } from './options.ts';
import { OUTAGE_LINE_EVERY_MS, Outages } from './outages.ts';
import { rangesOf } from './peers.ts';
import { SidecarRefused } from './refusal.ts';
import type { Question } from './request-in-question.ts';

export interface Sidecar {
  /** Where it listens. */
  address: string;
  /** Resolves when no socket is left and evidence under way has been handed over. */
  stop(): Promise<void>;
}

const monotonicMs = (): number => performance.now();

/** Answers under way are waited for so long; the longest takes what one call to the authority may, twice. */
const STOP_WITHIN_MS = 5_000;

/** @throws SidecarRefused where settings, address or the authority's word forbid the start */
export async function startSidecar(settings: SidecarSettings, log: SidecarLog): Promise<Sidecar> {
  for (const warning of settings.warnings) log.warn(warning);
  const verifier = verifierOf(settings);
  try {
    const readiness = new Readiness(verifier, log);
    await readiness.begin();
    const listener = await listen(settings.listen, handlerOf({ settings, verifier, readiness, log }));
    log.info('ready', { address: listener.address, issuer: settings.verifier.issuer, audience: verifier.audience });
    return { address: listener.address, stop: () => stop({ listener, readiness, verifier }) };
  } catch (error) {
    await verifier.close();
    throw error;
  }
}

async function stop(running: { listener: Listener; readiness: Readiness; verifier: Verifier }): Promise<void> {
  running.readiness.end();
  await running.listener.close(STOP_WITHIN_MS);
  await running.verifier.close();
}

function verifierOf(settings: SidecarSettings): Verifier {
  try {
    return createVerifier(settings.verifier);
  } catch (error) {
    if (error instanceof TypeError) throw new SidecarRefused('bad_settings', error.message, { cause: error });
    throw error;
  }
}

/** Whether the verifier has what it needs. Once it has, an outage does not unmake it: what is known stays good for its bound. */
class Readiness {
  readonly #verifier: Verifier;
  readonly #log: SidecarLog;
  #state: 'waiting' | 'ready' | 'stopping' = 'waiting';

  constructor(verifier: Verifier, log: SidecarLog) {
    this.#verifier = verifier;
    this.#log = log;
  }

  /** @throws SidecarRefused where the authority answered, and no time will mend what it said */
  async begin(): Promise<void> {
    try {
      await this.#verifier.ready();
      this.#state = 'ready';
    } catch (error) {
      if (!(error instanceof AuthorityError)) throw error;
      if (error.code !== 'authority_unreachable') {
        throw new SidecarRefused('authority_refused', `${error.message} (${error.code})`, { cause: error });
      }
      this.#log.warn('the authority does not answer; until it does, nothing passes', { code: error.code });
    }
  }

  async isReady(): Promise<boolean> {
    if (this.#state !== 'waiting') return this.#state === 'ready';
    try {
      await this.#verifier.ready();
    } catch (error) {
      if (error instanceof AuthorityError) return false;
      throw error;
    }
    if (this.#state === 'waiting') this.#state = 'ready';
    return this.#state === 'ready';
  }

  end(): void {
    this.#state = 'stopping';
  }
}

function handlerOf(given: { settings: SidecarSettings; verifier: Verifier; readiness: Readiness; log: SidecarLog }) {
  const { settings, verifier, readiness, log } = given;
  const { listen: at, scopes, trustedProxies } = settings;
  const isTrusted = rangesOf(trustedProxies);
  const outages = new Outages({ log, verifier, monotonicMs });
  const onResult = outages.heard.bind(outages);
  // A bug that one request meets, another meets, too.
  const bugLines = new Pace({ everyMs: OUTAGE_LINE_EVERY_MS, monotonicMs });
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url: target = '' } = request;
    try {
      if (isQuestion(target)) {
        // Who can open a unix socket is what its permissions say.
        const mayAsk = at.kind === 'unix' || isTrusted(request.socket.remoteAddress);
        const question: Question = { method, target, lines: (name) => request.headersDistinct[name] ?? [] };
        const given = mayAsk
          ? await answer(question, { verifier, scopes, onResult })
          : refuseQuestion('not_a_proxy', 'Only a trusted proxy may ask who a token is.');
        return send(response, given);
      }
      // Without a body and never 200: a proxy that is set up to ask for the original path must not take a probe's answer for its own.
      if (target === '/healthz') return sendEmpty(response, 204);
      if (target === '/readyz') return sendEmpty(response, (await readiness.isReady()) ? 204 : 503);
      sendEmpty(response, 404);
    } catch (error) {
      if (bugLines.isDue()) {
        const name = error instanceof Error ? error.name : 'none';
        log.warn('a question could not be answered, which is a bug', { error: name });
      }
      send(response, unavailable());
    }
  };
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function sendEmpty(response: ServerResponse, status: 204 | 404 | 503): void {
  response.writeHead(status, { 'Cache-Control': 'no-store', 'Content-Length': 0 });
  response.end();
}
