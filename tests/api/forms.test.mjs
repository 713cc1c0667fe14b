/* Contact and demo requests: what is taken, stored, told and mailed (API.md 13). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newRole, uniqueEmail } from './lib/accounts.mjs';
import { until } from './lib/env.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { contact, demo, encoded, FORMS } from './lib/forms.mjs';
import { fails, invalid, ok, parallel, tally } from './lib/expect.mjs';
import { exported } from './lib/exports.mjs';
import { MailServer } from './lib/smtp.mjs';

const URLENCODED = 'application/x-www-form-urlencoded';
const OFFICE = 'office@mail.example';
const day = (offset) => new Date(Date.now() + offset * 86400000).toISOString().slice(0, 10);
const keyed = (key) => ({ headers: { 'idempotency-key': key } });
const mailsTo = (s, address) =>
  s.sql('SELECT template, subject, body_text, body_html, status FROM email_outbox WHERE to_address = $1 ORDER BY id', [address]);
/** How much there is of everything that a submission makes. */
const world = async (s) =>
  (
    await s.sql(`SELECT (SELECT count(*) FROM contact_submissions) AS contacts, (SELECT count(*) FROM demo_requests) AS demos,
      (SELECT count(*) FROM notifications) AS notifications, (SELECT count(*) FROM email_outbox) AS mails,
      (SELECT count(*) FROM jobs WHERE type = 'mail') AS jobs`)
  )[0];

serverSuite('Forms', { directives: [`ChronicleContactEmail ${OFFICE}`, 'ChronicleAdminEmail boss@mail.example'] }, (s) => {
  let user;
  let manager;
  let admin;
  before(async () => {
    user = await s.user();
    manager = await newRole(s, 'manager');
    admin = await newRole(s, 'admin');
    const former = await newRole(s, 'admin');
    await s.sql('UPDATE users SET is_active = false WHERE id = $1', [former.user.id]);
  });

  const send = (form, body, options) => s.anon.post(`/forms/${form}`, body, options);
  const sendForm = (form, body, options) =>
    s.anon.api('POST', `/forms/${form}`, { body: typeof body === 'string' ? body : encoded(body), type: URLENCODED, ...options });
  const row = async (form, id) => (await s.sql(`SELECT * FROM ${FORMS[form].table} WHERE id = $1`, [id]))[0];

  describe('what is sent', () => {
    const full = {
      contact: contact({
        phone: '+44 (20) 7946-0958', company: 'Engines Ltd', subject: 'Über Maschinen', message: ' Zeile 1\r\n\tZeile 2\n', source: '/home',
      }),
      demo: demo({
        phone: '12345', jobTitle: 'CTO', companySize: '201-1000', useCase: '', preferredDate: day(0), timezone: 'Europe/London',
        message: 'a\nb', source: 'x',
      }),
    };
    for (const form of ['contact', 'demo']) {
      it(`${form}: all of it is stored, and shown to managers`, async () => {
        const res = await send(form, full[form], { headers: { 'user-agent': 'Test/1' } });
        const made = ok(res, 201);
        assert.deepEqual(Object.keys(made), ['id', 'status', 'createdAt']);
        assert.match(made.id, UUIDV7);
        assert.match(made.createdAt, TIMESTAMP);
        assert.equal(made.status, 'new');
        assert.equal(res.headers.location, `/api/v1/forms/${form}/${made.id}`);
        const got = ok(await manager.get(`/forms/${form}/${made.id}`));
        const { id, status, adminNote, handledBy, userId, ipAddress, userAgent, createdAt, updatedAt, ...fields } = got;
        assert.deepEqual(fields, full[form]);
        assert.deepEqual([id, createdAt, updatedAt], [made.id, made.createdAt, made.createdAt]);
        assert.deepEqual([status, adminNote, handledBy, userId, ipAddress, userAgent], ['new', null, null, null, '127.0.0.1', 'Test/1']);
      });

      it(`${form}: what was not given is null`, async () => {
        const { id } = ok(await send(form, FORMS[form].body()), 201);
        const got = ok(await manager.get(`/forms/${form}/${id}`));
        const nulls = { contact: ['phone', 'company'], demo: ['jobTitle', 'phone', 'companySize', 'useCase', 'preferredDate', 'timezone', 'message'] };
        for (const key of [...nulls[form], 'source']) assert.equal(got[key], null, key);
      });

      it(`${form}: as a form of HTML it is the same`, async () => {
        const made = ok(await sendForm(form, { ...full[form], website: '' }), 201);
        const want = { ...full[form], ...(form === 'demo' && { useCase: null }) }; /* an empty field was not given */
        const got = ok(await manager.get(`/forms/${form}/${made.id}`));
        for (const [key, value] of Object.entries(want)) assert.equal(got[key], value, key);
        assert.equal('website' in got, false);
      });

      it(`${form}: aliases lead to it`, async () => {
        for (const alias of FORMS[form].alias) {
          const res = await s.anon.post(alias, FORMS[form].body());
          const { id } = ok(res, 201);
          assert.equal(res.headers.deprecation, 'true');
          assert.equal(res.headers.link, `</api/v1/forms/${form}>; rel="successor-version"`);
          assert.equal(res.headers.location, `/api/v1/forms/${form}/${id}`);
          assert.ok(await row(form, id));
          ok(await s.anon.api('POST', alias, { body: encoded(FORMS[form].body()), type: URLENCODED }), 201);
        }
      });

      it(`${form}: whoever is logged in is known, whoever says so without being it is refused`, async () => {
        const { id } = ok(await user.post(`/forms/${form}`, FORMS[form].body()), 201);
        assert.equal((await row(form, id)).user_id, user.user.id);
        fails(await s.anon.post(`/forms/${form}`, FORMS[form].body(), { token: 'x' }), 401, 'INVALID_TOKEN');
      });
    }

    it('lines are trimmed, addresses in lower case, texts kept', async () => {
      const { id } = ok(await send('contact', contact({ name: ' \t A\u3000', email: ' X.Y@Example.COM ', message: '\n  1234567 ' })), 201);
      const { name, email, message } = await row('contact', id);
      assert.deepEqual([name, email, message], ['A', 'x.y@example.com', '\n  1234567 ']);
    });

    /* with a body of bytes, node sends headers byte for byte, too */
    const bytes = (path, json, agent) =>
      s.anon.api('POST', path, { body: Buffer.from(JSON.stringify(json)), headers: { 'user-agent': agent } });

    it('a client may call itself anything: it is cut, and is text', async () => {
      for (const [agent, want] of [
        ['x'.repeat(2000), 'x'.repeat(512)],
        ['M\xfcnchen\x80', 'M?nchen?'],
        [Buffer.from('é').toString('latin1'), 'é'],
        [null, null],
      ]) {
        const { id } = ok(await bytes('/forms/contact', contact(), agent), 201);
        assert.equal((await row('contact', id)).user_agent, want);
      }
    });

    it('a session may begin with such a name, too', async () => {
      ok(await bytes('/auth/register', { email: uniqueEmail(), password: 'correct horse' }, '\xfc'), 201);
    });
  });

  describe('rules', () => {
    const long = (n, c = 'x') => c.repeat(n);
    const cases = {
      contact: [
        [{}, ['name', 'MISSING_FIELD'], ['email', 'MISSING_FIELD'], ['subject', 'MISSING_FIELD'], ['message', 'MISSING_FIELD']],
        [contact({ name: long(101), subject: long(201), company: long(151), source: long(101), website: long(201) }),
          ['name', 'TOO_LONG'], ['subject', 'TOO_LONG'], ['company', 'TOO_LONG'], ['source', 'TOO_LONG'], ['website', 'TOO_LONG']],
        [contact({ name: ' ', subject: '\n', message: '123456789' }), ['name', 'TOO_SHORT'], ['subject', 'TOO_SHORT'], ['message', 'TOO_SHORT']],
        [contact({ message: long(5001, '🙂') }), ['message', 'TOO_LONG']],
        [contact({ name: 'a\r\nBcc: x', subject: 'a\nb', message: '0123456789\u0007' }),
          ['name', 'INVALID_FORMAT'], ['subject', 'INVALID_FORMAT'], ['message', 'INVALID_FORMAT']],
        [contact({ email: 'nobody' }), ['email', 'INVALID_FORMAT']],
        [contact({ email: 'a@b.example\r\nBcc: c@d.example' }), ['email', 'INVALID_FORMAT']],
        [contact({ jobTitle: 'x', userId: 'x', status: 'spam' }), ['jobTitle', 'UNKNOWN_FIELD'], ['userId', 'UNKNOWN_FIELD'], ['status', 'UNKNOWN_FIELD']],
      ],
      demo: [
        [{}, ['name', 'MISSING_FIELD'], ['email', 'MISSING_FIELD'], ['company', 'MISSING_FIELD']],
        [demo({ jobTitle: long(101), useCase: long(2001), timezone: long(65), message: long(5001) }),
          ['jobTitle', 'TOO_LONG'], ['useCase', 'TOO_LONG'], ['timezone', 'TOO_LONG'], ['message', 'TOO_LONG']],
        [demo({ companySize: '1-11', subject: 'x' }), ['companySize', 'INVALID_VALUE'], ['subject', 'UNKNOWN_FIELD']],
        [demo({ preferredDate: day(-1) }), ['preferredDate', 'INVALID_VALUE']],
      ],
    };
    for (const [form, rows] of Object.entries(cases)) {
      it(`${form}: faults, in both media types`, async () => {
        const before = await world(s);
        for (const [body, ...details] of rows) {
          invalid(await send(form, body), ...details);
          /* an empty body is no form, and a blank field is too short in both */
          if (Object.keys(body).length) invalid(await sendForm(form, body), ...details);
        }
        assert.deepEqual(await world(s), before);
      });
    }

    it('dates are of the calendar', async () => {
      for (const date of ['2027-02-29', '2027-13-01', '2027-00-10', '2027-1-1', '20270101', '2027-01-01T00:00:00Z', ' 2027-01-01', '1969-12-31', '10000-01-01', 'tomorrow', ''])
        invalid(await send('demo', demo({ preferredDate: date })), ['preferredDate', 'INVALID_FORMAT']);
      for (const date of ['2028-02-29', '9999-12-31', day(1)]) {
        const { id } = ok(await send('demo', demo({ preferredDate: date })), 201);
        assert.equal(ok(await manager.get(`/forms/demo/${id}`)).preferredDate, date);
      }
    });

    it('numbers have the form of numbers', async () => {
      for (const phone of ['1234', '+1234', '', '12345a', '12+345', '++12345', '１２３４５', '12345\u00a06'])
        invalid(await send('contact', contact({ phone })), ['phone', 'INVALID_FORMAT']);
      invalid(await send('contact', contact({ phone: '1'.repeat(31) })), ['phone', 'INVALID_FORMAT']);
      invalid(await send('contact', contact({ phone: '1'.repeat(32) })), ['phone', 'TOO_LONG']);
      for (const phone of ['12345', '+12345', `+${'1'.repeat(30)}`, '(0) 1.2-3']) ok(await send('contact', contact({ phone })), 201);
    });

    it('types are as they are, and null is none of them', async () => {
      invalid(await send('contact', contact({ name: 1, message: ['x'], phone: null })), ['name', 'WRONG_TYPE'], ['message', 'WRONG_TYPE'], ['phone', 'WRONG_TYPE']);
      invalid(await send('contact', []), [null, 'WRONG_TYPE']);
    });

    it('a form of HTML: every fault by its field', async () => {
      const good = encoded(contact());
      for (const [extra, ...details] of [
        ['&name=again', ['name', 'DUPLICATE']],
        ['&phone=1%2', ['phone', 'INVALID_FORMAT']],
        ['&phone=%zz', ['phone', 'INVALID_FORMAT']],
        ['&company=%00', ['company', 'INVALID_FORMAT']],
        ['&company=a\0b', ['company', 'INVALID_FORMAT']],
        ['&company=%ff', ['company', 'INVALID_FORMAT']],
        ['&company=%ed%a0%80', ['company', 'INVALID_FORMAT']],
        ['&nothing=1', ['nothing', 'UNKNOWN_FIELD']],
        ['&name[]=1&Name=2', ['name[]', 'UNKNOWN_FIELD'], ['Name', 'UNKNOWN_FIELD']],
        ['&alone', ['alone', 'UNKNOWN_FIELD']],
        ['\0', ['message', 'INVALID_FORMAT']],
        ['&=1', ['', 'UNKNOWN_FIELD']],
        [';company=x&source=%20', ['source', 'TOO_SHORT']],
        ['&'.repeat(1001), [null, 'TOO_MANY'], ['name', 'MISSING_FIELD'], ['email', 'MISSING_FIELD'], ['subject', 'MISSING_FIELD'], ['message', 'MISSING_FIELD']],
      ])
        invalid(await sendForm('contact', good + extra), ...details);
      invalid(await sendForm('contact', Buffer.from(`${good}&company=\xff`, 'latin1').toString('latin1'), {
        body: Buffer.from(`${good}&company=\xff`, 'latin1'),
      }), ['company', 'INVALID_FORMAT']);
      const many = (await sendForm('contact', Array.from({ length: 900 }, (_, n) => `x${n}=1`).join('&'))).json.error;
      assert.equal(many.details.length, 100);
      for (const extra of ['&', '&&&', '&company=', '&company=&company=&company=x', '&source=a+b%20c%2b'])
        ok(await sendForm('contact', encoded(contact()) + extra), 201);
    });

    it('media types', async () => {
      const body = encoded(contact());
      for (const type of [URLENCODED.toUpperCase(), `${URLENCODED}; charset=UTF-8`, `${URLENCODED};charset="utf-8"`])
        ok(await sendForm('contact', encoded(contact()), { type }), 201);
      for (const type of ['text/plain', `${URLENCODED}; charset=latin1`, `${URLENCODED}x`, 'multipart/form-data; boundary=x', 'application/xml'])
        fails(await sendForm('contact', body, { type }), 415, 'UNSUPPORTED_MEDIA_TYPE');
      fails(await sendForm('contact', body, { type: 'application/json' }), 400, 'MALFORMED_JSON');
      fails(await sendForm('contact', ''), 400, 'MALFORMED_JSON');
      fails(await sendForm('contact', Buffer.alloc(10485761, 'a').toString()), 413, 'PAYLOAD_TOO_LARGE');
      fails(await s.anon.api('POST', '/auth/login', { body: 'email=a@b.example&password=x', type: URLENCODED }), 415, 'UNSUPPORTED_MEDIA_TYPE');
      fails(await manager.api('PUT', `/forms/contact/${crypto.randomUUID()}`, { body: 'status=spam', type: URLENCODED }), 415, 'UNSUPPORTED_MEDIA_TYPE');
      for (const form of ['contact', 'demo']) {
        const { content } = s.contract.doc.paths[`/api/v1/forms/${form}`].post.requestBody;
        assert.deepEqual(Object.keys(content), ['application/json', URLENCODED]);
        assert.deepEqual(content[URLENCODED], content['application/json']);
      }
    });

    it('faults of address, header and body are told together', async () => {
      const body = `${encoded(contact({ name: '' }))}&x=1`;
      const res = await s.anon.api('POST', '/forms/contact?a=1', { body, type: URLENCODED, ...keyed('x'.repeat(256)) });
      invalid(res, ['a', 'UNKNOWN_FIELD'], ['idempotency-key', 'INVALID_FORMAT'], ['x', 'UNKNOWN_FIELD'], ['name', 'MISSING_FIELD']);
    });
  });

  describe('what it sets off', () => {
    it('each active manager and administrator has a notification, nobody else', async () => {
      for (const [form, type, body] of [['contact', 'contact_form', 'Engines'], ['demo', 'demo_request', 'Engines Ltd']]) {
        const sent = FORMS[form].body();
        const { id, createdAt } = ok(await send(form, sent), 201);
        const rows = await s.sql("SELECT * FROM notifications WHERE data->>'submissionId' = $1", [id]);
        assert.deepEqual(rows.map((one) => one.user_id).sort(), [manager.user.id, admin.user.id].sort());
        for (const one of rows) {
          assert.deepEqual([one.type, one.body, one.read_at], [type, body, null]);
          assert.deepEqual(one.data, { submissionId: id, name: sent.name, email: sent.email });
          assert.match(one.title, /request from Ada Lovelace$/);
          assert.equal(one.created_at.toISOString(), createdAt);
        }
      }
    });

    it('the office has a mail with all of it, as plain text', async () => {
      const text = 'line\r\nemail: evil@example.com\n\n.\n<b>x</b>';
      const sent = contact({ message: text, phone: '12345', subject: 'A\u0085B', name: 'N\u009b' });
      const { id } = ok(await send('contact', sent), 201);
      const mail = (await mailsTo(s, OFFICE)).find((one) => one.body_text.includes(id));
      assert.deepEqual([mail.template, mail.subject, mail.body_html], ['contact_admin', 'Contact request: A??B', null]);
      assert.equal(
        mail.body_text,
        `Contact request ${id}\n\nname: N??\nemail: ${sent.email}\nphone: 12345\nsubject: A??B\n` +
          'message:\n    line\n    email: evil@example.com\n    \n    .\n    <b>x</b>\n',
      );
      const wish = demo({ companySize: '1000+', preferredDate: day(3), useCase: '' });
      const made = ok(await send('demo', wish), 201);
      const other = (await mailsTo(s, OFFICE)).find((one) => one.body_text.includes(made.id));
      assert.deepEqual([other.template, other.subject], ['demo_admin', 'Demo request: Engines Ltd']);
      assert.match(other.body_text, new RegExp(`\ncompany: Engines Ltd\ncompanySize: 1000\\+\npreferredDate: ${day(3)}\n$`));
      assert.deepEqual(await mailsTo(s, 'boss@mail.example'), []);
    });

    it('the sender has a mail that holds nothing that was typed in', async () => {
      for (const [form, extra] of [['contact', { subject: 'SPAMMY', message: 'SPAMMY SPAMMY' }], ['demo', { company: 'SPAMMY', useCase: 'SPAMMY' }]]) {
        const sent = FORMS[form].body({ name: 'SPAMMY', source: 'SPAMMY', ...extra });
        const { id } = ok(await send(form, sent), 201);
        const mails = await mailsTo(s, sent.email);
        assert.equal(mails.length, 1);
        assert.equal(mails[0].template, `${form}_confirm`);
        assert.ok(mails[0].body_text.includes(id));
        assert.doesNotMatch(JSON.stringify(mails), /SPAMMY|https?:/);
      }
    });

    it('nobody is drowned in such mails: a mailbox gets ten a day, and whoever sends is not told', async () => {
      const today = day(0);
      const email = uniqueEmail('ada');
      const tagged = email.replace('@', '+tag@');
      const post = (n, who = s.anon) => {
        const form = n % 3 ? 'contact' : 'demo';
        return who.post(`/forms/${form}`, FORMS[form].body({ email: n % 2 ? email : tagged }));
      };
      const confirms = async () =>
        (await s.sql("SELECT 1 FROM email_outbox WHERE to_address = ANY ($1) AND template LIKE '%confirm'", [[email, tagged]])).length;
      const answers = [];
      for (let n = 0; n < 6; n += 1) answers.push(await post(n));
      assert.equal(await confirms(), 6);
      const session = await s.session();
      await session.query('BEGIN');
      await session.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [user.user.id]);
      const atOnce = parallel(4, (n) => post(n, user));
      await until(async () => (await s.waiting()) >= 4, 10000, 'all four are on their way');
      await session.query('COMMIT');
      answers.push(...(await atOnce));
      if (day(0) === today) assert.equal(await confirms(), 10, 'each of four at once has its own');
      answers.push(await post(0), await post(1));
      if (day(0) === today) assert.equal(await confirms(), 10);
      const made = answers.map((res) => ok(res, 201).id);
      assert.deepEqual([...new Set(answers.map((res) => res.text.length))].length, 1);
      const kept = await s.sql('SELECT id FROM contact_submissions WHERE id = ANY ($1) UNION SELECT id FROM demo_requests WHERE id = ANY ($1)', [made]);
      assert.equal(kept.length, 12, 'all of it is stored');
      const told = await mailsTo(s, OFFICE);
      assert.equal(told.filter((mail) => made.some((id) => mail.body_text.includes(id))).length, 12, 'the office hears of all');
      const other = FORMS.contact.body();
      ok(await send('contact', other), 201);
      assert.equal((await mailsTo(s, other.email)).length, 1, 'others have mailboxes of their own');
      /* another day: the ids of today are not there */
      await s.sql('UPDATE email_outbox SET id = gen_random_uuid() WHERE to_address = ANY ($1)', [[email, tagged]]);
      ok(await post(1), 201);
      if (day(0) === today) assert.equal(await confirms(), 11);
    });

    it('what fills in the trap is answered the same, and nothing is there', async () => {
      const before = await world(s);
      for (const form of ['contact', 'demo'])
        for (const post of [send, sendForm]) {
          const key = crypto.randomUUID();
          const good = FORMS[form].body({ website: '  ' });
          const bad = { ...good, website: 'http://x.example' };
          const caught = await post(form, bad, keyed(key));
          const { id } = ok(caught, 201);
          assert.match(id, UUIDV7);
          assert.equal(caught.headers.location, `/api/v1/forms/${form}/${id}`);
          const again = await post(form, bad, keyed(key));
          assert.equal(again.text, caught.text);
          assert.equal(again.headers['idempotent-replayed'], 'true');
          fails(await post(form, good, keyed(key)), 422, 'IDEMPOTENCY_MISMATCH');
          assert.deepEqual(await world(s), before, 'nothing');
          fails(await manager.get(`/forms/${form}/${id}`), 404, 'SUBMISSION_NOT_FOUND');
          const taken = await post(form, good, keyed(crypto.randomUUID()));
          const shape = (res) => [Object.keys(res.headers), Object.keys(res.json), Object.keys(res.json.data), res.json.message, res.json.data.status];
          assert.deepEqual(shape(caught), shape({ ...taken, json: { ...taken.json, data: ok(taken, 201) } }));
          assert.equal(caught.text.length, taken.text.length);
          invalid(await post(form, { ...bad, email: 'x' }), ['email', 'INVALID_FORMAT']);
          Object.assign(before, await world(s));
        }
    });

    it('thirty at once with one key are one', async () => {
      const body = contact();
      const key = crypto.randomUUID();
      const all = await parallel(30, () => send('contact', body, keyed(key)));
      const counts = tally(all.map((res) => `${res.status} ${res.json.error?.code ?? ''}`));
      assert.deepEqual(Object.keys(counts).filter((one) => !/^201 |^409 IDEMPOTENCY_IN_PROGRESS/.test(one)), []);
      assert.equal(new Set(all.filter((res) => res.status === 201).map((res) => res.json.data.id)).size, 1);
      assert.equal((await s.sql('SELECT 1 FROM contact_submissions WHERE email = $1', [body.email])).length, 1);
      assert.equal((await mailsTo(s, body.email)).length, 1);
      const replay = await user.post('/forms/contact', body, keyed(key));
      assert.equal(replay.headers['idempotent-replayed'], undefined, 'a user has keys of his own');
    });

    it('whatever part fails, nothing is stored', async () => {
      const before = await world(s);
      s.expectLog(/violates check constraint "no_more"/);
      for (const table of ['notifications', 'email_outbox', 'jobs', 'contact_submissions']) {
        await s.sql(`ALTER TABLE ${table} ADD CONSTRAINT no_more CHECK (false) NOT VALID`);
        fails(await send('contact', contact()), 500, 'INTERNAL_ERROR');
        await s.sql(`ALTER TABLE ${table} DROP CONSTRAINT no_more`);
        assert.deepEqual(await world(s), before, table);
      }
      ok(await send('contact', contact()), 201);
    });

    it('a manager who is going meanwhile holds nobody up', async () => {
      const going = await newRole(s, 'manager');
      const session = await s.session();
      await session.query('BEGIN');
      await session.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [going.user.id]);
      const { id } = ok(await send('contact', contact()), 201);
      await session.query('DELETE FROM users WHERE id = $1', [going.user.id]);
      await session.query('COMMIT');
      assert.equal((await s.sql("SELECT 1 FROM notifications WHERE data->>'submissionId' = $1", [id])).length, 2);
    });

    it('an export holds what the account has sent, without what others noted', async () => {
      const one = await s.user();
      const sent = [ok(await one.post('/forms/contact', contact()), 201), ok(await one.post('/forms/demo', demo({ preferredDate: day(1) })), 201)];
      ok(await user.post('/forms/contact', contact()), 201);
      ok(await manager.put(`/forms/contact/${sent[0].id}`, { status: 'resolved', adminNote: 'SECRET' }));
      const { json } = await exported(one, { format: 'json' });
      assert.deepEqual([json.forms.contact.map((x) => x.id), json.forms.demo.map((x) => x.id)], [[sent[0].id], [sent[1].id]]);
      assert.equal(json.forms.contact[0].status, 'resolved');
      assert.equal(json.forms.demo[0].preferredDate, day(1));
      assert.doesNotMatch(JSON.stringify(json.forms), /SECRET|adminNote|handledBy/);
    });
  });
});

serverSuite('Forms of one address', { limits: { forms: '3/3600' } }, (s) => {
  it('are limited, whoever sends them and however', async () => {
    const user = await s.user();
    const one = ok(await s.anon.post('/contact', contact()), 201);
    assert.ok(one.id);
    ok(await user.post('/forms/demo', demo()), 201);
    invalid(await s.anon.api('POST', '/demo-requests', { body: 'x=1', type: URLENCODED }), ['x', 'UNKNOWN_FIELD'],
      ['name', 'MISSING_FIELD'], ['email', 'MISSING_FIELD'], ['company', 'MISSING_FIELD']);
    const res = await user.post('/forms/contact', contact());
    fails(res, 429, 'RATE_LIMIT_EXCEEDED');
    assert.equal(res.headers['ratelimit-limit'], '3');
    fails(await s.anon.post('/forms/demo-requests', { website: 'x' }), 429, 'RATE_LIMIT_EXCEEDED');
  });
});

serverSuite('Forms without an office', {}, (s) => {
  it('make one mail', async () => {
    ok(await s.anon.post('/contact', contact()), 201);
    assert.deepEqual((await s.sql('SELECT template FROM email_outbox')).map((x) => x.template), ['contact_confirm']);
  });
});

serverSuite('Forms switched off', { directives: ['ChronicleFeature forms Off'] }, (s) => {
  it('are not there', async () => {
    for (const path of ['/contact', '/demo-requests', '/forms/demo-requests', '/forms/contact', '/forms/demo'])
      fails(await s.anon.post(path, contact()), 404, 'ROUTE_NOT_FOUND');
    assert.deepEqual(Object.keys(s.contract.doc.paths).filter((path) => path.includes('/forms')), []);
  });
});

const mail = new MailServer();
before(() => mail.start());
after(() => mail.stop());

const sending = [() => `ChronicleSmtp smtp://127.0.0.1:${mail.port}`, 'ChronicleMailFrom notes@mail.example', 'ChronicleAdminEmail boss@mail.example'];
serverSuite('Forms on their way', { directives: sending }, (s) => {
  it('what is typed in makes no header, and no end of the mail', async () => {
    const evil = '\u0085Bcc: evil@example.com\u2028Cc: evil@example.com =?utf-8?q?x?= <a@b.c>';
    const sent = contact({ subject: `S${evil}`, name: `N${evil}`, message: `m\r\n.\r\nMAIL FROM:<evil@example.com>\r\nBcc: x${evil}` });
    ok(await s.anon.post('/contact', sent), 201);
    const confirm = await mail.arrived(sent.email);
    const told = await mail.arrived('boss@mail.example');
    for (const got of [confirm, told]) {
      assert.deepEqual([got.header('Bcc'), got.header('Cc'), got.recipients.length, got.defects], [undefined, undefined, 1, []]);
      assert.equal(got.html, null);
    }
    assert.equal(told.header('Subject'), `Contact request: S${evil.replace('\u0085', '??')}`);
    assert.match(told.text, /\r\n {4}\.\r\n {4}MAIL FROM:<evil@example\.com>\r\n {4}Bcc: x/);
    assert.equal(mail.mails.length, 2);
  });
});
