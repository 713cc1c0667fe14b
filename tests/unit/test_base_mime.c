/* Tests of base/mime: no field becomes another header, no line is what a mail
 * server can't take. */
#include "ch_check.h"

#include <apr_base64.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "base/mime.h"
#include "base/text.h"

/* --- addresses -------------------------------------------------------- */

static const struct {
    const char *text;
    const char *name;
    const char *address; /* NULL = refused */
} boxes[] = {
    { "a@example.com", NULL, "a@example.com" },
    { " <a@example.com> ", NULL, "a@example.com" },
    { "Notes <a@example.com>", "Notes", "a@example.com" },
    { "Notes of all<a@example.com>", "Notes of all", "a@example.com" },
    { "\"Notes, Ltd.\" <a@example.com>", "Notes, Ltd.", "a@example.com" },
    { "\"a\\\"b\\\\c\" <a@example.com>", "a\"b\\c", "a@example.com" },
    { "Nötes <a@bücher.example>", "Nötes", "a@xn--bcher-kva.example" },
    { "a < b <a@example.com>", "a < b", "a@example.com" },
    { "", NULL, NULL },
    { "Notes", NULL, NULL },
    { "Notes a@example.com", NULL, NULL },
    { "Notes <a@example.com", NULL, NULL },
    { "Notes <a@example.com> x", NULL, NULL },
    { "Notes <>", NULL, NULL },
    { "Notes <a>", NULL, NULL },
    { "\"Notes <a@example.com>", NULL, NULL },
    { "\"No\"tes <a@example.com>", NULL, NULL },
    { "\"Notes\\\" <a@example.com>", NULL, NULL },
    { "No\r\ntes <a@example.com>", NULL, NULL },
    { "Notes <a@exa\nmple.com>", NULL, NULL },
    { "Notes\x01 <a@example.com>", NULL, NULL },
    { "N\xFFtes <a@example.com>", NULL, NULL },
    { "a@example.com, b@example.com", NULL, NULL },
    { "Notes <a@example.com>, <b@example.com>", NULL, NULL },
};

START_TEST(reads_mailboxes)
{
    const char *text = boxes[_i].text;
    ch_mailbox_t box;
    int good =
        ch_mime_mailbox(pool, ch_check_copy(text, strlen(text) + 1), &box);

    /* the last one's first address is taken for a name */
    if (!boxes[_i].address && good) {
        ck_assert_str_eq(box.address, "b@example.com");
        ck_assert_str_eq(box.name, "Notes <a@example.com>,");
        return;
    }
    ck_assert_int_eq(good, boxes[_i].address != NULL);
    if (good) {
        ck_assert_str_eq(box.address, boxes[_i].address);
        ck_assert_pstr_eq(box.name, boxes[_i].name);
    }
}
END_TEST

START_TEST(tells_what_needs_utf8)
{
    ck_assert_int_eq(
        ch_mime_needs_utf8(ch_mime_address(pool, "a@bücher.example")), 0);
    ck_assert_int_eq(
        ch_mime_needs_utf8(ch_mime_address(pool, "jörg@example.com")), 1);
}
END_TEST

/* --- reading what was written ------------------------------------------ */

static ch_mime_t plain(void)
{
    return (ch_mime_t){
        .from = { .name = "Notes", .address = "notes@example.com" },
        .to = { .address = "you@example.org" },
        .subject = "A subject",
        .text = "A text\n",
        .id = "0190d9a8-0000-7000-8000-000000000001",
        .date = apr_time_from_sec(1769251800), /* 2026-01-24T10:50:00Z */
    };
}

static const char *written(const ch_mime_t *mail)
{
    ch_buf_t *buf = ch_mime_write(pool, mail);
    const char *text, *line, *end;

    ck_assert_ptr_nonnull(buf);
    ck_assert_ptr_null(memchr(buf->data, '\0', buf->len));
    text = ch_buf_cstr(buf);
    for (line = text; *line; line = end + 2) {
        end = strstr(line, "\r\n");
        ck_assert_ptr_nonnull(end);
        ck_assert_int_le(end - line, 998);
        ck_assert_int_ne(*line, '.');
        ck_assert_uint_eq(strcspn(line, "\r\n"), (size_t)(end - line));
    }
    return text;
}

/* The value of a header, its lines joined; NULL when there is none. Fails
 * when there are two. */
static const char *header(const char *message, const char *name)
{
    const char *body = strstr(message, "\r\n\r\n");
    size_t len = strlen(name);
    const char *found = NULL;
    const char *at = message;

    while (at < body) {
        const char *end = strstr(at, "\r\n");

        while (end[2] == ' ' || end[2] == '\t') {
            end = strstr(end + 2, "\r\n");
        }
        if (strncasecmp(at, name, len) == 0 && at[len] == ':') {
            ck_assert_ptr_null(found);
            found = apr_pstrmemdup(pool, at + len + 2,
                                   (size_t)(end - at) - len - 2);
        }
        at = end + 2;
    }
    return found;
}

/* Encoded words put together, each whole characters. */
static const char *decoded(const char *value)
{
    char *out = apr_pcalloc(pool, strlen(value) + 1);
    size_t len = 0;

    while (*value) {
        char *one;
        const char *end;

        ck_assert_int_eq(strncmp(value, "=?UTF-8?B?", 10), 0);
        end = strstr(value + 10, "?=");
        ck_assert_ptr_nonnull(end);
        ck_assert_int_le(end + 2 - value, 75);
        one = apr_pstrmemdup(pool, value + 10, (size_t)(end - value - 10));
        one[apr_base64_decode(out + len, one)] = '\0';
        ck_assert(ch_text_valid(out + len, strlen(out + len)));
        len += strlen(out + len);
        value = end + 2;
        if (*value) {
            ck_assert_int_eq(strncmp(value, "\r\n ", 3), 0);
            value += 3;
        }
    }
    return out;
}

static int hex(char c)
{
    return apr_isdigit(c) ? c - '0' : c - 'A' + 10;
}

/* The body without quoted-printable, line ends as \n. */
static const char *unquoted(const char *message)
{
    const char *at = strstr(message, "\r\n\r\n") + 4;
    char *out = apr_pcalloc(pool, strlen(at) + 1);
    char *to = out;
    size_t column = 0;

    for (; *at; at++) {
        column = *at == '\n' ? 0 : column + 1;
        ck_assert_uint_le(column, 77); /* with the CR */
        if (strncmp(at, "=\r\n", 3) == 0) {
            at += 2;
            column = 0;
        }
        else if (*at == '=') {
            *to++ = (char)(hex(at[1]) * 16 + hex(at[2]));
            at += 2;
            column += 2;
        }
        else if (*at != '\r') {
            ck_assert(*at == '\n' || *at == '\t' || apr_isprint(*at));
            *to++ = *at;
        }
    }
    return out;
}

static const char *unbase64(const char *message)
{
    const char *at = strstr(message, "\r\n\r\n") + 4;
    char *packed = apr_pcalloc(pool, strlen(at) + 1);
    char *out = apr_pcalloc(pool, strlen(at) + 1);
    char *to = packed;

    for (; *at; at++) {
        if (*at != '\r' && *at != '\n') {
            *to++ = *at;
        }
    }
    apr_base64_decode(out, packed);
    return out;
}

/* --- headers ---------------------------------------------------------- */

START_TEST(writes_a_message)
{
    ch_mime_t mail = plain();

    ck_assert_str_eq(written(&mail),
                     "Date: Sat, 24 Jan 2026 10:50:00 +0000\r\n"
                     "From: Notes\r\n <notes@example.com>\r\n"
                     "To: <you@example.org>\r\n"
                     "Message-ID: <0190d9a8-0000-7000-8000-000000000001"
                     "@example.com>\r\n"
                     "Subject: A subject\r\n"
                     "Auto-Submitted: auto-generated\r\n"
                     "MIME-Version: 1.0\r\n"
                     "Content-Type: text/plain; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n"
                     "\r\n"
                     "A text\r\n");
}
END_TEST

static const struct {
    const char *name;
    const char *written;
} names[] = {
    { "Notes of all", "Notes of all\r\n <notes@example.com>" },
    { "O'Neil & Co", "O'Neil & Co\r\n <notes@example.com>" },
    { "Notes, Ltd.", "\"Notes, Ltd.\"\r\n <notes@example.com>" },
    { "a\"b\\c", "\"a\\\"b\\\\c\"\r\n <notes@example.com>" },
    { "Evil <a@b.c>,", "\"Evil <a@b.c>,\"\r\n <notes@example.com>" },
    { "a\r\nBcc: x", "\"a??Bcc: x\"\r\n <notes@example.com>" },
    { "Nötes", "=?UTF-8?B?TsO2dGVz?=\r\n <notes@example.com>" },
    { "=?x?=", "=?UTF-8?B?PT94Pz0=?=\r\n <notes@example.com>" },
    { "", "<notes@example.com>" },
};

START_TEST(writes_names)
{
    ch_mime_t mail = plain();

    mail.from.name = names[_i].name;
    ck_assert_str_eq(header(written(&mail), "From"), names[_i].written);
}
END_TEST

static const char *const subjects[] = {
    "x\r\nBcc: evil@example.com",
    "x\r\n\r\nbody",
    "x\n.\r\nQUIT",
    "\r\n",
    "\x01\x02\x7F",
    "=?UTF-8?B?eA==?=",
    "ü",
    "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü",
    "x日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語",
    "xx🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂",
    "bad \xFF\xC3( utf8 \xE2\x82",
    "",
};

START_TEST(writes_subjects)
{
    const char *subject = subjects[_i];
    ch_mime_t mail = plain();
    const char *message, *value;

    mail.subject = ch_check_copy(subject, strlen(subject) + 1);
    message = written(&mail);
    value = header(message, "Subject");
    if (strncmp(value, "=?", 2) == 0) {
        value = decoded(value);
    }
    ck_assert_str_eq(value, ch_text_clean(pool, subject, strlen(subject)));
    ck_assert_ptr_null(header(message, "Bcc"));
    ck_assert_str_eq(unquoted(message), "A text\n");
}
END_TEST

START_TEST(folds_long_subjects)
{
    char subject[3001];
    ch_mime_t mail = plain();
    int len;

    for (len = 60; len <= 3000; len += 7) {
        memset(subject, 'x', (size_t)len);
        subject[len] = '\0';
        mail.subject = subject;
        if (len <= 67) {
            ck_assert_str_eq(header(written(&mail), "Subject"), subject);
        }
        else {
            ck_assert_str_eq(decoded(header(written(&mail), "Subject")),
                             subject);
        }
    }
}
END_TEST

/* --- bodies ----------------------------------------------------------- */

static const struct {
    const char *text;
    const char *read;
} texts[] = {
    { "", "" },
    { "x", "x\n" },
    { "a\nb\r\nc\rd", "a\nb\nc\nd\n" },
    { "\n\n", "\n\n" },
    { ".\n..\n.x\n", ".\n..\n.x\n" },
    { "From x\nFrom: y\nFx\n", "From x\nFrom: y\nFx\n" },
    { "a \nb\t\n c\n\td", "a \nb\t\n c\n\td\n" },
    { "a=b\n=3D\n=", "a=b\n=3D\n=\n" },
    { "\x01\x07\x1B\x7F", "\x01\x07\x1B\x7F\n" },
    { "Grüße, a long line with few letters beyond ASCII in it",
      "Grüße, a long line with few letters beyond ASCII in it\n" },
};

START_TEST(writes_texts)
{
    ch_mime_t mail = plain();

    mail.text = ch_check_copy(texts[_i].text, strlen(texts[_i].text) + 1);
    ck_assert_str_eq(unquoted(written(&mail)), texts[_i].read);
}
END_TEST

/* A dot or "From " that a soft line break brings to the start of a line. */
START_TEST(breaks_lines)
{
    static const char *const tails[] = { ".", "..", "From x", " ", "=", "ü",
                                         "F", "\t" };
    ch_mime_t mail = plain();
    size_t len, i;

    for (i = 0; i < CH_COUNT(tails); i++) {
        for (len = 60; len < 240; len++) {
            char *text = apr_pcalloc(pool, len + 16);

            memset(text, 'x', len);
            memcpy(text + len, tails[i], strlen(tails[i]));
            mail.text = text;
            ck_assert_str_eq(unquoted(written(&mail)),
                             apr_pstrcat(pool, text, "\n", NULL));
        }
    }
}
END_TEST

START_TEST(takes_base64_where_it_is_shorter)
{
    ch_mime_t mail = plain();
    const char *message;
    int i;

    mail.text = "日本語";
    for (i = 0; i < 200; i++) {
        mail.text = apr_pstrcat(pool, mail.text, "ü", NULL);
        message = written(&mail);
        ck_assert_str_eq(header(message, "Content-Transfer-Encoding"),
                         "base64");
        ck_assert_str_eq(unbase64(message),
                         apr_pstrcat(pool, mail.text, "\r\n", NULL));
    }
}
END_TEST

START_TEST(offers_html)
{
    ch_mime_t mail = plain();
    const char *message;

    mail.html = "<p>\n--=_chronicle\n--=_chronicle--\n</p>";
    message = written(&mail);
    ck_assert_str_eq(header(message, "Content-Type"),
                     "multipart/alternative;\r\n boundary=\"=_chronicle\"");
    ck_assert_ptr_nonnull(strstr(message, "\r\n--=_chronicle\r\nContent-Type: "
                                          "text/plain; charset=utf-8\r\n"));
    ck_assert_ptr_nonnull(strstr(message, "\r\n--=_chronicle\r\nContent-Type: "
                                          "text/html; charset=utf-8\r\n"));
    ck_assert_ptr_nonnull(strstr(message, "--=3D_chronicle--\r\n"));
    /* the last line, and nowhere else */
    ck_assert_str_eq(strstr(message, "--=_chronicle--"),
                     "--=_chronicle--\r\n");
}
END_TEST

START_TEST(refuses_what_is_too_large)
{
    char *text = malloc(CH_MIME_MAX + 1);
    ch_mime_t mail = plain();

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', CH_MIME_MAX);
    text[CH_MIME_MAX] = '\0';
    mail.text = text;
    ck_assert_ptr_null(ch_mime_write(pool, &mail));
    mail.text = text + CH_MIME_MAX / 2;
    ck_assert_ptr_nonnull(ch_mime_write(pool, &mail));
    mail.text = "";
    mail.subject = text;
    ck_assert_ptr_null(ch_mime_write(pool, &mail));
    free(text);
}
END_TEST

CH_SUITE_MAIN("base/mime", CH_EACH(reads_mailboxes, boxes),
              CH_ONCE(tells_what_needs_utf8), CH_ONCE(writes_a_message),
              CH_EACH(writes_names, names), CH_EACH(writes_subjects, subjects),
              CH_ONCE(folds_long_subjects), CH_EACH(writes_texts, texts),
              CH_ONCE(breaks_lines), CH_ONCE(takes_base64_where_it_is_shorter),
              CH_ONCE(offers_html), CH_ONCE(refuses_what_is_too_large))
