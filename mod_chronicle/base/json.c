/* Parses and walks JSON that came from outside; the only file that sees
 * jansson. */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>

#include "base/jsonw.h"

#define BOM "\xEF\xBB\xBF"
#define REPLACEMENT "FFFD" /* the digits of U+FFFD */

/* What jansson takes for values, more or less: "{}," is a hundred times as
 * long in memory as it is written. Real texts become five times as long. */
#define OBJECT_BYTES 224
#define ARRAY_BYTES 128
#define VALUE_BYTES 64
#define MEMORY_MAX (160 * 1024 * 1024)

/* What the look over the raw bytes finds before jansson gets them. */
typedef struct {
    apr_pool_t *pool;
    const char *data;
    size_t len;
    size_t at;
    int depth;
    int depth_max;
    size_t memory; /* bytes that the values will take, more or less */
    apr_array_header_t *reals; /* size_t: ends of literals to make REAL */
    int mends; /* lone surrogates are replaced */
    apr_array_header_t *lone; /* size_t: the digits of those */
} scan_t;

/* A ch_json_t is jansson's json_t under a name that keeps its header inside
 * of this file. */
static const json_t *in(const ch_json_t *value)
{
    return (const json_t *)value;
}

static const ch_json_t *out_of(const json_t *value)
{
    return (const ch_json_t *)value;
}

/* Iterating is not const in jansson, though it changes nothing. */
static json_t *in_mutable(const ch_json_t *value)
{
    return (json_t *)(uintptr_t)value;
}

static apr_status_t forget(void *root)
{
    json_decref(root);
    return APR_SUCCESS;
}

/* An error with the place of a byte, counted in lines and bytes from 1. */
static ch_err_t *fault_at(const scan_t *scan, size_t at, const char *what)
{
    size_t line = 1;
    size_t column = 1;
    size_t i;

    for (i = 0; i < at; i++) {
        column++;
        if (scan->data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return ch_err_make(scan->pool, CH_E_MALFORMED_JSON,
                       "line %" APR_SIZE_T_FMT ", column %" APR_SIZE_T_FMT
                       ": %s",
                       line, column, what);
}

/* Notes the place of something in one of the scan's lists. */
static void note(scan_t *scan, apr_array_header_t **list, size_t at)
{
    if (*list == NULL) {
        *list = apr_array_make(scan->pool, 8, sizeof(size_t));
    }
    APR_ARRAY_PUSH(*list, size_t) = at;
}

/* The UTF-16 unit whose escape is at `at`, behind the backslash: 'd' for the
 * first half of a pair, 'c' for the second; 0 = anything else. */
static int half_at(const scan_t *scan, size_t at)
{
    const char *text = scan->data + at;

    if (scan->len < 5 || at > scan->len - 5 || text[0] != 'u'
        || (text[1] != 'd' && text[1] != 'D') || !apr_isxdigit(text[3])
        || !apr_isxdigit(text[4])) {
        return 0;
    }
    if (text[2] == '8' || text[2] == '9' || strchr("aAbB", text[2])) {
        return 'd';
    }
    return strchr("cCdDeEfF", text[2]) ? 'c' : 0;
}

/* From behind a backslash to behind its escape, or a part of it. */
static void skip_escape(scan_t *scan)
{
    int half = scan->mends ? half_at(scan, scan->at) : 0;
    size_t next = scan->at + 5;

    if (half == 'd' && next < scan->len && scan->data[next] == '\\'
        && half_at(scan, next + 1) == 'c') {
        scan->at = next + 6;
        return;
    }
    if (half) {
        note(scan, &scan->lone, scan->at + 1);
    }
    scan->at++;
}

/* From behind the opening quote to behind the closing one. */
static void skip_string(scan_t *scan)
{
    while (scan->at < scan->len) {
        char c = scan->data[scan->at++];

        if (c == '"') {
            return;
        }
        if (c == '\\' && scan->at < scan->len) {
            skip_escape(scan);
        }
    }
}

/* Whether a plain integer literal must become a REAL: one that 64 bits can't
 * hold, and -0, which an integer can't say. */
static int must_be_real(const char *text, size_t len)
{
    int negative = text[0] == '-';
    const char *limit =
        negative ? "9223372036854775808" : "9223372036854775807";

    text += negative;
    len -= (size_t)negative;
    if (negative && len == 1 && text[0] == '0') {
        return 1;
    }
    return len > 19 || (len == 19 && memcmp(text, limit, 19) > 0);
}

static void skip_number(scan_t *scan)
{
    size_t from = scan->at++;
    int plain = 1;

    for (; scan->at < scan->len; scan->at++) {
        char c = scan->data[scan->at];

        if (c >= '0' && c <= '9') {
            continue;
        }
        if (c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-') {
            break;
        }
        plain = 0;
    }
    if (plain && must_be_real(scan->data + from, scan->at - from)) {
        note(scan, &scan->reals, scan->at);
    }
}

/* Counts what a byte outside of strings and numbers begins or ends; NULL, or
 * what is too much. */
static const char *count(scan_t *scan, char c)
{
    if (c == '{' || c == '[') {
        scan->memory += c == '{' ? OBJECT_BYTES : ARRAY_BYTES;
        if (++scan->depth > scan->depth_max) {
            return "too many levels";
        }
    }
    else if (c == '}' || c == ']') {
        scan->depth--;
    }
    else if (c == ',' || c == ':') {
        scan->memory += VALUE_BYTES;
    }
    return scan->memory > MEMORY_MAX ? "too many values" : NULL;
}

/* One pass over the bytes for what jansson would not say or would say too
 * late: levels, values, a BOM, integers beyond 64 bits, NUL (it loses one that
 * it has looked at ahead, as in "1\0"). */
static ch_err_t *look_over(scan_t *scan)
{
    const char *nul = memchr(scan->data, '\0', scan->len);

    if (nul != NULL) {
        return fault_at(scan, (size_t)(nul - scan->data),
                        "U+0000 is not allowed");
    }
    if (scan->len >= sizeof(BOM) - 1 &&
        memcmp(scan->data, BOM, sizeof(BOM) - 1) == 0) {
        return fault_at(scan, 0, "a byte order mark is not allowed");
    }
    while (scan->at < scan->len) {
        char c = scan->data[scan->at];
        const char *fault;

        if (c == '-' || (c >= '0' && c <= '9')) {
            skip_number(scan);
            continue;
        }
        scan->at++;
        if (c == '"') {
            skip_string(scan);
            continue;
        }
        fault = count(scan, c);
        if (fault != NULL) {
            return fault_at(scan, scan->at - 1, fault);
        }
    }
    return NULL;
}

/* A copy in which lone surrogates are U+FFFD. */
static void mend(scan_t *scan)
{
    char *copy = apr_pmemdup(scan->pool, scan->data, scan->len);
    int i;

    for (i = 0; i < scan->lone->nelts; i++) {
        memcpy(copy + APR_ARRAY_IDX(scan->lone, i, size_t), REPLACEMENT,
               sizeof(REPLACEMENT) - 1);
    }
    scan->data = copy;
}

/* A copy in which every integer of `reals` has an exponent of 0, so that
 * jansson reads the nearest double of exactly that literal. */
static void make_real(scan_t *scan)
{
    size_t size = scan->len + 2 * (size_t)scan->reals->nelts;
    char *copy = apr_palloc(scan->pool, size);
    char *to = copy;
    size_t from = 0;
    int i;

    for (i = 0; i < scan->reals->nelts; i++) {
        size_t end = APR_ARRAY_IDX(scan->reals, i, size_t);

        memcpy(to, scan->data + from, end - from);
        to += end - from;
        *to++ = 'e';
        *to++ = '0';
        from = end;
    }
    memcpy(to, scan->data + from, scan->len - from);
    scan->data = copy;
    scan->len = size;
}

/* jansson's own words quote the body, which has no place in an answer. */
static const char *reason(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "the text ends too early";
    case json_error_end_of_input_expected:
        return "there is more after the end of the value";
    case json_error_invalid_utf8:
        return "not valid UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "U+0000 is not allowed";
    case json_error_duplicate_key:
        return "a key stands twice in one object";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_stack_overflow:
        return "too many levels";
    default:
        return "syntax error";
    }
}

ch_err_t *ch_json_parse(apr_pool_t *pool, const char *data, size_t len,
                        int depth_max, const ch_json_t **out)
{
    scan_t scan = {.pool = pool,
                   .data = len > 0 ? data : "",
                   .len = len,
                   .depth_max = depth_max};
    ch_err_t *err = look_over(&scan);
    json_error_t error;
    json_t *root;

    *out = NULL;
    if (err != NULL) {
        return err;
    }
    if (scan.reals != NULL) {
        make_real(&scan);
    }
    root = json_loadb(scan.data, scan.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (root == NULL) {
        return ch_err_make(pool, CH_E_MALFORMED_JSON, "line %d, column %d: %s",
                           error.line, error.column, reason(&error));
    }
    apr_pool_cleanup_register(pool, root, forget, apr_pool_cleanup_null);
    *out = out_of(root);
    return NULL;
}

const ch_json_t *ch_json_parse_mended(apr_pool_t *pool, const char *data,
                                      size_t len, int depth_max)
{
    scan_t scan = { .pool = pool,
                    .data = len > 0 ? data : "",
                    .len = len,
                    .depth_max = depth_max,
                    .mends = 1 };
    json_error_t error;
    json_t *root;

    if (look_over(&scan) != NULL) {
        return NULL;
    }
    if (scan.lone != NULL) {
        mend(&scan);
    }
    if (scan.reals != NULL) {
        make_real(&scan);
    }
    root = json_loadb(scan.data, scan.len, JSON_ALLOW_NUL | JSON_DECODE_ANY,
                      &error);
    if (root == NULL) {
        return NULL;
    }
    apr_pool_cleanup_register(pool, root, forget, apr_pool_cleanup_null);
    return out_of(root);
}

ch_json_e ch_json_type(const ch_json_t *value)
{
    switch (json_typeof(in(value))) {
    case JSON_OBJECT:
        return CH_JSON_OBJECT;
    case JSON_ARRAY:
        return CH_JSON_ARRAY;
    case JSON_STRING:
        return CH_JSON_STRING;
    case JSON_INTEGER:
        return CH_JSON_INT;
    case JSON_REAL:
        return CH_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return CH_JSON_BOOL;
    default:
        return CH_JSON_NULL;
    }
}

const char *ch_json_string(const ch_json_t *value, size_t *len)
{
    if (len != NULL) {
        *len = json_string_length(in(value));
    }
    return json_string_value(in(value));
}

apr_int64_t ch_json_int(const ch_json_t *value)
{
    return json_integer_value(in(value));
}

double ch_json_number(const ch_json_t *value)
{
    return json_number_value(in(value));
}

int ch_json_bool(const ch_json_t *value)
{
    return json_is_true(in(value));
}

size_t ch_json_size(const ch_json_t *value)
{
    return json_is_array(in(value)) ? json_array_size(in(value))
                                    : json_object_size(in(value));
}

const ch_json_t *ch_json_at(const ch_json_t *array, size_t index)
{
    return out_of(json_array_get(in(array), index));
}

const ch_json_t *ch_json_get(const ch_json_t *object, const char *key)
{
    return out_of(json_object_get(in(object), key));
}

int ch_json_next(const ch_json_t *object, void **iter, const char **key,
                 const ch_json_t **value)
{
    json_t *from = in_mutable(object);

    *iter = *iter == NULL ? json_object_iter(from)
                          : json_object_iter_next(from, *iter);
    if (*iter == NULL) {
        return 0;
    }
    *key = json_object_iter_key(*iter);
    *value = out_of(json_object_iter_value(*iter));
    return 1;
}

/* The shortest digits that read back as the same double, and always with a
 * mark of a REAL, so that a value keeps its type through text. */
static void dump_real(ch_buf_t *buf, double value)
{
    char text[40];
    char *comma;
    int digits;

    for (digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    /* Some module in this process may have set a locale with a comma. */
    comma = strchr(text, ',');
    if (comma != NULL) {
        *comma = '.';
    }
    ch_buf_puts(buf, text);
    if (strpbrk(text, ".e") == NULL) {
        CH_BUF_LIT(buf, ".0");
    }
}

static void dump(ch_buf_t *buf, const ch_json_t *value);

static void dump_array(ch_buf_t *buf, const ch_json_t *array)
{
    size_t i;

    ch_buf_putc(buf, '[');
    for (i = 0; i < ch_json_size(array); i++) {
        if (i > 0) {
            ch_buf_putc(buf, ',');
        }
        dump(buf, ch_json_at(array, i));
    }
    ch_buf_putc(buf, ']');
}

static void dump_object(ch_buf_t *buf, const ch_json_t *object)
{
    const ch_json_t *value;
    const char *key;
    void *iter = NULL;
    int first = 1;

    ch_buf_putc(buf, '{');
    while (ch_json_next(object, &iter, &key, &value)) {
        if (!first) {
            ch_buf_putc(buf, ',');
        }
        first = 0;
        ch_jsonw_cstr(buf, key);
        ch_buf_putc(buf, ':');
        dump(buf, value);
    }
    ch_buf_putc(buf, '}');
}

/* Goes no deeper than the levels that the parser let through. */
static void dump(ch_buf_t *buf, const ch_json_t *value)
{
    const char *text;
    size_t len;

    switch (ch_json_type(value)) {
    case CH_JSON_OBJECT:
        dump_object(buf, value);
        break;
    case CH_JSON_ARRAY:
        dump_array(buf, value);
        break;
    case CH_JSON_STRING:
        text = ch_json_string(value, &len);
        ch_jsonw_str(buf, text, len);
        break;
    case CH_JSON_INT:
        ch_jsonw_int(buf, ch_json_int(value));
        break;
    case CH_JSON_REAL:
        dump_real(buf, ch_json_number(value));
        break;
    case CH_JSON_BOOL:
        ch_jsonw_bool(buf, ch_json_bool(value));
        break;
    default:
        CH_BUF_LIT(buf, "null");
    }
}

const char *ch_json_dump(apr_pool_t *pool, const ch_json_t *value)
{
    ch_buf_t *buf = ch_buf_make(pool, 256, SIZE_MAX / 2);

    dump(buf, value);
    return ch_buf_cstr(buf);
}
