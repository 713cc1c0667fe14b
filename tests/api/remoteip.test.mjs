/* Who the client is behind a proxy: mod_remoteip's X-Forwarded-For and the PROXY protocol (API.md 1.9). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { rawExchange } from './lib/client.mjs';
import { PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { until } from './lib/env.mjs';
import { fails, ok } from './lib/expect.mjs';

const left = (res) => Number(res.headers['ratelimit-remaining']);
const via = (forwarded) => ({ headers: { 'x-forwarded-for': forwarded } });

/** How many of the address's attempts are left after one more. */
const attempt = async (s, options) => {
  const res = await s.anon.post('/auth/verify-email', { token: 'x' }, options);
  fails(res, 401, 'INVALID_TOKEN');
  return left(res);
};

serverSuite(
  'Behind a trusted proxy',
  {
    modules: ['remoteip', 'setenvif'],
    limits: { auth: '50/600', api: '50/600' },
    directives: [
      'RemoteIPHeader X-Forwarded-For',
      'RemoteIPInternalProxy 127.0.0.1 10.20.0.0/16',
      'RemoteIPTrustedProxy 198.51.100.7',
    ],
  },
  (s) => {
    it('each client has a budget of its own, the proxy another', async () => {
      assert.equal(await attempt(s, via('203.0.113.1')), 49);
      assert.equal(await attempt(s, via('203.0.113.1')), 48);
      assert.equal(await attempt(s, via('203.0.113.2')), 49);
      assert.equal(await attempt(s, {}), 49);
      const anonymous = await s.anon.get('/folders', via('203.0.113.1'));
      fails(anonymous, 401, 'AUTHENTICATION_REQUIRED');
      assert.equal(left(anonymous), 49);
      assert.equal(left(await s.anon.get('/folders', via('203.0.113.2'))), 49);
      assert.equal(left(await s.anon.get('/folders', via('203.0.113.1'))), 48);
    });

    it('sessions, the audit trail, security events and the access log name the client', async () => {
      s.expectLog(/security: /);
      const json = { email: uniqueEmail(), password: PASSWORD };
      const made = await s.anon.post('/auth/register', json, via('203.0.113.9'));
      const { user, tokens } = ok(made, 201);
      const again = await s.anon.post('/auth/login', json, via('2001:db8:9::9'));
      ok(again);
      const rows = await s.sql(
        'SELECT host(ip_address) AS ip, kind FROM sessions WHERE user_id = $1 ORDER BY created_at, id',
        [user.id],
      );
      assert.deepEqual(
        rows.map((row) => row.ip),
        ['203.0.113.9', '2001:db8:9::9'],
      );
      const { items } = ok(await s.anon.get('/user/sessions', { token: tokens.accessToken }));
      assert.deepEqual(items.map((item) => item.ipAddress).sort(), ['2001:db8:9::9', '203.0.113.9']);
      const audit = await s.sql('SELECT DISTINCT host(ip_address) AS ip FROM audit_logs WHERE actor_id = $1', [user.id]);
      assert.deepEqual(audit.map((row) => row.ip).sort(), ['2001:db8:9::9', '203.0.113.9']);
      const res = await s.anon.get('/nope?x=%3Cscript%3E', via('203.0.113.10'));
      fails(res, 403, 'SECURITY_VIOLATION');
      const id = res.headers['x-request-id'];
      const event = await until(
        async () => (await s.sql('SELECT host(ip_address) AS ip FROM security_events WHERE request_id = $1', [id]))[0],
        3000,
        'the event is stored',
      );
      assert.equal(event.ip, '203.0.113.10');
    });

    it('of several hops the last that is no proxy of ours counts', async () => {
      assert.equal(await attempt(s, via('203.0.113.20')), 49);
      assert.equal(await attempt(s, via('192.0.2.66, 203.0.113.20')), 48);
      assert.equal(await attempt(s, via('192.0.2.66, 203.0.113.20, 10.20.3.4')), 47);
      assert.equal(await attempt(s, via('192.0.2.67,203.0.113.20,198.51.100.7, 10.20.3.4')), 46);
      assert.equal(await attempt(s, via('203.0.113.21, 198.51.100.8')), 49, 'a proxy that nobody trusts is the client');
    });

    it('garbage is nobody: the last good address counts, and nothing fails', async () => {
      const base = await attempt(s, {});
      let n = base;
      for (const value of ['unknown', '_hidden', '999.1.1.1', '1.2.3.4.5', "'; DROP TABLE users; --", ',', ', ,', '\t']) {
        n -= 1;
        assert.equal(await attempt(s, via(value)), n, `X-Forwarded-For: ${value}`);
      }
      assert.equal(await attempt(s, via('unknown, 203.0.113.30')), 49);
      assert.equal(await attempt(s, via('203.0.113.30, unknown')), n - 1);
      assert.equal(await attempt(s, via('x'.repeat(4000))), n - 2);
    });

    it('of IPv6 a /64 is one caller; the next one is another', async () => {
      assert.equal(await attempt(s, via('2001:db8:1:1::1')), 49);
      assert.equal(await attempt(s, via('2001:db8:1:1:ffff:ffff:ffff:ffff')), 48);
      assert.equal(await attempt(s, via('2001:DB8:1:1:0:0:0:2')), 47);
      assert.equal(await attempt(s, via('2001:db8:1:2::1')), 49);
      assert.equal(await attempt(s, via('2001:db8:1::1')), 49);
    });

    it('an IPv4 address in IPv6 clothes is the IPv4 address', async () => {
      assert.equal(await attempt(s, via('203.0.113.40')), 49);
      assert.equal(await attempt(s, via('::ffff:203.0.113.40')), 48);
      assert.equal(await attempt(s, via('::ffff:cb00:7128')), 47);
      assert.equal(await attempt(s, via('203.0.113.41')), 49);
    });

    it('an address of one link, with its interface, can log in and be listed', async () => {
      const alice = await s.user();
      const res = await s.anon.post('/auth/login', { email: alice.email, password: PASSWORD }, via('fe80::1%lo'));
      ok(res);
      const { items } = ok(await alice.get('/user/sessions'));
      assert.ok(items.some((item) => (item.ipAddress ?? '').startsWith('fe80::1')), JSON.stringify(items));
    });
  },
);

serverSuite(
  'Before an untrusted peer',
  {
    modules: ['remoteip'],
    limits: { auth: '50/600' },
    directives: ['RemoteIPHeader X-Forwarded-For', 'RemoteIPInternalProxy 192.0.2.1'],
  },
  (s) => {
    it('the header changes nothing', async () => {
      let n = 50;
      for (const value of ['203.0.113.1', '203.0.113.2', '2001:db8::1', '192.0.2.1', 'x']) {
        n -= 1;
        assert.equal(await attempt(s, via(value)), n);
      }
      const json = { email: uniqueEmail(), password: PASSWORD };
      const { user } = ok(await s.anon.post('/auth/register', json, via('203.0.113.9')), 201);
      const [row] = await s.sql('SELECT host(ip_address) AS ip FROM sessions WHERE user_id = $1', [user.id]);
      assert.equal(row.ip, '127.0.0.1');
    });
  },
);

serverSuite(
  'Behind the PROXY protocol',
  {
    modules: ['remoteip'],
    limits: { auth: '50/600' },
    tlsPort: true /* a second port, without TLS */,
    directives: [(s) => `Listen 127.0.0.1:${s.tlsPort}`],
    vhosts: [{ name: '127.0.0.1', port: (s) => s.tlsPort, lines: ['RemoteIPProxyProtocol On'] }],
  },
  (s) => {
    const body = JSON.stringify({ token: 'x' });
    const request =
      'POST /api/v1/auth/verify-email HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    const through = async (line) => {
      const res = await rawExchange(s, `${line}\r\n${request}`, { port: s.tlsPort });
      assert.equal(res.status, 401, res.text);
      return left(res);
    };
    before(() => s.expectLog(/RemoteIPProxyProtocol/));

    it('the address of its line is the client', async () => {
      assert.equal(await through('PROXY TCP4 203.0.113.1 127.0.0.1 4000 80'), 49);
      assert.equal(await through('PROXY TCP4 203.0.113.1 127.0.0.1 4001 80'), 48);
      assert.equal(await through('PROXY TCP4 203.0.113.2 127.0.0.1 4001 80'), 49);
      assert.equal(await through('PROXY TCP6 2001:db8::1 ::1 4001 80'), 49);
      assert.equal(await through('PROXY TCP6 2001:db8::2 ::1 4001 80'), 48);
    });

    it('a connection without it is not served where it is required', async () => {
      const res = await rawExchange(s, request, { port: s.tlsPort, ms: 3000 }).catch(() => ({ status: 0 }));
      assert.notEqual(res.status, 401);
    });
  },
);
