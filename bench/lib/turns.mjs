// Round trips to PostgreSQL per request, counted on the wire: a relay between
// server and database notes how often bytes go out after bytes came in.
import { mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { config } from './config.mjs';
import { start, stop } from './servers.mjs';
import { pullPage, pushNotes } from './sync.mjs';
import { NAMES, median } from './table.mjs';

const SOCKET = '.s.PGSQL.5432';
/* What the issue allows for a push. */
const MOST = 4;

async function relay() {
  const host = join(config.dir, 'relay');
  mkdirSync(host, { recursive: true, mode: 0o755 });
  const self = { host, turns: 0 };
  self.server = createServer((client) => {
    const database = connect(join(process.env.PGHOST, SOCKET));
    let out = false;
    client.on('data', (data) => {
      if (!out) self.turns++;
      out = true;
      database.write(data);
    });
    database.on('data', (data) => {
      out = false;
      client.write(data);
    });
    for (const [one, other] of [[client, database], [database, client]]) {
      one.on('error', () => other.destroy()).on('close', () => other.end());
    }
  });
  await new Promise((resolve) => {
    self.server.listen({
      path: join(host, SOCKET), readableAll: true, writableAll: true,
    }, resolve);
  });
  return self;
}

/* The median: now and then a server looks after something else. */
async function turnsOf(wire, request) {
  const counts = [];
  for (let i = 0; i < 15; i++) {
    const before = wire.turns;
    await request(i);
    /* the first ones prepare their statements on each connection */
    if (i >= 8) counts.push(wire.turns - before);
  }
  return median(counts);
}

export async function roundTrips(servers) {
  const numbers = {};
  for (const name of servers) {
    const wire = await relay();
    const server = await start(name, { PGHOST: wire.host });
    numbers[name] = {
      pull: await turnsOf(wire, () => pullPage(server, 7)),
      push: await turnsOf(wire, (i) => pushNotes(server, 7, `${name}.${i}`)),
    };
    await stop(server);
    wire.server.close();
  }
  const mark = numbers.ours?.push <= MOST ? 'ok' : 'short';
  const lines = Object.entries(numbers).map(([name, { pull, push }]) =>
    `  ${NAMES[name].padEnd(32)}pull ${String(pull).padStart(3)}, push `
    + `${String(push).padStart(3)}`
    + `${name === 'ours' ? ` (<= ${MOST}: ${mark})` : ''}`);
  return {
    numbers,
    text: `round trips to PostgreSQL for 100 notes\n${lines.join('\n')}`,
  };
}
