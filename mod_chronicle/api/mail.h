/* Sends the mails that wait in the outbox. */
#ifndef CH_API_MAIL_H
#define CH_API_MAIL_H

#include "jobs/job.h"

/* Sends the mail of the outbox that the payload's `id` names. */
ch_job_fn_t ch_mail_send;

/* Whether there is a mail server, and it is not to be left alone for the
 * moment. */
int ch_mail_ready(const ch_conf_t *conf);

#endif
