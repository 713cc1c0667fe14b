// How costs grow: one user with ever more notes.
import { join } from 'node:path';
import { GROWER, config, id } from './config.mjs';
import { measure, output } from './load.mjs';
import { start, stop } from './servers.mjs';
import { SYNCED, pullPage } from './sync.mjs';
import { ask, sql } from './ask.mjs';

const SIZES = {
  '1k': 1_000, '10k': 10_000, '100k': 100_000, '1m': 1_000_000,
};
/* Few, because it is cost that is asked for, not waiting in line. */
const CONNECTIONS = 8;
const LIST = '/api/v1/notes?limit=20';

const get = (path) => ({ maker: 'get', path });

async function grow(first, last) {
  await output('psql', ['-qX', '-d', config.database, '-v', `first=${first}`,
    '-v', `last=${last}`, '-f', join(config.root, 'bench/lib/grow.sql')]);
}

/* A page far down, by number and by the cursor that leads to it. */
async function paths(server, rows) {
  const page = Math.min(1000, rows / 20);
  const before = await ask(server, GROWER, `${LIST}&page=${page - 1}`);
  const deep = await ask(server, GROWER, `${LIST}&page=${page}`);
  const cursor = encodeURIComponent(before.data.pagination.nextCursor);
  const keyset = await ask(server, GROWER, `${LIST}&cursor=${cursor}`);
  const ids = (answer) => answer.data.items.map((item) => item.id).join();
  if (ids(deep) !== ids(keyset) || deep.data.items.length !== 20
      || deep.data.pagination.total !== rows) {
    throw new Error(`page ${page} of ${rows} notes is wrong`);
  }
  return {
    'one note': get(`/api/v1/notes/${id('note', 1_000_000 + rows / 2)}`),
    'list, page 1': get(LIST),
    [`list, page ${page}`]: get(`${LIST}&page=${page}`),
    [`the same by cursor`]: get(`${LIST}&cursor=${cursor}`),
  };
}

/* The place in front of a user's last page of sync. */
async function lastPlace(server, rows) {
  let left = rows + 1; /* with the folder */
  let cursor = null;
  while (left > SYNCED) {
    const limit = Math.min(1000, left - SYNCED);
    const { data } = await pullPage(server, GROWER, cursor, limit);
    if (!data.hasMore || data.notes.length + data.folders.length !== limit) {
      throw new Error(`pull of ${rows} notes: ${left} left, page is wrong`);
    }
    left -= limit;
    ({ cursor } = data);
  }
  const { data } = await pullPage(server, GROWER, cursor);
  if (data.hasMore || data.notes.length !== SYNCED) {
    throw new Error(`last page of ${rows} notes: ${data.notes.length}`);
  }
  return cursor;
}

async function pulls(server, rows) {
  const pull = (cursor) => ({
    maker: 'post', path: '/api/v1/sync/pull',
    body: JSON.stringify({ deviceId: 'grower', limit: SYNCED, cursor }),
  });
  return {
    [`pull of ${SYNCED}, first page`]: pull(null),
    'the same, last page': pull(await lastPlace(server, rows)),
  };
}

export async function growth(say) {
  await sql(`DROP DATABASE IF EXISTS ${config.database} WITH (FORCE)`,
    'postgres');
  await sql(`CREATE DATABASE ${config.database} TEMPLATE base`, 'postgres');
  const table = [[`${CONNECTIONS} connections, one user with`, 'req/s', 'CPU us', '= httpd', '+ PG',
    'p50 ms', 'p99 ms']];
  const numbers = [];
  let loaded = 0;
  for (const size of config.rows) {
    const rows = SIZES[size];
    if (!rows) {
      throw new Error(`--rows knows 1k, 10k, 100k and 1m, not ${size}`);
    }
    say(`growth: ${size} notes`);
    await grow(loaded + 1, rows);
    loaded = rows;
    table.push([`${size} notes`]);
    const server = await start('ours');
    const asked = {
      ...await paths(server, rows), ...await pulls(server, rows),
    };
    for (const [title, request] of Object.entries(asked)) {
      const one = await measure(server,
        { ...request, connections: CONNECTIONS },
        Math.min(4, config.seconds));
      numbers.push({ rows, title, ...one });
      table.push([`  ${title}`, one.rate, one.cpu + one.dbCpu, one.cpu,
        one.dbCpu, one.p50.toFixed(2), one.p99.toFixed(2)]);
    }
    await stop(server);
  }
  return { table, numbers };
}
