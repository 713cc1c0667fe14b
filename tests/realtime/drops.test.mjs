/* Clients come and go by the thousand, and leave nothing behind. CH_TEST_DROPS is "<cycles> <clients>" (6 200). */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { env, sleep, until } from '../api/lib/env.mjs';
import { ok, times } from '../api/lib/expect.mjs';
import { makeRoom } from './lib/chat.mjs';
import { RawSocket, closeFrame } from './lib/frames.mjs';

const [CYCLES, CLIENTS] = (process.env.CH_TEST_DROPS || (env.sanitize ? '3 60' : '6 200')).split(' ').map(Number);
const USERS = 10;
const AT_ONCE = 100;
const GROWTH = 400; /* KB that may come with the later half of all cycles */

describe('Clients that come and go', () => {
  const server = new Server({ children: 1 });
  const place = {
    host: () => server.host,
    url: (query = '') => `/socket.io/?EIO=4&transport=${query}`,
    get port() {
      return server.port;
    },
  };
  let users;
  let room;
  before(async () => {
    await server.start();
    users = await server.users(USERS);
    room = await makeRoom(users[0], users.slice(1));
  });
  after(() => server.stop());

  const pid = () => server.processes()[0];
  const descriptors = () => fs.readdirSync(`/proc/${pid()}/fd`).length;
  /** KB that belong to the child alone. */
  const memory = () => {
    const text = fs.readFileSync(`/proc/${pid()}/smaps_rollup`, 'utf8');
    return [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)].reduce((sum, [, size]) => sum + Number(size), 0);
  };

  /** Connects to "/", and is subscribed to the room. */
  async function come(n) {
    const socket = await RawSocket.open(place);
    socket.send(`40${JSON.stringify({ token: users[n % USERS].token })}`);
    let text = await socket.text(20000);
    assert.match(text, /^40\{/);
    socket.send(`420${JSON.stringify(['room:join', { roomId: room.id }])}`);
    while (!text.startsWith('430')) text = await socket.text(20000);
    assert.match(text, /^430\[\{"success":true,/);
    return socket;
  }

  /** By goodbye, by a close, by a reset. */
  function go(socket, n) {
    if (n % 4 === 0) {
      socket.polite = true;
      socket.write(closeFrame(1000));
    }
    if (n % 4 < 2) socket.socket.end();
    else socket.socket.resetAndDestroy();
    return socket.ended;
  }

  async function cycle(idle) {
    const sockets = [];
    while (sockets.length < CLIENTS) {
      sockets.push(...(await Promise.all(times(Math.min(AT_ONCE, CLIENTS - sockets.length), (n) => come(sockets.length + n)))));
    }
    assert.ok(descriptors() > CLIENTS);
    await Promise.all(sockets.map(go));
    sockets.forEach((socket) => socket.end());
    await until(() => descriptors() <= idle, 10000, `${descriptors()} descriptors, before ${idle}`);
  }

  it('leave no descriptor, no memory and no presence', async (t) => {
    const used = [];
    let idle = 0;
    for (let n = 0; n < CYCLES; n += 1) {
      if (n < 2) {
        await sleep(300);
        idle = Math.max(idle, descriptors()) + (n ? 0 : 8); /* connections to the database come with the first ones */
      }
      await cycle(idle);
      used.push(memory());
    }
    t.diagnostic(`KB after each cycle: ${used}; descriptors ${descriptors()}`);
    const half = Math.floor(CYCLES / 2);
    const growth = Math.min(...used.slice(half)) - Math.max(...used.slice(1, half));
    if (!env.sanitize && !env.under.length) assert.ok(growth < GROWTH, `${growth} KB: ${used}`);
    const here = async () => ok(await users[0].get(`/chat/rooms/${room.id}/presence`)).online.length;
    await until(async () => (await here()) === 0, 9000, 'nobody is there');
    const [{ count }] = await server.sql('SELECT count(*)::int AS count FROM user_presence');
    assert.equal(count, 0);
  });
});
