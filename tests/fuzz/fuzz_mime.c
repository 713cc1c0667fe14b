/* Fuzzes base/mime: whatever the fields hold, the message has its headers and
 * no others, and lines that a mail server takes. */
#include "ch_fuzz.h"

#include "base/mime.h"

/* The input's next field, in a block of its own. */
static char *next(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, 0, *size);
    size_t len = end ? (size_t)(end - *data) : *size;
    char *field = malloc(len + 1);

    memcpy(field, *data, len);
    field[len] = '\0';
    *data += end ? len + 1 : len;
    *size -= end ? len + 1 : len;
    return field;
}

/* The headers are these, in this order. */
static void check_headers(const char *message, const char *body)
{
    static const char *const names[] = {
        "Date", "From", "To", "Message-ID", "Subject", "Auto-Submitted",
        "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    };
    size_t i = 0;
    const char *line;

    for (line = message; line < body; line = strstr(line, "\r\n") + 2) {
        if (*line == ' ') {
            CH_PROMISE(line > message && line[1] != '\r');
            continue;
        }
        CH_PROMISE(i < CH_COUNT(names));
        CH_PROMISE(strncmp(line, names[i], strlen(names[i])) == 0);
        CH_PROMISE(line[strlen(names[i])] == ':');
        i++;
    }
    CH_PROMISE(i >= CH_COUNT(names) - 1);
}

static void check_lines(const ch_buf_t *buf, int utf8)
{
    size_t i, column = 0;

    CH_PROMISE(buf->len >= 2 && buf->data[buf->len - 1] == '\n');
    for (i = 0; i < buf->len; i++) {
        unsigned char c = (unsigned char)buf->data[i];

        CH_PROMISE(c != '\n' || (i && buf->data[i - 1] == '\r'));
        CH_PROMISE(c != '\r' || buf->data[i + 1] == '\n');
        CH_PROMISE(column || c != '.');
        CH_PROMISE(utf8 || (c >= 0x20 && c < 0x7F) || strchr("\r\n\t", c));
        CH_PROMISE(c);
        column = c == '\n' ? 0 : column + 1;
        CH_PROMISE(column <= 999);
    }
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *fields[5];
    ch_mime_t mail = { .id = "0190d9a8-0000-7000-8000-000000000001" };
    ch_buf_t *buf;
    size_t i;

    for (i = 0; i < CH_COUNT(fields); i++) {
        fields[i] = next(&data, &size);
    }
    mail.to.address = ch_mime_address(pool, fields[1]);
    mail.subject = fields[2];
    mail.text = fields[3];
    mail.html = *fields[4] ? fields[4] : NULL;
    if (ch_mime_mailbox(pool, fields[0], &mail.from) && mail.to.address) {
        buf = ch_mime_write(pool, &mail);
        CH_PROMISE(buf);
        check_lines(buf, ch_mime_needs_utf8(mail.from.address)
                             || ch_mime_needs_utf8(mail.to.address));
        check_headers(ch_buf_cstr(buf),
                      strstr(ch_buf_cstr(buf), "\r\n\r\n") + 2);
    }
    for (i = 0; i < CH_COUNT(fields); i++) {
        free(fields[i]);
    }
}
