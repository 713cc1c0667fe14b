// One measurement: wrk against a server, with CPU time of server and
// PostgreSQL around it.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { GROWER, config, tail, token } from './config.mjs';
import { cpuSeconds, machineSeconds } from './proc.mjs';

const tokens = join(config.dir, 'tokens');

export function writeTokens() {
  const lines = Array.from({ length: GROWER }, (_, i) => token(i + 1));
  writeFileSync(tokens, `${lines.join('\n')}\n`);
}

/* The postmaster's pid: the root of PostgreSQL's process tree. */
export const postmaster = () =>
  Number(readFileSync(join(process.env.PGHOST, 'data/postmaster.pid'), 'utf8')
    .split('\n')[0]);

/* Runs a command to its end; gives what it printed. */
export function output(command, args, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args,
      { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    let errors = '';
    child.stdout.on('data', (data) => { text += data; });
    child.stderr.on('data', (data) => { errors += data; });
    child.on('error', reject).on('close', (code) => {
      if (code === 0) resolve(text);
      else reject(new Error(`${command}: ${errors || text}`));
    });
  });
}

const UNITS = { us: 0.001, ms: 1, s: 1000, m: 60000 };

function millis(text, percent) {
  const [, number, unit] = text.match(
    new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)`, 'm'));
  return Number(number) * UNITS[unit];
}

function parse(text) {
  const [, requests, seconds, unit] = text.match(
    /(\d+) requests in ([\d.]+)(ms|s|m)/);
  const [, amount, prefix] = text.match(/requests in .*?, ([\d.]+)(\w?)B read/);
  const size = Number(amount)
    * { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[prefix];
  return {
    requests: Number(requests),
    seconds: Number(seconds) * UNITS[unit] / 1000,
    rate: Number(text.match(/Requests\/sec:\s+([\d.]+)/)[1]),
    bytes: size / Number(requests),
    p50: millis(text, 50),
    p95: Number(text.match(/^p95 (\d+) us$/m)[1]) / 1000,
    p99: millis(text, 99),
    refused: Number(text.match(/Non-2xx or 3xx responses: (\d+)/)?.[1] ?? 0),
    ...socketErrors(text),
  };
}

/* A server may close a connection between two requests, and httpd does when
   all threads of a child are busy; wrk counts a read error when its next
   request was under way. Nothing else may happen. */
function socketErrors(text) {
  const found = text.match(
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/);
  const [connect, read, write, timeout] = (found?.slice(1) ?? [0, 0, 0, 0])
    .map(Number);
  return { closed: read, errors: connect + write + timeout };
}

let runs = 0;

async function wrk(server, workload, seconds, least = 1) {
  const { connections = config.connections } = workload;
  const { maker, path, body } = {
    ...workload, ...workload.instead?.[server.name],
  };
  runs++;
  const text = await output('wrk', [
    '--latency', '--timeout', '10s', '-d', `${seconds}s`,
    '-t', String(Math.min(2, connections)),
    '-c', String(connections), '-s',
    join(config.root, 'bench/lib/load.lua'), server.base, '--',
    maker, tokens, String(runs), path ?? '/', body ?? '',
  ]);
  const result = parse(text);
  if (result.refused > 0 || result.errors > 0
      || result.closed > result.requests / 1000 || result.requests < least) {
    throw new Error(`${server.name}, ${maker}: ${result.requests} requests, `
      + `${result.refused} refused, ${result.errors} socket errors, `
      + `${result.closed} connections closed\n${tail(server)}`);
  }
  return result;
}

/* CPU time from here on: of the server, of PostgreSQL, and the share of the
   machine that went to neither of them nor to this bench. */
export function stopwatch(...serverPids) {
  const database = postmaster();
  const read = () => ({
    server: serverPids.reduce((sum, pid) => sum + cpuSeconds(pid), 0),
    database: cpuSeconds(database),
    bench: cpuSeconds(process.pid),
    machine: machineSeconds(),
    wall: performance.now() / 1000,
  });
  const before = read();
  return (requests) => {
    const spent = read();
    for (const key of Object.keys(spent)) spent[key] -= before[key];
    const others = (spent.machine - spent.bench - spent.database)
      / (spent.wall * cpus().length);
    return {
      ...(serverPids.length > 0 && { cpu: spent.server * 1e6 / requests }),
      dbCpu: spent.database * 1e6 / requests,
      others: Math.max(0, others),
    };
  };
}

/* Warms up, measures. The result's runs are the numbers in its titles, its
   cpu and dbCpu are microseconds per request. */
export async function measure(server, workload, seconds = config.seconds) {
  /* what takes longer than that is warm enough later */
  const warm = await wrk(server, workload, Math.min(2, seconds), 0);
  const spent = stopwatch(...server.pids);
  const result = await wrk(server, workload, seconds);
  return {
    ...result, ...spent(result.requests),
    written: warm.requests + result.requests, runs: [runs - 1, runs],
  };
}
