/* Makes the bytes that go to clients, and counts who still needs them. */
#include "realtime/chunk.h"

#include <string.h>

#include "base/heap.h"
#include "realtime/ws.h"

/* A chunk for len bytes behind a frame header (none for opcode 0); *at is
 * where they go. */
static ch_chunk_t *chunk_for(int opcode, size_t len, char **at)
{
    unsigned char head[CH_WS_HEAD_MAX];
    size_t n = opcode ? ch_ws_head(head, opcode, len) : 0;
    ch_chunk_t *chunk = ch_heap_take(sizeof(*chunk) + n + len);

    chunk->refs = 1;
    chunk->head = (unsigned char)n;
    chunk->binary = opcode == CH_WS_BINARY;
    chunk->len = n + len;
    memcpy(chunk->data, head, n);
    *at = chunk->data + n;
    return chunk;
}

static char *put(char *at, const char *data, size_t len)
{
    if (len) {
        memcpy(at, data, len);
    }
    return at + len;
}

ch_chunk_t *ch_chunk_join(char type, const ch_bytes_t *parts, int count)
{
    size_t len = 1;
    ch_chunk_t *chunk;
    char *at;
    int i;

    for (i = 0; i < count; i++) {
        len += parts[i].len;
    }
    chunk = chunk_for(CH_WS_TEXT, len, &at);
    *at++ = type;
    for (i = 0; i < count; i++) {
        at = put(at, parts[i].data, parts[i].len);
    }
    return chunk;
}

ch_chunk_t *ch_chunk_packet(char type, const char *text, size_t len)
{
    const ch_bytes_t part = { .data = text, .len = len };

    return ch_chunk_join(type, &part, 1);
}

ch_chunk_t *ch_chunk_binary(const char *data, size_t len)
{
    char *at;
    ch_chunk_t *chunk = chunk_for(CH_WS_BINARY, len, &at);

    put(at, data, len);
    return chunk;
}

ch_chunk_t *ch_chunk_raw(const char *data, size_t len)
{
    char *at;
    ch_chunk_t *chunk = chunk_for(0, len, &at);

    put(at, data, len);
    return chunk;
}

ch_chunk_t *ch_chunk_hold(ch_chunk_t *chunk)
{
    if (chunk) {
        chunk->refs++;
    }
    return chunk;
}

void ch_chunk_drop(ch_chunk_t *chunk)
{
    if (chunk && --chunk->refs == 0) {
        ch_heap_give(chunk);
    }
}
