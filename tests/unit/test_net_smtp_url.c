/* Tests of net/smtp_url: where mail goes, and whom with. */
#include "ch_check.h"

#include "net/smtp.h"

static const struct {
    const char *url;
    ch_smtp_t server;
} good[] = {
    { "smtp://mail.example.com", { .host = "mail.example.com", .port = 587 } },
    { "SMTP://mail.example.com/",
      { .host = "mail.example.com", .port = 587 } },
    { "smtp://mail:25", { .host = "mail", .port = 25 } },
    { "smtps://mail",
      { .host = "mail", .port = 465, .tls = CH_SMTP_TLS_IMPLICIT } },
    { "smtps://u:p@mail:2465",
      { .host = "mail",
        .port = 2465,
        .user = "u",
        .password = "p",
        .tls = CH_SMTP_TLS_IMPLICIT } },
    { "smtp://u:p@mail",
      { .host = "mail",
        .port = 587,
        .user = "u",
        .password = "p",
        .tls = CH_SMTP_TLS_REQUIRED } },
    { "smtp://u:p@mail?tls=none",
      { .host = "mail",
        .port = 587,
        .user = "u",
        .password = "p",
        .tls = CH_SMTP_TLS_NONE } },
    { "smtp://mail?TLS=Required",
      { .host = "mail", .port = 587, .tls = CH_SMTP_TLS_REQUIRED } },
    { "smtp://u:p@localhost:25",
      { .host = "localhost",
        .port = 25,
        .user = "u",
        .password = "p",
        .local = 1 } },
    { "smtp://u:p@127.0.0.2",
      { .host = "127.0.0.2",
        .port = 587,
        .user = "u",
        .password = "p",
        .local = 1 } },
    { "smtp://u:p@127.0.0.1.example.com",
      { .host = "127.0.0.1.example.com",
        .port = 587,
        .user = "u",
        .password = "p",
        .tls = CH_SMTP_TLS_REQUIRED } },
    { "smtp://[::1]:2525", { .host = "::1", .port = 2525, .local = 1 } },
    { "smtp://[2001:db8::1]", { .host = "2001:db8::1", .port = 587 } },
    { "smtp://n%40me:p%3A%2F%40%3F%25@mail",
      { .host = "mail",
        .port = 587,
        .user = "n@me",
        .password = "p:/@?%",
        .tls = CH_SMTP_TLS_REQUIRED } },
    { "smtp://n@me:p:@w@mail",
      { .host = "mail",
        .port = 587,
        .user = "n@me",
        .password = "p:@w",
        .tls = CH_SMTP_TLS_REQUIRED } },
    { "smtp://u:@mail",
      { .host = "mail",
        .port = 587,
        .user = "u",
        .password = "",
        .tls = CH_SMTP_TLS_REQUIRED } },
    { "smtp://mail?ca=/etc/hosts&tls=required",
      { .host = "mail",
        .port = 587,
        .tls = CH_SMTP_TLS_REQUIRED,
        .ca = "/etc/hosts" } },
    { "smtps://mail?ca=%2Fetc%2Fhosts",
      { .host = "mail",
        .port = 465,
        .tls = CH_SMTP_TLS_IMPLICIT,
        .ca = "/etc/hosts" } },
};

static void same(const ch_smtp_t *got, const ch_smtp_t *wanted)
{
    ck_assert_str_eq(got->host, wanted->host);
    ck_assert_int_eq(got->port, wanted->port);
    ck_assert_pstr_eq(got->user, wanted->user);
    ck_assert_pstr_eq(got->password, wanted->password);
    ck_assert_int_eq(got->tls, wanted->tls);
    ck_assert_pstr_eq(got->ca, wanted->ca);
    ck_assert_int_eq(got->local, wanted->local);
}

START_TEST(reads_urls)
{
    const char *url = good[_i].url;
    const ch_smtp_t *server;

    ck_assert_pstr_eq(
        ch_smtp_parse(pool, ch_check_copy(url, strlen(url) + 1), &server),
        NULL);
    same(server, &good[_i].server);
}
END_TEST

static const char *const bad[] = {
    "",
    "mail",
    "http://mail",
    "smtp:mail",
    "smtp:/mail",
    "smtp://",
    "smtp://?tls=none",
    "smtp://u:s3cret@",
    "smtp://s3cret@mail",
    "smtp://:s3cret@mail",
    "smtp://u:s3cret%@mail",
    "smtp://u:s3cret%zz@mail",
    "smtp://u:s3cret%00x@mail",
    "smtp://u:s3cret%0d%0aMAIL@mail",
    "smtp://u%0a:s3cret@mail",
    "smtp://mail:0",
    "smtp://mail:65536",
    "smtp://mail:x",
    "smtp://mail:",
    "smtp://mail:25:25",
    "smtp://mail:99999999999999999999",
    "smtp://ma il",
    "smtp://mail\r\n",
    "smtp://mail/path",
    "smtp://mail#x",
    "smtp://-mail",
    "smtp://.mail",
    "smtp://m\xC3\xA4il",
    "smtp://[::1",
    "smtp://[::1]x",
    "smtp://[mail]",
    "smtp://[]",
    "smtp://mail?tls",
    "smtp://mail?tls=",
    "smtp://mail?tls=maybe",
    "smtp://mail?verify=no",
    "smtps://mail?tls=required",
    "smtps://mail?tls=none",
    "smtp://mail?ca=",
    "smtp://mail?ca=relative.pem",
    "smtp://mail?ca=/nonexistent.pem",
    "smtp://mail?ca=/etc/%zz",
    "smtp://mail?tls=none&ca=/etc/hosts",
};

START_TEST(refuses_others)
{
    const ch_smtp_t *server;
    const char *error = ch_smtp_parse(
        pool, ch_check_copy(bad[_i], strlen(bad[_i]) + 1), &server);

    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_null(strstr(error, "s3cret"));
}
END_TEST

START_TEST(takes_parts)
{
    static const struct {
        ch_smtp_t parts;
        const char *port;
        ch_smtp_t server;
    } rows[] = {
        { { .host = "mail" }, NULL, { .host = "mail", .port = 587 } },
        { { .host = "mail" }, "465",
          { .host = "mail", .port = 465, .tls = CH_SMTP_TLS_IMPLICIT } },
        { { .host = "mail", .user = "u", .password = "p@%41" }, "25",
          { .host = "mail", .port = 25, .user = "u", .password = "p@%41",
            .tls = CH_SMTP_TLS_REQUIRED } },
        { { .host = "::1" }, "25", { .host = "::1", .port = 25, .local = 1 } },
    };
    const ch_smtp_t *server;
    size_t i;

    for (i = 0; i < CH_COUNT(rows); i++) {
        ck_assert_pstr_eq(ch_smtp_from_parts(pool, &rows[i].parts,
                                             rows[i].port, &server),
                          NULL);
        same(server, &rows[i].server);
    }
}
END_TEST

START_TEST(refuses_parts)
{
    static const struct {
        ch_smtp_t parts;
        const char *port;
    } rows[] = {
        { { .host = "" }, NULL },
        { { .host = "a b" }, NULL },
        { { .host = "mail:25" }, NULL },
        { { .host = "mail" }, "0" },
        { { .host = "mail" }, "25x" },
        { { .host = "mail", .user = "u" }, NULL },
        { { .host = "mail", .user = "u\n", .password = "p" }, NULL },
    };
    const ch_smtp_t *server;
    size_t i;

    for (i = 0; i < CH_COUNT(rows); i++) {
        ck_assert_ptr_nonnull(ch_smtp_from_parts(pool, &rows[i].parts,
                                                 rows[i].port, &server));
    }
}
END_TEST

CH_SUITE_MAIN("net/smtp_url", CH_EACH(reads_urls, good),
              CH_EACH(refuses_others, bad), CH_ONCE(takes_parts),
              CH_ONCE(refuses_parts))
