/* Reads and writes packets of Engine.IO. */
#include "realtime/engineio.h"

#include <string.h>

#include <apr_encode.h>

#include "base/text.h"
#include "web/query.h"

#define SEPARATOR '\x1E'
#define SID_MAX 64
#define BLOCK 3072 /* bytes that become base64 at once; a multiple of 3 */

#define FAULT(code, text) "{\"code\":" #code ",\"message\":\"" text "\"}"

static const char *const fault_texts[] = {
    [CH_EIO_TRANSPORT_UNKNOWN] = FAULT(0, "Transport unknown"),
    [CH_EIO_SID_UNKNOWN] = FAULT(1, "Session ID unknown"),
    [CH_EIO_BAD_METHOD] = FAULT(2, "Bad handshake method"),
    [CH_EIO_BAD_REQUEST] = FAULT(3, "Bad request"),
    [CH_EIO_FORBIDDEN] = FAULT(4, "Forbidden"),
    [CH_EIO_BAD_VERSION] = FAULT(5, "Unsupported protocol version"),
};

const char *ch_eio_fault_text(ch_eio_fault_e fault)
{
    return fault_texts[fault];
}

int ch_eio_fault_status(ch_eio_fault_e fault)
{
    return fault == CH_EIO_FORBIDDEN ? 403 : 400;
}

/* The value of a parameter, NULL when it isn't there. One that is broken has a
 * "?" in it, which is in no good value; so has one that is there twice. */
static const char *value_of(const apr_array_header_t *pairs, const char *name)
{
    const char *value = NULL;
    int i;

    for (i = 0; i < pairs->nelts; i++) {
        const ch_pair_t *pair = &APR_ARRAY_IDX(pairs, i, ch_pair_t);

        if (strcmp(pair->name, name) == 0) {
            value = value ? "?" : pair->value;
        }
    }
    return value;
}

static int is_sid(const char *sid)
{
    size_t len = strspn(sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return sid[len] == '\0' && len <= SID_MAX;
}

ch_eio_fault_e ch_eio_query(apr_pool_t *pool, const char *args,
                            ch_eio_query_t *out)
{
    const apr_array_header_t *pairs = ch_query_parse(pool, args);
    const char *transport = value_of(pairs, "transport");
    const char *sid = value_of(pairs, "sid");
    const char *version = value_of(pairs, "EIO");

    if (transport && strcmp(transport, "polling") == 0) {
        out->transport = CH_EIO_POLLING;
    }
    else if (transport && strcmp(transport, "websocket") == 0) {
        out->transport = CH_EIO_WEBSOCKET;
    }
    else {
        return CH_EIO_TRANSPORT_UNKNOWN;
    }
    out->sid = sid && *sid ? sid : NULL;
    if (out->sid && !is_sid(sid)) {
        return CH_EIO_SID_UNKNOWN;
    }
    if (!version || strcmp(version, "4") != 0) {
        return out->sid ? CH_EIO_BAD_REQUEST : CH_EIO_BAD_VERSION;
    }
    return CH_EIO_GOOD;
}

static int read_text(const char *data, size_t len, ch_eio_packet_t *out)
{
    if (len == 0 || *data < CH_EIO_OPEN || *data > CH_EIO_NOOP) {
        return 0;
    }
    out->type = *data;
    out->binary = 0;
    out->data = data + 1;
    out->len = len - 1;
    return 1;
}

static void set_binary(const char *data, size_t len, ch_eio_packet_t *out)
{
    out->type = CH_EIO_MESSAGE;
    out->binary = 1;
    out->data = data;
    out->len = len;
}

/* What stands behind the 'b'. */
static int read_base64(apr_pool_t *pool, const char *text, size_t len,
                       ch_eio_packet_t *out)
{
    unsigned char *data = apr_palloc(pool, len / 4 * 3 + 4);
    apr_size_t got = 0;

    if (apr_decode_base64_binary(data, text, (apr_ssize_t)len,
                                 APR_ENCODE_NONE, &got)) {
        return 0;
    }
    set_binary((const char *)data, got, out);
    return 1;
}

int ch_eio_next(apr_pool_t *pool, const char **at, const char *end,
                ch_eio_packet_t *out)
{
    const char *from = *at;
    size_t len = (size_t)(end - from);
    const char *stop = len ? memchr(from, SEPARATOR, len) : NULL;
    int good;

    if (len == 0) {
        return 0;
    }
    if (stop) {
        len = (size_t)(stop - from);
    }
    *at = stop ? stop + 1 : end;
    /* a packet that is empty because the body ends behind a separator can't
     * be told from the end later */
    if (stop && *at == end) {
        return -1;
    }
    if (*from == 'b') {
        good = read_base64(pool, from + 1, len - 1, out);
    }
    else {
        good = read_text(from, len, out) && ch_text_valid(from, len);
    }
    return good ? 1 : -1;
}

int ch_eio_message(int binary, const char *data, size_t len,
                   ch_eio_packet_t *out)
{
    if (binary) {
        set_binary(data, len, out);
        return 1;
    }
    return read_text(data, len, out);
}

void ch_eio_add(ch_buf_t *body, const ch_chunk_t *packet)
{
    const char *data = packet->data + packet->head;
    size_t len = packet->len - packet->head;
    char text[BLOCK / 3 * 4 + 1];

    if (body->len) {
        ch_buf_putc(body, SEPARATOR);
    }
    if (!packet->binary) {
        ch_buf_add(body, data, len);
        return;
    }
    ch_buf_putc(body, 'b');
    while (len) {
        size_t n = len < BLOCK ? len : BLOCK;
        apr_size_t got = 0;

        apr_encode_base64_binary(text, (const unsigned char *)data,
                                 (apr_ssize_t)n, APR_ENCODE_NONE, &got);
        ch_buf_add(body, text, got);
        data += n;
        len -= n;
    }
}

size_t ch_eio_size(const ch_chunk_t *packet)
{
    size_t len = packet->len - packet->head;

    return packet->binary ? 2 + (len + 2) / 3 * 4 : 1 + len;
}
