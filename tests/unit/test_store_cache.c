/* Tests of store/cache: what is put in comes out whole or not at all, whoever
 * writes at the same time, sleeps in the middle of it, or dies. */
#include "ch_check.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "store/cache.h"

#define PAGE 4096
#define FOR_LONG 1000000 /* seconds */

/* The clock of this program: it stands still until it is put forward. */
static apr_time_t clock_now = APR_INT64_C(1769250600000000);

apr_time_t apr_time_now(void)
{
    return clock_now;
}

static char *memory;
static size_t memory_size;

/* The ring ends where the memory that may be touched ends. */
static void open_cache(size_t bytes)
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
static cache_key_t key_in(apr_uint64_t bucket, apr_uint64_t number)
{
    cache_key_t key;

    memcpy(key.bytes, &bucket, 8);
    memcpy(key.bytes + 8, &number, 8);
    return key;
}

static cache_key_t key_of(unsigned number)
{
    return key_in(number, number * APR_UINT64_C(0x9e3779b97f4a7c15));
}

static unsigned next_random(unsigned *state)
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

static void compose(answer_t *answer, unsigned number, unsigned version,
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

static void put(unsigned number, unsigned version, size_t max)
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
static int get(apr_pool_t *p, unsigned number, size_t max, unsigned *version)
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

static void put_texts(cache_key_t key, const char *head, const char *body,
                      int seconds)
{
    const ch_kept_t kept = { .head = { head, strlen(head) },
                             .body = { body, strlen(body) } };

    ch_cache_put(key.bytes, &kept, seconds);
}

/* "head|body", "" when there is nothing. */
static const char *get_texts(cache_key_t key)
{
    ch_kept_t kept;

    if (!ch_cache_get(pool, key.bytes, &kept)) {
        return "";
    }
    ck_assert_uint_eq(strlen(kept.head.data), kept.head.len);
    ck_assert_uint_eq(strlen(kept.body.data), kept.body.len);
    return apr_pstrcat(pool, kept.head.data, "|", kept.body.data, NULL);
}

/* --- one after the other --------------------------------------------------
 */

START_TEST(no_cache)
{
    char untouched[64] = "";

    put(1, 1, 100);
    ck_assert_str_eq(get_texts(key_of(1)), "");
    ck_assert_uint_eq(ch_cache_size(0), 0);
    ch_cache_open(NULL, 0);
    put(1, 1, 100);
    ck_assert_str_eq(get_texts(key_of(1)), "");
    /* too little for anything */
    ch_cache_open(untouched, 7);
    put_texts(key_of(1), "", "", 9);
    ck_assert_str_eq(get_texts(key_of(1)), "");
}
END_TEST

START_TEST(in_and_out)
{
    open_cache(64 * 1024);
    ck_assert_str_eq(get_texts(key_of(1)), "");
    put_texts(key_of(1), "\"v1\"", "the answer", 9);
    ck_assert_str_eq(get_texts(key_of(1)), "\"v1\"|the answer");
    put_texts(key_of(2), "", "no tag", 9);
    ck_assert_str_eq(get_texts(key_of(2)), "|no tag");
    put_texts(key_of(3), "\"v3\"", "", 9);
    ck_assert_str_eq(get_texts(key_of(3)), "\"v3\"|");
    put_texts(key_of(4), "", "", 9);
    ck_assert_str_eq(get_texts(key_of(4)), "|");
    ck_assert_str_eq(get_texts(key_of(1)), "\"v1\"|the answer");
    /* another one in the same bucket is not there */
    ck_assert_str_eq(get_texts(key_in(1, 1)), "");
}
END_TEST

START_TEST(the_last_one_counts)
{
    open_cache(64 * 1024);
    put_texts(key_of(1), "a", "first", 9);
    put_texts(key_of(1), "b", "second", 9);
    ck_assert_str_eq(get_texts(key_of(1)), "b|second");
}
END_TEST

START_TEST(its_time)
{
    open_cache(64 * 1024);
    put_texts(key_of(1), "", "x", 5);
    clock_now += apr_time_from_sec(5) - 1;
    ck_assert_str_eq(get_texts(key_of(1)), "|x");
    clock_now += 1;
    ck_assert_str_eq(get_texts(key_of(1)), "");
    put_texts(key_of(1), "", "y", 5);
    ck_assert_str_eq(get_texts(key_of(1)), "|y");
}
END_TEST

/* Every length, wherever in a word it ends. */
START_TEST(lengths)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyz";
    size_t head, body;

    open_cache(64 * 1024);
    for (head = 0; head <= 17; head++) {
        for (body = 0; body <= 17; body++) {
            const ch_kept_t kept = {
                .head = { ch_check_copy(bytes, head), head },
                .body = { ch_check_copy(bytes, body), body }
            };
            ch_kept_t got;

            ch_cache_put(key_of(1).bytes, &kept, 9);
            ck_assert(ch_cache_get(pool, key_of(1).bytes, &got));
            ck_assert_uint_eq(got.head.len, head);
            ck_assert_uint_eq(got.body.len, body);
            ck_assert_int_eq(memcmp(got.head.data, bytes, head), 0);
            ck_assert_int_eq(memcmp(got.body.data, bytes, body), 0);
        }
    }
}
END_TEST

START_TEST(too_long)
{
    size_t share = 64 * 1024 / 16;
    char *text = apr_palloc(pool, share + 2);
    ch_kept_t kept = { .head = { "h", 1 } };

    open_cache(64 * 1024);
    memset(text, 'x', share + 1);
    kept.body = (ch_bytes_t){ text, share - 1 };
    ch_cache_put(key_of(1).bytes, &kept, 9);
    ck_assert(ch_cache_get(pool, key_of(1).bytes, &kept));
    kept.body = (ch_bytes_t){ text, share };
    ch_cache_put(key_of(2).bytes, &kept, 9);
    ck_assert(!ch_cache_get(pool, key_of(2).bytes, &kept));
    ck_assert(ch_cache_get(pool, key_of(1).bytes, &kept));
}
END_TEST

/* A bucket holds four; the fifth takes the place of the oldest. */
START_TEST(a_full_bucket)
{
    unsigned i;

    open_cache(64 * 1024);
    for (i = 1; i <= 4; i++) {
        put_texts(key_in(5, i), "", "x", 9);
    }
    put_texts(key_in(5, 2), "", "x", 9); /* now the youngest */
    put_texts(key_in(5, 5), "", "x", 9);
    put_texts(key_in(5, 6), "", "x", 9);
    for (i = 1; i <= 6; i++) {
        ck_assert_str_eq(get_texts(key_in(5, i)),
                         i == 1 || i == 3 ? "" : "|x");
    }
}
END_TEST

/* --- the ring -------------------------------------------------------------
 */

static const size_t sizes[] = { 8192, 8192 + 8, 65536, 100000, 99 };

/* Round and round: the newest one is always there, an old one is right or
 * not there, nothing is written behind the end, nothing into the index. */
START_TEST(round_and_round)
{
    size_t bytes = sizes[_i];
    size_t max = bytes >= 128 ? bytes / 16 - 8 : 0; /* less the head */
    unsigned found = 0, version, i, k;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    open_cache(bytes);
    for (i = 0; i < 5000; i++) {
        apr_pool_clear(p);
        put(i, i, max);
        if (bytes / 16 < 8) {
            ck_assert_int_eq(get(p, i, max, &version), 0);
            continue;
        }
        for (k = 0; k < 20 && k <= i; k++) {
            int got = get(p, i - k, max, &version);

            ck_assert_int_ge(got, k ? 0 : 1);
            found += got;
        }
    }
    if (bytes / 16 >= 8) {
        ck_assert_uint_gt(found, i * 3);
    }
}
END_TEST

/* How much of it is there is a matter of its size. */
START_TEST(nothing_goes_too_early)
{
    unsigned version, i;

    open_cache(64 * 1024);
    /* less than the ring holds, and four for each of its buckets */
    for (i = 0; i < 32; i++) {
        put(i, 1, 1900);
    }
    for (i = 0; i < 32; i++) {
        ck_assert_int_eq(get(pool, i, 1900, &version), 1);
    }
}
END_TEST

/* Where a key's answer was, another one's is now, and be it the same bytes. */
START_TEST(overwritten)
{
    unsigned i;

    open_cache(8192 * 2); /* two buckets */
    put_texts(key_in(1, 1), "", "0123456701234567", 9);
    for (i = 0; i < 8192 * 2 / 16 - 1; i++) {
        put_texts(key_in(0, i), "", "0123456701234567", 9);
        ck_assert_str_ne(get_texts(key_in(1, 1)), "");
    }
    /* the ring is full; the next one begins anew */
    ck_assert_str_ne(get_texts(key_in(1, 1)), "");
    put_texts(key_in(0, i), "", "0123456701234567", 9);
    ck_assert_str_eq(get_texts(key_in(1, 1)), "");
}
END_TEST

static char *find_bytes(const void *bytes, size_t len)
{
    char *at = memmem(memory, memory_size, bytes, len);

    ck_assert_ptr_nonnull(at);
    return at;
}

/* What a writer does that slept while the ring went round: it writes where
 * somebody else's answer is by now. Any byte of it is noticed. */
START_TEST(spoiled_bytes)
{
    static const char body[] = "0123456789abcdefghijk";
    size_t i;

    open_cache(64 * 1024);
    for (i = 0; i < sizeof(body) - 1; i++) {
        char *at;

        put_texts(key_of(1), "tag", body, 9);
        ck_assert_str_eq(get_texts(key_of(1)),
                         apr_pstrcat(pool, "tag|", body, NULL));
        at = find_bytes(body, sizeof(body) - 1);
        at[i] ^= 1;
        ck_assert_str_eq(get_texts(key_of(1)), "");
        at[i] = '.'; /* not to be found again */
    }
    put_texts(key_of(1), "some tag", body, 9);
    *find_bytes("some tag", 8) = 'S';
    ck_assert_str_eq(get_texts(key_of(1)), "");
}
END_TEST

/* --- a writer that died ---------------------------------------------------
 */

/* Leaves the slot of a key as a process does that is killed while it writes:
 * the number before the key is odd. */
static void kill_writer(cache_key_t key)
{
    char *at = find_bytes(key.bytes, sizeof(key.bytes)) - 8;
    apr_uint64_t seq;

    memcpy(&seq, at, sizeof(seq));
    ck_assert_uint_eq(seq % 2, 0);
    seq++;
    memcpy(at, &seq, sizeof(seq));
}

START_TEST(a_dead_writer)
{
    unsigned i;

    open_cache(64 * 1024);
    for (i = 1; i <= 4; i++) {
        put_texts(key_in(5, i), "", "x", 9);
    }
    kill_writer(key_in(5, 1));
    ck_assert_str_eq(get_texts(key_in(5, 1)), "");
    for (i = 2; i <= 4; i++) {
        ck_assert_str_eq(get_texts(key_in(5, i)), "|x");
    }
    /* it costs one place of four, and no more than that */
    for (i = 5; i <= 20; i++) {
        put_texts(key_in(5, i), "", "y", 9);
        ck_assert_str_eq(get_texts(key_in(5, i)), "|y");
    }
    ck_assert_str_eq(get_texts(key_in(5, 18)), "|y");
    ck_assert_str_eq(get_texts(key_in(5, 17)), "");
    put_texts(key_in(5, 1), "", "z", 9);
    ck_assert_str_eq(get_texts(key_in(5, 1)), "|z");
}
END_TEST

START_TEST(four_dead_writers)
{
    unsigned i;

    open_cache(64 * 1024);
    for (i = 1; i <= 4; i++) {
        put_texts(key_in(5, i), "", "x", 9);
    }
    for (i = 1; i <= 4; i++) {
        kill_writer(key_in(5, i));
    }
    put_texts(key_in(5, 6), "", "y", 9);
    ck_assert_str_eq(get_texts(key_in(5, 6)), "");
    put_texts(key_in(6, 6), "", "y", 9);
    ck_assert_str_eq(get_texts(key_in(6, 6)), "|y");
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define KEYS 64
#define BODY_MAX 1500

/* Lies in memory that processes share. */
typedef struct {
    int stop;
    int wrong;
    unsigned puts, gets, hits;
} tally_t;

static tally_t *tally;

static void open_tally(void)
{
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(tally, MAP_FAILED);
}

static int stopped(void)
{
    return __atomic_load_n(&tally->stop, __ATOMIC_ACQUIRE);
}

static void end_all(void)
{
    __atomic_store_n(&tally->stop, 1, __ATOMIC_RELEASE);
}

static void count(unsigned *counter, unsigned n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void write_one(unsigned *state)
{
    unsigned number = next_random(state) % KEYS;

    put(number, next_random(state) % 1000, BODY_MAX);
    count(&tally->puts, 1);
}

static void read_one(apr_pool_t *p, unsigned *state)
{
    unsigned version;
    int got;

    apr_pool_clear(p);
    got = get(p, next_random(state) % KEYS, BODY_MAX, &version);
    count(&tally->gets, 1);
    if (got < 0) {
        __atomic_store_n(&tally->wrong, 1, __ATOMIC_RELAXED);
    }
    count(&tally->hits, got > 0);
}

static void use_much(unsigned seed)
{
    unsigned state = seed * 7919 + 1;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    while (!stopped()) {
        write_one(&state);
        read_one(p, &state);
        read_one(p, &state);
    }
    apr_pool_destroy(p);
}

static void *APR_THREAD_FUNC use_in_thread(apr_thread_t *thread, void *data)
{
    use_much((unsigned)(size_t)data);
    return NULL;
}

static pid_t use_in_process(unsigned seed)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        use_much(seed);
        _exit(0);
    }
    return pid;
}

#define EACH 3

static const size_t rings[] = { 24 * 1024, 256 * 1024 };

/* Three threads here, three processes beside. */
START_TEST(many_at_once)
{
    apr_thread_t *threads[EACH];
    pid_t processes[EACH];
    apr_status_t status;
    size_t i;

    open_cache(rings[_i]);
    open_tally();
    for (i = 0; i < EACH; i++) {
        processes[i] = use_in_process((unsigned)i + 1);
    }
    for (i = 0; i < EACH; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, use_in_thread,
                                           (void *)(i + 11), pool),
                         0);
    }
    sleep(2);
    end_all();
    for (i = 0; i < EACH; i++) {
        apr_thread_join(&status, threads[i]);
        waitpid(processes[i], NULL, 0);
    }
    ck_assert_int_eq(tally->wrong, 0);
    ck_assert_uint_gt(tally->gets, 10000);
    /* the smaller ring has not room for all of them, but for some */
    ck_assert_uint_gt(tally->hits, tally->gets / 50);
}
END_TEST

/* After all that, the buckets take what is put into them. */
static void check_that_it_works(void)
{
    unsigned i, version, there = 0;

    for (i = 1000; i < 1064; i++) {
        put(i, 7, BODY_MAX);
        there += get(pool, i, BODY_MAX, &version) == 1;
    }
    ck_assert_uint_eq(there, 64);
}

START_TEST(writers_that_are_killed)
{
    unsigned state = 99;
    apr_pool_t *p;
    int round, i;

    apr_pool_create(&p, pool);
    open_cache(64 * 1024);
    open_tally();
    for (round = 0; round < 100; round++) {
        pid_t pid = use_in_process((unsigned)round + 1);
        unsigned before = __atomic_load_n(&tally->puts, __ATOMIC_RELAXED);

        for (i = 0; i < 100; i++) {
            read_one(p, &state);
        }
        while (__atomic_load_n(&tally->puts, __ATOMIC_RELAXED) == before) {
            read_one(p, &state);
        }
        usleep(next_random(&state) % 3000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        read_one(p, &state);
    }
    ck_assert_int_eq(tally->wrong, 0);
    ck_assert_uint_gt(tally->hits, 0);
    check_that_it_works();
}
END_TEST

/* A writer is suspended somewhere, often while it copies; the ring goes round
 * several times; it goes on and writes into the answers of others, which are
 * read then. */
START_TEST(writers_that_sleep)
{
    unsigned state = 99;
    apr_pool_t *p;
    int round, i, status;
    pid_t pid;

    apr_pool_create(&p, pool);
    open_cache(24 * 1024);
    open_tally();
    pid = use_in_process(1);
    for (round = 0; round < 400; round++) {
        usleep(next_random(&state) % 500);
        kill(pid, SIGSTOP);
        waitpid(pid, &status, WUNTRACED);
        ck_assert(WIFSTOPPED(status));
        /* between half a round of the ring and two */
        for (i = 16 + (int)(next_random(&state) % 48); i > 0; i--) {
            write_one(&state);
        }
        kill(pid, SIGCONT);
        for (i = 0; i < 100; i++) {
            read_one(p, &state);
        }
    }
    end_all();
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(tally->wrong, 0);
    ck_assert_uint_gt(tally->hits, 0);
    check_that_it_works();
}
END_TEST

CH_SUITE_MAIN("store/cache", CH_ONCE(no_cache), CH_ONCE(in_and_out),
              CH_ONCE(the_last_one_counts), CH_ONCE(its_time),
              CH_ONCE(lengths), CH_ONCE(too_long), CH_ONCE(a_full_bucket),
              CH_EACH(round_and_round, sizes), CH_ONCE(nothing_goes_too_early),
              CH_ONCE(overwritten), CH_ONCE(spoiled_bytes),
              CH_ONCE(a_dead_writer), CH_ONCE(four_dead_writers),
              CH_EACH(many_at_once, rings), CH_ONCE(writers_that_are_killed),
              CH_ONCE(writers_that_sleep))
