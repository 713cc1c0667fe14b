/* Administration of accounts and jobs (API.md section 18); the logs are in audit.test.mjs and api-logs.test.mjs. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { cookieLogin, login, newAdmin, newRole, PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { until } from './lib/env.mjs';
import { fails, ids, invalid, NOWHERE, ok, parallel, tally, times } from './lib/expect.mjs';

const NO_JOB = '0198a000-0000-7000-8000-0000000000bb';

serverSuite('Administration', {}, (s) => {
  let boss;
  let alice;
  before(async () => {
    boss = await newAdmin(s);
    alice = await s.user({ fullName: 'Alice' });
  });

  const path = (who) => `/admin/users/${who.user?.id ?? who}`;
  const list = async (query = '', who = boss) => ok(await who.get(`/admin/users?${query}`));
  const put = (who, fields, options) => boss.put(path(who), fields, options);
  const audits = (action, target) =>
    s.sql('SELECT * FROM audit_logs WHERE action = $1 AND target_id = $2 ORDER BY created_at, id', [action, target]);
  /** Every connection, and so both children, gives the same answer. */
  const everywhere = async (send, judge) => {
    for (const res of await parallel(12, () => send({ fresh: true }))) judge(res);
  };

  /* --- who may ---------------------------------------------------------- */

  const routes = () =>
    Object.entries(s.contract.doc.paths)
      .filter(([route]) => route.startsWith('/api/v1/admin/'))
      .flatMap(([route, item]) => Object.keys(item).map((method) => [method.toUpperCase(), route]));

  it('every route is for administrators alone', async () => {
    const manager = await newRole(s, 'manager');
    const web = await cookieLogin(s, alice);
    assert.equal(routes().length, 8, 'seven rows, and PATCH beside PUT');
    for (const [method, route] of routes()) {
      const target = route.replace('{id}', alice.user.id);
      const json = method === 'PUT' || method === 'PATCH' ? { role: 'admin' } : undefined;
      fails(await s.anon.at(method, target, { json }), 401, 'AUTHENTICATION_REQUIRED');
      fails(await alice.at(method, target, { json }), 403, 'FORBIDDEN');
      fails(await manager.at(method, target, { json }), 403, 'FORBIDDEN');
      fails(await web.at(method, target, { json, headers: { 'x-csrf-token': web.csrf } }), 403, 'FORBIDDEN');
      /* role comes before validation: nobody learns what there is */
      fails(await manager.at(method, route.replace('{id}', 'x'), { json: { x: 1 } }), 403, 'FORBIDDEN');
    }
    assert.equal(ok(await boss.get(path(alice))).role, 'user');
  });

  it('an administrator with a cookie session needs the CSRF token', async () => {
    const other = await newAdmin(s);
    const web = await cookieLogin(s, other);
    fails(await web.put(path(alice), { emailVerified: true }), 403, 'CSRF_FAILED');
    ok(await web.put(path(alice), {}, { headers: { 'x-csrf-token': web.csrf } }));
    ok(await web.get('/admin/users'));
    await s.sql('DELETE FROM users WHERE id = $1', [other.user.id]);
  });

  /* --- one user --------------------------------------------------------- */

  it('a user is shown with the number of live sessions', async () => {
    const carol = await s.user();
    const [second] = await Promise.all([login(s, carol), login(s, carol)]);
    const res = await boss.get(path(carol), { headers: { 'if-none-match': '"v1"' } });
    const { sessionCount, ...user } = ok(res);
    assert.equal(res.headers.etag, '"v1"');
    assert.equal(sessionCount, 3);
    assert.deepEqual(user, ok(await carol.get('/auth/me')));
    ok(await second.post('/auth/logout', {}));
    await s.sql("UPDATE sessions SET expires_at = now() - interval '1 s' WHERE id = $1", [
      (await s.sql('SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL LIMIT 1', [carol.user.id]))[0].id,
    ]);
    assert.equal(ok(await boss.get(path(carol))).sessionCount, 1);
    assert.doesNotMatch((await boss.get(path(carol))).text, /hash|\$2[aby]\$|refresh/i);
  });

  it('what is not there is USER_NOT_FOUND, what is no id a 400', async () => {
    fails(await boss.get(path(NOWHERE)), 404, 'USER_NOT_FOUND');
    fails(await put(NOWHERE, { role: 'manager' }), 404, 'USER_NOT_FOUND');
    fails(await put(NOWHERE, {}, { headers: { 'if-match': '"v1"' } }), 404, 'USER_NOT_FOUND');
    invalid(await boss.get(path('x')), ['id', 'INVALID_FORMAT']);
    invalid(await put('x', { role: 'boss' }), ['id', 'INVALID_FORMAT'], ['role', 'INVALID_VALUE']);
  });

  it('each field is changed alone, with the version, a tag and an audit row', async () => {
    const carol = await s.user();
    let now = ok(await carol.get('/auth/me'));
    const change = async (fields, changed = fields) => {
      const res = await put(carol, fields);
      const after = ok(res);
      assert.deepEqual(after, { ...now, ...changed, version: now.version + 1, updatedAt: after.updatedAt });
      assert.equal(res.headers.etag, `"v${after.version}"`);
      assert.ok(!('sessionCount' in after));
      const [row] = (await audits('admin.user_update', carol.user.id)).slice(-1);
      assert.deepEqual(
        row.details,
        Object.fromEntries(Object.keys(changed).map((name) => [name, { from: now[name], to: changed[name] }])),
      );
      assert.equal(row.actor_id, boss.user.id);
      assert.equal(row.target_type, 'user');
      assert.equal(row.ip_address, '127.0.0.1');
      assert.equal(row.request_id, res.headers['x-request-id']);
      now = after;
    };
    await change({ role: 'manager' });
    await change({ role: 'user' });
    await change({ emailVerified: true });
    await change({ emailVerified: false });
    await change({ aiTokensLimit: 0 });
    await change({ aiTokensLimit: 2000000000 });
    await change({ subscriptionTier: 'pro' }, { subscriptionTier: 'pro', aiTokensLimit: 1000000 });
    await change({ subscriptionTier: 'enterprise' }, { subscriptionTier: 'enterprise', aiTokensLimit: 10000000 });
    await change({ subscriptionTier: 'free' }, { subscriptionTier: 'free', aiTokensLimit: 100000 });
    await change({ subscriptionTier: 'pro', aiTokensLimit: 7 });
    await change({ aiTokensLimit: 8, role: 'manager', emailVerified: true });
    assert.equal((await audits('admin.user_update', carol.user.id)).length, 11);
    /* nothing changes: same version, same time, no row */
    for (const fields of [{}, { role: 'manager' }, { aiTokensLimit: 8, emailVerified: true, isActive: true }]) {
      assert.deepEqual(ok(await put(carol, fields)), now);
      assert.deepEqual(ok(await boss.patch(path(carol), fields)), now);
    }
    assert.equal((await audits('admin.user_update', carol.user.id)).length, 11);
    assert.deepEqual(ok(await carol.get('/auth/me')), now);
  });

  it('If-Match guards a change', async () => {
    const carol = await s.user();
    const match = (tag) => ({ headers: { 'if-match': tag } });
    const error = fails(await put(carol, { role: 'manager' }, match('"v2"')), 412, 'PRECONDITION_FAILED');
    assert.deepEqual(error.details, [{ field: 'if-match', message: 'current version is v1', code: 'CONFLICT' }]);
    fails(await put(carol, {}, match('W/"v1"')), 412, 'PRECONDITION_FAILED');
    ok(await put(carol, { role: 'manager' }, match('"v9", "v1"')));
    ok(await put(carol, { role: 'user' }, match('*')));
    const answers = await parallel(8, (n) => put(carol, { aiTokensLimit: n + 1 }, match('"v3"')));
    assert.deepEqual(tally(answers.map((res) => res.status)), { 200: 1, 412: 7 });
  });

  for (const [what, fields, ...details] of [
    ...['id', 'email', 'fullName', 'avatarUrl', 'password', 'version', 'aiTokensUsed', 'sessionCount'].map(
      (name) => [`the field ${name}`, { [name]: 1 }, [name, 'UNKNOWN_FIELD']],
    ),
    ...['root', 'Admin', '', 'admin '].map((role) => [`the role "${role}"`, { role }, ['role', 'INVALID_VALUE']]),
    ['a role that is null', { role: null }, ['role', 'WRONG_TYPE']],
    ['an activity that is a word', { isActive: 'false' }, ['isActive', 'WRONG_TYPE']],
    ['an activity that is null', { isActive: null }, ['isActive', 'WRONG_TYPE']],
    ['an unknown tier', { subscriptionTier: 'gold' }, ['subscriptionTier', 'INVALID_VALUE']],
    ['a negative limit', { aiTokensLimit: -1 }, ['aiTokensLimit', 'TOO_SMALL']],
    ['a limit over the maximum', { aiTokensLimit: 2000000001 }, ['aiTokensLimit', 'TOO_LARGE']],
    ['a limit that is no whole number', { aiTokensLimit: 1.5 }, ['aiTokensLimit', 'WRONG_TYPE']],
    ['a limit that is null', { aiTokensLimit: null }, ['aiTokensLimit', 'WRONG_TYPE']],
  ]) {
    it(`a change refuses ${what}`, async () => {
      const old = ok(await boss.get(path(alice)));
      invalid(await put(alice, { emailVerified: true, ...fields }), ...details);
      assert.deepEqual(ok(await boss.get(path(alice))), old);
    });
  }

  /* --- at once ---------------------------------------------------------- */

  it('a role acts at once on tokens and cookies that are out', async () => {
    const carol = await s.user();
    const web = await cookieLogin(s, carol);
    const asks = (client) => (options) => client.get('/admin/jobs', options);
    for (const client of [carol, web]) await everywhere(asks(client), (res) => fails(res, 403, 'FORBIDDEN'));
    for (const round of times(3, (n) => n)) {
      ok(await put(carol, { role: 'admin' }));
      for (const client of [carol, web]) await everywhere(asks(client), (res) => ok(res));
      ok(await put(carol, { role: round ? 'manager' : 'user' }));
      for (const client of [carol, web]) await everywhere(asks(client), (res) => fails(res, 403, 'FORBIDDEN'));
    }
  });

  it('deactivation ends every session at once; they stay ended when the account comes back', async () => {
    const carol = await s.user();
    const web = await cookieLogin(s, carol);
    const asks = (client) => (options) => client.get('/auth/me', options);
    await everywhere(asks(carol), (res) => ok(res));
    const answer = ok(await put(carol, { isActive: false }));
    assert.equal(answer.isActive, false);
    await everywhere(asks(carol), (res) => fails(res, 401, 'INVALID_TOKEN'));
    await everywhere(asks(web), (res) => fails(res, 401, 'AUTHENTICATION_REQUIRED'));
    const refused = async () => {
      fails(await s.anon.post('/auth/refresh', { refreshToken: carol.refreshToken }), 401, 'INVALID_TOKEN');
      fails(await carol.get('/auth/me'), 401, 'INVALID_TOKEN');
    };
    await refused();
    const { email, password } = carol;
    fails(await s.anon.post('/auth/login', { email, password }), 401, 'INVALID_CREDENTIALS');
    assert.equal(ok(await boss.get(path(carol))).sessionCount, 0);
    const [row] = await audits('admin.user_update', carol.user.id);
    assert.deepEqual(row.details, { isActive: { from: true, to: false }, revokedSessions: 2 });
    assert.equal(
      (await s.sql('SELECT 1 FROM sessions WHERE user_id = $1 AND revoked_at IS NULL', [carol.user.id])).length,
      0,
    );
    ok(await put(carol, { isActive: true }));
    await refused();
    ok(await (await login(s, carol)).get('/auth/me'));
    assert.deepEqual((await audits('admin.user_update', carol.user.id))[1].details, {
      isActive: { from: false, to: true },
    });
  });

  it('a login that is under way while the account is deactivated leaves no session that comes back', async () => {
    const carol = await s.user();
    const lock = await s.session();
    const waiting = (n) => until(async () => (await s.waiting()) >= n, 5000, `${n} statements wait`);
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [carol.user.id]);
    const entering = s.anon.post('/auth/login', { email: carol.email, password: carol.password });
    await waiting(1);
    const leaving = put(carol, { isActive: false });
    await waiting(2);
    await lock.query('COMMIT');
    const entered = await entering;
    ok(await leaving);
    ok(await put(carol, { isActive: true }));
    if (entered.status === 200) {
      const { refreshToken } = entered.json.data.tokens;
      fails(await s.anon.post('/auth/refresh', { refreshToken }), 401, 'INVALID_TOKEN');
    }
    assert.equal(entered.status, 200, 'the login came first, else this test shows nothing');
  });

  /* --- lists ------------------------------------------------------------ */

  describe('the list of users', () => {
    const TAG = 'zq9';
    let made;
    before(async () => {
      made = await s.sql(
        `INSERT INTO users (email, password_hash, full_name, role, is_active, created_at, last_login_at)
         SELECT 'u' || lpad((n * 7 % 23)::text, 2, '0') || '@${TAG}.example.com', 'x',
                CASE WHEN n % 3 = 0 THEN NULL ELSE 'Name 100%_\\ ' || n END,
                (ARRAY['user', 'manager'])[1 + n % 2], n % 4 <> 0,
                timestamptz '2020-01-01Z' + (n / 2) * interval '1 day',
                CASE WHEN n % 5 = 0 THEN NULL ELSE timestamptz '2021-01-01Z' + (n / 3) * interval '1 h' END
         FROM generate_series(1, 23) n RETURNING *`,
      );
    });

    const walk = async (query, limit) => {
      const items = [];
      for (let cursor = ''; cursor !== null; ) {
        const page = await list(`search=${TAG}&${query}&limit=${limit}&cursor=${encodeURIComponent(cursor)}`);
        items.push(...page.items);
        assert.equal(page.pagination.total, null);
        cursor = page.pagination.nextCursor;
      }
      return items;
    };
    /** Values of a column, none first, then ids: how the list is meant to be sorted. */
    const sorted = (column, sign) =>
      [...made]
        .sort((a, b) => {
          const [x, y] = [a[column] ?? -1, b[column] ?? -1].map((v) => (v instanceof Date ? v.getTime() : v));
          return sign * (x < y ? -1 : x > y ? 1 : a.id < b.id ? -1 : 1);
        })
        .map((row) => row.id);

    for (const [sortBy, column] of [
      ['createdAt', 'created_at'],
      ['email', 'email'],
      ['lastLoginAt', 'last_login_at'],
    ]) {
      for (const [sortOrder, sign] of [
        ['asc', 1],
        ['desc', -1],
      ]) {
        it(`by ${sortBy} ${sortOrder}: pages and cursors give all, in order`, async () => {
          const sort = `sortBy=${sortBy}&sortOrder=${sortOrder}`;
          const whole = await list(`search=${TAG}&${sort}&limit=100`);
          assert.deepEqual(ids(whole.items), sorted(column, sign));
          assert.equal(whole.pagination.total, 23);
          assert.deepEqual(ids(await walk(sort, 4)), ids(whole.items));
          assert.deepEqual(ids(await walk(sort, 1)), ids(whole.items));
          const third = await list(`search=${TAG}&${sort}&limit=5&page=3`);
          assert.deepEqual(ids(third.items), ids(whole.items.slice(10, 15)));
          assert.deepEqual(
            { ...third.pagination, nextCursor: 0 },
            { page: 3, limit: 5, total: 23, totalPages: 5, hasNext: true, hasPrev: true, nextCursor: 0 },
          );
          const rest = await list(`search=${TAG}&${sort}&limit=50&cursor=${third.pagination.nextCursor}`);
          assert.deepEqual(ids(rest.items), ids(whole.items.slice(15)));
        });
      }
    }

    it('is newest first unless asked otherwise, with the number of sessions', async () => {
      const { items } = await list('limit=100');
      const stamps = items.map((user) => user.createdAt);
      assert.deepEqual(stamps, [...stamps].sort().reverse());
      const mine = items.find((user) => user.id === boss.user.id);
      assert.deepEqual(mine, ok(await boss.get(path(boss))));
      assert.ok(items.every((user) => Number.isInteger(user.sessionCount)));
    });

    const expected = (fn) => made.filter(fn).map((row) => row.id);
    for (const [query, fn] of [
      ['role=manager', (u) => u.role === 'manager'],
      ['role=admin', () => false],
      ['isActive=false', (u) => !u.is_active],
      ['isActive=true', (u) => u.is_active],
      ['role=user&isActive=false', (u) => u.role === 'user' && !u.is_active],
      ['role=&isActive=', () => true],
    ]) {
      it(`${query} and search together`, async () => {
        const { items, pagination } = await list(`search=${TAG}&limit=100&${query}`);
        assert.deepEqual(ids(items).sort(), expected(fn).sort());
        assert.equal(pagination.total, items.length);
        assert.deepEqual(ids(await walk(query, 3)), ids(items));
      });
    }

    it('search is a part of address or name, in any case, and no pattern', async () => {
      const found = async (search) =>
        ids((await list(`limit=100&search=${encodeURIComponent(search)}`)).items)
          .filter((id) => made.some((row) => row.id === id))
          .sort();
      const named = expected((u) => u.full_name).sort();
      assert.deepEqual(await found('U07@ZQ9'), expected((u) => u.email.startsWith('u07@')));
      assert.deepEqual(await found('name 100%'), named);
      assert.deepEqual(await found('100%_'), named);
      assert.deepEqual(await found('%_\\ '.trim()), named);
      assert.deepEqual(await found('Na_e'), []);
      assert.deepEqual(await found('N%e'), []);
      assert.deepEqual(await found('%'), named);
      assert.deepEqual(await found("' OR 1=1 --"), []);
      assert.deepEqual(await found('../<script'), [], 'words of search are never taken for attacks');
    });

    it('a cursor belongs to its filters, its sort and its reader', async () => {
      const cursor = (await list(`search=${TAG}&limit=3&role=user&sortBy=email&cursor=`)).pagination.nextCursor;
      await list(`search=${TAG}&limit=5&role=user&sortBy=email&cursor=${cursor}`);
      const refuse = async (query, who = boss) =>
        invalid(await who.get(`/admin/users?limit=3&${query}&cursor=${cursor}`), ['cursor', 'INVALID_VALUE']);
      await refuse(`search=${TAG}&sortBy=email`);
      await refuse(`search=${TAG}&role=manager&sortBy=email`);
      await refuse(`search=${TAG}&role=user`);
      await refuse(`search=${TAG}&role=user&sortBy=email&sortOrder=asc`);
      await refuse('search=zq&role=user&sortBy=email');
      await refuse(`search=${TAG}&role=user&sortBy=email&isActive=true`);
      const other = await newAdmin(s);
      await refuse(`search=${TAG}&role=user&sortBy=email`, other);
      await s.sql('DELETE FROM users WHERE id = $1', [other.user.id]);
      invalid(await boss.get(`/admin/jobs?cursor=${cursor}`), ['cursor', 'INVALID_VALUE']);
    });

    for (const [query, field, code] of [
      ['role=root', 'role', 'INVALID_VALUE'],
      ['isActive=1', 'isActive', /./],
      ['isActive=TRUE', 'isActive', /./],
      ['sortBy=created_at', 'sortBy', 'INVALID_VALUE'],
      ['sortBy=role', 'sortBy', 'INVALID_VALUE'],
      ['sortOrder=DESC', 'sortOrder', 'INVALID_VALUE'],
      ['search=a&search=b', 'search', 'DUPLICATE'],
      [`search=${'x'.repeat(101)}`, 'search', 'TOO_LONG'],
      ['limit=101', 'limit', 'TOO_LARGE'],
      ['page=0', 'page', 'TOO_SMALL'],
      ['email=x', 'email', 'UNKNOWN_FIELD'],
    ]) {
      it(`refuses ?${query.slice(0, 30)}`, async () => {
        invalid(await boss.get(`/admin/users?${query}`), [field, code]);
      });
    }
  });

  /* --- jobs ------------------------------------------------------------- */

  describe('jobs', () => {
    let jobs;
    before(async () => {
      jobs = await s.sql(
        `INSERT INTO jobs (type, payload, status, attempts, run_at, last_error, created_at, finished_at,
                           locked_by, locked_until)
         SELECT (ARRAY['admin_test', 'admin_other'])[1 + n % 2], '{"secret": "payload"}',
                (ARRAY['queued', 'running', 'completed', 'failed'])[1 + n % 4], n,
                now() + interval '1 day', CASE WHEN n % 4 = 3 THEN 'it broke' END,
                timestamptz '2024-05-05Z' + (n / 3) * interval '1 min',
                CASE WHEN n % 4 > 1 THEN timestamptz '2024-06-06Z' END, 'host:1', now() + interval '1 day'
         FROM generate_series(0, 11) n RETURNING *`,
      );
    });
    const order = (fn) =>
      jobs
        .filter(fn)
        .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1))
        .map((job) => job.id);
    const some = async (query) => {
      const { items } = ok(await boss.get(`/admin/jobs?limit=100&${query}`));
      return items.filter((job) => job.type.startsWith('admin_'));
    };

    it('are listed newest first, without what they hold', async () => {
      const items = await some('');
      assert.deepEqual(ids(items), order(() => true));
      const job = jobs[7];
      assert.deepEqual(
        items.find((item) => item.id === job.id),
        {
          id: job.id,
          type: 'admin_other',
          status: 'failed',
          attempts: 7,
          maxAttempts: 5,
          runAt: job.run_at.toISOString(),
          lastError: 'it broke',
          createdAt: '2024-05-05T00:02:00.000Z',
          finishedAt: '2024-06-06T00:00:00.000Z',
        },
      );
      assert.doesNotMatch(JSON.stringify(items), /payload|host:1/);
    });

    it('by state and type, by pages and cursors', async () => {
      for (const status of ['queued', 'running', 'completed', 'failed']) {
        assert.deepEqual(ids(await some(`status=${status}`)), order((job) => job.status === status));
      }
      const query = 'type=admin_other&status=failed';
      const both = order((job) => job.status === 'failed' && job.type === 'admin_other');
      const { items, pagination } = ok(await boss.get(`/admin/jobs?${query}&limit=2`));
      assert.deepEqual(ids(items), both.slice(0, 2));
      assert.equal(pagination.total, both.length);
      const next = ok(await boss.get(`/admin/jobs?${query}&cursor=${pagination.nextCursor}`));
      assert.deepEqual(ids(next.items), both.slice(2));
      invalid(await boss.get(`/admin/jobs?status=failed&cursor=${pagination.nextCursor}`), ['cursor', 'INVALID_VALUE']);
      assert.deepEqual(ok(await boss.get('/admin/jobs?type=nothing')).items, []);
      invalid(await boss.get('/admin/jobs?status=dead'), ['status', 'INVALID_VALUE']);
      invalid(await boss.get(`/admin/jobs?type=${'x'.repeat(31)}`), ['type', 'TOO_LONG']);
      invalid(await boss.get('/admin/jobs?sortBy=type'), ['sortBy', 'UNKNOWN_FIELD']);
    });

    it('one that failed is queued anew, once; others are not', async () => {
      const job = jobs[3];
      const start = Date.now();
      const res = await parallel(6, () => boss.post(`/admin/jobs/${job.id}/retry`));
      assert.deepEqual(tally(res.map((one) => one.status)), { 200: 1, 409: 5 });
      for (const one of res.filter((r) => r.status === 409)) fails(one, 409, 'INVALID_TRANSITION');
      const won = res.find((one) => one.status === 200);
      const data = ok(won);
      assert.ok(Math.abs(Date.parse(data.runAt) - start) < 10000, data.runAt);
      assert.deepEqual(data, {
        ...data,
        id: job.id,
        status: 'queued',
        attempts: 0,
        lastError: 'it broke',
        finishedAt: null,
      });
      const [row] = await s.sql('SELECT * FROM jobs WHERE id = $1', [job.id]);
      assert.deepEqual([row.locked_by, row.locked_until, row.payload], [null, null, job.payload]);
      const rows = await audits('job.retry', job.id);
      assert.equal(rows.length, 1);
      assert.deepEqual(
        { ...rows[0], id: 0, created_at: 0 },
        {
          id: 0,
          created_at: 0,
          actor_id: boss.user.id,
          action: 'job.retry',
          target_type: 'job',
          target_id: job.id,
          ip_address: '127.0.0.1',
          request_id: won.headers['x-request-id'],
          details: { type: job.type, attempts: 3 },
        },
      );
      for (const other of [jobs[0], jobs[1], jobs[2]]) {
        fails(await boss.post(`/admin/jobs/${other.id}/retry`), 409, 'INVALID_TRANSITION');
        assert.deepEqual(await audits('job.retry', other.id), []);
        assert.deepEqual((await s.sql('SELECT * FROM jobs WHERE id = $1', [other.id]))[0], other);
      }
      fails(await boss.post(`/admin/jobs/${NO_JOB}/retry`), 404, 'JOB_NOT_FOUND');
      invalid(await boss.post('/admin/jobs/7/retry'), ['id', 'INVALID_FORMAT']);
      invalid(await boss.post(`/admin/jobs/${jobs[7].id}/retry`, { force: true }), ['force', 'UNKNOWN_FIELD']);
    });
  });
});

serverSuite('The last administrator', { dbMax: 8 }, (s) => {
  const path = (who) => `/admin/users/${who.user.id}`;
  const active = async () =>
    (await s.sql("SELECT count(*) AS n FROM users WHERE role = 'admin' AND is_active"))[0].n;
  const staff = [];
  /** So many administrators, and no others; the same ones each time, unless they must be able to leave for good. */
  const crew = async (n, from = staff) => {
    while (from.length < n) from.push(...(await s.users(Math.min(4, n - from.length))));
    const admins = from.slice(0, n);
    await s.sql("UPDATE users SET role = 'user' WHERE role = 'admin'");
    await s.sql("UPDATE users SET role = 'admin' WHERE id = ANY ($1::uuid[])", [admins.map((a) => a.user.id)]);
    /* the server may have kept who they were; it is told, but not before the statement has ended */
    const known = async () => (await Promise.all(admins.map((a) => a.get('/admin/jobs?limit=1')))).every((res) => res.status === 200);
    await until(known, 12000, 'the server knows them');
    return admins;
  };
  const codes = (answers) => tally(answers.map((res) => res.json.error?.code ?? res.status));

  it('stays, whatever of him is asked for', async () => {
    const [boss] = await crew(1);
    await s.sql("UPDATE users SET role = 'admin', is_active = false WHERE id = $1", [(await s.user()).user.id]);
    const start = ok(await boss.get(path(boss)));
    for (const fields of [
      { role: 'user' },
      { role: 'manager' },
      { isActive: false },
      { role: 'user', isActive: false, emailVerified: true },
    ]) {
      fails(await boss.put(path(boss), fields), 409, 'LAST_ADMIN');
    }
    /* 412 comes before 409 */
    fails(await boss.put(path(boss), { role: 'user' }, { headers: { 'if-match': '"v9"' } }), 412, 'PRECONDITION_FAILED');
    assert.deepEqual(ok(await boss.get(path(boss))), start);
    ok(await boss.put(path(boss), { role: 'admin', isActive: true, emailVerified: true, subscriptionTier: 'pro' }));
    assert.equal(
      (await s.sql("SELECT 1 FROM audit_logs WHERE action = 'admin.user_update' AND target_id = $1", [boss.user.id]))
        .length,
      1,
    );
  });

  it('may go once there is another', async () => {
    const [boss] = await crew(1);
    const heir = await s.user();
    ok(await boss.put(path(heir), { role: 'admin' }));
    assert.equal(ok(await boss.put(path(boss), { role: 'user' })).role, 'user');
    fails(await boss.get('/admin/users'), 403, 'FORBIDDEN');
    fails(await heir.put(path(heir), { isActive: false }), 409, 'LAST_ADMIN');
  });

  for (const [what, fields] of [
    ['demote', { role: 'manager' }],
    ['deactivate', { isActive: false }],
  ]) {
    it(`two who ${what} each other at the same time: exactly one wins, every time`, async () => {
      for (let round = 0; round < 6; round += 1) {
        const pair = await crew(2, fields.role ? staff : []);
        const answers = await Promise.all(pair.map((one, n) => one.put(path(pair[1 - n]), fields)));
        assert.equal(answers.filter((res) => res.status === 200).length, 1, JSON.stringify(codes(answers)));
        assert.equal(await active(), 1);
      }
    });
  }

  it('of twenty who all resign at the same time one stays', async () => {
    for (let round = 0; round < 3; round += 1) {
      const all = await crew(20);
      const answers = await Promise.all(all.map((one, n) => one.put(path(one), { role: n % 2 ? 'user' : 'manager' })));
      assert.deepEqual(codes(answers), { 200: 19, LAST_ADMIN: 1 });
      assert.equal(await active(), 1);
    }
  });

  it('of twenty who all demote the next one some stay', async () => {
    const all = await crew(20);
    const answers = await Promise.all(all.map((one, n) => one.put(path(all[(n + 1) % 20]), { role: 'user' })));
    const done = codes(answers);
    assert.equal(await active(), 20 - done[200]);
    assert.ok(done[200] >= 10 && done[200] < 20, JSON.stringify(done));
    const rows = await s.sql(
      "SELECT DISTINCT target_id FROM audit_logs WHERE action = 'admin.user_update' AND request_id = ANY ($1)",
      [answers.map((res) => res.headers['x-request-id'])],
    );
    assert.equal(rows.length, done[200]);
  });

  it('who is demoted while his own change waits does not make it', async () => {
    const [first, second, third] = await crew(3);
    const lock = await s.session();
    const waiting = (n) => until(async () => (await s.waiting()) >= n, 5000, `${n} statements wait`);
    await lock.query('BEGIN');
    await lock.query("SELECT 1 FROM users WHERE role = 'admin' FOR UPDATE");
    const demotion = first.put(path(second), { role: 'user' });
    await waiting(1);
    const change = second.put(path(third), { role: 'user' });
    await waiting(2);
    await lock.query('COMMIT');
    ok(await demotion);
    fails(await change, 403, 'FORBIDDEN');
    assert.equal(ok(await first.get(path(third))).role, 'admin');
  });
});
