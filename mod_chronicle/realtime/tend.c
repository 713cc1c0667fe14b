/* Asks the database whose sessions live and who is a member of what, and makes
 * what a user's devices are told about his notes. */
#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/uuid.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "store/sql_gen.h"

#define BATCH 500

static int owed; /* a look failed, which is to be made again */

/* --- sessions and members --------------------------------------------- */

void ch_tend_member(ch_user_t *user, const ch_rows_t *rows, int row)
{
    ch_membership_t as = {
        .mark = ch_rows_int(rows, row, "last_read_seq"),
        .number = ch_rows_int(rows, row, "event_seq"),
        .seq = ch_rows_int(rows, row, "last_seq"),
    };
    ch_room_t *room;

    ch_uuid_bytes(ch_rows_text(rows, row, "room_id"), as.room);
    ch_hub_member(user, &as);
    room = ch_hub_room(user->conf->site, as.room);
    if (room) {
        ch_hub_tidy(room); /* it may have ended with what came early */
    }
}

typedef struct {
    ch_task_t task;
    apr_time_t begun;
    apr_array_header_t *socks;    /* of apr_uint64_t */
    apr_array_header_t *sessions; /* theirs */
    apr_array_header_t *users;
    ch_err_t *err;
    ch_rows_t *living, *members;
    apr_hash_t *alive; /* row + 1 by session, 16 bytes */
    apr_hash_t *pairs; /* anything by user and room, 32 bytes */
} sessions_task_t;

static unsigned char *id_of(apr_pool_t *pool, const ch_rows_t *rows, int row,
                            const char *first, const char *second)
{
    unsigned char *key = apr_pcalloc(pool, 32);

    ch_uuid_bytes(ch_rows_text(rows, row, first), key);
    if (second) {
        ch_uuid_bytes(ch_rows_text(rows, row, second), key + 16);
    }
    return key;
}

typedef struct {
    const ch_conf_t *conf;
    sessions_task_t *task;
} batch_t;

static void add_user(ch_user_t *user, void *ctx);
static void send_batch(batch_t *batch);

/* So that the loop finds them fast. */
static void index_rows(sessions_task_t *t)
{
    apr_pool_t *pool = t->task.pool;
    intptr_t i;

    t->alive = apr_hash_make(pool);
    t->pairs = apr_hash_make(pool);
    for (i = 0; i < ch_rows_count(t->living); i++) {
        apr_hash_set(t->alive, id_of(pool, t->living, (int)i, "id", NULL), 16,
                     (void *)(i + 1));
    }
    for (i = 0; i < ch_rows_count(t->members); i++) {
        apr_hash_set(t->pairs,
                     id_of(pool, t->members, (int)i, "user_id", "room_id"),
                     32, t);
    }
}

static void look_sessions(ch_task_t *task)
{
    sessions_task_t *t = (sessions_task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, NULL);

    t->err = sql_hub_sessions(
        rq->db, &(sql_hub_sessions_t){ .ids = t->sessions }, &t->living);
    if (!t->err) {
        t->err = sql_hub_members(
            rq->db, &(sql_hub_members_t){ .users = t->users }, &t->members);
    }
    if (!t->err) {
        index_rows(t);
    }
    ch_hands_complain(rq, t->err);
}

static void judge_sock(const sessions_task_t *t, int i)
{
    ch_sock_t *sock = ch_socket_find(APR_ARRAY_IDX(t->socks, i, apr_uint64_t));
    unsigned char session[16];
    int row;

    ch_uuid_bytes(APR_ARRAY_IDX(t->sessions, i, const char *), session);
    if (!sock || memcmp(session, sock->session, 16) != 0) {
        return; /* it was renewed by another session's token meanwhile */
    }
    row = (int)(intptr_t)apr_hash_get(t->alive, sock->session, 16) - 1;
    if (row < 0) {
        ch_socket_revoke(sock);
        return;
    }
    sock->role = ch_role_of(ch_rows_text(t->living, row, "role"));
    sock->verified = ch_rows_bool(t->living, row, "email_verified");
}

static int is_member(const sessions_task_t *t, const ch_user_t *user,
                     const ch_room_t *room)
{
    unsigned char key[32];

    memcpy(key, user->key, 16);
    memcpy(key + 16, room->key, 16);
    return apr_hash_get(t->pairs, key, sizeof(key)) != NULL;
}

/* Rooms of which the user is no member any more go, and with them what his
 * sockets hear of them. */
static void judge_members(const sessions_task_t *t, ch_user_t *user)
{
    ch_member_t *member = user->members;

    while (member) {
        ch_room_t *room = member->room;

        member = member->next_room;
        if (!is_member(t, user, room)) {
            ch_hub_no_member(user, room, 0);
            ch_hub_tidy(room);
        }
    }
}

static ch_user_t *user_of(const sessions_task_t *t, const char *text)
{
    unsigned char id[16];

    ch_uuid_bytes(text, id);
    return ch_hub_user(t->task.conf->site, id);
}

/* What was looked up may be older than what he did meanwhile. */
static int is_late(const sessions_task_t *t, const ch_user_t *user)
{
    return user->moved >= t->begun;
}

static void sessions_looked(ch_task_t *task)
{
    sessions_task_t *t = (sessions_task_t *)(void *)task;
    batch_t again = { .conf = task->conf };
    ch_user_t *user;
    int i;

    if (t->err || !t->pairs) {
        owed = 1;
        return;
    }
    for (i = 0; i < t->users->nelts; i++) {
        user = user_of(t, APR_ARRAY_IDX(t->users, i, const char *));
        if (user && is_late(t, user)) {
            add_user(user, &again);
        }
        else if (user) {
            judge_members(t, user);
        }
    }
    for (i = 0; i < ch_rows_count(t->members); i++) {
        user = user_of(t, ch_rows_text(t->members, i, "user_id"));
        if (user && !is_late(t, user)) {
            ch_tend_member(user, t->members, i);
        }
    }
    send_batch(&again);
    for (i = 0; i < t->socks->nelts; i++) {
        judge_sock(t, i);
    }
}

static void send_batch(batch_t *batch)
{
    if (batch->task) {
        ch_hands_give(&batch->task->task);
        batch->task = NULL;
    }
}

static void add_user(ch_user_t *user, void *ctx)
{
    batch_t *batch = ctx;
    sessions_task_t *t = batch->task;
    ch_sock_t *sock;

    if (user->conf->site != batch->conf->site || !user->socks) {
        return;
    }
    if (!t) {
        t = ch_hands_task(sizeof(*t), batch->conf);
        t->begun = ch_loop_now(ch_core.loop);
        t->task.work = look_sessions;
        t->task.done = sessions_looked;
        t->socks = apr_array_make(t->task.pool, 8, sizeof(apr_uint64_t));
        t->sessions = apr_array_make(t->task.pool, 8, sizeof(char *));
        t->users = apr_array_make(t->task.pool, 8, sizeof(char *));
        batch->task = t;
    }
    ch_uuid_push(t->users, user->key);
    for (sock = user->socks; sock; sock = sock->next) {
        APR_ARRAY_PUSH(t->socks, apr_uint64_t) = sock->id;
        ch_uuid_push(t->sessions, sock->session);
    }
    if (t->users->nelts >= BATCH) {
        send_batch(batch);
    }
}

void ch_tend_members(const ch_room_t *room)
{
    batch_t batch = { .conf = room->conf };
    ch_member_t *member;

    for (member = room->members; member; member = member->next_user) {
        add_user(member->user, &batch);
    }
    send_batch(&batch);
}

void ch_tend_sessions(const ch_conf_t *conf, ch_user_t *user)
{
    batch_t batch = { .conf = conf };

    if (user) {
        add_user(user, &batch);
    }
    else {
        ch_hub_each_user(add_user, &batch);
    }
    send_batch(&batch);
}

void ch_tend_all(int site)
{
    const ch_conf_t *conf = ch_core_conf(site);

    if (conf) {
        ch_tend_sessions(conf, NULL);
        ch_mend_rooms(conf);
    }
}

int ch_tend_owed(void)
{
    int was = owed;

    owed = 0;
    return was;
}

/* --- sync:changed ----------------------------------------------------- */

typedef struct {
    ch_task_t task;
    unsigned char user[16];
    ch_buf_t *data;
    ch_err_t *err;
} sync_task_t;

static void make_sync(ch_task_t *task)
{
    sync_task_t *t = (sync_task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, NULL);
    ch_principal_t who = { .sure = 1 };
    char id[CH_UUID_LEN + 1];

    ch_uuid_text(t->user, id);
    who.user_id = id;
    rq->who = &who;
    t->data = ch_buf_make(task->pool, 512, 65536);
    t->err = ch_core.conf->sync_event(rq, t->data);
    ch_hands_complain(rq, t->err);
}

static void sync_made(ch_task_t *task)
{
    sync_task_t *t = (sync_task_t *)(void *)task;
    ch_user_t *user = ch_hub_user(task->conf->site, t->user);
    ch_chunk_t *chunk;

    if (!user) {
        return;
    }
    user->syncing = 0;
    if (t->data && !t->err) {
        chunk = ch_sio_emit("sync:changed",
                            (ch_bytes_t){ t->data->data, t->data->len });
        ch_deliver_to_user(user, chunk);
        ch_chunk_drop(chunk);
    }
    if (user->again) {
        user->again = 0;
        ch_tend_sync(user);
    }
}

void ch_tend_sync(ch_user_t *user)
{
    sync_task_t *t;

    if (user->syncing || !user->socks) {
        user->again = user->syncing;
        return;
    }
    user->syncing = 1;
    t = ch_hands_task(sizeof(*t), user->conf);
    memcpy(t->user, user->key, 16);
    t->task.work = make_sync;
    t->task.done = sync_made;
    ch_hands_give(&t->task);
}
