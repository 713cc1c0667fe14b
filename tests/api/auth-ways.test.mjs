/* Our accounts protect other places of the server: AuthType Chronicle, Require chronicle-role. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server, serverSuite } from './lib/server.mjs';
import { cookieLogin, jwtClaims, login, mintJwt, newUser, PASSWORD, verifyEmail } from './lib/accounts.mjs';
import { until } from './lib/env.mjs';
import { ok, parallel, tally, times } from './lib/expect.mjs';
import { basic, basicPlace, change, inside, look, MODULES, place, startApp, statements, write } from './lib/places.mjs';
import { DATABASE_NOISE, PrivateCluster } from './lib/postgres.mjs';

const app = await startApp();
after(() => app.close());

/* As docs/auth.md shows it. */
const APP = () => [
  ...place(
    '/app',
    'Require valid-user',
    `ProxyPass "http://127.0.0.1:${app.port}/"`,
    'RequestHeader unset X-User',
    'RequestHeader unset X_User',
    'RequestHeader set X-User "%{CHRONICLE_EMAIL}e" env=CHRONICLE_EMAIL',
    'RequestHeader set X-User-Id "%{CHRONICLE_USER_ID}e" env=CHRONICLE_USER_ID',
    'RequestHeader set X-Role "%{CHRONICLE_ROLE}e" env=CHRONICLE_ROLE',
    'RequestHeader set X-Session "%{CHRONICLE_SESSION_ID}e" env=CHRONICLE_SESSION_ID',
    'RequestHeader unset Authorization',
    'RequestHeader edit* Cookie "(^|; *)chronicle_(session|csrf)=[^;]*" ""',
  ),
];

const OUT = [
  ...place('/private', 'Require valid-user', 'Options +Includes', 'ErrorDocument 404 /private/lost.shtml'),
  'AddType text/html .shtml',
  'AddOutputFilter INCLUDES .shtml',
  'DirectoryIndex index.html',
  ...place('/managers', 'Require chronicle-role manager'),
  ...place('/either', 'Require chronicle-role admin manager'),
  ...place('/admins', 'Require chronicle-role admin', 'AuthzSendForbiddenOnFailure On'),
  ...place('/members', 'Require chronicle-role user'),
  ...place('/verified', 'Require chronicle-verified'),
  ...place('/named', 'Require user named@ways.example'),
  ...place('/open-here', '<RequireAny>', 'Require ip 127.0.0.1', 'Require valid-user', '</RequireAny>'),
  ...place('/open-there', '<RequireAny>', 'Require ip 192.0.2.1', 'Require valid-user', '</RequireAny>'),
  ...place('/both', '<RequireAll>', 'Require ip 192.0.2.1', 'Require valid-user', '</RequireAll>'),
  '<Location "/private/inner">',
  'AuthMerging And',
  'Require chronicle-role admin',
  '</Location>',
  '<Location "/bare">',
  'AuthType Chronicle',
  'Require valid-user',
  '</Location>',
  (s) => `CacheRoot "${s.dir}/cache"`,
  'CacheEnable disk /cached',
  'CacheMinExpire 600',
  ...place('/cached', 'Require valid-user'),
];

const PLACES = 'private private/inner managers either admins members verified named open-here open-there both bare cached';

function writeSite(s) {
  fs.mkdirSync(path.join(s.dir, 'cache'), { recursive: true });
  fs.chmodSync(path.join(s.dir, 'cache'), 0o777);
  for (const name of PLACES.split(' ')) write(s, `${name}/file.txt`, `inside ${name}\n`);
  write(s, 'private/index.html', 'the index\n');
  write(s, 'private/page.shtml', 'page <!--#echo var="CHRONICLE_EMAIL"--> <!--#echo var="CHRONICLE_ROLE"-->\n');
  write(s, 'private/lost.shtml', 'lost <!--#echo var="CHRONICLE_EMAIL"--> <!--#echo var="REMOTE_USER"-->\n');
  write(s, 'private/sub.shtml', '[<!--#include virtual="/managers/file.txt"-->][<!--#include virtual="page.shtml"-->]\n');
}

function refused(res, realm = 'Bearer realm="The \\"staff\\""', error = '') {
  assert.equal(res.status, 401, res.text);
  assert.equal(res.headers['www-authenticate'], realm + error);
  assert.doesNotMatch(res.text, /inside|CHRONICLE/);
}
const invalid = (res) => refused(res, undefined, ', error="invalid_token"');

class Site extends Server {
  writeConf() {
    super.writeConf();
    writeSite(this);
  }
}

function siteSuite(title, options, define) {
  describe(title, () => {
    const s = new Site(options);
    before(() => s.start());
    after(() => s.stop());
    define(s);
  });
}

siteSuite('AuthType Chronicle', { modules: MODULES, directives: [...OUT, ...APP()] }, (s) => {
  let alice;
  let web;
  s.expectLog(/AH01631|AH01630: .*\/both\//); /* those who may not */
  before(async () => {
    alice = await s.user();
    web = await cookieLogin(s, alice);
  });

  it('lets nobody in without a credential, in httpd’s own words', async () => {
    const res = await look(s.anon, '/private/file.txt');
    refused(res);
    assert.match(res.headers['content-type'], /^text\/html/);
    assert.equal(res.headers['set-cookie'], undefined);
    refused(await look(s.anon, '/bare/file.txt'), 'Bearer realm="chronicle"');
  });

  it('lets in by bearer token and by session cookie', async () => {
    inside(await look(alice, '/private/file.txt'), 'private');
    const res = await look(web, '/private/file.txt');
    inside(res, 'private');
    assert.equal(res.headers['cache-control'], 'private');
    assert.match(s.accessLog(), new RegExp(`"GET /private/file.txt HTTP/1.1" 200`));
  });

  it('refuses what is no token of ours, and says so', async () => {
    const claims = jwtClaims(alice.token);
    const now = Math.floor(Date.now() / 1000);
    const bad = {
      garbage: 'null',
      'another secret': mintJwt(claims, 'x'.repeat(48)),
      'no signature': `${alice.token.split('.').slice(0, 2).join('.')}.`,
      expired: mintJwt({ ...claims, iat: now - 2000, nbf: now - 2000, exp: now - 10 }, s.secrets.jwt),
      'no session': mintJwt({ ...claims, sid: crypto.randomUUID() }, s.secrets.jwt),
      'another user’s session': mintJwt({ ...claims, sub: crypto.randomUUID() }, s.secrets.jwt),
    };
    for (const token of Object.values(bad)) invalid(await look(s.anon, '/private/file.txt', { token }));
    refused(await look(s.anon, '/private/file.txt', { headers: { authorization: `Basic ${btoa('a@b.cd:x')}` } }));
  });

  it('a bearer token goes before a cookie, and a bad one is not mended by it', async () => {
    invalid(await look(web, '/private/file.txt', { token: 'null' }));
  });

  it('an unknown cookie is no credential and is taken back', async () => {
    const res = await look(s.anon, '/private/file.txt', { headers: { cookie: `chronicle_session=${'x'.repeat(43)}` } });
    refused(res);
    assert.match(res.headers['set-cookie'].join(), /chronicle_session=; .*Max-Age=0/);
  });

  it('a session that ends is out with the next request', async () => {
    const bob = await s.user();
    const other = await cookieLogin(s, bob);
    for (const client of [bob, other]) inside(await look(client, '/private/file.txt'), 'private');
    ok(await bob.post('/auth/logout', {}));
    for (let n = 0; n < 6; n += 1) invalid(await look(bob, '/private/file.txt'));
    inside(await look(other, '/private/file.txt'), 'private');
    ok(await other.post('/auth/logout', {}, { headers: { 'x-csrf-token': other.csrf } }));
    for (let n = 0; n < 6; n += 1) refused(await look(other, '/private/file.txt'));
  });

  it('requests under way when a session ends are let in or refused, and later ones refused', async () => {
    const bob = await s.user();
    const seen = [];
    let running = true;
    const readers = parallel(6, async () => {
      while (running) {
        const started = Date.now();
        seen.push([started, (await look(bob, '/private/file.txt', { fresh: false })).status]);
      }
    });
    await until(() => seen.length > 50, 5000, 'they read');
    ok(await alice.get('/auth/me'));
    ok(await bob.post('/auth/logout', {}));
    const ended = Date.now();
    await until(() => seen.at(-1)[0] > ended + 300, 5000, 'they go on');
    running = false;
    await readers;
    assert.deepEqual(tally(seen.filter(([at]) => at > ended).map(([, status]) => status)), {
      401: seen.filter(([at]) => at > ended).length,
    });
  });

  it('roles: a higher one passes a lower requirement', async () => {
    const clients = {};
    for (const role of ['user', 'manager', 'admin']) {
      clients[role] = await s.user();
      await change(s, clients[role], { role });
    }
    const rows = {
      members: ['user', 'manager', 'admin'],
      managers: ['manager', 'admin'],
      either: ['manager', 'admin'],
      admins: ['admin'],
      'private/inner': ['admin'],
    };
    for (const [name, roles] of Object.entries(rows)) {
      for (const [role, client] of Object.entries(clients)) {
        const res = await look(client, `/${name}/file.txt`);
        if (roles.includes(role)) inside(res, name);
        else if (name === 'admins') assert.equal(res.status, 403, res.text);
        else refused(res);
      }
      refused(await look(s.anon, `/${name}/file.txt`));
    }
  });

  it('a role that is taken away is gone with the next request', async () => {
    const boss = await s.user();
    await change(s, boss, { role: 'admin' });
    const again = await login(s, boss);
    inside(await look(again, '/admins/file.txt'), 'admins');
    await change(s, boss, { role: 'user' });
    ok(await again.post('/auth/change-password', { currentPassword: PASSWORD, newPassword: `${PASSWORD}!` }));
    for (let n = 0; n < 6; n += 1) assert.equal((await look(again, '/admins/file.txt')).status, 403);
    inside(await look(again, '/members/file.txt'), 'members');
  });

  it('Require chronicle-verified and Require user', async () => {
    const bob = await s.user();
    refused(await look(bob, '/verified/file.txt'));
    await verifyEmail(s, bob);
    inside(await look(await login(s, bob), '/verified/file.txt'), 'verified');
    refused(await look(bob, '/named/file.txt'));
    inside(await look(await newUser(s, { email: 'Named@Ways.example' }), '/named/file.txt'), 'named');
  });

  it('goes with the other providers: any, all, and merged', async () => {
    inside(await look(s.anon, '/open-here/file.txt'), 'open-here');
    refused(await look(s.anon, '/open-there/file.txt'));
    inside(await look(alice, '/open-there/file.txt'), 'open-there');
    assert.equal((await look(alice, '/both/file.txt')).status, 403);
  });

  it('holds for the index of a directory, includes and error documents', async () => {
    assert.equal((await look(alice, '/private/')).text, 'the index\n');
    assert.equal((await look(alice, '/private/page.shtml')).text, `page ${alice.email} user\n`);
    const sub = await look(alice, '/private/sub.shtml');
    assert.doesNotMatch(sub.text, /inside managers/);
    assert.ok(sub.text.includes(`[page ${alice.email} user\n]`), sub.text);
    const boss = await s.user();
    await change(s, boss, { role: 'manager' });
    assert.equal(
      (await look(boss, '/private/sub.shtml')).text,
      `[inside managers\n][page ${boss.email} manager\n]\n`,
    );
    const lost = await look(alice, '/private/nowhere');
    assert.equal(lost.status, 404);
    assert.equal(lost.text, `lost ${alice.email} ${alice.email}\n`);
    refused(await look(s.anon, '/private/nowhere'));
    s.expectLog(/include:.*unable to include|AH01374/);
  });

  it('an application behind the server learns who it is, and nothing that a client makes up', async () => {
    const forged = { 'x-user': 'root@example.com', 'x-role': 'admin', x_user: 'root@example.com', 'x-session': 'x' };
    const told = (await look(alice, '/app/', { headers: forged })).json.headers;
    assert.equal(told['x-user'], alice.email);
    assert.equal(told['x-user-id'], alice.user.id);
    assert.equal(told['x-role'], 'user');
    assert.equal(told['x-session'], jwtClaims(alice.token).sid);
    assert.equal(told.x_user, undefined);
    assert.equal(told.authorization, undefined, 'the token stays here');
    const cookie = `a=1; chronicle_session=${web.cookies.chronicle_session}; chronicle_csrf=y; b=2`;
    const byCookie = (await look(s.anon, '/app/', { headers: { ...forged, cookie } })).json.headers;
    assert.equal(byCookie['x-user'], alice.email);
    assert.equal(byCookie.cookie, 'a=1; b=2', 'so does the session');
    refused(await look(s.anon, '/app/', { headers: forged }));
  });

  it('a write that a cookie vouches for must not come from a page of elsewhere', async () => {
    const post = (client, headers) => client.at('POST', '/app/', { check: false, fresh: true, body: 'x', headers });
    assert.equal((await post(web, { origin: s.origin })).status, 200);
    assert.equal((await post(web, {})).status, 200);
    for (const origin of ['https://evil.example', 'null', `https://${s.host}`]) {
      assert.equal((await post(web, { origin })).status, 403, origin);
      assert.equal((await post(alice, { origin })).status, 200, 'a token is not sent by itself');
    }
    assert.equal((await look(web, '/app/', { headers: { origin: 'https://evil.example' } })).status, 200);
    s.expectLog(/origin/i);
  });

  it('a cache in front keeps nothing that a cookie opened', async () => {
    for (let n = 0; n < 3; n += 1) inside(await look(web, '/cached/file.txt'), 'cached');
    refused(await look(s.anon, '/cached/file.txt'));
  });

  it('costs no statement once it is known', async () => {
    await parallel(20, () => look(alice, '/private/file.txt'));
    const first = await statements(s);
    for (let n = 0; n < 50; n += 1) inside(await look(alice, '/private/file.txt'), 'private');
    const spent = (await statements(s)) - first;
    assert.ok(spent < 10, `${spent} statements for 50 requests`);
  });
});

siteSuite('ChronicleRequireVerifiedEmail', {
  modules: MODULES,
  directives: [...OUT, 'ChronicleRequireVerifiedEmail On'],
}, (s) => {
  it('holds in other places, too', async () => {
    const bob = await s.user();
    assert.equal((await look(bob, '/private/file.txt')).status, 403);
    await verifyEmail(s, bob);
    inside(await look(await login(s, bob), '/private/file.txt'), 'private');
  });
});

/* --- without a database, without Chronicle On, wrong configurations ------------------------------------------- */

const BASIC = basicPlace('/basic', 'AuthBasicProvider chronicle', 'Require valid-user');

describe('AuthType Chronicle without a database', () => {
  const cluster = new PrivateCluster();
  const s = new Site({ database: 'app', modules: MODULES, directives: [...OUT, ...BASIC] });
  s.expectLog(DATABASE_NOISE);
  before(async () => {
    await cluster.init();
    s.pg = cluster.cluster;
    await s.start();
    write(s, 'basic/file.txt', 'inside basic\n');
  });
  after(async () => {
    await s.stop().finally(() => cluster.remove());
  });

  it('answers 503 with Retry-After: not 401, and not the file', async () => {
    const alice = await s.user();
    const bob = await s.user();
    const web = await cookieLogin(s, bob);
    inside(await look(alice, '/private/file.txt'), 'private');
    await cluster.stop();
    for (const client of [bob, web]) {
      const res = await look(client, '/private/file.txt');
      assert.equal(res.status, 503, res.text);
      assert.equal(res.headers['retry-after'], '5');
      assert.equal(res.headers['set-cookie'], undefined, 'nobody is logged out');
      assert.doesNotMatch(res.text, /inside/);
    }
    refused(await look(s.anon, '/private/file.txt'));
    invalid(await look(s.anon, '/private/file.txt', { token: 'null' }));
    const res = await look(s.anon, '/basic/file.txt', basic(bob.email));
    assert.equal(res.status, 500, 'a provider of Basic cannot say more');
    assert.doesNotMatch(res.text, /inside/);
    await cluster.start();
    await until(async () => (await look(bob, '/private/file.txt')).status === 200, 5000, 'it is back');
    await until(async () => (await look(s.anon, '/basic/file.txt', basic(bob.email))).status === 200, 5000, 'Basic too');
  });
});

describe('Configurations that cannot work', () => {
  const cases = [
    [['<Location /x>', 'Require chronicle-role root', '</Location>'], /Require chronicle-role: unknown role root/],
    [['<Location /x>', 'Require chronicle-role', '</Location>'], /names no role/],
    [['<Location /x>', 'Require chronicle-role admin,user', '</Location>'], /unknown role admin,user/],
    [['<Location /x>', 'Require chronicle-role Admin', '</Location>'], /unknown role Admin/],
    [['<Location /x>', 'Require chronicle-verified yes', '</Location>'], /takes no argument/],
    [['<Location /x>', 'AuthType Digest', 'AuthDigestProvider chronicle', '</Location>'], /support/],
    [['ChronicleTrustRemoteUser maybe'], /must be On or Off/],
  ];
  for (const [lines, message] of cases) {
    it(lines.join(' '), async () => {
      const s = new Server({ modules: [...MODULES, 'auth_digest'], directives: lines });
      await s.prepare();
      const { status, output } = s.run('-t');
      assert.notEqual(status, 0);
      assert.match(output, message);
      await s.stop();
    });
  }

  it('AuthType Chronicle and no Chronicle On anywhere', async () => {
    const s = new Server({ modules: MODULES, chronicle: false, ready: false, directives: place('/x', 'Require valid-user') });
    await s.prepare();
    const { status, output } = s.run('-t');
    assert.notEqual(status, 0);
    assert.match(output, /CH1045: AuthType Chronicle at .*httpd\.conf:\d+ needs Chronicle On/);
    await s.stop();
  });

  it('AuthType Chronicle in a virtual host that has it Off is closed, and says why', async () => {
    const off = ['Chronicle Off', ...place('/', 'Require valid-user')];
    const s = new Server({ modules: MODULES, vhosts: [{ name: 'main', lines: [] }, { name: 'off.test', lines: off }] });
    await s.start();
    s.expectLog(/CH1041/);
    assert.equal((await look(s.anon, '/x', { headers: { host: 'off.test' } })).status, 500);
    assert.match(s.log(), /CH1041: AuthType Chronicle needs Chronicle On in this server/);
    await s.stop();
  });
});

serverSuite('Other kinds of processes', { mpm: 'prefork', modules: MODULES, directives: OUT }, (s) => {
  it('prefork: token and cookie', async () => {
    writeSite(s);
    const alice = await s.user();
    const web = await cookieLogin(s, alice);
    s.anon.close(); /* a kept connection is a process that serves nobody else */
    web.close();
    for (const client of times(4, (n) => (n % 2 ? alice : web))) inside(await look(client, '/private/file.txt'), 'private');
    refused(await look(s.anon, '/private/file.txt'));
  });
});
