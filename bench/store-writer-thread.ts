/**
 * Prototype, living only in the bench: the writer on a thread of its own. It is fed whole rotations as messages; all that have
 * arrived share one commit, each in a savepoint, and one message answers them. Same pragmas, statements and journal as the store.
 */
import { join } from 'node:path';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { SqliteHandle } from '../packages/server/src/store/handle.ts';
import { JournalFolder } from '../packages/server/src/store/journal.ts';
import { journalEntry, type Rotation, rotationStatements } from './store-rotation.ts';

export interface ThreadRequest {
  readonly id: number;
  readonly rotation: Rotation;
}

export interface ThreadAnswer {
  readonly id: number;
  readonly rotated: boolean;
}

// The bench starts this file with exactly this, and posts only lists of requests.
const { dataFolder } = workerData as { dataFolder: string };
const port = parentPort;
if (port === null) throw new Error('This file runs as a worker thread of bench/store.ts.');

const handle = new SqliteHandle({ file: join(dataFolder, 'countersign.db'), role: 'writer' });
const journal = new JournalFolder({
  folder: join(dataFolder, 'journal'),
  describe: () => ({ epoch: 1, nowMs: 0 }),
});

port.on('message', (first: ThreadRequest[] | 'close') => {
  if (first === 'close') {
    handle.close();
    port.close();
    return;
  }
  const requests = [...first];
  for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port)) {
    requests.push(...(more.message as ThreadRequest[]));
  }
  handle.run('BEGIN IMMEDIATE', []);
  const answers = requests.map(({ id, rotation }): ThreadAnswer => ({ id, rotated: rotate(rotation) }));
  journal.append(requests.map(({ rotation }) => journalEntry(rotation)));
  handle.run('COMMIT', []);
  port.postMessage(answers);
});

function rotate(rotation: Rotation): boolean {
  const [compareAndSet, ...others] = rotationStatements(rotation);
  handle.run('SAVEPOINT work', []);
  const rotated = handle.get(compareAndSet.text, compareAndSet.values) !== undefined;
  if (rotated) for (const statement of others) handle.run(statement.text, statement.values);
  handle.run('RELEASE work', []);
  return rotated;
}
