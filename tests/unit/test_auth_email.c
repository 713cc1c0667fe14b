/* Tests of auth/email: an address is found by its account's whole id, and is
 * never half of another's. */
#include "ch_request.h"
#include "ch_rows.h"

#include <apr_thread_proc.h>

#include "auth/auth.h"
#include "auth/email.h"
#include "store/sql_gen.h"

typedef unsigned char account_t[16];

/* The ids of all accounts share one slot: only the first half differs, which
 * picks none. */
static void id_of(int i, unsigned char id[16])
{
    memset(id, 7, 16);
    memcpy(id, &i, sizeof(i));
}

static const char *get(int i)
{
    char *email = apr_palloc(pool, CH_EMAIL_MAX + 1);
    account_t id;

    id_of(i, id);
    return ch_email_get(id, email) ? email : "";
}

static void put(int i, const char *email)
{
    account_t id;

    id_of(i, id);
    ch_email_put(id, email);
}

START_TEST(before_open)
{
    put(1, "a@b.cd");
    ck_assert_str_eq(get(1), "");
}
END_TEST

START_TEST(in_and_out)
{
    static const account_t zero;
    char email[CH_EMAIL_MAX + 1];

    ch_email_open(pool);
    ck_assert_int_eq(ch_email_get(zero, email), 0);
    put(1, "a@b.cd");
    ck_assert_str_eq(get(1), "a@b.cd");
    ck_assert_str_eq(get(2), "");
    put(2, "b@b.cd"); /* takes the place */
    ck_assert_str_eq(get(2), "b@b.cd");
    ck_assert_str_eq(get(1), "");
}
END_TEST

START_TEST(long_ones)
{
    char *longest = apr_palloc(pool, CH_EMAIL_MAX + 2);

    memset(longest, 'x', CH_EMAIL_MAX + 1);
    longest[CH_EMAIL_MAX] = '\0';
    ch_email_open(pool);
    put(1, longest);
    ck_assert_str_eq(get(1), longest);
    longest[CH_EMAIL_MAX] = 'x';
    longest[CH_EMAIL_MAX + 1] = '\0';
    put(2, longest);
    ck_assert_str_eq(get(2), "");
}
END_TEST

#define THREADS 6
#define ROUNDS 100000

static int wrong, found;

static void *APR_THREAD_FUNC put_and_get(apr_thread_t *thread, void *data)
{
    char text[] = "0 is whom this address belongs to";
    char out[CH_EMAIL_MAX + 1];
    account_t id;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        text[0] = (char)('0' + i % 10);
        id_of(i % 10, id);
        ch_email_put(id, text);
        text[0] = (char)('0' + i * 3 % 10);
        id_of(i * 3 % 10, id);
        if (ch_email_get(id, out)) {
            __atomic_store_n(&found, 1, __ATOMIC_RELAXED);
            if (strcmp(out, text) != 0) {
                __atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
            }
        }
    }
    return NULL;
}

START_TEST(never_half_of_another)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    ch_email_open(pool);
    wrong = found = 0;
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, put_and_get, NULL, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(found, 1);
}
END_TEST

/* --- of a caller ----------------------------------------------------------
 */

#define USER "0198a000-0000-7000-8000-00000000000a"
#define STRANGER "0198a000-0000-7000-8000-00000000000b"

/* What the store was asked and what it says. */
static struct {
    int count;
    const char *asked;
    ch_code_e says;
    int gone;
} store;

static const ch_rows_t row = { .names = { "email" },
                               .count = 1,
                               .cells = (const char *const[]){ "a@b.cd" } };

ch_err_t *sql_auth_email(ch_db_t *db, const sql_auth_email_t *in,
                         ch_rows_t **out)
{
    store.count++;
    store.asked = in->id;
    *out = apr_pmemdup(pool, &row, sizeof(row));
    (*out)->count = !store.gone;
    return store.says ? ch_err_make(pool, store.says, NULL) : NULL;
}

static ch_req_t *caller(const char *user)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/");

    rq->who = apr_pcalloc(pool, sizeof(*rq->who));
    rq->who->user_id = user;
    return rq;
}

START_TEST(asked_for_once)
{
    ch_req_t *rq;
    int i;

    memset(&store, 0, sizeof(store));
    ch_email_open(pool);
    for (i = 0; i < 3; i++) {
        rq = caller(USER);
        ck_assert_ptr_null(ch_auth_email(rq));
        ck_assert_str_eq(rq->who->email, "a@b.cd");
        ck_assert_ptr_null(ch_auth_email(rq));
        ck_assert_int_eq(store.count, 1);
    }
    ck_assert_ptr_null(ch_auth_email(caller(STRANGER)));
    ck_assert_int_eq(store.count, 2);
    ck_assert_str_eq(store.asked, STRANGER);
}
END_TEST

START_TEST(not_there)
{
    memset(&store, 0, sizeof(store));
    store.gone = 1;
    ck_assert_str_eq(ch_code_of(ch_auth_email(caller(USER))),
                     "INVALID_TOKEN");
    store.says = CH_E_DATABASE_ERROR;
    ck_assert_str_eq(ch_code_of(ch_auth_email(caller(USER))),
                     "DATABASE_ERROR");
}
END_TEST

CH_SUITE_MAIN("auth/email", CH_ONCE(before_open), CH_ONCE(in_and_out),
              CH_ONCE(long_ones), CH_ONCE(never_half_of_another),
              CH_ONCE(asked_for_once), CH_ONCE(not_there))
