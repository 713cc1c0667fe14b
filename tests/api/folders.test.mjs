/* Folders: fields, unique names, order, soft delete and restore (API.md section 5). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { fails, ids, invalid, NOWHERE, ok } from './lib/expect.mjs';

serverSuite('Folders', {}, (s) => {
  let alice;
  let bob;
  let n = 0;
  const name = (word = 'folder') => {
    n += 1;
    return `${word} ${n}`;
  };
  const make = async (fields = {}, who = alice) => ok(await who.post('/folders', { name: name(), ...fields }), 201);
  const note = async (fields) => ok(await alice.post('/notes', fields), 201);

  before(async () => {
    [alice, bob] = await s.users(2);
  });

  it('a folder is created with defaults, a Location and version 1, and is read back the same', async () => {
    const res = await alice.post('/folders', { name: '  My folder\t' });
    const folder = ok(res, 201);
    assert.match(folder.id, UUIDV7);
    assert.match(folder.createdAt, TIMESTAMP);
    assert.deepEqual(folder, {
      id: folder.id,
      name: 'My folder',
      color: null,
      icon: null,
      position: 0,
      noteCount: 0,
      version: 1,
      createdAt: folder.createdAt,
      updatedAt: folder.createdAt,
      deletedAt: null,
    });
    assert.equal(res.headers.location, `/api/v1/folders/${folder.id}`);
    assert.equal(res.headers.etag, '"v1"');
    const read = await alice.get(`/folders/${folder.id}`);
    assert.deepEqual(ok(read), folder);
    assert.equal(read.headers.etag, '"v1"');
  });

  const accepted = [
    ['all fields', { color: '#aAbB09', icon: 'star', position: 1000000 }],
    ['null for color and icon', { color: null, icon: null }],
    ['an icon of 50 code points', { icon: '😀'.repeat(50) }],
    ['a name of 255 code points', { name: '𝔘'.repeat(255) }],
    ['a name with combining marks, kept as it is', { name: 'Cafe\u0301 n\u0303' }],
    ['a name like markup and SQL', { name: "<script>alert(1)</script>'; DROP TABLE folders; -- ../ /etc/passwd" }],
    ['a name of one character', { name: 'x' }],
  ];
  for (const [what, fields] of accepted) {
    it(`create accepts ${what}`, async () => {
      const folder = await make(fields);
      for (const [key, value] of Object.entries(fields)) assert.deepEqual(folder[key], value, key);
      assert.deepEqual(ok(await alice.get(`/folders/${folder.id}`)), folder);
    });
  }

  const refused = [
    ['no name', {}, ['name', 'MISSING_FIELD']],
    ['an empty name', { name: '' }, ['name', 'TOO_SHORT']],
    ['a name of white space only', { name: ' \u00a0\u2003\t\n' }, ['name', 'TOO_SHORT']],
    ['a name of 256 code points', { name: '𝔘'.repeat(256) }, ['name', 'TOO_LONG']],
    ['a null name', { name: null }, ['name', 'WRONG_TYPE']],
    ['a short colour', { name: 'a', color: '#fff' }, ['color', 'INVALID_FORMAT']],
    ['a colour word', { name: 'a', color: 'red' }, ['color', 'INVALID_FORMAT']],
    ['a colour with a bad digit', { name: 'a', color: '#12345g' }, ['color', 'INVALID_FORMAT']],
    ['an empty icon', { name: 'a', icon: '' }, ['icon', 'TOO_SHORT']],
    ['an icon of 51 code points', { name: 'a', icon: '😀'.repeat(51) }, ['icon', 'TOO_LONG']],
    ['a negative position', { name: 'a', position: -1 }, ['position', 'TOO_SMALL']],
    ['a position over a million', { name: 'a', position: 1000001 }, ['position', 'TOO_LARGE']],
    ['a null position', { name: 'a', position: null }, ['position', 'WRONG_TYPE']],
    ['an id that is none', { name: 'a', id: 'abc' }, ['id', 'INVALID_FORMAT']],
    ['a version', { name: 'a', version: 7 }, ['version', 'UNKNOWN_FIELD']],
    ['an owner', { name: 'a', userId: NOWHERE }, ['userId', 'UNKNOWN_FIELD']],
    ['a note count', { name: 'a', noteCount: 7 }, ['noteCount', 'UNKNOWN_FIELD']],
  ];
  for (const [what, fields, detail] of refused) {
    it(`create refuses ${what}`, async () => {
      invalid(await alice.post('/folders', fields), detail);
    });
  }
  it('update refuses an id', async () => {
    const folder = await make();
    invalid(await alice.put(`/folders/${folder.id}`, { id: folder.id }), ['id', 'UNKNOWN_FIELD']);
  });

  it('a client may choose the id, in either case and of any UUID version; a used one is CONFLICT, whoever used it', async () => {
    const id = crypto.randomUUID();
    assert.equal((await make({ id: id.toUpperCase() })).id, id);
    fails(await alice.post('/folders', { name: name(), id }), 409, 'CONFLICT');
    fails(await bob.post('/folders', { name: name(), id }), 409, 'CONFLICT');
    ok(await alice.del(`/folders/${id}`));
    fails(await alice.post('/folders', { name: name(), id }), 409, 'CONFLICT');
  });

  it('names are unique per user among live folders, compared exactly', async () => {
    const folder = await make({ name: 'Unique' });
    const other = await make({ name: 'unique' });
    await make({ name: 'Unique' }, bob);
    fails(await alice.post('/folders', { name: ' Unique ' }), 409, 'FOLDER_NAME_TAKEN');
    fails(await alice.put(`/folders/${other.id}`, { name: 'Unique' }), 409, 'FOLDER_NAME_TAKEN');
    assert.equal(ok(await alice.get(`/folders/${other.id}`)).version, 1);
    assert.equal(ok(await alice.put(`/folders/${folder.id}`, { name: 'Unique' })).version, 1);
    ok(await alice.del(`/folders/${folder.id}`));
    const next = await make({ name: 'Unique' });
    fails(await alice.post(`/folders/${folder.id}/restore`, undefined), 409, 'FOLDER_NAME_TAKEN');
    ok(await alice.put(`/folders/${next.id}`, { name: name() }));
    assert.equal(ok(await alice.post(`/folders/${folder.id}/restore`)).name, 'Unique');
  });

  it('PUT and PATCH change only what is given', async () => {
    const folder = await make({ color: '#000000', icon: 'a', position: 3 });
    const res = await alice.put(`/folders/${folder.id}`, { color: null });
    const second = ok(res);
    assert.deepEqual(second, { ...folder, color: null, version: 2, updatedAt: second.updatedAt });
    assert.ok(second.updatedAt >= folder.updatedAt);
    assert.equal(res.headers.etag, '"v2"');
    const third = ok(await alice.patch(`/folders/${folder.id}`, { name: `${folder.name}!`, position: 0 }));
    assert.deepEqual(third, {
      ...second,
      name: `${folder.name}!`,
      position: 0,
      version: 3,
      updatedAt: third.updatedAt,
    });
    assert.deepEqual(ok(await alice.put(`/folders/${folder.id}`, {})), third);
    assert.deepEqual(ok(await alice.put(`/folders/${folder.id}`, { icon: 'a' })), third);
  });

  it('the list is sorted by position, then name, then id, and its limit is 100 by default', async () => {
    const carol = await s.user();
    for (const [word, position] of [
      ['b', 2],
      ['a', 2],
      ['d', 1],
      ['c', 1],
    ])
      await make({ name: word, position }, carol);
    const page = ok(await carol.get('/folders'));
    assert.deepEqual(
      page.items.map((f) => f.name),
      ['Notes', 'c', 'd', 'a', 'b'],
    );
    assert.equal(page.pagination.limit, 100);
    assert.equal(page.pagination.total, 5);
    const walk = [];
    for (let cursor = ''; cursor !== null;) {
      const part = ok(await carol.get(`/folders?limit=2&cursor=${cursor}`));
      walk.push(...part.items.map((f) => f.name));
      cursor = part.pagination.nextCursor;
    }
    assert.deepEqual(walk, ['Notes', 'c', 'd', 'a', 'b']);
  });

  it('delete is soft: the folder leaves the list, is in deleted=true, and answers FOLDER_NOT_FOUND', async () => {
    const folder = await make();
    const res = await alice.del(`/folders/${folder.id}`);
    const gone = ok(res);
    assert.deepEqual(Object.keys(gone).sort(), ['deletedAt', 'id']);
    assert.equal(gone.id, folder.id);
    assert.match(gone.deletedAt, TIMESTAMP);
    assert.equal(res.headers.etag, '"v2"');
    for (const [method, path, json] of [
      ['GET', ''],
      ['PUT', '', { name: 'x' }],
      ['PATCH', '', {}],
      ['DELETE', ''],
    ]) {
      fails(await alice.api(method, `/folders/${folder.id}${path}`, { json }), 404, 'FOLDER_NOT_FOUND');
    }
    assert.ok(!ids(ok(await alice.get('/folders')).items).includes(folder.id));
    assert.ok(!ids(ok(await alice.get('/folders?deleted=false')).items).includes(folder.id));
    const trash = ok(await alice.get('/folders?deleted=true')).items;
    assert.ok(trash.every((item) => item.deletedAt !== null));
    const trashed = trash.find((item) => item.id === folder.id);
    assert.equal(trashed.deletedAt, gone.deletedAt);
    assert.equal(trashed.version, 2);
  });

  it('restore brings a folder back with the next version; a live one is NOT_DELETED', async () => {
    const folder = await make({ color: '#123456' });
    fails(await alice.post(`/folders/${folder.id}/restore`), 409, 'NOT_DELETED');
    ok(await alice.del(`/folders/${folder.id}`));
    const res = await alice.post(`/folders/${folder.id}/restore`, {});
    const back = ok(res);
    assert.deepEqual(back, { ...folder, version: 3, updatedAt: back.updatedAt });
    assert.equal(res.headers.etag, '"v3"');
    fails(await alice.post(`/folders/${NOWHERE}/restore`), 404, 'FOLDER_NOT_FOUND');
  });

  it('noteCount counts live notes only', async () => {
    const folder = await make();
    const count = async () => ok(await alice.get(`/folders/${folder.id}`)).noteCount;
    const [first, second] = [await note({ folderId: folder.id }), await note({ folderId: folder.id })];
    assert.equal(await count(), 2);
    ok(await alice.del(`/notes/${first.id}`));
    assert.equal(await count(), 1);
    ok(await alice.put(`/notes/${second.id}`, { folderId: null }));
    assert.equal(await count(), 0);
    ok(await alice.post(`/notes/${first.id}/restore`));
    assert.equal(await count(), 1);
    assert.equal(ok(await alice.get('/folders')).items.find((f) => f.id === folder.id).noteCount, 1);
    assert.equal(ok(await alice.get(`/folders/${folder.id}`)).version, 1);
  });

  it('notes of a deleted folder keep folderId and show folder null until it is restored', async () => {
    const folder = await make({ color: '#0000ff' });
    const made = await note({ folderId: folder.id });
    assert.deepEqual(made.folder, { id: folder.id, name: folder.name, color: '#0000ff' });
    ok(await alice.del(`/folders/${folder.id}`));
    const hidden = ok(await alice.get(`/notes/${made.id}`));
    assert.deepEqual(hidden, { ...made, folder: null });
    assert.equal(ok(await alice.get(`/notes?folderId=${folder.id}`)).items[0]?.folder ?? null, null);
    fails(await alice.post('/notes', { folderId: folder.id }), 404, 'FOLDER_NOT_FOUND');
    fails(await alice.put(`/notes/${(await note({})).id}`, { folderId: folder.id }), 404, 'FOLDER_NOT_FOUND');
    ok(await alice.post(`/folders/${folder.id}/restore`));
    assert.deepEqual(ok(await alice.get(`/notes/${made.id}`)), made);
  });

  it('16 parallel creations of one name make one folder', async () => {
    const word = name('race');
    const all = await Promise.all(Array.from({ length: 16 }, () => alice.post('/folders', { name: word })));
    assert.equal(all.filter((res) => res.status === 201).length, 1);
    for (const res of all.filter((r) => r.status !== 201)) fails(res, 409, 'FOLDER_NAME_TAKEN');
  });
});
