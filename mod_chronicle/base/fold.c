/* What names have in common, and names for addresses, by utf8proc. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <utf8proc.h>

#include "base/text.h"

/* In pool; NULL for text that is no UTF-8. */
static char *mapped(apr_pool_t *pool, const char *text, size_t len, int how)
{
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t size =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len,
                     &made, (utf8proc_option_t)how);
    char *out = size < 0 ? NULL
                         : apr_pstrmemdup(pool, (const char *)made,
                                          (apr_size_t)size);

    free(made);
    return out;
}

char *ch_text_fold(apr_pool_t *pool, const char *text, size_t len)
{
    return mapped(pool, text, len,
                  UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT
                      | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
}

/* The character of a slug, 0 for one that makes a gap; whatever the locale. */
static char slug_char(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c + 32);
    }
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '\0';
}

const char *ch_text_slug(apr_pool_t *pool, const char *text, size_t max,
                         const char *none)
{
    const char *from = mapped(pool, text, strlen(text),
                              UTF8PROC_STABLE | UTF8PROC_DECOMPOSE
                                  | UTF8PROC_COMPAT | UTF8PROC_STRIPMARK);
    char *out = apr_palloc(pool, max + 1);
    size_t used = 0;
    int gap = 0;

    for (; from && *from && used < max; from++) {
        char c = slug_char(*from);

        if (!c) {
            gap = used > 0;
            continue;
        }
        if (gap) {
            out[used++] = '-';
            gap = 0;
        }
        if (used < max) {
            out[used++] = c;
        }
    }
    while (used && out[used - 1] == '-') {
        used--;
    }
    out[used] = '\0';
    return used ? out : none;
}
