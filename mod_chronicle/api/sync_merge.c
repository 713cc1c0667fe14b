/* Merges what client and server made of one state (API.md 7, strategy
 * merge). */
#include "api/sync_merge.h"

#include <string.h>

#include <apr_strings.h>

#include "api/notes.h"
#include "base/merge3.h"

/* One field of the three, by its row. */
typedef struct {
    const ch_field_t *row;
    int index;
    const void *base; /* the members; base NULL = unknown */
    const void *server;
    const void *client;
} field_t;

static const void *member(const ch_item_t *item, const ch_field_t *row)
{
    return (const char *)item->values + row->offset;
}

static int is_given(const ch_item_t *item, int index)
{
    return item->given >> index & 1;
}

/* --- comparing ---------------------------------------------------------- */

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int has_tag(const apr_array_header_t *tags, const char *tag)
{
    int i;

    for (i = 0; tags && i < tags->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(tags, i, const char *), tag) == 0) {
            return 1;
        }
    }
    return 0;
}

static int same_tags(const apr_array_header_t *a, const apr_array_header_t *b)
{
    int i;

    if (a->nelts != b->nelts) {
        return 0;
    }
    for (i = 0; i < a->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(a, i, const char *),
                   APR_ARRAY_IDX(b, i, const char *)) != 0) {
            return 0;
        }
    }
    return 1;
}

static int is_deleted_row(const ch_field_t *row)
{
    return strcmp(row->name, "deletedAt") == 0;
}

static int same(const ch_field_t *row, const void *a, const void *b)
{
    const char *const *text_a = a, *const *text_b = b;

    switch (row->type) {
    case CH_T_INT:
        return *(const apr_int64_t *)a == *(const apr_int64_t *)b;
    case CH_T_BOOL:
        return *(const int *)a == *(const int *)b;
    case CH_T_STRS:
        return same_tags(*(const apr_array_header_t *const *)a,
                         *(const apr_array_header_t *const *)b);
    default:
        /* of deletedAt it only matters whether it is set */
        return is_deleted_row(row) ? !*text_a == !*text_b
                                   : same_text(*text_a, *text_b);
    }
}

/* --- one field ---------------------------------------------------------- */

static void clash(apr_array_header_t *clashes, const char *field, int count)
{
    ch_clash_t *entry = apr_array_push(clashes);

    entry->field = field;
    entry->count = count;
}

static void put(ch_item_t *out, const ch_field_t *row, const void *value)
{
    size_t size = row->type == CH_T_INT    ? sizeof(apr_int64_t)
                  : row->type == CH_T_BOOL ? sizeof(int)
                                           : sizeof(const char *);

    memcpy((char *)out->values + row->offset, value, size);
}

/* The side that differs from base; the server's where both do. 1 when they
 * disagree. */
static int pick(const field_t *field, const void **value)
{
    int client_same = field->base
                      && same(field->row, field->base, field->client);
    int server_same = field->base
                      && same(field->row, field->base, field->server);

    *value = server_same && !client_same ? field->client : field->server;
    return !client_same && !server_same
           && !same(field->row, field->server, field->client);
}

static ch_err_t *merge_text(apr_pool_t *pool, const field_t *field,
                            ch_item_t *out, apr_array_header_t *clashes)
{
    const char *const *base = field->base;
    const char *server = *(const char *const *)field->server;
    const char *client = *(const char *const *)field->client;
    const char *text;
    const void *value;
    ch_bytes_t was = { "", 0 }, merged;
    ch_err_t *err;
    int count;

    if (!pick(field, &value)) {
        put(out, field->row, value);
        return NULL;
    }
    server = server ? server : "";
    client = client ? client : "";
    if (base && *base) {
        was = (ch_bytes_t){ *base, strlen(*base) };
    }
    err = ch_merge3(pool, base ? &was : NULL,
                    (ch_bytes_t){ server, strlen(server) },
                    (ch_bytes_t){ client, strlen(client) }, &merged, &count);
    if (err) {
        return err;
    }
    if (merged.len > CH_NOTE_CONTENT_MAX) {
        ch_err_fault(pool, &err, CH_D_TOO_LONG, "strategy",
                     "the merged content would pass %d bytes; choose another "
                     "strategy",
                     CH_NOTE_CONTENT_MAX);
        return err;
    }
    text = apr_pstrmemdup(pool, merged.data, merged.len);
    put(out, field->row, &text);
    if (count) {
        clash(clashes, field->row->name, count);
    }
    return NULL;
}

/* Base without what either side took away, then what the client added. What
 * passes the number of tags that a note can have is told. */
static void merge_tags(apr_pool_t *pool, const field_t *field, ch_item_t *out,
                       apr_array_header_t *clashes)
{
    const apr_array_header_t *base =
        field->base ? *(const apr_array_header_t *const *)field->base : NULL;
    const apr_array_header_t *server =
        *(const apr_array_header_t *const *)field->server;
    const apr_array_header_t *client =
        *(const apr_array_header_t *const *)field->client;
    apr_array_header_t *tags = apr_array_make(pool, 8, sizeof(const char *));
    int i, left = 0;

    for (i = 0; i < server->nelts; i++) {
        const char *tag = APR_ARRAY_IDX(server, i, const char *);

        if (!has_tag(base, tag) || has_tag(client, tag)) {
            APR_ARRAY_PUSH(tags, const char *) = tag;
        }
    }
    for (i = 0; i < client->nelts; i++) {
        const char *tag = APR_ARRAY_IDX(client, i, const char *);

        if (has_tag(base, tag) || has_tag(server, tag)) {
            continue;
        }
        if (tags->nelts < CH_NOTE_TAGS_MAX) {
            APR_ARRAY_PUSH(tags, const char *) = tag;
        }
        else {
            left++;
        }
    }
    put(out, field->row, &tags);
    if (left) {
        clash(clashes, field->row->name, left);
    }
}

/* --- the whole ---------------------------------------------------------- */

/* A field that the client left alone is as it was. */
static field_t field_of(const ch_merge_t *merge, int index)
{
    const ch_field_t *row = &ch_sync_kinds[merge->kind].in->rows[index];
    const ch_item_t *untouched = merge->base ? merge->base : merge->server;

    return (field_t){
        .row = row,
        .index = index,
        .base = merge->base ? member(merge->base, row) : NULL,
        .server = member(merge->server, row),
        .client = member(is_given(merge->client, index) ? merge->client
                                                        : untouched,
                         row),
    };
}

/* Whether a side is another than base in anything. Without a base nobody can
 * tell, so both are. */
static int is_edited(const ch_merge_t *merge, int by_client)
{
    const ch_fields_t *fields = ch_sync_kinds[merge->kind].in;
    int i;

    for (i = 0; i < fields->count; i++) {
        const field_t field = field_of(merge, i);

        if (!is_given(merge->server, i)) {
            continue; /* it is no part of the state */
        }
        if (!field.base
            || !same(field.row, field.base,
                     by_client ? field.client : field.server)) {
            return 1;
        }
    }
    return 0;
}

/* An edit on one side beats a deletion on the other. */
static void merge_deleted(const ch_merge_t *merge, const field_t *field,
                          ch_item_t *out)
{
    const char *const *server = field->server;
    const char *const *client = field->client;
    const void *value = server;

    if (*server && !*client) {
        value = is_edited(merge, 1) ? client : server;
    }
    else if (!*server && *client) {
        value = is_edited(merge, 0) ? server : client;
    }
    put(out, field->row, value);
}

static ch_err_t *merge_field(apr_pool_t *pool, const ch_merge_t *merge,
                             const field_t *field, ch_item_t *out,
                             apr_array_header_t *clashes)
{
    const void *value;

    if (is_deleted_row(field->row)) {
        merge_deleted(merge, field, out);
    }
    else if (field->row->type == CH_T_BYTES) {
        return merge_text(pool, field, out, clashes);
    }
    else if (field->row->type == CH_T_STRS) {
        merge_tags(pool, field, out, clashes);
    }
    else {
        if (pick(field, &value)) {
            clash(clashes, field->row->name, 1);
        }
        put(out, field->row, value);
    }
    return NULL;
}

/* The row is a pointer whose NULL is a null. */
static int is_null(const ch_item_t *item, const ch_field_t *row)
{
    return (row->flags & CH_NULLABLE)
           && !*(const char *const *)member(item, row);
}

ch_err_t *ch_sync_merge(apr_pool_t *pool, const ch_merge_t *merge,
                        ch_item_t *out, apr_array_header_t *clashes)
{
    const ch_fields_t *fields = ch_sync_kinds[merge->kind].in;
    ch_err_t *err = NULL;
    int i;

    *out = (ch_item_t){ .fields = fields,
                        .values = apr_pcalloc(pool, fields->size) };
    for (i = 0; i < fields->count && !err; i++) {
        const field_t field = field_of(merge, i);

        if (is_given(merge->server, i)) {
            err = merge_field(pool, merge, &field, out, clashes);
        }
        else if (is_given(merge->client, i)
                 && !(field.row->flags & CH_CREATE_ONLY)) {
            /* the client's own time: nobody else has one */
            put(out, field.row, field.client);
        }
        else {
            continue;
        }
        out->given |= UINT64_C(1) << i;
        out->nulls |= (apr_uint64_t)is_null(out, field.row) << i;
    }
    return err;
}
