/* What belongs to one user is not there for another, by whatever way it is named. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { cookieLogin, jwtClaims } from './lib/accounts.mjs';
import { fails, ids, ok } from './lib/expect.mjs';

serverSuite('Isolation of users', {}, (s) => {
  let alice;
  let bob;
  let web;
  let own;
  let hers;

  before(async () => {
    [alice, bob] = await s.users(2);
    web = await cookieLogin(s, bob);
    const build = async (who) => {
      const folder = ok(await who.post('/folders', { name: 'private folder' }), 201).id;
      const trashedFolder = ok(await who.post('/folders', { name: 'trashed folder' }), 201).id;
      ok(await who.del(`/folders/${trashedFolder}`));
      const note = ok(
        await who.post('/notes', { title: 'private note', content: 'xylophone', folderId: folder, tags: ['private'] }),
        201,
      ).id;
      ok(await who.put(`/notes/${note}`, { content: 'xylophone two' }));
      const trashed = ok(await who.post('/notes', { title: 'private trash' }), 201).id;
      ok(await who.del(`/notes/${trashed}`));
      return { folder, trashedFolder, note, trashed, session: jwtClaims(who.token).sid };
    };
    hers = await build(alice);
    own = await build(bob);
  });

  const snapshot = async () =>
    JSON.stringify(
      await Promise.all([
        s.sql('SELECT * FROM folders WHERE user_id = $1 ORDER BY id', [alice.user.id]),
        s.sql('SELECT * FROM notes WHERE user_id = $1 ORDER BY id', [alice.user.id]),
        s.sql('SELECT * FROM note_versions WHERE user_id = $1 ORDER BY id', [alice.user.id]),
        s.sql('SELECT id, revoked_at FROM sessions WHERE user_id = $1 ORDER BY id', [alice.user.id]),
        s.sql('SELECT * FROM user_settings WHERE user_id = $1', [alice.user.id]),
      ]),
    );

  /* Template, key of her object, method, code, body, query: every operation that takes an id. */
  const byPath = [
    ['/folders/{id}', 'folder', 'GET', 'FOLDER_NOT_FOUND'],
    ['/folders/{id}', 'folder', 'PUT', 'FOLDER_NOT_FOUND', { name: 'stolen' }],
    ['/folders/{id}', 'folder', 'PATCH', 'FOLDER_NOT_FOUND', { name: 'stolen' }],
    ['/folders/{id}', 'folder', 'DELETE', 'FOLDER_NOT_FOUND'],
    ['/folders/{id}/restore', 'trashedFolder', 'POST', 'FOLDER_NOT_FOUND'],
    ['/folders/{id}/restore', 'folder', 'POST', 'FOLDER_NOT_FOUND'],
    ['/notes/{id}', 'note', 'GET', 'NOTE_NOT_FOUND'],
    ['/notes/{id}', 'trashed', 'GET', 'NOTE_NOT_FOUND', undefined, '?deleted=true'],
    ['/notes/{id}', 'note', 'PUT', 'NOTE_NOT_FOUND', { title: 'stolen' }],
    ['/notes/{id}', 'note', 'PATCH', 'NOTE_NOT_FOUND', {}],
    ['/notes/{id}', 'note', 'DELETE', 'NOTE_NOT_FOUND'],
    ['/notes/{id}', 'note', 'DELETE', 'NOTE_NOT_FOUND', undefined, '?permanent=true'],
    ['/notes/{id}', 'trashed', 'DELETE', 'NOTE_NOT_FOUND', undefined, '?permanent=true'],
    ['/notes/{id}/restore', 'trashed', 'POST', 'NOTE_NOT_FOUND'],
    ['/notes/{id}/restore', 'note', 'POST', 'NOTE_NOT_FOUND'],
    ['/notes/{id}/pin', 'note', 'PATCH', 'NOTE_NOT_FOUND', {}],
    ['/notes/{id}/favorite', 'note', 'PATCH', 'NOTE_NOT_FOUND', {}],
    ['/notes/{id}/versions', 'note', 'GET', 'NOTE_NOT_FOUND'],
    ['/notes/{id}/versions/{version}', 'note', 'GET', 'NOTE_NOT_FOUND'],
    ['/notes/{id}/revert', 'note', 'POST', 'NOTE_NOT_FOUND', { version: 1 }],
    ['/user/sessions/{id}', 'session', 'DELETE', 'SESSION_NOT_FOUND'],
  ];
  for (const [template, key, method, code, json, query = ''] of byPath) {
    it(`${method} ${template}${query} of another's ${key} is ${code} and changes nothing`, async () => {
      const before1 = await snapshot();
      const path = template.replace('{id}', hers[key]).replace('{version}', '1') + query;
      const headers = { 'if-match': '*' };
      fails(await bob.api(method, path, { json }), 404, code);
      fails(await bob.api(method, path, { json, headers }), 404, code);
      fails(await web.api(method, path, { json, headers: { 'x-csrf-token': web.csrf } }), 404, code);
      fails(await s.anon.api(method, path, { json }), 401, 'AUTHENTICATION_REQUIRED');
      assert.equal(await snapshot(), before1);
    });
  }

  it('every operation of folders, notes and sessions with an id in its path is in this table', () => {
    const covered = new Set(byPath.map(([template, , method]) => `${method} /api/v1${template}`));
    const area = /^\/api\/v1\/(folders|user\/sessions|notes)\/(.*\{)/;
    const missing = Object.entries(s.contract.doc.paths)
      .filter(([path]) => area.test(path))
      .flatMap(([path, item]) =>
        ['get', 'put', 'patch', 'post', 'delete'].filter((m) => item[m]).map((m) => `${m.toUpperCase()} ${path}`),
      )
      .filter((op) => !covered.has(op) && !/attachments|thumbnail/.test(op));
    assert.deepEqual(missing, []);
  });

  it("another's ids in a body are not found, and make nothing", async () => {
    const before1 = await snapshot();
    fails(await bob.post('/notes', { folderId: hers.folder }), 404, 'FOLDER_NOT_FOUND');
    fails(await bob.put(`/notes/${own.note}`, { folderId: hers.folder }), 404, 'FOLDER_NOT_FOUND');
    fails(await bob.put('/user/settings', { defaultFolderId: hers.folder }), 404, 'FOLDER_NOT_FOUND');
    fails(await bob.post('/notes', { id: hers.note }), 409, 'CONFLICT');
    fails(await bob.post('/folders', { id: hers.folder, name: crypto.randomUUID() }), 409, 'CONFLICT');
    fails(
      await bob.post('/auth/logout', { refreshToken: `${alice.refreshToken}x` }, { token: null }),
      401,
      'INVALID_TOKEN',
    );
    assert.equal(await snapshot(), before1);
  });

  it("another's ids and words in a query find nothing", async () => {
    for (const query of [`folderId=${hers.folder}`, `folderId=${hers.trashedFolder}`]) {
      assert.deepEqual(ok(await bob.get(`/notes?${query}`)).items, []);
    }
    for (const query of ['search=xylophone', 'tag=private', 'deleted=true', 'folderId=none', '']) {
      const { items, pagination } = ok(await bob.get(`/notes?limit=100&${query}`));
      const mine = await s.sql('SELECT id FROM notes WHERE user_id = $1', [bob.user.id]);
      assert.ok(
        ids(items).every((id) => mine.some((row) => row.id === id)),
        query,
      );
      assert.equal(pagination.total, items.length);
    }
    assert.ok(!ids(ok(await bob.get('/user/sessions')).items).includes(hers.session));
    for (const query of ['', '?deleted=true']) {
      const found = ids(ok(await bob.get(`/folders${query}`)).items);
      assert.ok(!found.includes(hers.folder) && !found.includes(hers.trashedFolder));
    }
  });
});
