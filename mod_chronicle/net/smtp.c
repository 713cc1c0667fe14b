/* Sends messages by SMTP. What became of one is read off the conversation:
 * the library's own results do not tell a refused recipient from a broken
 * line in all its releases. */
#include "net/smtp.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "base/text.h"
#include "net/curl.h"

#define CONNECT_MAX apr_time_from_sec(5)
#define LEAVE_MAX apr_time_from_sec(2)  /* for QUIT, and after a stop */
#define IDLE_MAX 15L                    /* seconds; then it is made anew */
#define MESSAGES_MAX 100                /* over one connection */

/* Where the conversation is: what was said last. */
typedef enum {
    AT_CONNECT,
    AT_HELLO,
    AT_STARTTLS,
    AT_AUTH,
    AT_MAIL,
    AT_RCPT,
    AT_DATA,
    AT_BODY, /* the server asked for the message */
    AT_OTHER
} at_e;

static const char *const at_names[] = {
    [AT_CONNECT] = "connecting", [AT_HELLO] = "EHLO",
    [AT_STARTTLS] = "STARTTLS",  [AT_AUTH] = "AUTH",
    [AT_MAIL] = "MAIL",          [AT_RCPT] = "RCPT",
    [AT_DATA] = "DATA",          [AT_BODY] = "message",
    [AT_OTHER] = "NOOP",
};

typedef struct {
    at_e at;
    int reply;    /* to that; 0 = none yet */
    int accepted; /* the message is the server's */
    size_t sent;  /* bytes of it */
    const ch_smtp_mail_t *mail;
    const ch_stop_t *stop;
    int stopped;
    int slow;            /* to connect */
    apr_time_t begun;    /* when we began */
    apr_time_t stop_at;  /* when we heard of the stop */
    apr_time_t leave_at; /* when nothing is waited for any more; 0 = not yet */
    size_t text_len;
    char text[CH_SMTP_TEXT_MAX]; /* of the reply */
} talk_t;

struct ch_smtp_session_t {
    CURL *curl;
    const ch_smtp_t *server;
    int messages;   /* sent over the open connection; 0 = none is open */
    int knows_utf8; /* said the server of the open connection */
    talk_t talk;
    char error[CURL_ERROR_SIZE];
};

/* --- listening --------------------------------------------------------- */

static void hear_command(ch_smtp_session_t *session, const char *data,
                         size_t size)
{
    static const struct {
        const char *verb;
        at_e at;
    } commands[] = {
        { "EHLO ", AT_HELLO },        { "HELO ", AT_HELLO },
        { "STARTTLS\r\n", AT_STARTTLS }, { "AUTH ", AT_AUTH },
        { "MAIL FROM:", AT_MAIL },    { "RCPT TO:", AT_RCPT },
        { "DATA\r\n", AT_DATA },      { "NOOP\r\n", AT_OTHER },
        { "QUIT\r\n", AT_OTHER },
    };
    talk_t *talk = &session->talk;
    size_t i;

    if (talk->accepted) {
        return; /* the rest is politeness */
    }
    for (i = 0; i < CH_COUNT(commands); i++) {
        size_t len = strlen(commands[i].verb);

        /* a QUIT after a refusal does not change what was refused */
        if (size >= len && strncmp(data, commands[i].verb, len) == 0
            && (commands[i].at != AT_OTHER || !talk->mail)) {
            talk->at = commands[i].at;
            talk->reply = 0;
            talk->text_len = 0;
            if (talk->at == AT_HELLO) {
                session->knows_utf8 = 0;
            }
        }
    }
}

static void keep_text(talk_t *talk, const char *line, size_t len)
{
    size_t room = sizeof(talk->text) - talk->text_len;

    if (talk->text_len && room) {
        talk->text[talk->text_len++] = ' ';
        room--;
    }
    len = len < room ? len : room;
    memcpy(talk->text + talk->text_len, line, len);
    talk->text_len += len;
}

/* The last line of a reply. */
static void hear_end(talk_t *talk, int code)
{
    talk->reply = code;
    if (talk->at == AT_DATA && code == 354) {
        talk->at = AT_BODY;
        talk->reply = 0;
        talk->text_len = 0;
    }
    else if (talk->at == AT_BODY && code / 100 == 2) {
        talk->accepted = 1;
        talk->leave_at = apr_time_now() + LEAVE_MAX;
    }
}

static void hear_line(ch_smtp_session_t *session, const char *line,
                      size_t len)
{
    talk_t *talk = &session->talk;

    while (len && (line[len - 1] == '\r' || line[len - 1] == '\n')) {
        len--;
    }
    if (talk->accepted || len < 3 || !apr_isdigit(line[0])
        || !apr_isdigit(line[1]) || !apr_isdigit(line[2])) {
        return;
    }
    if (talk->reply) { /* another reply to the same, as in a login */
        talk->reply = 0;
        talk->text_len = 0;
    }
    if (len > 4) {
        keep_text(talk, line + 4, len - 4);
        if (talk->at == AT_HELLO && len >= 12
            && strncasecmp(line + 4, "SMTPUTF8", 8) == 0) {
            session->knows_utf8 = 1;
        }
    }
    if (len == 3 || line[3] != '-') {
        hear_end(talk, (line[0] - '0') * 100 + (line[1] - '0') * 10
                           + (line[2] - '0'));
    }
}

static int listen_cb(CURL *curl, curl_infotype type, char *data, size_t size,
                     void *ctx)
{
    char *end;

    if (type == CURLINFO_HEADER_OUT) {
        hear_command(ctx, data, size);
    }
    while (type == CURLINFO_HEADER_IN && size) {
        end = memchr(data, '\n', size);
        end = end ? end + 1 : data + size;
        hear_line(ctx, data, (size_t)(end - data));
        size -= (size_t)(end - data);
        data = end;
    }
    return 0;
}

/* --- while it runs ------------------------------------------------------ */

static size_t read_cb(char *to, size_t size, size_t count, void *ctx)
{
    talk_t *talk = ctx;
    size_t left = talk->mail->data->len - talk->sent;
    size_t n = left < size * count ? left : size * count;

    memcpy(to, talk->mail->data->data + talk->sent, n);
    talk->sent += n;
    return n;
}

static size_t ignore_cb(char *data, size_t size, size_t count, void *ctx)
{
    return size * count;
}

static int is_asked_to_stop(const talk_t *talk)
{
    return talk->stop && talk->stop->asked
           && talk->stop->asked(talk->stop->ctx);
}

static int connects_slowly(const ch_smtp_session_t *session, apr_time_t now)
{
    curl_off_t connected = 0;

    return session->talk.at == AT_CONNECT
           && now > session->talk.begun + CONNECT_MAX
           && curl_easy_getinfo(session->curl, CURLINFO_CONNECT_TIME_T,
                                &connected)
                  == CURLE_OK
           && !connected;
}

/* Not 0: give up. A server that has the whole message gets a moment to say
 * that it took it, so that it is not sent twice. */
static int watch_cb(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c,
                    curl_off_t d)
{
    ch_smtp_session_t *session = ctx;
    talk_t *talk = &session->talk;
    apr_time_t now = apr_time_now();

    if (talk->leave_at) {
        return now > talk->leave_at;
    }
    if (is_asked_to_stop(talk)) {
        talk->stop_at = talk->stop_at ? talk->stop_at : now;
        talk->stopped = talk->at != AT_BODY
                        || talk->sent < talk->mail->data->len
                        || now > talk->stop_at + LEAVE_MAX;
#if LIBCURL_VERSION_NUM >= 0x075700
        /* a name that is being looked up is not waited for, either */
        curl_easy_setopt(session->curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    }
    talk->slow = connects_slowly(session, now);
    return talk->stopped || talk->slow;
}

/* --- what became of it -------------------------------------------------- */

/* The same message would be refused again. A login that is missing or wrong
 * is not the message's fault, and neither is a sender's address. */
static int is_final(const talk_t *talk)
{
    if (talk->reply == 530 || talk->reply == 535 || talk->reply == 538) {
        return 0;
    }
    return talk->at == AT_MAIL ? talk->reply == 552
                               : talk->at >= AT_RCPT && talk->at <= AT_BODY
                                     && talk->reply >= 500;
}

/* Whether the server itself does not do its work; a recipient that it does
 * not take now (greylisting, a full mailbox) tells nothing of others. */
static int is_broken(const talk_t *talk)
{
    return talk->at != AT_RCPT || talk->reply < 400 || talk->reply == 421;
}

/* One line without the password, should the server repeat it. */
static const char *in_public(apr_pool_t *pool, const ch_smtp_t *server,
                             const char *text)
{
    const char *secret = server->password;
    size_t len = secret ? strlen(secret) : 0;
    char *out = ch_text_line(pool, text, strlen(text));
    char *at = out;

    while (len && (at = strstr(at, secret)) != NULL) {
        memset(at, '*', len);
    }
    at = out + (strlen(out) < CH_SMTP_TEXT_MAX ? strlen(out)
                                               : CH_SMTP_TEXT_MAX);
    while (*at && ((unsigned char)*at & 0xC0) == 0x80) {
        at--;
    }
    *at = '\0';
    return out;
}

static const char *what_went_wrong(const ch_smtp_session_t *session,
                                   apr_pool_t *pool, CURLcode rc)
{
    const talk_t *talk = &session->talk;
    const char *at = at_names[talk->at];

    if (talk->reply >= 400) {
        /* what stands in a reply to a login is not for others */
        return apr_psprintf(pool, "%s: %d %.*s", at, talk->reply,
                            talk->at == AT_AUTH ? 0 : (int)talk->text_len,
                            talk->text);
    }
    if (talk->slow) {
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
    const talk_t *talk = &session->talk;

    out->reply = talk->reply;
    if (talk->accepted) {
        out->end = CH_SMTP_SENT;
        return;
    }
    out->end = talk->stopped      ? CH_SMTP_STOPPED
               : is_final(talk)   ? CH_SMTP_REFUSED
                                  : CH_SMTP_RETRY;
    out->timeout = talk->slow || rc == CURLE_OPERATION_TIMEDOUT;
    out->broken = out->end == CH_SMTP_RETRY && is_broken(talk);
    out->text = in_public(pool, session->server,
                          what_went_wrong(session, pool, rc));
}

/* --- transfers ---------------------------------------------------------- */

static CURLcode perform(ch_smtp_session_t *session,
                        const ch_smtp_mail_t *mail, const ch_stop_t *stop)
{
    memset(&session->talk, 0, sizeof(session->talk));
    session->talk.mail = mail;
    session->talk.stop = stop;
    session->talk.begun = apr_time_now();
    session->error[0] = '\0';
    return curl_easy_perform(session->curl);
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
    const talk_t *talk = &session->talk;

    return rc != CURLE_OK && rc != CURLE_OPERATION_TIMEDOUT && !talk->stopped
           && (talk->at == AT_CONNECT || talk->at == AT_MAIL)
           && (talk->reply == 0 || talk->reply == 421)
           && is_reused(session->curl);
}

static void send_it(ch_smtp_session_t *session, apr_pool_t *pool,
                    const ch_smtp_mail_t *mail, const ch_stop_t *stop,
                    ch_smtp_result_t *out)
{
    struct curl_slist *to = curl_slist_append(
        NULL, apr_pstrcat(pool, "<", mail->to, ">", NULL));
    int last = session->messages + 1 >= MESSAGES_MAX;
    CURLcode rc;

    set_message(session->curl, mail, pool, to);
    curl_easy_setopt(session->curl, CURLOPT_FORBID_REUSE, last ? 1L : 0L);
    rc = perform(session, mail, stop);
    if (was_stale(session, rc)) {
        curl_easy_setopt(session->curl, CURLOPT_FRESH_CONNECT, 1L);
        rc = perform(session, mail, stop);
        curl_easy_setopt(session->curl, CURLOPT_FRESH_CONNECT, 0L);
    }
    judge(session, pool, rc, out);
    session->messages = last || rc != CURLE_OK ? 0 : session->messages + 1;
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
    if (!session->knows_utf8) {
        out->end = CH_SMTP_REFUSED;
        out->text = "the server takes no address beyond ASCII (SMTPUTF8)";
    }
    return session->knows_utf8;
}

void ch_smtp_send(ch_smtp_session_t *session, apr_pool_t *pool,
                  const ch_smtp_mail_t *mail, const ch_stop_t *stop,
                  ch_smtp_result_t *out)
{
    apr_time_t begun = apr_time_now();

    memset(out, 0, sizeof(*out));
    if (!mail->needs_utf8 || takes_utf8(session, pool, stop, out)) {
        send_it(session, pool, mail, stop, out);
    }
    out->took = apr_time_now() - begun;
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
        memset(&session->talk, 0, sizeof(session->talk));
        session->talk.leave_at = apr_time_now() + LEAVE_MAX;
        curl_easy_perform(curl);
    }
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
    curl_easy_setopt(curl, CURLOPT_READDATA, &session->talk);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_cb);
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
