/* Paths, aliases, methods, request ids, headers, compression (API.md 1.1, 1.2, 1.7). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { rawExchange } from './lib/client.mjs';
import { UUID, UUIDV7 } from './lib/contract.mjs';
import { fails, invalid, NOWHERE, ok } from './lib/expect.mjs';

serverSuite('Paths and methods', {}, (s) => {
  let alice;
  let folder;
  before(async () => {
    alice = await s.user();
    folder = ok(await alice.post('/folders', { name: 'a folder' }), 201);
  });

  const list = (value) => value.split(/\s*,\s*/).sort();

  for (const path of [
    '/api/v1/folders',
    '/api/v1/folders/',
    '/api/v1/folders/?limit=5',
    '/api/v1/f%6fld%65rs',
    '/%61pi/v1/folders',
  ]) {
    it(`${path} is the list of folders, without deprecation`, async () => {
      const res = await alice.at('GET', path);
      assert.equal(ok(res).items.length, 2);
      assert.equal(res.headers.deprecation, undefined);
      assert.equal(res.headers.link, undefined);
    });
  }

  for (const [method, path, canonical, status] of [
    ['GET', '/api/folders', '/api/v1/folders', 200],
    ['GET', '/api/folders/', '/api/v1/folders', 200],
    ['GET', '/api/folders?limit=0', '/api/v1/folders', 400],
    ['GET', `/api/folders/${NOWHERE}`, `/api/v1/folders/${NOWHERE}`, 404],
    ['DELETE', '/api/folders', '/api/v1/folders', 405],
    ['OPTIONS', '/api/folders', '/api/v1/folders', 204],
    ['HEAD', '/api/auth/me', '/api/v1/auth/me', 200],
    ['POST', '/api/auth/refresh-token', '/api/v1/auth/refresh', 400],
    ['GET', '/api/v1/users/profile', '/api/v1/user/profile', 200],
    ['GET', '/api/users/profile', '/api/v1/user/profile', 200],
    ['PUT', '/api/v1/auth/profile', '/api/v1/user/profile', 415],
  ]) {
    it(`${method} ${path.replace(NOWHERE, '{id}')} answers ${status} and names ${canonical.replace(NOWHERE, '{id}')} as its successor`, async () => {
      const res = await alice.at(
        method,
        path,
        status === 415 ? { body: '{}', type: 'text/plain' } : { json: method === 'POST' ? {} : undefined },
      );
      assert.equal(res.status, status, res.text);
      assert.equal(res.headers.deprecation, 'true');
      assert.equal(res.headers.link?.replace(/;\s+/g, ';'), `<${canonical}>;rel="successor-version"`);
    });
  }

  it('answers under /api/v1 are not deprecated', async () => {
    for (const [method, path] of [
      ['GET', '/folders'],
      ['GET', '/nope'],
      ['DELETE', '/folders'],
      ['GET', '/user/profile'],
    ]) {
      assert.equal((await alice.api(method, path)).headers.deprecation, undefined, path);
    }
  });

  for (const path of [
    '/api/v1/nope',
    '/api/v1/Folders',
    '/api/v1/FOLDERS',
    '/api/v1/folders/x/y',
    '/api/v1/v1/folders',
    '/api/v2/folders',
    '/api/v1/.git/config',
    '/api/v1/.env',
    '/api/v1/folder',
    '/api/v1/folderss',
    '/api/v1/notes.json',
    `/api/v1/notes/${NOWHERE}/versions/1/2`,
    '/api/v1/folders%2F',
    `/api/v1/folders%2f${NOWHERE}`,
    '/api/v1/folders%252Frestore',
    '/api/v1/f%256Flders',
    '/api/v1/folders;a=b',
    '/api/nope',
    '/api/v1/auth',
    '/api/v1/user',
  ]) {
    it(`${path.replace(NOWHERE, '{id}')} is ROUTE_NOT_FOUND, for every method`, async () => {
      for (const method of ['GET', 'POST', 'OPTIONS', 'FROB'])
        fails(await alice.at(method, path), 404, 'ROUTE_NOT_FOUND');
      assert.equal((await alice.at('HEAD', path)).status, 404);
    });
  }

  it('/v1/… is not served', async () => {
    const res = await alice.at('GET', '/v1/folders', { check: false });
    assert.equal(res.status, 404);
    assert.equal(res.headers['x-api-version'], undefined);
  });

  for (const [what, id, code] of [
    ['a word', 'abc'],
    ['no dashes', NOWHERE.replace(/-/g, '')],
    ['braces', `{${NOWHERE}}`],
    ['a space at its end', `${NOWHERE}%20`],
    ['one digit too many', `${NOWHERE}0`],
    ['one too few', NOWHERE.slice(1)],
    ['a letter that is no digit', NOWHERE.replace('0', 'g')],
    ['an encoded slash', 'a%2Fb'],
    ['an encoded percent', '%2535'],
    ['SQL', "'%20OR%201=1"],
    ['300 characters', 'x'.repeat(300)],
  ].map((row) => [...row, 'INVALID_FORMAT'])) {
    it(`an id in a path with ${what} is named in a VALIDATION_ERROR`, async () => {
      for (const [method, path] of [
        ['GET', '/folders/'],
        ['DELETE', '/notes/'],
        ['DELETE', '/user/sessions/'],
      ]) {
        invalid(await alice.api(method, path + id), ['id', code]);
      }
    });
  }

  it('an id in a path may be of any UUID version and letter case', async () => {
    assert.equal(ok(await alice.get(`/folders/${folder.id.toUpperCase()}`)).id, folder.id);
    for (const id of [
      crypto.randomUUID(),
      '00000000-0000-0000-0000-000000000000',
      'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
      '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
      '017F22E2-79B0-0CC3-98C4-DC0C0C07398F',
    ]) {
      fails(await alice.get(`/folders/${id}`), 404, 'FOLDER_NOT_FOUND');
    }
  });

  for (const [path, status] of [
    ['/api/v1/folders', 200],
    ['/api/v1/user/settings', 200],
    [`/api/v1/folders/${NOWHERE}`, 404],
    ['/api/v1/folders?limit=0', 400],
    ['/health', 200],
    ['/api/v1', 200],
    ['/api/v1/openapi.json', 200],
  ]) {
    it(`HEAD ${path.replace(NOWHERE, '{id}')} answers as GET, without body`, async () => {
      const head = await alice.at('HEAD', path);
      const get = await alice.at('GET', path);
      assert.equal(head.status, status);
      assert.equal(get.status, status);
      for (const name of ['content-type', 'etag', 'cache-control', 'www-authenticate'])
        assert.equal(head.headers[name], get.headers[name], name);
      if (head.headers['content-length'] && !path.includes('health'))
        assert.equal(head.headers['content-length'], get.headers['content-length']);
    });
  }

  it('every documented path answers OPTIONS with 204 and Allow, and other methods with 405 and the same Allow', async () => {
    for (const [template, item] of Object.entries(s.contract.doc.paths)) {
      const path = template.replace(/\{[^}]+\}/g, NOWHERE);
      const methods = ['get', 'put', 'patch', 'post', 'delete']
        .filter((name) => item[name])
        .map((name) => name.toUpperCase());
      if (methods.includes('GET')) methods.push('HEAD');
      if (methods.includes('PUT') && !methods.includes('PATCH')) methods.push('PATCH');
      methods.push('OPTIONS');
      if (template.startsWith('/socket.io')) continue;
      const res = await s.anon.at('OPTIONS', path);
      assert.equal(`${template} ${res.status}`, `${template} 204`);
      assert.deepEqual(list(res.headers.allow), methods.sort(), template);
      for (const method of [
        'FROB',
        'PROPFIND',
        ...['GET', 'PUT', 'POST', 'DELETE', 'PATCH'].filter((m) => !methods.includes(m)),
      ]) {
        const other = await s.anon.at(method, path);
        fails(other, 405, 'METHOD_NOT_ALLOWED');
        assert.deepEqual(list(other.headers.allow), methods, `${method} ${template}`);
      }
    }
  });

  it('TRACE is 405 and echoes nothing; method names are case-sensitive', async () => {
    for (const path of ['/api/v1/folders', '/health']) {
      const res = await alice.at('TRACE', path, { headers: { 'x-echo': 'secret-echo' } });
      assert.equal(res.status, 405);
      assert.ok(res.headers.allow);
      assert.ok(!res.text.includes('secret-echo'));
    }
    const res = await rawExchange(s, `get /api/v1/folders HTTP/1.1\r\nHost: ${s.host}\r\nConnection: close\r\n\r\n`);
    assert.equal(res.status, 405);
    assert.match(res.text, /METHOD_NOT_ALLOWED/);
  });

  it('PATCH means PUT on every PUT endpoint', async () => {
    for (const [path, json] of [
      ['/user/profile', { fullName: 'P' }],
      ['/user/settings', { theme: 'dark' }],
      [`/folders/${folder.id}`, { icon: 'p' }],
    ]) {
      const got = ok(await alice.patch(path, json));
      assert.deepEqual(ok(await alice.put(path, json)), got);
    }
  });

  it('a folder id in a trailing position may carry one slash, not a further segment', async () => {
    assert.equal(ok(await alice.get(`/folders/${folder.id}/`)).id, folder.id);
    fails(await alice.get(`/folders/${folder.id}/x`), 404, 'ROUTE_NOT_FOUND');
  });
});

serverSuite('Headers', {}, (s) => {
  s.expectLog(/security: /, /AH10244: invalid URI path/);
  let alice;
  before(async () => {
    alice = await s.user();
  });

  for (const id of ['a', 'A-Z.az_09', 'x'.repeat(128), '0198a000-0000-7000-8000-000000000001']) {
    it(`X-Request-Id ${id.slice(0, 40)} is kept, in the header and in errors`, async () => {
      for (const path of ['/folders', '/nope', '/folders/x', '/auth/me']) {
        const res = await alice.get(path, { headers: { 'x-request-id': id } });
        assert.equal(res.headers['x-request-id'], id);
        if (res.status >= 400) assert.equal(res.json.requestId, id);
      }
    });
  }
  for (const id of ['', 'x'.repeat(129), 'a b', 'a/b', '<script>', 'caf\u00e9', 'a,b', 'a"b']) {
    it(`X-Request-Id ${JSON.stringify(id).slice(0, 40)} is replaced by a UUID`, async () => {
      const res = await s.anon.get('/nope', { headers: { 'x-request-id': id } });
      assert.match(res.headers['x-request-id'], UUID);
      assert.equal(res.json.requestId, res.headers['x-request-id']);
    });
  }
  it('without X-Request-Id each answer has an id of its own', async () => {
    const seen = new Set();
    for (let n = 0; n < 20; n += 1) seen.add((await s.anon.at('GET', '/health')).headers['x-request-id']);
    assert.equal(seen.size, 20);
  });

  /* The client judges all headers of 1.7 on every answer; here are answers of every kind. */
  it('every kind of answer carries the headers of 1.7', async () => {
    const { id } = ok(await alice.post('/notes', {}), 201);
    const kinds = [
      [200, await alice.get('/folders')],
      [201, await alice.post('/notes', {})],
      [204, await alice.api('OPTIONS', '/folders')],
      [304, await alice.get(`/notes/${id}`, { headers: { 'if-none-match': '*' } })],
      [400, await alice.get('/folders?x=1')],
      [401, await s.anon.get('/folders')],
      [403, await alice.get('/folders?limit=%3Cscript')],
      [404, await alice.get(`/notes/${NOWHERE}`)],
      [404, await alice.get('/nope')],
      [405, await alice.del('/folders')],
      [409, await alice.post(`/notes/${id}/restore`)],
      [412, await alice.put(`/notes/${id}`, {}, { headers: { 'if-match': '"v9"' } })],
      [413, await alice.api('POST', '/notes', { body: '', headers: { 'content-length': '10485761' }, fresh: true })],
      [415, await alice.api('POST', '/notes', { body: '{}', type: 'text/html' })],
    ];
    for (const [status, res] of kinds) assert.equal(res.status, status, res.text);
    assert.match((await alice.get('/auth/me')).headers['server-timing'], /app;dur=/);
  });

  it('a body of at least 1024 bytes is gzipped on request, a smaller one is not', async () => {
    const { id } = ok(await alice.post('/notes', { content: 'compressible '.repeat(200) }), 201);
    const plain = await alice.get(`/notes/${id}`);
    assert.equal(plain.headers['content-encoding'], undefined);
    const packed = await alice.get(`/notes/${id}`, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.match(packed.headers.vary, /accept-encoding/i);
    assert.ok(packed.raw.length < plain.raw.length / 2);
    assert.deepEqual(ok(packed), ok(plain));
    for (const tag of [packed.headers.etag, plain.headers.etag]) {
      const again = await alice.get(`/notes/${id}`, { headers: { 'accept-encoding': 'gzip', 'if-none-match': tag } });
      assert.equal(again.status, 304);
      assert.equal(ok(await alice.put(`/notes/${id}`, {}, { headers: { 'if-match': tag } })).version, 1);
    }
    for (const [accept, encoding] of [
      ['identity', undefined],
      ['gzip;q=0', undefined],
      ['gzip; q=0.0', undefined],
      ['gzip;q=0.5', 'gzip'],
      ['br;q=1.0, gzip;q=0.8', 'gzip'],
    ]) {
      const res = await alice.get(`/notes/${id}`, { headers: { 'accept-encoding': accept } });
      assert.equal(`${accept} -> ${res.headers['content-encoding']}`, `${accept} -> ${encoding}`);
      assert.deepEqual(ok(res), ok(plain));
    }
    const small = await alice.get('/user/settings', { headers: { 'accept-encoding': 'gzip' } });
    assert.ok(Number(small.raw.length) < 1024);
    assert.equal(small.headers['content-encoding'], undefined);
  });

  it('traceparent is accepted, also a malformed one', async () => {
    for (const traceparent of ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'junk', '']) {
      ok(await alice.get('/folders', { headers: { traceparent } }));
    }
  });

  it('ids from the server are UUIDv7 and grow with time', async () => {
    const ids = [];
    for (let n = 0; n < 5; n += 1) ids.push(ok(await alice.post('/notes', {}), 201).id);
    for (const id of ids) {
      assert.match(id, UUIDV7);
      assert.ok(Math.abs(parseInt(id.replace(/-/g, '').slice(0, 12), 16) - Date.now()) < 60000);
    }
    assert.deepEqual(
      [...ids].sort((a, b) => (a.slice(0, 13) < b.slice(0, 13) ? -1 : 1)),
      ids,
    );
  });

  it('what httpd refuses before a route is known keeps its status', async () => {
    const line = `Host: ${s.host}\r\nConnection: close\r\n`;
    for (const [status, text] of [
      [414, `GET /api/v1/folders?x=${'y'.repeat(9000)} HTTP/1.1\r\n${line}\r\n`],
      [400, `GET /api/v1/folders HTTP/1.1\r\n${line}X-Big: ${'y'.repeat(9000)}\r\n\r\n`],
      [
        400,
        `GET /api/v1/folders HTTP/1.1\r\n${Array.from({ length: 120 }, (_, n) => `X-${n}: y\r\n`).join('')}${line}\r\n`,
      ],
      [400, 'GET /api/v1/folders HTTP/1.1\r\nConnection: close\r\n\r\n'],
      [400, `GET /api/v1/folders%zz HTTP/1.1\r\n${line}\r\n`],
      [400, `POST /api/v1/auth/login HTTP/1.1\r\n${line}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   `],
      [400, `POST /api/v1/auth/login HTTP/1.1\r\n${line}Content-Length: -1\r\n\r\n`],
    ]) {
      const res = await rawExchange(s, text);
      assert.ok(
        [status, status === 400 ? 431 : status].includes(res.status),
        `${text.slice(0, 60)}: ${res.text.slice(0, 200)}`,
      );
      assert.doesNotMatch(res.text, /"success":true/);
    }
  });

  it('a request hidden in the body of another is not answered', async () => {
    const hidden = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
    const res = await rawExchange(
      s,
      `POST /api/v1/auth/login HTTP/1.1\r\nHost: ${s.host}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${5 + hidden.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      { ms: 3000 },
    );
    assert.ok((res.text.match(/HTTP\/1\.1 \d\d\d/g) ?? []).length <= 1, res.text);
  });
});
