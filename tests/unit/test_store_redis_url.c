/* Tests of store/redis_url: what is a URL of a Redis, and what it names. */
#include "ch_check.h"

#include "store/redis_url.h"

static const struct {
    const char *text;
    const char *name;
    const char *user;
    const char *password;
    int db;
} good[] = {
    { "redis://host", "host:6379", NULL, NULL, 0 },
    { "redis://host/", "host:6379", NULL, NULL, 0 },
    { "REDIS://host:1/3", "host:1", NULL, NULL, 3 },
    { "redis://10.0.0.5:65535/15", "10.0.0.5:65535", NULL, NULL, 15 },
    { "redis://[::1]", "[::1]:6379", NULL, NULL, 0 },
    { "redis://[fe80::2]:7000/1", "[fe80::2]:7000", NULL, NULL, 1 },
    { "redis://:pw@host", "host:6379", NULL, "pw", 0 },
    { "redis://me:pw@host:7/2", "host:7", "me", "pw", 2 },
    { "redis://me:p%40w%2F%25@host", "host:6379", "me", "p@w/%", 0 },
    { "redis://:p@w/x:y@host", "host:6379", NULL, "p@w/x:y", 0 },
    { "redis://:p/w@host/4", "host:6379", NULL, "p/w", 4 },
    { "redis://m%65:pw@[::1]:8/9", "[::1]:8", "me", "pw", 9 },
    { "unix:///run/redis.sock", "/run/redis.sock", NULL, NULL, 0 },
    { "unix:///run/redis.sock?db=5", "/run/redis.sock", NULL, NULL, 5 },
    { "unix://me:pw@/run/redis.sock", "/run/redis.sock", "me", "pw", 0 },
    { "unix://:a%3fb@/r?db=1", "/r", NULL, "a?b", 1 },
    { "unix:///home/job@2:x/r", "/home/job@2:x/r", NULL, NULL, 0 },
    { "unix://me:p@w@/job@2/r", "/job@2/r", "me", "p@w", 0 },
};

static int same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

START_TEST(takes_apart)
{
    const ch_redis_url_t *url = NULL;
    const char *error = ch_redis_url_parse(pool, good[_i].text, &url);

    ck_assert_msg(!error, "%s: %s", good[_i].text, error);
    ck_assert_str_eq(ch_redis_url_name(url), good[_i].name);
    ck_assert(same(url->user, good[_i].user));
    ck_assert(same(url->password, good[_i].password));
    ck_assert_int_eq(url->db, good[_i].db);
    ck_assert((url->host != NULL) == (url->path == NULL));
}
END_TEST

static const char *const bad[] = {
    "",
    "host",
    "http://host",
    "redis:/host",
    "redis://",
    "redis:///1",
    "redis://:6379",
    "redis://host:",
    "redis://host:0",
    "redis://host:65536",
    "redis://host:-1",
    "redis://host:6379x",
    "redis://host:99999999999999999999",
    "redis://host/x",
    "redis://host/-1",
    "redis://host/1/2",
    "redis://host/1000001",
    "redis://host?db=1",
    "redis://ho st",
    "redis://host\n",
    "redis://secret@host",
    "redis://user:@host",
    "redis://:%zz@host",
    "redis://:%00@host",
    "redis://u%2:secret@host",
    "redis://::1",
    "redis://[::1",
    "redis://[host]",
    "redis://[::1]x",
    "redis://[::1]:x",
    "redis://a,b",
    "unix://",
    "unix://path",
    "unix://secret@/path",
    "unix:///path?x=1",
    "unix:///path?db=x",
    "unix:///path?db=-2",
    "unix:///0123456789012345678901234567890123456789012345678901234567890123"
    "456789012345678901234567890123456789012345678",
};

START_TEST(refuses)
{
    const ch_redis_url_t *url = NULL;
    const char *error = ch_redis_url_parse(pool, bad[_i], &url);

    ck_assert_msg(error != NULL, "%s was taken", bad[_i]);
    ck_assert_ptr_null(url);
    ck_assert_ptr_null(strstr(error, "secret"));
}
END_TEST

/* The text says why, for there is nothing wrong with the URL. */
START_TEST(refuses_tls)
{
    const ch_redis_url_t *url;
    const char *error = ch_redis_url_parse(pool, "rediss://host", &url);

    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_nonnull(strstr(error, "without TLS"));
    ck_assert_ptr_nonnull(strstr(error, "hiredis"));
}
END_TEST

static const struct {
    const char *a;
    const char *b;
    int same;
} pairs[] = {
    { "redis://h", "redis://h:6379/0", 1 },
    { "redis://h", "REDIS://h/", 1 },
    { "redis://:p@h", "redis://:%70@h", 1 },
    { "redis://h", "redis://g", 0 },
    { "redis://h", "redis://h:1", 0 },
    { "redis://h", "redis://h/1", 0 },
    { "redis://h", "redis://:p@h", 0 },
    { "redis://:p@h", "redis://:q@h", 0 },
    { "redis://u:p@h", "redis://:p@h", 0 },
    { "unix:///h:1", "unix:///h:1?db=1", 0 },
};

START_TEST(tells_apart)
{
    const ch_redis_url_t *a = NULL, *b = NULL;

    ck_assert_ptr_null(ch_redis_url_parse(pool, pairs[_i].a, &a));
    ck_assert_ptr_null(ch_redis_url_parse(pool, pairs[_i].b, &b));
    ck_assert_int_eq(ch_redis_url_same(a, b), pairs[_i].same);
    ck_assert(a->key != 0);
}
END_TEST

CH_SUITE_MAIN("store/redis_url", CH_EACH(takes_apart, good),
              CH_EACH(refuses, bad), CH_ONCE(refuses_tls),
              CH_EACH(tells_apart, pairs))
