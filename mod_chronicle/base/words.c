/* Copies memory in words that are loaded and stored atomically. */
#include "base/words.h"

#include <string.h>

/* the memory is of any type */
typedef apr_uint64_t word_t __attribute__((may_alias));

void ch_words_load(void *to, const void *shared, size_t size)
{
    const word_t *at = shared;
    char *out = to;

    for (; size; size -= sizeof(word_t), out += sizeof(word_t)) {
        apr_uint64_t word = __atomic_load_n(at++, __ATOMIC_ACQUIRE);

        memcpy(out, &word, sizeof(word));
    }
}

void ch_words_store(void *shared, const void *from, size_t size)
{
    word_t *at = shared;
    const char *in = from;

    for (; size; size -= sizeof(word_t), in += sizeof(word_t)) {
        apr_uint64_t word;

        memcpy(&word, in, sizeof(word));
        __atomic_store_n(at++, word, __ATOMIC_RELEASE);
    }
}
