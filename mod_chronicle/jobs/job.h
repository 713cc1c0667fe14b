/* Background jobs: rows of a queue in PostgreSQL, run by any server that
 * works on that database. A job may run more than once (its runner may die at
 * any point), so a handler must be able to begin again. */
#ifndef CH_JOBS_JOB_H
#define CH_JOBS_JOB_H

#include "base/err.h"
#include "base/json.h"
#include "conf.h"
#include "store/db.h"

#define CH_JOB_LOCK_SECONDS 120 /* a silent runner is thought dead then */
#define CH_JOB_BEAT_SECONDS 20

typedef struct ch_job_t ch_job_t;
typedef struct ch_runner_t ch_runner_t;

/* What a handler is given. All of it lives in pool, which ends with the
 * job. */
struct ch_job_t {
    apr_pool_t *pool;
    apr_pool_t *run; /* lives until its runner has nothing more to do: for
                      * what one job after another can use */
    ch_db_t *db;
    const ch_conf_t *conf;
    const char *id;
    const char *type;
    const ch_json_t *payload; /* an object */
    int attempts;             /* this one included, 1 or more */
    int max_attempts;
    int for_good; /* set by the handler: trying again cannot help */

    /* the runner's own */
    ch_runner_t *runner;
    apr_time_t beat;
    enum { CH_JOB_GOES_ON, CH_JOB_STOPPED, CH_JOB_LOST } state;
};

/* Does the job. NULL: it is done. An error: it is tried again later, unless
 * for_good is set; the error's cause (else its message) becomes last_error,
 * so neither may hold a secret. */
typedef ch_err_t *ch_job_fn_t(ch_job_t *job);

/* One type of job; api/api.c lists them. */
typedef struct {
    const char *type;
    ch_job_fn_t *run;
    int (*ready)(const ch_conf_t *conf); /* NULL = always; 0: such jobs wait
                                          * for a server that can run them */
    int every; /* seconds; such a job is made by itself, 0 = never */
} ch_job_kind_t;

#define CH_JOB_KINDS_MAX 16

/* To be called between the steps of a long job, at least twice a minute:
 * tells others that its runner lives. An error when the handler must end now,
 * returning that error: the server stops, or the job is another's by now. */
ch_err_t *ch_job_beat(ch_job_t *job);

/* A line about this job in the error log; level 'e', 'w', 'n', 'i'. */
void ch_job_log(const ch_job_t *job, char level, int number,
                const char *text);

/* Whether the server stops, for a handler that waits for something: it ends
 * its wait and calls ch_job_beat. */
int ch_job_stopping(const ch_job_t *job);

/* Text of the payload's member, NULL when it is not there. */
const char *ch_job_text(const ch_job_t *job, const char *name);

/* The payload's `id`, in lower case. VALIDATION_ERROR, for good, when it names
 * nothing. */
ch_err_t *ch_job_names(ch_job_t *job, const char **id);

/* --- the runner, for httpd/ ------------------------------------------- */

typedef struct {
    const ch_job_kind_t *kinds;
    int kind_count; /* at most CH_JOB_KINDS_MAX */
    /* Whether the server is stopping. */
    int (*stopping)(void *ctx);
    /* One line to the error log; level 'e', 'w', 'n', 'i'. */
    void (*log)(void *ctx, char level, int number, const char *text);
    void *ctx;
} ch_runner_io_t;

/* A runner in pool. name, at most 63 characters, tells it from all others on
 * all hosts. */
ch_runner_t *ch_runner_make(apr_pool_t *pool, const ch_conf_t *conf,
                            const char *name, const ch_runner_io_t *io);

/* Runs what is due, one after another, until nothing is or the server stops;
 * pool is cleared by the caller. A database that is away is no error: there
 * is a next time. */
void ch_runner_work(ch_runner_t *runner, apr_pool_t *pool);

#endif
