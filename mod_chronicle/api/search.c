/* Search over notes, and what completes the words that are being typed. */
#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "api/api.h"
#include "api/notes.h"
#include "api/search.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/search"
#define NO_WORD "(?!)" /* a regular expression that matches nothing */

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    const char *q;
    const char *folder_id;
    const apr_array_header_t *tags;
    int pinned;
    int favorite;
    ch_page_in_t page;
} search_query_t;

static const ch_field_t search_rows[] = {
    { .name = "q", CH_IN(search_query_t, q, CH_T_STR), .flags = CH_REQUIRED,
      .min = 1, .max = 200,
      .doc = "Words; \"in quotes\" a phrase, or, -without" },
    { .name = "folderId", CH_IN(search_query_t, folder_id, CH_T_UUID),
      .flags = CH_SPECIAL, .extra = ch_note_no_folder,
      .doc = "Only of this folder; \"none\": of no folder" },
    { .name = "tag", CH_IN(search_query_t, tags, CH_T_STRS),
      .flags = CH_REPEAT, .max = 10, .item_min = 1,
      .item_max = CH_NOTE_TAG_MAX, .doc = "Only with all of these tags" },
    { .name = "pinned", CH_IN(search_query_t, pinned, CH_T_BOOL),
      .doc = "Only pinned ones, or only others" },
    { .name = "favorite", CH_IN(search_query_t, favorite, CH_T_BOOL),
      .doc = "Only favourites, or only others" },
    CH_PAGE_NUMBER_ROWS(search_query_t, page, "20"),
};

static const ch_fields_t search_query =
    CH_FIELDS(search_query_t, search_rows);

typedef struct {
    const char *q;
    apr_int64_t limit;
} suggest_query_t;

static const ch_field_t suggest_rows[] = {
    { .name = "q", CH_IN(suggest_query_t, q, CH_T_STR), .flags = CH_REQUIRED,
      .min = 1, .max = 100, .doc = "The beginning of a tag or of a word" },
    { .name = "limit", CH_IN(suggest_query_t, limit, CH_T_INT), .min = 1,
      .max = 20, .def = "10", .doc = "Suggestions at most" },
};

static const ch_fields_t suggest_query =
    CH_FIELDS(suggest_query_t, suggest_rows);

/* --- outputs ---------------------------------------------------------- */

static const ch_field_t highlight_rows[] = {
    { .name = "title", .type = CH_T_MARKED, .column = "title_marked",
      .flags = CH_NULLABLE, .doc = "HTML: hits between <mark> and </mark>" },
    { .name = "content", .type = CH_T_MARKED, .column = "content_marked",
      .flags = CH_NULLABLE, .doc = "HTML: three fragments at most" },
};

const ch_fields_t ch_search_highlights = {
    .name = "Highlights", .rows = highlight_rows,
    .count = (int)CH_COUNT(highlight_rows),
};

/* The column of highlights is one that is never NULL: they are always
 * there. */
static const ch_field_t found_rows[] = {
    CH_NOTE_HEAD,
    CH_NOTE_TAIL,
    { .name = "rank", .type = CH_T_NUMBER, .doc = "Higher is better" },
    { .name = "highlights", .type = CH_T_NEST, .nested = &ch_search_highlights,
      .column = "rank", .doc = "Where the words were found" },
};

static const ch_fields_t found_out = {
    .name = "FoundNote", .rows = found_rows,
    .count = (int)CH_COUNT(found_rows),
};

static const char *const kinds[] = { "tag", "note" };

static const ch_field_t suggestion_rows[] = {
    { .name = "type", .type = CH_T_ENUM, CH_CHOICES(kinds),
      .doc = "What is suggested" },
    { .name = "value", .type = CH_T_STR, .doc = "The tag or the title" },
    { .name = "noteId", .type = CH_T_UUID, .column = "note_id",
      .flags = CH_NULLABLE, .doc = "The note of a title" },
    { .name = "count", .type = CH_T_INT, .flags = CH_NULLABLE,
      .doc = "Live notes with the tag" },
};

static const ch_fields_t suggestion_out = {
    .name = "Suggestion", .rows = suggestion_rows,
    .count = (int)CH_COUNT(suggestion_rows),
};

static const ch_field_t suggestions_rows[] = {
    { .name = "items", .type = CH_T_JSON, .nested = &suggestion_out,
      .doc = "Tags, then titles" },
};

static const ch_fields_t suggestions_out = {
    .name = "Suggestions", .rows = suggestions_rows,
    .count = (int)CH_COUNT(suggestions_rows),
};

/* --- words of scripts without blanks ---------------------------------- */

/* Text that a regular expression takes for itself. */
static const char *escaped(apr_pool_t *pool, const char *text)
{
    char *out = apr_palloc(pool, 2 * strlen(text) + 1);
    char *to = out;

    for (; *text; text++) {
        if (*text == '<' || *text == '>') {
            /* as the statement writes them in the text that is marked */
            *to++ = *text == '<' ? CH_MARK_LESS : CH_MARK_MORE;
            continue;
        }
        if (apr_ispunct(*text)) {
            *to++ = '\\';
        }
        *to++ = *text;
    }
    *to = '\0';
    return out;
}

static int is_ascii_punct(char c)
{
    return (unsigned char)c < 0x80 && apr_ispunct(c);
}

/* Takes one part of len bytes, from which quotes are gone already. Signs
 * around it mean nothing, but for a minus before it. */
static void take_part(ch_search_parts_t *parts, const char *text, size_t len,
                      int bare)
{
    int minus = bare && len > 1 && *text == '-';
    const char *word;

    if (bare && len == 2 && strncasecmp(text, "or", 2) == 0) {
        parts->any = 1;
        return;
    }
    while (len && is_ascii_punct(text[len - 1])) {
        len--;
    }
    while (len && is_ascii_punct(*text)) {
        text++;
        len--;
    }
    if (!len) {
        return;
    }
    word = apr_pstrmemdup(parts->pool, text, len);
    APR_ARRAY_PUSH(minus ? parts->without : parts->words, const char *) = word;
    if (!minus) {
        word = escaped(parts->pool, word);
        parts->marks = parts->marks ? apr_pstrcat(parts->pool, parts->marks,
                                                  "|", word, NULL)
                                    : word;
    }
}

void ch_search_split(apr_pool_t *pool, const char *text,
                     ch_search_parts_t *out)
{
    size_t len = strlen(text);
    char *part = apr_palloc(pool, len + 1);
    size_t used = 0;
    size_t at = 0;
    int quoted = 0;
    int bare = 1;

    *out = (ch_search_parts_t){
        .pool = pool,
        .words = apr_array_make(pool, 8, sizeof(char *)),
        .without = apr_array_make(pool, 2, sizeof(char *)),
    };
    while (at < len) {
        size_t space = ch_text_space_at(text + at, len - at);

        if (text[at] == '"') {
            quoted = !quoted;
            bare = 0;
            at++;
        }
        else if (space && !quoted) {
            take_part(out, part, used, bare);
            used = 0;
            bare = 1;
            at += space;
        }
        else {
            part[used++] = text[at++];
        }
    }
    take_part(out, part, used, bare || *part == '-');
    out->marks = out->marks ? out->marks : NO_WORD;
}

static const apr_array_header_t *
patterns(apr_pool_t *pool, const apr_array_header_t *words)
{
    apr_array_header_t *out =
        apr_array_make(pool, words->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < words->nelts; i++) {
        APR_ARRAY_PUSH(out, const char *) =
            ch_text_like(pool, APR_ARRAY_IDX(words, i, const char *));
    }
    return out;
}

/* The page and the filters as both statements take them. */
#define PAGE_AND_FILTERS(rq, query)                                           \
    .fetch = ch_page_fetch(&(query)->page),                                   \
    .skip = ch_page_offset(&(query)->page),                                   \
    .folder_id = (query)->folder_id == ch_note_no_folder                      \
                     ? NULL                                                   \
                     : (query)->folder_id,                                    \
    .no_folder = (query)->folder_id == ch_note_no_folder,                     \
    .pinned = CH_QUERY_OPT(rq, search_query_t, pinned),                       \
    .favorite = CH_QUERY_OPT(rq, search_query_t, favorite),                   \
    .tags = (query)->tags

static ch_err_t *fetch_unspaced(ch_req_t *rq, ch_rows_t **rows)
{
    const search_query_t *query = rq->query;
    ch_search_parts_t parts;
    sql_search_page_unspaced_t in = {
        .user_id = rq->who->user_id,
        PAGE_AND_FILTERS(rq, query),
    };

    ch_search_split(rq->pool, query->q, &parts);
    in.q = parts.marks;
    in.words = patterns(rq->pool, parts.words);
    in.without = patterns(rq->pool, parts.without);
    in.match = ch_text_has_case(query->q, strlen(query->q));
    in.which = parts.any;
    return sql_search_page_unspaced(rq->db, &in, rows);
}

/* --- handlers --------------------------------------------------------- */

/* PostgreSQL keeps count of the signs before a word, and refuses a query in
 * which thirty of them stand in a row: of several minuses before a word one is
 * left. What stands between them may be all that it skips there. */
const char *ch_search_calmed(apr_pool_t *pool, const char *text)
{
    char *out = apr_pstrdup(pool, text);
    size_t len = strlen(out);
    size_t at = 0;
    int minus = 0;

    while (at < len) {
        size_t space = ch_text_space_at(out + at, len - at);

        if (out[at] == '-') {
            out[at] = minus ? ' ' : '-';
            minus = 1;
        }
        else if (!space && !strchr("!&|()", out[at])) {
            minus = 0;
        }
        at += space ? space : 1;
    }
    return out;
}

static ch_err_t *fetch_words(ch_req_t *rq, ch_rows_t **rows)
{
    const search_query_t *query = rq->query;
    const sql_search_page_t in = {
        .user_id = rq->who->user_id,
        .q = ch_search_calmed(rq->pool, query->q),
        PAGE_AND_FILTERS(rq, query),
    };

    return sql_search_page(rq->db, &in, rows);
}

static ch_err_t *search_notes(ch_req_t *rq)
{
    const search_query_t *query = rq->query;
    ch_list_t list = { .no_cursor = 1 };
    ch_rows_t *rows;
    ch_err_t *err = ch_text_has_unspaced(query->q, strlen(query->q))
                        ? fetch_unspaced(rq, &rows)
                        : fetch_words(rq, &rows);

    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Notes that were found");
}

static ch_err_t *suggest(ch_req_t *rq)
{
    const suggest_query_t *query = rq->query;
    const sql_search_suggestions_t in = { .user_id = rq->who->user_id,
                                          .q = query->q,
                                          .fetch = query->limit };
    ch_rows_t *rows;
    ch_err_t *err = sql_search_suggestions(rq->db, &in, &rows);
    ch_buf_t *buf;
    int i;

    if (err) {
        return err;
    }
    buf = ch_reply_begin(rq, 2 * ch_rows_size(rows) + 1024);
    CH_BUF_LIT(buf, "{\"items\":[");
    for (i = 0; i < ch_rows_count(rows); i++) {
        if (i) {
            ch_buf_putc(buf, ',');
        }
        ch_reply_write_row(buf, &suggestion_out, rows, i);
    }
    CH_BUF_LIT(buf, "]}");
    return ch_reply_end(rq, "Suggestions");
}

/* --- routes ----------------------------------------------------------- */

#define SEARCH_ROUTE                                                          \
    .auth = CH_USER, .rate = CH_RATE_SEARCH, .feature = CH_FEATURE_NOTES,     \
    .tag = "Search"

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, SEARCH_ROUTE, .flags = CH_LIST,
      .ok = 200, .query = &search_query, .out = &found_out,
      .handler = search_notes, .summary = "Notes by their words, best first" },
    { .method = CH_GET, .path = HERE "/suggestions", SEARCH_ROUTE, .ok = 200,
      .query = &suggest_query, .out = &suggestions_out, .handler = suggest,
      .summary = "Tags and titles that go on as what was typed" },
};

const ch_routes_t ch_search_routes = CH_ROUTES(routes);
