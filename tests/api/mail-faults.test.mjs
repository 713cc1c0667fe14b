/* Mail servers that refuse, break off, hang or are away: no mail is lost, none is sent twice without need. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { patience, sleep, until } from './lib/env.mjs';
import { BadMailServer, MailServer, becomes, hurry, mailJob, outboxRow, queueMail, stopAfter, tried } from './lib/smtp.mjs';

const FROM = 'ChronicleMailFrom notes@mail.example.com';
const STEPS = ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'message'];
const RETRY = /CH1020: job mail \S+ \(try \d of 5\): /;
const FAILED = /CH1021: job mail \S+ \(try \d of 5\): /;
const health = async (server) => {
  const { json } = await server.anon.get('/health/detailed');
  return [json.status, json.checks.smtp.status];
};

const bad = new BadMailServer();
before(() => bad.start());
after(() => bad.stop());

/** Lets the bad server do `what` at its first step of that name from now on, and nothing after. */
const once = (name, what) => {
  let done = false;
  bad.rule = (step) => {
    if (done || step.name !== name) return undefined;
    done = true;
    return what;
  };
};

const directives = [() => `ChronicleSmtp smtp://127.0.0.1:${bad.port}`, FROM];

serverSuite('mail faults', { directives }, (server) => {
  before(() => server.expectLog(RETRY));

  test('who is refused for now is tried again after 10 seconds', async () => {
    once('RCPT', '451 4.7.1 greylisted');
    const { id } = await queueMail(server);
    const job = await tried(server, id);
    const row = await outboxRow(server, id);
    assert.deepEqual([row.status, row.attempts, row.last_error], ['queued', 1, 'RCPT: 451 4.7.1 greylisted']);
    assert.deepEqual([job.status, job.last_error], ['queued', row.last_error]);
    const wait = job.run_at - Date.now();
    assert.ok(wait > 5000 && wait <= 10000, `${wait} ms`);
    assert.deepEqual(await health(server), ['OK', 'up'], 'one recipient tells nothing of the server');
    await hurry(server, id);
    const sent = await becomes(server, id, 'sent');
    assert.deepEqual([sent.attempts, sent.last_error], [2, null]);
    assert.equal(bad.mails.filter((mail) => mail.id.includes(id)).length, 1);
  });

  for (const [name, reply] of [
    ['RCPT', '550 5.1.1 no such user'],
    ['RCPT', '550-5.1.1 no such\r\n550-5.1.1 user\r\n550 5.1.1 here'],
    ['DATA', '554 5.7.1 not from you'],
    ['message', '552 5.3.4 too large'],
    ['MAIL', '552 5.3.4 too large'],
    ['message', `554 ${'long '.repeat(1000)}`],
    ['RCPT', '550 ctrl\u0007 \u001b[31m and \xff\xfe no UTF-8'],
    ['RCPT', '599'],
  ]) {
    test(`${name} answered by ${JSON.stringify(reply).slice(0, 40)} has failed at once`, async () => {
      server.expectLog(FAILED);
      once(name, reply);
      const { id } = await queueMail(server);
      const row = await becomes(server, id, 'failed');
      const job = await tried(server, id);
      assert.deepEqual([job.status, job.attempts, row.attempts], ['failed', 1, 1]);
      assert.ok(row.last_error.startsWith(`${name}: ${reply.slice(0, 3)}`), row.last_error);
      assert.ok(row.last_error.length <= 300, `${row.last_error.length}`);
      assert.doesNotMatch(row.last_error, /[\x00-\x1f\x7f]/);
      assert.equal(job.last_error, row.last_error);
      assert.equal(bad.mails.filter((mail) => mail.id.includes(id)).length, 0);
      assert.deepEqual(await health(server), ['OK', 'up']);
    });
  }

  /* Each answer of the server in turn fails in each way; in the end there is one mail. */
  for (const what of ['451 not now', '421 going down', '535 who are you', 'cut'])
    for (const [n, name] of STEPS.entries())
      test(`answer ${n + 1} (${name}): ${what}`, async () => {
        if (what.startsWith('535') && n > 4) server.expectLog(FAILED);
        await until(() => bad.sockets.size === 0, 5000, 'no connection is kept');
        once(name, what);
        const { id } = await queueMail(server);
        await tried(server, id);
        const row = await outboxRow(server, id);
        if (name === 'EHLO' && what !== 'cut') {
          assert.equal(row.status, 'sent', 'HELO does as well');
          return;
        }
        assert.equal(row.status, 'queued', row.last_error);
        assert.equal(row.attempts, 1);
        assert.ok(row.last_error, 'it tells why');
        if (what === 'cut') assert.deepEqual(await health(server), ['DEGRADED', 'down']);
        await hurry(server, id);
        await becomes(server, id, 'sent');
        assert.deepEqual(await health(server), ['OK', 'up']);
        assert.equal(bad.mails.filter((mail) => mail.id.includes(id)).length, 1);
      });

  test('cut after the final dot: it may come twice, as the same message', async () => {
    once('message', 'reset');
    const { id } = await queueMail(server);
    await tried(server, id);
    assert.equal((await outboxRow(server, id)).status, 'queued');
    await hurry(server, id);
    await becomes(server, id, 'sent');
    const mails = bad.mails.filter((mail) => mail.id === `<${id}@mail.example.com>`);
    assert.equal(mails.length, 2);
    assert.equal(mails[0].raw, mails[1].raw, 'both are the same to the last byte');
  });

  test('a server that takes one message per connection gets them all at the first try', async () => {
    for (const what of ['421 one is enough', 'cut']) {
      const used = new Set();
      bad.rule = ({ name, connection }) => {
        if (name === 'message') used.add(connection);
        return name === 'MAIL' && used.has(connection) ? what : undefined;
      };
      const { length } = bad.mails;
      await server.sql(`
        INSERT INTO email_outbox (to_address, template, subject, body_text)
        SELECT 'one@example.com', 'notification', '${what}', 'text' FROM generate_series(1, 20)`);
      await until(async () => bad.mails.length === length + 20, 20000, 'all are there');
      await until(
        async () => (await server.sql('SELECT 1 FROM email_outbox WHERE subject = $1 AND status = $2 AND attempts = 1', [what, 'sent'])).length === 20,
        5000,
        'each was sent at the first try',
      );
    }
  });

  test('QUIT that is not answered costs no mail', async () => {
    bad.rule = ({ name }) => (name === 'QUIT' || name === 'NOOP' ? 'hang' : undefined);
    for (let n = 0; n < 2; n += 1) {
      const { id } = await queueMail(server);
      const row = await becomes(server, id, 'sent', 8000);
      assert.equal(row.attempts, 1);
      await sleep(1200);
    }
  });

  test('a server that is away', async () => {
    await bad.stop();
    bad.rule = () => undefined;
    const { id } = await queueMail(server);
    await tried(server, id);
    const row = await outboxRow(server, id);
    assert.match(row.last_error, /^connecting: .*(refused|connect)/i);
    assert.deepEqual(await health(server), ['DEGRADED', 'down']);
    /* while it is away, others keep their tries */
    await server.sql(`
      INSERT INTO email_outbox (to_address, template, subject, body_text)
      SELECT 'away@example.com', 'notification', 'away', 'text' FROM generate_series(1, 50)`);
    const start = Date.now();
    await sleep(3000);
    const [{ tries }] = await server.sql("SELECT sum(attempts)::int AS tries FROM email_outbox WHERE subject = 'away'");
    assert.ok(tries <= 1 + (Date.now() - start) / 1000, `${tries} tries`);
    const metrics = (await server.anon.get('/metrics')).text;
    assert.match(metrics, /chronicle_upstream_requests_total\{provider="smtp",status="error"\} [1-9]/);
    await bad.start();
    await server.sql("UPDATE jobs SET run_at = now() WHERE type = 'mail' AND status = 'queued'");
    await becomes(server, id, 'sent', 30000);
    await until(
      async () => {
        await server.sql("UPDATE jobs SET run_at = now() WHERE type = 'mail' AND status = 'queued'");
        return (await server.sql("SELECT 1 FROM email_outbox WHERE subject = 'away' AND status = 'sent'")).length === 50;
      },
      10000,
      'all of them are sent',
    );
    assert.deepEqual(await health(server), ['OK', 'up']);
  });

  test('after 5 tries it has failed; tried again by hand it goes', async () => {
    server.expectLog(FAILED);
    bad.rule = ({ name }) => (name === 'RCPT' ? '450 mailbox busy' : undefined);
    const { id } = await queueMail(server);
    for (let n = 1; n <= 5; n += 1) {
      const job = await tried(server, id, n);
      const row = await outboxRow(server, id);
      assert.deepEqual([job.status, row.status, row.attempts], n < 5 ? ['queued', 'queued', n] : ['failed', 'failed', 5]);
      assert.equal(row.last_error, 'RCPT: 450 mailbox busy');
      await hurry(server, id);
    }
    bad.rule = () => undefined;
    /* what the retry of a job does */
    await server.sql("UPDATE jobs SET status = 'queued', attempts = 0, run_at = now(), finished_at = NULL WHERE payload->>'id' = $1", [id]);
    const row = await becomes(server, id, 'sent');
    assert.deepEqual([row.attempts, row.last_error], [6, null]);
  });
});

/* ---- servers that say nothing ---- */

test('no answer is waited for longer than 30 seconds, no connection longer than 5', async (t) => {
  const silent = await new BadMailServer(({ name }) => (name === 'DATA' ? 'hang' : undefined)).start();
  const deaf = await new MailServer({ deaf: true }).start();
  const make = async (port) => {
    const server = new Server({ directives: [`ChronicleSmtp smtp://127.0.0.1:${port}`, FROM] });
    await server.start();
    server.expectLog(RETRY);
    return server;
  };
  const servers = [await make(silent.port), await make(deaf.port)];
  stopAfter(t, ...servers, silent, deaf);
  const begun = Date.now();
  const [waits, connects] = await Promise.all(servers.map((server) => queueMail(server)));
  await tried(servers[1], connects.id, 1, 12000);
  const took = Date.now() - begun;
  assert.ok(took > 4500, `${took} ms`);
  assert.equal((await outboxRow(servers[1], connects.id)).last_error, 'connecting: no connection within 5 seconds');
  await tried(servers[0], waits.id, 1, 45000);
  assert.ok(Date.now() - begun > 29000);
  assert.equal((await outboxRow(servers[0], waits.id)).last_error, 'DATA: no answer within 30 seconds');
  const metrics = await Promise.all(servers.map(async (server) => (await server.anon.get('/metrics')).text));
  for (const text of metrics) assert.match(text, /chronicle_upstream_requests_total\{provider="smtp",status="timeout"\} [1-9]/);
});

describe('a stop of the server', () => {
  for (const name of [...STEPS, 'connecting']) {
    test(`is not held up by a mail server that hangs at ${name}`, async (t) => {
      const its =
        name === 'connecting'
          ? await new MailServer({ deaf: true }).start()
          : await new BadMailServer((step) => (step.name === name ? 'hang' : undefined)).start();
      t.after(() => its.stop());
      const server = new Server({ directives: [`ChronicleSmtp smtp://127.0.0.1:${its.port}`, FROM] });
      await server.start();
      server.ownsDatabase = false;
      const { id } = await queueMail(server);
      await until(
        async () => (await mailJob(server, id)).status === 'running' && (!its.steps || its.steps.at(-1)?.name === name),
        10000,
        'it hangs',
      );
      const other = new Server({ database: server.database, secrets: server.secrets, directives: ['ChronicleJobWorkers 0'] });
      other.ownsDatabase = true;
      await other.start();
      t.after(() => other.stop());
      const begun = Date.now();
      await server.stop();
      const took = Date.now() - begun;
      assert.ok(took < 8000 * patience, `${took} ms`); /* and it did not wait until a try had failed: see attempts */
      const [job, row] = [await mailJob(other, id), await outboxRow(other, id)];
      assert.deepEqual([job.status, job.attempts, row.status, row.attempts], ['queued', 0, 'queued', 0]);
    });
  }

  test('graceful restarts while mail flows neither lose nor repeat any', async (t) => {
    const its = await new BadMailServer().start();
    const server = new Server({ directives: [`ChronicleSmtp smtp://127.0.0.1:${its.port}`, FROM] });
    await server.start();
    stopAfter(t, server, its);
    for (let n = 0; n < 4; n += 1) {
      await server.sql(`
        INSERT INTO email_outbox (to_address, template, subject, body_text)
        SELECT 'flow@example.com', 'notification', 'flow', 'text' FROM generate_series(1, 150)`);
      await sleep(300);
      server.signal('SIGUSR1');
      await sleep(1200);
    }
    await until(
      async () => (await server.sql("SELECT 1 FROM email_outbox WHERE status = 'sent'")).length === 600,
      30000,
      'all are sent',
    );
    assert.equal(new Set(its.mails.map((mail) => mail.id)).size, 600);
    assert.equal(its.mails.length, 600);
  });
});
