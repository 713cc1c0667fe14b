/* Checks one value against its row and puts it into the struct. */
#include "web/bind.h"

#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/uuid.h"

void ch_bind_fault(ch_bind_t *bind, ch_detail_e code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ch_err_fault(bind->pool, bind->faults, code,
                 apr_pstrdup(bind->pool, bind->path), "%s",
                 apr_pvsprintf(bind->pool, format, args));
    va_end(args);
}

int ch_bind_int(const char *text, size_t len, apr_int64_t *out)
{
    size_t at = len && text[0] == '-';
    apr_int64_t number = 0;

    if (at == len) {
        return 0;
    }
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9') {
            return 0;
        }
        if (__builtin_mul_overflow(number, 10, &number)
            || __builtin_add_overflow(number, text[at] - '0', &number)) {
            number = APR_INT64_MAX; /* stays there: times 10 overflows */
        }
    }
    *out = text[0] == '-' ? -number : number;
    return 1;
}

static const char **string_member(const ch_bind_t *bind)
{
    return (const char **)(void *)(bind->base + bind->row->offset);
}

/* --- bounds ----------------------------------------------------------- */

static int length_fits(ch_bind_t *bind, size_t length, const char *unit)
{
    const ch_field_t *row = bind->row;

    if ((apr_int64_t)length >= row->min && (apr_int64_t)length <= row->max) {
        return 1;
    }
    ch_bind_fault(bind,
                  (apr_int64_t)length < row->min ? CH_D_TOO_SHORT
                                                 : CH_D_TOO_LONG,
                  "must have %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT " %s",
                  row->min, row->max, unit);
    return 0;
}

static void put_int(ch_bind_t *bind, apr_int64_t number)
{
    const ch_field_t *row = bind->row;

    if (number < row->min || number > row->max) {
        ch_bind_fault(bind,
                      number < row->min ? CH_D_TOO_SMALL : CH_D_TOO_LARGE,
                      "must be between %" APR_INT64_T_FMT
                      " and %" APR_INT64_T_FMT,
                      row->min, row->max);
        return;
    }
    *(apr_int64_t *)(void *)(bind->base + row->offset) = number;
}

static void put_bool(ch_bind_t *bind, int value)
{
    *(int *)(void *)(bind->base + bind->row->offset) = value;
}

/* --- strings ---------------------------------------------------------- */

static int is_color(const char *text, size_t len)
{
    size_t i;

    if (len != 7 || text[0] != '#') {
        return 0;
    }
    for (i = 1; i < 7; i++) {
        if (!strchr("0123456789abcdefABCDEF", text[i])) {
            return 0;
        }
    }
    return 1;
}

/* A line: trimmed, then counted, then searched for control characters.
 * Returns NULL after a fault. */
static const char *check_line(ch_bind_t *bind, const char *text, size_t len)
{
    ch_bytes_t line = ch_text_trim(text, len);

    if (!length_fits(bind, ch_text_count(line.data, line.len),
                     "characters")) {
        return NULL;
    }
    if (ch_text_has_control(line.data, line.len, 0)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT,
                      "must not have control characters");
        return NULL;
    }
    if (bind->row->valid && !bind->row->valid(line.data, line.len)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT, "must have the form %s",
                      bind->row->pattern);
        return NULL;
    }
    return apr_pstrmemdup(bind->pool, line.data, line.len);
}

static const char *check_text(ch_bind_t *bind, const char *text, size_t len)
{
    int bytes = bind->row->type == CH_T_BYTES;

    if (!length_fits(bind, bytes ? len : ch_text_count(text, len),
                     bytes ? "bytes" : "characters")) {
        return NULL;
    }
    if (ch_text_has_control(text, len, 1)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT,
                      "must not have control characters but tab and line "
                      "breaks");
        return NULL;
    }
    if (bind->row->valid && !bind->row->valid(text, len)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT, "must be %s",
                      bind->row->pattern);
        return NULL;
    }
    return apr_pstrmemdup(bind->pool, text, len);
}

static const char *check_email(ch_bind_t *bind, const char *text, size_t len)
{
    ch_bytes_t line = ch_text_trim(text, len);

    if (!ch_text_is_email(line.data, line.len)) {
        ch_bind_fault(bind, line.len > 254 ? CH_D_TOO_LONG
                                           : CH_D_INVALID_FORMAT,
                      "must be an e-mail address of at most 254 bytes");
        return NULL;
    }
    return ch_text_lower(bind->pool, line.data, line.len);
}

static const char *check_url(ch_bind_t *bind, const char *text, size_t len)
{
    ch_bytes_t line = ch_text_trim(text, len);

    if (!ch_text_is_url(line.data, line.len)) {
        ch_bind_fault(bind, line.len > 2048 ? CH_D_TOO_LONG
                                            : CH_D_INVALID_FORMAT,
                      "must be an absolute http or https URL of at most 2048 "
                      "characters");
        return NULL;
    }
    return apr_pstrmemdup(bind->pool, line.data, line.len);
}

static const char *check_uuid(ch_bind_t *bind, const char *text, size_t len)
{
    const ch_field_t *row = bind->row;
    char *lower = apr_palloc(bind->pool, CH_UUID_LEN + 1);

    if ((row->flags & CH_SPECIAL) && len == strlen(row->extra)
        && memcmp(text, row->extra, len) == 0) {
        return row->extra;
    }
    if (!ch_uuid_parse(text, len, lower)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT, "must be a UUID");
        return NULL;
    }
    return lower;
}

static const char *check_time(ch_bind_t *bind, const char *text, size_t len)
{
    char whole[CH_TS_LEN + 1];
    apr_time_t when;

    if (!ch_clock_parse(text, len, &when)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT,
                      "must be an RFC 3339 time with offset, years 1970 to "
                      "9999");
        return NULL;
    }
    ch_clock_format(when, whole);
    return apr_psprintf(bind->pool, "%.19s.%06dZ", whole,
                        (int)(when % APR_USEC_PER_SEC));
}

static const char *check_date(ch_bind_t *bind, const char *text, size_t len)
{
    const char *date = apr_pstrmemdup(bind->pool, text, len);
    apr_time_t when;

    if (len != CH_DATE_LEN
        || !ch_clock_parse(apr_pstrcat(bind->pool, date, "T00:00:00Z", NULL),
                           CH_DATE_LEN + 10, &when)) {
        ch_bind_fault(bind, CH_D_INVALID_FORMAT,
                      "must be a date of the calendar as YYYY-MM-DD, years "
                      "1970 to 9999");
        return NULL;
    }
    return date;
}

static void put_choice(ch_bind_t *bind, const char *text, size_t len)
{
    const ch_field_t *row = bind->row;
    const char *names = "";
    int i;

    for (i = 0; i < row->choice_count; i++) {
        if (strlen(row->choices[i]) == len
            && memcmp(row->choices[i], text, len) == 0) {
            put_bool(bind, i);
            return;
        }
        names = apr_pstrcat(bind->pool, names, i ? ", " : "", row->choices[i],
                            NULL);
    }
    ch_bind_fault(bind, CH_D_INVALID_VALUE, "must be one of: %s", names);
}

/* Any type whose value is a string. */
static void put_string(ch_bind_t *bind, const char *text, size_t len)
{
    const char *value = NULL;

    switch (bind->row->type) {
    case CH_T_ENUM:
        put_choice(bind, text, len);
        return;
    case CH_T_TEXT:
    case CH_T_BYTES:
        value = check_text(bind, text, len);
        break;
    case CH_T_SECRET:
        value = length_fits(bind, len, "bytes")
                    ? apr_pstrmemdup(bind->pool, text, len)
                    : NULL;
        break;
    case CH_T_EMAIL:
        value = check_email(bind, text, len);
        break;
    case CH_T_URL:
        value = check_url(bind, text, len);
        break;
    case CH_T_UUID:
        value = check_uuid(bind, text, len);
        break;
    case CH_T_TIME:
        value = check_time(bind, text, len);
        break;
    case CH_T_DATE:
        value = check_date(bind, text, len);
        break;
    case CH_T_COLOR:
        value = apr_pstrmemdup(bind->pool, text, len);
        if (!is_color(text, len)) {
            ch_bind_fault(bind, CH_D_INVALID_FORMAT,
                          "must have the form #RRGGBB");
            value = NULL;
        }
        break;
    default:
        value = check_line(bind, text, len);
        break;
    }
    *string_member(bind) = value;
}

/* --- lists of strings ------------------------------------------------- */

static apr_array_header_t *list_member(const ch_bind_t *bind)
{
    apr_array_header_t **member =
        (apr_array_header_t **)(void *)(bind->base + bind->row->offset);

    if (!*member) {
        *member = apr_array_make(bind->pool, 4, sizeof(const char *));
    }
    return *member;
}

/* One element, trimmed and bounded as a line of its own. */
static void put_item(ch_bind_t *bind, const char *text, size_t len)
{
    const ch_field_t *list = bind->row;
    ch_field_t item = { .name = list->name, .type = CH_T_STR,
                        .min = list->item_min, .max = list->item_max };
    apr_array_header_t *values = list_member(bind);
    const char *value;
    int i;

    bind->row = &item;
    value = check_line(bind, text, len);
    bind->row = list;
    for (i = 0; value && (list->flags & CH_UNIQUE) && i < values->nelts;
         i++) {
        if (strcmp(APR_ARRAY_IDX(values, i, const char *), value) == 0) {
            return;
        }
    }
    if (value) {
        APR_ARRAY_PUSH(values, const char *) = value;
    }
}

static void count_fault(ch_bind_t *bind, int too_few)
{
    ch_bind_fault(bind, too_few ? CH_D_TOO_FEW : CH_D_TOO_MANY,
                  "must have %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT
                  " elements",
                  bind->row->min, bind->row->max);
}

static void put_items(ch_bind_t *bind, const ch_json_t *array)
{
    const char *path = bind->path;
    size_t count = ch_json_size(array);
    size_t i, len;

    list_member(bind);
    if ((apr_int64_t)count < bind->row->min
        || (apr_int64_t)count > bind->row->max) {
        count_fault(bind, (apr_int64_t)count < bind->row->min);
        return;
    }
    for (i = 0; i < count; i++) {
        const ch_json_t *item = ch_json_at(array, i);
        const char *text;

        bind->path = apr_psprintf(bind->pool, "%s[%d]", path, (int)i);
        if (ch_json_type(item) != CH_JSON_STRING) {
            ch_bind_fault(bind, CH_D_WRONG_TYPE, "must be a string");
            continue;
        }
        text = ch_json_string(item, &len);
        put_item(bind, text, len);
    }
    bind->path = path;
}

static void put_object(ch_bind_t *bind, const ch_json_t *value)
{
    const char *text = ch_json_dump(bind->pool, value);

    if ((apr_int64_t)strlen(text) > bind->row->max) {
        ch_bind_fault(bind, CH_D_TOO_LONG,
                      "must have at most %" APR_INT64_T_FMT
                      " bytes when serialised",
                      bind->row->max);
        return;
    }
    *string_member(bind) = text;
}

/* A value that is looked into later. */
static void put_value(ch_bind_t *bind, const ch_json_t *value)
{
    const ch_field_t *row = bind->row;
    apr_int64_t count = (apr_int64_t)ch_json_size(value);

    if (ch_json_type(value) == CH_JSON_ARRAY
        && (count < row->min || count > row->max)) {
        count_fault(bind, count < row->min);
        return;
    }
    *(const ch_json_t **)(void *)(bind->base + row->offset) = value;
}

/* --- doors ------------------------------------------------------------ */

void ch_bind_null(ch_bind_t *bind)
{
    switch (bind->row->type) {
    case CH_T_ENUM:
    case CH_T_BOOL:
        put_bool(bind, 0);
        break;
    case CH_T_INT:
        *(apr_int64_t *)(void *)(bind->base + bind->row->offset) = 0;
        break;
    default:
        *string_member(bind) = NULL;
        break;
    }
}

void ch_bind_json(ch_bind_t *bind, const ch_json_t *value)
{
    static const struct {
        ch_json_e type;
        const char *name;
    } wants[] = {
        [CH_T_INT] = { CH_JSON_INT, "a whole number" },
        [CH_T_BOOL] = { CH_JSON_BOOL, "true or false" },
        [CH_T_STRS] = { CH_JSON_ARRAY, "an array" },
        [CH_T_OBJECT] = { CH_JSON_OBJECT, "an object" },
        [CH_T_JSON] = { CH_JSON_ARRAY, "an array" },
        [CH_T_NEST] = { CH_JSON_OBJECT, "an object" },
    };
    ch_type_e type = bind->row->type;
    const char *text;
    size_t len;

    if (type >= CH_COUNT(wants) || !wants[type].name) {
        if (ch_json_type(value) != CH_JSON_STRING) {
            ch_bind_fault(bind, CH_D_WRONG_TYPE, "must be a string");
            return;
        }
        text = ch_json_string(value, &len);
        put_string(bind, text, len);
        return;
    }
    if (type == CH_T_INT && ch_json_type(value) == CH_JSON_REAL
        && (ch_json_number(value) >= 0x1p63
            || ch_json_number(value) <= -0x1p63)) {
        put_int(bind, ch_json_number(value) > 0 ? APR_INT64_MAX
                                                : APR_INT64_MIN);
    }
    else if (ch_json_type(value) != wants[type].type
             && !((bind->row->flags & CH_OR_OBJECT)
                  && ch_json_type(value) == CH_JSON_OBJECT)) {
        ch_bind_fault(bind, CH_D_WRONG_TYPE, "must be %s%s", wants[type].name,
                      bind->row->flags & CH_OR_OBJECT ? " or an object" : "");
    }
    else if (type == CH_T_INT) {
        put_int(bind, ch_json_int(value));
    }
    else if (type == CH_T_BOOL) {
        put_bool(bind, ch_json_bool(value));
    }
    else if (type == CH_T_STRS) {
        put_items(bind, value);
    }
    else if (type == CH_T_OBJECT) {
        put_object(bind, value);
    }
    else {
        put_value(bind, value);
    }
}

void ch_bind_query(ch_bind_t *bind, const char *text, size_t len)
{
    apr_int64_t number;

    switch (bind->row->type) {
    case CH_T_INT:
        if (!ch_bind_int(text, len, &number)) {
            ch_bind_fault(bind, CH_D_WRONG_TYPE, "must be a whole number");
            return;
        }
        put_int(bind, number);
        break;
    case CH_T_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            ch_bind_fault(bind, CH_D_WRONG_TYPE, "must be true or false");
            return;
        }
        put_bool(bind, *text == 't');
        break;
    case CH_T_STRS:
        put_item(bind, text, len);
        if (list_member(bind)->nelts > bind->row->max) {
            ch_bind_fault(bind, CH_D_TOO_MANY,
                          "must be given at most %" APR_INT64_T_FMT " times",
                          bind->row->max);
        }
        break;
    default:
        put_string(bind, text, len);
        break;
    }
}

/* Defaults are written in the rows as JSON text, simple enough to be read
 * here without a parser: numbers, words, and strings without escapes. */
void ch_bind_defaults(ch_bind_t *bind, const ch_fields_t *fields)
{
    int i;

    for (i = 0; i < fields->count; i++) {
        const char *def = fields->rows[i].def;

        bind->row = &fields->rows[i];
        bind->path = fields->rows[i].name;
        if (!def || strcmp(def, "null") == 0) {
            continue;
        }
        if (strcmp(def, "[]") == 0) {
            list_member(bind);
        }
        else if (*def == '{') {
            *string_member(bind) = def;
        }
        else if (*def == '"') {
            const char *text =
                apr_pstrndup(bind->pool, def + 1, strlen(def) - 2);

            ch_bind_query(bind, text, strlen(text));
        }
        else {
            ch_bind_query(bind, def, strlen(def));
        }
    }
}

void ch_bind_list(ch_bind_t *bind, const char *text, size_t len)
{
    apr_int64_t count = 0;
    char *rest = apr_pstrmemdup(bind->pool, text, len);

    while (rest && count <= bind->row->max) {
        char *comma = strchr(rest, ',');
        ch_bytes_t item;

        if (comma) {
            *comma++ = '\0';
        }
        item = ch_text_trim(rest, strlen(rest));
        if (item.len) {
            count++;
            ch_bind_query(bind,
                          apr_pstrmemdup(bind->pool, item.data, item.len),
                          item.len);
        }
        rest = comma;
    }
    if (count < bind->row->min) {
        ch_bind_fault(bind, CH_D_TOO_FEW,
                      "must have at least %" APR_INT64_T_FMT " elements",
                      bind->row->min);
    }
}
