/* Members of rooms: list, invitation, roles, removal (API.md section 12.1). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { makeRoom, say } from './lib/chat.mjs';
import { TIMESTAMP } from './lib/contract.mjs';
import { fails, invalid, NOWHERE, ok, parallel, tally } from './lib/expect.mjs';

serverSuite('Members', {}, (s) => {
  let alice;
  let mod;
  let bob;
  let eve;
  const base = (room) => `/chat/rooms/${room.id}/members`;
  const names = (page) => page.items.map((m) => m.userId);
  const moderated = async (fields = {}, more = []) => {
    const room = await makeRoom(alice, fields, [bob, mod, ...more]);
    ok(await alice.put(`${base(room)}/${mod.user.id}`, { role: 'moderator' }));
    return room;
  };
  const number = async (room) =>
    Number((await s.sql('SELECT event_seq FROM chat_rooms WHERE id = $1', [room.id]))[0].event_seq);

  before(async () => {
    [alice, mod, bob, eve] = await s.users(4);
  });

  it('the list: by role, then since when; by page and by cursor', async () => {
    const room = await moderated({}, [eve]);
    const all = ok(await bob.get(base(room)));
    assert.deepEqual(names(all), [alice, mod, bob, eve].map((u) => u.user.id));
    assert.deepEqual(
      all.items.map((m) => m.role),
      ['owner', 'moderator', 'member', 'member'],
    );
    assert.match(all.items[0].joinedAt, TIMESTAMP);
    assert.deepEqual(all.items[0], {
      userId: alice.user.id,
      fullName: null,
      avatarUrl: null,
      role: 'owner',
      joinedAt: all.items[0].joinedAt,
      presence: 'offline',
    });
    assert.equal(all.pagination.total, 4);
    const found = [];
    let cursor = '';
    do {
      const page = ok(await bob.get(`${base(room)}?limit=1&cursor=${encodeURIComponent(cursor)}`));
      found.push(...names(page));
      cursor = page.pagination.nextCursor;
    } while (cursor);
    assert.deepEqual(found, names(all));
    assert.deepEqual(names(ok(await bob.get(`${base(room)}?limit=3&page=2`))), [eve.user.id]);
    assert.deepEqual(ok(await bob.get(`${base(room)}?page=9`)).items, []);
  });

  it('invite by id or by address: a member at once, with a notification', async () => {
    const room = await makeRoom(alice, { name: 'Tea' });
    await say(alice, room);
    const res = await alice.post(base(room), { userId: bob.user.id });
    const member = ok(res, 201);
    assert.deepEqual([member.userId, member.role, member.presence], [bob.user.id, 'member', 'offline']);
    assert.equal(res.headers.location, `/api/v1${base(room)}/${bob.user.id}`);
    assert.equal(ok(await bob.get(`/chat/rooms/${room.id}`)).unreadCount, 0);
    const [told] = await s.sql('SELECT * FROM notifications WHERE user_id = $1 ORDER BY created_at DESC LIMIT 1', [
      bob.user.id,
    ]);
    assert.equal(told.type, 'room_invite');
    assert.match(told.title, /Tea/);
    const alias = await alice.post(`/chat/rooms/${room.id}/invite`, { email: eve.email.toUpperCase(), role: 'moderator' });
    assert.deepEqual([ok(alias, 201).userId, alias.json.data.role], [eve.user.id, 'moderator']);
    assert.equal(alias.headers.deprecation, 'true');
    assert.equal(ok(await alice.get(`/chat/rooms/${room.id}`)).memberCount, 3);
  });

  it('invite: who may, whom, and what the body must be', async () => {
    const [carol, off] = await s.users(2);
    await s.sql('UPDATE users SET is_active = false WHERE id = $1', [off.user.id]);
    const open = await moderated();
    const shut = await moderated({ isPrivate: true });
    const userId = carol.user.id;
    fails(await eve.post(base(open), { userId }), 403, 'NOT_ROOM_MEMBER');
    fails(await eve.post(base(shut), { userId }), 404, 'ROOM_NOT_FOUND');
    fails(await bob.post(base(shut), { userId }), 403, 'FORBIDDEN');
    fails(await mod.post(base(open), { userId, role: 'moderator' }), 403, 'FORBIDDEN');
    fails(await bob.post(base(open), { userId: NOWHERE }), 404, 'USER_NOT_FOUND');
    fails(await bob.post(base(open), { userId: off.user.id }), 404, 'USER_NOT_FOUND');
    fails(await bob.post(base(open), { email: 'nobody@example.com' }), 404, 'USER_NOT_FOUND');
    fails(await bob.post(base(open), { userId: mod.user.id }), 409, 'ALREADY_MEMBER');
    const start = await number(open);
    const both = await parallel(6, () => bob.post(base(open), { userId }));
    assert.deepEqual(tally(both.map((res) => res.status)), { 201: 1, 409: 5 });
    assert.equal((await number(open)) - start, 1);
    ok(await mod.post(base(shut), { userId }), 201);
    invalid(await bob.post(base(open), {}), ['userId', 'INVALID_VALUE']);
    invalid(await bob.post(base(open), { userId, email: carol.email }), ['userId', 'INVALID_VALUE']);
    invalid(await alice.post(base(open), { userId, role: 'owner' }), ['role', 'INVALID_VALUE']);
    invalid(await alice.post(base(open), { email: 'x' }), ['email', 'INVALID_FORMAT']);
  });

  it('roles are given by the owner alone', async () => {
    const room = await moderated();
    const start = await number(room);
    const set = (who, target, role) => who.put(`${base(room)}/${target.user.id}`, role ? { role } : {});
    assert.equal(ok(await set(alice, bob, 'moderator')).role, 'moderator');
    assert.equal(ok(await set(alice, bob, 'moderator')).role, 'moderator');
    assert.equal(ok(await set(alice, bob, undefined)).role, 'moderator');
    assert.equal(ok(await set(alice, bob, 'member')).role, 'member');
    assert.equal(ok(await set(alice, alice, 'owner')).role, 'owner');
    assert.equal((await number(room)) - start, 2);
    fails(await set(mod, bob, 'moderator'), 403, 'FORBIDDEN');
    fails(await set(eve, bob, 'moderator'), 403, 'FORBIDDEN');
    fails(await set(alice, eve, 'member'), 404, 'MEMBER_NOT_FOUND');
    invalid(await set(alice, alice, 'member'), ['role', 'INVALID_VALUE']);
    invalid(await set(alice, bob, 'king'), ['role', 'INVALID_VALUE']);
  });

  it('a new owner takes the place of the old one, who moderates', async () => {
    const room = await moderated();
    const start = await number(room);
    assert.equal(ok(await alice.put(`${base(room)}/${bob.user.id}`, { role: 'owner' })).role, 'owner');
    const now = ok(await alice.get(`/chat/rooms/${room.id}`));
    assert.deepEqual([now.ownerId, now.role, now.version], [bob.user.id, 'moderator', 2]);
    assert.equal((await number(room)) - start, 3);
    fails(await alice.del(`/chat/rooms/${room.id}`), 403, 'FORBIDDEN');
    ok(await bob.del(`/chat/rooms/${room.id}`));
  });

  it('removal: the owner anybody, a moderator members; nobody himself', async () => {
    const [mod2, carol] = await s.users(2);
    const admin = await newAdmin(s);
    const room = await moderated({}, [mod2, carol]);
    ok(await alice.put(`${base(room)}/${mod2.user.id}`, { role: 'moderator' }));
    const kick = (who, target) => who.del(`${base(room)}/${target.user.id}`);
    fails(await kick(bob, carol), 403, 'FORBIDDEN');
    fails(await kick(mod, mod2), 403, 'FORBIDDEN');
    fails(await kick(mod, alice), 403, 'FORBIDDEN');
    fails(await kick(eve, bob), 403, 'FORBIDDEN');
    fails(await kick(admin, bob), 403, 'FORBIDDEN');
    fails(await kick(alice, eve), 404, 'MEMBER_NOT_FOUND');
    invalid(await kick(mod, mod), ['userId', 'INVALID_VALUE']);
    assert.deepEqual(ok(await kick(mod, carol)), { id: carol.user.id });
    ok(await kick(alice, mod2));
    fails(await carol.get(`/chat/rooms/${room.id}/messages`), 403, 'NOT_ROOM_MEMBER');
    ok(await carol.post(`/chat/rooms/${room.id}/join`));
    const old = await mod.post(`/chat/rooms/${room.id}/kick`, { userId: carol.user.id });
    assert.deepEqual(ok(old), { id: carol.user.id });
    assert.deepEqual(
      [old.headers.deprecation, old.headers.link],
      ['true', `</api/v1${base(room)}/${carol.user.id}>; rel="successor-version"`],
    );
    invalid(await mod.post(`/chat/rooms/${room.id}/kick`, {}), ['userId', 'MISSING_FIELD']);
    assert.equal(ok(await alice.get(`/chat/rooms/${room.id}`)).memberCount, 3);
  });
});
