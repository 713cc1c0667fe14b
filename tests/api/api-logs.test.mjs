/* The log of API requests (API.md section 18): what leaves a row, how many are kept, and that none is lost or doubled. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { rawExchange } from './lib/client.mjs';
import { Server, serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { env, sleep, until } from './lib/env.mjs';
import { fails, ids, invalid, NOWHERE, ok, parallel } from './lib/expect.mjs';
import { DATABASE_NOISE, connect, createDatabase, dropDatabase, PrivateCluster } from './lib/postgres.mjs';
import { dbLines } from './lib/conf.mjs';

const requestId = (res) => res.headers['x-request-id'];
const rowsOf = (s, answers) =>
  s.sql('SELECT *, host(ip_address) AS ip FROM api_logs WHERE request_id = ANY ($1) ORDER BY created_at, id', [
    answers.map(requestId),
  ]);
/** The rows of these answers, once all are there. */
const logged = (s, answers, ms = 2000) =>
  until(
    async () => {
      const rows = await rowsOf(s, answers);
      return rows.length >= answers.length && rows;
    },
    ms,
    `${answers.length} rows of the API log`,
  );
/** Fewer at a time than the server has threads: it would close idle connections of a client that means to go on. */
const many = async (n, send) => {
  const answers = [];
  while (answers.length < n) answers.push(...(await parallel(Math.min(25, n - answers.length), send)));
  return answers;
};
const dropped = async (s) => {
  const text = (await s.anon.at('GET', '/metrics')).text;
  const value = (reason) => Number(new RegExp(`chronicle_api_logs_dropped_total\\{reason="${reason}"\\} (\\d+)`).exec(text)[1]);
  return { rate: value('rate'), full: value('full'), lost: value('lost') };
};

serverSuite('API log', {}, (s) => {
  let boss;
  let alice;
  before(async () => {
    boss = await newAdmin(s);
    alice = await s.user();
  });
  const list = async (query = '') => ok(await boss.get(`/admin/api-logs?${query}`));

  it('shows the requests of a moment ago, within a second', async () => {
    const start = Date.now();
    const made = [await alice.get('/folders?limit=7'), await alice.post('/notes', { title: 'x' }), await s.anon.get('/notes')];
    const items = await until(
      async () => {
        const found = (await list('limit=100')).items.filter((item) => made.map(requestId).includes(item.requestId));
        return found.length === 3 && found;
      },
      1000,
      'three rows',
    );
    const [refused, created, listed] = items;
    assert.deepEqual(
      { ...listed, id: 0, durationMs: 0, createdAt: 0 },
      {
        id: 0,
        requestId: requestId(made[0]),
        userId: alice.user.id,
        method: 'GET',
        path: '/api/v1/folders',
        route: '/api/v1/folders',
        status: 200,
        durationMs: 0,
        ipAddress: '127.0.0.1',
        userAgent: null,
        errorCode: null,
        createdAt: 0,
      },
    );
    assert.deepEqual([created.method, created.status, created.userId], ['POST', 201, alice.user.id]);
    assert.deepEqual([refused.status, refused.userId, refused.errorCode], [401, null, 'AUTHENTICATION_REQUIRED']);
    for (const item of items) {
      assert.ok(Date.parse(item.createdAt) >= start - 5 && Date.parse(item.createdAt) <= Date.now(), item.createdAt);
      assert.ok(item.durationMs >= 0 && item.durationMs <= Date.now() - start, String(item.durationMs));
    }
  });

  it('the route is the template, the path what was sent, without query', async () => {
    const cases = [
      [await alice.get(`/notes/${NOWHERE}?deleted=true`), `/api/v1/notes/${NOWHERE}`, '/api/v1/notes/{id}', 'NOTE_NOT_FOUND'],
      [await alice.get(`/notes/${NOWHERE}/versions/3`), `/api/v1/notes/${NOWHERE}/versions/3`, '/api/v1/notes/{id}/versions/{version}', 'NOTE_NOT_FOUND'],
      [await alice.at('GET', '/api/folders/?limit=1'), '/api/folders/', '/api/v1/folders', null],
      [await alice.get('/user/sessions/%2e%2E%2f?token=secret'), '/api/v1/user/sessions/%2e%2E%2f', '/api/v1/user/sessions/{id}', 'SECURITY_VIOLATION'],
      [await alice.get('/nope/%C3%A9?x=1'), '/api/v1/nope/%C3%A9', null, 'ROUTE_NOT_FOUND'],
      [await alice.at('GET', '/api/nope'), '/api/nope', null, 'ROUTE_NOT_FOUND'],
      [await alice.del('/folders'), '/api/v1/folders', '/api/v1/folders', 'METHOD_NOT_ALLOWED'],
      [await alice.api('OPTIONS', '/folders'), '/api/v1/folders', '/api/v1/folders', null],
      [await alice.api('HEAD', '/folders'), '/api/v1/folders', '/api/v1/folders', null],
      [await alice.at('GET', '/api/v1'), '/api/v1', '/api/v1', null],
      [await alice.api('POST', '/notes', { body: '{', type: 'application/json' }), '/api/v1/notes', '/api/v1/notes', 'MALFORMED_JSON'],
    ];
    s.expectLog(/security: /);
    const rows = await logged(s, cases.map(([res]) => res));
    for (const [res, path, route, code] of cases) {
      const row = rows.find((one) => one.request_id === requestId(res));
      assert.deepEqual([row.path, row.route, row.error_code, row.status], [path, row.route && route, code, res.status]);
      if (route) assert.equal(row.route, route);
      assert.doesNotMatch(JSON.stringify(row), /secret|\?/);
    }
    const [nowhere] = (await list('path=/api/v1/nope/')).items;
    assert.equal(nowhere.route, 'none');
  });

  it('documents and what watches the server leave nothing', async () => {
    const answers = [];
    for (const path of ['/health', '/health/ready', '/api/v1/health', '/api/health/live', '/metrics', '/api/v1/metrics', '/api-docs', '/api/v1/docs', '/api/v1/openapi.json']) {
      answers.push(await s.anon.at('GET', path), await s.anon.at('POST', path));
    }
    answers.push(await s.anon.at('GET', '/nope', { check: false }));
    await logged(s, [await alice.get('/folders')]);
    assert.deepEqual(await rowsOf(s, answers.filter(requestId)), []);
  });

  it('what a client names itself is cut, and made text', async () => {
    const send = async (path, headers) => {
      const id = crypto.randomUUID();
      const head = Object.entries({ host: s.host, connection: 'close', 'x-request-id': id, ...headers });
      const bytes = Buffer.from(`GET ${path} HTTP/1.1\r\n${head.map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n`, 'latin1');
      const res = await rawExchange(s, [bytes]);
      assert.ok(res.status, res.text);
      return { headers: { 'x-request-id': id } };
    };
    const utf8 = (text) => Buffer.from(text).toString('latin1');
    const long = 'x'.repeat(6000);
    const sent = [
      await send('/api/v1/nope', { 'user-agent': `${long}` }),
      await send(`/api/v1/nope/${long}`, { 'user-agent': utf8('é😀 "quoted", {NULL} \\ back') }),
      await send('/api/v1/nope', { 'user-agent': '\xff\xfe caf\xe9 \xc3' }),
      await send('/api/v1/nope', { 'user-agent': utf8(`${'x'.repeat(255)}é`) }),
      await send('/api/v1/nope', { 'user-agent': utf8('a\u0085b\tc') }),
      await send('/api/v1/nope', { 'user-agent': 'NULL', 'x-request-id': 'n'.repeat(128) }),
      await send('http://elsewhere.example/api/v1/nope?q=1', {}),
    ];
    sent[5].headers['x-request-id'] = 'n'.repeat(128);
    const rows = await logged(s, sent);
    const row = (n) => rows.find((one) => one.request_id === requestId(sent[n]));
    assert.equal(row(0).user_agent, 'x'.repeat(256));
    assert.equal(row(1).path, `/api/v1/nope/${long}`.slice(0, 512));
    assert.equal(row(1).user_agent, 'é😀 "quoted", {NULL} \\ back');
    assert.equal(row(2).user_agent, '?? caf? ?');
    assert.equal(row(3).user_agent, `${'x'.repeat(255)}?`, 'half a character is none');
    assert.match(row(4).user_agent, /^a\?\?b[?\t ]c$/);
    assert.doesNotMatch(row(4).user_agent, /\p{Cc}/u);
    assert.equal(row(5).user_agent, 'NULL');
    assert.equal(row(6).path, '/api/v1/nope');
    assert.equal(row(6).user_agent, null);
  });

  it('every request leaves one row, whichever child answers it', async () => {
    const answers = await parallel(60, (n) => (n % 2 ? alice : s.anon).get('/folders', { fresh: true }));
    const rows = await logged(s, answers);
    assert.equal(rows.length, 60);
    assert.equal(new Set(rows.map((row) => row.id)).size, 60);
    const pids = new Set(s.accessLog().trim().split('\n').map((line) => line.split(' ').at(-1)));
    assert.ok(pids.size >= 2, 'two children answered');
    await sleep(700);
    assert.equal((await rowsOf(s, answers)).length, 60);
    for (const row of rows) assert.match(row.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  describe('filters', () => {
    const MARK = '0198a000-0000-7000-8000-0000000000cc';
    let made;
    before(async () => {
      made = await s.sql(
        `INSERT INTO api_logs (request_id, user_id, method, path, route, status, duration_ms, ip_address, created_at)
         SELECT 'filter-' || n, CASE WHEN n % 2 = 0 THEN $1::uuid END, 'GET',
                (ARRAY['/api/v1/f%/x', '/api/v1/f_/x', '/api/v1/fx/x', '/api/v1/F%/x'])[1 + n % 4], '/api/v1/f',
                200 + 100 * (n % 3), n, '10.1.2.3', timestamptz '2020-02-02T00:00:00.123456Z' + (n / 2) * interval '1 s'
         FROM generate_series(0, 23) n RETURNING *`,
        [MARK],
      );
    });
    const RANGE = 'from=2020-02-02T00:00:00Z&to=2020-02-02T00:01:00Z';
    const expected = (fn) =>
      made
        .filter(fn)
        .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1))
        .map((row) => row.id);
    const at = (seconds) => (row) => row.created_at.getTime() === Date.parse('2020-02-02T00:00:00.123Z') + seconds * 1000;
    for (const [query, fn] of [
      ['', () => true],
      [`userId=${MARK}`, (row) => row.user_id === MARK],
      [`userId=${MARK.toUpperCase()}&status=300`, (row) => row.user_id === MARK && row.status === 300],
      ['status=404', () => false],
      ['path=/api/v1/f%25', (row) => row.path.startsWith('/api/v1/f%')],
      ['path=/api/v1/f_', (row) => row.path.startsWith('/api/v1/f_')],
      ['path=/api/v1/f', (row) => row.path.startsWith('/api/v1/f')],
      ['path=api', () => false],
      ['path=/api/v1/fx&status=200', (row) => row.path.startsWith('/api/v1/fx') && row.status === 200],
    ]) {
      it(`?${query} in a range of time`, async () => {
        const { items, pagination } = await list(`${RANGE}&limit=100&${query}`);
        assert.deepEqual(ids(items), expected(fn));
        assert.equal(pagination.total, items.length);
        const walked = [];
        for (let cursor = ''; cursor !== null; ) {
          const page = await list(`${RANGE}&limit=3&${query}&cursor=${cursor}`);
          walked.push(...ids(page.items));
          cursor = page.pagination.nextCursor;
        }
        assert.deepEqual(walked, ids(items));
        const second = await list(`${RANGE}&limit=3&${query}&page=2`);
        assert.deepEqual(ids(second.items), ids(items).slice(3, 6));
      });
    }
    it('from and to include what was answered as that time', async () => {
      const stamp = (n) => `2020-02-02T00:00:${String(n).padStart(2, '0')}.123Z`;
      const range = async (from, to) => ids((await list(`limit=100&from=${from}&to=${to}`)).items);
      assert.deepEqual(await range(stamp(3), stamp(3)), expected(at(3)));
      assert.deepEqual(await range(stamp(3), stamp(4)), expected((row) => at(3)(row) || at(4)(row)));
      assert.deepEqual(await range('2020-02-02T00:00:03.124Z', stamp(4)), expected(at(4)));
      assert.deepEqual(await range(stamp(3), '2020-02-02T00:00:03.122Z'), []);
      assert.deepEqual(await range('2020-02-02T02:00:03.123%2B02:00', stamp(3)), expected(at(3)));
      assert.deepEqual(await range(stamp(4), stamp(3)), []);
    });
    it('a cursor belongs to its filters', async () => {
      const cursor = (await list(`${RANGE}&status=200&limit=2`)).pagination.nextCursor;
      for (const query of [RANGE, `${RANGE}&status=300`, `status=200`, `${RANGE}&status=200&path=/`]) {
        invalid(await boss.get(`/admin/api-logs?${query}&cursor=${cursor}`), ['cursor', 'INVALID_VALUE']);
      }
    });
    for (const [query, field, code] of [
      ['status=99', 'status', 'TOO_SMALL'],
      ['status=600', 'status', 'TOO_LARGE'],
      ['status=ok', 'status', /./],
      ['userId=me', 'userId', 'INVALID_FORMAT'],
      ['from=yesterday', 'from', 'INVALID_FORMAT'],
      ['to=2020-02-02', 'to', 'INVALID_FORMAT'],
      ['to=2020-02-30T00:00:00Z', 'to', 'INVALID_FORMAT'],
      ['sortOrder=asc', 'sortOrder', 'UNKNOWN_FIELD'],
    ]) {
      it(`?${query} is refused`, async () => {
        invalid(await boss.get(`/admin/api-logs?${query}`), [field, code]);
      });
    }
  });

  it('goes on when a child is killed, whichever of them writes', async () => {
    s.expectLog(/child pid \d+ exit signal Killed/);
    for (let round = 0; round < 3; round += 1) {
      const [victim] = s.processes();
      process.kill(victim, 'SIGKILL');
      await until(() => !s.processes().includes(victim) && s.processes().length >= 2, 5000, 'a new child');
      const answers = [];
      await until(
        async () => {
          answers.push(await alice.get('/folders', { fresh: true }).catch(() => null));
          return answers.at(-1)?.status === 200;
        },
        5000,
        'service',
      );
      await logged(s, answers.filter(Boolean), 4000);
    }
  });

  it('loses and doubles nothing over a graceful restart', async () => {
    const answers = [];
    let running = true;
    const working = parallel(4, async () => {
      while (running) {
        const res = await alice.get('/folders', { fresh: true }).catch(() => null);
        if (res) answers.push(res);
        await sleep(40);
      }
    });
    for (let round = 0; round < 2; round += 1) {
      const old = s.processes();
      s.signal('SIGUSR1');
      await until(() => !s.processes().some((pid) => old.includes(pid)), 15000, 'new children');
    }
    running = false;
    await working;
    const rows = await logged(s, answers, 4000);
    await sleep(1200);
    assert.equal((await rowsOf(s, answers)).length, rows.length);
    assert.equal(rows.length, answers.length);
  });
});

/** How many rows these answers left, once each has left one or was counted. */
async function settled(s, answers, before1) {
  let rows;
  const all = async () => {
    rows = (await rowsOf(s, answers)).length;
    return rows + (await dropped(s)).rate - before1.rate === answers.length;
  };
  await until(all, 5000, 'each is written or counted').catch((error) => {
    throw new Error(`${error.message}: ${rows} rows`);
  });
  return rows;
}

serverSuite('API log of five rows per second', { directives: ['ChronicleApiLogRate 5'] }, (s) => {
  it('keeps no more, but all that tells of trouble; the rest is counted', async () => {
    const alice = await s.user();
    await sleep(1100);
    const before1 = await dropped(s);
    const start = Date.now();
    const good = await many(150, () => alice.get('/folders'));
    const seconds = Math.ceil((Date.now() - start) / 1000) + 1;
    const bad = await parallel(20, () => s.anon.get('/folders'));
    const denied = await parallel(10, () => alice.get('/admin/jobs'));
    for (const res of good) ok(res);
    for (const res of bad) fails(res, 401, 'AUTHENTICATION_REQUIRED');
    const kept = await logged(s, [...bad, ...denied]);
    assert.equal(kept.length, 30);
    const ordinary = await settled(s, good, before1);
    assert.ok(ordinary >= 5 && ordinary <= 5 * seconds, `${ordinary} in ${seconds} s`);
    assert.deepEqual(await dropped(s), { ...before1, rate: before1.rate + 150 - ordinary });
  });

  it('a flood of refusals is bounded, too', async () => {
    await sleep(1100);
    const before1 = await dropped(s);
    const start = Date.now();
    const bad = await many(600, () => s.anon.get('/folders'));
    const seconds = Math.ceil((Date.now() - start) / 1000) + 1;
    const kept = await settled(s, bad, before1);
    assert.ok(kept >= 50 && kept <= 55 * seconds, `${kept} in ${seconds} s`);
  });
});

serverSuite('No API log', { directives: ['ChronicleApiLogRate 0'] }, (s) => {
  it('leaves no rows and counts none', async () => {
    const boss = await newAdmin(s);
    await parallel(10, () => boss.get('/folders'));
    await parallel(10, () => s.anon.get('/folders'));
    await sleep(1200);
    assert.deepEqual(ok(await boss.get('/admin/api-logs')).items, []);
    assert.deepEqual(await dropped(s), { rate: 0, full: 0, lost: 0 });
  });
});

serverSuite(
  'A full API log',
  { directives: ['ChronicleApiLogRate 100000'], dbOptions: '-c statement_timeout=1s', dbMax: 6 },
  (s) => {
    it('drops the newest, counts them, and writes what it holds once it can', async () => {
      s.expectLog(/CH1050: the API log waits: .*timeout/, /CH1020: job retention/);
      const warm = await s.anon.get('/folders');
      await logged(s, [warm]);
      const lock = await s.session();
      await lock.query('BEGIN');
      await lock.query('LOCK TABLE api_logs IN EXCLUSIVE MODE');
      const answers = await many(5000, () => s.anon.get('/nope', { check: false }));
      assert.ok(answers.every((res) => res.status === 404));
      const { full, lost } = await dropped(s);
      assert.equal(lost, 0);
      assert.ok(full >= 5000 - 4096, `${full} dropped`);
      await until(() => /CH1050/.test(s.log()), 3000, 'a line about the outage');
      await lock.query('COMMIT');
      const rows = await until(
        async () => {
          const found = await rowsOf(s, answers);
          return found.length >= 5000 - full && found;
        },
        8000,
        'the rows that were kept',
      );
      await sleep(1000);
      assert.equal((await rowsOf(s, answers)).length, 5000 - full);
      assert.equal(new Set(rows.map((row) => row.request_id)).size, 5000 - full);
      const kept = new Set(rows.map((row) => row.request_id));
      assert.ok(
        answers.slice(0, 3000).every((res) => kept.has(requestId(res))),
        'the oldest are kept',
      );
      await until(() => /CH1051: the API log is written again/.test(s.log()), 3000, 'a line about its end');
      await logged(s, [await s.anon.get('/folders')]);
      assert.equal(s.log().match(/CH105[01]/g).length, 2, 'one line for an outage, one for its end');
    });
  },
);

describe('API log without a database', () => {
  const cluster = new PrivateCluster();
  const s = new Server({ database: 'app' });
  s.expectLog(DATABASE_NOISE, /API log waits/);
  before(async () => {
    await cluster.init();
    s.pg = cluster.cluster;
    await s.start();
  });
  after(async () => {
    await s.stop();
    await cluster.remove();
  });

  for (const mode of ['fast', 'immediate']) {
    it(`rows of a time without one (${mode} stop) arrive afterwards, once`, async () => {
      const alice = await s.user();
      const start = Date.now();
      await cluster.stop(mode);
      const answers = [
        ...(await parallel(20, () => alice.get('/folders', { fresh: true }))),
        ...(await parallel(20, () => s.anon.get('/folders', { fresh: true }))),
      ];
      assert.deepEqual([...new Set(answers.map((res) => res.status))].sort(), [401, 503]);
      await sleep(1500);
      const back = Date.now();
      await cluster.start();
      const rows = await logged(s, answers, 6000);
      await sleep(1000);
      assert.equal((await rowsOf(s, answers)).length, 40);
      for (const row of rows) {
        assert.ok(row.created_at.getTime() >= start - 5 && row.created_at.getTime() < back, 'the time of the request');
      }
      assert.deepEqual(await dropped(s), { rate: 0, full: 0, lost: 0 });
    });
  }
});

describe('API log of two databases', () => {
  let second;
  let s;
  before(async () => {
    const own = (server) => dbLines({ ...server, pg: server.pg, database: second, dbMax: 2 }).join('\n');
    s = new Server({
      vhosts: [
        { name: 'main.example', lines: [] },
        { name: 'own.example', lines: [own, 'Chronicle On'] },
        { name: 'shared.example', lines: ['ChronicleApiLogRate 150'] },
        { name: 'silent.example', lines: ['ChronicleApiLogRate 0'] },
      ],
    });
    second = await createDatabase();
    await s.start();
  });
  after(async () => {
    await s.stop();
    await dropDatabase(s.pg, second);
  });

  it("a row goes to its server's own", async () => {
    const [main, own, shared, silent] = await Promise.all(
      ['main', 'own', 'shared', 'silent'].map((name) => s.anon.get('/folders', { headers: { host: `${name}.example` } })),
    );
    await logged(s, [main, shared]);
    const other = await connect(s.pg, second);
    try {
      await until(async () => (await other.query('SELECT 1 FROM api_logs')).rows.length, 2000, 'a row there');
      assert.deepEqual((await other.query('SELECT request_id FROM api_logs')).rows, [{ request_id: requestId(own) }]);
    } finally {
      await other.end();
    }
    assert.equal((await rowsOf(s, [own, silent])).length, 0);
  });
});

describe('API log of a server that stops', () => {
  let database;
  before(async () => {
    database = await createDatabase();
  });
  after(() => dropDatabase(env.pg, database));

  it('holds what was answered last', async () => {
    const s = new Server({ database });
    await s.start();
    const answers = await many(30, () => s.anon.get('/folders', { fresh: true }));
    await s.stop();
    const client = await connect(env.pg, database);
    const { rows } = await client.query('SELECT 1 FROM api_logs WHERE request_id = ANY ($1)', [answers.map(requestId)]);
    await client.end();
    assert.equal(rows.length, 30);
  });

  it('the server stops without a crash while a statement of the log hangs', async () => {
    const s = new Server({ database, dbOptions: '-c statement_timeout=2s' });
    s.expectLog(/CH1050: the API log waits: .*timeout/, /CH1020: job retention/);
    await s.start();
    const lock = await connect(env.pg, database);
    await lock.query('BEGIN');
    await lock.query('LOCK TABLE api_logs IN EXCLUSIVE MODE');
    await s.anon.get('/folders');
    await until(
      async () => (await lock.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).rows.length,
      3000,
      'a statement hangs',
    );
    await s.stop();
    await lock.end();
  });
});
