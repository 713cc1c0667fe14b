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

/* --- with a sum ------------------------------------------------------- */

/* Fletcher's: `once` of the words, `twice` of the sums so far, so that the
 * order counts. */
typedef struct {
    apr_uint64_t once;
    apr_uint64_t twice;
} sum_t;

static inline void add(sum_t *sum, apr_uint64_t word)
{
    sum->once += word;
    sum->twice += sum->once;
}

static apr_uint64_t mix(apr_uint64_t sum, apr_uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

static apr_uint64_t total(apr_uint64_t before, const sum_t *sum, size_t len)
{
    return mix(mix(mix(before, len), sum->once), sum->twice);
}

apr_uint64_t ch_words_read_sum(void *to, const void *shared, size_t len,
                               apr_uint64_t before)
{
    const apr_uint64_t *from = shared;
    char *at = to;
    sum_t sum = { 1, 0 };
    size_t left = len;
    apr_uint64_t word;

    for (; left >= CH_WORD; left -= CH_WORD, at += CH_WORD) {
        word = __atomic_load_n(from++, __ATOMIC_ACQUIRE);
        add(&sum, word);
        memcpy(at, &word, CH_WORD);
    }
    if (left) {
        word = __atomic_load_n(from, __ATOMIC_ACQUIRE);
        add(&sum, word);
        memcpy(at, &word, left);
    }
    return total(before, &sum, len);
}

apr_uint64_t ch_words_write_sum(void *shared, const void *from, size_t len,
                                apr_uint64_t before)
{
    apr_uint64_t *to = shared;
    const char *at = from;
    sum_t sum = { 1, 0 };
    size_t left = len;
    apr_uint64_t word;

    for (; left >= CH_WORD; left -= CH_WORD, at += CH_WORD) {
        memcpy(&word, at, CH_WORD);
        add(&sum, word);
        __atomic_store_n(to++, word, __ATOMIC_RELEASE);
    }
    if (left) {
        word = 0;
        memcpy(&word, at, left);
        add(&sum, word);
        __atomic_store_n(to, word, __ATOMIC_RELEASE);
    }
    return total(before, &sum, len);
}
