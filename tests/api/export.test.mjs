/* Exports: what is in them, who may fetch them, in what pieces, and how long. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { spawnSync } from 'node:child_process';
import { before, describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { cookieLogin } from './lib/accounts.mjs';
import { sleep, until } from './lib/env.mjs';
import { fails, ids, invalid, NOWHERE, ok, parallel, tally } from './lib/expect.mjs';
import {
  allItems,
  download,
  ended,
  exported,
  exportJob,
  exportRow,
  manyNotes,
  placeOf,
  putFile,
  storedFiles,
} from './lib/exports.mjs';

const KEYS =
  'exportVersion exportedAt user settings sessions folders notes noteVersions attachments conversations chat aiUsage ' +
  'integrations inventoryItems claims notifications syncLogs forms';
const byId = (items) => [...items].sort((a, b) => (a.id < b.id ? -1 : 1));

const addAttachment = async (s, user, noteId, filename, data, mime = 'image/png') => {
  const key = `uploads/${user.user.id}/${crypto.randomBytes(16).toString('base64url')}.bin`;
  const [row] = await s.sql(
    `INSERT INTO attachments (note_id, user_id, filename, file_size, mime_type, storage_key, storage_url, sha256, width)
     VALUES ($1, $2, $3, $4, $5, $6, '', $7, 3) RETURNING id`,
    [noteId, user.user.id, filename, data.length, mime, key, crypto.createHash('sha256').update(data).digest('hex')],
  );
  return { id: row.id, key };
};

serverSuite('Exports', {}, (s) => {
  let alice;
  let bob;
  before(async () => {
    [alice, bob] = await s.users(2);
  });

  describe('what is in them', () => {
    let user;
    let zip;
    const content = '<p>naïve "quoted" \\ back</p>\n<script>alert(1)</script>\t\u{1F600}\u202e\u2028';
    const hostile = ['</script><b>"\\', '../../etc/passwd', '\u{1F600} \u0627\u0644 \u00e9\u0301', "'; DROP TABLE notes; --"];

    before(async () => {
      user = await s.user({ fullName: 'Zo\u00eb "Z" \\ O\u2019Neil' });
      ok(await user.put('/user/settings', { theme: 'dark', custom: { a: [1, { b: null }] } }));
      const folder = ok(await user.post('/folders', { name: 'work/\u{1F4C1}' }), 201).id;
      const trashed = ok(await user.post('/folders', { name: 'gone' }), 201).id;
      ok(await user.del(`/folders/${trashed}`));
      for (const title of hostile) {
        const { id } = ok(await user.post('/notes', { title, content, folderId: folder, tags: ['a,"b"', '\\'] }), 201);
        ok(await user.put(`/notes/${id}`, { content: `${content}2` }));
        ok(await user.put(`/notes/${id}`, { title: `${title}3` }));
      }
      const old = ok(await user.post('/notes', { title: 'old', content: null, folderId: trashed }).then((r) => r.status === 201 ? r : user.post('/notes', { title: 'old', content: null })), 201).id;
      ok(await user.del(`/notes/${old}`));
      const purged = ok(await user.post('/notes', { title: 'for good', content: 'never seen again' }), 201).id;
      ok(await user.del(`/notes/${purged}?permanent=true`));
      await s.sql(
        `INSERT INTO sync_logs (user_id, device_id, action, notes_synced, error_message)
         SELECT $1, 'phone ' || i, 'pull', i, NULL FROM generate_series(1, 1100) i`,
        [user.user.id],
      );
      zip = await exported(user);
    });

    it('is an archive that other programs read', async () => {
      const file = `${s.dir}/out.zip`;
      fs.writeFileSync(file, zip.raw);
      const python = spawnSync('python3', ['-c', `import zipfile; print(zipfile.ZipFile("${file}").testzip())`], { encoding: 'utf8' });
      if (!python.error) assert.equal(python.stdout.trim(), 'None', python.stderr);
      const unzip = spawnSync('unzip', ['-tq', file], { encoding: 'utf8' });
      if (!unzip.error) assert.equal(unzip.status, 0, unzip.stdout + unzip.stderr);
    });

    it('holds everything, in the shapes of the API', async () => {
      const { json } = zip;
      assert.deepEqual(Object.keys(json), KEYS.split(' '));
      assert.equal(json.exportVersion, 1);
      assert.match(json.exportedAt, /^\d{4}-.*Z$/);
      assert.deepEqual(json.user, ok(await user.get('/user/profile')));
      assert.deepEqual(json.settings, ok(await user.get('/user/settings')));
      const sessions = await allItems(user, '/user/sessions');
      const timeless = ({ current, lastActiveAt, ...rest }) => rest;
      assert.deepEqual(byId(json.sessions).map(timeless), byId(sessions).map(timeless));
      const folders = [...(await allItems(user, '/folders')), ...(await allItems(user, '/folders?deleted=true'))];
      assert.deepEqual(byId(json.folders), byId(folders));
      const notes = [];
      for (const { id } of [...(await allItems(user, '/notes')), ...(await allItems(user, '/notes?deleted=true'))]) {
        notes.push(ok(await user.get(`/notes/${id}?deleted=true`)));
      }
      assert.equal(notes.length, hostile.length + 1);
      assert.deepEqual(byId(json.notes), byId(notes));
      const versions = [];
      for (const note of notes.filter((n) => !n.deletedAt)) {
        for (const { version } of await allItems(user, `/notes/${note.id}/versions`)) {
          versions.push(ok(await user.get(`/notes/${note.id}/versions/${version}`)));
        }
      }
      assert.equal(versions.length, 2 * hostile.length);
      assert.deepEqual(byId(json.noteVersions), byId(versions));
      assert.equal(json.syncLogs.length, 1100);
      assert.equal(new Set(ids(json.syncLogs)).size, 1100);
      assert.deepEqual(Object.keys(json.syncLogs[0]), [
        'id', 'deviceId', 'action', 'notesSynced', 'conflictsResolved', 'errorMessage', 'createdAt',
      ]);
      for (const key of ['conversations', 'aiUsage', 'integrations', 'inventoryItems', 'claims', 'notifications'])
        assert.deepEqual(json[key], []);
      assert.deepEqual(json.chat, { rooms: [], messages: [] });
      assert.deepEqual(json.forms, { contact: [], demo: [] });
    });

    it('holds the text of each note, byte for byte', () => {
      const texts = new Map(zip.entries.filter((e) => e.name.startsWith('notes/')).map((e) => [e.name, e.data.toString('utf8')]));
      assert.equal(texts.size, zip.json.notes.length);
      for (const note of zip.json.notes) assert.equal(texts.get(`notes/${note.id}.html`), note.content ?? '');
      assert.deepEqual(
        zip.entries.map((e) => e.name).filter((name) => !/^notes\/[0-9a-f-]{36}\.html$/.test(name)),
        ['export.json'],
      );
    });

    it('shows no hash, token or key', async () => {
      const text = zip.entries.map((e) => e.data.toString('latin1')).join('\n');
      assert.doesNotMatch(text, /password|token_?hash|csrf|refresh_?key|\$2[aby]\$|crt_|eyJ/i);
      const [row] = await s.sql('SELECT password_hash FROM users WHERE id = $1', [user.user.id]);
      const sessions = await s.sql("SELECT token_hash, csrf_hash, encode(refresh_key, 'hex') AS key FROM sessions WHERE user_id = $1", [
        user.user.id,
      ]);
      const secrets = [row.password_hash, ...sessions.flatMap((r) => [r.token_hash, r.csrf_hash, r.key])].filter(Boolean);
      assert.ok(secrets.length >= 3);
      for (const secret of secrets) assert.ok(!text.includes(secret));
      assert.ok(!text.includes('never seen again'), 'what was deleted for good is gone');
    });

    it('is the same as plain JSON', async () => {
      const plain = await exported(user, { format: 'json', includeAttachments: true });
      assert.equal(plain.res.headers['content-type'], 'application/json');
      const rest = ({ exportedAt, sessions, ...other }) => other;
      assert.deepEqual(rest(plain.json), rest(zip.json));
    });

    it('is noted in the audit log', async () => {
      const rows = await s.sql("SELECT * FROM audit_logs WHERE actor_id = $1 AND action = 'user.export' ORDER BY id", [user.user.id]);
      assert.equal(rows.length, 2);
      assert.equal(rows[0].target_id, zip.data.id);
      assert.equal(rows[0].target_type, 'export');
      assert.deepEqual(rows.map((row) => row.details.format), ['zip', 'json']);
    });

    it('an account with nothing in it', async () => {
      const nobody = await s.user();
      const { json, entries } = await exported(nobody);
      assert.deepEqual(json.notes, []);
      assert.deepEqual(json.noteVersions, []);
      assert.equal(entries.length, 1);
    });
  });

  describe('attachments', () => {
    it('come as files under names that lead nowhere', async () => {
      const user = await s.user();
      const note = ok(await user.post('/notes', { title: 'n' }), 201).id;
      const names = ['photo.png', '../../../etc/cron.d/x', 'a\\b:c\u0001d.txt', '..', '\u00fc\u{1F600}.pdf', '/abs'];
      const made = [];
      for (const [n, name] of names.entries()) {
        const data = crypto.randomBytes(70000 * n);
        const { id, key } = await addAttachment(s, user, note, name, n ? data : Buffer.from('x'));
        putFile(s, key, data);
        made.push({ id, name, data });
      }
      const { entries, json } = await exported(user);
      const files = entries.filter((e) => e.name.startsWith('attachments/'));
      assert.equal(files.length, names.length);
      for (const { id, data } of made) {
        const entry = files.find((e) => e.name.startsWith(`attachments/${id}/`));
        assert.ok(entry.data.equals(data), id);
        const rest = entry.name.slice(`attachments/${id}/`.length);
        assert.doesNotMatch(rest, /[/\\:\x00-\x1f]|^\.*$/);
      }
      assert.ok(files.some((e) => e.name.endsWith('/\u00fc\u{1F600}.pdf')));
      assert.deepEqual(byId(json.attachments).map((a) => a.filename), byId(made).map((a) => a.name));
      const one = json.attachments[0];
      assert.equal(one.url, `/api/v1/attachments/${one.id}/download`);
      assert.equal(one.noteId, note);
      assert.ok(!JSON.stringify(json).includes('uploads/'), 'no place of the store is told');
      const without = await exported(user, { includeAttachments: false });
      assert.equal(without.entries.filter((e) => e.name.startsWith('attachments/')).length, 0);
      assert.equal(without.json.attachments.length, names.length);
    });

    it('one whose file is gone is left out, with a word in the log', async () => {
      const user = await s.user();
      const note = ok(await user.post('/notes', { title: 'n' }), 201).id;
      const lost = await addAttachment(s, user, note, 'lost.png', Buffer.from('x'));
      const there = await addAttachment(s, user, note, 'there.png', Buffer.from('y'));
      putFile(s, there.key, 'y');
      s.expectLog(new RegExp(`CH1092: job export \\S+: attachment ${lost.id} has no file uploads/`));
      const { entries } = await exported(user);
      assert.deepEqual(entries.filter((e) => e.name.startsWith('att')).map((e) => e.name), [`attachments/${there.id}/there.png`]);
    });
  });

  describe('large ones', () => {
    it('notes of 2 MB, one with 800 versions, and many', async () => {
      const user = await s.user();
      const big = '"\n'.repeat(1048576);
      const made = [];
      for (let n = 0; n < 3; n += 1) made.push(ok(await user.post('/notes', { title: `big ${n}`, content: big }), 201).id);
      await s.sql(
        `INSERT INTO note_versions (note_id, user_id, is_text, title, content, version)
         SELECT $1, $2, i % 2 = 0, 'v' || i, repeat('x', 3000), i FROM generate_series(1, 1600) i`,
        [made[1], user.user.id],
      );
      await manyNotes(s, user.user.id, 3000, 3200);
      const { json, entries } = await exported(user);
      assert.equal(json.notes.length, 3003);
      assert.equal(new Set(ids(json.notes)).size, 3003);
      assert.equal(json.notes.filter((note) => note.content === big).length, 3);
      assert.equal(json.noteVersions.length, 800);
      assert.deepEqual(json.noteVersions.map((v) => v.version), Array.from({ length: 800 }, (_, n) => 2 * n + 2));
      assert.equal(entries.length, 3004);
    });

    it('what is there all the time is in it once, whatever is written meanwhile', async () => {
      const user = await s.user();
      await manyNotes(s, user.user.id, 6000, 6400);
      const first = await s.sql('SELECT id FROM notes WHERE user_id = $1', [user.user.id]);
      let running = true;
      const writer = (async () => {
        for (let n = 0; running; n += 1) {
          const { id } = first[(n * 37) % first.length];
          await s.sql("UPDATE notes SET title = 'moved', updated_at = now(), change_seq = change_seq + 10 WHERE id = $1", [id]);
          if (n % 10 === 0) ok(await user.post('/notes', { title: 'new' }), 201);
        }
      })();
      const { json } = await exported(user, { format: 'json' });
      running = false;
      await writer;
      const seen = tally(ids(json.notes));
      for (const { id } of first) assert.equal(seen[id], 1, id);
      assert.ok(Object.values(seen).every((count) => count === 1));
    });
  });

  describe('asking for one', () => {
    it('answers 202 with the object and where it is', async () => {
      const user = await s.user();
      const res = await user.post('/user/export', {});
      const data = ok(res, 202);
      assert.deepEqual(Object.keys(data), [
        'id', 'status', 'format', 'sizeBytes', 'createdAt', 'finishedAt', 'expiresAt', 'downloadUrl', 'error',
      ]);
      assert.equal(data.status, 'queued');
      assert.equal(data.format, 'zip');
      for (const key of ['sizeBytes', 'finishedAt', 'expiresAt', 'downloadUrl', 'error']) assert.equal(data[key], null);
      assert.equal(res.headers.location, `/api/v1/user/export/${data.id}`);
      const done = await ended(user, data.id);
      assert.equal(done.status, 'completed');
      assert.equal(done.downloadUrl, `/api/v1/user/export/${data.id}/download`);
      assert.equal(Date.parse(done.expiresAt) - Date.parse(done.finishedAt), 7 * 86400e3);
      const file = await user.at('GET', done.downloadUrl);
      assert.equal(file.raw.length, done.sizeBytes);
      assert.equal(fs.statSync(placeOf(s, (await exportRow(s, data.id)).storage_key)).mode & 0o777, 0o600);
      assert.equal((await exportJob(s, data.id)).status, 'completed');
    });

    it('an empty body means all defaults; anything else is looked at', async () => {
      const user = await s.user();
      const { id } = ok(await user.api('POST', '/user/export'), 202);
      assert.equal((await exportRow(s, id)).include_attachments, true);
      invalid(await user.post('/user/export', { format: 'tar' }), ['format', 'INVALID_VALUE']);
      invalid(await user.post('/user/export', { format: null, includeAttachments: 1 }), ['format', 'WRONG_TYPE'], [
        'includeAttachments',
        'WRONG_TYPE',
      ]);
      invalid(await user.post('/user/export', { userId: alice.user.id }), ['userId', 'UNKNOWN_FIELD']);
      invalid(await user.get('/user/export/1'), ['id', /INVALID/]);
      invalid(await user.get('/user/export/1/download'), ['id', /INVALID/]);
      invalid(await user.get(`/user/export/${id}/download?x=1`), ['x', 'UNKNOWN_FIELD']);
      fails(await s.anon.post('/user/export', {}), 401, 'AUTHENTICATION_REQUIRED');
    });

    it('needs the CSRF token of a cookie session', async () => {
      const web = await cookieLogin(s, await s.user());
      fails(await web.post('/user/export', {}), 403, 'CSRF_FAILED');
      const { id } = ok(await web.post('/user/export', {}, { headers: { 'x-csrf-token': web.csrf } }), 202);
      assert.equal((await ended(web, id)).status, 'completed');
      ok(await download(web, id));
    });

    it('what is not there, or is of another user, is not found', async () => {
      const { data } = await exported(alice);
      for (const [who, id] of [
        [bob, data.id],
        [alice, NOWHERE],
      ]) {
        fails(await who.get(`/user/export/${id}`), 404, 'EXPORT_NOT_FOUND');
        fails(await download(who, id), 404, 'EXPORT_NOT_FOUND');
        assert.equal((await who.api('HEAD', `/user/export/${id}/download`)).status, 404);
      }
      fails(await download(s.anon, data.id), 401, 'AUTHENTICATION_REQUIRED');
    });
  });

  describe('fetching one', () => {
    let user;
    let whole;
    let id;
    before(async () => {
      user = await s.user();
      for (let n = 0; n < 20; n += 1) {
        ok(await user.post('/notes', { title: `n${n}`, content: crypto.randomBytes(20000).toString('hex') }), 201);
      }
      const done = await exported(user);
      whole = done.res;
      id = done.data.id;
    });
    const part = (range, headers = {}) => download(user, id, { headers: { range, ...headers } });

    it('has the headers of a file', async () => {
      const day = (await exportRow(s, id)).created_at.toISOString().slice(0, 10).replaceAll('-', '');
      assert.equal(whole.headers['content-type'], 'application/zip');
      assert.equal(whole.headers['content-disposition'], `attachment; filename="chronicle-export-${day}.zip"`);
      assert.equal(whole.headers.etag, `"${id}"`);
      assert.ok(Date.parse(whole.headers['last-modified']));
      assert.equal(whole.headers['ratelimit-limit'], undefined);
      const head = await user.api('HEAD', `/user/export/${id}/download`, { headers: { range: 'bytes=0-9' } });
      assert.equal(head.status, 200);
      assert.equal(Number(head.headers['content-length']), whole.raw.length);
      const zipped = await download(user, id, { headers: { 'accept-encoding': 'gzip, br' } });
      assert.ok(zipped.raw.equals(whole.raw));
    });

    it('pieces make the whole', async () => {
      const pieces = [];
      let at = 0;
      for (const step of [1, 2, 1000, 65536, 8191, 1e9]) {
        const res = await part(`bytes=${at}-${at + step - 1}`);
        const last = Math.min(at + step, whole.raw.length) - 1;
        assert.equal(res.status, 206);
        assert.equal(res.headers['content-range'], `bytes ${at}-${last}/${whole.raw.length}`);
        pieces.push(res.raw);
        at = last + 1;
      }
      assert.ok(Buffer.concat(pieces).equals(whole.raw));
    });

    const SIZE = () => whole.raw.length;
    const ranges = [
      ['bytes=5-', () => [5, SIZE()]],
      ['bytes=-7', () => [SIZE() - 7, SIZE()]],
      ['bytes=-99999999999999999999999', () => [0, SIZE()]],
      ['BYTES=0-0', () => [0, 1]],
      ['bytes= 3-4 ', () => [3, 5]],
      ['bytes=2-99999999999999999999999', () => [2, SIZE()]],
    ];
    for (const [range, bounds] of ranges) {
      it(`${range} is answered with 206`, async () => {
        const [from, to] = bounds();
        const res = await part(range);
        assert.equal(res.status, 206);
        assert.ok(res.raw.equals(whole.raw.subarray(from, to)));
      });
    }

    for (const range of ['bytes=0-1,4-5', 'bytes=5-4', 'bytes=', 'bytes=-', 'bytes=a-b', 'lines=1-2', 'bytes 1-2', 'bytes=1-2-3', 'bytes=+1-2']) {
      it(`${range} is passed over`, async () => {
        const res = await part(range);
        assert.equal(res.status, 200);
        assert.ok(res.raw.equals(whole.raw));
      });
    }

    for (const range of [() => `bytes=${SIZE()}-`, () => 'bytes=99999999999999999999999-', () => 'bytes=-0']) {
      it(`${range} lies outside`, async () => {
        const res = await part(range());
        fails(res, 416, 'RANGE_NOT_SATISFIABLE');
        assert.equal(res.headers['content-range'], `bytes */${SIZE()}`);
        assert.equal(res.headers.etag, undefined);
      });
    }

    it('If-Range decides whether the range counts', async () => {
      const modified = whole.headers['last-modified'];
      for (const [condition, status] of [
        [`"${id}"`, 206],
        [modified, 206],
        [`W/"${id}"`, 200],
        ['"other"', 200],
        ['Mon, 01 Jan 2001 00:00:00 GMT', 200],
        ['nonsense', 200],
      ]) {
        assert.equal((await part('bytes=0-9', { 'if-range': condition })).status, status, condition);
      }
      assert.equal((await part('bytes=99999999-', { 'if-range': '"other"' })).status, 200);
    });

    it('other answers know no ranges', async () => {
      const res = await user.get('/folders', { headers: { range: 'bytes=0-3' } });
      ok(res);
      assert.equal(res.headers['content-range'], undefined);
    });

    it('a reader who goes away half-way costs nothing', async () => {
      await parallel(10, async () => {
        const abort = new AbortController();
        const res = await fetch(`${s.origin}/api/v1/user/export/${id}/download`, {
          headers: { authorization: `Bearer ${user.token}` },
          signal: abort.signal,
        });
        await res.body.getReader().read();
        abort.abort();
      });
      assert.ok((await download(user, id)).raw.equals(whole.raw));
    });

    it('a file that is gone or cut is 502, and says nothing of where it was', async () => {
      const other = await s.user();
      const { data } = await exported(other);
      const file = placeOf(s, (await exportRow(s, data.id)).storage_key);
      s.expectLog(/CH1001: .*download: .* has 3 bytes, not/, /CH1001: .*download: .*No such file/);
      fs.truncateSync(file, 3);
      fails(await download(other, data.id), 502, 'STORAGE_ERROR');
      fs.unlinkSync(file);
      fails(await download(other, data.id), 502, 'STORAGE_ERROR');
      ok(await other.get(`/user/export/${data.id}`));
    });

    it('after a week it is gone, and its file', async () => {
      const other = await s.user();
      const { data } = await exported(other);
      const file = placeOf(s, (await exportRow(s, data.id)).storage_key);
      await s.sql("UPDATE exports SET expires_at = now() - interval '1 s' WHERE id = $1", [data.id]);
      fails(await other.get(`/user/export/${data.id}`), 404, 'EXPORT_NOT_FOUND');
      fails(await download(other, data.id), 404, 'EXPORT_NOT_FOUND');
      assert.ok(fs.existsSync(file));
      await s.sql("INSERT INTO jobs (type, payload) VALUES ('retention', '{}')");
      await until(() => !fs.existsSync(file), 10000, 'the file goes');
      assert.equal(await exportRow(s, data.id), undefined);
      ok(await download(user, id));
    });
  });

  describe('files that are deleted by a job', () => {
    const add = async (payload) =>
      (await s.sql("INSERT INTO jobs (type, payload) VALUES ('file_delete', $1) RETURNING id", [payload]))[0].id;
    const job = async (id) => (await s.sql('SELECT * FROM jobs WHERE id = $1', [id]))[0];

    it('goes through all keys, and one that is bad keeps no other', async () => {
      putFile(s, 'uploads/x/1.bin', '1');
      putFile(s, 'uploads/x/2.bin', '2');
      s.expectLog(/CH1020: job file_delete \S+ \(try 1 of 5\): storage: a key that is none/);
      const id = await add({ keys: ['uploads/x/1.bin', '../../error.log', 'uploads/x/2.bin', 'uploads/x/none.bin'] });
      await until(async () => (await job(id)).last_error, 5000, 'it was tried');
      assert.ok(!fs.existsSync(placeOf(s, 'uploads/x/1.bin')));
      assert.ok(!fs.existsSync(placeOf(s, 'uploads/x/2.bin')));
      assert.ok(fs.existsSync(`${s.dir}/error.log`));
      await s.sql('DELETE FROM jobs WHERE id = $1', [id]);
      s.expectLog(/CH1021: job file_delete \S+ .*the payload has no keys/);
      const bad = await add({});
      await until(async () => (await job(bad)).status === 'failed', 5000, 'it fails for good');
    });
  });

  it('nothing half-written is left', async () => {
    await sleep(100);
    assert.deepEqual(storedFiles(s).filter((name) => name.startsWith('tmp/')), []);
  });
});

serverSuite('Exports that wait', { directives: ['ChronicleJobWorkers 0'] }, (s) => {
  it('one at a time for a user', async () => {
    const [alice, bob] = await s.users(2);
    const answers = await parallel(10, () => alice.post('/user/export', {}));
    assert.deepEqual(tally(answers.map((res) => res.status)), { 202: 1, 409: 9 });
    for (const res of answers.filter((r) => r.status === 409)) fails(res, 409, 'EXPORT_IN_PROGRESS');
    const { id } = answers.find((res) => res.status === 202).json.data;
    ok(await bob.post('/user/export', {}), 202);
    assert.equal(ok(await alice.get(`/user/export/${id}`)).status, 'queued');
    fails(await download(alice, id), 409, 'EXPORT_NOT_READY');
    const counts = await s.sql("SELECT (SELECT count(*)::int FROM exports) AS e, (SELECT count(*)::int FROM jobs WHERE type = 'export') AS j");
    assert.deepEqual(counts, [{ e: 2, j: 2 }]);
    for (const [status, more] of [
      ['running', 409],
      ['failed', 202],
    ]) {
      await s.sql('UPDATE exports SET status = $2 WHERE id = $1', [id, status]);
      fails(await download(alice, id), 409, 'EXPORT_NOT_READY');
      assert.equal((await alice.post('/user/export', {})).status, more);
    }
  });

  it('a repeated request with an Idempotency-Key makes one', async () => {
    const user = await s.user();
    const headers = { 'idempotency-key': 'k1' };
    const first = await user.post('/user/export', { format: 'json' }, { headers });
    const again = await user.post('/user/export', { format: 'json' }, { headers });
    assert.equal(again.headers['idempotent-replayed'], 'true');
    assert.equal(again.status, 202);
    assert.equal(again.headers.location, first.headers.location);
    assert.deepEqual(again.json.data, first.json.data);
    fails(await user.post('/user/export', {}, { headers }), 422, 'IDEMPOTENCY_MISMATCH');
    fails(await user.post('/user/export', {}, { headers: { 'idempotency-key': 'k2' } }), 409, 'EXPORT_IN_PROGRESS');
    fails(await user.post('/user/export', {}, { headers: { 'idempotency-key': 'k2' } }), 409, 'EXPORT_IN_PROGRESS');
  });

  it('one whose job is no more is ended by the upkeep', async () => {
    const user = await s.user();
    const { id } = ok(await user.post('/user/export', {}), 202);
    await s.sql("UPDATE jobs SET status = 'failed' WHERE payload ->> 'id' = $1", [id]);
    await s.sql("INSERT INTO jobs (type, payload) VALUES ('retention', '{}')");
    s.directives = ['ChronicleJobWorkers 1'];
    s.writeConf();
    s.signal('SIGUSR1');
    const data = await ended(user, id);
    assert.equal(data.status, 'failed');
    assert.match(data.error, /could not be written/);
    ok(await user.post('/user/export', {}), 202);
  });
});
