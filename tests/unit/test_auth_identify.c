/* Tests of auth/identify: who calls, by token or by cookie, with a store that
 * is made up here. */
#include "ch_request.h"
#include "ch_rows.h"

#include "auth/auth.h"
#include "auth/known.h"
#include "base/seal.h"
#include "store/seat.h"
#include "store/bus.h"
#include "store/sql_gen.h"

#define SESSION "0198a000-0000-7000-8000-000000000001"
#define OTHER "0198a000-0000-7000-8000-000000000002"
#define USER "0198a000-0000-7000-8000-00000000000a"
#define STRANGER "0198a000-0000-7000-8000-00000000000b"

/* What the store was asked and what it says. */
static struct {
    int by_cookie, by_id, remote;
    const char *asked;
    const ch_rows_t *rows;
    ch_code_e says;
    const char *revoked; /* a session that is revoked meanwhile */
} store;

static ch_err_t *answer(const char *asked, ch_rows_t **out)
{
    store.asked = asked;
    *out = apr_pmemdup(pool, store.rows, sizeof(**out));
    if (store.revoked) {
        ch_session_forget(ch_request_any(), store.revoked);
    }
    return store.says ? ch_err_make(pool, store.says, NULL) : NULL;
}

ch_err_t *sql_session_by_cookie(ch_db_t *db, const sql_session_by_cookie_t *in,
                                ch_rows_t **out)
{
    store.by_cookie++;
    return answer(in->token_hash, out);
}

ch_err_t *sql_session_principal(ch_db_t *db, const sql_session_principal_t *in,
                                ch_rows_t **out)
{
    store.by_id++;
    return answer(in->id, out);
}

/* Nobody else listens. */
void ch_bus_tell(struct ch_redis_t *redis, apr_pool_t *p, char letter,
                 const char *id)
{
}

/* Nobody is another module's user here; test_auth_remote sees to them. */
void ch_remote_identify(ch_req_t *rq)
{
    store.remote++;
}

/* --- sessions in the store ------------------------------------------------
 */

#define COLUMNS                                                               \
    {                                                                         \
        "id", "user_id", "csrf_hash", "kind", "role", "email_verified",       \
            "expires", "touched"                                              \
    }
#define CSRF_HASH                                                             \
    "\\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const ch_rows_t nothing = { .names = COLUMNS };

/* 4294967295 is as late as a seat can hold. */
static const ch_rows_t token_row = { .names = COLUMNS,
                                     .count = 1,
                                     .cells = (const char *const[]){
                                         SESSION, USER, NULL, "token",
                                         "manager", "t", "4294967295", "f" } };
static const ch_rows_t cookie_row = { .names = COLUMNS,
                                      .count = 1,
                                      .cells = (const char *const[]){
                                          SESSION, USER, CSRF_HASH, "cookie",
                                          "admin", "f", "4294967295", "f" } };
static const ch_rows_t touched_row = {
    .names = COLUMNS,
    .count = 1,
    .cells = (const char *const[]){ SESSION, USER, CSRF_HASH, "cookie",
                                    "nobody", "f", "4294967295", "t" }
};
static const ch_rows_t ending_row = { .names = COLUMNS,
                                      .count = 1,
                                      .cells = (const char *const[]){
                                          SESSION, USER, CSRF_HASH, "cookie",
                                          "user", "t", "1", "f" } };

/* --- requests -------------------------------------------------------------
 */

static const ch_secret_t keys[] = {
    { .kid = "1", .secret = "a secret of at least 32 bytes, yes", .len = 34 }
};

static const ch_route_t plain = { .path = "/api/v1/x", .auth = CH_USER };
static const ch_route_t root = { .path = "/health", .flags = CH_ROOT };

static ch_req_t *arrive(const char *authorization, const char *cookie)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/api/v1/x");

    conf->jwt_keys = keys;
    conf->jwt_key_count = 1;
    rq->route = &plain;
    if (authorization) {
        ch_request_header(rq, "Authorization", authorization);
    }
    if (cookie) {
        ch_request_header(rq, "Cookie", cookie);
    }
    return rq;
}

/* An empty store and an empty cache. */
static void begin(const ch_rows_t *rows)
{
    memset(&store, 0, sizeof(store));
    store.rows = rows;
    ch_seat_open(apr_pcalloc(pool, ch_seat_size()));
}

static const char *token_from(apr_int64_t issued)
{
    const ch_claims_t claims = { .sub = USER,
                                 .sid = SESSION,
                                 .email = "a@b.c",
                                 .role = "admin",
                                 .iat = issued,
                                 .nbf = issued,
                                 .exp = issued + CH_ACCESS_SECONDS };

    return ch_jwt_sign(pool, &keys[0], &claims);
}

static const char *good_token(void)
{
    return token_from(apr_time_sec(apr_time_now()));
}

/* --- schemes --------------------------------------------------------------
 */

/* $ stands for a good token. */
static const struct {
    const char *header;
    const char *fault;
    int known;
} schemes[] = {
    { "Bearer $", "", 1 },
    { "bearer $", "", 1 },
    { "BEARER $", "", 1 },
    { "Bearer   $", "", 1 },
    { "Bearer $x", "INVALID_TOKEN", 0 },
    { "Bearer $ $", "INVALID_TOKEN", 0 },
    { "Bearer x$", "INVALID_TOKEN", 0 },
    { "Bearer", "INVALID_TOKEN", 0 },
    { "Bearer ", "INVALID_TOKEN", 0 },
    { "Bearer null", "INVALID_TOKEN", 0 },
    { "Bearer Bearer $", "INVALID_TOKEN", 0 },
    /* another scheme is no credential */
    { NULL, "", 0 },
    { "", "", 0 },
    { "$", "", 0 },
    { "Bear $", "", 0 },
    { "BearerX $", "", 0 },
    { "Bearer:$", "", 0 },
    { "Basic dXNlcjpwYXNz", "", 0 },
    { "Token $", "", 0 },
    { "Negotiate $", "", 0 },
};

START_TEST(by_scheme)
{
    const char *header = schemes[_i].header;
    ch_req_t *rq;

    begin(&nothing);
    while (header && strchr(header, '$')) {
        const char *at = strchr(header, '$');

        header = apr_pstrcat(
            pool, apr_pstrmemdup(pool, header, (size_t)(at - header)),
            good_token(), at + 1, NULL);
    }
    rq = arrive(header, NULL);
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_str_eq(ch_code_of(rq->credential_fault), schemes[_i].fault);
    ck_assert_int_eq(rq->who != NULL, schemes[_i].known);
    if (rq->who) {
        /* the signature is good, more is not known yet */
        ck_assert_str_eq(rq->who->user_id, USER);
        ck_assert_str_eq(rq->who->session_id, SESSION);
        ck_assert_int_eq(rq->who->sure, 0);
        ck_assert_int_eq(rq->who->role, CH_ROLE_USER);
        ck_assert_int_eq(rq->who->cookie, 0);
    }
    ck_assert_int_eq(store.by_cookie + store.by_id, 0);
}
END_TEST

START_TEST(an_old_token)
{
    ch_req_t *rq;

    begin(&nothing);
    rq = arrive(apr_pstrcat(pool, "Bearer ", token_from(1769250600), NULL),
                NULL);
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "TOKEN_EXPIRED");
    ck_assert_ptr_null(rq->who);
}
END_TEST

/* A token that was verified before is known; what can change is not. */
START_TEST(a_known_token)
{
    const char *header = apr_pstrcat(pool, "Bearer ", good_token(), NULL);
    ch_req_t *rq;
    int i;

    begin(&nothing);
    ch_known_open(pool);
    for (i = 0; i < 3; i++) {
        rq = arrive(header, NULL);
        conf->jwt_key_count = i ? 0 : 1; /* it is not verified again */
        ch_identify_stage(rq);
        ck_assert_ptr_nonnull(rq->who);
        ck_assert_str_eq(rq->who->user_id, USER);
        ck_assert_str_eq(rq->who->session_id, SESSION);
        ck_assert_int_eq(rq->who->sure, 0);
    }
    rq = arrive(header, NULL);
    rq->start += apr_time_from_sec(CH_ACCESS_SECONDS);
    ch_identify_stage(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "TOKEN_EXPIRED");
    ck_assert_ptr_null(rq->who);
    rq = arrive(apr_pstrcat(pool, header, "x", NULL), NULL);
    ch_identify_stage(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "INVALID_TOKEN");
    rq = arrive(header, NULL);
    conf->id = 2;
    conf->jwt_key_count = 0;
    ch_identify_stage(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "INVALID_TOKEN");
}
END_TEST

/* --- cookies --------------------------------------------------------------
 */

#define COOKIE CH_SESSION_COOKIE "=abc"

START_TEST(by_cookie)
{
    unsigned char csrf[32];
    ch_req_t *rq;
    int i;

    begin(&cookie_row);
    rq = arrive(NULL, COOKIE);
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_ptr_null(rq->credential_fault);
    ck_assert_ptr_nonnull(rq->who);
    ck_assert_str_eq(rq->who->user_id, USER);
    ck_assert_str_eq(rq->who->session_id, SESSION);
    ck_assert_int_eq(rq->who->role, CH_ROLE_ADMIN);
    ck_assert_int_eq(rq->who->verified, 0);
    ck_assert_int_eq(rq->who->cookie, 1);
    ck_assert_int_eq(rq->who->sure, 1);
    for (i = 0; i < 32; i++) {
        csrf[i] = (unsigned char)i;
    }
    ck_assert_mem_eq(rq->who->csrf, csrf, sizeof(csrf));
    /* it is looked up by its hash */
    ck_assert_str_eq(store.asked, ch_seal_sha256_hex(pool, "abc", 3));
    ck_assert_int_eq(store.by_cookie, 1);
    ck_assert_str_eq(ch_answer_header(rq, "Set-Cookie"), "");
}
END_TEST

START_TEST(a_cookie_is_remembered)
{
    ch_req_t *rq;

    begin(&cookie_row);
    ch_identify_stage(arrive(NULL, COOKIE));
    rq = arrive(NULL, COOKIE);
    ch_identify_stage(rq);
    ck_assert_int_eq(store.by_cookie, 1);
    ck_assert_str_eq(rq->who->user_id, USER);
    ck_assert_int_eq(rq->who->role, CH_ROLE_ADMIN);
    ck_assert_int_eq(rq->who->cookie, 1);
    /* another cookie is another matter */
    ch_identify_stage(arrive(NULL, CH_SESSION_COOKIE "=abd"));
    ck_assert_int_eq(store.by_cookie, 2);
    /* until it is revoked, or its user changes */
    ch_session_forget(ch_request_any(), SESSION);
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.by_cookie, 3);
    ch_session_forget_user(ch_request_any(), USER);
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.by_cookie, 4);
    ch_session_forget(ch_request_any(), OTHER);
    ch_session_forget_user(ch_request_any(), STRANGER);
    ch_session_forget(ch_request_any(), "no id");
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.by_cookie, 4);
}
END_TEST

/* What was read before a revocation does not outlive it. */
START_TEST(revoked_while_it_was_read)
{
    begin(&cookie_row);
    store.revoked = OTHER;
    ch_identify_stage(arrive(NULL, COOKIE));
    store.revoked = NULL;
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.by_cookie, 2);
}
END_TEST

START_TEST(an_unknown_cookie)
{
    const apr_array_header_t *headers;
    ch_req_t *rq;

    begin(&nothing);
    rq = arrive(NULL, COOKIE);
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_ptr_null(rq->who);
    ck_assert_ptr_null(rq->credential_fault);
    headers = apr_table_elts(rq->out);
    ck_assert_int_eq(headers->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(headers, 0, apr_table_entry_t).val,
                     CH_SESSION_COOKIE
                     "=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly");
    ck_assert_str_eq(APR_ARRAY_IDX(headers, 1, apr_table_entry_t).val,
                     CH_CSRF_COOKIE "=; Path=/; Max-Age=0; SameSite=Lax");
}
END_TEST

/* A database that is away logs nobody out. */
START_TEST(a_cookie_without_a_database)
{
    ch_req_t *rq;

    begin(&nothing);
    store.says = CH_E_DATABASE_ERROR;
    rq = arrive(NULL, COOKIE);
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "DATABASE_ERROR");
    ck_assert_ptr_null(rq->who);
    ck_assert(apr_is_empty_table(rq->out));
}
END_TEST

START_TEST(a_cookie_slides)
{
    ch_req_t *rq;

    begin(&touched_row);
    rq = arrive(NULL, COOKIE);
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_str_eq(ch_answer_header(rq, "Set-Cookie"),
                     CH_SESSION_COOKIE "=abc; Path=/; Max-Age=2592000; "
                                       "SameSite=Lax; HttpOnly");
    /* a role that nobody knows is the smallest */
    ck_assert_int_eq(rq->who->role, CH_ROLE_USER);
}
END_TEST

/* A session that ends is not remembered beyond its end. */
START_TEST(a_session_that_is_over)
{
    begin(&ending_row);
    ch_identify_stage(arrive(NULL, COOKIE));
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.by_cookie, 2);
}
END_TEST

/* Where a token was sent, a cookie counts for nothing; where something else
 * was, it does. */
START_TEST(a_token_goes_first)
{
    static const char *const headers[] = { "Bearer x", "Bearer", "Basic dTpw",
                                           "Digest x" };
    size_t i;

    for (i = 0; i < CH_COUNT(headers); i++) {
        ch_req_t *rq;

        begin(&cookie_row);
        rq = arrive(headers[i], COOKIE);
        ch_identify_stage(rq);
        ck_assert_int_eq(store.by_cookie, i >= 2);
        ck_assert_int_eq(rq->who != NULL, i >= 2);
    }
}
END_TEST

START_TEST(no_cookie_for_section_2)
{
    ch_req_t *rq;

    begin(&cookie_row);
    rq = arrive(NULL, COOKIE);
    rq->route = &root;
    ck_assert_ptr_null(ch_identify_stage(rq));
    ck_assert_int_eq(store.by_cookie, 0);
    ck_assert_ptr_null(rq->who);
}
END_TEST

/* Another module's user is asked for where nothing of ours was sent. */
START_TEST(others_come_last)
{
    begin(&cookie_row);
    ch_identify_stage(arrive("Bearer null", NULL));
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.remote, 0);
    ch_identify_stage(arrive("Basic dTpw", NULL));
    ck_assert_int_eq(store.remote, 1);
    begin(&nothing);
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.remote, 1);
    store.says = CH_E_DATABASE_ERROR;
    ch_identify_stage(arrive(NULL, COOKIE));
    ck_assert_int_eq(store.remote, 1);
}
END_TEST

/* --- to be sure -----------------------------------------------------------
 */

/* A request with a good token, as far as that goes. */
static ch_req_t *with_token(void)
{
    ch_req_t *rq =
        arrive(apr_pstrcat(pool, "Bearer ", good_token(), NULL), NULL);

    ch_identify_stage(rq);
    ck_assert_ptr_nonnull(rq->who);
    return rq;
}

START_TEST(sure)
{
    ch_req_t *rq;

    begin(&token_row);
    rq = with_token();
    ck_assert_ptr_null(ch_auth_be_sure(rq));
    ck_assert_str_eq(store.asked, SESSION);
    ck_assert_int_eq(rq->who->sure, 1);
    /* the role is the store's, not the token's */
    ck_assert_int_eq(rq->who->role, CH_ROLE_MANAGER);
    ck_assert_int_eq(rq->who->verified, 1);
    ck_assert_int_eq(rq->who->cookie, 0);
    ck_assert_str_eq(rq->who->user_id, USER);
    /* once per request, and then for all requests */
    ck_assert_ptr_null(ch_auth_be_sure(rq));
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
    ck_assert_int_eq(store.by_id, 1);
    ch_session_forget(ch_request_any(), SESSION);
    ck_assert_ptr_null(ch_auth_be_sure(rq));
    ck_assert_int_eq(store.by_id, 1);
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
    ck_assert_int_eq(store.by_id, 2);
    ch_session_forget_user(ch_request_any(), USER);
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
    ck_assert_int_eq(store.by_id, 3);
}
END_TEST

/* A session revoked, another's, or one that belongs to a cookie. */
START_TEST(not_sure)
{
    const ch_rows_t stolen = { .names = COLUMNS,
                               .count = 1,
                               .cells = (const char *const[]){
                                   SESSION, STRANGER, NULL, "token", "admin",
                                   "t", "4294967295", "f" } };
    const ch_rows_t *const cases[] = { &nothing, &stolen, &cookie_row };
    size_t i;

    for (i = 0; i < CH_COUNT(cases); i++) {
        ch_req_t *rq;

        begin(cases[i]);
        rq = with_token();
        ck_assert_str_eq(ch_code_of(ch_auth_be_sure(rq)), "INVALID_TOKEN");
        ck_assert_int_eq(rq->who->sure, 0);
        ck_assert_int_eq(rq->who->role, CH_ROLE_USER);
        /* and not the second time, by the cache */
        ck_assert_str_eq(ch_code_of(ch_auth_be_sure(with_token())),
                         "INVALID_TOKEN");
    }
}
END_TEST

/* One that ends is looked up until it is gone. */
START_TEST(sure_until_the_end)
{
    const ch_rows_t ending = { .names = COLUMNS,
                               .count = 1,
                               .cells = (const char *const[]){
                                   SESSION, USER, NULL, "token", "user", "t",
                                   "1", "f" } };

    begin(&ending);
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
    ck_assert_int_eq(store.by_id, 2);
}
END_TEST

START_TEST(not_sure_without_a_database)
{
    begin(&token_row);
    store.says = CH_E_DATABASE_ERROR;
    ck_assert_str_eq(ch_code_of(ch_auth_be_sure(with_token())),
                     "DATABASE_ERROR");
    store.says = CH_E_NONE;
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
}
END_TEST

START_TEST(revoked_while_it_was_made_sure)
{
    begin(&token_row);
    store.revoked = SESSION;
    ck_assert_ptr_null(ch_auth_be_sure(with_token()));
    store.rows = &nothing;
    store.revoked = NULL;
    ck_assert_str_eq(ch_code_of(ch_auth_be_sure(with_token())),
                     "INVALID_TOKEN");
}
END_TEST

START_TEST(names_of_roles)
{
    ck_assert_str_eq(ch_role_names[CH_ROLE_USER], "user");
    ck_assert_str_eq(ch_role_names[CH_ROLE_MANAGER], "manager");
    ck_assert_str_eq(ch_role_names[CH_ROLE_ADMIN], "admin");
}
END_TEST

CH_SUITE_MAIN("auth/identify", CH_EACH(by_scheme, schemes),
              CH_ONCE(an_old_token), CH_ONCE(a_known_token),
              CH_ONCE(by_cookie), CH_ONCE(a_cookie_is_remembered),
              CH_ONCE(revoked_while_it_was_read), CH_ONCE(an_unknown_cookie),
              CH_ONCE(a_cookie_without_a_database), CH_ONCE(a_cookie_slides),
              CH_ONCE(a_session_that_is_over), CH_ONCE(a_token_goes_first),
              CH_ONCE(no_cookie_for_section_2), CH_ONCE(others_come_last),
              CH_ONCE(sure),
              CH_ONCE(not_sure), CH_ONCE(sure_until_the_end),
              CH_ONCE(not_sure_without_a_database),
              CH_ONCE(revoked_while_it_was_made_sure), CH_ONCE(names_of_roles))
