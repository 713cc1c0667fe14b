/* Writes conversations as Markdown (API.md 11). */
#include "api/transcript.h"

#include <string.h>

#include "base/json.h"
#include "base/jsonw.h"

/* Tags as PostgreSQL writes them come through JSON, which knows its quotes. */
static void write_tags(ch_buf_t *buf, const char *array)
{
    ch_buf_t *text = ch_buf_make(buf->pool, 256, CH_BODY_MAX);
    const ch_json_t *tags;
    size_t i, len;

    ch_jsonw_pg_array(text, array, strlen(array));
    if (ch_json_parse(buf->pool, ch_buf_cstr(text), text->len, 2, &tags)) {
        return;
    }
    for (i = 0; i < ch_json_size(tags); i++) {
        ch_buf_puts(buf, i ? ", " : "- Tags: ");
        ch_buf_puts(buf, ch_json_string(ch_json_at(tags, i), &len));
    }
    if (i) {
        ch_buf_putc(buf, '\n');
    }
}

static void write_time(ch_buf_t *buf, const char *time)
{
    ch_buf_t *text = ch_buf_make(buf->pool, 64, 64);

    ch_jsonw_pg_time(text, time, strlen(time));
    ch_buf_add(buf, text->data + 1, text->len - 2); /* without quotes */
}

void ch_transcript_head(ch_buf_t *buf, const ch_rows_t *rows, int row)
{
    const char *description = ch_rows_text(rows, row, "description");
    const char *model = ch_rows_text(rows, row, "model");

    ch_buf_printf(buf, "# %s\n\n", ch_rows_text(rows, row, "title"));
    if (description && *description) {
        ch_buf_puts(buf, description);
        CH_BUF_LIT(buf, "\n\n");
    }
    ch_buf_printf(buf, "- Category: %s\n",
                  ch_rows_text(rows, row, "category"));
    write_tags(buf, ch_rows_text(rows, row, "tags"));
    if (model) {
        ch_buf_printf(buf, "- Model: %s\n", model);
    }
    CH_BUF_LIT(buf, "- Created: ");
    write_time(buf, ch_rows_text(rows, row, "created_at"));
    ch_buf_putc(buf, '\n');
}

void ch_transcript_message(ch_buf_t *buf, const ch_rows_t *rows, int row)
{
    const char *role = ch_rows_text(rows, row, "role");

    ch_buf_printf(buf, "\n## %c%s\n\n", *role - 'a' + 'A', role + 1);
    ch_buf_puts(buf, ch_rows_text(rows, row, "content"));
    ch_buf_putc(buf, '\n');
}
