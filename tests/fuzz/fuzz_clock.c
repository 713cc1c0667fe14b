/* Fuzzes the reading of times: RFC 3339 text must mean what is written back,
 * and whatever Postgres sends must become JSON. */
#include "ch_fuzz.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/text.h"

static void check_json(apr_pool_t *pool, const ch_buf_t *buf)
{
    const ch_json_t *json;

    CH_PROMISE(ch_json_parse(pool, buf->data, buf->len, 2, &json) == NULL);
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    ch_buf_t *time = ch_buf_make(pool, 0, 1 << 24);
    ch_buf_t *array = ch_buf_make(pool, 0, 1 << 24);
    apr_time_t when;
    apr_time_t back;

    if (ch_clock_parse(text, size, &when)) {
        const char *out = ch_clock_text(pool, when);

        CH_PROMISE(when >= 0);
        CH_PROMISE(strlen(out) == CH_TS_LEN);
        CH_PROMISE(ch_clock_parse(out, CH_TS_LEN, &back));
        CH_PROMISE(back == when - when % 1000);
    }
    ch_jsonw_pg_time(time, text, size);
    ch_jsonw_pg_array(array, text, size);
    if (ch_text_valid(text, size) && memchr(text, '\0', size) == NULL) {
        check_json(pool, time);
        check_json(pool, array);
    }
}
