/* Deleting an account: who may, what goes, what stays, and what happens at the same time. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { cookieLogin, login, newUser, PASSWORD } from './lib/accounts.mjs';
import { makeDir, sleep, until } from './lib/env.mjs';
import { fails, invalid, ok, parallel, tally } from './lib/expect.mjs';
import { makeRoom, say } from './lib/chat.mjs';
import { sendForms } from './lib/forms.mjs';
import { exported, exportJob, exportRow, manyNotes, placeOf, putFile, storedFiles } from './lib/exports.mjs';
import { PgProxy } from './lib/pgproxy.mjs';
import { DATABASE_NOISE } from './lib/postgres.mjs';
import { env } from './lib/env.mjs';

const leave = (client, password = client.password, options = {}) =>
  client.api('DELETE', '/user/account', { json: { password }, ...options });

/** Rows of every table that points at users, by table, of one of them. */
async function rowsOf(s, id) {
  const keys = await s.sql(
    `SELECT DISTINCT c.conrelid::regclass::text AS name, a.attname AS col
     FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
     WHERE c.contype = 'f' AND c.confrelid = 'users'::regclass`,
  );
  const counts = { users: (await s.sql('SELECT 1 FROM users WHERE id = $1', [id])).length };
  for (const { name, col } of keys) counts[`${name}.${col}`] = (await s.sql(`SELECT 1 FROM ${name} WHERE ${col} = $1`, [id])).length;
  return counts;
}

/** A user with something in every table. */
async function furnished(s, fields) {
  const user = await newUser(s, fields);
  const { id } = user.user;
  const folder = ok(await user.post('/folders', { name: 'f' }), 201).id;
  ok(await user.put(`/folders/${folder}`, { name: 'g' }));
  ok(await user.put('/user/settings', { defaultFolderId: folder }));
  const note = ok(await user.post('/notes', { title: 'n', tags: ['t'] }, { headers: { 'idempotency-key': 'mine' } }), 201).id;
  ok(await user.put(`/notes/${note}`, { content: 'x' }));
  await s.anon.post('/auth/forgot-password', { email: user.email });
  await s.sql("INSERT INTO user_presence (user_id, place) VALUES ($1, 'here')", [id]);
  await s.sql("INSERT INTO sync_logs (user_id, action) VALUES ($1, 'pull')", [id]);
  await s.sql("INSERT INTO sync_devices (user_id, device_id, change_seq, synced_at, last_pull_at) VALUES ($1, 'd', 1, now(), now())", [id]);
  await s.sql("INSERT INTO sync_conflicts (user_id, item_type, item_id, client_data, server_version) VALUES ($1, 'note', $2, '{}', 1)", [
    id,
    note,
  ]);
  await s.sql(
    `INSERT INTO attachments (note_id, user_id, filename, file_size, mime_type, storage_key, storage_url, thumbnail_key, sha256)
     SELECT $1::uuid, $2::uuid, 'a', 1, 'text/plain', 'uploads/' || $2::uuid || '/' || i, '', 'thumbnails/' || $2::uuid || '/' || i, ''
     FROM generate_series(1, 3) i`,
    [note, id],
  );
  for (let n = 1; n <= 3; n += 1) for (const kind of ['uploads', 'thumbnails']) putFile(s, `${kind}/${id}/${n}`, 'bytes');
  const message = await say(user, await makeRoom(user));
  ok(await user.post(`/chat/messages/${message.id}/reactions`, { emoji: 'x' }), 201);
  await s.sql("INSERT INTO notifications (user_id, type, title) VALUES ($1, 'system', 't')", [id]);
  ok(await user.post('/conversations', { title: 'c', messages: [{ role: 'user', content: 'x' }] }), 201);
  await s.sql("INSERT INTO conversation_imports (user_id, format, visibility) VALUES ($1, 'auto', 'private')", [id]);
  await sendForms(user);
  for (const table of ['contact_submissions', 'demo_requests'])
    await s.sql(`UPDATE ${table} SET handled_by = $1 WHERE user_id = $1`, [id]);
  await exported(user);
  return user;
}

/** Sends requests that all come as far as they can before any of them may end. */
async function together(s, requests) {
  const blocker = await s.session();
  await blocker.query('BEGIN; LOCK TABLE note_versions IN ACCESS EXCLUSIVE MODE');
  const answers = requests.map((request) => request());
  await until(async () => (await s.waiting()) === requests.length, 10000, 'all of them wait');
  await blocker.query('COMMIT');
  return Promise.all(answers);
}

const gone = async (s, user) => {
  const counts = await rowsOf(s, user.user.id);
  assert.deepEqual(tally(Object.values(counts)), { 0: Object.keys(counts).length }, JSON.stringify(counts));
};

serverSuite('Deleting an account', { dbMax: 12 }, (s) => {
  it('needs the password', async () => {
    const user = await s.user();
    fails(await leave(user, 'wrong password'), 401, 'INVALID_CREDENTIALS');
    fails(await leave(user, 'x'.repeat(100)), 401, 'INVALID_CREDENTIALS');
    invalid(await user.api('DELETE', '/user/account', { json: {} }), ['password', 'MISSING_FIELD']);
    invalid(await user.api('DELETE', '/user/account', { json: { password: 1, force: true } }), ['password', 'WRONG_TYPE'], [
      'force',
      'UNKNOWN_FIELD',
    ]);
    fails(await user.api('DELETE', '/user/account'), 400, 'MALFORMED_JSON');
    fails(await leave(s.anon, PASSWORD), 401, 'AUTHENTICATION_REQUIRED');
    ok(await user.get('/user/profile'));
  });

  it('takes everything of the user, and nothing of others', async () => {
    const stay = await furnished(s);
    const user = await furnished(s);
    const before = await rowsOf(s, user.user.id);
    const others = await rowsOf(s, stay.user.id);
    for (const [table, count] of Object.entries(before)) assert.ok(count > 0, `${table} has something`);
    const files = storedFiles(s).length;
    const second = await login(s, user);
    assert.deepEqual(ok(await leave(user)), { deleted: true });
    await gone(s, user);
    assert.deepEqual(await rowsOf(s, stay.user.id), others);
    ok(await stay.get('/user/profile'));

    /* seven files: three attachments, their thumbnails, an export */
    await until(() => storedFiles(s).length === files - 7, 10000, 'the files go');
    assert.ok(storedFiles(s).every((name) => !name.includes(user.user.id)));

    assert.deepEqual(await s.sql('SELECT 1 FROM idempotency_keys WHERE scope = $1', [user.user.id]), []);
    assert.equal((await s.sql('SELECT 1 FROM idempotency_keys WHERE scope = $1', [stay.user.id])).length, 1);
    assert.deepEqual(await s.sql('SELECT 1 FROM email_outbox WHERE to_address = $1', [user.email]), []);
    assert.equal((await s.sql('SELECT 1 FROM email_outbox WHERE to_address = $1', [stay.email])).length, 2);
    const audit = await s.sql('SELECT action FROM audit_logs WHERE actor_id = $1 ORDER BY created_at', [user.user.id]);
    assert.deepEqual(audit.map((row) => row.action), ['auth.register', 'user.export', 'auth.login', 'user.delete']);

    for (const client of [user, second]) {
      for (const res of await parallel(20, () => client.get('/notes', { fresh: true }))) fails(res, 401, 'INVALID_TOKEN');
      fails(await s.anon.post('/auth/refresh', { refreshToken: client.refreshToken }), 401, 'INVALID_TOKEN');
    }
    fails(await leave(user), 401, 'INVALID_TOKEN');
    fails(await s.anon.post('/auth/login', { email: user.email, password: user.password }), 401, 'INVALID_CREDENTIALS');
    const again = await newUser(s, { email: user.email });
    assert.equal(ok(await again.get('/notes')).items.length, 0);
  });

  it('with a cookie: by the CSRF token, and the cookies go', async () => {
    const user = await s.user();
    const web = await cookieLogin(s, user);
    fails(await leave(web), 403, 'CSRF_FAILED');
    const res = await leave(web, user.password, { headers: { 'x-csrf-token': web.csrf } });
    ok(res);
    assert.deepEqual(web.cookies, {});
    assert.equal(res.headers['set-cookie'].length, 2);
    await gone(s, user);
  });

  it('twice at once does it once', async () => {
    const user = await furnished(s);
    const answers = await together(s, Array.from({ length: 4 }, () => () => leave(user, user.password, { fresh: true })));
    const counts = tally(answers.map((res) => `${res.status} ${res.json.error?.code ?? ''}`));
    assert.deepEqual(counts, { '200 ': 1, '401 INVALID_TOKEN': 3 });
    await gone(s, user);
    assert.equal((await s.sql("SELECT 1 FROM audit_logs WHERE actor_id = $1 AND action = 'user.delete'", [user.user.id])).length, 1);
  });

  it('whoever writes, logs in or asks for a new password meanwhile is told, or is gone', async () => {
    for (let round = 0; round < 3; round += 1) {
      const user = await s.user();
      await manyNotes(s, user.user.id, 2000);
      let running = true;
      const seen = {};
      const work = [
        (n) => user.post('/notes', { title: `${n}` }),
        (n) => user.post('/folders', { name: `${n}` }),
        (n) => user.post('/notes', { title: `${n}` }, { headers: { 'idempotency-key': `i${n}` } }),
        () => user.post('/user/export', {}),
        () => s.anon.post('/auth/forgot-password', { email: user.email }),
        () => user.post('/auth/resend-verification', {}),
        () => user.put('/user/settings', { theme: 'dark' }),
        () => s.anon.post('/auth/login', { email: user.email, password: user.password }),
      ].map(async (request) => {
        for (let n = 0; running; n += 1) {
          const res = await request(n);
          seen[res.status] = (seen[res.status] ?? 0) + 1;
          assert.ok(res.status < 500, res.text);
        }
      });
      await sleep(300);
      ok(await leave(user));
      await gone(s, user);
      await sleep(200);
      running = false;
      await Promise.all(work);
      assert.ok(seen[401] > 0);
      await gone(s, user);
    }
  });

  it('an export that runs meanwhile ends quietly, and leaves no file', async () => {
    const user = await s.user();
    await manyNotes(s, user.user.id, 8000, 6400);
    const { id } = ok(await user.post('/user/export', {}), 202);
    await until(async () => (await exportRow(s, id)).status === 'running', 5000, 'it runs');
    await until(() => storedFiles(s).some((name) => name.includes(id)), 5000, 'it writes');
    ok(await leave(user));
    await until(async () => ['completed', 'failed'].includes((await exportJob(s, id)).status), 20000, 'the job ends');
    assert.equal((await exportJob(s, id)).status, 'completed');
    await until(() => !storedFiles(s).some((name) => name.includes(id)), 10000, 'no file is left');
  });

  it('one that waits ends, too', async () => {
    const user = await s.user();
    await s.sql("INSERT INTO exports (id, user_id, format, include_attachments) VALUES ($1, $2, 'zip', true)", [
      user.user.id,
      user.user.id,
    ]);
    ok(await leave(user));
    await s.sql("INSERT INTO jobs (type, payload) VALUES ('export', $1)", [{ id: user.user.id }]);
    await until(async () => (await exportJob(s, user.user.id)).status === 'completed', 5000, 'the job ends');
  });

  describe('administrators', () => {
    const admins = async (n) => {
      await s.sql("UPDATE users SET role = 'user'");
      const users = await s.users(n);
      await s.sql("UPDATE users SET role = 'admin' WHERE id = ANY ($1)", [users.map((user) => user.user.id)]);
      return users;
    };

    it('the last one stays', async () => {
      const [only, former] = await admins(2);
      await s.sql('UPDATE users SET is_active = false WHERE id = $1', [former.user.id]);
      fails(await leave(only), 409, 'LAST_ADMIN');
      ok(await only.get('/user/profile'));
      await s.sql('UPDATE users SET is_active = true WHERE id = $1', [former.user.id]);
      ok(await leave(only));
      fails(await leave(former), 409, 'LAST_ADMIN');
    });

    it('of many who leave at once one stays', async () => {
      for (let round = 0; round < 2; round += 1) {
        const all = await admins(4);
        const answers = await together(s, all.map((user) => () => leave(user, user.password, { fresh: true })));
        assert.deepEqual(tally(answers.map((res) => res.status)), { 200: 3, 409: 1 });
        const left = await s.sql("SELECT id FROM users WHERE role = 'admin'");
        assert.equal(left.length, 1);
      }
    });
  });
});

serverSuite('Attempts to delete an account', { limits: { auth: '5/900' } }, (s) => {
  it('count as those to log in', async () => {
    const user = await s.user();
    for (let n = 0; n < 4; n += 1) fails(await leave(user, 'wrong password'), 401, 'INVALID_CREDENTIALS');
    const res = await leave(user);
    fails(res, 429, 'RATE_LIMIT_EXCEEDED');
    assert.match(res.headers['retry-after'], /^\d+$/);
    ok(await user.get('/user/profile'));
  });
});

serverSuite('A large account', {}, (s) => {
  it('goes whole, although statements may run 5 s only', async () => {
    const user = await s.user();
    const stay = await s.user();
    const session = await s.session();
    await session.query("INSERT INTO folders (user_id, name, change_seq) SELECT $1, 'f' || i, 1 FROM generate_series(1, 50) i", [
      user.user.id,
    ]);
    await manyNotes(s, user.user.id, 100000, 320);
    await session.query(
      'UPDATE notes SET folder_id = f.id FROM (SELECT id, row_number() OVER () AS n FROM folders WHERE user_id = $1) f ' +
        'WHERE notes.user_id = $1 AND f.n = 1 + (hashtext(notes.id::text) & 31)',
      [user.user.id],
    );
    await session.query(
      `INSERT INTO note_versions (note_id, user_id, is_text, title, content, version)
       SELECT n.id, $1, true, 't', repeat('x', 200), v FROM notes n, generate_series(1, 3) v WHERE n.user_id = $1`,
      [user.user.id],
    );
    const start = Date.now();
    ok(await leave(user));
    console.log(`# 100,000 notes and 300,000 versions deleted in ${Date.now() - start} ms`);
    await gone(s, user);
    ok(await stay.post('/notes', { title: 'still here' }), 201);
    const [{ setting }] = await s.sql("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'");
    assert.equal(setting, '0', 'the test itself has none');
  });
});

describe('A database that breaks at any statement of it', () => {
  let s;
  let proxy;
  before(async () => {
    proxy = new PgProxy(makeDir('proxy-'), env.pg);
    s = new Server({ directives: ['ChronicleJobWorkers 0'] });
  });

  it('all of it went, or nothing', async (t) => {
    s.pg = env.pg;
    await s.prepare();
    s.pg = await proxy.start();
    s.writeConf();
    t.after(async () => {
      s.pg = env.pg;
      await s.stop();
      await proxy.stop();
    });
    await s.start();
    s.pg = env.pg;
    s.expectLog(DATABASE_NOISE);
    const furnish = async () => {
      const user = await s.user();
      ok(await user.post('/notes', { title: 'n' }), 201);
      return user;
    };
    for (const after of [false, true]) {
      let user = await furnish();
      for (let n = 1; ; n += 1) {
        assert.ok(n < 60, 'it ends');
        const before = await rowsOf(s, user.user.id);
        proxy.arm(n, { after });
        const res = await leave(user);
        const { hit } = proxy;
        proxy.disarm();
        const rows = await rowsOf(s, user.user.id);
        if (res.status === 200) {
          await gone(s, user);
          if (!hit) break;
          user = await furnish();
        } else if (rows.users) {
          assert.equal(`${res.status}`, '503', res.text);
          assert.deepEqual(rows, before, `statement ${n}: nothing is lost`);
          await until(async () => (await user.get('/notes')).status === 200, 3000, 'it serves on');
        } else {
          assert.ok(after, 'only a commit that was sent may be done without a word');
          fails(res, 503, 'DATABASE_ERROR');
          await gone(s, user);
          await until(async () => (await user.get('/notes')).status === 401, 12000, 'it is known to be gone');
          user = await furnish();
        }
      }
    }
  });
});
