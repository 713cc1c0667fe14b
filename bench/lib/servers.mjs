// Starts and stops the servers under test.
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SECRET, config, tail } from './config.mjs';

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function prepareFiles() {
  for (const name of ['static', 'files']) {
    mkdirSync(join(config.dir, name), { recursive: true });
  }
  writeFileSync(join(config.dir, 'static', 'empty.json'),
    '{"status":"ALIVE","timestamp":"2026-01-24T10:30:00.000Z"}');
  if (process.getuid() === 0) {
    const uid = Number(execFileSync('id', ['-u', 'www-data']));
    chownSync(join(config.dir, 'files'), uid, -1);
  }
}

/* Needed once the module has integrations; given where it looks by itself. */
const KEY = `1:${Buffer.alloc(32, 7).toString('base64')}`;

function httpdCommand(port, defines = [], extra = {}) {
  prepareFiles();
  const all = [...defines,
    ...(process.getuid() === 0 ? ['BENCH_ROOT_USER'] : [])];
  const args = ['-DFOREGROUND', ...all.map((name) => `-D${name}`),
    '-f', join(config.root, 'bench/lib/httpd.conf')];
  return {
    command: config.httpd,
    args,
    env: {
      ...process.env, BENCH_PORT: port, BENCH_SECRET: SECRET,
      BENCH_DATABASE: config.database, BENCH_PGOPTIONS: config.pgOptions,
      ENCRYPTION_KEY: KEY, ...extra,
    },
    logs: [join(config.dir, 'httpd-error.log')],
  };
}

function nodeCommand(port, peer) {
  return {
    command: process.execPath,
    args: [join(config.root, 'bench/peers', peer, 'server.mjs')],
    env: {
      ...process.env, NODE_ENV: 'production', PORT: port, JWT_SECRET: SECRET,
      PGDATABASE: config.database, PGOPTIONS: config.peerOptions,
    },
    logs: [],
  };
}

/* Garbage is collected when asked for: SIGUSR2, see peers/common. */
const collectable = ({ args, ...rest }) =>
  ({ ...rest, args: ['--expose-gc', ...args], collects: true });

const COMMANDS = {
  ours: (port) => httpdCommand(port, ['BENCH_CHRONICLE']),
  kept: (port) => httpdCommand(port, ['BENCH_CHRONICLE', 'BENCH_CACHE']),
  empty: (port) => httpdCommand(port, ['BENCH_CHRONICLE']),
  plain: (port) => httpdCommand(port),
  balancer: (port, hosts) => httpdCommand(port, ['BENCH_BALANCER'], {
    BENCH_FIRST: hosts[0].base, BENCH_SECOND: hosts.at(-1).base,
  }),
  express: (port) => nodeCommand(port, 'express-pg'),
  expressWhole: (port) => {
    const { env, ...rest } = nodeCommand(port, 'express-pg');
    return { ...rest, env: { ...env, PEER_PUSH: 'whole' } };
  },
  fastify: (port) => nodeCommand(port, 'fastify-pg'),
  /* open sockets; env says how many processes, and the port for TLS */
  room: (port, hosts, env) => httpdCommand(port, ['BENCH_CHRONICLE',
    'BENCH_REALTIME', ...(env.TLS_PORT ? ['BENCH_TLS'] : [])]),
  socketio: (port) => collectable(nodeCommand(port, 'socketio-pg')),
  ws: (port) => collectable(nodeCommand(port, 'ws')),
};
const READY = {
  ours: '/health/ready', kept: '/health/ready', room: '/health/ready',
  plain: '/empty.json',
};

const running = new Set();

async function answers(url) {
  try {
    const reply = await fetch(url, { headers: { connection: 'close' } });
    await reply.arrayBuffer();
    return reply.status === 200;
  } catch {
    return false;
  }
}

async function waitReady(server, path) {
  const begin = performance.now();
  while (!await answers(`${server.base}${path}`)) {
    if (server.ended) {
      throw new Error(`${server.name} ended at its start\n${tail(server)}`);
    }
    if (performance.now() - begin > 15000) {
      throw new Error(`${server.name} is not ready\n${tail(server)}`);
    }
    await sleep(10);
  }
  server.startSeconds = (performance.now() - begin) / 1000;
}

/* So many servers on one database, behind a balancer whose own work is not
   counted: one host is the measure for two. */
async function startHosts(name, count) {
  const hosts = [];
  while (hosts.length < count) hosts.push(await startOne('ours'));
  const balancer = await startOne('balancer', hosts);
  return {
    ...balancer, name, hosts: [...hosts, balancer],
    pids: hosts.map((host) => host.pid),
  };
}

const FLEETS = { one: 1, two: 2 };

/* env: what this server has in its environment instead. */
export function start(name, env = {}) {
  return FLEETS[name] ? startHosts(name, FLEETS[name])
    : startOne(name, [], env);
}

async function startOne(name, hosts, extra = {}) {
  const port = await freePort();
  const { command, args, env, logs, collects } =
    COMMANDS[name](port, hosts, extra);
  const log = join(config.dir, `${name}.log`);
  const out = openSync(log, 'a');
  const child = spawn(command, args,
    { env: { ...env, ...extra }, stdio: ['ignore', out, out] });
  closeSync(out);
  const server = {
    name, child, logs: [log, ...logs], pid: child.pid, pids: [child.pid],
    base: `http://127.0.0.1:${port}`, ended: false,
    collects,
  };
  running.add(server);
  server.exit = new Promise((resolve) => {
    const end = () => { server.ended = true; resolve(); };
    child.on('exit', end).on('error', end);
  });
  await waitReady(server, READY[name] ?? '/health/live');
  return server;
}

export async function stop(server) {
  for (const host of server.hosts ?? [server]) await stopOne(host);
}

async function stopOne(server) {
  if (!server.ended) server.child.kill('SIGTERM');
  const late = setTimeout(() => server.child.kill('SIGKILL'), 10000);
  await server.exit;
  clearTimeout(late);
  running.delete(server);
}

export async function stopAll() {
  await Promise.all([...running].map(stopOne));
}
