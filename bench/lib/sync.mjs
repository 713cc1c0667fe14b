// Pull and push: how their answers are judged.
import { config, id } from './config.mjs';
import { ask, expect, fields, sql } from './ask.mjs';

/* Objects of a page or a push, as load.lua sends them. */
export const SYNCED = 100;
/* The first users have fewer notes than that. */
const FIRST = 5;
const NOTE = ['clientUpdatedAt', 'content', 'contentPlain', 'createdAt',
  'deletedAt', 'folderId', 'id', 'isFavorite', 'isPinned', 'syncStatus',
  'tags', 'title', 'updatedAt', 'version', 'wordCount'];
const FOLDER = ['color', 'createdAt', 'deletedAt', 'icon', 'id', 'name',
  'position', 'updatedAt', 'version'];
const PAGE = ['cursor', 'folders', 'hasMore', 'notes', 'syncedAt'];
const PUSHED = ['conflicts', 'cursor', 'folders', 'notes', 'summary',
  'syncedAt'];
const RESULT = ['error', 'id', 'item', 'status', 'unchanged', 'version'];

export const pullPage = (server, user, cursor = null, limit = SYNCED) =>
  ask(server, user, '/api/v1/sync/pull', {
    method: 'POST', body: { deviceId: 'checker', cursor, limit },
  });

function expectNote(note, user) {
  expect(fields(note, NOTE) && note.folderId === id('folder', user)
    && note.deletedAt === null && note.content.startsWith('<p>')
    && note.wordCount > 50 && note.tags.join() === 'bench,load'
    && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(note.updatedAt),
  'synced note', note);
}

/* All pages of a user: every object once. Gives the size of the first. */
export async function checkPull(server, someone) {
  const user = Math.max(FIRST, someone);
  const seen = new Set();
  let page;
  let size = 0;
  do {
    const { data, bytes } = await pullPage(server, user, page?.cursor);
    const { notes, folders } = data;
    expect(fields(data, PAGE)
      && data.hasMore === (notes.length + folders.length === SYNCED
        && seen.size + SYNCED < 20 * user + 1), 'page', { user,
      hasMore: data.hasMore, notes: notes.length, seen: seen.size });
    for (const note of notes) expectNote(note, user);
    for (const folder of folders) {
      expect(fields(folder, FOLDER), 'synced folder', folder);
    }
    for (const one of [...notes, ...folders]) seen.add(one.id);
    page = data;
    size ||= bytes;
  } while (page.hasMore);
  expect(seen.size === 20 * user + 1, 'objects pulled', seen.size);
  return size;
}

const words = 'lorem ipsum dolor sit '.repeat(44);

/* A push of the user's first notes, with texts that nobody has yet. */
export function pushNotes(server, user, mark) {
  const notes = Array.from({ length: SYNCED }, (_, i) => ({
    id: id('note', 10 * user * (user - 1) + i + 1),
    updatedAt: '2100-01-01T00:00:00Z',
    title: `Checked ${mark}.0000000000`,
    content: `<p>${`${mark} ${words}${i}`.padEnd(1000, 'x')}</p>`,
  }));
  return ask(server, user, '/api/v1/sync/push', {
    method: 'POST', body: { deviceId: 'checker', notes },
  });
}

let pushes = 0;

export async function checkPush(server, someone) {
  const user = Math.max(FIRST, someone);
  const mark = `${++pushes}.${user}`;
  const old = new Map();
  let before;
  do {
    before = await pullPage(server, user, before?.data.cursor, 1000);
    for (const note of before.data.notes) old.set(note.id, note);
  } while (before.data.hasMore);
  const { data, bytes } = await pushNotes(server, user, mark);
  expect(fields(data, PUSHED) && data.notes.length === SYNCED
    && data.summary.applied === SYNCED && data.conflicts.length === 0,
  'push', data.summary);
  data.notes.forEach(({ item, ...result }, i) => {
    expect(fields({ item, ...result }, RESULT) && result.status === 'applied'
      && result.unchanged === false && result.id === item.id
      && item.id === id('note', 10 * user * (user - 1) + i + 1), 'result',
    result);
    expectNote(item, user);
    const was = old.get(item.id);
    expect(item.title === `Checked ${mark}.0000000000`
      && item.version === result.version && item.updatedAt >= was.updatedAt
      && item.version === was.version + 1
      && item.content === `<p>${item.contentPlain}</p>`, 'pushed note', item);
  });
  const after = await pullPage(server, user, before.data.cursor, 1000);
  expect(JSON.stringify(after.data.notes)
    === JSON.stringify(data.notes.map(({ item }) => item)), 'pulled again',
  after.data.notes.length);
  return bytes;
}

/* What a server was told to do may still be under way. */
async function settled(text) {
  let found;
  let again = await sql(text);
  do {
    found = again;
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    again = await sql(text);
  } while (found !== again);
  return found.split('|').map(Number);
}

export async function verifyPushed(result) {
  const [rows, steps, searchable] = await settled(`SELECT
    (SELECT count(*) FROM note_versions WHERE is_text), sum(version - 1),
    bool_and(length(content) = 1007
             AND search @@ to_tsquery('english', 'push'))::int
      FROM notes WHERE version > 1 AND title ~ '^Pushed'`);
  const [all] = await settled('SELECT sum(version - 1) FROM notes');
  expect(rows === all && steps <= all && searchable === 1, 'version rows',
    { rows, steps, all, searchable });
  const extra = rows - result.checked - SYNCED * result.written;
  expect(extra >= 0 && extra <= 4 * SYNCED * config.connections,
    'notes pushed', { rows, ...result });
  const twice = await sql(`SELECT count(*) FROM (SELECT 1 FROM notes
    GROUP BY user_id, change_seq HAVING count(*) > 1) t`);
  expect(twice === '0', 'change numbers given twice', twice);
}
