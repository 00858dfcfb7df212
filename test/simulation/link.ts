/**
 * What stands between one machine and the nodes: delays, losses, cuts; and the machine's own sleep, in which nothing happens on it
 * and everything waits. Requests and answers overtake each other freely.
 */
import type { Agenda } from './agenda.ts';
import type { Chance } from './chance.ts';
import type { Clocks } from './clocks.ts';

/** Now and then a request or an answer is late by up to this, and others overtake it. */
const LATE_SHARE = 0.03;
const MAX_LATE_MS = 1_500;
/** What waited for a machine to wake comes in no certain order within this. */
const AWAKENING_MS = 3;

export interface LinkConditions {
  typicalDelayMs: number;
  /** Share of requests and of answers that are lost. */
  losing: number;
}

export class Link {
  readonly #name: string;
  readonly #agenda: Agenda;
  readonly #chance: Chance;
  readonly #clocks: Clocks;
  readonly #conditions: LinkConditions;
  #suspendedUntilMs = 0;
  #cutUntilMs = 0;
  #troubleMs = Number.NEGATIVE_INFINITY;

  constructor(given: {
    name: string;
    agenda: Agenda;
    chance: Chance;
    clocks: Clocks;
    conditions: LinkConditions;
  }) {
    this.#name = given.name;
    this.#agenda = given.agenda;
    this.#chance = given.chance;
    this.#clocks = given.clocks;
    this.#conditions = given.conditions;
  }

  get isAwake(): boolean {
    return this.#suspendedUntilMs <= this.#agenda.nowMs;
  }

  get isCut(): boolean {
    return this.#cutUntilMs > this.#agenda.nowMs;
  }

  /** Until then nothing of a stream arrives. */
  get heldUntilMs(): number {
    if (this.isAwake) return this.#cutUntilMs;
    return Math.max(this.#suspendedUntilMs + this.#chance.between(0, AWAKENING_MS), this.#cutUntilMs);
  }

  /** When anything last happened here that may keep an answer away; may lie ahead. */
  get troubleMs(): number {
    return this.#troubleMs;
  }

  troubled(untilMs = this.#agenda.nowMs): void {
    this.#troubleMs = Math.max(this.#troubleMs, untilMs);
  }

  suspend(durationMs: number): void {
    const { nowMs } = this.#agenda;
    if (!this.isAwake) return;
    this.#suspendedUntilMs = nowMs + durationMs;
    this.#clocks.suspend(nowMs, this.#suspendedUntilMs);
    this.troubled(this.#suspendedUntilMs);
  }

  cut(durationMs: number): void {
    this.#cutUntilMs = Math.max(this.#cutUntilMs, this.#agenda.nowMs + durationMs);
    this.troubled(this.#cutUntilMs);
  }

  delayMs(): number {
    return this.#chance.delayMs(this.#conditions.typicalDelayMs);
  }

  /** Something of the machine's own: it waits while the machine is suspended, and then comes in no certain order. */
  local(delayMs: number, what: string, happen: () => void): void {
    this.#agenda.after(delayMs, `${this.#name}: ${what}`, () => {
      if (this.isAwake) return happen();
      this.local(this.#suspendedUntilMs - this.#agenda.nowMs + this.#chance.between(0, AWAKENING_MS), what, happen);
    });
  }

  /** Sends to the authority; what is lost is lost in silence. */
  out(what: string, arrive: () => void): void {
    this.#travel(`sends ${what}`, arrive);
  }

  /** An answer to this machine. */
  back(what: string, arrive: () => void): void {
    this.#travel(`hears ${what}`, () => this.local(0, `takes in ${what}`, arrive));
  }

  #travel(what: string, arrive: () => void): void {
    if (this.isCut || this.#chance.is(this.#conditions.losing)) {
      this.troubled();
      return;
    }
    const lateMs = this.#chance.is(LATE_SHARE) ? this.#chance.between(0, MAX_LATE_MS) : 0;
    this.#agenda.after(this.delayMs() + lateMs, `${this.#name} ${what}`, () => {
      if (this.isCut) this.troubled();
      else arrive();
    });
  }
}
