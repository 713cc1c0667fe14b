/* Children and backends that are killed, statements that are cut at any message, logs that are full. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { inTime, makeDir, sleep, until } from './lib/env.mjs';
import { fails, ok, parallel, times } from './lib/expect.mjs';
import { DATABASE_NOISE, PrivateCluster } from './lib/postgres.mjs';


/** Every note has exactly the versions before its own, and its text is that of a whole write. */
async function whole(s, userId) {
  const broken = await s.sql(
    `SELECT n.id, n.version, count(v.*) AS versions, min(v.version) AS first, max(v.version) AS last
       FROM notes n LEFT JOIN note_versions v ON v.note_id = n.id
      WHERE n.user_id = $1
      GROUP BY n.id, n.version
     HAVING count(v.*) NOT IN (n.version, n.version - 1) OR count(DISTINCT v.version) <> count(v.*)
         OR n.title <> n.content`,
    [userId],
  );
  assert.deepEqual(broken, [], 'notes and their versions belong together');
}

/** Writers that go on through connections that break; what was acknowledged is in `made` and `last`. */
function writers(client, count, notes) {
  const state = { made: [], last: new Map(), answers: 0, lost: 0, running: true };
  state.finished = parallel(count, async (n) => {
    for (let k = 0; state.running; k += 1) {
      const text = `${n} ${k} ${crypto.randomUUID()}`;
      const json = { title: text, content: text };
      try {
        const note = notes[n % notes.length];
        const res = await (k % 2
          ? client.put(`/notes/${note}`, json, { fresh: true })
          : client.post('/notes', json, { fresh: true }));
        state.answers += 1;
        if (res.status === 201) state.made.push(res.json.data.id);
        else if (res.status === 200) state.last.set(note, Math.max(state.last.get(note) ?? 0, res.json.data.version));
        else fails(res, 503, 'DATABASE_ERROR');
      } catch (error) {
        if (!['ECONNRESET', 'EPIPE', 'ECONNREFUSED'].includes(error.code)) throw error;
        state.lost += 1;
        await sleep(5);
      }
    }
  });
  state.more = (n) => {
    const target = state.answers + n;
    return until(() => state.answers >= target, 20000, 'answers go on');
  };
  state.stop = async () => {
    state.running = false;
    await state.finished;
  };
  return state;
}

async function judge(s, alice, state) {
  const rows = await s.sql('SELECT id FROM notes WHERE id = ANY($1::uuid[])', [state.made]);
  assert.equal(rows.length, state.made.length, 'every acknowledged note is there');
  for (const [id, version] of state.last) {
    const [row] = await s.sql('SELECT version FROM notes WHERE id = $1', [id]);
    assert.ok(row.version >= version, `note ${id}: ${row.version}, acknowledged ${version}`);
  }
  await whole(s, alice.user.id);
}

serverSuite('Children that are killed', { children: 3, threads: 8, limits: { api: '1000000/900' } }, (s) => {
  s.expectLog(/AH00052: child pid \d+ exit signal Killed/, /AH10392: children are killed/);

  it('ten times, under load: no acknowledged write is lost, none is half there, and the server goes on', async (t) => {
    const alice = await s.user();
    const notes = [];
    for (let n = 0; n < 4; n += 1) notes.push(ok(await alice.post('/notes', { title: 'x', content: 'x' }), 201).id);
    const state = writers(alice, 6, notes);
    t.after(state.stop);
    for (let round = 0; round < 10; round += 1) {
      await state.more(20);
      const children = s.processes();
      try {
        process.kill(children[crypto.randomInt(children.length)], 'SIGKILL');
      } catch (error) {
        if (error.code !== 'ESRCH') throw error; /* the one of before, which was still listed */
      }
    }
    await state.more(50);
    await state.stop();
    await judge(s, alice, state);
    const left = Number((await alice.get('/folders')).headers['ratelimit-remaining']);
    assert.ok(1000000 - left >= state.answers, 'the counts live on');
    for (const res of await parallel(30, () => alice.get('/notes', { fresh: true }))) ok(res);
    ok(await alice.post('/auth/logout', { allDevices: true }));
    for (const res of await parallel(30, () => alice.get('/auth/me', { fresh: true }))) fails(res, 401, 'INVALID_TOKEN');
  });
});

serverSuite('A child that stands still', { children: 2 }, (s) => {
  /* how many of its processes listen to the database */
  const listeners = async () => {
    const [{ count }] = await s.sql(
      `SELECT count(*)::int FROM pg_stat_activity
        WHERE application_name LIKE 'chronicle-bus:%' AND datname = current_database()`,
    );
    return count;
  };

  it('is replaced in what it does beside requests, and does not go on with that', async () => {
    await until(async () => (await listeners()) === 1, 5000, 'one listens');
    let replaced = false;
    const children = s.processes();
    for (const child of [...children, ...children]) {
      process.kill(child, 'SIGSTOP');
      replaced = await inTime(7000, async () => (await listeners()) === 2);
      process.kill(child, 'SIGCONT');
      if (replaced) break; /* else the other one listened all the time */
    }
    assert.ok(replaced, 'one of the two was thought dead');
    await until(async () => (await listeners()) === 1, 5000, 'one listens');
  });
});

describe('A backend that is killed', () => {
  const cluster = new PrivateCluster();
  const s = new Server({ database: 'app' });
  s.expectLog(DATABASE_NOISE);
  before(async () => {
    await cluster.init();
    s.pg = cluster.cluster;
    await s.start();
  });
  after(async () => {
    await s.stop();
    await cluster.remove();
  });

  it('makes PostgreSQL restart all others; nothing acknowledged is lost and the server goes on by itself', async (t) => {
    const alice = await s.user();
    const notes = [ok(await alice.post('/notes', { title: 'x', content: 'x' }), 201).id];
    const state = writers(alice, 4, notes);
    t.after(state.stop);
    for (let round = 0; round < 2; round += 1) {
      await state.more(20);
      const theirs = "SELECT pid FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()";
      const found = () => s.sql(theirs).then(([first]) => first, () => false);
      const backend = await until(found, 20000, 'a backend of the server');
      process.kill(backend.pid, 'SIGKILL');
      await until(() => s.sql('SELECT 1').then(Boolean, () => false), 20000, 'PostgreSQL is back');
    }
    const acknowledged = state.made.length + 20;
    await until(() => state.made.length >= acknowledged, 20000, 'writes are acknowledged again');
    await state.stop();
    await judge(s, alice, state);
  });
});

/* Between the server and PostgreSQL: cuts a connection when the n-th packet of either side passes. */
class Cutter {
  constructor(pg) {
    this.dir = makeDir('cut-');
    this.sockets = new Set();
    const target = path.join(pg.host, `.s.PGSQL.${pg.port}`);
    this.server = net.createServer((near) => {
      const far = net.connect(target);
      const cut = () => {
        near.destroy();
        far.destroy();
      };
      for (const [from, to, side] of [
        [near, far, 'request'],
        [far, near, 'answer'],
      ]) {
        this.sockets.add(from);
        from.on('error', cut);
        from.on('close', cut);
        from.on('data', (data) => {
          if (this.passes(side)) to.write(data);
          else cut();
        });
      }
    });
    this.listening = new Promise((resolve) => {
      const file = path.join(this.dir, `.s.PGSQL.${pg.port}`);
      this.server.listen(file, () => resolve(fs.chmodSync(file, 0o777)));
    });
  }

  passes(side) {
    if (this.side !== side) return true;
    this.left -= 1;
    return this.left !== 0;
  }

  /** Arms it; 0: never. */
  at(side, n) {
    this.side = n ? side : undefined;
    this.left = n;
  }

  close() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

describe('The n-th packet is the last', () => {
  const s = new Server({ children: 1, dbMax: 3, directives: ['ChronicleDbWait 2000'] });
  s.expectLog(DATABASE_NOISE);
  let cutter;
  let alice;
  before(async () => {
    await s.prepare();
    cutter = new Cutter(s.pg);
    await cutter.listening;
    s.dbHost = cutter.dir;
    s.writeConf();
    await s.start();
    alice = await s.user();
  });
  after(async () => {
    await s.stop().finally(() => cutter.close());
  });

  const count = async () => (await s.sql('SELECT count(*) AS n FROM notes WHERE user_id = $1', [alice.user.id]))[0].n;
  const operations = {
    'a list': () => alice.get('/notes'),
    'a new note': (n) => alice.post('/notes', { title: `n${n}`, content: `n${n}` }),
    'a change': async (n, { id }) => alice.put(`/notes/${id}`, { title: `c${n}`, content: `c${n}` }),
    'a write under an Idempotency-Key': (n) =>
      alice.post('/folders', { name: crypto.randomUUID() }, { headers: { 'idempotency-key': crypto.randomUUID() } }),
    'a refresh': async () => {
      const res = await s.anon.post('/auth/refresh', { refreshToken: alice.refreshToken });
      if (res.status === 200) alice.refreshToken = res.json.data.tokens?.refreshToken ?? res.json.data.refreshToken;
      return res;
    },
  };
  for (const side of ['request', 'answer']) {
    for (const [name, run] of Object.entries(operations)) {
      if (name === 'a refresh' && side === 'answer') continue; /* its answer lost, the old token is spent: as it should */
      it(`${name}, cut at each ${side}: done or refused, never half, and no place of the pool is lost`, async () => {
        const note = ok(await alice.post('/notes', { title: 'x', content: 'x' }), 201);
        let clean = 0;
        for (let n = 1; clean < 2; n += 1) {
          assert.ok(n < 60, 'it ends');
          const before = await count();
          /* every other time over connections that are new */
          if (n % 2) for (const socket of cutter.sockets) socket.destroy();
          cutter.at(side, n);
          const res = await run(n, note);
          clean = cutter.left > 0 ? clean + 1 : 0;
          cutter.at(side, 0);
          if (res.status >= 400) {
            fails(res, 503, 'DATABASE_ERROR');
            if (side === 'request' && name === 'a new note') {
              assert.equal(await count(), before, `nothing was written: packet ${n}`);
            }
          } else if (name === 'a new note') {
            assert.equal(await count(), before + 1, `written once: packet ${n}`);
          }
          await until(async () => (await alice.get('/folders')).status === 200, 5000, 'the server serves on');
        }
        await whole(s, alice.user.id);
      });
    }
  }

  it('afterwards the pool still gives all its connections at once', async () => {
    const lock = await s.session();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [alice.user.id]);
    const held = times(3, (n) => alice.post('/notes', { title: `${n}`, content: `${n}` }));
    await until(async () => (await s.waiting()) === 3, 3000, 'three statements wait at once');
    await lock.query('ROLLBACK');
    for (const res of await Promise.all(held)) ok(res, 201);
  });
});

serverSuite(
  'Logs on a full disk',
  { directives: ['ErrorLog /dev/full', 'CustomLog /dev/full "%h %r"', 'LogLevel debug'], children: 1 },
  (s) => {
    it('requests are answered, those that would be logged, too', async () => {
      const alice = await s.user();
      for (const res of await parallel(20, () => alice.get('/folders', { fresh: true }))) ok(res);
      fails(await alice.get('/nope?x=%3Cscript%3E'), 403, 'SECURITY_VIOLATION');
      ok(await alice.post('/notes', { title: 'x' }), 201);
    });
  },
);
