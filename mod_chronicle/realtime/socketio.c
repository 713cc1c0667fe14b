/* Reads and writes packets of Socket.IO. */
#include "realtime/socketio.h"

#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "base/heap.h"
#include "base/jsonw.h"
#include "realtime/engineio.h"

#define ACK_MAX ((apr_int64_t)1 << 53) /* what a double counts exactly */

static int has_attachments(ch_sio_type_e type)
{
    return type == CH_SIO_BINARY_EVENT || type == CH_SIO_BINARY_ACK;
}

/* A number of digits: behind it, NULL when there is none or it is too
 * large. */
static const char *read_number(const char *at, const char *end,
                               apr_int64_t max, apr_int64_t *out)
{
    const char *from = at;

    *out = 0;
    while (at < end && *at >= '0' && *at <= '9') {
        *out = *out * 10 + (*at++ - '0');
        if (*out > max) {
            return NULL;
        }
    }
    return at > from ? at : NULL;
}

/* "/name?query," or the same without comma at the end. */
static const char *read_nsp(const char *at, const char *end, ch_bytes_t *nsp)
{
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *stop = comma ? comma : end;
    const char *query = memchr(at, '?', (size_t)(stop - at));

    nsp->data = at;
    nsp->len = (size_t)((query ? query : stop) - at);
    return comma ? comma + 1 : end;
}

/* Whether the payload may be one of this type, by its first character. */
static int fits(ch_sio_type_e type, ch_bytes_t json)
{
    char first = json.len ? *json.data : '\0';

    switch (type) {
    case CH_SIO_CONNECT:
        return json.len == 0 || first == '{';
    case CH_SIO_DISCONNECT:
        return json.len == 0;
    case CH_SIO_CONNECT_ERROR:
        return first == '{' || first == '"';
    case CH_SIO_EVENT:
    case CH_SIO_ACK:
    case CH_SIO_BINARY_EVENT:
    case CH_SIO_BINARY_ACK:
        break;
    }
    return first == '[';
}

int ch_sio_read(const char *text, size_t len, ch_sio_packet_t *out)
{
    const char *at = text;
    const char *end = text + len;
    apr_int64_t count = 0;

    if (len == 0 || *at < '0' || *at > '0' + CH_SIO_BINARY_ACK) {
        return 0;
    }
    out->type = (ch_sio_type_e)(*at++ - '0');
    if (has_attachments(out->type)) {
        at = read_number(at, end, CH_SIO_ATTACHMENTS_MAX, &count);
        if (!at || at == end || *at++ != '-' || count == 0) {
            return 0;
        }
    }
    out->attachments = (int)count;
    out->nsp = (ch_bytes_t){ .data = "/", .len = 1 };
    if (at < end && *at == '/') {
        at = read_nsp(at, end, &out->nsp);
    }
    out->ack = -1;
    if (at < end && *at >= '0' && *at <= '9') {
        at = read_number(at, end, ACK_MAX, &out->ack);
        if (!at) {
            return 0;
        }
    }
    out->json.data = at;
    out->json.len = (size_t)(end - at);
    return fits(out->type, out->json);
}

/* --- events ------------------------------------------------------------ */

static int is_reserved(const char *name)
{
    static const char *const reserved[] = {
        "connect",       "connect_error", "disconnect",
        "disconnecting", "newListener",   "removeListener",
    };
    size_t i;

    for (i = 0; i < CH_COUNT(reserved); i++) {
        if (strcmp(name, reserved[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* The name of an event, NULL when it is none. */
static const char *name_of(apr_pool_t *pool, const ch_json_t *value)
{
    const char *name;
    size_t len;

    switch (ch_json_type(value)) {
    case CH_JSON_STRING:
        name = ch_json_string(value, &len);
        return strlen(name) != len || is_reserved(name) ? NULL : name;
    case CH_JSON_INT:
    case CH_JSON_REAL:
        return ch_json_dump(pool, value);
    case CH_JSON_NULL:
    case CH_JSON_BOOL:
    case CH_JSON_ARRAY:
    case CH_JSON_OBJECT:
        break;
    }
    return NULL;
}

static int is_placeholder(const ch_json_t *object)
{
    const ch_json_t *mark = ch_json_get(object, "_placeholder");

    return mark && ch_json_type(mark) == CH_JSON_BOOL && ch_json_bool(mark);
}

/* Whether each placeholder in value stands for one of `count` attachments. As
 * deep as JSON may be (CH_JSON_DEPTH_MAX). */
static int placeholders_fit(const ch_json_t *value, int count)
{
    const ch_json_t *part;
    const char *key;
    void *iter = NULL;
    size_t i;

    if (ch_json_type(value) == CH_JSON_ARRAY) {
        for (i = 0; i < ch_json_size(value); i++) {
            if (!placeholders_fit(ch_json_at(value, i), count)) {
                return 0;
            }
        }
        return 1;
    }
    if (ch_json_type(value) != CH_JSON_OBJECT) {
        return 1;
    }
    if (is_placeholder(value)) {
        part = ch_json_get(value, "num");
        return part && ch_json_type(part) == CH_JSON_INT &&
               ch_json_int(part) >= 0 && ch_json_int(part) < count;
    }
    while (ch_json_next(value, &iter, &key, &part)) {
        if (!placeholders_fit(part, count)) {
            return 0;
        }
    }
    return 1;
}

/* Where the first element of an array ends that has more levels than are read;
 * 0 when it has not, or they begin before. */
static size_t deep_after(ch_bytes_t json)
{
    size_t at, end = 0;
    int depth = 0, quoted = 0;

    for (at = 0; at < json.len; at++) {
        char c = json.data[at];

        if (quoted && c == '\\') {
            at++;
        }
        else if (c == '"') {
            quoted = !quoted;
        }
        else if (!quoted) {
            end = !end && depth == 1 && c == ',' ? at : end;
            depth += c == '[' || c == '{';
            depth -= c == ']' || c == '}';
        }
        if (depth > CH_JSON_DEPTH_MAX) {
            return end;
        }
    }
    return 0;
}

/* The array, or what it begins with when its arguments are too deep. */
static const ch_json_t *read_args(apr_pool_t *pool, ch_bytes_t json,
                                  int *is_whole)
{
    const ch_json_t *args = ch_json_parse_mended(pool, json.data, json.len,
                                                 CH_JSON_DEPTH_MAX);
    size_t end = args ? 0 : deep_after(json);

    *is_whole = end == 0;
    if (end) {
        char *text = apr_pstrmemdup(pool, json.data, end + 1);

        text[end] = ']';
        args = ch_json_parse_mended(pool, text, end + 1, CH_JSON_DEPTH_MAX);
    }
    return args;
}

int ch_sio_event(apr_pool_t *pool, const ch_sio_packet_t *packet,
                 ch_sio_event_t *out)
{
    int is_whole;
    const ch_json_t *args = read_args(pool, packet->json, &is_whole);

    if (!args || ch_json_type(args) != CH_JSON_ARRAY
        || ch_json_size(args) == 0) {
        return 0;
    }
    out->args = is_whole ? args : NULL;
    out->name = name_of(pool, ch_json_at(args, 0));
    /* without attachments it is nothing but an object */
    return out->name && (packet->attachments == 0 || !is_whole ||
                         placeholders_fit(args, packet->attachments));
}

/* --- out --------------------------------------------------------------- */

static ch_bytes_t bytes(const char *text)
{
    return (ch_bytes_t){ .data = text, .len = strlen(text) };
}

/* The type on the wire: with attachments, or without. */
static int wire_type(ch_sio_type_e type, int attachments)
{
    if (type == CH_SIO_EVENT || type == CH_SIO_BINARY_EVENT) {
        return attachments ? CH_SIO_BINARY_EVENT : CH_SIO_EVENT;
    }
    if (type == CH_SIO_ACK || type == CH_SIO_BINARY_ACK) {
        return attachments ? CH_SIO_BINARY_ACK : CH_SIO_ACK;
    }
    return (int)type;
}

ch_chunk_t *ch_sio_packet(ch_sio_type_e type, const char *nsp, int attachments,
                          apr_int64_t ack, ch_bytes_t json)
{
    char count[16] = "";
    char id[24] = "";
    char head[2] = "0";
    int root = strcmp(nsp, "/") == 0;
    ch_bytes_t parts[6];

    head[0] = (char)('0' + wire_type(type, attachments));
    if (attachments) {
        snprintf(count, sizeof(count), "%d-", attachments);
    }
    if (ack >= 0) {
        snprintf(id, sizeof(id), "%" APR_INT64_T_FMT, ack);
    }
    parts[0] = bytes(head);
    parts[1] = bytes(count);
    parts[2] = bytes(root ? "" : nsp);
    parts[3] = bytes(root ? "" : ",");
    parts[4] = bytes(id);
    parts[5] = json;
    return ch_chunk_join(CH_EIO_MESSAGE, parts, (int)CH_COUNT(parts));
}

ch_chunk_t *ch_sio_emit(const char *event, ch_bytes_t data)
{
    /* room for a name of nothing but escapes: no pool is needed */
    size_t max = strlen(event) * 6 + 2;
    ch_buf_t name = { .data = ch_heap_take(max + 1), .size = max, .max = max };
    ch_bytes_t parts[5];
    ch_chunk_t *chunk;

    ch_jsonw_cstr(&name, event);
    parts[0] = bytes("2[");
    parts[1] = (ch_bytes_t){ .data = name.data, .len = name.len };
    parts[2] = bytes(",");
    parts[3] = data;
    parts[4] = bytes("]");
    chunk = ch_chunk_join(CH_EIO_MESSAGE, parts, (int)CH_COUNT(parts));
    ch_heap_give(name.data);
    return chunk;
}

ch_chunk_t *ch_sio_ack(apr_int64_t ack, ch_bytes_t data)
{
    char head[32];
    ch_bytes_t parts[3];

    snprintf(head, sizeof(head), "3%" APR_INT64_T_FMT "[", ack);
    parts[0] = bytes(head);
    parts[1] = data;
    parts[2] = bytes("]");
    return ch_chunk_join(CH_EIO_MESSAGE, parts, (int)CH_COUNT(parts));
}
