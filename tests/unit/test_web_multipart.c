/* Tests of web/multipart: the same parts however the body is cut. */
#include "ch_check.h"

#include <apr_strings.h>

#include "base/buf.h"
#include "web/multipart.h"

/* What was told: "name/filename/media:data;" of each part. */
typedef struct {
    ch_buf_t *told;
    int open;
    const char *fail_at; /* "begin", "data", "end" or NULL */
} seen_t;

static ch_err_t *stop(const seen_t *seen, const char *what)
{
    return seen->fail_at && strcmp(seen->fail_at, what) == 0
               ? ch_err_make(pool, CH_E_CONFLICT, "enough")
               : NULL;
}

static ch_err_t *begin(void *ctx, const ch_part_t *part)
{
    seen_t *seen = ctx;

    ck_assert_int_eq(seen->open++, 0);
    ch_buf_printf(seen->told, "%s/%s/%s:", part->name,
                  part->filename ? part->filename : "-", part->media);
    return stop(seen, "begin");
}

static ch_err_t *data(void *ctx, const char *text, size_t len)
{
    seen_t *seen = ctx;

    ck_assert_int_eq(seen->open, 1);
    ck_assert_uint_gt(len, 0);
    ch_buf_add(seen->told, text, len);
    return stop(seen, "data");
}

static ch_err_t *end(void *ctx)
{
    seen_t *seen = ctx;

    ck_assert_int_eq(seen->open--, 1);
    ch_buf_putc(seen->told, ';');
    return stop(seen, "end");
}

static const ch_part_taker_t taker = { begin, data, end };

static seen_t make_seen(void)
{
    return (seen_t){ .told = ch_buf_make(pool, 256, 1u << 24) };
}

static ch_multipart_t *make_form(const char *type, seen_t *seen)
{
    ch_multipart_t *form;

    ck_assert_ptr_null(ch_multipart_make(pool, type, &taker, seen, &form));
    return form;
}

/* "!" is put behind what was told when it ended in a fault. */
static const char *told(const char *body, size_t len, const size_t *cuts,
                        size_t count)
{
    seen_t seen = make_seen();
    ch_multipart_t *form =
        make_form("multipart/form-data; boundary=b", &seen);
    ch_err_t *err = NULL;
    size_t at = 0, i;

    for (i = 0; i <= count && !err; i++) {
        size_t to = i < count ? cuts[i] : len;

        err = ch_multipart_feed(form, ch_check_copy(body + at, to - at),
                                to - at);
        at = to;
    }
    if (err) {
        ck_assert_ptr_eq(ch_multipart_feed(form, "x", 1), err);
        ck_assert_ptr_eq(ch_multipart_end(form), err);
    }
    err = ch_multipart_end(form);
    if (err) {
        ck_assert_int_eq(err->code, CH_E_VALIDATION_ERROR);
        ck_assert_int_eq(strncmp(err->message, "multipart/form-data: ", 21),
                         0);
        ch_buf_putc(seen.told, '!');
    }
    return ch_buf_cstr(seen.told);
}

#define CD "Content-Disposition: form-data; "
#define A "--b\r\n" CD "name=a\r\n\r\n"
#define END "\r\n--b--\r\n"

static const struct {
    const char *body;
    const char *told;
} bodies[] = {
    { "--b--", "" },
    { "--b--\r\nepilogue --b\r\n--b\r\n", "" },
    { "preamble\r\n--b--", "" },
    { "--c\r\n\r\n--b--", "" },
    { A "1" END, "a/-/:1;" },
    { A END, "a/-/:;" },
    { A "\r\n" END, "a/-/:\r\n;" },
    { A "\r\r\n-\r\n--\r\n--a--b" END, "a/-/:\r\r\n-\r\n--\r\n--a--b;" },
    { A "\r\n--\r\r\n-\r" END, "a/-/:\r\n--\r\r\n-\r;" },
    { A "x--b--\n--b\r\r\n--a" END, "a/-/:x--b--\n--b\r\r\n--a;" },
    { A "1\r\n--b \t\r\n" CD "name=\"b c\"\r\n\r\n2" END,
      "a/-/:1;b c/-/:2;" },
    { "pre\r\n" A "1\r\n" A "2" END, "a/-/:1;a/-/:2;" },
    { "--b\r\ncontent-TYPE: text/plain; charset=x \r\nX-Y: z\r\n"
      "content-disposition:FORM-DATA;NAME=\"f\" ; FileName=\"x.json\"\r\n"
      "Content-Transfer-Encoding: binary\r\n\r\n{}" END,
      "f/x.json/text/plain; charset=x:{};" },
    { "--b\r\n" CD "filename=\"C:\\dir\\a%22b%0D\\\"\\\\.zip\"; name=f; "
      "filename*=UTF-8''other\r\n\r\n" END,
      "f/.zip/:;" },
    { "--b\r\n" CD "filename=\"../a%22b%0a\\\"%41.zip\"; name=f\r\n\r\n" END,
      "f/a\"b_\"%41.zip/:;" },
    { "--b\r\n" CD "filename=\"\"; name=f\r\n\r\n" END, "f//:;" },
    { "--b\r\n" CD "name=\"\xc3\xa4;=\"\r\n\r\n" END,
      "\xc3\xa4;=/-/:;" },
    /* faults */
    { "", "!" },
    { "no part", "!" },
    { "--b", "!" },
    { "--b-", "!" },
    { "--b-x", "!" },
    { "--bb\r\n\r\n", "!" },
    { "--b\r\n", "!" },
    { "--b\n" CD "name=a\n\n1\n--b--", "!" },
    { "--b\r\n\r\n1" END, "!" },
    { "--b\r\nContent-Type: x\r\n\r\n1" END, "!" },
    { A "1", "a/-/:1!" },
    { A "1\r\n--b", "a/-/:1;!" },
    { A "1\r\n--b\r", "a/-/:1;!" },
    { A "1\r\n--bx", "a/-/:1;!" },
    { "--b\r\n" CD "filename=x\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=\"\"\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=\"a\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=\"a%0A\"\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=\"\xff\"\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a; filename=\xff\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a; name=b\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a x\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name\r\n\r\n1" END, "!" },
    { "--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a\r\n" CD "name=b\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a\r\n x\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a\r\nx\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a\r\n: x\r\n\r\n1" END, "!" },
    { "--b\r\n" CD "name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n1" END,
      "!" },
    { "--b\r\n" CD "name=a\r\nContent-Type: \xc3\xa4\r\n\r\n1" END, "!" },
};

START_TEST(is_taken_apart)
{
    const char *body = bodies[_i].body;
    size_t len = strlen(body);
    size_t each[256];
    size_t i, k;

    ck_assert_str_eq(told(body, len, NULL, 0), bodies[_i].told);
    for (i = 0; i <= len; i++) {
        for (k = i; k <= len && k < i + 12; k++) {
            const size_t cuts[] = { i, k };

            ck_assert_str_eq(told(body, len, cuts, 2), bodies[_i].told);
        }
        each[i] = i;
    }
    ck_assert_str_eq(told(body, len, each, len), bodies[_i].told);
}
END_TEST

#define LONG70                                                                \
    "1234567890123456789012345678901234567890123456789012345678901234567890"

static const struct {
    const char *type;
    const char *boundary; /* NULL = a fault */
} types[] = {
    { "multipart/form-data; boundary=abc", "abc" },
    { "Multipart/Form-Data;BOUNDARY=\"a b:c\"", "a b:c" },
    { "multipart/form-data ; charset=utf-8 ; boundary=a=b", "a=b" },
    { "multipart/form-data; charset=utf-8; boundary=\"'()+_,-./:=?\"",
      "'()+_,-./:=?" },
    { "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
      "----WebKitFormBoundary7MA4YWxkTrZu0gW" },
    { "multipart/form-data; boundary=" LONG70, LONG70 },
    { "multipart/form-data; boundary=" LONG70 "1", NULL },
    { "multipart/form-data", NULL },
    { "multipart/form-data;", NULL },
    { "multipart/form-data; boundary", NULL },
    { "multipart/form-data; boundary=", NULL },
    { "multipart/form-data; boundary=\"\"", NULL },
    { "multipart/form-data; boundary=\"a ", NULL },
    { "multipart/form-data; boundary=\"a \"", NULL },
    { "multipart/form-data; boundary=a; boundary=b", NULL },
    { "multipart/form-data; boundary=a*b", NULL },
    { "multipart/form-data; boundary=\"a%22\"", NULL },
    { "multipart/form-data; boundary=\xc3\xa4", NULL },
    { "multipart/form-data; boundary=a b", NULL },
};

START_TEST(boundaries)
{
    seen_t seen = make_seen();
    const char *want = types[_i].boundary;
    const char *body;
    ch_multipart_t *form;
    ch_err_t *err =
        ch_multipart_make(pool, types[_i].type, &taker, &seen, &form);

    ck_assert(ch_multipart_is(types[_i].type));
    if (!want) {
        ck_assert_int_eq(err->code, CH_E_VALIDATION_ERROR);
        ck_assert_ptr_eq(ch_multipart_feed(form, "--", 2), err);
        return;
    }
    ck_assert_ptr_null(err);
    body = apr_psprintf(pool, "--%s\r\n" CD "name=a\r\n\r\n1\r\n--%s--",
                        want, want);
    ck_assert_ptr_null(ch_multipart_feed(form, body, strlen(body)));
    ck_assert_ptr_null(ch_multipart_end(form));
    ck_assert_str_eq(ch_buf_cstr(seen.told), "a/-/:1;");
}
END_TEST

START_TEST(other_types)
{
    ck_assert(!ch_multipart_is("application/json"));
    ck_assert(!ch_multipart_is("multipart/form-dat"));
    ck_assert(!ch_multipart_is("multipart/form-data2; boundary=a"));
    ck_assert(!ch_multipart_is("multipart/mixed; boundary=a"));
    ck_assert(!ch_multipart_is(""));
}
END_TEST

START_TEST(headers_have_an_end)
{
    ch_buf_t *body = ch_buf_make(pool, 16384, 16384);
    size_t head;

    ch_buf_puts(body, "--b\r\n" CD "name=a\r\nX: ");
    head = body->len - 5;
    while (head + 4 < 8192) {
        ch_buf_putc(body, 'x');
        head++;
    }
    ch_buf_puts(body, "\r\n\r\n");
    ck_assert_str_eq(told(body->data, body->len, NULL, 0), "a/-/:!");
    body->len -= 4;
    ch_buf_puts(body, "x\r\n\r\n");
    ck_assert_str_eq(told(body->data, body->len, NULL, 0), "!");
}
END_TEST

START_TEST(parts_have_an_end)
{
    ch_buf_t *body = ch_buf_make(pool, 4096, 65536);
    int i;

    for (i = 0; i < CH_PARTS_MAX; i++) {
        ch_buf_puts(body, A "\r\n");
    }
    ck_assert_str_eq(
        strchr(told(apr_pstrcat(pool, ch_buf_cstr(body), "--b--", NULL),
                    body->len + 5, NULL, 0),
               '\0')
            - 1,
        ";");
    ch_buf_puts(body, A END);
    ck_assert_str_eq(strchr(told(body->data, body->len, NULL, 0), '\0') - 1,
                     "!");
}
END_TEST

START_TEST(an_error_of_the_taker_ends_it)
{
    static const char *const when[] = { "begin", "data", "end" };
    size_t i;

    for (i = 0; i < CH_COUNT(when); i++) {
        seen_t seen = make_seen();
        ch_multipart_t *form =
            make_form("multipart/form-data; boundary=b", &seen);
        ch_err_t *err;
        size_t len;

        seen.fail_at = when[i];
        err = ch_multipart_feed(form, A "1" END A, strlen(A "1" END A));
        ck_assert_int_eq(err->code, CH_E_CONFLICT);
        len = seen.told->len;
        ck_assert_ptr_eq(ch_multipart_feed(form, A, 5), err);
        ck_assert_ptr_eq(ch_multipart_end(form), err);
        ck_assert_uint_eq(seen.told->len, len);
    }
}
END_TEST

/* Long data full of what the boundary begins with, cut at random. */
START_TEST(random_cuts)
{
    static const char pieces[][8] = { "\r\n", "--", "\r", "b", "\r\n--",
                                      "xyz", "\r\n--c", "\n--b" };
    ch_buf_t *body = ch_buf_make(pool, 8192, 65536);
    ch_buf_t *want = ch_buf_make(pool, 8192, 65536);
    unsigned seed = 99;
    size_t i, k, at;

    ch_buf_puts(want, "a/-/:");
    at = want->len;
    for (i = 0; i < 1000; i++) {
        seed = seed * 1103515245u + 12345u;
        ch_buf_puts(want, pieces[(seed >> 16) % CH_COUNT(pieces)]);
        if (strstr(ch_buf_cstr(want) + (want->len > 12 ? want->len - 12 : 0),
                   "\r\n--b")) {
            ch_buf_putc(want, '.');
            want->data[want->len - 2] = '_';
        }
    }
    ch_buf_puts(body, A);
    ch_buf_add(body, want->data + at, want->len - at);
    ch_buf_puts(body, END);
    ch_buf_putc(want, ';');
    for (k = 0; k < 200; k++) {
        size_t cuts[400];

        at = 0;
        for (i = 0; i < 400; i++) {
            seed = seed * 1103515245u + 12345u;
            at += (seed >> 16) % 16;
            cuts[i] = at < body->len ? at : body->len;
        }
        ck_assert_str_eq(told(body->data, body->len, cuts, 400),
                         ch_buf_cstr(want));
    }
}
END_TEST

CH_SUITE_MAIN("web/multipart", CH_EACH(is_taken_apart, bodies),
              CH_EACH(boundaries, types), CH_ONCE(other_types),
              CH_ONCE(headers_have_an_end), CH_ONCE(parts_have_an_end),
              CH_ONCE(an_error_of_the_taker_ends_it), CH_ONCE(random_cuts))
