/* Writes the messages that go out by mail. */
#include "base/mime.h"

#include <string.h>

#include <apr_base64.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "base/idna.h"
#include "base/text.h"

#define LINE 76      /* characters of a line (RFC 2045, 6.7; RFC 2047, 2) */
#define PHRASE_MAX 200 /* bytes of a name before an address */
#define B64_LINE 57  /* bytes that fill a line of base64 */
#define WORD_HEAD "=?UTF-8?B?"
#define WORD_TAIL "?="

/* --- addresses -------------------------------------------------------- */

const char *ch_mime_address(apr_pool_t *pool, const char *text)
{
    const char *at = strchr(text, '@');
    const char *domain;

    if (!at || !ch_text_is_email(text, strlen(text))) {
        return NULL;
    }
    domain = ch_idna_ascii(pool, at + 1, strlen(at + 1));
    return domain ? apr_pstrcat(pool,
                                apr_pstrmemdup(pool, text,
                                               (apr_size_t)(at + 1 - text)),
                                domain, NULL)
                  : NULL;
}

int ch_mime_needs_utf8(const char *address)
{
    for (; *address; address++) {
        if ((unsigned char)*address >= 0x80) {
            return 1;
        }
    }
    return 0;
}

/* A name without its quotes; NULL when they do not fit. */
static const char *unquoted(apr_pool_t *pool, const char *text, size_t len)
{
    char *out = apr_palloc(pool, len + 1);
    char *to = out;
    size_t i;

    if (!len || text[0] != '"') {
        return apr_pstrmemdup(pool, text, len);
    }
    for (i = 1; i < len && text[i] != '"'; i++) {
        i += text[i] == '\\' && i + 1 < len;
        *to++ = text[i];
    }
    *to = '\0';
    return i + 1 == len ? out : NULL;
}

int ch_mime_mailbox(apr_pool_t *pool, const char *text, ch_mailbox_t *out)
{
    ch_bytes_t all = ch_text_trim(text, strlen(text));
    const char *copy = apr_pstrmemdup(pool, all.data, all.len);
    const char *open = strrchr(copy, '<');
    ch_bytes_t name;

    out->name = NULL;
    if (!open) {
        out->address = ch_mime_address(pool, copy);
        return out->address != NULL;
    }
    if (copy[all.len - 1] != '>') {
        return 0;
    }
    out->address = ch_mime_address(
        pool, apr_pstrmemdup(pool, open + 1,
                             all.len - (size_t)(open + 2 - copy)));
    name = ch_text_trim(copy, (size_t)(open - copy));
    if (name.len) {
        out->name = unquoted(pool, name.data, name.len);
        if (!out->name || name.len > PHRASE_MAX
            || !ch_text_valid(name.data, name.len)
            || ch_text_has_control(name.data, name.len, 0)) {
            return 0;
        }
    }
    return out->address != NULL;
}

/* --- words of a header ------------------------------------------------ */

static void put_base64(ch_buf_t *buf, const char *data, size_t len)
{
    char *to = ch_buf_room(buf, (size_t)apr_base64_encode_len((int)len));

    if (to) {
        /* counts the closing NUL */
        buf->len += (size_t)apr_base64_encode_binary(
                        to, (const unsigned char *)data, (int)len)
                    - 1;
    }
}

/* Encoded words of RFC 2047, each on a line of its own and of whole
 * characters. used: what stands before on the first line. */
static void put_words(ch_buf_t *buf, const char *text, size_t used)
{
    const size_t around = sizeof(WORD_HEAD WORD_TAIL) - 1;
    size_t len = strlen(text);

    while (len) {
        size_t room = (LINE - used - around) / 4 * 3;
        size_t n = len < room ? len : room;

        while (n < len && ((unsigned char)text[n] & 0xC0) == 0x80) {
            n--;
        }
        CH_BUF_LIT(buf, WORD_HEAD);
        put_base64(buf, text, n);
        CH_BUF_LIT(buf, WORD_TAIL);
        text += n;
        len -= n;
        if (len) {
            CH_BUF_LIT(buf, "\r\n ");
            used = 1;
        }
    }
}

static int is_plain(const char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text >= 0x7F) {
            return 0;
        }
    }
    return 1;
}

/* Text of no structure. What would be taken for an encoded word becomes one,
 * and so does what is too long for a line. */
static void put_text(ch_buf_t *buf, const char *name, const char *value)
{
    const char *text = ch_text_clean(buf->pool, value, strlen(value));
    size_t used = strlen(name) + 2;

    ch_buf_printf(buf, "%s: ", name);
    if (is_plain(text) && !strstr(text, "=?")
        && used + strlen(text) <= LINE) {
        ch_buf_puts(buf, text);
    }
    else {
        put_words(buf, text, used);
    }
    CH_BUF_LIT(buf, "\r\n");
}

/* Whether a name may stand as it is: words of RFC 5322's atext. */
static int is_phrase(const char *text)
{
    for (; *text; text++) {
        if (!apr_isalnum(*text) && !strchr(" !#$%&'*+-/^_`{|}~", *text)) {
            return 0;
        }
    }
    return 1;
}

static void put_quoted(ch_buf_t *buf, const char *text)
{
    ch_buf_putc(buf, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            ch_buf_putc(buf, '\\');
        }
        ch_buf_putc(buf, *text);
    }
    ch_buf_putc(buf, '"');
}

/* The address goes to a line of its own where the name leaves no room. */
static void put_mailbox(ch_buf_t *buf, const char *name,
                        const ch_mailbox_t *box)
{
    const char *given = box->name ? box->name : "";
    const char *text = ch_text_clean(buf->pool, given, strlen(given));
    size_t used = strlen(name) + 2;

    ch_buf_printf(buf, "%s: ", name);
    if (!*text) {
        ch_buf_printf(buf, "<%s>\r\n", box->address);
        return;
    }
    if (!is_plain(text) || strstr(text, "=?") || used + strlen(text) > 60) {
        put_words(buf, text, used);
    }
    else if (is_phrase(text)) {
        ch_buf_puts(buf, text);
    }
    else {
        put_quoted(buf, text);
    }
    ch_buf_printf(buf, "\r\n <%s>\r\n", box->address);
}

static void put_date(ch_buf_t *buf, apr_time_t when)
{
    apr_time_exp_t t;

    apr_time_exp_gmt(&t, when);
    ch_buf_printf(buf, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n",
                  apr_day_snames[t.tm_wday], t.tm_mday,
                  apr_month_snames[t.tm_mon], t.tm_year + 1900, t.tm_hour,
                  t.tm_min, t.tm_sec);
}

/* --- bodies ----------------------------------------------------------- */

/* The text with each line's end as CR LF, whatever it was, and one at the
 * end. */
static ch_buf_t *with_crlf(apr_pool_t *pool, const char *text)
{
    size_t len = strlen(text);
    ch_buf_t *out = ch_buf_make(pool, len + len / 8 + 16, CH_MIME_MAX);

    while (*text) {
        size_t n = strcspn(text, "\r\n");

        ch_buf_add(out, text, n);
        CH_BUF_LIT(out, "\r\n");
        text += n;
        if (*text) {
            text += text[0] == '\r' && text[1] == '\n' ? 2 : 1;
        }
    }
    return out;
}

/* A dot ends a message, and "From " begins one in a mailbox: neither is left
 * at the start of a line to those on the way. */
static int is_risky(const char *at, size_t left)
{
    return *at == '.' || (left >= 5 && memcmp(at, "From ", 5) == 0);
}

/* Whether the byte at `at` may stand as it is in quoted-printable. */
static int is_literal(const ch_buf_t *text, size_t at, size_t column)
{
    char c = text->data[at];

    if (c == ' ' || c == '\t') {
        return at + 1 < text->len && text->data[at + 1] != '\r';
    }
    return c > 0x20 && c < 0x7F && c != '='
           && (column || !is_risky(text->data + at, text->len - at));
}

static void put_quoted_printable(ch_buf_t *buf, const ch_buf_t *text)
{
    size_t column = 0;
    size_t i;

    for (i = 0; i < text->len; i++) {
        int literal = is_literal(text, i, column);
        size_t width = literal ? 1 : 3;

        if (text->data[i] == '\r') {
            CH_BUF_LIT(buf, "\r\n");
            i++;
            column = 0;
            continue;
        }
        if (column + width > LINE - 1) { /* with room for the = */
            CH_BUF_LIT(buf, "=\r\n");
            column = 0;
            literal = is_literal(text, i, column);
            width = literal ? 1 : 3;
        }
        if (literal) {
            ch_buf_putc(buf, text->data[i]);
        }
        else {
            ch_buf_printf(buf, "=%02X", (unsigned char)text->data[i]);
        }
        column += width;
    }
}

static void put_base64_lines(ch_buf_t *buf, const ch_buf_t *text)
{
    size_t at, n;

    for (at = 0; at < text->len; at += n) {
        n = text->len - at < B64_LINE ? text->len - at : B64_LINE;
        put_base64(buf, text->data + at, n);
        CH_BUF_LIT(buf, "\r\n");
    }
}

/* One text with the headers that say how it is written: whichever of the two
 * ways is shorter. */
static void put_body(ch_buf_t *buf, const char *type, const char *body)
{
    const ch_buf_t *text = with_crlf(buf->pool, body);
    size_t foreign = 0;
    size_t i;

    for (i = 0; i < text->len; i++) {
        foreign += (unsigned char)text->data[i] >= 0x7F;
    }
    ch_buf_printf(buf, "Content-Type: text/%s; charset=utf-8\r\n", type);
    if (foreign * 6 > text->len) {
        CH_BUF_LIT(buf, "Content-Transfer-Encoding: base64\r\n\r\n");
        put_base64_lines(buf, text);
    }
    else {
        CH_BUF_LIT(buf, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        put_quoted_printable(buf, text);
    }
    buf->overflow |= text->overflow;
}

/* Of characters that neither quoted-printable nor base64 has one after the
 * other at the start of a line. */
#define BOUNDARY "=_chronicle"

static void put_alternatives(ch_buf_t *buf, const ch_mime_t *mail)
{
    CH_BUF_LIT(buf, "Content-Type: multipart/alternative;\r\n"
                    " boundary=\"" BOUNDARY "\"\r\n\r\n"
                    "--" BOUNDARY "\r\n");
    put_body(buf, "plain", mail->text);
    CH_BUF_LIT(buf, "\r\n--" BOUNDARY "\r\n");
    put_body(buf, "html", mail->html);
    CH_BUF_LIT(buf, "\r\n--" BOUNDARY "--\r\n");
}

ch_buf_t *ch_mime_write(apr_pool_t *pool, const ch_mime_t *mail)
{
    ch_buf_t *buf = ch_buf_make(pool, 4096, CH_MIME_MAX);

    put_date(buf, mail->date);
    put_mailbox(buf, "From", &mail->from);
    put_mailbox(buf, "To", &mail->to);
    ch_buf_printf(buf, "Message-ID: <%s%s>\r\n", mail->id,
                  strrchr(mail->from.address, '@'));
    put_text(buf, "Subject", mail->subject);
    CH_BUF_LIT(buf, "Auto-Submitted: auto-generated\r\n"
                    "MIME-Version: 1.0\r\n");
    if (mail->html) {
        put_alternatives(buf, mail);
    }
    else {
        put_body(buf, "plain", mail->text);
    }
    return buf->overflow ? NULL : buf;
}
