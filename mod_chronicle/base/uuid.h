/* UUIDs as text and bytes. */
#ifndef CH_BASE_UUID_H
#define CH_BASE_UUID_H

#include "chronicle.h"

/* A new UUIDv7 (RFC 9562: 48 bits of milliseconds, then random bits; within
 * one thread later ones sort after earlier ones), lower case. */
const char *ch_uuid_make(apr_pool_t *pool);

/* Whether text is a UUID of any version in 8-4-4-4-12 form, either case; if
 * so its lower case form is written to out[CH_UUID_LEN + 1] (may be NULL). */
int ch_uuid_parse(const char *text, size_t len, char *out);

/* Between the text form and 16 bytes. ch_uuid_bytes returns 0 for no UUID. */
int ch_uuid_bytes(const char *text, unsigned char out[16]);
void ch_uuid_text(const unsigned char bytes[16], char out[CH_UUID_LEN + 1]);

/* Adds the text of an id to an array of const char *, in its pool. */
void ch_uuid_push(apr_array_header_t *texts, const unsigned char bytes[16]);

#endif
