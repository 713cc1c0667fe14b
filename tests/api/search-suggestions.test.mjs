/* Suggestions: tags by use, titles by their words, whoever changed them (API.md section 8). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, invalid, ok, times } from './lib/expect.mjs';

const path = (q, more = {}) => `/search/suggestions?${new URLSearchParams({ q, ...more })}`;
/* White space alone, as the server trims it. */
const isBlank = (text) => !text.replace(/[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g, '');

serverSuite('Suggestions', {}, (s) => {
  let alice;
  const make = async (fields, who = alice) => ok(await who.post('/notes', fields), 201);
  const ask = async (q, more, who = alice) => ok(await who.get(path(q, more))).items;
  const tags = async (q, who = alice) =>
    (await ask(q, { limit: 20 }, who)).filter((one) => one.type === 'tag').map((one) => `${one.value}:${one.count}`);
  const notes = async (q, who = alice) =>
    (await ask(q, { limit: 20 }, who)).filter((one) => one.type === 'note').map((one) => one.value);

  /** The counts as they are kept, and as they would be counted now. */
  async function checkCounts() {
    const kept = await s.sql('SELECT user_id, tag, uses FROM user_tags ORDER BY 1, 2');
    const counted = await s.sql(
      `SELECT user_id, tag, count(*)::int AS uses
       FROM (SELECT DISTINCT n.id, n.user_id, t.tag FROM notes n, unnest(n.tags) AS t (tag)
             WHERE n.deleted_at IS NULL AND length(t.tag) <= 50) d GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    assert.deepEqual(kept, counted);
  }

  before(async () => {
    [alice] = await s.users(1);
  });

  it('tags by use, then by name; then titles, the newest first', async () => {
    const who = await s.user();
    await make({ title: 'Parsnips', tags: ['parent', 'pasta', 'Park'] }, who);
    const second = await make({ title: 'the pasta', tags: ['pasta', 'past', 'other'] }, who);
    await make({ title: 'compare', tags: ['compas'] }, who);
    const items = await ask('PA', {}, who);
    assert.deepEqual(items.slice(0, 4), [
      { type: 'tag', value: 'pasta', noteId: null, count: 2 },
      { type: 'tag', value: 'Park', noteId: null, count: 1 },
      { type: 'tag', value: 'parent', noteId: null, count: 1 },
      { type: 'tag', value: 'past', noteId: null, count: 1 },
    ]);
    assert.deepEqual(items[4], { type: 'note', value: 'the pasta', noteId: second.id, count: null });
    assert.deepEqual(
      items.slice(5).map((one) => one.value),
      ['Parsnips'],
    );
    for (const limit of [1, 4, 5, 20]) assert.deepEqual(await ask('PA', { limit }, who), items.slice(0, limit));
    assert.equal((await ask('p', {}, alice)).length, 0);
  });

  it('ten when nothing is said, twenty at most', async () => {
    const who = await s.user();
    await Promise.all(times(22, (n) => make({ title: `Many ${n}` }, who)));
    assert.equal((await ask('many', {}, who)).length, 10);
    const all = await ask('many', { limit: 20 }, who);
    const newest = ok(await who.get('/notes?limit=20')).items;
    assert.deepEqual(
      all.map((one) => one.noteId),
      newest.map((one) => one.id),
    );
  });

  it('refuses what is not in its query', async () => {
    invalid(await alice.get('/search/suggestions'), ['q', 'MISSING_FIELD']);
    invalid(await alice.get(path('x'.repeat(101))), ['q', 'TOO_LONG']);
    invalid(await alice.get(path('x', { limit: 21 })), ['limit', 'TOO_LARGE']);
    invalid(await alice.get(path('x', { limit: 0, page: 1 })), ['limit', 'TOO_SMALL'], ['page', 'UNKNOWN_FIELD']);
    fails(await s.anon.get(path('x')), 401, 'AUTHENTICATION_REQUIRED');
    assert.equal((await alice.get(path('𝔘'.repeat(100)))).status, 200);
  });

  /* Title, what finds it, what does not. */
  const titled = [
    ['The quick-brown fox_trot', ['the', 'The q', 'quick', 'quick-b', 'brown fox', 'fox_t', 'trot', 'TR'], ['rown', 'uick', 'he q', 'ox']],
    ["O'Brien's c++ (draft) [1]", ["o'b", 'brien', "brien's", 'c++', '(d', 'draft)', '[1]', '+'], ['rien', 'raft']],
    ['100% a\\b %like_', ['100%', '%', 'a\\b', '\\', '%like_', '_'], ['00', '%%', '10_', 'a.b', 'ike']],
    ['.*+?^${}()|[] regex', ['.*', '.*+?^${}()|[]', '{}', '()', 'regex', '*'], ['.+', '.*x', 'egex']],
    ['我今天去北京吃饭', ['我', '今天', '北京', '去北京吃'], ['北 京', '上海']],
    ['iPhoneの使い方 guide', ['iphone', 'の使', '方 g', 'guide', 'IPHONEの'], ['phone', 'uide']],
    ['สวัสดีชาวโลก', ['สวัส', 'ชาว'], ['ชาว ']],
    ['שלום עולם', ['של', 'עולם'], ['לום']],
    ['مرحبا بالعالم', ['مر', 'بال'], ['رحبا']],
    ['Straße ÉCOLE Ünal', ['straß', 'école', 'ü'], ['cole', 'aße', 'nal']],
    ['cafe\u0301s noirs', ['cafe\u0301', 'noir'], ['s n', '\u0301s']],
    ['🎉 party👩‍👩‍👧 x', ['🎉', '🎉 p', 'party👩', '👩‍👩', 'x'], ['arty', '🎈']],
    ['हिन्दी क्य', ['हि', 'क्य'], ['य', 'दी']],
    ['ǅungla ﬁne', ['ǆun', 'ﬁn'], ['ungla', 'ne']],
    ['\u200bzero', ['zero'], ['ero']],
  ];
  for (const [title, hits, misses] of titled) {
    it(`words of "${title}"`, async () => {
      const who = await s.user();
      await make({ title }, who);
      for (const q of hits) assert.deepEqual(await notes(q, who), [title], q);
      for (const q of misses.filter((one) => one === one.trim())) assert.deepEqual(await notes(q, who), [], q);
    });
  }

  it('İ and other letters that grow or shrink do no harm', async () => {
    const who = await s.user();
    for (const title of ['İstanbul', 'ȺȾ'.repeat(250), '𝔘'.repeat(500), '我'.repeat(500), `${"'\\".repeat(250)}`]) {
      await make({ title }, who);
      assert.ok((await notes([...title].slice(0, 100).join(''), who)).includes(title), title);
    }
  });

  it('titles that the newest thousand do not have are found by the index, the same way', async () => {
    const who = await s.user();
    for (const [title] of titled) await make({ title }, who);
    await make({ title: 'of others' });
    const near = new Map();
    const asked = titled.flatMap(([, hits, misses]) => [...hits, ...misses]);
    for (const q of asked) near.set(q, await notes(q, who));
    await s.sql(
      `INSERT INTO notes (user_id, title, content_plain, change_seq)
       SELECT $1, 'Zz ' || k, '', k FROM generate_series(1, 1100) k`,
      [who.user.id],
    );
    await s.sql("UPDATE notes SET updated_at = now() + interval '1 hour' WHERE user_id = $1 AND title LIKE 'Zz %'", [
      who.user.id,
    ]);
    for (const q of asked) assert.deepEqual(await notes(q, who), near.get(q), q);
    assert.equal((await notes('zz', who)).length, 20);
    assert.deepEqual(await notes('of', who), []);
  });

  it('what is trashed, purged, changed and restored', async () => {
    const who = await s.user();
    const note = await make({ title: 'First word', tags: ['one', 'two'] }, who);
    const other = await make({ title: 'other', tags: ['two'] }, who);
    assert.deepEqual(await tags('t', who), ['two:2']);
    await checkCounts();
    ok(await who.put(`/notes/${note.id}`, { tags: ['two', 'three'], title: 'Second word' }));
    assert.deepEqual(await tags('o', who), []);
    assert.deepEqual(await tags('t', who), ['two:2', 'three:1']);
    assert.deepEqual(await notes('first', who), []);
    assert.deepEqual(await notes('second', who), ['Second word']);
    ok(await who.del(`/notes/${note.id}`));
    assert.deepEqual(await tags('t', who), ['two:1']);
    assert.deepEqual(await notes('w', who), []);
    ok(await who.post(`/notes/${note.id}/restore`));
    assert.deepEqual(await tags('t', who), ['two:2', 'three:1']);
    assert.deepEqual(await notes('w', who), ['Second word']);
    ok(await who.patch(`/notes/${note.id}/pin`));
    await checkCounts();
    ok(await who.del(`/notes/${other.id}?permanent=true`));
    ok(await who.del(`/notes/${note.id}`));
    ok(await who.del(`/notes/${note.id}?permanent=true`));
    assert.deepEqual(await ask('t', {}, who), []);
    await checkCounts();
    assert.deepEqual(await s.sql('SELECT * FROM user_tags WHERE user_id = $1', [who.user.id]), []);
  });

  it('counts stay true when many write at once, and when rows are changed by hand', async () => {
    const [one, two] = await s.users(2);
    const made = await Promise.all(times(24, (n) => make({ title: `n${n}`, tags: [`t${n % 3}`, 'all'] }, n % 2 ? one : two)));
    await Promise.all(
      made.map(async ({ id }, n) => {
        const who = n % 2 ? one : two;
        if (n % 4 === 0) ok(await who.del(`/notes/${id}`));
        else if (n % 5 === 0) ok(await who.del(`/notes/${id}?permanent=true`));
        else ok(await who.put(`/notes/${id}`, { tags: ['all', `new${n % 4}`] }));
      }),
    );
    await checkCounts();
    const [a, b] = [one.user.id, two.user.id];
    const steps = [
      ["UPDATE notes SET tags = tags || 'by hand'::text WHERE user_id = $1 AND NOT purged", [a]],
      ["UPDATE notes SET tags = '{x,x,x,null}'::text[] WHERE user_id = $1 AND NOT purged", [b]],
      ["UPDATE notes SET tags = ARRAY[repeat('long', 5000), '', 'y'] WHERE user_id = $1 AND NOT purged", [b]],
      ['UPDATE notes SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE NOT purged', []],
      ['UPDATE notes SET user_id = $2 WHERE user_id = $1', [a, b]],
      ["INSERT INTO notes (user_id, title, tags, change_seq) SELECT $1, '', '{many,y}', k FROM generate_series(1, 500) k", [a]],
      ['DELETE FROM notes WHERE user_id = $1 AND title = (SELECT min(title) FROM notes)', [a]],
      ['DELETE FROM notes', []],
    ];
    for (const [text, params] of steps) {
      await s.sql(text, params);
      await checkCounts();
    }
    assert.deepEqual(await s.sql('SELECT * FROM user_tags'), []);
  });

  it('an account goes with its tags', async () => {
    const who = await s.user();
    await make({ title: 'x', tags: ['gone'] }, who);
    ok(await who.api('DELETE', '/user/account', { json: { password: who.password } }));
    assert.deepEqual(await s.sql('SELECT * FROM user_tags WHERE user_id = $1', [who.user.id]), []);
    await checkCounts();
    /* and when the row of the user is deleted by hand, its notes going by their foreign key */
    const other = await s.user();
    await make({ title: 'x', tags: ['gone'] }, other);
    await s.sql('DELETE FROM users WHERE id = $1', [other.user.id]);
    await checkCounts();
  });

  it('nothing that is typed is an error', async () => {
    const pieces = ['a', 'É', '北', '😀', '\u0301', "'", '"', '\\', '%', '_', '(', ')', '[', ']', '{', '}', '*', '+', '?', '|', '^', '$', '.', '&', '!', ':', '<', '>', '-', ' ', '\u3000', '\u200b', 'ß', 'İ', '\uFFFD', '\u{10FFFF}', '\u0085', 'ก', '\\m', '\\x41', '(?i)', '***='];
    const asked = pieces.filter((one) => !isBlank(one));
    await make({ title: pieces.join('').trim(), tags: asked.slice(0, 50) });
    for (let n = 0; n < 150; n += 1) {
      asked.push(times(1 + crypto.randomInt(30), () => pieces[crypto.randomInt(pieces.length)]).join(''));
    }
    for (const q of asked) {
      const res = await alice.get(path(q));
      assert.equal(res.status, isBlank(q) ? 400 : 200, `${JSON.stringify(q)} ${res.text.slice(0, 300)}`);
    }
    const own = pieces.filter((one) => !isBlank(one)).slice(0, 40);
    for (const q of own) assert.ok((await ask(q, { limit: 20 })).some((one) => one.type === 'tag'), JSON.stringify(q));
  });
});
