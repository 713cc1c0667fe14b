/* How many clients there are, as /metrics and mod_status' page tell it: over all children, by transport. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { sleep, until } from '../api/lib/env.mjs';
import { socketLines } from './lib/place.mjs';
import { Polling, Socket, ask } from './lib/session.mjs';

describe('Open sockets are counted', () => {
  const server = new Server({
    modules: ['status'],
    head: ['<Location "/server-status">', 'SetHandler server-status', '</Location>'],
    directives: socketLines({ ping: [300, 6000], maxPayload: 100000, upgradeTimeout: 15000 }),
  });
  const place = {
    host: () => `127.0.0.1:${server.port}`,
    url: (query) => `/socket.io/?EIO=4&transport=${query}`,
    get port() {
      return server.port;
    },
  };
  before(() => server.start());
  after(() => server.stop());

  const metrics = async () =>
    [...(await ask(place, 'GET', '/metrics')).text.matchAll(/^chronicle_socketio_connections\{transport="(\w+)"\} (-?\d+)$/gm)]
      .map(([, transport, count]) => `${transport} ${count}`)
      .join(', ');
  const status = async () =>
    [...(await ask(place, 'GET', '/server-status?auto')).text.matchAll(/^ChronicleSockets(\w+): (\d+)$/gm)]
      .map(([, transport, count]) => `${transport.toLowerCase()} ${count}`)
      .join(', ');
  /** Both tell the same, soon: a connection may go to a child that is just dying. others(): more websockets, by then. */
  async function are(polling, websocket, others = () => 0) {
    const wanted = () => `polling ${polling}, websocket ${websocket + others()}`;
    let said;
    const look = async (tell) => {
      said = await tell().catch((error) => error.message);
      return said === wanted();
    };
    for (const tell of [metrics, status]) {
      await until(() => look(tell), 5000, 'both are counted').catch((error) => {
        throw new Error(`${error.message}: ${said}, not ${wanted()}`);
      });
    }
  }
  const open = async (count, kind, options) => {
    const sessions = [];
    while (sessions.length < count) sessions.push(await kind.open(place, options));
    return sessions;
  };
  const closeAll = (sessions) => Promise.all(sessions.map((session) => session.close()));

  it('as they come, change their transport, and go', async () => {
    assert.equal(await metrics(), 'polling 0, websocket 0');
    const polling = await open(5, Polling, { read: true });
    const sockets = await open(4, Socket);
    await are(5, 4);
    const [first] = polling;
    const probe = await Socket.open(place, { sid: first.sid });
    await probe.send('2probe');
    assert.equal(await probe.next(), '3probe');
    await are(5, 4);
    await probe.send('5');
    await are(4, 5);
    await probe.close();
    await are(4, 4);
    await polling[1].close();
    await are(3, 4);
    sockets[0].ws.terminate();
    await are(3, 3);
    await closeAll([...polling, ...sockets]);
    await are(0, 0);
    await Polling.open(place);
    await are(1, 0);
    await are(0, 0); /* it did not poll: no pong came back */
  });

  it('not those that are refused, or whose websocket does not take over', async () => {
    assert.equal((await ask(place, 'GET', `${place.url('websocket')}`)).status, 400);
    const session = await Polling.open(place, { read: true });
    const probe = await Socket.open(place, { sid: session.sid });
    probe.ws.terminate();
    await sleep(100);
    await are(1, 0);
    await session.close();
    await are(0, 0);
  });

  it("not those of a child that was killed, nor anybody's twice", async () => {
    const sockets = await open(16, Socket);
    await are(0, 16);
    const alive = new Set(sockets);
    for (const session of sockets) session.ended.then(() => alive.delete(session));
    for (const pid of server.processes()) {
      process.kill(pid, 'SIGKILL');
      await until(() => !server.processes().includes(pid), 5000, 'it is gone');
      await sleep(300);
      await are(0, 0, () => alive.size);
    }
    assert.equal(alive.size, 0);
  });

  it('while a graceful restart sends them away, and afterwards', async () => {
    const sockets = await open(16, Socket);
    const alive = new Set(sockets);
    for (const session of sockets) session.ended.then(() => alive.delete(session));
    await are(0, 16);
    const mark = server.log().length;
    server.signal('SIGUSR1');
    await until(() => /resuming normal operations/.test(server.log().slice(mark)), 15000, 'the restart is done');
    const [late] = await open(1, Socket);
    await until(() => !alive.size, 20000, 'all were sent away');
    await are(0, 1);
    await late.close();
    await are(0, 0);
  });
});
