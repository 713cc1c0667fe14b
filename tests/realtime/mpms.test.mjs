/* Sockets under each MPM, over HTTP/2, and among the other modules of the server. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Server, serverSuite } from '../api/lib/server.mjs';
import { H2 } from '../api/lib/h2.mjs';
import { TLS_NOISE, tlsOptions } from '../api/lib/tls.mjs';
import { sleep, until, within } from '../api/lib/env.mjs';
import { parallel, times } from '../api/lib/expect.mjs';
import { Member, closeAll, makeRoom } from './lib/chat.mjs';
import { PONG, PING, RawSocket, TEXT, frame } from './lib/frames.mjs';
import { Polling, ask, isOver, openEcho } from './lib/session.mjs';
import { placeOf, socketLines } from './lib/place.mjs';
import { closeClients, echoes, requests, settled } from './lib/roads.mjs';

const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];
const lines = socketLines({ ping: [25000, 20000], maxPayload: 1000000, upgradeTimeout: 10000 });
const tls = tlsOptions();
const both = { ...tls, directives: [...tls.directives, ...lines, 'AsyncRequestWorkerFactor 20'] };
const sync = { ...tls, directives: [...tls.directives, ...lines] };

for (const [mpm, shape] of [
  ['worker', { children: 2, threads: 16 }],
  ['prefork', { children: 12, threads: 1, dbMax: 1 }],
]) {
  describe(`Under ${mpm}`, () => {
    const server = new Server({ mpm, ...sync, ...shape });
    server.expectLog(...TLS_NOISE);
    before(() => server.start());
    afterEach(() => server.judgeLog());
    after(async () => {
      /* with sockets open by all roads */
      const plain = placeOf(server);
      const secure = placeOf(server, { tls: true });
      const open = await Promise.all([
        ...[plain, secure].flatMap((place) => WAYS.map((transports) => settled(place, { transports, reconnection: false }))),
      ]);
      assert.ok(open.every((socket) => socket.connected));
      await server.stop(); /* fails when httpd had to kill a child, which it does after 9 s */
      closeClients();
    });

    it('it is said once that sockets keep threads', () => {
      assert.equal(server.log().match(/CH1120: /g).length, 1);
    });

    for (const overTls of [false, true]) {
      const road = overTls ? 'TLS' : 'plain';
      for (const transports of WAYS) {
        it(`${road}: ${transports.join(', then ')}`, async () => {
          const socket = await settled(placeOf(server, { tls: overTls }), { transports });
          await echoes(socket, 200);
          const text = '0123456789'.repeat(90000);
          assert.ok((await socket.said('long', text)) === text);
          const data = Buffer.alloc(500000, 7);
          assert.ok(data.equals(await socket.said('long', data)));
          socket.disconnect();
        });
      }

      it(`${road}: a chat of two`, async () => {
        const users = await server.users(2);
        const room = await makeRoom(users[0], [users[1]]);
        const { origin } = placeOf(server, { tls: overTls });
        const options = { rejectUnauthorized: false };
        const alice = await Member.open({ origin }, users[0], options);
        const bob = await Member.open({ origin }, users[1], { ...options, transports: ['polling', 'websocket'] });
        await alice.ok('room:join', { roomId: room.id });
        await bob.ok('room:join', { roomId: room.id });
        for (const [one, other] of [[alice, bob], [bob, alice]]) {
          const { message } = await one.ok('message:send', { roomId: room.id, content: 'Hello' });
          assert.deepEqual((await other.heard('message:new', ({ message: { id } }) => id === message.id)).message, message);
        }
        closeAll();
      });

      it(`${road}: a client that vanishes leaves its thread`, async () => {
        const place = placeOf(server, { tls: overTls });
        for (let n = 0; n < 3; n += 1) {
          const all = await parallel(6, () => RawSocket.open(place));
          for (const one of all) one.vanish();
          await sleep(700);
        }
        await (await RawSocket.open(place)).echo().then((socket) => socket.lives().then(() => socket.end()));
      });
    }
  });
}

serverSuite(
  'HTTP/2',
  { ...both, modules: [...tls.modules, 'http2'], children: 2, directives: [...both.directives, 'Protocols h2 h2c http/1.1'] },
  (server) => {
    server.expectLog(...TLS_NOISE);
    for (const overTls of [true, false]) {
      it(`polling works through streams, websockets are refused (${overTls ? 'TLS' : 'clear text'})`, async () => {
        const h2 = await H2.connect(server, { tls: overTls });
        const get = (path) => h2.at('GET', path, { check: false });
        const opening = await get('/socket.io/?EIO=4&transport=polling');
        assert.equal(opening.status, 200);
        const { sid } = JSON.parse(opening.text.slice(1));
        const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
        const post = async (body) => {
          const headers = { 'content-type': 'text/plain;charset=UTF-8' };
          const res = await h2.at('POST', path, { body, headers, check: false });
          assert.equal(`${res.status} ${res.text}`, '200 ok');
        };
        await post('40/echo,');
        const got = [];
        const poll = async (count) => {
          while (got.length < count) {
            const res = await get(path);
            assert.equal(res.status, 200, res.text);
            got.push(...res.text.split('\x1e').filter((packet) => packet !== '6'));
          }
        };
        await poll(2);
        assert.match(got[0], /^40\/echo,\{"sid"/);
        /* a poll that waits, while others of the connection are served */
        const waiting = poll(3);
        await sleep(300);
        const refused = await get(`/socket.io/?EIO=4&transport=websocket&sid=${sid}`);
        assert.equal(refused.status, 400);
        assert.deepEqual(refused.json, { code: 3, message: 'Bad request' });
        assert.equal((await get('/socket.io/?EIO=4&transport=websocket')).status, 400);
        await post('42/echo,["n",0]');
        await waiting;
        const all = poll(203);
        for (let n = 1; n <= 200; n += 1) await post(`42/echo,["n",${n}]`);
        await all;
        assert.deepEqual(got.slice(2), times(201, (n) => `42/echo,["n",${n}]`));
        const long = `42/echo,["${'x'.repeat(900000)}"]`;
        await post(long);
        await poll(204);
        assert.ok(got[203] === long);
        h2.close();
      });
    }

    it('more polls than may wait for streams slow each other down, but all go on', async () => {
      const h2 = await H2.connect(server, { tls: true });
      const get = (path) => h2.at('GET', path, { check: false });
      const sids = await parallel(20, async () => {
        const res = await get('/socket.io/?EIO=4&transport=polling');
        return JSON.parse(res.text.slice(1)).sid;
      });
      const path = (sid) => `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
      const headers = { 'content-type': 'text/plain;charset=UTF-8' };
      const done = await parallel(20, async (n) => {
        let text = '';
        const reading = (async () => {
          while (!text.includes('42/echo,["hi"]')) {
            const res = await get(path(sids[n]));
            assert.equal(res.status, 200, res.text);
            text += res.text;
          }
        })();
        await sleep(100);
        for (const body of ['40/echo,', '42/echo,["hi"]']) {
          assert.equal((await h2.at('POST', path(sids[n]), { body, headers, check: false })).status, 200);
        }
        await within(10000, reading);
        return text.includes('42/echo,["hi"]');
      });
      assert.deepEqual(done, times(20, () => true));
      h2.close();
    });
  },
);

serverSuite(
  'Among other modules',
  {
    ...both,
    modules: [...tls.modules, 'remoteip', 'rewrite', 'headers', 'setenvif', 'filter', 'env', 'status'],
    children: 2,
    directives: [
      ...both.directives,
      'RemoteIPHeader X-Forwarded-For',
      'RemoteIPInternalProxy 127.0.0.1',
      'RequestReadTimeout handshake=1 header=1-2,MinRate=500 body=1,MinRate=500',
      'Timeout 2',
      'KeepAliveTimeout 1',
      'Header always set X-Everywhere yes',
      'Header set X-Early yes early',
      'RequestHeader set X-Inside yes',
      'SetOutputFilter DEFLATE',
      'RewriteEngine On',
      'RewriteRule "^/(.*)" "/index.html?page=$1" [L]',
      'ExtendedStatus On',
    ],
    vhosts: tls.vhosts.map((vhost) => ({
      ...vhost,
      lines: [...vhost.lines, 'RewriteEngine On', 'RewriteOptions Inherit', 'Timeout 2'],
    })),
  },
  (server) => {
    server.expectLog(...TLS_NOISE);
    after(closeClients);
    const headers = { 'X-Forwarded-For': '203.0.113.9', 'Accept-Encoding': 'gzip' };

    for (const overTls of [false, true]) {
      const road = overTls ? 'TLS' : 'plain';

      it(`${road}: sockets and polls outlive all time limits, and are not packed`, async () => {
        const place = placeOf(server, { tls: overTls });
        const raw = await (await RawSocket.open(place, { headers })).echo();
        assert.equal(raw.head.headers['content-encoding'], undefined);
        const polling = await openEcho(place, 'polling', '');
        const client = await settled(place, { transports: ['polling', 'websocket'], extraHeaders: headers });
        const half = frame(TEXT, `42/echo,["${'y'.repeat(2000)}"]`);
        raw.write(half.subarray(0, 1000));
        await sleep(4500);
        raw.write(half.subarray(1000));
        assert.equal((await raw.text()).length, 2000 + 12);
        raw.write(frame(PING, 'x'));
        assert.equal((await raw.next()).opcode, PONG);
        await polling.send('42/echo,["still"]');
        assert.equal(await polling.next(), '42/echo,["still"]');
        await echoes(client, 20);
        await polling.close();
        raw.end();
        client.disconnect();
      });
    }

    it('answers of polls may be packed, and are whole', async () => {
      const session = await Polling.open(placeOf(server), { headers: { 'accept-encoding': 'identity' } });
      await session.send('40/echo,');
      await session.get();
      await session.send(`42/echo,["${'z'.repeat(50000)}"]`);
      const res = await session.get();
      assert.equal(res.headers['x-everywhere'], 'yes');
      assert.equal(res.packets.at(-1).length, 50000 + 12);
      assert.equal(res.headers['content-encoding'], undefined);
    });

    it('a poll that waits tells the date, and what httpd was told to send early', async () => {
      const session = await Polling.open(placeOf(server));
      await session.send('40/echo,');
      await session.get();
      const waiting = session.get();
      await sleep(200);
      await session.send('42/echo,["now"]');
      const { headers: found } = await waiting;
      assert.match(String(found.date), /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
      assert.equal(found['x-early'], 'yes');
      await session.close();
    });

    it('the access log has a line with 101 for each upgrade', async () => {
      const place = placeOf(server);
      for (let n = 0; n < 5; n += 1) {
        const path = `${place.url('websocket')}&mark=line${n}`;
        const socket = await RawSocket.open(place, { path });
        const found = () => requests(server).filter((one) => one.mark === `line${n}`);
        await until(() => found().length, 2000, 'it is there while the socket is open');
        socket.end();
        await sleep(50);
        assert.deepEqual(found().map((one) => `${one.method} ${one.status}`), ['GET 101']);
      }
      const res = await ask(place, 'GET', '/socket.io/?EIO=4&transport=websocket&mark=bad');
      assert.equal(res.status, 400);
      await until(() => requests(server).some((one) => one.mark === 'bad' && one.status === 400), 2000, 'its line');
    });
  },
);
