/* The module under each MPM, and a graceful restart under load. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { cookieLogin, login } from './lib/accounts.mjs';
import { until } from './lib/env.mjs';
import { fails, ok, parallel, tally } from './lib/expect.mjs';

for (const [mpm, shape] of [
  ['event', { children: 2, threads: 8 }],
  ['worker', { children: 2, threads: 8 }],
  ['prefork', { children: 6, threads: 1 }],
]) {
  serverSuite(`Under ${mpm}`, { mpm, ...shape, dbMax: mpm === 'prefork' ? 1 : 4, limits: { search: '10/60' } }, (s) => {
    it('accounts, notes, conditions and sessions work', async () => {
      const alice = await s.user();
      const web = await cookieLogin(s, alice);
      const note = ok(await alice.post('/notes', { title: 'x' }), 201);
      const all = await parallel(30, (n) => alice.put(`/notes/${note.id}`, { title: `t${n}` }));
      assert.deepEqual(
        all.map((res) => ok(res).version).sort((a, b) => a - b),
        Array.from({ length: 30 }, (_, n) => n + 2),
      );
      const races = await parallel(10, (n) =>
        alice.put(`/notes/${note.id}`, { title: `race ${n}` }, { headers: { 'if-match': '"v31"' } }),
      );
      assert.deepEqual(tally(races.map((res) => res.status)), { 200: 1, 412: 9 });
      assert.equal(ok(await web.get('/notes')).items.length, 1);
      const key = { headers: { 'idempotency-key': 'k' } };
      const made = await parallel(10, () => alice.post('/folders', { name: 'once' }, key));
      assert.equal(new Set(made.filter((res) => res.status === 201).map((res) => res.json.data.id)).size, 1);
      ok(await alice.del(`/notes/${note.id}`));
      fails(await web.get(`/notes/${note.id}`), 404, 'NOTE_NOT_FOUND');
    });

    it('a revocation acts at once in every child', async () => {
      const alice = await s.user();
      const other = await login(s, alice);
      for (const res of await parallel(24, () => other.get('/auth/me', { fresh: true }))) ok(res);
      ok(await alice.post('/auth/logout', { allDevices: true }));
      for (const res of await parallel(24, () => other.get('/auth/me', { fresh: true })))
        fails(res, 401, 'INVALID_TOKEN');
    });
  });

  serverSuite(`Limits under ${mpm}`, { mpm, ...shape, dbMax: 1, limits: { api: '20/600' } }, (s) => {
    it('are shared by all children', async () => {
      const alice = await s.user();
      const all = await parallel(50, () => alice.get('/folders', { fresh: true }));
      assert.deepEqual(tally(all.map((res) => res.status)), { 200: 20, 429: 30 });
    });
  });
}

for (const [mpm, shape] of [
  ['event', {}],
  ['worker', {}],
  ['prefork', { children: 8, dbMax: 1 }],
]) {
  serverSuite(`A graceful restart under load, ${mpm}`, { mpm, ...shape, limits: { api: '100000/900' } }, (s) => {
    it('loses no request, no session and no count', async () => {
      const alice = await s.user();
      const note = ok(await alice.post('/notes', { title: 'x' }), 201);
      const old = s.processes();
      let running = true;
      const answers = [];
      const load = parallel(6, async (n) => {
        for (let k = 0; running; k += 1) {
          answers.push(
            await (n % 2
              ? alice.get('/notes', { fresh: true })
              : alice.put(`/notes/${note.id}`, { title: `${n} ${k}` }, { fresh: true })),
          );
        }
      });
      await until(() => answers.length > 50, 10000, 'the load runs');
      for (let round = 0; round < 2; round += 1) {
        const mark = s.log().length;
        s.signal('SIGUSR1');
        await until(() => /resuming normal operations/.test(s.log().slice(mark)), 10000, 'the restart is done');
        const count = answers.length;
        await until(() => answers.length > count + 50, 10000, 'answers after the restart');
      }
      running = false;
      await load;
      assert.deepEqual(tally(answers.map((res) => res.status)), { 200: answers.length });
      const writes = answers.filter((res) => res.json.data.version).length;
      assert.equal(ok(await alice.get(`/notes/${note.id}`)).version, writes + 1);
      await until(() => old.every((pid) => !s.processes().includes(pid)), 60000, 'the old children are gone');
      const remaining = Number((await alice.get('/notes')).headers['ratelimit-remaining']);
      assert.equal(remaining, 100000 - answers.length - 3, 'limits are counted over the restart');
    });
  });
}
