/* Users with sockets in the namespace "/", and the rooms they are in. */
import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import { generous, inTime, sleep, until, within } from '../../api/lib/env.mjs';
import { ok } from '../../api/lib/expect.mjs';

const opened = [];
/** Ends all sockets of this file. */
export const closeAll = () => opened.splice(0).forEach((one) => one.close());

export class Member {
  /** A socket that is about to connect. options are those of socket.io-client. */
  constructor(server, { user, ...options } = {}) {
    Object.assign(this, { user, id: user?.user?.id, events: [], errors: [], lost: [] });
    this.socket = io(server.origin, {
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
      ...(user?.token && { auth: { token: user.token } }),
      ...options,
    });
    opened.push(this);
    this.socket.onAny((event, ...data) => {
      assert.equal(data.length, 1, `${event} has one argument`);
      this.events.push({ event, data: data[0], at: Date.now() });
    });
    this.socket.on('connect_error', (error) => this.errors.push(error));
    this.socket.on('disconnect', (reason) => this.lost.push({ reason, at: Date.now() }));
  }

  /** One that is connected and was told `ready`. */
  static async open(server, user, options) {
    const self = new Member(server, { user, ...options });
    self.ready = await self.heard('ready');
    return self;
  }

  /** What the server says to a CONNECT that it refuses. */
  async refusal() {
    await until(() => this.errors.length, 5000, 'the CONNECT is refused');
    assert.ok(!this.socket.connected);
    return this.errors.shift();
  }

  /** The data of an event that came, or comes; each is heard once. */
  async heard(event, fits = () => true, ms = 5000) {
    const find = () => this.events.findIndex((one) => one.event === event && fits(one.data));
    await until(() => find() >= 0, ms, `the event ${event}`).catch((error) => {
      const all = this.events.map((one) => `${one.event} ${JSON.stringify(one.data).slice(0, 300)}`);
      throw new Error(`${error.message}; heard: ${all.join('\n')} ${this.errors.map((e) => e.message)}`);
    });
    const [one] = this.events.splice(find(), 1);
    this.latest = one.at;
    return one.data;
  }

  /** When such an event came. */
  async heardAt(event, fits) {
    await this.heard(event, fits);
    return this.latest;
  }

  /** `ready` came within ms, or undefined. */
  readyIn(ms) {
    return inTime(ms, () => this.events.some((one) => one.event === 'ready'));
  }

  /** Such an event has not come, and does not within ms. */
  async silent(event, fits = () => true, ms = 400) {
    await sleep(ms);
    const got = this.events.filter((one) => one.event === event && fits(one.data));
    assert.deepEqual(got, [], `${event} was not expected`);
  }

  forget() {
    this.events = [];
  }

  /** The ack. */
  async ask(event, ...args) {
    const ack = await within(generous(8000), new Promise((resolve) => {
      this.socket.emit(event, ...args, (...got) => resolve(got));
    }));
    assert.ok(ack, `${event}: an ack`);
    assert.equal(ack.length, 1, `${event}: the ack has one argument`);
    return ack[0];
  }

  /** The data of an ack that is good. */
  async ok(event, ...args) {
    const ack = await this.ask(event, ...args);
    assert.deepEqual(Object.keys(ack), ['success', 'data'], `${event}: ${JSON.stringify(ack)}`);
    assert.equal(ack.success, true);
    return ack.data;
  }

  /** The error of an ack that is none. details: [field, code] of each. */
  async fails(code, event, args, details) {
    const ack = await this.ask(event, ...args);
    assert.equal(ack.success, false, JSON.stringify(ack));
    assert.deepEqual(Object.keys(ack), ['success', 'error']);
    isError(ack.error, code, details);
    return ack.error;
  }

  /** The server disconnects, or the connection ends. */
  async isOut(ms = 3000) {
    await until(() => this.lost.length, ms, 'it is disconnected');
    return this.lost[0];
  }

  close() {
    this.socket.disconnect();
  }
}

/** An error of an ack, or of the event `error`. */
export function isError(error, code, details) {
  assert.equal(error.code, code, JSON.stringify(error));
  assert.equal(typeof error.message, 'string');
  assert.ok(Array.isArray(error.details));
  if (details) {
    assert.deepEqual(
      error.details.map((detail) => [detail.field, detail.code]),
      details,
    );
  }
}

/** A room of the owner with these members: its REST object. */
export async function makeRoom(owner, members = [], fields = {}) {
  const room = ok(await owner.post('/chat/rooms', { name: 'A room', isPrivate: true, ...fields }), 201);
  for (const member of members) {
    ok(await owner.post(`/chat/rooms/${room.id}/members`, { userId: member.user.id }), 201);
  }
  return room;
}

/** Sockets of users, each subscribed to the room, with nothing heard yet. */
export async function subscribed(server, room, ...users) {
  const all = [];
  for (const user of users) {
    const member = await Member.open(server, user);
    await member.ok('room:join', { roomId: room.id });
    all.push(member);
  }
  await sleep(150);
  all.forEach((member) => member.forget());
  return all;
}

export const send = async (user, room, content, more = {}) =>
  ok(await user.post(`/chat/rooms/${room.id}/messages`, { content, ...more }), 201);
