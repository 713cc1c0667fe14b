/* Takes query strings and forms apart and decodes them, once. */
#include "web/query.h"

#include <string.h>

#include <apr_strings.h>

#include "base/text.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One decoded byte at *at, which moves on; -1 for a broken escape. */
static int next_byte(const char *text, size_t len, size_t *at,
                     int plus_is_space)
{
    char c = text[(*at)++];
    int high, low;

    if (c == '+' && plus_is_space) {
        return ' ';
    }
    if (c != '%') {
        return (unsigned char)c;
    }
    if (*at + 2 > len) {
        return -1;
    }
    high = hex_value(text[*at]);
    low = hex_value(text[*at + 1]);
    if (high < 0 || low < 0) {
        return -1; /* the "%" alone: what follows is looked at, too */
    }
    *at += 2;
    return high * 16 + low;
}

char *ch_query_decode(apr_pool_t *pool, const char *text, size_t len,
                      int plus_is_space, size_t *out_len, int *broken)
{
    char *out = apr_palloc(pool, len + 1);
    size_t at = 0, n = 0, i;

    while (at < len) {
        int byte = next_byte(text, len, &at, plus_is_space);

        if (byte <= 0) {
            *broken = 1;
            byte = '?';
        }
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    if (!ch_text_valid(out, n)) {
        *broken = 1;
        for (i = 0; i < n; i++) {
            out[i] = (unsigned char)out[i] < 0x80 ? out[i] : '?';
        }
    }
    *out_len = n;
    return out;
}

const apr_array_header_t *ch_query_pairs(apr_pool_t *pool, const char *text,
                                         size_t len)
{
    apr_array_header_t *pairs = apr_array_make(pool, 8, sizeof(ch_pair_t));
    const char *end = text + len;

    while (text < end) {
        const char *amp = memchr(text, '&', (size_t)(end - text));
        size_t size = (size_t)((amp ? amp : end) - text);
        const char *equals = memchr(text, '=', size);
        size_t name_len = equals ? (size_t)(equals - text) : size;
        size_t skip = equals ? name_len + 1 : size;
        size_t unused;

        if (size) {
            ch_pair_t *pair = apr_array_push(pairs);

            pair->broken = 0;
            pair->name = ch_query_decode(pool, text, name_len, 1, &unused,
                                         &pair->broken);
            pair->value = ch_query_decode(pool, text + skip, size - skip, 1,
                                          &pair->len, &pair->broken);
        }
        text += size + (amp != NULL);
    }
    return pairs;
}

const apr_array_header_t *ch_query_parse(apr_pool_t *pool, const char *args)
{
    return ch_query_pairs(pool, args ? args : "", args ? strlen(args) : 0);
}
