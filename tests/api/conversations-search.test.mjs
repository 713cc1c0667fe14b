/* Search in conversations: words, weights, scope, filters, highlights, pages (API.md section 11). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { at, converse, inTurns, itemOf, publish, TALK, uniqueWord } from './lib/conversations.mjs';
import { ids, invalid, measured, ok, times } from './lib/expect.mjs';

const path = (q, more = {}) => `/conversations/search?${new URLSearchParams({ q, ...more })}`;
const says = (...texts) => texts.map((content) => ({ role: 'user', content }));
const marked = (text) => [...text.matchAll(/<mark>(.*?)<\/mark>/gs)].map((m) => m[1]);

/** A highlight is null, or escaped text with marks that open and close in turn. */
function checkHighlight(html, most = Infinity) {
  if (html === null) return;
  assert.match(html, /^(?:[^<>&"']|&(?:lt|gt|amp|quot|#39);|<mark>(?:[^<>&"']|&(?:lt|gt|amp|quot|#39);)*<\/mark>)*$/);
  assert.ok(marked(html).length > 0, html);
  assert.ok(html.split(' … ').length <= most, html);
}

serverSuite('Search in conversations', {}, (s) => {
  let alice;
  let bob;
  let admin;
  const find = async (q, more, who = s.anon) => ok(await who.get(path(q, more)));
  const titles = async (q, more, who) => (await find(q, more, who)).items.map((item) => item.title);
  const sorted = async (q, more, who) => (await titles(q, more, who)).sort().join();

  before(async () => {
    [alice, bob] = await s.users(2);
    admin = await newAdmin(s);
  });

  it('an item is the conversation of a list with rank and highlights', async () => {
    const w = uniqueWord();
    const made = await publish(alice, { title: `A ${w}`, tags: ['t'], messages: says(`Some ${w} there`) });
    const { items, pagination } = await find(w);
    const { rank, highlights, ...item } = items[0];
    assert.deepEqual(item, itemOf(made));
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

  it('titles weigh more than descriptions, those more than messages; then the newer one', async () => {
    const w = uniqueWord();
    await publish(alice, { title: 'message', messages: says(w) });
    await publish(alice, { title: 'description', description: w });
    await publish(bob, { title: `title ${w}` });
    await publish(bob, { title: 'message, newer', messages: says(w) });
    await publish(bob, { title: 'message, twice', messages: says(w, w) });
    const { items } = await find(w);
    assert.deepEqual(
      items.map((item) => item.title),
      [`title ${w}`, 'description', 'message, twice', 'message, newer', 'message'],
    );
    const ranks = items.map((item) => item.rank);
    assert.ok(ranks[0] > ranks[1] && ranks[1] > ranks[2] && ranks[2] > ranks[3] && ranks[3] === ranks[4], `${ranks}`);
  });

  it('words in all their forms, phrases, or, and without', async () => {
    const w = uniqueWord();
    await publish(alice, { title: 'one', messages: says(`${w} red green blue`) });
    await publish(alice, { title: 'two', messages: says(w, 'The RUNNING were green red') });
    await publish(alice, { title: 'three', description: w, messages: says('yellow') });
    for (const [q, expected] of [
      [`${w} red green`, 'one,two'],
      [`${w} "red green"`, 'one'],
      [`${w} "green red"`, 'two'],
      [`${w} red -blue`, 'two'],
      [`${w} -red`, 'three'],
      [`${w} -"red green"`, 'three,two'],
      [`${w} blue OR ${w} yellow`, 'one,three'],
      [`${w.toUpperCase()} run`, 'two'],
      [`${w} purple`, ''],
      [w.slice(0, -1), ''],
    ]) {
      assert.equal(await sorted(q), expected, q);
    }
    const { items } = await find(`${w} runs`);
    assert.deepEqual(items.map((item) => item.highlights.title), [null]);
    assert.ok(marked(items[0].highlights.content).includes('RUNNING'), items[0].highlights.content);
  });

  it('what is public and what is own is found, and nothing else, not by admins', async () => {
    const w = uniqueWord();
    for (const [who, name] of [
      [alice, 'a'],
      [bob, 'b'],
    ]) {
      for (const visibility of ['private', 'unlisted', 'public']) {
        await converse(who, { title: `${name} ${visibility}`, visibility, messages: says(w) });
      }
    }
    for (const [who, expected] of [
      [s.anon, 'a public,b public'],
      [alice, 'a private,a public,a unlisted,b public'],
      [bob, 'a public,b private,b public,b unlisted'],
      [admin, 'a public,b public'],
    ]) {
      for (const q of [w, `${w} -nothing`]) {
        assert.equal(await sorted(q, {}, who), expected);
        assert.equal((await find(q, { limit: 1 }, who)).pagination.total, expected.split(',').length);
      }
    }
    for (const who of [s.anon, bob]) {
      const all = await titles(`-${w}x`, { limit: 100 }, who);
      assert.ok(all.includes('a public') && !all.includes('a private') && !all.includes('a unlisted'), `${all}`);
    }
  });

  it('a lexeme by which rows are told apart cannot be searched for', async () => {
    const w = uniqueWord();
    await converse(bob, { title: w });
    const tail = bob.user.id.slice(-12);
    for (const q of [tail, `" ${tail}"`, ' public', `${w} ${tail}`, `${w} public`]) {
      assert.ok(!(await titles(q, { limit: 100 }, alice)).includes(w), q);
    }
  });

  it('changes are found, and what they took away is not', async () => {
    const [first, second, third] = times(3, uniqueWord);
    const { id } = await publish(alice, { title: first, description: second, messages: says(third) });
    for (const w of [first, second, third]) assert.equal((await find(w)).items.length, 1);
    const [title, description, message] = times(3, uniqueWord);
    const steps = [
      [{ title }, title, first],
      [{ description }, description, second],
      [{ messages: says(message) }, message, third],
      [{ description: null }, message, description],
    ];
    for (const [json, found, gone] of steps) {
      ok(await alice.put(at(id), json));
      assert.deepEqual(ids((await find(found)).items), [id]);
      assert.deepEqual((await find(gone)).items, []);
    }
    ok(await alice.put(at(id), { visibility: 'private' }));
    assert.deepEqual([(await find(message)).items.length, (await find(message, {}, alice)).items.length], [0, 1]);
    ok(await alice.put(at(id), { visibility: 'public' }));
    assert.equal((await find(message)).items.length, 1);
    ok(await alice.del(at(id)));
    assert.equal((await find(message, {}, alice)).items.length, 0);
  });

  it('filters', async () => {
    const w = uniqueWord();
    const make = (title, fields) => publish(alice, { title, messages: says(w), ...fields });
    await make('a', { category: 'science', tags: ['x', 'y'], provider: 'xai' });
    await make('b', { category: 'science', tags: ['x'] });
    await make('c', { tags: ['Y'], provider: 'openai' });
    const cases = [
      [{ category: 'science' }, 'a,b'],
      [{ category: 'health' }, ''],
      [{ tag: 'x' }, 'a,b'],
      [{ tag: 'y' }, 'a,c'],
      [{ provider: 'xai' }, 'a'],
      [{ provider: 'openai', category: 'science' }, ''],
      [{ category: '', tag: '', provider: '' }, 'a,b,c'],
    ];
    for (const [filter, expected] of cases) assert.equal(await sorted(w, filter), expected, JSON.stringify(filter));
    assert.equal(ok(await s.anon.get(`${path(w)}&tag=x&tag=y`)).items.length, 1);
  });

  it('highlights are escaped, and marks are ours', async () => {
    const w = uniqueWord();
    const texts = [`<script>alert("${w}")</script> & 'x'`, `<mark>no</mark> ${w} <b>`, `&lt; ${w} &amp;`];
    for (const text of texts) await publish(alice, { title: text.slice(0, 200), messages: says(text) });
    const { items } = await find(w);
    assert.equal(items.length, texts.length);
    for (const { highlights } of items) {
      for (const html of [highlights.title, highlights.content]) {
        checkHighlight(html, 3);
        assert.deepEqual([...new Set(marked(html))], [w]);
      }
    }
  });

  it('of a long text three pieces at most are shown', async () => {
    const w = uniqueWord();
    const far = 'Something else altogether. '.repeat(60);
    await publish(alice, { messages: says(...times(8, () => `${far} ${w} ${far}`)) });
    const { highlights } = (await find(w)).items[0];
    assert.equal(highlights.title, null);
    checkHighlight(highlights.content, 3);
    assert.ok(highlights.content.length < 2000);
  });

  it('pages, their totals, and what lies behind the last', async () => {
    const w = uniqueWord();
    await Promise.all(times(7, (n) => publish(alice, { title: `${w} ${n}` })));
    const all = ids((await find(w)).items);
    const seen = [];
    for (const page of [1, 2, 3]) {
      const { items, pagination } = await find(w, { page, limit: 3 });
      seen.push(...ids(items));
      assert.deepEqual(
        [pagination.page, pagination.total, pagination.totalPages, pagination.hasNext, pagination.hasPrev],
        [page, 7, 3, page < 3, page > 1],
      );
    }
    assert.deepEqual(seen, all);
    const past = await find(w, { page: 10000, limit: 100 });
    assert.deepEqual([past.items.length, past.pagination.total, past.pagination.hasNext], [0, 7, false]);
  });

  it('refuses what is not in its query', async () => {
    invalid(await s.anon.get('/conversations/search'), ['q', 'MISSING_FIELD']);
    invalid(await s.anon.get('/conversations/search?q='), ['q', 'MISSING_FIELD']);
    invalid(await s.anon.get('/conversations/search?q=%20%E3%80%80'), ['q', 'TOO_SHORT']);
    invalid(await s.anon.get(path('𝔘'.repeat(201))), ['q', 'TOO_LONG']);
    invalid(await s.anon.get('/conversations/search?q=a&q=b'), ['q', 'DUPLICATE']);
    invalid(await s.anon.get(path('a', { cursor: '' })), ['cursor', 'UNKNOWN_FIELD']);
    invalid(await s.anon.get(path('a', { mine: true })), ['mine', 'UNKNOWN_FIELD']);
    invalid(await s.anon.get(path('a', { sortBy: 'title' })), ['sortBy', 'UNKNOWN_FIELD']);
    invalid(await s.anon.get(path('a', { page: 0, limit: 101 })), ['page', 'TOO_SMALL'], ['limit', 'TOO_LARGE']);
  });

  it('a query without a word finds nothing', async () => {
    await publish(alice, { title: 'the and of', messages: says('it is') });
    for (const q of ['the', 'and of it', '""', '-', '!', '& |', '-the', '😀', "'", '\\', '%', '*', '\u0301', '<mark>']) {
      const { items, pagination } = await find(q);
      if (q === '<mark>') continue; /* a word in brackets: must not fail */
      assert.deepEqual(items, [], q);
      assert.deepEqual([pagination.total, pagination.totalPages], [0, 0]);
    }
  });

  it('a word in message 4,000 of 5,000 is found, marked, and at no great cost', { timeout: 120000 }, async () => {
    const [w, other, phrase] = times(3, uniqueWord);
    const messages = times(5000, (n) => ({
      role: n % 2 ? 'assistant' : 'user',
      content: `Message ${n} tells of thing${n % 977} and of matter${n % 1009}, at some length, as people do. `.repeat(3),
    }));
    messages[4000].content += `Here is ${w} ${phrase}.`;
    messages[4999].content += other;
    const { id } = await publish(alice, { title: 'Long', messages });
    const short = await publish(alice, { title: 'Short', messages: says(`only ${w}`) });
    assert.deepEqual(ids((await find(w)).items).sort(), [id, short.id].sort());
    const long = (await find(w)).items.find((item) => item.id === id);
    assert.deepEqual(marked(long.highlights.content), [w], 'it is shown where it is');
    checkHighlight(long.highlights.content, 3);
    assert.deepEqual(ids((await find(other)).items), [id]);
    assert.equal((await find(`${w} thing976 matter1008`)).items.length, 1);
    assert.equal((await find(`${w} -thing976`)).items.length, 1);
    assert.equal((await find(phrase)).items.length, 1);
    const owner = (q) => () => find(q, { limit: 20 }, alice);
    await measured(async () => {
      const [slow] = await inTurns(10, owner(other));
      assert.ok(slow < 1000, `${slow} ms`);
    });
  });

  it('words are marked wherever they are, in all their forms', async () => {
    const w = uniqueWord();
    const far = 'nothing to be seen here '.repeat(2000);
    const odd = ['dying', 'lying', 'skies']; /* whose lexemes they don't begin with */
    const texts = ['ties', 'Happiness', 'RELATIONAL', 'hoping', 'easily', 'ÜBERMUT', "Neill's", ...odd];
    const around = (text) => (odd.includes(text) ? `See ${text}` : `${far} ${text} ${far}`);
    await publish(alice, { title: w, messages: says(...texts.map(around)) });
    for (const text of texts) {
      const { highlights } = (await find(`${w} ${text}`)).items[0];
      assert.ok(highlights.content, text);
      checkHighlight(highlights.content, 3);
      assert.ok(marked(highlights.content).includes(text.replace(/'s$/, '')), `${text}: ${highlights.content}`);
    }
  });

  it('more different words than an index entry holds: those that fit are found', { timeout: 120000 }, async () => {
    const words = times(150000, (n) => `w${(n * 7919 + 1e9).toString(36)}x`);
    const [w] = times(1, uniqueWord);
    const messages = times(40, (n) => ({ role: 'user', content: words.slice(n * 3750, (n + 1) * 3750).join(' ') }));
    const made = await publish(alice, { title: `Vast ${w}`, messages });
    assert.deepEqual(ids((await find(w)).items), [made.id]);
    assert.deepEqual(ids((await find(words[0])).items), [made.id]);
    assert.equal(ok(await alice.get(at(made.id, '?messagesLimit=1'))).messageCount, 40);
    ok(await alice.put(at(made.id), { messages: TALK }));
    assert.deepEqual((await find(words[0])).items, []);
  });
});
