/* Fuzzes taking JSON apart: cutting changes nothing, and of valid JSON the
 * elements are those that the parser finds. The first byte says where the
 * rest is cut. */
#include "ch_fuzz.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/jsonseq.h"

#define ITEM_MAX 64

typedef struct {
    apr_pool_t *pool;
    ch_buf_t *given;
    size_t count;
    const ch_json_t *want; /* the array; NULL = not known */
} taker_t;

static ch_err_t *take(void *ctx, int index, const char *text, size_t len)
{
    taker_t *taker = ctx;
    const ch_json_t *json;

    taker->count++;
    ch_buf_printf(taker->given, "%d %d %d\n", index, (int)len, text != NULL);
    CH_PROMISE((text == NULL) == (len > ITEM_MAX));
    if (text == NULL) {
        return NULL;
    }
    ch_buf_add(taker->given, text, len);
    if (taker->want) {
        CH_PROMISE((size_t)index < ch_json_size(taker->want));
        json = ch_json_parse_mended(taker->pool, text, len, CH_JSON_DEPTH_MAX);
        CH_PROMISE(json != NULL);
        CH_PROMISE(strcmp(ch_json_dump(taker->pool, json),
                          ch_json_dump(taker->pool,
                                       ch_json_at(taker->want,
                                                  (size_t)index))) == 0);
    }
    return NULL;
}

/* What was given, with "!" behind it for an error; len 0 = in one piece. */
static ch_buf_t *run(apr_pool_t *pool, const char *data, size_t size,
                     size_t len, const ch_json_t *want)
{
    taker_t taker = { .pool = pool, .want = want };
    ch_jsonseq_t *seq = ch_jsonseq_make(pool, "k", ITEM_MAX, take, &taker);
    ch_err_t *err = NULL;
    size_t at;

    taker.given = ch_buf_make(pool, 256, 1u << 24);
    for (at = 0; at < size && !err; at += len) {
        len = len && len < size - at ? len : size - at;
        err = ch_jsonseq_feed(seq, data + at, len);
    }
    err = ch_jsonseq_end(seq);
    CH_PROMISE(!err || err->code == CH_E_MALFORMED_JSON);
    CH_PROMISE(!want || (!err && taker.count == ch_json_size(want)));
    ch_buf_puts(taker.given, err ? "!" : "");
    return taker.given;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    const ch_json_t *json = NULL;
    ch_buf_t *whole, *cut;

    if (size < 1) {
        return;
    }
    size--;
    if (ch_json_parse(pool, text, size, CH_JSON_DEPTH_MAX, &json) == NULL
        && ch_json_type(json) == CH_JSON_OBJECT
        && !memchr(text, '\\', size)) {
        json = ch_json_get(json, "k"); /* keys have no escapes */
    }
    if (json && ch_json_type(json) != CH_JSON_ARRAY) {
        json = NULL;
    }
    whole = run(pool, text, size, 0, json);
    cut = run(pool, text, size, data[0] % 16 + 1, json);
    CH_PROMISE(whole->len == cut->len);
    CH_PROMISE(!whole->len || memcmp(whole->data, cut->data, cut->len) == 0);
}
