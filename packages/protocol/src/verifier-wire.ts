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
}
