/* Tests of auth/session: fresh secrets, and how they are handed over. */
#include "ch_request.h"
#include "ch_rows.h"

#include "auth/auth.h"
#include "store/bus.h"
#include "auth/refresh.h"
#include "base/clock.h"
#include "base/seal.h"
#include "base/uuid.h"

/* Nobody else listens. */
void ch_bus_tell(struct ch_redis_t *redis, apr_pool_t *p, char letter,
                 const char *id)
{
}

static const ch_secret_t keys[] = {
    { .kid = "1", .secret = "a secret of at least 32 bytes, yes", .len = 34 }
};

static ch_req_t *arrive(void)
{
    ch_req_t *rq = ch_request_make(CH_POST, "/api/v1/auth/login");

    conf->jwt_keys = keys;
    conf->jwt_key_count = 1;
    memset(conf->refresh_key, 3, sizeof(conf->refresh_key));
    return rq;
}

static const ch_field_t user_rows[] = {
    { .name = "id", .type = CH_T_UUID },
    { .name = "email", .type = CH_T_EMAIL },
};

static const ch_fields_t user_fields = { .rows = user_rows, .count = 2 };

#define USER "0198a000-0000-7000-8000-00000000000a"

static const ch_rows_t user = { .names = { "id", "email", "role" },
                                .count = 1,
                                .cells = (const char *const[]){ USER, "a@b.c",
                                                                "manager" } };

START_TEST(a_draft_by_token)
{
    ch_req_t *rq = arrive();
    ch_session_t one, two;
    apr_time_t issued;

    ch_session_draft(rq, 0, &one);
    ch_session_draft(rq, 0, &two);
    ck_assert_str_eq(one.kind, "token");
    ck_assert(ch_uuid_parse(one.id, strlen(one.id), NULL));
    ck_assert_str_ne(one.id, two.id);
    ck_assert_uint_eq(one.refresh_key.len, CH_REFRESH_KEY_LEN);
    ck_assert_mem_ne(one.refresh_key.data, two.refresh_key.data,
                     CH_REFRESH_KEY_LEN);
    ck_assert_str_ne(one.token_hash, two.token_hash);
    ck_assert_uint_eq(strlen(one.token_hash), 64);
    ck_assert_ptr_null(one.csrf_hash);
    ck_assert_ptr_null(one.cookie);
    ck_assert_ptr_null(one.csrf);
    /* whole seconds, the same for Postgres and for the token */
    ck_assert_uint_eq(one.issued_seconds, apr_time_sec(rq->start));
    ck_assert(ch_clock_parse(one.issued, strlen(one.issued), &issued));
    ck_assert_int_eq(issued, apr_time_from_sec(one.issued_seconds));
}
END_TEST

START_TEST(a_draft_by_cookie)
{
    ch_req_t *rq = arrive();
    ch_session_t one, two;

    ch_session_draft(rq, 1, &one);
    ch_session_draft(rq, 1, &two);
    ck_assert_str_eq(one.kind, "cookie");
    /* 32 random bytes each */
    ck_assert_uint_eq(strlen(one.cookie), 43);
    ck_assert_uint_eq(strlen(one.csrf), 43);
    ck_assert_str_ne(one.cookie, one.csrf);
    ck_assert_str_ne(one.cookie, two.cookie);
    ck_assert_str_ne(one.csrf, two.csrf);
    /* the store sees hashes only */
    ck_assert_str_eq(one.token_hash, ch_seal_sha256_hex(pool, one.cookie, 43));
    ck_assert_str_eq(one.csrf_hash, ch_seal_sha256_hex(pool, one.csrf, 43));
    ck_assert_str_eq(ch_session_cookie_hash(rq, one.cookie), one.token_hash);
}
END_TEST

static const ch_json_t *write_session(ch_req_t *rq,
                                      const ch_session_t *session)
{
    ch_buf_t *buf = ch_buf_make(pool, 16, 65536);
    const ch_json_t *json;

    ch_session_write(rq, buf, session, &user_fields, &user);
    ck_assert_ptr_null(ch_json_parse(pool, buf->data, buf->len, 9, &json));
    ck_assert_str_eq(ch_json_dump(pool, ch_json_get(json, "user")),
                     "{\"id\":\"" USER "\",\"email\":\"a@b.c\"}");
    return json;
}

static const char *text_of(const ch_json_t *object, const char *name)
{
    size_t len;

    return ch_json_string(ch_json_get(object, name), &len);
}

START_TEST(hands_out_tokens)
{
    ch_req_t *rq = arrive();
    ch_session_t session;
    const ch_json_t *json, *tokens;
    ch_claims_t claims;
    ch_bytes_t access;
    const char *refresh;
    ch_refresh_t read;

    ch_session_draft(rq, 0, &session);
    json = write_session(rq, &session);
    tokens = ch_json_get(json, "tokens");
    ck_assert_int_eq(ch_json_type(ch_json_get(json, "csrfToken")),
                     CH_JSON_NULL);
    ck_assert(apr_is_empty_table(rq->out));
    ck_assert_str_eq(text_of(tokens, "tokenType"), "Bearer");
    ck_assert_int_eq(ch_json_int(ch_json_get(tokens, "expiresIn")), 900);
    ck_assert_int_eq(ch_json_int(ch_json_get(tokens, "refreshExpiresIn")),
                     2592000);
    access.data = text_of(tokens, "accessToken");
    access.len = strlen(access.data);
    ck_assert_int_eq(ch_jwt_verify(pool, keys, 1, access,
                                   apr_time_sec(apr_time_now()), &claims),
                     CH_JWT_GOOD);
    ck_assert_str_eq(claims.sub, USER);
    ck_assert_str_eq(claims.sid, session.id);
    ck_assert_str_eq(claims.email, "a@b.c");
    ck_assert_str_eq(claims.role, "manager");
    ck_assert_int_eq(claims.exp - claims.iat, 900);
    refresh = text_of(tokens, "refreshToken");
    ck_assert(ch_refresh_read(pool, conf->refresh_key, refresh,
                              strlen(refresh), &read));
    ck_assert_str_eq(read.session, session.id);
    ck_assert_uint_eq(read.counter, 0);
    ck_assert_uint_eq(read.issued, session.issued_seconds);
    ck_assert(ch_refresh_belongs(
        &read, (const unsigned char *)session.refresh_key.data));
}
END_TEST

START_TEST(hands_out_cookies)
{
    ch_req_t *rq = arrive();
    const apr_array_header_t *headers;
    ch_session_t session;
    const ch_json_t *json;

    ch_session_draft(rq, 1, &session);
    json = write_session(rq, &session);
    ck_assert_int_eq(ch_json_type(ch_json_get(json, "tokens")), CH_JSON_NULL);
    ck_assert_str_eq(text_of(json, "csrfToken"), session.csrf);
    headers = apr_table_elts(rq->out);
    ck_assert_int_eq(headers->nelts, 2);
    /* the page may read the CSRF token, never the session */
    ck_assert_str_eq(
        APR_ARRAY_IDX(headers, 0, apr_table_entry_t).val,
        apr_pstrcat(pool, "chronicle_session=", session.cookie,
                    "; Path=/; Max-Age=2592000; SameSite=Lax; HttpOnly",
                    NULL));
    ck_assert_str_eq(APR_ARRAY_IDX(headers, 1, apr_table_entry_t).val,
                     apr_pstrcat(pool, "chronicle_csrf=", session.csrf,
                                 "; Path=/; Max-Age=2592000; SameSite=Lax",
                                 NULL));
}
END_TEST

#define HEX31 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"

static const struct {
    const char *hex;
    int good;
} hexes[] = {
    { HEX31 "1f", 1 },
    { "\\x" HEX31 "1f", 1 },
    { "\\x" HEX31 "1F", 1 },
    { NULL, 0 },
    { "", 0 },
    { "\\x", 0 },
    { HEX31, 0 },
    { HEX31 "1", 0 },
    { HEX31 "1f00", 0 },
    { HEX31 "1g", 0 },
    { "x" HEX31 "1f", 0 },
    { "\\\\x" HEX31 "1f", 0 },
    { HEX31 "-1", 0 },
    { " " HEX31 "1f", 0 },
};

START_TEST(decodes_keys)
{
    unsigned char key[32];
    int i;

    ck_assert_int_eq(ch_session_key(hexes[_i].hex, key), hexes[_i].good);
    for (i = 0; hexes[_i].good && i < 32; i++) {
        ck_assert_int_eq(key[i], i);
    }
}
END_TEST

CH_SUITE_MAIN("auth/session", CH_ONCE(a_draft_by_token),
              CH_ONCE(a_draft_by_cookie), CH_ONCE(hands_out_tokens),
              CH_ONCE(hands_out_cookies), CH_EACH(decodes_keys, hexes))
