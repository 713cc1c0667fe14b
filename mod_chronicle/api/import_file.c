/* Takes an uploaded file apart into conversations: finds out by its first
 * bytes whether it is JSON or an archive, and reads it in pieces. */
#include "api/import.h"

#include <string.h>

#include <apr_lib.h>

#define CHUNK 65536
#define BOM "\xEF\xBB\xBF"
#define BOM_LEN (sizeof(BOM) - 1)
#define NAME "conversations.json"
#define STEM "conversations"
#define STEM_LEN (sizeof(STEM) - 1)
#define KEY "conversations" /* of an object around them, if there is one */

/* --- what it is ------------------------------------------------------- */

typedef enum { NEITHER, JSON, ARCHIVE } kind_e;

static kind_e kind_of(const char *data, size_t len)
{
    size_t at = 0;

    if (len >= 4
        && (memcmp(data, "PK\3\4", 4) == 0
            || memcmp(data, "PK\5\6", 4) == 0)) {
        return ARCHIVE;
    }
    if (len >= BOM_LEN && memcmp(data, BOM, BOM_LEN) == 0) {
        at = BOM_LEN;
    }
    while (at < len && strchr(" \t\r\n", data[at]) && data[at]) {
        at++;
    }
    return at < len && (data[at] == '[' || data[at] == '{') ? JSON : NEITHER;
}

static ch_err_t *sniff(apr_pool_t *pool, const ch_import_source_t *source,
                       char *chunk, kind_e *kind)
{
    size_t len = CHUNK;
    ch_err_t *err = source->rewind(source->ctx);

    if (!err) {
        err = source->read(source->ctx, chunk, &len);
    }
    if (!err) {
        *kind = kind_of(chunk, len);
        err = source->rewind(source->ctx);
    }
    if (!err && *kind == NEITHER) {
        err = ch_err_make(pool, CH_E_UNSUPPORTED_MEDIA_TYPE,
                          "Send a JSON file, or a ZIP archive that holds "
                          NAME);
    }
    return err;
}

ch_err_t *ch_import_check(apr_pool_t *pool, const ch_import_source_t *source)
{
    kind_e kind;

    return sniff(pool, source, apr_palloc(pool, CHUNK), &kind);
}

/* --- reading ---------------------------------------------------------- */

typedef struct {
    const ch_import_source_t *source;
    ch_unzip_t *zip; /* NULL = the source's own bytes */
} stream_t;

static ch_err_t *read_some(const stream_t *stream, char *chunk, size_t *len)
{
    *len = CHUNK;
    return stream->zip
               ? ch_unzip_read(stream->zip, chunk, len)
               : stream->source->read(stream->source->ctx, chunk, len);
}

/* conversations.json, or one of the files into which ChatGPT's exports split
 * it: conversations-000.json and so on. */
static int is_ours(const char *name)
{
    const char *at = name + STEM_LEN;

    if (strncmp(name, STEM, STEM_LEN) != 0) {
        return 0;
    }
    if (at[0] == '-' && apr_isdigit(at[1])) {
        for (at++; apr_isdigit(*at); at++) {
        }
    }
    return strcmp(at, ".json") == 0;
}

/* The conversations of all files of an archive, counted on. */
typedef struct {
    apr_pool_t *pool;
    ch_jsonseq_item_t *item;
    void *ctx;
    int before; /* those of the files before this one */
    int next;
} items_t;

static ch_err_t *on_item(void *ctx, int index, const char *text, size_t len)
{
    items_t *items = ctx;
    int at = items->before + index;

    if (at >= CH_IMPORT_COUNT_MAX) {
        return ch_err_make(items->pool, CH_E_VALIDATION_ERROR,
                           "The file holds more than 100000 conversations");
    }
    items->next = at + 1;
    return items->item(items->ctx, at, text, len);
}

static ch_err_t *feed_all(apr_pool_t *pool, const stream_t *stream,
                          char *chunk, items_t *items)
{
    ch_jsonseq_t *seq =
        ch_jsonseq_make(pool, KEY, CH_IMPORT_ITEM_MAX, on_item, items);
    size_t len, skip;
    ch_err_t *err = read_some(stream, chunk, &len);

    skip = !err && len >= BOM_LEN && memcmp(chunk, BOM, BOM_LEN) == 0
               ? BOM_LEN
               : 0;
    while (!err && len) {
        err = ch_jsonseq_feed(seq, chunk + skip, len - skip);
        skip = 0;
        err = err ? err : read_some(stream, chunk, &len);
    }
    return err ? err : ch_jsonseq_end(seq);
}

static ch_err_t *feed_archive(apr_pool_t *pool, stream_t *stream, char *chunk,
                              items_t *items)
{
    apr_pool_t *one;
    int found;
    ch_err_t *err = ch_unzip_open(pool, stream->source->read,
                                  stream->source->ctx, is_ours, &stream->zip);

    if (!err && !stream->zip) {
        err = ch_err_make(pool, CH_E_VALIDATION_ERROR,
                          "The archive holds no " NAME);
    }
    apr_pool_create(&one, pool);
    for (found = 1; !err && found;) {
        err = feed_all(one, stream, chunk, items);
        items->before = items->next;
        if (!err) {
            apr_pool_clear(one);
            err = ch_unzip_next(stream->zip, &found);
        }
    }
    return err;
}

static ch_err_t *walk(apr_pool_t *pool, const ch_import_source_t *source,
                      ch_jsonseq_item_t *item, void *ctx)
{
    stream_t stream = { .source = source };
    items_t items = { .pool = pool, .item = item, .ctx = ctx };
    char *chunk = apr_palloc(pool, CHUNK);
    kind_e kind = NEITHER;
    ch_err_t *err = sniff(pool, source, chunk, &kind);

    if (err) {
        return err;
    }
    return kind == ARCHIVE ? feed_archive(pool, &stream, chunk, &items)
                           : feed_all(pool, &stream, chunk, &items);
}

/* What it needs goes at the end, but for an error. */
ch_err_t *ch_import_walk(apr_pool_t *pool, const ch_import_source_t *source,
                         ch_jsonseq_item_t *item, void *ctx)
{
    apr_pool_t *sub;
    ch_err_t *err;

    apr_pool_create(&sub, pool);
    err = walk(sub, source, item, ctx);
    if (!err) {
        apr_pool_destroy(sub);
    }
    return err;
}

/* --- looking through -------------------------------------------------- */

typedef struct {
    apr_pool_t *one; /* cleared for each */
    ch_import_e format;
    ch_err_t *(*step)(void *ctx);
    void *ctx;
    int count;
    int known; /* one that is too long for a look may be of any shape */
} count_t;

static ch_err_t *count_one(void *ctx, int index, const char *text, size_t len)
{
    count_t *count = ctx;
    const ch_json_t *value;

    count->count = index + 1;
    if (!count->known && text) {
        value = ch_json_parse_mended(count->one, text, len,
                                     CH_IMPORT_DEPTH_MAX);
        count->known = value && ch_import_fits(value, count->format);
        apr_pool_clear(count->one);
    }
    count->known |= !text;
    return count->step ? count->step(count->ctx) : NULL;
}

ch_err_t *ch_import_count(apr_pool_t *pool, const ch_import_source_t *source,
                          ch_import_e format, ch_err_t *(*step)(void *ctx),
                          void *ctx, int *count)
{
    count_t in = { .format = format, .step = step, .ctx = ctx };
    ch_err_t *err;

    apr_pool_create(&in.one, pool);
    err = ch_import_walk(pool, source, count_one, &in);
    apr_pool_destroy(in.one);
    *count = in.count;
    if (!err && in.count && !in.known) {
        err = ch_err_make(pool, CH_E_VALIDATION_ERROR,
                          "Unrecognised shape: neither ChatGPT's nor "
                          "Claude's conversations, nor exports from here");
    }
    return err;
}
