/* Keeps files in a directory: <dir>/<two hex digits>/<key>, written under
 * <dir>/tmp and moved to their place when they are whole. */
#include "blob/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "base/seal.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#define MODE (APR_UREAD | APR_UWRITE)
#define DIR_MODE (APR_UREAD | APR_UWRITE | APR_UEXECUTE)
#define BUFFER 65536 /* bytes that are written at a time */
#define LEFT_OVER apr_time_from_sec(86400)

typedef struct {
    ch_blob_store_t base;
    const char *dir;
} fs_t;

typedef struct {
    ch_blob_out_t base;
    apr_file_t *file; /* NULL: ended */
    const char *temporary;
} fs_out_t;

typedef struct {
    ch_blob_in_t base;
    apr_file_t *file;
} fs_in_t;

static ch_err_t *failure(apr_pool_t *pool, const char *what, const char *key,
                         apr_status_t rv)
{
    char reason[120];

    return ch_err_cause(pool, CH_E_STORAGE_ERROR, "storage: %s %s: %s", what,
                        key, apr_strerror(rv, reason, sizeof(reason)));
}

/* --- places ----------------------------------------------------------- */

/* A key as one name; "=" is in no key. */
static char *flat(apr_pool_t *pool, const char *key)
{
    char *name = apr_pstrdup(pool, key);
    char *at = name;

    while ((at = strchr(at, '/'))) {
        *at = '=';
    }
    return name;
}

static const char *dir_of(apr_pool_t *pool, const ch_blob_store_t *store,
                          const char *key)
{
    const char *hash = ch_seal_sha256_hex(pool, key, strlen(key));

    return apr_psprintf(pool, "%s/%.2s", ((const fs_t *)store)->dir, hash);
}

static const char *place_of(ch_blob_store_t *store, apr_pool_t *pool,
                            const char *key)
{
    return apr_pstrcat(pool, dir_of(pool, store, key), "/", flat(pool, key),
                       NULL);
}

static const char *temporary_of(apr_pool_t *pool,
                                const ch_blob_store_t *store,
                                const char *key)
{
    return apr_pstrcat(pool, ((const fs_t *)store)->dir, "/tmp/",
                       flat(pool, key), NULL);
}

/* Makes a directory if it is not there; *made says whether. */
static apr_status_t make_dir(apr_pool_t *pool, const char *dir, int *made)
{
    apr_status_t rv = apr_dir_make(dir, DIR_MODE, pool);

    *made = rv == APR_SUCCESS;
    return APR_STATUS_IS_EEXIST(rv) ? APR_SUCCESS : rv;
}

/* What was renamed or made in a directory is there after a power failure. */
static apr_status_t sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    apr_status_t rv = APR_SUCCESS;

    if (fd < 0) {
        return errno;
    }
    /* some file systems know no fsync of a directory */
    if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS) {
        rv = errno;
    }
    close(fd);
    return rv;
}

/* --- writing ---------------------------------------------------------- */

static apr_status_t drop(void *data)
{
    fs_out_t *out = data;

    if (out->file) {
        apr_file_close(out->file);
        out->file = NULL;
        apr_file_remove(out->temporary, out->base.pool);
    }
    return APR_SUCCESS;
}

static ch_err_t *create(ch_blob_store_t *store, apr_pool_t *pool,
                        const char *key, ch_blob_out_t **made)
{
    fs_out_t *out = apr_pcalloc(pool, sizeof(*out));
    const char *tmp =
        apr_pstrcat(pool, ((const fs_t *)store)->dir, "/tmp", NULL);
    apr_status_t rv;
    int fresh;

    out->base.store = store;
    out->base.pool = pool;
    out->base.key = apr_pstrdup(pool, key);
    out->temporary = temporary_of(pool, store, key);
    rv = make_dir(pool, tmp, &fresh);
    if (rv == APR_SUCCESS) {
        rv = apr_file_open(&out->file, out->temporary,
                           APR_FOPEN_WRITE | APR_FOPEN_CREATE
                               | APR_FOPEN_EXCL | APR_FOPEN_BINARY
                               | APR_FOPEN_BUFFERED,
                           MODE, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_buffer_set(out->file, apr_palloc(pool, BUFFER), BUFFER);
    }
    if (rv != APR_SUCCESS) {
        return failure(pool, "create", key, rv);
    }
    apr_pool_cleanup_register(pool, out, drop, apr_pool_cleanup_null);
    *made = &out->base;
    return NULL;
}

static ch_err_t *write_bytes(ch_blob_out_t *base, const void *data,
                             size_t len)
{
    fs_out_t *out = (fs_out_t *)base;
    apr_status_t rv =
        out->file ? apr_file_write_full(out->file, data, len, NULL)
                  : APR_EBADF;

    return rv == APR_SUCCESS ? NULL
                             : failure(base->pool, "write", base->key, rv);
}

/* The bytes are on disk before the name is, and the name before anybody is
 * told of it. */
static apr_status_t settle(fs_out_t *out)
{
    apr_pool_t *pool = out->base.pool;
    const char *dir = dir_of(pool, out->base.store, out->base.key);
    int fresh = 0;
    apr_status_t rv = out->file ? apr_file_sync(out->file) : APR_EBADF;

    if (rv == APR_SUCCESS) {
        rv = make_dir(pool, dir, &fresh);
    }
    if (rv == APR_SUCCESS && fresh) {
        rv = sync_dir(((const fs_t *)out->base.store)->dir);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_rename(
            out->temporary, place_of(out->base.store, pool, out->base.key),
            pool);
    }
    return rv == APR_SUCCESS ? sync_dir(dir) : rv;
}

static ch_err_t *commit(ch_blob_out_t *base)
{
    fs_out_t *out = (fs_out_t *)base;
    apr_status_t rv = settle(out);

    if (rv == APR_SUCCESS) {
        rv = apr_file_close(out->file);
        out->file = NULL;
    }
    drop(out); /* nothing, if all went well */
    return rv == APR_SUCCESS ? NULL
                             : failure(base->pool, "commit", base->key, rv);
}

static void abort_writing(ch_blob_out_t *base)
{
    drop(base);
}

/* --- reading ---------------------------------------------------------- */

static ch_err_t *open_file(ch_blob_store_t *store, apr_pool_t *pool,
                           const char *key, ch_blob_in_t **opened)
{
    fs_in_t *in = apr_pcalloc(pool, sizeof(*in));
    apr_finfo_t info;
    apr_status_t rv =
        apr_file_open(&in->file, place_of(store, pool, key),
                      APR_FOPEN_READ | APR_FOPEN_BINARY, 0, pool);

    *opened = NULL;
    if (APR_STATUS_IS_ENOENT(rv)) {
        return NULL;
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE,
                               in->file);
    }
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        rv = APR_EGENERAL;
    }
    if (rv != APR_SUCCESS) {
        return failure(pool, "open", key, rv);
    }
    in->base.store = store;
    in->base.pool = pool;
    in->base.key = apr_pstrdup(pool, key);
    in->base.size = info.size;
    *opened = &in->base;
    return NULL;
}

static ch_err_t *read_bytes(ch_blob_in_t *base, void *data, size_t *len)
{
    const fs_in_t *in = (const fs_in_t *)base;
    apr_status_t rv = apr_file_read_full(in->file, data, *len, len);

    return rv == APR_SUCCESS || rv == APR_EOF
               ? NULL
               : failure(base->pool, "read", base->key, rv);
}

static ch_err_t *seek(ch_blob_in_t *base, apr_off_t offset)
{
    const fs_in_t *in = (const fs_in_t *)base;
    apr_status_t rv = apr_file_seek(in->file, APR_SET, &offset);

    return rv == APR_SUCCESS ? NULL
                             : failure(base->pool, "seek", base->key, rv);
}

static void close_file(ch_blob_in_t *base)
{
    fs_in_t *in = (fs_in_t *)base;

    apr_file_close(in->file);
    in->file = NULL;
}

/* --- keeping house ---------------------------------------------------- */

static ch_err_t *remove_file(ch_blob_store_t *store, apr_pool_t *pool,
                             const char *key)
{
    apr_status_t rv = apr_file_remove(place_of(store, pool, key), pool);

    if (rv == APR_SUCCESS || APR_STATUS_IS_ENOENT(rv)) {
        rv = apr_file_remove(temporary_of(pool, store, key), pool);
    }
    return rv == APR_SUCCESS || APR_STATUS_IS_ENOENT(rv)
               ? NULL
               : failure(pool, "delete", key, rv);
}

static ch_err_t *sweep(ch_blob_store_t *store, apr_pool_t *pool)
{
    const char *tmp =
        apr_pstrcat(pool, ((const fs_t *)store)->dir, "/tmp", NULL);
    apr_time_t before = apr_time_now() - LEFT_OVER;
    apr_finfo_t info;
    apr_dir_t *dir;
    apr_status_t rv = apr_dir_open(&dir, tmp, pool);

    if (rv != APR_SUCCESS) {
        return APR_STATUS_IS_ENOENT(rv) ? NULL
                                        : failure(pool, "open", "tmp", rv);
    }
    while (apr_dir_read(&info,
                        APR_FINFO_NAME | APR_FINFO_TYPE | APR_FINFO_MTIME,
                        dir)
           == APR_SUCCESS) {
        if (info.filetype == APR_REG && info.mtime < before) {
            apr_file_remove(apr_pstrcat(pool, tmp, "/", info.name, NULL),
                            pool);
        }
    }
    apr_dir_close(dir);
    return NULL;
}

/* May we write there, and is there room for it? */
static ch_err_t *check(ch_blob_store_t *store, apr_pool_t *pool)
{
    const char *dir = ((const fs_t *)store)->dir;
    struct statvfs room;

    if (access(dir, R_OK | W_OK | X_OK) < 0 || statvfs(dir, &room) < 0) {
        return failure(pool, "check", dir, errno);
    }
    return room.f_bavail == 0 || (room.f_files > 0 && room.f_favail == 0)
               ? failure(pool, "check", dir, APR_ENOSPC)
               : NULL;
}

ch_blob_store_t *ch_blob_fs_make(apr_pool_t *pool, const char *dir)
{
    static const ch_blob_kind_t kind = {
        .create = create,
        .write = write_bytes,
        .commit = commit,
        .abort = abort_writing,
        .open = open_file,
        .read = read_bytes,
        .seek = seek,
        .close = close_file,
        .path = place_of,
        .remove = remove_file,
        .sweep = sweep,
        .check = check,
    };
    fs_t *fs = apr_pcalloc(pool, sizeof(*fs));

    fs->base.kind = &kind;
    fs->dir = apr_pstrdup(pool, dir);
    return &fs->base;
}
