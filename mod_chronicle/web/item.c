/* Binds a JSON object to a struct by a field table, and writes it again. */
#include "web/item.h"

#include <string.h>

#include <apr_strings.h>

#include "base/jsonw.h"
#include "web/bind.h"

static const ch_field_t *find_row(const ch_item_t *item, const char *name,
                                  int *index)
{
    const ch_fields_t *fields = item->fields;
    int i;

    for (i = 0; fields && i < fields->count; i++) {
        if (!(fields->rows[i].flags & item->skip)
            && strcmp(fields->rows[i].name, name) == 0) {
            *index = i;
            return &fields->rows[i];
        }
    }
    return NULL;
}

static void bind_member(ch_bind_t *bind, ch_item_t *item, const char *key,
                        const ch_json_t *value)
{
    int index = 0;

    bind->row = find_row(item, key, &index);
    bind->path =
        *item->prefix ? apr_pstrcat(bind->pool, item->prefix, key, NULL) : key;
    if (!bind->row) {
        ch_bind_fault(bind, CH_D_UNKNOWN_FIELD, "unknown field");
        return;
    }
    item->given |= UINT64_C(1) << index;
    if (ch_json_type(value) != CH_JSON_NULL) {
        ch_bind_json(bind, value);
    }
    else if (bind->row->flags & CH_NULLABLE) {
        item->nulls |= UINT64_C(1) << index;
        ch_bind_null(bind);
    }
    else {
        ch_bind_fault(bind, CH_D_WRONG_TYPE, "must not be null");
    }
}

void ch_item_bind(apr_pool_t *pool, const ch_json_t *object, ch_item_t *item)
{
    ch_bind_t bind = { .pool = pool, .faults = &item->faults };
    const ch_json_t *value;
    const char *key;
    void *iter = NULL;

    if (!item->values && item->fields) {
        item->values = apr_pcalloc(pool, item->fields->size);
    }
    bind.base = item->values;
    while (ch_json_next(object, &iter, &key, &value)) {
        bind_member(&bind, item, key, value);
    }
}

void ch_item_require(apr_pool_t *pool, ch_item_t *item, const char *what)
{
    const ch_fields_t *fields = item->fields;
    int i;

    for (i = 0; fields && i < fields->count; i++) {
        const ch_field_t *row = &fields->rows[i];

        if ((row->flags & CH_REQUIRED) && !(row->flags & item->skip)
            && !(item->given >> i & 1)) {
            ch_err_fault(pool, &item->faults, CH_D_MISSING_FIELD,
                         apr_pstrcat(pool, item->prefix, row->name, NULL),
                         "missing %s", what);
        }
    }
}

int ch_item_given(const ch_item_t *item, size_t offset)
{
    int index = ch_field_at(item->fields, offset);

    return index >= 0 && (item->given >> index & 1);
}

static void write_texts(ch_buf_t *buf, const apr_array_header_t *texts)
{
    int i;

    ch_buf_putc(buf, '[');
    for (i = 0; i < texts->nelts; i++) {
        if (i) {
            ch_buf_putc(buf, ',');
        }
        ch_jsonw_cstr(buf, APR_ARRAY_IDX(texts, i, const char *));
    }
    ch_buf_putc(buf, ']');
}

static void write_value(ch_buf_t *buf, const ch_field_t *row,
                        const void *member)
{
    switch (row->type) {
    case CH_T_INT:
        ch_jsonw_int(buf, *(const apr_int64_t *)member);
        break;
    case CH_T_BOOL:
        ch_jsonw_bool(buf, *(const int *)member);
        break;
    case CH_T_ENUM:
        ch_jsonw_cstr(buf, row->choices[*(const int *)member]);
        break;
    case CH_T_STRS:
        write_texts(buf, *(const apr_array_header_t *const *)member);
        break;
    case CH_T_OBJECT:
        ch_buf_puts(buf, *(const char *const *)member);
        break;
    default:
        ch_jsonw_cstr(buf, *(const char *const *)member);
        break;
    }
}

void ch_item_write_members(ch_buf_t *buf, const ch_item_t *item)
{
    const ch_fields_t *fields = item->fields;
    int any = 0;
    int i;

    for (i = 0; i < fields->count; i++) {
        const ch_field_t *row = &fields->rows[i];

        if (!(item->given >> i & 1)) {
            continue;
        }
        if (any++) {
            ch_buf_putc(buf, ',');
        }
        ch_jsonw_cstr(buf, row->name);
        ch_buf_putc(buf, ':');
        if (item->nulls >> i & 1) {
            CH_BUF_LIT(buf, "null");
        }
        else {
            write_value(buf, row,
                        (const char *)item->values + row->offset);
        }
    }
}

void ch_item_write(ch_buf_t *buf, const ch_item_t *item)
{
    ch_buf_putc(buf, '{');
    ch_item_write_members(buf, item);
    ch_buf_putc(buf, '}');
}
