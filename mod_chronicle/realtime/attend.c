/* Tells the others who is here: at once when somebody comes or goes, and every
 * some seconds that this place is there. */
#include <string.h>

#include <apr_strings.h>

#include "base/uuid.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "realtime/presence.h"
#include "realtime/wire.h"
#include "store/bus.h"

#define BATCH 500

static void nothing_more(ch_task_t *task)
{
}

/* --- presence --------------------------------------------------------- */

typedef ch_err_t *presence_t(ch_req_t *rq, const char *place,
                             const apr_array_header_t *users);

typedef struct {
    ch_task_t task;
    presence_t *what;
    apr_array_header_t *users;
} presence_task_t;

static void set_presence(ch_task_t *task)
{
    presence_task_t *t = (presence_task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, NULL);
    ch_err_t *err = t->what(rq, ch_core.place, t->users);

    if (!err && rq->after) {
        rq->after(rq);
    }
    ch_hands_complain(rq, err);
}

static presence_task_t *presence_task(const ch_conf_t *conf, presence_t *what)
{
    presence_task_t *t = ch_hands_task(sizeof(*t), conf);

    t->what = what;
    t->users = apr_array_make(t->task.pool, 8, sizeof(char *));
    t->task.work = set_presence;
    t->task.done = nothing_more;
    return t;
}

/* Who came back while it was said that he went is here again. */
static void went(ch_task_t *task)
{
    presence_task_t *t = (presence_task_t *)(void *)task;
    const char *text = APR_ARRAY_IDX(t->users, 0, const char *);
    presence_task_t *back;
    unsigned char id[16];
    ch_user_t *user;

    ch_uuid_bytes(text, id);
    user = ch_hub_user(task->conf->site, id);
    if (user && user->socks) {
        back = presence_task(task->conf, ch_presence_up);
        ch_uuid_push(back->users, id);
        ch_hands_give(&back->task);
    }
}

void ch_attend_gone(const ch_conf_t *conf, const char *user)
{
    presence_task_t *t = presence_task(conf, ch_presence_down);

    APR_ARRAY_PUSH(t->users, const char *) = apr_pstrdup(t->task.pool, user);
    t->task.done = went;
    ch_hands_give(&t->task);
}

/* --- every some seconds ----------------------------------------------- */

typedef struct {
    ch_task_t task;
    int lost; /* nothing is known of this place: all are to be told */
} beat_task_t;

static ch_timer_t timer;

static void beat(ch_task_t *task)
{
    beat_task_t *t = (beat_task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, NULL);
    ch_err_t *err = ch_presence_beat(rq, ch_core.place, &t->lost);

    if (!err) {
        err = ch_presence_sweep(rq);
    }
    if (!err && rq->after) {
        rq->after(rq);
    }
    ch_hands_complain(rq, err);
}

typedef struct {
    const ch_conf_t *conf;
    presence_task_t *task;
} batch_t;

static void tell_user(ch_user_t *user, void *ctx)
{
    batch_t *batch = ctx;

    if (user->conf->site != batch->conf->site || !user->socks) {
        return;
    }
    if (!batch->task) {
        batch->task = presence_task(batch->conf, ch_presence_up);
    }
    ch_uuid_push(batch->task->users, user->key);
    if (batch->task->users->nelts >= BATCH) {
        ch_hands_give(&batch->task->task);
        batch->task = NULL;
    }
}

static void beaten(ch_task_t *task)
{
    beat_task_t *t = (beat_task_t *)(void *)task;
    batch_t batch = { .conf = task->conf };

    if (!t->lost) {
        return;
    }
    ch_hub_each_user(tell_user, &batch);
    if (batch.task) {
        ch_hands_give(&batch.task->task);
    }
}

/* While announcements don't come in, or could not be followed, everything is
 * looked at instead. */
static void on_time(ch_timer_t *unused)
{
    int owed = ch_tend_owed();
    int i;

    for (i = 0; i < ch_core.conf->conf_count; i++) {
        const ch_conf_t *conf = ch_core.conf->confs[i];
        beat_task_t *t;

        if (!apr_hash_count(ch_core.socks)) {
            break;
        }
        t = ch_hands_task(sizeof(*t), conf);
        t->task.work = beat;
        t->task.done = beaten;
        ch_hands_give(&t->task);
        if (ch_bus_works(conf->site) && !owed) {
            ch_mend_rooms(conf);
        }
        else {
            ch_tend_all(conf->site);
        }
    }
    ch_loop_timer_set(ch_core.loop, &timer,
                      ch_loop_now(ch_core.loop) + CH_PRESENCE_BEAT);
}

void ch_attend_begin(void)
{
    timer.due = on_time;
    ch_loop_timer_set(ch_core.loop, &timer,
                      ch_loop_now(ch_core.loop) + CH_PRESENCE_BEAT);
}

void ch_attend_end(void)
{
    ch_loop_timer_clear(&timer);
}
