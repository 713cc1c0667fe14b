/* Tests of web/request: headers, cookies in and out. */
#include "ch_request.h"

static const struct {
    const char *header;
    const char *value; /* of the cookie "sid", NULL = none */
} cookies[] = {
    { "sid=abc", "abc" },
    { "a=1; sid=abc; b=2", "abc" },
    { "a=1;sid=abc;b=2", "abc" },
    { "a=1;  \tsid=abc", "abc" },
    { ";;; sid=abc", "abc" },
    { "sid=abc;", "abc" },
    { "sid=a=b==", "a=b==" },
    { "sid=a%20b", "a%20b" },
    { "sid=a,b", "a,b" },
    { "sid=a/b+c", "a/b+c" },
    /* quotes around a value are none of it */
    { "sid=\"abc\"", "abc" },
    { "sid=\"\"", NULL },
    { "sid=\"", "\"" },
    { "sid=\"abc", "\"abc" },
    { "sid=abc\"", "abc\"" },
    { "sid=a\"b\"c", "a\"b\"c" },
    /* the first one counts */
    { "sid=abc; sid=def", "abc" },
    /* empty is absent */
    { "sid=", NULL },
    { "sid=; a=1", NULL },
    /* other names */
    { "", NULL },
    { ";", NULL },
    { "sid", NULL },
    { "sid; a=1", NULL },
    { "=abc", NULL },
    { "a=1", NULL },
    { "si=abc", NULL },
    { "sidx=abc", NULL },
    { "xsid=abc", NULL },
    { "SID=abc", NULL },
    { "sid =abc", NULL },
    { "a=sid=abc", NULL },
    { "a=\"; sid=abc\"", "abc\"" },
    { "sidx=1; xsid=2; sid=3", "3" },
    { "sid-csrf=1; sid=3", "3" },
};

START_TEST(a_cookie)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/");
    const char *header = cookies[_i].header;

    apr_table_setn(rq->in, "Cookie",
                   ch_check_copy(header, strlen(header) + 1));
    ck_assert_pstr_eq(ch_req_cookie(rq, "sid"), cookies[_i].value);
}
END_TEST

START_TEST(no_cookie)
{
    ck_assert_ptr_null(ch_req_cookie(ch_request_make(CH_GET, "/"), "sid"));
}
END_TEST

START_TEST(cookies_are_copied)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/");
    char header[] = "sid=abc";
    const char *value;

    apr_table_setn(rq->in, "Cookie", header);
    value = ch_req_cookie(rq, "sid");
    memset(header, 'x', sizeof(header) - 1);
    ck_assert_str_eq(value, "abc");
}
END_TEST

START_TEST(sets_cookies)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/");
    const apr_array_header_t *all;

    ch_req_set_cookie(rq, "a", "1", 60, 1);
    ch_req_set_cookie(rq, "b", "", 0, 0);
    rq->tls = 1;
    ch_req_set_cookie(rq, "c", "3", 60, 1);
    ch_req_set_cookie(rq, "d", "4", 60, 0);
    all = apr_table_elts(rq->out);
    ck_assert_int_eq(all->nelts, 4);
#define LINE(i) APR_ARRAY_IDX(all, i, apr_table_entry_t)
    ck_assert_str_eq(LINE(0).key, "Set-Cookie");
    ck_assert_str_eq(LINE(0).val,
                     "a=1; Path=/; Max-Age=60; SameSite=Lax; HttpOnly");
    ck_assert_str_eq(LINE(1).val, "b=; Path=/; Max-Age=0; SameSite=Lax");
    ck_assert_str_eq(
        LINE(2).val,
        "c=3; Path=/; Max-Age=60; SameSite=Lax; HttpOnly; Secure");
    ck_assert_str_eq(LINE(3).val,
                     "d=4; Path=/; Max-Age=60; SameSite=Lax; Secure");
}
END_TEST

START_TEST(headers_in_any_case)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/");

    ck_assert_ptr_null(ch_req_header(rq, "If-Match"));
    ch_request_header(rq, "if-match", "*");
    ck_assert_str_eq(ch_req_header(rq, "If-Match"), "*");
}
END_TEST

START_TEST(frontend)
{
    ch_req_t *rq = ch_request_make(CH_GET, "/");

    ck_assert_str_eq(ch_req_frontend_url(rq), "https://own.example");
    conf->frontend_url = "https://app.example";
    ck_assert_str_eq(ch_req_frontend_url(rq), "https://app.example");
}
END_TEST

CH_SUITE_MAIN("web/request", CH_EACH(a_cookie, cookies), CH_ONCE(no_cookie),
              CH_ONCE(cookies_are_copied), CH_ONCE(sets_cookies),
              CH_ONCE(headers_in_any_case), CH_ONCE(frontend))
