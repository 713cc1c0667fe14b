/* Fuzzes HTML to text: the result is clean UTF-8, folded and counted. */
#include "ch_fuzz.h"

#include "base/html.h"
#include "base/text.h"

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    size_t len;
    int words;
    const char *text =
        ch_html_text(pool, (const char *)data, size, &len, &words);
    int seen = len > 0;
    size_t i;

    CH_PROMISE(strlen(text) == len); /* no NUL inside */
    CH_PROMISE(ch_text_valid(text, len));
    CH_PROMISE(ch_text_trim(text, len).len == len);
    for (i = 0; i < len; i++) {
        size_t space = ch_text_space_at(text + i, len - i);

        CH_PROMISE(space == 0 || (text[i] == ' ' && text[i + 1] != ' '));
        seen += space > 0;
    }
    CH_PROMISE(seen == words);
    /* a reference takes 5 bytes for 6, a broken byte becomes 3 */
    CH_PROMISE(len <= size * 3);
}
