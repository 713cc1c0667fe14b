/* Rate classes: counting, keys, headers, windows (API.md 1.9). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { cookieLogin, jwtClaims, mintJwt, PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { hasIPv6Loopback, sleep } from './lib/env.mjs';
import { fails, invalid, NOWHERE, ok, parallel, tally } from './lib/expect.mjs';

const left = (res) => Number(res.headers['ratelimit-remaining']);

function limited(res, limit, window) {
  assert.equal(res.headers['ratelimit-limit'], String(limit));
  assert.match(res.headers['ratelimit-remaining'] ?? '(absent)', /^\d+$/);
  const reset = Number(res.headers['ratelimit-reset']);
  assert.ok(
    Number.isInteger(reset) && reset >= 1 && reset <= window,
    `RateLimit-Reset ${res.headers['ratelimit-reset']}`,
  );
}

function refused(res, limit, window) {
  fails(res, 429, 'RATE_LIMIT_EXCEEDED');
  limited(res, limit, window);
  assert.equal(left(res), 0);
  assert.equal(res.headers['retry-after'], res.headers['ratelimit-reset']);
}

const unlimited = (res) =>
  assert.deepEqual(
    Object.keys(res.headers).filter((name) => name.startsWith('ratelimit')),
    [],
  );

/* Tests of this suite build on each other: every request counts. */
serverSuite('Default limits', { limits: 'default', listen: hasIPv6Loopback ? ['[::1]'] : [] }, (s) => {
  let alice;
  let bob;

  const attempt = (path, json, options) => s.anon.post(`/auth${path}`, json, options);

  it('auth allows 5 attempts of any kind in 15 minutes, successful or not', async () => {
    const first = await attempt('/register', { email: uniqueEmail(), password: PASSWORD });
    ok(first, 201);
    limited(first, 5, 900);
    assert.equal(left(first), 4);
    alice = s.client({ token: first.json.data.tokens.accessToken });
    const second = await attempt('/register', { email: uniqueEmail(), password: PASSWORD });
    ok(second, 201);
    bob = s.client({ token: second.json.data.tokens.accessToken });
    const third = await attempt('/login', { email: second.json.data.user.email, password: 'wrong password' });
    fails(third, 401, 'INVALID_CREDENTIALS');
    const fourth = await attempt('/verify-email', { token: 'x' });
    fails(fourth, 401, 'INVALID_TOKEN');
    const fifth = await attempt('/forgot-password', {});
    invalid(fifth, ['email', 'MISSING_FIELD']);
    [third, fourth, fifth].forEach((res, n) => {
      limited(res, 5, 900);
      assert.equal(left(res), 2 - n);
    });
  });

  it('the sixth is refused, on every endpoint of the class and whatever the request looks like', async () => {
    const json = { email: uniqueEmail(), password: PASSWORD };
    refused(await attempt('/login', json), 5, 900);
    refused(await attempt('/reset-password', {}), 5, 900);
    refused(
      await alice.post('/auth/change-password', { currentPassword: PASSWORD, newPassword: 'a new password' }),
      5,
      900,
    );
    refused(await alice.post('/auth/resend-verification'), 5, 900);
    refused(await attempt('/login', { ...json, email: json.email.toUpperCase() }), 5, 900);
    refused(await attempt('/login', { ...json, email: ` ${json.email}` }), 5, 900);
    for (const headers of [
      { 'x-forwarded-for': '10.9.8.7' },
      { forwarded: 'for=10.9.8.7' },
      { 'x-real-ip': '10.9.8.7' },
      { 'client-ip': '10.9.8.7' },
    ]) {
      refused(await attempt('/login', json, { headers }), 5, 900);
    }
    refused(await s.anon.at('POST', '/api/auth/login', { json }), 5, 900);
    refused(await s.anon.at('POST', '/api/v1/auth/login/', { json }), 5, 900);
    refused(await attempt('/login', json, { token: alice.token }), 5, 900);
  });

  it('order of checks: 5 before 6, 6 before 7', async () => {
    fails(await s.anon.get('/auth/login'), 405, 'METHOD_NOT_ALLOWED');
    refused(await s.anon.post('/auth/change-password', {}), 5, 900);
    refused(await s.anon.api('POST', '/auth/login', { body: '{', type: 'text/plain' }), 5, 900);
  });

  if (hasIPv6Loopback) {
    it('::1 is another caller than 127.0.0.1', async () => {
      const res = await s.client({ address: '::1' }).post('/auth/login', { email: uniqueEmail(), password: PASSWORD });
      fails(res, 401, 'INVALID_CREDENTIALS');
      assert.equal(left(res), 4);
    });
  }

  it('api allows 100 in 15 minutes for each caller; errors count too', async () => {
    const requests = [
      () => alice.get('/folders'),
      () => alice.get('/notes?x=1'),
      () => alice.get(`/notes/${NOWHERE}`),
      () => alice.get('/auth/me'),
    ];
    for (let n = 0; n < 100; n += 1) {
      const res = await requests[n % requests.length]();
      limited(res, 100, 900);
      assert.equal(left(res), 99 - n);
    }
    for (const request of requests) refused(await request(), 100, 900);
    refused(await alice.at('GET', '/api/folders'), 100, 900);
    refused(await alice.post('/notes', {}, { headers: { 'x-forwarded-for': '10.1.1.1' } }), 100, 900);
    const other = await bob.get('/folders');
    ok(other);
    assert.equal(left(other), 99);
  });

  it('without a good token the key is the address: none, expired and forged ones share it', async () => {
    const claims = jwtClaims(bob.token);
    const start = await s.anon.get('/auth/me');
    fails(start, 401, 'AUTHENTICATION_REQUIRED');
    limited(start, 100, 900);
    const past = Math.floor(Date.now() / 1000) - 10;
    const expired = mintJwt({ ...claims, iat: past - 900, nbf: past - 900, exp: past }, s.secrets.jwt);
    const forged = mintJwt(claims, 'another secret of sufficient length');
    let expected = left(start);
    for (const token of [expired, forged, 'junk', null]) {
      const res = await s.anon.get('/auth/me', { token });
      assert.equal(res.status, 401);
      expected -= 1;
      assert.equal(left(res), expected);
    }
    assert.equal(left(await bob.get('/auth/me')), 98);
  });

  it('classes of their own: what is in none has no headers and is never refused', async () => {
    for (const res of [
      await s.anon.at('GET', '/health'),
      await s.anon.at('GET', '/api/v1'),
      await s.anon.at('GET', '/health/ready'),
      await s.anon.at('GET', '/api/v1/openapi.json'),
      await s.anon.get('/nope'),
    ])
      unlimited(res);
    const out = await alice.post('/auth/logout');
    ok(out);
    unlimited(out);
  });
});

serverSuite('Counting', { children: 4, threads: 8, limits: { api: '40/600', auth: '1000/600' } }, (s) => {
  let users;
  before(async () => {
    users = await s.users(3);
  });

  it('the count is shared by all children: of 120 parallel requests exactly 40 pass', async () => {
    const all = await parallel(120, () => users[0].get('/folders', { fresh: true }));
    assert.deepEqual(tally(all.map((res) => res.status)), { 200: 40, 429: 80 });
    const passed = all
      .filter((res) => res.status === 200)
      .map(left)
      .sort((a, b) => b - a);
    assert.deepEqual(
      passed,
      Array.from({ length: 40 }, (_, n) => 39 - n),
    );
    assert.ok(
      new Set(
        s
          .accessLog()
          .trim()
          .split('\n')
          .map((line) => line.split(' ').at(-1)),
      ).size > 1,
      'several children answered',
    );
  });

  it('a cookie and a token of one user share one count; another user has his own', async () => {
    const web = await cookieLogin(s, users[1]);
    const first = await users[1].get('/folders');
    const second = await web.get('/folders');
    assert.equal(left(second), left(first) - 1);
    const again = ok(await s.anon.post('/auth/login', { email: users[1].email, password: PASSWORD })).tokens
      .accessToken;
    assert.equal(left(await s.anon.get('/folders', { token: again })), left(second) - 1);
    assert.equal(left(await users[2].get('/folders')), 39);
  });

  it('a revoked token still counts for its user, so that it is no way around', async () => {
    const first = await users[2].get('/folders');
    ok(await users[2].post('/auth/logout'));
    const second = await users[2].get('/folders');
    fails(second, 401, 'INVALID_TOKEN');
    assert.equal(left(second), left(first) - 1);
  });
});

serverSuite('Windows', { limits: { api: '3/3' } }, (s) => {
  it('the window opens with the first request, is fixed, and after it the count begins anew', async () => {
    const alice = await s.user();
    /* a machine that stalls within a window has told nothing of it */
    for (let whole = 0, round = 0; whole < 2 && round < 20; round += 1) {
      const start = Date.now();
      const first = await alice.get('/folders');
      const opened = Date.now(); /* at the latest */
      assert.deepEqual([first.status, left(first), first.headers['ratelimit-reset']], [200, 2, '3']);
      await sleep(1100);
      const [second, third] = [await alice.get('/folders'), await alice.get('/folders')];
      const fourth = await alice.get('/folders');
      if (Date.now() < start + 1950) {
        assert.deepEqual([second.status, third.status], [200, 200]);
        refused(fourth, 3, 3);
        assert.equal(fourth.headers['retry-after'], '2');
        whole += 1;
      } else if (Date.now() < start + 2950) {
        refused(fourth, 3, 3);
      }
      const last = Date.now() < start + 2950 ? opened : Date.now(); /* when the last window may have opened */
      await sleep(Math.max(0, last + 3050 - Date.now()));
      if (round === 19) assert.equal(whole, 2, 'windows without a stall');
    }
  });
});
