// The measured workloads: what is asked, who is asked, and how answers are
// judged. A wrong answer fails the whole bench.
import { ask, expect, fields, sql } from './ask.mjs';
import { USERS, config, id, token } from './config.mjs';
import { checkPull, checkPush, verifyPushed } from './sync.mjs';

export const WORKLOADS = {
  live: {
    title: 'empty handler (GET /health/live)', part: 'empty', maker: 'get',
    path: '/health/live', servers: ['ours'], check: checkLive,
  },
  static: {
    title: 'the same bytes, a static file', label: 'httpd alone',
    part: 'empty', maker: 'get',
    path: '/empty.json', servers: ['ours'], check: checkLive,
  },
  note: {
    title: 'one note of 1 KB', part: 'note', maker: 'note',
    servers: ['ours', 'express', 'fastify', 'pgbench'], check: checkNote,
  },
  list: {
    title: 'list of 20 with total', part: 'list', maker: 'list',
    path: '/api/v1/notes',
    servers: ['ours', 'express', 'fastify', 'pgbench'], check: checkList,
  },
  create: {
    title: 'create', part: 'create', maker: 'create', writes: true,
    servers: ['ours', 'express', 'fastify', 'pgbench'], check: checkCreate,
    verify: verifyCreated,
  },
  update: {
    title: 'update with version row', part: 'update', maker: 'update',
    writes: true, servers: ['ours', 'express', 'fastify', 'pgbench'],
    check: checkUpdate, verify: verifyUpdated,
  },
};

/* Sync of a hundred notes under load, where a push shares the machine with few
   others, and from one client on an otherwise idle machine. */
const PULL = { title: 'pull of 100', part: 'pull', maker: 'pull',
  check: checkPull };
const PUSH = { title: 'push of 100', part: 'push', maker: 'push',
  writes: true, check: checkPush, verify: verifyPushed };
Object.assign(WORKLOADS, {
  pull: { ...PULL, servers: ['ours', 'express', 'fastify', 'pgbench'] },
  pullAlone: {
    ...PULL, title: 'pull of 100, one connection', connections: 1,
    servers: ['ours', 'express'],
  },
  push: {
    ...PUSH, connections: 8,
    servers: ['ours', 'express', 'expressWhole', 'fastify'],
  },
  pushAlone: {
    ...PUSH, title: 'push of 100, one connection', connections: 1,
    servers: ['ours', 'express', 'expressWhole'],
  },
});

/* Answers that are kept: against the same without a cache, and against doing
   nothing. */
const KEPT = {
  part: 'cached', subject: 'kept', servers: ['kept', 'ours', 'empty'],
  instead: { empty: { maker: 'get', path: '/health/live' } },
};
Object.assign(WORKLOADS, {
  keptList: {
    ...KEPT, title: 'list of 20 with total, kept (X-Cache: HIT)',
    maker: 'list', path: '/api/v1/notes', check: checkKept(checkList),
  },
  keptNote: {
    ...KEPT, title: 'one note of 1 KB, kept', maker: 'keptNote',
    check: checkKept(checkNote),
  },
  unchanged: {
    ...KEPT, title: '304: one note, If-None-Match', maker: 'unchanged',
    check: checkKept(checkUnchanged),
  },
  hosts: {
    title: 'one note, behind a balancer', part: 'hosts', subject: 'two',
    maker: 'note', servers: ['two', 'one'], check: checkNote,
  },
});

/* What DESIGN promises: ours divided by the other. */
export const TARGETS = {
  note: { express: 8, fastify: 5, pgbench: 0.30 },
  list: { express: 6, fastify: 4, pgbench: 0.50 },
  create: { express: 3.5, fastify: 2.5, pgbench: 0.65 },
  pull: { pgbench: 0.6 },
  push: { express: 8 },
  keptList: { ours: 1.8, empty: 0.7 },
  keptNote: { ours: 1.8, empty: 0.7 },
  unchanged: { ours: 1.8, empty: 0.7 },
};

/* The 95th percentile that ours stays below, in milliseconds. */
export const LIMITS = { pullAlone: 10, pushAlone: 60 };

const ITEM = ['clientUpdatedAt', 'contentPlain', 'createdAt', 'deletedAt',
  'folder', 'folderId', 'id', 'isFavorite', 'isPinned', 'syncStatus', 'tags',
  'title', 'updatedAt', 'version', 'wordCount'];
const NOTE = [...ITEM, 'content'].sort();
const PAGE = ['hasNext', 'hasPrev', 'limit', 'nextCursor', 'page', 'total',
  'totalPages'];

function expectNote(note, user) {
  expect(fields(note, NOTE) && fields(note.folder, ['color', 'id', 'name'])
    && note.folderId === id('folder', user) && note.deletedAt === null
    && note.folder.id === note.folderId && note.wordCount > 50
    && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(note.updatedAt)
    && note.content === `<p>${note.contentPlain}</p>`
    && note.tags.join() === 'bench,load', 'note', note);
}

async function checkLive(server) {
  const path = '/health/live';
  const reply = await fetch(`${server.base}${path}`);
  const text = await reply.text();
  expect(reply.status === 200 && JSON.parse(text).status === 'ALIVE',
    path, text);
  return text.length;
}

async function checkNote(server, user) {
  const note = id('note', 10 * user * (user - 1) + 7);
  const { data, headers, bytes } =
    await ask(server, user, `/api/v1/notes/${note}`);
  expectNote(data, user);
  expect(data.id === note && headers.get('etag') === `"v${data.version}"`,
    'note', data);
  return bytes;
}

async function checkList(server, user) {
  const { data, headers, bytes } = await ask(server, user, '/api/v1/notes');
  const { items, pagination } = data;
  expect(fields(pagination, PAGE) && pagination.total === 20 * user
    && pagination.totalPages === user && pagination.hasNext === user > 1
    && (pagination.nextCursor !== null) === user > 1
    && items.length === 20, 'list', pagination);
  for (const item of items) expect(fields(item, ITEM), 'list item', item);
  expect(items.every((item, i) =>
    i === 0 || item.updatedAt <= items[i - 1].updatedAt), 'order of the list',
  items.map((item) => item.updatedAt));
  expect(server.name === 'kept' || headers.get('x-cache') !== 'HIT',
    'this list is to be measured without a cache', [...headers]);
  return bytes;
}

/* The note that the workload asks for, again and again. */
async function checkUnchanged(server, user) {
  const note = id('note', 10 * user * (user - 1) + 1);
  const reply = await fetch(`${server.base}/api/v1/notes/${note}`, {
    headers: {
      authorization: `Bearer ${token(user)}`, 'if-none-match': '"v1"',
    },
  });
  expect(reply.status === 304 && (await reply.text()) === '', '304', reply);
  return 0;
}

/* What is kept is kept from the second time on, once the bus has settled. */
function checkKept(check) {
  return async (server, user) => {
    if (server.name === 'empty') return checkLive(server);
    const bytes = await check(server, user);
    const path = `${server.base}/api/v1/notes`;
    const headers = { authorization: `Bearer ${token(user)}` };
    for (let i = 0; server.name === 'kept'; i++) {
      const reply = await fetch(path, { headers });
      await reply.arrayBuffer();
      if (reply.headers.get('x-cache') === 'HIT') break;
      expect(i < 100, 'the cache is never hit', [...reply.headers]);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    return bytes;
  };
}

const text = 'lorem ipsum dolor sit '.repeat(45) + 'amet';

async function checkCreate(server, user) {
  const { data, headers, bytes } = await ask(server, user, '/api/v1/notes', {
    method: 'POST', status: 201,
    body: {
      title: 'Checked', content: `<p>${text}</p>`,
      folderId: id('folder', user), tags: ['bench', 'load'],
    },
  });
  expectNote(data, user);
  expect(data.title === 'Checked' && data.contentPlain === text
    && data.wordCount === 181 && data.version === 1
    && headers.get('location') === `/api/v1/notes/${data.id}`, 'new note',
  data);
  const { data: again } = await ask(server, user, `/api/v1/notes/${data.id}`);
  expect(JSON.stringify(again) === JSON.stringify(data), 'new note, read',
    again);
  return bytes;
}

async function checkUpdate(server, user) {
  const path = `/api/v1/notes/${id('note', 10 * user * (user - 1) + 5)}`;
  const { data: old } = await ask(server, user, path);
  const { data, bytes } = await ask(server, user, path, {
    method: 'PUT',
    body: { title: `Checked ${old.version}`, content: `<p>${text}</p>` },
  });
  expectNote(data, user);
  expect(data.version === old.version + 1 && data.contentPlain === text
    && data.updatedAt > old.updatedAt, 'updated note', data);
  return bytes;
}

/* Answers of a few users, one after another; gives the mean size. */
export async function checkAnswers(server, workload) {
  const users = [1, 2, 17, USERS];
  let bytes = 0;
  for (const user of users) bytes += await workload.check(server, user);
  return bytes / users.length;
}

/* At the end of a run, one request per connection may be under way. */
function expectCount(found, result, what) {
  const extra = found - result.written;
  expect(extra >= 0 && extra <= 4 * config.connections, what,
    { found, answered: result.written });
}

const titled = (word, runs) =>
  `title ~ '^${word} (${runs.join('|')})\\.\\d+\\.\\d{10}$'`;

async function verifyCreated(result) {
  const found = await sql(`SELECT count(*) FROM notes n
    WHERE ${titled('Created', result.runs)} AND version = 1
      AND length(content) = 1007 AND search IS NOT NULL
      AND change_seq <= (SELECT change_seq FROM users u
                          WHERE u.id = n.user_id)`);
  expectCount(Number(found), result, 'notes created');
  const twice = await sql(`SELECT count(*) FROM (SELECT 1 FROM notes
    GROUP BY user_id, change_seq HAVING count(*) > 1) t`);
  expect(twice === '0', 'change numbers given twice', twice);
}

async function verifyUpdated(result) {
  const [found, steps] = (await sql(`SELECT
    (SELECT count(*) FROM note_versions), sum(version - 1) FROM notes`))
    .split('|').map(Number);
  expect(found === steps, 'version rows', { found, steps });
  expectCount(found - result.checked, result, 'notes updated');
}
