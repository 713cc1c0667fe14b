/* Settles a conflict between what a client pushed and what is there. */
#include "api/sync.h"

#include <string.h>

#include <apr_strings.h>

#include "api/notes.h"
#include "api/sync_merge.h"
#include "base/jsonw.h"
#include "store/sql_gen.h"
#include "web/reply.h"

/* --- input -------------------------------------------------------------- */

typedef enum { SERVER_WINS, CLIENT_WINS, MANUAL, MERGE } strategy_e;

static const char *const strategies[] = {
    [SERVER_WINS] = "server-wins",
    [CLIENT_WINS] = "client-wins",
    [MANUAL] = "manual",
    [MERGE] = "merge",
};

typedef struct {
    const char *id;
    int kind;
    int strategy;
    const ch_json_t *client_version;
    const ch_json_t *resolved_data;
    ch_item_t client; /* the two, checked; values NULL: not given */
    ch_item_t resolved;
} resolve_in_t;

static const ch_field_t in_rows[] = {
    { .name = "id", CH_IN(resolve_in_t, id, CH_T_UUID), .flags = CH_REQUIRED,
      .doc = "Of the note or folder" },
    { .name = "type", CH_IN(resolve_in_t, kind, CH_T_ENUM),
      CH_CHOICES(ch_sync_kind_names), .flags = CH_REQUIRED,
      .doc = "Which of the two" },
    { .name = "strategy", CH_IN(resolve_in_t, strategy, CH_T_ENUM),
      CH_CHOICES(strategies), .flags = CH_REQUIRED, .doc = "Who wins" },
    { .name = "clientVersion",
      CH_IN(resolve_in_t, client_version, CH_T_NEST),
      .doc = "An item as of a push; absent: the stored one" },
    { .name = "resolvedData", CH_IN(resolve_in_t, resolved_data, CH_T_NEST),
      .doc = "Fields to be written, of manual" },
};

static void add_faults(ch_req_t *rq, ch_err_t **faults, const ch_err_t *more)
{
    int i;

    for (i = 0; more && i < more->details->nelts; i++) {
        const ch_detail_t *detail =
            &APR_ARRAY_IDX(more->details, i, ch_detail_t);

        if (!*faults) {
            *faults = ch_err_make(rq->pool, CH_E_VALIDATION_ERROR, NULL);
        }
        ch_err_detail(rq->pool, *faults, detail->code, detail->field,
                      detail->message);
    }
}

static void read_client(ch_req_t *rq, resolve_in_t *in, ch_err_t **faults)
{
    in->client.prefix = "clientVersion.";
    ch_sync_read(rq->pool, (ch_sync_kind_e)in->kind, in->client_version, 0,
                 &in->client);
    add_faults(rq, faults, in->client.faults);
    if (!in->client.faults && in->id
        && strcmp(((const ch_sync_head_t *)in->client.values)->id, in->id)
               != 0) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "clientVersion.id",
                     "must be id");
    }
}

/* A word that is one of the choices was bound; any other was a fault. */
static int is_one_of(const ch_req_t *rq, const char *key,
                     const char *const *choices, int count)
{
    const ch_json_t *value = ch_json_get(rq->json, key);
    size_t len;
    int i;

    for (i = 0; value && ch_json_type(value) == CH_JSON_STRING && i < count;
         i++) {
        if (strcmp(ch_json_string(value, &len), choices[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static void check_resolve(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    resolve_in_t *in = fields;
    int knows_kind = is_one_of(rq, "type", ch_sync_kind_names,
                               (int)CH_COUNT(ch_sync_kind_names));
    int knows_strategy = is_one_of(rq, "strategy", strategies,
                                   (int)CH_COUNT(strategies));

    if (in->client_version && knows_kind) {
        read_client(rq, in, faults);
    }
    if (in->resolved_data && knows_kind) {
        in->resolved.prefix = "resolvedData.";
        ch_sync_read(rq->pool, (ch_sync_kind_e)in->kind, in->resolved_data,
                     CH_CREATE_ONLY, &in->resolved);
        add_faults(rq, faults, in->resolved.faults);
    }
    if (knows_strategy && in->strategy != MANUAL
        && CH_GIVEN(rq, resolve_in_t, resolved_data)) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "resolvedData",
                     "belongs to the strategy manual alone");
    }
    if (knows_strategy && in->strategy == MANUAL
        && !CH_GIVEN(rq, resolve_in_t, resolved_data)) {
        ch_err_fault(rq->pool, faults, CH_D_MISSING_FIELD, "resolvedData",
                     "missing field");
    }
}

const ch_fields_t ch_sync_resolve_in = {
    .rows = in_rows, .count = (int)CH_COUNT(in_rows),
    .size = sizeof(resolve_in_t), .check = check_resolve,
};

/* --- output ------------------------------------------------------------- */

static const ch_field_t clash_rows[] = {
    { .name = "field", .type = CH_T_STR, .doc = "Where" },
    { .name = "count", .type = CH_T_INT, .min = 1, .doc = "How often" },
};

static const ch_fields_t clash_out = {
    .name = "SyncClash", .rows = clash_rows,
    .count = (int)CH_COUNT(clash_rows),
};

static const ch_field_t out_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Of the note or folder" },
    { .name = "type", .type = CH_T_ENUM, CH_CHOICES(ch_sync_kind_names),
      .doc = "Which of the two" },
    { .name = "strategy", .type = CH_T_ENUM, CH_CHOICES(strategies),
      .doc = "Who won" },
    { .name = "clean", .type = CH_T_BOOL, .doc = "Nothing clashed" },
    { .name = "clashes", .type = CH_T_JSON, .nested = &clash_out,
      .doc = "Where both sides said something else: the server's was taken, "
             "of content both stand between markers" },
    { .name = "resolved", .type = CH_T_NEST,
      .doc = "The object now, a SyncNote or a SyncFolder" },
};

const ch_fields_t ch_sync_resolve_out = {
    .name = "SyncResolution", .rows = out_rows,
    .count = (int)CH_COUNT(out_rows),
};

/* --- what there is ------------------------------------------------------ */

typedef struct {
    ch_req_t *rq;
    const resolve_in_t *in;
    ch_sync_kind_e kind;
    ch_item_t server, base, client; /* values NULL: there is none */
    apr_array_header_t *clashes;    /* of ch_clash_t */
} quarrel_t;

/* What the database holds fits the table, because it came through it; what
 * does not was put there by somebody else and is not to be touched. */
static ch_err_t *read_stored(const quarrel_t *quarrel, const char *text,
                             ch_item_t *item)
{
    apr_pool_t *pool = quarrel->rq->pool;
    const ch_json_t *json;
    ch_err_t *err;

    if (!text) {
        return NULL;
    }
    err = ch_json_parse(pool, text, strlen(text), 8, &json);
    if (err) {
        return ch_err_cause(pool, CH_E_INTERNAL_ERROR,
                            "sync: a stored state is no JSON");
    }
    item->prefix = "";
    item->fields = ch_sync_kinds[quarrel->kind].in;
    ch_item_bind(pool, json, item);
    if (item->faults) {
        return ch_err_cause(
            pool, CH_E_INTERNAL_ERROR, "sync: a stored %s has a bad %s",
            ch_sync_kinds[quarrel->kind].name,
            APR_ARRAY_IDX(item->faults->details, 0, ch_detail_t).field);
    }
    return NULL;
}

static ch_err_t *fetch(const quarrel_t *quarrel, ch_rows_t **rows)
{
    const ch_req_t *rq = quarrel->rq;
    const ch_item_t *client = &quarrel->client;
    const ch_sync_head_t *head = client->values;
    int note = quarrel->kind == CH_SYNC_NOTE;
    const sql_sync_quarrel_note_t in = {
        .user_id = rq->who->user_id,
        .id = quarrel->in->id,
        .given = head != NULL,
        .base = head && ch_item_given(client, offsetof(ch_sync_head_t,
                                                       base_version))
                    ? &head->base_version
                    : NULL,
    };
    const sql_sync_quarrel_folder_t folder = { .user_id = in.user_id,
                                               .id = in.id,
                                               .given = in.given,
                                               .base = in.base };

    return note ? sql_sync_quarrel_note(rq->db, &in, rows)
                : sql_sync_quarrel_folder(rq->db, &folder, rows);
}

/* What the strategy needs and no more: what does not matter cannot hinder. */
static ch_err_t *look(quarrel_t *quarrel)
{
    apr_pool_t *pool = quarrel->rq->pool;
    int strategy = quarrel->in->strategy;
    const char *stored;
    ch_rows_t *rows;
    ch_err_t *err = fetch(quarrel, &rows);

    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) {
        return ch_err_make(pool, ch_sync_kinds[quarrel->kind].missing, NULL);
    }
    stored = ch_rows_text(rows, 0, "client");
    if (!quarrel->client.values && !stored && strategy != MANUAL) {
        return ch_err_make(pool, CH_E_CONFLICT_NOT_FOUND, NULL);
    }
    if (!quarrel->client.values
        && (strategy == CLIENT_WINS || strategy == MERGE)) {
        err = read_stored(quarrel, stored, &quarrel->client);
    }
    if (!err && strategy == MERGE) {
        err = read_stored(quarrel, ch_rows_text(rows, 0, "server"),
                          &quarrel->server);
        err = err ? err
                  : read_stored(quarrel, ch_rows_text(rows, 0, "base"),
                                &quarrel->base);
    }
    return err;
}

/* --- what is written ---------------------------------------------------- */

static ch_err_t *write_note(ch_req_t *rq, const ch_item_t *item,
                            const char *text, ch_rows_t **rows)
{
    const ch_sync_note_t *note = item->values;
    apr_array_header_t *plains =
        apr_array_make(rq->pool, 1, sizeof(const char *));
    apr_array_header_t *words =
        apr_array_make(rq->pool, 1, sizeof(apr_int64_t));
    const sql_sync_push_notes_t in = {
        .user_id = rq->who->user_id,
        .items = apr_pstrcat(rq->pool, "[", text, "]", NULL),
        .plains = plains,
        .words = words,
    };

    APR_ARRAY_PUSH(plains, const char *) =
        ch_note_plain(rq->pool, note->content,
                      (apr_int64_t *)apr_array_push(words));
    return sql_sync_push_notes(rq->db, &in, rows);
}

static ch_err_t *write_folder(ch_req_t *rq, const char *text,
                              ch_rows_t **rows)
{
    const sql_sync_push_folder_t in = { .user_id = rq->who->user_id,
                                        .item = text };

    return sql_sync_push_folder(rq->db, &in, rows);
}

/* Only the fields, of a push that is based on whatever is there: nobody else
 * writes now. */
static const char *as_push(const quarrel_t *quarrel, const ch_item_t *fields)
{
    ch_item_t item = *fields;
    ch_buf_t *buf = ch_buf_make(quarrel->rq->pool, 1024, 4 * CH_BODY_MAX);
    int i;

    for (i = 0; i < item.fields->count; i++) {
        if (item.fields->rows[i].flags & CH_CREATE_ONLY) {
            item.given &= ~(UINT64_C(1) << i);
        }
    }
    ch_buf_printf(buf, "{\"id\":\"%s\",\"updatedAt\":\"infinity\"",
                  quarrel->in->id);
    if (item.given) {
        ch_buf_putc(buf, ',');
        ch_item_write_members(buf, &item);
    }
    ch_buf_putc(buf, '}');
    return ch_buf_cstr(buf);
}

static ch_err_t *write_fields(const quarrel_t *quarrel,
                              const ch_item_t *fields)
{
    ch_req_t *rq = quarrel->rq;
    const char *text = as_push(quarrel, fields);
    const char *fault;
    ch_rows_t *rows;
    ch_err_t *err = quarrel->kind == CH_SYNC_NOTE
                        ? write_note(rq, fields, text, &rows)
                        : write_folder(rq, text, &rows);

    if (err) {
        return err;
    }
    fault = ch_rows_text(rows, 0, "fault");
    return fault ? ch_sync_fault(rq->pool, fault) : NULL;
}

static ch_err_t *write_merged(quarrel_t *quarrel)
{
    const ch_merge_t merge = {
        .kind = quarrel->kind,
        .base = quarrel->base.values ? &quarrel->base : NULL,
        .server = &quarrel->server,
        .client = &quarrel->client,
    };
    ch_item_t merged;
    ch_err_t *err = ch_sync_merge(quarrel->rq->pool, &merge, &merged,
                                  quarrel->clashes);

    return err ? err : write_fields(quarrel, &merged);
}

static ch_err_t *write_winner(quarrel_t *quarrel)
{
    switch (quarrel->in->strategy) {
    case CLIENT_WINS:
        return write_fields(quarrel, &quarrel->client);
    case MANUAL:
        return write_fields(quarrel, &quarrel->in->resolved);
    case MERGE:
        return write_merged(quarrel);
    default:
        return NULL;
    }
}

static ch_err_t *close_quarrel(const quarrel_t *quarrel, ch_rows_t **rows)
{
    const ch_req_t *rq = quarrel->rq;
    const sql_sync_close_note_t note = {
        .user_id = rq->who->user_id,
        .id = quarrel->in->id,
        .strategy = strategies[quarrel->in->strategy],
    };
    const sql_sync_close_folder_t folder = { .user_id = note.user_id,
                                             .id = note.id,
                                             .strategy = note.strategy };

    return quarrel->kind == CH_SYNC_NOTE
               ? sql_sync_close_note(rq->db, &note, rows)
               : sql_sync_close_folder(rq->db, &folder, rows);
}

/* --- handler ------------------------------------------------------------ */

static ch_err_t *reply(const quarrel_t *quarrel, const ch_rows_t *rows)
{
    ch_req_t *rq = quarrel->rq;
    ch_buf_t *buf = ch_reply_begin(rq, ch_rows_size(rows) + 1024);
    int i;

    ch_buf_printf(buf,
                  "{\"id\":\"%s\",\"type\":\"%s\",\"strategy\":\"%s\","
                  "\"clean\":%s,\"clashes\":[",
                  quarrel->in->id, ch_sync_kinds[quarrel->kind].name,
                  strategies[quarrel->in->strategy],
                  quarrel->clashes->nelts ? "false" : "true");
    for (i = 0; i < quarrel->clashes->nelts; i++) {
        const ch_clash_t *clash =
            &APR_ARRAY_IDX(quarrel->clashes, i, ch_clash_t);

        ch_buf_printf(buf, "%s{\"field\":\"%s\",\"count\":%d}", i ? "," : "",
                      clash->field, clash->count);
    }
    CH_BUF_LIT(buf, "],\"resolved\":");
    ch_reply_write_row(buf, ch_sync_kinds[quarrel->kind].out, rows, 0);
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "Conflict resolved");
}

static ch_err_t *settle(quarrel_t *quarrel, ch_rows_t **rows)
{
    const sql_sync_lock_t lock = { .user_id = quarrel->rq->who->user_id };
    ch_rows_t *locked;
    ch_err_t *err = sql_sync_lock(quarrel->rq->db, &lock, &locked);

    err = err ? err : look(quarrel);
    err = err ? err : write_winner(quarrel);
    return err ? err : close_quarrel(quarrel, rows);
}

/* A transaction, because the merge is made here, between reading and writing,
 * under the user's lock. */
ch_err_t *ch_sync_resolve(ch_req_t *rq)
{
    const resolve_in_t *in = rq->body;
    quarrel_t quarrel = {
        .rq = rq,
        .in = in,
        .kind = (ch_sync_kind_e)in->kind,
        .client = in->client,
        .clashes = apr_array_make(rq->pool, 4, sizeof(ch_clash_t)),
    };
    ch_rows_t *rows;
    ch_err_t *err = ch_db_begin(rq->db);

    if (err) {
        return err;
    }
    err = settle(&quarrel, &rows);
    if (err) {
        ch_db_rollback(rq->db);
        return err;
    }
    err = ch_db_commit(rq->db);
    return err ? err : reply(&quarrel, rows);
}
