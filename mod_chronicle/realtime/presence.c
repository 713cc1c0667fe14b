/* Says who comes online and who goes, and tells those whom it concerns. */
#include "realtime/presence.h"

#include <string.h>

#include <apr_strings.h>

#include "base/jsonw.h"
#include "realtime/publish.h"
#include "store/sql_gen.h"

const char *ch_presence_place(apr_pool_t *pool, const char *server, int slot,
                              apr_uint32_t life)
{
    return apr_psprintf(pool, "%s:%d:%u", server, slot, life);
}

static ch_bytes_t data_of(ch_req_t *rq, const ch_rows_t *rows, int row)
{
    const char *seen = ch_rows_text(rows, row, "seen_at");
    ch_buf_t *buf = ch_publish_buf(rq);

    CH_BUF_LIT(buf, "{\"userId\":");
    ch_jsonw_cstr(buf, ch_rows_text(rows, row, "user_id"));
    CH_BUF_LIT(buf, ",\"status\":");
    ch_jsonw_cstr(buf, ch_rows_text(rows, row, "status"));
    CH_BUF_LIT(buf, ",\"lastSeenAt\":");
    ch_jsonw_pg_time(buf, seen, strlen(seen));
    ch_buf_putc(buf, '}');
    return (ch_bytes_t){ buf->data, buf->len };
}

/* To each one's rooms; who is in none is of no interest to anybody. */
static void publish(ch_req_t *rq, const ch_rows_t *rows)
{
    int row;

    for (row = 0; row < ch_rows_count(rows); row++) {
        const ch_pub_t pub = { .what = CH_PUB_PRESENCE,
                               .user = ch_rows_text(rows, row, "user_id"),
                               .rooms = ch_rows_text(rows, row, "rooms"),
                               .event = "presence",
                               .data = data_of(rq, rows, row) };

        if (strcmp(pub.rooms, "{}") != 0) {
            ch_publish(rq, &pub);
        }
    }
}

/* Sends what was gathered, of which `rows` tell who changed. */
static ch_err_t *finish(ch_req_t *rq, ch_err_t *err, ch_rows_t **rows)
{
    if (err) {
        ch_db_abandon(rq->db);
        return err;
    }
    err = ch_db_send(rq->db);
    if (!err) {
        publish(rq, *rows);
    }
    return err;
}

static ch_err_t *lock_users(ch_req_t *rq, const apr_array_header_t *users)
{
    const sql_presence_lock_t in = { .users = users };

    ch_db_gather(rq->db);
    return sql_presence_lock(rq->db, &in);
}

ch_err_t *ch_presence_up(ch_req_t *rq, const char *place,
                         const apr_array_header_t *users)
{
    const sql_presence_up_t in = { .place = place, .users = users };
    ch_err_t *err = lock_users(rq, users);
    ch_rows_t *rows = NULL;

    err = err ? err : sql_presence_up(rq->db, &in, &rows);
    return finish(rq, err, &rows);
}

ch_err_t *ch_presence_enter(ch_req_t *rq, const char *place, const char *user,
                            ch_rows_t **members)
{
    apr_array_header_t *users = apr_array_make(rq->pool, 1, sizeof(user));
    const sql_presence_up_t in = { .place = place, .users = users };
    const sql_hub_members_t of = { .users = users };
    ch_rows_t *rows = NULL;
    ch_err_t *err;

    APR_ARRAY_PUSH(users, const char *) = user;
    err = lock_users(rq, users);
    err = err ? err : sql_presence_up(rq->db, &in, &rows);
    err = err ? err : sql_hub_members(rq->db, &of, members);
    return finish(rq, err, &rows);
}

ch_err_t *ch_presence_down(ch_req_t *rq, const char *place,
                           const apr_array_header_t *users)
{
    const sql_presence_down_t in = { .place = place, .users = users };
    ch_err_t *err = lock_users(rq, users);
    ch_rows_t *rows = NULL;

    err = err ? err : sql_presence_down(rq->db, &in, &rows);
    return finish(rq, err, &rows);
}

ch_err_t *ch_presence_set(ch_req_t *rq, const char *user, const char *status)
{
    const sql_presence_set_t in = { .user_id = user, .status = status };
    apr_array_header_t *users = apr_array_make(rq->pool, 1, sizeof(user));
    ch_rows_t *rows = NULL;
    ch_err_t *err;

    APR_ARRAY_PUSH(users, const char *) = user;
    err = lock_users(rq, users);
    err = err ? err : sql_presence_set(rq->db, &in, &rows);
    return finish(rq, err, &rows);
}

ch_err_t *ch_presence_beat(ch_req_t *rq, const char *place, int *lost)
{
    const sql_presence_beat_t in = { .place = place };
    ch_rows_t *rows;
    ch_err_t *err = sql_presence_beat(rq->db, &in, &rows);

    *lost = !err && ch_rows_bool(rows, 0, "lost");
    return err;
}

ch_err_t *ch_presence_sweep(ch_req_t *rq)
{
    ch_rows_t *rows = NULL;
    ch_err_t *err;

    ch_db_gather(rq->db);
    err = sql_presence_lock_silent(rq->db);
    err = err ? err : sql_presence_sweep(rq->db, &rows);
    return finish(rq, err, &rows);
}
