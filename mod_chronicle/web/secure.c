/* Refuses requests that look like attacks, and tells of them (API.md 1.10). */
#include <string.h>

#include <apr_strings.h>

#include "base/text.h"
#include "store/counter.h"
#include "web/query.h"
#include "web/request.h"

static const char *const patterns[] = {
    "../",     "..\\",         "<script",     "javascript:",
    "${jndi:", "union select", "/etc/passwd", ";--",
};

static const char control_name[] = "control character";

/* The pattern that text holds, or NULL. */
static const char *find_pattern(apr_pool_t *pool, const char *text,
                                size_t len)
{
    const char *lower;
    size_t i;

    for (i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return control_name;
        }
    }
    /* each pattern holds one of these: most texts end here */
    if (len == strcspn(text, "./<:;$ ")) {
        return NULL;
    }
    lower = ch_text_ascii_lower(pool, text, len);
    for (i = 0; i < CH_COUNT(patterns); i++) {
        if (strstr(lower, patterns[i])) {
            return patterns[i];
        }
    }
    return NULL;
}

static int is_search(ch_req_t *rq, const char *text, size_t len)
{
    int broken = 0;
    const char *name =
        ch_query_decode(rq->pool, text, len, 1, &len, &broken);

    return strcmp(name, "q") == 0 || strcmp(name, "search") == 0;
}

/* Decodes for the test alone. An escaped NUL is a control character, too,
 * though the decoder hides it. */
static const char *test_encoded(ch_req_t *rq, const char *text, size_t len,
                                int plus_is_space)
{
    const char *decoded;
    size_t out_len;
    int broken = 0;

    decoded = ch_query_decode(rq->pool, text, len, plus_is_space, &out_len,
                              &broken);
    if (broken && strstr(apr_pstrmemdup(rq->pool, text, len), "%00")) {
        return control_name;
    }
    return find_pattern(rq->pool, decoded, out_len);
}

static const char *test_args(ch_req_t *rq)
{
    const char *args = rq->args;

    while (args && *args) {
        size_t len = strcspn(args, "&");
        size_t name_len = strcspn(args, "=&");
        size_t skip = name_len < len ? name_len + 1 : len;
        const char *found;

        if (!is_search(rq, args, name_len)) {
            found = test_encoded(rq, args + skip, len - skip, 1);
            if (found) {
                return found;
            }
        }
        args += len;
        args += *args == '&';
    }
    return NULL;
}

void ch_secure_event(ch_req_t *rq, ch_security_e type, const char *pattern)
{
    ch_counter_security(type);
    rq->io->log(rq, 'w', 1002,
                apr_pstrcat(rq->pool, "security: ", ch_security_names[type],
                            ": ", pattern, NULL));
    rq->io->security(rq, ch_security_names[type], pattern);
    rq->io->event(rq, ch_security_names[type], pattern);
}

void ch_secure_failure(ch_req_t *rq, ch_auth_failure_e reason)
{
    ch_counter_auth_failure(reason);
    rq->io->security(rq, "auth_failure", ch_auth_failure_names[reason]);
}

ch_err_t *ch_secure_stage(ch_req_t *rq)
{
    const char *found =
        test_encoded(rq, rq->sent_path, strlen(rq->sent_path), 0);

    if (!found) {
        found = test_args(rq);
    }
    if (!found) {
        return NULL;
    }
    ch_secure_event(rq, CH_SECURITY_PATTERN, found);
    return ch_err_make(rq->pool, CH_E_SECURITY_VIOLATION, NULL);
}
