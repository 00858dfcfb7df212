import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Command } from 'commander';
import { commandLine, run } from './cli.ts';
import { FakeTerminal } from './testing/terminal.ts';

const root = mkdtempSync(join(tmpdir(), 'countersign-cli-'));
after(() => rmSync(root, { recursive: true }));

async function ran(words: string, more: { folder?: string; input?: string } = {}) {
  const terminal = new FakeTerminal();
  const environment = { COUNTERSIGN_DATA_FOLDER: more.folder ?? join(root, 'none') };
  const code = await run(terminal.for(words.split(' ').filter(Boolean), environment, more.input));
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

describe('being called', () => {
  test('--version and --help are answers, and end with 0', async () => {
    assert.match((await ran('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
    const help = await ran('client add --help');
    assert.equal(help.code, 0);
    assert.match(help.stdout, /--redirect-uri <uri>/);
  });

  test('a wrong call ends with 2, says what is wrong, and how to see what is right', async () => {
    const wrong: [string, RegExp][] = [
      ['', /Usage: countersign/],
      ['strat', /unknown command 'strat'\n\(Did you mean start\?\)/],
      ['client', /Usage: countersign client/],
      ['client add', /required option '--name <name>' not specified/],
      ['client add --name a --acess-lifetime 1m', /Did you mean --access-lifetime\?/],
      ['client add --name a --access-lifetime 15', /a number with a unit: 10s, 15m, 6h or 30d/],
      ['client add --name a --grant-type password', /one of authorization_code, refresh_token, client_credentials/],
      ['client add --name a --single-active user', /Allowed choices are grant, off/],
      ['client list --limit 0', /a whole number from 1 to 1000/],
      ['user list --after oauth2client_0000BClZJNj204ZJX78RCR', /an id of this list \(user_…\)/],
      ['client disable', /missing required argument 'id'/],
      ['client list extra', /too many arguments/],
      ['alarms --type started', /one of forged, tampered, replayed, cleartext/],
      ['keys rotate --purpose handle', /Allowed choices are access/],
    ];
    for (const [words, message] of wrong) {
      const { code, stdout, stderr } = await ran(words);
      assert.equal(code, 2, words);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    }
    const forPrograms = await ran('client add --json');
    assert.equal(forPrograms.code, 2);
    assert.equal(JSON.parse(forPrograms.stderr).error.code, 'usage');
  });

  test('without a database every question is refused, and none is made', async () => {
    for (const words of ['client list', 'user list', 'grant list', 'keys list', 'alarms', 'backup x', 'keys rotate']) {
      const { code, stderr } = await ran(words);
      assert.equal(code, 1, words);
      assert.match(stderr, /There is no database in .*countersign migrate/);
    }
    assert.deepEqual(readdirSync(root), []);
  });
});

describe('on a data folder', () => {
  const folder = join(root, 'data');

  test('migrate makes it, and then has nothing to do', async () => {
    assert.match((await ran('migrate', { folder })).stdout, /Made a database in .*Applied: 0001-foundation/);
    assert.match((await ran('migrate', { folder })).stdout, /^The schema is that of this release already/);
  });

  test('a client is registered; its secret is printed once and never listed', async () => {
    const added = await ran('client add --name App --redirect-uri https://a.example/cb --json', { folder });
    const { client_id: id, client_secret: secret } = JSON.parse(added.stdout);
    assert.match(secret, /^[\w-]{43}$/);
    for (const words of ['client list', 'client list --json']) {
      const { stdout } = await ran(words, { folder });
      assert.ok(stdout.includes(id));
      assert.ok(!stdout.includes(secret));
    }
    const [listed] = JSON.parse((await ran('client list --json', { folder })).stdout).clients;
    assert.ok(
      !Object.keys(listed).some((name) => /proof|digest|secret|record/i.test(name)),
      'nothing of the row’s own',
    );
    const page = JSON.parse((await ran(`client list --json --after ${id}`, { folder })).stdout);
    assert.deepEqual(page.clients, []);
  });

  test('what cannot be registered is refused with what to do', async () => {
    const refused = await ran('client add --name App --public --grant-type client_credentials --json', { folder });
    assert.equal(refused.code, 1);
    assert.equal(JSON.parse(refused.stderr).error.code, 'bad_registration.grant_types');
  });

  test('a public client has no secret', async () => {
    const added = await ran('client add --name Page --public --redirect-uri https://a.example/cb --json', { folder });
    const { client_id: id, client_secret: secret } = JSON.parse(added.stdout);
    assert.equal(secret, null);
    assert.match((await ran(`client rotate-secret ${id}`, { folder })).stderr, /public client and has no secret/);
  });

  test('a user is added once, by an address that mails reach', async () => {
    const added = JSON.parse((await ran('user add Grace@example.com --json', { folder })).stdout);
    assert.equal(added.email, 'grace@example.com');
    assert.ok((await ran('user list', { folder })).stdout.includes(added.id));
    assert.match((await ran('user add grace@example.com', { folder })).stderr, /a user with this address already/);
    assert.match((await ran('user add grace', { folder })).stderr, /looks like name@example\.org/);
  });

  test('an unknown thing is refused with where to look', async () => {
    const unknown: [string, RegExp, string?][] = [
      ['client disable x', /countersign client list/],
      ['client enable x', /countersign client list/],
      ['client rotate-secret x', /countersign client list/],
      ['user disable ada@example.com', /countersign user list/],
      ['user enable user_x', /countersign user list/],
      ['grant revoke grant_x', /countersign grant list/],
      ['grant list --user x', /countersign user list/],
      ['token revoke x', /acctok_/],
      ['token revoke acctok_0000BClZJNj204ZJX78RCR', /never issued, or it expired/],
      ['token revoke -', /standard input is empty/],
      ['token inspect', /standard input is empty/, '  \n'],
      ['token inspect', /not one of ours by its form \(not_three_segments\)/, 'hunter2'],
      ['restore x --force', /Choose another backup/],
    ];
    for (const [words, message, input = ''] of unknown) {
      const { code, stdout, stderr } = await ran(words, { folder, input });
      assert.equal(code, 1, words);
      assert.match(stderr, message, words);
      assert.doesNotMatch(stderr, /hunter2|^\s+at /m);
      assert.equal(stdout, '');
    }
  });

  test('backup wants a folder that is not there', async () => {
    const taken = await ran(`backup ${root}`, { folder });
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, /Name one that does not exist/);
  });
});

test('docs/operating/command-line.md names every command and every option', () => {
  const page = readFileSync(new URL('../../../../docs/operating/command-line.md', import.meta.url), 'utf8');
  const visit = (command: Command, name: string) => {
    for (const { long } of command.options) assert.ok(page.includes(`\`${long}`), `${name} ${long}`);
    if (command.commands.length === 0) assert.ok(page.includes(`\`${name}`), name);
    for (const sub of command.commands) visit(sub, `${name} ${sub.name()}`.replace('countersign ', ''));
  };
  visit(
    commandLine(new FakeTerminal().for([]), () => {}),
    'countersign',
  );
});
