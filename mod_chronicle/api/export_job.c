/* The job that writes an export. Each try has a file of its own, whose key is
 * made of the export's id and the number of the try, so that whatever a try
 * leaves when it is killed can be found. */
#include <string.h>

#include <apr_strings.h>

#include "api/export.h"
#include "store/sql_gen.h"

static const char *key_of(const ch_job_t *job, const char *id, int attempt)
{
    return apr_psprintf(job->pool, "exports/%s-%d", id, attempt);
}

/* The account went while its export was waiting, or being written. */
static ch_err_t *forget(ch_job_t *job, const char *id)
{
    ch_err_t *err = NULL;
    int i;

    for (i = 1; i <= job->attempts && !err; i++) {
        err = ch_blob_delete(job->conf->blob, job->pool, key_of(job, id, i));
    }
    return err;
}

static ch_err_t *to_file(void *ctx, const void *data, size_t len)
{
    return ch_blob_write(ctx, data, len);
}

static ch_err_t *write_file(ch_job_t *job, const ch_rows_t *row,
                            ch_blob_out_t *out)
{
    ch_export_t export = {
        .job = job,
        .user_id = ch_rows_text(row, 0, "user_id"),
        .give = to_file,
        .ctx = out,
    };
    int is_zip = strcmp(ch_rows_text(row, 0, "format"), "zip") == 0;
    ch_err_t *err = ch_export_begin(&export);

    if (!err && is_zip) {
        err = ch_export_archive(&export, out,
                                ch_rows_bool(row, 0, "include_attachments"));
    }
    else if (!err) {
        err = ch_export_json(&export);
    }
    return err ? err : ch_blob_commit(out);
}

/* --- ends ------------------------------------------------------------- */

static ch_err_t *complete(ch_job_t *job, const char *id,
                          const ch_blob_out_t *out, apr_int64_t *mine)
{
    const sql_export_done_t in = { .id = id, .key = out->key,
                                   .size = out->size };

    return sql_export_done(job->db, &in, mine);
}

/* Writes down what went wrong, in words for the user. A server that stops, or
 * another runner that has taken over, is no failure. */
static ch_err_t *give_up(ch_job_t *job, const char *id, const char *key,
                         ch_err_t *why)
{
    const sql_export_failed_t in = {
        .id = id,
        .key = key,
        .error = ch_code_text(why->code),
        .last = job->for_good || job->attempts >= job->max_attempts,
    };
    apr_int64_t mine = 1;

    if (job->state != CH_JOB_GOES_ON) {
        return why;
    }
    ch_blob_delete(job->conf->blob, job->pool, key);
    if (!sql_export_failed(job->db, &in, &mine) && !mine) {
        return forget(job, id);
    }
    return why;
}

static ch_err_t *try_once(ch_job_t *job, const char *id, const char *key,
                          const ch_rows_t *row)
{
    ch_blob_out_t *out;
    apr_int64_t mine = 0;
    ch_err_t *err =
        ch_blob_create(job->conf->blob, job->pool, key, &out);

    if (err) {
        return give_up(job, id, key, err);
    }
    err = write_file(job, row, out);
    if (err) {
        ch_blob_abort(out);
        return give_up(job, id, key, err);
    }
    err = complete(job, id, out, &mine);
    return err || mine ? err : forget(job, id);
}

ch_err_t *ch_export_run(ch_job_t *job)
{
    const char *id;
    sql_export_start_t in;
    const char *old;
    ch_rows_t *row;
    ch_err_t *err = ch_job_names(job, &id);

    in = (sql_export_start_t){ .id = id,
                               .key = key_of(job, id, job->attempts) };
    err = err ? err : sql_export_start(job->db, &in, &row);
    if (err) {
        return err;
    }
    if (!ch_rows_count(row)) {
        return forget(job, id);
    }
    if (!ch_rows_bool(row, 0, "unfinished")) {
        return NULL; /* done by a runner that died before it could say so */
    }
    old = ch_rows_text(row, 0, "old_key");
    if (old) {
        err = ch_blob_delete(job->conf->blob, job->pool, old);
    }
    return err ? err : try_once(job, id, in.key, row);
}
