/* Tests of store/bus on a real PostgreSQL: what messages do, who is heard and
 * who is alone. */
#include "ch_bus.h"

/* --- messages -------------------------------------------------------------
 */

START_TEST(before_open)
{
    ck_assert_int_eq(ch_bus_works(0), 0);
    ck_assert_int_eq(ch_bus_alone(0), 0);
    take(0, "h 00");
    take(0, "s " SESSION);
    take(0, "c " SESSION);
}
END_TEST

START_TEST(sites_that_are_none)
{
    static const int sites[] = { -1, CH_BUS_SITES, 1 << 30 };
    size_t i;

    open_server(1);
    for (i = 0; i < CH_COUNT(sites); i++) {
        take(sites[i], "h 00");
        ck_assert_int_eq(ch_bus_works(sites[i]), 0);
        ck_assert_int_eq(ch_bus_alone(sites[i]), 0);
    }
}
END_TEST

static const struct {
    const char *message;
    int seat, user, nobody; /* is what is kept still good? */
} messages[] = {
    { "s " SESSION, 0, 1, 1 },
    { "s " USER, 1, 1, 1 },
    { "s " NOBODY, 1, 1, 1 },
    { "u " USER, 0, 1, 1 },
    { "u " SESSION, 1, 1, 1 },
    { "c " USER, 1, 0, 1 },
    { "c " NOBODY, 1, 1, 0 },
    { "h 00000000000000000000000000000000", 1, 0, 0 },
    /* our own */
    { "h 01010101010101010101010101010101", 1, 1, 1 },
    /* of a later release */
    { "x " SESSION, 1, 1, 1 },
    { "S " SESSION, 1, 1, 1 },
    /* damaged */
    { "", 1, 1, 1 },
    { "s", 1, 1, 1 },
    { "h", 1, 1, 1 },
    { "c", 1, 1, 1 },
    { "s ", 1, 1, 1 },
    { " ", 1, 1, 1 },
    { "  ", 1, 1, 1 },
    { "s" SESSION, 1, 1, 1 },
    { "s  " SESSION, 1, 1, 1 },
    { "s\t" SESSION, 1, 1, 1 },
    { "ss " SESSION, 1, 1, 1 },
    { "s " SESSION " ", 1, 1, 1 },
    { "s 0198a000-0000-7000-8000-00000000000", 1, 1, 1 },
    { "s 0198a000-0000-7000-8000-00000000000g", 1, 1, 1 },
    { "c '; DROP TABLE users", 1, 1, 1 },
    { "hello", 1, 1, 1 },
};

START_TEST(what_messages_do)
{
    const char *message = messages[_i].message;
    version_t user, nobody;

    open_server(1);
    take_seat();
    user = version_of(USER);
    nobody = version_of(NOBODY);
    take(SITE, ch_check_copy(message, strlen(message) + 1));
    ck_assert_int_eq(has_seat(), messages[_i].seat);
    ck_assert_int_eq(!is_spoiled(USER, user), messages[_i].user);
    ck_assert_int_eq(!is_spoiled(NOBODY, nobody), messages[_i].nobody);
}
END_TEST

/* The same by the database; what is damaged does not stop what follows. */
START_TEST(by_the_database)
{
    version_t before;
    size_t i;

    prepare();
    until(own->alone);
    take_seat();
    announce("s " SESSION);
    until(!has_seat());
    take_seat();
    announce("u " USER);
    until(!has_seat());
    before = version_of(USER);
    announce("c " USER);
    until(is_spoiled(USER, before));
    for (i = 0; i < CH_COUNT(messages); i++) {
        if (*messages[i].message != 'h'
            && !strchr(messages[i].message, '\'')) {
            announce(messages[i].message);
        }
    }
    announce("h"); /* is no hello */
    announce("hello");
    take_seat();
    announce("s " SESSION);
    until(!has_seat());
    ck_assert_int_eq(own->alone, 1);
    ck_assert_int_eq(own->lost + own->back + own->peers + own->other, 0);
}
END_TEST

/* What the schema's triggers say is understood here. */
START_TEST(by_triggers)
{
    prepare();
    until(own->alone);
    ch_sql("INSERT INTO users (id, email, password_hash) VALUES ('" USER
           "', 'a@b.test', 'x')");
    ch_sql("INSERT INTO sessions (id, user_id, token_hash, refresh_key,"
           " expires_at) VALUES ('" SESSION "', '" USER
           "', 'x', '', now() + interval '1 day')");
    take_seat();
    ch_sql("UPDATE users SET change_seq = change_seq + 1");
    work_on(20);
    ck_assert(has_seat());
    ch_sql("UPDATE users SET is_active = false");
    until(!has_seat());
    take_seat();
    ch_sql("UPDATE sessions SET revoked_at = now()");
    until(!has_seat());
}
END_TEST

/* --- who is there ---------------------------------------------------------
 */

START_TEST(alone)
{
    prepare();
    ck_assert_int_eq(ch_bus_works(SITE), 0);
    until(own->works);
    ck_assert_int_eq(own->alone, 1);
    ck_assert_int_eq(ch_bus_works(SITE + 1), 0);
    /* nobody works for three seconds: the bus' thread is gone */
    pass(3);
    ck_assert_int_eq(ch_bus_works(SITE), 0);
    ck_assert_int_eq(ch_bus_alone(SITE), 0);
    until(own->alone);
    ck_assert_int_eq(own->lost, 0);
}
END_TEST

/* Hellos come back every twenty seconds, and for that long it works. */
START_TEST(for_hours)
{
    int i;

    prepare();
    until(own->works);
    for (i = 0; i < 100; i++) {
        pass(9);
        work_on(3);
        ck_assert_int_eq(own->works, 1);
    }
    ck_assert_int_eq(own->lost, 0);
    ck_assert_int_eq(own->alone, 1);
}
END_TEST

START_TEST(another_one_comes_and_goes)
{
    panel_t *other;
    version_t before;
    pid_t pid;

    prepare();
    until(own->alone);
    before = version_of(USER);
    other = share(sizeof(*other));
    pid = start_other(2, other);
    until(!own->alone);
    ck_assert(is_spoiled(USER, before));
    until(is(&other->works));
    ck_assert_int_eq(is(&other->alone), 0);
    ck_assert_int_eq(own->works, 1);
    ck_assert_int_eq(own->peers, 1);
    ck_assert_int_eq(is(&other->peers), 1);
    /* it stays so while both are there, whatever the hour */
    for (int i = 0; i < 10; i++) {
        pass(9);
        work_on(20);
        ck_assert_int_eq(own->alone, 0);
        ck_assert_int_eq(is(&other->alone), 0);
    }
    stop_other(pid, other);
    for (int i = 0; i < 4; i++) {
        pass(9);
        work_on(20);
        ck_assert_int_eq(own->alone, 0);
    }
    for (int i = 0; i < 3; i++) {
        pass(9);
        work_on(20);
    }
    ck_assert_int_eq(own->alone, 1);
    ck_assert_int_eq(own->peers, 1);
    ck_assert_str_eq(own->text, "");
    ck_assert_str_eq(other->text, "");
}
END_TEST

/* Who comes second knows at once, without a hello from the first. */
START_TEST(another_one_was_there)
{
    panel_t *other;
    pid_t pid;

    prepare();
    other = share(sizeof(*other));
    pid = start_other(2, other);
    while (!is(&other->alone)) {
        usleep(1000);
    }
    /* it does not speak any more */
    kill(pid, SIGSTOP);
    ch_bus_wait(bus, 0);
    work_on(20);
    ck_assert_int_eq(own->works, 1);
    ck_assert_int_eq(own->alone, 0);
    ck_assert_int_eq(own->peers, 1);
    kill(pid, SIGCONT);
    while (is(&other->alone)) {
        usleep(1000);
    }
    stop_other(pid, other);
}
END_TEST

/* The child that took the bus over from one of the same server is no other.
 */
START_TEST(a_successor)
{
    panel_t *other;
    pid_t pid;
    int i;

    prepare();
    other = share(sizeof(*other));
    pid = start_other(1, other);
    for (i = 0; i < 50; i++) {
        work_on(1);
        ck_assert(!own->works || own->alone);
    }
    until(own->alone);
    while (!is(&other->alone)) {
        usleep(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    work_on(20);
    ck_assert_int_eq(own->alone, 1);
    ck_assert_int_eq(own->peers, 0);
}
END_TEST

/* Our hellos so far, as others hear them. */
static int hellos(PGconn *listener)
{
    int count = 0;
    PGnotify *note;

    PQconsumeInput(listener);
    while ((note = PQnotifies(listener)) != NULL) {
        count +=
            strcmp(note->extra, "h 01010101010101010101010101010101") == 0;
        PQfreemem(note);
    }
    return count;
}

START_TEST(a_newcomer_is_greeted)
{
    PGconn *listener;
    int heard = 0;

    prepare();
    until(own->alone);
    listener = ch_pg_connect(database.name);
    PQclear(PQexec(listener, "LISTEN chronicle"));
    work_on(20);
    ck_assert_int_eq(hellos(listener), 0);
    announce("h 22");
    until((heard += hellos(listener)) > 0);
    ck_assert_int_eq(own->alone, 0);
    /* an old acquaintance is not */
    announce("h 22");
    announce("h 33");
    work_on(30);
    heard += hellos(listener);
    ck_assert_int_eq(heard, 1);
    PQfinish(listener);
}
END_TEST

/* Whoever's clock is set, by hand or by the hypervisor, says hello as before,
 * knows who is there, and finds the database when it was gone. */
START_TEST(the_clock_is_set)
{
    const int hours = _i ? 24 : -24;
    PGconn *listener;
    int heard = 0;

    prepare();
    until(own->alone);
    announce("h 22");
    until(!own->alone);
    listener = ch_pg_connect(database.name);
    PQclear(PQexec(listener, "LISTEN chronicle"));
    wall_is_ahead = hours * apr_time_from_sec(3600);
    work_on(5);
    ck_assert_int_eq(own->works, 1);
    ck_assert_int_eq(own->alone, 0);
    heard += hellos(listener);
    pass(21);
    until((heard += hellos(listener)) > 0);
    ch_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
           " WHERE application_name LIKE 'chronicle-bus:%'");
    until(own->lost == 1);
    pass(2);
    until(own->back == 1);
    PQfinish(listener);
}
END_TEST

/* A new generation without the memory of the old one is careful. */
START_TEST(doubt)
{
    prepare();
    ch_bus_doubt();
    until(own->works);
    ck_assert_int_eq(own->alone, 0);
    for (int i = 0; i < 6; i++) {
        pass(9);
        work_on(5);
        ck_assert_int_eq(own->alone, 0);
    }
    pass(7);
    until(own->alone);
    ck_assert_int_eq(own->peers, 0);
}
END_TEST

CH_POSTGRES_MAIN("store/bus", CH_ONCE(before_open),
                 CH_ONCE(sites_that_are_none),
                 CH_EACH(what_messages_do, messages), CH_ONCE(by_the_database),
                 CH_ONCE(by_triggers), CH_ONCE(alone), CH_ONCE(for_hours),
                 CH_ONCE(another_one_comes_and_goes),
                 CH_ONCE(another_one_was_there), CH_ONCE(a_successor),
                 CH_ONCE(a_newcomer_is_greeted),
                 CH_EACH(the_clock_is_set, ((const int[]){ 0, 1 })),
                 CH_ONCE(doubt))
