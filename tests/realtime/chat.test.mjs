/* Every event of API.md 12.2: what it answers, who hears of it, and that REST sees the same. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { serverSuite } from '../api/lib/server.mjs';
import { newRole } from '../api/lib/accounts.mjs';
import { sleep, until } from '../api/lib/env.mjs';
import { NOWHERE, fails, ids, ok, parallel, times } from '../api/lib/expect.mjs';
import { sendForms } from '../api/lib/forms.mjs';
import { pull, uuid } from '../api/lib/sync.mjs';
import { Member, closeAll, makeRoom, send, subscribed } from './lib/chat.mjs';

/** Three users; alice owns the room, bob and carol are members. */
function people(server) {
  const all = {};
  before(async () => {
    const users = await Promise.all(['Alice', 'Bob', 'Carol'].map((fullName) => server.user({ fullName })));
    [all.alice, all.bob, all.carol] = users;
    all.dave = await server.user({ fullName: 'Dave' });
    all.id = Object.fromEntries(Object.entries(all).map(([name, { user }]) => [name, user.id]));
  });
  after(closeAll);
  return all;
}

serverSuite('Rooms', { directives: ['ChronicleBlockedWords darn'] }, (server) => {
  const p = people(server);

  it('room:join subscribes a member, and tells who is there and what was missed', async () => {
    const room = await makeRoom(p.alice, [p.bob]);
    const sent = [];
    for (let n = 0; n < 4; n += 1) sent.push(await send(p.alice, room, `m${n}`));
    const [alice] = await subscribed(server, room, p.alice);
    const bob = await Member.open(server, p.bob);
    const plain = await bob.ok('room:join', { roomId: room.id });
    assert.deepEqual(Object.keys(plain).sort(), ['hasMore', 'missed', 'online', 'room']);
    assert.deepEqual(plain.missed, []);
    assert.equal(plain.hasMore, false);
    assert.deepEqual(plain.online.sort(), [p.id.alice, p.id.bob].sort());
    assert.deepEqual(plain.room, ok(await p.bob.get(`/chat/rooms/${room.id}`)));
    assert.equal(plain.room.lastSeq, 4);
    const missed = await bob.ok('room:join', { roomId: room.id, sinceSeq: 1 });
    assert.deepEqual(missed.missed, sent.slice(1));
    assert.equal((await bob.ok('room:join', { roomId: room.id, sinceSeq: 4 })).missed.length, 0);
    assert.equal((await bob.ok('room:join', { roomId: room.id, sinceSeq: 99 })).missed.length, 0);
    await alice.silent('room:member_joined');
  });

  it('no more than 200 are told at once; the rest by asking again', async () => {
    const room = await makeRoom(p.alice);
    await server.sql(
      `INSERT INTO chat_messages (id, content, room_id, seq, user_id)
       SELECT gen_random_uuid(), 'm' || n, $1, n, $2 FROM generate_series(1, 450) n`,
      [room.id, p.id.alice],
    );
    await server.sql('UPDATE chat_rooms SET last_seq = 450, event_seq = 1000 WHERE id = $1', [room.id]);
    const alice = await Member.open(server, p.alice);
    const seqs = [];
    for (const [count, hasMore] of [
      [200, true],
      [200, true],
      [50, false],
    ]) {
      const part = await alice.ok('room:join', { roomId: room.id, sinceSeq: seqs.at(-1) ?? 0 });
      assert.deepEqual([part.missed.length, part.hasMore], [count, hasMore]);
      seqs.push(...part.missed.map(({ seq }) => seq));
    }
    assert.deepEqual(seqs, times(450, (n) => n + 1));
  });

  /* Who comes back joins all rooms in one breath, and reads what comes at his leisure. */
  for (const transport of ['websocket', 'polling']) {
    it(`however much was missed, it comes in parts that a client can take, over ${transport}`, async () => {
      const rooms = [];
      for (let n = 0; n < 6; n += 1) {
        const room = await makeRoom(p.alice);
        rooms.push(room.id);
        await server.sql(
          `INSERT INTO chat_messages (id, content, room_id, seq, user_id)
           SELECT gen_random_uuid(), repeat('\u20ac\u20ac\u20ac ', $3), $1, n, $2 FROM generate_series(1, 120) n`,
          [room.id, p.id.alice, n ? 400 : 1000],
        );
        await server.sql('UPDATE chat_rooms SET last_seq = 120, event_seq = 1000 WHERE id = $1', [room.id]);
      }
      const alice = await Member.open(server, p.alice, { transports: [transport] });
      await Promise.all(
        rooms.map(async (roomId) => {
          const seqs = [];
          let part = { hasMore: true };
          while (part.hasMore) {
            part = await alice.ok('room:join', { roomId, sinceSeq: seqs.length });
            assert.ok(part.missed.length > 0 && Buffer.byteLength(JSON.stringify(part.missed)) < 300000);
            seqs.push(...part.missed.map(({ seq }) => seq));
          }
          assert.deepEqual(seqs, times(120, (n) => n + 1));
        }),
      );
      assert.equal(alice.lost.length, 0);
      alice.close();
    });
  }

  it('room:join makes one a member of a public room, and says so; a private one is not known', async () => {
    const open = await makeRoom(p.alice, [], { isPrivate: false });
    const closed = await makeRoom(p.alice);
    const [alice] = await subscribed(server, open, p.alice);
    const bob = await Member.open(server, p.bob);
    const { room } = await bob.ok('room:join', { roomId: open.id });
    assert.deepEqual([room.role, room.memberCount], ['member', 2]);
    const told = await alice.heard('room:member_joined');
    assert.equal(told.roomId, open.id);
    assert.equal(told.memberCount, 2);
    const { items } = ok(await p.alice.get(`/chat/rooms/${open.id}/members`));
    assert.deepEqual(
      { ...told.member, presence: null },
      { ...items.find((member) => member.userId === p.id.bob), presence: null },
    );
    await bob.fails('ROOM_NOT_FOUND', 'room:join', [{ roomId: closed.id }]);
    await bob.fails('ROOM_NOT_FOUND', 'room:join', [{ roomId: NOWHERE }]);
    await bob.fails('ROOM_NOT_FOUND', 'message:send', [{ roomId: closed.id, content: 'x' }]);
  });

  it('room:leave unsubscribes; with membership it is a farewell', async () => {
    const room = await makeRoom(p.alice, [p.bob]);
    const [alice, bob] = await subscribed(server, room, p.alice, p.bob);
    assert.deepEqual(await bob.ok('room:leave', { roomId: room.id }), { roomId: room.id });
    await send(p.alice, room, 'unheard');
    await alice.heard('message:new');
    await bob.silent('message:new');
    ok(await p.bob.get(`/chat/rooms/${room.id}/messages`));
    await alice.silent('room:member_left');
    await bob.ok('room:join', { roomId: room.id });
    assert.deepEqual(await bob.ok('room:leave', { roomId: room.id, membership: true }), { roomId: room.id });
    assert.deepEqual(await alice.heard('room:member_left'), {
      roomId: room.id,
      userId: p.id.bob,
      reason: 'left',
      memberCount: 1,
    });
    fails(await p.bob.get(`/chat/rooms/${room.id}`), 404, 'ROOM_NOT_FOUND');
  });

  it('REST: changes of a room and of roles are told; its end too', async () => {
    const room = await makeRoom(p.alice, [p.bob]);
    const [alice, bob] = await subscribed(server, room, p.alice, p.bob);
    const changed = ok(await p.alice.put(`/chat/rooms/${room.id}`, { name: 'Another name' }));
    for (const member of [alice, bob]) {
      const { room: told } = await member.heard('room:updated');
      const { role, unreadCount, ...rest } = changed;
      assert.deepEqual(told, rest);
    }
    ok(await p.alice.put(`/chat/rooms/${room.id}/members/${p.id.bob}`, { role: 'moderator' }));
    assert.deepEqual(await bob.heard('room:member_updated'), {
      roomId: room.id,
      userId: p.id.bob,
      role: 'moderator',
    });
    ok(await p.alice.del(`/chat/rooms/${room.id}`));
    for (const member of [alice, bob]) {
      assert.deepEqual(await member.heard('room:deleted'), { roomId: room.id });
      await member.fails('ROOM_NOT_FOUND', 'message:send', [{ roomId: room.id, content: 'x' }]);
    }
  });

  it('invitations reach their user, wherever he is', async () => {
    const room = await makeRoom(p.alice);
    const [alice] = await subscribed(server, room, p.alice);
    const bobs = await parallel(2, () => Member.open(server, p.bob));
    ok(await p.alice.post(`/chat/rooms/${room.id}/members`, { email: p.bob.email }), 201);
    for (const bob of bobs) {
      const told = await bob.heard('room:invited');
      assert.deepEqual(Object.keys(told).sort(), ['invitedBy', 'room']);
      assert.equal(told.room.id, room.id);
      const { notification } = await bob.heard('notification:new');
      assert.equal(typeof notification.id, 'string');
    }
    assert.equal((await alice.heard('room:member_joined')).member.userId, p.id.bob);
    await alice.silent('room:invited');
  });

  it('managers hear of contact and demo requests, others do not', async () => {
    const manager = await newRole(server, 'manager');
    const [told, alice] = [await Member.open(server, manager), await Member.open(server, p.alice)];
    const sent = await sendForms(server.anon);
    for (const [n, type] of ['contact_form', 'demo_request'].entries()) {
      const { notification } = await told.heard('notification:new', (data) => data.notification.type === type);
      assert.deepEqual(Object.keys(notification), ['id', 'type', 'title', 'body', 'data', 'readAt', 'createdAt']);
      assert.deepEqual([notification.data.submissionId, notification.createdAt], [sent[n].id, sent[n].createdAt]);
      const [row] = await server.sql('SELECT user_id FROM notifications WHERE id = $1', [notification.id]);
      assert.equal(row.user_id, manager.user.id);
    }
    await alice.silent('notification:new');
  });

  it('who is kicked hears of it, and nothing after it', async () => {
    const room = await makeRoom(p.alice, [p.bob, p.carol]);
    const [, bob, second, carol] = await subscribed(server, room, p.alice, p.bob, p.bob, p.carol);
    ok(await p.alice.del(`/chat/rooms/${room.id}/members/${p.id.bob}`));
    for (const socket of [bob, second]) {
      const told = await socket.heard('room:kicked');
      assert.deepEqual(Object.keys(told).sort(), ['kickedBy', 'roomId']);
      assert.equal(told.roomId, room.id);
    }
    const left = { roomId: room.id, userId: p.id.bob, reason: 'kicked', memberCount: 2 };
    assert.deepEqual(await carol.heard('room:member_left'), left);
    bob.forget();
    second.forget();
    await send(p.alice, room, 'among us');
    await carol.ok('typing:start', { roomId: room.id });
    await carol.heard('message:new');
    await bob.silent('message:new');
    await second.silent('typing', undefined, 0);
    await bob.fails('ROOM_NOT_FOUND', 'room:join', [{ roomId: room.id }]);
    await bob.fails('ROOM_NOT_FOUND', 'typing:start', [{ roomId: room.id }]);
  });
});

serverSuite('Messages', { directives: ['ChronicleBlockedWords darn'] }, (server) => {
  const p = people(server);
  let room;
  let alice;
  let bob;
  let second; /* of bob */
  before(async () => {
    room = await makeRoom(p.alice, [p.bob, p.carol]);
    [alice, bob, second] = await subscribed(server, room, p.alice, p.bob, p.bob);
  });
  const all = (fn) => Promise.all([alice, bob, second].map(fn));
  const get = async (id) => ok(await p.bob.get(`/chat/messages/${id}`));

  it('message:send: the ack, the broadcast to every socket, and REST say the same', async () => {
    const content = 'h\u00e9\u{1d11e} <b>"\\\n';
    const { message } = await alice.ok('message:send', { roomId: room.id, content, clientId: 'c1' });
    assert.equal(message.content, content);
    assert.equal(message.clientId, 'c1');
    assert.deepEqual(await get(message.id), message);
    for (const told of await all((one) => one.heard('message:new'))) assert.deepEqual(told, { message });
    const again = await alice.ok('message:send', { roomId: room.id, content: 'other', clientId: 'c1' });
    assert.deepEqual(again.message, message);
    await bob.silent('message:new');
    const reply = await bob.ok('message:send', { roomId: room.id, content: 'yes', replyToId: message.id });
    assert.deepEqual(reply.message.replyTo, { id: message.id, userId: p.id.alice, content });
    assert.equal(reply.message.seq, message.seq + 1);
    await all((one) => one.heard('message:new'));
  });

  it('message:send refuses what REST refuses', async () => {
    await alice.fails('CONTENT_REJECTED', 'message:send', [{ roomId: room.id, content: 'DARN it' }]);
    await alice.fails('MESSAGE_NOT_FOUND', 'message:send', [{ roomId: room.id, content: 'x', replyToId: NOWHERE }]);
    for (const [fields, ...details] of [
      [{ content: '' }, ['content', 'TOO_SHORT']],
      [{ content: 'x'.repeat(4001) }, ['content', 'TOO_LONG']],
      [{}, ['content', 'MISSING_FIELD']],
      [{ content: 7 }, ['content', 'WRONG_TYPE']],
      [{ content: 'x', more: 1 }, ['more', 'UNKNOWN_FIELD']],
    ]) {
      await alice.fails('VALIDATION_ERROR', 'message:send', [{ roomId: room.id, ...fields }], details);
    }
    await bob.silent('message:new', undefined, 100);
  });

  it('message:edit and message:delete', async () => {
    const { message } = await alice.ok('message:send', { roomId: room.id, content: 'first' });
    const edited = (await alice.ok('message:edit', { messageId: message.id, content: 'second' })).message;
    assert.equal(edited.content, 'second');
    assert.ok(edited.editedAt);
    assert.deepEqual(await get(message.id), edited);
    for (const told of await all((one) => one.heard('message:updated'))) assert.deepEqual(told, { message: edited });
    await bob.fails('FORBIDDEN', 'message:edit', [{ messageId: message.id, content: 'mine' }]);
    await bob.fails('FORBIDDEN', 'message:delete', [{ messageId: message.id }]);
    const gone = await alice.ok('message:delete', { messageId: message.id });
    assert.deepEqual(Object.keys(gone), ['id', 'deletedAt']);
    assert.equal(gone.id, message.id);
    const { deletedAt } = gone;
    for (const told of await all((one) => one.heard('message:deleted'))) {
      assert.deepEqual(told, { roomId: room.id, messageId: message.id, deletedAt, deletedBy: p.id.alice });
    }
    await alice.fails('MESSAGE_NOT_FOUND', 'message:delete', [{ messageId: message.id }]);
    await alice.fails('MESSAGE_NOT_FOUND', 'message:edit', [{ messageId: NOWHERE, content: 'x' }]);
  });

  it('reaction:add and reaction:remove', async () => {
    const { message } = await alice.ok('message:send', { roomId: room.id, content: 'react' });
    const messageId = message.id;
    const said = { roomId: room.id, messageId, emoji: '\u{1f44d}', userId: p.id.bob };
    const added = await bob.ok('reaction:add', { messageId, emoji: said.emoji });
    assert.deepEqual(added, { messageId, reactions: [{ emoji: said.emoji, count: 1, me: true }] });
    for (const told of await all((one) => one.heard('reaction:added'))) assert.deepEqual(told, { ...said, count: 1 });
    await bob.ok('reaction:add', { messageId, emoji: said.emoji });
    const two = await alice.ok('reaction:add', { messageId, emoji: said.emoji });
    assert.equal(two.reactions[0].count, 2);
    await bob.heard('reaction:added', ({ userId, count }) => userId === p.id.alice && count === 2);
    await alice.ok('reaction:remove', { messageId, emoji: said.emoji });
    await bob.heard('reaction:removed', ({ userId, count }) => userId === p.id.alice && count === 1);
    assert.deepEqual(await bob.ok('reaction:remove', { messageId, emoji: said.emoji }), { messageId, reactions: [] });
    for (const told of await all((one) => one.heard('reaction:removed', ({ count }) => count === 0))) {
      assert.deepEqual(told, { ...said, count: 0 });
    }
    await bob.fails('REACTION_NOT_FOUND', 'reaction:remove', [{ messageId, emoji: said.emoji }]);
    await bob.fails('MESSAGE_NOT_FOUND', 'reaction:add', [{ messageId: NOWHERE, emoji: 'x' }]);
  });

  it('what is done over REST is told to sockets', async () => {
    await all(async (one) => one.forget());
    const sent = await send(p.carol, room, 'by REST');
    for (const told of await all((one) => one.heard('message:new'))) assert.deepEqual(told.message, sent);
    const edited = ok(await p.carol.put(`/chat/messages/${sent.id}`, { content: 'edited' }));
    assert.deepEqual((await bob.heard('message:updated')).message, edited);
    ok(await p.carol.post(`/chat/messages/${sent.id}/reactions`, { emoji: 'x' }), 201);
    assert.equal((await bob.heard('reaction:added')).emoji, 'x');
    ok(await p.carol.del(`/chat/messages/${sent.id}/reactions/x`));
    assert.equal((await bob.heard('reaction:removed')).emoji, 'x');
    ok(await p.carol.del(`/chat/messages/${sent.id}`));
    assert.equal((await bob.heard('message:deleted')).messageId, sent.id);
  });

  it('in a broadcast nobody is "me"', async () => {
    const { message } = await bob.ok('message:send', { roomId: room.id, content: 'me' });
    await bob.ok('reaction:add', { messageId: message.id, emoji: 'x' });
    await bob.ok('message:edit', { messageId: message.id, content: 'me too' });
    const told = await bob.heard('message:updated', (data) => data.message.id === message.id);
    assert.deepEqual(told.message.reactions, [{ emoji: 'x', count: 1, me: false }]);
  });

  it('read:mark moves the marker, unread counts; both are told', async () => {
    const own = await makeRoom(p.alice, [p.bob, p.carol]);
    const [a, b] = await subscribed(server, own, p.alice, p.bob);
    const c = await Member.open(server, p.carol); /* not subscribed */
    const sent = [];
    for (let n = 0; n < 3; n += 1) sent.push((await a.ok('message:send', { roomId: own.id, content: `${n}` })).message);
    for (const one of [b, c]) await one.heard('unread', (data) => data.roomId === own.id && data.unreadCount === 3);
    await c.silent('message:new', undefined, 50);
    await a.silent('unread', ({ roomId }) => roomId === own.id, 50);
    assert.deepEqual(await b.ok('read:mark', { roomId: own.id, messageId: sent[1].id }), {
      roomId: own.id,
      lastReadMessageId: sent[1].id,
      unreadCount: 1,
    });
    const read = { roomId: own.id, userId: p.id.bob, messageId: sent[1].id };
    for (const one of [a, b]) assert.deepEqual(await one.heard('read:updated'), read);
    await b.heard('unread', (data) => data.roomId === own.id && data.unreadCount === 1);
    const { rooms } = ok(await p.bob.get('/chat/unread'));
    assert.equal(rooms.find(({ roomId }) => roomId === own.id).unreadCount, 1);
    assert.equal((await b.ok('read:mark', { roomId: own.id, messageId: sent[0].id })).unreadCount, 1, 'never back');
    assert.equal((await b.ok('read:mark', { roomId: own.id })).lastReadMessageId, sent[2].id);
    ok(await p.carol.post(`/chat/rooms/${own.id}/read`, {}));
    await a.heard('read:updated', ({ userId }) => userId === p.id.carol);
    await c.heard('unread', (data) => data.roomId === own.id && data.unreadCount === 0);
  });

  it('who makes a room is a member like others: his open sockets are told what is unread', async () => {
    const a = await Member.open(server, p.alice);
    const own = await makeRoom(p.alice, [p.bob]);
    await send(p.bob, own, 'one');
    await a.heard('unread', (data) => data.roomId === own.id && data.unreadCount === 1);
    ok(await p.alice.post(`/chat/rooms/${own.id}/read`, {}));
    await a.heard('unread', (data) => data.roomId === own.id && data.unreadCount === 0);
  });

  it('seq has no gap, and every socket hears the same order', async () => {
    const own = await makeRoom(p.alice, [p.bob, p.carol]);
    const members = await subscribed(server, own, p.alice, p.bob, p.carol);
    await Promise.all(
      members.map(async (one, k) => {
        for (let n = 0; n < 30; n += 1) await one.ok('message:send', { roomId: own.id, content: `${k} ${n}` });
      }),
    );
    for (const one of members) {
      const count = () => one.events.filter(({ event }) => event === 'message:new').length;
      await until(() => count() >= 90, 5000, 'all are heard');
      const seqs = one.events.filter(({ event }) => event === 'message:new').map(({ data }) => data.message.seq);
      assert.deepEqual(seqs, times(90, (n) => n + 1));
    }
    const { items } = ok(await p.bob.get(`/chat/rooms/${own.id}/messages?sinceSeq=0&limit=100`));
    const heard = members[1].events.filter(({ event }) => event === 'message:new').map(({ data }) => data.message);
    assert.deepEqual(ids(items), ids(heard));
  });
});

serverSuite('Presence and typing', {}, (server) => {
  const p = people(server);

  it('typing is told to the others, and stops by itself after 5 s', async () => {
    const room = await makeRoom(p.alice, [p.bob]);
    const [alice, second, bob] = await subscribed(server, room, p.alice, p.alice, p.bob);
    const said = { roomId: room.id, userId: p.id.alice };
    const isOver = () => bob.events.some(({ event, data }) => event === 'typing' && !data.isTyping);
    let again;
    /* once more where the machine stalls, so that the second start comes too late */
    for (let round = 0; round < 5; round += 1) {
      assert.deepEqual(await alice.ok('typing:start', { roomId: room.id }), { roomId: room.id });
      for (const one of [second, bob]) assert.deepEqual(await one.heard('typing'), { ...said, isTyping: true });
      const told = [
        (await bob.ok('presence:get', { roomId: room.id })).typing,
        ok(await p.bob.get(`/chat/rooms/${room.id}/presence`)).typing,
      ];
      await sleep(3000);
      again = Date.now();
      await alice.ok('typing:start', { roomId: room.id });
      if (!isOver()) {
        assert.deepEqual(told, [[p.id.alice], [p.id.alice]]);
        break;
      }
      await alice.ok('typing:stop', { roomId: room.id });
      await sleep(300);
      [second, bob].forEach((one) => one.forget());
    }
    const over = await bob.heardAt('typing', ({ isTyping }) => !isTyping);
    assert.ok(over - again > 4500, `after ${over - again} ms, 5000 of them after the second start`);
    await until(async () => !(await bob.ok('presence:get', { roomId: room.id })).typing.length, 5000, 'nobody types');
    await bob.ok('typing:start', { roomId: room.id });
    await alice.heard('typing', ({ isTyping }) => isTyping);
    await bob.ok('typing:stop', { roomId: room.id });
    assert.deepEqual(await alice.heard('typing'), { roomId: room.id, userId: p.id.bob, isTyping: false });
    await alice.silent('typing', ({ userId }) => userId === p.id.alice, 50);
  });

  it('a user is online from the first socket on, and offline 5 s after the last one', async () => {
    const room = await makeRoom(p.alice, [p.dave]);
    const [alice] = await subscribed(server, room, p.alice);
    const about = (status) => (data) => data.userId === p.id.dave && data.status === status;
    const first = await Member.open(server, p.dave);
    const told = await alice.heard('presence', about('online'));
    assert.deepEqual(Object.keys(told).sort(), ['lastSeenAt', 'status', 'userId']);
    const dave = await Member.open(server, p.dave);
    first.close();
    await alice.silent('presence', about('offline'), 6500);
    assert.deepEqual(await dave.ok('presence:set', { status: 'away' }), { status: 'away' });
    await alice.heard('presence', about('away'));
    const { online } = await alice.ok('presence:get', { roomId: room.id });
    assert.deepEqual(online.map(({ userId, status }) => `${userId} ${status}`).sort(), [
      `${p.id.alice} online`,
      `${p.id.dave} away`,
    ].sort());
    assert.deepEqual(
      ids(ok(await p.alice.get(`/chat/rooms/${room.id}/presence`)).online.map(({ userId }) => ({ id: userId }))).sort(),
      [p.id.alice, p.id.dave].sort(),
    );
    await dave.fails('VALIDATION_ERROR', 'presence:set', [{ status: 'offline' }], [['status', 'INVALID_VALUE']]);
    dave.close();
    const start = Date.now();
    await alice.heard('presence', about('offline'), 9000);
    assert.ok(Date.now() - start > 4000, 'not before 5 s');
  });

  it('a socket that comes back in time was never away', async () => {
    const room = await makeRoom(p.alice, [p.dave]);
    const [alice, dave] = await subscribed(server, room, p.alice, p.dave);
    dave.close();
    await sleep(300);
    await Member.open(server, p.dave);
    await alice.silent('presence', ({ userId, status }) => userId === p.id.dave && status === 'offline', 5500);
  });

  it('sync:changed follows notes and folders, and is for their owner only', async () => {
    const [alice, second, bob] = await Promise.all([p.alice, p.alice, p.bob].map((user) => Member.open(server, user)));
    const changes = [
      () => p.alice.post('/notes', { title: 'x' }),
      () => p.alice.post('/folders', { name: 'y' }),
      () => p.alice.post('/sync/push', { deviceId: 'one', notes: [{ id: uuid(), title: 'z', baseVersion: 0 }] }),
      async () => {
        await server.sql(
          `INSERT INTO notes (user_id, title, content, content_plain, change_seq, deleted_at)
           VALUES ($1, 'old', '', '', 0, now() - interval '31 days')`,
          [p.id.alice],
        );
        await server.sql("INSERT INTO jobs (type, payload) VALUES ('trash_purge', '{}')");
      },
    ];
    for (const change of changes) {
      assert.ok(!((await change())?.status >= 300));
      for (const one of [alice, second]) {
        const told = await one.heard('sync:changed');
        assert.deepEqual(Object.keys(told), ['cursor']);
        const { notes, folders } = await pull(p.alice, { cursor: told.cursor });
        assert.deepEqual([notes, folders], [[], []]);
      }
    }
    await bob.silent('sync:changed');
    ok(await p.alice.get('/notes'));
    await alice.silent('sync:changed');
  });
});
