/* What managers do with contact and demo requests: lists, filters, states, notes; and that nobody else can. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { newRole } from './lib/accounts.mjs';
import { FORMS, sendForms } from './lib/forms.mjs';
import { fails, ids, invalid, NOWHERE, ok, parallel, times } from './lib/expect.mjs';

serverSuite('Work on forms', {}, (s) => {
  let user;
  let manager;
  let admin;
  before(async () => {
    user = await s.user();
    manager = await newRole(s, 'manager');
    admin = await newRole(s, 'admin');
  });
  const enc = encodeURIComponent;
  const empty = () => s.sql('TRUNCATE contact_submissions, demo_requests');

  for (const form of Object.keys(FORMS)) {
    const { body, table, states } = FORMS[form];
    const here = `/forms/${form}`;
    const make = async (fields) => ok(await s.anon.post(here, body(fields)), 201).id;
    const list = async (query = '') => ok(await manager.get(`${here}?${query}`));
    const found = async (query) => (await list(query)).items.map((item) => item.name).sort();

    describe(form, () => {
      it('is for managers and administrators alone', async () => {
        const id = await make();
        for (const [method, path] of [['GET', here], ['GET', `${here}/${id}`], ['PUT', `${here}/${id}`], ['PATCH', `${here}/${id}`]]) {
          const json = method === 'GET' ? undefined : { status: states[1] };
          fails(await s.anon.api(method, path, { json }), 401, 'AUTHENTICATION_REQUIRED');
          fails(await user.api(method, path, { json }), 403, 'FORBIDDEN');
          ok(await manager.api(method, path, { json }));
          ok(await admin.api(method, path, { json }));
        }
        const own = ok(await user.post(here, body()), 201).id;
        fails(await user.get(`${here}/${own}`), 403, 'FORBIDDEN');
        fails(await manager.del(`${here}/${id}`), 405, 'METHOD_NOT_ALLOWED');
      });

      it('one that is not there, or of the other form', async () => {
        const other = (await sendForms(s.anon))[form === 'contact' ? 1 : 0].id;
        for (const id of [NOWHERE, other]) {
          fails(await manager.get(`${here}/${id}`), 404, 'SUBMISSION_NOT_FOUND');
          fails(await manager.put(`${here}/${id}`, {}), 404, 'SUBMISSION_NOT_FOUND');
        }
        invalid(await manager.get(`${here}/x`), ['id', 'INVALID_FORMAT']);
      });

      it('any state follows any', async () => {
        const id = await make();
        for (const from of states)
          for (const to of states) {
            await s.sql(`UPDATE ${table} SET status = $2 WHERE id = $1`, [id, from]);
            assert.equal(ok(await manager.put(`${here}/${id}`, { status: to })).status, to);
          }
        const foreign = form === 'contact' ? 'scheduled' : 'spam';
        invalid(await manager.put(`${here}/${id}`, { status: foreign }), ['status', 'INVALID_VALUE']);
        invalid(await manager.put(`${here}/${id}`, { status: null, handledBy: null, name: 'x' }), ['status', 'WRONG_TYPE'], ['handledBy', 'UNKNOWN_FIELD'], ['name', 'UNKNOWN_FIELD']);
        invalid(await manager.get(`${here}?status=${foreign}`), ['status', 'INVALID_VALUE']);
      });

      it('what is given changes, and who gave it handles it', async () => {
        const id = await make();
        const get = async () => ok(await manager.get(`${here}/${id}`));
        const first = await get();
        assert.deepEqual(ok(await manager.put(`${here}/${id}`, {})), first, 'nothing');
        const noted = ok(await manager.patch(`${here}/${id}`, { adminNote: ' a\n\u0085 ' }));
        assert.ok(noted.updatedAt > first.updatedAt);
        assert.deepEqual(noted, { ...first, adminNote: ' a\n\u0085 ', handledBy: manager.user.id, updatedAt: noted.updatedAt });
        assert.deepEqual(await get(), noted);
        assert.deepEqual(ok(await manager.put(`${here}/${id}`, { adminNote: ' a\n\u0085 ', status: 'new' })), noted, 'it was so');
        const taken = ok(await admin.put(`${here}/${id}`, { status: 'new' }));
        assert.deepEqual(taken, { ...noted, handledBy: admin.user.id, updatedAt: taken.updatedAt });
        assert.equal(ok(await admin.put(`${here}/${id}`, { status: states[1] })).adminNote, ' a\n\u0085 ');
        assert.equal(ok(await admin.put(`${here}/${id}`, { adminNote: '' })).adminNote, '');
        const cleared = ok(await admin.put(`${here}/${id}`, { adminNote: null }));
        assert.deepEqual([cleared.adminNote, cleared.status], [null, states[1]]);
        invalid(await admin.put(`${here}/${id}`, { adminNote: 'x'.repeat(2001) }), ['adminNote', 'TOO_LONG']);
        const rows = await s.sql("SELECT actor_id, target_type, details FROM audit_logs WHERE action = 'form.update' AND target_id = $1", [id]);
        const told = rows.map(({ actor_id: actor, details }) => `${actor} ${details.status?.from} ${details.status?.to}`).sort();
        const changes = ['undefined undefined', 'undefined undefined', 'undefined undefined', `new ${states[1]}`];
        assert.deepEqual(told, [`${manager.user.id} undefined undefined`, ...changes.map((change) => `${admin.user.id} ${change}`)].sort());
        assert.equal(rows[0].target_type, form === 'contact' ? 'contact_submission' : 'demo_request');
      });

      it('two at once: one after the other', async () => {
        const id = await make();
        const all = await parallel(20, (n) => (n % 2 ? manager : admin).put(`${here}/${id}`, n % 2 ? { status: states[1] } : { adminNote: 'x' }));
        for (const res of all) ok(res);
        const got = ok(await manager.get(`${here}/${id}`));
        assert.deepEqual([got.status, got.adminNote], [states[1], 'x']);
      });

      it('a manager who leaves is no hindrance, and has handled nothing', async () => {
        const going = await newRole(s, 'manager');
        const id = await make();
        ok(await going.put(`${here}/${id}`, { status: states[1] }));
        const session = await s.session();
        await session.query('BEGIN');
        await session.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [going.user.id]);
        const update = going.put(`${here}/${id}`, { status: states[2] });
        const waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        await until(async () => (await s.sql(waits)).length, 5000, 'it waits');
        await session.query('DELETE FROM users WHERE id = $1', [going.user.id]);
        await session.query('COMMIT');
        ok(await update);
        assert.equal(ok(await manager.get(`${here}/${id}`)).handledBy, null);
      });

      it('filters', async () => {
        await empty();
        const names = ['100% Ada', '1000 Ada', 'a_b', 'axb', 'back\\slash', "o'Neil", 'Ünal', '日本', '<script>', '* ? [x]'];
        const made = new Map();
        for (const name of names) made.set(name, await make({ name, email: 'x@plain.example', company: 'Firm' }));
        for (const [search, ...want] of [
          ['100%', '100% Ada'], ['%', '100% Ada'], ['_', 'a_b'], ['a_b', 'a_b'], ['\\', 'back\\slash'], ["'", "o'Neil"],
          ['ADA', '100% Ada', '1000 Ada'], ['ü', 'Ünal'], ['日', '日本'], ['<script>', '<script>'], ['?', '* ? [x]'], ['nobody'],
          ['PLAIN.ex', ...names], ['firm', ...names], ['fir_'], ['%%'],
        ])
          assert.deepEqual(await found(`search=${enc(search)}`), [...want].sort(), search);
        invalid(await manager.get(`${here}?search=${'x'.repeat(101)}`), ['search', 'TOO_LONG']);
        ok(await manager.put(`${here}/${made.get('axb')}`, { status: states[1] }));
        assert.deepEqual(await found(`status=${states[1]}`), ['axb']);
        assert.deepEqual(await found(`status=${states[1]}&search=ada`), []);
        assert.equal((await found('status=new')).length, names.length - 1);
        await s.sql(`UPDATE ${table} SET created_at = '2026-01-02T03:04:05.678901Z' WHERE id = $1`, [made.get('a_b')]);
        for (const [query, there] of [
          ['from=2026-01-02T03:04:05.678Z&to=2026-01-02T03:04:05.678Z', true],
          ['from=2026-01-02T04:04:05.678%2B01:00&to=2026-01-02T03:04:06Z', true],
          ['from=2026-01-02T03:04:05.679Z&to=2026-01-03T00:00:00Z', false],
          ['from=2026-01-01T00:00:00Z&to=2026-01-02T03:04:05.677Z', false],
        ])
          assert.deepEqual(await found(query), there ? ['a_b'] : [], query);
        invalid(await manager.get(`${here}?from=yesterday&to=1&sortBy=name`), ['from', 'INVALID_FORMAT'], ['to', 'INVALID_FORMAT'], ['sortBy', 'UNKNOWN_FIELD']);
      });

      it('pages by number and by cursor, newest first, also of one time', async () => {
        await empty();
        for (const n of times(23, (k) => k)) await make({ name: `n${n}` });
        await s.sql(`UPDATE ${table} SET created_at = date_trunc('minute', created_at)`);
        const want = (await s.sql(`SELECT id FROM ${table} ORDER BY created_at DESC, id DESC`)).map((row) => row.id);
        const pages = await Promise.all([1, 2, 3].map((page) => list(`limit=10&page=${page}`)));
        assert.deepEqual(pages.flatMap((page) => ids(page.items)), want);
        assert.deepEqual(pages.map((page) => page.items.length), [10, 10, 3]);
        assert.deepEqual([pages[0].pagination.total, pages[0].pagination.totalPages, pages[2].pagination.hasNext], [23, 3, false]);
        const seen = [];
        for (let cursor = ''; cursor !== null;) {
          const page = await list(`limit=4&cursor=${enc(cursor)}`);
          seen.push(...ids(page.items));
          if (seen.length === 8) await make({ name: 'new' }); /* moves nobody */
          cursor = page.pagination.nextCursor;
        }
        assert.deepEqual(seen, want);
        const { nextCursor } = pages[0].pagination;
        invalid(await manager.get(`${here}?status=new&cursor=${enc(nextCursor)}`), ['cursor', 'INVALID_VALUE']);
        invalid(await manager.get(`/forms/${form === 'demo' ? 'contact' : 'demo'}?cursor=${enc(nextCursor)}`), ['cursor', 'INVALID_VALUE']);
        assert.deepEqual(await list('limit=5&page=9').then((page) => page.items), []);
      });
    });
  }
});
