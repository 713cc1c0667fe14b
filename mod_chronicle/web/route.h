/* Route rows: everything that is declared about an endpoint, and the tree
 * that finds a row by path and method. */
#ifndef CH_WEB_ROUTE_H
#define CH_WEB_ROUTE_H

#include "conf.h"
#include "store/counter.h"
#include "web/field.h"

typedef enum {
    CH_GET,
    CH_POST,
    CH_PUT,
    CH_PATCH,
    CH_DELETE,
    CH_HEAD,
    CH_OPTIONS,
    CH_METHOD__COUNT,
    CH_METHOD_OTHER = CH_METHOD__COUNT
} ch_method_e;

extern const char *const ch_method_names[CH_METHOD__COUNT];

typedef enum { CH_PUBLIC, CH_OPTIONAL, CH_USER, CH_MANAGER, CH_ADMIN }
ch_auth_e;

extern const char *const ch_auth_names[CH_ADMIN + 1];

/* Flags of a route. */
#define CH_VERSIONED 0x01  /* V: ETag of `version`, If-Match */
#define CH_NO_304 0x02     /* V without If-None-Match (API.md 1.8) */
#define CH_IDEMPOTENT 0x04 /* I: takes Idempotency-Key */
#define CH_ROOT 0x08       /* section 2: not enveloped, lenient query */
#define CH_LIST 0x10       /* data is {items:[out],pagination} */
#define CH_NULL_DATA 0x20  /* data is null */
#define CH_SUBPATHS 0x40   /* the row serves every path below it, too */
#define CH_NO_ORIGIN 0x80  /* exempt from the Origin rule */
#define CH_KNOWS 0x100     /* public, but a caller is recognised; what is
                            * wrong with a credential waits in the request */
#define CH_ENVELOPED 0x100 /* of CH_ROOT: in the envelope all the same */
#define CH_OWN_503 0x200   /* of CH_ROOT: 503 answers the same document */
#define CH_READS 0x800 /* not GET, but it changes nothing of the area */
#define CH_APART 0x8000 /* I: not done in one transaction (ch_idem_t) */
#define CH_AGAIN 0x1000 /* of 201: 200 when it was there already */
#define CH_OLD_PATH 0x2000 /* an alias whose fields stand elsewhere: the
                            * handler names the canonical path */
#define CH_AUTHORS 0x4000 /* changes what anybody may see of a user */
#define CH_FORM 0x10000 /* the body may come as an HTML form, too: of rows
                         * whose value is a string or stands for one */
#define CH_FILE 0x400      /* a download: bytes of `media`, not enveloped; and
                            * parts of them (206) where RANGE_NOT_SATISFIABLE
                            * is among its codes */

#define CH_FORM_MEDIA "application/x-www-form-urlencoded"

typedef ch_err_t *ch_handler_t(ch_req_t *rq);

struct ch_route_t {
    ch_method_e method;
    const char *path; /* full, "{name}" a UUID, "{name:int}", "{name:str}" */
    const char *alias[2]; /* further paths of the same meaning */
    ch_auth_e auth;
    ch_rate_e rate;
    ch_feature_e feature;
    unsigned flags;
    ch_cache_e cache; /* of GET: answers are kept there */
    int ok; /* status of success */
    const ch_fields_t *query;
    const ch_fields_t *body;
    const ch_fields_t *out;
    const ch_fields_t *later; /* of 202: the work goes on in the background,
                               * and this tells of it; NULL = never */
    const ch_code_e *codes; /* its own beside the general ones */
    int code_count;
    size_t upload_max; /* offset in ch_conf_t of the apr_off_t of bytes that a
                        * file may have; 0 = no uploads. Where it is set the
                        * body may also be multipart/form-data, with a part
                        * "file" and the rows of `body` as text */
    const char *media; /* of the answer, NULL = application/json; of CH_FILE
                        * two may be named, with a blank between them */
    ch_handler_t *handler;
    void (*kept)(ch_req_t *rq); /* called when a kept answer is given in the
                                 * handler's place; NULL = nothing */
    const char *tag;
    const char *summary;
    const char *doc; /* more than a line, may be NULL */
};

#define CH_ROUTE_CODES(...)                                                   \
    .codes = (const ch_code_e[]){ __VA_ARGS__ },                              \
    .code_count = (int)CH_COUNT(((const ch_code_e[]){ __VA_ARGS__ }))

/* A resource's table; api/api.c lists them. */
typedef struct {
    const ch_route_t *rows;
    int count;
} ch_routes_t;

#define CH_ROUTES(table_rows)                                                 \
    { .rows = table_rows, .count = (int)CH_COUNT(table_rows) }

#define CH_PARAMS_MAX 4

/* What a path led to. */
typedef struct {
    const ch_route_t *route; /* NULL: no such path, or not this method */
    const ch_route_t *any;   /* a row of this path, whatever its method */
    int known;               /* the path is there */
    int deprecated;          /* reached by an alias or without /v1 */
    unsigned methods;        /* bits 1 << ch_method_e of the path */
    int param_count;
    const char *param[CH_PARAMS_MAX]; /* decoded */
    const char *rest; /* of CH_SUBPATHS: what follows, without slash */
} ch_match_t;

typedef struct ch_router_t ch_router_t;

/* Builds the tree in pool. Every PUT row is also reached by PATCH. Returns
 * NULL and *why when two rows claim one path and method. */
ch_router_t *ch_router_make(apr_pool_t *pool, const ch_routes_t *const *tables,
                            int count, const char **why);

/* All rows in order, for the documents and the metrics. */
int ch_router_count(const ch_router_t *router);
const ch_route_t *ch_router_row(const ch_router_t *router, int index);
int ch_router_index(const ch_router_t *router, const ch_route_t *route);

/* Whether a raw (percent-encoded) path is ours at all. */
int ch_router_claims(const ch_router_t *router, const char *raw_path);

/* Finds what a raw path leads to. features: areas that are on. */
void ch_router_match(const ch_router_t *router, apr_pool_t *pool,
                     const char *raw_path, ch_method_e method,
                     const char *features, ch_match_t *out);

/* Whether ChronicleRequireVerifiedEmail keeps unverified users out. */
int ch_route_needs_verified(const ch_route_t *route);

/* Whether it may change a user's notes or folders; or what anybody reads
 * without an account. */
int ch_route_writes_notes(const ch_route_t *route);
int ch_route_writes_public(const ch_route_t *route);

/* Whether the body is a partial update: nothing in it is required. */
int ch_route_updates(const ch_route_t *route);

/* The parameter's name and kind in a row's path: 'u'uid, 'i'nt, 's'tr. */
const char *ch_route_param(apr_pool_t *pool, const ch_route_t *route,
                           int index, char *kind);

/* The path as the OpenAPI document writes it: "{id:int}" is "{id}". */
const char *ch_route_template(apr_pool_t *pool, const ch_route_t *route);

#endif
