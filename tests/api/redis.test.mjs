/* Redis: limits that several servers count together, and what happens when it is lost (ChronicleRedis). */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { Proxy, Redis } from './lib/redis.mjs';
import { patience, sleep, until } from './lib/env.mjs';
import { fails, parallel, tally, times } from './lib/expect.mjs';

const left = (res) => Number(res.headers['ratelimit-remaining']);
const count = (text, pattern) => text.match(pattern)?.length ?? 0;
const lost = (s) => count(s.log(), /CH1030: /g);
const back = (s) => count(s.log(), /CH1031: /g);
const health = async (s) => (await s.anon.at('GET', '/health/detailed')).json;
const isUp = async (s) => (await health(s)).checks.redis.status === 'up';
const isBack = (s) => until(() => isUp(s), 20000, 'Redis is back');

/** An answer with data or a refusal, whose headers agree with it. */
function limited(res, limit, window) {
  assert.ok([200, 429].includes(res.status), res.text);
  assert.equal(res.headers['ratelimit-limit'], String(limit));
  const reset = Number(res.headers['ratelimit-reset']);
  assert.ok(Number.isInteger(reset) && reset >= 1 && reset <= window, `RateLimit-Reset ${reset}`);
  assert.ok(left(res) >= 0 && left(res) < limit);
  if (res.status === 429) {
    fails(res, 429, 'RATE_LIMIT_EXCEEDED');
    assert.equal(left(res), 0);
    assert.equal(res.headers['retry-after'], res.headers['ratelimit-reset']);
  }
  return res;
}

/** A describe() with a Redis and servers on one database, with the same secrets. */
function redisSuite(title, { redis: options, ...common }, servers, define) {
  describe(title, () => {
    const redis = new Redis(options);
    const all = servers.map(
      (own) => new Server({ children: 2, ...common, ...own, directives: [() => `ChronicleRedis "${redis.url}"`] }),
    );
    before(async () => {
      await redis.start();
      await all[0].start();
      for (const server of all.slice(1)) {
        Object.assign(server, { pg: all[0].pg, database: all[0].database, secrets: all[0].secrets });
        await server.start();
      }
    });
    after(async () => {
      for (const server of all.reverse()) await server.stop();
      await redis.remove();
    });
    define(redis, ...all);
  });
}

/** A server of its own for one test. */
async function withServer(options, run) {
  const s = new Server({ children: 1, ...options });
  let failed = true;
  try {
    await s.start();
    await run(s);
    failed = false;
  } finally {
    await s.stop().catch((error) => {
      if (!failed) throw error;
    });
  }
}

/** The same caller at each server. */
async function caller(...servers) {
  const { token } = await servers[0].user();
  return servers.map((server) => server.client({ token }));
}

redisSuite('Two servers, one Redis', { limits: { api: '20/60' } }, [{}, {}], (redis, a, b) => {
  it('count a caller together, exactly', async () => {
    const clients = await caller(a, b);
    for (let n = 0; n < 6; n += 1) {
      const res = limited(await clients[n % 2].get('/folders'), 20, 60);
      assert.equal(left(res), 19 - n);
    }
    const all = await parallel(40, (n) => clients[n % 2].get('/folders', { fresh: n % 3 === 0 }));
    all.forEach((res) => limited(res, 20, 60));
    assert.deepEqual(tally(all.map((res) => res.status)), { 200: 14, 429: 26 });
    const seen = all.filter((res) => res.status === 200).map(left);
    assert.deepEqual(
      seen.sort((x, y) => x - y),
      times(14, (n) => n),
    );
    const [other] = await caller(b);
    assert.equal(left(limited(await other.get('/folders'), 20, 60)), 19);
  });

  it('keys tell nothing of who called, and end with their windows', async () => {
    const keys = (await redis.keys()).filter((key) => key.startsWith('chronicle:limit:'));
    assert.equal(keys.length, 2, 'one per caller');
    for (const key of keys) {
      assert.match(key, /^chronicle:limit:[\w-]{22}$/, 'no address, no user');
      const ttl = await redis.command('PTTL', key);
      assert.ok(ttl > 0 && ttl <= 60000, `${key}: ${ttl}`);
    }
  });

  it('are fine when all that Redis knows is gone', async () => {
    const clients = await caller(a, b);
    for (const words of [['FLUSHALL'], ['SCRIPT', 'FLUSH']]) {
      const before_ = left(limited(await clients[0].get('/folders'), 20, 60));
      await redis.command(...words);
      const next = left(limited(await clients[1].get('/folders'), 20, 60));
      assert.equal(next, words[0] === 'FLUSHALL' ? 19 : before_ - 1);
    }
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal');
    assert.equal(left(limited(await clients[0].get('/folders'), 20, 60)), 17 - 1);
  });

  it('/health/detailed shows it', async () => {
    for (const s of [a, b]) {
      const { status, checks } = await health(s);
      assert.equal(status, 'OK');
      assert.equal(checks.redis.status, 'up');
      assert.ok(checks.redis.latencyMs > 0 && checks.redis.latencyMs < 250 * patience, `${checks.redis.latencyMs}`);
    }
  });

  it('keep few connections: none is made for a request', async () => {
    const [client] = await caller(a);
    const made = async () => Number(/total_connections_received:(\d+)/.exec(await redis.command('INFO', 'stats'))[1]);
    const start = await made();
    for (let n = 0; n < 15; n += 1) await client.get('/folders');
    const more = (await made()) - start;
    assert.ok(more <= 4, `${more} connections for 15 requests one after the other`); /* one of them is our own */
  });

  it('nothing of all that is in the log', () => {
    for (const s of [a, b]) assert.equal(lost(s) + back(s), 0);
  });
});

redisSuite('A window', { limits: { api: '2/3' } }, [{}, {}], (redis, a, b) => {
  it('opens with the first request and ends for both servers at once', async () => {
    let got;
    /* within one window: a machine that stalls tries again */
    for (let round = 0; round < 10; round += 1) {
      const clients = await caller(a, b);
      const ask = async (n) => limited(await clients[n].get('/folders'), 2, 3);
      const start = Date.now();
      got = [await ask(0), await ask(1), await ask(0), await ask(1)];
      await sleep(Number(got[3].headers['retry-after']) * 1000 + 20);
      const again = Date.now();
      got.push(await ask(1), await ask(0), await ask(0));
      if (again < start + 5000 && Date.now() < again + 2900) break;
    }
    assert.deepEqual(
      got.map((res) => res.status),
      [200, 200, 429, 429, 200, 200, 429],
    );
    assert.deepEqual(got.slice(4, 6).map(left), [1, 0]);
  });
});

/** Requests of which each is answered as it should be. */
const served = (clients, number) =>
  parallel(number, async (n) => limited(await clients[n % clients.length].get('/folders'), 1000, 60));

/* Who waits for Redis has made a connection for it: the proxy counts them, whatever the machine's load. */
for (const [how, go, come] of [
  ['is killed', (redis) => redis.kill(), (redis) => redis.start()],
  ['hangs', (redis) => redis.pause(), (redis) => redis.resume()],
]) {
  describe(`Redis ${how}`, () => {
    const redis = new Redis();
    const proxy = new Proxy(redis);
    const s = new Server({
      children: 3,
      threads: 16,
      limits: { api: '1000/60' },
      directives: [() => `ChronicleRedis "${proxy.url}"`],
    });
    let clients;
    s.expectLog(/CH103[01]: /);
    before(async () => {
      await redis.start();
      await proxy.start();
      await s.start();
      clients = await caller(s, s, s);
      await served(clients, 10);
    });
    after(async () => {
      await s.stop();
      proxy.stop();
      await redis.remove();
    });

    it('requests are answered all the same; one of them finds out, the others do not wait', async () => {
      await go(redis);
      await served(clients, 1);
      assert.equal(lost(s), 1);
      const tries = proxy.accepted;
      const start = Date.now();
      for (let n = 0; n < 12; n += 1) await served(clients, 10);
      assert.ok(proxy.accepted - tries <= 1 + (Date.now() - start) / 500, `${proxy.accepted - tries} tries`);
      assert.equal(lost(s), 1);
      assert.equal(back(s), 0);
    });

    it('the budget is not new: this server has counted too', async () => {
      const remaining = left(await clients[0].get('/folders'));
      assert.ok(remaining < 900, `${remaining}`);
    });

    it('/health/detailed is DEGRADED, with 200; ready and live are not touched', async () => {
      const res = await s.anon.at('GET', '/health/detailed');
      assert.equal(res.status, 200);
      assert.equal(res.json.status, 'DEGRADED');
      assert.deepEqual(res.json.checks.redis, { status: 'down', latencyMs: null });
      assert.equal(res.json.checks.database.status, 'up');
      assert.equal((await s.anon.at('GET', '/health/ready')).status, 200);
      assert.equal((await s.anon.at('GET', '/health/live')).status, 200);
    });

    it('lost for long: one line in the log, one try per half second', async () => {
      const tries = proxy.accepted;
      const start = Date.now();
      let made = 0;
      while (Date.now() < start + 2500 || (made < 2 && Date.now() < start + 20000)) {
        await served(clients, 5);
        made = proxy.accepted - tries;
      }
      assert.ok(made >= 2 && made <= 1 + (Date.now() - start) / 500, `${made} tries`);
      assert.equal(lost(s), 1);
      assert.match(s.log(), /CH1030: Redis at 127\.0\.0\.1:\d+ is lost \(.+\): limits are counted by this server alone/);
    });

    it('it is back: one line more, and limits are in Redis again', async () => {
      await come(redis);
      await isBack(s);
      assert.equal((await health(s)).status, 'OK');
      const [fresh] = await caller(s);
      const limits = async () => (await redis.keys()).filter((key) => key.startsWith('chronicle:limit:')).length;
      const keys = await limits();
      assert.equal(left(limited(await fresh.get('/folders'), 1000, 60)), 999);
      assert.equal(await limits(), keys + 1);
      assert.equal(left(limited(await fresh.get('/folders'), 1000, 60)), 998);
      assert.equal(lost(s), 1);
      assert.equal(back(s), 1);
    });
  });
}

redisSuite('Redis killed under load', { limits: { api: '100000/60' } }, [{}, {}], (redis, a, b) => {
  for (const s of [a, b]) s.expectLog(/CH103[01]: /);

  it('every request is answered, and the lines in the log match', async () => {
    const clients = await caller(a, b);
    let running = true;
    const workers = parallel(12, async (n) => {
      for (; running; ) limited(await clients[n % 2].get('/folders'), 100000, 60);
    });
    await sleep(300);
    await redis.kill();
    await sleep(800);
    await redis.start();
    await Promise.all([isBack(a), isBack(b)]);
    await sleep(300);
    running = false;
    await workers;
    /* twelve find out, and one line tells of it; a slow machine may lose it once more as it comes back */
    for (const s of [a, b]) {
      assert.ok(lost(s) >= 1 && lost(s) <= 3, `lost ${lost(s)} times`);
      assert.equal(back(s), lost(s));
    }
  });
});

describe('Failure loop', () => {
  const redis = new Redis({ password: 'open sesame' });
  const proxy = new Proxy(redis);
  before(async () => {
    await redis.start();
    await proxy.start();
  });
  after(async () => {
    proxy.stop();
    await redis.remove();
  });

  for (const share of [0, 0.5]) {
    it(`the n-th reply of Redis is cut ${share ? 'in half' : 'off'}: every answer is right`, async () => {
      await withServer({ limits: { api: '100/60' }, directives: [`ChronicleRedis "${proxy.url}"`] }, async (s) => {
        s.expectLog(/CH103[01]: /);
        let n = 0;
        do {
          n += 1;
          await isBack(s);
          const [client] = await caller(s);
          proxy.cut(n, share);
          for (let k = 1; k <= 5; k += 1) {
            const res = limited(await client.get('/folders'), 100, 60);
            assert.equal(res.status, 200);
            /* Exact, but for a request that Redis never saw. */
            assert.ok([100 - k, 101 - k].includes(left(res)), `n ${n}, request ${k}: ${left(res)}`);
          }
        } while (proxy.replies >= n && n < 40);
        assert.ok(n > 5 && n < 40, `the loop ended at ${n}`);
        assert.ok(!s.log().includes('sesame'));
      });
    });
  }
});

describe('Redis that is of no use', () => {
  const redis = new Redis({ password: 'swordfish' });
  before(() => redis.start());
  after(() => redis.remove());

  for (const [what, url, cause] of [
    ['wrong password', () => redis.url.replace('swordfish', 'marlin42'), 'it refuses the password'],
    ['no password', () => redis.url.replace(/\/\/.*@/, '//'), 'it asks for a password'],
    ['wrong database', () => `${redis.url}/99`, 'it has no such database'],
    ['nobody listens', () => 'unix:///nonexistent/redis.sock', 'No such file or directory'],
    ['a name that is none', () => 'redis://no-such-host.invalid', '.*'],
  ]) {
    it(`${what}: as good as lost, with a clear line that holds no password`, async () => {
      await withServer({ limits: { api: '3/60' }, directives: [`ChronicleRedis "${url()}"`] }, async (s) => {
        s.expectLog(/CH1030: /);
        const [client] = await caller(s);
        const got = [];
        for (let n = 0; n < 5; n += 1) got.push(limited(await client.get('/folders'), 3, 60).status);
        assert.deepEqual(got, [200, 200, 200, 429, 429]);
        assert.equal((await health(s)).status, 'DEGRADED');
        await sleep(1200);
        limited(await client.get('/folders'), 3, 60);
        assert.equal(lost(s), 1);
        assert.match(s.log(), new RegExp(`CH1030: Redis at \\S+ is lost \\(${cause}\\): limits`));
        assert.ok(!/swordfish|marlin42/.test(s.log()));
      });
    });
  }
});

describe('Ways to name it', () => {
  const redis = new Redis({ password: 'a%b/c@d e' });
  before(() => redis.start());
  after(() => redis.remove());

  const file = (s) => {
    const name = path.join(s.dir, 'redis-url');
    fs.writeFileSync(name, `${redis.unixUrl}?db=3\n`, { mode: 0o600 });
    return `ChronicleRedis "file:${name}"`;
  };
  const parts = () => ({ REDIS_HOST: '127.0.0.1', REDIS_PORT: `${redis.port}`, REDIS_PASSWORD: redis.password });

  for (const [what, directives, vars, status] of [
    ['a unix socket', [() => `ChronicleRedis "${redis.unixUrl}"`], () => ({}), 'up'],
    ['file:', [file], () => ({}), 'up'],
    ['env:', ['ChronicleRedis env:MY_REDIS'], () => ({ MY_REDIS: redis.url }), 'up'],
    ['REDIS_URL', [], () => ({ REDIS_URL: redis.url }), 'up'],
    ['REDIS_HOST, REDIS_PORT and REDIS_PASSWORD', [], parts, 'up'],
    ['the directive before the environment', ['ChronicleRedis off'], parts, 'disabled'],
    ['nothing', [], () => ({}), 'disabled'],
  ]) {
    it(`${what}: ${status}`, async () => {
      await withServer({ directives, env: vars() }, async (s) => {
        assert.equal((await health(s)).checks.redis.status, status);
        assert.ok(!s.log().includes(redis.login) && !s.log().includes(redis.password));
      });
    });
  }
});

redisSuite(
  'Virtual hosts',
  {
    limits: { api: '10/60' },
    vhosts: [
      { name: 'first.example', lines: [] },
      { name: 'second.example', lines: ['Chronicle On', 'ChronicleRateLimit api 8/60'] },
      { name: 'third.example', lines: ['Chronicle On', 'ChronicleRedis off'] },
      {
        name: 'fourth.example',
        lines: ['Chronicle On', 'ChronicleRefreshSecret "a secret of its own, with 32 bytes or more"'],
      },
    ],
  },
  [{}],
  (redis, s) => {
    it('with the same secret count together; one without Redis counts alone', async () => {
      const [client] = await caller(s);
      const ask = async (name) => left(await client.get('/folders', { headers: { host: `${name}.example` } }));
      assert.equal(await ask('first'), 9);
      assert.equal(await ask('second'), 6);
      assert.equal(await ask('first'), 7);
      assert.equal(await ask('third'), 9);
      assert.equal(await ask('fourth'), 9);
      assert.equal(await ask('first'), 6);
    });
  },
);

describe('A graceful restart', () => {
  const redis = new Redis();
  before(() => redis.start());
  after(() => redis.remove());

  it('goes on with the same counters, and with what is known of Redis', async () => {
    await withServer({ limits: { api: '10/60' }, directives: [`ChronicleRedis "${redis.url}"`] }, async (s) => {
      s.expectLog(/CH103[01]: /);
      const [client] = await caller(s);
      const ask = async () => left(limited(await client.get('/folders', { fresh: true }), 10, 60));
      const restart = async () => {
        const mark = s.log().length;
        s.signal('SIGUSR1');
        await until(() => /resuming normal operations/.test(s.log().slice(mark)), 10000, 'the restart is done');
      };
      assert.equal(await ask(), 9);
      await restart();
      assert.equal(await ask(), 8);
      await redis.kill();
      assert.equal(await ask(), 7);
      await restart();
      assert.equal(await ask(), 6);
      assert.equal(lost(s), 1);
      await redis.start();
      await isBack(s);
      assert.equal(await ask(), 9);
      assert.equal(back(s), 1);
    });
  });
});
