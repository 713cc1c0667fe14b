// Peer: Fastify 4 with postgres.js, its schema compiler and serialiser.
import { randomUUID } from 'node:crypto';
import Ajv from 'ajv';
import Fastify from 'fastify';
import formats from 'ajv-formats';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import postgres from 'postgres';
import { createVerifier } from 'fast-jwt';
import { v7 as uuidv7 } from 'uuid';
import { run, settings } from '../common/cluster.mjs';
import * as statements from '../common/sql.mjs';
import { pull, push } from '../common/sync.mjs';
import {
  REQUEST_ID, countWords, failure, success, toNote, toPage, toPlain,
} from '../common/note.mjs';
import {
  createNote, getNote, listNotes, pullChanges, pushChanges, updateNote,
} from './schemas.mjs';

const db = postgres({
  host: process.env.PGHOST,
  database: process.env.PGDATABASE,
  username: process.env.PGUSER,
  max: settings.poolPerWorker,
  connection: { options: process.env.PGOPTIONS ?? '' },
  onnotice: () => {},
});

/* postgres.js prepares once per connection and pipelines on it. */
const query = (name, values) =>
  db.unsafe(statements[name], values, { prepare: true });

const verify = createVerifier({
  key: settings.secret,
  algorithms: ['HS256'],
  allowedIss: 'mod_chronicle',
  allowedAud: 'chronicle-api',
  requiredClaims: ['sub', 'sid', 'iat', 'nbf', 'exp'],
  cache: true,
});

const app = Fastify({
  logger: false,
  bodyLimit: 10_485_760,
  keepAliveTimeout: 60_000,
  genReqId(req) {
    const given = req.headers['x-request-id'];
    return given && REQUEST_ID.test(given) ? given : randomUUID();
  },
});

/* Query strings are text: they alone are coerced. */
const bodies = formats(new Ajv({ useDefaults: true }));
const queries = formats(new Ajv({ useDefaults: true, coerceTypes: true }));
app.setValidatorCompiler(({ schema, httpPart }) =>
  (httpPart === 'body' ? bodies : queries).compile(schema));

function refuse(status, code, message) {
  return Object.assign(new Error(message), { statusCode: status, api: code });
}

await app.register(helmet, {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
  },
  crossOriginResourcePolicy: { policy: 'same-site' },
  dnsPrefetchControl: false,
  frameguard: { action: 'deny' },
  hsts: false,
  ieNoOpen: false,
  originAgentCluster: false,
  permittedCrossDomainPolicies: false,
});

app.addHook('onRequest', async (req, reply) => {
  reply.headers({
    'x-request-id': req.id,
    'x-api-version': 'v1',
    'cache-control': 'no-store',
    'permissions-policy': 'interest-cohort=()',
  });
});

app.get('/health/live', async () => ({
  status: 'ALIVE', timestamp: new Date(),
}));

async function authenticate(req) {
  const header = req.headers.authorization;
  if (!header || !header.startsWith('Bearer ')) {
    throw refuse(401, 'AUTHENTICATION_REQUIRED', 'No token');
  }
  try {
    req.userId = verify(header.slice(7)).sub;
  } catch (error) {
    throw refuse(401, error.code === 'FAST_JWT_EXPIRED'
      ? 'TOKEN_EXPIRED' : 'INVALID_TOKEN', 'Bad token');
  }
}

await app.register(async (api) => {
  api.decorateRequest('userId', null);
  api.addHook('onRequest', authenticate);
  await api.register(rateLimit, {
    max: settings.limit,
    timeWindow: settings.windowMs,
    keyGenerator: (req) => req.userId,
    enableDraftSpec: true,
  });

  api.get('/notes/:id', { schema: getNote }, async (req, reply) => {
    const [row] = await query('NOTE_GET', [req.params.id, req.userId]);
    if (!row) throw refuse(404, 'NOTE_NOT_FOUND', 'No such note');
    reply.headers({
      etag: `"v${row.version}"`, 'cache-control': 'private, no-cache',
    });
    return success(toNote(row), 'Note');
  });

  api.get('/notes', { schema: listNotes }, async (req) => {
    const { page, limit } = req.query;
    const rows = await query('NOTE_LIST',
      [req.userId, limit, (page - 1) * limit]);
    const total = rows.length > 0 ? rows[0].total
      : (await query('NOTE_COUNT', [req.userId]))[0].total;
    return success(toPage(rows, total, page, limit), 'Notes');
  });

  api.post('/notes', { schema: createNote }, async (req, reply) => {
    const { body } = req;
    const plain = toPlain(body.content);
    const [row] = await query('NOTE_CREATE', [
      req.userId, body.id ?? uuidv7(), body.folderId ?? null,
      body.title?.trim() || 'Untitled Note', body.content ?? null, plain,
      countWords(plain), [...new Set(body.tags ?? [])],
      body.isPinned ?? false, body.isFavorite ?? false,
      body.clientUpdatedAt ?? null,
    ]);
    if (!row) throw refuse(404, 'FOLDER_NOT_FOUND', 'No such folder');
    reply.code(201).headers({
      etag: `"v${row.version}"`, location: `/api/v1/notes/${row.id}`,
    });
    return success(toNote(row), 'Note created');
  });

  api.put('/notes/:id', { schema: updateNote }, async (req, reply) => {
    const { body } = req;
    const plain = body.content === undefined ? null : toPlain(body.content);
    const [row] = await query('NOTE_UPDATE', [
      req.params.id, req.userId, body.title?.trim() ?? null,
      body.content ?? null, plain, plain === null ? null : countWords(plain),
    ]);
    if (!row) throw refuse(404, 'NOTE_NOT_FOUND', 'No such note');
    reply.header('etag', `"v${row.version}"`);
    return success(toNote(row), 'Note updated');
  });

  api.post('/sync/pull', { schema: pullChanges }, async (req) => {
    const page = await pull(query, req.userId, req.body);
    if (!page) throw refuse(400, 'VALIDATION_ERROR', 'Bad cursor');
    return success(page, 'Changes');
  });

  /* its schema refuses a bad item with all others */
  api.post('/sync/push', { schema: pushChanges }, async (req) =>
    success(await push(query, req.userId, req.body, () => []),
      'Changes taken'));
}, { prefix: '/api/v1' });

app.setNotFoundHandler((req, reply) => reply.code(404)
  .send(failure(req.id, 'ROUTE_NOT_FOUND', 'No such route')));

app.setErrorHandler((error, req, reply) => {
  const status = error.statusCode ?? 500;
  const code = error.validation ? 'VALIDATION_ERROR'
    : error.api ?? (status === 400 ? 'MALFORMED_JSON' : 'INTERNAL_ERROR');
  if (status >= 500) console.error(error);
  const details = (error.validation ?? []).map((fault) => ({
    field: fault.instancePath.slice(1) || null,
    message: fault.message,
    code: 'INVALID_VALUE',
  }));
  reply.code(status).send(failure(req.id, code, error.message, details));
});

await run(() => app.listen({
  port: settings.port, host: '127.0.0.1', backlog: 511,
}));
