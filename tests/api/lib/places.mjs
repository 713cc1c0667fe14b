/* Places of a test server beside the API: protected directories, an application behind it, users of Basic. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { PASSWORD } from './accounts.mjs';

/** What the places need beside the modules that every test server loads. */
export const MODULES = [
  'authn_core',
  'authn_file',
  'authz_user',
  'auth_basic',
  'headers',
  'proxy',
  'proxy_http',
  'include',
  'dir',
  'cache',
  'cache_disk',
];

/** An application behind the server that tells what it was sent: {port, close()}. */
export async function startApp() {
  const server = http.createServer((req, res) => {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ method: req.method, headers: req.headers }));
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: server.address().port,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The lines of a <Location> under AuthType Chronicle. */
export const place = (where, ...lines) => [
  `<Location "${where}">`,
  'AuthType Chronicle',
  'AuthName "The \\"staff\\""',
  ...lines,
  '</Location>',
];

export const basicPlace = (where, ...lines) => [
  `<Location "${where}">`,
  'AuthType Basic',
  'AuthName staff',
  ...lines,
  '</Location>',
];

/** A file below the document root. */
export function write(s, name, text) {
  const file = path.join(s.dir, 'htdocs', name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** A line of an AuthUserFile. */
export const htpasswd = (name, password) =>
  `${name}:{SHA}${crypto.createHash('sha1').update(password).digest('base64')}\n`;

/** A GET of a path that the contract knows nothing of. */
export const look = (client, target, options = {}) => client.at('GET', target, { check: false, fresh: true, ...options });

/** Options of a request with HTTP's Basic scheme. */
export const basic = (email, password = PASSWORD) => ({
  headers: { authorization: `Basic ${Buffer.from(`${email}:${password}`).toString('base64')}` },
});

/** A file "inside <name>" was served. */
export function inside(res, name) {
  assert.equal(res.status, 200, `${res.status} ${res.text}`);
  assert.equal(res.text, `inside ${name}\n`);
}

/** Sets columns of a user as another host would: this server's cache is not told. */
export async function change(s, client, columns) {
  for (const [name, value] of Object.entries(columns)) {
    await s.sql(`UPDATE users SET ${name} = $2 WHERE id = $1`, [client.user.id, value]);
  }
}

/** Statements that this server has run so far. */
export async function statements(s) {
  const { text } = await s.anon.at('GET', '/metrics', { check: false });
  return Number(/^chronicle_db_query_duration_seconds_count(?:\{[^}]*\})? (\d+)/m.exec(text)[1]);
}
