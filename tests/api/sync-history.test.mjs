/* Many write, by REST and by push, while transactions wait, fail and deadlock, the database crashes, and httpd
   restarts: readers see a history without gaps, and nothing that was acknowledged is lost. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { patience, sleep, until } from './lib/env.mjs';
import { parallel, tally } from './lib/expect.mjs';
import { PrivateCluster } from './lib/postgres.mjs';
import * as history from './lib/history.mjs';

const { chance, pick } = history;
const { randomInt, randomUUID } = crypto;

/** What the writers know, and what they were told. */
class World {
  constructor(user) {
    Object.assign(this, { user, running: true, acks: [], groups: [], statuses: [], count: 0 });
    this.known = { notes: new Map(), folders: new Map() };
  }

  word() {
    this.count += 1;
    return `${this.count} ${randomUUID().slice(0, 8)}`;
  }

  some(kind) {
    return pick([...this.known[kind].keys(), randomUUID()]);
  }

  folderId() {
    return chance(0.5) ? this.some('folders') : null;
  }

  learn(kind, item) {
    const known = this.known[kind];
    if (item.version > (known.get(item.id) ?? 0)) known.set(item.id, item.version);
  }

  ack(what, item, kind) {
    this.acks.push({ what, item, when: Date.now() });
    if (kind) this.learn(kind, item);
  }

  noteFields() {
    const content = `<p>${this.word()}</p>`;
    const fields = [{ title: this.word() }, { content }, { tags: [this.word(), 'x'] }, { isPinned: chance(0.5) }];
    return Object.assign({}, ...fields.filter(() => chance(0.5)));
  }
}

/* --- by REST ------------------------------------------------------------- */

const match = (version) => (chance(0.3) ? { headers: { 'if-match': `"v${version}"` } } : {});

/** How often, kind, request. */
const DEEDS = [
  [5, 'notes', (w) => w.user.post('/notes', { ...w.noteFields(), folderId: null })],
  [8, 'notes', (w, id, o) => w.user.put(`/notes/${id}`, { ...w.noteFields(), title: w.word() }, o)],
  [4, 'notes', (w, id, o) => w.user.patch(`/notes/${id}`, { content: w.word(), folderId: w.folderId() }, o)],
  [2, 'notes', (w, id, o) => w.user.patch(`/notes/${id}/pin`, {}, o)],
  [2, 'notes', (w, id, o) => w.user.patch(`/notes/${id}/favorite`, { isFavorite: chance(0.5) }, o)],
  [3, 'notes', (w, id, o) => w.user.del(`/notes/${id}`, o)],
  [5, 'notes', (w, id, o) => w.user.post(`/notes/${id}/restore`, undefined, o)],
  [1, 'notes', (w, id) => w.user.del(`/notes/${id}?permanent=true`)],
  [2, 'folders', (w) => w.user.post('/folders', { name: w.word(), position: randomInt(9) })],
  [3, 'folders', (w, id, o) => w.user.put(`/folders/${id}`, { name: w.word() }, o)],
  [2, 'folders', (w, id, o) => w.user.patch(`/folders/${id}`, { color: null, icon: w.word().slice(0, 9) }, o)],
  [2, 'folders', (w, id, o) => w.user.del(`/folders/${id}`, o)],
  [3, 'folders', (w, id, o) => w.user.post(`/folders/${id}/restore`, undefined, o)],
].flatMap(([often, ...deed]) => Array.from({ length: often }, () => deed));

async function writeByRest(w) {
  const [kind, request] = pick(DEEDS);
  const id = w.some(kind);
  const res = await request(w, id, match(w.known[kind].get(id) ?? 1));
  assert.ok([200, 201, 404, 409, 412, 503].includes(res.status), res.text);
  w.statuses.push(res.status);
  if (res.status === 503) await sleep(20);
  if (res.status >= 300) return;
  const { permanent, ...item } = res.json.data;
  const etag = /^"v(\d+)"$/.exec(res.headers.etag ?? '');
  if (permanent) w.known.notes.delete(item.id);
  else w.ack('REST', { ...item, version: item.version ?? Number(etag[1]) }, kind);
}

/* --- by push -------------------------------------------------------------- */

function oldItem(w, kind) {
  const id = w.some(kind);
  const version = w.known[kind].get(id) ?? 1;
  const item = { id, baseVersion: Math.max(1, version - pick([0, 0, 0, 1])) };
  if (chance(0.3)) item.deletedAt = chance(0.5) ? null : new Date().toISOString();
  if (kind === 'folders') return { ...item, position: randomInt(1000) };
  return { ...item, ...w.noteFields(), ...(chance(0.2) && { folderId: w.folderId() }) };
}

function newItem(w, kind) {
  const item = { id: randomUUID(), ...(chance(0.3) && { createdAt: '2020-01-01T00:00:00Z' }) };
  return kind === 'folders' ? { ...item, name: w.word() } : { folderId: null, ...item, ...w.noteFields() };
}

function batch(w, deviceId) {
  const groups = {};
  const body = { deviceId };
  for (const [kind, most] of [['folders', 4], ['notes', 25]]) {
    const fresh = Array.from({ length: randomInt(Math.ceil(most / 2)) }, () => newItem(w, kind));
    groups[kind] = { ids: fresh.map(({ id }) => id), acknowledged: false };
    w.groups.push(groups[kind]);
    body[kind] = [...fresh, ...Array.from({ length: randomInt(most) }, () => oldItem(w, kind))];
  }
  return { body, groups };
}

/** Sends a push until it is acknowledged, or not; the reader whose device it is takes the answer's cursor. */
async function push(w, { body, groups }, reader) {
  for (;;) {
    const res = await w.user.post('/sync/push', body);
    assert.ok([200, 503].includes(res.status), res.text);
    w.statuses.push(res.status);
    if (res.status === 200 && (!reader || chance(0.9))) {
      for (const kind of ['folders', 'notes']) {
        groups[kind].acknowledged = true;
        for (const { status, item } of res.json.data[kind]) {
          if (status === 'applied' && item) w.ack('push', item, kind);
        }
      }
      reader?.pushed(res.json.data);
      return;
    }
    await sleep(20);
    if (!w.running || (!reader && chance(0.5))) return;
  }
}

/* --- the test ------------------------------------------------------------- */

describe('A history of changes', () => {
  const cluster = new PrivateCluster();
  const s = new Server({ database: 'app', dbMax: 10, dbOptions: '-c statement_timeout=5s -c deadlock_timeout=30ms' });
  s.expectLog(
    /database: \w+: (53200|40001) ERROR: {2}trouble\\n/,
    /database: \w+: 40P01 ERROR: {2}deadlock detected\\n/,
    /database: \w+: 57P01 FATAL: {2}terminating connection due to administrator command\\n/,
    /database: (\w+: {2}|is dead: |cannot set up the session: |cannot read the schema: )server closed the connection/,
    /database: (is away|cannot connect|all connections are busy)/,
    /DBD \[pgsql\] Error: connection to server on socket "\S+" failed: /,
    /Can't connect to pgsql: connection to server on socket "\S+" failed: /,
    /AH02655: Failed to acquire DBD connection from pool/,
    /CH1063: this process gets no connection/,
    /the database's announcements are lost/,
    /the API log waits: database: is away/,
    /CH1131: \d+ messages of realtime for other servers could not be sent/,
  );
  before(async () => {
    await cluster.init();
    s.pg = cluster.cluster;
    await s.start();
  });
  after(async () => {
    await s.stop().finally(() => cluster.remove());
  });

  async function restartDatabase(w, mode) {
    await cluster.stop(mode);
    const refused = w.statuses.filter((status) => status === 503).length;
    await until(() => w.statuses.filter((status) => status === 503).length > refused + 8, 10000, 'writes are refused');
    await cluster.start();
  }

  async function restartHttpd() {
    const old = s.processes();
    s.signal('SIGUSR1');
    await until(() => s.processes().some((pid) => !old.includes(pid)), 15000, 'new children');
  }

  const moreWrites = (w, n) => {
    const enough = w.acks.length + n;
    return until(() => w.acks.length >= enough, 20000, `${n} more writes`);
  };

  async function read(w, reader) {
    while (w.running) {
      const complete = await reader.pull(pick([1, 3, 10, 40, 1000]), 0.1);
      if (reader.how === 'push' && chance(0.3)) await push(w, batch(w, reader.deviceId), reader);
      await sleep(complete ? randomInt(100) : 1);
    }
  }

  it('has no gap for whoever reads it, and keeps what was acknowledged', { timeout: 120000 * patience }, async (t) => {
    const user = await s.user();
    const w = new World(user);
    await history.listen(s);
    await history.trouble(s);
    const readers = ['cursor', 'cursor', 'time', 'push'].map((how) => new history.Reader(user, how));
    const working = Promise.all([
      ...readers.map((reader) => read(w, reader)),
      history.deadlocks(s, user.user.id, () => w.running),
      parallel(16, async (n) => {
        while (w.running) await (n % 2 ? writeByRest(w) : push(w, batch(w, `writer ${n}`)));
      }),
    ]);
    const events = (async () => {
      await moreWrites(w, 700);
      await restartDatabase(w, 'immediate');
      await moreWrites(w, 700);
      await restartHttpd();
      await moreWrites(w, 700);
      await restartDatabase(w, 'fast');
      await moreWrites(w, 700);
    })();
    try {
      await Promise.race([events, working]);
    } finally {
      w.running = false;
    }
    await Promise.all([events, working]);
    await history.peace(s);

    const all = await history.History.of(s, user.user.id);
    t.diagnostic(`${all.rows.length} changes, ${JSON.stringify(tally(w.statuses))}`);
    all.checkOrder();
    all.checkAcks(w.acks);
    all.checkWhole(w.groups);
    const now = await history.table(s, user.user.id);
    for (const reader of readers) {
      await until(() => reader.pull(1000), 10000, 'the reader has all');
      const state = all.checkReader(reader);
      all.checkFresh(reader, w.acks);
      assert.deepEqual(history.bareState(state), now, `what ${reader.deviceId} has at the end`);
      t.diagnostic(`${reader.how}: told ${reader.told.length} times`);
    }
  });

  it('leaves a row of history for each step of a version, and none of what was deleted for good', async () => {
    const lacking = `SELECT n.id, n.version, n.purged, array_agg(v.version ORDER BY v.version) AS kept
      FROM notes n LEFT JOIN note_versions v ON v.note_id = n.id GROUP BY n.id
      HAVING count(v.id) <> CASE WHEN n.purged THEN 0 ELSE n.version - 1 END`;
    assert.deepEqual(await s.sql(lacking), []);
    const folders = `SELECT f.id, f.version FROM folders f LEFT JOIN folder_versions v ON v.folder_id = f.id
      GROUP BY f.id HAVING count(v.id) <> f.version - 1`;
    assert.deepEqual(await s.sql(folders), []);
    assert.ok((await s.sql('SELECT count(*) AS n FROM notes WHERE purged'))[0].n > 0, 'some were deleted for good');
  });
});
