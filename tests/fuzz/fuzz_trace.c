/* Fuzzes what a client can have logged: traceparent, and the text of log
 * lines. */
#include "ch_fuzz.h"

#include <apr_strings.h>

#include "base/json.h"
#include "base/logline.h"
#include "base/trace.h"

static void check_line(apr_pool_t *pool, const char *text, size_t max)
{
    static ch_logline_t line;
    const ch_json_t *json;

    ch_logline_begin(&line, 0, "fuzz");
    ch_logline_text(&line, "a", text, max);
    ch_logline_text(&line, "b", text, CH_LOGLINE_MAX);
    ch_logline_int(&line, "c", 1);
    ch_logline_end(&line);
    CH_PROMISE(line.len < CH_LOGLINE_MAX);
    CH_PROMISE(strlen(line.data) == line.len);
    CH_PROMISE(!strpbrk(line.data, "\r\n"));
    CH_PROMISE(!ch_json_parse(pool, line.data, line.len, 1, &json));
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const char *text = apr_pstrmemdup(pool, (const char *)data, size);
    ch_trace_t trace, child;

    if (ch_trace_parse(text, &trace)) {
        CH_PROMISE(strlen(trace.trace_id) == CH_TRACE_ID_LEN);
        CH_PROMISE(strlen(trace.parent_id) == CH_TRACE_SPAN_LEN);
        CH_PROMISE(ch_trace_parse(ch_trace_child(pool, &trace), &child));
        CH_PROMISE(strcmp(trace.trace_id, child.trace_id) == 0);
        CH_PROMISE((trace.flags & 1) == child.flags);
    }
    check_line(pool, text, size % 64);
}
