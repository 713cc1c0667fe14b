/* Connections that are more than a descriptor (TLS, above all): their bytes
 * go through the server's filters. In the loop's thread where the MPM lets go
 * of connections, in a worker's thread where it does not. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <httpd.h>
#include <http_connection.h>
#include <http_core.h>
#include <util_filter.h>

#include "httpd/upgrade.h"

#define WRITE_MAX                                                             \
    16384            /* bytes that are passed on at once: no filter below     \
                      * waits for the client because of that many */
#define BUFFER 16384 /* bytes of a worker that carries them itself */
#define LOOK_MS 500  /* how often it looks whether its socket was closed */

/* --- in --------------------------------------------------------------- */

static int has_end(const apr_bucket_brigade *brigade)
{
    const apr_bucket *bucket = APR_BRIGADE_LAST(brigade);

    return bucket != APR_BRIGADE_SENTINEL(brigade)
           && APR_BUCKET_IS_EOS(bucket);
}

static ssize_t read_once(ch_link_t *link, char *data, size_t size)
{
    conn_rec *c = link->c;
    apr_size_t len = size;
    ssize_t result = -1;
    apr_status_t rv;

    rv = ap_get_brigade(c->input_filters, link->in, AP_MODE_READBYTES,
                        APR_NONBLOCK_READ, (apr_off_t)size);
    if (rv == APR_SUCCESS) {
        rv = apr_brigade_flatten(link->in, data, &len);
        if (rv == APR_SUCCESS && len > 0) {
            result = (ssize_t)len;
        }
        else if (has_end(link->in)) {
            result = 0;
        }
    }
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        result = APR_STATUS_IS_EOF(rv) ? 0 : -2;
    }
    apr_brigade_cleanup(link->in);
    return result;
}

/* At the end of what comes in the server's filter says once that there is
 * nothing now, and only then that it is the end. */
static ssize_t carrier_read(void *ctx, char *data, size_t size)
{
    ssize_t got = read_once(ctx, data, size);

    return got == -1 ? read_once(ctx, data, size) : got;
}

ssize_t ch_carrier_read(ch_link_t *link, char *data, size_t size)
{
    return carrier_read(link, data, size);
}

/* --- out -------------------------------------------------------------- */

/* Has the last filter write what it keeps back. Whether nothing is left. */
static int is_drained(conn_rec *c)
{
    ap_filter_t *last = c->output_filters;

    while (last->next) {
        last = last->next;
    }
    return last->frec->filter_func.out_func(last, NULL) == APR_SUCCESS
           && !c->data_in_output_filters;
}

static size_t add_parts(ch_link_t *link, const struct iovec *parts, int count)
{
    size_t total = 0;
    size_t len;
    int i;

    for (i = 0; i < count && total < WRITE_MAX; i++) {
        len = parts[i].iov_len;
        if (len > WRITE_MAX - total) {
            len = WRITE_MAX - total;
        }
        APR_BRIGADE_INSERT_TAIL(
            link->out, apr_bucket_transient_create(parts[i].iov_base, len,
                                                   link->c->bucket_alloc));
        total += len;
    }
    return total;
}

/* Nothing is passed on as long as a filter keeps something, or it might wait
 * for the client. What it keeps of these bytes is told by a byte less: that
 * one is taken when all is written, so that somebody asks again. */
static ssize_t carrier_write(void *ctx, const struct iovec *parts, int count)
{
    ch_link_t *link = ctx;
    conn_rec *c = link->c;
    size_t total;
    apr_status_t rv;

    if (c->data_in_output_filters && !is_drained(c)) {
        return c->aborted ? -2 : -1;
    }
    if (c->aborted) {
        return -2;
    }
    if (link->owed) {
        link->owed = 0;
        return 1;
    }
    total = add_parts(link, parts, count);
    rv = ap_pass_brigade(c->output_filters, link->out);
    apr_brigade_cleanup(link->out);
    if (rv == APR_SUCCESS && !is_drained(c)) {
        link->owed = 1;
        total--;
    }
    return rv != APR_SUCCESS || c->aborted ? -2 : (ssize_t)total;
}

/* --- the end ---------------------------------------------------------- */

static void carrier_finish(void *ctx)
{
    ch_link_t *link = ctx;

    ap_start_lingering_close(link->c);
}

static void carrier_close(void *ctx)
{
    ch_link_t *link = ctx;

    apr_pool_destroy(link->c->pool);
}

const ch_carrier_t ch_carrier_filters = {
    .read = carrier_read,
    .write = carrier_write,
    .finish = carrier_finish,
    .close = carrier_close,
};

/* --- a worker that carries them itself -------------------------------- */

/* To the loop, which always reads. */
static int push(int fd, const char *data, ssize_t len)
{
    ssize_t put;

    while (len > 0) {
        put = send(fd, data, (size_t)len, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR) {
            return 0;
        }
        data += put > 0 ? put : 0;
        len -= put > 0 ? put : 0;
    }
    return 1;
}

/* To the client, which is waited for. */
static int pass(ch_link_t *link, const char *data, size_t len)
{
    apr_bucket_alloc_t *alloc = link->c->bucket_alloc;
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(link->out,
                            apr_bucket_transient_create(data, len, alloc));
    APR_BRIGADE_INSERT_TAIL(link->out, apr_bucket_flush_create(alloc));
    rv = ap_pass_brigade(link->c->output_filters, link->out);
    apr_brigade_cleanup(link->out);
    return rv == APR_SUCCESS && !link->c->aborted;
}

/* One step to each side; 0 at the end of either. */
static int carry_once(ch_link_t *link, struct pollfd fds[2], char *buffer)
{
    ssize_t got = carrier_read(link, buffer, BUFFER);

    if (got == 0 || got == -2 || !push(fds[1].fd, buffer, got)) {
        return 0;
    }
    if (poll(fds, 2, got > 0 ? 0 : LOOK_MS) <= 0 || !fds[1].revents) {
        return 1;
    }
    got = recv(fds[1].fd, buffer, BUFFER, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    return got > 0 && pass(link, buffer, (size_t)got);
}

void ch_carrier_work(ch_link_t *link, int client, int loop)
{
    struct pollfd fds[2] = { { .fd = client, .events = POLLIN },
                             { .fd = loop, .events = POLLIN } };
    char *buffer = apr_palloc(link->c->pool, BUFFER);

    while (carry_once(link, fds, buffer)) {
    }
}
