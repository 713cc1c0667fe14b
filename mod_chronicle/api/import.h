/* Inside of imports: files of other products and our own exports, what they
 * hold in one form, and how it gets into the database. */
#ifndef CH_API_IMPORT_H
#define CH_API_IMPORT_H

#include "base/json.h"
#include "base/jsonseq.h"
#include "base/unzip.h"
#include "jobs/job.h"

#define CH_IMPORT_DEPTH_MAX 64 /* levels of a conversation's JSON */
#define CH_IMPORT_ITEM_MAX 16777216 /* bytes of it */
#define CH_IMPORT_COUNT_MAX 100000 /* conversations of a file */
#define CH_IMPORT_TOLD_MAX 200 /* items of each list of an answer */
#define CH_IMPORT_MESSAGES_MAX 5000
#define CH_IMPORT_CONTENT_MAX 200000 /* code points, of API.md 11 */
#define CH_IMPORT_TITLE_MAX 200
#define CH_IMPORT_MODEL_MAX 100
#define CH_IMPORT_ID_MAX 255
#define CH_IMPORT_UNTITLED "Untitled conversation"

/* Whose export it is; but for the last one also the choices of `format`, in
 * this order. */
typedef enum {
    CH_IMPORT_AUTO, /* to be found out; of a value: of no known shape */
    CH_IMPORT_CHATGPT,
    CH_IMPORT_CLAUDE,
    CH_IMPORT_CHRONICLE /* our own */
} ch_import_e;

/* "auto", "chatgpt", "claude": the latter also stored as the source. */
extern const char *const ch_import_names[CH_IMPORT_CLAUDE + 1];

typedef struct {
    const char *id;   /* of our own; NULL = it has none */
    const char *role; /* user, assistant, tool; of our own also system */
    const char *content;
    const char *model;      /* NULL = not known */
    const char *created_at; /* RFC 3339 in UTC; NULL = not known */
} ch_import_message_t;

/* A conversation, as far as it could be read when there is a fault. */
typedef struct {
    ch_import_e shape;
    const char *title; /* NULL: it was not looked at */
    const char *source_id;
    const char *source;
    const char *provider;         /* NULL = not known */
    const char *model;            /* NULL = not known */
    const char *created_at;       /* NULL = not known */
    apr_array_header_t *messages; /* of ch_import_message_t */

    const char *id;   /* of our own; NULL = of another product */
    const char *slug; /* which may be taken */
    const char *description; /* NULL = it has none */
    const char *category;
    const char *visibility;
    const apr_array_header_t *tags; /* of const char * */
    apr_int64_t version;
    const char *updated_at; /* NULL = not known */
} ch_import_talk_t;

/* --- import_shape.c ---------------------------------------------------- */

/* What a conversation looks like. */
ch_import_e ch_import_shape(const ch_json_t *value);

/* Whether it looks like one of the format; of AUTO: of any. */
int ch_import_fits(const ch_json_t *value, ch_import_e format);

/* Reads a conversation of the format (AUTO: whatever it looks like) into
 * *out, which lives with pool and needs value no more. NULL, or in plain words
 * why it cannot be taken. */
const char *ch_import_read(apr_pool_t *pool, const ch_json_t *value,
                           ch_import_e format, ch_import_talk_t *out);

/* --- for the shapes ---------------------------------------------------- */

/* Fill in what is theirs: provider, model, created_at, messages. */
void ch_import_chatgpt(apr_pool_t *pool, const ch_json_t *value,
                       ch_import_talk_t *out);
void ch_import_claude(apr_pool_t *pool, const ch_json_t *value,
                      ch_import_talk_t *out);

/* Puts words in place of the marks that texts (of ch_bytes_t) of a message of
 * ChatGPT have for its own pages, where it has any for them. */
void ch_import_unmark(apr_pool_t *pool, const ch_json_t *message,
                      apr_array_header_t *pieces);

/* Reads one of our own; NULL, or in plain words why it cannot be taken. */
const char *ch_import_chronicle(apr_pool_t *pool, const ch_json_t *value,
                                ch_import_talk_t *out);

/* A member of this type; NULL when value is no object, or has none. */
const ch_json_t *ch_import_get(const ch_json_t *value, const char *key,
                               ch_json_e type);

/* A member's text, empty when there is none. */
ch_bytes_t ch_import_text(const ch_json_t *value, const char *key);

/* A member's text as one line of at most max code points, trimmed and without
 * control characters; NULL when nothing is left. */
const char *ch_import_line(apr_pool_t *pool, const ch_json_t *value,
                           const char *key, size_t max);

/* A member that is a time: text of RFC 3339, or seconds since 1970. As RFC
 * 3339 in UTC; NULL for everything else, and for what lies before 1970-01-01
 * 00:00:01 or after the year 9999. */
const char *ch_import_time(apr_pool_t *pool, const ch_json_t *value,
                           const char *key);

/* Adds a text to an array of ch_bytes_t, unless it is empty. */
void ch_import_push(apr_array_header_t *pieces, ch_bytes_t text);

/* Puts texts (of ch_bytes_t) together with line breaks between them, without
 * control characters but tabs and breaks; cut with an ellipsis when too long.
 * NULL when there is nothing but white space. */
const char *ch_import_join(apr_pool_t *pool,
                           const apr_array_header_t *pieces);

/* --- import_file.c ----------------------------------------------------- */

/* The bytes of a file, which can be read more than once. */
typedef struct {
    ch_unzip_source_t *read;
    ch_err_t *(*rewind)(void *ctx);
    void *ctx;
} ch_import_source_t;

/* Whether it may be one: UNSUPPORTED_MEDIA_TYPE, or an error of the source. */
ch_err_t *ch_import_check(apr_pool_t *pool, const ch_import_source_t *source);

/* Gives each conversation of a file (JSON, or a ZIP archive that holds
 * conversations.json, or conversations-000.json and more) to item.
 * UNSUPPORTED_MEDIA_TYPE for other files, MALFORMED_JSON, VALIDATION_ERROR for
 * damaged archives and more than CH_IMPORT_COUNT_MAX; item's errors are passed
 * on. Needs no more memory for larger files. */
ch_err_t *ch_import_walk(apr_pool_t *pool, const ch_import_source_t *source,
                         ch_jsonseq_item_t *item, void *ctx);

/* Looks through a file: how many conversations it holds. As above;
 * VALIDATION_ERROR, too, when none of them has the format. step is called
 * before each (NULL = not); its errors are passed on. */
ch_err_t *ch_import_count(apr_pool_t *pool, const ch_import_source_t *source,
                          ch_import_e format, ch_err_t *(*step)(void *ctx),
                          void *ctx, int *count);

/* --- import_store.c ---------------------------------------------------- */

/* What is told of one that was imported, or of one that could not be. */
typedef struct {
    const char *id, *slug, *title;
    apr_int64_t message_count;
} ch_import_made_t;

typedef struct {
    int index;
    const char *title; /* NULL = not known */
    const char *message;
} ch_import_fault_t;

typedef struct ch_import_batch_t ch_import_batch_t;

/* An import under way. What it gathers is bounded by some megabytes and goes
 * into the database together; where that fails, one by one. */
typedef struct {
    /* set by the caller */
    apr_pool_t *pool;
    const ch_conf_t *conf;
    const char *user_id;
    ch_import_e format;
    /* NULL = as it was, of our own; else private, general, none */
    const char *visibility;
    const char *category;
    const apr_array_header_t *tags; /* of const char * */
    const char *id; /* of conversation_imports, where each step is noted in
                     * its own transaction; NULL = it is only counted here */
    int noted;      /* those before it are done */
    ch_err_t *(*step)(void *ctx); /* before each; NULL = not */
    void (*log)(void *ctx, char level, int number, const char *text);
    void *ctx;

    /* what has become of it, when there is no id */
    int imported, skipped, failed;
    apr_array_header_t *made;   /* of ch_import_made_t, the first ones */
    apr_array_header_t *faults; /* of ch_import_fault_t, the first ones */

    ch_import_batch_t *batch;
} ch_import_t;

void ch_import_begin(ch_import_t *import);

/* The next conversation: as text (a ch_jsonseq_item_t, of ctx ch_import_t), or
 * read already. An error of the database, or of step, ends the import: what is
 * wrong with a conversation is none. */
ch_jsonseq_item_t ch_import_item;
ch_err_t *ch_import_value(ch_import_t *import, int index,
                          const ch_json_t *value);

/* Faults as a JSON array. */
void ch_import_write_faults(ch_buf_t *buf, const apr_array_header_t *faults);

/* Stores what is left. */
ch_err_t *ch_import_end(ch_import_t *import);

/* --- import_job.c ------------------------------------------------------ */

/* The job: takes in a file that was too large for a request. */
ch_job_fn_t ch_import_run;

/* The key of an import's file in the store. */
const char *ch_import_key(apr_pool_t *pool, const char *id);

#endif
