/* The roads that a socket may take through the server: plain or TLS, to its own process or to another's. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { serverSuite } from '../api/lib/server.mjs';
import { TLS_NOISE, tlsOptions } from '../api/lib/tls.mjs';
import { env, patience, sleep, until } from '../api/lib/env.mjs';
import { parallel, times } from '../api/lib/expect.mjs';
import { PING, RawSocket, TEXT, closeFrame, frame, handshake } from './lib/frames.mjs';
import { Polling, isOver, openEcho } from './lib/session.mjs';
import { placeOf, socketLines } from './lib/place.mjs';
import { closeClients, descriptors, echoes, journeys, memory, settled } from './lib/roads.mjs';

const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];
const LONG = 900000;
const lines = socketLines({ ping: [25000, 20000], maxPayload: 1000000, upgradeTimeout: 10000 });
const tls = tlsOptions();

const CROSSROADS = {
  ...tls,
  children: 4,
  threads: 16,
  /* Sockets behind TLS count as connections of the MPM, which must not stop accepting because of them. */
  directives: [...tls.directives, ...lines, 'AsyncRequestWorkerFactor 40'],
};

/** A session whose websocket is held by another process: found by trying. */
async function foreign(server, place, mark) {
  for (let n = 0; n < 200; n += 1) {
    const session = await Polling.open({ ...place, url: (query) => `${place.url(query)}&mark=${mark}${n}` });
    const socket = new RawSocket(place);
    socket.polite = true;
    socket.write(handshake(place, { path: `${session.place.url('websocket')}&sid=${session.sid}` }));
    assert.equal((await socket.answered).status, 101);
    socket.send('2probe');
    assert.equal(await socket.text(), '3probe');
    socket.send('5');
    const journey = () => journeys(server).get(`${mark}${n}`);
    await until(() => journey()?.upgrade, 3000, 'it is in the access log');
    const { owner, upgrade } = journey();
    if (owner !== upgrade) return { socket, owner, session: { place, sid: session.sid, ended: socket.ended } };
    socket.end();
  }
  throw new Error('all upgrades landed at their sessions');
}

serverSuite('Many children', CROSSROADS, (server) => {
  server.expectLog(...TLS_NOISE);
  after(closeClients);

  for (const overTls of [false, true]) {
    let place;
    before(() => {
      place = placeOf(server, { tls: overTls });
    });
    const road = overTls ? 'TLS' : 'plain';

    for (const transports of WAYS) {
      it(`${road}: long and many messages by ${transports.join(', then ')}`, async () => {
        const socket = await settled(place, { transports, mark: 'long' });
        const text = '0123456789'.repeat(LONG / 10);
        assert.ok((await socket.said('long', text)) === text, 'all of the text');
        const data = Buffer.alloc(LONG * 0.7, 7);
        assert.ok(data.equals(await socket.said('long', data)), 'all of the bytes');
        await echoes(socket, 500);
        socket.disconnect();
      });
    }

    it(`${road}: 200 clients that poll first all end up with a websocket, wherever they land`, async () => {
      const mark = `many-${road}-`;
      const transports = ['polling', 'websocket'];
      const text = 'x'.repeat(100000);
      let elsewhere = 0;
      /* where they land is the system's choice: until enough did elsewhere */
      for (let round = 0; round < 10 && elsewhere < 20; round += 1) {
        const all = await parallel(200, (n) => settled(place, { transports, mark: `${mark}${round}-${n}` }));
        await Promise.all(all.map((socket) => echoes(socket, 5)));
        for (const socket of all.slice(0, 50)) assert.ok((await socket.said('e', text)) === text);
        const own = [...journeys(server)].filter(([name]) => name?.startsWith(`${mark}${round}-`)).map(([, one]) => one);
        assert.equal(own.length, 200);
        assert.ok(own.every((one) => one.status === 101));
        elsewhere += own.filter((one) => one.owner !== one.upgrade).length;
        closeClients();
      }
      assert.ok(elsewhere >= 20, `only ${elsewhere} upgrades landed elsewhere`);
    });

    it(`${road}: a socket that is with another process: long messages, closing, vanishing`, async () => {
      const { socket, session, owner } = await foreign(server, place, `foreign-${road}-`);
      await socket.echo();
      await socket.lives();
      process.kill(owner, 'SIGSTOP'); /* as when it has much to do: nothing may be lost of what waits for it */
      socket.write(...times(4, () => frame(TEXT, `3${'x'.repeat(LONG)}`)));
      await sleep(300);
      process.kill(owner, 'SIGCONT');
      for (let n = 0; n < 3; n += 1) {
        const event = `42/echo,["${n}${'x'.repeat(LONG)}"]`;
        socket.send(event);
        assert.ok((await socket.text()) === event, 'it comes back');
      }
      socket.write(closeFrame(4001, 'bye'));
      await socket.isClosed(4001);
      await isOver(session);

      const second = await foreign(server, place, `gone-${road}-`);
      await second.socket.echo();
      second.socket.vanish();
      await isOver(second.session);
    });

    it(`${road}: polls that land anywhere lose nothing, and keep the order`, async () => {
      const mark = `anywhere-${road}`;
      const socket = await settled(place, { transports: ['polling'], mark });
      const noise = await parallel(4, (n) => settled(place, { transports: ['polling'], mark: `noise-${n}` }));
      const elsewhere = () => {
        const { owner, polls } = journeys(server).get(mark);
        return polls.filter((pid) => pid !== owner).length;
      };
      /* where they land is the system's choice: until enough did elsewhere */
      for (let round = 0; round === 0 || (round < 30 && elsewhere() < 5); round += 1) {
        await Promise.all([echoes(socket, 500), ...noise.map((one) => echoes(one, 100))]);
        for (let n = 0; n < 20; n += 1) assert.equal(await socket.said('e', n), n);
      }
      assert.ok(elsewhere() >= 5, `only ${elsewhere()} polls landed elsewhere`);
      closeClients();
    });

    it(`${road}: raw polls keep the order`, async () => {
      const session = await openEcho(place, 'polling');
      for (let n = 0; n < 50; n += 1) {
        await session.send(...times(10, (k) => `42/echo,["n",${n * 10 + k}]`));
      }
      for (let n = 0; n < 500; n += 1) assert.equal(await session.next(), `42/echo,["n",${n}]`);
      await session.close();
    });

    it(`${road}: codes of closing, pings, a client that vanishes`, async () => {
      for (const code of [1000, 1001, 3000, 4999]) {
        const socket = await (await RawSocket.open(place)).echo();
        socket.write(closeFrame(code, 'bye'));
        await socket.isClosed(code);
      }
      const socket = await (await RawSocket.open(place)).echo();
      socket.write(frame(PING, 'x'));
      assert.equal(`${(await socket.next()).data}`, 'x');
      socket.write(frame(TEXT, 'x', { rsv: 4 }));
      await socket.isClosed(1002);
      const lost = new RawSocket(place);
      lost.write(handshake(place));
      await lost.answered;
      const { sid } = JSON.parse((await lost.text()).slice(1));
      lost.vanish();
      await isOver({ place, sid, ended: lost.ended });
    });

    it(`${road}: 300 sockets at once, and what they took is given back`, async () => {
      const round = async () => {
        const all = await parallel(300, () => openEcho(place, 'websocket'));
        await Promise.all(all.map((one, n) => one.send(`42/echo,["n",${n}]`)));
        for (const [n, one] of all.entries()) assert.equal(await one.next(), `42/echo,["n",${n}]`);
        const held = memory(server);
        await Promise.all(all.map((one) => one.close()));
        return held;
      };
      const before = descriptors(server);
      await round();
      await until(() => descriptors(server) <= before + 16, 8000, 'the descriptors are given back');
      const first = memory(server);
      await round();
      await until(() => descriptors(server) <= before + 16, 8000, 'the descriptors are given back');
      const second = memory(server);
      if (!env.sanitize && patience === 1) {
        assert.ok(second < first + 4000, `${first} KB after 300 sockets, ${second} KB after 300 more`);
      }
    });
  }
});
