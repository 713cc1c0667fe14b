/* Mails of the outbox on their way to a real mail server: what arrives, what never may, what tells of it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { sleep, until } from './lib/env.mjs';
import { BadMailServer, MailServer, becomes, mailJob, makeCertificates, outboxRow, queueMail, stopAfter, tried } from './lib/smtp.mjs';

const FROM = 'ChronicleMailFrom "Nötes <notes@mail.example.com>"';
const metric = async (server, series) => {
  const res = await server.anon.get('/metrics');
  const line = res.text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
};
const smtpStatus = async (server) => (await server.anon.get('/health/detailed')).json.checks.smtp.status;

const mail = new MailServer();
before(() => mail.start());
after(() => mail.stop());

serverSuite('mail', { directives: [() => `ChronicleSmtp smtp://127.0.0.1:${mail.port}`, FROM] }, (server) => {
  const sent = async (fields) => {
    const { id, to } = await queueMail(server, fields);
    await becomes(server, id, 'sent');
    return { id, got: await mail.arrived(to) };
  };

  test('who registers gets a mail whose link works', async () => {
    const user = await server.user();
    const got = await mail.arrived(user.email);
    assert.equal(got.sender, 'notes@mail.example.com');
    assert.deepEqual(got.recipients, [user.email]);
    const [row] = await server.sql('SELECT * FROM email_outbox WHERE to_address = $1', [user.email]);
    assert.equal(got.text.replaceAll('\r\n', '\n'), row.body_text);
    const token = /verify-email\?token=([A-Za-z0-9_-]+)\s/.exec(got.text)[1];
    const res = await server.anon.post('/auth/verify-email', { token });
    assert.equal(res.status, 200, res.text);
    const done = await becomes(server, row.id, 'sent');
    assert.equal(done.attempts, 1);
    assert.equal(done.last_error, null);
    assert.ok(done.sent_at >= done.created_at);
    await until(async () => (await mailJob(server, row.id)).status === 'completed', 5000, 'its job is done');
  });

  test('who forgot a password gets a link that lets choose a new one', async () => {
    const user = await server.user();
    await server.anon.post('/auth/forgot-password', { email: user.email });
    await until(() => mail.to(user.email).length === 2, 10000, 'both mails are there');
    const token = mail.to(user.email).map((got) => /reset-password\?token=([\w-]+)/.exec(got.text)?.[1]).find(Boolean);
    const res = await server.anon.post('/auth/reset-password', { token, password: 'another good one' });
    assert.equal(res.status, 200, res.text);
  });

  test('the headers that a mail has to have', async () => {
    const { id, got } = await sent({});
    const row = await outboxRow(server, id);
    assert.equal(got.header('From'), 'Nötes <notes@mail.example.com>');
    assert.equal(got.header('To'), row.to_address);
    assert.equal(got.header('Subject'), 'A subject');
    assert.equal(got.header('Message-ID'), `<${id}@mail.example.com>`);
    assert.equal(got.header('Auto-Submitted'), 'auto-generated');
    assert.equal(got.header('MIME-Version'), '1.0');
    assert.equal(Math.floor(new Date(got.header('Date')) / 1000), Math.floor(row.created_at / 1000));
    assert.match(got.header('Date'), /^\w{3}, \d\d? \w{3} \d{4} \d\d:\d\d:\d\d \+0000$/);
    assert.deepEqual(got.headers.map(([name]) => name.toLowerCase()).filter((name) => name === 'received'), []);
  });

  const texts = {
    'dots at the start of lines': '.\n..\n.x\n\n.\n.\r\n.',
    'every kind of line end': 'a\nb\r\nc\rd\n\ne',
    'a line of 5000 bytes': `${'long '.repeat(1000)}\nx`,
    'a word of 5000 bytes': `${'x'.repeat(5000)}\nFrom me\n`,
    'trailing blanks and equals signs': 'a \nb\t\n=3D = =\n ',
    'German': 'Grüße aus Köln, schöne Straße – „gut“\n',
    'Japanese and emoji': `${'日本語のメール🙂'.repeat(40)}\n`,
    'control characters': 'a\u0007b\u001bc\u007f\n',
    'nothing': '',
  };
  for (const [name, text] of Object.entries(texts)) {
    test(`a text arrives as it was: ${name}`, async () => {
      const { got } = await sent({ body_text: text, subject: name });
      const lines = (value) => value.replace(/\r\n|\r/g, '\n').replace(/\n$/, '');
      assert.equal(lines(got.text), lines(text));
      assert.equal(got.html, null);
      assert.deepEqual(got.defects, []);
      assert.ok(got.ascii && !got.bare && got.longest <= 998, JSON.stringify({ ...got, raw: undefined }));
    });
  }

  test('with HTML there is a choice of two', async () => {
    const { got } = await sent({ body_text: 'Grüße\n', body_html: '<p>Grüße <b>an</b> alle</p>\n' });
    assert.match(got.header('Content-Type'), /^multipart\/alternative;/);
    assert.equal(got.text, 'Grüße\r\n');
    assert.equal(got.html, '<p>Grüße <b>an</b> alle</p>\r\n');
    assert.deepEqual(got.defects, []);
  });

  const subjects = [
    'Grüße',
    'Übermäßig lange Überschriften über ärgerliche Öfen '.repeat(8).trim(),
    '日本語'.repeat(60),
    '🙂'.repeat(50),
    'long words in plain ASCII '.repeat(40).trim(),
    '=?UTF-8?Q?not_an_encoded_word?=',
    'x'.repeat(1200),
  ];
  for (const subject of subjects) {
    test(`a subject arrives as it was: ${subject.slice(0, 30)}`, async () => {
      const { got } = await sent({ subject });
      assert.equal(got.header('Subject'), subject);
      assert.deepEqual(got.defects, []);
      assert.ok(got.ascii && got.longest <= 78, `${got.longest}`);
    });
  }

  for (const evil of ['x\r\nBcc: evil@example.com', 'x\nBcc: evil@example.com\n\nbody', 'x\rBcc: evil@example.com', 'x\u0001\u0085y\u2028Bcc: z']) {
    test(`a subject makes no other header: ${JSON.stringify(evil)}`, async () => {
      const { got } = await sent({ subject: evil });
      assert.equal(got.header('Bcc'), undefined);
      assert.equal(got.header('Subject'), evil.replace(/[\r\n\u0001]/g, '?').replace('\u0085', '??'));
      assert.deepEqual(got.recipients.length, 1);
      assert.equal(got.text.replaceAll('\r\n', '\n'), 'A text\n');
    });
  }

  const addresses = [
    'a@example.com\r\nRCPT TO:<evil@example.com>',
    'a@example.com>\r\nDATA',
    'a@example.com, b@example.com',
    '<a@example.com>',
    'Name <a@example.com>',
    'a b@example.com',
    'a@example.com\u0000'.slice(0, -1) + '\u0085',
    'a@b@example.com',
    'a@',
    '',
    'a@＠example.com',
    'a@exa⁄mple.com℀',
  ];
  for (const address of addresses) {
    test(`no mail goes to ${JSON.stringify(address)}`, async () => {
      const before_ = mail.mails.length;
      server.expectLog(/CH1021: job mail \S+ \(try 1 of 5\): the address is none/);
      const { id } = await queueMail(server, { to_address: address });
      const row = await becomes(server, id, 'failed');
      assert.equal(row.last_error, 'the address is none');
      assert.equal(row.attempts, 1);
      assert.equal((await tried(server, id)).status, 'failed');
      assert.equal(mail.mails.length, before_);
    });
  }

  test('a domain beyond ASCII is written as DNS knows it', async () => {
    const { id } = await queueMail(server, { to_address: 'info@Bücher.example' });
    await becomes(server, id, 'sent');
    const got = await mail.arrived('info@xn--bcher-kva.example');
    assert.equal(got.header('To'), 'info@xn--bcher-kva.example');
    assert.ok(got.ascii);
  });

  test('an address beyond ASCII goes to a server that takes it', async () => {
    const { got } = await sent({ to_address: 'jörg@example.com' });
    assert.ok(got.options.includes('SMTPUTF8'));
    assert.equal(got.header('To'), 'jörg@example.com');
  });

  test('a link that has run out is not sent', async () => {
    const cases = [
      ['verify_email', '24 hours 1 minute', 'failed'],
      ['verify_email', '23 hours 59 minutes', 'sent'],
      ['password_reset', '61 minutes', 'failed'],
      ['password_reset', '59 minutes', 'sent'],
      ['notification', '30 days', 'sent'],
    ];
    for (const [template, age, status] of cases) {
      const created = new Date(Date.now());
      const [{ at }] = await server.sql('SELECT $1::timestamptz - $2::interval AS at', [created, age]);
      const { id, to } = await queueMail(server, { template, created_at: at });
      const row = await becomes(server, id, status);
      assert.equal(row.last_error, status === 'failed' ? 'expired' : null);
      assert.equal((await tried(server, id)).status, 'completed');
      assert.equal(mail.to(to).length, status === 'sent' ? 1 : 0, `${template} ${age}`);
      assert.equal(row.body_text, status === 'failed' ? '' : 'A text\n');
    }
  });

  test('one that failed is sent by a retry, but not when its text is gone', async () => {
    const retry = (id) => server.sql("INSERT INTO jobs (type, payload) VALUES ('mail', $1)", [{ id }]);
    const gone = await queueMail(server, { status: 'failed', body_text: '', last_error: 'refused' });
    await retry(gone.id);
    await until(async () => (await outboxRow(server, gone.id)).last_error === 'expired', 15000, 'it is given up');
    assert.equal((await tried(server, gone.id)).status, 'completed');
    const kept = await queueMail(server, { status: 'failed' });
    await retry(kept.id);
    await becomes(server, kept.id, 'sent');
    assert.deepEqual([mail.to(gone.to).length, mail.to(kept.to).length], [0, 1]);
  });

  test('a mail that is gone, or was sent before, is nothing to do', async () => {
    const { id: old, to } = await queueMail(server, { status: 'sent', sent_at: new Date() });
    const ids = [];
    for (const payload of [{ id: old }, { id: '00000000-0000-7000-8000-000000000000' }])
      ids.push((await server.sql(`INSERT INTO jobs (type, payload) VALUES ('mail', $1) RETURNING id`, [payload]))[0].id);
    await until(
      async () => (await server.sql("SELECT 1 FROM jobs WHERE id = ANY ($1) AND status = 'completed'", [ids])).length === 2,
      10000,
      'both jobs are done',
    );
    assert.equal(mail.to(to).length, 0);
  });

  test('a payload that names no mail fails at once', async () => {
    server.expectLog(/CH1021: job mail \S+ \(try 1 of 5\): the payload names nothing/);
    for (const payload of [{}, { id: 7 }, { id: "x' OR 1" }, { id: null }]) {
      const [{ id }] = await server.sql(`INSERT INTO jobs (type, payload) VALUES ('mail', $1) RETURNING id`, [payload]);
      const done = async () => (await server.sql("SELECT 1 FROM jobs WHERE id = $1 AND status = 'failed'", [id])).length;
      await until(done, 10000, 'it has failed');
    }
  });

  test('health and metrics tell of it', async () => {
    const series = 'chronicle_upstream_requests_total{provider="smtp",status="2xx"}';
    const count = 'chronicle_upstream_duration_seconds_count{provider="smtp"}';
    const before_ = [await metric(server, series), await metric(server, count)];
    await sent({});
    assert.deepEqual([await metric(server, series), await metric(server, count)], [before_[0] + 1, before_[1] + 1]);
    assert.equal(await smtpStatus(server), 'up');
    for (const status of ['4xx', '5xx', 'timeout', 'error'])
      assert.equal(await metric(server, series.replace('2xx', status)), 0, status);
  });

  test('500 mails arrive once each, many over one connection', async (t) => {
    const start = mail.mails.length;
    await server.sql(`
      INSERT INTO email_outbox (to_address, template, subject, body_text)
      SELECT 'bulk' || i || '@example.com', 'notification', 'Bulk', 'text' FROM generate_series(1, 500) i`);
    const begun = Date.now();
    await until(() => mail.mails.length >= start + 500, 60000, 'all have arrived');
    t.diagnostic(`${Math.round(500000 / (Date.now() - begun))} mails/s`);
    await sleep(300);
    const to = mail.mails.slice(start).map((got) => got.recipients[0]);
    assert.equal(new Set(to).size, 500);
    assert.equal(to.length, 500);
    const peers = new Set(mail.mails.slice(start).map((got) => got.peer[1]));
    assert.ok(peers.size <= 20, `${peers.size} connections`);
    const rows = await server.sql("SELECT DISTINCT status, attempts FROM email_outbox WHERE subject = 'Bulk'");
    assert.deepEqual(rows, [{ status: 'sent', attempts: 1 }]);
  });
});

test('without a mail server mail stays queued', async (t) => {
  const server = new Server();
  await server.start();
  t.after(() => server.stop());
  const { id } = await queueMail(server);
  await sleep(2500);
  assert.equal((await outboxRow(server, id)).status, 'queued');
  assert.deepEqual([(await mailJob(server, id)).status, (await mailJob(server, id)).attempts], ['queued', 0]);
  assert.equal(await smtpStatus(server), 'disabled');
});

test('a server without SMTPUTF8 never gets such an address', async (t) => {
  const plain = await new MailServer({ utf8: false }).start();
  const server = new Server({ directives: [`ChronicleSmtp smtp://127.0.0.1:${plain.port}`, FROM] });
  await server.start();
  stopAfter(t, server, plain);
  server.expectLog(/CH1021: job mail .*SMTPUTF8/);
  const bad = await queueMail(server, { to_address: 'jörg@example.com' });
  const row = await becomes(server, bad.id, 'failed');
  assert.match(row.last_error, /SMTPUTF8/);
  const good = await queueMail(server, { to_address: 'info@bücher.example' });
  await becomes(server, good.id, 'sent');
  assert.equal(plain.mails.length, 1);
  assert.equal(await smtpStatus(server), 'up');
});

test('two servers with one database send each of 100 mails once', async (t) => {
  const options = { directives: [`ChronicleSmtp smtp://127.0.0.1:${mail.port}`, FROM] };
  const first = new Server(options);
  await first.start();
  const second = new Server({ ...options, database: first.database, secrets: first.secrets });
  await second.start();
  stopAfter(t, second, first);
  const start = mail.mails.length;
  await first.sql(`
    INSERT INTO email_outbox (to_address, template, subject, body_text)
    SELECT 'both' || i || '@example.com', 'notification', 'Both', 'text' FROM generate_series(1, 100) i`);
  await until(
    async () => (await first.sql("SELECT 1 FROM email_outbox WHERE status = 'sent'")).length === 100,
    30000,
    'all are sent',
  );
  assert.deepEqual(
    mail.mails.slice(start).map((got) => got.recipients[0]).sort(),
    Array.from({ length: 100 }, (_, n) => `both${n + 1}@example.com`).sort(),
  );
});

/* ---- logins and TLS ---- */

describe('logins and TLS', () => {
  const LOGIN = ['näme@example.com', 'p@ss:w/rd?&=%41 ünd'];
  const encoded = LOGIN.map(encodeURIComponent).join(':');
  let tls;
  let other;
  before(() => {
    tls = makeCertificates();
    other = makeCertificates();
  });

  /* [what, of the mail server, URL, whether it arrives, otherwise what is told] */
  const rows = [
    ['a login', { auth: LOGIN }, (at) => `smtp://${encoded}@${at}`, true],
    ['a login by LOGIN', { auth: LOGIN, without: ['PLAIN'] }, (at) => `smtp://${encoded}@${at}`, true],
    ['a wrong password', { auth: LOGIN }, (at) => `smtp://${encoded}x@${at}`, false, /^AUTH: 535 ?$/],
    ['no login where one is needed', { auth: LOGIN }, (at) => `smtp://${at}`, false, /^MAIL: 530 /],
    ['STARTTLS of this machine, unasked', { tls: true }, (at) => `smtp://${at}`, true, true],
    ['STARTTLS that is declined', { tls: true }, (at) => `smtp://${at}?tls=none`, true, false],
    ['STARTTLS with a private CA', { tls: true, insist: true }, (at, ca) => `smtp://${at}?tls=required&ca=${ca}`, true, true],
    ['STARTTLS and a login', { tls: true, auth: LOGIN }, (at, ca) => `smtp://${encoded}@${at}?tls=required&ca=${ca}`, true, true],
    ['STARTTLS with a wrong CA', { tls: true }, (at) => `smtp://${at}?ca=${other.ca}`, false, /^STARTTLS: SSL certificate/],
    ['STARTTLS without a CA', { tls: true }, (at) => `smtp://${at}?tls=required`, false, /^STARTTLS: SSL certificate/],
    ['a server without STARTTLS', {}, (at) => `smtp://${at}?tls=required`, false, /^EHLO: .*STARTTLS/],
    ['a login, a server without STARTTLS', { auth: LOGIN }, (at) => `smtp://${encoded}@${at}?tls=required`, false, /^EHLO: .*STARTTLS/],
    ['implicit TLS', { tls: true, implicit: true }, (at, ca) => `smtps://${at}?ca=${ca}`, true, true],
    ['implicit TLS and a login', { tls: true, implicit: true, auth: LOGIN }, (at, ca) => `smtps://${encoded}@${at}?ca=${ca}`, true, true],
    ['implicit TLS without a CA', { tls: true, implicit: true }, (at) => `smtps://${at}`, false, /^connecting: (SSL certificate|no connection within)/],
    ['a server in the clear, spoken to with TLS', {}, (at) => `smtps://${at}`, false, /^connecting: /],
  ];
  for (const [what, { tls: withTls, ...options }, url, arrives, told] of rows) {
    test(`${what}: ${arrives ? 'sent' : 'not sent'}`, async (t) => {
      const its = await new MailServer({ ...options, ...(withTls ? { cert: tls.cert, key: tls.key } : {}) }).start();
      const address = url(`localhost:${its.port}`, tls.ca);
      const server = new Server({ directives: [`ChronicleSmtp "${address}"`, FROM] });
      await server.start();
      stopAfter(t, server, its);
      if (!arrives) server.expectLog(/CH1020: job mail \S+ \(try \d of 5\): /);
      const { id } = await queueMail(server);
      const job = await tried(server, id);
      const row = await outboxRow(server, id);
      assert.equal(row.status, arrives ? 'sent' : 'queued', row.last_error);
      assert.equal(job.status, arrives ? 'completed' : 'queued', job.last_error);
      assert.equal(its.mails.length, arrives ? 1 : 0);
      assert.equal(await smtpStatus(server), arrives ? 'up' : 'down');
      if (arrives) {
        assert.equal(its.mails[0].tls, told ?? false);
        assert.equal(its.mails[0].user, options.auth ? LOGIN[0] : null);
      } else {
        assert.match(row.last_error, told);
        assert.equal(job.last_error, row.last_error);
      }
      if (/tls=required/.test(address) && !withTls) assert.deepEqual(its.logins, [], 'no password went out');
      const secret = Buffer.from(`\0${LOGIN.join('\0')}`).toString('base64');
      for (const text of [server.log(), row.last_error ?? '', job.last_error ?? ''])
        for (const word of [LOGIN[1], encoded.split(':')[1], secret]) assert.ok(!text.includes(word), text);
    });
  }

  test('a server that repeats the password is not believed', async (t) => {
    const bad = new BadMailServer(({ name }) => (name === 'MAIL' ? `451 I heard ${LOGIN[1]}` : undefined));
    await bad.start();
    const server = new Server({ directives: [`ChronicleSmtp "smtp://${encoded}@127.0.0.1:${bad.port}"`, FROM] });
    await server.start();
    stopAfter(t, server, bad);
    server.expectLog(/CH1020: job mail/);
    const { id } = await queueMail(server);
    await tried(server, id);
    const row = await outboxRow(server, id);
    assert.match(row.last_error, /^MAIL: 451 I heard \*+$/);
    assert.ok(!server.log().includes(LOGIN[1]));
  });
});
