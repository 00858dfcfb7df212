import type { RESOURCE_SERVER_ALGORITHMS } from './tokens.ts';
import type { Verdict } from './verdicts.ts';

/** Most tokens in one `POST /verifier/check`: 256 point reads keep the authority's turn under a few milliseconds. */
export const MAX_CHECK_BATCH = 256;

/**
 * `POST /verifier/check`, JSON, authenticated as a client with the resource-server role. The answer covers only tokens for
 * audiences that this resource server serves; of any other it says `unknown`, as of a token that does not exist.
 */
export interface CheckRequest {
  tokens: {
    jti: string;
    /** base64url of SHA-256 over the token's signing input, ASCII. Identifies the bytes; says nothing of `eb`. */
    digest: string;
  }[];
}

/** The answer to a `CheckRequest`: 200, JSON. */
export interface CheckResponse {
  /** The store's epoch: a number that rises at each restore and never falls. */
  epoch: number;
  /** One answer a token, in the order asked. */
  answers: CheckAnswer[];
}

/** What the record says of one token asked about. */
export interface CheckAnswer {
  jti: string;
  verdict: Verdict;
  /** Milliseconds of life left by the authority's clock; only for `live`. */
  expires_in_ms?: number;
  /** Only for `live`. */
  handles?: Handles;
}

/**
 * Names under which this resource server may group tokens and hears of invalidations: opaque, stable, and different for
 * each resource server, so that two of them cannot compare users.
 */
export interface Handles {
  token: string;
  grant?: string;
  client: string;
  user?: string;
  key: string;
}

/**
 * `POST /verifier/report`: evidence. A resource server that saw *tampered*, *unknown* or an impossible claim set under a good
 * signature hands over the token; the authority verifies everything itself before anything rings. The answer is always
 * `202 {}`: a reporter learns nothing.
 */
export interface ReportRequest {
  token: string;
  /** How many more of the same key the resource server saw and did not send since its last report; default 0. */
  suppressed?: number;
}

/** Least and default staleness bound of a verifier, milliseconds. Below three seconds one lost packet would end service. */
export const MIN_STALENESS_MS = 3_000;
export const DEFAULT_STALENESS_MS = 30_000;
/** Longest: past an hour, a push is no longer what revokes; expiry is. */
export const MAX_STALENESS_MS = 3_600_000;

/** Characters of a nonce, base64url: 128 random bits. */
export const NONCE_LENGTH = 22;

/**
 * `GET /verifier/stream`: server-sent events, authenticated as a client with the resource-server role. Query members are texts;
 * `epoch` and `cursor` come together, when the verifier still holds entries from an earlier stream.
 */
export interface StreamRequest {
  /** Echoed by the first heartbeat, so that the lease begins when the request was sent. */
  nonce: string;
  /** Staleness bound of the verifier: what dies by itself within it need not be pushed. */
  max_staleness_ms: string;
  epoch?: string;
  cursor?: string;
}

/**
 * What the stream says. Each message is one event: `event:` is its kind, `data:` the other members as JSON. The order is the
 * meaning: a heartbeat says that every invalidation visible to a read begun after its nonce arrived stands before it.
 */
export type StreamMessage = HelloMessage | InvalidateMessage | HeartbeatMessage;

/** First message of each stream. */
export interface HelloMessage {
  kind: 'hello';
  /** Name of this stream for `POST /verifier/pulse`. */
  stream: string;
  /** The store's epoch, see `CheckResponse`. */
  epoch: number;
  /** Where in the log of invalidations this stream begins. Never falls within an epoch. */
  cursor: number;
  /** Whether everything since the cursor that was asked for follows; if not, what the verifier holds proves nothing. */
  resumed: boolean;
}

/** What is not to be believed any more: every token whose handle of this kind is `handle`. */
export interface InvalidateMessage {
  kind: 'invalidate';
  cursor: number;
  subject: keyof Handles;
  handle: string;
  /**
   * True: each of these tokens is dead for good and may be refused without asking. False: the record says what is left, because the
   * token was superseded and has its overlap, or because others of that user, client or key may live.
   */
  final: boolean;
}

/** Echo of a nonce. */
export interface HeartbeatMessage {
  kind: 'heartbeat';
  nonce: string;
  cursor: number;
}

/**
 * `POST /verifier/pulse`, JSON: asks for the echo of a nonce on a stream of the same client. The answer is `202 {}`, or 409
 * where this node does not hold that stream: then only a new stream gets a lease.
 */
export interface PulseRequest {
  stream: string;
  nonce: string;
}

/** `GET /verifier/keys`: public keys for access tokens, with what resource servers must know of each. */
export interface VerifierKeys {
  keys: VerifierKey[];
  /** What the asking resource server is registered for. Of tokens for any other audience the authority says `unknown`. */
  audiences: string[];
}

/** One public key for access tokens. */
export interface VerifierKey {
  kid: string;
  alg: (typeof RESOURCE_SERVER_ALGORITHMS)[number];
  /** Public JWK (RFC 7517); never a private member. */
  jwk: Record<string, unknown>;
  /** A compromised key still proves a signature, and the record still decides; signature-only readers must refuse it. */
  status: 'good' | 'compromised';
}

/** Members of the authority's metadata (RFC 8414 §2, extension members) that a verifier needs. */
export interface VerifierMetadata {
  issuer: string;
  countersign_check_endpoint: string;
  countersign_report_endpoint: string;
  countersign_keys_endpoint: string;
  countersign_stream_endpoint: string;
  countersign_pulse_endpoint: string;
}
