/* A cache whose ring ends where memory that may be touched ends, and answers
 * that nobody else has, for its tests. */
#ifndef CH_TESTS_CACHE_H
#define CH_TESTS_CACHE_H

#include "ch_check.h"

#include <sys/mman.h>

#include <apr_strings.h>

#include "base/steady.h"
#include "store/cache.h"

#define PAGE 4096
#define FOR_LONG 1000000 /* seconds */

/* The clock of this program: it stands still until it is put forward. */
static apr_time_t clock_now = APR_INT64_C(1769250600000000);

apr_time_t apr_time_now(void)
{
    return clock_now;
}

apr_time_t ch_steady_now(void)
{
    return clock_now;
}

static char *memory;
static size_t memory_size;

/* The ring ends where the memory that may be touched ends. */
static inline void open_cache(size_t bytes)
{
    size_t room;
    char *pages;

    memory_size = ch_cache_size(bytes);
    room = (memory_size + PAGE - 1) / PAGE * PAGE;
    pages = mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(pages, MAP_FAILED);
    ck_assert_int_eq(mprotect(pages + room, PAGE, PROT_NONE), 0);
    memory = pages + (room - memory_size) / 8 * 8;
    ch_cache_open(memory, bytes);
}

/* --- answers --------------------------------------------------------------
 */

typedef struct {
    unsigned char bytes[CH_CACHE_KEY];
} cache_key_t;

/* Keys with the same bucket number share a bucket, whatever their number. */
static inline cache_key_t key_in(apr_uint64_t bucket, apr_uint64_t number)
{
    cache_key_t key;

    memcpy(key.bytes, &bucket, 8);
    memcpy(key.bytes + 8, &number, 8);
    return key;
}

static inline cache_key_t key_of(unsigned number)
{
    return key_in(number, number * APR_UINT64_C(0x9e3779b97f4a7c15));
}

static inline unsigned next_random(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#define LEN_MAX 6400

/* An answer that nobody else has: a head of (number, version), a body that
 * follows from both. */
typedef struct {
    unsigned head[2];
    unsigned body[LEN_MAX / sizeof(unsigned)];
    size_t len;
} answer_t;

static inline void compose(answer_t *answer, unsigned number, unsigned version,
                           size_t max)
{
    unsigned state = (number * 2654435761U) ^ (version * 40503U) ^ 0x5bd1e995;
    size_t i;

    state = state ? state : 1;
    answer->head[0] = number;
    answer->head[1] = version;
    answer->len = next_random(&state) % (max + 1);
    for (i = 0; i * sizeof(unsigned) < answer->len; i++) {
        answer->body[i] = state + (unsigned)i * 0x01000193;
    }
}

static inline void put(unsigned number, unsigned version, size_t max)
{
    cache_key_t key = key_of(number);
    answer_t answer;
    ch_kept_t kept;

    compose(&answer, number, version, max);
    kept.head = (ch_bytes_t){ (char *)answer.head, sizeof(answer.head) };
    kept.body = (ch_bytes_t){ (char *)answer.body, answer.len };
    ch_cache_put(key.bytes, &kept, FOR_LONG);
}

/* 1 and the version: all of it fits; 0: nothing; -1: what came is nobody's. */
static inline int get(apr_pool_t *p, unsigned number, size_t max,
                      unsigned *version)
{
    cache_key_t key = key_of(number);
    answer_t want;
    unsigned head[2];
    ch_kept_t kept;

    if (!ch_cache_get(p, key.bytes, &kept)) {
        return 0;
    }
    if (kept.head.len != sizeof(head)) {
        return -1;
    }
    memcpy(head, kept.head.data, sizeof(head));
    compose(&want, number, head[1], max);
    *version = head[1];
    return head[0] == number && kept.body.len == want.len
                   && memcmp(kept.body.data, want.body, want.len) == 0
               ? 1
               : -1;
}

static inline void put_texts(cache_key_t key, const char *head,
                             const char *body, int seconds)
{
    const ch_kept_t kept = { .head = { head, strlen(head) },
                             .body = { body, strlen(body) } };

    ch_cache_put(key.bytes, &kept, seconds);
}

/* "head|body", "" when there is nothing. */
static inline const char *get_texts(cache_key_t key)
{
    ch_kept_t kept;

    if (!ch_cache_get(pool, key.bytes, &kept)) {
        return "";
    }
    ck_assert_uint_eq(strlen(kept.head.data), kept.head.len);
    ck_assert_uint_eq(strlen(kept.body.data), kept.body.len);
    return apr_pstrcat(pool, kept.head.data, "|", kept.body.data, NULL);
}

#endif
