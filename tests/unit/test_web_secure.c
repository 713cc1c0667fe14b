/* Tests of web/secure: what looks like an attack is refused and told of,
 * however it is written; what people write is not. */
#include "ch_request.h"

#include "store/counter.h"

static ch_req_t *arrive(const char *path, const char *args)
{
    ch_req_t *rq =
        ch_request_make(CH_GET, ch_check_copy(path, strlen(path) + 1));

    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
    rq->args = args ? ch_check_copy(args, strlen(args) + 1) : NULL;
    return rq;
}

static void ck_refused(ch_req_t *rq, const char *pattern)
{
    ck_assert_str_eq(ch_code_of(ch_secure_stage(rq)), "SECURITY_VIOLATION");
    ck_assert_int_eq(server.events, 1);
    ck_assert_str_eq(server.type, "pattern");
    ck_assert_str_eq(server.pattern, pattern);
    ck_assert_int_eq(server.securities, 1);
    ck_assert_str_eq(server.security,
                     apr_pstrcat(pool, "pattern: ", pattern, NULL));
    ck_assert_int_eq(server.logs, 1);
    ck_assert_int_eq(server.level, 'w');
    ck_assert_int_eq(server.number, 1002);
    ck_assert_ptr_nonnull(strstr(server.log, pattern));
    ck_assert_uint_eq(ch_counter_read()->security[CH_SECURITY_PATTERN], 1);
}

static void ck_passed(ch_req_t *rq)
{
    ck_assert_ptr_null(ch_secure_stage(rq));
    ck_assert_int_eq(server.events, 0);
    ck_assert_int_eq(server.securities, 0);
    ck_assert_int_eq(server.logs, 0);
    ck_assert_uint_eq(ch_counter_read()->security[CH_SECURITY_PATTERN], 0);
}

#define CONTROL "control character"

/* Text as it comes over the wire, for a path and for a value alike. */
static const struct {
    const char *text;
    const char *pattern;
} attacks[] = {
    { "../", "../" },
    { "a/../b", "../" },
    { "%2e%2E%2f", "../" },
    { "..%2F", "../" },
    { ".%2e/", "../" },
    { "..\\", "..\\" },
    { "..%5c", "..\\" },
    { "x..%5Cy", "..\\" },
    { "<script", "<script" },
    { "%3Cscript%3E", "<script" },
    { "<ScRiPt>", "<script" },
    { "%3c%53%43%52%49%50%54", "<script" },
    { "javascript:", "javascript:" },
    { "JavaScript%3Aalert(1)", "javascript:" },
    { "xjavascript:y", "javascript:" },
    { "${jndi:", "${jndi:" },
    { "%24%7BJNDI%3aldap", "${jndi:" },
    { "union%20select", "union select" },
    { "UNION%20SELECT%20*", "union select" },
    { "a%27%20Union%20Select", "union select" },
    { "/etc/passwd", "/etc/passwd" },
    { "%2Fetc%2Fpasswd", "/etc/passwd" },
    { "x/ETC/Passwd.txt", "/etc/passwd" },
    { "x;--", ";--" },
    { "%3B%2D%2D", ";--" },
    { "1;--%20x", ";--" },
    /* control characters, NUL among them */
    { "%00", CONTROL },
    { "a%00b", CONTROL },
    { "%01", CONTROL },
    { "%0a", CONTROL },
    { "a%0D%0Ab", CONTROL },
    { "%09", CONTROL },
    { "%1F", CONTROL },
    { "%7f", CONTROL },
    /* bytes that are not UTF-8 hide nothing */
    { "%FF%00", CONTROL },
    { "%FF<script", "<script" },
    { "%C3../", "../" },
    { "%zz%00", CONTROL },
    { "%<script", "<script" },
    { "%z../", "../" },
    { "%1;--", ";--" },
};

START_TEST(in_the_path)
{
    const char *path = apr_pstrcat(pool, "/api/v1/x/", attacks[_i].text, NULL);

    ck_refused(arrive(path, NULL), attacks[_i].pattern);
}
END_TEST

START_TEST(in_a_value)
{
    const char *one = apr_pstrcat(pool, "a=", attacks[_i].text, NULL);
    const char *last =
        apr_pstrcat(pool, "x=1&&q=y&b&a=", attacks[_i].text, NULL);
    const char *first = apr_pstrcat(pool, "a=", attacks[_i].text, "&b", NULL);

    ck_refused(arrive("/api/v1/x", one), attacks[_i].pattern);
    ck_refused(arrive("/api/v1/x", last), attacks[_i].pattern);
    ck_refused(arrive("/api/v1/x", first), attacks[_i].pattern);
}
END_TEST

/* People search for what they like. */
START_TEST(not_in_a_search)
{
    static const char *const names[] = { "q", "search", "%71", "se%61rch" };
    size_t i;

    for (i = 0; i < CH_COUNT(names); i++) {
        const char *args =
            apr_pstrcat(pool, names[i], "=", attacks[_i].text, "&page=1&",
                        names[i], "=", attacks[_i].text, NULL);

        ck_passed(arrive("/api/v1/x", args));
    }
}
END_TEST

static const struct {
    const char *path;
    const char *args;
} harmless[] = {
    { "/", NULL },
    { "/api/v1/notes", "" },
    { "/api/v1/notes", "page=1&limit=20&sortBy=updatedAt" },
    { "/api/v1/notes/..", NULL },
    { "/api/v1/notes/...", "a=..&b=..." },
    { "/api/v1/./x", "a=./b" },
    { "/api/v1/x", "a=%2e%2e" },
    /* decoded once */
    { "/api/v1/%252e%252e%252f", "a=%252e%252e%252f&b=%2500&c=%253Cscript" },
    { "/api/v1/x", "a=script&b=%3Cb%3E&c=%3C+script" },
    { "/api/v1/javascript", "a=javascript&b=java:script" },
    { "/api/v1/x", "a=%24%7Bx%7D&b=jndi:x" },
    { "/api/v1/union/select", "a=unionselect&b=union%20%20select&c=select" },
    /* a plus is a space in a query only */
    { "/api/v1/union+select", NULL },
    { "/etc/passw", "a=etc/passwd&b=/etc%20/passwd" },
    { "/api/v1/x", "a=;-&b=;%20--&c=--;" },
    { "/api/v1/x", "a=%E2%82%AC%20%F0%9F%98%80&b=%C2%80" },
    { "/api/v1/x", "a=%FF&b=%zz&c=%" },
    { "/api/v1/x", "&&=&a&" },
    /* names are not tested, they are refused as unknown */
    { "/api/v1/x", "<script=1" },
};

START_TEST(passes)
{
    ck_passed(arrive(harmless[_i].path, harmless[_i].args));
}
END_TEST

/* Only these two names, exactly. */
static const char *const almost[] = {
    "%51=<script", "q%00=<script",     "%2571=<script", "Q=<script",
    "qq=<script",  "SEARCH=<script",   "searc=<script", "searchh=<script",
    "=<script",    "search[]=<script", "x=q=<script",
};

START_TEST(names_of_searches_are_exact)
{
    ck_refused(arrive("/api/v1/x", almost[_i]), "<script");
}
END_TEST

START_TEST(a_plus_is_a_space)
{
    ck_refused(arrive("/api/v1/x", "a=union+select"), "union select");
    ck_refused(arrive("/api/v1/x", "a=UNION%20+x&b=Union+Select"),
               "union select");
}
END_TEST

/* The path is told before the query. */
START_TEST(one_event_for_one_request)
{
    ck_refused(arrive("/api/v1/<script", "a=../&b=;--"), "<script");
}
END_TEST

/* The server took the dots out of the path: what counts is what was sent. */
START_TEST(as_it_was_sent)
{
    ch_req_t *rq = arrive("/api/v1/notes", NULL);

    rq->sent_path = "/api/v1/x/../notes";
    ck_refused(rq, "../");
}
END_TEST

START_TEST(long_texts)
{
    char *args = apr_palloc(pool, 8000);

    memset(args, '.', 7999);
    args[7999] = '\0';
    memcpy(args, "a=", 2);
    ck_passed(arrive("/api/v1/x", args));
    memcpy(args + 7990, "${JnDi:..", 9);
    ck_refused(arrive("/api/v1/x", args), "${jndi:");
}
END_TEST

CH_SUITE_MAIN("web/secure", CH_EACH(in_the_path, attacks),
              CH_EACH(in_a_value, attacks), CH_EACH(not_in_a_search, attacks),
              CH_EACH(passes, harmless),
              CH_EACH(names_of_searches_are_exact, almost),
              CH_ONCE(a_plus_is_a_space), CH_ONCE(one_event_for_one_request),
              CH_ONCE(as_it_was_sent), CH_ONCE(long_texts))
