/* The history of a note: its versions, and the way back to one. */
#include <apr_strings.h>

#include "api/api.h"
#include "api/notes.h"
#include "web/bind.h"
#include "web/reply.h"

#define HERE "/api/v1/notes/{id}"

/* --- inputs and outputs ----------------------------------------------- */

typedef struct {
    ch_page_in_t page;
} list_query_t;

static const ch_field_t query_rows[] = {
    CH_PAGE_ROWS(list_query_t, page, "20"),
};

static const ch_fields_t list_query = CH_FIELDS(list_query_t, query_rows);

typedef struct {
    apr_int64_t version;
} revert_in_t;

static const ch_field_t revert_rows[] = {
    { .name = "version", CH_IN(revert_in_t, version, CH_T_INT), .min = 1,
      .max = APR_INT32_MAX, .flags = CH_REQUIRED,
      .doc = "A version of the history" },
};

static const ch_fields_t revert_in = CH_FIELDS(revert_in_t, revert_rows);

#define VERSION_HEAD                                                          \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "noteId", .type = CH_T_UUID, .column = "note_id",               \
      .doc = "Its note" },                                                    \
    { .name = "version", .type = CH_T_INT, .min = 1,                          \
      .doc = "The note's version in this state" },                            \
    { .name = "title", .type = CH_T_STR, .doc = "Title then" }

#define VERSION_TAIL                                                          \
    { .name = "wordCount", .type = CH_T_INT, .column = "word_count",          \
      .doc = "Words then" },                                                  \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "When it was superseded" }

static const ch_field_t item_rows[] = { VERSION_HEAD, VERSION_TAIL };

static const ch_fields_t item_out = {
    .name = "NoteVersionItem", .rows = item_rows,
    .count = (int)CH_COUNT(item_rows),
};

static const ch_field_t version_rows[] = {
    VERSION_HEAD,
    { .name = "content", .type = CH_T_TEXT, .flags = CH_NULLABLE,
      .doc = "HTML then" },
    VERSION_TAIL,
};

const ch_fields_t ch_note_version_out = {
    .name = "NoteVersion", .rows = version_rows,
    .count = (int)CH_COUNT(version_rows),
};

/* --- handlers --------------------------------------------------------- */

static ch_err_t *fetch_after(ch_req_t *rq, const char *version,
                             ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_note_version_after_t in = {
        .user_id = rq->who->user_id,
        .note_id = rq->match.param[0],
        .version = apr_atoi64(version),
        .fetch = ch_page_fetch(&query->page),
    };

    return sql_note_version_after(rq->db, &in, rows);
}

static ch_err_t *fetch_page(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_note_version_page_t in = {
        .user_id = rq->who->user_id,
        .note_id = rq->match.param[0],
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };

    return sql_note_version_page(rq->db, &in, rows);
}

static ch_err_t *list_versions(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    ch_list_t list = { .sort_column = "version" };
    const char *cursor[2];
    ch_rows_t *rows;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, &query->page, cursor, &after);

    if (!err) {
        err = after ? fetch_after(rq, cursor[0], &rows)
                    : fetch_page(rq, &rows);
    }
    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_NOTE_NOT_FOUND, NULL);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "History of the note");
}

static ch_err_t *find_version(ch_req_t *rq, apr_int64_t version,
                              ch_rows_t **rows)
{
    const sql_note_version_get_t in = { .user_id = rq->who->user_id,
                                        .note_id = rq->match.param[0],
                                        .version = version };
    ch_err_t *err = sql_note_version_get(rq->db, &in, rows);

    return err ? err : ch_reply_fault(rq, *rows, CH_E_NOTE_NOT_FOUND);
}

static ch_err_t *get_version(ch_req_t *rq)
{
    ch_rows_t *rows;
    ch_err_t *err =
        find_version(rq, apr_atoi64(rq->match.param[1]), &rows);

    return err ? err : ch_reply_row(rq, rows, "A version of the note");
}

/* Two statements: the plain text of the old content is made here, not in
 * Postgres. A version never changes, so nothing can come between them. */
static ch_err_t *revert(ch_req_t *rq)
{
    const revert_in_t *in = rq->body;
    sql_note_update_t row = { .content_given = 1 };
    ch_rows_t *rows;
    ch_err_t *err = find_version(rq, in->version, &rows);

    if (err) {
        return err;
    }
    row.title = ch_rows_text(rows, 0, "title");
    row.content = ch_rows_text(rows, 0, "content");
    return ch_note_write_text(rq, &row, "Note reverted");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE "/versions", CH_NOTE_ROUTE,
      .flags = CH_LIST, .ok = 200, .query = &list_query, .out = &item_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND), .handler = list_versions,
      .summary = "History of a note" },
    { .method = CH_GET, .path = HERE "/versions/{version:int}",
      CH_NOTE_ROUTE, .ok = 200, .out = &ch_note_version_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND, CH_E_VERSION_NOT_FOUND),
      .handler = get_version, .summary = "A version of a note" },
    { .method = CH_POST, .path = HERE "/revert", CH_NOTE_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .body = &revert_in,
      .out = &ch_note_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND, CH_E_VERSION_NOT_FOUND),
      .handler = revert, .summary = "Go back to a version" },
};

const ch_routes_t ch_note_version_routes = CH_ROUTES(routes);
