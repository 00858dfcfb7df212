import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mount } from './attempt.ts';
import { GROUPS } from './attempts.ts';
import { openScene } from './scene.ts';

test('EB-03 EB-04 attack-45 keys published: nothing is accepted, every forgery rings, nothing else does', async (t) => {
  const scene = await openScene();
  t.after(() => scene.close());
  for (const { title, attempts } of GROUPS) {
    await t.test(title, async (group) => {
      for (const attempt of attempts) {
        await group.test(`${attempt.name} → ${attempt.where}`, async () => {
          const { answer, wrong } = await mount(scene, attempt);
          assert.deepEqual(wrong, [], `${answer.status} ${answer.code}`);
        });
      }
    });
  }
});
