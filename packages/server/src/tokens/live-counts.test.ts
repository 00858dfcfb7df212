import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sql } from '../store/store.ts';
import { StandingClock } from '../testing/testing.ts';
import { LiveCounts } from './live-counts.ts';

/** A table that has `live` tokens of every client, and notes how often it is counted. */
function setup(live: number) {
  const clock = new StandingClock();
  const table = { live, counted: 0 };
  const get = async () => {
    table.counted++;
    return { live: table.live } as never; // the one row that is asked for
  };
  const read: Sql = { get, all: async () => [] };
  return { clock, table, counts: new LiveCounts({ store: { read }, clock }) };
}

test('a small count is taken every few seconds', async () => {
  const { clock, table, counts } = setup(10);
  const client = { id: 'a', maxLiveTokens: 100 };
  for (let second = 0; second < 20; second++) {
    assert.equal(await counts.hasRoom(client), true);
    clock.pass(1_000);
  }
  assert.equal(table.counted, 4);
});

test('a large count far from its cap is taken rarely, for counting holds up everybody', async () => {
  const { clock, table, counts } = setup(500_000);
  const client = { id: 'a', maxLiveTokens: 1_000_000 };
  for (let second = 0; second < 100; second++) {
    assert.equal(await counts.hasRoom(client), true);
    clock.pass(1_000);
  }
  assert.equal(table.counted, 2);
});

test('what is issued meanwhile counts at once, and at the cap the table is asked again soon', async () => {
  const { clock, table, counts } = setup(999_998);
  const client = { id: 'a', maxLiveTokens: 1_000_000 };
  assert.equal(await counts.hasRoom(client), true);
  for (let issued = 0; issued < 2; issued++) counts.added('a');
  assert.equal(await counts.hasRoom(client), false);
  assert.equal(table.counted, 1);
  table.live = 999_000;
  clock.pass(5_000);
  assert.equal(await counts.hasRoom(client), true);
  assert.equal(table.counted, 2);
});
