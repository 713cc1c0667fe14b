/* Engine.IO sessions over polling and over the websockets of npm's ws, packet by packet. A packet is a string with
 * its type in front, or a Buffer (an attachment). */
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import WebSocket from 'ws';
import { generous, patience, sleep, until, within } from '../../api/lib/env.mjs';

const SEPARATOR = '\x1e';

/** Things that arrive one after the other, and are taken so. */
export class Queue {
  constructor(what) {
    Object.assign(this, { what, items: [], waiting: [] });
  }
  push(item) {
    const next = this.waiting.shift();
    if (next) next(item);
    else this.items.push(item);
  }
  /** The next one, waited for. */
  async next(ms = 4000) {
    if (this.items.length) return this.items.shift();
    let got;
    const mine = new Promise((resolve) => {
      got = resolve;
    });
    this.waiting.push(got);
    const item = await within(generous(ms), mine.then((value) => ({ value })));
    if (item) return item.value;
    this.waiting = this.waiting.filter((other) => other !== got);
    throw new Error(`no ${this.what} within ${ms} ms`);
  }
  /** Nothing comes for a while. */
  async none(ms = 150) {
    await sleep(ms);
    assert.deepEqual(this.items.splice(0), [], `no ${this.what} was expected`);
  }
}

/** {status, headers, raw, text} of any request to the place. */
export function ask(place, method, path, { headers = {}, body, timeout = 30000 } = {}) {
  return new Promise((resolve, reject) => {
    const target = { host: '127.0.0.1', port: place.port, method, path, headers, agent: false };
    const req = place.tls ? https.request({ ...target, rejectUnauthorized: false }) : http.request(target);
    const timer = setTimeout(() => req.destroy(new Error(`no answer: ${method} ${path}`)), timeout * patience);
    req.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    req.on('upgrade', (res, socket) => {
      socket.destroy();
      clearTimeout(timer);
      resolve({ status: res.statusCode, headers: res.headers, raw: Buffer.alloc(0), text: '' });
    });
    req.on('response', (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', reject);
      res.on('end', () => {
        clearTimeout(timer);
        const raw = Buffer.concat(parts);
        resolve({ status: res.statusCode, headers: res.headers, raw, text: raw.toString('utf8') });
      });
    });
    req.end(body);
  });
}

const encode = (packet) => (Buffer.isBuffer(packet) ? `b${packet.toString('base64')}` : packet);
const decode = (text) => (text[0] === 'b' ? Buffer.from(text.slice(1), 'base64') : text);

/** A polling session: by hand (get, post), or read by itself (`read: true`: next, none, ended). */
export class Polling {
  static async open(place, { read = false, headers } = {}) {
    const self = new Polling();
    Object.assign(self, { place, headers, packets: new Queue('packet'), transport: 'polling' });
    const res = await ask(place, 'GET', place.url('polling'), { headers });
    assert.equal(res.status, 200, res.text);
    assert.equal(res.text[0], '0');
    Object.assign(self, { handshake: JSON.parse(res.text.slice(1)), answer: res });
    self.sid = self.handshake.sid;
    self.ended = new Promise((resolve) => {
      self.end = resolve;
    });
    if (read) self.reading = self.read();
    return self;
  }
  get path() {
    return `${this.place.url('polling')}&sid=${this.sid}`;
  }
  /** One poll: {status, packets}. */
  async get(options) {
    const res = await ask(this.place, 'GET', this.path, { headers: this.headers, timeout: 40000, ...options });
    return { ...res, packets: res.status === 200 ? res.text.split(SEPARATOR).map(decode) : [] };
  }
  post(...packets) {
    return this.postText(packets.map(encode).join(SEPARATOR));
  }
  postText(body) {
    const headers = { 'content-type': 'text/plain;charset=UTF-8', ...this.headers };
    return ask(this.place, 'POST', this.path, { headers, body });
  }
  /** Sends what must be taken. */
  async send(...packets) {
    const res = await this.post(...packets);
    assert.equal(`${res.status} ${res.text}`, '200 ok');
  }
  async read() {
    while (!this.closed) {
      const res = await this.get().catch((error) => ({ status: error.message, packets: [] }));
      for (const packet of res.packets) {
        if (packet === '2') await this.post('3').catch(() => {});
        else if (packet === '1') this.closed = true;
        else if (packet !== '6') this.packets.push(packet);
      }
      if (res.status !== 200) this.closed = true;
    }
    this.end();
  }
  next(ms) {
    return this.packets.next(ms);
  }
  none(ms) {
    return this.packets.none(ms);
  }
  async close() {
    this.closed = true;
    await this.post('1').catch(() => {});
    await this.reading;
  }
}

/** A websocket; one that opens a session unless a sid is given. */
export class Socket {
  static async open(place, { sid, pong = true, headers, options } = {}) {
    const self = new Socket();
    Object.assign(self, { place, packets: new Queue('packet'), transport: 'websocket' });
    const query = `websocket${sid ? `&sid=${sid}` : ''}`;
    self.ws = new WebSocket(`${place.tls ? 'wss' : 'ws'}://${place.host()}${place.url(query)}`, {
      headers,
      rejectUnauthorized: false,
      ...options,
    });
    self.ended = new Promise((resolve) => {
      self.ws.on('close', (code) => resolve(code || 1005));
    });
    self.ws.on('message', (data, binary) => {
      const packet = binary ? data : data.toString();
      if (pong && packet === '2') self.ws.send('3');
      else self.packets.push(packet);
    });
    await new Promise((resolve, reject) => {
      self.ws.on('error', reject).on('open', resolve);
      self.ws.on('unexpected-response', (req, res) => {
        res.resume();
        reject(Object.assign(new Error(`status ${res.statusCode}`), { status: res.statusCode }));
      });
    });
    if (!sid) {
      const open = await self.next();
      assert.equal(open[0], '0', `${open}`);
      self.handshake = JSON.parse(open.slice(1));
      self.sid = self.handshake.sid;
    }
    return self;
  }
  async send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }
  next(ms) {
    return this.packets.next(ms);
  }
  none(ms) {
    return this.packets.none(ms);
  }
  async close() {
    this.ws.close();
    if (!(await within(generous(1000), this.ended))) this.ws.terminate();
  }
}

const open = {
  websocket: (place, options) => Socket.open(place, options),
  polling: (place, options) => Polling.open(place, { read: true, ...options }),
};

/** A session of either kind that answers pings and whose packets are taken by next(). */
export const openSession = (place, transport, options) => open[transport](place, options);

/** A session in the namespace /echo, behind the CONNECT and the event `auth`: its socket's sid is `socket`. */
export async function openEcho(place, transport, payload = '') {
  const session = await openSession(place, transport);
  await session.send(`40/echo,${payload}`);
  const answer = await session.next();
  session.socket = /^40\/echo,\{"sid":"([^"]+)"\}$/.exec(answer)?.[1];
  assert.ok(session.socket, answer);
  assert.equal(await session.next(), `42/echo,["auth",${payload || '{}'}]`);
  return session;
}

/** The session ends within ms, and the server knows its sid no more. */
export async function isOver(session, ms = 3000) {
  const ended = await within(generous(ms), session.ended.then((code) => ({ code })));
  assert.ok(ended, `the session was not closed within ${ms} ms`);
  let said;
  const look = async () => {
    const res = await ask(session.place, 'GET', `${session.place.url('polling')}&sid=${session.sid}`);
    said = `${res.status} ${res.text}`;
    return said === '400 {"code":1,"message":"Session ID unknown"}' || !said.startsWith('400');
  };
  await until(look, 1000, 'the session is unknown').catch((error) => {
    throw new Error(`${error.message}: ${said}`);
  });
  assert.match(said, /^400/, 'the session is there');
  return ended.code;
}
