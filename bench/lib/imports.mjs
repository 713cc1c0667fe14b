// What it costs to take in an export of another product, in scripts with and
// without blanks between words, with all that a search will need.
import { USERS, config } from './config.mjs';
import { ask, expect } from './ask.mjs';
import { stopwatch } from './load.mjs';

const TALKS = 200;
const MESSAGES = 20;
const LETTERS = 120; /* of a message */
/* Messages a second that a core must take in. */
const LEAST = 2000;

/* Letters from first to last, of which a language's words are made; how many
   a word has; what stands between two, and what ends a sentence. */
const SCRIPTS = {
  English: { from: 'a', to: 'z', word: [2, 9], glue: [' ', ' the ', ' of '],
    stop: '. ' },
  Korean: { from: '가', to: '힣', word: [1, 4], glue: [' ', '는 ', '를 '],
    stop: '. ' },
  Chinese: { from: '一', to: '龥', letters: 2500, word: [2, 2],
    glue: ['', '的', '了'], stop: '。' },
  Japanese: { from: '一', to: '龥', letters: 2000, word: [1, 3],
    glue: ['は', 'を', 'の', 'です', 'から'], stop: '。' },
  Thai: { from: 'ก', to: 'ฮ', word: [2, 6], glue: ['', 'ที่', 'และ'],
    stop: ' ' },
};

/* Numbers below n, small ones more often, as words of languages are. */
function chance() {
  let seed = 42;
  return (n) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor(n ** (seed / 2147483648)) - 1;
  };
}

function writer({ from, to, letters = 1e5, word, glue, stop }) {
  const any = chance();
  const [first, last] = [from, to].map((letter) => letter.codePointAt(0));
  const abc = Math.min(letters, last - first + 1);
  const step = Math.floor((last - first + 1) / abc);
  const vocabulary = Array.from({ length: 6000 }, () =>
    Array.from({ length: word[0] + any(word[1] - word[0] + 1) }, () =>
      String.fromCodePoint(first + step * any(abc))).join(''));
  return (length) => {
    let text = '';
    for (let i = 1; text.length < length; i++) {
      text += vocabulary[any(6000)]
        + (i % 8 ? glue[any(glue.length)] : stop);
    }
    return text;
  };
}

function talks(script, round) {
  const write = writer(SCRIPTS[script]);
  return Array.from({ length: TALKS }, (_, i) => ({
    uuid: `${script}-${round}-${i}`, name: write(20),
    chat_messages: Array.from({ length: MESSAGES }, (_, k) => ({
      sender: k % 2 ? 'assistant' : 'human', text: write(LETTERS),
      created_at: '2026-01-24T10:30:00Z',
    })),
  }));
}

/* A piece from the middle of a text is found. */
async function check(server, user, data) {
  const text = data[TALKS / 2].chat_messages[3].text;
  const q = text.split(/[ .。]+/)[1].slice(0, 8);
  const found = await ask(server, user, '/api/v1/conversations/search?limit=100'
    + `&q=${encodeURIComponent(q)}`);
  expect(found.data.items.some(({ source }) => source === 'claude'), q, found);
}

/* One request at a time, of 4000 messages. Adds lines to the table. */
export async function imports(server, table, numbers) {
  table.push([`import of ${TALKS * MESSAGES} messages of ${LETTERS} letters, `
    + 'per message']);
  let user = 0;
  for (const script of Object.keys(SCRIPTS)) {
    const all = [];
    for (let round = 0; round < config.rounds; round++) {
      const data = talks(script, round);
      user = user % USERS + 1;
      const spent = stopwatch(...server.pids);
      const reply = await ask(server, user, '/api/v1/conversations/import',
        { method: 'POST', status: 201, body: { format: 'claude', data } });
      all.push(spent(TALKS * MESSAGES));
      expect(reply.data.imported === TALKS, script, reply.data);
      await check(server, user, data);
    }
    all.sort((a, b) => a.cpu + a.dbCpu - b.cpu - b.dbCpu);
    const one = all[all.length >> 1];
    const rate = 1e6 / (one.cpu + one.dbCpu);
    numbers.push({ size: 'import', title: script, rate, ...one });
    table.push([`  ${script}`, TALKS * MESSAGES, one.cpu + one.dbCpu, one.cpu,
      one.dbCpu, '', '', '', `${rate.toFixed(0)}/s of a core, `
        + (rate >= LEAST ? 'ok' : 'short')]);
  }
}
