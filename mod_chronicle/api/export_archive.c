/* Puts an export into a ZIP archive: export.json, the notes' texts, the
 * conversations, the attachments. */
#include <string.h>

#include <apr_strings.h>

#include "api/export.h"
#include "api/transcript.h"
#include "base/zip.h"

#define PIECE 65536 /* bytes of an attachment that are read at a time */
#define ROW_MAX (4u * 1024 * 1024) /* bytes of a message */

static ch_err_t *to_file(void *ctx, const void *data, size_t len)
{
    return ch_blob_write(ctx, data, len);
}

static ch_err_t *to_entry(void *ctx, const void *data, size_t len)
{
    return ch_zip_write(ctx, data, len);
}

/* --- entries ---------------------------------------------------------- */

static ch_err_t *add_json(ch_export_t *export, ch_zip_t *zip)
{
    const ch_zip_entry_t entry = { .name = "export.json",
                                   .size = -1,
                                   .modified = apr_time_now() };
    ch_err_t *err = ch_zip_begin(zip, &entry);

    export->give = to_entry;
    export->ctx = zip;
    return err ? err : ch_export_json(export);
}

static ch_err_t *add_text(ch_export_t *export, void *ctx,
                          const ch_rows_t *rows, int row)
{
    ch_zip_t *zip = ctx;
    size_t len;
    const char *text =
        ch_rows_cell(rows, row, ch_rows_find(rows, "content", -1), &len);
    const ch_zip_entry_t entry = {
        .name = apr_pstrcat(export->page, "notes/",
                            ch_rows_text(rows, row, "id"), ".html", NULL),
        .size = (apr_int64_t)len,
        .modified = apr_time_from_sec(ch_rows_int(rows, row, "updated")),
    };
    ch_err_t *err = ch_zip_begin(zip, &entry);

    return err || !text ? err : ch_zip_write(zip, text, len);
}

/* A message; with the first one of a conversation its entry begins. */
static ch_err_t *add_message(ch_export_t *export, void *ctx,
                             const ch_rows_t *rows, int row)
{
    ch_buf_t *buf = ch_buf_make(export->page, 4096, ROW_MAX);
    ch_err_t *err = NULL;

    if (ch_rows_int(rows, row, "position") == 0) {
        const ch_zip_entry_t entry = {
            .name = apr_pstrcat(export->page, "conversations/",
                                ch_rows_text(rows, row, "slug"), ".md", NULL),
            .size = -1,
            .modified = apr_time_from_sec(ch_rows_int(rows, row, "updated")),
        };

        err = ch_zip_begin(ctx, &entry);
        ch_transcript_head(buf, rows, row);
    }
    ch_transcript_message(buf, rows, row);
    return err ? err : ch_zip_write(ctx, buf->data, buf->len);
}

static ch_err_t *copy(const ch_export_t *export, ch_zip_t *zip,
                      ch_blob_in_t *in)
{
    char *piece = apr_palloc(export->page, PIECE);
    ch_err_t *err = NULL;
    size_t len = PIECE;

    while (!err && len == PIECE) {
        err = ch_job_beat(export->job);
        if (!err) {
            err = ch_blob_read(in, piece, &len);
        }
        if (!err) {
            err = ch_zip_write(zip, piece, len);
        }
    }
    return err;
}

/* A row whose file is gone is left out: the others are worth having. */
static ch_err_t *add_attachment(ch_export_t *export, void *ctx,
                                const ch_rows_t *rows, int row)
{
    const char *id = ch_rows_text(rows, row, "id");
    const char *key = ch_rows_text(rows, row, "storage_key");
    ch_zip_entry_t entry = {
        .name = apr_pstrcat(
            export->page, "attachments/", id, "/",
            ch_zip_safe_name(export->page,
                             ch_rows_text(rows, row, "filename")),
            NULL),
        .modified = apr_time_from_sec(ch_rows_int(rows, row, "created")),
        .stored = strncmp(ch_rows_text(rows, row, "mime_type"), "text/", 5),
    };
    ch_blob_in_t *in;
    ch_err_t *err =
        ch_blob_open(export->job->conf->blob, export->page, key, &in);

    if (!err && !in) {
        ch_job_log(export->job, 'w', 1092,
                   apr_psprintf(export->page,
                                "attachment %s has no file %s", id, key));
    }
    if (err || !in) {
        return err;
    }
    entry.size = in->size;
    err = ch_zip_begin(ctx, &entry);
    if (!err) {
        err = copy(export, ctx, in);
    }
    ch_blob_close(in);
    return err;
}

/* --- the archive ------------------------------------------------------ */

ch_err_t *ch_export_archive(ch_export_t *export, ch_blob_out_t *out,
                            int attachments)
{
    static const ch_export_section_t texts = {
        .form = CH_EXPORT_NOTES, .fetch = ch_export_fetch_texts,
    };
    static const ch_export_section_t files = {
        .form = CH_EXPORT_NOTES, .fetch = ch_export_fetch_attachments,
        .by = { "id" },
    };
    static const ch_export_section_t transcripts = {
        .form = CH_EXPORT_LIST, .fetch = ch_export_fetch_transcripts,
        .by = { "id" },
    };
    ch_zip_t *zip;
    ch_err_t *err = ch_zip_make(export->job->pool, to_file, out, &zip);

    if (!err) {
        err = add_json(export, zip);
    }
    if (!err) {
        err = ch_export_walk(export, &texts, add_text, zip);
    }
    if (!err) {
        err = ch_export_walk(export, &transcripts, add_message, zip);
    }
    if (!err && attachments) {
        err = ch_export_walk(export, &files, add_attachment, zip);
    }
    return err ? err : ch_zip_end(zip);
}
