/* Writes the httpd.conf of a test server. */
import fs from 'node:fs';
import path from 'node:path';
import { env, moduleState } from './env.mjs';

export const RATE_CLASSES = [
  'api',
  'auth',
  'search',
  'upload',
  'ai',
  'provision',
  'provgen',
  'chat',
  'forms',
  'webhook',
];

const MODULES = [
  'unixd',
  'watchdog',
  'log_config',
  'logio',
  'version',
  'authz_core',
  'authz_host',
  'mime',
  'dbd',
  'deflate',
  'reqtimeout',
  'slotmem_shm',
  'socache_shmcb',
];

function loadLines(names) {
  return names.flatMap((name) =>
    moduleState(`mod_${name}`) === 'shared'
      ? [`LoadModule ${name}_module ${path.join(env.modules, `mod_${name}.so`)}`]
      : [],
  );
}

function mpmLines({ mpm, children, threads }) {
  const slots = 2 * children + 2;
  if (mpm === 'prefork') {
    return [
      `StartServers ${children}`,
      `MinSpareServers ${children}`,
      `MaxSpareServers ${children}`,
      `ServerLimit ${slots}`,
      `MaxRequestWorkers ${children}`,
    ];
  }
  return [
    `StartServers ${children}`,
    `ServerLimit ${slots}`,
    `ThreadLimit ${threads}`,
    `ThreadsPerChild ${threads}`,
    `MinSpareThreads 1`,
    `MaxSpareThreads ${children * threads}`,
    `MaxRequestWorkers ${children * threads}`,
    'MaxConnectionsPerChild 0',
  ];
}

/** The first words by which a later line replaces a default one. */
function key(line) {
  const words = line.trim().split(/\s+/);
  return words[0].toLowerCase() === 'chronicleratelimit'
    ? `${words[0]} ${words[1]}`.toLowerCase()
    : words[0].toLowerCase();
}

/** Our own directives: defaults (no limits, fresh secrets), unless the test gives them. */
export function chronicleLines(dir, { secrets, limits, directives }) {
  const given = new Set(directives.map(key));
  const rates =
    limits === 'default' ? [] : RATE_CLASSES.map((name) => `ChronicleRateLimit ${name} ${limits[name] ?? 'off'}`);
  return [
    'Chronicle On',
    `ChronicleJwtSecret "1:${secrets.jwt}"`,
    `ChronicleRefreshSecret "${secrets.refresh}"`,
    ...(env.docs ? [`ChronicleDocsDir "${env.docs}"`] : []),
    `ChronicleStorage fs "${dir}/files"`,
    'ChronicleDbWait 8000' /* for a machine that is slow: who tests the wait says how long it is */,
    ...rates,
  ]
    .filter((line) => !given.has(key(line)))
    .concat(directives);
}

export function dbLines({ pg, database, dbMax, dbOptions, dbHost }) {
  const params = `host=${dbHost ?? pg.host} port=${pg.port} dbname=${database} user=${pg.user} connect_timeout=20`;
  return [
    'DBDriver pgsql',
    `DBDParams "${params} options='${dbOptions} -c client_min_messages=warning'"`,
    `DBDMin ${Math.min(4, dbMax)}`,
    `DBDKeep ${dbMax}`,
    `DBDMax ${dbMax}`,
  ];
}

/**
 * Writes <dir>/httpd.conf. `chronicle: false` leaves our directives out (the module is still loaded);
 * `vhosts` is a list of {name, lines}; `head` are lines before everything of ours.
 */
export function writeConf(dir, o) {
  const docroot = path.join(dir, 'htdocs');
  fs.mkdirSync(docroot, { recursive: true });
  fs.writeFileSync(
    path.join(dir, 'mime.types'),
    'text/html html\ntext/plain txt\ntext/css css\napplication/javascript js\n',
  );
  const own = [`LoadModule chronicle_module "${env.so}"`];
  const lines = [
    ...(o.load && o.loadFirst ? own : []),
    ...loadLines([`mpm_${o.mpm}`, ...MODULES, ...o.modules]),
    ...(o.load && !o.loadFirst ? own : []),
    `ServerRoot "${dir}"`,
    `ServerName 127.0.0.1:${o.port}`,
    `Listen 127.0.0.1:${o.port}`,
    ...o.listen.map((address) => `Listen ${address}:${o.port}`),
    `PidFile "${dir}/httpd.pid"`,
    `DefaultRuntimeDir "${dir}"`,
    `TypesConfig "${dir}/mime.types"`,
    `DocumentRoot "${docroot}"`,
    ...(env.root ? ['User www-data', 'Group www-data'] : []),
    `ErrorLog "${dir}/error.log"`,
    'ErrorLogFormat "%{cu}t %-m:%l [pid %P] %M"',
    'LogLevel info',
    `CustomLog "${dir}/access.log" "%h %l %{chronicle-user}n %t \\"%r\\" %>s %b %{chronicle-route}n %P"`,
    'KeepAliveTimeout 15',
    'MaxKeepAliveRequests 0',
    'Timeout 60',
    'GracefulShutdownTimeout 10',
    ...mpmLines(o),
    ...(o.db === false ? [] : dbLines(o)),
    ...o.head,
    ...(o.chronicle ? chronicleLines(dir, o) : o.directives),
    ...o.vhosts.flatMap(({ name, port, lines: inner }) => [
      `<VirtualHost *:${port ?? o.port}>`,
      `ServerName ${name}`,
      ...inner,
      '</VirtualHost>',
    ]),
  ];
  const file = path.join(dir, 'httpd.conf');
  fs.writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
