/* Tests of realtime/far: records come to other servers, whole and in order, by
 * the database or by Redis. */
#include "ch_bus.h"
#include "ch_redis.h"

#include <apr_thread_proc.h>

#include "base/seal.h"
#include "conf.h"
#include "realtime/far.h"

#define US "01010101010101010101010101010101"
#define THEM "02020202020202020202020202020202"
#define OTHERS "03030303030303030303030303030303"

static ch_conf_t conf;
static PGconn *listener;

/* --- lines of the log -----------------------------------------------------
 */

static int lines;
static char line[256];

static void write_line(void *ctx, char level, int number, const char *text)
{
    ck_assert_int_eq(level, 'w');
    ck_assert_int_eq(number, 1131);
    snprintf(line, sizeof(line), "%s", text);
    __atomic_fetch_add(&lines, 1, __ATOMIC_SEQ_CST);
}

/* --- servers --------------------------------------------------------------
 */

static void become(unsigned char id)
{
    unsigned char whole[16];

    memset(whole, id, sizeof(whole));
    ch_bus_open(share(ch_bus_size()), whole);
}

static void prepare_far(void)
{
    memset(&conf, 0, sizeof(conf));
    conf.site = SITE;
    shift = share(sizeof(*shift));
    open_server(1);
    ch_database_make();
    conf.db = ch_home_make(CH_CONNECTIONS, 1000);
    listener = ch_pg_connect(database.name);
    PQclear(PQexec(listener, "LISTEN chronicle"));
}

static void begin(void)
{
    ck_assert_int_eq(ch_far_begin(pool, write_line, NULL), 1);
}

static void post(const char *server, const char *text)
{
    ch_far_post(&conf, server, text, strlen(text));
}

/* The text of the next record that was announced, NULL when there is none. */
static const char *announced(void)
{
    const char *text = NULL;
    PGnotify *got;

    PQclear(PQexec(listener, "SELECT 1")); /* what is there comes before */
    PQconsumeInput(listener);
    while (!text && (got = PQnotifies(listener)) != NULL) {
        ck_assert_int_lt((int)strlen(got->extra), 7900);
        if (*got->extra != 'h') {
            ck_assert_int_eq(memcmp(got->extra, "r ", 2), 0);
            text = apr_pstrdup(pool, got->extra + 2);
        }
        PQfreemem(got);
    }
    return text;
}

/* The record in it for who we are, NULL when there is none. */
static const char *taken(const char *text)
{
    ch_bytes_t out;

    if (!text
        || !ch_far_take(pool, &conf, ch_check_copy(text, strlen(text)),
                        strlen(text), &out)) {
        return NULL;
    }
    return apr_pstrmemdup(pool, out.data, out.len);
}

/* --- by the database ------------------------------------------------------
 */

START_TEST(before_begin)
{
    memset(&conf, 0, sizeof(conf));
    conf.site = -1;
    post(NULL, "x");
    post(THEM, "x");
    ch_far_end();
}
END_TEST

START_TEST(to_one_and_to_all)
{
    const char *all, *one;

    prepare_far();
    ck_assert_str_eq(ch_far_own(), US);
    begin();
    post(NULL, "for all");
    post(THEM, "");
    post(US, "for ourselves");
    ch_far_end();
    all = announced();
    one = announced();
    ck_assert_ptr_null(taken(all)); /* our own */
    ck_assert_ptr_null(taken(announced()));
    ck_assert_ptr_null(announced());
    become(2);
    ck_assert_str_eq(taken(all), "for all");
    ck_assert_str_eq(taken(one), "");
    become(3);
    ck_assert_str_eq(taken(all), "for all");
    ck_assert_ptr_null(taken(one));
    ck_assert_int_eq(lines, 0);
}
END_TEST

/* All that waits goes in one transaction; what is equal is not thrown
 * together. */
START_TEST(in_order)
{
    static const char *const texts[] = { "on", "off", "on", "on" };
    int i;

    prepare_far();
    begin();
    for (i = 0; i < 1000; i++) {
        post(NULL, texts[i % 4]);
    }
    ch_far_end();
    become(2);
    for (i = 0; i < 1000; i++) {
        ck_assert_str_eq(taken(announced()), texts[i % 4]);
    }
    ck_assert_ptr_null(announced());
    post(NULL, "too late");
    ck_assert_ptr_null(announced());
}
END_TEST

/* What a sender gave up on and sent by another way comes twice, perhaps to
 * two processes: it is heard once. What is said twice is. */
START_TEST(once)
{
    const size_t head = strlen("* " US " ");
    const char *texts[3];
    ch_bytes_t record;
    char *plain;
    size_t len;
    int i;

    prepare_far();
    begin();
    for (i = 0; i < 3; i++) {
        post(NULL, i < 2 ? "typing" : "x");
    }
    ch_far_end();
    become(2);
    ch_far_open(apr_pcalloc(pool, ch_far_size()));
    for (i = 0; i < 3; i++) {
        texts[i] = announced();
        ck_assert_str_eq(taken(texts[i]), i < 2 ? "typing" : "x");
    }
    for (i = 0; i < 3; i++) {
        ck_assert_ptr_null(taken(texts[i]));
    }
    /* as Redis carries it */
    record.data = (const char *)ch_seal_b64url_decode(
        pool, texts[1] + head + 1, strlen(texts[1]) - head - 1, &record.len);
    ck_assert_ptr_nonnull(record.data);
    len = head + 1 + record.len;
    plain = apr_palloc(pool, len);
    memcpy(plain, texts[1], head);
    plain[head] = '=';
    memcpy(plain + head + 1, record.data, record.len);
    ck_assert_int_eq(ch_far_take(pool, &conf, plain, len, &record), 0);
    ch_far_open(apr_pcalloc(pool, ch_far_size())); /* another server */
    ck_assert_int_eq(ch_far_take(pool, &conf, plain, len, &record), 1);
}
END_TEST

/* Around the length above which they lie in a table. */
static const size_t lengths[] = { 1, 5795, 5796, 5797, 7000, 3000000 };

static char *bytes_of(size_t len)
{
    char *data = apr_palloc(pool, len);
    size_t i;

    for (i = 0; i < len; i++) {
        data[i] = (char)(i * 7 + i / 256);
    }
    return data;
}

START_TEST(any_length)
{
    size_t len = lengths[_i];
    const char *data = bytes_of(len);
    const char *text;
    ch_bytes_t out;

    prepare_far();
    begin();
    ch_far_post(&conf, THEM, data, len);
    ch_far_end();
    text = announced();
    ck_assert_ptr_nonnull(text);
    become(2);
    ck_assert_int_eq(ch_far_take(pool, &conf, text, strlen(text), &out), 1);
    ck_assert_uint_eq(out.len, len);
    ck_assert_int_eq(memcmp(out.data, data, len), 0);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM realtime_parcels"),
                     len > 5796 ? "1" : "0");
    ck_assert_int_eq(lines, 0);
}
END_TEST

/* A parcel is there for a minute; a message whose parcel is not is nothing. */
START_TEST(parcels_go)
{
    const char *data = bytes_of(10000);
    const char *first;

    prepare_far();
    begin();
    ch_far_post(&conf, NULL, data, 10000);
    ch_far_end();
    first = announced();
    ch_sql("UPDATE realtime_parcels SET created_at ="
           " now() - interval '61 seconds'");
    begin();
    ch_far_post(&conf, NULL, data, 10000);
    ch_far_end();
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM realtime_parcels"), "1");
    become(2);
    ck_assert_ptr_null(taken(first));
    ck_assert_ptr_nonnull(taken(announced()));
}
END_TEST

/* Who is alone says nothing to all. */
START_TEST(alone)
{
    prepare();
    prepare_far();
    bus = make_bus(database.conninfo, own);
    until(own->alone);
    begin();
    post(NULL, "nobody hears it");
    post(THEM, "they may");
    ch_far_end();
    become(2);
    ck_assert_str_eq(taken(announced()), "they may");
    ck_assert_ptr_null(announced());
}
END_TEST

/* --- what is none ---------------------------------------------------------
 */

static const char *const damaged[] = {
    "",
    " ",
    "* ",
    "*",
    US,
    "* " THEM,
    "* " THEM " ",
    "* " THEM "=abcdefgh",
    "* " THEM " =abc", /* too short for its number */
    "* " THEM " .AAA",
    "* " THEM " .%%%%%%%%",
    "* " THEM " @0198a000-0000-7000-8000-00000000000a",
    "* " THEM " @'; DROP TABLE users",
    "* " THEM " ?abcdefgh", /* of a later release */
    "** " THEM " =abcdefgh",
    "- " THEM " =abcdefgh",
    OTHERS " " THEM " =abcdefgh",
    "0101010101010101010101010101010 " THEM " =abcdefgh",
    "* " US " =abcdefgh",
    US " " US " =abcdefgh",
    "* 0202 =abcdefghijklmnopqrstuvwxyzabcdefghi",
};

START_TEST(what_is_none)
{
    prepare_far();
    ck_assert_ptr_null(taken(damaged[_i]));
    ck_assert_str_eq(taken("* " THEM " =1234abc"), "abc");
    ck_assert_str_eq(taken(US " " THEM " =1234"), "");
    ck_assert_str_eq(taken("* " THEM " .MTIzNGFiYw"), "abc");
}
END_TEST

/* --- loss -----------------------------------------------------------------
 */

START_TEST(the_database_is_away)
{
    prepare_far();
    database.refuse = 1;
    begin();
    post(NULL, "one");
    post(NULL, "two");
    ch_far_end();
    ck_assert_int_ge(lines, 1);
    ck_assert_str_eq(strchr(line, ' '),
                     " messages of realtime for other servers could not be"
                     " sent");
    database.refuse = 0;
    ck_assert_ptr_null(announced());
}
END_TEST

START_TEST(too_much)
{
    const char *data = bytes_of((size_t)17 << 20);

    prepare_far();
    begin();
    ch_far_post(&conf, NULL, data, (size_t)17 << 20);
    post(NULL, "small");
    ch_far_end();
    ck_assert_int_eq(lines, 1);
    ck_assert_str_eq(
        line, "1 messages of realtime for other servers could not be sent");
    become(2);
    ck_assert_str_eq(taken(announced()), "small");
}
END_TEST

/* --- the bus --------------------------------------------------------------
 */

typedef struct {
    char text[400];
    int doubts;
} ears_t;

static void note_heard(void *ctx, char letter, const char *text, size_t len)
{
    ears_t *ears = ctx;
    size_t at = strlen(ears->text);

    if (len > 8 && memcmp(text + len - 8, "by Redis", 8) == 0) {
        text += len - 8;
        len = 8; /* before it stand bytes of any kind */
    }
    snprintf(ears->text + at, sizeof(ears->text) - at, "%c %.*s;", letter,
             (int)len, text);
}

static void note_doubt(void *ctx)
{
    ((ears_t *)ctx)->doubts++;
}

static ch_bus_conf_t ears_conf(ears_t *ears)
{
    return (ch_bus_conf_t){ .conninfo = database.conninfo,
                            .site = SITE,
                            .redis = conf.redis,
                            .heard = note_heard,
                            .doubt = note_doubt,
                            .channel = ch_far_channel(pool, &conf),
                            .ctx = ears };
}

START_TEST(heard_from_the_database)
{
    ears_t ears = { .doubts = 0 };
    ch_bus_conf_t bus_conf;
    int i;

    prepare_far();
    bus_conf = ears_conf(&ears);
    bus = ch_bus_make(pool, &bus_conf);
    ch_bus_wait(bus, 10);
    ck_assert_int_eq(ears.doubts, 1);
    take_seat();
    announce("s " SESSION);
    announce("u " USER);
    announce("c " USER);
    announce("s nonsense");
    announce("r any text");
    announce("r ");
    for (i = 0; i < 500 && !strstr(ears.text, "r ;"); i++) {
        ch_bus_wait(bus, 10);
    }
    ck_assert_str_eq(ears.text, "s " SESSION ";u " USER ";r any text;r ;");
    ck_assert(!has_seat());
    ck_assert_int_eq(ears.doubts, 1);
}
END_TEST

/* --- by Redis -------------------------------------------------------------
 */

static void prepare_redis(void)
{
    prepare_far();
    ch_redis_start();
    conf.redis = ch_redis_home(ch_redis_url("", ""), 4);
    memset(conf.redis_key, 7, sizeof(conf.redis_key));
}

START_TEST(heard_from_redis)
{
    ears_t ears = { .doubts = 0 };
    struct ch_redis_sub_t *sub = NULL;
    ch_bus_conf_t bus_conf;
    const char *text;
    int i;

    prepare_redis();
    bus_conf = ears_conf(&ears);
    ch_bus_wait_redis(&bus_conf, pool, &sub, 0);
    ck_assert_ptr_nonnull(sub);
    ck_assert_int_eq(ears.doubts, 1);
    ch_bus_tell(conf.redis, pool, 's', SESSION);
    begin();
    post(THEM, "by Redis");
    ch_far_end();
    for (i = 0; i < 500 && !strstr(ears.text, "Redis"); i++) {
        ch_bus_wait_redis(&bus_conf, pool, &sub, 10);
    }
    ck_assert_str_eq(ears.text, "s " SESSION ";r by Redis;");
    ck_assert_ptr_null(announced());
    ck_assert_int_eq(ears.doubts, 1);

    /* a Redis that is gone is gone round */
    ch_redis_stop();
    begin();
    post(THEM, "by the database");
    ch_far_end();
    ch_bus_wait_redis(&bus_conf, pool, &sub, 10);
    text = announced();
    become(2);
    ck_assert_str_eq(taken(text), "by the database");
    ck_assert_int_eq(lines, 0);
}
END_TEST

/* Any bytes, any length, in order. */
START_TEST(through_redis)
{
    const char *channel;
    ch_redis_message_t got;
    ch_redis_sub_t *sub;
    ch_bytes_t out;
    size_t i;

    prepare_redis();
    channel = ch_far_channel(pool, &conf);
    sub = ch_redis_subscribe(conf.redis, pool, 1, &channel);
    ck_assert_ptr_nonnull(sub);
    begin();
    for (i = 0; i < 700; i++) {
        const char *data = bytes_of(i * 10 % 6000);

        ch_far_post(&conf, NULL, data, i * 10 % 6000);
    }
    ch_far_post(&conf, NULL, bytes_of(3000000), 3000000);
    ch_far_end();
    become(2);
    for (i = 0; i <= 700; i++) {
        size_t len = i < 700 ? i * 10 % 6000 : 3000000;

        ck_assert_int_eq(ch_redis_wait(sub, 2000, &got), CH_REDIS_MESSAGE);
        ck_assert_int_eq(
            ch_far_take(pool, &conf, got.text.data, got.text.len, &out), 1);
        ck_assert_uint_eq(out.len, len);
        ck_assert_int_eq(memcmp(out.data, bytes_of(len), len), 0);
    }
    conf.redis_key[0]++;
    ck_assert_str_ne(ch_far_channel(pool, &conf), channel);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define THREADS 4

static void *APR_THREAD_FUNC post_much(apr_thread_t *thread, void *data)
{
    char text[32];
    int i;

    for (i = 0; i < 200; i++) {
        apr_snprintf(text, sizeof(text), "%d %d", *(const int *)data, i);
        post(THEM, text);
    }
    return NULL;
}

START_TEST(from_many_threads)
{
    static const int numbers[THREADS] = { 0, 1, 2, 3 };
    int next[THREADS] = { 0 };
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    const char *text;
    int i, who, number;

    prepare_far();
    begin();
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, post_much,
                                           (void *)(uintptr_t)&numbers[i],
                                           pool),
                         0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ch_far_end();
    become(2);
    while ((text = taken(announced())) != NULL) {
        ck_assert_int_eq(sscanf(text, "%d %d", &who, &number), 2);
        ck_assert_int_eq(next[who]++, number);
    }
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(next[i], 200);
    }
}
END_TEST

int main(void)
{
    const ch_test_t tests[] = {
        CH_ONCE(before_begin),
        CH_ONCE(to_one_and_to_all),
        CH_ONCE(in_order), CH_ONCE(once),
        CH_EACH(any_length, lengths),
        CH_ONCE(parcels_go),
        CH_ONCE(alone),
        CH_EACH(what_is_none, damaged),
        CH_ONCE(the_database_is_away),
        CH_ONCE(too_much),
        CH_ONCE(heard_from_the_database),
        CH_ONCE(heard_from_redis),
        CH_ONCE(through_redis),
        CH_ONCE(from_many_threads),
    };
    int result;

    snprintf(redis_dir, sizeof(redis_dir), "/tmp/chronicle-redis.XXXXXX");
    if (!mkdtemp(redis_dir)) {
        return EXIT_FAILURE;
    }
    ch_pg_start();
    result = ch_check_run("realtime/far", tests, CH_COUNT(tests));
    ch_pg_stop();
    ch_redis_remove_dir();
    return result;
}
