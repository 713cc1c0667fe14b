/* Socket.IO 5, packet by packet, over both transports: namespaces, events, acks, attachments, malformed packets. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { generous, sleep, within } from '../api/lib/env.mjs';
import { everywhere } from './lib/place.mjs';
import { isOver, openEcho, openSession } from './lib/session.mjs';

const INVALID = (name) => `44/${name},{"message":"Invalid namespace"}`;
const holder = (num) => ({ _placeholder: true, num });
const bytes = (...list) => Buffer.from(list);
const big = (n) => Array.from({ length: n }, (_, k) => k % 251);

/** Sends, and gives as many packets as are expected. */
async function exchange(session, packets, expected) {
  await session.send(...packets);
  const got = [];
  for (let n = 0; n < expected.length; n += 1) got.push(await session.next());
  assert.deepEqual(got, expected);
}

/* What comes back as it went. */
const ECHOES = [
  ['no argument', '42/echo,["hello"]'],
  ['one', '42/echo,["hello",1]'],
  ['several of all types', '42/echo,["hello",1,"2",{"3":[true,null]},[4.5,-1,0.25],"\\u0001"]'],
  ['a number as the name', '42/echo,[12,"x"]'],
  ['an empty name', '42/echo,[""]'],
  ['unicode', '42/echo,["é€𝄞","𝄞"]'],
  ['names that look like packets', '42/echo,["42/echo,[]","451-"]'],
  ['names that every object has', '42/echo,["__proto__",{"constructor":1}]', { ours: true }],
  ['names that are nearly reserved', '42/echo,["connected","Connect","disconnect "]'],
  ['one that comes back by another name', '42/echo,["message",1]', { back: '42/echo,["message-back",1]' }],
  ['half a character, as of a text that was cut', '42/echo,["cut","a\\ud83d","\\udc00\\ud83d b"]'],
  ['deep', `42/echo,["deep",${'['.repeat(20)}${']'.repeat(20)}]`],
  ['deeper than a body may be', `42/echo,["deep",${'['.repeat(1000)}"]["${']'.repeat(1000)}]`],
  ['100 KB', `42/echo,["long","${'0123456789'.repeat(10000)}"]`],
];

/* With an ack. */
const ACKS = [
  ['no argument', '42/echo,0["hello"]', '43/echo,0[]'],
  ['some', '42/echo,456["hello",1,"2",{"3":[true]}]', '43/echo,456[1,"2",{"3":[true]}]'],
  ['a large id', '42/echo,999999999["hello",1]', '43/echo,999999999[1]'],
];

/* With attachments, which are messages of their own: what goes, what comes back. */
const ATTACHED = [
  [
    'one',
    ['451-/echo,', ['hello', holder(0)], bytes(1, 2, 3)],
    ['451-/echo,', ['hello', holder(0)], bytes(1, 2, 3)],
  ],
  [
    'two, deep inside',
    ['452-/echo,', ['hello', { a: [holder(0)] }, 'x', holder(1)], bytes(1, 2, 3), bytes(4, 5, 6)],
    ['452-/echo,', ['hello', { a: [holder(0)] }, 'x', holder(1)], bytes(1, 2, 3), bytes(4, 5, 6)],
  ],
  ['an empty one', ['451-/echo,', ['e', holder(0)], bytes()], ['451-/echo,', ['e', holder(0)], bytes()]],
  ['a long one', ['451-/echo,', ['e', holder(0)], bytes(...big(70000))], ['451-/echo,', ['e', holder(0)], bytes(...big(70000))]],
  [
    'in an ack',
    ['452-/echo,789', ['hello', holder(0), 7, holder(1)], bytes(1, 2, 3), bytes(4, 5, 6)],
    ['462-/echo,789', [holder(0), 7, holder(1)], bytes(1, 2, 3), bytes(4, 5, 6)],
  ],
];
const packed = ([head, json, ...rest]) => [`4${head.slice(1)}${JSON.stringify(json)}`, ...rest];

/* What no client says: the connection ends. Each in a namespace that is open. */
const MALFORMED = [
  ['no type', '4'],
  ['an unknown type', '4abc'],
  ['a type too high', '47/echo,["x"]'],
  ['an event without payload', '42/echo,', { ours: true }],
  ['a payload that is no array', '42/echo,{}'],
  ['a string as payload', '42/echo,"x"'],
  ['an empty array', '42/echo,[]'],
  ['a name that is an object', '42/echo,[{}]'],
  ['a name that is null', '42/echo,[null,1]'],
  ['JSON that is cut', '42/echo,["x"'],
  ['bytes behind the JSON', '42/echo,["x"]]'],
  ['an ack that is no array', '43/echo,1{}'],
  ['no number of attachments', '45-/echo,["x"]'],
  ['a number of attachments that is none', '45x-/echo,["x"]'],
  ['a binary event without number', '45/echo,["x"]'],
  ['CONNECT a second time', '40/echo,'],
  ['a namespace that was not opened', '42/other,["x"]'],
  ['DISCONNECT with a payload', '41/echo,{"a":1}', { ours: true }],
];
const RESERVED = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];

for (const transport of ['websocket', 'polling']) {
  everywhere(`Socket.IO over ${transport}`, {}, (place) => {
    const open = (payload) => openEcho(place, transport, payload);
    const wanted = ([, , options]) => !options?.ours || !place.isReference;

    describe('CONNECT', () => {
      it('with and without a payload, which the event auth gives back', async () => {
        for (const payload of ['', '{}', '{"token":"123"}', '{"a":{"b":["é"]},"n":1.5,"z":null}']) {
          const session = await open(payload);
          assert.notEqual(session.socket, session.sid, "the socket's id is not the session's, which is a secret");
          await session.close();
        }
      });

      place.unlessReference('a query behind the namespace is passed over', async () => {
        const session = await openSession(place, transport);
        await session.send('40/echo?a=b&c=d,{"x":1}');
        assert.match(await session.next(), /^40\/echo,\{"sid":"[\w-]+"\}$/);
        assert.equal(await session.next(), '42/echo,["auth",{"x":1}]');
        await session.close();
      });

      it('an unknown namespace is refused, and the connection stays', async () => {
        const session = await openSession(place, transport);
        for (const name of ['x', 'echo2', 'ech', 'Echo', 'echo/']) {
          await session.send(`40/${name},`);
          assert.equal(await session.next(), INVALID(name));
        }
        await session.send('40/echo,');
        assert.match(await session.next(), /^40\/echo,/);
        await session.close();
      });

      it('anything else first ends the connection', async () => {
        for (const first of ['42["x"]', '42/echo,["x"]', '41/echo,', '43/echo,1[]', '44/echo,"x"', bytes(1)]) {
          const session = await openSession(place, transport);
          await session.send(first);
          await isOver(session);
        }
      });

      it('a payload that is no object ends the connection', async () => {
        for (const payload of ['[]', '"x"', 'true', '{"a"']) {
          const session = await openSession(place, transport);
          await session.send(`40/echo,${payload}`);
          await isOver(session);
        }
      });
    });

    describe('DISCONNECT', () => {
      it('ends the socket, not the connection; one may CONNECT again', async () => {
        const session = await open();
        await session.send('41/echo,');
        await session.none(100);
        await session.send('40/echo,{"again":1}');
        assert.match(await session.next(), /^40\/echo,\{"sid":"(?!undefined)[\w-]+"\}$/);
        assert.equal(await session.next(), '42/echo,["auth",{"again":1}]');
        await exchange(session, ['42/echo,["x"]'], ['42/echo,["x"]']);
        await session.close();
      });

      it('what is said after it ends the connection', async () => {
        const session = await open();
        await session.send('41/echo,');
        await session.none(50);
        await session.send('42/echo,["x"]').catch(() => {});
        await isOver(session);
      });
    });

    describe('Events', () => {
      for (const row of ECHOES.filter(wanted)) {
        it(`come back: ${row[0]}`, async () => {
          const session = await open();
          await exchange(session, [row[1]], [row[2]?.back ?? row[1]]);
          await session.close();
        });
      }

      for (const [what, event, ack] of ACKS) {
        it(`are acknowledged: ${what}`, async () => {
          const session = await open();
          await exchange(session, [event], [ack]);
          await session.close();
        });
      }

      for (const [what, sent, got] of ATTACHED) {
        it(`carry attachments: ${what}`, async () => {
          const session = await open();
          await exchange(session, packed(sent), packed(got));
          await exchange(session, ['42/echo,["then"]'], ['42/echo,["then"]']);
          await session.close();
        });
      }

      it('may come apart: attachments long after their event', async () => {
        const session = await open();
        const [event, one, two] = packed(ATTACHED[1][1]);
        await session.send(event);
        await session.none(100);
        await session.send(one);
        await session.none(100);
        await exchange(session, [two], [event, one, two]);
        await session.close();
      });

      it('keep their order, a thousand of them', async () => {
        const session = await open();
        const all = Array.from({ length: 1000 }, (_, n) => `42/echo,${n % 3 ? '' : n}["n",${n}]`);
        const expected = all.map((packet, n) => (n % 3 ? packet : `43/echo,${n}[${n}]`));
        await exchange(session, all, expected);
        await session.close();
      });

      it('an ack that nobody asked for is passed over', async () => {
        const session = await open();
        await exchange(session, ['43/echo,17["x"]', '42/echo,["then"]'], ['42/echo,["then"]']);
        await session.close();
      });
    });

    describe('Malformed', () => {
      for (const row of MALFORMED.filter(wanted)) {
        it(`${row[0]}: ${row[1]} ends the connection`, async () => {
          const session = await open();
          await session.send(row[1]);
          await isOver(session);
        });
      }

      it('a reserved name ends the connection', async () => {
        for (const name of RESERVED) {
          const session = await open();
          await session.send(`42/echo,["${name}"]`);
          await isOver(session);
        }
      });

      it('an attachment that nobody announced', async () => {
        const session = await open();
        await session.send(bytes(1, 2, 3));
        await isOver(session);
      });

      it('text where an attachment is due', async () => {
        const session = await open();
        await session.send('451-/echo,["x",{"_placeholder":true,"num":0}]', '42/echo,["y"]');
        await isOver(session);
      });

      it('a placeholder for an attachment that does not come', async () => {
        for (const num of ['1', '-1', '"0"', '1e9', '"length"']) {
          const session = await open();
          await session.send(`451-/echo,["x",{"_placeholder":true,"num":${num}}]`, bytes(1));
          await isOver(session);
        }
      });

      place.unlessReference('more attachments than anybody needs', async () => {
        const session = await open();
        await session.send('4599999999-/echo,["x"]');
        await isOver(session);
      });
    });
  });
}

everywhere('A connection that says nothing', {}, (place) => {
  /* Begun first and looked at last: it takes 45 s. */
  let silent;
  let connected;
  let refused;
  let start;
  before(async () => {
    start = Date.now();
    silent = await Promise.all(['websocket', 'polling'].map((transport) => openSession(place, transport)));
    for (const session of silent) {
      session.ended.then(() => {
        session.lived = Date.now() - start;
      });
    }
    refused = await openSession(place, 'websocket');
    await refused.send('40/unknown,');
    connected = await openEcho(place, 'websocket');
  });
  after(() => connected.close());

  it('is closed when it was long enough', async () => {
    const limit = place.settings.connectTimeout;
    const all = [...silent, refused].map((session) => session.ended);
    assert.ok(await within(limit + generous(5000), Promise.all(all).then(() => true)), 'all are closed');
    for (const session of silent) assert.ok(session.lived > limit - 1500, `not after ${session.lived} ms`);
  });

  it('unlike one that is in a namespace', async () => {
    await sleep(100);
    await exchange(connected, ['42/echo,["here"]'], ['42/echo,["here"]']);
  });
});
