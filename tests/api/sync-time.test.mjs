/* Sync (API.md 7): pull by time, pages that are bounded by bytes, and writers that are still at work. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ids, ok, times } from './lib/expect.mjs';
import { changes, pull, pullAll, pullPages, push, pushNotes, sound, tryPush, uuid } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });
const everything = (answer) => [...ids(answer.notes), ...ids(answer.folders)].sort();

serverSuite('Sync: pull by time', { limits: { api: 'off' } }, (s) => {
  /** A user with changes of several kinds and times. */
  const busy = async () => {
    const user = await s.user();
    const notes = times(30, (n) => note({ title: `${n}` }));
    await push(user, { notes, folders: times(5, (n) => ({ id: uuid(), name: `${n}` })) });
    for (let n = 0; n < 5; n += 1) ok(await user.put(`/notes/${notes[n].id}`, { title: 'changed' }));
    ok(await user.del(`/notes/${notes[7].id}`));
    ok(await user.del(`/notes/${notes[8].id}?permanent=true`));
    return { user, notes };
  };

  /** A client that keeps no cursor: asks by what it was told last. */
  const naive = async (user, body, from = '1970-01-01T00:00:00Z') => {
    const store = new Map();
    let lastSyncAt = from;
    for (let round = 0; ; round += 1) {
      assert.ok(round < 200, 'it ends');
      const page = await pull(user, { ...body, lastSyncAt });
      for (const item of [...page.notes, ...page.folders]) store.set(item.id, item);
      lastSyncAt = page.syncedAt;
      if (!page.hasMore) return { store, lastSyncAt };
    }
  };

  it('gives what changed behind that time, in the order of the changes, and nothing of that time itself', async () => {
    const { user } = await busy();
    const all = await pull(user);
    const items = [...all.notes, ...all.folders];
    for (const { updatedAt } of items) {
      const got = await pull(user, { lastSyncAt: updatedAt });
      assert.deepEqual(ids(got.notes), ids(all.notes.filter((item) => item.updatedAt > updatedAt)));
      assert.deepEqual(ids(got.folders), ids(all.folders.filter((item) => item.updatedAt > updatedAt)));
      assert.equal(got.cursor, all.cursor);
    }
    assert.equal((await pull(user, { lastSyncAt: '1970-01-01T00:00:00Z' })).notes.length, 30);
    assert.equal((await pull(user, { lastSyncAt: '9999-12-31T23:59:59.999999999Z' })).notes.length, 0);
    const [last] = items.map((item) => item.updatedAt).sort().slice(-2);
    const shifted = new Date(Date.parse(last) + 2 * 3600e3).toISOString().replace('Z', '+02:00');
    assert.equal(everything(await pull(user, { lastSyncAt: shifted })).length, 1, 'an offset counts');
  });

  it('goes on with the cursor', async () => {
    const { user } = await busy();
    const order = await changes(s, user);
    for (const limit of [1, 4, 10]) {
      const pages = await pullPages(user, { lastSyncAt: order[4].updated_at.toISOString(), limit });
      const got = pages.flatMap((page) => [...ids(page.notes), ...ids(page.folders)]);
      assert.deepEqual(got.sort(), ids(order.slice(5)).sort());
    }
  });

  it('a client that goes by syncedAt alone misses nothing, also where a push was larger than a page', async () => {
    const { user } = await busy();
    const order = await changes(s, user);
    for (const limit of [1, 3, 7, 500]) {
      const { store, lastSyncAt } = await naive(user, { limit });
      assert.deepEqual([...store.keys()].sort(), ids(order).sort(), `limit ${limit}`);
      for (const row of order) assert.equal(store.get(row.id).version, row.version);
      assert.deepEqual(everything(await pull(user, { lastSyncAt })), []);
    }
    await sound(s, user);
  });

  it('with a clock that was set back an hour nothing is missed and all times are different', async () => {
    const { user, notes } = await busy();
    const ahead = new Date(Date.now() + 3600e3);
    await s.sql('UPDATE users SET changed_at = $2 WHERE id = $1', [user.user.id, ahead]);
    let { syncedAt } = await pull(user);
    assert.equal(syncedAt, ahead.toISOString());
    let last = ahead.toISOString();
    const writes = [
      () => user.put(`/notes/${notes[1].id}`, { title: 'again' }),
      () => user.post('/notes', { title: 'made' }),
      () => tryPush(user, { notes: times(3, () => note()), folders: [{ id: uuid(), name: 'f' }] }),
      () => user.del(`/notes/${notes[2].id}`),
    ];
    for (const [n, write] of writes.entries()) {
      ok(await write(), n === 1 ? 201 : 200);
      const got = await pull(user, { lastSyncAt: syncedAt, limit: 1000 });
      assert.equal(everything(got).length, n === 2 ? 4 : 1);
      for (const item of [...got.folders, ...got.notes]) {
        assert.ok(item.updatedAt > last, `${item.updatedAt} > ${last}`);
        last = item.updatedAt;
      }
      assert.equal(got.syncedAt, last);
      ({ syncedAt } = got);
    }
    await sound(s, user);
  });

  it('syncedAt is the time of the last change, however long ago, and not the clock', async () => {
    const user = await s.user();
    await s.sql("UPDATE users SET changed_at = '2020-02-03T04:05:06.789Z', created_at = '2019-01-01' WHERE id = $1", [
      user.user.id,
    ]);
    assert.equal((await pull(user)).syncedAt, '2020-02-03T04:05:06.789Z');
    await s.sql('UPDATE users SET changed_at = NULL WHERE id = $1', [user.user.id]);
    assert.equal((await pull(user)).syncedAt, '2019-01-01T00:00:00.000Z');
  });

  for (const [name, past] of [
    ['lately', '1 second'],
    ['long ago', '1 day'],
  ]) {
    it(`what a writer has not committed yet comes with the next pull (others were ${name})`, async () => {
      const user = await s.user();
      const [a, b] = [note({ title: 'a' }), note({ title: 'b' })];
      await pushNotes(user, [a, b]);
      for (const table of ['users', 'notes', 'folders']) {
        const column = table === 'users' ? 'changed_at' : 'updated_at';
        await s.sql(
          `UPDATE ${table} SET ${column} = ${column} - $2::interval WHERE ${table === 'users' ? 'id' : 'user_id'} = $1`,
          [user.user.id, past],
        );
      }
      const before = await pull(user);
      const writer = await s.session();
      await writer.query('BEGIN');
      const { rows } = await writer.query(
        `UPDATE users SET change_seq = change_seq + 1,
             changed_at = greatest(clock_timestamp(), changed_at + interval '1 millisecond')
         WHERE id = $1 RETURNING change_seq AS seq, changed_at AS at`,
        [user.user.id],
      );
      await writer.query('UPDATE notes SET title = $2, version = 2, change_seq = $3, updated_at = $4 WHERE id = $1', [
        a.id,
        'from behind',
        rows[0].seq,
        rows[0].at,
      ]);
      const [byTime, byCursor, asNew] = await Promise.all([
        pull(user, { lastSyncAt: before.syncedAt }),
        pull(user, { cursor: before.cursor }),
        pull(user, { deviceId: 'new' }),
      ]);
      assert.deepEqual(everything(byTime), [], 'not there yet, and nobody waits for it');
      assert.deepEqual(everything(byCursor), []);
      const waiting = user.put(`/notes/${b.id}`, { title: 'queued behind' });
      await writer.query('COMMIT');
      ok(await waiting);
      for (const body of [
        { lastSyncAt: byTime.syncedAt },
        { lastSyncAt: byCursor.syncedAt },
        { lastSyncAt: asNew.syncedAt },
        { cursor: byTime.cursor },
        { cursor: byCursor.cursor },
        { cursor: asNew.cursor },
      ]) {
        const got = await pull(user, body);
        assert.deepEqual(got.notes.map((item) => item.title), ['from behind', 'queued behind'], JSON.stringify(body));
      }
    });
  }

  it('clients of all kinds that pull while eight others write see all in the end', async () => {
    const user = await s.user();
    const notes = times(8, () => note());
    await pushNotes(user, notes);
    let writing = true;
    const writers = notes.map(async ({ id }, n) => {
      for (let k = 0; k < 25; k += 1) {
        const res = await (n % 2
          ? user.put(`/notes/${id}`, { title: `${k}` }, { fresh: true })
          : tryPush(user, { deviceId: `w${n}`, notes: [note(), { id, baseVersion: k + 1, title: `${k}` }, note()] }));
        ok(res);
      }
    });
    const store = { time: new Map(), cursor: new Map() };
    const take = (map, page) => [...page.notes, ...page.folders].forEach((item) => map.set(item.id, item));
    const byTime = async () => {
      let lastSyncAt = '1970-01-01T00:00:00Z';
      for (let on = true; on; ) {
        on = writing;
        const done = await naive(user, { deviceId: 't', limit: 5 }, lastSyncAt);
        for (const item of done.store.values()) store.time.set(item.id, item);
        ({ lastSyncAt } = done);
      }
    };
    const byCursor = async () => {
      let cursor = null;
      for (let on = true; on; ) {
        on = writing;
        const got = await pullAll(user, { deviceId: 'c', limit: 5, cursor });
        take(store.cursor, got);
        ({ cursor } = got);
      }
    };
    const readers = [byTime(), byCursor()];
    await Promise.all(writers).finally(() => {
      writing = false;
    });
    await Promise.all(readers);
    const all = await pullAll(user, { limit: 1000 });
    for (const [name, map] of Object.entries(store)) {
      for (const item of [...all.notes, ...all.folders]) assert.deepEqual(map.get(item.id), item, name);
      assert.equal(map.size, all.notes.length + all.folders.length);
    }
    await sound(s, user);
  });

  it('pages are bounded by bytes: 20 notes of 2 MB come in several, whole', async () => {
    const user = await s.user();
    const size = 2097152;
    const texts = ['<b></b>'.repeat(size / 7), 'word '.repeat(size / 5), '\u{1f600}'.repeat(size / 4)];
    const made = times(20, (n) => note({ title: `${n}`, content: texts[n % 3] }));
    for (let n = 0; n < 20; n += 2) await pushNotes(user, made.slice(n, n + 2));
    const pages = await pullPages(user, { limit: 1000 });
    assert.deepEqual(ids(pages.flatMap((page) => page.notes)), ids(made));
    assert.ok(pages.length > 4 && pages.length <= 20, `${pages.length} pages`);
    for (const [n, page] of pages.entries()) {
      assert.equal(page.hasMore, n < pages.length - 1);
      const bytes = page.notes.reduce((sum, o) => sum + Buffer.byteLength(o.content) + Buffer.byteLength(o.contentPlain), 0);
      assert.ok(page.notes.length === 1 || bytes <= 8388608, `${bytes} bytes`);
      for (const item of page.notes) {
        const sent = made.find(({ id }) => id === item.id);
        assert.ok(item.content === sent.content, 'to the last byte');
      }
    }
    const { store } = await naive(user, { limit: 1000 });
    assert.equal(store.size, 21);
  });
});
