/* Tests of base/merge3, rule by rule; test_base_merge3_git.c has texts that
 * are made at random. */
#include "ch_check.h"

#include <time.h>

#include <apr_thread_proc.h>
#include <git2.h>
#include <git2/sys/alloc.h>

#include "ch_merge.h"

#define THREADS 8

/* --- with a base ------------------------------------------------------ */

#define CLASH(server, client)                                                 \
    "<<<<<<< server\n" server "=======\n" client ">>>>>>> client\n"
#define CRLF_CLASH(server, client)                                            \
    "<<<<<<< server\r\n" server "=======\r\n" client ">>>>>>> client\r\n"

#define AE "\xc3\xa4\n\xc3\xa4\n\xc3\xa4\n\xc3\xa4\n"

static const struct {
    const char *base, *server, *client, *out;
    int clashes;
} merges[] = {
    { "", "", "", "", 0 },
    { "a\n", "a\n", "a\n", "a\n", 0 },
    /* one side changed, or both alike */
    { "a\nb\n", "a\nb\n", "a\nB\n", "a\nB\n", 0 },
    { "a\nb\n", "a\nB\n", "a\nb\n", "a\nB\n", 0 },
    { "a\nb\n", "a\nB\n", "a\nB\n", "a\nB\n", 0 },
    { "a\nb\nc\nd\n", "a\nB\nc\nd\n", "a\nB\nc\nD\n", "a\nB\nc\nD\n", 0 },
    { "a\n", "", "", "", 0 },
    { "", "a\n", "a\n", "a\n", 0 },
    /* both changed, elsewhere */
    { "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n", 0 },
    { "a\nb\nc\n", "a\nB\nc\n", "a\nb\nc\nd\n", "a\nB\nc\nd\n", 0 },
    { "a\nb\nc\n", "b\nc\n", "a\nb\n", "b\n", 0 },
    { "a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC", 0 },
    /* the same lines, or lines beside each other */
    { "a\nb\nc", "a\nX\nc", "a\nY\nc", "a\n" CLASH("X\n", "Y\n") "c", 1 },
    { "a\nb\n", "A\nb\n", "a\nB\n", CLASH("A\nb\n", "a\nB\n"), 1 },
    { "a\nb\nc\n", "a\nc\n", "a\nB\nc\n", "a\n" CLASH("", "B\n") "c\n", 1 },
    { "a\n", "", "b\n", CLASH("", "b\n"), 1 },
    { "", "a\n", "b\n", CLASH("a\n", "b\n"), 1 },
    { "1\n2\n3\n4\n5\n6\n", "a\n2\n3\n4\n5\nb\n", "c\n2\n3\n4\n5\nd\n",
      CLASH("a\n", "c\n") "2\n3\n4\n5\n" CLASH("b\n", "d\n"), 2 },
    /* what is equal inside of a region is taken out of it */
    { "1\n", "a\nx\ny\nz\nw\nb\n", "c\nx\ny\nz\nw\nd\n",
      CLASH("a\n", "c\n") "x\ny\nz\nw\n" CLASH("b\n", "d\n"), 2 },
    /* but three lines, or ones without ASCII letters, hold two together */
    { "1\n2\n3\n4\n5\n", "a\n2\n3\n4\nb\n", "c\n2\n3\n4\nd\n",
      CLASH("a\n2\n3\n4\nb\n", "c\n2\n3\n4\nd\n"), 1 },
    { "1\n}\n)\n\n \n2\n", "a\n}\n)\n\n \nb\n", "c\n}\n)\n\n \nd\n",
      CLASH("a\n}\n)\n\n \nb\n", "c\n}\n)\n\n \nd\n"), 1 },
    { "1\n" AE "2\n", "a\n" AE "b\n", "c\n" AE "d\n",
      CLASH("a\n" AE "b\n", "c\n" AE "d\n"), 1 },
    { "1\n" AE "z\n2\n", "a\n" AE "z\nb\n", "c\n" AE "z\nd\n",
      CLASH("a\n", "c\n") AE "z\n" CLASH("b\n", "d\n"), 2 },
    /* a last line without an end is another line than one with it */
    { "a", "a\n", "a", "a\n", 0 },
    { "a\n", "a", "a\n", "a", 0 },
    { "a", "b", "c", CLASH("b\n", "c\n"), 1 },
    { "a\nb\nc", "a\nB\nc", "a\nb\nc\nd",
      "a\n" CLASH("B\nc\n", "b\nc\nd\n"), 1 },
    { "a\nb", "a\nb\n", "a\nc", "a\n" CLASH("b\n", "c\n"), 1 },
    { "a\nb", "a\nc", "a\nb\n", "a\n" CLASH("c\n", "b\n"), 1 },
    /* the markers end as the lines do */
    { "a\r\nb\r\nc\r\n", "a\r\nX\r\nc\r\n", "a\r\nY\r\nc\r\n",
      "a\r\n" CRLF_CLASH("X\r\n", "Y\r\n") "c\r\n", 1 },
    { "a\r\nb", "a\r\nX", "a\r\nY", "a\r\n" CRLF_CLASH("X\r\n", "Y\r\n"), 1 },
    { "a\nb\n", "a\r\nX\r\n", "a\r\nY\r\n", "a\r\n" CLASH("X\r\n", "Y\r\n"),
      1 },
    { "a\nb\n", "a\nb\n", "a\r\nb\r\n", "a\r\nb\r\n", 0 },
    { "\r\n1\r\n", "\r\n2\r\n", "\r\n3\r\n",
      "\r\n" CRLF_CLASH("2\r\n", "3\r\n"), 1 },
    { "a\rb\n", "a\rc\n", "a\rd\n", CLASH("a\rc\n", "a\rd\n"), 1 },
    { "a\r", "b\r", "c\r", CLASH("b\r\n", "c\r\n"), 1 },
    /* texts that look like markers, and like what is made of them inside */
    { "<<<<<<< server\n", "=======\n", "<<<<<<< server\n", "=======\n", 0 },
    { "a\nb\n", "a\n" CLASH("x\n", "y\n"), "a\n" CLASH("x\n", "z\n"),
      "a\n<<<<<<< server\nx\n=======\n" CLASH("y\n", "z\n")
      ">>>>>>> client\n", 1 },
    { "a     \n", "a    !\n", "-     \n", CLASH("a    !\n", "-     \n"), 1 },
    { "<\n>\n=\n", "<\n!\n=\n", "<\n>\n=\n>", "<\n!\n=\n>", 0 },
};

START_TEST(merges_as_told)
{
    const ch_bytes_t texts[SIDES] = { [BASE] = bytes(merges[_i].base),
                                      [SERVER] = bytes(merges[_i].server),
                                      [CLIENT] = bytes(merges[_i].client) };
    int clashes;

    expect(merge(&texts[BASE], texts[SERVER], texts[CLIENT], &clashes),
           bytes(merges[_i].out));
    ck_assert_int_eq(clashes, merges[_i].clashes);
    expect_as_git(texts);
}
END_TEST

/* Bytes that git's program refuses, or that a locale could take for letters.
 */
START_TEST(any_bytes_are_text)
{
    static const char zeros[] = "\0\n1\n\0\0\n";
    const ch_bytes_t base = { .data = zeros, .len = 7 };
    const ch_bytes_t server = { .data = "\xff\n1\n\0\0\n", .len = 7 };
    const ch_bytes_t client = { .data = "\0\n1\n\0\xfe\n", .len = 7 };
    const ch_bytes_t want = { .data = "\xff\n1\n\0\xfe\n", .len = 7 };
    int clashes;

    expect(merge(&base, server, client, &clashes), want);
    ck_assert_int_eq(clashes, 0);
}
END_TEST

START_TEST(an_empty_text_needs_no_address)
{
    const ch_bytes_t none = { .len = 0 };
    const ch_bytes_t text = bytes("a\n");
    ch_bytes_t out;
    int clashes;

    ck_assert_ptr_null(ch_merge3(pool, &none, none, none, &out, &clashes));
    expect(out, bytes(""));
    ck_assert_ptr_null(ch_merge3(pool, &text, none, bytes("b\n"), &out,
                                 &clashes));
    expect(out, bytes(CLASH("", "b\n")));
    ck_assert_ptr_null(ch_merge3(pool, NULL, text, none, &out, &clashes));
    expect(out, bytes(CLASH("a\n", "")));
}
END_TEST

/* --- without a base --------------------------------------------------- */

static const struct {
    const char *server, *client, *out;
    int clashes;
} regions[] = {
    { "", "", "", 0 },
    { "a\nb", "a\nb", "a\nb", 0 },
    { "a\nb\nc\n", "a\nB\nc\n", "a\n" CLASH("b\n", "B\n") "c\n", 1 },
    /* one region, whatever is equal inside of it */
    { "a\n1\nx\n2\nz\n", "a\n3\nx\n4\nz\n",
      "a\n" CLASH("1\nx\n2\n", "3\nx\n4\n") "z\n", 1 },
    /* a side that has nothing there */
    { "", "a\n", CLASH("", "a\n"), 1 },
    { "a\n", "", CLASH("a\n", ""), 1 },
    { "a\n", "a\nb\n", "a\n" CLASH("", "b\n"), 1 },
    { "a\nb\n", "b\n", CLASH("a\n", "") "b\n", 1 },
    { "a\na\n", "a\n", "a\n" CLASH("a\n", ""), 1 },
    { "a\na\na", "a\na", "a\n" CLASH("a\n", "") "a", 1 },
    /* whole lines only */
    { "xa\nyb\n", "xc\nzb\n", CLASH("xa\nyb\n", "xc\nzb\n"), 1 },
    { "bb\n", "b\n", CLASH("bb\n", "b\n"), 1 },
    { "1\nb", "2\nb", CLASH("1\n", "2\n") "b", 1 },
    /* last lines without an end */
    { "a\nb", "a\nb\n", "a\n" CLASH("b\n", "b\n"), 1 },
    { "a", "b", CLASH("a\n", "b\n"), 1 },
    { "a", "a\nb", CLASH("a\n", "a\nb\n"), 1 },
    /* the markers end as the lines do */
    { "a\r\n1\r\n", "a\r\n2\r\n", "a\r\n" CRLF_CLASH("1\r\n", "2\r\n"), 1 },
    { "1\r\n", "2\r\n3", CRLF_CLASH("1\r\n", "2\r\n3\r\n"), 1 },
    { "1\r\n", "", CRLF_CLASH("1\r\n", ""), 1 },
    { "1\r\n", "2\n", CLASH("1\r\n", "2\n"), 1 },
    { "1\r\n", "1\n", CLASH("1\r\n", "1\n"), 1 },
    { "1\r\n", "2", CRLF_CLASH("1\r\n", "2\r\n"), 1 },
    /* markers as text */
    { "a\n=======\nb\n", "a\n=======\nc\n",
      "a\n=======\n" CLASH("b\n", "c\n"), 1 },
};

START_TEST(one_region_without_base)
{
    int clashes;

    expect(merge(NULL, bytes(regions[_i].server), bytes(regions[_i].client),
                 &clashes),
           bytes(regions[_i].out));
    ck_assert_int_eq(clashes, regions[_i].clashes);
}
END_TEST

/* --- large ones ------------------------------------------------------- */

/* Lines 0 to count - 1, of which each n-th is somebody's own. */
static ch_bytes_t numbered(int count, int n, const char *whose)
{
    ch_buf_t *buf = ch_buf_make(pool, 1 << 20, 1 << 26);
    int i;

    for (i = 0; i < count; i++) {
        ch_buf_printf(buf, "%d%s\n", i, n && i % n == 0 ? whose : "");
    }
    return (ch_bytes_t){ .data = buf->data, .len = buf->len };
}

/* git's status can't say more than 127. */
START_TEST(many_clashes_are_counted)
{
    const ch_bytes_t texts[SIDES] = { [BASE] = numbered(20000, 0, ""),
                                      [SERVER] = numbered(20000, 5, "s"),
                                      [CLIENT] = numbered(20000, 40, "c") };

    ck_assert_int_eq(expect_as_git(texts), 500);
}
END_TEST

static ch_bytes_t one_line(size_t len, size_t at, char c)
{
    char *data = apr_palloc(pool, len);

    memset(data, 'x', len);
    data[at] = c;
    return (ch_bytes_t){ .data = data, .len = len };
}

START_TEST(one_huge_line)
{
    const ch_bytes_t texts[SIDES] = { [BASE] = one_line(2000000, 0, 'b'),
                                      [SERVER] = one_line(2000000, 1, 's'),
                                      [CLIENT] = one_line(2000000, 2, 'c') };

    ck_assert_int_eq(expect_as_git(texts), 1);
}
END_TEST

START_TEST(as_many_lines_as_may_be)
{
    const int max = CH_MERGE3_LINES_MAX;
    const ch_bytes_t texts[SIDES] = { [BASE] = numbered(max, 0, ""),
                                      [SERVER] = numbered(max, 1000, "s"),
                                      [CLIENT] = numbered(max, 10000, "c") };

    ck_assert_int_eq(expect_as_git(texts), 10);
}
END_TEST

START_TEST(too_many_lines_are_one_region)
{
    const int max = CH_MERGE3_LINES_MAX;
    ch_bytes_t base = numbered(max, 0, "");
    int clashes;

    merge(&base, numbered(max + 1, 1000, "s"), numbered(max, 10000, "c"),
          &clashes);
    ck_assert_int_eq(clashes, 1);
    merge(&base, numbered(max, 1000, "s"), numbered(max + 1, 10000, "c"),
          &clashes);
    ck_assert_int_eq(clashes, 1);
    base = numbered(max + 1, 0, "");
    merge(&base, numbered(max, 1000, "s"), numbered(max, 10000, "c"),
          &clashes);
    ck_assert_int_eq(clashes, 1);
    /* if only one side changed, there is nothing to compare */
    expect(merge(&base, base, numbered(5, 1, "c"), &clashes),
           numbered(5, 1, "c"));
    ck_assert_int_eq(clashes, 0);
}
END_TEST

/* Two pairs of letters, between which a hash of libgit2 (h = h * 33 ^ c) can't
 * tell once it has come to this. The answer is what it comes to then. */
static apr_uint64_t same_hash(apr_uint64_t hash, char pairs[2][2])
{
    char a, b, c;

    for (a = '0'; a < 'z'; a++) {
        for (b = (char)(a + 1); b <= 'z'; b++) {
            apr_uint64_t one = (hash * 33 ^ (unsigned)a) * 33;
            apr_uint64_t differ = one ^ (hash * 33 ^ (unsigned)b) * 33;

            for (c = '0'; differ < 128 && c <= 'z'; c++) {
                if ((c ^ (char)differ) >= '0') {
                    pairs[0][0] = a;
                    pairs[0][1] = c;
                    pairs[1][0] = b;
                    pairs[1][1] = (char)(c ^ (char)differ);
                    return one ^ (unsigned)c;
                }
            }
        }
    }
    ck_abort_msg("there is no such pair");
    return 0;
}

/* Different lines with one hash, in an order that depends on `order`. */
static ch_bytes_t colliding(int count, unsigned order)
{
    ch_buf_t *buf = ch_buf_make(pool, 1 << 22, 1 << 22);
    apr_uint64_t hash = 5381;
    char pairs[16][2][2];
    int i, n;

    for (i = 0; i < 16; i++) {
        hash = same_hash(hash, pairs[i]);
    }
    for (n = 0; n < count; n++) {
        unsigned bits = ((unsigned)n * 40503u ^ order) & 0xffff;

        for (i = 0; i < 16; i++) {
            ch_buf_add(buf, pairs[i][bits >> i & 1], 2);
        }
        ch_buf_putc(buf, '\n');
    }
    return (ch_bytes_t){ .data = buf->data, .len = buf->len };
}

/* Without words instead of lines this takes libgit2 42 s. */
START_TEST(nobody_chooses_hashes)
{
    ch_bytes_t base = colliding(60000, 0);
    clock_t begin = clock();
    int clashes;

    merge(&base, colliding(60000, 0x5555), colliding(60000, 0x1234),
          &clashes);
    ck_assert_int_gt(clashes, 0);
    ck_assert_int_lt((clock() - begin) / CLOCKS_PER_SEC, 10);
}
END_TEST

/* --- the library ------------------------------------------------------ */

static void *APR_THREAD_FUNC merge_often(apr_thread_t *thread, void *data)
{
    apr_pool_t *own;
    int i, *wrong = data;

    apr_pool_create(&own, NULL);
    for (i = 0; i < 200; i++) {
        ch_bytes_t base = bytes("a\nb\nc\n"), out;
        int clashes;

        if (ch_merge3(own, &base, bytes("A\nb\nc\n"), bytes("a\nb\nC\n"),
                      &out, &clashes)
            || clashes || out.len != 6 || memcmp(out.data, "A\nb\nC\n", 6)) {
            (*wrong)++;
        }
        apr_pool_clear(own);
    }
    apr_pool_destroy(own);
    return NULL;
}

START_TEST(many_threads_begin_at_once)
{
    apr_thread_t *threads[THREADS];
    int wrong[THREADS] = { 0 }, i;
    apr_status_t rv;

    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, merge_often,
                                           &wrong[i], pool),
                         APR_SUCCESS);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&rv, threads[i]);
        ck_assert_int_eq(wrong[i], 0);
    }
}
END_TEST

static int calls, fail_at;

/* libgit2 forgets a few blocks when it fails. Held here, they are no leak that
 * a sanitizer would find. */
static void *held[4096];
static size_t held_count;

static void *scarce_realloc(void *block, size_t size, const char *file,
                            int line)
{
    if (++calls == fail_at) {
        return NULL;
    }
    block = realloc(block, size);
    ck_assert_uint_lt(held_count, CH_COUNT(held));
    held[held_count++] = block;
    return block;
}

static void *scarce_malloc(size_t size, const char *file, int line)
{
    return scarce_realloc(NULL, size, file, line);
}

static void give_back(void *block)
{
    free(block);
}

#if LIBGIT2_VER_MAJOR == 1 && LIBGIT2_VER_MINOR < 7
#define MORE_FUNCTIONS                                                        \
    .gcalloc = scarce_calloc, .gstrdup = scarce_strdup,

static void *scarce_calloc(size_t count, size_t size, const char *file,
                           int line)
{
    void *block = scarce_malloc(count * size, file, line);

    return block ? memset(block, 0, count * size) : NULL;
}

static char *scarce_strdup(const char *text, const char *file, int line)
{
    char *copy = scarce_malloc(strlen(text) + 1, file, line);

    return copy ? memcpy(copy, text, strlen(text) + 1) : NULL;
}
#else
#define MORE_FUNCTIONS
#endif

/* The n-th time that libgit2 asks for memory there is none, for every n. */
START_TEST(out_of_memory)
{
    git_allocator scarce = { .gmalloc = scarce_malloc,
                             .grealloc = scarce_realloc,
                             MORE_FUNCTIONS.gfree = give_back };
    const ch_bytes_t base = bytes("a\nb\nc\n");
    ch_bytes_t out;
    ch_err_t *err;
    int clashes;

    ck_assert_int_gt(git_libgit2_init(), 0);
    git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, &scarce);
    for (fail_at = 1;; fail_at++) {
        calls = 0;
        err = ch_merge3(pool, &base, bytes("a\nX\nc\n"),
                        bytes("a\nY\nc\n"), &out, &clashes);
        if (!err) {
            break;
        }
        ck_assert_int_eq(err->code, CH_E_INTERNAL_ERROR);
        ck_assert_ptr_nonnull(strstr(err->cause, "libgit2: "));
    }
    expect(out, bytes("a\n" CLASH("X\n", "Y\n") "c\n"));
    ck_assert_int_gt(fail_at, 10);
    ck_assert_int_eq(calls, fail_at - 1);
    git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, NULL);
}
END_TEST

CH_SUITE_MAIN("base/merge3", CH_EACH(merges_as_told, merges),
              CH_ONCE(any_bytes_are_text),
              CH_ONCE(an_empty_text_needs_no_address),
              CH_EACH(one_region_without_base, regions),
              CH_ONCE(many_clashes_are_counted), CH_ONCE(one_huge_line),
              CH_ONCE(as_many_lines_as_may_be),
              CH_ONCE(too_many_lines_are_one_region),
              CH_ONCE(nobody_chooses_hashes),
              CH_ONCE(many_threads_begin_at_once), CH_ONCE(out_of_memory))
