/* Clients of sync: pulls, pushes, and what the tables say about both. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { ok } from './expect.mjs';

export const uuid = () => crypto.randomUUID();

export const tryPull = (user, body = {}) => user.post('/sync/pull', { deviceId: 'one', ...body });
export const tryPush = (user, body = {}) => user.post('/sync/push', { deviceId: 'one', ...body });
export const pull = async (user, body) => ok(await tryPull(user, body));
export const push = async (user, body) => ok(await tryPush(user, body));
export const status = async (user, query = '') => ok(await user.get(`/sync/status${query}`));

/** The results of pushed notes, or of folders. */
export const pushNotes = async (user, notes, more) => (await push(user, { notes, ...more })).notes;
export const pushFolders = async (user, folders, more) => (await push(user, { folders, ...more })).folders;

/** Pulls until there is no more; gives the pages. */
export async function pullPages(user, body = {}) {
  const pages = [await pull(user, body)];
  while (pages.at(-1).hasMore) {
    assert.ok(pages.length < 3000, 'it ends');
    const { lastSyncAt, ...rest } = body;
    pages.push(await pull(user, { ...rest, cursor: pages.at(-1).cursor }));
  }
  return pages;
}

/** Everything behind a cursor (or lastSyncAt), as one answer. */
export async function pullAll(user, body) {
  const pages = await pullPages(user, body);
  return {
    ...pages.at(-1),
    notes: pages.flatMap((page) => page.notes),
    folders: pages.flatMap((page) => page.folders),
  };
}

/** What a pull shows of an object that GET shows. */
export function asSync(object) {
  const { folder, noteCount, ...rest } = object;
  return rest;
}

export const show = (value) => JSON.stringify(value).slice(0, 1500);

/** status, code and [field, code] of a result, as one text. */
export const verdict = (r) =>
  [r.status, r.error?.code, ...(r.error?.details ?? []).map((d) => `${d.field}:${d.code}`)].filter(Boolean).join(' ');

/** Results of a push by their form: who has item, who has error, and what the summary counts. */
export function sane(answer) {
  const all = [...answer.notes, ...answer.folders];
  for (const r of all) {
    assert.equal(r.error !== null, r.status === 'rejected', show(r));
    if (r.status !== 'applied') assert.equal(r.item, null, show(r));
    else assert.equal(r.item === null, r.version === 0, show(r));
    if (r.item) {
      assert.equal(r.item.version, r.version, show(r));
      assert.equal(r.item.id, r.id.toLowerCase(), show(r));
    }
    if (r.status === 'rejected') assert.equal(r.version, null, show(r));
    if (r.status !== 'applied') assert.equal(r.unchanged, false, show(r));
  }
  const count = (name) => all.filter((r) => r.status === name).length;
  assert.deepEqual(answer.summary, {
    applied: count('applied'),
    conflicts: count('conflict'),
    rejected: count('rejected'),
  });
  assert.equal(answer.conflicts.length, count('conflict'));
  return answer;
}

export const noteRow = async (s, id) => (await s.sql('SELECT * FROM notes WHERE id = $1', [id]))[0];
export const folderRow = async (s, id) => (await s.sql('SELECT * FROM folders WHERE id = $1', [id]))[0];
export const history = (s, id) => s.sql('SELECT * FROM note_versions WHERE note_id = $1 ORDER BY version', [id]);
export const folderHistory = (s, id) => s.sql('SELECT * FROM folder_versions WHERE folder_id = $1 ORDER BY version', [id]);
export const quarrels = (s, id) =>
  s.sql('SELECT * FROM sync_conflicts WHERE item_id = $1 AND resolved_at IS NULL', [id]);
export const changeSeq = async (s, user) =>
  (await s.sql('SELECT change_seq FROM users WHERE id = $1', [user.user.id]))[0].change_seq;

/** id, kind, change number of all of a user's objects, in the order of their changes. */
export const changes = (s, user) =>
  s.sql(
    `SELECT id, 'note' AS kind, change_seq AS seq, version, updated_at FROM notes WHERE user_id = $1
     UNION ALL SELECT id, 'folder', change_seq, version, updated_at FROM folders WHERE user_id = $1 ORDER BY seq`,
    [user.user.id],
  );

/**
 * What must hold of all that a user has: change numbers are used once and not ahead of the user's, times have their
 * order, and the history has each version below the present one once.
 */
export async function sound(s, user) {
  const rows = await changes(s, user);
  const [{ change_seq: head, changed_at: at }] = await s.sql('SELECT * FROM users WHERE id = $1', [user.user.id]);
  rows.forEach((row, n) => {
    assert.ok(row.seq <= head, 'no number is ahead');
    if (n) {
      assert.ok(row.seq > rows[n - 1].seq, `numbers are used once: ${show([rows[n - 1], row])}`);
      assert.ok(row.updated_at > rows[n - 1].updated_at, `times have their order: ${show([rows[n - 1], row])}`);
    }
    assert.ok(row.updated_at <= at, 'no time is ahead');
  });
  const broken = await s.sql(
    `SELECT n.id, n.version, count(v.*) AS steps, max(v.version) AS last
     FROM (SELECT id, version FROM notes WHERE user_id = $1 AND NOT purged
           UNION ALL SELECT id, version FROM folders WHERE user_id = $1) n
     LEFT JOIN (SELECT note_id AS of, version FROM note_versions
                UNION ALL SELECT folder_id, version FROM folder_versions) v ON v.of = n.id
     GROUP BY n.id, n.version HAVING count(v.*) <> n.version - 1 OR max(v.version) >= n.version`,
    [user.user.id],
  );
  assert.deepEqual(broken, [], 'objects and their histories belong together');
}
