/* Tests of realtime/tend and realtime/connect: what the database said of
 * members, when something happened before that was heard. */
#include "ch_realtime.h"

#include "auth/auth.h"
#include "base/jsonw.h"
#include "base/seal.h"
#include "realtime/presence.h"
#include "store/sql_gen.h"

#define ROOM 1

/* --- a database ------------------------------------------------------- */

static const char living, members; /* what rows are of */
static int whose = 'a';                 /* rows of members are */
static int is_in;                       /* atomic: whether there is one */
static int looks, may_answer;           /* atomic */

static ch_err_t *fake_sessions(ch_db_t *db, const sql_hub_sessions_t *in,
                               ch_rows_t **out)
{
    *out = (ch_rows_t *)(uintptr_t)&living;
    return NULL;
}

/* It says how things were when it was asked, some time later. */
static ch_err_t *fake_members(ch_db_t *db, const sql_hub_members_t *in,
                              ch_rows_t **out)
{
    *out = __atomic_load_n(&is_in, __ATOMIC_SEQ_CST)
               ? (ch_rows_t *)(uintptr_t)&members
               : NULL;
    __atomic_add_fetch(&looks, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&may_answer, __ATOMIC_SEQ_CST)) {
        apr_sleep(MS(1));
    }
    return NULL;
}

static int fake_count(const ch_rows_t *rows)
{
    return rows != NULL;
}

static const char *fake_text(const ch_rows_t *rows, int row, const char *name)
{
    if ((const char *)rows == &living) {
        return strcmp(name, "id") == 0 ? "00000000-0000-0000-0000-000000000000"
                                       : "user";
    }
    return text_of(strcmp(name, "user_id") == 0 ? whose : ROOM);
}

static apr_int64_t fake_int(const ch_rows_t *rows, int row, const char *name)
{
    return 0;
}

static int fake_bool(const ch_rows_t *rows, int row, const char *name)
{
    return 1;
}

/* Who connects is b. */
static ch_err_t *fake_enter(ch_req_t *rq, const char *place, const char *user,
                            ch_rows_t **out)
{
    return fake_members(rq->db, NULL, out);
}

static ch_err_t *fake_stage(ch_req_t *rq)
{
    static ch_principal_t who = { .session_id = "00000000-0000-0000-0000-"
                                                "000000000000" };

    who.user_id = text_of('b');
    rq->who = &who;
    return NULL;
}

static ch_err_t *fake_principal(ch_db_t *db,
                                const sql_session_principal_t *in,
                                ch_rows_t **out)
{
    *out = NULL;
    return NULL;
}

#define sql_hub_sessions fake_sessions
#define sql_hub_members fake_members
#define ch_rows_count fake_count
#define ch_rows_text fake_text
#define ch_rows_int fake_int
#define ch_rows_bool fake_bool
#define id_of id_in
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* of what tests share */
#include "realtime/tend.c"
#undef id_of
#define ch_presence_enter fake_enter
#define ch_identify_stage fake_stage
#define ch_authenticate_stage fake_stage
#define ch_permit_stage fake_stage
#define sql_session_principal fake_principal
#define enter enter_here
#include "realtime/connect.c"
#undef enter
#pragma GCC diagnostic pop

/* --- what happens meanwhile ------------------------------------------- */

static client_t a;

static int has_looked(int times)
{
    return __atomic_load_n(&looks, __ATOMIC_SEQ_CST) == times;
}

static void begin_look(int member)
{
    looks = may_answer = 0;
    is_in = member;
    run_for(MS(2)); /* what was before is of another moment */
    ch_tend_sessions(&conf, ch_hub_user(SITE, id_of('a')));
    wait_for(has_looked(1));
}

/* The database's word comes, and has been acted on. */
static void end_look(int times)
{
    __atomic_store_n(&may_answer, 1, __ATOMIC_SEQ_CST);
    wait_for(has_looked(times));
    run_for(MS(50));
    ck_assert(has_looked(times));
}

static int has_room(void)
{
    return ch_hub_user(SITE, id_of((unsigned char)whose))->members != NULL;
}

START_TEST(nothing_happens)
{
    begin_realtime(NULL);
    open_user(&a, 'a');
    begin_look(1);
    end_look(1);
    ck_assert_int_eq(has_room(), 1);
    begin_look(0);
    end_look(1);
    ck_assert_int_eq(has_room(), 0);
    end_realtime();
}
END_TEST

START_TEST(joins_meanwhile)
{
    begin_realtime(NULL);
    open_user(&a, 'a');
    begin_look(0);
    DELIVER(.what = CH_PUB_JOINED, .room = ROOM, .user = 'a', .number = 1);
    subscribe(&a, ROOM, 1);
    is_in = 1;
    end_look(2);
    ck_assert_int_eq(has_room(), 1);
    ck_assert_ptr_nonnull(a.sock->subs);
    end_realtime();
}
END_TEST

START_TEST(leaves_meanwhile)
{
    begin_realtime(NULL);
    open_user(&a, 'a');
    add_member('a', ROOM, (ch_membership_t){ .mark = 0 });
    begin_look(1);
    DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 1);
    is_in = 0;
    end_look(2);
    ck_assert_int_eq(has_room(), 0);
    end_realtime();
}
END_TEST

/* The room was heard of by somebody else, behind the moment at which a joined
 * or left it: nothing is behind that any more. */
START_TEST(joins_before_we_began)
{
    client_t b;

    begin_realtime(NULL);
    open_user(&a, 'a');
    open_user(&b, 'b');
    add_member('b', ROOM, (ch_membership_t){ .number = 5 });
    looks = 0;
    may_answer = is_in = 1;
    run_for(MS(2));
    DELIVER(.what = CH_PUB_EMIT, .room = ROOM, .number = 5);
    DELIVER(.what = CH_PUB_JOINED, .room = ROOM, .user = 'a', .number = 4);
    run_for(MS(2));
    wait_for(!has_looked(0) && has_room());
    __atomic_store_n(&is_in, 0, __ATOMIC_SEQ_CST);
    DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 5);
    wait_for(!has_room());
    end_realtime();
}
END_TEST

/* --- who connects ----------------------------------------------------- */

static int is_here(void)
{
    return ch_hub_user(SITE, id_of('b')) != NULL;
}

static void begin_connect(int member)
{
    const ch_engine_in_t in = new_session();
    const ch_sio_packet_t packet = { .json = { "", 0 } };

    begin_realtime(NULL);
    looks = may_answer = 0;
    is_in = member;
    whose = 'b';
    ck_assert_int_eq(ch_connect(ch_engine_open(&in), &packet), 1);
    wait_for(has_looked(1));
    ck_assert_int_eq(is_here(), 0);
}

START_TEST(nothing_happens_to_who_connects)
{
    begin_connect(1);
    end_look(1);
    ck_assert(is_here() && has_room());
    end_realtime();
}
END_TEST

/* He joins (1), or leaves. */
START_TEST(moves_while_he_connects)
{
    begin_connect(!_i);
    DELIVER(.what = _i ? CH_PUB_JOINED : CH_PUB_LEFT, .room = ROOM,
            .user = 'b', .number = 1);
    ck_assert_int_eq(is_here(), 0);
    is_in = _i;
    __atomic_store_n(&may_answer, 1, __ATOMIC_SEQ_CST);
    wait_for(is_here() && has_room() == _i);
    end_realtime();
}
END_TEST

/* His session, or he himself, is another one by now: that is looked at. */
START_TEST(ends_while_he_connects)
{
    static const unsigned char session[16];

    begin_connect(1);
    ch_hub_note(_i ? id_of('b') : session);
    end_look(2);
    ck_assert(is_here() && has_room());
    end_realtime();
}
END_TEST

CH_SUITE_MAIN("realtime/tend", CH_ONCE(nothing_happens),
              CH_ONCE(joins_meanwhile), CH_ONCE(leaves_meanwhile),
              CH_ONCE(joins_before_we_began),
              CH_ONCE(nothing_happens_to_who_connects),
              { .test = moves_while_he_connects, .times = 2 },
              { .test = ends_while_he_connects, .times = 2 })
