/* CORS, suspicious requests and their events (API.md 1.10). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { sleep, until } from './lib/env.mjs';
import { fails, invalid, NOWHERE, ok } from './lib/expect.mjs';

const APP = 'https://app.example.com';
const LOCAL = 'http://localhost:5173';
const EXPOSED =
  'ETag, Location, X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Idempotent-Replayed, Deprecation, Link';
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
const HEADERS =
  'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, X-CSRF-Token, X-Request-Id, traceparent';

serverSuite('CORS and suspicious requests', { directives: [`ChronicleAllowedOrigins ${APP} ${LOCAL}`] }, (s) => {
  s.expectLog(/security: /);
  let alice;
  before(async () => {
    alice = await s.user();
  });

  const from = (origin, more) => ({ headers: { origin, ...more } });
  const preflight = (origin) =>
    from(origin, {
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'authorization, content-type',
    });
  const corsHeaders = (res) => Object.keys(res.headers).filter((name) => name.startsWith('access-control-'));
  const vary = (res) => (res.headers.vary ?? '').toLowerCase().split(/\s*,\s*/);
  const events = (requestId) => s.sql('SELECT * FROM security_events WHERE request_id = $1', [requestId]);
  const event = async (res) =>
    until(async () => (await events(res.headers['x-request-id']))[0], 3000, 'the security event is stored');

  const welcome = (res, origin) => {
    assert.equal(res.headers['access-control-allow-origin'], origin);
    assert.equal(res.headers['access-control-allow-credentials'], 'true');
    assert.ok(vary(res).includes('origin'), res.headers.vary);
  };

  for (const origin of [APP, LOCAL, 'SAME']) {
    it(`${origin === 'SAME' ? "the server's own origin" : origin} is allowed, on successes and errors`, async () => {
      const name = origin === 'SAME' ? s.origin : origin;
      const answers = [
        await alice.get('/folders', from(name)),
        await alice.post('/folders', { name: crypto.randomUUID() }, from(name)),
        await alice.get('/nope', from(name)),
        await s.anon.get('/folders', from(name)),
        await alice.get('/folders?x=1', from(name)),
        await alice.del('/folders', from(name)),
      ];
      assert.deepEqual(
        answers.map((res) => res.status),
        [200, 201, 404, 401, 400, 405],
      );
      for (const res of answers) {
        welcome(res, name);
        assert.deepEqual(res.headers['access-control-expose-headers'], EXPOSED);
        assert.deepEqual(await events(res.headers['x-request-id']), []);
      }
      const flight = await s.anon.api('OPTIONS', '/folders', preflight(name));
      assert.equal(flight.status, 204);
      welcome(flight, name);
      assert.equal(flight.headers['access-control-allow-methods'], METHODS);
      assert.equal(flight.headers['access-control-allow-headers'], HEADERS);
      assert.equal(flight.headers['access-control-max-age'], '600');
    });
  }

  it('without Origin there are no CORS headers and nothing is refused', async () => {
    for (const res of [
      await alice.get('/folders'),
      await alice.post('/folders', { name: crypto.randomUUID() }),
      await alice.api('OPTIONS', '/folders'),
    ]) {
      assert.ok(res.status < 300, res.text);
      assert.deepEqual(corsHeaders(res), []);
    }
  });

  const foreign = [
    'null',
    'https://evil.example',
    'http://app.example.com',
    `${APP}:8443`,
    `${APP}.evil.example`,
    'https://evil-app.example.com',
    'https://x.app.example.com',
    'https://app.example.co',
    'https://example.com',
    'http://localhost',
    'http://localhost:51730',
    `${APP}/`,
    `${APP}, ${APP}`,
    'https://app.example.com@evil.example',
    'file://',
    '*',
    'app.example.com',
  ];
  for (const origin of foreign) {
    it(`the origin ${origin} gets no CORS header; preflight and unsafe methods are refused`, async () => {
      const name = crypto.randomUUID();
      const safe = await alice.get('/folders', from(origin));
      ok(safe);
      assert.equal((await alice.api('HEAD', '/folders', from(origin))).status, 200);
      const answers = [
        await s.anon.api('OPTIONS', '/folders', preflight(origin)),
        await alice.post('/folders', { name }, from(origin)),
        await alice.api('PUT', '/user/profile', { json: {}, ...from(origin) }),
        await alice.api('DELETE', `/folders/${NOWHERE}`, from(origin)),
        await s.anon.post('/auth/login', { email: uniqueEmail(), password: PASSWORD }, from(origin)),
      ];
      for (const res of answers) fails(res, 403, 'SECURITY_VIOLATION');
      for (const res of [safe, ...answers]) assert.deepEqual(corsHeaders(res), []);
      assert.deepEqual(await s.sql('SELECT 1 FROM folders WHERE name = $1', [name]), []);
    });
  }

  it('each refusal and each foreign origin leaves a security event, row and log line', async () => {
    /* A child keeps a number of events per second only, so that a flood fills no disk. */
    await sleep(1100);
    const evil = from('https://evil.example');
    for (const [path, send, pattern] of [
      ['/api/v1/folders', () => alice.get('/folders', evil), /evil\.example/],
      ['/api/v1/folders', () => alice.post('/folders', {}, evil), /evil\.example/],
      ['/api/v1/folders', () => s.anon.api('OPTIONS', '/folders', preflight('null')), /null/],
      ['/api/v1/notes', () => alice.get('/notes?tag=%3CSCRIPT'), /<script/i],
      ['/api/v1/nope', () => s.anon.get('/nope?x=a%0Ab'), /./],
      ['/api/v1/folders/union select', () => alice.get('/folders/union%20select'), /union select/],
    ]) {
      const res = await send();
      const row = await event(res);
      assert.equal(row.ip_address, '127.0.0.1');
      assert.ok(decodeURIComponent(row.path).startsWith(path), row.path);
      assert.match(row.pattern, pattern);
      assert.ok(row.type);
      const line = s
        .log()
        .split('\n')
        .filter((text) => text.includes(res.headers['x-request-id']) && text.includes('security'));
      assert.equal(line.length, 1);
    }
  });

  const patterns = [
    '../',
    '..\\',
    '<script',
    '<ScRiPt',
    'javascript:',
    'JavaScript:',
    '${jndi:',
    '${JNDI:ldap',
    'union select',
    'UNION SELECT',
    '/etc/passwd',
    ';--',
    '\u0001',
    '\n',
    '\r\n',
    '\u007f',
    'a../b',
    'x;--y',
  ];
  for (const pattern of patterns) {
    it(`${JSON.stringify(pattern)} in a query value is SECURITY_VIOLATION`, async () => {
      const value = [...Buffer.from(pattern)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
      for (const path of [`/notes?tag=${value}`, `/folders?limit=x${value}y`, `/nope?anything=${value}`]) {
        fails(await alice.get(path), 403, 'SECURITY_VIOLATION');
      }
    });
  }

  for (const path of [
    '/folders/%3Cscript%3E',
    '/folders/..%5C',
    '/folders/javascript:x',
    '/folders/%24%7Bjndi:x%7D',
    '/folders/union%20select',
    '/folders/etc/%2e%2e%2f',
    '/folders/x/etc/passwd',
    '/folders/;--',
    '/folders/a%07b',
    '/folders/a%0D%0Ab',
    '/nope%0a',
    '/folders/%2e%2e/notes',
    '/folders/../notes',
  ]) {
    it(`the path ${path} is SECURITY_VIOLATION`, async () => {
      fails(await alice.get(path), 403, 'SECURITY_VIOLATION');
    });
  }

  it('search and q are exempt', async () => {
    for (const pattern of [
      '../',
      '<script',
      'javascript:',
      '${jndi:',
      'union select',
      '/etc/passwd',
      ';--',
      '%..%5C',
    ]) {
      const value = encodeURIComponent(pattern);
      ok(await alice.get(`/notes?search=${value}`));
      invalid(await alice.get(`/notes?q=${value}`), ['q', 'UNKNOWN_FIELD']);
    }
  });

  it('near misses are served', async () => {
    for (const value of [
      '..',
      '. ./x',
      '<scrip',
      'javascript',
      'jndi:',
      'union',
      'select',
      'passwd',
      '; --',
      'un%69onselect',
    ]) {
      ok(await alice.get(`/notes?tag=${value.includes('%') ? value : encodeURIComponent(value)}`));
    }
  });

  it('values are decoded once', async () => {
    ok(await alice.get('/notes?tag=%253Cscript'));
    ok(await alice.get('/notes?tag=%252e%252e%252f'));
  });

  it('bodies are not tested for patterns', async () => {
    const title = "../ <script>alert(1)</script> javascript: ${jndi:x} union select /etc/passwd ;-- ' OR 1=1";
    const note = ok(await alice.post('/notes', { title, content: title, tags: ['../', '<script'] }), 201);
    assert.equal(note.title, title);
    assert.equal(ok(await alice.get(`/notes/${note.id}`)).content, title);
  });

  it('headers are not tested for patterns', async () => {
    ok(
      await alice.get('/folders', {
        headers: { 'user-agent': '<script>${jndi:x}</script> ../../etc/passwd', referer: `${s.origin}/../;--` },
      }),
    );
  });
});
