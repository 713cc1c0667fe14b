/* Puts conversations into the database: as many as fit into some megabytes in
 * one round trip and one transaction, and one by one where that fails, so that
 * a bad one spoils only itself. What was there before is left alone, so an
 * import whose outcome nobody knows can be repeated. */
#include "api/import.h"

#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "api/conversations.h"
#include "base/jsonw.h"
#include "base/uuid.h"
#include "store/kept.h"

#define SLOTS 64                /* conversations of a transaction */
#define BYTES (2 * 1024 * 1024) /* of their texts, more or less */
#define RAW_BYTES (8 * 1024 * 1024) /* of the JSON they were read from */
#define TRIES 3                 /* of a conversation alone */
#define OUT_OF_TIME "conversation_create: 57014"

/* One that is to be stored. */
typedef struct {
    int index;
    const char *id;                      /* of our own exports: their ids */
    const apr_array_header_t *messages;  /* of those: ch_import_message_t */
    int known;                           /* it is there: not to be stored */
    sql_conversation_create_t row;
    apr_int64_t message_count;
    ch_rows_t *rows;
} slot_t;

struct ch_import_batch_t {
    apr_pool_t *pool; /* cleared when all of it is stored */
    apr_pool_t *json; /* cleared after each conversation */
    apr_array_header_t *slots;  /* of slot_t, by index */
    apr_array_header_t *faults; /* of ch_import_fault_t, not noted yet */
    int fault_count;            /* the same, also where none is kept */
    int reached;                /* those before it were looked at */
    size_t bytes;
    size_t raw; /* also of those that failed: reading them took memory, too */
    ch_rows_t *note;            /* of the last transaction of a job */
};

static void empty(ch_import_t *import)
{
    ch_import_batch_t *batch = import->batch;

    apr_pool_clear(batch->pool);
    apr_pool_create(&batch->json, batch->pool);
    batch->slots = apr_array_make(batch->pool, SLOTS, sizeof(slot_t));
    batch->faults =
        apr_array_make(batch->pool, 4, sizeof(ch_import_fault_t));
    batch->fault_count = 0;
    batch->bytes = 0;
    batch->raw = 0;
}

void ch_import_begin(ch_import_t *import)
{
    import->batch = apr_pcalloc(import->pool, sizeof(*import->batch));
    import->made =
        apr_array_make(import->pool, 16, sizeof(ch_import_made_t));
    import->faults =
        apr_array_make(import->pool, 4, sizeof(ch_import_fault_t));
    import->batch->reached = import->noted;
    apr_pool_create(&import->batch->pool, import->pool);
    empty(import);
}

/* --- what has become of them ------------------------------------------ */

static void add_fault(ch_import_t *import, int index, const char *title,
                      const char *message)
{
    ch_import_batch_t *batch = import->batch;
    ch_import_fault_t *fault;

    batch->fault_count++;
    if (batch->faults->nelts < CH_IMPORT_TOLD_MAX) {
        fault = apr_array_push(batch->faults);
        fault->index = index;
        fault->title = title;
        fault->message = message;
    }
}

static void count_made(ch_import_t *import, const slot_t *slot)
{
    ch_import_made_t *made;

    if (slot->known || !ch_rows_count(slot->rows)) {
        import->skipped++;
        return;
    }
    import->imported++;
    if (import->made->nelts < CH_IMPORT_TOLD_MAX) {
        made = apr_array_push(import->made);
        made->id = apr_pstrdup(import->pool, slot->row.id);
        made->slug = apr_pstrdup(import->pool,
                                 ch_rows_text(slot->rows, 0, "slug"));
        made->title = apr_pstrdup(import->pool, slot->row.title);
        made->message_count = slot->message_count;
    }
}

static void count_faults(ch_import_t *import)
{
    const apr_array_header_t *faults = import->batch->faults;
    int i;

    import->failed += import->batch->fault_count;
    for (i = 0; i < faults->nelts
                && import->faults->nelts < CH_IMPORT_TOLD_MAX;
         i++) {
        ch_import_fault_t fault =
            APR_ARRAY_IDX(faults, i, ch_import_fault_t);

        fault.title = apr_pstrdup(import->pool, fault.title);
        fault.message = apr_pstrdup(import->pool, fault.message);
        APR_ARRAY_PUSH(import->faults, ch_import_fault_t) = fault;
    }
}

void ch_import_write_faults(ch_buf_t *buf, const apr_array_header_t *faults)
{
    int i;

    ch_buf_putc(buf, '[');
    for (i = 0; i < faults->nelts; i++) {
        const ch_import_fault_t *fault =
            &APR_ARRAY_IDX(faults, i, ch_import_fault_t);

        ch_buf_puts(buf, i ? ",{\"index\":" : "{\"index\":");
        ch_jsonw_int(buf, fault->index);
        CH_BUF_LIT(buf, ",\"title\":");
        ch_jsonw_cstr(buf, fault->title);
        CH_BUF_LIT(buf, ",\"message\":");
        ch_jsonw_cstr(buf, fault->message);
        ch_buf_putc(buf, '}');
    }
    ch_buf_putc(buf, ']');
}

static const char *faults_json(apr_pool_t *pool,
                               const apr_array_header_t *faults)
{
    ch_buf_t *buf = ch_buf_make(pool, 64, SIZE_MAX / 2);

    ch_import_write_faults(buf, faults);
    return ch_buf_cstr(buf);
}

/* --- a transaction ---------------------------------------------------- */

/* Conversations of which all are stored, or none. */
typedef struct {
    slot_t **slots;
    int count;
    int reached; /* with them, those before it are done */
    int faults;  /* those that failed are noted, too */
} lot_t;

/* Imported ones may show in what everybody is told. Around a request that is
 * done already, around a job it is not. */
static void touch_public(const ch_import_t *import, ch_db_t *db,
                         const lot_t *lot,
                         void (*touch)(const ch_kept_home_t *home,
                                       const unsigned char user[16]))
{
    const ch_kept_home_t home = { .pool = import->batch->pool,
                                  .db = db,
                                  .redis = import->conf->redis,
                                  .site = import->conf->site };
    int i;

    for (i = 0; i < lot->count && import->id; i++) {
        if (strcmp(lot->slots[i]->row.visibility, "public") == 0) {
            touch(&home, ch_kept_public);
            return;
        }
    }
}

/* Tells the row of the job's import how far it is, within the transaction that
 * gets there. */
static ch_err_t *note(ch_import_t *import, ch_db_t *db, apr_pool_t *pool,
                      const lot_t *lot)
{
    apr_array_header_t *ids = apr_array_make(pool, 8, sizeof(const char *));
    const sql_import_note_t in = {
        .id = import->id,
        .reached = import->noted,
        .processed = lot->reached,
        .ids = ids,
        .failed = lot->faults ? import->batch->fault_count : 0,
        .errors = lot->faults ? faults_json(pool, import->batch->faults)
                              : "[]",
    };
    int i;

    for (i = 0; i < lot->count; i++) {
        APR_ARRAY_PUSH(ids, const char *) = lot->slots[i]->row.id;
    }
    return sql_import_note(db, &in, &import->batch->note);
}

/* --- ids of our own ---------------------------------------------------- */

/* Asks which of the ids of a lot are there: into taken, under the id of a
 * conversation "mine" or "theirs", under "m" and a message's id "said". */
static ch_err_t *find_taken(ch_import_t *import, ch_db_t *db,
                            apr_pool_t *pool, const lot_t *lot,
                            apr_hash_t *taken)
{
    apr_array_header_t *ids = apr_array_make(pool, 8, sizeof(const char *));
    apr_array_header_t *said = apr_array_make(pool, 64, sizeof(const char *));
    const sql_import_taken_t in = { .user_id = import->user_id,
                                    .ids = ids,
                                    .message_ids = said };
    ch_rows_t *rows;
    ch_err_t *err;
    int i, k;

    for (i = 0; i < lot->count; i++) {
        const slot_t *slot = lot->slots[i];

        for (k = 0; slot->id && k < slot->messages->nelts; k++) {
            APR_ARRAY_PUSH(said, const char *) =
                APR_ARRAY_IDX(slot->messages, k, ch_import_message_t).id;
        }
        if (slot->id) {
            APR_ARRAY_PUSH(ids, const char *) = slot->id;
        }
    }
    if (!ids->nelts) {
        return NULL;
    }
    err = sql_import_taken(db, &in, &rows);
    for (i = 0; !err && i < ch_rows_count(rows); i++) {
        apr_hash_set(taken, ch_rows_text(rows, i, "key"), APR_HASH_KEY_STRING,
                     ch_rows_text(rows, i, "whose"));
    }
    return err;
}

/* The ids under which a slot is stored: its own, as far as nobody has them.
 * One that is known gets an id that nothing has, as a job tells by them what
 * is new. */
static void name_slot(apr_pool_t *pool, slot_t *slot, apr_hash_t *taken)
{
    const char *of = apr_hash_get(taken, slot->id, APR_HASH_KEY_STRING);
    int i, count = slot->messages->nelts;
    apr_array_header_t *ids = apr_array_make(pool, count, sizeof(char *));

    slot->known = of && strcmp(of, "mine") == 0;
    slot->row.id = of ? ch_uuid_make(pool) : slot->id;
    slot->row.ids = ids;
    if (slot->known) {
        return;
    }
    if (!of) {
        apr_hash_set(taken, slot->id, APR_HASH_KEY_STRING, "mine");
    }
    for (i = 0; i < count; i++) {
        const char *id =
            APR_ARRAY_IDX(slot->messages, i, ch_import_message_t).id;
        const char *key = apr_pstrcat(pool, "m", id, NULL);
        int is_free = !apr_hash_get(taken, key, APR_HASH_KEY_STRING);

        APR_ARRAY_PUSH(ids, const char *) = is_free ? id : NULL;
        apr_hash_set(taken, key, APR_HASH_KEY_STRING, "said");
    }
}

static ch_err_t *name_lot(ch_import_t *import, ch_db_t *db, apr_pool_t *pool,
                          const lot_t *lot)
{
    apr_hash_t *taken = apr_hash_make(pool);
    ch_err_t *err = find_taken(import, db, pool, lot, taken);
    int i;

    for (i = 0; i < lot->count && !err; i++) {
        if (lot->slots[i]->id) {
            name_slot(import->batch->pool, lot->slots[i], taken);
        }
    }
    return err;
}

/* --- storing ---------------------------------------------------------- */

static int by_slug(const void *a, const void *b)
{
    const slot_t *one = *(slot_t *const *)a;
    const slot_t *other = *(slot_t *const *)b;
    int order = strcmp(one->row.slug, other->row.slug);

    return order ? order : one->index - other->index;
}

/* Slugs are locked until the end. In one order, so that two imports do not
 * wait for each other. */
static ch_err_t *send_lot(ch_import_t *import, ch_db_t *db, apr_pool_t *pool,
                          const lot_t *lot)
{
    slot_t **sorted = apr_palloc(pool, SLOTS * sizeof(*sorted));
    ch_err_t *err = NULL;
    int i;

    for (i = 0; i < lot->count; i++) {
        sorted[i] = lot->slots[i];
    }
    qsort(sorted, (size_t)lot->count, sizeof(*sorted), by_slug);
    ch_db_gather(db);
    for (i = 0; i < lot->count && !err; i++) {
        err = sorted[i]->known
                  ? NULL
                  : sql_conversation_create(db, &sorted[i]->row,
                                            &sorted[i]->rows);
    }
    if (!err && import->id) {
        err = note(import, db, pool, lot);
    }
    return err ? err : ch_db_send(db);
}

static void done(ch_import_t *import, const lot_t *lot)
{
    int i;

    for (i = 0; i < lot->count && !import->id; i++) {
        count_made(import, lot->slots[i]);
    }
    if (lot->faults && !import->id) {
        count_faults(import);
    }
    if (lot->faults) {
        import->batch->fault_count = 0;
        apr_array_clear(import->batch->faults);
    }
    import->noted = lot->reached;
}

/* Through a door of its own, which holds a connection only meanwhile. */
static ch_err_t *store(ch_import_t *import, const lot_t *lot)
{
    apr_pool_t *pool;
    ch_db_t *db;
    ch_err_t *err;

    apr_pool_create(&pool, import->batch->pool);
    db = ch_db_make(pool, import->conf->db);
    touch_public(import, db, lot, ch_kept_begin);
    err = name_lot(import, db, pool, lot);
    err = err ? err : send_lot(import, db, pool, lot);
    touch_public(import, db, lot, ch_kept_end);
    if (!err && import->id && !ch_rows_count(import->batch->note)) {
        return ch_err_make(import->pool, CH_E_USER_NOT_FOUND, NULL);
    }
    if (!err) {
        done(import, lot);
        apr_pool_destroy(pool);
    }
    return err;
}

/* Whether it is the conversation that is bad, not the database. */
static int is_own_fault(const ch_err_t *err)
{
    return err->code == CH_E_INTERNAL_ERROR || err->code == CH_E_CONFLICT
           || err->code == CH_E_SLUG_TAKEN
           || (err->cause && strstr(err->cause, OUT_OF_TIME));
}

static ch_err_t *store_one(ch_import_t *import, slot_t *slot)
{
    const lot_t lot = { .slots = &slot, .count = 1,
                        .reached = slot->index + 1 };
    ch_err_t *err = NULL;
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        err = store(import, &lot);
        if (!err || err->code == CH_E_INTERNAL_ERROR) {
            break;
        }
    }
    if (!err || !is_own_fault(err)) {
        return err;
    }
    import->log(import->ctx, 'w', 1121,
                apr_psprintf(import->batch->pool,
                             "import: conversation %d was not stored: %s",
                             slot->index,
                             err->cause ? err->cause : err->message));
    add_fault(import, slot->index, slot->row.title, "could not be stored");
    return NULL;
}

/* Stores what was gathered, and notes that all before `reached` are done. */
static ch_err_t *flush(ch_import_t *import)
{
    ch_import_batch_t *batch = import->batch;
    int i, count = batch->slots->nelts;
    slot_t **slots = apr_palloc(batch->pool, SLOTS * sizeof(*slots));
    lot_t lot = { .slots = slots, .count = count, .reached = batch->reached,
                  .faults = 1 };
    ch_err_t *err;

    for (i = 0; i < count; i++) {
        slots[i] = &APR_ARRAY_IDX(batch->slots, i, slot_t);
    }
    err = store(import, &lot);
    if (err && count) {
        err = NULL;
        for (i = 0; i < count && !err; i++) {
            err = store_one(import, slots[i]);
        }
        lot.count = 0;
        err = err ? err : store(import, &lot);
    }
    if (!err) {
        empty(import);
    }
    return err;
}

/* --- gathering -------------------------------------------------------- */

static void put_messages(apr_pool_t *pool, const ch_import_talk_t *talk,
                         sql_conversation_create_t *row, size_t *bytes)
{
    int i, count = talk->messages->nelts;
    apr_array_header_t *roles = apr_array_make(pool, count, sizeof(char *));
    apr_array_header_t *texts = apr_array_make(pool, count, sizeof(char *));
    apr_array_header_t *models = apr_array_make(pool, count, sizeof(char *));
    apr_array_header_t *times = apr_array_make(pool, count, sizeof(char *));

    for (i = 0; i < count; i++) {
        const ch_import_message_t *message =
            &APR_ARRAY_IDX(talk->messages, i, ch_import_message_t);

        APR_ARRAY_PUSH(roles, const char *) = message->role;
        APR_ARRAY_PUSH(texts, const char *) = message->content;
        APR_ARRAY_PUSH(models, const char *) = message->model;
        APR_ARRAY_PUSH(times, const char *) = message->created_at;
        *bytes += strlen(message->content) + 100;
    }
    row->roles = roles;
    row->contents = texts;
    row->models = models;
    row->times = times;
    row->ids = apr_array_make(pool, 1, sizeof(char *)); /* made there */
}

static void add_slot(ch_import_t *import, int index,
                     const ch_import_talk_t *talk)
{
    ch_import_batch_t *batch = import->batch;
    slot_t *slot = apr_array_push(batch->slots);

    slot->index = index;
    slot->message_count = talk->messages->nelts;
    slot->id = talk->id;
    slot->messages = talk->messages;
    slot->row = (sql_conversation_create_t){
        .id = ch_uuid_make(batch->pool),
        .user_id = import->user_id,
        .slug = talk->slug,
        .title = talk->title,
        .description = talk->description,
        .category = import->category ? import->category : talk->category,
        .tags = import->tags ? import->tags : talk->tags,
        .provider = talk->provider,
        .model = talk->model,
        .source = talk->source,
        .source_id = talk->source_id,
        .visibility =
            import->visibility ? import->visibility : talk->visibility,
        .version = talk->version,
        .created_at = talk->created_at,
        .updated_at = talk->updated_at,
    };
    put_messages(batch->pool, talk, &slot->row, &batch->bytes);
}

ch_err_t *ch_import_value(ch_import_t *import, int index,
                          const ch_json_t *value)
{
    ch_import_batch_t *batch = import->batch;
    ch_import_talk_t talk;
    const char *fault =
        ch_import_read(batch->pool, value, import->format, &talk);

    if (fault) {
        add_fault(import, index, talk.title, fault);
    }
    else {
        add_slot(import, index, &talk);
    }
    batch->reached = index + 1;
    return batch->slots->nelts >= SLOTS || batch->bytes >= BYTES
                   || batch->raw >= RAW_BYTES
                   || batch->fault_count >= CH_IMPORT_TOLD_MAX
               ? flush(import)
               : NULL;
}

ch_err_t *ch_import_item(void *ctx, int index, const char *text, size_t len)
{
    ch_import_t *import = ctx;
    ch_import_batch_t *batch = import->batch;
    const ch_json_t *value = NULL;
    ch_err_t *err = import->step ? import->step(import->ctx) : NULL;

    if (err || index < batch->reached) {
        return err; /* done by a try before this one */
    }
    batch->raw += len;
    if (text) {
        value = ch_json_parse_mended(batch->json, text, len,
                                     CH_IMPORT_DEPTH_MAX);
    }
    if (value) {
        err = ch_import_value(import, index, value);
    }
    else {
        add_fault(import, index, NULL,
                  text ? "is not valid JSON" : "is longer than 16 MB");
        batch->reached = index + 1;
    }
    /* a flush has taken the pool with it */
    apr_pool_clear(batch->json);
    return err;
}

ch_err_t *ch_import_end(ch_import_t *import)
{
    return import->batch->reached > import->noted ? flush(import) : NULL;
}
