/* Finds out which rooms are behind the database, and makes good what was lost:
 * a publisher may die between its commit and what it would have told. */
#include <string.h>

#include <apr_strings.h>

#include "base/uuid.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "store/sql_gen.h"

#define BATCH 1000
#define LATER APR_USEC_PER_SEC
#define LONG_AGO (APR_USEC_PER_SEC / 5)

/* --- one room that is behind ------------------------------------------ */

typedef struct {
    ch_task_t task;
    unsigned char room[16];
    apr_int64_t seq;
    apr_int64_t until; /* events up to this one had time to arrive */
    int looked;        /* 0: the child is to end */
    ch_err_t *err;
    apr_int64_t number;
    apr_array_header_t *missed; /* NULL: there is no such room */
} room_task_t;

static void look_room(ch_task_t *task)
{
    room_task_t *t = (room_task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, NULL);
    char id[CH_UUID_LEN + 1];

    ch_uuid_text(t->room, id);
    t->looked = 1;
    t->err = ch_core.conf->missed(rq, id, t->seq, &t->number, &t->missed);
    ch_hands_complain(rq, t->err);
}

static void deliver_missed(ch_room_t *room, const room_task_t *t)
{
    unsigned char user[16];
    int i;

    for (i = 0; i < t->missed->nelts; i++) {
        const ch_missed_t *message =
            &APR_ARRAY_IDX(t->missed, i, ch_missed_t);

        memset(user, 0, sizeof(user));
        if (message->user) {
            ch_uuid_bytes(message->user, user);
        }
        ch_deliver_missed(room, user, message->seq, message->data);
    }
}

static void is_gone(ch_room_t *room, const char *id)
{
    char data[CH_UUID_LEN + 20];
    ch_record_t record = {
        .what = CH_PUB_GONE,
        .site = room->conf->site,
        .name = { "room:deleted", 12 },
    };

    apr_snprintf(data, sizeof(data), "{\"roomId\":\"%s\"}", id);
    record.data = (ch_bytes_t){ data, strlen(data) };
    memcpy(record.room, room->key, 16);
    ch_deliver(&record);
}

/* Nothing comes any more but what is here. */
static void last_of(ch_room_t *room)
{
    char id[CH_UUID_LEN + 1];

    while (room->early) {
        room->next = room->early->record.number;
        ch_deliver_early(room);
    }
    ch_uuid_text(room->key, id);
    is_gone(room, id);
}

static void room_looked(ch_task_t *task)
{
    room_task_t *t = (room_task_t *)(void *)task;
    ch_room_t *room = ch_hub_room(task->conf->site, t->room);
    int more = !t->err && t->missed && t->missed->nelts && !t->number;
    apr_int64_t until = t->number < t->until ? t->number : t->until;

    if (!room) {
        return;
    }
    room->catching = 0;
    if (!t->err && t->missed) {
        deliver_missed(room, t);
        if (!more && room->next <= until) {
            room->next = until + 1;
            ch_tend_members(room); /* somebody may have left meanwhile */
        }
        ch_deliver_early(room);
    }
    if (t->looked && !t->err && !t->missed) {
        last_of(room);
        return;
    }
    if (more) {
        ch_mend_room(room);
    }
    else if (room->early || room->next <= room->behind) { /* it could not be */
        ch_loop_timer_set(ch_core.loop, &room->timer,
                          ch_loop_now(ch_core.loop) + LATER);
    }
    ch_hub_tidy(room);
}

/* What was committed before an event that came some time ago had time to
 * come. */
static apr_int64_t had_time(const ch_room_t *room)
{
    apr_time_t before = ch_loop_now(ch_core.loop) - LONG_AGO;
    apr_int64_t until = room->behind;
    const ch_early_t *early;

    for (early = room->early; early; early = early->next) {
        if (early->at <= before && early->record.number > until) {
            until = early->record.number;
        }
    }
    return until;
}

void ch_mend_room(ch_room_t *room)
{
    apr_int64_t until = had_time(room);
    room_task_t *t;

    if (room->catching || !room->next) {
        return;
    }
    if (room->next > until) {
        if (room->early) {
            ch_loop_timer_set(ch_core.loop, &room->timer,
                              ch_loop_now(ch_core.loop) + LONG_AGO);
        }
        return;
    }
    room->catching = 1;
    t = ch_hands_task(sizeof(*t), room->conf);
    memcpy(t->room, room->key, 16);
    t->seq = room->last_seq;
    t->until = until;
    t->task.work = look_room;
    t->task.done = room_looked;
    ch_hands_give(&t->task);
}

/* --- which rooms are -------------------------------------------------- */

typedef struct {
    ch_task_t task;
    apr_array_header_t *ids;
    apr_hash_t *numbers; /* apr_int64_t by room, 16 bytes; NULL = unknown */
} rooms_task_t;

static void look_rooms(ch_task_t *task)
{
    rooms_task_t *t = (rooms_task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, NULL);
    ch_rows_t *rows;
    ch_err_t *err = sql_hub_rooms(
        rq->db, &(sql_hub_rooms_t){ .ids = t->ids }, &rows);
    int i;

    if (err) {
        ch_hands_complain(rq, err);
        return;
    }
    t->numbers = apr_hash_make(task->pool);
    for (i = 0; i < ch_rows_count(rows); i++) {
        unsigned char *id = apr_palloc(task->pool, 16);
        apr_int64_t *number = apr_palloc(task->pool, sizeof(*number));

        ch_uuid_bytes(ch_rows_text(rows, i, "id"), id);
        *number = ch_rows_int(rows, i, "event_seq");
        apr_hash_set(t->numbers, id, 16, number);
    }
}

static void rooms_looked(ch_task_t *task)
{
    rooms_task_t *t = (rooms_task_t *)(void *)task;
    int i;

    for (i = 0; t->numbers && i < t->ids->nelts; i++) {
        const char *text = APR_ARRAY_IDX(t->ids, i, const char *);
        const apr_int64_t *number;
        unsigned char id[16];
        ch_room_t *room;

        ch_uuid_bytes(text, id);
        room = ch_hub_room(task->conf->site, id);
        number = apr_hash_get(t->numbers, id, 16);
        if (!room) {
            continue;
        }
        if (!number) {
            is_gone(room, text);
        }
        else if (*number >= room->next) {
            ch_deliver_behind(room, *number);
        }
    }
}

typedef struct {
    const ch_conf_t *conf;
    rooms_task_t *task;
} batch_t;

static void send_batch(batch_t *batch)
{
    if (batch->task) {
        ch_hands_give(&batch->task->task);
        batch->task = NULL;
    }
}

static void add_room(ch_room_t *room, void *ctx)
{
    batch_t *batch = ctx;

    if (room->conf->site != batch->conf->site || !room->next) {
        return; /* whoever subscribes will say where it begins */
    }
    if (!batch->task) {
        batch->task = ch_hands_task(sizeof(*batch->task), batch->conf);
        batch->task->ids =
            apr_array_make(batch->task->task.pool, 8, sizeof(char *));
        batch->task->task.work = look_rooms;
        batch->task->task.done = rooms_looked;
    }
    ch_uuid_push(batch->task->ids, room->key);
    if (batch->task->ids->nelts >= BATCH) {
        send_batch(batch);
    }
}

void ch_mend_rooms(const ch_conf_t *conf)
{
    batch_t batch = { .conf = conf };

    ch_hub_each_room(add_room, &batch);
    send_batch(&batch);
}

void ch_mend_look(ch_room_t *room)
{
    batch_t batch = { .conf = room->conf };

    add_room(room, &batch);
    send_batch(&batch);
}
