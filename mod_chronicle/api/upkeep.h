/* Jobs that keep the database tidy. */
#ifndef CH_API_UPKEEP_H
#define CH_API_UPKEEP_H

#include "jobs/job.h"

/* Deletes for good what has been in the trash for 30 days. */
ch_job_fn_t ch_upkeep_trash;

/* Deletes what is over: logs, tokens, sessions, kept answers, jobs, exports
 * with their files; and the texts of mails sent. */
ch_job_fn_t ch_upkeep_retention;

#endif
