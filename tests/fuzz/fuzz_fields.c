/* Fuzzes the validation of bodies: whatever JSON comes in, each fault is told
 * with a code, and each member that is filled keeps to its row. */
#include "ch_fuzz.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "web/request.h"

typedef struct {
    const char *str, *word, *text, *bytes, *secret, *email, *url, *color;
    const char *uuid, *special, *when, *object;
    apr_int64_t number, any;
    int choice, flag;
    const apr_array_header_t *list, *set;
} body_t;

static const char *const colours[] = { "red", "green", "blue" };

static int is_word(const char *text, size_t len)
{
    return len == strspn(text, "abcdefghijklmnopqrstuvwxyz");
}

#define ROW(member, json_type, ...)                                           \
    {                                                                         \
        .name = #member, CH_IN(body_t, member, json_type), __VA_ARGS__        \
    }

static const ch_field_t rows[] = {
    ROW(str, CH_T_STR, .min = 1, .max = 5, .flags = CH_REQUIRED),
    ROW(word, CH_T_STR, .min = 0, .max = 9, .valid = is_word, .pattern = "w",
        .def = "\"abc\""),
    ROW(text, CH_T_TEXT, .min = 0, .max = 6, .flags = CH_NULLABLE),
    ROW(bytes, CH_T_BYTES, .min = 1, .max = 6),
    ROW(secret, CH_T_SECRET, .min = 2, .max = 8),
    ROW(email, CH_T_EMAIL, .flags = CH_NULLABLE),
    ROW(url, CH_T_URL, .flags = CH_NULLABLE),
    ROW(color, CH_T_COLOR, .def = "\"#aabbcc\""),
    ROW(uuid, CH_T_UUID, .flags = CH_CREATE_ONLY),
    ROW(special, CH_T_UUID, .flags = CH_SPECIAL, .extra = "none"),
    ROW(when, CH_T_TIME, .flags = CH_NULLABLE),
    ROW(object, CH_T_OBJECT, .max = 24, .def = "{}"),
    ROW(number, CH_T_INT, .min = -5, .max = 100, .def = "7"),
    ROW(any, CH_T_INT, .min = APR_INT64_MIN, .max = APR_INT64_MAX,
        .flags = CH_UPDATE_ONLY),
    ROW(choice, CH_T_ENUM, CH_CHOICES(colours), .def = "\"green\"",
        .flags = CH_NULLABLE),
    ROW(flag, CH_T_BOOL, .def = "true"),
    ROW(list, CH_T_STRS, .min = 1, .max = 3, .item_min = 0, .item_max = 4),
    ROW(set, CH_T_STRS, .min = 0, .max = 3, .item_min = 1, .item_max = 4,
        .flags = CH_UNIQUE | CH_REQUIRED, .def = "[]"),
};

static const ch_fields_t table = CH_FIELDS(body_t, rows);

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = "/api/v1/x", .body = &table },
    { .method = CH_PUT, .path = "/api/v1/x", .body = &table },
};

/* --- what a member may hold -----------------------------------------------
 */

static int fits(apr_int64_t value, apr_int64_t min, apr_int64_t max)
{
    return value >= min && value <= max;
}

static void check_line(const char *text, apr_int64_t min, apr_int64_t max)
{
    size_t len = strlen(text);
    ch_bytes_t trimmed = ch_text_trim(text, len);

    CH_PROMISE(trimmed.len == len);
    CH_PROMISE(fits((apr_int64_t)ch_text_count(text, len), min, max));
    CH_PROMISE(!ch_text_has_control(text, len, 0));
}

static void check_object(apr_pool_t *pool, const char *text, apr_int64_t max)
{
    const ch_json_t *json;

    CH_PROMISE((apr_int64_t)strlen(text) <= max);
    CH_PROMISE(ch_json_parse(pool, text, strlen(text), 32, &json) == NULL);
    CH_PROMISE(ch_json_type(json) == CH_JSON_OBJECT);
}

static void check_text(apr_pool_t *pool, const ch_field_t *row,
                       const char *text)
{
    size_t len = strlen(text);
    apr_time_t when;

    CH_PROMISE(ch_text_valid(text, len));
    switch (row->type) {
    case CH_T_STR:
        check_line(text, row->min, row->max);
        CH_PROMISE(!row->valid || row->valid(text, len));
        break;
    case CH_T_TEXT:
        CH_PROMISE(
            fits((apr_int64_t)ch_text_count(text, len), row->min, row->max));
        CH_PROMISE(!ch_text_has_control(text, len, 1));
        break;
    case CH_T_BYTES:
        CH_PROMISE(!ch_text_has_control(text, len, 1));
        CH_PROMISE(fits((apr_int64_t)len, row->min, row->max));
        break;
    case CH_T_SECRET:
        CH_PROMISE(fits((apr_int64_t)len, row->min, row->max));
        break;
    case CH_T_EMAIL:
        CH_PROMISE(strcmp(ch_text_lower(pool, text, len), text) == 0);
        CH_PROMISE(strchr(text, '@') != NULL && len <= 2 * 254);
        break;
    case CH_T_URL:
        CH_PROMISE(ch_text_is_url(text, len));
        break;
    case CH_T_COLOR:
        CH_PROMISE(len == 7 && text[0] == '#');
        break;
    case CH_T_UUID:
        CH_PROMISE(
            ch_uuid_parse(text, len, NULL)
            || ((row->flags & CH_SPECIAL) && strcmp(text, row->extra) == 0));
        break;
    case CH_T_TIME:
        CH_PROMISE(len == 27 && ch_clock_parse(text, len, &when));
        break;
    default:
        check_object(pool, text, row->max);
        break;
    }
}

static void check_list(const ch_field_t *row, const apr_array_header_t *list)
{
    int i, k;

    CH_PROMISE(fits(list->nelts, row->min, row->max));
    for (i = 0; i < list->nelts; i++) {
        const char *item = APR_ARRAY_IDX(list, i, const char *);

        check_line(item, row->item_min, row->item_max);
        for (k = 0; k < i && (row->flags & CH_UNIQUE); k++) {
            CH_PROMISE(strcmp(item, APR_ARRAY_IDX(list, k, const char *))
                       != 0);
        }
    }
}

static void check_member(apr_pool_t *pool, const ch_field_t *row,
                         const void *body, int is_null)
{
    const void *member = (const char *)body + row->offset;
    int number;

    switch (row->type) {
    case CH_T_INT:
        CH_PROMISE(is_null
                   || fits(*(const apr_int64_t *)member, row->min, row->max));
        break;
    case CH_T_BOOL:
    case CH_T_ENUM:
        number = *(const int *)member;
        CH_PROMISE(number >= 0
                   && number
                          < (row->type == CH_T_BOOL ? 2 : row->choice_count));
        break;
    case CH_T_STRS:
        check_list(row, *(const apr_array_header_t *const *)member);
        break;
    default:
        CH_PROMISE(is_null == (*(const char *const *)member == NULL));
        if (!is_null) {
            check_text(pool, row, *(const char *const *)member);
        }
        break;
    }
}

/* --- faults ---------------------------------------------------------------
 */

static int is_detail_code(const char *code)
{
    int i;

    for (i = 0; i < CH_D__COUNT; i++) {
        if (strcmp(ch_detail_name((ch_detail_e)i), code) == 0) {
            return 1;
        }
    }
    return 0;
}

static void check_faults(const ch_err_t *err, int is_object)
{
    int i;

    CH_PROMISE(err->code == CH_E_VALIDATION_ERROR && err->details != NULL);
    CH_PROMISE(fits(err->details->nelts, 1, CH_DETAILS_MAX));
    for (i = 0; i < err->details->nelts; i++) {
        const ch_detail_t *detail =
            &APR_ARRAY_IDX(err->details, i, ch_detail_t);

        CH_PROMISE(is_detail_code(detail->code));
        CH_PROMISE(*detail->message != '\0');
        CH_PROMISE(is_object == (detail->field != NULL));
    }
}

/* Whether a fault is about a row or one of its elements. */
static int has_fault(const ch_err_t *err, const char *name)
{
    size_t len = strlen(name);
    int i;

    if (err && err->details->nelts == CH_DETAILS_MAX) {
        return 1; /* perhaps one that is not told any more */
    }
    for (i = 0; err && i < err->details->nelts; i++) {
        const char *field = APR_ARRAY_IDX(err->details, i, ch_detail_t).field;

        if (field && strncmp(field, name, len) == 0
            && (field[len] == '\0' || field[len] == '[')) {
            return 1;
        }
    }
    return 0;
}

static void check_route(apr_pool_t *pool, const ch_route_t *route,
                        const ch_json_t *json)
{
    ch_req_t *rq = apr_pcalloc(pool, sizeof(*rq));
    ch_err_t *err;
    int i;

    rq->pool = pool;
    rq->route = route;
    rq->in = apr_table_make(pool, 1);
    rq->json = json;
    err = ch_validate_stage(rq);
    if (err) {
        check_faults(err, ch_json_type(json) == CH_JSON_OBJECT);
    }
    for (i = 0; i < table.count; i++) {
        int is_given = (int)(rq->given >> i & 1);
        int is_null = (int)(rq->nulls >> i & 1);

        CH_PROMISE(!is_null
                   || (is_given && (table.rows[i].flags & CH_NULLABLE)));
        if (is_given && !has_fault(err, table.rows[i].name)) {
            check_member(pool, &table.rows[i], rq->body, is_null);
        }
    }
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const ch_json_t *json;
    size_t i;

    if (ch_json_parse(pool, (const char *)data, size, CH_JSON_DEPTH_MAX, &json)
        != NULL) {
        return;
    }
    for (i = 0; i < CH_COUNT(routes); i++) {
        check_route(pool, &routes[i], json);
    }
}
