/* Answers kept for several servers that share a database and a Redis. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from './lib/server.mjs';
import { Redis } from './lib/redis.mjs';
import { inTime, sleep, until } from './lib/env.mjs';

const cached = (res) => res.headers['x-cache'];

/** A Redis and n servers on one database. */
async function fleet(t, n, options = {}) {
  const redis = new Redis();
  await redis.start();
  t.after(() => redis.remove());
  const servers = [];
  for (let i = 0; i < n; i += 1) {
    const [first] = servers;
    const server = new Server({
      limits: { api: 'off' },
      directives: [`ChronicleRedis ${redis.unixUrl}`],
      ...(first && { database: first.database, secrets: first.secrets }),
      ...options,
    });
    await server.start();
    server.expectLog(/CH103[01]/, /CH1023/);
    servers.push(server);
  }
  /* the database goes with the first, so that one is stopped last */
  t.after(async () => {
    for (const server of servers.reverse()) await server.stop();
  });
  const user = await servers[0].user();
  return { redis, servers, user, clients: servers.map((server) => server.client({ token: user.token })) };
}

test('two servers share versions and answers', async (t) => {
  const { redis, clients } = await fleet(t, 2);
  const [here, there] = clients;
  const { id } = (await here.post('/notes', { title: '0' })).json.data;
  const titles = async (client) => {
    const res = await client.get('/notes');
    return [cached(res), res.json.data.items[0].title];
  };

  await t.test('what one has read, the other has', async () => {
    /* once each has made sure that it may trust what it finds */
    await until(async () => cached(await there.get('/notes?limit=7')) === 'HIT', 5000, 'the second has settled');
    await until(async () => cached(await here.get('/notes?limit=8')) === 'HIT', 5000, 'the first has settled');
    assert.deepEqual(await titles(here), ['MISS', '0']);
    assert.deepEqual(await titles(there), ['HIT', '0']);
    assert.deepEqual(await titles(here), ['HIT', '0']);
    const one = [await here.get(`/notes/${id}`), await there.get(`/notes/${id}`)];
    assert.deepEqual(one.map(cached), ['MISS', 'HIT']);
    assert.equal(one[1].headers.etag, '"v1"');
    assert.equal(one[1].text, one[0].text);
  });

  await t.test('1,000 alternations of write here, read there', { timeout: 120000 }, async () => {
    let hits = 0;
    for (let i = 1; i <= 1000; i += 1) {
      const [writer, reader] = i % 2 ? [here, there] : [there, here];
      assert.equal((await writer.put(`/notes/${id}`, { title: String(i) })).status, 200);
      assert.deepEqual(await titles(reader), ['MISS', String(i)]);
      if ((await titles(writer))[0] === 'HIT') hits += 1;
    }
    assert.equal(hits, 1000);
  });

  await t.test('without Redis nothing is kept, and nothing fails', async () => {
    await redis.kill();
    for (let i = 0; i < 20; i += 1) {
      const [writer, reader] = i % 2 ? [here, there] : [there, here];
      assert.equal((await writer.put(`/notes/${id}`, { title: `lost ${i}` })).status, 200);
      assert.deepEqual(await titles(reader), ['MISS', `lost ${i}`]);
      assert.deepEqual(await titles(reader), ['MISS', `lost ${i}`]);
    }
  });

  await t.test('when it is back, with what it held before, nothing old is served', async () => {
    await redis.start();
    await until(async () => (await titles(here))[0] === 'HIT', 10000, 'answers are kept again');
    for (let i = 0; i < 20; i += 1) {
      const [writer, reader] = i % 2 ? [here, there] : [there, here];
      assert.equal((await writer.put(`/notes/${id}`, { title: `back ${i}` })).status, 200);
      assert.equal((await titles(reader))[1], `back ${i}`);
    }
  });

  await t.test('FLUSHALL and evictions cost fresh answers only', async () => {
    for (let i = 0; i < 10; i += 1) {
      await titles(here);
      await redis.command('FLUSHALL');
      assert.equal((await here.put(`/notes/${id}`, { title: `flushed ${i}` })).status, 200);
      await redis.command('FLUSHALL');
      assert.deepEqual(await titles(there), ['MISS', `flushed ${i}`]);
      assert.deepEqual(await titles(here), ['HIT', `flushed ${i}`]);
    }
  });

  await t.test('rubbish in Redis is not served', async () => {
    await titles(here);
    for (const key of await redis.command('KEYS', 'chronicle:answer:*')) await redis.command('SET', key, '99 x');
    for (const key of await redis.command('KEYS', 'chronicle:version:*')) await redis.command('SET', key, 'short');
    assert.deepEqual(await titles(there), ['MISS', 'flushed 9']);
    for (const key of await redis.command('KEYS', 'chronicle:version:*')) await redis.command('DEL', key);
    assert.equal((await here.put(`/notes/${id}`, { title: 'clean' })).status, 200);
    assert.deepEqual(await titles(there), ['MISS', 'clean']);
  });

  await t.test('a mark that a dead writer left is a miss, not for ever', async () => {
    const [key] = await redis.command('KEYS', 'chronicle:version:*');
    await redis.command('SET', key, '!', 'PX', '700');
    assert.equal((await titles(here))[0], 'MISS');
    assert.equal((await titles(here))[0], 'MISS');
    await sleep(900);
    await titles(here);
    assert.equal((await titles(there))[0], 'HIT');
  });
});

test('a server that alone has lost Redis spoils what the others keep', async (t) => {
  const { redis, servers, clients } = await fleet(t, 2);
  const [cut, whole] = clients;
  const { id } = (await whole.post('/notes', { title: 'before' })).json.data;
  await whole.get('/notes');
  assert.equal(cached(await whole.get('/notes')), 'HIT');
  /* its socket's name goes; the other keeps its connections */
  await cut.get('/notes');
  servers[0].directives = ['ChronicleRedis unix:///nowhere/redis.sock'];
  servers[0].writeConf();
  servers[0].signal('SIGUSR1');
  await until(() => /CH1030: Redis at \/nowhere/.test(servers[0].log()), 10000, 'it is lost to the first');
  assert.equal((await cut.put(`/notes/${id}`, { title: 'after' })).status, 200);
  await until(
    async () => (await whole.get('/notes')).json.data.items[0].title === 'after',
    1000,
    'the other was told over the database',
  );
  assert.ok(redis);
});

test('revocations go over Redis, too', async (t) => {
  const { servers, user, clients } = await fleet(t, 2);
  assert.equal((await clients[1].get('/auth/me')).status, 200);
  /* as behind a pooler that lets no LISTEN through */
  await servers[0].sql('DROP TRIGGER sessions_tell ON sessions');
  assert.equal((await user.post('/auth/logout', {})).status, 200);
  /* and not only since what a server keeps of a session has ended after 10 s */
  const isOut = async () => (await clients[1].get('/auth/me')).status === 401;
  assert.ok(await inTime(6000, isOut), 'it is known there');
});
