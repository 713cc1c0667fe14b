/* Chat: what REST and Socket.IO share. A function that does what a client asks
 * for checks it, changes the database and notes what is to be told; the rows
 * that it gives are what the answer is made of. Of rq it needs pool, conf, db
 * and who. */
#ifndef CH_API_CHAT_H
#define CH_API_CHAT_H

#include "realtime/publish.h"
#include "store/sql_gen.h"
#include "web/route.h"

#define CH_CHAT "/api/v1/chat"

#define CH_CHAT_ROUTE(class)                                                  \
    .auth = CH_USER, .rate = CH_RATE_##class, .feature = CH_FEATURE_CHAT,     \
    .tag = "Chat"

/* Whether the caller may read everything. */
#define CH_CHAT_ADMIN(rq) ((rq)->who->role == CH_ROLE_ADMIN)

/* --- wire forms --------------------------------------------------------- */

extern const ch_fields_t ch_room_out;
extern const ch_fields_t ch_room_told_out; /* as all members are told */
extern const ch_fields_t ch_message_out;
extern const ch_fields_t ch_message_told_out; /* `me` is false */
extern const ch_fields_t ch_message_found_out; /* with highlight */
extern const ch_fields_t ch_message_deleted_out;
extern const ch_fields_t ch_member_out;
extern const ch_fields_t ch_reaction_out;
extern const ch_fields_t ch_reactions_out;
extern const ch_fields_t ch_read_out;

/* --- rooms.c ------------------------------------------------------------ */

/* What changes a room runs behind the room's lock, in one round trip: the
 * statement stands between these two. slow: it may take longer than the
 * statements of a request may. end takes its error. */
ch_err_t *ch_room_begin(ch_req_t *rq, const char *room, int slow);
ch_err_t *ch_room_end(ch_req_t *rq, ch_err_t *err);

/* An answer under an alias whose canonical path the fields tell. */
void ch_room_alias(ch_req_t *rq, const char *room, const char *rest);

/* Adds the room as all members know it, to be told; between the two. */
ch_err_t *ch_room_fetch_told(ch_req_t *rq, const char *room,
                             ch_rows_t **told);

ch_err_t *ch_room_get(ch_req_t *rq, const char *room, ch_rows_t **rows);

/* ROOM_NOT_FOUND or NOT_ROOM_MEMBER for who is none. */
ch_err_t *ch_room_check_member(ch_req_t *rq, const char *room);

/* Becomes a member, if he is not. */
ch_err_t *ch_room_join(ch_req_t *rq, const char *room);
ch_err_t *ch_room_leave(ch_req_t *rq, const char *room);

/* Leaves all rooms, in a transaction that has locked them. */
ch_err_t *ch_room_leave_all(ch_req_t *rq);

/* Tells the room of its own new state, which has this number. */
void ch_room_tell(ch_req_t *rq, const char *room, apr_int64_t number,
                  const ch_rows_t *told);

/* Tells that somebody left, or was kicked. */
typedef struct {
    const char *room;
    const char *user;
    const char *reason;
    apr_int64_t number;
    apr_int64_t member_count;
} ch_room_left_t;

void ch_room_tell_left(ch_req_t *rq, const ch_room_left_t *left);

/* Tells that the room is gone. */
void ch_room_tell_gone(ch_req_t *rq, const char *room, apr_int64_t number);

/* --- members.c ---------------------------------------------------------- */

/* Tells that the member of row 0 joined. */
void ch_member_tell_joined(ch_req_t *rq, const char *room,
                           const ch_rows_t *rows);

/* Tells a member's new role. */
void ch_member_tell_role(ch_req_t *rq, const char *room, apr_int64_t number,
                         const char *user, const char *role);

/* --- messages.c --------------------------------------------------------- */

typedef struct {
    const char *room_id;
    const char *content;
    const char *reply_to_id;
    const char *client_id;
} ch_message_in_t;

/* With and without roomId. */
extern const ch_fields_t ch_message_in;
extern const ch_fields_t ch_message_to_in;

#define CH_MESSAGE_CONTENT(T)                                                 \
    { .name = "content", CH_IN(T, content, CH_T_TEXT),                        \
      .flags = CH_REQUIRED, .min = 1, .max = 4000,                            \
      .valid = ch_message_has_text, .pattern = "more than white space",       \
      .doc = "Its text" }

int ch_message_has_text(const char *text, size_t len);

/* As ch_room_begin, with the room of a message. */
ch_err_t *ch_message_begin(ch_req_t *rq, const char *id);

/* *again: it had been sent before, and rows hold that one. */
ch_err_t *ch_message_send(ch_req_t *rq, const ch_message_in_t *in,
                          ch_rows_t **rows, int *again);
/* content NULL: only whether he might, and the message. */
ch_err_t *ch_message_edit(ch_req_t *rq, const char *id, const char *content,
                          ch_rows_t **rows);
ch_err_t *ch_message_delete(ch_req_t *rq, const char *id, ch_rows_t **rows);

/* --- reactions.c -------------------------------------------------------- */

#define CH_REACTION_EMOJI(T)                                                  \
    { .name = "emoji", CH_IN(T, emoji, CH_T_STR), .flags = CH_REQUIRED,       \
      .min = 1, .max = CH_EMOJI_POINTS, .valid = ch_reaction_is_emoji,        \
      .pattern = "of at most 64 bytes without white space",                   \
      .doc = "The reaction" }

#define CH_EMOJI_POINTS 16

int ch_reaction_is_emoji(const char *text, size_t len);

/* *again: it was there. */
ch_err_t *ch_reaction_add(ch_req_t *rq, const char *message,
                          const char *emoji, ch_rows_t **rows, int *again);
ch_err_t *ch_reaction_remove(ch_req_t *rq, const char *message,
                             const char *emoji, ch_rows_t **rows);

/* --- message_reads.c ---------------------------------------------------- */

/* message NULL = the newest. */
ch_err_t *ch_read_mark(ch_req_t *rq, const char *room, const char *message,
                       ch_rows_t **rows);

/* Who is there, and that written as {roomId,online,typing}. */
ch_err_t *ch_presence_fetch(ch_req_t *rq, const char *room, ch_rows_t **rows);
void ch_presence_write(ch_req_t *rq, const char *room, const ch_rows_t *rows,
                       ch_buf_t *buf);

/* --- message_missed.c --------------------------------------------------- */

/* Of ch_realtime_t. */
ch_err_t *ch_message_missed(ch_req_t *rq, const char *room, apr_int64_t seq,
                            apr_int64_t *number, apr_array_header_t **out);

#endif
