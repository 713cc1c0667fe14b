/*
 * Sync (API.md 7), as whole clients see it: devices with stores of their own edit at random, push, pull, lose answers,
 * and give way where there is a conflict. In the end all of them have what the tables have. Each round is made from a
 * seed, which stands in the name of the test; SYNC_SEED=n,m,... runs others.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ok } from './lib/expect.mjs';
import { pull, pullAll, push, sane, show, sound, verdict } from './lib/sync.mjs';

const PAST = '2001-02-03T04:05:06.789Z';

/** Numbers from a seed (mulberry32). */
class Dice {
  constructor(seed) {
    this.state = seed;
  }
  next() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  below(n) {
    return Math.floor(this.next() * n);
  }
  of(list) {
    return list[this.below(list.length)];
  }
  chance(p) {
    return this.next() < p;
  }
  uuid() {
    const hex = Array.from({ length: 32 }, () => this.below(16).toString(16)).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}

const NAMES = ['Home', 'Work', 'Trips', 'Books', 'Old'];

/** A device that is mostly offline. An entry: {kind, server: as last answered, base: version, edit: fields not pushed}. */
class Device {
  constructor(user, dice, name, way) {
    Object.assign(this, { user, dice, deviceId: name, way, store: new Map(), place: {}, counts: {} });
  }

  count(what) {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  entries(kind, which = () => true) {
    return [...this.store.values()].filter((entry) => entry.kind === kind && which(entry));
  }

  /** One random edit of the store. */
  edit() {
    const { dice } = this;
    const kind = dice.chance(0.7) ? 'notes' : 'folders';
    const known = this.entries(kind);
    if (!known.length || dice.chance(0.25)) {
      const id = dice.uuid();
      const edit = kind === 'notes' ? this.noteFields() : { name: dice.of(NAMES) };
      this.store.set(id, { id, kind, server: null, base: 0, edit });
      return;
    }
    const entry = dice.of(known);
    if (dice.chance(0.15)) entry.edit = { ...entry.edit, deletedAt: PAST };
    else if (dice.chance(0.15)) entry.edit = { ...entry.edit, deletedAt: null };
    else entry.edit = { ...entry.edit, ...(kind === 'notes' ? this.noteFields() : this.folderFields()) };
  }

  noteFields() {
    const { dice } = this;
    const folders = this.entries('folders');
    const all = [
      () => ({ title: `title ${dice.below(50)}` }),
      () => ({ content: dice.chance(0.2) ? null : `<p>${'text '.repeat(dice.below(40))}</p>` }),
      () => ({ tags: dice.chance(0.3) ? [] : [`t${dice.below(4)}`, `u${dice.below(4)}`] }),
      () => ({ isPinned: dice.chance(0.5) }),
      () => ({ isFavorite: dice.chance(0.5) }),
      () => ({ folderId: folders.length && dice.chance(0.7) ? dice.of(folders).id : null }),
      () => ({ clientUpdatedAt: dice.chance(0.5) ? PAST : null }),
    ];
    return Object.assign({}, dice.of(all)(), dice.chance(0.4) ? dice.of(all)() : {});
  }

  folderFields() {
    const { dice } = this;
    return dice.of([
      () => ({ name: dice.of(NAMES) }),
      () => ({ color: dice.chance(0.5) ? '#abcdef' : null }),
      () => ({ icon: dice.chance(0.5) ? 'star' : null }),
      () => ({ position: dice.below(5) }),
    ])();
  }

  take(kind, item) {
    const entry = this.store.get(item.id);
    if (!entry) this.store.set(item.id, { id: item.id, kind, server: item, base: item.version, edit: null });
    else if (!entry.edit) Object.assign(entry, { server: item, base: item.version });
    else entry.server = item; /* the edit stands on an older version: the push will tell */
  }

  /** Gives up an edit; the server's word stands. */
  yieldTo(entry, server) {
    entry.edit = null;
    if (server) Object.assign(entry, { server, base: server.version });
    else if (entry.server) entry.base = entry.server.version;
    else this.store.delete(entry.id);
  }

  async push() {
    const body = { deviceId: this.deviceId, notes: [], folders: [] };
    for (const entry of this.store.values()) {
      if (entry.edit && this.dice.chance(0.9)) {
        const base = entry.base || this.dice.chance(0.5) ? { baseVersion: entry.base } : {};
        body[entry.kind].push({ id: entry.id, ...base, ...entry.edit });
      }
    }
    const answer = sane(await push(this.user, body));
    this.count('pushes');
    if (this.dice.chance(0.15)) {
      this.count('lost');
      return;
    }
    for (const kind of ['folders', 'notes']) {
      for (const r of answer[kind]) this.learn(this.store.get(r.id), r, answer.conflicts);
    }
    if (this.way === 'push') this.place = { cursor: answer.cursor };
    if (this.way === 'time') this.place = { lastSyncAt: answer.syncedAt };
  }

  learn(entry, r, conflicts) {
    const what = verdict(r);
    this.count(what);
    if (what === 'applied') {
      if (r.item) Object.assign(entry, { server: r.item, base: r.version, edit: null });
      else this.yieldTo(entry, null);
    } else if (what === 'conflict') {
      this.yieldTo(entry, conflicts.find(({ id }) => id === r.id).serverVersion);
    } else if (what === 'rejected FOLDER_NAME_TAKEN') {
      if (entry.edit.name && this.dice.chance(0.7)) entry.edit.name = `${entry.edit.name} ${this.dice.below(1000)}`;
      else this.yieldTo(entry, null);
    } else if (what === 'rejected FOLDER_NOT_FOUND' && entry.kind === 'notes') {
      entry.edit.folderId = null;
    } else if (what === 'rejected VALIDATION_ERROR name:MISSING_FIELD') {
      entry.edit.name = `${NAMES[0]} ${this.dice.below(1000)}`;
    } else if (what === 'rejected NOTE_NOT_FOUND') {
      this.yieldTo(entry, null);
    } else if (what === 'rejected VALIDATION_ERROR baseVersion:MISSING_FIELD') {
      this.yieldTo(entry, entry.server); /* made here, its answer was lost, and edited since */
    } else {
      assert.fail(show(r));
    }
  }

  /** One page, or all there is. */
  async pull(all) {
    for (let more = true; more; ) {
      const page = await pull(this.user, { deviceId: this.deviceId, limit: 1 + this.dice.below(12), ...this.place });
      this.count('pulls');
      for (const kind of ['folders', 'notes']) for (const item of page[kind]) this.take(kind, item);
      this.place = this.way === 'time' ? { lastSyncAt: page.syncedAt } : { cursor: page.cursor };
      more = all && page.hasMore;
    }
  }
}

/** Somebody who uses the REST endpoints, online. */
async function online(user, dice) {
  const notes = ok(await user.get('/notes?limit=100')).items;
  const trash = ok(await user.get('/notes?limit=100&deleted=true')).items;
  const folders = ok(await user.get('/folders')).items;
  const folder = dice.of(folders);
  const acts = [
    () => user.post('/notes', { id: dice.uuid(), title: 'online' }),
    () => notes.length && user.put(`/notes/${dice.of(notes).id}`, { title: `online ${dice.below(9)}` }),
    () => notes.length && user.patch(`/notes/${dice.of(notes).id}/pin`),
    () => notes.length && user.del(`/notes/${dice.of(notes).id}`),
    () => notes.length && user.del(`/notes/${dice.of(notes).id}?permanent=true`),
    () => trash.length && user.post(`/notes/${dice.of(trash).id}/restore`),
    () => folder && user.put(`/folders/${folder.id}`, { position: dice.below(9) }),
    () => folder && user.del(`/folders/${folder.id}`),
  ];
  const res = await dice.of(acts)();
  if (res) assert.ok([200, 201].includes(res.status), res.text);
}

/** Without what no pull tells anew: a conflict changes syncStatus alone. */
function shown(item) {
  const { syncStatus, ...rest } = item;
  return rest;
}

async function play(s, seed) {
  const dice = new Dice(seed);
  const user = await s.user();
  const ways = ['cursor', 'push', 'time', 'cursor'];
  const devices = ways.map((way, n) => new Device(user, dice, `d${n}`, way));
  for (let step = 0; step < 250; step += 1) {
    const device = dice.of(devices);
    const throwOf = dice.below(20);
    if (throwOf < 11) device.edit();
    else if (throwOf < 14) await device.push();
    else if (throwOf < 17) await device.pull(dice.chance(0.5));
    else await online(user, dice);
  }
  const pending = () => devices.some((device) => [...device.store.values()].some((entry) => entry.edit));
  for (let round = 0; pending(); round += 1) {
    assert.ok(round < 60, 'the devices come to rest');
    for (const device of devices) {
      await device.pull(true);
      await device.push();
    }
  }
  for (const device of devices) await device.pull(true);
  const truth = await pullAll(user, { deviceId: 'new', limit: 1000 });
  const items = [...truth.notes, ...truth.folders];
  for (const { deviceId, way, store } of devices) {
    for (const item of items) {
      assert.ok(store.get(item.id), `${deviceId} (${way}) lacks ${show(item)}`);
      assert.deepEqual(shown(store.get(item.id).server), shown(item), `${deviceId} (${way})`);
    }
    assert.equal(store.size, items.length, `${deviceId} (${way}) has nothing else`);
  }
  const rows = await s.sql(
    `SELECT id, version, title AS words, updated_at FROM notes WHERE user_id = $1
     UNION ALL SELECT id, version, name, updated_at FROM folders WHERE user_id = $1`,
    [user.user.id],
  );
  const table = new Map(rows.map((row) => [row.id, row]));
  for (const item of items) {
    const row = table.get(item.id);
    assert.deepEqual([row.version, row.words, row.updated_at.toISOString()], [item.version, item.title ?? item.name, item.updatedAt]);
  }
  assert.equal(table.size, items.length);
  await sound(s, user);
  return devices.reduce((sum, { counts }) => {
    for (const [name, n] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + n;
    return sum;
  }, {});
}

serverSuite('Sync: offline clients', { limits: { api: 'off' } }, (s) => {
  const total = {};
  const seeds = process.env.SYNC_SEED?.split(',').map(Number) ?? [1, 2, 3, 4, 5, 6, 7, 8];
  for (const seed of seeds) {
    it(`all have the same in the end (SYNC_SEED=${seed})`, async () => {
      for (const [name, n] of Object.entries(await play(s, seed))) total[name] = (total[name] ?? 0) + n;
    });
  }

  it('and it was not too easy for them', { skip: seeds.length < 8 }, () => {
    for (const name of ['applied', 'conflict', 'lost', 'rejected FOLDER_NAME_TAKEN', 'rejected NOTE_NOT_FOUND']) {
      assert.ok(total[name] > 5, show(total));
    }
  });
});
