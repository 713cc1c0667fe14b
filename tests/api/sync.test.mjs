/* Sync (API.md 7): pull by cursor. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { fails, ids, invalid, ok, times } from './lib/expect.mjs';
import { asSync, changes, changeSeq, pull, pullAll, pullPages, push, pushNotes, sound, status } from './lib/sync.mjs';
import { tryPull, uuid } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });

serverSuite('Sync: pull', { limits: { api: 'off' } }, (s) => {
  it('what one device pushes another pulls, and repeating it changes nothing', async () => {
    const user = await s.user();
    const first = await pull(user);
    assert.equal(first.folders.length, 1, 'the one that registering made');
    const item = note({ title: 'Hello', content: '<p>a b c</p>', tags: ['x', 'y'] });
    const folder = { id: uuid(), name: 'New', color: '#112233' };
    const done = await push(user, { notes: [item, { id: 5 }, { ...item, title: 'again' }], folders: [folder] });
    assert.deepEqual(done.summary, { applied: 2, conflicts: 0, rejected: 2 });
    const again = await push(user, { notes: [item], folders: [folder] });
    assert.deepEqual(
      [...again.notes, ...again.folders].map((r) => [r.status, r.version, r.unchanged]),
      [
        ['applied', 1, true],
        ['applied', 1, true],
      ],
    );
    const second = await pull(user, { deviceId: 'two', cursor: first.cursor });
    assert.deepEqual(second.notes, [done.notes[0].item]);
    assert.deepEqual(second.folders, [done.folders[0].item]);
    assert.equal(second.cursor, (await status(user)).cursor);
    assert.deepEqual(await pull(user, { cursor: second.cursor }).then(({ syncedAt, ...rest }) => rest), {
      notes: [],
      folders: [],
      cursor: second.cursor,
      hasMore: false,
    });
  });

  it('needs a user', async () => {
    for (const [method, path] of [
      ['POST', '/sync/pull'],
      ['POST', '/sync/push'],
      ['GET', '/sync/status'],
    ]) {
      fails(await s.anon.api(method, path, { json: method === 'POST' ? {} : undefined }), 401, 'AUTHENTICATION_REQUIRED');
    }
  });

  describe('its fields', () => {
    const cases = [
      ['no deviceId', { deviceId: undefined }, ['deviceId', 'MISSING_FIELD']],
      ['an empty deviceId', { deviceId: '' }, ['deviceId', 'TOO_SHORT']],
      ['a blank deviceId', { deviceId: ' \t\n\u00a0 ' }, ['deviceId', 'TOO_SHORT']],
      ['a deviceId of 256', { deviceId: '\u{1f600}'.repeat(256) }, ['deviceId', 'TOO_LONG']],
      ['deviceId null', { deviceId: null }, ['deviceId', 'WRONG_TYPE']],
      ['a number as deviceId', { deviceId: 1 }, ['deviceId', 'WRONG_TYPE']],
      ['a control character in deviceId', { deviceId: 'a\u0001b' }, ['deviceId', /INVALID/]],
      ['limit 0', { limit: 0 }, ['limit', 'TOO_SMALL']],
      ['limit -1', { limit: -1 }, ['limit', 'TOO_SMALL']],
      ['limit 1001', { limit: 1001 }, ['limit', 'TOO_LARGE']],
      ['limit 1e300', { limit: 1e300 }, ['limit', /WRONG_TYPE|TOO_LARGE/]],
      ['limit "5"', { limit: '5' }, ['limit', 'WRONG_TYPE']],
      ['limit 1.5', { limit: 1.5 }, ['limit', 'WRONG_TYPE']],
      ['limit null', { limit: null }, ['limit', 'WRONG_TYPE']],
      ['a number as cursor', { cursor: 5 }, ['cursor', 'WRONG_TYPE']],
      ['a cursor that is none', { cursor: 'x' }, ['cursor', null]],
      ['a cursor too long', { cursor: 'A'.repeat(513) }, ['cursor', 'TOO_LONG']],
      ['a day as lastSyncAt', { lastSyncAt: '2026-01-01' }, ['lastSyncAt', 'INVALID_FORMAT']],
      ['lastSyncAt without offset', { lastSyncAt: '2026-01-01T00:00:00' }, ['lastSyncAt', 'INVALID_FORMAT']],
      ['a number as lastSyncAt', { lastSyncAt: 0 }, ['lastSyncAt', 'WRONG_TYPE']],
      ['an unknown field', { since: 1 }, ['since', 'UNKNOWN_FIELD']],
    ];
    let user;
    for (const [name, body, detail] of cases) {
      it(name, async () => {
        user ??= await s.user();
        invalid(await tryPull(user, body), detail);
      });
    }

    it('cursor and lastSyncAt together', async () => {
      const { cursor, syncedAt } = await pull(user);
      invalid(await tryPull(user, { cursor, lastSyncAt: syncedAt }), ['lastSyncAt', 'INVALID_VALUE']);
      for (const body of [
        { cursor, lastSyncAt: null },
        { cursor: null, lastSyncAt: syncedAt },
        { cursor: null, lastSyncAt: null },
      ]) {
        await pull(user, body);
      }
    });

    it('all faults are told at once, missing ones last', async () => {
      const res = await user.post('/sync/pull', { limit: 0, x: 1, cursor: 1 });
      invalid(res, ['limit', 'TOO_SMALL'], ['x', 'UNKNOWN_FIELD'], ['cursor', 'WRONG_TYPE'], ['deviceId', 'MISSING_FIELD']);
      invalid(await user.post('/sync/pull', []), [null, 'WRONG_TYPE']);
      invalid(await user.post('/sync/pull?limit=1', { deviceId: 'x' }), ['limit', 'UNKNOWN_FIELD']);
    });

    it('the longest of all are good', async () => {
      const deviceId = '\u{1f600}'.repeat(255);
      await pull(user, { deviceId: `  ${deviceId} `, limit: 1000, cursor: '' });
      await pull(user, { deviceId, limit: 1 });
      assert.ok((await status(user)).devices.some((device) => device.deviceId === deviceId), 'trimmed, as any line');
    });
  });

  it('a page holds notes and folders together, each once, in the order of the changes, whatever the limit', async () => {
    const user = await s.user();
    const folders = times(6, (n) => ({ id: uuid(), name: `f${n}`, color: '#aabbcc', icon: 'i', position: n }));
    await push(user, { folders: folders.slice(0, 3), notes: times(4, (n) => note({ title: `a${n}` })) });
    const made = times(5, (n) => note({ title: `b${n}`, folderId: folders[n].id, content: `<p>${n}</p>` }));
    await push(user, { folders: folders.slice(3), notes: made });
    ok(await user.put(`/notes/${made[0].id}`, { title: 'later' }));
    ok(await user.put(`/folders/${folders[0].id}`, { name: 'later' }));
    ok(await user.del(`/notes/${made[1].id}`));
    ok(await user.del(`/notes/${made[2].id}?permanent=true`));
    ok(await user.del(`/folders/${folders[1].id}`));
    const order = await changes(s, user);
    const head = (await status(user)).cursor;
    for (let limit = 1; limit <= order.length + 1; limit += 1) {
      const pages = await pullPages(user, { limit, deviceId: `d${limit}` });
      const got = pages.map((page) => [ids(page.notes), ids(page.folders)]);
      const slices = times(Math.ceil(order.length / limit), (n) => order.slice(n * limit, (n + 1) * limit));
      const expected = slices.map((part) => [
        ids(part.filter((row) => row.kind === 'note')),
        ids(part.filter((row) => row.kind === 'folder')),
      ]);
      assert.deepEqual(got, expected, `limit ${limit}`);
      assert.equal(pages.at(-1).cursor, head);
    }
    const all = await pull(user);
    for (const item of all.notes) {
      if (item.id !== made[2].id) {
        assert.deepEqual(item, asSync(ok(await user.get(`/notes/${item.id}?deleted=true`))), 'as GET shows it');
      }
    }
    for (const item of all.folders.filter((folder) => !folder.deletedAt)) {
      assert.deepEqual(item, asSync(ok(await user.get(`/folders/${item.id}`))));
    }
    const find = (id) => [...all.notes, ...all.folders].find((item) => item.id === id);
    assert.ok(find(made[1].id).deletedAt, 'trash is told');
    assert.equal(find(made[1].id).title, 'b1', 'with its texts');
    const gone = find(made[2].id);
    assert.ok(gone.deletedAt, 'what was purged, too');
    assert.deepEqual([gone.title, gone.content, gone.contentPlain, gone.tags, gone.folderId], ['', null, '', [], null]);
    assert.ok(find(folders[1].id).deletedAt);
    await sound(s, user);
  });

  it('an object that changes between pages comes again, in its present state, and none is lost', async () => {
    const user = await s.user();
    const notes = times(9, (n) => note({ title: `${n}` }));
    await pushNotes(user, notes);
    const one = await pull(user, { limit: 4 });
    const [seen] = one.notes;
    ok(await user.put(`/notes/${seen.id}`, { title: 'seen before' }));
    ok(await user.put(`/notes/${notes[8].id}`, { title: 'once' }));
    ok(await user.put(`/notes/${notes[8].id}`, { title: 'twice' }));
    const two = await pullAll(user, { limit: 2, cursor: one.cursor });
    assert.deepEqual(ids(two.notes), [...ids(notes).slice(3, 8), seen.id, notes[8].id]);
    assert.deepEqual(two.notes.slice(-2).map((item) => item.title), ['seen before', 'twice']);
  });

  it('the cursor is always there, and is the same while nothing changes', async () => {
    const user = await s.user();
    const { cursor } = await pull(user);
    for (let round = 0; round < 3; round += 1) assert.equal((await pull(user, { cursor })).cursor, cursor);
    assert.equal((await status(user)).cursor, cursor);
    assert.equal((await pull(user, { cursor: '' })).folders.length, 1, 'an empty one is none');
    await pushNotes(user, [note()]);
    assert.notEqual((await pull(user, { cursor })).cursor, cursor);
  });

  describe('a cursor that is not this user\'s', () => {
    const refused = async (user, cursor, what) => {
      const error = fails(await tryPull(user, { cursor }), 400, 'VALIDATION_ERROR');
      assert.deepEqual(error.details.map((d) => d.field), ['cursor'], what);
    };

    it('but another\'s, or of another endpoint', async () => {
      const [alice, bob] = await s.users(2);
      await refused(alice, (await pull(bob)).cursor);
      for (let n = 0; n < 2; n += 1) ok(await alice.post('/notes', { title: 'x' }), 201);
      await refused(alice, ok(await alice.get('/notes?limit=1')).pagination.nextCursor);
      const { cursor } = await pull(alice, { limit: 1 });
      fails(await alice.get(`/notes?cursor=${cursor}`), 400, 'VALIDATION_ERROR');
    });

    it('because a byte of it is another, is too many or is missing', async () => {
      const user = await s.user();
      await pushNotes(user, [note(), note()]);
      for (const { cursor } of [await pull(user), await pull(user, { limit: 1 })]) {
        const bytes = Buffer.from(cursor, 'base64url');
        for (let n = 0; n < bytes.length; n += 1) {
          for (const mask of [0x01, 0x80, 0xff]) {
            const other = Buffer.from(bytes);
            other[n] ^= mask;
            await refused(user, other.toString('base64url'), `byte ${n} ^ ${mask}`);
          }
        }
        for (let n = 0; n < cursor.length; n += 1) {
          const letter = cursor[n] === 'A' ? 'B' : 'A';
          await refused(user, cursor.slice(0, n) + letter + cursor.slice(n + 1), `letter ${n}`);
          if (n) await refused(user, cursor.slice(0, n), `cut at ${n}`);
        }
        for (const tail of ['A', 'AAAA', '=', '==', '.', '%00']) await refused(user, cursor + tail, tail);
        await refused(user, ` ${cursor.slice(1)}`);
      }
    });
  });

  it('a cursor ahead of the server, as after a backup was restored, starts anew', async () => {
    const user = await s.user();
    const old = times(3, (n) => note({ title: `${n}` }));
    await pushNotes(user, old);
    const kept = await changeSeq(s, user);
    await pushNotes(user, times(4, () => note()));
    const { cursor } = await pull(user);
    await s.sql('DELETE FROM notes WHERE user_id = $1 AND change_seq > $2', [user.user.id, kept]);
    await s.sql('UPDATE users SET change_seq = $2 WHERE id = $1', [user.user.id, kept]);
    const anew = await pull(user, { cursor });
    assert.deepEqual(ids(anew.notes), ids(old));
    assert.equal(anew.folders.length, 1);
    assert.equal(anew.cursor, (await status(user)).cursor);
    const [more] = await pushNotes(user, [note({ title: 'more' })]);
    assert.deepEqual((await pull(user, { cursor: anew.cursor })).notes, [more.item]);
  });

  it('cursors stay good when the server is set up with other secrets', async () => {
    const user = await s.user();
    const { cursor } = await pull(user);
    const other = await s.user();
    assert.notEqual((await pull(other)).cursor, cursor, 'but belong to one user');
    assert.ok(cursor.length <= 512);
  });

  describe('changes by other endpoints', () => {
    let user;
    let device;
    let a;
    let folder;
    /** What came since the last pull: [kind, id, version]. */
    const news = async () => {
      const got = await pullAll(user, { cursor: device, limit: 7 });
      device = got.cursor;
      return got;
    };
    const steps = [
      ['POST /notes', 'note', 1, () => user.post('/notes', { id: a, title: 'made', content: 'x' })],
      ['PUT /notes', 'note', 2, () => user.put(`/notes/${a}`, { title: 'put', content: 'y' })],
      ['PUT that changes nothing', 'note', 0, () => user.put(`/notes/${a}`, { title: 'put' })],
      ['pin', 'note', 3, () => user.patch(`/notes/${a}/pin`, { isPinned: true })],
      ['pin again', 'note', 0, () => user.patch(`/notes/${a}/pin`, { isPinned: true })],
      ['favorite', 'note', 4, () => user.patch(`/notes/${a}/favorite`)],
      ['revert', 'note', 5, () => user.post(`/notes/${a}/revert`, { version: 1 })],
      ['DELETE', 'note', 6, () => user.del(`/notes/${a}`)],
      ['restore', 'note', 7, () => user.post(`/notes/${a}/restore`)],
      ['POST /folders', 'folder', 1, () => user.post('/folders', { id: folder, name: 'made' })],
      ['PUT /folders', 'folder', 2, () => user.put(`/folders/${folder}`, { color: '#000000' })],
      ['into the folder', 'note', 8, () => user.put(`/notes/${a}`, { folderId: folder })],
      ['DELETE of a folder', 'folder', 3, () => user.del(`/folders/${folder}`)],
      ['restore of a folder', 'folder', 4, () => user.post(`/folders/${folder}/restore`)],
      ['DELETE for good', 'note', 9, () => user.del(`/notes/${a}?permanent=true`)],
    ];
    for (const [name, kind, version, act] of steps) {
      it(`${name}: ${version ? 'once' : 'not at all'}`, async () => {
        if (!user) {
          user = await s.user();
          [a, folder] = [uuid(), uuid()];
          await news();
        }
        const res = await act();
        assert.ok(res.status < 300, res.text);
        const { notes, folders } = await news();
        const id = kind === 'note' ? a : folder;
        const got = [...notes.map((o) => ['note', o.id, o.version]), ...folders.map((o) => ['folder', o.id, o.version])];
        assert.deepEqual(got, version ? [[kind, id, version]] : []);
        assert.deepEqual((await news()).notes, []);
      });
    }

    it('the job that empties the trash', async () => {
      const [b, c] = [uuid(), uuid()];
      await pushNotes(user, [note({ id: b, title: 'words' }), note({ id: c })]);
      ok(await user.del(`/notes/${b}`));
      await s.sql("UPDATE notes SET deleted_at = now() - interval '31 days' WHERE id = $1", [b]);
      await news();
      await s.sql("INSERT INTO jobs (type, payload, run_at) VALUES ('trash_purge', '{}', now())");
      const got = await until(async () => {
        const { notes } = await news();
        return notes.length && notes;
      }, 15000, 'the tombstone comes');
      assert.deepEqual(got.map((item) => [item.id, item.version, item.title, item.content]), [[b, 3, '', null]]);
      assert.ok(got[0].deletedAt);
      assert.deepEqual((await news()).notes, []);
      const anew = await pull(user);
      assert.equal(anew.notes.filter((item) => item.id === b).length, 1, 'the tombstone is told to whoever starts');
    });
  });

  it('1,300 notes and 300 folders come in pages of a thousand', async () => {
    const user = await s.user();
    for (let n = 0; n < 3; n += 1) {
      const folders = times(100, (k) => ({ id: uuid(), name: `f${n}.${k}` }));
      await push(user, { notes: times(n ? 400 : 500, (k) => note({ title: `${n}.${k}` })), folders });
    }
    const order = await changes(s, user);
    assert.equal(order.length, 1601);
    const pages = await pullPages(user, { limit: 1000 });
    assert.deepEqual(pages.map((page) => page.notes.length + page.folders.length), [1000, 601]);
    const rows = (kind) => ids(order.filter((row) => row.kind === kind));
    assert.deepEqual(ids(pages.flatMap((page) => page.notes)), rows('note'));
    assert.deepEqual(ids(pages.flatMap((page) => page.folders)), rows('folder'));
    const usual = await pullPages(user);
    assert.deepEqual(usual.map((page) => page.notes.length + page.folders.length), [500, 500, 500, 101], 'unless told 500');
  });
});
