// Hand-written checks of input: faster in Express than a schema library.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const LINE_CONTROLS = /[\u0001-\u001f\u007f]/;
const TEXT_CONTROLS = /[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]/;
const MAX_CONTENT = 2_097_152;

export const isUuid = (value) => typeof value === 'string' && UUID.test(value);

const fault = (field, code, message) => ({ field, message, code });

function lengthOf(text) {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) length--;
  }
  return length;
}

function line(min, max) {
  return (value, field) => {
    if (typeof value !== 'string') {
      return fault(field, 'WRONG_TYPE', 'must be a string');
    }
    const length = lengthOf(value.trim());
    if (length < min) return fault(field, 'TOO_SHORT', `at least ${min}`);
    if (length > max) return fault(field, 'TOO_LONG', `at most ${max}`);
    if (LINE_CONTROLS.test(value.trim())) {
      return fault(field, 'INVALID_VALUE', 'holds control characters');
    }
    return null;
  };
}

function text(value, field) {
  if (value === null) return null;
  if (typeof value !== 'string') {
    return fault(field, 'WRONG_TYPE', 'must be a string or null');
  }
  if (Buffer.byteLength(value) > MAX_CONTENT) {
    return fault(field, 'TOO_LONG', `at most ${MAX_CONTENT} bytes`);
  }
  return TEXT_CONTROLS.test(value)
    ? fault(field, 'INVALID_VALUE', 'holds control characters') : null;
}

function bool(value, field) {
  return typeof value === 'boolean'
    ? null : fault(field, 'WRONG_TYPE', 'must be true or false');
}

function uuid(value, field) {
  return isUuid(value) ? null : fault(field, 'INVALID_FORMAT', 'not a UUID');
}

function time(value, field) {
  if (value === null) return null;
  return typeof value === 'string' && !Number.isNaN(Date.parse(value))
    ? null : fault(field, 'INVALID_FORMAT', 'not a timestamp');
}

const tag = line(1, 50);

function tags(value, field) {
  if (!Array.isArray(value)) {
    return fault(field, 'WRONG_TYPE', 'must be an array');
  }
  if (value.length > 50) return fault(field, 'TOO_MANY', 'at most 50');
  for (let i = 0; i < value.length; i++) {
    const found = tag(value[i], `${field}[${i}]`);
    if (found) return found;
  }
  return null;
}

const orNull = (check) => (value, field) =>
  (value === null ? null : check(value, field));

const UPDATE = {
  title: line(0, 500),
  content: text,
  folderId: orNull(uuid),
  tags,
  isPinned: bool,
  isFavorite: bool,
  clientUpdatedAt: time,
};
const CREATE = { id: uuid, ...UPDATE };

function whole(min, max) {
  return (value, field) =>
    (Number.isInteger(value) && value >= min && value <= max
      ? null : fault(field, 'INVALID_VALUE', `${min} to ${max}`));
}

function items(value, field) {
  if (!Array.isArray(value)) {
    return fault(field, 'WRONG_TYPE', 'must be an array');
  }
  return value.length > 500 ? fault(field, 'TOO_MANY', 'at most 500') : null;
}

const PULL = {
  deviceId: line(1, 255), cursor: orNull(line(0, 512)),
  lastSyncAt: time, limit: whole(1, 1000),
};
const PUSH = { deviceId: line(1, 255), notes: items, folders: items };
const PUSHED = {
  ...CREATE, baseVersion: whole(0, 2147483647), updatedAt: time,
  createdAt: time, deletedAt: time,
};

function checkBody(rules, body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return [fault(null, 'WRONG_TYPE', 'must be an object')];
  }
  const faults = [];
  for (const field of Object.keys(body)) {
    const rule = rules[field];
    const found = rule
      ? rule(body[field], field)
      : fault(field, 'UNKNOWN_FIELD', 'unknown field');
    if (found) faults.push(found);
  }
  return faults;
}

export const checkCreate = (body) => checkBody(CREATE, body);
export const checkUpdate = (body) => checkBody(UPDATE, body);

function checkWith(rules, needed) {
  return (body) => {
    const faults = checkBody(rules, body);
    if (faults.length === 0 && body[needed] === undefined) {
      faults.push(fault(needed, 'MISSING_FIELD', 'missing field'));
    }
    return faults;
  };
}

export const checkPull = checkWith(PULL, 'deviceId');
export const checkPush = checkWith(PUSH, 'deviceId');
export const checkPushed = checkWith(PUSHED, 'id');

function integer(value, fallback, min, max, field, faults) {
  if (value === undefined || value === '') return fallback;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN;
  if (!(number >= min && number <= max)) {
    faults.push(fault(field, 'INVALID_VALUE', `${min} to ${max}`));
  }
  return number;
}

/* The list knows page and limit here; every other parameter is refused. */
export function checkListQuery(query) {
  const faults = [];
  for (const name of Object.keys(query)) {
    if (name !== 'page' && name !== 'limit') {
      faults.push(fault(name, 'UNKNOWN_FIELD', 'unknown parameter'));
    }
  }
  const page = integer(query.page, 1, 1, 10000, 'page', faults);
  const limit = integer(query.limit, 20, 1, 100, 'limit', faults);
  return { page, limit, faults };
}
