/* Finds the route of a path in a tree of segments; literal segments win over
 * parameters, whatever the order of the rows. */
#include "web/route.h"

#include <string.h>

#include <apr_strings.h>

#include "web/query.h"

#define API_PREFIX "/api/v1"

const char *const ch_method_names[CH_METHOD__COUNT] = {
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS",
};

const char *const ch_auth_names[CH_ADMIN + 1] = {
    "public", "opt", "user", "manager", "admin",
};

const char *const ch_rate_names[CH_RATE__COUNT] = {
#define X(name, text, limit, seconds) text,
    CH_RATES(X)
#undef X
};

const char *const ch_feature_names[CH_FEATURE__COUNT] = {
    [CH_FEATURE_ALWAYS] = "",
#define X(name, text) [CH_FEATURE_##name] = text,
    CH_FEATURES(X)
#undef X
};

typedef struct node_t node_t;

struct node_t {
    const char *segment; /* NULL = a parameter */
    size_t len;
    node_t *next;  /* sibling */
    node_t *child; /* literals first, the parameter last */
    const ch_route_t *row[CH_METHOD__COUNT];
    unsigned alias; /* bits of the methods whose row was put by an alias */
};

struct ch_router_t {
    apr_pool_t *pool;
    node_t *root;
    apr_array_header_t *rows; /* of const ch_route_t * */
};

/* --- building --------------------------------------------------------- */

static node_t *child_of(ch_router_t *router, node_t *parent,
                        const char *segment, size_t len)
{
    int is_param = *segment == '{';
    node_t **link = &parent->child;
    node_t *node;

    for (; *link; link = &(*link)->next) {
        node = *link;
        if (is_param ? !node->segment
                     : node->segment && node->len == len
                           && memcmp(node->segment, segment, len) == 0) {
            return node;
        }
        if (!is_param && !node->segment) {
            break; /* a literal goes in before the parameter */
        }
    }
    node = apr_pcalloc(router->pool, sizeof(*node));
    if (!is_param) {
        node->segment = apr_pstrmemdup(router->pool, segment, len);
        node->len = len;
    }
    node->next = *link;
    *link = node;
    return node;
}

static int put(ch_router_t *router, const char *path, const ch_route_t *row,
               int alias)
{
    node_t *node = router->root;

    while (*path) {
        size_t len;

        path += *path == '/';
        len = strcspn(path, "/");
        node = child_of(router, node, path, len);
        path += len;
    }
    if (node->row[row->method]
        || (row->method == CH_PUT && node->row[CH_PATCH])) {
        return 0;
    }
    node->row[row->method] = row;
    node->alias |= (unsigned)alias << row->method;
    if (row->method == CH_PUT) {
        node->row[CH_PATCH] = row;
        node->alias |= (unsigned)alias << CH_PATCH;
    }
    if (row->method == CH_GET) {
        node->row[CH_HEAD] = row;
        node->alias |= (unsigned)alias << CH_HEAD;
    }
    return 1;
}

static int put_row(ch_router_t *router, const ch_route_t *row)
{
    size_t i;

    APR_ARRAY_PUSH(router->rows, const ch_route_t *) = row;
    if (!put(router, row->path, row, 0)) {
        return 0;
    }
    for (i = 0; i < CH_COUNT(row->alias); i++) {
        if (row->alias[i]
            && !put(router, row->alias[i], row, !(row->flags & CH_ROOT))) {
            return 0;
        }
    }
    return 1;
}

ch_router_t *ch_router_make(apr_pool_t *pool, const ch_routes_t *const *tables,
                            int count, const char **why)
{
    ch_router_t *router = apr_pcalloc(pool, sizeof(*router));
    int t, i;

    router->pool = pool;
    router->root = apr_pcalloc(pool, sizeof(node_t));
    router->rows = apr_array_make(pool, 64, sizeof(const ch_route_t *));
    for (t = 0; t < count; t++) {
        for (i = 0; i < tables[t]->count; i++) {
            const ch_route_t *row = &tables[t]->rows[i];

            if (!put_row(router, row)) {
                *why = apr_psprintf(pool, "two routes claim %s %s",
                                    ch_method_names[row->method], row->path);
                return NULL;
            }
        }
    }
    return router;
}

int ch_router_count(const ch_router_t *router)
{
    return router->rows->nelts;
}

const ch_route_t *ch_router_row(const ch_router_t *router, int index)
{
    return APR_ARRAY_IDX(router->rows, index, const ch_route_t *);
}

int ch_router_index(const ch_router_t *router, const ch_route_t *route)
{
    int i;

    for (i = 0; i < router->rows->nelts; i++) {
        if (APR_ARRAY_IDX(router->rows, i, const ch_route_t *) == route) {
            return i;
        }
    }
    return -1;
}

/* --- finding ---------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    ch_match_t *match;
    const node_t *deepest; /* a node with CH_SUBPATHS on the way */
    const char *rest;
} walk_t;

static int serves_below(const node_t *node)
{
    return node->row[CH_GET] && (node->row[CH_GET]->flags & CH_SUBPATHS);
}

/* Walks the decoded segments; parameters are noted on the way. The tree has
 * no path that needs going back: a literal that matches is always right. */
static const node_t *walk(const ch_router_t *router, walk_t *state,
                          const char *path)
{
    const node_t *node = router->root;

    while (*path == '/') {
        const char *raw = ++path;
        size_t len = strcspn(raw, "/");
        const node_t *child;
        size_t seg_len;
        int broken = 0;
        const char *segment;

        path += len;
        if (!len && !*path) {
            break; /* one trailing slash */
        }
        if (serves_below(node)) {
            state->deepest = node;
            state->rest = raw;
            break;
        }
        segment =
            ch_query_decode(state->pool, raw, len, 0, &seg_len, &broken);
        for (child = node->child; child; child = child->next) {
            if (!child->segment
                || (child->len == seg_len
                    && memcmp(child->segment, segment, seg_len) == 0)) {
                break;
            }
        }
        if (!child || !len) {
            return NULL;
        }
        if (!child->segment && state->match->param_count < CH_PARAMS_MAX) {
            state->match->param[state->match->param_count++] = segment;
        }
        node = child;
    }
    return node;
}

static int begins(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(path, prefix, len) == 0
           && (path[len] == '/' || path[len] == '\0');
}

/* Ours is /api and below, and the paths of section 2 outside of it. */
int ch_router_claims(const ch_router_t *router, const char *raw_path)
{
    const node_t *child;
    size_t len;

    if (*raw_path != '/') {
        return 0;
    }
    if (begins(raw_path, "/api")) {
        return 1;
    }
    len = strcspn(raw_path + 1, "/");
    for (child = router->root->child; child; child = child->next) {
        if (child->segment && child->len == len
            && memcmp(child->segment, raw_path + 1, len) == 0) {
            return 1;
        }
    }
    return 0;
}

void ch_router_match(const ch_router_t *router, apr_pool_t *pool,
                     const char *raw_path, ch_method_e method,
                     const char *features, ch_match_t *out)
{
    walk_t state = { .pool = pool, .match = out };
    const node_t *node;
    int i;

    memset(out, 0, sizeof(*out));
    if (begins(raw_path, "/api") && !begins(raw_path, API_PREFIX)) {
        raw_path = apr_pstrcat(pool, API_PREFIX, raw_path + 4, NULL);
        out->deprecated = 1;
    }
    node = walk(router, &state, raw_path);
    if (!node) {
        return;
    }
    out->rest = state.rest;
    for (i = 0; i < CH_METHOD__COUNT; i++) {
        if (node->row[i] && features[node->row[i]->feature]) {
            out->methods |= 1u << i;
            out->any = out->any ? out->any : node->row[i];
        }
    }
    out->known = out->methods != 0;
    if (method < CH_METHOD__COUNT && (out->methods >> method & 1)) {
        out->route = node->row[method];
        out->deprecated |= (int)(node->alias >> method & 1);
    }
    else {
        out->deprecated |= out->known && node->alias == out->methods;
    }
}

/* /auth/ and /user/ stay open to those who have still to verify. */
int ch_route_needs_verified(const ch_route_t *route)
{
    return route->auth >= CH_USER && !begins(route->path, API_PREFIX "/auth")
           && !begins(route->path, API_PREFIX "/user");
}

static int writes(const ch_route_t *route, ch_feature_e feature)
{
    return route->feature == feature && route->method != CH_GET
           && !(route->flags & CH_READS);
}

int ch_route_writes_notes(const ch_route_t *route)
{
    return writes(route, CH_FEATURE_NOTES);
}

int ch_route_writes_public(const ch_route_t *route)
{
    return writes(route, CH_FEATURE_CONVERSATIONS)
           || (route->flags & CH_AUTHORS);
}

int ch_route_updates(const ch_route_t *route)
{
    return route->method == CH_PUT || route->method == CH_PATCH;
}

/* --- reading a row's path --------------------------------------------- */

const char *ch_route_param(apr_pool_t *pool, const ch_route_t *route,
                           int index, char *kind)
{
    const char *at = route->path;
    size_t len;

    *kind = 'u';
    for (;; index--) {
        at = strchr(at, '{');
        if (!at) {
            return NULL;
        }
        at++;
        if (!index) {
            break;
        }
    }
    len = strcspn(at, ":}");
    if (at[len] == ':') {
        *kind = at[len + 1];
    }
    return apr_pstrmemdup(pool, at, len);
}

const char *ch_route_template(apr_pool_t *pool, const ch_route_t *route)
{
    char *out = apr_pstrdup(pool, route->path);
    char *to = out;
    const char *from = route->path;

    while (*from) {
        if (*from == ':') {
            from += strcspn(from, "}");
        }
        *to++ = *from++;
    }
    *to = '\0';
    return out;
}
