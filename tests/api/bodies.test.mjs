/* Request bodies: what is JSON, what is valid, how faults are reported, sizes (API.md 1.4). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { rawExchange } from './lib/client.mjs';
import { fails, invalid, NOWHERE, ok, times } from './lib/expect.mjs';

const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const nested = (levels) => `${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`;
const inName = (...octets) => bytes('{"name":"a', octets, 'b"}');
const MAX = 10485760;

serverSuite('Request bodies', {}, (s) => {
  let alice;
  let count = 0;
  const name = () => {
    count += 1;
    return `name ${count}`;
  };
  before(async () => {
    alice = await s.user();
  });

  const send = (body, options) => alice.api('POST', '/folders', { body, ...options });
  const settings = (body) => alice.api('PUT', '/user/settings', { body });

  const malformed = [
    ['an open brace', '{'],
    ['nothing but a space', ' '],
    ['a word', 'name'],
    ['trailing garbage', '{"name":"a"}x'],
    ['a second object', '{"name":"a"}{}'],
    ['a trailing comma', '{"name":"a",}'],
    ['single quotes', "{'name':'a'}"],
    ['an unquoted key', '{name:"a"}'],
    ['a comment', '{"name":"a"/**/}'],
    ['NaN', '{"name":"a","position":NaN}'],
    ['Infinity', '{"name":"a","position":Infinity}'],
    ['a leading zero', '{"name":"a","position":01}'],
    ['a plus sign', '{"name":"a","position":+1}'],
    ['a bare fraction', '{"name":"a","position":.5}'],
    ['an open fraction', '{"name":"a","position":1.}'],
    ['a hexadecimal number', '{"name":"a","position":0x1}'],
    ['a raw line break in a string', '{"name":"a\nb"}'],
    ['a raw tab in a string', '{"name":"a\tb"}'],
    ['an unknown escape', '{"name":"a\\x41"}'],
    ['a short escape', '{"name":"a\\u12"}'],
    ['an open string', '{"name":"a'],
    ['a lone high surrogate', '{"name":"\\ud800"}'],
    ['a lone low surrogate', '{"name":"\\udc00"}'],
    ['surrogates the wrong way round', '{"name":"\\udc00\\ud800"}'],
    ['a high surrogate and a letter', '{"name":"\\ud800a"}'],
    ['a lone surrogate in a key', '{"name":"a","\\ud800":1}'],
    ['an escaped NUL', '{"name":"a\\u0000b"}'],
    ['an escaped NUL in a key', '{"name":"a","\\u0000":1}'],
    ['a raw NUL', inName(0)],
    ['a NUL after the end', bytes('{"name":"a"}', [0])],
    ['a bare continuation byte', inName(0x80)],
    ['a cut sequence', inName(0xe2, 0x82)],
    ['an overlong slash', inName(0xc0, 0xaf)],
    ['an overlong NUL', inName(0xc0, 0x80)],
    ['a surrogate in UTF-8', inName(0xed, 0xa0, 0x80)],
    ['a code point over U+10FFFF', inName(0xf4, 0x90, 0x80, 0x80)],
    ['the byte FF', inName(0xff)],
    ['Latin-1', inName(0xe9)],
    ['invalid UTF-8 in a key', bytes('{"name":"a","', [0xff], '":1}')],
    ['a byte order mark', bytes([0xef, 0xbb, 0xbf], '{"name":"a"}')],
    ['UTF-16', Buffer.from('{"name":"a"}', 'utf16le')],
    ['a repeated key', '{"name":"a","name":"a"}'],
    ['a repeated key by escape', '{"name":"a","n\\u0061me":"b"}'],
    ['a repeated unknown key', '{"name":"a","x":1,"x":1}'],
    ['1e400', '{"name":"a","position":1e400}'],
    ['-1e400', '{"name":"a","position":-1e400}'],
    ['a number of 400 digits', `{"name":"a","position":${'9'.repeat(400)}}`],
    ['an unknown field that holds 1e999', '{"name":"a","x":1e999}'],
    ['100000 brackets', '['.repeat(100000)],
  ];
  for (const [what, body] of malformed) {
    it(`${what} is MALFORMED_JSON`, async () => {
      const { details } = fails(await send(body), 400, 'MALFORMED_JSON');
      assert.ok(Array.isArray(details));
    });
  }
  for (const [what, inner] of [
    ['a repeated key in a nested object', '{"a":{"b":1,"b":2}}'],
    ['a repeated key in an array', '{"a":[{"b":1,"b":2}]}'],
    ['a repeated key at level 32', `${'{"a":'.repeat(30)}{"b":1,"b":2}${'}'.repeat(30)}`],
    ['a repeated empty key', '{"":1,"":2}'],
    ['a lone surrogate deep inside', '{"a":["\\udfff"]}'],
    ['a NUL deep inside', '{"a":{"b":"\\u0000"}}'],
    ['1e400 deep inside', '{"a":[1e400]}'],
    ['depth 33', nested(32)],
    ['depth 33 by arrays', `{"a":${'['.repeat(31)}${']'.repeat(31)}}`],
  ]) {
    it(`${what} is MALFORMED_JSON`, async () => {
      fails(await settings(`{"custom":${inner}}`), 400, 'MALFORMED_JSON');
    });
  }
  for (const [what, inner] of [
    ['depth 32', nested(31)],
    ['depth 32 by arrays', `{"a":${'['.repeat(30)}${']'.repeat(30)}}`],
    ['keys that are equal at different levels', '{"a":{"a":{"a":1}}}'],
    ['an empty key', '{"":1}'],
    ['large and small doubles', '{"a":[1.7976931348623157e308,5e-324,-0.5,1E5]}'],
    ['an integer of 30 digits', '{"a":123456789012345678901234567890}'],
    ['keys that differ in case', '{"a":1,"A":2}'],
    ['keys that differ in normal form', '{"\\u00e9":1,"e\\u0301":2}'],
    ['paired surrogate escapes', '{"a":"\\ud83d\\ude00"}'],
  ]) {
    it(`${what} is accepted`, async () => {
      assert.deepEqual(ok(await settings(`{"custom":${inner}}`)).custom, JSON.parse(inner));
    });
  }

  for (const body of ['[]', '"a"', '1', 'true', 'null', '[{"name":"a"}]', '-1.5e3']) {
    it(`a body that is ${body} is no object`, async () => {
      invalid(await send(body), [null, 'WRONG_TYPE']);
    });
  }

  const fields = [
    ['name', ['1', '1.5', 'true', 'null', '[]', '{}', '["a"]'], 'WRONG_TYPE'],
    ['position', ['"1"', '"a"', '1.0', '1.5', '-0.0', '1e2', 'true', 'null', '[1]', '{}'], 'WRONG_TYPE'],
    ['position', ['-1', '-1000000', '-9223372036854775808'], 'TOO_SMALL'],
    [
      'position',
      ['1000001', '2147483648', '9223372036854775807', '9223372036854775808', '123456789012345678901234567890'],
      'TOO_LARGE',
    ],
    ['position', ['-123456789012345678901234567890'], 'TOO_SMALL'],
    ['color', ['1', 'false', '[]'], 'WRONG_TYPE'],
    ['id', ['null', '7'], 'WRONG_TYPE'],
  ];
  for (const [field, values, code] of fields) {
    for (const value of values) {
      it(`${field}: ${value} is ${code}`, async () => {
        const body = field === 'name' ? `{"name":${value}}` : `{"name":"a","${field}":${value}}`;
        invalid(await send(body), [field, code]);
      });
    }
  }

  it('Unicode white space around a line field is trimmed, of every kind', async () => {
    const spaces = [
      9,
      10,
      11,
      12,
      13,
      0x20,
      0x85,
      0xa0,
      0x1680,
      ...times(11, (k) => 0x2000 + k),
      0x2028,
      0x2029,
      0x202f,
      0x205f,
      0x3000,
    ].map((code) => String.fromCodePoint(code));
    for (const space of [...spaces, spaces.join('')]) {
      const word = name();
      assert.equal(
        ok(await alice.post('/folders', { name: `${space}${word}${space}` }), 201).name,
        word,
        JSON.stringify(space),
      );
      invalid(await alice.post('/folders', { name: space }), ['name', 'TOO_SHORT']);
    }
    for (const kept of ['\u200b', '\ufeff', '\u2060', '\u180e']) {
      const word = `${kept}${name()}${kept}`;
      assert.equal(ok(await alice.post('/folders', { name: word }), 201).name, word, JSON.stringify(kept));
    }
  });

  it('trimming comes before the length is checked, and white space inside stays', async () => {
    const long = `${name()} ${'x'.repeat(255)}`.slice(0, 255);
    assert.equal(ok(await alice.post('/folders', { name: ` ${long}\n` }), 201).name, long);
    const inner = `a \u00a0 b ${name()}`;
    assert.equal(ok(await alice.post('/folders', { name: inner }), 201).name, inner);
  });

  it('control characters inside a line field are refused, C1 ones are kept', async () => {
    for (let code = 1; code < 0x20; code += 1) {
      invalid(await alice.post('/folders', { name: `a${String.fromCharCode(code)}b` }), ['name', /^INVALID_/]);
    }
    invalid(await alice.post('/folders', { name: 'a\u007fb' }), ['name', /^INVALID_/]);
    for (const code of [0x80, 0x85, 0x9f]) {
      const word = `${name()}${String.fromCharCode(code)}b`;
      assert.equal(ok(await alice.post('/folders', { name: word }), 201).name, word);
    }
  });

  it('a text field keeps everything but other control characters', async () => {
    for (let code = 1; code < 0x20; code += 1) {
      const content = `  a${String.fromCharCode(code)}b \n`;
      const res = await alice.post('/notes', { content });
      if ([9, 10, 13].includes(code)) assert.equal(ok(res, 201).content, content);
      else invalid(res, ['content', /^INVALID_/]);
    }
    for (const content of [
      '\u0080\u009f\u0085',
      ' \u00a0\u3000 ',
      'e\u0301 \u00e9 \u212b',
      '\u202ertl\u202c',
      '\ud83d\ude00\u{10ffff}\uffff',
    ]) {
      assert.equal(ok(await alice.post('/notes', { content }), 201).content, content);
    }
  });

  it('escapes are read and written right', async () => {
    const word = `"quotes" \\ / ${name()} \u2028 </script> 😀`;
    const escaped = JSON.stringify(word).replace(
      /[\u0080-\uffff/]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    assert.equal(ok(await send(`{"n\\u0061me":${escaped}}`), 201).name, word);
    assert.equal(ok(await send(` \r\n\t{ "name" : ${JSON.stringify(name())} } \n`), 201).position, 0);
  });

  it('all faults come in one answer: query, header, body in document order, missing fields last', async () => {
    const res = await alice.post(
      '/folders?zzz=1&yyy=2&zzz=3',
      { colour: 'red', position: -1, icon: 7, id: 'x' },
      { headers: { 'idempotency-key': 'x'.repeat(256) } },
    );
    const got = fails(res, 400, 'VALIDATION_ERROR').details.map((d) => `${d.field} ${d.code}`);
    assert.deepEqual(
      got.filter((line, n) => got.indexOf(line) === n),
      [
        'zzz UNKNOWN_FIELD',
        'yyy UNKNOWN_FIELD',
        got.find((x) => x.startsWith('idempotency-key')),
        'colour UNKNOWN_FIELD',
        'position TOO_SMALL',
        'icon WRONG_TYPE',
        'id INVALID_FORMAT',
        'name MISSING_FIELD',
      ],
    );
    invalid(
      await alice.put('/folders/xyz?b=1&a=2', { position: -1, colour: 1, name: '' }),
      ['id', 'INVALID_FORMAT'],
      ['b', 'UNKNOWN_FIELD'],
      ['a', 'UNKNOWN_FIELD'],
      ['position', 'TOO_SMALL'],
      ['colour', 'UNKNOWN_FIELD'],
      ['name', 'TOO_SHORT'],
    );
    invalid(
      await s.anon.post('/auth/register', { session: 1 }),
      ['session', 'WRONG_TYPE'],
      ['email', 'MISSING_FIELD'],
      ['password', 'MISSING_FIELD'],
    );
  });

  it('the wire example of 19.1 holds', async () => {
    invalid(
      await send('{"name":"","colour":"red","position":-1}'),
      ['name', 'TOO_SHORT'],
      ['colour', 'UNKNOWN_FIELD'],
      ['position', 'TOO_SMALL'],
    );
  });

  it('at most 100 faults are reported, the first ones', async () => {
    const res = await alice.post('/folders', Object.fromEntries(times(150, (n) => [`f${n}`, n])));
    invalid(res, ...times(100, (n) => [`f${n}`, 'UNKNOWN_FIELD']));
    const start = Date.now();
    const huge = await alice.post('/notes', { tags: times(200000, () => 1) });
    assert.equal(fails(huge, 400, 'VALIDATION_ERROR').details[0].field.split('[')[0], 'tags');
    assert.ok(Date.now() - start < 15000, 'a huge array is refused quickly');
  });

  it('odd field names are reported as they are, without harm', async () => {
    for (const field of [
      '__proto__',
      'constructor',
      'a.b',
      'a[0]',
      '',
      ' name',
      'Name',
      'x'.repeat(5000),
      '\u202e',
      '%s%n',
      '"',
    ]) {
      const res = await send(`{"name":"a",${JSON.stringify(field)}:1}`);
      const { details } = fails(res, 400, 'VALIDATION_ERROR');
      assert.equal(details.length, 1);
      assert.equal(details[0].code, 'UNKNOWN_FIELD');
      if (field.length < 100) assert.equal(details[0].field, field);
    }
  });

  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON; Charset=UTF-8',
    'application/json;charset="utf-8"',
    'application/json ; charset=utf-8',
  ]) {
    it(`Content-Type ${type} is accepted`, async () => {
      ok(await send(JSON.stringify({ name: name() }), { type }), 201);
    });
  }
  for (const type of [
    null,
    'text/plain',
    'text/json',
    'application/jsonx',
    'application/ld+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=iso-8859-1',
    'application/json; charset=utf-16',
    'application',
    'application/',
    '',
    ';',
    'text/plain; application/json',
  ]) {
    it(`Content-Type ${JSON.stringify(type)} is refused`, async () => {
      for (const body of [JSON.stringify({ name: name() }), 'name=a'])
        fails(await send(body, { type }), 415, 'UNSUPPORTED_MEDIA_TYPE');
    });
  }

  it('an empty body is {} where every field is optional, and needs no Content-Type', async () => {
    const { id } = ok(await alice.post('/notes', {}), 201);
    for (const type of [null, 'application/json']) {
      assert.equal(ok(await alice.api('PUT', `/notes/${id}`, { body: '', type })).version, 1);
      ok(await alice.api('POST', '/notes', { body: '', type }), 201);
    }
    assert.equal(ok(await alice.api('PATCH', `/notes/${id}/pin`)).isPinned, true);
    for (const path of ['/folders', '/auth/login', '/auth/refresh', `/notes/${id}/revert`]) {
      fails(await alice.api('POST', path), 400, 'MALFORMED_JSON');
      fails(await alice.api('POST', path, { body: '' }), 400, 'MALFORMED_JSON');
    }
  });

  it('endpoints without a body accept an empty one or {}, and name any field', async () => {
    for (const [method, make] of [
      [
        'POST',
        async (id) => {
          ok(await alice.del(`/notes/${id}`));
          return `/notes/${id}/restore`;
        },
      ],
      ['DELETE', async (id) => `/notes/${id}`],
    ]) {
      for (const [options, status] of [
        [{}, 200],
        [{ json: {} }, 200],
        [{ json: { a: 1 } }, 400],
        [{ body: '[]' }, 400],
        [{ body: '{' }, 400],
      ]) {
        const path = await make(ok(await alice.post('/notes', {}), 201).id);
        const res = await alice.api(method, path, options);
        assert.equal(res.status, status, res.text);
        if (options.json?.a) invalid(res, ['a', 'UNKNOWN_FIELD']);
      }
    }
  });

  it('bodies of GET and HEAD are ignored, whatever they are', async () => {
    for (const [body, type] of [
      ['garbage', 'text/plain'],
      ['{', 'application/json'],
      [Buffer.alloc(100000, 0), null],
    ]) {
      ok(await alice.api('GET', '/folders', { body, type }));
      assert.equal((await alice.api('HEAD', '/folders', { body, type })).status, 200);
    }
  });

  it('a body of exactly 10 MB is read', async () => {
    const json = JSON.stringify({ name: name() });
    ok(await send(json.padEnd(MAX)), 201);
    fails(await send('{'.padEnd(MAX)), 400, 'MALFORMED_JSON');
  });

  it('a longer one is PAYLOAD_TOO_LARGE, by Content-Length at once', async () => {
    const start = Date.now();
    const res = await send('', { headers: { 'content-length': String(MAX + 1) }, fresh: true });
    fails(res, 413, 'PAYLOAD_TOO_LARGE');
    for (const length of ['99999999999', '9223372036854775807']) {
      assert.equal((await send('', { headers: { 'content-length': length }, fresh: true })).status, 413, length);
    }
    assert.ok(Date.now() - start < 15000, 'the body is not waited for');
    fails(await send(JSON.stringify({ name: name() }).padEnd(MAX + 1), { fresh: true }), 413, 'PAYLOAD_TOO_LARGE');
  });

  it('chunked data passing 10 MB is PAYLOAD_TOO_LARGE, up to it is read', async () => {
    const chunk = Buffer.alloc(65536, ' ');
    const json = Buffer.from(JSON.stringify({ name: name() }));
    ok(
      await alice.api('POST', '/folders', { chunks: [json, ...times(159, () => chunk), chunk.subarray(json.length)] }),
      201,
    );
    fails(
      await alice.api('POST', '/folders', {
        chunks: [Buffer.from(JSON.stringify({ name: name() })), ...times(161, () => chunk)],
        fresh: true,
      }),
      413,
      'PAYLOAD_TOO_LARGE',
    );
  });

  const head = (extra) =>
    `POST /api/v1/folders HTTP/1.1\r\nHost: ${s.host}\r\nAuthorization: Bearer ${alice.token}\r\nContent-Type: application/json\r\nConnection: close\r\n${extra}\r\n\r\n`;
  it('a body may come one byte at a time, plain or chunked', async () => {
    for (const chunked of [false, true]) {
      const word = name();
      const body = Buffer.from(JSON.stringify({ name: `${word} é😀` }));
      const octets = [...body].map((octet) => Buffer.from([octet]));
      const parts = chunked
        ? [head('Transfer-Encoding: chunked'), ...octets.map((o) => bytes('1\r\n', o, '\r\n')), '0\r\n\r\n']
        : [head(`Content-Length: ${body.length}`), ...octets];
      const res = await rawExchange(s, parts, { pause: 2 });
      assert.equal(res.status, 201, res.text);
      assert.ok(res.raw.toString('utf8').includes(`${word} é😀`));
    }
  });

  it('chunk extensions and trailers are harmless; a broken chunk is refused', async () => {
    const json = JSON.stringify({ name: name() });
    const hex = json.length.toString(16);
    assert.equal(
      (await rawExchange(s, [head('Transfer-Encoding: chunked'), `${hex};x=y\r\n${json}\r\n0\r\nX-Trailer: z\r\n\r\n`]))
        .status,
      201,
    );
    assert.equal(
      (await rawExchange(s, [head('Transfer-Encoding: chunked'), `zz\r\n${json}\r\n0\r\n\r\n`])).status,
      400,
    );
  });

  it('a body that is cut off does nothing', async () => {
    const word = crypto.randomUUID();
    await rawExchange(s, [head('Content-Length: 500'), JSON.stringify({ name: word })], { ms: 600 });
    assert.deepEqual(await s.sql('SELECT 1 FROM folders WHERE name = $1', [word]), []);
    ok(await alice.get(`/notes?folderId=${NOWHERE}`));
  });
});
