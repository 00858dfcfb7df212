/**
 * What every engine must do, as tests: `storeConformance('SQLite', open)` registers them. Nothing here knows an engine; it
 * speaks the common dialect and the contract of `store.ts`. A second engine joins by calling it with its own `open`.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Act, type JournalEntry, type Step, type Store, StoreUnavailable, type Transaction } from './store.ts';

export interface ConformanceSubject {
  readonly store: Store;
  /** The journal as written so far, in order. */
  readonly journal: () => Promise<readonly JournalEntry[]>;
  /** Closes the store and removes what was made for it. */
  readonly dispose: () => Promise<void>;
}

/**
 * Opens a fresh, migrated store that also has the table of `CONFORMANCE_TABLE`, with `maxWorkMs` as its limit for one work, so
 * that the test of that limit is quick.
 */
export type OpenSubject = (options: { maxWorkMs: number; createTable: string }) => Promise<ConformanceSubject>;

/** A table of the suite's own. An engine maps BLOB and INTEGER as it does in migrations. */
export const CONFORMANCE_TABLE =
  'CREATE TABLE conformance_item (id TEXT PRIMARY KEY, generation INTEGER NOT NULL, bytes BLOB, note TEXT)';

const MAX_WORK_MS = 60;
const INSERT = 'INSERT INTO conformance_item (id, generation, bytes, note) VALUES ($1, $2, $3, $4)';
const SELECT = 'SELECT id, generation, bytes, note FROM conformance_item WHERE id = $1';
const ROTATE =
  'UPDATE conformance_item SET generation = generation + 1 WHERE id = $1 AND generation = $2 RETURNING generation';

interface Item {
  id: string;
  generation: number;
  bytes: Uint8Array | null;
  note: string | null;
}

export function storeConformance(engine: string, open: OpenSubject): void {
  describe(`store contract on ${engine}`, () => {
    let subject: ConformanceSubject;
    let store: Store;
    let next = 0;
    const freshId = (): string => {
      next += 1;
      return `item-${next}`;
    };
    const insert = (tx: Transaction, id: string): Promise<number> => tx.run(INSERT, id, 0, null, null);
    const find = (id: string): Promise<Item | undefined> => store.read.get<Item>(SELECT, id);

    before(async () => {
      subject = await open({ maxWorkMs: MAX_WORK_MS, createTable: CONFORMANCE_TABLE });
      store = subject.store;
    });
    after(() => subject.dispose());

    describe('values', () => {
      test('text, whole numbers, bytes and null come back as they went in', async () => {
        const id = freshId();
        const bytes = new Uint8Array([0, 1, 127, 128, 255]);
        await store.write((tx) => tx.run(INSERT, id, Number.MAX_SAFE_INTEGER, bytes, 'naïve ✓ $1'));
        const item = await find(id);
        assert.equal(item?.generation, Number.MAX_SAFE_INTEGER);
        assert.deepEqual(new Uint8Array(item?.bytes ?? []), bytes);
        assert.equal(item?.note, 'naïve ✓ $1');
        const empty = freshId();
        await store.write((tx) => insert(tx, empty));
        assert.equal((await find(empty))?.bytes, null);
      });

      test('a placeholder may be used twice and out of order', async () => {
        const id = freshId();
        await store.write((tx) => tx.run(INSERT, id, 1, null, 'a'));
        const text = 'SELECT id FROM conformance_item WHERE note = $2 AND id = $1 AND (id = $1 OR note = $2)';
        assert.equal((await store.read.get<{ id: string }>(text, id, 'a'))?.id, id);
      });

      test('too few or too many values are refused, not read as null', async () => {
        await assert.rejects(store.read.get('SELECT id FROM conformance_item WHERE id = $1'));
        await assert.rejects(store.read.get('SELECT id FROM conformance_item WHERE id = $1', 'a', 'b'));
        await assert.rejects(store.write((tx) => tx.run(INSERT, freshId(), 1)));
      });

      test('run counts changed rows, get without a row is undefined, all without rows is empty', async () => {
        const note = freshId();
        await store.write(async (tx) => {
          for (let count = 0; count < 3; count += 1) await tx.run(INSERT, freshId(), 0, null, note);
        });
        const changed = await store.write((tx) =>
          tx.run('UPDATE conformance_item SET generation = 9 WHERE note = $1', note),
        );
        assert.equal(changed, 3);
        assert.equal(await find('none'), undefined);
        assert.deepEqual(await store.read.all(SELECT, 'none'), []);
      });

      test('ON CONFLICT DO NOTHING RETURNING tells whether the row is new', async () => {
        const id = freshId();
        const text = `${INSERT} ON CONFLICT (id) DO NOTHING RETURNING id`;
        const add = () => store.write((tx) => tx.get<{ id: string }>(text, id, 0, null, null));
        assert.equal((await add())?.id, id);
        assert.equal(await add(), undefined);
      });
    });

    describe('writes', () => {
      test('write answers with what the work returned, and reads then see it', async () => {
        const id = freshId();
        const answer = await store.write(async (tx) => {
          await insert(tx, id);
          return 'answer';
        });
        assert.equal(answer, 'answer');
        assert.equal((await find(id))?.id, id);
      });

      test('reads do not see what is not committed; the transaction sees its own rows', async () => {
        const id = freshId();
        await store.write(async (tx) => {
          await insert(tx, id);
          assert.equal((await tx.get<Item>(SELECT, id))?.id, id);
          assert.equal((await tx.all<Item>(SELECT, id)).length, 1);
          assert.equal(await find(id), undefined);
        });
        assert.equal((await find(id))?.id, id);
      });

      test('a work that throws takes itself back and nobody else', async () => {
        const ids = [freshId(), freshId(), freshId()];
        const mistake = new Error('a mistake of its own');
        const results = await Promise.allSettled(
          ids.map((id, index) =>
            store.write(async (tx) => {
              await insert(tx, id);
              if (index === 1) throw mistake;
            }),
          ),
        );
        assert.deepEqual(
          results.map((result) => result.status),
          ['fulfilled', 'rejected', 'fulfilled'],
        );
        assert.equal(results[1]?.status === 'rejected' && results[1].reason, mistake);
        assert.deepEqual(await Promise.all(ids.map(async (id) => (await find(id)) !== undefined)), [true, false, true]);
      });

      test('a work that throws before it awaits rejects, and a broken constraint rejects only its work', async () => {
        const id = freshId();
        const results = await Promise.allSettled([
          store.write(() => {
            throw new Error('at once');
          }),
          store.write((tx) => insert(tx, id)),
          store.write((tx) => insert(tx, id)),
        ]);
        const [atOnce, ...same] = results.map((result) => result.status);
        assert.equal(atOnce, 'rejected');
        // Which of two that run side by side comes first is the engine's business.
        assert.deepEqual(same.sort(), ['fulfilled', 'rejected']);
      });

      test('a work may catch a failed statement and go on', async () => {
        const id = freshId();
        await store.write((tx) => insert(tx, id));
        const other = freshId();
        await store.write(async (tx) => {
          const held = await tx.get<{ id: string }>(`${INSERT} ON CONFLICT DO NOTHING RETURNING id`, id, 0, null, null);
          if (held === undefined) await insert(tx, other);
        });
        assert.equal((await find(other))?.id, other);
      });

      test('of 100 at once that compare and set the same generation, one wins', async () => {
        const id = freshId();
        await store.write((tx) => insert(tx, id));
        const rotated = await Promise.all(
          Array.from({ length: 100 }, () => store.write((tx) => tx.get<{ generation: number }>(ROTATE, id, 0))),
        );
        assert.equal(rotated.filter((row) => row !== undefined).length, 1);
        assert.equal((await find(id))?.generation, 1);
      });

      test('1,000 writes at once are all in force when they are answered', async () => {
        const ids = Array.from({ length: 1000 }, freshId);
        await Promise.all(ids.map((id) => store.write((tx) => insert(tx, id))));
        const found = await Promise.all(ids.map(find));
        assert.ok(found.every((item) => item !== undefined));
      });
    });

    describe('the transaction', () => {
      test('ends with its work: a later use throws and changes nothing', async () => {
        const id = freshId();
        let kept: Transaction | undefined;
        await store.write(async (tx) => {
          kept = tx;
        });
        assert.ok(kept !== undefined);
        const ended = kept;
        await assert.rejects(insert(ended, id));
        await assert.rejects(ended.get(SELECT, id));
        await assert.rejects(ended.all(SELECT, id));
        assert.throws(() => ended.journal({ kind: 'user_disabled', userId: 'user_1', atMs: 1 }));
        assert.throws(() => ended.afterCommit(() => {}));
        assert.equal(await find(id), undefined);
      });

      test('is of no use in the works that share its commit', async () => {
        const id = freshId();
        let kept: Transaction | undefined;
        const results = await Promise.allSettled([
          store.write(async (tx) => {
            kept = tx;
          }),
          store.write(async () => {
            if (kept !== undefined) await insert(kept, id);
          }),
        ]);
        assert.deepEqual(
          results.map((result) => result.status),
          ['fulfilled', 'rejected'],
        );
        assert.equal(await find(id), undefined);
      });

      test('a work that never settles is taken back and the store goes on', async () => {
        const id = freshId();
        const after = freshId();
        const stuck = store.write(async (tx) => {
          await insert(tx, id);
          await new Promise(() => {});
        });
        const following = store.write((tx) => insert(tx, after));
        await assert.rejects(stuck, /did not settle/);
        await following;
        assert.equal(await find(id), undefined);
        assert.equal((await find(after))?.id, after);
      });
    });

    describe('acts', () => {
      const inserting = (id: string): Step => ({ text: INSERT, values: [id, 0, null, null] });
      const rotating = (id: string, generation: number, why = 'not first'): Step => ({
        text: 'UPDATE conformance_item SET generation = generation + 1 WHERE id = $1 AND generation = $2',
        values: [id, generation],
        must: { rows: 1, why },
      });
      const asking = (id: string, rows: number, why = 'asked'): Step => ({
        text: 'SELECT id FROM conformance_item WHERE id = $1',
        values: [id],
        must: { rows, why },
      });

      test('an act whose rows are as they must be is done, all of it', async () => {
        const [one, two] = [freshId(), freshId()];
        await store.write((tx) => insert(tx, one));
        const outcome = await store.commit({ steps: [asking(one, 1), rotating(one, 0), inserting(two)] });
        assert.deepEqual(outcome, { kind: 'done' });
        assert.equal((await find(one))?.generation, 1);
        assert.equal((await find(two))?.generation, 0);
      });

      test('one that is refused leaves nothing behind, and says why by its first step that failed', async () => {
        const [one, two] = [freshId(), freshId()];
        await store.write((tx) => insert(tx, one));
        const outcome = await store.commit({
          steps: [inserting(two), asking(one, 1), rotating(one, 7, 'generation'), asking('none', 1, 'later')],
        });
        assert.deepEqual(outcome, { kind: 'refused', why: 'generation' });
        assert.equal((await find(one))?.generation, 0);
        assert.equal(await find(two), undefined);
      });

      test('a question may demand that there is nothing, and values keep their kinds', async () => {
        const id = freshId();
        const values = [id, Number.MAX_SAFE_INTEGER, new Uint8Array([0, 255]), null];
        const act: Act = { steps: [asking(id, 0), { text: INSERT, values }] };
        assert.deepEqual(await store.commit(act), { kind: 'done' });
        const found = await find(id);
        assert.equal(found?.generation, Number.MAX_SAFE_INTEGER);
        assert.deepEqual([...(found?.bytes ?? [])], [0, 255]);
        assert.equal(found?.note, null);
        assert.deepEqual(await store.commit(act), { kind: 'refused', why: 'asked' });
      });

      test('of a hundred parallel acts on one row exactly one is done', async () => {
        const id = freshId();
        await store.write((tx) => insert(tx, id));
        const names = Array.from({ length: 100 }, () => freshId());
        const outcomes = await Promise.all(
          names.map((name) => store.commit({ steps: [rotating(id, 0), inserting(name)] })),
        );
        assert.equal(outcomes.filter(({ kind }) => kind === 'done').length, 1);
        const found = await Promise.all(names.map(find));
        assert.equal(found.filter((row) => row !== undefined).length, 1);
      });

      test('a statement that fails rejects, with nothing of the act done', async () => {
        const [one, two] = [freshId(), freshId()];
        await store.write((tx) => insert(tx, one));
        await assert.rejects(store.commit({ steps: [inserting(two), inserting(one)] }));
        assert.equal(await find(two), undefined);
      });

      test('within a transaction it sees what that did; refused, the transaction goes on without it', async () => {
        const [one, two, three] = [freshId(), freshId(), freshId()];
        const outcomes = await store.write(async (tx) => {
          await insert(tx, one);
          const done = await tx.do({ steps: [rotating(one, 0), inserting(two)] });
          const refused = await tx.do({ steps: [inserting(three), rotating(one, 0)] });
          return [done, refused];
        });
        assert.deepEqual(outcomes, [{ kind: 'done' }, { kind: 'refused', why: 'not first' }]);
        assert.equal((await find(one))?.generation, 1);
        assert.ok(await find(two));
        assert.equal(await find(three), undefined);
      });

      test('its journal and what comes after the commit are those of acts that were done', async () => {
        const before = (await subject.journal()).length;
        const ran: string[] = [];
        const act = (id: string, rows: number): Act => ({
          steps: [asking('none', rows)],
          journal: [{ kind: 'grant_ended', grantId: id, atMs: 1, reason: 'test' }],
          afterCommit: [() => void ran.push(id)],
        });
        await store.commit(act('grant_done', 0));
        await store.commit(act('grant_refused', 1));
        await store.write(async (tx) => {
          await tx.do(act('grant_within', 0));
          await tx.do(act('grant_refused_within', 1));
        });
        const kept = (await subject.journal())
          .slice(before)
          .map((entry) => entry.kind === 'grant_ended' && entry.grantId);
        assert.deepEqual(kept, ['grant_done', 'grant_within']);
        assert.deepEqual(ran, ['grant_done', 'grant_within']);
      });
    });

    describe('the journal', () => {
      test('holds the entries of the works that succeeded, each work’s in their order, and no others', async () => {
        const before = (await subject.journal()).length;
        const entry = (atMs: number): JournalEntry => ({
          kind: 'grant_ended',
          grantId: 'grant_1',
          atMs,
          reason: 'test',
        });
        await Promise.allSettled([
          store.write(async (tx) => tx.journal(entry(1))),
          store.write(async (tx) => {
            tx.journal(entry(2));
            throw new Error('taken back');
          }),
          store.write(async (tx) => {
            tx.journal(entry(3));
            tx.journal(entry(4));
          }),
        ]);
        const kept = (await subject.journal()).slice(before);
        // Works that run side by side may commit in either order; the lines of one stand in theirs.
        assert.deepEqual(
          kept.toSorted((a, b) => a.atMs - b.atMs),
          [entry(1), entry(3), entry(4)],
        );
        assert.equal(kept.findIndex(({ atMs }) => atMs === 4) - kept.findIndex(({ atMs }) => atMs === 3), 1);
      });
    });

    describe('after the commit', () => {
      test('runs what the works that succeeded asked for, once what they wrote can be read, and nothing else', async () => {
        const id = freshId();
        const ran: string[] = [];
        let seen: Promise<Item | undefined> | undefined;
        const written = store.write(async (tx) => {
          tx.afterCommit(() => {
            ran.push('kept');
            seen = find(id);
          });
          await insert(tx, id);
          assert.deepEqual(ran, []);
        });
        const results = await Promise.allSettled([
          written,
          store.write(async (tx) => {
            tx.afterCommit(() => ran.push('taken back'));
            throw new Error('no');
          }),
        ]);
        assert.deepEqual(
          results.map((result) => result.status),
          ['fulfilled', 'rejected'],
        );
        assert.deepEqual(ran, ['kept']);
        assert.equal((await seen)?.id, id);
      });

      test('a mistake in it hurts neither the commit nor what others asked for', async () => {
        const id = freshId();
        let hasRun = false;
        const answers = await Promise.all([
          store.write(async (tx) => {
            tx.afterCommit(() => {
              throw new Error('a mistake of its own');
            });
            await insert(tx, id);
            return 'answered';
          }),
          store.write(async (tx) => {
            tx.afterCommit(() => {
              hasRun = true;
            });
          }),
        ]);
        assert.equal(answers[0], 'answered');
        assert.equal(hasRun, true);
        assert.equal((await find(id))?.id, id);
      });
    });

    describe('the whole', () => {
      test('the epoch is there from the first migration on', async () => {
        assert.equal(await store.epoch(), 1);
      });

      test('reads refuse to write', async () => {
        const id = freshId();
        await assert.rejects(store.read.all(`${INSERT} RETURNING id`, id, 0, null, null));
        assert.equal(await find(id), undefined);
      });

      test('close answers what it had taken; afterwards the store is unavailable', async () => {
        const own = await open({ maxWorkMs: MAX_WORK_MS, createTable: CONFORMANCE_TABLE });
        const taken = own.store.write((tx) => insert(tx, 'last'));
        const closing = own.store.close();
        assert.equal(await taken, 1);
        await closing;
        await assert.rejects(
          own.store.write((tx) => insert(tx, 'late')),
          StoreUnavailable,
        );
        await assert.rejects(own.store.read.get(SELECT, 'last'), StoreUnavailable);
        await own.dispose();
      });
    });
  });
}
