// The order of a run: workload by workload, in alternating rounds, so that
// servers that are compared are measured within the same minute.
import { writeFileSync } from 'node:fs';
import { sql } from './ask.mjs';
import { config, wants } from './config.mjs';
import { conversations } from './conversations.mjs';
import { growth } from './growth.mjs';
import { measure, writeTokens } from './load.mjs';
import { footprint } from './footprint.mjs';
import { realtime } from './realtime.mjs';
import { searching } from './search.mjs';
import { pgbench } from './pgbench.mjs';
import { start, stop, stopAll } from './servers.mjs';
import { BUSY, grid, report } from './table.mjs';
import { roundTrips } from './turns.mjs';
import { WORKLOADS, checkAnswers } from './workloads.mjs';

const percent = (share) => `${(share * 100).toFixed(0)} %`;

const say = (text) => console.log(`bench: ${text}`);

/* A copy of the loaded database, for one measurement. */
async function freshDatabase() {
  await sql(`DROP DATABASE IF EXISTS ${config.database} WITH (FORCE)`,
    'postgres');
  await sql(`CREATE DATABASE ${config.database} TEMPLATE base`, 'postgres');
  await sql('CHECKPOINT', 'postgres');
}

async function measureServer(name, workload) {
  const server = await start(name);
  const bytes = await checkAnswers(server, workload);
  const checked = workload.writes
    ? Number(await sql('SELECT count(*) FROM note_versions')) : 0;
  const result = { ...await measure(server, workload), checked };
  if (result.bytes < 0.9 * bytes || result.bytes > bytes + 2000) {
    throw new Error(`${name}: answers of ${result.bytes} bytes, not ${bytes}`);
  }
  await workload.verify?.(result);
  await checkAnswers(server, workload);
  await stop(server);
  return result;
}

/* Repeats what others disturbed, and keeps the quietest of three. */
async function measureQuietly(name, server) {
  let best = null;
  for (let i = 0; i < 3 && !(best?.others <= BUSY); i++) {
    await freshDatabase();
    const one = server === 'pgbench' ? await pgbench(name)
      : await measureServer(server, WORKLOADS[name]);
    if (!best || one.others < best.others) best = one;
  }
  return best;
}

/* By which name in --servers it goes, when it isn't one of ours. */
const PEERS = {
  express: 'express', expressWhole: 'express', fastify: 'fastify',
};

async function measureWorkload(name) {
  const workload = WORKLOADS[name];
  const servers = workload.servers.filter((server) => server === 'pgbench'
    ? wants('pgbench') : config.servers.includes(PEERS[server] ?? 'ours'));
  const results = Object.fromEntries(servers.map((server) => [server, []]));
  for (let round = 1; round <= config.rounds; round++) {
    for (const server of servers) {
      const one = await measureQuietly(name, server);
      results[server].push(one);
      say(`${name} ${round}/${config.rounds} ${server.padEnd(8)}`
        + `${one.rate.toFixed(0).padStart(7)} req/s`
        + (one.others > BUSY ? `, ${percent(one.others)} went to others` : ''));
    }
  }
  return results;
}

/* Those of --servers that have the whole of what is asked by HTTP. */
const REST = ['ours', 'express', 'fastify'];

/* Fills in done part by part, so that a failure leaves what came before. */
async function measureAll(done) {
  writeTokens();
  for (const [name, workload] of Object.entries(WORKLOADS)) {
    if (!wants(workload.part)) continue;
    const measured = await measureWorkload(name);
    if (Object.keys(measured).length > 0) done.results[name] = measured;
  }
  if (wants('push')) {
    await freshDatabase();
    done.turns = await roundTrips(config.servers.filter((name) =>
      REST.includes(name)));
  }
  if (wants('realtime')) await realtime(say, freshDatabase, done);
  if (!config.servers.includes('ours')) return;
  if (wants('growth')) done.growth = await growth(say);
  if (wants('search')) done.search = await searching(say);
  if (wants('conversations')) await conversations(say, done);
  if (wants('memory')) done.memory = await footprint();
}

function print({ results, turns, growth: grown, search, conversations: talks,
  memory, realtime: sockets }) {
  const { text, marks } = report(results);
  if (Object.keys(results).length > 0) console.log(`\n${text}`);
  if (turns) console.log(`\n${turns.text}`);
  if (grown) console.log(`\n${grid(grown.table)}`);
  if (search) console.log(`\n${grid(search.table)}`);
  if (talks) console.log(`\n${grid(talks.table)}`);
  if (memory) console.log(`\n${memory.text}`);
  for (const text of sockets?.tables ?? []) console.log(`\n${text}`);
  for (const { met } of sockets?.marks ?? []) marks[met ? 'ok' : 'short']++;
  const busy = Object.values(results).flatMap((one) => Object.values(one))
    .flat().filter((one) => one.others > BUSY).length;
  if (busy > 0) {
    console.log(`\nbench: in ${busy} measurements other programs took over `
      + `${percent(BUSY)} of the machine: run again when it is quiet`);
  }
  console.log(`\nbench: ${marks.ok} targets reached, ${marks.short} short`);
}

function save({ results, turns, growth: grown, search, conversations: talks,
  memory, realtime: sockets }) {
  const { rounds, seconds, connections } = config;
  const settings = {
    rounds, seconds, connections, fsync: process.env.BENCH_FSYNC,
  };
  writeFileSync(config.json, `${JSON.stringify({
    settings, results, roundTrips: turns?.numbers, growth: grown?.numbers,
    search: search?.numbers, conversations: talks?.numbers,
    memory: memory?.numbers, realtime: sockets?.numbers,
  }, null, 1)}\n`);
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => stopAll().finally(() => process.exit(130)));
}
const done = { results: {} };
try {
  await measureAll(done);
} catch (error) {
  console.error(`bench: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await stopAll();
}
print(done);
if (config.json) save(done);
