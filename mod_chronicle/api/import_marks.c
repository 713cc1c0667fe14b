/* Marks that answers of ChatGPT have for its own pages: sources, names,
 * pictures and such, between private characters. They become what is said of
 * them in words, or nothing. */
#include "api/import.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "base/buf.h"

/* U+E200 kind U+E202 field (U+E202 field)* U+E201. U+E203 to U+E206 stand
 * alone, around what a source is for and where it is shown. */
#define PRIVATE "\xEE\x88" /* each has a third byte */
#define MARK_START 0x80
#define MARK_END 0x81
#define MARK_NEXT 0x82
#define ALONE_FIRST 0x83
#define ALONE_LAST 0x86
#define CHAR_LEN 3

/* What ChatGPT says of a message's marks, once for each, so that no file grows
 * by more than what it holds, and a little for what it might say once for
 * several. */
#define TIMES 4

typedef struct {
    apr_hash_t *said; /* of whole marks: ch_bytes_t */
    size_t left;      /* bytes that may still be put */
    int any;          /* whether it says that there are marks */
} words_t;

typedef struct {
    ch_buf_t *out;
    words_t *words;
    const char *end; /* of what is read */
} text_t;

/* --- reading ---------------------------------------------------------- */

static int third(const char *at)
{
    return (unsigned char)at[2];
}

static const char *next_private(const char *at, const char *end)
{
    while (end - at >= CHAR_LEN) {
        at = memchr(at, *PRIVATE, (size_t)(end - at) - (CHAR_LEN - 1));
        if (!at) {
            return NULL;
        }
        if (at[1] == PRIVATE[1] && third(at) >= MARK_START
            && third(at) <= ALONE_LAST) {
            return at;
        }
        at++;
    }
    return NULL;
}

/* Behind the mark that begins here; NULL when it is none. */
static const char *end_of_mark(const char *at, const char *end)
{
    at += CHAR_LEN;
    while (at < end && ((*at >= 'a' && *at <= 'z') || *at == '_')) {
        at++;
    }
    if (next_private(at, end) != at || third(at) != MARK_NEXT) {
        return NULL;
    }
    while (at && third(at) != MARK_START && third(at) != MARK_END) {
        at = next_private(at + CHAR_LEN, end);
    }
    return at && third(at) == MARK_END ? at + CHAR_LEN : NULL;
}

/* A field of a mark, from 1 on; empty when it has not that many. */
static ch_bytes_t field_of(ch_bytes_t mark, int number)
{
    const char *end = mark.data + mark.len;
    const char *at = mark.data, *behind;

    for (; number > 0 && at; number--) {
        at = next_private(at + CHAR_LEN, end);
    }
    behind = at ? next_private(at + CHAR_LEN, end) : NULL;
    if (!behind) {
        return (ch_bytes_t){ "", 0 };
    }
    return (ch_bytes_t){ at + CHAR_LEN, (size_t)(behind - at) - CHAR_LEN };
}

static int is_kind(ch_bytes_t mark, const char *kind)
{
    return third(mark.data) == MARK_START
           && strncmp(mark.data + CHAR_LEN, kind, strlen(kind)) == 0
           && mark.data[CHAR_LEN + strlen(kind)] == *PRIVATE;
}

/* --- what marks say --------------------------------------------------- */

/* Of ["people","Ada \"A.\" Lovelace",0] the second text, from behind the third
 * quote. */
static void put_name(ch_buf_t *out, ch_bytes_t list)
{
    int quotes = 0;
    size_t i;

    for (i = 0; i < list.len && quotes < 4; i++) {
        int escaped = list.data[i] == '\\' && i + 1 < list.len;

        i += (size_t)escaped;
        if (list.data[i] == '"' && !escaped) {
            quotes++;
        }
        else if (quotes == 3) {
            ch_buf_putc(out, list.data[i]);
        }
    }
}

static void put_link(ch_buf_t *out, ch_bytes_t title, ch_bytes_t url)
{
    if (url.len > 4 && memcmp(url.data, "http", 4) == 0) {
        ch_buf_putc(out, '[');
        ch_buf_add(out, title.data, title.len);
        CH_BUF_LIT(out, "](");
        ch_buf_add(out, url.data, url.len);
        ch_buf_putc(out, ')');
    }
}

static void put_words(const text_t *text, ch_bytes_t mark)
{
    const ch_bytes_t *said = apr_hash_get(text->words->said, mark.data,
                                          (apr_ssize_t)mark.len);

    if (said && said->len <= text->words->left) {
        ch_buf_add(text->out, said->data, said->len);
        text->words->left -= said->len;
    }
    else if (is_kind(mark, "entity")) {
        put_name(text->out, field_of(mark, 1));
    }
    else if (is_kind(mark, "url")) {
        put_link(text->out, field_of(mark, 1), field_of(mark, 2));
    }
}

/* A mark that leaves nothing takes the blank before it along. */
static void put_mark(const text_t *text, ch_bytes_t mark)
{
    const char *behind = mark.data + mark.len;
    ch_buf_t *out = text->out;
    size_t before = out->len;

    put_words(text, mark);
    if (out->len == before && before && out->data[before - 1] == ' '
        && (behind == text->end || strchr(" \r\n.,;:!?)", *behind))) {
        out->len--;
    }
}

/* --- texts ------------------------------------------------------------ */

static void words_of(apr_pool_t *pool, const ch_json_t *message,
                     words_t *out)
{
    const ch_json_t *references = ch_import_get(
        ch_import_get(message, "metadata", CH_JSON_OBJECT),
        "content_references", CH_JSON_ARRAY);
    size_t i, count = references ? ch_json_size(references) : 0;

    *out = (words_t){ .said = apr_hash_make(pool) };
    for (i = 0; i < count; i++) {
        const ch_json_t *reference = ch_json_at(references, i);
        ch_bytes_t mark = ch_import_text(reference, "matched_text");
        ch_bytes_t said = ch_import_text(reference, "alt");

        out->any |= next_private(mark.data, mark.data + mark.len) != NULL;
        if (mark.len && said.len) {
            apr_hash_set(out->said, mark.data, (apr_ssize_t)mark.len,
                         apr_pmemdup(pool, &said, sizeof(said)));
            out->left += TIMES * said.len;
        }
    }
}

static void rewrite(const text_t *text, const char *at)
{
    const char *next;

    while ((next = next_private(at, text->end))) {
        const char *behind = third(next) == MARK_START
                                 ? end_of_mark(next, text->end)
                             : third(next) >= ALONE_FIRST ? next + CHAR_LEN
                                                      : NULL;

        ch_buf_add(text->out, at, (size_t)(next - at));
        at = next + CHAR_LEN;
        if (behind) {
            put_mark(text, (ch_bytes_t){ next, (size_t)(behind - next) });
            at = behind;
        }
        else {
            ch_buf_add(text->out, next, CHAR_LEN); /* no mark: as it is */
        }
    }
    ch_buf_add(text->out, at, (size_t)(text->end - at));
}

/* Whether a text has marks, and not only such characters of another origin, as
 * fonts of icons have them. */
static int has_marks(ch_bytes_t piece)
{
    const char *end = piece.data + piece.len;
    const char *at = next_private(piece.data, end);

    while (at && !(third(at) == MARK_START && end_of_mark(at, end))) {
        at = next_private(at + CHAR_LEN, end);
    }
    return at != NULL;
}

void ch_import_unmark(apr_pool_t *pool, const ch_json_t *message,
                      apr_array_header_t *pieces)
{
    words_t words = { 0 };
    int i;

    for (i = 0; i < pieces->nelts; i++) {
        ch_bytes_t *piece = &APR_ARRAY_IDX(pieces, i, ch_bytes_t);
        text_t text = { .words = &words, .end = piece->data + piece->len };

        if (!next_private(piece->data, text.end)) {
            continue;
        }
        if (!words.said) {
            words_of(pool, message, &words);
        }
        if (!words.any && !has_marks(*piece)) {
            continue;
        }
        text.out = ch_buf_make(pool, piece->len + 1,
                               piece->len + words.left + 1);
        rewrite(&text, piece->data);
        *piece = (ch_bytes_t){ text.out->data, text.out->len };
    }
}
