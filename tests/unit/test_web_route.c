/* Tests of web/route: which row a path leads to, and which paths are ours. */
#include "ch_check.h"

#include <apr_strings.h>

#include "web/route.h"

/* The summary is the name by which the tests know a row. */
static const ch_route_t rows[] = {
    { .method = CH_GET,
      .path = "/api/v1",
      .flags = CH_ROOT,
      .summary = "all" },
    { .method = CH_GET, .path = "/api/v1/things", .summary = "list" },
    { .method = CH_POST, .path = "/api/v1/things", .summary = "make" },
    { .method = CH_GET, .path = "/api/v1/things/{id}", .summary = "one" },
    { .method = CH_PUT, .path = "/api/v1/things/{id}", .summary = "change" },
    { .method = CH_DELETE, .path = "/api/v1/things/{id}", .summary = "drop" },
    /* a literal that comes after the parameter */
    { .method = CH_GET, .path = "/api/v1/things/trash", .summary = "trash" },
    { .method = CH_GET,
      .path = "/api/v1/things/{id}/versions/{version:int}",
      .summary = "version" },
    { .method = CH_GET,
      .path = "/api/v1/words/{word:str}",
      .summary = "word" },
    { .method = CH_GET,
      .path = "/api/v1/a/{a:str}/{b:str}/{c:str}/{d:str}",
      .summary = "four" },
    { .method = CH_GET,
      .path = "/health",
      .alias = { "/api/v1/health" },
      .flags = CH_ROOT,
      .summary = "health" },
    { .method = CH_GET,
      .path = "/api-docs",
      .alias = { "/api/v1/docs" },
      .flags = CH_ROOT | CH_SUBPATHS,
      .summary = "docs" },
    { .method = CH_GET,
      .path = "/api/v1/user/profile",
      .alias = { "/api/v1/users/profile" },
      .summary = "profile" },
    { .method = CH_PUT,
      .path = "/api/v1/user/profile",
      .alias = { "/api/v1/users/profile", "/api/v1/auth/profile" },
      .summary = "set profile" },
    { .method = CH_POST,
      .path = "/api/v1/ai/ask",
      .feature = CH_FEATURE_AI,
      .summary = "ask" },
    { .method = CH_GET,
      .path = "/api/v1/mixed",
      .feature = CH_FEATURE_NOTES,
      .summary = "mixed get" },
    { .method = CH_POST,
      .path = "/api/v1/mixed",
      .feature = CH_FEATURE_CHAT,
      .summary = "mixed post" },
};

static const ch_routes_t table = CH_ROUTES(rows);

static ch_router_t *make_router(void)
{
    static const ch_routes_t *const tables[] = { &table };
    const char *why = NULL;
    ch_router_t *router = ch_router_make(pool, tables, 1, &why);

    ck_assert_ptr_nonnull(router);
    ck_assert_ptr_null(why);
    return router;
}

static ch_match_t match_with(const char *path, ch_method_e method,
                             const char *features)
{
    ch_match_t out;

    ch_router_match(make_router(), pool, ch_check_copy(path, strlen(path) + 1),
                    method, features, &out);
    return out;
}

static ch_match_t match(const char *path, ch_method_e method)
{
    char features[CH_FEATURE__COUNT];

    memset(features, 1, sizeof(features));
    return match_with(path, method, features);
}

/* "name(parameters)", "405" for another method, "" for nothing; with " old"
 * behind it when the way was deprecated. */
static const char *show(const ch_match_t *found)
{
    const char *text;
    int i;

    ck_assert_int_eq(found->known, found->methods != 0);
    ck_assert_int_eq(found->any != NULL, found->known);
    if (!found->known) {
        ck_assert_ptr_null(found->route);
        return "";
    }
    text = found->route ? found->route->summary : "405";
    for (i = 0; i < found->param_count; i++) {
        text = apr_pstrcat(pool, text, i ? "," : "(", found->param[i], NULL);
    }
    return apr_pstrcat(pool, text, found->param_count ? ")" : "",
                       found->deprecated ? " old" : "", NULL);
}

static const struct {
    const char *path;
    ch_method_e method;
    const char *found;
} paths[] = {
    { "/api/v1/things", CH_GET, "list" },
    { "/api/v1/things", CH_POST, "make" },
    { "/api/v1/things", CH_HEAD, "list" },
    { "/api/v1/things", CH_PUT, "405" },
    { "/api/v1/things", CH_PATCH, "405" },
    { "/api/v1/things", CH_OPTIONS, "405" },
    { "/api/v1/things", CH_METHOD_OTHER, "405" },
    { "/api/v1/things/7", CH_GET, "one(7)" },
    { "/api/v1/things/7", CH_HEAD, "one(7)" },
    { "/api/v1/things/7", CH_PUT, "change(7)" },
    { "/api/v1/things/7", CH_PATCH, "change(7)" },
    { "/api/v1/things/7", CH_DELETE, "drop(7)" },
    { "/api/v1/things/7", CH_POST, "405(7)" },
    /* literals win */
    { "/api/v1/things/trash", CH_GET, "trash" },
    { "/api/v1/things/trash", CH_DELETE, "405" },
    { "/api/v1/things/trashy", CH_GET, "one(trashy)" },
    { "/api/v1/things/tras", CH_GET, "one(tras)" },
    { "/api/v1/things/Trash", CH_GET, "one(Trash)" },
    { "/api/v1/things/7/versions/3", CH_GET, "version(7,3)" },
    { "/api/v1/things/7/versions", CH_GET, "" },
    { "/api/v1/things/7/Versions/3", CH_GET, "" },
    { "/api/v1/things/7/versions/3/x", CH_GET, "" },
    { "/api/v1/a/1/2/3/4", CH_GET, "four(1,2,3,4)" },
    /* one trailing slash */
    { "/api/v1/things/", CH_GET, "list" },
    { "/api/v1/things/7/", CH_GET, "one(7)" },
    { "/api/v1/things//", CH_GET, "" },
    { "/api/v1//things", CH_GET, "" },
    { "//api/v1/things", CH_GET, "" },
    { "/api/v1/things//versions/3", CH_GET, "" },
    { "/health/", CH_GET, "health" },
    /* without /v1 */
    { "/api/things", CH_GET, "list old" },
    { "/api/things/7", CH_PUT, "change(7) old" },
    { "/api/things/", CH_GET, "list old" },
    { "/api/things", CH_DELETE, "405 old" },
    { "/api", CH_GET, "all old" },
    { "/api/", CH_GET, "all old" },
    { "/api/v1", CH_GET, "all" },
    { "/api/v1/", CH_GET, "all" },
    { "/api/v1/v1/things", CH_GET, "" },
    { "/api/v1x/things", CH_GET, "" },
    { "/api/v2/things", CH_GET, "" },
    { "/v1/things", CH_GET, "" },
    { "/things", CH_GET, "" },
    { "/apix/v1/things", CH_GET, "" },
    { "/API/v1/things", CH_GET, "" },
    { "/api/V1/things", CH_GET, "" },
    { "/api/v1/Things", CH_GET, "" },
    /* aliases; those of section 2 are as good as the path itself */
    { "/api/v1/user/profile", CH_PUT, "set profile" },
    { "/api/v1/users/profile", CH_PUT, "set profile old" },
    { "/api/v1/users/profile", CH_PATCH, "set profile old" },
    { "/api/v1/auth/profile", CH_PATCH, "set profile old" },
    { "/api/v1/users/profile", CH_GET, "profile old" },
    { "/api/v1/users/profile", CH_HEAD, "profile old" },
    { "/api/v1/auth/profile", CH_GET, "405 old" },
    { "/api/auth/profile", CH_PUT, "set profile old" },
    { "/health", CH_GET, "health" },
    { "/api/v1/health", CH_GET, "health" },
    { "/api/health", CH_GET, "health old" },
    { "/health", CH_POST, "405" },
    /* decoded once; an escaped slash separates nothing */
    { "/api/v1/things/a%2Fb", CH_GET, "one(a/b)" },
    { "/api/v1/things%2F7", CH_GET, "" },
    { "/api/v1/things/7%2Fversions%2F3", CH_GET, "one(7/versions/3)" },
    { "/api/v1/words/a%20b+c", CH_GET, "word(a b+c)" },
    { "/api/v1/words/%2525", CH_GET, "word(%25)" },
    { "/api/v1/words/%C3%A9", CH_GET, "word(\xC3\xA9)" },
    { "/api/v1/th%69ngs", CH_GET, "list" },
    { "/api/v1/things/tr%61sh", CH_GET, "trash" },
    { "/api/v1/words/%2F", CH_GET, "word(/)" },
    { "/api/v1/words/", CH_GET, "" },
    { "/", CH_GET, "" },
    { "", CH_GET, "" },
    { "*", CH_OPTIONS, "" },
};

START_TEST(finds_the_row)
{
    ch_match_t found = match(paths[_i].path, paths[_i].method);

    ck_assert_str_eq(show(&found), paths[_i].found);
}
END_TEST

#define BIT(method) (1u << CH_##method)

static const struct {
    const char *path;
    unsigned methods;
} allowed[] = {
    { "/api/v1/things", BIT(GET) | BIT(HEAD) | BIT(POST) },
    { "/api/v1/things/7",
      BIT(GET) | BIT(HEAD) | BIT(PUT) | BIT(PATCH) | BIT(DELETE) },
    { "/api/v1/things/trash", BIT(GET) | BIT(HEAD) },
    { "/api/v1/auth/profile", BIT(PUT) | BIT(PATCH) },
    { "/api/v1/users/profile", BIT(GET) | BIT(HEAD) | BIT(PUT) | BIT(PATCH) },
    { "/api/v1/ai/ask", BIT(POST) },
    { "/api/v1/nothing", 0 },
};

START_TEST(tells_the_methods)
{
    ch_match_t found = match(allowed[_i].path, CH_OPTIONS);

    ck_assert_uint_eq(found.methods, allowed[_i].methods);
}
END_TEST

/* Whatever the order of the tables, the same row is found. */
START_TEST(order_is_no_matter)
{
    enum { COUNT = (int)CH_COUNT(rows) };
    ch_route_t reversed[COUNT];
    const ch_routes_t back = { .rows = reversed, .count = COUNT };
    const ch_routes_t *const tables[] = { &back };
    char features[CH_FEATURE__COUNT];
    const char *why;
    ch_router_t *router;
    size_t i;

    for (i = 0; i < COUNT; i++) {
        reversed[i] = rows[COUNT - 1 - i];
    }
    memset(features, 1, sizeof(features));
    router = ch_router_make(pool, tables, 1, &why);
    ck_assert_ptr_nonnull(router);
    for (i = 0; i < CH_COUNT(paths); i++) {
        ch_match_t found;

        ch_router_match(router, pool, paths[i].path, paths[i].method, features,
                        &found);
        ck_assert_str_eq(show(&found), paths[i].found);
    }
}
END_TEST

/* --- areas that are off ---------------------------------------------------
 */

static ch_match_t match_without(ch_feature_e off, const char *path,
                                ch_method_e method)
{
    char features[CH_FEATURE__COUNT];

    memset(features, 1, sizeof(features));
    features[off] = 0;
    return match_with(path, method, features);
}

START_TEST(an_area_that_is_off)
{
    ch_match_t found;

    found = match_without(CH_FEATURE_AI, "/api/v1/ai/ask", CH_POST);
    ck_assert_str_eq(show(&found), "");
    found = match_without(CH_FEATURE_AI, "/api/v1/ai/ask", CH_OPTIONS);
    ck_assert_str_eq(show(&found), "");
    found = match_without(CH_FEATURE_CHAT, "/api/v1/ai/ask", CH_POST);
    ck_assert_str_eq(show(&found), "ask");
}
END_TEST

/* One path with rows of two areas: what is on stays, and only that is
 * allowed. */
START_TEST(half_a_path_that_is_off)
{
    ch_match_t found;

    found = match_without(CH_FEATURE_CHAT, "/api/v1/mixed", CH_POST);
    ck_assert_str_eq(show(&found), "405");
    ck_assert_uint_eq(found.methods, BIT(GET) | BIT(HEAD));
    found = match_without(CH_FEATURE_NOTES, "/api/v1/mixed", CH_GET);
    ck_assert_str_eq(show(&found), "405");
    ck_assert_str_eq(found.any->summary, "mixed post");
    ck_assert_uint_eq(found.methods, BIT(POST));
    found = match_without(CH_FEATURE_NOTES, "/api/v1/mixed", CH_POST);
    ck_assert_str_eq(show(&found), "mixed post");
}
END_TEST

/* --- a row that serves all below it ---------------------------------------
 */

static const struct {
    const char *path;
    const char *found;
    const char *rest; /* NULL = none */
} below[] = {
    { "/api-docs", "docs", NULL },
    { "/api-docs/", "docs", NULL },
    { "/api-docs/a.css", "docs", "a.css" },
    { "/api-docs/x/y%2Fz.js", "docs", "x/y%2Fz.js" },
    { "/api-docs/x/", "docs", "x/" },
    { "/api-docs//x", "docs", "/x" },
    { "/api/v1/docs", "docs", NULL },
    { "/api/v1/docs/a.css", "docs", "a.css" },
    { "/api/docs/a.css", "docs old", "a.css" },
    { "/api-docsx", "", NULL },
    { "/health/x", "", NULL },
};

START_TEST(serves_below)
{
    ch_match_t found = match(below[_i].path, CH_GET);

    ck_assert_str_eq(show(&found), below[_i].found);
    ck_assert_pstr_eq(found.rest, below[_i].rest);
    ck_assert_int_eq(found.param_count, 0);
}
END_TEST

/* --- what is ours ---------------------------------------------------------
 */

static const struct {
    const char *path;
    int ours;
} claims[] = {
    { "/api", 1 },
    { "/api/", 1 },
    { "/api/x", 1 },
    { "/api/v9/x", 1 },
    { "/health", 1 },
    { "/health/", 1 },
    { "/health/x", 1 },
    { "/api-docs", 1 },
    { "/api-docs/a", 1 },
    { "/", 0 },
    { "", 0 },
    { "*", 0 },
    { "/apix", 0 },
    { "/ap", 0 },
    { "/API", 0 },
    { "/healthy", 0 },
    { "/heal", 0 },
    { "/things", 0 },
    { "/index.html", 0 },
    { "/v1/things", 0 },
    { "//api", 0 },
    { "/x/api", 0 },
    { "http://h/api", 0 },
    { "/api-docs.html", 0 },
};

START_TEST(claims_its_own)
{
    ck_assert_int_eq(ch_router_claims(make_router(), claims[_i].path),
                     claims[_i].ours);
}
END_TEST

/* --- tables that contradict each other ------------------------------------
 */

static const struct {
    ch_route_t first, second;
    int refused;
} pairs[] = {
    { { .method = CH_GET, .path = "/a/b" },
      { .method = CH_GET, .path = "/a/b" },
      1 },
    { { .method = CH_GET, .path = "/a/b" },
      { .method = CH_POST, .path = "/a/b" },
      0 },
    { { .method = CH_GET, .path = "/a/{x}" },
      { .method = CH_GET, .path = "/a/{y:int}" },
      1 },
    { { .method = CH_GET, .path = "/a/{x}" },
      { .method = CH_GET, .path = "/a/x" },
      0 },
    { { .method = CH_PUT, .path = "/a" },
      { .method = CH_PATCH, .path = "/a" },
      1 },
    { { .method = CH_PATCH, .path = "/a" },
      { .method = CH_PUT, .path = "/a" },
      1 },
    { { .method = CH_GET, .path = "/a" },
      { .method = CH_GET, .path = "/b", .alias = { "/a" } },
      1 },
    { { .method = CH_GET, .path = "/b", .alias = { "/c", "/a" } },
      { .method = CH_GET, .path = "/a" },
      1 },
    { { .method = CH_GET, .path = "/a", .feature = CH_FEATURE_AI },
      { .method = CH_GET, .path = "/a", .feature = CH_FEATURE_CHAT },
      1 },
};

START_TEST(two_rows_one_path)
{
    const ch_routes_t one = { .rows = &pairs[_i].first, .count = 1 };
    const ch_routes_t two = { .rows = &pairs[_i].second, .count = 1 };
    const ch_routes_t *const tables[] = { &one, &two };
    const char *why = NULL;
    ch_router_t *router = ch_router_make(pool, tables, 2, &why);

    ck_assert_int_eq(router == NULL, pairs[_i].refused);
    ck_assert_int_eq(why != NULL, pairs[_i].refused);
    if (why) {
        ck_assert_ptr_nonnull(strstr(why, pairs[_i].second.path));
        ck_assert_ptr_nonnull(
            strstr(why, ch_method_names[pairs[_i].second.method]));
    }
}
END_TEST

/* --- rows and their paths -------------------------------------------------
 */

START_TEST(rows_in_order)
{
    static const ch_route_t stranger = { .path = "/x" };
    ch_router_t *router = make_router();
    int i;

    ck_assert_int_eq(ch_router_count(router), (int)CH_COUNT(rows));
    for (i = 0; i < (int)CH_COUNT(rows); i++) {
        ck_assert_ptr_eq(ch_router_row(router, i), &rows[i]);
        ck_assert_int_eq(ch_router_index(router, &rows[i]), i);
    }
    ck_assert_int_eq(ch_router_index(router, &stranger), -1);
    ck_assert_int_eq(ch_router_index(router, NULL), -1);
}
END_TEST

static const struct {
    const char *path;
    const char *canonical;
    const char *params; /* name:kind of each */
} templates[] = {
    { "/health", "/health", "" },
    { "/a/{id}", "/a/{id}", "id:u " },
    { "/a/{id}/b/{n:int}", "/a/{id}/b/{n}", "id:u n:i " },
    { "/a/{w:str}/{n:int}/{id}", "/a/{w}/{n}/{id}", "w:s n:i id:u " },
};

START_TEST(reads_paths)
{
    const ch_route_t row = { .path = templates[_i].path };
    const char *params = "";
    const char *name;
    char kind;
    int i;

    ck_assert_str_eq(ch_route_template(pool, &row), templates[_i].canonical);
    for (i = 0; (name = ch_route_param(pool, &row, i, &kind)); i++) {
        params = apr_psprintf(pool, "%s%s:%c ", params, name, kind);
    }
    ck_assert_str_eq(params, templates[_i].params);
}
END_TEST

static const struct {
    const char *path;
    ch_auth_e auth;
    int needs;
} verified[] = {
    { "/api/v1/things", CH_USER, 1 },
    { "/api/v1/things", CH_ADMIN, 1 },
    { "/api/v1/things", CH_OPTIONAL, 0 },
    { "/api/v1/things", CH_PUBLIC, 0 },
    { "/api/v1/auth/me", CH_USER, 0 },
    { "/api/v1/user/profile", CH_USER, 0 },
    { "/api/v1/user/profile", CH_ADMIN, 0 },
    { "/api/v1/users/x", CH_USER, 1 },
    { "/api/v1/authors", CH_USER, 1 },
    { "/api/v1/things/auth/x", CH_USER, 1 },
};

START_TEST(who_must_be_verified)
{
    const ch_route_t row = { .path = verified[_i].path,
                             .auth = verified[_i].auth };

    ck_assert_int_eq(ch_route_needs_verified(&row), verified[_i].needs);
}
END_TEST

START_TEST(what_updates)
{
    int method;

    for (method = 0; method < CH_METHOD__COUNT; method++) {
        const ch_route_t row = { .method = (ch_method_e)method };

        ck_assert_int_eq(ch_route_updates(&row),
                         method == CH_PUT || method == CH_PATCH);
    }
}
END_TEST

/* The words that documents, directives and metrics show. */
START_TEST(names)
{
    ck_assert_str_eq(ch_method_names[CH_PATCH], "PATCH");
    ck_assert_str_eq(ch_method_names[CH_OPTIONS], "OPTIONS");
    ck_assert_str_eq(ch_auth_names[CH_PUBLIC], "public");
    ck_assert_str_eq(ch_auth_names[CH_ADMIN], "admin");
    ck_assert_str_eq(ch_rate_names[CH_RATE_NONE], "none");
    ck_assert_str_eq(ch_rate_names[CH_RATE_WEBHOOK], "webhook");
    ck_assert_str_eq(ch_feature_names[CH_FEATURE_NOTES], "notes");
    ck_assert_str_eq(ch_feature_names[CH_FEATURE_PROVISIONING],
                     "provisioning");
}
END_TEST

CH_SUITE_MAIN("web/route", CH_EACH(finds_the_row, paths),
              CH_EACH(tells_the_methods, allowed), CH_ONCE(order_is_no_matter),
              CH_ONCE(an_area_that_is_off), CH_ONCE(half_a_path_that_is_off),
              CH_EACH(serves_below, below), CH_EACH(claims_its_own, claims),
              CH_EACH(two_rows_one_path, pairs), CH_ONCE(rows_in_order),
              CH_EACH(reads_paths, templates),
              CH_EACH(who_must_be_verified, verified), CH_ONCE(what_updates),
              CH_ONCE(names))
