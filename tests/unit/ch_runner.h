/* Runners of jobs on a real PostgreSQL, for their tests: a clock, kinds of
 * jobs, and a look at the rows. */
#ifndef CH_TESTS_RUNNER_H
#define CH_TESTS_RUNNER_H

#include "ch_database.h"

#include <time.h>

#include "base/steady.h"
#include "jobs/job.h"
#include "store/counter.h"

/* --- the clock ------------------------------------------------------------
 */

/* Goes as it always does, but can be put forward. PostgreSQL's does not, and
 * nobody's depends on what the wall shows. */
static apr_time_t shift;

apr_time_t ch_steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000
           + __atomic_load_n(&shift, __ATOMIC_SEQ_CST);
}

static inline void pass(int seconds)
{
    __atomic_fetch_add(&shift, apr_time_from_sec(seconds), __ATOMIC_SEQ_CST);
}

/* --- runners --------------------------------------------------------------
 */

static int stop;

static inline int is_stopping(void *ctx)
{
    return __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

/* Lines of the log, by level; the last one. */
static struct {
    int errors, warnings, others, rescues;
    char text[1024];
} told;

static inline void take_note(void *ctx, char level, int number,
                             const char *text)
{
    told.errors += level == 'e';
    told.warnings += level == 'w' && number != 1022;
    told.rescues += number == 1022;
    told.others += level == 'i';
    ck_assert_int_eq(number, number == 1022 ? 1022
                             : level == 'e' ? 1021
                                            : 1020);
    snprintf(told.text, sizeof(told.text), "%s", text);
}

static inline int number(const char *text)
{
    return (int)apr_atoi64(text);
}

/* What the handlers do; a test chooses. */
static ch_job_fn_t *act;
static int runs;
static char order[64]; /* of texts of the payloads */

static inline ch_err_t *run(ch_job_t *job)
{
    const char *text = ch_job_text(job, "t");

    __atomic_fetch_add(&runs, 1, __ATOMIC_SEQ_CST);
    if (text && strlen(order) + strlen(text) < sizeof(order)) {
        size_t len = strlen(order);

        apr_cpystrn(order + len, text, sizeof(order) - len);
    }
    return act ? act(job) : NULL;
}

static inline int never(const ch_conf_t *c)
{
    return 0;
}

static inline int always(const ch_conf_t *c)
{
    return c->enabled;
}

static const ch_job_kind_t kinds[] = {
    { .type = "a", .run = run },
    { .type = "b", .run = run, .ready = always },
    { .type = "c", .run = run, .ready = never },
};

static const ch_runner_io_t io = { .kinds = kinds,
                                   .kind_count = (int)CH_COUNT(kinds),
                                   .stopping = is_stopping,
                                   .log = take_note };

static ch_conf_t settings;
static ch_runner_t *runner;

static inline void prepare(void)
{
    ch_database_make();
    settings.enabled = 1;
    settings.db = ch_home_make(CH_CONNECTIONS, 1000);
    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
    runner = ch_runner_make(pool, &settings, "w1", &io);
}

static inline void work(void)
{
    ch_runner_work(runner, pool);
    ck_assert_int_eq(database.opened, database.closed);
}

/* --- jobs -----------------------------------------------------------------
 */

/* A job with these columns: its id. */
static inline const char *add(const char *columns, const char *values)
{
    return ch_sql(apr_psprintf(pool,
                               "INSERT INTO jobs (payload, %s) VALUES ('{}', "
                               "%s) RETURNING id",
                               columns, values));
}

static inline void add_text(const char *type, const char *text, int due)
{
    ch_sql(apr_psprintf(pool,
                        "INSERT INTO jobs (type, payload, run_at) VALUES "
                        "('%s', '{\"t\": \"%s\"}', now() + interval '%d s')",
                        type, text, due));
}

static inline const char *see(const char *id, const char *expression)
{
    return ch_sql(apr_psprintf(pool, "SELECT %s FROM jobs WHERE id = '%s'",
                               expression, id));
}

/* The whole of it in one line. */
static inline const char *state(const char *id)
{
    return see(id, "concat_ws(' ', status, attempts, locked_by, "
                   "locked_until IS NOT NULL, finished_at IS NOT NULL, "
                   "last_error)");
}

#define QUEUED(attempts) "queued " attempts " f f"
#define COMPLETED(attempts) "completed " attempts " f t"

static inline apr_uint64_t counted(ch_job_result_e result)
{
    return ch_counter_read()->jobs[0][result];
}

#endif
