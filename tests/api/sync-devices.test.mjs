/* Sync (API.md 7): where a device is, what status says, and what is logged. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { ids, invalid, ok, parallel, times } from './lib/expect.mjs';
import { pull, pullAll, push, pushNotes, quarrels, sane, sound, status, tryPull, tryPush, uuid } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });
const folder = (fields) => ({ id: uuid(), name: uuid(), ...fields });
const PAST = '2001-02-03T04:05:06.789Z';
const titles = (answer) => answer.notes.map((item) => item.title);

serverSuite('Sync: devices', { limits: { api: 'off' } }, (s) => {
  describe('the cursor of a push', () => {
    it('is behind its own changes when nobody else changed anything', async () => {
      const user = await s.user();
      await pull(user);
      for (const body of [
        { notes: [note()] },
        { folders: [folder()] },
        { notes: [note(), { id: 1 }, note()], folders: [folder(), folder()] },
        { notes: times(100, () => note()), folders: times(100, () => folder()) },
      ]) {
        const done = sane(await push(user, body));
        assert.equal(done.cursor, (await status(user)).cursor);
        const items = [...done.notes, ...done.folders].filter((r) => r.item).map((r) => r.item.updatedAt);
        assert.equal(done.syncedAt, items.sort().at(-1), 'and syncedAt the time of the last');
        for (const from of [{ cursor: done.cursor }, { lastSyncAt: done.syncedAt }]) {
          const got = await pull(user, { deviceId: 'other', ...from });
          assert.deepEqual([got.notes, got.folders], [[], []]);
        }
      }
    });

    it('stays where the device was when others changed something', async () => {
      const user = await s.user();
      const { cursor } = await pull(user);
      await pushNotes(user, [note({ title: 'theirs' })], { deviceId: 'two' });
      const done = await push(user, { notes: [note({ title: 'mine' })] });
      assert.equal(done.cursor, cursor);
      assert.deepEqual(titles(await pull(user, { cursor: done.cursor })), ['theirs', 'mine']);
      ok(await user.post('/notes', { title: 'by REST' }), 201);
      const again = await push(user, { notes: [note({ title: 'more' })] });
      assert.deepEqual(titles(await pull(user, { cursor: again.cursor })), ['by REST', 'more']);
      const last = await push(user, { notes: [note({ title: 'last' })] });
      assert.deepEqual(titles(await pull(user, { cursor: last.cursor })), []);
    });

    it('is the start for a device that never pulled', async () => {
      const user = await s.user();
      await pull(user, { deviceId: 'other' });
      const done = await push(user, { notes: [note({ title: 'a' })] });
      const got = await pull(user, { deviceId: 'probe', cursor: done.cursor });
      assert.deepEqual([titles(got), got.folders.length], [['a'], 1]);
      const later = await push(user, { notes: [note({ title: 'b' })] });
      assert.equal(later.cursor, done.cursor);
      const byTime = await pull(user, { deviceId: 'probe', lastSyncAt: later.syncedAt });
      assert.deepEqual([titles(byTime), byTime.folders.length], [['a', 'b'], 1]);
    });

    it('is in the midst for a device that has not read all pages', async () => {
      const user = await s.user();
      await pushNotes(user, times(5, (n) => note({ title: `${n}` })), { deviceId: 'two' });
      const page = await pull(user, { limit: 3 });
      const done = await push(user, { notes: [note({ title: 'mine' })] });
      for (const from of [{ cursor: done.cursor }, { cursor: page.cursor }, { lastSyncAt: done.syncedAt }]) {
        assert.deepEqual(titles(await pull(user, { deviceId: 'probe', ...from })), ['2', '3', '4', 'mine']);
      }
    });

    it('does not move by pushes that change nothing', async () => {
      const user = await s.user();
      const item = note();
      const start = await pull(user);
      await pushNotes(user, [item], { deviceId: 'two' });
      for (const body of [{}, { notes: [item] }, { notes: [{ id: 1 }] }, { notes: [{ ...item, title: 'x', baseVersion: 0 }] }]) {
        assert.equal((await push(user, body)).cursor, start.cursor);
      }
      const now = await pull(user);
      for (const body of [{}, { notes: [item] }, { notes: [{ id: 1 }] }]) {
        assert.equal((await push(user, body)).cursor, now.cursor);
      }
    });

    it('belongs to the device, however it is named', async () => {
      const user = await s.user();
      const names = ['A', 'a', '\u{1f600}'.repeat(255), "'; --", '<b>"', '%00'];
      for (const deviceId of names) await pull(user, { deviceId });
      const done = await push(user, { deviceId: 'A', notes: [note()] });
      assert.equal((await push(user, { deviceId: ' A ' })).cursor, done.cursor);
      assert.notEqual((await push(user, { deviceId: 'a' })).cursor, done.cursor);
      assert.deepEqual((await status(user)).devices.map((d) => d.deviceId).sort(), [...names].sort());
    });

    it('of another user with the same name of a device is its own', async () => {
      const [alice, bob] = await s.users(2);
      await pull(alice);
      const done = await push(bob, { notes: [note()] });
      assert.equal((await pull(bob, { deviceId: 'probe', cursor: done.cursor })).folders.length, 1);
      assert.equal((await status(bob)).devices.length, 2);
      assert.equal((await status(alice)).devices.length, 1);
    });

    it('leads to everything: six devices that push at once and pull behind what the push answered', async () => {
      const user = await s.user();
      const stores = await parallel(6, async (n) => {
        const deviceId = `d${n}`;
        const store = new Map();
        const take = (items) => items.forEach((item) => item && store.set(item.id, item));
        const first = await pull(user, { deviceId });
        take([...first.notes, ...first.folders]);
        let { cursor } = first;
        for (let k = 0; k < 12; k += 1) {
          const folders = k % 3 ? [folder(), folder()] : [];
          const done = await push(user, { deviceId, folders, notes: k % 4 ? times(3, () => note()) : [] });
          take([...done.notes, ...done.folders].map((r) => r.item));
          ({ cursor } = done);
          if (k % 5 === n % 5) {
            const got = await pullAll(user, { deviceId, cursor, limit: 4 });
            take([...got.notes, ...got.folders]);
          }
        }
        return { store, cursor, deviceId };
      });
      const all = await pull(user, { limit: 1000 });
      for (const { store, cursor, deviceId } of stores) {
        const got = await pullAll(user, { deviceId, cursor });
        for (const item of [...got.notes, ...got.folders]) store.set(item.id, item);
        for (const item of [...all.notes, ...all.folders]) assert.deepEqual(store.get(item.id), item);
        assert.equal(store.size, all.notes.length + all.folders.length);
      }
      await sound(s, user);
    });

    it('a device that was not seen for 180 days is forgotten, and begins again', async () => {
      const user = await s.user();
      for (const deviceId of ['old', 'young', 'pushes']) await pull(user, { deviceId });
      await push(user, { deviceId: 'pushes' });
      const age = (name, days) =>
        s.sql(
          `UPDATE sync_devices SET last_pull_at = now() - make_interval(days => $3)
           WHERE user_id = $1 AND device_id = $2`,
          [user.user.id, name, days],
        );
      await age('old', 181);
      await age('young', 179);
      await age('pushes', 400);
      await s.sql("INSERT INTO jobs (type, payload, run_at) VALUES ('retention', '{}', now())");
      const names = async () => (await status(user)).devices.map((d) => d.deviceId).sort();
      await until(async () => (await names()).length === 2, 15000, 'it is forgotten');
      assert.deepEqual(await names(), ['pushes', 'young']);
      const { cursor } = await push(user, { deviceId: 'old', notes: [note()] });
      const got = await pull(user, { deviceId: 'probe', cursor });
      assert.deepEqual([got.notes.length, got.folders.length], [1, 1]);
    });
  });

  describe('status', () => {
    it('of a user who never synced', async () => {
      const user = await s.user();
      const { cursor, ...rest } = await status(user);
      assert.deepEqual(rest, {
        lastSyncAt: null,
        lastPullAt: null,
        lastPushAt: null,
        pendingConflicts: 0,
        conflicts: [],
        counts: { notes: 0, folders: 1, deletedNotes: 0, deletedFolders: 0 },
        devices: [],
      });
      const got = await pull(user, { cursor });
      assert.deepEqual([got.notes, got.folders], [[], []], 'its cursor is behind everything');
    });

    it('judges its query', async () => {
      const user = await s.user();
      invalid(await user.get(`/sync/status?deviceId=${'x'.repeat(256)}`), ['deviceId', 'TOO_LONG']);
      invalid(await user.get('/sync/status?deviceid=x'), ['deviceid', 'UNKNOWN_FIELD']);
      invalid(await user.get('/sync/status?deviceId=x&deviceId=y'), ['deviceId', null]);
      await pull(user);
      assert.ok((await status(user, '?deviceId=')).lastPullAt, 'an empty one is none');
    });

    it('has the times of all devices, or of one', async () => {
      const user = await s.user();
      const began = new Date(Date.now() - 1000).toISOString();
      await pull(user, { deviceId: 'a' });
      const afterPull = await status(user);
      assert.deepEqual([afterPull.lastSyncAt, afterPull.lastPushAt], [afterPull.lastPullAt, null]);
      assert.ok(afterPull.lastPullAt > began);
      await push(user, { deviceId: 'b', notes: [note()] });
      const all = await status(user);
      assert.ok(all.lastPushAt >= all.lastPullAt);
      assert.equal(all.lastSyncAt, all.lastPushAt);
      assert.equal(all.lastPullAt, afterPull.lastPullAt);
      const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => status(user, `?deviceId=${name}`)));
      assert.deepEqual([a.lastSyncAt, a.lastPullAt, a.lastPushAt], [all.lastPullAt, all.lastPullAt, null]);
      assert.deepEqual([b.lastSyncAt, b.lastPullAt, b.lastPushAt], [all.lastPushAt, null, all.lastPushAt]);
      assert.deepEqual([c.lastSyncAt, c.lastPullAt, c.lastPushAt], [null, null, null]);
      for (const one of [a, b, c]) {
        assert.deepEqual({ ...one, lastSyncAt: 0, lastPullAt: 0, lastPushAt: 0 }, { ...all, lastSyncAt: 0, lastPullAt: 0, lastPushAt: 0 });
      }
      assert.deepEqual(all.devices, [
        { deviceId: 'b', lastSyncAt: all.lastPushAt },
        { deviceId: 'a', lastSyncAt: all.lastPullAt },
      ]);
      await pull(user, { deviceId: 'a' });
      const later = await status(user);
      assert.deepEqual(later.devices.map((d) => d.deviceId), ['a', 'b'], 'the latest first');
      assert.equal(later.lastSyncAt, later.lastPullAt);
    });

    it('counts what there is; what was purged is in none', async () => {
      const user = await s.user();
      const notes = times(7, () => note());
      const folders = times(4, () => folder());
      await push(user, { notes, folders });
      for (const { id } of notes.slice(0, 3)) ok(await user.del(`/notes/${id}`));
      for (const { id } of [notes[0], notes[6]]) ok(await user.del(`/notes/${id}?permanent=true`));
      ok(await user.del(`/folders/${folders[0].id}`));
      assert.deepEqual((await status(user)).counts, { notes: 3, folders: 4, deletedNotes: 2, deletedFolders: 1 });
      await pushNotes(user, [{ id: notes[1].id, baseVersion: 2, deletedAt: null }]);
      assert.deepEqual((await status(user)).counts, { notes: 4, folders: 4, deletedNotes: 1, deletedFolders: 1 });
    });

    it('lists a hundred conflicts, the oldest first, and counts all', async () => {
      const user = await s.user();
      const notes = times(90, () => note());
      const folders = times(30, () => folder());
      await push(user, { notes, folders });
      const clash = async (kind, list) => {
        const done = sane(await push(user, { [kind]: list.map(({ id }) => ({ id, baseVersion: 0, deletedAt: PAST })) }));
        assert.equal(done.summary.conflicts, list.length);
      };
      await clash('folders', folders);
      const first = await status(user);
      assert.deepEqual([...ids(first.conflicts)].sort(), ids(folders).sort());
      await clash('notes', notes);
      const all = await status(user);
      assert.deepEqual([all.pendingConflicts, all.conflicts.length], [120, 100]);
      assert.deepEqual(all.conflicts.slice(0, 30), first.conflicts);
      assert.deepEqual([...new Set(all.conflicts.map((c) => c.type))], ['folder', 'note']);
      await clash('folders', [folders[0]]);
      const again = await status(user);
      assert.deepEqual([again.pendingConflicts, again.conflicts.length], [120, 100], 'one each');
      assert.ok(!ids(again.conflicts).includes(folders[0].id), 'a newer one stands behind the others');
      for (const { id } of notes.slice(0, 85)) ok(await user.del(`/notes/${id}?permanent=true`));
      const few = await status(user);
      assert.equal(few.pendingConflicts, 35);
      assert.equal(few.conflicts.at(-1).id, folders[0].id);
      const [row] = await quarrels(s, folders[0].id);
      assert.equal(few.conflicts.at(-1).createdAt, row.created_at.toISOString());
      const other = await s.user();
      assert.equal((await status(other)).pendingConflicts, 0);
    });

    it('lists the hundred devices that synced last', async () => {
      const user = await s.user();
      for (let n = 0; n < 105; n += 1) await pull(user, { deviceId: `d${n}` });
      const { devices } = await status(user);
      assert.deepEqual(devices.map((d) => d.deviceId), times(100, (n) => `d${104 - n}`));
    });
  });

  describe('sync_logs', () => {
    it('has a row for each call, and where pulls that brought something began and ended', async () => {
      const user = await s.user();
      let seen = 0;
      const news = async () => {
        const rows = await s.sql('SELECT * FROM sync_logs WHERE user_id = $1 ORDER BY created_at, id', [user.user.id]);
        const fresh = rows.slice(seen);
        seen = rows.length;
        return fresh.map((row) => [row.action, row.device_id, row.notes_synced, row.conflicts_resolved].join(' ')).sort();
      };
      const { cursor } = await pull(user);
      assert.deepEqual(await news(), ['pull one 1 0', 'sync_end one 1 0', 'sync_start one 1 0']);
      await pull(user, { cursor });
      assert.deepEqual(await news(), ['pull one 0 0'], 'nothing came');
      const items = times(5, () => note());
      await push(user, { notes: [...items, { id: 1 }], folders: [folder()], deviceId: 'two' });
      assert.deepEqual(await news(), ['push two 6 0']);
      const a = await pull(user, { cursor, limit: 3 });
      assert.deepEqual(await news(), ['pull one 3 0', 'sync_start one 3 0']);
      const b = await pull(user, { cursor: a.cursor, limit: 1 });
      assert.deepEqual(await news(), ['pull one 1 0']);
      await pull(user, { cursor: b.cursor, limit: 9 });
      assert.deepEqual(await news(), ['pull one 2 0', 'sync_end one 2 0']);
      const clash = items.slice(0, 2).map(({ id }) => ({ id, baseVersion: 0, title: 'x' }));
      await push(user, { notes: [...clash, items[2]] });
      assert.deepEqual(await news(), ['conflict_detected one 2 0', 'push one 1 0']);
      await push(user, {});
      assert.deepEqual(await news(), ['push one 0 0']);
      await tryPull(user, { limit: 0 });
      await tryPush(user, { notes: 1 });
      await status(user);
      assert.deepEqual(await news(), [], 'calls that were refused are in no log');
    });

    it('is kept for 90 days', async () => {
      const user = await s.user();
      await pull(user);
      await push(user, {});
      const log = async () => (await s.sql('SELECT action FROM sync_logs WHERE user_id = $1', [user.user.id])).map((r) => r.action);
      await s.sql(
        `UPDATE sync_logs SET created_at = now() - make_interval(days => CASE action WHEN 'pull' THEN 91 ELSE 89 END)
         WHERE user_id = $1`,
        [user.user.id],
      );
      await s.sql("INSERT INTO jobs (type, payload, run_at) VALUES ('retention', '{}', now())");
      await until(async () => !(await log()).includes('pull'), 15000, 'the old one goes');
      assert.deepEqual((await log()).sort(), ['push', 'sync_end', 'sync_start']);
    });
  });
});
