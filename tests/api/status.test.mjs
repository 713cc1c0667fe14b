/* The section in mod_status' page. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, parallel } from './lib/expect.mjs';

const LOCATION = ['<Location "/server-status">', 'SetHandler server-status', '</Location>'];

/** "ChronicleRequests: 12" as {Requests: '12'}. */
const section = (text) =>
  Object.fromEntries([...text.matchAll(/^Chronicle(\w+): (.*)$/gm)].map(([, key, value]) => [key, value]));

serverSuite(
  "mod_status' page",
  { modules: ['status'], children: 1, head: LOCATION, limits: { auth: '2/900' } },
  (s) => {
    const page = async (args = '') => (await s.anon.at('GET', `/server-status${args}`, { check: false })).text;

    it('tells machines what was counted', async () => {
      const before = section(await page('?auto'));
      assert.deepEqual(Object.keys(before), [
        'Version',
        'Uptime',
        'Requests',
        'Errors',
        'InFlight',
        'Statements',
        'StatementMeanUs',
        'DbBusy',
        'DbMax',
        'Redis',
        'Smtp',
        'SocketsPolling',
        'SocketsWebsocket',
        'RateLimited',
        'AuthFailures',
        'SecurityEvents',
        'CacheHits',
        'CacheMisses',
        'JobsQueued',
        'JobsFailed',
        'LogLinesLost',
      ]);
      assert.equal(before.Version, '2.0.0');
      assert.equal(before.Redis, 'off');
      assert.equal(before.Smtp, 'off');
      assert.deepEqual([before.SocketsPolling, before.SocketsWebsocket], ['0', '0']);
      await parallel(5, async () => fails(await s.anon.get('/folders'), 401, 'AUTHENTICATION_REQUIRED'));
      const login = () => s.anon.post('/auth/login', { email: 'nobody@example.com', password: 'wrong-password' });
      fails(await login(), 401, 'INVALID_CREDENTIALS');
      fails(await login(), 401, 'INVALID_CREDENTIALS');
      fails(await login(), 429, 'RATE_LIMIT_EXCEEDED');
      s.expectLog(/CH1002/);
      fails(await s.anon.get('/x%00'), 403, 'SECURITY_VIOLATION');
      const after = section(await page('?auto'));
      const grown = (key) => Number(after[key]) - Number(before[key]);
      assert.equal(grown('Requests'), 9);
      assert.equal(grown('AuthFailures'), 7);
      assert.equal(grown('RateLimited'), 1);
      assert.equal(grown('SecurityEvents'), 1);
      assert.ok(grown('Statements') > 0 && Number(after.StatementMeanUs) > 0);
      assert.deepEqual([after.Errors, after.InFlight, after.DbBusy, after.DbMax, after.LogLinesLost], ['0', '0', '0', '4', '0']);
      assert.ok(Number(after.Uptime) >= 0 && Number(after.Uptime) < 600);
    });

    it('shows people the same', async () => {
      const table = await page();
      assert.match(table, /<h2>mod_chronicle<\/h2>\n<table border="0">\n<tr><td>Version<\/td><td>2\.0\.0<\/td><\/tr>/);
      assert.match(table, /<tr><td>Requests<\/td><td>\d+<\/td><\/tr>/);
      assert.doesNotMatch(table, /^Chronicle\w+:/m);
      assert.match(await page('?notable'), /<h2>mod_chronicle<\/h2>\n<dl>\n<dt>Version: 2\.0\.0<\/dt>/);
    });
  },
);

serverSuite("mod_status' page where the API is off", { modules: ['status'], head: LOCATION, chronicle: false, db: false, ready: false }, (s) => {
  it('has no section', async () => {
    const res = await s.anon.at('GET', '/server-status?auto', { check: false });
    assert.equal(res.status, 200);
    assert.doesNotMatch(res.text, /chronicle/i);
  });
});
