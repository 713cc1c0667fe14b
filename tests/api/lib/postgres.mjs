/* Databases for the tests: copies of the template, and whole private clusters. */
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import pg from 'pg';
import { env, forget, keepTrack, makeDir, sleep, until } from './env.mjs';

/* bigint as number (the tests never pass 2^53), other types as pg gives them. */
pg.types.setTypeParser(20, Number);

/** What httpd, libpq and the module log while a database is away; a letter to other servers may be lost (CH1131). */
export const DATABASE_NOISE = /database|connection|dbd|postgres|libpq|server closed|terminat|read-only|pool|CH1131/i;

export async function connect(cluster, database) {
  const client = new pg.Client({ ...cluster, database });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** One statement on the maintenance database, tried again while others copy the template. */
async function maintain(cluster, statement) {
  for (let round = 0; ; round += 1) {
    const client = await connect(cluster, 'postgres');
    try {
      await client.query(statement);
      return;
    } catch (error) {
      if (error.code !== '55006' || round > 50) throw error;
      await sleep(100);
    } finally {
      await client.end();
    }
  }
}

let count = 0;
export async function createDatabase(cluster = env.pg, template = env.template) {
  count += 1;
  const name = `t_${process.pid}_${count}_${Date.now().toString(36)}`;
  await maintain(cluster, `CREATE DATABASE "${name}" TEMPLATE "${template}"`);
  return name;
}

export const dropDatabase = (cluster, name) => maintain(cluster, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);

function asPostgres() {
  if (!env.runAsPg) return {};
  const id = (flag) => Number(execFileSync('id', [flag, env.runAsPg], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** A cluster that a test may stop, start and torment; holds the migrated template as database "app". */
export class PrivateCluster {
  async init() {
    this.dir = makeDir('pg-');
    this.who = asPostgres();
    if (this.who.uid !== undefined) fs.chownSync(this.dir, this.who.uid, this.who.gid);
    this.data = path.join(this.dir, 'data');
    this.run('initdb', ['-D', this.data, '-U', env.pg.user, '-A', 'trust', '-E', 'UTF8', '--no-sync']);
    this.cluster = { host: this.dir, port: 5432, user: env.pg.user };
    await this.start();
    const own = await connect(env.pg, 'postgres');
    const {
      rows: [locale],
    } = await own.query('SELECT datcollate, datctype FROM pg_database WHERE datname = $1', [env.template]);
    await own.end();
    await maintain(
      this.cluster,
      `CREATE DATABASE app TEMPLATE template0 LC_COLLATE '${locale.datcollate}' LC_CTYPE '${locale.datctype}'`,
    );
    const from = [`--host=${env.pg.host}`, `--port=${env.pg.port}`, `--username=${env.pg.user}`];
    const dump = this.run('pg_dump', ['--no-owner', ...from, env.template]);
    this.run(
      'psql',
      ['-X', '-q', '-v', 'ON_ERROR_STOP=1', `--host=${this.dir}`, '--port=5432', `--username=${env.pg.user}`, 'app'],
      dump,
    );
  }

  run(tool, args, input) {
    return execFileSync(path.join(env.pgBin, tool), args, {
      ...this.who,
      cwd: this.dir,
      input,
      maxBuffer: 1 << 28,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  async start() {
    this.child = spawn(
      path.join(env.pgBin, 'postgres'),
      [
        '-D',
        this.data,
        '-k',
        this.dir,
        '-c',
        'listen_addresses=',
        '-c',
        'fsync=off',
        '-c',
        'max_connections=60',
        '-c',
        'log_min_messages=fatal',
      ],
      { ...this.who, cwd: this.dir, stdio: 'ignore' },
    );
    keepTrack(this.child.pid);
    this.child.once('exit', () => forget(this.child.pid));
    await until(
      () =>
        connect(this.cluster, 'postgres').then(
          (c) => c.end().then(() => true),
          () => false,
        ),
      20000,
      'the private PostgreSQL answers',
    );
  }

  /** fast: sessions are cut, as `pg_ctl stop -m fast` does; immediate: as a crash. */
  async stop(mode = 'fast') {
    const gone = new Promise((resolve) => {
      this.child.once('exit', resolve);
    });
    this.child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await gone;
  }

  /** Statements while the cluster is stopped, so that nobody sees what is between them and the start. */
  alone(database, statements) {
    this.run('postgres', ['--single', '-j', '-D', this.data, database], statements.map((one) => `${one};\n\n`).join(''));
  }

  async remove() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.stop('immediate');
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
