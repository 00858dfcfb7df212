/** `countersign grant …`: what users have authorized. */
import type { Command } from 'commander';
import type { GrantRow } from '../grants/grants.ts';
import { systemClock } from '../world/clock.ts';
import { withAuthority } from './opening.ts';
import { type JsonOption, type PageOptions, withJson, withPage } from './options.ts';
import { iso, reply, table, when } from './output.ts';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

interface ListOptions extends PageOptions {
  user?: string;
}

export function grantCommands(program: Command, terminal: Terminal): void {
  const grant = program.command('grant').description('what users have authorized, each with its family of tokens');
  withPage(grant.command('list').description('grants, oldest first'), 'grant')
    .option('--user <id>', 'only those of this user that are in force')
    .action((options: ListOptions) => listGrants(terminal, options));
  withJson(grant.command('revoke <id>').description('end a grant and all its tokens at once')).action(
    (id: string, options: JsonOption) => revokeGrant(terminal, id, options),
  );
}

async function listGrants(terminal: Terminal, options: ListOptions): Promise<void> {
  const grants = await withAuthority(terminal, async ({ authority }) => {
    const { limit, after, user: userId } = options;
    if (userId === undefined) return authority.grants.list({ limit, ...(after !== undefined && { after }) });
    const user = await authority.users.byId(userId);
    if (user) return (await authority.grants.liveOfUser(user)).slice(0, limit);
    throw new CommandRefused('unknown_user', 'There is no user with this id. See: countersign user list');
  });
  const rows = grants.map((grant) => [
    grant.id,
    grant.userId,
    grant.clientId,
    grant.scope,
    when(grant.createdAtMs),
    stateOf(grant),
  ]);
  reply(terminal, options, {
    text: table(['ID', 'USER', 'CLIENT', 'SCOPE', 'SINCE', 'STATE'], rows, 'No grants.'),
    json: { grants: grants.map(grantJson) },
  });
}

async function revokeGrant(terminal: Terminal, id: string, options: JsonOption): Promise<void> {
  const before = await withAuthority(terminal, async ({ authority }) => {
    const grant = await authority.grants.find(id);
    if (grant) await authority.store.write((tx) => authority.grants.end(tx, id, 'operator'));
    return grant;
  });
  if (!before) throw new CommandRefused('unknown_grant', 'There is no grant with this id. See: countersign grant list');
  const hadEnded = before.endedAtMs !== undefined;
  const text = hadEnded
    ? `${id} had ended already, ${when(before.endedAtMs)} (${before.endReason}).`
    : `${id} is ended, with all its tokens. ${before.clientId} has to ask the user again.`;
  reply(terminal, options, { text, json: { id, revoked: true, hadEnded } });
}

/** Grants of disabled users and clients are dead, too; the lists of these say so. */
function stateOf(grant: GrantRow): string {
  if (grant.endedAtMs !== undefined) return `ended ${when(grant.endedAtMs)} (${grant.endReason})`;
  const overAtMs = Math.min(grant.expiresAtMs, grant.idleExpiresAtMs);
  return systemClock.now() >= overAtMs ? `expired ${when(overAtMs)}` : `until ${when(grant.expiresAtMs)}`;
}

/** Without the records of its tokens: nobody outside the store needs them. */
function grantJson(grant: GrantRow): object {
  const { id, userId, clientId, sessionId, scope, audience, generation, endReason } = grant;
  return {
    ...{ id, userId, clientId, sessionId: sessionId ?? null, scope, audience, generation },
    createdAt: iso(grant.createdAtMs),
    rotatedAt: iso(grant.rotatedAtMs),
    idleExpiresAt: iso(grant.idleExpiresAtMs),
    expiresAt: iso(grant.expiresAtMs),
    endedAt: iso(grant.endedAtMs),
    endReason: endReason ?? null,
  };
}
