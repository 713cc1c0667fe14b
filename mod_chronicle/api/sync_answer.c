/* Answers a push: what became of each item, and both sides of conflicts. */
#include "api/sync_push.h"

#include <string.h>

#include "api/notes.h"
#include "base/jsonw.h"
#include "store/sql_gen.h"
#include "web/reply.h"

/* --- tables ------------------------------------------------------------- */

static const char *const statuses[] = { "applied", "conflict", "rejected" };

static const ch_field_t detail_rows[] = {
    { .name = "field", .type = CH_T_STR, .flags = CH_NULLABLE,
      .doc = "Field of the item" },
    { .name = "message", .type = CH_T_STR, .doc = "What is wrong" },
    { .name = "code", .type = CH_T_STR, .doc = "The same for programs" },
};

static const ch_fields_t detail_out = {
    .name = "SyncFault", .rows = detail_rows,
    .count = (int)CH_COUNT(detail_rows),
};

static const ch_field_t error_rows[] = {
    { .name = "code", .type = CH_T_STR, .doc = "Code" },
    { .name = "message", .type = CH_T_STR, .doc = "What it means" },
    { .name = "details", .type = CH_T_JSON, .nested = &detail_out,
      .doc = "Faults of the item" },
};

static const ch_fields_t error_out = {
    .name = "SyncError", .rows = error_rows,
    .count = (int)CH_COUNT(error_rows),
};

#define RESULT_ROWS(shown)                                                    \
    { .name = "id", .type = CH_T_JSON, .flags = CH_NULLABLE,                  \
      .doc = "As it was sent" },                                              \
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(statuses),              \
      .doc = "What became of it" },                                           \
    { .name = "version", .type = CH_T_INT, .flags = CH_NULLABLE,              \
      .doc = "The server's version now; 0: there is no such object" },        \
    { .name = "unchanged", .type = CH_T_BOOL,                                 \
      .doc = "It was so already" },                                           \
    { .name = "item", .type = CH_T_NEST, .flags = CH_NULLABLE,                \
      .nested = shown, .doc = "The object, when applied" },                   \
    { .name = "error", .type = CH_T_NEST, .flags = CH_NULLABLE,               \
      .nested = &error_out, .doc = "Why it was rejected" }

static const ch_field_t note_result_rows[] = {
    RESULT_ROWS(&ch_sync_note_out)
};

static const ch_fields_t note_result = {
    .name = "SyncNoteResult", .rows = note_result_rows,
    .count = (int)CH_COUNT(note_result_rows),
};

static const ch_field_t folder_result_rows[] = {
    RESULT_ROWS(&ch_sync_folder_out)
};

static const ch_fields_t folder_result = {
    .name = "SyncFolderResult", .rows = folder_result_rows,
    .count = (int)CH_COUNT(folder_result_rows),
};

static const ch_field_t conflict_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Of the note or folder" },
    { .name = "type", .type = CH_T_ENUM, CH_CHOICES(ch_sync_kind_names),
      .doc = "Which of the two" },
    { .name = "baseVersion", .type = CH_T_INT, .flags = CH_NULLABLE,
      .doc = "As it was sent" },
    { .name = "serverVersion", .type = CH_T_NEST,
      .doc = "The object as it is, a SyncNote or a SyncFolder" },
    { .name = "clientVersion", .type = CH_T_NEST,
      .doc = "The item as it was sent" },
};

static const ch_fields_t conflict_out = {
    .name = "SyncConflict", .rows = conflict_rows,
    .count = (int)CH_COUNT(conflict_rows),
};

static const ch_field_t summary_rows[] = {
    { .name = "applied", .type = CH_T_INT, .doc = "Items applied" },
    { .name = "conflicts", .type = CH_T_INT, .doc = "Items in conflict" },
    { .name = "rejected", .type = CH_T_INT, .doc = "Items rejected" },
};

static const ch_fields_t summary_out = {
    .name = "SyncSummary", .rows = summary_rows,
    .count = (int)CH_COUNT(summary_rows),
};

static const ch_field_t out_rows[] = {
    { .name = "notes", .type = CH_T_JSON, .nested = &note_result,
      .doc = "What became of each note, in their order" },
    { .name = "folders", .type = CH_T_JSON, .nested = &folder_result,
      .doc = "What became of each folder" },
    { .name = "conflicts", .type = CH_T_JSON, .nested = &conflict_out,
      .doc = "Both versions of what is in conflict" },
    { .name = "summary", .type = CH_T_NEST, .nested = &summary_out,
      .doc = "Numbers" },
    { .name = "cursor", .type = CH_T_STR,
      .doc = "Up to here the device has everything: a pull from here misses "
             "nothing" },
    { .name = "syncedAt", .type = CH_T_TIME, .doc = "The same as a time" },
};

const ch_fields_t ch_sync_push_out = {
    .name = "SyncPush", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

/* --- writing ------------------------------------------------------------ */

/* What was sent as id, when it is a plain value. */
static void write_sent_id(ch_buf_t *buf, const ch_json_t *sent)
{
    const ch_json_t *id = ch_json_type(sent) == CH_JSON_OBJECT
                              ? ch_json_get(sent, "id")
                              : NULL;

    if (!id || ch_json_type(id) == CH_JSON_ARRAY
        || ch_json_type(id) == CH_JSON_OBJECT) {
        CH_BUF_LIT(buf, "null");
        return;
    }
    ch_buf_puts(buf, ch_json_dump(buf->pool, id));
}

/* A note whose texts were too much for the statement that changed it. */
static ch_err_t *write_left_out(ch_req_t *rq, ch_buf_t *buf, const char *id)
{
    const sql_sync_note_get_t in = { .user_id = rq->who->user_id, .id = id };
    ch_rows_t *rows;
    apr_pool_t *pool;
    ch_err_t *err;

    apr_pool_create(&pool, rq->pool);
    err = sql_sync_note_get(ch_db_fork(rq->db, pool), &in, &rows);
    if (!err && ch_rows_count(rows)) {
        ch_reply_write_row(buf, &ch_sync_note_out, rows, 0);
    }
    else if (!err) {
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    else {
        err = ch_err_cause(rq->pool, err->code, "%s",
                           err->cause ? err->cause : "");
    }
    apr_pool_destroy(pool);
    return err;
}

static ch_err_t *write_object(ch_req_t *rq, ch_buf_t *buf,
                              const ch_sync_group_t *group,
                              const ch_sync_entry_t *entry)
{
    ch_err_t *err = NULL;

    if (ch_rows_bool(entry->rows, entry->row, "left_out")) {
        err = write_left_out(rq, buf, entry->id);
    }
    else {
        ch_reply_write_row(buf, ch_sync_kinds[group->kind].out, entry->rows,
                           entry->row);
    }
    return err ? err : ch_reply_spill(rq);
}

static ch_err_t *write_entry(ch_req_t *rq, ch_buf_t *buf,
                             const ch_sync_group_t *group,
                             const ch_sync_entry_t *entry)
{
    const char *version =
        entry->rows ? ch_rows_text(entry->rows, entry->row, "version") : NULL;
    ch_err_t *err = NULL;

    CH_BUF_LIT(buf, "{\"id\":");
    write_sent_id(buf, entry->sent);
    ch_buf_printf(buf, ",\"status\":\"%s\",\"version\":%s,\"unchanged\":%s",
                  statuses[entry->status], version ? version : "null",
                  entry->rows
                          && ch_rows_bool(entry->rows, entry->row, "unchanged")
                      ? "true"
                      : "false");
    CH_BUF_LIT(buf, ",\"item\":");
    if (entry->status == CH_SYNC_APPLIED
        && !ch_rows_bool(entry->rows, entry->row, "gone")) {
        err = write_object(rq, buf, group, entry);
    }
    else {
        CH_BUF_LIT(buf, "null");
    }
    CH_BUF_LIT(buf, ",\"error\":");
    if (entry->fault) {
        ch_reply_write_error(buf, entry->fault);
    }
    else {
        CH_BUF_LIT(buf, "null");
    }
    ch_buf_putc(buf, '}');
    return err;
}

static ch_err_t *write_group(ch_req_t *rq, ch_buf_t *buf,
                             const ch_sync_group_t *group)
{
    ch_err_t *err = NULL;
    int i;

    ch_buf_putc(buf, '[');
    for (i = 0; i < group->count && !err; i++) {
        if (i) {
            ch_buf_putc(buf, ',');
        }
        err = write_entry(rq, buf, group, &group->entries[i]);
    }
    ch_buf_putc(buf, ']');
    return err;
}

static ch_err_t *write_conflict(ch_req_t *rq, ch_buf_t *buf,
                                const ch_sync_group_t *group,
                                const ch_sync_entry_t *entry)
{
    const ch_json_t *base = ch_json_get(entry->sent, "baseVersion");
    ch_err_t *err;

    ch_buf_printf(buf, "{\"id\":\"%s\",\"type\":\"%s\",\"baseVersion\":%s,",
                  entry->id, ch_sync_kinds[group->kind].name,
                  base ? ch_json_dump(rq->pool, base) : "null");
    CH_BUF_LIT(buf, "\"serverVersion\":");
    err = write_object(rq, buf, group, entry);
    CH_BUF_LIT(buf, ",\"clientVersion\":");
    ch_buf_puts(buf, ch_json_dump(rq->pool, entry->sent));
    ch_buf_putc(buf, '}');
    return err;
}

static ch_err_t *write_conflicts(ch_req_t *rq, ch_buf_t *buf,
                                 const ch_sync_group_t *groups)
{
    char comma = '[';
    ch_err_t *err = NULL;
    int i, k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < groups[k].count && !err; i++) {
            if (groups[k].entries[i].status == CH_SYNC_CONFLICT) {
                ch_buf_putc(buf, comma);
                comma = ',';
                err = write_conflict(rq, buf, &groups[k],
                                     &groups[k].entries[i]);
            }
        }
    }
    if (comma == '[') {
        ch_buf_putc(buf, '[');
    }
    ch_buf_putc(buf, ']');
    return err;
}

ch_err_t *ch_sync_push_reply(ch_req_t *rq, const ch_sync_group_t *groups,
                            const int counts[CH_SYNC_STATUS__COUNT],
                            const ch_rows_t *end)
{
    const char *at = ch_rows_text(end, 0, "reached_at");
    ch_buf_t *buf = ch_reply_begin(rq, 2 * rq->raw_body.len + 4096);
    ch_err_t *err;

    CH_BUF_LIT(buf, "{\"notes\":");
    err = write_group(rq, buf, &groups[CH_SYNC_NOTE]);
    CH_BUF_LIT(buf, ",\"folders\":");
    err = err ? err : write_group(rq, buf, &groups[CH_SYNC_FOLDER]);
    CH_BUF_LIT(buf, ",\"conflicts\":");
    err = err ? err : write_conflicts(rq, buf, groups);
    if (err) {
        return err;
    }
    ch_buf_printf(buf,
                  ",\"summary\":{\"applied\":%d,\"conflicts\":%d,"
                  "\"rejected\":%d},\"cursor\":\"%s\",\"syncedAt\":",
                  counts[CH_SYNC_APPLIED], counts[CH_SYNC_CONFLICT],
                  counts[CH_SYNC_REJECTED],
                  ch_sync_cursor(rq, ch_rows_text(end, 0, "reached"), 0));
    ch_jsonw_pg_time(buf, at, strlen(at));
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "Changes taken");
}
