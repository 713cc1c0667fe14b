/* Takes the changes of a device: each item is judged by itself, folders in one
 * transaction, then notes in one. */
#include "api/sync_push.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "api/notes.h"
#include "store/sql_gen.h"

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

/* --- items -------------------------------------------------------------- */

static void read_entry(ch_req_t *rq, ch_sync_group_t *group, apr_hash_t *seen,
                       ch_sync_entry_t *entry)
{
    ch_item_t *item = &entry->item;

    item->prefix = "";
    ch_sync_read(rq->pool, group->kind, entry->sent, 0, item);
    if (item->values) {
        entry->id = ((const ch_sync_head_t *)item->values)->id;
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

static void read_group(ch_req_t *rq, ch_sync_group_t *group,
                       const ch_json_t *items)
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

ch_err_t *ch_sync_fault(apr_pool_t *pool, const char *name)
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
static void settle(ch_req_t *rq, ch_sync_group_t *group,
                   ch_sync_entry_t *entry, const ch_rows_t *rows, int row)
{
    const char *fault = ch_rows_text(rows, row, "fault");
    const char *head = ch_rows_text(rows, row, "head");

    if (head) {
        group->after = apr_atoi64(head);
        group->after_at = ch_rows_text(rows, row, "head_at");
    }
    if (fault) {
        entry->fault = ch_sync_fault(rq->pool, fault);
        return;
    }
    entry->rows = rows;
    entry->row = row;
    entry->status = *ch_rows_text(rows, row, "status") == 'c'
                        ? CH_SYNC_CONFLICT
                        : CH_SYNC_APPLIED;
}

/* The number of the user's changes, which nobody else raises now. */
static ch_err_t *take_lock(ch_req_t *rq, ch_rows_t **lock)
{
    const sql_sync_lock_t in = { .user_id = rq->who->user_id };

    ch_db_gather(rq->db);
    return sql_sync_lock(rq->db, &in, lock);
}

static ch_err_t *note_lock(ch_req_t *rq, ch_sync_group_t *group,
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
static ch_err_t *push_folders(ch_req_t *rq, ch_sync_group_t *group)
{
    ch_rows_t **rows = apr_pcalloc(rq->pool,
                                   (size_t)group->count * sizeof(*rows));
    ch_rows_t *lock;
    ch_err_t *err = take_lock(rq, &lock);
    int i;

    for (i = 0; i < group->count && !err; i++) {
        ch_sync_entry_t *entry = &group->entries[i];

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
static void gather_notes(ch_req_t *rq, const ch_sync_group_t *group,
                         ch_buf_t *items, sql_sync_push_notes_t *in)
{
    apr_array_header_t *plains =
        apr_array_make(rq->pool, group->good, sizeof(const char *));
    apr_array_header_t *words =
        apr_array_make(rq->pool, group->good, sizeof(apr_int64_t));
    int i;

    for (i = 0; i < group->count; i++) {
        const ch_sync_entry_t *entry = &group->entries[i];
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

static ch_err_t *push_notes(ch_req_t *rq, ch_sync_group_t *group)
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

/* --- handler ------------------------------------------------------------ */

static void count(ch_sync_group_t *group, int counts[CH_SYNC_STATUS__COUNT])
{
    int i;

    for (i = 0; i < group->count; i++) {
        ch_sync_entry_t *entry = &group->entries[i];

        if (entry->fault) {
            entry->status = CH_SYNC_REJECTED;
        }
        counts[entry->status]++;
    }
}

static ch_err_t *run(ch_req_t *rq, ch_sync_group_t *group)
{
    if (!group->good) {
        return NULL;
    }
    return group->kind == CH_SYNC_FOLDER ? push_folders(rq, group)
                                         : push_notes(rq, group);
}

/* The stretch of changes that this push is known to have made by itself:
 * between its two transactions others may have changed something. */
static void stretch_of(const ch_sync_group_t *groups, sql_sync_push_end_t *end)
{
    const ch_sync_group_t *folders = &groups[CH_SYNC_FOLDER];
    const ch_sync_group_t *notes = &groups[CH_SYNC_NOTE];
    const ch_sync_group_t *last = notes->good && (!folders->good
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
    ch_sync_group_t groups[] = { [CH_SYNC_NOTE] = { .kind = CH_SYNC_NOTE },
                         [CH_SYNC_FOLDER] = { .kind = CH_SYNC_FOLDER } };
    sql_sync_push_end_t end = { .user_id = rq->who->user_id,
                                .device = in->device_id };
    int counts[CH_SYNC_STATUS__COUNT] = { 0 };
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
    end.applied = counts[CH_SYNC_APPLIED];
    end.conflicts = counts[CH_SYNC_CONFLICT];
    err = sql_sync_push_end(rq->db, &end, &rows);
    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return err ? err : ch_sync_push_reply(rq, groups, counts, rows);
}
