/* Fuzzes query strings and paths: what is decoded is text, what is validated
 * keeps to its rows, and no attack is overlooked that a slower look finds. */
#include "ch_fuzz.h"

#include <apr_strings.h>

#include "base/text.h"
#include "web/query.h"
#include "web/request.h"

typedef struct {
    ch_page_in_t page;
    int order, flag;
    const char *q, *folder;
    const apr_array_header_t *tags;
} query_t;

static const char *const orders[] = { "asc", "desc" };

static const ch_field_t rows[] = {
    CH_PAGE_ROWS(query_t, page, "20"),
    { .name = "sortOrder",
      CH_IN(query_t, order, CH_T_ENUM),
      CH_CHOICES(orders),
      .def = "\"desc\"" },
    { .name = "flag", CH_IN(query_t, flag, CH_T_BOOL) },
    { .name = "q", CH_IN(query_t, q, CH_T_STR), .min = 1, .max = 9 },
    { .name = "folder",
      CH_IN(query_t, folder, CH_T_UUID),
      .flags = CH_SPECIAL,
      .extra = "none" },
    { .name = "tag",
      CH_IN(query_t, tags, CH_T_STRS),
      .flags = CH_REPEAT | CH_UNIQUE,
      .max = 3,
      .item_min = 1,
      .item_max = 4 },
};

static const ch_fields_t table = CH_FIELDS(query_t, rows);

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = "/api/v1/things", .query = &table },
    { .method = CH_PUT, .path = "/api/v1/things/{id}" },
    { .method = CH_GET, .path = "/api/v1/a/{a:str}/{b:str}/{c:str}/{d:str}" },
    { .method = CH_GET, .path = "/api-docs", .flags = CH_ROOT | CH_SUBPATHS },
};

static const ch_routes_t all_routes = CH_ROUTES(routes);

/* --- pairs ----------------------------------------------------------------
 */

static int is_text(const char *text, size_t len)
{
    return strlen(text) == len && ch_text_valid(text, len);
}

/* What was decoded well comes back when every byte of it is escaped. */
static void check_again(apr_pool_t *pool, const ch_pair_t *pair)
{
    char *escaped = apr_palloc(pool, 3 * pair->len + 1);
    size_t i, len;
    int broken = 0;

    for (i = 0; i < pair->len; i++) {
        snprintf(escaped + 3 * i, 4, "%%%02X",
                 (unsigned)(unsigned char)pair->value[i]);
    }
    CH_PROMISE(
        strcmp(ch_query_decode(pool, escaped, 3 * pair->len, 1, &len, &broken),
               pair->value)
        == 0);
    CH_PROMISE(len == pair->len && !broken);
}

static void check_pairs(apr_pool_t *pool, const apr_array_header_t *pairs)
{
    int i;

    for (i = 0; i < pairs->nelts; i++) {
        const ch_pair_t *pair = &APR_ARRAY_IDX(pairs, i, ch_pair_t);

        CH_PROMISE(is_text(pair->name, strlen(pair->name)));
        CH_PROMISE(is_text(pair->value, pair->len));
        if (!pair->broken) {
            check_again(pool, pair);
        }
    }
}

/* --- validation -----------------------------------------------------------
 */

static void check_values(const query_t *in)
{
    int i;

    CH_PROMISE(in->page.page >= 1 && in->page.page <= 10000);
    CH_PROMISE(in->page.limit >= 1 && in->page.limit <= 100);
    CH_PROMISE(!in->page.cursor || strlen(in->page.cursor) <= CH_CURSOR_MAX);
    CH_PROMISE(in->order == 0 || in->order == 1);
    CH_PROMISE(in->flag == 0 || in->flag == 1);
    CH_PROMISE(!in->q || (*in->q && ch_text_count(in->q, strlen(in->q)) <= 9));
    CH_PROMISE(!in->folder || strlen(in->folder) == CH_UUID_LEN
               || strcmp(in->folder, "none") == 0);
    CH_PROMISE(!in->tags || in->tags->nelts <= 3);
    for (i = 0; in->tags && i < in->tags->nelts; i++) {
        CH_PROMISE(*APR_ARRAY_IDX(in->tags, i, const char *));
    }
}

static void check_validation(ch_req_t *rq)
{
    ch_err_t *err;
    int i;

    rq->route = &routes[0];
    err = ch_validate_stage(rq);
    if (!err) {
        check_values(rq->query);
        CH_PROMISE(rq->filter_key != NULL);
        return;
    }
    CH_PROMISE(err->details->nelts <= CH_DETAILS_MAX);
    for (i = 0; i < err->details->nelts; i++) {
        CH_PROMISE(APR_ARRAY_IDX(err->details, i, ch_detail_t).field != NULL);
    }
}

/* --- attacks --------------------------------------------------------------
 */

static void no_log(ch_req_t *rq, char level, int number, const char *text)
{
}

static void no_event(ch_req_t *rq, const char *type, const char *pattern)
{
}

static const ch_io_t io = {
    .log = no_log,
    .event = no_event,
    .security = no_event,
};

static int holds_attack(apr_pool_t *pool, const char *text, size_t len)
{
    static const char *const patterns[] = {
        "../",     "..\\",         "<script",     "javascript:",
        "${jndi:", "union select", "/etc/passwd", ";--",
    };
    const char *lower = ch_text_ascii_lower(pool, text, len);
    size_t i;

    for (i = 0; i < CH_COUNT(patterns); i++) {
        if (strstr(lower, patterns[i]) != NULL) {
            return 1;
        }
    }
    return ch_text_has_control(text, len, 0);
}

/* One piece of a query (or a path), as it was sent. */
static int is_attack(apr_pool_t *pool, const char *raw, size_t len,
                     int plus_is_space)
{
    int broken = 0;
    size_t out_len;
    const char *out =
        ch_query_decode(pool, raw, len, plus_is_space, &out_len, &broken);

    return holds_attack(pool, out, out_len);
}

/* Whether this is the name of a parameter that may hold anything. */
static int is_search(apr_pool_t *pool, const char *name)
{
    int broken = 0;
    size_t len;
    const char *out =
        ch_query_decode(pool, name, strlen(name), 1, &len, &broken);

    return strcmp(out, "q") == 0 || strcmp(out, "search") == 0;
}

static int has_attack(apr_pool_t *pool, const char *args)
{
    char *copy = apr_pstrdup(pool, args);
    char *at = copy;
    char *piece;

    while ((piece = strsep(&at, "&")) != NULL) {
        char *equals = strchr(piece, '=');
        const char *value = equals ? equals + 1 : "";

        if (equals) {
            *equals = '\0';
        }
        if (!is_search(pool, piece)
            && is_attack(pool, value, strlen(value), 1)) {
            return 1;
        }
    }
    return 0;
}

static void check_attacks(ch_req_t *rq, const char *text)
{
    ch_err_t *err;

    rq->sent_path = "/";
    rq->args = text;
    err = ch_secure_stage(rq);
    CH_PROMISE(err != NULL || !has_attack(rq->pool, text));
    rq->sent_path = text;
    rq->args = NULL;
    err = ch_secure_stage(rq);
    CH_PROMISE(err != NULL || !is_attack(rq->pool, text, strlen(text), 0));
}

/* --- paths ----------------------------------------------------------------
 */

static void check_path(apr_pool_t *pool, const char *path)
{
    static const ch_routes_t *const tables[] = { &all_routes };
    static const char features[CH_FEATURE__COUNT] = { 1 };
    const char *why;
    const ch_router_t *router = ch_router_make(pool, tables, 1, &why);
    ch_match_t match;
    int i;

    ch_router_match(router, pool, path, CH_GET, features, &match);
    CH_PROMISE(match.param_count >= 0 && match.param_count <= CH_PARAMS_MAX);
    for (i = 0; i < match.param_count; i++) {
        CH_PROMISE(is_text(match.param[i], strlen(match.param[i])));
    }
    CH_PROMISE(!match.route || match.known);
    CH_PROMISE(!match.known || ch_router_claims(router, path));
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    ch_req_t *rq = apr_pcalloc(pool, sizeof(*rq));
    char *text = malloc(size + 1);

    /* in a block of its own, so that a sanitizer sees any overrun */
    memcpy(text, data, size);
    text[size] = '\0';
    rq->pool = pool;
    rq->io = &io;
    rq->in = apr_table_make(pool, 1);
    check_pairs(pool, ch_query_parse(pool, text));
    check_pairs(pool, ch_query_pairs(pool, text, size));
    check_attacks(rq, text);
    rq->args = text;
    check_validation(rq);
    check_path(pool, text);
    check_path(pool, apr_pstrcat(pool, "/api/v1/", text, NULL));
    free(text);
}
