/* The backup script: a dump is whole or is not there, old ones go, and no password is ever on a command line. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, createDatabase, dropDatabase } from './lib/postgres.mjs';
import { env, makeDir, until } from './lib/env.mjs';

const script = fileURLToPath(new URL('../../packaging/backup/chronicle-backup', import.meta.url));

describe('chronicle-backup', () => {
  let dir;
  let database;
  let connection;
  before(async () => {
    dir = makeDir('backup-');
    database = await createDatabase();
    connection = `host=${env.pg.host} port=${env.pg.port} user=${env.pg.user} dbname=${database}`;
  });
  after(async () => {
    await dropDatabase(env.pg, database);
    fs.rmSync(dir, { recursive: true, force: true });
  });

  /** Starts it: {process, done: promise of {code, output}}. */
  function start(args, vars = {}) {
    const child = spawn('sh', [script, ...args], {
      env: { ...process.env, PATH: `${env.pgBin}:${process.env.PATH}`, CHRONICLE_BACKUP_DIR: dir, ...vars },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => {
        output += data;
      });
    const done = new Promise((resolve) => {
      child.once('close', (code) => resolve({ code, output }));
    });
    return { child, done };
  }
  const run = (args, vars) => start(args, vars).done;
  const files = () =>
    fs
      .readdirSync(dir)
      .filter((name) => name !== '.lock')
      .sort();
  const empty = () => files().forEach((name) => fs.rmSync(path.join(dir, name)));
  const aged = (name, days) => {
    fs.writeFileSync(path.join(dir, name), 'x');
    const when = Date.now() / 1000 - days * 86400;
    fs.utimesSync(path.join(dir, name), when, when);
  };

  it('makes a dump that only its owner may read and that can be restored', async () => {
    const db = await connect(env.pg, database);
    await db.query("INSERT INTO users (id, email, password_hash) VALUES (gen_random_uuid(), 'kept@example.com', 'x')");
    await db.end();
    const { code, output } = await run([connection]);
    assert.equal(code, 0, output);
    const [name, ...more] = files();
    assert.deepEqual(more, []);
    assert.match(name, /^chronicle-\d{8}T\d{6}Z\.dump$/);
    assert.match(output, new RegExp(`^chronicle-backup: ${dir}/${name}: \\d+ bytes in \\d+ s, 0 old ones removed\n$`));
    assert.equal(fs.statSync(path.join(dir, name)).mode & 0o777, 0o600);
    const copy = await createDatabase(env.pg, 'template0');
    try {
      const to = ['-d', `host=${env.pg.host} port=${env.pg.port} user=${env.pg.user} dbname=${copy}`];
      execFileSync(path.join(env.pgBin, 'pg_restore'), ['--exit-on-error', '--no-owner', ...to, path.join(dir, name)]);
      const restored = await connect(env.pg, copy);
      const { rows } = await restored.query('SELECT email FROM users');
      await restored.end();
      assert.deepEqual(rows, [{ email: 'kept@example.com' }]);
      const migrate = execFileSync(process.env.CH_TEST_MIGRATE, ['status', to[1]], { encoding: 'utf8' });
      assert.doesNotMatch(migrate, /pending/);
    } finally {
      await dropDatabase(env.pg, copy);
    }
    empty();
  });

  it('removes dumps that are too old, and nothing else', async () => {
    aged('chronicle-20200101T020000Z.dump', 31);
    aged('chronicle-20200102T020000Z.dump', 30.1);
    aged('chronicle-20200103T020000Z.dump', 29.5);
    aged('other-20200101.dump', 400);
    aged('.chronicle-20200101T020000Z.dump.partial', 2);
    const { code, output } = await run([connection]);
    assert.equal(code, 0, output);
    assert.match(output, /2 old ones removed/);
    const [kept, made, other] = files();
    assert.equal(kept, 'chronicle-20200103T020000Z.dump');
    assert.ok(/^chronicle-2/.test(made) && other === 'other-20200101.dump', files().join(' '));
    const { code: again } = await run(['-k', '7', connection]);
    assert.equal(again, 0);
    assert.ok(!files().includes('chronicle-20200103T020000Z.dump'));
    empty();
  });

  it('a dump that fails leaves no file, and the old ones', async () => {
    aged('chronicle-20200101T020000Z.dump', 400);
    const failing = async (connectionText, vars) => {
      const { code, output } = await run([connectionText], vars);
      assert.equal(code, 69, output);
      assert.deepEqual(files(), ['chronicle-20200101T020000Z.dump']);
      return output;
    };
    assert.match(await failing(connection.replace(database, 'nowhere')), /pg_dump failed; earlier backups are left/);
    /* one that says it is done, but is not */
    const fake = makeDir('fake-');
    fs.writeFileSync(
      path.join(fake, 'pg_dump'),
      '#!/bin/sh\nfor a; do case $a in --file=*) printf PGDMP >"${a#--file=}" ;; esac; done\n',
      { mode: 0o755 },
    );
    const text = await failing(connection, { PATH: `${fake}:${env.pgBin}:${process.env.PATH}` });
    assert.match(text, /can't be read back/);
    fs.rmSync(fake, { recursive: true });
    empty();
  });

  it('stopped in the middle, it leaves nothing; meanwhile no second one runs', async () => {
    const lock = await connect(env.pg, database);
    await lock.query('BEGIN');
    await lock.query('LOCK TABLE notes IN ACCESS EXCLUSIVE MODE');
    const first = start([connection]);
    await until(() => files().some((name) => name.endsWith('.partial')), 10000, 'the dump has begun');
    const { code, output } = await run([connection]);
    assert.equal(code, 75, output);
    first.child.kill('SIGTERM');
    assert.equal((await first.done).code, 143);
    assert.deepEqual(files(), []);
    await lock.query('ROLLBACK');
    const left = await lock.query("SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND application_name = 'pg_dump'", [
      database,
    ]);
    await lock.end();
    assert.equal(left.rowCount, 0, 'pg_dump is gone, too');
  });

  it('wrong usage is told, and a password is not taken', async () => {
    for (const args of [['-k', '0', connection], ['-k', 'x', connection], ['-x'], [connection, 'more']]) {
      const { code, output } = await run(args);
      assert.equal(code, 64, output);
    }
    for (const text of [`${connection} password=geheim`, 'postgresql://joe:geheim@localhost/x', 'dbname=x password = geheim']) {
      const { code, output } = await run([text]);
      assert.equal(code, 64);
      assert.match(output, /use a password file/);
      assert.doesNotMatch(output, /geheim/);
    }
    const { code, output } = await run(['-d', '/proc/nowhere', connection]);
    assert.equal(code, 73, output);
    assert.deepEqual(files(), []);
  });
});
