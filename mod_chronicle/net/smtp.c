/* Sends messages by SMTP. What became of one is read off the conversation:
 * the library's own results do not tell a refused recipient from a broken
 * line in all its releases. */
#include "net/smtp.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/steady.h"
#include "base/text.h"
#include "net/curl.h"
#include "net/smtp_talk.h"

#define CONNECT_MAX apr_time_from_sec(5)
#define LEAVE_MAX apr_time_from_sec(2) /* for QUIT */
#define STOP_MAX apr_time_from_msec(500) /* for an answer, when stopping */
#define IDLE_MAX 15L                    /* seconds; then it is made anew */
#define MESSAGES_MAX 100                /* over one connection */

/* One transfer. */
typedef struct {
    const ch_smtp_mail_t *mail; /* NULL = none, a mere command */
    const ch_stop_t *stop;
    size_t sent; /* bytes of the message */
    int stopped;
    int slow;            /* to connect */
    apr_time_t begun;    /* when we began */
    apr_time_t sent_at;  /* when the whole message had been sent */
    apr_time_t leave_at; /* when nothing is waited for any more; 0 = not yet */
} transfer_t;

#define SOCKETS_MAX 8 /* one, but for several addresses tried at once */

struct ch_smtp_session_t {
    CURL *curl;
    curl_socket_t sockets[SOCKETS_MAX]; /* that are open */
    int socket_count;
    const ch_smtp_t *server;
    int messages; /* sent over the open connection; 0 = none is open */
    ch_smtp_talk_t talk;
    transfer_t transfer;
    char error[CURL_ERROR_SIZE];
};

/* --- listening --------------------------------------------------------- */

static int listen_cb(CURL *curl, curl_infotype type, char *data, size_t size,
                     void *ctx)
{
    ch_smtp_session_t *session = ctx;

    if (type == CURLINFO_HEADER_OUT) {
        ch_smtp_talk_said(&session->talk, data, size);
    }
    else if (type == CURLINFO_HEADER_IN) {
        ch_smtp_talk_heard(&session->talk, data, size);
    }
    return 0;
}

/* --- sockets ------------------------------------------------------------ */

static int opened_cb(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    ch_smtp_session_t *session = ctx;

    if (session->socket_count < SOCKETS_MAX) {
        session->sockets[session->socket_count++] = fd;
    }
    return CURL_SOCKOPT_OK;
}

static int close_cb(void *ctx, curl_socket_t fd)
{
    ch_smtp_session_t *session = ctx;
    int i;

    for (i = 0; i < session->socket_count; i++) {
        if (session->sockets[i] == fd) {
            session->sockets[i] = session->sockets[--session->socket_count];
        }
    }
    return close(fd);
}

/* Ends the conversation without a word. What the library would still say, and
 * wait for minutes for an answer to, fails at once. */
static void cut(const ch_smtp_session_t *session)
{
    int i;

    for (i = 0; i < session->socket_count; i++) {
        shutdown(session->sockets[i], SHUT_RDWR);
    }
}

/* --- while it runs ------------------------------------------------------ */

static size_t read_cb(char *to, size_t size, size_t count, void *ctx)
{
    transfer_t *transfer = ctx;
    const ch_buf_t *data = transfer->mail->data;
    size_t left = data->len - transfer->sent;
    size_t n = left < size * count ? left : size * count;

    memcpy(to, data->data + transfer->sent, n);
    transfer->sent += n;
    if (n == left && !transfer->sent_at) {
        transfer->sent_at = ch_steady_now();
    }
    return n;
}

static size_t ignore_cb(char *data, size_t size, size_t count, void *ctx)
{
    return size * count;
}

static int is_asked_to_stop(const ch_stop_t *stop)
{
    return stop && stop->asked && stop->asked(stop->ctx);
}

static int connects_slowly(const ch_smtp_session_t *session, apr_time_t now)
{
    curl_off_t connected = 0;

    return session->talk.at == CH_SMTP_AT_CONNECT
           && now > session->transfer.begun + CONNECT_MAX
           && curl_easy_getinfo(session->curl, CURLINFO_CONNECT_TIME_T,
                                &connected)
                  == CURLE_OK
           && !connected;
}

/* A server that has the whole message gets a moment to say that it took it,
 * so that it is not sent twice. */
static int is_enough(ch_smtp_session_t *session)
{
    transfer_t *transfer = &session->transfer;
    apr_time_t now = ch_steady_now();

    if (session->talk.over && !transfer->leave_at) {
        transfer->leave_at = now + LEAVE_MAX;
    }
    if (transfer->leave_at) {
        return now >= transfer->leave_at;
    }
    if (is_asked_to_stop(transfer->stop)) {
        transfer->stopped =
            !transfer->sent_at || now > transfer->sent_at + STOP_MAX;
#if LIBCURL_VERSION_NUM >= 0x075700
        /* a name that is being looked up is not waited for, either */
        curl_easy_setopt(session->curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    }
    transfer->slow = connects_slowly(session, now);
    return transfer->stopped || transfer->slow;
}

static int watch_cb(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c,
                    curl_off_t d)
{
    if (!is_enough(ctx)) {
        return 0;
    }
    cut(ctx);
    return 1;
}

/* --- what became of it -------------------------------------------------- */

/* One line without the password, should the server repeat it. */
static const char *in_public(apr_pool_t *pool, const ch_smtp_t *server,
                             const char *text)
{
    const char *secret = server->password;
    size_t len = secret ? strlen(secret) : 0;
    char *copy = apr_pstrdup(pool, text);
    char *at = copy;

    while (len && (at = strstr(at, secret)) != NULL) {
        memset(at, '*', len);
        at += len;
    }
    text = ch_text_clean(pool, copy, strlen(copy));
    len = strlen(text) < CH_SMTP_TEXT_MAX ? strlen(text) : CH_SMTP_TEXT_MAX;
    while (((unsigned char)text[len] & 0xC0) == 0x80) {
        len--; /* not in the middle of a character */
    }
    return apr_pstrmemdup(pool, text, len);
}

static const char *what_went_wrong(const ch_smtp_session_t *session,
                                   apr_pool_t *pool, CURLcode rc)
{
    const ch_smtp_talk_t *talk = &session->talk;
    const char *at = ch_smtp_at_names[talk->at];

    if (talk->reply >= 400) {
        /* what stands in a reply to a login is not for others */
        return apr_psprintf(pool, "%s: %d %.*s", at, talk->reply,
                            talk->at == CH_SMTP_AT_AUTH
                                ? 0
                                : (int)talk->text_len,
                            talk->text);
    }
    if (session->transfer.slow) {
        return apr_psprintf(pool, "%s: no connection within %d seconds", at,
                            (int)apr_time_sec(CONNECT_MAX));
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        return apr_psprintf(pool, "%s: no answer within %d seconds", at,
                            CH_SMTP_SECONDS);
    }
    return apr_psprintf(pool, "%s: %s", at,
                        session->error[0] ? session->error
                                          : curl_easy_strerror(rc));
}

static void judge(const ch_smtp_session_t *session, apr_pool_t *pool,
                  CURLcode rc, ch_smtp_result_t *out)
{
    const ch_smtp_talk_t *talk = &session->talk;
    const transfer_t *transfer = &session->transfer;

    out->reply = talk->reply;
    if (talk->accepted) {
        out->end = CH_SMTP_SENT;
        return;
    }
    out->end = transfer->stopped             ? CH_SMTP_STOPPED
               : ch_smtp_talk_is_final(talk) ? CH_SMTP_REFUSED
                                             : CH_SMTP_RETRY;
    out->timeout = transfer->slow || rc == CURLE_OPERATION_TIMEDOUT;
    out->broken =
        out->end == CH_SMTP_RETRY && ch_smtp_talk_is_broken(talk);
    out->text = in_public(pool, session->server,
                          what_went_wrong(session, pool, rc));
}

/* --- transfers ---------------------------------------------------------- */

static CURLcode perform(ch_smtp_session_t *session,
                        const ch_smtp_mail_t *mail, const ch_stop_t *stop)
{
    CURLcode rc;

    ch_smtp_talk_begin(&session->talk);
    session->transfer = (transfer_t){ .mail = mail,
                                      .stop = stop,
                                      .begun = ch_steady_now() };
    session->error[0] = '\0';
    rc = curl_easy_perform(session->curl);
    if (rc != CURLE_OK) {
        cut(session); /* it may be kept although nobody knows what is next */
        session->messages = 0;
    }
    return rc;
}

static void set_command(CURL *curl, const char *command)
{
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 0L);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, command);
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, NULL);
}

static void set_message(CURL *curl, const ch_smtp_mail_t *mail,
                        apr_pool_t *pool, struct curl_slist *to)
{
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 0L);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                     (curl_off_t)mail->data->len);
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM,
                     apr_pstrcat(pool, "<", mail->from, ">", NULL));
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
}

static int is_reused(CURL *curl)
{
    long made = 0;

    return curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &made) == CURLE_OK
           && made == 0;
}

/* A kept connection that the server has closed meanwhile is no failure. */
static int was_stale(const ch_smtp_session_t *session, CURLcode rc)
{
    const ch_smtp_talk_t *talk = &session->talk;

    return rc != CURLE_OK && rc != CURLE_OPERATION_TIMEDOUT
           && !session->transfer.stopped && !session->transfer.slow
           && (talk->at == CH_SMTP_AT_CONNECT || talk->at == CH_SMTP_AT_MAIL)
           && (talk->reply == 0 || talk->reply == 421)
           && is_reused(session->curl);
}

static void send_it(ch_smtp_session_t *session, apr_pool_t *pool,
                    const ch_smtp_mail_t *mail, const ch_stop_t *stop,
                    ch_smtp_result_t *out)
{
    struct curl_slist *to = curl_slist_append(
        NULL, apr_pstrcat(pool, "<", mail->to, ">", NULL));
    int kept = session->messages > 0;
    int last = session->messages + 1 >= MESSAGES_MAX;
    CURLcode rc;

    set_message(session->curl, mail, pool, to);
    curl_easy_setopt(session->curl, CURLOPT_FORBID_REUSE, last ? 1L : 0L);
    rc = perform(session, mail, stop);
    if (kept && was_stale(session, rc)) {
        curl_easy_setopt(session->curl, CURLOPT_FRESH_CONNECT, 1L);
        rc = perform(session, mail, stop);
        curl_easy_setopt(session->curl, CURLOPT_FRESH_CONNECT, 0L);
    }
    judge(session, pool, rc, out);
    if (rc == CURLE_OK) {
        session->messages = last ? 0 : session->messages + 1;
    }
    curl_easy_setopt(session->curl, CURLOPT_MAIL_RCPT, NULL);
    curl_slist_free_all(to);
}

/* Whether the server takes addresses beyond ASCII: what a connection that is
 * open has said, or one that is made for the purpose. */
static int takes_utf8(ch_smtp_session_t *session, apr_pool_t *pool,
                      const ch_stop_t *stop, ch_smtp_result_t *out)
{
    CURLcode rc;

    if (curl_version_info(CURLVERSION_NOW)->version_num < 0x074500) {
        out->end = CH_SMTP_REFUSED;
        out->text = "libcurl 7.69 or newer is needed for this address";
        return 0;
    }
    set_command(session->curl, "NOOP");
    rc = perform(session, NULL, stop);
    if (rc != CURLE_OK) {
        judge(session, pool, rc, out);
        return 0;
    }
    session->messages = session->messages ? session->messages : 1;
    if (!session->talk.knows_utf8) {
        out->end = CH_SMTP_REFUSED;
        out->reply = session->talk.reply;
        out->text = "the server takes no address beyond ASCII (SMTPUTF8)";
    }
    return session->talk.knows_utf8;
}

void ch_smtp_send(ch_smtp_session_t *session, apr_pool_t *pool,
                  const ch_smtp_mail_t *mail, const ch_stop_t *stop,
                  ch_smtp_result_t *out)
{
    apr_time_t begun = ch_steady_now();

    memset(out, 0, sizeof(*out));
    if (!mail->needs_utf8 || takes_utf8(session, pool, stop, out)) {
        send_it(session, pool, mail, stop, out);
    }
    out->took = ch_steady_now() - begun;
}

/* --- session ------------------------------------------------------------ */

static curl_socket_t no_socket(void *ctx, curlsocktype purpose,
                               struct curl_sockaddr *address)
{
    return CURL_SOCKET_BAD;
}

/* Says QUIT, if there is still somebody to say it to. The library would do so
 * by itself, but wait for the answer for minutes. */
static apr_status_t leave(void *data)
{
    ch_smtp_session_t *session = data;
    CURL *curl = session->curl;

    if (session->messages) {
        set_command(curl, "NOOP");
        curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, no_socket);
        session->transfer =
            (transfer_t){ .leave_at = ch_steady_now() + LEAVE_MAX };
        curl_easy_perform(curl);
    }
    cut(session);
    return APR_SUCCESS;
}

static void set_tls(CURL *curl, const ch_smtp_t *server)
{
    static const long levels[] = {
        [CH_SMTP_TLS_OFFERED] = CURLUSESSL_TRY,
        [CH_SMTP_TLS_REQUIRED] = CURLUSESSL_ALL,
        [CH_SMTP_TLS_NONE] = CURLUSESSL_NONE,
        [CH_SMTP_TLS_IMPLICIT] = CURLUSESSL_ALL,
    };

    curl_easy_setopt(curl, CURLOPT_USE_SSL, levels[server->tls]);
    if (server->ca) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, server->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    else if (server->local && server->tls == CH_SMTP_TLS_OFFERED) {
        /* nobody stands between us and ourselves, and a mail server's own
         * certificate is rarely for "localhost" */
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_login(CURL *curl, const ch_smtp_t *server)
{
    if (server->user) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, server->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, server->password);
        /* not the ways that want more than a password */
        curl_easy_setopt(curl, CURLOPT_LOGIN_OPTIONS,
                         "AUTH=PLAIN;AUTH=LOGIN;AUTH=CRAM-MD5");
    }
}

static void set_callbacks(ch_smtp_session_t *session)
{
    CURL *curl = session->curl;

    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, session->error);
    curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* to the function, not out */
    curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, listen_cb);
    curl_easy_setopt(curl, CURLOPT_DEBUGDATA, session);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, read_cb);
    curl_easy_setopt(curl, CURLOPT_READDATA, &session->transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_cb);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, opened_cb);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, session);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_cb);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, session);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch_cb);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, session);
}

ch_smtp_session_t *ch_smtp_open(apr_pool_t *pool, const ch_smtp_t *server,
                                const char *helo)
{
    ch_smtp_session_t *session = apr_pcalloc(pool, sizeof(*session));
    CURL *curl = ch_curl_make(pool);

    if (!curl) {
        return NULL;
    }
    session->curl = curl;
    session->server = server;
    curl_easy_setopt(
        curl, CURLOPT_URL,
        apr_psprintf(pool,
                     strchr(server->host, ':') ? "%s://[%s]:%d/%s"
                                               : "%s://%s:%d/%s",
                     server->tls == CH_SMTP_TLS_IMPLICIT ? "smtps" : "smtp",
                     server->host, server->port, helo ? helo : ""));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, CH_SMTP_SECONDS * 1000L);
    /* of the library, this counts all that comes before the first message */
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     CH_SMTP_SECONDS * 1000L);
    curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, IDLE_MAX);
    set_tls(curl, server);
    set_login(curl, server);
    set_callbacks(session);
    apr_pool_cleanup_register(pool, session, leave, apr_pool_cleanup_null);
    return session;
}
