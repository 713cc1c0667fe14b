/* Finds out what an exported conversation looks like and gives it the form in
 * which it is stored: texts without what the API does not take, and an id. */
#include "api/import.h"

#include <string.h>

#include <apr_strings.h>

#include "api/conversations.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/seal.h"
#include "base/text.h"

#define ELLIPSIS "\xE2\x80\xA6"
#define YEAR_10000 253402300800.0 /* seconds since 1970 */

const char *const ch_import_names[] = { "auto", "chatgpt", "claude" };

/* --- members ---------------------------------------------------------- */

const ch_json_t *ch_import_get(const ch_json_t *value, const char *key,
                               ch_json_e type)
{
    const ch_json_t *member = NULL;

    if (value && ch_json_type(value) == CH_JSON_OBJECT) {
        member = ch_json_get(value, key);
    }
    return member && ch_json_type(member) == type ? member : NULL;
}

ch_bytes_t ch_import_text(const ch_json_t *value, const char *key)
{
    const ch_json_t *member = ch_import_get(value, key, CH_JSON_STRING);
    ch_bytes_t text = { "", 0 };

    if (member) {
        text.data = ch_json_string(member, &text.len);
    }
    return text;
}

/* Whether the API takes no such byte in a text. */
static int unwanted(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t' && c != '\n' && c != '\r')
           || c == 0x7F;
}

/* Copies what is wanted of len bytes; returns how many those are. */
static size_t copy_clean(char *to, const char *from, size_t len)
{
    size_t i, count = 0;

    for (i = 0; i < len; i++) {
        to[count] = from[i];
        count += !unwanted(from[i]);
    }
    return count;
}

const char *ch_import_line(apr_pool_t *pool, const ch_json_t *value,
                           const char *key, size_t max)
{
    ch_bytes_t text = ch_import_text(value, key);
    char *line = apr_palloc(pool, text.len + 1);
    size_t i;

    text.len = copy_clean(line, text.data, text.len);
    for (i = 0; i < text.len; i++) {
        if (line[i] == '\t' || line[i] == '\n' || line[i] == '\r') {
            line[i] = ' ';
        }
    }
    text = ch_text_trim(line, text.len);
    text.len = ch_text_prefix(text.data, text.len, max);
    text = ch_text_trim(text.data, text.len);
    return text.len ? apr_pstrmemdup(pool, text.data, text.len) : NULL;
}

const char *ch_import_time(apr_pool_t *pool, const ch_json_t *value,
                           const char *key)
{
    const ch_json_t *member = ch_import_get(value, key, CH_JSON_REAL);
    apr_time_t when = 0;
    double seconds;
    ch_bytes_t text;

    member = member ? member : ch_import_get(value, key, CH_JSON_INT);
    if (!member) {
        text = ch_import_text(value, key);
        if (!ch_clock_parse(text.data, text.len, &when)) {
            return NULL;
        }
        return when >= APR_USEC_PER_SEC ? ch_clock_text(pool, when) : NULL;
    }
    seconds = ch_json_number(member);
    if (!(seconds >= 1 && seconds < YEAR_10000)) {
        return NULL;
    }
    /* rounded: .123 of a double is a little less than that */
    when = (apr_time_t)(seconds * APR_USEC_PER_SEC + 0.5);
    return ch_clock_text(pool, when);
}

/* --- contents --------------------------------------------------------- */

void ch_import_push(apr_array_header_t *pieces, ch_bytes_t text)
{
    if (text.len) {
        APR_ARRAY_PUSH(pieces, ch_bytes_t) = text;
    }
}

const char *ch_import_join(apr_pool_t *pool, const apr_array_header_t *pieces)
{
    size_t len = sizeof(ELLIPSIS), at = 0;
    char *text;
    int i;

    for (i = 0; i < pieces->nelts; i++) {
        len += APR_ARRAY_IDX(pieces, i, ch_bytes_t).len + 1;
    }
    text = apr_palloc(pool, len);
    for (i = 0; i < pieces->nelts; i++) {
        const ch_bytes_t *piece = &APR_ARRAY_IDX(pieces, i, ch_bytes_t);

        if (i > 0) {
            text[at++] = '\n';
        }
        at += copy_clean(text + at, piece->data, piece->len);
    }
    if (at > CH_IMPORT_CONTENT_MAX
        && ch_text_count(text, at) > CH_IMPORT_CONTENT_MAX) {
        at = ch_text_prefix(text, at, CH_IMPORT_CONTENT_MAX - 1);
        memcpy(text + at, ELLIPSIS, sizeof(ELLIPSIS) - 1);
        at += sizeof(ELLIPSIS) - 1;
    }
    text[at] = '\0';
    return ch_text_trim(text, at).len ? text : NULL;
}

/* --- conversations ---------------------------------------------------- */

ch_import_e ch_import_shape(const ch_json_t *value)
{
    if (ch_import_get(value, "mapping", CH_JSON_OBJECT)) {
        return CH_IMPORT_CHATGPT;
    }
    if (ch_import_get(value, "chat_messages", CH_JSON_ARRAY)) {
        return CH_IMPORT_CLAUDE;
    }
    if (ch_import_get(value, "messages", CH_JSON_ARRAY)
        && ch_import_get(value, "slug", CH_JSON_STRING)
        && ch_import_get(value, "visibility", CH_JSON_STRING)) {
        return CH_IMPORT_CHRONICLE;
    }
    return CH_IMPORT_AUTO;
}

int ch_import_fits(const ch_json_t *value, ch_import_e format)
{
    ch_import_e shape = ch_import_shape(value);

    return shape != CH_IMPORT_AUTO
           && (format == CH_IMPORT_AUTO || format == shape);
}

/* The id that a conversation has there. One that would not fit, or that holds
 * what our texts may not, is known by its hash. */
static const char *own_id(apr_pool_t *pool, const ch_json_t *value,
                          const char *key)
{
    ch_bytes_t id = ch_import_text(value, key);

    if (!id.len) {
        return NULL;
    }
    if (id.len > CH_IMPORT_ID_MAX || strlen(id.data) != id.len
        || ch_text_has_control(id.data, id.len, 0)) {
        return ch_seal_sha256_hex(pool, id.data, id.len);
    }
    return apr_pstrmemdup(pool, id.data, id.len);
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 1;
}

static char *put(char *at, const char *text)
{
    size_t len = size_of(text);

    memcpy(at, text ? text : "", len);
    return at + len;
}

/* An id for one that has none: the same conversation gets the same. */
static const char *made_id(apr_pool_t *pool, const ch_import_talk_t *talk)
{
    size_t len = size_of(talk->created_at);
    char *text, *at;
    int i;

    for (i = 0; i < talk->messages->nelts; i++) {
        const ch_import_message_t *message =
            &APR_ARRAY_IDX(talk->messages, i, ch_import_message_t);

        len += size_of(message->role) + size_of(message->content);
    }
    text = apr_palloc(pool, len);
    at = put(text, talk->created_at);
    for (i = 0; i < talk->messages->nelts; i++) {
        const ch_import_message_t *message =
            &APR_ARRAY_IDX(talk->messages, i, ch_import_message_t);

        at = put(put(at, message->role), message->content);
    }
    return ch_seal_sha256_hex(pool, text, len);
}

static const char *title_of(apr_pool_t *pool, const ch_json_t *value,
                            const char *key)
{
    const char *title = ch_import_line(pool, value, key, CH_IMPORT_TITLE_MAX);

    return title ? title : CH_IMPORT_UNTITLED;
}

static void read_chatgpt(apr_pool_t *pool, const ch_json_t *value,
                         ch_import_talk_t *out)
{
    out->source = ch_import_names[CH_IMPORT_CHATGPT];
    out->title = title_of(pool, value, "title");
    out->source_id = own_id(pool, value, "id");
    if (!out->source_id) {
        out->source_id = own_id(pool, value, "conversation_id");
    }
    ch_import_chatgpt(pool, value, out);
}

static void read_claude(apr_pool_t *pool, const ch_json_t *value,
                        ch_import_talk_t *out)
{
    out->source = ch_import_names[CH_IMPORT_CLAUDE];
    out->title = title_of(pool, value, "name");
    out->source_id = own_id(pool, value, "uuid");
    ch_import_claude(pool, value, out);
}

const char *ch_import_read(apr_pool_t *pool, const ch_json_t *value,
                           ch_import_e format, ch_import_talk_t *out)
{
    memset(out, 0, sizeof(*out));
    if (!ch_import_fits(value, format)) {
        return "unrecognised shape";
    }
    out->shape = ch_import_shape(value);
    out->category = ch_conversation_categories[0];
    out->visibility = ch_conversation_visibilities[0];
    out->tags = apr_array_make(pool, 1, sizeof(const char *));
    out->version = 1;
    out->messages = apr_array_make(pool, 16, sizeof(ch_import_message_t));
    if (out->shape == CH_IMPORT_CHRONICLE) {
        return ch_import_chronicle(pool, value, out);
    }
    if (out->shape == CH_IMPORT_CHATGPT) {
        read_chatgpt(pool, value, out);
    }
    else {
        read_claude(pool, value, out);
    }
    if (!out->messages->nelts) {
        return "has no messages";
    }
    if (out->messages->nelts > CH_IMPORT_MESSAGES_MAX) {
        return "has more than 5000 messages";
    }
    if (!out->source_id) {
        out->source_id = made_id(pool, out);
    }
    out->slug = ch_text_slug(pool, out->title, CH_CONVERSATION_SLUG_CUT,
                             "conversation");
    return NULL;
}
