/**
 * `countersign token …`: what a token is worth, and ending one.
 *
 * A token is read from standard input: arguments are visible to everybody on the machine and stay in the shell's history.
 */
import { isId, parseCompact, TOKEN_TYPES } from '@countersign/protocol';
import type { Command } from 'commander';
import type { Authority } from '../server.ts';
import type { TokenRow } from '../tokens/tokens.ts';
import { withAuthority } from './opening.ts';
import { type JsonOption, withJson } from './options.ts';
import { iso, pairs, reply, when } from './output.ts';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

/** A token is at most 8,192 characters; the rest is room for white space around it. */
const MAX_INPUT = 10_000;
/** Stands as the network address of what this command presents; an inspected forgery rings as it does anywhere else. */
const FROM = { address: 'command line' };

/** What could be said of a token. */
interface Inspected {
  kind: string;
  verdict: string;
  header: Record<string, unknown>;
  claims: Record<string, unknown>;
  record: Record<string, string | undefined> | undefined;
}

export function tokenCommands(program: Command, terminal: Terminal): void {
  const token = program.command('token').description('single tokens');
  withJson(
    token
      .command('inspect')
      .description('read a token from standard input and say what it is worth; a forgery rings the alarm'),
  ).action((options: JsonOption) => inspectToken(terminal, options));
  withJson(
    token
      .command('revoke <jti>')
      .description(
        'end an access token by its jti, or with - the token on standard input (of a refresh token the whole grant)',
      ),
  ).action((name: string, options: JsonOption) => revokeToken(terminal, name, options));
}

async function inspectToken(terminal: Terminal, options: JsonOption): Promise<void> {
  const token = await readToken(terminal);
  const inspected = await withAuthority(terminal, ({ authority }) => inspect(authority, token));
  const { kind, verdict, header, claims, record } = inspected;
  const text = [
    pairs({ kind, verdict, ...record }),
    `Header, as it says itself:\n${JSON.stringify(header, null, 2)}`,
    `Claims, as it says itself:\n${JSON.stringify(claims, null, 2)}`,
  ].join('\n\n');
  reply(terminal, options, { text, json: { kind, verdict, record: record ?? null, header, claims } });
}

async function inspect(authority: Authority, token: string): Promise<Inspected> {
  const parsed = parseCompact(token);
  if (parsed.kind === 'malformed') {
    throw new CommandRefused(
      'not_a_token',
      `Reading the token: it is not one of ours by its form (${parsed.why}). Give the whole token on standard input and nothing else.`,
    );
  }
  const { header } = parsed;
  const shown = { header, claims: withShortBucket(parsed.claims) };
  switch (header.typ) {
    case TOKEN_TYPES.access:
      return { kind: 'access token', ...shown, ...(await judged(authority, token)) };
    case TOKEN_TYPES.refresh: {
      const found = await authority.grants.ofRefreshToken(token, FROM);
      return { kind: 'refresh token', ...shown, ...refreshStanding(found) };
    }
    case TOKEN_TYPES.magicLink: {
      const { verdict } = await authority.login.inspect(token, { browser: undefined, ...FROM });
      const word =
        verdict.kind === 'known' ? verdict.state : verdict.kind === 'invalid' ? verdict.verdict : verdict.kind;
      return { kind: 'login link', ...shown, verdict: String(word), record: undefined };
    }
    default:
      return { kind: 'other (ID tokens have no record)', ...shown, verdict: 'not judged', record: undefined };
  }
}

async function judged({ tokens }: Authority, token: string): Promise<Pick<Inspected, 'verdict' | 'record'>> {
  const judgement = await tokens.judge(token, FROM);
  if (judgement.kind === 'refused') return { verdict: `refused: ${judgement.why}`, record: undefined };
  return { verdict: judgement.verdict, record: judgement.row && recordOf(judgement.row) };
}

function refreshStanding(
  found: Awaited<ReturnType<Authority['grants']['ofRefreshToken']>>,
): Pick<Inspected, 'verdict' | 'record'> {
  if (!found) return { verdict: 'not a refresh token of a grant here', record: undefined };
  const { grant, isGood } = found;
  const state = grant.endedAtMs === undefined ? undefined : `ended ${when(grant.endedAtMs)} (${grant.endReason})`;
  const verdict = isGood ? 'live: the newest of its grant' : state ? 'revoked' : 'superseded, or its grant is expired';
  return { verdict, record: { grant: grant.id, client: grant.clientId, user: grant.userId, state } };
}

async function revokeToken(terminal: Terminal, name: string, options: JsonOption): Promise<void> {
  const token = name === '-' ? await readToken(terminal) : undefined;
  const answer = await withAuthority(terminal, (opened) =>
    token === undefined ? revokeById(opened.authority, name) : revokePresented(opened.authority, token),
  );
  reply(terminal, options, answer);
}

async function revokeById(authority: Authority, jti: string) {
  if (!isId('acctok', jti)) {
    throw new CommandRefused(
      'not_a_token_id',
      'A token is named by its jti (acctok_…), or given on standard input with: countersign token revoke -',
    );
  }
  const row = await authority.tokens.find(jti);
  if (!row) throw new CommandRefused('unknown_token', NO_SUCH_TOKEN);
  const isDone = await authority.store.write((tx) => authority.tokens.revoke(tx, jti));
  const text = isDone ? `${jti} is revoked.` : `${jti} had been revoked already.`;
  return { text, json: { jti, revoked: true, hadEnded: !isDone } };
}

async function revokePresented(authority: Authority, token: string) {
  const refresh = await authority.grants.ofRefreshToken(token, FROM);
  if (refresh) {
    const { id } = refresh.grant;
    const isDone = await authority.store.write((tx) => authority.grants.end(tx, id, 'operator'));
    const text = isDone ? `${id} is ended, with all its tokens.` : `${id} had ended already.`;
    return { text, json: { grant: id, revoked: true, hadEnded: !isDone } };
  }
  const judgement = await authority.tokens.judge(token, FROM);
  // A tampered token names the row of an honest one: ending that would do the forger's will.
  if (judgement.kind !== 'judged' || !judgement.row || judgement.verdict === 'tampered') {
    throw new CommandRefused('unknown_token', NO_SUCH_TOKEN);
  }
  return revokeById(authority, judgement.row.jti);
}

const NO_SUCH_TOKEN =
  'There is no such token here: it was never issued, or it expired and its row is gone. Nothing was revoked. ' +
  'See what it is with: countersign token inspect';

async function readToken(terminal: Terminal): Promise<string> {
  const token = (await terminal.readInput(MAX_INPUT)).trim();
  if (token !== '') return token;
  throw new CommandRefused(
    'no_token',
    'Reading the token: standard input is empty. Give it as in: countersign token inspect < token.txt, or: token revoke - < token.txt',
  );
}

function recordOf(row: TokenRow): Record<string, string | undefined> {
  return {
    jti: row.jti,
    client: row.clientId,
    user: row.userId,
    grant: row.grantId,
    audience: row.audience,
    key: row.keyId,
    issued: iso(row.issuedAtMs) ?? undefined,
    expires: iso(row.expiresAtMs) ?? undefined,
    superseded: iso(row.supersededAtMs) ?? undefined,
    revoked: iso(row.revokedAtMs) ?? undefined,
  };
}

/** The bucket's first characters: enough to compare by eye. The whole would make the output another copy of a live token's secret. */
function withShortBucket(claims: Record<string, unknown>): Record<string, unknown> {
  return typeof claims.eb === 'string' ? { ...claims, eb: `${claims.eb.slice(0, 8)}…` } : claims;
}
