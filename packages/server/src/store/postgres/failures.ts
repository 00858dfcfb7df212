/**
 * What went wrong, as PostgreSQL says it (its five-character codes, appendix A of its manual) or as the network does.
 *
 * The three questions that matter: is it the statement's own fault, is it an outage, and is it certain that nothing was committed.
 * Messages of the driver and of the server are not passed on: they may repeat rows, and the address.
 */
import { StoreUnavailable } from '../errors.ts';

/** Raised by `countersign_act` in migration 1; its message is the number of the step. */
const ACT_REFUSED = 'CS001';

const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const UNIQUE_VIOLATION = '23505';
const READ_ONLY = '25006';
const LOCK_NOT_AVAILABLE = '55P03';
const CANCELED = '57014';
const STALE_PLAN = '0A000';

/** By the first two characters: connection, authorization, no such database, resources, operator intervention, system, damage. */
const OUTAGE_CLASSES = new Set(['08', '28', '3D', '53', '57', '58', 'XX']);

/** The connection did not outlive these, so the answer of a commit that was under way is not known. */
const ENDINGS = new Set(['08', '57P']);

/** Nor these, unless they are said to be mere errors of a statement: a file that could not be read, a damaged page. */
const ENDINGS_UNLESS_ERROR = new Set(['58', 'XX']);

/** In the language of the server, so that only what is in English is believed. */
const SEVERITY_OF_A_STATEMENT = 'ERROR';
const SEVERITIES_OF_A_CONNECTION = new Set(['FATAL', 'PANIC']);

interface ServerError extends Error {
  readonly code: string;
  readonly severity: string;
  readonly constraint?: string;
  readonly routine?: string;
}

function isServerError(error: unknown): error is ServerError {
  return error instanceof Error && 'severity' in error && 'code' in error && typeof error.code === 'string';
}

/** A connection that failed: whether the statement was carried out is not known, unless it was not even sent. */
export class ConnectionLost extends StoreUnavailable {
  readonly wasSent: boolean;
  constructor(why: string, { wasSent }: { wasSent: boolean }) {
    super(`Running a statement: the connection to the database was lost (${why}).`);
    this.name = 'ConnectionLost';
    this.wasSent = wasSent;
  }
}

/**
 * Committed at the primary, and the server gave up waiting for a synchronous standby, as somebody told it to (`pg_cancel_backend`). It calls
 * that done and adds a warning; to whoever wrote it is as good as no answer.
 */
export class Unreplicated extends ConnectionLost {
  constructor() {
    super('a synchronous standby did not acknowledge', { wasSent: true });
    this.name = 'Unreplicated';
  }
}

/** Whether a notice says so. Its words depend on the server's language, the function that it comes from does not. */
export function isWaitGivenUp(notice: { readonly routine?: string | undefined }): boolean {
  return notice.routine === 'SyncRepWaitForLSN';
}

/** Somebody else committed first, or the schema changed under a prepared statement: the same again may well succeed. */
export class Overtaken extends Error {
  /** The connection keeps what made it fail. */
  readonly needsNewConnection: boolean;
  readonly code: string;
  /** Of a broken uniqueness, what to say where it was not somebody else after all. */
  readonly refusal: StatementRefused | undefined;
  constructor(code: string, options: { needsNewConnection?: boolean; refusal?: StatementRefused }) {
    super(`Writing: somebody else committed first (${code}).`);
    this.name = 'Overtaken';
    this.code = code;
    this.needsNewConnection = options.needsNewConnection ?? false;
    this.refusal = options.refusal;
  }
}

/** A condition of an act was not met. */
export class ActRefused extends Error {
  readonly step: number;
  constructor(step: number) {
    super('Doing an act: a step met another number of rows.');
    this.name = 'ActRefused';
    this.step = step;
  }
}

/** The statement is wrong, or a constraint holds. The server's own words may repeat a row, and are left out. */
export class StatementRefused extends Error {
  readonly code: string;
  constructor(error: ServerError) {
    const constraint = error.constraint === undefined ? '' : `, constraint ${error.constraint}`;
    super(`Running a statement: the database refused it (${error.code}${constraint}).`);
    this.name = 'StatementRefused';
    this.code = error.code;
  }
}

/** What a statement failed with, in our words. */
export function translated(error: unknown): Error {
  if (error instanceof Unreplicated) return error;
  if (!isServerError(error)) {
    // The driver's own refusals of values, before anything was sent; and our reading of rows.
    if (error instanceof TypeError || error instanceof RangeError) return error;
    return new ConnectionLost(codeOf(error), { wasSent: true });
  }
  const { code } = error;
  if (code === ACT_REFUSED) return new ActRefused(Number(error.message));
  if (code === SERIALIZATION_FAILURE || code === DEADLOCK) return new Overtaken(code, {});
  if (code === UNIQUE_VIOLATION) return new Overtaken(code, { refusal: new StatementRefused(error) });
  if (code === STALE_PLAN && error.routine === 'RevalidateCachedQuery') {
    return new Overtaken(code, { needsNewConnection: true });
  }
  if (isEnding(error)) return new ConnectionLost(code, { wasSent: true });
  if (isOutage(code)) {
    return new StoreUnavailable(`Running a statement: the database did not carry it out (${code}). ${adviceOf(code)}`);
  }
  return new StatementRefused(error);
}

/** Why no connection could be had. */
export function connectingFailed(error: unknown): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error;
  const code = codeOf(error);
  return new StoreUnavailable(`Connecting to the database failed (${code}). ${adviceOf(code)}`);
}

/** A code that holds nothing of the address: of the server, of the system, or a word for what has none. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (/timeout/i.test(error.message)) return 'timeout';
  if (/SSL|certificate/i.test(error.message)) return 'tls';
  if (/password/i.test(error.message)) return 'password';
  if (/terminated|not queryable/i.test(error.message)) return 'closed';
  return error.name;
}

/** Others hold the locks: it waited too long for them, or each waited for the other. */
export function isHeldUp(error: unknown): boolean {
  return isServerError(error) && (error.code === LOCK_NOT_AVAILABLE || error.code === DEADLOCK);
}

function isEnding({ code, severity }: ServerError): boolean {
  if (SEVERITIES_OF_A_CONNECTION.has(severity)) return true;
  if (ENDINGS.has(code.slice(0, 2)) || ENDINGS.has(code.slice(0, 3))) return true;
  return ENDINGS_UNLESS_ERROR.has(code.slice(0, 2)) && severity !== SEVERITY_OF_A_STATEMENT;
}

function isOutage(code: string): boolean {
  return OUTAGE_CLASSES.has(code.slice(0, 2)) || [READ_ONLY, LOCK_NOT_AVAILABLE, CANCELED].includes(code);
}

/** Node names what was wrong with a certificate after OpenSSL's words (CERT_HAS_EXPIRED, UNABLE_TO_VERIFY_LEAF_SIGNATURE) or its own. */
function isOfTls(code: string): boolean {
  return code === 'tls' || /CERT|_VERIFY_|_TLS_|_SSL_/.test(code);
}

function adviceOf(code: string): string {
  if (code === READ_ONLY)
    return 'It takes no writes: it is a standby, or was made read-only. Point databaseUrl at the primary.';
  if (code === 'timeout' || code === 'ECONNREFUSED')
    return 'Look whether it runs, and whether this machine reaches it.';
  if (code === '53300')
    return 'It has no connection left: raise max_connections, or lower databaseConnections of the nodes.';
  if (code === '53100') return 'Its disk is full.';
  if (code === CANCELED || code === LOCK_NOT_AVAILABLE)
    return 'It took too long. Look for a long transaction that holds it up.';
  if (code.startsWith('28') || code === 'password')
    return 'It did not let this user in. Look at databaseUrl and at pg_hba.conf.';
  if (code === '3D000') return 'There is no such database. Make it, or look at databaseUrl.';
  if (isOfTls(code))
    return 'It does not speak TLS, or its certificate is not the one expected. Look at docs/operating/postgresql.md.';
  return 'Look at its log.';
}
