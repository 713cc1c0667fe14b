/* Requests for /socket.io: answers them, or hands their connections over to
 * the loop. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <mpm_common.h>
#include <util_filter.h>

#include "httpd/upgrade.h"
#include "web/reply.h"

#define PATH "/socket.io"
#define HEAD_MAX 65536
#define EARLY_MAX 1048576 /* bytes that came before there was an answer */
#define EARLY_STEP 8192
#define RESERVE 64 /* descriptors for all that is not a client's */
#define PER_THREAD                                                            \
    4 /* of clients whom the MPM holds: one in work, two that are idle        \
       * (AsyncRequestWorkerFactor), one that is on its way to the loop */

static int is_wanted; /* some server has Socket.IO */
static int is_async;  /* the MPM lets go of connections */

/* --- start ------------------------------------------------------------ */

void ch_upgrade_plan(server_rec *main_server)
{
    const server_rec *server;

    is_wanted = 0;
    for (server = main_server; server; server = server->next) {
        const ch_conf_t *conf =
            &ch_config_of((server_rec *)(uintptr_t)server)->conf;

        is_wanted |= conf->enabled && conf->socketio;
    }
    is_async = 0;
    ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async);
    if (is_wanted && !is_async) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, main_server,
                     "CH1120: websockets keep a thread each under this MPM; "
                     "the event MPM holds them without");
    }
}

/* Descriptors that this child has from the beginning: logs, listeners, and the
 * inboxes of all children. */
static int count_open(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

/* A failed accept() would stop the whole child, so there is a reserve. */
int ch_upgrade_sockets_max(void)
{
    struct rlimit limit;
    int threads = 1;
    apr_int64_t left;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) {
        return INT_MAX;
    }
    left = (apr_int64_t)limit.rlim_cur - count_open() - PER_THREAD * threads
           - RESERVE;
    if (!is_async) {
        left /= 3; /* the client's, and a pair */
    }
    return left > 0 ? (int)left : 0;
}

/* --- requests --------------------------------------------------------- */

int ch_upgrade_claims(const request_rec *r)
{
    return ch_config_of(r->server)->conf.socketio
           && (strcmp(r->uri, PATH) == 0 || strcmp(r->uri, PATH "/") == 0);
}

static ch_link_t *link_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &chronicle_module);
}

static int send_reply(request_rec *r, ch_req_t *rq)
{
    ch_reply_headers(rq);
    return ch_server_send(r, rq);
}

static int answer(request_rec *r, ch_req_t *rq, const ch_door_t *door)
{
    rq->reply.status = door->status;
    rq->reply.content_type = door->content_type;
    rq->reply.body =
        ch_buf_make(rq->pool, door->body.len + 1, door->body.len + 1);
    ch_buf_add(rq->reply.body, door->body.data, door->body.len);
    return send_reply(r, rq);
}

static int add_header(void *buf, const char *name, const char *value)
{
    if (strcasecmp(name, "Connection") != 0
        && strcasecmp(name, "Upgrade") != 0) {
        ch_buf_puts(buf, name);
        CH_BUF_LIT(buf, ": ");
        ch_buf_puts(buf, value);
        CH_BUF_LIT(buf, "\r\n");
    }
    return 1;
}

static const char *head_of_poll(request_rec *r, ch_req_t *rq)
{
    ch_buf_t *head = ch_buf_make(r->connection->pool, 1024, HEAD_MAX);

    ch_reply_headers(rq);
    CH_BUF_LIT(head, "HTTP/1.1 200 OK\r\n"
                     "Connection: close\r\n"
                     "Content-Type: text/plain; charset=UTF-8\r\n");
    apr_table_do(add_header, head, r->headers_out, NULL);
    apr_table_do(add_header, head, r->err_headers_out, NULL);
    return ch_buf_cstr(head);
}

static const char *head_of_websocket(request_rec *r, const char *accept)
{
    ch_buf_t *head = ch_buf_make(r->pool, 512, HEAD_MAX);

    CH_BUF_LIT(head, "HTTP/1.1 101 Switching Protocols\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: ");
    ch_buf_puts(head, accept);
    CH_BUF_LIT(head, "\r\n");
    apr_table_do(add_header, head, r->err_headers_out, NULL);
    CH_BUF_LIT(head, "\r\n");
    return ch_buf_cstr(head);
}

/* Sends text as it is (or nothing), and all that the filters may hold of
 * earlier answers: from here on the bytes are the loop's. */
static apr_status_t send_raw(request_rec *r, const char *text)
{
    conn_rec *c = r->connection;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, c->bucket_alloc);

    r->output_filters = r->proto_output_filters = c->output_filters;
    r->eos_sent = 1;
    c->keepalive = AP_CONN_CLOSE;
    if (text) {
        APR_BRIGADE_INSERT_TAIL(
            brigade, apr_bucket_pool_create(text, strlen(text), r->pool,
                                            c->bucket_alloc));
    }
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_flush_create(c->bucket_alloc));
    return ap_pass_brigade(c->output_filters, brigade);
}

/* The request's memory goes back to the system at its end, as its connection
 * may be idle for hours. */
static void spare_memory(conn_rec *c, apr_size_t max_free)
{
    apr_allocator_t *allocator = apr_pool_allocator_get(c->pool);

    if (allocator) {
        apr_allocator_max_free_set(allocator, max_free);
    }
}

static int hand_over(request_rec *r, ch_req_t *rq, const ch_door_t *door)
{
    conn_rec *c = r->connection;
    ch_link_t *link = link_of(c);
    const char *text = NULL;

    link->head = NULL;
    if (door->kind == CH_DOOR_WEBSOCKET) {
        text = head_of_websocket(r, door->accept);
        r->status = HTTP_SWITCHING_PROTOCOLS;
    }
    else {
        link->head = head_of_poll(r, rq);
    }
    if (send_raw(r, text) != APR_SUCCESS || c->aborted) {
        ch_door_leave(door->ticket);
        return OK;
    }
    link->is_wanted = 1;
    link->ticket = door->ticket;
    spare_memory(c, 1);
    return OK;
}

/* A socket of its own, and nothing of this request that is still to come. */
static int can_hand_over(const request_rec *r, const ch_req_t *rq)
{
    return !r->connection->master && !r->main && !r->prev
           && link_of(r->connection) && rq->body_size == 0;
}

/* The polls that wait on a connection that can't be handed over. */
static int *waiting_on(const conn_rec *c)
{
    static int elsewhere;
    ch_link_t *link = link_of(c->master ? c->master : c);

    return link ? &link->waiting : &elsewhere;
}

/* An origin that may know is answered by cors_stage's headers. */
static int is_good_preflight(const ch_req_t *rq)
{
    return rq->method == CH_OPTIONS
           && apr_table_get(rq->out, "Access-Control-Allow-Methods");
}

int ch_upgrade_handle(request_rec *r)
{
    ch_req_t *rq = ch_server_request(r);
    ch_door_t door = { .kind = CH_DOOR_ANSWER };
    ch_err_t *err = ch_secure_stage(rq);

    if (err) {
        ch_reply_error(rq, err);
        return send_reply(r, rq);
    }
    ch_cors_stage(rq); /* what it refuses, the door refuses in its words */
    if (is_good_preflight(rq)) {
        rq->reply.status = HTTP_NO_CONTENT;
        return send_reply(r, rq);
    }
    ch_door_ask(rq, can_hand_over(r, rq) ? NULL : waiting_on(r->connection),
                &door);
    return door.kind == CH_DOOR_ANSWER ? answer(r, rq, &door)
                                       : hand_over(r, rq, &door);
}

/* --- connections ------------------------------------------------------ */

static int descriptor_of(conn_rec *c)
{
    apr_os_sock_t fd = -1;

    apr_os_sock_get(&fd, ap_get_conn_socket(c));
    return fd;
}

static ap_filter_t *find_filter(ap_filter_t *filter, const char *name)
{
    while (filter && strcasecmp(filter->frec->name, name) != 0) {
        filter = filter->next;
    }
    return filter;
}

/* Those that make haste or wait where there is no request any more. */
static void remove_filters(conn_rec *c)
{
    static const char *const names[] = { "reqtimeout",
                                         "SSL/TLS Coalescing Filter" };
    ap_filter_t *filter;
    size_t i;

    for (i = 0; i < CH_COUNT(names); i++) {
        filter = find_filter(c->input_filters, names[i]);
        if (filter) {
            ap_remove_input_filter(filter);
        }
        filter = find_filter(c->output_filters, names[i]);
        if (filter) {
            ap_remove_output_filter(filter);
        }
    }
}

/* Whether the filters leave the bytes alone: those of the server itself. */
static int are_plain(const ap_filter_t *filter)
{
    static const char *const names[] = { "core_in", "core",
                                         "log_input_output" };
    size_t i;

    for (; filter; filter = filter->next) {
        for (i = 0; i < CH_COUNT(names); i++) {
            if (strcasecmp(filter->frec->name, names[i]) == 0) {
                break;
            }
        }
        if (i == CH_COUNT(names)) {
            return 0;
        }
    }
    return 1;
}

/* What the server has read beyond the request. 0 when that is too much. */
static int read_early(ch_link_t *link, ch_bytes_t *early)
{
    ch_buf_t *buf = NULL;
    char *data = apr_palloc(link->c->pool, EARLY_STEP);
    ssize_t got;

    while ((got = ch_carrier_read(link, data, EARLY_STEP)) > 0) {
        if (!buf) {
            buf = ch_buf_make(link->c->pool, EARLY_STEP, EARLY_MAX);
        }
        ch_buf_add(buf, data, (size_t)got);
        if (buf->overflow) {
            return 0;
        }
    }
    if (buf) {
        early->data = ch_buf_cstr(buf);
        early->len = buf->len;
    }
    return got != -2;
}

/* The MPM closes its own descriptor, ours lives on in the loop. */
static void detach(ch_link_t *link)
{
    conn_rec *c = link->c;
    ch_door_conn_t conn = { .head = link->head };

    conn.fd = read_early(link, &conn.early)
                  ? fcntl(descriptor_of(c), F_DUPFD_CLOEXEC, 3)
                  : -1;
    if (conn.fd < 0) {
        ch_door_leave(link->ticket);
    }
    else {
        ch_door_take(link->ticket, &conn);
    }
    c->aborted = 1; /* nothing more is written here */
    c->cs->state = CONN_STATE_LINGER;
}

/* The connection lives on as it is, without a thread. */
static void suspend(ch_link_t *link)
{
    apr_socket_timeout_set(ap_get_conn_socket(link->c), 0);
    link->suspending = 1;
    link->c->cs->state = CONN_STATE_SUSPENDED;
}

/* Without the event MPM there is no way out of this thread. */
static void work(ch_link_t *link)
{
    ch_door_conn_t conn = { .head = link->head };
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        ch_door_leave(link->ticket);
        return;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    conn.fd = ends[0];
    ch_door_take(link->ticket, &conn);
    ch_carrier_work(link, descriptor_of(link->c), ends[1]);
    close(ends[1]);
    apr_table_setn(link->c->notes, "short-lingering-close", "1");
}

static void let_go(ch_link_t *link)
{
    conn_rec *c = link->c;

    link->is_wanted = 0;
    spare_memory(c, ap_max_mem_free);
    if (c->aborted) {
        ch_door_leave(link->ticket);
        return;
    }
    remove_filters(c);
    link->in = apr_brigade_create(c->pool, c->bucket_alloc);
    link->out = apr_brigade_create(c->pool, c->bucket_alloc);
    if (!c->cs) {
        work(link);
    }
    else if (are_plain(c->input_filters) && are_plain(c->output_filters)) {
        detach(link);
    }
    else {
        suspend(link);
    }
}

/* Around all others: what the connection is to become is known when they have
 * done their work, and its request is no more. */
static int process(conn_rec *c)
{
    ch_link_t *link = link_of(c);
    int status;

    if (!is_wanted || c->master || (link && link->inside)) {
        return DECLINED;
    }
    if (!link) {
        link = apr_pcalloc(c->pool, sizeof(*link));
        link->c = c;
        ap_set_module_config(c->conn_config, &chronicle_module, link);
    }
    link->inside = 1;
    status = ap_run_process_connection(c);
    link->inside = 0;
    if (!link->is_wanted) {
        return status;
    }
    let_go(link);
    return OK;
}

static void suspended(conn_rec *c, request_rec *r)
{
    ch_link_t *link = link_of(c);
    ch_door_conn_t conn = { .carrier = &ch_carrier_filters, .ctx = link };

    if (link && link->suspending) {
        link->suspending = 0;
        conn.fd = descriptor_of(c);
        conn.head = link->head;
        ch_door_take(link->ticket, &conn);
    }
}

void ch_upgrade_register(void)
{
    ap_hook_process_connection(process, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_suspend_connection(suspended, NULL, NULL, APR_HOOK_REALLY_LAST);
}
