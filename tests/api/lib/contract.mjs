/* Judges every answer that a test sees: headers of 1.7, envelopes of 1.2, codes of 1.6, the schema in openapi.json. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { env } from './env.mjs';

const CODES = {
  400: 'VALIDATION_ERROR MALFORMED_JSON CONTENT_REJECTED',
  401: 'AUTHENTICATION_REQUIRED INVALID_TOKEN TOKEN_EXPIRED INVALID_CREDENTIALS INVALID_SIGNATURE',
  403: 'FORBIDDEN CSRF_FAILED SECURITY_VIOLATION EMAIL_NOT_VERIFIED NOT_ROOM_MEMBER',
  404: `ROUTE_NOT_FOUND USER_NOT_FOUND SESSION_NOT_FOUND EXPORT_NOT_FOUND FOLDER_NOT_FOUND NOTE_NOT_FOUND VERSION_NOT_FOUND
    CONFLICT_NOT_FOUND ATTACHMENT_NOT_FOUND THUMBNAIL_NOT_FOUND CONVERSATION_NOT_FOUND ROOM_NOT_FOUND MESSAGE_NOT_FOUND
    MEMBER_NOT_FOUND REACTION_NOT_FOUND SUBMISSION_NOT_FOUND INTEGRATION_NOT_FOUND ITEM_NOT_FOUND SYNC_NOT_FOUND
    DISCREPANCY_NOT_FOUND CLAIM_NOT_FOUND NOTIFICATION_NOT_FOUND WEBHOOK_NOT_FOUND RUN_NOT_FOUND JOB_NOT_FOUND`,
  405: 'METHOD_NOT_ALLOWED',
  409: `CONFLICT EMAIL_TAKEN FOLDER_NAME_TAKEN SLUG_TAKEN SKU_TAKEN NOT_DELETED NOT_PUBLIC ALREADY_MEMBER ALREADY_VERIFIED
    INVALID_TRANSITION SYNC_IN_PROGRESS EXPORT_IN_PROGRESS EXPORT_NOT_READY LAST_ADMIN IDEMPOTENCY_IN_PROGRESS`,
  412: 'PRECONDITION_FAILED',
  413: 'PAYLOAD_TOO_LARGE STORAGE_LIMIT_EXCEEDED',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  416: 'RANGE_NOT_SATISFIABLE',
  422: 'IDEMPOTENCY_MISMATCH',
  429: 'RATE_LIMIT_EXCEEDED AI_LIMIT_EXCEEDED',
  500: 'INTERNAL_ERROR',
  502: 'NOTION_ERROR AIRTABLE_ERROR AI_ERROR PROVIDER_ERROR STORAGE_ERROR',
  503: 'DATABASE_ERROR SERVICE_UNAVAILABLE',
  504: 'UPSTREAM_TIMEOUT',
};
const DETAIL_CODES = new Set(
  (
    'MISSING_FIELD UNKNOWN_FIELD WRONG_TYPE TOO_SHORT TOO_LONG TOO_SMALL TOO_LARGE TOO_MANY TOO_FEW ' +
    'INVALID_FORMAT INVALID_VALUE DUPLICATE NOT_FOUND CONFLICT'
  ).split(' '),
);

const ALIASES = {
  '/api/v1/auth/refresh-token': '/api/v1/auth/refresh',
  '/api/v1/auth/profile': '/api/v1/user/profile',
  '/api/v1/users/profile': '/api/v1/user/profile',
  '/api/v1/contact': '/api/v1/forms/contact',
  '/api/v1/demo-requests': '/api/v1/forms/demo',
  '/api/v1/forms/demo-requests': '/api/v1/forms/demo',
};
const VERSIONED = new Set([
  '/api/v1/auth/me',
  '/api/v1/user/profile',
  '/api/v1/user/settings',
  '/api/v1/folders/{id}',
  '/api/v1/notes/{id}',
  '/api/v1/admin/users/{id}',
  '/api/v1/chat/rooms/{id}',
  '/api/v1/conversations/{id}',
]);
const ROOT_DOCUMENTS = /^\/(api\/v1\/|api\/)?(health|metrics|api-docs|docs|openapi\.json)(\/|$)/;

const FIXED_HEADERS = {
  'x-api-version': /^v1$/,
  'server-timing': /(^|,\s*)app;dur=\d+(\.\d+)?(,|$)/,
  'x-request-id': /^[A-Za-z0-9._-]{1,128}$/,
  'x-content-type-options': /^nosniff$/,
  'x-frame-options': /^DENY$/,
  'x-xss-protection': /^0$/,
  'referrer-policy': /^no-referrer$/,
  'cross-origin-opener-policy': /^same-origin$/,
  'cross-origin-resource-policy': /^same-site$/,
  'permissions-policy': /^interest-cohort=\(\)$/,
};
const CSP = "default-src 'none'; frame-ancestors 'none'";
const DOCS_CSP = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

export const TIMESTAMP = /^\d{4}-(0\d|1[0-2])-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z$/;
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const UUIDV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/* What no answer may show: hashes and columns; and what no error text may show. */
const SECRETS = /password_?hash|token_?hash|csrf_?hash|refresh_?key|\$2[abxy]\$\d\d\$/i;
const INTERNALS =
  /\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PQ\w+|libpq|relation "|constraint "|SQLSTATE)\b|\/(usr|var|home|tmp|etc|root)\/|\.c:\d+/;

const escapePointer = (part) => encodeURIComponent(part.replace(/~/g, '~0').replace(/\//g, '~1'));
const sameKeys = (object, keys, what) => assert.deepEqual(Object.keys(object).sort(), [...keys].sort(), what);

const called = new Set();

export class Contract {
  constructor(server) {
    this.server = server;
    this.validators = new Map();
  }

  async load() {
    const res = await fetch(`${this.server.origin}/api/v1/openapi.json`, { headers: { connection: 'close' } });
    assert.equal(res.status, 200, 'GET /api/v1/openapi.json');
    this.doc = await res.json();
    this.ajv = new Ajv({
      strict: false,
      validateSchema: false,
      allErrors: true,
      formats: { email: true, 'idn-email': true },
    });
    addFormats(this.ajv, ['date-time', 'date', 'uuid', 'uri']);
    this.ajv.addSchema(this.doc, 'doc');
    this.templates = Object.keys(this.doc.paths).map((template) => ({ template, parts: template.split('/') }));
  }

  /** Path template of a concrete path, as in the document; null when it declares none. */
  template(pathname) {
    let full = pathname.replace(/(.)\/$/, '$1');
    if (/^\/api\/(?!v1(\/|$))/.test(full)) full = full.replace(/^\/api\//, '/api/v1/');
    if (full === '/api') full = '/api/v1';
    full = ALIASES[full] ?? full;
    if (this.doc.paths[full]) return full;
    const parts = full.split('/');
    return (
      this.templates.find(
        (t) =>
          t.parts.length === parts.length &&
          t.parts.every((part, n) => (part.startsWith('{') ? parts[n] !== '' : part === parts[n])),
      )?.template ?? null
    );
  }

  operation(method, template) {
    const item = this.doc.paths[template] ?? {};
    const names = { HEAD: ['head', 'get'], PATCH: ['patch', 'put'] }[method] ?? [method.toLowerCase()];
    const name = names.find((candidate) => item[candidate]);
    return name ? { name, op: item[name] } : null;
  }

  resolve(node, pointer) {
    if (!node?.$ref) return { node, pointer };
    const parts = node.$ref.replace(/^#\//, '').split('/');
    const target = parts.reduce(
      (at, part) => at[decodeURIComponent(part).replace(/~1/g, '/').replace(/~0/g, '~')],
      this.doc,
    );
    return { node: target, pointer: `/${parts.join('/')}` };
  }

  /** Validator for a JSON answer of one operation and status; throws when the document declares none. */
  validator(template, { name, op }, status) {
    const id = `${name} ${template} ${status}`;
    if (this.validators.has(id)) return this.validators.get(id);
    const key = [String(status), `${Math.trunc(status / 100)}XX`, 'default'].find(
      (candidate) => op.responses?.[candidate],
    );
    assert.ok(key, `openapi.json declares no answer ${status} for ${name.toUpperCase()} ${template}`);
    const base = `/paths/${escapePointer(template)}/${name}/responses/${key}`;
    const { node, pointer } = this.resolve(op.responses[key], base);
    const schema = node.content?.['application/json']?.schema;
    assert.ok(schema, `openapi.json has no JSON schema for ${id}`);
    const validate = this.ajv.compile({ $ref: `doc#${pointer}/content/${escapePointer('application/json')}/schema` });
    this.validators.set(id, validate);
    return validate;
  }

  note(method, template) {
    const line = `${method} ${template}\n`;
    if (called.has(line)) return;
    called.add(line);
    fs.appendFileSync(path.join(env.tmp, 'routes-called.txt'), line);
  }

  /** Throws an AssertionError when the answer breaks a general rule. */
  check(req, res) {
    const pathname = req.path.split('?')[0];
    const where = `${req.method} ${req.path.slice(0, 200)} -> ${res.status} ${(res.text ?? '').slice(0, 600)}`;
    const template = this.template(pathname);
    const operation = template && this.operation(req.method, template);
    if (operation) this.note(operation.name.toUpperCase(), template);
    this.checkHeaders(req, res, pathname, template, where);
    if (this.isMade(template, res)) {
      assert.match(res.headers['content-disposition'] ?? '(absent)', /^attachment; filename="[a-z0-9-]+\.(md|json)"$/, where);
      return;
    }
    if (this.isFile(template, res)) {
      assert.equal(res.headers['accept-ranges'], 'bytes', where);
      assert.equal(res.headers['content-encoding'], undefined, where);
      assert.match(res.headers['content-disposition'] ?? '(absent)', /^(attachment|inline); filename/, where);
      if (req.method === 'HEAD') assert.equal(res.raw.length, 0, `${where}: must have no body`);
      else assert.equal(Number(res.headers['content-length']), res.raw.length, where);
      return;
    }
    if (req.method === 'HEAD' || res.status === 304 || res.status === 204) {
      assert.equal(res.raw.length, 0, `${where}: must have no body`);
      return;
    }
    if (!(res.headers['content-type'] ?? '').startsWith('application/json')) {
      assert.match(pathname, ROOT_DOCUMENTS, `${where}: is not JSON (${res.headers['content-type']})`);
      return;
    }
    assert.ok(res.json !== undefined, `${where}: is not well-formed JSON`);
    assert.doesNotMatch(res.text, SECRETS, `${where}: shows a secret`);
    const enveloped = !ROOT_DOCUMENTS.test(pathname) || res.json?.success === false;
    if (enveloped) this.checkEnvelope(res, where);
    /* A route that another virtual host has switched off is declared in this one's document. */
    const reached = ![403, 405].includes(res.status) && res.json?.error?.code !== 'ROUTE_NOT_FOUND';
    if (operation && reached && !pathname.endsWith('/openapi.json')) {
      const validate = this.validator(template, operation, res.status);
      assert.ok(validate(res.json), `${where}: breaks its schema: ${JSON.stringify(validate.errors?.slice(0, 5))}`);
    }
    const { etag } = res.headers;
    if (etag && res.json?.data?.version) {
      assert.ok(
        ['', '-gzip', '-br'].some((coding) => etag === `"v${res.json.data.version}${coding}"`),
        `${where}: ETag ${etag}`,
      );
    }
  }

  /** Downloads: bytes, not enveloped, which clients may keep for an hour. */
  isFile(template, res) {
    return /\/download$/.test(template ?? '') && [200, 206].includes(res.status);
  }

  /** Files that are made when they are asked for. */
  isMade(template, res) {
    return /\/conversations\/\{id\}\/export$/.test(template ?? '') && res.status === 200;
  }

  checkHeaders(req, res, pathname, template, where) {
    for (const [name, pattern] of Object.entries(FIXED_HEADERS)) {
      assert.match(res.headers[name] ?? '(absent)', pattern, `${where}: header ${name}`);
    }
    const docs = /^\/(api-docs|api\/v1\/docs|api\/docs)(\/|$)/.test(pathname);
    const isDocument = res.status < 400 && (docs || pathname.endsWith('/openapi.json'));
    const page = docs && [200, 304].includes(res.status) && req.method !== 'OPTIONS';
    assert.equal(res.headers['content-security-policy'], page ? DOCS_CSP : CSP, `${where}: CSP`);
    const conditional =
      VERSIONED.has(template) && ['GET', 'HEAD'].includes(req.method) && [200, 304].includes(res.status);
    /* What everybody is told alike, but for him whose dead session it ends. */
    const open = /\/conversations(?!\/search)(\/[^/]+)?$/.test(template ?? '') && !res.headers['set-cookie'];
    const shared = open && 'x-cache' in res.headers && res.status < 400;
    const caching =
      (shared && 'public, no-cache') ||
      (conditional && 'private, no-cache') ||
      (this.isFile(template, res) && 'private, max-age=3600') ||
      (isDocument && ['GET', 'HEAD'].includes(req.method) && 'public, max-age=3600') ||
      'no-store';
    if (!(docs && [301, 302, 303, 307, 308].includes(res.status))) {
      assert.equal(res.headers['cache-control'], caching, `${where}: Cache-Control`);
    }
    assert.equal('strict-transport-security' in res.headers, req.tls === true, `${where}: HSTS belongs to TLS`);
    assert.equal(res.headers['x-powered-by'], undefined, `${where}: X-Powered-By`);
    if (res.status === 401)
      assert.match(res.headers['www-authenticate'] ?? '(absent)', /^Bearer realm="chronicle"/, where);
    if (res.status === 405) assert.ok(res.headers.allow, `${where}: Allow`);
    if ([429, 503].includes(res.status) && !pathname.includes('/health')) {
      assert.match(res.headers['retry-after'] ?? '(absent)', /^[1-9]\d*$/, `${where}: Retry-After`);
    }
  }

  checkEnvelope(res, where) {
    assert.equal(res.headers['content-type'], 'application/json; charset=utf-8', where);
    const body = res.json;
    assert.match(body.timestamp ?? '(absent)', TIMESTAMP, where);
    if (res.status < 400) {
      sameKeys(body, ['success', 'data', 'message', 'timestamp'], where);
      assert.equal(body.success, true, where);
      assert.equal(typeof body.message, 'string', where);
      return;
    }
    sameKeys(body, ['success', 'error', 'requestId', 'timestamp'], where);
    assert.equal(body.success, false, where);
    assert.equal(body.requestId, res.headers['x-request-id'], `${where}: requestId`);
    sameKeys(body.error, ['code', 'message', 'details'], where);
    assert.ok((CODES[res.status] ?? '').split(/\s+/).includes(body.error.code), `${where}: code of this status`);
    assert.equal(typeof body.error.message, 'string', where);
    assert.ok(Array.isArray(body.error.details) && body.error.details.length <= 100, `${where}: details`);
    for (const detail of body.error.details) {
      sameKeys(detail, ['field', 'message', 'code'], where);
      assert.ok(detail.field === null || typeof detail.field === 'string', where);
      if (res.status !== 502) assert.ok(DETAIL_CODES.has(detail.code), `${where}: detail code ${detail.code}`);
    }
    const words = [body.error.message, ...body.error.details.map((d) => d.message)].join('\n');
    assert.doesNotMatch(words, INTERNALS, `${where}: error text shows internals`);
  }
}
