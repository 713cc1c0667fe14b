/* Several hosts on one database without sticky sessions, and several databases on one host. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Server, freePort, serverSuite } from '../api/lib/server.mjs';
import { Redis } from '../api/lib/redis.mjs';
import { PASSWORD, clientFrom, uniqueEmail } from '../api/lib/accounts.mjs';
import { dbLines } from '../api/lib/conf.mjs';
import { connect, createDatabase } from '../api/lib/postgres.mjs';
import { env, sleep, until } from '../api/lib/env.mjs';
import { ok, times } from '../api/lib/expect.mjs';
import { Member, closeAll, makeRoom, subscribed } from './lib/chat.mjs';
import { RawSocket, handshake } from './lib/frames.mjs';
import { Polling, ask } from './lib/session.mjs';
import { placeOf, socketLines } from './lib/place.mjs';
import { client, closeClients, echoes, settled } from './lib/roads.mjs';

const lines = socketLines({ ping: [25000, 20000], maxPayload: 1000000, upgradeTimeout: 10000 });

/** Gives each connection to the next of the ports. */
async function roundRobin(ports) {
  const port = await freePort();
  let count = 0;
  const server = net.createServer((from) => {
    const to = net.connect(ports[count++ % ports.length], '127.0.0.1');
    for (const [one, other] of [[from, to], [to, from]]) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  const place = placeOf({ port });
  return { ...place, port, stop: () => server.close(), used: () => count };
}

for (const withRedis of [false, true]) {
  describe(`Two hosts behind a round-robin, ${withRedis ? 'with' : 'without'} Redis`, () => {
    const redis = new Redis();
    const kept = withRedis ? [() => `ChronicleRedis "${redis.url}"`] : [];
    const hosts = [
      new Server({ directives: [...lines, ...kept] }),
      /* the main server has no Redis, the host that answers has */
      new Server({ directives: lines, vhosts: [{ name: '127.0.0.1', lines: kept }] }),
    ];
    let front;
    let users;
    before(async () => {
      if (withRedis) await redis.start();
      /* it has 250 ms for an answer, which a slow machine may not give it */
      if (withRedis) for (const host of hosts) host.expectLog(/CH103[01]: /);
      await hosts[0].start();
      Object.assign(hosts[1], { database: hosts[0].database, secrets: hosts[0].secrets });
      await hosts[1].start();
      front = await roundRobin(hosts.map((host) => host.port));
      users = await hosts[0].users(3);
    });
    after(async () => {
      closeAll();
      closeClients();
      front.stop();
      for (const host of [...hosts].reverse()) await host.stop();
      if (withRedis) await redis.remove();
    });
    const polled = (host) => host.accessLog().split('\n').filter((line) => line.includes('transport=polling&sid=')).length;

    it('a session that polls works whichever host is asked', async () => {
      const session = await Polling.open(front);
      await session.send('40/echo,');
      const got = [];
      while (got.length < 2) got.push(...(await session.get()).packets);
      assert.match(got[0], /^40\/echo,/);
      for (let n = 0; n < 10; n += 1) {
        await session.send(`42/echo,["n",${n}]`);
        assert.deepEqual((await session.get()).packets, [`42/echo,["n",${n}]`]);
      }
      assert.ok(hosts.every((host) => polled(host) >= 5), 'both were asked');
      await session.post('1');
    });

    if (withRedis) {
      it('what a Redis that stood still does afterwards is not done twice', async () => {
        const session = await Polling.open(placeOf(hosts[0]));
        await session.send('40/echo,');
        const got = [];
        while (got.length < 2) got.push(...(await session.get()).packets);
        session.place = placeOf(hosts[1]);
        const said = async (n) => {
          await session.send(`42/echo,["n",${n}]`);
          assert.deepEqual((await session.get()).packets, [`42/echo,["n",${n}]`]);
        };
        await said(0);
        redis.pause();
        try {
          await said(1); /* begun over Redis, and sent by NOTIFY when that did not answer */
          await said(2);
        } finally {
          redis.resume();
        }
        const other = hosts[1].client({ token: users[0].token });
        const write = async () => ok(await other.post('/notes', { title: 'x' }), 201); /* somebody asks for Redis */
        const isBack = async () => (await write()) && / CH1031: /.test(hosts[1].log());
        await until(isBack, 15000, 'Redis is back');
        for (const n of [3, 4, 5]) await said(n);
        await session.post('1');
      });
    }

    it('socket.io-client by polls alone, long ones too', async () => {
      const socket = await settled(front, { transports: ['polling'] });
      await echoes(socket, 200);
      for (const size of [5000, 9000, 300000]) {
        const text = 'x'.repeat(size);
        assert.ok((await socket.said('long', text)) === text, `${size} bytes`);
        const data = Buffer.alloc(size, 0xff);
        assert.ok(data.equals(await socket.said('long', data)), `${size} bytes, binary`);
      }
      socket.disconnect();
    });

    it('an upgrade at the wrong host is refused, and polling goes on', async () => {
      const session = await Polling.open(placeOf(hosts[0]));
      const other = placeOf(hosts[1]);
      const socket = new RawSocket(other);
      socket.write(handshake(other, { path: `${other.url('websocket')}&sid=${session.sid}` }));
      assert.equal((await socket.answered).status, 400);
      await session.send('40/echo,');
      assert.match((await session.get()).packets[0], /^40\/echo,/);
      /* clients by both ways: each ends with the way that it found, and works */
      for (let n = 0; n < 6; n += 1) {
        const one = client(front, { transports: ['polling', 'websocket'] });
        await until(() => one.connected, 5000, 'it connects');
        await echoes(one, 20);
        await sleep(100);
        await echoes(one, 20);
        one.disconnect();
      }
    });

    it('a session of a host that is not there is unknown, in time', async () => {
      const sid = Buffer.alloc(36, 1).toString('base64url');
      const start = Date.now();
      const res = await ask(front, 'POST', `${front.url('polling')}&sid=${sid}`, { body: '40' });
      assert.equal(`${res.status} ${JSON.parse(res.text).code}`, '400 1');
      assert.ok(Date.now() - start < 6000);
    });

    it('a room is one at both hosts: order, and how long it takes', async (t) => {
      const room = await makeRoom(users[0], users.slice(1));
      const [here] = await subscribed(hosts[0], room, users[0]);
      const [there] = await subscribed(hosts[1], room, users[1]);
      const taken = [];
      for (let n = 0; n < 30; n += 1) {
        const start = performance.now();
        const came = new Promise((resolve) => {
          there.socket.once('message:new', () => resolve(performance.now() - start));
        });
        here.socket.emit('message:send', { roomId: room.id, content: `${n}` }, () => {});
        taken.push(await came);
      }
      taken.sort((a, b) => a - b);
      t.diagnostic(`from host to host: median ${taken[15].toFixed(1)} ms, worst ${taken[29].toFixed(1)} ms`);
      there.forget();
      for (let n = 0; n < 100; n += 1) here.socket.emit('message:send', { roomId: room.id, content: `all ${n}` }, () => {});
      const news = () => there.events.filter(({ event }) => event === 'message:new').map(({ data }) => data.message.seq);
      await until(() => news().length === 100, 15000, 'all are there');
      assert.deepEqual(news(), times(100, (n) => n + 31));
      const content = '\u{1d11e}'.repeat(4000); /* 16 KB */
      await here.ok('message:send', { roomId: room.id, content });
      await there.heard('message:new', ({ message }) => message.content === content);
    });

    it('who types, is there, is kicked, is logged out, and a room that is deleted', async () => {
      const [alice, bob, carol] = users;
      const room = await makeRoom(alice, [bob, carol]);
      const [here] = await subscribed(hosts[0], room, alice);
      const [there, third] = await subscribed(hosts[1], room, bob, carol);
      await here.ok('typing:start', { roomId: room.id });
      await there.heard('typing', ({ isTyping }) => isTyping);
      await here.ok('presence:set', { status: 'away' });
      await there.heard('presence', ({ userId, status }) => userId === here.id && status === 'away');
      ok(await alice.del(`/chat/rooms/${room.id}/members/${carol.user.id}`));
      await third.heard('room:kicked', ({ roomId }) => roomId === room.id);
      ok(await bob.post('/notes', { title: 'elsewhere' }), 201);
      await there.heard('sync:changed');
      ok(await alice.del(`/chat/rooms/${room.id}`));
      await there.heard('room:deleted', ({ roomId }) => roomId === room.id);
      const out = await hosts[0].user();
      const far = await Member.open(hosts[1], out);
      ok(await out.post('/auth/logout', { allDevices: true }));
      await far.heard('session:revoked', undefined, 15000);
      await far.isOut();
    });
  });
}

/* Two of the hosts are one file that is included twice, with nothing of ours in it. The second has a database of its
 * own. */
const second = {};

function template(server) {
  const file = path.join(server.dir, 'host.conf');
  const db = dbLines({ ...server, pg: env.pg, database: '${BASE}' });
  const host = [`<VirtualHost *:${server.port}>`, 'ServerName ${NAME}', ...db, '</VirtualHost>'];
  fs.writeFileSync(file, `${host.join('\n')}\n`);
  return [
    ['one.example', server.database],
    ['two.example', second.database],
  ].map(([name, base]) => `Define NAME ${name}\nDefine BASE ${base}\nInclude "${file}"`).join('\n');
}

serverSuite(
  'Virtual hosts',
  {
    directives: [...lines, template],
    vhosts: [{ name: 'none.example', lines: ['ChronicleSocketIo Off'] }],
    async start() {
      second.database = await createDatabase(env.pg);
      return Server.prototype.start.call(this);
    },
  },
  (server) => {
    after(closeAll);

    async function personAt(host) {
      const headers = { host };
      const fields = { email: uniqueEmail(), password: PASSWORD };
      const user = clientFrom(server, await server.client({ headers }).post('/auth/register', fields));
      user.headers = headers;
      return user;
    }
    const options = (host) => ({ extraHeaders: { host } });

    it('each database is listened to, once for each host that names it', async () => {
      const count = async (name) =>
        (
          await server.sql(
            "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'chronicle-bus:%'",
            [name],
          )
        )[0].n;
      await until(async () => (await count(second.database)) === 1, 10000, 'the second is');
      await until(async () => (await count(server.database)) === 2, 10000, 'the main server\'s is');
    });

    it('who is known to one database is nobody to the other, whatever is kept of him', async () => {
      const user = await personAt('one.example');
      ok(await user.get('/notes', { headers: { host: 'one.example' } }));
      for (const [method, path] of [
        ['get', '/notes'],
        ['get', '/auth/me'],
        ['get', '/chat/rooms'],
      ]) {
        const res = await user[method](path, { headers: { host: 'two.example' } });
        assert.equal(res.status, 401, `${method} ${path}`);
      }
      const member = new Member(server, { user, ...options('two.example') });
      assert.equal((await member.refusal()).data.code, 'INVALID_TOKEN');
    });

    it('users of one database never hear of the other', async () => {
      const hosts = ['one.example', 'two.example'];
      const users = await Promise.all(hosts.map(personAt));
      /* the same room in both, with its only member */
      const rooms = await Promise.all(users.map((user) => makeRoom(user, [], { isPrivate: false })));
      const other = await connect(env.pg, second.database);
      try {
        await other.query(
          `INSERT INTO chat_rooms SELECT (jsonb_populate_record(r, jsonb_build_object('id', $1::text))).*
           FROM chat_rooms r WHERE id = $2`,
          rooms.map(({ id }) => id),
        );
        await other.query('UPDATE room_members SET room_id = $1 WHERE room_id = $2', rooms.map(({ id }) => id));
      } finally {
        await other.end();
      }
      const members = await Promise.all(users.map((user, n) => Member.open(server, user, options(hosts[n]))));
      for (const member of members) await member.ok('room:join', { roomId: rooms[0].id });
      await sleep(100);
      for (const [one, two] of [members, [...members].reverse()]) {
        members.forEach((member) => member.forget());
        const { message } = await one.ok('message:send', { roomId: rooms[0].id, content: 'for us' });
        assert.equal(message.seq, 1);
        await one.ok('typing:start', { roomId: rooms[0].id });
        await one.ok('presence:set', { status: 'busy' });
        ok(await one.user.post('/notes', { title: 'mine' }), 201);
        await one.heard('message:new');
        await one.heard('sync:changed');
        await sleep(300);
        assert.deepEqual(two.events, []);
        const { online, typing } = await two.ok('presence:get', { roomId: rooms[0].id });
        assert.deepEqual([online.map(({ userId }) => userId), typing.filter((id) => id !== two.id)], [[two.id], []]);
        await one.ok('typing:stop', { roomId: rooms[0].id });
      }
    });

    it('Socket.IO that is off is not there', async () => {
      const place = placeOf(server);
      const at = (host) => ask(place, 'GET', place.url('polling'), { headers: { host } });
      assert.equal((await at('none.example')).status, 404);
      assert.equal((await at('one.example')).status, 200);
      assert.equal((await at('two.example')).status, 200);
    });
  },
);
