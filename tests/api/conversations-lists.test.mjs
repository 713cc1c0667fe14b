/* Lists of conversations: filters, order, pages, featured, categories, stats (API.md section 11). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { at, CATEGORIES, converse, itemOf, publish, TALK } from './lib/conversations.mjs';
import { fails, ids, invalid, NOWHERE, ok, times } from './lib/expect.mjs';

const query = (fields) => new URLSearchParams(fields).toString();
const titles = (items) => items.map((item) => item.title);
/* Pairs of a name and a count that is not 0. */
const counts = (list, key) => Object.fromEntries(list.filter((x) => x.count).map((x) => [x[key], x.count]));

serverSuite('Lists of conversations', {}, (s) => {
  let alice;
  let bob;
  let admin;
  const made = {};
  const list = async (fields = {}, who = s.anon) =>
    ok(await who.get(`/conversations?${typeof fields === 'string' ? fields : query(fields)}`));
  const listed = async (fields, who) => titles((await list(fields, who)).items).sort().join('');

  before(async () => {
    [alice, bob] = await s.users(2);
    admin = await newAdmin(s);
    ok(await alice.put('/user/profile', { fullName: 'Alice A' }));
    const all = [
      ['a', { category: 'science', tags: ['x', 'y'], provider: 'openai', model: 'gpt-4o' }, alice],
      ['b', { category: 'science', tags: ['x'], provider: 'xai' }, alice],
      ['c', { tags: ['Y', 'Ärger'], provider: 'openai', model: 'GPT-4o' }, alice],
      ['d', { visibility: 'unlisted', tags: ['x', 'y'], provider: 'openai', category: 'science' }, alice],
      ['e', { visibility: 'private', tags: ['x', 'y'], provider: 'openai', model: 'gpt-4o' }, alice],
      ['f', { tags: ['z'], messages: [...TALK, ...TALK] }, bob],
      ['g', { visibility: 'private' }, bob],
    ];
    for (const [title, fields, who] of all) made[title] = await publish(who, { title, ...fields });
    ok(await admin.patch(at(made.b.id, '/featured')));
  });

  it('an item is the conversation without its messages', async () => {
    const { items, pagination } = await list({ author: bob.user.id });
    assert.deepEqual(items, [itemOf(made.f)]);
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

  it('public ones are listed to all, and nothing else, not to their owners nor to admins', async () => {
    for (const who of [s.anon, alice, bob, admin]) {
      assert.equal(await listed({}, who), 'abcf');
      assert.equal((await list({}, who)).pagination.total, 4);
      assert.equal(await listed({ mine: false }, who), 'abcf');
    }
  });

  it('mine=true lists all own ones, and needs a login', async () => {
    assert.equal(await listed({ mine: true }, alice), 'abcde');
    assert.equal(await listed({ mine: true }, bob), 'fg');
    assert.equal(await listed({ mine: true }, admin), '');
    fails(await s.anon.get('/conversations?mine=true'), 401, 'AUTHENTICATION_REQUIRED');
    fails(await s.anon.get('/conversations', { token: 'x' }), 401, 'INVALID_TOKEN');
  });

  const filters = [
    [{ category: 'science' }, 'ab', 'abd'],
    [{ category: 'other' }, '', ''],
    [{ tag: 'x' }, 'ab', 'abde'],
    [{ tag: 'ärger' }, 'c', 'c'],
    ['tag=x&tag=y', 'a', 'ade'],
    ['tag=x&tag=z', '', ''],
    [{ provider: 'openai' }, 'ac', 'acde'],
    [{ model: 'gpt-4o' }, 'a', 'ae'],
    [{ featured: true }, 'b', 'b'],
    [{ featured: false }, 'acf', 'acde'],
    [{ category: 'science', provider: 'openai', tag: 'y' }, 'a', 'ad'],
    ['category=&tag=&provider=&model=&featured=&author=&sortBy=&sortOrder=&visibility=&mine=', 'abcf', null],
  ];
  for (const [filter, all, own] of filters) {
    const text = typeof filter === 'string' ? filter : query(filter);
    it(`filter ${text}`, async () => {
      for (const who of [s.anon, bob, admin]) assert.equal(await listed(filter, who), all);
      if (own !== null) assert.equal(await listed(`${text}&mine=true`, alice), own);
      const { pagination } = await list(filter);
      assert.equal(pagination.total, all.length);
    });
  }

  it('a tag is found in any case of its letters', async () => {
    assert.equal(await listed({ tag: 'Y' }), await listed({ tag: 'y' }));
  });

  it('by author', async () => {
    assert.equal(await listed({ author: alice.user.id }), 'abc');
    assert.equal(await listed({ author: alice.user.id.toUpperCase() }), 'abc');
    assert.equal(await listed({ author: alice.user.id }, alice), 'abc');
    assert.equal(await listed({ author: NOWHERE }), '');
    assert.equal(await listed({ author: bob.user.id, mine: true }, alice), '');
  });

  it('by visibility, of mine only', async () => {
    for (const [visibility, expected] of [
      ['public', 'abc'],
      ['unlisted', 'd'],
      ['private', 'e'],
    ]) {
      assert.equal(await listed({ mine: true, visibility }, alice), expected);
      invalid(await alice.get(`/conversations?visibility=${visibility}`), ['visibility', null]);
      invalid(await s.anon.get(`/conversations?mine=false&visibility=${visibility}`), ['visibility', null]);
    }
  });

  it('refuses what is not in its query', async () => {
    const cases = [
      ['category=Science', ['category', 'INVALID_VALUE']],
      ['provider=x', ['provider', 'INVALID_VALUE']],
      ['mine=1', ['mine', null]],
      ['featured=yes', ['featured', null]],
      ['author=x', ['author', 'INVALID_FORMAT']],
      ['sortBy=rank', ['sortBy', 'INVALID_VALUE']],
      ['sortOrder=up', ['sortOrder', 'INVALID_VALUE']],
      ['limit=101&page=0', ['limit', 'TOO_LARGE'], ['page', 'TOO_SMALL']],
      ['cursor=x', ['cursor', null]],
      ['cursor=&page=1', [/cursor|page/, null]],
      ['category=other&category=other', ['category', 'DUPLICATE']],
      [times(11, (n) => `tag=${n}`).join('&'), ['tag', 'TOO_MANY']],
      [`tag=${'x'.repeat(51)}`, ['tag', 'TOO_LONG']],
      [`model=${'x'.repeat(101)}`, ['model', 'TOO_LONG']],
      ['search=x', ['search', 'UNKNOWN_FIELD']],
    ];
    for (const [text, ...details] of cases) {
      const res = await alice.get(`/conversations?${text}`);
      const error = fails(res, 400, 'VALIDATION_ERROR');
      assert.equal(error.details.length >= details.length, true, text);
      const [field, code] = details[0];
      const found = error.details.find((d) => (field instanceof RegExp ? field.test(d.field) : d.field.startsWith(field)));
      assert.ok(found, `${text}: ${res.text}`);
      if (code) assert.equal(found.code, code, text);
    }
  });

  it('lists carry no ETag', async () => {
    for (const path of ['', '/featured', '/categories', '/stats', '/search?q=x']) {
      const res = await s.anon.get(`/conversations${path}`);
      assert.equal(res.headers.etag, undefined, path);
    }
  });

  it('pages and cursors of each order give the same, ties by id in the same direction', async () => {
    const carol = await s.user();
    const TOTAL = 23;
    for (let n = 0; n < TOTAL; n += 1) {
      const messages = times((n % 3) + 1, (k) => ({ role: 'user', content: `${k}` }));
      await publish(carol, { title: `t${n % 4}`, messages, tags: n % 2 ? ['odd'] : [] });
    }
    await s.sql(
      `UPDATE conversations SET view_count = c.n % 5,
              created_at = now() - (c.n % 6) * interval '1 hour', updated_at = now() - (c.n % 7) * interval '1 minute'
       FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM conversations) c
       WHERE c.id = conversations.id AND user_id = $1`,
      [carol.user.id],
    );
    await publish(carol, { title: 'last', messages: times(9, () => TALK[0]) }); /* whatever was kept is out of date */
    const walk = async (text, who) => {
      const seen = [];
      for (let cursor = ''; cursor !== null;) {
        const { items, pagination } = await list(`${text}&cursor=${encodeURIComponent(cursor)}`, who);
        assert.deepEqual([pagination.page, pagination.total, pagination.totalPages], [null, null, null]);
        assert.equal(pagination.hasPrev, cursor !== '');
        assert.equal(pagination.nextCursor !== null, pagination.hasNext);
        seen.push(...items);
        cursor = pagination.nextCursor;
      }
      return seen;
    };
    const key = (item, name) => (typeof item[name] === 'number' ? `${item[name]}`.padStart(9) : item[name]);
    for (const sortBy of ['createdAt', 'updatedAt', 'title', 'viewCount', 'messageCount']) {
      for (const sortOrder of ['asc', 'desc']) {
        for (const [who, more] of [
          [s.anon, `author=${carol.user.id}`],
          [carol, 'mine=true'],
        ]) {
          const sort = `${more}&sortBy=${sortBy}&sortOrder=${sortOrder}`;
          const whole = (await list(`${sort}&limit=100`, who)).items;
          assert.equal(whole.length, TOTAL + 1);
          const way = sortOrder === 'asc' ? 1 : -1;
          const by = (a, b) => (`${key(a, sortBy)} ${a.id}` < `${key(b, sortBy)} ${b.id}` ? -way : way);
          assert.deepEqual(ids(whole), ids([...whole].sort(by)), sort);
          assert.deepEqual(ids(await walk(`${sort}&limit=5`, who)), ids(whole), sort);
          const pages = [];
          for (const page of [1, 2, 3, 4]) {
            const part = await list(`${sort}&limit=7&page=${page}`, who);
            pages.push(...part.items);
            assert.deepEqual(
              [part.pagination.total, part.pagination.totalPages, part.pagination.hasNext, part.pagination.hasPrev],
              [TOTAL + 1, 4, page < 4, page > 1],
            );
          }
          assert.deepEqual(ids(pages), ids(whole), sort);
          const { nextCursor } = (await list(`${sort}&limit=7&page=2`, who)).pagination;
          const rest = await list(`${sort}&limit=100&cursor=${nextCursor}`, who);
          assert.deepEqual(ids(rest.items), ids(whole.slice(14)), 'from page to cursor');
        }
      }
    }
    const odd = await walk(`author=${carol.user.id}&tag=odd&limit=3`);
    assert.equal(odd.length, 11);
    const past = await list({ author: carol.user.id, page: 10000 });
    assert.deepEqual([past.items.length, past.pagination.hasNext, past.pagination.total], [0, false, TOTAL + 1]);
    const start = `author=${carol.user.id}&limit=3&sortBy=title`;
    const { nextCursor } = (await list(`${start}&cursor=`)).pagination;
    for (const other of [
      `author=${carol.user.id}&limit=3`,
      `${start}&tag=odd`,
      `${start}&sortOrder=asc`,
      `${start}&featured=false`,
      `${start}&category=general`,
      'limit=3&sortBy=title',
    ]) {
      invalid(await s.anon.get(`/conversations?${other}&cursor=${nextCursor}`), ['cursor', null]);
    }
    invalid(await carol.get(`/conversations?mine=true&limit=3&sortBy=title&cursor=${nextCursor}`), ['cursor', null]);
    for (const { id } of (await list(`author=${carol.user.id}&limit=100`)).items) ok(await carol.del(at(id)));
  });

  it('the default order is the newest first', async () => {
    assert.deepEqual(titles((await list()).items), ['f', 'c', 'b', 'a']);
    assert.deepEqual(titles((await list({ sortOrder: 'asc' })).items), ['a', 'b', 'c', 'f']);
  });

  it('featured ones, the newest featured first, ten by default', async () => {
    const carol = await s.user();
    const featured = async (text = '', who = s.anon) => ok(await who.get(`/conversations/featured${text}`));
    assert.deepEqual(titles((await featured()).items), ['b']);
    const all = [];
    for (let n = 0; n < 12; n += 1) all.push(await publish(carol, { title: `f${n}` }));
    for (const n of [3, 1, 2, 0, 4, 5, 6, 7, 8, 9, 10, 11]) ok(await admin.patch(at(all[n].id, '/featured')));
    const order = ['f11', 'f10', 'f9', 'f8', 'f7', 'f6', 'f5', 'f4', 'f0', 'f2', 'f1', 'f3', 'b'];
    const first = await featured();
    assert.deepEqual(titles(first.items), order.slice(0, 10));
    assert.deepEqual([first.pagination.limit, first.pagination.total, first.pagination.totalPages], [10, 13, 2]);
    assert.deepEqual(titles((await featured('?page=2')).items), order.slice(10));
    assert.deepEqual(titles((await featured('?limit=100', bob)).items), order);
    const seen = [];
    for (let cursor = ''; cursor !== null;) {
      const part = await featured(`?limit=4&cursor=${cursor}`);
      seen.push(...titles(part.items));
      cursor = part.pagination.nextCursor;
    }
    assert.deepEqual(seen, order);
    invalid(await s.anon.get('/conversations/featured?mine=true'), ['mine', 'UNKNOWN_FIELD']);
    for (const { id } of all) ok(await carol.del(at(id)));
  });

  it('all 12 categories, in the order of the contract, with how many public ones they have', async () => {
    const { items } = ok(await s.anon.get('/conversations/categories'));
    assert.deepEqual(
      items.map((item) => item.category),
      CATEGORIES,
    );
    assert.ok(items.every((item) => Object.keys(item).sort().join() === 'category,count,name' && item.name));
    assert.deepEqual(counts(items, 'category'), { general: 2, science: 2 });
    assert.deepEqual(ok(await alice.get('/conversations/categories')).items, items);
    invalid(await s.anon.get('/conversations/categories?page=1'), ['page', 'UNKNOWN_FIELD']);
  });

  it('stats of public ones, and of own ones', async () => {
    await s.sql('UPDATE conversations SET view_count = CASE slug WHEN $1 THEN 5 WHEN $2 THEN 7 ELSE 0 END', [
      made.a.slug,
      made.e.slug,
    ]);
    ok(await bob.put(at(made.g.id), { title: 'g2' }));
    const stats = async (text = '', who = s.anon) => ok(await who.get(`/conversations/stats${text}`));
    const all = await stats();
    assert.deepEqual(Object.keys(all).sort(), [
      'byCategory',
      'byModel',
      'byMonth',
      'byProvider',
      'featuredCount',
      'totalConversations',
      'totalMessages',
      'totalViews',
    ]);
    const numbers = ({ totalConversations, totalMessages, totalViews, featuredCount }) => [
      totalConversations,
      totalMessages,
      totalViews,
      featuredCount,
    ];
    assert.deepEqual(numbers(all), [4, 10, 5, 1]);
    assert.deepEqual(counts(all.byCategory, 'category'), { science: 2, general: 2 });
    assert.deepEqual(counts(all.byProvider, 'provider'), { openai: 2, xai: 1 });
    assert.deepEqual(counts(all.byModel, 'model'), { 'gpt-4o': 1, 'GPT-4o': 1 });
    const month = new Date().toISOString().slice(0, 7);
    assert.deepEqual(counts(all.byMonth, 'month'), { [month]: 4 });
    for (const who of [alice, bob, admin]) assert.deepEqual(await stats('', who), all);
    const own = await stats('?mine=true', alice);
    assert.deepEqual(numbers(own), [5, 10, 12, 1]);
    assert.deepEqual(counts(own.byCategory, 'category'), { science: 3, general: 2 });
    assert.deepEqual(counts(own.byProvider, 'provider'), { openai: 4, xai: 1 });
    assert.deepEqual(counts(own.byModel, 'model'), { 'gpt-4o': 2, 'GPT-4o': 1 });
    assert.deepEqual(numbers(await stats('?mine=true', admin)), [0, 0, 0, 0]);
    fails(await s.anon.get('/conversations/stats?mine=true'), 401, 'AUTHENTICATION_REQUIRED');
    invalid(await alice.get('/conversations/stats?category=other'), ['category', 'UNKNOWN_FIELD']);
  });

  it('stats tell the twenty models used most, and the last twelve months', async () => {
    const carol = await s.user();
    for (let n = 0; n < 22; n += 1) {
      for (let k = 0; k < (n < 3 ? 3 - n : 1); k += 1) {
        await converse(carol, { title: `${n}`, model: `m${String(n).padStart(2, '0')}` });
      }
    }
    const months = times(14, (n) => {
      const now = new Date();
      return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - n, 15)).toISOString();
    });
    await s.sql(
      `UPDATE conversations c SET created_at = ($2::timestamptz[])[1 + o.n % 14]
       FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM conversations WHERE user_id = $1) o
       WHERE o.id = c.id`,
      [carol.user.id, months],
    );
    await converse(carol, { title: crypto.randomUUID(), model: 'm00' });
    const { byModel, byMonth } = ok(await carol.get('/conversations/stats?mine=true'));
    assert.equal(byModel.length, 20);
    assert.deepEqual(byModel.slice(0, 3), [
      { model: 'm00', count: 4 },
      { model: 'm01', count: 2 },
      { model: 'm02', count: 1 },
    ]);
    const dated = await s.sql(
      `SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*)::int AS n
       FROM conversations WHERE user_id = $1 GROUP BY 1`,
      [carol.user.id],
    );
    const last = months.slice(0, 12).map((month) => month.slice(0, 7));
    const want = Object.fromEntries(dated.filter((row) => last.includes(row.month)).map((row) => [row.month, row.n]));
    assert.ok(byMonth.length <= 12 && byMonth.every(({ month }) => last.includes(month)), JSON.stringify(byMonth));
    assert.deepEqual(counts(byMonth, 'month'), want);
    const order = byMonth.map(({ month }) => month);
    assert.ok(
      [[...order].sort().join(), [...order].sort().reverse().join()].includes(order.join()),
      'months are in their order',
    );
  });
});
