/* Rooms: fields, visibility, lists, versions, joining, leaving (API.md section 12.1). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { makeRoom, say } from './lib/chat.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { fails, ids, invalid, NOWHERE, ok, parallel, tally, times } from './lib/expect.mjs';

serverSuite('Rooms', {}, (s) => {
  let alice;
  let bob;
  let eve;
  let admin;
  const numbers = async (room) => {
    const [row] = await s.sql('SELECT event_seq, member_count, owner_id FROM chat_rooms WHERE id = $1', [room.id]);
    const members = await s.sql('SELECT user_id, role FROM room_members WHERE room_id = $1', [room.id]);
    assert.equal(Number(row.member_count), members.length);
    assert.deepEqual(
      members.filter((m) => m.role === 'owner').map((m) => m.user_id),
      [row.owner_id],
    );
    return Number(row.event_seq);
  };

  before(async () => {
    [alice, bob, eve] = await s.users(3);
    admin = await newAdmin(s);
  });

  it('a room is made with defaults, its maker being the owner', async () => {
    const res = await alice.post('/chat/rooms', { name: ' Talk ' });
    const room = ok(res, 201);
    assert.match(room.id, UUIDV7);
    assert.match(room.createdAt, TIMESTAMP);
    assert.deepEqual(room, {
      id: room.id,
      name: 'Talk',
      description: null,
      isPrivate: false,
      ownerId: alice.user.id,
      memberCount: 1,
      lastSeq: 0,
      role: 'owner',
      unreadCount: 0,
      lastMessage: null,
      createdAt: room.createdAt,
      updatedAt: room.createdAt,
      version: 1,
    });
    assert.equal(res.headers.location, `/api/v1/chat/rooms/${room.id}`);
    assert.equal(res.headers.etag, '"v1"');
    assert.deepEqual(ok(await alice.get(`/chat/rooms/${room.id}`)), room);
  });

  const refused = [
    ['no name', {}, ['name', 'MISSING_FIELD']],
    ['a blank name', { name: ' \t' }, ['name', 'TOO_SHORT']],
    ['a name of 101', { name: '😀'.repeat(101) }, ['name', 'TOO_LONG']],
    ['a description of 1001', { name: 'a', description: 'x'.repeat(1001) }, ['description', 'TOO_LONG']],
    ['null for isPrivate', { name: 'a', isPrivate: null }, ['isPrivate', 'WRONG_TYPE']],
    ['an owner', { name: 'a', ownerId: NOWHERE }, ['ownerId', 'UNKNOWN_FIELD']],
  ];
  for (const [what, fields, detail] of refused) {
    it(`create refuses ${what}`, async () => {
      invalid(await alice.post('/chat/rooms', fields), detail);
    });
  }

  it('an Idempotency-Key makes one room', async () => {
    const headers = { 'Idempotency-Key': crypto.randomUUID() };
    const first = ok(await alice.post('/chat/rooms', { name: 'once' }, { headers }), 201);
    assert.deepEqual(ok(await alice.post('/chat/rooms', { name: 'once' }, { headers }), 201), first);
    fails(await alice.post('/chat/rooms', { name: 'twice' }, { headers }), 422, 'IDEMPOTENCY_MISMATCH');
  });

  it('a public room is seen by all, a private one by members and administrators', async () => {
    const open = await makeRoom(alice);
    await say(alice, open);
    const seen = ok(await eve.get(`/chat/rooms/${open.id}`));
    assert.deepEqual([seen.role, seen.unreadCount, seen.lastMessage, seen.lastSeq], [null, 0, null, 1]);
    const shut = await makeRoom(alice, { isPrivate: true }, [bob]);
    assert.equal(ok(await bob.get(`/chat/rooms/${shut.id}`)).role, 'member');
    assert.equal(ok(await admin.get(`/chat/rooms/${shut.id}`)).role, null);
    fails(await eve.get(`/chat/rooms/${shut.id}`), 404, 'ROOM_NOT_FOUND');
    fails(await eve.get(`/chat/rooms/${NOWHERE}`), 404, 'ROOM_NOT_FOUND');
    invalid(await eve.get('/chat/rooms/x'), ['id', 'INVALID_FORMAT']);
  });

  it('update: by owner and moderator, isPrivate by the owner alone', async () => {
    const [mod] = await s.users(1);
    const room = await makeRoom(alice, { description: 'd' }, [bob, mod]);
    ok(await alice.put(`/chat/rooms/${room.id}/members/${mod.user.id}`, { role: 'moderator' }));
    const start = await numbers(room);
    const res = await mod.put(`/chat/rooms/${room.id}`, { name: 'New', description: null, isPrivate: false });
    const next = ok(res);
    assert.deepEqual([next.name, next.description, next.version], ['New', null, 2]);
    assert.equal(res.headers.etag, '"v2"');
    assert.ok(next.updatedAt > next.createdAt);
    assert.deepEqual(ok(await mod.patch(`/chat/rooms/${room.id}`, { name: 'New' })), next);
    assert.deepEqual(ok(await mod.put(`/chat/rooms/${room.id}`, {})), next);
    assert.equal((await numbers(room)) - start, 1);
    fails(await mod.put(`/chat/rooms/${room.id}`, { isPrivate: true }), 403, 'FORBIDDEN');
    for (const who of [bob, eve, admin]) {
      fails(await who.put(`/chat/rooms/${room.id}`, { name: 'x' }), 403, 'FORBIDDEN');
    }
    assert.equal(ok(await alice.put(`/chat/rooms/${room.id}`, { isPrivate: true })).version, 3);
    fails(await eve.put(`/chat/rooms/${room.id}`, { name: 'x' }), 404, 'ROOM_NOT_FOUND');
  });

  it('If-Match: only the version that is there', async () => {
    const room = await makeRoom(alice);
    const stale = { headers: { 'If-Match': '"v7"' } };
    const error = fails(await alice.put(`/chat/rooms/${room.id}`, { name: 'x' }, stale), 412, 'PRECONDITION_FAILED');
    assert.equal(error.details[0].message, 'current version is v1');
    fails(await alice.del(`/chat/rooms/${room.id}`, stale), 412, 'PRECONDITION_FAILED');
    fails(await bob.del(`/chat/rooms/${room.id}`, stale), 403, 'FORBIDDEN');
    ok(await alice.put(`/chat/rooms/${room.id}`, { name: 'x' }, { headers: { 'If-Match': '"v1"' } }));
    ok(await alice.get(`/chat/rooms/${room.id}`, { headers: { 'If-None-Match': '"v2"' } }));
    ok(await alice.del(`/chat/rooms/${room.id}`, { headers: { 'If-Match': '"v2"' } }));
  });

  it('delete: by owner or administrator, with everything in it', async () => {
    for (const who of [alice, admin]) {
      const room = await makeRoom(alice, { isPrivate: true }, [bob]);
      const message = await say(bob, room);
      await say(bob, room, { replyToId: message.id });
      ok(await bob.post(`/chat/messages/${message.id}/reactions`, { emoji: '👍' }), 201);
      fails(await bob.del(`/chat/rooms/${room.id}`), 403, 'FORBIDDEN');
      fails(await eve.del(`/chat/rooms/${room.id}`), 404, 'ROOM_NOT_FOUND');
      assert.deepEqual(ok(await who.del(`/chat/rooms/${room.id}`)), { id: room.id });
      fails(await alice.get(`/chat/rooms/${room.id}`), 404, 'ROOM_NOT_FOUND');
      fails(await bob.get(`/chat/messages/${message.id}`), 404, 'MESSAGE_NOT_FOUND');
      const [left] = await s.sql(
        `SELECT (SELECT count(*) FROM chat_messages WHERE room_id = $1)
              + (SELECT count(*) FROM room_members WHERE room_id = $1)
              + (SELECT count(*) FROM message_reactions WHERE message_id = $2) AS n`,
        [room.id, message.id],
      );
      assert.equal(Number(left.n), 0);
    }
  });

  it('the list: scopes, search, last activity first, by page and by cursor', async () => {
    const [carol] = await s.users(1);
    const tag = crypto.randomBytes(4).toString('hex');
    const a = await makeRoom(carol, { name: `${tag} a` });
    const b = await makeRoom(carol, { name: `${tag} b`, isPrivate: true });
    const c = await makeRoom(bob, { name: `${tag.toUpperCase()} c%_` });
    const d = await makeRoom(bob, { name: `${tag} d`, isPrivate: true });
    const list = async (query, who = carol) => ok(await who.get(`/chat/rooms?${query}`));
    assert.deepEqual(ids((await list('')).items), [b.id, a.id]);
    assert.deepEqual(ids((await list(`scope=public&search=${tag}`)).items), [c.id, a.id]);
    assert.deepEqual(ids((await list(`scope=all&search=${tag}`)).items), [c.id, b.id, a.id]);
    assert.deepEqual(ids((await list(`scope=all&search=c%25_`)).items), [c.id]);
    assert.ok(!ids((await list('scope=all&limit=100', admin)).items).includes(d.id));
    const message = await say(carol, a);
    /* an hour ago, and another one */
    await s.sql(
      `UPDATE chat_rooms SET created_at = created_at - interval '1 hour',
              active_hour = active_hour - interval '1 hour' WHERE id = $1`,
      [c.id],
    );
    const first = await list(`scope=all&search=${tag}&limit=2`);
    assert.deepEqual(ids(first.items), [a.id, b.id]);
    assert.deepEqual(first.items[0].lastMessage, message);
    assert.deepEqual([first.pagination.total, first.pagination.totalPages], [3, 2]);
    const cursor = encodeURIComponent(first.pagination.nextCursor);
    const second = await list(`scope=all&search=${tag}&limit=2&cursor=${cursor}`);
    assert.deepEqual(ids(second.items), [c.id]);
    assert.equal(second.items[0].role, null);
    assert.deepEqual(ids((await list(`scope=all&search=${tag}&limit=2&page=2`)).items), [c.id]);
    assert.deepEqual((await list('page=50')).items, []);
    invalid(await carol.get('/chat/rooms?scope=mine'), ['scope', 'INVALID_VALUE']);
    invalid(await carol.get(`/chat/rooms?scope=public&cursor=${cursor}`), ['cursor', 'INVALID_VALUE']);
  });

  it('join: public rooms, as often as one likes', async () => {
    const room = await makeRoom(alice);
    await say(alice, room);
    const start = await numbers(room);
    const first = ok(await bob.post(`/chat/rooms/${room.id}/join`));
    assert.deepEqual(Object.keys(first), ['room']);
    assert.deepEqual(
      [first.room.role, first.room.memberCount, first.room.unreadCount, first.room.lastMessage.seq],
      ['member', 2, 0, 1],
    );
    assert.deepEqual(ok(await bob.post(`/chat/rooms/${room.id}/join`, {})), first);
    assert.equal((await numbers(room)) - start, 1);
    const shut = await makeRoom(alice, { isPrivate: true }, [bob]);
    fails(await eve.post(`/chat/rooms/${shut.id}/join`), 404, 'ROOM_NOT_FOUND');
    fails(await admin.post(`/chat/rooms/${shut.id}/join`), 404, 'ROOM_NOT_FOUND');
    assert.equal(ok(await bob.post(`/chat/rooms/${shut.id}/join`)).room.role, 'member');
  });

  it('parallel joins of few users: each is a member once, and one number for each', async () => {
    const users = await s.users(4);
    const room = await makeRoom(alice);
    await parallel(20, async (n) => ok(await users[n % 4].post(`/chat/rooms/${room.id}/join`)));
    assert.equal(await numbers(room), 4);
    assert.equal(ok(await alice.get(`/chat/rooms/${room.id}`)).memberCount, 5);
  });

  it('leave: an owner is followed by the oldest moderator, else member; the last one takes the room', async () => {
    const [mod, old] = await s.users(2);
    const room = await makeRoom(alice, { isPrivate: true }, [old, bob, mod]);
    ok(await alice.put(`/chat/rooms/${room.id}/members/${mod.user.id}`, { role: 'moderator' }));
    await say(alice, room);
    let at = await numbers(room);
    const expect = async (who, heir, steps) => {
      assert.deepEqual(ok(await who.post(`/chat/rooms/${room.id}/leave`)), { roomId: room.id });
      at += steps;
      assert.equal(await numbers(room), at);
      const now = ok(await heir.get(`/chat/rooms/${room.id}`));
      assert.deepEqual([now.ownerId, now.role], [heir.user.id, 'owner']);
      return now;
    };
    assert.equal((await expect(alice, mod, 3)).version, 2);
    fails(await alice.post(`/chat/rooms/${room.id}/leave`), 404, 'ROOM_NOT_FOUND');
    await expect(mod, old, 3);
    await expect(bob, old, 1);
    ok(await old.post(`/chat/rooms/${room.id}/leave`));
    assert.deepEqual(await s.sql('SELECT id FROM chat_rooms WHERE id = $1', [room.id]), []);
    const open = await makeRoom(alice);
    fails(await eve.post(`/chat/rooms/${open.id}/leave`), 404, 'MEMBER_NOT_FOUND');
  });

  it('all leave at once: no room is left without an owner, and none without members', async () => {
    for (const round of times(5, (n) => n)) {
      const room = await makeRoom(alice, { name: `round ${round}` }, [bob, eve]);
      const stays = round % 2;
      const leavers = stays ? [alice, bob] : [alice, bob, eve];
      const answers = await Promise.all(leavers.map((who) => who.post(`/chat/rooms/${room.id}/leave`)));
      assert.deepEqual(tally(answers.map((res) => res.status)), { 200: leavers.length });
      if (stays) {
        await numbers(room);
        assert.equal(ok(await eve.get(`/chat/rooms/${room.id}`)).role, 'owner');
      } else {
        fails(await eve.get(`/chat/rooms/${room.id}`), 404, 'ROOM_NOT_FOUND');
      }
    }
  });

  it('sending, joining, kicking and leaving at once: numbers and counts stay right', async () => {
    const users = await s.users(3);
    const room = await makeRoom(alice, {}, [bob]);
    const work = users.map(async (user) => {
      for (let n = 0; n < 15; n += 1) {
        ok(await user.post(`/chat/rooms/${room.id}/join`));
        const sent = await user.post(`/chat/rooms/${room.id}/messages`, { content: 'x' });
        assert.ok([201, 403].includes(sent.status), sent.text);
        const left = await user.post(`/chat/rooms/${room.id}/leave`);
        assert.ok([200, 404].includes(left.status), left.text);
      }
    });
    const kicks = parallel(30, async (n) => {
      const res = await alice.del(`/chat/rooms/${room.id}/members/${users[n % 3].user.id}`);
      assert.ok([200, 404].includes(res.status), res.text);
    });
    await Promise.all([...work, kicks]);
    await numbers(room);
    const rows = await s.sql('SELECT seq FROM chat_messages WHERE room_id = $1 ORDER BY seq', [room.id]);
    assert.deepEqual(
      rows.map((row) => Number(row.seq)),
      times(rows.length, (n) => n + 1),
    );
  });
});
