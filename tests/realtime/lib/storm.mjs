/* Many senders and readers of one room while something happens to the servers. */
import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import { patience, sleep, until } from '../../api/lib/env.mjs';

const options = (server, user, transports) => [
  server.origin,
  {
    transports,
    forceNew: true,
    auth: { token: user.token },
    reconnectionDelay: 50,
    reconnectionDelayMax: 300,
    timeout: 3000,
  },
];

/** Reads as API.md 12.2 tells clients to: after each connect room:join with sinceSeq, and a seq seen is dropped. */
export class Reader {
  constructor(server, user, room, { transports = ['websocket'], name = '' } = {}) {
    Object.assign(this, { room, name, messages: [], connects: 0, gaps: [], twice: 0, joining: undefined });
    this.socket = io(...options(server, user, transports));
    this.socket.on('ready', () => this.join());
    this.socket.on('message:new', ({ message }) => this.live(message));
  }
  get last() {
    return this.messages.length;
  }
  take(message) {
    if (message.seq <= this.last) this.twice += 1;
    else if (message.seq === this.last + 1) this.messages.push(message);
    else return false;
    return true;
  }
  live(message) {
    if (this.held) {
      this.held.push(message);
    } else if (!this.take(message)) {
      this.gaps.push(`${this.last + 1} to ${message.seq - 1}`);
      this.join();
    }
  }
  /** Subscribes and catches up; what comes meanwhile must go on where the last ack ended. */
  async join() {
    this.connects += 1;
    const mine = this.connects;
    this.held = [];
    try {
      let part;
      do {
        const ack = await this.socket.timeout(5000 * patience).emitWithAck('room:join', { roomId: this.room.id, sinceSeq: this.last });
        if (mine !== this.connects) return;
        assert.ok(ack.success, JSON.stringify(ack));
        part = ack.data;
        for (const message of part.missed) assert.ok(this.take(message), `${this.name}: missed ones are whole`);
      } while (part.hasMore);
    } catch (error) {
      if (error.code === 'ERR_ASSERTION') this.broken = error;
      if (mine === this.connects && this.socket.connected) this.join();
      return;
    }
    const { held } = this;
    this.held = undefined;
    for (const message of held) this.live(message);
  }
  async has(count) {
    const told = () => `${this.name} has ${this.last} of ${count}; gaps: ${this.gaps.slice(0, 5)}`;
    await until(() => this.broken || this.last >= count, 60000, 'all is read').catch((error) => {
      throw new Error(`${error.message}: ${told()}`);
    });
    if (this.broken) throw this.broken;
  }
  close() {
    this.socket.disconnect();
  }
}

/** Says `count` things one after the other, each until it is acknowledged, with the same clientId. */
export class Sender {
  constructor(server, user, room, way, wait) {
    Object.assign(this, { user, room, way, wait, acked: 0, again: 0 });
    if (way !== 'REST') this.socket = io(...options(server, user, [way]));
  }
  async once(content, clientId) {
    const body = { content, clientId };
    if (this.way === 'REST') {
      const res = await this.user.post(`/chat/rooms/${this.room.id}/messages`, body);
      return res.json?.data;
    }
    const ack = await this.socket.timeout(this.wait * patience).emitWithAck('message:send', { roomId: this.room.id, ...body });
    if (!ack.success) assert.match(ack.error.code, /SERVICE_UNAVAILABLE|DATABASE_ERROR/, JSON.stringify(ack));
    return ack.data?.message;
  }
  async run(name, count, pause) {
    for (let n = 0; n < count; ) {
      const message = await this.once(`${name} ${n}`, `${name}-${n}`).catch((error) => {
        if (error.code === 'ERR_ASSERTION') throw error;
      });
      if (message) {
        assert.equal(message.content, `${name} ${n}`);
        n += 1;
        this.acked += 1;
      } else {
        this.again += 1;
        await sleep(100);
      }
      if (pause) await sleep(pause);
    }
  }
  close() {
    this.socket?.disconnect();
  }
}

const WAYS = ['websocket', 'polling', 'REST', 'websocket'];

/**
 * 8 senders at the first host, `count` messages each, which wait so many ms for an ack; readers at every host. disturb(when): `await when(0.3)` returns
 * when that part of all was acknowledged. mayGap: a live message may be lost, which its successor shows.
 */
export async function storm(hosts, { users, room, count, disturb, mayGap = false, pause = 0, wait = 4000 }) {
  const [first] = hosts;
  const senders = users.map((user, k) => new Sender(first, user, room, WAYS[k % WAYS.length], wait));
  const readers = hosts.flatMap((host, n) =>
    [['websocket'], ['polling']].map(
      (transports) => new Reader(host, users[0], room, { transports, name: `${transports} at host ${n}` }),
    ),
  );
  try {
    for (const reader of readers) await until(() => reader.connects && !reader.held, 8000, `${reader.name} is in`);
    const total = users.length * count;
    const acked = () => senders.reduce((sum, sender) => sum + sender.acked, 0);
    const when = (part) => until(() => acked() >= part * total, 60000, `${part} of all is said`);
    await Promise.all([...senders.map((sender, k) => sender.run(`s${k}`, count, pause)), disturb(when)]);
    await senders[2].run('end', 1); /* whoever lost the last ones live hears of it */
    for (const reader of readers) await reader.has(total + 1);
    await isWhole({ hosts, readers, room, names: users.map((_, k) => `s${k}`), count, mayGap });
    return {
      again: senders.reduce((sum, sender) => sum + sender.again, 0),
      connects: readers.map(({ connects }) => connects),
      gaps: readers.reduce((sum, { gaps }) => sum + gaps.length, 0),
      twice: readers.reduce((sum, { twice }) => sum + twice, 0),
    };
  } finally {
    [...senders, ...readers].forEach((one) => one.close());
  }
}

/** All of it, once, in the same order everywhere, which is the table's. */
async function isWhole({ hosts, readers, room, names, count, mayGap }) {
  const rows = await hosts[0].sql('SELECT id, seq, client_id FROM chat_messages WHERE room_id = $1 ORDER BY seq', [room.id]);
  const total = names.length * count + 1;
  assert.equal(rows.length, total, 'none is there twice, none is lost');
  rows.forEach(({ seq }, n) => assert.equal(Number(seq), n + 1));
  for (const name of names) {
    const own = rows.map((row) => row.client_id).filter((id) => id.startsWith(`${name}-`));
    assert.deepEqual(own, Array.from({ length: count }, (_, n) => `${name}-${n}`), 'each in its order');
  }
  for (const reader of readers) {
    assert.deepEqual(reader.messages.map(({ seq }) => seq), rows.map((_, n) => n + 1), reader.name);
    assert.deepEqual(reader.messages.map(({ id }) => id), rows.map(({ id }) => id), reader.name);
    if (!mayGap) assert.deepEqual(reader.gaps, [], `${reader.name} missed live messages`);
  }
}
