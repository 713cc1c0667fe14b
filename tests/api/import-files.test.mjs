/* Imports of files: JSON and archives, at once and by a job, and what a job outlives. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { patience, sleep, until } from './lib/env.mjs';
import { fails, ok } from './lib/expect.mjs';
import { storedFiles } from './lib/exports.mjs';
import { chatgpt, claude, importEnded, many, prose, said, spoken, upload, zipOf } from './lib/talks.mjs';

const MB = 1 << 20;
const name = 'conversations.json';
const json = JSON.stringify;

/** Conversations of so many bytes together, as a file: {text, count, messages}. */
function large(bytes, messages = 20) {
  const texts = Array.from({ length: 97 }, (_, n) => prose(1000, n + 1));
  const parts = [];
  let size = 0;
  for (let n = 0; size < bytes; n += 1) {
    const list = Array.from({ length: messages }, (_, m) => said(m % 2 ? 'assistant' : 'user', `${n} ${m} ${texts[(n * 31 + m) % 97]}`));
    parts.push(json(chatgpt(list, { title: `Large ${n % 50}` })));
    size += parts.at(-1).length + 1;
  }
  return { text: `[${parts.join(',')}]`, count: parts.length, messages: parts.length * messages };
}

const jobOf = async (s, id) => (await s.sql("SELECT * FROM jobs WHERE type = 'import' AND payload ->> 'id' = $1", [id]))[0];
const rowOf = async (s, id) => (await s.sql('SELECT * FROM conversation_imports WHERE id = $1', [id]))[0];
const owned = async (s, user) =>
  (await s.sql(
    `SELECT count(*)::int AS talks, count(DISTINCT source_id)::int AS different, coalesce(sum(message_count), 0)::int AS messages
     FROM conversations WHERE user_id = $1`, [user.user.id]))[0];
const rss = (s) =>
  Math.max(...s.processes().map((pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024));

serverSuite('Imports of files', { directives: ['ChronicleImportLimit 400M'] }, (s) => {
  let alice;
  let bob;
  before(async () => {
    [alice, bob] = await s.users(2);
  });

  const queue = async (user, data, fields) => {
    const res = await upload(user, data, fields);
    const got = ok(res, 202);
    assert.equal(res.headers.location, `/api/v1/conversations/imports/${got.id}`);
    assert.deepEqual(Object.keys(got), ['id', 'status', 'processed', 'total', 'result', 'error', 'createdAt', 'finishedAt']);
    return got.id;
  };

  describe('at once', () => {
    it('may be JSON, whatever their name', async () => {
      const got = ok(await upload(alice, json(many(3)), { visibility: 'unlisted', tags: 'Old,gpt,old' }, { filename: 'x.zip' }), 201);
      assert.deepEqual([got.imported, got.skipped, got.failed], [3, 0, 0]);
      const seen = ok(await s.anon.get(`/conversations/${got.conversations[0].id}`));
      assert.deepEqual([seen.visibility, seen.tags], ['unlisted', ['old', 'gpt']]);
    });

    it('may begin with a byte order mark, hold one conversation, or none', async () => {
      assert.equal(ok(await upload(alice, `\ufeff ${json(many(1))}`), 201).imported, 1);
      assert.equal(ok(await upload(alice, json(claude([['human', 'alone']]))), 201).imported, 1);
      assert.equal(ok(await upload(alice, '[]')).imported, 0);
    });

    it('may be archives, with conversations.json anywhere in them', async () => {
      const data = json(many(3));
      const got = ok(await upload(alice, zipOf({ 'chat.html': '<p>', [`export/${name}`]: data, 'user.json': '{}' }), {}, { filename: 'x.json' }), 201);
      assert.equal(got.imported, 3);
      assert.equal(ok(await upload(alice, data)).skipped, 3);
    });

    it('may be archives that split it', async () => {
      const lists = [many(2), many(1), [7], many(3)];
      const names = ['conversations-000.json', `x/conversations-001.json`, 'conversations-002.json', name];
      const others = ['conversations-1x.json', 'conversations-.json', 'conversations.json.index', 'shared_conversations.json', 'x/._conversations-000.json'];
      const files = [...others.map((other) => [other, 'no JSON']), ...names.map((one, n) => [one, (n ? '' : '\ufeff') + json(lists[n])])];
      const got = ok(await upload(alice, zipOf(Object.fromEntries(files))), 201);
      assert.deepEqual([got.imported, got.skipped, got.failed], [6, 0, 1]);
      assert.deepEqual(got.errors, [{ index: 3, title: null, message: 'unrecognised shape' }]);
      files.push(['conversations-3.json', `${json(many(1))}x`]);
      fails(await upload(alice, zipOf(Object.fromEntries(files))), 400, 'MALFORMED_JSON');
    });

    it('are refused when they are bombs', async () => {
      const text = `[${json(many(1)[0])}${' '.repeat(64 * MB)}]`;
      const res = await upload(alice, zipOf({ [name]: text }));
      fails(res, 400, 'VALIDATION_ERROR');
      assert.match(res.json.error.message, /far larger/);
      fails(await upload(alice, zipOf({ 'chat.html': text, [name]: '[]' })), 400, 'VALIDATION_ERROR');
      const lots = await upload(alice, `[${'7,'.repeat(100000)}${json(many(1)[0])}]`);
      fails(lots, 400, 'VALIDATION_ERROR');
      assert.match(lots.json.error.message, /more than 100000/);
    });

    it('are taken whatever one of them is', async () => {
      const text = `[${json(many(1)[0])},{"mapping":{"a":tru}},{"title":"x\\u0000y","mapping":{}},"${'x'.repeat(100)}",${json(many(1)[0])}]`;
      const got = ok(await upload(alice, text), 201);
      assert.deepEqual([got.imported, got.failed], [2, 3]);
      assert.deepEqual(got.errors, [
        { index: 1, title: null, message: 'is not valid JSON' },
        { index: 2, title: 'xy', message: 'has no messages' },
        { index: 3, title: null, message: 'unrecognised shape' },
      ]);
    });

    it('may hold halves of pairs', async () => {
      const text = json([chatgpt([said('user', 'cut \ud83d'), said('assistant', '\ude00 \u{1f600}')], { title: 'Half \ud83d' })]);
      assert.match(text, /\\ud83d/);
      const [made] = ok(await upload(alice, text), 201).conversations;
      assert.equal(made.title, 'Half \ufffd');
      assert.deepEqual(await spoken(alice, made.id), ['user:cut \ufffd', 'assistant:\ufffd \u{1f600}']);
    });

    it('may repeat a key and hold U+0000', async () => {
      const text = json([chatgpt([said('user', 'a\u0000b')])]).replace('{"title"', '{"title":"first","title"');
      const [{ id }] = ok(await upload(alice, text), 201).conversations;
      assert.equal(ok(await alice.get(`/conversations/${id}`)).messages[0].content, 'ab');
    });

    it('leave nothing behind when they are damaged', async () => {
      const user = await s.user();
      const text = json(many(200));
      fails(await upload(user, text.slice(0, -20)), 400, 'MALFORMED_JSON');
      fails(await upload(user, `${text}x`), 400, 'MALFORMED_JSON');
      const zip = zipOf({ [name]: text });
      const broken = Buffer.from(zip);
      broken[zip.length >> 1] ^= 0x55;
      fails(await upload(user, broken), 400, 'VALIDATION_ERROR');
      fails(await upload(user, zip.subarray(0, zip.length >> 1)), 400, 'VALIDATION_ERROR');
      assert.equal((await owned(s, user)).talks, 0);
    });

    it('are refused when they are something else', async () => {
      for (const data of ['', 'hello', '7', '\x89PNG\r\n', '<html>'])
        fails(await upload(alice, data), 415, 'UNSUPPORTED_MEDIA_TYPE');
      fails(await upload(alice, zipOf({ 'other.json': '[]' })), 400, 'VALIDATION_ERROR');
      for (const data of ['{}', '[7,{}]', json(many(1)).replaceAll('mapping', 'map')])
        fails(await upload(alice, data), 400, 'VALIDATION_ERROR');
      fails(await upload(alice, json(many(1)), { format: 'claude' }), 400, 'VALIDATION_ERROR');
    });

    it('may hold any number', async () => {
      const got = ok(await upload(alice, json(many(1500, 1))), 201);
      assert.deepEqual([got.imported, got.conversations.length], [1500, 200]);
    });
  });

  describe('by a job', () => {
    it('are counted, taken in and deleted', async () => {
      const user = await s.user();
      const file = large(40 * MB);
      const start = rss(s);
      const began = Date.now();
      const id = await queue(user, file.text, { category: 'science', visibility: 'public', tags: 'a,b' });
      const steps = new Set();
      let most = 0;
      const data = await importEnded(user, id, 180000 * patience, ({ processed, total, status }) => {
        if (status === 'running' && total) {
          assert.equal(total, file.count);
          steps.add(processed);
        }
        most = Math.max(most, rss(s));
      });
      const seconds = (Date.now() - began) / 1000;
      console.log(`# ${file.messages} messages in ${seconds.toFixed(1)} s, ${Math.round(file.messages / seconds)}/s; rss ${start.toFixed(0)} to ${most.toFixed(0)} MB`);
      assert.equal(data.status, 'completed', json(data));
      assert.equal(data.processed, file.count);
      assert.ok(steps.size >= 3, `progress: ${[...steps]}`);
      const { imported, skipped, failed, conversations, errors } = data.result;
      assert.deepEqual([imported, skipped, failed, conversations.length, errors], [file.count, 0, 0, 200, []]);
      assert.deepEqual(await owned(s, user), { talks: file.count, different: file.count, messages: file.messages });
      const got = ok(await s.anon.get(`/conversations/${conversations[7].slug}`));
      assert.deepEqual([got.id, got.category, got.tags, got.title], [conversations[7].id, 'science', ['a', 'b'], 'Large 7']);
      await until(() => !storedFiles(s).some((file) => file.includes(id)), 20000, 'the file is deleted');
      if (patience === 1) assert.ok(most - start < 120, `rss grew by ${most - start} MB`);
      fails(await bob.get(`/conversations/imports/${id}`), 404, 'JOB_NOT_FOUND');
    });

    it('need no more memory for more of it', { skip: !process.env.CH_TEST_LONG }, async () => {
      const user = await s.user();
      const file = large(300 * MB, 40);
      const start = rss(s);
      const began = Date.now();
      const id = await queue(user, file.text);
      let most = 0;
      const data = await importEnded(user, id, 900000, () => {
        most = Math.max(most, rss(s));
      });
      const seconds = (Date.now() - began) / 1000;
      console.log(`# 300 MB: ${file.messages} messages in ${seconds.toFixed(1)} s; rss ${start.toFixed(0)} to ${most.toFixed(0)} MB`);
      assert.equal(data.result.imported, file.count);
      assert.ok(most - start < 120, `rss grew by ${most - start} MB`);
    });

    it('go on where a killed runner has left them', async () => {
      s.expectLog(/exit signal Killed/, /CH1022/, /AH00052/);
      const user = await s.user();
      const file = large(16 * MB);
      const list = JSON.parse(file.text);
      list[3] = { title: 'bad', mapping: {} };
      list[list.length - 2] = list[0];
      const id = await queue(user, json(list));
      await until(async () => (await rowOf(s, id)).processed > 50, 60000 * patience, 'a part is done');
      process.kill(Number((await jobOf(s, id)).locked_by.split(':')[1]), 'SIGKILL');
      const at = (await rowOf(s, id)).processed;
      assert.ok(at < list.length, `${at} of ${list.length}`);
      await sleep(500);
      await s.sql("UPDATE jobs SET locked_until = now() WHERE status = 'running'");
      const data = await importEnded(user, id, 120000 * patience);
      assert.equal(data.status, 'completed', json(data));
      const { imported, skipped, failed, errors } = data.result;
      assert.deepEqual([imported, skipped, failed], [list.length - 2, 1, 1]);
      assert.deepEqual(errors.map((e) => e.index), [3]);
      assert.equal((await owned(s, user)).talks, list.length - 2);
      assert.equal((await jobOf(s, id)).attempts, 2);
    });

    it('change nothing once another runner has them', async () => {
      s.expectLog(/CH1020/, /CH1021/);
      const user = await s.user();
      const id = await queue(user, large(16 * MB).text);
      await until(async () => (await rowOf(s, id)).processed > 50, 60000 * patience, 'a part is done');
      await s.sql('UPDATE conversation_imports SET processed = processed - 1 WHERE id = $1', [id]);
      await until(async () => (await jobOf(s, id)).attempts > 1 || (await jobOf(s, id)).last_error, 30000, 'it is given up');
      await s.sql('UPDATE jobs SET run_at = now() WHERE status = $1', ['queued']);
      const data = await importEnded(user, id, 120000 * patience);
      assert.equal(data.result.imported + data.result.skipped, data.total + 1);
      assert.equal(data.result.imported, (await owned(s, user)).talks);
    });

    it('are taken once when the same file comes twice', async () => {
      const user = await s.user();
      const file = large(11 * MB);
      const ids = await Promise.all([queue(user, file.text), queue(user, file.text)]);
      const res = await upload(user, zipOf({ [name]: file.text }));
      const results = [ok(res, res.status === 201 ? 201 : 200)];
      for (const id of ids) results.push((await importEnded(user, id, 180000 * patience)).result);
      const sum = (key) => results.reduce((n, r) => n + r[key], 0);
      assert.deepEqual([sum('imported'), sum('skipped'), sum('failed')], [file.count, 2 * file.count, 0]);
      assert.deepEqual(await owned(s, user), { talks: file.count, different: file.count, messages: file.messages });
    });

    it('say why they failed', async () => {
      const text = large(11 * MB).text;
      const user = await s.user();
      const ids = [];
      for (const data of [text.slice(0, -30), text.replaceAll('"mapping"', '"map"')]) ids.push(await queue(user, data));
      for (const id of ids) {
        const data = await importEnded(user, id);
        assert.deepEqual([data.status, data.result, data.processed], ['failed', null, 0]);
        assert.match(data.error, id === ids[0] ? /ended|ends|early|JSON/ : /Unrecognised shape/);
        await until(() => !storedFiles(s).some((file) => file.includes(id)), 20000, 'the file is deleted');
        assert.equal((await jobOf(s, id)).status, 'completed', 'it is no failure of the server');
      }
      assert.equal((await owned(s, user)).talks, 0);
      fails(await upload(user, 'x'.repeat(11 * MB)), 415, 'UNSUPPORTED_MEDIA_TYPE');
    });

    it('go with their account', async () => {
      const user = await s.user();
      const id = await queue(user, large(24 * MB).text);
      await until(async () => (await rowOf(s, id)).processed > 0, 60000 * patience, 'it has begun');
      ok(await user.del('/user/account', { json: { password: user.password } }));
      await until(async () => (await jobOf(s, id)).status === 'completed', 60000 * patience, 'the job ends');
      await until(() => !storedFiles(s).some((file) => file.includes(id)), 20000, 'the file is deleted');
    });

    it('that nobody does any more are ended', async () => {
      const user = await s.user();
      const id = await queue(user, large(11 * MB).text);
      await importEnded(user, id, 60000 * patience);
      await s.sql(
        `UPDATE conversation_imports SET status = 'running', finished_at = NULL, storage_key = 'imports/' || id,
         created_at = now() - interval '2 hours' WHERE id = $1`, [id]);
      await s.sql("INSERT INTO jobs (type, payload) VALUES ('retention', '{}')");
      const data = await importEnded(user, id, 30000);
      assert.deepEqual([data.status, data.error], ['failed', 'The import was interrupted']);
      await s.sql("UPDATE conversation_imports SET finished_at = now() - interval '31 days' WHERE id = $1", [id]);
      await s.sql("INSERT INTO jobs (type, payload) VALUES ('retention', '{}')");
      await until(async () => !(await rowOf(s, id)), 20000, 'it is forgotten');
    });
  });
});

serverSuite('Imports of files over the limit', { directives: ['ChronicleImportLimit 12M'] }, (s) => {
  it('are refused', async () => {
    const user = await s.user();
    fails(await upload(user, ' '.repeat(12 * MB + 1)), 413, 'PAYLOAD_TOO_LARGE');
    fails(await upload(user, ' '.repeat(12 * MB)), 415, 'UNSUPPORTED_MEDIA_TYPE');
    assert.equal(ok(await upload(user, json(many(1))), 201).imported, 1);
  });
});
