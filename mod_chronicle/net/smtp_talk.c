/* Reads off a conversation with a mail server where it is and what became of
 * the message. */
#include "net/smtp_talk.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>

const char *const ch_smtp_at_names[CH_SMTP_AT__COUNT] = {
    [CH_SMTP_AT_CONNECT] = "connecting", [CH_SMTP_AT_HELLO] = "EHLO",
    [CH_SMTP_AT_STARTTLS] = "STARTTLS",  [CH_SMTP_AT_AUTH] = "AUTH",
    [CH_SMTP_AT_MAIL] = "MAIL",          [CH_SMTP_AT_RCPT] = "RCPT",
    [CH_SMTP_AT_DATA] = "DATA",          [CH_SMTP_AT_BODY] = "message",
    [CH_SMTP_AT_NOOP] = "NOOP",
};

static void forget_reply(ch_smtp_talk_t *talk)
{
    talk->reply = 0;
    talk->text_len = 0;
}

void ch_smtp_talk_begin(ch_smtp_talk_t *talk)
{
    talk->at = CH_SMTP_AT_CONNECT;
    talk->accepted = 0;
    talk->over = 0;
    forget_reply(talk);
}

/* --- what we say ------------------------------------------------------- */

static int begins(const char *data, size_t len, const char *verb)
{
    size_t n = strlen(verb);

    return len >= n && memcmp(data, verb, n) == 0;
}

void ch_smtp_talk_said(ch_smtp_talk_t *talk, const char *data, size_t len)
{
    static const struct {
        const char *verb;
        ch_smtp_at_e at;
    } commands[] = {
        { "EHLO ", CH_SMTP_AT_HELLO },
        { "HELO ", CH_SMTP_AT_HELLO },
        { "STARTTLS\r\n", CH_SMTP_AT_STARTTLS },
        { "AUTH ", CH_SMTP_AT_AUTH },
        { "MAIL FROM:", CH_SMTP_AT_MAIL },
        { "RCPT TO:", CH_SMTP_AT_RCPT },
        { "DATA\r\n", CH_SMTP_AT_DATA },
        { "NOOP\r\n", CH_SMTP_AT_NOOP },
    };
    size_t i;

    if (begins(data, len, "QUIT\r\n")) {
        talk->over = 1;
    }
    for (i = 0; i < CH_COUNT(commands) && !talk->over; i++) {
        if (begins(data, len, commands[i].verb)) {
            talk->at = commands[i].at;
            forget_reply(talk);
            if (talk->at == CH_SMTP_AT_HELLO) {
                talk->knows_utf8 = 0;
            }
        }
    }
}

/* --- what the server says ---------------------------------------------- */

static void keep_text(ch_smtp_talk_t *talk, const char *line, size_t len)
{
    size_t room = sizeof(talk->text) - talk->text_len;

    if (talk->text_len && room) {
        talk->text[talk->text_len++] = ' ';
        room--;
    }
    len = len < room ? len : room;
    memcpy(talk->text + talk->text_len, line, len);
    talk->text_len += len;
}

/* The last line of a reply. */
static void hear_end(ch_smtp_talk_t *talk, int code)
{
    talk->reply = code;
    if (talk->at == CH_SMTP_AT_DATA && code == 354) {
        talk->at = CH_SMTP_AT_BODY;
        forget_reply(talk);
    }
    else if (talk->at == CH_SMTP_AT_BODY && code / 100 == 2) {
        talk->accepted = 1;
        talk->over = 1;
    }
}

static void hear_line(ch_smtp_talk_t *talk, const char *line, size_t len)
{
    while (len && (line[len - 1] == '\r' || line[len - 1] == '\n')) {
        len--;
    }
    if (talk->over || len < 3 || !apr_isdigit(line[0])
        || !apr_isdigit(line[1]) || !apr_isdigit(line[2])) {
        return;
    }
    if (talk->reply) { /* another reply to the same, as in a login */
        forget_reply(talk);
    }
    if (len > 4) {
        keep_text(talk, line + 4, len - 4);
        if (talk->at == CH_SMTP_AT_HELLO && len >= 12
            && strncasecmp(line + 4, "SMTPUTF8", 8) == 0) {
            talk->knows_utf8 = 1;
        }
    }
    if (len == 3 || line[3] != '-') {
        hear_end(talk, (line[0] - '0') * 100 + (line[1] - '0') * 10
                           + (line[2] - '0'));
    }
}

void ch_smtp_talk_heard(ch_smtp_talk_t *talk, const char *data, size_t len)
{
    while (len) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t)(end + 1 - data) : len;

        hear_line(talk, data, n);
        data += n;
        len -= n;
    }
}

/* --- what became of it -------------------------------------------------- */

int ch_smtp_talk_is_final(const ch_smtp_talk_t *talk)
{
    if (talk->reply == 530 || talk->reply == 535 || talk->reply == 538) {
        return 0;
    }
    return talk->at == CH_SMTP_AT_MAIL
               ? talk->reply == 552
               : talk->at >= CH_SMTP_AT_RCPT && talk->at <= CH_SMTP_AT_BODY
                     && talk->reply >= 500;
}

int ch_smtp_talk_is_broken(const ch_smtp_talk_t *talk)
{
    return talk->at != CH_SMTP_AT_RCPT || talk->reply < 400
           || talk->reply == 421;
}
