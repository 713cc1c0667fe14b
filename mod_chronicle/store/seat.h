/* The principal cache: who sits behind a session, in shared memory, so that
 * most requests need no look-up. Entries are at most CH_SEAT_SECONDS old; a
 * change drops them at once in every process of this server. */
#ifndef CH_STORE_SEAT_H
#define CH_STORE_SEAT_H

#include "chronicle.h"

#define CH_SEAT_SECONDS 10

/* Fixed size, no pointers: it lies in shared memory. */
typedef struct {
    unsigned char session[16];
    unsigned char user[16];
    unsigned char csrf[32]; /* SHA-256 of the CSRF token, zero = none */
    apr_uint32_t expires;   /* of the session, seconds */
    unsigned char role;     /* ch_role_e */
    unsigned char verified;
    unsigned char cookie;
    unsigned char remote; /* no session: another module's login */
    apr_int32_t site;     /* the database that knows them */
} ch_seat_t;

void ch_seat_open(void *memory);
size_t ch_seat_size(void);

/* The entry of a key (16 bytes: session id, head of a cookie's hash or of an
 * address' MAC): 1 and a copy, or 0. */
int ch_seat_get(const unsigned char key[16], ch_seat_t *out);

/* Before a look-up in the database; what was found is then put in with it.
 * If anything was dropped in between, put does nothing: a row read before a
 * revocation can never come in after it. */
apr_uint64_t ch_seat_epoch(void);
void ch_seat_put(const unsigned char key[16], const ch_seat_t *seat,
                 apr_uint64_t epoch);

/* After the change is committed, before the answer goes out. */
void ch_seat_drop_session(const unsigned char session[16]);
void ch_seat_drop_user(const unsigned char user[16]);
void ch_seat_drop_all(void);

#endif
