/* Imports of conversations from other products' exports: small ones at once,
 * large files by a job. */
#include "api/import.h"

#include <apr_strings.h>

#include "api/api.h"
#include "api/conversations.h"
#include "auth/auth.h"
#include "base/jsonw.h"
#include "base/uuid.h"
#include "blob/blob.h"
#include "web/reply.h"

#define HERE CH_CONVERSATIONS
#define DATA_MAX 1000 /* conversations of a JSON body */
#define CHUNK 65536

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    int format;
    const ch_json_t *data;
    int visibility;
    int category;
    const apr_array_header_t *tags;
} import_in_t;

static const ch_field_t in_rows[] = {
    { .name = "format", CH_IN(import_in_t, format, CH_T_ENUM),
      CH_CHOICES(ch_import_names), .def = "\"auto\"",
      .doc = "Whose export it is; auto: found out for each conversation, "
             "exports from here too" },
    { .name = "data", CH_IN(import_in_t, data, CH_T_JSON),
      .flags = CH_REQUIRED | CH_NOT_UPLOAD | CH_OR_OBJECT, .max = DATA_MAX,
      .doc = "Conversations as they were exported, or one of them" },
    { .name = "visibility", CH_IN(import_in_t, visibility, CH_T_ENUM),
      CH_CHOICES(ch_conversation_visibilities),
      .doc = "Of what is imported; absent: private, but for what was exported "
             "from here, which stays as it was" },
    { .name = "category", CH_IN(import_in_t, category, CH_T_ENUM),
      CH_CHOICES(ch_conversation_categories),
      .doc = "Of what is imported; absent: general, but for what was exported "
             "from here" },
    { .name = "tags", CH_IN(import_in_t, tags, CH_T_STRS),
      .flags = CH_UNIQUE, .max = CH_CONVERSATION_TAGS_MAX, .item_min = 1,
      .item_max = CH_CONVERSATION_TAG_MAX,
      .doc = "Of what is imported, kept in lower case; absent: none, but for "
             "what was exported from here" },
};

static const ch_fields_t import_in = {
    .name = "ConversationImportIn", .rows = in_rows,
    .count = (int)CH_COUNT(in_rows), .size = sizeof(import_in_t),
};

/* --- outputs ---------------------------------------------------------- */

static const char *const states[] = { "queued", "running", "completed",
                                      "failed" };

static const ch_field_t made_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "slug", .type = CH_T_STR, .doc = "Name in addresses" },
    { .name = "title", .type = CH_T_STR, .doc = "Title" },
    { .name = "messageCount", .type = CH_T_INT, .doc = "Messages" },
};

static const ch_fields_t made_out = {
    .name = "ImportedConversation", .rows = made_rows,
    .count = (int)CH_COUNT(made_rows),
};

static const ch_field_t fault_rows[] = {
    { .name = "index", .type = CH_T_INT,
      .doc = "Which conversation of the export, from 0" },
    { .name = "title", .type = CH_T_STR, .flags = CH_NULLABLE,
      .doc = "Its title, where one could be read" },
    { .name = "message", .type = CH_T_STR, .doc = "Why it was left out" },
};

static const ch_fields_t fault_out = {
    .name = "ImportFault", .rows = fault_rows,
    .count = (int)CH_COUNT(fault_rows),
};

static const ch_field_t result_rows[] = {
    { .name = "imported", .type = CH_T_INT, .doc = "Are new" },
    { .name = "skipped", .type = CH_T_INT, .doc = "Were imported before" },
    { .name = "failed", .type = CH_T_INT, .doc = "Could not be read" },
    { .name = "conversations", .type = CH_T_JSON, .nested = &made_out,
      .max = CH_IMPORT_TOLD_MAX, .doc = "The first of the new ones" },
    { .name = "errors", .type = CH_T_JSON, .nested = &fault_out,
      .max = CH_IMPORT_TOLD_MAX, .doc = "The first that failed" },
};

static const ch_fields_t result_out = {
    .name = "ConversationImportResult", .rows = result_rows,
    .count = (int)CH_COUNT(result_rows),
};

static const ch_field_t job_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(states),
      .doc = "completed: all of the file was looked at" },
    { .name = "processed", .type = CH_T_INT,
      .doc = "Conversations of the file that are done" },
    { .name = "total", .type = CH_T_INT, .flags = CH_NULLABLE,
      .doc = "All of them, once they were counted" },
    { .name = "result", .type = CH_T_NEST, .column = "imported",
      .nested = &result_out, .flags = CH_NULLABLE,
      .doc = "What has become of them, at the end" },
    { .name = "error", .type = CH_T_STR, .flags = CH_NULLABLE,
      .doc = "Why it failed" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "Asked for" },
    { .name = "finishedAt", .type = CH_T_TIME, .column = "finished_at",
      .flags = CH_NULLABLE, .doc = "Completed or failed" },
};

static const ch_fields_t job_out = {
    .name = "ConversationImport", .rows = job_rows,
    .count = (int)CH_COUNT(job_rows),
};

/* --- at once ---------------------------------------------------------- */

static void tell(void *ctx, char level, int number, const char *text)
{
    ch_req_t *rq = ctx;

    rq->io->log(rq, level, number, text);
}

static ch_import_t import_of(ch_req_t *rq)
{
    const import_in_t *in = rq->body;

    return (ch_import_t){
        .pool = rq->pool,
        .conf = rq->conf,
        .user_id = rq->who->user_id,
        .format = (ch_import_e)in->format,
        .visibility =
            ch_conversation_name(ch_conversation_visibilities,
                                 CH_OPT(rq, import_in_t, visibility)),
        .category =
            ch_conversation_name(ch_conversation_categories,
                                 CH_OPT(rq, import_in_t, category)),
        .tags = ch_conversation_tags(rq->pool, in->tags),
        .log = tell,
        .ctx = rq,
    };
}

static void write_made(ch_buf_t *buf, const apr_array_header_t *list)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        const ch_import_made_t *made =
            &APR_ARRAY_IDX(list, i, ch_import_made_t);

        ch_buf_puts(buf, i ? ",{\"id\":" : "{\"id\":");
        ch_jsonw_cstr(buf, made->id);
        CH_BUF_LIT(buf, ",\"slug\":");
        ch_jsonw_cstr(buf, made->slug);
        CH_BUF_LIT(buf, ",\"title\":");
        ch_jsonw_cstr(buf, made->title);
        CH_BUF_LIT(buf, ",\"messageCount\":");
        ch_jsonw_int(buf, made->message_count);
        ch_buf_putc(buf, '}');
    }
}

static ch_err_t *reply_result(ch_req_t *rq, const ch_import_t *import)
{
    ch_buf_t *buf;

    rq->reply.status = import->imported ? 201 : 200;
    buf = ch_reply_begin(rq, 1024);
    ch_buf_printf(buf, "{\"imported\":%d,\"skipped\":%d,\"failed\":%d,"
                       "\"conversations\":[",
                  import->imported, import->skipped, import->failed);
    write_made(buf, import->made);
    CH_BUF_LIT(buf, "],\"errors\":");
    ch_import_write_faults(buf, import->faults);
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, apr_psprintf(rq->pool,
                                         "%d imported, %d skipped, %d failed",
                                         import->imported, import->skipped,
                                         import->failed));
}

/* Whether none of the conversations is one that we know. */
static int is_unknown(const ch_json_t *data, ch_import_e format)
{
    size_t i, count = ch_json_size(data);

    if (ch_json_type(data) == CH_JSON_OBJECT) {
        return !ch_import_fits(data, format);
    }
    for (i = 0; i < count; i++) {
        if (ch_import_fits(ch_json_at(data, i), format)) {
            return 0;
        }
    }
    return count > 0;
}

static ch_err_t *import_data(ch_req_t *rq)
{
    const ch_json_t *data = ((const import_in_t *)rq->body)->data;
    int is_list = ch_json_type(data) == CH_JSON_ARRAY;
    size_t i, count = is_list ? ch_json_size(data) : 1;
    ch_import_t import = import_of(rq);
    ch_err_t *err = NULL;

    if (is_unknown(data, import.format)) {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_FORMAT, "data",
                     "has the shape of neither ChatGPT's nor Claude's "
                     "conversations, nor of those exported from here");
        return err;
    }
    ch_import_begin(&import);
    for (i = 0; i < count && !err; i++) {
        err = ch_import_value(&import, (int)i,
                              is_list ? ch_json_at(data, i) : data);
    }
    err = err ? err : ch_import_end(&import);
    return err ? err : reply_result(rq, &import);
}

/* --- files ------------------------------------------------------------ */

static ch_err_t *read_upload(void *ctx, void *data, size_t *len)
{
    ch_req_t *rq = ctx;
    apr_status_t rv = apr_file_read(rq->upload->file, data, len);

    if (APR_STATUS_IS_EOF(rv)) {
        *len = 0;
        return NULL;
    }
    return rv == APR_SUCCESS
               ? NULL
               : ch_err_cause(rq->pool, CH_E_STORAGE_ERROR,
                              "import: the upload cannot be read");
}

static ch_err_t *rewind_upload(void *ctx)
{
    ch_req_t *rq = ctx;
    apr_off_t start = 0;

    return apr_file_seek(rq->upload->file, APR_SET, &start) == APR_SUCCESS
               ? NULL
               : ch_err_cause(rq->pool, CH_E_STORAGE_ERROR,
                              "import: the upload cannot be read again");
}

/* Looked through first: of a damaged file nothing is imported. */
static ch_err_t *import_file(ch_req_t *rq, const ch_import_source_t *source)
{
    ch_import_t import = import_of(rq);
    int count;
    ch_err_t *err = ch_import_count(rq->pool, source, import.format, NULL,
                                    NULL, &count);

    if (!err) {
        ch_import_begin(&import);
        err = ch_import_walk(rq->pool, source, ch_import_item, &import);
    }
    err = err ? err : ch_import_end(&import);
    return err ? err : reply_result(rq, &import);
}

/* --- by a job --------------------------------------------------------- */

static ch_err_t *copy(ch_req_t *rq, const ch_import_source_t *source,
                      ch_blob_out_t *out)
{
    char *chunk = apr_palloc(rq->pool, CHUNK);
    size_t len = CHUNK;
    ch_err_t *err = source->rewind(source->ctx);

    err = err ? err : source->read(source->ctx, chunk, &len);
    while (!err && len) {
        err = ch_blob_write(out, chunk, len);
        len = CHUNK;
        err = err ? err : source->read(source->ctx, chunk, &len);
    }
    return err ? err : ch_blob_commit(out);
}

static ch_err_t *keep_file(ch_req_t *rq, const ch_import_source_t *source,
                           const char *key)
{
    ch_blob_out_t *out;
    ch_err_t *err = ch_blob_create(rq->conf->blob, rq->pool, key, &out);

    if (!err) {
        err = copy(rq, source, out);
        if (err) {
            ch_blob_abort(out);
        }
    }
    return err;
}

static ch_err_t *reply_queued(ch_req_t *rq, const ch_rows_t *rows,
                              const char *id)
{
    ch_err_t *err = ch_reply_row_as(rq, &job_out, rows,
                                    "The import is on its way");

    rq->reply.status = 202;
    apr_table_setn(rq->out, "Location",
                   apr_pstrcat(rq->pool, HERE "/imports/", id, NULL));
    return err;
}

/* The row is there, whatever becomes of this request, before the file is: so
 * no file is ever forgotten. */
static ch_err_t *queue(ch_req_t *rq, const ch_import_source_t *source)
{
    const ch_import_t import = import_of(rq);
    ch_db_t *apart = ch_db_fork(rq->db, rq->pool);
    const char *id = ch_uuid_make(rq->pool);
    const sql_import_create_t row = {
        .user_id = import.user_id,
        .id = id,
        .key = ch_import_key(rq->pool, id),
        .format = ch_import_names[import.format],
        .visibility = import.visibility,
        .category = import.category,
        .tags = import.tags,
    };
    const sql_import_queue_t go = { .id = id };
    const sql_import_forget_t forget = { .id = id };
    ch_rows_t *rows;
    ch_err_t *err = sql_import_create(apart, &row, &rows);

    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    if (err) {
        return err;
    }
    err = keep_file(rq, source, row.key);
    if (err) {
        sql_import_forget(apart, &forget);
        return err;
    }
    err = sql_import_queue(rq->db, &go, &rows);
    if (!err && !ch_rows_count(rows)) {
        ch_blob_delete(rq->conf->blob, rq->pool, row.key);
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return err ? err : reply_queued(rq, rows, id);
}

/* --- handlers --------------------------------------------------------- */

static ch_err_t *import_upload(ch_req_t *rq)
{
    const ch_import_source_t source = { .read = read_upload,
                                        .rewind = rewind_upload,
                                        .ctx = rq };
    ch_err_t *err;

    if (rq->upload->size <= CH_BODY_MAX) {
        return import_file(rq, &source);
    }
    if (!rq->conf->blob) {
        return ch_err_cause(rq->pool, CH_E_SERVICE_UNAVAILABLE,
                            "import: there is no ChronicleStorage");
    }
    err = ch_import_check(rq->pool, &source);
    return err ? err : queue(rq, &source);
}

static ch_err_t *import_any(ch_req_t *rq)
{
    return rq->upload ? import_upload(rq) : import_data(rq);
}

static ch_err_t *get(ch_req_t *rq)
{
    const sql_import_get_t in = { .user_id = rq->who->user_id,
                                  .id = rq->match.param[0] };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_import_get(rq->db, &in, &rows);

    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_JOB_NOT_FOUND, NULL);
    }
    return err ? err : ch_reply_row(rq, rows, "Your import");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = HERE "/import", .auth = CH_USER,
      .rate = CH_RATE_UPLOAD, .feature = CH_FEATURE_CONVERSATIONS,
      .flags = CH_IDEMPOTENT | CH_APART | CH_AGAIN, .ok = 201,
      .body = &import_in,
      .out = &result_out, .later = &job_out,
      .upload_max = offsetof(ch_conf_t, import_limit),
      CH_ROUTE_CODES(CH_E_UNSUPPORTED_MEDIA_TYPE, CH_E_SERVICE_UNAVAILABLE,
                     CH_E_STORAGE_ERROR),
      .handler = import_any, .tag = "Conversations",
      .summary = "Import conversations from an export of ChatGPT, Claude, "
                 "or of this API",
      .doc = "As JSON, or as a file: conversations.json, or a ZIP archive "
             "that holds it, whole or in numbered parts. What was imported "
             "before, or is still there, is skipped. What was exported from "
             "here keeps its ids, slug and times where they are free; its "
             "author, views and featuring begin anew. Files over 10 MB are "
             "taken in by a job: 202, and Location tells where it can be "
             "followed." },
    { .method = CH_GET, .path = HERE "/imports/{id}", .auth = CH_USER,
      .rate = CH_RATE_API, .feature = CH_FEATURE_CONVERSATIONS, .ok = 200,
      .out = &job_out, CH_ROUTE_CODES(CH_E_JOB_NOT_FOUND), .handler = get,
      .tag = "Conversations", .summary = "How an import does" },
};

const ch_routes_t ch_import_routes = CH_ROUTES(routes);
