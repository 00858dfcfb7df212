import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { rememberIdentity, requireSameIdentity } from './identity.ts';

test('a command with another issuer, algorithm or journal than the server of its data folder is refused', (t) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-identity-'));
  t.after(() => rmSync(dataFolder, { recursive: true }));
  const server = {
    ...{ dataFolder, issuer: 'https://a.example', accessAlgorithm: 'ES256' as const, journalFolder: '/journals' },
    database: { kind: 'embedded' as const },
  };
  requireSameIdentity(server); // no server was started here
  rememberIdentity(server);
  requireSameIdentity(server);
  requireSameIdentity({ ...server, journalFolder: '/journals/' });
  for (const other of [
    { issuer: 'https://b.example' },
    { accessAlgorithm: 'Ed25519' as const },
    { journalFolder: '/elsewhere' },
    { journalFolder: undefined },
  ]) {
    assert.throws(() => requireSameIdentity({ ...server, ...other }), { code: 'other_settings' });
  }
  assert.throws(
    () => requireSameIdentity({ ...server, journalFolder: undefined }),
    /journalFolder \/journals, and here it is unset/,
  );
  rememberIdentity({ ...server, journalFolder: undefined });
  assert.throws(() => requireSameIdentity(server), { code: 'other_settings' }, 'nor beside a server that writes none');
  requireSameIdentity({ ...server, journalFolder: undefined });

  rememberIdentity({ ...server, journalFolder: join(dataFolder, 'journal') });
  const moved = `${dataFolder}-moved`;
  renameSync(dataFolder, moved);
  requireSameIdentity({ ...server, dataFolder: moved, journalFolder: join(moved, 'journal') });
  renameSync(moved, dataFolder);

  const file = join(dataFolder, 'authority.json');
  const { journalFolder: _, ...older } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify(older));
  requireSameIdentity(server); // of a release that did not note it
});

test('of nodes over PostgreSQL the database says issuer and algorithm, and the folder the journal', (t) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-identity-'));
  t.after(() => rmSync(dataFolder, { recursive: true }));
  const database = { kind: 'postgres', url: 'postgres://localhost/x', caFile: undefined, connections: 1 } as const;
  const node = {
    dataFolder,
    issuer: 'https://a.example',
    accessAlgorithm: 'ES256',
    journalFolder: '/j',
    database,
  } as const;
  rememberIdentity(node);
  requireSameIdentity({ ...node, issuer: 'https://b.example', accessAlgorithm: 'Ed25519' });
  assert.throws(() => requireSameIdentity({ ...node, journalFolder: undefined }), { code: 'other_settings' });
});
