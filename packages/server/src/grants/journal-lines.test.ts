/** What stands in the revocation journal: everything that an answer rests on, and nothing that a stranger can have written without end. */
import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import { OAuthError } from '../oauth/oauth.ts';
import { authorityOn, HOME, openStore } from '../testing/testing.ts';
import { revokePresented } from './revoking.ts';

const opened = await openStore();
after(opened.close);
const { clock, store, journal } = opened;
const { authority, addClient, addUser, approve, obtainTokens, refresh } = await authorityOn(opened);
const { grants, tokens, events } = authority;
const { client } = await addClient();

/** Lines that are written before it is known whether their act is done: where many nodes write, they stay though it is refused. */
async function linesOf(work: () => Promise<unknown>): Promise<number> {
  const watched = mock.method(store, 'commit');
  await work();
  watched.mock.restore();
  return watched.mock.calls.reduce((sum, { arguments: [act] }) => sum + (act?.journal?.length ?? 0), 0);
}

test('a repeated answer stands in the journal though the line of its rotation was lost', async () => {
  const first = await obtainTokens({ client, ...(await addUser('lost.line@example.com')) });
  const answer = await refresh(client, first.refresh_token);
  const line = journal.find((entry) => entry.kind === 'grant_rotated');
  assert.ok(line);
  clock.pass(1_000);
  // The node ended between the commit and the line.
  journal.length = 0;
  assert.deepEqual(await refresh(client, first.refresh_token), answer);
  // As bytes, whatever kind of array an engine gives.
  assert.deepEqual(journal, [{ ...line, record: new Uint8Array(line.record) }]);
});

test('revoking what is revoked writes no line', async () => {
  const { refresh_token } = await obtainTokens({ client, ...(await addUser('revoked@example.com')) });
  const presented = { client, token: String(refresh_token), address: HOME };
  const revoke = () => revokePresented({ grants, tokens, events, store }, presented);
  assert.equal(await linesOf(revoke), 1);
  assert.equal(await linesOf(revoke), 0);
});

test('a code that is replayed again and again writes one line', async () => {
  const code = await approve({ client, ...(await addUser('replayed@example.com')) });
  await grants.redeemCode(client, code);
  const replay = () => assert.rejects(grants.redeemCode(client, { ...code, address: '203.0.113.9' }), OAuthError);
  assert.equal(await linesOf(replay), 1);
  assert.equal(await linesOf(replay), 0);
});
