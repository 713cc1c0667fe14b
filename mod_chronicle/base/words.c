/* Copies word by word, by acquiring loads and releasing stores. */
#include "base/words.h"

#include <string.h>

size_t ch_words_size(size_t len)
{
    return (len + CH_WORD - 1) / CH_WORD * CH_WORD;
}

void ch_words_read(void *to, const void *shared, size_t len)
{
    const apr_uint64_t *from = shared;
    char *at = to;
    apr_uint64_t word;

    for (; len >= CH_WORD; len -= CH_WORD, at += CH_WORD) {
        word = __atomic_load_n(from++, __ATOMIC_ACQUIRE);
        memcpy(at, &word, CH_WORD);
    }
    if (len) {
        word = __atomic_load_n(from, __ATOMIC_ACQUIRE);
        memcpy(at, &word, len);
    }
}

void ch_words_write(void *shared, const void *from, size_t len)
{
    apr_uint64_t *to = shared;
    const char *at = from;
    apr_uint64_t word = 0;

    for (; len >= CH_WORD; len -= CH_WORD, at += CH_WORD) {
        memcpy(&word, at, CH_WORD);
        __atomic_store_n(to++, word, __ATOMIC_RELEASE);
    }
    if (len) {
        word = 0;
        memcpy(&word, at, len);
        __atomic_store_n(to, word, __ATOMIC_RELEASE);
    }
}
