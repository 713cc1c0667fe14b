/* Exports of an account: asked for, looked at, fetched. Written by a job. */
#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "auth/auth.h"
#include "base/uuid.h"
#include "blob/blob.h"
#include "store/sql_gen.h"
#include "web/download.h"
#include "web/reply.h"

#define HERE "/api/v1/user/export"

/* --- inputs and outputs ----------------------------------------------- */

static const char *const formats[] = { "zip", "json" };
static const char *const states[] = { "queued", "running", "completed",
                                      "failed" };

typedef struct {
    int format;
    int attachments;
} export_in_t;

static const ch_field_t in_rows[] = {
    { .name = "format", CH_IN(export_in_t, format, CH_T_ENUM),
      CH_CHOICES(formats), .def = "\"zip\"",
      .doc = "zip: export.json, and the notes as files" },
    { .name = "includeAttachments",
      CH_IN(export_in_t, attachments, CH_T_BOOL), .def = "true",
      .doc = "Of zip: with the files of attachments" },
};

static const ch_fields_t export_in = CH_FIELDS(export_in_t, in_rows);

static const ch_field_t out_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(states),
      .doc = "completed: it can be fetched" },
    { .name = "format", .type = CH_T_ENUM, CH_CHOICES(formats),
      .doc = "As asked for" },
    { .name = "sizeBytes", .type = CH_T_INT, .column = "size_bytes",
      .flags = CH_NULLABLE, .doc = "Of the file, when completed" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "Asked for" },
    { .name = "finishedAt", .type = CH_T_TIME, .column = "finished_at",
      .flags = CH_NULLABLE, .doc = "Completed or failed" },
    { .name = "expiresAt", .type = CH_T_TIME, .column = "expires_at",
      .flags = CH_NULLABLE, .doc = "Deleted then" },
    { .name = "downloadUrl", .type = CH_T_STR, .column = "download_url",
      .flags = CH_NULLABLE, .doc = "Path of the file, when completed" },
    { .name = "error", .type = CH_T_STR, .flags = CH_NULLABLE,
      .doc = "Why it failed" },
};

static const ch_fields_t export_out = {
    .name = "Export", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

/* --- handlers --------------------------------------------------------- */

static ch_err_t *create(ch_req_t *rq)
{
    const export_in_t *in = rq->body;
    const sql_export_create_t row = {
        .user_id = rq->who->user_id,
        .id = ch_uuid_make(rq->pool),
        .format = formats[in->format],
        .attachments = in->attachments,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows;
    ch_err_t *err;

    if (!rq->conf->blob) {
        return ch_err_cause(rq->pool, CH_E_SERVICE_UNAVAILABLE,
                            "export: there is no ChronicleStorage");
    }
    err = sql_export_create(rq->db, &row, &rows);
    return err ? err
               : ch_reply_created(rq, rows, HERE "/",
                                  "The export is on its way");
}

static ch_err_t *get(ch_req_t *rq)
{
    const sql_export_get_t in = { .user_id = rq->who->user_id,
                                  .id = rq->match.param[0] };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_export_get(rq->db, &in, &rows);

    if (!err && !ch_rows_count(rows)) {
        err = ch_err_make(rq->pool, CH_E_EXPORT_NOT_FOUND, NULL);
    }
    return err ? err : ch_reply_row(rq, rows, "Your export");
}

static ch_err_t *send_file(ch_req_t *rq, const ch_rows_t *rows)
{
    const char *format = ch_rows_text(rows, 0, "format");
    const char *key = ch_rows_text(rows, 0, "storage_key");
    const ch_download_t download = {
        .path = rq->conf->blob ? ch_blob_path(rq->conf->blob, rq->pool, key)
                               : NULL,
        .size = ch_rows_int(rows, 0, "size_bytes"),
        .media = strcmp(format, "zip") == 0 ? "application/zip"
                                            : "application/json",
        .disposition = apr_psprintf(
            rq->pool, "attachment; filename=\"chronicle-export-%s.%s\"",
            ch_rows_text(rows, 0, "day"), format),
        .etag = apr_pstrcat(rq->pool, "\"", ch_rows_text(rows, 0, "id"),
                            "\"", NULL),
        .modified = apr_time_from_sec(ch_rows_int(rows, 0, "finished")),
    };

    if (!download.path) {
        return ch_err_cause(rq->pool, CH_E_STORAGE_ERROR,
                            "export: there is no store for %s", key);
    }
    return ch_reply_download(rq, &download);
}

static ch_err_t *fetch(ch_req_t *rq)
{
    const sql_export_file_t in = { .user_id = rq->who->user_id,
                                   .id = rq->match.param[0] };
    ch_rows_t *rows;
    ch_err_t *err = sql_export_file(rq->db, &in, &rows);

    if (!err) {
        err = ch_reply_fault(rq, rows, CH_E_EXPORT_NOT_FOUND);
    }
    return err ? err : send_file(rq, rows);
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = HERE, .auth = CH_USER, .rate = CH_RATE_API,
      .flags = CH_IDEMPOTENT, .ok = 202, .body = &export_in,
      .out = &export_out,
      CH_ROUTE_CODES(CH_E_EXPORT_IN_PROGRESS, CH_E_SERVICE_UNAVAILABLE),
      .handler = create, .tag = "User",
      .summary = "Have everything of the account written to a file" },
    { .method = CH_GET, .path = HERE "/{id}", .auth = CH_USER,
      .rate = CH_RATE_API, .ok = 200, .out = &export_out,
      CH_ROUTE_CODES(CH_E_EXPORT_NOT_FOUND), .handler = get, .tag = "User",
      .summary = "How an export does" },
    { .method = CH_GET, .path = HERE "/{id}/download", .auth = CH_USER,
      .rate = CH_RATE_NONE, .flags = CH_FILE, .ok = 200,
      CH_ROUTE_CODES(CH_E_EXPORT_NOT_FOUND, CH_E_EXPORT_NOT_READY,
                     CH_E_RANGE_NOT_SATISFIABLE, CH_E_STORAGE_ERROR),
      .media = "application/zip application/json", .handler = fetch,
      .tag = "User",
      .summary = "The file of an export",
      .doc = "Single ranges are answered with 206." },
};

const ch_routes_t ch_export_routes = CH_ROUTES(routes);
