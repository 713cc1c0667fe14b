/* Jobs on the files that are kept. */
#ifndef CH_API_FILES_H
#define CH_API_FILES_H

#include "jobs/job.h"

/* Whether this server keeps files. */
int ch_files_ready(const ch_conf_t *conf);

/* Deletes the files of the payload's {"keys":[…]}. */
ch_job_fn_t ch_files_delete;

#endif
