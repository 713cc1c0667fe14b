/* Sync of notes and folders: what changed, how far everybody is, and the
 * routes. Pushes are in sync_push.c, quarrels in sync_resolve.c. */
#include "api/sync.h"

#include <string.h>

#include "api/api.h"
#include "api/notes.h"
#include "base/jsonw.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/sync"

/* --- pull: input -------------------------------------------------------- */

typedef struct {
    const char *device_id;
    const char *cursor;
    const char *last_sync_at;
    apr_int64_t limit;
} pull_in_t;

static const ch_field_t pull_rows[] = {
    { .name = "deviceId", CH_IN(pull_in_t, device_id, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = 255,
      .doc = "The client's own name of the device" },
    { .name = "cursor", CH_IN(pull_in_t, cursor, CH_T_SECRET),
      .flags = CH_NULLABLE, .max = CH_CURSOR_MAX,
      .doc = "cursor of an answer before; absent: from the start" },
    { .name = "lastSyncAt", CH_IN(pull_in_t, last_sync_at, CH_T_TIME),
      .flags = CH_NULLABLE,
      .doc = "syncedAt of an answer before, for clients that keep no cursor" },
    { .name = "limit", CH_IN(pull_in_t, limit, CH_T_INT), .min = 1,
      .max = 1000, .def = "500",
      .doc = "Notes and folders together; fewer come where their texts are "
             "long" },
};

static void check_pull(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const pull_in_t *in = fields;

    if (in->cursor && in->last_sync_at) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "lastSyncAt",
                     "cannot be given together with cursor");
    }
}

static const ch_fields_t pull_in = {
    .rows = pull_rows, .count = (int)CH_COUNT(pull_rows),
    .size = sizeof(pull_in_t), .check = check_pull,
};

/* --- outputs ------------------------------------------------------------ */

static const ch_field_t pulled_rows[] = {
    { .name = "notes", .type = CH_T_JSON, .nested = &ch_sync_note_out,
      .doc = "Notes that changed, in the order of their changes" },
    { .name = "folders", .type = CH_T_JSON, .nested = &ch_sync_folder_out,
      .doc = "Folders, the same" },
    { .name = "cursor", .type = CH_T_STR,
      .doc = "The place behind them, for the next pull" },
    { .name = "hasMore", .type = CH_T_BOOL, .doc = "There is more behind it" },
    { .name = "syncedAt", .type = CH_T_TIME,
      .doc = "Everything that changed up to here has been answered" },
};

static const ch_fields_t pulled_out = {
    .name = "SyncPull", .rows = pulled_rows,
    .count = (int)CH_COUNT(pulled_rows),
};

static const ch_field_t open_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Of the note or folder" },
    { .name = "type", .type = CH_T_ENUM, CH_CHOICES(ch_sync_kind_names),
      .doc = "Which of the two" },
    { .name = "createdAt", .type = CH_T_TIME, .doc = "When it came up" },
};

static const ch_fields_t open_out = {
    .name = "SyncConflictRef", .rows = open_rows,
    .count = (int)CH_COUNT(open_rows),
};

static const ch_field_t device_rows[] = {
    { .name = "deviceId", .type = CH_T_STR, .doc = "Its name" },
    { .name = "lastSyncAt", .type = CH_T_TIME, .doc = "Last pull or push" },
};

static const ch_fields_t device_out = {
    .name = "SyncDevice", .rows = device_rows,
    .count = (int)CH_COUNT(device_rows),
};

static const ch_field_t count_rows[] = {
    { .name = "notes", .type = CH_T_INT, .doc = "Live notes" },
    { .name = "folders", .type = CH_T_INT, .doc = "Live folders" },
    { .name = "deletedNotes", .type = CH_T_INT, .column = "deleted_notes",
      .doc = "Notes in the trash" },
    { .name = "deletedFolders", .type = CH_T_INT, .column = "deleted_folders",
      .doc = "Deleted folders" },
};

static const ch_fields_t count_out = {
    .name = "SyncCounts", .rows = count_rows,
    .count = (int)CH_COUNT(count_rows),
};

static const ch_field_t status_rows[] = {
    { .name = "lastSyncAt", .type = CH_T_TIME, .column = "last_sync_at",
      .flags = CH_NULLABLE, .doc = "Last pull or push" },
    { .name = "lastPullAt", .type = CH_T_TIME, .column = "last_pull_at",
      .flags = CH_NULLABLE, .doc = "Last pull" },
    { .name = "lastPushAt", .type = CH_T_TIME, .column = "last_push_at",
      .flags = CH_NULLABLE, .doc = "Last push" },
    { .name = "pendingConflicts", .type = CH_T_INT,
      .column = "pending_conflicts", .doc = "Conflicts to be resolved" },
    { .name = "conflicts", .type = CH_T_JSON, .nested = &open_out, .max = 100,
      .doc = "The first of them" },
    { .name = "counts", .type = CH_T_NEST, .nested = &count_out,
      .column = "notes", .doc = "What there is" },
    { .name = "devices", .type = CH_T_JSON, .nested = &device_out, .max = 100,
      .doc = "Devices that synced last" },
    /* the last one: it is written by hand */
    { .name = "cursor", .type = CH_T_STR,
      .doc = "The place behind the last change; a client whose cursor is the "
             "same has everything" },
};

static const ch_fields_t status_out = {
    .name = "SyncStatus", .rows = status_rows,
    .count = (int)CH_COUNT(status_rows),
};

typedef struct {
    const char *device_id;
} status_query_t;

static const ch_field_t status_query_rows[] = {
    { .name = "deviceId", CH_IN(status_query_t, device_id, CH_T_STR),
      .min = 1, .max = 255, .doc = "The three times of this device alone" },
};

static const ch_fields_t status_query =
    CH_FIELDS(status_query_t, status_query_rows);

/* --- handlers ----------------------------------------------------------- */

/* The rows of one kind as an array. */
static void write_kind(ch_buf_t *buf, const ch_rows_t *rows,
                       ch_sync_kind_e kind)
{
    int column = ch_rows_find(rows, "is_note", 3);
    char comma = '[';
    int row;

    for (row = 0; row < ch_rows_count(rows); row++) {
        size_t len;
        const char *cell = ch_rows_cell(rows, row, column, &len);

        if (cell && (*cell == 't') == (kind == CH_SYNC_NOTE)) {
            ch_buf_putc(buf, comma);
            ch_reply_write_row(buf, ch_sync_kinds[kind].out, rows, row);
            comma = ',';
        }
    }
    if (comma == '[') {
        ch_buf_putc(buf, '[');
    }
    ch_buf_putc(buf, ']');
}

static ch_err_t *reply_pull(ch_req_t *rq, const ch_rows_t *rows)
{
    size_t size = ch_rows_size(rows);
    ch_buf_t *buf = ch_reply_begin(rq, size + size / 8 + 1024);
    const char *at = ch_rows_text(rows, 0, "reached_at");
    int more = ch_rows_bool(rows, 0, "unfinished");

    CH_BUF_LIT(buf, "{\"notes\":");
    write_kind(buf, rows, CH_SYNC_NOTE);
    CH_BUF_LIT(buf, ",\"folders\":");
    write_kind(buf, rows, CH_SYNC_FOLDER);
    ch_buf_printf(buf, ",\"cursor\":\"%s\",\"hasMore\":%s,\"syncedAt\":",
                  ch_sync_cursor(rq, ch_rows_text(rows, 0, "reached"), more),
                  more ? "true" : "false");
    ch_jsonw_pg_time(buf, at, strlen(at));
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, more ? "Changes; there are more" : "Changes");
}

static ch_err_t *pull(ch_req_t *rq)
{
    const pull_in_t *in = rq->body;
    apr_int64_t after = 0;
    int unfinished = 0;
    sql_sync_pull_t row = {
        .user_id = rq->who->user_id,
        .device = in->device_id,
        .since = in->last_sync_at,
        .fetch = in->limit,
    };
    ch_rows_t *rows;
    ch_err_t *err = NULL;

    if (in->cursor && *in->cursor) {
        row.after = &after;
        if (!ch_sync_open_cursor(rq, in->cursor, &after, &unfinished)) {
            ch_err_fault(rq->pool, &err, CH_D_INVALID_VALUE, "cursor",
                         "is damaged or another user's");
            return err;
        }
    }
    row.starts = !unfinished;
    err = sql_sync_pull(rq->db, &row, &rows);
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return reply_pull(rq, rows);
}

static ch_err_t *status(ch_req_t *rq)
{
    const status_query_t *query = rq->query;
    const ch_fields_t without_cursor = { .rows = status_rows,
                                         .count = status_out.count - 1 };
    const sql_sync_status_t in = { .user_id = rq->who->user_id,
                                   .device = query->device_id };
    ch_rows_t *rows;
    ch_buf_t *buf;
    ch_err_t *err = sql_sync_status(rq->db, &in, &rows);

    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    if (err) {
        return err;
    }
    buf = ch_reply_begin(rq, ch_rows_size(rows) + 1024);
    ch_reply_write_row(buf, &without_cursor, rows, 0);
    buf->len--; /* its brace */
    ch_buf_printf(buf, ",\"cursor\":\"%s\"}",
                  ch_sync_cursor(rq, ch_rows_text(rows, 0, "head"), 0));
    return ch_reply_end(rq, "Sync status");
}

/* --- what the user's sockets are told ---------------------------------- */

ch_err_t *ch_sync_changed(ch_req_t *rq, ch_buf_t *data)
{
    const sql_sync_head_t in = { .user_id = rq->who->user_id };
    ch_rows_t *rows;
    ch_err_t *err = sql_sync_head(rq->db, &in, &rows);

    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_USER_NOT_FOUND, NULL);
    }
    if (err) {
        return err;
    }
    ch_buf_printf(data, "{\"cursor\":\"%s\"}",
                  ch_sync_cursor(rq, ch_rows_text(rows, 0, "head"), 0));
    return NULL;
}

/* --- routes ------------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = HERE "/pull", CH_SYNC_ROUTE,
      .flags = CH_READS, .ok = 200, .body = &pull_in, .out = &pulled_out,
      .handler = pull, .summary = "Changes since the last pull" },
    { .method = CH_POST, .path = HERE "/push", CH_SYNC_ROUTE, .ok = 200,
      .body = &ch_sync_push_in, .out = &ch_sync_push_out,
      .handler = ch_sync_push, .summary = "Send changes" },
    { .method = CH_GET, .path = HERE "/status", CH_SYNC_ROUTE, .ok = 200,
      .query = &status_query, .out = &status_out, .handler = status,
      .summary = "How far the devices are, and what is open" },
    { .method = CH_POST, .path = HERE "/resolve-conflict", CH_SYNC_ROUTE,
      .ok = 200, .body = &ch_sync_resolve_in, .out = &ch_sync_resolve_out,
      CH_ROUTE_CODES(CH_E_NOTE_NOT_FOUND, CH_E_FOLDER_NOT_FOUND,
                     CH_E_CONFLICT_NOT_FOUND, CH_E_FOLDER_NAME_TAKEN),
      .handler = ch_sync_resolve,
      .summary = "Settle a conflict",
      .doc = "server-wins keeps the object; client-wins writes the fields of "
             "the client's version over it; manual writes resolvedData; merge "
             "takes from both what changed since the version that the "
             "client's is based on." },
};

const ch_routes_t ch_sync_routes = CH_ROUTES(routes);
