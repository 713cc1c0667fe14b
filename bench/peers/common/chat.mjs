// What a room does, apart from who carries it: shapes and checks.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export class ChatError extends Error {
  constructor(code, message, details = []) {
    super(message);
    Object.assign(this, { code, details });
  }
}

const isText = (value, most) => typeof value === 'string'
  && value.length >= 1 && value.length <= most && /\S/.test(value);

const FIELDS = {
  roomId: (value) => UUID.test(value),
  messageId: (value) => UUID.test(value),
  replyToId: (value) => UUID.test(value),
  content: (value) => isText(value, 4000),
  clientId: (value) => isText(value, 64),
  sinceSeq: (value) => Number.isInteger(value) && value >= 0,
};

/* Refuses a payload that is not an object of these fields. */
export function checkFields(body, needed, allowed = []) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ChatError('VALIDATION_ERROR', 'Not an object');
  }
  const details = [];
  for (const field of Object.keys(body)) {
    if (!needed.includes(field) && !allowed.includes(field)) {
      details.push({ field, message: 'unknown', code: 'UNKNOWN_FIELD' });
    } else if (!FIELDS[field](body[field])) {
      details.push({ field, message: 'wrong', code: 'INVALID_VALUE' });
    }
  }
  for (const field of needed) {
    if (body[field] === undefined) {
      details.push({ field, message: 'missing', code: 'REQUIRED' });
    }
  }
  if (details.length > 0) {
    throw new ChatError('VALIDATION_ERROR', 'Invalid input data', details);
  }
}

export function toMessage(row) {
  return {
    id: row.id,
    roomId: row.room_id,
    seq: Number(row.seq),
    userId: row.user_id,
    user: row.user_id === null ? null : {
      id: row.user_id,
      fullName: row.full_name,
      avatarUrl: row.avatar_url,
    },
    content: row.content,
    replyToId: row.reply_to_id,
    replyTo: row.reply_to_id === null ? null : {
      id: row.reply_to_id,
      userId: row.reply_user,
      content: row.reply_text,
    },
    clientId: row.client_id,
    reactions: [],
    editedAt: row.edited_at,
    deletedAt: row.deleted_at,
    createdAt: row.created_at,
  };
}

export function toRoom(row) {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    isPrivate: row.is_private,
    ownerId: row.owner_id,
    memberCount: row.members,
    lastSeq: Number(row.last_seq),
    role: row.role,
    unreadCount: Number(row.last_seq) - Number(row.last_read_seq),
    lastMessage: null,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: row.version,
  };
}

/* Who has to hear of which count: Map(unread -> [user]). The sender has read
   everything; that is news only if there was something. */
export function unreadCounts(row, senderId) {
  const last = Number(row.seq);
  const counts = new Map();
  row.member_ids.forEach((user, i) => {
    const before = last - 1 - Number(row.member_seqs[i]);
    if (user === senderId && before === 0) return;
    const count = user === senderId ? 0 : before + 1;
    if (!counts.has(count)) counts.set(count, []);
    counts.get(count).push(user);
  });
  return counts;
}

/* A limit of so many per minute, counted per user. */
export function limiter(most) {
  const counts = new Map();
  setInterval(() => counts.clear(), 60_000).unref();
  return (user) => {
    const count = (counts.get(user) ?? 0) + 1;
    counts.set(user, count);
    if (count > most) throw new ChatError('RATE_LIMIT_EXCEEDED', 'Too many');
  };
}
