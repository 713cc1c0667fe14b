/* httpd -t -D DUMP_CHRONICLE: what the settings are, where they come from, and never a secret. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server } from './lib/server.mjs';

const directives = fileURLToPath(new URL('../../mod_chronicle/httpd/directives.c', import.meta.url));

async function dump(options) {
  const s = new Server({ chronicle: false, ready: false, ...options });
  await s.prepare();
  const { status, output } = s.run('-t', '-D', 'DUMP_CHRONICLE');
  assert.equal(status, 0, output);
  return output;
}
/** One host's rows: [[directive, value, source]]. */
function rows(output, host) {
  const lines = output.split('\n');
  const from = lines.findIndex((line) => line.startsWith(host));
  assert.ok(from >= 0, output);
  const after = lines.slice(from + 1);
  const end = after.findIndex((line) => !line.startsWith('    '));
  return after.slice(0, end).map((line) => {
    const [, name, source, value] = /^ {4}(\S+) +(\S+) +(.*)$/.exec(line);
    return [name, value, source];
  });
}
const only = (all, name) => all.filter((row) => row[0] === name).map((row) => row.slice(1));

const LONG = 'the-secret-of-this-test-is-very-long';

it('each directive is shown, with where its value comes from', async () => {
  const output = await dump({
    directives: [
      'Chronicle On',
      `ChronicleJwtSecret "b:${LONG}-1"`,
      `ChronicleJwtSecret "${LONG}-2"`,
      `ChronicleRefreshSecret "${LONG}-3"`,
      'ChronicleDbWait 250',
      'ChronicleCacheSize 3M',
      `ChronicleRedis redis://:${LONG}-8@127.0.0.1:6379/2`,
      `ChronicleSmtp smtp://joe:${LONG}-9@localhost:25?tls=none`,
      'ChronicleMailFrom "Notes <notes@example.com>"',
      'ChronicleImportLimit 3G',
      'ChronicleJobWorkers 0',
      'ChronicleRateLimit api 7/60',
      'ChronicleRateLimit chat off',
      'ChronicleFeature ai Off',
      'ChronicleAllowedOrigins https://a.example https://b.example',
      `ChronicleMetricsToken ${LONG}-4`,
      'ChronicleLog error /tmp/x.log',
      'ChronicleRequireVerifiedEmail On',
      'ChronicleSocketIoPing 300 200',
      'ChronicleSocketIoMaxPayload 2000',
      'ChronicleSocketIoEcho On',
      'ChronicleBlockedWords bad worse',
      'ChronicleBlockedWords worst',
    ],
    env: {
      SESSION_SECRET: `${LONG}-5`,
      RATE_LIMIT_MAX_REQUESTS: '33',
      FRONTEND_URL: `https://joe:${LONG}-6@app.example/x?token=${LONG}-7`,
    },
  });
  const all = rows(output, 'main server');
  const names = [...new Set(all.map(([name]) => name))];
  const known = [
    ...fs.readFileSync(directives, 'utf8').matchAll(/AP_INIT_\w+\(\s*"(\w+)"/g),
  ].map(([, name]) => name);
  assert.deepEqual(names, known);
  assert.deepEqual(only(all, 'Chronicle'), [['On', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleJwtSecret'), [['b:(set) 1:(set)', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleRefreshSecret'), [['(set)', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleSessionSecret'), [['(set)', 'SESSION_SECRET']]);
  assert.deepEqual(only(all, 'ChronicleMetricsToken'), [['(set)', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleDbWait'), [['250', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleRequireVerifiedEmail'), [['On', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleCacheSize'), [['3M', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleRedis'), [['redis://(set)@127.0.0.1:6379/2', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleSmtp'), [['smtp://(set)@localhost:25?(set)', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleMailFrom'), [['Notes <notes@example.com>', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleImportLimit'), [['3G', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleJobWorkers'), [['0', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleSocketIo'), [['On', 'default']]);
  assert.deepEqual(only(all, 'ChronicleSocketIoPing'), [['300 200', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleSocketIoMaxPayload'), [['2000', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleSocketIoUpgradeTimeout'), [['10000', 'default']]);
  assert.deepEqual(only(all, 'ChronicleSocketIoEcho'), [['On', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleBlockedWords'), [['bad worse worst', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleAdminEmail'), [['none', 'default']]);
  assert.deepEqual(only(all, 'ChronicleAllowedOrigins'), [['https://a.example https://b.example', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleFrontendUrl'), [['https://(set)@app.example/x?(set)', 'FRONTEND_URL']]);
  assert.deepEqual(only(all, 'ChronicleRateLimit'), [
    ['api 7/60', 'httpd.conf'],
    ['auth 5/900', 'default'],
    ['search 30/60', 'default'],
    ['upload 10/3600', 'default'],
    ['ai 50/3600', 'default'],
    ['provision 10/900', 'default'],
    ['provgen 33/60', 'RATE_LIMIT_MAX_REQUESTS'],
    ['chat off', 'httpd.conf'],
    ['forms 10/3600', 'default'],
    ['webhook 600/60', 'default'],
  ]);
  assert.ok(only(all, 'ChronicleFeature').some(([value, source]) => value === 'ai Off' && source === 'httpd.conf'));
  assert.ok(only(all, 'ChronicleFeature').some(([value, source]) => value === 'notes On' && source === 'default'));
  assert.deepEqual(only(all, 'ChronicleLog'), [
    ['error /tmp/x.log', 'httpd.conf'],
    ['security off', 'default'],
    ['application off', 'default'],
  ]);
  assert.ok(!output.includes(LONG), output);
  assert.match(output, /Syntax OK/);
});

it('a secret kept elsewhere is not shown either, nor where the API is off', async () => {
  const s = new Server({ chronicle: false, ready: false });
  await s.prepare();
  fs.writeFileSync(path.join(s.dir, 'jwt'), `k1:${LONG}\n`);
  s.directives = [
    'ChronicleRefreshSecret env:THE_SECRET',
    `ChronicleJwtSecret "file:${s.dir}/jwt"`,
    'ChronicleMetricsToken "exec:/bin/echo the-token"',
  ];
  s.env = { THE_SECRET: LONG };
  s.vhosts = [
    { name: 'api.example', lines: ['Chronicle On', 'ChronicleDbWait 300'] },
    { name: 'other.example', lines: [] },
  ];
  s.writeConf();
  const { output } = s.run('-t', '-D', 'DUMP_CHRONICLE');
  const all = rows(output, 'api.example (');
  assert.deepEqual(only(all, 'ChronicleJwtSecret'), [['k1:(set)', 'httpd.conf']]);
  assert.deepEqual(only(all, 'ChronicleDbWait'), [['300', 'httpd.conf']]);
  assert.ok(!output.includes(LONG) && !output.includes('the-token'));
  assert.doesNotMatch(output, /main server|other\.example \(/);
});

it('says so where the API is on nowhere, and nothing without being asked', async () => {
  assert.match(await dump({ db: false }), /Chronicle is On nowhere/);
  const s = new Server({ chronicle: false, ready: false, db: false });
  await s.prepare();
  assert.doesNotMatch(s.run('-t').output, /chronicle/i);
});
