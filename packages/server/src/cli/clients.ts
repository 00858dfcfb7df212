/** `countersign client …`: registering applications and resource servers, and taking them out of force. */
import { type Command, InvalidArgumentError } from 'commander';
import {
  AUTH_METHODS,
  type AuthMethod,
  type Client,
  DEFAULT_LIFETIMES,
  DEFAULT_MAX_LIVE_TOKENS,
  GRANT_TYPES,
  type GrantType,
  MOST_LIVE_TOKENS,
  type Registration,
} from '../clients/clients.ts';
import { durationText } from './duration.ts';
import { withAuthority } from './opening.ts';
import {
  choice,
  collected,
  duration,
  type JsonOption,
  type PageOptions,
  wholeNumber,
  withJson,
  withPage,
} from './options.ts';
import { type Answer, iso, pairs, reply, table, when } from './output.ts';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

interface AddOptions extends JsonOption {
  name: string;
  public?: boolean;
  redirectUri?: string[];
  scope?: string[];
  grantType?: GrantType[];
  audience?: string;
  resourceServer?: string[];
  origin?: string[];
  authMethod?: AuthMethod;
  accessLifetime?: number;
  refreshIdle?: number;
  refreshAbsolute?: number;
  grace?: number;
  overlap?: number;
  singleActive?: 'grant' | 'off';
  maxLiveTokens?: number;
  pkce: boolean;
}

/** What a registration gets that does not say otherwise, as the help tells it. */
const DEFAULTS = {
  accessLifetime: durationText(DEFAULT_LIFETIMES.accessLifetimeSeconds),
  refreshIdle: durationText(DEFAULT_LIFETIMES.refreshIdleSeconds),
  refreshAbsolute: durationText(DEFAULT_LIFETIMES.refreshAbsoluteSeconds),
  grace: durationText(DEFAULT_LIFETIMES.graceSeconds),
  overlap: durationText(DEFAULT_LIFETIMES.overlapSeconds),
};

export function clientCommands(program: Command, terminal: Terminal): void {
  const client = program.command('client').description('registered applications and resource servers');
  const add = client
    .command('add')
    .description('register a client; its secret is printed this once')
    .requiredOption('--name <name>', 'as people see it on the consent page')
    .option('--public', 'cannot keep a secret: a page or an app on a device')
    .option('--redirect-uri <uri>', 'where codes go, exactly; may be repeated', collected)
    .option('--scope <words>', 'the most it can obtain; may be repeated', collected)
    .addOption(
      choice('--grant-type <type>', 'default: what fits the redirect URIs; may be repeated', GRANT_TYPES).argParser(
        oneOfGrantTypes,
      ),
    )
    .option('--audience <uri>', 'the API its tokens are for (default: the issuer)')
    .option('--resource-server <uri>', 'audience it may ask about as a resource server; may be repeated', collected)
    .option('--origin <origin>', 'origin of its pages, for CORS; may be repeated', collected)
    .addOption(choice('--auth-method <method>', 'how it sends its secret (default: either way)', AUTH_METHODS))
    .option('--access-lifetime <duration>', `life of an access token (default: ${DEFAULTS.accessLifetime})`, duration)
    .option(
      '--refresh-idle <duration>',
      `a refresh token not used for so long is over (default: ${DEFAULTS.refreshIdle})`,
      duration,
    )
    .option(
      '--refresh-absolute <duration>',
      `a grant is over after so long (default: ${DEFAULTS.refreshAbsolute})`,
      duration,
    )
    .option(
      '--grace <duration>',
      `a repeated refresh gets the same answer for so long (default: ${DEFAULTS.grace})`,
      duration,
    )
    .option(
      '--overlap <duration>',
      `a superseded access token is honoured for so long (default: ${DEFAULTS.overlap})`,
      duration,
    )
    .addOption(choice('--single-active <policy>', 'what a refresh supersedes (default: grant)', ['grant', 'off']))
    .option(
      '--max-live-tokens <number>',
      `most live access tokens (default: ${DEFAULT_MAX_LIVE_TOKENS})`,
      wholeNumber(1, MOST_LIVE_TOKENS),
    )
    .option('--no-pkce', 'allow a confidential client to leave PKCE out');
  withJson(add).action((options: AddOptions) => addClient(terminal, options));

  withPage(client.command('list').description('clients, oldest first'), 'oauth2client').action((options: PageOptions) =>
    listClients(terminal, options),
  );
  withJson(client.command('disable <id>').description('end all it was issued, at once, and refuse it')).action(
    (id: string, options: JsonOption) => disableClient(terminal, id, options),
  );
  withJson(client.command('enable <id>').description('let it work again; what it was issued stays dead')).action(
    (id: string, options: JsonOption) => enableClient(terminal, id, options),
  );
  withJson(
    client.command('rotate-secret <id>').description('print a new secret; the old one stays good for 24 h'),
  ).action((id: string, options: JsonOption) => rotateSecret(terminal, id, options));
}

async function addClient(terminal: Terminal, options: AddOptions): Promise<void> {
  const { client, secret } = await withAuthority(terminal, ({ authority, settings }) =>
    authority.clients.add(registrationOf(options, settings.issuer)),
  );
  reply(terminal, options, added(client, secret));
}

/** What the options say, in the words of a registration. Whatever was not said stays out, so that the domain's defaults hold. */
export function registrationOf(options: AddOptions, issuer: string): Registration {
  const resourceServerFor = options.resourceServer ?? [];
  // A resource server only asks; it gets tokens of its own only when that is said.
  const onlyAsks = resourceServerFor.length > 0 && options.redirectUri === undefined;
  const grantTypes = options.grantType ?? (onlyAsks ? [] : undefined);
  return {
    name: options.name,
    isConfidential: !options.public,
    redirectUris: options.redirectUri ?? [],
    scopes: [...new Set((options.scope ?? []).flatMap((words) => words.split(/\s+/).filter(Boolean)))],
    audience: options.audience ?? issuer,
    resourceServerFor,
    allowedOrigins: options.origin ?? [],
    isPkceRequired: options.pkce,
    ...(grantTypes && { grantTypes }),
    ...(options.authMethod && { authMethod: options.authMethod }),
    ...(options.singleActive && { singleActive: options.singleActive }),
    ...(options.accessLifetime !== undefined && { accessLifetimeSeconds: options.accessLifetime }),
    ...(options.refreshIdle !== undefined && { refreshIdleSeconds: options.refreshIdle }),
    ...(options.refreshAbsolute !== undefined && { refreshAbsoluteSeconds: options.refreshAbsolute }),
    ...(options.grace !== undefined && { graceSeconds: options.grace }),
    ...(options.overlap !== undefined && { overlapSeconds: options.overlap }),
    ...(options.maxLiveTokens !== undefined && { maxLiveTokens: options.maxLiveTokens }),
  };
}

async function listClients(terminal: Terminal, options: PageOptions): Promise<void> {
  const { limit, after } = options;
  const clients = await withAuthority(terminal, ({ authority }) =>
    authority.clients.list({ limit, ...(after !== undefined && { after }) }),
  );
  const rows = clients.map((client) => [
    client.id,
    client.name,
    kindOf(client),
    when(client.createdAtMs),
    stateOf(client),
  ]);
  reply(terminal, options, {
    text: table(
      ['ID', 'NAME', 'KIND', 'ADDED', 'STATE'],
      rows,
      'No clients. Register one with: countersign client add',
    ),
    json: { clients: clients.map(clientJson) },
  });
}

async function disableClient(terminal: Terminal, id: string, options: JsonOption): Promise<void> {
  const isDone = await withAuthority(terminal, ({ authority }) => authority.revocation.disableClient(id));
  if (!isDone) throw unknownClient();
  const text = `${id} is disabled. Everything it was issued is dead from now on; it is refused until: countersign client enable ${id}`;
  reply(terminal, options, { text, json: { id, disabled: true } });
}

async function enableClient(terminal: Terminal, id: string, options: JsonOption): Promise<void> {
  const isDone = await withAuthority(terminal, ({ authority }) => authority.clients.enable(id));
  if (!isDone) throw unknownClient();
  const text = `${id} is enabled. What it was issued before it was disabled stays dead; its users authorize it anew.`;
  reply(terminal, options, { text, json: { id, disabled: false } });
}

async function rotateSecret(terminal: Terminal, id: string, options: JsonOption): Promise<void> {
  const rotated = await withAuthority(terminal, async ({ authority }) => {
    const client = await authority.clients.find(id);
    if (!client) throw unknownClient();
    if (!client.isConfidential) {
      throw new CommandRefused('client_is_public', `${id} is a public client and has no secret that could be rotated.`);
    }
    return { secret: await authority.clients.rotateSecret(id), isDisabled: client.disabledAtMs !== undefined };
  });
  const hint = rotated.isDisabled ? `\nThe client is disabled: enable it with: countersign client enable ${id}` : '';
  reply(terminal, options, {
    text: `${pairs({ client_id: id, client_secret: rotated.secret })}\n\n${SHOWN_ONCE} The one before it stays good for 24 hours.${hint}`,
    json: { client_id: id, client_secret: rotated.secret },
  });
}

const SHOWN_ONCE = 'The secret is shown this once and stored nowhere: keep it now.';

function added(client: Client, secret: string | undefined): Answer {
  const rows = pairs({
    client_id: client.id,
    client_secret: secret,
    'grant types': client.grantTypes.join(' ') || 'none',
    'redirect URIs': client.redirectUris.join(' ') || undefined,
    scopes: client.scopes.join(' ') || undefined,
    audience: client.audience,
    'may ask about': client.resourceServerFor.join(' ') || undefined,
    'access token': durationText(client.accessLifetimeSeconds),
  });
  const note = secret === undefined ? 'It is public: it has no secret, and always uses PKCE.' : SHOWN_ONCE;
  return {
    text: `Registered ${client.name}.\n\n${rows}\n\n${note}`,
    json: { client_id: client.id, client_secret: secret ?? null, client: clientJson(client) },
  };
}

/** Named one by one: what else a client comes to hold is not for a list until somebody says so here. */
function clientJson(client: Client): object {
  const { id, name, isConfidential, authMethod, grantTypes, redirectUris, scopes, audience } = client;
  const { resourceServerFor, allowedOrigins, singleActive, maxLiveTokens, isPkceRequired } = client;
  const { accessLifetimeSeconds, refreshIdleSeconds, refreshAbsoluteSeconds, graceSeconds, overlapSeconds } = client;
  return {
    ...{ id, name, isConfidential, authMethod, grantTypes, redirectUris, scopes, audience },
    ...{ resourceServerFor, allowedOrigins, singleActive, maxLiveTokens, isPkceRequired },
    ...{ accessLifetimeSeconds, refreshIdleSeconds, refreshAbsoluteSeconds, graceSeconds, overlapSeconds },
    createdAt: iso(client.createdAtMs),
    disabledAt: iso(client.disabledAtMs),
    deadBefore: iso(client.deadBeforeMs || undefined),
  };
}

function kindOf(client: Client): string {
  if (client.resourceServerFor.length > 0) return 'resource server';
  return client.isConfidential ? 'confidential' : 'public';
}

function stateOf(client: Client): string {
  return client.disabledAtMs === undefined ? 'enabled' : `disabled ${when(client.disabledAtMs)}`;
}

function unknownClient(): CommandRefused {
  return new CommandRefused('unknown_client', 'There is no client with this id. See: countersign client list');
}

function oneOfGrantTypes(value: string, before: GrantType[] = []): GrantType[] {
  const found = GRANT_TYPES.find((type) => type === value);
  if (found) return [...before, found];
  throw new InvalidArgumentError(`It must be one of ${GRANT_TYPES.join(', ')}.`);
}
