/* Forward declarations and limits that every room may know. */
#ifndef CH_CHRONICLE_H
#define CH_CHRONICLE_H

#include <stddef.h>
#include <stdint.h>

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#define CH_VERSION "2.0.0"
#define CH_API_VERSION "v1"
#define CH_SCHEMA_VERSION 11 /* newest sql/schema/NNNN that this build needs */

#define CH_BODY_MAX 10485760  /* bytes of a JSON body (API.md 1.4) */
#define CH_JSON_DEPTH_MAX 32  /* the top object is level 1 */
#define CH_DETAILS_MAX 100    /* faults named in one answer */
#define CH_CURSOR_MAX 512     /* characters of a paging cursor */
#define CH_PAIRS_MAX 1000     /* name=value pairs of a form */
#define CH_AGENT_MAX 512      /* bytes that are kept of a User-Agent */
#define CH_UUID_LEN 36        /* characters, without the closing NUL */
#define CH_DATE_LEN 10        /* YYYY-MM-DD */
#define CH_TS_LEN 24          /* YYYY-MM-DDTHH:MM:SS.mmmZ */

/* A printf-like function, checked by the compiler. */
#define CH_PRINTF(format_at, args_at)                                         \
    __attribute__((format(printf, format_at, args_at)))

/* How many rows a table has. */
#define CH_COUNT(table) (sizeof(table) / sizeof((table)[0]))

typedef struct ch_err_t ch_err_t;
typedef struct ch_buf_t ch_buf_t;
typedef struct ch_json_t ch_json_t;
typedef struct ch_db_t ch_db_t;
typedef struct ch_rows_t ch_rows_t;
typedef struct ch_req_t ch_req_t;
typedef struct ch_route_t ch_route_t;
typedef struct ch_conf_t ch_conf_t;
typedef struct ch_principal_t ch_principal_t;

/* Bytes that somebody else owns; not NUL-terminated. */
typedef struct {
    const char *data;
    size_t len;
} ch_bytes_t;

#endif
