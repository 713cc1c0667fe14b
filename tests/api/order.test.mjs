/* The order of checks of API.md 1.5: each request breaks two neighbouring rules, the earlier one must answer. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { rawExchange } from './lib/client.mjs';
import { cookieLogin, verifyEmail } from './lib/accounts.mjs';
import { fails, NOWHERE, ok } from './lib/expect.mjs';

/* Steps 6 (rate limit) with 5 and 7 are in limits.test.mjs, which has the limits; 10, 16 and 19 need roles,
   rooms and quotas, which sections 1 to 6 don't have. */
serverSuite(
  'Order of checks',
  {
    directives: ['ChronicleRequireVerifiedEmail On', 'ChronicleAllowedOrigins https://app.example.com'],
  },
  (s) => {
    s.expectLog(/security: /);
    let fresh; /* not verified */
    let web; /* the same user by cookie */
    let alice; /* verified */
    let folder;
    before(async () => {
      [fresh, alice] = await s.users(2);
      web = await cookieLogin(s, fresh);
      await verifyEmail(s, alice);
      folder = ok(await alice.post('/folders', { name: 'f' }), 201);
    });

    const EVIL = { origin: 'https://evil.example' };
    const STALE = { 'if-match': '"v999"' };
    const key = () => ({ 'idempotency-key': crypto.randomUUID() });
    const big = (body) => ({ body, headers: { 'content-length': '10485761' }, fresh: true });
    const note = async (fields) => ok(await alice.post('/notes', fields ?? {}), 201);

    it('1 before 2: an overlong request line with a suspicious value is 414', async () => {
      const res = await rawExchange(
        s,
        `GET /api/v1/folders?x=%3Cscript${'y'.repeat(9000)} HTTP/1.1\r\nHost: ${s.host}\r\nConnection: close\r\n\r\n`,
      );
      assert.equal(res.status, 414);
    });

    it('2 before 3: a suspicious value from a foreign origin is recorded as the pattern', async () => {
      const res = await alice.post('/folders?x=%3Cscript', {}, { headers: EVIL });
      fails(res, 403, 'SECURITY_VIOLATION');
      const rows = await until(
        async () => {
          const found = await s.sql('SELECT pattern FROM security_events WHERE request_id = $1', [
            res.headers['x-request-id'],
          ]);
          return found.length && found;
        },
        3000,
        'the event is stored',
      );
      assert.equal(rows.length, 1);
      assert.match(rows[0].pattern ?? '', /<script/i);
    });

    /* What, request, expected status and code. */
    const table = [
      [
        '2 before 4: a suspicious value on an unknown path',
        () => s.anon.get('/nope?x=%3Cscript'),
        403,
        'SECURITY_VIOLATION',
      ],
      [
        '3 before 4: a foreign origin on an unknown path',
        () => alice.post('/nope', {}, { headers: EVIL }),
        403,
        'SECURITY_VIOLATION',
      ],
      [
        '3 before 5: a foreign origin with an unsafe method that the path lacks',
        () => alice.put('/folders', {}, { headers: EVIL }),
        403,
        'SECURITY_VIOLATION',
      ],
      [
        '3 before 7: a foreign origin without credential',
        () => s.anon.post('/folders', {}, { headers: EVIL }),
        403,
        'SECURITY_VIOLATION',
      ],
      ['4 before 5: an extension method on an unknown path', () => s.anon.api('FROB', '/nope'), 404, 'ROUTE_NOT_FOUND'],
      ['5 before 7: a wrong method without credential', () => s.anon.del('/folders'), 405, 'METHOD_NOT_ALLOWED'],
      ['5 before 13: a wrong method with a bad id', () => alice.post('/folders/x', {}), 405, 'METHOD_NOT_ALLOWED'],
      [
        '7 before 8: a bad Bearer beside a cookie without CSRF token',
        () => web.post('/folders', {}, { token: 'bad' }),
        401,
        'INVALID_TOKEN',
      ],
      [
        '7 before 9: no credential where verification is required',
        () => s.anon.post('/folders', {}),
        401,
        'AUTHENTICATION_REQUIRED',
      ],
      [
        '7 before 11: no credential and a wrong Content-Type',
        () => s.anon.api('POST', '/folders', { body: 'x', type: 'text/plain' }),
        401,
        'AUTHENTICATION_REQUIRED',
      ],
      [
        '7 before 11: no credential and a body over the limit',
        () => s.anon.api('POST', '/folders', big('x')),
        401,
        'AUTHENTICATION_REQUIRED',
      ],
      ['7 before 13: no credential and a bad id', () => s.anon.get('/folders/x?y=1'), 401, 'AUTHENTICATION_REQUIRED'],
      ['8 before 9: a cookie without CSRF token, not verified', () => web.post('/folders', {}), 403, 'CSRF_FAILED'],
      [
        '8 before 11: a cookie without CSRF token and a wrong Content-Type',
        () => web.api('PUT', '/user/profile', { body: 'x', type: 'text/plain' }),
        403,
        'CSRF_FAILED',
      ],
      [
        '9 before 11: not verified and a wrong Content-Type',
        () => fresh.api('POST', '/folders', { body: 'x', type: 'text/plain' }),
        403,
        'EMAIL_NOT_VERIFIED',
      ],
      [
        '9 before 11: not verified and a body over the limit',
        () => fresh.api('POST', '/folders', big('x')),
        403,
        'EMAIL_NOT_VERIFIED',
      ],
      [
        '9 before 12: not verified and malformed JSON',
        () => fresh.api('POST', '/folders', { body: '{' }),
        403,
        'EMAIL_NOT_VERIFIED',
      ],
      ['9 before 13: not verified and a bad query', () => fresh.get('/notes?limit=0'), 403, 'EMAIL_NOT_VERIFIED'],
      [
        '9 before 15: not verified and an unknown object',
        () => fresh.get(`/notes/${NOWHERE}`),
        403,
        'EMAIL_NOT_VERIFIED',
      ],
      [
        '11 before 12: a wrong Content-Type and malformed JSON',
        () => alice.api('POST', '/folders', { body: '{', type: 'text/plain' }),
        415,
        'UNSUPPORTED_MEDIA_TYPE',
      ],
      [
        '11 before 12: a body over the limit that is no JSON',
        () => alice.api('POST', '/folders', big('{')),
        413,
        'PAYLOAD_TOO_LARGE',
      ],
      [
        '11 before 13: a wrong Content-Type and a bad query',
        () => alice.api('POST', '/folders?x=1', { body: '{}', type: 'text/plain' }),
        415,
        'UNSUPPORTED_MEDIA_TYPE',
      ],
      [
        '12 before 13: malformed JSON and a bad id, query and header',
        () => alice.api('PUT', '/folders/x?y=1', { body: '{"name":' }),
        400,
        'MALFORMED_JSON',
      ],
      [
        '12 before 15: malformed JSON for an unknown object',
        () => alice.api('PUT', `/folders/${NOWHERE}`, { body: '{]' }),
        400,
        'MALFORMED_JSON',
      ],
      [
        '13 before 15: a bad field for an unknown object',
        () => alice.put(`/folders/${NOWHERE}`, { name: '' }),
        400,
        'VALIDATION_ERROR',
      ],
      [
        '13 before 17: a bad field and a stale If-Match',
        () => alice.put(`/folders/${folder.id}`, { name: '' }, { headers: STALE }),
        400,
        'VALIDATION_ERROR',
      ],
      [
        '13 before 18: a bad field and a taken name',
        () => alice.post('/folders', { name: 'Notes', position: -1 }),
        400,
        'VALIDATION_ERROR',
      ],
      [
        '15 before 17: an unknown object and a stale If-Match',
        () => alice.put(`/folders/${NOWHERE}`, { name: 'x' }, { headers: STALE }),
        404,
        'FOLDER_NOT_FOUND',
      ],
      [
        '15 before 18: an unknown folder and a taken id',
        async () => {
          const { id } = await note();
          return alice.post('/notes', { id, folderId: NOWHERE });
        },
        404,
        'FOLDER_NOT_FOUND',
      ],
      [
        '15 before 18: an unknown note to restore',
        () => alice.post(`/notes/${NOWHERE}/restore`, undefined, { headers: STALE }),
        404,
        'NOTE_NOT_FOUND',
      ],
      [
        '17 before 18: a stale If-Match and a taken name',
        () => alice.put(`/folders/${folder.id}`, { name: 'Notes' }, { headers: STALE }),
        412,
        'PRECONDITION_FAILED',
      ],
      [
        '17 before 18: a stale If-Match on restoring what is not deleted',
        async () => alice.post(`/notes/${(await note()).id}/restore`, undefined, { headers: STALE }),
        412,
        'PRECONDITION_FAILED',
      ],
      [
        '17 before 18: the same for a folder',
        () => alice.post(`/folders/${folder.id}/restore`, undefined, { headers: STALE }),
        412,
        'PRECONDITION_FAILED',
      ],
    ];
    for (const [what, send, status, code] of table) {
      it(`${what} is ${code}`, async () => {
        fails(await send(), status, code);
      });
    }

    it('13 before 14: a bad field under a used key is VALIDATION_ERROR, not a mismatch', async () => {
      const headers = key();
      ok(await alice.post('/folders', { name: crypto.randomUUID() }, { headers }), 201);
      fails(await alice.post('/folders', { name: '' }, { headers }), 400, 'VALIDATION_ERROR');
      fails(await alice.post('/folders', { name: crypto.randomUUID() }, { headers }), 422, 'IDEMPOTENCY_MISMATCH');
    });

    it('14 before 15: a replay does not look for the object again; a mismatch hides a missing one', async () => {
      const headers = key();
      const { id } = ok(await alice.post('/folders', { name: crypto.randomUUID() }), 201);
      const first = await alice.post('/notes', { folderId: id }, { headers });
      ok(first, 201);
      ok(await alice.del(`/folders/${id}`));
      const second = await alice.post('/notes', { folderId: id }, { headers });
      assert.equal(ok(second, 201).id, first.json.data.id);
      fails(await alice.post('/notes', { folderId: NOWHERE }, { headers }), 422, 'IDEMPOTENCY_MISMATCH');
    });

    it('14 before 18: a replay of a creation is no conflict with itself', async () => {
      const headers = key();
      const json = { id: crypto.randomUUID(), name: crypto.randomUUID() };
      ok(await alice.post('/folders', json, { headers }), 201);
      ok(await alice.post('/folders', json, { headers }), 201);
      fails(await alice.post('/folders', json), 409, 'CONFLICT');
    });

    it('9 leaves /auth and /user open to an unverified user', async () => {
      for (const path of ['/auth/me', '/auth/csrf', '/user/profile', '/user/settings', '/user/sessions'])
        ok(await fresh.get(path));
      ok(await fresh.put('/user/settings', { theme: 'dark' }));
      for (const path of ['/folders', '/notes']) fails(await fresh.get(path), 403, 'EMAIL_NOT_VERIFIED');
      ok(await s.anon.get('', {}), 200);
    });

    it('9 ends when the address is verified', async () => {
      await verifyEmail(s, fresh);
      ok(await fresh.get('/folders'));
    });
  },
);
