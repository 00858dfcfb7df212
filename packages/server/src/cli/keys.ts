/** `countersign keys …`: what signs, and replacing it. */
import type { Command } from 'commander';
import type { KeyPurpose } from '../keys/keys.ts';
import { requirePostgres, settingsOf, withAuthority } from './opening.ts';
import { choice, type JsonOption, withJson } from './options.ts';
import { iso, pairs, reply, table, when } from './output.ts';
import type { Terminal } from './terminal.ts';

/** Every purpose that can be rotated: handles must stay the same for as long as the installation lives. */
const ROTATED: readonly KeyPurpose[] = ['access', 'refresh', 'magic-link', 'id', 'login-code'];

interface RotateOptions extends JsonOption {
  purpose?: KeyPurpose;
}

export function keyCommands(program: Command, terminal: Terminal): void {
  const keys = program.command('keys').description('keys that sign');
  withJson(keys.command('list').description('keys, newest first')).action((options: JsonOption) =>
    listKeys(terminal, options),
  );
  withJson(keys.command('rotate').description('let the waiting key sign from now on; nobody is logged out'))
    .addOption(choice('--purpose <purpose>', 'only the keys of this purpose (default: all)', ROTATED))
    .action((options: RotateOptions) => rotateKeys(terminal, options));
  withJson(
    keys
      .command('adopt')
      .description('of many nodes: let the issuer and access algorithm of these settings hold for all from now on'),
  ).action((options: JsonOption) => adoptSettings(terminal, options));
}

async function listKeys(terminal: Terminal, options: JsonOption): Promise<void> {
  const keys = await withAuthority(terminal, ({ authority }) => authority.keys.list());
  const rows = keys.map((key) => [
    key.id,
    key.purpose,
    key.algorithm,
    key.compromisedAtMs === undefined ? key.state : `${key.state}, compromised`,
    when(key.createdAtMs),
    when(key.activatedAtMs),
  ]);
  reply(terminal, options, {
    text: table(['ID', 'PURPOSE', 'ALGORITHM', 'STATE', 'MADE', 'SIGNS SINCE'], rows, 'No keys.'),
    json: {
      keys: keys.map(({ id, purpose, algorithm, state, ...times }) => ({
        ...{ id, purpose, algorithm, state },
        createdAt: iso(times.createdAtMs),
        activatedAt: iso(times.activatedAtMs),
        retiringAt: iso(times.retiringAtMs),
        compromisedAt: iso(times.compromisedAtMs),
      })),
    },
  });
}

async function rotateKeys(terminal: Terminal, options: RotateOptions): Promise<void> {
  const purposes = options.purpose === undefined ? ROTATED : [options.purpose];
  const rotated = await withAuthority(terminal, async ({ authority }) => {
    const all = [];
    for (const purpose of purposes) {
      for (const change of await authority.keys.rotate({ now: purpose })) {
        if (change.kind === 'activate') all.push({ purpose, keyId: change.keyId });
      }
    }
    return all;
  });
  const rows = rotated.map(({ purpose, keyId }) => [purpose, keyId]);
  const note = 'A running server signs with them within a second. Tokens signed before stay good until they expire.';
  reply(terminal, options, {
    text: `${table(['PURPOSE', 'SIGNS NOW'], rows, 'Nothing to rotate.')}\n\n${note}`,
    json: { rotated },
  });
}

/** The one server of a data folder adopts its settings with its start; of many nodes none may, or two would take turns. */
async function adoptSettings(terminal: Terminal, options: JsonOption): Promise<void> {
  const settings = settingsOf(terminal);
  requirePostgres(settings, 'The server of a data folder adopts changed settings by itself: restart it.');
  await withAuthority(terminal, async () => {}, { adoptsSettings: true });
  const { issuer, accessAlgorithm } = settings;
  const note =
    'Nodes that run sign by this algorithm within a second; of another issuer they are not ready any more, and tokens that name it are no ' +
    'longer good. No node starts with other settings.';
  reply(terminal, options, {
    text: `${pairs({ issuer, 'access algorithm': accessAlgorithm })}\n\n${note}`,
    json: { issuer, accessAlgorithm },
  });
}
