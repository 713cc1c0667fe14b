/* Everything at the same time, on two servers of one database: messages, typing, presence, connects by each way and
 * disconnects by each, notes, members, ended sessions, a graceful restart. Made to be run under ThreadSanitizer
 * (./apxs-build.sh test races), where each report fails it. CH_TEST_SECONDS is how long (4). */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { login } from '../api/lib/accounts.mjs';
import { patience, sleep, until } from '../api/lib/env.mjs';
import { ok, parallel, times } from '../api/lib/expect.mjs';
import { Member, closeAll, makeRoom } from './lib/chat.mjs';
import { RawSocket } from './lib/frames.mjs';
import { Polling } from './lib/session.mjs';

const SECONDS = Number(process.env.CH_TEST_SECONDS || 4);
const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];

describe('Everything at once', () => {
  const hosts = [new Server(), new Server()];
  let users;
  let room;
  before(async () => {
    await hosts[0].start();
    Object.assign(hosts[1], { database: hosts[0].database, secrets: hosts[0].secrets });
    await hosts[1].start();
    users = await hosts[0].users(6);
    room = await makeRoom(users[0], users.slice(1));
  });
  after(async () => {
    closeAll();
    const failed = [];
    for (const host of [...hosts].reverse()) await host.stop().catch((error) => failed.push(error));
    if (failed.length) throw failed[0];
  });

  it('goes on', async (t) => {
    const end = Date.now() + SECONDS * 1000;
    const done = {};
    /** Does something again and again; what a restart interrupts is no failure. */
    const again = async (name, pause, act) => {
      for (let n = 0; Date.now() < end; n += 1) {
        await act(n).then(
          () => {
            done[name] = (done[name] ?? 0) + 1;
          },
          (error) => {
            if (error.code === 'ERR_ASSERTION' && !/an ack|session ID|websocket/i.test(error.message)) throw error;
          },
        );
        await sleep(pause);
      }
    };
    const host = (n) => hosts[n % 2];
    const place = (n) => ({
      port: host(n).port,
      host: () => host(n).host,
      url: (query) => `/socket.io/?EIO=4&transport=${query}`,
    });
    const here = { roomId: room.id };
    /** Comes, looks around, says something, and goes. */
    const visit = async (n, k) => {
      const user = users[n % users.length];
      const member = new Member(host(n + k), { user, transports: WAYS[k % 3] });
      try {
        if (!(await member.readyIn(2000))) throw new Error('it is restarting');
        await member.ok('room:join', { ...here, sinceSeq: 0 });
        await Promise.all([
          member.ask('typing:start', here),
          member.ask('message:send', { ...here, content: `${n} ${k}` }),
          member.ask('presence:set', { status: ['busy', 'away', 'online'][k % 3] }),
          member.ask('presence:get', here),
          member.ask('read:mark', here),
        ]);
        await member.ok('room:leave', here);
      } finally {
        member.close();
      }
    };
    const vanish = async (n, k) => {
      const token = JSON.stringify({ token: users[n].token });
      if (k % 2) {
        const socket = new RawSocket(place(k));
        socket.socket.on('connect', () => {});
        const opened = await RawSocket.open(place(k));
        opened.send(`40${token}`);
        await sleep(k % 7);
        socket.end();
        opened.socket.resetAndDestroy();
      } else {
        const session = await Polling.open(place(k));
        await Promise.all([session.send(`40${token}`), session.get()]);
        session.get({ timeout: 1000 }).catch(() => {});
        await sleep(k % 20);
        await session.post('1');
      }
    };
    const resident = await Promise.all(
      users.slice(0, 3).map((user, n) => Member.open(host(n), user, { transports: WAYS[n], reconnection: true })),
    );
    await Promise.all([
      ...times(4, (n) => again('visits', 5, (k) => visit(n, k))),
      ...times(3, (n) => again('vanished', 5, (k) => vanish(n + 3, k))),
      again('notes', 20, async (k) => ok(await users[k % 6].post('/notes', { title: `note ${k}` }), 201)),
      again('messages', 10, async (k) => ok(await users[k % 6].post(`/chat/rooms/${room.id}/messages`, { content: 'x' }), 201)),
      again('rooms', 30, async (k) => {
        const other = await makeRoom(users[k % 3], [users[3 + (k % 3)]]);
        await sleep(10);
        ok(await users[k % 3].del(`/chat/rooms/${other.id}`));
      }),
      again('sessions', 100, async (k) => {
        const session = await login(host(k), users[5]);
        const member = await Member.open(host(k), session);
        ok(await session.post('/auth/logout', {}));
        await member.isOut(15000);
      }),
      sleep(SECONDS * 500).then(async () => {
        hosts[1].signal('SIGUSR1');
        await until(() => hosts[1].log().includes('resuming normal operations'), 15000, 'a restart');
      }),
    ]);
    t.diagnostic(JSON.stringify(done));
    for (const name of ['visits', 'vanished', 'notes', 'messages', 'rooms', 'sessions']) {
      assert.ok(done[name] > 0, `${name}: ${JSON.stringify(done)}`);
    }
    await until(() => resident.every(({ socket }) => socket.connected), 15000, 'who stays is there again');
    await parallel(2, (n) => resident[n].ok('presence:get', here));
  });
});
