/* Background jobs: the queue, who takes what, what survives whom, the trash and what is over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { sleep, until } from './lib/env.mjs';

const addJob = async (server, type, extra = {}) => {
  const row = { payload: {}, run_at: new Date(), status: 'queued', attempts: 0, ...extra };
  const [{ id }] = await server.sql(
    `INSERT INTO jobs (type, payload, run_at, status, attempts, locked_by, locked_until)
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
    [type, row.payload, row.run_at, row.status, row.attempts, row.locked_by ?? null, row.locked_until ?? null],
  );
  return id;
};

const job = async (server, id) => (await server.sql('SELECT * FROM jobs WHERE id = $1', [id]))[0];

const ended = (server, id) =>
  until(async () => ['completed', 'failed'].includes((await job(server, id)).status), 15000, 'the job ends');

/** n notes of a user that were put into the trash so many days ago. */
const trash = (server, userId, n, days) =>
  server.sql(
    `INSERT INTO notes (user_id, title, content, content_plain, change_seq, deleted_at)
     SELECT $1, 'old ' || i, 'text', 'text', 1, now() - make_interval(days => $3)
     FROM generate_series(1, $2) i RETURNING id`,
    [userId, n, days],
  );

serverSuite('jobs', {}, (server) => {
  test('the periodic ones make themselves and are done', async () => {
    const types = async () =>
      (await server.sql("SELECT DISTINCT type FROM jobs WHERE status = 'completed'")).map((row) => row.type);
    await until(async () => (await types()).length >= 2, 10000, 'both have run');
    assert.deepEqual((await types()).sort(), ['retention', 'trash_purge']);
    const [{ count }] = await server.sql("SELECT count(*)::int FROM jobs WHERE type = 'trash_purge'");
    assert.equal(count, 1);
  });

  test('what is restored while the trash is purged stays', async () => {
    const user = await server.user();
    const [note] = await trash(server, user.user.id, 1, 31);
    const session = await server.session();
    await session.query('BEGIN');
    await session.query('UPDATE users SET change_seq = change_seq WHERE id = $1', [user.user.id]);
    await session.query('UPDATE notes SET deleted_at = NULL WHERE id = $1', [note.id]);
    const id = await addJob(server, 'trash_purge');
    await until(() => server.waiting(), 10000, 'the job waits');
    await session.query('COMMIT');
    await ended(server, id);
    assert.equal((await server.sql('SELECT purged FROM notes WHERE id = $1', [note.id]))[0].purged, false);
  });

  test('the trash is purged after 30 days, as DELETE would do it', async () => {
    const user = await server.user();
    const [old] = await trash(server, user.user.id, 1, 31);
    const [young] = await trash(server, user.user.id, 1, 29);
    await server.sql(
      `INSERT INTO note_versions (note_id, user_id, is_text, title, version) VALUES ($1, $2, true, 'x', 1)`,
      [old.id, user.user.id],
    );
    const [{ change_seq: before }] = await server.sql('SELECT change_seq FROM users WHERE id = $1', [user.user.id]);
    await ended(server, await addJob(server, 'trash_purge'));
    const [row] = await server.sql('SELECT * FROM notes WHERE id = $1', [old.id]);
    assert.equal(row.purged, true);
    assert.equal(row.title, '');
    assert.equal(row.content, null);
    assert.equal(Number(row.change_seq), Number(before) + 1);
    assert.equal((await server.sql('SELECT 1 FROM note_versions WHERE note_id = $1', [old.id])).length, 0);
    assert.equal((await server.sql('SELECT purged FROM notes WHERE id = $1', [young.id]))[0].purged, false);
    const list = await user.get('/notes?deleted=true');
    assert.deepEqual(
      list.json.data.items.map((item) => item.id),
      [young.id],
    );
  });

  test('what is over goes, what is not stays', async () => {
    const user = await server.user();
    await server.sql(`
      INSERT INTO api_logs (request_id, method, path, status, duration_ms, created_at)
      VALUES ('old', 'GET', '/', 200, 1, now() - interval '31 days'), ('new', 'GET', '/', 200, 1, now() - interval '29 days');
      INSERT INTO idempotency_keys (scope, key, route, body_hash, expires_at)
      VALUES ('s', 'old', 'r', '', now() - interval '1 s'), ('s', 'new', 'r', '', now() + interval '1 h');
      INSERT INTO email_outbox (to_address, template, subject, body_text, body_html, status, sent_at)
      VALUES ('old@x.test', 'notification', 's', 'link', 'html', 'sent', now() - interval '25 hours'),
             ('new@x.test', 'notification', 's', 'link', 'html', 'sent', now() - interval '23 hours');
      INSERT INTO email_outbox (to_address, template, subject, body_text, body_html, status, created_at)
      VALUES ('a@y.test', 'password_reset', 's', 'link', 'html', 'failed', now() - interval '25 hours'),
             ('b@y.test', 'verify_email', 's', 'link', NULL, 'failed', now() - interval '25 hours'),
             ('c@y.test', 'verify_email', 's', 'link', NULL, 'failed', now() - interval '23 hours'),
             ('d@y.test', 'contact_admin', 's', 'text', NULL, 'failed', now() - interval '31 days'),
             ('e@y.test', 'contact_admin', 's', 'text', NULL, 'failed', now() - interval '29 days'),
             ('f@y.test', 'contact_admin', 's', 'text', NULL, 'queued', now() - interval '31 days'),
             ('g@y.test', 'contact_admin', 's', 'text', NULL, 'queued', now() - interval '2 hours'),
             ('h@y.test', 'password_reset', 's', 'link', NULL, 'queued', now() - interval '2 days');
      UPDATE jobs SET status = 'failed', attempts = 5 FROM email_outbox m
      WHERE type = 'mail' AND payload->>'id' = m.id::text AND to_address IN ('g@y.test', 'h@y.test');
      INSERT INTO jobs (type, payload, status, finished_at)
      VALUES ('old', '{}', 'completed', now() - interval '8 days'), ('new', '{}', 'completed', now() - interval '6 days'),
             ('failed', '{}', 'failed', now() - interval '8 days')`);
    for (const [hash, days] of [
      ['old', 8],
      ['new', 6],
    ]) {
      for (const table of ['email_verifications', 'password_resets']) {
        await server.sql(
          `INSERT INTO ${table} (user_id, token, expires_at) VALUES ($1, $2, now() - make_interval(days => $3))`,
          [user.user.id, hash, days],
        );
      }
    }
    await server.sql(
      `INSERT INTO sessions (user_id, token_hash, refresh_key, expires_at, revoked_at)
       VALUES ($1, 'expired', '', now() - interval '2 days', NULL),
              ($1, 'revoked', '', now() + interval '2 days', now() - interval '2 days'),
              ($1, 'lately', '', now() + interval '2 days', now())`,
      [user.user.id],
    );
    await ended(server, await addJob(server, 'retention'));
    const values = async (text) => (await server.sql(text)).map((row) => Object.values(row)[0]).sort();
    assert.deepEqual(await values("SELECT request_id FROM api_logs WHERE request_id IN ('old', 'new')"), ['new']);
    assert.deepEqual(await values("SELECT key FROM idempotency_keys WHERE scope = 's'"), ['new']);
    assert.deepEqual(await values("SELECT token FROM email_verifications WHERE token IN ('old', 'new')"), ['new']);
    assert.deepEqual(await values("SELECT token FROM password_resets WHERE token IN ('old', 'new')"), ['new']);
    assert.deepEqual(await values("SELECT type FROM jobs WHERE type IN ('old', 'new', 'failed')"), ['failed', 'new']);
    assert.deepEqual(await values("SELECT token_hash FROM sessions WHERE token_hash IN ('expired', 'revoked', 'lately')"), [
      'lately',
    ]);
    const mails = await server.sql("SELECT body_text, body_html FROM email_outbox WHERE to_address LIKE '%@x.test' ORDER BY 1");
    assert.deepEqual(mails, [
      { body_text: '', body_html: null },
      { body_text: 'link', body_html: 'html' },
    ]);
    const unsent = await server.sql("SELECT body_text || coalesce(body_html, '') AS text, status FROM email_outbox WHERE to_address LIKE '%@y.test' ORDER BY to_address");
    assert.deepEqual(unsent.map((mail) => mail.text), ['', '', 'link', '', 'text', 'text', 'text', '']);
    assert.deepEqual(unsent.slice(5).map((mail) => mail.status), ['queued', 'failed', 'failed'], 'a mail fails with its job');
  });

  test('a job of a dead runner is taken up', async () => {
    const id = await addJob(server, 'trash_purge', {
      status: 'running',
      attempts: 1,
      locked_by: 'dead:1:x',
      locked_until: new Date(Date.now() - 1000),
    });
    server.expectLog(/CH1022: 1 jobs were left by runners that died/);
    await ended(server, id);
    const row = await job(server, id);
    assert.equal(row.status, 'completed');
    assert.equal(row.attempts, 2);
  });

  test('one that has killed its runner at every try has failed', async () => {
    const id = await addJob(server, 'trash_purge', {
      status: 'running',
      attempts: 5,
      locked_by: 'dead:1:x',
      locked_until: new Date(Date.now() - 1000),
    });
    await ended(server, id);
    const row = await job(server, id);
    assert.equal(row.status, 'failed');
    assert.equal(row.last_error, 'its runner died');
  });

  test('what another one runs, what is not due and what nobody knows is left alone', async () => {
    const ids = [
      await addJob(server, 'trash_purge', {
        status: 'running',
        attempts: 1,
        locked_by: 'other',
        locked_until: new Date(Date.now() + 60000),
      }),
      await addJob(server, 'trash_purge', { run_at: new Date(Date.now() + 60000) }),
      await addJob(server, 'of_a_later_release'),
    ];
    await sleep(2500);
    assert.deepEqual(
      await Promise.all(ids.map(async (id) => (await job(server, id)).status)),
      ['running', 'queued', 'queued'],
    );
  });

  test('a bad payload fails for good', async () => {
    const id = await addJob(server, 'trash_purge', { payload: '[1]' });
    server.expectLog(/CH1021: job trash_purge \S+ \(try 1 of 5\): the payload is no object/);
    await ended(server, id);
    const row = await job(server, id);
    assert.equal(row.status, 'failed');
    assert.match(row.last_error, /payload/);
  });

  test('each of many runs once', async () => {
    await server.sql(`INSERT INTO jobs (type, payload) SELECT 'trash_purge', '{"n": 1}' FROM generate_series(1, 200)`);
    const counts = () =>
      server.sql(`SELECT status, attempts, count(*)::int FROM jobs WHERE payload = '{"n": 1}' GROUP BY 1, 2`);
    await until(async () => !(await counts()).some((row) => row.status !== 'completed'), 30000, 'all are done');
    assert.deepEqual(await counts(), [{ status: 'completed', attempts: 1, count: 200 }]);
  });
});

test('a server that stops gives its jobs back, and another does them', async (t) => {
  const first = new Server();
  await first.start();
  t.after(() => first.child.exitCode ?? first.stop());
  const user = await first.user();
  await trash(first, user.user.id, 4000, 40);
  const id = await addJob(first, 'trash_purge');
  await until(async () => (await job(first, id)).status === 'running', 10000, 'it runs');
  const second = new Server({ database: first.database, secrets: first.secrets, directives: ['ChronicleJobWorkers 0'] });
  await second.start();
  t.after(() => second.stop());
  first.ownsDatabase = false;
  second.ownsDatabase = true;
  const connection = first.connection;
  first.connection = undefined;
  await first.stop();
  const given = (await connection.query('SELECT * FROM jobs WHERE id = $1', [id])).rows[0];
  const left = (await connection.query('SELECT count(*)::int FROM notes WHERE NOT purged AND deleted_at IS NOT NULL')).rows[0];
  await connection.end();
  assert.equal(given.status, 'queued');
  assert.equal(given.attempts, 0);
  assert.ok(left.count > 0, 'it was stopped in the middle');
  await sleep(1500);
  assert.equal((await job(second, id)).status, 'queued', 'without workers nobody takes it');
  second.directives = [];
  second.writeConf();
  second.signal('SIGUSR1');
  await until(async () => (await job(second, id)).status === 'completed', 30000, 'it is done');
  const [{ count }] = await second.sql('SELECT count(*)::int FROM notes WHERE NOT purged AND deleted_at IS NOT NULL');
  assert.equal(count, 0);
});

test('a child that is killed in the middle of a job leaves it to another', async (t) => {
  const server = new Server();
  await server.start();
  t.after(() => server.stop());
  const user = await server.user();
  await trash(server, user.user.id, 4000, 40);
  const id = await addJob(server, 'trash_purge');
  await until(async () => (await job(server, id)).status === 'running', 10000, 'it runs');
  const pid = Number((await job(server, id)).locked_by.split(':')[1]);
  server.expectLog(/exit signal Killed/, /CH1022/, /AH00052/);
  process.kill(pid, 'SIGKILL');
  /* what two minutes would do */
  await server.sql("UPDATE jobs SET locked_until = now() WHERE id = $1 AND status = 'running'", [id]);
  await until(async () => (await job(server, id)).status === 'completed', 30000, 'it is done');
  const row = await job(server, id);
  assert.equal(row.attempts, 2);
  const [{ count }] = await server.sql('SELECT count(*)::int FROM notes WHERE NOT purged AND deleted_at IS NOT NULL');
  assert.equal(count, 0);
});
