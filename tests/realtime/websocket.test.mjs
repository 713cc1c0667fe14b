/* WebSockets (RFC 6455), byte by byte. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { generous, sleep, within } from '../api/lib/env.mjs';
import { everywhere } from './lib/place.mjs';
import { isOver } from './lib/session.mjs';
import * as ws from './lib/frames.mjs';

const { BINARY, CLOSE, CONTINUATION, PING, PONG, RawSocket, TEXT, frame } = ws;
const PROTOCOL = 1002;
const INVALID = 1007;
const TOO_BIG = 1009;

/** What a handshake like this is answered. */
async function answer(place, options) {
  const socket = new RawSocket(place);
  socket.write(ws.handshake(place, options));
  const head = await within(generous(5000), socket.answered);
  socket.end();
  return head;
}

everywhere('Handshakes of websockets', {}, (place) => {
  it('are accepted, with the answer to their key', async () => {
    const { status, headers } = await answer(place);
    assert.equal(status, 101);
    assert.equal(headers['sec-websocket-accept'], ws.ACCEPT);
    assert.equal(headers.upgrade.toLowerCase(), 'websocket');
    assert.match(headers.connection, /upgrade/i);
    assert.equal(headers['sec-websocket-extensions'], undefined);
    assert.equal(headers['sec-websocket-protocol'], undefined);
  });

  it('in any case, in lists, with extensions and protocols that are not taken up', async () => {
    for (const headers of [
      { Upgrade: 'WebSocket' },
      { Connection: 'keep-alive, upgrade' },
      { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
      { 'Sec-WebSocket-Version': ' 13 ' },
    ]) {
      const { status, headers: got } = await answer(place, { headers });
      assert.equal(status, 101, JSON.stringify(headers));
      assert.equal(got['sec-websocket-extensions'], undefined);
    }
  });

  const REFUSED = [
    ['no key', { 'Sec-WebSocket-Key': null }],
    ['a key that is none', { 'Sec-WebSocket-Key': 'abc' }],
    ['a key of 15 bytes', { 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') }],
    ['a key of 17 bytes', { 'Sec-WebSocket-Key': Buffer.alloc(17).toString('base64') }],
    ['a key with more behind it', { 'Sec-WebSocket-Key': `${ws.KEY}x` }],
    ['another upgrade', { Upgrade: 'h2c' }],
    ['no upgrade', { Upgrade: null }],
    ['no upgrade of the connection', { Connection: 'keep-alive' }],
  ];
  for (const [what, headers] of REFUSED) {
    /* the reference says nothing to what is no upgrade */
    const test = 'Sec-WebSocket-Key' in headers ? it : place.unlessReference;
    test(`${what} is refused with 400`, async () => {
      assert.equal((await answer(place, { headers })).status, 400);
    });
  }

  it('other versions are refused, and the right one is told', async () => {
    for (const version of place.isReference ? ['12'] : ['12', '8', '14', '13x', null]) {
      const { status, headers } = await answer(place, { headers: { 'Sec-WebSocket-Version': version } });
      if (place.isReference) {
        assert.equal(status, 400);
      } else {
        assert.equal(status, 426, version);
        assert.equal(headers['sec-websocket-version'], '13');
      }
    }
  });

  it('other methods are refused', async () => {
    for (const method of ['POST', 'PUT', 'HEAD']) {
      const { status } = await answer(place, { method });
      assert.ok(status >= 400 && status < 500, `${method}: ${status}`);
    }
  });

  place.unlessReference('another origin is refused', async () => {
    place.expectLog(/CH1002: .* security: origin: /);
    for (const origin of ['http://evil.example', 'null', `https://${place.host()}`, `http://${place.host()}.evil.example`]) {
      assert.equal((await answer(place, { headers: { Origin: origin } })).status, 403, origin);
    }
    assert.equal((await answer(place, { headers: { Origin: `http://${place.host()}` } })).status, 101);
  });

  it('GET of the path without a query is no handshake', async () => {
    assert.equal((await answer(place, { path: '/socket.io/' })).status, 400);
    assert.equal((await answer(place, { path: '/socket.io/?' })).status, 400);
  });

  it('bytes of the request one at a time', async () => {
    const socket = new RawSocket(place);
    for (const byte of ws.handshake(place)) {
      socket.write(byte);
      await sleep(0);
    }
    assert.equal((await socket.answered).status, 101);
    assert.match(await socket.text(), /^0\{/);
    await (await socket.echo()).lives();
    socket.end();
  });
});

everywhere('Frames', { maxPayload: 100000 }, (place) => {
  const open = async (options) => (await RawSocket.open(place, options)).echo();
  const event = (text) => `42/echo,["${text}"]`;

  describe('are taken', () => {
    it('one byte at a time', async () => {
      const socket = await open();
      for (const byte of frame(TEXT, event('slow'))) {
        socket.write(Buffer.from([byte]));
        await sleep(2);
      }
      assert.equal(await socket.text(), event('slow'));
      socket.end();
    });

    it('many in one segment, and the beginning of another', async () => {
      const socket = await open();
      const last = frame(TEXT, event('last'));
      socket.glue(...Array.from({ length: 50 }, (_, n) => frame(TEXT, event(`n${n}`))), last.subarray(0, 7));
      for (let n = 0; n < 50; n += 1) assert.equal(await socket.text(), event(`n${n}`));
      await socket.frames.none(50);
      socket.write(last.subarray(7));
      assert.equal(await socket.text(), event('last'));
      socket.end();
    });

    place.unlessReference('glued to the request of the handshake', async () => {
      const glued = Buffer.concat([frame(TEXT, '40/echo,'), frame(TEXT, event('early'))]);
      const socket = await RawSocket.open(place, { glued });
      assert.match(await socket.text(), /^40\/echo,/);
      assert.equal(await socket.text(), '42/echo,["auth",{}]');
      assert.equal(await socket.text(), event('early'));
      await socket.lives();
      socket.end();
    });

    place.unlessReference('a long one glued to the request, a part of it', async () => {
      const long = frame(TEXT, event('x'.repeat(60000)));
      const glued = Buffer.concat([frame(TEXT, '40/echo,'), long.subarray(0, 20000)]);
      const socket = await RawSocket.open(place, { glued });
      await sleep(100);
      socket.write(long.subarray(20000));
      assert.match(await socket.text(), /^40\/echo,/);
      assert.equal(await socket.text(), '42/echo,["auth",{}]');
      assert.equal((await socket.text()).length, 60000 + 12);
      socket.end();
    });

    it('of every length around those where their header changes', async () => {
      const socket = await open();
      const rest = event('').length;
      for (const length of [rest, 125, 126, 127, 128, 4095, 4096, 8191, 16384, 65535, 65536, 65537, 100000]) {
        const text = event('x'.repeat(length - rest));
        socket.send(text);
        assert.equal(await socket.text(), text);
      }
      socket.end();
    });

    it('in fragments, some of them empty, with pings in between', async () => {
      const socket = await open();
      const text = event('a\u00e9\u{1d11e}b');
      const data = Buffer.from(text);
      socket.write(frame(TEXT, data.subarray(0, 5), { fin: false }));
      socket.write(frame(PING, 'one'));
      socket.write(frame(CONTINUATION, '', { fin: false }));
      for (let n = 5; n < data.length - 1; n += 1) {
        socket.write(frame(CONTINUATION, data.subarray(n, n + 1), { fin: false }));
      }
      socket.write(frame(PING, 'two'));
      socket.write(frame(CONTINUATION, data.subarray(-1)));
      for (const said of ['one', 'two']) {
        const pong = await socket.next();
        assert.equal(`${pong.opcode} ${pong.data}`, `${PONG} ${said}`);
      }
      assert.equal(await socket.text(), text);
      socket.end();
    });

    it('pings of up to 125 bytes, which are given back; pongs that nobody asked for', async () => {
      const socket = await open();
      for (const data of ['', 'x', Buffer.alloc(125, 255)]) {
        socket.write(frame(PONG, data), frame(PING, data));
        const pong = await socket.next();
        assert.deepEqual([pong.opcode, pong.fin, pong.data], [PONG, 1, Buffer.from(data)]);
      }
      await socket.lives();
      socket.end();
    });

    it('attachments, binary and whole', async () => {
      const socket = await open();
      const data = Buffer.from([0, 255, 0xc3, 0x28, 128]);
      socket.send('451-/echo,["x",{"_placeholder":true,"num":0}]');
      socket.write(frame(BINARY, data.subarray(0, 2), { fin: false }), frame(CONTINUATION, data.subarray(2)));
      assert.equal(await socket.text(), '451-/echo,["x",{"_placeholder":true,"num":0}]');
      const got = await socket.next();
      assert.deepEqual([got.opcode, got.fin, got.data], [BINARY, 1, data]);
      socket.end();
    });
  });

  /* What breaks the protocol, and the code by which one hears of it. */
  const long = Buffer.alloc(126, 120);
  const BROKEN = [
    ['a frame without mask', PROTOCOL, [frame(TEXT, '42', { mask: false })]],
    ['an empty frame without mask', PROTOCOL, [frame(TEXT, '', { mask: false })]],
    ['a reserved bit, 1', PROTOCOL, [frame(TEXT, 'x', { rsv: 4 })]],
    ['a reserved bit, 2', PROTOCOL, [frame(TEXT, 'x', { rsv: 2 })]],
    ['a reserved bit, 3', PROTOCOL, [frame(TEXT, 'x', { rsv: 1 })]],
    ['a reserved bit of a ping', PROTOCOL, [frame(PING, 'x', { rsv: 4 })]],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((op) => [`the unknown opcode ${op}`, PROTOCOL, [frame(op, 'x')]]),
    ['a continuation of nothing', PROTOCOL, [frame(CONTINUATION, 'x')]],
    ['a text within a text', PROTOCOL, [frame(TEXT, '4', { fin: false }), frame(TEXT, 'x')]],
    ['a ping of 126 bytes', PROTOCOL, [frame(PING, long)]],
    ['a ping in fragments', PROTOCOL, [frame(PING, 'x', { fin: false })]],
    ['a close of 126 bytes', PROTOCOL, [frame(CLOSE, long)]],
    ['a close in fragments', PROTOCOL, [frame(CLOSE, '', { fin: false })]],
    ['a close of one byte', PROTOCOL, [frame(CLOSE, 'x')]],
    ['text that is not UTF-8', INVALID, [frame(TEXT, Buffer.from([0x34, 0xc3, 0x28]))]],
    ['an overlong character', INVALID, [frame(TEXT, Buffer.from([0x34, 0xc0, 0xaf]))]],
    ['a surrogate', INVALID, [frame(TEXT, Buffer.from([0x34, 0xed, 0xa0, 0x80]))]],
    ['a character beyond the last one', INVALID, [frame(TEXT, Buffer.from([0x34, 0xf4, 0x90, 0x80, 0x80]))]],
    ['a character that is cut', INVALID, [frame(TEXT, Buffer.from([0x34, 0xe2, 0x82]))]],
    [
      'a character that is cut, in fragments',
      INVALID,
      [frame(TEXT, Buffer.from([0x34, 0xe2]), { fin: false }), frame(CONTINUATION, Buffer.from([0x82]))],
    ],
    ['a reason that is not UTF-8', INVALID, [ws.closeFrame(1000, Buffer.from([0xc3, 0x28]))]],
    ['a message that is too long', TOO_BIG, [frame(TEXT, Buffer.alloc(100001, 52))]],
    ['a giant, announced', TOO_BIG, [frame(TEXT, '4', { announced: 2n ** 40n })]],
    ['the largest giant there is', [TOO_BIG, PROTOCOL], [frame(BINARY, '4', { announced: 2n ** 63n - 1n })]],
    ['more than there can be', [PROTOCOL, TOO_BIG], [frame(TEXT, '4', { announced: 2n ** 64n - 1n })]],
    [
      'fragments that are too long together',
      TOO_BIG,
      [
        frame(TEXT, Buffer.alloc(60000, 52), { fin: false }),
        frame(CONTINUATION, Buffer.alloc(40000, 52), { fin: false }),
        frame(CONTINUATION, 'x'),
      ],
    ],
  ];
  describe('are refused', () => {
    for (const [what, codes, parts] of BROKEN) {
      it(`${what}: ${codes}`, async () => {
        const socket = await open();
        socket.write(...parts);
        const last = await socket.frames.next();
        assert.equal(last.opcode, CLOSE);
        assert.ok([codes].flat().includes(last.data.readUInt16BE(0)), `${last.data.readUInt16BE(0)}`);
        await socket.isGone();
      });
    }

    it('a length that is not written as short as possible is no harm, or refused', async () => {
      for (const width of [2, 8]) {
        const socket = await open();
        socket.write(frame(TEXT, event('wide'), { width }));
        const got = await socket.next();
        if (got.opcode === TEXT) assert.equal(got.data.toString(), event('wide'));
        else assert.equal(got.data.readUInt16BE(0), PROTOCOL);
        socket.end();
      }
    });

    it('nothing that comes behind what broke the protocol', async () => {
      const socket = await open();
      socket.glue(frame(TEXT, event('good')), frame(TEXT, 'x', { rsv: 4 }), frame(TEXT, event('late')));
      assert.equal(await socket.text(), event('good'));
      await socket.isClosed(PROTOCOL);
      assert.deepEqual(socket.frames.items, []);
    });
  });

  describe('CLOSE', () => {
    it('is answered with the same code, and the connection is closed', async () => {
      for (const code of [1000, 1001, 1008, 3000, 4999]) {
        const socket = await open();
        socket.write(ws.closeFrame(code, 'bye'));
        await socket.isClosed(code);
      }
    });

    it('without a code is answered too', async () => {
      const socket = await open();
      socket.write(frame(CLOSE));
      const got = await socket.next();
      assert.equal(got.opcode, CLOSE);
      assert.ok(got.data.length === 0 || got.data.readUInt16BE(0) === 1000);
      await socket.isGone();
    });

    it('with a code that nobody may send breaks the protocol', async () => {
      for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535]) {
        const socket = await open();
        socket.write(ws.closeFrame(code));
        await socket.isClosed(PROTOCOL);
      }
    });

    it('ends what follows it', async () => {
      const socket = await open();
      socket.glue(ws.closeFrame(1000), frame(TEXT, event('late')));
      await socket.isClosed(1000);
      assert.deepEqual(socket.frames.items, []);
    });

    it('comes from the server when the session ends', async () => {
      const socket = await open();
      socket.polite = true;
      socket.send('4nonsense');
      await socket.isGone();
    });
  });
});

everywhere('Connections that end without a word', { ping: [300, 200] }, (place) => {
  const gone = async (end) => {
    const socket = new RawSocket(place);
    socket.write(ws.handshake(place));
    await socket.answered;
    const { sid } = JSON.parse((await socket.text()).slice(1));
    socket.write(frame(TEXT, '40/echo,'));
    await sleep(50);
    end(socket);
    await isOver({ place, sid, ended: within(generous(2000), socket.ended) });
    socket.end();
  };

  it('half: what was said is heard, then it is over', async () => {
    const socket = new RawSocket(place);
    socket.write(ws.handshake(place));
    await socket.answered;
    socket.glue(frame(TEXT, '40/echo,'), frame(TEXT, '42/echo,["last"]'));
    socket.socket.end();
    await socket.isGone();
  });

  it('half: the session is over', () => gone((socket) => socket.socket.end()));
  it('by a reset', async () => {
    await gone((socket) => {
      socket.socket.resetAndDestroy();
    });
  });
  it('silent: the session is over in time', () => gone(() => {}));
  it('in the middle of a frame', () =>
    gone((socket) => {
      socket.write(frame(TEXT, '42/echo,["cut"]').subarray(0, 9));
      socket.socket.destroy();
    }));

  it('a hundred that say no word at all harm nobody', async () => {
    const idle = Array.from({ length: 100 }, () => Object.assign(new RawSocket(place), { polite: true }));
    for (const socket of idle) socket.write(ws.handshake(place));
    await Promise.all(idle.map((socket) => socket.answered));
    const socket = await (await RawSocket.open(place)).echo();
    await socket.lives();
    await Promise.all(idle.map((one) => one.isGone(4000)));
    socket.end();
  });
});
