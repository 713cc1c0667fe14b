/* Hands messages to a mail server (SMTP, RFC 5321). */
#ifndef CH_NET_SMTP_H
#define CH_NET_SMTP_H

#include "base/buf.h"
#include "net/net.h"

/* --- the server, as httpd.conf names it (smtp_url.c) ------------------- */

typedef enum {
    CH_SMTP_TLS_OFFERED,  /* STARTTLS where the server offers it */
    CH_SMTP_TLS_REQUIRED, /* STARTTLS or nothing */
    CH_SMTP_TLS_NONE,
    CH_SMTP_TLS_IMPLICIT, /* from the first byte */
} ch_smtp_tls_e;

typedef struct ch_smtp_t ch_smtp_t;

struct ch_smtp_t {
    const char *host; /* a name or an address; IPv6 without brackets */
    int port;
    const char *user; /* NULL = no login */
    const char *password;
    ch_smtp_tls_e tls;
    const char *ca; /* file of certificates; NULL = the system's */
    int local;      /* the host is this machine */
};

/* Reads smtp://[user:password@]host[:port][?tls=required|none][&ca=/path] or
 * smtps://… with ca alone. Without tls=, the TLS of a login is required and
 * that of anything else used where it is offered. An error text, which does
 * not hold the password, or NULL. */
const char *ch_smtp_parse(apr_pool_t *pool, const char *url,
                          const ch_smtp_t **out);

/* The same from parts that are not encoded; port, user and password may be
 * NULL. Port 465 is implicit TLS. */
const char *ch_smtp_from_parts(apr_pool_t *pool, const ch_smtp_t *parts,
                               const char *port, const ch_smtp_t **out);

/* --- sending (smtp.c) -------------------------------------------------- */

/* A connection that is used for several messages; no more than one thread at
 * a time. */
typedef struct ch_smtp_session_t ch_smtp_session_t;

typedef struct {
    const char *from; /* addresses, their domains in ASCII */
    const char *to;
    int needs_utf8;       /* an address or header does (SMTPUTF8) */
    const ch_buf_t *data; /* lines end with CR LF */
} ch_smtp_mail_t;

typedef enum {
    CH_SMTP_SENT,
    CH_SMTP_RETRY,   /* another time it may work */
    CH_SMTP_REFUSED, /* this message will never be taken */
    CH_SMTP_STOPPED, /* stop asked for it; it may have been sent or not */
} ch_smtp_end_e;

typedef struct {
    ch_smtp_end_e end;
    int reply;   /* code of the server's last reply, 0 = none */
    int timeout; /* it took too long */
    int broken;  /* no message would have been taken: network, TLS, login */
    const char *text; /* what went wrong, in pool: valid UTF-8 of at most
                       * CH_SMTP_TEXT_MAX bytes, no secrets */
    apr_time_t took;
} ch_smtp_result_t;

#define CH_SMTP_TEXT_MAX 300

/* Connects to nothing yet. helo: what this host calls itself, NULL = its own
 * name. Ends with pool, which takes at most 2 seconds. NULL when memory is
 * short. */
ch_smtp_session_t *ch_smtp_open(apr_pool_t *pool, const ch_smtp_t *server,
                                const char *helo);

/* Sends one message, within CH_SMTP_SECONDS. */
void ch_smtp_send(ch_smtp_session_t *session, apr_pool_t *pool,
                  const ch_smtp_mail_t *mail, const ch_stop_t *stop,
                  ch_smtp_result_t *out);

#define CH_SMTP_SECONDS 30

#endif
