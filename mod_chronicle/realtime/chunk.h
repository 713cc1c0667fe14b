/* Bytes on their way to clients: made once, sent to one or to many, never
 * changed. A chunk made as a packet carries its WebSocket frame header in
 * front, so that the same bytes serve websockets (all of it) and polling (what
 * follows the header). Whoever makes one may do so in any thread; once it was
 * handed to the loop, only the loop's thread touches it. */
#ifndef CH_REALTIME_CHUNK_H
#define CH_REALTIME_CHUNK_H

#include "chronicle.h"

typedef struct {
    int refs;
    unsigned char head;   /* bytes of the frame header, 0 = none */
    unsigned char binary; /* the packet is an attachment, not text */
    size_t len;           /* header and packet */
    char data[];
} ch_chunk_t;

/* Each is born with one reference. An Engine.IO packet of this type ('0' to
 * '6') in a text frame; an attachment in a binary one; bytes as they are. */
ch_chunk_t *ch_chunk_packet(char type, const char *text, size_t len);
ch_chunk_t *ch_chunk_binary(const char *data, size_t len);
ch_chunk_t *ch_chunk_raw(const char *data, size_t len);

/* As ch_chunk_packet, of several parts one after the other. */
ch_chunk_t *ch_chunk_join(char type, const ch_bytes_t *parts, int count);

/* Another reference, and one less; NULL has none. */
ch_chunk_t *ch_chunk_hold(ch_chunk_t *chunk);
void ch_chunk_drop(ch_chunk_t *chunk);

#endif
