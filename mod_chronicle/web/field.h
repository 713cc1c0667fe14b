/* Field tables: one row binds a JSON key or query parameter to a member of a
 * struct, with its rules; a column to a key of an answer. Validation, partial
 * updates, answers and the OpenAPI document all read the same rows. */
#ifndef CH_WEB_FIELD_H
#define CH_WEB_FIELD_H

#include "chronicle.h"
#include "base/codes.h"

/* What a field holds; the C type of the member it is bound to. */
typedef enum {
    CH_T_STR,    /* const char *: a line, trimmed; bounds in code points */
    CH_T_TEXT,   /* const char *: kept byte for byte; bounds in code points */
    CH_T_BYTES,  /* const char *: as TEXT, bounds in bytes */
    CH_T_SECRET, /* const char *: never trimmed; bounds in bytes */
    CH_T_EMAIL,  /* const char *: lower case */
    CH_T_URL,    /* const char * */
    CH_T_COLOR,  /* const char *: #RRGGBB */
    CH_T_UUID,   /* const char *: lower case */
    CH_T_TIME,   /* const char *: RFC 3339 in UTC with microseconds */
    CH_T_DATE,   /* const char *: YYYY-MM-DD, 1970 to 9999 */
    CH_T_ENUM,   /* int: index into the row's choices */
    CH_T_INT,    /* apr_int64_t */
    CH_T_BOOL,   /* int */
    CH_T_STRS,   /* const apr_array_header_t * of const char *, each a STR of
                  * item_min..item_max; min..max elements */
    CH_T_OBJECT, /* const char *: any JSON object, compact text; max bytes */
    CH_T_JSON,   /* const ch_json_t *: an array of min..max elements, which
                  * the handler looks at. Of answers: JSON as Postgres writes
                  * it, an array when `nested` says of what */
    CH_T_NEST,   /* const ch_json_t *: an object, which the handler looks at.
                  * Of answers: an object by a table of its own */
    /* of answers only */
    CH_T_NUMBER, /* a number as Postgres writes it */
    CH_T_MARKED, /* text with marks as HTML (ch_jsonw_marked); null without */
    CH_T_IP      /* an address */
} ch_type_e;

#define CH_REQUIRED 0x01 /* must be there */
#define CH_NULLABLE 0x02 /* null is accepted (in) or possible (out) */
#define CH_UNIQUE 0x04   /* of STRS: repeats are dropped, the first stays */
#define CH_REPEAT 0x08   /* of a query: may be given more than once (STRS) */
#define CH_SPECIAL 0x10  /* of a UUID in a query: also the word in `extra` */
#define CH_KEEP_EMPTY 0x20 /* of a query: an empty value is a value */
#define CH_WRITE_ONLY 0x40 /* documentation: never returned */
#define CH_CREATE_ONLY 0x80 /* of a body: not a field of PUT and PATCH */
#define CH_UPDATE_ONLY 0x100 /* of a body: a field of PUT and PATCH alone */
#define CH_MAY_LACK 0x200 /* of answers: left out when the column is not
                           * there or NULL */
#define CH_NOT_UPLOAD 0x400 /* of a body: not a field of multipart/form-data,
                             * where the file is in its place. Rows of OBJECT,
                             * JSON and NEST are none without it */

#define CH_OR_OBJECT 0x800 /* of JSON in a body: an object is taken, too */

/* PUT is a partial update: under CH_PUT and CH_PATCH no row of the body is
 * required and no default is set. */

typedef struct ch_fields_t ch_fields_t;

typedef struct {
    const char *name; /* JSON key or parameter */
    ch_type_e type;
    unsigned flags;
    size_t offset;       /* of the member; of answers unused */
    apr_int64_t min, max;
    apr_int64_t item_min, item_max;
    const char *const *choices; /* of ENUM, and of answers' STR */
    int choice_count;
    const char *def;   /* the default as JSON text, set when absent */
    const char *extra; /* see CH_SPECIAL */
    int (*valid)(const char *text, size_t len); /* further test of a string */
    const char *pattern; /* what `valid` tests, for the documents */
    const char *column;           /* of answers: NULL = name */
    const ch_fields_t *nested;    /* of JSON and NEST */
    const char *doc;
} ch_field_t;

struct ch_fields_t {
    const char *name; /* component name in the OpenAPI document, or NULL */
    const ch_field_t *rows;
    int count;
    size_t size; /* of the struct; 0 for answers */
    /* Tests that need several fields; adds to the faults. May be NULL. */
    void (*check)(ch_req_t *rq, void *fields, ch_err_t **faults);
};

/* A table of rows for struct T. At most 64 rows. */
#define CH_FIELDS(T, table_rows)                                              \
    { .rows = table_rows, .count = (int)CH_COUNT(table_rows),                 \
      .size = sizeof(T) }

/* Input rows. Further members are given by name: .def = "20", .flags. */
#define CH_IN(T, member, json_type, ...)                                      \
    .type = json_type, .offset = offsetof(T, member), ##__VA_ARGS__

/* Choices: a static array of names. */
#define CH_CHOICES(array)                                                     \
    .choices = array, .choice_count = (int)CH_COUNT(array)

/* Paging parameters, a member of a query's struct. */
typedef struct {
    apr_int64_t page;
    apr_int64_t limit;
    const char *cursor; /* NULL = page mode, "" = first page */
} ch_page_in_t;

/* The rows of a list's query that pages by number alone. */
#define CH_PAGE_NUMBER_ROWS(T, member, default_limit)                         \
    { .name = "page", CH_IN(T, member.page, CH_T_INT), .min = 1,              \
      .max = 10000, .def = "1", .doc = "Page number" },                       \
    { .name = "limit", CH_IN(T, member.limit, CH_T_INT), .min = 1,            \
      .max = 100, .def = default_limit, .doc = "Items of a page" }

/* The three rows of a list's query that pages by cursor, too. */
#define CH_PAGE_ROWS(T, member, default_limit)                                \
    CH_PAGE_NUMBER_ROWS(T, member, default_limit),                            \
    { .name = "cursor", CH_IN(T, member.cursor, CH_T_SECRET),                 \
      .flags = CH_KEEP_EMPTY, .max = CH_CURSOR_MAX,                           \
      .doc = "nextCursor of the page before; empty = the first page" }

/* Whether the row is a text part of multipart/form-data, too. One of STRS has
 * its elements with commas between them. */
int ch_field_in_upload(const ch_field_t *row);

/* Index of the row bound to this offset; -1 when there is none. */
int ch_field_at(const ch_fields_t *fields, size_t offset);

#endif
