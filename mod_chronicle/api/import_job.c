/* The job that takes in a file of conversations too large for a request. How
 * far it is stands in its row, written with what it stored, so that whoever
 * goes on does so at that place and the numbers are those of all tries. */
#include "api/import.h"

#include <string.h>

#include <apr_strings.h>

#include "blob/blob.h"
#include "store/sql_gen.h"

const char *ch_import_key(apr_pool_t *pool, const char *id)
{
    return apr_pstrcat(pool, "imports/", id, NULL);
}

/* --- the file --------------------------------------------------------- */

static ch_err_t *read_blob(void *ctx, void *data, size_t *len)
{
    return ch_blob_read(ctx, data, len);
}

static ch_err_t *rewind_blob(void *ctx)
{
    return ch_blob_seek(ctx, 0);
}

static ch_err_t *open_file(ch_job_t *job, const char *id,
                           ch_import_source_t *source)
{
    const char *key = ch_import_key(job->pool, id);
    ch_blob_in_t *in = NULL;
    ch_err_t *err = ch_blob_open(job->conf->blob, job->pool, key, &in);

    if (!err && !in) {
        job->for_good = 1;
        err = ch_err_cause(job->pool, CH_E_STORAGE_ERROR,
                           "import: %s is not there", key);
    }
    source->read = read_blob;
    source->rewind = rewind_blob;
    source->ctx = in;
    return err;
}

/* --- a try ------------------------------------------------------------ */

static ch_err_t *beat(void *ctx)
{
    return ch_job_beat(ctx);
}

static void tell(void *ctx, char level, int number, const char *text)
{
    ch_job_log(ctx, level, number, text);
}

static const apr_array_header_t *tags_of(apr_pool_t *pool,
                                         const char *text)
{
    apr_array_header_t *tags;
    const ch_json_t *list;
    size_t i;

    if (!text) {
        return NULL;
    }
    tags = apr_array_make(pool, 4, sizeof(const char *));
    if (!ch_json_parse(pool, text, strlen(text), 2, &list)) {
        for (i = 0; i < ch_json_size(list); i++) {
            APR_ARRAY_PUSH(tags, const char *) =
                ch_json_string(ch_json_at(list, i), NULL);
        }
    }
    return tags;
}

static ch_import_e format_of(const char *name)
{
    ch_import_e format = CH_IMPORT_CLAUDE;

    while (format > CH_IMPORT_AUTO
           && strcmp(ch_import_names[format], name) != 0) {
        format--;
    }
    return format;
}

static void read_row(ch_job_t *job, const char *id, const ch_rows_t *row,
                     ch_import_t *import)
{
    *import = (ch_import_t){
        .pool = job->pool,
        .conf = job->conf,
        .user_id = ch_rows_text(row, 0, "user_id"),
        .format = format_of(ch_rows_text(row, 0, "format")),
        .visibility = ch_rows_text(row, 0, "visibility"),
        .category = ch_rows_text(row, 0, "category"),
        .tags = tags_of(job->pool, ch_rows_text(row, 0, "tags")),
        .id = id,
        .noted = (int)ch_rows_int(row, 0, "processed"),
        .step = beat,
        .log = tell,
        .ctx = job,
    };
}

/* Looks through the file first: it is known then how much there is to do, and
 * that it can be read to its end. */
static ch_err_t *count(ch_job_t *job, const ch_import_t *import,
                       const ch_import_source_t *source)
{
    sql_import_count_t in = { .id = import->id };
    int total = 0;
    ch_err_t *err = ch_import_count(job->pool, source, import->format, beat,
                                    job, &total);

    in.total = total;
    return err ? err : sql_import_count(job->db, &in);
}

static ch_err_t *take_in(ch_job_t *job, const ch_rows_t *row,
                         ch_import_t *import)
{
    ch_import_source_t source;
    ch_err_t *err = open_file(job, import->id, &source);

    if (!err && !ch_rows_text(row, 0, "total")) {
        err = count(job, import, &source);
    }
    if (!err) {
        ch_import_begin(import);
        err = ch_import_walk(job->pool, &source, ch_import_item, import);
    }
    return err ? err : ch_import_end(import);
}

/* --- ends ------------------------------------------------------------- */

/* The account went while its import was waiting, or under way. */
static ch_err_t *forget(ch_job_t *job, const char *id)
{
    return ch_blob_delete(job->conf->blob, job->pool,
                          ch_import_key(job->pool, id));
}

static ch_err_t *end(ch_job_t *job, const ch_import_t *import,
                     const char *status, const char *error)
{
    const sql_import_ended_t in = { .id = import->id,
                                    .processed = import->noted,
                                    .status = status,
                                    .error = error };
    apr_int64_t mine = 1;

    return sql_import_ended(job->db, &in, &mine);
}

/* Whether it is the file that is bad. */
static int is_files_fault(const ch_err_t *err)
{
    return err->code == CH_E_VALIDATION_ERROR
           || err->code == CH_E_MALFORMED_JSON
           || err->code == CH_E_UNSUPPORTED_MEDIA_TYPE;
}

/* Writes down what went wrong, in words for the user. A server that stops, or
 * another runner that has taken over, is no failure; a bad file is the user's
 * affair, and the job is done then. */
static ch_err_t *give_up(ch_job_t *job, const ch_import_t *import,
                         ch_err_t *why)
{
    if (job->state != CH_JOB_GOES_ON) {
        return why;
    }
    if (is_files_fault(why)) {
        ch_job_log(job, 'i', 1122, why->message);
        return end(job, import, "failed", why->message);
    }
    if (why->code == CH_E_USER_NOT_FOUND) {
        return forget(job, import->id);
    }
    if (job->for_good || job->attempts >= job->max_attempts) {
        end(job, import, "failed", ch_code_text(why->code));
    }
    return why;
}

ch_err_t *ch_import_run(ch_job_t *job)
{
    const char *id;
    sql_import_start_t in;
    ch_import_t import;
    ch_rows_t *row;
    ch_err_t *err = ch_job_names(job, &id);

    in = (sql_import_start_t){ .id = id };
    err = err ? err : sql_import_start(job->db, &in, &row);
    if (err) {
        return err;
    }
    if (!ch_rows_count(row)) {
        return forget(job, id);
    }
    if (!ch_rows_bool(row, 0, "unfinished")) {
        return NULL; /* done by a runner that died before it could say so */
    }
    read_row(job, id, row, &import);
    err = take_in(job, row, &import);
    return err ? give_up(job, &import, err)
               : end(job, &import, "completed", NULL);
}
