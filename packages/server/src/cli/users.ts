/** `countersign user …`: people, by id or address. */
import type { Command } from 'commander';
import type { Authority } from '../server.ts';
import { emailAddress, MAX_USERS_PER_PAGE, type User } from '../users/users.ts';
import { withAuthority } from './opening.ts';
import { type JsonOption, type PageOptions, withJson, withPage } from './options.ts';
import { iso, reply, table, when } from './output.ts';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

export function userCommands(program: Command, terminal: Terminal): void {
  const user = program.command('user').description('people who can log in');
  withJson(user.command('add <address>').description('make an account; its owner logs in by mail')).action(
    (address: string, options: JsonOption) => addUser(terminal, address, options),
  );
  withPage(user.command('list').description('users, oldest first'), 'user').action((options: PageOptions) =>
    listUsers(terminal, options),
  );
  withJson(
    user
      .command('disable <user>')
      .description('by id or address: end sessions, grants and tokens at once, and refuse logins'),
  ).action((name: string, options: JsonOption) => setEnabled(terminal, { name, isEnabled: false }, options));
  withJson(
    user.command('enable <user>').description('by id or address: allow logins again; what was ended stays dead'),
  ).action((name: string, options: JsonOption) => setEnabled(terminal, { name, isEnabled: true }, options));
}

/** Only a person who reads the mails of the address can log in to what is made here, so nothing has to be proved now. */
async function addUser(terminal: Terminal, text: string, options: JsonOption): Promise<void> {
  const address = emailAddress(text);
  if (address.kind === 'refused') {
    throw new CommandRefused(
      address.code,
      'That is no address that mails can be sent to. It looks like name@example.org.',
    );
  }
  const email = address.address;
  const user = await withAuthority(terminal, ({ authority }) =>
    authority.store.write(async (tx) => {
      if (!(await authority.users.byEmail(email, tx))) return authority.users.create(tx, email);
      throw new CommandRefused('user_exists', 'There is a user with this address already. See: countersign user list');
    }),
  );
  const answer = `${user.email} (${user.id}) can log in.`;
  reply(terminal, options, { text: answer, json: { id: user.id, email: user.email } });
}

async function listUsers(terminal: Terminal, options: PageOptions): Promise<void> {
  const users = await withAuthority(terminal, async ({ authority }) => {
    const found: User[] = [];
    let afterId = options.after ?? '';
    while (found.length < options.limit) {
      const limit = Math.min(options.limit - found.length, MAX_USERS_PER_PAGE);
      const page = await authority.users.list({ afterId, limit });
      found.push(...page);
      if (page.length < limit) break;
      afterId = page.at(-1)?.id ?? '';
    }
    return found;
  });
  const rows = users.map((user) => [user.id, user.email, when(user.createdAtMs), stateOf(user)]);
  reply(terminal, options, {
    text: table(
      ['ID', 'ADDRESS', 'SINCE', 'STATE'],
      rows,
      'No users yet. Add one with: countersign user add; where sign-up is on, a first login makes one.',
    ),
    json: { users: users.map(userJson) },
  });
}

async function setEnabled(
  terminal: Terminal,
  wanted: { name: string; isEnabled: boolean },
  options: JsonOption,
): Promise<void> {
  const user = await withAuthority(terminal, async ({ authority }) => {
    const found = await findUser(authority, wanted.name);
    if (wanted.isEnabled) await authority.store.write((tx) => authority.users.enable(tx, found.id));
    else await authority.revocation.disableUser(found.id);
    return found;
  });
  const text = wanted.isEnabled
    ? `${user.email} (${user.id}) can log in again. Sessions and grants from before stay dead.`
    : `${user.email} (${user.id}) is disabled. Sessions, grants and tokens are dead from now on; undo with: countersign user enable ${user.id}`;
  reply(terminal, options, { text, json: { id: user.id, email: user.email, disabled: !wanted.isEnabled } });
}

async function findUser({ users }: Authority, name: string): Promise<User> {
  const address = name.includes('@') ? emailAddress(name) : undefined;
  const user = address?.kind === 'address' ? await users.byEmail(address.address) : await users.byId(name);
  if (user) return user;
  throw new CommandRefused('unknown_user', 'There is no user with this id or address. See: countersign user list');
}

function stateOf(user: User): string {
  return user.disabledAtMs === undefined ? 'enabled' : `disabled ${when(user.disabledAtMs)}`;
}

function userJson({ id, email, createdAtMs, disabledAtMs, deadBeforeMs }: User): object {
  return {
    ...{ id, email, createdAt: iso(createdAtMs), disabledAt: iso(disabledAtMs) },
    deadBefore: iso(deadBeforeMs || undefined),
  };
}
