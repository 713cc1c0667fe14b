/* Inside the OpenAPI writer: what an operation answers. */
#ifndef CH_WEB_OPENAPI_ANSWER_H
#define CH_WEB_OPENAPI_ANSWER_H

#include "web/openapi_schema.h"
#include "web/route.h"

/* What is written while a document grows. */
typedef struct {
    ch_buf_t *buf;
    apr_pool_t *pool;
    apr_array_header_t *routes; /* of const ch_route_t *: what is shown */
    ch_components_t *components;
    apr_array_header_t *errors; /* of ch_refusal_t: answers referred to */
} ch_openapi_t;

/* A row as one method of it: PUT rows are also reached by PATCH. */
typedef struct {
    const ch_route_t *route;
    ch_method_e method;
    const char *path; /* as the document writes it */
} ch_operation_t;

/* An answer that refuses: all codes of one status that a row may give. */
typedef struct {
    const char *name; /* of the component: the codes, joined by dots */
    int status;
    char has[CH_E__COUNT];
} ch_refusal_t;

int ch_operation_writes(const ch_operation_t *op);
int ch_operation_takes_if_match(const ch_operation_t *op);
int ch_operation_takes_if_none_match(const ch_operation_t *op);

/* The member "responses":{…} of an operation. */
void ch_answer_write(ch_openapi_t *doc, const ch_operation_t *op);

/* What the answers refer to: the members "responses" and "headers" of
 * components, and the schemas Error and Pagination. */
void ch_answer_components(ch_openapi_t *doc);
void ch_answer_schemas(ch_openapi_t *doc);

#endif
