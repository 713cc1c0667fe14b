/* Conversations with AI models: keep, change, publish. They are read in
 * conversation_read.c. */
#include "api/conversations.h"

#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "auth/auth.h"
#include "base/text.h"
#include "base/uuid.h"
#include "web/item.h"
#include "web/reply.h"

#define HERE CH_CONVERSATIONS

/* --- names ------------------------------------------------------------ */

const char *const ch_conversation_categories[CH_CONVERSATION_CATEGORIES] = {
    "general", "programming", "writing", "education",    "research",
    "business", "creative",   "science", "health",       "productivity",
    "entertainment", "other",
};

const char *const ch_conversation_providers[CH_CONVERSATION_PROVIDERS] = {
    "openai", "anthropic", "google", "meta", "mistral", "deepseek", "xai",
    "other",
};

const char *const ch_conversation_visibilities[3] = { "private", "unlisted",
                                                      "public" };
const char *const ch_conversation_sources[3] = { "api", "chatgpt", "claude" };
const char *const ch_conversation_roles[4] = { "user", "assistant", "system",
                                               "tool" };

const char *ch_conversation_name(const char *const *names, const int *choice)
{
    return choice ? names[*choice] : NULL;
}

/* --- inputs ----------------------------------------------------------- */

int ch_conversation_new_slug(const char *text, size_t len)
{
    static const char *const reserved[] = { "featured", "categories",
                                            "search",   "stats",
                                            "import",   "imports" };
    size_t i;

    for (i = 0; i < CH_COUNT(reserved); i++) {
        if (strlen(reserved[i]) == len
            && memcmp(reserved[i], text, len) == 0) {
            return 0;
        }
    }
    return ch_conversation_is_slug(text, len)
           && !ch_uuid_parse(text, len, NULL);
}

typedef struct {
    int role;
    const char *content;
    const char *model;
    const char *created_at;
} message_in_t;

static const ch_field_t message_rows[] = {
    { .name = "role", CH_IN(message_in_t, role, CH_T_ENUM),
      CH_CHOICES(ch_conversation_roles), .flags = CH_REQUIRED,
      .doc = "Who says it" },
    { .name = "content", CH_IN(message_in_t, content, CH_T_TEXT),
      .flags = CH_REQUIRED, .min = 1, .max = CH_CONVERSATION_TEXT_MAX,
      .doc = "What is said" },
    { .name = "model", CH_IN(message_in_t, model, CH_T_STR),
      .flags = CH_NULLABLE, .min = 1, .max = 100, .doc = "The model" },
    { .name = "createdAt", CH_IN(message_in_t, created_at, CH_T_TIME),
      .flags = CH_NULLABLE, .doc = "When it was said" },
};

static const ch_fields_t message_in = {
    .name = "ConversationMessageIn", .rows = message_rows,
    .count = (int)CH_COUNT(message_rows), .size = sizeof(message_in_t),
};

/* What was said, as statements take it. */
typedef struct {
    apr_array_header_t *roles, *contents, *models, *times;
} said_t;

typedef struct {
    const char *title;
    const char *slug;
    const char *description;
    int category;
    const apr_array_header_t *tags;
    int provider;
    const char *model;
    int visibility;
    const ch_json_t *messages;
    said_t said; /* of messages, once they were checked */
} conversation_in_t;

static const ch_field_t in_rows[] = {
    { .name = "title", CH_IN(conversation_in_t, title, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = CH_CONVERSATION_TITLE_MAX,
      .doc = "Title" },
    { .name = "slug", CH_IN(conversation_in_t, slug, CH_T_STR), .min = 1,
      .max = CH_CONVERSATION_SLUG_MAX, .valid = ch_conversation_new_slug,
      .pattern = CH_CONVERSATION_SLUG_PATTERN,
      .doc = "Name in addresses, unique; absent: made of the title" },
    { .name = "description", CH_IN(conversation_in_t, description, CH_T_TEXT),
      .flags = CH_NULLABLE, .max = CH_CONVERSATION_ABOUT_MAX,
      .doc = "What it is about" },
    { .name = "category", CH_IN(conversation_in_t, category, CH_T_ENUM),
      CH_CHOICES(ch_conversation_categories), .def = "\"general\"",
      .doc = "Category" },
    { .name = "tags", CH_IN(conversation_in_t, tags, CH_T_STRS),
      .flags = CH_UNIQUE, .max = CH_CONVERSATION_TAGS_MAX, .item_min = 1,
      .item_max = CH_CONVERSATION_TAG_MAX,
      .def = "[]", .doc = "Kept in lower case, repeats are dropped" },
    { .name = "provider", CH_IN(conversation_in_t, provider, CH_T_ENUM),
      CH_CHOICES(ch_conversation_providers), .flags = CH_NULLABLE,
      .doc = "Whose model" },
    { .name = "model", CH_IN(conversation_in_t, model, CH_T_STR),
      .flags = CH_NULLABLE, .min = 1, .max = 100, .doc = "The model" },
    { .name = "visibility", CH_IN(conversation_in_t, visibility, CH_T_ENUM),
      CH_CHOICES(ch_conversation_visibilities), .def = "\"private\"",
      .doc = "private: its owner; unlisted: whoever knows id or slug" },
    { .name = "messages", CH_IN(conversation_in_t, messages, CH_T_JSON),
      .flags = CH_REQUIRED, .min = 1, .max = CH_CONVERSATION_MESSAGES_MAX,
      .nested = &message_in, .doc = "In their order; on update all anew" },
};

static void take_message(apr_pool_t *pool, said_t *said,
                         const message_in_t *in)
{
    APR_ARRAY_PUSH(said->roles, const char *) =
        ch_conversation_roles[in->role];
    APR_ARRAY_PUSH(said->contents, const char *) = in->content;
    APR_ARRAY_PUSH(said->models, const char *) = in->model;
    APR_ARRAY_PUSH(said->times, const char *) = in->created_at;
}

static void make_said(apr_pool_t *pool, size_t count, said_t *out)
{
    apr_array_header_t **arrays[] = { &out->roles, &out->contents,
                                      &out->models, &out->times };
    size_t i;

    for (i = 0; i < CH_COUNT(arrays); i++) {
        *arrays[i] = apr_array_make(pool, (int)count, sizeof(const char *));
    }
}

static void check_in(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    conversation_in_t *in = fields;
    size_t count = in->messages ? ch_json_size(in->messages) : 0;
    size_t i;

    make_said(rq->pool, count, &in->said);
    for (i = 0; i < count && i < CH_CONVERSATION_MESSAGES_MAX; i++) {
        const ch_json_t *object = ch_json_at(in->messages, i);
        const char *path = apr_psprintf(rq->pool, "messages[%d]", (int)i);
        ch_item_t item = { .fields = &message_in,
                           .prefix = apr_pstrcat(rq->pool, path, ".", NULL),
                           .faults = *faults };

        if (ch_json_type(object) != CH_JSON_OBJECT) {
            ch_err_fault(rq->pool, faults, CH_D_WRONG_TYPE, path,
                         "must be an object");
            continue;
        }
        ch_item_bind(rq->pool, object, &item);
        ch_item_require(rq->pool, &item, "field");
        *faults = item.faults;
        take_message(rq->pool, &in->said, item.values);
    }
}

static const ch_fields_t conversation_in = {
    .rows = in_rows, .count = (int)CH_COUNT(in_rows),
    .size = sizeof(conversation_in_t), .check = check_in,
};

const apr_array_header_t *ch_conversation_tags(apr_pool_t *pool,
                                               const apr_array_header_t *tags)
{
    apr_array_header_t *out;
    int i, k;

    if (!tags) {
        return NULL;
    }
    out = apr_array_make(pool, tags->nelts, sizeof(const char *));
    for (i = 0; i < tags->nelts; i++) {
        const char *tag = APR_ARRAY_IDX(tags, i, const char *);

        tag = ch_text_lower(pool, tag, strlen(tag));
        for (k = 0; k < out->nelts; k++) {
            if (strcmp(APR_ARRAY_IDX(out, k, const char *), tag) == 0) {
                break;
            }
        }
        if (k == out->nelts) {
            APR_ARRAY_PUSH(out, const char *) = tag;
        }
    }
    return out;
}

typedef struct {
    int featured;
} feature_in_t;

static const ch_field_t feature_rows[] = {
    { .name = "featured", CH_IN(feature_in_t, featured, CH_T_BOOL),
      .doc = "Absent: the other way round" },
};

static const ch_fields_t feature_in = CH_FIELDS(feature_in_t, feature_rows);

/* --- outputs ---------------------------------------------------------- */

static const ch_field_t deleted_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
};

static const ch_fields_t deleted_out = {
    .name = "DeletedConversation", .rows = deleted_rows,
    .count = (int)CH_COUNT(deleted_rows),
};

/* --- handlers --------------------------------------------------------- */

static ch_err_t *create_conversation(ch_req_t *rq)
{
    const conversation_in_t *in = rq->body;
    const sql_conversation_create_t row = {
        .id = ch_uuid_make(rq->pool),
        .user_id = rq->who->user_id,
        .slug = in->slug ? in->slug
                         : ch_text_slug(rq->pool, in->title,
                                        CH_CONVERSATION_SLUG_CUT,
                                        "conversation"),
        .slug_given = in->slug != NULL,
        .title = in->title,
        .description = in->description,
        .category = ch_conversation_categories[in->category],
        .tags = ch_conversation_tags(rq->pool, in->tags),
        .provider = ch_conversation_name(
            ch_conversation_providers,
            CH_OPT(rq, conversation_in_t, provider)),
        .model = in->model,
        .source = ch_conversation_sources[0],
        .visibility = ch_conversation_visibilities[in->visibility],
        .version = 1,
        .roles = in->said.roles,
        .contents = in->said.contents,
        .models = in->said.models,
        .times = in->said.times,
        .ids = apr_array_make(rq->pool, 1, sizeof(const char *)),
        .fetch = CH_CONVERSATION_PAGE + 1,
    };
    ch_rows_t *rows;
    ch_err_t *err = sql_conversation_create(rq->db, &row, &rows);

    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    apr_table_setn(rq->out, "Location",
                   apr_pstrcat(rq->pool, HERE "/", row.id, NULL));
    return ch_conversation_reply(rq, rows, CH_CONVERSATION_PAGE,
                               "Conversation created");
}

/* In a statement of its own: one that waits for the lock by itself sees the
 * messages of before. */
static ch_err_t *change(ch_req_t *rq, const sql_conversation_update_t *in,
                        ch_rows_t **rows)
{
    const sql_conversation_lock_t lock = { .id = in->id,
                                           .user_id = in->user_id,
                                           .admin = in->admin };
    ch_rows_t *locked;
    ch_err_t *err;

    ch_db_gather(rq->db);
    err = sql_conversation_lock(rq->db, &lock, &locked);
    err = err ? err : sql_conversation_update(rq->db, in, rows);
    return err ? err : ch_db_send(rq->db);
}

static ch_err_t *update_conversation(ch_req_t *rq)
{
    const conversation_in_t *in = rq->body;
    const sql_conversation_update_t row = {
        .id = rq->match.param[0],
        .user_id = rq->who->user_id,
        .admin = ch_conversation_admin(rq),
        .match = rq->if_match,
        .slug = in->slug,
        .title = in->title,
        .description_given = CH_GIVEN(rq, conversation_in_t, description),
        .description = in->description,
        .category = ch_conversation_name(
            ch_conversation_categories,
            CH_OPT(rq, conversation_in_t, category)),
        .tags = ch_conversation_tags(rq->pool, in->tags),
        .provider_given = CH_GIVEN(rq, conversation_in_t, provider),
        .provider = ch_conversation_name(
            ch_conversation_providers,
            CH_OPT(rq, conversation_in_t, provider)),
        .model_given = CH_GIVEN(rq, conversation_in_t, model),
        .model = in->model,
        .visibility = ch_conversation_name(
            ch_conversation_visibilities,
            CH_OPT(rq, conversation_in_t, visibility)),
        .replaces = in->messages != NULL,
        .roles = in->said.roles,
        .contents = in->said.contents,
        .models = in->said.models,
        .times = in->said.times,
        .fetch = CH_CONVERSATION_PAGE + 1,
    };
    ch_rows_t *rows;
    ch_err_t *err = change(rq, &row, &rows);

    err = err ? err : ch_reply_fault(rq, rows, CH_E_CONVERSATION_NOT_FOUND);
    return err ? err
               : ch_conversation_reply(rq, rows, CH_CONVERSATION_PAGE,
                                     "Conversation updated");
}

static ch_err_t *delete_conversation(ch_req_t *rq)
{
    const sql_conversation_delete_t in = {
        .id = rq->match.param[0],
        .user_id = rq->who->user_id,
        .admin = ch_conversation_admin(rq),
        .match = rq->if_match,
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_conversation_delete(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_CONVERSATION_NOT_FOUND,
                          "Conversation deleted");
}

static ch_err_t *feature_conversation(ch_req_t *rq)
{
    const sql_conversation_feature_t in = {
        .id = rq->match.param[0],
        .match = rq->if_match,
        .value = CH_OPT(rq, feature_in_t, featured),
        .actor = rq->who->user_id,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_conversation_feature(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_CONVERSATION_NOT_FOUND,
                          "Conversation updated");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = HERE, CH_CONVERSATION_ROUTE, .auth = CH_USER,
      .flags = CH_IDEMPOTENT | CH_VERSIONED, .ok = 201,
      .body = &conversation_in, .out = &ch_conversation_out,
      CH_ROUTE_CODES(CH_E_SLUG_TAKEN), .handler = create_conversation,
      .summary = "Keep a conversation" },
    { .method = CH_PUT, .path = HERE "/{id}", CH_CONVERSATION_ROUTE,
      .auth = CH_USER, .flags = CH_VERSIONED, .ok = 200,
      .body = &conversation_in, .out = &ch_conversation_out,
      CH_ROUTE_CODES(CH_E_CONVERSATION_NOT_FOUND, CH_E_SLUG_TAKEN),
      .handler = update_conversation, .summary = "Change a conversation" },
    { .method = CH_DELETE, .path = HERE "/{id}", CH_CONVERSATION_ROUTE,
      .auth = CH_USER, .flags = CH_VERSIONED, .ok = 200, .out = &deleted_out,
      CH_ROUTE_CODES(CH_E_CONVERSATION_NOT_FOUND),
      .handler = delete_conversation,
      .summary = "Delete a conversation for good" },
    { .method = CH_PATCH, .path = HERE "/{id}/featured",
      CH_CONVERSATION_ROUTE, .auth = CH_ADMIN, .flags = CH_VERSIONED,
      .ok = 200, .body = &feature_in, .out = &ch_conversation_item_out,
      CH_ROUTE_CODES(CH_E_CONVERSATION_NOT_FOUND, CH_E_NOT_PUBLIC),
      .handler = feature_conversation,
      .summary = "Put a public conversation forward, or not" },
};

const ch_routes_t ch_conversation_routes = CH_ROUTES(routes);
