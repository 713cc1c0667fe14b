/* Sync (API.md 7): pushes at the same time as each other and as everything else that writes. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, ids, ok, parallel, tally, times } from './lib/expect.mjs';
import { changes, history, noteRow, pull, pullAll, push, pushNotes, quarrels, sane, show } from './lib/sync.mjs';
import { sound, tryPush, uuid, verdict } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });
const folder = (fields) => ({ id: uuid(), name: uuid(), ...fields });
const PAST = '2001-02-03T04:05:06.789Z';

serverSuite('Sync: races', { limits: { api: 'off' }, dbMax: 12 }, (s) => {
  const atOnce = (user, n, body) =>
    parallel(n, async (k) => sane(ok(await tryPush(user, { deviceId: `d${k % 2}`, ...body }, { fresh: true }))));

  it('the same push five times at once: no duplicates, one step, all answers tell the same', async () => {
    for (let round = 0; round < 6; round += 1) {
      const user = await s.user();
      const old = times(5, (n) => note({ title: `old ${n}` }));
      const oldFolders = times(3, (n) => folder({ name: `old ${n}` }));
      await push(user, { notes: old, folders: oldFolders });
      const body = {
        folders: [...oldFolders.map(({ id }) => ({ id, baseVersion: 1, color: '#112233' })), ...times(3, () => folder())],
        notes: [
          ...old.map(({ id }, n) => ({ id, baseVersion: 1, ...[{ title: 'new' }, { isPinned: true }, { deletedAt: PAST }][n % 3] })),
          ...times(5, () => note({ content: 'x' })),
          { id: old[0].id, baseVersion: 1 },
          note({ baseVersion: 3 }),
        ],
      };
      const answers = await atOnce(user, 5, body);
      for (const kind of ['notes', 'folders']) {
        body[kind].forEach((item, n) => {
          const results = answers.map((answer) => answer[kind][n]);
          assert.equal(new Set(results.map(verdict)).size, 1, show(results.map(verdict)));
          if (verdict(results[0]) === 'applied') {
            assert.equal(results.filter((r) => !r.unchanged).length, 1, 'one of them did it');
            for (const r of results) assert.deepEqual(r.item, results[0].item);
            assert.equal(results[0].version, item.baseVersion ? 2 : 1);
          }
        });
      }
      const rows = await changes(s, user);
      assert.equal(rows.length, 1 + 5 + 3 + 3 + 5);
      for (const { id } of old) assert.equal((await history(s, id)).length, 1);
      await sound(s, user);
    }
  });

  it('500 notes and 500 folders, three times at once', async () => {
    const user = await s.user();
    const folders = times(500, () => folder());
    const body = { folders, notes: times(500, (n) => note({ folderId: folders[n].id, content: `${n}`, tags: ['t'] })) };
    const answers = await atOnce(user, 3, body);
    for (const answer of answers) {
      assert.equal(answer.summary.applied, 1000);
      assert.deepEqual(answer.notes.map((r) => r.item), answers[0].notes.map((r) => r.item));
    }
    assert.equal((await changes(s, user)).length, 1001);
    const marks = folders.map(({ id }, n) => ({ id, baseVersion: 1, position: n }));
    const notes = body.notes.map(({ id }) => ({ id, baseVersion: 1, isFavorite: true }));
    for (const answer of await atOnce(user, 3, { folders: marks, notes })) assert.equal(answer.summary.applied, 1000);
    const got = await pullAll(user, { limit: 1000 });
    assert.deepEqual([...new Set(got.notes.map((item) => item.version))], [2]);
    await sound(s, user);
  });

  it('eight different changes of one version: one wins, the others are conflicts, one of which is kept', async () => {
    const user = await s.user();
    for (let round = 0; round < 10; round += 1) {
      const [item, f] = [note(), folder()];
      await push(user, { notes: [item], folders: [f] });
      const answers = await parallel(8, (n) =>
        push(user, {
          deviceId: `d${n}`,
          notes: [{ id: item.id, baseVersion: 1, title: `${n}` }],
          folders: [{ id: f.id, baseVersion: 1, icon: `${n}` }],
        }),
      );
      for (const kind of ['notes', 'folders']) {
        assert.deepEqual(tally(answers.map((answer) => answer[kind][0].status)), { applied: 1, conflict: 7 });
      }
      const winner = answers.findIndex((answer) => answer.notes[0].status === 'applied');
      assert.equal((await noteRow(s, item.id)).title, `${winner}`);
      assert.equal((await quarrels(s, item.id)).length + (await quarrels(s, f.id)).length, 2);
    }
    await sound(s, user);
  });

  it('a push and a PUT under If-Match of the same version: exactly one wins', async () => {
    const user = await s.user();
    const wins = { push: 0, put: 0 };
    for (let round = 0; round < 30; round += 1) {
      const item = note();
      await pushNotes(user, [item]);
      const [pushed, put] = await Promise.all([
        pushNotes(user, [{ id: item.id, baseVersion: 1, title: 'push' }]),
        user.put(`/notes/${item.id}`, { title: 'put' }, { headers: { 'if-match': '"v1"' } }),
      ]);
      const row = await noteRow(s, item.id);
      assert.equal(row.version, 2);
      if (pushed[0].status === 'applied') fails(put, 412, 'PRECONDITION_FAILED');
      else assert.deepEqual([pushed[0].status, ok(put).title], ['conflict', 'put']);
      wins[row.title] += 1;
    }
    await sound(s, user);
  });

  it('two users who make up the same id: one has it, the other learns CONFLICT and no more', async () => {
    const [alice, bob] = await s.users(2);
    for (let round = 0; round < 15; round += 1) {
      const [shared, sharedFolder] = [uuid(), uuid()];
      const body = (name) => ({
        notes: [note({ title: `${name} before` }), note({ id: shared, title: name }), note({ title: `${name} behind` })],
        folders: [folder(), folder({ id: sharedFolder }), folder()],
      });
      const [a, b] = await Promise.all([push(alice, body('alice')), push(bob, body('bob'))]);
      for (const kind of ['notes', 'folders']) {
        const verdicts = [a, b].map((answer) => answer[kind].map(verdict).join());
        const won = 'applied,applied,applied';
        const lost = 'applied,rejected CONFLICT,applied';
        assert.ok(show(verdicts) === show([won, lost]) || show(verdicts) === show([lost, won]), show(verdicts));
      }
      const owner = a.notes[1].status === 'applied' ? 'alice' : 'bob';
      assert.equal((await noteRow(s, shared)).title, owner);
    }
    for (const user of [alice, bob]) {
      await sound(s, user);
      const all = await pullAll(user, { limit: 3 });
      assert.equal(all.notes.length + all.folders.length, (await changes(s, user)).length);
    }
  });

  it('POST and push of the same new id', async () => {
    const user = await s.user();
    for (let round = 0; round < 20; round += 1) {
      const item = note({ title: 'same' });
      const [pushed, posted] = await Promise.all([pushNotes(user, [item]), user.post('/notes', item)]);
      assert.equal(pushed[0].status, 'applied', 'it is the same');
      assert.equal(posted.status, pushed[0].unchanged ? 201 : 409);
      assert.equal((await noteRow(s, item.id)).version, 1);
    }
  });

  it('deleting for good while it is pushed: a tombstone, whoever was first', async () => {
    const user = await s.user();
    for (let round = 0; round < 20; round += 1) {
      const item = note({ content: 'words' });
      await pushNotes(user, [item]);
      const [[r], [clash]] = await Promise.all([
        pushNotes(user, [{ id: item.id, baseVersion: 1, content: 'more words' }]),
        pushNotes(user, [{ id: item.id, baseVersion: 0, content: 'other words' }], { deviceId: 'two' }),
        user.del(`/notes/${item.id}?permanent=true`).then(ok),
      ]);
      assert.match(verdict(r), /^(applied|rejected NOTE_NOT_FOUND)$/);
      assert.match(verdict(clash), /^(conflict|rejected NOTE_NOT_FOUND)$/);
      const row = await noteRow(s, item.id);
      assert.deepEqual([row.purged, row.content, row.content_plain, row.sync_status], [true, null, '', 'synced']);
    }
  });

  it('everything at once, in all orders: no deadlock, nothing lost, all in order', async () => {
    const user = await s.user();
    const notes = times(12, (n) => note({ title: `${n}` }));
    const folders = times(6, (n) => folder({ name: `f${n}` }));
    await push(user, { notes, folders });
    const acts = [
      (k) => user.put(`/notes/${notes[k % 12].id}`, { title: `put ${k}` }),
      (k) => user.patch(`/notes/${notes[(k * 5) % 12].id}/pin`),
      (k) => user.put(`/folders/${folders[k % 6].id}`, { position: k }),
      (k) => user.put(`/notes/${notes[(k * 7) % 12].id}`, { folderId: folders[k % 6].id }),
      (k) => tryPush(user, { deviceId: 'up', notes: notes.map(({ id }) => ({ id, updatedAt: '2100-01-01T00:00:00Z', tags: [`${k}`] })) }),
      (k) =>
        tryPush(user, {
          deviceId: 'down',
          notes: [...notes].reverse().map(({ id }) => ({ id, updatedAt: '2100-01-01T00:00:00Z', content: `${k}` })),
          folders: [...folders].reverse().map(({ id }) => ({ id, updatedAt: '2100-01-01T00:00:00Z', icon: `${k}` })),
        }),
      (k) => tryPush(user, { deviceId: 'new', notes: [note({ folderId: folders[k % 6].id })], folders: [folder()] }),
      (k) => user.post('/sync/pull', { deviceId: `p${k % 3}`, limit: 3 }),
      () => user.get('/sync/status'),
      () => user.get('/notes'),
    ];
    const answers = await parallel(8, async (n) => {
      const seen = [];
      for (let k = 0; k < 20; k += 1) seen.push((await acts[(n * 3 + k * 7) % acts.length](k + n)).status);
      return seen;
    });
    assert.deepEqual(Object.keys(tally(answers.flat())), ['200'], show(tally(answers.flat())));
    await sound(s, user);
    const all = await pullAll(user, { limit: 7 });
    assert.deepEqual([...ids(all.notes), ...ids(all.folders)].sort(), ids(await changes(s, user)).sort());
  });
});
