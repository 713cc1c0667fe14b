/* The short stages: is there such a route, may this caller go on, read the
 * body. */
#include <string.h>

#include <arpa/inet.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "store/counter.h"
#include "store/limit.h"
#include "web/multipart.h"
#include "web/reply.h"
#include "web/upload.h"

/* --- route ------------------------------------------------------------ */

static const char *allow_of(apr_pool_t *pool, unsigned methods)
{
    const char *allow = "";
    int i;

    methods |= 1u << CH_OPTIONS;
    for (i = 0; i < CH_METHOD__COUNT; i++) {
        if (methods >> i & 1) {
            allow = apr_pstrcat(pool, allow, *allow ? ", " : "",
                                ch_method_names[i], NULL);
        }
    }
    return allow;
}

/* The canonical path of what was asked for. */
static const char *canonical_path(const ch_req_t *rq)
{
    const ch_route_t *route =
        rq->match.route ? rq->match.route : rq->match.any;
    ch_buf_t *out;
    const char *at;
    int i = 0;

    out = ch_buf_make(rq->pool, 128, CH_BODY_MAX);
    for (at = route->path; *at; at++) {
        if (*at != '{') {
            ch_buf_putc(out, *at);
            continue;
        }
        ch_buf_puts(out, apr_pescape_path_segment(rq->pool,
                                                  rq->match.param[i++]));
        at += strcspn(at, "}");
    }
    return ch_buf_cstr(out);
}

static void mark_deprecated(ch_req_t *rq)
{
    apr_table_setn(rq->out, "Deprecation", "true");
    apr_table_setn(rq->out, "Link",
                   apr_psprintf(rq->pool,
                                "<%s>; rel=\"successor-version\"",
                                rq->canonical));
}

ch_err_t *ch_match_stage(ch_req_t *rq)
{
    if (!rq->match.known) {
        return ch_err_make(rq->pool, CH_E_ROUTE_NOT_FOUND, NULL);
    }
    rq->route = rq->match.route;
    rq->canonical = canonical_path(rq);
    if (rq->match.deprecated
        || (rq->route && (rq->route->flags & CH_OLD_PATH))) {
        mark_deprecated(rq);
    }
    if (rq->route) {
        return NULL;
    }
    apr_table_setn(rq->out, "Allow", allow_of(rq->pool, rq->match.methods));
    if (rq->method != CH_OPTIONS) {
        return ch_err_make(rq->pool, CH_E_METHOD_NOT_ALLOWED, NULL);
    }
    rq->reply.status = 204;
    rq->done = 1;
    return NULL;
}

/* --- limits ----------------------------------------------------------- */

static int is_by_user(ch_rate_e rate)
{
    return rate == CH_RATE_AI || rate == CH_RATE_CHAT;
}

static int is_by_address(ch_rate_e rate)
{
    return rate == CH_RATE_AUTH || rate == CH_RATE_PROVISION
           || rate == CH_RATE_PROVGEN || rate == CH_RATE_FORMS
           || rate == CH_RATE_WEBHOOK;
}

/* The address, of IPv6 only its /64: one customer has as many as he likes. */
static const char *address_key(const ch_req_t *rq)
{
    unsigned char bytes[16];

    if (inet_pton(AF_INET6, rq->client_ip, bytes) != 1
        || memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) {
        return rq->client_ip;
    }
    return apr_pescape_hex(rq->pool, bytes, 8, 0);
}

static ch_limit_t limit_of(const ch_req_t *rq, ch_rate_e rate,
                           const char *caller)
{
    return (ch_limit_t){
        .redis = rq->conf->redis,
        .secret = rq->conf->redis_key,
        .conf = rq->conf->id,
        .rate = ch_rate_names[rate],
        .caller = caller,
        .limit = rq->conf->rate[rate].limit,
        .seconds = rq->conf->rate[rate].seconds,
    };
}

static ch_err_t *count(ch_req_t *rq, ch_rate_e rate, const char *caller)
{
    const ch_limit_t limit = limit_of(rq, rate, caller);
    ch_limit_state_t state;
    ch_err_t *err;

    if (!limit.limit) {
        return NULL;
    }
    state = ch_limit_take(rq->pool, &limit);
    apr_table_setn(rq->out, "RateLimit-Limit",
                   apr_itoa(rq->pool, state.limit));
    apr_table_setn(rq->out, "RateLimit-Remaining",
                   apr_itoa(rq->pool, state.remaining));
    apr_table_setn(rq->out, "RateLimit-Reset",
                   apr_itoa(rq->pool, state.reset));
    if (!state.refused) {
        return NULL;
    }
    ch_counter_limited(rate);
    err = ch_err_make(rq->pool, CH_E_RATE_LIMIT_EXCEEDED, NULL);
    err->retry_after = state.reset;
    return err;
}

ch_err_t *ch_limit_stage(ch_req_t *rq)
{
    ch_rate_e rate = rq->route->rate;

    if (rate == CH_RATE_NONE || is_by_user(rate)) {
        return NULL;
    }
    return count(rq, rate,
                 rq->who && !is_by_address(rate)
                     ? apr_pstrcat(rq->pool, "u", rq->who->user_id, NULL)
                     : address_key(rq));
}

ch_err_t *ch_user_limit_stage(ch_req_t *rq)
{
    if (!rq->who || !is_by_user(rq->route->rate)) {
        return NULL;
    }
    return count(rq, rq->route->rate, rq->who->user_id);
}

int ch_limit_wait(ch_req_t *rq, ch_rate_e rate)
{
    const ch_limit_t limit = limit_of(rq, rate, address_key(rq));
    ch_limit_state_t state;

    if (!limit.limit) {
        return 0;
    }
    state = ch_limit_peek(rq->pool, &limit);
    return state.refused ? state.reset : 0;
}

void ch_limit_failed(ch_req_t *rq, ch_rate_e rate)
{
    const ch_limit_t limit = limit_of(rq, rate, address_key(rq));

    if (limit.limit && ch_limit_take(rq->pool, &limit).refused) {
        ch_counter_limited(rate);
    }
}

/* --- body ------------------------------------------------------------- */

/* This media type, perhaps with charset=utf-8, in any case. */
static int is_media(const char *type, const char *name)
{
    size_t len = strlen(name);
    const char *rest;

    if (strncasecmp(type, name, len) != 0) {
        return 0;
    }
    rest = type + len + strspn(type + len, " \t");
    if (!*rest) {
        return 1;
    }
    if (*rest != ';') {
        return 0;
    }
    rest += 1 + strspn(rest + 1, " \t");
    if (strncasecmp(rest, "charset=", 8) != 0) {
        return !*rest;
    }
    rest += 8;
    if (*rest == '"') {
        return strcasecmp(rest, "\"utf-8\"") == 0;
    }
    return strcasecmp(rest, "utf-8") == 0;
}

/* Where every field is optional an empty body is {}. */
static int takes_empty(const ch_route_t *route)
{
    int i;

    for (i = 0; route->body && i < route->body->count; i++) {
        if ((route->body->rows[i].flags & CH_REQUIRED)
            && !ch_route_updates(route)) {
            return 0;
        }
    }
    return 1;
}

static ch_err_t *wrong_media(const ch_req_t *rq)
{
    return ch_err_make(rq->pool, CH_E_UNSUPPORTED_MEDIA_TYPE,
                       rq->route->upload_max
                           ? "Send application/json or multipart/form-data"
                           : NULL);
}

ch_err_t *ch_body_stage(ch_req_t *rq)
{
    const char *type = ch_req_header(rq, "Content-Type");
    ch_err_t *err;

    if (rq->route->upload_max && type && ch_multipart_is(type)) {
        return ch_upload_read(rq);
    }
    rq->form = type && (rq->route->flags & CH_FORM)
               && is_media(type, CH_FORM_MEDIA);
    if (rq->route->method == CH_GET || !rq->body_size) {
        rq->raw_body.data = "";
    }
    else if (type && !rq->form && !is_media(type, "application/json")) {
        return wrong_media(rq);
    }
    else if (rq->body_size > CH_BODY_MAX) {
        return ch_err_make(rq->pool, CH_E_PAYLOAD_TOO_LARGE, NULL);
    }
    else {
        err = rq->io->read_body(rq, CH_BODY_MAX, &rq->raw_body);
        if (err) {
            return err;
        }
    }
    if (rq->raw_body.len && !type) {
        return wrong_media(rq);
    }
    if (rq->raw_body.len && rq->form) {
        return NULL; /* taken apart where its fields are looked at */
    }
    if (rq->raw_body.len) {
        return ch_json_parse(rq->pool, rq->raw_body.data, rq->raw_body.len,
                             CH_JSON_DEPTH_MAX, &rq->json);
    }
    if (rq->route->method != CH_GET && !takes_empty(rq->route)) {
        return ch_err_make(rq->pool, CH_E_MALFORMED_JSON,
                           "The body is empty");
    }
    return NULL;
}
