// Open sockets: what they cost while nothing is said, and when all are told.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { config } from './config.mjs';
import { measure, output, stopwatch } from './load.mjs';
import { cpuSeconds, memory, tree } from './proc.mjs';
import { freePort, start, stop } from './servers.mjs';
import { MEMBERS, checkDescriptors, withLoad, writeRooms } from './sockets.mjs';
import { BUSY, grid, median } from './table.mjs';
import { WORKLOADS, checkAnswers } from './workloads.mjs';

const USERS = 10_000;

/* command: in servers.mjs; ordered: messages of a room must come in
   their order; raw: has neither rooms nor tokens. */
const SERVERS = {
  ours: { title: 'mod_chronicle', command: 'room', ordered: true },
  socketio: { title: 'socket.io, cluster', command: 'socketio' },
  socketio1: {
    title: 'socket.io, one process', command: 'socketio',
    env: { PEER_WORKERS: 1, PEER_POOL: 8 },
  },
  steps: {
    title: 'the same, in steps', command: 'socketio',
    env: { PEER_SEND: 'steps' },
  },
  ws: { title: 'ws, cluster', command: 'ws', raw: true },
};

const rt = config.realtime;

/* --- a server for one measurement ---------------------------------------- */

function certificate() {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) =>
    join(config.dir, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt',
    'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
    '/CN=localhost', '-addext', 'basicConstraints=critical,CA:FALSE',
    '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { TLS_KEY: key, TLS_CERT: cert };
}

async function begin(name, freshDatabase, tls = false) {
  await freshDatabase();
  await output('psql', ['-qX', '-d', config.database, '-v', `users=${USERS}`,
    '-v', `members=${MEMBERS}`, '-f',
    join(config.root, 'bench/lib/realtime.sql')]);
  const { command, env, raw, ordered } = SERVERS[name];
  const tlsPort = tls ? await freePort() : 0;
  const server = await start(command, {
    BENCH_CHILDREN: rt.children, BENCH_WORKERS: 64 * rt.children,
    BENCH_SERVERS_MAX: 2 * rt.children + 2,
    /* as many connections to the database as ours has */
    PEER_WORKERS: rt.children, PEER_POOL: 4, ...env,
    ...(tls && { ...certificate(), TLS_PORT: tlsPort }),
  });
  return Object.assign(server, { tls, tlsPort, raw, ordered });
}

/* Runs work with a server of its own. */
async function serving(name, freshDatabase, tls, work) {
  const server = await begin(name, freshDatabase, tls);
  try {
    return await work(server);
  } finally {
    await stop(server);
  }
}

/* --- what is measured: each gives numbers of one round -------------------- */

/* Private memory of all its processes in KB, when it has settled. */
async function settled(server) {
  await sleep(1500);
  if (server.collects) {
    for (const pid of tree(server.pid)) process.kill(pid, 'SIGUSR2');
    await sleep(1500);
  }
  return tree(server.pid).reduce((sum, pid) => sum + memory(pid).own, 0);
}

async function idle(server, connections) {
  /* what is made once and kept is not the cost of a connection */
  await withLoad(server, ['idle', 400], { seconds: 1 }, (go) => go());
  const before = await settled(server);
  let after;
  let quiet;
  const result = await withLoad(server, ['idle', connections], { seconds: 0 },
    async (go) => {
      after = await settled(server);
      const cpu = cpuSeconds(server.pid);
      await sleep(rt.hold * 1000);
      quiet = (cpuSeconds(server.pid) - cpu) / rt.hold;
      await go();
    });
  /* the interval of pings is 25 s */
  if (rt.hold > 25 && !server.raw && result.pings < connections) {
    throw new Error(`${server.name}: ${result.pings} pings only`);
  }
  return {
    kb: (after - before) / result.opened, total: after / 1024,
    opened: result.opened, rate: result.opened / result.openSeconds,
    quiet: quiet * 1000,
  };
}

async function broadcast(server) {
  const options = {
    count: rt.count, interval: 100, size: server.raw ? 480 : 120,
    ...(!server.raw && { users: MEMBERS, by: rt.by }),
  };
  let spent;
  const result = await withLoad(server, ['broadcast', rt.receivers], options,
    async (go) => {
      const watch = stopwatch(server.pid);
      await go();
      spent = watch(rt.receivers * rt.count);
    });
  return {
    ...spent, p50: result.latency.p50, p99: result.latency.p99,
    last: result.last.p50, rate: result.deliveriesPerSecond,
    client: result.clientCpu * 1e6 / result.delivered,
    bytes: result.bytes / result.frames,
  };
}

async function send(server) {
  let spent;
  const result = await withLoad(server, ['send', rt.rooms, rt.senders],
    { seconds: config.seconds, warm: 1 }, async (go) => {
      const watch = stopwatch(server.pid);
      await go();
      spent = watch(1);
    });
  return {
    rate: result.messagesPerSecond, cpu: spent.cpu / result.sent,
    dbCpu: spent.dbCpu / result.sent, others: spent.others,
    p50: result.last.p50, p99: result.last.p99, ack: result.ack.p50,
    unread: result.unread / result.sent, unordered: result.unordered,
    client: result.clientCpu * 1e6 / result.sent,
  };
}

async function rest(server) {
  await checkAnswers(server, WORKLOADS.note);
  const alone = await measure(server, WORKLOADS.note);
  let beside;
  await withLoad(server, ['idle', rt.idle], { seconds: 0 }, async (go) => {
    beside = await measure(server, WORKLOADS.note);
    await go();
  });
  return {
    alone: alone.rate, rate: beside.rate, share: beside.rate / alone.rate,
    aloneCpu: alone.cpu, cpu: beside.cpu,
    aloneDbCpu: alone.dbCpu, dbCpu: beside.dbCpu,
    others: Math.max(alone.others, beside.others),
  };
}

/* --- the parts ------------------------------------------------------------ */

/* columns: heading and digits; ratio: in the last column; targets: what, our
   number of it (by ours alone, or against either socket.io), and the test. */
const PARTS = {
  idle: {
    title: () => `${rt.idle} idle connections`, tls: false,
    run: (server) => idle(server, rt.idle),
    columns: { kb: ['KB each', 2], total: ['MB in all', 1],
      rate: ['opened/s', 0], quiet: ['CPU ms/s', 1] },
    ratio: (ours, one) => one.kb / ours.kb,
    targets: [['KB each <= 1.5', (ours) => ours.kb, (kb) => kb <= 1.5]],
  },
  wss: {
    title: () => `${rt.wss} idle connections, wss`, tls: true,
    run: (server) => idle(server, rt.wss),
    columns: { kb: ['KB each', 2], total: ['MB in all', 1],
      rate: ['opened/s', 0], quiet: ['CPU ms/s', 1] },
    ratio: (ours, one) => one.kb / ours.kb,
    targets: [['KB each <= 45', (ours) => ours.kb, (kb) => kb <= 45]],
  },
  broadcast: {
    title: () => `broadcast to ${rt.receivers} (message:`
      + `${rt.by === 'edit' ? 'edit' : 'send, and unread to each'})`,
    run: broadcast,
    columns: { cpu: ['CPU us/receiver', 1], dbCpu: ['+ PG', 1],
      p50: ['p50 ms', 1], p99: ['p99 ms', 1], rate: ['deliveries/s', 0],
      client: ['client us', 1], bytes: ['bytes', 0] },
    ratio: (ours, one) => one.cpu / ours.cpu,
    targets: [
      ['CPU <= 0.6', (ours, peer) => ours.cpu / peer.cpu, (x) => x <= 0.6],
      ['p50 < 1', (ours, peer) => ours.p50 / peer.p50, (x) => x < 1],
      ['p99 < 1', (ours, peer) => ours.p99 / peer.p99, (x) => x < 1],
    ],
  },
  send: {
    title: () => `message:send, ${rt.rooms} rooms of ${MEMBERS}, `
      + `${rt.senders} senders`,
    without: ['ws'], run: send,
    columns: { rate: ['messages/s', 0], cpu: ['CPU us', 0], dbCpu: ['+ PG', 0],
      p50: ['p50 ms', 1], p99: ['p99 ms', 1], ack: ['ack p50', 1],
      unread: ['unread each', 1], client: ['client us', 0],
      unordered: ['out of order', 0] },
    ratio: (ours, one) => ours.rate / one.rate,
    targets: [['messages/s >= 2.5', (ours, peer) => ours.rate / peer.rate,
      (x) => x >= 2.5]],
  },
  rest: {
    title: () => `one note, with and without ${rt.idle} idle connections`,
    without: ['ws', 'steps'], run: rest,
    columns: { alone: ['req/s without', 0], rate: ['req/s with', 0],
      share: ['share', 2], aloneCpu: ['CPU us without', 1],
      aloneDbCpu: ['+ PG', 1], cpu: ['CPU us with', 1], dbCpu: ['+ PG', 1] },
    ratio: (ours, one) => ours.rate / one.rate,
    targets: [['share >= 0.90', (ours) => ours.share, (x) => x >= 0.9]],
  },
};

function medians(rounds) {
  return Object.fromEntries(Object.keys(rounds[0]).map((key) =>
    [key, median(rounds.map((round) => round[key] ?? 0))]));
}

/* What became of a target: by ours alone, or against each socket.io. */
function judge([what, number, met], sums) {
  const judged = (title, value) => ({
    met: met(value),
    text: `${what}${title}: ${value.toFixed(2)} ${met(value) ? 'ok' : 'short'}`,
  });
  if (number.length === 1) return [judged('', number(sums.ours))];
  return ['socketio', 'socketio1'].filter((name) => sums[name])
    .map((name) => judged(` of ${SERVERS[name].title}`,
      number(sums.ours, sums[name])));
}

function table(part, results) {
  const { title, columns, ratio, targets } = PARTS[part];
  const names = Object.keys(results);
  const sums = Object.fromEntries(names.map((name) =>
    [name, medians(results[name])]));
  const rows = [[title(), ...Object.values(columns).map(([head]) => head),
    'x/ours']];
  for (const name of names) {
    rows.push([`  ${SERVERS[name].title}`,
      ...Object.entries(columns).map(([key, [, digits]]) =>
        sums[name][key]?.toFixed(digits) ?? '-'),
      sums.ours && name !== 'ours'
        ? ratio(sums.ours, sums[name]).toFixed(2) : '']);
  }
  const marks = sums.ours
    ? targets.flatMap((target) => judge(target, sums)) : [];
  const busy = Object.values(results).flat().some((one) => one.others > BUSY);
  return {
    marks,
    text: [grid(rows), ...marks.map(({ text }) => `  ${text}`),
      ...(busy ? ['  other programs had a part of the machine: run again'] : []),
    ].join('\n'),
  };
}

/* What one round found, in the words of the table. */
function line(part, one) {
  return Object.entries(PARTS[part].columns)
    .map(([key, [head, digits]]) => `${head} ${one[key]?.toFixed(digits)}`)
    .join(', ');
}

async function measurePart(part, say, freshDatabase) {
  const { run, tls, without = [] } = PARTS[part];
  const results = {};
  for (let round = 1; round <= config.rounds; round++) {
    for (const name of Object.keys(SERVERS)) {
      if (!config.servers.includes(name) || without.includes(name)) continue;
      /* it differs only in how a message is sent */
      if (name === 'steps' && part !== 'send') continue;
      const one = await serving(name, freshDatabase, tls, run);
      (results[name] ??= []).push(one);
      say(`realtime ${part} ${round}/${config.rounds} ${name}: `
        + line(part, one));
    }
  }
  return results;
}

/* Fills in done part by part. */
export async function realtime(say, freshDatabase, done) {
  writeRooms(USERS);
  done.realtime = { numbers: {}, tables: [], marks: [] };
  const { numbers, tables, marks } = done.realtime;
  for (const part of Object.keys(PARTS)) {
    if (!rt.parts.includes(part)) continue;
    const most = {
      idle: rt.idle, wss: rt.wss, broadcast: rt.receivers,
      send: rt.rooms * MEMBERS, rest: rt.idle,
    }[part];
    checkDescriptors(most,
      config.servers.includes('socketio1') ? 1 : rt.children);
    numbers[part] = await measurePart(part, say, freshDatabase);
    if (Object.keys(numbers[part]).length > 0) {
      const result = table(part, numbers[part]);
      tables.push(result.text);
      marks.push(...result.marks);
    }
  }
}
