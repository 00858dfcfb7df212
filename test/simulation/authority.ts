/**
 * What happens at the authority: tokens are issued, replaced and taken back, rows swept, copies of the store put in place. Keeps
 * what is true of each token, whichever copy that is.
 */
import { hash } from 'node:crypto';
import type { Agenda } from './agenda.ts';
import type { Chance } from './chance.ts';
import type { Plan } from './plan.ts';
import type { Row, Store, Truth } from './store.ts';

/** A token matters until then after its end: verifiers that are late may still be asked for it. */
const MEMORY_MS = 20_000;
/** Tokens that requests choose from. */
const MAX_RECENT = 80;
/** Of those that died last, so many are looked for after each step. */
const MAX_DEAD = 40;
/** An older copy lacks a few commits; so it is soon as far in numbers. */
const MAX_ASTRAY = 4;
/** A transaction lasts as long, where commits are slow. */
const MAX_COMMIT_MS = 1_500;

type Kind = Row['kind'];

export class Authority {
  readonly #agenda: Agenda;
  readonly #chance: Chance;
  readonly #store: Store;
  readonly #plan: Plan;
  readonly #wakeNodes: () => void;
  readonly #isDying: (token: Truth) => void;
  readonly #note: (what: string) => void;
  readonly #all = new Map<string, Truth>();
  #recent: Truth[] = [];
  readonly #deadWith: { epoch: number; tokens: readonly Truth[] }[] = [];
  #backup: ReturnType<Store['copy']>;
  /** The store that an older copy stands in for. */
  #original: ReturnType<Store['copy']> | undefined;
  #oldSinceMs: number | undefined;
  /** When an older copy was last written to. */
  #astrayMs = Number.NEGATIVE_INFINITY;
  #troubleMs = Number.NEGATIVE_INFINITY;
  #dead: readonly Truth[] = [];
  /** Of each user and client, how many grants were taken back: one that was gets no token any more. */
  readonly #grantsBefore = new Map<number, number>();
  #issued = 0;
  hadOlderCopy = false;
  revocations = 0;
  restores = 0;

  constructor(given: {
    agenda: Agenda;
    chance: Chance;
    store: Store;
    plan: Plan;
    wakeNodes: () => void;
    /** A token is about to be taken back: the moment for requests with it. */
    isDying: (token: Truth) => void;
    note: (what: string) => void;
  }) {
    this.#agenda = given.agenda;
    this.#chance = given.chance;
    this.#store = given.store;
    this.#plan = given.plan;
    this.#wakeNodes = given.wakeNodes;
    this.#isDying = given.isDying;
    this.#note = given.note;
    this.#backup = given.store.copy();
  }

  get recent(): readonly Truth[] {
    return this.#recent;
  }

  /** Those that died last. */
  get dead(): readonly Truth[] {
    return this.#dead;
  }

  /** When a copy of the store was last put in place; while it is an older one, it never ends. */
  get troubleMs(): number {
    return this.#oldSinceMs === undefined ? this.#troubleMs : Number.POSITIVE_INFINITY;
  }

  /** Since an older copy was in place, or was last written to: by its numbers no verifier that was shown it before knows it again. */
  get oldSinceMs(): number | undefined {
    return this.#oldSinceMs === undefined ? undefined : Math.max(this.#oldSinceMs, this.#astrayMs);
  }

  tokenOf(jti: string): Truth {
    const token = this.#all.get(jti);
    if (!token) throw new Error(`${jti} was never issued.`);
    return token;
  }

  deadBefore(epoch: number): readonly Truth[] {
    return this.#deadWith.filter((one) => one.epoch <= epoch).flatMap(({ tokens }) => tokens);
  }

  // What it does day by day

  issue(): void {
    // An older copy writes nothing that counts: it is found out, or it goes.
    if (this.#oldSinceMs !== undefined) return;
    const { subjects, lifeMs } = this.#plan;
    const chance = this.#chance;
    const nowMs = this.#agenda.nowMs;
    const jti = `t${this.#issued++}`;
    const grant = chance.whole(1, subjects.grants);
    const text = `header.${jti}.signature`;
    const token: Truth = {
      jti,
      text,
      key: hash('sha256', text, 'base64url'),
      audience: `api-${grant % 2}`,
      subjects: {
        token: jti,
        grant: `g${grant}.${this.#grantsBefore.get(grant) ?? 0}`,
        user: `u${grant % subjects.users}`,
        client: `c${grant % subjects.clients}`,
        key: `k${chance.whole(1, subjects.keys)}`,
      },
      issuedAtMs: nowMs,
      expiresAtMs: nowMs + chance.between(lifeMs.shortest, lifeMs.longest),
      deadAtMs: Number.POSITIVE_INFINITY,
    };
    this.#store.issue(token);
    this.#all.set(jti, token);
    const older = this.#recent.findLast(({ subjects: of }) => of.grant === token.subjects.grant);
    this.#recent = this.#recent.filter(({ expiresAtMs }) => expiresAtMs > nowMs - MEMORY_MS).slice(-MAX_RECENT + 1);
    this.#recent.push(token);
    if (older && chance.is(0.3)) this.#revoke('superseded', older.jti, older);
  }

  revoke(): void {
    if (this.#oldSinceMs !== undefined) {
      this.#writeAstray();
      return;
    }
    const token = this.#chance.pickLate(this.#recent);
    if (!token) return;
    const kind =
      this.#chance.pick<Kind>(['token', 'token', 'token', 'grant', 'grant', 'user', 'client', 'key']) ?? 'token';
    // Whole groups are taken back less often than they have members.
    if ((kind === 'client' || kind === 'key') && this.#chance.is(0.7)) return;
    this.#revoke(kind, kind === 'token' ? token.jti : (token.subjects[kind as 'grant'] ?? token.jti), token);
  }

  keepHouse(): void {
    const { nowMs } = this.#agenda;
    const { retentionMs, writers } = this.#plan;
    // Not beside older copies: a node that saw one, and finds the row swept by which it knew the store, has to be restarted.
    const isAhead = !this.hadOlderCopy && writers?.chance.is(writers.sweptAhead);
    this.#store.sweep(isAhead ? nowMs : nowMs - retentionMs);
    this.#store.prune(nowMs - MEMORY_MS);
    if (this.#oldSinceMs === undefined && this.#chance.is(0.2)) this.#backup = this.#store.copy();
  }

  /** Somebody who knows of nothing better writes to an older copy, and its numbers go on from where it was. */
  #writeAstray(): void {
    const { writers } = this.#plan;
    if (!writers) return;
    this.#astrayMs = this.#agenda.nowMs;
    for (let left = writers.chance.whole(1, MAX_ASTRAY); left > 0; left--) {
      // Of users: such rows stay longer than any copy is in place.
      const row = {
        kind: 'user' as const,
        subjectId: 'of nobody',
        atMs: Number.POSITIVE_INFINITY,
        deadUpToMs: undefined,
      };
      this.#store.commitAstray(row);
    }
    this.#wakeNodes();
  }

  #revoke(kind: Kind, subjectId: string, token: Truth): void {
    const [agenda, chance, store] = [this.#agenda, this.#chance, this.#store];
    const slow = this.#plan.troubles.get('slow_commit');
    const isSlow = this.#plan.reading === 'transaction' && slow !== undefined && chance.is(slow / 100);
    const lastingMs = () => (isSlow ? chance.between(0, MAX_COMMIT_MS / 2) : 0);
    const isGroup = kind === 'user' || kind === 'client' || kind === 'key';
    this.#isDying(token);
    if (kind === 'grant') {
      const place = Number.parseInt(subjectId.slice(1), 10);
      this.#grantsBefore.set(place, (this.#grantsBefore.get(place) ?? 0) + 1);
    }
    const open = store.begin();
    const what = `${kind} ${subjectId}`;
    // Of a transaction of several rows a read must bring all or none.
    const { writers } = this.#plan;
    const others = writers?.chance.is(writers.several) ? 2 : 0;
    agenda.after(lastingMs(), `the rows for ${what} are inserted`, () => {
      store.insert(open, others + 1);
      const atMs = agenda.nowMs;
      const row = {
        ...{ atMs, kind, subjectId },
        audience: kind === 'token' || kind === 'superseded' ? token.audience : undefined,
        expiresAtMs: kind === 'superseded' ? token.expiresAtMs : undefined,
        // A compromised key, and a user or client that is looked at anew, kill nothing.
        deadUpToMs: isGroup && chance.is(0.6) ? atMs : undefined,
      };
      const other = { ...row, kind: 'token' as const, subjectId: 'of nobody', expiresAtMs: undefined };
      agenda.after(lastingMs(), `${what} is over`, () => {
        if (isSlow && writers?.chance.is(writers.takenBack)) return store.rollBack(open);
        const killed = store.commit(open, [...Array.from({ length: others }, () => other), row], agenda.nowMs);
        if (!killed) return;
        this.revocations++;
        this.#dead = [...killed, ...this.#dead].slice(0, MAX_DEAD);
        this.#note(`${what} is dead: ${killed.map(({ jti }) => jti).join(' ')}`);
        const lost = this.#plan.troubles.get('lose_wake_up') ?? 0;
        if (!chance.is(lost / 100)) this.#wakeNodes();
      });
    });
  }

  /** The database ends and is there again. Nothing that was committed is lost. */
  crash(): void {
    this.#store.crash();
    this.#note('the database crashed');
  }

  // Copies of the store

  /** A backup is put in place, and said to be meant: everything recorded before is dead. */
  restore(): void {
    this.#store.swap(this.#backup);
    this.#raiseEpoch();
    this.#note(`the store is restored, epoch ${this.#store.epoch}`);
  }

  /** A backup comes into place and nobody says so: a failover to a copy that is behind, a volume rolled back. */
  olderCopy(durationMs: number): void {
    if (this.#oldSinceMs !== undefined) return;
    this.#original = this.#store.swap(this.#backup);
    this.#backup = this.#store.copy();
    this.#troubled();
    this.#oldSinceMs = this.#agenda.nowMs;
    this.hadOlderCopy = true;
    this.#note('an older copy of the store is in place');
    this.#agenda.after(durationMs, 'somebody notices the older copy', () => this.#endOlderCopy(this.#chance.is(0.5)));
  }

  #endOlderCopy(isMeant: boolean): void {
    if (this.#oldSinceMs === undefined || !this.#original) return;
    const { epoch } = this.#store;
    // Whoever was served from a copy that was written to knows it by that, and to him the original is the older one.
    if (isMeant || this.#astrayMs > this.#oldSinceMs) this.#raiseEpoch();
    else {
      this.#store.swap(this.#original);
      this.#troubled();
      this.#backup = this.#store.copy();
    }
    this.#oldSinceMs = undefined;
    this.#original = undefined;
    this.#note(
      this.#store.epoch > epoch ? `the copy is meant, epoch ${this.#store.epoch}` : 'the store is itself again',
    );
  }

  #raiseEpoch(): void {
    this.#store.restorePoint();
    this.restores++;
    const { nowMs } = this.#agenda;
    for (const token of this.#recent) token.deadAtMs = Math.min(token.deadAtMs, nowMs);
    this.#dead = this.#recent.slice(-MAX_DEAD);
    this.#deadWith.push({ epoch: this.#store.epoch, tokens: [...this.#recent] });
    this.#backup = this.#store.copy();
    this.#oldSinceMs = undefined;
    this.#original = undefined;
    this.#troubled();
  }

  #troubled(): void {
    this.#troubleMs = this.#agenda.nowMs;
  }
}
