/* Tests of blob/: a store in a directory, its keys, and what goes wrong. */
#include "ch_check.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "blob/blob.h"

static char *dir;
static ch_blob_store_t *store;

static ch_err_t *empty(void *data, const char *path);

static void make_store(void)
{
    dir = apr_pstrdup(pool, "/tmp/chronicle-blob.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    store = ch_blob_fs_make(pool, dir);
}

/* Calls back for every file below dir; their number. */
static int each_file(const char *path, ch_err_t *(*back)(void *, const char *),
                     void *data)
{
    apr_finfo_t info;
    apr_dir_t *at;
    int count = 0;

    ck_assert_int_eq(apr_dir_open(&at, path, pool), APR_SUCCESS);
    while (apr_dir_read(&info, APR_FINFO_NAME | APR_FINFO_TYPE, at)
           == APR_SUCCESS) {
        const char *name = apr_pstrcat(pool, path, "/", info.name, NULL);

        if (strcmp(info.name, ".") == 0 || strcmp(info.name, "..") == 0) {
            continue;
        }
        if (info.filetype == APR_DIR) {
            count += each_file(name, back, data);
            if (back == empty) {
                rmdir(name);
            }
        }
        else {
            count++;
            if (back) {
                back(data, name);
            }
        }
    }
    apr_dir_close(at);
    return count;
}

static ch_err_t *empty(void *data, const char *path)
{
    unlink(path);
    return NULL;
}

static void remove_store(void)
{
    each_file(dir, empty, NULL);
    rmdir(dir);
}

static int files(void)
{
    return each_file(dir, NULL, NULL);
}

static void put(const char *key, const char *text)
{
    ch_blob_out_t *out;

    ck_assert_ptr_null(ch_blob_create(store, pool, key, &out));
    ck_assert_ptr_null(ch_blob_write(out, text, strlen(text)));
    ck_assert_ptr_null(ch_blob_commit(out));
    ck_assert_int_eq(out->size, strlen(text));
}

/* Contents of a file, NULL when there is none. */
static const char *get(const char *key)
{
    char *text = apr_pcalloc(pool, 100000);
    size_t len = 99999;
    ch_blob_in_t *in;

    ck_assert_ptr_null(ch_blob_open(store, pool, key, &in));
    if (!in) {
        return NULL;
    }
    ck_assert_ptr_null(ch_blob_read(in, text, &len));
    ck_assert_int_eq(in->size, len);
    ch_blob_close(in);
    return text;
}

START_TEST(what_is_put_is_got)
{
    ch_blob_out_t *out;
    struct stat info;
    ch_blob_in_t *in;
    char byte[3];
    size_t len = 3;

    make_store();
    put("uploads/-x_/a.b", "hello");
    put("uploads/-x_/a.c", "");
    ck_assert_str_eq(get("uploads/-x_/a.b"), "hello");
    ck_assert_str_eq(get("uploads/-x_/a.c"), "");
    ck_assert_ptr_null(get("uploads/-x_/a"));
    ck_assert_ptr_null(get("uploads"));
    put("uploads/-x_/a.b", "again");
    ck_assert_str_eq(get("uploads/-x_/a.b"), "again");
    ck_assert_int_eq(files(), 2);
    ck_assert_int_eq(stat(ch_blob_path(store, pool, "uploads/-x_/a.b"),
                          &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);

    ck_assert_ptr_null(ch_blob_open(store, pool, "uploads/-x_/a.b", &in));
    ck_assert_ptr_null(ch_blob_seek(in, 3));
    ck_assert_ptr_null(ch_blob_read(in, byte, &len));
    ck_assert_uint_eq(len, 2);
    ck_assert_mem_eq(byte, "in", 2);
    len = 3;
    ck_assert_ptr_null(ch_blob_read(in, byte, &len));
    ck_assert_uint_eq(len, 0);
    ch_blob_close(in);

    /* nothing is seen before it is whole */
    ck_assert_ptr_null(ch_blob_create(store, pool, "new", &out));
    ck_assert_ptr_null(ch_blob_write(out, "1", 1));
    ck_assert_ptr_null(get("new"));
    ck_assert_ptr_null(ch_blob_commit(out));
    ck_assert_str_eq(get("new"), "1");
    ck_assert_ptr_nonnull(ch_blob_write(out, "2", 1));
    ck_assert_ptr_nonnull(ch_blob_commit(out));
    ch_blob_abort(out);
    ck_assert_str_eq(get("new"), "1");
    remove_store();
}
END_TEST

START_TEST(an_end_without_commit_leaves_nothing)
{
    apr_pool_t *sub;
    ch_blob_out_t *out;

    make_store();
    ck_assert_ptr_null(ch_blob_create(store, pool, "a", &out));
    ck_assert_ptr_null(ch_blob_write(out, "1", 1));
    ck_assert_int_eq(files(), 1);
    ch_blob_abort(out);
    ch_blob_abort(out);
    ck_assert_int_eq(files(), 0);
    apr_pool_create(&sub, pool);
    ck_assert_ptr_null(ch_blob_create(store, sub, "a", &out));
    apr_pool_destroy(sub);
    ck_assert_int_eq(files(), 0);
    remove_store();
}
END_TEST

START_TEST(one_writer_of_a_key)
{
    ch_blob_out_t *first, *second;
    ch_err_t *err;

    make_store();
    ck_assert_ptr_null(ch_blob_create(store, pool, "a", &first));
    err = ch_blob_create(store, pool, "a", &second);
    ck_assert_int_eq(err->code, CH_E_STORAGE_ERROR);
    ck_assert_ptr_null(ch_blob_write(first, "1", 1));
    ck_assert_ptr_null(ch_blob_commit(first));
    ck_assert_str_eq(get("a"), "1");
    remove_store();
}
END_TEST

START_TEST(what_is_deleted_is_gone)
{
    ch_blob_out_t *out;

    make_store();
    put("a", "1");
    put("b", "2");
    ck_assert_ptr_null(ch_blob_delete(store, pool, "a"));
    ck_assert_ptr_null(ch_blob_delete(store, pool, "a"));
    ck_assert_ptr_null(get("a"));
    ck_assert_str_eq(get("b"), "2");
    /* also under the hands of its writer */
    ck_assert_ptr_null(ch_blob_create(store, pool, "c", &out));
    ck_assert_ptr_null(ch_blob_delete(store, pool, "c"));
    ck_assert_ptr_null(ch_blob_write(out, "1", 1));
    ck_assert_ptr_nonnull(ch_blob_commit(out));
    ck_assert_int_eq(files(), 1);
    remove_store();
}
END_TEST

static const struct {
    const char *key;
    int good;
} keys[] = {
    { "a", 1 },
    { "exports/0198a000-0000-7000-8000-0000000000aa-1", 1 },
    { "uploads/x/-_-.tar.gz", 1 },
    { "", 0 },
    { ".", 0 },
    { "..", 0 },
    { ".a", 0 },
    { "a/.b", 0 },
    { "../a", 0 },
    { "a/../b", 0 },
    { "a/..", 0 },
    { "/a", 0 },
    { "a/", 0 },
    { "a//b", 0 },
    { "a=b", 0 },
    { "a b", 0 },
    { "a\\b", 0 },
    { "a\nb", 0 },
    { "\xc3\xbc", 0 },
    { "tmp/a", 1 }, /* becomes tmp=a, which is no place of ours */
};

START_TEST(keys_are_looked_at)
{
    const char *key = keys[_i].key;
    ch_blob_out_t *out;
    ch_blob_in_t *in;

    make_store();
    ck_assert_int_eq(!ch_blob_create(store, pool, key, &out), keys[_i].good);
    ck_assert_int_eq(!ch_blob_open(store, pool, key, &in), keys[_i].good);
    ck_assert_int_eq(!ch_blob_delete(store, pool, key), keys[_i].good);
    ck_assert_int_eq(!!ch_blob_path(store, pool, key), keys[_i].good);
    remove_store();
}
END_TEST

START_TEST(keys_have_a_length)
{
    char key[CH_BLOB_KEY_MAX + 2];
    ch_blob_in_t *in;

    make_store();
    memset(key, 'a', sizeof(key));
    key[CH_BLOB_KEY_MAX + 1] = '\0';
    ck_assert_ptr_nonnull(ch_blob_open(store, pool, key, &in));
    key[CH_BLOB_KEY_MAX] = '\0';
    put(key, "1");
    ck_assert_str_eq(get(key), "1");
    remove_store();
}
END_TEST

/* A disk that is full after so many bytes: an error that says so, and nothing
 * is left. The last writes only fail when the file is committed. */
START_TEST(a_full_disk)
{
    const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 150000, 199999 };
    char *data = apr_pcalloc(pool, 200000);
    struct rlimit limit, before;
    ch_blob_out_t *out;
    ch_err_t *err;
    size_t i, at;

    make_store();
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    for (i = 0; i < CH_COUNT(sizes); i++) {
        limit = before;
        limit.rlim_cur = sizes[i];
        setrlimit(RLIMIT_FSIZE, &limit);
        err = ch_blob_create(store, pool, "a", &out);
        ck_assert_ptr_null(err);
        for (at = 0; at < 200000 && !err; at += 1000) {
            err = ch_blob_write(out, data, 1000);
        }
        err = err ? err : ch_blob_commit(out);
        setrlimit(RLIMIT_FSIZE, &before);
        ck_assert_ptr_nonnull(err);
        ck_assert_int_eq(err->code, CH_E_STORAGE_ERROR);
        ck_assert_ptr_nonnull(strstr(err->cause, "File too large"));
        ch_blob_abort(out);
        ck_assert_int_eq(files(), 0);
    }
    limit.rlim_cur = 200000;
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_ptr_null(ch_blob_create(store, pool, "a", &out));
    ck_assert_ptr_null(ch_blob_write(out, data, 200000));
    ck_assert_ptr_null(ch_blob_commit(out));
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(files(), 1);
    remove_store();
}
END_TEST

/* Something that is in the way of each of its directories. */
START_TEST(a_place_that_cannot_be_used)
{
    ch_blob_out_t *out;
    ch_blob_in_t *in;
    char *place;
    FILE *file;

    make_store();
    place = apr_pstrdup(pool, ch_blob_path(store, pool, "a"));
    *strrchr(place, '/') = '\0';
    file = fopen(place, "w");
    fclose(file);
    ck_assert_ptr_null(ch_blob_create(store, pool, "a", &out));
    ck_assert_ptr_nonnull(ch_blob_commit(out));
    ck_assert_int_eq(files(), 1);
    ck_assert_ptr_nonnull(ch_blob_open(store, pool, "a", &in));
    unlink(place);
    remove_store();

    make_store();
    file = fopen(apr_pstrcat(pool, dir, "/tmp", NULL), "w");
    fclose(file);
    ck_assert_ptr_nonnull(ch_blob_create(store, pool, "a", &out));
    ck_assert_ptr_nonnull(ch_blob_sweep(store, pool));
    remove_store();
    ck_assert_ptr_nonnull(ch_blob_create(store, pool, "a", &out));
}
END_TEST

START_TEST(leftovers_of_the_dead_are_swept)
{
    const struct utimbuf old = { .actime = time(NULL) - 90000,
                                 .modtime = time(NULL) - 90000 };
    ch_blob_out_t *out;

    make_store();
    ck_assert_ptr_null(ch_blob_sweep(store, pool));
    put("kept", "1");
    ck_assert_ptr_null(ch_blob_create(store, pool, "young", &out));
    ck_assert_ptr_null(ch_blob_create(store, pool, "old", &out));
    ck_assert_int_eq(utime(apr_pstrcat(pool, dir, "/tmp/old", NULL), &old), 0);
    ck_assert_int_eq(utime(ch_blob_path(store, pool, "kept"), &old), 0);
    ck_assert_ptr_null(ch_blob_sweep(store, pool));
    ck_assert_int_eq(files(), 2);
    ck_assert_str_eq(get("kept"), "1");
    remove_store();
}
END_TEST

START_TEST(up_and_down)
{
    apr_time_t took;

    make_store();
    ck_assert_int_eq(ch_blob_is_up(store, pool, &took), 1);
    remove_store();
    ck_assert_int_eq(ch_blob_is_up(store, pool, &took), 1); /* as seen last */
    store->looked -= apr_time_from_sec(CH_BLOB_CHECK_SECONDS);
    ck_assert_int_eq(ch_blob_is_up(store, pool, &took), 0);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    ck_assert_int_eq(ch_blob_is_up(store, pool, &took), 0);
    store->looked -= apr_time_from_sec(CH_BLOB_CHECK_SECONDS);
    ck_assert_int_eq(ch_blob_is_up(store, pool, &took), 1);
    remove_store();
}
END_TEST

CH_SUITE_MAIN("blob/fs", CH_ONCE(what_is_put_is_got),
              CH_ONCE(an_end_without_commit_leaves_nothing),
              CH_ONCE(one_writer_of_a_key), CH_ONCE(what_is_deleted_is_gone),
              CH_EACH(keys_are_looked_at, keys), CH_ONCE(keys_have_a_length),
              CH_ONCE(a_full_disk), CH_ONCE(a_place_that_cannot_be_used),
              CH_ONCE(leftovers_of_the_dead_are_swept), CH_ONCE(up_and_down))
