// Peer: Express 4 with pg, tuned as its own documentation says.
import { createSecretKey, randomUUID } from 'node:crypto';
import express from 'express';
import helmet from 'helmet';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { rateLimit } from 'express-rate-limit';
import { v7 as uuidv7 } from 'uuid';
import { run, settings } from '../common/cluster.mjs';
import * as sql from '../common/sql.mjs';
import { pull, push } from '../common/sync.mjs';
import {
  REQUEST_ID, countWords, failure, success, toNote, toPage, toPlain,
} from '../common/note.mjs';
import {
  checkCreate, checkListQuery, checkPull, checkPush, checkPushed, checkUpdate,
  isUuid,
} from './validate.mjs';

const pool = new pg.Pool({ max: settings.poolPerWorker });

/* A named statement is prepared once per connection. */
const through = (one) => async (name, values) =>
  (await one.query({ name, text: sql[name], values })).rows;
const query = through(pool);

/* Gives work() a query of its own, all of whose work is one transaction. */
async function whole(work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(through(client));
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

/* A key object: of a string, jsonwebtoken first tries to make a public key,
   which fails and costs more than all the rest of the check. */
const key = createSecretKey(Buffer.from(settings.secret));

class ApiError extends Error {
  constructor(status, code, message, details) {
    super(message);
    Object.assign(this, { status, code, details });
  }
}

function refuseFaults(details) {
  if (details.length > 0) {
    throw new ApiError(400, 'VALIDATION_ERROR', 'Invalid input data', details);
  }
}

function refuseBadId(id) {
  if (!isUuid(id)) {
    refuseFaults([{ field: 'id', message: 'not a UUID',
      code: 'INVALID_FORMAT' }]);
  }
}

function identifyRequest(req, res, next) {
  const given = req.headers['x-request-id'];
  req.id = given && REQUEST_ID.test(given) ? given : randomUUID();
  res.setHeader('X-Request-Id', req.id);
  res.setHeader('X-Api-Version', 'v1');
  res.setHeader('Cache-Control', 'no-store');
  res.setHeader('Permissions-Policy', 'interest-cohort=()');
  next();
}

function authenticate(req, res, next) {
  const header = req.headers.authorization;
  if (!header || !header.startsWith('Bearer ')) {
    throw new ApiError(401, 'AUTHENTICATION_REQUIRED', 'No token');
  }
  let claims;
  try {
    claims = jwt.verify(header.slice(7), key, {
      algorithms: ['HS256'], issuer: 'mod_chronicle',
      audience: 'chronicle-api',
    });
  } catch (error) {
    const code = error.name === 'TokenExpiredError'
      ? 'TOKEN_EXPIRED' : 'INVALID_TOKEN';
    throw new ApiError(401, code, 'Bad token');
  }
  if (!isUuid(claims.sub) || !isUuid(claims.sid)) {
    throw new ApiError(401, 'INVALID_TOKEN', 'Bad token');
  }
  req.userId = claims.sub;
  next();
}

const limiter = rateLimit({
  windowMs: settings.windowMs,
  limit: settings.limit,
  standardHeaders: 'draft-6',
  legacyHeaders: false,
  validate: false,
  keyGenerator: (req) => req.userId,
});

const api = express.Router();
api.use(authenticate, limiter);
api.use(express.json({ limit: '10mb' }));

const handle = (handler) => (req, res, next) => {
  handler(req, res).catch(next);
};

api.get('/notes/:id', handle(async (req, res) => {
  refuseBadId(req.params.id);
  refuseFaults(Object.keys(req.query).map((field) =>
    ({ field, message: 'unknown parameter', code: 'UNKNOWN_FIELD' })));
  const [row] = await query('NOTE_GET', [req.params.id, req.userId]);
  if (!row) throw new ApiError(404, 'NOTE_NOT_FOUND', 'No such note');
  res.setHeader('ETag', `"v${row.version}"`);
  res.setHeader('Cache-Control', 'private, no-cache');
  res.json(success(toNote(row), 'Note'));
}));

api.get('/notes', handle(async (req, res) => {
  const { page, limit, faults } = checkListQuery(req.query);
  refuseFaults(faults);
  const rows = await query('NOTE_LIST',
    [req.userId, limit, (page - 1) * limit]);
  const total = rows.length > 0 ? rows[0].total
    : (await query('NOTE_COUNT', [req.userId]))[0].total;
  res.json(success(toPage(rows, total, page, limit), 'Notes'));
}));

api.post('/notes', handle(async (req, res) => {
  const { body } = req;
  refuseFaults(checkCreate(body));
  const plain = toPlain(body.content);
  const [row] = await query('NOTE_CREATE', [
    req.userId, body.id ?? uuidv7(), body.folderId ?? null,
    body.title?.trim() || 'Untitled Note', body.content ?? null, plain,
    countWords(plain), [...new Set(body.tags ?? [])],
    body.isPinned ?? false, body.isFavorite ?? false,
    body.clientUpdatedAt ?? null,
  ]);
  if (!row) throw new ApiError(404, 'FOLDER_NOT_FOUND', 'No such folder');
  res.status(201);
  res.setHeader('ETag', `"v${row.version}"`);
  res.setHeader('Location', `/api/v1/notes/${row.id}`);
  res.json(success(toNote(row), 'Note created'));
}));

api.put('/notes/:id', handle(async (req, res) => {
  const { body } = req;
  refuseBadId(req.params.id);
  refuseFaults(checkUpdate(body));
  const plain = body.content === undefined ? null : toPlain(body.content);
  const [row] = await query('NOTE_UPDATE', [
    req.params.id, req.userId, body.title?.trim() ?? null,
    body.content ?? null, plain, plain === null ? null : countWords(plain),
  ]);
  if (!row) throw new ApiError(404, 'NOTE_NOT_FOUND', 'No such note');
  res.setHeader('ETag', `"v${row.version}"`);
  res.json(success(toNote(row), 'Note updated'));
}));

api.post('/sync/pull', handle(async (req, res) => {
  refuseFaults(checkPull(req.body));
  const page = await pull(query, req.userId, req.body);
  if (!page) {
    refuseFaults([{ field: 'cursor', message: 'damaged',
      code: 'INVALID_VALUE' }]);
  }
  res.json(success(page, 'Changes'));
}));

api.post('/sync/push', handle(async (req, res) => {
  refuseFaults(checkPush(req.body));
  const work = (one) => push(one, req.userId, req.body, checkPushed);
  res.json(success(await (settings.pushWhole ? whole(work) : work(query)),
    'Changes taken'));
}));

const app = express();
app.disable('x-powered-by');
app.set('etag', false);
app.use(identifyRequest);
app.use(helmet({
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
}));
app.get('/health/live', (req, res) => {
  res.json({ status: 'ALIVE', timestamp: new Date() });
});
app.use('/api/v1', api);
app.use((req, res) => {
  res.status(404).json(failure(req.id, 'ROUTE_NOT_FOUND', 'No such route'));
});
app.use((error, req, res, next) => {
  const broken = error.type?.startsWith('entity.');
  const status = error.status ?? 500;
  const code = error.code && error instanceof ApiError ? error.code
    : broken ? 'MALFORMED_JSON' : 'INTERNAL_ERROR';
  if (status >= 500) console.error(error);
  res.status(status)
    .json(failure(req.id, code, error.message, error.details));
});

await run(() => {
  const server = app.listen(settings.port, '127.0.0.1', 511);
  server.keepAliveTimeout = 60_000;
});
