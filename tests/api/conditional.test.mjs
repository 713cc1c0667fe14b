/* ETag, If-None-Match and If-Match on versioned resources (API.md 1.8). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, NOWHERE, ok, parallel } from './lib/expect.mjs';

serverSuite('Conditional requests', {}, (s) => {
  let alice;
  before(async () => {
    alice = await s.user();
  });

  const note = async (fields) => ok(await alice.post('/notes', { title: 'x', ...fields }), 201);
  const folder = async () => ok(await alice.post('/folders', { name: crypto.randomUUID() }), 201);
  let n = 0;
  const word = () => {
    n += 1;
    return `w${n}`;
  };

  /* Each versioned resource: a fresh path, and a body that changes it. */
  const RESOURCES = {
    note: [async () => `/notes/${(await note()).id}`, () => ({ title: word() })],
    folder: [async () => `/folders/${(await folder()).id}`, () => ({ name: word() })],
    profile: [async () => '/user/profile', () => ({ fullName: word() })],
    settings: [async () => '/user/settings', () => ({ aiModel: word() })],
  };
  const version = async (path) => ok(await alice.get(path)).version;
  const withMatch = (value) => ({ headers: { 'if-match': value } });

  /* With V for the current version. */
  const noneMatch = [
    ['"vV"', 304],
    ['W/"vV"', 304],
    ['"vV-gzip"', 304],
    ['*', 304],
    ['"v0", "vV"', 304],
    ['"x" , W/"vV-gzip","y"', 304],
    ['"v999"', 200],
    ['W/"v999"', 200],
    ['"v999", "v998"', 200],
    ['"VV"', 200],
    ['"vVV"', 200],
    ['""', 200],
  ];
  for (const [pattern, status] of noneMatch) {
    it(`If-None-Match: ${pattern} on the current note and settings gives ${status}`, async () => {
      for (const make of [RESOURCES.note[0], RESOURCES.settings[0]]) {
        const path = await make();
        const v = await version(path);
        for (const method of ['GET', 'HEAD']) {
          const value = pattern.replace(/vVV/g, `v${v}${v}`).replace(/vV/g, `v${v}`);
          const res = await alice.api(method, path, { headers: { 'if-none-match': value } });
          assert.equal(res.status, status, `${method} ${path}`);
          assert.equal(res.headers.etag, `"v${v}"`);
          assert.equal(res.headers['cache-control'], 'private, no-cache');
          if (status === 304) assert.equal(res.headers['content-type'], undefined);
        }
      }
    });
  }

  it('after a change the old tag no longer matches', async () => {
    const { id } = await note();
    ok(await alice.put(`/notes/${id}`, { title: word() }));
    assert.equal((await alice.get(`/notes/${id}`, { headers: { 'if-none-match': '"v1"' } })).status, 200);
    assert.equal((await alice.get(`/notes/${id}`, { headers: { 'if-none-match': '"v2"' } })).status, 304);
  });

  it('If-None-Match is ignored where version does not cover the body: user and folder', async () => {
    for (const path of ['/user/profile', '/auth/me', `/folders/${(await folder()).id}`]) {
      const first = await alice.get(path);
      for (const value of [first.headers.etag, '*']) {
        assert.deepEqual(ok(await alice.get(path, { headers: { 'if-none-match': value } })), ok(first), path);
      }
    }
  });

  it('If-None-Match does not act on a note that is not there', async () => {
    fails(await alice.get(`/notes/${NOWHERE}`, { headers: { 'if-none-match': '*' } }), 404, 'NOTE_NOT_FOUND');
  });

  const match = [
    ['"vV"', true],
    ['*', true],
    ['"v999", "vV"', true],
    ['"vV-gzip"', true],
    ['"a","b" ,"vV"', true],
    ['"v999"', false],
    ['W/"vV"', false],
    ['"v999", W/"vV"', false],
    ['"VV"', false],
    ['""', false],
  ];
  for (const [name, [make, change]] of Object.entries(RESOURCES)) {
    for (const [pattern, passes] of match) {
      it(`If-Match: ${pattern} on a ${name} ${passes ? 'passes' : 'is 412'}, by PUT and PATCH`, async () => {
        const path = await make();
        for (const method of ['PUT', 'PATCH']) {
          const v = await version(path);
          const res = await alice.api(method, path, { json: change(), ...withMatch(pattern.replace('vV', `v${v}`)) });
          if (passes) {
            assert.equal(ok(res).version, v + 1);
          } else {
            const { details } = fails(res, 412, 'PRECONDITION_FAILED', [['if-match', 'CONFLICT']]);
            assert.equal(details[0].message, `current version is v${v}`);
            assert.equal(await version(path), v);
          }
        }
      });
    }
  }

  /* Every other write with a version: what must exist before, method, path, body. */
  const live = async () => (await note({ content: 'a' })).id;
  const trashed = async () => {
    const id = await live();
    ok(await alice.del(`/notes/${id}`));
    return id;
  };
  const edited = async () => {
    const id = await live();
    ok(await alice.put(`/notes/${id}`, { content: 'b' }));
    return id;
  };
  const folderId = async () => (await folder()).id;
  const trashedFolder = async () => {
    const id = await folderId();
    ok(await alice.del(`/folders/${id}`));
    return id;
  };
  const writes = [
    ['DELETE', '/notes/ID', live, 1],
    ['DELETE', '/notes/ID?permanent=true', live, 1],
    ['DELETE', '/notes/ID?permanent=true', trashed, 2],
    ['POST', '/notes/ID/restore', trashed, 2],
    ['PATCH', '/notes/ID/pin', live, 1],
    ['PATCH', '/notes/ID/favorite', live, 1],
    ['POST', '/notes/ID/revert', edited, 2, { version: 1 }],
    ['DELETE', '/folders/ID', folderId, 1],
    ['POST', '/folders/ID/restore', trashedFolder, 2],
  ];
  for (const [method, template, make, v, json] of writes) {
    it(`If-Match acts on ${method} ${template}${make === trashed ? ' of a trashed note' : ''}`, async () => {
      const path = template.replace('ID', await make());
      for (const wrong of [`"v${v + 1}"`, `W/"v${v}"`, `"v${v - 1}", "x"`]) {
        fails(await alice.api(method, path, { json, ...withMatch(wrong) }), 412, 'PRECONDITION_FAILED', [
          ['if-match', 'CONFLICT'],
        ]);
      }
      const res = await alice.api(method, path, { json, ...withMatch(`"x", "v${v}"`) });
      ok(res);
      assert.equal(res.headers.etag, template.includes('permanent') ? undefined : `"v${v + 1}"`);
    });
  }

  it('If-Match on what is not there is 404, also *', async () => {
    for (const value of ['"v1"', '*']) {
      fails(await alice.put(`/notes/${NOWHERE}`, { title: 'x' }, withMatch(value)), 404, 'NOTE_NOT_FOUND');
      fails(await alice.put(`/folders/${NOWHERE}`, { name: 'x' }, withMatch(value)), 404, 'FOLDER_NOT_FOUND');
    }
  });

  for (const [name, [make, change]] of Object.entries(RESOURCES)) {
    it(`of 24 parallel writes of a ${name} with one If-Match exactly one wins`, async () => {
      const path = await make();
      const v = await version(path);
      const all = await parallel(24, () => alice.put(path, change(), withMatch(`"v${v}"`)));
      const winners = all.filter((res) => res.status === 200);
      assert.equal(winners.length, 1);
      for (const res of all.filter((r) => r.status !== 200)) fails(res, 412, 'PRECONDITION_FAILED');
      const now = ok(await alice.get(path));
      assert.equal(now.version, v + 1);
      assert.deepEqual(now, ok(winners[0]));
    });

    it(`a write of a ${name} that changes nothing keeps version and updatedAt`, async () => {
      const path = await make();
      const json = change();
      const first = ok(await alice.put(path, json));
      for (const body of [json, {}]) {
        const res = await alice.put(path, body, withMatch(`"v${first.version}"`));
        assert.deepEqual(ok(res), first);
        assert.equal(res.headers.etag, `"v${first.version}"`);
        fails(await alice.put(path, body, withMatch('"v999"')), 412, 'PRECONDITION_FAILED');
      }
      const [key] = Object.keys(json);
      const second = ok(await alice.put(path, change()));
      assert.notEqual(second[key], first[key]);
      assert.ok(Date.parse(second.updatedAt) >= Date.parse(first.updatedAt));
    });
  }

  it('lists and creations follow the rules: no ETag on lists, "v1" on a new object', async () => {
    for (const path of ['/notes', '/folders', '/user/sessions'])
      assert.equal((await alice.get(path)).headers.etag, undefined, path);
    assert.equal((await alice.post('/notes', {})).headers.etag, '"v1"');
  });
});
