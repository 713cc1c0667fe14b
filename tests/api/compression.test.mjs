/* Compression by mod_deflate and mod_brotli, ours or the admin's, beside ETags (API.md 1.7, 1.8). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { fails, ok } from './lib/expect.mjs';

const LONG = 'The quick brown fox jumps over the lazy dog. '.repeat(100);
const vary = (res) => (res.headers.vary ?? '').toLowerCase().split(/\s*,\s*/);
const accept = (value, more) => ({ headers: { ...(value && { 'accept-encoding': value }), ...more } });

/* What the admin has set up, and which coding a client gets that accepts gzip, br, or both. `tag` is what the ETag of
   an encoded answer looks like (V: the version; null: none). */
const BY_TYPE = 'AddOutputFilterByType';
const CASES = [
  ['our default', { gzip: 'gzip', br: null, both: 'gzip' }, []],
  ['DeflateAlterETag NoChange', { gzip: 'gzip', br: null, both: 'gzip', tag: () => '"vV"' }, ['DeflateAlterETag NoChange']],
  ['DeflateAlterETag Remove', { gzip: 'gzip', br: null, both: 'gzip', tag: () => null }, ['DeflateAlterETag Remove']],
  ['DEFLATE by type', { gzip: 'gzip', br: null, both: 'gzip' }, [`${BY_TYPE} DEFLATE text/html application/json`]],
  ["DEFLATE by type, but not JSON, as Debian's", { gzip: 'gzip', br: null, both: 'gzip' }, [`${BY_TYPE} DEFLATE text/html`]],
  ['SetOutputFilter DEFLATE', { gzip: 'gzip', br: null, both: 'gzip' }, ['<Location "/api">', 'SetOutputFilter DEFLATE', '</Location>']],
  ['BROTLI_COMPRESS by type', { gzip: 'gzip', br: 'br', both: 'br' }, [`${BY_TYPE} BROTLI_COMPRESS application/json`]],
  ['both by type', { gzip: 'gzip', br: 'br', both: 'br' }, [`${BY_TYPE} BROTLI_COMPRESS;DEFLATE application/json`]],
  [
    'SetOutputFilter BROTLI_COMPRESS, NoChange',
    { gzip: 'gzip', br: 'br', both: 'br', tag: (coding) => (coding === 'br' ? '"vV"' : '"vV-gzip"') },
    ['BrotliAlterETag NoChange', '<Location "/api">', 'SetOutputFilter BROTLI_COMPRESS', '</Location>'],
  ],
  [
    'BrotliAlterETag Remove',
    { gzip: 'gzip', br: 'br', both: 'br', tag: (coding) => (coding === 'br' ? null : '"vV-gzip"') },
    ['BrotliAlterETag Remove', `${BY_TYPE} BROTLI_COMPRESS application/json`],
  ],
];

for (const [title, expected, directives] of CASES) {
  serverSuite(`Compression: ${title}`, { modules: ['filter', 'brotli'], children: 1, directives }, (s) => {
    const tagOf = expected.tag ?? ((coding) => `"vV-${coding}"`);
    const offers = [
      ['gzip', expected.gzip],
      ['br', expected.br],
      ['gzip, deflate, br', expected.both],
      ['br;q=1.0, gzip;q=0.8', expected.both],
    ];
    let alice;
    let path;
    let plain;
    before(async () => {
      alice = await s.user();
      path = `/notes/${ok(await alice.post('/notes', { title: 'long', content: LONG }), 201).id}`;
      plain = await alice.get(path);
    });
    const get = (value, more, method = 'GET') => alice.api(method, path, { ...accept(value, more), check: false });

    it('long answers are encoded once, and vary; HEAD tells the same', async () => {
      for (const [value, coding] of offers) {
        const res = await get(value);
        const where = `${value}: ${JSON.stringify(res.headers)}`;
        assert.equal(res.headers['content-encoding'], coding ?? undefined, where);
        assert.deepEqual(ok(res).content, LONG, where);
        assert.equal(vary(res).filter((name) => name === 'accept-encoding').length, 1, where);
        const tag = coding ? tagOf(coding) : '"vV"';
        assert.equal(res.headers.etag, tag?.replace('V', '1') ?? undefined, where);
        if (coding) assert.ok(res.raw.length < LONG.length / 4, where);
        const head = await get(value, {}, 'HEAD');
        assert.equal(head.raw.length, 0);
        for (const name of ['content-encoding', 'etag', 'vary', 'content-type', 'cache-control']) {
          assert.equal(head.headers[name], res.headers[name], `HEAD, ${name}, ${where}`);
        }
        const length = head.headers['content-length'];
        /* The body holds the time, so its encoded length varies a little. */
        const off = length === undefined ? 0 : Math.abs(Number(length) - res.raw.length);
        assert.ok(off <= (coding ? 8 : 0), `HEAD, content-length ${length}, ${where}`);
      }
    });

    it('without a coding that both know the answer is as it is, and caches are told that it varies', async () => {
      for (const value of [undefined, 'identity', 'zstd']) {
        const res = await get(value);
        assert.equal(res.headers['content-encoding'], undefined);
        assert.equal(res.headers.etag, '"v1"');
        assert.ok(vary(res).includes('accept-encoding'), `${value}: ${res.headers.vary}`);
        assert.equal(Number(res.headers['content-length']), res.raw.length);
        assert.equal(res.text.length, plain.text.length);
      }
    });

    it('short answers are left alone', async () => {
      const short = ok(await alice.post('/notes', { title: 'short' }), 201).id;
      for (const value of ['gzip', 'br', 'gzip, br']) {
        const res = await alice.get(`/notes/${short}`, accept(value));
        ok(res);
        assert.equal(res.headers['content-encoding'], undefined);
        assert.equal(res.headers.etag, '"v1"');
        const gone = await alice.get('/nope', accept(value));
        fails(gone, 404, 'ROUTE_NOT_FOUND');
        assert.equal(gone.headers['content-encoding'], undefined);
      }
    });

    it('If-None-Match: every tag that was given out gives 304, with the tag that a 200 would have', async () => {
      for (const [value] of [...offers, []]) {
        const given = (await get(value)).headers.etag;
        for (const tag of [given, '"v1"', '"v1-gzip"', '"v1-br"', 'W/"v1-gzip"', '"x", "v1-br"'].filter(Boolean)) {
          const res = await get(value, { 'if-none-match': tag });
          const where = `${value}, ${tag}`;
          assert.equal(res.status, 304, where);
          assert.equal(res.raw.length, 0, where);
          assert.equal(res.headers['content-encoding'], undefined, where);
          assert.ok(vary(res).includes('accept-encoding'), where);
          if (tag === given) assert.equal(res.headers.etag, given, where);
          if (!value) assert.equal(res.headers.etag, '"v1"', where);
        }
        for (const tag of ['"v2"', '"v2-gzip"', '"v1-zip"', '"v1-gzip-gzip"', '"-gzip"', '"gzip"']) {
          assert.equal((await get(value, { 'if-none-match': tag })).status, 200, `${value}, ${tag}`);
        }
      }
    });

    it('If-Match: every tag that was given out lets a write pass, once', async () => {
      let version = 1;
      for (const form of ['"vV"', '"vV-gzip"', '"vV-br"', '"x", "vV-br"']) {
        const write = () =>
          alice.put(
            path,
            { title: `title ${version}` },
            accept('gzip, br', { 'if-match': form.replace('V', String(version)) }),
          );
        const [first, second] = [await write(), await write()];
        assert.equal(first.status, 200, `${form}: ${first.text.slice(0, 200)}`);
        fails(second, 412, 'PRECONDITION_FAILED');
        version += 1;
        assert.equal(first.json.data.version, version);
      }
      for (const form of ['"vV-zip"', '"vV-gzip-gzip"', 'W/"vV-br"', '"-br"', '"v-br"']) {
        const value = form.replace('V', String(version));
        fails(await alice.put(path, { title: 'no' }, accept(undefined, { 'if-match': value })), 412, 'PRECONDITION_FAILED');
      }
    });
  });
}

serverSuite('Compression: refused', { children: 1 }, (s) => {
  it('gzip;q=0 is no', async () => {
    const alice = await s.user();
    const { id } = ok(await alice.post('/notes', { content: LONG }), 201);
    for (const value of ['gzip;q=0', 'gzip; q=0.000, br', 'br, gzip;q=0.0']) {
      const res = await alice.get(`/notes/${id}`, accept(value));
      assert.equal(ok(res).content, LONG);
      assert.equal(res.headers['content-encoding'], undefined, value);
    }
  });
});

const SAVE = 'Header set Content-Disposition attachment early';
serverSuite('Compression: downloads', { modules: ['headers'], children: 1, directives: [SAVE] }, (s) => {
  it('what is to be saved is not compressed', async () => {
    const alice = await s.user();
    const { id } = ok(await alice.post('/notes', { content: LONG }), 201);
    const res = await alice.get(`/notes/${id}`, accept('gzip'));
    assert.equal(ok(res).content, LONG);
    assert.equal(res.headers['content-disposition'], 'attachment');
    assert.equal(res.headers['content-encoding'], undefined);
    assert.equal(res.headers.etag, '"v1"');
  });
});
