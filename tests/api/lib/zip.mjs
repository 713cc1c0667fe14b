/* Reads ZIP archives by their central directory, and is strict about it: what the two descriptions of an entry say must agree. */
import assert from 'node:assert/strict';
import zlib from 'node:zlib';

const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});
export const crc32 = (data) => {
  let c = 0xffffffff;
  for (const byte of data) c = table[(c ^ byte) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

/** 8-byte values of the ZIP64 extra field, for the members that are 0xffffffff. */
function widen(extra, values) {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    let from = at + 4;
    return values.map((value) => {
      if (value !== 0xffffffff) return value;
      from += 8;
      return Number(extra.readBigUInt64LE(from - 8));
    });
  }
  return values;
}

function directory(raw) {
  const end = raw.lastIndexOf(Buffer.from('PK\x05\x06'));
  assert.ok(end >= 0, 'the archive has no end');
  let count = raw.readUInt16LE(end + 10);
  let start = raw.readUInt32LE(end + 16);
  const locator = end - 20;
  if (locator >= 0 && raw.readUInt32LE(locator) === 0x07064b50) {
    const at = Number(raw.readBigUInt64LE(locator + 8));
    assert.equal(raw.readUInt32LE(at), 0x06064b50, 'the end of ZIP64');
    count = Number(raw.readBigUInt64LE(at + 32));
    start = Number(raw.readBigUInt64LE(at + 48));
  }
  return { count, start };
}

/** [{name, data, modified}] in the order of the directory. */
export function readZip(raw) {
  const { count, start } = directory(raw);
  const entries = [];
  let at = start;
  for (let n = 0; n < count; n += 1) {
    assert.equal(raw.readUInt32LE(at), 0x02014b50, 'an entry of the directory');
    const flags = raw.readUInt16LE(at + 8);
    const method = raw.readUInt16LE(at + 10);
    const crc = raw.readUInt32LE(at + 16);
    const lens = [28, 30, 32].map((offset) => raw.readUInt16LE(at + offset));
    const name = raw.subarray(at + 46, at + 46 + lens[0]).toString('utf8');
    const extra = raw.subarray(at + 46 + lens[0], at + 46 + lens[0] + lens[1]);
    const [size, packed, offset] = widen(
      extra,
      [24, 20, 42].map((field) => raw.readUInt32LE(at + field)),
    );
    if (/[^\x20-\x7e]/.test(name)) assert.ok(flags & 0x800, `${name}: not marked as UTF-8`);
    assert.equal(raw.readUInt32LE(offset), 0x04034b50, `${name}: its own header`);
    const from = offset + 30 + raw.readUInt16LE(offset + 26) + raw.readUInt16LE(offset + 28);
    assert.equal(raw.subarray(offset + 30, offset + 30 + lens[0]).toString('utf8'), name);
    const bytes = raw.subarray(from, from + packed);
    assert.ok(method === 0 || method === 8, `${name}: method ${method}`);
    const data = method === 8 ? zlib.inflateRawSync(bytes) : bytes;
    assert.equal(data.length, size, `${name}: size`);
    assert.equal(crc32(data), crc, `${name}: checksum`);
    entries.push({ name, data, flags });
    at += 46 + lens[0] + lens[1] + lens[2];
  }
  assert.equal(new Set(entries.map((entry) => entry.name)).size, entries.length, 'names are unique');
  return entries;
}
