// What run.sh hands over, the ids of the data, and tokens.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';

const env = process.env;
const list = (text) => text.split(',').filter(Boolean);

export const config = {
  dir: env.BENCH_DIR,
  root: env.BENCH_ROOT,
  module: env.BENCH_MODULE,
  httpd: env.BENCH_HTTPD,
  modules: env.BENCH_MODULES,
  rounds: Number(env.BENCH_ROUNDS),
  seconds: Number(env.BENCH_SECONDS),
  connections: Number(env.BENCH_CONNECTIONS),
  only: list(env.BENCH_ONLY),
  servers: list(env.BENCH_SERVERS),
  rows: list(env.BENCH_ROWS),
  searchRows: list(env.BENCH_SEARCH_ROWS),
  table: env.BENCH_TABLE,
  realtime: {
    parts: list(env.BENCH_REALTIME),
    idle: Number(env.BENCH_IDLE),
    wss: Number(env.BENCH_WSS),
    hold: Number(env.BENCH_HOLD),
    receivers: Number(env.BENCH_RECEIVERS),
    count: Number(env.BENCH_BROADCASTS),
    by: env.BENCH_BROADCAST_BY,
    rooms: Number(env.BENCH_ROOMS),
    senders: Number(env.BENCH_SENDERS),
    children: Number(env.BENCH_CHILDREN),
  },
  descriptors: Number(env.BENCH_DESCRIPTORS),
  json: env.BENCH_JSON,
  ticks: Number(env.BENCH_TICKS),
  pgOptions: env.BENCH_PGOPTIONS,
  /* ours sets this one itself, when it has connected */
  peerOptions: `${env.BENCH_PGOPTIONS} -c plan_cache_mode=force_generic_plan`,
  database: 'round',
};

export const wants = (part) => config.only.includes(part);

export const USERS = 50;
export const GROWER = 51;
export const SECRET = 'bench-secret-0123456789abcdef0123456789abcdef';

const KINDS = { note: '8', user: '9', session: 'a', folder: 'b', room: 'b' };

/* The id that data.sql gave to row number n of a kind. */
export function id(kind, n) {
  const digits = String(n).padStart(12, '0');
  return `01990000-0000-7000-${KINDS[kind]}000-${digits}`;
}

const base64 = (value) =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

/* An access token of user n, as the product makes it but good for a day. */
export function token(n) {
  const now = Math.floor(Date.now() / 1000);
  const text = base64({ alg: 'HS256', typ: 'JWT', kid: '1' }) + '.' + base64({
    iss: 'mod_chronicle',
    aud: 'chronicle-api',
    sub: id('user', n),
    email: `user${n}@bench.example`,
    role: 'user',
    sid: id('session', n),
    iat: now,
    nbf: now,
    exp: now + 86400,
  });
  const mac = createHmac('sha256', SECRET).update(text).digest('base64url');
  return `${text}.${mac}`;
}

/* The ends of a server's logs, for messages about what broke. */
export function tail(server, lines = 12) {
  return server.logs.flatMap((file) => {
    try {
      return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines);
    } catch {
      return [];
    }
  }).join('\n');
}
