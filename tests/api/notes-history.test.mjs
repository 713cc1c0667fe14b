/* Version history of notes: text and meta rows, versions, revert, many writers (API.md section 6). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { fails, invalid, NOWHERE, ok, parallel } from './lib/expect.mjs';

serverSuite('Note history', {}, (s) => {
  let alice;
  before(async () => {
    [alice] = await s.users(1);
  });

  const make = async (fields = {}) => ok(await alice.post('/notes', fields), 201);
  const rows = (id) =>
    s.sql(
      'SELECT version, is_text, title, content, word_count, tags, is_pinned, is_favorite, folder_id, deleted_at ' +
        'FROM note_versions WHERE note_id = $1 ORDER BY version',
      [id],
    );
  const kinds = async (id) => (await rows(id)).map((row) => [row.version, row.is_text ? 'text' : 'meta']);

  it('every version step writes the superseded state, as text row or as meta row', async () => {
    const { id } = await make({ title: 'one', content: '<p>first text</p>', tags: ['a'] });
    assert.deepEqual(await rows(id), []);
    const steps = [
      ['PUT', '', { content: 'second' }, 'text'],
      ['PUT', '', { title: 'two' }, 'text'],
      ['PUT', '', { tags: ['b'] }, 'meta'],
      ['PUT', '', { isFavorite: true, title: 'three' }, 'text'],
      ['PATCH', '/pin', {}, 'meta'],
      ['PATCH', '/favorite', { isFavorite: false }, 'meta'],
      ['DELETE', '', undefined, 'meta'],
      ['POST', '/restore', undefined, 'meta'],
      ['POST', '/revert', { version: 1 }, 'text'],
    ];
    for (const [method, path, json] of steps) ok(await alice.api(method, `/notes/${id}${path}`, { json }));
    assert.deepEqual(
      await kinds(id),
      steps.map(([, , , kind], n) => [n + 1, kind]),
    );
    const [first, , third, fourth, , , , deleted] = await rows(id);
    assert.deepEqual(
      [first.title, first.content, first.word_count, first.tags],
      ['one', '<p>first text</p>', 2, ['a']],
    );
    assert.deepEqual(third.tags, ['a']);
    assert.deepEqual([fourth.title, fourth.content, fourth.tags, fourth.is_favorite], ['two', 'second', ['b'], false]);
    assert.notEqual(deleted.deleted_at, null);
    assert.equal(ok(await alice.get(`/notes/${id}`)).version, 10);
  });

  it('a write that changes nothing writes no history', async () => {
    const { id } = await make({ title: 'same', content: 'same', tags: ['x'], isPinned: true });
    ok(await alice.put(`/notes/${id}`, {}));
    ok(await alice.put(`/notes/${id}`, { title: 'same', content: 'same', tags: ['x', 'x'], isPinned: true }));
    ok(await alice.patch(`/notes/${id}/pin`, { isPinned: true }));
    assert.deepEqual(await rows(id), []);
    assert.equal(ok(await alice.get(`/notes/${id}`)).version, 1);
  });

  it('versions lists text rows only, newest first, and gives content for one', async () => {
    const { id } = await make({ title: 'v1', content: '<p>one</p>' });
    ok(await alice.put(`/notes/${id}`, { title: 'v2', content: '<p>one two</p>' }));
    ok(await alice.put(`/notes/${id}`, { tags: ['meta'] }));
    ok(await alice.put(`/notes/${id}`, { content: null }));
    const res = await alice.get(`/notes/${id}/versions`);
    const { items, pagination } = ok(res);
    assert.equal(res.headers.etag, undefined);
    assert.deepEqual(
      items.map((item) => [item.version, item.title, item.wordCount]),
      [
        [3, 'v2', 2],
        [1, 'v1', 1],
      ],
    );
    assert.equal(pagination.total, 2);
    for (const item of items) {
      assert.deepEqual(Object.keys(item).sort(), ['createdAt', 'id', 'noteId', 'title', 'version', 'wordCount']);
      assert.match(item.id, UUIDV7);
      assert.equal(item.noteId, id);
      assert.match(item.createdAt, TIMESTAMP);
    }
    assert.deepEqual(ok(await alice.get(`/notes/${id}/versions/3`)), { ...items[0], content: '<p>one two</p>' });
    for (const version of [2, 4, 99]) {
      fails(await alice.get(`/notes/${id}/versions/${version}`), 404, 'VERSION_NOT_FOUND');
      fails(await alice.post(`/notes/${id}/revert`, { version }), 404, 'VERSION_NOT_FOUND');
    }
    fails(await alice.get(`/notes/${NOWHERE}/versions`), 404, 'NOTE_NOT_FOUND');
    fails(await alice.get(`/notes/${NOWHERE}/versions/1`), 404, 'NOTE_NOT_FOUND');
    for (const [bad, code] of [
      ['0', null],
      ['-1', null],
      ['abc', null],
      ['1.0', null],
    ]) {
      invalid(await alice.get(`/notes/${id}/versions/${bad}`), ['version', code]);
    }
    for (const huge of ['2147483648', '99999999999999999999']) {
      assert.ok([400, 404].includes((await alice.get(`/notes/${id}/versions/${huge}`)).status), huge);
    }
  });

  it('revert puts title and content of a version back and nothing else', async () => {
    const { id } = await make({ title: 'old', content: '<p>old text here</p>', tags: ['a'] });
    const note = ok(await alice.put(`/notes/${id}`, { title: 'new', content: null, tags: ['b'], isPinned: true }));
    const res = await alice.post(`/notes/${id}/revert`, { version: 1 });
    const back = ok(res);
    assert.deepEqual(back, {
      ...note,
      title: 'old',
      content: '<p>old text here</p>',
      contentPlain: 'old text here',
      wordCount: 3,
      version: 3,
      updatedAt: back.updatedAt,
    });
    assert.equal(res.headers.etag, '"v3"');
    assert.deepEqual(
      ok(await alice.get(`/notes/${id}/versions`)).items.map((v) => [v.version, v.title]),
      [
        [2, 'new'],
        [1, 'old'],
      ],
    );
    assert.deepEqual(
      ok(await alice.post(`/notes/${id}/revert`, { version: 1 })),
      back,
      'a revert that changes nothing',
    );
    fails(await alice.post(`/notes/${NOWHERE}/revert`, { version: 1 }), 404, 'NOTE_NOT_FOUND');
    for (const [json, detail] of [
      [{}, ['version', 'MISSING_FIELD']],
      [{ version: 0 }, ['version', 'TOO_SMALL']],
      [{ version: '1' }, ['version', 'WRONG_TYPE']],
      [{ version: null }, ['version', 'WRONG_TYPE']],
    ]) {
      invalid(await alice.post(`/notes/${id}/revert`, json), detail);
    }
  });

  it('versions are paged, by page and by cursor', async () => {
    const { id } = await make({ title: '1' });
    for (let n = 2; n <= 8; n += 1) ok(await alice.put(`/notes/${id}`, { title: String(n) }));
    const page = ok(await alice.get(`/notes/${id}/versions?limit=3&page=2`));
    assert.deepEqual(
      page.items.map((v) => v.version),
      [4, 3, 2],
    );
    assert.deepEqual([page.pagination.total, page.pagination.totalPages], [7, 3]);
    const seen = [];
    for (let cursor = ''; cursor !== null;) {
      const part = ok(await alice.get(`/notes/${id}/versions?limit=3&cursor=${cursor}`));
      seen.push(...part.items.map((v) => v.version));
      cursor = part.pagination.nextCursor;
    }
    assert.deepEqual(seen, [7, 6, 5, 4, 3, 2, 1]);
  });

  it('64 parallel updates end at version 65 with 64 history rows, none lost', async () => {
    const { id } = await make({ title: 'start' });
    const all = await parallel(64, (n) => alice.put(`/notes/${id}`, { title: `writer ${n}` }));
    const versions = all.map((res) => ok(res).version).sort((a, b) => a - b);
    assert.deepEqual(
      versions,
      Array.from({ length: 64 }, (_, n) => n + 2),
    );
    const history = await rows(id);
    assert.deepEqual(
      history.map((row) => row.version),
      Array.from({ length: 64 }, (_, n) => n + 1),
    );
    const last = ok(await alice.get(`/notes/${id}`));
    assert.equal(last.version, 65);
    const titles = new Set([...history.map((row) => row.title), last.title]);
    assert.equal(titles.size, 65, 'each written title is either in the history or current');
    for (const res of all) {
      const { version, title } = res.json.data;
      assert.equal(version === 65 ? last.title : history[version - 1].title, title, `version ${version}`);
    }
  });

  it('parallel toggles are each one step', async () => {
    const { id } = await make({});
    await parallel(20, async () => ok(await alice.patch(`/notes/${id}/pin`, {})));
    const note = ok(await alice.get(`/notes/${id}`));
    assert.deepEqual([note.isPinned, note.version], [false, 21]);
  });

  it('deleting for good takes along what was written while it waited', async () => {
    const { id } = await make({ title: 'one', content: 'secret' });
    const waiting = (n) =>
      until(
        async () =>
          (await s.waiting()) === n,
        5000,
        `${n} statements wait`,
      );
    const lock = await s.session();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [alice.user.id]);
    const edit = alice.put(`/notes/${id}`, { content: 'two' });
    await waiting(1);
    const purge = alice.del(`/notes/${id}?permanent=true`);
    await waiting(2);
    await lock.query('COMMIT');
    assert.equal(ok(await edit).version, 2);
    ok(await purge);
    assert.deepEqual(await rows(id), []);
  });

  it('each write moves the change number of its owner, without gaps or repeats', async () => {
    const carol = await s.user();
    const made = await parallel(12, async (n) => ok(await carol.post('/notes', { title: `n${n}` }), 201));
    const [user] = await s.sql('SELECT change_seq FROM users WHERE id = $1', [carol.user.id]);
    const seqs = (
      await s.sql('SELECT change_seq FROM notes WHERE user_id = $1 ORDER BY change_seq', [carol.user.id])
    ).map((r) => r.change_seq);
    assert.equal(new Set(seqs).size, made.length);
    assert.equal(seqs.at(-1), user.change_seq);
    ok(await carol.put(`/notes/${made[0].id}`, { title: 'moved' }));
    const [row] = await s.sql('SELECT change_seq FROM notes WHERE id = $1', [made[0].id]);
    assert.equal(row.change_seq, user.change_seq + 1);
  });
});
