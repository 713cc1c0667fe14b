/* Engine.IO 4: packets of a polling body, out of text and into it. Source: the
 * protocol's documents (socketio/engine.io-protocol, v4). */
#ifndef CH_REALTIME_ENGINEIO_H
#define CH_REALTIME_ENGINEIO_H

#include "base/buf.h"
#include "realtime/chunk.h"

#define CH_EIO_OPEN '0'
#define CH_EIO_CLOSE '1'
#define CH_EIO_PING '2'
#define CH_EIO_PONG '3'
#define CH_EIO_MESSAGE '4'
#define CH_EIO_UPGRADE '5'
#define CH_EIO_NOOP '6'

typedef enum { CH_EIO_POLLING, CH_EIO_WEBSOCKET } ch_eio_transport_e;

/* Faults of a request, with the reference server's numbers and texts. */
typedef enum {
    CH_EIO_TRANSPORT_UNKNOWN,
    CH_EIO_SID_UNKNOWN,
    CH_EIO_BAD_METHOD,
    CH_EIO_BAD_REQUEST,
    CH_EIO_FORBIDDEN,
    CH_EIO_BAD_VERSION,
    CH_EIO_GOOD = -1
} ch_eio_fault_e;

/* What a request's query asks for. */
typedef struct {
    ch_eio_transport_e transport;
    const char *sid; /* NULL = a new session */
} ch_eio_query_t;

/* Reads a raw query string (NULL = none), in pool. EIO, transport and sid;
 * anything else (t, b64, what clients add) is passed over. A fault or
 * CH_EIO_GOOD. sid is decoded and at most 64 characters of [A-Za-z0-9_-], or
 * CH_EIO_SID_UNKNOWN; an empty one is none. Another EIO than 4 is BAD_VERSION
 * without sid and BAD_REQUEST with one; *out is then set as if it were good,
 * because the reference looks at the method, or at the session, before. */
ch_eio_fault_e ch_eio_query(apr_pool_t *pool, const char *args,
                            ch_eio_query_t *out);

/* {"code":n,"message":"..."} and the status it goes with (400, 403). */
const char *ch_eio_fault_text(ch_eio_fault_e fault);
int ch_eio_fault_status(ch_eio_fault_e fault);

/* One packet of a polling body (packets are joined with 0x1E). binary: data is
 * an attachment that came as 'b' and base64, decoded in pool; type is then
 * CH_EIO_MESSAGE. */
typedef struct {
    char type;
    int binary;
    const char *data;
    size_t len;
} ch_eio_packet_t;

/* Takes the next packet of [*at, end) and moves *at behind it: 1 and *out; 0
 * at the end; -1 when it is no packet (empty, unknown type, bad base64, text
 * that is not valid UTF-8). */
int ch_eio_next(apr_pool_t *pool, const char **at, const char *end,
                ch_eio_packet_t *out);

/* A websocket message as a packet: 1, or 0 when it is none. */
int ch_eio_message(int binary, const char *data, size_t len,
                   ch_eio_packet_t *out);

/* Adds a chunk that holds a packet to a polling answer (separator included
 * unless it is the first), binary as 'b' and base64. */
void ch_eio_add(ch_buf_t *body, const ch_chunk_t *packet);

/* Bytes that ch_eio_add adds, with a separator. */
size_t ch_eio_size(const ch_chunk_t *packet);

#endif
