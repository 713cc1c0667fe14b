/* Fuzzes multipart/form-data: the first line is the Content-Type's boundary,
 * the rest the body. Cutting changes nothing, and parts are told in order. */
#include "ch_fuzz.h"

#include <apr_strings.h>

#include "base/buf.h"
#include "base/text.h"
#include "web/multipart.h"

typedef struct {
    ch_buf_t *told;
    int open;
    int parts;
} seen_t;

static ch_err_t *begin(void *ctx, const ch_part_t *part)
{
    seen_t *seen = ctx;

    CH_PROMISE(!seen->open);
    seen->open = 1;
    CH_PROMISE(++seen->parts <= CH_PARTS_MAX);
    CH_PROMISE(*part->name);
    CH_PROMISE(ch_text_valid(part->name, strlen(part->name)));
    CH_PROMISE(!ch_text_has_control(part->name, strlen(part->name), 0));
    CH_PROMISE(part->media);
    ch_buf_puts(seen->told, part->name);
    if (part->filename) {
        size_t len = strlen(part->filename);

        CH_PROMISE(ch_text_valid(part->filename, len));
        CH_PROMISE(!ch_text_has_control(part->filename, len, 0));
        CH_PROMISE(!strpbrk(part->filename, "/\\"));
        ch_buf_puts(seen->told, part->filename);
    }
    return NULL;
}

static ch_err_t *data(void *ctx, const char *text, size_t len)
{
    seen_t *seen = ctx;

    CH_PROMISE(seen->open && len);
    ch_buf_add(seen->told, text, len);
    return NULL;
}

static ch_err_t *end(void *ctx)
{
    seen_t *seen = ctx;

    CH_PROMISE(seen->open);
    seen->open = 0;
    ch_buf_puts(seen->told, "\n;\n");
    return NULL;
}

static const ch_part_taker_t taker = { begin, data, end };

static ch_buf_t *run(apr_pool_t *pool, const char *type, const char *body,
                     size_t size, size_t step)
{
    seen_t seen = { .told = ch_buf_make(pool, 256, 1u << 22) };
    ch_multipart_t *form;
    ch_err_t *err = ch_multipart_make(pool, type, &taker, &seen, &form);
    size_t at;

    for (at = 0; at < size && !err; at += step) {
        err = ch_multipart_feed(form, body + at,
                                step < size - at ? step : size - at);
    }
    err = ch_multipart_end(form);
    CH_PROMISE(!err || err->code == CH_E_VALIDATION_ERROR);
    CH_PROMISE(err || !seen.open);
    ch_buf_puts(seen.told, err ? err->message : "");
    return seen.told;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *bytes, size_t size)
{
    const char *line = (const char *)bytes;
    const char *body = size ? memchr(line, '\n', size) : NULL;
    const char *type;
    ch_buf_t *whole, *cut;

    if (!body) {
        return;
    }
    type = apr_pstrcat(pool, "multipart/form-data; boundary=",
                       apr_pstrmemdup(pool, line, (size_t)(body - line)),
                       NULL);
    body++;
    size -= (size_t)(body - line);
    CH_PROMISE(ch_multipart_is(type));
    whole = run(pool, type, body, size, size + 1);
    cut = run(pool, type, body, size, size % 7 + 1);
    CH_PROMISE(whole->len == cut->len);
    CH_PROMISE(!whole->len || memcmp(whole->data, cut->data, cut->len) == 0);
}
