/* Basic with our accounts: AuthBasicProvider chronicle. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { newUser, PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { measured, ok, parallel, tally } from './lib/expect.mjs';
import { basic, basicPlace, change, htpasswd, inside, look, MODULES, startApp, write } from './lib/places.mjs';

const app = await startApp();
after(() => app.close());

const BASIC = [
  ...basicPlace('/basic', 'AuthBasicProvider chronicle', 'Require valid-user'),
  ...basicPlace('/admins', 'AuthBasicProvider chronicle', 'Require chronicle-role admin'),
  ...basicPlace('/named', 'AuthBasicProvider chronicle', 'Require user named@ways.example'),
  ...basicPlace(
    '/mixed',
    'AuthBasicProvider chronicle file',
    (s) => `AuthUserFile "${s.dir}/htpasswd"`,
    'Require valid-user',
  ),
  ...basicPlace(
    '/app',
    'AuthBasicProvider chronicle',
    'Require valid-user',
    `ProxyPass "http://127.0.0.1:${app.port}/"`,
    'RequestHeader set X-User "%{CHRONICLE_EMAIL}e" env=CHRONICLE_EMAIL',
    'RequestHeader set X-Role "%{CHRONICLE_ROLE}e" env=CHRONICLE_ROLE',
  ),
];

class BasicSite extends Server {
  writeConf() {
    super.writeConf();
    for (const name of ['basic', 'admins', 'named', 'mixed']) write(this, `${name}/file.txt`, `inside ${name}\n`);
    fs.writeFileSync(path.join(this.dir, 'htpasswd'), htpasswd('local', 'secret'));
    this.expectLog(/auth_basic:/, /CH1042/, /AH01631/);
  }
}

function basicSuite(title, options, define) {
  describe(title, () => {
    const s = new BasicSite({ modules: MODULES, directives: BASIC, children: 1, ...options });
    before(() => s.start());
    after(() => s.stop());
    define(s, {
      enter: (name, ...who) => look(s.anon, `/${name}/file.txt`, basic(...who)),
      out: (res) => {
        assert.equal(res.status, 401, res.text);
        assert.equal(res.headers['www-authenticate'], 'Basic realm="staff"');
      },
    });
  });
}

basicSuite('AuthBasicProvider chronicle', {}, (s, { enter, out }) => {
  let alice;
  before(async () => {
    alice = await s.user();
  });

  it('takes the address, however it is written, and the password of an account', async () => {
    inside(await enter('basic', alice.email), 'basic');
    inside(await enter('basic', alice.email.toUpperCase()), 'basic');
    out(await look(s.anon, '/basic/file.txt'));
    out(await look(alice, '/basic/file.txt'));
  });

  it('refuses everything else', async () => {
    out(await enter('basic', alice.email, `${PASSWORD} `));
    out(await enter('basic', alice.email, ''));
    out(await enter('basic', alice.email, 'x'.repeat(100)));
    out(await enter('basic', uniqueEmail()));
    out(await enter('basic', 'nobody'));
    out(await enter('basic', ''));
    const bob = await s.user();
    inside(await enter('basic', bob.email), 'basic');
    await s.sql('UPDATE users SET is_active = false WHERE id = $1', [bob.user.id]);
    out(await enter('basic', bob.email));
  });

  it('a password of 72 bytes is not cut by more', async () => {
    const long = 'p'.repeat(72);
    const bob = await s.user({ password: long });
    inside(await enter('basic', bob.email, long), 'basic');
    out(await enter('basic', bob.email, `${long}x`));
  });

  it('the second time there is no bcrypt, and a changed password is found out at once', async () => {
    const bob = await s.user();
    const timed = async (password) => {
      const started = process.hrtime.bigint();
      const res = await enter('basic', bob.email, password);
      return [res.status, Number(process.hrtime.bigint() - started) / 1e6];
    };
    const [status, slow] = await timed(PASSWORD);
    assert.equal(status, 200);
    const rest = [];
    for (let n = 0; n < 9; n += 1) rest.push(await timed(PASSWORD));
    assert.deepEqual(tally(rest.map(([code]) => code)), { 200: 9 });
    const median = rest.map(([, ms]) => ms).sort((a, b) => a - b)[4];
    assert.ok(slow > 20 && median < slow / 3, `first ${slow} ms, then ${median} ms`);
    ok(await bob.post('/auth/change-password', { currentPassword: PASSWORD, newPassword: `${PASSWORD}!` }));
    out(await enter('basic', bob.email));
    inside(await enter('basic', bob.email, `${PASSWORD}!`), 'basic');
  });

  it('an account or a wrong password cannot be told by time', async () => {
    const took = async (email) => {
      const all = [];
      for (let n = 0; n < 5; n += 1) {
        const started = process.hrtime.bigint();
        out(await enter('basic', email, 'wrong password'));
        all.push(Number(process.hrtime.bigint() - started) / 1e6);
      }
      return all.sort((a, b) => a - b)[2];
    };
    await measured(async () => {
      const known = await took(alice.email);
      const unknown = await took(uniqueEmail());
      assert.ok(unknown > known / 2 && unknown < known * 2, `known ${known} ms, unknown ${unknown} ms`);
    });
  });

  it('roles, names, other providers, and what an application is told', async () => {
    const named = await newUser(s, { email: 'named@ways.example' });
    inside(await enter('named', 'NAMED@ways.example'), 'named');
    out(await enter('named', alice.email));
    out(await enter('admins', named.email));
    await change(s, named, { role: 'admin' });
    inside(await enter('admins', named.email), 'admins');
    inside(await enter('mixed', 'local', 'secret'), 'mixed');
    inside(await enter('mixed', alice.email), 'mixed');
    out(await enter('mixed', 'local', PASSWORD));
    const { headers } = (await look(s.anon, '/app/', basic('Named@ways.example'))).json;
    assert.equal(`${headers['x-user']} ${headers['x-role']}`, 'named@ways.example admin');
  });

  it('failures are in the audit log', async () => {
    const email = uniqueEmail();
    out(await enter('basic', email, 'wrong'));
    const rows = await s.sql(
      "SELECT ip_address FROM audit_logs WHERE action = 'auth.login_failed' AND details->>'email' = $1",
      [email],
    );
    assert.equal(rows.length, 1);
  });
});

basicSuite('Basic, brute force', { limits: { auth: '7/900' } }, (s, { enter, out }) => {
  it('failures of one address are limited together with its logins; who is known stays in', async () => {
    const [alice, bob] = await s.users(2); /* two of seven */
    const many = [];
    while (many.length < 12) many.push(...(await parallel(4, () => enter('basic', bob.email))));
    assert.deepEqual(tally(many.map((res) => res.status)), { 200: 12 }, 'what succeeds does not count');
    const guesses = [];
    for (let n = 0; n < 5; n += 1) {
      const started = Date.now();
      const res = await enter('basic', alice.email, `guess ${n}`);
      guesses.push(Date.now() - started);
      out(res);
      assert.equal(res.headers['retry-after'], undefined);
    }
    guesses.sort((a, b) => a - b);
    await measured(async () => {
      const started = Date.now();
      const over = await enter('basic', alice.email);
      const took = Date.now() - started;
      out(over);
      assert.ok(Number(over.headers['retry-after']) > 0);
      assert.ok(took < guesses[2] / 2, `and no hash is computed: ${took} ms, ${guesses} with one`);
    });
    assert.equal((await s.anon.post('/auth/login', { email: alice.email, password: PASSWORD })).status, 429);
    inside(await enter('basic', bob.email), 'basic');
    assert.match(s.log(), /CH1042: \[[^\]]+\] too many failed logins from 127\.0\.0\.1/);
  });

  it('guesses all at once find out no more than the limit allows', async () => {
    const rows = await s.sql("SELECT count(*)::int AS n FROM audit_logs WHERE action = 'auth.login_failed'");
    assert.equal(rows[0].n, 5);
  });
});

basicSuite('Basic, guesses at once', { limits: { auth: '4/900' }, threads: 64 }, (s, { enter }) => {
  it('the right one among many is not found once the limit is used up', async () => {
    const alice = await s.user();
    s.expectLog(/CH1040: .*too many password hashes at once/); /* on a slow machine */
    const guesses = await parallel(14, (n) => enter('basic', alice.email, n === 13 ? PASSWORD : `guess ${n}`));
    const busy = guesses.filter((res) => res.status === 500).length;
    const told = guesses.filter((res) => res.headers['retry-after'] === undefined).length - busy;
    assert.ok(told <= 8, `${told} guesses were answered`);
    assert.ok(told + busy >= 3);
  });
});
