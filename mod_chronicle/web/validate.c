/* Checks path, query, headers and body against the route's rows, collects
 * every fault, and fills the typed structs that handlers read. */
#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/uuid.h"
#include "web/bind.h"
#include "web/item.h"
#include "web/query.h"
#include "web/request.h"

int ch_field_at(const ch_fields_t *fields, size_t offset)
{
    int i;

    for (i = 0; i < fields->count; i++) {
        if (fields->rows[i].offset == offset) {
            return i;
        }
    }
    return -1;
}

int ch_field_in_upload(const ch_field_t *row)
{
    return !(row->flags & (CH_NOT_UPLOAD | CH_UPDATE_ONLY))
           && row->type != CH_T_OBJECT && row->type != CH_T_JSON
           && row->type != CH_T_NEST;
}

static int bit_of(const ch_req_t *rq, apr_uint64_t bits, size_t offset)
{
    int index = ch_field_at(rq->route->body, offset);

    return index >= 0 && (bits >> index & 1);
}

int ch_req_given(const ch_req_t *rq, size_t offset)
{
    return bit_of(rq, rq->given, offset);
}

int ch_req_is_null(const ch_req_t *rq, size_t offset)
{
    return bit_of(rq, rq->nulls, offset);
}

int ch_req_query_given(const ch_req_t *rq, size_t offset)
{
    int index = ch_field_at(rq->route->query, offset);

    return index >= 0 && (rq->query_given >> index & 1);
}

/* --- path ------------------------------------------------------------- */

static void check_param(ch_req_t *rq, int index)
{
    char kind;
    const char *name = ch_route_param(rq->pool, rq->route, index, &kind);
    const char *text = rq->match.param[index];
    char *lower;

    if (kind == 'u') {
        lower = apr_palloc(rq->pool, CH_UUID_LEN + 1);
        if (!ch_uuid_parse(text, strlen(text), lower)) {
            ch_err_fault(rq->pool, &rq->faults, CH_D_INVALID_FORMAT, name,
                         "must be a UUID");
            return;
        }
        rq->match.param[index] = lower;
    }
    else if (kind == 'i') {
        apr_int64_t number;

        if (!ch_bind_int(text, strlen(text), &number) || number < 1
            || number > APR_INT32_MAX) {
            ch_err_fault(rq->pool, &rq->faults, CH_D_INVALID_FORMAT, name,
                         "must be a whole number of 1 or more");
        }
    }
}

/* --- query ------------------------------------------------------------ */

/* What name=value pairs are bound by: of a query, of a form, or of the parts
 * that stand beside a file. */
typedef struct {
    const ch_fields_t *fields; /* NULL: every name is unknown */
    unsigned skip;             /* rows with one of these flags, too */
    int in_parts; /* so are rows that only JSON has; a list is one value */
    apr_uint64_t *given;
} pairs_t;

static const ch_field_t *find_row(const ch_fields_t *fields, const char *name,
                                  int *index)
{
    int i;

    for (i = 0; fields && i < fields->count; i++) {
        if (strcmp(fields->rows[i].name, name) == 0) {
            *index = i;
            return &fields->rows[i];
        }
    }
    return NULL;
}

static void check_pair(const pairs_t *pairs, ch_bind_t *bind,
                       const ch_pair_t *pair)
{
    const ch_field_t *row;
    int index = 0;

    row = find_row(pairs->fields, pair->name, &index);
    bind->row = row;
    bind->path = pair->name;
    if (!row || (row->flags & pairs->skip)
        || (pairs->in_parts && !ch_field_in_upload(row))) {
        ch_bind_fault(bind, CH_D_UNKNOWN_FIELD, "unknown name");
    }
    else if (!pair->len && !(row->flags & CH_KEEP_EMPTY)) {
        return; /* an empty value counts as absent */
    }
    else if ((*pairs->given >> index & 1) && !(row->flags & CH_REPEAT)) {
        ch_bind_fault(bind, CH_D_DUPLICATE, "must be given once");
    }
    else {
        *pairs->given |= UINT64_C(1) << index;
        if (pair->broken) {
            ch_bind_fault(bind, CH_D_INVALID_FORMAT,
                          pairs->in_parts ? "must be UTF-8"
                                          : "must be percent-encoded UTF-8");
        }
        else if (pairs->in_parts && row->type == CH_T_STRS) {
            ch_bind_list(bind, pair->value, pair->len);
        }
        else {
            ch_bind_query(bind, pair->value, pair->len);
        }
    }
}

static int is_paging(const ch_field_t *row)
{
    return strcmp(row->name, "page") == 0 || strcmp(row->name, "limit") == 0
           || strcmp(row->name, "cursor") == 0;
}

/* What a cursor is bound to: endpoint, caller, and every parameter but the
 * paging ones, in the order of the rows, defaults filled in. */
static const char *filter_key(ch_req_t *rq, const apr_array_header_t *pairs)
{
    ch_buf_t *key = ch_buf_make(rq->pool, 256, CH_BODY_MAX);
    const ch_fields_t *fields = rq->route->query;
    int i, k;

    ch_buf_printf(key, "%s\n%s", rq->route->path,
                  rq->who ? rq->who->user_id : "");
    for (k = 0; k < rq->match.param_count; k++) {
        ch_buf_printf(key, "\n%s", rq->match.param[k]);
    }
    for (i = 0; i < fields->count; i++) {
        int given = 0;

        if (is_paging(&fields->rows[i])) {
            continue;
        }
        for (k = 0; k < pairs->nelts; k++) {
            const ch_pair_t *pair = &APR_ARRAY_IDX(pairs, k, ch_pair_t);

            if (pair->len && strcmp(pair->name, fields->rows[i].name) == 0) {
                ch_buf_printf(key, "\n%d=", i);
                ch_buf_add(key, pair->value, pair->len);
                given = 1;
            }
        }
        if (!given && fields->rows[i].def) {
            const char *def = fields->rows[i].def;
            size_t quote = *def == '"';

            ch_buf_printf(key, "\n%d=%.*s", i, (int)(strlen(def) - 2 * quote),
                          def + quote);
        }
    }
    return ch_buf_cstr(key);
}

static void check_paging(ch_req_t *rq, const ch_fields_t *fields)
{
    int page = -1, cursor = -1;

    find_row(fields, "page", &page);
    find_row(fields, "cursor", &cursor);
    if (page >= 0 && cursor >= 0 && (rq->query_given >> page & 1)
        && (rq->query_given >> cursor & 1)) {
        ch_err_fault(rq->pool, &rq->faults, CH_D_INVALID_VALUE, "cursor",
                     "cannot be given together with page");
    }
}

static void check_query(ch_req_t *rq)
{
    const apr_array_header_t *pairs;
    const ch_fields_t *fields = rq->route->query;
    const pairs_t by = { .fields = fields, .given = &rq->query_given };
    ch_bind_t bind = { .pool = rq->pool, .faults = &rq->faults };
    int i;

    if (rq->route->flags & CH_ROOT) {
        return;
    }
    pairs = ch_query_parse(rq->pool, rq->args);
    if (fields) {
        rq->query = apr_pcalloc(rq->pool, fields->size);
        bind.base = rq->query;
        ch_bind_defaults(&bind, fields);
    }
    for (i = 0; i < pairs->nelts; i++) {
        check_pair(&by, &bind, &APR_ARRAY_IDX(pairs, i, ch_pair_t));
    }
    if (fields) {
        check_paging(rq, fields);
        rq->filter_key = filter_key(rq, pairs);
        if (fields->check) {
            fields->check(rq, rq->query, &rq->faults);
        }
    }
}

/* --- headers ---------------------------------------------------------- */

/* 1..255 printable ASCII, bare or as a quoted structured-field string. */
static void check_idempotency_key(ch_req_t *rq)
{
    const char *key = ch_req_header(rq, "Idempotency-Key");
    size_t len, i;

    if (!key || !(rq->route->flags & CH_IDEMPOTENT)) {
        return;
    }
    len = strlen(key);
    if (len >= 2 && key[0] == '"' && key[len - 1] == '"') {
        key = apr_pstrndup(rq->pool, key + 1, len -= 2);
    }
    for (i = 0; i < len && key[i] >= 0x20 && key[i] < 0x7f; i++) {
    }
    if (len < 1 || len > 255 || i < len) {
        ch_err_fault(rq->pool, &rq->faults, CH_D_INVALID_FORMAT,
                     "idempotency-key",
                     "must be 1 to 255 printable ASCII characters");
        return;
    }
    rq->idem_key = key;
}

/* Versions named by If-Match. Weak and foreign tags match nothing, but the
 * header is then there, so that the write is refused. */
static void read_if_match(ch_req_t *rq)
{
    const char *text = ch_req_header(rq, "If-Match");
    apr_array_header_t *versions;

    if (!text || !(rq->route->flags & CH_VERSIONED)
        || rq->route->method == CH_GET) {
        return;
    }
    text += strspn(text, " \t");
    if (strcmp(text, "*") == 0) {
        return; /* any version, as without the header: what is not there is
                 * refused by its own code first */
    }
    versions = apr_array_make(rq->pool, 2, sizeof(apr_int64_t));
    while (*text) {
        size_t len = strcspn(text, ",");
        const char *tag = text + strspn(text, " \t");
        apr_int64_t version;
        size_t tag_len;

        text += len + (text[len] == ',');
        tag_len = strcspn(tag, ", \t");
        if (tag_len < 4 || strncmp(tag, "\"v", 2) != 0 || tag[2] == '0'
            || tag[tag_len - 1] != '"') {
            continue;
        }
        tag_len = ch_req_tag_len(tag, tag_len);
        if (ch_bind_int(tag + 2, tag_len - 2, &version)
            && version <= APR_INT32_MAX) {
            APR_ARRAY_PUSH(versions, apr_int64_t) = version;
        }
    }
    rq->if_match = versions;
}

/* --- body ------------------------------------------------------------- */

/* As a query, but that a body may hold so many pairs that the mere list of
 * them would take too much memory. */
static void check_form(ch_req_t *rq, ch_bind_t *bind, unsigned skip)
{
    const pairs_t by = { .fields = rq->route->body, .skip = skip,
                         .given = &rq->given };
    const char *data = rq->raw_body.data;
    const apr_array_header_t *pairs;
    size_t i, count = 1;
    int n;

    for (i = 0; i < rq->raw_body.len; i++) {
        count += data[i] == '&';
    }
    if (count > CH_PAIRS_MAX) {
        ch_err_fault(rq->pool, &rq->faults, CH_D_TOO_MANY, NULL,
                     "a form has at most %d fields", CH_PAIRS_MAX);
        return;
    }
    pairs = ch_query_pairs(rq->pool, data, rq->raw_body.len);
    for (n = 0; n < pairs->nelts; n++) {
        check_pair(&by, bind, &APR_ARRAY_IDX(pairs, n, ch_pair_t));
    }
}

static void check_parts(ch_req_t *rq, ch_bind_t *bind, unsigned skip)
{
    const pairs_t by = { .fields = rq->route->body, .skip = skip,
                         .in_parts = 1, .given = &rq->given };
    int i;

    for (i = 0; i < rq->texts->nelts; i++) {
        check_pair(&by, bind, &APR_ARRAY_IDX(rq->texts, i, ch_pair_t));
    }
    if (!rq->upload) {
        ch_err_fault(rq->pool, &rq->faults, CH_D_MISSING_FIELD, "file",
                     "missing field");
    }
}

static void check_json(ch_req_t *rq, unsigned skip)
{
    ch_item_t item = { .fields = rq->route->body, .skip = skip, .prefix = "",
                       .values = rq->body, .faults = rq->faults };

    if (rq->json) {
        ch_item_bind(rq->pool, rq->json, &item);
    }
    rq->given = item.given;
    rq->nulls = item.nulls;
    rq->faults = item.faults;
}

static void check_body(ch_req_t *rq)
{
    const ch_fields_t *fields = rq->route->body;
    int updates = ch_route_updates(rq->route);
    unsigned skip = updates ? CH_CREATE_ONLY : CH_UPDATE_ONLY;
    ch_bind_t bind = { .pool = rq->pool, .faults = &rq->faults };

    if (fields) {
        rq->body = apr_pcalloc(rq->pool, fields->size);
        bind.base = rq->body;
        if (!updates) {
            ch_bind_defaults(&bind, fields);
        }
    }
    if (rq->json && ch_json_type(rq->json) != CH_JSON_OBJECT) {
        ch_err_fault(rq->pool, &rq->faults, CH_D_WRONG_TYPE, NULL,
                     "the body must be a JSON object");
        return;
    }
    if (rq->form) {
        check_form(rq, &bind, skip);
    }
    else if (rq->texts) {
        check_parts(rq, &bind, skip);
    }
    else {
        check_json(rq, skip);
    }
    if (fields && fields->check) {
        fields->check(rq, rq->body, &rq->faults);
    }
}

static void check_missing(ch_req_t *rq, const ch_fields_t *fields,
                          apr_uint64_t given, const char *what)
{
    int i;

    for (i = 0; fields && i < fields->count; i++) {
        if ((fields->rows[i].flags & CH_REQUIRED) && !(given >> i & 1)
            && (!rq->texts || ch_field_in_upload(&fields->rows[i]))) {
            ch_err_fault(rq->pool, &rq->faults, CH_D_MISSING_FIELD,
                         fields->rows[i].name, "missing %s", what);
        }
    }
}

ch_err_t *ch_validate_stage(ch_req_t *rq)
{
    int i;

    for (i = 0; i < rq->match.param_count; i++) {
        check_param(rq, i);
    }
    check_query(rq);
    check_idempotency_key(rq);
    read_if_match(rq);
    if (rq->route->method != CH_GET) {
        check_body(rq);
    }
    check_missing(rq, rq->route->query, rq->query_given, "parameter");
    if (!ch_route_updates(rq->route) && rq->route->method != CH_GET
        && (!rq->json || ch_json_type(rq->json) == CH_JSON_OBJECT)) {
        check_missing(rq, rq->route->body, rq->given, "field");
    }
    return rq->faults;
}
