/* Fuzzes conversations of exports, our own too: whatever JSON comes in,
 * what is taken of it can be stored. */
#include "ch_fuzz.h"

#include "api/import.h"
#include "base/clock.h"
#include "base/text.h"

static void check_time(const char *text)
{
    apr_time_t when;

    CH_PROMISE(!text || ch_clock_parse(text, strlen(text), &when));
}

static void check_line(const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;

    if (text) {
        CH_PROMISE(len > 0 && ch_text_valid(text, len));
        CH_PROMISE(ch_text_count(text, len) <= max);
        CH_PROMISE(!ch_text_has_control(text, len, 0));
    }
}

static void check_message(const ch_import_message_t *message)
{
    size_t len = strlen(message->content);

    CH_PROMISE(len > 0 && ch_text_valid(message->content, len));
    CH_PROMISE(ch_text_count(message->content, len) <= CH_IMPORT_CONTENT_MAX);
    CH_PROMISE(!ch_text_has_control(message->content, len, 1));
    CH_PROMISE(strcmp(message->role, "user") == 0
               || strcmp(message->role, "assistant") == 0
               || strcmp(message->role, "tool") == 0
               || (message->id && strcmp(message->role, "system") == 0));
    check_line(message->model, CH_IMPORT_MODEL_MAX);
    check_time(message->created_at);
}

static void check(apr_pool_t *pool, const ch_json_t *value,
                  ch_import_e format)
{
    ch_import_talk_t talk, again;
    const char *fault = ch_import_read(pool, value, format, &talk);
    int i;

    check_line(talk.title, CH_IMPORT_TITLE_MAX);
    check_line(talk.model, CH_IMPORT_MODEL_MAX);
    check_time(talk.created_at);
    if (fault) {
        CH_PROMISE((talk.shape == CH_IMPORT_AUTO) == (talk.title == NULL)
                   || talk.shape == CH_IMPORT_CHRONICLE);
        return;
    }
    CH_PROMISE(format == CH_IMPORT_AUTO || talk.shape == format);
    CH_PROMISE(talk.title && talk.slug);
    CH_PROMISE(talk.provider || talk.shape == CH_IMPORT_CHRONICLE);
    CH_PROMISE(talk.messages->nelts >= 1
               && talk.messages->nelts <= CH_IMPORT_MESSAGES_MAX);
    check_line(talk.source_id, CH_IMPORT_ID_MAX);
    for (i = 0; i < talk.messages->nelts; i++) {
        check_message(&APR_ARRAY_IDX(talk.messages, i, ch_import_message_t));
    }
    CH_PROMISE(!ch_import_read(pool, value, format, &again));
    CH_PROMISE(strcmp(talk.source_id, again.source_id) == 0);
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const ch_json_t *value = ch_json_parse_mended(
        pool, (const char *)data, size, CH_IMPORT_DEPTH_MAX);

    if (value) {
        check(pool, value, CH_IMPORT_AUTO);
        check(pool, value, CH_IMPORT_CHATGPT);
        check(pool, value, CH_IMPORT_CLAUDE);
    }
}
