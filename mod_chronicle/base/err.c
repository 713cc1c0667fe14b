/* Makes error values and knows the table of error codes. */
#include "base/err.h"

#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

typedef struct {
    const char *name;
    size_t len;
    int status;
    const char *text;
} code_row_t;

static const code_row_t codes[CH_E__COUNT] = {
    [CH_E_NONE] = {.name = "", .len = 0, .status = 200, .text = ""},
#define X(code, http, words)                                                  \
    [CH_E_##code] = {.name = #code,                                           \
                     .len = sizeof(#code) - 1,                                \
                     .status = http,                                          \
                     .text = words},
    CH_CODES(X)
#undef X
};

static const char *const detail_names[CH_D__COUNT] = {
#define X(name) [CH_D_##name] = #name,
    CH_DETAIL_CODES(X)
#undef X
};

/* A code from outside of the table reads as the one that says "our fault". */
static const code_row_t *row(ch_code_e code)
{
    if ((unsigned)code >= CH_E__COUNT) {
        return &codes[CH_E_INTERNAL_ERROR];
    }
    return &codes[code];
}

static ch_err_t *make(apr_pool_t *pool, ch_code_e code)
{
    ch_err_t *err = apr_pcalloc(pool, sizeof(*err));

    err->code = code;
    err->message = row(code)->text;
    return err;
}

ch_err_t *ch_err_make(apr_pool_t *pool, ch_code_e code, const char *format,
                      ...)
{
    ch_err_t *err = make(pool, code);
    va_list args;

    if (format != NULL) {
        va_start(args, format);
        err->message = apr_pvsprintf(pool, format, args);
        va_end(args);
    }
    return err;
}

ch_err_t *ch_err_cause(apr_pool_t *pool, ch_code_e code, const char *format,
                       ...)
{
    ch_err_t *err = make(pool, code);
    va_list args;

    if (format != NULL) {
        va_start(args, format);
        err->cause = apr_pvsprintf(pool, format, args);
        va_end(args);
    }
    return err;
}

void ch_err_fault(apr_pool_t *pool, ch_err_t **err, ch_detail_e code,
                  const char *field, const char *format, ...)
{
    const char *message;
    va_list args;

    if (*err == NULL) {
        *err = make(pool, CH_E_VALIDATION_ERROR);
    }
    if ((*err)->details != NULL && (*err)->details->nelts >= CH_DETAILS_MAX) {
        return;
    }
    va_start(args, format);
    message = apr_pvsprintf(pool, format, args);
    va_end(args);
    ch_err_detail(pool, *err, ch_detail_name(code), field, message);
}

void ch_err_detail(apr_pool_t *pool, ch_err_t *err, const char *code,
                   const char *field, const char *message)
{
    ch_detail_t *detail;

    if (err->details == NULL) {
        err->details = apr_array_make(pool, 4, sizeof(ch_detail_t));
    }
    if (err->details->nelts >= CH_DETAILS_MAX) {
        return;
    }
    detail = apr_array_push(err->details);
    detail->field = field;
    detail->message = message;
    detail->code = code;
}

const char *ch_code_name(ch_code_e code)
{
    return row(code)->name;
}

int ch_code_status(ch_code_e code)
{
    return row(code)->status;
}

const char *ch_code_text(ch_code_e code)
{
    return row(code)->text;
}

const char *ch_detail_name(ch_detail_e code)
{
    if ((unsigned)code >= CH_D__COUNT) {
        return detail_names[CH_D_INVALID_VALUE];
    }
    return detail_names[code];
}

ch_code_e ch_code_find(const char *name, size_t len)
{
    unsigned code;

    for (code = CH_E_NONE + 1; code < CH_E__COUNT; code++) {
        if (codes[code].len == len &&
            memcmp(codes[code].name, name, len) == 0) {
            return (ch_code_e)code;
        }
    }
    return CH_E_NONE;
}
