/* Tests of realtime/tend: what the database said of members, when something
 * happened before that was heard. */
#include "ch_realtime.h"

#include "store/sql_gen.h"

#define ROOM 1

/* --- a database ------------------------------------------------------- */

static const char living, members; /* what rows are of */
static int is_in;              /* whether there is one row of members */
static int looks, may_answer;      /* atomic */

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
    *out = is_in ? (ch_rows_t *)(uintptr_t)&members : NULL;
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
    return text_of(strcmp(name, "user_id") == 0 ? 'a' : ROOM);
}

static apr_int64_t fake_int(const ch_rows_t *rows, int row, const char *name)
{
    return 0;
}

static int fake_bool(const ch_rows_t *rows, int row, const char *name)
{
    return 1;
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
#pragma GCC diagnostic pop
#undef id_of

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
    return ch_hub_user(SITE, id_of('a'))->members != NULL;
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

CH_SUITE_MAIN("realtime/tend", CH_ONCE(nothing_happens),
              CH_ONCE(joins_meanwhile), CH_ONCE(leaves_meanwhile))
