/* What is refused: unknown events and fields, too much, and rooms that are somebody else's. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { serverSuite } from '../api/lib/server.mjs';
import { NOWHERE, fails, ok, tally, times } from '../api/lib/expect.mjs';
import { Member, closeAll, isError, makeRoom, send } from './lib/chat.mjs';
import { isOver, openSession } from './lib/session.mjs';

/* Each event with a payload that is good but for its object. */
const OF_A_ROOM = {
  'message:send': { content: 'x' },
  'read:mark': {},
  'typing:start': {},
  'typing:stop': {},
  'presence:get': {},
};
const OF_A_MESSAGE = {
  'message:edit': { content: 'x' },
  'message:delete': {},
  'reaction:add': { emoji: 'x' },
  'reaction:remove': { emoji: 'x' },
};

serverSuite('Payloads', {}, (server) => {
  let user;
  let member;
  let room;
  before(async () => {
    user = await server.user();
    room = await makeRoom(user);
    member = await Member.open(server, user);
  });
  after(closeAll);

  it('an unknown event', async () => {
    for (const name of ['nothing', '', 'message:Send', 'message:send ', 'ready', 'message:new', '__proto__', 'x'.repeat(5000)]) {
      await member.fails('VALIDATION_ERROR', name, [{}]);
    }
  });

  it('an unknown field, by its name', async () => {
    const good = {
      'room:join': { roomId: room.id },
      'room:leave': { roomId: room.id },
      'auth:refresh': { token: user.token },
      'presence:set': { status: 'busy' },
      ...Object.fromEntries(Object.entries(OF_A_ROOM).map(([name, data]) => [name, { roomId: room.id, ...data }])),
      ...Object.fromEntries(Object.entries(OF_A_MESSAGE).map(([name, data]) => [name, { messageId: NOWHERE, ...data }])),
    };
    assert.equal(Object.keys(good).length, 13, 'all events of the contract');
    for (const [name, data] of Object.entries(good)) {
      await member.fails('VALIDATION_ERROR', name, [{ ...data, colour: 'red' }], [['colour', 'UNKNOWN_FIELD']]);
    }
  });

  it('fields that are missing or of another kind; all faults at once', async () => {
    for (const [name, data, ...details] of [
      ['room:join', {}, ['roomId', 'MISSING_FIELD']],
      ['room:join', { roomId: 'x' }, ['roomId', 'INVALID_FORMAT']],
      ['room:join', { roomId: room.id, sinceSeq: -1 }, ['sinceSeq', 'TOO_SMALL']],
      ['room:join', { roomId: room.id, sinceSeq: '1' }, ['sinceSeq', 'WRONG_TYPE']],
      ['room:leave', { roomId: room.id, membership: 1 }, ['membership', 'WRONG_TYPE']],
      ['message:send', { roomId: 1, content: null, a: 1 }, ['roomId', 'WRONG_TYPE'], ['content', 'WRONG_TYPE'], ['a', 'UNKNOWN_FIELD']],
      ['reaction:add', { messageId: NOWHERE, emoji: 'a b' }, ['emoji', 'INVALID_FORMAT']],
      ['presence:set', {}, ['status', 'MISSING_FIELD']],
      ['presence:set', { status: 'offline' }, ['status', 'INVALID_VALUE']],
    ]) {
      await member.fails('VALIDATION_ERROR', name, [data], details);
    }
  });

  it('anything but one object', async () => {
    for (const args of [[], [null], ['x'], [1], [[]], [{ status: 'busy' }, {}], [{ status: 'busy' }, 'x']]) {
      await member.fails('VALIDATION_ERROR', 'presence:set', args);
    }
    await member.fails('VALIDATION_ERROR', 'message:send', [{ roomId: room.id, content: Buffer.from('x') }]);
  });

  it('half a character, as of a text that was cut', async () => {
    await member.fails('MALFORMED_JSON', 'message:send', [{ roomId: room.id, content: '\u{1f600}'.slice(0, 1) }]);
    await member.fails('MALFORMED_JSON', 'presence:set', [{ '\ud800': 'busy' }]);
  });

  it('more levels than a payload may have', async () => {
    const nested = (levels) => (levels ? [nested(levels - 1)] : []);
    for (const levels of [30, 31, 1000]) {
      const code = levels > 30 ? 'MALFORMED_JSON' : 'VALIDATION_ERROR';
      await member.fails(code, 'presence:set', [{ status: nested(levels - 1) }]);
    }
    await member.fails('VALIDATION_ERROR', 'nothing', [nested(100)]);
    member.socket.emit('presence:set', { status: nested(100) });
    isError(await member.heard('error'), 'MALFORMED_JSON', []);
  });

  it('the socket stays, and what is good is answered', async () => {
    assert.deepEqual(await member.ok('presence:set', { status: 'busy' }), { status: 'busy' });
  });

  it('without an ack the fault is told by the event error', async () => {
    for (const [event, data, code, details] of [
      ['nothing', {}, 'VALIDATION_ERROR'],
      ['presence:set', { status: 1 }, 'VALIDATION_ERROR', [['status', 'WRONG_TYPE']]],
      ['room:join', { roomId: NOWHERE }, 'ROOM_NOT_FOUND', []],
    ]) {
      member.socket.emit(event, data);
      const told = await member.heard('error');
      assert.equal(told.event, event);
      assert.deepEqual(Object.keys(told).sort(), ['code', 'details', 'event', 'message']);
      isError(told, code, details);
    }
    member.socket.emit('presence:set', { status: 'online' });
    await member.silent('error');
  });

  it('the protocol is judged before all this', async () => {
    const place = { port: server.port, host: () => server.host, url: (query) => `/socket.io/?EIO=4&transport=${query}` };
    for (const packet of ['42["disconnect",{}]', '42{}', '42[]', '42["x"', '42[{}]']) {
      const session = await openSession(place, 'websocket');
      await session.send(`40${JSON.stringify({ token: user.token })}`);
      assert.match(await session.next(), /^40\{"sid":/);
      assert.match(await session.next(), /^42\["ready",\{/);
      await session.send(packet);
      await isOver(session);
    }
  });
});

serverSuite('Rooms of others', {}, (server) => {
  let owner;
  let stranger;
  let member;
  let message;
  let closed;
  let open;
  before(async () => {
    [owner, stranger] = await server.users(2);
    closed = await makeRoom(owner);
    open = await makeRoom(owner, [], { isPrivate: false });
    message = await send(owner, closed, 'secret');
    member = await Member.open(server, stranger);
  });
  after(closeAll);

  it('a private one is not known, whatever one wants of it', async () => {
    for (const [name, data] of Object.entries({ 'room:join': {}, ...OF_A_ROOM })) {
      await member.fails('ROOM_NOT_FOUND', name, [{ roomId: closed.id, ...data }]);
      await member.fails('ROOM_NOT_FOUND', name, [{ roomId: NOWHERE, ...data }]);
    }
  });

  it('a public one is, but nothing in it', async () => {
    for (const [name, data] of Object.entries(OF_A_ROOM)) {
      await member.fails('NOT_ROOM_MEMBER', name, [{ roomId: open.id, ...data }]);
    }
  });

  it('nor are messages', async () => {
    for (const [name, data] of Object.entries(OF_A_MESSAGE)) {
      await member.fails('MESSAGE_NOT_FOUND', name, [{ messageId: message.id, ...data }]);
    }
  });

  it('nothing of them is heard', async () => {
    const host = await Member.open(server, owner);
    for (const room of [closed, open]) {
      await host.ok('room:join', { roomId: room.id });
      await host.ok('message:send', { roomId: room.id, content: 'x' });
      await host.ok('typing:start', { roomId: room.id });
    }
    await member.silent('message:new');
    assert.deepEqual(
      member.events.filter(({ event }) => event !== 'ready'),
      [],
    );
  });

  it('typing and presence are for members who are subscribed', async () => {
    const friend = await server.user();
    const room = await makeRoom(owner, [friend]);
    const away = await Member.open(server, friend);
    const host = await Member.open(server, owner);
    await host.ok('room:join', { roomId: room.id });
    await host.ok('typing:start', { roomId: room.id });
    await away.silent('typing');
  });
});

serverSuite('Too much', { limits: { chat: '5/60' } }, (server) => {
  after(closeAll);
  const isLimited = (error, window) => {
    isError(error, 'RATE_LIMIT_EXCEEDED');
    assert.ok(Number.isInteger(error.retryAfter) && error.retryAfter >= 1 && error.retryAfter <= window, `${error.retryAfter}`);
  };

  it('messages are counted together, by REST and by all sockets of a user', async () => {
    const [user, other] = await server.users(2);
    const room = await makeRoom(user, [other]);
    const members = await Promise.all([Member.open(server, user), Member.open(server, user)]);
    const say = (member) => member.ask('message:send', { roomId: room.id, content: 'x' });
    assert.ok((await say(members[0])).success);
    await send(user, room, 'by REST');
    assert.ok((await say(members[1])).success);
    await send(user, room, 'by REST');
    assert.equal((await members[0].ask('message:send', { roomId: room.id, content: '' })).error.code, 'VALIDATION_ERROR');
    const { success, error } = await say(members[0]);
    assert.equal(success, false, 'what was refused counts too');
    isLimited(error, 60);
    fails(await user.post(`/chat/rooms/${room.id}/messages`, { content: 'x' }), 429, 'RATE_LIMIT_EXCEEDED');
    isLimited((await say(members[1])).error, 60);
    assert.ok((await members[0].ask('read:mark', { roomId: room.id })).success, 'other events are not');
    await send(other, room, 'another user');
    const { items } = ok(await user.get(`/chat/rooms/${room.id}/messages`));
    assert.equal(items.length, 5);
  });

  it('300 other events in a minute, by one socket', async () => {
    const user = await server.user();
    const [busy, calm] = [await Member.open(server, user), await Member.open(server, user)];
    const acks = await Promise.all(times(310, () => busy.ask('presence:set', { status: 'online' })));
    assert.deepEqual(tally(acks.map(({ success }) => success)), { true: 300, false: 10 });
    assert.ok(acks.slice(0, 300).every(({ success }) => success), 'the first ones');
    acks.slice(300).forEach(({ error }) => isLimited(error, 60));
    busy.socket.emit('presence:set', { status: 'online' });
    isLimited(Object.assign(await busy.heard('error')), 60);
    await calm.ok('presence:set', { status: 'online' });
    const room = await makeRoom(user);
    await busy.ok('message:send', { roomId: room.id, content: 'counted elsewhere' });
  });
});
