/* Tests of auth/permit: who may not go on, and why. */
#include "ch_request.h"

#include "auth/auth.h"
#include "base/seal.h"
#include "store/counter.h"

/* A database that is never there. */
static void *open_nothing(void *ctx, apr_pool_t *p, void **handle,
                          apr_pool_t **conn_pool)
{
    return NULL;
}

static void close_nothing(void *ctx, void *handle)
{
    ck_abort_msg("nothing was opened");
}

static const ch_db_source_t nowhere = { .open = open_nothing,
                                        .close = close_nothing };

static ch_route_t route;
static ch_principal_t who;

/* A request of an authenticated user by token to a route for users. */
static ch_req_t *arrive(ch_method_e method)
{
    ch_req_t *rq = ch_request_make(method, "/api/v1/things");

    memset(&route, 0, sizeof(route));
    memset(&who, 0, sizeof(who));
    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
    route.method = method == CH_HEAD    ? CH_GET
                   : method == CH_PATCH ? CH_PUT
                                        : method;
    route.path = "/api/v1/things";
    route.auth = CH_USER;
    who.user_id = "u1";
    who.session_id = "s1";
    who.sure = 1;
    rq->route = &route;
    rq->who = &who;
    rq->db = ch_db_make(pool, ch_db_home_make(pool, &nowhere, NULL, 1, 10));
    return rq;
}

static apr_uint64_t failures(ch_auth_failure_e reason)
{
    return ch_counter_read()->auth_failures[reason];
}

/* --- authentication -------------------------------------------------------
 */

static const struct {
    ch_auth_e auth;
    unsigned flags;
    int known;
    ch_code_e fault; /* of the credential */
    const char *code;
} cases[] = {
    { CH_USER, 0, 1, CH_E_NONE, "" },
    { CH_USER, 0, 0, CH_E_NONE, "AUTHENTICATION_REQUIRED" },
    { CH_MANAGER, 0, 0, CH_E_NONE, "AUTHENTICATION_REQUIRED" },
    { CH_ADMIN, 0, 0, CH_E_NONE, "AUTHENTICATION_REQUIRED" },
    { CH_USER, 0, 0, CH_E_INVALID_TOKEN, "INVALID_TOKEN" },
    { CH_USER, 0, 0, CH_E_TOKEN_EXPIRED, "TOKEN_EXPIRED" },
    { CH_USER, 0, 0, CH_E_DATABASE_ERROR, "DATABASE_ERROR" },
    /* nobody is fine, a bad credential is not */
    { CH_OPTIONAL, 0, 0, CH_E_NONE, "" },
    { CH_OPTIONAL, 0, 1, CH_E_NONE, "" },
    { CH_OPTIONAL, 0, 0, CH_E_INVALID_TOKEN, "INVALID_TOKEN" },
    { CH_OPTIONAL, 0, 0, CH_E_TOKEN_EXPIRED, "TOKEN_EXPIRED" },
    { CH_OPTIONAL, 0, 0, CH_E_DATABASE_ERROR, "DATABASE_ERROR" },
    /* a public route does not look */
    { CH_PUBLIC, 0, 0, CH_E_NONE, "" },
    { CH_PUBLIC, 0, 0, CH_E_INVALID_TOKEN, "" },
    { CH_PUBLIC, 0, 0, CH_E_DATABASE_ERROR, "" },
    /* or looks and forgives, as long as it could look */
    { CH_PUBLIC, CH_KNOWS, 0, CH_E_NONE, "" },
    { CH_PUBLIC, CH_KNOWS, 1, CH_E_NONE, "" },
    { CH_PUBLIC, CH_KNOWS, 0, CH_E_INVALID_TOKEN, "" },
    { CH_PUBLIC, CH_KNOWS, 0, CH_E_TOKEN_EXPIRED, "" },
    { CH_PUBLIC, CH_KNOWS, 0, CH_E_DATABASE_ERROR, "DATABASE_ERROR" },
};

START_TEST(authenticate)
{
    ch_req_t *rq = arrive(CH_GET);
    ch_err_t *fault =
        cases[_i].fault ? ch_err_make(pool, cases[_i].fault, NULL) : NULL;

    route.auth = cases[_i].auth;
    route.flags = cases[_i].flags;
    rq->credential_fault = fault;
    if (!cases[_i].known) {
        rq->who = NULL;
    }
    ck_assert_str_eq(ch_code_of(ch_authenticate_stage(rq)), cases[_i].code);
    ck_assert_int_eq(rq->who != NULL, cases[_i].known);
    /* what was wrong is there for those who ask */
    ck_assert_ptr_eq(rq->credential_fault, fault);
}
END_TEST

/* A token is looked up where somebody is needed, and nowhere else. */
START_TEST(sure_where_it_counts)
{
    ch_req_t *rq = arrive(CH_GET);

    who.sure = 0;
    who.session_id = "0198a000-0000-7000-8000-000000000001";
    who.user_id = "0198a000-0000-7000-8000-000000000002";
    ck_assert_str_eq(ch_code_of(ch_authenticate_stage(rq)), "DATABASE_ERROR");
    route.auth = CH_OPTIONAL;
    ck_assert_str_eq(ch_code_of(ch_authenticate_stage(rq)), "DATABASE_ERROR");
    route.auth = CH_PUBLIC;
    ck_assert_ptr_null(ch_authenticate_stage(rq));
    ck_assert_ptr_eq(rq->who, &who);
    route.flags = CH_KNOWS;
    ck_assert_str_eq(ch_code_of(ch_authenticate_stage(rq)), "DATABASE_ERROR");
    ck_assert_ptr_null(rq->who);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "DATABASE_ERROR");
}
END_TEST

START_TEST(failures_are_counted)
{
    static const struct {
        ch_code_e fault;
        ch_auth_failure_e reason;
    } faults[] = {
        { CH_E_NONE, CH_AUTH_NO_CREDENTIAL },
        { CH_E_INVALID_TOKEN, CH_AUTH_BAD_TOKEN },
        { CH_E_TOKEN_EXPIRED, CH_AUTH_EXPIRED_TOKEN },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(faults); i++) {
        ch_req_t *rq = arrive(CH_GET);
        int reason;

        rq->who = NULL;
        rq->credential_fault =
            faults[i].fault ? ch_err_make(pool, faults[i].fault, NULL) : NULL;
        ck_assert_ptr_nonnull(ch_authenticate_stage(rq));
        ck_assert_int_eq(server.securities, 1);
        ck_assert_str_eq(
            server.security,
            apr_pstrcat(pool, "auth_failure: ",
                        ch_auth_failure_names[faults[i].reason], NULL));
        for (reason = 0; reason < CH_AUTH__COUNT; reason++) {
            ck_assert_uint_eq(failures((ch_auth_failure_e)reason),
                              reason == (int)faults[i].reason);
        }
    }
}
END_TEST

/* --- CSRF -----------------------------------------------------------------
 */

static const struct {
    const char *header;
    const char *cookie;
    int good;
} tokens[] = {
    { "token-1", "token-1", 1 },
    { "token-1", NULL, 0 },
    { NULL, "token-1", 0 },
    { NULL, NULL, 0 },
    { "", "", 0 },
    { "token-1", "token-2", 0 },
    { "token-2", "token-1", 0 },
    /* equal, but not the session's */
    { "token-2", "token-2", 0 },
    { "token-", "token-", 0 },
    { "token-11", "token-11", 0 },
    { "Token-1", "Token-1", 0 },
    { "token-1", "token-1x", 0 },
    { "token-1x", "token-1", 0 },
};

static void set_csrf(ch_req_t *rq, const char *header, const char *cookie)
{
    who.cookie = 1;
    ch_seal_sha256("token-1", 7, who.csrf);
    if (header) {
        ch_request_header(rq, "X-CSRF-Token", header);
    }
    if (cookie) {
        ch_request_header(rq, "Cookie",
                          apr_pstrcat(pool, "a=1; " CH_CSRF_COOKIE "=", cookie,
                                      "; b=2", NULL));
    }
}

START_TEST(csrf)
{
    static const ch_method_e methods[] = { CH_POST, CH_PUT, CH_PATCH,
                                           CH_DELETE };
    size_t i;

    for (i = 0; i < CH_COUNT(methods); i++) {
        ch_req_t *rq = arrive(methods[i]);
        const char *code;

        set_csrf(rq, tokens[_i].header, tokens[_i].cookie);
        code = ch_code_of(ch_permit_stage(rq));
        ck_assert_str_eq(code, tokens[_i].good ? "" : "CSRF_FAILED");
        ck_assert_uint_eq(failures(CH_AUTH_BAD_CSRF), !tokens[_i].good);
    }
}
END_TEST

/* Only those are asked whom a browser may have brought along. */
START_TEST(csrf_where_it_counts)
{
    ch_req_t *rq = arrive(CH_GET);

    set_csrf(rq, NULL, NULL);
    ck_assert_ptr_null(ch_permit_stage(rq));
    rq = arrive(CH_HEAD);
    set_csrf(rq, NULL, NULL);
    ck_assert_ptr_null(ch_permit_stage(rq));
    rq = arrive(CH_POST);
    ck_assert_ptr_null(ch_permit_stage(rq));
    rq = arrive(CH_POST);
    rq->who = NULL;
    ck_assert_ptr_null(ch_permit_stage(rq));
    rq = arrive(CH_POST);
    set_csrf(rq, NULL, NULL);
    route.auth = CH_PUBLIC;
    ck_assert_ptr_null(ch_permit_stage(rq));
    route.flags = CH_KNOWS;
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), "CSRF_FAILED");
    route.flags = 0;
    route.auth = CH_OPTIONAL;
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), "CSRF_FAILED");
}
END_TEST

/* A session without a CSRF token has a hash of zeros: nothing fits it. */
START_TEST(no_token_of_the_session)
{
    ch_req_t *rq = arrive(CH_POST);

    set_csrf(rq, "token-1", "token-1");
    memset(who.csrf, 0, sizeof(who.csrf));
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), "CSRF_FAILED");
}
END_TEST

/* --- verified addresses, roles --------------------------------------------
 */

static const struct {
    const char *path;
    ch_auth_e auth;
    int required;
    int verified;
    const char *code;
} addresses[] = {
    { "/api/v1/notes", CH_USER, 1, 0, "EMAIL_NOT_VERIFIED" },
    { "/api/v1/notes", CH_USER, 1, 1, "" },
    { "/api/v1/notes", CH_USER, 0, 0, "" },
    { "/api/v1/notes", CH_OPTIONAL, 1, 0, "" },
    { "/api/v1/auth/me", CH_USER, 1, 0, "" },
    { "/api/v1/user/settings", CH_USER, 1, 0, "" },
    { "/api/v1/users/x", CH_USER, 1, 0, "EMAIL_NOT_VERIFIED" },
    /* before the role */
    { "/api/v1/admin/users", CH_ADMIN, 1, 0, "EMAIL_NOT_VERIFIED" },
    { "/api/v1/admin/users", CH_ADMIN, 1, 1, "FORBIDDEN" },
};

START_TEST(verified)
{
    ch_req_t *rq = arrive(CH_GET);

    route.path = addresses[_i].path;
    route.auth = addresses[_i].auth;
    conf->require_verified_email = addresses[_i].required;
    who.verified = addresses[_i].verified;
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), addresses[_i].code);
}
END_TEST

/* Rows: what the route asks for; columns: user, manager, admin. */
static const struct {
    ch_auth_e auth;
    int may[3];
} roles[] = {
    { CH_PUBLIC, { 1, 1, 1 } }, { CH_OPTIONAL, { 1, 1, 1 } },
    { CH_USER, { 1, 1, 1 } },   { CH_MANAGER, { 0, 1, 1 } },
    { CH_ADMIN, { 0, 0, 1 } },
};

START_TEST(by_role)
{
    int role;

    for (role = CH_ROLE_USER; role <= CH_ROLE_ADMIN; role++) {
        ch_req_t *rq = arrive(CH_GET);

        route.auth = roles[_i].auth;
        who.role = (ch_role_e)role;
        ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)),
                         roles[_i].may[role] ? "" : "FORBIDDEN");
    }
}
END_TEST

/* CSRF, then the address, then the role (API.md 1.5). */
START_TEST(order)
{
    ch_req_t *rq = arrive(CH_POST);

    route.auth = CH_ADMIN;
    conf->require_verified_email = 1;
    set_csrf(rq, NULL, NULL);
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), "CSRF_FAILED");
    set_csrf(rq, "token-1", "token-1");
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), "EMAIL_NOT_VERIFIED");
    who.verified = 1;
    ck_assert_str_eq(ch_code_of(ch_permit_stage(rq)), "FORBIDDEN");
    who.role = CH_ROLE_ADMIN;
    ck_assert_ptr_null(ch_permit_stage(rq));
}
END_TEST

CH_SUITE_MAIN("auth/permit", CH_EACH(authenticate, cases),
              CH_ONCE(sure_where_it_counts), CH_ONCE(failures_are_counted),
              CH_EACH(csrf, tokens), CH_ONCE(csrf_where_it_counts),
              CH_ONCE(no_token_of_the_session), CH_EACH(verified, addresses),
              CH_EACH(by_role, roles), CH_ONCE(order))
