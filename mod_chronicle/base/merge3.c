/* Merges texts by libgit2, whose code for it is git's own.
 *
 * libgit2 never sees the texts. It gets a short word for each line instead,
 * the same one for the same line, and the words of its result become lines
 * again. Whether two lines are equal is all that a merge asks of them, but for
 * three traits that a word shares with its line: how it ends, and whether it
 * holds a letter or digit. So the result is the same, and
 * - no text can look like a marker: what begins with one is one, and they can
 *   be counted, which libgit2 does not do for us;
 * - no text can choose its hash: libgit2's is weak, and 2 MB of lines that all
 *   have the same one took 42 s;
 * - a NUL makes no text binary, and the locale does not say what a letter is.
 */
#include "base/merge3.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <git2.h>

#include "base/buf.h"

/* A word: one letter or one other character, DIGITS digits of base 16, and the
 * line's end. The digits are no letters or digits themselves: " " to "/". With
 * those, words of one length have different hashes (h = h * 33 ^ c: what one
 * character changes, the next can't change back). */
#define DIGITS 5
#define ZERO ' '
#define WORD_LEN (1 + DIGITS) /* without the line's end, of 2 bytes at most */

_Static_assert(3 * CH_MERGE3_LINES_MAX < 1 << (4 * DIGITS), "too few words");

#define MARKERS "<=>" /* no word begins with one of these */

typedef struct {
    const char *data;
    size_t len;   /* with its end */
    unsigned end; /* bytes of "\n" or "\r\n", 0 = the last line has none */
    unsigned id;
} line_t;

typedef struct {
    line_t *lines;
    size_t count;
} lines_t;

/* One line of each kind; its place is its id. */
typedef struct {
    line_t **lines;
    size_t count;
} kinds_t;

enum { BASE, SERVER, CLIENT, SIDES };

/* --- the library ------------------------------------------------------ */

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static int started;

/* At the first merge, because it reads the system's certificates, of which a
 * merge has no use. Nothing undoes it: when a child ends, its threads may
 * still be inside of the library. */
static int start(void)
{
    int ready;

    pthread_mutex_lock(&starting);
    if (!started) {
        started = git_libgit2_init() > 0;
        if (!started) {
            git_libgit2_shutdown(); /* it counts attempts */
        }
    }
    ready = started;
    pthread_mutex_unlock(&starting);
    return ready;
}

static ch_err_t *failed(apr_pool_t *pool)
{
    const git_error *error = git_error_last();

    return ch_err_cause(pool, CH_E_INTERNAL_ERROR, "libgit2: %s",
                        error && error->message ? error->message
                                                : "no memory");
}

/* --- lines ------------------------------------------------------------ */

static size_t line_len(const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);

    return end ? (size_t)(end - data) + 1 : len;
}

static size_t count_lines(ch_bytes_t text)
{
    size_t at, count = 0;

    for (at = 0; at < text.len; count++) {
        at += line_len(text.data + at, text.len - at);
    }
    return count;
}

/* The bytes of "\n" or "\r\n" at the beginning, and at the end. */
static size_t break_len(const char *data, size_t len)
{
    if (len > 0 && data[0] == '\n') {
        return 1;
    }
    return len > 1 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
}

static unsigned end_len(const char *data, size_t len)
{
    if (len == 0 || data[len - 1] != '\n') {
        return 0;
    }
    return len > 1 && data[len - 2] == '\r' ? 2 : 1;
}

static int same(ch_bytes_t a, ch_bytes_t b)
{
    return a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0);
}

static size_t split(ch_bytes_t text, line_t *lines)
{
    size_t at = 0, count = 0;

    while (at < text.len) {
        line_t *line = &lines[count++];

        line->data = text.data + at;
        line->len = line_len(line->data, text.len - at);
        line->end = end_len(line->data, line->len);
        at += line->len;
    }
    return count;
}

/* The lines of each text, and those of all, which are the same ones. */
static void split_all(apr_pool_t *pool, const ch_bytes_t *texts, lines_t *all,
                      lines_t *lines)
{
    size_t count = 0;
    int i;

    for (i = 0; i < SIDES; i++) {
        count += count_lines(texts[i]);
    }
    all->lines = apr_palloc(pool, (count + 1) * sizeof(*all->lines));
    for (i = 0; i < SIDES; i++) {
        lines[i].lines = all->lines + all->count;
        lines[i].count = split(texts[i], lines[i].lines);
        all->count += lines[i].count;
    }
}

static int compare(const void *a, const void *b)
{
    const line_t *x = *(const line_t *const *)a;
    const line_t *y = *(const line_t *const *)b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Gives equal lines the same number. Sorted, because there is no worst case to
 * choose for whoever writes the texts. */
static kinds_t number(apr_pool_t *pool, const lines_t *all)
{
    line_t **sorted = apr_palloc(pool, (all->count + 1) * sizeof(*sorted));
    kinds_t kinds = { .lines = sorted };
    size_t i;

    for (i = 0; i < all->count; i++) {
        sorted[i] = &all->lines[i];
    }
    qsort(sorted, all->count, sizeof(*sorted), compare);
    for (i = 0; i < all->count; i++) {
        line_t *line = sorted[i];

        if (kinds.count == 0
            || compare(&line, &kinds.lines[kinds.count - 1]) != 0) {
            kinds.lines[kinds.count++] = line; /* never ahead of i */
        }
        line->id = (unsigned)kinds.count - 1;
    }
    return kinds;
}

/* --- words ------------------------------------------------------------ */

/* As git sees it, in any locale. */
static int has_alnum(const line_t *line)
{
    size_t i;

    for (i = 0; i < line->len; i++) {
        unsigned char c = (unsigned char)line->data[i];

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')
            || (c >= 'a' && c <= 'z')) {
            return 1;
        }
    }
    return 0;
}

static git_merge_file_input words(apr_pool_t *pool, const lines_t *text)
{
    char *data = apr_palloc(pool, text->count * (WORD_LEN + 2) + 1);
    char *at = data;
    const line_t *line;

    for (line = text->lines; line < text->lines + text->count; line++) {
        int shift;

        *at++ = has_alnum(line) ? 'a' : '-';
        for (shift = 4 * (DIGITS - 1); shift >= 0; shift -= 4) {
            *at++ = (char)(ZERO + (line->id >> shift & 15));
        }
        memcpy(at, line->data + line->len - line->end, line->end);
        at += line->end;
    }
    return (git_merge_file_input){ .version = GIT_MERGE_FILE_INPUT_VERSION,
                                   .ptr = data,
                                   .size = (size_t)(at - data) };
}

/* The line that a word stands for; NULL = that is no word of ours. */
static const line_t *line_of(const kinds_t *kinds, const char *word,
                             size_t len)
{
    unsigned id = 0;
    size_t i;

    if (len < WORD_LEN) {
        return NULL;
    }
    for (i = 1; i < WORD_LEN; i++) {
        unsigned digit = (unsigned)word[i] - ZERO;

        if (digit > 15) {
            return NULL;
        }
        id = id << 4 | digit;
    }
    return id < kinds->count ? kinds->lines[id] : NULL;
}

/* Puts the lines back and counts the regions; 0 = that is not made of our
 * words. How a line ends is for the word to say: a last line that had no end
 * gets one where it is not the last any more. */
static int put_back(const kinds_t *kinds, const git_merge_file_result *merged,
                    ch_buf_t *buf, int *clashes)
{
    const char *at = merged->ptr;
    const char *end = at + merged->len;

    while (at < end) {
        size_t len = line_len(at, (size_t)(end - at));

        if (memchr(MARKERS, *at, sizeof(MARKERS) - 1)) {
            *clashes += *at == '<';
        }
        else {
            const line_t *line = line_of(kinds, at, len);

            if (!line) {
                return 0;
            }
            ch_buf_add(buf, line->data, line->len - line->end);
            at += WORD_LEN;
            len = break_len(at, len - WORD_LEN);
        }
        ch_buf_add(buf, at, len);
        at += len;
    }
    return !buf->overflow;
}

/* --- merging ---------------------------------------------------------- */

/* All but the result is in scratch. SIMPLIFY_ALNUM is what the program does:
 * not only regions with three lines or fewer between them become one, but also
 * those between which no line has a letter or digit. */
static ch_err_t *merge(apr_pool_t *pool, apr_pool_t *scratch,
                       const ch_bytes_t *texts, ch_bytes_t *out, int *clashes)
{
    const git_merge_file_options options = {
        .version = GIT_MERGE_FILE_OPTIONS_VERSION,
        .our_label = "server",
        .their_label = "client",
        .flags = GIT_MERGE_FILE_SIMPLIFY_ALNUM,
    };
    git_merge_file_input inputs[SIDES];
    git_merge_file_result merged;
    lines_t all = { .count = 0 }, lines[SIDES];
    kinds_t kinds;
    size_t size = texts[SERVER].len + texts[CLIENT].len;
    ch_buf_t *buf;
    int i, whole;

    split_all(scratch, texts, &all, lines);
    kinds = number(scratch, &all);
    for (i = 0; i < SIDES; i++) {
        inputs[i] = words(scratch, &lines[i]);
    }
    if (!start()
        || git_merge_file(&merged, &inputs[BASE], &inputs[SERVER],
                          &inputs[CLIENT], &options)
               < 0) {
        return failed(pool);
    }
    /* no line of either side is in it twice */
    buf = ch_buf_make(pool, size + merged.len, size + merged.len);
    whole = put_back(&kinds, &merged, buf, clashes);
    git_merge_file_result_free(&merged);
    if (!whole) {
        return ch_err_cause(pool, CH_E_INTERNAL_ERROR,
                            "git_merge_file: not made of the words it got");
    }
    *out = (ch_bytes_t){ .data = buf->data, .len = buf->len };
    return NULL;
}

/* --- one region ------------------------------------------------------- */

/* Length of the lines that both texts begin with. */
static size_t common_head(ch_bytes_t a, ch_bytes_t b)
{
    size_t at = 0;

    while (at < a.len && at < b.len) {
        size_t len = line_len(a.data + at, a.len - at);

        if (len != line_len(b.data + at, b.len - at)
            || memcmp(a.data + at, b.data + at, len) != 0) {
            break;
        }
        at += len;
    }
    return at;
}

/* Length of the lines that both texts end with. The line that this comes to
 * begin with is a whole one in both: it stands at the beginning, or after an
 * end. */
static size_t common_tail(ch_bytes_t a, ch_bytes_t b)
{
    size_t max = a.len < b.len ? a.len : b.len;
    size_t len, whole = 0;

    for (len = 1; len <= max && a.data[a.len - len] == b.data[b.len - len];
         len++) {
        if ((len == a.len || a.data[a.len - len - 1] == '\n')
            && (len == b.len || b.data[b.len - len - 1] == '\n')) {
            whole = len;
        }
    }
    return whole;
}

/* How markers end, by what git has for a rule: as the line before them, else
 * as the first one; with "\n" if the sides are not of one mind. */
static const char *end_of_markers(ch_bytes_t head, ch_bytes_t server,
                                  ch_bytes_t client)
{
    const ch_bytes_t sides[] = { server, client };
    size_t i;
    int crlf = 0;

    if (head.len) {
        return end_len(head.data, head.len) == 2 ? "\r\n" : "\n";
    }
    for (i = 0; i < CH_COUNT(sides); i++) {
        ch_bytes_t side = sides[i];
        unsigned end =
            side.len ? end_len(side.data, line_len(side.data, side.len)) : 0;

        if (end == 1) {
            return "\n";
        }
        crlf |= end == 2;
    }
    return crlf ? "\r\n" : "\n";
}

static void add_side(ch_buf_t *buf, ch_bytes_t side, const char *end)
{
    if (side.len) {
        ch_buf_add(buf, side.data, side.len);
        if (side.data[side.len - 1] != '\n') {
            ch_buf_puts(buf, end);
        }
    }
}

/* The bytes without the first `head` and the last `tail`. */
static ch_bytes_t middle(ch_bytes_t text, size_t head, size_t tail)
{
    return (ch_bytes_t){ .data = text.data + head,
                         .len = text.len - head - tail };
}

static ch_bytes_t one_region(apr_pool_t *pool, ch_bytes_t server,
                             ch_bytes_t client)
{
    size_t head = common_head(server, client);
    size_t tail =
        common_tail(middle(server, head, 0), middle(client, head, 0));
    ch_bytes_t before = { .data = server.data, .len = head };
    ch_bytes_t ours = middle(server, head, tail);
    ch_bytes_t theirs = middle(client, head, tail);
    size_t size = server.len + client.len + 64; /* 64 for the markers */
    ch_buf_t *buf = ch_buf_make(pool, size, size);
    const char *end = end_of_markers(before, ours, theirs);

    ch_buf_add(buf, server.data, head);
    CH_BUF_LIT(buf, "<<<<<<< server");
    ch_buf_puts(buf, end);
    add_side(buf, ours, end);
    CH_BUF_LIT(buf, "=======");
    ch_buf_puts(buf, end);
    add_side(buf, theirs, end);
    CH_BUF_LIT(buf, ">>>>>>> client");
    ch_buf_puts(buf, end);
    ch_buf_add(buf, server.data + server.len - tail, tail);
    return (ch_bytes_t){ .data = buf->data, .len = buf->len };
}

/* An empty text may come without an address, with which one can't reckon. */
static ch_bytes_t somewhere(ch_bytes_t text)
{
    return text.len ? text : (ch_bytes_t){ .data = "", .len = 0 };
}

ch_err_t *ch_merge3(apr_pool_t *pool, const ch_bytes_t *base,
                    ch_bytes_t server, ch_bytes_t client, ch_bytes_t *out,
                    int *clashes)
{
    ch_bytes_t texts[SIDES];
    apr_pool_t *scratch;
    ch_err_t *err;

    server = somewhere(server);
    client = somewhere(client);
    *clashes = 0;
    if (same(server, client) || (base && same(*base, client))) {
        *out = server;
        return NULL;
    }
    if (base && same(*base, server)) {
        *out = client;
        return NULL;
    }
    if (!base || count_lines(*base) > CH_MERGE3_LINES_MAX
        || count_lines(server) > CH_MERGE3_LINES_MAX
        || count_lines(client) > CH_MERGE3_LINES_MAX) {
        *out = one_region(pool, server, client);
        *clashes = 1;
        return NULL;
    }
    texts[BASE] = *base;
    texts[SERVER] = server;
    texts[CLIENT] = client;
    apr_pool_create(&scratch, pool);
    err = merge(pool, scratch, texts, out, clashes);
    apr_pool_destroy(scratch);
    return err;
}
