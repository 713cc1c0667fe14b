/* Search in conversations: scripts that put no blanks between words (docs/internals/conversations.md). */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { before, it, test } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { env, makeDir, until } from './lib/env.mjs';
import { connect, createDatabase, dropDatabase } from './lib/postgres.mjs';
import { at, converse, publish } from './lib/conversations.mjs';
import { ok, times } from './lib/expect.mjs';

const searchFor = (q, more = {}) => `/conversations/search?${new URLSearchParams({ q, limit: 100, ...more })}`;
const says = (...texts) => texts.map((content) => ({ role: 'user', content }));
const marked = (text) => [...(text ?? '').matchAll(/<mark>(.*?)<\/mark>/gs)].map((m) => m[1]);

/* As chronicle-migrate is told to be used: while the server of the release before goes on. */
test('what is written while the schema learns of these scripts is found', async (t) => {
  const migrate = process.env.CH_TEST_MIGRATE;
  const schema = path.join(path.dirname(migrate), 'schema');
  const earlier = makeDir('schema-');
  for (const name of fs.readdirSync(schema).filter((one) => one < '0011')) {
    fs.copyFileSync(path.join(schema, name), path.join(earlier, name));
  }
  const database = await createDatabase(env.pg, 'template0');
  const conninfo = `host=${env.pg.host} port=${env.pg.port} user=${env.pg.user} dbname=${database}`;
  execFileSync(migrate, ['apply', '--dir', earlier, conninfo], { stdio: 'ignore' });
  const [writer, late, other] = await Promise.all(Array.from({ length: 3 }, () => connect(env.pg, database)));
  t.after(async () => {
    await Promise.all([writer, late, other].map((client) => client.end()));
    await dropDatabase(env.pg, database);
    fs.rmSync(earlier, { recursive: true });
  });
  const { rows: [user] } = await writer.query("INSERT INTO users (email, password_hash) VALUES ('a@example.com', 'x') RETURNING id");
  const says = '我今天去北京';
  const write = (client, slug) =>
    client.query(
      `WITH c AS (
         INSERT INTO conversations (user_id, slug, title, search) VALUES ($1, $2, 'A talk',
           chronicle_conversation_words($1, 'private', 'A talk', NULL, chronicle_message_words(ARRAY[$3])))
         RETURNING id)
       INSERT INTO conversation_messages (conversation_id, position, role, content) SELECT id, 0, 'user', $3 FROM c`,
      [user.id, slug, says],
    );
  await write(other, 'there');
  await writer.query('BEGIN');
  await write(writer, 'begun');
  const child = spawn(migrate, ['apply', '--dir', schema, conninfo], { stdio: 'ignore' });
  let code;
  const migrated = once(child, 'exit').then(([number]) => {
    code = number;
  });
  const waits = 'SELECT 1 FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = $1)';
  await until(async () => code !== undefined || (await other.query(waits, [database])).rowCount, 10000, 'it waits');
  const last = write(late, 'during');
  await writer.query('COMMIT');
  await migrated;
  assert.equal(code, 0);
  await last;
  const { rows } = await other.query("SELECT slug FROM conversations WHERE search @@ chronicle_parts_query('{北京}', '{}', false) ORDER BY slug");
  assert.deepEqual(rows.map(({ slug }) => slug), ['begun', 'during', 'there']);
});

serverSuite('Search in conversations of other scripts', {}, (s) => {
  let alice;
  let bob;
  const find = async (q, who = alice, more = {}) => ok(await who.get(searchFor(q, more))).items;
  const found = async (q, who) => (await find(q, who)).map((item) => item.title).sort().join();

  const talks = [
    ['zh', says('你好', '我今天去北京，明天去上海。'), {}],
    ['ja', says('東京でiPhoneの使い方をまなぶ', 'ありがとうございます'), {}],
    ['ja far', says('東京タワーと京都タワー', '大阪'), {}],
    ['th', says('สวัสดีชาวโลก กรุงเทพมหานคร'), {}],
    ['km', says('សួស្តីពិភពលោក'), {}],
    ['lo', says('ສະບາຍດີ'), {}],
    ['my', says('မင်္ဂလာပါ'), {}],
    ['mixed', says('PostgreSQL 検索 <b>index</b> C++语言', 'Running 𠮷野家 fast'), {}],
    ['全文検索 in a title', says('nothing'), { description: '说明文字' }],
    ['plain', says('PostgreSQL index running'), {}],
  ];

  before(async () => {
    [alice, bob] = await s.users(2);
    for (const [title, messages, fields] of talks) await converse(alice, { title, messages, ...fields });
    await converse(bob, { title: 'of another', messages: says('北京 東京 検索') });
  });

  const known = [
    ['北京', 'zh', ['北京']],
    ['去北京', 'zh', ['去北京']],
    ['我今天去北京', 'zh', ['我今天去北京']],
    ['北京 上海', 'zh', ['北京', '上海']],
    ['北京 大阪', ''],
    ['北京 or 大阪', 'ja far,zh'],
    ['南京', ''],
    ['天去上海', 'zh', ['天去上海']],
    ['今天去上海', '', 'its windows are not all there'],
    ['東京', 'ja,ja far'],
    ['東', 'ja,ja far', ['東']],
    ['東京 -大阪', 'ja', ['東京']],
    ['東京 -"京都タワー"', 'ja', ['東京']],
    ['東京都', '', '東京 and 京都 are there, apart'],
    ['東京タワー', 'ja far', ['東京タワー']],
    ['京タワ', 'ja far', ['京タワ']],
    ['使い方', 'ja', ['使い方']],
    ['の使い方をま', 'ja', ['の使い方をま']],
    ['い方使', ''],
    ['ありがとう', 'ja', ['ありがとう']],
    ['IPHONEの', 'ja', ['iPhoneの']],
    ['ชาว', 'th', ['ชาว']],
    ['สวัสดี', 'th', ['สวัสดี']],
    ['กรุงเทพ', 'th', ['กรุงเทพ']],
    ['เทพกรุง', ''],
    ['กรุงโลก', ''],
    ['ពិភព', 'km', ['ពិភព']],
    ['ສະບາຍ', 'lo', ['ສະບາຍ']],
    ['င်္ဂလာ', 'my', ['င်္ဂလာ']],
    ['PostgreSQL 検索', 'mixed', ['PostgreSQL', '検索']],
    ['postgresql -検索', 'plain', ['PostgreSQL']],
    ['検索 -postgresql', '全文検索 in a title', ['検索']],
    ['"検索 <b>index"', 'mixed'],
    ['C++语言', 'mixed', ['C++语言']],
    ['𠮷野', 'mixed', ['𠮷野']],
    ['runs 野家', 'mixed', ['野家']],
    ['检索', ''],
    ['检%', ''],
    ['检_索', ''],
    ["'検索' & | ! \\ :*", 'mixed,全文検索 in a title'],
    ['说明', '全文検索 in a title'],
    ['iphone', 'ja', ['iPhone']],
    ['running fast', 'mixed'],
  ];
  for (const [q, expected, hits] of known) {
    it(`${q} finds ${expected || 'nothing'}`, async () => {
      assert.equal(await found(q), expected);
      if (Array.isArray(hits)) {
        const [{ highlights }] = await find(q);
        assert.deepEqual(new Set([...marked(highlights.title), ...marked(highlights.content)]), new Set(hits));
      }
    });
  }

  it('only what is shut out: all others, without marks', async () => {
    const items = await find('-北京');
    assert.deepEqual(items.map((item) => item.title).sort(), talks.map(([title]) => title).filter((x) => x !== 'zh').sort());
    assert.ok(items.every((item) => item.highlights.title === null && item.highlights.content === null));
  });

  it('others find what is public alone, and totals and ranks tell no more', async () => {
    assert.equal(await found('北京', bob), 'of another');
    assert.equal(await found('検索', s.anon), '');
    assert.equal(ok(await s.anon.get(searchFor('検索'))).pagination.total, 0);
  });

  it('titles weigh more than descriptions, those more than messages', async () => {
    const word = '優先順位';
    await publish(bob, { title: 'message', messages: says(`${word}。`, word) });
    await publish(bob, { title: 'description', description: `その${word}` });
    await publish(bob, { title: `題名の${word}` });
    for (const q of [word, '順位', `${word} その or 題名`]) {
      const items = (await find(q, s.anon)).filter((item) => item.userId === bob.user.id);
      assert.deepEqual(items.map((item) => item.title).slice(0, 3), [`題名の${word}`, 'description', 'message'].slice(0, items.length), q);
      for (const { rank } of items) assert.ok(rank > 0 && rank <= 1, `${q}: ${rank}`);
    }
  });

  it('changes are found, and what they took away is not', async () => {
    const { id } = await publish(alice, { title: '最初の題名', messages: says('最初の言葉') });
    const here = async (q) => (await find(q, s.anon)).length;
    assert.deepEqual([await here('初の題'), await here('初の言葉')], [1, 1]);
    ok(await alice.put(at(id), { title: '次の題名' }));
    assert.deepEqual([await here('初の題'), await here('次の題'), await here('初の言葉')], [0, 1, 1]);
    ok(await alice.put(at(id), { messages: says('次の言葉') }));
    assert.deepEqual([await here('次の題'), await here('初の言葉'), await here('次の言葉')], [1, 0, 1]);
    ok(await alice.put(at(id), { visibility: 'private' }));
    assert.equal(await here('次の言葉'), 0);
    assert.equal((await find('次の言葉')).length, 1);
  });

  it('long ones are found from end to end, marked where they are', { timeout: 120000 }, async () => {
    const letter = (n) => String.fromCodePoint(0x4e00 + ((n * 7919) % 997));
    const filler = (from, length) => times(length, (n) => (n % 30 === 29 ? '。' : letter(from + n * n))).join('');
    const messages = times(40, (n) => ({ role: 'user', content: filler(n * 1000, 4000) }));
    messages[0].content += '始まりの鐘';
    messages[39].content = `${filler(7, 150000)}終わりの鐘${filler(9, 30000)}`;
    const { id } = await publish(alice, { title: '長い', messages });
    for (const [q, count] of [
      ['始まりの鐘', 1],
      ['終わりの鐘', 1],
      ['始まりの音', 0],
    ]) {
      const items = await find(q, s.anon);
      assert.deepEqual(items.map((item) => item.id), count ? [id] : [], q);
      if (count) assert.deepEqual(marked(items[0].highlights.content), [q]);
    }
    assert.equal(ok(await alice.put(at(id), { description: '要約です' })).version, 2);
    assert.equal((await find('要約です', s.anon)).length, 1);
  });

  it('among thousands, what has it in the title comes first, then in the description, then the newest', async () => {
    const dora = await s.user();
    await s.sql(`INSERT INTO conversations (user_id, slug, title, description, created_at, search)
      SELECT $1, 'crowd-' || k, title, about, now() + k * interval '1 second',
        chronicle_conversation_words($1, 'private', title, about, chronicle_message_words('{鑫と言う}'))
      FROM generate_series(1, 2001) k, LATERAL (SELECT CASE k WHEN 7 THEN '鑫と言う題' ELSE 'crowd ' || k END AS title,
        CASE k WHEN 5 THEN '説明も鑫と言う' END AS about) x`, [dora.user.id]);
    for (const total of [2001, 2000]) {
      for (const q of ['鑫', '鑫と', '鑫と言う', '鑫と言う or 無い']) {
        const page = ok(await dora.get(searchFor(q, { limit: 3 })));
        assert.equal(page.pagination.total, total, q);
        assert.deepEqual(page.items.map((item) => item.title), ['鑫と言う題', 'crowd 5', 'crowd 2001'], q);
      }
      await s.sql("DELETE FROM conversations WHERE slug = 'crowd-1'");
    }
    assert.equal((await find('鑫', s.anon)).length, 0);
  });

  it('what was there before schema 11 is found after it, and nothing else is written', async () => {
    const carol = await s.user();
    await converse(carol, { title: '以前の題名', visibility: 'public' });
    await converse(carol, { title: 'said', messages: says('plain', '以前の言葉 and this') });
    await converse(carol, { title: 'about', description: '以前の説明' });
    await converse(carol, { title: 'Ärger', messages: says('über “alles” 😀 안녕') });
    const own = 'user_id = $1';
    await s.sql(`UPDATE conversations SET search = array_to_tsvector('{x}') WHERE ${own}`, [carol.user.id]);
    const all = `SELECT title, version, updated_at, search = 'x' AS untouched FROM conversations WHERE ${own} ORDER BY title`;
    const rows = await s.sql(all, [carol.user.id]);
    const schema = fs.readFileSync(new URL('../../sql/schema/0011_conversation_words.sql', import.meta.url), 'utf8');
    await s.sql(schema.slice(schema.indexOf('\nUPDATE conversations')));
    const after = await s.sql(all, [carol.user.id]);
    assert.deepEqual(after.filter((row) => row.untouched).map((row) => row.title), ['Ärger']);
    assert.deepEqual(after.map(({ untouched, ...row }) => row), rows.map(({ untouched, ...row }) => row));
    assert.equal(await found('以前の', carol), 'about,said,以前の題名');
    assert.equal(await found('以前の言葉 this', carol), 'said');
    assert.equal((await find('以前の', s.anon)).length, 1);
  });
});
