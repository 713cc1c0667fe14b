/* What the tests of exports and of deleted accounts share. */
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { until } from './env.mjs';
import { ok } from './expect.mjs';
import { readZip } from './zip.mjs';

export const storage = (server) => path.join(server.dir, 'files');

/** All files that the store holds, half-written ones too. */
export function storedFiles(server) {
  const dir = storage(server);
  if (!fs.existsSync(dir)) return [];
  return fs.readdirSync(dir).flatMap((sub) => fs.readdirSync(path.join(dir, sub)).map((name) => `${sub}/${name}`));
}

/** Where the store has the file of a key. */
export function placeOf(server, key) {
  const shard = crypto.createHash('sha256').update(key).digest('hex').slice(0, 2);
  return path.join(storage(server), shard, key.replaceAll('/', '='));
}

/** Puts a file into the store. */
export function putFile(server, key, data) {
  const file = placeOf(server, key);
  const { uid, gid } = fs.statSync(storage(server));
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, data);
  fs.chownSync(path.dirname(file), uid, gid);
  fs.chownSync(file, uid, gid);
}

export const exportRow = async (server, id) => (await server.sql('SELECT * FROM exports WHERE id = $1', [id]))[0];
export const exportJob = async (server, id) =>
  (await server.sql("SELECT * FROM jobs WHERE type = 'export' AND payload ->> 'id' = $1", [id]))[0];

/** Waits for the end of an export; its last answer. */
export async function ended(client, id, ms = 20000) {
  let data;
  await until(
    async () => {
      data = ok(await client.get(`/user/export/${id}`));
      return ['completed', 'failed'].includes(data.status);
    },
    ms,
    'the export ends',
  );
  return data;
}

export const download = (client, id, options) => client.get(`/user/export/${id}/download`, options);

/** An export from beginning to end: {data, raw, entries, json}. */
export async function exported(client, fields = {}, ms = 20000) {
  const { id } = ok(await client.post('/user/export', fields), 202);
  const data = await ended(client, id, ms);
  const res = await download(client, id);
  ok(res);
  const entries = fields.format === 'json' ? [] : readZip(res.raw);
  const text = fields.format === 'json' ? res.raw : entries.find((entry) => entry.name === 'export.json').data;
  return { data, res, raw: res.raw, entries, json: JSON.parse(text.toString('utf8')) };
}

/** n notes of a user by SQL, of so many bytes. */
export const manyNotes = (server, userId, n, bytes = 100) =>
  server.sql(
    `INSERT INTO notes (user_id, title, content, content_plain, change_seq)
     SELECT $1, 'note ' || i, repeat(md5(i::text), $3 / 32), 'text', 1 FROM generate_series(1, $2) i`,
    [userId, n, bytes],
  );

export async function allItems(client, target) {
  const items = [];
  let cursor = '';
  do {
    const join = target.includes('?') ? '&' : '?';
    const data = ok(await client.get(`${target}${join}limit=100&cursor=${encodeURIComponent(cursor)}`));
    items.push(...data.items);
    cursor = data.pagination.nextCursor;
  } while (cursor);
  return items;
}
