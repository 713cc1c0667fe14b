// What search and suggestions cost: one user with ever more notes, then the
// same user, and one with few notes, in a table with many of others.
import http from 'node:http';
import { join } from 'node:path';
import { GROWER, config, id, token } from './config.mjs';
import { output, stopwatch } from './load.mjs';
import { start, stop } from './servers.mjs';
import { ask, sql } from './ask.mjs';

const SIZES = { '1k': 1_000, '10k': 10_000, '100k': 100_000, '1m': 1_000_000 };
/* Few, because it is cost that is asked for, not waiting in line. */
const CONNECTIONS = 2;
const FEW = GROWER - 1;
/* Words by their rank: every text has the first ones. */
const RANKS = {
  'words of every second note': [8, 10],
  'words of one note in 15': [90, 110],
  'words of one note in 150': [900, 1100],
  'words of one note in 1500': [9000, 11000],
};

async function fill(user, first, last) {
  await output('psql', ['-qX', '-d', config.database, '-v', `user=${user}`,
    '-v', `first=${first}`, '-v', `last=${last}`,
    '-f', join(config.root, 'bench/lib/search.sql')]);
}

async function words(from, to) {
  const text = await sql(`SELECT word FROM bench_words
    WHERE n BETWEEN ${from} AND ${to} ORDER BY md5(word) LIMIT 100`);
  return text.trim().split('\n');
}

const search = (q) => `/api/v1/search?q=${encodeURIComponent(q)}`;
const suggest = (q) => `/api/v1/search/suggestions?q=${encodeURIComponent(q)}`;

/* Lists of paths by title; each list is asked in turn. */
async function questions() {
  const found = {};
  for (const [title, ranks] of Object.entries(RANKS)) {
    found[title] = (await words(...ranks)).map(search);
  }
  const [often, seldom] = [await words(1, 40), await words(8000, 12000)];
  const two = await words(300, 500);
  found['two words'] = two.map((word, i) => search(`${often[i % 40]} ${word}`));
  found['words in scripts without blanks'] = ['北京', '東京'].map(search);
  found['suggestions: first letters'] = often.map((word, i) =>
    suggest(word.slice(0, 1 + i % 4)));
  found['suggestions: titles that are rare'] = seldom.map(suggest);
  found['suggestions: tags'] = Array.from({ length: 40 }, (_, i) =>
    suggest(i % 2 ? `tag${i}` : 'project 1'.slice(0, 1 + i % 9)));
  return found;
}

function get(server, agent, path, user) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    http.get(server.base + path, {
      agent, headers: user ? { authorization: `Bearer ${token(user)}` } : {},
    }, (res) => {
      res.resume().on('end', () => (res.statusCode === 200
        ? resolve(performance.now() - began)
        : reject(new Error(`${path}: ${res.statusCode}`))));
    }).on('error', reject);
  });
}

/* Asks in turn; as nobody when user is null. */
export async function measurePaths(server, paths, user) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const took = [];
  let next = 0;
  const run = async (until) => {
    while (performance.now() < until) {
      took.push(await get(server, agent, paths[next++ % paths.length], user));
    }
  };
  const both = (seconds) => Promise.all(Array.from({ length: CONNECTIONS },
    () => run(performance.now() + seconds * 1000)));
  await both(1);
  took.length = 0;
  const spent = stopwatch(...server.pids);
  await both(Math.min(3, config.seconds));
  const cost = spent(took.length);
  agent.destroy();
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.ceil(took.length * share) - 1];
  return {
    requests: took.length, ...cost, p50: at(0.5), p95: at(0.95), p99: at(0.99),
  };
}

/* Every word that is asked for is in its user's notes, and only in his. */
async function check(server, paths, user) {
  const { data } = await ask(server, user, paths[0]);
  const count = await sql(`SELECT count(*) FROM notes
    WHERE user_id = '${id('user', user)}' AND search @@
      websearch_to_tsquery('english', '${new URL(paths[0], 'http://x')
    .searchParams.get('q')}')`);
  if (Number(count) !== data.pagination.total || !(data.items.length > 0)) {
    throw new Error(`${paths[0]}: ${data.pagination.total}, not ${count}`);
  }
}

async function measureAll(user, title, table, numbers) {
  const server = await start('ours');
  const asked = await questions();
  await check(server, asked['words of one note in 15'], user);
  table.push([title]);
  for (const [name, paths] of Object.entries(asked)) {
    const one = await measurePaths(server, paths, user);
    numbers.push({ size: title, title: name, ...one });
    table.push([`  ${name}`, one.requests, one.cpu + one.dbCpu, one.cpu,
      one.dbCpu, one.p50.toFixed(2), one.p95.toFixed(2), one.p99.toFixed(2)]);
  }
  await stop(server);
}

export async function searching(say) {
  await sql(`DROP DATABASE IF EXISTS ${config.database} WITH (FORCE)`,
    'postgres');
  await sql(`CREATE DATABASE ${config.database} TEMPLATE base`, 'postgres');
  await sql('DELETE FROM notes');
  const table = [[`${CONNECTIONS} connections`, 'requests', 'CPU us',
    '= httpd', '+ PG', 'p50 ms', 'p95 ms', 'p99 ms']];
  const numbers = [];
  let own = 0;
  for (const size of config.searchRows) {
    const rows = SIZES[size];
    if (!rows) throw new Error(`--search-rows knows ${Object.keys(SIZES)}`);
    say(`search: ${size} notes of one user`);
    await fill(GROWER, own + 1, rows);
    own = rows;
    await measureAll(GROWER, `${size} notes, all of one user`, table, numbers);
  }
  const total = SIZES[config.table];
  if (total > own) {
    say(`search: ${config.table} notes in the table`);
    await fill(0, own + 1, total);
    await measureAll(GROWER, `${own} notes of one user in ${config.table}`,
      table, numbers);
    await measureAll(FEW, `${Math.floor((total - own) / 50)} notes of another`,
      table, numbers);
  }
  return { table, numbers };
}
