/**
 * Metrics of a verifier through OpenTelemetry. Of that it needs the caller's own meter and nothing else: the API package is an
 * optional peer, of which only types are used.
 */
import type { Meter, Observable } from '@opentelemetry/api';
import type { Verifier } from './verifier.ts';

/** Every instrument, by its name below `countersign.verifier.`. */
const INSTRUMENTS = {
  verifications: 'Verifications by `outcome` (accepted, refused, unavailable) and, where not accepted, `code`.',
  'cache.lookups': 'Coherent verifications by `outcome`: hit (asked nobody), miss.',
  'cache.entries': 'Tokens remembered.',
  'cache.max_entries': 'Most tokens that would be.',
  staleness: 'Age of the lease: what was taken back longer ago is refused here. No value without a lease.',
  max_staleness: 'The bound of it; past it the record is asked of each request, or service stops, as set up.',
  'stream.open': '1 while the stream of revocations is open, else 0. Alarm when it stays 0.',
  latency: 'Newest verifications by `quantile` (0.5, 0.99), one in sixteen measured.',
  evidence: 'Tokens handed to the authority as evidence, by `outcome` (sent, failed, suppressed).',
} as const;

type InstrumentName = keyof typeof INSTRUMENTS;

const COUNTERS: readonly InstrumentName[] = ['verifications', 'cache.lookups', 'evidence'];
const MILLISECONDS: readonly InstrumentName[] = ['staleness', 'max_staleness', 'latency'];

/**
 * Reports a verifier's status whenever the meter's readers collect. Nothing is counted twice: the numbers are those of
 * `verifier.status()`. Attributes hold the verifier's `issuer` and `audience`, which tell several apart, and fixed words and codes;
 * never anything of a token.
 *
 * @example
 * const stop = observeVerifier(verifier, metrics.getMeter('my-api'));
 *
 * @returns a function that ends it.
 */
export function observeVerifier(verifier: Pick<Verifier, 'status' | 'issuer' | 'audience'>, meter: Meter): () => void {
  const { issuer, audience } = verifier;
  const instruments = new Map<InstrumentName, Observable>();
  for (const [name, description] of Object.entries(INSTRUMENTS) as [InstrumentName, string][]) {
    const options = { description, ...(MILLISECONDS.includes(name) && { unit: 'ms' }) };
    const fullName = `countersign.verifier.${name}`;
    const isCounter = COUNTERS.includes(name);
    instruments.set(
      name,
      isCounter ? meter.createObservableCounter(fullName, options) : meter.createObservableGauge(fullName, options),
    );
  }
  const report: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    const observe = (name: InstrumentName, value: number | undefined, attributes: Record<string, string> = {}) => {
      const instrument = instruments.get(name);
      if (instrument && value !== undefined) result.observe(instrument, value, { issuer, audience, ...attributes });
    };
    const status = verifier.status();
    observe('verifications', status.accepted, { outcome: 'accepted' });
    for (const outcome of ['refused', 'unavailable'] as const) {
      for (const [code, count] of Object.entries(status[outcome])) observe('verifications', count, { outcome, code });
    }
    observe('cache.lookups', status.hits, { outcome: 'hit' });
    observe('cache.lookups', status.misses, { outcome: 'miss' });
    observe('cache.entries', status.entries);
    observe('cache.max_entries', status.maxEntries);
    observe('staleness', status.stalenessMs);
    observe('max_staleness', status.maxStalenessMs);
    observe('stream.open', status.stream === 'open' ? 1 : 0);
    observe('latency', status.latency?.p50Ms, { quantile: '0.5' });
    observe('latency', status.latency?.p99Ms, { quantile: '0.99' });
    for (const [outcome, count] of Object.entries(status.evidence)) observe('evidence', count, { outcome });
  };
  const observed = [...instruments.values()];
  meter.addBatchObservableCallback(report, observed);
  return () => meter.removeBatchObservableCallback(report, observed);
}
