/* What is said to Redis, in the protocol's form, and what its errors mean. */
#include "store/redis_conn.h"

#include <string.h>

#include <apr_strings.h>

/* --- commands -------------------------------------------------------------
 */

static void add_arg(ch_buf_t *buf, const char *data, size_t len)
{
    ch_buf_printf(buf, "$%" APR_SIZE_T_FMT "\r\n", len);
    ch_buf_add(buf, data, len);
    CH_BUF_LIT(buf, "\r\n");
}

static void add_script(ch_buf_t *buf, const ch_redis_script_t *script,
                       int plain)
{
    char number[12];

    if (plain) {
        add_arg(buf, "EVAL", 4);
        add_arg(buf, script->text, strlen(script->text));
    }
    else {
        add_arg(buf, "EVALSHA", 7);
        add_arg(buf, script->sha, strlen(script->sha));
    }
    apr_snprintf(number, sizeof(number), "%d", script->keys);
    add_arg(buf, number, strlen(number));
}

void ch_redis_format(ch_buf_t *buf, const ch_redis_command_t *command,
                     int plain)
{
    const ch_bytes_t *args = command->more ? command->more : command->args;
    int i;

    ch_buf_printf(buf, "*%d\r\n", command->count + (command->script ? 3 : 0));
    if (command->script) {
        add_script(buf, command->script, plain);
    }
    for (i = 0; i < command->count; i++) {
        add_arg(buf, args[i].data, args[i].len);
    }
}

/* --- errors ---------------------------------------------------------------
 */

static int starts(const ch_bytes_t *text, const char *with)
{
    size_t len = strlen(with);

    return text->len >= len && memcmp(text->data, with, len) == 0;
}

/* Where the code of an error begins; Redis before 7 puts its own words before
 * what a command in a script met. */
static ch_bytes_t error_code(const ch_redis_reply_t *reply)
{
    ch_bytes_t text = reply->text;
    const char *inner;

    if (starts(&text, "ERR Error running script")) {
        inner = strstr(text.data, " -");
        if (inner) {
            text.len -= (size_t)(inner + 2 - text.data);
            text.data = inner + 2;
        }
    }
    return text;
}

const char *ch_redis_useless(const ch_redis_reply_t *reply)
{
    static const struct {
        const char *code;
        const char *text;
    } rows[] = {
        { "NOAUTH", "it asks for a password" },
        { "WRONGPASS", "it refuses the password" },
        { "DENIED", "it is in protected mode" },
        { "LOADING", "it is loading its data" },
        { "READONLY", "it is a replica, which takes no writes" },
        { "MASTERDOWN", "it is a replica without its master" },
        { "MISCONF", "it cannot save its data and takes no writes" },
        { "NOREPLICAS", "it has too few replicas and takes no writes" },
        { "OOM", "its memory is full" },
        { "BUSY ", "it is busy with a script" },
        { "MOVED", "it is a node of a cluster" },
        { "CLUSTERDOWN", "it is a node of a cluster, which is down" },
    };
    ch_bytes_t code;
    size_t i;

    if (reply->kind != CH_REDIS_ERROR) {
        return NULL;
    }
    code = error_code(reply);
    for (i = 0; i < CH_COUNT(rows); i++) {
        if (starts(&code, rows[i].code)) {
            return rows[i].text;
        }
    }
    return NULL;
}
