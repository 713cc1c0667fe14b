/* An HTTP client that lets tests send anything and judges what comes back by the contract. */
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import zlib from 'node:zlib';

const decoders = { gzip: zlib.gunzipSync, br: zlib.brotliDecompressSync, deflate: zlib.inflateSync };

/** Headers as an object: lower-case names, several set-cookie lines as an array, others joined. */
function collect(rawHeaders) {
  const out = {};
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = rawHeaders[n].toLowerCase();
    if (name === 'set-cookie') out[name] = [...(out[name] ?? []), rawHeaders[n + 1]];
    else out[name] = out[name] === undefined ? rawHeaders[n + 1] : `${out[name]}, ${rawHeaders[n + 1]}`;
  }
  return out;
}

export function answer(status, headers, raw) {
  const res = { status, headers, raw };
  const decode = decoders[headers['content-encoding']];
  res.text = (decode && raw.length ? decode(raw) : raw).toString('utf8');
  try {
    res.json = JSON.parse(res.text);
  } catch {
    /* stays undefined */
  }
  return res;
}

export class Client {
  /** token: access token; cookies: object of cookies, kept up to date from Set-Cookie; headers: on each request. */
  constructor(server, { token, cookies, headers = {}, address = '127.0.0.1', tls = false } = {}) {
    Object.assign(this, { server, token, cookies, headers, address, tls });
    const options = { keepAlive: true, maxSockets: 64, maxFreeSockets: 2, rejectUnauthorized: false };
    this.agent = tls ? new https.Agent(options) : new http.Agent(options);
  }

  close() {
    this.agent.destroy();
  }

  /** The same caller with other properties. */
  with(changes) {
    const { token, cookies, headers, address, tls } = this;
    return Object.assign(this.server.client({ token, cookies, headers, address, tls, ...changes }), {
      ...this.identity(),
      ...changes,
    });
  }

  identity() {
    return { user: this.user, email: this.email, password: this.password, refreshToken: this.refreshToken };
  }

  /** Path relative to /api/v1. */
  api(method, path, options = {}) {
    return this.at(method, `/api/v1${path}`, options);
  }

  get(path, options) {
    return this.api('GET', path, options);
  }
  post(path, json, options) {
    return this.api('POST', path, { json, ...options });
  }
  put(path, json, options) {
    return this.api('PUT', path, { json, ...options });
  }
  patch(path, json, options) {
    return this.api('PATCH', path, { json, ...options });
  }
  del(path, options) {
    return this.api('DELETE', path, options);
  }

  /**
   * Full path. Options: json (value), body (string or Buffer; `type` its Content-Type), headers (null takes one
   * away), token (null: none), fresh (a connection of its own), chunks (array: sent chunked, one by one),
   * check: false (not judged).
   */
  async at(method, path, options = {}) {
    const { json, type, fresh = false, check = true } = options;
    const headers = { ...this.headers };
    let body = options.body ?? options.chunks;
    if (json !== undefined) body = JSON.stringify(json);
    if (body !== undefined && type !== null) headers['content-type'] = type ?? 'application/json';
    const token = options.token === undefined ? this.token : options.token;
    if (token) headers.authorization = `Bearer ${token}`;
    if (this.cookies && Object.keys(this.cookies).length) {
      headers.cookie = Object.entries(this.cookies)
        .map(([name, value]) => `${name}=${value}`)
        .join('; ');
    }
    if (fresh) headers.connection = 'close';
    Object.assign(headers, options.headers);
    for (const name of Object.keys(headers)) if (headers[name] === null) delete headers[name];
    const res = await this.send(method, path, headers, body, fresh);
    if (this.cookies) this.keepCookies(res.headers['set-cookie'] ?? []);
    if (check && this.server.contract) this.server.contract.check({ method, path, tls: this.tls }, res);
    return res;
  }

  send(method, path, headers, body, fresh, again = true) {
    const port = this.tls ? this.server.tlsPort : this.server.port;
    const all = { ...headers };
    if (body !== undefined && !Array.isArray(body)) all['content-length'] ??= Buffer.byteLength(body);
    return new Promise((resolve, reject) => {
      const req = (this.tls ? https : http).request({
        host: this.address,
        port,
        method,
        path,
        headers: all,
        agent: fresh ? false : this.agent,
        rejectUnauthorized: false,
        timeout: 60000,
      });
      let answered = false;
      req.on('response', (res) => {
        answered = true;
        const parts = [];
        res.on('data', (part) => parts.push(part));
        res.on('error', reject);
        res.on('end', () => resolve(answer(res.statusCode, collect(res.rawHeaders), Buffer.concat(parts))));
      });
      req.on('timeout', () => req.destroy(new Error(`no answer within 60 s: ${method} ${path}`)));
      req.on('error', (error) => {
        /* A kept-alive connection that the server closed just now: once more on a new one. */
        if (!answered && again && req.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code)) {
          resolve(this.send(method, path, headers, body, true, false));
        } else if (!answered) {
          reject(error);
        }
      });
      if (Array.isArray(body)) {
        (async () => {
          for (const part of body) {
            if (answered) break;
            if (!req.write(part))
              await new Promise((next) => {
                req.once('drain', next);
                req.once('close', next);
              });
          }
          req.end();
        })();
      } else {
        req.end(body);
      }
    });
  }

  keepCookies(lines) {
    for (const line of lines) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '' || /max-age=0\b/i.test(line)) delete this.cookies[name];
      else this.cookies[name] = value;
    }
  }
}

/**
 * Writes bytes to the server's port and gives everything that comes back until it closes (or `ms` pass):
 * {status, headers, text, raw}; the whole stream is in `raw`.
 */
export function rawExchange(server, parts, { ms = 10000, pause = 0, port = server.port } = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    const received = [];
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      const raw = Buffer.concat(received);
      const text = raw.toString('latin1');
      const head = text.split('\r\n\r\n')[0].split('\r\n');
      const headers = collect(
        head.slice(1).flatMap((line) => {
          const at = line.indexOf(':');
          return [line.slice(0, at), line.slice(at + 1).trim()];
        }),
      );
      resolve({ status: Number(head[0].split(' ')[1]) || 0, headers, text, raw });
    };
    const timer = setTimeout(finish, ms);
    socket.setNoDelay(true);
    socket.on('error', (error) => (received.length ? finish() : reject(error)));
    socket.on('data', (data) => received.push(data));
    socket.on('close', finish);
    socket.on('connect', async () => {
      for (const part of [parts].flat()) {
        if (socket.destroyed) return;
        socket.write(part);
        if (pause)
          await new Promise((next) => {
            setTimeout(next, pause);
          });
      }
    });
  });
}
