/* A private Redis on a unix socket and a free port, and a proxy before it that cuts connections. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { forget, keepTrack, makeDir, until } from './env.mjs';
import { freePort } from './server.mjs';

/** One reply from the front of the text: [value, rest], or undefined when it is not whole. */
function parse(text) {
  const end = text.indexOf('\r\n');
  if (end < 0) return undefined;
  const head = text.slice(1, end);
  const rest = text.slice(end + 2);
  const count = Number(head);
  switch (text[0]) {
    case '+':
      return [head, rest];
    case '-':
      return [new Error(head), rest];
    case ':':
      return [count, rest];
    case '$':
      if (count < 0) return [null, rest];
      return rest.length < count + 2 ? undefined : [rest.slice(0, count), rest.slice(count + 2)];
    default: {
      const items = [];
      let left = rest;
      for (let n = 0; n < count; n += 1) {
        const item = parse(left);
        if (!item) return undefined;
        items.push(item[0]);
        [, left] = item;
      }
      return [items, left];
    }
  }
}

export class Redis {
  /** args: more of redis-server's options; password: of the user default. */
  constructor({ args = [], password } = {}) {
    Object.assign(this, { args, password });
  }

  get socket() {
    return path.join(this.dir, 'redis.sock');
  }
  get login() {
    return this.password ? `:${encodeURIComponent(this.password)}@` : '';
  }
  get unixUrl() {
    return `unix://${this.login}${this.socket}`;
  }
  get url() {
    return `redis://${this.login}127.0.0.1:${this.port}`;
  }

  async start() {
    this.dir ??= makeDir('redis-');
    this.port ??= await freePort();
    const options = ['--port', this.port, '--unixsocket', this.socket, '--unixsocketperm', '777', '--save', ''];
    if (this.password) options.push('--requirepass', this.password);
    const log = fs.openSync(path.join(this.dir, 'redis.log'), 'a');
    this.child = spawn('redis-server', [...options, '--dir', this.dir, ...this.args].map(String), {
      stdio: ['ignore', log, log],
    });
    fs.closeSync(log);
    const { pid } = this.child;
    keepTrack(pid);
    this.exited = once(this.child, 'exit').then(() => forget(pid));
    await until(() => this.command('PING').catch(() => false), 10000, 'redis-server answers');
    return this;
  }

  /** As a crash. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }
  pause() {
    this.child.kill('SIGSTOP');
  }
  resume() {
    this.child.kill('SIGCONT');
  }
  async remove() {
    if (this.child?.exitCode === null && this.child.signalCode === null) await this.kill();
    if (this.dir) fs.rmSync(this.dir, { recursive: true, force: true });
  }

  /** A command's reply, on a connection of its own. */
  async command(...words) {
    const all = this.password ? [['AUTH', this.password], words] : [words];
    const socket = net.connect(this.socket);
    const bytes = (word) => `$${Buffer.byteLength(`${word}`)}\r\n${word}\r\n`;
    socket.end(all.map((list) => `*${list.length}\r\n${list.map(bytes).join('')}`).join(''));
    let text = '';
    for await (const chunk of socket.setEncoding('latin1')) text += chunk;
    let value;
    for (let n = 0; n < all.length; n += 1) {
      const item = parse(text);
      if (!item) throw new Error(`not a reply: ${text}`);
      [value, text] = item;
    }
    if (value instanceof Error) throw value;
    return value;
  }

  /** Keys that are there. */
  keys() {
    return this.command('KEYS', '*');
  }
}

/** Passes bytes between a free port and a Redis; the n-th of its replies from now on is cut off instead. */
export class Proxy {
  constructor(redis) {
    this.redis = redis;
    this.connections = new Set();
    this.accepted = 0; /* connections so far */
    this.replies = 0;
    this.cutAt = 0;
    this.share = 0; /* of the reply that is cut, this part is passed on */
  }

  get url() {
    return `redis://${this.redis.login}127.0.0.1:${this.port}`;
  }

  async start() {
    this.port = await freePort();
    this.server = net.createServer((client) => this.join(client));
    await new Promise((resolve) => {
      this.server.listen(this.port, '127.0.0.1', resolve);
    });
    return this;
  }

  join(client) {
    const up = net.connect(this.redis.socket);
    const end = () => {
      client.destroy();
      up.destroy();
      this.connections.delete(client);
    };
    this.connections.add(client);
    this.accepted += 1;
    for (const socket of [client, up]) socket.on('error', end).on('close', end);
    client.on('data', (data) => up.write(data));
    up.on('data', (data) => {
      this.replies += 1;
      if (this.replies !== this.cutAt) {
        client.write(data);
      } else if (this.share) {
        client.end(data.subarray(0, Math.floor(data.length * this.share)));
      } else {
        end();
      }
    });
  }

  /** From now on. Whoever was connected must connect anew. */
  cut(n, share = 0) {
    for (const client of this.connections) client.destroy();
    Object.assign(this, { replies: 0, cutAt: n, share });
  }

  stop() {
    for (const client of this.connections) client.destroy();
    this.server.close();
  }
}
