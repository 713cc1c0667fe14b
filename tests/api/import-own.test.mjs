/* Imports of our own exports: what was exported, deleted and imported is exported the same, byte for byte. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, describe, it } from 'node:test';
import { newAdmin } from './lib/accounts.mjs';
import { serverSuite } from './lib/server.mjs';
import { fails, invalid, ok, parallel } from './lib/expect.mjs';
import { at, converse, publish, RESERVED, uniqueWord } from './lib/conversations.mjs';
import { chatgpt, importEnded, said, upload, zipOf } from './lib/talks.mjs';

const HERE = '/conversations/import';
const EMPTY = { imported: 0, skipped: 0, failed: 0, conversations: [], errors: [] };
const json = JSON.stringify;

serverSuite('Imports of own exports', { directives: ['ChronicleImportLimit 40M'] }, (s) => {
  let alice;
  let bob;
  before(async () => {
    [alice, bob] = await s.users(2);
  });

  const exported = async (user, id) => {
    const res = await user.get(at(id, '/export?format=json'));
    assert.equal(res.status, 200);
    return res.raw;
  };
  const remove = async (user, id) => ok(await user.del(at(id)));
  const take = async (user, data, fields = {}) => ok(await user.post(HERE, { data, ...fields }), 201);
  /** A conversation that was exported and is no more: {id, raw, file}. */
  const gone = async (user, fields) => {
    const { id } = await converse(user, fields);
    const raw = await exported(user, id);
    await remove(user, id);
    return { id, raw, file: JSON.parse(raw) };
  };
  const counts = ({ imported, skipped, failed }) => [imported, skipped, failed];

  const TALKS = {
    'with what must be there': {},
    'with all there may be': {
      title: 'Größe & Maß — "quoted" \\ </script> \u{1f600} \u200d e\u0301',
      slug: 'all-there-may-be',
      description: 'Several\nlines\twith \u2028 and \u{10ffff}',
      category: 'science',
      tags: ['b', 'a', 'ünï', 'with, comma', '"q"', 'NULL', '{}'],
      provider: 'mistral',
      model: 'mixtral 8x7b',
      visibility: 'unlisted',
      messages: [
        { role: 'system', content: ' \r\n kept as it is\t\n', model: null, createdAt: null },
        { role: 'user', content: '\u{1f1e9}\u{1f1ea} \u0085\u00a0\ufeff\ufffd', createdAt: '2024-02-29T23:59:59.999Z' },
        { role: 'assistant', content: '{"a":"\\u0000"}', model: 'm-1', createdAt: '1970-01-01T00:00:00Z' },
        { role: 'tool', content: 'x', model: 'm-2', createdAt: '9999-12-31T23:59:59.123456+00:00' },
      ],
    },
    'with an empty description': { description: '', tags: [] },
    'in public': { visibility: 'public', category: 'other' },
    'of the longest fields': {
      title: 'ä'.repeat(200),
      slug: 'l'.repeat(120),
      description: '€'.repeat(2000),
      tags: Array.from({ length: 20 }, (_, n) => `${'t'.repeat(48)}${10 + n}`),
      model: 'm'.repeat(100),
      messages: [{ role: 'user', content: '\u{1f600}'.repeat(200000) }],
    },
    'of 600 messages': {
      messages: Array.from({ length: 600 }, (_, n) => ({
        role: n % 2 ? 'assistant' : 'user',
        content: `number ${n} \u20ac`,
        ...(n % 3 ? {} : { model: `m-${n}` }),
        ...(n % 5 ? {} : { createdAt: new Date(1.7e12 + n * 1001).toISOString() }),
      })),
    },
  };

  describe('give the same bytes', () => {
    for (const [what, fields] of Object.entries(TALKS))
      it(what, async () => {
        const { id, raw, file } = await gone(alice, fields);
        const got = await take(alice, file);
        const { slug, title, messageCount } = file;
        assert.deepEqual(got, { ...EMPTY, imported: 1, conversations: [{ id, slug, title, messageCount }] });
        assert.deepEqual(await exported(alice, id), raw);
        assert.deepEqual(await exported(alice, slug), raw);
      });

    it('after changes, of a ChatGPT import, and twice over', async () => {
      const [made] = (await take(alice, [chatgpt([said('user', 'q'), said('assistant', 'r')])])).conversations;
      ok(await alice.put(at(made.id), { title: 'Another one', tags: ['x'] }));
      ok(await alice.put(at(made.id), { description: 'd' }));
      const raw = await exported(alice, made.id);
      const { source, version, createdAt, updatedAt } = JSON.parse(raw);
      assert.deepEqual([source, version], ['chatgpt', 3]);
      assert.notEqual(createdAt, updatedAt);
      for (const round of [1, 2]) {
        await remove(alice, made.id);
        await take(alice, JSON.parse(raw));
        assert.deepEqual(await exported(alice, made.id), raw, `round ${round}`);
      }
    });

    it('of a file, an array, an archive, with and without a BOM', async () => {
      const all = [await gone(alice, { title: 'one' }), await gone(alice, TALKS['in public']), await gone(alice, { title: 'three' })];
      const list = `[${all.map((one) => one.raw).join(',\n')}]`;
      const files = [list, `\ufeff${list}`, zipOf({ 'x/conversations.json': list }), `{"conversations":${list}}`];
      for (const file of files) {
        assert.deepEqual(counts(ok(await upload(alice, file), 201)), [3, 0, 0]);
        for (const { id, raw } of all) {
          assert.deepEqual(await exported(alice, id), raw);
          await remove(alice, id);
        }
      }
      assert.deepEqual(counts(ok(await upload(alice, all[0].raw), 201)), [1, 0, 0]);
      assert.deepEqual(await exported(alice, all[0].id), all[0].raw);
    });

    it('by a job, which counts what is new, what is there and what is bad', async () => {
      const text = 'word '.repeat(30000);
      const all = [];
      for (let n = 0; n < 75; n += 1)
        all.push(await gone(alice, { title: `Large ${n}`, visibility: n ? 'unlisted' : 'public', tags: ['t'], messages: [{ role: 'user', content: `${n} ${text}` }] }));
      const there = await converse(alice, { title: 'still there' });
      const raw = (await exported(alice, there.id)).toString();
      const list = [raw, ...all.map((one) => one.raw), json({ ...all[0].file, title: '' }), all[1].raw];
      const res = await upload(alice, `[${list.join(',')}]`);
      const { result, status } = await importEnded(alice, ok(res, 202).id);
      assert.equal(status, 'completed');
      assert.deepEqual(counts(result), [75, 2, 1]);
      assert.equal(result.errors[0].index, 76);
      assert.deepEqual(new Set(result.conversations.map((c) => c.id)), new Set(all.map((one) => one.id)));
      for (const one of all) assert.ok((await exported(alice, one.id)).equals(one.raw), one.file.title);
      const again = await upload(alice, `[${list.join(',')}]`, { tags: 'x', visibility: 'private' });
      assert.deepEqual(counts((await importEnded(alice, ok(again, 202).id)).result), [0, 77, 1]);
    });
  });

  it('have words that are found, and show in public lists', async () => {
    const word = uniqueWord();
    const { id, file } = await gone(alice, { visibility: 'public', title: word, category: 'research' });
    const ids = async (path) => ok(await s.anon.get(path)).items.map((c) => c.id);
    assert.deepEqual(await ids('/conversations?category=research'), []);
    await take(alice, [file]);
    assert.deepEqual(await ids('/conversations?category=research'), [id]);
    assert.deepEqual(await ids(`/conversations/search?q=${word}`), [id]);
  });

  describe('take from the request', () => {
    it('what it states, and nothing else', async () => {
      const { id, file } = await gone(alice, { visibility: 'public', category: 'science', tags: ['a'] });
      const after = async (fields) => {
        await take(alice, file, fields);
        const { visibility, category, tags } = ok(await alice.get(at(id)));
        await remove(alice, id);
        return [visibility, category, tags];
      };
      assert.deepEqual(await after({}), ['public', 'science', ['a']]);
      assert.deepEqual(await after({ visibility: 'private' }), ['private', 'science', ['a']]);
      assert.deepEqual(await after({ category: 'other', tags: ['B', 'b'] }), ['public', 'other', ['b']]);
      assert.deepEqual(await after({ tags: [], visibility: 'unlisted' }), ['unlisted', 'science', []]);
      ok(await upload(alice, json(file), { visibility: 'private', tags: 'x,y' }), 201);
      const got = ok(await alice.get(at(id)));
      assert.deepEqual([got.visibility, got.category, got.tags], ['private', 'science', ['x', 'y']]);
    });

    it('nothing for its author, views and featuring', async () => {
      const { id } = await publish(alice);
      ok(await bob.get(at(id)));
      const admin = await newAdmin(s);
      ok(await admin.patch(at(id, '/featured'), { featured: true }));
      const file = JSON.parse(await exported(alice, id));
      assert.deepEqual([file.viewCount, file.featured], [1, true]);
      await remove(alice, id);
      await take(bob, file);
      const got = JSON.parse(await exported(bob, id));
      const author = { id: bob.user.id, fullName: got.author.fullName, avatarUrl: got.author.avatarUrl };
      assert.deepEqual(got, { ...file, userId: bob.user.id, author, viewCount: 0, featured: false, featuredAt: null });
    });

    it('no format: they are only found out', async () => {
      const { file } = await gone(alice, {});
      invalid(await alice.post(HERE, { data: file, format: 'chatgpt' }), ['data', null]);
      invalid(await alice.post(HERE, { data: file, format: 'chronicle' }), ['format', 'INVALID_VALUE']);
    });
  });

  describe('where something is there already', () => {
    it('skip what the caller has, changed or not', async () => {
      const { id } = await converse(alice);
      const raw = await exported(alice, id);
      const data = JSON.parse(raw);
      assert.deepEqual(ok(await alice.post(HERE, { data })), { ...EMPTY, skipped: 1 });
      assert.deepEqual(ok(await alice.post(HERE, { data: [{ ...data, title: 'x', slug: 'x' }, data] })), { ...EMPTY, skipped: 2 });
      assert.deepEqual(await exported(alice, id), raw);
    });

    it('take each of a file once', async () => {
      const { id, raw, file } = await gone(alice, {});
      assert.deepEqual(counts(await take(alice, [file, file, { ...file, id: file.id.toUpperCase() }])), [1, 2, 0]);
      assert.deepEqual(await exported(alice, id), raw);
    });

    it('give new ids to what is another user\u2019s, once, and leave that alone', async () => {
      const theirs = await converse(alice, { visibility: 'private', title: 'Hers' });
      const raw = await exported(alice, theirs.id);
      const file = JSON.parse(raw);
      const [made] = (await take(bob, file)).conversations;
      assert.notEqual(made.id, theirs.id);
      assert.equal(made.slug, `${file.slug}-2`);
      const got = JSON.parse(await exported(bob, made.id));
      const strip = ({ id, slug, userId, author, messages, ...rest }) => ({ ...rest, messages: messages.map((m) => ({ ...m, id: 0 })) });
      assert.deepEqual(strip(got), strip(file));
      assert.equal(got.userId, bob.user.id);
      assert.equal(new Set([...got.messages, ...file.messages].map((m) => m.id)).size, 4);
      assert.deepEqual(await exported(alice, theirs.id), raw);
      assert.deepEqual(ok(await bob.post(HERE, { data: [file, file] })), { ...EMPTY, skipped: 2 });
      fails(await bob.get(at(theirs.id)), 404, 'CONVERSATION_NOT_FOUND');
    });

    it('make free slugs of taken ones, however long', async () => {
      for (const [slug, free] of [
        ['taken', 'taken-2'],
        ['taken-7', 'taken-7-2'],
        [`t${'a'.repeat(119)}`, `t${'a'.repeat(108)}-2`],
        [`t${'b'.repeat(107)}-${'c'.repeat(11)}`, `t${'b'.repeat(107)}-2`],
      ]) {
        const { id, file } = await gone(alice, { slug });
        await converse(bob, { slug });
        assert.equal((await take(alice, file)).conversations[0].slug, free);
        assert.deepEqual(JSON.parse(await exported(alice, id)), { ...file, slug: free });
      }
    });

    it('make new ids of messages that are taken, and of repeated ones', async () => {
      const other = await converse(bob);
      const { id, file } = await gone(alice, {});
      file.messages[0].id = other.messages[0].id;
      await take(alice, file);
      const got = JSON.parse(await exported(alice, id));
      assert.notEqual(got.messages[0].id, file.messages[0].id);
      got.messages[0].id = file.messages[0].id;
      assert.deepEqual(got, file);
      const twice = await gone(alice, {});
      twice.file.messages[1].id = twice.file.messages[0].id;
      await take(alice, [twice.file, { ...twice.file, id: crypto.randomUUID(), slug: 'other-one' }]);
      const now = JSON.parse(await exported(alice, twice.id));
      assert.equal(now.messages[0].id, twice.file.messages[0].id);
      assert.notEqual(now.messages[1].id, now.messages[0].id);
      assert.equal(JSON.parse(await exported(alice, 'other-one')).messages.length, 2);
    });

    it('take each once, however many imports run at a time', async () => {
      const all = [];
      for (let n = 0; n < 20; n += 1) all.push((await gone(alice, { title: `At once ${n}` })).file);
      const results = (await parallel(4, (n) => alice.post(HERE, { data: n % 2 ? [...all].reverse() : all }))).map((res) =>
        ok(res, res.status === 200 ? 200 : 201),
      );
      const sum = (key) => results.reduce((n, r) => n + r[key], 0);
      assert.deepEqual([sum('imported'), sum('skipped'), sum('failed')], [20, 60, 0]);
    });

    it('take those of two users at a time, one under new ids', async () => {
      const { file } = await gone(alice, {});
      const results = await Promise.all([alice, bob].map((user) => user.post(HERE, { data: file })));
      const made = results.map((res) => ok(res, 201).conversations[0]);
      assert.equal(new Set(made.map((c) => c.id)).size, 2);
      assert.deepEqual(new Set(made.map((c) => c.slug)), new Set([file.slug, `${file.slug}-2`]));
    });
  });

  describe('what is bad', () => {
    const FAULTS = {
      id: [undefined, null, 7, 'x', ''],
      slug: ['', 'A', 'a--b', '-a', 'a_b', 'x'.repeat(121), crypto.randomUUID(), ...RESERVED],
      title: [undefined, null, 7, '', ' ', 'a\nb', 'x'.repeat(201)],
      description: [7, 'a\u0001b', 'x'.repeat(2001)],
      category: [null, 'x', 'General', 7],
      tags: [null, 'x', [''], [7], ['a\tb'], ['x'.repeat(51)], Array.from({ length: 21 }, (_, n) => `t${n}`)],
      provider: ['x', 7],
      model: ['', 'x'.repeat(101), 7, 'a\u007fb'],
      source: [null, 'x', 'auto', 'chronicle'],
      visibility: ['', 'x', 'Public'],
      userId: ['x', 7],
      author: [7],
      featured: [1],
      featuredAt: ['x'],
      viewCount: [-1, '1'],
      messageCount: [undefined, 0, 1, 3, 5001],
      version: [0, -1, 1.5, '1', null, 2 ** 31, 1e300],
      createdAt: [null, 7, '', 'yesterday', '2024-02-30T00:00:00Z', '2024-01-01T00:00:00', '1969-12-31T23:59:59Z'],
      updatedAt: [null, 'x', '10000-01-01T00:00:00Z'],
      messages: [[]],
      messagesNextCursor: [null, 'x'],
      other: [1],
    };
    const MESSAGE_FAULTS = {
      id: [undefined, null, 'x'],
      position: [undefined, 0, 2, -1, '1'],
      role: [undefined, 'x', 'User', null],
      content: [undefined, '', null, 7, 'a\u0000b', 'a\u0008', 'x'.repeat(200001)],
      model: ['', 7, 'x'.repeat(101)],
      createdAt: ['x', 7],
      other: [1],
    };

    it('is told by its field, and taken in nowhere', async () => {
      const { id, raw, file } = await gone(alice, {});
      const bad = [];
      for (const [key, values] of Object.entries(FAULTS)) for (const value of values) bad.push([key, { ...file, [key]: value }]);
      for (const [key, values] of Object.entries(MESSAGE_FAULTS))
        for (const value of values)
          bad.push([`messages[1].${key}`, { ...file, messages: [file.messages[0], { ...file.messages[1], [key]: value }] }]);
      bad.push(['messages[1]', { ...file, messages: [file.messages[0], null] }]);
      const list = [...bad.map(([, one]) => one), file];
      const got = ok(await upload(alice, json(list)), 201);
      assert.deepEqual(counts(got), [1, 0, bad.length]);
      assert.ok(bad.length > 90 && bad.length < 200);
      got.errors.forEach((error, n) => {
        assert.equal(error.index, n);
        assert.equal(/^(messages\[1\](\.\w+)?|\w+)(\[0\])?: [a-z]/.exec(error.message)?.[1], bad[n][0], error.message);
        if (typeof bad[n][1].title === 'string' && bad[n][0] !== 'title') assert.equal(error.title, 'A talk');
      });
      assert.deepEqual(await exported(alice, id), raw);
    });

    it('is more than 5000 messages, which are taken', async () => {
      const { id, file } = await gone(alice, {});
      const grow = (count) => ({
        ...file,
        messageCount: count,
        messages: Array.from({ length: count }, (_, position) => ({ ...file.messages[0], id: crypto.randomUUID(), position })),
      });
      const [most, more] = [grow(5000), grow(5001)];
      const got = ok(await upload(alice, json([more, most])), 201);
      assert.deepEqual(got.errors, [{ index: 0, title: 'A talk', message: 'messageCount: must be between 1 and 5000' }]);
      assert.deepEqual(JSON.parse(await exported(alice, id)), most);
    });

    it('is no export of ours without messages, slug and visibility', async () => {
      const { file } = await gone(alice, {});
      for (const key of ['messages', 'slug', 'visibility'])
        invalid(await alice.post(HERE, { data: { ...file, [key]: undefined } }), ['data', null]);
    });
  });

  it('may lie in the future, and lack what has a default', async () => {
    const { id, file } = await gone(alice, { category: 'science', tags: ['a'], provider: 'xai' });
    const { slug, title, visibility, messageCount, messages } = file;
    await take(alice, { id, slug, title, visibility, messageCount, messages, createdAt: '2999-01-01T00:00:00.5+01:00' });
    const got = JSON.parse(await exported(alice, id));
    const time = '2998-12-31T23:00:00.500Z';
    assert.deepEqual(got, { ...file, category: 'general', tags: [], provider: null, createdAt: time, updatedAt: time });
  });
});
