/* Wire forms that the files of accounts share. */
#ifndef CH_API_ACCOUNT_H
#define CH_API_ACCOUNT_H

#include "web/field.h"

#define CH_TIER_COUNT 3

extern const char *const ch_tier_names[CH_TIER_COUNT];

extern const ch_fields_t ch_user_out;       /* account.c */
extern const ch_fields_t ch_admin_user_out; /* account.c */
extern const ch_fields_t ch_settings_out;   /* user.c */
extern const ch_fields_t ch_session_out;    /* user.c */
extern const ch_fields_t ch_tokens_out;     /* auth.c */
extern const ch_fields_t ch_revoked_out;    /* auth.c */

#endif
