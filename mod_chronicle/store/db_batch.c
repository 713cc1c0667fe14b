/* Sends quick statements of several requests together.
 *
 * Threads that find nobody at work become a leader: they take whoever queues
 * behind them along, send all statements in one go, and hand out the results
 * as they come. What a round trip and the switch to a Postgres process cost
 * is so paid once for many. A leader leads once; then the next in the queue
 * does. */
#include "store/db_batch.h"

#include <apr_thread_mutex.h>

#include "store/waiter.h"

#define BATCH_MAX 16 /* statements that go together, by their weight */

typedef enum { JOB_QUEUED, JOB_DONE, JOB_FAILED, JOB_LEADS } job_e;

/* One statement, on its thread's stack. */
typedef struct {
    ch_waiter_t waiter;
    const ch_sql_t *sql;
    const ch_encoded_t *in;
    PGresult *res;
    job_e state;
} job_t;

struct ch_batch_t {
    apr_thread_mutex_t *mutex;
    int leaders;
    int leaders_max;
    ch_waiters_t queue;
};

ch_batch_t *ch_batch_make(apr_pool_t *pool, int leaders)
{
    ch_batch_t *batch = apr_pcalloc(pool, sizeof(*batch));

    batch->leaders_max = leaders > 0 ? leaders : 1;
    ch_waiters_init(&batch->queue);
    if (apr_thread_mutex_create(&batch->mutex, APR_THREAD_MUTEX_DEFAULT, pool)
        != APR_SUCCESS) {
        return NULL;
    }
    return batch;
}

/* --- the queue -------------------------------------------------------- */

/* Becomes a leader, or waits for one's result or for one's turn to lead. */
static void join(ch_batch_t *batch, job_t *self)
{
    apr_thread_mutex_lock(batch->mutex);
    if (batch->leaders < batch->leaders_max) {
        batch->leaders++;
        self->state = JOB_LEADS;
        apr_thread_mutex_unlock(batch->mutex);
        return;
    }
    ch_waiters_push(&batch->queue, &self->waiter);
    apr_thread_mutex_unlock(batch->mutex);
    /* no time limit of its own: a leader's wait for a connection has one, and
     * so have statements */
    ch_waiter_sleep(&self->waiter, -1);
}

static void wake(job_t *job, job_e state)
{
    job->state = state;
    ch_waiter_wake(&job->waiter);
}

/* Those who go along, the leader first. */
static int take_along(ch_batch_t *batch, job_t *self, job_t **jobs)
{
    int weight = self->sql->batch;
    int count = 1;
    job_t *next;

    jobs[0] = self;
    apr_thread_mutex_lock(batch->mutex);
    while ((next = (job_t *)batch->queue.first)
           && weight + next->sql->batch <= BATCH_MAX) {
        ch_waiters_pop(&batch->queue);
        weight += next->sql->batch;
        jobs[count++] = next;
    }
    apr_thread_mutex_unlock(batch->mutex);
    return count;
}

static void pass_on(ch_batch_t *batch)
{
    job_t *next;

    apr_thread_mutex_lock(batch->mutex);
    next = (job_t *)ch_waiters_pop(&batch->queue);
    if (!next) {
        batch->leaders--;
    }
    apr_thread_mutex_unlock(batch->mutex);
    if (next) {
        wake(next, JOB_LEADS);
    }
}

/* --- one round trip --------------------------------------------------- */

static int prepare_all(const ch_conn_t *conn, job_t **jobs, int count)
{
    int i;

    if (!ch_conn_plan(conn, 0)) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        PGresult *res = NULL;

        if (!ch_conn_prepared(conn, jobs[i]->sql)) {
            int good = ch_conn_prepare(conn, jobs[i]->sql, &res) == RUN_DONE;

            PQclear(res);
            if (!good) {
                return 0;
            }
        }
    }
    return 1;
}

static int send_all(const ch_conn_t *conn, job_t **jobs, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        const job_t *job = jobs[i];

        if (!PQsendQueryPrepared(conn->pg, job->sql->name, job->sql->params,
                                 job->in->values, job->in->lengths,
                                 job->in->formats, 0)) {
            return 0;
        }
    }
    return PQpipelineSync(conn->pg);
}

/* The result of one statement; NULL for one that failed, was skipped because
 * one before it did, or was lost. */
static PGresult *receive(const ch_conn_t *conn)
{
    PGresult *res = PQgetResult(conn->pg);
    PGresult *end;

    if (res && PQresultStatus(res) != PGRES_TUPLES_OK) {
        PQclear(res);
        res = NULL;
    }
    /* a statement's results end with NULL */
    while ((end = PQgetResult(conn->pg))) {
        PQclear(end);
    }
    return res;
}

/* A single statement needs no pipeline. */
static void run_single(const ch_conn_t *conn, job_t *job)
{
    PGresult *res = PQexecPrepared(
        conn->pg, job->sql->name, job->sql->params, job->in->values,
        job->in->lengths, job->in->formats, 0);

    if (PQresultStatus(res) == PGRES_TUPLES_OK) {
        job->res = res;
    }
    else {
        PQclear(res);
    }
}

/* All results, handed out as they come; the leader's own is the first. */
static int run_pipeline(const ch_conn_t *conn, job_t **jobs, int count)
{
    int done = 0;
    PGresult *sync;

    if (!PQenterPipelineMode(conn->pg)) {
        return 0;
    }
    if (send_all(conn, jobs, count)) {
        for (; done < count && PQstatus(conn->pg) == CONNECTION_OK; done++) {
            jobs[done]->res = receive(conn);
            if (done) {
                wake(jobs[done], JOB_DONE);
            }
        }
        while ((sync = PQgetResult(conn->pg))) {
            PQclear(sync); /* PGRES_PIPELINE_SYNC */
        }
    }
    PQexitPipelineMode(conn->pg);
    return done;
}

static void run_batch(const ch_conn_t *conn, job_t **jobs, int count)
{
    int done = 0;

    if (prepare_all(conn, jobs, count)) {
        if (count == 1) {
            run_single(conn, jobs[0]);
        }
        else {
            done = run_pipeline(conn, jobs, count);
        }
    }
    /* whoever got nothing runs by himself, with all repairs that belong to
     * that */
    for (done = done ? done : 1; done < count; done++) {
        wake(jobs[done], JOB_DONE);
    }
}

/* No connection: nobody who queues shall wait for one all over again. */
static void fail_all(ch_batch_t *batch)
{
    job_t *next;

    apr_thread_mutex_lock(batch->mutex);
    batch->leaders--;
    while ((next = (job_t *)ch_waiters_pop(&batch->queue))) {
        wake(next, JOB_FAILED);
    }
    apr_thread_mutex_unlock(batch->mutex);
}

static ch_err_t *lead(apr_pool_t *pool, ch_db_home_t *home,
                      ch_batch_t *batch, job_t *self)
{
    job_t *jobs[BATCH_MAX];
    ch_conn_t conn;
    ch_err_t *err = ch_conn_take(pool, home, &conn);

    if (err) {
        fail_all(batch);
        return err;
    }
    /* only now: who came while we waited for the connection goes along */
    run_batch(&conn, jobs, take_along(batch, self, jobs));
    ch_conn_give(home, &conn);
    pass_on(batch);
    return NULL;
}

ch_err_t *ch_batch_run(apr_pool_t *pool, ch_db_home_t *home,
                       ch_batch_t *batch, const ch_sql_t *sql,
                       const ch_encoded_t *in, PGresult **res)
{
    job_t self = { .sql = sql, .in = in, .state = JOB_QUEUED };
    ch_err_t *err = NULL;

    join(batch, &self);
    if (self.state == JOB_LEADS) {
        err = lead(pool, home, batch, &self);
    }
    else if (self.state == JOB_FAILED) {
        err = ch_err_cause(pool, CH_E_DATABASE_ERROR,
                           "database: no connection for a batch");
    }
    *res = self.res;
    return err;
}
