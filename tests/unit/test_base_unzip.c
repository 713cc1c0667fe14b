/* Tests of base/unzip: archives as libarchive writes them, and as people who
 * mean no good would. */
#include "ch_check.h"

#include <malloc.h>

#include <apr_strings.h>
#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/unzip.h"

#define WANTED "conversations.json"

/* --- writing by libarchive -------------------------------------------- */

static ch_buf_t *zip_bytes;

static la_ssize_t collect(struct archive *archive, void *ctx,
                          const void *data, size_t len)
{
    ch_buf_add(zip_bytes, data, len);
    return (la_ssize_t)len;
}

static struct archive *begin_zip(const char *options)
{
    struct archive *out = archive_write_new();

    zip_bytes = ch_buf_make(pool, 65536, 1u << 28);
    archive_write_set_format_zip(out);
    ck_assert_int_eq(archive_write_set_options(out, options), ARCHIVE_OK);
    archive_write_set_passphrase(out, "secret");
    archive_write_set_bytes_in_last_block(out, 1);
    ck_assert_int_eq(archive_write_open(out, NULL, NULL, collect, NULL),
                     ARCHIVE_OK);
    return out;
}

/* known: the size is in front of the data, else behind it. */
static void add(struct archive *out, const char *name, const char *data,
                size_t len, int known)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    if (known) {
        archive_entry_set_size(entry, (la_int64_t)len);
    }
    ck_assert_int_eq(archive_write_header(out, entry), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_data(out, data, len), len);
    archive_entry_free(entry);
}

static ch_bytes_t end_zip(struct archive *out)
{
    ck_assert_int_eq(archive_write_close(out), ARCHIVE_OK);
    archive_write_free(out);
    return (ch_bytes_t){ zip_bytes->data, zip_bytes->len };
}

/* Text that compresses well, but not to nothing. */
static char *prose(size_t len)
{
    char *data = apr_palloc(pool, len + 1);
    unsigned seed = 7;
    size_t i;

    for (i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        data[i] = "etaoin shrdlu\n"[(seed >> 16) % 14];
    }
    return data;
}

/* --- writing by hand -------------------------------------------------- */

static unsigned crc_of(const char *data, size_t len)
{
    unsigned crc = ~0u;
    size_t i;
    int k;

    for (i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static void number(ch_buf_t *buf, apr_uint64_t value, int bytes)
{
    for (; bytes; bytes--) {
        ch_buf_putc(buf, (char)(value & 0xff));
        value >>= 8;
    }
}

typedef struct {
    const char *name;
    const char *data; /* as it is stored */
    size_t len;
    const char *extra;
    size_t extra_len;
    unsigned flags, method;
    unsigned size, packed; /* 0 = len */
    int later;             /* packed is said to stand behind the data */
    unsigned crc;          /* 0 = the right one */
} hand_t;

static void by_hand(ch_buf_t *buf, const hand_t *hand)
{
    unsigned len = (unsigned)hand->len;

    CH_BUF_LIT(buf, "PK\3\4");
    number(buf, 20, 2);
    number(buf, hand->flags, 2);
    number(buf, hand->method, 2);
    number(buf, 0, 4); /* time */
    number(buf, hand->crc ? hand->crc : crc_of(hand->data, len), 4);
    number(buf, hand->later ? 0 : hand->packed ? hand->packed : len, 4);
    number(buf, hand->size ? hand->size : len, 4);
    number(buf, strlen(hand->name), 2);
    number(buf, hand->extra_len, 2);
    ch_buf_puts(buf, hand->name);
    if (hand->extra) {
        ch_buf_add(buf, hand->extra, hand->extra_len);
    }
    ch_buf_add(buf, hand->data, len);
}

/* The end of an archive whose directory nobody reads. */
static ch_bytes_t close_hand(ch_buf_t *buf)
{
    CH_BUF_LIT(buf, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    return (ch_bytes_t){ buf->data, buf->len };
}

static ch_bytes_t one_by_hand(const hand_t *hand)
{
    ch_buf_t *buf = ch_buf_make(pool, 1024, 1u << 20);

    by_hand(buf, hand);
    return close_hand(buf);
}

/* --- reading ---------------------------------------------------------- */

typedef struct {
    ch_bytes_t left;
    size_t piece;
    int calls;
    int fail_at; /* 0 = never */
} source_t;

static ch_err_t *give(void *ctx, void *data, size_t *len)
{
    source_t *source = ctx;
    size_t size = source->left.len < source->piece ? source->left.len
                                                   : source->piece;

    if (++source->calls == source->fail_at) {
        return ch_err_cause(pool, CH_E_STORAGE_ERROR, "gone");
    }
    ck_assert_int_gt(source->fail_at == 0 || source->calls < source->fail_at,
                     0);
    *len = size < *len ? size : *len;
    memcpy(data, source->left.data, *len);
    source->left.data += *len;
    source->left.len -= *len;
    return NULL;
}

static int is_wanted(const char *name)
{
    return strcmp(name, WANTED) == 0;
}

/* The entry's bytes; NULL = there is none; *out: what went wrong. */
static ch_buf_t *read_from(apr_pool_t *of, source_t *source, ch_err_t **out)
{
    ch_buf_t *got = ch_buf_make(pool, 65536, 1u << 26);
    char piece[1000];
    size_t len = sizeof(piece);
    ch_unzip_t *zip;

    *out = ch_unzip_open(of, give, source, is_wanted, &zip);
    if (!zip) {
        return NULL;
    }
    ck_assert_ptr_null(*out);
    while (len && !*out) {
        len = sizeof(piece);
        *out = ch_unzip_read(zip, piece, &len);
        ch_buf_add(got, piece, len);
    }
    len = 1;
    ck_assert_ptr_eq(ch_unzip_read(zip, piece, &len), *out);
    ck_assert_uint_eq(len, 0);
    return got;
}

static ch_err_t *unzip(ch_bytes_t zip, ch_buf_t **out)
{
    source_t source = { .left = zip, .piece = 4000 };
    ch_err_t *err;

    *out = read_from(pool, &source, &err);
    return err;
}

static void holds(ch_bytes_t zip, const char *data, size_t len)
{
    const size_t pieces[] = { 1, 7, 4096, 1u << 20 };
    size_t i;

    for (i = 0; i < CH_COUNT(pieces); i++) {
        source_t source = { .left = zip, .piece = pieces[i] };
        ch_err_t *err;
        ch_buf_t *got = read_from(pool, &source, &err);

        ck_assert_msg(!err, "%s", err ? err->message : "");
        ck_assert_ptr_nonnull(got);
        ck_assert_uint_eq(got->len, len);
        ck_assert_mem_eq(got->data, data, len);
    }
}

static void is_refused(ch_bytes_t zip, const char *words)
{
    ch_buf_t *got;
    ch_err_t *err = unzip(zip, &got);

    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(err->code, CH_E_VALIDATION_ERROR);
    ck_assert_ptr_nonnull(strstr(err->message, words));
}

static const char *const writers[] = {
    "zip:compression=store",
    "zip:compression=deflate",
    "zip:compression=store,zip:zip64=1",
    "zip:compression=deflate,zip:zip64=1",
    "zip:compression=deflate,zip:experimental=1",
};

START_TEST(is_read)
{
    const char *data = prose(50000);
    int known;

    for (known = 0; known <= 1; known++) {
        struct archive *out = begin_zip(writers[_i]);

        add(out, WANTED, data, 50000, known);
        add(out, "later", data, 100, known);
        holds(end_zip(out), data, 50000);
        out = begin_zip(writers[_i]);
        add(out, "first.json", data, 20000, known);
        add(out, "folder/", "", 0, known);
        add(out, "a/" WANTED, data + 7, 30000, known);
        add(out, "b/" WANTED, data, 10, known);
        holds(end_zip(out), data + 7, 30000);
        out = begin_zip(writers[_i]);
        add(out, WANTED, "", 0, known);
        holds(end_zip(out), "", 0);
    }
}
END_TEST

/* Only the last part of a path counts, and nothing is written anywhere. */
static const struct {
    const char *name;
    int wanted;
} names[] = {
    { WANTED, 1 },
    { "a/b/c/" WANTED, 1 },
    { "a\\" WANTED, 1 },
    { "/etc/" WANTED, 1 },
    { "../../" WANTED, 1 },
    { "C:\\x\\" WANTED, 1 },
    { "\xc3\xa4\xe2\x82\xac/" WANTED, 1 },
    { "__MACOSX/._" WANTED, 0 },
    { "._" WANTED, 0 },
    { "x" WANTED, 0 },
    { WANTED ".bak", 0 },
    { WANTED "/x", 0 },
    { WANTED "/", 0 },
    { "CONVERSATIONS.JSON", 0 },
};

START_TEST(goes_by_the_last_part)
{
    const unsigned utf8[] = { 0, 0x800 };
    size_t i;

    for (i = 0; i < CH_COUNT(utf8); i++) {
        hand_t hand = { .name = names[_i].name, .data = "text", .len = 4,
                        .flags = utf8[i] };
        ch_buf_t *got;
        ch_err_t *err = unzip(one_by_hand(&hand), &got);

        ck_assert_ptr_null(err);
        ck_assert_int_eq(got != NULL, names[_i].wanted);
    }
}
END_TEST

START_TEST(no_such_entry)
{
    struct archive *out = begin_zip("zip:compression=deflate");
    ch_buf_t *got;

    ck_assert_ptr_null(unzip(end_zip(out), &got));
    ck_assert_ptr_null(got);
    out = begin_zip("zip:compression=deflate");
    add(out, "__MACOSX/._" WANTED, "x", 1, 0);
    add(out, "other.json", "[]", 2, 1);
    ck_assert_ptr_null(unzip(end_zip(out), &got));
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(what_is_no_archive)
{
    is_refused((ch_bytes_t){ "", 0 }, "no ZIP");
    is_refused((ch_bytes_t){ "P", 1 }, "no ZIP");
    is_refused((ch_bytes_t){ "PK\3\4", 4 }, "no ZIP");
    is_refused((ch_bytes_t){ "[{\"title\":\"x\"}]", 15 }, "no ZIP");
    is_refused((ch_bytes_t){ "\x1f\x8b\x08\0\0\0\0\0\0\3", 10 }, "no ZIP");
}
END_TEST

/* Cut anywhere before the directory it is damaged, or has not come to the
 * entry's end. */
START_TEST(is_cut)
{
    const char *data = prose(300);
    struct archive *out = begin_zip(writers[_i]);
    ch_bytes_t zip;
    size_t len, whole;

    add(out, "first", data, 100, 0);
    add(out, WANTED, data, 300, 0);
    zip = end_zip(out);
    whole = (size_t)((char *)memmem(zip.data, zip.len, "PK\1\2", 4)
                     - zip.data);
    for (len = 0; len < whole; len++) {
        is_refused((ch_bytes_t){ ch_check_copy(zip.data, len), len }, "");
    }
    holds((ch_bytes_t){ zip.data, whole }, data, 300);
}
END_TEST

START_TEST(bytes_that_changed)
{
    const char *data = prose(300);
    struct archive *out = begin_zip(writers[_i]);
    ch_bytes_t zip;
    char *copy;
    size_t at, first;

    add(out, WANTED, data, 300, 1);
    zip = end_zip(out);
    copy = ch_check_copy(zip.data, zip.len);
    first = 30 + strlen(WANTED) + (unsigned char)copy[28];
    for (at = first; at < first + 100; at++) {
        copy[at] ^= 4;
        is_refused((ch_bytes_t){ copy, zip.len }, "damaged");
        copy[at] ^= 4;
    }
    holds((ch_bytes_t){ copy, zip.len }, data, 300);
}
END_TEST

START_TEST(is_encrypted)
{
    const char *const ways[] = { "zip:encryption=zipcrypt",
                                 "zip:encryption=aes256" };
    size_t i;

    for (i = 0; i < CH_COUNT(ways); i++) {
        struct archive *out = begin_zip(ways[i]);

        add(out, WANTED, "secret text", 11, 1);
        is_refused(end_zip(out), "encrypted");
    }
}
END_TEST

/* --- what means no good ----------------------------------------------- */

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

#define MEMORY_MAX (2u << 20) /* libarchive's window, tables and ours */

static const char zip64_extra[] = "\1\0\x10\0\xff\xff\xff\xff\xff\xff\xff\x7f"
                                  "\xff\xff\xff\xff\xff\xff\xff\x7f";

/* Headers that promise what would fill the memory. */
static const hand_t hostile[] = {
    { .size = 0xfffffffe, .packed = 0xfffffffe },
    { .size = 0xfffffffe, .packed = 0xfffffffe, .method = 8 },
    { .size = 0xffffffff, .packed = 0xffffffff, .extra = zip64_extra,
      .extra_len = 20 },
    { .size = 0xffffffff, .packed = 0xffffffff, .method = 8,
      .extra = zip64_extra, .extra_len = 20 },
    { .method = 14, .data = "\x09\x14\5\0\x5d\xff\xff\xff\xff", .len = 9 },
    { .method = 14, .data = "\x09\x14\5\0\x5d\xff\xff\xff\xff", .len = 9,
      .flags = 8 },
    { .method = 14, .data = "\x09\x14\5\0\x5d\xff\xff\xff\xff", .len = 9,
      .flags = 8, .later = 1 },
    { .method = 8, .data = "\xff\xff", .len = 2, .flags = 8, .later = 1 },
    { .method = 95, .flags = 8 },
    { .method = 95 },
    { .method = 98, .data = "\xff\x0f\0\0\0\0\0\0", .len = 8 },
    { .method = 98, .data = "\xff\x0f\0\0\0\0\0\0", .len = 8, .flags = 8 },
    { .method = 93 },
    { .method = 12 },
    { .method = 9 },
    { .method = 0xffff, .flags = 8 },
};

START_TEST(hostile_headers)
{
    const char *const of[] = { WANTED, "other" };
    size_t i;

    for (i = 0; i < CH_COUNT(of); i++) {
        hand_t hand = hostile[_i];
        source_t source = { .piece = 65536 };
        size_t before;
        ch_buf_t *got;
        ch_err_t *err;

        hand.name = of[i];
        hand.data = hand.data ? hand.data : "data";
        hand.len = hand.len ? hand.len : 4;
        source.left = one_by_hand(&hand);
        before = in_use();
        got = read_from(pool, &source, &err);
        ck_assert(err || (!got && i == 1));
        ck_assert(!err || err->code == CH_E_VALIDATION_ERROR);
        ck_assert_uint_lt(in_use(), before + MEMORY_MAX);
    }
}
END_TEST

static void add_zeros(struct archive *out, const char *name, size_t size)
{
    struct archive_entry *entry = archive_entry_new();
    char *zeros = apr_pcalloc(pool, 1u << 20);

    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(out, entry);
    for (; size; size -= 1u << 20) {
        archive_write_data(out, zeros, 1u << 20);
    }
    archive_entry_free(entry);
}

/* 200 MB in 200 KB come in pieces, and not to their end. */
START_TEST(a_bomb)
{
    struct archive *out = begin_zip("zip:compression=deflate");
    source_t source = { .piece = 65536 };
    char *piece = apr_palloc(pool, 1u << 16);
    size_t sum = 0, before, len;
    ch_unzip_t *zip;
    ch_err_t *err;

    add_zeros(out, WANTED, 200u << 20);
    source.left = end_zip(out);
    ck_assert_uint_lt(source.left.len, 1u << 20);
    before = in_use();
    ck_assert_ptr_null(
        ch_unzip_open(pool, give, &source, is_wanted, &zip));
    do {
        len = 1u << 16;
        err = ch_unzip_read(zip, piece, &len);
        sum += len;
        ck_assert_uint_lt(in_use(), before + MEMORY_MAX);
    } while (!err && len);
    ck_assert_ptr_nonnull(err);
    ck_assert_ptr_nonnull(strstr(err->message, "far larger"));
    ck_assert_uint_ge(sum, 16u << 20);
    ck_assert_uint_lt(sum, 32u << 20);
}
END_TEST

/* Nor is one passed over, or the sum of some. */
START_TEST(bombs_before)
{
    struct archive *out = begin_zip("zip:compression=deflate");
    int i;

    add_zeros(out, "chat.html", 200u << 20);
    add(out, WANTED, "[]", 2, 0);
    is_refused(end_zip(out), "far larger");
    out = begin_zip("zip:compression=deflate");
    for (i = 0; i < 30; i++) {
        add_zeros(out, "x", 1u << 20);
    }
    add(out, WANTED, "[]", 2, 0);
    is_refused(end_zip(out), "far larger");
}
END_TEST

/* All of those with a wanted name, read to their ends or not. */
START_TEST(the_next_one)
{
    struct archive *out = begin_zip("zip:compression=deflate");
    source_t source = { .piece = 100 };
    const char *data = prose(3000);
    char piece[4];
    size_t len;
    int found, i;
    ch_unzip_t *zip;

    for (i = 0; i < 3; i++) {
        add(out, "other", data, 3000, i & 1);
        add(out, WANTED, data + i, 3000, i & 1);
    }
    add(out, "last", data, 10, 0);
    source.left = end_zip(out);
    ck_assert_ptr_null(
        ch_unzip_open(pool, give, &source, is_wanted, &zip));
    for (i = 0; i < 3; i++) {
        size_t sum = 0;

        do {
            len = sizeof(piece);
            ck_assert_ptr_null(ch_unzip_read(zip, piece, &len));
            ck_assert_mem_eq(piece, data + i + sum, len);
            sum += len;
        } while (len && (_i || sum < 100));
        ck_assert_uint_eq(sum, _i ? 3000 : 100);
        ck_assert_ptr_null(ch_unzip_next(zip, &found));
        ck_assert_int_eq(found, i < 2);
    }
    len = 1;
    ck_assert_ptr_null(ch_unzip_read(zip, piece, &len));
    ck_assert_uint_eq(len, 0);
}
END_TEST

/* A source that fails at its n-th call is asked no more, and its error is
 * what comes back. */
START_TEST(a_source_that_fails)
{
    const char *data = prose(3000);
    struct archive *out = begin_zip(writers[_i]);
    ch_bytes_t zip;
    int n;

    add(out, "first", data, 3000, 0);
    add(out, WANTED, data, 3000, 0);
    zip = end_zip(out);
    for (n = 1;; n++) {
        source_t source = { .left = zip, .piece = 100, .fail_at = n };
        apr_pool_t *sub;
        ch_buf_t *got;
        ch_err_t *err;

        apr_pool_create(&sub, pool);
        got = read_from(sub, &source, &err);
        if (!err) {
            ck_assert_uint_eq(got->len, 3000);
            break;
        }
        ck_assert_int_eq(err->code, CH_E_STORAGE_ERROR);
        ck_assert_str_eq(err->cause, "gone");
        apr_pool_destroy(sub);
        ck_assert_int_eq(source.calls, n);
    }
    ck_assert_int_gt(n, 30);
}
END_TEST

CH_SUITE_MAIN("base/unzip", CH_EACH(is_read, writers),
              CH_EACH(goes_by_the_last_part, names), CH_ONCE(no_such_entry),
              CH_ONCE(what_is_no_archive), CH_EACH(is_cut, writers),
              CH_EACH(bytes_that_changed, writers), CH_ONCE(is_encrypted),
              CH_EACH(hostile_headers, hostile), CH_ONCE(a_bomb),
              CH_ONCE(bombs_before), { .test = the_next_one, .times = 2 },
              CH_EACH(a_source_that_fails, writers))
