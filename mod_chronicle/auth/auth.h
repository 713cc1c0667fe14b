/* The door of auth/: who calls, may they, sessions and their tokens. */
#ifndef CH_AUTH_AUTH_H
#define CH_AUTH_AUTH_H

#include "auth/jwt.h"
#include "store/seat.h"
#include "web/request.h"

#define CH_SESSION_COOKIE "chronicle_session"
#define CH_CSRF_COOKIE "chronicle_csrf"
#define CH_SESSION_SECONDS 2592000

/* --- role.c ------------------------------------------------------------ */

extern const char *const ch_role_names[CH_ROLE_ADMIN + 1];

/* The role of a name; CH_ROLE_USER, the least, for any other. */
ch_role_e ch_role_of(const char *name);

/* The lowest role in a list of names, which is what the list asks for: a
 * higher role passes a lower requirement. Returns an error text or NULL. */
const char *ch_role_lowest(apr_pool_t *pool, const char *list,
                           ch_role_e *out);

/* --- identify.c, permit.c: stages ------------------------------------- */

/* Finds out who calls and refuses nobody: a fault waits in
 * rq->credential_fault. A token is only checked by its signature here. */
ch_err_t *ch_identify_stage(ch_req_t *rq);

/* 7: session and user must live; 401 where the route needs somebody. */
ch_err_t *ch_authenticate_stage(ch_req_t *rq);

/* 8 to 10: CSRF, verified address, role. */
ch_err_t *ch_permit_stage(ch_req_t *rq);

/* Completes rq->who from the session's row (or the cache of it), or says
 * what is wrong. For routes of CH_PUBLIC that want to know. */
ch_err_t *ch_auth_be_sure(ch_req_t *rq);

/* The CSRF rule for a caller known by cookie. */
ch_err_t *ch_auth_check_csrf(ch_req_t *rq);

/* Makes rq->who of what was looked up. */
void ch_identify_take(ch_req_t *rq, const ch_seat_t *seat);

/* --- email.c ----------------------------------------------------------- */

/* Fills rq->who->email, for a caller who is sure. */
ch_err_t *ch_auth_email(ch_req_t *rq);

/* --- remote.c ---------------------------------------------------------- */

/* Where ChronicleTrustRemoteUser is On and another module has authenticated
 * somebody: rq->who becomes their account, which is made on first sight; a
 * fault waits in rq->credential_fault. */
void ch_remote_identify(ch_req_t *rq);

/* --- basic.c ----------------------------------------------------------- */

/* rq->who becomes the active account of this address and password. Failures
 * count in the class auth. INVALID_CREDENTIALS (*found says whether there is
 * such an account), RATE_LIMIT_EXCEEDED, or that it could not be checked. */
ch_err_t *ch_basic_check(ch_req_t *rq, const char *name, const char *password,
                         int *found);

/* The audit row of a failed login, and the metric. found: the row of
 * sql_auth_find, or none. */
ch_err_t *ch_auth_audit_failure(ch_req_t *rq, const char *email,
                                const ch_rows_t *found);

/* --- session.c --------------------------------------------------------- */

/* A session about to be stored. All in the request's pool. */
typedef struct {
    const char *id;
    const char *kind; /* "token" or "cookie" */
    const char *token_hash;
    const char *csrf_hash; /* NULL for tokens */
    ch_bytes_t refresh_key;
    const char *issued; /* for Postgres, whole seconds */
    apr_uint32_t issued_seconds;
    const char *cookie; /* the raw values, of cookie sessions */
    const char *csrf;
} ch_session_t;

/* Fresh ids and secrets. */
void ch_session_draft(ch_req_t *rq, int cookie, ch_session_t *out);

/* Writes {"user":…,"tokens":…,"csrfToken":…} into buf and sets the cookies.
 * user: row 0 by the table `fields`. */
void ch_session_write(ch_req_t *rq, ch_buf_t *buf,
                      const ch_session_t *session, const ch_fields_t *fields,
                      const ch_rows_t *user);

/* Writes a Tokens object. */
typedef struct {
    const char *user_id, *email, *role, *session_id;
    const unsigned char *refresh_key;
    apr_uint32_t counter, issued;
} ch_tokens_t;

void ch_session_write_tokens(ch_req_t *rq, ch_buf_t *buf,
                             const ch_tokens_t *tokens);

/* Clears both cookies. */
void ch_session_clear_cookies(ch_req_t *rq);

/* The hash under which a cookie's session is stored. */
const char *ch_session_cookie_hash(ch_req_t *rq, const char *cookie);

/* A session (user) was revoked or changed, committed: forget what is known
 * of it, at once and everywhere. */
void ch_session_forget(ch_req_t *rq, const char *session_id);
void ch_session_forget_user(ch_req_t *rq, const char *user_id);

/* Decodes Postgres' hex form of 32 bytes; 0 when it is none. */
int ch_session_key(const char *hex, unsigned char key[32]);

#endif
