// Runs realtime/load, which opens the connections, beside a server.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { config, id, tail, token } from './config.mjs';

const RESERVE = 500;

export const MEMBERS = 100;

const file = (name) => join(config.dir, name);

/* A token for each user, and the rooms: those of many, and the one for all. */
export function writeRooms(users) {
  const lines = (count, make) =>
    `${Array.from({ length: count }, (_, i) => make(i)).join('\n')}\n`;
  writeFileSync(file('room-tokens'), lines(users, (i) => token(i + 1)));
  writeFileSync(file('rooms'),
    lines(users / MEMBERS, (i) => id('room', 1001 + i)));
  writeFileSync(file('room'), lines(1, () => id('room', 1000)));
}

/* So many processes: one per core, or as many as the descriptors ask for. */
function workersFor(connections) {
  return Math.max(cpus().length,
    Math.ceil(connections / (config.descriptors - RESERVE)));
}

/* Refuses what a server's children or the client could not hold. */
export function checkDescriptors(connections, children) {
  const most = config.descriptors - RESERVE;
  if (connections > most * children) {
    throw new Error(`RLIMIT_NOFILE is ${config.descriptors}: ${children} `
      + `children hold ${most * children} connections, not ${connections}; `
      + 'raise the limit, or give --children');
  }
}

/* Opens the connections; while they are there, calls work(), which gets a
   function that lets the load go on and waits for its end. Gives what the
   load found. */
export async function withLoad(server, mode, options, work) {
  const total = mode[0] === 'send' ? mode[1] * MEMBERS : mode[1];
  const args = [
    '--port', server.tls ? server.tlsPort : new URL(server.base).port,
    ...(server.tls ? ['--tls'] : []),
    ...(server.raw ? ['--raw'] : ['--tokens', file('room-tokens'),
      '--rooms', file(mode[0] === 'send' ? 'rooms' : 'room')]),
    '--workers', workersFor(total), '--step',
    ...Object.entries(options).flatMap(([name, value]) =>
      [`--${name}`, value]),
    ...mode,
  ].map(String);
  const child = spawn(file('load'), args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let text = '';
  let errors = '';
  child.stdout.on('data', (data) => { text += data; });
  const said = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  const end = new Promise((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  const hear = async (word) => {
    for (;;) {
      const { value, done } = await said.next();
      if (value === word) return;
      if (done) throw new Error(`load ${args.join(' ')}: ${errors}`);
      errors += `${value}\n`;
    }
  };
  try {
    await hear('ready');
    await work(async () => {
      child.stdin.write('\n');
      await hear('done');
    });
    child.stdin.end('\n');
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const code = await end;
  if (code !== 0) throw new Error(`load ended with ${code}: ${text}`);
  return judged(server, JSON.parse(text));
}

/* Everything was opened, nothing was lost. */
function judged(server, result) {
  const wrong = ['refused', 'dropped', 'lost', 'nacks', 'unknown',
    'repeated']
    .filter((name) => (result[name] ?? 0) !== 0);
  if (result.opened !== result.asked) wrong.push('opened');
  /* Of the peers nothing of the sort is asked: answers of two connections to
     the database come in any order there. */
  if (server.ordered && result.unordered > 0) wrong.push('unordered');
  if (wrong.length > 0) {
    throw new Error(`${server.name}: ${wrong.join(', ')} in `
      + `${JSON.stringify(result)}\n${tail(server)}`);
  }
  return result;
}
