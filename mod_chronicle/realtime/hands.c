/* Runs tasks in threads of their own, first come, first served. */
#include "realtime/hands.h"

#include <pthread.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "base/trace.h"
#include "base/uuid.h"

#define HANDS_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static ch_task_t *first, **last = &first;
static int ending;
static apr_thread_t *threads[HANDS_MAX];
static int thread_count;

void *ch_hands_task(size_t size, const ch_conf_t *conf)
{
    apr_pool_t *pool;
    ch_task_t *task;

    apr_pool_create(&pool, NULL);
    task = apr_pcalloc(pool, size);
    task->pool = pool;
    task->conf = conf;
    return task;
}

static void finish(ch_post_t *post)
{
    ch_task_t *task = (ch_task_t *)(void *)post;

    task->done(task);
    apr_pool_destroy(task->pool);
}

static void hand_back(ch_task_t *task)
{
    task->post.run = finish;
    ch_loop_req_post(ch_core.loop, &task->post);
}

void ch_hands_give(ch_task_t *task)
{
    int refused;

    task->next = NULL;
    pthread_mutex_lock(&lock);
    refused = ending;
    if (!refused) {
        *last = task;
        last = &task->next;
        pthread_cond_signal(&more);
    }
    pthread_mutex_unlock(&lock);
    if (refused) {
        hand_back(task);
    }
}

static ch_task_t *take(void)
{
    ch_task_t *task;

    pthread_mutex_lock(&lock);
    while (!first && !ending) {
        pthread_cond_wait(&more, &lock);
    }
    task = ending ? NULL : first;
    if (task) {
        first = task->next;
        if (!first) {
            last = &first;
        }
    }
    pthread_mutex_unlock(&lock);
    return task;
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *unused)
{
    ch_task_t *task;

    while ((task = take()) != NULL) {
        task->work(task);
        hand_back(task);
    }
    return NULL;
}

int ch_hands_begin(apr_pool_t *pool, int count)
{
    int i;

    for (i = 0; i < count && i < HANDS_MAX; i++) {
        if (apr_thread_create(&threads[i], NULL, run, NULL, pool)
            != APR_SUCCESS) {
            break;
        }
        thread_count++;
    }
    return thread_count > 0;
}

void ch_hands_end(void)
{
    apr_status_t rv;
    ch_task_t *task;
    int i;

    pthread_mutex_lock(&lock);
    ending = 1;
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&lock);
    for (i = 0; i < thread_count; i++) {
        apr_thread_join(&rv, threads[i]);
    }
    thread_count = 0;
    while ((task = first) != NULL) {
        first = task->next;
        hand_back(task);
    }
    last = &first;
}

/* --- inside a task ---------------------------------------------------- */

ch_req_t *ch_hands_request(ch_task_t *task, const char *client_ip)
{
    ch_req_t *rq = apr_pcalloc(task->pool, sizeof(*rq));

    rq->pool = task->pool;
    rq->io = ch_core.conf->io;
    rq->conf = task->conf;
    rq->start = apr_time_now();
    rq->method = CH_POST;
    rq->method_name = "POST";
    rq->raw_path = rq->sent_path = rq->canonical = "/socket.io/";
    rq->in = apr_table_make(task->pool, 2);
    rq->out = apr_table_make(task->pool, 2);
    rq->client_ip = client_ip ? client_ip : "";
    rq->host = "";
    rq->request_id = ch_uuid_make(task->pool);
    ch_trace_make(&rq->trace);
    rq->db = ch_db_make(task->pool, task->conf->db);
    return rq;
}

void ch_hands_complain(ch_req_t *rq, const ch_err_t *err)
{
    if (err && err->cause) {
        rq->io->log(rq, ch_code_status(err->code) >= 500 ? 'e' : 'i', 1126,
                    err->cause);
    }
}

typedef struct {
    ch_post_t post;
    void (*run)(void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t came;
    int done;
} visit_t;

static void visit(ch_post_t *post)
{
    visit_t *v = (visit_t *)(void *)post;

    v->run(v->ctx);
    pthread_mutex_lock(&v->lock);
    v->done = 1;
    pthread_cond_signal(&v->came);
    pthread_mutex_unlock(&v->lock);
}

void ch_hands_in_loop(void (*work)(void *ctx), void *ctx)
{
    visit_t v = { .post = { .run = visit }, .run = work, .ctx = ctx };

    pthread_mutex_init(&v.lock, NULL);
    pthread_cond_init(&v.came, NULL);
    ch_loop_req_post(ch_core.loop, &v.post);
    pthread_mutex_lock(&v.lock);
    while (!v.done) {
        pthread_cond_wait(&v.came, &v.lock);
    }
    pthread_mutex_unlock(&v.lock);
    pthread_cond_destroy(&v.came);
    pthread_mutex_destroy(&v.lock);
}
