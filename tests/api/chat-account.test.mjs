/* What becomes of rooms and messages when an account ends, and what its export has of them (API.md section 4). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { PASSWORD } from './lib/accounts.mjs';
import { history, makeRoom, say } from './lib/chat.mjs';
import { until } from './lib/env.mjs';
import { exported } from './lib/exports.mjs';
import { fails, ids, ok } from './lib/expect.mjs';

serverSuite('Chat and accounts', {}, (s) => {
  it('owned rooms pass on, or go; what was said stays, empty and of nobody', async () => {
    const [alice, bob, mod] = await s.users(3);
    const shared = await makeRoom(alice, {}, [bob, mod]);
    ok(await alice.put(`/chat/rooms/${shared.id}/members/${mod.user.id}`, { role: 'moderator' }));
    const lone = await makeRoom(alice);
    const bobs = await makeRoom(bob, {}, [alice]);
    const first = await say(alice, shared, { content: 'mine', clientId: 'c' });
    const reply = await say(bob, shared, { replyToId: first.id });
    const theirs = await say(bob, bobs);
    ok(await bob.post(`/chat/messages/${first.id}/reactions`, { emoji: 'x' }), 201);
    ok(await alice.post(`/chat/messages/${theirs.id}/reactions`, { emoji: 'y' }), 201);
    await say(alice, lone);
    ok(await alice.del('/user/account', { json: { password: PASSWORD } }));
    const room = ok(await mod.get(`/chat/rooms/${shared.id}`));
    assert.deepEqual([room.ownerId, room.role, room.memberCount, room.lastSeq], [mod.user.id, 'owner', 2, 2]);
    assert.equal(ok(await bob.get(`/chat/rooms/${bobs.id}`)).memberCount, 1);
    fails(await bob.get(`/chat/rooms/${lone.id}`), 404, 'ROOM_NOT_FOUND');
    const [gone, kept] = await history(bob, shared);
    assert.deepEqual(
      [gone.id, gone.content, gone.userId, gone.user, gone.clientId, gone.reactions],
      [first.id, '', null, null, null, []],
    );
    assert.ok(gone.deletedAt);
    assert.deepEqual(kept.replyTo, { id: first.id, userId: null, content: '' });
    assert.equal(kept.id, reply.id);
    assert.deepEqual(ok(await bob.get(`/chat/messages/${theirs.id}`)).reactions, []);
  });

  it('accounts end while others write: nothing is refused for it, and counts stay right', async () => {
    const users = await s.users(5);
    const [alice, ...rest] = users;
    const room = await makeRoom(alice, {}, rest);
    const leaving = rest.slice(0, 2);
    const work = [alice, rest[2], rest[3]].map(async (who) => {
      for (let n = 0; n < 20; n += 1) await say(who, room);
    });
    const ends = leaving.map(async (who) => ok(await who.del('/user/account', { json: { password: PASSWORD } })));
    await Promise.all([...work, ...ends]);
    const now = ok(await alice.get(`/chat/rooms/${room.id}`));
    assert.deepEqual([now.memberCount, now.lastSeq], [3, 60]);
  });

  it('two end at once who answered each other in a room that they left', async () => {
    const [owner, ...both] = await s.users(3);
    const room = await makeRoom(owner, {}, both);
    const said = [await say(both[0], room), await say(both[1], room)];
    for (const [n, who] of both.entries()) {
      ok(await who.post(`/chat/messages/${said[1 - n].id}/reactions`, { emoji: 'x' }), 201);
      ok(await who.post(`/chat/rooms/${room.id}/leave`));
    }
    const lock = await s.session();
    await lock.query('BEGIN; LOCK TABLE note_versions IN SHARE MODE'); /* messages come before it, the account behind */
    const ends = both.map((who) => who.del('/user/account', { json: { password: PASSWORD } }));
    await until(async () => (await s.waiting()) >= 2, 10000, 'both wait for something').finally(() => lock.query('COMMIT'));
    for (const end of ends) ok(await end);
    for (const message of await history(owner, room)) assert.deepEqual([message.userId, message.reactions], [null, []]);
  });

  it('who joins a room while he is on his way out is not waited for with his row locked', async () => {
    const [owner, leaving] = await s.users(2);
    const room = await makeRoom(owner);
    const [row, writer] = [await s.session(), await s.session()];
    await row.query('BEGIN');
    await row.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [leaving.user.id]);
    const end = leaving.del('/user/account', { json: { password: PASSWORD } });
    await until(() => s.waiting(), 10000, 'it has the rooms, and waits for the account');
    ok(await leaving.post(`/chat/rooms/${room.id}/join`));
    await writer.query('BEGIN');
    await writer.query('SELECT 1 FROM chat_rooms WHERE id = $1 FOR NO KEY UPDATE', [room.id]);
    await row.query('COMMIT');
    const held = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'chat_rooms'";
    await until(async () => (await s.sql(held)).length, 10000, 'it waits for the room');
    await writer.query('SELECT 1 FROM users WHERE id = $1 FOR KEY SHARE NOWAIT', [leaving.user.id]); /* as who writes for him does */
    await writer.query('COMMIT');
    ok(await end);
    assert.equal(ok(await owner.get(`/chat/rooms/${room.id}`)).memberCount, 1);
  });

  it('the export has the rooms of the account, and what it said', async () => {
    const [alice, bob] = await s.users(2);
    const room = await makeRoom(alice, { name: 'Mine' }, [bob]);
    await makeRoom(bob);
    const one = await say(alice, room, 'one');
    await say(bob, room, 'not hers');
    const two = await say(alice, room, 'two');
    ok(await alice.del(`/chat/messages/${two.id}`));
    const json = (await exported(alice, { format: 'json' })).json;
    assert.deepEqual(ids(json.chat.rooms), [room.id]);
    assert.equal(json.chat.rooms[0].role, 'owner');
    assert.deepEqual(ids(json.chat.messages), [one.id, two.id]);
    assert.deepEqual(json.chat.messages[0], one);
    const his = (await exported(bob, { format: 'json' })).json;
    assert.equal(his.notifications.length, 1);
    assert.equal(his.notifications[0].type, 'room_invite');
    assert.equal(his.notifications[0].data.roomId, room.id);
  });
});
