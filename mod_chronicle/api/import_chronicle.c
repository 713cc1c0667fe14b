/* Reads a conversation that was exported from here. What POST /conversations
 * would refuse is a fault: nothing is mended, for our own exports are never
 * bad. Whose it was, who looked at it and whether it was featured are not the
 * user's to say: the file's word on them is passed over. */
#include "api/import.h"

#include <apr_strings.h>

#include "api/conversations.h"
#include "web/item.h"

#define VERSION_MAX 1000000000

/* --- what a file holds ------------------------------------------------- */

typedef struct {
    const char *id;
    apr_int64_t position;
    int role;
    const char *content;
    const char *model;
    const char *created_at;
} message_t;

static const ch_field_t message_rows[] = {
    { .name = "id", CH_IN(message_t, id, CH_T_UUID), .flags = CH_REQUIRED },
    { .name = "position", CH_IN(message_t, position, CH_T_INT),
      .flags = CH_REQUIRED, .max = CH_CONVERSATION_MESSAGES_MAX - 1 },
    { .name = "role", CH_IN(message_t, role, CH_T_ENUM),
      CH_CHOICES(ch_conversation_roles), .flags = CH_REQUIRED },
    { .name = "content", CH_IN(message_t, content, CH_T_TEXT),
      .flags = CH_REQUIRED, .min = 1, .max = CH_CONVERSATION_TEXT_MAX },
    { .name = "model", CH_IN(message_t, model, CH_T_STR),
      .flags = CH_NULLABLE, .min = 1, .max = CH_IMPORT_MODEL_MAX },
    { .name = "createdAt", CH_IN(message_t, created_at, CH_T_TIME),
      .flags = CH_NULLABLE },
};

static const ch_fields_t message_fields = CH_FIELDS(message_t, message_rows);

typedef struct {
    const char *id, *slug, *title, *description;
    int category;
    const apr_array_header_t *tags;
    int provider;
    const char *model;
    int source, visibility;
    apr_int64_t count, version;
    const char *created_at, *updated_at;
    const ch_json_t *messages;
    /* passed over */
    const char *user_id, *featured_at;
    const ch_json_t *author;
    int featured;
    apr_int64_t views;
} conversation_t;

#define ROW(key, member, type, ...)                                           \
    { .name = key, CH_IN(conversation_t, member, type), ##__VA_ARGS__ }

static const ch_field_t rows[] = {
    ROW("id", id, CH_T_UUID, .flags = CH_REQUIRED),
    ROW("slug", slug, CH_T_STR, .flags = CH_REQUIRED, .min = 1,
        .max = CH_CONVERSATION_SLUG_MAX, .valid = ch_conversation_new_slug,
        .pattern = CH_CONVERSATION_SLUG_PATTERN),
    ROW("userId", user_id, CH_T_UUID),
    ROW("author", author, CH_T_NEST),
    ROW("title", title, CH_T_STR, .flags = CH_REQUIRED, .min = 1,
        .max = CH_CONVERSATION_TITLE_MAX),
    ROW("description", description, CH_T_TEXT, .flags = CH_NULLABLE,
        .max = CH_CONVERSATION_ABOUT_MAX),
    ROW("category", category, CH_T_ENUM,
        CH_CHOICES(ch_conversation_categories)),
    ROW("tags", tags, CH_T_STRS, .flags = CH_UNIQUE,
        .max = CH_CONVERSATION_TAGS_MAX, .item_min = 1,
        .item_max = CH_CONVERSATION_TAG_MAX),
    ROW("provider", provider, CH_T_ENUM, .flags = CH_NULLABLE,
        CH_CHOICES(ch_conversation_providers)),
    ROW("model", model, CH_T_STR, .flags = CH_NULLABLE, .min = 1,
        .max = CH_IMPORT_MODEL_MAX),
    ROW("source", source, CH_T_ENUM, CH_CHOICES(ch_conversation_sources)),
    ROW("visibility", visibility, CH_T_ENUM, .flags = CH_REQUIRED,
        CH_CHOICES(ch_conversation_visibilities)),
    ROW("featured", featured, CH_T_BOOL),
    ROW("featuredAt", featured_at, CH_T_TIME, .flags = CH_NULLABLE),
    ROW("messageCount", count, CH_T_INT, .flags = CH_REQUIRED, .min = 1,
        .max = CH_CONVERSATION_MESSAGES_MAX),
    ROW("viewCount", views, CH_T_INT, .max = APR_INT64_MAX),
    ROW("version", version, CH_T_INT, .min = 1, .max = VERSION_MAX),
    ROW("createdAt", created_at, CH_T_TIME),
    ROW("updatedAt", updated_at, CH_T_TIME),
    ROW("messages", messages, CH_T_JSON, .flags = CH_REQUIRED, .min = 1,
        .max = CH_CONVERSATION_MESSAGES_MAX),
};

static const ch_fields_t fields = CH_FIELDS(conversation_t, rows);

/* --- faults ----------------------------------------------------------- */

/* The first fault in plain words; NULL when there is none. */
static const char *first_fault(apr_pool_t *pool, const ch_err_t *faults)
{
    const ch_detail_t *detail;

    if (!faults) {
        return NULL;
    }
    detail = &APR_ARRAY_IDX(faults->details, 0, ch_detail_t);
    return apr_pstrcat(pool, detail->field, ": ", detail->message, NULL);
}

/* Binds an object; its fault, or NULL. */
static const char *bind_object(apr_pool_t *pool, const ch_json_t *object,
                               ch_item_t *item)
{
    ch_item_bind(pool, object, item);
    if (!item->faults) {
        ch_item_require(pool, item, "field");
    }
    return first_fault(pool, item->faults);
}

/* --- reading ---------------------------------------------------------- */

static const char *read_message(apr_pool_t *pool, const ch_json_t *object,
                                int index, ch_import_talk_t *out)
{
    const char *path = apr_psprintf(pool, "messages[%d]", index);
    message_t in = { 0 };
    ch_item_t item = { .fields = &message_fields, .values = &in,
                       .prefix = apr_pstrcat(pool, path, ".", NULL) };
    const char *fault;

    if (ch_json_type(object) != CH_JSON_OBJECT) {
        return apr_pstrcat(pool, path, ": must be an object", NULL);
    }
    fault = bind_object(pool, object, &item);
    if (!fault && in.position != index) {
        fault = apr_psprintf(pool, "%s.position: must be %d", path, index);
    }
    if (!fault) {
        APR_ARRAY_PUSH(out->messages, ch_import_message_t) =
            (ch_import_message_t){
                .id = in.id,
                .role = ch_conversation_roles[in.role],
                .content = in.content,
                .model = in.model,
                .created_at = in.created_at,
            };
    }
    return fault;
}

static const char *read_messages(apr_pool_t *pool, const ch_json_t *list,
                                 ch_import_talk_t *out)
{
    int i, count = (int)ch_json_size(list);
    const char *fault = NULL;

    for (i = 0; i < count && !fault; i++) {
        fault = read_message(pool, ch_json_at(list, (size_t)i), i, out);
    }
    return fault;
}

static void take(apr_pool_t *pool, const conversation_t *in,
                 ch_import_talk_t *out)
{
    out->title = in->title;
    out->id = in->id;
    out->slug = in->slug;
    out->description = in->description;
    out->category = ch_conversation_categories[in->category];
    out->tags = in->tags ? ch_conversation_tags(pool, in->tags)
                         : apr_array_make(pool, 1, sizeof(const char *));
    out->provider = in->provider < 0
                        ? NULL
                        : ch_conversation_providers[in->provider];
    out->model = in->model;
    out->source = ch_conversation_sources[in->source];
    out->source_id = apr_pstrcat(pool, "chronicle:", in->id, NULL);
    out->visibility = ch_conversation_visibilities[in->visibility];
    out->version = in->version;
    out->created_at = in->created_at;
    out->updated_at = in->updated_at;
}

const char *ch_import_chronicle(apr_pool_t *pool, const ch_json_t *value,
                                ch_import_talk_t *out)
{
    conversation_t in = { .version = 1 };
    ch_item_t item = { .fields = &fields, .values = &in, .prefix = "" };
    const char *fault;
    const ch_json_t *provider =
        ch_import_get(value, "provider", CH_JSON_STRING);

    out->title = ch_import_line(pool, value, "title", CH_IMPORT_TITLE_MAX);
    fault = bind_object(pool, value, &item);
    if (!fault && in.count != (apr_int64_t)ch_json_size(in.messages)) {
        fault = apr_psprintf(pool, "messageCount: there are %d messages",
                             (int)ch_json_size(in.messages));
    }
    if (!fault) {
        fault = read_messages(pool, in.messages, out);
    }
    if (!fault) {
        in.provider = provider ? in.provider : -1;
        take(pool, &in, out);
    }
    return fault;
}
