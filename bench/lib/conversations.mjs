// What conversations cost, with ever more public ones: lists, search and
// single ones, asked without a token; imports; and what is kept, against doing
// nothing.
import { join } from 'node:path';
import { USERS, config, id } from './config.mjs';
import { measure, output } from './load.mjs';
import { measurePaths } from './search.mjs';
import { start, stop } from './servers.mjs';
import { ask, expect, sql } from './ask.mjs';
import { imports } from './imports.mjs';

const SIZES = { '1k': 1_000, '10k': 10_000, '100k': 100_000 };
const HERE = '/api/v1/conversations';
/* Words by their rank. */
const RANKS = {
  'search: words of every second': [200, 260],
  'search: words of one in 20': [2200, 2600],
  'search: words of one in 500': [55000, 65000],
  'search: words of one in 1500': [180000, 200000],
};
/* The most that p95 may be with all of them, in milliseconds. */
const LIMIT = 100;

async function fill(first, last) {
  await output('psql', ['-qX', '-d', config.database, '-v', `first=${first}`,
    '-v', `last=${last}`,
    '-f', join(config.root, 'bench/lib/conversations.sql')]);
}

async function words(from, to, count = 100) {
  const text = await sql(`SELECT word FROM talk_words
    WHERE n BETWEEN ${from} AND ${to} ORDER BY md5(word) LIMIT ${count}`);
  return text.split('\n');
}

const search = (q) => `${HERE}/search?q=${encodeURIComponent(q)}`;

/* Some of them, spread over all. */
const some = (rows, make) =>
  Array.from({ length: 200 }, (_, i) => make(1 + (i * 7919) % rows));

async function deepCursor(server, rows) {
  const path = `${HERE}?page=${rows / 40}`;
  /* a cursor is good for who got it */
  const { data } = await (await fetch(server.base + path)).json();
  expect(data.items.length === 20 && data.pagination.total === rows, path,
    data.pagination);
  return encodeURIComponent(data.pagination.nextCursor);
}

/* Lists of paths by title; each list is asked in turn. */
async function questions(server, rows) {
  const cursor = await deepCursor(server, rows);
  const found = {
    'list, page 1': [HERE],
    'list, in the middle, by cursor': [`${HERE}?cursor=${cursor}`],
    'list, in the middle, by page': [`${HERE}?page=${rows / 40}`],
    'list of a category': [`${HERE}?category=science`],
    'list of a tag': Array.from({ length: 50 }, (_, i) =>
      `${HERE}?tag=tag${i}`),
    'list of a rare tag': Array.from({ length: 100 }, (_, i) =>
      `${HERE}?tag=topic${i}`),
    'list of an author': Array.from({ length: 50 }, (_, i) =>
      `${HERE}?author=${id('user', i + 1)}`),
    'list by views': [`${HERE}?sortBy=viewCount`],
    featured: [`${HERE}/featured`],
    categories: [`${HERE}/categories`],
    stats: [`${HERE}/stats`],
    'one, by id, 20 messages': some(rows, (n) => `${HERE}/${id('note', n)}`),
    'one, by slug': some(rows, (n) => `${HERE}/talk-${n}`),
    'one, without messages': some(rows, (n) =>
      `${HERE}/${id('note', n)}?messages=false`),
    'one, as Markdown': some(rows, (n) => `${HERE}/talk-${n}/export`),
  };
  for (const [title, ranks] of Object.entries(RANKS)) {
    found[title] = (await words(...ranks)).map(search);
  }
  const often = await words(300, 500);
  const seldom = await words(3000, 5000);
  found['search: two words'] = often.map((word, i) =>
    search(`${word} ${seldom[i]}`));
  found['search: within a category'] = seldom.map((word) =>
    `${search(word)}&category=science`);
  return found;
}

/* What is found is what the table holds. */
async function check(server, path) {
  const { data } = await ask(server, USERS, path);
  const q = new URL(path, 'http://x').searchParams.get('q');
  const count = Number(await sql(`SELECT count(*) FROM conversations
    WHERE search @@ websearch_to_tsquery('english', '${q}')`));
  expect(count === data.pagination.total && data.items.length > 0, path,
    [count, data.pagination]);
  const one = data.items[0];
  const whole = (await ask(server, USERS, `${HERE}/${one.slug}`)).data;
  expect(whole.messages.length === 20 && whole.id === one.id
    && [one.highlights.title, one.highlights.content].join()
      .includes(`<mark>${q}</mark>`), 'found', one);
}

/* What is asked over all connections: title, server, path. */
const steady = (rows) => [
  ['list of 20', 'kept', HERE],
  ['list of 20, not kept, 8 connections', 'ours', HERE],
  ['one of 20 messages', 'kept', `${HERE}/${id('note', rows / 2)}`],
  ['empty handler', 'empty', '/health/live'],
];

async function once(name, path) {
  const server = await start(name);
  if (name === 'kept') await untilHit(server, path);
  const found = await measure(server, {
    maker: 'anonymous', path,
    /* more of these would only wait for the database */
    ...(name === 'ours' && { connections: 8 }),
  });
  await stop(server);
  return found;
}

/* Kept answers to the same question; in turns, since the machine may be now
   faster and now slower. */
async function kept(rows, table, numbers) {
  const asked = steady(rows);
  const found = asked.map(() => []);
  for (let round = 0; round < config.rounds; round++) {
    for (const [i, [, name, path]] of asked.entries()) {
      found[i].push(await once(name, path));
    }
  }
  table.push([`kept, ${config.connections} connections`]);
  const rates = {};
  for (const [i, [title]] of asked.entries()) {
    found[i].sort((a, b) => a.rate - b.rate);
    const one = found[i][found[i].length >> 1];
    rates[title] = one.rate;
    numbers.push({ size: 'kept', title, ...one });
    table.push([`  ${title}`, one.requests, one.cpu + one.dbCpu, one.cpu,
      one.dbCpu, one.p50.toFixed(2), one.p95.toFixed(2), one.p99.toFixed(2),
      `${one.rate.toFixed(0)}/s`]);
  }
  const share = rates['list of 20'] / rates['empty handler'];
  table.push(['  list, kept, through empty handler', '', '', '', '', '', '',
    share.toFixed(2), share >= 0.7 ? '>= 0.7 ok' : '>= 0.7 short']);
}

async function untilHit(server, path) {
  for (let i = 0; ; i++) {
    const reply = await fetch(server.base + path);
    await reply.arrayBuffer();
    if (reply.headers.get('x-cache') === 'HIT') return;
    expect(i < 100, 'the cache is never hit', [...reply.headers]);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

/* Fills in done step by step: what was measured before a failure stays. */
export async function conversations(say, done) {
  await sql(`DROP DATABASE IF EXISTS ${config.database} WITH (FORCE)`,
    'postgres');
  await sql(`CREATE DATABASE ${config.database} TEMPLATE base`, 'postgres');
  const table = [['2 connections, no token, nothing kept', 'requests',
    'CPU us', '= httpd', '+ PG', 'p50 ms', 'p95 ms', 'p99 ms', '']];
  const numbers = [];
  done.conversations = { table, numbers };
  let rows = 0;
  for (const size of config.searchRows) {
    if (!SIZES[size]) throw new Error(`conversations: not ${size}`);
    say(`conversations: ${size}`);
    await fill(rows + 1, SIZES[size]);
    rows = SIZES[size];
    const server = await start('ours');
    const asked = await questions(server, rows);
    await check(server, asked['search: words of one in 20'][0]);
    table.push([`${size} conversations, ${rows * 20} messages`]);
    for (const [title, paths] of Object.entries(asked)) {
      const one = await measurePaths(server, paths, null);
      numbers.push({ size, title, ...one });
      table.push([`  ${title}`, one.requests, one.cpu + one.dbCpu, one.cpu,
        one.dbCpu, one.p50.toFixed(2), one.p95.toFixed(2), one.p99.toFixed(2),
        one.p95 < LIMIT ? '' : `>= ${LIMIT} ms`]);
    }
    await stop(server);
  }
  say('conversations: imports');
  const server = await start('ours');
  await imports(server, table, numbers);
  await stop(server);
  await kept(rows, table, numbers);
}
