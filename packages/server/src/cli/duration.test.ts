import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationSeconds, durationText } from './duration.ts';

test('durations have a unit, and come back in the largest that is whole', () => {
  const known: [string, number][] = [
    ['0s', 0],
    ['10s', 10],
    ['90s', 90],
    ['15m', 900],
    ['6h', 21_600],
    ['30d', 2_592_000],
  ];
  for (const [text, seconds] of known) {
    assert.equal(durationSeconds(text), seconds);
    assert.equal(durationText(seconds), text);
  }
  for (const text of ['', '15', 'm', '-1m', '1.5h', '1 h', '1w', '1h30m', '10S', '99999999d', ' 1m', '1m\n']) {
    assert.equal(durationSeconds(text), undefined, JSON.stringify(text));
  }
});
