/* Fuzzes net/smtp_talk with what a hostile server may send, and net/smtp_url
 * with the same as a URL. */
#include "ch_fuzz.h"

#include "net/smtp_talk.h"

/* Each line is ours if it begins with '>', else the server's. */
static void talk_of(const char *data, size_t size)
{
    ch_smtp_talk_t talk = { 0 };

    ch_smtp_talk_begin(&talk);
    while (size) {
        const char *end = memchr(data, '\n', size);
        size_t len = end ? (size_t)(end + 1 - data) : size;
        char *line = malloc(len);

        memcpy(line, data, len);
        if (*line == '>') {
            ch_smtp_talk_said(&talk, line + 1, len - 1);
        }
        else {
            ch_smtp_talk_heard(&talk, line, len);
        }
        free(line);
        data += len;
        size -= len;
        CH_PROMISE(talk.text_len <= CH_SMTP_TEXT_MAX);
        CH_PROMISE(talk.reply >= 0 && talk.reply <= 999);
        CH_PROMISE((int)talk.at < (int)CH_SMTP_AT__COUNT);
        CH_PROMISE(!talk.accepted || talk.reply / 100 == 2);
        CH_PROMISE(!talk.accepted || !ch_smtp_talk_is_final(&talk));
    }
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const ch_smtp_t *server;

    memcpy(text, data, size);
    text[size] = '\0';
    talk_of(text, size);
    if (!ch_smtp_parse(pool, text, &server)) {
        CH_PROMISE(server->port > 0 && server->port < 65536);
        CH_PROMISE(*server->host && !strpbrk(server->host, "\r\n /@"));
        CH_PROMISE(!server->user || server->password);
        CH_PROMISE(!server->user || server->local
                   || server->tls != CH_SMTP_TLS_OFFERED);
    }
    free(text);
}
