/* Tests of realtime/presence on a real PostgreSQL: who is told to have come
 * and gone, and that it is told once. */
#include "ch_database.h"
#include "ch_request.h"

#include <apr_thread_proc.h>

#include "realtime/presence.h"
#include "realtime/publish.h"

#define A "0198a000-0000-7000-8000-00000000000a"
#define B "0198a000-0000-7000-8000-00000000000b"
#define C "0198a000-0000-7000-8000-00000000000c"
#define ROOM1 "0198a000-0000-7000-8000-000000000001"
#define ROOM2 "0198a000-0000-7000-8000-000000000002"
#define ONE "00112233445566778899aabbccddeeff:0:1"
#define TWO "00112233445566778899aabbccddeeff:511:4294967295"

static ch_db_home_t *home;

/* A is in two rooms, B in one, C in none. */
static void prepare(void)
{
    ch_database_make();
    home = ch_home_make(CH_CONNECTIONS, 5000);
    ch_sql("DROP TABLE IF EXISTS room_members CASCADE;"
           "CREATE TABLE room_members (room_id uuid, user_id uuid);"
           "INSERT INTO users (id, email, password_hash) VALUES"
           " ('" A "', 'a@b.test', 'x'), ('" B "', 'b@b.test', 'x'),"
           " ('" C "', 'c@b.test', 'x');"
           "INSERT INTO room_members VALUES ('" ROOM1 "', '" A "'),"
           " ('" ROOM2 "', '" A "'), ('" ROOM1 "', '" B "')");
}

static ch_req_t *request(apr_pool_t *of)
{
    ch_req_t *rq = apr_pcalloc(of, sizeof(*rq));

    rq->pool = of;
    rq->db = ch_db_make(of, home);
    return rq;
}

static const apr_array_header_t *list(const char *const *ids)
{
    apr_array_header_t *users = apr_array_make(pool, 4, sizeof(*ids));

    for (; *ids; ids++) {
        APR_ARRAY_PUSH(users, const char *) = *ids;
    }
    return users;
}

#define USERS(...) list((const char *const[]){ __VA_ARGS__, NULL })

/* What was told: "a online 2, b offline 1" with the number of rooms. */
static const char *told(const ch_req_t *rq)
{
    const char *text = "";
    int i;

    for (i = 0; rq->told && i < rq->told->nelts; i++) {
        const ch_pub_t *pub = &APR_ARRAY_IDX(rq->told, i, ch_pub_t);
        const char *data = apr_pstrmemdup(pool, pub->data.data, pub->data.len);
        char status[16], user[64], seen[64];

        ck_assert_int_eq(pub->what, CH_PUB_PRESENCE);
        ck_assert_str_eq(pub->event, "presence");
        ck_assert_int_eq(sscanf(data,
                                "{\"userId\":\"%36[^\"]\",\"status\":"
                                "\"%15[^\"]\",\"lastSeenAt\":\"%24[^\"]\"}",
                                user, status, seen),
                         3);
        ck_assert_str_eq(user, pub->user);
        ck_assert_int_eq((int)strlen(seen), CH_TS_LEN);
        text = apr_psprintf(pool, "%s%s%c %s %d", text, i ? ", " : "",
                            user[35], status, strchr(pub->rooms, ',') ? 2 : 1);
        ck_assert_ptr_nonnull(strstr(pub->rooms, ROOM1));
    }
    return text;
}

#define ck_told(call, want)                                                   \
    do {                                                                      \
        ch_req_t *rq = request(pool);                                         \
                                                                              \
        ck_result(call, "");                                                  \
        ck_assert_str_eq(told(rq), want);                                     \
    } while (0)

static const char *online(void)
{
    return ch_sql("SELECT coalesce(string_agg(right(user_id::text, 1) || ' '"
                  " || status, ', ' ORDER BY user_id), '')"
                  " FROM online_users");
}

/* A place that was not heard of for so long. */
static void silence(const char *place, int seconds)
{
    ch_sql(apr_psprintf(pool,
                        "UPDATE presence_places SET beat = now() -"
                        " interval '%d seconds' WHERE place = '%s'",
                        seconds, place));
}

START_TEST(names)
{
    ck_assert_str_eq(ch_presence_place(pool,
                                       "00112233445566778899aabbccddeeff", 511,
                                       4294967295u),
                     TWO);
    ck_assert_uint_le(strlen(TWO), 48);
}
END_TEST

START_TEST(come_and_go)
{
    prepare();
    ck_assert_str_eq(online(), "");
    ck_told(ch_presence_up(rq, ONE, USERS(A, C)), "a online 2");
    ck_assert_str_eq(online(), "a online, c online");
    /* he has come to another place as well: nobody is told */
    ck_told(ch_presence_up(rq, TWO, USERS(A, B)), "b online 1");
    ck_told(ch_presence_up(rq, TWO, USERS(A, B)), "");
    ck_told(ch_presence_down(rq, ONE, USERS(A, B)), "");
    ck_assert_str_eq(online(), "a online, b online, c online");
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "a offline 2");
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "");
    ck_told(ch_presence_down(rq, ONE, USERS(C)), "");
    ck_assert_str_eq(online(), "b online");
    /* who is no user (any more) harms nobody */
    ck_told(ch_presence_up(rq, ONE, USERS(ROOM1, A)), "a online 2");
    ch_sql("DELETE FROM users WHERE id = '" A "'");
    ck_assert_str_eq(online(), "b online");
    ck_told(ch_presence_up(rq, ONE, list((const char *const[]){ NULL })), "");
}
END_TEST

START_TEST(what_is_set)
{
    prepare();
    ck_told(ch_presence_set(rq, A, "away"), "");
    ck_told(ch_presence_up(rq, ONE, USERS(A)), "a online 2");
    ck_told(ch_presence_up(rq, TWO, USERS(A)), "");
    ck_told(ch_presence_set(rq, A, "away"), "a away 2");
    ck_assert_str_eq(online(), "a away");
    /* it stays so where he comes to, until he went */
    ck_told(ch_presence_down(rq, ONE, USERS(A)), "");
    ck_told(ch_presence_up(rq, ONE, USERS(A)), "");
    ck_assert_str_eq(online(), "a away");
    ck_told(ch_presence_set(rq, A, "busy"), "a busy 2");
    ck_assert_str_eq(online(), "a busy");
    ck_told(ch_presence_down(rq, ONE, USERS(A)), "");
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "a offline 2");
    ck_told(ch_presence_up(rq, TWO, USERS(A)), "a online 2");
    ck_assert_str_eq(online(), "a online");
}
END_TEST

START_TEST(late_places)
{
    int lost = -1;

    prepare();
    ck_told(ch_presence_up(rq, ONE, USERS(A, B)), "a online 2, b online 1");
    ck_told(ch_presence_up(rq, TWO, USERS(A)), "");
    silence(ONE, 19);
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "");
    ck_told(ch_presence_up(rq, TWO, USERS(A)), "");
    /* it has ended with a restart, and A came back to the other place: when he
     * leaves that he is gone, and B has time left to come back */
    silence(ONE, 21);
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "a offline 2");
    ck_assert_str_eq(online(), "b online");
    /* or it was only slow */
    ck_told(ch_presence_beat(rq, ONE, &lost), "");
    ck_assert_int_eq(lost, 1);
    ck_told(ch_presence_up(rq, ONE, USERS(A, B)), "a online 2");
}
END_TEST

START_TEST(silent_places)
{
    int lost = -1;

    prepare();
    ck_told(ch_presence_up(rq, ONE, USERS(A, B)), "a online 2, b online 1");
    ck_told(ch_presence_up(rq, TWO, USERS(B)), "");
    silence(ONE, 29);
    ck_told(ch_presence_sweep(rq), "");
    silence(ONE, 19);
    ck_told(ch_presence_beat(rq, ONE, &lost), "");
    ck_assert_int_eq(lost, 0);
    silence(ONE, 31);
    ck_assert_str_eq(online(), "b online");
    ck_told(ch_presence_sweep(rq), "a offline 2");
    ck_told(ch_presence_sweep(rq), "");
    /* it was only slow, and tells anew who is there */
    ck_told(ch_presence_beat(rq, ONE, &lost), "");
    ck_assert_int_eq(lost, 1);
    ck_told(ch_presence_up(rq, ONE, USERS(A, B)), "a online 2");
    ck_told(ch_presence_beat(rq, ONE, &lost), "");
    ck_assert_int_eq(lost, 0);
    /* whoever is at a silent place is not there for others */
    silence(ONE, 31);
    ck_told(ch_presence_set(rq, A, "busy"), "");
    ck_told(ch_presence_down(rq, TWO, USERS(B)), "b offline 1");
    ck_told(ch_presence_up(rq, TWO, USERS(A)), "a online 2");
    ck_told(ch_presence_sweep(rq), "");
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "a offline 2");
}
END_TEST

/* A place that was slow, and whose users others had dropped meanwhile. */
START_TEST(a_slow_place)
{
    int lost = -1;

    prepare();
    ck_told(ch_presence_up(rq, ONE, USERS(A, B)), "a online 2, b online 1");
    ck_told(ch_presence_up(rq, TWO, USERS(A)), "");
    silence(ONE, 31);
    ck_told(ch_presence_down(rq, TWO, USERS(A)), "a offline 2");
    ck_told(ch_presence_beat(rq, ONE, &lost), "");
    ck_assert_int_eq(lost, 1);
    ck_told(ch_presence_up(rq, ONE, USERS(A, B)), "a online 2");
    ck_told(ch_presence_sweep(rq), "");
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define THREADS 4
#define ROUNDS 60

static int turn;       /* how many threads have come to it */
static int gone, come; /* told, of all rounds */

static void wait_for_all(int round)
{
    __atomic_fetch_add(&turn, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) < THREADS * round) {
        apr_sleep(100); /* two cores are for the database, too */
    }
}

static void count(ch_req_t *rq, ch_err_t *err, int *of)
{
    if (err) {
        __atomic_store_n(of, -1000000, __ATOMIC_SEQ_CST);
    }
    else if (rq->told) {
        __atomic_fetch_add(of, rq->told->nelts, __ATOMIC_SEQ_CST);
    }
}

/* Each thread is a child with sockets of A and B, in another order. */
static void *APR_THREAD_FUNC come_and_go_much(apr_thread_t *thread, void *data)
{
    static const char *const ids[] = { A, B, A };
    int me = *(const int *)data;
    int round;

    for (round = 1; round <= ROUNDS; round++) {
        apr_array_header_t *users;
        apr_pool_t *own;
        const char *place;
        ch_req_t *rq;

        apr_pool_create(&own, NULL);
        users = apr_array_make(own, 2, sizeof(char *));
        APR_ARRAY_PUSH(users, const char *) = ids[me % 2];
        APR_ARRAY_PUSH(users, const char *) = ids[me % 2 + 1];
        place = ch_presence_place(own, "x", me, 1);
        rq = request(own);
        wait_for_all(2 * round - 1);
        count(rq, ch_presence_up(rq, place, users), &come);
        rq = request(own);
        wait_for_all(2 * round);
        count(rq, ch_presence_down(rq, place, users), &gone);
        apr_pool_destroy(own);
    }
    return NULL;
}

/* Four children get the first, and drop the last socket of two users at the
 * same moment: one of them tells. */
START_TEST(told_by_one)
{
    static const int numbers[THREADS] = { 0, 1, 2, 3 };
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    prepare();
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, come_and_go_much,
                                           (void *)(uintptr_t)&numbers[i],
                                           pool),
                         0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_int_eq(come, 2 * ROUNDS);
    ck_assert_int_eq(gone, 2 * ROUNDS);
    ck_assert_str_eq(online(), "");
}
END_TEST

static void *APR_THREAD_FUNC sweep(apr_thread_t *thread, void *data)
{
    apr_pool_t *own;
    ch_req_t *rq;

    apr_pool_create(&own, NULL);
    rq = request(own);
    wait_for_all(1);
    count(rq, ch_presence_sweep(rq), &gone);
    apr_pool_destroy(own);
    return NULL;
}

/* A thousand users of a server that died, found by four others at once. */
START_TEST(swept_by_one)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    prepare();
    ch_sql("INSERT INTO users (id, email, password_hash)"
           " SELECT gen_random_uuid(), n || '@x.test', 'x'"
           " FROM generate_series(1, 1000) n;"
           "INSERT INTO room_members SELECT '" ROOM1 "', id FROM users"
           " WHERE email LIKE '%x.test';"
           "INSERT INTO presence_places SELECT 'p' || n,"
           " now() - interval '1 minute' FROM generate_series(1, 10) n;"
           "INSERT INTO user_presence SELECT id, 'p' || n FROM users,"
           " generate_series(1, 10) n WHERE email LIKE '%x.test'");
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, sweep, NULL, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_int_eq(gone, 1000);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM user_presence"), "0");
}
END_TEST

CH_POSTGRES_MAIN("realtime/presence", CH_ONCE(names), CH_ONCE(come_and_go),
                 CH_ONCE(what_is_set), CH_ONCE(late_places),
                 CH_ONCE(silent_places), CH_ONCE(a_slow_place),
                 CH_ONCE(told_by_one), CH_ONCE(swept_by_one))
