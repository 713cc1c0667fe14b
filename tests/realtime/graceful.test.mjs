/* A graceful restart, with live sockets of every road. */
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { TLS_NOISE, tlsOptions } from '../api/lib/tls.mjs';
import { generous, sleep, until, within } from '../api/lib/env.mjs';
import { Polling } from './lib/session.mjs';
import { RawSocket } from './lib/frames.mjs';
import { placeOf, socketLines } from './lib/place.mjs';
import { closeClients, settled } from './lib/roads.mjs';

const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];
const lines = socketLines({ ping: [25000, 20000], maxPayload: 1000000, upgradeTimeout: 10000 });
const tls = tlsOptions();

after(closeClients);

/** Polls until it is told that the session is closed. */
async function lastWords(session) {
  for (;;) {
    const { status, packets } = await session.get();
    if (status !== 200 || packets.includes('1')) return `${status} ${packets.at(-1) ?? ''}`;
  }
}

for (const [mpm, shape] of [
  ['event', { children: 3 }],
  ['worker', { children: 2 }],
]) {
  it(`Under ${mpm} clients are sent away, and come back`, async (t) => {
    const server = new Server({ mpm, ...shape, ...tls, directives: [...tls.directives, ...lines, 'GracefulShutdownTimeout 30'] });
    server.expectLog(...TLS_NOISE);
    await server.start();
    t.after(() => server.stop());
    const places = [placeOf(server), placeOf(server, { tls: true })];
    const raw = [];
    const polls = [];
    const clients = [];
    for (const place of places) {
      for (let n = 0; n < 5; n += 1) {
        const socket = await (await RawSocket.open(place)).echo();
        socket.polite = true;
        raw.push(socket);
        polls.push(await Polling.open(place));
      }
      for (const transports of WAYS) clients.push(await settled(place, { transports }));
    }
    const first = clients.map((client) => client.id);
    const said = polls.map(lastWords);
    await sleep(500); /* so that some of them wait */
    const old = server.processes();
    const start = Date.now();
    server.signal('SIGUSR1');
    await Promise.all(raw.map((socket) => socket.isClosed(1012, 30000)));
    /* whoever asks when all is said and done finds nobody, which sends him away as well */
    const words = await within(generous(30000), Promise.all(said));
    assert.ok(words.every((last) => ['200 1', '400 '].includes(last)), words.join());
    assert.ok(words.includes('200 1'), words.join());
    await until(() => !old.some((pid) => server.processes().includes(pid)), 15000, 'the old children are gone');
    t.diagnostic(`the old children were gone after ${Date.now() - start} ms`);
    await until(() => clients.every((client, n) => client.connected && client.id !== first[n]), 5000, 'they are back');
    for (const client of clients) assert.equal(await client.said('e', 1), 1);
    await sleep(50);
    clients.forEach((client) => client.disconnect());
  });
}
