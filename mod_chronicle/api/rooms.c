/* Rooms of chat: make, find, change, come and go. */
#include <apr_strings.h>

#include "api/api.h"
#include "api/chat.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/uuid.h"
#include "web/reply.h"

#define HERE CH_CHAT "/rooms"

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    const char *name;
    const char *description;
    int is_private;
} room_in_t;

static const ch_field_t in_rows[] = {
    { .name = "name", CH_IN(room_in_t, name, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = 100, .doc = "Name" },
    { .name = "description", CH_IN(room_in_t, description, CH_T_TEXT),
      .flags = CH_NULLABLE, .max = 1000, .doc = "What it is about" },
    { .name = "isPrivate", CH_IN(room_in_t, is_private, CH_T_BOOL),
      .def = "false", .doc = "true: only its members know of it" },
};

static const ch_fields_t room_in = CH_FIELDS(room_in_t, in_rows);

static const char *const scopes[] = { "joined", "public", "all" };

typedef struct {
    int scope;
    const char *search;
    ch_page_in_t page;
} list_query_t;

static const ch_field_t query_rows[] = {
    { .name = "scope", CH_IN(list_query_t, scope, CH_T_ENUM),
      CH_CHOICES(scopes), .def = "\"joined\"",
      .doc = "The caller's own, public ones, or both" },
    { .name = "search", CH_IN(list_query_t, search, CH_T_STR), .min = 1,
      .max = 100, .doc = "Part of the name, ignoring case" },
    CH_PAGE_ROWS(list_query_t, page, "20"),
};

static const ch_fields_t list_query = CH_FIELDS(list_query_t, query_rows);

/* --- outputs ---------------------------------------------------------- */

static const char *const roles[] = { "owner", "moderator", "member" };

#define ROOM_HEAD                                                             \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "name", .type = CH_T_STR, .doc = "Name" },                      \
    { .name = "description", .type = CH_T_TEXT, .flags = CH_NULLABLE,         \
      .doc = "What it is about" },                                            \
    { .name = "isPrivate", .type = CH_T_BOOL, .column = "is_private",         \
      .doc = "Only its members know of it" },                                 \
    { .name = "ownerId", .type = CH_T_UUID, .column = "owner_id",             \
      .doc = "Its owner" },                                                   \
    { .name = "memberCount", .type = CH_T_INT, .column = "member_count",      \
      .doc = "Members" },                                                     \
    { .name = "lastSeq", .type = CH_T_INT, .column = "last_seq",              \
      .doc = "Number of its newest message" }

#define ROOM_TAIL                                                             \
    { .name = "lastMessage", .type = CH_T_NEST, .nested = &ch_message_out,    \
      .column = "message_id", .flags = CH_NULLABLE,                           \
      .doc = "Its newest message, for members" },                             \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "Made" },                                                        \
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",         \
      .doc = "Last change" },                                                 \
    { .name = "version", .type = CH_T_INT, .min = 1,                          \
      .doc = "Counts changes" }

static const ch_field_t out_rows[] = {
    ROOM_HEAD,
    { .name = "role", .type = CH_T_ENUM, CH_CHOICES(roles),
      .flags = CH_NULLABLE, .doc = "What the caller is in it" },
    { .name = "unreadCount", .type = CH_T_INT, .column = "unread_count",
      .doc = "Messages that the caller has not read" },
    ROOM_TAIL,
};

const ch_fields_t ch_room_out = {
    .name = "Room", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

static const ch_field_t told_rows[] = { ROOM_HEAD, ROOM_TAIL };

const ch_fields_t ch_room_told_out = {
    .name = "RoomTold", .rows = told_rows, .count = (int)CH_COUNT(told_rows),
};

static const ch_field_t deleted_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
};

static const ch_fields_t deleted_out = {
    .rows = deleted_rows, .count = (int)CH_COUNT(deleted_rows),
};

static const ch_field_t joined_rows[] = {
    { .name = "room", .type = CH_T_NEST, .nested = &ch_room_out,
      .column = "id", .doc = "The room" },
};

static const ch_fields_t joined_out = {
    .name = "JoinedRoom", .rows = joined_rows,
    .count = (int)CH_COUNT(joined_rows),
};

static const ch_field_t left_rows[] = {
    { .name = "roomId", .type = CH_T_UUID, .doc = "The room" },
};

static const ch_fields_t left_out = {
    .name = "LeftRoom", .rows = left_rows, .count = (int)CH_COUNT(left_rows),
};

/* --- what all of chat does -------------------------------------------- */

ch_err_t *ch_room_begin(ch_req_t *rq, const char *room, int slow)
{
    const sql_room_lock_t lock = { .id = room };
    ch_rows_t *locked;
    ch_err_t *err = NULL;

    ch_db_gather(rq->db);
    if (slow) {
        err = sql_account_patience(rq->db);
    }
    return err ? err : sql_room_lock(rq->db, &lock, &locked);
}

ch_err_t *ch_room_end(ch_req_t *rq, ch_err_t *err)
{
    return err ? err : ch_db_send(rq->db);
}

void ch_room_alias(ch_req_t *rq, const char *room, const char *rest)
{
    apr_table_setn(rq->out, "Link",
                   apr_pstrcat(rq->pool, "<" HERE "/", room, rest,
                               ">; rel=\"successor-version\"", NULL));
}

ch_err_t *ch_room_get(ch_req_t *rq, const char *room, ch_rows_t **rows)
{
    const sql_room_get_t in = { .user_id = rq->who->user_id,
                                .id = room,
                                .admin = CH_CHAT_ADMIN(rq) };

    return sql_room_get(rq->db, &in, rows);
}

ch_err_t *ch_room_check_member(ch_req_t *rq, const char *room)
{
    const sql_room_member_t in = { .user_id = rq->who->user_id,
                                   .room_id = room };
    ch_rows_t *rows;
    ch_err_t *err = sql_room_member(rq->db, &in, &rows);

    return err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
}

ch_err_t *ch_room_fetch_told(ch_req_t *rq, const char *room, ch_rows_t **told)
{
    const sql_room_told_t in = { .id = room };

    return sql_room_told(rq->db, &in, told);
}

/* --- what is told ----------------------------------------------------- */

void ch_room_tell(ch_req_t *rq, const char *room, apr_int64_t number,
                  const ch_rows_t *told)
{
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_EMIT, .room = room, .number = number,
        .event = "room:updated",
        .data = ch_publish_row(rq, "room", &ch_room_told_out, told) });
}

void ch_room_tell_left(ch_req_t *rq, const ch_room_left_t *left)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    ch_buf_printf(buf,
                  "{\"roomId\":\"%s\",\"userId\":\"%s\",\"reason\":\"%s\","
                  "\"memberCount\":%" APR_INT64_T_FMT "}",
                  left->room, left->user, left->reason, left->member_count);
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_LEFT, .room = left->room, .user = left->user,
        .number = left->number, .event = "room:member_left",
        .data = { buf->data, buf->len } });
}

void ch_room_tell_gone(ch_req_t *rq, const char *room, apr_int64_t number)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    ch_buf_printf(buf, "{\"roomId\":\"%s\"}", room);
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_GONE, .room = room, .number = number,
        .event = "room:deleted", .data = { buf->data, buf->len } });
}

/* --- lists and single rooms ------------------------------------------- */

static ch_err_t *fetch_after(ch_req_t *rq, const char *const cursor[2],
                             ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_room_after_t in = {
        .user_id = rq->who->user_id,
        .search = ch_text_like(rq->pool, query->search),
        .place = cursor[0],
        .after_id = cursor[1],
        .fetch = ch_page_fetch(&query->page),
        .scope = query->scope,
    };

    return sql_room_after(rq->db, &in, rows);
}

static ch_err_t *fetch_page(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_room_page_t in = {
        .user_id = rq->who->user_id,
        .search = ch_text_like(rq->pool, query->search),
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
        .scope = query->scope,
    };

    return sql_room_page(rq->db, &in, rows);
}

static ch_err_t *list_rooms(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    ch_list_t list = { .sort_column = "place" };
    const char *cursor[2];
    ch_rows_t *rows;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, &query->page, cursor, &after);

    if (!err) {
        err = after ? fetch_after(rq, cursor, &rows) : fetch_page(rq, &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Rooms");
}

static ch_err_t *create_room(ch_req_t *rq)
{
    const room_in_t *in = rq->body;
    const sql_room_create_t row = { .user_id = rq->who->user_id,
                                    .id = ch_uuid_make(rq->pool),
                                    .name = in->name,
                                    .description = in->description,
                                    .private = in->is_private };
    ch_rows_t *rows;
    ch_err_t *err = sql_room_create(rq->db, &row, &rows);

    if (err) {
        return err;
    }
    /* nobody hears an event of it, but "unread" is for him from now on */
    ch_publish(rq, &(ch_pub_t){ .what = CH_PUB_JOINED, .room = row.id,
                                .user = row.user_id });
    return ch_reply_created(rq, rows, HERE "/", "Room created");
}

static ch_err_t *get_room(ch_req_t *rq)
{
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_room_get(rq, rq->match.param[0], &rows);

    return ch_reply_found(rq, err, rows, CH_E_ROOM_NOT_FOUND, "Room");
}

static ch_err_t *update_room(ch_req_t *rq)
{
    const room_in_t *in = rq->body;
    const char *room = rq->match.param[0];
    const sql_room_update_t row = {
        .user_id = rq->who->user_id,
        .id = room,
        .admin = CH_CHAT_ADMIN(rq),
        .match = rq->if_match,
        .name = in->name,
        .description_given = CH_GIVEN(rq, room_in_t, description),
        .description = in->description,
        .private = CH_OPT(rq, room_in_t, is_private),
    };
    ch_rows_t *rows = NULL, *told = NULL;
    ch_err_t *err = ch_room_begin(rq, room, 0);

    err = err ? err : sql_room_update(rq->db, &row, &rows);
    err = err ? err : ch_room_fetch_told(rq, room, &told);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (err) {
        return err;
    }
    if (ch_rows_text(rows, 0, "number")) {
        ch_room_tell(rq, room, ch_rows_int(rows, 0, "number"), told);
    }
    return ch_reply_row(rq, rows, "Room updated");
}

/* Everything in it goes with it, which may take its time. */
static ch_err_t *delete_room(ch_req_t *rq)
{
    const sql_room_delete_t in = { .user_id = rq->who->user_id,
                                   .id = rq->match.param[0],
                                   .admin = CH_CHAT_ADMIN(rq),
                                   .match = rq->if_match };
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_room_begin(rq, in.id, 1);

    err = err ? err : sql_room_delete(rq->db, &in, &rows);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (err) {
        return err;
    }
    ch_room_tell_gone(rq, in.id, ch_rows_int(rows, 0, "number"));
    return ch_reply_row(rq, rows, "Room deleted");
}

/* --- come and go ------------------------------------------------------ */

static ch_err_t *join(ch_req_t *rq, const char *room, ch_rows_t **after)
{
    const sql_room_join_t in = { .user_id = rq->who->user_id, .id = room };
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_room_begin(rq, room, 0);

    err = err ? err : sql_room_join(rq->db, &in, &rows);
    if (after) {
        err = err ? err : ch_room_get(rq, room, after);
    }
    err = ch_room_end(rq, err);
    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_ROOM_NOT_FOUND, NULL);
    }
    if (!err && ch_rows_text(rows, 0, "number")) {
        ch_member_tell_joined(rq, room, rows);
    }
    return err;
}

ch_err_t *ch_room_join(ch_req_t *rq, const char *room)
{
    return join(rq, room, NULL);
}

static ch_err_t *join_room(ch_req_t *rq)
{
    ch_rows_t *rows = NULL;
    ch_err_t *err = join(rq, rq->match.param[0], &rows);

    return ch_reply_found(rq, err, rows, CH_E_ROOM_NOT_FOUND,
                          "You are a member of the room");
}

/* An heir makes three changes of one, in this order. */
static void tell_departure(ch_req_t *rq, const ch_rows_t *rows, int row,
                           const ch_rows_t *told)
{
    const char *room = ch_rows_text(rows, row, "id");
    const char *heir = ch_rows_text(rows, row, "heir");
    apr_int64_t number = ch_rows_int(rows, row, "number");

    ch_room_tell_left(rq, &(ch_room_left_t){
        .room = room, .user = rq->who->user_id, .reason = "left",
        .number = heir ? number - 2 : number,
        .member_count = ch_rows_int(rows, row, "member_count") });
    if (heir) {
        ch_member_tell_role(rq, room, number - 1, heir, "owner");
        ch_room_tell(rq, room, number, told);
    }
    if (ch_rows_bool(rows, row, "gone")) {
        ch_room_tell_gone(rq, room, number + 1);
    }
}

ch_err_t *ch_room_leave(ch_req_t *rq, const char *room)
{
    const sql_room_leave_t in = { .user_id = rq->who->user_id,
                                  .id = room,
                                  .admin = CH_CHAT_ADMIN(rq) };
    ch_rows_t *rows = NULL, *told = NULL;
    ch_err_t *err = ch_room_begin(rq, room, 1);

    err = err ? err : sql_room_leave(rq->db, &in, &rows);
    err = err ? err : ch_room_fetch_told(rq, room, &told);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, rows, CH_E_ROOM_NOT_FOUND);
    if (!err) {
        tell_departure(rq, rows, 0, told);
    }
    return err;
}

ch_err_t *ch_room_leave_all(ch_req_t *rq)
{
    const sql_room_leave_all_t in = { .user_id = rq->who->user_id };
    ch_rows_t *rows = NULL, *told = NULL;
    ch_err_t *err = sql_room_leave_all(rq->db, &in, &rows);
    int i;

    for (i = 0; !err && i < ch_rows_count(rows); i++) {
        if (ch_rows_text(rows, i, "heir")) {
            err = ch_room_fetch_told(rq, ch_rows_text(rows, i, "id"), &told);
        }
        if (!err) {
            tell_departure(rq, rows, i, told);
        }
    }
    return err;
}

static ch_err_t *leave_room(ch_req_t *rq)
{
    ch_err_t *err = ch_room_leave(rq, rq->match.param[0]);

    if (err) {
        return err;
    }
    ch_buf_printf(ch_reply_begin(rq, 64), "{\"roomId\":\"%s\"}",
                  rq->match.param[0]);
    return ch_reply_end(rq, "You left the room");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, CH_CHAT_ROUTE(API), .flags = CH_LIST,
      .ok = 200, .query = &list_query, .out = &ch_room_out,
      .handler = list_rooms, .summary = "Rooms, last used first" },
    { .method = CH_POST, .path = HERE, CH_CHAT_ROUTE(API),
      .flags = CH_IDEMPOTENT | CH_VERSIONED, .ok = 201, .body = &room_in,
      .out = &ch_room_out, .handler = create_room, .summary = "Make a room" },
    { .method = CH_GET, .path = HERE "/{id}", CH_CHAT_ROUTE(API),
      .flags = CH_VERSIONED | CH_NO_304, .ok = 200, .out = &ch_room_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND), .handler = get_room,
      .summary = "One room" },
    { .method = CH_PUT, .path = HERE "/{id}", CH_CHAT_ROUTE(API),
      .flags = CH_VERSIONED, .ok = 200, .body = &room_in,
      .out = &ch_room_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_FORBIDDEN),
      .handler = update_room, .summary = "Change a room" },
    { .method = CH_DELETE, .path = HERE "/{id}", CH_CHAT_ROUTE(API),
      .flags = CH_VERSIONED, .ok = 200, .out = &deleted_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_FORBIDDEN),
      .handler = delete_room,
      .summary = "Delete a room for good, with its messages" },
    { .method = CH_POST, .path = HERE "/{id}/join", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &joined_out, CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND),
      .handler = join_room, .summary = "Become a member of a public room" },
    { .method = CH_POST, .path = HERE "/{id}/leave", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &left_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_MEMBER_NOT_FOUND),
      .handler = leave_room,
      .summary = "Leave a room; an owner's room passes on" },
};

const ch_routes_t ch_room_routes = CH_ROUTES(routes);
