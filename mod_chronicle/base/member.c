/* Writes members of JSON objects and puts the commas between them. */
#include "base/member.h"

#include <string.h>

#include "base/jsonw.h"

void ch_member(ch_buf_t *buf, const char *name)
{
    if (buf->len && !strchr("{[:", buf->data[buf->len - 1])) {
        ch_buf_putc(buf, ',');
    }
    if (name) {
        ch_jsonw_cstr(buf, name);
        ch_buf_putc(buf, ':');
    }
}

void ch_member_text(ch_buf_t *buf, const char *name, const char *text)
{
    ch_member(buf, name);
    ch_jsonw_cstr(buf, text);
}

void ch_member_int(ch_buf_t *buf, const char *name, apr_int64_t value)
{
    ch_member(buf, name);
    ch_jsonw_int(buf, value);
}

void ch_member_time(ch_buf_t *buf, const char *name, apr_time_t when)
{
    ch_member(buf, name);
    ch_jsonw_time(buf, when);
}

void ch_member_json(ch_buf_t *buf, const char *name, const char *json)
{
    ch_member(buf, name);
    ch_buf_puts(buf, json);
}

void ch_member_open(ch_buf_t *buf, const char *name)
{
    ch_member(buf, name);
    ch_buf_putc(buf, '{');
}

void ch_member_close(ch_buf_t *buf)
{
    ch_buf_putc(buf, '}');
}
