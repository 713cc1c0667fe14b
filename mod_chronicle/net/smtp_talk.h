/* What was said between us and a mail server, as it goes by. */
#ifndef CH_NET_SMTP_TALK_H
#define CH_NET_SMTP_TALK_H

#include "net/smtp.h"

/* What we said last. */
typedef enum {
    CH_SMTP_AT_CONNECT,
    CH_SMTP_AT_HELLO,
    CH_SMTP_AT_STARTTLS,
    CH_SMTP_AT_AUTH,
    CH_SMTP_AT_MAIL,
    CH_SMTP_AT_RCPT,
    CH_SMTP_AT_DATA,
    CH_SMTP_AT_BODY, /* the server asked for the message */
    CH_SMTP_AT_NOOP,
    CH_SMTP_AT__COUNT
} ch_smtp_at_e;

typedef struct {
    ch_smtp_at_e at;
    int reply;      /* to that; 0 = none yet */
    int accepted;   /* the message is the server's */
    int over;       /* accepted, or we said QUIT: what follows is politeness */
    int knows_utf8; /* the server offers SMTPUTF8 */
    size_t text_len;
    char text[CH_SMTP_TEXT_MAX]; /* of the reply, as it came */
} ch_smtp_talk_t;

/* A new message, perhaps over the same connection. */
void ch_smtp_talk_begin(ch_smtp_talk_t *talk);

/* A command as we sent it; anything else is not looked at. */
void ch_smtp_talk_said(ch_smtp_talk_t *talk, const char *data, size_t len);

/* Lines as the server sent them. */
void ch_smtp_talk_heard(ch_smtp_talk_t *talk, const char *data, size_t len);

/* The same message would be refused again. A login that is missing or wrong
 * is not the message's fault, and neither is a sender's address. */
int ch_smtp_talk_is_final(const ch_smtp_talk_t *talk);

/* For a message that was not sent: whether the server itself does not do its
 * work. A recipient that it does not take now (greylisting, a full mailbox)
 * tells nothing of others. */
int ch_smtp_talk_is_broken(const ch_smtp_talk_t *talk);

extern const char *const ch_smtp_at_names[CH_SMTP_AT__COUNT];

#endif
