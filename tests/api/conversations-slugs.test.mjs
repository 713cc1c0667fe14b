/* Slugs of conversations: made of titles, numbered, given, unique over all (API.md section 11). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { at, converse, RESERVED, slugOf, talk } from './lib/conversations.mjs';
import { fails, measured, ok, parallel, times } from './lib/expect.mjs';

const PATTERN = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/* A generator whose run can be repeated: the seed is in the message of a failure. */
function random(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const RANGES = [
  [0x61, 0x7a],
  [0x41, 0x5a],
  [0x30, 0x39],
  [0x20, 0x7e],
  [0xa0, 0x17f], /* Latin with marks, superscripts, fractions */
  [0x300, 0x36f], /* combining marks */
  [0x370, 0x3ff],
  [0x5d0, 0x5ea],
  [0x900, 0x94f], /* vowel signs are marks, too */
  [0x1e00, 0x1eff],
  [0x2000, 0x214f], /* spaces, punctuation, letter-like symbols */
  [0x2460, 0x24ff], /* letters and digits in circles */
  [0x3040, 0x30ff],
  [0x3300, 0x33ff], /* squared words */
  [0x4e00, 0x4eff],
  [0xac00, 0xad00],
  [0xfb00, 0xfb06], /* ligatures */
  [0xff01, 0xff5e], /* full width */
  [0x1d400, 0x1d4ff], /* mathematical letters */
  [0x1f100, 0x1f16f],
  [0x1f600, 0x1f64f],
  [0xe0100, 0xe0110], /* variation selectors: marks */
];

function randomTitle(next) {
  const length = 1 + (next(4) ? next(30) : next(199));
  let title = '';
  for (let n = 0; n < length; n += 1) {
    const [low, high] = RANGES[next(3) ? next(4) : next(RANGES.length)];
    title += String.fromCodePoint(low + next(high - low + 1));
  }
  return title.trim();
}

serverSuite('Slugs of conversations', {}, (s) => {
  let alice;
  let bob;
  const slug = async (title, who = alice) => (await converse(who, { title })).slug;
  before(async () => {
    [alice, bob] = await s.users(2);
  });

  const known = [
    ['Hello, World!', 'hello-world'],
    ['  ÀÉÎõü Ñandú  ', 'aeiou-nandu'],
    ['Cafe\u0301 creme\u0300 -- bru\u0302le\u0301e', 'cafe-creme-brulee'],
    ['ﬁne ﬂow ǆ', 'fine-flow-dz'],
    ['Ｆｕｌｌ　Ｗｉｄｔｈ ４２', 'full-width-42'],
    ['𝔘𝔫𝔦 ⓒⓞⓓⓔ ①②', 'uni-code-12'],
    ['½ x² + K', '1-2-x2-k'],
    ['Straße øre Łódź', 'stra-e-re-odz'],
    ['İstanbul', 'istanbul'],
    ['a\u0301-\u0301b', 'a-b'],
    ['C++ & C#: 100%', 'c-c-100'],
    ['_c_d_', 'c-d'],
    ['日本語', 'conversation'],
    ['😀😀', 'conversation-2'],
    ['!!!', 'conversation-3'],
    ['日本 2024 語', '2024'],
    ['0', '0'],
  ];
  it('a title becomes a slug', async () => {
    for (const [title, expected] of known) assert.equal(await slug(title), expected, title);
  });

  it('it is cut to 100, and no "-" is left at the cut', async () => {
    assert.equal(await slug('a'.repeat(200)), 'a'.repeat(100));
    assert.equal(await slug('a'.repeat(150)), `${'a'.repeat(100)}-2`);
    assert.equal(await slug(`${'b'.repeat(99)} c`), 'b'.repeat(99));
    assert.equal(await slug(`${'c'.repeat(100)} d`), 'c'.repeat(100));
    assert.equal(await slug('㌖'.repeat(60)), 'conversation-4');
    assert.equal(await slug('㎏'.repeat(60)), 'kg'.repeat(50));
  });

  it('random titles give what another implementation gives', { timeout: 120000 }, async () => {
    const seed = crypto.randomInt(2 ** 31);
    const next = random(seed);
    const titles = times(400, () => randomTitle(next)).filter((title) => title && !/[\0-\x1f\x7f]/.test(title));
    const made = [];
    for (let from = 0; from < titles.length; from += 20) {
      const part = titles.slice(from, from + 20);
      made.push(...(await Promise.all(part.map((title) => converse(alice, { title })))));
    }
    const bases = new Map();
    for (const { title, slug: got } of made) {
      const base = slugOf(title);
      assert.match(got, PATTERN);
      const number = got === base ? 1 : Number(new RegExp(`^${base}-([1-9]\\d*)$`).exec(got)?.[1]);
      assert.ok(number, `seed ${seed}: ${JSON.stringify(title)} gave ${got}, not ${base}`);
      bases.set(base, [...(bases.get(base) ?? []), number]);
    }
    assert.equal(new Set(made.map((one) => one.slug)).size, made.length);
    assert.ok(bases.size > titles.length / 2, 'most are unlike');
  });

  it('the lowest free number is taken, and one that became free is given again', async () => {
    const made = [];
    for (let n = 0; n < 6; n += 1) made.push(await converse(n % 2 ? bob : alice, { title: 'Lowest one' }));
    assert.deepEqual(
      made.map((one) => one.slug),
      ['lowest-one', ...times(5, (n) => `lowest-one-${n + 2}`)],
    );
    for (const n of [4, 2, 0]) ok(await alice.del(at(made[n].id)));
    for (const expected of ['lowest-one', 'lowest-one-3', 'lowest-one-5', 'lowest-one-7']) {
      assert.equal(await slug('Lowest: one', bob), expected);
    }
    ok(await bob.put(at(made[1].id), { slug: 'moved-away' }));
    assert.equal(await slug('lowest one'), 'lowest-one-2');
    assert.equal(await slug('lowest one'), 'lowest-one-8');
  });

  it('numbers that were given by hand, or are part of a title, are passed over', async () => {
    await converse(alice, { slug: 'by-hand-2' });
    await converse(bob, { slug: 'by-hand-4' });
    const got = [];
    for (let n = 0; n < 4; n += 1) got.push(await slug('By hand'));
    assert.deepEqual(got, ['by-hand', 'by-hand-3', 'by-hand-5', 'by-hand-6']);
    assert.equal(await slug('By hand 3'), 'by-hand-3-2');
    assert.equal(await slug('By hand 7'), 'by-hand-7');
    assert.equal(await slug('By hand'), 'by-hand-8');
  });

  it('a title that names a reserved word or looks like an id gets a number', async () => {
    for (const word of [...RESERVED, crypto.randomUUID()]) {
      assert.equal(await slug(word.toUpperCase()), `${word}-2`);
      assert.equal(await slug(word), `${word}-3`);
    }
    assert.equal((await converse(alice, { slug: 'searches' })).slug, 'searches');
  });

  it('a given one that is taken is SLUG_TAKEN, whoever has it and whatever is visible', async () => {
    const mine = await converse(alice, { slug: 'given-by-alice' });
    const other = await converse(bob, { slug: 'given-by-bob' });
    for (const who of [alice, bob]) {
      fails(await who.post('/conversations', talk({ slug: 'given-by-alice' })), 409, 'SLUG_TAKEN');
    }
    fails(await bob.put(at(other.id), { slug: 'given-by-alice', title: 'x' }), 409, 'SLUG_TAKEN');
    assert.deepEqual(ok(await bob.get(at(other.id))), other);
    assert.deepEqual(ok(await alice.put(at(mine.id), { slug: 'given-by-alice' })), mine);
    const moved = ok(await alice.put(at(mine.id), { slug: 'given-anew' }));
    assert.deepEqual([moved.slug, moved.version], ['given-anew', 2]);
    fails(await alice.get(at('given-by-alice')), 404, 'CONVERSATION_NOT_FOUND');
    assert.equal(ok(await bob.put(at(other.id), { slug: 'given-by-alice' })).slug, 'given-by-alice');
    ok(await alice.del(at(mine.id)));
    assert.equal((await converse(bob, { slug: 'given-anew' })).slug, 'given-anew');
  });

  it('a change of the title keeps the slug', async () => {
    const made = await converse(alice, { title: 'First name' });
    const changed = ok(await alice.put(at(made.id), { title: 'Second name' }));
    assert.deepEqual([changed.title, changed.slug], ['Second name', 'first-name']);
    assert.equal(await slug('First name'), 'first-name-2');
  });

  it('16 parallel creations with one given slug: one gets it', async () => {
    const all = await parallel(16, () => alice.post('/conversations', talk({ slug: 'raced-for' })));
    assert.equal(all.filter((res) => res.status === 201).length, 1);
    for (const res of all.filter((r) => r.status !== 201)) fails(res, 409, 'SLUG_TAKEN');
  });

  it('a title never fails for a slug that somebody is given meanwhile', { timeout: 60000 }, async () => {
    for (let n = 0; n < 100; n += 1) {
      const name = `meanwhile-${n}`;
      const [given, ...made] = await Promise.all([
        alice.post('/conversations', talk({ slug: name })),
        bob.post('/conversations', talk({ title: name })),
        alice.post('/conversations', talk({ title: name })),
      ]);
      const slugs = made.map((res) => ok(res, 201).slug);
      if (given.status === 201) slugs.push(given.json.data.slug);
      else fails(given, 409, 'SLUG_TAKEN');
      assert.deepEqual(slugs.sort(), [name, `${name}-2`, `${name}-3`].slice(0, slugs.length));
    }
  });

  it('1,000 creations of one title, 40 at a time, take 1 to 1,000 exactly', { timeout: 180000 }, async () => {
    const got = [];
    await parallel(40, async (n) => {
      for (let k = 0; k < 25; k += 1) got.push(await slug('One of many', n % 2 ? alice : bob));
    });
    const want = ['one-of-many', ...times(999, (n) => `one-of-many-${n + 2}`)];
    assert.deepEqual(got.sort(), want.sort());
  });

  it('creations and deletions of one title in parallel leave no gap behind', { timeout: 180000 }, async () => {
    const worker = async (who, n) => {
      for (let round = 0; round < 20; round += 1) {
        const { id } = await converse(who, { title: 'Coming and going' });
        if ((round + n) % 3) ok(await who.del(at(id)));
      }
    };
    await parallel(16, (n) => worker(n % 2 ? alice : bob, n));
    const taken = new Set(
      (await s.sql("SELECT slug FROM conversations WHERE slug ~ '^coming-and-going'")).map((row) => row.slug),
    );
    const all = ['coming-and-going', ...times(400, (n) => `coming-and-going-${n + 2}`)];
    for (const expected of all.filter((name) => !taken.has(name)).slice(0, 20)) {
      assert.equal(await slug('Coming and going'), expected);
    }
  });

  it('the ten thousandth of a title costs no more than the second', { timeout: 120000 }, async () => {
    await slug('Untitled thing');
    await slug('Untitled thing');
    await s.sql(
      `INSERT INTO conversations (user_id, slug, title)
       SELECT $1, 'untitled-thing-' || n, 'Untitled thing' FROM generate_series(3, 10000) n`,
      [alice.user.id],
    );
    assert.equal(await slug('Untitled thing'), 'untitled-thing-10001');
    let last = 10001;
    await measured(async () => {
      const start = Date.now();
      for (let n = 0; n < 50; n += 1) {
        last += 1;
        assert.equal(await slug('Untitled thing'), `untitled-thing-${last}`);
      }
      const many = Date.now() - start;
      const first = Date.now();
      for (let n = 0; n < 50; n += 1) await slug(`Few ${last} ${n}`);
      const few = Date.now() - first;
      assert.ok(many < 3 * few + 100, `${many} ms against ${few} ms`);
    });
  });
});
