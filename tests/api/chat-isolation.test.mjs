/* Rooms and messages of others: not there, or not for you, and nothing changes (API.md section 12.1). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { makeRoom, say } from './lib/chat.mjs';
import { fails, ids, NOWHERE, ok } from './lib/expect.mjs';

serverSuite('Isolation of rooms', {}, (s) => {
  let alice;
  let bob;
  let eve;
  let admin;
  const rooms = {};
  const messages = {};

  before(async () => {
    [alice, bob, eve] = await s.users(3);
    admin = await newAdmin(s);
    for (const kind of ['open', 'shut']) {
      rooms[kind] = await makeRoom(alice, { name: `of others ${kind}`, isPrivate: kind === 'shut' }, [bob]);
      messages[kind] = await say(alice, rooms[kind], 'xylophone');
      ok(await bob.post(`/chat/messages/${messages[kind].id}/reactions`, { emoji: 'x' }), 201);
    }
  });

  const snapshot = async () =>
    JSON.stringify(
      await Promise.all([
        s.sql('SELECT * FROM chat_rooms ORDER BY id'),
        s.sql('SELECT * FROM room_members ORDER BY id'),
        s.sql('SELECT * FROM chat_messages ORDER BY id'),
        s.sql('SELECT * FROM message_reactions ORDER BY id'),
        s.sql('SELECT * FROM notifications ORDER BY id'),
      ]),
    );

  const MEMBER = 'NOT_ROOM_MEMBER';
  const HIDDEN = 'ROOM_NOT_FOUND';
  /* Method, path, body, what a public room answers, what a private one. */
  const operations = [
    ['PUT', '/chat/rooms/{r}', { name: 'stolen' }, 'FORBIDDEN', HIDDEN],
    ['PATCH', '/chat/rooms/{r}', {}, 'FORBIDDEN', HIDDEN],
    ['DELETE', '/chat/rooms/{r}', undefined, 'FORBIDDEN', HIDDEN],
    ['POST', '/chat/rooms/{r}/leave', undefined, 'MEMBER_NOT_FOUND', HIDDEN],
    ['GET', '/chat/rooms/{r}/members', undefined, MEMBER, HIDDEN],
    ['GET', '/chat/rooms/{r}/members?cursor=', undefined, MEMBER, HIDDEN],
    ['POST', '/chat/rooms/{r}/members', { userId: '{eve}' }, MEMBER, HIDDEN],
    ['POST', '/chat/rooms/{r}/invite', { userId: '{eve}' }, MEMBER, HIDDEN],
    ['PUT', '/chat/rooms/{r}/members/{bob}', { role: 'moderator' }, 'FORBIDDEN', HIDDEN],
    ['PUT', '/chat/rooms/{r}/members/{eve}', { role: 'owner' }, 'FORBIDDEN', HIDDEN],
    ['DELETE', '/chat/rooms/{r}/members/{bob}', undefined, 'FORBIDDEN', HIDDEN],
    ['POST', '/chat/rooms/{r}/kick', { userId: '{bob}' }, 'FORBIDDEN', HIDDEN],
    ['GET', '/chat/rooms/{r}/messages', undefined, MEMBER, HIDDEN],
    ['GET', '/chat/rooms/{r}/messages?sinceSeq=0', undefined, MEMBER, HIDDEN],
    ['GET', '/chat/rooms/{r}/messages?after={m}', undefined, MEMBER, HIDDEN],
    ['GET', '/chat/messages?roomId={r}', undefined, MEMBER, HIDDEN],
    ['POST', '/chat/rooms/{r}/messages', { content: 'x' }, MEMBER, HIDDEN],
    ['POST', '/chat/messages', { roomId: '{r}', content: 'x' }, MEMBER, HIDDEN],
    ['POST', '/chat/messages', { roomId: '{r}', content: 'x', replyToId: '{m}' }, MEMBER, HIDDEN],
    ['GET', '/chat/messages/search?q=xylophone&roomId={r}', undefined, MEMBER, HIDDEN],
    ['POST', '/chat/rooms/{r}/read', undefined, MEMBER, HIDDEN],
    ['POST', '/chat/rooms/{r}/read', { messageId: '{m}' }, MEMBER, HIDDEN],
    ['GET', '/chat/rooms/{r}/presence', undefined, MEMBER, HIDDEN],
    ['GET', '/chat/messages/{m}', undefined, 'MESSAGE_NOT_FOUND', 'MESSAGE_NOT_FOUND'],
    ['PUT', '/chat/messages/{m}', { content: 'x' }, 'MESSAGE_NOT_FOUND', 'MESSAGE_NOT_FOUND'],
    ['DELETE', '/chat/messages/{m}', undefined, 'MESSAGE_NOT_FOUND', 'MESSAGE_NOT_FOUND'],
    ['POST', '/chat/messages/{m}/reactions', { emoji: 'x' }, 'MESSAGE_NOT_FOUND', 'MESSAGE_NOT_FOUND'],
    ['DELETE', '/chat/messages/{m}/reactions/x', undefined, 'MESSAGE_NOT_FOUND', 'MESSAGE_NOT_FOUND'],
  ];
  const STATUS = { FORBIDDEN: 403, NOT_ROOM_MEMBER: 403 };
  const VERBS = { GET: 'get', PUT: 'put', PATCH: 'patch', POST: 'post', DELETE: 'del' };
  const fill = (text, room, message) =>
    text
      .replaceAll('{r}', room)
      .replaceAll('{m}', message)
      .replaceAll('{eve}', eve.user.id)
      .replaceAll('{bob}', bob.user.id);

  for (const [method, path, body, open, shut] of operations) {
    it(`${method} ${path} ${body ? JSON.stringify(body) : ''}`, async () => {
      const was = await snapshot();
      for (const [kind, code] of Object.entries({ open, shut, none: null })) {
        const room = rooms[kind]?.id ?? NOWHERE;
        const message = messages[kind]?.id ?? NOWHERE;
        const expected = code ?? (path.includes('{r}') || path === '/chat/messages' ? HIDDEN : 'MESSAGE_NOT_FOUND');
        const full = fill(path, room, message);
        const filled = body && JSON.parse(fill(JSON.stringify(body), room, message));
        const verb = VERBS[method];
        const res = await (filled ? eve[verb](full, filled) : eve[verb](full));
        fails(res, STATUS[expected] ?? 404, expected);
      }
      assert.equal(await snapshot(), was);
    });
  }

  it('join does not open a private room', async () => {
    const was = await snapshot();
    fails(await eve.post(`/chat/rooms/${rooms.shut.id}/join`), 404, HIDDEN);
    assert.equal(await snapshot(), was);
  });

  it('lists, search and unread show nothing of rooms of others', async () => {
    const listed = ok(await eve.get('/chat/rooms?scope=all&search=of%20others&limit=100')).items;
    assert.deepEqual(ids(listed), [rooms.open.id]);
    assert.deepEqual([listed[0].lastMessage, listed[0].role], [null, null]);
    assert.deepEqual(ok(await eve.get('/chat/rooms')).items, []);
    assert.deepEqual(ok(await eve.get('/chat/messages/search?q=xylophone')).items, []);
    assert.deepEqual(ok(await eve.get('/chat/unread')), { total: 0, rooms: [] });
  });

  it('administrators may read everywhere, and take no part', async () => {
    for (const kind of ['open', 'shut']) {
      const room = rooms[kind].id;
      const was = await snapshot();
      assert.equal(ok(await admin.get(`/chat/rooms/${room}`)).role, null);
      assert.equal(ok(await admin.get(`/chat/rooms/${room}/members`)).items.length, 2);
      assert.deepEqual(ids(ok(await admin.get(`/chat/rooms/${room}/messages`)).items), [messages[kind].id]);
      assert.equal(ok(await admin.get(`/chat/messages/${messages[kind].id}`)).reactions[0].me, false);
      ok(await admin.get(`/chat/rooms/${room}/presence`));
      fails(await admin.post(`/chat/rooms/${room}/messages`, { content: 'x' }), 403, MEMBER);
      fails(await admin.post(`/chat/rooms/${room}/read`), 403, MEMBER);
      fails(await admin.put(`/chat/messages/${messages[kind].id}`, { content: 'x' }), 403, 'FORBIDDEN');
      fails(await admin.post(`/chat/rooms/${room}/members`, { userId: eve.user.id }), 403, MEMBER);
      assert.equal(await snapshot(), was);
    }
  });

  it('nothing without an account', async () => {
    for (const path of ['/chat/rooms', `/chat/rooms/${rooms.open.id}`, '/chat/unread']) {
      fails(await s.anon.get(path), 401, 'AUTHENTICATION_REQUIRED');
    }
  });
});
