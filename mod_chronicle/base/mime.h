/* Messages of RFC 5322: what a mail server is given. Nothing that a field
 * holds can become another header or an end of the message. */
#ifndef CH_BASE_MIME_H
#define CH_BASE_MIME_H

#include "base/buf.h"

#define CH_MIME_MAX (16u * 1024 * 1024) /* bytes of a message */

/* Somebody's address, and the name before it. */
typedef struct ch_mailbox_t {
    const char *name;    /* NULL = none; any UTF-8 */
    const char *address; /* its domain is in ASCII */
} ch_mailbox_t;

typedef struct {
    ch_mailbox_t from;
    ch_mailbox_t to;
    const char *subject; /* any text */
    const char *text;
    const char *html; /* NULL = none */
    const char *id;   /* letters, digits and -; the same at each try */
    apr_time_t date;
} ch_mime_t;

/* Reads "notes@example.com", "<notes@example.com>", "Notes <notes@…>" or
 * "\"Notes, Ltd.\" <notes@…>"; 0 for anything else. */
int ch_mime_mailbox(apr_pool_t *pool, const char *text, ch_mailbox_t *out);

/* The address with its domain in ASCII (its local part may hold other
 * letters), in pool; NULL when it is none (API.md 1.4). */
const char *ch_mime_address(apr_pool_t *pool, const char *text);

/* Whether an address, made by the above, needs a server with SMTPUTF8. */
int ch_mime_needs_utf8(const char *address);

/* The message, in pool: every line ends with CR LF, has at most 998 bytes and
 * does not begin with a dot; all is ASCII, but for addresses that need
 * SMTPUTF8. What is no UTF-8 or no character of a header is replaced. NULL
 * when it would be longer than CH_MIME_MAX. */
ch_buf_t *ch_mime_write(apr_pool_t *pool, const ch_mime_t *mail);

#endif
