/* What auth.c and user.c share: the wire form of an account. */
#ifndef CH_API_ACCOUNT_H
#define CH_API_ACCOUNT_H

#include "web/field.h"

extern const ch_fields_t ch_user_out;

#endif
