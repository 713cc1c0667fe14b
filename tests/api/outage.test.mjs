/* The database goes away, comes back, hangs, or has no connection left. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { patience, sleep, until } from './lib/env.mjs';
import { fails, measured, ok, parallel, times } from './lib/expect.mjs';
import { DATABASE_NOISE, PrivateCluster } from './lib/postgres.mjs';

const cluster = new PrivateCluster();

/** A describe() with a server on the private cluster. */
function outageSuite(title, options, define) {
  describe(title, () => {
    const s = new Server({ database: 'app', ...options });
    s.expectLog(DATABASE_NOISE, /statement timeout/);
    before(async () => {
      if (!cluster.child) await cluster.init();
      s.pg = cluster.cluster;
      await s.start();
    });
    after(async () => {
      assert.doesNotMatch(s.log(), /prepared statement|26000|42P05/i, 'no prepared-statement error in the log');
      await s.stop();
    });
    define(s);
  });
}
after(() => cluster.remove());

/** Writers that run until stopped; what was acknowledged is in `done`, every other answer is judged at once. */
function load(client, count) {
  const state = { done: [], refused: 0, running: true };
  state.finished = parallel(count, async (n) => {
    for (let k = 0; state.running; k += 1) {
      const res = await client.post('/notes', { title: `${n}-${k}`, content: 'text' });
      if (res.status === 201) {
        state.done.push(res.json.data.id);
      } else {
        fails(res, 503, 'DATABASE_ERROR');
        state.refused += 1;
        await sleep(20);
      }
    }
  });
  state.stop = async () => {
    state.running = false;
    await state.finished;
  };
  return state;
}

const allThere = async (s, done) => {
  const rows = await s.sql('SELECT id FROM notes WHERE id = ANY($1::uuid[])', [done]);
  assert.equal(rows.length, done.length, 'every acknowledged write is there');
};
const worksEverywhere = async (client) => {
  const send = (n) => (n % 2 ? client.get('/notes', { fresh: true }) : client.post('/notes', {}, { fresh: true }));
  for (const res of await parallel(40, send)) assert.ok([200, 201].includes(res.status), res.text);
};
/** After an outage each child may go on refusing for a moment before it tries the database again. */
const recovers = (client) =>
  until(
    async () => (await parallel(24, () => client.get('/folders', { fresh: true }))).every((res) => res.status === 200),
    5000,
    'every child serves again',
  );

outageSuite('Lost connections', {}, (s) => {
  let alice;
  before(async () => {
    alice = await s.user();
  });

  it('backends killed under load cost no acknowledged write, and the server goes on by itself', async () => {
    const writers = load(alice, 6);
    for (let round = 0; round < 8; round += 1) {
      const target = writers.done.length + 20;
      await until(() => writers.done.length >= target, 10000, 'writes are acknowledged');
      await s.sql(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
        ['app'],
      );
    }
    const target = writers.done.length + 50;
    await until(() => writers.done.length >= target, 10000, 'writes go on');
    await writers.stop();
    await allThere(s, writers.done);
    await worksEverywhere(alice);
  });

  it('reads survive a killed idle backend unseen', async () => {
    for (let round = 0; round < 5; round += 1) {
      await s.sql(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
        ['app'],
      );
      for (const res of await parallel(8, () => alice.get('/folders'))) ok(res);
    }
  });

  for (const mode of ['fast', 'immediate']) {
    it(`after a ${mode} stop: 503 at once; after the start: service, without touching httpd`, async () => {
      await worksEverywhere(alice);
      const writers = load(alice, 4);
      await until(() => writers.done.length >= 20, 10000, 'writes are acknowledged');
      await cluster.stop(mode);
      await until(() => writers.refused >= 8, 10000, 'writes are refused');
      const requests = [
        () => alice.get('/folders'),
        () => alice.post('/notes', {}),
        () => alice.get('/auth/me'),
        () => s.anon.post('/auth/login', { email: alice.email, password: alice.password }),
        () => s.anon.post('/auth/refresh', { refreshToken: alice.refreshToken }),
      ];
      for (const request of requests) {
        await measured(async () => {
          const start = Date.now();
          const res = await request();
          const spent = Date.now() - start;
          fails(res, 503, 'DATABASE_ERROR');
          assert.match(res.headers['retry-after'], /^[1-9]\d*$/);
          assert.ok(spent < 500 * patience, `${spent} ms`);
        });
      }
      fails(await s.anon.get('/folders'), 401, 'AUTHENTICATION_REQUIRED');
      fails(await alice.get('/nope'), 404, 'ROUTE_NOT_FOUND');
      const health = async (path) => {
        const res = await s.anon.at('GET', path);
        return [res.status, res.json.status, res.json.checks];
      };
      assert.deepEqual((await health('/health')).slice(0, 2), [200, 'OK']);
      assert.deepEqual((await health('/health/live')).slice(0, 2), [200, 'ALIVE']);
      const [ready, detailed] = [await health('/health/ready'), await health('/health/detailed')];
      assert.deepEqual(ready.slice(0, 2), [503, 'NOT_READY']);
      assert.equal(ready[2].database, 'down');
      assert.deepEqual(detailed.slice(0, 2), [503, 'DOWN']);
      assert.equal(detailed[2].database.status, 'down');
      assert.equal((await s.anon.at('GET', '/metrics')).status, 200);
      await cluster.start();
      const target = writers.done.length + 50;
      await until(() => writers.done.length >= target, 10000, 'writes are acknowledged again');
      await recovers(alice);
      await writers.stop();
      await allThere(s, writers.done);
      await worksEverywhere(alice);
      assert.deepEqual((await health('/health/ready')).slice(0, 2), [200, 'READY']);
    });
  }

  it('a server that starts while the database is away becomes ready when it comes', async () => {
    await cluster.stop('fast');
    const late = new Server({ database: 'app', pg: cluster.cluster, ready: false });
    late.expectLog(DATABASE_NOISE, /statement timeout/);
    await late.start();
    assert.equal(await late.probe('/health'), 200);
    assert.equal(await late.probe('/health/ready'), 503);
    await cluster.start();
    await until(async () => (await late.probe('/health/ready')) === 200, 10000, 'the late server is ready');
    await late.stop();
    await recovers(alice);
    await worksEverywhere(alice);
  });
});

outageSuite(
  'Waiting for the database',
  {
    children: 1,
    dbMax: 2,
    dbOptions: '-c statement_timeout=5s',
    directives: ['ChronicleDbWait 300'],
  },
  (s) => {
    let alice;
    before(async () => {
      alice = await s.user();
    });

    /** Runs fn while writes of the user's notes wait for a lock. */
    async function locked(fn) {
      const lock = await s.session();
      await lock.query('BEGIN');
      await lock.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [alice.user.id]);
      try {
        await fn(() => lock.query('ROLLBACK'));
      } finally {
        await lock.query('ROLLBACK');
      }
    }
    const waiting = (n) =>
      until(
        async () =>
          (await s.sql("SELECT 1 FROM pg_stat_activity WHERE datname = 'app' AND wait_event_type = 'Lock'")).length >=
          n,
        3000,
        `${n} statements wait`,
      );

    it('a statement that waits past statement_timeout is 503, and has changed nothing', async () => {
      const count = async () =>
        (await s.sql('SELECT count(*) AS n FROM notes WHERE user_id = $1', [alice.user.id]))[0].n;
      const n = await count();
      await locked(async () => {
        const start = Date.now();
        const res = await alice.post('/notes', { title: 'late' });
        fails(res, 503, 'DATABASE_ERROR');
        assert.ok(Date.now() - start >= 4900, `${Date.now() - start} ms`);
      });
      assert.equal(await count(), n);
      ok(await alice.post('/notes', {}), 201);
      assert.equal(await count(), n + 1);
    });

    it('with every connection taken, a request is 503 after ChronicleDbWait; the holders finish', async () => {
      await locked(async (release) => {
        const holders = times(2, () => alice.post('/notes', {}));
        await waiting(2);
        const start = Date.now();
        const late = await parallel(6, () => alice.get('/folders'));
        const spent = Date.now() - start;
        for (const res of late) {
          assert.equal(res.status, 503, res.text);
          assert.match(res.json.error.code, /^(DATABASE_ERROR|SERVICE_UNAVAILABLE)$/);
        }
        assert.ok(spent >= 250 && spent < 4500, `${spent} ms`);
        assert.equal(await s.probe('/health'), 200);
        await release();
        for (const res of await Promise.all(holders)) ok(res, 201);
      });
      for (const res of await parallel(12, () => alice.get('/folders'))) ok(res);
    });

    it('more requests than connections queue up and all succeed', async () => {
      for (const res of await parallel(32, (n) =>
        n % 2 ? alice.get('/notes', { fresh: true }) : alice.post('/notes', {}, { fresh: true }),
      )) {
        assert.ok([200, 201].includes(res.status), res.text);
      }
    });
  },
);
