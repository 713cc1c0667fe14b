// Pull and push as the first design had them: a pull is a query per kind, a
// push goes note by note, each step a query that is waited for. What was added
// is what costs little: places in the order of changes instead of times.
import { countWords, toPlain, toSyncNote } from './note.mjs';

const seal = (place) => Buffer.from(`sync,${place}`).toString('base64url');

function open(cursor) {
  const [, place] = Buffer.from(cursor, 'base64url').toString()
    .match(/^sync,(\d{1,18})$/) ?? [];
  return place;
}

const toFolder = (row) => ({
  id: row.id,
  name: row.name,
  color: row.color,
  icon: row.icon,
  position: row.position,
  version: row.version,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  deletedAt: row.deleted_at,
});

/* query(name, values) gives rows. null: the cursor is none. */
export async function pull(query, userId, body) {
  const { deviceId, cursor, lastSyncAt, limit = 500 } = body;
  const after = cursor ? open(cursor) : 0;
  if (after === undefined) return null;
  const values = [userId, after, lastSyncAt ?? null, limit + 1];
  const [notes, folders] = await Promise.all([
    query('SYNC_NOTES', values), query('SYNC_FOLDERS', values),
  ]);
  const all = [...notes, ...folders]
    .sort((a, b) => Number(a.change_seq) - Number(b.change_seq));
  const page = all.slice(0, limit);
  await query('SYNC_LOG', [userId, deviceId, 'pull', page.length]);
  const isNote = (row) => row.title !== undefined;
  return {
    notes: page.filter(isNote).map(toSyncNote),
    folders: page.filter((row) => !isNote(row)).map(toFolder),
    cursor: seal(page.at(-1)?.change_seq ?? after),
    hasMore: all.length > limit,
    syncedAt: page.at(-1)?.updated_at ?? new Date(),
  };
}

function rejection(sent, code, message) {
  return {
    id: sent.id, status: 'rejected', version: null, unchanged: false,
    item: null, error: { code, message, details: [] },
  };
}

const same = (sent, row) => (sent.title ?? row.title) === row.title
  && (sent.content === undefined || sent.content === row.content)
  && (sent.folderId === undefined || sent.folderId === row.folder_id)
  && (sent.isPinned ?? row.is_pinned) === row.is_pinned
  && (sent.isFavorite ?? row.is_favorite) === row.is_favorite
  && (sent.tags === undefined || sent.tags.join('\n') === row.tags.join('\n'));

const applied = (id, row, unchanged) => ({
  id, status: 'applied', version: row.version, unchanged,
  item: toSyncNote(row), error: null,
});

async function pushNote(query, userId, sent, conflicts) {
  const [old] = await query('SYNC_FIND', [sent.id]);
  if (old && old.user_id !== userId) {
    return rejection(sent, 'CONFLICT', 'Not yours');
  }
  if (old && same(sent, old)) return applied(sent.id, old, true);
  if (old && (sent.baseVersion === undefined
    ? !(Date.parse(sent.updatedAt) >= old.updated_at)
    : sent.baseVersion < old.version)) {
    conflicts.push({
      id: sent.id, type: 'note', baseVersion: sent.baseVersion ?? null,
      serverVersion: toSyncNote(old), clientVersion: sent,
    });
    return {
      id: sent.id, status: 'conflict', version: old.version, unchanged: false,
      item: null, error: null,
    };
  }
  if (old) {
    await query('SYNC_HISTORY', [old.id, userId, old.title, old.content,
      old.word_count, old.folder_id, old.tags, old.is_pinned,
      old.is_favorite, old.deleted_at, old.version]);
  }
  const content = sent.content === undefined ? old?.content : sent.content;
  const plain = toPlain(content);
  const [row] = await query(old ? 'SYNC_UPDATE' : 'SYNC_INSERT', [
    sent.id, userId, sent.title?.trim() ?? old?.title ?? 'Untitled Note',
    content ?? null, plain, countWords(plain),
    sent.folderId === undefined ? old?.folder_id ?? null : sent.folderId,
    sent.tags ?? old?.tags ?? [], sent.isPinned ?? old?.is_pinned ?? false,
    sent.isFavorite ?? old?.is_favorite ?? false,
    sent.clientUpdatedAt ?? old?.client_updated_at ?? null,
  ]);
  return applied(sent.id, row, false);
}

/* check(item) gives an item's faults. */
export async function push(query, userId, body, check) {
  const notes = [];
  const conflicts = [];
  const summary = { applied: 0, conflicts: 0, rejected: 0 };
  for (const sent of body.notes ?? []) {
    const result = check(sent).length > 0
      ? rejection(sent, 'VALIDATION_ERROR', 'Invalid input data')
      : await pushNote(query, userId, sent, conflicts);
    notes.push(result);
    summary[result.status === 'conflict' ? 'conflicts' : result.status]++;
  }
  await query('SYNC_LOG', [userId, body.deviceId, 'push', summary.applied]);
  const [user] = await query('SYNC_HEAD', [userId]);
  return {
    notes, folders: [], conflicts, summary,
    cursor: seal(user.change_seq), syncedAt: new Date(),
  };
}
