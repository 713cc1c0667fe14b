/* Fuzzes realtime/socketio: what was read is written again, and read, and is
 * then the same. */
#include "ch_fuzz.h"

#include "realtime/socketio.h"

static int same(ch_bytes_t a, ch_bytes_t b)
{
    return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

static void write_again(apr_pool_t *pool, const ch_sio_packet_t *packet)
{
    char *nsp = apr_palloc(pool, packet->nsp.len + 1);
    ch_sio_packet_t again;
    ch_chunk_t *chunk;

    memcpy(nsp, packet->nsp.data, packet->nsp.len);
    nsp[packet->nsp.len] = '\0';
    if (strlen(nsp) != packet->nsp.len) {
        return; /* it can't be said in C */
    }
    chunk = ch_sio_packet(packet->type, nsp, packet->attachments, packet->ack,
                          packet->json);
    CH_PROMISE(chunk->data[chunk->head] == '4');
    CH_PROMISE(ch_sio_read(chunk->data + chunk->head + 1,
                           chunk->len - chunk->head - 1, &again));
    CH_PROMISE(again.type == packet->type);
    CH_PROMISE(again.attachments == packet->attachments);
    CH_PROMISE(again.ack == packet->ack);
    CH_PROMISE(same(again.nsp, packet->nsp) && same(again.json, packet->json));
    ch_chunk_drop(chunk);
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1);
    ch_sio_packet_t packet;
    ch_sio_event_t event;

    memcpy(text, data, size);
    if (ch_sio_read(text, size, &packet)) {
        CH_PROMISE(packet.attachments >= 0);
        CH_PROMISE(packet.attachments <= CH_SIO_ATTACHMENTS_MAX);
        CH_PROMISE(packet.nsp.len > 0 && *packet.nsp.data == '/');
        CH_PROMISE(packet.ack >= -1 && packet.ack <= (apr_int64_t)1 << 53);
        CH_PROMISE(!packet.json.len
                   || packet.json.data + packet.json.len == text + size);
        write_again(pool, &packet);
        if (ch_sio_event(pool, &packet, &event)) {
            CH_PROMISE(event.name && strcmp(event.name, "connect"));
            CH_PROMISE(!event.args
                       || (ch_json_type(event.args) == CH_JSON_ARRAY
                           && ch_json_size(event.args) > 0));
        }
    }
    free(text);
}
