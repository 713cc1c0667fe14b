// pgbench -M prepared on the statements of the product, taken from
// sql/queries through the product's own generator, with parameters that vary
// as those of the load.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { config, id } from './config.mjs';
import { output, stopwatch } from './load.mjs';
import { sql } from './ask.mjs';

const CLIENTS = 8;
const queries = join(config.root, 'sql/queries');
const BODY = 'lorem ipsum dolor sit '.repeat(45) + 'amet';

/* Parameter names by statement, from the "-- name:" lines, which may go on
   over several comment lines. */
function signatures(files) {
  const found = new Map();
  for (const file of files) {
    let open = '';
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      if (line.startsWith('-- name: ')) open = line;
      else if (open) open += line.replace(/^--/, '');
      const whole = open.match(/^-- name: (\w+) :\w+ \((.*)\)\s*$/);
      if (!whole) continue;
      found.set(whole[1], whole[2].split(',').map((arg) => {
        const [name, type] = arg.trim().split(/\s+/);
        return { name, type };
      }));
      open = '';
    }
  }
  return found;
}

/* Every statement as the product prepares it: {name, text}, one per variant.
   Its own generator does it, as PREPARE name (types) AS text; */
async function statements(files) {
  const text = await output('awk', ['-f',
    join(config.root, 'sql/sqlgen.awk'), '-v', 'out=prepare', ...files]);
  return text.split(/^PREPARE /m).slice(1).map((part) => ({
    name: part.match(/^\w+/)[0],
    text: part.slice(part.indexOf(' AS\n') + 4).replace(/;\s*$/, ''),
  }));
}

const uuid = (kind, n) =>
  `('${id(kind, 0).slice(0, -12)}' || lpad(${n}::text, 12, '0'))::uuid`;

/* What stands for a parameter, by its name: an expression of pgbench's
   variables. One that isn't named here is NULL, false or zero. */
const VALUES = {
  user_id: uuid('user', ':user'),
  id: uuid('note', ':note'),
  title: ':title',
  content: ':content',
  plain: ':plain',
  words: ':words',
  tags: ':tags',
  want_total: ':yes',
  content_given: ':yes',
  fetch: ':limit',
};

const NONE = { bool: ':no', int: ':zero', bigint: ':zero' };

/* :nothing is never set, which pgbench -M prepared sends as NULL. */
function value({ name, type }, special) {
  const own = special[name] ?? VALUES[name];
  const bare = type.replace('?', '')
    .replace(/^ts$/, 'timestamptz').replace(/^json$/, 'jsonb');
  return `${own ?? NONE[type] ?? ':nothing'}::${bare}`;
}

/* pgbench takes :word for a variable even inside quotes. */
const shield = (text) => text.replace(/'(?:[^']|'')*'/g, (literal) =>
  (/:\w/.test(literal)
    ? `U&${literal.replaceAll('\\', '\\\\').replaceAll(':', '\\003a')}`
    : literal));

const SCRIPTS = {
  note: { statement: 'note_get', special: {} },
  list: {
    statement: 'note_page_desc_live', rows: 20,
    special: { tags: ':nothing' },
  },
  create: {
    statement: 'note_create',
    special: {
      id: uuid('note', ':fresh'), folder_id: uuid('folder', ':user'),
      folder_given: ':yes',
    },
  },
  update: {
    statement: 'note_update',
    special: { title: '(:title || :fresh)', tags: ':nothing' },
  },
  /* users with as many notes as a page has */
  pull: {
    statement: 'sync_pull', first: 5, rows: 100,
    special: { device: "('device-' || :note % 4)", fetch: '100',
      starts: ':yes' },
  },
};

const setup = (first = 1) => `\\set user random(${first}, 50)
\\set note 10 * :user * (:user - 1) + random(1, 20 * :user)
\\set seq :seq + 1
\\set fresh 100000000000 + 1000000000 * :client_id + :seq
`;

/* The script of one workload, and a check of what its statement gives. */
async function script(workload) {
  const { statement, special } = SCRIPTS[workload];
  const files = readdirSync(queries).filter((name) => name.endsWith('.sql'))
    .map((name) => join(queries, name));
  const known = await statements(files);
  const found = known.find(({ name }) => name === statement);
  if (!found) throw new Error(`no statement ${statement} in sql/queries`);
  const signature = [...signatures(files)]
    .filter(([name]) => found.name.startsWith(name))
    .sort((a, b) => b[0].length - a[0].length)[0][1];
  const values = signature.map((arg) => value(arg, special));
  const text = shield(found.text)
    .replace(/\$(\d+)/g, (_, n) => `(${values[n - 1]})`);
  return { name: found.name, text };
}

const STRINGS = {
  title: 'Created by pgbench', content: `<p>${BODY}</p>`, plain: BODY,
  words: '181', tags: '{bench,load}', limit: '20', zero: '0',
  yes: 't', no: 'f',
};

/* Runs it once in psql, with the variables as literals: rows must come. */
async function expectRows({ name, text }, workload) {
  const values = { ...STRINGS, user: 7, note: 430, fresh: 999999999999 };
  const literal = text.replace(/(?<!:):(\w+)/g, (_, word) =>
    (typeof values[word] === 'string'
      ? `'${values[word]}'` : String(values[word] ?? 'NULL')));
  const rows = (await sql(`BEGIN; ${literal}; ROLLBACK`)).split('\n').length;
  if (rows < (SCRIPTS[workload].rows ?? 1)) {
    throw new Error(`${name} gives ${rows} rows\n${literal}`);
  }
}

export async function pgbench(workload, seconds = config.seconds) {
  const statement = await script(workload);
  await expectRows(statement, workload);
  const file = join(config.dir, `pgbench-${workload}.sql`);
  writeFileSync(file, `${setup(SCRIPTS[workload].first)}${statement.text};\n`);
  const args = ['-n', '-M', 'prepared', '-c', String(CLIENTS), '-j', '2',
    '-f', file, ...Object.entries({ ...STRINGS, seq: '0' })
      .flatMap(([name, text]) => ['-D', `${name}=${text}`])];
  const env = { ...process.env, PGOPTIONS: config.peerOptions };
  await output('pgbench', [...args, '-D', 'seq=500000000', '-T', '2',
    config.database], env);
  const spent = stopwatch();
  const text = await output('pgbench', [...args, '-T', String(seconds),
    config.database], env);
  const done = Number(text.match(/actually processed: (\d+)/)[1]);
  const failed = Number(text.match(/failed transactions: (\d+)/)?.[1] ?? 0);
  if (failed > 0 || done === 0) throw new Error(`pgbench: ${text}`);
  return {
    statement: statement.name,
    rate: Number(text.match(/tps = ([\d.]+)/)[1]),
    ...spent(done),
  };
}
