/* Fuzzes paging cursors: whatever comes in is refused or was ours, and what is
 * sealed opens again. */
#include "ch_fuzz.h"

#include "base/page.h"

#define COUNT 3
#define BINDING "GET /notes|u1"

static const unsigned char key[32] = "a key of thirty-two bytes, exact";

/* Up to COUNT values from the input, separated by NUL; one that begins with
 * U+0001 is NULL. */
static void split(char *text, size_t len, const char *values[COUNT])
{
    char *end = text + len;
    int i;

    for (i = 0; i < COUNT; i++) {
        values[i] = text < end && *text != 1 ? text : NULL;
        if (text < end) {
            text += strlen(text) + 1;
        }
    }
}

static int same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *values[COUNT];
    const char *back[COUNT];
    const char *cursor;
    int i;

    memcpy(text, data, size);
    text[size] = '\0';
    ch_page_open(pool, key, BINDING, text, back, COUNT);
    split(text, size, values);
    cursor = ch_page_seal(pool, key, BINDING, values, COUNT);
    if (cursor != NULL) {
        CH_PROMISE(strlen(cursor) <= CH_CURSOR_MAX);
        CH_PROMISE(ch_page_open(pool, key, BINDING, cursor, back, COUNT));
        for (i = 0; i < COUNT; i++) {
            CH_PROMISE(same(values[i], back[i]));
        }
        CH_PROMISE(!ch_page_open(pool, key, "other", cursor, back, COUNT));
    }
    free(text);
}
