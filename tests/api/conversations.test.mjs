/* Conversations: fields, slugs, reading, changing, deleting, featuring (API.md section 11). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { at, CATEGORIES, converse, publish, PROVIDERS, TALK, talk } from './lib/conversations.mjs';
import { fails, invalid, NOWHERE, ok, parallel, tally, times } from './lib/expect.mjs';

const message = (fields = {}) => ({ role: 'user', content: 'Hello', ...fields });
const withMatch = (tag) => ({ headers: { 'if-match': tag } });

serverSuite('Conversations', {}, (s) => {
  let alice;
  let bob;
  let admin;
  const read = async (id, who = alice, query = '') => ok(await who.get(at(id, query)));
  const change = async (id, json, who = alice) => ok(await who.put(at(id), json));

  before(async () => {
    [alice, bob] = await s.users(2);
    admin = await newAdmin(s);
    ok(await alice.put('/user/profile', { fullName: 'Alice A', avatarUrl: 'https://example.com/a.png' }));
  });

  it('one with a title and a message only has all defaults', async () => {
    const res = await alice.post('/conversations', { title: '  Hello,\tWorld ', messages: [message()] });
    invalid(res, ['title', /^INVALID_/]);
    const made = await alice.post('/conversations', { title: '  Hello, World\t', messages: [message()] });
    const got = ok(made, 201);
    assert.match(got.id, UUIDV7);
    assert.match(got.createdAt, TIMESTAMP);
    assert.match(got.messages[0].id, UUIDV7);
    assert.deepEqual(got, {
      id: got.id,
      slug: 'hello-world',
      userId: alice.user.id,
      author: { id: alice.user.id, fullName: 'Alice A', avatarUrl: 'https://example.com/a.png' },
      title: 'Hello, World',
      description: null,
      category: 'general',
      tags: [],
      provider: null,
      model: null,
      source: 'api',
      visibility: 'private',
      featured: false,
      featuredAt: null,
      messageCount: 1,
      viewCount: 0,
      version: 1,
      createdAt: got.createdAt,
      updatedAt: got.createdAt,
      messages: [
        { id: got.messages[0].id, position: 0, role: 'user', content: 'Hello', model: null, createdAt: null },
      ],
      messagesNextCursor: null,
    });
    assert.equal(made.headers.location, `/api/v1/conversations/${got.id}`);
    assert.equal(made.headers.etag, '"v1"');
    const again = await alice.get(at(got.id));
    assert.deepEqual(ok(again), got);
    assert.equal(again.headers.etag, '"v1"');
    assert.equal(again.headers['cache-control'], 'private, no-cache');
  });

  it('all fields are stored and given back', async () => {
    const fields = {
      title: 'All 𝔘',
      slug: `all-${crypto.randomUUID().slice(0, 8)}`,
      description: ' Kept\r\n\tas it is ',
      category: 'science',
      tags: ['b', 'A', ' a ', 'É', 'é', 'B', 'c d'],
      provider: 'anthropic',
      model: 'claude-3',
      visibility: 'unlisted',
      messages: [
        { role: 'system', content: ' ', model: null, createdAt: null },
        { role: 'user', content: "<script>alert('x')</script>\r\n\u0085", createdAt: '2024-02-29T23:59:59.9999+05:30' },
        { role: 'assistant', content: '😀'.repeat(3), model: 'gpt-4o' },
        { role: 'tool', content: '{"a":"\\u0041 \\\\"}', createdAt: '1970-01-01T00:00:00Z' },
      ],
    };
    const got = await converse(alice, fields);
    const { messages, messagesNextCursor, ...rest } = got;
    const { messages: given, ...plain } = fields;
    assert.deepEqual(rest, { ...rest, ...plain, tags: ['b', 'a', 'é', 'c d'], messageCount: 4 });
    assert.equal(messagesNextCursor, null);
    const stamps = [null, '2024-02-29T18:29:59.999Z', null, '1970-01-01T00:00:00.000Z'];
    assert.deepEqual(
      messages,
      given.map((m, n) => ({
        id: messages[n].id,
        position: n,
        role: m.role,
        content: m.content,
        model: m.model ?? null,
        createdAt: stamps[n],
      })),
    );
    assert.equal(new Set(messages.map((m) => m.id)).size, 4);
    assert.deepEqual(await read(got.id), got);
  });

  const accepted = [
    ['null for what may be null', { description: null, provider: null, model: null }],
    ['an empty description', { description: '' }],
    ['a title of 200 code points', { title: '𝔘'.repeat(200) }],
    ['a description of 2000 code points', { description: '😀'.repeat(2000) }],
    ['a model of 100', { model: 'm'.repeat(100) }],
    ['20 tags of 50 code points', { tags: times(20, (n) => `${n}`.padEnd(50, 'ß')) }],
    ['a slug of 120', { slug: `a${'-b'.repeat(59)}c` }],
    ['a slug of digits', { slug: '0' }],
    ['markup and SQL in the title', { title: "</title><script>'; DROP TABLE conversations; -- ../" }],
    ['a text of 200000 code points', { messages: [message({ content: '😀'.repeat(200000) })] }],
    ['each role', { messages: ['user', 'assistant', 'system', 'tool'].map((role) => message({ role })) }],
    ...CATEGORIES.map((category) => [`category ${category}`, { category }]),
    ...PROVIDERS.map((provider) => [`provider ${provider}`, { provider }]),
    ...['private', 'unlisted', 'public'].map((visibility) => [`visibility ${visibility}`, { visibility }]),
  ];
  for (const [what, fields] of accepted) {
    it(`create and update accept ${what}`, async () => {
      const { messages = TALK, ...plain } = fields;
      const got = await converse(alice, fields);
      for (const [key, value] of Object.entries(plain)) assert.deepEqual(got[key], value, key);
      assert.deepEqual(
        got.messages.map((m) => [m.position, m.role, m.content]),
        messages.map((m, n) => [n, m.role, m.content]),
      );
      assert.deepEqual(await read(got.id), got);
      if (fields.slug) ok(await alice.del(at(got.id)));
      const other = await converse(alice, { title: 'Other' });
      const changed = await change(other.id, fields);
      for (const [key, value] of Object.entries(plain)) assert.deepEqual(changed[key], value, key);
      assert.equal(changed.messageCount, messages.length);
      assert.deepEqual(await read(other.id), changed);
      ok(await alice.del(at(other.id)));
    });
  }

  /* Fields, then the details of a creation and of an update alike. */
  const refused = [
    ['an empty title', { title: '' }, ['title', 'TOO_SHORT']],
    ['a title of white space', { title: ' \u3000\n' }, ['title', 'TOO_SHORT']],
    ['a title of 201', { title: '𝔘'.repeat(201) }, ['title', 'TOO_LONG']],
    ['a null title', { title: null }, ['title', 'WRONG_TYPE']],
    ['a line break in the title', { title: 'a\nb' }, ['title', /^INVALID_/]],
    ['a description of 2001', { description: '😀'.repeat(2001) }, ['description', 'TOO_LONG']],
    ['a bell in the description', { description: '\u0007' }, ['description', /^INVALID_/]],
    ['an unknown category', { category: 'General' }, ['category', 'INVALID_VALUE']],
    ['a null category', { category: null }, ['category', 'WRONG_TYPE']],
    ['an unknown provider', { provider: 'OpenAI' }, ['provider', 'INVALID_VALUE']],
    ['an empty model', { model: '' }, ['model', 'TOO_SHORT']],
    ['a model of 101', { model: 'm'.repeat(101) }, ['model', 'TOO_LONG']],
    ['an unknown visibility', { visibility: 'hidden' }, ['visibility', 'INVALID_VALUE']],
    ['a null visibility', { visibility: null }, ['visibility', 'WRONG_TYPE']],
    ['21 tags', { tags: times(21, String) }, ['tags', 'TOO_MANY']],
    ['null tags', { tags: null }, ['tags', 'WRONG_TYPE']],
    ['bad tags', { tags: ['', 1, 'x'.repeat(51)] }, ['tags[0]', 'TOO_SHORT'], ['tags[1]', 'WRONG_TYPE'], ['tags[2]', 'TOO_LONG']],
    ['no messages in the array', { messages: [] }, ['messages', 'TOO_FEW']],
    ['null messages', { messages: null }, ['messages', 'WRONG_TYPE']],
    ['5001 messages', { messages: times(5001, () => message({ content: 'x' })) }, ['messages', 'TOO_MANY']],
    ['an empty text', { messages: [message(), message({ content: '' })] }, ['messages[1].content', 'TOO_SHORT']],
    ['a text of 200001', { messages: [message({ content: '😀'.repeat(200001) })] }, ['messages[0].content', 'TOO_LONG']],
    ['a control character in a text', { messages: [message({ content: 'a\u001bb' })] }, ['messages[0].content', /^INVALID_/]],
    [
      'messages with faults, each named',
      { messages: [{ role: 'human', content: null }, 'x', { model: '', createdAt: 'now', position: 1 }] },
      ['messages[0].role', 'INVALID_VALUE'],
      ['messages[0].content', 'WRONG_TYPE'],
      ['messages[1]', 'WRONG_TYPE'],
      ['messages[2].model', 'TOO_SHORT'],
      ['messages[2].createdAt', 'INVALID_FORMAT'],
      ['messages[2].position', 'UNKNOWN_FIELD'],
      ['messages[2].role', 'MISSING_FIELD'],
      ['messages[2].content', 'MISSING_FIELD'],
    ],
    ['an empty slug', { slug: '' }, ['slug', /^(TOO_SHORT|INVALID_FORMAT)$/]],
    ['a null slug', { slug: null }, ['slug', 'WRONG_TYPE']],
    ['a slug of 121', { slug: 'a'.repeat(121) }, ['slug', 'TOO_LONG']],
    ...['A', 'a_b', '-a', 'a-', 'a--b', 'é', 'a b', 'a/b'].map((slug) => [
      `the slug "${slug}"`,
      { slug },
      ['slug', 'INVALID_FORMAT'],
    ]),
    ...[
      ...['featured', 'categories', 'search', 'stats', 'import', 'imports'],
      NOWHERE,
      '00000000-0000-0000-0000-000000000000',
    ].map((slug) => [`the reserved slug "${slug}"`, { slug }, ['slug', /^INVALID_/]]),
    ...['id', 'userId', 'author', 'source', 'featured', 'featuredAt', 'messageCount', 'viewCount', 'version', 'createdAt'].map(
      (name) => [`${name}`, { [name]: 1 }, [name, 'UNKNOWN_FIELD']],
    ),
  ];
  for (const [what, fields, ...details] of refused) {
    it(`create and update refuse ${what}`, async () => {
      invalid(await alice.post('/conversations', talk(fields)), ...details);
      const [{ id }] = await s.sql('SELECT id FROM conversations WHERE user_id = $1 LIMIT 1', [alice.user.id]);
      invalid(await alice.put(at(id), fields), ...details);
    });
  }

  it('title and messages must be there', async () => {
    invalid(await alice.post('/conversations', {}), ['title', 'MISSING_FIELD'], ['messages', 'MISSING_FIELD']);
    fails(await alice.post('/conversations'), 400, 'MALFORMED_JSON');
  });

  it('PUT and PATCH change only what is given, and a change of nothing is none', async () => {
    const first = await converse(alice, { description: 'd', tags: ['x'], model: 'm', provider: 'xai' });
    const res = await alice.put(at(first.id), { description: null, tags: ['Y', 'y'] });
    const second = ok(res);
    assert.deepEqual(second, { ...first, description: null, tags: ['y'], version: 2, updatedAt: second.updatedAt });
    assert.ok(second.updatedAt >= first.updatedAt);
    assert.equal(res.headers.etag, '"v2"');
    const third = ok(await alice.patch(at(first.id), { title: 'Other title', category: 'other' }));
    assert.deepEqual(third, {
      ...second,
      title: 'Other title',
      category: 'other',
      version: 3,
      updatedAt: third.updatedAt,
    });
    for (const same of [{}, { title: 'Other title' }, { tags: ['Y'], slug: third.slug, model: 'm' }]) {
      const again = await alice.put(at(first.id), same);
      assert.deepEqual(ok(again), third, JSON.stringify(same));
      assert.equal(again.headers.etag, '"v3"');
    }
    assert.deepEqual(await read(first.id), third);
  });

  it('messages are replaced as a whole, counted from 0', async () => {
    const first = await converse(alice, { messages: times(5, (n) => message({ content: `old ${n}` })) });
    const second = await change(first.id, { messages: [message({ content: 'new', role: 'tool', model: 'm' })] });
    assert.equal(second.version, 2);
    assert.equal(second.messageCount, 1);
    assert.deepEqual(second.messages, [
      { id: second.messages[0].id, position: 0, role: 'tool', content: 'new', model: 'm', createdAt: null },
    ]);
    const third = await change(first.id, { messages: times(7, (n) => message({ content: `third ${n}` })) });
    assert.deepEqual(
      third.messages.map((m) => [m.position, m.content]),
      times(7, (n) => [n, `third ${n}`]),
    );
    assert.deepEqual(await read(first.id), third);
    const [{ n }] = await s.sql('SELECT count(*)::int AS n FROM conversation_messages WHERE conversation_id = $1', [
      first.id,
    ]);
    assert.equal(n, 7);
  });

  it('the same messages again are no change', async () => {
    const first = await converse(alice);
    assert.deepEqual(await change(first.id, { messages: TALK }), first);
  });

  it('writing is for the owner and admins; to others it is not there, public or not', async () => {
    for (const visibility of ['private', 'unlisted', 'public']) {
      const made = await converse(alice, { visibility });
      for (const id of [made.id, NOWHERE]) {
        fails(await bob.put(at(id), { title: 'Mine' }), 404, 'CONVERSATION_NOT_FOUND');
        fails(await bob.put(at(id), {}), 404, 'CONVERSATION_NOT_FOUND');
        fails(await bob.del(at(id)), 404, 'CONVERSATION_NOT_FOUND');
        fails(await s.anon.put(at(id), {}), 401, 'AUTHENTICATION_REQUIRED');
        fails(await s.anon.del(at(id)), 401, 'AUTHENTICATION_REQUIRED');
      }
      assert.deepEqual(await read(made.id), made);
      const changed = await change(made.id, { title: 'By the admin' }, admin);
      assert.equal(changed.userId, alice.user.id);
      assert.equal(changed.version, 2);
      assert.deepEqual(ok(await admin.del(at(made.id))), { id: made.id });
      fails(await alice.get(at(made.id)), 404, 'CONVERSATION_NOT_FOUND');
    }
  });

  it('delete is for ever', async () => {
    const made = await publish(alice);
    const res = await alice.del(at(made.id));
    assert.deepEqual(ok(res), { id: made.id });
    assert.equal(res.headers.etag, undefined);
    for (const method of ['GET', 'PUT', 'DELETE']) {
      fails(await alice.api(method, at(made.id)), 404, 'CONVERSATION_NOT_FOUND');
    }
    fails(await alice.get(at(made.slug)), 404, 'CONVERSATION_NOT_FOUND');
    const left = await s.sql('SELECT 1 FROM conversation_messages WHERE conversation_id = $1', [made.id]);
    assert.equal(left.length, 0);
  });

  it('paths name one by UUID in either case; only reading takes a slug', async () => {
    const made = await converse(alice);
    for (const id of [made.id, made.id.toUpperCase(), made.slug]) assert.deepEqual(await read(id), made);
    assert.equal((await change(made.id.toUpperCase(), { title: 'Upper' })).title, 'Upper');
    invalid(await alice.put(at(made.slug), {}), ['id', 'INVALID_FORMAT']);
    invalid(await alice.del(at(made.slug)), ['id', 'INVALID_FORMAT']);
    invalid(await admin.patch(at(made.slug, '/featured'), {}), ['id', 'INVALID_FORMAT']);
    for (const bad of ['A', 'a_b', '-a', 'a-', 'a--b', 'a%20b', '%C3%A9', 'a'.repeat(121), `${made.id}x`.toUpperCase()]) {
      invalid(await alice.get(at(bad)), ['idOrSlug', 'INVALID_FORMAT']);
      invalid(await alice.get(at(bad, '/export')), ['idOrSlug', 'INVALID_FORMAT']);
    }
    fails(await alice.get(at('a'.repeat(120))), 404, 'CONVERSATION_NOT_FOUND');
    fails(await alice.get(at(`${made.id}0`)), 404, 'CONVERSATION_NOT_FOUND');
  });

  it('If-Match guards changes, deletion and featuring', async () => {
    const made = await publish(alice);
    for (const send of [
      () => alice.put(at(made.id), { title: 'x' }, withMatch('"v2"')),
      () => alice.patch(at(made.id), {}, withMatch('"v0", W/"v1"')),
      () => alice.del(at(made.id), withMatch('"v9"')),
      () => admin.patch(at(made.id, '/featured'), {}, withMatch('"v2"')),
    ]) {
      const error = fails(await send(), 412, 'PRECONDITION_FAILED', [['if-match', 'CONFLICT']]);
      assert.equal(error.details[0].message, 'current version is v1');
    }
    assert.deepEqual(await read(made.id), made);
    ok(await admin.patch(at(made.id, '/featured'), {}, withMatch('"v1"')));
    ok(await alice.put(at(made.id), { title: 'x' }, withMatch('"v7", "v2"')));
    ok(await alice.del(at(made.id), withMatch('*')));
  });

  it('16 parallel changes of one version: one wins', async () => {
    const { id } = await converse(alice);
    const all = await parallel(16, (n) => alice.put(at(id), { title: `t ${n}` }, withMatch('"v1"')));
    assert.deepEqual(tally(all.map((res) => res.status)), { 200: 1, 412: 15 });
    assert.equal((await read(id)).version, 2);
  });

  it('16 parallel replacements of the messages leave those of one', async () => {
    const { id } = await converse(alice);
    await parallel(16, async (n) => change(id, { messages: times(n + 1, () => message({ content: `by ${n}` })) }));
    const got = await read(id);
    assert.equal(got.version, 17);
    assert.equal(got.messages.length, got.messageCount);
    assert.deepEqual(new Set(got.messages.map((m) => m.content)), new Set([`by ${got.messageCount - 1}`]));
  });

  it('If-None-Match answers 304 to who has it', async () => {
    const { id, slug } = await publish(alice);
    for (const who of [alice, bob, s.anon]) {
      for (const path of [at(id), at(slug), at(id, '?messages=false')]) {
        for (const tag of ['"v1"', 'W/"v1"', '"v0", "v1"', '*']) {
          const res = await who.get(path, { headers: { 'if-none-match': tag } });
          assert.equal(res.status, 304, tag);
          assert.equal(res.headers.etag, '"v1"');
        }
        assert.equal((await who.get(path, { headers: { 'if-none-match': '"v2"' } })).status, 200);
      }
    }
  });

  it('an Idempotency-Key makes one of several equal creations', async () => {
    const key = { headers: { 'idempotency-key': crypto.randomUUID() } };
    const json = talk({ title: crypto.randomUUID() });
    const first = await alice.post('/conversations', json, key);
    ok(first, 201);
    const again = await alice.post('/conversations', json, key);
    assert.equal(again.headers['idempotent-replayed'], 'true');
    assert.equal(again.text, first.text);
    assert.equal(again.headers.location, first.headers.location);
    fails(await alice.post('/conversations', talk(), key), 422, 'IDEMPOTENCY_MISMATCH');
    const [{ n }] = await s.sql('SELECT count(*)::int AS n FROM conversations WHERE title = $1', [json.title]);
    assert.equal(n, 1);
  });

  it('featuring: by admins, set or toggled, with a version of its own and a trace', async () => {
    const made = await publish(alice);
    const feature = (json, who = admin) => who.patch(at(made.id, '/featured'), json);
    fails(await feature({}, s.anon), 401, 'AUTHENTICATION_REQUIRED');
    fails(await feature({}, alice), 403, 'FORBIDDEN');
    fails(await alice.patch(at(NOWHERE, '/featured'), {}), 403, 'FORBIDDEN');
    fails(await admin.patch(at(NOWHERE, '/featured'), {}), 404, 'CONVERSATION_NOT_FOUND');
    invalid(await feature({ featured: 1 }), ['featured', 'WRONG_TYPE']);
    invalid(await feature({ featured: null }), ['featured', 'WRONG_TYPE']);
    const res = await feature();
    const on = ok(res);
    assert.equal(res.headers.etag, '"v2"');
    assert.match(on.featuredAt, TIMESTAMP);
    assert.deepEqual([on.id, on.featured, on.version], [made.id, true, 2]);
    const same = ok(await feature({ featured: true }));
    assert.deepEqual([same.featuredAt, same.version], [on.featuredAt, 2]);
    const off = ok(await feature({}));
    assert.deepEqual([off.featured, off.featuredAt, off.version], [false, null, 3]);
    assert.equal(ok(await feature({ featured: false })).version, 3);
    assert.equal(ok(await feature({ featured: true })).version, 4);
    const got = await read(made.id);
    assert.deepEqual([got.featured, got.version], [true, 4]);
    const rows = await s.sql("SELECT * FROM audit_logs WHERE action = 'conversation.feature' AND target_id = $1", [
      made.id,
    ]);
    assert.equal(rows.length, 3);
    assert.ok(rows.every((row) => row.actor_id === admin.user.id));
  });

  it('only what is public can be featured, and leaving public ends it', async () => {
    for (const visibility of ['private', 'unlisted']) {
      const { id } = await converse(alice, { visibility });
      fails(await admin.patch(at(id, '/featured'), {}), 409, 'NOT_PUBLIC');
      fails(await admin.patch(at(id, '/featured'), { featured: true }), 409, 'NOT_PUBLIC');
      assert.equal(ok(await admin.patch(at(id, '/featured'), { featured: false })).version, 1);
      await change(id, { visibility: 'public' });
      assert.equal(ok(await admin.patch(at(id, '/featured'), {})).featured, true);
      const left = await change(id, { visibility });
      assert.deepEqual([left.featured, left.featuredAt, left.version], [false, null, 4]);
      assert.equal((await change(id, { visibility: 'public' })).featured, false);
    }
  });

  /* What, request, expected status and code: the earlier of two faults answers (1.5). */
  const order = [
    ['7 before 11: no credential, wrong type', () => s.anon.api('POST', '/conversations', { body: 'x', type: 'text/plain' }), 401],
    ['5 before 7: a wrong method', () => s.anon.del('/conversations'), 405],
    ['10 before 13: no admin, bad id', () => alice.patch(at('x', '/featured'), { featured: 1 }), 403],
    ['11 before 12: wrong type, no JSON', () => alice.api('POST', '/conversations', { body: '{', type: 'text/plain' }), 415],
    ['12 before 13: no JSON, bad query', () => alice.api('POST', '/conversations?x=1', { body: '{' }), 400],
    ['13 before 15: unknown field, nowhere', () => alice.put(at(NOWHERE), { x: 1 }), 400],
    ['15 before 17: nowhere, stale', () => alice.put(at(NOWHERE), {}, withMatch('"v9"')), 404],
    ['15 before 17: of another, stale', async () => bob.del(at((await publish(alice)).id), withMatch('"v9"')), 404],
    [
      '17 before 18: stale, slug taken',
      async () => alice.put(at((await converse(alice)).id), { slug: (await converse(bob)).slug }, withMatch('"v9"')),
      412,
    ],
    [
      '17 before 18: stale, not public',
      async () => admin.patch(at((await converse(alice)).id, '/featured'), {}, withMatch('"v9"')),
      412,
    ],
  ];
  for (const [what, send, status] of order) {
    it(what, async () => {
      assert.equal((await send()).status, status);
    });
  }
});

serverSuite('Without conversations', { directives: ['ChronicleFeature conversations Off'] }, (s) => {
  it('their paths are unknown', async () => {
    for (const path of ['', '/featured', '/stats', '/some-slug']) {
      fails(await s.anon.get(`/conversations${path}`), 404, 'ROUTE_NOT_FOUND');
    }
  });
});
