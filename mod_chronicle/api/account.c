/* Wire forms that the files of accounts share. */
#include "api/account.h"

#include "auth/auth.h"

const char *const ch_tier_names[CH_TIER_COUNT] = { "free", "pro",
                                                   "enterprise" };

#define USER_ROWS                                                             \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "email", .type = CH_T_EMAIL, .doc = "Lower case" },             \
    { .name = "fullName", .type = CH_T_STR, .column = "full_name",            \
      .flags = CH_NULLABLE, .doc = "Shown to others" },                       \
    { .name = "avatarUrl", .type = CH_T_URL, .column = "avatar_url",          \
      .flags = CH_NULLABLE, .doc = "Picture" },                               \
    { .name = "role", .type = CH_T_ENUM, .choices = ch_role_names,            \
      .choice_count = CH_ROLE_ADMIN + 1, .doc = "Role" },                     \
    { .name = "emailVerified", .type = CH_T_BOOL, .column = "email_verified", \
      .doc = "Whether the address was verified" },                            \
    { .name = "isActive", .type = CH_T_BOOL, .column = "is_active",           \
      .doc = "Whether the account may log in" },                              \
    { .name = "subscriptionTier", .type = CH_T_ENUM,                          \
      .choices = ch_tier_names, .choice_count = CH_TIER_COUNT,                \
      .column = "subscription_tier", .doc = "Tier" },                         \
    { .name = "aiTokensUsed", .type = CH_T_INT, .column = "ai_tokens_used",   \
      .doc = "AI tokens used this month" },                                   \
    { .name = "aiTokensLimit", .type = CH_T_INT,                              \
      .column = "ai_tokens_limit", .doc = "AI tokens of a month" },           \
    { .name = "lastLoginAt", .type = CH_T_TIME, .column = "last_login_at",    \
      .flags = CH_NULLABLE, .doc = "Last login" },                            \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "Made" },                                                        \
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",         \
      .doc = "Last change" },                                                 \
    { .name = "version", .type = CH_T_INT, .min = 1, .doc = "Counts changes" }

static const ch_field_t user_rows[] = { USER_ROWS };

const ch_fields_t ch_user_out = {
    .name = "User", .rows = user_rows, .count = (int)CH_COUNT(user_rows),
};

static const ch_field_t admin_rows[] = {
    USER_ROWS,
    { .name = "sessionCount", .type = CH_T_INT, .column = "session_count",
      .doc = "Live sessions" },
};

const ch_fields_t ch_admin_user_out = {
    .name = "AdminUser", .rows = admin_rows,
    .count = (int)CH_COUNT(admin_rows),
};
