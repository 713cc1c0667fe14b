/* A JSON object by a field table: of a body, or one of many inside a body. */
#ifndef CH_WEB_ITEM_H
#define CH_WEB_ITEM_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "web/field.h"

typedef struct {
    const ch_fields_t *fields; /* NULL: every member is unknown */
    unsigned skip;             /* rows with one of these flags are unknown */
    const char *prefix;        /* of the fields' names in faults, "" = none */
    void *values;              /* the struct of the table; NULL is made */
    apr_uint64_t given;        /* bit per row that was there, null counts */
    apr_uint64_t nulls;        /* it was null */
    ch_err_t *faults;          /* VALIDATION_ERROR, with what was found */
} ch_item_t;

/* Checks the members of object and puts them into item, in pool; faults are
 * added in document order. No default is set. */
void ch_item_bind(apr_pool_t *pool, const ch_json_t *object, ch_item_t *item);

/* Adds a fault for each required row that was not given, in the order of the
 * table. what: "field" or "parameter". */
void ch_item_require(apr_pool_t *pool, ch_item_t *item, const char *what);

/* Whether the row bound to this offset was given, null included. */
int ch_item_given(const ch_item_t *item, size_t offset);

/* Writes what was given as a JSON object, as it was read: lines trimmed, times
 * in UTC with microseconds. Binding that again gives the same. */
void ch_item_write(ch_buf_t *buf, const ch_item_t *item);

/* The same without the braces. */
void ch_item_write_members(ch_buf_t *buf, const ch_item_t *item);

#endif
