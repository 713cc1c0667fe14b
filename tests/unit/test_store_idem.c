/* Tests of store/idem on a real PostgreSQL: a key is worth one execution,
 * whoever comes when, and whatever breaks. */
#include "ch_database.h"

#include <apr_thread_proc.h>

#include "store/idem.h"

#define HASH "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define OTHER_HASH                                                            \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const ch_idem_t one = { .scope = "0198a000-0000-7000-8000-00000000000a",
                               .route = "POST /api/v1/notes",
                               .key = "k \"1\"",
                               .hash = HASH };

static const ch_idem_answer_t created = {
    .status = 201,
    .headers = "{\"ETag\":\"\\\"v1\\\"\",\"Location\":\"/api/v1/notes/7\"}",
    .body = "{\"data\": \"\xC3\xA9 \\u0001 \\\\\"}"
};

static ch_db_home_t *home;

/* A database with a table that the work is done in; a request's door. */
static ch_db_t *make_door(void)
{
    ch_database_make();
    ch_sql("CREATE TABLE work (n int)");
    home = ch_home_make(CH_CONNECTIONS, 5000);
    return ch_db_make(pool, home);
}

static ch_db_t *another_door(void)
{
    return ch_db_make(pool, home);
}

static void work(ch_db_t *db)
{
    static const ch_sql_t insert = { .name = "insert_work",
                                     .text = "INSERT INTO work VALUES (1)",
                                     .index = 0 };

    ck_result(ch_db_exec(db, &insert, NULL), "");
}

static int work_done(void)
{
    return (int)apr_atoi64(ch_sql("SELECT count(*) FROM work"));
}

/* Must be the first: claims, works, keeps. */
static void perform(const ch_idem_t *idem)
{
    ch_db_t *db = another_door();
    ch_idem_answer_t answer = { .status = 99 };

    ck_result(ch_idem_begin(pool, db, idem, &answer), "");
    ck_assert_int_eq(answer.status, 0);
    work(db);
    ck_result(ch_idem_end(pool, db, idem, &created), "");
}

static const char *attempt(const ch_idem_t *idem)
{
    ch_idem_answer_t answer = { .status = 99 };
    ch_db_t *db = another_door();
    ch_err_t *err = ch_idem_begin(pool, db, idem, &answer);

    if (err) {
        return ch_code_name(err->code);
    }
    if (!answer.status) {
        ch_idem_abandon(db, idem);
    }
    return answer.status ? "replayed" : "claimed";
}

START_TEST(the_first_and_the_second)
{
    ch_db_t *db = make_door();
    ch_idem_answer_t answer = { .status = 0 };
    size_t len;

    perform(&one);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(work_done(), 1);
    ck_result(ch_idem_begin(pool, db, &one, &answer), "");
    ck_assert_int_eq(answer.status, 201);
    /* byte for byte */
    ck_assert_str_eq(answer.body, created.body);
    len = strlen(answer.headers);
    ck_assert_ptr_nonnull(strstr(answer.headers, "\"\\\"v1\\\"\""));
    ck_assert_int_eq(answer.headers[len - 1], '}');
    /* nothing is open */
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(work_done(), 1);
}
END_TEST

START_TEST(another_body)
{
    ch_idem_t other = one;

    make_door();
    perform(&one);
    other.hash = OTHER_HASH;
    ck_assert_str_eq(attempt(&other), "IDEMPOTENCY_MISMATCH");
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_str_eq(attempt(&one), "replayed");
}
END_TEST

/* User, route and key are each a part of what is claimed. */
START_TEST(scopes)
{
    ch_idem_t other;

    make_door();
    perform(&one);
    other = one;
    other.scope = "0198a000-0000-7000-8000-00000000000b";
    ck_assert_str_eq(attempt(&other), "claimed");
    other = one;
    other.scope = "2001:db8::1";
    ck_assert_str_eq(attempt(&other), "claimed");
    other = one;
    other.route = "POST /api/v1/folders";
    ck_assert_str_eq(attempt(&other), "claimed");
    other = one;
    other.key = "K \"1\"";
    ck_assert_str_eq(attempt(&other), "claimed");
    ck_assert_str_eq(attempt(&one), "replayed");
}
END_TEST

START_TEST(while_the_first_is_running)
{
    ch_db_t *db = make_door();
    ch_db_t *second = another_door();
    ch_idem_answer_t answer;
    ch_idem_t other = one;
    ch_err_t *err;

    ck_result(ch_idem_begin(pool, db, &one, &answer), "");
    work(db);
    err = ch_idem_begin(pool, second, &one, &answer);
    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(err->code, CH_E_IDEMPOTENCY_IN_PROGRESS);
    ck_assert_int_eq(err->retry_after, 1);
    ck_assert_int_eq(ch_busy(home), 1);
    /* whatever its body; but another key does not wait */
    other.hash = OTHER_HASH;
    ck_assert_str_eq(attempt(&other), "IDEMPOTENCY_IN_PROGRESS");
    other.key = "k2";
    ck_assert_str_eq(attempt(&other), "claimed");
    ck_result(ch_idem_end(pool, db, &one, &created), "");
    ck_assert_str_eq(attempt(&one), "replayed");
    ck_assert_int_eq(work_done(), 1);
}
END_TEST

START_TEST(given_up)
{
    ch_db_t *db = make_door();
    ch_idem_answer_t answer;

    ck_result(ch_idem_begin(pool, db, &one, &answer), "");
    work(db);
    ch_idem_abandon(db, &one);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(work_done(), 0);
    /* the key is free, for another body, too */
    perform(&one);
    ck_assert_int_eq(work_done(), 1);
}
END_TEST

/* The process that had the key dies: its work is undone, its key free. */
START_TEST(the_first_dies)
{
    ch_db_t *db = make_door();
    ch_idem_answer_t answer;

    ck_result(ch_idem_begin(pool, db, &one, &answer), "");
    work(db);
    ck_assert_str_eq(attempt(&one), "IDEMPOTENCY_IN_PROGRESS");
    ch_terminate(ch_backend(0));
    ck_assert_str_eq(attempt(&one), "claimed");
    ck_assert_int_eq(work_done(), 0);
    ck_result(ch_idem_end(pool, db, &one, &created), "DATABASE_ERROR");
    ck_assert_int_eq(ch_busy(home), 0);
    perform(&one);
    ck_assert_int_eq(work_done(), 1);
}
END_TEST

START_TEST(after_a_day)
{
    make_door();
    perform(&one);
    ck_assert_str_eq(
        ch_sql("SELECT expires_at - now() BETWEEN '23:59:00' AND '24:00:00' "
               "FROM idempotency_keys"),
        "t");
    ch_sql("UPDATE idempotency_keys SET expires_at = now()");
    /* it is new again, and takes the place of the old one */
    perform(&one);
    ck_assert_int_eq(work_done(), 2);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM idempotency_keys"), "1");
    ck_assert_str_eq(attempt(&one), "replayed");
}
END_TEST

/* Somebody kept an answer although we had the key (a server of another
 * release, say): ours is not kept, and its work is undone. */
START_TEST(kept_by_somebody_else)
{
    ch_db_t *db = make_door();
    ch_idem_answer_t answer;

    ck_result(ch_idem_begin(pool, db, &one, &answer), "");
    work(db);
    ch_sql("INSERT INTO idempotency_keys (scope, route, key, body_hash, "
           "status, headers, body, expires_at) VALUES "
           "('0198a000-0000-7000-8000-00000000000a', 'POST /api/v1/notes', "
           "'k \"1\"', '" HASH "', 200, '{}', 'theirs', now() + '1 day')");
    ck_result(ch_idem_end(pool, db, &one, &created),
              "IDEMPOTENCY_IN_PROGRESS");
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(work_done(), 0);
    ck_assert_str_eq(attempt(&one), "replayed");
}
END_TEST

START_TEST(no_database)
{
    ch_db_t *db = make_door();
    ch_idem_answer_t answer = { .status = 99 };

    database.refuse = 1;
    ck_result(ch_idem_begin(pool, db, &one, &answer), "DATABASE_ERROR");
    ck_assert_int_eq(answer.status, 0);
    ck_assert_int_eq(ch_busy(home), 0);
}
END_TEST

/* The longest of everything. */
START_TEST(long_ones)
{
    char *key = apr_palloc(pool, 256);
    char *body = apr_palloc(pool, 1000001);
    ch_idem_answer_t big = { .status = 200, .headers = "{}", .body = body };
    ch_idem_answer_t answer;
    ch_idem_t idem = one;
    ch_db_t *db = make_door();

    memset(key, '~', 255);
    key[255] = '\0';
    memset(body, '"', 1000000);
    body[1000000] = '\0';
    idem.key = key;
    ck_result(ch_idem_begin(pool, db, &idem, &answer), "");
    ck_result(ch_idem_end(pool, db, &idem, &big), "");
    ck_result(ch_idem_begin(pool, db, &idem, &answer), "");
    ck_assert_str_eq(answer.body, body);
}
END_TEST

/* --- eight at once --------------------------------------------------------
 */

#define THREADS 8
#define ROUNDS 15

static int performed, replayed, refused;

static void *APR_THREAD_FUNC compete(apr_thread_t *thread, void *data)
{
    apr_pool_t *p = apr_thread_pool_get(thread);
    ch_db_t *db = ch_db_make(p, home);
    ch_idem_answer_t answer;
    ch_err_t *err = ch_idem_begin(p, db, data, &answer);

    if (err) {
        __atomic_fetch_add(&refused, err->code == CH_E_IDEMPOTENCY_IN_PROGRESS,
                           __ATOMIC_RELAXED);
    }
    else if (answer.status) {
        __atomic_fetch_add(&replayed, 1, __ATOMIC_RELAXED);
    }
    else {
        work(db);
        err = ch_idem_end(p, db, data, &created);
        __atomic_fetch_add(&performed, err == NULL, __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(one_of_many)
{
    int round;

    make_door();
    for (round = 1; round <= ROUNDS; round++) {
        ch_idem_t idem = one;
        apr_thread_t *threads[THREADS];
        apr_status_t status;
        int i;

        idem.key = apr_psprintf(pool, "round %d", round);
        for (i = 0; i < THREADS; i++) {
            ck_assert_int_eq(
                apr_thread_create(&threads[i], NULL, compete, &idem, pool), 0);
        }
        for (i = 0; i < THREADS; i++) {
            apr_thread_join(&status, threads[i]);
        }
        ck_assert_int_eq(work_done(), round);
        ck_assert_int_eq(performed, round);
        ck_assert_int_eq(performed + replayed + refused, THREADS * round);
    }
    ck_assert_int_eq(ch_busy(home), 0);
}
END_TEST

/* Work that is done apart holds no connection; the key is claimed all the
 * same, until it is done, given up, or has been forgotten. */
START_TEST(apart)
{
    ch_db_t *db = make_door();
    ch_idem_t slow = one, other;
    ch_idem_answer_t answer = { .status = 99 };

    slow.apart = 1;
    other = slow;
    other.hash = OTHER_HASH;
    ck_result(ch_idem_begin(pool, db, &slow, &answer), "");
    ck_assert_int_eq(answer.status, 0);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_str_eq(attempt(&slow), "IDEMPOTENCY_IN_PROGRESS");
    ck_assert_str_eq(attempt(&other), "IDEMPOTENCY_MISMATCH");
    ch_idem_abandon(db, &slow);
    ck_assert_str_eq(attempt(&other), "claimed");
    ck_result(ch_idem_begin(pool, db, &slow, &answer), "");
    ck_result(ch_idem_end(pool, db, &slow, &created), "");
    ck_assert_str_eq(attempt(&slow), "replayed");
    ck_assert_str_eq(attempt(&other), "IDEMPOTENCY_MISMATCH");
    ch_sql("UPDATE idempotency_keys SET expires_at = now()");
    ck_result(ch_idem_begin(pool, db, &other, &answer), "");
    ck_assert_int_eq(answer.status, 0);
    ch_sql("UPDATE idempotency_keys SET expires_at = now()");
    ck_assert_str_eq(attempt(&slow), "claimed");
    ck_assert_int_eq(ch_busy(home), 0);
}
END_TEST

CH_POSTGRES_MAIN("store/idem", CH_ONCE(the_first_and_the_second),
                 CH_ONCE(another_body), CH_ONCE(scopes),
                 CH_ONCE(while_the_first_is_running), CH_ONCE(given_up),
                 CH_ONCE(the_first_dies), CH_ONCE(after_a_day),
                 CH_ONCE(kept_by_somebody_else), CH_ONCE(no_database),
                 CH_ONCE(long_ones), CH_ONCE(one_of_many), CH_ONCE(apart))
