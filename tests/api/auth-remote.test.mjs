/* Other modules' logins for our API: ChronicleTrustRemoteUser, with mod_auth_basic and with mod_auth_openidc. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { freePort, Server } from './lib/server.mjs';
import { cookieLogin, login, newUser, PASSWORD, uniqueEmail, verifyEmail } from './lib/accounts.mjs';
import { moduleState } from './lib/env.mjs';
import { fails, ids, ok, parallel, tally } from './lib/expect.mjs';
import { basic, basicPlace, change, htpasswd, inside, look, MODULES, statements, write } from './lib/places.mjs';

const SECRET = 'the other secret';
const file = (s) => `AuthUserFile "${s.dir}/htpasswd"`;
const ways = (...lines) => basicPlace('/api', 'AuthBasicProvider file', file, 'Require valid-user', ...lines);

const VHOSTS = [
  { name: 'main', lines: [] },
  {
    name: 'sso',
    lines: [
      'ChronicleTrustRemoteUser On',
      'ChronicleAdminEmail boss@ways.example',
      ...ways(),
      ...basicPlace('/staff', 'AuthBasicProvider file', file, 'Require chronicle-role manager'),
      ...basicPlace(
        '/half',
        'AuthBasicProvider file',
        file,
        '<RequireAny>',
        'Require ip 127.0.0.1',
        'Require valid-user',
        '</RequireAny>',
      ),
    ],
  },
  { name: 'off', lines: [...ways(), ...basicPlace('/staff', 'AuthBasicProvider file', file, 'Require chronicle-role user')] },
  { name: 'open', lines: ['ChronicleTrustRemoteUser On'] },
  {
    name: 'any',
    lines: [
      'ChronicleTrustRemoteUser On',
      ...basicPlace('/api', 'AuthBasicProvider file', file, '<RequireAny>', 'Require all granted', 'Require valid-user', '</RequireAny>'),
    ],
  },
];

class Sso extends Server {
  writeConf() {
    super.writeConf();
    fs.writeFileSync(path.join(this.dir, 'htpasswd'), '');
    write(this, 'staff/file.txt', 'inside staff\n');
    this.expectLog(/auth_basic:/, /AH01631/);
  }

  /** A user of the other module: a client of the virtual host `host`. */
  member(name = uniqueEmail('sso'), host = 'sso', { headers: more, ...options } = {}) {
    fs.appendFileSync(path.join(this.dir, 'htpasswd'), htpasswd(name, SECRET));
    const headers = { host, ...basic(name, SECRET).headers, ...more };
    return Object.assign(this.client({ headers, ...options }), { email: name });
  }
}

function ssoSuite(title, options, define) {
  describe(title, () => {
    const s = new Sso({ modules: MODULES, vhosts: VHOSTS, ...options });
    before(() => s.start());
    after(() => s.stop());
    define(s);
  });
}

const me = async (client) => ok(await client.get('/auth/me'));
const audit = (s, id) =>
  s.sql('SELECT action, details FROM audit_logs WHERE target_id = $1 ORDER BY created_at, id', [id]);

ssoSuite('ChronicleTrustRemoteUser', { limits: { api: '10000/900' } }, (s) => {
  it('makes an account on first sight, with all that belongs to one', async () => {
    const carol = s.member('Carol.Sso@Ways.example');
    const user = await me(carol);
    assert.equal(user.email, 'carol.sso@ways.example');
    assert.equal(user.role, 'user');
    assert.equal(user.emailVerified, true);
    assert.equal(user.version, 1);
    const { items } = ok(await carol.get('/folders'));
    assert.deepEqual(
      items.map((folder) => folder.name),
      ['Notes'],
    );
    ok(await carol.get('/user/settings'));
    ok(await carol.post('/notes', { title: 'mine', folderId: items[0].id }), 201);
    assert.deepEqual(
      (await audit(s, user.id)).map((row) => [row.action, row.details]),
      [['auth.register', { via: 'remote-user' }]],
    );
  });

  it('no password logs in to it', async () => {
    const { email } = await me(s.member());
    for (const password of ['!', PASSWORD, '']) {
      const res = await s.anon.post('/auth/login', { email, password });
      assert.ok([400, 401].includes(res.status), res.text);
    }
  });

  it('twenty first requests at once make one account', async () => {
    const member = s.member();
    const all = await parallel(20, () => member.get('/auth/me', { fresh: true }));
    assert.deepEqual(tally(all.map((res) => res.status)), { 200: 20 }, all.find((res) => res.status !== 200)?.text);
    assert.equal(new Set(all.map((res) => res.json.data.id)).size, 1);
    const rows = await s.sql('SELECT id FROM users WHERE email = $1', [member.email]);
    assert.equal(rows.length, 1);
    assert.equal((await audit(s, rows[0].id)).length, 1);
    assert.equal(ok(await member.get('/folders')).items.length, 1);
  });

  it('is the account of that address, which keeps its password and sessions when it was verified', async () => {
    const alice = await s.user();
    await verifyEmail(s, alice);
    assert.equal((await me(s.member(alice.email.toUpperCase()))).id, alice.user.id);
    ok(await alice.get('/auth/me'));
    await login(s, alice);
  });

  it('who registered the address of another without verifying it is put out', async () => {
    const thief = await s.user();
    const web = await cookieLogin(s, thief);
    ok(await thief.get('/auth/me'));
    const owner = s.member(thief.email);
    const users = await parallel(8, () => me(owner));
    assert.deepEqual(new Set(ids(users)), new Set([thief.user.id]));
    assert.equal(users[0].emailVerified, true);
    fails(await thief.get('/auth/me'), 401, 'INVALID_TOKEN');
    fails(await web.get('/auth/me'), 401, 'AUTHENTICATION_REQUIRED');
    fails(await s.anon.post('/auth/refresh', { refreshToken: thief.refreshToken }), 401, 'INVALID_TOKEN');
    fails(await s.anon.post('/auth/login', { email: thief.email, password: PASSWORD }), 401, 'INVALID_CREDENTIALS');
    const claimed = (await audit(s, thief.user.id)).filter((row) => row.action === 'auth.email_verified');
    assert.deepEqual(claimed.length, 1);
  });

  it('ChronicleAdminEmail holds', async () => {
    assert.equal((await me(s.member('boss@ways.example'))).role, 'admin');
  });

  it('a user that is no e-mail address is refused, and the administrator told, not without end', async () => {
    const member = s.member('EXAMPLE\\bob');
    s.expectLog(/CH1043/);
    for (let n = 0; n < 40; n += 1) fails(await member.get('/auth/me'), 401, 'AUTHENTICATION_REQUIRED');
    ok(await member.at('GET', '/api/v1'));
    const lines = s.log().match(/CH1043: .*EXAMPLE.*must give an e-mail address/g);
    assert.ok(lines.length >= 1 && lines.length <= 20, `${lines.length} lines`);
  });

  it('an account that is not active is refused, and so at once when it becomes so', async () => {
    const member = s.member();
    const user = await me(member);
    await change(s, { user }, { is_active: false });
    /* this server forgets what it knows of them, if it still knew anything */
    const left = await member.post('/auth/logout', { allDevices: true });
    assert.ok([200, 401].includes(left.status), left.text);
    for (let n = 0; n < 6; n += 1) fails(await member.get('/auth/me'), 401, 'INVALID_TOKEN');
    await change(s, { user }, { is_active: true });
    ok(await member.get('/auth/me'));
  });

  it('a role that changes acts at once, here and in other places', async () => {
    const member = s.member();
    const user = await me(member);
    const enter = () => look(s.anon, '/staff/file.txt', { headers: member.headers });
    assert.equal((await enter()).status, 401);
    await change(s, { user }, { role: 'manager' });
    ok(await member.post('/auth/logout', { allDevices: true }));
    inside(await enter(), 'staff');
    await change(s, { user }, { role: 'user' });
    ok(await member.post('/auth/logout', { allDevices: true }));
    assert.equal((await enter()).status, 401);
  });

  it('is known without a statement the next time', async () => {
    const member = s.member();
    await parallel(20, () => member.get('/auth/csrf', { fresh: true }));
    const first = await statements(s);
    for (let n = 0; n < 50; n += 1) ok(await member.get('/auth/csrf'));
    assert.ok((await statements(s)) - first < 10);
  });

  it('counts by user in the class of callers', async () => {
    const [first, second] = [s.member(), s.member()];
    for (let n = 0; n < 5; n += 1) await me(first);
    assert.equal((await first.get('/auth/me')).headers['ratelimit-remaining'], '9994');
    assert.equal((await second.get('/auth/me')).headers['ratelimit-remaining'], '9999');
  });

  it('a session of ours goes first', async () => {
    const alice = await s.user();
    const web = await cookieLogin(s, alice);
    const mixed = s.member(uniqueEmail('sso'), 'sso', { cookies: web.cookies });
    assert.equal((await me(mixed)).id, alice.user.id);
    mixed.cookies = { chronicle_session: 'x'.repeat(43) };
    assert.notEqual((await me(mixed)).id, alice.user.id);
    assert.deepEqual(mixed.cookies, {}, 'a cookie that is over is taken back');
  });

  it('writes from pages of elsewhere are refused: Origin protects what a browser sends by itself', async () => {
    const member = s.member();
    await me(member);
    const post = (headers) => member.post('/folders', { name: crypto.randomUUID() }, { headers });
    ok(await post({}), 201);
    ok(await post({ origin: 'http://sso' }), 201);
    fails(await post({ origin: 'https://evil.example' }), 403, 'SECURITY_VIOLATION');
    fails(await post({ origin: 'null' }), 403, 'SECURITY_VIOLATION');
    s.expectLog(/origin/i);
  });
});

ssoSuite('A caller without a session of ours', {}, (s) => {
  let member;
  let alice;
  before(async () => {
    alice = await s.user();
    await verifyEmail(s, alice);
    alice = await login(s, alice);
    member = s.member(alice.email);
    assert.equal((await me(member)).id, alice.user.id);
  });

  it('none of the listed sessions is the current one', async () => {
    const { items } = ok(await member.get('/user/sessions'));
    assert.equal(items.length, 2);
    assert.deepEqual(
      items.map((item) => item.current),
      [false, false],
    );
    const { items: page, pagination } = ok(await member.get('/user/sessions?limit=1'));
    assert.equal(page[0].current, false);
    const next = ok(await member.get(`/user/sessions?limit=1&cursor=${encodeURIComponent(pagination.nextCursor)}`));
    assert.equal(next.items[0].current, false);
  });

  it('has no CSRF token, and needs none', async () => {
    assert.deepEqual(ok(await member.get('/auth/csrf')), { csrfToken: null });
    ok(await member.post('/notes', { title: 'x' }), 201);
  });

  it('logs out nobody but the sessions it names', async () => {
    const second = await login(s, alice);
    assert.deepEqual(ok(await member.post('/auth/logout', {})), { revokedSessions: 0 });
    ok(await second.get('/auth/me'));
    assert.deepEqual(ok(await member.post('/auth/logout', { refreshToken: second.refreshToken })), {
      revokedSessions: 1,
    });
    fails(await second.get('/auth/me'), 401, 'INVALID_TOKEN');
    ok(await alice.get('/auth/me'));
    ok(await member.get('/auth/me'));
  });

  it('ends one session by its id', async () => {
    const second = await login(s, alice);
    const { items } = ok(await second.get('/user/sessions'));
    ok(await member.del(`/user/sessions/${items.find((item) => item.current).id}`));
    fails(await second.get('/auth/me'), 401, 'INVALID_TOKEN');
  });

  it('a change of the password ends every session', async () => {
    const second = await login(s, alice);
    const { revokedSessions } = ok(
      await member.post('/auth/change-password', { currentPassword: PASSWORD, newPassword: `${PASSWORD}!` }),
    );
    assert.ok(revokedSessions >= 2, `${revokedSessions}`);
    for (const client of [alice, second]) fails(await client.get('/auth/me'), 401, 'INVALID_TOKEN');
    ok(await member.get('/auth/me'));
    const only = s.member();
    await me(only);
    const res = await only.post('/auth/change-password', { currentPassword: '!', newPassword: PASSWORD });
    fails(res, 401, 'INVALID_CREDENTIALS');
  });

  it('ends all sessions at once', async () => {
    const second = await login(s, { ...alice, email: alice.email, password: `${PASSWORD}!` });
    assert.deepEqual(ok(await member.post('/auth/logout', { allDevices: true })), { revokedSessions: 1 });
    fails(await second.get('/auth/me'), 401, 'INVALID_TOKEN');
  });

  it('an Idempotency-Key is theirs', async () => {
    const options = { headers: { 'idempotency-key': 'k-1' } };
    const first = ok(await member.post('/notes', { title: 'once' }, options), 201);
    const again = await member.post('/notes', { title: 'once' }, options);
    assert.equal(again.headers['idempotent-replayed'], 'true');
    assert.equal(ok(again, 201).id, first.id);
  });
});

ssoSuite('Nobody says who calls', {}, (s) => {
  it('Off, the default, ignores REMOTE_USER', async () => {
    const member = s.member(uniqueEmail('sso'), 'off');
    fails(await member.get('/auth/me'), 401, 'AUTHENTICATION_REQUIRED');
    assert.equal((await look(s.anon, '/staff/file.txt', { headers: member.headers })).status, 401);
    assert.deepEqual(await s.sql('SELECT id FROM users WHERE email = $1', [member.email]), []);
  });

  it('headers that a client writes are worth nothing', async () => {
    const alice = await s.user();
    await verifyEmail(s, alice);
    const headers = Object.fromEntries(
      ['Remote-User', 'REMOTE_USER', 'X-Remote-User', 'X-Forwarded-User', 'X-Forwarded-Email', 'OIDC_CLAIM_email', 'From']
        .map((name) => [name, alice.email]),
    );
    for (const host of ['open', 'any', 'off']) {
      const client = s.client({ headers: { ...headers, ...basic(alice.email).headers, host } });
      const res = await client.get('/auth/me', { check: false });
      assert.equal(res.status, 401, `${host}: ${res.text}`);
    }
    const member = s.member();
    Object.assign(member.headers, headers);
    assert.equal((await me(member)).email, member.email);
  });

  it('who is let in without being asked is nobody', async () => {
    const member = s.member(uniqueEmail('sso'), 'any');
    fails(await member.get('/auth/me'), 401, 'AUTHENTICATION_REQUIRED');
  });
});

/* --- certificates ---------------------------------------------------------------------------------------------- */

/** A key and a self-signed certificate of this subject; the path without .key and .crt. */
function certificate(s, name, subject) {
  const base = path.join(s.dir, name);
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', subject];
  execFileSync('openssl', [...request, '-keyout', `${base}.key`, '-out', `${base}.crt`], { stdio: 'ignore' });
  return base;
}

describe('Client certificates', () => {
  let known;
  const s = new Sso({
    modules: [...MODULES, 'ssl'],
    tlsPort: true,
    directives: [(server) => `Listen 127.0.0.1:${server.tlsPort}`],
    vhosts: [
      {
        name: '127.0.0.1',
        port: (server) => server.tlsPort,
        lines: [
          (server) => {
            const own = certificate(server, 'own', '/CN=127.0.0.1');
            known = certificate(server, 'known', '/CN=Known/emailAddress=Cert.User@ways.example');
            return [
              'SSLEngine on',
              `SSLCertificateFile "${own}.crt"`,
              `SSLCertificateKeyFile "${own}.key"`,
              `SSLCACertificateFile "${known}.crt"`,
              'SSLVerifyClient optional',
              'SSLUserName SSL_CLIENT_S_DN_Email',
              'ChronicleTrustRemoteUser On',
            ].join('\n');
          },
        ],
      },
    ],
  });
  before(() => {
    s.expectLog(/AH01906|AH01873|AH02276|AH02039|AH02227/);
    return s.start();
  });
  after(() => s.stop());

  const ask = (base) =>
    new Promise((resolve, reject) => {
      const keys = base ? { key: fs.readFileSync(`${base}.key`), cert: fs.readFileSync(`${base}.crt`) } : {};
      const url = `https://127.0.0.1:${s.tlsPort}/api/v1/auth/me`;
      const req = https.get(url, { ...keys, agent: false, rejectUnauthorized: false }, (res) => {
        let text = '';
        res.on('data', (part) => {
          text += part;
        });
        res.on('end', () => resolve({ status: res.statusCode, text }));
      });
      req.on('error', reject);
    });

  it('the address in a certificate is an account, without a certificate nobody is', async () => {
    const res = await ask(known);
    assert.equal(res.status, 200, res.text);
    assert.equal(JSON.parse(res.text).data.email, 'cert.user@ways.example');
    assert.equal((await ask()).status, 401);
  });

  it('a certificate of somebody else’s making opens nothing', async () => {
    const own = certificate(s, 'forged', '/CN=Known/emailAddress=Cert.User@ways.example');
    await assert.rejects(ask(own));
  });
});

/* --- OpenID Connect -------------------------------------------------------------------------------------------- */

const withOidc = moduleState('mod_auth_openidc') === 'shared';
const why = withOidc ? false : 'mod_auth_openidc is not installed (Debian: libapache2-mod-auth-openidc)';

const get = (url, headers) =>
  new Promise((resolve, reject) => {
    const req = http.get(url, { headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (part) => {
        text += part;
      });
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text }));
    });
    req.on('error', reject);
  });

/** A browser as far as redirects and cookies go: follows until something is no redirect. */
class Browser {
  constructor() {
    this.jars = new Map();
  }

  async open(target, headers = {}) {
    let url = new URL(target);
    for (let n = 0; n < 10; n += 1) {
      const jar = this.jars.get(url.host) ?? new Map();
      this.jars.set(url.host, jar);
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const res = await get(url, { accept: 'text/html', ...headers, ...(cookie && { cookie }) });
      for (const line of res.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === '') jar.delete(name);
        else jar.set(name, value);
      }
      if (res.status < 300 || res.status > 399) return { ...res, url };
      url = new URL(res.headers.location, url);
    }
    throw new Error('ten redirects');
  }
}

describe('mod_auth_openidc', { skip: why }, () => {
  let idp;
  let s;
  const email = uniqueEmail('Oidc');
  before(async () => {
    const { OAuth2Server } = await import('oauth2-mock-server');
    idp = new OAuth2Server();
    await idp.issuer.keys.generate('RS256');
    await idp.start(await freePort(), '127.0.0.1');
    idp.issuer.url = `http://127.0.0.1:${idp.address().port}`;
    idp.service.on('beforeTokenSigning', (token) => {
      token.payload.email = email;
      token.payload.email_verified = true;
    });
    s = new Sso({
      modules: [...MODULES, 'auth_openidc'],
      directives: [
        'ChronicleTrustRemoteUser On',
        `OIDCProviderMetadataURL ${idp.issuer.url}/.well-known/openid-configuration`,
        'OIDCClientID chronicle',
        'OIDCClientSecret "not checked here"',
        (server) => `OIDCRedirectURI ${server.origin}/login/callback`,
        `OIDCCryptoPassphrase ${crypto.randomUUID()}`,
        'OIDCScope "openid email"',
        'OIDCRemoteUserClaim email',
        '<Location "/login">',
        'AuthType openid-connect',
        'Require valid-user',
        '</Location>',
        '<Location "/api">',
        'AuthType openid-connect',
        'OIDCUnAuthAction pass',
        'Require valid-user',
        '</Location>',
        '<Location "/staff">',
        'AuthType openid-connect',
        'Require chronicle-role user',
        '</Location>',
      ],
    });
    s.expectLog(/auth_openidc:warn .*SHOULD be "https"/);
    await s.start();
    write(s, 'login/index.html', 'welcome\n');
  });
  after(async () => {
    await s?.stop().finally(() => idp.stop());
  });

  it('a login there is a login here', async () => {
    const browser = new Browser();
    const before = await browser.open(`${s.origin}/api/v1/auth/me`);
    assert.equal(before.status, 401, before.text);
    assert.equal(JSON.parse(before.text).error.code, 'AUTHENTICATION_REQUIRED');
    const landed = await browser.open(`${s.origin}/login/`);
    assert.equal(`${landed.status} ${landed.url} ${landed.text}`, `200 ${s.origin}/login/ welcome\n`);
    const res = await browser.open(`${s.origin}/api/v1/auth/me`);
    assert.equal(res.status, 200, res.text);
    const user = JSON.parse(res.text).data;
    assert.equal(user.email, email.toLowerCase());
    assert.equal((await audit(s, user.id))[0].action, 'auth.register');
    assert.equal((await browser.open(`${s.origin}/staff/file.txt`)).text, 'inside staff\n');
  });

  it('a bearer token of ours goes before it, and works without it', async () => {
    const alice = await newUser(s);
    const browser = new Browser();
    await browser.open(`${s.origin}/login/`);
    const headers = { authorization: `Bearer ${alice.token}` };
    for (const client of [browser, new Browser()]) {
      const res = await client.open(`${s.origin}/api/v1/auth/me`, headers);
      assert.equal(JSON.parse(res.text).data.id, alice.user.id);
    }
  });

  it('a session cookie that somebody makes up is nobody', async () => {
    const cookie = `mod_auth_openidc_session=${crypto.randomUUID()}`;
    assert.equal((await get(`${s.origin}/api/v1/auth/me`, { cookie })).status, 401);
  });
});
