/* The e-mail addresses of accounts, as this child has seen them. An account
 * keeps its address for life, so nothing here can be out of date. */
#ifndef CH_AUTH_EMAIL_H
#define CH_AUTH_EMAIL_H

#include "chronicle.h"

#define CH_EMAIL_MAX 254

/* Opens the table of this child, in pool. Without it none is known. */
void ch_email_open(apr_pool_t *pool);

/* The address of an account (16 bytes of id), copied to out
 * [CH_EMAIL_MAX + 1]: 1, or 0 when it is not known. */
int ch_email_get(const unsigned char user[16], char *out);

void ch_email_put(const unsigned char user[16], const char *email);

#endif
