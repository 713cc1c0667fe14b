/*
 * Sync (API.md 7): the conflict matrix. What a client did × what happened to the object on the server meanwhile ×
 * baseVersion × updatedAt, for notes and folders; what should come of it is computed by a small model of the contract's
 * rules, and compared with the answer and with what the tables hold.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ok, tally } from './lib/expect.mjs';
import { changes, pull, push, sane, show, sound, uuid, verdict } from './lib/sync.mjs';

const PAST = '2001-02-03T04:05:06.789Z';

/* --- the three dimensions ------------------------------------------------- */

/** What happened on the server: functions of (user, path) that lead there from an object of version 1. */
const SERVER = {
  none: null /* the object was never there */,
  create: [],
  update: [(user, path, n) => user.put(path, { [n.words]: `${n.name} server` })],
  mark: [(user, path, n) => user.put(path, n.mark(true))],
  delete: [(user, path) => user.del(path)],
  restore: [(user, path) => user.del(path), (user, path) => user.post(`${path}/restore`)],
  purge: [(user, path) => user.del(`${path}?permanent=true`)],
};

/** What the client did; without id, baseVersion, updatedAt. */
const CLIENT = {
  create: (n) => ({ [n.words]: `${n.name} client`, ...n.mark(true), deletedAt: null }),
  same: (n) => ({ [n.words]: n.name }),
  update: (n) => ({ [n.words]: `${n.name} client` }),
  agree: (n) => ({ [n.words]: `${n.name} server` }),
  mark: (n) => n.mark(true),
  unmark: (n) => n.mark(false),
  delete: () => ({ deletedAt: PAST }),
  restore: () => ({ deletedAt: null }),
  'edit and delete': (n) => ({ [n.words]: `${n.name} client`, deletedAt: PAST }),
  'edit and restore': (n) => ({ [n.words]: `${n.name} client`, deletedAt: null }),
  nothing: () => ({}),
};

const BASE = {
  absent: () => undefined,
  zero: () => 0,
  older: (version) => version - 1,
  equal: (version) => version,
  newer: (version) => version + 1,
};

const shifted = (time, ms) => new Date(Date.parse(time) + ms).toISOString();
const SEEN = {
  absent: () => undefined,
  older: (time) => shifted(time, -1),
  equal: (time) => time,
  newer: (time) => shifted(time, 1),
};

const KINDS = {
  notes: {
    words: 'title',
    mark: (on) => ({ isPinned: on, tags: on ? ['m'] : [] }),
    missing: 'NOTE_NOT_FOUND',
    make: (name) => ({ title: name, content: '<p>text</p>' }),
    blank: { title: 'Untitled Note', isPinned: false, tags: [] },
    states: Object.keys(SERVER),
  },
  folders: {
    words: 'name',
    mark: (on) => ({ position: on ? 1 : 0, color: on ? '#123456' : null }),
    missing: 'FOLDER_NOT_FOUND',
    make: (name) => ({ name }),
    blank: { position: 0, color: null },
    states: Object.keys(SERVER).filter((name) => name !== 'purge'),
  },
};

/* --- the model ------------------------------------------------------------ */

/** The contract's rules: what a push of `item` does to `object` (undefined: there is none; purged: a tombstone). */
function judge(kind, object, item) {
  const { missing, words, blank } = KINDS[kind];
  const { id, baseVersion: base, updatedAt: seen, ...fields } = item;
  const trash = fields.deletedAt !== undefined && fields.deletedAt !== null;
  const rejected = (text) => ({ verdict: `rejected ${text}` });
  const unchanged = (version) => ({ verdict: 'applied', version, unchanged: true });

  if (!object) {
    if (trash) return { ...unchanged(0), nothing: true };
    if (base > 0) return rejected(missing);
    if (kind === 'folders' && fields.name === undefined) return rejected('VALIDATION_ERROR name:MISSING_FIELD');
    return { verdict: 'applied', version: 1, unchanged: false, after: { ...blank, ...fields, deleted: false } };
  }
  if (object.purged) return trash ? unchanged(object.version) : rejected(missing);

  const after = { ...object.fields, ...fields };
  const words_ = after[words] !== object.fields[words];
  if ('deletedAt' in fields) after.deleted = trash;
  delete after.deletedAt;
  if (show(after) === show(object.fields)) return unchanged(object.version);
  if (base !== undefined) {
    if (base > object.version) return rejected('VALIDATION_ERROR baseVersion:TOO_LARGE');
    if (base < object.version) return { verdict: 'conflict', version: object.version, unchanged: false };
  } else if (seen === undefined) {
    return rejected('VALIDATION_ERROR baseVersion:MISSING_FIELD');
  } else if (object.updatedAt > seen) {
    return { verdict: 'conflict', version: object.version, unchanged: false };
  }
  return { verdict: 'applied', version: object.version + 1, unchanged: false, after, history: words_ ? 'text' : 'meta' };
}

/* --- the cases ------------------------------------------------------------ */

function* combinations(kind) {
  for (const state of KINDS[kind].states) {
    for (const action of Object.keys(CLIENT)) {
      for (const base of Object.keys(BASE)) {
        for (const seen of Object.keys(SEEN)) {
          yield { kind, state, action, base, seen, name: `${state}/${action}/${base}/${seen}`, id: uuid() };
        }
      }
    }
  }
}

const chunks = (list, size) =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, n) => list.slice(n * size, (n + 1) * size));

/** Makes the objects and has happen to them what should, eight at a time. */
async function prepare(user, cases) {
  const { make } = KINDS[cases[0].kind];
  const there = cases.filter(({ state }) => SERVER[state]);
  for (const part of chunks(there, 500)) {
    sane(await push(user, { [part[0].kind]: part.map(({ id, name }) => ({ id, ...make(name) })) }));
  }
  for (const part of chunks(there, 8)) {
    await Promise.all(
      part.map(async (c) => {
        for (const step of SERVER[c.state]) ok(await step(user, `/${c.kind}/${c.id}`, { ...KINDS[c.kind], name: c.name }));
      }),
    );
  }
}

async function tables(s, user, kind) {
  const history =
    kind === 'notes'
      ? 'SELECT note_id AS of, version, is_text, title AS words, is_pinned AS mark, deleted_at FROM note_versions'
      : 'SELECT folder_id AS of, version, NULL, name AS words, position = 1 AS mark, deleted_at FROM folder_versions';
  const rows = await s.sql(
    `SELECT n.*, h.steps, q.open FROM ${kind} n
     LEFT JOIN LATERAL (SELECT array_agg(to_json(h) ORDER BY version) AS steps FROM (${history}) h WHERE of = n.id) h ON true
     LEFT JOIN LATERAL (SELECT array_agg(to_json(c)) AS open FROM sync_conflicts c
                        WHERE item_id = n.id AND user_id = $1) q ON true
     WHERE n.user_id = $1`,
    [user.user.id],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** What the model needs to know of an object, from a row. */
function known(kind, row) {
  const { words, blank } = KINDS[kind];
  const columns = { title: 'title', name: 'name', isPinned: 'is_pinned', tags: 'tags', position: 'position', color: 'color' };
  const fields = Object.fromEntries([words, ...Object.keys(blank).filter((k) => k !== words)].map((k) => [k, row[columns[k]]]));
  fields.deleted = row.deleted_at !== null;
  return { version: row.version, updatedAt: row.updated_at.toISOString(), purged: row.purged ?? false, fields };
}

/** The keys of both in the same order, so that they can be compared as texts. */
const sorted = (object) => Object.fromEntries(Object.entries(object).sort());

function itemOf(c, object) {
  const { version, updatedAt } = object ?? { version: 1, updatedAt: PAST };
  const fields = CLIENT[c.action]({ ...KINDS[c.kind], name: c.name });
  return JSON.parse(
    JSON.stringify({ id: c.id, baseVersion: BASE[c.base](version), updatedAt: SEEN[c.seen](updatedAt), ...fields }),
  );
}

function compareAnswer(c, expected, r, conflict) {
  assert.equal(verdict(r), expected.verdict, c.name);
  assert.equal(r.id, c.id);
  if (r.status === 'rejected') return;
  assert.deepEqual([r.version, r.unchanged], [expected.version, expected.unchanged], c.name);
  assert.equal(conflict !== undefined, r.status === 'conflict', c.name);
  if (conflict) {
    assert.deepEqual(conflict.clientVersion, c.item, c.name);
    assert.deepEqual([conflict.serverVersion.version, conflict.baseVersion], [r.version, c.item.baseVersion ?? null], c.name);
  }
}

function compareTables(c, expected, before, after) {
  const { words } = KINDS[c.kind];
  const changed = expected.after !== undefined;
  if (!after) {
    assert.ok(!before && !changed, `${c.name}: there is nothing`);
    return;
  }
  assert.ok(before || changed, `${c.name}: nothing is stored`);
  const now = known(c.kind, after);
  if (changed) {
    assert.deepEqual(sorted(now.fields), sorted(withoutTime(expected.after)), c.name);
    assert.equal(now.version, expected.version, c.name);
    if (before) assert.ok(after.change_seq > before.change_seq && after.updated_at > before.updated_at, c.name);
  } else {
    assert.deepEqual(now, known(c.kind, before), `${c.name}: nothing changed`);
    assert.equal(after.change_seq, before.change_seq, c.name);
  }
  const steps = after.steps ?? [];
  assert.deepEqual(steps.slice(0, before?.steps?.length ?? 0), before?.steps ?? [], `${c.name}: history stays`);
  const added = steps.slice(before?.steps?.length ?? 0);
  assert.equal(added.length, changed && before ? 1 : 0, `${c.name}: one row of history for a step`);
  for (const row of added) {
    assert.deepEqual([row.version, row.deleted_at !== null], [before.version, before.deleted_at !== null], c.name);
    if (c.kind === 'notes') assert.equal(row.is_text, expected.history === 'text', c.name);
    assert.equal(row.words, c.kind === 'folders' || row.is_text ? before[words] : null, c.name);
  }
  const conflict = expected.verdict === 'conflict';
  assert.equal(after.open?.length ?? 0, conflict ? 1 : 0, `${c.name}: a conflict is stored, or none`);
  if (c.kind === 'notes') assert.equal(after.sync_status, conflict ? 'conflict' : 'synced', c.name);
  if (conflict) {
    const [stored] = after.open;
    assert.deepEqual(
      [stored.item_type, stored.base_version, stored.server_version, stored.resolved_at],
      [c.kind.slice(0, -1), c.item.baseVersion ?? null, before.version, null],
      c.name,
    );
    assert.equal(stored.client_data[words], c.item[words], c.name);
    assert.equal('deletedAt' in stored.client_data, 'deletedAt' in c.item, c.name);
  }
}

function withoutTime(fields) {
  const { deletedAt, ...rest } = fields;
  return rest;
}

serverSuite('Sync: the conflict matrix', { limits: { api: 'off' } }, (s) => {
  for (const kind of Object.keys(KINDS)) {
    it(`${kind}: whatever a client did, and whatever happened meanwhile`, async () => {
      const user = await s.user();
      const cases = [...combinations(kind)];
      await prepare(user, cases);
      const before = await tables(s, user, kind);
      const start = (await pull(user, { limit: 1000 })).cursor;
      const numbers = (await changes(s, user)).at(-1).seq;
      for (const c of cases) {
        const row = before.get(c.id);
        assert.equal(row !== undefined, SERVER[c.state] !== null, c.name);
        c.object = row && known(kind, row);
        c.item = itemOf(c, c.object);
        c.expected = judge(kind, c.object, c.item);
      }
      for (const part of chunks(cases, 367)) {
        const done = sane(await push(user, { [kind]: part.map((c) => c.item) }));
        part.forEach((c, n) => {
          c.result = done[kind][n];
          compareAnswer(c, c.expected, c.result, done.conflicts.find((conflict) => conflict.id === c.id));
        });
      }
      const after = await tables(s, user, kind);
      for (const c of cases) compareTables(c, c.expected, before.get(c.id), after.get(c.id));
      const changed = cases.filter((c) => c.expected.after);
      const rows = (await changes(s, user)).filter((row) => row.seq > numbers);
      assert.deepEqual(rows.map((row) => row.id), changed.map((c) => c.id), 'one number for each change, in their order');
      const got = await pull(user, { cursor: start, limit: 1 });
      assert.ok(got.hasMore);
      const seen = tally(cases.map((c) => c.expected.verdict));
      for (const name of ['applied', 'conflict', `rejected ${KINDS[kind].missing}`]) assert.ok(seen[name] > 10, show(seen));
      await sound(s, user);
    });

    it(`${kind}: the same push again changes nothing more`, async () => {
      const user = await s.user();
      const cases = [...combinations(kind)].filter((c) => c.seen === 'absent');
      await prepare(user, cases);
      const before = await tables(s, user, kind);
      for (const c of cases) c.item = itemOf(c, before.get(c.id) && known(kind, before.get(c.id)));
      const items = cases.map((c) => c.item);
      const first = sane(await push(user, { [kind]: items }));
      const between = await tables(s, user, kind);
      const second = sane(await push(user, { [kind]: items }));
      const strip = (map) => [...map.values()].map(({ open, ...row }) => row);
      assert.deepEqual(strip(await tables(s, user, kind)), strip(between), 'not a row');
      cases.forEach((c, n) => {
        const [a, b] = [first[kind][n], second[kind][n]];
        assert.equal(verdict(b), verdict(a), c.name);
        if (a.status === 'applied') assert.deepEqual([b.version, b.unchanged, b.item], [a.version, true, a.item], c.name);
        else assert.deepEqual({ ...b, error: null }, { ...a, error: null }, c.name);
      });
    });
  }
});
