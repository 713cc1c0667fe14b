/* Sends the mails that wait in the outbox. */
#include "api/mail.h"

#include <string.h>

#include <apr_strings.h>

#include "base/mime.h"
#include "net/smtp.h"
#include "store/counter.h"
#include "store/sql_gen.h"

#define SESSION_KEY "chronicle-smtp"
#define MARK_TRIES 10

int ch_mail_ready(const ch_conf_t *conf)
{
    /* while the server is away, one mail now and then finds out whether it is
     * back; the others keep their tries */
    return conf->smtp && !ch_counter_upstream_rest(CH_UPSTREAM_SMTP);
}

/* --- the message ------------------------------------------------------ */

/* NULL, with what is wrong, for a mail that no server would take. */
static const ch_smtp_mail_t *write_mail(ch_job_t *job, const char *id,
                                        const ch_rows_t *rows,
                                        const char **wrong)
{
    ch_smtp_mail_t *mail = apr_pcalloc(job->pool, sizeof(*mail));
    ch_mime_t mime = {
        .from = *job->conf->mail_from,
        .subject = ch_rows_text(rows, 0, "subject"),
        .text = ch_rows_text(rows, 0, "body_text"),
        .html = ch_rows_text(rows, 0, "body_html"),
        .id = id,
        .date = ch_rows_int(rows, 0, "created_usec"),
    };

    mime.to.address =
        ch_mime_address(job->pool, ch_rows_text(rows, 0, "to_address"));
    if (!mime.to.address) {
        *wrong = "the address is none";
        return NULL;
    }
    mail->from = mime.from.address;
    mail->to = mime.to.address;
    mail->needs_utf8 =
        ch_mime_needs_utf8(mail->from) || ch_mime_needs_utf8(mail->to);
    mail->data = ch_mime_write(job->pool, &mime);
    if (!mail->data) {
        *wrong = "the mail is too large";
        return NULL;
    }
    return mail;
}

/* --- sending ---------------------------------------------------------- */

static int asks_to_stop(void *ctx)
{
    return ch_job_stopping(ctx);
}

/* The connection that this runner's mails go over, one after another. */
static ch_smtp_session_t *session_of(const ch_job_t *job)
{
    void *session = NULL;

    apr_pool_userdata_get(&session, SESSION_KEY, job->run);
    if (!session) {
        session = ch_smtp_open(job->run, job->conf->smtp,
                               job->conf->mail_host);
        apr_pool_userdata_setn(session, SESSION_KEY, NULL, job->run);
    }
    return session;
}

static void count(const ch_smtp_result_t *result)
{
    ch_upstream_status_e status = ch_counter_upstream_status(result->reply);

    if (result->end == CH_SMTP_STOPPED) {
        return;
    }
    if (result->timeout) {
        status = CH_UPSTREAM_TIMEOUT;
    }
    else if (result->end == CH_SMTP_RETRY && result->reply < 400) {
        status = CH_UPSTREAM_ERROR; /* the line broke */
    }
    ch_counter_upstream(CH_UPSTREAM_SMTP, status, result->took);
    ch_counter_upstream_mark(CH_UPSTREAM_SMTP, !result->broken);
}

/* --- what became of it ------------------------------------------------ */

/* The mail is out: a database that is away for a moment must not have it sent
 * again. */
static ch_err_t *mark_sent(ch_job_t *job, const char *id)
{
    const sql_mail_sent_t sent = { .id = id };
    ch_err_t *err = sql_mail_sent(job->db, &sent);
    int i;

    for (i = 1; err && i < MARK_TRIES && !ch_job_stopping(job); i++) {
        apr_sleep(apr_time_from_sec(1));
        err = sql_mail_sent(job->db, &sent);
    }
    return err;
}

static ch_err_t *mark_failed(ch_job_t *job, const char *id, const char *why)
{
    const sql_mail_failed_t failed = {
        .id = id,
        .error = why,
        .last = job->for_good || job->attempts >= job->max_attempts,
    };

    sql_mail_failed(job->db, &failed); /* the job itself tells the same */
    return ch_err_cause(job->pool, CH_E_SERVICE_UNAVAILABLE, "%s", why);
}

static ch_err_t *send_row(ch_job_t *job, const char *id,
                          const ch_rows_t *rows)
{
    const ch_stop_t stop = { .asked = asks_to_stop, .ctx = job };
    ch_smtp_session_t *session = session_of(job);
    const char *wrong = NULL;
    const ch_smtp_mail_t *mail = write_mail(job, id, rows, &wrong);
    ch_smtp_result_t result;

    if (!mail) {
        job->for_good = 1;
        return mark_failed(job, id, wrong);
    }
    if (!session) {
        return mark_failed(job, id, "out of memory");
    }
    ch_smtp_send(session, job->pool, mail, &stop, &result);
    count(&result);
    switch (result.end) {
    case CH_SMTP_SENT:
        return mark_sent(job, id);
    case CH_SMTP_STOPPED:
        return ch_job_beat(job); /* says that the server stops */
    default:
        job->for_good = result.end == CH_SMTP_REFUSED;
        return mark_failed(job, id, result.text);
    }
}

ch_err_t *ch_mail_send(ch_job_t *job)
{
    const char *id;
    ch_err_t *err = ch_job_names(job, &id);
    const sql_mail_get_t get = { .id = id };
    const sql_mail_expired_t expired = { .id = id };
    ch_rows_t *rows;

    err = err ? err : sql_mail_get(job->db, &get, &rows);
    if (err || !ch_rows_count(rows)
        || strcmp(ch_rows_text(rows, 0, "status"), "sent") == 0) {
        return err; /* else it was deleted, or an earlier try sent it */
    }
    if (ch_rows_bool(rows, 0, "expired")) {
        return sql_mail_expired(job->db, &expired);
    }
    return send_row(job, id, rows);
}
