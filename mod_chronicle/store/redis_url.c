/* Takes Redis URLs apart. */
#include "store/redis_url.h"

#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "base/seal.h"

#define PORT 6379
#define DB_MAX 1000000

#define BAD_ESCAPE "an escape in the user or the password is wrong"
#define BAD_FORM                                                              \
    "must be redis://[[user]:password@]host[:port][/db] or "                  \
    "unix://[[user]:password@]/path[?db=N]"

/* Two with equal keys are one Redis, to which one list of connections leads:
 * so the password is part of it. */
static void set_key(apr_pool_t *pool, ch_redis_url_t *url)
{
    unsigned char hash[CH_SHA256_LEN];
    const char *all =
        apr_psprintf(pool, "%s\n%d\n%s\n%s\n%d", url->name, url->host != NULL,
                     url->user ? url->user : "",
                     url->password ? url->password : "", url->db);

    ch_seal_sha256(all, strlen(all), hash);
    memcpy(&url->key, hash, sizeof(url->key));
    url->key |= 1;
}

/* A number without sign or other surroundings, -1 when it is none. */
static int number(const char *text, int max)
{
    apr_int64_t value;

    if (!*text || strlen(text) > 9
        || strspn(text, "0123456789") != strlen(text)) {
        return -1;
    }
    value = apr_atoi64(text);
    return value <= max ? (int)value : -1;
}

/* [user]:password. A user without a password is taken for somebody's
 * mistake. */
static const char *take_login(apr_pool_t *pool, char *text,
                              ch_redis_url_t *url)
{
    char *colon = strchr(text, ':');

    if (!colon || !colon[1]) {
        return "the URL names a user without a password";
    }
    *colon = '\0';
    url->password = apr_punescape_url(pool, colon + 1, NULL, NULL, 0);
    url->user = *text ? apr_punescape_url(pool, text, NULL, NULL, 0) : NULL;
    if (!url->password || (*text && !url->user)) {
        return BAD_ESCAPE;
    }
    return NULL;
}

/* Cuts the text at this @, if there is one: what stands before it is the
 * login. *rest is what follows. */
static const char *split_login(apr_pool_t *pool, char *text, char *at,
                               ch_redis_url_t *url, char **rest)
{
    *rest = text;
    if (!at) {
        return NULL;
    }
    *at = '\0';
    *rest = at + 1;
    return take_login(pool, text, url);
}

/* host[:port]; an IPv6 address stands in brackets. */
static const char *take_host(char *text, ch_redis_url_t *url)
{
    static const char names[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const char *of_host = names;
    char *end = text + strcspn(text, ":");

    if (*text == '[') {
        of_host = "0123456789abcdefABCDEF:.";
        text++;
        end = strchr(text, ']');
        if (!end || !strchr(text, ':') || strchr(":", end[1]) == NULL) {
            return "the IPv6 address is wrong";
        }
        *end++ = '\0';
    }
    url->port = PORT;
    if (*end == ':') {
        *end++ = '\0';
        url->port = number(end, 65535);
    }
    url->host = text;
    if (url->port < 1) {
        return "the port is wrong";
    }
    return *text && strlen(text) <= 255 && !text[strspn(text, of_host)]
               ? NULL
               : "the host is wrong";
}

static const char *take_db(const char *text, ch_redis_url_t *url)
{
    url->db = *text ? number(text, DB_MAX) : 0;
    return url->db >= 0 ? NULL : "the number of the database is wrong";
}

static const char *parse_net(apr_pool_t *pool, char *text, ch_redis_url_t *url)
{
    char *slash = strrchr(text, '/');
    const char *error;
    char *rest;

    if (slash && strchr(slash, '@')) {
        slash = NULL; /* inside a password */
    }
    error = take_db(slash ? slash + 1 : "", url);
    if (slash) {
        *slash = '\0';
    }
    if (!error) {
        error = split_login(pool, text, strrchr(text, '@'), url, &rest);
    }
    if (!error) {
        error = take_host(rest, url);
    }
    if (!error) {
        url->name =
            apr_psprintf(pool, strchr(url->host, ':') ? "[%s]:%d" : "%s:%d",
                         url->host, url->port);
    }
    return error;
}

static const char *parse_unix(apr_pool_t *pool, char *text,
                              ch_redis_url_t *url)
{
    char *query = strrchr(text, '?');
    /* the path may hold one as well */
    char *at = *text == '/' ? NULL : strstr(text, "@/");
    const char *error;
    char *rest;

    if (query) {
        *query++ = '\0';
        if (strncmp(query, "db=", 3) != 0) {
            return BAD_FORM;
        }
    }
    error = take_db(query ? query + 3 : "", url);
    if (!error) {
        error = split_login(pool, text, at, url, &rest);
    }
    if (error) {
        return error;
    }
    if (*rest != '/') {
        return "the path of the socket must begin with /";
    }
    if (strlen(rest) > 107) {
        return "the path of the socket is too long";
    }
    url->path = rest;
    url->name = rest;
    return NULL;
}

const char *ch_redis_url_parse(apr_pool_t *pool, const char *text,
                               const ch_redis_url_t **out)
{
    ch_redis_url_t *url = apr_pcalloc(pool, sizeof(*url));
    const char *error = BAD_FORM;
    const char *c;

    for (c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 127) {
            return "a URL has no spaces or control characters";
        }
    }
    if (strncasecmp(text, "rediss://", 9) == 0) {
        return "rediss:// is not supported: connections to Redis are made "
               "without TLS (the release of hiredis that this module is made "
               "for has none); use a unix socket, a private network or a "
               "tunnel such as stunnel";
    }
    if (strncasecmp(text, "redis://", 8) == 0) {
        error = parse_net(pool, apr_pstrdup(pool, text + 8), url);
    }
    else if (strncasecmp(text, "unix://", 7) == 0) {
        error = parse_unix(pool, apr_pstrdup(pool, text + 7), url);
    }
    if (!error) {
        set_key(pool, url);
        *out = url;
    }
    return error;
}

const char *ch_redis_url_name(const ch_redis_url_t *url)
{
    return url->name;
}

int ch_redis_url_same(const ch_redis_url_t *a, const ch_redis_url_t *b)
{
    return a->key == b->key;
}
