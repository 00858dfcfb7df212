/** `countersign alarms`: what rang. */
import { type Command, InvalidArgumentError } from 'commander';
import { EVENT_TYPES, type EventType, type RecordedEvent } from '../events/events.ts';
import { withAuthority } from './opening.ts';
import { type JsonOption, withJson, withLimit } from './options.ts';
import { iso, reply, table, when } from './output.ts';
import type { Terminal } from './terminal.ts';

interface AlarmOptions extends JsonOption {
  limit: number;
  type?: EventType;
}

const PREFIX = 'alarm.';

export function alarmCommands(program: Command, terminal: Terminal): void {
  withJson(withLimit(program.command('alarms').description('alarms, newest first')))
    .option('--type <type>', 'only these: forged, tampered, replayed, cleartext', alarmType)
    .action((options: AlarmOptions) => listAlarms(terminal, options));
}

async function listAlarms(terminal: Terminal, options: AlarmOptions): Promise<void> {
  const { limit, type } = options;
  const alarms = await withAuthority(terminal, ({ authority }) =>
    authority.events.alarms({ limit, ...(type && { type }) }),
  );
  const rows = alarms.map((alarm) => [
    when(alarm.atMs),
    alarm.type.slice(PREFIX.length),
    alarm.severity,
    String(alarm.occurrences),
    alarm.address ?? '',
    subjectOf(alarm),
  ]);
  reply(terminal, options, {
    text: table(['AT', 'ALARM', 'SEVERITY', 'TIMES', 'FROM', 'CONCERNS'], rows, 'No alarms.'),
    json: { alarms: alarms.map(alarmJson) },
  });
}

function alarmJson({ id, type, severity, occurrences, atMs, ...concerned }: RecordedEvent): object {
  const { keyId, clientId, userId, tokenId, address, detail } = concerned;
  return { id, at: iso(atMs), type, severity, occurrences, keyId, clientId, userId, tokenId, address, detail };
}

/** The ids that an operator goes on with. */
function subjectOf({ keyId, clientId, userId, tokenId, detail }: RecordedEvent): string {
  const grant = typeof detail?.grant === 'string' ? detail.grant : undefined;
  return [keyId, clientId, userId, tokenId, grant].filter((id) => id !== undefined).join(' ');
}

function alarmType(text: string): EventType {
  const alarms = Object.entries(EVENT_TYPES).flatMap(([type, { rings }]) => (rings ? [type as EventType] : [])); // its keys
  const found = alarms.find((type) => type === text || type === `${PREFIX}${text}`);
  if (found) return found;
  throw new InvalidArgumentError(`It must be one of ${alarms.map((type) => type.slice(PREFIX.length)).join(', ')}.`);
}
