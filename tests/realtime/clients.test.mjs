/* The client that everybody uses, npm's socket.io-client, in each of its ways to connect: the same must hold in all. */
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { generous, sleep, until, within } from '../api/lib/env.mjs';
import { times } from '../api/lib/expect.mjs';
import { everywhere } from './lib/place.mjs';

const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];

for (const transports of WAYS) {
  everywhere(`socket.io-client over ${transports.join(', then ')}`, {}, (place) => {
    const clients = [];
    after(() => clients.forEach((client) => client.disconnect()));

    /** A client, and the first `auth` that it is told. */
    function make(options = {}, namespace = '/echo') {
      const client = io(`http://${place.host()}${namespace}`, {
        transports,
        forceNew: true,
        reconnectionDelay: 50,
        reconnectionDelayMax: 100,
        ...options,
      });
      clients.push(client);
      client.auths = [];
      client.on('auth', (auth) => client.auths.push(auth));
      return client;
    }
    async function connected(options) {
      const client = make(options);
      await within(generous(5000), once(client, 'connect'));
      assert.ok(client.connected, 'it connects');
      await until(() => client.auths.length, 3000, 'the event auth');
      return client;
    }
    const settled = (client) =>
      until(() => client.io.engine.transport.name === transports.at(-1), 3000, 'the last of the ways is taken');
    const heard = async (client, event) => {
      const got = await within(generous(4000), new Promise((resolve) => {
        client.once(event, (...args) => resolve(args));
      }));
      assert.ok(got, `the event ${event}`);
      return got;
    };

    it('connects, and ends up where it should', async () => {
      const client = await connected();
      assert.match(client.id, /^[\w-]+$/);
      await settled(client);
      client.disconnect();
    });

    it('sends what it has to say of itself', async () => {
      const auth = { token: 'abc', list: [1, { two: '\u00e9' }] };
      const client = await connected({ auth });
      assert.deepEqual(client.auths, [auth]);
      assert.deepEqual((await connected()).auths, [{}]);
    });

    it('sends events, and hears them', async () => {
      const client = await connected();
      const args = [1, 'two', { three: [null, true, 4.5] }, []];
      client.emit('something', ...args);
      assert.deepEqual(await heard(client, 'something'), args);
    });

    it('is given acks, in any order that it likes', async () => {
      const client = await connected();
      const acks = await Promise.all(times(50, (n) => client.timeout(generous(4000)).emitWithAck('e', n)));
      assert.deepEqual(acks, times(50, (n) => n));
    });

    it('sends bytes, and hears them', async () => {
      const client = await connected();
      const data = Buffer.from(times(1000, (n) => n % 256));
      client.emit('bytes', { a: data, b: [data.subarray(3, 5)] }, 'x');
      assert.deepEqual(await heard(client, 'bytes'), [{ a: data, b: [data.subarray(3, 5)] }, 'x']);
      const ack = await client.timeout(generous(4000)).emitWithAck('bytes', data);
      assert.deepEqual(ack, data);
      client.emit('typed', new Uint8Array([1, 2, 3]));
      assert.deepEqual(await heard(client, 'typed'), [Buffer.from([1, 2, 3])]);
    });

    it('sends 100 KB of text and of bytes', async () => {
      const client = await connected();
      const text = '0123456789'.repeat(10240);
      assert.equal(await client.timeout(generous(8000)).emitWithAck('long', text), text);
      const data = Buffer.alloc(102400, 7);
      assert.deepEqual(await client.timeout(generous(8000)).emitWithAck('long', data), data);
    });

    it('sends all of Unicode', async () => {
      const client = await connected();
      const text = 'h\u00e9\u20ac\u{1d11e}\u0000\u001e\u2028\ud7ff\ue000\uffff"\\/\u007f';
      assert.equal(await client.timeout(generous(4000)).emitWithAck('unicode', text), text);
    });

    it('keeps the order of what is said at once', async () => {
      const client = await connected();
      const got = [];
      client.on('n', (n) => got.push(n));
      for (let n = 0; n < 300; n += 1) client.emit('n', n % 10 ? n : { n, data: Buffer.from([n % 256]) });
      await until(() => got.length === 300, 8000, 'all are back');
      assert.deepEqual(
        got.map((n) => n.n ?? n),
        times(300, (n) => n),
      );
    });

    it('disconnects, and connects anew', async () => {
      const client = await connected();
      const first = client.id;
      client.disconnect();
      assert.equal(client.connected, false);
      client.connect();
      await within(generous(5000), once(client, 'connect'));
      assert.notEqual(client.id, first);
      assert.equal(await client.timeout(generous(4000)).emitWithAck('e', 1), 1);
    });

    it('comes back when the connection is lost', async () => {
      const client = await connected();
      const first = client.id;
      await settled(client);
      const lost = once(client, 'disconnect');
      client.io.engine.close();
      await within(generous(3000), lost);
      await until(() => client.connected && client.id !== first, 5000, 'it is back');
      await until(() => client.auths.length === 2, 3000, 'it was let in again');
      assert.equal(await client.timeout(generous(4000)).emitWithAck('e', 1), 1);
    });

    it('is told that a namespace is not there', async () => {
      const client = make({}, '/unknown');
      const [error] = await heard(client, 'connect_error');
      assert.equal(error.message, 'Invalid namespace');
    });

    it('twenty of them at once do not hear each other', async () => {
      const all = await Promise.all(times(20, () => connected()));
      const acks = await Promise.all(all.map((client, n) => client.timeout(generous(8000)).emitWithAck('who', n)));
      assert.deepEqual(acks, times(20, (n) => n));
      assert.equal(new Set(all.map((client) => client.id)).size, 20);
      await sleep(50);
      for (const client of all) client.disconnect();
    });
  });
}

everywhere('socket.io-client', { ping: [300, 4000] }, (place) => {
  it('stays for many heartbeats, and longer than without them', async (t) => {
    const clients = WAYS.map((transports) => io(`http://${place.host()}/echo`, { transports, forceNew: true }));
    t.after(() => clients.forEach((client) => client.disconnect()));
    await Promise.all(clients.map((client) => client.connected || within(generous(5000), once(client, 'connect'))));
    const ids = clients.map((client) => client.id);
    await sleep(5000);
    assert.deepEqual(clients.map((client) => client.id), ids);
    for (const client of clients) assert.equal(await client.timeout(generous(4000)).emitWithAck('e', 1), 1);
  });
});
