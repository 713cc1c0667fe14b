/* Exports under bad conditions: a full disk, killed and restarted servers, a database that breaks anywhere. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { Server, startServer } from './lib/server.mjs';
import { env, makeDir, until } from './lib/env.mjs';
import { ids, ok } from './lib/expect.mjs';
import { download, ended, exported, exportJob, exportRow, manyNotes, storage, storedFiles } from './lib/exports.mjs';
import { PgProxy } from './lib/pgproxy.mjs';
import { DATABASE_NOISE } from './lib/postgres.mjs';
import { readZip } from './lib/zip.mjs';

/* As their own user, who may do that to himself. */
const limitFiles = (s, bytes) => {
  for (const pid of s.processes()) {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    const [uid, gid] = ['Uid', 'Gid'].map((name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]));
    execFileSync('prlimit', ['--pid', `${pid}`, `--fsize=${bytes}:`], { uid, gid });
  }
};

/** What the pauses between tries would do. */
const hurry = (s, id) => s.sql("UPDATE jobs SET run_at = now() WHERE payload ->> 'id' = $1 AND status = 'queued'", [id]);
const whole = (res) => JSON.parse(readZip(res.raw).find((e) => e.name === 'export.json').data.toString('utf8'));

async function withServer(t, options = {}) {
  const s = await startServer(options);
  t.after(() => s.stop());
  return s;
}

/** An export of n notes that has begun to write. */
async function begun(s, user, n, fields = {}) {
  await manyNotes(s, user.user.id, n, 6400);
  const { id } = ok(await user.post('/user/export', fields), 202);
  await until(
    () => storedFiles(s).some((name) => name.startsWith('tmp/') && fs.statSync(`${storage(s)}/${name}`, { throwIfNoEntry: false })?.size > 100000),
    10000,
    'it writes',
  );
  return id;
}

describe('Exports under bad conditions', () => {
  for (const format of ['zip', 'json']) {
    it(`a full disk (${format}): a clear end, nothing left, and the server serves on`, async (t) => {
      const s = await withServer(t);
      const user = await s.user();
      await s.sql(
        `INSERT INTO notes (user_id, title, content, content_plain, change_seq)
         SELECT $1, 't', string_agg(md5(random()::text), ''), 't', 1 FROM generate_series(1, 30) i, generate_series(1, 3000) j GROUP BY i`,
        [user.user.id],
      );
      s.expectLog(/CH102[01]: job export \S+ \(try \d of 5\): storage: (write|commit) exports\S+: File too large/);
      limitFiles(s, 1000000);
      const { id } = ok(await user.post('/user/export', { format }), 202);
      for (let n = 1; n <= 5; n += 1) {
        await until(async () => (await exportJob(s, id)).attempts === n && (await exportJob(s, id)).status !== 'running', 10000, `try ${n}`);
        assert.deepEqual(storedFiles(s).filter((name) => name.includes(id)), []);
        assert.equal((await exportRow(s, id)).status, n < 5 ? 'running' : 'failed');
        ok(await user.get('/notes'));
        await hurry(s, id);
      }
      const data = await ended(user, id);
      assert.equal(data.status, 'failed');
      assert.equal(data.error, 'The file storage answered with an error');
      assert.equal(data.downloadUrl, null);
      assert.ok(data.expiresAt);
      assert.match((await exportJob(s, id)).last_error, /File too large/);
      limitFiles(s, 'unlimited');
      const { json } = await exported(user, { format });
      assert.equal(json.notes.length, 30);
    });
  }

  it('a child that is killed in the middle: another takes it up, and one file is left', async (t) => {
    const s = await withServer(t);
    const user = await s.user();
    const id = await begun(s, user, 10000);
    const pid = Number((await exportJob(s, id)).locked_by.split(':')[1]);
    s.expectLog(/exit signal Killed/, /CH1022/, /AH00052/);
    process.kill(pid, 'SIGKILL');
    assert.equal(storedFiles(s).filter((name) => name.includes(id)).length, 1, 'half of it is there');
    await s.sql("UPDATE jobs SET locked_until = now() WHERE status = 'running'");
    const data = await ended(user, id, 40000);
    assert.equal(data.status, 'completed');
    assert.equal((await exportJob(s, id)).attempts, 2);
    assert.deepEqual(storedFiles(s).map((name) => name.slice(3)), [`exports=${id}-2`]);
    assert.equal(new Set(ids(whole(await download(user, id)).notes)).size, 10000);
  });

  it('one that was killed after it was done, before it could say so', async (t) => {
    const s = await withServer(t);
    const user = await s.user();
    const { data } = await exported(user);
    await s.sql(
      "UPDATE jobs SET status = 'running', locked_by = 'dead:1:x', locked_until = now(), finished_at = NULL WHERE payload ->> 'id' = $1",
      [data.id],
    );
    s.expectLog(/CH1022/);
    await until(async () => (await exportJob(s, data.id)).status === 'completed', 15000, 'it is done once more');
    assert.equal((await exportJob(s, data.id)).attempts, 2);
    whole(await download(user, data.id));
    assert.deepEqual(ok(await user.get(`/user/export/${data.id}`)), data);
  });

  it('a runner that was thought dead and comes back spoils nothing', async (t) => {
    const s = await withServer(t);
    const user = await s.user();
    const id = await begun(s, user, 10000);
    const pid = Number((await exportJob(s, id)).locked_by.split(':')[1]);
    s.expectLog(/CH1022/, /CH1020: job export .*another runner ha[sd] taken/);
    process.kill(pid, 'SIGSTOP');
    /* a second host, for jobs are done by one child of each */
    const second = await startServer({
      database: s.database,
      secrets: s.secrets,
      directives: [`ChronicleStorage fs ${storage(s)}`],
    });
    t.after(() => second.stop());
    Object.assign(s, { ownsDatabase: false });
    Object.assign(second, { ownsDatabase: true });
    second.expectLog(/CH1022/);
    await s.sql("UPDATE jobs SET locked_until = now() WHERE status = 'running'");
    await until(async () => (await exportRow(s, id)).status === 'completed', 40000, 'another one does it').finally(() =>
      process.kill(pid, 'SIGCONT'),
    );
    await until(() => storedFiles(s).length === 1, 40000, 'the first one gives up');
    assert.deepEqual(storedFiles(s).map((name) => name.slice(3)), [`exports=${id}-2`]);
    assert.equal(whole(await download(user, id)).notes.length, 10000);
  });

  it('a graceful restart gives it back, and it is begun again', async (t) => {
    const s = await withServer(t);
    const user = await s.user();
    const id = await begun(s, user, 10000, { format: 'json' });
    s.signal('SIGUSR1');
    const data = await ended(user, id, 40000);
    assert.equal(data.status, 'completed');
    assert.deepEqual(storedFiles(s).map((name) => name.slice(3)), [`exports=${id}-1`]);
    assert.equal((await exportJob(s, id)).attempts, 1, 'it was no try');
    assert.equal(JSON.parse((await download(user, id)).text).notes.length, 10000);
  });

  it('a database that breaks at any statement', async (t) => {
    const proxy = new PgProxy(makeDir('proxy-'), env.pg);
    const s = new Server({ directives: ['ChronicleJobWorkers 1'] });
    await s.prepare();
    s.pg = await proxy.start();
    s.writeConf();
    await s.start();
    s.pg = env.pg;
    t.after(async () => {
      await s.stop();
      await proxy.stop();
    });
    s.expectLog(DATABASE_NOISE, /CH1022/);
    const user = await s.user();
    const note = ok(await user.post('/notes', { title: 'n', content: 'text' }), 201).id;
    for (const after of [false, true]) {
      for (let n = 1; ; n += 1) {
        assert.ok(n < 60, 'it ends');
        const { id } = ok(await user.post('/user/export', { format: n % 2 ? 'zip' : 'json' }), 202);
        /* only what the job says counts: others ask the database all the time */
        proxy.arm(n, { after, match: /export|settings_get|user_get|job_done|job_failed/ });
        await until(
          async () => {
            if (proxy.hit) proxy.disarm();
            await hurry(s, id);
            await s.sql("UPDATE jobs SET locked_until = now() WHERE payload ->> 'id' = $1 AND status = 'running' AND locked_until > now() AND $2", [
              id,
              proxy.hit === true,
            ]);
            return ['completed', 'failed'].includes((await exportJob(s, id)).status);
          },
          30000,
          `the job ends in spite of statement ${n}`,
        );
        const { hit } = proxy;
        proxy.disarm();
        assert.equal((await exportJob(s, id)).status, 'completed');
        assert.equal((await exportRow(s, id)).status, 'completed');
        await until(async () => (await download(user, id)).status === 200, 5000, 'it is there');
        const res = await download(user, id);
        const json = n % 2 ? whole(res) : res.json;
        assert.deepEqual(ids(json.notes), [note]);
        const files = storedFiles(s).filter((name) => name.includes(id));
        assert.equal(files.length, 1, `one file is left of statement ${n}: ${files}`);
        if (!hit) break;
      }
    }
  });
});
