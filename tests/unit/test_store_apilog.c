/* Tests of store/apilog on a real PostgreSQL: what goes into the ring comes
 * out once and whole, and no more than there should be. */
#include "ch_apilog.h"

/* --- rows -------------------------------------------------------------- */

START_TEST(before_open)
{
    int moved = 7;

    ch_apilog_put(&usual, &anywhere);
    ck_result(ch_apilog_drain(NULL, pool, 1, &moved), "");
    ck_assert_int_eq(moved, 0);
    ck_assert_int_eq(ch_apilog_note_away(1), 0);
    ck_dropped(0, 0, 0);
}
END_TEST

START_TEST(whole_row)
{
    open_all();
    ch_apilog_put(&usual, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_int_eq(drain(), 0);
    ck_assert_str_eq(
        ch_sql("SELECT concat_ws(' ', request_id, user_id, method, path, "
               "route, status, duration_ms, ip_address, user_agent, "
               "error_code, to_char(created_at AT TIME ZONE 'UTC', "
               "'HH24:MI:SS.US')) FROM api_logs"),
        "r1 " USER " GET /api/v1/notes/7 /api/v1/notes/{id} 404 2 192.0.2.7 "
        "an agent NOTE_NOT_FOUND 10:30:00.123456");
}
END_TEST

START_TEST(least_row)
{
    const ch_apilog_t row = { .request_id = "",
                              .method = "",
                              .path = "",
                              .status = 200,
                              .start = START,
                              .took = -5 };

    open_all();
    ch_apilog_put(&row, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_str_eq(
        ch_sql("SELECT concat_ws(' ', request_id = '', path = '', "
               "num_nulls(user_id, route, ip_address, user_agent, "
               "error_code), duration_ms) FROM api_logs"),
        "t t 5 0");
}
END_TEST

static const struct {
    const char *in;
    const char *out;
} agents[] = {
    { "NULL", "NULL" },
    { "{\"a\",b}\\", "{\"a\",b}\\" },
    { "tab\there\r\n", "tab?here??" },
    { "\x7F\x01", "??" },
    { "\xC3\xA9\xF0\x9F\x98\x80", "\xC3\xA9\xF0\x9F\x98\x80" },
    { "\xE9 caf\xE9", "? caf?" },
    { "\xC2\x85\xC2\xA0", "??\xC2\xA0" },
    { "\xED\xA0\x80", "???" },
    { "'; DROP TABLE api_logs; --", "'; DROP TABLE api_logs; --" },
};

START_TEST(texts_are_cleaned)
{
    ch_apilog_t row = usual;

    open_all();
    row.user_agent = agents[_i].in;
    row.path = agents[_i].in;
    ch_apilog_put(&row, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_str_eq(ch_sql("SELECT user_agent FROM api_logs"),
                     agents[_i].out);
    ck_assert_str_eq(ch_sql("SELECT path FROM api_logs"), agents[_i].out);
}
END_TEST

/* Each longer than its column, all together as long as a slot has room for;
 * the row behind it is not touched. */
START_TEST(texts_are_cut)
{
    ch_apilog_t row = usual;
    char *text = apr_palloc(pool, 5001);

    open_all();
    memset(text, 'x', 5000);
    text[5000] = '\0';
    row.request_id = row.method = row.path = row.route = text;
    row.user_agent = row.error_code = text;
    put_named("before");
    ch_apilog_put(&row, &anywhere);
    put_named("after");
    ck_assert_int_eq(drain(), 3);
    ck_assert_str_eq(
        ch_sql("SELECT concat_ws(' ', length(request_id), length(method), "
               "length(path), length(route), length(user_agent), "
               "length(error_code)) FROM api_logs WHERE method <> 'GET'"),
        "128 10 512 128 256 50");
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM api_logs WHERE path = "
                            "'/api/v1/notes/7' AND user_agent = 'an agent'"),
                     "2");
}
END_TEST

START_TEST(half_a_character_goes)
{
    ch_apilog_t row = usual;
    char *text = apr_palloc(pool, 300);

    open_all();
    memset(text, 'x', 254);
    memcpy(text + 254, "\xE2\x82\xAC", 4); /* 254 + 3 of 256 bytes */
    row.user_agent = text;
    ch_apilog_put(&row, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_str_eq(ch_sql("SELECT right(user_agent, 3) FROM api_logs"),
                     "x??");
}
END_TEST

static const char *const addresses[] = { "10.1.2", "fe80::1%eth0", "",
                                         "localhost", "::ffff:1.2.3.4.5" };

/* One that Postgres would refuse must not take the others with it. */
START_TEST(no_address)
{
    ch_apilog_t row = usual;

    open_all();
    row.client_ip = addresses[_i];
    ch_apilog_put(&row, &anywhere);
    put_named("good");
    ck_assert_int_eq(drain(), 2);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM api_logs "
                            "WHERE ip_address IS NULL"),
                     "1");
}
END_TEST

/* --- how many ------------------------------------------------------------ */

static void put_at(int status, int seconds, int server, int rate)
{
    const ch_apilog_to_t to = { .server = server,
                                .database = 1,
                                .rate = rate };
    ch_apilog_t row = usual;

    row.status = status;
    row.start = START + apr_time_from_sec(seconds);
    ch_apilog_put(&row, &to);
}

START_TEST(rates)
{
    int i;

    open_all();
    for (i = 0; i < 20; i++) {
        put_at(200, 0, 1, 5);
    }
    ck_dropped(15, 0, 0);
    put_at(200, 0, 2, 5); /* another server has its own */
    put_at(200, 0, 3, 0); /* and one that wants none has none */
    ck_dropped(15, 0, 0);
    for (i = 0; i < 7; i++) {
        put_at(200, 1, 1, 5); /* the next second */
    }
    ck_dropped(17, 0, 0);
    ck_assert_int_eq(drain_to_end(), 5 + 1 + 5);
}
END_TEST

static const struct {
    int status;
    int kept; /* above the rate */
} statuses[] = {
    { 200, 0 }, { 304, 0 }, { 400, 0 }, { 404, 0 }, { 409, 0 },
    { 401, 1 }, { 403, 1 }, { 429, 1 }, { 500, 1 }, { 503, 1 },
};

START_TEST(trouble_is_kept)
{
    int i;

    open_all();
    for (i = 0; i < 5; i++) {
        put_at(200, 0, 1, 5);
    }
    for (i = 0; i < 60; i++) {
        put_at(statuses[_i].status, 0, 1, 5);
    }
    ck_dropped(statuses[_i].kept ? 10 : 60, 0, 0);
    ck_assert_int_eq(drain_to_end(), statuses[_i].kept ? 55 : 5);
}
END_TEST

START_TEST(full_ring)
{
    open_all();
    put_many(0, SLOTS + 100);
    ck_dropped(0, 100, 0);
    ck_assert_int_eq(drain(), CH_APILOG_BATCH);
    put_many(SLOTS + 100, 500);
    ck_assert_uint_ge(500 - (ch_apilog_dropped(CH_APILOG_FULL) - 100), 50);
    drain_to_end();
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM api_logs WHERE "
                            "substr(request_id, 2)::int < 4096"),
                     "4096"); /* the newest were not kept */
    ck_assert_int_eq(in_table(), (int)(SLOTS + 600
                                       - ch_apilog_dropped(CH_APILOG_FULL)));
    ck_assert_str_eq(ch_sql("SELECT count(DISTINCT id) = count(*) AND "
                            "count(DISTINCT request_id) = count(*) "
                            "FROM api_logs"),
                     "t");
    put_many(10000, SLOTS); /* nothing was leaked */
    ck_assert_int_eq(drain_to_end(), SLOTS);
}
END_TEST

START_TEST(batches)
{
    open_all();
    put_many(0, 1200);
    ck_assert_int_eq(drain(), 500);
    ck_assert_int_eq(drain(), 500);
    ck_assert_int_eq(drain(), 200);
    ck_assert_int_eq(drain(), 0);
    ck_assert_int_eq(in_table(), 1200);
}
END_TEST

START_TEST(databases)
{
    ch_apilog_to_t to = anywhere;
    int i;

    open_all();
    for (i = 0; i < 30; i++) {
        to.database = 1 + i % 3;
        ch_apilog_put(&usual, &to);
    }
    ck_assert_int_eq(drain_of(2), 10);
    ck_assert_int_eq(drain_of(4), 0);
    ck_assert_int_eq(drain_of(1), 10);
    ck_assert_int_eq(drain_of(3), 10);
    ck_assert_int_eq(drain_of(2), 0);
}
END_TEST

/* --- what goes wrong ------------------------------------------------------
 */

START_TEST(away)
{
    ch_db_t *db;
    int moved = 7;

    open_all();
    put_many(0, 700);
    database.refuse = 1;
    db = ch_db_make(pool, home);
    ck_result(ch_apilog_drain(db, pool, 1, &moved), "DATABASE_ERROR");
    ck_assert_int_eq(moved, 0);
    ck_assert_int_eq(ch_apilog_note_away(1), 1);
    ck_assert_int_eq(ch_apilog_note_away(1), 0);
    ck_assert_int_eq(ch_apilog_is_away(), 1);
    ck_assert_int_eq(ch_apilog_note_away(0), 1);
    database.refuse = 0;
    usleep(250 * 1000); /* nobody tries right after a failure */
    ck_assert_int_eq(drain_to_end(), 700);
    ck_assert_int_eq(in_table(), 700);
    ck_dropped(0, 0, 0);
}
END_TEST

/* Rows that can never be written do not stop those behind them. */
START_TEST(refused)
{
    ch_db_t *db;
    int moved = 0;

    open_all();
    ch_sql("ALTER TABLE api_logs ADD CHECK (status <> 418)");
    put_at(418, 0, 1, 100);
    db = ch_db_make(pool, home);
    ck_result(ch_apilog_drain(db, pool, 1, &moved), "INTERNAL_ERROR");
    ck_assert_int_eq(moved, 1);
    ck_dropped(0, 0, 1);
    put_at(200, 0, 1, 100);
    ck_assert_int_eq(drain_to_end(), 1);
}
END_TEST

/* The statement was done, but its answer got lost: the rows are still in the
 * ring, and are not doubled. */
START_TEST(written_twice)
{
    char *copy;

    open_all();
    put_many(0, 100);
    copy = malloc(ch_apilog_size());
    memcpy(copy, memory, ch_apilog_size());
    ck_assert_int_eq(drain(), 100);
    memcpy(memory, copy, ch_apilog_size());
    free(copy);
    put_many(100, 1);
    ck_assert_int_eq(drain(), 101);
    ck_assert_int_eq(in_table(), 101);
}
END_TEST

START_TEST(ids)
{
    open_all();
    put_many(0, SLOTS);
    drain_to_end();
    put_many(0, SLOTS);
    drain_to_end();
    ck_assert_str_eq(
        ch_sql(
            "SELECT count(DISTINCT id) FROM api_logs WHERE id::text ~ "
            "'^019bef8d-b4bb-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'"),
        "8192");
}
END_TEST

CH_POSTGRES_MAIN("store/apilog", CH_ONCE(before_open), CH_ONCE(whole_row),
                 CH_ONCE(least_row), CH_EACH(texts_are_cleaned, agents),
                 CH_ONCE(texts_are_cut), CH_ONCE(half_a_character_goes),
                 CH_EACH(no_address, addresses), CH_ONCE(rates),
                 CH_EACH(trouble_is_kept, statuses), CH_ONCE(full_ring),
                 CH_ONCE(batches), CH_ONCE(databases), CH_ONCE(away),
                 CH_ONCE(refused), CH_ONCE(written_twice), CH_ONCE(ids))
