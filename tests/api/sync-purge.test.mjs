/* Deleting notes for good while others change them: what must not be left behind, and what must not go. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { ok } from './lib/expect.mjs';
import { history, noteRow, pushNotes, quarrels, uuid } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', content: 'words', ...fields });

serverSuite('Sync: deleting for good', { limits: { api: 'off' }, dbMax: 6 }, (s) => {
  /** Runs the actions one behind the other: each waits for the lock of the user before the next one starts. */
  const queued = async (user, actions) => {
    const lock = await s.session();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [user.user.id]);
    const answers = [];
    for (const act of actions) {
      answers.push(act());
      await until(async () => (await s.waiting()) === answers.length, 5000, 'it waits');
    }
    await lock.query('COMMIT');
    return Promise.all(answers);
  };

  const writers = {
    'a push': (user, id) => pushNotes(user, [{ id, baseVersion: 1, content: 'more words' }]),
    'a PUT': (user, id) => user.put(`/notes/${id}`, { content: 'more words' }).then(ok),
    'a push that is a conflict': (user, id) => pushNotes(user, [{ id, baseVersion: 0, content: 'more words' }]),
  };
  for (const [name, write] of Object.entries(writers)) {
    it(`takes with it what ${name} wrote while it waited`, async () => {
      const user = await s.user();
      const item = note();
      await pushNotes(user, [item]);
      await queued(user, [() => write(user, item.id), () => user.del(`/notes/${item.id}?permanent=true`).then(ok)]);
      assert.equal((await noteRow(s, item.id)).purged, true);
      assert.deepEqual(await history(s, item.id), [], 'no history');
      assert.deepEqual(await quarrels(s, item.id), [], 'no conflict');
    });
  }

  it('by the job leaves alone what was taken out of the trash meanwhile', async () => {
    const [alice, bob] = await s.users(2);
    const items = [note(), note()];
    for (const [n, user] of [alice, bob].entries()) {
      await pushNotes(user, [items[n]]);
      ok(await user.del(`/notes/${items[n].id}`));
      await s.sql("UPDATE notes SET deleted_at = now() - make_interval(days => $2) WHERE id = $1", [items[n].id, 40 - n]);
    }
    const lock = await s.session();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [alice.user.id]);
    const [{ id }] = await s.sql("INSERT INTO jobs (type, payload, run_at) VALUES ('trash_purge', '{}', now()) RETURNING id");
    await until(async () => (await s.waiting()) === 1, 15000, "the job waits for alice's lock");
    const [r] = await pushNotes(bob, [{ id: items[1].id, baseVersion: 2, deletedAt: null }]);
    assert.equal(r.item.deletedAt, null);
    await lock.query('COMMIT');
    await until(
      async () => (await s.sql("SELECT 1 FROM jobs WHERE id = $1 AND status = 'completed'", [id])).length,
      15000,
      'the job ends',
    );
    assert.equal((await noteRow(s, items[0].id)).purged, true);
    assert.equal((await noteRow(s, items[1].id)).purged, false, 'a note that is no more in the trash is not purged');
  });
});
