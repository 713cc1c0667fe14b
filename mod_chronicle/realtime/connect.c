/* Finds out who connects to the namespace "/", and lets them in. */
#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/heap.h"
#include "base/jsonw.h"
#include "base/seal.h"
#include "base/uuid.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "realtime/presence.h"
#include "store/sql_gen.h"

typedef struct {
    ch_task_t task;
    apr_time_t begun;
    const char *sid;
    ch_bytes_t json;
    const char *cookie;
    const char *client_ip;
    /* what came of it */
    int bad;
    ch_err_t *err;
    const ch_principal_t *who;
    apr_int64_t expires;
    ch_rows_t *members;
} task_t;

/* --- in a hand -------------------------------------------------------- */

static ch_err_t *expiry(ch_req_t *rq, const char *token, apr_int64_t *expires)
{
    ch_claims_t claims;
    ch_rows_t *rows;
    ch_err_t *err;

    if (token) {
        ch_jwt_verify(rq->pool, rq->conf->jwt_keys, rq->conf->jwt_key_count,
                      (ch_bytes_t){ token, strlen(token) },
                      apr_time_sec(rq->start), &claims);
        *expires = claims.exp;
        return NULL;
    }
    err = sql_session_principal(
        rq->db, &(sql_session_principal_t){ .id = rq->who->session_id },
        &rows);
    if (!err && ch_rows_count(rows)) {
        *expires = ch_rows_int(rows, 0, "expires");
    }
    return err;
}

ch_err_t *ch_connect_identify(ch_req_t *rq, const char *token,
                              const char *cookie, apr_int64_t *expires)
{
    static const ch_route_t route = { .method = CH_GET,
                                      .path = "/socket.io/",
                                      .auth = CH_USER };
    const ch_route_t *before = rq->route;
    ch_err_t *err;

    rq->route = &route;
    rq->who = NULL;
    if (token) {
        apr_table_setn(rq->in, "Authorization",
                       apr_pstrcat(rq->pool, "Bearer ", token, NULL));
    }
    else if (cookie) {
        apr_table_setn(rq->in, "Cookie",
                       apr_pstrcat(rq->pool, CH_SESSION_COOKIE "=", cookie,
                                   NULL));
    }
    err = ch_identify_stage(rq);
    if (!err) {
        err = ch_authenticate_stage(rq);
    }
    if (!err) {
        err = ch_permit_stage(rq);
    }
    if (!err) {
        err = expiry(rq, token, expires);
    }
    rq->route = before;
    return err;
}

/* The token in the payload; NULL when there is none. 0: it is no payload. */
static int read_token(const task_t *t, const char **token)
{
    const ch_json_t *payload, *member;
    size_t len;

    *token = NULL;
    if (!t->json.len) {
        return 1;
    }
    if (ch_json_parse(t->task.pool, t->json.data, t->json.len,
                      CH_JSON_DEPTH_MAX, &payload)
        || ch_json_type(payload) != CH_JSON_OBJECT) {
        return 0;
    }
    member = ch_json_get(payload, "token");
    if (member && ch_json_type(member) != CH_JSON_NULL) {
        *token = ch_json_type(member) == CH_JSON_STRING
                     ? ch_json_string(member, &len)
                     : "";
    }
    return 1;
}

static ch_err_t *enter(task_t *t, ch_req_t *rq)
{
    ch_err_t *err = ch_presence_enter(rq, ch_core.place, rq->who->user_id,
                                      &t->members);

    if (!err && rq->after) {
        rq->after(rq);
    }
    return err;
}

static void work(ch_task_t *task)
{
    task_t *t = (task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, t->client_ip);
    const char *token;

    if (!read_token(t, &token)) {
        t->bad = 1;
        return;
    }
    t->err = ch_connect_identify(rq, token, t->cookie, &t->expires);
    if (!t->err) {
        t->who = rq->who;
        t->err = enter(t, rq);
    }
    ch_hands_complain(rq, t->err);
}

/* --- in the loop ------------------------------------------------------ */

static void send_json(ch_engine_t *engine, ch_sio_type_e type,
                      const ch_buf_t *json)
{
    ch_chunk_t *chunk = ch_sio_packet(
        type, "/", 0, -1, (ch_bytes_t){ json->data, json->len });

    ch_engine_send(engine, chunk);
    ch_chunk_drop(chunk);
}

static void refuse(const task_t *t, ch_engine_t *engine)
{
    ch_buf_t *json = ch_buf_make(t->task.pool, 256, 65536);

    CH_BUF_LIT(json, "{\"message\":");
    ch_jsonw_cstr(json, t->err->message);
    CH_BUF_LIT(json, ",\"data\":{\"code\":");
    ch_jsonw_cstr(json, ch_code_name(t->err->code));
    CH_BUF_LIT(json, "}}");
    send_json(engine, CH_SIO_CONNECT_ERROR, json);
}

static void say_ready(const task_t *t, ch_sock_t *sock)
{
    ch_buf_t *json = ch_buf_make(t->task.pool, 256, 65536);

    ch_buf_printf(json, "{\"sid\":\"%s\"}", ch_seal_token(t->task.pool, 15));
    send_json(sock->engine, CH_SIO_CONNECT, json);
    json->len = 0;
    ch_buf_printf(json, "{\"userId\":\"%s\",\"sessionId\":\"%s\",",
                  t->who->user_id, t->who->session_id);
    CH_BUF_LIT(json, "\"expiresAt\":");
    ch_jsonw_time(json, apr_time_from_sec(t->expires));
    ch_buf_putc(json, '}');
    ch_socket_emit(sock, "ready", ch_buf_cstr(json));
}

static void let_in(const task_t *t, ch_engine_t *engine)
{
    ch_sock_t *sock = ch_heap_take(sizeof(*sock));
    unsigned char id[16];
    ch_user_t *user;
    int i, is_late;

    sock->id = ch_core.next_id++;
    sock->engine = engine;
    sock->role = t->who->role;
    sock->verified = t->who->verified;
    sock->expires = t->expires;
    ch_uuid_bytes(t->who->session_id, sock->session);
    ch_uuid_bytes(t->who->user_id, id);
    engine->sock = sock;
    apr_hash_set(ch_core.socks, &sock->id, sizeof(sock->id), sock);
    is_late = ch_hub_is_late(t->task.conf->site, id, t->begun)
              || ch_hub_is_late(t->task.conf->site, sock->session, t->begun);
    user = ch_hub_enter(sock, id);
    for (i = 0; i < ch_rows_count(t->members); i++) {
        ch_tend_member(user, t->members, i);
    }
    if (is_late) {
        ch_tend_sessions(t->task.conf, user);
    }
    ch_engine_due(engine, CH_DUE_CONNECT, 0);
    ch_engine_due(
        engine, CH_DUE_TOKEN,
        ch_loop_when(ch_core.loop, apr_time_from_sec(t->expires)));
    say_ready(t, sock);
}

static void done(ch_task_t *task)
{
    task_t *t = (task_t *)(void *)task;
    ch_engine_t *engine = ch_engine_find(t->sid, CH_SID_LEN);

    if (!engine || engine->over) { /* one that polled is kept for a while */
        if (t->who && !t->err) {
            ch_attend_gone(task->conf, t->who->user_id);
        }
        return;
    }
    engine->connecting = 0;
    if (t->bad || (!t->who && !t->err)) {
        ch_engine_close(engine, CH_WS_PROTOCOL);
    }
    else if (t->err) {
        refuse(t, engine);
    }
    else {
        let_in(t, engine);
    }
}

int ch_connect(ch_engine_t *engine, const ch_sio_packet_t *packet)
{
    task_t *t;

    if (engine->sock || engine->connecting) {
        return 0;
    }
    t = ch_hands_task(sizeof(*t), engine->conf);
    t->begun = ch_loop_now(ch_core.loop);
    t->sid = apr_pstrdup(t->task.pool, engine->sid);
    t->json = (ch_bytes_t){ apr_pstrmemdup(t->task.pool, packet->json.data,
                                           packet->json.len),
                            packet->json.len };
    t->cookie = apr_pstrdup(t->task.pool, engine->cookie);
    t->client_ip = apr_pstrdup(t->task.pool, engine->client_ip);
    t->task.work = work;
    t->task.done = done;
    engine->connecting = 1;
    ch_hands_give(&t->task);
    return 1;
}
