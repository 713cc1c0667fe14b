/* A request on its way through the stages. No room but httpd/ knows more of
 * the server than this. */
#ifndef CH_WEB_REQUEST_H
#define CH_WEB_REQUEST_H

#include <apr_file_io.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/trace.h"
#include "conf.h"
#include "store/counter.h"
#include "store/db.h"
#include "web/route.h"

/* Takes the next bytes of a body. An error ends the reading. */
typedef ch_err_t *ch_body_taker_t(void *ctx, const char *data, size_t len);

/* What httpd/ lends to the other rooms. */
typedef struct {
    /* Reads the whole body, at most max bytes, into *out (request's pool).
     * PAYLOAD_TOO_LARGE, VALIDATION_ERROR (cut off), or another error. */
    ch_err_t *(*read_body)(ch_req_t *rq, size_t max, ch_bytes_t *out);
    /* The same piece by piece, none of which is kept: what take answers is
     * passed on, PAYLOAD_TOO_LARGE comes as soon as max is passed. */
    ch_err_t *(*stream_body)(ch_req_t *rq, apr_off_t max,
                             ch_body_taker_t *take, void *ctx);
    /* One line to the error log. level: 'e', 'w', 'n', 'i'. number: CHnnnn.
     * Control characters are escaped there. */
    void (*log)(ch_req_t *rq, char level, int number, const char *text);
    /* Keeps a security event in the database, as far as it can. */
    void (*event)(ch_req_t *rq, const char *type, const char *pattern);
    /* One line to the log of security events (ChronicleLog security): what
     * happened, and more about it (NULL = nothing). */
    void (*security)(ch_req_t *rq, const char *event, const char *detail);
    /* "https://name:port" by the server's own settings, never by the Host
     * header, which the client writes. */
    const char *(*own_url)(ch_req_t *rq);
    /* The user that another module of the server has authenticated for this
     * request, NULL when there is none. Never anything the client wrote. */
    const char *(*remote_user)(ch_req_t *rq);
    /* Opens a file for sending, in the request's pool, as the server's
     * settings want it. */
    apr_status_t (*open_file)(ch_req_t *rq, const char *path,
                              apr_file_t **out);
} ch_io_t;

/* Who calls. Filled by auth/identify and completed by auth/permit. */
typedef enum { CH_ROLE_USER, CH_ROLE_MANAGER, CH_ROLE_ADMIN } ch_role_e;

struct ch_principal_t {
    const char *user_id;
    const char *session_id; /* NULL: known without a session of ours, by
                             * another module or by Basic */
    const char *email;      /* NULL until somebody asked for it */
    ch_role_e role;
    int verified;
    int cookie; /* known by a session cookie, not by a token */
    int sure;   /* session and user were looked up; before that only the
                 * signature is known to be good */
    unsigned char csrf[32]; /* SHA-256 of the CSRF token, of cookies */
};

/* A file that came in a part of multipart/form-data, with other parts that
 * are the members of rq->body. */
typedef struct {
    const char *filename; /* as the client calls it, UTF-8 without a path and
                           * without control characters; "" = it did not */
    const char *media;    /* Content-Type of the part, "" = none */
    apr_file_t *file;     /* without a name, at its beginning; it goes with
                           * the request's pool */
    apr_off_t size;       /* bytes, 0 is possible */
    const char *sha256;   /* hex, of all that was sent: the names and bytes of
                           * every part, but not the boundary, which clients
                           * make anew when they try again */
} ch_upload_t;

/* What will be sent. */
typedef struct {
    int status;
    ch_code_e code;            /* of an error, for the logs */
    ch_buf_t *body;            /* NULL = none */
    const char *content_type;  /* NULL = JSON */
    const char *cache_control; /* NULL = no-store */
    const char *csp;           /* NULL = the API's */
    int whole;                 /* sent even to who has this version: it holds
                                * something that has changed since */
    apr_file_t *spilled;       /* what comes before body, of an answer too
                                * long for memory */
    apr_off_t spilled_size;
    const char *file;          /* send this file instead of body */
    apr_file_t *open_file;     /* or this one: a download */
    apr_off_t file_start, file_size; /* the part of it that is sent */
} ch_reply_t;

struct ch_req_t {
    apr_pool_t *pool;
    const ch_io_t *io;
    void *io_ctx; /* httpd's request */
    const ch_conf_t *conf;
    const ch_router_t *router;

    /* as it came in */
    apr_time_t start;
    const char *method_name;
    ch_method_e method; /* HEAD is CH_HEAD here, GET to the router */
    const char *raw_path;
    const char *sent_path; /* as it was sent, before httpd took out ../ */
    const char *args;    /* raw query string, NULL = none */
    apr_table_t *in;     /* headers */
    const char *client_ip;
    const char *host;    /* Host, with port */
    int tls;
    apr_off_t body_size; /* -1 = chunked, 0 = none */
    const char *request_id;
    ch_trace_t trace; /* for upstream calls: ch_trace_child() */

    /* found on the way */
    ch_match_t match;
    const ch_route_t *route;
    ch_err_t *credential_fault; /* what is wrong with what was sent */
    ch_principal_t *who;        /* NULL = anonymous */
    ch_err_t *faults;             /* collected by validation */
    void *query;                  /* struct of route->query */
    void *body;                   /* struct of route->body */
    apr_uint64_t query_given;     /* bit per row that was there */
    apr_uint64_t given;           /* of the body, null counts */
    apr_uint64_t nulls;           /* of the body: it was null */
    ch_bytes_t raw_body;
    const ch_json_t *json;
    int form; /* the body is application/x-www-form-urlencoded */
    const ch_upload_t *upload;    /* NULL = none, it was JSON */
    const apr_array_header_t *texts; /* its other parts: of ch_pair_t */
    const char *filter_key;       /* query without paging, for cursors */
    const apr_array_header_t *if_match; /* of apr_int64_t; NULL = any */
    const char *canonical;        /* path, without aliases */
    const char *idem_key;         /* NULL = none */
    ch_db_t *db;
    apr_array_header_t *told;     /* what `after` is about; NULL = nothing */
    void (*after)(ch_req_t *rq);  /* called when all is committed; NULL = no */

    /* the answer */
    apr_table_t *out; /* headers */
    ch_reply_t reply;
    int done;         /* reply is set: no further stage */
    int answered;     /* by a filter of the server: nothing is sent */
};

/* Whether a body member was given (null included), and its value as a
 * pointer for statements' optional parameters. */
int ch_req_given(const ch_req_t *rq, size_t offset);
int ch_req_is_null(const ch_req_t *rq, size_t offset);

#define CH_GIVEN(rq, T, member) ch_req_given(rq, offsetof(T, member))

/* Pointer to the member when given and not null, else NULL. */
#define CH_OPT(rq, T, member)                                                 \
    (CH_GIVEN(rq, T, member) && !ch_req_is_null(rq, offsetof(T, member))      \
         ? &((const T *)(rq)->body)->member                                   \
         : NULL)

/* The same of parameters in the query: an empty one was not given. */
int ch_req_query_given(const ch_req_t *rq, size_t offset);

#define CH_QUERY_OPT(rq, T, member)                                           \
    (ch_req_query_given(rq, offsetof(T, member))                              \
         ? &((const T *)(rq)->query)->member                                  \
         : NULL)

/* A request header, NULL when absent. */
const char *ch_req_header(const ch_req_t *rq, const char *name);

/* Length of an entity tag as it was made here: without its closing quote and
 * without the "-gzip" or "-br" that a compressing filter put before it. tag:
 * len bytes that end with a quote. */
size_t ch_req_tag_len(const char *tag, size_t len);

/* What the client calls itself, as a line of valid UTF-8 of at most
 * CH_AGENT_MAX bytes; NULL when it does not. */
const char *ch_req_agent(const ch_req_t *rq);

/* A cookie's value (RFC 6265), NULL when absent or empty. */
const char *ch_req_cookie(const ch_req_t *rq, const char *name);

/* Adds a Set-Cookie header. seconds 0 clears the cookie. */
void ch_req_set_cookie(ch_req_t *rq, const char *name, const char *value,
                       int seconds, int http_only);

/* Where people's browsers go from a mail: ChronicleFrontendUrl or own host,
 * without a trailing slash. */
const char *ch_req_frontend_url(ch_req_t *rq);

/* Stages in web/: NULL goes on. */
ch_err_t *ch_secure_stage(ch_req_t *rq);  /* 2: suspicious requests */
ch_err_t *ch_cors_stage(ch_req_t *rq);    /* 3 */
ch_err_t *ch_match_stage(ch_req_t *rq);   /* 4 and 5 */
ch_err_t *ch_limit_stage(ch_req_t *rq);   /* 6 */
ch_err_t *ch_user_limit_stage(ch_req_t *rq); /* after 7: classes ai, chat */
ch_err_t *ch_body_stage(ch_req_t *rq);    /* 11 and 12 */
ch_err_t *ch_validate_stage(ch_req_t *rq); /* 13 */
ch_err_t *ch_handler_stage(ch_req_t *rq); /* 14 to 20 */

/* Whether a request may act on what its browser sends by itself: a safe
 * method, or an allowed Origin, or none. */
int ch_cors_is_trusted(const ch_req_t *rq);

/* No Origin, or an allowed one. */
int ch_cors_allows(const ch_req_t *rq);

/* A class that goes by address, for attempts of which only the failed ones
 * count: seconds until this address may try again, 0 = it may now. */
int ch_limit_wait(ch_req_t *rq, ch_rate_e rate);
void ch_limit_failed(ch_req_t *rq, ch_rate_e rate);

/* A security event: a counter, a line in the logs, a row. */
void ch_secure_event(ch_req_t *rq, ch_security_e type, const char *pattern);

/* A caller who was not accepted: a counter, a line in the security log. */
void ch_secure_failure(ch_req_t *rq, ch_auth_failure_e reason);

#endif
