/* Beside httpd's own modules: access control, sections, rewriting, proxies, limits, error pages, virtual hosts. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { Server, serverSuite, startServer } from './lib/server.mjs';
import { rawExchange } from './lib/client.mjs';
import { fails, NOWHERE, ok, parallel, tally } from './lib/expect.mjs';

const plain = { check: false };
const on = (host) => ({ headers: { host } });

/** Files below the document root. */
function place(server, files) {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(server.dir, 'htdocs', name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
}

/** An answer that is httpd's own: none of our headers, none of our envelopes. */
function foreign(res, status, pattern) {
  assert.equal(res.status, status, res.text.slice(0, 300));
  assert.equal(res.headers['x-api-version'], undefined);
  assert.equal(res.json?.success, undefined);
  if (pattern) assert.match(res.text, pattern);
}

serverSuite(
  'Access control of httpd',
  {
    modules: ['headers', 'allowmethods', 'auth_basic', 'authn_core', 'authn_file', 'authz_user'],
    children: 1,
    directives: [
      '<Location "/api/v1/notes">',
      'Require ip 192.0.2.1',
      '</Location>',
      '<Location "/api/v1/user/profile">',
      'Require all denied',
      '</Location>',
      '<LocationMatch "^/api/(v1/)?folders">',
      'Require expr %{HTTP:X-Pass} == "yes"',
      '</LocationMatch>',
      `<If "%{REQUEST_URI} =~ m#^/health/detailed# && %{HTTP:X-Ops} != 'yes'">`,
      'Require all denied',
      '</If>',
      '<Location "/metrics">',
      'AuthType Basic',
      'AuthName "metrics"',
      'AuthBasicProvider file',
      (s) => {
        /* secret, as httpd's own SHA-1 format */
        fs.writeFileSync(path.join(s.dir, 'users'), 'scraper:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n');
        return `AuthUserFile "${s.dir}/users"`;
      },
      'Require valid-user',
      '</Location>',
      '<Location "/api/v1/user/settings">',
      'AuthType Chronicle',
      'Require valid-user',
      '</Location>',
      '<Location "/api/v1/auth/me">',
      'AllowMethods GET HEAD',
      '</Location>',
    ],
  },
  (s) => {
    s.expectLog(/AH01630|AH01617|AH01618|AH01623|authz_core:error|allowmethods:error|auth_basic:error/);
    let alice;
    before(async () => {
      alice = await s.user();
    });

    it('what httpd forbids stays 403, by every way to write the path, and never reaches us', async () => {
      const paths = [
        '/api/v1/notes',
        '/api/v1/notes/',
        `/api/v1/notes/${NOWHERE}`,
        '/api/v1//notes',
        '//api/v1/notes',
        '/api/v1/./notes',
        '/api/v1/folders/../notes',
        '/api/v1/%6eotes',
        '/%61pi/v1/notes',
        '/api/v1/x/%2e%2e/notes',
        '/api/v1/notes?x=1',
        '/api/v1/user/profile',
      ];
      for (const target of paths) {
        for (const method of ['GET', 'POST', 'OPTIONS']) {
          const res = await alice.at(method, target, plain);
          foreign(res, 403, /Forbidden/);
        }
      }
      const [{ n }] = await s.sql('SELECT count(*) AS n FROM notes');
      assert.equal(n, 0);
    });

    it('LocationMatch, and Require with an expression', async () => {
      for (const target of ['/api/v1/folders', '/api/folders', '/api/v1/folders/x']) {
        foreign(await alice.at('GET', target, plain), 403);
      }
      ok(await alice.get('/folders', { headers: { 'x-pass': 'yes' } }));
      ok(await alice.at('GET', '/api/folders', { headers: { 'x-pass': 'yes' } }));
    });

    it('an <If> section', async () => {
      foreign(await s.anon.at('GET', '/health/detailed', plain), 403);
      assert.equal((await s.anon.at('GET', '/health/detailed', { headers: { 'x-ops': 'yes' } })).status, 200);
      assert.equal((await s.anon.at('GET', '/health')).status, 200);
    });

    it('Basic authentication before one of our paths; elsewhere its header is no credential', async () => {
      const basic = (text) => ({ headers: { authorization: `Basic ${Buffer.from(text).toString('base64')}` } });
      const refused = await s.anon.at('GET', '/metrics', plain);
      foreign(refused, 401);
      assert.match(refused.headers['www-authenticate'], /^Basic realm="metrics"/);
      foreign(await s.anon.at('GET', '/metrics', { ...plain, ...basic('scraper:wrong') }), 401);
      const good = await s.anon.at('GET', '/metrics', basic('scraper:secret'));
      assert.equal(good.status, 200);
      assert.match(good.text, /^# (HELP|TYPE) /m);
      fails(await s.anon.get('/auth/me', basic('scraper:secret')), 401, 'AUTHENTICATION_REQUIRED');
    });

    it('our own AuthType before one of our own paths', async () => {
      ok(await alice.get('/user/settings'));
      assert.equal((await s.anon.at('GET', '/api/v1/user/settings', plain)).status, 401);
    });

    it('AllowMethods of httpd answers before ours', async () => {
      ok(await alice.get('/auth/me'));
      foreign(await alice.at('DELETE', '/api/v1/auth/me', plain), 405);
      foreign(await alice.at('OPTIONS', '/api/v1/auth/me', plain), 405);
    });
  },
);

serverSuite(
  'Beside files, rewriting, proxies and error pages',
  {
    modules: ['headers', 'rewrite', 'alias', 'dir', 'autoindex', 'proxy', 'proxy_http', 'status', 'info', 'negotiation', 'speling'],
    children: 1,
    head: ['ExtendedStatus On'],
    directives: [
      'DirectoryIndex index.html',
      'FallbackResource /index.html',
      'ErrorDocument 404 /missing.html',
      'ErrorDocument 401 /missing.html',
      'ErrorDocument 400 "their own words"',
      'Header always set X-Site "example"',
      'Header set X-Plain "1"',
      'Header unset X-Frame-Options "expr=%{REQUEST_URI} == \'/api/v1/unset\'"',
      (s) => `Alias "/files" "${s.dir}/htdocs/listed"`,
      (s) => `ScriptAlias "/api/v1/user" "${s.dir}/htdocs/listed"`,
      (s) => `Alias "/api" "${s.dir}/htdocs/listed"`,
      '<Location "/server-status">',
      'SetHandler server-status',
      '</Location>',
      '<Location "/api/v1/health">',
      'SetHandler server-status',
      '</Location>',
      '<Location "/files">',
      'Options +Indexes +MultiViews',
      'FallbackResource disabled',
      '</Location>',
      (s) => `ProxyPass "/backend" "http://127.0.0.1:${s.port}/listed"`,
      'CheckSpelling On',
      'RewriteEngine On',
      'RewriteRule "^/old/(.*)$" "/hello.txt" [L]',
      'RewriteRule "^/moved$" "https://elsewhere.example/" [R=301,L]',
      'RewriteRule "^/closed" "-" [F]',
      'RewriteCond "%{REQUEST_URI}" "!^/(files|listed|backend|server-status|hello|missing|index)"',
      'RewriteRule "^/(.*)" "/index.html?page=$1" [L]',
    ],
  },
  (s) => {
    s.expectLog(/AH01276|AH00128/);
    let alice;
    before(async () => {
      place(s, {
        'index.html': '<p>the application</p>',
        'hello.txt': 'hello',
        'missing.html': '<p>not here</p>',
        'listed/a.txt': 'a file',
        'listed/v1/folders': 'a trap',
      });
      alice = await s.user();
    });
    const get = (target) => s.anon.at('GET', target, plain);

    it('the rest of the site is as if we were not there', async () => {
      foreign(await get('/old/x'), 200, /^hello$/);
      foreign(await get('/a/page/of/the/application'), 200, /the application/);
      foreign(await get('/closed/door'), 403);
      const moved = await get('/moved');
      foreign(moved, 301);
      assert.equal(moved.headers.location, 'https://elsewhere.example/');
      foreign(await get('/files/'), 200, /a\.txt/);
      foreign(await get('/files/a.txt'), 200, /^a file$/);
      foreign(await get('/files/a'), 200, /^a file$/);
      foreign(await get('/files/nope'), 404, /not here/);
      foreign(await get('/backend/a.txt'), 200, /^a file$/);
      foreign(await get('/server-status?auto'), 200, /^ServerMPM: event/m);
      for (const target of ['/', '/files/a.txt', '/nope']) {
        const res = await get(target);
        assert.equal(res.headers['x-site'], 'example');
        assert.equal(res.headers['content-security-policy'], undefined);
      }
    });

    it('our paths are ours: no rule, alias, proxy, handler or fallback that is for everything takes them', async () => {
      ok(await alice.get('/folders'));
      ok(await alice.at('GET', '/api/folders'));
      ok(await alice.get('/user/profile'));
      assert.equal((await s.anon.at('GET', '/health/ready')).status, 200);
      assert.equal((await s.anon.at('GET', '/metrics')).status, 200);
      const note = ok(await alice.post('/notes', { title: 'x' }), 201);
      ok(await alice.put(`/notes/${note.id}`, { title: 'y' }));
    });

    it('a handler that is set for one of our paths answers there', async () => {
      foreign(await get('/api/v1/health'), 200, /Apache Server Status/);
    });

    it('our errors keep their JSON, whatever ErrorDocument says', async () => {
      fails(await alice.get('/nope'), 404, 'ROUTE_NOT_FOUND');
      fails(await alice.get(`/notes/${NOWHERE}`), 404, 'NOTE_NOT_FOUND');
      fails(await s.anon.get('/notes'), 401, 'AUTHENTICATION_REQUIRED');
      fails(await alice.get('/notes?x=1'), 400, 'VALIDATION_ERROR');
      fails(await alice.del('/notes'), 405, 'METHOD_NOT_ALLOWED');
    });

    it("mod_headers' words are heard on all our answers, errors too", async () => {
      for (const res of [await alice.get('/folders'), await alice.get('/nope'), await s.anon.get('/folders')]) {
        assert.equal(res.headers['x-site'], 'example');
        assert.equal(res.headers['x-plain'], '1');
      }
    });
  },
);

serverSuite(
  'Rules that the admin wrote for our paths',
  {
    modules: ['rewrite', 'alias', 'proxy', 'proxy_http'],
    children: 1,
    directives: [
      'RewriteEngine On',
      'RewriteCond "%{HTTP_USER_AGENT}" "badbot"',
      'RewriteRule "^" "-" [F]',
      'RewriteCond "%{HTTP:X-Maintenance}" "yes"',
      'RewriteRule "^/api/" "-" [R=503,L]',
      'RewriteRule "^/api/v1/legacy/(.*)$" "/api/v1/$1?limit=1" [PT,QSA]',
      'RewriteRule "^/api/v1/gone$" "/hello.txt" [PT]',
      (s) => `RewriteRule "^/api/v1/other$" "http://127.0.0.1:${s.port}/hello.txt" [P]`,
      'RewriteRule "^/api/v1/mapped$" "/backend/hello.txt" [PT]',
      (s) => `ProxyPass "/backend" "http://127.0.0.1:${s.port}"`,
      'RedirectMatch permanent "^/api/v1/away" "https://elsewhere.example/"',
    ],
  },
  (s) => {
    it('a request that a rule forbids, or answers, does not reach us', async () => {
      const alice = await s.user();
      ok(await alice.get('/folders'));
      foreign(await alice.get('/folders', { ...plain, headers: { 'user-agent': 'badbot/1.0' } }), 403);
      foreign(await alice.get('/folders', { ...plain, headers: { 'x-maintenance': 'yes' } }), 503);
      const away = await alice.get('/away', plain);
      foreign(away, 301);
      assert.equal(away.headers.location, 'https://elsewhere.example/');
    });

    it('[PT] to another of our paths leads there, with the query that the rule wrote', async () => {
      const alice = await s.user();
      ok(await alice.post('/folders', { name: 'second' }), 201);
      const res = await alice.get('/legacy/folders?page=2', plain);
      assert.deepEqual([ok(res).items.length, ok(res).pagination.page, ok(res).pagination.limit], [1, 2, 1]);
    });

    it('a rule may send one of our paths elsewhere', async () => {
      place(s, { 'hello.txt': 'hello' });
      for (const target of ['/gone', '/other', '/mapped']) {
        foreign(await s.anon.get(target, plain), 200, /^hello$/);
      }
    });
  },
);

serverSuite(
  'Limits of httpd',
  {
    modules: ['ratelimit', 'env'],
    children: 1,
    head: ['KeepAlive Off', 'LimitRequestFields 20', 'LimitRequestFieldSize 1000', 'LimitRequestLine 500'],
    directives: [
      'AllowEncodedSlashes Off',
      '<Location "/api/v1/notes">',
      'LimitRequestBody 20000',
      '</Location>',
      '<Location "/api/v1/folders">',
      'SetOutputFilter RATE_LIMIT',
      'SetEnv rate-limit 10',
      '</Location>',
    ],
  },
  (s) => {
    let alice;
    before(async () => {
      alice = await s.user();
    });

    it('LimitRequestBody is 413, announced or chunked; other paths take more', async () => {
      const content = 'x'.repeat(30000);
      s.expectLog(/AH01587|AH01588/);
      const announced = await alice.post('/notes', { content });
      fails(announced, 413, 'PAYLOAD_TOO_LARGE');
      const text = JSON.stringify({ content });
      const chunks = [0, 10000, 20000, 30000].map((at) => text.slice(at, at + 10000)).filter(Boolean);
      /* httpd's filter answers for itself as it counts, or leaves it to us, by its version: once in any case. */
      const chunked = await alice.api('POST', '/notes', { chunks, ...plain });
      assert.equal(chunked.status, 413);
      assert.equal(chunked.text.match(/PAYLOAD_TOO_LARGE|<title>413/g)?.length, 1, chunked.text);
      assert.doesNotMatch(chunked.text, /MALFORMED_JSON/);
      ok(await alice.post('/notes', { content: content.slice(0, 15000) }), 201);
      fails(await alice.put('/user/profile', { fullName: content }), 400, 'VALIDATION_ERROR');
    });

    it('too many and too long headers and lines keep the answers of httpd', async () => {
      const headers = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`x-${n}`, 'y']));
      foreign(await alice.get('/folders', { ...plain, headers }), 400);
      foreign(await alice.get('/folders', { ...plain, headers: { 'x-long': 'y'.repeat(2000) } }), 400);
      foreign(await alice.get(`/folders?x=${'y'.repeat(1000)}`, plain), 414);
    });

    it('KeepAlive Off: each answer closes', async () => {
      const res = await alice.get('/auth/me');
      ok(res);
      assert.equal(res.headers.connection, 'close');
    });

    it('%2F in one of our segments is no separator, whatever AllowEncodedSlashes says', async () => {
      fails(await alice.at('GET', '/api/v1/notes%2Fx'), 404, 'ROUTE_NOT_FOUND');
      fails(await alice.at('GET', '/api/v1/notes/a%2Fb'), 400, 'VALIDATION_ERROR');
      foreign(await alice.at('GET', '/other/a%2Fb', plain), 404);
    });

    it('mod_ratelimit slows an answer without harming it', async () => {
      ok(await alice.get('/folders'));
    });
  },
);

serverSuite('MergeSlashes Off', { children: 1, head: ['MergeSlashes Off'] }, (s) => {
  it('a doubled slash is no way around a section', async () => {
    const alice = await s.user();
    ok(await alice.get('/folders'));
    for (const target of ['/api/v1//folders', '/api//v1/folders', '/api/v1/folders//']) {
      const res = await alice.at('GET', target, plain);
      assert.equal(res.status, 404, `${target}: ${res.text.slice(0, 200)}`);
    }
  });
});

serverSuite(
  'Of two virtual hosts one is ours',
  {
    chronicle: true,
    children: 1,
    directives: ['Chronicle Off'],
    vhosts: [
      { name: 'site.example', lines: ['ErrorDocument 404 "their 404"'] },
      {
        name: 'api.example',
        lines: [
          'Chronicle On',
          (s) => `ChronicleJwtSecret "1:${s.secrets.jwt}"\nChronicleRefreshSecret "${s.secrets.refresh}"`,
        ],
      },
    ],
    ready: false,
  },
  (s) => {
    it('the names decide', async () => {
      const target = '/api/v1/folders';
      foreign(await s.anon.at('GET', target, { ...on('site.example'), ...plain }), 404, /their 404/);
      foreign(await s.anon.at('GET', target, { ...on('unknown.example'), ...plain }), 404);
      fails(await s.anon.at('GET', target, { ...on('api.example'), ...plain }), 401, 'AUTHENTICATION_REQUIRED');
      foreign(await s.anon.at('GET', '/index.html', { ...on('api.example'), ...plain }), 404);
    });
  },
);

describe('LoadModule', () => {
  for (const first of [true, false]) {
    it(`of chronicle ${first ? 'before all others' : 'after all others'}: the same server`, async () => {
      const s = new Server({
        children: 1,
        loadFirst: first,
        modules: ['rewrite', 'alias', 'dir', 'headers', 'filter', 'remoteip', 'proxy', 'proxy_http'],
        directives: [
          'RewriteEngine On',
          'RewriteCond "%{HTTP_USER_AGENT}" "badbot"',
          'RewriteRule "^" "-" [F]',
          'FallbackResource /index.html',
          'ProxyPass "/" "http://127.0.0.1:1/"',
        ],
      });
      await s.start();
      const alice = await s.user();
      const note = ok(await alice.post('/notes', { title: 'x', content: 'y'.repeat(2000) }), 201);
      const res = await alice.get(`/notes/${note.id}`, { headers: { 'accept-encoding': 'gzip' } });
      ok(res);
      assert.equal(res.headers['content-encoding'], 'gzip');
      foreign(await alice.get('/folders', { ...plain, headers: { 'user-agent': 'badbot' } }), 403);
      fails(await alice.get('/nope'), 404, 'ROUTE_NOT_FOUND');
      s.expectLog(/proxy/);
      foreign(await alice.at('GET', '/elsewhere', plain), 503);
      s.signal('SIGUSR1');
      for (const answer of await parallel(20, () => alice.get('/folders', { fresh: true }))) ok(answer);
      await s.stop();
    });
  }
});

serverSuite('mod_reqtimeout', { children: 1, directives: ['RequestReadTimeout header=1-2,MinRate=500 body=1,MinRate=500'] }, (s) => {
  it('a body that does not come is cut off, and logged as such; the next client is served', async () => {
    const alice = await s.user();
    const head =
      `POST /api/v1/notes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\n` +
      'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"title":';
    const all = await parallel(5, () => rawExchange(s, head, { ms: 8000 }));
    const statuses = tally(all.map((res) => res.status));
    assert.ok(!statuses[201] && !statuses[500], JSON.stringify(statuses));
    const [{ n }] = await s.sql('SELECT count(*) AS n FROM notes');
    assert.equal(n, 0);
    ok(await alice.get('/folders'));
  });
});
