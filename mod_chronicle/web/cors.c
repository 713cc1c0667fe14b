/* Decides which origins may read answers and send writes (API.md 1.10). */
#include <string.h>

#include <apr_strings.h>

#include "store/counter.h"
#include "web/request.h"

static const char exposed[] =
    "ETag, Location, X-Request-Id, Retry-After, RateLimit-Limit, "
    "RateLimit-Remaining, RateLimit-Reset, Idempotent-Replayed, Deprecation, "
    "Link";
static const char methods[] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
static const char headers[] =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, "
    "Range, X-CSRF-Token, X-Request-Id, traceparent";

static int is_own(const ch_req_t *rq, const char *origin)
{
    const char *scheme = rq->tls ? "https://" : "http://";
    size_t len = strlen(scheme);

    return strncmp(origin, scheme, len) == 0
           && strcasecmp(origin + len, rq->host) == 0;
}

static int is_allowed(const ch_req_t *rq, const char *origin)
{
    const apr_array_header_t *list = rq->conf->origins;
    int i;

    if (is_own(rq, origin)) {
        return 1;
    }
    for (i = 0; list && i < list->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(list, i, const char *), origin) == 0) {
            return 1;
        }
    }
    return 0;
}

static int is_preflight(const ch_req_t *rq)
{
    return rq->method == CH_OPTIONS
           && ch_req_header(rq, "Access-Control-Request-Method");
}

int ch_cors_is_trusted(const ch_req_t *rq)
{
    const char *origin = ch_req_header(rq, "Origin");
    int safe = rq->method == CH_GET || rq->method == CH_HEAD
               || rq->method == CH_OPTIONS;

    /* a page of elsewhere may open a WebSocket and read what comes */
    if (ch_req_header(rq, "Upgrade")) {
        safe = 0;
    }
    return safe || !origin || is_allowed(rq, origin);
}

int ch_cors_allows(const ch_req_t *rq)
{
    const char *origin = ch_req_header(rq, "Origin");

    return !origin || is_allowed(rq, origin);
}

ch_err_t *ch_cors_stage(ch_req_t *rq)
{
    const char *origin = ch_req_header(rq, "Origin");

    if (!origin) {
        return NULL;
    }
    apr_table_mergen(rq->out, "Vary", "Origin");
    if (rq->match.route && (rq->match.route->flags & CH_NO_ORIGIN)) {
        return NULL;
    }
    if (!is_allowed(rq, origin)) {
        ch_secure_event(rq, CH_SECURITY_ORIGIN, origin);
        if (is_preflight(rq)
            || (rq->method != CH_GET && rq->method != CH_HEAD
                && rq->method != CH_OPTIONS)) {
            return ch_err_make(rq->pool, CH_E_SECURITY_VIOLATION,
                               "This origin is not allowed");
        }
        return NULL;
    }
    apr_table_setn(rq->out, "Access-Control-Allow-Origin", origin);
    apr_table_setn(rq->out, "Access-Control-Allow-Credentials", "true");
    apr_table_setn(rq->out, "Access-Control-Expose-Headers", exposed);
    if (is_preflight(rq)) {
        apr_table_setn(rq->out, "Access-Control-Allow-Methods", methods);
        apr_table_setn(rq->out, "Access-Control-Allow-Headers", headers);
        apr_table_setn(rq->out, "Access-Control-Max-Age", "600");
    }
    return NULL;
}
