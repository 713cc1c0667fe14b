/* Notes: fields, derived text, lists and filters, tags, trash (API.md section 6). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { fails, ids, invalid, NOWHERE, ok, times } from './lib/expect.mjs';

serverSuite('Notes', {}, (s) => {
  let alice;
  let bob;
  const make = async (fields = {}, who = alice) => ok(await who.post('/notes', fields), 201);
  const folder = async (fields, who = alice) =>
    ok(await who.post('/folders', { name: crypto.randomUUID(), ...fields }), 201);
  const read = async (id) => ok(await alice.get(`/notes/${id}`));

  before(async () => {
    [alice, bob] = await s.users(2);
  });

  it('an empty note has all defaults', async () => {
    const res = await alice.post('/notes', {});
    const note = ok(res, 201);
    assert.match(note.id, UUIDV7);
    assert.deepEqual(note, {
      id: note.id,
      folderId: null,
      folder: null,
      title: 'Untitled Note',
      content: null,
      contentPlain: '',
      wordCount: 0,
      isPinned: false,
      isFavorite: false,
      tags: [],
      version: 1,
      syncStatus: 'synced',
      clientUpdatedAt: null,
      createdAt: note.createdAt,
      updatedAt: note.createdAt,
      deletedAt: null,
    });
    assert.equal(res.headers.location, `/api/v1/notes/${note.id}`);
    assert.equal(res.headers.etag, '"v1"');
    assert.deepEqual(await read(note.id), note);
  });

  it('all fields are stored and given back', async () => {
    const into = await folder({ color: '#abcdef' });
    const fields = {
      id: crypto.randomUUID(),
      title: 'T',
      content: '<p>Hello <b>you</b></p>',
      folderId: into.id,
      tags: ['b', 'a', 'b', 'B'],
      isPinned: true,
      isFavorite: true,
      clientUpdatedAt: '2024-02-29T23:59:59.9999+05:30',
    };
    const note = await make(fields);
    assert.deepEqual(note, {
      ...fields,
      folder: { id: into.id, name: into.name, color: '#abcdef' },
      contentPlain: 'Hello you',
      wordCount: 2,
      tags: ['b', 'a', 'B'],
      version: 1,
      syncStatus: 'synced',
      clientUpdatedAt: '2024-02-29T18:29:59.999Z',
      createdAt: note.createdAt,
      updatedAt: note.createdAt,
      deletedAt: null,
    });
    assert.deepEqual(await read(note.id), note);
  });

  const refused = [
    ['a title of 501 code points', { title: '𝔘'.repeat(501) }, ['title', 'TOO_LONG']],
    ['a null title', { title: null }, ['title', 'WRONG_TYPE']],
    ['a control character in the title', { title: 'a\u0007b' }, ['title', /^INVALID_/]],
    ['a line break inside the title', { title: 'a\nb' }, ['title', /^INVALID_/]],
    ['content that is no string', { content: ['a'] }, ['content', 'WRONG_TYPE']],
    ['content with a control character', { content: 'a\u0001b' }, ['content', /^INVALID_/]],
    ['content with DEL', { content: 'a\u007fb' }, ['content', /^INVALID_/]],
    ['content over 2 MiB', { content: 'x'.repeat(2097153) }, ['content', 'TOO_LONG']],
    ['content over 2 MiB in bytes only', { content: 'é'.repeat(1048577) }, ['content', 'TOO_LONG']],
    ['51 tags', { tags: times(51, String) }, ['tags', 'TOO_MANY']],
    [
      'bad tags, each named',
      { tags: ['ok', '', 7, 'x'.repeat(51), null] },
      ['tags[1]', 'TOO_SHORT'],
      ['tags[2]', 'WRONG_TYPE'],
      ['tags[3]', 'TOO_LONG'],
      ['tags[4]', 'WRONG_TYPE'],
    ],
    ['tags that are no array', { tags: 'a' }, ['tags', 'WRONG_TYPE']],
    ['null tags', { tags: null }, ['tags', 'WRONG_TYPE']],
    ['a number for isPinned', { isPinned: 1 }, ['isPinned', 'WRONG_TYPE']],
    ['a string for isFavorite', { isFavorite: 'true' }, ['isFavorite', 'WRONG_TYPE']],
    ['a malformed folder id', { folderId: 'x' }, ['folderId', 'INVALID_FORMAT']],
    ['a sync status', { syncStatus: 'conflict' }, ['syncStatus', 'UNKNOWN_FIELD']],
    ['a version', { version: 3 }, ['version', 'UNKNOWN_FIELD']],
    ['an owner', { userId: NOWHERE }, ['userId', 'UNKNOWN_FIELD']],
    ['derived text', { contentPlain: 'x' }, ['contentPlain', 'UNKNOWN_FIELD']],
  ];
  for (const [what, fields, ...details] of refused) {
    it(`create refuses ${what}`, async () => {
      invalid(await alice.post('/notes', fields), ...details);
    });
  }

  const stamps = [
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59.999999999Z', '9999-12-31T23:59:59.999Z'],
    ['2026-01-02T03:04:05.1-08:00', '2026-01-02T11:04:05.100Z'],
    ['2000-02-29T00:00:00.0009Z', '2000-02-29T00:00:00.000Z'],
    ...[
      '2026-01-02',
      '2026-01-02T03:04:05',
      '2026-01-02T03:04Z',
      '1969-12-31T23:59:59Z',
      '10000-01-01T00:00:00Z',
      '2026-02-29T00:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:60:00Z',
      '2026-01-01T00:00:00.1234567890Z',
      '2026-01-01T00:00:00.Z',
      '2026-01-01T00:00:00+25:00',
      '2026-01-01T00:00:00+0100',
      'now',
      '',
      '1735689600',
    ].map((bad) => [bad, null]),
  ];
  for (const [stamp, expected] of stamps) {
    it(`clientUpdatedAt "${stamp}" is ${expected ? `stored as ${expected}` : 'refused'}`, async () => {
      const res = await alice.post('/notes', { clientUpdatedAt: stamp });
      if (expected) assert.equal(ok(res, 201).clientUpdatedAt, expected);
      else assert.equal(invalid(res, ['clientUpdatedAt', null]).code, 'VALIDATION_ERROR');
    });
  }

  const plain = [
    ['', '', 0],
    [null, '', 0],
    ['just text', 'just text', 2],
    ['  spaced \t\n out  ', 'spaced out', 2],
    ['<p>Hello</p><p>World</p>', 'Hello World', 2],
    ['a<br>b<br/>c', 'a b c', 3],
    ['<b>bo</b>ld <i>it</i>alic', 'bold italic', 2],
    ['<h1>Title</h1><div>text</div>more', 'Title text more', 3],
    ['<ul><li>one</li><li>two</li></ul>', 'one two', 2],
    ['<blockquote>q</blockquote><pre>p</pre>', 'q p', 2],
    ['<script>x()</script>y', 'y', 1],
    ['a<style>b{}</style> <template><p>t</p></template><noscript>n</noscript>c', 'a c', 2],
    ['<!-- comment -->x', 'x', 1],
    ['a&nbsp;&nbsp;b', 'a b', 2],
    ['a\u00a0\u2003\u3000b', 'a b', 2],
    ['&lt;script&gt; &amp;amp; &quot;x&quot; &#39;y&#x27;', '<script> &amp; "x" \'y\'', 4],
    ['&eacute;&#233;&#xE9;&#x1F600;', 'ééé😀', 1],
    ['<p title="a>b">x</p>', 'x', 1],
    ['a<img alt="pic" src=x>b', 'ab', 1],
    ['<a href="https://x.example">link</a> text', 'link text', 2],
    ['<p>one<p>two', 'one two', 2],
    ['日本語　テスト', '日本語 テスト', 2],
    ['👩‍👩‍👧 e\u0301', '👩‍👩‍👧 e\u0301', 2],
    ['<P>UPPER</P><SCRIPT>no</SCRIPT>case', 'UPPER case', 2],
  ];
  for (const [content, contentPlain, wordCount] of plain) {
    it(`the plain text of ${JSON.stringify(content)} is ${JSON.stringify(contentPlain)}`, async () => {
      const note = await make({ content });
      assert.deepEqual([note.content, note.contentPlain, note.wordCount], [content, contentPlain, wordCount]);
      const updated = ok(await alice.put(`/notes/${(await make({ content: 'before' })).id}`, { content }));
      assert.deepEqual([updated.content, updated.contentPlain, updated.wordCount], [content, contentPlain, wordCount]);
    });
  }

  it('content is kept byte for byte, up to 2 MiB', async () => {
    for (const content of [
      '  \r\n\t <p>x\n</p>\u0085\u0080 ',
      '<script>alert("\\u2028")</script>\u2028',
      'e\u0301\u00e9',
      '\ufeffbom',
      'x'.repeat(2097152),
    ]) {
      const note = await make({ content });
      assert.ok((await read(note.id)).content === content, `content of ${content.length} characters differs`);
    }
  });

  it('an empty or blank title becomes the default, also in an update', async () => {
    for (const title of ['', '  \u00a0\n']) {
      const note = await make({ title });
      assert.equal(note.title, 'Untitled Note');
      const other = await make({ title: 'T' });
      assert.equal(ok(await alice.put(`/notes/${other.id}`, { title })).title, 'Untitled Note');
    }
  });

  it('tags are trimmed, and duplicates after that are dropped', async () => {
    assert.deepEqual((await make({ tags: [' a', 'a', 'A', '\u00a0b\t'] })).tags, ['a', 'A', 'b']);
    const note = await make({ tags: times(50, (k) => '𝔘'.repeat(49) + (k % 10)) });
    assert.equal(note.tags.length, 10);
  });

  it('a used id is CONFLICT, whoever used it and whatever became of it', async () => {
    const { id } = await make({});
    fails(await alice.post('/notes', { id: id.toUpperCase() }), 409, 'CONFLICT');
    fails(await bob.post('/notes', { id }), 409, 'CONFLICT');
    ok(await alice.del(`/notes/${id}?permanent=true`));
    fails(await alice.post('/notes', { id }), 409, 'CONFLICT');
  });

  it('folderId must be an own live folder', async () => {
    const theirs = await folder({}, bob);
    const note = await make({});
    for (const folderId of [theirs.id, NOWHERE]) {
      fails(await alice.post('/notes', { folderId }), 404, 'FOLDER_NOT_FOUND');
      fails(await alice.put(`/notes/${note.id}`, { folderId }), 404, 'FOLDER_NOT_FOUND');
    }
    assert.equal((await read(note.id)).version, 1);
  });

  it('PUT changes what is given, one version and a new updatedAt at a time', async () => {
    const into = await folder();
    const note = await make({ title: 'a', content: '<p>x</p>', tags: ['t'] });
    const second = ok(await alice.put(`/notes/${note.id}`, { folderId: into.id, isFavorite: true }));
    assert.deepEqual(second, {
      ...note,
      folderId: into.id,
      folder: { id: into.id, name: into.name, color: null },
      isFavorite: true,
      version: 2,
      updatedAt: second.updatedAt,
    });
    assert.ok(second.updatedAt >= note.updatedAt);
    const res = await alice.patch(`/notes/${note.id}`, { folderId: null, content: null, tags: [] });
    const third = ok(res);
    assert.deepEqual(third, {
      ...note,
      content: null,
      contentPlain: '',
      wordCount: 0,
      tags: [],
      isFavorite: true,
      version: 3,
      updatedAt: third.updatedAt,
    });
    assert.equal(res.headers.etag, '"v3"');
    assert.deepEqual(await read(note.id), third);
    assert.equal(ok(await alice.put(`/notes/${note.id}`, { clientUpdatedAt: '2026-01-01T00:00:00Z' })).version, 4);
  });

  for (const [route, field] of [
    ['pin', 'isPinned'],
    ['favorite', 'isFavorite'],
  ]) {
    it(`${route} sets, toggles, and keeps the version when nothing changes`, async () => {
      const { id } = await make({});
      const step = async (options) => {
        const note = ok(await alice.api('PATCH', `/notes/${id}/${route}`, options));
        return [note[field], note.version];
      };
      assert.deepEqual(await step({ json: { [field]: true } }), [true, 2]);
      assert.deepEqual(await step({ json: { [field]: true } }), [true, 2]);
      assert.deepEqual(await step({ json: {} }), [false, 3]);
      assert.deepEqual(await step({}), [true, 4]);
      assert.deepEqual(await step({ json: { [field]: false } }), [false, 5]);
      invalid(await alice.patch(`/notes/${id}/${route}`, { [field]: null }), [field, 'WRONG_TYPE']);
      invalid(await alice.patch(`/notes/${id}/${route}`, { title: 'x' }), ['title', 'UNKNOWN_FIELD']);
      fails(await alice.patch(`/notes/${NOWHERE}/${route}`, {}), 404, 'NOTE_NOT_FOUND');
    });
  }

  it('a list item is the note without content, its plain text cut to 500 code points', async () => {
    const carol = await s.user();
    const note = await make({ title: 'long', content: `<p>${'😀'.repeat(501)}</p>`, tags: ['x'] }, carol);
    const { content, ...rest } = note;
    const page = ok(await carol.get('/notes'));
    assert.ok(content.length > 1000);
    assert.deepEqual(page.items, [{ ...rest, contentPlain: '😀'.repeat(500) }]);
    assert.equal(note.contentPlain, '😀'.repeat(501));
  });

  it('the list filters by folder, pin, favourite, tags, search and trash, and sorts', async () => {
    const carol = await s.user();
    const box = await folder({}, carol);
    const notes = {};
    for (const [key, fields] of Object.entries({
      one: { title: 'alpha 100%', content: '<p>red_fox</p>', folderId: box.id, isPinned: true, tags: ['t1', 't2'] },
      two: { title: 'beta 100x', content: '<p>redXfox ÄÖ</p>', isFavorite: true, tags: ['t1'] },
      three: { title: 'gamma', content: 'back\\slash <b>hid</b>den one two three', tags: ['T1'] },
      four: { title: 'delta', content: null },
      gone: { title: 'alpha trashed', tags: ['t1'] },
      purged: { title: 'alpha purged' },
    }))
      notes[key] = (await make(fields, carol)).id;
    ok(await carol.del(`/notes/${notes.gone}`));
    ok(await carol.del(`/notes/${notes.purged}?permanent=true`));
    const name = Object.fromEntries(Object.entries(notes).map(([key, id]) => [id, key]));
    const live = ['one', 'two', 'three', 'four'];
    const table = [
      ['', live],
      ['deleted=false', live],
      ['deleted=true', ['gone']],
      [`folderId=${box.id}`, ['one']],
      [`folderId=${box.id.toUpperCase()}`, ['one']],
      ['folderId=none', ['two', 'three', 'four']],
      [`folderId=${NOWHERE}`, []],
      ['pinned=true', ['one']],
      ['pinned=false', ['two', 'three', 'four']],
      ['favorite=true', ['two']],
      ['favorite=false', ['one', 'three', 'four']],
      ['tag=t1', ['one', 'two']],
      ['tag=t1&tag=t2', ['one']],
      ['tag=T1', ['three']],
      ['tag=t1&deleted=true', ['gone']],
      ['tag=none', []],
      ['search=ALPHA', ['one']],
      ['search=alpha&deleted=true', ['gone']],
      ['search=100%25', ['one']],
      ['search=%25', ['one']],
      ['search=d_f', ['one']],
      ['search=_', ['one']],
      ['search=%5C', ['three']],
      ['search=hidden', ['three']],
      ['search=b%3E', []],
      ['search=%C3%A4%C3%B6', ['two']],
      ['search=%20a%20', live],
      ['search=red&pinned=false&tag=t1', ['two']],
    ];
    for (const [query, expected] of table) {
      const page = ok(await carol.get(`/notes?${query}`));
      assert.deepEqual(page.items.map((item) => name[item.id]).sort(), [...expected].sort(), query);
      assert.equal(page.pagination.total, expected.length, query);
    }
    const sorts = [
      ['sortBy=title&sortOrder=asc', ['one', 'two', 'four', 'three']],
      ['sortBy=title', ['three', 'four', 'two', 'one']],
      ['sortBy=wordCount&sortOrder=asc', ['four', 'one', 'two', 'three']],
      ['sortBy=createdAt', ['four', 'three', 'two', 'one']],
      ['sortBy=createdAt&sortOrder=asc', live],
      ['sortOrder=asc', live],
    ];
    for (const [query, expected] of sorts) {
      assert.deepEqual(
        ok(await carol.get(`/notes?${query}`)).items.map((item) => name[item.id]),
        expected,
        query,
      );
    }
    ok(await carol.put(`/notes/${notes.one}`, { title: 'alpha 100% touched' }));
    assert.equal(ok(await carol.get('/notes')).items[0].id, notes.one, 'newest change first by default');
  });

  const badQueries = [
    ['folderId=abc', ['folderId', 'INVALID_FORMAT']],
    ['pinned=1', ['pinned', null]],
    ['favorite=TRUE', ['favorite', null]],
    ['deleted=yes', ['deleted', null]],
    [`search=${'x'.repeat(201)}`, ['search', 'TOO_LONG']],
    [times(11, (k) => `tag=t${k}`).join('&'), ['tag', 'TOO_MANY']],
    ['sortBy=updated_at', ['sortBy', 'INVALID_VALUE']],
    ['sortOrder=DESC', ['sortOrder', 'INVALID_VALUE']],
    ['search=a&search=b', ['search', null]],
    ['folder=x', ['folder', 'UNKNOWN_FIELD']],
  ];
  for (const [query, detail] of badQueries) {
    it(`the list refuses ?${query.slice(0, 40)}`, async () => {
      invalid(await alice.get(`/notes?${query}`), detail);
    });
  }

  it('delete puts a note into the trash, restore takes it out, each with its version step', async () => {
    const note = await make({ title: 'trash me', content: 'x' });
    fails(await alice.post(`/notes/${note.id}/restore`), 409, 'NOT_DELETED');
    const res = await alice.del(`/notes/${note.id}`);
    const gone = ok(res);
    assert.deepEqual(Object.keys(gone).sort(), ['deletedAt', 'id']);
    assert.match(gone.deletedAt, TIMESTAMP);
    assert.equal(res.headers.etag, '"v2"');
    for (const [method, path, json] of [
      ['GET', ''],
      ['PUT', '', { title: 'x' }],
      ['DELETE', ''],
      ['PATCH', '/pin', {}],
      ['PATCH', '/favorite', {}],
      ['POST', '/revert', { version: 1 }],
    ]) {
      fails(await alice.api(method, `/notes/${note.id}${path}`, { json }), 404, 'NOTE_NOT_FOUND');
    }
    const trashed = await alice.get(`/notes/${note.id}?deleted=true`);
    assert.deepEqual(ok(trashed), {
      ...note,
      version: 2,
      deletedAt: gone.deletedAt,
      updatedAt: trashed.json.data.updatedAt,
    });
    assert.equal(trashed.headers.etag, '"v2"');
    assert.equal(ok(await alice.get(`/notes/${(await make({})).id}?deleted=true`)).deletedAt, null);
    const restored = await alice.post(`/notes/${note.id}/restore`);
    assert.deepEqual(ok(restored), { ...note, version: 3, updatedAt: restored.json.data.updatedAt });
    assert.equal(restored.headers.etag, '"v3"');
    fails(await alice.post(`/notes/${NOWHERE}/restore`), 404, 'NOTE_NOT_FOUND');
  });

  for (const trashedBefore of [false, true]) {
    it(`permanent delete of a ${trashedBefore ? 'trashed' : 'live'} note leaves only an empty tombstone`, async () => {
      const note = await make({ title: 'secret', content: 'secret', tags: ['secret'] });
      ok(await alice.put(`/notes/${note.id}`, { content: 'secret 2' }));
      if (trashedBefore) ok(await alice.del(`/notes/${note.id}`));
      const res = await alice.del(`/notes/${note.id}?permanent=true`);
      const gone = ok(res);
      assert.deepEqual(Object.keys(gone).sort(), ['deletedAt', 'id', 'permanent']);
      assert.equal(gone.permanent, true);
      assert.equal(res.headers.etag, undefined);
      for (const [method, path] of [
        ['GET', '?deleted=true'],
        ['POST', '/restore'],
        ['DELETE', '?permanent=true'],
        ['GET', '/versions'],
      ]) {
        fails(await alice.api(method, `/notes/${note.id}${path}`), 404, 'NOTE_NOT_FOUND');
      }
      assert.ok(!ids(ok(await alice.get('/notes?deleted=true&limit=100')).items).includes(note.id));
      const [row] = await s.sql('SELECT * FROM notes WHERE id = $1', [note.id]);
      assert.deepEqual([row.title, row.content, row.tags, row.purged], ['', null, [], true]);
      assert.doesNotMatch(`${row.content_plain ?? ''}${row.search}`, /secret/);
      assert.deepEqual(await s.sql('SELECT * FROM note_versions WHERE note_id = $1', [note.id]), []);
    });
  }

  it('a note without folderId goes to the default folder of the settings while that is live', async () => {
    const carol = await s.user();
    const home = await folder({}, carol);
    ok(await carol.put('/user/settings', { defaultFolderId: home.id }));
    assert.equal((await make({}, carol)).folderId, home.id);
    assert.equal((await make({ folderId: null }, carol)).folderId, null);
    ok(await carol.del(`/folders/${home.id}`));
    assert.equal((await make({}, carol)).folderId, null);
  });
});
