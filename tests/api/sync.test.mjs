/* Sync (API.md 7): pull, push, status. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ok } from './lib/expect.mjs';

const pull = async (user, body = {}) => ok(await user.post('/sync/pull', { deviceId: 'one', ...body }));
const push = async (user, body) => ok(await user.post('/sync/push', { deviceId: 'one', ...body }));

serverSuite('Sync', { limits: { api: '100000/900' } }, (s) => {
  it('what one device pushes another pulls, and repeating it changes nothing', async () => {
    const user = await s.user();
    const first = await pull(user);
    assert.equal(first.folders.length, 1);
    const note = { id: crypto.randomUUID(), title: 'Hello', content: '<p>a b c</p>', tags: ['x', 'y'] };
    const folder = { id: crypto.randomUUID(), name: 'New', color: '#112233' };
    const done = await push(user, { notes: [note, { id: 5 }, { ...note, title: 'again' }], folders: [folder] });
    assert.deepEqual(done.summary, { applied: 2, conflicts: 0, rejected: 2 });
    const again = await push(user, { notes: [note], folders: [folder] });
    assert.deepEqual([...again.notes, ...again.folders].map((r) => [r.status, r.version, r.unchanged]), [
      ['applied', 1, true],
      ['applied', 1, true],
    ]);
    const second = await pull(user, { deviceId: 'two', cursor: first.cursor });
    assert.deepEqual(second.notes, [done.notes[0].item]);
    assert.deepEqual(second.folders, [done.folders[0].item]);
    assert.equal(second.cursor, (await ok(await user.get('/sync/status'))).cursor);
  });
});
