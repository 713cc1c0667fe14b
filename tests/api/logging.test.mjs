/* The logs in JSON: each line is an object whatever clients send, holds no secret, and costs no request. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server, serverSuite } from './lib/server.mjs';
import { rawExchange } from './lib/client.mjs';
import { sleep, until } from './lib/env.mjs';
import { fails, ok, parallel, tally } from './lib/expect.mjs';

const example = fileURLToPath(new URL('../../conf/chronicle-log.conf', import.meta.url));
/* The file that is installed, as an admin includes it. */
const shipped = [(s) => `Define CHRONICLE_LOG_DIR "${s.dir}"`, `Include "${example}"`];
const STREAMS = ['http', 'error', 'security', 'application'];

const file = (s, stream) => path.join(s.dir, `chronicle-${stream}.json`);
/** The lines of a log, each read as strictly as can be. */
function lines(name) {
  if (!fs.existsSync(name)) return [];
  const text = new TextDecoder('utf-8', { fatal: true }).decode(fs.readFileSync(name));
  assert.ok(text === '' || text.endsWith('\n'), `${name} ends within a line`);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      assert.ok(Buffer.byteLength(line) < 4096, `${Buffer.byteLength(line)} bytes`);
      /* nothing that a terminal or a reader of lines takes for more than text */
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u2028\u2029]/);
      const entry = JSON.parse(line);
      assert.match(entry.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      return entry;
    });
}
const entries = (s, stream) => lines(file(s, stream));
/** The line of a request in a log, which is written after its answer. */
const entryOf = (s, stream, id) =>
  until(() => entries(s, stream).find((e) => e.requestId === id), 5000, `${stream} tells of ${id}`);

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

serverSuite('Logs in JSON', { head: ['LogLevel info'], directives: shipped }, (s) => {
  it('the access log tells all that is known of a request', async () => {
    const alice = await s.user();
    const res = await alice.post(
      '/notes?secret=hidden',
      { title: 'x' },
      { headers: { 'user-agent': 'test/1', referer: 'https://app.example/page?token=hidden#frag', 'x-request-id': 'r-1' } },
    );
    fails(res, 400, 'VALIDATION_ERROR');
    const good = await alice.post('/notes', { title: 'x' }, { headers: { 'x-request-id': 'r-2' } });
    ok(good, 201);
    const { time, durationUs, client, traceId, dbMs, bytes, ...bad } = await entryOf(s, 'http', 'r-1');
    assert.deepEqual(bad, {
      stream: 'http',
      host: '127.0.0.1',
      method: 'POST',
      path: '/api/v1/notes',
      protocol: 'HTTP/1.1',
      status: 400,
      user: alice.user.id,
      route: '/api/v1/notes',
      requestId: 'r-1',
      errorCode: 'VALIDATION_ERROR',
      userAgent: 'test/1',
      referer: 'https://app.example/page',
      tls: null,
    });
    assert.ok(Date.now() - Date.parse(time) < 60000);
    assert.ok(Number.isInteger(durationUs) && durationUs > 0);
    assert.match(client, /^127\.0\.0\.1$/);
    assert.match(traceId, /^[0-9a-f]{32}$/);
    assert.equal(typeof dbMs, 'number');
    assert.equal(bytes, res.raw.length);
    const line = await entryOf(s, 'http', 'r-2');
    assert.equal(line.status, 201);
    assert.equal(line.errorCode, null);
    assert.ok(line.dbMs > 0);
  });

  it('a valid traceparent is taken, another one is replaced', async () => {
    const alice = await s.user();
    const traceOf = async (traceparent, id) => {
      ok(await alice.get('/folders', { headers: { traceparent, 'x-request-id': id } }));
      return (await entryOf(s, 'http', id)).traceId;
    };
    assert.equal(await traceOf(`00-${TRACE}-${SPAN}-01`, 't-1'), TRACE);
    assert.equal(await traceOf(`42-${TRACE}-${SPAN}-01-later`, 't-2'), TRACE);
    const replaced = [];
    for (const [n, text] of [
      `00-${TRACE}-${SPAN}-01-later`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${'0'.repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `ff-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
      '"\\',
    ].entries()) {
      replaced.push(await traceOf(text, `u-${n}`));
    }
    for (const id of replaced) {
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.notEqual(id, TRACE);
      assert.doesNotMatch(id, /^0+$/);
    }
    assert.equal(new Set(replaced).size, replaced.length);
  });

  it('our lines of the error log carry request and trace', async () => {
    s.expectLog(/CH1002/);
    const headers = { 'x-request-id': 'e-1', traceparent: `00-${TRACE}-${SPAN}-01` };
    fails(await s.anon.at('GET', '/api/v1/x%00', { headers }), 403, 'SECURITY_VIOLATION');
    for (const stream of ['error', 'application']) {
      const line = await entryOf(s, stream, 'e-1');
      assert.equal(line.traceId, TRACE);
      assert.equal(line.level, 'warn');
      assert.equal(line.severity, 'medium');
      assert.equal(line.module, 'chronicle');
      assert.equal(line.number, 'CH1002');
      assert.equal(line.stream, stream);
      assert.equal(line.client, '127.0.0.1');
      assert.ok(s.processes().includes(line.pid) && line.tid > 0);
      assert.match(line.message, /^CH1002: \[e-1 [0-9a-f]{32}\] security: pattern: control character$/);
    }
    assert.match(s.log(), new RegExp(`CH1002: \\[e-1 ${TRACE}\\]`));
    const event = await entryOf(s, 'security', 'e-1');
    assert.deepEqual(
      [event.event, event.detail, event.user, event.method, event.path],
      ['pattern', 'control character', null, 'GET', '/api/v1/x%00'],
    );
  });

  it('the security log tells who was not accepted, and why', async () => {
    const alice = await s.user();
    let n = 0;
    const told = async (code, request) => {
      n += 1;
      const headers = { 'x-request-id': `s-${n}` };
      fails(await request(headers), ...code);
      const { event, detail, client } = await entryOf(s, 'security', `s-${n}`);
      assert.equal(client, '127.0.0.1');
      return `${event} ${detail}`;
    };
    assert.equal(
      await told([401, 'AUTHENTICATION_REQUIRED'], (headers) => s.anon.get('/folders', { headers })),
      'auth_failure no_credential',
    );
    assert.equal(
      await told([401, 'INVALID_TOKEN'], (headers) => s.anon.get('/folders', { headers, token: 'nonsense' })),
      'auth_failure invalid_token',
    );
    assert.equal(
      await told([401, 'INVALID_CREDENTIALS'], (headers) =>
        s.anon.post('/auth/login', { email: alice.email, password: 'wrong-password' }, { headers }),
      ),
      'auth_failure invalid_credentials',
    );
    assert.equal(
      await told([401, 'INVALID_TOKEN'], (headers) =>
        s.anon.post('/auth/refresh', { refreshToken: `${alice.refreshToken}x` }, { headers }),
      ),
      'auth_failure invalid_token',
    );
    s.expectLog(/CH1002.*origin/);
    assert.equal(
      await told([403, 'SECURITY_VIOLATION'], (headers) =>
        s.anon.post('/auth/login', {}, { headers: { ...headers, origin: 'https://evil.example' } }),
      ),
      'origin https://evil.example',
    );
  });

  it('a start is told, with the version', () => {
    const start = entries(s, 'application').find((e) => e.number === 'CH1062');
    assert.match(start.message, /mod_chronicle 2\.0\.0 for schema \d+/);
    assert.equal(start.severity, 'low');
  });
});

serverSuite(
  'Logs of a protected place',
  {
    modules: ['authn_core', 'authz_user'],
    head: ['<Location "/place">', 'AuthType Chronicle', 'AuthName place', 'Require valid-user', '</Location>'],
    directives: shipped,
  },
  (s) => {
    it('have the same request and trace in each', async () => {
      s.expectLog(/AH\d+|authz|CH\d+/);
      const before = entries(s, 'security').length;
      assert.equal((await s.anon.at('GET', '/place/x', { check: false, token: 'nonsense' })).status, 401);
      const [event] = await until(() => {
        const more = entries(s, 'security').slice(before);
        return more.length ? more : undefined;
      }, 5000, 'the refusal is told');
      assert.deepEqual([event.event, event.detail, event.path], ['auth_failure', 'invalid_token', '/place/x']);
      const line = await entryOf(s, 'http', event.requestId);
      assert.equal(line.traceId, event.traceId);
      assert.equal(line.status, 401);
      const alice = await s.user();
      const headers = { 'x-request-id': 'p-1' };
      assert.equal((await alice.at('GET', '/place/x', { check: false, headers })).status, 404);
      assert.ok((await entryOf(s, 'http', 'p-1')).user);
    });
  },
);

/* Every byte but NUL and line breaks, in all the places that a client fills. */
const HOSTILE = Buffer.concat([
  Buffer.from('"\\",\\"x\\":1}\t'),
  Buffer.from(Array.from({ length: 256 }, (_, n) => n).filter((n) => ![0, 10, 11, 12, 13].includes(n))),
  Buffer.from([0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xf4, 0x90, 0x80, 0x80, 0xe2, 0x80, 0xa8, 0xc2, 0x85, 0xe2, 0x82]),
]);
const noSpace = Buffer.from([...HOSTILE].filter((c) => ![9, 32, 35, 37, 63].includes(c)));

serverSuite(
  'Logs under hostile input',
  {
    /* lets control characters through, so that they reach the logs */
    head: ['HttpProtocolOptions Unsafe', 'LogLevel debug', '<Location "/denied">', 'Require all denied', '</Location>'],
    directives: shipped,
  },
  (s) => {
    it('every line of every log is one JSON object', async () => {
      s.expectLog(/CH1002|client denied|AH\d+|authz/);
      const request = (target, value, extra = '') =>
        Buffer.concat([
          Buffer.from('GET '),
          target,
          Buffer.from(` HTTP/1.1\r\nHost: ${s.host}\r\nConnection: close\r\n${extra}User-Agent: `),
          value,
          Buffer.from('\r\nReferer: http://x/'),
          value,
          Buffer.from('\r\nOrigin: http://'),
          value,
          Buffer.from('\r\nTraceparent: '),
          value,
          Buffer.from('\r\nX-Request-Id: '),
          value,
          Buffer.from('\r\n\r\n'),
        ]);
      const long = Buffer.alloc(7000, '\x01');
      const wide = Buffer.from('ü'.repeat(3500));
      const encoded = Buffer.from([...noSpace].map((c) => `%${c.toString(16).padStart(2, '0')}`).join(''));
      const at = (prefix, rest) => Buffer.concat([Buffer.from(prefix), rest]);
      for (const prefix of ['/api/v1/', '/api/v1/notes/', '/denied/', '/nowhere/', '']) {
        for (const rest of [noSpace, encoded, Buffer.from('%0d%0aInjected:%20x'), Buffer.from('plain')]) {
          for (const value of [HOSTILE, long, wide, Buffer.alloc(0)]) {
            await rawExchange(s, request(at(prefix, rest), value));
          }
        }
      }
      await rawExchange(s, Buffer.concat([noSpace, Buffer.from(' /api/v1/notes HTTP/1.1\r\nHost: x\r\n\r\n')]));
      const count = (stream) => entries(s, stream).length;
      await until(() => count('http') >= 60, 5000, 'the access log is written');
      for (const stream of STREAMS) {
        const all = entries(s, stream);
        assert.ok(all.length >= (stream === 'application' ? 10 : 20), `${stream}: ${all.length}`);
        for (const entry of all) assert.equal(entry.stream, stream);
      }
      /* what is no UTF-8 is marked, what is too long is cut, and the rest is as it was */
      const agents = entries(s, 'http').map((e) => e.userAgent);
      assert.ok(agents.some((text) => text?.startsWith('"\\",\\"x\\":1}\t') && text.includes('\ufffd')));
      assert.ok(agents.some((text) => /^ü+…$/.test(text)));
      assert.ok(entries(s, 'http').some((e) => e.path === '/denied/\r\nInjected: x'));
    });
  },
);

serverSuite('Secrets and the logs', { head: ['LogLevel debug'], directives: shipped }, (s) => {
  it('no token, cookie, password, query or body is in any of them', async () => {
    s.expectLog(/CH1002/);
    const alice = await s.user();
    const marks = { query: 'MARKQUERY', body: 'MARKBODY', cookie: 'MARKCOOKIE', referer: 'MARKREFERER', bearer: 'MARKBEARER' };
    const options = {
      headers: { cookie: `chronicle_session=${marks.cookie}`, referer: `http://x/?t=${marks.referer}` },
    };
    await alice.get(`/notes?token=${marks.query}`, options);
    await alice.post('/notes', { title: marks.body, nonsense: marks.body }, options);
    await s.anon.get('/notes', { ...options, token: marks.bearer });
    await s.anon.post('/auth/login', { email: alice.email, password: marks.body });
    await s.anon.post('/auth/refresh', { refreshToken: `crt_${marks.body}` });
    await s.anon.at('GET', `/nowhere?token=${marks.query}`, { check: false });
    await s.anon.at('GET', `/api/v1/notes?token=${marks.query}../`, options);
    await until(() => entries(s, 'http').length >= 8, 5000, 'the access log is written');
    const all = STREAMS.map((stream) => fs.readFileSync(file(s, stream), 'utf8')).join('');
    for (const mark of [...Object.values(marks), alice.token, alice.refreshToken, s.secrets.jwt, s.secrets.refresh])
      assert.ok(!all.includes(mark), mark);
  });
});

/** Requests that are counted by their ids, from six clients, until stopped. */
function load(s, mark) {
  const state = { count: 0, failures: [], running: true };
  state.finished = parallel(6, async (n) => {
    for (let k = 0; state.running; k += 1) {
      const headers = { 'x-request-id': `${mark}-${n}-${k}` };
      const res = await s.anon.get('/folders', { headers, fresh: true });
      if (res.status !== 401) state.failures.push(res.status);
      state.count += 1;
    }
  });
  state.more = async () => {
    const target = state.count + 60;
    await until(() => state.count > target, 10000, 'the load goes on');
  };
  state.stop = async () => {
    state.running = false;
    await state.finished;
    assert.deepEqual(state.failures, []);
  };
  return state;
}
/** Each request of the load has one line, in the files of a log whatever they are called by now. */
async function allWritten(s, state, mark) {
  for (const stream of ['http', 'security']) {
    const told = () =>
      fs
        .readdirSync(s.dir)
        .filter((name) => name.startsWith(`chronicle-${stream}.json`))
        .flatMap((name) => lines(path.join(s.dir, name)))
        .map((e) => e.requestId)
        .filter((id) => id?.startsWith(`${mark}-`));
    await until(() => told().length >= state.count, 10000, 'all are written');
    assert.equal(told().length, state.count, stream);
    assert.equal(new Set(told()).size, state.count, stream);
  }
}
const restarted = async (s, how) => {
  const mark = s.log().length;
  how();
  await until(() => /resuming normal operations/.test(s.log().slice(mark)), 10000, 'the restart is done');
};

serverSuite('Logs and the server', { children: 2, directives: shipped }, (s) => {
  it('a rotation with a graceful restart loses no line', async () => {
    const alice = await s.user();
    const state = load(s, 'g');
    for (let round = 0; round < 3; round += 1) {
      await state.more();
      for (const stream of STREAMS) fs.renameSync(file(s, stream), `${file(s, stream)}.${round}`);
      await restarted(s, () => s.signal('SIGUSR1'));
    }
    await state.more();
    await state.stop();
    await allWritten(s, state, 'g');
    assert.ok(fs.existsSync(file(s, 'http')), 'a new file');
    ok(await alice.get('/folders'));
  });

  const rotate = ['/usr/sbin/logrotate', '/usr/bin/logrotate'].find((name) => fs.existsSync(name));
  it('nor does the file for logrotate', { skip: rotate ? false : 'logrotate is not installed' }, async () => {
    const conf = path.join(s.dir, 'logrotate.conf');
    const text = fs.readFileSync(new URL('../../packaging/logrotate/chronicle.logrotate', import.meta.url), 'utf8');
    fs.writeFileSync(
      conf,
      text.replaceAll('/var/log/apache2', s.dir).replaceAll('/run/apache2/apache2.pid', `${s.dir}/httpd.pid`),
      { mode: 0o644 },
    );
    const before = fs.readdirSync(s.dir).length;
    const state = load(s, 'l');
    for (let round = 0; round < 2; round += 1) {
      await state.more();
      await restarted(s, () => {
        const done = spawnSync(rotate, ['-v', '-f', '-s', path.join(s.dir, 'logrotate.state'), conf], { encoding: 'utf8' });
        assert.equal(done.status, 0, done.stderr);
        assert.doesNotMatch(done.stderr, /error:/);
      });
      await sleep(1100); /* the names hold the second */
    }
    await state.more();
    await state.stop();
    assert.ok(fs.readdirSync(s.dir).length >= before + 8, 'four logs, twice');
    for (const name of fs.readdirSync(s.dir).filter((n) => n.endsWith('.gz')))
      assert.equal(spawnSync('gunzip', [path.join(s.dir, name)]).status, 0);
    await allWritten(s, state, 'l');
  });

  it('may not be read by everybody', () => {
    assert.equal(fs.statSync(file(s, 'security')).mode & 0o007, 0);
  });
});

serverSuite(
  'A full disk',
  { directives: ['ChronicleLog error /dev/full', 'ChronicleLog security /dev/full'] },
  (s) => {
    it('costs lines, which are counted, and no request', async () => {
      const alice = await s.user();
      const all = await parallel(20, (n) => (n % 2 ? alice : s.anon).get('/folders'));
      assert.deepEqual(tally(all.map((res) => res.status)), { 200: 10, 401: 10 });
      const { text } = await s.anon.at('GET', '/metrics');
      assert.ok(Number(/^chronicle_log_lines_lost_total (\d+)$/m.exec(text)[1]) >= 10);
    });
  },
);

serverSuite(
  'Logs by programs and virtual hosts',
  {
    directives: [(s) => `ChronicleLog security "|$/bin/cat >>${s.dir}/piped.log"`],
    vhosts: [
      { name: 'main.example', lines: [] },
      { name: 'quiet.example', lines: ['ChronicleLog security off'] },
      { name: 'own.example', lines: [(s) => `ChronicleLog security "${s.dir}/own.log"`] },
      { name: 'same.example', lines: [(s) => `ChronicleLog security "|$/bin/cat >>${s.dir}/piped.log"`] },
    ],
  },
  (s) => {
    it('each host writes where it is told to', async () => {
      const knock = (host, id) =>
        s.anon.get('/folders', { headers: { host, 'x-request-id': id, connection: 'close' } });
      await knock('main.example', 'main');
      await knock('quiet.example', 'quiet');
      await knock('own.example', 'own');
      await knock('same.example', 'same');
      const idsOf = (name) => lines(path.join(s.dir, name)).map((e) => `${e.host} ${e.requestId}`);
      await until(() => fs.existsSync(`${s.dir}/piped.log`) && idsOf('piped.log').length >= 2, 5000, 'piped');
      assert.deepEqual(idsOf('piped.log'), ['main.example main', 'same.example same']);
      assert.deepEqual(idsOf('own.log'), ['own.example own']);
      const cats = s.processes().filter((pid) => {
        try {
          return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('piped.log');
        } catch {
          return false;
        }
      });
      assert.ok(cats.length >= 1 && cats.length <= 2, 'one program for both (and its shell)');
    });
  },
);

serverSuite('Without mod_log_config and with the API off', { chronicle: false, ready: false, db: false, directives: [(s) => `ChronicleLog error "${s.dir}/e.log"`, 'LogLevel debug'] }, (s) => {
  it('the error log of any server can be JSON', async () => {
    assert.equal(await s.probe('/'), 404);
    const all = lines(path.join(s.dir, 'e.log'));
    assert.ok(all.some((e) => e.module === 'mpm_event' && /resuming normal operations/.test(e.message)));
    assert.ok(all.some((e) => e.number === 'AH00094'));
  });
});

it('what cannot be logged to stops the start with the place', async () => {
  for (const [line, message] of [
    ['ChronicleLog nonsense x', /ChronicleLog: unknown log nonsense/],
    ['ChronicleLog error "|"', /ChronicleLog: must be a file/],
    ['ChronicleLog error', /ChronicleLog takes two arguments/],
  ]) {
    const s = new Server({ db: false, chronicle: false, ready: false, directives: [line] });
    await s.prepare();
    const { status, output } = s.run('-t');
    assert.notEqual(status, 0);
    assert.match(output, message);
    assert.match(output, /httpd\.conf/);
  }
  const s = new Server({ db: false, chronicle: false, ready: false, directives: ['ChronicleLog error /nowhere/x.log'] });
  await assert.rejects(s.start(), /CH1061: ChronicleLog: cannot open \/nowhere\/x\.log/);
});
