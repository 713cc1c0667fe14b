/* Tests of net/smtp_talk: what became of a message, by what was said. */
#include "ch_check.h"

#include "net/smtp_talk.h"

/* Lines of a conversation: "> " is ours, "< " the server's. */
static void hold(ch_smtp_talk_t *talk, const char *lines)
{
    while (*lines) {
        const char *end = strchr(lines, '\n') + 1;
        char line[600];
        size_t len = (size_t)(end - lines) - 3;

        memcpy(line, lines + 2, len);
        memcpy(line + len, "\r\n", 2);
        if (*lines == '>') {
            ch_smtp_talk_said(talk, ch_check_copy(line, len + 2), len + 2);
        }
        else {
            ch_smtp_talk_heard(talk, ch_check_copy(line, len + 2), len + 2);
        }
        lines = end;
    }
}

#define HELLO "< 220 hi\n> EHLO us\n< 250-you\n< 250 SIZE\n"
#define FROM "> MAIL FROM:<a@b.c>\n"
#define TO FROM "< 250 ok\n> RCPT TO:<d@e.f>\n"
#define DATA TO "< 250 ok\n> DATA\n"
#define BODY DATA "< 354 go\n"

static const struct {
    const char *lines;
    int at;
    int reply;
    int accepted;
    int final;
    int broken;
    const char *text;
} cases[] = {
    { "", CH_SMTP_AT_CONNECT, 0, 0, 0, 1, "" },
    { "< 554 no\n", CH_SMTP_AT_CONNECT, 554, 0, 0, 1, "no" },
    { HELLO, CH_SMTP_AT_HELLO, 250, 0, 0, 1, "you SIZE" },
    { HELLO "> AUTH PLAIN\n< 334 \n> AGEAYg==\n< 535 no\n", CH_SMTP_AT_AUTH,
      535, 0, 0, 1, "no" },
    { HELLO FROM "< 550 you?\n", CH_SMTP_AT_MAIL, 550, 0, 0, 1, "you?" },
    { HELLO FROM "< 552 large\n", CH_SMTP_AT_MAIL, 552, 0, 1, 1, "large" },
    { HELLO FROM "< 550 x\n> QUIT\n< 221 bye\n", CH_SMTP_AT_MAIL, 550, 0, 0,
      1, "x" },
    { HELLO TO, CH_SMTP_AT_RCPT, 0, 0, 0, 1, "" },
    { HELLO TO "< 451 later\n", CH_SMTP_AT_RCPT, 451, 0, 0, 0, "later" },
    { HELLO TO "< 421 later\n", CH_SMTP_AT_RCPT, 421, 0, 0, 1, "later" },
    { HELLO TO "< 550-a\n< 550-b\n< 550 c\n> QUIT\n< 221 x\n",
      CH_SMTP_AT_RCPT, 550, 0, 1, 0, "a b c" },
    { HELLO TO "< 530 login\n", CH_SMTP_AT_RCPT, 530, 0, 0, 0, "login" },
    { HELLO DATA "< 554 no\n", CH_SMTP_AT_DATA, 554, 0, 1, 1, "no" },
    { HELLO DATA "< 250 what\n", CH_SMTP_AT_DATA, 250, 0, 0, 1, "what" },
    { HELLO BODY, CH_SMTP_AT_BODY, 0, 0, 0, 1, "" },
    { HELLO BODY "< 451 disk\n", CH_SMTP_AT_BODY, 451, 0, 0, 1, "disk" },
    { HELLO BODY "< 554 spam\n", CH_SMTP_AT_BODY, 554, 0, 1, 1, "spam" },
    { HELLO BODY "< 250 ok\n", CH_SMTP_AT_BODY, 250, 1, 0, 1, "ok" },
    { HELLO BODY "< 250 ok\n> QUIT\n< 550 no\n", CH_SMTP_AT_BODY, 250, 1, 0,
      1, "ok" },
    { HELLO BODY "< 250-wait\n", CH_SMTP_AT_BODY, 0, 0, 0, 1, "wait" },
    { HELLO BODY "< \n< x\n< 25\n< 25x\n< -250 ok\n", CH_SMTP_AT_BODY, 0, 0,
      0, 1, "" },
    { HELLO BODY "< 250\n", CH_SMTP_AT_BODY, 250, 1, 0, 1, "" },
};

START_TEST(tells_what_became_of_it)
{
    ch_smtp_talk_t talk = { .at = CH_SMTP_AT_NOOP, .over = 1 };

    ch_smtp_talk_begin(&talk);
    hold(&talk, cases[_i].lines);
    ck_assert_int_eq(talk.at, cases[_i].at);
    ck_assert_int_eq(talk.reply, cases[_i].reply);
    ck_assert_int_eq(talk.accepted, cases[_i].accepted);
    ck_assert_int_eq(ch_smtp_talk_is_final(&talk), cases[_i].final);
    ck_assert_int_eq(ch_smtp_talk_is_broken(&talk), cases[_i].broken);
    ck_assert_uint_eq(talk.text_len, strlen(cases[_i].text));
    ck_assert_mem_eq(talk.text, cases[_i].text, talk.text_len);
}
END_TEST

/* What is known of the server outlives the message, not the connection. */
START_TEST(knows_the_server)
{
    ch_smtp_talk_t talk = { 0 };

    hold(&talk, "< 220 SMTPUTF8\n> EHLO us\n");
    ck_assert_int_eq(talk.knows_utf8, 0);
    hold(&talk, "< 250-you\n< 250-SmtpUtf8\n< 250 SIZE\n" FROM);
    ck_assert_int_eq(talk.knows_utf8, 1);
    ch_smtp_talk_begin(&talk);
    ck_assert_int_eq(talk.knows_utf8, 1);
    hold(&talk, "> EHLO us\n< 250 you\n");
    ck_assert_int_eq(talk.knows_utf8, 0);
}
END_TEST

/* Long replies, and ones without an end. */
START_TEST(keeps_no_more_than_fits)
{
    ch_smtp_talk_t talk = { 0 };
    char line[500] = "> RCPT TO:<a@b.c>\n";
    int i;

    hold(&talk, line);
    memset(line, 'x', sizeof(line));
    memcpy(line, "< 550-", 6);
    line[498] = '\n';
    line[499] = '\0';
    for (i = 0; i < 1000; i++) {
        hold(&talk, line);
    }
    ck_assert_uint_eq(talk.text_len, CH_SMTP_TEXT_MAX);
    ck_assert_int_eq(talk.reply, 0);
}
END_TEST

CH_SUITE_MAIN("net/smtp_talk", CH_EACH(tells_what_became_of_it, cases),
              CH_ONCE(knows_the_server), CH_ONCE(keeps_no_more_than_fits))
