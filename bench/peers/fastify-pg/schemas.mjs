// JSON schemas of the endpoints: input for Ajv, output for Fastify's
// own serialiser.

const UUID = '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$';
const LINE = '^[^\\u0001-\\u001f\\u007f]*$';
const TEXT = '^[^\\u0001-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$';

const uuid = { type: 'string', pattern: UUID };
const nullable = (schema) => ({ ...schema, nullable: true });
const string = { type: 'string' };
const integer = { type: 'integer' };
const boolean = { type: 'boolean' };
const time = { type: 'string' };

const update = {
  title: { type: 'string', maxLength: 500, pattern: LINE },
  content: nullable({ type: 'string', maxLength: 2097152, pattern: TEXT }),
  folderId: nullable(uuid),
  tags: {
    type: 'array', maxItems: 50,
    items: { type: 'string', minLength: 1, maxLength: 50, pattern: LINE },
  },
  isPinned: boolean,
  isFavorite: boolean,
  clientUpdatedAt: nullable({ type: 'string', format: 'date-time' }),
};

const strict = (properties, required = []) => ({
  type: 'object', additionalProperties: false, properties, required,
});

const params = strict({ id: uuid }, ['id']);

const itemFields = {
  id: string,
  folderId: nullable(string),
  folder: nullable({
    type: 'object',
    properties: { id: string, name: string, color: nullable(string) },
  }),
  title: string,
  contentPlain: string,
  wordCount: integer,
  isPinned: boolean,
  isFavorite: boolean,
  tags: { type: 'array', items: string },
  version: integer,
  syncStatus: string,
  clientUpdatedAt: nullable(time),
  createdAt: time,
  updatedAt: time,
  deletedAt: nullable(time),
};

const envelope = (data) => ({
  type: 'object',
  properties: { success: boolean, data, message: string, timestamp: time },
});

const item = { type: 'object', properties: itemFields };
const note = {
  type: 'object',
  properties: { ...itemFields, content: nullable(string) },
};
const page = {
  type: 'object',
  properties: {
    items: { type: 'array', items: item },
    pagination: {
      type: 'object',
      properties: {
        page: integer, limit: integer, total: integer, totalPages: integer,
        hasNext: boolean, hasPrev: boolean, nextCursor: nullable(string),
      },
    },
  },
};

export const getNote = {
  params, querystring: strict({}), response: { 200: envelope(note) },
};
export const listNotes = {
  querystring: strict({
    page: { type: 'integer', minimum: 1, maximum: 10000, default: 1 },
    limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
  }),
  response: { 200: envelope(page) },
};
export const createNote = {
  body: strict({ id: uuid, ...update }), response: { 201: envelope(note) },
};
export const updateNote = {
  params, body: strict(update), response: { 200: envelope(note) },
};

const deviceId = { type: 'string', minLength: 1, maxLength: 255 };
const dateTime = nullable({ type: 'string', format: 'date-time' });
const list = (items) => ({ type: 'array', items });
const { folder: _, ...syncNoteFields } = note.properties;
const syncNote = { type: 'object', properties: syncNoteFields };
const syncFolder = {
  type: 'object',
  properties: {
    id: string, name: string, color: nullable(string),
    icon: nullable(string), position: integer, version: integer,
    createdAt: time, updatedAt: time, deletedAt: nullable(time),
  },
};
const place = { cursor: string, syncedAt: time };

export const pullChanges = {
  body: strict({
    deviceId, cursor: nullable({ type: 'string', maxLength: 512 }),
    lastSyncAt: dateTime,
    limit: { type: 'integer', minimum: 1, maximum: 1000, default: 500 },
  }, ['deviceId']),
  response: {
    200: envelope({
      type: 'object',
      properties: {
        notes: list(syncNote), folders: list(syncFolder), hasMore: boolean,
        ...place,
      },
    }),
  },
};
export const pushChanges = {
  body: strict({
    deviceId,
    notes: {
      type: 'array', maxItems: 500,
      items: strict({
        id: uuid, baseVersion: { type: 'integer', minimum: 0 },
        updatedAt: dateTime, createdAt: dateTime, deletedAt: dateTime,
        ...update,
      }, ['id']),
    },
    folders: { type: 'array', maxItems: 0 },
  }, ['deviceId']),
  response: {
    200: envelope({
      type: 'object',
      properties: {
        notes: list({
          type: 'object',
          properties: {
            id: string, status: string, version: nullable(integer),
            unchanged: boolean, item: nullable(syncNote),
            error: nullable({ type: 'object', additionalProperties: true }),
          },
        }),
        folders: list(syncFolder),
        conflicts: list({ type: 'object', additionalProperties: true }),
        summary: {
          type: 'object',
          properties: {
            applied: integer, conflicts: integer, rejected: integer,
          },
        },
        ...place,
      },
    }),
  },
};
