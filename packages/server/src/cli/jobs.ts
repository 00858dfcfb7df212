/** `countersign jobs`: which node does which job. */
import type { Command } from 'commander';
import type { LeaseRow } from '../leases/leases.ts';
import { withAuthority } from './opening.ts';
import { type JsonOption, withJson } from './options.ts';
import { iso, reply, table, when } from './output.ts';
import type { Terminal } from './terminal.ts';

export function jobCommands(program: Command, terminal: Terminal): void {
  withJson(program.command('jobs').description('which node does which job, as the store has it')).action(
    (options: JsonOption) => listJobs(terminal, options),
  );
}

async function listJobs(terminal: Terminal, options: JsonOption): Promise<void> {
  const leases = await withAuthority(terminal, ({ authority }) => authority.leases.list());
  const rows = leases.map(({ name, holder = 'nobody', number, heldSinceMs, renewedAtMs }) => [
    ...[name, holder, String(number), when(heldSinceMs), when(renewedAtMs)],
  ]);
  reply(terminal, options, {
    text: table(['JOB', 'NODE', 'NUMBER', 'SINCE', 'RENEWED'], rows, 'No jobs: no server has run on this store yet.'),
    json: { jobs: leases.map(jobJson) },
  });
}

/** Both times are by the clock of the node. */
function jobJson({ name, holder, number, heldSinceMs, renewedAtMs }: LeaseRow): object {
  return { name, node: holder ?? null, number, since: iso(heldSinceMs), renewedAt: iso(renewedAtMs) };
}
