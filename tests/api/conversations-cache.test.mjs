/* Answers about conversations that are kept for anonymous readers: no write is ever missed (API.md 1.7, 11). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { at, converse, publish, TALK, uniqueWord } from './lib/conversations.mjs';
import { Redis } from './lib/redis.mjs';
import { until } from './lib/env.mjs';
import { fails, ids, ok } from './lib/expect.mjs';

const cached = (res) => res.headers['x-cache'];
const pick = (list, n) => list[n % list.length];

/** n servers on one database, with a Redis when told so. */
async function fleet(t, n, withRedis) {
  const redis = withRedis && new Redis();
  await (redis && redis.start());
  const directives = redis ? [`ChronicleRedis ${redis.unixUrl}`] : [];
  const servers = [];
  for (let i = 0; i < n; i += 1) {
    const [first] = servers;
    const shared = first && { database: first.database, secrets: first.secrets };
    const server = new Server({ directives, ...shared });
    if (redis) server.expectLog(/CH103[01]: /); /* it has 250 ms for an answer, which a slow machine may not give it */
    await server.start();
    servers.push(server);
  }
  /* the database goes with the first, so that one is stopped last */
  t.after(async () => {
    for (const server of servers.reverse()) await server.stop();
    await (redis && redis.remove());
  });
  return servers;
}

/** The conversations as they should be seen, and what is done to them and asked of them in turn. */
class Model {
  constructor(author, admin, word) {
    Object.assign(this, { author, admin, word, all: new Map(), step: 0, hits: 0 });
  }

  get public() {
    return [...this.all.values()].filter((one) => one.visibility === 'public');
  }
  get featured() {
    return this.public.filter((one) => one.featured);
  }

  keep(data) {
    this.all.set(data.id, data);
    return data;
  }

  /** One write, by the owner or the admin through a server. */
  async write(author, admin) {
    this.step += 1;
    const n = this.step;
    const one = pick([...this.all.values()], n * 7);
    const change = async (json) => this.keep(ok(await author.put(at(one.id), json)));
    const title = `${this.word} ${n}`;
    const feature = async (which) =>
      which && this.keep(ok(await admin.patch(at(which.id, '/featured'), {})));
    switch (n % 8) {
      case 0:
        return this.all.size < 12 ? this.keep(await publish(author, { title })) : change({ title });
      case 1:
      case 5:
        return change({ title });
      case 2:
        return change({ visibility: one.visibility === 'public' ? 'private' : 'public' });
      case 3:
        return feature(pick(this.public, n)) ?? change({ title });
      case 4:
        return change({ category: n % 3 ? 'science' : 'health', messages: n % 2 ? TALK : [...TALK, ...TALK] });
      case 6: {
        if (this.all.size < 6) return this.keep(await publish(author, { title }));
        ok(await author.del(at(one.id)));
        this.all.delete(one.id);
        this.last = one;
        return undefined;
      }
      default:
        return change({ visibility: n % 3 ? 'public' : 'unlisted' });
    }
  }

  async ask(client, path) {
    const res = await client.get(path);
    if (cached(res) === 'HIT') this.hits += 1;
    return res;
  }

  same(items, expected, what) {
    const show = (list) => list.map(({ id, title, version }) => `${id} ${version} ${title}`).sort();
    assert.deepEqual(show(items), show(expected), `${what} after step ${this.step}`);
  }

  /** Each kind of read, twice, the second of which may be a kept one. */
  async read(client, kinds) {
    for (const kind of kinds) {
      for (let time = 0; time < 2; time += 1) await this[kind](client);
    }
  }
  async list(client) {
    const { items } = ok(await this.ask(client, `/conversations?author=${this.author}&limit=100`));
    this.same(items, this.public, 'list');
  }
  async listFeatured(client) {
    this.same(ok(await this.ask(client, '/conversations/featured?limit=100')).items, this.featured, 'featured');
  }
  async categories(client) {
    const { items } = ok(await this.ask(client, '/conversations/categories'));
    for (const { category, count } of items) {
      const expected = this.public.filter((one) => one.category === category).length;
      assert.equal(count, expected, `${category} after step ${this.step}`);
    }
  }
  async stats(client) {
    const stats = ok(await this.ask(client, '/conversations/stats'));
    const messages = this.public.reduce((sum, one) => sum + one.messageCount, 0);
    assert.deepEqual(
      [stats.totalConversations, stats.totalMessages, stats.featuredCount],
      [this.public.length, messages, this.featured.length],
      `stats after step ${this.step}`,
    );
  }
  async search(client) {
    const { items } = ok(await this.ask(client, `/conversations/search?q=${this.word}&limit=100`));
    this.same(items, this.public.filter((one) => one.title.startsWith(this.word)), 'search');
  }
  async single(client) {
    const one = pick([...this.all.values()], this.step * 7);
    for (const name of [one.id, one.slug]) {
      const res = await this.ask(client, at(name));
      if (one.visibility === 'private') fails(res, 404, 'CONVERSATION_NOT_FOUND');
      else this.same([ok(res)], [one], 'single');
    }
    if (this.last) fails(await this.ask(client, at(this.last.id)), 404, 'CONVERSATION_NOT_FOUND');
  }
}

const KINDS = ['list', 'listFeatured', 'categories', 'stats', 'search', 'single'];

async function alternate(servers, steps) {
  const [first] = servers;
  const owner = await first.user();
  const admin = await newAdmin(first);
  const model = new Model(owner.user.id, admin, uniqueWord());
  const owners = servers.map((server) => server.client({ token: owner.token }));
  const admins = servers.map((server) => server.client({ token: admin.token }));
  for (let n = 0; n < 6; n += 1) model.keep(await publish(owner, { title: `${model.word} start ${n}` }));
  for (let n = 0; n < steps; n += 1) {
    await model.write(pick(owners, n), pick(admins, n));
    await model.read(pick(servers, n + 1).anon, [pick(KINDS, n), pick(KINDS, n + 1 + Math.floor(n / 6))]);
  }
  for (const server of servers) await model.read(server.anon, KINDS);
  return model;
}

/* What changes an author shows in what was kept of the conversations. */
async function authors(servers) {
  const [first] = servers;
  const there = servers[servers.length - 1];
  const word = uniqueWord();
  const owner = await first.user({ fullName: 'Name 0' });
  const made = await publish(owner, { title: word });
  const admin = await newAdmin(first);
  ok(await admin.patch(at(made.id, '/featured'), {}));
  const search = `/conversations/search?q=${word}`;
  const paths = [at(made.id), at(made.slug), '/conversations', '/conversations/featured', search];
  const names = async (client) => {
    const got = [];
    for (const path of paths) {
      for (let time = 0; time < 2; time += 1) {
        const data = ok(await client.get(path));
        got.push((data.items?.find(({ id }) => id === made.id) ?? data).author?.fullName);
      }
    }
    return [...new Set(got)];
  };
  /* who has read this version knows the name of that time: 304 would have him keep it */
  const reader = await there.user();
  const stillGood = (client, name) => client.get(at(name), { headers: { 'if-none-match': '"v2"' } });
  for (const name of [made.id, made.slug]) assert.equal((await stillGood(there.anon, name)).status, 304);
  for (let n = 0; n < 10; n += 1) {
    assert.deepEqual(await names(there.anon), [`Name ${n}`]);
    ok(await owner.put('/user/profile', { fullName: `Name ${n + 1}` }));
    for (const client of [there.anon, there.anon, reader]) {
      const res = await stillGood(client, pick([made.id, made.slug], n));
      assert.equal(ok(res).author.fullName, `Name ${n + 1}`);
      assert.equal(res.headers.etag, '"v2"');
    }
  }
  ok(await owner.put(at(made.id), { category: 'health' }, { headers: { 'if-match': '"v2"' } }));
  for (const client of [there.anon, there.anon, reader]) {
    assert.equal((await client.get(at(made.id), { headers: { 'if-none-match': '"v3"' } })).status, 304);
  }
  assert.deepEqual(await names(there.anon), ['Name 10']);
  ok(await owner.put('/user/profile', { fullName: null, avatarUrl: 'https://example.com/x.png' }));
  assert.deepEqual(await names(there.anon), [null]);
  ok(await owner.api('DELETE', '/user/account', { json: { password: owner.password } }));
  for (const name of [made.id, made.slug]) fails(await there.anon.get(at(name)), 404, 'CONVERSATION_NOT_FOUND');
  for (const path of ['', '/featured', `/search?q=${word}`]) {
    assert.ok(!ids(ok(await there.anon.get(`/conversations${path}`)).items).includes(made.id), path);
  }
}

for (const [what, n, withRedis] of [
  ['one server', 1, false],
  ['one server with Redis', 1, true],
  ['two servers with Redis', 2, true],
]) {
  test(what, { timeout: 300000 }, async (t) => {
    const servers = await fleet(t, n, withRedis);
    const warm = (server) => async () => cached(await server.anon.get('/conversations')) === 'HIT';
    for (const server of servers) await until(warm(server), 10000, 'answers are kept');

    await t.test('1,000 alternations of a write and an anonymous read, none missed', async () => {
      const model = await alternate(servers, 1000);
      assert.ok(model.hits > 1000, `${model.hits} from the cache`);
    });

    await t.test('the author changes name, and goes', () => authors(servers));

    await t.test('readers at the same time never see what is older than the last write', async () => {
      const owner = await servers[0].user();
      const { id } = await publish(owner, { title: '0' });
      let done = 0;
      let ended = false;
      const reader = async (server, path) => {
        while (!ended) {
          const least = done;
          const data = ok(await server.anon.get(path));
          const seen = Number((data.items?.find((item) => item.id === id) ?? data).title);
          assert.ok(seen >= least, `saw ${seen} after ${least} was done: ${path}`);
        }
      };
      const paths = [at(id), `/conversations?author=${owner.user.id}`, at(id, '?messages=false')];
      const readers = servers.flatMap((server) => paths.flatMap((path) => [reader(server, path), reader(server, path)]));
      const writer = async () => {
        for (let i = 1; i <= 300 && !ended; i += 1) {
          ok(await owner.put(at(id), { title: `${i}` }));
          done = i;
        }
      };
      const all = [writer(), ...readers].map((one) =>
        one.finally(() => {
          ended = true;
        }),
      );
      await Promise.all(all);
      assert.equal(done, 300);
    });
  });
}

test('which answers are kept', async (t) => {
  const [server] = await fleet(t, 1, false);
  const owner = await server.user();
  const other = await server.user();
  const made = await publish(owner, { title: 'Kept' });
  const hidden = await converse(owner, { title: 'Hidden' });
  const paths = ['', '?limit=3', '/featured', '/categories', '/stats', `/${made.id}`, `/${made.slug}`];
  await until(async () => cached(await server.anon.get('/conversations?limit=9')) === 'HIT', 5000, 'answers are kept');

  await t.test('those of anonymous readers, byte for byte', async () => {
    for (const path of paths) {
      const [first, second] = [await server.anon.get(`/conversations${path}`), await server.anon.get(`/conversations${path}`)];
      assert.deepEqual([cached(first), cached(second)], ['MISS', 'HIT'], path);
      if (!path.startsWith(`/${made.id}`) && !path.startsWith(`/${made.slug}`)) assert.equal(first.text, second.text, path);
      for (const name of ['etag', 'cache-control', 'content-type']) {
        assert.equal(second.headers[name], first.headers[name], `${path}: ${name}`);
      }
    }
  });

  await t.test('they are not for who has a token, nor the other way round', async () => {
    for (const who of [owner, other, owner]) {
      assert.deepEqual(ids(ok(await who.get('/conversations?mine=true')).items).length, who === owner ? 2 : 0);
      fails(await server.anon.get('/conversations?mine=true'), 401, 'AUTHENTICATION_REQUIRED');
    }
    for (let n = 0; n < 2; n += 1) {
      assert.equal((await owner.get(at(hidden.id))).status, 200);
      fails(await server.anon.get(at(hidden.id)), 404, 'CONVERSATION_NOT_FOUND');
      fails(await other.get(at(hidden.id)), 404, 'CONVERSATION_NOT_FOUND');
      assert.equal(ok(await owner.get('/conversations/search?q=hidden')).items.length, 1);
      assert.equal(ok(await server.anon.get('/conversations/search?q=hidden')).items.length, 0);
      assert.equal((await server.anon.get('/conversations', { token: 'bad' })).status, 401);
    }
  });

  await t.test('proxies keep none that ends a dead session', async () => {
    const dead = { headers: { cookie: 'chronicle_session=gone' } };
    for (let n = 0; n < 2; n += 1) {
      for (const [path, caching] of [['', 'no-store'], [`/${made.id}`, 'private, no-cache'], [`/${made.slug}`, 'private, no-cache']]) {
        const res = await server.anon.get(`/conversations${path}`, dead);
        ok(res);
        assert.match(String(res.headers['set-cookie']), /chronicle_session=;/);
        assert.equal(res.headers['cache-control'], caching, path);
        assert.equal((await server.anon.get(`/conversations${path}`)).headers['cache-control'], 'public, no-cache');
      }
    }
  });

  await t.test('a 304 stands for no body, and a body for no 304', async () => {
    const ask = (tag) => server.anon.get(at(made.id), { headers: { 'if-none-match': tag } });
    for (let n = 0; n < 3; n += 1) {
      assert.equal((await ask('"v1"')).status, 304);
      assert.equal(ok(await ask('"v9"')).id, made.id);
    }
    ok(await owner.put(at(made.id), { description: 'now' }));
    assert.equal((await ask('"v1"')).status, 200);
    assert.equal((await ask('"v2"')).status, 304);
  });
});

test('servers with one Redis and the same secrets, but each with a database of its own', async (t) => {
  const [one] = await fleet(t, 1, true);
  const two = new Server({ directives: one.directives, secrets: one.secrets });
  await two.start();
  const path = '/conversations?limit=50';
  const lists = async (server) => {
    const res = await server.anon.get(path);
    return [cached(res), ids(ok(res).items).length];
  };
  try {
    await publish(await one.user(), { title: 'one' });
    await until(async () => cached(await one.anon.get(path)) === 'HIT', 10000, 'the answer is kept');
    assert.deepEqual(await lists(one), ['HIT', 1]);
    for (let n = 0; n < 20; n += 1) assert.equal((await lists(two))[1], 0);
    await until(async () => (await lists(two)).join() === 'HIT,0', 10000, 'each keeps its own');
    assert.deepEqual(await lists(one), ['HIT', 1]);
  } finally {
    await two.stop(); /* before the Redis goes */
  }
});
