/* Sync (API.md 7): databases that fail in the midst of a push. A group is done or not, and a repeat does the rest. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { makeDir, until } from './lib/env.mjs';
import { env } from './lib/env.mjs';
import { fails, ok, parallel, times } from './lib/expect.mjs';
import { PgProxy } from './lib/pgproxy.mjs';
import { DATABASE_NOISE, PrivateCluster } from './lib/postgres.mjs';
import { changes, pull, pullAll, push, sane, show, sound, status, tryPull, tryPush, uuid } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });
const folder = (fields) => ({ id: uuid(), name: uuid(), ...fields });

/** A push of new and changed objects, whose parts are known. */
async function prepared(user, size = 3) {
  const notes = times(size, () => note());
  const folders = times(size, () => folder());
  await push(user, { notes, folders, deviceId: 'setup' });
  const home = folder();
  return {
    deviceId: 'one',
    folders: [home, ...folders.map(({ id }) => ({ id, baseVersion: 1, color: '#123456' }))],
    notes: [
      ...notes.map(({ id }, n) => ({ id, baseVersion: 1, ...(n % 2 ? { isPinned: true } : { title: 'changed' }) })),
      note({ folderId: home.id, content: 'x'.repeat(3000) }),
      { ...note(), id: notes[0].id },
    ],
  };
}

/** How many of a kind are as the push would have them: all or none, or the group is broken. */
async function doneOf(s, user, body, kind) {
  const rows = new Map((await changes(s, user)).map((row) => [row.id, row]));
  const sent = body[kind].filter((item, n) => body[kind].findIndex(({ id }) => id === item.id) === n);
  const done = sent.filter((item) => rows.get(item.id)?.version === (item.baseVersion ?? 0) + 1);
  const open = sent.filter((item) => (rows.get(item.id)?.version ?? 0) === (item.baseVersion ?? 0));
  assert.equal(done.length + open.length, sent.length, 'each is as before or as sent');
  assert.ok(!done.length || !open.length, `${kind}: a group is done whole or not at all`);
  return done.length > 0;
}

async function repeated(s, user, body) {
  const again = sane(await push(user, body));
  assert.deepEqual([again.summary.applied, again.summary.rejected], [body.notes.length + body.folders.length - 1, 1]);
  for (const kind of ['notes', 'folders']) {
    for (const [n, r] of again[kind].entries()) {
      if (r.status === 'applied') assert.equal(r.version, (body[kind][n].baseVersion ?? 0) + 1, show(r));
    }
    assert.ok(await doneOf(s, user, body, kind), 'the repeat did it all');
  }
  await sound(s, user);
}

describe('Sync: connections that are cut', () => {
  const s = new Server({ limits: { api: 'off' }, children: 1, dbMax: 3 });
  s.expectLog(DATABASE_NOISE, /CH\d+/);
  let proxy;
  before(async () => {
    proxy = new PgProxy(makeDir('proxy-'), env.pg);
    const { host } = await proxy.start();
    s.dbHost = host;
    await s.start();
  });
  after(async () => {
    await s.stop();
    await proxy.stop();
  });

  for (const late of [false, true]) {
    const when = late ? 'once it was sent' : 'before it was sent';
    it(`a push whose n-th statement breaks ${when}: its groups are done or not, and a repeat does the rest`, async () => {
      const user = await s.user();
      await pull(user);
      const seen = { 503: 0, nothing: 0, folders: 0, all: 0 };
      let clean = 0;
      for (let n = 1; clean < 2; n += 1) {
        assert.ok(n < 80, 'it ends');
        const body = await prepared(user);
        proxy.arm(n, { after: late });
        const res = await tryPush(user, body);
        const { hit } = proxy;
        proxy.disarm();
        clean = hit ? 0 : clean + 1;
        await until(async () => (await user.get('/folders')).status === 200, 5000, 'the server serves on');
        if (res.status !== 200) {
          fails(res, 503, 'DATABASE_ERROR');
          assert.equal(res.headers['retry-after'], '5');
          const folders = await doneOf(s, user, body, 'folders');
          const notes = await doneOf(s, user, body, 'notes');
          assert.ok(folders || !notes, 'folders come first');
          seen[503] += 1;
          if (notes) seen.all += 1;
          else if (folders) seen.folders += 1;
          else seen.nothing += 1;
        } else {
          sane(ok(res));
        }
        await repeated(s, user, body);
      }
      assert.ok(seen.folders && seen[late ? 'all' : 'nothing'], show(seen));
    });

    it(`a pull whose n-th statement breaks ${when}: refused or whole`, async () => {
      const user = await s.user();
      await push(user, { notes: times(5, () => note()) });
      let clean = 0;
      for (let n = 1; clean < 2; n += 1) {
        assert.ok(n < 40, 'it ends');
        proxy.arm(n, { after: late });
        const res = await tryPull(user);
        clean = proxy.hit ? 0 : clean + 1;
        proxy.disarm();
        if (res.status === 200) assert.equal(ok(res).notes.length, 5);
        else fails(res, 503, 'DATABASE_ERROR');
        await until(async () => (await user.get('/folders')).status === 200, 5000, 'the server serves on');
      }
      assert.equal((await pull(user)).cursor, (await status(user)).cursor);
    });
  }
});

serverSuite('Sync: backends that are ended', { limits: { api: 'off' }, dbMax: 4, dbOptions: '-c statement_timeout=2s' }, (s) => {
  const blocked = () =>
    s.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");

  /** Starts a push that waits for a row that a session has locked. */
  const stuck = async (user, body, lock) => {
    const session = await s.session();
    await session.query('BEGIN');
    await session.query(...lock);
    const answer = tryPush(user, body);
    const [{ pid }] = await until(async () => {
      const rows = await blocked();
      return rows.length && rows;
    }, 5000, 'it waits');
    return { session, answer, pid };
  };
  const locks = {
    folders: (user) => ['SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [user.user.id]],
    notes: (user, body) => ['SELECT 1 FROM notes WHERE id = $1 FOR UPDATE', [body.notes[1].id]],
  };
  for (const [group, lock] of Object.entries(locks)) {
    for (const way of ['ended', 'cancelled', 'too late']) {
      it(`among the ${group}: ${way}`, async () => {
        s.expectLog(DATABASE_NOISE, /CH\d+/);
        const user = await s.user();
        const body = await prepared(user);
        const { session, answer, pid } = await stuck(user, body, lock(user, body));
        if (way === 'ended') await s.sql('SELECT pg_terminate_backend($1)', [pid]);
        if (way === 'cancelled') await s.sql('SELECT pg_cancel_backend($1)', [pid]);
        fails(await answer, 503, 'DATABASE_ERROR');
        await session.query('ROLLBACK');
        assert.equal(await doneOf(s, user, body, 'folders'), group === 'notes', 'folders are a group of their own');
        assert.equal(await doneOf(s, user, body, 'notes'), false, 'no note is done');
        await repeated(s, user, body);
      });
    }
  }
});

describe('Sync: a PostgreSQL that crashes', () => {
  const cluster = new PrivateCluster();
  const s = new Server({ database: 'app', limits: { api: 'off' } });
  s.expectLog(DATABASE_NOISE, /CH\d+/);
  before(async () => {
    await cluster.init();
    s.pg = cluster.cluster;
    await s.start();
  });
  after(async () => {
    await s.stop();
    await cluster.remove();
  });

  it('again and again, under four devices that repeat until it is done: all is there, once', async () => {
    const user = await s.user();
    let running = true;
    let rounds = 0;
    let repeats = 0;
    const devices = parallel(4, async (n) => {
      const deviceId = `d${n}`;
      const mine = note({ title: '0' });
      const made = [];
      let version = 0;
      for (let k = 0; running; k += 1) {
        const home = folder();
        const fresh = times(3, () => note({ folderId: home.id }));
        const body = { deviceId, folders: [home], notes: [{ ...mine, baseVersion: version, title: `${k}` }, ...fresh] };
        for (let done = false; !done; ) {
          const res = await tryPush(user, body, { fresh: true });
          if (res.status === 200) {
            assert.deepEqual(sane(ok(res)).summary, { applied: 5, conflicts: 0, rejected: 0 });
            done = true;
          } else {
            fails(res, 503, 'DATABASE_ERROR');
            repeats += 1;
          }
        }
        version += 1;
        rounds += 1;
        made.push(home.id, ...fresh.map(({ id }) => id));
      }
      return { mine: mine.id, version, made };
    });
    const advance = async (count) => {
      const target = rounds + count;
      await until(() => rounds >= target, 30000, 'pushes go on');
    };
    for (let round = 0; round < 3; round += 1) {
      await advance(12);
      const theirs = "SELECT pid FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid() LIMIT 1";
      const backend = await until(() => s.sql(theirs).then(([row]) => row, () => false), 20000, 'a backend');
      process.kill(backend.pid, 'SIGKILL');
      await until(() => s.sql('SELECT 1').then(Boolean, () => false), 20000, 'PostgreSQL is back');
    }
    await advance(12);
    running = false;
    const results = await devices;
    assert.ok(repeats > 0, 'some were refused meanwhile');
    const all = await pullAll(user, { limit: 100 });
    const versions = new Map([...all.notes, ...all.folders].map((item) => [item.id, item.version]));
    for (const { mine, version, made } of results) {
      assert.equal(versions.get(mine), version);
      for (const id of made) assert.equal(versions.get(id), 1);
    }
    assert.equal(versions.size, 1 + results.reduce((sum, r) => sum + r.made.length + 1, 0));
    await sound(s, user);
  });
});
