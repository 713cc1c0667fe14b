/* Notes: write, list, mark, trash. Their history is in note_versions.c. */
#include "api/notes.h"

#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "auth/auth.h"
#include "base/html.h"
#include "base/text.h"
#include "base/uuid.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/notes"
#define NEAR_ROWS 200 /* rows that are skipped whole, not by their ids */
#define SORT_UPDATED 0 /* its place in sorts[] */

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    const char *id;
    const char *title;
    const char *content;
    const char *folder_id;
    const apr_array_header_t *tags;
    int is_pinned;
    int is_favorite;
    const char *client_updated_at;
} note_in_t;

static const ch_field_t in_rows[] = {
    { .name = "id", CH_IN(note_in_t, id, CH_T_UUID), .flags = CH_CREATE_ONLY,
      .doc = "Chosen by the client, else made here" },
    { .name = "title", CH_IN(note_in_t, title, CH_T_STR),
      .max = CH_NOTE_TITLE_MAX,
      .doc = "Empty: \"Untitled Note\"" },
    { .name = "content", CH_IN(note_in_t, content, CH_T_BYTES),
      .flags = CH_NULLABLE, .max = CH_NOTE_CONTENT_MAX,
      .doc = "HTML, kept as it is" },
    { .name = "folderId", CH_IN(note_in_t, folder_id, CH_T_UUID),
      .flags = CH_NULLABLE, .doc = "Absent: the default folder" },
    { .name = "tags", CH_IN(note_in_t, tags, CH_T_STRS), .flags = CH_UNIQUE,
      .max = CH_NOTE_TAGS_MAX, .item_min = 1, .item_max = CH_NOTE_TAG_MAX,
      .def = "[]", .doc = "Repeats are dropped" },
    { .name = "isPinned", CH_IN(note_in_t, is_pinned, CH_T_BOOL),
      .def = "false", .doc = "Pinned" },
    { .name = "isFavorite", CH_IN(note_in_t, is_favorite, CH_T_BOOL),
      .def = "false", .doc = "Favourite" },
    { .name = "clientUpdatedAt",
      CH_IN(note_in_t, client_updated_at, CH_T_TIME), .flags = CH_NULLABLE,
      .doc = "The client's own time of the change" },
};

static const ch_fields_t note_in = CH_FIELDS(note_in_t, in_rows);

static const char *const sorts[] = { "updatedAt", "createdAt", "title",
                                     "wordCount" };
static const char *const sort_columns[] = { "updated_at", "created_at",
                                            "title", "word_count" };
static const char *const orders[] = { "asc", "desc" };
const char ch_note_no_folder[] = "none";

typedef struct {
    const char *folder_id;
    int pinned;
    int favorite;
    const apr_array_header_t *tags;
    const char *search;
    int deleted;
    int sort_by;
    int sort_order;
    ch_page_in_t page;
} list_query_t;

static const ch_field_t query_rows[] = {
    { .name = "folderId", CH_IN(list_query_t, folder_id, CH_T_UUID),
      .flags = CH_SPECIAL, .extra = ch_note_no_folder,
      .doc = "Only of this folder; \"none\": of no folder" },
    { .name = "pinned", CH_IN(list_query_t, pinned, CH_T_BOOL),
      .doc = "Only pinned ones, or only others" },
    { .name = "favorite", CH_IN(list_query_t, favorite, CH_T_BOOL),
      .doc = "Only favourites, or only others" },
    { .name = "tag", CH_IN(list_query_t, tags, CH_T_STRS),
      .flags = CH_REPEAT, .max = 10, .item_min = 1,
      .item_max = CH_NOTE_TAG_MAX, .doc = "Only with all of these tags" },
    { .name = "search", CH_IN(list_query_t, search, CH_T_STR), .min = 1,
      .max = 200, .doc = "Part of title or text, ignoring case" },
    { .name = "deleted", CH_IN(list_query_t, deleted, CH_T_BOOL),
      .def = "false", .doc = "true: the trash alone" },
    { .name = "sortBy", CH_IN(list_query_t, sort_by, CH_T_ENUM),
      CH_CHOICES(sorts), .def = "\"updatedAt\"", .doc = "Order" },
    { .name = "sortOrder", CH_IN(list_query_t, sort_order, CH_T_ENUM),
      CH_CHOICES(orders), .def = "\"desc\"", .doc = "Direction" },
    CH_PAGE_ROWS(list_query_t, page, "20"),
};

static const ch_fields_t list_query = CH_FIELDS(list_query_t, query_rows);

typedef struct {
    int deleted;
} get_query_t;

static const ch_field_t get_query_rows[] = {
    { .name = "deleted", CH_IN(get_query_t, deleted, CH_T_BOOL),
      .def = "false", .doc = "true: also from the trash" },
};

static const ch_fields_t get_query = CH_FIELDS(get_query_t, get_query_rows);

typedef struct {
    int permanent;
} delete_query_t;

static const ch_field_t delete_query_rows[] = {
    { .name = "permanent", CH_IN(delete_query_t, permanent, CH_T_BOOL),
      .def = "false", .doc = "true: for good, also from the trash" },
};

static const ch_fields_t delete_query =
    CH_FIELDS(delete_query_t, delete_query_rows);

static const ch_field_t pin_rows[] = {
    { .name = "isPinned", CH_IN(note_in_t, is_pinned, CH_T_BOOL),
      .doc = "Absent: the other way round" },
};

static const ch_fields_t pin_in = CH_FIELDS(note_in_t, pin_rows);

static const ch_field_t favorite_rows[] = {
    { .name = "isFavorite", CH_IN(note_in_t, is_favorite, CH_T_BOOL),
      .doc = "Absent: the other way round" },
};

static const ch_fields_t favorite_in = CH_FIELDS(note_in_t, favorite_rows);

/* --- outputs ---------------------------------------------------------- */

const char *const ch_note_sync_states[3] = { "synced", "pending", "conflict" };

static const ch_field_t folder_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "folder_ref", .doc = "Id" },
    { .name = "name", .type = CH_T_STR, .column = "folder_name",
      .doc = "Name" },
    { .name = "color", .type = CH_T_COLOR, .column = "folder_color",
      .flags = CH_NULLABLE, .doc = "#RRGGBB" },
};

const ch_fields_t ch_note_folder_out = {
    .name = "FolderRef", .rows = folder_rows,
    .count = (int)CH_COUNT(folder_rows),
};

#define NOTE_CONTENT                                                          \
    { .name = "content", .type = CH_T_TEXT, .flags = CH_NULLABLE,             \
      .doc = "HTML as it was written; clients sanitise it" }

static const ch_field_t note_rows[] = { CH_NOTE_HEAD, NOTE_CONTENT,
                                        CH_NOTE_TAIL };

const ch_fields_t ch_note_out = {
    .name = "Note", .rows = note_rows, .count = (int)CH_COUNT(note_rows),
};

static const ch_field_t sync_rows[] = { CH_NOTE_ID, CH_NOTE_TITLE,
                                        NOTE_CONTENT, CH_NOTE_TAIL };

const ch_fields_t ch_sync_note_out = {
    .name = "SyncNote", .rows = sync_rows, .count = (int)CH_COUNT(sync_rows),
};

static const ch_field_t item_rows[] = { CH_NOTE_HEAD, CH_NOTE_TAIL };

static const ch_fields_t item_out = {
    .name = "NoteItem", .rows = item_rows, .count = (int)CH_COUNT(item_rows),
};

static const ch_field_t deleted_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "deletedAt", .type = CH_T_TIME, .column = "deleted_at",
      .doc = "Deleted" },
    { .name = "permanent", .type = CH_T_BOOL, .flags = CH_MAY_LACK,
      .doc = "true: for good" },
};

static const ch_fields_t deleted_out = {
    .name = "DeletedNote", .rows = deleted_rows,
    .count = (int)CH_COUNT(deleted_rows),
};

/* --- lists ------------------------------------------------------------ */

/* A query's flag as an optional parameter. */
static const int *flag(const ch_req_t *rq, size_t offset)
{
    int index = ch_field_at(&list_query, offset);

    return rq->query_given >> index & 1
               ? (const int *)(const void *)((const char *)rq->query + offset)
               : NULL;
}

/* Filters as both filtered statements take them. */
#define FILTERS(rq, query)                                                    \
    .folder_id = (query)->folder_id == ch_note_no_folder                      \
                     ? NULL                                                   \
                     : (query)->folder_id,                                    \
    .no_folder = (query)->folder_id == ch_note_no_folder,                     \
    .pinned = flag(rq, offsetof(list_query_t, pinned)),                       \
    .favorite = flag(rq, offsetof(list_query_t, favorite)),                   \
    .tags = (query)->tags, .search = ch_text_like((rq)->pool, (query)->search)

static int has_filters(const ch_req_t *rq)
{
    const list_query_t *query = rq->query;

    return query->folder_id || query->tags || query->search
           || flag(rq, offsetof(list_query_t, pinned))
           || flag(rq, offsetof(list_query_t, favorite));
}

static ch_err_t *fetch_filtered(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_note_page_filtered_t in = {
        .user_id = rq->who->user_id,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
        FILTERS(rq, query),
        .sort = query->sort_by,
        .order = query->sort_order,
        .scope = query->deleted,
    };

    return sql_note_page_filtered(rq->db, &in, rows);
}

static ch_err_t *fetch_deep(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_note_page_deep_t in = {
        .user_id = rq->who->user_id,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
        .sort = query->sort_by,
        .order = query->sort_order,
        .scope = query->deleted,
    };

    return sql_note_page_deep(rq->db, &in, rows);
}

static ch_err_t *fetch_page(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_note_page_t in = {
        .user_id = rq->who->user_id,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
        .order = query->sort_order,
        .scope = query->deleted,
    };

    if (has_filters(rq)) {
        return fetch_filtered(rq, rows);
    }
    if (query->sort_by != SORT_UPDATED || in.skip > NEAR_ROWS) {
        return fetch_deep(rq, rows);
    }
    return sql_note_page(rq->db, &in, rows);
}

static ch_err_t *fetch_after(ch_req_t *rq, const char *const cursor[2],
                             ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_note_after_t in = {
        .user_id = rq->who->user_id,
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = ch_page_fetch(&query->page),
        .sort = query->sort_by,
        .order = query->sort_order,
        .scope = query->deleted,
    };
    const sql_note_after_filtered_t filtered = {
        .user_id = in.user_id,
        .after = in.after,
        .after_id = in.after_id,
        .fetch = in.fetch,
        FILTERS(rq, query),
        .sort = in.sort,
        .order = in.order,
        .scope = in.scope,
    };

    return has_filters(rq) ? sql_note_after_filtered(rq->db, &filtered, rows)
                           : sql_note_after(rq->db, &in, rows);
}

static ch_err_t *list_notes(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    ch_list_t list = { .sort_column = sort_columns[query->sort_by] };
    const char *cursor[2];
    ch_rows_t *rows;
    int after;
    ch_err_t *err =
        ch_page_open_cursor(rq, &query->page, cursor, &after);

    if (!err) {
        err = after ? fetch_after(rq, cursor, &rows) : fetch_page(rq, &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Your notes");
}

/* --- one note --------------------------------------------------------- */

static const char *title_of(const note_in_t *in)
{
    return in->title && *in->title ? in->title : CH_NOTE_UNTITLED;
}

const char *ch_note_plain(apr_pool_t *pool, const char *content,
                          apr_int64_t *words)
{
    const char *plain = "";
    size_t len;
    int count = 0;

    if (content) {
        plain = ch_html_text(pool, content, strlen(content), &len, &count);
    }
    *words = count;
    return plain;
}

static ch_err_t *create_note(ch_req_t *rq)
{
    const note_in_t *in = rq->body;
    sql_note_create_t row = {
        .user_id = rq->who->user_id,
        .id = in->id ? in->id : ch_uuid_make(rq->pool),
        .folder_given = CH_GIVEN(rq, note_in_t, folder_id),
        .folder_id = in->folder_id,
        .title = title_of(in),
        .content = in->content,
        .tags = in->tags,
        .pinned = in->is_pinned,
        .favorite = in->is_favorite,
        .client_updated_at = in->client_updated_at,
    };
    ch_rows_t *rows;
    ch_err_t *err;

    row.plain = ch_note_plain(rq->pool, in->content, &row.words);
    err = sql_note_create(rq->db, &row, &rows);
    if (!err) {
        err = ch_reply_fault(rq, rows, CH_E_INTERNAL_ERROR);
    }
    if (err) {
        return err;
    }
    return ch_reply_created(rq, rows, HERE "/", "Note created");
}

static ch_err_t *get_note(ch_req_t *rq)
{
    const get_query_t *query = rq->query;
    const sql_note_get_t in = { .user_id = rq->who->user_id,
                                .id = rq->match.param[0],
                                .trashed = query->deleted };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_note_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_NOTE_NOT_FOUND, "Note");
}

ch_err_t *ch_note_write_text(ch_req_t *rq, sql_note_update_t *row,
                             const char *message)
{
    apr_int64_t words = 0;
    ch_rows_t *rows = NULL;
    ch_err_t *err;

    row->user_id = rq->who->user_id;
    row->id = rq->match.param[0];
    row->match = rq->if_match;
    if (row->content_given) {
        row->plain = ch_note_plain(rq->pool, row->content, &words);
        row->words = &words;
    }
    err = sql_note_update(rq->db, row, &rows);

    return ch_reply_found(rq, err, rows, CH_E_NOTE_NOT_FOUND, message);
}

static ch_err_t *update_note(ch_req_t *rq)
{
    const note_in_t *in = rq->body;
    sql_note_update_t row = {
        .title = CH_GIVEN(rq, note_in_t, title) ? title_of(in) : NULL,
        .content_given = CH_GIVEN(rq, note_in_t, content),
        .content = in->content,
        .folder_given = CH_GIVEN(rq, note_in_t, folder_id),
        .folder_id = in->folder_id,
        .tags = in->tags,
        .pinned = CH_OPT(rq, note_in_t, is_pinned),
        .favorite = CH_OPT(rq, note_in_t, is_favorite),
        .client_given = CH_GIVEN(rq, note_in_t, client_updated_at),
        .client_updated_at = in->client_updated_at,
    };

    return ch_note_write_text(rq, &row, "Note updated");
}

static ch_err_t *trash_note(ch_req_t *rq, ch_rows_t **rows)
{
    const sql_note_trash_t in = { .user_id = rq->who->user_id,
                                  .id = rq->match.param[0],
                                  .match = rq->if_match };

    return sql_note_trash(rq->db, &in, rows);
}

/* In a statement of its own: one that waits for the lock by itself does not
 * see, and would keep, what was written to the history meanwhile. */
ch_err_t *ch_note_purge(ch_db_t *db, const sql_note_purge_t *in,
                        ch_rows_t **rows)
{
    const sql_sync_lock_t lock = { .user_id = in->user_id };
    ch_rows_t *locked;
    ch_err_t *err;

    ch_db_gather(db);
    err = sql_sync_lock(db, &lock, &locked);
    err = err ? err : sql_note_purge(db, in, rows);
    return err ? err : ch_db_send(db);
}

static ch_err_t *purge_note(ch_req_t *rq, ch_rows_t **rows)
{
    const sql_note_purge_t in = { .user_id = rq->who->user_id,
                                  .id = rq->match.param[0],
                                  .match = rq->if_match,
                                  .which = CH_PURGE_ANY };

    return ch_note_purge(rq->db, &in, rows);
}

static ch_err_t *delete_note(ch_req_t *rq)
{
    const delete_query_t *query = rq->query;
    ch_rows_t *rows = NULL;
    ch_err_t *err =
        query->permanent ? purge_note(rq, &rows) : trash_note(rq, &rows);

    return ch_reply_found(rq, err, rows, CH_E_NOTE_NOT_FOUND, "Note deleted");
}

static ch_err_t *restore_note(ch_req_t *rq)
{
    const sql_note_restore_t in = { .user_id = rq->who->user_id,
                                    .id = rq->match.param[0],
                                    .match = rq->if_match };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_note_restore(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_NOTE_NOT_FOUND, "Note restored");
}

static ch_err_t *mark_note(ch_req_t *rq, int mark, const int *value,
                           const char *message)
{
    const sql_note_mark_t in = { .user_id = rq->who->user_id,
                                 .id = rq->match.param[0],
                                 .match = rq->if_match,
                                 .value = value,
                                 .mark = mark };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_note_mark(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_NOTE_NOT_FOUND, message);
}

static ch_err_t *pin_note(ch_req_t *rq)
{
    return mark_note(rq, 0, CH_OPT(rq, note_in_t, is_pinned), "Note updated");
}

static ch_err_t *favorite_note(ch_req_t *rq)
{
    return mark_note(rq, 1, CH_OPT(rq, note_in_t, is_favorite),
                     "Note updated");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, CH_NOTE_ROUTE, .flags = CH_LIST,
      .cache = CH_CACHE_NOTES, .ok = 200, .query = &list_query,
      .out = &item_out,
      .handler = list_notes, .summary = "Notes" },
    { .method = CH_POST, .path = HERE, CH_NOTE_ROUTE,
      .flags = CH_IDEMPOTENT | CH_VERSIONED, .ok = 201, .body = &note_in,
      .out = &ch_note_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NOT_FOUND, CH_E_CONFLICT),
      .handler = create_note, .summary = "Make a note" },
    { .method = CH_GET, .path = HERE "/{id}", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .cache = CH_CACHE_NOTES, .ok = 200,
      .query = &get_query,
      .out = &ch_note_out, CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND),
      .handler = get_note, .summary = "One note" },
    { .method = CH_PUT, .path = HERE "/{id}", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .body = &note_in,
      .out = &ch_note_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND, CH_E_FOLDER_NOT_FOUND),
      .handler = update_note, .summary = "Change a note" },
    { .method = CH_DELETE, .path = HERE "/{id}", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .query = &delete_query,
      .out = &deleted_out, CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND),
      .handler = delete_note, .summary = "Put a note into the trash" },
    { .method = CH_POST, .path = HERE "/{id}/restore", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .out = &ch_note_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND, CH_E_NOT_DELETED),
      .handler = restore_note, .summary = "Take a note out of the trash" },
    { .method = CH_PATCH, .path = HERE "/{id}/pin", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .body = &pin_in, .out = &ch_note_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND), .handler = pin_note,
      .summary = "Pin a note, or unpin it" },
    { .method = CH_PATCH, .path = HERE "/{id}/favorite", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .body = &favorite_in,
      .out = &ch_note_out, CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND),
      .handler = favorite_note,
      .summary = "Make a note a favourite, or not" },
};

const ch_routes_t ch_note_routes = CH_ROUTES(routes);
