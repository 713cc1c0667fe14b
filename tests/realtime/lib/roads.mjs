/* Clients on the many ways to the loop, and which processes served them. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { generous, until, within } from '../../api/lib/env.mjs';

const opened = [];
/** Ends all clients of this file. */
export const closeClients = () => opened.splice(0).forEach((client) => client.disconnect());

/** A socket.io-client in /echo at a place; `mark` names it in the access log. */
export function client(place, { mark = '', namespace = '/echo', ...options } = {}) {
  const socket = io(place.origin + namespace, {
    forceNew: true,
    rejectUnauthorized: false,
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
    query: { mark },
    ...options,
  });
  opened.push(socket);
  socket.said = (event, ...args) => socket.timeout(generous(10000)).emitWithAck(event, ...args);
  return socket;
}

/** One that is connected, and by the last of its ways. */
export async function settled(place, options) {
  const socket = client(place, options);
  const last = options.transports.at(-1);
  if (!socket.connected) await within(generous(10000), once(socket, 'connect'));
  assert.ok(socket.connected, `it connects by ${options.transports}`);
  await until(() => socket.io.engine.transport.name === last, 10000, `it ends up with ${last}`);
  return socket;
}

/** Events there and back, in order. */
export async function echoes(socket, count) {
  const got = [];
  socket.on('n', (n) => got.push(n));
  for (let n = 0; n < count; n += 1) socket.emit('n', n);
  await until(() => got.length >= count, 20000, `${count} events are back`);
  socket.off('n');
  assert.deepEqual(
    got,
    Array.from({ length: count }, (_, n) => n),
  );
}

/** Requests for Socket.IO in the access log: {mark, sid, transport, status, pid, method}. */
export function requests(server) {
  return server
    .accessLog()
    .split('\n')
    .filter((line) => line.includes('/socket.io/?'))
    .map((line) => {
      const [, method, query, status, pid] = /"(\w+) \S*\/socket\.io\/\?(\S*) HTTP\S+" (\d+) .* (\d+)$/.exec(line);
      const { mark, sid, transport } = Object.fromEntries(new URLSearchParams(query));
      return { method, mark, sid, transport, status: Number(status), pid: Number(pid) };
    });
}

/** Of each mark: the pid that opened its session, and those of its polls and of its upgrade. */
export function journeys(server) {
  const all = new Map();
  for (const { mark, sid, transport, pid, status } of requests(server)) {
    if (!all.has(mark)) all.set(mark, { polls: [] });
    const one = all.get(mark);
    if (transport === 'websocket') Object.assign(one, { upgrade: pid, status });
    else if (sid) one.polls.push(pid);
    else one.owner = pid;
  }
  return all;
}

/** Memory of a server's children that nobody else has, in KB. */
export function memory(server) {
  const sizes = server.processes().map((pid) => {
    const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/Private_Dirty:\s+(\d+)/.exec(text)[1]);
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

export const descriptors = (server) =>
  server.processes().reduce((sum, pid) => sum + fs.readdirSync(`/proc/${pid}/fd`).length, 0);
