/* WebSocket frames by hand (RFC 6455), so that they can be wrong in any way, over a plain socket. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { generous, within } from '../../api/lib/env.mjs';
import { Queue } from './session.mjs';

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** A client's frame. fin, rsv (0 to 7), mask: as they say; announced: the length that is told. */
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = true, announced, width } = {}) {
  const data = Buffer.from(payload);
  const length = BigInt(announced ?? data.length);
  const bytes = width ?? (length < 126n ? 0 : length < 65536n ? 2 : 8);
  const head = Buffer.alloc(2 + bytes);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (mask ? 0x80 : 0) | { 0: Number(length & 127n), 2: 126, 8: 127 }[bytes];
  if (bytes === 2) head.writeUInt16BE(Number(length), 2);
  if (bytes === 8) head.writeBigUInt64BE(length, 2);
  if (!mask) return Buffer.concat([head, data]);
  const key = crypto.randomBytes(4);
  for (let n = 0; n < data.length; n += 1) data[n] ^= key[n % 4];
  return Buffer.concat([head, key, data]);
}

export const closeFrame = (code, reason = '', options = {}) => {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(code);
  return frame(CLOSE, Buffer.concat([data, Buffer.from(reason)]), options);
};

/** The first frame of the bytes, or undefined when it is not whole: {fin, rsv, opcode, masked, data, size}. */
function parse(bytes) {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 127;
  const at = { 126: 4, 127: 10 }[short] ?? 2;
  if (bytes.length < at) return undefined;
  const length = { 126: () => bytes.readUInt16BE(2), 127: () => Number(bytes.readBigUInt64BE(2)) }[short]?.() ?? short;
  if (bytes.length < at + length) return undefined;
  return {
    fin: bytes[0] >> 7,
    rsv: (bytes[0] >> 4) & 7,
    opcode: bytes[0] & 15,
    masked: bytes[1] >> 7,
    data: bytes.subarray(at, at + length),
    size: at + length,
  };
}

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='; /* RFC 6455, 1.3 */
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** The handshake's bytes; headers replace the usual ones, null takes one away. */
export function handshake(place, { path = place.url('websocket'), method = 'GET', headers = {} } = {}) {
  const all = {
    Host: place.host(),
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [value].flat().map((one) => `${name}: ${one}`),
  );
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

export class RawSocket {
  constructor(place) {
    this.frames = new Queue('frame');
    this.bytes = Buffer.alloc(0);
    this.wire = net.connect({ port: place.port, host: '127.0.0.1', allowHalfOpen: true });
    this.wire.setNoDelay(true);
    this.wire.on('error', () => {});
    this.socket = place.tls ? tls.connect({ socket: this.wire, rejectUnauthorized: false }) : this.wire;
    this.wire.unref();
    this.socket.unref(); /* what a test that failed has left open keeps nobody waiting */
    this.ended = new Promise((resolve) => {
      this.socket.on('end', () => resolve('end')).on('close', () => resolve('close'));
      this.socket.on('error', () => resolve('reset'));
    });
    this.answered = new Promise((resolve) => {
      this.socket.on('data', (data) => this.take(data, resolve));
      this.ended.then(() => resolve({ status: 0, headers: {} }));
    });
  }

  /** Sends the handshake (and `glued` in the same segment) and has the session's first packet taken. */
  static async open(place, { glued = '', ...options } = {}) {
    const self = new RawSocket(place);
    self.write(Buffer.concat([Buffer.from(handshake(place, options)), Buffer.from(glued)]));
    const { status } = await self.answered;
    assert.equal(status, 101);
    assert.match(await self.text(), /^0\{"sid":/);
    return self;
  }

  take(data, answered) {
    this.bytes = Buffer.concat([this.bytes, data]);
    if (!this.head) {
      const end = this.bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      const [first, ...lines] = this.bytes.toString('latin1', 0, end).split('\r\n');
      const pairs = lines.map((line) => /^([^:]+):\s*(.*)$/.exec(line).slice(1));
      this.head = {
        status: Number(first.split(' ')[1]),
        headers: Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value])),
      };
      this.bytes = this.bytes.subarray(end + 4);
      answered(this.head);
    }
    if (this.head.status !== 101) return;
    for (let one = parse(this.bytes); one; one = parse(this.bytes)) {
      this.frames.push(one);
      if (this.polite && one.opcode === CLOSE) this.write(frame(CLOSE, one.data)); /* a server may wait for it */
      this.bytes = this.bytes.subarray(one.size);
    }
  }

  write(...parts) {
    for (const part of parts) this.socket.write(part);
  }
  /** All of it in one segment. */
  glue(...parts) {
    this.socket.write(Buffer.concat(parts));
  }
  send(text) {
    this.write(frame(TEXT, text));
  }

  /** The next frame, a server's as it should be. */
  async next(ms) {
    const one = await this.frames.next(ms);
    assert.deepEqual([one.rsv, one.masked], [0, 0], 'no extension, no mask');
    return one;
  }
  async text(ms) {
    const one = await this.next(ms);
    assert.deepEqual([one.opcode, one.fin], [TEXT, 1], `opcode ${one.opcode}: ${one.data}`);
    return one.data.toString();
  }

  /** In the namespace /echo. */
  async echo() {
    this.send('40/echo,');
    assert.match(await this.text(), /^40\/echo,\{"sid"/);
    assert.equal(await this.text(), '42/echo,["auth",{}]');
    return this;
  }

  /** Sends an event and has it back. */
  async lives() {
    this.send('42/echo,["alive"]');
    assert.equal(await this.text(), '42/echo,["alive"]');
  }

  /** The server says goodbye with this code, and closes. */
  async isClosed(code, ms = 3000) {
    let one = await this.next(ms);
    while (one.opcode !== CLOSE) one = await this.next(ms);
    assert.equal(one.data.length ? one.data.readUInt16BE(0) : 1005, code);
    assert.ok(await within(generous(ms), this.ended), 'the connection is closed');
    this.end();
  }

  /** The server closes, with goodbye or without. */
  async isGone(ms = 3000) {
    assert.ok(await within(generous(ms), this.ended), 'the connection is closed');
    this.end();
  }

  /** As a machine that is switched off and on again. */
  vanish() {
    this.wire.resetAndDestroy();
  }

  end() {
    this.socket.destroy();
    this.wire.destroy();
  }
}
