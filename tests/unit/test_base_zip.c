/* Tests of base/zip: what is written is read back by libarchive, and a sink
 * that fails at any call. */
#include "ch_check.h"

#include <locale.h>

#include <apr_strings.h>
#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "base/zip.h"

typedef struct {
    ch_buf_t *bytes;
    int calls;
    int fail_at; /* 0 = never */
} sink_t;

static ch_err_t *collect(void *ctx, const void *data, size_t len)
{
    sink_t *sink = ctx;

    if (++sink->calls == sink->fail_at) {
        return ch_err_cause(pool, CH_E_STORAGE_ERROR, "full");
    }
    ck_assert_int_gt(sink->fail_at == 0 || sink->calls < sink->fail_at, 0);
    ch_buf_add(sink->bytes, data, len);
    return NULL;
}

static sink_t make_sink(void)
{
    return (sink_t){ .bytes = ch_buf_make(pool, 65536, 1u << 30) };
}

static ch_zip_t *make_zip(sink_t *sink)
{
    ch_zip_t *zip;

    ck_assert_ptr_null(ch_zip_make(pool, collect, sink, &zip));
    return zip;
}

/* Bytes that do not compress, the same for one seed. */
static char *noise(size_t len, unsigned seed)
{
    char *data = apr_palloc(pool, len + 1);
    size_t i;

    for (i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        data[i] = (char)(seed >> 16);
    }
    return data;
}

static struct archive *open_archive(const sink_t *sink)
{
    struct archive *in = archive_read_new();

    /* written in the locale of httpd, which is none; to read, it needs one */
    ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
    ck_assert_int_eq(archive_read_support_format_zip_seekable(in),
                     ARCHIVE_OK);
    ck_assert_int_eq(archive_read_open_memory(in, sink->bytes->data,
                                              sink->bytes->len),
                     ARCHIVE_OK);
    return in;
}

/* The next entry has this name and these bytes. */
static void expect(struct archive *in, const char *name, const void *data,
                   size_t len)
{
    struct archive_entry *entry;
    char *got = apr_palloc(pool, len + 1);

    ck_assert_int_eq(archive_read_next_header(in, &entry), ARCHIVE_OK);
    ck_assert_str_eq(archive_entry_pathname_utf8(entry), name);
    ck_assert_int_eq(archive_entry_mtime(entry), 1700000001);
    ck_assert_int_eq(archive_entry_filetype(entry), AE_IFREG);
    ck_assert_int_eq(archive_read_data(in, got, len + 1), len);
    ck_assert_mem_eq(got, data, len);
}

static void add(ch_zip_t *zip, ch_zip_entry_t entry, const void *data,
                size_t len)
{
    entry.modified = apr_time_from_sec(1700000001) + 999999;
    ck_assert_ptr_null(ch_zip_begin(zip, &entry));
    ck_assert_ptr_null(ch_zip_write(zip, data, len / 2));
    ck_assert_ptr_null(ch_zip_write(zip, (const char *)data + len / 2,
                                    len - len / 2));
}

static const char odd_name[] =
    "attachments/1/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 \"'<>.txt";

START_TEST(is_read_back)
{
    sink_t sink = make_sink();
    ch_zip_t *zip = make_zip(&sink);
    const char *data = noise(300000, 1);
    struct archive_entry *entry;
    struct archive *in;

    add(zip, (ch_zip_entry_t){ .name = "export.json", .size = -1 }, data,
        300000);
    add(zip, (ch_zip_entry_t){ .name = odd_name, .size = 5 }, "12345", 5);
    add(zip, (ch_zip_entry_t){ .name = "empty", .size = 0 }, "", 0);
    add(zip, (ch_zip_entry_t){ .name = "empty too", .size = -1 }, "", 0);
    add(zip, (ch_zip_entry_t){ .name = "stored", .size = 70000, .stored = 1 },
        data, 70000);
    add(zip, (ch_zip_entry_t){ .name = "known", .size = 70000 }, data, 70000);
    ck_assert_ptr_null(ch_zip_end(zip));
    in = open_archive(&sink);
    expect(in, "export.json", data, 300000);
    expect(in, odd_name, "12345", 5);
    expect(in, "empty", "", 0);
    expect(in, "empty too", "", 0);
    expect(in, "stored", data, 70000);
    expect(in, "known", data, 70000);
    ck_assert_int_eq(archive_read_next_header(in, &entry), ARCHIVE_EOF);
    archive_read_free(in);
}
END_TEST

START_TEST(nothing_at_all_is_an_archive)
{
    sink_t sink = make_sink();
    ch_zip_t *zip = make_zip(&sink);

    ck_assert_ptr_null(ch_zip_end(zip));
    ck_assert_uint_eq(sink.bytes->len, 22);
    ck_assert_mem_eq(sink.bytes->data, "PK\5\6", 4);
}
END_TEST

START_TEST(comes_in_large_pieces)
{
    sink_t sink = make_sink();
    ch_zip_t *zip = make_zip(&sink);
    int i;

    for (i = 0; i < 20000; i++) {
        ch_zip_entry_t entry = { .name = apr_psprintf(pool, "notes/%d", i),
                                 .size = 4 };

        ck_assert_ptr_null(ch_zip_begin(zip, &entry));
        ck_assert_ptr_null(ch_zip_write(zip, "text", 4));
    }
    ck_assert_ptr_null(ch_zip_end(zip));
    ck_assert_int_le(sink.calls, (int)(sink.bytes->len / 65536) + 1);
}
END_TEST

/* More, or less, than was announced would be an archive that lies. */
START_TEST(sizes_are_kept_to)
{
    const ch_zip_entry_t entry = { .name = "x", .size = 5 };
    sink_t sink = make_sink();
    ch_zip_t *zip = make_zip(&sink);
    ch_err_t *err;

    ck_assert_ptr_null(ch_zip_begin(zip, &entry));
    ck_assert_ptr_null(ch_zip_write(zip, "1234", 4));
    err = ch_zip_write(zip, "56", 2);
    ck_assert_int_eq(err->code, CH_E_INTERNAL_ERROR);
    ck_assert_ptr_eq(ch_zip_write(zip, "5", 1), err);
    ck_assert_ptr_eq(ch_zip_begin(zip, &entry), err);
    ck_assert_ptr_eq(ch_zip_end(zip), err);

    zip = make_zip(&sink);
    ck_assert_ptr_null(ch_zip_begin(zip, &entry));
    ck_assert_ptr_null(ch_zip_write(zip, "1234", 4));
    ck_assert_ptr_nonnull(ch_zip_end(zip));
    zip = make_zip(&sink);
    ck_assert_ptr_null(ch_zip_begin(zip, &entry));
    ck_assert_ptr_nonnull(ch_zip_begin(zip, &entry));
}
END_TEST

static ch_err_t *write_all(ch_zip_t *zip, const char *data)
{
    const ch_zip_entry_t one = { .name = "one", .size = -1 };
    const ch_zip_entry_t two = { .name = "two", .size = 200000,
                                 .stored = 1 };
    ch_err_t *err = ch_zip_begin(zip, &one);

    err = err ? err : ch_zip_write(zip, data, 200000);
    err = err ? err : ch_zip_begin(zip, &two);
    err = err ? err : ch_zip_write(zip, data, 200000);
    return err ? err : ch_zip_end(zip);
}

/* A sink that fails at its n-th call is told of once, is asked no more, also
 * by the end of the pool, and its error is what comes back. */
START_TEST(a_sink_that_fails)
{
    const char *data = noise(200000, 7);
    apr_pool_t *sub;
    int n;

    for (n = 1;; n++) {
        sink_t sink = make_sink();
        ch_zip_t *zip;
        ch_err_t *err;

        sink.fail_at = n;
        apr_pool_create(&sub, pool);
        ck_assert_ptr_null(ch_zip_make(sub, collect, &sink, &zip));
        err = write_all(zip, data);
        if (!err) {
            break;
        }
        ck_assert_int_eq(err->code, CH_E_STORAGE_ERROR);
        ck_assert_str_eq(err->cause, "full");
        ck_assert_ptr_eq(ch_zip_end(zip), err);
        apr_pool_destroy(sub);
        ck_assert_int_eq(sink.calls, n);
    }
    ck_assert_int_gt(n, 5);
}
END_TEST

START_TEST(an_archive_that_is_not_ended_writes_no_end)
{
    const ch_zip_entry_t entry = { .name = "x", .size = -1 };
    sink_t sink = make_sink();
    apr_pool_t *sub;
    ch_zip_t *zip;
    int calls;

    apr_pool_create(&sub, pool);
    ck_assert_ptr_null(ch_zip_make(sub, collect, &sink, &zip));
    ck_assert_ptr_null(ch_zip_begin(zip, &entry));
    ck_assert_ptr_null(ch_zip_write(zip, noise(200000, 3), 200000));
    calls = sink.calls;
    apr_pool_destroy(sub);
    ck_assert_int_eq(sink.calls, calls);
}
END_TEST

static const struct {
    const char *name, *safe;
} names[] = {
    { "photo.png", "photo.png" },
    { "../../etc/passwd", ".._.._etc_passwd" },
    { "a\\b:c", "a_b_c" },
    { "a\001\nb\177", "a__b_" },
    { "", "file" },
    { ".", "_" },
    { "..", "_" },
    { "...", "_" },
    { ".hidden", ".hidden" },
    { "\xc3\xbc", "\xc3\xbc" },
};

START_TEST(names_lead_nowhere)
{
    ck_assert_str_eq(ch_zip_safe_name(pool, names[_i].name), names[_i].safe);
}
END_TEST

CH_SUITE_MAIN("base/zip", CH_ONCE(is_read_back),
              CH_ONCE(nothing_at_all_is_an_archive),
              CH_ONCE(comes_in_large_pieces), CH_ONCE(sizes_are_kept_to),
              CH_ONCE(a_sink_that_fails),
              CH_ONCE(an_archive_that_is_not_ended_writes_no_end),
              CH_EACH(names_lead_nowhere, names))
