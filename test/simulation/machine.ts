/**
 * A resource server's machine: the real `Coherence` and the real `Records`, driven as verifier.ts drives them; its stream is in
 * subscription.ts. Each answer of a core is shown to the oracle.
 */
import type { Coherence } from '../../packages/verifier/src/coherence/coherence.ts';
import type { KnownToken } from '../../packages/verifier/src/known-token.ts';
import type { Asked, Recorded, Records } from '../../packages/verifier/src/records.ts';
import { Clocks, MAX_DRIFT } from './clocks.ts';
import { Link } from './link.ts';
import { expiresAtSeconds, type Reply } from './node.ts';
import { Breach, Witness } from './oracle.ts';
import type { Truth } from './store.ts';
import { type MachineWorld, Subscription } from './subscription.ts';

/** As `DEFAULT_TIMEOUT_MS` of the verifier. */
const CHECK_TIMEOUT_MS = 2_000;
/** A check answered within this was answered in time. */
const PROMPT_MS = 1_000;
/** As Records has it: overtaken as often, a token may be left undecided. */
const MAX_ATTEMPTS = 3;
/** A token that ends so soon may end under way. */
const EXPIRY_MARGIN_MS = 2 * CHECK_TIMEOUT_MS;
/** Nonces that are under way on one stream at most, and one more that is just being sent. */
const MAX_PENDING = 17;
/** A request under way. */
interface Waiting {
  token: Truth;
  startedMs: number;
}

type RecordsParts = ConstructorParameters<typeof Records>[0];
type Check = Awaited<ReturnType<RecordsParts['authority']['check']>>;

export class Machine {
  readonly name: string;
  readonly audience: string;
  readonly #clocks: Clocks;
  readonly #link: Link;
  readonly #clientId: string;
  readonly #world: MachineWorld;
  readonly #core: Coherence<KnownToken>;
  readonly #records: Records;
  readonly #witness: Witness;
  readonly #subscription: Subscription;
  #checksLostUntilMs = 0;

  constructor(given: { name: string; audience: string; world: MachineWorld }) {
    const { name, audience, world } = given;
    const { agenda, chance, cores, machines: conditions } = world;
    this.name = name;
    this.audience = audience;
    this.#clientId = `rs-${name}`;
    this.#world = world;
    this.#clocks = new Clocks({
      wallRate: 1 + chance.between(-MAX_DRIFT, MAX_DRIFT),
      monotonicRate: 1 + chance.between(-MAX_DRIFT, MAX_DRIFT),
      offsetMs: 0,
    });
    const clocks = this.#clocks;
    this.#link = new Link({ name, agenda, chance, clocks, conditions });
    const { maxStalenessMs, maxEntries } = conditions;
    this.#core = new cores.Coherence({
      settings: { maxStalenessMs, maxEntries },
      newNonce: () => Math.floor(chance.next() * 2 ** 32).toString(36),
      random: () => chance.next(),
    });
    this.#witness = new Witness({ name, clientId: this.#clientId, clocks, maxStalenessMs });
    this.#subscription = new Subscription({
      ...{
        name,
        audience,
        world,
        clientId: this.#clientId,
        core: this.#core,
        link: this.#link,
        witness: this.#witness,
      },
      now: () => this.#now(),
      // Between two messages of one burst a request may be served.
      heard: () => {
        const token = chance.pickLate(world.tokens());
        if (token?.audience === audience) this.probe(token);
      },
    });
    this.#records = new cores.Records({
      // Only what Records asks of its neighbours; they are classes, with a network of their own.
      authority: { check: ({ jti }) => this.#check(jti) } as RecordsParts['authority'],
      stream: { perform: (actions) => this.#subscription.perform(actions) } as RecordsParts['stream'],
      core: this.#core,
      tokens: new cores.KnownTokens(),
      now: () => this.#now(),
    });
  }

  start(): void {
    this.#subscription.perform(this.#core.start(this.#now()));
  }

  /** The program ends, and with it all that was remembered. */
  stop(): void {
    this.#subscription.perform(this.#core.stop());
  }

  isLeased(): boolean {
    return this.#core.isLeased(this.#now());
  }

  // What befalls it

  suspend(durationMs: number): void {
    this.#link.suspend(durationMs);
  }

  setWall(byMs: number): void {
    this.#link.troubled();
    this.#clocks.setWall(this.#world.agenda.nowMs, byMs);
  }

  /** Puts the wall clock right. */
  mend(): void {
    this.setWall(this.#clocks.wrongMs(this.#world.agenda.nowMs));
  }

  /** No packet in or out. The stream is reset, or waits, or is dead without either side knowing. */
  cut(durationMs: number, how: 'reset' | 'wait' | 'dead'): void {
    this.#link.cut(durationMs);
    if (how !== 'wait') this.#subscription.fail(how === 'reset');
  }

  /** No check is answered until then; the stream goes on. */
  loseChecks(durationMs: number): void {
    this.#checksLostUntilMs = this.#world.agenda.nowMs + durationMs;
    this.#link.troubled(this.#checksLostUntilMs);
  }

  /** A proxy between holds the stream back, and nothing else. */
  hold(durationMs: number): void {
    this.#subscription.hold(this.#world.agenda.nowMs + durationMs);
  }

  // Requests

  /** One request with this token, as verifier.ts answers it. */
  request(token: Truth, mode: 'coherent' | 'strict'): void {
    if (!this.#link.isAwake || (mode === 'coherent' && this.probe(token))) return;
    const waiting = { token, startedMs: this.#world.agenda.nowMs };
    const recalled = mode === 'coherent' ? this.#core.recall(token.key, this.#now()) : undefined;
    // What an older copy did not know is remembered for a moment after it is gone.
    if (recalled?.kind === 'dead' && this.#world.hadOlderCopy()) this.#world.counts.refused++;
    else if (recalled?.kind === 'dead') this.#denied(waiting, `remembered as ${recalled.verdict}`);
    else if (this.#core.hasGoneBack) this.#undecided(waiting, 'authority_epoch_went_back');
    else this.#ask(waiting, mode);
  }

  #ask(waiting: Waiting, mode: 'coherent' | 'strict'): void {
    const { token } = waiting;
    const asked = { key: token.key, token: token.text, claims: claimsOf(token) };
    this.#world.unsettle();
    const recorded = mode === 'strict' ? this.#records.ask(asked) : this.#records.askTogether(asked);
    void recorded
      .then(
        (record) => this.#settled(waiting, record),
        (error: unknown) => {
          if (!(error instanceof this.#world.cores.AuthorityError)) throw error;
          this.#undecided(waiting, error.code);
        },
      )
      .catch((error: unknown) => this.#world.failed(error));
  }

  /** Looks whether the token is a hit, which must be right at every moment. */
  probe(token: Truth): boolean {
    if (!this.#link.isAwake) return false;
    const known = this.#core.hit(token.key, this.#now());
    if (!known) return false;
    this.#world.counts.hits++;
    this.#accepted(token, known, 'remembered');
    return true;
  }

  checkBounds(): void {
    const { entries } = this.#core.status(this.#now());
    const { maxEntries } = this.#world.machines;
    if (entries > maxEntries) throw new Breach('bounds', `${this.name} remembers ${entries} of ${maxEntries} tokens`);
    const { pending } = this.#subscription;
    if (pending > MAX_PENDING) throw new Breach('bounds', `${this.name} has ${pending} nonces under way`);
  }

  #settled(waiting: Waiting, record: Recorded): void {
    if (record.kind === 'live') this.#accepted(waiting.token, record.known, 'by a check');
    else this.#denied(waiting, record.kind);
  }

  #accepted(token: Truth, { accepted }: KnownToken, how: string): void {
    const { jti } = accepted.claims;
    if (jti !== token.jti) throw new Breach('dead is final', `${this.name} took ${jti} for ${token.jti}`);
    this.#world.counts.accepted++;
    this.#witness.accepted(token, this.#world.agenda.nowMs, how);
  }

  #denied(waiting: Waiting, verdict: string): void {
    this.#world.counts.refused++;
    this.#mustNotLive(waiting, verdict);
  }

  #undecided(waiting: Waiting, code: string): void {
    this.#world.counts.undecided++;
    this.#mustNotLive(waiting, code);
  }

  /** A token that lives is refused only where something kept the answer away. */
  #mustNotLive({ token, startedMs }: Waiting, why: string): void {
    const { agenda, storeTroubleMs } = this.#world;
    const isAlive = token.deadAtMs > agenda.nowMs && token.expiresAtMs > agenda.nowMs + EXPIRY_MARGIN_MS;
    // The check that it joined may have begun as long before, been overtaken then, or been asked of another copy of the store.
    const joinedMs = startedMs - MAX_ATTEMPTS * CHECK_TIMEOUT_MS;
    const sinceMs = why === 'check_contended' || why === 'authority_unreachable' ? joinedMs : startedMs;
    const wasHindered = this.#link.troubleMs >= sinceMs || storeTroubleMs() >= joinedMs || this.#core.hasGoneBack;
    const wasOvertaken = this.#subscription.timesNamed(token, sinceMs) >= MAX_ATTEMPTS;
    if (!isAlive || wasHindered || wasOvertaken) return;
    throw new Breach('liveness', `${this.name} refuses ${token.jti} (${why}) at ${agenda.nowMs.toFixed(1)}`);
  }

  #check(jti: string): Promise<Check> {
    const token = this.#world.tokenOf(jti);
    const { promise, resolve, reject } = Promise.withResolvers<Check>();
    const sentMs = this.#world.agenda.nowMs;
    let isOver = false;
    const areLost = this.#checksLostUntilMs > sentMs;
    this.#link.out(`a check of ${jti}`, () => {
      if (areLost) return;
      this.#subscription.someNode()?.check(token, this.#clientId, (reply) =>
        this.#link.back(`of ${jti}: ${reply.verdict}`, () => {
          if (isOver) return;
          isOver = true;
          if (this.#world.agenda.nowMs - sentMs > PROMPT_MS) this.#link.troubled();
          this.#heardAnswer(token, reply);
          resolve(checkOf(reply));
        }),
      );
    });
    this.#link.local(CHECK_TIMEOUT_MS, `gives up a check of ${jti}`, () => {
      if (isOver) return;
      isOver = true;
      this.#link.troubled();
      this.#world.unsettle();
      reject(new this.#world.cores.AuthorityError('authority_unreachable', 'Checking: no answer came in time.'));
    });
    return promise;
  }

  #heardAnswer(token: Truth, reply: Reply): void {
    this.#world.unsettle();
    if (reply.epoch < this.#subscription.epoch) return;
    this.#subscription.learnEpoch(reply.epoch);
    this.#witness.answered(token, reply, this.#world.agenda.nowMs);
  }

  #now() {
    return this.#clocks.now(this.#world.agenda.nowMs);
  }
}

function checkOf({ epoch, verdict, expiresInMs, handles }: Reply): Check {
  return { epoch, record: verdict === 'live' ? { kind: 'live', expiresInMs, handles } : { kind: verdict } };
}

/** Of the claims, what Records reads. */
function claimsOf(token: Truth): Asked['claims'] {
  return { jti: token.jti, exp: expiresAtSeconds(token), scope: 'read' } as Asked['claims'];
}
