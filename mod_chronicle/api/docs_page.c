/* Serves the documentation page: a frame of our own around Swagger UI, whose
 * files lie in ChronicleDocsDir. Nothing comes from another host. */
#include "api/root.h"

#include <string.h>

#include "web/reply.h"

#define PUBLIC_HOUR "public, max-age=3600"

static const char docs_csp[] =
    "default-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

/* Absolute paths: the page is the same at /api-docs, /api-docs/ and
 * /api/v1/docs, and relative ones would mean something else at each. What
 * stands in the div is seen where scripts or the files are missing. */
static const char page[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" "
    "content=\"width=device-width, initial-scale=1\">\n"
    "<title>mod_chronicle API</title>\n"
    "<link rel=\"icon\" type=\"image/png\" "
    "href=\"/api-docs/favicon-32x32.png\">\n"
    "<link rel=\"stylesheet\" href=\"/api-docs/swagger-ui.css\">\n"
    "</head>\n"
    "<body>\n"
    "<div id=\"swagger-ui\">\n"
    "<h1>mod_chronicle API</h1>\n"
    "<p>The API is described by its <a href=\"/api/v1/openapi.json\">OpenAPI "
    "document</a>.</p>\n"
    "</div>\n"
    "<script src=\"/api-docs/swagger-ui-bundle.js\"></script>\n"
    "<script src=\"/api-docs/chronicle-init.js\"></script>\n"
    "</body>\n"
    "</html>\n";

/* A file because the page's policy forbids inline scripts. validatorUrl null:
 * otherwise the document would be shown to a host of Swagger's. */
static const char init_script[] =
    "'use strict';\n"
    "\n"
    "/* A caller known by cookie proves with this header that it is no other\n"
    "   site's request. */\n"
    "function addCsrfToken(request) {\n"
    "  const cookie = /(?:^|; )chronicle_csrf=([^;]*)/.exec("
    "document.cookie);\n"
    "  if (cookie && !/^(get|head)$/i.test(request.method || 'get')) {\n"
    "    request.headers['X-CSRF-Token'] = cookie[1];\n"
    "  }\n"
    "  return request;\n"
    "}\n"
    "\n"
    "if (window.SwaggerUIBundle) {\n"
    "  window.SwaggerUIBundle({\n"
    "    url: '/api/v1/openapi.json',\n"
    "    dom_id: '#swagger-ui',\n"
    "    deepLinking: true,\n"
    "    docExpansion: 'none',\n"
    "    filter: true,\n"
    "    validatorUrl: null,\n"
    "    requestInterceptor: addCsrfToken,\n"
    "  });\n"
    "}\n";

/* Everything that is served below the page. */
static const struct {
    const char *name;
    const char *media;
    const char *text; /* NULL = a file of ChronicleDocsDir */
} files[] = {
    { .name = "chronicle-init.js",
      .media = "text/javascript; charset=utf-8",
      .text = init_script },
    { .name = "swagger-ui-bundle.js",
      .media = "text/javascript; charset=utf-8" },
    { .name = "swagger-ui.css", .media = "text/css; charset=utf-8" },
    { .name = "favicon-32x32.png", .media = "image/png" },
};

static ch_err_t *show_text(ch_req_t *rq, const char *media, const char *text)
{
    size_t len = strlen(text);
    ch_buf_t *body = ch_buf_make(rq->pool, len, len);

    ch_buf_add(body, text, len);
    rq->reply.cache_control = PUBLIC_HOUR;
    rq->reply.csp = docs_csp;
    return ch_reply_raw(rq, 200, media, body);
}

ch_err_t *ch_docs_show(ch_req_t *rq)
{
    const char *rest = rq->match.rest;
    size_t i;

    if (!rest || !*rest) {
        return show_text(rq, "text/html; charset=utf-8", page);
    }
    for (i = 0; i < CH_COUNT(files); i++) {
        if (strcmp(rest, files[i].name) == 0) {
            break;
        }
    }
    if (i < CH_COUNT(files) && files[i].text) {
        return show_text(rq, files[i].media, files[i].text);
    }
    if (i < CH_COUNT(files) && rq->conf->docs_dir) {
        rq->reply.csp = docs_csp;
        rq->reply.content_type = files[i].media;
        return ch_reply_file(rq, rq->conf->docs_dir, files[i].name);
    }
    return ch_err_make(rq->pool, CH_E_ROUTE_NOT_FOUND, NULL);
}
