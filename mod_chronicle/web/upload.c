/* Takes in files: the bytes go into a file without a name as they come, the
 * other parts are kept as text. */
#include "web/upload.h"

#include <string.h>

#include <apr_strings.h>

#include "base/seal.h"
#include "base/text.h"
#include "web/multipart.h"
#include "web/query.h"
#include "web/spill.h"

#define TEXT_MAX 262144 /* bytes of all text parts together */
/* What may stand around a file: the text parts, headers, a preamble. */
#define AROUND_MAX (TEXT_MAX + (CH_PARTS_MAX + 4) * 16384)

typedef struct {
    ch_req_t *rq;
    apr_off_t limit; /* of the file */
    ch_upload_t *file; /* NULL = not yet there */
    int in_file;
    apr_array_header_t *form; /* of ch_pair_t */
    const char *name;         /* of the text part that is read */
    ch_buf_t *text;
    size_t texts_len; /* bytes of all of them */
    ch_seal_sum_t *sum;
    ch_multipart_t *parts;
} upload_t;

/* --- what is sent ----------------------------------------------------- */

/* Bytes with their length before them, so that what is said with them can't
 * be said with others. */
static void add_to_sum(upload_t *upload, const char *text)
{
    apr_uint64_t len = strlen(text);

    ch_seal_sum_add(upload->sum, &len, sizeof(len));
    ch_seal_sum_add(upload->sum, text, len);
}

static ch_err_t *begin_file(upload_t *upload, const ch_part_t *part)
{
    apr_pool_t *pool = upload->rq->pool;
    ch_err_t *err = NULL;

    if (upload->file) {
        ch_err_fault(pool, &err, CH_D_DUPLICATE, "file",
                     "must be given once");
        return err;
    }
    upload->file = apr_pcalloc(pool, sizeof(*upload->file));
    upload->file->filename = part->filename ? part->filename : "";
    upload->file->media = part->media;
    upload->in_file = 1;
    return ch_spill_open(pool, &upload->file->file);
}

static ch_err_t *begin(void *ctx, const ch_part_t *part)
{
    upload_t *upload = ctx;

    add_to_sum(upload, part->name);
    if (strcmp(part->name, "file") == 0) {
        add_to_sum(upload, part->filename ? part->filename : "");
        return begin_file(upload, part);
    }
    upload->in_file = 0;
    upload->name = part->name;
    upload->text = ch_buf_make(upload->rq->pool, 256, TEXT_MAX);
    return NULL;
}

static ch_err_t *add_to_file(upload_t *upload, const char *data, size_t len)
{
    apr_pool_t *pool = upload->rq->pool;
    ch_upload_t *file = upload->file;

    if ((apr_off_t)len > upload->limit - file->size) {
        return ch_err_make(pool, CH_E_PAYLOAD_TOO_LARGE,
                           "The file is too large");
    }
    file->size += (apr_off_t)len;
    ch_seal_sum_add(upload->sum, data, len);
    return ch_spill_write(pool, file->file, data, len);
}

static ch_err_t *add(void *ctx, const char *data, size_t len)
{
    upload_t *upload = ctx;

    if (upload->in_file) {
        return add_to_file(upload, data, len);
    }
    upload->texts_len += len;
    if (upload->texts_len > TEXT_MAX) {
        return ch_err_make(upload->rq->pool, CH_E_PAYLOAD_TOO_LARGE, NULL);
    }
    ch_buf_add(upload->text, data, len);
    return NULL;
}

/* The file's length ends its bytes; a text is hashed with its own. */
static ch_err_t *end(void *ctx)
{
    upload_t *upload = ctx;
    ch_pair_t *pair;

    if (upload->in_file) {
        ch_seal_sum_add(upload->sum, &upload->file->size,
                        sizeof(upload->file->size));
        return NULL;
    }
    pair = apr_array_push(upload->form);
    pair->name = upload->name;
    pair->value = ch_buf_cstr(upload->text);
    pair->len = upload->text->len;
    pair->broken = memchr(pair->value, '\0', pair->len)
                   || !ch_text_valid(pair->value, pair->len);
    ch_seal_sum_add(upload->sum, &upload->text->len,
                    sizeof(upload->text->len));
    ch_seal_sum_add(upload->sum, pair->value, pair->len);
    return NULL;
}

static const ch_part_taker_t taker = { begin, add, end };

static ch_err_t *feed(void *ctx, const char *data, size_t len)
{
    upload_t *upload = ctx;

    return ch_multipart_feed(upload->parts, data, len);
}

ch_err_t *ch_upload_read(ch_req_t *rq)
{
    upload_t upload = {
        .rq = rq,
        .limit = *(const apr_off_t *)(const void *)((const char *)rq->conf
                                                    + rq->route->upload_max),
        .form = apr_array_make(rq->pool, 8, sizeof(ch_pair_t)),
        .sum = ch_seal_sum_make(rq->pool),
    };
    apr_off_t start = 0;
    ch_err_t *err =
        ch_multipart_make(rq->pool, ch_req_header(rq, "Content-Type"), &taker,
                          &upload, &upload.parts);

    if (!err && rq->body_size) {
        err = rq->io->stream_body(rq, upload.limit + AROUND_MAX, feed,
                                  &upload);
    }
    err = err ? err : ch_multipart_end(upload.parts);
    if (err) {
        return err;
    }
    rq->raw_body.data = ""; /* it was read */
    rq->texts = upload.form;
    if (upload.file) {
        upload.file->sha256 = ch_seal_sum_hex(upload.sum);
        apr_file_seek(upload.file->file, APR_SET, &start);
        rq->upload = upload.file;
    }
    return NULL;
}
