/* Sync when lines break and when pushes are large: what is repeated is done once, what is good is done, and neither
   memory nor the cost of a page grows. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { sleep, until } from './lib/env.mjs';
import { ok, times } from './lib/expect.mjs';

const note = (fields) => ({ id: crypto.randomUUID(), ...fields });

/** The bytes of a push. */
function request(user, body) {
  const json = JSON.stringify(body);
  return Buffer.from(
    `POST /api/v1/sync/push HTTP/1.1\r\nHost: ${user.server.host}\r\nAuthorization: Bearer ${user.token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
  );
}

/** Sends the first bytes and closes: with FIN, or as a line that is cut. */
function cut(server, bytes, { ms = 0, reset = false }) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(server.port, '127.0.0.1', () => {
      socket.write(bytes, async () => {
        await sleep(ms);
        if (reset) socket.resetAndDestroy();
        else socket.destroy();
        resolve();
      });
    });
    socket.once('error', reject);
  });
}

/** What there is: versions of the objects, and rows of history. */
async function state(s, user) {
  const rows = await s.sql(
    `SELECT title AS name, version, (SELECT count(*) FROM note_versions WHERE note_id = n.id) AS kept
       FROM notes n WHERE user_id = $1
     UNION ALL SELECT name, version, (SELECT count(*) FROM folder_versions WHERE folder_id = f.id)
       FROM folders f WHERE user_id = $1 AND name <> 'Notes' ORDER BY 1`,
    [user.user.id],
  );
  return rows.map(({ name, version, kept }) => [name, version, kept]);
}

serverSuite('Sync over lines that break', {}, (s) => {
  /** Until every request that was cut is over: nothing works for this user any more. */
  const settled = (user) =>
    until(
      async () =>
        (await s.sql("SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND state <> 'idle' AND pid <> pg_backend_pid()", [
          s.database,
        ])).length === 0,
      5000,
      `nothing is done for ${user.email}`,
    );

  it('a push that is cut anywhere is not done; the repeated one is, once', async () => {
    const user = await s.user();
    const device = { deviceId: 'one' };
    const body = { ...device, folders: [note({ name: 'f' })], notes: [note({ title: 'a' }), note({ title: 'b' })] };
    const bytes = request(user, body);
    for (let at = 1; at < bytes.length; at += 29) await cut(s, bytes.subarray(0, at), { reset: at % 2 });
    await cut(s, bytes.subarray(0, bytes.length - 1), {});
    await settled(user);
    assert.deepEqual(await state(s, user), []);
    const done = ok(await user.post('/sync/push', body));
    assert.deepEqual(done.summary, { applied: 3, conflicts: 0, rejected: 0 });
    assert.deepEqual(await state(s, user), ['a', 'b', 'f'].map((name) => [name, 1, 0]));
  });

  it('a push whose answer is lost at any time may be repeated until there is one', async () => {
    const user = await s.user();
    const ids = times(12, () => crypto.randomUUID());
    for (let round = 0; round < 24; round += 1) {
      const body = {
        deviceId: 'one',
        folders: [{ id: ids[0], name: `f${round}`, baseVersion: round }],
        notes: ids.slice(1).map((id, k) => ({ id, title: `${k} ${round}`, baseVersion: round })),
      };
      for (const reset of [true, false]) await cut(s, request(user, body), { ms: round, reset });
      const done = ok(await user.post('/sync/push', body));
      assert.deepEqual(done.summary, { applied: 12, conflicts: 0, rejected: 0 }, JSON.stringify(done.conflicts));
      for (const { version } of [...done.notes, ...done.folders]) assert.equal(version, round + 1);
    }
    assert.deepEqual(
      (await state(s, user)).map(([, ...counts]) => counts),
      times(12, () => [24, 23]),
    );
    const { notes, folders } = ok(await user.post('/sync/pull', { deviceId: 'two' }));
    assert.deepEqual(notes.concat(folders.filter(({ name }) => name !== 'Notes')).map(({ id }) => id).sort(), ids.sort());
  });
});

serverSuite('Sync in masses', {}, (s) => {
  const memory = () =>
    s
      .processes()
      .map((pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024)
      .reduce((sum, mb) => sum + mb, 0);

  it('one good item among 499 bad ones is applied, 200 times, and memory stays', async (t) => {
    const user = await s.user();
    const bad = [
      (k) => note({ title: 'x'.repeat(501 + k) }),
      (k) => ({ id: k }),
      () => note({ tags: [1, '', 'y'.repeat(51)] }),
      (k) => note({ [`field${k}`]: k, baseVersion: -1 }),
      () => note({ baseVersion: 7 }),
      () => note({ folderId: crypto.randomUUID() }),
    ];
    let warm = 0;
    for (let round = 0; round < 200; round += 1) {
      const notes = times(500, (k) => bad[(k + round) % bad.length](k));
      notes[(round * 37) % 500] = note({ title: `good ${round}` });
      const options = { check: round < 2, fresh: round % 20 === 0 };
      const { summary } = ok(await user.post('/sync/push', { deviceId: 'one', notes }, options));
      assert.deepEqual(summary, { applied: 1, conflicts: 0, rejected: 499 });
      if (round === 60) warm = memory();
    }
    const grown = memory() - warm;
    t.diagnostic(`${warm.toFixed(1)} MB after 60 pushes, ${grown.toFixed(1)} MB more after 200`);
    assert.ok(grown < 50, `${grown} MB more`);
    assert.equal((await state(s, user)).length, 200);
  });

  it('a page costs the same at the start, in the middle and at the end of 20,000 notes', async (t) => {
    const user = await s.user();
    await s.sql(
      `INSERT INTO notes (user_id, title, content, content_plain, change_seq, updated_at)
       SELECT $1, 'note ' || n, repeat('text ' || n, 40), repeat('text ' || n, 40), n + 1, now() + n * interval '1 ms'
       FROM generate_series(1, 20000) n`,
      [user.user.id],
    );
    await s.sql('UPDATE users SET change_seq = 20001 WHERE id = $1', [user.user.id]);
    const root = fileURLToPath(new URL('../../sql/', import.meta.url));
    const queries = fs.readdirSync(path.join(root, 'queries')).sort().map((name) => path.join(root, 'queries', name));
    const awk = ['-f', path.join(root, 'sqlgen.awk'), '-v', 'out=prepare', ...queries];
    const prepared = execFileSync('awk', awk, { encoding: 'utf8', maxBuffer: 1 << 26 });
    const session = await s.session();
    await session.query('SET plan_cache_mode = force_generic_plan');
    await session.query('VACUUM ANALYZE notes');
    await session.query(/^PREPARE sync_pull\b[^;]*;/m.exec(prepared)[0]);
    const cost = async (after) => {
      const { rows } = await session.query(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE sync_pull('${user.user.id}', 'x', ${after}, NULL, 500, true)`,
      );
      const { Plan: plan } = rows[0]['QUERY PLAN'][0];
      return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
    };
    await cost(0);
    const costs = [];
    for (const after of [0, 500, 5000, 10000, 15000, 19501]) costs.push(await cost(after));
    t.diagnostic(`buffers: ${costs.join(' ')}`);
    assert.ok(Math.max(...costs) < 2 * Math.min(...costs), costs.join(' '));
    assert.ok(Math.max(...costs) < 1500, costs.join(' '));
  });
});
