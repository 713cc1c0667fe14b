/* What the files about conversations share: their rows, and how one of them is
 * answered. */
#ifndef CH_API_CONVERSATIONS_H
#define CH_API_CONVERSATIONS_H

#include "store/sql_gen.h"
#include "web/request.h"

#define CH_CONVERSATIONS "/api/v1/conversations"
#define CH_CONVERSATION_SLUG_MAX 120
#define CH_CONVERSATION_PAGE 500 /* messages of a page at most */
#define CH_CONVERSATION_SLUG_PATTERN "^[a-z0-9]+(-[a-z0-9]+)*$"
#define CH_CONVERSATION_TITLE_MAX 200
#define CH_CONVERSATION_ABOUT_MAX 2000 /* of a description */
#define CH_CONVERSATION_TAGS_MAX 20
#define CH_CONVERSATION_TAG_MAX 50
#define CH_CONVERSATION_MESSAGES_MAX 5000
#define CH_CONVERSATION_TEXT_MAX 200000 /* code points of a message */
#define CH_CONVERSATION_SLUG_CUT 100    /* of a slug that a title gave */

/* Names as the API and the database have them. */
#define CH_CONVERSATION_CATEGORIES 12
extern const char *const
    ch_conversation_categories[CH_CONVERSATION_CATEGORIES];
#define CH_CONVERSATION_PROVIDERS 8
extern const char *const ch_conversation_providers[CH_CONVERSATION_PROVIDERS];
extern const char *const ch_conversation_visibilities[3];
extern const char *const ch_conversation_sources[3];
extern const char *const ch_conversation_roles[4];

/* What every route of the area says. */
#define CH_CONVERSATION_ROUTE                                                 \
    .rate = CH_RATE_API, .feature = CH_FEATURE_CONVERSATIONS,                 \
    .tag = "Conversations"

extern const ch_fields_t ch_conversation_author_out;
extern const ch_fields_t ch_conversation_item_out; /* of lists */
extern const ch_fields_t ch_conversation_out;

/* The rows of conversation_columns (sql/queries/conversations.sql). */
#define CH_CONVERSATION_ROWS                                                  \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "slug", .type = CH_T_STR, .doc = "Name in addresses" },         \
    { .name = "userId", .type = CH_T_UUID, .column = "user_id",               \
      .doc = "Owner" },                                                       \
    { .name = "author", .type = CH_T_NEST, .column = "author_id",             \
      .nested = &ch_conversation_author_out, .doc = "The owner" },            \
    { .name = "title", .type = CH_T_STR, .doc = "Title" },                    \
    { .name = "description", .type = CH_T_TEXT, .flags = CH_NULLABLE,         \
      .doc = "What it is about" },                                            \
    { .name = "category", .type = CH_T_ENUM,                                  \
      CH_CHOICES(ch_conversation_categories), .doc = "Category" },            \
    { .name = "tags", .type = CH_T_STRS, .doc = "Tags" },                     \
    { .name = "provider", .type = CH_T_ENUM, .flags = CH_NULLABLE,            \
      CH_CHOICES(ch_conversation_providers), .doc = "Whose model" },          \
    { .name = "model", .type = CH_T_STR, .flags = CH_NULLABLE,                \
      .doc = "The model" },                                                   \
    { .name = "source", .type = CH_T_ENUM,                                    \
      CH_CHOICES(ch_conversation_sources),                                    \
      .doc = "Written here, or imported from" },                              \
    { .name = "visibility", .type = CH_T_ENUM,                                \
      CH_CHOICES(ch_conversation_visibilities),                               \
      .doc = "private: its owner; unlisted: whoever knows id or slug" },      \
    { .name = "featured", .type = CH_T_BOOL, .doc = "Chosen by an admin" },   \
    { .name = "featuredAt", .type = CH_T_TIME, .column = "featured_at",       \
      .flags = CH_NULLABLE, .doc = "Since when" },                            \
    { .name = "messageCount", .type = CH_T_INT, .column = "message_count",    \
      .doc = "Messages" },                                                    \
    { .name = "viewCount", .type = CH_T_INT, .column = "view_count",          \
      .doc = "Viewers, counted once an hour" },                               \
    { .name = "version", .type = CH_T_INT, .min = 1,                          \
      .doc = "Counts changes" },                                              \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "Made" },                                                        \
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",         \
      .doc = "Last change" }

/* The statement's parameters for the caller: his id, NULL = nobody; whether he
 * reads everything. */
const char *ch_conversation_viewer(const ch_req_t *rq);
int ch_conversation_admin(const ch_req_t *rq);

/* Whether the path names one by id or by slug: the other is NULL.
 * VALIDATION_ERROR when it can be neither. */
ch_err_t *ch_conversation_named(ch_req_t *rq, const char **id,
                                const char **slug);

/* Answers a conversation by rows that were fetched with one message more than
 * limit; limit 0: without messages. */
ch_err_t *ch_conversation_reply(ch_req_t *rq, const ch_rows_t *rows,
                                int limit, const char *message);

/* Whether text has the shape of a slug. */
int ch_conversation_is_slug(const char *text, size_t len);

/* Whether a conversation may be given that slug, as far as it is free: words
 * of the API's paths, and ids, name other things. */
int ch_conversation_new_slug(const char *text, size_t len);

/* Tags in lower case, without repeats, in pool; NULL for NULL. */
const apr_array_header_t *ch_conversation_tags(apr_pool_t *pool,
                                               const apr_array_header_t *tags);

/* The name of a choice, NULL when there is none. */
const char *ch_conversation_name(const char *const *names, const int *choice);

#endif
