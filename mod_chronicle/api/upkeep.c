/* Jobs that keep the database tidy: the trash, and what is over. */
#include "api/upkeep.h"

#include "api/notes.h"
#include "base/uuid.h"
#include "blob/blob.h"
#include "realtime/record.h"
#include "store/kept.h"
#include "store/sql_gen.h"

#define CHUNK 1000 /* rows of a statement: it ends well before its time-out */

/* --- trash ------------------------------------------------------------ */

static ch_err_t *purge(ch_job_t *job, const ch_rows_t *rows, int row)
{
    /* it may have been restored since it was found */
    const sql_note_purge_t in = { .user_id = ch_rows_text(rows, row,
                                                          "user_id"),
                                  .id = ch_rows_text(rows, row, "id"),
                                  .which = CH_PURGE_EXPIRED };
    unsigned char user[16] = { 0 };
    const ch_kept_home_t home = { .pool = job->pool,
                                  .db = job->db,
                                  .redis = job->conf->redis,
                                  .site = job->conf->site };
    ch_rows_t *done;
    ch_err_t *err;

    ch_uuid_bytes(in.user_id, user);
    ch_kept_begin(&home, user);
    err = ch_note_purge(job->db, &in, &done);
    ch_kept_end(&home, user);
    if (!err && ch_rows_count(done)) {
        ch_record_send_sync(job->pool, job->conf, in.user_id);
    }
    return err;
}

/* Each note by the statement that DELETE uses, so that sync sees it; and its
 * user's devices are told, as of any other change. */
ch_err_t *ch_upkeep_trash(ch_job_t *job)
{
    const sql_upkeep_trash_t in = { .fetch = CHUNK };
    ch_rows_t *rows;
    ch_err_t *err = NULL;
    int row, count = CHUNK;

    while (!err && count == CHUNK) {
        err = sql_upkeep_trash(job->db, &in, &rows);
        count = err ? 0 : ch_rows_count(rows);
        for (row = 0; row < count && !err; row++) {
            err = purge(job, rows, row);
            if (!err) {
                err = ch_job_beat(job);
            }
        }
    }
    return err;
}

/* --- retention -------------------------------------------------------- */

/* Exports go with their files; a server that keeps none leaves what it cannot
 * see to others. */
static ch_err_t *retain_files(ch_job_t *job)
{
    const sql_upkeep_exports_t over = { .fetch = CHUNK };
    const sql_upkeep_imports_t told = { .fetch = CHUNK };
    apr_int64_t count;
    ch_err_t *err = sql_upkeep_lost_exports(job->db, &count);

    err = err ? err : sql_upkeep_lost_imports(job->db, &count);
    do {
        err = err ? err : sql_upkeep_exports(job->db, &over, &count);
    } while (!err && count == CHUNK && !(err = ch_job_beat(job)));
    do {
        err = err ? err : sql_upkeep_imports(job->db, &told, &count);
    } while (!err && count == CHUNK && !(err = ch_job_beat(job)));
    if (!err && job->conf->blob) {
        err = ch_blob_sweep(job->conf->blob, job->pool);
    }
    return err;
}

/* As many rows as there are choices of `what` in the statement. */
#define WHATS 13

ch_err_t *ch_upkeep_retention(ch_job_t *job)
{
    sql_upkeep_over_t over = { .fetch = CHUNK };
    const sql_upkeep_mail_t mails = { .fetch = CHUNK };
    apr_int64_t count;
    ch_err_t *err = NULL;

    for (over.what = 0; over.what < WHATS && !err; over.what++) {
        do {
            err = sql_upkeep_over(job->db, &over, &count);
        } while (!err && count == CHUNK && !(err = ch_job_beat(job)));
    }
    err = err ? err : sql_upkeep_lost_mails(job->db, &count);
    do {
        err = err ? err : sql_upkeep_mail(job->db, &mails, &count);
    } while (!err && count == CHUNK && !(err = ch_job_beat(job)));
    return err ? err : retain_files(job);
}
