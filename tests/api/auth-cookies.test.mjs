/* Cookie sessions and CSRF (API.md 1.10, 1.11). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { cookieLogin, PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { until } from './lib/env.mjs';
import { fails, ok, parallel } from './lib/expect.mjs';

/** {name: {value, attributes}} of the Set-Cookie lines of an answer. */
function cookiesOf(res) {
  return Object.fromEntries(
    (res.headers['set-cookie'] ?? []).map((line) => {
      const [pair, ...attributes] = line.split(/;\s*/);
      const at = pair.indexOf('=');
      return [
        pair.slice(0, at),
        { value: pair.slice(at + 1), attributes: attributes.map((a) => a.toLowerCase()).sort() },
      ];
    }),
  );
}

function isCleared(res, name) {
  const cookie = cookiesOf(res)[name];
  assert.ok(cookie, `${name} is not cleared: ${res.headers['set-cookie']}`);
  const expires = cookie.attributes.find((a) => a.startsWith('expires='));
  assert.ok(
    cookie.attributes.includes('max-age=0') || Date.parse(expires?.slice(8)) < Date.now(),
    JSON.stringify(cookie),
  );
}

serverSuite('Cookie sessions', {}, (s) => {
  let alice;
  let bob;
  let web;
  before(async () => {
    [alice, bob] = await s.users(2);
    web = await cookieLogin(s, alice);
  });
  const folder = () => ({ name: crypto.randomUUID() });
  const csrf = (client) => ({ headers: { 'x-csrf-token': client.csrf } });

  it('login with session sets both cookies, gives csrfToken and no tokens', async () => {
    const { data } = web.loginAnswer.json;
    assert.equal(data.tokens, null);
    const { chronicle_session: session, chronicle_csrf: token } = cookiesOf(web.loginAnswer);
    assert.match(session.value, /^[A-Za-z0-9_-]{43,64}$/);
    assert.deepEqual(session.attributes, ['httponly', 'max-age=2592000', 'path=/', 'samesite=lax']);
    assert.equal(token.value, data.csrfToken);
    assert.ok(!token.attributes.includes('httponly'), 'scripts must be able to read it');
    assert.ok(token.attributes.includes('path=/'));
  });

  it('register with session does the same', async () => {
    const client = s.client({ cookies: {} });
    const data = ok(
      await client.post('/auth/register', { email: uniqueEmail(), password: PASSWORD, session: true }),
      201,
    );
    assert.equal(data.tokens, null);
    assert.equal(client.cookies.chronicle_csrf, data.csrfToken);
    assert.equal(ok(await client.get('/auth/me')).id, data.user.id);
  });

  it("the cookie is the caller's credential, stored as a hash only", async () => {
    assert.equal(ok(await web.get('/auth/me')).id, alice.user.id);
    assert.deepEqual(ok(await web.get('/auth/csrf')), { csrfToken: web.csrf });
    const rows = await s.sql("SELECT * FROM sessions WHERE kind = 'cookie' AND user_id = $1", [alice.user.id]);
    assert.equal(rows.length, 1);
    const text = JSON.stringify(rows);
    assert.ok(!text.includes(web.cookies.chronicle_session) && !text.includes(web.csrf));
    assert.ok(ok(await web.get('/user/sessions')).items.some((x) => x.kind === 'cookie' && x.current));
  });

  it('unsafe methods need X-CSRF-Token equal to the cookie and of this session; safe ones do not', async () => {
    const other = await cookieLogin(s, bob);
    const attempts = [
      ['no header', {}, {}],
      ['an empty header', { 'x-csrf-token': '' }, {}],
      ['a wrong header', { 'x-csrf-token': 'x'.repeat(43) }, {}],
      ['the token of another session, header only', { 'x-csrf-token': other.csrf }, {}],
      [
        'the token of another session, header and cookie',
        { 'x-csrf-token': other.csrf },
        { chronicle_csrf: other.csrf },
      ],
      ['header and cookie made up', { 'x-csrf-token': 'abc' }, { chronicle_csrf: 'abc' }],
      ['no CSRF cookie', { 'x-csrf-token': web.csrf }, { chronicle_csrf: undefined }],
    ];
    for (const [what, headers, cookies] of attempts) {
      const jar = Object.fromEntries(
        Object.entries({ ...web.cookies, ...cookies }).filter(([, value]) => value !== undefined),
      );
      const client = s.client({ cookies: jar, headers });
      for (const [method, path] of [
        ['POST', '/folders'],
        ['PUT', '/user/profile'],
        ['PATCH', '/user/settings'],
        ['DELETE', `/folders/${crypto.randomUUID()}`],
        ['POST', '/auth/logout'],
      ]) {
        assert.equal(
          fails(await client.api(method, path, { json: method === 'POST' ? folder() : {} }), 403, 'CSRF_FAILED').code,
          'CSRF_FAILED',
          what,
        );
      }
      ok(await client.get('/folders'));
    }
    assert.equal(ok(await web.get('/folders')).pagination.total, 1);
    ok(await web.post('/folders', folder(), csrf(web)), 201);
    ok(await web.put('/user/profile', { fullName: 'By cookie' }, csrf(web)));
  });

  it('a Bearer header is the only credential used when there is one', async () => {
    const both = s.client({ cookies: { ...web.cookies } });
    assert.equal(ok(await both.get('/auth/me', { token: bob.token })).id, bob.user.id);
    ok(await both.post('/folders', folder(), { token: bob.token }), 201);
    fails(await both.get('/auth/me', { token: 'nonsense' }), 401, 'INVALID_TOKEN');
    fails(await both.post('/folders', folder(), { token: 'nonsense' }), 401, 'INVALID_TOKEN');
    assert.deepEqual(ok(await both.get('/auth/csrf', { token: bob.token })), { csrfToken: null });
  });

  it('an unknown, expired or revoked cookie counts as no credential and is cleared', async () => {
    const expired = await cookieLogin(s, bob);
    await s.sql(
      "UPDATE sessions SET expires_at = now() - interval '1 second' WHERE kind = 'cookie' AND user_id = $1 AND revoked_at IS NULL",
      [bob.user.id],
    );
    await until(
      async () => (await s.client({ cookies: { ...expired.cookies } }).get('/auth/me')).status === 401,
      11000,
      'the end is seen',
    );
    const revoked = await cookieLogin(s, bob);
    const old = { ...revoked.cookies };
    ok(await revoked.post('/auth/logout', {}, csrf(revoked)));
    for (const cookies of [
      { chronicle_session: 'A'.repeat(43) },
      { chronicle_session: "' OR 1=1" },
      { ...expired.cookies },
      old,
    ]) {
      const res = await s.client({ cookies: { ...cookies } }).get('/auth/me');
      fails(res, 401, 'AUTHENTICATION_REQUIRED');
      isCleared(res, 'chronicle_session');
    }
    const good = await s
      .client({ cookies: { chronicle_session: 'A'.repeat(43) } })
      .post('/auth/login', { email: bob.email, password: PASSWORD });
    assert.ok(ok(good).tokens.accessToken);
  });

  it('login and register regenerate the session that their cookie names, without X-CSRF-Token', async () => {
    for (const [path, json, status] of [
      ['/auth/login', { email: bob.email, password: PASSWORD, session: true }, 200],
      ['/auth/register', { email: uniqueEmail(), password: PASSWORD, session: true }, 201],
    ]) {
      const client = await cookieLogin(s, bob);
      const old = { ...client.cookies };
      ok(await client.post(path, json), status);
      assert.notEqual(client.cookies.chronicle_session, old.chronicle_session);
      ok(await client.get('/auth/me'));
      fails(await s.client({ cookies: old }).get('/auth/me'), 401, 'AUTHENTICATION_REQUIRED');
    }
  });

  it('logout ends the cookie session at once on all children and clears both cookies', async () => {
    const client = await cookieLogin(s, bob);
    const old = { ...client.cookies };
    const res = await client.post('/auth/logout', undefined, csrf(client));
    assert.deepEqual(ok(res), { revokedSessions: 1 });
    isCleared(res, 'chronicle_session');
    isCleared(res, 'chronicle_csrf');
    const all = await parallel(16, () => s.client({ cookies: { ...old } }).get('/auth/me', { fresh: true }));
    for (const answer of all) fails(answer, 401, 'AUTHENTICATION_REQUIRED');
  });

  it('the cookie session slides: use moves its end to 30 days again', async () => {
    const client = await cookieLogin(s, bob);
    const [{ id }] = await s.sql(
      "SELECT id FROM sessions WHERE user_id = $1 AND kind = 'cookie' AND revoked_at IS NULL ORDER BY created_at DESC LIMIT 1",
      [bob.user.id],
    );
    await s.sql(
      "UPDATE sessions SET expires_at = now() + interval '1 day', last_active_at = now() - interval '1 hour' WHERE id = $1",
      [id],
    );
    await until(
      async () => {
        ok(await client.get('/auth/me'));
        const [row] = await s.sql('SELECT extract(epoch FROM expires_at - now()) AS left FROM sessions WHERE id = $1', [
          id,
        ]);
        return Math.abs(row.left - 2592000) < 120;
      },
      12000,
      'expires_at is 30 days ahead again',
    );
  });

  it('deleting the session from another device ends it at once', async () => {
    const client = await cookieLogin(s, alice);
    const list = ok(await alice.get('/user/sessions?limit=100')).items;
    const { id } = ok(await client.get('/user/sessions?limit=100')).items.find((x) => x.current);
    assert.ok(list.some((x) => x.id === id && !x.current));
    ok(await alice.del(`/user/sessions/${id}`));
    for (const res of await parallel(8, () => client.get('/auth/me', { fresh: true })))
      fails(res, 401, 'AUTHENTICATION_REQUIRED');
  });
});
