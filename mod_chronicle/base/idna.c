/* Writes domain names in ASCII (Punycode). */
#include "base/idna.h"

#include <string.h>

#include <apr_lib.h>

#include "base/buf.h"
#include "base/text.h"

#define LABEL_MAX 63
#define DOMAIN_MAX 255

/* RFC 3492, section 5 */
#define BASE 36u
#define T_MIN 1u
#define T_MAX 26u
#define SKEW 38u
#define DAMP 700u
#define FIRST_BIAS 72u
#define FIRST_POINT 0x80u

/* --- Punycode --------------------------------------------------------- */

static unsigned adapt(unsigned delta, unsigned count, int first)
{
    unsigned k = 0;

    delta = first ? delta / DAMP : delta / 2;
    delta += delta / count;
    while (delta > (BASE - T_MIN) * T_MAX / 2) {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static void put_digit(ch_buf_t *out, unsigned digit)
{
    ch_buf_putc(out, (char)(digit < 26 ? 'a' + digit : '0' + digit - 26));
}

/* A number in digits whose worth grows with their place. */
static void put_number(ch_buf_t *out, unsigned number, unsigned bias)
{
    unsigned k;

    for (k = BASE;; k += BASE) {
        unsigned t = k <= bias          ? T_MIN
                     : k >= bias + T_MAX ? T_MAX
                                         : k - bias;

        if (number < t) {
            break;
        }
        put_digit(out, t + (number - t) % (BASE - t));
        number = (number - t) / (BASE - t);
    }
    put_digit(out, number);
}

static unsigned least_from(const unsigned *points, unsigned count,
                           unsigned from)
{
    unsigned least = 0x110000;
    unsigned i;

    for (i = 0; i < count; i++) {
        if (points[i] >= from && points[i] < least) {
            least = points[i];
        }
    }
    return least;
}

/* RFC 3492, section 6.3. A label has at most LABEL_MAX points, so that none
 * of the numbers is too large. */
static void put_points(ch_buf_t *out, const unsigned *points, unsigned count)
{
    unsigned next = FIRST_POINT, delta = 0, bias = FIRST_BIAS;
    unsigned basic = 0, done, i;

    for (i = 0; i < count; i++) {
        if (points[i] < FIRST_POINT) {
            ch_buf_putc(out, (char)points[i]);
            basic++;
        }
    }
    if (basic) {
        ch_buf_putc(out, '-');
    }
    for (done = basic; done < count; delta++, next++) {
        unsigned least = least_from(points, count, next);

        delta += (least - next) * (done + 1);
        next = least;
        for (i = 0; i < count; i++) {
            delta += points[i] < next;
            if (points[i] == next) {
                put_number(out, delta, bias);
                bias = adapt(delta, done + 1, done == basic);
                delta = 0;
                done++;
            }
        }
    }
}

/* --- labels ----------------------------------------------------------- */

/* One code point of valid UTF-8. */
static unsigned read_point(const unsigned char **at)
{
    const unsigned char *s = *at;
    int more = s[0] < 0x80 ? 0 : s[0] < 0xE0 ? 1 : s[0] < 0xF0 ? 2 : 3;
    unsigned point = more ? s[0] & (0x3Fu >> more) : s[0];

    for (s++; more > 0; more--, s++) {
        point = point << 6 | (*s & 0x3Fu);
    }
    *at = s;
    return point;
}

static int is_ascii(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return 0;
        }
    }
    return 1;
}

/* What folding makes of a character may be anything, such as @ or /. */
static int is_host_char(unsigned point)
{
    return point >= 0x80 || apr_isalnum(point) || point == '-'
           || point == '_';
}

static int put_label(ch_buf_t *out, const char *label, size_t len)
{
    const unsigned char *at = (const unsigned char *)label;
    const unsigned char *end = at + len;
    unsigned points[LABEL_MAX];
    unsigned count = 0;
    size_t from = out->len;

    while (at < end) {
        if (count == LABEL_MAX) {
            return 0;
        }
        points[count] = read_point(&at);
        if (!is_host_char(points[count++])) {
            return 0;
        }
    }
    if (is_ascii(label, len)) {
        ch_buf_add(out, label, len);
        return len > 0;
    }
    CH_BUF_LIT(out, "xn--");
    put_points(out, points, count);
    return out->len - from <= LABEL_MAX;
}

const char *ch_idna_ascii(apr_pool_t *pool, const char *domain, size_t len)
{
    ch_buf_t *out = ch_buf_make(pool, 64, DOMAIN_MAX);
    const char *label, *end, *dot;

    if (!is_ascii(domain, len)) {
        domain = ch_text_valid(domain, len) ? ch_text_fold(pool, domain, len)
                                            : NULL;
        len = domain ? strlen(domain) : 0;
    }
    if (!len) {
        return NULL;
    }
    end = domain + len;
    for (label = domain; label; label = dot ? dot + 1 : NULL) {
        dot = memchr(label, '.', (size_t)(end - label));
        if (!put_label(out, label, (size_t)((dot ? dot : end) - label))) {
            return NULL;
        }
        if (dot) {
            ch_buf_putc(out, '.');
        }
    }
    return out->overflow ? NULL : ch_buf_cstr(out);
}
