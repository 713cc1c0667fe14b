/* Tests of store/redis on real servers: commands and replies, one list of
 * connections for many threads, and what makes a server of no use. */
#include "ch_redis.h"

#include <apr_thread_proc.h>

static ch_redis_t *start(void)
{
    ch_redis_t *redis;

    ch_redis_start();
    redis = ch_redis_home(ch_redis_url("", ""), 32);
    clock_stop();
    return redis;
}

/* --- replies --------------------------------------------------------------
 */

START_TEST(kinds_of_replies)
{
    ch_redis_t *redis = start();

    ck_says(redis, "nil", "GET", "k");
    ck_says(redis, "OK", "SET", "k", "v");
    ck_says(redis, "v", "GET", "k");
    ck_says(redis, "", "ECHO", "");
    ck_says(redis, "1", "DEL", "k");
    ck_says(redis, "-9223372036854775808", "INCRBY", "k",
            "-9223372036854775808");
    ck_says(redis, "9223372036854775807", "INCRBY", "j",
            "9223372036854775807");
    ck_says(redis, "!ERR", "INCR", "j");
    ck_says(redis, "!WRONGTYPE", "LPUSH", "j", "1");
    ck_says(redis, "!ERR", "NOSUCHCOMMAND");
    ck_says(redis, "[]", "KEYS", "none*");
    ck_says(redis, "[9223372036854775807 nil]", "MGET", "j", "none");
    ck_says(redis, "[1 [2 [three [] nil]] !E]", "EVAL",
            "return {1, {2, {'three', {}, false}}, {err = 'E f'}}", "0");
    ck_assert_int_eq(seen->lost, 0);
}
END_TEST

START_TEST(bytes_of_all_sorts)
{
    ch_redis_t *redis = start();
    const ch_redis_reply_t *reply;
    ch_redis_command_t set = WORDS("SET"), get = WORDS("GET");
    char all[256];
    int i;

    for (i = 0; i < 256; i++) {
        all[i] = (char)(255 - i); /* "\r\n" is not in it, "\n\r" neither */
    }
    memcpy(all + 100, "\r\n$3\r\n", 6);
    ch_redis_arg(&set, "k\0\r\n", 4);
    ch_redis_arg(&set, all, sizeof(all));
    ch_redis_arg(&get, "k\0\r\n", 4);
    ck_assert_str_eq(ch_redis_ask(redis, set), "OK");
    reply = ch_redis_one(redis, pool, &get);
    ck_assert_ptr_nonnull(reply);
    ck_assert_uint_eq(reply->text.len, sizeof(all));
    ck_assert_int_eq(memcmp(reply->text.data, all, sizeof(all)), 0);
    ck_assert_int_eq(reply->text.data[reply->text.len], '\0');
}
END_TEST

START_TEST(pipelines_keep_order)
{
    enum { MANY = 500 };
    ch_redis_command_t *commands = apr_pcalloc(pool, MANY * sizeof(*commands));
    const ch_redis_reply_t *replies;
    ch_redis_t *redis = start();
    int i;

    for (i = 0; i < MANY; i++) {
        commands[i] = i % 7 == 3 ? WORDS("INCR", "word")
                                 : WORDS("ECHO", apr_itoa(pool, i));
    }
    commands[0] = WORDS("SET", "word", "x");
    ck_assert_int_eq(ch_redis_run(redis, pool, MANY, commands, &replies), 1);
    ck_assert_str_eq(ch_redis_show(&replies[0]), "OK");
    for (i = 1; i < MANY; i++) {
        ck_assert_str_eq(ch_redis_show(&replies[i]),
                         i % 7 == 3 ? "!ERR" : apr_itoa(pool, i));
    }
}
END_TEST

START_TEST(more_arguments_than_fit)
{
    enum { MANY = 300 };
    ch_bytes_t *args = apr_pcalloc(pool, MANY * sizeof(*args));
    ch_redis_command_t push = { .count = MANY, .more = args };
    ch_redis_t *redis = start();
    int i;

    args[0] = (ch_bytes_t){ "RPUSH", 5 };
    args[1] = (ch_bytes_t){ "list", 4 };
    for (i = 2; i < MANY; i++) {
        args[i] = (ch_bytes_t){ "abc", (size_t)(i % 4) };
    }
    ck_assert_str_eq(ch_redis_ask(redis, push), "298");
    ck_says(redis, "[ab abc  a]", "LRANGE", "list", "0", "3");
}
END_TEST

/* Larger than any buffer on the way, both ways; and larger than we take. */
START_TEST(large_ones)
{
    const size_t size = 5 << 20;
    char *value = apr_palloc(pool, size);
    ch_redis_t *redis = start();
    const ch_redis_reply_t *reply;
    ch_redis_command_t set = WORDS("SET", "k"), get = WORDS("GET", "k");
    ch_redis_command_t all = WORDS("MGET", "k", "k", "k", "k");

    memset(value, 'x', size);
    value[size - 1] = 'y';
    ch_redis_arg(&set, value, size);
    ck_assert_str_eq(ch_redis_ask(redis, set), "OK");
    reply = ch_redis_one(redis, pool, &get);
    ck_assert_ptr_nonnull(reply);
    ck_assert_uint_eq(reply->text.len, size);
    ck_assert_int_eq(memcmp(reply->text.data, value, size), 0);
    ck_assert_ptr_null(ch_redis_one(redis, pool, &all));
    ck_assert(ch_redis_is_up(redis));
    ck_says(redis, "1", "EXISTS", "k");
    ck_assert_int_eq(seen->lost, 0);
}
END_TEST

START_TEST(without_a_home)
{
    apr_time_t took;

    ck_says(NULL, "-", "PING");
    ck_assert_int_eq(ch_redis_is_up(NULL), 0);
    ck_assert_uint_eq(ch_redis_generation(NULL), 0);
    ck_assert_int_eq(ch_redis_ping(NULL, pool, &took), 0);
}
END_TEST

START_TEST(pings)
{
    ch_redis_t *redis = start();
    apr_time_t took = 0;

    clock_run();
    ck_assert_int_eq(ch_redis_ping(redis, pool, &took), 1);
    ck_assert_int_gt(took, 0);
    ck_assert_int_lt(took, CH_REDIS_COMMAND_MS * 1000);
}
END_TEST

/* Only what was claimed has a place in the memory. */
START_TEST(needs_a_claim)
{
    ch_redis_memory();
    ck_assert_ptr_null(ch_redis_make(pool, ch_redis_parse("redis://h"), 1,
                                     ch_redis_note, NULL));
}
END_TEST

/* As many as there is room for, and then others in the next life of the
 * server: those that were not named last make room. */
START_TEST(claims_make_room)
{
    int life, i;

    ch_redis_memory();
    for (life = 0; life < 3; life++) {
        for (i = 0; i < CH_REDIS_PLACES; i++) {
            ch_redis_claim(ch_redis_parse(
                apr_psprintf(pool, "redis://host%d", life + i)));
        }
        for (i = 0; i < CH_REDIS_PLACES; i++) {
            ch_redis_child(apr_psprintf(pool, "redis://host%d", life + i), 1);
        }
    }
}
END_TEST

/* --- scripts --------------------------------------------------------------
 */

static ch_redis_script_t add_script = {
    .text = "return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}",
    .keys = 1,
};
static ch_redis_script_t bad_script = {
    .text = "return redis.call('LPUSH', KEYS[1], 'x')",
    .keys = 1,
};

static ch_redis_command_t script_of(ch_redis_script_t *script, const char *key)
{
    ch_redis_command_t command = WORDS(key, "arg");

    command.script = script;
    return command;
}

START_TEST(scripts_by_name)
{
    ch_redis_t *redis = start();
    ch_redis_command_t all[4];
    const ch_redis_reply_t *replies;

    ck_assert_str_eq(ch_redis_ask(redis, script_of(&add_script, "k")),
                     "[k arg 1]");
    ck_says(redis, add_script.sha, "SCRIPT", "LOAD", add_script.text);
    ck_assert_str_eq(ch_redis_ask(redis, script_of(&add_script, "k")),
                     "[k arg 2]");
    /* it is gone, between two calls and within a pipeline */
    ck_says(redis, "OK", "SCRIPT", "FLUSH");
    ck_assert_str_eq(ch_redis_ask(redis, script_of(&add_script, "k")),
                     "[k arg 3]");
    all[0] = script_of(&add_script, "k");
    all[1] = WORDS("SCRIPT", "FLUSH");
    all[2] = script_of(&add_script, "k");
    all[3] = script_of(&bad_script, "k");
    ck_assert_int_eq(ch_redis_run(redis, pool, 4, all, &replies), 1);
    ck_assert_str_eq(ch_redis_show(&replies[0]), "[k arg 4]");
    ck_assert_str_eq(ch_redis_show(&replies[1]), "OK");
    ck_assert_str_eq(ch_redis_show(&replies[2]), "[k arg 5]");
    ck_assert_str_eq(ch_redis_show(&replies[3]), "!WRONGTYPE");
    ck_says(redis, "5", "GET", "k");
    ck_says(redis, "!NOSCRIPT", "EVALSHA", "abc", "0");
}
END_TEST

/* --- threads --------------------------------------------------------------
 */

#define THREADS 8
#define EACH 400

typedef struct {
    ch_redis_t *redis;
    int failed;
} job_t;

static void *APR_THREAD_FUNC increase(apr_thread_t *thread, void *data)
{
    job_t *job = data;
    ch_redis_command_t commands[2] = { { 0 }, { .script = &add_script } };
    const ch_redis_reply_t *replies;
    apr_pool_t *own;
    int i;

    ch_redis_arg_text(&commands[0], "INCR");
    ch_redis_arg_text(&commands[0], "n");
    ch_redis_arg_text(&commands[1], "m");
    ch_redis_arg_text(&commands[1], "a");
    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    for (i = 0; i < EACH; i++) {
        apr_pool_clear(own);
        if (!ch_redis_run(job->redis, own, 2, commands, &replies)
            || replies[0].kind != CH_REDIS_INT
            || replies[1].kind != CH_REDIS_ARRAY) {
            __atomic_fetch_add(&job->failed, 1, __ATOMIC_RELAXED);
        }
    }
    apr_pool_destroy(own);
    return NULL;
}

static void run_threads(apr_thread_start_t work, void *data)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, work, data, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
}

static int connections(ch_redis_t *redis)
{
    const char *list = SAYS(redis, "CLIENT", "LIST");
    int count = 0;

    for (; *list; list++) {
        count += *list == '\n';
    }
    return count;
}

/* As many connections as are used at once, and no more; those that are not
 * used any more go. */
START_TEST(threads_share_connections)
{
    job_t job = { .redis = start() };
    int i;

    run_threads(increase, &job);
    ck_assert_int_eq(job.failed, 0);
    ck_says(job.redis, apr_itoa(pool, THREADS * EACH), "GET", "n");
    ck_says(job.redis, apr_itoa(pool, THREADS * EACH), "GET", "m");
    ck_assert_int_le(connections(job.redis), THREADS);
    ck_assert_int_gt(connections(job.redis), 1);
    clock_forward(61 * 1000);
    for (i = 0; i < THREADS; i++) {
        SAYS(job.redis, "PING");
    }
    while (connections(job.redis) > 1) { /* it hears of it a little later */
        usleep(10 * 1000);
    }
}
END_TEST

static void *APR_THREAD_FUNC wait_for_list(apr_thread_t *thread, void *data)
{
    job_t *job = data;
    ch_redis_command_t pop = { .repeatable = 1 };
    const ch_redis_reply_t *reply;
    apr_pool_t *own;

    ch_redis_arg_text(&pop, "BLPOP");
    ch_redis_arg_text(&pop, "nothing");
    ch_redis_arg_text(&pop, "0.1");
    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    reply = ch_redis_one(job->redis, own, &pop);
    __atomic_fetch_add(&job->failed, reply == NULL, __ATOMIC_RELAXED);
    apr_pool_destroy(own);
    return NULL;
}

/* Who finds no connection does not wait for one. */
START_TEST(never_more_than_allowed)
{
    job_t job = { 0 };

    ch_redis_start();
    job.redis = ch_redis_home(ch_redis_url("", ""), 3);
    run_threads(wait_for_list, &job);
    ck_assert_int_eq(job.failed, THREADS - 3);
    ck_assert(ch_redis_is_up(job.redis));
    ck_assert_int_eq(connections(job.redis), 3);
}
END_TEST

/* --- logging in -----------------------------------------------------------
 */

static const struct {
    const char *login;
    const char *query;
    const char *says; /* to GET mark; "-" = lost */
    const char *why;
} logins[] = {
    { ":sesame@", "", "zero", NULL },
    { "default:sesame@", "", "zero", NULL },
    { ":sesame@", "?db=0", "zero", NULL },
    { ":sesame@", "?db=3", "three", NULL },
    { "ann:o%20p%2Fen@", "", "zero", NULL },
    { "", "", "-", "it asks for a password" },
    { ":mellon@", "", "-", "it refuses the password" },
    { "ann:sesame@", "", "-", "it refuses the password" },
    { "bob:sesame@", "", "-", "it refuses the password" },
    { ":sesame@", "?db=16", "-", "it has no such database" },
};

START_TEST(logs_in)
{
    ch_redis_t *redis;

    ch_redis_start("--requirepass", "sesame");
    redis = ch_redis_home(ch_redis_url(":sesame@", ""), 1);
    ck_says(redis, "OK", "SET", "mark", "zero");
    ck_says(redis, "OK", "ACL", "SETUSER", "ann", "on", ">o p/en", "~*",
            "+@all");
    redis = ch_redis_home(ch_redis_url(":sesame@", "?db=3"), 1);
    ck_says(redis, "OK", "SET", "mark", "three");
    redis = ch_redis_home(ch_redis_url(logins[_i].login, logins[_i].query), 1);
    ck_says(redis, logins[_i].says, "GET", "mark");
    ck_assert_int_eq(seen->lost, logins[_i].why != NULL);
    if (logins[_i].why) {
        ck_assert_str_eq(
            seen->text,
            apr_psprintf(pool,
                         "Redis at %s is lost (%s): limits are counted by "
                         "this server alone",
                         ch_redis_socket(), logins[_i].why));
    }
}
END_TEST

/* A server without a password does not take one: the configuration is wrong,
 * and whoever sees the log can tell. */
START_TEST(password_nobody_asked_for)
{
    ch_redis_t *redis;

    ch_redis_start();
    redis = ch_redis_home(ch_redis_url(":sesame@", ""), 1);
    ck_says(redis, "-", "PING");
    ck_assert_ptr_nonnull(strstr(seen->text, "it refuses the password"));
    ck_assert_ptr_null(strstr(seen->text, "sesame"));
}
END_TEST

/* A user who may not ask for the server's state can do the rest. */
START_TEST(few_rights)
{
    ch_redis_t *redis;

    ch_redis_start();
    redis = ch_redis_home(ch_redis_url("", ""), 1);
    ck_says(redis, "OK", "ACL", "SETUSER", "ann", "on", ">pw", "~chronicle:*",
            "&chronicle:*", "+@read", "+@write", "+@scripting", "+@pubsub",
            "+@connection");
    redis = ch_redis_home(ch_redis_url("ann:pw@", ""), 1);
    ck_says(redis, "!NOPERM", "INFO", "server");
    ck_says(redis, "!NOPERM", "GET", "other");
    ck_says(redis, "OK", "SET", "chronicle:a", "b");
    ck_assert_str_eq(
        ch_redis_ask(redis, script_of(&add_script, "chronicle:n")),
        "[chronicle:n arg 1]");
    ck_assert_int_eq(seen->lost, 0);
}
END_TEST

/* --- of no use ------------------------------------------------------------
 */

static const struct {
    const char *option[4];
    const char *why;
    const char *cure[5];
} useless[] = {
    { { "--replicaof", "127.0.0.1 1" },
      "it is a replica, which takes no writes",
      { "REPLICAOF", "NO", "ONE" } },
    { { "--maxmemory", "1" },
      "its memory is full",
      { "CONFIG", "SET", "maxmemory", "0" } },
    { { "--min-replicas-to-write", "1" },
      "it has too few replicas and takes no writes",
      { "CONFIG", "SET", "min-replicas-to-write", "0" } },
};

/* It answers all the same, and yet is not back before it can be used: the log
 * would be full of its coming and going. */
START_TEST(no_use)
{
    const char *const *o = useless[_i].option;
    const char *const *c = useless[_i].cure;
    ch_redis_command_t cure = ch_redis_words(c);
    ch_redis_t *redis, *other;
    int i;

    ch_redis_start_with(o);
    redis = ch_redis_home(ch_redis_url("", ""), 4);
    ck_says(redis, "PONG", "PING");
    ck_says(redis, "-", "SET", "k", "v");
    ck_assert_ptr_nonnull(strstr(seen->text, useless[_i].why));
    for (i = 0; i < 5; i++) {
        clock_forward(1000);
        ck_says(redis, "-", "PING");
    }
    ck_assert_int_eq(seen->lost, 1);
    ck_assert_int_eq(seen->back, 0);
    other = ch_redis_home(ch_redis_url("", "?db=1"), 1);
    ck_assert_str_eq(ch_redis_ask(other, cure), "OK");
    clock_forward(1000);
    ck_says(redis, "OK", "SET", "k", "v");
    ck_assert_int_eq(seen->back, 1);
}
END_TEST

START_TEST(no_clusters)
{
    ch_redis_t *redis;

    ch_redis_start("--cluster-enabled", "yes");
    redis = ch_redis_home(ch_redis_url("", ""), 1);
    ck_says(redis, "-", "PING");
    ck_assert_ptr_nonnull(strstr(seen->text, "it is a node of a cluster"));
}
END_TEST

CH_REDIS_MAIN("store/redis", CH_ONCE(kinds_of_replies),
              CH_ONCE(bytes_of_all_sorts), CH_ONCE(pipelines_keep_order),
              CH_ONCE(more_arguments_than_fit), CH_ONCE(large_ones),
              CH_ONCE(without_a_home), CH_ONCE(pings), CH_ONCE(needs_a_claim),
              CH_ONCE(claims_make_room), CH_ONCE(scripts_by_name),
              CH_ONCE(threads_share_connections),
              CH_ONCE(never_more_than_allowed), CH_EACH(logs_in, logins),
              CH_ONCE(password_nobody_asked_for), CH_ONCE(few_rights),
              CH_EACH(no_use, useless), CH_ONCE(no_clusters))
