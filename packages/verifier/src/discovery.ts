import type { VerifierMetadata } from '@countersign/protocol';
import type { AuthorityConnection } from './connection.ts';
import { AuthorityError } from './errors.ts';
import { PacedFlight } from './paced-flight.ts';
import type { VerifierClock } from './world.ts';

/** After a failure nobody asks again for a second: an authority that starts up must not meet a herd. */
const RETRY_PAUSE_MS = 1000;

/** Where the authority's endpoints are, read once from its metadata (RFC 8414), on first use, and kept. */
export class Discovery {
  #metadata: VerifierMetadata | undefined;
  readonly #flight: PacedFlight<VerifierMetadata>;

  constructor(parts: { issuer: string; connection: AuthorityConnection; clock: VerifierClock }) {
    const doing = 'Reading the metadata of the authority';
    this.#flight = new PacedFlight({
      clock: parts.clock,
      pauseMs: RETRY_PAUSE_MS,
      work: async () => {
        const answer = await parts.connection.readPublic({ url: metadataUrl(parts.issuer), doing });
        this.#metadata = parseMetadata(answer, parts.issuer);
        return this.#metadata;
      },
    });
  }

  /** @throws AuthorityError where the metadata cannot be had or believed. */
  async metadata(): Promise<VerifierMetadata> {
    return this.#metadata ?? (await this.#flight.run());
  }
}

/**
 * Checks an issuer as it is configured: https, no query, no fragment, no credentials (RFC 8414 §2).
 *
 * @throws TypeError when the program starts with one that can never work.
 */
export function assertIssuer(issuer: string): void {
  const url = URL.parse(issuer);
  if (url?.protocol === 'https:' && !/[?#]/.test(issuer) && url.username === '' && url.password === '') return;
  throw new TypeError(
    'Creating a verifier: `issuer` must be an https URL without query, fragment or credentials, spelled exactly as the authority spells it.',
  );
}

/** RFC 8414 §3.1: the well-known segment stands between the host and the issuer's path, whose last slash is dropped. */
export function metadataUrl(issuer: string): string {
  const { origin, pathname } = new URL(issuer);
  return `${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`;
}

/**
 * Reads metadata for one issuer. Its `issuer` must be that very string (RFC 8414 §3.3), and endpoints must be https on the
 * issuer's own origin: an altered document could else collect this resource server's secret and its users' tokens.
 */
export function parseMetadata(answer: unknown, issuer: string): VerifierMetadata {
  const members: Partial<Record<string, unknown>> = typeof answer === 'object' && answer !== null ? { ...answer } : {};
  if (members.issuer !== issuer) {
    throw invalid('it names another issuer than the configured one. The two must be the same string, slash for slash');
  }
  const { origin } = new URL(issuer);
  const endpoint = (name: keyof VerifierMetadata): string => {
    const value = members[name];
    if (typeof value !== 'string') throw invalid(`it has no ${name}. Is this a Countersign authority?`);
    const url = URL.parse(value);
    if (url?.protocol !== 'https:' || url.origin !== origin || url.username !== '' || url.password !== '') {
      throw invalid(`its ${name} is not an https URL on the origin of the issuer`);
    }
    return value;
  };
  return {
    issuer,
    countersign_check_endpoint: endpoint('countersign_check_endpoint'),
    countersign_report_endpoint: endpoint('countersign_report_endpoint'),
    countersign_keys_endpoint: endpoint('countersign_keys_endpoint'),
    countersign_stream_endpoint: endpoint('countersign_stream_endpoint'),
    countersign_pulse_endpoint: endpoint('countersign_pulse_endpoint'),
  };
}

function invalid(what: string): AuthorityError {
  return new AuthorityError('authority_metadata_invalid', `Reading the metadata of the authority: ${what}.`);
}
