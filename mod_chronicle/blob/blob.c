/* The door of the file store: checks keys, then leaves the work to a kind. */
#include "blob/blob.h"

#include <string.h>

#include <apr_lib.h>

#include "base/steady.h"

static int is_key_char(char c)
{
    return apr_isalnum(c) || strchr("._-", c);
}

/* Part by part: nothing leads out of the store, and nothing is hidden. */
static int is_key(const char *key)
{
    size_t len = strlen(key);
    size_t i;
    char before = '/';

    for (i = 0; i < len; i++) {
        int is_slash = key[i] == '/';

        if (before == '/' && (is_slash || key[i] == '.')) {
            return 0;
        }
        if (!is_slash && !is_key_char(key[i])) {
            return 0;
        }
        before = key[i];
    }
    return len <= CH_BLOB_KEY_MAX && before != '/';
}

static ch_err_t *refuse(apr_pool_t *pool)
{
    return ch_err_cause(pool, CH_E_STORAGE_ERROR,
                        "storage: a key that is none");
}

ch_err_t *ch_blob_create(ch_blob_store_t *store, apr_pool_t *pool,
                         const char *key, ch_blob_out_t **out)
{
    return is_key(key) ? store->kind->create(store, pool, key, out)
                       : refuse(pool);
}

ch_err_t *ch_blob_write(ch_blob_out_t *out, const void *data, size_t len)
{
    ch_err_t *err = out->store->kind->write(out, data, len);

    if (!err) {
        out->size += (apr_off_t)len;
    }
    return err;
}

ch_err_t *ch_blob_commit(ch_blob_out_t *out)
{
    return out->store->kind->commit(out);
}

void ch_blob_abort(ch_blob_out_t *out)
{
    out->store->kind->abort(out);
}

ch_err_t *ch_blob_open(ch_blob_store_t *store, apr_pool_t *pool,
                       const char *key, ch_blob_in_t **in)
{
    return is_key(key) ? store->kind->open(store, pool, key, in)
                       : refuse(pool);
}

ch_err_t *ch_blob_read(ch_blob_in_t *in, void *data, size_t *len)
{
    return in->store->kind->read(in, data, len);
}

ch_err_t *ch_blob_seek(ch_blob_in_t *in, apr_off_t offset)
{
    return in->store->kind->seek(in, offset);
}

void ch_blob_close(ch_blob_in_t *in)
{
    in->store->kind->close(in);
}

const char *ch_blob_path(ch_blob_store_t *store, apr_pool_t *pool,
                         const char *key)
{
    return is_key(key) && store->kind->path
               ? store->kind->path(store, pool, key)
               : NULL;
}

ch_err_t *ch_blob_delete(ch_blob_store_t *store, apr_pool_t *pool,
                         const char *key)
{
    return is_key(key) ? store->kind->remove(store, pool, key)
                       : refuse(pool);
}

ch_err_t *ch_blob_sweep(ch_blob_store_t *store, apr_pool_t *pool)
{
    return store->kind->sweep(store, pool);
}

/* Whoever finds that it is time looks; the others take what was seen last, so
 * that a store that hangs holds up one thread only. */
int ch_blob_is_up(ch_blob_store_t *store, apr_pool_t *pool, apr_time_t *took)
{
    apr_time_t last = __atomic_load_n(&store->looked, __ATOMIC_ACQUIRE);
    apr_time_t now = ch_steady_now();
    int down;

    if ((!last || now >= last + apr_time_from_sec(CH_BLOB_CHECK_SECONDS))
        && __atomic_compare_exchange_n(&store->looked, &last, now, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        down = store->kind->check(store, pool) != NULL;
        __atomic_store_n(&store->took, ch_steady_now() - now,
                         __ATOMIC_RELAXED);
        __atomic_store_n(&store->down, down, __ATOMIC_RELEASE);
    }
    *took = __atomic_load_n(&store->took, __ATOMIC_RELAXED);
    return !__atomic_load_n(&store->down, __ATOMIC_ACQUIRE);
}
