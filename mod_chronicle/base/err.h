/* Errors as values: a pointer, NULL is success. An error carries what the
 * client is told and, apart from it, the cause for the log. */
#ifndef CH_BASE_ERR_H
#define CH_BASE_ERR_H

#include "chronicle.h"
#include "base/codes.h"

/* One fault. field is a dotted path, a parameter name or NULL. */
typedef struct {
    const char *field;
    const char *message;
    const char *code;
} ch_detail_t;

struct ch_err_t {
    ch_code_e code;
    const char *message;         /* for the client */
    const char *cause;           /* for the log only, may be NULL */
    apr_array_header_t *details; /* of ch_detail_t, may be NULL */
    int retry_after;             /* seconds, 0 = the code's default */
};

/* A new error in pool. format NULL takes the code's own text. Never fails. */
ch_err_t *ch_err_make(apr_pool_t *pool, ch_code_e code, const char *format,
                      ...) CH_PRINTF(3, 4);

/* The same with a cause that only the log sees. */
ch_err_t *ch_err_cause(apr_pool_t *pool, ch_code_e code, const char *format,
                       ...) CH_PRINTF(3, 4);

/* Adds a fault to *err, which is made (VALIDATION_ERROR) when NULL. Past
 * CH_DETAILS_MAX faults nothing is added. field is kept, not copied. */
void ch_err_fault(apr_pool_t *pool, ch_err_t **err, ch_detail_e code,
                  const char *field, const char *format, ...)
    CH_PRINTF(5, 6);

/* The same on any error, with a code of the provider's own. */
void ch_err_detail(apr_pool_t *pool, ch_err_t *err, const char *code,
                   const char *field, const char *message);

const char *ch_code_name(ch_code_e code);
int ch_code_status(ch_code_e code);
const char *ch_code_text(ch_code_e code);
const char *ch_detail_name(ch_detail_e code);

/* The code of a name such as "NOTE_NOT_FOUND"; CH_E_NONE when unknown. */
ch_code_e ch_code_find(const char *name, size_t len);

#endif
