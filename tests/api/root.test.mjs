/* Root documents: health, metrics, OpenAPI, documentation page, list of endpoints (API.md section 2). */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, it } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import { serverSuite } from './lib/server.mjs';
import { PASSWORD, uniqueEmail } from './lib/accounts.mjs';
import { TIMESTAMP } from './lib/contract.mjs';
import { env } from './lib/env.mjs';
import { ok, NOWHERE } from './lib/expect.mjs';

const METRICS = (
  'chronicle_up chronicle_http_requests_total chronicle_http_request_duration_seconds chronicle_http_in_flight ' +
  'chronicle_rate_limited_total chronicle_auth_failures_total chronicle_security_events_total chronicle_db_pool_connections ' +
  'chronicle_db_query_duration_seconds chronicle_cache_hits_total chronicle_cache_misses_total chronicle_jobs_total chronicle_jobs_queued ' +
  'chronicle_socketio_connections chronicle_upstream_requests_total chronicle_upstream_duration_seconds chronicle_ai_tokens_total ' +
  'chronicle_process_resident_bytes'
).split(' ');

/* Every operation of sections 1 to 6 that this stage of the product must have. */
const OPERATIONS = `
GET /health, GET /health/detailed, GET /health/ready, GET /health/live, GET /metrics, GET /api-docs, GET /api/v1/openapi.json, GET /api/v1,
POST /api/v1/auth/register, POST /api/v1/auth/login, POST /api/v1/auth/logout, POST /api/v1/auth/refresh, GET /api/v1/auth/me,
POST /api/v1/auth/change-password, POST /api/v1/auth/forgot-password, POST /api/v1/auth/reset-password, POST /api/v1/auth/verify-email,
POST /api/v1/auth/resend-verification, GET /api/v1/auth/csrf, GET /api/v1/user/profile, PUT /api/v1/user/profile, GET /api/v1/user/settings,
PUT /api/v1/user/settings, GET /api/v1/user/sessions, DELETE /api/v1/user/sessions/{id}, GET /api/v1/folders, POST /api/v1/folders,
GET /api/v1/folders/{id}, PUT /api/v1/folders/{id}, DELETE /api/v1/folders/{id}, POST /api/v1/folders/{id}/restore, GET /api/v1/notes,
POST /api/v1/notes, GET /api/v1/notes/{id}, PUT /api/v1/notes/{id}, DELETE /api/v1/notes/{id}, POST /api/v1/notes/{id}/restore,
PATCH /api/v1/notes/{id}/pin, PATCH /api/v1/notes/{id}/favorite, GET /api/v1/notes/{id}/versions, GET /api/v1/notes/{id}/versions/{version},
POST /api/v1/notes/{id}/revert`
  .trim()
  .split(/,\s+/);

/** Samples and families of a Prometheus text; throws where a line is malformed. */
function parseMetrics(text) {
  const families = {};
  const samples = [];
  assert.ok(text.endsWith('\n'), 'ends with a line feed');
  for (const line of text.trimEnd().split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    if (comment) {
      families[comment[2]] = { ...families[comment[2]], [comment[1]]: comment[3] };
      assert.ok(comment[1] === 'HELP' || /^(counter|gauge|histogram|summary|untyped)$/.test(comment[3]), line);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?[\d.]+(?:e[+-]?\d+)?|[+-]Inf|NaN)$/.exec(line);
    assert.ok(sample, `malformed line: ${line}`);
    const labels = {};
    const rest = (sample[2] ?? '').replace(/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/g, (_, name, value) => {
      labels[name] = value;
      return '';
    });
    assert.equal(rest, '', `malformed labels: ${line}`);
    samples.push({ name: sample[1], labels, value: Number(sample[3].replace('Inf', 'Infinity')) });
  }
  const keys = samples.map((x) => `${x.name}${JSON.stringify(Object.entries(x.labels).sort())}`);
  assert.equal(new Set(keys).size, keys.length, 'no sample twice');
  return { families, samples };
}

serverSuite('Root documents', { directives: ['ChronicleFrontendUrl https://app.example.com'] }, (s) => {
  s.expectLog(/security: pattern/);
  let alice;
  before(async () => {
    alice = await s.user();
  });
  const get = (path, options) => s.anon.at('GET', path, options);
  const keys = (object) => Object.keys(object).sort();

  for (const base of ['', '/api/v1']) {
    it(`${base}/health, live and ready say that all is well`, async () => {
      const health = (await get(`${base}/health`)).json;
      assert.deepEqual(
        { ...health, timestamp: 0, uptimeSeconds: 0 },
        { status: 'OK', timestamp: 0, version: '2.0.0', uptimeSeconds: 0 },
      );
      assert.match(health.timestamp, TIMESTAMP);
      assert.ok(Number.isInteger(health.uptimeSeconds) && health.uptimeSeconds >= 0 && health.uptimeSeconds < 600);
      const live = (await get(`${base}/health/live`)).json;
      assert.deepEqual(live, { status: 'ALIVE', timestamp: live.timestamp });
      const ready = (await get(`${base}/health/ready`)).json;
      assert.deepEqual(ready, {
        status: 'READY',
        timestamp: ready.timestamp,
        checks: { database: 'up', migrations: 'up' },
      });
    });

    it(`${base}/health/detailed shows every check, disabled ones too`, async () => {
      const res = await get(`${base}/health/detailed`);
      assert.equal(res.status, 200);
      const body = res.json;
      assert.deepEqual(keys(body), ['checks', 'memory', 'requests', 'status', 'timestamp', 'uptimeSeconds', 'version']);
      assert.equal(body.status, 'OK');
      assert.deepEqual(keys(body.checks), ['ai', 'airtable', 'database', 'jobs', 'notion', 'redis', 'smtp', 'storage']);
      assert.equal(body.checks.database.status, 'up');
      assert.ok(body.checks.database.latencyMs >= 0 && body.checks.database.latencyMs < 1000);
      for (const name of ['redis', 'smtp', 'ai', 'notion', 'airtable'])
        assert.equal(body.checks[name].status, 'disabled', name);
      assert.ok(body.checks.jobs.queued >= 0 && body.checks.jobs.failed >= 0);
      assert.ok(body.memory.rssBytes > 1e6);
      assert.ok(body.requests.total > 0 && body.requests.errors >= 0 && body.requests.inFlight >= 1);
    });
  }

  it('root documents ignore unknown query parameters and credentials', async () => {
    for (const path of [
      '/health',
      '/health/live',
      '/health/ready',
      '/health/detailed',
      '/metrics',
      '/api/v1/openapi.json',
      '/api/v1',
      '/api-docs',
    ]) {
      assert.equal((await get(`${path}?x=1&x=2&limit=0`)).status, 200, path);
      assert.equal((await get(path, { token: 'bad' })).status, 200, path);
    }
  });

  it('/metrics is Prometheus text with every family of the contract', async () => {
    for (const path of ['/metrics', '/api/v1/metrics']) {
      const res = await get(path);
      assert.equal(res.status, 200);
      assert.match(res.headers['content-type'], /^text\/plain; version=0\.0\.4(; charset=utf-8)?$/);
      const { families, samples } = parseMetrics(res.text);
      for (const name of METRICS) assert.ok(families[name]?.TYPE && families[name]?.HELP, `${path}: ${name}`);
      assert.equal(samples.find((x) => x.name === 'chronicle_up').value, 1);
      assert.ok(samples.find((x) => x.name === 'chronicle_process_resident_bytes').value > 1e6);
    }
  });

  it('requests are counted by method, route template and status, over all children', async () => {
    const count = async (method, route, status) =>
      parseMetrics((await get('/metrics')).text)
        .samples.filter(
          (x) =>
            x.name === 'chronicle_http_requests_total' &&
            x.labels.method === method &&
            x.labels.route.endsWith(route) &&
            x.labels.status === String(status),
        )
        .reduce((sum, x) => sum + x.value, 0);
    const before1 = await count('GET', '/notes/{id}', 404);
    for (let n = 0; n < 12; n += 1) await alice.get(`/notes/${NOWHERE}`, { fresh: true });
    await alice.at('GET', `/api/notes/${NOWHERE}/`);
    assert.equal(await count('GET', '/notes/{id}', 404), before1 + 13);
    await s.anon.get(`/nope/${NOWHERE}`);
    await s.anon.get('/nope/"quote\\');
    await s.anon.post('/auth/login', { email: uniqueEmail(), password: PASSWORD });
    const { samples } = parseMetrics((await get('/metrics')).text);
    for (const { labels } of samples) {
      assert.ok(
        !JSON.stringify(labels).includes(NOWHERE) && !JSON.stringify(labels).includes('nope'),
        JSON.stringify(labels),
      );
    }
    assert.ok(samples.some((x) => x.name === 'chronicle_auth_failures_total' && x.value > 0));
  });

  it('histograms are cumulative and end with +Inf = count', async () => {
    const { families, samples } = parseMetrics((await get('/metrics')).text);
    const names = Object.keys(families).filter((name) => families[name].TYPE === 'histogram');
    assert.ok(names.includes('chronicle_http_request_duration_seconds'));
    for (const name of names) {
      const series = {};
      for (const x of samples.filter((y) => y.name === `${name}_bucket`)) {
        const { le, ...labels } = x.labels;
        (series[JSON.stringify(labels)] ??= []).push([Number(le.replace('Inf', 'Infinity')), x.value]);
      }
      for (const [labels, buckets] of Object.entries(series)) {
        buckets.sort((a, b) => a[0] - b[0]);
        buckets.reduce((last, [, value]) => {
          assert.ok(value >= last, `${name} ${labels}`);
          return value;
        }, 0);
        assert.equal(buckets.at(-1)[0], Infinity);
        const total = samples.find((x) => x.name === `${name}_count` && JSON.stringify(x.labels) === labels);
        assert.equal(total.value, buckets.at(-1)[1]);
      }
    }
    assert.ok(samples.some((x) => x.name === 'chronicle_http_request_duration_seconds_sum'));
  });

  it('openapi.json tells of a 503 for too many hashes of passwords at once, where there are some', async () => {
    const { paths } = (await get('/api/v1/openapi.json')).json;
    for (const [method, path] of [
      ['post', '/auth/register'],
      ['post', '/auth/login'],
      ['post', '/auth/change-password'],
      ['post', '/auth/forgot-password'],
      ['post', '/auth/reset-password'],
      ['delete', '/user/account'],
    ]) {
      const { responses } = paths[`/api/v1${path}`][method];
      assert.match(JSON.stringify(responses['503']), /\bSERVICE_UNAVAILABLE\b/, path);
    }
  });

  it('openapi.json is a consistent OpenAPI 3.1 document with every operation', async () => {
    const res = await get('/api/v1/openapi.json');
    assert.equal(res.headers['content-type'], 'application/json; charset=utf-8');
    const doc = res.json;
    /* For the guards that compare it with docs/ and with the routes that were called. */
    fs.writeFileSync(path.join(env.tmp, 'openapi.json'), res.text);
    assert.match(doc.openapi, /^3\.1\.\d$/);
    assert.equal(doc.info.version, '2.0.0');
    assert.ok(doc.info.title);
    assert.deepEqual(doc.servers, [{ url: '/' }]);
    const operations = Object.entries(doc.paths).flatMap(([path, item]) =>
      ['get', 'put', 'post', 'delete', 'patch', 'head', 'options']
        .filter((method) => item[method])
        .map((method) => ({ path, method, op: item[method], shared: item.parameters ?? [] })),
    );
    const names = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`);
    assert.deepEqual(
      OPERATIONS.filter((name) => !names.includes(name)),
      [],
      'operations that are missing',
    );
    assert.equal(
      new Set(operations.map(({ op }) => op.operationId)).size,
      operations.length,
      'operationIds are unique',
    );
    for (const { path, method, op, shared } of operations) {
      const where = `${method} ${path}`;
      assert.match(op.operationId ?? '', /^\w+$/, where);
      assert.ok(op.summary?.length > 3, `${where}: summary`);
      assert.ok(
        Object.keys(op.responses ?? {}).some((status) => /^2/.test(status)),
        `${where}: a success`,
      );
      for (const [status, response] of Object.entries(op.responses)) {
        assert.match(status, /^([1-5]\d\d|[1-5]XX|default)$/, where);
        assert.ok(response.description || response.$ref, `${where} ${status}: description`);
      }
      const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
      const declared = [...shared, ...(op.parameters ?? [])].map((p) =>
        p.$ref
          ? p.$ref
              .split('/')
              .slice(1)
              .reduce((at, k) => at[k], doc)
          : p,
      );
      assert.deepEqual(
        declared
          .filter((p) => p.in === 'path')
          .map((p) => p.name)
          .sort(),
        inPath.sort(),
        where,
      );
      for (const p of declared)
        assert.ok(p.schema && (p.in !== 'path' || p.required === true), `${where}: parameter ${p.name}`);
      if (path.startsWith('/api/v1/')) assert.match(path, /^\/api\/v1\/[a-z{]/, where);
    }
  });

  it('every reference in openapi.json resolves and every schema compiles, in strict mode', async () => {
    const { doc } = s.contract;
    const schemas = [];
    (function visit(node, parent) {
      if (node === null || typeof node !== 'object') return;
      if (typeof node.$ref === 'string') {
        assert.match(node.$ref, /^#\//);
        const target = node.$ref
          .slice(2)
          .split('/')
          .reduce((at, part) => at?.[decodeURIComponent(part).replace(/~1/g, '/').replace(/~0/g, '~')], doc);
        assert.ok(target, `${node.$ref} leads nowhere`);
      }
      for (const [key, value] of Object.entries(node)) {
        if (key === 'schema' && parent !== 'properties') schemas.push(value);
        visit(value, key);
      }
    })(doc, '');
    assert.ok(schemas.length > 50);
    const ajv = new Ajv({
      strict: true,
      strictTypes: false,
      strictRequired: false,
      validateFormats: false,
      allowUnionTypes: true,
    });
    ajv.addVocabulary(['example', 'components', 'openapi', 'info', 'servers', 'paths', 'tags', 'security']);
    for (const schema of schemas) ajv.compile({ ...schema, components: doc.components });
  });

  it('the document tells which callers and headers an operation takes', () => {
    const { doc } = s.contract;
    assert.ok(Object.values(doc.components.securitySchemes).some((x) => x.type === 'http' && x.scheme === 'bearer'));
    assert.ok(Object.values(doc.components.securitySchemes).some((x) => x.type === 'apiKey' && x.in === 'cookie'));
    const secured = (op) => (op.security ?? doc.security ?? []).some((x) => Object.keys(x).length > 0);
    assert.ok(secured(doc.paths['/api/v1/notes'].get));
    assert.ok(!secured(doc.paths['/api/v1/auth/login'].post));
    const headers = (op) => (op.parameters ?? []).filter((p) => p.in === 'header').map((p) => p.name.toLowerCase());
    assert.ok(headers(doc.paths['/api/v1/notes'].post).includes('idempotency-key'));
    assert.ok(headers(doc.paths['/api/v1/notes/{id}'].put).includes('if-match'));
  });

  for (const path of ['/api/v1', '/api', '/api/v1/', '/api/']) {
    it(`${path} lists the endpoints, the same as the document`, async () => {
      const res = await get(path);
      const data = ok(res);
      assert.deepEqual(keys(data), ['apiVersion', 'docs', 'endpoints', 'name', 'openapi', 'version']);
      assert.deepEqual(
        { ...data, endpoints: 0 },
        {
          name: 'mod_chronicle',
          version: '2.0.0',
          apiVersion: 'v1',
          docs: '/api-docs',
          openapi: '/api/v1/openapi.json',
          endpoints: 0,
        },
      );
      assert.equal(res.headers.deprecation, path.startsWith('/api/v1') ? undefined : 'true');
      for (const endpoint of data.endpoints) {
        assert.deepEqual(keys(endpoint), ['auth', 'method', 'path', 'rateClass', 'summary']);
        assert.ok(['public', 'opt', 'user', 'manager', 'admin'].includes(endpoint.auth), JSON.stringify(endpoint));
      }
      const listed = data.endpoints.map((e) => `${e.method} ${e.path}`);
      assert.equal(new Set(listed).size, listed.length);
      const full = (entry) => entry.replace(/ \/(?!api|health|metrics|socket)/, ' /api/v1/');
      const documented = Object.entries(s.contract.doc.paths).flatMap(([p, item]) =>
        ['get', 'put', 'post', 'delete', 'patch'].filter((m) => item[m]).map((m) => `${m.toUpperCase()} ${p}`),
      );
      assert.deepEqual(
        listed.map(full).filter((entry) => !documented.includes(entry)),
        [],
        'listed, not documented',
      );
      assert.deepEqual(
        OPERATIONS.filter((entry) => !listed.map(full).includes(entry)),
        [],
        'not listed',
      );
      const find = (name) => data.endpoints.find((e) => full(`${e.method} ${e.path}`) === name);
      assert.deepEqual(
        [find('POST /api/v1/auth/login').auth, find('POST /api/v1/auth/login').rateClass],
        ['public', 'auth'],
      );
      assert.deepEqual([find('GET /api/v1/notes').auth, find('GET /api/v1/notes').rateClass], ['user', 'api']);
      assert.deepEqual(
        [find('POST /api/v1/auth/logout').auth, find('POST /api/v1/auth/logout').rateClass],
        ['public', 'none'],
      );
    });
  }

  it('the documentation page and all its files are served by this server, and name no other host', async () => {
    for (const start of ['/api-docs', '/api-docs/', '/api/v1/docs']) {
      let base = new URL(start, s.origin);
      let res = await get(start);
      if ([301, 302, 307, 308].includes(res.status)) {
        base = new URL(res.headers.location, base);
        res = await get(base.pathname);
      }
      assert.equal(res.status, 200, start);
      assert.match(res.headers['content-type'], /^text\/html/);
      assert.doesNotMatch(res.text, /https?:\/\/(?!127\.0\.0\.1)/);
      const refs = [...res.text.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1]);
      assert.ok(refs.some((ref) => ref.endsWith('.js')) && refs.some((ref) => ref.endsWith('.css')), refs.join(' '));
      for (const ref of refs.filter((x) => !x.startsWith('data:'))) {
        const { pathname, origin } = new URL(ref, base);
        assert.equal(origin, s.origin);
        const file = await get(pathname);
        assert.equal(file.status, 200, pathname);
        assert.match(
          file.headers['content-type'],
          { js: /javascript/, css: /css/, png: /png/ }[pathname.split('.').pop()] ?? /./,
          pathname,
        );
      }
      assert.doesNotMatch(
        res.text,
        /<script(?![^>]*\bsrc=)[^>]*>\s*\S/,
        'no inline script, which the CSP would forbid',
      );
    }
    assert.equal((await get('/api-docs/nothing-here.js')).status, 404);
    for (const path of ['/api-docs/..%2fhttpd.conf', '/api-docs/%2e%2e/httpd.conf', '/api-docs//etc/passwd']) {
      const res = await get(path, { check: false });
      assert.ok([403, 404].includes(res.status), `${path}: ${res.status}`);
    }
  });
});

const TOKEN = 'metrics-token-1';
serverSuite('Metrics with a token', { directives: [`ChronicleMetricsToken "${TOKEN}"`] }, (s) => {
  it('need it as Bearer', async () => {
    for (const path of ['/metrics', '/api/v1/metrics']) {
      for (const token of [null, 'wrong', `${TOKEN}1`, TOKEN.slice(1), TOKEN.slice(0, -1), TOKEN.toUpperCase()]) {
        assert.equal((await s.anon.at('GET', path, { token })).status, 401, `${path} ${token}`);
      }
      const res = await s.anon.at('GET', path, { token: TOKEN });
      assert.equal(res.status, 200);
      parseMetrics(res.text);
    }
    assert.equal((await s.anon.at('GET', '/health')).status, 200);
  });
});
