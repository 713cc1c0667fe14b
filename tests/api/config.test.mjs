/* Configuration: what configtest refuses, secrets, several virtual hosts, and what stays untouched (API.md section 19). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server, serverSuite, startServer } from './lib/server.mjs';
import { TLS_NOISE, tlsOptions } from './lib/tls.mjs';
import { cookieLogin, jwtHeader, mintJwt, jwtClaims } from './lib/accounts.mjs';
import { fails, ok, parallel } from './lib/expect.mjs';

const hex = () => crypto.randomBytes(24).toString('hex');
const REFRESH = `ChronicleRefreshSecret "${hex()}"`;
const JWT = `ChronicleJwtSecret "1:${hex()}"`;
const DB = ['DBDriver pgsql', 'DBDParams "dbname=none"'];

describe('configtest', () => {
  const server = new Server({ chronicle: false, db: false, ready: false });
  before(() => server.prepare());
  after(() => fs.rmSync(server.dir, { recursive: true, force: true }));

  const test = (lines) => {
    server.directives = lines;
    server.writeConf();
    const done = server.run('-t');
    const at = fs.readFileSync(server.conf, 'utf8').split('\n').indexOf(lines.at(-1)) + 1;
    return { ...done, at };
  };
  /* The last line is the bad one, so that its number is known. */
  const good = ['Chronicle On', JWT, REFRESH, ...DB];
  const bad = (line, name = line.split(' ')[0]) => [
    `${line.slice(0, 70)}`,
    [...good.filter((l) => l.split(' ')[0] !== name), line],
    name,
    true,
  ];

  it('a complete configuration passes', () => {
    const { status, output } = test(good);
    assert.equal(status, 0, output);
    assert.match(output, /Syntax OK/);
  });

  const cases = [
    ['ChronicleJwtSecret missing', [REFRESH, ...DB, 'Chronicle On'], 'ChronicleJwtSecret'],
    ['ChronicleRefreshSecret missing', [JWT, ...DB, 'Chronicle On'], 'ChronicleRefreshSecret'],
    ['DBDParams missing', [JWT, REFRESH, 'DBDriver pgsql', 'Chronicle On'], 'DBDParams'],
    ['DBDriver missing', [JWT, REFRESH, 'DBDParams "dbname=none"', 'Chronicle On'], 'DBDriver'],
    bad('ChronicleJwtSecret "1:too-short"'),
    bad('ChronicleJwtSecret ""'),
    bad('ChronicleJwtSecret "1:file:/nonexistent/secret"'),
    bad('ChronicleJwtSecret "file:/nonexistent/secret"'),
    bad('ChronicleJwtSecret "env:CH_TEST_NO_SUCH_VARIABLE"'),
    bad('ChronicleJwtSecret "exec:/bin/false"'),
    bad('ChronicleJwtSecret "exec:/nonexistent/program"'),
    bad('ChronicleRefreshSecret ""'),
    bad('ChronicleRefreshSecret "file:/nonexistent/secret"'),
    bad('ChronicleSessionSecret "env:CH_TEST_NO_SUCH_VARIABLE"'),
    bad('Chronicle Maybe'),
    ...[
      'api',
      'api ten/60',
      'api 10',
      'api 10/',
      'api /60',
      'api 10/0',
      'api -1/60',
      'api 10/60x',
      'api 10/60/5',
      'nope 10/60',
      'api 99999999999/60',
      'api on',
      '',
    ].map((words) => bad(`ChronicleRateLimit ${words}`.trim())),
    ...['nope On', 'notes Maybe', 'notes', ''].map((words) => bad(`ChronicleFeature ${words}`.trim())),
    ...[
      '*',
      'app.example.com',
      'ftp://app.example.com',
      'https://app.example.com/path',
      'https://',
      'https://app.example.com nonsense',
      '',
    ].map((words) => bad(`ChronicleAllowedOrigins ${words}`.trim())),
    bad('ChronicleFrontendUrl app.example.com'),
    bad('ChroniclePublicUrl ftp://app.example.com'),
    bad('ChronicleAdminEmail nonsense'),
    bad('ChronicleRequireVerifiedEmail perhaps'),
    ...[
      'mail.example.com',
      'http://mail.example.com',
      'smtp://',
      'smtp://user@mail.example.com',
      'smtp://user:s3cret@mail.example.com:0',
      'smtp://user:s3cret%zz@mail.example.com',
      'smtp://mail.example.com?tls=maybe',
      'smtps://mail.example.com?tls=none',
      'smtp://mail.example.com?ca=/nonexistent',
      'file:/nonexistent/smtp',
      'env:CH_TEST_NO_SUCH_VARIABLE',
      '',
    ].map((words) => bad(`ChronicleSmtp "${words}"`)),
    ...['nonsense', 'Notes notes@example.com', 'Notes <notes>', 'a@b.c, d@e.f', ''].map((words) =>
      bad(`ChronicleMailFrom "${words}"`),
    ),
    bad('ChronicleDbWait soon'),
    bad('ChronicleDbWait -1'),
    bad('ChronicleSocketIo Perhaps'),
    bad('ChronicleSocketIoEcho 1'),
    ...['300', '300 200 100', '99 200', '300 99', '3600001 200', '300 3600001', 'x 200', '300 200ms', '""  ""'].map((words) =>
      bad(`ChronicleSocketIoPing ${words}`),
    ),
    ...['999', '16000001', '1M', '-1', 'many', '""'].map((words) => bad(`ChronicleSocketIoMaxPayload ${words}`)),
    ...['0', '-1', '5G', '4194305K', '4294967297', '1T', '1 M', 'K', '""'].map((words) => bad(`ChronicleImportLimit ${words}`)),
    ...['99', '600001', '5s', '""'].map((words) => bad(`ChronicleSocketIoUpgradeTimeout ${words}`)),
    ...['', '""', '"two words"', '"a\u00a0b"', '"a\x01"', 'x'.repeat(101)].map((words) =>
      bad(`ChronicleBlockedWords ${words}`.trim()),
    ),
    ...[
      'nonsense',
      '"http://host"',
      '"redis://"',
      '"redis://host:0"',
      '"redis://host/x"',
      '"redis://too-short@host"',
      '"redis://:too-short%@host"',
      '"unix://too-short"',
      '"file:/nonexistent/secret"',
      '"env:CH_TEST_NO_SUCH_VARIABLE"',
      '"rediss://:too-short@host"',
      '',
    ].map((words) => bad(`ChronicleRedis ${words}`.trim())),
    bad('ChronicleNoSuchThing On'),
  ];
  for (const [what, lines, name, numbered] of cases) {
    it(`${what}: refused, naming the directive and the place`, () => {
      const { status, output, at } = test(lines);
      assert.notEqual(status, 0, output);
      assert.ok(output.includes(name), output);
      assert.ok(output.includes(server.conf), `the file is not named: ${output}`);
      if (numbered) assert.match(output, new RegExp(`(line |:)${at}\\b`), output);
      for (const secret of ['too-short', 's3cret', ...(lines.join('\n').match(/[0-9a-f]{48}/g) ?? [])])
        assert.ok(!output.includes(secret), 'the secret is shown');
    });
  }

  it('numbers pass at their bounds', () => {
    for (const lines of [
      ['ChronicleImportLimit 1'],
      ['ChronicleImportLimit 4g'],
      ['ChronicleSocketIoPing 100 100', 'ChronicleSocketIoMaxPayload 1000', 'ChronicleSocketIoUpgradeTimeout 100'],
      ['ChronicleSocketIoPing 3600000 3600000', 'ChronicleSocketIoMaxPayload 16000000', 'ChronicleSocketIoUpgradeTimeout 600000'],
      [`ChronicleBlockedWords ${'\u00e9'.repeat(100)}`],
    ]) {
      const { status, output } = test([...good, ...lines]);
      assert.equal(status, 0, output);
    }
  });

  it('Redis with TLS: the text says why not', () => {
    const { output } = test([...good, 'ChronicleRedis rediss://host']);
    assert.match(output, /ChronicleRedis: .*without TLS.*hiredis/s);
  });

  it('Redis in the environment: refused, naming the variable', () => {
    for (const vars of [{ REDIS_URL: 'rediss://:too-short@host' }, { REDIS_HOST: 'host', REDIS_PORT: 'too-short' }]) {
      server.env = vars;
      const { status, output } = test(good);
      server.env = {};
      assert.notEqual(status, 0);
      assert.match(output, /REDIS_URL or REDIS_HOST/);
      assert.ok(!output.includes('too-short'), output);
    }
  });

  it('a directive in a directory section is refused', () => {
    for (const line of ['Chronicle On', JWT]) {
      const { status, output } = test([...good, '<Directory "/tmp">', line, '</Directory>']);
      assert.notEqual(status, 0);
      assert.match(output, /Chronicle/);
    }
  });

  /* The name of the test's own server is an address. */
  const mail = (...lines) => {
    const { status, output } = test([...DB, '<VirtualHost *:1>', ...lines, 'Chronicle On', JWT, REFRESH, '</VirtualHost>']);
    return { status, output };
  };

  it('a server with a domain of its own needs no sender', () => {
    assert.equal(mail('ServerName notes.example.com', 'ChronicleSmtp smtp://mail.example.com').status, 0);
    for (const name of ['127.0.0.1', 'localhost']) {
      const { status, output } = mail(`ServerName ${name}`, 'ChronicleSmtp smtp://mail.example.com');
      assert.notEqual(status, 0, name);
      assert.match(output, /ChronicleMailFrom is required/);
      const whole = mail(`ServerName ${name}`, 'ChronicleSmtp smtp://mail.example.com', 'ChronicleMailFrom a@example.com');
      assert.equal(whole.status, 0, whole.output);
    }
    assert.equal(mail('ServerName 127.0.0.1', 'ChronicleSmtp off').status, 0);
  });

  it('a password in the clear is warned of', () => {
    const from = ['ServerName notes.example.com'];
    const cases = [
      ['smtp://user:s3cret@mail.example.com?tls=none', true],
      ['smtp://user:s3cret@mail.example.com', false],
      ['smtps://user:s3cret@mail.example.com', false],
      ['smtp://user:s3cret@localhost?tls=none', false],
      ['smtp://mail.example.com?tls=none', false],
    ];
    for (const [url, warned] of cases) {
      const { status, output } = mail(...from, `ChronicleSmtp "${url}"`);
      assert.equal(status, 0, output);
      assert.equal(/CH1080: .*mail\.example\.com/.test(output), warned, output);
      assert.ok(!output.includes('s3cret'));
    }
  });

  it('the environment names the mail server', () => {
    const withEnv = (env, ...lines) => {
      server.env = env;
      try {
        return mail('ServerName notes.example.com', ...lines);
      } finally {
        server.env = {};
      }
    };
    const host = { SMTP_HOST: 'mail.example.com' };
    assert.equal(withEnv(host).status, 0);
    assert.equal(withEnv({ ...host, SMTP_PORT: '465', SMTP_USER: 'user', SMTP_PASS: 's3cret' }).status, 0);
    assert.equal(withEnv({ SMTP_PORT: 'nonsense' }).status, 0, 'there is no host');
    const all = { ...host, SMTP_PORT: '465', SMTP_USER: 'user', SMTP_PASS: 's3cret' };
    server.env = all;
    const { output } = server.run('-t', '-D', 'DUMP_CHRONICLE');
    server.env = {};
    assert.match(output, /ChronicleSmtp +SMTP_HOST +smtps:\/\/\(set\)@mail\.example\.com:465\n/);
    for (const bad of [{ SMTP_PORT: 'x' }, { SMTP_PORT: '0' }, { SMTP_USER: 'user' }, { SMTP_HOST: 'a b' }, { SMTP_USER: 'u', SMTP_PASS: 'file:/nonexistent' }]) {
      const { status, output } = withEnv({ ...host, ...bad });
      assert.notEqual(status, 0, JSON.stringify(bad));
      assert.match(output, /SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASS: /);
      assert.equal(withEnv({ ...host, ...bad }, 'ChronicleSmtp off').status, 0);
    }
  });

  it('a virtual host that lacks a secret is named with its line', () => {
    const { status, output } = test([
      ...DB,
      '<VirtualHost *:1>',
      'ServerName lacking.example',
      'Chronicle On',
      REFRESH,
      '</VirtualHost>',
    ]);
    assert.notEqual(status, 0);
    assert.match(output, /ChronicleJwtSecret/);
    const line = fs.readFileSync(server.conf, 'utf8').split('\n').indexOf('<VirtualHost *:1>') + 1;
    assert.ok(
      output.includes('lacking.example') || new RegExp(`(line |:)(${line}|${line + 2})\\b`).test(output),
      output,
    );
  });

  it('without Chronicle On nothing is required', () => {
    for (const lines of [[], ['Chronicle Off'], [...DB, 'Chronicle Off']]) assert.equal(test(lines).status, 0);
  });

  it('secrets may come from the environment variables of the table', () => {
    server.env = { JWT_SECRET: hex(), JWT_REFRESH_SECRET: hex() };
    const { status, output } = test(['Chronicle On', ...DB]);
    server.env = { JWT_SECRET: 'short', JWT_REFRESH_SECRET: hex() };
    const short = test(['Chronicle On', ...DB]);
    server.env = {};
    assert.equal(status, 0, output);
    assert.notEqual(short.status, 0);
    assert.match(short.output, /JWT_SECRET|ChronicleJwtSecret/);
  });
});

/* Each way to give a secret; the server must sign with exactly that secret. */
const SECRET = hex();
for (const [how, build] of [
  [
    'file:, trailing newline dropped',
    (s) => {
      const file = path.join(s.dir, 'jwt');
      fs.writeFileSync(file, `k7:${SECRET}\n`, { mode: 0o600 });
      return `ChronicleJwtSecret "file:${file}"`;
    },
  ],
  ['env:', () => 'ChronicleJwtSecret "env:CH_TEST_JWT"'],
  [
    'exec:',
    (s) => {
      const file = path.join(s.dir, 'secret.sh');
      fs.writeFileSync(file, `#!/bin/sh\necho k7:${SECRET}\n`, { mode: 0o700 });
      return `ChronicleJwtSecret "exec:${file}"`;
    },
  ],
]) {
  serverSuite(`A secret by ${how}`, { directives: [build], env: { CH_TEST_JWT: `k7:${SECRET}` } }, (s) => {
    it('signs the tokens and is in no log', async () => {
      const alice = await s.user();
      assert.equal(jwtHeader(alice.token).kid, 'k7');
      ok(
        await s.anon.get('/auth/me', {
          token: mintJwt(jwtClaims(alice.token), SECRET, { header: { alg: 'HS256', typ: 'JWT', kid: 'k7' } }),
        }),
      );
      assert.ok(!s.log().includes(SECRET) && !s.stderr.includes(SECRET));
    });
  });
}

const SHOP = `${crypto.randomBytes(24).toString('hex')}`;
serverSuite(
  'Virtual hosts',
  {
    vhosts: [
      { name: 'first.example', lines: [] } /* also the default */,
      { name: 'plain.example', lines: ['Chronicle Off'] },
      {
        name: 'second.example',
        lines: [
          'Chronicle On',
          `ChronicleJwtSecret "v2:${SHOP}"`,
          `ChronicleRefreshSecret "${hex()}"`,
          'ChronicleRateLimit api 5/600',
          'ChronicleAllowedOrigins https://second.example',
        ],
      },
      { name: 'nonotes.example', lines: ['Chronicle On', 'ChronicleFeature notes Off'] },
    ],
  },
  (s) => {
    const on = (host, options = {}) => ({ ...options, headers: { host, ...options.headers } });
    let first;
    let second;
    before(async () => {
      first = s.client({ headers: { host: 'first.example' } });
      second = s.client({ headers: { host: 'second.example' } });
    });
    const register = async (client) =>
      ok(await client.post('/auth/register', { email: `${hex()}@example.com`, password: 'correct horse battery' }), 201)
        .tokens.accessToken;

    it('each host has its own secrets: a token of one is none on the other', async () => {
      const [a, b] = [await register(first), await register(second)];
      assert.equal(jwtHeader(b).kid, 'v2');
      ok(await first.get('/auth/me', { token: a }));
      ok(await second.get('/auth/me', { token: b }));
      fails(await first.get('/auth/me', { token: b }), 401, 'INVALID_TOKEN');
      fails(await second.get('/auth/me', { token: a }), 401, 'INVALID_TOKEN');
    });

    it('each host has its own limits and origins', async () => {
      const token = await register(second);
      const all = await parallel(8, () => second.get('/folders', { token }));
      assert.equal(all.filter((res) => res.status === 429).length, 3);
      const other = await first.get('/folders', { token: await register(first) });
      ok(other);
      assert.equal(other.headers['ratelimit-limit'], undefined);
      const origin = { headers: { origin: 'https://second.example' } };
      assert.equal(
        (await second.get('/nope', origin)).headers['access-control-allow-origin'],
        'https://second.example',
      );
      s.expectLog(/security: /);
      assert.equal((await first.get('/nope', origin)).headers['access-control-allow-origin'], undefined);
    });

    it('a host with Chronicle Off is plain httpd', async () => {
      for (const target of ['/api/v1/folders', '/health', '/metrics', '/api-docs']) {
        const res = await s.anon.at('GET', target, on('plain.example', { check: false }));
        assert.equal(res.status, 404);
        assert.equal(res.headers['x-api-version'], undefined);
      }
    });

    it('an area that is off answers ROUTE_NOT_FOUND, and is in no document', async () => {
      const client = s.client({ headers: { host: 'nonotes.example' } });
      const token = await register(client);
      for (const [method, target] of [
        ['GET', '/notes'],
        ['POST', '/folders'],
        ['PATCH', '/folders'],
        ['OPTIONS', '/notes'],
      ]) {
        fails(await client.api(method, target, { token, json: {} }), 404, 'ROUTE_NOT_FOUND');
      }
      ok(await client.get('/user/profile', { token }));
      const doc = (await client.at('GET', '/api/v1/openapi.json')).json;
      assert.deepEqual(
        Object.keys(doc.paths).filter((p) => /^\/api\/v1\/(notes|folders|sync|search)\b/.test(p)),
        [],
      );
      const { endpoints } = ok(await client.at('GET', '/api/v1'));
      assert.deepEqual(
        endpoints.filter((e) => /\/notes|\/folders/.test(e.path)),
        [],
      );
    });
  },
);

describe('Beside other content', () => {
  const files = {
    'index.html': '<p>home</p>',
    'hello.txt': 'hello',
    'api/v1/folders': 'a file',
    'apix/a.txt': 'near',
    'healthy/a.txt': 'near',
    'v1/folders': 'a file',
  };
  const place = (server) => {
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(server.dir, 'htdocs', name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, text);
    }
  };
  const visit = async (server, targets) =>
    Promise.all(
      targets.map(async (target) => {
        const res = await fetch(server.origin + target);
        return [target, res.status, await res.text(), [...res.headers.keys()].sort().join(' ')];
      }),
    );

  it('loaded but Off, or not loaded at all, httpd answers the same', async () => {
    const targets = [
      '/',
      '/hello.txt',
      '/api/v1/folders',
      '/api',
      '/health',
      '/apix/a.txt',
      '/nope',
      '/metrics',
      '/v1/folders',
      '/api/v1/%2e%2e/x',
      '/socket.io/',
    ];
    const answers = [];
    for (const options of [{ load: false }, {}, { directives: ['Chronicle Off'] }]) {
      const server = await startServer({ chronicle: false, db: false, ready: false, ...options });
      place(server);
      answers.push(await visit(server, targets));
      await server.stop();
    }
    assert.equal(answers[0].filter(([, status]) => status === 200).length, 4);
    assert.deepEqual(answers[1], answers[0]);
    assert.deepEqual(answers[2], answers[0]);
  });

  it('On, files outside our paths are served as before, and our paths are ours', async () => {
    const server = await startServer({});
    place(server);
    for (const [target, name] of [
      ['/', 'index.html'],
      ['/hello.txt', 'hello.txt'],
      ['/apix/a.txt', 'apix/a.txt'],
      ['/healthy/a.txt', 'healthy/a.txt'],
      ['/v1/folders', 'v1/folders'],
    ]) {
      const res = await server.anon.at('GET', target, { check: false });
      if (target !== '/') assert.deepEqual([res.status, res.text], [200, files[name]], target);
      assert.equal(res.headers['x-api-version'], undefined);
      assert.equal(res.headers['content-security-policy'], undefined);
    }
    fails(await server.anon.get('/folders'), 401, 'AUTHENTICATION_REQUIRED');
    await server.stop();
  });
});

serverSuite('TLS', tlsOptions(), (s) => {
  s.expectLog(...TLS_NOISE);
  it('answers carry Strict-Transport-Security, and cookies are Secure', async () => {
    const alice = await s.user();
    const tls = s.client({ tls: true, cookies: {} });
    const res = await tls.post('/auth/login', { email: alice.email, password: alice.password, session: true });
    ok(res);
    assert.equal(res.headers['strict-transport-security'], 'max-age=31536000; includeSubDomains');
    for (const line of res.headers['set-cookie']) assert.match(line, /;\s*secure/i);
    ok(await tls.get('/folders'));
    const plain = await cookieLogin(s, alice);
    for (const line of plain.loginAnswer.headers['set-cookie']) assert.doesNotMatch(line, /;\s*secure/i);
  });
});
