/* Accounts as administrators see and change them. */
#include "api/account.h"
#include "api/api.h"
#include "auth/auth.h"
#include "base/text.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/admin/users"
#define TOKENS_MAX 2000000000

/* --- inputs ----------------------------------------------------------- */

static const char *const sorts[] = { "createdAt", "email", "lastLoginAt" };
static const char *const orders[] = { "asc", "desc" };

typedef struct {
    const char *search;
    int role;
    int is_active;
    int sort_by;
    int sort_order;
    ch_page_in_t page;
} users_query_t;

static const ch_field_t query_rows[] = {
    { .name = "search", CH_IN(users_query_t, search, CH_T_STR), .min = 1,
      .max = 100, .doc = "Part of e-mail address or name, ignoring case" },
    { .name = "role", CH_IN(users_query_t, role, CH_T_ENUM),
      .choices = ch_role_names, .choice_count = CH_ROLE_ADMIN + 1,
      .doc = "Only with this role" },
    { .name = "isActive", CH_IN(users_query_t, is_active, CH_T_BOOL),
      .doc = "Only active ones, or only others" },
    { .name = "sortBy", CH_IN(users_query_t, sort_by, CH_T_ENUM),
      CH_CHOICES(sorts), .def = "\"createdAt\"",
      .doc = "Order; who never logged in comes before all logins" },
    { .name = "sortOrder", CH_IN(users_query_t, sort_order, CH_T_ENUM),
      CH_CHOICES(orders), .def = "\"desc\"", .doc = "Direction" },
    CH_PAGE_ROWS(users_query_t, page, "20"),
};

static const ch_fields_t users_query = CH_FIELDS(users_query_t, query_rows);

typedef struct {
    int role;
    int is_active;
    int tier;
    apr_int64_t tokens_limit;
    int email_verified;
} user_in_t;

static const ch_field_t user_rows[] = {
    { .name = "role", CH_IN(user_in_t, role, CH_T_ENUM),
      .choices = ch_role_names, .choice_count = CH_ROLE_ADMIN + 1,
      .doc = "Acts at once, also on tokens that are out" },
    { .name = "isActive", CH_IN(user_in_t, is_active, CH_T_BOOL),
      .doc = "false: may not log in; ends all sessions" },
    { .name = "subscriptionTier", CH_IN(user_in_t, tier, CH_T_ENUM),
      .choices = ch_tier_names, .choice_count = CH_TIER_COUNT,
      .doc = "Sets aiTokensLimit, too, unless that is given" },
    { .name = "aiTokensLimit", CH_IN(user_in_t, tokens_limit, CH_T_INT),
      .max = TOKENS_MAX, .doc = "AI tokens of a month" },
    { .name = "emailVerified", CH_IN(user_in_t, email_verified, CH_T_BOOL),
      .doc = "Whether the address counts as verified" },
};

static const ch_fields_t user_in = CH_FIELDS(user_in_t, user_rows);

/* --- handlers --------------------------------------------------------- */

/* The chosen word, NULL when the parameter was not given. */
static const char *role_filter(const ch_req_t *rq)
{
    const int *role = CH_QUERY_OPT(rq, users_query_t, role);

    return role ? ch_role_names[*role] : NULL;
}

static ch_err_t *fetch_users(ch_req_t *rq, const char *const *cursor,
                             ch_rows_t **rows)
{
    const users_query_t *query = rq->query;
    const sql_admin_user_page_t page = {
        .search = ch_text_like(rq->pool, query->search),
        .role = role_filter(rq),
        .active = CH_QUERY_OPT(rq, users_query_t, is_active),
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
        .sort = query->sort_by,
        .order = query->sort_order,
    };
    sql_admin_user_after_t after;

    if (!cursor) {
        return sql_admin_user_page(rq->db, &page, rows);
    }
    after = (sql_admin_user_after_t){
        .search = page.search,
        .role = page.role,
        .active = page.active,
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = page.fetch,
        .sort = page.sort,
        .order = page.order,
    };
    return sql_admin_user_after(rq->db, &after, rows);
}

static ch_err_t *list_users(ch_req_t *rq)
{
    const users_query_t *query = rq->query;
    ch_list_t list = { .sort_column = "sort_key" };
    const char *cursor[2];
    ch_rows_t *rows = NULL;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, &query->page, cursor, &after);

    if (!err) {
        err = fetch_users(rq, after ? cursor : NULL, &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Users");
}

static ch_err_t *get_user(ch_req_t *rq)
{
    const sql_admin_user_get_t in = { .id = rq->match.param[0] };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_admin_user_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_USER_NOT_FOUND, "User");
}

static ch_err_t *update_user(ch_req_t *rq)
{
    const int *role = CH_OPT(rq, user_in_t, role);
    const int *tier = CH_OPT(rq, user_in_t, tier);
    const sql_admin_user_update_t in = {
        .id = rq->match.param[0],
        .match = rq->if_match,
        .role = role ? ch_role_names[*role] : NULL,
        .active = CH_OPT(rq, user_in_t, is_active),
        .tier = tier ? ch_tier_names[*tier] : NULL,
        .tokens_limit = CH_OPT(rq, user_in_t, tokens_limit),
        .verified = CH_OPT(rq, user_in_t, email_verified),
        .actor = rq->who->user_id,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_admin_user_update(rq->db, &in, &rows);

    if (!err) { /* done or refused: nothing old must be believed */
        ch_session_forget_user(rq, in.id);
    }
    return ch_reply_found(rq, err, rows, CH_E_USER_NOT_FOUND, "User updated");
}

/* --- routes ----------------------------------------------------------- */

#define ADMIN_ROUTE .auth = CH_ADMIN, .rate = CH_RATE_API, .tag = "Admin"

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, ADMIN_ROUTE, .flags = CH_LIST,
      .ok = 200, .query = &users_query, .out = &ch_admin_user_out,
      .handler = list_users, .summary = "Users" },
    { .method = CH_GET, .path = HERE "/{id}", ADMIN_ROUTE,
      .flags = CH_VERSIONED | CH_NO_304, .ok = 200,
      .out = &ch_admin_user_out, CH_ROUTE_CODES(CH_E_USER_NOT_FOUND),
      .handler = get_user, .summary = "One user" },
    { .method = CH_PUT, .path = HERE "/{id}", ADMIN_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .body = &user_in,
      .out = &ch_user_out,
      CH_ROUTE_CODES(CH_E_USER_NOT_FOUND, CH_E_LAST_ADMIN),
      .handler = update_user, .summary = "Change a user's role and limits" },
};

const ch_routes_t ch_admin_routes = CH_ROUTES(routes);
