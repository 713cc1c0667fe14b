/* Passwords that this child has checked before: bcrypt takes a quarter of a
 * second, and HTTP's Basic scheme sends the password with each request. */
#ifndef CH_AUTH_PROOF_H
#define CH_AUTH_PROOF_H

#include "chronicle.h"

/* Opens the table of this child, in pool. Without it nothing is proved. */
void ch_proof_open(apr_pool_t *pool);

/* Whether this very password was found to fit this very hash. What is kept is
 * a MAC of the two under a key that never leaves the process, so a password
 * that was changed is unknown by itself. */
int ch_proof_has(const char *password, const char *hash);

/* Notes that it does. */
void ch_proof_add(const char *password, const char *hash);

#endif
