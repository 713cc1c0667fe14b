/* Sync (API.md 7): what becomes of pushed fields, names of folders, history, search, and answers that are kept. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { NOWHERE, ids, ok, times } from './lib/expect.mjs';
import { asSync, folderHistory, folderRow, history, noteRow, pull, push } from './lib/sync.mjs';
import { pushFolders, pushNotes, quarrels, sane, sound, uuid, verdict } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });
const folder = (fields) => ({ id: uuid(), name: uuid(), ...fields });
const PAST = '2001-02-03T04:05:06.789Z';
const one = async (user, item) => (await pushNotes(user, [item]))[0];
const oneFolder = async (user, item) => (await pushFolders(user, [item]))[0];

serverSuite('Sync: rules of push', { limits: { api: 'off' } }, (s) => {
  let user;
  const fresh = async () => {
    user = await s.user();
    return user;
  };

  it('a new note has what was sent, and else what POST gives it', async () => {
    await fresh();
    const bare = { id: uuid() };
    const twin = { id: uuid() };
    const { item } = await one(user, bare);
    const posted = asSync(ok(await user.post('/notes', twin), 201));
    const same = ({ id, createdAt, updatedAt, ...rest }) => rest;
    assert.deepEqual(same(item), same(posted));
    assert.deepEqual(item, asSync(ok(await user.get(`/notes/${bare.id}`))));
    const full = {
      id: uuid(),
      title: ' A \u{1f600} title ',
      content: '<p>One</p><p>two &amp; <b>three</b></p><script>no</script>\r\n\t',
      tags: ['b', 'a', 'b', ' a '],
      isPinned: true,
      isFavorite: true,
      clientUpdatedAt: '2020-01-01T00:00:00.1239+01:00',
      createdAt: PAST,
      updatedAt: '2030-01-01T00:00:00Z',
      baseVersion: 0,
    };
    const made = (await one(user, full)).item;
    assert.deepEqual(
      [made.title, made.content, made.contentPlain, made.wordCount, made.tags, made.isPinned, made.isFavorite],
      ['A \u{1f600} title', full.content, 'One two & three', 4, ['b', 'a'], true, true],
    );
    assert.deepEqual([made.clientUpdatedAt, made.createdAt], ['2019-12-31T23:00:00.123Z', PAST]);
    assert.ok(Math.abs(Date.parse(made.updatedAt) - Date.now()) < 60000, 'updatedAt is server time');
    assert.deepEqual([made.version, made.syncStatus, made.deletedAt], [1, 'synced', null]);
    assert.deepEqual(made, asSync(ok(await user.get(`/notes/${full.id}`))));
    const repeat = await one(user, full);
    assert.deepEqual([repeat.unchanged, repeat.version, repeat.item], [true, 1, made]);
    await sound(s, user);
  });

  it('an empty title is the usual one; createdAt counts only for what is new, and never in the future', async () => {
    await fresh();
    for (const title of ['', '  ']) assert.equal((await one(user, note({ title }))).item.title, 'Untitled Note');
    const future = (await one(user, note({ createdAt: '2999-01-01T00:00:00Z' }))).item;
    assert.equal(future.createdAt, future.updatedAt);
    assert.equal((await one(user, note({ createdAt: '1970-01-01T00:00:00Z' }))).item.createdAt, '1970-01-01T00:00:00.000Z');
    assert.equal((await oneFolder(user, folder({ createdAt: PAST }))).item.createdAt, PAST);
    const late = (await oneFolder(user, folder({ createdAt: '9999-12-31T23:59:59.999Z' }))).item;
    assert.equal(late.createdAt, late.updatedAt);
    const old = await one(user, { id: future.id, createdAt: PAST });
    assert.deepEqual([old.unchanged, old.item.createdAt], [true, future.createdAt]);
    const changed = await one(user, { id: future.id, createdAt: PAST, baseVersion: 1, title: '' });
    assert.deepEqual([changed.item.createdAt, changed.item.title], [future.createdAt, 'Untitled Note']);
  });

  it('the default folder is for new notes that name none', async () => {
    await fresh();
    const home = ok(await user.post('/folders', { name: 'home' }), 201);
    ok(await user.put('/user/settings', { defaultFolderId: home.id }));
    assert.equal((await one(user, note())).item.folderId, home.id);
    assert.equal((await one(user, note({ folderId: null }))).item.folderId, null);
    const other = folder();
    const done = await push(user, { folders: [other], notes: [note({ folderId: other.id })] });
    assert.equal(done.notes[0].item.folderId, other.id);
    const { item } = await one(user, { id: done.notes[0].id, baseVersion: 1, title: 'x' });
    assert.equal(item.folderId, other.id, 'a change leaves it where it is');
    ok(await user.del(`/folders/${home.id}`));
    assert.equal((await one(user, note())).item.folderId, null, 'not while it is deleted');
  });

  it('folderId may name any own folder: live, deleted, made or deleted in this push', async () => {
    await fresh();
    const [live, trash, made, leaving] = times(4, () => folder());
    await push(user, { folders: [live, trash, leaving] });
    ok(await user.del(`/folders/${trash.id}`));
    const deletedAt = new Date().toISOString();
    const notes = [live, trash, made, leaving].map(({ id }) => note({ folderId: id.toUpperCase() }));
    const done = sane(await push(user, { folders: [made, { id: leaving.id, baseVersion: 1, deletedAt }], notes }));
    assert.deepEqual(done.notes.map((r) => r.item.folderId), ids([live, trash, made, leaving]));
    const away = await one(user, { id: notes[0].id, baseVersion: 1, folderId: NOWHERE });
    assert.equal(verdict(away), 'rejected FOLDER_NOT_FOUND');
    const badFolder = folder({ name: '' });
    const lost = await push(user, { folders: [badFolder], notes: [note({ folderId: badFolder.id })] });
    assert.equal(verdict(lost.notes[0]), 'rejected FOLDER_NOT_FOUND', 'one that was rejected is none');
    assert.equal((await one(user, { id: notes[1].id, baseVersion: 1, folderId: null })).item.folderId, null);
  });

  it('only what was supplied is changed, and null clears', async () => {
    await fresh();
    const all = { title: 'a', content: '<p>x y</p>', tags: ['t'], isPinned: true, isFavorite: true, clientUpdatedAt: PAST };
    const item = note(all);
    await one(user, item);
    const steps = [
      [{ title: 'b' }, { title: 'b' }],
      [{ content: '<i>z</i>' }, { content: '<i>z</i>', contentPlain: 'z', wordCount: 1 }],
      [{ tags: [] }, { tags: [] }],
      [{ isPinned: false }, { isPinned: false }],
      [{ isFavorite: false }, { isFavorite: false }],
      [{ clientUpdatedAt: null }, { clientUpdatedAt: null }],
      [{ content: '' }, { content: '', contentPlain: '', wordCount: 0 }],
      [{ content: null }, { content: null }],
      [{ tags: ['x', 'y'] }, { tags: ['x', 'y'] }],
      [{ tags: ['y', 'x'] }, { tags: ['y', 'x'] }],
      [{ content: 'last', title: '' }, { content: 'last', contentPlain: 'last', wordCount: 1, title: 'Untitled Note' }],
    ];
    let last = (await one(user, item)).item;
    for (const [fields, expected] of steps) {
      const r = await one(user, { id: item.id, baseVersion: last.version, ...fields });
      assert.deepEqual(r.item, { ...last, ...expected, version: last.version + 1, updatedAt: r.item.updatedAt });
      assert.deepEqual(r.item, asSync(ok(await user.get(`/notes/${item.id}`))));
      assert.ok(r.item.updatedAt > last.updatedAt);
      last = r.item;
    }
    const f = folder({ color: '#AbCdEf', icon: 'star', position: 3 });
    let lastFolder = (await oneFolder(user, f)).item;
    assert.deepEqual([lastFolder.color, lastFolder.icon, lastFolder.position], ['#AbCdEf', 'star', 3]);
    for (const fields of [{ name: 'b' }, { color: null }, { icon: null }, { position: 0 }, { icon: 'x', color: '#000000' }]) {
      const r = await oneFolder(user, { id: f.id, baseVersion: lastFolder.version, ...fields });
      assert.deepEqual(r.item, { ...lastFolder, ...fields, version: lastFolder.version + 1, updatedAt: r.item.updatedAt });
      lastFolder = r.item;
    }
    await sound(s, user);
  });

  it('deletedAt: any time puts into the trash at server time, null takes out, and only that it is there counts', async () => {
    await fresh();
    for (const [make, send, of] of [
      [note, one, 'notes'],
      [folder, oneFolder, 'folders'],
    ]) {
      const item = make();
      await send(user, item);
      const gone = await send(user, { id: item.id, baseVersion: 1, deletedAt: PAST });
      assert.equal(gone.version, 2);
      assert.equal(gone.item.deletedAt, gone.item.updatedAt, 'server time');
      if (of === 'notes') assert.equal((await user.get(`/notes/${item.id}`)).status, 404);
      const twice = await send(user, { id: item.id, baseVersion: 1, deletedAt: '2030-01-01T00:00:00Z' });
      assert.deepEqual([twice.status, twice.unchanged, twice.version, twice.item.deletedAt], ['applied', true, 2, gone.item.deletedAt]);
      const edited = await send(user, { id: item.id, baseVersion: 2, ...(of === 'notes' ? { title: 'x' } : { color: '#111111' }) });
      assert.deepEqual([edited.version, edited.item.deletedAt], [3, gone.item.deletedAt], 'an edit leaves it in the trash');
      const back = await send(user, { id: item.id, baseVersion: 3, deletedAt: null });
      assert.deepEqual([back.version, back.item.deletedAt], [4, null]);
      ok(await user.get(`/${of}/${item.id}`));
      assert.deepEqual((await send(user, { id: item.id, deletedAt: null })).unchanged, true);
      const both = await send(user, { id: item.id, baseVersion: 4, deletedAt: PAST, ...(of === 'notes' ? { title: 'z' } : { icon: 'z' }) });
      assert.equal(both.item[of === 'notes' ? 'title' : 'icon'], 'z', 'edited and deleted at once');
      const never = await send(user, { ...make(), deletedAt: PAST, baseVersion: 7 });
      assert.deepEqual([never.status, never.version, never.item], ['applied', 0, null]);
      const unborn = make({ deletedAt: null });
      assert.equal(verdict(await send(user, unborn)), 'applied');
    }
    await sound(s, user);
  });

  it('names are judged one after the other: swapped, handed on in a chain, taken, given up by deleting', async () => {
    await fresh();
    const [a, b, c] = ['A', 'B', 'C'].map((name) => folder({ name }));
    const taken = 'rejected FOLDER_NAME_TAKEN';
    const play = async (...items) => (sane(await push(user, { folders: items }))).folders.map(verdict);
    assert.deepEqual(await play(a, b, c, folder({ name: 'A' })), ['applied', 'applied', 'applied', taken]);
    const swap = [
      [{ id: a.id, baseVersion: 1, name: 'B' }, { id: b.id, baseVersion: 1, name: 'A' }],
      [taken, taken],
    ];
    assert.deepEqual(await play(...swap[0]), swap[1], 'straight: neither name is free when it is asked for');
    const chain = [
      { id: c.id, baseVersion: 1, name: 'D' },
      { id: b.id, baseVersion: 1, name: 'C' },
      { id: a.id, baseVersion: 1, name: 'B' },
      folder({ name: 'A' }),
    ];
    assert.deepEqual(await play(...chain), times(4, () => 'applied'));
    const backwards = [
      { id: a.id, baseVersion: 2, name: 'C' },
      { id: b.id, baseVersion: 2, name: 'D' },
      { id: c.id, baseVersion: 2, name: 'E' },
    ];
    assert.deepEqual(await play(...backwards), [taken, taken, 'applied']);
    assert.deepEqual(await play({ id: b.id, baseVersion: 2, name: 'D' }, { id: a.id, baseVersion: 2, name: 'C' }), ['applied', 'applied']);
    const names = (await pull(user)).folders.map((f) => f.name);
    assert.equal(new Set(names).size, names.length);
    assert.deepEqual(await play({ id: a.id, baseVersion: 3, deletedAt: PAST }, folder({ name: 'C' })), ['applied', 'applied']);
    assert.deepEqual(await play({ id: a.id, baseVersion: 4, deletedAt: null }), [taken], 'restored into a taken name');
    assert.deepEqual(await play({ id: a.id, baseVersion: 4, deletedAt: null, name: 'F' }), ['applied'], 'under another');
    assert.deepEqual(await play({ id: a.id, baseVersion: 5, name: 'F', deletedAt: null }), ['applied']);
    assert.deepEqual(await play({ id: a.id, baseVersion: 5, deletedAt: PAST, name: 'E' }), ['applied'], 'names of the trash are free');
    assert.deepEqual(await play(folder({ name: 'e' }), folder({ name: ' E' })), ['applied', taken], 'exactly the same');
    await sound(s, user);
  });

  it('the history has what PUT would have written: a text row when title or content changed, else a meta row', async () => {
    await fresh();
    const pushed = note({ title: 'a', content: '<p>x</p>', tags: ['t'] });
    const put = { ...pushed, id: uuid() };
    await pushNotes(user, [pushed, put]);
    const home = folder({ name: 'home' });
    await pushFolders(user, [home]);
    const steps = [
      { title: 'b' },
      { isPinned: true },
      { content: '<p>y z</p>' },
      { tags: ['u', 'v'], folderId: home.id },
      { content: null, isFavorite: true },
      { clientUpdatedAt: PAST },
    ];
    for (const [n, fields] of steps.entries()) {
      ok(await user.put(`/notes/${put.id}`, fields));
      assert.equal(verdict(await one(user, { id: pushed.id, baseVersion: n + 1, ...fields })), 'applied');
    }
    const rows = async (id) => (await history(s, id)).map(({ id: own, note_id, created_at, ...rest }) => rest);
    assert.deepEqual(await rows(pushed.id), await rows(put.id));
    assert.deepEqual((await rows(pushed.id)).map((row) => row.is_text), [true, false, true, false, true, false]);
    const versions = ok(await user.get(`/notes/${pushed.id}/versions`)).items.map((v) => [v.version, v.title]);
    assert.deepEqual(versions, [[5, 'b'], [3, 'b'], [1, 'a']]);
    assert.equal(ok(await user.post(`/notes/${pushed.id}/revert`, { version: 1 })).content, '<p>x</p>');
    ok(await user.put(`/folders/${home.id}`, { name: 'n2', color: '#123456' }));
    await oneFolder(user, { id: home.id, baseVersion: 2, position: 4 });
    await oneFolder(user, { id: home.id, baseVersion: 3, deletedAt: PAST });
    await oneFolder(user, { id: home.id, baseVersion: 4, icon: 'x' });
    assert.deepEqual(
      (await folderHistory(s, home.id)).map((r) => [r.version, r.name, r.color, r.position, r.icon, r.deleted_at !== null]),
      [
        [1, 'home', null, 0, null, false],
        [2, 'n2', '#123456', 0, null, false],
        [3, 'n2', '#123456', 4, null, false],
        [4, 'n2', '#123456', 4, null, true],
      ],
    );
    await sound(s, user);
  });

  it('what is searched in is what was pushed', async () => {
    await fresh();
    const item = note({ title: 'Zebra', content: '<p>quagga <b>okapi</b></p>' });
    await one(user, item);
    const finds = async (word) => {
      const text = `SELECT count(*) AS n FROM notes WHERE id = $1 AND search @@ plainto_tsquery('simple', $2)`;
      const listed = ok(await user.get(`/notes?search=${word}`)).items.length;
      return [(await s.sql(text, [item.id, word]))[0].n, listed];
    };
    assert.deepEqual([await finds('zebra'), await finds('okapi'), await finds('lion')], [[1, 1], [1, 1], [0, 0]]);
    await one(user, { id: item.id, baseVersion: 1, content: 'lion' });
    assert.deepEqual([await finds('zebra'), await finds('okapi'), await finds('lion')], [[1, 1], [0, 0], [1, 1]]);
    await one(user, { id: item.id, baseVersion: 2, title: 'Gnu', isPinned: true });
    await one(user, { id: item.id, baseVersion: 3, isPinned: false });
    assert.deepEqual([await finds('zebra'), await finds('gnu'), await finds('lion')], [[0, 0], [1, 1], [1, 1]]);
    await one(user, { id: item.id, baseVersion: 4, content: null });
    assert.deepEqual([await finds('gnu'), await finds('lion')], [[1, 1], [0, 0]]);
  });

  it('no kept answer outlives a push: lists, notes, also where nothing but syncStatus changed', async () => {
    await fresh();
    const home = folder({ name: 'first' });
    const [a, b] = [note({ folderId: home.id }), note()];
    await push(user, { folders: [home], notes: [a, b] });
    const hit = (target) => until(async () => (await user.get(target)).headers['x-cache'] === 'HIT', 10000, 'it is kept');
    const steps = [
      ['a new note', { notes: [note({ title: 'new' })] }, (list) => list.length === 3],
      ['a change', { notes: [{ id: a.id, baseVersion: 1, title: 'changed' }] }, (list, one_) => one_.title === 'changed'],
      ['a folder', { folders: [{ id: home.id, baseVersion: 1, name: 'next' }] }, (list, one_) => one_.folder.name === 'next'],
      ['a conflict', { notes: [{ id: a.id, baseVersion: 1, title: 'other' }] }, (list, one_) => one_.syncStatus === 'conflict'],
      ['a deletion', { notes: [{ id: b.id, baseVersion: 1, deletedAt: PAST }] }, (list) => list.length === 2],
      ['a deleted folder', { folders: [{ id: home.id, baseVersion: 2, deletedAt: PAST }] }, (list, one_) => one_.folder === null],
      ['a restored note', { notes: [{ id: b.id, baseVersion: 2, deletedAt: null }] }, (list) => list.length === 3],
    ];
    for (const [what, body, holds] of steps) {
      for (const target of ['/notes', `/notes/${a.id}`]) await hit(target);
      const before = await user.get(`/notes/${a.id}`);
      sane(await push(user, body));
      const list = ok(await user.get('/notes')).items;
      assert.ok(holds(list, list.find(({ id }) => id === a.id)), `${what}, in the list`);
      const after = await user.get(`/notes/${a.id}`);
      assert.ok(holds(list, after.json.data), `${what}, the note`);
      if (what === 'a conflict') assert.equal(after.headers.etag, before.headers.etag, 'no part of the version');
    }
  });

  it('a conflict is stored with what was sent, changes nothing else, and the newest takes its place', async () => {
    await fresh();
    const [item, f] = [note({ title: 'server' }), folder({ name: 'server' })];
    await push(user, { notes: [item], folders: [f] });
    ok(await user.put(`/notes/${item.id}`, { title: 'server 2', content: 'kept' }));
    ok(await user.put(`/folders/${f.id}`, { color: '#000000' }));
    const before = await pull(user);
    for (const [n, fields] of [
      { baseVersion: 1, deletedAt: null },
      { baseVersion: 0, createdAt: PAST },
      { updatedAt: PAST, deletedAt: '2020-01-01T00:00:00+05:00' },
      { updatedAt: PAST },
    ].entries()) {
      const mine = { id: item.id.toUpperCase(), title: `  client ${n} `, content: '<b>\u{1f600}', tags: ['x', 'x'], ...fields };
      const theirs = { id: f.id, name: `  client ${n} `, icon: null, ...fields };
      const done = sane(await push(user, { notes: [mine], folders: [theirs] }));
      const server = { notes: before.notes.find(({ id }) => id === item.id), folders: before.folders.find(({ id }) => id === f.id) };
      assert.deepEqual(done.conflicts.sort((x, y) => (x.type < y.type ? 1 : -1)), [
        {
          id: item.id,
          type: 'note',
          baseVersion: fields.baseVersion ?? null,
          serverVersion: { ...server.notes, syncStatus: 'conflict' },
          clientVersion: mine,
        },
        { id: f.id, type: 'folder', baseVersion: fields.baseVersion ?? null, serverVersion: server.folders, clientVersion: theirs },
      ]);
      assert.deepEqual([done.notes[0].version, done.folders[0].version], [2, 2], 'the server\'s');
      for (const [id, name] of [[item.id, 'title'], [f.id, 'name']]) {
        const rows = await quarrels(s, id);
        assert.equal(rows.length, 1, 'one open');
        assert.deepEqual([rows[0].base_version, rows[0].server_version], [fields.baseVersion ?? null, 2]);
        assert.equal(rows[0].client_data[name], `client ${n}`);
        assert.equal('deletedAt' in rows[0].client_data, 'deletedAt' in fields);
      }
    }
    const after = await pull(user);
    assert.equal(after.cursor, before.cursor, 'no change');
    assert.deepEqual(after.notes, before.notes.map((o) => ({ ...o, syncStatus: 'conflict' })));
    assert.deepEqual(after.folders, before.folders);
    ok(await user.put(`/notes/${item.id}`, { title: 'goes on' }));
    const [r] = await pushNotes(user, [{ id: item.id, baseVersion: 3, title: 'and on' }]);
    assert.deepEqual([r.status, r.item.syncStatus], ['applied', 'conflict'], 'a good change does not close it');
    assert.equal((await quarrels(s, item.id)).length, 1);
    ok(await user.del(`/notes/${item.id}?permanent=true`));
    assert.deepEqual(await s.sql('SELECT 1 FROM sync_conflicts WHERE item_id = $1', [item.id]), [], 'no word is left');
    assert.equal((await noteRow(s, item.id)).sync_status, 'synced');
  });

  it('one place after the other: each applied item takes the next number, the others none', async () => {
    await fresh();
    const items = times(6, (n) => note({ title: `${n}` }));
    const folders = times(3, (n) => folder({ position: n }));
    const start = (await pull(user)).cursor;
    const mixed = [items[0], { id: 'x' }, items[1], note({ deletedAt: PAST }), items[2], items[1], items[3]];
    await push(user, { notes: mixed, folders: [folders[0], { id: 1 }, folders[1]] });
    const rows = [...(await Promise.all(folders.slice(0, 2).map(({ id }) => folderRow(s, id)))),
      ...(await Promise.all(items.slice(0, 4).map(({ id }) => noteRow(s, id))))];
    const first = rows[0].change_seq;
    assert.deepEqual(rows.map((row) => row.change_seq - first), [0, 1, 2, 3, 4, 5]);
    const got = await pull(user, { cursor: start });
    assert.deepEqual([ids(got.folders), ids(got.notes)], [ids(folders.slice(0, 2)), ids(items.slice(0, 4))]);
    await sound(s, user);
  });
});
