/* One value into one member of a struct, by its row. */
#ifndef CH_WEB_BIND_H
#define CH_WEB_BIND_H

#include "base/err.h"
#include "base/json.h"
#include "web/field.h"

typedef struct {
    apr_pool_t *pool;
    ch_err_t **faults;
    const ch_field_t *row;
    const char *path; /* for faults; copied when one is made */
    char *base;       /* the struct */
} ch_bind_t;

/* Sets the members of rows with a default. */
void ch_bind_defaults(ch_bind_t *bind, const ch_fields_t *fields);

/* A query's text; STRS collects. */
void ch_bind_query(ch_bind_t *bind, const char *text, size_t len);

/* The elements of STRS with commas between them; empty ones are none. */
void ch_bind_list(ch_bind_t *bind, const char *text, size_t len);

/* A JSON value other than null; null. */
void ch_bind_json(ch_bind_t *bind, const ch_json_t *value);
void ch_bind_null(ch_bind_t *bind);

void ch_bind_fault(ch_bind_t *bind, ch_detail_e code, const char *format, ...)
    CH_PRINTF(3, 4);

/* Decimal digits with an optional minus, nothing else: 1 and *out, or 0. What
 * passes 64 bits becomes the largest number of its sign. */
int ch_bind_int(const char *text, size_t len, apr_int64_t *out);

#endif
