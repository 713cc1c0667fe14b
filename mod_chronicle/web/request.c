/* Reads headers and cookies of a request, sets cookies. */
#include "web/request.h"

#include <string.h>

#include <apr_strings.h>

#include "base/text.h"

const char *ch_req_header(const ch_req_t *rq, const char *name)
{
    return apr_table_get(rq->in, name);
}

const char *ch_req_agent(const ch_req_t *rq)
{
    const char *agent = ch_req_header(rq, "User-Agent");

    return agent ? ch_text_clean(rq->pool, agent,
                                 strnlen(agent, CH_AGENT_MAX))
                 : NULL;
}

size_t ch_req_tag_len(const char *tag, size_t len)
{
    static const char *const codings[] = { "-gzip", "-br" };
    size_t i;

    len--; /* the closing quote */
    for (i = 0; i < CH_COUNT(codings); i++) {
        size_t size = strlen(codings[i]);

        if (len > size && memcmp(tag + len - size, codings[i], size) == 0) {
            return len - size;
        }
    }
    return len;
}

const char *ch_req_cookie(const ch_req_t *rq, const char *name)
{
    const char *at = apr_table_get(rq->in, "Cookie");
    size_t name_len = strlen(name);

    while (at && *at) {
        size_t len;

        at += strspn(at, " \t;");
        len = strcspn(at, ";");
        if (len > name_len && at[name_len] == '='
            && strncmp(at, name, name_len) == 0) {
            const char *value = at + name_len + 1;
            size_t value_len = len - name_len - 1;

            if (value_len >= 2 && *value == '"'
                && value[value_len - 1] == '"') {
                value++;
                value_len -= 2;
            }
            return value_len ? apr_pstrmemdup(rq->pool, value, value_len)
                             : NULL;
        }
        at += len;
    }
    return NULL;
}

void ch_req_set_cookie(ch_req_t *rq, const char *name, const char *value,
                       int seconds, int http_only)
{
    apr_table_addn(rq->out, "Set-Cookie",
                   apr_psprintf(rq->pool,
                                "%s=%s; Path=/; Max-Age=%d; SameSite=Lax%s%s",
                                name, value, seconds,
                                http_only ? "; HttpOnly" : "",
                                rq->tls ? "; Secure" : ""));
}

const char *ch_req_frontend_url(ch_req_t *rq)
{
    return rq->conf->frontend_url ? rq->conf->frontend_url
                                  : rq->io->own_url(rq);
}
