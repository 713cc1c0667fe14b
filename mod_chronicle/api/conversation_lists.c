/* Lists of conversations, and what they count. */
#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "api/conversations.h"
#include "base/jsonw.h"
#include "web/reply.h"

#define HERE CH_CONVERSATIONS
#define MODELS_MAX 20 /* of statistics */
#define MONTHS 12
#define NOBODY "00000000-0000-0000-0000-000000000000"

/* --- inputs ----------------------------------------------------------- */

static const char *const sorts[] = { "createdAt", "updatedAt", "title",
                                     "viewCount", "messageCount" };
static const char *const sort_columns[] = { "created_at", "updated_at",
                                            "title", "view_count",
                                            "message_count", "featured_at" };
#define BY_FEATURED 5 /* which nobody can ask for by name */
static const char *const orders[] = { "asc", "desc" };
#define DESCENDING 1

typedef struct {
    int mine;
    int category;
    const apr_array_header_t *tags;
    int provider;
    const char *model;
    int featured;
    const char *author;
    int visibility;
    int sort_by;
    int sort_order;
    ch_page_in_t page;
} list_query_t;

#define MINE_ROW(T)                                                           \
    { .name = "mine", CH_IN(T, mine, CH_T_BOOL), .def = "false",              \
      .doc = "true: all of the caller's own" }

static const ch_field_t query_rows[] = {
    MINE_ROW(list_query_t),
    { .name = "category", CH_IN(list_query_t, category, CH_T_ENUM),
      CH_CHOICES(ch_conversation_categories), .doc = "Only of this one" },
    { .name = "tag", CH_IN(list_query_t, tags, CH_T_STRS),
      .flags = CH_REPEAT, .max = 10, .item_min = 1, .item_max = 50,
      .doc = "Only with all of these tags" },
    { .name = "provider", CH_IN(list_query_t, provider, CH_T_ENUM),
      CH_CHOICES(ch_conversation_providers), .doc = "Only of this one" },
    { .name = "model", CH_IN(list_query_t, model, CH_T_STR), .min = 1,
      .max = 100, .doc = "Only of this one" },
    { .name = "featured", CH_IN(list_query_t, featured, CH_T_BOOL),
      .doc = "Only chosen ones, or only others" },
    { .name = "author", CH_IN(list_query_t, author, CH_T_UUID),
      .doc = "Only of this user" },
    { .name = "visibility", CH_IN(list_query_t, visibility, CH_T_ENUM),
      CH_CHOICES(ch_conversation_visibilities),
      .doc = "With mine: only those" },
    { .name = "sortBy", CH_IN(list_query_t, sort_by, CH_T_ENUM),
      CH_CHOICES(sorts), .def = "\"createdAt\"", .doc = "Order" },
    { .name = "sortOrder", CH_IN(list_query_t, sort_order, CH_T_ENUM),
      CH_CHOICES(orders), .def = "\"desc\"", .doc = "Direction" },
    CH_PAGE_ROWS(list_query_t, page, "20"),
};

static void check_list(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const list_query_t *query = fields;

    if (!query->mine
        && ch_req_query_given(rq, offsetof(list_query_t, visibility))) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "visibility",
                     "goes with mine=true only");
    }
}

static const ch_fields_t list_query = {
    .rows = query_rows, .count = (int)CH_COUNT(query_rows),
    .size = sizeof(list_query_t), .check = check_list,
};

static const ch_field_t featured_rows[] = {
    CH_PAGE_ROWS(list_query_t, page, "10"),
};

/* A list like the others, but for what it holds and its order. */
static void check_featured(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    list_query_t *query = fields;

    query->sort_by = BY_FEATURED;
    query->sort_order = DESCENDING;
}

static const ch_fields_t featured_query = {
    .rows = featured_rows, .count = (int)CH_COUNT(featured_rows),
    .size = sizeof(list_query_t), .check = check_featured,
};

typedef struct {
    int mine;
} stats_query_t;

static const ch_field_t stats_query_rows[] = { MINE_ROW(stats_query_t) };

static const ch_fields_t stats_query =
    CH_FIELDS(stats_query_t, stats_query_rows);

/* --- outputs ---------------------------------------------------------- */

#define COUNT_ROW                                                             \
    { .name = "count", .type = CH_T_INT, .doc = "Conversations" }

static const ch_field_t category_rows[] = {
    { .name = "category", .type = CH_T_ENUM,
      CH_CHOICES(ch_conversation_categories), .doc = "Category" },
    { .name = "name", .type = CH_T_STR, .doc = "For people" },
    COUNT_ROW,
};

static const ch_fields_t category_out = {
    .name = "ConversationCategory", .rows = category_rows,
    .count = (int)CH_COUNT(category_rows),
};

static const ch_field_t categories_rows[] = {
    { .name = "items", .type = CH_T_JSON, .nested = &category_out,
      .doc = "All of them" },
};

static const ch_fields_t categories_out = {
    .name = "ConversationCategories", .rows = categories_rows,
    .count = (int)CH_COUNT(categories_rows),
};

/* What statistics count by: a kind of rows, under which names. */
typedef struct {
    const char *kind;
    const char *member; /* the array */
    const char *key;    /* of each element */
    int max;            /* elements, 0 = all */
} group_t;

static const group_t groups[] = {
    { .kind = "category", .member = "byCategory", .key = "category" },
    { .kind = "provider", .member = "byProvider", .key = "provider" },
    { .kind = "model", .member = "byModel", .key = "model",
      .max = MODELS_MAX },
};

static const ch_field_t by_category_rows[] = {
    { .name = "category", .type = CH_T_STR, .doc = "Category" }, COUNT_ROW,
};

static const ch_field_t by_provider_rows[] = {
    { .name = "provider", .type = CH_T_STR, .doc = "Provider" }, COUNT_ROW,
};

static const ch_field_t by_model_rows[] = {
    { .name = "model", .type = CH_T_STR, .doc = "Model" }, COUNT_ROW,
};

static const ch_field_t by_month_rows[] = {
    { .name = "month", .type = CH_T_STR, .doc = "YYYY-MM, of UTC" },
    COUNT_ROW,
};

#define GROUP_OUT(title, table)                                               \
    { .name = title, .rows = table, .count = (int)CH_COUNT(table) }

static const ch_fields_t by_category =
    GROUP_OUT("CategoryCount", by_category_rows);
static const ch_fields_t by_provider =
    GROUP_OUT("ProviderCount", by_provider_rows);
static const ch_fields_t by_model = GROUP_OUT("ModelCount", by_model_rows);
static const ch_fields_t by_month = GROUP_OUT("MonthCount", by_month_rows);

static const ch_field_t stats_rows[] = {
    { .name = "totalConversations", .type = CH_T_INT,
      .doc = "Conversations" },
    { .name = "totalMessages", .type = CH_T_INT, .doc = "Their messages" },
    { .name = "totalViews", .type = CH_T_INT, .doc = "Their views" },
    { .name = "featuredCount", .type = CH_T_INT, .doc = "Chosen ones" },
    { .name = "byCategory", .type = CH_T_JSON, .nested = &by_category,
      .doc = "Those that there are" },
    { .name = "byProvider", .type = CH_T_JSON, .nested = &by_provider,
      .doc = "Those that there are" },
    { .name = "byModel", .type = CH_T_JSON, .nested = &by_model,
      .max = MODELS_MAX, .doc = "The most frequent" },
    { .name = "byMonth", .type = CH_T_JSON, .nested = &by_month,
      .doc = "The last twelve, the oldest first" },
};

static const ch_fields_t stats_out = {
    .name = "ConversationStats", .rows = stats_rows,
    .count = (int)CH_COUNT(stats_rows),
};

/* --- lists ------------------------------------------------------------ */

static ch_err_t *unknown_caller(ch_req_t *rq)
{
    return ch_err_make(rq->pool, CH_E_AUTHENTICATION_REQUIRED, NULL);
}

/* Of whom: with mine the caller; nobody's, when another one is asked for. */
static const char *author_of(const ch_req_t *rq)
{
    const list_query_t *query = rq->query;

    if (!query->mine) {
        return query->author;
    }
    return query->author && strcmp(query->author, rq->who->user_id) != 0
               ? NOBODY
               : rq->who->user_id;
}

static const int *only_featured(const ch_req_t *rq)
{
    static const int yes = 1;
    const list_query_t *query = rq->query;

    return query->sort_by == BY_FEATURED
               ? &yes
               : CH_QUERY_OPT(rq, list_query_t, featured);
}

#define NAME(rq, member, names)                                               \
    ch_conversation_name(names, CH_QUERY_OPT(rq, list_query_t, member))

/* Filters and order as both statements take them. */
#define FILTERS(rq, query)                                                    \
    .author = author_of(rq),                                                  \
    .category = NAME(rq, category, ch_conversation_categories),               \
    .tags = ch_conversation_tags((rq)->pool, (query)->tags),                  \
    .provider = NAME(rq, provider, ch_conversation_providers),                \
    .model = (query)->model,                                                  \
    .featured = only_featured(rq),                                            \
    .visibility = NAME(rq, visibility, ch_conversation_visibilities),         \
    .scope = (query)->mine, .sort = (query)->sort_by,                         \
    .order = (query)->sort_order

static ch_err_t *fetch_page(ch_req_t *rq, ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_conversation_page_t in = {
        FILTERS(rq, query),
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };

    return sql_conversation_page(rq->db, &in, rows);
}

static ch_err_t *fetch_after(ch_req_t *rq, const char *const cursor[2],
                             ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_conversation_after_t in = {
        FILTERS(rq, query),
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = ch_page_fetch(&query->page),
    };

    return sql_conversation_after(rq->db, &in, rows);
}

static ch_err_t *list_conversations(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    ch_list_t list = { .sort_column = sort_columns[query->sort_by] };
    const char *cursor[2];
    ch_rows_t *rows;
    int after;
    ch_err_t *err;

    if (query->mine && !rq->who) {
        return unknown_caller(rq);
    }
    err = ch_page_open_cursor(rq, &query->page, cursor, &after);
    if (!err) {
        err = after ? fetch_after(rq, cursor, &rows) : fetch_page(rq, &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Conversations");
}

/* --- counts ------------------------------------------------------------ */

static apr_int64_t count_of(const ch_rows_t *rows, const char *kind,
                            const char *what)
{
    int i;

    for (i = 0; i < ch_rows_count(rows); i++) {
        const char *name = ch_rows_text(rows, i, "what");

        if (name && strcmp(name, what) == 0
            && (!kind
                || strcmp(ch_rows_text(rows, i, "kind"), kind) == 0)) {
            return ch_rows_int(rows, i, "count");
        }
    }
    return 0;
}

static ch_err_t *list_categories(ch_req_t *rq)
{
    ch_rows_t *rows;
    ch_buf_t *buf;
    size_t i;
    ch_err_t *err = sql_conversation_categories(rq->db, &rows);

    if (err) {
        return err;
    }
    buf = ch_reply_begin(rq, 1024);
    CH_BUF_LIT(buf, "{\"items\":[");
    for (i = 0; i < CH_CONVERSATION_CATEGORIES; i++) {
        const char *name = ch_conversation_categories[i];

        ch_buf_printf(buf,
                      "%s{\"category\":\"%s\",\"name\":\"%c%s\",\"count\":%"
                      APR_INT64_T_FMT "}",
                      i ? "," : "", name, *name - 'a' + 'A', name + 1,
                      count_of(rows, NULL, name));
    }
    CH_BUF_LIT(buf, "]}");
    return ch_reply_end(rq, "Categories");
}

static void write_group(ch_buf_t *buf, const group_t *group,
                        const ch_rows_t *rows)
{
    int count = 0;
    int i;

    ch_buf_printf(buf, ",\"%s\":[", group->member);
    for (i = 0; i < ch_rows_count(rows); i++) {
        const char *what = ch_rows_text(rows, i, "what");

        if (!what || strcmp(ch_rows_text(rows, i, "kind"), group->kind) != 0) {
            continue;
        }
        if (group->max && count == group->max) {
            break;
        }
        ch_buf_printf(buf, "%s{\"%s\":", count++ ? "," : "", group->key);
        ch_jsonw_cstr(buf, what);
        CH_BUF_LIT(buf, ",\"count\":");
        ch_jsonw_int(buf, ch_rows_int(rows, i, "count"));
        ch_buf_putc(buf, '}');
    }
    ch_buf_putc(buf, ']');
}

/* The last twelve months, those without conversations too. */
static void write_months(ch_buf_t *buf, const ch_rows_t *rows, apr_time_t now)
{
    apr_time_exp_t at;
    int months, i;

    apr_time_exp_gmt(&at, now);
    months = (at.tm_year + 1900) * 12 + at.tm_mon - (MONTHS - 1);
    CH_BUF_LIT(buf, ",\"byMonth\":[");
    for (i = 0; i < MONTHS; i++, months++) {
        char month[16];

        apr_snprintf(month, sizeof(month), "%04d-%02d", months / 12,
                     months % 12 + 1);
        ch_buf_printf(buf, "%s{\"month\":\"%s\",\"count\":%" APR_INT64_T_FMT
                      "}",
                      i ? "," : "", month, count_of(rows, "month", month));
    }
    ch_buf_putc(buf, ']');
}

static ch_err_t *get_stats(ch_req_t *rq)
{
    const stats_query_t *query = rq->query;
    sql_conversation_stats_t in = { .scope = query->mine };
    ch_rows_t *rows;
    ch_buf_t *buf;
    int all = 0;
    size_t i;
    ch_err_t *err;

    if (query->mine && !rq->who) {
        return unknown_caller(rq);
    }
    in.author = query->mine ? rq->who->user_id : NULL;
    err = sql_conversation_stats(rq->db, &in, &rows);
    if (err) {
        return err;
    }
    while (strcmp(ch_rows_text(rows, all, "kind"), "all") != 0) {
        all++;
    }
    buf = ch_reply_begin(rq, 4096);
    ch_buf_printf(buf,
                  "{\"totalConversations\":%" APR_INT64_T_FMT
                  ",\"totalMessages\":%" APR_INT64_T_FMT
                  ",\"totalViews\":%" APR_INT64_T_FMT
                  ",\"featuredCount\":%" APR_INT64_T_FMT,
                  ch_rows_int(rows, all, "count"),
                  ch_rows_int(rows, all, "messages"),
                  ch_rows_int(rows, all, "views"),
                  ch_rows_int(rows, all, "featured"));
    for (i = 0; i < CH_COUNT(groups); i++) {
        write_group(buf, &groups[i], rows);
    }
    write_months(buf, rows, rq->start);
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "Statistics");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, CH_CONVERSATION_ROUTE,
      .auth = CH_OPTIONAL, .flags = CH_LIST, .cache = CH_CACHE_PUBLIC,
      .ok = 200, .query = &list_query, .out = &ch_conversation_item_out,
      CH_ROUTE_CODES(CH_E_AUTHENTICATION_REQUIRED),
      .handler = list_conversations, .summary = "Public conversations, or "
                                                "the caller's own" },
    { .method = CH_GET, .path = HERE "/featured", CH_CONVERSATION_ROUTE,
      .auth = CH_PUBLIC, .flags = CH_LIST, .cache = CH_CACHE_PUBLIC,
      .ok = 200, .query = &featured_query, .out = &ch_conversation_item_out,
      .handler = list_conversations,
      .summary = "Public conversations that were chosen" },
    { .method = CH_GET, .path = HERE "/categories", CH_CONVERSATION_ROUTE,
      .auth = CH_PUBLIC, .cache = CH_CACHE_PUBLIC, .ok = 200,
      .out = &categories_out, .handler = list_categories,
      .summary = "Categories, and how many public conversations each has" },
    { .method = CH_GET, .path = HERE "/stats", CH_CONVERSATION_ROUTE,
      .auth = CH_OPTIONAL, .cache = CH_CACHE_PUBLIC, .ok = 200,
      .query = &stats_query, .out = &stats_out,
      CH_ROUTE_CODES(CH_E_AUTHENTICATION_REQUIRED), .handler = get_stats,
      .summary = "What public conversations, or the caller's own, are about" },
};

const ch_routes_t ch_conversation_list_routes = CH_ROUTES(routes);
