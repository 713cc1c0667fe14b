/* Domain names with letters beyond ASCII, as DNS and mail servers know
 * them. */
#ifndef CH_BASE_IDNA_H
#define CH_BASE_IDNA_H

#include "chronicle.h"

/* The domain with each label that is not ASCII written as xn-- and Punycode
 * (RFC 3492) of its folded form; ASCII labels stay as they are. A copy in
 * pool, or NULL: a label is empty, longer than 63 bytes or holds an ASCII
 * character that is no letter, digit, - or _; or the text is no UTF-8. Whether
 * a registry would take the name is not looked at. */
const char *ch_idna_ascii(apr_pool_t *pool, const char *domain, size_t len);

#endif
