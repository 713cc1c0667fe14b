/* Runs the handler: under an Idempotency-Key once, not at all where its answer
 * is kept; and has what is kept forgotten when it writes. */
#include <string.h>

#include <apr_strings.h>

#include "base/jsonw.h"
#include "base/seal.h"
#include "base/uuid.h"
#include "store/idem.h"
#include "store/kept.h"
#include "web/reply.h"
#include "web/request.h"

static const char *const kept_headers[] = { "ETag", "Location" };

static const char *headers_as_json(ch_req_t *rq)
{
    ch_buf_t *buf = ch_buf_make(rq->pool, 256, CH_BODY_MAX);
    const char *comma = "{";
    size_t i;

    for (i = 0; i < CH_COUNT(kept_headers); i++) {
        const char *value = apr_table_get(rq->out, kept_headers[i]);

        if (value) {
            ch_buf_printf(buf, "%s\"%s\":", comma, kept_headers[i]);
            ch_jsonw_cstr(buf, value);
            comma = ",";
        }
    }
    ch_buf_puts(buf, *comma == '{' ? "{}" : "}");
    return ch_buf_cstr(buf);
}

static ch_err_t *replay(ch_req_t *rq, const ch_idem_answer_t *answer)
{
    const ch_json_t *headers;
    size_t i, len;
    ch_err_t *err = ch_json_parse(rq->pool, answer->headers,
                                  strlen(answer->headers), 2, &headers);

    if (err) {
        return err;
    }
    for (i = 0; i < CH_COUNT(kept_headers); i++) {
        const ch_json_t *value = ch_json_get(headers, kept_headers[i]);

        if (value) {
            apr_table_set(rq->out, kept_headers[i],
                          ch_json_string(value, &len));
        }
    }
    apr_table_setn(rq->out, "Idempotent-Replayed", "true");
    rq->reply.status = answer->status;
    rq->reply.body = ch_buf_make(rq->pool, strlen(answer->body) + 1,
                                 strlen(answer->body) + 1);
    ch_buf_puts(rq->reply.body, answer->body);
    return NULL;
}

static ch_err_t *perform_once(ch_req_t *rq)
{
    const ch_idem_t idem = {
        .scope = rq->who ? rq->who->user_id : rq->client_ip,
        .route = apr_pstrcat(rq->pool, ch_method_names[rq->route->method],
                             " ", rq->canonical, NULL),
        .key = rq->idem_key,
        .hash = rq->upload ? rq->upload->sha256
                           : ch_seal_sha256_hex(rq->pool, rq->raw_body.data,
                                                rq->raw_body.len),
        .apart = (rq->route->flags & CH_APART) != 0,
    };
    ch_idem_answer_t answer;
    ch_err_t *err = ch_idem_begin(rq->pool, rq->db, &idem, &answer);

    if (err || answer.status) {
        return err ? err : replay(rq, &answer);
    }
    err = rq->route->handler(rq);
    if (err) {
        ch_idem_abandon(rq->db, &idem);
        return err;
    }
    answer.status = rq->reply.status;
    answer.headers = headers_as_json(rq);
    answer.body = ch_buf_cstr(rq->reply.body);
    return ch_idem_end(rq->pool, rq->db, &idem, &answer);
}

static ch_err_t *perform(ch_req_t *rq)
{
    return rq->idem_key ? perform_once(rq) : rq->route->handler(rq);
}

/* --- answers that are kept -------------------------------------------- */

#define KEEP_MAX 262144 /* bytes of an answer */
#define WHOLE "!" /* before the kept ETag of one that is never a 304 */

/* For whom answers are kept, and how long. */
static const struct {
    int is_public; /* for callers without an account, all the same; else for
                    * each user his own */
    int seconds;
    const char *cache_control; /* NULL = as the handler has it */
} rules[CH_CACHE__COUNT] = {
    [CH_CACHE_NOTES] = { .seconds = 300 },
    [CH_CACHE_PUBLIC] = { .is_public = 1, .seconds = 60,
                          .cache_control = "public, no-cache" },
};

static int is_kept(const ch_req_t *rq)
{
    return rq->route->cache && rules[rq->route->cache].is_public == !rq->who;
}

/* Whose version an answer goes with; 0 when that is nobody's. */
static int reader_of(const ch_req_t *rq, unsigned char reader[16])
{
    if (rules[rq->route->cache].is_public) {
        memcpy(reader, ch_kept_public, 16);
        return 1;
    }
    return ch_uuid_bytes(rq->who->user_id, reader);
}

/* The key of this answer as things are now; 0 when nobody can tell whether
 * it is fresh. Cursors in the answer are sealed with the host's key, so hosts
 * with another one keep their own; and of public answers nothing but the
 * database tells whose they are, where several share a Redis. */
static int key_of(const ch_req_t *rq, const ch_kept_home_t *home,
                  unsigned char key[CH_SHA256_LEN])
{
    unsigned char user[16], version[CH_KEPT_VERSION];
    ch_buf_t *text;
    int i;

    if (!reader_of(rq, user) || !ch_kept_version(home, user, version)) {
        return 0;
    }
    text = ch_buf_make(rq->pool, 256, CH_BODY_MAX);
    ch_buf_add(text, version, sizeof(version));
    ch_buf_add(text, user, sizeof(user));
    ch_buf_add(text, rq->conf->cursor_key, sizeof(rq->conf->cursor_key));
    ch_buf_add(text, rq->conf->db_key, sizeof(rq->conf->db_key));
    ch_buf_printf(text, "%d %s ", rq->conf->site, rq->route->path);
    for (i = 0; i < rq->match.param_count; i++) {
        ch_buf_puts(text, rq->match.param[i]);
        ch_buf_putc(text, '\0');
    }
    ch_buf_puts(text, rq->match.rest ? rq->match.rest : "");
    ch_buf_putc(text, '\0');
    ch_buf_puts(text, rq->args ? rq->args : "");
    ch_seal_sha256(text->data, text->len, key);
    return !text->overflow;
}

static void keep(const ch_req_t *rq, const ch_kept_home_t *home,
                 const unsigned char *key)
{
    const char *etag = apr_table_get(rq->out, "ETag");
    const ch_buf_t *body = rq->reply.body;
    const char *head = !etag               ? ""
                       : !rq->reply.whole ? etag
                                          : apr_pstrcat(rq->pool, WHOLE,
                                                        etag, NULL);
    ch_kept_t kept = { .head = { head, strlen(head) }, .body = { "", 0 } };

    if (rq->reply.status == 200 && body && body->len <= KEEP_MAX) {
        kept.body = (ch_bytes_t){ body->data, body->len };
    }
    if (kept.head.len || kept.body.len) {
        ch_kept_put(home, key, &kept, rules[rq->route->cache].seconds);
    }
}

static ch_kept_home_t home_of(const ch_req_t *rq)
{
    return (ch_kept_home_t){ .pool = rq->pool,
                             .db = rq->db,
                             .redis = rq->conf->redis,
                             .site = rq->conf->site };
}

/* Not one that takes a caller's dead session from him: a proxy that keeps it
 * would do the same to others. */
static void mark_public(ch_req_t *rq)
{
    const char *how = rules[rq->route->cache].cache_control;

    if (how && !apr_table_get(rq->out, "Set-Cookie")) {
        rq->reply.cache_control = how;
    }
}

static int take_kept(ch_req_t *rq, const ch_kept_t *kept)
{
    const char *etag = kept->head.data;

    rq->reply.whole = *etag == *WHOLE;
    return ch_reply_kept(rq, etag + rq->reply.whole, kept->body);
}

static ch_err_t *answer(ch_req_t *rq)
{
    const ch_kept_home_t home = home_of(rq);
    unsigned char key[CH_SHA256_LEN];
    int can_keep = key_of(rq, &home, key);
    ch_kept_t kept;
    ch_err_t *err;

    if (can_keep && ch_kept_get(&home, key, &kept)
        && take_kept(rq, &kept)) {
        ch_counter_cache(rq->route->cache, 1);
        apr_table_setn(rq->out, "X-Cache", "HIT");
        mark_public(rq);
        if (rq->route->kept) {
            rq->route->kept(rq);
        }
        return NULL;
    }
    ch_counter_cache(rq->route->cache, 0);
    apr_table_setn(rq->out, "X-Cache", "MISS");
    err = rq->route->handler(rq);
    if (!err && can_keep) {
        keep(rq, &home, key);
    }
    if (!err) {
        mark_public(rq);
    }
    return err;
}

/* Whatever is written may show in a user's lists, or in everybody's. */
static ch_err_t *perform_write(ch_req_t *rq)
{
    const ch_kept_home_t home = home_of(rq);
    int is_public = ch_route_writes_public(rq->route);
    unsigned char user[16];
    int is_own = rq->who && ch_route_writes_notes(rq->route)
                 && ch_uuid_bytes(rq->who->user_id, user);
    ch_err_t *err;

    if (is_own) {
        ch_kept_begin(&home, user);
    }
    if (is_public) {
        ch_kept_begin(&home, ch_kept_public);
    }
    err = perform(rq);
    if (is_public) {
        ch_kept_end(&home, ch_kept_public);
    }
    if (is_own) {
        ch_kept_end(&home, user);
    }
    return err;
}

ch_err_t *ch_handler_stage(ch_req_t *rq)
{
    ch_err_t *err = rq->route->method != CH_GET ? perform_write(rq)
                    : is_kept(rq) ? answer(rq)
                                  : perform(rq);

    if (err) {
        return err;
    }
    if (rq->after) {
        rq->after(rq);
    }
    rq->done = 1;
    return NULL;
}
