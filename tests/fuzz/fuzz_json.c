/* Fuzzes the JSON parser: what it takes it must be able to write and to take
 * again as the same, and what it refuses it must explain. */
#include "ch_fuzz.h"

#include "base/json.h"
#include "base/text.h"

#define DEPTH_MAX 8

static int depth_of(const ch_json_t *value)
{
    const ch_json_t *child;
    const char *key;
    void *iter = NULL;
    int deepest = 0;
    size_t i;

    if (ch_json_type(value) == CH_JSON_ARRAY) {
        for (i = 0; i < ch_json_size(value); i++) {
            int depth = depth_of(ch_json_at(value, i));

            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    if (ch_json_type(value) != CH_JSON_OBJECT) {
        return 0;
    }
    while (ch_json_next(value, &iter, &key, &child)) {
        int depth = depth_of(child);

        CH_PROMISE(ch_json_get(value, key) == child);
        CH_PROMISE(ch_text_valid(key, strlen(key)));
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const ch_json_t *json;
    const char *once;
    ch_err_t *err =
        ch_json_parse(pool, (const char *)data, size, DEPTH_MAX, &json);

    if (err != NULL) {
        CH_PROMISE(json == NULL);
        CH_PROMISE(err->code == CH_E_MALFORMED_JSON);
        CH_PROMISE(strncmp(err->message, "line ", 5) == 0);
        return;
    }
    CH_PROMISE(ch_text_valid((const char *)data, size));
    CH_PROMISE(depth_of(json) <= DEPTH_MAX);
    once = ch_json_dump(pool, json);
    CH_PROMISE(ch_json_parse(pool, once, strlen(once), DEPTH_MAX, &json) ==
               NULL);
    CH_PROMISE(strcmp(once, ch_json_dump(pool, json)) == 0);
}
