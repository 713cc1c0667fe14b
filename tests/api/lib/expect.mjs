/* Short assertions on answers. */
import assert from 'node:assert/strict';

/** The data of a successful answer. */
export function ok(res, status = 200) {
  assert.equal(res.status, status, `expected ${status}, got ${res.status} ${res.text.slice(0, 800)}`);
  return res.json?.data;
}

/**
 * An error with this status and code. `details`: an array of [field, code] that must be exactly the details, in
 * order (code null: any; code a RegExp: must match). Gives the error object.
 */
export function fails(res, status, code, details) {
  assert.equal(`${res.status} ${res.json?.error?.code}`, `${status} ${code}`, res.text.slice(0, 1500));
  if (details) {
    const got = res.json.error.details;
    const text = JSON.stringify(got.slice(0, 20));
    assert.deepEqual(
      got.map((d) => d.field),
      details.map(([field]) => field),
      text,
    );
    details.forEach(([, expected], n) => {
      if (expected instanceof RegExp) assert.match(got[n].code, expected, text);
      else if (expected) assert.equal(got[n].code, expected, text);
    });
  }
  return res.json.error;
}

/** 400 VALIDATION_ERROR with exactly these details. */
export const invalid = (res, ...details) => fails(res, 400, 'VALIDATION_ERROR', details);

export const ids = (items) => items.map((item) => item.id);
export const times = (n, fn) => Array.from({ length: n }, (_, k) => fn(k));
export const parallel = (n, fn) => Promise.all(times(n, fn));
/** How often each value occurs. */
export const tally = (values) => values.reduce((sum, value) => ({ ...sum, [value]: (sum[value] ?? 0) + 1 }), {});

/** An id that no object has. */
export const NOWHERE = '0198a000-0000-7000-8000-0000000000aa';

/** A judgement of times that another load of the machine may have spoilt: it must hold in one of four tries. */
export async function measured(judge) {
  for (let n = 1; n < 4; n += 1) {
    try {
      return await judge();
    } catch (error) {
      if (error.code !== 'ERR_ASSERTION') throw error;
    }
  }
  return judge();
}
