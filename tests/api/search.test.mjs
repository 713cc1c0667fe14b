/* Search: ranking, filters, highlights, pages; whatever people may type (API.md section 8). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, ids, invalid, NOWHERE, ok, times } from './lib/expect.mjs';

const path = (q, more = {}) => `/search?${new URLSearchParams({ q, ...more })}`;
const marked = (text) => [...text.matchAll(/<mark>(.*?)<\/mark>/gs)].map((m) => m[1]);

/** HTML as a browser would show it. */
const shown = (html) =>
  html
    .replace(/<\/?mark>/g, '')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&amp;/g, '&');

/** A highlight is null, or escaped text with marks that open and close in turn. */
function checkHighlight(html, most = Infinity) {
  if (html === null) return;
  assert.match(html, /^(?:[^<>&"']|&(?:lt|gt|amp|quot|#39);|<mark>(?:[^<>&"']|&(?:lt|gt|amp|quot|#39);)*<\/mark>)*$/);
  assert.ok(marked(html).length > 0, html);
  assert.ok(html.split(' … ').length <= most, html);
}

serverSuite('Search', {}, (s) => {
  let alice;
  let bob;
  const make = async (fields, who = alice) => ok(await who.post('/notes', fields), 201);
  const find = async (q, more, who = alice) => ok(await who.get(path(q, more)));
  const titles = async (q, more, who) => (await find(q, more, who)).items.map((item) => item.title);
  const sorted = async (q, more, who) => (await titles(q, more, who)).sort();
  /* A word that no other test has. */
  const word = () =>
    `w${crypto
      .randomBytes(8)
      .toString('hex')
      .replace(/[0-9]/g, (n) => 'ghjklmnpqr'[n])}q`;

  before(async () => {
    [alice, bob] = await s.users(2);
  });

  it('an item is the note of a list with rank and highlights', async () => {
    const w = word();
    const made = await make({ title: `A ${w}`, content: `<p>Some ${w} there</p>`, tags: ['t'], isPinned: true });
    const { items, pagination } = await find(w);
    const { rank, highlights, ...note } = items[0];
    const { content, ...rest } = made;
    assert.deepEqual(note, rest);
    assert.ok(rank > 0 && rank <= 1);
    assert.deepEqual(highlights, { title: `A <mark>${w}</mark>`, content: `Some <mark>${w}</mark> there` });
    assert.deepEqual(pagination, {
      page: 1,
      limit: 20,
      total: 1,
      totalPages: 1,
      hasNext: false,
      hasPrev: false,
      nextCursor: null,
    });
  });

  it('titles weigh more than text, more hits more than fewer; then the newer one', async () => {
    const w = word();
    await make({ title: 'text', content: w });
    await make({ title: `${w} title` });
    await make({ title: 'text twice', content: `${w} and ${w}` });
    await make({ title: 'text, newer', content: w });
    const { items } = await find(w);
    assert.deepEqual(
      items.map((item) => item.title),
      [`${w} title`, 'text twice', 'text, newer', 'text'],
    );
    const ranks = items.map((item) => item.rank);
    assert.ok(ranks[0] > ranks[1] && ranks[1] > ranks[2] && ranks[2] === ranks[3], String(ranks));
  });

  it('words are found in all their forms, whatever their case', async () => {
    const w = word();
    await make({ title: w, content: '<p>The RUNNERS were running</p>' });
    assert.deepEqual(await titles(`${w.toUpperCase()} run`), [w]);
    assert.deepEqual(marked((await find(`${w} runs`)).items[0].highlights.content), ['running']);
    assert.deepEqual(await titles(`${w.slice(0, -1)}`), []);
  });

  it('words, phrases, or, and without', async () => {
    const w = word();
    await make({ title: `${w} one`, content: 'red green blue' });
    await make({ title: `${w} two`, content: 'green red' });
    await make({ title: `${w} three`, content: 'yellow' });
    const cases = [
      [`${w} red green`, ['one', 'two']],
      [`${w} "red green"`, ['one']],
      [`${w} "green red"`, ['two']],
      [`${w} red -blue`, ['two']],
      [`${w} -red`, ['three']],
      [`${w} -"red green"`, ['three', 'two']],
      [`${w} blue OR ${w} yellow`, ['one', 'three']],
      [`${w} purple`, []],
      [`${w} "red`, ['one', 'two']],
      [`"${w}" & red | !green <-> :*`, ['one', 'two']],
    ];
    for (const [q, expected] of cases) {
      const want = expected.map((name) => `${w} ${name}`).sort();
      assert.deepEqual(await sorted(q), want, q);
    }
    const { items } = await find(`${w} blue -yellow`);
    assert.deepEqual(marked(items[0].highlights.content), ['blue']);
  });

  it('filters', async () => {
    const w = word();
    const into = ok(await alice.post('/folders', { name: w }), 201);
    await make({ title: `${w} a`, folderId: into.id, tags: ['x', 'y'], isPinned: true });
    await make({ title: `${w} b`, folderId: into.id, tags: ['x'], isFavorite: true });
    await make({ title: `${w} c`, tags: ['X', 'y'] });
    const cases = [
      [{ folderId: into.id }, 'ab'],
      [{ folderId: 'none' }, 'c'],
      [{ folderId: NOWHERE }, ''],
      [{ tag: 'x' }, 'ab'],
      [{ tag: 'y' }, 'ac'],
      [{ tag: 'z' }, ''],
      [{ pinned: true }, 'a'],
      [{ pinned: false }, 'bc'],
      [{ favorite: true }, 'b'],
      [{ favorite: false }, 'ac'],
      [{ folderId: into.id, favorite: false, pinned: true, tag: 'x' }, 'a'],
      [{ tag: '', pinned: '', folderId: '' }, 'abc'],
    ];
    for (const q of [w, `${w} -北京`]) {
      for (const [filter, expected] of cases) {
        const found = (await sorted(q, filter)).map((title) => title.slice(-1)).join('');
        assert.equal(found, expected, `${q} ${JSON.stringify(filter)}`);
      }
      const both = ok(await alice.get(`${path(q)}&tag=x&tag=y`));
      assert.deepEqual(
        both.items.map((item) => item.title),
        [`${w} a`],
      );
    }
  });

  it('pages, their totals, and what lies behind the last', async () => {
    const w = word();
    await Promise.all(times(7, (n) => make({ title: `${w} ${n}` })));
    const all = ids((await find(w)).items);
    const seen = [];
    for (const page of [1, 2, 3]) {
      const { items, pagination } = await find(w, { page, limit: 3 });
      seen.push(...ids(items));
      assert.deepEqual(pagination, {
        page,
        limit: 3,
        total: 7,
        totalPages: 3,
        hasNext: page < 3,
        hasPrev: page > 1,
        nextCursor: null,
      });
    }
    assert.deepEqual(seen, all);
    const past = await find(w, { page: 4, limit: 3 });
    assert.deepEqual(past.items, []);
    assert.equal(past.pagination.total, 7);
    assert.equal(past.pagination.hasNext, false);
    assert.equal((await find(w, { page: 10000, limit: 100 })).items.length, 0);
  });

  it('refuses what is not in its query', async () => {
    invalid(await alice.get('/search'), ['q', 'MISSING_FIELD']);
    invalid(await alice.get('/search?q='), ['q', 'MISSING_FIELD']);
    invalid(await alice.get('/search?q=%20%E3%80%80'), ['q', 'TOO_SHORT']);
    invalid(await alice.get(path('𝔘'.repeat(201))), ['q', 'TOO_LONG']);
    invalid(await alice.get('/search?q=a%00b'), ['q', /^INVALID_/]);
    invalid(await alice.get(path('a\u0007b')), ['q', 'INVALID_FORMAT']);
    invalid(await alice.get('/search?q=%FF'), ['q', /^INVALID_/]);
    invalid(await alice.get('/search?q=a&q=b'), ['q', 'DUPLICATE']);
    invalid(await alice.get(path('a', { cursor: '' })), ['cursor', 'UNKNOWN_FIELD']);
    invalid(await alice.get(path('a', { sortBy: 'title' })), ['sortBy', 'UNKNOWN_FIELD']);
    invalid(await alice.get(path('a', { page: 0, limit: 101 })), ['page', 'TOO_SMALL'], ['limit', 'TOO_LARGE']);
    invalid(await alice.get(path('a', { folderId: 'x' })), ['folderId', 'INVALID_FORMAT']);
    fails(await s.anon.get(path('a')), 401, 'AUTHENTICATION_REQUIRED');
  });

  it('a query without a word finds nothing', async () => {
    await make({ title: 'the and of', content: 'it is' });
    for (const q of ['the', 'and of it', '""', '-', '!', '& |', '"the"', '-the', '😀', "'", '\\', '%', '_', '*', '\u0301']) {
      const { items, pagination } = await find(q);
      assert.deepEqual(items, [], q);
      assert.equal(pagination.total, 0);
      assert.equal(pagination.totalPages, 0);
    }
  });

  it('notes of others, in the trash and purged are not found', async () => {
    const w = word();
    const [trashed, purged] = [await make({ title: w }), await make({ title: w })];
    await make({ title: w }, bob);
    assert.equal((await find(w)).pagination.total, 2);
    ok(await alice.del(`/notes/${trashed.id}`));
    ok(await alice.del(`/notes/${purged.id}?permanent=true`));
    assert.equal((await find(w)).pagination.total, 0);
    assert.equal((await find(`${w} -北京`)).pagination.total, 0);
    ok(await alice.post(`/notes/${trashed.id}/restore`));
    assert.deepEqual(ids((await find(w)).items), [trashed.id]);
  });

  it("a user's id, which the index holds, is no word", async () => {
    const w = word();
    await make({ title: w }, bob);
    for (const { id } of [alice.user, bob.user]) {
      const digits = id.slice(-12);
      for (const q of [id, digits, ` ${digits}`, `' ${digits}'`, `" ${digits}"`, `${w} or ${digits}`, `-${digits}x ${digits}`]) {
        assert.equal((await find(q)).pagination.total, 0, q);
      }
      assert.equal((await find(`-${digits} ${w}`, {}, bob)).pagination.total, 1);
    }
  });

  it('text that looks like HTML is escaped once, and found', async () => {
    const w = word();
    const text = `"A" & 'B' <script>alert(${w})</script> vector<${w}> a<b &amp; x > y ${w}<`;
    const escaped = text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
    await make({ title: text, content: `<p>${escaped}</p>` });
    for (const q of [w, `${w} vector`, 'alert', `${w} script`, `${w} -北京`, `x${w} or ${w} or 北京`]) {
      const { items } = await find(q);
      assert.equal(items.length, 1, q);
      const { title, content } = items[0].highlights;
      checkHighlight(title);
      checkHighlight(content, 3);
      assert.equal(shown(title), text, q);
      assert.ok(
        content.split(' … ').every((part) => text.includes(shown(part).trim())),
        content,
      );
    }
  });

  it('control characters in a note are no marks', async () => {
    const w = word();
    const note = await make({ title: w, content: 'x' });
    await s.sql(
      `UPDATE notes SET title = E'\\x02a\\x03' || title || E'\\x05\\x01', content_plain = E'\\x03 \\x06' || $2 || E'\\x02'
       WHERE id = $1`,
      [note.id, w],
    );
    for (const q of [w, `${w} -北京`]) {
      const { title, content } = (await find(q)).items[0].highlights;
      assert.equal(marked(content).join(), w);
      checkHighlight(content);
      assert.ok(!title || !/[\u0002-\u0006]/.test(title), title);
      assert.ok(!/[\u0002-\u0006]/.test(content), content);
    }
  });

  it('fragments: three at most, around the hits; null where there is none', async () => {
    const w = word();
    const filler = 'lorem ipsum dolor sit amet consectetur '.repeat(30);
    await make({ title: 'Long', content: `<p>${filler}${`${w} ${filler}`.repeat(6)}</p>` });
    await make({ title: `Only ${w}`, content: filler });
    const { items } = await find(w);
    const long = items.find((item) => item.title === 'Long').highlights;
    assert.equal(long.title, null);
    checkHighlight(long.content, 3);
    assert.equal(long.content.split(' … ').length, 3);
    assert.deepEqual(marked(long.content), [w, w, w]);
    assert.ok(long.content.length < 1500, long.content);
    assert.deepEqual(items.find((item) => item.title !== 'Long').highlights, {
      title: `Only <mark>${w}</mark>`,
      content: null,
    });
  });

  it('a hit in title and text each counts by itself', async () => {
    const [v, w] = [word(), word()];
    await make({ title: `The ${v}`, content: `<p>the ${w} it is</p>` });
    const { highlights } = (await find(`${v} ${w}`)).items[0];
    assert.deepEqual(highlights, { title: `The <mark>${v}</mark>`, content: `the <mark>${w}</mark> it is` });
  });

  it('what changes is found as it is now', async () => {
    const [v, w] = [word(), word()];
    const note = await make({ title: v, content: v });
    ok(await alice.put(`/notes/${note.id}`, { title: w, content: w }));
    assert.deepEqual(await titles(v), []);
    assert.deepEqual(await titles(w), [w]);
    ok(await alice.post(`/notes/${note.id}/revert`, { version: 1 }));
    assert.deepEqual(await titles(w), []);
    assert.deepEqual(await titles(v), [v]);
  });

  it('the longest note that there can be is found by its beginning', async () => {
    const [v, w] = [word(), word()];
    const many = times(60000, (n) => `k${(n * 7919).toString(36)}`).join(' ');
    await make({ title: v, content: `<p>${v} ${many} ${w}</p>` });
    const { items } = await find(v);
    checkHighlight(items[0].highlights.content, 3);
    assert.deepEqual(await titles(w), []);
  });
});
