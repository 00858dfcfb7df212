import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { observeVerifier } from './opentelemetry.ts';
import { AUDIENCE, startFakeAuthority } from './testing/fake-authority.ts';
import { createVerifier } from './verifier.ts';

const authority = await startFakeAuthority();
const verifier = createVerifier({ ...authority.options(), mode: 'coherent' });
const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
const provider = new MeterProvider({ readers: [reader] });
after(async () => {
  await provider.shutdown();
  await verifier.close();
  await authority.close();
});

async function collected(): Promise<Record<string, number>> {
  exporter.reset();
  await reader.forceFlush();
  const points: Record<string, number> = {};
  for (const { descriptor, dataPoints } of exporter.getMetrics().flatMap((all) => all.scopeMetrics[0]?.metrics ?? [])) {
    for (const { attributes, value } of dataPoints) {
      const { audience, issuer, ...rest } = attributes;
      assert.deepEqual({ audience, issuer }, { audience: AUDIENCE, issuer: authority.issuer });
      const words = Object.entries(rest);
      points[[descriptor.name, ...words.map(([, word]) => word)].join(' ')] = Number(value);
    }
  }
  return points;
}

test('EB-07 EB-09 what a verifier does and how stale it is are exported as metrics, and nothing of a token is', async () => {
  const stop = observeVerifier(verifier, provider.getMeter('test'));
  await verifier.ready();
  const token = await authority.issue();
  for (let i = 0; i < 40; i++) await verifier.verify(token);
  await verifier.verify('x');
  authority.nowMs += 1_500;
  const points = await collected();
  const name = (rest: string) => `countersign.verifier.${rest}`;
  const expected = {
    [name('verifications accepted')]: 40,
    [name('verifications refused token_malformed')]: 1,
    [name('cache.lookups hit')]: 39,
    [name('cache.lookups miss')]: 1,
    [name('cache.entries')]: 1,
    [name('cache.max_entries')]: 100_000,
    [name('staleness')]: 1_500,
    [name('max_staleness')]: 30_000,
    [name('stream.open')]: 1,
    [name('evidence sent')]: 0,
  };
  for (const [point, value] of Object.entries(expected)) assert.equal(points[point], value, point);
  assert.ok((points[name('latency 0.99')] ?? -1) >= 0);
  assert.equal(JSON.stringify(exporter.getMetrics()).includes(token.slice(0, 40)), false);
  stop();
  await verifier.verify(token);
  assert.deepEqual((await collected())[name('verifications accepted')] ?? 40, 40, 'no longer reported');
});
