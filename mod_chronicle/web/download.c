/* Sends files, and single ranges of them (RFC 9110, 14). */
#include "web/download.h"

#include <string.h>
#include <strings.h>

#include <apr_date.h>
#include <apr_file_info.h>
#include <apr_lib.h>
#include <apr_strings.h>

/* What a Range header comes to. */
typedef enum { RANGE_NONE, RANGE_PART, RANGE_OUTSIDE } range_e;

/* Digits, which may be none: -1 then. What passes 64 bits is the largest
 * number. */
static apr_off_t number(const char **at)
{
    apr_off_t value = -1;

    for (; apr_isdigit(**at); (*at)++) {
        int digit = **at - '0';

        value = value < 0 ? 0 : value;
        value = value > (APR_INT64_MAX - digit) / 10 ? APR_INT64_MAX
                                                     : value * 10 + digit;
    }
    return value;
}

static range_e judge(apr_off_t from, apr_off_t to, apr_off_t size,
                     ch_reply_t *reply)
{
    if (from < 0) { /* the last so many bytes */
        from = to < size ? size - to : 0;
        to = to ? size - 1 : -1;
    }
    else if (to < 0 || to >= size) {
        to = size - 1;
    }
    if (from >= size || to < from) {
        return RANGE_OUTSIDE;
    }
    reply->file_start = from;
    reply->file_size = to - from + 1;
    return RANGE_PART;
}

/* "bytes=1-2", "bytes=1-", "bytes=-2"; anything else is as if it was not
 * there. */
static range_e parse(const char *header, apr_off_t size, ch_reply_t *reply)
{
    apr_off_t from, to;

    if (strncasecmp(header, "bytes=", 6) != 0) {
        return RANGE_NONE;
    }
    header += 6;
    header += strspn(header, " \t");
    from = number(&header);
    if (*header++ != '-') {
        return RANGE_NONE;
    }
    to = number(&header);
    header += strspn(header, " \t");
    if (*header || (from < 0 && to < 0)
        || (from >= 0 && to >= 0 && to < from)) {
        return RANGE_NONE;
    }
    return judge(from, to, size, reply);
}

/* Whether If-Range lets the range count: it names what is here now. */
static int is_current(const ch_req_t *rq, const ch_download_t *download)
{
    const char *condition = ch_req_header(rq, "If-Range");

    if (!condition) {
        return 1;
    }
    if (*condition == '"' || strncmp(condition, "W/", 2) == 0) {
        return strcmp(condition, download->etag) == 0;
    }
    return apr_date_parse_http(condition)
           == apr_time_from_sec(apr_time_sec(download->modified));
}

static ch_err_t *outside(ch_req_t *rq, apr_off_t size)
{
    apr_table_setn(rq->out, "Content-Range",
                   apr_psprintf(rq->pool, "bytes */%" APR_OFF_T_FMT, size));
    return ch_err_make(rq->pool, CH_E_RANGE_NOT_SATISFIABLE, NULL);
}

static void set_headers(ch_req_t *rq, const ch_download_t *download)
{
    char *date = apr_palloc(rq->pool, APR_RFC822_DATE_LEN);

    apr_rfc822_date(date, download->modified);
    apr_table_setn(rq->out, "Last-Modified", date);
    apr_table_setn(rq->out, "ETag", download->etag);
    apr_table_setn(rq->out, "Accept-Ranges", "bytes");
    apr_table_setn(rq->out, "Content-Disposition", download->disposition);
}

/* Opened now, while an error can still be answered. */
static ch_err_t *open_file(ch_req_t *rq, const ch_download_t *download,
                           apr_file_t **file)
{
    apr_finfo_t info = { .size = 0 };
    char reason[120];
    apr_status_t rv = rq->io->open_file(rq, download->path, file);

    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE, *file);
    }
    if (rv != APR_SUCCESS) {
        return ch_err_cause(rq->pool, CH_E_STORAGE_ERROR,
                            "download: %s: %s", download->path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    if (info.size != download->size) {
        return ch_err_cause(rq->pool, CH_E_STORAGE_ERROR,
                            "download: %s has %" APR_OFF_T_FMT
                            " bytes, not %" APR_OFF_T_FMT,
                            download->path, info.size, download->size);
    }
    return NULL;
}

ch_err_t *ch_reply_download(ch_req_t *rq, const ch_download_t *download)
{
    const char *header = ch_req_header(rq, "Range");
    ch_reply_t *reply = &rq->reply;
    range_e range = RANGE_NONE;
    ch_err_t *err = open_file(rq, download, &reply->open_file);

    if (err) {
        return err;
    }
    reply->file_start = 0;
    reply->file_size = download->size;
    if (header && rq->method == CH_GET && is_current(rq, download)) {
        range = parse(header, download->size, reply);
    }
    if (range == RANGE_OUTSIDE) {
        return outside(rq, download->size);
    }
    reply->status = range == RANGE_PART ? 206 : 200;
    if (range == RANGE_PART) {
        apr_table_setn(
            rq->out, "Content-Range",
            apr_psprintf(rq->pool,
                         "bytes %" APR_OFF_T_FMT "-%" APR_OFF_T_FMT
                         "/%" APR_OFF_T_FMT,
                         reply->file_start,
                         reply->file_start + reply->file_size - 1,
                         download->size));
    }
    reply->content_type = download->media;
    reply->cache_control = "private, max-age=3600";
    set_headers(rq, download);
    return NULL;
}
