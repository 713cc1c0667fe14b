/* Files by key: where exports and uploads are kept. What is behind a store is
 * a table of functions (a directory in blob_fs.c). */
#ifndef CH_BLOB_BLOB_H
#define CH_BLOB_BLOB_H

#include "base/err.h"

#define CH_BLOB_KEY_MAX 200   /* characters of a key */
#define CH_BLOB_CHECK_SECONDS 10

typedef struct ch_blob_kind_t ch_blob_kind_t;
typedef struct ch_blob_store_t ch_blob_store_t;

/* A store; the first member of what a kind makes of it. */
struct ch_blob_store_t {
    const ch_blob_kind_t *kind;
    /* the last look at it */
    apr_time_t looked, took;
    int down;
};

/* A file that is being written. */
typedef struct {
    ch_blob_store_t *store;
    apr_pool_t *pool;
    const char *key;
    apr_off_t size; /* written so far */
} ch_blob_out_t;

/* A file that is read. */
typedef struct {
    ch_blob_store_t *store;
    apr_pool_t *pool;
    const char *key;
    apr_off_t size;
} ch_blob_in_t;

/* --- for everybody ---------------------------------------------------- */

/* All errors are STORAGE_ERROR, with the key and the system's reason as the
 * cause. A key is made of parts of letters, digits, ".", "_" and "-", none of
 * which begins with ".", with "/" between them; any other is refused. */

/* Begins a new file. It is seen under its key, whole, after commit; before
 * that, it goes with pool. One key is written by one at a time. */
ch_err_t *ch_blob_create(ch_blob_store_t *store, apr_pool_t *pool,
                         const char *key, ch_blob_out_t **out);
ch_err_t *ch_blob_write(ch_blob_out_t *out, const void *data, size_t len);
ch_err_t *ch_blob_commit(ch_blob_out_t *out); /* is on disk then */
void ch_blob_abort(ch_blob_out_t *out);       /* no trace is left */

/* Opens a file, until close or the end of pool. *in = NULL when there is
 * none. */
ch_err_t *ch_blob_open(ch_blob_store_t *store, apr_pool_t *pool,
                       const char *key, ch_blob_in_t **in);

/* Reads up to *len bytes; *len = 0 at the end. */
ch_err_t *ch_blob_read(ch_blob_in_t *in, void *data, size_t *len);
ch_err_t *ch_blob_seek(ch_blob_in_t *in, apr_off_t offset);
void ch_blob_close(ch_blob_in_t *in);

/* Where a file is, for sending it as it is, whether it is there or not; NULL
 * when the store keeps no local files. */
const char *ch_blob_path(ch_blob_store_t *store, apr_pool_t *pool,
                         const char *key);

/* Deletes a file, and what a writer that died has left of it. One that is not
 * there is no error. */
ch_err_t *ch_blob_delete(ch_blob_store_t *store, apr_pool_t *pool,
                         const char *key);

/* Deletes what writers have left that died a day ago. */
ch_err_t *ch_blob_sweep(ch_blob_store_t *store, apr_pool_t *pool);

/* Whether files can be kept now, and how long the look took. Looks every
 * CH_BLOB_CHECK_SECONDS at most, and tells what was seen in between. */
int ch_blob_is_up(ch_blob_store_t *store, apr_pool_t *pool,
                  apr_time_t *took);

/* --- kinds ------------------------------------------------------------ */

/* A store in a directory, which must be there; in pool. */
ch_blob_store_t *ch_blob_fs_make(apr_pool_t *pool, const char *dir);

/* What a kind does; keys were checked. */
struct ch_blob_kind_t {
    ch_err_t *(*create)(ch_blob_store_t *store, apr_pool_t *pool,
                        const char *key, ch_blob_out_t **out);
    ch_err_t *(*write)(ch_blob_out_t *out, const void *data, size_t len);
    ch_err_t *(*commit)(ch_blob_out_t *out);
    void (*abort)(ch_blob_out_t *out);
    ch_err_t *(*open)(ch_blob_store_t *store, apr_pool_t *pool,
                      const char *key, ch_blob_in_t **in);
    ch_err_t *(*read)(ch_blob_in_t *in, void *data, size_t *len);
    ch_err_t *(*seek)(ch_blob_in_t *in, apr_off_t offset);
    void (*close)(ch_blob_in_t *in);
    const char *(*path)(ch_blob_store_t *store, apr_pool_t *pool,
                        const char *key); /* may be NULL */
    ch_err_t *(*remove)(ch_blob_store_t *store, apr_pool_t *pool,
                        const char *key);
    ch_err_t *(*sweep)(ch_blob_store_t *store, apr_pool_t *pool);
    ch_err_t *(*check)(ch_blob_store_t *store, apr_pool_t *pool);
};

#endif
