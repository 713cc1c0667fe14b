/* Users, their tokens, and the mails that the server queued for them. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { until } from './env.mjs';

export const PASSWORD = 'correct horse battery';

let counter = 0;
export function uniqueEmail(name = 'user') {
  counter += 1;
  return `${name}.${process.pid}.${counter}.${crypto.randomBytes(3).toString('hex')}@example.com`;
}

/** A client that carries the tokens of a registration or login answer. */
export function clientFrom(server, res, password = PASSWORD) {
  const { user, tokens } = res.json.data;
  const client = server.client({ token: tokens?.accessToken });
  return Object.assign(client, { user, email: user.email, password, refreshToken: tokens?.refreshToken });
}

export async function newUser(server, fields = {}) {
  const password = fields.password ?? PASSWORD;
  const res = await server.anon.post('/auth/register', { email: uniqueEmail(), password, ...fields });
  assert.equal(res.status, 201, res.text);
  return clientFrom(server, res, password);
}

/** A user whom the database has made something else before anybody asked for it. */
export async function newRole(server, role) {
  const client = await newUser(server);
  await server.sql('UPDATE users SET role = $2 WHERE id = $1', [client.user.id, role]);
  return client;
}
export const newAdmin = (server) => newRole(server, 'admin');

export async function login(server, { email, password }, fields = {}, via = server.anon) {
  const res = await via.post('/auth/login', { email, password, ...fields });
  assert.equal(res.status, 200, res.text);
  return clientFrom(server, res, password);
}

/** Logs in by cookie: a client with a cookie jar and `csrf`. */
export async function cookieLogin(server, { email, password }) {
  const client = server.client({ cookies: {} });
  const res = await client.post('/auth/login', { email, password, session: true });
  assert.equal(res.status, 200, res.text);
  return Object.assign(client, {
    user: res.json.data.user,
    email,
    password,
    csrf: res.json.data.csrfToken,
    loginAnswer: res,
  });
}

/** The raw tokens of the links in all mails of one template to an address, oldest first. */
export async function mailTokens(server, email, template) {
  const rows = await server.sql(
    'SELECT body_text FROM email_outbox WHERE lower(to_address) = lower($1) AND template = $2 ORDER BY created_at, id',
    [email, template],
  );
  return rows.map((row) => /[?&]token=([A-Za-z0-9_-]+)/.exec(row.body_text)?.[1]);
}

/** The newest such token, waiting for the mail number `n`. */
export async function mailToken(server, email, template, n = 1) {
  const tokens = await until(
    async () => {
      const found = await mailTokens(server, email, template);
      return found.length >= n && found;
    },
    3000,
    `mail ${template} number ${n} to ${email}`,
  );
  return tokens[n - 1];
}

export async function verifyEmail(server, client) {
  const res = await server.anon.post('/auth/verify-email', {
    token: await mailToken(server, client.email, 'verify_email'),
  });
  assert.equal(res.status, 200, res.text);
}

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A JWT by hand, so that a test can make it wrong in any way. */
export function mintJwt(claims, secret, { header = { alg: 'HS256', typ: 'JWT', kid: '1' }, hash = 'sha256' } = {}) {
  const signed = `${b64(header)}.${b64(claims)}`;
  return `${signed}.${crypto.createHmac(hash, secret).update(signed).digest('base64url')}`;
}

export const jwtClaims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
export const jwtHeader = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString());
