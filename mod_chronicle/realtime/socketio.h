/* Socket.IO 5: packets inside Engine.IO messages, in and out, with their
 * attachments. Source: the protocol's documents (socketio/socket.io-protocol,
 * v5). */
#ifndef CH_REALTIME_SOCKETIO_H
#define CH_REALTIME_SOCKETIO_H

#include "base/json.h"
#include "realtime/chunk.h"

typedef enum {
    CH_SIO_CONNECT,
    CH_SIO_DISCONNECT,
    CH_SIO_EVENT,
    CH_SIO_ACK,
    CH_SIO_CONNECT_ERROR,
    CH_SIO_BINARY_EVENT,
    CH_SIO_BINARY_ACK
} ch_sio_type_e;

#define CH_SIO_ATTACHMENTS_MAX 64

/* A packet's head, and its JSON as it came: nothing is copied. */
typedef struct {
    ch_sio_type_e type;
    int attachments;   /* binary messages that follow */
    ch_bytes_t nsp;    /* "/" or "/echo", without query */
    apr_int64_t ack;   /* -1 = none */
    ch_bytes_t json;   /* len 0 = none */
} ch_sio_packet_t;

/* Reads the text of an Engine.IO message. 0 when it is no packet: unknown
 * type, malformed counts, an EVENT without payload, too many attachments. The
 * JSON itself is not looked at. */
int ch_sio_read(const char *text, size_t len, ch_sio_packet_t *out);

/* The payload of an EVENT: its name and the arguments. 0 when it is not a
 * non-empty array whose first element is a string or number that is no
 * reserved name (connect, connect_error, disconnect, disconnecting,
 * newListener, removeListener), or when a placeholder
 * ({"_placeholder":true,"num":n}) names an attachment that is not there.
 * The arguments may hold U+0000 and repeated keys, and U+FFFD stands where
 * there was half a surrogate pair (ch_json_parse_mended): who takes the values
 * parses them strictly. Of arguments deeper than CH_JSON_DEPTH_MAX nothing is
 * known but the name.
 * Everything lives with pool. */
typedef struct {
    const char *name;
    const ch_json_t *args; /* the whole array, the name is at 0; NULL = it is
                            * too deep */
} ch_sio_event_t;

int ch_sio_event(apr_pool_t *pool, const ch_sio_packet_t *packet,
                 ch_sio_event_t *out);

/* --- out: each a chunk with an Engine.IO message in a text frame ------ */

/* nsp "/" is left out. json: what follows, "" = nothing. ack -1 = none;
 * attachments 0 makes the types without BINARY. */
ch_chunk_t *ch_sio_packet(ch_sio_type_e type, const char *nsp, int attachments,
                          apr_int64_t ack, ch_bytes_t json);

/* 42["event",<data>] in the namespace "/": data is one JSON value. */
ch_chunk_t *ch_sio_emit(const char *event, ch_bytes_t data);

/* 43<ack>[<data>] in the namespace "/". */
ch_chunk_t *ch_sio_ack(apr_int64_t ack, ch_bytes_t data);

#endif
