/* Tests of store/redis_sub: messages come, all of them and in order, and a
 * connection that is dead is noticed. */
#include "ch_redis.h"

static const char *const channels[] = { "chronicle:a", "chronicle:b" };

static ch_redis_t *start(void)
{
    ch_redis_start();
    return ch_redis_home(ch_redis_url("", ""), 8);
}

static ch_redis_sub_t *listen_to(ch_redis_t *redis, int count)
{
    ch_redis_sub_t *sub = ch_redis_subscribe(redis, pool, count, channels);

    ck_assert_ptr_nonnull(sub);
    return sub;
}

static void ck_news(ch_redis_sub_t *sub, const char *channel, const char *text)
{
    ch_redis_message_t message;

    ck_assert_int_eq(ch_redis_wait(sub, 2000, &message), CH_REDIS_MESSAGE);
    ck_assert_str_eq(message.channel.data, channel);
    ck_assert_uint_eq(message.text.len, strlen(text));
    ck_assert_str_eq(message.text.data, text);
}

START_TEST(messages_come)
{
    ch_redis_t *redis = start();
    ch_redis_sub_t *sub = listen_to(redis, 2);
    ch_redis_message_t message;
    int i;

    ck_assert_int_eq(ch_redis_wait(sub, 0, &message), CH_REDIS_NOTHING);
    ck_says(redis, "1", "PUBLISH", "chronicle:a", "one");
    ck_says(redis, "1", "PUBLISH", "chronicle:b", "");
    ck_says(redis, "0", "PUBLISH", "chronicle:c", "nobody");
    ck_news(sub, "chronicle:a", "one");
    ck_news(sub, "chronicle:b", "");
    for (i = 0; i < 5000; i++) {
        SAYS(redis, "PUBLISH", "chronicle:a", apr_itoa(pool, i));
    }
    for (i = 0; i < 5000; i++) {
        ck_news(sub, "chronicle:a", apr_itoa(pool, i));
    }
    ck_assert_int_eq(ch_redis_wait(sub, 1, &message), CH_REDIS_NOTHING);
    ch_redis_unsubscribe(sub);
    usleep(50 * 1000);
    ck_says(redis, "0", "PUBLISH", "chronicle:a", "nobody");
}
END_TEST

START_TEST(large_messages_of_any_bytes)
{
    const size_t size = 3 << 20;
    char *text = apr_pcalloc(pool, size);
    ch_redis_t *redis = start();
    ch_redis_sub_t *sub = listen_to(redis, 1);
    ch_redis_command_t publish = WORDS("PUBLISH", "chronicle:a");
    ch_redis_message_t message;
    int i;

    memcpy(text + 1000, "\r\n*3\r\n", 6);
    ch_redis_arg(&publish, text, size);
    for (i = 0; i < 10; i++) { /* more in all than a reply may be */
        ck_assert_str_eq(ch_redis_ask(redis, publish), "1");
        ck_assert_int_eq(ch_redis_wait(sub, 2000, &message), CH_REDIS_MESSAGE);
        ck_assert_uint_eq(message.text.len, size);
        ck_assert_int_eq(memcmp(message.text.data, text, size), 0);
    }
}
END_TEST

START_TEST(waits_as_long_as_told)
{
    ch_redis_t *redis = start();
    ch_redis_sub_t *sub = listen_to(redis, 1);
    ch_redis_message_t message;
    apr_time_t start_time = apr_time_now();

    ck_assert_int_eq(ch_redis_wait(sub, 300, &message), CH_REDIS_NOTHING);
    ck_assert_int_ge(apr_time_now() - start_time, 295 * 1000);
    ck_assert_int_lt(apr_time_now() - start_time, 10000 * 1000);
}
END_TEST

START_TEST(server_dies)
{
    ch_redis_t *redis = start();
    ch_redis_sub_t *sub = listen_to(redis, 1);
    ch_redis_message_t message;

    ck_says(redis, "1", "PUBLISH", "chronicle:a", "last");
    ck_news(sub, "chronicle:a", "last");
    clock_stop();
    ch_redis_stop();
    ck_assert_int_eq(ch_redis_wait(sub, 2000, &message), CH_REDIS_LOST);
    ck_assert_int_eq(ch_redis_wait(sub, 2000, &message), CH_REDIS_LOST);
    ck_assert_ptr_null(ch_redis_subscribe(redis, pool, 1, channels));
    ck_assert_int_eq(seen->lost, 1);
    ch_redis_start();
    ck_assert_ptr_null(ch_redis_subscribe(redis, pool, 1, channels));
    clock_forward(CH_REDIS_PAUSE_MS);
    sub = listen_to(redis, 1);
    ck_assert_int_eq(seen->back, 1);
    ck_says(redis, "1", "PUBLISH", "chronicle:a", "first");
    ck_news(sub, "chronicle:a", "first");
}
END_TEST

/* Quiet for long, but alive: asked, and kept. */
START_TEST(quiet_and_alive)
{
    ch_redis_t *redis = start();
    ch_redis_sub_t *sub = listen_to(redis, 1);
    ch_redis_message_t message;
    int i;

    for (i = 0; i < 10; i++) {
        clock_forward(16 * 1000);
        ck_assert_int_eq(ch_redis_wait(sub, 100, &message), CH_REDIS_NOTHING);
        clock_forward(4 * 1000);
        ck_assert_int_eq(ch_redis_wait(sub, 100, &message), CH_REDIS_NOTHING);
    }
    ck_says(redis, "1", "PUBLISH", "chronicle:a", "still");
    ck_news(sub, "chronicle:a", "still");
}
END_TEST

/* Quiet, and nobody answers. */
START_TEST(quiet_and_dead)
{
    ch_redis_t *redis = start();
    ch_redis_sub_t *sub = listen_to(redis, 1);
    ch_redis_message_t message;

    kill(redis_pid, SIGSTOP);
    clock_forward(14 * 1000);
    ck_assert_int_eq(ch_redis_wait(sub, 20, &message), CH_REDIS_NOTHING);
    clock_forward(2 * 1000);
    ck_assert_int_eq(ch_redis_wait(sub, 20, &message), CH_REDIS_NOTHING);
    clock_forward(4 * 1000);
    ck_assert_int_eq(ch_redis_wait(sub, 20, &message), CH_REDIS_NOTHING);
    clock_forward(2 * 1000);
    ck_assert_int_eq(ch_redis_wait(sub, 20, &message), CH_REDIS_LOST);
}
END_TEST

START_TEST(hangs_while_subscribing)
{
    ch_redis_t *redis = start();

    ck_says(redis, "PONG", "PING");
    kill(redis_pid, SIGSTOP);
    ck_assert_ptr_null(ch_redis_subscribe(redis, pool, 1, channels));
    ck_assert_int_eq(seen->lost, 1);
    ck_assert_ptr_null(ch_redis_subscribe(NULL, pool, 1, channels));
}
END_TEST

static const struct {
    const char *say;
    ch_redis_news_e news;
} others[] = {
    { "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", CH_REDIS_MESSAGE },
    { "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n:1\r\n", CH_REDIS_NOTHING },
    { "*3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nb\r\n", CH_REDIS_NOTHING },
    { "*2\r\n$7\r\nmessage\r\n$1\r\nb\r\n", CH_REDIS_NOTHING },
    { "*0\r\n", CH_REDIS_NOTHING },
    { "*-1\r\n", CH_REDIS_NOTHING },
    { ":1\r\n", CH_REDIS_NOTHING },
    { "*3\r\n$7\r\nmess", CH_REDIS_NOTHING },
    { "!*3\r\n$7\r\nmess", CH_REDIS_LOST },
    { "ICY 200\r\n", CH_REDIS_LOST },
};

START_TEST(says_otherwise)
{
    const ch_paper_t paper[] = {
        { { INFO_OK, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
            others[_i].say } }
    };
    ch_redis_message_t message;
    ch_redis_sub_t *sub;

    ch_paper_start(paper, 1);
    sub = listen_to(ch_redis_home(ch_redis_url("", ""), 1), 1);
    clock_forward(16 * 1000); /* it is asked, and says that */
    ck_assert_int_eq(ch_redis_wait(sub, 100, &message), others[_i].news);
}
END_TEST

CH_REDIS_MAIN("store/redis_sub", CH_ONCE(messages_come),
              CH_ONCE(large_messages_of_any_bytes),
              CH_ONCE(waits_as_long_as_told), CH_ONCE(server_dies),
              CH_ONCE(quiet_and_alive), CH_ONCE(quiet_and_dead),
              CH_ONCE(hangs_while_subscribing),
              CH_EACH(says_otherwise, others))
