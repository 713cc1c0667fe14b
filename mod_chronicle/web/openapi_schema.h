/* Inside the OpenAPI writer: field tables as JSON Schema (draft 2020-12,
 * which OpenAPI 3.1 speaks). */
#ifndef CH_WEB_OPENAPI_SCHEMA_H
#define CH_WEB_OPENAPI_SCHEMA_H

#include "base/member.h"
#include "web/field.h"

/* The tables of a document that have a name, each once for what it is used
 * for, in the order in which they were first referred to. */
typedef apr_array_header_t ch_components_t;

ch_components_t *ch_components_make(apr_pool_t *pool);

/* The schema of a request's body: rows may be absent unless required, others
 * than the rows are refused. Of an update nothing is required and nothing
 * has a default. A table with a name is referred to and noted in
 * components, for an update as "<name>Update". */
void ch_schema_body(ch_buf_t *buf, ch_components_t *components,
                    const ch_fields_t *fields, int update);

/* The same as multipart/form-data: the rows that can be text, and "file". */
void ch_schema_upload(ch_buf_t *buf, ch_components_t *components,
                      const ch_fields_t *fields);

/* The schema of an answer's object: all rows are there, and no others. A row
 * of CH_T_NEST is an object by its table, one of CH_T_JSON with a table an
 * array of such objects. */
void ch_schema_answer(ch_buf_t *buf, ch_components_t *components,
                      const ch_fields_t *fields);

/* The schema of one query parameter. */
void ch_schema_query(ch_buf_t *buf, const ch_field_t *field);

/* Doc text of a row with what a schema cannot say (lengths in bytes). */
const char *ch_schema_doc(apr_pool_t *pool, const ch_field_t *field);

/* Writes the tables noted as members "Name":{…}, with those that they refer
 * to in turn. */
void ch_schema_components(ch_buf_t *buf, ch_components_t *components);

#define CH_SCHEMA_TIME_PATTERN                                                \
    "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$"

#endif
