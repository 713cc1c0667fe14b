/* Tests of realtime/record: what is written is read again, and nothing else is
 * taken for a record. Whole records lie in blocks of exactly their size, so
 * that a sanitizer sees what is read behind them. */
#include "ch_check.h"

#include <apr_strings.h>

#include "base/uuid.h"
#include "conf.h"
#include "realtime/record.h"

#define ROOM1 "0198a000-0000-7000-8000-000000000001"
#define ROOM2 "0198a000-0000-7000-8000-000000000002"
#define USER "0198a000-0000-7000-8000-00000000000a"
#define LENGTHS 16 /* bytes at the end of the head: three lengths, and none */

static const ch_record_t records[] = {
    { .kind = CH_RECORD_PUB },
    { .kind = CH_RECORD_DOUBT,
      .what = CH_PUB_SYNC,
      .site = 15,
      .slot = 511,
      .fault = 5,
      .id = APR_UINT64_MAX,
      .number = APR_INT64_MAX,
      .seq = APR_INT64_MIN,
      .room = "\x01\x98\xa0\x00\x00\x00\x70\x00\x80\x00\x00\x00\x00\x00\xff",
      .user = "\xff\xfe\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c",
      .name = { "message:new", 11 },
      .data = { "{\"a\":\"\0\"}", 9 },
      .more = { "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 16 } },
    { .kind = CH_RECORD_ANSWER,
      .what = -1,
      .site = -1,
      .slot = -1,
      .fault = -1,
      .id = 1,
      .number = -1,
      .seq = 1,
      .data = { "x", 1 } },
    { .kind = CH_RECORD_CALL, .name = { "n", 1 } },
    { .kind = CH_RECORD_SOCKET, .more = { "m", 1 } },
};

#define ck_text(got, want)                                                    \
    do {                                                                      \
        ck_assert_uint_eq((got).len, (want).len);                             \
        ck_assert(!(want).len                                                 \
                  || memcmp((got).data, (want).data, (want).len) == 0);       \
    } while (0)

static void same(const ch_record_t *got, const ch_record_t *want)
{
    ck_assert_int_eq(got->kind, want->kind);
    ck_assert_int_eq(got->what, want->what);
    ck_assert_int_eq(got->site, want->site);
    ck_assert_int_eq(got->slot, want->slot);
    ck_assert_int_eq(got->fault, want->fault);
    ck_assert(got->id == want->id);
    ck_assert(got->number == want->number);
    ck_assert(got->seq == want->seq);
    ck_assert_mem_eq(got->room, want->room, 16);
    ck_assert_mem_eq(got->user, want->user, 16);
    ck_text(got->name, want->name);
    ck_text(got->data, want->data);
    ck_text(got->more, want->more);
}

/* A copy of what is written, and of len bytes of it. */
static ch_bytes_t part(ch_bytes_t bytes, size_t len)
{
    return (ch_bytes_t){ ch_check_copy(bytes.data, len), len };
}

static ch_bytes_t written(const ch_record_t *record)
{
    ch_bytes_t bytes = ch_record_write(pool, record);

    return part(bytes, bytes.len);
}

/* One that may be spoiled: *block is its bytes. */
static ch_bytes_t spoilable(const ch_record_t *record, char **block)
{
    ch_bytes_t bytes = ch_record_write(pool, record);

    *block = ch_check_copy(bytes.data, bytes.len);
    return (ch_bytes_t){ *block, bytes.len };
}

static size_t head_of(const ch_record_t *record, ch_bytes_t bytes)
{
    return bytes.len - record->name.len - record->data.len - record->more.len;
}

/* --- there and back --------------------------------------------------- */

START_TEST(is_read_as_written)
{
    ch_bytes_t bytes = written(&records[_i]);
    ch_record_t got;

    ck_assert_int_eq(ch_record_read(bytes, &got), 1);
    same(&got, &records[_i]);
}
END_TEST

START_TEST(a_long_one)
{
    static char text[300000];
    ch_record_t record = { .name = { text, 1 },
                           .data = { text, sizeof(text) },
                           .more = { text, 65536 } };
    ch_record_t got;
    size_t i;

    for (i = 0; i < sizeof(text); i++) {
        text[i] = (char)(i * 31 + i / 251);
    }
    ck_assert_int_eq(ch_record_read(written(&record), &got), 1);
    same(&got, &record);
}
END_TEST

/* The same record is the same bytes: nothing of what lay there before. */
START_TEST(nothing_else_is_in_it)
{
    ch_bytes_t first = ch_record_write(pool, &records[_i]);
    ch_bytes_t second;

    memset(apr_palloc(pool, 8000), 0xAA, 8000);
    second = ch_record_write(pool, &records[_i]);
    ck_assert_uint_eq(first.len, second.len);
    ck_assert_mem_eq(first.data, second.data, first.len);
}
END_TEST

/* --- what is none ----------------------------------------------------- */

START_TEST(every_part_is_refused)
{
    ch_bytes_t bytes = written(&records[_i]);
    ch_record_t got;
    size_t len;

    for (len = 0; len < bytes.len; len++) {
        ck_assert_int_eq(ch_record_read(part(bytes, len), &got), 0);
    }
    ck_assert_int_eq(ch_record_read((ch_bytes_t){ NULL, 0 }, &got), 0);
}
END_TEST

START_TEST(more_behind_it_is_refused)
{
    ch_bytes_t bytes = ch_record_write(pool, &records[_i]);
    char *more = apr_pcalloc(pool, bytes.len + 4096);
    ch_record_t got;
    size_t len;

    memcpy(more, bytes.data, bytes.len);
    for (len = 1; len <= 4096; len *= 2) {
        ck_assert_int_eq(
            ch_record_read(
                part((ch_bytes_t){ more, bytes.len + len }, bytes.len + len),
                &got),
            0);
    }
}
END_TEST

/* One bit of a length makes it another one. */
START_TEST(every_flipped_length_is_refused)
{
    char *block;
    ch_bytes_t bytes = spoilable(&records[_i], &block);
    char *lengths = block + head_of(&records[_i], bytes) - LENGTHS;
    ch_record_t got;
    int bit;

    for (bit = 0; bit < 12 * 8; bit++) {
        lengths[bit / 8] ^= (char)(1 << bit % 8);
        ck_assert_int_eq(ch_record_read(bytes, &got), 0);
        lengths[bit / 8] ^= (char)(1 << bit % 8);
    }
    ck_assert_int_eq(ch_record_read(bytes, &got), 1);
}
END_TEST

/* Lengths whose sum is what it should be in 32 bits only. */
START_TEST(lengths_that_overflow_are_refused)
{
    static const apr_uint32_t bad[][3] = {
        { 0xFFFFFFFF, 37, 0 }, { 37, 0, 0xFFFFFFFF }, { 0, 0xFFFFFFFF, 37 },
        { 0x80000000, 0x80000000, 36 }, { 0xFFFFFFFF, 0xFFFFFFFF, 38 },
    };
    const ch_record_t *record = &records[1];
    char *block;
    ch_bytes_t bytes = spoilable(record, &block);
    ch_record_t got;
    size_t i;

    ck_assert_uint_eq(bytes.len - head_of(record, bytes), 36);
    for (i = 0; i < CH_COUNT(bad); i++) {
        memcpy(block + head_of(record, bytes) - LENGTHS, bad[i],
               sizeof(bad[i]));
        ck_assert_int_eq(ch_record_read(bytes, &got), 0);
    }
}
END_TEST

/* Of another release. */
START_TEST(another_version_is_refused)
{
    char *block;
    ch_bytes_t bytes = spoilable(&records[1], &block);
    ch_record_t got;
    int bit;

    for (bit = 0; bit < 32; bit++) {
        block[bit / 8] ^= (char)(1 << bit % 8);
        ck_assert_int_eq(ch_record_read(bytes, &got), 0);
        block[bit / 8] ^= (char)(1 << bit % 8);
    }
}
END_TEST

/* --- of something published ------------------------------------------- */

static ch_record_t record_of(const ch_pub_t *pub)
{
    static const ch_conf_t conf = { .site = 3 };
    ch_record_t record;

    ch_record_of(pool, &conf, pub, &record);
    return record;
}

START_TEST(of_all_members)
{
    const ch_pub_t pub = { .what = CH_PUB_MESSAGE,
                           .room = ROOM1,
                           .user = USER,
                           .number = 7,
                           .seq = 8,
                           .event = "message:new",
                           .data = { "{}", 2 },
                           .except = 9 };
    ch_record_t want = { .kind = CH_RECORD_PUB,
                         .what = CH_PUB_MESSAGE,
                         .site = 3,
                         .id = 9,
                         .number = 7,
                         .seq = 8,
                         .name = { "message:new", 11 },
                         .data = { "{}", 2 } };
    const ch_record_t got = record_of(&pub);

    ch_uuid_bytes(ROOM1, want.room);
    ch_uuid_bytes(USER, want.user);
    same(&got, &want);
}
END_TEST

START_TEST(of_nothing)
{
    const ch_pub_t pub = { .what = CH_PUB_EMIT };
    const ch_record_t want = { .kind = CH_RECORD_PUB, .site = 3 };
    const ch_record_t got = record_of(&pub);

    same(&got, &want);
}
END_TEST

/* Rooms as Postgres writes them; what is no id is passed over. */
static const struct {
    const char *text;
    const char *ids; /* the last digit of each */
} lists[] = {
    { NULL, "" },
    { "", "" },
    { "{}", "" },
    { "{" ROOM1 "}", "1" },
    { "{" ROOM1 "," ROOM2 "}", "12" },
    { "{" ROOM1 "," ROOM2, "12" },
    { "{" ROOM1 ",NULL," ROOM2 "}", "12" },
    { "{NULL}", "" },
    { "{,,,,}", "" },
    { "{,,,," ROOM2 "}", "2" },
    { "{" ROOM1 "x," ROOM2 "}", "2" },
    { "{0198a000-0000-7000-8000-00000000000g," ROOM1 "}", "1" },
    { ROOM1, "" },
    { "{" ROOM1 "}" ROOM2, "1" },
    { "{", "" },
    { ",", "" },
};

START_TEST(of_rooms)
{
    const char *text = lists[_i].text;
    const ch_pub_t pub = {
        .what = CH_PUB_PRESENCE,
        .rooms = text ? ch_check_copy(text, strlen(text) + 1) : NULL,
    };
    const ch_record_t got = record_of(&pub);
    size_t i;

    ck_assert_uint_eq(got.more.len, strlen(lists[_i].ids) * 16);
    for (i = 0; lists[_i].ids[i]; i++) {
        ck_assert_int_eq(got.more.data[i * 16], 1);
        ck_assert_int_eq(got.more.data[i * 16 + 15], lists[_i].ids[i] - '0');
    }
}
END_TEST

CH_SUITE_MAIN("realtime/record", CH_EACH(is_read_as_written, records),
              CH_ONCE(a_long_one), CH_EACH(nothing_else_is_in_it, records),
              CH_EACH(every_part_is_refused, records),
              CH_EACH(more_behind_it_is_refused, records),
              CH_EACH(every_flipped_length_is_refused, records),
              CH_ONCE(lengths_that_overflow_are_refused),
              CH_ONCE(another_version_is_refused), CH_ONCE(of_all_members),
              CH_ONCE(of_nothing), CH_EACH(of_rooms, lists))
