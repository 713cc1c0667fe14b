/* Writes ZIP archives by libarchive. */
#include "base/zip.h"

#include <errno.h>
#include <string.h>

#include <apr_strings.h>
#include <archive.h>
#include <archive_entry.h>

#define BLOCK 65536 /* bytes that reach the sink at a time */

struct ch_zip_t {
    apr_pool_t *pool;
    struct archive *archive;
    struct archive_entry *entry;
    ch_zip_sink_t *sink;
    void *ctx;
    apr_int64_t left; /* of the entry that is written; -1 = not known */
    ch_err_t *err;    /* what went wrong first */
};

static la_ssize_t give(struct archive *archive, void *ctx, const void *data,
                       size_t len)
{
    ch_zip_t *zip = ctx;

    zip->err = zip->sink(zip->ctx, data, len);
    if (zip->err) {
        archive_set_error(archive, EIO, "the sink is full");
        return -1;
    }
    return (la_ssize_t)len;
}

/* An archive that was not ended must not be ended by this. */
static apr_status_t release(void *data)
{
    ch_zip_t *zip = data;

    archive_write_fail(zip->archive);
    archive_write_free(zip->archive);
    archive_entry_free(zip->entry);
    return APR_SUCCESS;
}

static ch_err_t *failed(ch_zip_t *zip, const char *what)
{
    const char *text = archive_error_string(zip->archive);

    if (!zip->err) {
        zip->err = ch_err_cause(zip->pool, CH_E_INTERNAL_ERROR, "zip: %s: %s",
                                what, text ? text : "no memory");
    }
    return zip->err;
}

ch_err_t *ch_zip_make(apr_pool_t *pool, ch_zip_sink_t *sink, void *ctx,
                      ch_zip_t **out)
{
    ch_zip_t *zip = apr_pcalloc(pool, sizeof(*zip));

    zip->pool = pool;
    zip->sink = sink;
    zip->ctx = ctx;
    zip->archive = archive_write_new();
    zip->entry = archive_entry_new();
    if (!zip->archive || !zip->entry) {
        archive_write_free(zip->archive);
        archive_entry_free(zip->entry);
        return ch_err_cause(pool, CH_E_INTERNAL_ERROR, "zip: no memory");
    }
    apr_pool_cleanup_register(pool, zip, release, apr_pool_cleanup_null);
    *out = zip;
    /* level 3: twice as fast as the usual 6, a tenth larger */
    if (archive_write_set_format_zip(zip->archive) != ARCHIVE_OK
        || archive_write_set_options(zip->archive,
                                     "zip:hdrcharset=UTF-8,"
                                     "zip:compression-level=3")
               != ARCHIVE_OK
        || archive_write_set_bytes_per_block(zip->archive, BLOCK)
               != ARCHIVE_OK
        || archive_write_set_bytes_in_last_block(zip->archive, 1)
               != ARCHIVE_OK
        || archive_write_open2(zip->archive, zip, NULL, give, NULL, NULL)
               != ARCHIVE_OK) {
        return failed(zip, "make");
    }
    return NULL;
}

/* Ends the entry that is being written. */
static ch_err_t *finish(ch_zip_t *zip)
{
    if (!zip->err && zip->left > 0) {
        zip->err = ch_err_cause(zip->pool, CH_E_INTERNAL_ERROR,
                                "zip: %" APR_INT64_T_FMT " bytes are missing",
                                zip->left);
    }
    zip->left = 0;
    return zip->err;
}

ch_err_t *ch_zip_begin(ch_zip_t *zip, const ch_zip_entry_t *entry)
{
    if (finish(zip)) {
        return zip->err;
    }
    archive_entry_clear(zip->entry);
    /* by whatever locale the process has */
    archive_entry_update_pathname_utf8(zip->entry, entry->name);
    archive_entry_set_filetype(zip->entry, AE_IFREG);
    archive_entry_set_perm(zip->entry, 0644);
    archive_entry_set_mtime(zip->entry, apr_time_sec(entry->modified), 0);
    if (entry->size >= 0) {
        archive_entry_set_size(zip->entry, entry->size);
    }
    zip->left = entry->size;
    if ((entry->stored
             ? archive_write_zip_set_compression_store(zip->archive)
             : archive_write_zip_set_compression_deflate(zip->archive))
            != ARCHIVE_OK
        || archive_write_header(zip->archive, zip->entry) != ARCHIVE_OK) {
        return failed(zip, entry->name);
    }
    return NULL;
}

/* libarchive would cut what is beyond the size, without a word. */
ch_err_t *ch_zip_write(ch_zip_t *zip, const void *data, size_t len)
{
    if (zip->err) {
        return zip->err;
    }
    if (zip->left >= 0) {
        if (len > (apr_uint64_t)zip->left) {
            zip->err = ch_err_cause(zip->pool, CH_E_INTERNAL_ERROR,
                                    "zip: more bytes than announced");
            return zip->err;
        }
        zip->left -= (apr_int64_t)len;
    }
    if (len && archive_write_data(zip->archive, data, len) < 0) {
        return failed(zip, "write");
    }
    return zip->err;
}

ch_err_t *ch_zip_end(ch_zip_t *zip)
{
    if (!finish(zip) && archive_write_close(zip->archive) != ARCHIVE_OK) {
        return failed(zip, "end");
    }
    return zip->err;
}

const char *ch_zip_safe_name(apr_pool_t *pool, const char *name)
{
    char *out = apr_pstrdup(pool, name);
    char *at;

    for (at = out; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f
            || strchr("/\\:", *at)) {
            *at = '_';
        }
    }
    if (strspn(out, ".") == strlen(out)) { /* "", ".", ".." */
        return *out ? "_" : "file";
    }
    return out;
}
