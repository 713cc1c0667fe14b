/* Parameters of statements as Postgres reads them. */
#include "store/db_param.h"

#include <string.h>

#include <apr_strings.h>

static char *quote_element(char *to, const char *text)
{
    if (!text) {
        memcpy(to, "NULL", 4);
        return to + 4;
    }
    *to++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            *to++ = '\\';
        }
        *to++ = *text;
    }
    *to++ = '"';
    return to;
}

static const char *texts_literal(apr_pool_t *pool,
                                 const apr_array_header_t *texts)
{
    size_t size = 3;
    char *literal, *to;
    int i;

    for (i = 0; i < texts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(texts, i, const char *);

        size += text ? 2 * strlen(text) + 3 : sizeof("NULL,");
    }
    to = literal = apr_palloc(pool, size);
    *to++ = '{';
    for (i = 0; i < texts->nelts; i++) {
        if (i) {
            *to++ = ',';
        }
        to = quote_element(to, APR_ARRAY_IDX(texts, i, const char *));
    }
    *to++ = '}';
    *to = '\0';
    return literal;
}

static const char *ints_literal(apr_pool_t *pool,
                                const apr_array_header_t *ints)
{
    size_t size = 3 + (size_t)ints->nelts * 21;
    char *literal = apr_palloc(pool, size);
    size_t at = 1;
    int i;

    literal[0] = '{';
    for (i = 0; i < ints->nelts; i++) {
        at += (size_t)apr_snprintf(literal + at, size - at,
                                   "%s%" APR_INT64_T_FMT, i ? "," : "",
                                   APR_ARRAY_IDX(ints, i, apr_int64_t));
    }
    literal[at] = '}';
    literal[at + 1] = '\0';
    return literal;
}

static const char *encode_one(apr_pool_t *pool, const ch_param_t *param)
{
    char *number;

    if (param->null) {
        return NULL;
    }
    switch (param->kind) {
    case CH_PARAM_INT:
        number = apr_palloc(pool, 24);
        apr_snprintf(number, 24, "%" APR_INT64_T_FMT, param->number);
        return number;
    case CH_PARAM_BOOL:
        return param->number ? "t" : "f";
    case CH_PARAM_TEXTS:
        return texts_literal(pool, param->data);
    case CH_PARAM_INTS:
        return ints_literal(pool, param->data);
    case CH_PARAM_TEXT:
    case CH_PARAM_BYTES:
        break;
    }
    return param->data;
}

ch_encoded_t ch_param_encode(apr_pool_t *pool, const ch_sql_t *sql,
                             const ch_param_t *params)
{
    size_t count = (size_t)sql->params;
    ch_encoded_t out = {
        .values = apr_pcalloc(pool, (count + 1) * sizeof(*out.values)),
        .lengths = apr_pcalloc(pool, (count + 1) * sizeof(*out.lengths)),
        .formats = apr_pcalloc(pool, (count + 1) * sizeof(*out.formats)),
    };
    size_t i;

    for (i = 0; i < count; i++) {
        out.values[i] = encode_one(pool, &params[i]);
        if (params[i].kind == CH_PARAM_BYTES) {
            out.lengths[i] = (int)params[i].len;
            out.formats[i] = 1;
        }
    }
    return out;
}
