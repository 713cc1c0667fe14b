/* Members of rooms: who they are, who comes in, who goes out. */
#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "api/chat.h"
#include "api/notifications.h"
#include "base/jsonw.h"
#include "base/uuid.h"
#include "web/reply.h"

#define ROOMS CH_CHAT "/rooms"
#define HERE ROOMS "/{id}/members"

/* --- inputs ----------------------------------------------------------- */

static const char *const roles[] = { "owner", "moderator", "member" };
static const char *const invited_roles[] = { "member", "moderator" };

typedef struct {
    ch_page_in_t page;
} list_query_t;

static const ch_field_t query_rows[] = {
    CH_PAGE_ROWS(list_query_t, page, "20"),
};

static const ch_fields_t list_query = CH_FIELDS(list_query_t, query_rows);

typedef struct {
    const char *user_id;
    const char *email;
    int role;
} invite_in_t;

static void check_invite(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    if (CH_GIVEN(rq, invite_in_t, user_id)
        == CH_GIVEN(rq, invite_in_t, email)) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "userId",
                     "either userId or email must be given");
    }
}

static const ch_field_t invite_rows[] = {
    { .name = "userId", CH_IN(invite_in_t, user_id, CH_T_UUID),
      .doc = "Whom; either this or email" },
    { .name = "email", CH_IN(invite_in_t, email, CH_T_EMAIL),
      .doc = "Whom; either this or userId" },
    { .name = "role", CH_IN(invite_in_t, role, CH_T_ENUM),
      CH_CHOICES(invited_roles), .def = "\"member\"",
      .doc = "moderator: by the owner alone" },
};

static const ch_fields_t invite_in = {
    .rows = invite_rows, .count = (int)CH_COUNT(invite_rows),
    .size = sizeof(invite_in_t), .check = check_invite,
};

typedef struct {
    int role;
} role_in_t;

static const ch_field_t role_rows[] = {
    { .name = "role", CH_IN(role_in_t, role, CH_T_ENUM), CH_CHOICES(roles),
      .doc = "owner: the room passes to this member, the owner becomes a "
             "moderator" },
};

static const ch_fields_t role_in = CH_FIELDS(role_in_t, role_rows);

typedef struct {
    const char *user_id;
} kick_in_t;

static const ch_field_t kick_rows[] = {
    { .name = "userId", CH_IN(kick_in_t, user_id, CH_T_UUID),
      .flags = CH_REQUIRED, .doc = "Whom" },
};

static const ch_fields_t kick_in = CH_FIELDS(kick_in_t, kick_rows);

/* --- outputs ---------------------------------------------------------- */

static const char *const states[] = { "online", "away", "busy", "offline" };

static const ch_field_t out_rows[] = {
    { .name = "userId", .type = CH_T_UUID, .column = "user_id",
      .doc = "The user" },
    { .name = "fullName", .type = CH_T_STR, .column = "full_name",
      .flags = CH_NULLABLE, .doc = "Name" },
    { .name = "avatarUrl", .type = CH_T_URL, .column = "avatar_url",
      .flags = CH_NULLABLE, .doc = "Picture" },
    { .name = "role", .type = CH_T_ENUM, CH_CHOICES(roles), .doc = "Role" },
    { .name = "joinedAt", .type = CH_T_TIME, .column = "joined_at",
      .doc = "Member since" },
    { .name = "presence", .type = CH_T_ENUM, CH_CHOICES(states),
      .doc = "Whether there now" },
};

const ch_fields_t ch_member_out = {
    .name = "Member", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

static const ch_field_t kicked_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "The user" },
};

static const ch_fields_t kicked_out = {
    .rows = kicked_rows, .count = (int)CH_COUNT(kicked_rows),
};

/* --- what is told ----------------------------------------------------- */

void ch_member_tell_joined(ch_req_t *rq, const char *room,
                           const ch_rows_t *rows)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    ch_buf_printf(buf, "{\"roomId\":\"%s\",\"member\":", room);
    ch_reply_write_row(buf, &ch_member_out, rows, 0);
    ch_buf_printf(buf, ",\"memberCount\":%" APR_INT64_T_FMT "}",
                  ch_rows_int(rows, 0, "member_count"));
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_JOINED, .room = room,
        .user = ch_rows_text(rows, 0, "user_id"),
        .number = ch_rows_int(rows, 0, "number"),
        .seq = ch_rows_int(rows, 0, "last_seq"),
        .event = "room:member_joined", .data = { buf->data, buf->len } });
}

void ch_member_tell_role(ch_req_t *rq, const char *room, apr_int64_t number,
                         const char *user, const char *role)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    ch_buf_printf(buf,
                  "{\"roomId\":\"%s\",\"userId\":\"%s\",\"role\":\"%s\"}",
                  room, user, role);
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_EMIT, .room = room, .number = number,
        .event = "room:member_updated", .data = { buf->data, buf->len } });
}

/* To one user's sockets, whatever they are subscribed to. */
static void tell_user(ch_req_t *rq, const char *user, const char *event,
                      ch_bytes_t data)
{
    ch_publish(rq, &(ch_pub_t){ .what = CH_PUB_EMIT, .user = user,
                                .event = event, .data = data });
}

static void tell_invited(ch_req_t *rq, const char *user,
                         const ch_rows_t *rows, const ch_rows_t *room)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    CH_BUF_LIT(buf, "{\"room\":");
    ch_reply_write_row(buf, &ch_room_out, room, 0);
    ch_buf_printf(buf, ",\"invitedBy\":\"%s\"}", rq->who->user_id);
    tell_user(rq, user, "room:invited",
              (ch_bytes_t){ buf->data, buf->len });
    ch_notification_tell(rq, rows);
}

/* --- list ------------------------------------------------------------- */

/* place: the rank, a blank, the time. */
static ch_err_t *fetch_after(ch_req_t *rq, const char *const cursor[2],
                             ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_member_after_t in = {
        .user_id = rq->who->user_id,
        .room_id = rq->match.param[0],
        .admin = CH_CHAT_ADMIN(rq),
        .rank = cursor[0][0] - '0',
        .joined_at = cursor[0] + 2,
        .after_id = cursor[1],
        .fetch = ch_page_fetch(&query->page),
    };

    return sql_member_after(rq->db, &in, rows);
}

static ch_err_t *fetch_page(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_member_page_t in = {
        .user_id = rq->who->user_id,
        .room_id = rq->match.param[0],
        .admin = CH_CHAT_ADMIN(rq),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };

    return sql_member_page(rq->db, &in, rows);
}

static ch_err_t *list_members(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    ch_list_t list = { .sort_column = "place", .id_column = "user_id" };
    const char *cursor[2];
    ch_rows_t *rows;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, &query->page, cursor, &after);

    if (!err) {
        err = after ? fetch_after(rq, cursor, &rows) : fetch_page(rq, &rows);
    }
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Members of the room");
}

/* --- invite ----------------------------------------------------------- */

static ch_err_t *reply_invited(ch_req_t *rq, const ch_rows_t *rows)
{
    apr_table_setn(rq->out, "Location",
                   apr_pstrcat(rq->pool, ROOMS "/", rq->match.param[0],
                               "/members/", ch_rows_text(rows, 0, "user_id"),
                               NULL));
    return ch_reply_row(rq, rows, "Member invited");
}

/* The room as the new member sees it: asked for by himself, so to say. */
static ch_err_t *fetch_as(ch_req_t *rq, const char *user, ch_rows_t **room)
{
    const sql_room_get_t in = { .user_id = user, .id = rq->match.param[0] };

    return sql_room_get(rq->db, &in, room);
}

static ch_err_t *invite(ch_req_t *rq)
{
    const invite_in_t *in = rq->body;
    const sql_member_invite_t row = {
        .user_id = rq->who->user_id,
        .room_id = rq->match.param[0],
        .admin = CH_CHAT_ADMIN(rq),
        .invited_id = in->user_id,
        .email = in->email,
        .role = invited_roles[in->role],
        .notification_id = ch_uuid_make(rq->pool),
    };
    ch_rows_t *rows = NULL, *room = NULL;
    const char *user;
    ch_err_t *err = ch_room_begin(rq, row.room_id, 0);

    err = err ? err : sql_member_invite(rq->db, &row, &rows);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (err) {
        return err;
    }
    ch_member_tell_joined(rq, row.room_id, rows);
    user = ch_rows_text(rows, 0, "user_id");
    err = fetch_as(rq, user, &room);
    if (!err && ch_rows_count(room)) {
        tell_invited(rq, user, rows, room);
    }
    /* he is a member, whether he can be told or not */
    return reply_invited(rq, rows);
}

/* --- roles and removal ------------------------------------------------ */

static void tell_role(ch_req_t *rq, const char *room, const char *role,
                      const ch_rows_t *rows, const ch_rows_t *told)
{
    const char *user = ch_rows_text(rows, 0, "user_id");
    apr_int64_t number = ch_rows_int(rows, 0, "number");

    if (role == roles[0]) { /* three changes in one */
        ch_member_tell_role(rq, room, number - 2, user, role);
        ch_member_tell_role(rq, room, number - 1, rq->who->user_id,
                            "moderator");
        ch_room_tell(rq, room, number, told);
    }
    else {
        ch_member_tell_role(rq, room, number, user, role);
    }
}

static ch_err_t *set_role(ch_req_t *rq)
{
    const role_in_t *in = rq->body;
    const char *room = rq->match.param[0];
    const char *role = CH_GIVEN(rq, role_in_t, role) ? roles[in->role] : NULL;
    const sql_member_role_t row = { .user_id = rq->who->user_id,
                                    .room_id = room,
                                    .admin = CH_CHAT_ADMIN(rq),
                                    .target_id = rq->match.param[1],
                                    .role = role };
    ch_rows_t *rows = NULL, *told = NULL;
    ch_err_t *err = ch_room_begin(rq, room, 0);

    err = err ? err : sql_member_role(rq->db, &row, &rows);
    err = err ? err : ch_room_fetch_told(rq, room, &told);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (!err && ch_rows_bool(rows, 0, "self")) {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_VALUE, "role",
                     "the owner stays one until another member is made it");
    }
    if (err) {
        return err;
    }
    if (ch_rows_text(rows, 0, "number")) {
        tell_role(rq, room, role, rows, told);
    }
    return ch_reply_row(rq, rows, "Member updated");
}

static ch_err_t *kick(ch_req_t *rq, const char *user)
{
    const sql_member_kick_t in = { .user_id = rq->who->user_id,
                                   .room_id = rq->match.param[0],
                                   .admin = CH_CHAT_ADMIN(rq),
                                   .target_id = user };
    ch_buf_t *buf = ch_publish_buf(rq);
    ch_rows_t *rows = NULL;
    ch_err_t *err = NULL;

    if (strcmp(user, in.user_id) == 0) {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_VALUE, "userId",
                     "nobody can remove himself: leave the room");
        return err;
    }
    err = ch_room_begin(rq, in.room_id, 0);
    err = err ? err : sql_member_kick(rq->db, &in, &rows);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (err) {
        return err;
    }
    ch_room_tell_left(rq, &(ch_room_left_t){
        .room = in.room_id, .user = user, .reason = "kicked",
        .number = ch_rows_int(rows, 0, "number"),
        .member_count = ch_rows_int(rows, 0, "member_count") });
    ch_buf_printf(buf, "{\"roomId\":\"%s\",\"kickedBy\":\"%s\"}", in.room_id,
                  in.user_id);
    tell_user(rq, user, "room:kicked", (ch_bytes_t){ buf->data, buf->len });
    return ch_reply_row(rq, rows, "Member removed");
}

static ch_err_t *remove_member(ch_req_t *rq)
{
    return kick(rq, rq->match.param[1]);
}

static ch_err_t *kick_member(ch_req_t *rq)
{
    const kick_in_t *in = rq->body;

    ch_room_alias(rq, rq->match.param[0],
                  apr_pstrcat(rq->pool, "/members/", in->user_id, NULL));
    return kick(rq, in->user_id);
}

/* --- routes ----------------------------------------------------------- */

#define CHANGES                                                               \
    CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_FORBIDDEN, CH_E_MEMBER_NOT_FOUND)

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, CH_CHAT_ROUTE(API), .flags = CH_LIST,
      .ok = 200, .query = &list_query, .out = &ch_member_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER),
      .handler = list_members, .summary = "Members of a room" },
    { .method = CH_POST, .path = HERE, .alias = { ROOMS "/{id}/invite" },
      CH_CHAT_ROUTE(API), .ok = 201, .body = &invite_in,
      .out = &ch_member_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER,
                     CH_E_FORBIDDEN, CH_E_USER_NOT_FOUND,
                     CH_E_ALREADY_MEMBER),
      .handler = invite, .summary = "Take somebody in" },
    { .method = CH_PUT, .path = HERE "/{userId}", CH_CHAT_ROUTE(API),
      .ok = 200, .body = &role_in, .out = &ch_member_out, CHANGES,
      .handler = set_role, .summary = "Give a member another role" },
    { .method = CH_DELETE, .path = HERE "/{userId}", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &kicked_out, CHANGES, .handler = remove_member,
      .summary = "Remove a member" },
    { .method = CH_POST, .path = ROOMS "/{id}/kick", CH_CHAT_ROUTE(API),
      .flags = CH_OLD_PATH, .ok = 200, .body = &kick_in, .out = &kicked_out,
      CHANGES, .handler = kick_member,
      .summary = "Remove a member; an old form of DELETE" },
};

const ch_routes_t ch_member_routes = CH_ROUTES(routes);
