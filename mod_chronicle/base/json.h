/* Strict JSON in (API.md 1.4); the only file that sees jansson is json.c. */
#ifndef CH_BASE_JSON_H
#define CH_BASE_JSON_H

#include "base/err.h"

typedef enum {
    CH_JSON_NULL,
    CH_JSON_BOOL,
    CH_JSON_INT,  /* written without fraction or exponent, fits 64 bits */
    CH_JSON_REAL, /* any other number */
    CH_JSON_STRING,
    CH_JSON_ARRAY,
    CH_JSON_OBJECT
} ch_json_e;

/* Parses the whole of data into *out, which lives until pool is cleared.
 * MALFORMED_JSON for: a syntax error, trailing data, a BOM, invalid UTF-8,
 * a lone surrogate, U+0000 (raw or escaped), a key twice in one object, more
 * than depth_max levels, so many values that they would take more than 160 MB,
 * a number outside IEEE double. An integer beyond 64 bits becomes a REAL.
 * Members keep document order. */
ch_err_t *ch_json_parse(apr_pool_t *pool, const char *data, size_t len,
                        int depth_max, const ch_json_t **out);

/* The same as RFC 8259 has it: U+0000 and repeated keys are taken. U+FFFD
 * stands for escapes of lone surrogates: programs that cut texts within a pair
 * write those. NULL when it is no JSON, too deep, or has too many values. */
const ch_json_t *ch_json_parse_mended(apr_pool_t *pool, const char *data,
                                      size_t len, int depth_max);

ch_json_e ch_json_type(const ch_json_t *value);
const char *ch_json_string(const ch_json_t *value, size_t *len);
apr_int64_t ch_json_int(const ch_json_t *value);
double ch_json_number(const ch_json_t *value); /* INT or REAL */
int ch_json_bool(const ch_json_t *value);

/* Elements of an array, members of an object. */
size_t ch_json_size(const ch_json_t *value);
const ch_json_t *ch_json_at(const ch_json_t *array, size_t index);
const ch_json_t *ch_json_get(const ch_json_t *object, const char *key);

/* Walks an object in document order: start with *iter NULL, returns 0 at the
 * end. Keys hold no NUL. */
int ch_json_next(const ch_json_t *object, void **iter, const char **key,
                 const ch_json_t **value);

/* Compact text of a value, document order, in pool; never fails for a parsed
 * value. */
const char *ch_json_dump(apr_pool_t *pool, const ch_json_t *value);

#endif
