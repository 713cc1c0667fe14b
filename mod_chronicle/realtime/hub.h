/* Rooms, users and their sockets in this child: who hears what. Loop thread
 * only.
 *
 * hub.c keeps them, deliver.c acts on what is published, mend.c and tend.c ask
 * the database where something may have been missed, attend.c tells it who is
 * here. */
#ifndef CH_REALTIME_HUB_H
#define CH_REALTIME_HUB_H

#include "realtime/socket.h"

typedef struct ch_room_t ch_room_t;
typedef struct ch_member_t ch_member_t;

#define CH_KEY_LEN 17 /* an id and its site */

/* Somebody with a socket here, or who had one some seconds ago. */
struct ch_user_t {
    unsigned char key[CH_KEY_LEN];
    const ch_conf_t *conf;
    ch_sock_t *socks;
    ch_member_t *members; /* of which rooms */
    ch_timer_t timer;     /* he is offline then */
    apr_time_t moved;     /* when he joined or left something last */
    unsigned syncing : 1; /* "sync:changed" is being made */
    unsigned again : 1;   /* and once more after that */
};

/* A user's membership: for "unread". */
struct ch_member_t {
    ch_user_t *user;
    ch_room_t *room;
    ch_member_t *next_room;        /* of the same user */
    ch_member_t *next_user, **link; /* of the same room */
    apr_int64_t mark; /* number of the last message that was read */
};

/* What is kept for a subscriber until its ack is out. */
typedef struct ch_held_t ch_held_t;
struct ch_held_t {
    ch_held_t *next;
    ch_chunk_t *chunk;
    apr_int64_t number;
    unsigned ends : 1; /* the subscription, unless that is known to it */
};

/* A socket's subscription. */
struct ch_sub_t {
    ch_sock_t *sock;
    ch_room_t *room;
    ch_sub_t *next_room;         /* of the same socket */
    ch_sub_t *next_sock, **link; /* of the same room */
    apr_int64_t base; /* events up to this number are known to it */
    ch_held_t *held, **held_end;
    ch_timer_t *typing; /* NULL = he doesn't */
    unsigned holds : 1;
    unsigned fresh : 1; /* it goes when its ack fails */
};

/* An event that came before its turn. */
typedef struct ch_early_t ch_early_t;
struct ch_early_t {
    ch_early_t *next;
    apr_time_t at; /* when it came */
    ch_record_t record;
};

/* A room with members or subscribers here. */
struct ch_room_t {
    unsigned char key[CH_KEY_LEN];
    const ch_conf_t *conf;
    ch_sub_t *subs;
    ch_member_t *members;
    apr_int64_t next;     /* number of the next event; 0 = not known yet */
    apr_int64_t last_seq; /* of the newest message that was delivered */
    apr_int64_t behind;   /* an event that the database had, some time ago */
    ch_early_t *early;    /* in order of number */
    ch_timer_t timer;     /* a gap has been open for long */
    unsigned catching : 1;
};

void ch_hub_open(void);

/* The loop has ended: nobody has a socket here any more. */
void ch_hub_close(void);

/* --- hub.c ------------------------------------------------------------- */

/* A socket of a user; who may be new here. */
ch_user_t *ch_hub_enter(ch_sock_t *sock, const unsigned char id[16]);
void ch_hub_leave(ch_sock_t *sock);

ch_user_t *ch_hub_user(int site, const unsigned char id[16]);

/* The same of somebody who joins or leaves something now. */
ch_user_t *ch_hub_moved(int site, const unsigned char id[16]);

/* A session ends now, or a user is another one. */
void ch_hub_note(const unsigned char id[16]);

/* Whether that, or the same as above, may have happened to a user or a session
 * since then, whether he was here or not: what the database said may be
 * older. */
int ch_hub_is_late(int site, const unsigned char id[16], apr_time_t since);

ch_room_t *ch_hub_room(int site, const unsigned char id[16]);

/* What the database knows of a membership, as of that moment: number and seq
 * are the room's. */
typedef struct {
    unsigned char room[16];
    apr_int64_t mark, number, seq;
} ch_membership_t;

void ch_hub_member(ch_user_t *user, const ch_membership_t *as);

/* number: of the event that says so, 0 = it is so now. Subscriptions that know
 * of that event stay: he came back; those that hold are judged when they are
 * released. */
void ch_hub_no_member(ch_user_t *user, ch_room_t *room, apr_int64_t number);

/* A subscription that holds back what comes; NULL when the socket is gone. */
ch_sub_t *ch_hub_hold(apr_uint64_t sock, const unsigned char room[16]);

/* It need not any more: events after `number` go out, up to one that ends the
 * subscription. number -1: the ack failed, and a fresh subscription goes. */
void ch_hub_release(ch_sub_t *sub, apr_int64_t number, apr_int64_t seq);

ch_sub_t *ch_hub_sub(const ch_sock_t *sock, const unsigned char room[16]);
void ch_hub_unsubscribe(ch_sub_t *sub);

/* Nobody is in the room here any more: it is forgotten. */
void ch_hub_tidy(ch_room_t *room);

/* For all of them. */
void ch_hub_each_user(void (*call)(ch_user_t *user, void *ctx), void *ctx);
void ch_hub_each_room(void (*call)(ch_room_t *room, void *ctx), void *ctx);

/* --- deliver.c --------------------------------------------------------- */

/* Acts on a record of kind PUB. */
void ch_deliver(const ch_record_t *record);

/* The events that came before their turn, as far as it is theirs now. */
void ch_deliver_early(ch_room_t *room);

/* The database has had events up to this number: if they don't come soon, they
 * are lost. */
void ch_deliver_behind(ch_room_t *room, apr_int64_t number);

/* A message that was missed, found in the database. */
void ch_deliver_missed(ch_room_t *room, const unsigned char user[16],
                       apr_int64_t seq, ch_bytes_t data);

void ch_deliver_to_user(ch_user_t *user, ch_chunk_t *chunk);

/* Tells everybody, by a hand. */
void ch_deliver_tell(const ch_conf_t *conf, const ch_record_t *record);

/* --- typist.c ---------------------------------------------------------- */

/* The socket's user types in the room, or stopped; told to others when on is
 * not what they know, or after a while. */
void ch_typist(ch_sub_t *sub, int on);

/* --- mend.c ------------------------------------------------------------ */

/* What was missed of a room is asked for: it has been behind for long. */
void ch_mend_room(ch_room_t *room);

/* The database is asked whether this room, or any of these, is behind, or
 * gone. */
void ch_mend_look(ch_room_t *room);
void ch_mend_rooms(const ch_conf_t *conf);

/* --- tend.c ------------------------------------------------------------ */

/* A membership, from a row of sql_hub_members. */
void ch_tend_member(ch_user_t *user, const ch_rows_t *rows, int row);

/* The sessions of this user, or (NULL) of all of a site, are looked at, and
 * with them who is a member of what. */
void ch_tend_sessions(const ch_conf_t *conf, ch_user_t *user);

/* The same of all members of a room. */
void ch_tend_members(const ch_room_t *room);

/* Everything of a site is looked at. */
void ch_tend_all(int site);

/* Whether a look at sessions failed since the last call. */
int ch_tend_owed(void);

/* Makes "sync:changed" for the user. */
void ch_tend_sync(ch_user_t *user);

/* --- attend.c ----------------------------------------------------------- */

/* The user has no socket here any more, or never got one. */
void ch_attend_gone(const ch_conf_t *conf, const char *user);

/* Begins and ends what is done every some seconds. */
void ch_attend_begin(void);
void ch_attend_end(void);

#endif
