// What both peers share of the product: the shapes of a note, and its text.

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

/* Plain text of a note. Simpler (and cheaper) than a real HTML parser. */
export function toPlain(html) {
  if (!html) return '';
  return html
    .replace(/<(script|style|template|noscript)\b[^>]*>[^]*?<\/\1>/gi, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&(amp|lt|gt|quot|apos|nbsp);/g, (_, name) => ENTITIES[name])
    .replace(/\s+/g, ' ')
    .trim();
}

export function countWords(plain) {
  return plain === '' ? 0 : plain.split(' ').length;
}

function folderOf(row) {
  return row.live_folder_id === null ? null : {
    id: row.live_folder_id,
    name: row.folder_name,
    color: row.folder_color,
  };
}

export function toNote(row) {
  return {
    id: row.id,
    folderId: row.folder_id,
    folder: folderOf(row),
    title: row.title,
    content: row.content,
    contentPlain: row.content_plain ?? '',
    wordCount: row.word_count,
    isPinned: row.is_pinned,
    isFavorite: row.is_favorite,
    tags: row.tags,
    version: row.version,
    syncStatus: row.sync_status,
    clientUpdatedAt: row.client_updated_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}

/* As sync shows it: without the folder. */
export function toSyncNote(row) {
  return {
    id: row.id,
    folderId: row.folder_id,
    title: row.title,
    content: row.content,
    contentPlain: row.content_plain ?? '',
    wordCount: row.word_count,
    isPinned: row.is_pinned,
    isFavorite: row.is_favorite,
    tags: row.tags,
    version: row.version,
    syncStatus: row.sync_status,
    clientUpdatedAt: row.client_updated_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}

function toItem(row) {
  return {
    id: row.id,
    folderId: row.folder_id,
    folder: folderOf(row),
    title: row.title,
    contentPlain: row.content_plain ?? '',
    wordCount: row.word_count,
    isPinned: row.is_pinned,
    isFavorite: row.is_favorite,
    tags: row.tags,
    version: row.version,
    syncStatus: row.sync_status,
    clientUpdatedAt: row.client_updated_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}

export function toPage(rows, total, page, limit) {
  const hasNext = page * limit < total;
  const last = rows[rows.length - 1];
  const nextCursor = hasNext && last
    ? Buffer.from(`${last.updated_at.toISOString()},${last.id}`)
      .toString('base64url')
    : null;
  return {
    items: rows.map(toItem),
    pagination: {
      page,
      limit,
      total,
      totalPages: Math.ceil(total / limit),
      hasNext,
      hasPrev: page > 1,
      nextCursor,
    },
  };
}

export function success(data, message) {
  return { success: true, data, message, timestamp: new Date() };
}

export function failure(requestId, code, message, details = []) {
  return {
    success: false,
    error: { code, message, details },
    requestId,
    timestamp: new Date(),
  };
}

export const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;
