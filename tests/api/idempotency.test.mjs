/* Idempotency-Key: replay, mismatch, races, scope (API.md 1.8). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { uniqueEmail, PASSWORD } from './lib/accounts.mjs';
import { sleep, until } from './lib/env.mjs';
import { fails, invalid, ok, parallel } from './lib/expect.mjs';

serverSuite('Idempotency keys', {}, (s) => {
  let alice;
  let bob;
  before(async () => {
    [alice, bob] = await s.users(2);
  });

  const uuid = () => crypto.randomUUID();
  const keyed = (key) => ({ headers: { 'idempotency-key': key } });
  const count = async (name) => (await s.sql('SELECT count(*) AS n FROM folders WHERE name = $1', [name]))[0].n;
  const replayed = (res, first) => {
    assert.equal(res.status, first.status);
    assert.equal(res.headers['idempotent-replayed'], 'true');
    assert.equal(res.text, first.text);
    assert.equal(res.headers.location, first.headers.location);
    assert.equal(res.headers.etag, first.headers.etag);
    assert.notEqual(res.headers['x-request-id'], first.headers['x-request-id']);
  };

  for (const [path, body] of [
    ['/folders', () => ({ name: uuid() })],
    ['/notes', () => ({ title: uuid() })],
  ]) {
    it(`POST ${path} with the same key and body answers the stored answer and makes one object`, async () => {
      const [key, json] = [uuid(), body()];
      const first = await alice.post(path, json, keyed(key));
      ok(first, 201);
      assert.equal(first.headers['idempotent-replayed'], undefined);
      for (let n = 0; n < 3; n += 1) replayed(await alice.post(path, json, keyed(key)), first);
      const list = ok(await alice.get(`${path}?limit=100`)).items.filter((x) =>
        [x.name, x.title].includes(json.name ?? json.title),
      );
      assert.equal(list.length, 1);
    });
  }

  it('a quoted key is the same key', async () => {
    const [key, json] = [uuid(), { name: uuid() }];
    const first = await alice.post('/folders', json, keyed(key));
    replayed(await alice.post('/folders', json, keyed(`"${key}"`)), first);
  });

  it('the key belongs to the canonical path: alias and trailing slash replay, another path does not', async () => {
    const key = uuid();
    const json = { name: uuid() };
    const first = await alice.post('/folders', json, keyed(key));
    for (const path of ['/api/v1/folders/', '/api/folders', '/api/v1/f%6Flders']) {
      const res = await alice.at('POST', path, { json, ...keyed(key) });
      assert.equal(res.headers['idempotent-replayed'], 'true', path);
      assert.equal(res.json.data.id, first.json.data.id);
    }
    ok(await alice.post('/notes', {}, keyed(key)), 201);
  });

  it('the key belongs to the user, not to the session', async () => {
    const [key, json] = [uuid(), { name: uuid() }];
    const first = await alice.post('/folders', json, keyed(key));
    const res = await bob.post('/folders', json, keyed(key));
    assert.notEqual(ok(res, 201).id, first.json.data.id);
    assert.equal(res.headers['idempotent-replayed'], undefined);
    const login = await s.anon.post('/auth/login', { email: alice.email, password: PASSWORD });
    replayed(await s.anon.post('/folders', json, { token: ok(login).tokens.accessToken, ...keyed(key) }), first);
  });

  it('the same key with other body bytes is IDEMPOTENCY_MISMATCH', async () => {
    const key = uuid();
    const name = uuid();
    ok(await alice.post('/folders', { name }, keyed(key)), 201);
    for (const body of [`{"name": "${name}"}`, `{"name":"${name}","position":0}`, `{"name":"${uuid()}"}`]) {
      const res = await alice.api('POST', '/folders', { body, ...keyed(key) });
      fails(res, 422, 'IDEMPOTENCY_MISMATCH');
      assert.equal(res.headers['idempotent-replayed'], undefined);
    }
  });

  it('only successes are stored', async () => {
    const [key, name] = [uuid(), uuid()];
    const taken = ok(await alice.post('/folders', { name }), 201);
    fails(await alice.post('/folders', { name }, keyed(key)), 409, 'FOLDER_NAME_TAKEN');
    fails(await alice.post('/folders', { name }, keyed(key)), 409, 'FOLDER_NAME_TAKEN');
    invalid(await alice.post('/folders', { name: '' }, keyed(key)), ['name', 'TOO_SHORT']);
    ok(await alice.del(`/folders/${taken.id}`));
    const res = await alice.post('/folders', { name }, keyed(key));
    ok(res, 201);
    assert.equal(res.headers['idempotent-replayed'], undefined);
    replayed(await alice.post('/folders', { name }, keyed(key)), res);
  });

  it('while the first runs the same key is IDEMPOTENCY_IN_PROGRESS', async () => {
    const [key, json] = [uuid(), { name: uuid() }];
    const lock = await s.session();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [alice.user.id]);
    const first = alice.post('/folders', json, keyed(key));
    await until(() => s.waiting(), 4000, 'the first request waits for the lock');
    const second = await alice.post('/folders', json, keyed(key));
    fails(second, 409, 'IDEMPOTENCY_IN_PROGRESS');
    assert.equal(second.headers['retry-after'], '1');
    await sleep(100);
    await lock.query('COMMIT');
    ok(await first, 201);
    replayed(await alice.post('/folders', json, keyed(key)), await first);
    assert.equal(await count(json.name), 1);
  });

  it('parallel requests with one key make one object', async () => {
    for (let round = 0; round < 5; round += 1) {
      const [key, json] = [uuid(), { name: uuid() }];
      const all = await parallel(12, () => alice.post('/folders', json, keyed(key)));
      const made = all.filter((res) => res.status === 201);
      assert.ok(made.length >= 1);
      assert.equal(made.filter((res) => !res.headers['idempotent-replayed']).length, 1);
      assert.equal(new Set(made.map((res) => res.json.data.id)).size, 1);
      for (const res of all.filter((r) => r.status !== 201)) fails(res, 409, 'IDEMPOTENCY_IN_PROGRESS');
      assert.equal(await count(json.name), 1);
    }
  });

  for (const [what, key] of [
    ['no characters', ''],
    ['quotes around nothing', '""'],
    ['256 characters', 'x'.repeat(256)],
    ['a letter that is not ASCII', 'caf\u00e9'],
    ['a tab', 'a\tb'],
  ]) {
    it(`a key of ${what} is refused`, async () => {
      const name = uuid();
      invalid(await alice.post('/folders', { name }, keyed(key)), ['idempotency-key', null]);
      assert.equal(await count(name), 0);
    });
  }
  for (const [what, key] of [
    ['255 characters', () => `${uuid()}${'x'.repeat(219)}`],
    ['a space and signs inside', () => `${uuid()} ~!,;=`],
  ]) {
    it(`a key of ${what} is accepted`, async () => {
      const [value, json] = [key(), { name: uuid() }];
      const first = await alice.post('/folders', json, keyed(value));
      ok(first, 201);
      replayed(await alice.post('/folders', json, keyed(value)), first);
    });
  }

  it('after 24 hours the key is new', async () => {
    const key = uuid();
    const first = ok(await alice.post('/folders', { name: uuid() }, keyed(key)), 201);
    const [row] = await s.sql(
      'SELECT extract(epoch FROM expires_at - created_at) AS life FROM idempotency_keys WHERE key = $1',
      [key],
    );
    assert.ok(Math.abs(row.life - 86400) < 5, row.life);
    await s.sql(
      "UPDATE idempotency_keys SET created_at = now() - interval '25 hours', expires_at = now() - interval '1 hour' WHERE key = $1",
      [key],
    );
    const second = ok(await alice.post('/folders', { name: uuid() }, keyed(key)), 201);
    assert.notEqual(second.id, first.id);
  });

  it('where the contract gives no I the header is ignored', async () => {
    const key = uuid();
    const { id } = ok(await alice.post('/notes', {}), 201);
    for (const title of ['a', 'b', 'a'])
      assert.equal(ok(await alice.put(`/notes/${id}`, { title }, keyed(key))).title, title);
    assert.equal(ok(await alice.get(`/notes/${id}`)).version, 4);
    ok(await alice.put(`/notes/${id}`, { title: 'c' }, keyed('x'.repeat(300))));
    const account = { email: uniqueEmail(), password: PASSWORD };
    ok(await s.anon.post('/auth/register', account, keyed(key)), 201);
    fails(await s.anon.post('/auth/register', account, keyed(key)), 409, 'EMAIL_TAKEN');
    const rows = await s.sql('SELECT route FROM idempotency_keys WHERE key = $1', [key]);
    assert.deepEqual(rows, []);
  });
});
