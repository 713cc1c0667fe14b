/* Fuzzes realtime/engineio with the body of a poll, and with the same as a
 * query. What was read is written again, and read, and is then the same. */
#include "ch_fuzz.h"

#include "base/text.h"
#include "realtime/engineio.h"

static ch_chunk_t *chunk_of(const ch_eio_packet_t *packet)
{
    return packet->binary ? ch_chunk_binary(packet->data, packet->len)
                          : ch_chunk_packet(packet->type, packet->data,
                                            packet->len);
}

static void read_again(apr_pool_t *pool, const ch_eio_packet_t *first,
                       ch_buf_t *body, size_t from)
{
    const char *at = body->data + from;
    ch_eio_packet_t again;

    if (from) {
        CH_PROMISE(*at++ == 0x1E);
    }
    CH_PROMISE(ch_eio_next(pool, &at, body->data + body->len, &again) == 1);
    CH_PROMISE(at == body->data + body->len);
    CH_PROMISE(again.type == first->type && again.binary == first->binary);
    CH_PROMISE(again.len == first->len);
    CH_PROMISE(!again.len || !memcmp(again.data, first->data, again.len));
}

static void body_of(apr_pool_t *pool, const char *at, const char *end)
{
    ch_buf_t *body = ch_buf_make(pool, 0, (size_t)(end - at) * 2 + 1);
    ch_eio_packet_t packet;
    const char *before = at;
    int got;

    while ((got = ch_eio_next(pool, &at, end, &packet)) > 0) {
        size_t from = body->len;
        ch_chunk_t *chunk = chunk_of(&packet);

        CH_PROMISE(at > before && at <= end);
        before = at;
        CH_PROMISE(packet.binary || ch_text_valid(packet.data, packet.len));
        ch_eio_add(body, chunk);
        CH_PROMISE(body->len - from + (from ? 0 : 1) == ch_eio_size(chunk));
        ch_chunk_drop(chunk);
        read_again(pool, &packet, body, from);
    }
    CH_PROMISE(got < 0 || at == end);
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    ch_eio_query_t query;
    ch_eio_fault_e fault;

    memcpy(text, data, size);
    text[size] = '\0';
    fault = ch_eio_query(pool, text, &query);
    if (fault == CH_EIO_GOOD && query.sid) {
        CH_PROMISE(*query.sid && strlen(query.sid) <= 64);
        CH_PROMISE(!strpbrk(query.sid, "%.&=/+ "));
    }
    text = realloc(text, size ? size : 1);
    body_of(pool, text, text + size);
    free(text);
}
