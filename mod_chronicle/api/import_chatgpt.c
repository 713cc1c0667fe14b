/* Reads a conversation of ChatGPT's export: a tree of messages, in which every
 * answer that was asked for again is a branch. What was shown last is the way
 * from current_node up to the root. */
#include "api/import.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

/* --- the way through the tree ----------------------------------------- */

static const ch_json_t *node_at(const ch_json_t *mapping, ch_bytes_t id)
{
    return id.len ? ch_import_get(mapping, id.data, CH_JSON_OBJECT) : NULL;
}

static const ch_json_t *parent_of(const ch_json_t *mapping,
                                  const ch_json_t *node)
{
    return node_at(mapping, ch_import_text(node, "parent"));
}

/* Notes a node; 0 when it was noted before. */
static int note(apr_pool_t *pool, apr_hash_t *seen, const ch_json_t *node)
{
    const ch_json_t **key;

    if (apr_hash_get(seen, &node, sizeof(node))) {
        return 0;
    }
    key = apr_pmemdup(pool, &node, sizeof(node));
    apr_hash_set(seen, key, sizeof(node), "");
    return 1;
}

/* The newest of the nodes that nobody answers; NULL when none has a time. */
static const ch_json_t *newest_leaf(apr_pool_t *pool,
                                    const ch_json_t *mapping)
{
    apr_hash_t *parents = apr_hash_make(pool);
    const ch_json_t *node, *best = NULL;
    const char *id, *newest = "";
    void *iter = NULL;

    while (ch_json_next(mapping, &iter, &id, &node)) {
        const ch_json_t *parent = parent_of(mapping, node);

        if (parent) {
            note(pool, parents, parent);
        }
    }
    while (ch_json_next(mapping, &iter, &id, &node)) {
        const char *when = ch_import_time(
            pool, ch_import_get(node, "message", CH_JSON_OBJECT),
            "create_time");

        if (when && strcmp(when, newest) >= 0
            && !apr_hash_get(parents, &node, sizeof(node))) {
            newest = when;
            best = node;
        }
    }
    return best;
}

/* The last of a node's children that are there. */
static const ch_json_t *last_child(const ch_json_t *mapping,
                                   const ch_json_t *node)
{
    const ch_json_t *list = ch_import_get(node, "children", CH_JSON_ARRAY);
    const ch_json_t *child = NULL;
    size_t i = list ? ch_json_size(list) : 0;

    while (i-- > 0 && !child) {
        const ch_json_t *id = ch_json_at(list, i);

        if (ch_json_type(id) == CH_JSON_STRING) {
            child = ch_import_get(mapping, ch_json_string(id, NULL),
                                  CH_JSON_OBJECT);
        }
    }
    return child;
}

/* From the root down, always by the last child. Where there is no root, that
 * is, where all of it is a circle, the node that was written last. */
static const ch_json_t *deepest_leaf(apr_pool_t *pool,
                                     const ch_json_t *mapping)
{
    apr_hash_t *seen = apr_hash_make(pool);
    const ch_json_t *node, *from = NULL, *last = NULL;
    const char *id;
    void *iter = NULL;

    while (ch_json_next(mapping, &iter, &id, &node)) {
        if (ch_json_type(node) == CH_JSON_OBJECT) {
            last = node;
            from = from || parent_of(mapping, node) ? from : node;
        }
    }
    while (from && note(pool, seen, from)) {
        last = from;
        from = last_child(mapping, from);
    }
    return last;
}

/* The nodes from current_node up to the root, each once. */
static apr_array_header_t *way_up(apr_pool_t *pool, const ch_json_t *value)
{
    const ch_json_t *mapping = ch_import_get(value, "mapping",
                                             CH_JSON_OBJECT);
    apr_array_header_t *way =
        apr_array_make(pool, 32, sizeof(const ch_json_t *));
    apr_hash_t *seen = apr_hash_make(pool);
    const ch_json_t *node =
        node_at(mapping, ch_import_text(value, "current_node"));

    node = node ? node : newest_leaf(pool, mapping);
    node = node ? node : deepest_leaf(pool, mapping);
    while (node && note(pool, seen, node)) {
        APR_ARRAY_PUSH(way, const ch_json_t *) = node;
        node = parent_of(mapping, node);
    }
    return way;
}

/* --- contents --------------------------------------------------------- */

static int is_one_of(const char *text, const char *const *names, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Text, or an object around it. Pictures, sounds and files leave nothing. */
static void push_part(apr_array_header_t *pieces, const ch_json_t *part)
{
    static const char *const texts[] = { "", "text", "audio_transcription" };
    ch_bytes_t text;

    if (ch_json_type(part) == CH_JSON_STRING) {
        text.data = ch_json_string(part, &text.len);
        ch_import_push(pieces, text);
    }
    else if (is_one_of(ch_import_text(part, "content_type").data, texts,
                       CH_COUNT(texts))) {
        ch_import_push(pieces, ch_import_text(part, "text"));
    }
}

static const char *content_of(apr_pool_t *pool, const ch_json_t *message,
                              int is_users)
{
    /* what the model was told, or told itself, behind what is shown */
    static const char *const hidden[] = { "user_editable_context",
                                          "model_editable_context",
                                          "thoughts", "reasoning_recap" };
    apr_array_header_t *pieces = apr_array_make(pool, 2, sizeof(ch_bytes_t));
    const ch_json_t *content = ch_import_get(message, "content",
                                             CH_JSON_OBJECT);
    const ch_json_t *parts = ch_import_get(content, "parts", CH_JSON_ARRAY);
    size_t i, count = parts ? ch_json_size(parts) : 0;

    if (is_one_of(ch_import_text(content, "content_type").data, hidden,
                  CH_COUNT(hidden))) {
        return NULL;
    }
    for (i = 0; i < count; i++) {
        push_part(pieces, ch_json_at(parts, i));
    }
    if (!pieces->nelts) {
        ch_import_push(pieces, ch_import_text(content, "text"));
    }
    if (!pieces->nelts) {
        ch_import_push(pieces, ch_import_text(content, "result"));
    }
    if (!is_users) {
        ch_import_unmark(pool, message, pieces);
    }
    return ch_import_join(pool, pieces);
}

/* --- messages --------------------------------------------------------- */

static int is_hidden(const ch_json_t *message)
{
    const ch_json_t *mark = ch_import_get(
        ch_import_get(message, "metadata", CH_JSON_OBJECT),
        "is_visually_hidden_from_conversation", CH_JSON_BOOL);
    const ch_json_t *weight = ch_import_get(message, "weight", CH_JSON_REAL);

    if (!weight) {
        weight = ch_import_get(message, "weight", CH_JSON_INT);
    }
    return (mark && ch_json_bool(mark))
           || (weight && ch_json_number(weight) == 0);
}

static const char *role_of(const ch_json_t *message)
{
    static const char *const roles[] = { "user", "assistant", "tool" };
    const char *role = ch_import_text(
        ch_import_get(message, "author", CH_JSON_OBJECT), "role").data;
    size_t i;

    for (i = 0; i < CH_COUNT(roles); i++) {
        if (strcmp(role, roles[i]) == 0) {
            return roles[i];
        }
    }
    return NULL;
}

static void read_message(apr_pool_t *pool, const ch_json_t *message,
                         ch_import_talk_t *out)
{
    ch_import_message_t in = { .role = message ? role_of(message) : NULL };

    if (!in.role || is_hidden(message)) {
        return;
    }
    in.content = content_of(pool, message, strcmp(in.role, "user") == 0);
    if (!in.content) {
        return;
    }
    in.model = ch_import_line(
        pool, ch_import_get(message, "metadata", CH_JSON_OBJECT),
        "model_slug", CH_IMPORT_MODEL_MAX);
    in.created_at = ch_import_time(pool, message, "create_time");
    if (in.model && strcmp(in.role, "assistant") == 0) {
        out->model = in.model;
    }
    APR_ARRAY_PUSH(out->messages, ch_import_message_t) = in;
}

void ch_import_chatgpt(apr_pool_t *pool, const ch_json_t *value,
                       ch_import_talk_t *out)
{
    const apr_array_header_t *way = way_up(pool, value);
    const char *model = ch_import_line(pool, value, "default_model_slug",
                                       CH_IMPORT_MODEL_MAX);
    int i;

    out->provider = "openai";
    out->created_at = ch_import_time(pool, value, "create_time");
    for (i = way->nelts - 1;
         i >= 0 && out->messages->nelts <= CH_IMPORT_MESSAGES_MAX; i--) {
        const ch_json_t *node = APR_ARRAY_IDX(way, i, const ch_json_t *);

        read_message(pool, ch_import_get(node, "message", CH_JSON_OBJECT),
                     out);
    }
    out->model = out->model ? out->model : model;
}
