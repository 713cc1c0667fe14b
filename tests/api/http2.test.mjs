/* The API over HTTP/2: h2c with prior knowledge, and h2 over TLS with ALPN. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { H2 } from './lib/h2.mjs';
import { TLS_NOISE, tlsOptions } from './lib/tls.mjs';
import { sleep, until, within } from './lib/env.mjs';
import { fails, ids, invalid, ok, parallel, tally, times } from './lib/expect.mjs';

const MB = 1024 * 1024;
const tls = tlsOptions();

serverSuite(
  'HTTP/2',
  {
    ...tls,
    modules: [...tls.modules, 'http2'],
    children: 1,
    limits: { api: '100000/600' },
    directives: [...tls.directives, 'Protocols h2 h2c http/1.1', 'H2MaxSessionStreams 200', 'DeflateBufferSize 4096'],
  },
  (s) => {
    s.expectLog(...TLS_NOISE);
    let alice;
    before(async () => {
      alice = await s.user();
    });

    for (const overTls of [false, true]) {
      describe(overTls ? 'over TLS' : 'in clear text', () => {
        let h2;
        before(async () => {
          h2 = await H2.connect(s, { tls: overTls, token: alice.token });
        });
        after(() => h2.close());
        const post = (path, json, options) => h2.api('POST', path, { json, ...options });

        it('the connection is h2, and answers are those of HTTP/1.1', async () => {
          assert.equal(h2.protocol, overTls ? 'h2' : 'h2c');
          const note = ok(await post('/notes', { title: 'h2', content: 'x'.repeat(3000) }), 201);
          const one = await h2.api('GET', `/notes/${note.id}`);
          assert.deepEqual(ok(one), ok(await alice.get(`/notes/${note.id}`)));
          assert.equal(one.headers.etag, '"v1"');
          assert.equal('strict-transport-security' in one.headers, overTls);
          assert.equal(one.headers.connection, undefined);
          const head = await h2.api('HEAD', `/notes/${note.id}`);
          assert.equal(head.status, 200);
          assert.equal(head.headers['content-length'], one.headers['content-length']);
          const same = await h2.api('GET', `/notes/${note.id}`, { headers: { 'if-none-match': '"v1"' } });
          assert.equal(same.status, 304);
          const changed = await h2.api('PUT', `/notes/${note.id}`, {
            json: { title: 'h3' },
            headers: { 'if-match': '"v1"' },
          });
          assert.equal(ok(changed).version, 2);
          fails(
            await h2.api('PUT', `/notes/${note.id}`, { json: { title: 'h4' }, headers: { 'if-match': '"v1"' } }),
            412,
            'PRECONDITION_FAILED',
          );
          const packed = await h2.api('GET', `/notes/${note.id}`, { headers: { 'accept-encoding': 'gzip' } });
          assert.equal(packed.headers['content-encoding'], 'gzip');
          assert.equal(packed.headers.etag, '"v2-gzip"');
          assert.equal(ok(packed).content.length, 3000);
          ok(await h2.api('DELETE', `/notes/${note.id}`));
          fails(await h2.api('GET', `/notes/${note.id}`), 404, 'NOTE_NOT_FOUND');
        });

        it('errors of every stage have their status, and the connection lives on', async () => {
          fails(await h2.api('GET', '/nope'), 404, 'ROUTE_NOT_FOUND');
          const { headers } = await h2.api('PUT', '/auth/login', { json: {} });
          assert.match(headers.allow, /POST/);
          fails(await h2.api('GET', '/notes', { token: null }), 401, 'AUTHENTICATION_REQUIRED');
          fails(await h2.api('POST', '/notes', { body: '{' }), 400, 'MALFORMED_JSON');
          fails(
            await h2.api('POST', '/notes', { body: 'x', headers: { 'content-type': 'text/plain' } }),
            415,
            'UNSUPPORTED_MEDIA_TYPE',
          );
          invalid(await h2.api('GET', '/notes?x=1'), ['x', 'UNKNOWN_FIELD']);
          const options = await h2.api('OPTIONS', '/notes');
          assert.equal(options.status, 204);
          ok(await h2.api('GET', '/notes'));
        });

        it('request ids: the own one comes back, else each stream has a new one', async () => {
          const named = await h2.api('GET', '/notes', { headers: { 'x-request-id': 'my.own-1' } });
          assert.equal(named.headers['x-request-id'], 'my.own-1');
          const all = await parallel(20, () => h2.api('GET', '/folders'));
          assert.equal(new Set(all.map((res) => res.headers['x-request-id'])).size, 20);
        });

        it('a hundred streams at once on one connection, reads and writes', async () => {
          const all = await parallel(100, (n) => (n % 2 ? post('/notes', { title: `p${n}` }) : h2.api('GET', '/notes')));
          assert.deepEqual(tally(all.map((res) => res.status)), { 200: 50, 201: 50 });
          const made = new Set(all.filter((res) => res.status === 201).map((res) => res.json.data.id));
          assert.equal(made.size, 50);
          const { items } = ok(await alice.get('/notes?limit=100'));
          const there = new Set(ids(items));
          assert.ok([...made].every((id) => there.has(id)));
        });

        it('a body in many frames without a length arrives whole', async () => {
          const content = 'äöü€ '.repeat(40000);
          const text = Buffer.from(JSON.stringify({ title: 'frames', content }));
          const parts = [];
          for (let at = 0; at < text.length; at += 7777) parts.push(text.subarray(at, at + 7777));
          const note = ok(await h2.api('POST', '/notes', { body: parts }), 201);
          assert.equal(note.content, content);
          assert.equal(ok(await h2.api('GET', `/notes/${note.id}`)).content, content);
        });

        it('a body past the limit is 413, announced or not', async () => {
          const headers = { 'content-length': 10 * MB + 1 };
          const stream = h2.open('POST', '/api/v1/notes', { body: [], headers });
          fails(await h2.answer(stream, 'POST', '/api/v1/notes'), 413, 'PAYLOAD_TOO_LARGE');
          stream.close(http2.constants.NGHTTP2_CANCEL);
          const parts = Array.from({ length: 11 }, () => Buffer.alloc(MB, 0x20));
          fails(await h2.api('POST', '/notes', { body: parts }), 413, 'PAYLOAD_TOO_LARGE');
          ok(await h2.api('GET', '/folders'));
        });

        it('streams that are reset, before, amid and after the body, harm nobody', async () => {
          const count = async () => (await s.sql('SELECT count(*) AS n FROM folders'))[0].n;
          const before = await count();
          /* httpd closes a connection that resets many of its streams: five at most on each. */
          const rude = await parallel(8, () => H2.connect(s, { tls: overTls, token: alice.token }));
          const cancel = (client, path, part, ms) =>
            new Promise((next) => {
              const stream = client.open(part === undefined ? 'GET' : 'POST', path, { body: part === undefined ? part : [] });
              stream.on('error', () => {});
              stream.resume();
              stream.on('close', next);
              if (part) stream.write(part);
              setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), ms);
            });
          const cancelled = rude.flatMap((client, n) =>
            times(5, (k) => {
              if (n < 3) return cancel(client, '/api/v1/folders', '{"name":"half', k * 10);
              if (n < 5) return cancel(client, '/api/v1/folders', '', k * 10);
              return cancel(client, '/api/v1/notes?limit=100', undefined, k);
            }),
          );
          for (const res of await parallel(40, () => h2.api('GET', '/folders'))) ok(res);
          await within(10000, Promise.all(cancelled));
          for (const client of rude) client.close();
          assert.equal(await count(), before);
          const busy = "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND state <> 'idle'";
          await until(
            async () => (await s.sql(busy, [s.database])).length === 1 /* the one that asks */,
            3000,
            'no statement is left running',
          );
          for (const res of await parallel(40, () => h2.api('GET', '/folders'))) ok(res);
        });

        it('a stream that is reset leaves its neighbours on the connection alone', async () => {
          const neighbours = times(20, (n) => h2.api('POST', '/folders', { json: { name: `${overTls} ${n}` } }));
          const stream = h2.open('POST', '/api/v1/folders', { body: [] });
          stream.on('error', () => {});
          stream.write('{');
          stream.close(http2.constants.NGHTTP2_CANCEL);
          for (const res of await Promise.all(neighbours)) ok(res, 201);
          ok(await h2.api('GET', '/folders'));
        });
      });
    }

    it('a connection that is torn down amid forty streams leaves a healthy server', async () => {
      const children = s.processes();
      for (let round = 0; round < 5; round += 1) {
        const h2 = await H2.connect(s, { token: alice.token });
        for (let n = 0; n < 40; n += 1) {
          const stream = n % 2 ? h2.open('GET', '/api/v1/notes?limit=100') : h2.open('POST', '/api/v1/notes', { body: [] });
          stream.on('error', () => {});
          if (n % 2 === 0) stream.write('{"title":');
        }
        await sleep(10 * round);
        h2.session.destroy();
      }
      for (const res of await parallel(40, () => alice.get('/notes', { fresh: true }))) ok(res);
      assert.deepEqual(s.processes(), children, 'the child lives');
    });

    it('limits and the access log count streams, not connections', async () => {
      const bob = await s.user();
      const h2 = await H2.connect(s, { token: bob.token });
      const all = await parallel(15, () => h2.api('GET', '/folders?page=1'));
      const left = all.map((res) => Number(res.headers['ratelimit-remaining']));
      assert.deepEqual(
        left.sort((a, b) => b - a),
        Array.from({ length: 15 }, (_, n) => 99999 - n),
      );
      h2.close();
      const lines = () => s.accessLog().split('\n').filter((line) => line.includes('/folders?page=1 HTTP/2.0'));
      await until(() => lines().length === 15, 3000, 'every stream is in the access log');
      for (const line of lines()) assert.ok(line.includes(bob.user.id), line);
    });
  },
);
