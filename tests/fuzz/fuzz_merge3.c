/* Fuzzes base/merge3: what did not change does not matter, and a merge holds
 * the lines of both sides and its markers, nothing more. */
#include "ch_fuzz.h"

#include "base/merge3.h"

/* Bytes of one region's markers with their ends, and of two ends more. */
#define MARKERS_MAX (14 + 7 + 14 + 3 * 2 + 2 * 2)

/* The input's next text, up to a NUL, in a block of its own. */
static ch_bytes_t next(const uint8_t **data, size_t *size, char **block)
{
    const uint8_t *end = memchr(*data, 0, *size);
    size_t len = end ? (size_t)(end - *data) : *size;

    *block = malloc(len ? len : 1);
    memcpy(*block, *data, len);
    *data += end ? len + 1 : len;
    *size -= end ? len + 1 : len;
    return (ch_bytes_t){ .data = *block, .len = len };
}

static ch_bytes_t merge(apr_pool_t *pool, const ch_bytes_t *base,
                        ch_bytes_t server, ch_bytes_t client, int *clashes)
{
    ch_bytes_t out = { .len = 0 };

    CH_PROMISE(!ch_merge3(pool, base, server, client, &out, clashes));
    return out;
}

static int same(ch_bytes_t a, ch_bytes_t b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static int begins(ch_bytes_t text, size_t at, const char *with)
{
    size_t len = strlen(with);

    return text.len - at >= len && memcmp(text.data + at, with, len) == 0;
}

/* Lines that begin with this. */
static int count(ch_bytes_t text, const char *with)
{
    size_t at;
    int lines = 0;

    for (at = 0; at < text.len; at++) {
        if (at == 0 || text.data[at - 1] == '\n') {
            lines += begins(text, at, with);
        }
    }
    return lines;
}

static void check(apr_pool_t *pool, const ch_bytes_t *base, ch_bytes_t server,
                  ch_bytes_t client)
{
    int clashes;
    ch_bytes_t out = merge(pool, base, server, client, &clashes);

    CH_PROMISE(clashes >= 0);
    CH_PROMISE(out.len
               <= server.len + client.len + (size_t)clashes * MARKERS_MAX);
    CH_PROMISE(count(out, "<<<<<<< server") >= clashes);
    CH_PROMISE(count(out, "=======") >= clashes);
    CH_PROMISE(count(out, ">>>>>>> client") >= clashes);
    if (!base) {
        CH_PROMISE(clashes == !same(server, client));
    }
}

static void check_unchanged(apr_pool_t *pool, ch_bytes_t base, ch_bytes_t text)
{
    int clashes;

    CH_PROMISE(same(merge(pool, &base, base, text, &clashes), text));
    CH_PROMISE(clashes == 0);
    CH_PROMISE(same(merge(pool, &base, text, base, &clashes), text));
    CH_PROMISE(clashes == 0);
    CH_PROMISE(same(merge(pool, &base, text, text, &clashes), text));
    CH_PROMISE(clashes == 0);
    CH_PROMISE(same(merge(pool, NULL, text, text, &clashes), text));
    CH_PROMISE(clashes == 0);
}

#define KEPT "\001kept\n"

static ch_bytes_t after(apr_pool_t *pool, const char *head, ch_bytes_t text)
{
    size_t len = strlen(head);
    char *data = apr_palloc(pool, len + text.len);

    memcpy(data, head, len);
    memcpy(data + len, text.data, text.len);
    return (ch_bytes_t){ .data = data, .len = len + text.len };
}

/* Changes of the two sides with a line between them that is there once: both
 * come through as they are. */
static void check_apart(apr_pool_t *pool, ch_bytes_t base, ch_bytes_t text)
{
    ch_bytes_t old = after(pool, "1\n" KEPT, base);
    ch_bytes_t server = after(pool, "2\n" KEPT, base);
    ch_bytes_t client = after(pool, "1\n" KEPT, text);
    int clashes;

    if (!memchr(base.data, '\001', base.len)
        && !memchr(text.data, '\001', text.len)) {
        CH_PROMISE(same(merge(pool, &old, server, client, &clashes),
                        after(pool, "2\n" KEPT, text)));
        CH_PROMISE(clashes == 0);
    }
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *blocks[3];
    ch_bytes_t base = next(&data, &size, &blocks[0]);
    ch_bytes_t server = next(&data, &size, &blocks[1]);
    ch_bytes_t client = next(&data, &size, &blocks[2]);
    size_t i;

    check(pool, &base, server, client);
    check(pool, NULL, server, client);
    check_unchanged(pool, base, client);
    check_apart(pool, base, client);
    for (i = 0; i < CH_COUNT(blocks); i++) {
        free(blocks[i]);
    }
}
