/* Fuzzes reading of ZIP archives: whatever the archive claims, it is read or
 * refused, and both the same however the bytes arrive. The first byte says
 * how many of them come at a time. */
#include "ch_fuzz.h"

#include "base/buf.h"
#include "base/unzip.h"

#define ENTRY_MAX (1u << 20) /* bytes that are read of an entry */

typedef struct {
    const uint8_t *data;
    size_t size;
    size_t piece;
} source_t;

static ch_err_t *give(void *ctx, void *data, size_t *len)
{
    source_t *source = ctx;
    size_t size = source->size < source->piece ? source->size : source->piece;

    CH_PROMISE(*len >= 1024);
    *len = size < *len ? size : *len;
    if (*len) {
        memcpy(data, source->data, *len);
    }
    source->data += *len;
    source->size -= *len;
    return NULL;
}

static int is_a(const char *name)
{
    return strcmp(name, "a") == 0;
}

static ch_buf_t *run(apr_pool_t *pool, source_t source, size_t step)
{
    ch_buf_t *got = ch_buf_make(pool, 1024, ENTRY_MAX);
    ch_unzip_t *zip;
    ch_err_t *err = ch_unzip_open(pool, give, &source, is_a, &zip);
    char piece[4096];
    size_t len = zip ? step : 0;

    CH_PROMISE(!err || !zip);
    while (len && !err && !got->overflow) {
        len = step;
        err = ch_unzip_read(zip, piece, &len);
        CH_PROMISE(len <= step);
        ch_buf_add(got, piece, len);
    }
    if (err) {
        CH_PROMISE(err->code == CH_E_VALIDATION_ERROR);
        if (zip) {
            len = 1;
            CH_PROMISE(ch_unzip_read(zip, piece, &len) == err && !len);
        }
        got->len = 0; /* how far it came may differ */
        ch_buf_puts(got, "!");
    }
    return got;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    source_t source = { .data = data + 1, .piece = 65536 };
    ch_buf_t *whole, *cut;

    if (size < 1) {
        return;
    }
    source.size = size - 1;
    whole = run(pool, source, 4096);
    source.piece = data[0] + 1u;
    cut = run(pool, source, 100);
    CH_PROMISE(whole->len == cut->len);
    CH_PROMISE(!whole->len || memcmp(whole->data, cut->data, cut->len) == 0);
}
