// Peer: socket.io 4 with pg. One process per core with the cluster adapter
// (clients come by websocket only, so no session is shared between processes
// and connections need not stick to one), tuned as its documentation says.
import cluster from 'node:cluster';
import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { createAdapter, setupPrimary } from '@socket.io/cluster-adapter';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { Server } from 'socket.io';
import { v7 as uuidv7 } from 'uuid';
import * as statements from '../common/chat-sql.mjs';
import {
  ChatError, checkFields, limiter, toMessage, toRoom, unreadCounts,
} from '../common/chat.mjs';
import { run, settings } from '../common/cluster.mjs';
import { failure, success, toNote } from '../common/note.mjs';
import { NOTE_GET } from '../common/sql.mjs';

/* 'steps': a message takes several statements in a transaction, not one. */
const inSteps = process.env.PEER_SEND === 'steps';
const texts = { ...statements, NOTE_GET };
const key = createSecretKey(Buffer.from(settings.secret));
const pool = new pg.Pool({ max: settings.poolPerWorker });

const through = (one) => async (name, values) =>
  (await one.query({ name, text: texts[name], values })).rows;
const query = through(pool);

const claimsOf = (token) => jwt.verify(token, key, {
  algorithms: ['HS256'], issuer: 'mod_chronicle', audience: 'chronicle-api',
});

/* --- a note, to see what sockets cost those who have none ----------------- */

function claimsOfRequest(req) {
  try {
    return claimsOf(req.headers.authorization.slice(7));
  } catch {
    return null;
  }
}

async function answer(req) {
  if (req.url === '/health/live') return [200, { status: 'ALIVE' }];
  const [, id] = req.url.match(/^\/api\/v1\/notes\/([0-9a-f-]{36})$/) ?? [];
  if (!id) return [404, failure('', 'ROUTE_NOT_FOUND', 'No such route')];
  const claims = claimsOfRequest(req);
  if (!claims) return [401, failure('', 'INVALID_TOKEN', 'Bad token')];
  const [row] = await query('NOTE_GET', [id, claims.sub]);
  return row ? [200, success(toNote(row), 'Note'), `"v${row.version}"`]
    : [404, failure('', 'NOTE_NOT_FOUND', 'No such note')];
}

async function serve(req, res) {
  const [status, body, etag] = await answer(req);
  const text = JSON.stringify(body);
  res.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    ...(etag && { ETag: etag }),
  });
  res.end(text);
}

/* --- rooms ---------------------------------------------------------------- */

async function sendInSteps(values) {
  const [room, user, id, content, replyTo, clientId] = values;
  const client = await pool.connect();
  const step = through(client);
  try {
    await client.query('BEGIN');
    const [member] = await step('STEP_MEMBER', [room, user]);
    const [twin] = member && clientId
      ? await step('STEP_TWIN', [room, user, clientId]) : [];
    if (!member || twin) {
      await client.query('ROLLBACK');
      return twin ? [twin] : [];
    }
    const [{ last_seq: seq }] = await step('STEP_LOCK', [room]);
    const [members] = await step('STEP_MEMBERS', [room]);
    await step('STEP_INSERT',
      [room, user, id, content, replyTo, clientId, seq]);
    await step('STEP_MARKER', [room, user, seq, id]);
    const [row] = await step('STEP_READ', [id]);
    await client.query('COMMIT');
    return [{ ...row, ...members }];
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

const limitSending = limiter(settings.limit);

async function send(io, socket, body) {
  checkFields(body, ['roomId', 'content'], ['replyToId', 'clientId']);
  const { userId } = socket.data;
  limitSending(userId);
  const values = [body.roomId, userId, uuidv7(), body.content,
    body.replyToId ?? null, body.clientId ?? null];
  const [row] = inSteps ? await sendInSteps(values)
    : await query('SEND', values);
  if (!row) throw new ChatError('NOT_ROOM_MEMBER', 'Not a member');
  const message = toMessage(row);
  if (row.made) {
    io.to(`r:${body.roomId}`).emit('message:new', { message });
    for (const [unreadCount, users] of unreadCounts(row, userId)) {
      io.to(users.map((user) => `u:${user}`))
        .emit('unread', { roomId: body.roomId, unreadCount });
    }
  }
  return { message };
}

async function edit(io, socket, body) {
  checkFields(body, ['messageId', 'content']);
  const [row] = await query('EDIT',
    [body.messageId, socket.data.userId, body.content]);
  if (!row) throw new ChatError('MESSAGE_NOT_FOUND', 'No such message');
  const message = toMessage(row);
  io.to(`r:${message.roomId}`).emit('message:updated', { message });
  return { message };
}

async function join(io, socket, body) {
  checkFields(body, ['roomId'], ['sinceSeq']);
  const [row] = await query('ROOM', [body.roomId, socket.data.userId]);
  if (!row) throw new ChatError('ROOM_NOT_FOUND', 'No such room');
  socket.join(`r:${body.roomId}`);
  return { room: toRoom(row), online: [], missed: [], hasMore: false };
}

const EVENTS = {
  'room:join': join, 'message:send': send, 'message:edit': edit,
};

function connected(io, socket) {
  const { userId, sessionId, expiresAt } = socket.data;
  socket.join(`u:${userId}`);
  socket.emit('ready', { userId, sessionId, expiresAt });
  for (const [event, work] of Object.entries(EVENTS)) {
    socket.on(event, async (body, ack) => {
      try {
        ack({ success: true, data: await work(io, socket, body) });
      } catch (error) {
        if (!(error instanceof ChatError)) console.error(error);
        const { code = 'INTERNAL_ERROR', message, details = [] } = error;
        ack({ success: false, error: { code, message, details } });
      }
    });
  }
}

function authenticate(socket, next) {
  try {
    const claims = claimsOf(socket.handshake.auth.token);
    socket.data = {
      userId: claims.sub, sessionId: claims.sid,
      expiresAt: new Date(claims.exp * 1000),
    };
    next();
  } catch {
    const error = new Error('Bad token');
    error.data = { code: 'INVALID_TOKEN' };
    next(error);
  }
}

function startWorker() {
  const io = new Server({
    transports: ['websocket'], perMessageDeflate: false,
    httpCompression: false, serveClient: false, maxHttpBufferSize: 1_000_000,
    pingInterval: 25_000, pingTimeout: 20_000,
    ...(settings.workers > 1 && { adapter: createAdapter() }),
  });
  io.use(authenticate);
  io.on('connection', (socket) => connected(io, socket));
  const attach = (server) => {
    io.attach(server);
    /* the first request isn't needed any more: less memory, as documented */
    io.engine.on('connection', (raw) => { raw.request = null; });
  };
  const server = createServer(serve);
  attach(server);
  server.keepAliveTimeout = 60_000;
  server.listen(settings.port, '127.0.0.1', 4096);
  if (settings.tlsPort) {
    const secure = createSecure({
      key: readFileSync(process.env.TLS_KEY),
      cert: readFileSync(process.env.TLS_CERT),
    }, serve);
    attach(secure);
    secure.listen(settings.tlsPort, '127.0.0.1', 4096);
  }
}

if (cluster.isPrimary) setupPrimary();
await run(startWorker);
