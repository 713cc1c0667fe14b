/* Engine.IO 4, packet by packet: handshakes, faults, polling, heartbeats, upgrades. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { it } from 'node:test';
import { generous, patience, sleep, within } from '../api/lib/env.mjs';
import { everywhere } from './lib/place.mjs';
import { Polling, Queue, Socket, ask, isOver, openEcho, openSession } from './lib/session.mjs';

const FAULTS = [
  'Transport unknown',
  'Session ID unknown',
  'Bad handshake method',
  'Bad request',
  'Forbidden',
  'Unsupported protocol version',
];

/** The answer is this fault: its status, and nothing but code and message. */
function isFault(res, code) {
  assert.equal(`${res.status} ${res.text}`, `${code === 4 ? 403 : 400} ${JSON.stringify({ code, message: FAULTS[code] })}`);
  assert.match(res.headers['content-type'], /^application\/json/);
}

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

everywhere('Handshakes', {}, (place) => {
  const settings = { pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000 };

  it('polling: what the session is, and that it can be upgraded', async () => {
    const session = await Polling.open(place);
    const { sid, ...rest } = session.handshake;
    assert.deepEqual(rest, { upgrades: ['websocket'], ...settings });
    assert.match(sid, /^[\w-]{20,64}$/);
    assert.match(session.answer.headers['content-type'], /^text\/plain; charset=UTF-8$/i);
    if (!place.isReference) assert.equal(session.answer.headers['cache-control'], 'no-store');
    await session.close();
  });

  it('websocket: the same, with nothing to upgrade to', async () => {
    const session = await Socket.open(place);
    const { sid, ...rest } = session.handshake;
    assert.deepEqual(rest, { upgrades: [], ...settings });
    assert.match(sid, /^[\w-]{20,64}$/);
    await session.close();
  });

  it('no two sessions have the same id', async () => {
    const sids = new Set();
    for (let n = 0; n < 20; n += 1) sids.add((await Polling.open(place)).sid);
    assert.equal(sids.size, 20);
  });

  it('other parameters are passed over, in any order', async () => {
    for (const query of ['t=abc&transport=polling&EIO=4', 'EIO=4&transport=polling&b64=1&foo&bar=%zz']) {
      const res = await ask(place, 'GET', `/socket.io/?${query}`);
      assert.equal(res.status, 200, `${query}: ${res.text}`);
      assert.equal(res.text[0], '0');
    }
  });

  const polling = [
    ['nothing', 'GET', '', 0],
    ['no transport', 'GET', 'EIO=4', 0],
    ['an unknown transport', 'GET', 'EIO=4&transport=abc', 0],
    ['a name that every object has', 'GET', 'EIO=4&transport=constructor', 0],
    ['no version', 'GET', 'transport=polling', 5],
    ['version 3', 'GET', 'EIO=3&transport=polling', 5],
    ['version 5', 'GET', 'EIO=5&transport=polling', 5],
    ['version abc', 'GET', 'EIO=abc&transport=polling', 5],
    ['an unknown session', 'GET', 'EIO=4&transport=polling&sid=abc', 1],
    ['an unknown session, to say something', 'POST', 'EIO=4&transport=polling&sid=abc', 1],
    ['a handshake by POST', 'POST', 'EIO=4&transport=polling', 2],
    ['a handshake by PUT', 'PUT', 'EIO=4&transport=polling', 2],
    ['a handshake by DELETE', 'DELETE', 'EIO=4&transport=polling', 2],
    ['a websocket that is none', 'GET', 'EIO=4&transport=websocket', 3],
  ];
  for (const [what, method, query, code] of polling) {
    it(`${what} is refused with ${code}: ${method} ?${query}`, async () => {
      isFault(await ask(place, method, `/socket.io/?${query}`), code);
    });
  }

  const websocket = [
    ['an unknown transport', 'EIO=4&transport=abc', 0],
    ['no version', 'transport=websocket', 5],
    ['version 3', 'EIO=3&transport=websocket', 5],
    ['an unknown session', 'EIO=4&transport=websocket&sid=abc', 1],
  ];
  for (const [what, query, code] of websocket) {
    it(`${what} is refused with ${code} at an upgrade: ?${query}`, async () => {
      const res = await ask(place, 'GET', `/socket.io/?${query}`, { headers: UPGRADE });
      if (!place.isReference) isFault(res, code);
      else if (code !== 5) assert.equal(res.status, 400); /* it opens the websocket, and says nothing */
    });
  }

  it('a session of polling is not there for a method that it does not know', async () => {
    const session = await Polling.open(place);
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      const res = await ask(place, method, session.path);
      assert.ok([400, 405, 500].includes(res.status) && (place.isReference || res.status < 500), `${res.status}`);
    }
    await session.close();
  });

  it('another origin is refused with 4, over either transport; the own one is not', async () => {
    place.expectLog(/CH1002: .* security: origin: /);
    const get = (origin, headers) =>
      ask(place, 'GET', place.url(headers ? 'websocket' : 'polling'), { headers: { ...headers, origin } });
    for (const origin of ['http://evil.example', `http://${place.host()}.evil.example`, 'null']) {
      isFault(await get(origin), 4);
      if (!place.isReference) isFault(await get(origin, UPGRADE), 4);
      else assert.equal((await get(origin, UPGRADE)).status, 400);
    }
    const own = `http://${place.host()}`;
    assert.equal((await get(own)).status, 200);
    assert.equal((await get(own, UPGRADE)).status, 101);
  });
});

/** In the namespace /echo over polling by hand. */
async function pollingEcho(place) {
  const session = await Polling.open(place);
  await session.send('40/echo,');
  const got = [];
  while (got.length < 2) got.push(...(await session.get()).packets);
  return session;
}

everywhere('Polling', {}, (place) => {
  /** Refused, perhaps by an end of the connection; the reference then keeps the session. */
  async function isTooMuch(session, status) {
    assert.ok([0, 400, 413].includes(status), `${status}`);
    if (place.isReference) await session.close();
    else await isOver(session);
  }

  it('several packets in one body, both ways; a POST is answered "ok"', async () => {
    const session = await Polling.open(place);
    const res = await session.post('40/echo,');
    assert.equal(`${res.status} ${res.text}`, '200 ok');
    assert.match(res.headers['content-type'], /^text\/(html|plain)/);
    const first = (await session.get()).packets;
    assert.match(first[0], /^40\/echo,\{"sid":"[\w-]+"\}$/);
    if (first.length < 2) first.push(...(await session.get()).packets);
    assert.equal(first[1], '42/echo,["auth",{}]');
    await session.send('42/echo,["a"]', '42/echo,["b",1]', '42/echo,7["c"]');
    const got = [];
    while (got.length < 3) got.push(...(await session.get()).packets);
    assert.deepEqual(got, ['42/echo,["a"]', '42/echo,["b",1]', '43/echo,7[]']);
    await session.close();
  });

  it('what waits is given in one answer, joined by 0x1E', async () => {
    let parts;
    /* a slow machine needs longer until all of it waits */
    for (let pause = 100; pause < 10000 && parts?.length !== 7; pause *= 2) {
      const session = await Polling.open(place);
      await session.send('40/echo,');
      for (let n = 0; n < 5; n += 1) await session.send(`42/echo,["e",${n}]`);
      await sleep(pause);
      parts = (await session.get()).text.split('\x1e');
      await session.close();
    }
    assert.equal(parts.length, 7, parts.join());
    assert.deepEqual(parts.slice(2), [0, 1, 2, 3, 4].map((n) => `42/echo,["e",${n}]`));
  });

  it('binary goes as "b" and base64', async () => {
    const session = await Polling.open(place);
    await session.send('40/echo,');
    await sleep(50);
    await session.get();
    await session.postText('451-/echo,["bin",{"_placeholder":true,"num":0}]\x1ebAQIDBA==');
    let text = '';
    while (!text.includes('bAQIDBA==')) text += `${(await session.get()).text}\x1e`;
    assert.ok(text.endsWith('451-/echo,["bin",{"_placeholder":true,"num":0}]\x1ebAQIDBA==\x1e'), text);
    await session.close();
  });

  it('a GET waits until there is something', async () => {
    const session = await pollingEcho(place);
    let answered = false;
    const get = session.get().then((res) => {
      answered = true;
      return res;
    });
    await sleep(300);
    assert.equal(answered, false);
    await session.send('42/echo,["now"]');
    assert.deepEqual((await get).packets, ['42/echo,["now"]']);
    await session.close();
  });

  it('bytes of UTF-8 are not characters', async () => {
    const session = await openEcho(place, 'polling');
    const said = ['\u00e9\u20ac\u{1d11e}', '\u001e', '\u0000', '"\\'];
    await session.send(`42/echo,${JSON.stringify(said)}`);
    const packet = await session.next();
    assert.ok(packet.startsWith('42/echo,['));
    assert.deepEqual(JSON.parse(packet.slice(8)), said);
    await session.close();
  });

  it('a second GET while one waits: 400, and the session is over', async () => {
    const session = await Polling.open(place);
    session.ended = Promise.resolve();
    /* either may be there first */
    const both = await Promise.all([session.get(), session.get()]);
    const told = both.map(({ status, packets, text }) => (status === 400 || packets[0] === '1' ? status : text));
    assert.ok(told.includes(400) && told.every((one) => [200, 400].includes(one)), told.join());
    await isOver(session);
  });

  it('a second POST while one is on its way: 400, and the session is over', async () => {
    let session;
    let second;
    /* a slow machine needs longer until the first is on its way */
    for (let pause = 200; pause < 10000 && second?.status !== 400; pause *= 2) {
      session = await Polling.open(place);
      const path = session.path;
      const headers = { 'content-type': 'text/plain', 'content-length': 100 };
      const slow = http.request({ host: '127.0.0.1', port: place.port, method: 'POST', path, headers, agent: false });
      slow.on('error', () => {}).on('response', (res) => res.resume());
      slow.write('4');
      await sleep(pause);
      second = await session.post('40/echo,');
      slow.destroy();
    }
    assert.equal(second.status, 400, second.text);
    session.ended = Promise.resolve();
    await isOver(session);
  });

  const BAD = [
    ['an unknown type', 'abc'],
    ['an empty packet at the end', '40/echo,\x1e'],
    ['a character that is no type', '\u20ac'],
  ];
  for (const [what, body] of BAD) {
    it(`${what} in a POST ends the session`, async () => {
      const session = await openSession(place, 'polling');
      await session.postText(body).catch(() => {});
      await isOver(session);
    });
  }

  it('a packet "1" ends the session', async () => {
    const session = await openSession(place, 'polling');
    await session.post('1');
    await isOver(session);
  });

  it('a body of maxPayload bytes is taken, a longer one ends the session', async () => {
    for (const [extra, good] of [
      [0, true],
      [1, false],
    ]) {
      const session = await openEcho(place, 'polling');
      const frame = '42/echo,["",""]';
      const text = 'x'.repeat(1000000 - frame.length + extra);
      const res = await session.post(`42/echo,["","${text}"]`).catch(() => ({ status: 0 }));
      if (good) {
        assert.equal(res.status, 200);
        assert.equal((await session.next()).length, 1000000);
        await session.close();
      } else {
        await isTooMuch(session, res.status);
      }
    }
  });

  it('a body that is sent in chunks is bounded too', async () => {
    const session = await openEcho(place, 'polling');
    const status = await new Promise((resolve) => {
      const req = http.request({ host: '127.0.0.1', port: place.port, method: 'POST', path: session.path, agent: false });
      req.setHeader('content-type', 'text/plain');
      req.on('error', () => resolve(0)).on('response', (res) => resolve(res.resume().statusCode));
      req.write(`42/echo,["${'x'.repeat(600000)}`);
      req.end(`${'x'.repeat(600000)}"]`);
    });
    await isTooMuch(session, status);
  });

  it('a request over a session that is a websocket is refused, and the websocket stays', async () => {
    const session = await openEcho(place, 'websocket');
    const path = `${place.url('polling')}&sid=${session.sid}`;
    assert.equal((await ask(place, 'GET', path)).status, 400);
    await session.send('42/echo,["still"]');
    assert.equal(await session.next(), '42/echo,["still"]');
    await session.close();
  });
});

everywhere('Heartbeats', { ping: [300, 4000] }, (place) => {
  it('a websocket is pinged again and again', async () => {
    const start = Date.now();
    const session = await Socket.open(place, { pong: false });
    for (let n = 1; n <= 4; n += 1) {
      assert.equal(await session.next(), '2');
      assert.ok(Date.now() - start > 300 * n - 150, 'not before its time');
      await session.send('3');
    }
    await session.close();
  });

  it('polling is pinged too', async () => {
    const session = await Polling.open(place);
    for (let n = 0; n < 3; n += 1) {
      assert.deepEqual((await session.get()).packets, ['2']);
      await session.send('3');
    }
    await session.close();
  });

  it('a session that answers goes on, for longer than without its pongs', async () => {
    const both = await Promise.all(['websocket', 'polling'].map((transport) => openEcho(place, transport)));
    await sleep(5000);
    for (const session of both) {
      await session.send('42/echo,["here"]');
      assert.equal(await session.next(), '42/echo,["here"]');
      await session.close();
    }
  });
});

everywhere('Heartbeats that end', { ping: [300, 200] }, (place) => {
  const DEAD = 300 + 200; /* ms after which nobody is there */

  for (const transport of ['websocket', 'polling']) {
    it(`${transport}: without pong the session is over`, async () => {
      const start = Date.now();
      const session =
        transport === 'websocket' ? await Socket.open(place, { pong: false }) : await Polling.open(place);
      if (transport === 'polling') {
        const polls = async () => {
          while ((await session.get()).status === 200);
        };
        session.ended = polls();
      }
      await isOver(session);
      assert.ok(Date.now() - start >= 400, 'not before its time');
    });
  }

  it('a session that nobody asks for is over', async () => {
    const session = await Polling.open(place);
    session.ended = sleep(DEAD + 400 * patience);
    await isOver(session);
  });

  it('other packets are no pong', async () => {
    const session = await Socket.open(place, { pong: false });
    await session.send('40/echo,');
    const timer = setInterval(() => session.ws.send('42/echo,["busy"]'), 100);
    await isOver(session).finally(() => clearInterval(timer));
  });
});

everywhere('Upgrades', {}, (place) => {
  /** A websocket for the session that was probed. */
  async function probe(session) {
    const socket = await Socket.open(place, { sid: session.sid });
    await socket.send('2probe');
    assert.equal(await socket.next(), '3probe');
    return socket;
  }

  it('probe, noop to the GET that waits, upgrade; then the websocket carries everything', async () => {
    const session = await pollingEcho(place);
    const waiting = session.get();
    await sleep(50);
    const socket = await probe(session);
    const { status, packets } = await waiting;
    assert.equal(`${status} ${packets}`, '200 6');
    await socket.send('5');
    await socket.send('42/echo,["over"]');
    assert.equal(await socket.next(), '42/echo,["over"]');
    const late = await session.get();
    assert.equal(late.status, 400);
    await socket.close();
    session.ended = Promise.resolve();
    await isOver(session);
  });

  it('what was said before the upgrade comes over the websocket, in order', async () => {
    const session = await pollingEcho(place);
    const socket = await probe(session);
    await session.send('42/echo,["a"]', '42/echo,["b"]');
    await session.send('42/echo,["c"]', '451-/echo,["d",{"_placeholder":true,"num":0}]', Buffer.from([1, 2]));
    await socket.send('5');
    await socket.send('42/echo,["e"]');
    const got = [];
    for (let n = 0; n < 6; n += 1) got.push(await socket.next());
    assert.deepEqual(got, [
      '42/echo,["a"]',
      '42/echo,["b"]',
      '42/echo,["c"]',
      '451-/echo,["d",{"_placeholder":true,"num":0}]',
      Buffer.from([1, 2]),
      '42/echo,["e"]',
    ]);
    await socket.close();
  });

  it('polling goes on while nothing but a probe was said', async () => {
    const session = await pollingEcho(place);
    const socket = await probe(session);
    await session.send('42/echo,["still polling"]');
    const got = [];
    while (!got.includes('42/echo,["still polling"]')) got.push(...(await session.get()).packets);
    await socket.close();
    await session.close();
  });

  it('anything but a probe as the first packet closes the websocket only', async () => {
    for (const packet of ['2', '40/echo,', '2prob', Buffer.from('2probe')]) {
      const session = await pollingEcho(place);
      const socket = await Socket.open(place, { sid: session.sid });
      await socket.send(packet);
      assert.ok(await within(generous(3000), socket.ended), `${packet} closes it`);
      const res = await session.post('42/echo,["here"]');
      assert.equal(`${res.status} ${res.text}`, '200 ok');
      await session.close();
    }
  });

  it('a second websocket, while one upgrades or after it, is closed; the first one stays', async () => {
    const session = await pollingEcho(place);
    const first = await probe(session);
    const second = await Socket.open(place, { sid: session.sid }).catch((error) => ({ ended: Promise.resolve(error) }));
    assert.ok(await within(generous(3000), second.ended), 'while the first one upgrades');
    await first.send('5');
    await first.send('42/echo,["one"]');
    assert.equal(await first.next(), '42/echo,["one"]');
    const third = await Socket.open(place, { sid: session.sid }).catch((error) => ({ ended: Promise.resolve(error) }));
    assert.ok(await within(generous(3000), third.ended), 'after the upgrade');
    await first.send('42/echo,["two"]');
    assert.equal(await first.next(), '42/echo,["two"]');
    await first.close();
  });

  it('a session that began as a websocket has nothing to upgrade', async () => {
    const session = await openEcho(place, 'websocket');
    const second = await Socket.open(place, { sid: session.sid }).catch((error) => ({ ended: Promise.resolve(error) }));
    assert.ok(await within(generous(3000), second.ended));
    await session.send('42/echo,["here"]');
    assert.equal(await session.next(), '42/echo,["here"]');
    await session.close();
  });

  it('many sessions upgrade at once, and lose nothing', async () => {
    const said = Array.from({ length: 10 }, (_, n) => `42/echo,["n",${n}]`);
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const session = await pollingEcho(place);
        const waiting = session.get();
        const got = new Queue('packet');
        const posts = (async () => {
          for (const packet of said.slice(0, 5)) await session.send(packet);
        })();
        const socket = await Socket.open(place, { sid: session.sid });
        await socket.send('2probe');
        assert.equal(await socket.next(), '3probe');
        await posts;
        for (const packet of (await waiting).packets) if (packet !== '6') got.push(packet);
        await socket.send('5');
        for (const packet of said.slice(5)) await socket.send(packet);
        while (got.items.length < said.length) got.push(await socket.next());
        assert.deepEqual(got.items, said);
        await socket.close();
      }),
    );
  });
});

everywhere('Upgrades that take long', { upgradeTimeout: 500 }, (place) => {
  it('a websocket that is not finished in time is closed; the session stays', async () => {
    const session = await pollingEcho(place);
    const start = Date.now();
    const socket = await Socket.open(place, { sid: session.sid });
    assert.ok(await within(generous(3000), socket.ended), 'it is closed');
    assert.ok(Date.now() - start > 350, 'not before its time');
    await session.send('42/echo,["here"]');
    const got = [];
    while (!got.includes('42/echo,["here"]')) got.push(...(await session.get()).packets);
    await session.close();
  });
});
