/* Threads that may wait: they do what needs the database, and hand the result
 * back to the loop. */
#ifndef CH_REALTIME_HANDS_H
#define CH_REALTIME_HANDS_H

#include "realtime/core.h"

/* Work: `work` runs in a hand, then `done` in the loop, which also ends the
 * task's pool. The first member of what a kind of work needs. */
typedef struct ch_task_t ch_task_t;
struct ch_task_t {
    ch_post_t post;
    ch_task_t *next;
    apr_pool_t *pool; /* of the task; one thread at a time */
    const ch_conf_t *conf;
    void (*work)(ch_task_t *task);
    void (*done)(ch_task_t *task);
};

/* A task of `size` bytes in a pool of its own, zeroed. Any thread. */
void *ch_hands_task(size_t size, const ch_conf_t *conf);

/* Gives it to the hands. Any thread. After ch_hands_end it is only done. */
void ch_hands_give(ch_task_t *task);

/* A request as a hand needs it: pool, settings, database, io; nobody is
 * known, and there are no headers. */
ch_req_t *ch_hands_request(ch_task_t *task, const char *client_ip);

/* What could not be done, for the log; NULL is nothing. In a hand. */
void ch_hands_complain(ch_req_t *rq, const ch_err_t *err);

/* From a hand: has `run` run in the loop and waits for that. */
void ch_hands_in_loop(void (*run)(void *ctx), void *ctx);

/* Starts `count` threads; 0 when the system refuses. */
int ch_hands_begin(apr_pool_t *pool, int count);

/* Waits for what is under way; what was not begun is done without work. */
void ch_hands_end(void);

#endif
