/* Takes jobs from the queue and runs them, one at a time. */
#include <string.h>

#include <apr_strings.h>

#include "base/steady.h"
#include "base/text.h"
#include "base/uuid.h"
#include "jobs/job.h"
#include "store/counter.h"
#include "store/sql_gen.h"

#define ERROR_MAX 500 /* bytes of last_error */
#define CHORES_EVERY apr_time_from_sec(5)

struct ch_runner_t {
    const ch_conf_t *conf;
    const char *name;
    const ch_runner_io_t *io;
    apr_time_t chores; /* when they were last done */
};

ch_runner_t *ch_runner_make(apr_pool_t *pool, const ch_conf_t *conf,
                            const char *name, const ch_runner_io_t *io)
{
    ch_runner_t *runner = apr_pcalloc(pool, sizeof(*runner));

    runner->conf = conf;
    runner->name = apr_pstrdup(pool, name);
    runner->io = io;
    return runner;
}

static int stopping(const ch_runner_t *runner)
{
    return runner->io->stopping(runner->io->ctx);
}

static const char *reason(const ch_err_t *err)
{
    return err->cause ? err->cause : err->message;
}

/* --- what handlers call ----------------------------------------------- */

const char *ch_job_text(const ch_job_t *job, const char *name)
{
    const ch_json_t *value = ch_json_get(job->payload, name);
    size_t len;

    return value && ch_json_type(value) == CH_JSON_STRING
               ? ch_json_string(value, &len)
               : NULL;
}

ch_err_t *ch_job_names(ch_job_t *job, const char **id)
{
    const char *named = ch_job_text(job, "id");
    char *text = apr_palloc(job->pool, CH_UUID_LEN + 1);

    *id = text;
    if (named && ch_uuid_parse(named, strlen(named), text)) {
        return NULL;
    }
    job->for_good = 1;
    return ch_err_cause(job->pool, CH_E_VALIDATION_ERROR,
                        "the payload names nothing");
}

void ch_job_log(const ch_job_t *job, char level, int number, const char *text)
{
    const ch_runner_io_t *io = job->runner->io;

    io->log(io->ctx, level, number,
            apr_psprintf(job->pool, "job %s %s: %s", job->type, job->id,
                         text));
}

int ch_job_stopping(const ch_job_t *job)
{
    return stopping(job->runner);
}

ch_err_t *ch_job_beat(ch_job_t *job)
{
    apr_time_t now = ch_steady_now();
    sql_job_beat_t in = { .id = job->id,
                          .attempts = job->attempts,
                          .seconds = CH_JOB_LOCK_SECONDS };
    apr_int64_t mine = 0;
    ch_err_t *err;

    if (stopping(job->runner)) {
        job->state = CH_JOB_STOPPED;
        return ch_err_cause(job->pool, CH_E_SERVICE_UNAVAILABLE,
                            "the server stops");
    }
    if (now < job->beat + apr_time_from_sec(CH_JOB_BEAT_SECONDS)) {
        return NULL;
    }
    in.worker = job->runner->name;
    err = sql_job_beat(job->db, &in, &mine);
    if (err) {
        return err;
    }
    if (!mine) {
        job->state = CH_JOB_LOST;
        return ch_err_cause(job->pool, CH_E_CONFLICT,
                            "another runner has taken the job");
    }
    job->beat = now;
    return NULL;
}

/* --- ends ------------------------------------------------------------- */

static int kind_of(const ch_runner_t *runner, const char *type)
{
    int i;

    for (i = 0; i < runner->io->kind_count; i++) {
        if (strcmp(runner->io->kinds[i].type, type) == 0) {
            return i;
        }
    }
    return -1;
}

static void tell(const ch_job_t *job, char level, const char *text)
{
    const ch_runner_io_t *io = job->runner->io;
    const char *line = apr_psprintf(job->pool,
                                    "job %s %s (try %d of %d): %s", job->type,
                                    job->id, job->attempts,
                                    job->max_attempts, text);

    if (level == 'e') {
        io->log(io->ctx, level, 1021, line);
    }
    else {
        io->log(io->ctx, level, 1020, line);
    }
}

/* Counts an end that was written down. Whoever comes too late has changed
 * nothing. */
static void count(const ch_job_t *job, ch_job_result_e result, int mine)
{
    if (mine) {
        ch_counter_job(kind_of(job->runner, job->type), result);
    }
    else {
        tell(job, 'w', "it ended after another runner had taken it");
    }
}

static ch_err_t *finish(const ch_job_t *job)
{
    const sql_job_done_t in = { .id = job->id,
                                .worker = job->runner->name,
                                .attempts = job->attempts };
    apr_int64_t mine;
    ch_err_t *err = sql_job_done(job->db, &in, &mine);

    if (!err) {
        count(job, CH_JOB_COMPLETED, mine != 0);
    }
    return err;
}

static ch_err_t *give_back(const ch_job_t *job)
{
    const sql_job_return_t in = { .id = job->id,
                                  .worker = job->runner->name,
                                  .attempts = job->attempts };
    apr_int64_t mine;
    ch_err_t *err = sql_job_return(job->db, &in, &mine);

    if (!err) {
        count(job, CH_JOB_RETURNED, mine != 0);
        tell(job, 'i', "given back, the server stops");
    }
    return err;
}

static ch_err_t *fail(const ch_job_t *job, const char *why)
{
    const sql_job_failed_t in = {
        .id = job->id,
        .worker = job->runner->name,
        .attempts = job->attempts,
        .error = ch_text_clean(job->pool, why, strnlen(why, ERROR_MAX)),
        .for_good = job->for_good,
    };
    int last = job->for_good || job->attempts >= job->max_attempts;
    ch_rows_t *rows;
    ch_err_t *err;

    tell(job, last ? 'e' : 'w', why);
    err = sql_job_failed(job->db, &in, &rows);
    if (!err) {
        count(job, last ? CH_JOB_FAILED : CH_JOB_RETRIED,
              ch_rows_count(rows));
    }
    return err;
}

/* An end that cannot be written down leaves the row locked: after
 * CH_JOB_LOCK_SECONDS the job runs once more. */
static void end(const ch_job_t *job, const ch_err_t *outcome)
{
    ch_err_t *err = NULL;

    if (!outcome) {
        err = finish(job);
    }
    else if (job->state == CH_JOB_STOPPED) {
        err = give_back(job);
    }
    else if (job->state == CH_JOB_LOST) {
        tell(job, 'w', reason(outcome));
    }
    else {
        err = fail(job, reason(outcome));
    }
    if (err) {
        tell(job, 'w', reason(err));
    }
}

/* --- running ---------------------------------------------------------- */

/* What this server can run now. */
static apr_array_header_t *ready_types(apr_pool_t *pool,
                                       const ch_runner_t *runner)
{
    apr_array_header_t *types =
        apr_array_make(pool, CH_JOB_KINDS_MAX, sizeof(const char *));
    int i;

    for (i = 0; i < runner->io->kind_count; i++) {
        const ch_job_kind_t *kind = &runner->io->kinds[i];

        if (!kind->ready || kind->ready(runner->conf)) {
            APR_ARRAY_PUSH(types, const char *) = kind->type;
        }
    }
    return types;
}

/* Fills job from a row; its payload must be an object. */
static ch_err_t *read_row(ch_job_t *job, const ch_rows_t *rows)
{
    const char *payload = ch_rows_text(rows, 0, "payload");
    ch_err_t *err;

    job->id = ch_rows_text(rows, 0, "id");
    job->type = ch_rows_text(rows, 0, "type");
    job->attempts = (int)ch_rows_int(rows, 0, "attempts");
    job->max_attempts = (int)ch_rows_int(rows, 0, "max_attempts");
    job->beat = ch_steady_now();
    err = ch_json_parse(job->pool, payload, strlen(payload),
                        CH_JSON_DEPTH_MAX, &job->payload);
    if (!err && ch_json_type(job->payload) != CH_JSON_OBJECT) {
        err = ch_err_cause(job->pool, CH_E_VALIDATION_ERROR,
                           "the payload is no object");
    }
    job->for_good = err != NULL;
    return err;
}

/* Runs one job that is due: 1, or 0 when there is none. */
static int step(ch_runner_t *runner, apr_pool_t *run, apr_pool_t *pool)
{
    ch_job_t job = { .pool = pool,
                     .run = run,
                     .conf = runner->conf,
                     .runner = runner };
    sql_job_claim_t in = { .worker = runner->name,
                           .seconds = CH_JOB_LOCK_SECONDS };
    ch_rows_t *rows;
    ch_err_t *err;

    job.db = ch_db_make(pool, runner->conf->db);
    in.types = ready_types(pool, runner);
    err = sql_job_claim(job.db, &in, &rows);
    if (err || !ch_rows_count(rows)) {
        return 0;
    }
    err = read_row(&job, rows);
    if (!err) {
        err = runner->io->kinds[kind_of(runner, job.type)].run(&job);
    }
    ch_db_abandon(job.db); /* what a handler may have left open */
    end(&job, err);
    return 1;
}

/* --- chores ----------------------------------------------------------- */

static ch_err_t *make_periodic(const ch_runner_t *runner, apr_pool_t *pool,
                               ch_db_t *db)
{
    apr_array_header_t *types =
        apr_array_make(pool, CH_JOB_KINDS_MAX, sizeof(const char *));
    apr_array_header_t *every =
        apr_array_make(pool, CH_JOB_KINDS_MAX, sizeof(apr_int64_t));
    const sql_job_periodic_t in = { .types = types, .every = every };
    int i;

    for (i = 0; i < runner->io->kind_count; i++) {
        const ch_job_kind_t *kind = &runner->io->kinds[i];

        if (kind->every) {
            APR_ARRAY_PUSH(types, const char *) = kind->type;
            APR_ARRAY_PUSH(every, apr_int64_t) = kind->every;
        }
    }
    return sql_job_periodic(db, &in);
}

static ch_err_t *rescue(const ch_runner_t *runner, apr_pool_t *pool,
                        ch_db_t *db)
{
    apr_int64_t rescued = 0;
    ch_err_t *err = sql_job_rescue(db, &rescued);

    if (rescued) {
        runner->io->log(runner->io->ctx, 'w', 1022,
                        apr_psprintf(pool,
                                     "%" APR_INT64_T_FMT " jobs were left by "
                                     "runners that died; they are due again",
                                     rescued));
    }
    return err;
}

/* Makes the jobs of this period, takes up those of dead runners, counts the
 * queue. */
static void do_chores(const ch_runner_t *runner, apr_pool_t *pool)
{
    ch_db_t *db = ch_db_make(pool, runner->conf->db);
    ch_rows_t *rows;

    if (make_periodic(runner, pool, db) || rescue(runner, pool, db)
        || sql_health_jobs(db, &rows)) {
        return;
    }
    ch_counter_queue(ch_rows_int(rows, 0, "queued"),
                     ch_rows_int(rows, 0, "failed"));
}

/* A queue that never gets empty does not keep anybody from the chores. */
void ch_runner_work(ch_runner_t *runner, apr_pool_t *pool)
{
    apr_pool_t *run, *sub;
    int more = 1;

    apr_pool_create(&run, pool);
    apr_pool_create(&sub, run);
    while (more && !stopping(runner)) {
        if (ch_steady_now() >= runner->chores + CHORES_EVERY) {
            runner->chores = ch_steady_now();
            do_chores(runner, sub);
        }
        more = step(runner, run, sub);
        apr_pool_clear(sub);
    }
    apr_pool_destroy(run);
}
