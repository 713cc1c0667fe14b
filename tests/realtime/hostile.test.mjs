/* Clients who are up to no good, while two others talk and must not be kept waiting. CH_TEST_CROWD is how many of
 * each kind there are where it is the number that harms (500). */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { sleep, until } from '../api/lib/env.mjs';
import { ok, times } from '../api/lib/expect.mjs';
import { Bystanders } from './lib/bystander.mjs';
import { Member, closeAll, makeRoom, send } from './lib/chat.mjs';
import { RawSocket, TEXT, frame, handshake } from './lib/frames.mjs';
import { Polling, ask } from './lib/session.mjs';
import { socketLines } from './lib/place.mjs';

const CROWD = Number(process.env.CH_TEST_CROWD || 500);
const ALIVE = [2000, 5000]; /* ms: ping, pong; who is not hostile may stall */

describe('Somebody is hostile', () => {
  const server = new Server({
    children: 1,
    directives: socketLines({ ping: ALIVE, maxPayload: 1000000, upgradeTimeout: 10000 }),
  });
  const place = {
    host: () => server.host,
    url: (query = '') => `/socket.io/?EIO=4&transport=${query}`,
    get port() {
      return server.port;
    },
  };
  let bystanders;
  let user;
  let room;
  before(async () => {
    await server.start();
    const [one, other] = await server.users(2);
    bystanders = await Bystanders.start(server, await makeRoom(one, [other]), [one, other]);
    user = await server.user();
    room = await makeRoom(user);
  });
  after(async () => {
    closeAll();
    await bystanders?.stop();
    await server.stop();
  });
  afterEach(() => server.judgeLog());

  /** A test during which the bystanders' messages take no longer than they should. */
  const meanwhile = (what, test) => it(what, (t) => bystanders.during(t, () => test(t)));

  /** A raw websocket in "/". */
  async function member() {
    const socket = await RawSocket.open(place);
    socket.send(`40${JSON.stringify({ token: user.token })}`);
    assert.match(await said(socket), /^40\{"sid"/);
    assert.match(await said(socket), /^42\["ready",/);
    return socket;
  }
  const event = (name, data, ack = '') => `42${ack}${JSON.stringify([name, { roomId: room.id, ...data }])}`;
  /** The next text that is not a ping. */
  async function said(socket, ms = 4000) {
    const text = await socket.text(ms);
    if (text !== '2') return text;
    socket.send('3');
    return said(socket, ms);
  }
  const isUnknown = async (sid, ms = 8000) => {
    const path = `${place.url('polling')}&sid=${encodeURIComponent(sid)}`;
    await until(async () => (await ask(place, 'GET', path)).status === 400, ms, 'the session is over');
  };

  meanwhile('by reading nothing of a room in which much is said: is sent away, and the others hear all', async () => {
    const slow = await member();
    slow.send(event('room:join', {}, 1));
    await said(slow);
    const good = await Member.open(server, user);
    await good.ok('room:join', { roomId: room.id });
    slow.socket.pause();
    const long = '\u{1d11e}'.repeat(4000);
    const speaker = await Member.open(server, user);
    let sent = 0;
    while (sent < 900 && speaker.socket.connected) {
      await Promise.all(times(20, () => speaker.ok('message:send', { roomId: room.id, content: long })));
      sent += 20;
      if (sent === 600) assert.ok(speaker.socket.connected);
    }
    await until(() => good.events.filter((one) => one.event === 'message:new').length === sent, 5000, 'all are heard');
    assert.equal(good.lost.length, 0);
    slow.socket.resume();
    await slow.isGone(5000);
    const got = slow.frames.items.filter(({ opcode }) => opcode === TEXT).length;
    assert.ok(got < sent, `${got} of ${sent} were sent to it`);
    [good, speaker].forEach((one) => one.close());
  });

  meanwhile('by reading nothing of its own echo: is sent away', async () => {
    const slow = await (await RawSocket.open(place)).echo();
    slow.socket.pause();
    const text = frame(TEXT, `42/echo,["${'x'.repeat(900000)}"]`);
    for (let n = 0; n < 40 && !slow.socket.destroyed; n += 1) {
      slow.write(text);
      await sleep(10);
    }
    slow.socket.resume();
    await slow.isGone(5000);
    assert.ok(slow.frames.items.length < 40);
  });

  meanwhile('by a poll session that is never asked for: is forgotten', async () => {
    const session = await Polling.open(place);
    await session.send(`40${JSON.stringify({ token: user.token })}`);
    await isUnknown(session.sid, ALIVE[0] + ALIVE[1] + 8000);
  });

  meanwhile('by more events than there may be: 300 are taken', async () => {
    const socket = await member();
    socket.glue(...times(400, (n) => frame(TEXT, event('typing:stop', {}, n))));
    const acks = [];
    while (acks.length < 400) acks.push(JSON.parse((await said(socket)).replace(/^43\d+/, ''))[0]);
    assert.equal(acks.filter(({ success }) => success).length, 300);
    assert.ok(acks.slice(300).every(({ error }) => error.code === 'RATE_LIMIT_EXCEEDED'));
    socket.end();
  });

  meanwhile('by a megabyte of events at once: is sent away', async () => {
    const socket = await member();
    socket.polite = true;
    const one = frame(TEXT, event('message:send', { content: 'x'.repeat(4000) }));
    socket.glue(...times(600, () => one));
    await socket.isGone(8000);
    const close = socket.frames.items.find(({ opcode }) => opcode === 8);
    assert.equal(close?.data.readUInt16BE(0), 1013);
  });

  meanwhile('by giant frames', async () => {
    for (const options of [{ announced: 2n ** 62n }, { announced: 1000001 }]) {
      const socket = await member();
      socket.write(frame(TEXT, '4', options));
      await socket.isGone();
    }
  });

  meanwhile('by connections that are never heard of again', async () => {
    const idle = await Promise.all(times(50, () => member()));
    await Promise.all(idle.map((socket) => socket.isGone(ALIVE[0] + ALIVE[1] + 4000)));
  });

  meanwhile('by many connections that never CONNECT', async () => {
    const all = [];
    while (all.length < CROWD) {
      const some = times(100, () => Object.assign(new RawSocket(place), { polite: true }));
      for (const socket of some) socket.write(handshake(place));
      const answers = await Promise.all(some.map((socket) => socket.answered));
      assert.ok(answers.every(({ status }) => status === 101));
      all.push(...some);
    }
    await Promise.all(all.map((socket) => socket.isGone(20000)));
  });

  meanwhile('by one byte every 50 ms', async () => {
    const slow = times(40, () => new RawSocket(place));
    await Promise.all(
      slow.map(async (socket) => {
        for (const byte of handshake(place).slice(0, 40)) {
          socket.write(byte);
          await sleep(50);
        }
        socket.end();
      }),
    );
  });

  meanwhile('by frames of one byte every 50 ms', async () => {
    const slow = await Promise.all(times(20, () => member()));
    await Promise.all(
      slow.map(async (socket) => {
        for (const byte of frame(TEXT, event('typing:stop', {}, 7)).subarray(0, 40)) {
          socket.write(Buffer.from([byte]));
          await sleep(50);
        }
        socket.end();
      }),
    );
  });

  meanwhile('by going in the middle of a poll: the session is over', async () => {
    const sids = await Promise.all(
      times(30, async (n) => {
        const { sid } = await Polling.open(place);
        const path = `${place.url('polling')}&sid=${sid}`;
        const req = http.get({ host: '127.0.0.1', port: place.port, path, agent: false });
        req.on('error', () => {});
        await sleep(40 + 10 * (n % 10));
        if (n % 2) req.destroy();
        else req.socket.resetAndDestroy();
        return sid;
      }),
    );
    for (const sid of sids) await isUnknown(sid, 4000);
  });

  meanwhile('by a CONNECT and a goodbye in one breath: nobody is left behind', async () => {
    const [ghost, friend] = await server.users(2);
    const haunted = await makeRoom(friend, [ghost]);
    for (let n = 0; n < 20; n += 1) {
      const session = await Polling.open(place);
      await session.send(`40${JSON.stringify({ token: ghost.token })}`, '1').catch(() => {});
      await sleep(20);
      await ask(place, 'GET', session.path);
      await ask(place, 'GET', session.path);
      await isUnknown(session.sid);
    }
    await send(friend, haunted, 'is anybody there?'); /* tells `unread` to all sockets of the ghost */
    const state = async () => ok(await friend.get(`/chat/rooms/${haunted.id}/members`)).items
      .find(({ userId }) => userId === ghost.user.id).presence;
    await until(async () => (await state()) === 'offline', 9000, 'the ghost is offline');
  });

  meanwhile('by sids that are none', async () => {
    server.expectLog(/CH1002: .* security: pattern: control character/);
    const { sid } = await Polling.open(place);
    const flip = (at) => `${sid.slice(0, at)}${sid[at] === 'A' ? 'B' : 'A'}${sid.slice(at + 1)}`;
    const bad = ['x', 'A'.repeat(47), 'A'.repeat(64), 'A'.repeat(7000), '\u{1f600}', 'a b', '0'];
    bad.push(sid.slice(1), `${sid}A`, ...times(sid.length - 22, (n) => flip(22 + n))); /* not its server's name */
    for (const one of bad) {
      for (const [method, body] of [['GET'], ['POST', '40/echo,']]) {
        const path = `${place.url('polling')}&sid=${encodeURIComponent(one)}`;
        const res = await ask(place, method, path, { body });
        assert.equal(res.status, 400, `${method} ${one}: ${res.text}`);
      }
    }
    const raw = await ask(place, 'GET', `${place.url('polling')}&sid=%ff%fe%00%0d%0a`);
    assert.equal(raw.status, 403);
  });

  const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth);
  const BOMBS = [
    ['33 levels', `["presence:set",${nested(33)}]`],
    ['a megabyte of brackets', '['.repeat(999000)],
    ['a megabyte of brackets, closed', `["presence:set",${nested(499000)}]`],
    ['a megabyte of objects', `["presence:set",${'{"a":'.repeat(190000)}`],
    ['many members', `["presence:set",{${times(60000, (n) => `"k${n}":0`).join(',')}}]`],
    ['one member, many times', `["presence:set",{${times(60000, () => '"status":"online"').join(',')}}]`],
    ['many elements', `["presence:set",${'0,'.repeat(490000)}0]`],
    ['a long number', `["presence:set",{"status":${'9'.repeat(900000)}}]`],
    ['long text of escapes', `["presence:set",{"status":"${'\\u0041'.repeat(160000)}"}]`],
    ['a NUL', '["presence:set",{"status":"\\u0000"}]'],
    ['half a pair', '["presence:set",{"status":"\\ud800"}]'],
    ['many placeholders', `["presence:set",${'{"_placeholder":true,"num":0},'.repeat(30000)}0]`],
  ];
  for (const [what, json] of BOMBS) {
    meanwhile(`by JSON: ${what}`, async () => {
      const socket = await member();
      socket.polite = true;
      socket.send(`421${json}`);
      const answer = await Promise.race([said(socket, 9000).catch(({ message }) => message), socket.ended]);
      assert.match(answer, /^431\[\{"success":false,|^opcode 8|end|close|reset/, answer.slice(0, 200));
      socket.end();
      const again = await RawSocket.open(place);
      again.polite = true;
      again.send(`40${json}`);
      await again.isGone(9000);
    });
  }

  meanwhile('but not by any character that there is', async () => {
    const texts = ['\u{1f468}\u200d\u{1f469}\u200d\u{1f467}', '\u202eright to left', 'e\u0301', '\ufdfd'.repeat(100), 'a\u2028\u2029'];
    const host = await Member.open(server, user);
    await host.ok('room:join', { roomId: room.id });
    for (const content of texts) {
      const { message } = await host.ok('message:send', { roomId: room.id, content });
      assert.equal(message.content, content);
      assert.equal((await host.heard('message:new', (data) => data.message.id === message.id)).message.content, content);
      const emoji = [...content].slice(0, 1).join('');
      await host.ok('reaction:add', { messageId: message.id, emoji });
    }
    for (const content of ['\0', 'a\0b']) await host.fails('MALFORMED_JSON', 'message:send', [{ roomId: room.id, content }]);
    host.close();
  });
});
