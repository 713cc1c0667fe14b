/* Reads a conversation of Claude's export: a list of messages. */
#include "api/import.h"

#include <string.h>

#include <apr_strings.h>

/* What the export puts into `text` where its app would show a tool's work. */
#define NOT_SHOWN "This block is not supported on your current device yet."

/* The text blocks; what was thought, asked of tools and answered by them is
 * left out. */
static void push_blocks(apr_array_header_t *pieces, const ch_json_t *message)
{
    const ch_json_t *blocks =
        ch_import_get(message, "content", CH_JSON_ARRAY);
    size_t i, count = blocks ? ch_json_size(blocks) : 0;

    for (i = 0; i < count; i++) {
        const ch_json_t *block = ch_json_at(blocks, i);

        if (strcmp(ch_import_text(block, "type").data, "text") == 0) {
            ch_import_push(pieces, ch_import_text(block, "text"));
        }
    }
}

/* Attached files of which the export holds the text: below the message, each
 * after its name. */
static void push_attachments(apr_array_header_t *pieces,
                             const ch_json_t *message)
{
    const ch_json_t *files =
        ch_import_get(message, "attachments", CH_JSON_ARRAY);
    size_t i, count = files ? ch_json_size(files) : 0;

    for (i = 0; i < count; i++) {
        const ch_json_t *file = ch_json_at(files, i);
        ch_bytes_t text = ch_import_text(file, "extracted_content");

        if (!text.len) {
            continue;
        }
        if (pieces->nelts) {
            APR_ARRAY_PUSH(pieces, ch_bytes_t) = (ch_bytes_t){ "", 0 };
        }
        ch_import_push(pieces, ch_import_text(file, "file_name"));
        ch_import_push(pieces, text);
    }
}

static const char *content_of(apr_pool_t *pool, const ch_json_t *message)
{
    apr_array_header_t *pieces = apr_array_make(pool, 4, sizeof(ch_bytes_t));
    ch_bytes_t text = ch_import_text(message, "text");

    if (strstr(text.data, NOT_SHOWN)) {
        push_blocks(pieces, message);
    }
    if (!pieces->nelts) {
        ch_import_push(pieces, text);
    }
    if (!pieces->nelts || !ch_import_join(pool, pieces)) {
        pieces->nelts = 0;
        push_blocks(pieces, message);
    }
    push_attachments(pieces, message);
    return ch_import_join(pool, pieces);
}

static const char *role_of(const ch_json_t *message)
{
    const char *sender = ch_import_text(message, "sender").data;

    if (strcmp(sender, "human") == 0 || strcmp(sender, "user") == 0) {
        return "user";
    }
    return strcmp(sender, "assistant") == 0 ? "assistant" : NULL;
}

void ch_import_claude(apr_pool_t *pool, const ch_json_t *value,
                      ch_import_talk_t *out)
{
    const ch_json_t *list =
        ch_import_get(value, "chat_messages", CH_JSON_ARRAY);
    size_t i, count = ch_json_size(list);

    out->provider = "anthropic";
    out->model = ch_import_line(pool, value, "model", CH_IMPORT_MODEL_MAX);
    out->created_at = ch_import_time(pool, value, "created_at");
    for (i = 0; i < count && out->messages->nelts <= CH_IMPORT_MESSAGES_MAX;
         i++) {
        const ch_json_t *one = ch_json_at(list, i);
        ch_import_message_t message = { .role = role_of(one) };

        message.content = message.role ? content_of(pool, one) : NULL;
        if (message.content) {
            message.created_at = ch_import_time(pool, one, "created_at");
            APR_ARRAY_PUSH(out->messages, ch_import_message_t) = message;
        }
    }
}
