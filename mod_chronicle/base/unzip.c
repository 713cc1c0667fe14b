/* Reads ZIP archives by libarchive, from their beginning on: the directory at
 * their end is not asked, for a stream has no end to begin with. */
#include "base/unzip.h"

#include <errno.h>
#include <locale.h>
#include <string.h>

#include <apr_strings.h>
#include <archive.h>
#include <archive_entry.h>

#define BLOCK 65536 /* bytes that the source is asked for at a time */
/* What may come out of an archive: text shrinks to a tenth, a bomb to a
 * thousandth. */
#define OUT_MIN (16 * 1024 * 1024)
#define OUT_TIMES 32

struct ch_unzip_t {
    apr_pool_t *pool;
    struct archive *archive;
    ch_unzip_source_t *source;
    void *ctx;
    ch_err_t *err; /* what went wrong first */
    locale_t utf8; /* NULL = the system has none */
    int ended;     /* nothing more is to be read of the entry */
    ch_unzip_match_t *match;
    apr_uint64_t taken; /* bytes of the archive so far */
    apr_uint64_t given; /* bytes they were expanded to */
    char block[BLOCK];
};

static la_ssize_t take(struct archive *archive, void *ctx, const void **data)
{
    ch_unzip_t *zip = ctx;
    size_t len = sizeof(zip->block);

    zip->err = zip->source(zip->ctx, zip->block, &len);
    if (zip->err) {
        archive_set_error(archive, EIO, "the source is dry");
        return -1;
    }
    *data = zip->block;
    zip->taken += len;
    return (la_ssize_t)len;
}

static apr_status_t release(void *data)
{
    ch_unzip_t *zip = data;

    archive_read_free(zip->archive);
    if (zip->utf8) {
        freelocale(zip->utf8);
    }
    return APR_SUCCESS;
}

/* What the archive is at fault for; libarchive's words are for the log. */
static ch_err_t *failed(ch_unzip_t *zip, const char *message)
{
    const char *text = archive_error_string(zip->archive);

    if (!zip->err) {
        zip->err = ch_err_make(zip->pool, CH_E_VALIDATION_ERROR, "%s",
                               message);
        zip->err->cause = text ? apr_pstrcat(zip->pool, "zip: ", text, NULL)
                               : NULL;
    }
    return zip->err;
}

static ch_err_t *damaged(ch_unzip_t *zip)
{
    return failed(zip, "This is no ZIP archive, or it is damaged");
}

/* The last part of a path, as it is separated anywhere. */
static const char *last_part(const char *path)
{
    const char *at = path + strlen(path);

    while (at > path && at[-1] != '/' && at[-1] != '\\') {
        at--;
    }
    return at;
}

static int is_wanted(const ch_unzip_t *zip, struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);

    return path && archive_entry_filetype(entry) == AE_IFREG
           && zip->match(last_part(path));
}

/* Stored or deflated. What else libarchive can expand takes as much memory as
 * an archive wants: a gigabyte for LZMA. */
static int is_plain(ch_unzip_t *zip)
{
    const char *format = archive_format_name(zip->archive);

    return format && (strstr(format, "(uncompressed)")
                      || strstr(format, "(deflation)"));
}

/* Also for entries that are passed over: libarchive expands those of which
 * only the end says how long they are, whatever size they claim. */
static ch_err_t *check(ch_unzip_t *zip, struct archive_entry *entry)
{
    if (archive_entry_is_encrypted(entry)) {
        return failed(zip, "The ZIP archive is encrypted");
    }
    return is_plain(zip)
               ? NULL
               : failed(zip, "The ZIP archive must be packed by the method "
                             "\"deflate\", or not at all");
}

static ch_err_t *count_given(ch_unzip_t *zip, size_t len)
{
    zip->given += len;
    return zip->given <= OUT_MIN + OUT_TIMES * zip->taken
               ? NULL
               : failed(zip, "The ZIP archive is far larger unpacked than "
                             "text ever is");
}

/* Passes over an entry; libarchive would not say what it expands for it. A
 * wrong checksum is none of ours. */
static ch_err_t *pass_over(ch_unzip_t *zip)
{
    const void *data;
    size_t len;
    la_int64_t at;
    int rv;

    do {
        len = 0;
        rv = archive_read_data_block(zip->archive, &data, &len, &at);
        if (zip->err || rv < ARCHIVE_WARN) {
            return damaged(zip);
        }
    } while (!count_given(zip, len) && rv == ARCHIVE_OK);
    return zip->err;
}

/* Without a locale that has them libarchive leaves out names with letters
 * beyond ASCII, and httpd has none. */
static int next_header(ch_unzip_t *zip, struct archive_entry **entry)
{
    locale_t before = zip->utf8 ? uselocale(zip->utf8) : NULL;
    int rv = archive_read_next_header(zip->archive, entry);

    if (before) {
        uselocale(before);
    }
    return rv;
}

/* On to the next wanted entry. */
static ch_err_t *find(ch_unzip_t *zip, int *found)
{
    struct archive_entry *entry;
    int rv;

    *found = 0;
    for (;;) {
        rv = next_header(zip, &entry);
        if (zip->err || rv == ARCHIVE_EOF) {
            return zip->err;
        }
        if (rv != ARCHIVE_OK && rv != ARCHIVE_WARN) {
            return damaged(zip);
        }
        *found = is_wanted(zip, entry);
        if (check(zip, entry) || *found || pass_over(zip)) {
            return zip->err;
        }
    }
}

ch_err_t *ch_unzip_open(apr_pool_t *pool, ch_unzip_source_t *source,
                        void *ctx, ch_unzip_match_t *match, ch_unzip_t **out)
{
    ch_unzip_t *zip = apr_palloc(pool, sizeof(*zip));
    int found = 0;
    ch_err_t *err;

    *out = NULL;
    memset(zip, 0, offsetof(ch_unzip_t, block));
    zip->pool = pool;
    zip->source = source;
    zip->ctx = ctx;
    zip->match = match;
    zip->archive = archive_read_new();
    if (!zip->archive) {
        return ch_err_cause(pool, CH_E_INTERNAL_ERROR, "zip: no memory");
    }
    zip->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    apr_pool_cleanup_register(pool, zip, release, apr_pool_cleanup_null);
    if (archive_read_support_format_zip_streamable(zip->archive) != ARCHIVE_OK
        || archive_read_open(zip->archive, zip, NULL, take, NULL)
               != ARCHIVE_OK) {
        return damaged(zip);
    }
    err = find(zip, &found);
    *out = found && !err ? zip : NULL;
    return err;
}

ch_err_t *ch_unzip_next(ch_unzip_t *zip, int *found)
{
    ch_err_t *err = zip->err;

    *found = 0;
    if (!err && !zip->ended) {
        err = pass_over(zip);
    }
    if (!err) {
        err = find(zip, found);
    }
    zip->ended = !*found || err;
    return err;
}

ch_err_t *ch_unzip_read(ch_unzip_t *zip, void *data, size_t *len)
{
    la_ssize_t count;

    if (zip->err || zip->ended || !*len) {
        *len = 0;
        return zip->err;
    }
    count = archive_read_data(zip->archive, data, *len);
    *len = count > 0 && !zip->err ? (size_t)count : 0;
    if (count < 0 || zip->err) {
        return damaged(zip); /* a warning, too: the checksum is wrong */
    }
    zip->ended = count == 0;
    if (count_given(zip, *len)) {
        *len = 0;
    }
    return zip->err;
}
