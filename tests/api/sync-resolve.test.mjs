/* resolve-conflict (API.md 7): strategies, three-way merge, what is closed and what is refused. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, invalid, NOWHERE, ok } from './lib/expect.mjs';

const uuid = () => crypto.randomUUID();
const p = (...lines) => lines.map((line) => `<p>${line}</p>\n`).join('');

serverSuite('Resolving conflicts', { limits: { api: '100000/900' } }, (s) => {
  let user;
  let other;
  before(async () => {
    [user, other] = await s.users(2);
  });

  const push = async (body, who = user) => ok(await who.post('/sync/push', { deviceId: 'one', ...body }));
  const make = async (fields) => ok(await user.post('/notes', fields), 201);
  const change = async (id, fields) => ok(await user.put(`/notes/${id}`, fields));
  const resolve = (id, strategy, more = {}, who = user) =>
    who.post('/sync/resolve-conflict', { id, type: 'note', strategy, ...more });
  const pending = async () => ok(await user.get('/sync/status')).pendingConflicts;

  /** A note of three states: base, what the server made of it, and what a client pushed; in conflict. */
  async function quarrel(base, server, client) {
    const note = await make(base);
    await change(note.id, server);
    const done = await push({ notes: [{ id: note.id, baseVersion: 1, ...client }] });
    assert.equal(done.notes[0].status, 'conflict');
    assert.equal(ok(await user.get(`/notes/${note.id}`)).syncStatus, 'conflict');
    return note.id;
  }
  async function settled(id, res) {
    const done = ok(res);
    assert.equal(done.id, id);
    assert.equal(done.clean, done.clashes.length === 0);
    assert.equal(done.resolved.syncStatus, 'synced');
    assert.equal(await pending(), 0);
    const [row] = await s.sql(
      'SELECT strategy, resolved_at FROM sync_conflicts WHERE item_id = $1 ORDER BY created_at DESC LIMIT 1',
      [id],
    );
    if (row) assert.ok(row.strategy === done.strategy && row.resolved_at);
    return done;
  }

  it('server-wins writes nothing', async () => {
    const id = await quarrel({ title: 'a' }, { title: 'b' }, { title: 'c' });
    const was = ok(await user.get(`/notes/${id}`));
    const done = await settled(id, await resolve(id, 'server-wins'));
    assert.deepEqual(done.clashes, []);
    const now = ok(await user.get(`/notes/${id}`));
    assert.deepEqual(now, { ...was, syncStatus: 'synced' });
    fails(await resolve(id, 'server-wins'), 404, 'CONFLICT_NOT_FOUND');
  });

  it('client-wins writes the fields of the client, the stored or the given ones', async () => {
    let id = await quarrel({ title: 'a', tags: ['t'] }, { title: 'b', isPinned: true }, { title: 'c', content: '<p>new words</p>' });
    let done = await settled(id, await resolve(id, 'client-wins'));
    const { title, content, contentPlain, wordCount, isPinned, tags, version } = done.resolved;
    assert.deepEqual({ title, content, contentPlain, wordCount, isPinned, tags, version }, {
      title: 'c', content: '<p>new words</p>', contentPlain: 'new words', wordCount: 2, isPinned: true, tags: ['t'], version: 3,
    });
    const versions = ok(await user.get(`/notes/${id}/versions`)).items.map((v) => v.version);
    assert.deepEqual(versions, [2, 1]);
    id = await quarrel({ title: 'a' }, { title: 'b' }, { title: 'c' });
    done = await settled(id, await resolve(id, 'client-wins', { clientVersion: { id, title: 'd', baseVersion: 1 } }));
    assert.equal(done.resolved.title, 'd');
    done = ok(await resolve(id, 'client-wins', { clientVersion: { id, title: 'd' } }));
    assert.equal(done.resolved.version, 3, 'nothing changes, no version');
  });

  it('manual writes what it is given', async () => {
    const id = await quarrel({ title: 'a' }, { title: 'b' }, { title: 'c' });
    const done = await settled(
      id,
      await resolve(id, 'manual', { resolvedData: { title: '  by hand ', tags: ['x', 'x'], isFavorite: true } }),
    );
    assert.deepEqual([done.resolved.title, done.resolved.tags, done.resolved.isFavorite], ['by hand', ['x'], true]);
    const again = ok(await resolve(id, 'manual', { resolvedData: {} }));
    assert.equal(again.resolved.version, done.resolved.version);
  });

  it('merge takes what each side changed', async () => {
    const id = await quarrel(
      { title: 'T', content: p('one', 'two', 'three', 'four', 'five'), tags: ['a', 'b', 'c'] },
      { content: p('ONE', 'two', 'three', 'four', 'five'), tags: ['a', 'c', 's'], isPinned: true },
      { content: p('one', 'two', 'three', 'four', 'FIVE'), title: 'Client', tags: ['b', 'c', 'k'], isFavorite: true },
    );
    const done = await settled(id, await resolve(id, 'merge'));
    assert.deepEqual(done.clashes, []);
    const { title, content, contentPlain, tags, isPinned, isFavorite, version } = done.resolved;
    assert.deepEqual({ title, content, contentPlain, tags, isPinned, isFavorite, version }, {
      title: 'Client',
      content: p('ONE', 'two', 'three', 'four', 'FIVE'),
      contentPlain: 'ONE two three four FIVE',
      tags: ['c', 's', 'k'],
      isPinned: true,
      isFavorite: true,
      version: 3,
    });
  });

  it('merge leaves both texts where they clash, and the server where nothing else is possible', async () => {
    const id = await quarrel(
      { title: 'T', content: 'one\ntwo\nthree\n' },
      { title: 'S', content: 'one\nTWO\nthree\n' },
      { title: 'C', content: 'one\nzwei\nthree\n' },
    );
    const done = await settled(id, await resolve(id, 'merge'));
    assert.deepEqual(done.clashes, [
      { field: 'title', count: 1 },
      { field: 'content', count: 1 },
    ]);
    assert.equal(done.resolved.title, 'S');
    assert.equal(done.resolved.content, 'one\n<<<<<<< server\nTWO\n=======\nzwei\n>>>>>>> client\nthree\n');
  });

  it('merge finds its base behind steps that changed no text, and text behind the rest', async () => {
    const note = await make({ title: 'T', content: 'a\nb\nc\n', tags: ['x'] });
    await user.patch(`/notes/${note.id}/pin`, {}); /* version 2, a meta row of 1 */
    await change(note.id, { content: 'A\nb\nc\n' }); /* 3 */
    await user.patch(`/notes/${note.id}/favorite`, {}); /* 4 */
    await change(note.id, { tags: ['x', 'y'] }); /* 5 */
    const mine = { id: note.id, baseVersion: 2, content: 'a\nb\nC\n', tags: [], isPinned: true };
    const done = ok(await resolve(note.id, 'merge', { clientVersion: mine }));
    assert.deepEqual(done.clashes, []);
    assert.deepEqual(
      [done.resolved.content, done.resolved.tags, done.resolved.isPinned, done.resolved.isFavorite],
      ['A\nb\nC\n', ['y'], true, true],
    );
  });

  it('merge without a base keeps what is common at both ends', async () => {
    for (const base of [{}, { baseVersion: 0 }, { baseVersion: 99 }]) {
      const note = await make({ title: 'T', content: 'head\nserver\nmid\ntail\n', tags: ['s'] });
      const mine = { id: note.id, ...base, content: 'head\nclient\nmid\nmore\ntail\n', tags: ['c', 's'] };
      const done = ok(await resolve(note.id, 'merge', { clientVersion: mine }));
      assert.deepEqual(done.clashes, [{ field: 'content', count: 1 }]);
      assert.equal(
        done.resolved.content,
        'head\n<<<<<<< server\nserver\nmid\n=======\nclient\nmid\nmore\n>>>>>>> client\ntail\n',
      );
      assert.deepEqual(done.resolved.tags, ['s', 'c']);
    }
  });

  it('an edit beats a deletion, two deletions are one, and a deletion of what nobody touched stands', async () => {
    const at = new Date().toISOString();
    const run = async (server, client) => {
      const note = await make({ title: 'T', content: 'x' });
      await server(note.id);
      return ok(await resolve(note.id, 'merge', { clientVersion: { id: note.id, baseVersion: 1, ...client } })).resolved;
    };
    const trash = (id) => user.del(`/notes/${id}`);
    const edit = (id) => change(id, { content: 'y' });
    assert.equal((await run(trash, { content: 'z' })).deletedAt, null);
    assert.equal((await run(edit, { deletedAt: at })).deletedAt, null);
    assert.notEqual((await run(trash, { deletedAt: at })).deletedAt, null);
    assert.notEqual((await run(trash, { content: 'x' })).deletedAt, null);
    assert.notEqual((await run(async () => {}, { deletedAt: at })).deletedAt, null);
  });

  it('too many tags are told, not dropped in silence', async () => {
    const tags = (word, n) => Array.from({ length: n }, (_, k) => `${word}${k}`);
    const note = await make({ title: 'T', tags: tags('s', 45) });
    const done = ok(
      await resolve(note.id, 'merge', { clientVersion: { id: note.id, baseVersion: 1, tags: [...tags('s', 45), ...tags('c', 5)] } }),
    );
    assert.deepEqual([done.resolved.tags.length, done.clean], [50, true]);
    await change(note.id, { tags: [...tags('s', 45), ...tags('n', 5)] });
    const full = ok(
      await resolve(note.id, 'merge', { clientVersion: { id: note.id, baseVersion: 1, tags: [...tags('s', 45), ...tags('c', 3)] } }),
    );
    assert.deepEqual(full.clashes, [{ field: 'tags', count: 3 }]);
  });

  it('a merged text that would be too long is refused, and nothing is closed', async () => {
    const half = (c) => `${c.repeat(1200000)}\n`;
    const id = await quarrel({ content: 'x\n' }, { content: half('s') }, { content: half('c') });
    invalid(await resolve(id, 'merge'), ['strategy', 'TOO_LONG']);
    assert.equal(await pending(), 1);
    await settled(id, await resolve(id, 'server-wins'));
  });

  it('folders: scalars, history, names', async () => {
    const folder = ok(await user.post('/folders', { name: 'F', color: '#111111', position: 1 }), 201);
    const rename = async (name) => ok(await user.put(`/folders/${folder.id}`, { name }));
    await rename('G');
    const mine = { id: folder.id, baseVersion: 1, name: 'F', color: '#222222', icon: 'star' };
    const done = await push({ folders: [mine] });
    assert.equal(done.folders[0].status, 'conflict');
    const body = { id: folder.id, type: 'folder', strategy: 'merge' };
    const merged = ok(await user.post('/sync/resolve-conflict', body));
    const { name, color, icon, position, version } = merged.resolved;
    assert.deepEqual({ name, color, icon, position, version, clashes: merged.clashes }, {
      name: 'G', color: '#222222', icon: 'star', position: 1, version: 3, clashes: [],
    });
    ok(await user.post('/folders', { name: 'Taken' }), 201);
    fails(
      await user.post('/sync/resolve-conflict', { ...body, strategy: 'manual', resolvedData: { name: 'Taken' } }),
      409,
      'FOLDER_NAME_TAKEN',
    );
    const clash = ok(
      await user.post('/sync/resolve-conflict', { ...body, clientVersion: { id: folder.id, baseVersion: 1, name: 'H', position: 1 } }),
    );
    assert.deepEqual([clash.resolved.name, clash.clashes], ['G', [{ field: 'name', count: 1 }]]);
    assert.equal(await pending(), 0);
  });

  it('what is not there, or another’s, is not found', async () => {
    const note = await make({ title: 'mine' });
    const theirs = ok(await other.post('/notes', { title: 'theirs' }), 201);
    for (const id of [NOWHERE, theirs.id]) {
      for (const [strategy, more] of [['server-wins', {}], ['merge', { clientVersion: { id } }], ['manual', { resolvedData: {} }]]) {
        fails(await resolve(id, strategy, more), 404, 'NOTE_NOT_FOUND');
        fails(await user.post('/sync/resolve-conflict', { id, type: 'folder', strategy, ...more }), 404, 'FOLDER_NOT_FOUND');
      }
    }
    for (const strategy of ['server-wins', 'client-wins', 'merge']) {
      fails(await resolve(note.id, strategy), 404, 'CONFLICT_NOT_FOUND');
    }
    ok(await user.del(`/notes/${note.id}`));
    assert.equal(ok(await resolve(note.id, 'manual', { resolvedData: { title: 'in the trash' } })).resolved.title, 'in the trash');
    ok(await user.del(`/notes/${note.id}?permanent=true`));
    fails(await resolve(note.id, 'manual', { resolvedData: { title: 'x' } }), 404, 'NOTE_NOT_FOUND');
    const mine = await make({ title: 'x' });
    for (const folderId of [NOWHERE, (await other.get('/folders')).json.data.items[0].id]) {
      fails(await resolve(mine.id, 'manual', { resolvedData: { folderId } }), 404, 'FOLDER_NOT_FOUND');
    }
  });

  it('bad input is told at once', async () => {
    const id = uuid();
    invalid(await user.post('/sync/resolve-conflict', {}), ['id', 'MISSING_FIELD'], ['type', 'MISSING_FIELD'], ['strategy', 'MISSING_FIELD']);
    invalid(await resolve(id, 'mine'), ['strategy', 'INVALID_VALUE']);
    invalid(await resolve(id, 'manual'), ['resolvedData', 'MISSING_FIELD']);
    invalid(await resolve(id, 'merge', { resolvedData: {} }), ['resolvedData', 'INVALID_VALUE']);
    invalid(await resolve(id, 'merge', { clientVersion: { id: uuid() } }), ['clientVersion.id', 'INVALID_VALUE']);
    invalid(await resolve(id, 'merge', { clientVersion: {} }), ['clientVersion.id', 'MISSING_FIELD']);
    invalid(await resolve(id, 'merge', { clientVersion: { id, title: 5, tags: [''], what: 1 } }),
      ['clientVersion.title', 'WRONG_TYPE'], ['clientVersion.tags[0]', 'TOO_SHORT'], ['clientVersion.what', 'UNKNOWN_FIELD']);
    invalid(await resolve(id, 'manual', { resolvedData: { id, baseVersion: 1, title: 5 } }),
      ['resolvedData.id', 'UNKNOWN_FIELD'], ['resolvedData.baseVersion', 'UNKNOWN_FIELD'], ['resolvedData.title', 'WRONG_TYPE']);
    invalid(await resolve(id, 'manual', { resolvedData: [] }), ['resolvedData', 'WRONG_TYPE']);
    invalid(await user.post('/sync/resolve-conflict', { id, type: 'folder', strategy: 'manual', resolvedData: { title: 'x' } }),
      ['resolvedData.title', 'UNKNOWN_FIELD']);
  });

  it('two at once: one merges, both see the same', async () => {
    const id = await quarrel({ content: 'a\nb\nc\n' }, { content: 'A\nb\nc\n' }, { content: 'a\nb\nC\n' });
    const both = await Promise.all([resolve(id, 'merge'), resolve(id, 'merge')]);
    assert.deepEqual(both.map((res) => res.status).sort(), [200, 404]);
    assert.equal(ok(await user.get(`/notes/${id}`)).content, 'A\nb\nC\n');
    assert.equal(await pending(), 0);
  });
});
