/* The directory of files: where it is, who makes it, what is said when it cannot be used. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { env, until } from './lib/env.mjs';
import { fails, ok } from './lib/expect.mjs';
import { exported } from './lib/exports.mjs';

async function prepared(t, ...directives) {
  const s = new Server({ directives });
  await s.prepare();
  t.after(() => s.stop());
  return s;
}

const says = (s, status, pattern) => {
  const { status: got, output } = s.run('-t');
  assert.equal(got === 0, status === 0, output);
  assert.match(output, pattern);
};

describe('The directory of files', () => {
  it('is made at start, for the children alone, and kept over restarts', async (t) => {
    const s = await prepared(t);
    const dir = path.join(s.dir, 'files');
    says(s, 0, /Syntax OK/);
    assert.ok(!fs.existsSync(dir), 'a test of the configuration makes nothing');
    await s.start();
    const info = fs.statSync(dir);
    assert.equal(info.mode & 0o777, 0o700);
    if (env.root) assert.notEqual(info.uid, 0);
    const user = await s.user();
    const { res } = await exported(user);
    s.signal('SIGUSR1');
    await until(async () => (await s.probe('/health/ready')) === 200, 5000, 'it is ready');
    assert.ok((await user.get(res.headers.etag && `/user/export/${res.headers.etag.slice(1, -1)}/download`)).raw.equals(res.raw));
  });

  it('below ServerRoot when its path is not absolute', async (t) => {
    const s = await prepared(t, 'ChronicleStorage fs kept');
    await s.start();
    assert.ok(fs.existsSync(path.join(s.dir, 'kept')));
  });

  const wrong = [
    ['s3 bucket', /ChronicleStorage: s3 is not in this release; use fs <directory>/],
    ['ftp x', /ChronicleStorage: must be fs <directory>/],
    ['fs', /ChronicleStorage takes two arguments/],
    ['fs /nowhere/at/all', /CH1090: ChronicleStorage fs \/nowhere\/at\/all: cannot be made: there is no directory \/nowhere\/at, for Chronicle On at .*httpd\.conf:\d+/],
    ['fs /etc/passwd', /CH1090: ChronicleStorage fs \/etc\/passwd: is not a directory/],
  ];
  for (const [value, pattern] of wrong) {
    it(`"${value}" is refused by a test of the configuration`, async (t) => {
      const s = await prepared(t, `ChronicleStorage ${value}`);
      says(s, 1, pattern);
    });
  }

  it('one that the children cannot write to is refused at start', { skip: !env.root && 'needs root' }, async (t) => {
    const s = await prepared(t, (server) => `ChronicleStorage fs ${server.dir}/closed`);
    fs.mkdirSync(path.join(s.dir, 'closed'), { mode: 0o755 });
    await assert.rejects(s.start(), /CH1090: ChronicleStorage fs \S+\/closed: the user www-data cannot write there \(chown \S+\/closed\)/);
    s.child = undefined;
  });

  it('a group of the user is enough', { skip: !env.root && 'needs root' }, async (t) => {
    const s = await prepared(t, (server) => `ChronicleStorage fs ${server.dir}/shared`);
    const dir = path.join(s.dir, 'shared');
    fs.mkdirSync(dir);
    const group = fs.readFileSync('/etc/group', 'utf8').split('\n').find((line) => line.startsWith('www-data:')).split(':')[2];
    fs.chownSync(dir, 0, Number(group));
    fs.chmodSync(dir, 0o770);
    await s.start();
    await exported(await s.user());
    assert.equal(fs.statSync(dir).uid, 0, 'it stays as it was');
  });

  it('/health/detailed says whether it can be written to', async (t) => {
    const s = await prepared(t);
    await s.start();
    const health = async () => (await s.anon.at('GET', '/health/detailed', { fresh: true })).json;
    const { checks, status } = await health();
    assert.equal(checks.storage.status, 'up');
    assert.ok(checks.storage.latencyMs > 0);
    assert.equal(status, 'OK');
    fs.renameSync(path.join(s.dir, 'files'), path.join(s.dir, 'away'));
    let now;
    await until(
      async () => {
        now = await health();
        return now.checks.storage.status === 'down';
      },
      20000,
      'it is down',
    );
    assert.equal(now.status, 'DEGRADED');
    assert.equal(now.checks.storage.latencyMs, null);
    fs.renameSync(path.join(s.dir, 'away'), path.join(s.dir, 'files'));
    const user = await s.user();
    await exported(user);
    await until(async () => (await health()).checks.storage.status === 'up', 20000, 'it is up again');
  });
});
