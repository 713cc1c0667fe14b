/* Fuzzes the items that a client pushes: whatever JSON comes in, a good one is
 * written so that reading it again gives the same. */
#include "ch_fuzz.h"

#include "api/sync.h"
#include "base/json.h"

static const char *write_item(apr_pool_t *pool, const ch_item_t *item,
                              size_t max)
{
    ch_buf_t *buf = ch_buf_make(pool, 512, max);

    ch_item_write(buf, item);
    CH_PROMISE(!buf->overflow);
    return ch_buf_cstr(buf);
}

static void read_item(apr_pool_t *pool, const ch_fields_t *fields,
                      const ch_json_t *json, ch_item_t *item)
{
    item->fields = fields;
    item->prefix = "notes[0].";
    ch_item_bind(pool, json, item);
    ch_item_require(pool, item, "field");
}

static void check(apr_pool_t *pool, const ch_fields_t *fields,
                  const ch_json_t *json, size_t size)
{
    ch_item_t first = { 0 }, second = { 0 };
    const ch_json_t *again;
    const char *text;

    read_item(pool, fields, json, &first);
    CH_PROMISE((first.nulls & ~first.given) == 0);
    if (first.faults) {
        CH_PROMISE(first.faults->code == CH_E_VALIDATION_ERROR);
        return;
    }
    /* a byte becomes six at most, a time is longer by its fraction */
    text = write_item(pool, &first, 6 * size + 256);
    CH_PROMISE(ch_json_parse(pool, text, strlen(text), CH_JSON_DEPTH_MAX,
                             &again)
               == NULL);
    read_item(pool, fields, again, &second);
    CH_PROMISE(second.faults == NULL);
    CH_PROMISE(first.given == second.given && first.nulls == second.nulls);
    CH_PROMISE(strcmp(write_item(pool, &second, 6 * size + 256), text) == 0);
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const ch_json_t *json;

    if (ch_json_parse(pool, (const char *)data, size, CH_JSON_DEPTH_MAX, &json)
            != NULL
        || ch_json_type(json) != CH_JSON_OBJECT) {
        return;
    }
    check(pool, &ch_sync_note_in, json, size);
    check(pool, &ch_sync_folder_in, json, size);
}
