/* Nothing is lost: restarts, killed children and a lost Redis under load, on two hosts. CH_TEST_MESSAGES is how many
 * each of 8 senders says (60). */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { Redis } from '../api/lib/redis.mjs';
import { sleep, until } from '../api/lib/env.mjs';
import { ok } from '../api/lib/expect.mjs';
import { Member, closeAll, makeRoom, subscribed } from './lib/chat.mjs';
import { storm } from './lib/storm.mjs';

const COUNT = Number(process.env.CH_TEST_MESSAGES || 60);
const SENDERS = 8;
const PAUSE = 15; /* ms between two messages of a sender, so that there is time for something to happen */

/** The pids of the children that serve, without helpers of theirs. */
const children = (server) => server.processes();

async function graceful(server) {
  const mark = server.log().length;
  server.signal('SIGUSR1');
  await until(() => /resuming normal operations/.test(server.log().slice(mark)), 15000, 'the restart is done');
}

for (const withRedis of [false, true]) {
  describe(`Two hosts ${withRedis ? 'with' : 'without'} Redis`, () => {
    const redis = new Redis();
    const directives = withRedis ? [() => `ChronicleRedis "${redis.url}"`] : [];
    const hosts = [new Server({ directives }), new Server({ directives })];
    let users;
    let bystander;
    before(async () => {
      if (withRedis) await redis.start();
      /* it has 250 ms for an answer, which a slow machine may not give it */
      if (withRedis) for (const host of hosts) host.expectLog(/CH103[01]: /);
      await hosts[0].start();
      Object.assign(hosts[1], { database: hosts[0].database, secrets: hosts[0].secrets });
      await hosts[1].start();
      users = await hosts[0].users(SENDERS);
      bystander = await hosts[0].user({ fullName: 'Bystander' });
    });
    after(async () => {
      closeAll();
      for (const host of [...hosts].reverse()) await host.stop();
      if (withRedis) await redis.remove();
    });

    /** What happens to the servers while everybody speaks. */
    async function under(t, disturb, more) {
      const room = await makeRoom(users[0], users.slice(1));
      const result = await storm(hosts, { users, room, count: COUNT, pause: PAUSE, disturb, ...more });
      t.diagnostic(JSON.stringify(result));
      return result;
    }

    it('are one: what is said at one is heard at the other', async () => {
      const [alice, bob] = users;
      const room = await makeRoom(alice, [bob, bystander]);
      const [here] = await subscribed(hosts[0], room, alice);
      const [there] = await subscribed(hosts[1], room, bob);
      const online = async (member) =>
        (await member.ok('presence:get', { roomId: room.id })).online.map(({ userId }) => userId).sort();
      const both = [alice.user.id, bob.user.id].sort();
      await until(async () => `${await online(here)}` === `${both}`, 5000, 'both are there, seen from one');
      await until(async () => `${await online(there)}` === `${both}`, 5000, 'both are there, seen from the other');
      await here.ok('typing:start', { roomId: room.id });
      assert.deepEqual(await there.heard('typing'), { roomId: room.id, userId: alice.user.id, isTyping: true });
      const { message } = await here.ok('message:send', { roomId: room.id, content: 'x'.repeat(4000) });
      assert.deepEqual((await there.heard('message:new')).message, message);
      await there.heard('unread', ({ unreadCount }) => unreadCount === 1);
      await there.ok('read:mark', { roomId: room.id });
      assert.equal((await here.heard('read:updated')).userId, bob.user.id);
      ok(await bob.post('/notes', { title: 'at the first host' }), 201);
      await there.heard('sync:changed');
      const far = await Member.open(hosts[1], bystander);
      ok(await alice.del(`/chat/rooms/${room.id}/members/${bystander.user.id}`));
      await far.heard('room:kicked');
      ok(await bystander.post('/auth/logout', {}));
      await far.heard('session:revoked', undefined, 15000);
      await far.isOut();
      here.close();
      await there.heard('presence', ({ userId, status }) => userId === alice.user.id && status === 'offline', 12000);
    });

    it('nothing happens: every message, once, in one order', async (t) => {
      const { again } = await under(t, async () => {}, { wait: 20000 });
      assert.equal(again, 0);
    });

    it('graceful restarts of both', async (t) => {
      const { connects } = await under(t, async (when) => {
        await when(0.2);
        await graceful(hosts[0]);
        await when(0.5);
        await graceful(hosts[1]);
        await when(0.7);
        await graceful(hosts[0]);
      });
      assert.ok(connects.every((count) => count > 1), `all readers had to come back: ${connects}`);
    });

    it('a child of each is killed', async (t) => {
      const kill = async (host) => {
        const [pid] = children(host);
        process.kill(pid, 'SIGKILL');
        await until(() => !children(host).includes(pid), 5000, 'it is gone');
      };
      await under(
        t,
        async (when) => {
          await when(0.2);
          await kill(hosts[0]);
          await when(0.5);
          await kill(hosts[1]);
          await when(0.7);
          await kill(hosts[0]);
        },
        { mayGap: true },
      );
    });

    if (withRedis) {
      it('Redis is killed, and comes back', async (t) => {
        await under(
          t,
          async (when) => {
            await when(0.2);
            await redis.kill();
            await when(0.6);
            await redis.start();
            await when(0.8);
            await sleep(1000);
          },
          { mayGap: true },
        );
      });
    }

    it('a graceful restart sends everybody away, and lets the old children end', async () => {
      const idle = await Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          Member.open(hosts[0], users[n % SENDERS], { transports: [n % 3 ? 'websocket' : 'polling'] }),
        ),
      );
      const old = children(hosts[0]);
      await graceful(hosts[0]);
      for (const member of idle) await member.isOut(15000);
      await until(() => !children(hosts[0]).some((pid) => old.includes(pid)), 20000, 'the old children are gone');
    });
  });
}
