/*
 * resolve-conflict (API.md 7) against a model: notes and folders with a random history on the server, a random change by
 * a client on one of its versions, and one of the strategies; what should come of it is computed from the contract.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ok, times } from './lib/expect.mjs';
import { changeSeq, folderHistory, history, pull, push, show, sound, status, uuid } from './lib/sync.mjs';

const PAST = '2001-02-03T04:05:06.789Z';
const STRATEGIES = ['server-wins', 'client-wins', 'manual', 'merge', 'merge', 'merge'];

/** Numbers from a seed (mulberry32). */
function dice(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, of: (list) => list[below(list.length)], chance: (p) => next() < p };
}

/* --- texts: blocks of a line each, kept apart by lines that nobody changes -------- */

const text = (blocks) => blocks.map((block, n) => `keep ${n}\n${block}\n`).join('');

function mergeBlocks(base, server, client) {
  let count = 0;
  const merged = base.map((was, n) => {
    const [mine, theirs] = [server[n], client[n]];
    if (theirs === was || mine === theirs) return `keep ${n}\n${mine}\n`;
    if (mine === was) return `keep ${n}\n${theirs}\n`;
    count += 1;
    return `keep ${n}\n<<<<<<< server\n${mine}\n=======\n${theirs}\n>>>>>>> client\n`;
  });
  return { merged: merged.join(''), count };
}

/* --- the model ------------------------------------------------------------ */

const KINDS = {
  note: { path: 'notes', scalars: ['title', 'folderId', 'isPinned', 'isFavorite'], history },
  folder: { path: 'folders', scalars: ['name', 'color', 'icon', 'position'], history: folderHistory },
};

/** The contract's merge; states have the fields as they are shown, `blocks` in place of content, `deleted`. */
function merge(kind, base, server, client) {
  const clashes = [];
  const out = { ...server };
  const theirs = { ...base, ...client };
  for (const field of KINDS[kind].scalars) {
    if (server[field] === base[field]) out[field] = theirs[field];
    else if (theirs[field] !== base[field] && theirs[field] !== server[field]) clashes.push({ field, count: 1 });
  }
  if (kind === 'note') {
    const gone = new Set(base.tags.filter((tag) => !server.tags.includes(tag) || !theirs.tags.includes(tag)));
    const kept = server.tags.filter((tag) => !gone.has(tag));
    out.tags = [...kept, ...theirs.tags.filter((tag) => !gone.has(tag) && !kept.includes(tag))];
    const { merged, count } = mergeBlocks(base.blocks, server.blocks, theirs.blocks);
    out.content = merged;
    if (count) clashes.push({ field: 'content', count });
  }
  const edited = (side) =>
    Object.keys(base).some((field) => field !== 'deleted' && show(side[field]) !== show(base[field]));
  if (server.deleted && !theirs.deleted) out.deleted = !edited(theirs);
  else if (!server.deleted && theirs.deleted) out.deleted = !edited(server);
  return { out, clashes };
}

/** What a strategy makes of the present state. */
function settle(c) {
  const plain = ({ blocks, ...fields }) => ({ ...fields, ...(blocks ? { content: text(blocks) } : {}) });
  const server = c.states.at(-1);
  if (c.strategy === 'server-wins') return { out: plain(server), clashes: [] };
  if (c.strategy === 'client-wins') return { out: plain({ ...server, ...c.client }), clashes: [] };
  if (c.strategy === 'manual') return { out: plain({ ...server, ...c.manual }), clashes: [] };
  const { out, clashes } = merge(c.kind, c.states[c.base - 1], server, c.client);
  const { blocks, ...fields } = out;
  return { out: fields, clashes };
}

/* --- random histories ----------------------------------------------------- */

function randomFields(kind, d, folders, state, n) {
  const fields = {};
  const all =
    kind === 'note'
      ? {
          title: () => `title ${d.below(4)}`,
          folderId: () => d.of([null, ...folders]),
          isPinned: () => d.chance(0.5),
          isFavorite: () => d.chance(0.5),
          tags: () => ['a', 'b', 'c', 'd', 'e'].filter(() => d.chance(0.5)).sort(() => d.below(3) - 1),
          blocks: () => state.blocks.map((block) => (d.chance(0.3) ? `line ${d.below(3)}` : block)),
        }
      : {
          name: () => `name ${n} ${d.below(4)}`,
          color: () => d.of([null, '#111111', '#222222']),
          icon: () => d.of([null, 'x', 'y']),
          position: () => d.below(3),
        };
  for (const [name, make] of Object.entries(all)) if (d.chance(0.4)) fields[name] = make();
  return fields;
}

/** As a body: blocks become content, deleted deletedAt. */
function body({ blocks, deleted, ...fields }) {
  return {
    ...fields,
    ...(blocks ? { content: text(blocks) } : {}),
    ...(deleted === undefined ? {} : { deletedAt: deleted ? PAST : null }),
  };
}

const same = (a, b) => Object.keys(b).every((key) => show(a[key]) === show(b[key]));

async function writeHistory(user, d, folders, kind, n) {
  const start =
    kind === 'note'
      ? { title: 'base', folderId: null, isPinned: false, isFavorite: false, tags: ['a', 'b', 'c'], blocks: times(5, (k) => `base ${k}`) }
      : { name: `name ${n}`, color: null, icon: null, position: 0 };
  const c = { kind, id: uuid(), states: [{ ...start, deleted: false }] };
  const { path } = KINDS[kind];
  await push(user, { [path]: [{ id: c.id, ...body(start) }] });
  for (let step = 0; step < 4 || c.states.length < 2; step += 1) {
    const last = c.states.at(-1);
    const fields = randomFields(kind, d, folders, last, n);
    if (!same(last, fields)) {
      ok(await user.put(`/${path}/${c.id}`, body(fields)));
      c.states.push({ ...last, ...fields });
    }
  }
  if (d.chance(0.2)) {
    ok(await user.del(`/${path}/${c.id}`));
    c.states.push({ ...c.states.at(-1), deleted: true });
  }
  c.base = 1 + d.below(c.states.length - 1);
  do {
    c.client = randomFields(kind, d, folders, c.states[c.base - 1], n);
    if (d.chance(0.2)) c.client = { deleted: true };
    else if (d.chance(0.3)) c.client.deleted = d.chance(0.3);
  } while (same(c.states.at(-1), c.client));
  c.manual = randomFields(kind, d, folders, c.states.at(-1), n);
  if (d.chance(0.3)) c.manual.deleted = d.chance(0.5);
  c.strategy = d.of(STRATEGIES);
  return c;
}

/* --- one case -------------------------------------------------------------- */

async function quarrel(s, user, d, c) {
  const { path } = KINDS[c.kind];
  const item = { id: c.id, baseVersion: c.base, ...body(c.client) };
  const stored = d.chance(0.6);
  if (stored || c.strategy === 'server-wins') {
    const done = await push(user, { [path]: [item] });
    assert.equal(done.summary.conflicts, 1, show(c));
    assert.equal((await status(user)).pendingConflicts, 1);
  }
  const { cursor } = await pull(user, { limit: 1000 });
  const seq = await changeSeq(s, user);
  const before = await KINDS[c.kind].history(s, c.id);
  const { out, clashes } = settle(c);
  const given = c.strategy === 'manual' || stored || c.strategy === 'server-wins' ? {} : { clientVersion: item };
  const done = ok(
    await user.post('/sync/resolve-conflict', {
      id: d.chance(0.2) ? c.id.toUpperCase() : c.id,
      type: c.kind,
      strategy: c.strategy,
      ...given,
      ...(c.strategy === 'manual' ? { resolvedData: body(c.manual) } : {}),
    }),
  );
  const { resolved } = done;
  assert.deepEqual([done.id, done.type, done.strategy, done.clean], [c.id, c.kind, c.strategy, clashes.length === 0], show(c));
  const order = (list) => [...list].sort((a, b) => (a.field < b.field ? -1 : 1));
  assert.deepEqual(order(done.clashes), order(clashes), show(c));
  const { deleted, ...fields } = out;
  for (const [name, value] of Object.entries(fields)) assert.deepEqual(resolved[name], value, `${name} of ${show(c)}`);
  assert.equal(resolved.deletedAt !== null, deleted, `deletedAt of ${show(c)}`);
  const server = c.states.at(-1);
  const changed = !same({ ...server, ...(server.blocks ? { content: text(server.blocks) } : {}) }, out);
  assert.equal(resolved.version, c.states.length + (changed ? 1 : 0), show(c));
  assert.equal((await changeSeq(s, user)) - seq, changed ? 1 : 0);
  assert.equal((await KINDS[c.kind].history(s, c.id)).length - before.length, changed ? 1 : 0);
  const news = await pull(user, { cursor });
  assert.deepEqual(news[path], changed ? [resolved] : []);
  const after = await status(user);
  assert.deepEqual([after.pendingConflicts, after.conflicts], [0, []]);
  return clashes.length;
}

serverSuite('Sync: resolving against a model', { limits: { api: 'off' } }, (s) => {
  for (const kind of Object.keys(KINDS)) {
    for (const seed of [1, 2, 3]) {
      it(`${kind}s, seed ${seed}: forty histories, any strategy`, async () => {
        const user = await s.user();
        const d = dice(seed);
        const folders = times(3, uuid);
        await push(user, { folders: folders.map((id, n) => ({ id, name: `f${n}` })) });
        let clashes = 0;
        for (let n = 0; n < 40; n += 1) {
          clashes += await quarrel(s, user, d, await writeHistory(user, d, folders, kind, n));
        }
        assert.ok(clashes > 2, `${clashes} clashes`);
        await sound(s, user);
        const logs = await s.sql(
          `SELECT count(*) AS n, sum(conflicts_resolved)::bigint AS total FROM sync_logs
           WHERE user_id = $1 AND action = 'conflict_resolved'`,
          [user.user.id],
        );
        const closed = await s.sql(
          'SELECT strategy FROM sync_conflicts WHERE user_id = $1 AND resolved_at IS NOT NULL',
          [user.user.id],
        );
        assert.ok(closed.length > 10 && closed.every((row) => STRATEGIES.includes(row.strategy)));
        assert.deepEqual(logs, [{ n: 40, total: 40 }], 'a row each');
      });
    }
  }
});
