/* Writes an account down as JSON, page by page, in memory that does not grow
 * with it. */
#include <string.h>

#include <apr_strings.h>

#include "api/export.h"
#include "base/jsonw.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define SLICE 250       /* notes of a page at most */
#define DIGITS 32       /* of an id */
#define KEY_LEN 64      /* of a row's key as text */
#define ROW_MAX (64u * 1024 * 1024)

/* --- pages ------------------------------------------------------------ */

/* Forgets the page before. */
static ch_err_t *turn(ch_export_t *export)
{
    apr_pool_clear(export->page);
    export->db = ch_db_make(export->page, export->job->conf->db);
    return ch_job_beat(export->job);
}

ch_err_t *ch_export_begin(ch_export_t *export)
{
    const sql_export_note_ids_t in = { .user_id = export->user_id };
    apr_pool_t *pool = export->job->pool;
    ch_rows_t *rows;
    ch_err_t *err;

    apr_pool_create(&export->page, pool);
    export->db = ch_db_make(export->page, export->job->conf->db);
    err = sql_export_note_ids(export->db, &in, &rows);
    if (err) {
        return err;
    }
    export->ids = apr_pstrdup(pool, ch_rows_text(rows, 0, "ids"));
    export->count = strlen(export->ids) / DIGITS;
    return NULL;
}

static const apr_array_header_t *slice(const ch_export_t *export, size_t from)
{
    apr_array_header_t *ids =
        apr_array_make(export->page, SLICE, sizeof(const char *));
    size_t i;

    for (i = from; i < export->count && i < from + SLICE; i++) {
        APR_ARRAY_PUSH(ids, const char *) =
            apr_pstrmemdup(export->page, export->ids + i * DIGITS, DIGITS);
    }
    return ids;
}

/* The key of the last row of a page, which outlives the page. */
typedef struct {
    char text[2][KEY_LEN];
    ch_export_place_t place;
} last_key_t;

static void keep_key(last_key_t *key, const ch_export_section_t *section,
                     const ch_rows_t *rows)
{
    int i;

    for (i = 0; i < 2 && section->by[i]; i++) {
        apr_cpystrn(key->text[i],
                    ch_rows_text(rows, ch_rows_count(rows) - 1,
                                 section->by[i]),
                    KEY_LEN);
        key->place.after[i] = key->text[i];
    }
}

static ch_err_t *each(ch_export_t *export, const ch_rows_t *rows,
                      ch_export_row_t *row, void *ctx)
{
    ch_err_t *err = NULL;
    int i;

    for (i = 0; i < ch_rows_count(rows) && !err; i++) {
        err = row(export, ctx, rows, i);
    }
    return err;
}

static ch_err_t *walk_one(ch_export_t *export,
                          const ch_export_section_t *section,
                          ch_export_row_t *row, void *ctx)
{
    const ch_export_place_t place = { .ids = NULL };
    ch_rows_t *rows;
    ch_err_t *err = turn(export);

    if (!err) {
        err = section->fetch(export, &place, &rows);
    }
    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(export->job->pool, CH_E_USER_NOT_FOUND, NULL);
    }
    return err ? err : row(export, ctx, rows, 0);
}

static ch_err_t *walk_list(ch_export_t *export,
                           const ch_export_section_t *section,
                           ch_export_row_t *row, void *ctx)
{
    last_key_t key = { .place = { .ids = NULL } };
    ch_rows_t *rows;
    ch_err_t *err;

    for (;;) {
        err = turn(export);
        if (!err) {
            err = section->fetch(export, &key.place, &rows);
        }
        if (err || !ch_rows_count(rows)) {
            return err;
        }
        err = each(export, rows, row, ctx);
        if (err) {
            return err;
        }
        keep_key(&key, section, rows);
    }
}

/* Where the page behind these rows begins: at the note of the last row, of
 * which there may be more, or behind it; behind the slice when it had none. */
static size_t advance(last_key_t *key, const ch_export_section_t *section,
                      const ch_rows_t *rows)
{
    int count = ch_rows_count(rows);
    size_t last;

    key->place.after[0] = NULL;
    if (!count) {
        return SLICE;
    }
    last = (size_t)ch_rows_int(rows, count - 1, "ord");
    if (!section->by[0]) {
        return last;
    }
    keep_key(key, section, rows);
    return last - 1;
}

static ch_err_t *walk_notes(ch_export_t *export,
                            const ch_export_section_t *section,
                            ch_export_row_t *row, void *ctx)
{
    last_key_t key = { .place = { .ids = NULL } };
    size_t from = 0;
    ch_rows_t *rows;
    ch_err_t *err = NULL;

    while (!err && from < export->count) {
        err = turn(export);
        if (!err) {
            key.place.ids = slice(export, from);
            err = section->fetch(export, &key.place, &rows);
        }
        if (!err) {
            err = each(export, rows, row, ctx);
        }
        if (!err) {
            from += advance(&key, section, rows);
        }
    }
    return err;
}

ch_err_t *ch_export_walk(ch_export_t *export,
                         const ch_export_section_t *section,
                         ch_export_row_t *row, void *ctx)
{
    switch (section->form) {
    case CH_EXPORT_ONE:
        return walk_one(export, section, row, ctx);
    case CH_EXPORT_LIST:
        return walk_list(export, section, row, ctx);
    case CH_EXPORT_NOTES:
        return walk_notes(export, section, row, ctx);
    case CH_EXPORT_FIXED:
        break;
    }
    return NULL;
}

/* --- JSON ------------------------------------------------------------- */

static ch_err_t *give_text(ch_export_t *export, const char *text)
{
    return export->give(export->ctx, text, strlen(text));
}

typedef struct {
    const ch_export_section_t *section;
    apr_size_t rows; /* written so far */
} json_t;

/* Room for a row that has few characters to escape. */
static size_t size_of(const ch_rows_t *rows, int row)
{
    size_t size = 1024;
    size_t len;
    int column;

    for (column = 0; column < ch_rows_columns(rows); column++) {
        ch_rows_cell(rows, row, column, &len);
        size += len + len / 8;
    }
    return size;
}

static ch_err_t *write_json(ch_export_t *export, void *ctx,
                            const ch_rows_t *rows, int row)
{
    json_t *json = ctx;
    ch_buf_t *buf =
        ch_buf_make(export->page, size_of(rows, row), ROW_MAX);

    if (json->rows++) {
        CH_BUF_LIT(buf, ",\n");
    }
    ch_reply_write_row(buf, json->section->out, rows, row);
    if (buf->overflow) {
        return ch_err_cause(export->job->pool, CH_E_INTERNAL_ERROR,
                            "export: a row passes its maximum");
    }
    return export->give(export->ctx, buf->data, buf->len);
}

static ch_err_t *write_section(ch_export_t *export,
                               const ch_export_section_t *section)
{
    int is_array = section->form == CH_EXPORT_LIST
                   || section->form == CH_EXPORT_NOTES;
    json_t json = { .section = section };
    const char *opens = section->opens
                            ? apr_pstrcat(export->page, section->opens,
                                          "\":{\"", NULL)
                            : "";
    ch_err_t *err = give_text(
        export, apr_pstrcat(export->page, ",\n\"", opens, section->key,
                            "\":", is_array ? "[" : "", section->fixed,
                            NULL));

    if (!err) {
        err = ch_export_walk(export, section, write_json, &json);
    }
    return err || !is_array
               ? err
               : give_text(export, section->closes ? "]}" : "]");
}

ch_err_t *ch_export_json(ch_export_t *export)
{
    ch_buf_t *head = ch_buf_make(export->page, 256, 256);
    ch_err_t *err;
    int i;

    CH_BUF_LIT(head, "{\"exportVersion\":1,\"exportedAt\":");
    ch_jsonw_time(head, apr_time_now());
    err = export->give(export->ctx, head->data, head->len);
    for (i = 0; i < ch_export_section_count && !err; i++) {
        err = write_section(export, &ch_export_sections[i]);
    }
    return err ? err : give_text(export, "}\n");
}
