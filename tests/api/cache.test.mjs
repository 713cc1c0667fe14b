/* Answers that are kept: when they are used, and that no write is ever missed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { inTime, sleep, until } from './lib/env.mjs';

/** The first hit shows that the bus has settled. */
const warm = (client, target = '/notes') =>
  until(async () => (await client.get(target)).headers['x-cache'] === 'HIT', 10000, 'answers are kept');

const cached = (res) => res.headers['x-cache'];

/** Who was known is not any more, and not only since what a server keeps of a session has ended after 10 s. */
const isOut = async (client, what) =>
  assert.ok(await inTime(6000, async () => (await client.get('/auth/me')).status === 401), what);

serverSuite('cache', { limits: { api: 'off' } }, (server) => {
  let user;
  const note = async (fields = {}) => (await user.post('/notes', { title: 'a', ...fields })).json.data;

  test('an answer is kept, byte for byte', async () => {
    user = await server.user();
    await note();
    await warm(user);
    const first = await user.get('/notes');
    const second = await user.get('/notes');
    assert.equal(cached(second), 'HIT');
    assert.equal(second.text, first.text);
    assert.notEqual(second.headers['x-request-id'], first.headers['x-request-id']);
    assert.equal(second.headers['cache-control'], 'no-store');
    assert.equal(second.headers.etag, undefined);
  });

  test('each query has its own', async () => {
    const targets = ['/notes?limit=1', '/notes?limit=2', '/notes?deleted=true', '/notes?sortBy=title', '/notes?tag=x'];
    for (const target of targets) {
      assert.equal(cached(await user.get(target)), 'MISS', target);
      assert.equal(cached(await user.get(target)), 'HIT', target);
    }
    assert.equal((await user.get('/notes?limit=1')).json.data.pagination.limit, 1);
  });

  test('and each user', async () => {
    const other = await server.user();
    assert.equal(cached(await user.get('/notes')), 'HIT');
    const res = await other.get('/notes');
    assert.equal(cached(res), 'MISS');
    assert.equal(res.json.data.items.length, 0);
  });

  test('a note is kept with its ETag', async () => {
    const { id } = await note();
    const first = await user.get(`/notes/${id}`);
    assert.equal(cached(first), 'MISS');
    const second = await user.get(`/notes/${id}`);
    assert.equal(cached(second), 'HIT');
    assert.equal(second.headers.etag, '"v1"');
    assert.equal(second.headers['cache-control'], 'private, no-cache');
    assert.deepEqual(second.json, first.json);
    const third = await user.get(`/notes/${id}`, { headers: { 'if-none-match': '"v1"' } });
    assert.equal(third.status, 304);
    assert.equal(cached(third), 'HIT');
    assert.equal(third.headers.etag, '"v1"');
    assert.equal((await user.get(`/notes/${id}`, { headers: { 'if-none-match': '"v2"' } })).status, 200);
  });

  test('a 304 is kept, too, and does not stand for the body', async () => {
    const { id } = await note();
    const ask = (tag) => user.get(`/notes/${id}`, { headers: { 'if-none-match': tag } });
    assert.deepEqual([(await ask('"v1"')).status, cached(await ask('"v1"'))], [304, 'HIT']);
    const whole = await ask('"v9"');
    assert.deepEqual([whole.status, cached(whole), whole.json.data.id], [200, 'MISS', id]);
    assert.equal(cached(await ask('"v9"')), 'HIT');
  });

  test('errors are not kept', async () => {
    const missing = '/notes/0198a000-0000-7000-8000-000000000001';
    for (let i = 0; i < 2; i += 1) {
      const res = await user.get(missing);
      assert.equal(res.status, 404);
      assert.equal(cached(res), 'MISS');
    }
  });

  test('every kind of write is seen by the next read', async () => {
    const folder = (await user.post('/folders', { name: 'f' })).json.data;
    const { id } = await note({ folderId: folder.id });
    const one = () => user.get(`/notes/${id}`);
    const list = () => user.get('/notes?limit=100');
    const writes = [
      ['title', () => user.put(`/notes/${id}`, { title: 'b' }), (n) => n.title === 'b'],
      ['pin', () => user.patch(`/notes/${id}/pin`, { isPinned: true }), (n) => n.isPinned],
      ['favorite', () => user.patch(`/notes/${id}/favorite`, {}), (n) => n.isFavorite],
      ['folder name', () => user.put(`/folders/${folder.id}`, { name: 'g' }), (n) => n.folder.name === 'g'],
      ['folder delete', () => user.del(`/folders/${folder.id}`), (n) => n.folder === null],
      ['folder restore', () => user.post(`/folders/${folder.id}/restore`), (n) => n.folder.name === 'g'],
      ['revert', () => user.post(`/notes/${id}/revert`, { version: 1 }), (n) => n.title === 'a'],
    ];
    for (const [what, write, holds] of writes) {
      await list();
      await one();
      assert.equal(cached(await list()), 'HIT', what);
      assert.equal(cached(await one()), 'HIT', what);
      assert.ok([200, 201].includes((await write()).status), what);
      const after = [await list(), await one()];
      assert.deepEqual(after.map(cached), ['MISS', 'MISS'], what);
      assert.ok(holds(after[0].json.data.items.find((item) => item.id === id)), `${what} in the list`);
      assert.ok(holds(after[1].json.data), `${what} of the note`);
    }
    await list();
    await user.del(`/notes/${id}`);
    assert.ok(!(await list()).json.data.items.some((item) => item.id === id));
    assert.equal((await one()).status, 404);
    await user.get('/notes?deleted=true&limit=99');
    await user.post(`/notes/${id}/restore`);
    assert.ok((await list()).json.data.items.some((item) => item.id === id));
    assert.ok(!(await user.get('/notes?deleted=true&limit=99')).json.data.items.some((item) => item.id === id));
  });

  test('a write that fails costs no more than a fresh answer', async () => {
    await warm(user);
    assert.equal((await user.put('/notes/0198a000-0000-7000-8000-000000000001', { title: 'x' })).status, 404);
    assert.equal(cached(await user.get('/notes')), 'MISS');
    assert.equal(cached(await user.get('/notes')), 'HIT');
  });

  test('1,000 writes under 16 readers, none missed', { timeout: 120000 }, async () => {
    const { id } = await note({ title: '0' });
    let done = 0;
    let ended = false;
    let hits = 0;
    const reader = async () => {
      while (!ended) {
        const least = done;
        const res = await user.get('/notes?limit=3');
        const seen = Number(res.json.data.items.find((item) => item.id === id).title);
        assert.ok(seen >= least, `saw ${seen} after ${least} was done`);
        if (cached(res) === 'HIT') hits += 1;
      }
    };
    const readers = Array.from({ length: 16 }, reader);
    for (let i = 1; i <= 1000; i += 1) {
      assert.equal((await user.put(`/notes/${id}`, { title: String(i) })).status, 200);
      done = i;
    }
    ended = true;
    await Promise.all(readers);
    assert.ok(hits > 0, 'some came from the cache');
  });

  test('the purge of the trash is a write', async () => {
    const { id } = await note();
    await user.del(`/notes/${id}`);
    await server.sql("UPDATE notes SET deleted_at = now() - interval '31 days' WHERE id = $1", [id]);
    const trash = '/notes?deleted=true&limit=98';
    await user.get(trash);
    await server.sql("INSERT INTO jobs (type, payload) VALUES ('trash_purge', '{}')");
    await until(
      async () => !(await user.get(trash)).json.data.items.some((item) => item.id === id),
      10000,
      'the purged note is gone from the kept list',
    );
  });

  test('metrics count it', async () => {
    const text = (await server.anon.at('GET', '/metrics')).text;
    for (const what of ['hits', 'misses']) {
      assert.ok(new RegExp(`^chronicle_cache_${what}_total\\{cache="notes"\\} [1-9]\\d*$`, 'm').test(text), what);
    }
  });
});

test('a ring that is too small forgets, and nothing else', async (t) => {
  const server = new Server({ limits: { api: 'off' }, directives: ['ChronicleCacheSize 64K'] });
  await server.start();
  t.after(() => server.stop());
  const user = await server.user();
  await warm(user);
  for (let i = 0; i < 40; i += 1) {
    await user.post('/notes', { title: `n${i}`, content: 'x'.repeat(450) });
  }
  for (let round = 0; round < 3; round += 1) {
    for (let limit = 1; limit <= 12; limit += 1) {
      const res = await user.get(`/notes?limit=${limit}`);
      assert.equal(res.json.data.items.length, limit);
      assert.equal(res.json.data.items[0].title, 'n39');
    }
  }
  assert.equal((await user.get('/notes?limit=100')).json.data.items.length, 40);
});

test('none at all when told so', async (t) => {
  const server = new Server({ directives: ['ChronicleCacheSize 0'] });
  await server.start();
  t.after(() => server.stop());
  const user = await server.user();
  await sleep(1500);
  for (let i = 0; i < 3; i += 1) assert.equal(cached(await user.get('/notes')), 'MISS');
});

test('two servers on one database', async (t) => {
  const first = new Server({ limits: { api: 'off' } });
  await first.start();
  let second;
  t.after(async () => {
    await second?.stop();
    await first.stop(); /* with it goes the database */
  });
  const user = await first.user();
  await warm(user);
  second = new Server({ database: first.database, secrets: first.secrets, limits: { api: 'off' } });
  await second.start();
  const there = second.client({ token: user.token });

  await t.test('keep nothing, having nothing to tell them of each other in time', async () => {
    await until(async () => cached(await user.get('/notes')) === 'MISS', 5000, 'the first has heard of the second');
    const { id } = (await user.post('/notes', { title: '0' })).json.data;
    for (let i = 1; i <= 200; i += 1) {
      const [writer, reader] = i % 2 ? [user, there] : [there, user];
      assert.equal((await writer.put(`/notes/${id}`, { title: String(i) })).status, 200);
      const res = await reader.get('/notes');
      assert.equal(cached(res), 'MISS');
      assert.equal(res.json.data.items[0].title, String(i));
    }
    assert.match(first.log(), /CH1024: another server works on this database/);
  });

  await t.test('revocations act on the other at once', async () => {
    const victim = await first.user();
    const elsewhere = second.client({ token: victim.token });
    assert.equal((await elsewhere.get('/auth/me')).status, 200);
    assert.equal((await victim.post('/auth/logout', { allDevices: true })).status, 200);
    await isOut(elsewhere, 'it is known there');
  });

  await t.test('so does what is changed by hand', async () => {
    const victim = await first.user();
    const elsewhere = second.client({ token: victim.token });
    assert.equal((await elsewhere.get('/auth/me')).status, 200);
    await first.sql('UPDATE users SET is_active = false WHERE id = $1', [victim.user.id]);
    await isOut(elsewhere, 'the second knows');
    await isOut(victim, 'the first knows');
  });

  await t.test('lost announcements are said once, and again when they are back', async () => {
    second.expectLog(/CH1023/);
    first.expectLog(/CH1023/);
    const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name LIKE 'chronicle-bus:%'`;
    await first.sql(kill);
    await until(() => /CH1025/.test(second.log()) && /CH1025/.test(first.log()), 10000, 'they are back');
    assert.equal(second.log().match(/CH1023/g).length, 1);
    const victim = await first.user();
    const elsewhere = second.client({ token: victim.token });
    assert.equal((await elsewhere.get('/auth/me')).status, 200);
    await victim.post('/auth/logout', {});
    await isOut(elsewhere, 'the bus works');
  });
});
