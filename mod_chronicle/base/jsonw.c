/* Writes JSON values at the end of a buffer. */
#include "base/jsonw.h"

#include <string.h>

#include "base/clock.h"

/* How a byte is written: 0 as it is, 'u' as \u00XX, else after a backslash. */
static const char escape_of[256] = {
    'u', 'u', 'u', 'u', 'u', 'u',         'u',           'u', 'b',
    't', 'n', 'u', 'f', 'r', 'u',         'u',           'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u',         'u',           'u', 'u',
    'u', 'u', 'u', 'u', 'u', ['"'] = '"', ['\\'] = '\\',
};

/* Sixteen bytes that the compiler keeps in one register where there is one;
 * plain C everywhere else. */
typedef unsigned char wide_t __attribute__((vector_size(16)));

/* Copies bytes that need no escape and says how many. `out` has room for
 * `len` bytes; what lies behind the copied ones there is undefined. */
static size_t copy_plain(char *out, const char *text, size_t len)
{
    size_t done = 0;

    while (len - done >= sizeof(wide_t)) {
        wide_t bytes;
        apr_uint64_t hit[2];
        wide_t special;

        memcpy(&bytes, text + done, sizeof(bytes));
        memcpy(out + done, &bytes, sizeof(bytes));
        special = (wide_t)((bytes < 0x20) | (bytes == '"') | (bytes == '\\'));
        memcpy(hit, &special, sizeof(hit));
        if ((hit[0] | hit[1]) != 0) {
            break;
        }
        done += sizeof(wide_t);
    }
    while (done < len && escape_of[(unsigned char)text[done]] == 0) {
        out[done] = text[done];
        done++;
    }
    return done;
}

/* Writes one escaped byte to out[6] and says how long it is. */
static size_t put_escape(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = escape_of[c];
    if (out[1] != 'u') {
        return 2;
    }
    out[2] = '0';
    out[3] = '0';
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

/* The inside of a string. Room is asked for as if nothing more needed an
 * escape, so that text which fits is never refused for what it might have
 * been; doubling keeps the extra calls cheap. */
static void put_text(ch_buf_t *buf, const char *text, size_t len)
{
    size_t done = 0;

    while (done < len) {
        char *out = ch_buf_room(buf, len - done);
        char escaped[6];
        size_t n;

        if (out == NULL) {
            return;
        }
        n = copy_plain(out, text + done, len - done);
        done += n;
        buf->len += n;
        if (done < len) {
            n = put_escape(escaped, (unsigned char)text[done]);
            ch_buf_add(buf, escaped, n);
            done++;
        }
    }
}

void ch_jsonw_str(ch_buf_t *buf, const char *text, size_t len)
{
    ch_buf_putc(buf, '"');
    put_text(buf, text, len);
    ch_buf_putc(buf, '"');
}

void ch_jsonw_cstr(ch_buf_t *buf, const char *text)
{
    if (text == NULL) {
        CH_BUF_LIT(buf, "null");
        return;
    }
    ch_jsonw_str(buf, text, strlen(text));
}

void ch_jsonw_int(ch_buf_t *buf, apr_int64_t value)
{
    char text[20]; /* -9223372036854775808 */
    size_t at = sizeof(text);
    apr_uint64_t rest =
        value < 0 ? 0 - (apr_uint64_t)value : (apr_uint64_t)value;

    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) {
        text[--at] = '-';
    }
    ch_buf_add(buf, text + at, sizeof(text) - at);
}

void ch_jsonw_bool(ch_buf_t *buf, int value)
{
    if (value) {
        CH_BUF_LIT(buf, "true");
    }
    else {
        CH_BUF_LIT(buf, "false");
    }
}

void ch_jsonw_time(ch_buf_t *buf, apr_time_t when)
{
    char text[CH_TS_LEN + 3];

    text[0] = '"';
    ch_clock_format(when, text + 1);
    text[CH_TS_LEN + 1] = '"';
    ch_buf_add(buf, text, CH_TS_LEN + 2);
}

/* Whether text has the shape "YYYY-MM-DD HH:MM:SS…+00". */
static int is_pg_time(const char *text, size_t len)
{
    static const char shape[] = "dddd-dd-dd dd:dd:dd";
    size_t i;

    if (len < sizeof(shape) - 1 + 3 || memcmp(text + len - 3, "+00", 3) != 0) {
        return 0;
    }
    for (i = 0; i < sizeof(shape) - 1; i++) {
        int fits = shape[i] == 'd' ? text[i] >= '0' && text[i] <= '9'
                                   : text[i] == shape[i];

        if (!fits) {
            return 0;
        }
    }
    return 1;
}

void ch_jsonw_pg_time(ch_buf_t *buf, const char *text, size_t len)
{
    char out[CH_TS_LEN + 2];
    size_t i;

    /* "infinity" and years of five digits are no times of ours; as they are
     * they at least can be read. */
    if (!is_pg_time(text, len)) {
        ch_jsonw_str(buf, text, len);
        return;
    }
    out[0] = '"';
    memcpy(out + 1, text, 19);
    out[11] = 'T';
    memcpy(out + 20, ".000Z\"", 6);
    if (text[19] == '.') {
        for (i = 20; i < 23 && text[i] >= '0' && text[i] <= '9'; i++) {
            out[i + 1] = text[i];
        }
    }
    ch_buf_add(buf, out, sizeof(out));
}

/* An element in quotes from text[1] on; says where it ends, behind the
 * closing quote. A backslash there takes the next byte as it is. */
static size_t put_quoted(ch_buf_t *buf, const char *text, size_t len)
{
    size_t from = 1;
    size_t at = 1;

    ch_buf_putc(buf, '"');
    while (at < len && text[at] != '"') {
        if (text[at] != '\\' || at + 1 >= len) {
            at++;
            continue;
        }
        put_text(buf, text + from, at - from);
        from = at + 1;
        at += 2;
    }
    put_text(buf, text + from, at - from);
    ch_buf_putc(buf, '"');
    return at < len ? at + 1 : at;
}

/* An element without quotes; says where it ends. */
static size_t put_bare(ch_buf_t *buf, const char *text, size_t len)
{
    size_t at = 0;

    while (at < len && text[at] != ',' && text[at] != '}') {
        at++;
    }
    if (at == 4 && memcmp(text, "NULL", 4) == 0) {
        CH_BUF_LIT(buf, "null");
    }
    else {
        ch_jsonw_str(buf, text, at);
    }
    return at;
}

void ch_jsonw_pg_array(ch_buf_t *buf, const char *text, size_t len)
{
    size_t at = 1;

    ch_buf_putc(buf, '[');
    while (at < len && text[0] == '{' && text[at] != '}') {
        if (at > 1) {
            ch_buf_putc(buf, ',');
        }
        at += text[at] == '"' ? put_quoted(buf, text + at, len - at)
                              : put_bare(buf, text + at, len - at);
        if (at < len && text[at] == ',') {
            at++;
        }
        else {
            break;
        }
    }
    ch_buf_putc(buf, ']');
}

/* What stands for a byte in HTML, NULL for itself. */
static const char *html_of(char c)
{
    switch (c) {
    case CH_MARK_ON:
        return "<mark>";
    case CH_MARK_OFF:
        return "</mark>";
    case CH_MARK_GAP:
        return " \xE2\x80\xA6 ";
    case CH_MARK_LESS:
    case '<':
        return "&lt;";
    case CH_MARK_MORE:
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void ch_jsonw_marked(ch_buf_t *buf, const char *text, size_t len)
{
    size_t from = 0;
    size_t at;

    if (len == 0 || memchr(text, CH_MARK_ON, len) == NULL) {
        CH_BUF_LIT(buf, "null");
        return;
    }
    ch_buf_putc(buf, '"');
    for (at = 0; at < len; at++) {
        const char *html = html_of(text[at]);

        if (html != NULL) {
            put_text(buf, text + from, at - from);
            ch_buf_puts(buf, html);
            from = at + 1;
        }
    }
    put_text(buf, text + from, at - from);
    ch_buf_putc(buf, '"');
}
