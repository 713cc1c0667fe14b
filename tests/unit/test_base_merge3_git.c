/* Tests of base/merge3 against the program git, on texts made at random, which
 * are the same in every run. */
#include "ch_check.h"

#include "ch_merge.h"

#define TRIPLES 400

static unsigned seed;

static unsigned pick(unsigned count)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % count;
}

static const char *const vocabulary[] = {
    "", "", "{", "}", "  ", "-", "a", "b", "The quick brown fox",
    "<p>jumps</p>", "\xc3\xa4\xc3\xb6", "\xe6\x97\xa5\xe6\x9c\xac",
    "\xf0\x9f\x98\x80", "a\rb", "\r", "<<<<<<< server", "=======",
    ">>>>>>> client", "||||||| base", "<<<<<<<", "a     ", "-    !",
    "\t\v\f\001\x7f", "lines that are equal",
};

/* A text being made: whole lines, the last one cut at the end. */
typedef struct {
    const char *lines[400];
    unsigned count;
} draft_t;

static const char *new_line(unsigned crlf)
{
    const char *end = pick(100) < crlf ? "\r\n" : "\n";

    if (pick(2)) {
        return apr_psprintf(pool, "line %u%s", pick(1000), end);
    }
    return apr_pstrcat(pool, vocabulary[pick(CH_COUNT(vocabulary))], end,
                       NULL);
}

static void insert(draft_t *draft, unsigned at, const char *line)
{
    if (draft->count < CH_COUNT(draft->lines)) {
        memmove(draft->lines + at + 1, draft->lines + at,
                (draft->count - at) * sizeof(*draft->lines));
        draft->lines[at] = line;
        draft->count++;
    }
}

static const char *take(draft_t *draft, unsigned at)
{
    const char *line = draft->lines[at];

    draft->count--;
    memmove(draft->lines + at, draft->lines + at + 1,
            (draft->count - at) * sizeof(*draft->lines));
    return line;
}

static void mutate(draft_t *draft, unsigned crlf)
{
    unsigned at = draft->count ? pick(draft->count) : 0;

    switch (draft->count ? pick(6) : 0) {
    case 0:
        insert(draft, pick(draft->count + 1), new_line(crlf));
        break;
    case 1:
        take(draft, at);
        break;
    case 2:
        draft->lines[at] = new_line(crlf);
        break;
    case 3: { /* moves */
        const char *line = take(draft, at);

        insert(draft, pick(draft->count + 1), line);
        break;
    }
    case 4: /* doubles */
        insert(draft, pick(draft->count + 1), draft->lines[at]);
        break;
    default: /* changes a block */
        for (; at < draft->count && pick(4); at++) {
            draft->lines[at] = new_line(crlf);
        }
    }
}

static ch_bytes_t text_of(const draft_t *draft)
{
    ch_buf_t *buf = ch_buf_make(pool, 4096, 1 << 20);
    unsigned i;

    for (i = 0; i < draft->count; i++) {
        ch_buf_puts(buf, draft->lines[i]);
    }
    if (buf->len && pick(3) == 0) {
        buf->len--; /* may leave a "\r" */
    }
    return (ch_bytes_t){ .data = buf->data, .len = buf->len };
}

static void make_triple(unsigned number, ch_bytes_t *texts)
{
    static const unsigned parts[] = { 0, 0, 100, 50 }; /* of CRLF, % */
    static const unsigned sizes[] = { 3, 12, 40, 300 };
    draft_t draft = { .count = 0 }, mine;
    unsigned crlf, size, i, changes;
    int side;

    seed = 2463534242u + number * 7919u;
    for (i = 0; i < 20; i++) {
        pick(2);
    }
    crlf = parts[pick(CH_COUNT(parts))];
    size = pick(sizes[number / 4 % CH_COUNT(sizes)]);
    for (i = 0; i < size; i++) {
        insert(&draft, i, new_line(crlf));
    }
    texts[BASE] = text_of(&draft);
    for (side = SERVER; side <= CLIENT; side++) {
        mine = draft;
        for (changes = pick(3 + size / 4); changes; changes--) {
            mutate(&mine, crlf);
        }
        texts[side] = text_of(&mine);
    }
}

/* In four parts, of every size each. */
START_TEST(generated_texts_merge_as_git_does)
{
    int i, clean = 0, clashing = 0, many = 0;
    apr_pool_t *whole = pool;

    for (i = _i; i < TRIPLES; i += 4) {
        ch_bytes_t texts[SIDES];
        int clashes;

        apr_pool_create(&pool, whole);
        make_triple((unsigned)i, texts);
        clashes = expect_as_git(texts);
        clean += clashes == 0;
        clashing += clashes > 0;
        many += clashes > 3;
        apr_pool_destroy(pool);
        pool = whole;
    }
    /* the generator is worth its name */
    ck_assert_int_gt(clean, 10);
    ck_assert_int_gt(clashing, 10);
    ck_assert_int_gt(many, 3);
}
END_TEST

static const int parts[] = { 0, 1, 2, 3 };

CH_SUITE_MAIN("base/merge3, git",
              CH_EACH(generated_texts_merge_as_git_does, parts))
