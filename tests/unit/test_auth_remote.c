/* Tests of auth/remote: whose account another module's user is, with a store
 * that is made up here. */
#include "ch_request.h"
#include "ch_rows.h"

#include "auth/auth.h"
#include "store/bus.h"
#include "store/sql_gen.h"

#define USER "0198a000-0000-7000-8000-00000000000a"
#define STRANGER "0198a000-0000-7000-8000-00000000000b"

#define COLUMNS                                                               \
    {                                                                         \
        "id", "role", "email_verified", "is_active"                           \
    }

static const ch_rows_t nothing = { .names = COLUMNS };
static const ch_rows_t account = { .names = COLUMNS,
                                   .count = 1,
                                   .cells = (const char *const[]){
                                       USER, "manager", "t", "t" } };
static const ch_rows_t unverified = { .names = COLUMNS,
                                      .count = 1,
                                      .cells = (const char *const[]){
                                          USER, "user", "f", "t" } };
static const ch_rows_t inactive = { .names = COLUMNS,
                                    .count = 1,
                                    .cells = (const char *const[]){
                                        USER, "user", "f", "f" } };

/* What the store was asked and what it says, find by find. */
static struct {
    int finds, creates, claims;
    const char *told;
    const char *email, *admin;
    const ch_rows_t *found[4], *created, *claimed;
    ch_code_e says;
} store;

static ch_err_t *answer(const char *email, const ch_rows_t *rows,
                        ch_rows_t **out)
{
    store.email = email;
    *out = apr_pmemdup(pool, rows ? rows : &nothing, sizeof(**out));
    return store.says ? ch_err_make(pool, store.says, NULL) : NULL;
}

ch_err_t *sql_remote_find(ch_db_t *db, const sql_remote_find_t *in,
                          ch_rows_t **out)
{
    return answer(in->email, store.found[store.finds++ & 3], out);
}

ch_err_t *sql_remote_create(ch_db_t *db, const sql_remote_create_t *in,
                            ch_rows_t **out)
{
    store.creates++;
    store.admin = in->admin_email;
    return answer(in->email, store.created, out);
}

ch_err_t *sql_remote_claim(ch_db_t *db, const sql_remote_claim_t *in,
                           ch_rows_t **out)
{
    store.claims++;
    store.admin = in->admin_email;
    return answer(in->email, store.claimed, out);
}

/* What other servers are told. */
void ch_bus_tell(struct ch_redis_t *redis, apr_pool_t *p, char letter,
                 const char *id)
{
    store.told = apr_psprintf(pool, "%c %s", letter, id);
}

/* Of auth/identify, which is linked for what it makes of a seat. */
ch_err_t *sql_session_by_cookie(ch_db_t *db, const sql_session_by_cookie_t *in,
                                ch_rows_t **out)
{
    return ch_err_make(pool, CH_E_INTERNAL_ERROR, NULL);
}

ch_err_t *sql_session_principal(ch_db_t *db, const sql_session_principal_t *in,
                                ch_rows_t **out)
{
    return ch_err_make(pool, CH_E_INTERNAL_ERROR, NULL);
}

static void begin(void)
{
    memset(&store, 0, sizeof(store));
    ch_seat_open(apr_pcalloc(pool, ch_seat_size()));
}

/* A request for which the server says that `user` was authenticated. */
static ch_req_t *arrive(const char *user)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/api/v1/x");

    conf->trust_remote_user = 1;
    conf->admin_email = "boss@b.cd";
    server.remote = user;
    return rq;
}

static void is_account(const ch_req_t *rq, const char *email, ch_role_e role)
{
    ck_assert_ptr_null(rq->credential_fault);
    ck_assert_ptr_nonnull(rq->who);
    ck_assert_str_eq(rq->who->user_id, USER);
    ck_assert_str_eq(rq->who->email, email);
    ck_assert_ptr_null(rq->who->session_id);
    ck_assert_int_eq(rq->who->role, role);
    ck_assert_int_eq(rq->who->verified, 1);
    ck_assert_int_eq(rq->who->cookie, 0);
    ck_assert_int_eq(rq->who->sure, 1);
}

START_TEST(nobody)
{
    ch_req_t *rq = arrive(NULL);

    begin();
    ch_remote_identify(rq);
    ck_assert_ptr_null(rq->who);
    ck_assert_ptr_null(rq->credential_fault);
    rq = arrive("a@b.cd");
    conf->trust_remote_user = 0;
    ch_remote_identify(rq);
    ck_assert_ptr_null(rq->who);
    ck_assert_ptr_null(rq->credential_fault);
    ck_assert_int_eq(store.finds, 0);
}
END_TEST

START_TEST(an_account_there_is)
{
    ch_req_t *rq = arrive("Alice@B.cd");
    int i;

    begin();
    store.found[0] = &account;
    for (i = 0; i < 3; i++) {
        rq = arrive("Alice@B.cd");
        ch_remote_identify(rq);
        is_account(rq, "alice@b.cd", CH_ROLE_MANAGER);
        ck_assert_int_eq(store.finds, 1);
    }
    ck_assert_int_eq(store.creates + store.claims, 0);
    /* until it changes */
    ch_session_forget_user(ch_request_any(), STRANGER);
    ch_remote_identify(arrive("alice@b.cd"));
    ck_assert_int_eq(store.finds, 1);
    ch_session_forget_user(ch_request_any(), USER);
    store.found[1] = &inactive;
    rq = arrive("alice@b.cd");
    ch_remote_identify(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "INVALID_TOKEN");
    ck_assert_ptr_null(rq->who);
}
END_TEST

/* Another host's account of the same address may be in another database. */
START_TEST(of_its_own_host)
{
    ch_req_t *rq;

    begin();
    store.found[0] = store.found[1] = store.found[2] = &account;
    ch_remote_identify(arrive("a@b.cd"));
    rq = arrive("a@b.cd");
    conf->id = 2;
    ch_remote_identify(rq);
    ck_assert_int_eq(store.finds, 2);
    rq = arrive("a@b.cd");
    conf->refresh_key[0] = 1;
    ch_remote_identify(rq);
    ck_assert_int_eq(store.finds, 3);
}
END_TEST

START_TEST(on_first_sight)
{
    ch_req_t *rq = arrive("new@b.cd");

    begin();
    store.created = &account;
    ch_remote_identify(rq);
    is_account(rq, "new@b.cd", CH_ROLE_MANAGER);
    ck_assert_str_eq(store.email, "new@b.cd");
    ck_assert_str_eq(store.admin, "boss@b.cd");
    ck_assert_int_eq(store.creates, 1);
}
END_TEST

/* Who was slower finds the account that the faster one made. */
START_TEST(somebody_was_faster)
{
    ch_req_t *rq = arrive("new@b.cd");

    begin();
    store.found[1] = &account;
    ch_remote_identify(rq);
    is_account(rq, "new@b.cd", CH_ROLE_MANAGER);
    ck_assert_int_eq(store.finds, 2);
    ck_assert_int_eq(store.creates, 1);
    begin();
    store.found[0] = &unverified;
    store.found[1] = &account;
    rq = arrive("new@b.cd");
    ch_remote_identify(rq);
    is_account(rq, "new@b.cd", CH_ROLE_MANAGER);
    ck_assert_int_eq(store.claims, 1);
}
END_TEST

START_TEST(nobody_has_verified_it)
{
    ch_req_t *rq = arrive("a@b.cd");

    begin();
    store.found[0] = &unverified;
    store.claimed = &account;
    ch_remote_identify(rq);
    is_account(rq, "a@b.cd", CH_ROLE_MANAGER);
    ck_assert_int_eq(store.claims, 1);
    ck_assert_int_eq(store.creates, 0);
    /* whoever was in is out on all servers */
    ck_assert_str_eq(store.told, "u " USER);
}
END_TEST

START_TEST(not_active)
{
    ch_req_t *rq = arrive("a@b.cd");

    begin();
    store.found[0] = &inactive;
    ch_remote_identify(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "INVALID_TOKEN");
    ck_assert_ptr_null(rq->who);
    ck_assert_int_eq(store.claims + store.creates, 0);
}
END_TEST

START_TEST(without_a_database)
{
    ch_req_t *rq = arrive("a@b.cd");

    begin();
    store.says = CH_E_DATABASE_ERROR;
    ch_remote_identify(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "DATABASE_ERROR");
    ck_assert_ptr_null(rq->who);
    begin(); /* accounts that come and go are no reason to go on for ever */
    rq = arrive("a@b.cd");
    ch_remote_identify(rq);
    ck_assert_str_eq(ch_code_of(rq->credential_fault), "DATABASE_ERROR");
    ck_assert_int_eq(store.creates, 3);
}
END_TEST

static const char *const no_addresses[] = {
    "alice",   "EXAMPLE\\alice", "alice@host", "@b.cd",
    "a b@c.d", "a@b.cd\n",       "/C=DE/CN=a", "a@b@c.de",
};

START_TEST(no_address)
{
    ch_req_t *rq = arrive(no_addresses[_i]);
    int i, lines = 0;

    begin();
    for (i = 0; i < 20; i++) {
        rq = arrive(no_addresses[_i]);
        ch_remote_identify(rq);
        ck_assert_str_eq(ch_code_of(rq->credential_fault),
                         "AUTHENTICATION_REQUIRED");
        ck_assert_ptr_null(rq->who);
        lines += server.logs;
        if (server.logs) {
            ck_assert_int_eq(server.number, 1043);
            ck_assert_ptr_nonnull(strstr(server.log, no_addresses[_i]));
        }
    }
    ck_assert_int_eq(store.finds, 0);
    ck_assert_int_ge(lines, 1);
    ck_assert_int_le(lines, 10);
}
END_TEST

CH_SUITE_MAIN("auth/remote", CH_ONCE(nobody), CH_ONCE(an_account_there_is),
              CH_ONCE(of_its_own_host), CH_ONCE(on_first_sight),
              CH_ONCE(somebody_was_faster), CH_ONCE(nobody_has_verified_it),
              CH_ONCE(not_active), CH_ONCE(without_a_database),
              CH_EACH(no_address, no_addresses))
