/* Fuzzes realtime/ws: the same bytes whole and in pieces must come to the same
 * messages and replies. The first byte says how they are cut, the second how
 * long a message may be. */
#include "ch_fuzz.h"

#include "realtime/ws.h"

typedef struct {
    uint64_t sum; /* of all that came out, in order */
    size_t max;
    int closes;
} seen_t;

static void add(seen_t *seen, int kind, const char *data, size_t len)
{
    size_t i;

    CH_PROMISE(!seen->closes);
    seen->sum = (seen->sum ^ (uint64_t)kind) * 0x100000001B3u;
    seen->sum = (seen->sum ^ len) * 0x100000001B3u;
    for (i = 0; i < len; i++) {
        seen->sum = (seen->sum ^ (uint8_t)data[i]) * 0x100000001B3u;
    }
}

static void message_cb(void *ctx, int binary, const char *data, size_t len)
{
    seen_t *seen = ctx;

    CH_PROMISE(len <= seen->max);
    add(seen, binary, data, len);
}

static void reply_cb(void *ctx, const char *data, size_t len)
{
    seen_t *seen = ctx;

    CH_PROMISE(len >= 2 && len <= 127 && (size_t)data[1] == len - 2);
    add(seen, 2, data, len);
    seen->closes += (uint8_t)data[0] == 0x88;
    CH_PROMISE(seen->closes || (uint8_t)data[0] == 0x8A);
}

static seen_t feed(const uint8_t *data, size_t size, size_t step, size_t max)
{
    static const ch_ws_user_t user = { .message = message_cb,
                                       .reply = reply_cb };
    seen_t seen = { .sum = 1, .max = max };
    ch_ws_t *ws = NULL;
    int on = 1;

    while (on && size) {
        size_t n = step < size ? step : size;
        char *piece = malloc(n);

        memcpy(piece, data, n);
        on = ch_ws_feed(&ws, max, &user, &seen, piece, n);
        free(piece);
        data += n;
        size -= n;
    }
    CH_PROMISE(on == !seen.closes);
    CH_PROMISE(on || !ws);
    ch_ws_end(&ws);
    return seen;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    size_t step, max;
    seen_t whole, pieces;

    if (size < 3) {
        return;
    }
    step = (size_t)data[0] % 40 + 1;
    max = (size_t)data[1] * 4;
    whole = feed(data + 2, size - 2, size, max);
    pieces = feed(data + 2, size - 2, step, max);
    CH_PROMISE(whole.sum == pieces.sum);
}
