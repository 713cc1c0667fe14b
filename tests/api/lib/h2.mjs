/* An HTTP/2 client on one connection, with the answers of lib/client.mjs. */
import http2 from 'node:http2';
import { once } from 'node:events';
import { answer } from './client.mjs';

export class H2 {
  /** tls: with ALPN on the server's TLS port; else prior knowledge on the plain one. token: on each request. */
  static async connect(server, { tls = false, token } = {}) {
    const authority = tls ? `https://127.0.0.1:${server.tlsPort}` : server.origin;
    const session = http2.connect(authority, { rejectUnauthorized: false });
    session.on('error', () => {});
    await once(session, 'remoteSettings');
    return Object.assign(new H2(), { server, session, tls, token });
  }

  get protocol() {
    return this.tls ? this.session.alpnProtocol : 'h2c';
  }

  /** A stream with the request's headers sent. */
  open(method, path, { json, body, headers = {}, token = this.token, endStream } = {}) {
    const data = json === undefined ? body : JSON.stringify(json);
    const all = { ':method': method, ':path': path };
    if (data !== undefined) Object.assign(all, { 'content-type': 'application/json' });
    if (typeof data === 'string') all['content-length'] = Buffer.byteLength(data);
    if (token) all.authorization = `Bearer ${token}`;
    return this.session.request({ ...all, ...headers }, { endStream: endStream ?? data === undefined });
  }

  /** The answer on a stream; rejects when it is reset before its end. */
  async answer(stream, method, path, { check = true } = {}) {
    const parts = [];
    let headers;
    await new Promise((resolve, reject) => {
      stream.on('response', (found) => {
        headers = { ...found };
      });
      stream.on('data', (part) => parts.push(part));
      stream.on('end', resolve);
      stream.on('error', reject);
      stream.on('aborted', () => reject(new Error('the stream was aborted')));
      stream.on('close', () => reject(new Error(`closed without an answer: ${method} ${path}`)));
      stream.setTimeout(20000, () => reject(new Error(`no answer within 20 s: ${method} ${path}`)));
      stream.resume();
    });
    if (!headers) throw new Error(`no answer to ${method} ${path}`);
    const status = headers[':status'];
    for (const name of Object.keys(headers)) if (name.startsWith(':')) delete headers[name];
    const res = answer(status, headers, Buffer.concat(parts));
    if (check) this.server.contract.check({ method, path, tls: this.tls }, res);
    return res;
  }

  /** Full path. json or body (string; or an array: sent piece by piece, without a length). */
  async at(method, path, options = {}) {
    const { json, body } = options;
    const stream = this.open(method, path, options);
    const done = this.answer(stream, method, path, options);
    if (Array.isArray(body)) {
      for (const part of body) stream.write(part);
      stream.end();
    } else if (json !== undefined || body !== undefined) {
      stream.end(json === undefined ? body : JSON.stringify(json));
    }
    return done;
  }

  /** Path relative to /api/v1. */
  api(method, path, options) {
    return this.at(method, `/api/v1${path}`, options);
  }

  close() {
    this.session.destroy();
  }
}
