/* Exports of ChatGPT and Claude as those write them, and how they are uploaded. */
import crypto from 'node:crypto';
import zlib from 'node:zlib';
import { until } from './env.mjs';
import { ok } from './expect.mjs';
import { crc32 } from './zip.mjs';

const SECOND = 1700000000;

/** A message of ChatGPT; text is a string, an array of parts, or a whole content. */
export function said(role, text, more = {}) {
  const content = Array.isArray(text)
    ? { content_type: 'multimodal_text', parts: text }
    : typeof text === 'string'
      ? { content_type: 'text', parts: [text] }
      : text;
  return {
    id: crypto.randomUUID(),
    author: { role, name: null, metadata: {} },
    create_time: SECOND + 0.25,
    update_time: null,
    content,
    status: 'finished_successfully',
    end_turn: true,
    weight: 1.0,
    metadata: role === 'assistant' ? { model_slug: 'gpt-4' } : {},
    recipient: 'all',
    ...more,
  };
}

/** A conversation of ChatGPT with these messages in a row; `more` overrides, and may add nodes (more.nodes). */
export function chatgpt(messages, { nodes = {}, ...more } = {}) {
  const id = crypto.randomUUID();
  const mapping = { root: { id: 'root', message: null, parent: null, children: [] } };
  let last = 'root';
  messages.forEach((message, n) => {
    const key = `n${n}`;
    mapping[key] = { id: key, message, parent: last, children: [] };
    mapping[last].children.push(key);
    last = key;
  });
  return {
    title: 'A talk',
    create_time: SECOND,
    update_time: SECOND + 9,
    mapping: { ...mapping, ...nodes },
    moderation_results: [],
    current_node: last,
    plugin_ids: null,
    conversation_id: id,
    id,
    ...more,
  };
}

/** A conversation of Claude with these [sender, text, members] in a row. */
export const claude = (messages, more = {}) => ({
  uuid: crypto.randomUUID(),
  name: 'A talk with Claude',
  created_at: '2024-05-01T10:00:00.123456+02:00',
  updated_at: '2024-05-01T10:00:00.123456+02:00',
  account: { uuid: crypto.randomUUID() },
  chat_messages: messages.map(([sender, text, members]) => ({
    uuid: crypto.randomUUID(),
    text,
    content: [{ type: 'text', text }],
    sender,
    created_at: '2024-05-01T08:00:01Z',
    updated_at: '2024-05-01T08:00:01Z',
    attachments: [],
    files: [],
    ...members,
  })),
  ...more,
});

/** n conversations of ChatGPT, numbered, of so many messages each. */
export const many = (n, messages = 2, text = 'some words about it') =>
  Array.from({ length: n }, (_, k) =>
    chatgpt(
      Array.from({ length: messages }, (__, m) => said(m % 2 ? 'assistant' : 'user', `${text} ${k} ${m}`)),
      { title: `Talk ${k}` },
    ),
  );

/** English-like text of so many characters: common words often, others seldom. */
export function prose(length, seed = 1) {
  const common = 'the of and to in is that it for was on are as with they be at this from have or by one had not'.split(' ');
  const rare = ['model', 'answer', 'question', 'function', 'database', 'server', 'garden', 'travel', 'music', 'history'];
  let text = '';
  let x = seed;
  while (text.length < length) {
    x = (x * 1103515245 + 12345) % 2147483648;
    const word = x % 3 ? common[x % common.length] : `${rare[x % rare.length]}${x % 7 ? '' : (x >> 8) % 5000}`;
    text += (text ? ' ' : '') + word + (x % 11 ? '' : '.');
  }
  return text.slice(0, length);
}

/** A ZIP archive of these files, {name: data}. */
export function zipOf(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    const raw = Buffer.from(data);
    const packed = zlib.deflateRawSync(raw, { level: 1 });
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0);
    head.writeUInt16LE(0x800, 2);
    head.writeUInt16LE(8, 4);
    head.writeUInt32LE(crc32(raw), 10);
    head.writeUInt32LE(packed.length, 14);
    head.writeUInt32LE(raw.length, 18);
    head.writeUInt16LE(Buffer.byteLength(name), 22);
    const entry = Buffer.alloc(20);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), head, Buffer.from(name), packed]);
    entry.writeUInt32LE(at, 14);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), head, entry.subarray(0, 4), entry.subarray(4, 6), entry.subarray(6, 14), entry.subarray(14, 18), Buffer.from(name)]));
    parts.push(local);
    at += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, central, end]);
}

/** POST /conversations/import of a file. */
export function upload(client, data, fields = {}, { filename = 'conversations.json', ...options } = {}) {
  const boundary = `x${crypto.randomBytes(12).toString('hex')}`;
  const parts = Object.entries(fields).map(
    ([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const head =
    `${parts.join('')}--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${filename}"\r\n` +
    'Content-Type: application/octet-stream\r\n\r\n';
  return client.api('POST', '/conversations/import', {
    body: Buffer.concat([Buffer.from(head), Buffer.from(data), Buffer.from(`\r\n--${boundary}--\r\n`)]),
    type: `multipart/form-data; boundary=${boundary}`,
    ...options,
  });
}

/** Waits for the end of an import by a job; its last answer. */
export async function importEnded(client, id, ms = 60000, seen = () => {}) {
  let data;
  await until(
    async () => {
      data = ok(await client.get(`/conversations/imports/${id}`));
      seen(data);
      return ['completed', 'failed'].includes(data.status);
    },
    ms,
    'the import ends',
  );
  return data;
}

/** role:content of each message of a conversation. */
export const spoken = async (client, id) =>
  ok(await client.get(`/conversations/${id}`)).messages.map(({ role, content }) => `${role}:${content}`);
