/* Clients that are slow on purpose: others are served meanwhile, and within a bound (event, mod_reqtimeout). */
import assert from 'node:assert/strict';
import net from 'node:net';
import { spawn, spawnSync } from 'node:child_process';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { patience, sleep, until } from './lib/env.mjs';
import { ok } from './lib/expect.mjs';

/* A thread of event reads a request's first bytes and body until it is whole, so a slow one holds a thread for as long
   as mod_reqtimeout lets it: 2 s here. With three times as many slow clients as threads, the queue before everybody
   else is that of three such turns. */
const TIMEOUTS = 'RequestReadTimeout handshake=0 header=2 body=2';
const BOUND = 20000 * patience; /* with room for a machine that stalls */
const SLOW = 200;

serverSuite('Slow clients', { children: 2, threads: 32, directives: [TIMEOUTS, 'Timeout 5'] }, (s) => {
  let alice;
  let note;
  before(async () => {
    alice = await s.user();
    note = ok(await alice.post('/notes', { title: 'long', content: 'x'.repeat(900000) }), 201);
  });

  const head = (method, path, more = '') =>
    `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\n${more}`;

  /** `count` connections that send `text` byte by byte and read nothing, until stopped. */
  function slowClients(count, text, { at = 0, pause = 100 } = {}) {
    const state = { running: true, opened: 0, closed: 0 };
    for (let n = 0; n < count; n += 1) {
      const socket = net.connect(s.port, '127.0.0.1');
      socket.pause();
      socket.on('error', () => {});
      socket.on('close', () => {
        state.closed += 1;
      });
      socket.on('connect', async () => {
        state.opened += 1;
        socket.write(text.slice(0, at));
        for (let k = at; state.running && !socket.destroyed; k += 1) {
          if (k < text.length) socket.write(text[k]);
          await sleep(pause);
        }
        socket.destroy();
      });
    }
    state.stop = () => {
      state.running = false;
    };
    return state;
  }

  /** The longest of requests of an ordinary client, on new connections, for `ms`. */
  async function served(ms) {
    let longest = 0;
    let count = 0;
    for (const end = Date.now() + ms; Date.now() < end; count += 1) {
      const start = Date.now();
      ok(await alice.get('/folders', { fresh: true }));
      longest = Math.max(longest, Date.now() - start);
      await sleep(20);
    }
    return { longest, count };
  }

  const attacks = {
    'headers, a byte at a time': () => slowClients(SLOW, head('GET', '/api/v1/notes', `X-Slow: ${'y'.repeat(2000)}`)),
    'a body, a byte at a time': () => {
      const text = head('POST', '/api/v1/notes', 'Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"title":"');
      return slowClients(SLOW, text + 'z'.repeat(4000), { at: text.length });
    },
    /* Who held a database connection for these would soon have none: there are eight. */
    'an answer that is not read': () => {
      const text = head('GET', `/api/v1/notes/${note.id}`, '\r\n');
      return slowClients(SLOW, text, { at: text.length });
    },
    'half-open connections': () => slowClients(SLOW, 'G', { at: 1 }),
  };
  for (const [name, attack] of Object.entries(attacks)) {
    it(`${name}, from ${SLOW} clients`, async (t) => {
      const state = attack();
      t.after(state.stop);
      const { longest, count } = await served(4000);
      t.diagnostic(`${count} requests, the longest ${longest} ms; ${state.opened} slow clients, ${state.closed} cut off`);
      await until(() => state.opened === SLOW, 5000, 'all are connected');
      assert.ok(longest < BOUND, `${longest} ms`);
      state.stop();
      const after = await served(500);
      assert.ok(after.count > 0 && after.longest < BOUND, `${after.longest} ms afterwards`);
      const [{ n }] = await s.sql('SELECT count(*) AS n FROM notes');
      assert.equal(n, 1, 'half a body is no note');
    });
  }

  const tool = spawnSync('slowhttptest', ['-h']).error ? 'slowhttptest is not installed (Debian has it)' : false;
  for (const [name, flags] of [
    ['slow headers', ['-H']],
    ['slow body', ['-B']],
    ['slow reading', ['-X', '-w', '1', '-y', '20', '-n', '1', '-z', '32', '-k', '1']],
  ]) {
    it(`slowhttptest: ${name}`, { skip: tool }, async (t) => {
      const url = `${s.origin}/api/v1/openapi.json`;
      const run = spawn('slowhttptest', [...flags, '-c', '150', '-r', '150', '-i', '1', '-l', '4', '-p', '3', '-u', url], {
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => {
        run.once('exit', resolve);
      });
      t.after(() => run.kill());
      const { longest, count } = await served(4500);
      t.diagnostic(`${count} requests, the longest ${longest} ms`);
      assert.ok(longest < BOUND, `${longest} ms`);
      await ended;
      assert.ok((await served(300)).longest < BOUND);
    });
  }
});
