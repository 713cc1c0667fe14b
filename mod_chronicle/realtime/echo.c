/* The namespace /echo: says again what it is told, for clients' tests. */
#include "realtime/socket.h"

#include <string.h>

#include <apr_strings.h>

#include "base/buf.h"
#include "base/jsonw.h"
#include "base/seal.h"

#define NSP "/echo"

static void send_args(ch_engine_t *engine, const ch_sio_packet_t *like,
                 const ch_partial_t *partial, ch_bytes_t json)
{
    int attachments = partial ? partial->count : 0;
    ch_sio_type_e type = like->ack >= 0
                             ? attachments ? CH_SIO_BINARY_ACK : CH_SIO_ACK
                         : attachments ? CH_SIO_BINARY_EVENT
                                       : CH_SIO_EVENT;
    ch_chunk_t *chunk =
        ch_sio_packet(type, NSP, attachments, like->ack, json);
    int i;

    ch_engine_send(engine, chunk);
    ch_chunk_drop(chunk);
    for (i = 0; i < attachments; i++) {
        ch_engine_send(engine, partial->parts[i]);
    }
}

int ch_echo_connect(ch_engine_t *engine, const ch_sio_packet_t *packet)
{
    static const ch_sio_packet_t plain = { .ack = -1 };
    const ch_json_t *auth = NULL;
    apr_pool_t *pool;
    ch_chunk_t *chunk;
    const char *text;
    int good;

    if (engine->echo) {
        return 0;
    }
    apr_pool_create(&pool, ch_core.pool);
    good = !packet->json.len
           || (!ch_json_parse(pool, packet->json.data, packet->json.len,
                              CH_JSON_DEPTH_MAX, &auth)
               && ch_json_type(auth) == CH_JSON_OBJECT);
    if (good) {
        engine->echo = 1;
        ch_engine_due(engine, CH_DUE_CONNECT, 0);
        text = apr_psprintf(pool, "{\"sid\":\"%s\"}",
                            ch_seal_token(pool, 15));
        chunk = ch_sio_packet(CH_SIO_CONNECT, NSP, 0, -1,
                              (ch_bytes_t){ text, strlen(text) });
        ch_engine_send(engine, chunk);
        ch_chunk_drop(chunk);
        text = apr_psprintf(pool, "[\"auth\",%.*s]",
                            packet->json.len ? (int)packet->json.len : 2,
                            packet->json.len ? packet->json.data : "{}");
        send_args(engine, &plain, NULL, (ch_bytes_t){ text, strlen(text) });
    }
    apr_pool_destroy(pool);
    return good;
}

/* Where the first element of an array ends: a string or a number, which was
 * checked. */
static const char *after_name(const char *at)
{
    at += 1 + strspn(at + 1, " \t\r\n");
    if (*at != '"') {
        return at + strcspn(at, " \t\r\n,]");
    }
    at++;
    while (*at != '"') {
        at += *at == '\\' ? 2 : 1;
    }
    return at + 1;
}

/* The array with another name, or (NULL) without one. */
static ch_bytes_t with_name(apr_pool_t *pool, ch_bytes_t json,
                            const char *name)
{
    ch_buf_t *buf = ch_buf_make(pool, json.len + 32, json.len + 1024);
    const char *rest = after_name(json.data);

    ch_buf_putc(buf, '[');
    if (name) {
        ch_jsonw_cstr(buf, name);
    }
    else {
        rest += strspn(rest, " \t\r\n");
        rest += *rest == ',';
    }
    ch_buf_add(buf, rest, (size_t)(json.data + json.len - rest));
    return (ch_bytes_t){ buf->data, buf->len };
}

int ch_echo_event(ch_engine_t *engine, const ch_sio_packet_t *packet,
                  const ch_partial_t *partial)
{
    ch_bytes_t json = packet->json;
    ch_sio_event_t event;
    apr_pool_t *pool;
    int good;

    apr_pool_create(&pool, ch_core.pool);
    json.data = apr_pstrmemdup(pool, json.data, json.len);
    good = ch_sio_event(pool, packet, &event);
    if (good) {
        json.data += strspn(json.data, " \t\r\n");
        json.len = strlen(json.data);
        if (packet->ack >= 0) {
            json = with_name(pool, json, NULL);
        }
        else if (strcmp(event.name, "message") == 0) {
            json = with_name(pool, json, "message-back");
        }
        send_args(engine, packet, partial, json);
    }
    apr_pool_destroy(pool);
    return good;
}
