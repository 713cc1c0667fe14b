/* Links that go out by mail. */
#ifndef CH_API_AUTH_MAIL_H
#define CH_API_AUTH_MAIL_H

#include "web/request.h"

/* A link ready to be stored and mailed, in the request's pool. */
typedef struct {
    const char *token_hash;
    const char *subject;
    const char *text;
} ch_mail_link_t;

/* A new link of <frontend>/verify-email, good for a day. */
void ch_mail_verify(ch_req_t *rq, ch_mail_link_t *out);

#endif
