/* Checks, counts and trims UTF-8 text; lower case by utf8proc. */
#include "base/text.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <utf8proc.h>

#define EMAIL_MAX 254
#define LOCAL_MAX 64
#define LABEL_MAX 63
#define URL_MAX 2048

/* Eight bytes at once; the order of the bytes does not matter here. */
static apr_uint64_t load8(const char *text)
{
    apr_uint64_t value;

    memcpy(&value, text, sizeof(value));
    return value;
}

#define TOP_BITS APR_UINT64_C(0x8080808080808080)

/* Length of the sequence that begins with a byte over 0x7F, 0 if it is not
 * valid. The second byte's range shuts out overlong forms, surrogates and
 * what lies above U+10FFFF (Unicode, table 3-7). */
static size_t sequence(const unsigned char *s, size_t len)
{
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t need;
    size_t i;

    if (s[0] < 0xC2 || s[0] > 0xF4) {
        return 0;
    }
    need = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (s[0] == 0xE0) {
        low = 0xA0;
    }
    else if (s[0] == 0xED) {
        high = 0x9F;
    }
    else if (s[0] == 0xF0) {
        low = 0x90;
    }
    else if (s[0] == 0xF4) {
        high = 0x8F;
    }
    if (len < need || s[1] < low || s[1] > high) {
        return 0;
    }
    for (i = 2; i < need; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return need;
}

int ch_text_valid(const char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t n;

        while (len - at >= 8 && (load8(text + at) & TOP_BITS) == 0) {
            at += 8;
        }
        if (at == len) {
            break;
        }
        if ((unsigned char)text[at] < 0x80) {
            at++;
            continue;
        }
        n = sequence((const unsigned char *)text + at, len - at);
        if (n == 0) {
            return 0;
        }
        at += n;
    }
    return 1;
}

const char *ch_text_clean(apr_pool_t *pool, const char *text, size_t len)
{
    char *out = apr_pstrmemdup(pool, text, len);
    size_t at = 0;

    while (at < len) {
        const unsigned char *s = (const unsigned char *)text + at;
        size_t n = 1;

        if (s[0] >= 0x80) {
            n = sequence(s, len - at);
        }
        else if (s[0] < 0x20 || s[0] == 0x7F) {
            n = 0;
        }
        if (n == 0) {
            out[at++] = '?';
            continue;
        }
        if (n == 2 && s[0] == 0xC2 && s[1] < 0xA0) {
            out[at] = '?';
            out[at + 1] = '?';
        }
        at += n;
    }
    return out;
}

const char *ch_text_like(apr_pool_t *pool, const char *text)
{
    char *out, *to;

    if (!text) {
        return NULL;
    }
    to = out = apr_palloc(pool, 2 * strlen(text) + 3);
    *to++ = '%';
    for (; *text; text++) {
        if (strchr("%_\\", *text)) {
            *to++ = '\\';
        }
        *to++ = *text;
    }
    *to++ = '%';
    *to = '\0';
    return out;
}

static int begins_point(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

size_t ch_text_count(const char *text, size_t len)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        count += begins_point(text[i]);
    }
    return count;
}

size_t ch_text_prefix(const char *text, size_t len, size_t points)
{
    size_t i;

    /* No text has more code points than bytes. */
    if (points >= len) {
        return len;
    }
    for (i = 0; i < len; i++) {
        if (begins_point(text[i]) && points-- == 0) {
            return i;
        }
    }
    return len;
}

size_t ch_text_space_at(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;

    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r');
    }
    if (len >= 2 && s[0] == 0xC2) {
        return s[1] == 0x85 || s[1] == 0xA0 ? 2 : 0;
    }
    if (len < 3 || s[0] < 0xE1 || s[0] > 0xE3) {
        return 0;
    }
    switch (s[0] << 16 | s[1] << 8 | s[2]) {
    case 0xE19A80: /* U+1680 */
    case 0xE280A8: /* U+2028 */
    case 0xE280A9: /* U+2029 */
    case 0xE280AF: /* U+202F */
    case 0xE2819F: /* U+205F */
    case 0xE38080: /* U+3000 */
        return 3;
    default: /* U+2000..U+200A */
        return s[0] == 0xE2 && s[1] == 0x80 && s[2] <= 0x8A ? 3 : 0;
    }
}

/* If the text ends with white space: its length in bytes, else 0. */
static size_t space_before(const char *end, size_t len)
{
    size_t n;

    for (n = 1; n <= 3 && n <= len; n++) {
        if (ch_text_space_at(end - n, n) == n) {
            return n;
        }
    }
    return 0;
}

ch_bytes_t ch_text_trim(const char *text, size_t len)
{
    ch_bytes_t out = {.data = text, .len = len};
    size_t n;

    while ((n = ch_text_space_at(out.data, out.len)) > 0) {
        out.data += n;
        out.len -= n;
    }
    while ((n = space_before(out.data + out.len, out.len)) > 0) {
        out.len -= n;
    }
    return out;
}

int ch_text_has_control(const char *text, size_t len, int allow_breaks)
{
    size_t i;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c >= 0x20 && c != 0x7F) ||
            (allow_breaks && (c == '\t' || c == '\n' || c == '\r'))) {
            continue;
        }
        return 1;
    }
    return 0;
}

char *ch_text_ascii_lower(apr_pool_t *pool, const char *text, size_t len)
{
    char *out = apr_palloc(pool, len + 1);
    size_t i;

    for (i = 0; i < len; i++) {
        out[i] =
            text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    }
    out[len] = '\0';
    return out;
}

char *ch_text_lower(apr_pool_t *pool, const char *text, size_t len)
{
    /* A letter of two bytes may become one of three, never of more. */
    utf8proc_uint8_t *out = apr_palloc(pool, len * 2 + 1);
    const utf8proc_uint8_t *from = (const utf8proc_uint8_t *)text;
    size_t used = 0;
    size_t at = 0;

    while (at < len) {
        size_t n = from[at] < 0x80 ? 1 : sequence(from + at, len - at);
        utf8proc_int32_t point = from[at];

        if (n == 0) {
            out[used++] = from[at++];
            continue;
        }
        if (n > 1) {
            utf8proc_iterate(from + at, (utf8proc_ssize_t)n, &point);
        }
        used +=
            (size_t)utf8proc_encode_char(utf8proc_tolower(point), out + used);
        at += n;
    }
    out[used] = '\0';
    return (char *)out;
}

/* The code point at *text, which is set behind it; what is no UTF-8 counts as
 * U+FFFD. */
static utf8proc_int32_t next_point(const char **text, const char *end)
{
    const unsigned char *s = (const unsigned char *)*text;
    utf8proc_int32_t point = s[0];
    size_t n = 1;

    if (s[0] >= 0x80) {
        n = sequence(s, (size_t)(end - *text));
        point = 0xFFFD;
        if (n > 0) {
            utf8proc_iterate(s, (utf8proc_ssize_t)n, &point);
        }
    }
    *text += n > 0 ? n : 1;
    return point;
}

int ch_text_has_unspaced(const char *text, size_t len)
{
    /* as in sql/schema/0006_search.sql */
    static const utf8proc_int32_t ranges[][2] = {
        { 0x0E00, 0x0EFF }, { 0x1000, 0x109F },   { 0x1780, 0x17FF },
        { 0x2E80, 0x2FDF }, { 0x3005, 0x3007 },   { 0x3040, 0x30FF },
        { 0x31F0, 0x31FF }, { 0x3400, 0x4DBF },   { 0x4E00, 0x9FFF },
        { 0xF900, 0xFAFF }, { 0xFF66, 0xFF9F },   { 0x20000, 0x3FFFF },
    };
    const char *end = text + len;

    while (text < end) {
        utf8proc_int32_t point = next_point(&text, end);
        size_t i;

        for (i = 0; i < CH_COUNT(ranges); i++) {
            if (point >= ranges[i][0] && point <= ranges[i][1]) {
                return 1;
            }
        }
    }
    return 0;
}

static int is_word_part(utf8proc_int32_t point)
{
    utf8proc_category_t kind = utf8proc_category(point);

    return point == '_'
           || (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NO);
}

int ch_text_has_word(const char *text, const char *word)
{
    const char *end = text + strlen(text);
    size_t len = strlen(word);
    const char *at;

    for (at = strstr(text, word); at; at = strstr(at + 1, word)) {
        const char *behind = at + len;
        const char *before = at;

        while (before > text && (*--before & 0xC0) == 0x80) {
        }
        if ((at == text || !is_word_part(next_point(&before, end)))
            && (behind == end || !is_word_part(next_point(&behind, end)))) {
            return 1;
        }
    }
    return 0;
}

int ch_text_has_case(const char *text, size_t len)
{
    const char *end = text + len;

    while (text < end) {
        utf8proc_int32_t point = next_point(&text, end);

        if (utf8proc_tolower(point) != point
            || utf8proc_toupper(point) != point) {
            return 1;
        }
    }
    return 0;
}

/* White space or a control character anywhere, U+0080..U+009F included. */
int ch_text_has_blank(const char *text, size_t len)
{
    size_t i;

    if (ch_text_has_control(text, len, 0)) {
        return 1;
    }
    for (i = 0; i < len; i++) {
        if (ch_text_space_at(text + i, len - i) > 0 ||
            ((unsigned char)text[i] == 0xC2 && i + 1 < len &&
             (unsigned char)text[i + 1] < 0xA0)) {
            return 1;
        }
    }
    return 0;
}

static int is_host_char(char c)
{
    return apr_isalnum(c) || c == '-' || c == '_' || (unsigned char)c >= 0x80;
}

/* Labels joined by dots: none empty, none too long. */
static int is_domain(const char *text, size_t len, size_t labels_min)
{
    size_t labels = 0;
    size_t from = 0;
    size_t i;

    for (i = 0; i <= len; i++) {
        if (i < len && text[i] != '.') {
            if (!is_host_char(text[i])) {
                return 0;
            }
            continue;
        }
        if (i == from || i - from > LABEL_MAX) {
            return 0;
        }
        labels++;
        from = i + 1;
    }
    return labels >= labels_min;
}

int ch_text_is_email(const char *text, size_t len)
{
    const char *at = memchr(text, '@', len);
    size_t local;
    size_t i;

    if (at == NULL || len > EMAIL_MAX) {
        return 0;
    }
    local = (size_t)(at - text);
    if (local < 1 || local > LOCAL_MAX) {
        return 0;
    }
    /* Outside of quotes none of these may stand in a mail header (RFC 5322
     * section 3.2.3), and quoted local parts are nobody's address. */
    for (i = 0; i < local; i++) {
        if (strchr("()<>[]:;,\\\"", text[i]) != NULL) {
            return 0;
        }
    }
    return ch_text_valid(text, len) && !ch_text_has_blank(text, len) &&
           is_domain(at + 1, len - local - 1, 2);
}

/* Length of "http://" or "https://" in any case, else 0. */
static size_t scheme_len(const char *text, size_t len)
{
    if (len > 7 && strncasecmp(text, "http://", 7) == 0) {
        return 7;
    }
    return len > 8 && strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
}

/* Whether text is "" or ":" and a port. */
static int is_port(const char *text, size_t len)
{
    unsigned value = 0;
    size_t i;

    if (len == 0) {
        return 1;
    }
    if (text[0] != ':' || len > 6) {
        return 0;
    }
    for (i = 1; i < len; i++) {
        if (!apr_isdigit(text[i])) {
            return 0;
        }
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    return value <= 65535;
}

/* Whether text is "[…]" with hex digits, colons and dots inside, then
 * perhaps a port. */
static int is_ipv6(const char *text, size_t len)
{
    const char *end = memchr(text, ']', len);
    const char *p;

    if (end == NULL || end - text < 3) {
        return 0;
    }
    for (p = text + 1; p < end; p++) {
        if (!apr_isxdigit(*p) && *p != ':' && *p != '.') {
            return 0;
        }
    }
    return is_port(end + 1, len - (size_t)(end + 1 - text));
}

static int is_authority(const char *text, size_t len)
{
    const char *user_end = NULL;
    const char *colon;
    size_t host;
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] == '@') {
            user_end = text + i + 1;
        }
    }
    if (user_end != NULL) {
        len -= (size_t)(user_end - text);
        text = user_end;
    }
    if (len > 0 && text[0] == '[') {
        return is_ipv6(text, len);
    }
    colon = memchr(text, ':', len);
    host = colon == NULL ? len : (size_t)(colon - text);
    /* "example.com." names the same host from the root. */
    return is_port(text + host, len - host) &&
           is_domain(text, host > 1 && text[host - 1] == '.' ? host - 1 : host,
                     1);
}

int ch_text_is_url(const char *text, size_t len)
{
    size_t from = scheme_len(text, len);
    size_t end = from;

    if (from == 0 || len > URL_MAX || !ch_text_valid(text, len) ||
        ch_text_has_blank(text, len)) {
        return 0;
    }
    while (end < len && strchr("/?#", text[end]) == NULL) {
        end++;
    }
    return is_authority(text + from, end - from);
}
