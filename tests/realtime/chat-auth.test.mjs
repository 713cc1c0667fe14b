/* Who may CONNECT to "/", and for how long: tokens, cookies, expiry, revoked sessions, users who are switched off. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server, serverSuite } from '../api/lib/server.mjs';
import { cookieLogin, jwtClaims, login, mintJwt, newAdmin } from '../api/lib/accounts.mjs';
import { generous, until } from '../api/lib/env.mjs';
import { ok, parallel } from '../api/lib/expect.mjs';
import { Member, closeAll, makeRoom, subscribed } from './lib/chat.mjs';
import { ask, openSession } from './lib/session.mjs';
import { socketLines } from './lib/place.mjs';

/** The user's token with other claims. */
function tokenOf(server, user, claims) {
  return mintJwt({ ...jwtClaims(user.token), ...claims }, server.secrets.jwt);
}
const now = () => Math.floor(Date.now() / 1000);
const cookieHeader = ({ cookies }) =>
  Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join('; ');

serverSuite('CONNECT', {}, (server) => {
  let user;
  before(async () => {
    user = await server.user();
  });
  after(closeAll);

  async function refused(options, code) {
    const error = await new Member(server, options).refusal();
    assert.equal(typeof error.message, 'string');
    assert.ok(error.message.length > 0);
    assert.deepEqual(error.data, { code });
  }
  const auth = (token) => ({ auth: { token } });

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    it(`with a token, over ${transports.join(', then ')}: ready says who and until when`, async () => {
      const { sid, exp } = jwtClaims(user.token);
      const member = await Member.open(server, user, { transports });
      assert.deepEqual(member.ready, {
        userId: user.user.id,
        sessionId: sid,
        expiresAt: new Date(exp * 1000).toISOString(),
      });
      assert.deepEqual(Object.keys(await member.ok('presence:set', { status: 'online' })), ['status']);
      member.close();
    });
  }

  it('with nothing', async () => {
    await refused({}, 'AUTHENTICATION_REQUIRED');
    await refused({ auth: {} }, 'AUTHENTICATION_REQUIRED');
    await refused({ transports: ['polling'] }, 'AUTHENTICATION_REQUIRED');
  });

  it('with a token that is none', async () => {
    const other = mintJwt(jwtClaims(user.token), 'x'.repeat(48));
    const none = `${mintJwt(jwtClaims(user.token), 'x', { header: { alg: 'none', typ: 'JWT' } }).split('.').slice(0, 2).join('.')}.`;
    for (const token of ['abc', `${user.token}x`, other, none, user.refreshToken, 'x'.repeat(10000)]) {
      await refused(auth(token), 'INVALID_TOKEN');
    }
  });

  it('with a token that was good once', async () => {
    await refused(auth(tokenOf(server, user, { iat: now() - 1000, nbf: now() - 1000, exp: now() - 100 })), 'TOKEN_EXPIRED');
    await refused(auth(tokenOf(server, user, { nbf: now() + 100 })), 'INVALID_TOKEN');
    const gone = await server.user();
    ok(await gone.post('/auth/logout', {}));
    await refused(auth(gone.token), 'INVALID_TOKEN');
  });

  it('a refusal ends nothing: another CONNECT on the same connection is let in', async () => {
    const place = { host: () => server.host, port: server.port, url: (query) => `/socket.io/?EIO=4&transport=${query}` };
    for (const transport of ['websocket', 'polling']) {
      const session = await openSession(place, transport);
      await session.send('40{"token":"abc"}');
      assert.match(await session.next(), /^44\{"message":".+","data":\{"code":"INVALID_TOKEN"\}\}$/);
      await session.send(`40${JSON.stringify({ token: user.token })}`);
      assert.match(await session.next(), /^40\{"sid":"/);
      assert.match(await session.next(), /^42\["ready",/);
      await session.close();
    }
  });

  it('with the cookie of a session, from our own origin', async () => {
    const cookie = await cookieLogin(server, user);
    const extraHeaders = { Cookie: cookieHeader(cookie), Origin: server.origin };
    for (const transports of [['websocket'], ['polling']]) {
      const member = new Member(server, { extraHeaders, transports });
      const ready = await member.heard('ready');
      assert.equal(ready.userId, user.user.id);
      assert.ok(Date.parse(ready.expiresAt) > Date.now());
    }
    await refused({ extraHeaders, auth: { token: 'abc' } }, 'INVALID_TOKEN'); /* a token is then all that counts */
    await refused({ extraHeaders: { ...extraHeaders, Cookie: 'chronicle_session=abc' } }, 'AUTHENTICATION_REQUIRED');
    server.expectLog(/CH1002: .* security: origin: /);
    const res = await ask(server, 'GET', '/socket.io/?EIO=4&transport=polling', {
      headers: { Cookie: extraHeaders.Cookie, Origin: 'http://evil.example' },
    });
    assert.equal(res.status, 403);
    ok(await cookie.post('/auth/logout', {}, { headers: { 'x-csrf-token': cookie.csrf } }));
    await refused({ extraHeaders }, 'AUTHENTICATION_REQUIRED');
  });

  it('/echo is not there unless it is switched on', async () => {
    const echo = new Member({ origin: `${server.origin}/echo` }, { user });
    assert.equal((await echo.refusal()).message, 'Invalid namespace');
  });

  it('no secret is in the log', () => {
    assert.doesNotMatch(server.log() + server.accessLog(), new RegExp(user.token.split('.')[2]));
  });
});

serverSuite('Sessions that end', {}, (server) => {
  after(closeAll);

  /** Every one of these sockets is told, and disconnected. */
  async function areOut(members) {
    for (const member of members) {
      assert.deepEqual(await member.heard('session:revoked'), {});
      assert.match((await member.isOut()).reason, /io server disconnect|transport close/);
    }
  }

  it('by logout: the sockets of that session only', async () => {
    const one = await server.user();
    const two = await login(server, one);
    const ones = await Promise.all([
      Member.open(server, one),
      Member.open(server, one),
      Member.open(server, one, { transports: ['polling'] }),
    ]);
    const other = await Member.open(server, two);
    ok(await one.post('/auth/logout', {}));
    await areOut(ones);
    await other.silent('session:revoked');
    assert.ok(other.socket.connected);
  });

  it('by another session, a new password, or the end of the account', async () => {
    const user = await server.user();
    const [a, b, c] = await parallel(3, () => login(server, user));
    const [as, bs, cs] = await Promise.all([a, b, c].map((one) => Member.open(server, one)));
    ok(await a.del(`/user/sessions/${jwtClaims(b.token).sid}`));
    await areOut([bs]);
    ok(await a.post('/auth/change-password', { currentPassword: a.password, newPassword: 'another horse battery' }));
    await areOut([cs]);
    await as.silent('session:revoked');
    ok(await a.del('/user/account', { json: { password: 'another horse battery' } }));
    await areOut([as]);
  });

  it('the session is that of the token by which a socket was renewed', async () => {
    const user = await server.user();
    const [before_, now_] = await parallel(2, () => login(server, user));
    const member = await Member.open(server, before_);
    await member.ok('auth:refresh', { token: now_.token });
    ok(await before_.post('/auth/logout', {}));
    await member.silent('session:revoked');
    ok(await now_.post('/auth/logout', {}));
    await areOut([member]);
  });

  it('by cookie: its sockets too', async () => {
    const cookie = await cookieLogin(server, await server.user());
    const member = new Member(server, { extraHeaders: { Cookie: cookieHeader(cookie), Origin: server.origin } });
    await member.heard('ready');
    ok(await cookie.post('/auth/logout', {}, { headers: { 'x-csrf-token': cookie.csrf } }));
    await areOut([member]);
  });

  it('a user who is switched off is out, everywhere', async () => {
    const [admin, user] = [await newAdmin(server), await server.user()];
    const friend = await server.user();
    const room = await makeRoom(friend, [user]);
    const [watching] = await subscribed(server, room, friend);
    const members = await parallel(3, () => Member.open(server, user));
    ok(await admin.put(`/admin/users/${user.user.id}`, { isActive: false }));
    await areOut(members);
    await watching.heard('presence', ({ userId, status }) => userId === user.user.id && status === 'offline', 9000);
    const error = await new Member(server, { user }).refusal();
    assert.equal(error.data.code, 'INVALID_TOKEN');
  });

  it('as another host does it: the table is all that this server sees', async () => {
    const user = await server.user();
    const member = await Member.open(server, user);
    const { sid } = jwtClaims(user.token);
    await server.sql('UPDATE sessions SET revoked_at = now() WHERE id = $1', [sid]);
    await member.heard('session:revoked', undefined, 15000);
  });
});

/* Thirty seconds are a long time: all of these wait together. */
describe('Tokens that expire', () => {
  const server = new Server();
  let user;
  let left;
  let renewed;
  let start;
  let expires;
  const LIFE = 8; /* a machine that stalls must get in with it */
  const short = () => tokenOf(server, user, { exp: now() + LIFE });
  before(async () => {
    await server.start();
    user = await server.user();
    start = Date.now();
    const token = short();
    left = await Promise.all(
      [['websocket'], ['polling']].map((transports) => Member.open(server, user, { auth: { token }, transports })),
    );
    renewed = await Member.open(server, user, { auth: { token } });
  });
  after(async () => {
    closeAll();
    await server.stop();
  });

  it('auth:expired is told when it is time', async () => {
    expires = Date.parse(renewed.ready.expiresAt);
    assert.ok(expires <= start + (LIFE + 1) * 1000);
    for (const member of [...left, renewed]) {
      assert.deepEqual(await member.heard('auth:expired', undefined, 8000), {});
    }
    assert.ok(Date.now() - start >= (LIFE - 1.1) * 1000, 'not before');
  });

  it('auth:refresh takes a good token of the same user, and nothing else', async () => {
    const other = await server.user();
    for (const token of [other.token, 'abc', short().slice(0, -2)]) {
      const { success, error } = await renewed.ask('auth:refresh', { token });
      assert.equal(success, false);
      assert.match(error.code, /^(INVALID_TOKEN|FORBIDDEN)$/);
    }
    await renewed.fails('TOKEN_EXPIRED', 'auth:refresh', [{ token: tokenOf(server, user, { exp: now() - 10 }) }]);
    await renewed.fails('VALIDATION_ERROR', 'auth:refresh', [{}], [['token', 'MISSING_FIELD']]);
    const { exp } = jwtClaims(user.token);
    assert.deepEqual(await renewed.ok('auth:refresh', { token: user.token }), {
      expiresAt: new Date(exp * 1000).toISOString(),
    });
  });

  it('before it is time it spares the event', async () => {
    const member = await Member.open(server, user, { auth: { token: short() } });
    await member.ok('auth:refresh', { token: user.token });
    await member.silent('auth:expired', undefined, (LIFE + 2) * 1000);
    assert.ok(member.socket.connected);
  });

  it('who does not refresh is disconnected after 30 s; who did stays', async () => {
    await until(() => left.every((member) => member.lost.length), 40000, 'they are disconnected');
    for (const member of left) {
      const after_ = member.lost[0].at - expires;
      assert.ok(after_ > 28000 && after_ < 45000, `${after_} ms`);
    }
    assert.ok(renewed.socket.connected);
    await renewed.ok('presence:set', { status: 'online' });
  });
});

serverSuite('Two namespaces on one connection', { directives: socketLines({ ping: [25000, 20000], maxPayload: 1000000, upgradeTimeout: 10000 }) }, (server) => {
  after(closeAll);

  it('are sockets of their own', async () => {
    const user = await server.user();
    const main = await Member.open(server, user);
    const echo = main.socket.io.socket('/echo');
    const auth = new Promise((resolve) => {
      echo.on('auth', resolve);
    });
    assert.deepEqual(await auth, {});
    assert.notEqual(echo.id, main.socket.id);
    assert.equal(await echo.timeout(generous(3000)).emitWithAck('x', 1), 1);
    ok(await user.post('/auth/logout', {}));
    await main.heard('session:revoked');
    await main.isOut();
    assert.equal(main.socket.connected, false);
  });
});

serverSuite('Socket.IO that is switched off', { directives: ['ChronicleSocketIo Off'] }, (server) => {
  it('is not there', async () => {
    const res = await ask(server, 'GET', '/socket.io/?EIO=4&transport=polling');
    assert.equal(res.status, 404);
  });
});
