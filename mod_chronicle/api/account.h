/* Wire forms that the files of accounts share. */
#ifndef CH_API_ACCOUNT_H
#define CH_API_ACCOUNT_H

#include "web/field.h"

extern const ch_fields_t ch_user_out;    /* user.c */
extern const ch_fields_t ch_tokens_out;  /* auth.c */
extern const ch_fields_t ch_revoked_out; /* auth.c */

#endif
