/* Tests of store/redis when things go wrong: servers that die, hang, come
 * back, or are none. */
#include "ch_redis.h"

#include <apr_thread_proc.h>

#define LATE_MS 8000 /* a loaded machine is slow, but not that slow */

static ch_redis_t *start(void)
{
    ch_redis_start();
    return ch_redis_home(ch_redis_url("", ""), 8);
}

static void log_shows(int lost, int back)
{
    ck_assert_int_eq(seen->lost, lost);
    ck_assert_int_eq(seen->back, back);
}

/* --- servers that go and come ---------------------------------------------
 */

/* A connection that was closed while nobody used it is no loss. */
START_TEST(closed_while_idle)
{
    ch_redis_t *redis = start();
    ch_redis_t *other = ch_redis_home(ch_redis_url("", "?db=1"), 1);
    apr_uint64_t generation;
    int i;

    ck_says(redis, "PONG", "PING");
    generation = ch_redis_generation(redis);
    for (i = 0; i < 5; i++) {
        ch_redis_command_t once = WORDS("INCR", "n");

        once.repeatable = 0;
        ck_says(other, "1", "CLIENT", "KILL", "TYPE", "normal");
        ck_assert_str_eq(ch_redis_ask(redis, once), apr_itoa(pool, i + 1));
    }
    log_shows(0, 0);
    ck_assert_uint_eq(ch_redis_generation(redis), generation);
}
END_TEST

START_TEST(dies_and_comes_back)
{
    ch_redis_t *redis = start();
    apr_uint64_t generation;
    int i;

    ck_says(redis, "PONG", "PING");
    generation = ch_redis_generation(redis);
    clock_stop();
    ch_redis_stop();
    for (i = 0; i < 1000; i++) {
        ck_says(redis, "-", "PING");
    }
    log_shows(1, 0);
    ck_assert_ptr_nonnull(strstr(seen->text, "No such file"));
    ck_assert_int_eq(ch_redis_is_up(redis), 0);
    ck_assert_uint_eq(ch_redis_generation(redis), generation);
    ch_redis_start();
    ck_says(redis, "-", "PING"); /* not yet: a try is not due */
    clock_forward(CH_REDIS_PAUSE_MS);
    ck_says(redis, "PONG", "PING");
    log_shows(1, 1);
    ck_assert_int_eq(ch_redis_is_up(redis), 1);
    ck_assert_uint_eq(ch_redis_generation(redis), generation + 1);
}
END_TEST

/* Nobody looked while it was away: another process answers, which may know
 * less, or what was true long ago. */
START_TEST(changed_unnoticed)
{
    ch_redis_t *redis = start();
    apr_uint64_t generation;
    int i;

    ck_says(redis, "OK", "SET", "k", "v");
    for (i = 1; i < 4; i++) {
        generation = ch_redis_generation(redis);
        ch_redis_stop();
        ch_redis_start();
        ck_says(redis, "nil", "GET", "k");
        ck_assert_uint_eq(ch_redis_generation(redis), generation + 1);
        ck_says(redis, "nil", "GET", "k");
        ck_assert_uint_eq(ch_redis_generation(redis), generation + 1);
    }
    log_shows(0, 0);
}
END_TEST

/* One waits, once; and what comes too late is nobody's reply. */
START_TEST(hangs)
{
    ch_redis_t *redis = start();
    int i, took;

    ck_says(redis, "OK", "SET", "a", "1");
    ck_says(redis, "OK", "SET", "b", "2");
    clock_stop();
    kill(redis_pid, SIGSTOP);
    took = ch_redis_took(redis);
    ck_assert_int_ge(took, CH_REDIS_COMMAND_MS - 5);
    ck_assert_int_lt(took, LATE_MS);
    for (i = 0; i < 100; i++) {
        ck_says(redis, "-", "GET", "a");
    }
    log_shows(1, 0);
    ck_assert_ptr_nonnull(strstr(seen->text, "it does not answer in time"));
    clock_forward(CH_REDIS_PAUSE_MS);
    took = ch_redis_took(redis); /* the one who tries */
    ck_assert_int_ge(took, CH_REDIS_COMMAND_MS - 5);
    ck_assert_int_lt(took, LATE_MS);
    kill(redis_pid, SIGCONT);
    clock_forward(CH_REDIS_PAUSE_MS);
    ck_says(redis, "2", "GET", "b");
    ck_says(redis, "1", "GET", "a");
    log_shows(1, 1);
}
END_TEST

static void *APR_THREAD_FUNC hold_connection(apr_thread_t *thread, void *data)
{
    ch_redis_command_t pop = { .repeatable = 1 };
    apr_pool_t *own;

    ch_redis_arg_text(&pop, "BLPOP");
    ch_redis_arg_text(&pop, "nothing");
    ch_redis_arg_text(&pop, "0.1");
    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    ch_redis_one(data, own, &pop);
    apr_pool_destroy(own);
    return NULL;
}

/* Makes use of two connections at once. */
static void use_two(ch_redis_t *redis)
{
    apr_thread_t *threads[2];
    apr_status_t status;
    int i;

    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, hold_connection, redis, pool),
            0);
    }
    for (i = 0; i < 2; i++) {
        apr_thread_join(&status, threads[i]);
    }
}

/* The number of the newest connection; the list is in their order. */
static int newest(ch_redis_t *redis)
{
    const char *line = SAYS(redis, "CLIENT", "LIST");
    int id = 0;

    while (strncmp(line, "id=", 3) == 0) {
        id = (int)apr_atoi64(line + 3);
        line = strchr(line, '\n') + 1;
    }
    ck_assert_int_gt(id, 0);
    return id;
}

/* Those that lay idle when it was lost may lead to a server that is no more:
 * they are not used again. */
START_TEST(old_connections_go)
{
    ch_redis_t *redis = start();
    int last, i;

    use_two(redis);
    use_two(redis);
    ck_says(redis, "OK", "SET", "a", "1");
    last = newest(redis);
    kill(redis_pid, SIGSTOP);
    ck_says(redis, "-", "PING");
    kill(redis_pid, SIGCONT);
    clock_forward(CH_REDIS_PAUSE_MS);
    ck_says(redis, "PONG", "PING");
    use_two(redis);
    for (i = 1; i <= last; i++) {
        ck_says(redis, "", "CLIENT", "LIST", "ID", apr_itoa(pool, i));
    }
}
END_TEST

/* A socket that takes connections and does nothing with them. */
static int start_hole(void)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    apr_cpystrn(un.sun_path, ch_redis_socket(), sizeof(un.sun_path));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    return fd;
}

/* How many have come since the last call. */
static int visitors(int hole)
{
    int count = 0;
    int fd;

    while ((fd = accept(hole, NULL, NULL)) >= 0) {
        close(fd);
        count++;
    }
    return count;
}

static void call_in_children(int children, int times)
{
    int status, i, k;

    for (i = 0; i < children; i++) {
        if (fork() == 0) {
            ch_redis_t *redis = ch_redis_child(ch_redis_url("", ""), 8);

            for (k = 0; k < times; k++) {
                ck_says(redis, "-", "PING");
            }
            _exit(0);
        }
    }
    for (i = 0; i < children; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
}

/* A try every so often, and by one of all processes. */
START_TEST(one_tries_for_all)
{
    int hole = start_hole();
    ch_redis_t *redis = ch_redis_home(ch_redis_url("", ""), 8);
    int round;

    clock_stop();
    ck_says(redis, "-", "PING");
    ck_assert_int_eq(visitors(hole), 1);
    for (round = 0; round < 3; round++) {
        call_in_children(4, 50);
        ck_assert_int_eq(visitors(hole), 0);
        clock_forward(CH_REDIS_PAUSE_MS);
        call_in_children(4, 50);
        ck_assert_int_eq(visitors(hole), 1);
    }
    log_shows(1, 0);
}
END_TEST

/* Whoever finds it lost, the log tells once; whoever finds it back, too. */
START_TEST(one_line_for_all)
{
    enum { CHILDREN = 6 };
    ch_redis_t *redis = start();
    int child, status, i;

    ck_says(redis, "PONG", "PING");
    for (child = 0; child < CHILDREN; child++) {
        if (fork() == 0) {
            redis = ch_redis_child(ch_redis_url("", ""), 8);
            while (strcmp(SAYS(redis, "PING"), "PONG") == 0) {
            }
            while (strcmp(SAYS(redis, "PING"), "PONG") != 0) {
                usleep(1000);
            }
            _exit(0);
        }
    }
    usleep(100 * 1000);
    ch_redis_stop();
    usleep(700 * 1000);
    ch_redis_start();
    for (i = 0; i < CHILDREN; i++) {
        ck_assert_int_gt(waitpid(-1, &status, 0), 0);
        ck_assert_int_eq(status, 0);
    }
    log_shows(1, 1);
}
END_TEST

/* The one who tried died at it: after a while somebody else may. */
START_TEST(who_tries_may_die)
{
    int hole = start_hole();
    ch_redis_t *redis = ch_redis_home(ch_redis_url("", ""), 8);
    pid_t child;

    clock_stop();
    ck_says(redis, "-", "PING");
    ck_assert_int_eq(visitors(hole), 1);
    clock_forward(CH_REDIS_PAUSE_MS);
    child = fork();
    if (child == 0) {
        SAYS(redis, "PING");
        pause();
    }
    while (visitors(hole) == 0) {
        usleep(1000);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(hole);
    unlink(ch_redis_socket());
    ch_redis_start();
    clock_forward(CH_REDIS_PAUSE_MS);
    ck_says(redis, "-", "PING");
    clock_forward(10 * 1000);
    ck_says(redis, "PONG", "PING");
    log_shows(1, 1);
}
END_TEST

/* How long after a loss it is tried again, in steps of 100 ms. */
static int pause_after_loss(ch_redis_t *redis)
{
    int lost = seen->lost;
    int ms = 0;

    ch_redis_stop();
    ck_says(redis, "-", "PING");
    ck_assert_int_eq(seen->lost, lost + 1);
    ch_redis_start();
    while (strcmp(SAYS(redis, "PING"), "PONG") != 0) {
        clock_forward(100);
        ms += 100;
        ck_assert_int_lt(ms, 60 * 1000);
    }
    return ms;
}

/* It comes and goes: there are fewer and fewer lines in the log. */
START_TEST(comes_and_goes)
{
    static const int want[] = { 500, 1000, 2000, 4000, 8000, 8000 };
    ch_redis_t *redis = start();
    size_t i;

    ck_says(redis, "PONG", "PING");
    clock_stop();
    for (i = 0; i < CH_COUNT(want); i++) {
        ck_assert_int_eq(pause_after_loss(redis), want[i]);
    }
    clock_forward(5000); /* steady for so long: all is forgotten */
    ck_assert_int_eq(pause_after_loss(redis), 500);
}
END_TEST

/* --- servers that are none ------------------------------------------------
 */

static const struct {
    const char *say; /* to a command, after a login that went well */
    const char *why; /* NULL: not lost */
} bad[] = {
    { "HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Redis' protocol" },
    { ":12x\r\n", "does not speak Redis' protocol" },
    { "$-2\r\n", "does not speak Redis' protocol" },
    { "*2147483646\r\n", NULL },
    { "*65537\r\n", NULL },
    { "*3\r\n*40000\r\n*40000\r\n", NULL },
    { "*3\r\n*30000\r\n*30000\r\n", "does not answer in time" },
    { "$2147483646\r\nabc", "does not answer in time" },
    { "$999999999999999999999\r\n", "does not speak Redis' protocol" },
    { "$5\r\nab", "does not answer in time" },
    { "*2\r\n:1\r\n", "does not answer in time" },
    { "+", "does not answer in time" },
    { HANG, "does not answer in time" },
    { DRIP, "does not answer in time" },
};

START_TEST(speaks_otherwise)
{
    const ch_paper_t paper[] = { { { INFO_OK, bad[_i].say } } };
    ch_redis_t *redis;
    int took;

    ch_paper_start(paper, 1);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    took = ch_redis_took(redis);
    ck_assert_int_lt(took, LATE_MS);
    log_shows(bad[_i].why != NULL, 0);
    if (bad[_i].why) {
        ck_assert_ptr_nonnull(strstr(seen->text, bad[_i].why));
    }
}
END_TEST

/* What newer releases of hiredis understand: any reply will do, or none. */
static const char *const newer[] = {
    "%1\r\n+a\r\n+b\r\n",
    "~2\r\n+a\r\n:1\r\n",
    ">2\r\n+a\r\n:1\r\n",
    "_\r\n",
    "#t\r\n",
    ",1.5\r\n",
    ",nan\r\n",
    "(12345678901234567890\r\n",
    "=8\r\ntxt:abcd\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "*3\r\n_\r\n#f\r\n,2\r\n",
};

START_TEST(speaks_another_version)
{
    const ch_paper_t paper[] = { { { INFO_OK, newer[_i] } } };
    ch_redis_t *redis;

    ch_paper_start(paper, 1);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    ck_assert_ptr_nonnull(SAYS(redis, "PING"));
    ck_assert_int_lt(ch_redis_took(redis), LATE_MS);
}
END_TEST

static const struct {
    const char *say; /* at login */
    const char *why;
} hosts[] = {
    { "SSH-2.0-OpenSSH_9.2\r\n", "does not speak Redis' protocol" },
    { CUT, "it ended the connection" },
    { HANG, "does not answer in time" },
    { DRIP, "does not answer in time" },
    { "-NOAUTH Authentication required.\r\n", "it asks for a password" },
    { "-LOADING Redis is loading the dataset in memory\r\n",
      "it is loading its data" },
    { "-DENIED Redis is running in protected mode\r\n",
      "it is in protected mode" },
    { "$21\r\nredis_mode:sentinel\r\n\r\n", NULL },
};

START_TEST(lets_nobody_in)
{
    const ch_paper_t paper[] = { { { hosts[_i].say } } };
    ch_redis_t *redis;

    ch_paper_start(paper, 1);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    ck_assert_int_lt(ch_redis_took(redis), LATE_MS);
    log_shows(1, 0);
    ck_assert_ptr_nonnull(
        strstr(seen->text, hosts[_i].why ? hosts[_i].why : "a sentinel"));
}
END_TEST

/* It tells the password in its error; the log does not. */
START_TEST(betrays_the_password)
{
    const ch_paper_t paper[] = {
        { { "-ERR unknown command `AUTH`, with args beginning with: "
            "`sesame`\r\n" } }
    };
    ch_redis_t *redis;

    ch_paper_start(paper, 1);
    redis = ch_redis_home(ch_redis_url(":sesame@", ""), 4);
    ck_says(redis, "-", "PING");
    log_shows(1, 0);
    ck_assert_ptr_null(strstr(seen->text, "sesame"));
}
END_TEST

/* Redis before 7 wraps what a command in a script meets. */
START_TEST(wrapped_errors)
{
    const ch_paper_t paper[] = {
        { { INFO_OK, "-ERR Error running script (call to f_1): @user_script:1:"
                     " @user_script: 1: -READONLY You can't write\r\n" } }
    };
    ch_redis_t *redis;

    ch_paper_start(paper, 1);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    ck_says(redis, "-", "PING");
    log_shows(1, 0);
    ck_assert_ptr_nonnull(strstr(seen->text, "it is a replica"));
}
END_TEST

/* --- connections that are cut ---------------------------------------------
 */

/* The connection served one command, lies idle, and is cut when it is used
 * again. What may be done twice is sent again, and only that. */
START_TEST(sent_again_if_harmless)
{
    const ch_paper_t papers[] = { { { INFO_OK, "+one\r\n", CUT } },
                                  { { INFO_OK, "+two\r\n", "+three\r\n" } } };
    ch_redis_command_t command = WORDS("PING");
    ch_redis_t *redis;

    command.repeatable = !_i;
    ch_paper_start(papers, 2);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    ck_assert_str_eq(ch_redis_ask(redis, command), "one");
    ck_assert_str_eq(ch_redis_ask(redis, command), _i ? "-" : "two");
    log_shows(0, 0);
    ck_assert_str_eq(ch_redis_ask(redis, command), _i ? "two" : "three");
    ck_assert_int_eq(ch_redis_is_up(redis), 1);
}
END_TEST

static const int twice[] = { 0, 1 };

/* Part of a pipeline was done: nothing is sent again. */
START_TEST(cut_in_the_middle)
{
    const ch_paper_t papers[] = { { { INFO_OK, "+one\r\n", "!+a\r\n+b" } },
                                  { { INFO_OK, "+two\r\n" } } };
    ch_redis_command_t both[2] = { WORDS("A"), WORDS("B") };
    const ch_redis_reply_t *replies;
    ch_redis_t *redis;

    ch_paper_start(papers, 2);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    ck_says(redis, "one", "PING");
    ck_assert_int_eq(ch_redis_run(redis, pool, 2, both, &replies), 0);
    log_shows(0, 0);
    ck_says(redis, "two", "PING");
}
END_TEST

/* Cut at the first use of each connection, for ever: it is asked twice, and
 * then not available; but it is there, for connections can be made. */
START_TEST(always_cut)
{
    const ch_paper_t paper[] = { { { INFO_OK, CUT } } };
    ch_redis_t *redis;
    int i;

    ch_paper_start(paper, 1);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    for (i = 0; i < 20; i++) {
        ck_says(redis, "-", "PING");
        ck_assert_int_eq(ch_redis_is_up(redis), 1);
    }
    log_shows(0, 0);
}
END_TEST

CH_REDIS_MAIN("store/redis, lost", CH_ONCE(closed_while_idle),
              CH_ONCE(dies_and_comes_back), CH_ONCE(changed_unnoticed),
              CH_ONCE(hangs), CH_ONCE(old_connections_go),
              CH_ONCE(one_tries_for_all), CH_ONCE(one_line_for_all),
              CH_ONCE(who_tries_may_die), CH_ONCE(comes_and_goes),
              CH_EACH(speaks_otherwise, bad),
              CH_EACH(speaks_another_version, newer),
              CH_EACH(lets_nobody_in, hosts), CH_ONCE(betrays_the_password),
              CH_ONCE(wrapped_errors), CH_EACH(sent_again_if_harmless, twice),
              CH_ONCE(cut_in_the_middle), CH_ONCE(always_cut))
