/* Deletes files whose rows are gone, in the background. */
#include "api/files.h"

#include "blob/blob.h"

int ch_files_ready(const ch_conf_t *conf)
{
    return conf->blob != NULL;
}

static ch_err_t *delete_one(ch_job_t *job, const ch_json_t *key)
{
    size_t len;

    if (ch_json_type(key) != CH_JSON_STRING) {
        return ch_err_cause(job->pool, CH_E_STORAGE_ERROR,
                            "files: a key that is no text");
    }
    return ch_blob_delete(job->conf->blob, job->pool,
                          ch_json_string(key, &len));
}

/* One that cannot be deleted does not keep the others; what is gone already
 * costs nothing when the job is tried again. */
ch_err_t *ch_files_delete(ch_job_t *job)
{
    const ch_json_t *keys = ch_json_get(job->payload, "keys");
    ch_err_t *err = NULL;
    ch_err_t *first = NULL;
    size_t i;

    if (!keys || ch_json_type(keys) != CH_JSON_ARRAY) {
        job->for_good = 1;
        return ch_err_cause(job->pool, CH_E_VALIDATION_ERROR,
                            "the payload has no keys");
    }
    for (i = 0; i < ch_json_size(keys); i++) {
        err = ch_job_beat(job);
        if (err) {
            return err;
        }
        err = delete_one(job, ch_json_at(keys, i));
        first = first ? first : err;
    }
    return first;
}
