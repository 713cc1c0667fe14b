/* What the runner (apxs-build.sh test) tells the tests about the machine. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFileSync } from 'node:child_process';

function need(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: start the tests with ./apxs-build.sh test`);
  }
  return value;
}

export const env = {
  pg: {
    host: need('CH_TEST_PGHOST'),
    port: Number(process.env.CH_TEST_PGPORT || 5432),
    user: need('CH_TEST_PGUSER'),
  },
  template: need('CH_TEST_TEMPLATE'),
  httpd: need('CH_TEST_HTTPD'),
  modules: need('CH_TEST_MODULES'),
  so: need('CH_TEST_SO'),
  docs: process.env.CH_TEST_DOCS || '',
  tmp: need('CH_TEST_TMP'),
  pgBin: process.env.CH_TEST_PGBIN || '',
  runAsPg: process.env.CH_TEST_RUNAS_PG || '',
  sanitize: process.env.CH_TEST_SANITIZE === '1',
  preload: process.env.CH_TEST_PRELOAD || '',
  /* words before httpd's own, for a tool that runs it; its reports are where those of sanitizers are */
  under: (process.env.CH_TEST_UNDER || '').split(' ').filter(Boolean),
  asanLog: process.env.CH_TEST_ASAN_LOG || '',
  root: process.getuid() === 0,
};

/* Time limits of waiting loops are stretched where the server is instrumented. */
export const patience = (env.sanitize && 6) || (env.under.length && 20) || 1;

export const hasIPv6Loopback = os.networkInterfaces().lo?.some((net) => net.address === '::1') ?? false;

export const sleep = (ms) =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** What the promise gives, or undefined after ms. */
export function within(ms, promise) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Calls fn until it returns something true; that, or undefined after ms: for limits that are the point of a test. */
export async function inTime(ms, fn) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await fn();
    if (value) return value;
    if (Date.now() > end) return undefined;
    await sleep(50);
  }
}

/** What a wait that is meant to be so short (ms) is given on a machine that is slow, or stalls. */
export const generous = (ms) => Math.max(ms, 20000) * patience;

/** Calls fn until it returns something true; that, or an error when ms, made generous, have passed. */
export async function until(fn, ms, what) {
  const limit = generous(ms);
  const value = await inTime(limit, fn);
  if (!value) throw new Error(`after ${limit} ms still not: ${what}`);
  return value;
}

/** A directory of our own below CH_TEST_TMP that the server's user may pass through. */
export function makeDir(prefix) {
  const dir = fs.mkdtempSync(path.join(env.tmp, prefix));
  fs.chmodSync(dir, 0o755);
  return dir;
}

let compiledIn;
/** Is a module (mod_xyz) compiled into this httpd, or there as a file? */
export function moduleState(name) {
  compiledIn ??= execFileSync(env.httpd, ['-l'], { encoding: 'utf8' });
  if (compiledIn.includes(`${name}.c`)) return 'static';
  return fs.existsSync(path.join(env.modules, `${name}.so`)) ? 'shared' : 'absent';
}

/* Processes that must not outlive this one, however it ends. */
const alive = new Set();
export const keepTrack = (pid) => alive.add(pid);
export const forget = (pid) => alive.delete(pid);
process.on('exit', () => {
  for (const pid of alive) {
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      /* it is gone */
    }
  }
});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.on(signal, () => process.exit(1));
}
