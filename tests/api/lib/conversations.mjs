/* Conversations for tests, and what the contract makes of a title, told in another language (API.md section 11). */
import crypto from 'node:crypto';
import { ok } from './expect.mjs';
import { sleep } from './env.mjs';

export const CATEGORIES = [
  'general',
  'programming',
  'writing',
  'education',
  'research',
  'business',
  'creative',
  'science',
  'health',
  'productivity',
  'entertainment',
  'other',
];
export const PROVIDERS = ['openai', 'anthropic', 'google', 'meta', 'mistral', 'deepseek', 'xai', 'other'];
export const RESERVED = ['featured', 'categories', 'search', 'stats', 'import', 'imports'];

export const TALK = [
  { role: 'user', content: 'How are you?' },
  { role: 'assistant', content: 'Very well.' },
];

/** A body for POST /conversations. */
export const talk = (fields = {}) => ({ title: 'A talk', messages: TALK, ...fields });
export const converse = async (client, fields) => ok(await client.post('/conversations', talk(fields)), 201);
export const publish = (client, fields) => converse(client, { visibility: 'public', ...fields });
export const at = (id, rest = '') => `/conversations/${id}${rest}`;

/** What a list shows of it. */
export function itemOf({ messages, messagesNextCursor, ...item }) {
  return item;
}

/** The slug of a title when nobody has it. */
export function slugOf(title) {
  const plain = title.normalize('NFKD').replace(/\p{M}+/gu, '');
  const words = plain.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).match(/[a-z0-9]+/g) ?? [];
  return words.join('-').slice(0, 100).replace(/-$/, '') || 'conversation';
}

/** A word that no other text has. */
export const uniqueWord = () =>
  `w${crypto
    .randomBytes(8)
    .toString('hex')
    .replace(/[0-9]/g, (n) => 'ghjklmnpqr'[n])}q`;

/** Waits when the hour is about to end, so that what belongs to one hour does. */
export async function insideHour(seconds) {
  const left = 3600 - ((Date.now() / 1000) % 3600);
  if (left < seconds) await sleep((left + 1) * 1000);
}

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Milliseconds of n runs of each, taken in turn; the medians. */
export async function inTurns(n, ...runs) {
  const spent = runs.map(() => []);
  for (let round = 0; round < n; round += 1) {
    for (let k = 0; k < runs.length; k += 1) {
      const start = process.hrtime.bigint();
      await runs[k]();
      spent[k].push(Number(process.hrtime.bigint() - start) / 1e6);
    }
  }
  return spent.map(median);
}
