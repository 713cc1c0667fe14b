/* Search over conversations: titles, descriptions and what was said. */
#include <string.h>

#include "api/api.h"
#include "api/conversations.h"
#include "api/search.h"
#include "base/text.h"
#include "web/reply.h"

/* --- inputs and outputs ----------------------------------------------- */

typedef struct {
    const char *q;
    int category;
    const apr_array_header_t *tags;
    int provider;
    ch_page_in_t page;
} search_query_t;

static const ch_field_t query_rows[] = {
    { .name = "q", CH_IN(search_query_t, q, CH_T_STR), .flags = CH_REQUIRED,
      .min = 1, .max = 200,
      .doc = "Words; \"in quotes\" a phrase, or, -without" },
    { .name = "category", CH_IN(search_query_t, category, CH_T_ENUM),
      CH_CHOICES(ch_conversation_categories), .doc = "Only of this one" },
    { .name = "tag", CH_IN(search_query_t, tags, CH_T_STRS),
      .flags = CH_REPEAT, .max = 10, .item_min = 1, .item_max = 50,
      .doc = "Only with all of these tags" },
    { .name = "provider", CH_IN(search_query_t, provider, CH_T_ENUM),
      CH_CHOICES(ch_conversation_providers), .doc = "Only of this one" },
    CH_PAGE_NUMBER_ROWS(search_query_t, page, "20"),
};

static const ch_fields_t search_query =
    CH_FIELDS(search_query_t, query_rows);

/* The column of highlights is one that is never NULL: they are always
 * there. */
static const ch_field_t found_rows[] = {
    CH_CONVERSATION_ROWS,
    { .name = "rank", .type = CH_T_NUMBER, .doc = "Higher is better" },
    { .name = "highlights", .type = CH_T_NEST, .nested = &ch_search_highlights,
      .column = "rank", .doc = "Where the words were found" },
};

static const ch_fields_t found_out = {
    .name = "FoundConversation", .rows = found_rows,
    .count = (int)CH_COUNT(found_rows),
};

/* --- handler ---------------------------------------------------------- */

/* The page and the filters as both statements take them. */
#define PAGE_AND_FILTERS(rq, query)                                           \
    .user_id = ch_conversation_viewer(rq),                                    \
    .category = ch_conversation_name(                                         \
        ch_conversation_categories,                                           \
        CH_QUERY_OPT(rq, search_query_t, category)),                          \
    .tags = ch_conversation_tags((rq)->pool, (query)->tags),                  \
    .provider = ch_conversation_name(                                         \
        ch_conversation_providers,                                            \
        CH_QUERY_OPT(rq, search_query_t, provider)),                          \
    .fetch = ch_page_fetch(&(query)->page),                                   \
    .skip = ch_page_offset(&(query)->page)

static ch_err_t *fetch_words(ch_req_t *rq, ch_rows_t **rows)
{
    const search_query_t *query = rq->query;
    const sql_conversation_search_t in = {
        PAGE_AND_FILTERS(rq, query),
        .q = ch_search_calmed(rq->pool, query->q),
    };

    return sql_conversation_search(rq->db, &in, rows);
}

static ch_err_t *fetch_unspaced(ch_req_t *rq, ch_rows_t **rows)
{
    const search_query_t *query = rq->query;
    ch_search_parts_t parts;
    sql_conversation_search_unspaced_t in = {
        PAGE_AND_FILTERS(rq, query),
        .match = ch_text_has_case(query->q, strlen(query->q)),
    };

    ch_search_split(rq->pool, query->q, &parts);
    in.q = parts.marks;
    in.words = parts.words;
    in.without = parts.without;
    in.any_will_do = parts.any;
    return sql_conversation_search_unspaced(rq->db, &in, rows);
}

static ch_err_t *search_conversations(ch_req_t *rq)
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
    return ch_reply_list(rq, &query->page, &list,
                         "Conversations that were found");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = CH_CONVERSATIONS "/search",
      .auth = CH_OPTIONAL, .rate = CH_RATE_SEARCH,
      .feature = CH_FEATURE_CONVERSATIONS, .flags = CH_LIST, .ok = 200,
      .query = &search_query, .out = &found_out,
      .handler = search_conversations, .tag = "Conversations",
      .summary = "Public conversations and the caller's own, by words" },
};

const ch_routes_t ch_conversation_search_routes = CH_ROUTES(routes);
