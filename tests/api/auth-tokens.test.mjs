/* Access tokens made wrong in every way, refresh tokens, races and reuse, key rotation (API.md 1.11, section 3). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, describe, it } from 'node:test';
import { jwtVerify, SignJWT } from 'jose';
import { serverSuite } from './lib/server.mjs';
import { jwtClaims, jwtHeader, login, mailToken, mintJwt } from './lib/accounts.mjs';
import { sleep, until } from './lib/env.mjs';
import { fails, invalid, NOWHERE, ok, parallel } from './lib/expect.mjs';

const now = () => Math.floor(Date.now() / 1000);
const without = (object, key) => Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
const flip = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);

serverSuite('Access tokens', {}, (s) => {
  let alice;
  let bob;
  let claims;
  before(async () => {
    [alice, bob] = await s.users(2);
    claims = jwtClaims(alice.token);
  });

  const me = (token) => s.anon.get('/auth/me', { token });
  const mint = (changes, options) => mintJwt({ ...claims, ...changes }, s.secrets.jwt, options);
  const header = (changes) => ({ header: { alg: 'HS256', typ: 'JWT', kid: '1', ...changes } });

  it('a token is what the contract says, and an independent library verifies it', async () => {
    const { payload, protectedHeader } = await jwtVerify(alice.token, new TextEncoder().encode(s.secrets.jwt), {
      issuer: 'mod_chronicle',
      audience: 'chronicle-api',
      algorithms: ['HS256'],
    });
    assert.deepEqual(protectedHeader, { alg: 'HS256', typ: 'JWT', kid: '1' });
    assert.deepEqual(payload, {
      iss: 'mod_chronicle',
      aud: 'chronicle-api',
      sub: alice.user.id,
      email: alice.email,
      role: 'user',
      sid: payload.sid,
      iat: payload.iat,
      nbf: payload.nbf,
      exp: payload.iat + 900,
    });
    assert.ok(ok(await alice.get('/user/sessions')).items.some((x) => x.id === payload.sid && x.current));
    const again = await new SignJWT(claims)
      .setProtectedHeader(protectedHeader)
      .sign(new TextEncoder().encode(s.secrets.jwt));
    assert.equal(ok(await me(again)).id, alice.user.id);
  });

  const accepted = [
    ['minted by hand', () => mint({})],
    ['with nbf and iat 3 s ahead', () => mint({ nbf: now() + 3, iat: now() + 3 })],
    ...[
      ['jku', 'https://evil.example/keys'],
      ['x5u', 'https://evil.example/cert'],
      ['x5c', ['MIIB']],
      ['jwk', { kty: 'oct', k: Buffer.from('evil').toString('base64url') }],
    ].map(([name, value]) => [
      `with ${name} in the header, which is ignored`,
      () => mint({}, header({ [name]: value })),
    ]),
  ];
  for (const [what, make] of accepted) {
    it(`accepted: a token ${what}`, async () => {
      assert.equal(ok(await me(make())).id, alice.user.id);
    });
  }

  const cut = (count) => alice.token.split('.').slice(0, count).join('.');
  const refused = [
    ...['none', 'None', 'NONE', 'nOnE'].flatMap((alg) => [
      [`with alg ${alg} and no signature`, () => `${mint({}, header({ alg })).split('.').slice(0, 2).join('.')}.`],
      [`with alg ${alg} and a good MAC`, () => mint({}, header({ alg }))],
    ]),
    ['with alg hs256', () => mint({}, header({ alg: 'hs256' }))],
    ['with alg HS384 and its MAC', () => mint({}, { ...header({ alg: 'HS384' }), hash: 'sha384' })],
    ['with alg HS512 and its MAC', () => mint({}, { ...header({ alg: 'HS512' }), hash: 'sha512' })],
    ['with alg RS256 and an HMAC', () => mint({}, header({ alg: 'RS256' }))],
    [
      'with alg RS256 and an RSA signature',
      () => {
        const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
        const signed = mint({}, header({ alg: 'RS256' }))
          .split('.')
          .slice(0, 2)
          .join('.');
        return `${signed}.${crypto.sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
      },
    ],
    ['without alg', () => mint({}, { header: { typ: 'JWT', kid: '1' } })],
    ['with another secret', () => mintJwt(claims, `${s.secrets.jwt}x`)],
    ['with the refresh secret', () => mintJwt(claims, s.secrets.refresh)],
    ['with an empty secret', () => mintJwt(claims, '')],
    ['with its MAC changed', () => flip(alice.token, alice.token.lastIndexOf('.') + 5)],
    ['with its payload changed', () => flip(alice.token, alice.token.indexOf('.') + 20)],
    ['with its MAC cut', () => alice.token.slice(0, -6)],
    ['with an empty MAC', () => `${cut(2)}.`],
    ['of two segments', () => cut(2)],
    ['of one segment', () => cut(1)],
    ['of four segments', () => `${alice.token}.${cut(1)}`],
    ['with base64 padding', () => `${alice.token}=`],
    ['that is a word', () => 'abc'],
    ['that is dots', () => '..'],
    ['with bytes that are no base64url', () => alice.token.replace('.', '.!')],
    ['whose header is no JSON', () => mint({}, { header: 'nonsense' })],
    ['whose payload is no JSON', () => mintJwt('nonsense', s.secrets.jwt)],
    ['whose payload is an array', () => mintJwt([claims], s.secrets.jwt)],
    ['whose payload is followed by more', () => mintJwt(`${JSON.stringify(claims)}{}`, s.secrets.jwt)],
    ['of 20000 characters', () => mint({ junk: 'x'.repeat(6000) }).slice(0, 7900)],
    ...['iss', 'aud', 'sub', 'email', 'role', 'sid', 'iat', 'nbf', 'exp'].map((claim) => [
      `without ${claim}`,
      () => mintJwt(without(claims, claim), s.secrets.jwt),
    ]),
    ['of another issuer', () => mint({ iss: 'mod_chronicle2' })],
    ['for another audience', () => mint({ aud: 'chronicle' })],
    ['with nbf 60 s ahead', () => mint({ nbf: now() + 60 })],
    ['with iat 60 s ahead', () => mint({ iat: now() + 60, exp: now() + 960 })],
    ['with exp as text', () => mint({ exp: String(now() + 900) })],
    ['with sub as a number', () => mint({ sub: 1 })],
    ['with sub that is no UUID', () => mint({ sub: "' OR 1=1 --" })],
    ['for nobody', () => mint({ sub: NOWHERE })],
    ['for a session that does not exist', () => mint({ sid: NOWHERE })],
    ['with a session id that is no UUID', () => mint({ sid: 'x' })],
    ['for a session of another user', () => mint({ sid: jwtClaims(bob.token).sid })],
    ['with an unknown kid', () => mint({}, header({ kid: '2' }))],
    ['with a path as kid', () => mintJwt(claims, '', header({ kid: '../../../../dev/null' }))],
    ['with a kid that is no string', () => mint({}, header({ kid: 1 }))],
    ['past exp, with a bad MAC', () => mintJwt({ ...claims, exp: now() - 60 }, 'other')],
    ['that is a refresh token', () => alice.refreshToken],
    ['that is a mail token', async () => mailToken(s, alice.email, 'verify_email')],
  ];
  for (const [what, make] of refused) {
    it(`INVALID_TOKEN: a token ${what}`, async () => {
      const res = await me(await make());
      fails(res, 401, 'INVALID_TOKEN');
      assert.equal(res.headers['www-authenticate'], 'Bearer realm="chronicle", error="invalid_token"');
    });
  }

  it('a good token past exp is TOKEN_EXPIRED', async () => {
    for (const exp of [now() - 1, now() - 86400]) {
      const res = await me(mint({ iat: exp - 900, nbf: exp - 900, exp }));
      fails(res, 401, 'TOKEN_EXPIRED');
      assert.equal(res.headers['www-authenticate'], 'Bearer realm="chronicle", error="invalid_token"');
    }
  });

  it('a token that was accepted is not accepted past its exp', async () => {
    let exp;
    let token;
    let life = 2;
    /* it may end on its way there */
    const accepted = async () => {
      exp = now() + life;
      life *= 2;
      token = mint({ exp });
      const res = await me(token);
      if (now() < exp) ok(res);
      return res.status === 200;
    };
    await until(accepted, 5000, 'it is accepted');
    await sleep((exp + 1) * 1000 + 100 - Date.now());
    fails(await me(token), 401, 'TOKEN_EXPIRED');
  });

  it('no credential, or one of another scheme, is AUTHENTICATION_REQUIRED', async () => {
    const basic = `Basic ${Buffer.from(`${alice.email}:${alice.password}`).toString('base64')}`;
    for (const authorization of [null, basic, `Token ${alice.token}`, alice.token]) {
      const res = await s.anon.get('/auth/me', { headers: { authorization } });
      fails(res, 401, 'AUTHENTICATION_REQUIRED');
      assert.equal(res.headers['www-authenticate'], 'Bearer realm="chronicle"');
    }
  });

  it('a token in the query is no credential', async () => {
    assert.ok([400, 401].includes((await s.anon.get(`/auth/me?access_token=${alice.token}`)).status));
  });

  it('the role is taken from the database, not from the token', async () => {
    assert.equal(ok(await me(mint({ role: 'admin' }))).role, 'user');
  });
});

serverSuite('Refresh tokens', {}, (s) => {
  s.expectLog(/reuse/i);
  let alice;
  before(async () => {
    alice = await s.user();
  });

  const refresh = (refreshToken, more) => s.anon.post('/auth/refresh', { refreshToken, ...more });
  const next = async (token) => ok(await refresh(token)).tokens.refreshToken;
  const sid = (client) => jwtClaims(client.token).sid;
  const works = async (token) => ok(await s.anon.get('/auth/me', { token }));

  it('refresh gives new tokens for the same session, also by its alias', async () => {
    const client = await login(s, alice);
    const { tokens } = ok(await refresh(client.refreshToken, { deviceName: 'Renamed' }));
    assert.deepEqual(
      { ...tokens, accessToken: 0, refreshToken: 0 },
      { accessToken: 0, refreshToken: 0, tokenType: 'Bearer', expiresIn: 900, refreshExpiresIn: 2592000 },
    );
    assert.notEqual(tokens.refreshToken, client.refreshToken);
    assert.match(tokens.refreshToken, /^crt_.{1,251}$/);
    const claims = jwtClaims(tokens.accessToken);
    assert.equal(claims.sid, sid(client));
    assert.equal(claims.sub, alice.user.id);
    await works(tokens.accessToken);
    await works(client.token);
    const aliased = await s.anon.post('/auth/refresh-token', { refreshToken: tokens.refreshToken });
    assert.notEqual(ok(aliased).tokens.refreshToken, tokens.refreshToken);
    assert.equal(aliased.headers.deprecation, 'true');
    assert.match(aliased.headers.link, /^<\/api\/v1\/auth\/refresh>;\s*rel="successor-version"$/);
    assert.ok(
      ok(await alice.get('/user/sessions')).items.some((x) => x.id === sid(client) && x.deviceName === 'Renamed'),
    );
  });

  it('50 parallel refreshes of one token all succeed with the same successor', async () => {
    const client = await login(s, alice);
    const all = await parallel(50, () => refresh(client.refreshToken));
    const successors = new Set(all.map((res) => ok(res).tokens.refreshToken));
    assert.equal(successors.size, 1);
    const [successor] = successors;
    assert.notEqual(successor, client.refreshToken);
    for (const res of all) assert.equal(jwtClaims(res.json.data.tokens.accessToken).sid, sid(client));
    await works(all[49].json.data.tokens.accessToken);
    assert.notEqual(await next(successor), successor);
  });

  it('refreshes that meet at the session row make one successor', async () => {
    const client = await login(s, alice);
    const lock = await s.session();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM sessions WHERE id = $1 FOR NO KEY UPDATE', [sid(client)]);
    const all = parallel(6, () => refresh(client.refreshToken));
    await sleep(300);
    await lock.query('COMMIT');
    assert.equal(new Set((await all).map((res) => ok(res).tokens.refreshToken)).size, 1);
    const [row] = await s.sql('SELECT refresh_counter FROM sessions WHERE id = $1', [sid(client)]);
    assert.equal(row.refresh_counter, 1);
  });

  it('within 10 s of being replaced, any token answers the current one', async () => {
    const client = await login(s, alice);
    const first = await next(client.refreshToken);
    assert.equal(await next(client.refreshToken), first);
    const second = await next(first);
    assert.equal(await next(client.refreshToken), second);
    assert.equal(await next(first), second);
    assert.notEqual(await next(second), second);
  });

  describe('more than 10 seconds later', () => {
    let waiting; /* its successor was not used */
    let reused; /* two successors */
    let late; /* its successor is used only now */
    before(async () => {
      const chain = async (steps) => {
        const client = await login(s, alice);
        const tokens = [client.refreshToken];
        for (let n = 0; n < steps; n += 1) tokens.push(await next(tokens[n]));
        return { client, tokens };
      };
      waiting = await chain(1);
      reused = await chain(3);
      late = await chain(1);
      await sleep(10500);
    });

    it('the preceding token is still usable while its successor was not used', async () => {
      const again = await next(waiting.tokens[0]);
      await works(ok(await refresh(again)).tokens.accessToken);
    });

    it('an older token is reuse: the session ends, with an audit row and INVALID_TOKEN', async () => {
      const { client, tokens } = reused;
      fails(await refresh(tokens[1]), 401, 'INVALID_TOKEN');
      for (const token of tokens) fails(await refresh(token), 401, 'INVALID_TOKEN');
      fails(await s.anon.get('/auth/me', { token: client.token }), 401, 'INVALID_TOKEN');
      const rows = await s.sql("SELECT * FROM audit_logs WHERE action = 'auth.refresh_reuse'");
      const row = rows.find((r) => JSON.stringify(r).includes(sid(client)));
      assert.ok(row, JSON.stringify(rows));
      assert.ok(JSON.stringify(row).includes(alice.user.id));
      assert.equal(row.ip_address, '127.0.0.1');
      await works(alice.token);
      ok(await refresh(alice.refreshToken));
    });

    it('a preceding token is reuse as soon as its successor was used', async () => {
      const { client, tokens } = late;
      await next(tokens[1]);
      fails(await refresh(tokens[0]), 401, 'INVALID_TOKEN');
      fails(await s.anon.get('/auth/me', { token: client.token }), 401, 'INVALID_TOKEN');
    });
  });

  it('anything that the server did not make is INVALID_TOKEN and harms no session', async () => {
    const client = await login(s, alice);
    const { refreshToken } = client;
    const bad = [
      'crt_',
      'crt_AAAA',
      'x',
      client.token,
      refreshToken.slice(4),
      `xrt_${refreshToken.slice(4)}`,
      `${refreshToken}A`,
      refreshToken.slice(0, -1),
      refreshToken.toUpperCase(),
      await mailToken(s, alice.email, 'verify_email'),
      ...[4, 8, 16, 24, 30, 36, 40].filter((at) => at < refreshToken.length - 1).map((at) => flip(refreshToken, at)),
      flip(refreshToken, refreshToken.length - 8),
    ];
    for (const token of bad) {
      if (token.length <= 255) fails(await refresh(token), 401, 'INVALID_TOKEN');
      else assert.ok([400, 401].includes((await refresh(token)).status), token);
    }
    await next(refreshToken);
    await works(client.token);
  });

  it("refresh validates its body and ignores the caller's access token", async () => {
    invalid(await s.anon.post('/auth/refresh', {}), ['refreshToken', 'MISSING_FIELD']);
    invalid(await refresh(7), ['refreshToken', 'WRONG_TYPE']);
    invalid(
      await s.anon.post('/auth/refresh', { token: 'x' }),
      ['token', 'UNKNOWN_FIELD'],
      ['refreshToken', 'MISSING_FIELD'],
    );
    fails(await s.anon.post('/auth/refresh', undefined), 400, 'MALFORMED_JSON');
  });

  it('a session past its end is not refreshed', async () => {
    const client = await login(s, alice);
    await s.sql("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = $1", [sid(client)]);
    fails(await refresh(client.refreshToken), 401, 'TOKEN_EXPIRED');
  });

  it('a refresh token lasts 30 days from its issue', async () => {
    const client = await login(s, alice);
    await s.sql("UPDATE sessions SET expires_at = now() + interval '1 hour' WHERE id = $1", [sid(client)]);
    await next(client.refreshToken);
    const [row] = await s.sql('SELECT extract(epoch FROM expires_at - now()) AS left FROM sessions WHERE id = $1', [
      sid(client),
    ]);
    assert.ok(Math.abs(row.left - 2592000) < 60, `${row.left} s left`);
  });

  it('the session row counts, and holds no token that could be used', async () => {
    const client = await login(s, alice);
    const token = await next(await next(client.refreshToken));
    const [row] = await s.sql('SELECT * FROM sessions WHERE id = $1', [sid(client)]);
    assert.equal(row.refresh_counter, 2);
    assert.ok(!JSON.stringify(row).includes(token));
  });
});

/* A second secret signs; the first, old one still verifies. */
const OLD = crypto.randomBytes(24).toString('hex');
const NEW = crypto.randomBytes(24).toString('hex');
serverSuite(
  'Key rotation',
  { directives: [`ChronicleJwtSecret "new:${NEW}"`, `ChronicleJwtSecret "1:${OLD}"`] },
  (s) => {
    let alice;
    before(async () => {
      alice = await s.user();
    });
    const me = (token) => s.anon.get('/auth/me', { token });

    it('the first secret signs and every one verifies, each under its kid only', async () => {
      assert.equal(jwtHeader(alice.token).kid, 'new');
      const mint = (secret, kid) =>
        mintJwt(jwtClaims(alice.token), secret, { header: { alg: 'HS256', typ: 'JWT', kid } });
      ok(await me(alice.token));
      ok(await me(mint(NEW, 'new')));
      ok(await me(mint(OLD, '1')));
      for (const [secret, kid] of [
        [OLD, 'new'],
        [NEW, '1'],
        [NEW, 'NEW'],
        [OLD, '0'],
        [OLD, ''],
        [OLD, '11'],
      ]) {
        fails(await me(mint(secret, kid)), 401, 'INVALID_TOKEN');
      }
    });
  },
);

serverSuite('A secret without kid', { directives: [`ChronicleJwtSecret "${OLD}"`] }, (s) => {
  it('has kid 1', async () => {
    const alice = await s.user();
    assert.equal(jwtHeader(alice.token).kid, '1');
    ok(await s.anon.get('/auth/me', { token: mintJwt(jwtClaims(alice.token), OLD) }));
  });
});
