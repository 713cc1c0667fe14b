/* Makes sessions: their secrets, tokens and cookies. */
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "auth/auth.h"
#include "auth/refresh.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/seal.h"
#include "base/uuid.h"
#include "store/bus.h"
#include "store/seat.h"
#include "web/reply.h"

#define COOKIE_BYTES 32

const char *ch_session_cookie_hash(ch_req_t *rq, const char *cookie)
{
    return ch_seal_sha256_hex(rq->pool, cookie, strlen(cookie));
}

void ch_session_draft(ch_req_t *rq, int cookie, ch_session_t *out)
{
    unsigned char *key = apr_palloc(rq->pool, CH_REFRESH_KEY_LEN);

    memset(out, 0, sizeof(*out));
    ch_seal_random(key, CH_REFRESH_KEY_LEN);
    out->id = ch_uuid_make(rq->pool);
    out->kind = cookie ? "cookie" : "token";
    out->refresh_key.data = (const char *)key;
    out->refresh_key.len = CH_REFRESH_KEY_LEN;
    out->issued_seconds = (apr_uint32_t)apr_time_sec(rq->start);
    out->issued = ch_clock_text(rq->pool,
                                apr_time_from_sec(out->issued_seconds));
    if (cookie) {
        out->cookie = ch_seal_token(rq->pool, COOKIE_BYTES);
        out->csrf = ch_seal_token(rq->pool, COOKIE_BYTES);
        out->token_hash = ch_session_cookie_hash(rq, out->cookie);
        out->csrf_hash =
            ch_seal_sha256_hex(rq->pool, out->csrf, strlen(out->csrf));
    }
    else {
        out->token_hash =
            ch_seal_sha256_hex(rq->pool, key, CH_REFRESH_KEY_LEN);
    }
}

void ch_session_write_tokens(ch_req_t *rq, ch_buf_t *buf,
                             const ch_tokens_t *tokens)
{
    apr_int64_t now = apr_time_sec(apr_time_now());
    const ch_claims_t claims = {
        .sub = tokens->user_id,
        .sid = tokens->session_id,
        .email = tokens->email,
        .role = tokens->role,
        .iat = now,
        .nbf = now,
        .exp = now + CH_ACCESS_SECONDS,
    };

    CH_BUF_LIT(buf, "{\"accessToken\":");
    ch_jsonw_cstr(buf, ch_jwt_sign(rq->pool, &rq->conf->jwt_keys[0],
                                   &claims));
    CH_BUF_LIT(buf, ",\"refreshToken\":");
    ch_jsonw_cstr(buf, ch_refresh_make(rq->pool, rq->conf->refresh_key,
                                       tokens->refresh_key,
                                       tokens->session_id, tokens->counter,
                                       tokens->issued));
    ch_buf_printf(buf,
                  ",\"tokenType\":\"Bearer\",\"expiresIn\":%d,"
                  "\"refreshExpiresIn\":%d}",
                  CH_ACCESS_SECONDS, CH_REFRESH_SECONDS);
}

void ch_session_write(ch_req_t *rq, ch_buf_t *buf,
                      const ch_session_t *session, const ch_fields_t *fields,
                      const ch_rows_t *user)
{
    const ch_tokens_t tokens = {
        .user_id = ch_rows_text(user, 0, "id"),
        .email = ch_rows_text(user, 0, "email"),
        .role = ch_rows_text(user, 0, "role"),
        .session_id = session->id,
        .refresh_key = (const unsigned char *)session->refresh_key.data,
        .counter = 0,
        .issued = session->issued_seconds,
    };

    CH_BUF_LIT(buf, "{\"user\":");
    ch_reply_write_row(buf, fields, user, 0);
    CH_BUF_LIT(buf, ",\"tokens\":");
    if (session->cookie) {
        CH_BUF_LIT(buf, "null");
        ch_req_set_cookie(rq, CH_SESSION_COOKIE, session->cookie,
                          CH_SESSION_SECONDS, 1);
        ch_req_set_cookie(rq, CH_CSRF_COOKIE, session->csrf,
                          CH_SESSION_SECONDS, 0);
    }
    else {
        ch_session_write_tokens(rq, buf, &tokens);
    }
    CH_BUF_LIT(buf, ",\"csrfToken\":");
    ch_jsonw_cstr(buf, session->csrf);
    ch_buf_putc(buf, '}');
}

void ch_session_clear_cookies(ch_req_t *rq)
{
    ch_req_set_cookie(rq, CH_SESSION_COOKIE, "", 0, 1);
    ch_req_set_cookie(rq, CH_CSRF_COOKIE, "", 0, 0);
}

void ch_session_forget(ch_req_t *rq, const char *session_id)
{
    unsigned char id[16];

    if (ch_uuid_bytes(session_id, id)) {
        ch_seat_drop_session(id);
        ch_bus_tell(rq->conf->redis, rq->pool, 's', session_id);
    }
}

void ch_session_forget_user(ch_req_t *rq, const char *user_id)
{
    unsigned char id[16];

    if (ch_uuid_bytes(user_id, id)) {
        ch_seat_drop_user(id);
        ch_bus_tell(rq->conf->redis, rq->pool, 'u', user_id);
    }
}

int ch_session_key(const char *hex, unsigned char key[32])
{
    apr_size_t len = 0;

    if (hex && strncmp(hex, "\\x", 2) == 0) {
        hex += 2; /* Postgres' bytea */
    }
    return hex && strlen(hex) == 64
           && apr_unescape_hex(key, hex, 64, 0, &len) == APR_SUCCESS
           && len == 32;
}
