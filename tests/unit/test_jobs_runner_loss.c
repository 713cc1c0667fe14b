/* Tests of jobs/runner on a real PostgreSQL: what is left when a runner, the
 * server, a handler or the database does not do its part. */
#include "ch_runner.h"

/* --- dead runners ---------------------------------------------------------
 */

START_TEST(rescued)
{
    const char *again, *last, *failed_before, *busy;

    prepare();
    again = add("type, status, attempts, locked_by, locked_until",
                "'a', 'running', 1, 'dead', now() - interval '1 s'");
    last = add("type, status, attempts, locked_by, locked_until",
               "'a', 'running', 5, 'dead', now() - interval '1 s'");
    failed_before =
        add("type, status, attempts, locked_by, locked_until, last_error",
            "'a', 'running', 5, 'dead', now() - interval '1 s', 'why'");
    busy = add("type, status, attempts, locked_by, locked_until",
               "'a', 'running', 1, 'alive', now() + interval '5 s'");
    work();
    ck_assert_str_eq(state(again), COMPLETED("2"));
    ck_assert_str_eq(state(last), "failed 5 f t its runner died");
    ck_assert_str_eq(state(failed_before), "failed 5 f t why");
    ck_assert_str_eq(state(busy), "running 1 alive t f");
    ck_assert_int_eq(told.rescues, 1);
    ck_assert_int_eq(runs, 1);
    /* looked for every five seconds */
    ch_sql("UPDATE jobs SET locked_until = now() WHERE status = 'running'");
    work();
    ck_assert_str_eq(see(busy, "status"), "running");
    pass(5);
    work();
    ck_assert_str_eq(state(busy), COMPLETED("2"));
}
END_TEST

static const char *left_behind;

/* Takes long, and meanwhile another runner dies. */
static ch_err_t *take_long(ch_job_t *job)
{
    pass(6);
    if (!left_behind) {
        left_behind = add("type, status, attempts, locked_by, locked_until",
                          "'a', 'running', 1, 'dead', now() - interval '1 s'");
    }
    return NULL;
}

START_TEST(chores_while_busy)
{
    prepare();
    act = take_long;
    add("type", "'a'");
    add("type", "'a'");
    work();
    ck_assert_str_eq(state(left_behind), COMPLETED("2"));
    ck_assert_int_eq(runs, 3);
}
END_TEST

/* --- beats ----------------------------------------------------------------
 */

#define SOON "UPDATE jobs SET locked_until = now() + interval '1 s'"
#define LOCKED "extract(epoch FROM locked_until - now())::int"

static ch_err_t *beat_twice(ch_job_t *job)
{
    ck_assert_int_ge(number(see(job->id, LOCKED)), CH_JOB_LOCK_SECONDS - 5);
    ch_sql(SOON);
    ck_assert_ptr_null(ch_job_beat(job));
    ck_assert_int_le(number(see(job->id, LOCKED)), 1); /* not so often */
    pass(CH_JOB_BEAT_SECONDS);
    ck_assert_ptr_null(ch_job_beat(job));
    ck_assert_int_ge(number(see(job->id, LOCKED)), CH_JOB_LOCK_SECONDS - 5);
    ch_sql(SOON);
    ck_assert_ptr_null(ch_job_beat(job));
    ck_assert_int_le(number(see(job->id, LOCKED)), 1);
    return NULL;
}

START_TEST(a_long_job)
{
    const char *id;

    prepare();
    act = beat_twice;
    id = add("type", "'a'");
    work();
    ck_assert_str_eq(state(id), COMPLETED("1"));
}
END_TEST

#define TAKEN_OVER "UPDATE jobs SET locked_by = 'w2', attempts = attempts + 1"

static ch_err_t *lose_it(ch_job_t *job)
{
    ch_err_t *err;

    ch_sql(TAKEN_OVER);
    pass(CH_JOB_BEAT_SECONDS);
    err = ch_job_beat(job);
    ck_result(err, "CONFLICT");
    return err;
}

/* The same name, but another try: of a runner that died and came again. */
static ch_err_t *lose_it_to_itself(ch_job_t *job)
{
    ch_err_t *err;

    ch_sql("UPDATE jobs SET attempts = attempts + 1");
    pass(CH_JOB_BEAT_SECONDS);
    err = ch_job_beat(job);
    ck_result(err, "CONFLICT");
    return err;
}

static ch_err_t *lose_it_unseen(ch_job_t *job)
{
    ch_sql(TAKEN_OVER);
    return NULL;
}

static ch_err_t *lose_it_and_fail(ch_job_t *job)
{
    ch_sql(TAKEN_OVER);
    return ch_err_cause(job->pool, CH_E_INTERNAL_ERROR, "failed");
}

static ch_err_t *lose_it_and_stop(ch_job_t *job)
{
    ch_sql(TAKEN_OVER);
    stop = 1;
    return ch_job_beat(job);
}

static ch_err_t *lose_it_to_the_end(ch_job_t *job)
{
    ch_sql("UPDATE jobs SET status = 'completed', finished_at = now(), "
           "attempts = 2, locked_by = NULL, locked_until = NULL");
    return ch_err_cause(job->pool, CH_E_INTERNAL_ERROR, "failed");
}

static const struct {
    ch_job_fn_t *act;
    const char *state;
} losses[] = {
    { lose_it, "running 2 w2 t f" },
    { lose_it_to_itself, "running 2 w1 t f" },
    { lose_it_unseen, "running 2 w2 t f" },
    { lose_it_and_fail, "running 2 w2 t f" },
    { lose_it_and_stop, "running 2 w2 t f" },
    { lose_it_to_the_end, COMPLETED("2") },
};

/* Whoever was thought dead and comes back changes nothing any more. */
START_TEST(another_has_it)
{
    const char *id;
    int result;

    prepare();
    act = losses[_i].act;
    id = add("type", "'a'");
    work();
    ck_assert_str_eq(state(id), losses[_i].state);
    ck_assert_int_ge(told.warnings, 1);
    for (result = 0; result < CH_JOB__COUNT; result++) {
        ck_assert_uint_eq(counted((ch_job_result_e)result), 0);
    }
}
END_TEST

/* --- the server stops -----------------------------------------------------
 */

static ch_err_t *see_the_stop(ch_job_t *job)
{
    ck_assert_ptr_null(ch_job_beat(job));
    stop = 1;
    return ch_job_beat(job);
}

static ch_err_t *finish_all_the_same(ch_job_t *job)
{
    stop = 1;
    ck_assert_ptr_nonnull(ch_job_beat(job));
    return NULL;
}

static ch_err_t *stop_in_a_transaction(ch_job_t *job)
{
    ck_result(ch_db_begin(job->db), "");
    stop = 1;
    return ch_job_beat(job);
}

START_TEST(given_back)
{
    const char *first, *second;

    prepare();
    act = _i ? see_the_stop : stop_in_a_transaction;
    first = add("type, attempts, run_at", "'a', 2, now() - interval '1 h'");
    second = add("type", "'a'");
    work();
    ck_assert_str_eq(state(first), QUEUED("2"));
    ck_assert_int_le(number(see(first, "extract(epoch FROM now() - run_at)"
                                     "::int")),
                     5);
    ck_assert_str_eq(state(second), QUEUED("0"));
    ck_assert_int_eq(runs, 1);
    ck_assert_int_eq(told.errors + told.warnings, 0);
    ck_assert_int_eq(told.others, 1);
    ck_assert_uint_eq(counted(CH_JOB_RETURNED), 1);
}
END_TEST

START_TEST(done_in_the_last_moment)
{
    const char *id;

    prepare();
    act = finish_all_the_same;
    id = add("type", "'a'");
    work();
    ck_assert_str_eq(state(id), COMPLETED("1"));
    ck_assert_uint_eq(counted(CH_JOB_COMPLETED), 1);
}
END_TEST

/* --- handlers that leave something ----------------------------------------
 */

static int depth;
static int fails;

static ch_err_t *leave_open(ch_job_t *job)
{
    static const ch_sql_t change = {
        .name = "change",
        .text = "UPDATE users SET full_name = 'changed'",
        .index = 0
    };
    int i;

    for (i = 0; i < depth; i++) {
        ck_result(ch_db_begin(job->db), "");
    }
    ck_result(ch_db_exec(job->db, &change, NULL), "");
    return fails ? ch_err_cause(job->pool, CH_E_INTERNAL_ERROR, "x") : NULL;
}

START_TEST(an_open_transaction)
{
    const char *id;

    prepare();
    act = leave_open;
    depth = 1 + _i / 2;
    fails = _i % 2;
    ch_sql("INSERT INTO users (email, password_hash) VALUES ('a@b.c', 'x')");
    id = add("type", "'a'");
    work();
    ck_assert_str_eq(state(id), fails ? "queued 1 f f x" : COMPLETED("1"));
    ck_assert_str_eq(
        ch_sql("SELECT count(*) FROM users WHERE full_name = 'changed'"), "0");
    ck_assert_int_eq(ch_busy(settings.db), 0);
}
END_TEST

/* --- the database is away -------------------------------------------------
 */

START_TEST(no_database)
{
    const char *id;

    prepare();
    id = add("type", "'a'");
    database.refuse = 1;
    work();
    pass(1);
    work();
    ck_assert_int_eq(runs, 0);
    ck_assert_str_eq(state(id), QUEUED("0"));
    ck_assert_int_eq(told.errors + told.warnings + told.others, 0);
    database.refuse = 0;
    pass(1);
    work();
    ck_assert_str_eq(state(id), COMPLETED("1"));
}
END_TEST

static ch_err_t *lose_the_database(ch_job_t *job)
{
    database.refuse = 1;
    return fails ? ch_err_cause(job->pool, CH_E_INTERNAL_ERROR, "x") : NULL;
}

/* An end that cannot be written down: the job runs once more. */
START_TEST(no_database_at_the_end)
{
    const char *id;

    prepare();
    act = lose_the_database;
    fails = _i;
    id = add("type", "'a'");
    work();
    ck_assert_str_eq(state(id), "running 1 w1 t f");
    ck_assert_int_ge(told.warnings, 1);
    ck_assert_uint_eq(counted(CH_JOB_COMPLETED) + counted(CH_JOB_RETRIED), 0);
    database.refuse = 0;
    act = NULL;
    pass(6);
    work();
    ck_assert_str_eq(see(id, "status"), "running"); /* its lock counts */
    ch_sql("UPDATE jobs SET locked_until = now()");
    pass(6);
    work();
    ck_assert_str_eq(state(id), COMPLETED("2"));
}
END_TEST

static ch_err_t *use_the_database(ch_job_t *job)
{
    static const ch_sql_t change = {
        .name = "change",
        .text = "UPDATE users SET full_name = 'changed'",
        .index = 0
    };
    ch_err_t *err = ch_db_begin(job->db);

    if (!err) {
        err = ch_db_exec(job->db, &change, NULL);
    }
    if (!err) {
        err = ch_db_commit(job->db);
    }
    else {
        ch_db_rollback(job->db);
    }
    pass(CH_JOB_BEAT_SECONDS);
    return err ? err : ch_job_beat(job);
}

/* Whichever call for a connection fails, first, second, third …: the job is
 * done in the end, nothing is held, nothing is done twice in one try. */
START_TEST(the_nth_call_fails)
{
    int n, failed = 1;

    prepare();
    act = use_the_database;
    for (n = 1; failed; n++) {
        const char *id = add("type", "'a'");
        int tries;

        ck_assert_int_lt(n, 50);
        database.refuse_at = database.asked + n;
        for (tries = 0; tries < 4; tries++) {
            pass(6);
            work();
            ch_sql("UPDATE jobs SET run_at = now(), locked_until = "
                   "CASE WHEN locked_until IS NOT NULL THEN now() END "
                   "WHERE status IN ('queued', 'running')");
            if (strcmp(see(id, "status"), "completed") == 0) {
                break;
            }
        }
        failed = database.asked >= database.refuse_at;
        ck_assert_msg(strcmp(see(id, "status"), "completed") == 0,
                      "call %d: %s", n, state(id));
        ck_assert_int_le(number(see(id, "attempts")), 2);
        ck_assert_int_eq(ch_busy(settings.db), 0);
        ck_assert_int_eq(told.errors, 0);
        database.refuse_at = 0;
    }
    ck_assert_int_ge(n, 8);
}
END_TEST

/* The same with connections that break. */
START_TEST(connections_break)
{
    int n;

    prepare();
    act = use_the_database;
    for (n = 0; n < 20; n++) {
        const char *id = add("type", "'a'");
        int tries;

        for (tries = 0; tries < 4; tries++) {
            ch_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() "
                   "AND pid <> pg_backend_pid()");
            pass(6);
            work();
            ch_sql("UPDATE jobs SET run_at = now(), locked_until = "
                   "CASE WHEN locked_until IS NOT NULL THEN now() END "
                   "WHERE status IN ('queued', 'running')");
            if (strcmp(see(id, "status"), "completed") == 0) {
                break;
            }
        }
        ck_assert_str_eq(see(id, "status"), "completed");
    }
}
END_TEST

static const int two[] = { 0, 1 };
static const int four[] = { 0, 1, 2, 3 };

CH_POSTGRES_MAIN("jobs/runner, losses", CH_ONCE(rescued),
                 CH_ONCE(chores_while_busy), CH_ONCE(a_long_job),
                 CH_EACH(another_has_it, losses), CH_EACH(given_back, two),
                 CH_ONCE(done_in_the_last_moment),
                 CH_EACH(an_open_transaction, four), CH_ONCE(no_database),
                 CH_EACH(no_database_at_the_end, two),
                 CH_ONCE(the_nth_call_fails), CH_ONCE(connections_break))
