/* Starts an httpd with the module on a fresh database, watches its log and its children, and stops it. */
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn, spawnSync } from 'node:child_process';
import { after, afterEach, before, describe } from 'node:test';
import { writeConf } from './conf.mjs';
import { Client } from './client.mjs';
import { Contract } from './contract.mjs';
import { newUser } from './accounts.mjs';
import { connect, createDatabase, dropDatabase } from './postgres.mjs';
import { env, forget, inTime, keepTrack, makeDir, patience, sleep, until, within } from './env.mjs';

/** A free port below the range from which the system takes ports for clients. */
export async function freePort() {
  for (;;) {
    const port = 20000 + crypto.randomInt(12000);
    const free = await new Promise((resolve) => {
      const probe = net.createServer();
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** pids of all descendants of a process. */
function descendants(pid) {
  const children = new Map();
  for (const name of fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      /* it ended meanwhile */
    }
  }
  const walk = (id) => (children.get(id) ?? []).flatMap((child) => [child, ...walk(child)]);
  return walk(pid);
}

/* Our own ErrorLogFormat, httpd's default one (before the configuration is read), or neither. */
const LEVEL = /^\S+ \S+ \S+?:(\w+) \[pid \d+\]|^\[[^\]]+\] \[[\w-]+:(\w+)\]/;
const CALM = new Set(['notice', 'info', 'debug', ...Array.from({ length: 8 }, (_, n) => `trace${n + 1}`)]);

const CALM_STATES = new Set(['01', '03', '06', '0A']); /* established, being opened, TIME_WAIT, listening */

/** How many connections to these ports of this machine are being closed right now. */
function closing(ports) {
  const local = new Set(ports.map((port) => port.toString(16).toUpperCase().padStart(4, '0')));
  return fs
    .readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, from, , state]) => from && local.has(from.split(':')[1]) && !CALM_STATES.has(state)).length;
}

const DEFAULTS = {
  mpm: 'event',
  children: 2,
  threads: 32,
  vhosts: [],
  listen: [],
  head: [],
  modules: [],
  directives: [],
  limits: {},
  chronicle: true,
  load: true,
  dbMax: 4,
  dbOptions: '-c statement_timeout=20s',
  env: {},
  ready: true,
};

export class Server {
  constructor(options = {}) {
    Object.assign(this, DEFAULTS, options);
    const random = () => crypto.randomBytes(24).toString('hex');
    this.secrets = { jwt: random(), refresh: random(), ...options.secrets };
    this.expected = [/server reached MaxRequestWorkers/]; /* the tests open many connections */
    /* At TERM the event MPM closes sockets that its workers may be putting aside at that moment. */
    this.expected.push(/AH03093: process_socket/);
    /* A child gets 9 s to end, of which it is reminded after 3; on a slow machine, or with a check for leaks at its
     * end, it takes that long. One that had to be killed is named by AH00046. */
    this.expected.push(/AH00045: child process \d+ still did not exit, sending a SIGTERM/);
    this.clients = [];
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }
  get host() {
    return `127.0.0.1:${this.port}`;
  }

  /** Prepares database and configuration without starting. */
  async prepare() {
    this.dir = makeDir('httpd-');
    this.pg ??= env.pg;
    if (this.db !== false && !this.database) {
      this.database = await createDatabase(this.pg);
      this.ownsDatabase = true;
    }
    this.port = await freePort();
    if (this.tlsPort === true) this.tlsPort = await freePort();
    this.writeConf();
  }

  writeConf() {
    const resolve = (lines) => lines.map((line) => (typeof line === 'function' ? line(this) : line));
    this.conf = writeConf(this.dir, {
      ...this,
      directives: resolve(this.directives),
      head: resolve(this.head),
      vhosts: this.vhosts.map((v) => ({
        ...v,
        lines: resolve(v.lines),
        port: typeof v.port === 'function' ? v.port(this) : v.port,
      })),
    });
  }

  processEnv() {
    const vars = { ...process.env, ...this.env };
    if (env.under.length) this.asan = `${env.asanLog}.${path.basename(this.dir)}`;
    if (env.sanitize) {
      /* Reports of this server only: two test files run at a time. */
      this.asan = `${env.asanLog}.${path.basename(this.dir)}`;
      const add = (name, ...options) => {
        vars[name] = [vars[name], ...options].filter(Boolean).join(':');
      };
      vars.LD_PRELOAD = env.preload;
      /* Slow unwinding, because httpd has no frame pointers, and suppressions go by function. */
      add('ASAN_OPTIONS', 'fast_unwind_on_malloc=0', `log_path=${this.asan}`);
      add('TSAN_OPTIONS', `log_path=${this.asan}`);
      add('UBSAN_OPTIONS', 'print_stacktrace=1', `log_path=${this.asan}`);
      add(
        'LSAN_OPTIONS',
        'print_suppressions=0',
        `suppressions=${fileURLToPath(new URL('lsan.supp', import.meta.url))}`,
      );
    }
    return vars;
  }

  /** httpd -t (or other arguments) with this configuration: {status, output}. */
  run(...args) {
    const done = spawnSync(env.httpd, ['-f', this.conf, ...args], { encoding: 'utf8', env: this.processEnv() });
    return { status: done.status, output: done.stdout + done.stderr };
  }

  async start() {
    if (!this.conf) await this.prepare();
    for (let round = 0; ; round += 1) {
      try {
        await this.launch();
        break;
      } catch (error) {
        if (round > 3 || !/AH00072|could not bind/.test(error.message)) throw error;
        this.port = await freePort();
        this.writeConf();
      }
    }
    if (this.ready) {
      this.contract = new Contract(this);
      await this.contract.load();
    }
    return this;
  }

  async launch() {
    this.stderr = '';
    const vars = this.processEnv();
    const words = [...env.under.map((word) => word.replace('REPORT', this.asan)), env.httpd];
    this.child = spawn(words[0], [...words.slice(1), '-DFOREGROUND', '-f', this.conf], {
      env: vars,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true /* prefork ends its children by a signal to the whole process group */,
    });
    keepTrack(this.child.pid);
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.exited.then(() => forget(this.child.pid));
    this.child.stderr.on('data', (data) => {
      this.stderr += data;
    });
    const ended = () => this.child.exitCode !== null || this.child.signalCode !== null;
    const up = async () => {
      if (ended()) throw new Error(`httpd did not start:\n${this.stderr}\n${this.log().slice(-3000)}`);
      return this.ready ? (await this.probe('/health/ready')) === 200 : this.probe('/');
    };
    await until(up, 60000, `the server is ready\n${this.log().slice(-3000)}`);
  }

  /** Status of a plain GET without any checking; 0 when nobody answers. */
  async probe(target) {
    try {
      return (await fetch(this.origin + target, { headers: { connection: 'close' } })).status;
    } catch {
      return 0;
    }
  }

  log() {
    const file = path.join(this.dir, 'error.log');
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  }

  accessLog() {
    return fs.readFileSync(path.join(this.dir, 'access.log'), 'utf8');
  }

  /** Announces log lines that this test provokes. */
  expectLog(...patterns) {
    this.expected.push(...patterns);
  }

  isUnexpected(line) {
    if (!line.trim()) return false;
    const level = LEVEL.exec(line);
    const crash = /AH0005[12]: .*exit signal (?!Killed)/.test(line); /* told at notice */
    return (
      (crash || !CALM.has(level?.[1] ?? level?.[2])) && !this.expected.some((pattern) => pattern.test(line))
    );
  }

  unexpectedLog() {
    return `${this.stderr}\n${this.log()}`.split('\n').filter((line) => this.isUnexpected(line));
  }

  /** Judges what was logged since the last call, so that the test is named that did it. */
  judgeLog() {
    const file = this.dir && path.join(this.dir, 'error.log');
    if (!file || !fs.existsSync(file)) return;
    const { size } = fs.statSync(file);
    const from = this.judged ?? 0;
    if (size <= from) return;
    const part = Buffer.alloc(size - from);
    const fd = fs.openSync(file, 'r');
    fs.readSync(fd, part, 0, part.length, from);
    fs.closeSync(fd);
    const end = part.lastIndexOf('\n') + 1; /* the rest of a line is judged when it is whole */
    this.judged = from + end;
    const lines = part.toString('utf8', 0, end).split('\n').filter((line) => this.isUnexpected(line));
    if (!lines.length) return;
    this.expected.push(...lines.map((line) => ({ test: (other) => other === line }))); /* named once is enough */
    throw new Error(`${lines.length} log lines that this test did not announce:\n${lines.slice(0, 20).join('\n')}`);
  }

  processes() {
    return descendants(this.child.pid);
  }

  signal(name) {
    process.kill(this.child.pid, name);
  }

  async sql(text, params) {
    if (!this.connection) {
      this.connection = await connect(this.pg, this.database);
      this.connection.once('end', () => {
        this.connection = undefined;
      });
    }
    return (await this.connection.query(text, params)).rows;
  }

  /** How many statements wait for a lock that others hold. */
  async waiting() {
    const waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    return (await this.sql(waits)).length;
  }

  /** A database session of the test's own, for locks; closed by stop(). */
  async session() {
    const client = await connect(this.pg, this.database);
    this.sessions = [...(this.sessions ?? []), client];
    return client;
  }

  client(options) {
    const client = new Client(this, options);
    this.clients.push(client);
    return client;
  }

  get anon() {
    this.anonymous ??= this.client();
    return this.anonymous;
  }

  /** Registers n users and gives a client for each; few at a time, since passwords take long to hash. */
  async users(n) {
    const users = [];
    while (users.length < n) {
      users.push(...(await Promise.all(Array.from({ length: Math.min(4, n - users.length) }, () => newUser(this)))));
    }
    return users;
  }
  async user(fields) {
    return newUser(this, fields);
  }

  /**
   * Waits until no worker is about to close a connection. At TERM the event MPM shuts the sockets of its workers,
   * and a worker that frees one at that moment makes the child crash, with or without our module.
   */
  async calmDown() {
    const ports = [this.port, this.tlsPort].filter((port) => typeof port === 'number');
    for (let round = 0; round < 50; round += 1) {
      await sleep(20);
      if (!closing(ports)) break;
    }
    await sleep(20);
  }

  async stop() {
    const problems = [];
    for (const client of this.clients) client.close();
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) {
      await this.calmDown();
      const children = this.processes();
      this.child.kill('SIGTERM');
      const done = await within(30000 * patience, this.exited);
      if (!done) {
        problems.push('httpd did not stop within 30 s of TERM');
        this.child.kill('SIGKILL');
      } else if (done.code !== 0) {
        problems.push(`httpd ended with ${done.code ?? done.signal}`);
      }
      const alive = () => children.filter((pid) => fs.existsSync(`/proc/${pid}/exe`));
      await inTime(5000, () => !alive().length); /* the kernel takes its time to bury them */
      const left = alive();
      if (left.length) problems.push(`children left behind: ${left.join(' ')}`);
    } else if (this.child) {
      problems.push('httpd had ended by itself');
    }
    problems.push(...this.sanitizerReports());
    const lines = this.child ? this.unexpectedLog() : [];
    if (lines.length)
      problems.push(`${lines.length} log lines that no test announced:\n${lines.slice(0, 20).join('\n')}`);
    for (const session of [this.connection, ...(this.sessions ?? [])]) await session?.end().catch(() => {});
    if (this.ownsDatabase) await dropDatabase(this.pg, this.database);
    if (problems.length) throw new Error(`${problems.join('\n')}\n(${this.dir})`);
    if (this.dir && !process.env.CH_TEST_KEEP) fs.rmSync(this.dir, { recursive: true, force: true });
  }

  sanitizerReports() {
    if (!this.asan) return [];
    const dir = path.dirname(this.asan);
    return fs
      .readdirSync(dir)
      .filter((name) => name.startsWith(path.basename(this.asan)))
      .map((name) => [name, fs.readFileSync(path.join(dir, name), 'utf8')])
      .filter(([, text]) => text.trim())
      .map(([name, text]) => `sanitizer: ${name}\n${text.slice(0, 4000)}`);
  }
}

export async function startServer(options) {
  return new Server(options).start();
}

/** A describe() with a running server: define(server) registers the tests. */
export function serverSuite(title, options, define) {
  describe(title, () => {
    const server = new Server(options);
    before(() => server.start());
    after(() => server.stop());
    afterEach(() => server.judgeLog());
    define(server);
  });
}
