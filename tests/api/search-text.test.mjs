/* Search: whatever people may type, scripts without blanks between words, very long texts (API.md section 8). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { ok, times } from './lib/expect.mjs';

const path = (q, more = {}) => `/search?${new URLSearchParams({ q, ...more })}`;
const marked = (text) => [...(text ?? '').matchAll(/<mark>(.*?)<\/mark>/gs)].map((m) => m[1]);
const MARKED = /^(?:[^<>&"']|&(?:lt|gt|amp|quot|#39);|<mark>(?:[^<>&"']|&(?:lt|gt|amp|quot|#39);)+<\/mark>)*$/;
const isBlank = (text) => !text.replace(/[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g, '');

serverSuite('What is searched for', {}, (s) => {
  let alice;
  const make = async (fields, who = alice) => ok(await who.post('/notes', fields), 201);
  const find = async (q, who = alice) => ok(await who.get(path(q, { limit: 100 })));
  const titles = async (q, who) => (await find(q, who)).items.map((item) => item.title);

  /** Whatever it finds, the answer is well-formed. */
  async function checkAnswer(q, who = alice) {
    const res = await who.get(path(q, { limit: 100 }));
    assert.equal(res.status, isBlank(q) ? 400 : 200, `${JSON.stringify(q)} ${res.text.slice(0, 500)}`);
    if (res.status === 400) return [];
    const { items, pagination } = res.json.data;
    assert.equal(items.length, Math.min(pagination.total, 100));
    for (const { rank, highlights } of items) {
      assert.ok(Number.isFinite(rank), String(rank));
      for (const html of [highlights.title, highlights.content]) {
        if (html !== null) assert.match(html, MARKED, JSON.stringify(q));
        assert.ok(html === null || marked(html).length > 0, html);
      }
      assert.ok((highlights.content ?? '').split(' … ').length <= 3, highlights.content);
    }
    return items;
  }

  const texts = [
    ['Chinese', '我今天去北京，明天去上海。'],
    ['Japanese', '東京でiPhoneの使い方をまなぶ'],
    ['Thai', 'สวัสดีชาวโลก กรุงเทพ'],
    ['Khmer', 'សួស្តីពិភពលោក'],
    ['Mixed', 'meeting 北京 <b>office</b> C++语言'],
  ];

  before(async () => {
    alice = await s.user();
    for (const [title, text] of texts) await make({ title, content: text.replace(/</g, '&lt;') });
    await make({ title: '北京 in the title' });
    await make({ title: 'Of others 北京' }, await s.user());
  });

  const unspaced = [
    ['北京', ['北京 in the title', 'Mixed', 'Chinese'], ['北京']],
    ['北京 上海', ['Chinese'], ['北京', '上海']],
    ['"北京"', ['北京 in the title', 'Mixed', 'Chinese'], ['北京']],
    ['"去北京"', ['Chinese'], ['去北京']],
    ['(北京) + 上海!', ['Chinese'], ['北京', '上海']],
    ['北京 -上海', ['北京 in the title', 'Mixed'], ['北京']],
    ['东京 or 上海', ['Chinese'], ['上海']],
    ['東京 OR 上海', ['Japanese', 'Chinese'], ['東京']],
    ['北京 office', ['Mixed'], ['北京', 'office']],
    ['北京 <b>office', ['Mixed'], ['北京', 'b&gt;office']],
    ['の使い方', ['Japanese'], ['の使い方']],
    ['IPHONEの', ['Japanese'], ['iPhoneの']],
    ['ชาว', ['Thai'], ['ชาว']],
    ['ពិភព', ['Khmer'], ['ពិភព']],
    ['C++语言', ['Mixed'], ['C++语言']],
    ['北%京', [], []],
    ['北_京', [], []],
    ['南京', [], []],
    ['"北京', ['北京 in the title', 'Mixed', 'Chinese'], ['北京']],
    ["'北京' & | ! \\", ['北京 in the title', 'Mixed', 'Chinese'], ['北京']],
  ];
  for (const [q, expected, hits] of unspaced) {
    it(`${q} finds ${expected.length}`, async () => {
      const items = await checkAnswer(q);
      const found = items.map((item) => item.title);
      assert.deepEqual([...found].sort(), [...expected].sort());
      if (expected[0]) assert.equal(found[0] === expected[0] || items[0].rank === items[1]?.rank, true, String(found));
      const first = items.find((item) => item.title === expected[0]);
      if (first) {
        const { title, content } = first.highlights;
        assert.deepEqual([...marked(title), ...marked(content)], hits);
      }
    });
  }

  it('only what is shut out: all others, without marks', async () => {
    const items = await checkAnswer('-北京');
    assert.deepEqual(items.map((item) => item.title).sort(), ['Japanese', 'Khmer', 'Thai']);
    assert.ok(items.every((item) => item.highlights.title === null && item.highlights.content === null));
  });

  it('other scripts are searched by their words', async () => {
    const who = await s.user();
    for (const title of ['Привет мир', 'שלום עולם', 'مرحبا بالعالم', 'Straße café', 'Ελλάδα', '안녕 세계', 'नमस्ते दुनिया']) {
      await make({ title }, who);
      for (const word of title.split(' ')) {
        const items = await checkAnswer(word, who);
        assert.deepEqual([items.length, items[0]?.title], [1, title], word);
        assert.deepEqual(marked(items[0].highlights.title), [word]);
      }
      assert.deepEqual(await titles(title.toUpperCase(), who), title === 'Straße café' ? [] : [title]);
    }
  });

  it('every ASCII sign, alone, doubled, and around a word', async () => {
    const who = await s.user();
    await make({ title: 'needle', content: '<p>in a haystack</p>' }, who);
    for (const sign of times(95, (n) => String.fromCharCode(32 + n)).filter((c) => !/[a-z0-9]/i.test(c))) {
      for (const q of [sign, sign + sign, `${sign} ${sign}`]) assert.deepEqual(await checkAnswer(q, who), [], q);
      for (const q of [`needle${sign}`, `needle ${sign}`, `${sign} needle`]) {
        const items = await checkAnswer(q, who);
        assert.equal(items.length, q === '- needle' ? items.length : 1, JSON.stringify(q));
      }
      await checkAnswer(`${sign}needle${sign}haystack${sign}`, who);
      await checkAnswer(`北${sign}京${sign}`, who);
    }
  });

  it('two hundred signs, of each kind and of all', async () => {
    const signs = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';
    for (const sign of signs) await checkAnswer(sign.repeat(200));
    for (let n = 0; n < 40; n += 1) {
      await checkAnswer(times(200, () => signs[crypto.randomInt(signs.length)]).join(''));
      await checkAnswer(times(199, () => signs[crypto.randomInt(signs.length)]).join('') + '京');
    }
    await checkAnswer('😀'.repeat(200));
    await checkAnswer('a '.repeat(100).trim());
    await checkAnswer('"a" '.repeat(50).trim());
    await checkAnswer('-a '.repeat(66).trim());
    await checkAnswer('北 '.repeat(100).trim());
    await checkAnswer('-北 '.repeat(66).trim());
  });

  it('any mixture of what is special somewhere', async () => {
    const pieces = ['a', 'note', 'É', '北', '京', 'の', 'ก', '😀', '\u0301', "'", '"', '\\', '%', '_', '(', ')', '[', ']', '{', '}', '*', '+', '?', '|', '^', '$', '.', '&', '!', ':', '<', '>', '-', ' ', ' ', '\u3000', '\u200b', '\u2028', 'or', ' OR ', '<->', ':*', 'http://a.b/c?d=e&f', 'a@b.c', '1.5e-3', '/a/b', '&amp;', '<b>', '\u0085', 'ß', 'İ', '\uFFFD', '\u{10FFFF}', "'' || '", '\\x41', '(?i)', '***='];
    await make({ title: pieces.join('').trim(), content: `<p>${pieces.join('').replace(/[<&]/g, ' ')} note</p>` });
    for (let n = 0; n < 300; n += 1) {
      const q = times(1 + crypto.randomInt(25), () => pieces[crypto.randomInt(pieces.length)]).join('');
      await checkAnswer([...q].slice(0, 200).join(''));
    }
  });

  it('any code points at all', async () => {
    const point = () => {
      for (;;) {
        const p = crypto.randomInt(0x20, [0x100, 0x3000, 0x10000, 0x110000][crypto.randomInt(4)]);
        if (p !== 0x7f && (p < 0xd800 || p > 0xdfff)) return String.fromCodePoint(p);
      }
    };
    for (let n = 0; n < 200; n += 1) {
      const text = times(1 + crypto.randomInt(60), point).join('');
      if (isBlank(text)) continue;
      const note = await make({ title: text, content: `<p>${text}</p>` });
      await checkAnswer(text);
      await checkAnswer(`京${text}`);
      if (n % 20 === 0) ok(await alice.del(`/notes/${note.id}`));
    }
  });
});
