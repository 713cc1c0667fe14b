/* Writes answers: the envelope, rows as JSON, lists with their paging,
 * files, errors, and the headers of all of them. */
#include "web/reply.h"

#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "base/jsonw.h"
#include "base/page.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define REPLY_MAX (256u * 1024 * 1024)
#define ENVELOPE_SIZE 256

static const char api_csp[] =
    "default-src 'none'; frame-ancestors 'none'";

/* --- envelope --------------------------------------------------------- */

ch_buf_t *ch_reply_begin(ch_req_t *rq, size_t size)
{
    ch_buf_t *buf =
        ch_buf_make(rq->pool, size + ENVELOPE_SIZE, REPLY_MAX);

    CH_BUF_LIT(buf, "{\"success\":true,\"data\":");
    rq->reply.body = buf;
    return buf;
}

ch_err_t *ch_reply_end(ch_req_t *rq, const char *message)
{
    ch_buf_t *buf = rq->reply.body;

    CH_BUF_LIT(buf, ",\"message\":");
    ch_jsonw_cstr(buf, message);
    CH_BUF_LIT(buf, ",\"timestamp\":");
    ch_jsonw_time(buf, apr_time_now());
    ch_buf_putc(buf, '}');
    if (buf->overflow) {
        return ch_err_cause(rq->pool, CH_E_INTERNAL_ERROR,
                            "reply: the answer passes its maximum");
    }
    if (!rq->reply.status) {
        rq->reply.status = rq->route->ok;
    }
    return NULL;
}

ch_err_t *ch_reply_null(ch_req_t *rq, const char *message)
{
    CH_BUF_LIT(ch_reply_begin(rq, 0), "null");
    return ch_reply_end(rq, message);
}

/* --- rows ------------------------------------------------------------- */

static void write_value(ch_buf_t *buf, const ch_field_t *field,
                        const char *cell, size_t len)
{
    switch (field->type) {
    case CH_T_INT:
    case CH_T_NUMBER:
    case CH_T_JSON:
    case CH_T_OBJECT:
        ch_buf_add(buf, cell, len);
        break;
    case CH_T_BOOL:
        ch_jsonw_bool(buf, *cell == 't');
        break;
    case CH_T_UUID: /* nothing in it needs an escape */
        ch_buf_putc(buf, '"');
        ch_buf_add(buf, cell, len);
        ch_buf_putc(buf, '"');
        break;
    case CH_T_TIME:
        ch_jsonw_pg_time(buf, cell, len);
        break;
    case CH_T_STRS:
        ch_jsonw_pg_array(buf, cell, len);
        break;
    case CH_T_MARKED:
        ch_jsonw_marked(buf, cell, len);
        break;
    default:
        ch_jsonw_str(buf, cell, len);
        break;
    }
}

/* Columns are looked for where the last one was found, so that a statement
 * that selects in the table's order costs one comparison per field. */
static int write_members(ch_buf_t *buf, const ch_fields_t *out,
                         const ch_rows_t *rows, int row, int column)
{
    char comma = '{';
    int i;

    for (i = 0; i < out->count; i++) {
        const ch_field_t *field = &out->rows[i];
        const char *name = field->column ? field->column : field->name;
        int found = ch_rows_find(rows, name, column);
        size_t len;
        const char *cell = ch_rows_cell(rows, row, found, &len);

        if (!cell && (field->flags & CH_MAY_LACK)) {
            continue;
        }
        ch_buf_putc(buf, comma);
        comma = ',';
        ch_buf_putc(buf, '"');
        ch_buf_puts(buf, field->name);
        CH_BUF_LIT(buf, "\":");
        if (!cell) {
            CH_BUF_LIT(buf, "null");
        }
        else if (field->type == CH_T_NEST) {
            found = write_members(buf, field->nested, rows, row, found) - 1;
            ch_buf_putc(buf, '}');
        }
        else {
            write_value(buf, field, cell, len);
        }
        column = found + 1;
    }
    return column;
}

void ch_reply_write_members(ch_buf_t *buf, const ch_fields_t *out,
                            const ch_rows_t *rows, int row)
{
    write_members(buf, out, rows, row, 0);
}

void ch_reply_write_row(ch_buf_t *buf, const ch_fields_t *out,
                        const ch_rows_t *rows, int row)
{
    write_members(buf, out, rows, row, 0);
    ch_buf_putc(buf, '}');
}

/* --- conditional requests --------------------------------------------- */

/* Whether a quoted tag of a header is ours, whatever a compressing filter put
 * in. */
static int is_same_tag(const char *tag, size_t len, const char *etag)
{
    size_t own = strlen(etag) - 1; /* without the closing quote */

    return ch_req_tag_len(tag, len) == own && strncmp(tag, etag, own) == 0;
}

/* The tag of If-None-Match that names this one (weak comparison), as it was
 * sent, or NULL. */
static const char *none_match_hit(apr_pool_t *pool, const char *header,
                                  const char *etag)
{
    for (;;) {
        const char *end;

        header += strspn(header, " \t,");
        if (*header == '*') {
            return etag;
        }
        if (strncmp(header, "W/", 2) == 0) {
            header += 2;
        }
        end = *header == '"' ? strchr(header + 1, '"') : NULL;
        if (!end) {
            return NULL; /* the end, or no list of tags */
        }
        end++;
        if (is_same_tag(header, (size_t)(end - header), etag)) {
            return apr_pstrmemdup(pool, header, (size_t)(end - header));
        }
        header = end;
    }
}

/* A compressed answer is known by its own tag: a client that still takes its
 * coding is told that one is good. */
static const char *tag_of_304(const ch_req_t *rq, const char *hit,
                              const char *etag)
{
    const char *codings = ch_req_header(rq, "Accept-Encoding");
    const char *coding = strrchr(hit, '-');

    if (!coding || !codings) {
        return etag;
    }
    coding = apr_pstrmemdup(rq->pool, coding + 1, strlen(coding) - 2);
    return strstr(codings, coding) ? hit : etag;
}

/* Sets the ETag of an answer; 1 when the client has it already. */
static int has_already(ch_req_t *rq, const char *etag)
{
    const char *header, *hit;

    apr_table_setn(rq->out, "ETag", etag);
    if (rq->route->method != CH_GET) {
        return 0;
    }
    rq->reply.cache_control = "private, no-cache";
    header = ch_req_header(rq, "If-None-Match");
    if (!header || rq->reply.whole || (rq->route->flags & CH_NO_304)) {
        return 0;
    }
    hit = none_match_hit(rq->pool, header, etag);
    if (!hit) {
        return 0;
    }
    apr_table_setn(rq->out, "ETag", tag_of_304(rq, hit, etag));
    rq->reply.status = 304;
    return 1;
}

int ch_reply_not_modified(ch_req_t *rq, const ch_rows_t *rows)
{
    const char *version;

    if (!(rq->route->flags & CH_VERSIONED)) {
        return 0;
    }
    version = ch_rows_text(rows, 0, "version");
    return version
           && has_already(rq, apr_pstrcat(rq->pool, "\"v", version, "\"",
                                          NULL));
}

int ch_reply_kept(ch_req_t *rq, const char *etag, ch_bytes_t body)
{
    if (*etag && has_already(rq, etag)) {
        return 1;
    }
    if (!body.len) {
        return 0;
    }
    rq->reply.body = ch_buf_over(rq->pool, body.data, body.len);
    rq->reply.status = rq->route->ok;
    return 1;
}

ch_err_t *ch_reply_row_as(ch_req_t *rq, const ch_fields_t *out,
                          const ch_rows_t *rows, const char *message)
{
    size_t size;

    if (ch_reply_not_modified(rq, rows)) {
        return NULL;
    }
    size = ch_rows_size(rows);
    ch_reply_write_row(ch_reply_begin(rq, size + size / 8 + 1024), out, rows,
                       0);
    return ch_reply_end(rq, message);
}

ch_err_t *ch_reply_row(ch_req_t *rq, const ch_rows_t *rows,
                       const char *message)
{
    return ch_reply_row_as(rq, rq->route->out, rows, message);
}

ch_err_t *ch_reply_created(ch_req_t *rq, const ch_rows_t *rows,
                           const char *path_prefix, const char *message)
{
    if (!ch_rows_count(rows)) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    apr_table_setn(rq->out, "Location",
                   apr_pstrcat(rq->pool, path_prefix,
                               ch_rows_text(rows, 0, "id"), NULL));
    return ch_reply_row(rq, rows, message);
}

ch_err_t *ch_reply_fault(ch_req_t *rq, const ch_rows_t *rows,
                         ch_code_e missing)
{
    const char *fault;
    ch_code_e code;
    ch_err_t *err;
    size_t len;

    if (!ch_rows_count(rows)) {
        return ch_err_make(rq->pool, missing, NULL);
    }
    fault = ch_rows_text(rows, 0, "fault");
    if (!fault) {
        return NULL;
    }
    len = strcspn(fault, ":");
    code = ch_code_find(fault, len);
    if (!code) {
        return ch_err_cause(rq->pool, CH_E_INTERNAL_ERROR,
                            "reply: unknown fault %s", fault);
    }
    err = ch_err_make(rq->pool, code, NULL);
    if (code == CH_E_PRECONDITION_FAILED) {
        ch_err_detail(rq->pool, err, ch_detail_name(CH_D_CONFLICT),
                      "if-match",
                      apr_pstrcat(rq->pool, "current version is v",
                                  fault + len + (fault[len] == ':'), NULL));
    }
    return err;
}

ch_err_t *ch_reply_found(ch_req_t *rq, ch_err_t *err, const ch_rows_t *rows,
                         ch_code_e missing, const char *message)
{
    if (!err) {
        err = ch_reply_fault(rq, rows, missing);
    }
    return err ? err : ch_reply_row(rq, rows, message);
}

/* --- lists ------------------------------------------------------------ */

apr_int64_t ch_page_fetch(const ch_page_in_t *page)
{
    return page->cursor ? page->limit + 1 : page->limit;
}

apr_int64_t ch_page_offset(const ch_page_in_t *page)
{
    return page->cursor ? 0 : (page->page - 1) * page->limit;
}

int ch_page_wants_total(const ch_page_in_t *page)
{
    return !page->cursor;
}

ch_err_t *ch_page_open_cursor(ch_req_t *rq, const ch_page_in_t *page,
                              const char *values[2], int *after)
{
    ch_err_t *err = NULL;

    *after = page->cursor && *page->cursor;
    if (*after
        && !ch_page_open(rq->pool, rq->conf->cursor_key, rq->filter_key,
                         page->cursor, values, 2)) {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_VALUE, "cursor",
                     "is damaged or belongs to another list");
    }
    return err;
}

/* The cursor behind a row. A sort value too long for a cursor is left out;
 * it is then looked up by the id. */
static const char *cursor_after(ch_req_t *rq, const ch_list_t *list, int row)
{
    const char *id_column = list->id_column ? list->id_column : "id";
    const char *values[2] = { NULL, NULL };
    const char *cursor;

    if (list->sort_column) {
        values[0] = ch_rows_text(list->rows, row, list->sort_column);
    }
    values[1] = ch_rows_text(list->rows, row, id_column);
    cursor = ch_page_seal(rq->pool, rq->conf->cursor_key, rq->filter_key,
                          values, 2);
    if (!cursor) {
        values[0] = NULL;
        cursor = ch_page_seal(rq->pool, rq->conf->cursor_key, rq->filter_key,
                              values, 2);
    }
    return cursor;
}

static void write_pagination(ch_buf_t *buf, const ch_page_in_t *page,
                             apr_int64_t total, int more, const char *next)
{
    if (page->cursor) {
        ch_buf_printf(buf,
                      "\"pagination\":{\"page\":null,\"limit\":%"
                      APR_INT64_T_FMT ",\"total\":null,\"totalPages\":null,",
                      page->limit);
    }
    else {
        ch_buf_printf(buf,
                      "\"pagination\":{\"page\":%" APR_INT64_T_FMT
                      ",\"limit\":%" APR_INT64_T_FMT
                      ",\"total\":%" APR_INT64_T_FMT
                      ",\"totalPages\":%" APR_INT64_T_FMT ",",
                      page->page, page->limit, total,
                      (total + page->limit - 1) / page->limit);
    }
    ch_buf_printf(buf, "\"hasNext\":%s,\"hasPrev\":%s,\"nextCursor\":",
                  more ? "true" : "false",
                  (page->cursor ? *page->cursor != '\0' : page->page > 1)
                      ? "true"
                      : "false");
    ch_jsonw_cstr(buf, next);
    CH_BUF_LIT(buf, "}}");
}

/* Rows of the result that are items: an empty page is one row without id. */
static int item_count(const ch_list_t *list)
{
    int count = ch_rows_count(list->rows);

    if (count
        && !ch_rows_text(list->rows, 0,
                         list->id_column ? list->id_column : "id")) {
        return 0;
    }
    return count;
}

ch_err_t *ch_reply_list(ch_req_t *rq, const ch_page_in_t *page,
                        const ch_list_t *list, const char *message)
{
    size_t size = ch_rows_size(list->rows);
    ch_buf_t *buf = ch_reply_begin(rq, size + size / 4 + 1024);
    int count = item_count(list);
    apr_int64_t total = 0;
    int more, i;

    if (page->cursor) {
        more = count > page->limit;
        count -= more;
    }
    else {
        total = ch_rows_int(list->rows, 0, "total");
        more = count && page->page * page->limit < total;
    }
    CH_BUF_LIT(buf, "{\"items\":[");
    for (i = 0; i < count; i++) {
        if (i) {
            ch_buf_putc(buf, ',');
        }
        ch_reply_write_row(buf, rq->route->out, list->rows, i);
    }
    CH_BUF_LIT(buf, "],");
    write_pagination(buf, page, total, more,
                     more && !list->no_cursor
                         ? cursor_after(rq, list, count - 1)
                         : NULL);
    return ch_reply_end(rq, message);
}

/* --- what is not enveloped -------------------------------------------- */

ch_err_t *ch_reply_raw(ch_req_t *rq, int status, const char *content_type,
                       ch_buf_t *body)
{
    rq->reply.status = status;
    rq->reply.content_type = content_type;
    rq->reply.body = body;
    return NULL;
}

ch_err_t *ch_reply_file(ch_req_t *rq, const char *dir, const char *name)
{
    const char *path = apr_pstrcat(rq->pool, dir, "/", name, NULL);
    apr_finfo_t info;

    if (apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_SIZE, rq->pool)
            != APR_SUCCESS
        || info.filetype != APR_REG) {
        return ch_err_cause(rq->pool, CH_E_ROUTE_NOT_FOUND,
                            "reply: there is no file %s", path);
    }
    rq->reply.status = 200;
    rq->reply.file = path;
    rq->reply.file_size = info.size;
    rq->reply.cache_control = "public, max-age=3600";
    return NULL;
}

/* --- errors ----------------------------------------------------------- */

static void write_details(ch_buf_t *buf, const apr_array_header_t *details)
{
    int i;

    for (i = 0; details && i < details->nelts; i++) {
        const ch_detail_t *detail = &APR_ARRAY_IDX(details, i, ch_detail_t);

        if (i) {
            ch_buf_putc(buf, ',');
        }
        CH_BUF_LIT(buf, "{\"field\":");
        ch_jsonw_cstr(buf, detail->field);
        CH_BUF_LIT(buf, ",\"message\":");
        ch_jsonw_cstr(buf, detail->message);
        CH_BUF_LIT(buf, ",\"code\":");
        ch_jsonw_cstr(buf, detail->code);
        ch_buf_putc(buf, '}');
    }
}

static void set_error_headers(ch_req_t *rq, const ch_err_t *err, int status)
{
    int retry_after = err->retry_after;

    apr_table_unset(rq->out, "ETag");
    apr_table_unset(rq->out, "Location");
    if (status == 401) {
        apr_table_setn(rq->out, "WWW-Authenticate",
                       err->code == CH_E_INVALID_TOKEN
                               || err->code == CH_E_TOKEN_EXPIRED
                           ? "Bearer realm=\"chronicle\", "
                             "error=\"invalid_token\""
                           : "Bearer realm=\"chronicle\"");
    }
    if (status == 503 && !retry_after) {
        retry_after = 5;
    }
    if (retry_after) {
        apr_table_setn(rq->out, "Retry-After",
                       apr_itoa(rq->pool, retry_after));
    }
}

void ch_reply_write_error(ch_buf_t *buf, const ch_err_t *err)
{
    CH_BUF_LIT(buf, "{\"code\":");
    ch_jsonw_cstr(buf, ch_code_name(err->code));
    CH_BUF_LIT(buf, ",\"message\":");
    ch_jsonw_cstr(buf, err->message);
    CH_BUF_LIT(buf, ",\"details\":[");
    write_details(buf, err->details);
    CH_BUF_LIT(buf, "]}");
}

void ch_reply_error(ch_req_t *rq, const ch_err_t *err)
{
    int status = ch_code_status(err->code);
    ch_buf_t *buf = ch_buf_make(rq->pool, 1024, REPLY_MAX);

    if (err->cause) {
        rq->io->log(rq, status >= 500 ? 'e' : 'i', 1001, err->cause);
    }
    memset(&rq->reply, 0, sizeof(rq->reply));
    rq->reply.status = status;
    rq->reply.code = err->code;
    rq->reply.body = buf;
    CH_BUF_LIT(buf, "{\"success\":false,\"error\":");
    ch_reply_write_error(buf, err);
    CH_BUF_LIT(buf, ",\"requestId\":");
    ch_jsonw_cstr(buf, rq->request_id);
    CH_BUF_LIT(buf, ",\"timestamp\":");
    ch_jsonw_time(buf, apr_time_now());
    ch_buf_putc(buf, '}');
    set_error_headers(rq, err, status);
}

/* --- headers ---------------------------------------------------------- */

void ch_reply_headers(ch_req_t *rq)
{
    static const struct {
        const char *name, *value;
    } fixed[] = {
        { "X-Api-Version", CH_API_VERSION },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "DENY" },
        { "X-XSS-Protection", "0" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
        { "Cross-Origin-Resource-Policy", "same-site" },
        { "Permissions-Policy", "interest-cohort=()" },
    };
    ch_reply_t *reply = &rq->reply;
    size_t i;

    for (i = 0; i < CH_COUNT(fixed); i++) {
        apr_table_setn(rq->out, fixed[i].name, fixed[i].value);
    }
    apr_table_setn(rq->out, "X-Request-Id", rq->request_id);
    apr_table_setn(rq->out, "Content-Security-Policy",
                   reply->csp ? reply->csp : api_csp);
    apr_table_setn(rq->out, "Cache-Control",
                   reply->cache_control ? reply->cache_control : "no-store");
    apr_table_setn(rq->out, "Server-Timing",
                   apr_psprintf(rq->pool, "app;dur=%.1f",
                                (double)(apr_time_now() - rq->start) / 1000));
    if (rq->tls) {
        apr_table_setn(rq->out, "Strict-Transport-Security",
                       "max-age=31536000; includeSubDomains");
    }
    if (!reply->content_type) {
        reply->content_type = JSON_TYPE;
    }
}
