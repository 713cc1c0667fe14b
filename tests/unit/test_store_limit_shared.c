/* Tests of store/limit_shared: servers count together in Redis, and each for
 * itself when Redis is lost. */
#include "ch_redis.h"

#include "store/limit.h"

static const unsigned char seed[16] = "a secret of 16 b";
static const unsigned char secret[32] = "the secret that all hosts share.";
static ch_redis_t *redis;

static void open_memory(void)
{
    ch_limit_open(ch_redis_shared(ch_limit_size()), seed);
}

static void start(void)
{
    ch_redis_start();
    redis = ch_redis_home(ch_redis_url("", ""), 8);
    clock_stop();
    open_memory();
}

static ch_limit_t rule(const char *caller, int limit, int seconds)
{
    return (ch_limit_t){ .redis = redis,
                         .secret = secret,
                         .conf = 1,
                         .rate = "api",
                         .caller = caller,
                         .limit = limit,
                         .seconds = seconds };
}

static ch_limit_state_t count(const char *caller, int limit, int seconds)
{
    ch_limit_t what = rule(caller, limit, seconds);

    return ch_limit_take(pool, &what);
}

static void ck_state(ch_limit_state_t state, int remaining, int refused)
{
    ck_assert_int_eq(state.remaining, remaining);
    ck_assert_int_eq(state.refused, refused);
}

static const char *key_of(const char *caller)
{
    ch_limit_t what = rule(caller, 1, 1);
    ch_redis_command_t command;

    ch_limit_ask(pool, &what, &command);
    return apr_pstrmemdup(pool, command.args[0].data, command.args[0].len);
}

START_TEST(counts_down)
{
    int i;

    start();
    for (i = 1; i <= 6; i++) {
        ch_limit_state_t state = count("k", 3, 60);

        ck_assert_int_eq(state.limit, 3);
        ck_state(state, i < 3 ? 3 - i : 0, i > 3);
        ck_assert_int_ge(state.reset, 59);
        ck_assert_int_le(state.reset, 60);
    }
    ck_says(redis, "1", "DBSIZE");
}
END_TEST

/* Never earlier than it is, and to the second. */
START_TEST(reset_is_rounded_up)
{
    start();
    ck_assert_int_eq(count("k", 3, 60).reset, 60);
    ck_says(redis, "1", "PEXPIRE", key_of("k"), "5900");
    ck_assert_int_eq(count("k", 3, 60).reset, 6);
    ck_says(redis, "1", "PEXPIRE", key_of("k"), "900");
    ck_assert_int_eq(count("k", 3, 60).reset, 1);
}
END_TEST

/* Who counts for himself has a memory of his own; Redis is one. */
START_TEST(servers_count_together)
{
    int server;

    start();
    for (server = 0; server < 4; server++) {
        open_memory();
        ck_state(count("k", 3, 60), server < 3 ? 2 - server : 0, server > 2);
    }
    ck_state(count("other", 3, 60), 2, 0);
    redis = NULL;
    open_memory();
    ck_state(count("k", 3, 60), 2, 0);
}
END_TEST

/* Virtual hosts and classes; the number of the host is each server's own. */
START_TEST(what_counts_together)
{
    static const unsigned char others[32] = "another";
    ch_limit_t what;

    start();
    what = rule("k", 9, 60);
    ck_state(ch_limit_take(pool, &what), 8, 0);
    what.conf = 2;
    ck_state(ch_limit_take(pool, &what), 7, 0);
    what.rate = "auth";
    ck_state(ch_limit_take(pool, &what), 8, 0);
    what.secret = others;
    ck_state(ch_limit_take(pool, &what), 8, 0);
}
END_TEST

/* The window opens with the first request and ends, whatever came in it. */
START_TEST(windows)
{
    ch_limit_state_t state;
    int waited;

    start();
    count("k", 2, 2);
    count("k", 2, 2);
    state = count("k", 2, 2);
    ck_state(state, 0, 1);
    ck_assert_int_ge(state.reset, 1);
    ck_assert_int_le(state.reset, 2);
    for (waited = 0; state.refused; waited++) {
        ck_assert_int_lt(waited, 500);
        usleep(20 * 1000);
        state = count("k", 2, 2);
    }
    ck_assert_int_gt(waited, 20);
    ck_state(state, 1, 0);
    ck_says(redis, "1", "DBSIZE");
    while (strcmp(SAYS(redis, "KEYS", "*"), "[]") != 0) {
        usleep(20 * 1000);
    }
}
END_TEST

START_TEST(largest)
{
    ch_limit_state_t state;

    start();
    state = count("k", CH_LIMIT_MAX, 366 * 86400);
    ck_state(state, CH_LIMIT_MAX - 1, 0);
    ck_assert_int_eq(state.reset, 366 * 86400);
}
END_TEST

START_TEST(limits_change)
{
    start();
    count("k", 1, 600);
    ck_state(count("k", 1, 600), 0, 1);
    ck_state(count("k", 9, 600), 6, 0);
    ck_state(count("k", 4, 600), 0, 0);
    ck_state(count("k", 4, 600), 0, 1);
}
END_TEST

/* Nobody who sees the keys learns who called. */
START_TEST(keys_tell_nothing)
{
    const char *keys, *key;

    start();
    count("203.0.113.77", 3, 60);
    keys = SAYS(redis, "KEYS", "*");
    ck_assert_ptr_null(strstr(keys, "203"));
    ck_assert_ptr_null(strstr(keys, "api"));
    ck_assert(strncmp(keys, "[chronicle:limit:", 17) == 0);
    key = apr_pstrmemdup(pool, keys + 1, strlen(keys) - 2);
    ck_assert_uint_eq(strlen(key), 16 + 22);
    ck_says(redis, "1", "GET", key);
}
END_TEST

/* A count without an end would be a refusal for ever. */
START_TEST(key_without_end)
{
    start();
    ck_says(redis, "OK", "SET", key_of("k"), "7");
    ck_state(count("k", 9, 60), 1, 0);
    ck_assert_str_ne(SAYS(redis, "PTTL", key_of("k")), "-1");
    ck_says(redis, "OK", "SET", key_of("l"), "9007199254740000", "EX", "100");
    ck_state(count("l", 9, 60), 0, 1);
}
END_TEST

/* Somebody else's things are left alone; this server counts. */
START_TEST(key_of_another_kind)
{
    start();
    ck_says(redis, "OK", "SET", key_of("text"), "abc");
    ck_says(redis, "1", "LPUSH", key_of("list"), "abc");
    ck_says(redis, "OK", "SET", key_of("minus"), "-5");
    ck_says(redis, "OK", "SET", key_of("full"), "9223372036854775807");
    ck_state(count("text", 2, 60), 1, 0);
    ck_state(count("list", 2, 60), 1, 0);
    ck_state(count("minus", 2, 60), 1, 0);
    ck_state(count("full", 2, 60), 1, 0);
    ck_state(count("full", 2, 60), 0, 0);
    ck_state(count("full", 2, 60), 0, 1);
    ck_says(redis, "abc", "GET", key_of("text"));
    ck_assert_int_eq(seen->lost, 0);
}
END_TEST

START_TEST(flushed)
{
    start();
    ck_state(count("k", 1, 60), 0, 0);
    ck_state(count("k", 1, 60), 0, 1);
    ck_says(redis, "OK", "FLUSHALL");
    ck_says(redis, "OK", "SCRIPT", "FLUSH");
    ck_state(count("k", 1, 60), 0, 0);
    ck_state(count("k", 1, 60), 0, 1);
}
END_TEST

/* This server goes on from what it has counted itself; and back again from
 * what all have. */
START_TEST(lost_and_back)
{
    start();
    ck_state(count("k", 9, 60), 8, 0);
    open_memory(); /* another server */
    ck_state(count("k", 9, 60), 7, 0);
    ck_state(count("k", 9, 60), 6, 0);
    kill(redis_pid, SIGSTOP);
    ck_state(count("k", 9, 60), 6, 0);
    ck_state(count("k", 9, 60), 5, 0);
    ck_state(count("new", 9, 60), 8, 0);
    kill(redis_pid, SIGCONT);
    clock_forward(CH_REDIS_PAUSE_MS);
    /* the request that hung is counted after all */
    while (strcmp(SAYS(redis, "GET", key_of("k")), "4") != 0) {
        usleep(1000);
    }
    ck_state(count("k", 9, 60), 4, 0);
    ck_state(count("new", 9, 60), 8, 0);
}
END_TEST

/* In one round trip with something else. */
START_TEST(together_with_others)
{
    ch_redis_command_t both[2];
    const ch_redis_reply_t *replies;
    ch_limit_t what;

    start();
    what = rule("k", 3, 60);
    ch_limit_ask(pool, &what, &both[0]);
    both[1] = WORDS("ECHO", "cached");
    ck_assert_int_eq(ch_redis_run(redis, pool, 2, both, &replies), 1);
    ck_state(ch_limit_answer(pool, &what, &replies[0]), 2, 0);
    ck_assert_str_eq(ch_redis_show(&replies[1]), "cached");
    ck_state(ch_limit_answer(pool, &what, NULL), 1, 0);
}
END_TEST

/* Exact, whoever counts: four servers at once, from the first request on. */
START_TEST(exact_with_four_processes)
{
    int *allowed = ch_redis_shared(sizeof(int));
    int status, i, k;

    start();
    for (i = 0; i < 4; i++) {
        if (fork() == 0) {
            open_memory();
            redis = ch_redis_child(ch_redis_url("", ""), 2);
            for (k = 0; k < 1000; k++) {
                if (!count("k", 1234, 600).refused) {
                    __atomic_fetch_add(allowed, 1, __ATOMIC_ACQ_REL);
                }
            }
            _exit(0);
        }
    }
    for (i = 0; i < 4; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(*allowed, 1234);
    ck_assert_int_eq(seen->lost, 0);
}
END_TEST

static ch_limit_state_t peek(const char *caller, int limit, int seconds)
{
    ch_limit_t what = rule(caller, limit, seconds);

    return ch_limit_peek(pool, &what);
}

/* Looking counts nothing, and sees what other servers have counted. */
START_TEST(looks)
{
    int i;

    start();
    ck_state(peek("k", 3, 60), 3, 0);
    ck_says(redis, "0", "DBSIZE");
    for (i = 1; i <= 3; i++) {
        open_memory();
        count("k", 3, 60);
        ck_state(peek("k", 3, 60), i < 3 ? 3 - i : 0, i == 3);
        ck_state(peek("k", 3, 60), i < 3 ? 3 - i : 0, i == 3);
    }
    ck_assert_int_ge(peek("k", 3, 60).reset, 59);
    ck_assert_int_le(peek("k", 3, 60).reset, 60);
    ck_state(peek("other", 3, 60), 3, 0);
    ck_state(peek("k", 4, 60), 1, 0);
    redis = NULL; /* this server alone has counted one */
    ck_state(peek("k", 3, 60), 2, 0);
}
END_TEST

CH_REDIS_MAIN("store/limit_shared", CH_ONCE(looks), CH_ONCE(counts_down),
              CH_ONCE(reset_is_rounded_up), CH_ONCE(servers_count_together),
              CH_ONCE(what_counts_together), CH_ONCE(windows),
              CH_ONCE(largest), CH_ONCE(limits_change),
              CH_ONCE(keys_tell_nothing), CH_ONCE(key_without_end),
              CH_ONCE(key_of_another_kind), CH_ONCE(flushed),
              CH_ONCE(lost_and_back), CH_ONCE(together_with_others),
              CH_ONCE(exact_with_four_processes))
