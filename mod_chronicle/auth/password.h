/* Passwords: policy, bcrypt, and a cap on hashes that run at once. */
#ifndef CH_AUTH_PASSWORD_H
#define CH_AUTH_PASSWORD_H

#include "base/err.h"

#define CH_PASSWORD_MIN 8
#define CH_PASSWORD_MAX 72 /* bytes: bcrypt reads no more */
#define CH_PASSWORD_COST 12

/* Opens the gate that lets at most `parallel` hashes run at once in this
 * child; a further one waits, at most wait_ms, then SERVICE_UNAVAILABLE.
 * parallel 0 = number of processors. Call once in child_init. */
apr_status_t ch_password_init(apr_pool_t *pool, int parallel, int wait_ms);

/* Adds the faults of a new password under `field` to *err: TOO_SHORT,
 * TOO_LONG (bytes), INVALID_VALUE for one of the known bad ones or one equal,
 * ignoring case, to email or its local part (email may be NULL). */
void ch_password_check(apr_pool_t *pool, ch_err_t **err, const char *field,
                       const char *password, const char *email);

/* bcrypt hash ("$2y$12$…") in pool. */
ch_err_t *ch_password_hash(apr_pool_t *pool, const char *password,
                           const char **out);

/* *good = password fits hash. hash NULL does the same work and says no. A
 * password over 72 bytes never fits (bcrypt would cut it), at the same
 * cost. */
ch_err_t *ch_password_verify(apr_pool_t *pool, const char *password,
                             const char *hash, int *good);

#endif
