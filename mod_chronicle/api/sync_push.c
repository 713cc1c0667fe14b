/* Takes the changes of a device: each item is judged by itself, folders in one
 * transaction, then notes in one. */
#include "api/sync.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "api/notes.h"
#include "base/jsonw.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define ITEMS_MAX 500 /* of a kind */
#define SENT_MAX (4u * CH_BODY_MAX) /* bytes of a kind, for the statement */

/* --- input -------------------------------------------------------------- */

typedef struct {
    const char *device_id;
    const ch_json_t *notes;
    const ch_json_t *folders;
} push_in_t;

static const ch_field_t in_rows[] = {
    { .name = "deviceId", CH_IN(push_in_t, device_id, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = 255,
      .doc = "The client's own name of the device" },
    { .name = "notes", CH_IN(push_in_t, notes, CH_T_JSON), .max = ITEMS_MAX,
      .nested = &ch_sync_note_in, .doc = "Changed notes" },
    { .name = "folders", CH_IN(push_in_t, folders, CH_T_JSON),
      .max = ITEMS_MAX, .nested = &ch_sync_folder_in,
      .doc = "Changed folders; they are done first" },
};

const ch_fields_t ch_sync_push_in = CH_FIELDS(push_in_t, in_rows);

/* --- output ------------------------------------------------------------- */

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

/* --- items -------------------------------------------------------------- */

typedef enum { APPLIED, CONFLICT, REJECTED, STATUS__COUNT } status_e;

typedef struct {
    const ch_json_t *sent;
    ch_item_t item;
    const char *id; /* NULL: it was not a good one */
    ch_err_t *fault;
    const ch_rows_t *rows; /* its answer, NULL when it was not asked about */
    int row;
    status_e status;
} entry_t;

typedef struct {
    ch_sync_kind_e kind;
    entry_t *entries;
    int count;
    int good; /* entries without a fault */
    /* numbers of the user's changes in front of these and behind them, and
     * the time of the latter; "0" and NULL when nothing was done */
    apr_int64_t before, after;
    const char *after_at;
} group_t;

static void read_entry(ch_req_t *rq, group_t *group, apr_hash_t *seen,
                       entry_t *entry)
{
    ch_item_t *item = &entry->item;

    item->prefix = "";
    ch_sync_read(rq->pool, group->kind, entry->sent, 0, item);
    if (item->values) {
        /* the id is the first member of both structs */
        entry->id = *(const char *const *)item->values;
    }
    if (entry->id && apr_hash_get(seen, entry->id, APR_HASH_KEY_STRING)) {
        ch_err_fault(rq->pool, &item->faults, CH_D_DUPLICATE, "id",
                     "stands twice in this push");
    }
    else if (entry->id) {
        apr_hash_set(seen, entry->id, APR_HASH_KEY_STRING, entry);
    }
    entry->fault = item->faults;
}

static void read_group(ch_req_t *rq, group_t *group, const ch_json_t *items)
{
    apr_hash_t *seen = apr_hash_make(rq->pool);
    int i;

    group->count = items ? (int)ch_json_size(items) : 0;
    group->entries = apr_pcalloc(rq->pool, (size_t)group->count
                                               * sizeof(*group->entries));
    for (i = 0; i < group->count; i++) {
        group->entries[i].sent = ch_json_at(items, (size_t)i);
        read_entry(rq, group, seen, &group->entries[i]);
        group->good += !group->entries[i].fault;
    }
}

/* --- what the database says --------------------------------------------- */

/* Faults of an item that are not errors of their own. */
static const struct {
    const char *name;
    const char *field;
    ch_detail_e detail;
    const char *text;
} vetoes[] = {
    { "BASE_AHEAD", "baseVersion", CH_D_TOO_LARGE,
      "is ahead of the server's version" },
    { "BASE_MISSING", "baseVersion", CH_D_MISSING_FIELD, "missing field" },
    { "NAME_MISSING", "name", CH_D_MISSING_FIELD, "missing field" },
};

static ch_err_t *fault_of(apr_pool_t *pool, const char *name)
{
    ch_code_e code = ch_code_find(name, strlen(name));
    ch_err_t *err = NULL;
    size_t i;

    if (code) {
        return ch_err_make(pool, code, NULL);
    }
    for (i = 0; i < CH_COUNT(vetoes); i++) {
        if (strcmp(vetoes[i].name, name) == 0) {
            ch_err_fault(pool, &err, vetoes[i].detail, vetoes[i].field, "%s",
                         vetoes[i].text);
            return err;
        }
    }
    return ch_err_cause(pool, CH_E_INTERNAL_ERROR, "sync: unknown fault %s",
                        name);
}

/* A row of the database's answer belongs to an entry. */
static void settle(ch_req_t *rq, group_t *group, entry_t *entry,
                   const ch_rows_t *rows, int row)
{
    const char *fault = ch_rows_text(rows, row, "fault");
    const char *head = ch_rows_text(rows, row, "head");

    if (head) {
        group->after = apr_atoi64(head);
        group->after_at = ch_rows_text(rows, row, "head_at");
    }
    if (fault) {
        entry->fault = fault_of(rq->pool, fault);
        return;
    }
    entry->rows = rows;
    entry->row = row;
    entry->status =
        *ch_rows_text(rows, row, "status") == 'c' ? CONFLICT : APPLIED;
}

/* The number of the user's changes, which nobody else raises now. */
static ch_err_t *take_lock(ch_req_t *rq, ch_rows_t **lock)
{
    const sql_sync_lock_t in = { .user_id = rq->who->user_id };

    ch_db_gather(rq->db);
    return sql_sync_lock(rq->db, &in, lock);
}

static ch_err_t *note_lock(ch_req_t *rq, group_t *group,
                           const ch_rows_t *lock)
{
    if (!ch_rows_count(lock)) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    group->before = group->after = ch_rows_int(lock, 0, "head");
    group->after_at = ch_rows_text(lock, 0, "head_at");
    return NULL;
}

/* --- folders ------------------------------------------------------------ */

/* One statement each, all in one round trip: a name that one folder gives up
 * is free for the next. */
static ch_err_t *push_folders(ch_req_t *rq, group_t *group)
{
    ch_rows_t **rows = apr_pcalloc(rq->pool,
                                   (size_t)group->count * sizeof(*rows));
    ch_rows_t *lock;
    ch_err_t *err = take_lock(rq, &lock);
    int i;

    for (i = 0; i < group->count && !err; i++) {
        entry_t *entry = &group->entries[i];

        if (!entry->fault) {
            ch_buf_t *buf = ch_buf_make(rq->pool, 512, CH_BODY_MAX);
            sql_sync_push_folder_t in = { .user_id = rq->who->user_id };

            ch_item_write(buf, &entry->item);
            in.item = ch_buf_cstr(buf);
            err = sql_sync_push_folder(rq->db, &in, &rows[i]);
        }
    }
    err = err ? err : ch_db_send(rq->db);
    err = err ? err : note_lock(rq, group, lock);
    for (i = 0; i < group->count && !err; i++) {
        if (rows[i]) {
            settle(rq, group, &group->entries[i], rows[i], 0);
        }
    }
    return err;
}

/* --- notes -------------------------------------------------------------- */

/* Everything that is good, as one array; what is derived from the contents
 * beside it. */
static void gather_notes(ch_req_t *rq, const group_t *group, ch_buf_t *items,
                         sql_sync_push_notes_t *in)
{
    apr_array_header_t *plains =
        apr_array_make(rq->pool, group->good, sizeof(const char *));
    apr_array_header_t *words =
        apr_array_make(rq->pool, group->good, sizeof(apr_int64_t));
    int i;

    for (i = 0; i < group->count; i++) {
        const entry_t *entry = &group->entries[i];
        const ch_sync_note_t *note = entry->item.values;
        const char *plain = NULL;
        apr_int64_t count = 0;

        if (entry->fault) {
            continue;
        }
        if (ch_item_given(&entry->item, offsetof(ch_sync_note_t, content))) {
            plain = ch_note_plain(rq->pool, note->content, &count);
        }
        ch_buf_putc(items, items->len ? ',' : '[');
        ch_item_write(items, &entry->item);
        APR_ARRAY_PUSH(plains, const char *) = plain;
        APR_ARRAY_PUSH(words, apr_int64_t) = count;
    }
    ch_buf_putc(items, ']');
    in->items = ch_buf_cstr(items);
    in->plains = plains;
    in->words = words;
}

static ch_err_t *push_notes(ch_req_t *rq, group_t *group)
{
    ch_buf_t *items = ch_buf_make(rq->pool, rq->raw_body.len + 1024, SENT_MAX);
    sql_sync_push_notes_t in = { .user_id = rq->who->user_id };
    ch_rows_t *lock, *rows;
    ch_err_t *err;
    int i, row = 0;

    gather_notes(rq, group, items, &in);
    if (items->overflow) {
        return ch_err_cause(rq->pool, CH_E_INTERNAL_ERROR,
                            "sync: the notes pass their maximum");
    }
    err = take_lock(rq, &lock);
    err = err ? err : sql_sync_push_notes(rq->db, &in, &rows);
    err = err ? err : ch_db_send(rq->db);
    err = err ? err : note_lock(rq, group, lock);
    for (i = 0; i < group->count && !err; i++) {
        if (!group->entries[i].fault) {
            settle(rq, group, &group->entries[i], rows, row++);
        }
    }
    return err;
}

/* --- the answer --------------------------------------------------------- */

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

/* The object behind an entry, also when its texts were too much for the
 * statement that changed it. */
static ch_err_t *write_object(ch_req_t *rq, ch_buf_t *buf,
                              const group_t *group, const entry_t *entry)
{
    const ch_fields_t *out = ch_sync_kinds[group->kind].out;
    const sql_sync_note_get_t in = { .user_id = rq->who->user_id,
                                     .id = entry->id };
    ch_rows_t *rows;
    ch_err_t *err;

    if (!ch_rows_bool(entry->rows, entry->row, "left_out")) {
        ch_reply_write_row(buf, out, entry->rows, entry->row);
        return NULL;
    }
    err = sql_sync_note_get(rq->db, &in, &rows);
    if (!err) {
        ch_reply_write_row(buf, out, rows, 0);
    }
    return err;
}

static ch_err_t *write_entry(ch_req_t *rq, ch_buf_t *buf,
                             const group_t *group, const entry_t *entry)
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
    if (entry->status == APPLIED
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
                             const group_t *group)
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
                                const group_t *group, const entry_t *entry)
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
                                 const group_t *groups)
{
    char comma = '[';
    ch_err_t *err = NULL;
    int i, k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < groups[k].count && !err; i++) {
            if (groups[k].entries[i].status == CONFLICT) {
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

static void count(group_t *group, int counts[STATUS__COUNT])
{
    int i;

    for (i = 0; i < group->count; i++) {
        entry_t *entry = &group->entries[i];

        if (entry->fault) {
            entry->status = REJECTED;
        }
        counts[entry->status]++;
    }
}

static ch_err_t *reply_push(ch_req_t *rq, const group_t *groups,
                            const int counts[STATUS__COUNT],
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
                  counts[APPLIED], counts[CONFLICT], counts[REJECTED],
                  ch_sync_cursor(rq, ch_rows_text(end, 0, "reached"), 0));
    ch_jsonw_pg_time(buf, at, strlen(at));
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "Changes taken");
}

/* --- handler ------------------------------------------------------------ */

static ch_err_t *run(ch_req_t *rq, group_t *group)
{
    if (!group->good) {
        return NULL;
    }
    return group->kind == CH_SYNC_FOLDER ? push_folders(rq, group)
                                         : push_notes(rq, group);
}

/* The stretch of changes that this push is known to have made by itself:
 * between its two transactions others may have changed something. */
static void stretch_of(const group_t *groups, sql_sync_push_end_t *end)
{
    const group_t *folders = &groups[CH_SYNC_FOLDER];
    const group_t *notes = &groups[CH_SYNC_NOTE];
    const group_t *last = notes->good && (!folders->good
                                          || folders->after == notes->before)
                              ? notes
                              : folders;

    end->before = folders->good ? folders->before : notes->before;
    end->after = last->after;
    end->at = last->after_at;
}

ch_err_t *ch_sync_push(ch_req_t *rq)
{
    const push_in_t *in = rq->body;
    group_t groups[] = { [CH_SYNC_NOTE] = { .kind = CH_SYNC_NOTE },
                         [CH_SYNC_FOLDER] = { .kind = CH_SYNC_FOLDER } };
    sql_sync_push_end_t end = { .user_id = rq->who->user_id,
                                .device = in->device_id };
    int counts[STATUS__COUNT] = { 0 };
    ch_rows_t *rows;
    ch_err_t *err;

    read_group(rq, &groups[CH_SYNC_FOLDER], in->folders);
    read_group(rq, &groups[CH_SYNC_NOTE], in->notes);
    err = run(rq, &groups[CH_SYNC_FOLDER]);
    err = err ? err : run(rq, &groups[CH_SYNC_NOTE]);
    if (err) {
        return err;
    }
    count(&groups[CH_SYNC_FOLDER], counts);
    count(&groups[CH_SYNC_NOTE], counts);
    stretch_of(groups, &end);
    end.applied = counts[APPLIED];
    end.conflicts = counts[CONFLICT];
    err = sql_sync_push_end(rq->db, &end, &rows);
    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return err ? err : reply_push(rq, groups, counts, rows);
}
