/* More clients than the system lets a process have descriptors. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { sleep, until } from '../api/lib/env.mjs';
import { ok, times } from '../api/lib/expect.mjs';
import { RawSocket, handshake } from './lib/frames.mjs';
import { Polling, ask } from './lib/session.mjs';
import { socketLines } from './lib/place.mjs';

const LIMIT = 320;

describe('A process has only so many descriptors', () => {
  const server = new Server({
    children: 1,
    threads: 24,
    head: ['ServerLimit 20'], /* each place for a child is two descriptors in every child */
    directives: socketLines({ ping: [25000, 20000], maxPayload: 100000, upgradeTimeout: 2000 }),
  });
  const place = {
    host: () => server.host,
    url: (query = '') => `/socket.io/?EIO=4&transport=${query}`,
    get port() {
      return server.port;
    },
  };
  const opened = [];
  before(async () => {
    await server.prepare();
    const launch = server.launch.bind(server);
    server.launch = () => {
      /* what httpd inherits */
      const { soft } = limits(process.pid);
      set(process.pid, LIMIT);
      return launch().finally(() => set(process.pid, soft));
    };
    await server.start();
  });
  after(async () => {
    opened.forEach((socket) => socket.end());
    await server.stop();
  });

  const limits = (pid) => {
    const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, 'utf8'));
    return { soft, hard };
  };
  const set = (pid, soft) => execFileSync('prlimit', ['--pid', pid, `--nofile=${soft}:`]);
  const child = () => server.processes()[0];
  const used = () => fs.readdirSync(`/proc/${child()}/fd`).length;

  /** A websocket in /echo, or the answer that there is none. */
  async function come() {
    const socket = new RawSocket(place);
    opened.push(socket);
    socket.write(handshake(place));
    const { status, headers } = await socket.answered;
    if (status === 101) {
      assert.match(await socket.text(), /^0/);
      return socket.echo();
    }
    socket.end();
    return { status, headers };
  }

  it('who comes too late is told to come later; who is there stays; who comes when others left gets in', async (t) => {
    const user = await server.user();
    const pid = child();
    assert.equal(limits(pid).soft, String(LIMIT));
    const there = [];
    let refused = 0;
    for (let n = 0; n < 16; n += 1) {
      for (const one of await Promise.all(times(40, come))) {
        if (one.status === undefined) {
          there.push(one);
          continue;
        }
        refused += 1;
        assert.equal(one.status, 503);
        assert.ok(Number(one.headers['retry-after']) > 0);
      }
    }
    t.diagnostic(`${there.length} sockets, ${used()} of ${LIMIT} descriptors, ${refused} were refused`);
    assert.ok(there.length > 50 && refused > 100, `${there.length} sockets, ${refused} refused`);
    const res = await ask(place, 'GET', place.url('polling'));
    assert.equal(res.status, 503);
    assert.ok(Number(res.headers['retry-after']) > 0);
    const posts = await Promise.all(times(60, (n) => user.post('/notes', { title: `${n}` }, { fresh: true })));
    posts.forEach((one) => ok(one, 201));
    await Promise.all(there.map((socket) => socket.lives()));
    assert.equal(child(), pid, 'the child is the same');
    there.splice(0, 20).forEach((socket) => socket.end());
    let late;
    await until(async () => (late = await come()).lives, 5000, 'somebody gets in');
    await late.lives();
    await (await Polling.open(place)).close();
    await sleep(50);
    assert.doesNotMatch(server.log(), /Too many open files|AH0\d+: .*accept/);
  });
});
