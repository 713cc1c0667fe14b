/* Who may read a conversation, in which pieces, how views are counted, and exports (API.md section 11). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { sleep, until } from './lib/env.mjs';
import { exported } from './lib/exports.mjs';
import { at, converse, insideHour, inTurns, itemOf, publish, TALK, uniqueWord } from './lib/conversations.mjs';
import { fails, ids, invalid, measured, NOWHERE, ok, parallel, times } from './lib/expect.mjs';

const via = (address) => ({ headers: { 'x-forwarded-for': address } });
const many = (n) => times(n, (k) => ({ role: k % 2 ? 'assistant' : 'user', content: `message ${k}` }));

const options = {
  modules: ['remoteip'],
  directives: ['RemoteIPHeader X-Forwarded-For', 'RemoteIPInternalProxy 127.0.0.1'],
};

serverSuite('Reading conversations', options, (s) => {
  let alice;
  let bob;
  let admin;
  const views = async (c) => ok(await alice.get(at(c.id, '?messages=false'))).viewCount;
  /* The number of views, once they are all counted. */
  const viewsAre = async (c, n) => {
    await until(async () => (await views(c)) >= n, 3000, `${n} views`);
    await sleep(100);
    assert.equal(await views(c), n);
  };

  before(async () => {
    [alice, bob] = await s.users(2);
    admin = await newAdmin(s);
    ok(await alice.put('/user/profile', { fullName: 'Alice A' }));
  });

  it('a private one is there for its owner and admins only', async () => {
    const made = await converse(alice);
    for (const path of [at(made.id), at(made.slug), at(made.id.toUpperCase()), at(made.id, '/export')]) {
      for (const who of [bob, s.anon]) {
        const res = await who.get(path);
        fails(res, 404, 'CONVERSATION_NOT_FOUND');
        assert.equal(res.headers.etag, undefined);
        assert.equal((await who.get(path, { headers: { 'if-none-match': '"v1"' } })).status, 404);
      }
      for (const who of [alice, admin]) assert.equal((await who.get(path)).status, 200);
    }
    assert.equal((await admin.get(at(made.id))).headers['cache-control'], 'private, no-cache');
    await s.sql("UPDATE users SET role = 'manager' WHERE id = $1", [bob.user.id]);
    fails(await bob.get(at(made.id)), 404, 'CONVERSATION_NOT_FOUND');
    await s.sql("UPDATE users SET role = 'user' WHERE id = $1", [bob.user.id]);
  });

  it('an unlisted one is there for all who know its name, and shows nowhere else', async () => {
    const w = uniqueWord();
    const numbers = async () => {
      const stats = ok(await s.anon.get('/conversations/stats'));
      const { items } = ok(await s.anon.get('/conversations/categories'));
      return [stats.totalConversations, stats.totalMessages, stats.byProvider, stats.byModel, stats.byMonth, items];
    };
    const earlier = await numbers();
    for (const visibility of ['unlisted', 'private']) {
      const made = await converse(alice, { title: w, visibility, provider: 'meta', model: 'llama', tags: [w] });
      for (const who of [s.anon, bob]) {
        assert.equal((await who.get(at(made.id))).status, visibility === 'unlisted' ? 200 : 404);
        assert.equal((await who.get(at(made.slug))).status, visibility === 'unlisted' ? 200 : 404);
        for (const path of ['?limit=100', `?tag=${w}`, '?provider=meta', `?author=${alice.user.id}`, `/search?q=${w}`]) {
          const { items, pagination } = ok(await who.get(`/conversations${path}`));
          assert.ok(!ids(items).includes(made.id), path);
          assert.equal(pagination.total, items.length, path);
        }
        assert.ok(!ids(ok(await who.get('/conversations/featured?limit=100')).items).includes(made.id));
      }
      assert.deepEqual(await numbers(), earlier);
    }
  });

  it('what is private and what is missing take the same time', { timeout: 240000 }, async () => {
    const { id, slug } = await converse(alice, { messages: many(500) });
    for (const [there, missing] of [
      [id, NOWHERE],
      [slug, 'no-such-slug-here'],
    ]) {
      for (const who of [bob, s.anon]) {
        const ask = (name) => async () => fails(await who.get(at(name)), 404, 'CONVERSATION_NOT_FOUND');
        await measured(async () => {
          const [one, other] = await inTurns(200, ask(there), ask(missing));
          assert.ok(one < 1.5 * other + 0.3 && other < 1.5 * one + 0.3, `${one} ms and ${other} ms`);
        });
      }
    }
  });

  it('reading is the same for all, by id and slug; anonymous answers are kept', async () => {
    const made = await publish(alice, { messages: many(3) });
    for (const path of [at(made.id), at(made.slug), at(made.id.toUpperCase())]) {
      for (const who of [s.anon, bob, alice, admin]) {
        const res = await who.get(path);
        assert.deepEqual(ok(res).messages, made.messages);
        assert.deepEqual({ ...itemOf(ok(res)), viewCount: 0 }, itemOf(made));
        if (who === s.anon) assert.equal(res.headers['cache-control'], 'public, no-cache');
        assert.equal(res.headers.etag, '"v1"');
      }
    }
    await until(async () => (await s.anon.get(at(made.id))).headers['x-cache'] === 'HIT', 5000, 'it is kept');
    const [first, second] = [await s.anon.get(at(made.id)), await s.anon.get(at(made.id))];
    assert.equal(second.headers['x-cache'], 'HIT');
    assert.equal(second.text, first.text);
    assert.equal(second.headers.etag, '"v1"');
    assert.notEqual(second.headers['x-request-id'], first.headers['x-request-id']);
  });

  it('messages come in pages, in their order, each whole', async () => {
    const made = await publish(alice, { messages: many(25) });
    for (const who of [alice, s.anon]) {
      for (const [limit, name] of [
        [1, made.id],
        [7, made.slug],
        [25, made.id],
        [500, made.id],
      ]) {
        const seen = [];
        let pages = 0;
        for (let cursor = ''; cursor !== null; pages += 1) {
          const res = await who.get(at(name, `?messagesLimit=${limit}&messagesCursor=${encodeURIComponent(cursor)}`));
          const part = ok(res);
          assert.equal(res.headers.etag, '"v1"');
          assert.deepEqual({ ...itemOf(part), viewCount: 0 }, itemOf(made));
          seen.push(...part.messages);
          cursor = part.messagesNextCursor;
        }
        assert.deepEqual(seen, made.messages);
        assert.equal(pages, Math.ceil(25 / limit));
      }
    }
    const without = ok(await s.anon.get(at(made.id, '?messages=false')));
    assert.equal('messages' in without, false);
    assert.equal(without.messageCount, 25);
  });

  it('by default 500 messages, after a write as well', async () => {
    const made = await publish(alice, { messages: many(501) });
    assert.equal(made.messages.length, 500);
    assert.equal(made.messageCount, 501);
    const changed = ok(await alice.put(at(made.id), { title: 'Five hundred and two', messages: many(502) }));
    assert.deepEqual([changed.messages.length, changed.messageCount], [500, 502]);
    assert.deepEqual(ok(await alice.get(at(made.id))), changed);
    const rest = ok(await s.anon.get(at(made.slug, `?messagesCursor=${encodeURIComponent(changed.messagesNextCursor)}`)));
    assert.deepEqual(
      rest.messages.map((m) => m.position),
      [500, 501],
    );
    assert.equal(rest.messagesNextCursor, null);
  });

  it('refuses what is not in its query', async () => {
    const made = await publish(alice, { messages: many(3) });
    const other = await publish(alice, { messages: many(3) });
    const cursor = ok(await alice.get(at(other.id, '?messagesLimit=1'))).messagesNextCursor;
    for (const [text, field] of [
      ['messages=0', 'messages'],
      ['messagesLimit=0', 'messagesLimit'],
      ['messagesLimit=501', 'messagesLimit'],
      ['messagesLimit=1.5', 'messagesLimit'],
      ['messagesCursor=x', 'messagesCursor'],
      [`messagesCursor=${'x'.repeat(513)}`, 'messagesCursor'],
      [`messagesCursor=${encodeURIComponent(cursor)}`, 'messagesCursor'],
      [`messagesCursor=${encodeURIComponent(`${cursor}A`)}`, 'messagesCursor'],
      ['page=1', 'page'],
      ['deleted=true', 'deleted'],
    ]) {
      for (const who of [alice, s.anon]) invalid(await who.get(at(made.id, `?${text}`)), [field, null]);
    }
    assert.equal(ok(await alice.get(at(other.id, `?messagesCursor=${encodeURIComponent(cursor)}`))).messages.length, 2);
  });

  it('one of 5,000 messages opens as fast as one of ten', { timeout: 120000 }, async () => {
    const long = await publish(alice, { title: 'Long', messages: many(5000) });
    const short = await publish(alice, { title: 'Short', messages: many(10) });
    assert.equal(long.messageCount, 5000);
    const open = (c) => async () => assert.equal(ok(await alice.get(at(c.id, '?messagesLimit=10'))).messages.length, 10);
    await measured(async () => {
      const [slow, fast] = await inTurns(100, open(long), open(short));
      assert.ok(slow < 2 * fast, `${slow} ms and ${fast} ms`);
    });
    const seen = [];
    for (let cursor = ''; cursor !== null;) {
      const part = ok(await bob.get(at(long.slug, `?messagesCursor=${encodeURIComponent(cursor)}`)));
      seen.push(...part.messages);
      cursor = part.messagesNextCursor;
    }
    assert.deepEqual(
      seen.map((m) => [m.position, m.content]),
      many(5000).map((m, n) => [n, m.content]),
    );
    const json = JSON.parse((await s.anon.get(at(long.id, '/export?format=json'))).text);
    assert.deepEqual(json.messages, seen);
  });

  it('a view counts once per viewer and hour', async () => {
    await insideHour(60);
    const made = await publish(alice);
    for (let n = 0; n < 3; n += 1) ok(await alice.get(at(made.id)));
    await viewsAre(made, 0);
    for (let n = 0; n < 3; n += 1) ok(await bob.get(at(made.id)));
    await viewsAre(made, 1);
    ok(await bob.get(at(made.slug, '?messages=false')));
    ok(await bob.get(at(made.slug), via('203.0.113.77')));
    await viewsAre(made, 1);
    for (let n = 0; n < 4; n += 1) ok(await s.anon.get(at(made.id), via('203.0.113.1')));
    await viewsAre(made, 2);
    for (const address of ['203.0.113.2', '203.0.113.3', '2001:db8::1']) {
      for (let n = 0; n < 3; n += 1) ok(await s.anon.get(at(made.slug), via(address)));
    }
    await viewsAre(made, 5);
    ok(await admin.get(at(made.id)));
    await viewsAre(made, 6);
    await parallel(20, () => s.anon.get(at(made.id), via('203.0.113.4')));
    await viewsAre(made, 7);
    await parallel(20, (n) => s.anon.get(at(made.id), via(`198.51.100.${n}`)));
    await viewsAre(made, 27);
  });

  it('a view counts for what has the slug now', async () => {
    const slug = uniqueWord();
    for (let n = 0; n < 3; n += 1) {
      const made = await publish(alice, { slug });
      ok(await bob.get(at(slug)));
      ok(await s.anon.get(at(slug), via('203.0.113.99')));
      ok(await s.anon.get(at(slug), via('203.0.113.99')));
      await viewsAre(made, 2);
      ok(n ? await alice.del(at(made.id)) : await alice.put(at(made.id), { slug: `${slug}-was` }));
    }
  });

  it('only a single GET that answers 200 counts; version, ETag and updatedAt stay', async () => {
    await insideHour(60);
    const made = await publish(alice);
    let n = 0;
    const from = (headers = {}) => {
      n += 1;
      return { headers: { 'x-forwarded-for': `192.0.2.${n}`, ...headers } };
    };
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await s.anon.api('HEAD', at(made.id), from())).status, 200);
      assert.equal((await s.anon.get(at(made.id), from({ 'if-none-match': '"v1"' }))).status, 304);
      assert.equal((await s.anon.get(at(made.id, '?x=1'), from())).status, 400);
      ok(await s.anon.get(at(made.id, '/export'), from()));
      ok(await s.anon.get(`/conversations?author=${alice.user.id}`, from()));
    }
    await sleep(300);
    await viewsAre(made, 0);
    ok(await s.anon.get(at(made.id), from({ 'if-none-match': '"v7"' })));
    await viewsAre(made, 1);
    assert.deepEqual(ok(await alice.get(at(made.id))), { ...made, viewCount: 1 });
    assert.equal((await s.anon.get(at(made.id), from({ 'if-none-match': '"v1"' }))).status, 304);
    await viewsAre(made, 1);
  });

  it('exports it as Markdown, byte for byte', async () => {
    const made = await publish(alice, {
      title: 'Title & <b>',
      description: 'First line\n\nsecond: é😀',
      category: 'programming',
      tags: ['b', 'a a'],
      model: 'gpt-4o',
      messages: [
        { role: 'user', content: '# Not a title\n\n```js\nlet x = "<";\n```' },
        { role: 'assistant', content: ' kept \t' },
        { role: 'system', content: 's' },
        { role: 'tool', content: '{}' },
      ],
    });
    for (const [path, who] of [
      [at(made.id, '/export'), s.anon],
      [at(made.slug, '/export?format=markdown'), bob],
      [at(made.id, '/export?format='), alice],
    ]) {
      const res = await who.get(path);
      assert.equal(res.status, 200, res.text);
      assert.equal(
        res.text,
        [
          '# Title & <b>\n\nFirst line\n\nsecond: é😀\n\n- Category: programming\n- Tags: b, a a\n- Model: gpt-4o\n',
          `- Created: ${made.createdAt}\n\n## User\n\n# Not a title\n\n\`\`\`js\nlet x = "<";\n\`\`\`\n`,
          '\n## Assistant\n\n kept \t\n\n## System\n\ns\n\n## Tool\n\n{}\n',
        ].join(''),
      );
      assert.equal(res.headers['content-type'], 'text/markdown; charset=utf-8');
      assert.equal(res.headers['content-disposition'], `attachment; filename="${made.slug}.md"`);
    }
    const plain = await converse(alice, { title: 'Plain', messages: [{ role: 'user', content: 'x' }] });
    assert.equal(
      (await alice.get(at(plain.id, '/export'))).text,
      `# Plain\n\n- Category: general\n- Created: ${plain.createdAt}\n\n## User\n\nx\n`,
    );
  });

  it('exports it as JSON: the bare conversation with all messages', async () => {
    const made = await converse(alice, { messages: many(501), tags: ['t'] });
    const res = await alice.get(at(made.slug, '/export?format=json'));
    assert.equal(res.status, 200, res.text);
    assert.match(res.headers['content-type'], /^application\/json(; charset=utf-8)?$/);
    assert.equal(res.headers['content-disposition'], `attachment; filename="${made.slug}.json"`);
    const { messages, ...rest } = JSON.parse(res.text);
    assert.deepEqual(rest, itemOf(made));
    assert.equal(messages.length, 501);
    assert.deepEqual(messages.slice(0, 500), made.messages);
    assert.equal(messages[500].position, 500);
    invalid(await alice.get(at(made.id, '/export?format=html')), ['format', 'INVALID_VALUE']);
    invalid(await alice.get(at(made.id, '/export?messages=false')), ['messages', 'UNKNOWN_FIELD']);
    fails(await alice.get(at(NOWHERE, '/export')), 404, 'CONVERSATION_NOT_FOUND');
    fails(await alice.get(at('no-such-slug', '/export')), 404, 'CONVERSATION_NOT_FOUND');
    fails(await s.anon.post(at(made.id, '/export'), {}), 405, 'METHOD_NOT_ALLOWED');
  });

  it('an export that changed in the meantime is the changed one', async () => {
    const made = await publish(alice, { title: 'Before' });
    for (let n = 0; n < 2; n += 1) assert.match((await s.anon.get(at(made.id, '/export'))).text, /^# Before\n/);
    ok(await alice.put(at(made.id), { title: 'After' }));
    assert.match((await s.anon.get(at(made.id, '/export'))).text, /^# After\n/);
    ok(await alice.put(at(made.id), { visibility: 'private' }));
    fails(await s.anon.get(at(made.id, '/export')), 404, 'CONVERSATION_NOT_FOUND');
  });

  it('the export of an account holds its conversations, all of them and nobody else\'s', { timeout: 60000 }, async () => {
    const carol = await s.user();
    const made = [];
    for (const visibility of ['private', 'unlisted', 'public']) {
      made.push(await converse(carol, { title: `Of ${visibility}`, visibility, messages: many(3) }));
    }
    await publish(alice, { title: 'Not of Carol' });
    const { json, entries } = await exported(carol, { format: 'zip' });
    assert.deepEqual(ids(json.conversations).sort(), ids(made).sort());
    for (const one of made) {
      const got = json.conversations.find((c) => c.id === one.id);
      assert.equal(got.title, one.title);
      assert.deepEqual(
        got.messages.map((m) => m.content),
        one.messages.map((m) => m.content),
      );
      const entry = entries.find((e) => e.name === `conversations/${one.slug}.md`);
      assert.ok(entry, `conversations/${one.slug}.md`);
      const text = (await carol.get(at(one.id, '/export'))).text;
      assert.equal(entry.data.toString(), text);
    }
  });

  it('an account takes its conversations with it', async () => {
    const carol = await s.user();
    const made = await publish(carol, { title: 'Of Carol', messages: TALK });
    ok(await s.anon.get(at(made.id)));
    const res = await carol.api('DELETE', '/user/account', { json: { password: carol.password } });
    ok(res);
    for (const who of [s.anon, alice, admin]) fails(await who.get(at(made.id)), 404, 'CONVERSATION_NOT_FOUND');
    assert.deepEqual(ok(await s.anon.get(`/conversations?author=${made.userId}`)).items, []);
    const left = await s.sql('SELECT 1 FROM conversation_messages WHERE conversation_id = $1', [made.id]);
    assert.equal(left.length, 0);
    assert.equal((await publish(alice, { title: 'Of Carol' })).slug, made.slug, 'the slug is free again');
  });
});

/* Without memory of its own, the server asks the database who has looked. */
const forgetful = { ...options, directives: [...options.directives, 'ChronicleCacheSize 0'] };
serverSuite('Views of conversations by the hour', forgetful, (s) => {
  it('who comes again in another hour counts again', async () => {
    await insideHour(60);
    const [alice, bob] = await s.users(2);
    const made = await publish(alice);
    const count = async () => ok(await alice.get(at(made.id))).viewCount;
    for (const expected of [2, 4, 6]) {
      for (let n = 0; n < 3; n += 1) {
        for (const name of [made.id, made.slug]) {
          ok(await bob.get(at(name)));
          ok(await s.anon.get(at(name), via('203.0.113.1')));
        }
      }
      await until(async () => (await count()) >= expected, 3000, 'they are counted');
      await sleep(100);
      assert.equal(await count(), expected);
      await s.sql("UPDATE conversation_views SET hour = hour - interval '1 hour'");
    }
    const rows = await s.sql('SELECT DISTINCT viewer_hash FROM conversation_views');
    assert.equal(rows.length, 2);
    assert.ok(rows.every((row) => /^[0-9a-f]{64}$/.test(row.viewer_hash)), 'nobody is named');
  });
});
