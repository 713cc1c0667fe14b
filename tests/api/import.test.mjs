/* Imports of conversations: what is taken of other products' exports, what is skipped, what is refused. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { until } from './lib/env.mjs';
import { fails, invalid, NOWHERE, ok, parallel } from './lib/expect.mjs';
import { chatgpt, claude, many, said, spoken } from './lib/talks.mjs';

const HERE = '/conversations/import';
const EMPTY = { imported: 0, skipped: 0, failed: 0, conversations: [], errors: [] };

serverSuite('Imports', {}, (s) => {
  let alice;
  let bob;
  const one = async (value, fields = {}, user = alice) => {
    const data = ok(await user.post(HERE, { data: [value], ...fields }), 201);
    assert.equal(data.imported, 1, JSON.stringify(data));
    return data.conversations[0];
  };

  before(async () => {
    [alice, bob] = await s.users(2);
  });

  describe('conversations', () => {
    it('come from ChatGPT with title, times, model and provider', async () => {
      const made = await one(chatgpt([said('user', 'Why?'), said('assistant', 'Because.')], { title: ' Questions \n two ' }));
      assert.deepEqual(Object.keys(made), ['id', 'slug', 'title', 'messageCount']);
      assert.equal(made.title, 'Questions   two');
      assert.equal(made.slug, 'questions-two');
      assert.equal(made.messageCount, 2);
      const got = ok(await alice.get(`/conversations/${made.id}`));
      const { source, provider, model, visibility, category, tags, createdAt, userId, version } = got;
      assert.deepEqual(
        { source, provider, model, visibility, category, tags, createdAt, userId, version },
        {
          source: 'chatgpt', provider: 'openai', model: 'gpt-4', visibility: 'private', category: 'general', tags: [],
          createdAt: '2023-11-14T22:13:20.000Z', userId: alice.user.id, version: 1,
        },
      );
      assert.deepEqual(
        got.messages.map((m) => [m.position, m.role, m.content, m.model, m.createdAt]),
        [
          [0, 'user', 'Why?', null, '2023-11-14T22:13:20.250Z'],
          [1, 'assistant', 'Because.', 'gpt-4', '2023-11-14T22:13:20.250Z'],
        ],
      );
      /* it is older than its author's account: its version is good all the same */
      const again = await alice.get(`/conversations/${made.id}`, { headers: { 'if-none-match': '"v1"' } });
      assert.equal(again.status, 304);
    });

    it('come from Claude alike', async () => {
      const made = await one(claude([['human', 'Hello'], ['assistant', 'Hi']], { name: '' }));
      assert.equal(made.title, 'Untitled conversation');
      const got = ok(await alice.get(`/conversations/${made.slug}`));
      assert.equal(`${got.source} ${got.provider} ${got.model} ${got.createdAt}`, 'claude anthropic null 2024-05-01T08:00:00.123Z');
      assert.deepEqual(await spoken(alice, made.id), ['user:Hello', 'assistant:Hi']);
    });

    it('leave out branches, hidden, system and empty messages', async () => {
      const { id } = await one(
        chatgpt(
          [
            said('system', 'You are a model'),
            said('user', 'hidden', { metadata: { is_visually_hidden_from_conversation: true } }),
            said('user', 'q'),
            said('assistant', ''),
            said('assistant', { content_type: 'code', language: 'python', text: 'print(1)' }),
            said('tool', { content_type: 'execution_output', text: '1' }),
            null,
            said('user', [{ content_type: 'image_asset_pointer', asset_pointer: 'file-service://x' }, 'See?', { content_type: 'audio_transcription', text: 'said' }]),
            said('assistant', { content_type: 'thoughts', thoughts: [{ content: 'hm' }] }),
            said('assistant', 'r', { weight: 0 }),
            said('assistant', 'end'),
          ],
          { nodes: { branch: { id: 'branch', message: said('assistant', 'other'), parent: 'n2', children: [] } } },
        ),
      );
      assert.deepEqual(await spoken(alice, id), ['user:q', 'assistant:print(1)', 'tool:1', 'user:See?\nsaid', 'assistant:end']);
    });

    it('are read where the tree is damaged', async () => {
      const talk = [said('user', 'a'), said('assistant', 'b', { create_time: 1700000009 })];
      const lost = await one(chatgpt(talk, { current_node: 'gone' }));
      assert.deepEqual(await spoken(alice, lost.id), ['user:a', 'assistant:b']);
      const none = await one(chatgpt(talk, { current_node: null, title: null }));
      assert.deepEqual(await spoken(alice, none.id), ['user:a', 'assistant:b']);
      const circle = chatgpt(talk);
      circle.mapping.root.parent = 'n1';
      assert.deepEqual(await spoken(alice, (await one(circle)).id), ['user:a', 'assistant:b']);
    });

    it('have the texts of attachments', async () => {
      const attachments = [{ file_name: 'a.txt', file_size: 3, file_type: 'txt', extracted_content: 'abc' }];
      const { id } = await one(claude([['human', 'see', { attachments }], ['human', '', { files: [{ file_name: 'x.png' }] }]]));
      assert.deepEqual(await spoken(alice, id), ['user:see\n\na.txt\nabc']);
    });

    it('are cut where they are too long', async () => {
      const { id, title } = await one(chatgpt([said('user', '\u20ac'.repeat(200001))], { title: '\u00e4'.repeat(300) }));
      assert.equal(title, '\u00e4'.repeat(200));
      const [message] = ok(await alice.get(`/conversations/${id}`)).messages;
      assert.equal(message.content, `${'\u20ac'.repeat(199999)}\u2026`);
    });

    it('take visibility, category and tags', async () => {
      const fields = { visibility: 'public', category: 'science', tags: ['Old', 'old', 'GPT'] };
      const { id } = await one(chatgpt([said('user', 'in public')]), fields);
      const got = ok(await s.anon.get(`/conversations/${id}`));
      assert.deepEqual([got.visibility, got.category, got.tags], ['public', 'science', ['old', 'gpt']]);
    });

    it('show in public lists at once', async () => {
      const count = async () => ok(await s.anon.get('/conversations?category=health')).pagination.total;
      assert.equal(await count(), 0);
      await one(chatgpt([said('user', 'of health')]), { visibility: 'public', category: 'health' });
      assert.equal(await count(), 1);
    });

    it('are found by their words', async () => {
      const { id } = await one(claude([['human', 'about xylophones']]));
      const found = ok(await alice.get('/conversations/search?q=xylophone')).items;
      assert.deepEqual(found.map((c) => c.id), [id]);
      assert.deepEqual(ok(await bob.get('/conversations/search?q=xylophone')).items, []);
    });

    it('are the importer\u2019s own', async () => {
      const { id } = await one(chatgpt([said('user', 'mine')]));
      fails(await bob.get(`/conversations/${id}`), 404, 'CONVERSATION_NOT_FOUND');
      fails(await s.anon.get(`/conversations/${id}`), 404, 'CONVERSATION_NOT_FOUND');
    });

    it('get slugs that are free', async () => {
      const data = ok(await alice.post(HERE, { data: many(3).map((t) => ({ ...t, title: 'The same' })) }), 201);
      assert.deepEqual(data.conversations.map((c) => c.slug), ['the-same', 'the-same-2', 'the-same-3']);
      assert.match((await one(chatgpt([said('user', 'x')], { title: 'Imports' }))).slug, /^imports-\d+$/);
    });
  });

  describe('again', () => {
    it('skips all, by id or by what was said', async () => {
      const data = [...many(3), { ...claude([['human', 'without an id']]), uuid: undefined }];
      assert.equal(ok(await alice.post(HERE, { data }), 201).imported, 4);
      const again = ok(await alice.post(HERE, { data }));
      assert.deepEqual(again, { ...EMPTY, skipped: 4 });
      assert.equal(ok(await alice.post(HERE, { data: [...data, ...many(1)] }), 201).imported, 1);
    });

    it('is another matter for another user', async () => {
      const data = many(2);
      assert.equal(ok(await alice.post(HERE, { data }), 201).imported, 2);
      assert.equal(ok(await bob.post(HERE, { data }), 201).imported, 2);
    });

    it('takes each once, however many imports run at a time', async () => {
      const user = await s.user();
      const data = many(150);
      const all = await parallel(4, () => user.post(HERE, { data }));
      const results = all.map((res) => ok(res, res.status === 200 ? 200 : 201));
      const sum = (key) => results.reduce((n, r) => n + r[key], 0);
      assert.deepEqual([sum('imported'), sum('skipped'), sum('failed')], [150, 450, 0]);
      assert.equal(ok(await user.get('/conversations?mine=true')).pagination.total, 150);
    });

    it('does not hang where titles come in different orders', async () => {
      const user = await s.user();
      const all = await parallel(6, (n) => {
        const data = many(60).map((t, k) => ({ ...t, title: `Order ${(k * (n % 2 ? 1 : 59)) % 60}` }));
        return user.post(HERE, { data });
      });
      all.forEach((res) => assert.equal(ok(res, 201).imported, 60));
    });

    it('keeps to the Idempotency-Key', async () => {
      const data = many(2);
      const headers = { 'idempotency-key': 'import-1' };
      const first = ok(await alice.post(HERE, { data }, { headers }), 201);
      const res = await alice.post(HERE, { data }, { headers });
      assert.deepEqual(ok(res, 201), first);
      assert.equal(res.headers['idempotent-replayed'], 'true');
    });

    it('holds no connection for the Idempotency-Key', async () => {
      const [data, headers] = [many(2), { 'idempotency-key': 'import-2' }];
      const state = async (what) => (await s.sql(`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND ${what}`)).length;
      const lock = await s.session();
      await lock.query('BEGIN');
      await lock.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [alice.user.id]);
      const first = alice.post(HERE, { data }, { headers });
      await until(() => s.waiting(), 4000, 'it waits for the lock');
      assert.equal(await state("state = 'idle in transaction'"), 1, 'that of this test');
      fails(await alice.post(HERE, { data }, { headers }), 409, 'IDEMPOTENCY_IN_PROGRESS');
      fails(await alice.post(HERE, { data: [] }, { headers }), 422, 'IDEMPOTENCY_MISMATCH');
      await lock.query('COMMIT');
      assert.equal(ok(await first, 201).imported, 2);
      const res = await alice.post(HERE, { data }, { headers });
      assert.deepEqual([ok(res, 201).imported, res.headers['idempotent-replayed']], [2, 'true']);
    });

    it('frees the Idempotency-Key when it fails', async () => {
      const headers = { 'idempotency-key': 'import-3' };
      invalid(await alice.post(HERE, { data: [7] }, { headers }), ['data', null]);
      assert.equal(ok(await alice.post(HERE, { data: many(1) }, { headers }), 201).imported, 1);
    });
  });

  describe('what is bad', () => {
    it('spoils only itself', async () => {
      const data = [many(1)[0], { title: 'strange' }, chatgpt([said('system', 'x')], { title: 'Empty' }), 7, many(1)[0]];
      const got = ok(await alice.post(HERE, { data }), 201);
      assert.deepEqual([got.imported, got.skipped, got.failed], [2, 0, 3]);
      assert.deepEqual(got.errors, [
        { index: 1, title: null, message: 'unrecognised shape' },
        { index: 2, title: 'Empty', message: 'has no messages' },
        { index: 3, title: null, message: 'unrecognised shape' },
      ]);
    });

    it('spoils only itself when it is the database that refuses it', async () => {
      s.expectLog(/CH1121: .*import: conversation 40 was not stored/);
      await s.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF new.title = 'refused' THEN RAISE 'no' USING ERRCODE = '22000'; END IF;
          RETURN new;
        END $$`);
      await s.sql('CREATE TRIGGER refuse BEFORE INSERT ON conversations FOR EACH ROW EXECUTE FUNCTION refuse()');
      const data = many(100);
      data[40].title = 'refused';
      const got = ok(await alice.post(HERE, { data }), 201);
      await s.sql('DROP FUNCTION refuse CASCADE');
      assert.deepEqual([got.imported, got.skipped, got.failed], [99, 0, 1]);
      assert.deepEqual(got.errors, [{ index: 40, title: 'refused', message: 'could not be stored' }]);
      assert.deepEqual(got.conversations.map((c) => c.title), data.filter((_, k) => k !== 40).map((t) => t.title));
    });

    it('is not taken for a bad conversation when the database fails', async () => {
      s.expectLog(/CH1001: .*conversation_create: 57014/, /CH1001: .*(53|57|08)\w\d\d/);
      await s.sql(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'full' USING ERRCODE = '53100'; END $$`);
      await s.sql('CREATE TRIGGER fail BEFORE INSERT ON conversation_messages FOR EACH ROW EXECUTE FUNCTION fail()');
      fails(await alice.post(HERE, { data: many(2) }), 503, 'DATABASE_ERROR');
      await s.sql('DROP FUNCTION fail CASCADE');
    });

    it('is told, 200 of it at most', async () => {
      const got = ok(await alice.post(HERE, { data: [...many(201), ...Array(205).fill(null)] }), 201);
      assert.deepEqual([got.imported, got.failed, got.conversations.length, got.errors.length], [201, 205, 200, 200]);
    });

    it('is more than 5000 messages', async () => {
      const messages = Array.from({ length: 5001 }, () => ['human', 'x']);
      const [most, more] = [messages.slice(1), messages].map((list) => claude(list));
      const got = ok(await alice.post(HERE, { data: [most, more] }), 201);
      assert.deepEqual(got.errors, [{ index: 1, title: 'A talk with Claude', message: 'has more than 5000 messages' }]);
      assert.equal(got.conversations[0].messageCount, 5000);
    });
  });

  describe('requests', () => {
    it('take one conversation as it is, and none at all', async () => {
      assert.equal(ok(await alice.post(HERE, { data: many(1)[0] }), 201).imported, 1);
      assert.deepEqual(ok(await alice.post(HERE, { data: [] })), EMPTY);
    });

    it('are refused where nothing has a known shape', async () => {
      for (const data of [{}, { mapping: [] }, [7], [{}, null, 'x'], [[chatgpt([said('user', 'x')])]]])
        invalid(await alice.post(HERE, { data }), ['data', null]);
    });

    it('are refused where another format was named', async () => {
      const got = ok(await alice.post(HERE, { data: [...many(1), claude([['human', 'x']])], format: 'claude' }), 201);
      assert.deepEqual([got.imported, got.failed], [1, 1]);
      invalid(await alice.post(HERE, { data: many(1), format: 'claude' }), ['data', null]);
    });

    it('hold 1000 conversations at most', async () => {
      invalid(await alice.post(HERE, { data: Array(1001).fill(null) }), ['data', 'TOO_MANY']);
    });

    it('have fields that are checked', async () => {
      invalid(await alice.post(HERE, {}), ['data', 'MISSING_FIELD']);
      invalid(await alice.post(HERE, { data: 'x' }), ['data', 'WRONG_TYPE']);
      invalid(await alice.post(HERE, { data: null }), ['data', 'WRONG_TYPE']);
      invalid(await alice.post(HERE, { data: [], format: 'bard', visibility: 'x', category: 'y', tags: [''], userId: 1 }),
        ['format', null], ['visibility', null], ['category', null], ['tags[0]', null], ['userId', 'UNKNOWN_FIELD']);
      fails(await s.anon.post(HERE, { data: [] }), 401, 'AUTHENTICATION_REQUIRED');
      fails(await alice.get(`/conversations/imports/${NOWHERE}`), 404, 'JOB_NOT_FOUND');
      fails(await s.anon.get(`/conversations/imports/${NOWHERE}`), 401, 'AUTHENTICATION_REQUIRED');
    });
  });
});
