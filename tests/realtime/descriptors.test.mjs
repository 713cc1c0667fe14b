/* More clients than the system lets a process have descriptors. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Server } from '../api/lib/server.mjs';
import { cookieLogin } from '../api/lib/accounts.mjs';
import { sleep, until } from '../api/lib/env.mjs';
import { ok, times } from '../api/lib/expect.mjs';
import { RawSocket, handshake } from './lib/frames.mjs';
import { Polling, ask } from './lib/session.mjs';
import { socketLines } from './lib/place.mjs';
import { Member, closeAll } from './lib/chat.mjs';

const LIMIT = 320;

const DIRECTIVES = socketLines({ ping: [25000, 20000], maxPayload: 100000, upgradeTimeout: 2000 });
const opened = [];

const limits = (pid) => {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, 'utf8'));
  return { soft, hard };
};
const set = (pid, soft) => execFileSync('prlimit', ['--pid', pid, `--nofile=${soft}:`]);
const used = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;

/** A server whose processes inherit the limit, in a describe(). */
function limitedServer(options) {
  const server = new Server({ threads: 24, directives: DIRECTIVES, ...options });
  before(async () => {
    await server.prepare();
    const launch = server.launch.bind(server);
    server.launch = () => {
      const { soft } = limits(process.pid);
      set(process.pid, LIMIT);
      return launch().finally(() => set(process.pid, soft));
    };
    await server.start();
  });
  after(async () => {
    opened.splice(0).forEach((socket) => socket.end());
    await server.stop();
  });
  return server;
}

const placeOf = (server) => ({
  host: () => server.host,
  url: (query = '') => `/socket.io/?EIO=4&transport=${query}`,
  get port() {
    return server.port;
  },
});

/** A websocket in /echo, or the answer that there is none. */
async function come(place, headers = {}) {
  const socket = new RawSocket(place);
  opened.push(socket);
  socket.write(handshake(place, { headers }));
  const answer = await socket.answered;
  if (answer.status === 101) {
    assert.match(await socket.text(), /^0/);
    return socket.echo();
  }
  socket.end();
  return answer;
}

describe('A process has only so many descriptors', () => {
  /* each place for a child is two descriptors in every child */
  const server = limitedServer({ children: 1, head: ['ServerLimit 20'] });
  const place = placeOf(server);

  it('who comes too late is told to come later; who is there stays; who comes when others left gets in', async (t) => {
    const user = await server.user();
    const pid = server.processes()[0];
    assert.equal(limits(pid).soft, String(LIMIT));
    const there = [];
    let refused = 0;
    for (let n = 0; n < 16; n += 1) {
      for (const one of await Promise.all(times(40, () => come(place)))) {
        if (one.status === undefined) {
          there.push(one);
          continue;
        }
        refused += 1;
        assert.equal(one.status, 503);
        assert.ok(Number(one.headers['retry-after']) > 0);
      }
    }
    t.diagnostic(`${there.length} sockets, ${used(pid)} of ${LIMIT} descriptors, ${refused} were refused`);
    assert.ok(there.length > 50 && refused > 100, `${there.length} sockets, ${refused} refused`);
    const res = await ask(place, 'GET', place.url('polling'));
    assert.equal(res.status, 503);
    assert.ok(Number(res.headers['retry-after']) > 0);
    const posts = await Promise.all(times(60, (n) => user.post('/notes', { title: `${n}` }, { fresh: true })));
    posts.forEach((one) => ok(one, 201));
    await Promise.all(there.map((socket) => socket.lives()));
    assert.equal(server.processes()[0], pid, 'the child is the same');
    there.splice(0, 20).forEach((socket) => socket.end());
    let late;
    await until(async () => (late = await come(place)).lives, 5000, 'somebody gets in');
    await late.lives();
    await (await Polling.open(place)).close();
    /* Who begins sessions and never comes back to them fills no memory. */
    const began = { 200: 0, 503: 0 };
    for (let n = 0; n < 5 * LIMIT && !began[503]; n += 1) began[(await ask(place, 'GET', place.url('polling'))).status] += 1;
    assert.ok(began[200] > 100 && began[503] === 1, JSON.stringify(began));
    await (await come(place)).lives();
    await sleep(50);
    assert.doesNotMatch(server.log(), /Too many open files|AH0\d+: .*accept/);
  });
});

describe('One of several processes is full', () => {
  const server = limitedServer({ children: 3, head: ['ServerLimit 20'] });
  const place = placeOf(server);

  it('others take whom it has no descriptor for, with all that they said; then all are full', async (t) => {
    const [first, ...others] = server.processes();
    const before = used(first);
    const login = await cookieLogin(server, await server.user());
    const cookie = Object.entries(login.cookies).map((pair) => pair.join('=')).join('; ');
    others.forEach((pid) => process.kill(pid, 'SIGSTOP'));
    let coming;
    let member;
    try {
      coming = times(LIMIT - before, () => come(place));
      await until(() => opened.filter((one) => one.head?.status === 101).length === coming.length, 10000, 'all got their 101');
      member = new Member(server, { extraHeaders: { Cookie: cookie, Origin: server.origin } });
      await sleep(200);
      assert.ok(!member.socket.connected, 'who has the session does not run');
    } finally {
      others.forEach((pid) => process.kill(pid, 'SIGCONT'));
    }
    const there = await Promise.all(coming);
    there.forEach((one) => assert.equal(one.status, undefined, 'nobody was refused'));
    await member.heard('ready');
    await Promise.all(there.map((socket) => socket.lives()));
    let refused = [];
    while (refused.length < 20 && there.length < 3 * LIMIT) {
      const more = await Promise.all(times(10, () => come(place)));
      there.push(...more.filter((one) => !one.status));
      refused = refused.concat(more.filter((one) => one.status));
    }
    let counts;
    const even = () => (counts = server.processes().map(used)) && Math.max(...counts) - Math.min(...counts) < 30;
    await until(even, 5000, 'all hold as many').catch(() => {});
    t.diagnostic(`${there.length} sockets, ${refused.length} were refused, ${counts} descriptors`);
    refused.forEach(({ status }) => assert.equal(status, 503));
    assert.ok(even(), `${counts}`);
    await Promise.all(there.map((socket) => socket.lives()));
    assert.doesNotMatch(server.log(), /Too many open files|AH0\d+: .*accept/);
    closeAll();
  });
});
