/* Turns field tables into JSON Schema for the OpenAPI document. */
#include "web/openapi_schema.h"

#include <string.h>

#include <apr_strings.h>

#include "base/jsonw.h"

/* What a schema is for: the same row is loose in a request (it may be left
 * out, times come in many forms) and exact in an answer. */
typedef enum {
    FOR_CREATE,
    FOR_UPDATE,
    FOR_UPLOAD,
    FOR_QUERY,
    FOR_ANSWER
} use_e;

typedef struct {
    const ch_fields_t *fields;
    use_e use;
} component_t;

ch_components_t *ch_components_make(apr_pool_t *pool)
{
    return apr_array_make(pool, 32, sizeof(component_t));
}

const char *ch_schema_doc(apr_pool_t *pool, const ch_field_t *field)
{
    const char *doc = field->doc ? field->doc : "";
    const char *gap = *doc ? ". " : "";

    switch (field->type) {
    case CH_T_SECRET:
    case CH_T_BYTES:
        if (field->min > 0) {
            return apr_psprintf(pool,
                                "%s%s%" APR_INT64_T_FMT " to %" APR_INT64_T_FMT
                                " bytes of UTF-8",
                                doc, gap, field->min, field->max);
        }
        return apr_psprintf(pool,
                            "%s%sAt most %" APR_INT64_T_FMT " bytes of UTF-8",
                            doc, gap, field->max);
    case CH_T_OBJECT:
        if (field->max > 0) {
            return apr_psprintf(
                pool, "%s%sAt most %" APR_INT64_T_FMT " bytes of compact JSON",
                doc, gap, field->max);
        }
        break;
    default:
        break;
    }
    return doc;
}

/* --- one row ------------------------------------------------------------- */

static int is_nullable(const ch_field_t *field, use_e use)
{
    return (field->flags & CH_NULLABLE) && use != FOR_UPLOAD;
}

static void write_type(ch_buf_t *buf, const char *type, int nullable)
{
    ch_member(buf, "type");
    if (nullable) {
        ch_buf_putc(buf, '[');
        ch_jsonw_cstr(buf, type);
        CH_BUF_LIT(buf, ",\"null\"]");
    }
    else {
        ch_jsonw_cstr(buf, type);
    }
}

/* A maximum of 0 is none: no row holds nothing but the empty string. */
static void write_length(ch_buf_t *buf, apr_int64_t min, apr_int64_t max)
{
    if (min > 0) {
        ch_member_int(buf, "minLength", min);
    }
    if (max > 0) {
        ch_member_int(buf, "maxLength", max);
    }
}

static void write_choices(ch_buf_t *buf, const ch_field_t *field, int nullable)
{
    int i;

    ch_member(buf, "enum");
    ch_buf_putc(buf, '[');
    for (i = 0; i < field->choice_count; i++) {
        ch_member_text(buf, NULL, field->choices[i]);
    }
    if (nullable) {
        ch_member_json(buf, NULL, "null");
    }
    ch_buf_putc(buf, ']');
}

/* What is special about the strings of each type. */
static void write_string_rules(ch_buf_t *buf, const ch_field_t *field,
                               use_e use)
{
    switch (field->type) {
    case CH_T_EMAIL:
        ch_member_text(buf, "format", "idn-email");
        ch_member_int(buf, "maxLength", 254);
        break;
    case CH_T_URL:
        ch_member_text(buf, "pattern", "^[Hh][Tt][Tt][Pp][Ss]?://\\S+$");
        ch_member_int(buf, "maxLength", 2048);
        break;
    case CH_T_COLOR:
        ch_member_text(buf, "pattern", "^#[0-9A-Fa-f]{6}$");
        break;
    case CH_T_UUID:
        ch_member_text(buf, "format", "uuid");
        break;
    case CH_T_DATE:
        ch_member_text(buf, "format", "date");
        break;
    case CH_T_TIME:
        ch_member_text(buf, "format", "date-time");
        if (use == FOR_ANSWER) {
            ch_member_text(buf, "pattern", CH_SCHEMA_TIME_PATTERN);
            ch_member_json(buf, "examples", "[\"2026-01-24T10:30:00.000Z\"]");
        }
        break;
    case CH_T_BYTES:
    case CH_T_SECRET:
        /* Bounds are in bytes, a schema counts characters: as many at most,
         * and at least one where at least one byte is asked for. */
        write_length(buf, field->min > 0, field->max);
        break;
    default:
        write_length(buf, field->min, field->max);
        break;
    }
    if (field->pattern && *field->pattern == '^') {
        ch_member_text(buf, "pattern", field->pattern);
    }
}

static void write_int_rules(ch_buf_t *buf, const ch_field_t *field)
{
    if (field->min || field->max) {
        ch_member_int(buf, "minimum", field->min);
    }
    if (field->max > field->min) {
        ch_member_int(buf, "maximum", field->max);
    }
}

static void write_array_rules(ch_buf_t *buf, const ch_field_t *field)
{
    if (field->min > 0) {
        ch_member_int(buf, "minItems", field->min);
    }
    if (field->max > 0) {
        ch_member_int(buf, "maxItems", field->max);
    }
    ch_member(buf, "items");
    ch_buf_putc(buf, '{');
    write_type(buf, "string", 0);
    if (field->choices) {
        write_choices(buf, field, 0);
    }
    else {
        write_length(buf, field->item_min, field->item_max);
    }
    ch_buf_putc(buf, '}');
}

static void write_string(ch_buf_t *buf, const ch_field_t *field, use_e use)
{
    int nullable = is_nullable(field, use);

    write_type(buf, "string", nullable);
    if (field->choices) {
        write_choices(buf, field, nullable);
    }
    else {
        write_string_rules(buf, field, use);
    }
}

/* Everything but references and CH_SPECIAL. */
static void write_plain(ch_buf_t *buf, const ch_field_t *field, use_e use)
{
    int nullable = is_nullable(field, use);

    switch (field->type) {
    case CH_T_INT:
        write_type(buf, "integer", nullable);
        write_int_rules(buf, field);
        break;
    case CH_T_NUMBER:
        write_type(buf, "number", nullable);
        write_int_rules(buf, field);
        break;
    case CH_T_BOOL:
        write_type(buf, "boolean", nullable);
        break;
    case CH_T_STRS:
        write_type(buf, "array", nullable);
        write_array_rules(buf, field);
        break;
    case CH_T_OBJECT:
        write_type(buf, "object", nullable);
        break;
    case CH_T_NEST:
        write_type(buf, "object", nullable);
        break;
    case CH_T_JSON:
        if (field->flags & CH_OR_OBJECT) {
            ch_member_json(buf, "type", "[\"array\",\"object\"]");
            ch_member_int(buf, "maxItems", field->max);
        }
        break;
    default:
        write_string(buf, field, use);
        break;
    }
}

static void write_notes(ch_buf_t *buf, const ch_field_t *field, use_e use)
{
    const char *doc = ch_schema_doc(buf->pool, field);

    if (field->def && use != FOR_UPDATE) {
        ch_member_json(buf, "default", field->def);
    }
    if (*doc) {
        ch_member_text(buf, "description", doc);
    }
    if (field->flags & CH_WRITE_ONLY) {
        ch_member_json(buf, "writeOnly", "true");
        if (field->type == CH_T_SECRET) {
            ch_member_text(buf, "format", "password");
        }
    }
}

void ch_schema_query(ch_buf_t *buf, const ch_field_t *field)
{
    ch_buf_putc(buf, '{');
    if (field->flags & CH_SPECIAL) {
        CH_BUF_LIT(buf, "\"anyOf\":[{");
        write_plain(buf, field, FOR_QUERY);
        CH_BUF_LIT(buf, "},{\"const\":");
        ch_jsonw_cstr(buf, field->extra);
        CH_BUF_LIT(buf, "}]");
    }
    else {
        write_plain(buf, field, FOR_QUERY);
    }
    if (field->def) {
        ch_member_json(buf, "default", field->def);
    }
    ch_buf_putc(buf, '}');
}

/* --- tables -------------------------------------------------------------- */

static const char *component_name(apr_pool_t *pool, const ch_fields_t *fields,
                                  use_e use)
{
    return use == FOR_UPDATE ? apr_pstrcat(pool, fields->name, "Update", NULL)
                             : fields->name;
}

static void note(ch_components_t *components, const ch_fields_t *fields,
                 use_e use)
{
    component_t *component;
    int i;

    for (i = 0; i < components->nelts; i++) {
        component = &APR_ARRAY_IDX(components, i, component_t);
        if (component->use == use
            && strcmp(component->fields->name, fields->name) == 0) {
            return;
        }
    }
    component = apr_array_push(components);
    component->fields = fields;
    component->use = use;
}

static void write_table(ch_buf_t *buf, ch_components_t *components,
                        const ch_fields_t *fields, use_e use);

static void write_reference(ch_buf_t *buf, ch_components_t *components,
                            const ch_fields_t *fields, use_e use)
{
    if (!fields->name) {
        write_table(buf, components, fields, use);
        return;
    }
    note(components, fields, use);
    CH_BUF_LIT(buf, "{\"$ref\":\"#/components/schemas/");
    ch_buf_puts(buf, component_name(buf->pool, fields, use));
    CH_BUF_LIT(buf, "\"}");
}

/* An object by the row's table, or an array of such objects. */
static void write_nested(ch_buf_t *buf, ch_components_t *components,
                         const ch_field_t *field, use_e use)
{
    if (field->type == CH_T_JSON) {
        CH_BUF_LIT(buf, "{\"type\":\"array\"");
        if (field->max > 0) {
            ch_member_int(buf, "maxItems", field->max);
        }
        ch_member(buf, "items");
        write_reference(buf, components, field->nested, use);
        ch_buf_putc(buf, '}');
    }
    else {
        write_reference(buf, components, field->nested, use);
    }
}

static void write_row(ch_buf_t *buf, ch_components_t *components,
                      const ch_field_t *field, use_e use)
{
    ch_member(buf, field->name);
    if (field->nested && !(field->flags & CH_NULLABLE)) {
        write_nested(buf, components, field, use);
        return;
    }
    ch_buf_putc(buf, '{');
    if (field->nested) {
        CH_BUF_LIT(buf, "\"anyOf\":[");
        write_nested(buf, components, field, use);
        CH_BUF_LIT(buf, ",{\"type\":\"null\"}]");
    }
    else {
        write_plain(buf, field, use);
    }
    write_notes(buf, field, use);
    ch_buf_putc(buf, '}');
}

/* Whether a row is among the members at all. */
static int has_row(const ch_field_t *field, use_e use)
{
    return !((use == FOR_UPLOAD && !ch_field_in_upload(field))
             || (use == FOR_CREATE && (field->flags & CH_UPDATE_ONLY))
             || (use == FOR_UPDATE && (field->flags & CH_CREATE_ONLY)));
}

static int is_required(const ch_field_t *field, use_e use)
{
    return (use == FOR_ANSWER && !(field->flags & CH_MAY_LACK))
           || ((use == FOR_CREATE || use == FOR_UPLOAD)
               && (field->flags & CH_REQUIRED) && has_row(field, use));
}

static void write_required(ch_buf_t *buf, const ch_fields_t *fields, use_e use)
{
    int any = 0;
    int i;

    if (use == FOR_UPLOAD) {
        ch_member(buf, "required");
        CH_BUF_LIT(buf, "[\"file\"");
        any = 1;
    }
    for (i = 0; i < fields->count; i++) {
        const ch_field_t *field = &fields->rows[i];

        if (!is_required(field, use)) {
            continue;
        }
        if (!any) {
            ch_member(buf, "required");
            ch_buf_putc(buf, '[');
            any = 1;
        }
        ch_member_text(buf, NULL, field->name);
    }
    if (any) {
        ch_buf_putc(buf, ']');
    }
}

static void write_table(ch_buf_t *buf, ch_components_t *components,
                        const ch_fields_t *fields, use_e use)
{
    int i;

    CH_BUF_LIT(buf, "{\"type\":\"object\",\"additionalProperties\":false");
    write_required(buf, fields, use);
    ch_member(buf, "properties");
    ch_buf_putc(buf, '{');
    if (use == FOR_UPLOAD) {
        ch_member_json(buf, "file",
                       "{\"type\":\"string\",\"format\":\"binary\"}");
    }
    for (i = 0; i < fields->count; i++) {
        if (has_row(&fields->rows[i], use)) {
            write_row(buf, components, &fields->rows[i], use);
        }
    }
    CH_BUF_LIT(buf, "}}");
}

void ch_schema_body(ch_buf_t *buf, ch_components_t *components,
                    const ch_fields_t *fields, int update)
{
    write_reference(buf, components, fields, update ? FOR_UPDATE : FOR_CREATE);
}

void ch_schema_upload(ch_buf_t *buf, ch_components_t *components,
                      const ch_fields_t *fields)
{
    write_table(buf, components, fields, FOR_UPLOAD);
}

void ch_schema_answer(ch_buf_t *buf, ch_components_t *components,
                      const ch_fields_t *fields)
{
    write_reference(buf, components, fields, FOR_ANSWER);
}

void ch_schema_components(ch_buf_t *buf, ch_components_t *components)
{
    int i;

    /* the list grows while it is walked: a table notes what it refers to */
    for (i = 0; i < components->nelts; i++) {
        const component_t component =
            APR_ARRAY_IDX(components, i, component_t);

        ch_member(buf,
                  component_name(buf->pool, component.fields, component.use));
        write_table(buf, components, component.fields, component.use);
    }
}
