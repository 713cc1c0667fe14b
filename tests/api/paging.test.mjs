/* Lists: page numbers, cursors, query parameters (API.md 1.3). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ids, invalid, ok, parallel, times } from './lib/expect.mjs';

serverSuite('Lists', {}, (s) => {
  let alice;
  let bob;
  let made;
  const TOTAL = 23;
  before(async () => {
    [alice, bob] = await s.users(2);
    made = [];
    /* Equal titles and word counts, so that ties must be broken. */
    for (let n = 0; n < TOTAL; n += 1) {
      made.push(
        ok(
          await alice.post('/notes', { title: `t${n % 4}`, content: 'w '.repeat(n % 3), tags: n % 2 ? ['odd'] : [] }),
          201,
        ).id,
      );
    }
    for (let n = 0; n < 5; n += 1) ok(await bob.post('/notes', { title: `b${n}` }), 201);
  });

  const list = async (query, who = alice) => ok(await who.get(`/notes?${query}`));
  const walk = async (query, who = alice) => {
    const seen = [];
    for (let cursor = ''; cursor !== null;) {
      const { items, pagination } = await list(`${query}&cursor=${encodeURIComponent(cursor)}`, who);
      seen.push(...items);
      cursor = pagination.nextCursor;
    }
    return seen;
  };

  it('page mode counts pages', async () => {
    for (const [query, expected, count] of [
      ['limit=10', [1, 10, TOTAL, 3, true, false], 10],
      ['limit=10&page=2', [2, 10, TOTAL, 3, true, true], 10],
      ['limit=10&page=3', [3, 10, TOTAL, 3, false, true], 3],
      ['limit=10&page=4', [4, 10, TOTAL, 3, false, true], 0],
      ['page=10000', [10000, 20, TOTAL, 2, false, true], 0],
      ['limit=100', [1, 100, TOTAL, 1, false, false], TOTAL],
      ['limit=1&page=23', [23, 1, TOTAL, 23, false, true], 1],
      ['tag=nothing', [1, 20, 0, 0, false, false], 0],
      ['', [1, 20, TOTAL, 2, true, false], 20],
      ['limit=&page=&search=&tag=&folderId=&pinned=&deleted=&sortBy=&sortOrder=', [1, 20, TOTAL, 2, true, false], 20],
      ['%6Cimit=3', [1, 3, TOTAL, 8, true, false], 3],
    ]) {
      const { items, pagination } = await list(query);
      const { page, limit, total, totalPages, hasNext, hasPrev, nextCursor } = pagination;
      assert.deepEqual([page, limit, total, totalPages, hasNext, hasPrev], expected, query);
      assert.equal(items.length, count, query);
      assert.equal(nextCursor !== null, hasNext, query);
      assert.deepEqual(Object.keys(pagination).sort(), [
        'hasNext',
        'hasPrev',
        'limit',
        'nextCursor',
        'page',
        'total',
        'totalPages',
      ]);
    }
  });

  it('keyset mode has no numbers, and an empty cursor is the first page', async () => {
    const first = await list('cursor=&limit=10');
    const { nextCursor } = first.pagination;
    assert.deepEqual(first.pagination, {
      page: null,
      limit: 10,
      total: null,
      totalPages: null,
      hasNext: true,
      hasPrev: false,
      nextCursor,
    });
    assert.ok(nextCursor.length > 0 && nextCursor.length <= 512);
    const last = (await list(`limit=100&cursor=${nextCursor}`)).pagination;
    assert.deepEqual(last, {
      page: null,
      limit: 100,
      total: null,
      totalPages: null,
      hasNext: false,
      hasPrev: true,
      nextCursor: null,
    });
  });

  for (const sortBy of ['updatedAt', 'createdAt', 'title', 'wordCount']) {
    for (const sortOrder of ['asc', 'desc']) {
      it(`by ${sortBy} ${sortOrder}, pages and cursors give the same order, ties by id in the same direction`, async () => {
        const sort = `sortBy=${sortBy}&sortOrder=${sortOrder}`;
        const whole = (await list(`${sort}&limit=100`)).items;
        const key = (item) =>
          `${typeof item[sortBy] === 'number' ? String(item[sortBy]).padStart(9) : item[sortBy]} ${item.id}`;
        const sorted = [...whole].sort((a, b) => (key(a) < key(b) ? -1 : 1) * (sortOrder === 'asc' ? 1 : -1));
        assert.equal(whole.length, TOTAL);
        if (sortBy === 'title' || sortBy === 'wordCount') assert.deepEqual(ids(whole), ids(sorted));
        assert.deepEqual(ids(await walk(`${sort}&limit=4`)), ids(whole));
        const pages = [];
        for (const page of [1, 2, 3, 4, 5]) pages.push(...(await list(`${sort}&limit=5&page=${page}`)).items);
        assert.deepEqual(ids(pages), ids(whole));
        const { nextCursor } = (await list(`${sort}&limit=7&page=2`)).pagination;
        assert.deepEqual(
          ids((await list(`${sort}&limit=100&cursor=${nextCursor}`)).items),
          ids(whole.slice(14)),
          'from page to cursor',
        );
      });
    }
  }

  it('a walk with a filter sees only what matches', async () => {
    const odd = await walk('tag=odd&limit=3');
    assert.deepEqual(ids(odd).sort(), made.filter((_, n) => n % 2).sort());
  });

  it('the limit may change between pages of one walk', async () => {
    const first = await list('limit=3&cursor=');
    const second = await list(`limit=5&cursor=${first.pagination.nextCursor}`);
    assert.deepEqual(ids([...first.items, ...second.items]), ids((await list('limit=8')).items));
  });

  it('a cursor used with other filters, sort or endpoint is refused', async () => {
    const cursor = (await list('limit=3&sortBy=title&tag=odd&cursor=')).pagination.nextCursor;
    for (const query of [
      'sortBy=title',
      'sortBy=title&tag=even',
      'sortBy=title&tag=odx',
      'tag=odd',
      'sortBy=title&tag=odd&sortOrder=asc',
      'sortBy=createdAt&tag=odd',
      'sortBy=title&tag=odd&pinned=false',
      'sortBy=title&tag=odd&deleted=true',
      'sortBy=title&tag=odd&search=t',
      'sortBy=title&tag=odd&tag=x',
    ]) {
      invalid(await alice.get(`/notes?limit=3&${query}&cursor=${cursor}`), ['cursor', null]);
    }
    invalid(await alice.get(`/folders?cursor=${cursor}`), ['cursor', null]);
    invalid(await alice.get(`/user/sessions?cursor=${cursor}`), ['cursor', null]);
    invalid(await alice.get(`/notes/${made[0]}/versions?cursor=${cursor}`), ['cursor', null]);
  });

  it('a cursor of another user shows nothing of that user', async () => {
    const cursor = (await list('limit=3&cursor=')).pagination.nextCursor;
    const res = await bob.get(`/notes?limit=100&cursor=${cursor}`);
    if (res.status === 200) assert.ok(res.json.data.items.every((item) => item.title.startsWith('b')));
    else invalid(res, ['cursor', null]);
  });

  it('a damaged cursor is refused', async () => {
    const cursor = (await list('limit=3&cursor=')).pagination.nextCursor;
    const flip = (at) => cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1);
    /* The last character may carry unused bits, so it is not flipped. */
    const damaged = [
      ...times(cursor.length - 1, flip),
      cursor.slice(0, -1),
      cursor.slice(1),
      `${cursor}A`,
      `${cursor}${cursor}`,
      'AAAA',
      'x',
      '%00',
      'null',
      '{}',
      Buffer.from('{"id":1}').toString('base64url'),
      'é',
      'A'.repeat(512),
      'A'.repeat(513),
      'A'.repeat(3000),
    ];
    for (const bad of damaged) {
      const res = await alice.get(`/notes?limit=3&cursor=${bad === '%00' ? '%2500' : encodeURIComponent(bad)}`);
      invalid(res, ['cursor', null]);
    }
  });

  it('cursor and page exclude each other', async () => {
    const cursor = (await list('limit=3&cursor=')).pagination.nextCursor;
    for (const query of [`cursor=${cursor}&page=1`, 'cursor=&page=2']) {
      const res = await alice.get(`/notes?${query}`);
      assert.equal(res.status, 400);
      assert.ok(['cursor', 'page'].includes(res.json.error.details[0].field), res.text);
    }
  });

  for (const path of ['/notes', '/folders', '/user/sessions']) {
    it(`${path} refuses bad, unknown and repeated parameters, all named`, async () => {
      for (const [query, ...details] of [
        ['page=0', ['page', 'TOO_SMALL']],
        ['page=-1', ['page', 'TOO_SMALL']],
        ['page=10001', ['page', 'TOO_LARGE']],
        ['page=1.0', ['page', null]],
        ['page=one', ['page', null]],
        ['page=0x1', ['page', null]],
        ['page=1e1', ['page', null]],
        ['page=%201', ['page', null]],
        ['page=1%202', ['page', null]],
        ['page=99999999999999999999', ['page', null]],
        ['limit=0', ['limit', 'TOO_SMALL']],
        ['limit=101', ['limit', 'TOO_LARGE']],
        ['limit=1000000000', ['limit', 'TOO_LARGE']],
        ['limit=5&limit=5', ['limit', null]],
        ['page=1&%70age=2', ['page', null]],
        ['foo=1', ['foo', 'UNKNOWN_FIELD']],
        ['Limit=5', ['Limit', 'UNKNOWN_FIELD']],
        ['limit[]=5', ['limit[]', 'UNKNOWN_FIELD']],
        ['sort=1&limit=0&page=x', ['sort', 'UNKNOWN_FIELD'], ['limit', 'TOO_SMALL'], ['page', null]],
      ]) {
        const res = await alice.get(`${path}?${query}`);
        assert.equal(`${query}: ${res.status}`, `${query}: 400`);
        invalid(res, ...details);
      }
    });
  }

  it('endpoints that are no lists refuse query parameters too', async () => {
    for (const [method, path, json] of [
      ['GET', '/auth/me'],
      ['GET', '/user/settings'],
      ['PUT', '/user/profile', {}],
      ['POST', '/notes', {}],
      ['GET', `/notes/${made[0]}`],
      ['DELETE', `/notes/${made[0]}`],
      ['PATCH', `/notes/${made[0]}/pin`, {}],
    ]) {
      invalid(await alice.api(method, `${path}?page=1`, { json }), ['page', 'UNKNOWN_FIELD']);
    }
  });

  it('parameters are data: nothing in them reaches SQL', async () => {
    for (const evil of ["'", "' OR '1'='1", '") OR 1=1', "'); SELECT pg_sleep(18) -- ", '$1', '%s%n', '\\', "title'"]) {
      for (const name of ['search', 'tag', 'sortBy', 'sortOrder', 'folderId', 'cursor', 'page', 'pinned']) {
        const start = Date.now();
        const res = await alice.get(`/notes?${name}=${encodeURIComponent(evil)}`);
        assert.ok([200, 400].includes(res.status), `${name}=${evil}: ${res.status} ${res.text}`);
        if (res.status === 200) assert.deepEqual(res.json.data.items, [], `${name}=${evil}`);
        assert.ok(Date.now() - start < 15000, `${name}=${evil} took long`);
      }
    }
  });

  for (const query of ['sortBy=createdAt', 'sortBy=createdAt&sortOrder=asc', 'sortBy=title', 'sortBy=updatedAt']) {
    it(`a walk by ${query} sees each old item exactly once while others are inserted`, async () => {
      const carol = await s.user();
      const old = await parallel(
        30,
        async (n) => ok(await carol.post('/notes', { title: `old ${String(n).padStart(2, '0')}` }), 201).id,
      );
      let busy = true;
      const writer = (async () => {
        for (let n = 0; busy; n += 1)
          ok(await carol.post('/notes', { title: `${crypto.randomBytes(2).toString('hex')} new` }), 201);
      })();
      const seen = [];
      for (let cursor = '', pages = 0; cursor !== null && pages < 200; pages += 1) {
        const { items, pagination } = await list(`${query}&limit=3&cursor=${cursor}`, carol);
        seen.push(...items.filter((item) => item.title.startsWith('old')).map((item) => item.id));
        cursor = seen.length >= 30 && pages > 40 ? null : pagination.nextCursor;
        if (seen.length >= 30) busy = false;
      }
      busy = false;
      await writer;
      assert.deepEqual(seen.sort(), old.sort());
    });
  }
});
