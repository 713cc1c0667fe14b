/* The database fails over to a standby: libpq's list of hosts in DBDParams, and what clients see. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { makeDir, sleep, until } from './lib/env.mjs';
import { fails, ok, parallel } from './lib/expect.mjs';
import { DATABASE_NOISE, PrivateCluster, connect } from './lib/postgres.mjs';

/** A streaming copy of another cluster. */
class Standby extends PrivateCluster {
  async init(primary) {
    this.dir = makeDir('pg-');
    this.who = primary.who;
    if (this.who.uid !== undefined) fs.chownSync(this.dir, this.who.uid, this.who.gid);
    this.data = path.join(this.dir, 'data');
    const { host, port, user } = primary.cluster;
    this.run('pg_basebackup', ['-h', host, '-p', String(port), '-U', user, '-D', this.data, '-R', '-c', 'fast']);
    this.cluster = { host: this.dir, port, user };
    await this.start();
  }
}

describe('Failover of the database', () => {
  const first = new PrivateCluster();
  const second = new Standby();
  const s = new Server({
    database: 'app',
    directives: [
      () => {
        const { user, port } = first.cluster;
        /* the standby first: it answers, too, but takes no writes */
        return (
          `DBDParams "host=${second.dir},${first.dir} port=${port},${port} dbname=app user=${user} ` +
          `connect_timeout=20 target_session_attrs=read-write options='-c statement_timeout=20s'"`
        );
      },
    ],
  });
  s.expectLog(DATABASE_NOISE);
  before(async () => {
    await first.init();
    await second.init(first);
    /* an acknowledged write is on both */
    const db = await connect(first.cluster, 'postgres');
    await db.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await db.query('SELECT pg_reload_conf()');
    const inStep = async () =>
      (await db.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")).rowCount === 1;
    await until(inStep, 10000, 'the standby is in step');
    await db.end();
    s.pg = first.cluster;
    await s.start();
  });
  after(async () => {
    await s.stop();
    await first.remove();
    await second.remove();
  });

  it('costs no acknowledged write, answers 503 meanwhile, and goes on by itself', async (t) => {
    const alice = await s.user();
    const done = [];
    const state = { running: true, refused: 0 };
    const writers = parallel(6, async (n) => {
      for (let k = 0; state.running; k += 1) {
        const res = await alice.post('/notes', { title: `${n}-${k}` });
        if (res.status === 201) {
          done.push(res.json.data.id);
        } else {
          fails(res, 503, 'DATABASE_ERROR');
          assert.ok(res.headers['retry-after']);
          state.refused += 1;
          await sleep(20);
        }
      }
    });
    const more = (n) => {
      const target = done.length + n;
      return until(() => done.length >= target, 15000, 'writes are acknowledged');
    };
    await more(50);
    await first.stop('immediate');
    const lost = Date.now();
    await until(() => state.refused > 5, 5000, 'writes are refused');
    assert.equal(await s.probe('/health/ready'), 503);
    assert.equal(await s.probe('/health'), 200);
    const db = await connect(second.cluster, 'postgres');
    await db.query('SELECT pg_promote()');
    await db.end();
    await more(1);
    const back = Date.now();
    await more(100);
    state.running = false;
    await writers;
    await until(async () => (await s.probe('/health/ready')) === 200, 5000, 'ready again');
    const copy = await connect(second.cluster, 'app');
    const { rows } = await copy.query('SELECT count(*) AS n FROM notes WHERE id = ANY($1::uuid[])', [done]);
    await copy.end();
    assert.equal(rows[0].n, done.length, 'every acknowledged write is on the new primary');
    /* every process found it, and sessions, tokens and reads are as before */
    for (const res of await parallel(40, () => alice.get('/notes', { fresh: true }))) ok(res);
    assert.match(s.log(), /CH1063: this process gets no connection to the database/);
    assert.match(s.log(), /CH1064: this process has a connection to the database again, after \d+ ms/);
    t.diagnostic(`${done.length} written, ${state.refused} refused, ${back - lost} ms until the first write`);
  });

  it('a server that starts with the old primary away uses the new one', async () => {
    const late = new Server({ database: 'app', pg: second.cluster, directives: s.directives });
    await late.start();
    assert.equal(await late.probe('/health/ready'), 200);
    await late.stop();
  });
});
