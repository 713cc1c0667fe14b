/* Tests of store/bus on a real PostgreSQL: connections that are lost, refused,
 * cut, swallowed and held. */
#include "ch_bus.h"
#include "ch_proxy.h"

/* --- losses ---------------------------------------------------------------
 */

static void kill_backends(void)
{
    ch_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
           " WHERE application_name LIKE 'chronicle-bus:%'");
}

/* Said once, and once more when it is over; what was announced meanwhile was
 * missed, so all that is kept is thrown away. */
START_TEST(the_backend_is_killed)
{
    version_t before;
    int i;

    prepare();
    until(own->alone);
    for (i = 1; i <= 3; i++) {
        take_seat();
        before = version_of(USER);
        kill_backends();
        until(own->lost == i);
        ck_assert_int_eq(own->works, 0);
        ck_assert_int_eq(own->alone, 0);
        until(own->back == i);
        ck_assert(!has_seat());
        ck_assert(is_spoiled(USER, before));
        ck_assert_int_eq(own->works, 1);
        pass(2); /* the next try need not wait */
    }
    work_on(50);
    ck_assert_int_eq(own->lost, 3);
    ck_assert_int_eq(own->back, 3);
    ck_assert_ptr_nonnull(strstr(own->text, "act after up to 10 seconds"));
    ck_assert_ptr_nonnull(strstr(own->text, "(server closed the connection"));
}
END_TEST

static const char *const bad_conninfos[] = {
    "host=/nowhere/at/all",  "nonsense", "no such = thing", "postgresql://[",
    "host=127.0.0.1 port=1",
};

/* Tried again every second, said once. */
START_TEST(it_cannot_connect)
{
    int i;

    shift = share(sizeof(*shift));
    start_own(bad_conninfos[_i]);
    for (i = 0; i < 20; i++) {
        work_on(1);
        pass(1);
    }
    ck_assert_int_eq(own->lost, 1);
    ck_assert_int_eq(own->works + own->back + own->other, 0);
    ck_assert_ptr_nonnull(strstr(own->text, "act after up to 10 seconds"));
}
END_TEST

/* The conninfo's own settings stay, but not the name. */
START_TEST(its_name)
{
    shift = share(sizeof(*shift));
    ch_database_make();
    start_own(apr_pstrcat(pool, database.conninfo,
                          " application_name=mine options='-c work_mem=77kB'",
                          NULL));
    until(own->works);
    ck_assert_str_eq(ch_sql("SELECT application_name FROM pg_stat_activity"
                            " WHERE query LIKE '%pg_stat_activity WHERE"
                            " datname%' AND pid <> pg_backend_pid()"),
                     "chronicle-bus:01010101010101010101010101010101");
}
END_TEST

static void prepare_proxy(void)
{
    shift = share(sizeof(*shift));
    ch_database_make();
    ch_proxy_start();
    start_own(proxy.conninfo);
}

/* Many refusals, at most one try a second, one line; then it comes up. */
START_TEST(it_comes_up_later)
{
    prepare_proxy();
    ch_proxy_put(&proxy.set->refuse, 1);
    until(own->lost == 1);
    work_on(20);
    ck_assert_int_le(ch_proxy_get(&proxy.set->connects), 2);
    pass(1);
    work_on(5);
    ck_assert_int_eq(own->works, 0);
    ch_proxy_put(&proxy.set->refuse, 0);
    pass(1);
    until(own->back == 1);
    ck_assert_int_eq(own->lost, 1);
    ck_assert_int_eq(own->alone, 1);
    ch_proxy_stop();
}
END_TEST

/* LISTEN goes through, nothing comes: a pooler that hands connections on. */
START_TEST(nothing_comes_back)
{
    prepare_proxy();
    ch_proxy_put(&proxy.set->deaf, 1);
    work_on(50);
    ck_assert_int_eq(own->works, 0);
    ck_assert_int_eq(own->lost, 0);
    pass(31);
    work_on(10);
    ck_assert_int_eq(own->lost, 1);
    ck_assert_ptr_nonnull(strstr(own->text, "do not come back"));
    /* nor does it the next times, of which nobody needs to be told */
    pass(31);
    work_on(10);
    pass(31);
    work_on(10);
    ck_assert_int_eq(own->lost, 1);
    ck_assert_int_eq(own->works + own->back, 0);
    ch_proxy_put(&proxy.set->deaf, 0);
    pass(31);
    until(own->back == 1);
    ck_assert_int_eq(own->works, 1);
    /* and it may begin at any time */
    ch_proxy_put(&proxy.set->deaf, 1);
    pass(21);
    work_on(10);
    pass(10);
    until(own->lost == 2);
    ck_assert_int_eq(own->works, 0);
    ch_proxy_stop();
}
END_TEST

/* How long one turn takes at most, in milliseconds. */
static int slowest_turn(int turns)
{
    apr_time_t worst = 0;

    for (; turns > 0; turns--) {
        apr_time_t start = apr_time_now();

        work_on(1);
        if (apr_time_now() - start > worst) {
            worst = apr_time_now() - start;
        }
    }
    return (int)apr_time_as_msec(worst);
}

/* Statements get no answer: neither is it waited for, for ever. */
START_TEST(statements_are_swallowed)
{
    prepare_proxy();
    ch_proxy_put(&proxy.set->swallow, 1);
    ck_assert_int_lt(slowest_turn(1), 4500);
    ck_assert_int_eq(own->lost, 1);
    ck_assert_ptr_nonnull(strstr(own->text, "(no answer)"));
    ch_proxy_put(&proxy.set->swallow, 0);
    until(own->back == 1);
    /* in the middle of its life, too */
    ch_proxy_put(&proxy.set->swallow, 1);
    pass(21);
    ck_assert_int_lt(slowest_turn(1), 4500);
    ck_assert_int_eq(own->lost, 2);
    ck_assert_int_eq(own->works, 0);
    ch_proxy_stop();
}
END_TEST

/* Somebody takes the connection and says nothing. */
START_TEST(silence)
{
    prepare_proxy();
    ch_proxy_put(&proxy.set->silent, 1);
    ck_assert_int_lt(slowest_turn(1), 4500);
    ck_assert_int_eq(own->lost, 1);
    ck_assert_ptr_nonnull(strstr(own->text, "timeout"));
    ch_proxy_stop();
}
END_TEST

START_TEST(it_is_cut)
{
    prepare_proxy();
    until(own->alone);
    take_seat();
    ch_proxy_put(&proxy.set->cut, 1);
    until(own->lost == 1);
    ck_assert_int_eq(own->works, 0);
    pass(1);
    until(own->back == 1);
    ck_assert(!has_seat());
    ch_proxy_stop();
}
END_TEST

/* The connection ends with its pool. */
START_TEST(its_end)
{
    const char *count = "SELECT count(*) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'chronicle-bus:%'";
    const ch_bus_conf_t bus_conf = { .conninfo = NULL,
                                     .site = SITE,
                                     .log = take_note };
    ch_bus_conf_t copy = bus_conf;
    apr_pool_t *sub;
    int tries;

    prepare();
    apr_pool_create(&sub, pool);
    copy.conninfo = database.conninfo;
    copy.ctx = own;
    bus = ch_bus_make(sub, &copy);
    until(own->works);
    ck_assert_str_eq(ch_sql(count), "1");
    apr_pool_destroy(sub);
    for (tries = 0; tries < 1000 && strcmp(ch_sql(count), "0") != 0; tries++) {
        usleep(5000);
    }
    ck_assert_str_eq(ch_sql(count), "0");
}
END_TEST

CH_POSTGRES_MAIN("store/bus, losses", CH_ONCE(the_backend_is_killed),
                 CH_EACH(it_cannot_connect, bad_conninfos), CH_ONCE(its_name),
                 CH_ONCE(it_comes_up_later), CH_ONCE(nothing_comes_back),
                 CH_ONCE(statements_are_swallowed), CH_ONCE(silence),
                 CH_ONCE(it_is_cut), CH_ONCE(its_end))
