/* Tests of realtime/ws and realtime/chunk: frames in and out, whole and in
 * pieces. */
#include "ch_check.h"

#include <apr_strings.h>

#include "realtime/chunk.h"
#include "realtime/ws.h"

#define MAX 100000
#define LOG_MAX (3 * MAX)

/* What came out, as text: "T5:Hello " a message, "R4:...." a reply. */
typedef struct {
    char text[LOG_MAX];
    size_t len;
} log_t;

static void note(log_t *log, char kind, const char *data, size_t len)
{
    char head[32];
    int n = apr_snprintf(head, sizeof(head), "%c%" APR_SIZE_T_FMT ":", kind,
                         len);

    ck_assert_uint_le(log->len + (size_t)n + len + 1, LOG_MAX);
    memcpy(log->text + log->len, head, (size_t)n);
    memcpy(log->text + log->len + n, data, len);
    log->len += (size_t)n + len;
    log->text[log->len++] = ' ';
}

static void message_cb(void *ctx, int binary, const char *data, size_t len)
{
    note(ctx, binary ? 'B' : 'T', data, len);
}

static void reply_cb(void *ctx, const char *data, size_t len)
{
    note(ctx, 'R', data, len);
}

static const ch_ws_user_t user = { .message = message_cb, .reply = reply_cb };

/* The next of a row of sizes, 1 to 40, as if by chance. */
static size_t some_size(void)
{
    static apr_uint32_t state = 7;

    state = state * 1103515245 + 12345;
    return 1 + (state >> 16) % 40;
}

/* Feeds it in pieces of `step` bytes (0 = of random sizes) until it is over.
 * 1 = it went on to the end; *idle tells whether nothing was kept. */
static int feed(log_t *log, size_t max, const char *data, size_t len,
                size_t step, int *idle)
{
    ch_ws_t *ws = NULL;
    int on = 1;

    log->len = 0;
    while (len && on) {
        size_t n = step ? step : some_size();

        n = n < len ? n : len;
        on = ch_ws_feed(&ws, max, &user, log, ch_check_copy(data, n), n);
        data += n;
        len -= n;
    }
    *idle = ws == NULL;
    ch_ws_end(&ws);
    ck_assert_ptr_null(ws);
    return on;
}

/* --- the table: what comes, what comes of it --------------------------- */

#define KEY "\x37\xFA\x21\x3D"
/* RFC 6455, 5.7: a masked text message "Hello" */
#define HELLO "\x81\x85" KEY "\x7F\x9F\x4D\x51\x58"
#define ZERO "\0\0\0\0" /* a key that changes nothing */
#define FRAME(first, len, text) first len ZERO text
#define TEXT "\x81"
#define BINARY "\x82"
#define MORE "\x01" /* the first of a text's fragments */
#define MORE_BINARY "\x02"
#define NEXT "\0" /* one in the middle */
#define LAST "\x80"
#define CLOSE "\x88"
#define PING "\x89"
#define PONG "\x8A"

#define R_1000 "R4:\x88\x02\x03\xE8 "
#define R_1002 "R4:\x88\x02\x03\xEA "
#define R_1007 "R4:\x88\x02\x03\xEF "
#define R_1009 "R4:\x88\x02\x03\xF1 "
#define R_EMPTY "R2:\x88\0 "

#define B(text) text, sizeof(text) - 1

static const struct {
    const char *in;
    size_t in_len;
    const char *out;
    size_t out_len;
    int on;   /* it goes on */
    int kept; /* something is half read at the end */
} cases[] = {
    /* messages */
    { B(HELLO), B("T5:Hello "), 1, 0 },
    { B(HELLO HELLO), B("T5:Hello T5:Hello "), 1, 0 },
    { B(FRAME(TEXT, "\x80", "")), B("T0: "), 1, 0 },
    { B(FRAME(BINARY, "\x80", "")), B("B0: "), 1, 0 },
    { B(FRAME(BINARY, "\x83", "\0\xFF\x80")), B("B3:\0\xFF\x80 "), 1, 0 },
    { B(FRAME(MORE, "\x83", "Hel") FRAME(LAST, "\x82", "lo")),
      B("T5:Hello "), 1, 0 },
    { B(FRAME(MORE, "\x80", "") FRAME(NEXT, "\x80", "")
            FRAME(LAST, "\x80", "")),
      B("T0: "), 1, 0 },
    { B(FRAME(MORE_BINARY, "\x81", "\xC3") FRAME(NEXT, "\x81", "\xC3")
            FRAME(LAST, "\x80", "") HELLO),
      B("B2:\xC3\xC3 T5:Hello "), 1, 0 },
    /* text whose characters are split */
    { B(FRAME(MORE, "\x82", "a\xE2") FRAME(NEXT, "\x81", "\x82")
            FRAME(LAST, "\x82", "\xAC" "b")),
      B("T5:a\xE2\x82\xAC" "b "), 1, 0 },
    /* pings: alone, between fragments, with their payload masked */
    { B(FRAME(PING, "\x80", "")), B("R2:\x8A\0 "), 1, 0 },
    { B("\x89\x85" KEY "\x7F\x9F\x4D\x51\x58"), B("R7:\x8A\x05Hello "), 1, 0 },
    { B(FRAME(MORE, "\x81", "a") FRAME(PING, "\x81", "b")
            FRAME(PONG, "\x81", "c") FRAME(LAST, "\x81", "d")),
      B("R3:\x8A\x01" "b T2:ad "), 1, 0 },
    { B(FRAME(PING, "\x81", "a") FRAME(PING, "\x81", "b")),
      B("R3:\x8A\x01" "a R3:\x8A\x01" "b "), 1, 0 },
    { B(FRAME(PONG, "\x82", "\xFF\xFF")), B(""), 1, 0 },
    /* half of it */
    { B("\x81"), B(""), 1, 1 },
    { B("\x81\x85"), B(""), 1, 1 },
    { B("\x81\x85" KEY), B(""), 1, 1 },
    { B("\x81\x85" KEY "\x7F\x9F\x4D\x51"), B(""), 1, 1 },
    { B(HELLO "\x81"), B("T5:Hello "), 1, 1 },
    { B(FRAME(MORE, "\x81", "a")), B(""), 1, 1 },
    { B(FRAME(MORE, "\x80", "")), B(""), 1, 1 },
    { B(FRAME(MORE, "\x81", "a") FRAME(PING, "\x80", "")), B("R2:\x8A\0 "),
      1, 1 },
    { B(FRAME(PING, "\x82", "a")), B(""), 1, 1 },
    /* closes, after which nothing is read */
    { B(FRAME(CLOSE, "\x80", "") HELLO), B(R_EMPTY), 0, 0 },
    { B(FRAME(CLOSE, "\x82", "\x03\xE8") HELLO), B(R_1000), 0, 0 },
    { B(FRAME(CLOSE, "\x84", "\x03\xE8\xC3\xA9")), B(R_1000), 0, 0 },
    { B("\x88\x85" KEY "\x34\x12\x42\x44\x52"), B(R_1000), 0, 0 },
    { B(FRAME(CLOSE, "\x82", "\x03\xF4")), B("R4:\x88\x02\x03\xF4 "), 0, 0 },
    { B(FRAME(CLOSE, "\x82", "\x0B\xB8")), B("R4:\x88\x02\x0B\xB8 "), 0, 0 },
    { B(FRAME(CLOSE, "\x82", "\x13\x87")), B("R4:\x88\x02\x13\x87 "), 0, 0 },
    { B(FRAME(MORE, "\x81", "a") FRAME(CLOSE, "\x80", "")), B(R_EMPTY), 0, 0 },
    { B(FRAME(PING, "\x80", "") FRAME(CLOSE, "\x80", "")),
      B("R2:\x8A\0 " R_EMPTY), 0, 0 },
    /* closes that are none: a byte, codes, text */
    { B(FRAME(CLOSE, "\x81", "\x03")), B(R_1002), 0, 0 },
    { B(FRAME(CLOSE, "\x81", "\x0C")), B(R_1002), 0, 0 }, /* half a 3072 */
    { B(FRAME(CLOSE, "\x82", "\0\0")), B(R_1002), 0, 0 },
    { B(FRAME(CLOSE, "\x82", "\x03\xE7")), B(R_1002), 0, 0 }, /* 999 */
    { B(FRAME(CLOSE, "\x82", "\x03\xEC")), B(R_1002), 0, 0 }, /* 1004 */
    { B(FRAME(CLOSE, "\x82", "\x03\xED")), B(R_1002), 0, 0 }, /* 1005 */
    { B(FRAME(CLOSE, "\x82", "\x03\xEE")), B(R_1002), 0, 0 }, /* 1006 */
    { B(FRAME(CLOSE, "\x82", "\x03\xF7")), B(R_1002), 0, 0 }, /* 1015 */
    { B(FRAME(CLOSE, "\x82", "\x07\xD0")), B(R_1002), 0, 0 }, /* 2000 */
    { B(FRAME(CLOSE, "\x82", "\x0B\xB7")), B(R_1002), 0, 0 }, /* 2999 */
    { B(FRAME(CLOSE, "\x82", "\x13\x88")), B(R_1002), 0, 0 }, /* 5000 */
    { B(FRAME(CLOSE, "\x83", "\x03\xE8\xC3")), B(R_1007), 0, 0 },
    { B(FRAME(CLOSE, "\x84", "\x03\xE8\xA9\xC3")), B(R_1007), 0, 0 },
    /* not masked */
    { B("\x81\x05Hello"), B(R_1002), 0, 0 },
    { B("\x81\0"), B(R_1002), 0, 0 },
    { B("\x89\0"), B(R_1002), 0, 0 },
    { B("\x88\0"), B(R_1002), 0, 0 },
    { B("\x88\x02\x03\xE8"), B(R_1002), 0, 0 },
    { B("\x8A\x01" "a"), B(R_1002), 0, 0 },
    { B("\x81\xFE\0\x7E" ZERO "a"), B(""), 1, 1 },
    { B("\x81\x7E\0\x7E" "a"), B(R_1002), 0, 0 },
    { B(HELLO "\x81\x05Hello"), B("T5:Hello " R_1002), 0, 0 },
    /* reserved bits */
    { B(FRAME("\xC1", "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME("\xA1", "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME("\x91", "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME("\xF2", "\x80", "")), B(R_1002), 0, 0 },
    { B(FRAME("\xC8", "\x80", "")), B(R_1002), 0, 0 },
    { B(FRAME("\xC9", "\x80", "")), B(R_1002), 0, 0 },
    { B(FRAME(MORE, "\x81", "a") FRAME("\xC0", "\x81", "a")), B(R_1002), 0,
      0 },
    /* reserved opcodes */
    { B(FRAME("\x83", "\x80", "")), B(R_1002), 0, 0 },
    { B(FRAME("\x87", "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME("\x8B", "\x80", "")), B(R_1002), 0, 0 },
    { B(FRAME("\x8F", "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME(MORE, "\x81", "a") FRAME("\x84", "\x81", "a")), B(R_1002), 0,
      0 },
    { B(FRAME(MORE, "\x81", "a") FRAME("\x8C", "\x81", "a")), B(R_1002), 0,
      0 },
    /* control frames in fragments, or too long */
    { B(FRAME("\x09", "\x80", "")), B(R_1002), 0, 0 },
    { B(FRAME("\x0A", "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME("\x08", "\x82", "\x03\xE8")), B(R_1002), 0, 0 },
    { B("\x89\xFE\0\x7E" ZERO), B(R_1002), 0, 0 },
    { B("\x88\xFE\0\x7E" ZERO), B(R_1002), 0, 0 },
    { B("\x8A\xFF\0\0\0\0\0\x01\0\0" ZERO), B(R_1002), 0, 0 },
    /* lengths that are not the shortest, or no lengths */
    { B("\x81\xFE\0\x7D" ZERO), B(R_1002), 0, 0 },
    { B("\x81\xFF\0\0\0\0\0\0\xFF\xFF" ZERO), B(R_1002), 0, 0 },
    { B("\x82\xFF\x80\0\0\0\0\0\0\0" ZERO), B(R_1002), 0, 0 },
    /* text that is no UTF-8, at once and at the end */
    { B(FRAME(TEXT, "\x81", "\x80")), B(R_1007), 0, 0 },
    { B(FRAME(TEXT, "\x85", "\xED\xA0\x80")), B(R_1007), 0, 0 },
    { B(FRAME(TEXT, "\x82", "\xC0\x80")), B(R_1007), 0, 0 },
    { B(FRAME(TEXT, "\x84", "\xF4\x90\x80\x80")), B(R_1007), 0, 0 },
    { B(FRAME(TEXT, "\x82", "a\xC3")), B(R_1007), 0, 0 },
    { B(FRAME(MORE, "\x82", "a\xC3") FRAME(LAST, "\x80", "")), B(R_1007), 0,
      0 },
    { B(FRAME(MORE, "\x82", "a\xC3") FRAME(LAST, "\x81", "a")), B(R_1007), 0,
      0 },
    { B(FRAME(MORE, "\x82", "a\xC3") FRAME(NEXT, "\x81", "\x28")), B(R_1007),
      0, 0 },
    /* fragments out of order */
    { B(FRAME(LAST, "\x81", "a")), B(R_1002), 0, 0 },
    { B(FRAME(NEXT, "\x80", "")), B(R_1002), 0, 0 },
    { B(HELLO FRAME(LAST, "\x81", "a")), B("T5:Hello " R_1002), 0, 0 },
    { B(FRAME(MORE, "\x81", "a") HELLO), B(R_1002), 0, 0 },
    { B(FRAME(MORE, "\x81", "a") FRAME(BINARY, "\x80", "")), B(R_1002), 0, 0 },
    /* too much, as soon as it is announced */
    { B("\x82\xFF\0\0\0\0\0\x01\x86\xA0" ZERO), B(""), 1, 1 },
    { B("\x82\xFF\0\0\0\0\0\x01\x86\xA1" ZERO), B(R_1009), 0, 0 },
    { B("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF" ZERO), B(R_1009), 0, 0 },
    { B(FRAME(MORE_BINARY, "\x81", "a")
            "\0\xFF\0\0\0\0\0\x01\x86\x9F" ZERO), B(""), 1, 1 },
    { B(FRAME(MORE_BINARY, "\x81", "a")
            "\0\xFF\0\0\0\0\0\x01\x86\xA0" ZERO), B(R_1009), 0, 0 },
    { B(FRAME(MORE_BINARY, "\x81", "a")
            "\0\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF" ZERO), B(R_1009), 0, 0 },
};

static void look_at(int i, size_t step)
{
    log_t *log = apr_palloc(pool, sizeof(*log));
    int idle;

    ck_assert_int_eq(feed(log, MAX, cases[i].in, cases[i].in_len, step, &idle),
                     cases[i].on);
    ck_assert_uint_eq(log->len, cases[i].out_len);
    ck_assert_mem_eq(log->text, cases[i].out, log->len);
    ck_assert_int_eq(idle, !cases[i].kept);
}

START_TEST(reads_frames)
{
    look_at(_i, cases[_i].in_len);
}
END_TEST

START_TEST(reads_single_bytes)
{
    look_at(_i, 1);
}
END_TEST

START_TEST(reads_pieces)
{
    int i;

    for (i = 0; i < 20; i++) {
        look_at(_i, 0);
    }
}
END_TEST

/* --- long ones --------------------------------------------------------- */

/* A masked frame of len bytes `c`, at `at`; behind it. */
static char *put_frame(char *at, int first, char c, size_t len)
{
    unsigned char *head = (unsigned char *)at;
    size_t n = ch_ws_head(head, first & 0x0F, len);
    size_t i;

    head[0] = (unsigned char)first;
    head[1] |= 0x80;
    memcpy(at + n, KEY, 4);
    at += n + 4;
    for (i = 0; i < len; i++) {
        at[i] = (char)(c ^ KEY[i % 4]);
    }
    return at + len;
}

static const size_t lengths[] = { 1,    125,  126,   127,   4095,  4096,
                                  4097, 9000, 65535, 65536, 65537, MAX };

START_TEST(reads_all_lengths)
{
    static const size_t steps[] = { 0, 1, 4096, LOG_MAX };
    log_t *log = apr_palloc(pool, sizeof(*log));
    char *data = apr_palloc(pool, 2 * MAX);
    size_t len = lengths[_i];
    char *end = put_frame(put_frame(data, 0x82, 'x', len), 0x81, 'y', 1);
    char head[32];
    size_t i;
    int n = apr_snprintf(head, sizeof(head), "B%" APR_SIZE_T_FMT ":", len);

    for (i = 0; i < CH_COUNT(steps); i++) {
        int idle;

        ck_assert(feed(log, MAX, data, (size_t)(end - data), steps[i], &idle));
        ck_assert(idle);
        ck_assert_uint_eq(log->len, (size_t)n + len + 1 + strlen("T1:y "));
        ck_assert_mem_eq(log->text, head, n);
        ck_assert_uint_eq(strspn(log->text + n, "x"), len);
        ck_assert_mem_eq(log->text + n + len, " T1:y ", 6);
    }
    ck_assert(!feed(log, len - 1, data, (size_t)(end - data), 0, &(int){ 0 }));
    ck_assert_uint_eq(log->len, sizeof(R_1009) - 1);
    ck_assert_mem_eq(log->text, R_1009, log->len);
}
END_TEST

/* Many fragments of one byte, and of none, are one message. */
START_TEST(reads_many_fragments)
{
    log_t *log = apr_palloc(pool, sizeof(*log));
    char *data = apr_palloc(pool, (size_t)14 * 10000 + 14);
    char *at = put_frame(data, 0x01, 'a', 1);
    int idle;
    int i;

    for (i = 0; i < 9998; i++) {
        at = put_frame(put_frame(at, 0x00, 'a', 0), 0x00, 'a', 1);
    }
    at = put_frame(at, 0x80, 'a', 1);
    ck_assert(feed(log, 10000, data, (size_t)(at - data), 4096, &idle));
    ck_assert(idle);
    ck_assert_mem_eq(log->text, "T10000:aaa", 10);
    ck_assert_uint_eq(log->len, 10000 + 8);
    ck_assert(!feed(log, 9999, data, (size_t)(at - data), 4096, &idle));
    ck_assert_mem_eq(log->text, R_1009, log->len);
}
END_TEST

/* A state that is not wanted any more, and one that never was. */
START_TEST(ends_in_between)
{
    ch_ws_t *ws = NULL;
    log_t *log = apr_palloc(pool, sizeof(*log));

    log->len = 0;
    ch_ws_end(&ws);
    ck_assert(ch_ws_feed(&ws, MAX, &user, log, B(FRAME(MORE, "\x82", "a"))));
    ck_assert_ptr_nonnull(ws);
    ch_ws_end(&ws);
    ck_assert_ptr_null(ws);
    ck_assert(ch_ws_feed(&ws, MAX, &user, log, "", 0));
    ck_assert_ptr_null(ws);
    ck_assert(ch_ws_feed(&ws, MAX, &user, log, B(HELLO)));
    ck_assert_ptr_null(ws);
    ck_assert_mem_eq(log->text, "T5:Hello ", log->len);
}
END_TEST

/* --- what is sent ------------------------------------------------------ */

START_TEST(writes_heads)
{
    static const struct {
        int opcode;
        size_t len;
        const char *head;
        size_t head_len;
    } heads[] = {
        { CH_WS_TEXT, 0, B("\x81\0") },
        { CH_WS_TEXT, 5, B("\x81\x05") },
        { CH_WS_BINARY, 125, B("\x82\x7D") },
        { CH_WS_BINARY, 126, B("\x82\x7E\0\x7E") },
        { CH_WS_BINARY, 256, B("\x82\x7E\x01\0") },
        { CH_WS_BINARY, 65535, B("\x82\x7E\xFF\xFF") },
        { CH_WS_BINARY, 65536, B("\x82\x7F\0\0\0\0\0\x01\0\0") },
        { CH_WS_TEXT, 0x0123456789ABCDEF,
          B("\x81\x7F\x01\x23\x45\x67\x89\xAB\xCD\xEF") },
    };
    unsigned char head[CH_WS_HEAD_MAX];
    size_t i;

    for (i = 0; i < CH_COUNT(heads); i++) {
        ck_assert_uint_eq(ch_ws_head(head, heads[i].opcode, heads[i].len),
                          heads[i].head_len);
        ck_assert_mem_eq(head, heads[i].head, heads[i].head_len);
    }
    ck_assert_uint_eq(ch_ws_close_frame(head, CH_WS_RESTART), 4);
    ck_assert_mem_eq(head, "\x88\x02\x03\xF4", 4);
}
END_TEST

START_TEST(answers_keys)
{
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "dGhlIHNhbXBsZSBub25jZQx=",
        "dGhlIHNhbXBsZSBub25jZQxx",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j-Q==",
        "dGhlIHNhbXBsZSBub25j Q==",
        " dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQdGhlIHNhbXBsZSBub25jZQ==",
    };
    char accept[CH_WS_ACCEPT_LEN + 1];
    size_t i;

    ck_assert(ch_ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for (i = 0; i < CH_COUNT(wrong); i++) {
        const char *key = ch_check_copy(wrong[i], strlen(wrong[i]) + 1);

        ck_assert_msg(!ch_ws_accept(key, accept), "%s", wrong[i]);
    }
}
END_TEST

static void is_chunk(ch_chunk_t *chunk, int binary, size_t head,
                     const char *data, size_t len)
{
    ck_assert_int_eq(chunk->refs, 1);
    ck_assert_int_eq(chunk->binary, binary);
    ck_assert_uint_eq(chunk->head, head);
    ck_assert_uint_eq(chunk->len, len);
    ck_assert_mem_eq(chunk->data, data, len);
    ck_assert_ptr_eq(ch_chunk_hold(chunk), chunk);
    ck_assert_int_eq(chunk->refs, 2);
    ch_chunk_drop(chunk);
    ck_assert_int_eq(chunk->refs, 1);
    ch_chunk_drop(chunk);
}

START_TEST(makes_chunks)
{
    static const ch_bytes_t parts[] = {
        { .data = "ab", .len = 2 },
        { .data = NULL, .len = 0 },
        { .data = "c", .len = 1 },
    };
    char text[126 + 1];
    char frame[4 + 1 + 126];

    is_chunk(ch_chunk_packet('2', "", 0), 0, 2, B("\x81\x01" "2"));
    is_chunk(ch_chunk_packet('4', "abc", 3), 0, 2, B("\x81\x04" "4abc"));
    is_chunk(ch_chunk_join('4', parts, 3), 0, 2, B("\x81\x04" "4abc"));
    is_chunk(ch_chunk_join('6', NULL, 0), 0, 2, B("\x81\x01" "6"));
    is_chunk(ch_chunk_binary("\0\xFF", 2), 1, 2, B("\x82\x02\0\xFF"));
    is_chunk(ch_chunk_binary(NULL, 0), 1, 2, B("\x82\0"));
    is_chunk(ch_chunk_raw("GET", 3), 0, 0, B("GET"));
    memset(text, 'x', sizeof(text));
    memset(frame, 'x', sizeof(frame));
    memcpy(frame, "\x81\x7E\0\x7F" "4", 5);
    is_chunk(ch_chunk_packet('4', text, 126), 0, 4, frame, sizeof(frame));
    ck_assert_ptr_null(ch_chunk_hold(NULL));
    ch_chunk_drop(NULL);
}
END_TEST

CH_SUITE_MAIN("realtime/ws", CH_EACH(reads_frames, cases),
              CH_EACH(reads_single_bytes, cases), CH_EACH(reads_pieces, cases),
              CH_EACH(reads_all_lengths, lengths),
              CH_ONCE(reads_many_fragments), CH_ONCE(ends_in_between),
              CH_ONCE(writes_heads), CH_ONCE(answers_keys),
              CH_ONCE(makes_chunks))
