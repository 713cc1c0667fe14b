/* A child is killed, the database is restarted, and children end, while sockets are open and busy. CH_TEST_LONG=1 waits
 * for what else is hurried. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { DATABASE_NOISE, PrivateCluster } from '../api/lib/postgres.mjs';
import { jwtClaims, login } from '../api/lib/accounts.mjs';
import { generous, sleep, until, within } from '../api/lib/env.mjs';
import { ok, times } from '../api/lib/expect.mjs';
import { Member, closeAll, makeRoom, subscribed } from './lib/chat.mjs';

const LONG = process.env.CH_TEST_LONG;

describe('A child is killed', () => {
  const server = new Server();
  before(() => server.start());
  after(async () => {
    closeAll();
    await server.stop();
  });

  it('others go on, and whose socket was there is offline', async () => {
    const users = await server.users(12);
    const room = await makeRoom(users[0], users.slice(1));
    /* all at once, and again until each of the two processes has some of them */
    const slotOf = ({ socket }) => Buffer.from(socket.io.engine.id, 'base64url').readUInt16LE(16);
    let members;
    let places;
    for (let round = 0; round < 30 && new Set(places?.values()).size !== 2; round += 1) {
      closeAll();
      members = (await Promise.all(users.map((user) => subscribed(server, room, user)))).flat();
      places = new Map(members.map((member) => [member, slotOf(member)]));
    }
    members.forEach((member) => member.forget());
    const [pid] = server.processes();
    process.kill(pid, 'SIGKILL');
    await until(() => members.some((member) => member.lost.length), 5000, 'some are lost');
    const slot = places.get(members.find((member) => member.lost.length));
    const lost = members.filter((member) => places.get(member) === slot);
    const there = members.filter((member) => places.get(member) !== slot);
    for (const member of lost) await member.isOut();
    await sleep(300);
    assert.ok(there.every((member) => !member.lost.length), 'of the one process all');
    assert.ok(lost.length > 0 && there.length > 0, `${lost.length} were at the one, ${there.length} at the other`);
    const [first, ...rest] = there;
    const { message } = await first.ok('message:send', { roomId: room.id, content: 'still here' });
    for (const other of rest) await other.heard('message:new', (data) => data.message.id === message.id);
    if (!LONG) {
      const ids = lost.map(({ id }) => id);
      await server.sql(
        `UPDATE presence_places SET beat = beat - interval '29 s'
         WHERE place IN (SELECT place FROM user_presence WHERE user_id = ANY ($1::uuid[]))`,
        [ids],
      );
    }
    for (const { id } of lost) {
      await first.heard('presence', ({ userId, status }) => userId === id && status === 'offline', 45000);
    }
    const { online } = ok(await users[0].get(`/chat/rooms/${room.id}/presence`));
    assert.deepEqual(online.map(({ userId }) => userId).sort(), there.map(({ id }) => id).sort());
    const back = await subscribed(server, room, ...lost.map(({ user }) => user));
    await back[0].ok('message:send', { roomId: room.id, content: 'back' });
  });
});

describe('The database is restarted', () => {
  const cluster = new PrivateCluster();
  const server = new Server({ database: 'app' });
  server.expectLog(DATABASE_NOISE);
  before(async () => {
    await cluster.init();
    server.pg = cluster.cluster;
    await server.start();
  });
  after(async () => {
    closeAll();
    await server.stop();
    await cluster.remove();
  });

  for (const mode of LONG ? ['fast', 'immediate'] : ['fast']) {
    it(`(${mode}): events fail, and work again; what was missed is seen`, async () => {
      const users = await server.users(3);
      const room = await makeRoom(users[0], users.slice(1));
      const [here, there] = await subscribed(server, room, users[0], users[1]);
      const ended = await login(server, users[2]);
      const member = await Member.open(server, ended);
      await cluster.stop(mode);
      const say = () => here.ask('message:send', { roomId: room.id, content: mode });
      const { error } = await say();
      assert.equal(error?.code, 'DATABASE_ERROR');
      const refused = new Member(server, { user: users[2] });
      assert.equal((await refused.refusal()).data.code, 'DATABASE_ERROR');
      cluster.alone('app', [
        `DELETE FROM sessions WHERE id = '${jwtClaims(ended.token).sid}'`,
        'DELETE FROM user_presence',
        'DELETE FROM presence_places',
      ]);
      await cluster.start();
      await until(async () => (await say()).success, 10000, 'a message is taken');
      await there.heard('message:new', ({ message }) => message.content === mode, 10000);
      await member.heard('session:revoked', undefined, 20000);
      await member.isOut();
      const online = async () => ok(await users[0].get(`/chat/rooms/${room.id}/presence`)).online.map(({ userId }) => userId);
      const both = [users[0].user.id, users[1].user.id].sort();
      await until(async () => `${(await online()).sort()}` === `${both}`, 20000, 'who is here is online');
      assert.deepEqual([here.lost, there.lost], [[], []]);
      [here, there].forEach((one) => one.close());
    });
  }
});

describe('Children end', () => {
  const server = new Server();
  before(() => server.start());
  after(async () => {
    closeAll();
    await server.stop();
  });

  /** Clients that do something all the time, until the promise is there; then they leave. */
  async function busy(users, room, act) {
    let over = false;
    const here = { roomId: room.id };
    const client = async (n) => {
      const transports = [['websocket'], ['polling'], ['polling', 'websocket']][n % 3];
      while (!over) {
        const member = new Member(server, { user: users[n % users.length], transports, reconnection: n % 2 === 0 });
        await member.readyIn(500);
        for (let k = 0; k < 30 && !over && member.socket.connected; k += 1) {
          member.socket.emit('message:send', { ...here, content: `${n} ${k}` });
          member.socket.emit('typing:start', here);
          member.socket.emit(['room:join', 'room:leave'][k % 2], here);
          await sleep(5);
        }
        member.close();
        await sleep(10);
      }
    };
    const all = times(9, client);
    await sleep(400);
    try {
      await act();
    } finally {
      over = true;
      await Promise.all(all);
    }
  }

  it('gracefully, while events are handled and clients come', async () => {
    const users = await server.users(3);
    const room = await makeRoom(users[0], users.slice(1));
    const old = server.processes();
    await busy(users, room, async () => {
      server.signal('SIGUSR1');
      await until(() => !server.processes().some((pid) => old.includes(pid)), 15000, 'the old children are gone');
    });
    const [member] = await subscribed(server, room, users[0]);
    await member.ok('message:send', { roomId: room.id, content: 'x' });
    member.close();
  });

  it('at once, while events are handled and clients come', async () => {
    const users = await server.users(3);
    const room = await makeRoom(users[0], users.slice(1));
    const old = server.processes();
    await busy(users, room, async () => {
      server.signal('SIGTERM');
      const done = await within(generous(15000), server.exited);
      assert.deepEqual(done, { code: 0, signal: null });
      assert.ok(!old.some((pid) => server.processes().includes(pid)));
    });
    await server.launch();
  });
});
