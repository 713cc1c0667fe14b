/* Tests of realtime/engineio: queries, packets of polls and of websockets. */
#include "ch_check.h"

#include "realtime/engineio.h"

#define B(text) text, sizeof(text) - 1

/* --- queries ----------------------------------------------------------- */

#define SID64 "0123456789abcdefABCDEF-_0123456789abcdefABCDEF-_0123456789abcdef"

static const struct {
    const char *args;
    int fault;
    int transport;
    const char *sid;
} queries[] = {
    { "EIO=4&transport=polling", -1, CH_EIO_POLLING, NULL },
    { "EIO=4&transport=websocket", -1, CH_EIO_WEBSOCKET, NULL },
    { "t=PaXs&b64=1&transport=polling&EIO=4&sid=aZ-_09", -1, CH_EIO_POLLING,
      "aZ-_09" },
    { "EIO=4&transport=websocket&sid=%41b", -1, CH_EIO_WEBSOCKET, "Ab" },
    { "EIO=4&transport=polling&sid=", -1, CH_EIO_POLLING, NULL },
    { "EIO=4&transport=polling&sid", -1, CH_EIO_POLLING, NULL },
    { "EIO=4&transport=polling&sid=" SID64, -1, CH_EIO_POLLING, SID64 },
    { "EIO=4&%74ransport=polling&x=%ZZ", -1, CH_EIO_POLLING, NULL },
    { NULL, CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=4", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=3&sid=a", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=4&transport=", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=4&transport=Polling", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=4&transport=webtransport", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&transport=polling", CH_EIO_TRANSPORT_UNKNOWN, 0,
      NULL },
    { "EIO=4&transport=polling%00", CH_EIO_TRANSPORT_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&sid=a.b", CH_EIO_SID_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&sid=a%20", CH_EIO_SID_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&sid=%00", CH_EIO_SID_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&sid=%FF", CH_EIO_SID_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&sid=a&sid=a", CH_EIO_SID_UNKNOWN, 0, NULL },
    { "EIO=4&transport=polling&sid=x" SID64, CH_EIO_SID_UNKNOWN, 0, NULL },
    { "EIO=3&transport=polling&sid=.", CH_EIO_SID_UNKNOWN, 0, NULL },
    /* a version that is another: known whose it was */
    { "transport=websocket", CH_EIO_BAD_VERSION, CH_EIO_WEBSOCKET, NULL },
    { "EIO=3&transport=polling", CH_EIO_BAD_VERSION, CH_EIO_POLLING, NULL },
    { "EIO=04&transport=polling", CH_EIO_BAD_VERSION, CH_EIO_POLLING, NULL },
    { "EIO=4&EIO=4&transport=polling", CH_EIO_BAD_VERSION, CH_EIO_POLLING,
      NULL },
    { "eio=4&transport=polling", CH_EIO_BAD_VERSION, CH_EIO_POLLING, NULL },
    { "EIO=3&transport=websocket&sid=a", CH_EIO_BAD_REQUEST, CH_EIO_WEBSOCKET,
      "a" },
};

START_TEST(reads_queries)
{
    ch_eio_query_t query = { .transport = CH_EIO_POLLING };
    int fault = ch_eio_query(pool, queries[_i].args, &query);

    ck_assert_int_eq(fault, queries[_i].fault);
    if (fault == CH_EIO_TRANSPORT_UNKNOWN || fault == CH_EIO_SID_UNKNOWN) {
        return;
    }
    ck_assert_int_eq(query.transport, queries[_i].transport);
    ck_assert_pstr_eq(query.sid, queries[_i].sid);
}
END_TEST

START_TEST(names_faults)
{
    static const char *const texts[] = {
        "{\"code\":0,\"message\":\"Transport unknown\"}",
        "{\"code\":1,\"message\":\"Session ID unknown\"}",
        "{\"code\":2,\"message\":\"Bad handshake method\"}",
        "{\"code\":3,\"message\":\"Bad request\"}",
        "{\"code\":4,\"message\":\"Forbidden\"}",
        "{\"code\":5,\"message\":\"Unsupported protocol version\"}",
    };
    int i;

    for (i = 0; i < (int)CH_COUNT(texts); i++) {
        ck_assert_str_eq(ch_eio_fault_text((ch_eio_fault_e)i), texts[i]);
        ck_assert_int_eq(ch_eio_fault_status((ch_eio_fault_e)i),
                         i == 4 ? 403 : 400);
    }
}
END_TEST

/* --- bodies of polls --------------------------------------------------- */

/* Written down as "4:text" or "b:bytes", "|" behind each; "!" for a fault. */
static const struct {
    const char *in;
    size_t in_len;
    const char *out;
    size_t out_len;
} bodies[] = {
    { B(""), B("") },
    { B("4hello"), B("4:hello|") },
    { B("2"), B("2:|") },
    { B("3probe"), B("3:probe|") },
    { B("0{}"), B("0:{}|") },
    { B("1"), B("1:|") },
    { B("5"), B("5:|") },
    { B("6"), B("6:|") },
    { B("4\xE2\x82\xAC"), B("4:\xE2\x82\xAC|") },
    /* of the protocol's document */
    { B("4hello\x1e" "2\x1e" "4world"), B("4:hello|2:|4:world|") },
    { B("4hello\x1e" "bAQIDBA=="), B("4:hello|b:\x01\x02\x03\x04|") },
    { B("b"), B("b:|") },
    { B("bAQ=="), B("b:\x01|") },
    { B("bAQI="), B("b:\x01\x02|") },
    { B("bAQID"), B("b:\x01\x02\x03|") },
    { B("bAP+/"), B("b:\0\xFF\xBF|") },
    { B("bAQI"), B("b:\x01\x02|") }, /* as the reference: without padding */
    { B("bAQID\x1e" "bAQID"), B("b:\x01\x02\x03|b:\x01\x02\x03|") },
    /* what is none */
    { B("7"), B("!") },
    { B("/"), B("!") },
    { B("B"), B("!") },
    { B("hello"), B("!") },
    { B("\x1e"), B("!") },
    { B("\x1e" "4a"), B("!") },
    { B("4a\x1e"), B("!") },
    { B("4a\x1e\x1e" "4b"), B("4:a|!") },
    { B("4a\x1e" "7\x1e" "4b"), B("4:a|!") },
    { B("4\xFF"), B("!") },
    { B("4\xC3"), B("!") },
    { B("4a\x1e" "4\xC3\x1e" "\xA9"), B("4:a|!") },
    { B("bA"), B("!") },
    { B("bAQIDA"), B("!") },
    { B("bA==="), B("!") },
    { B("bAQ==AQ=="), B("!") },
    { B("bAQID===="), B("!") },
    { B("bAQ ID"), B("!") },
    { B("bAQID\n"), B("!") },
    { B("bAQ\0D"), B("!") },
    { B("b\xFF\xFF\xFF\xFF"), B("!") },
};

START_TEST(reads_bodies)
{
    const char *at = ch_check_copy(bodies[_i].in, bodies[_i].in_len);
    const char *end = at + bodies[_i].in_len;
    ch_buf_t *out = ch_buf_make(pool, 64, 1000);
    ch_eio_packet_t packet;
    int got;

    while ((got = ch_eio_next(pool, &at, end, &packet)) > 0) {
        ck_assert(!packet.binary || packet.type == CH_EIO_MESSAGE);
        ch_buf_putc(out, packet.binary ? 'b' : packet.type);
        ch_buf_putc(out, ':');
        ch_buf_add(out, packet.data, packet.len);
        ch_buf_putc(out, '|');
    }
    if (got < 0) {
        ch_buf_putc(out, '!');
    }
    ck_assert_uint_eq(out->len, bodies[_i].out_len);
    ck_assert_mem_eq(out->data, bodies[_i].out, out->len);
    ck_assert(got < 0 || at == end);
}
END_TEST

START_TEST(reads_messages)
{
    ch_eio_packet_t packet = { .type = 0 };

    ck_assert(ch_eio_message(0, B("4hello"), &packet));
    ck_assert_int_eq(packet.type, CH_EIO_MESSAGE);
    ck_assert_int_eq(packet.binary, 0);
    ck_assert_uint_eq(packet.len, 5);
    ck_assert_mem_eq(packet.data, "hello", 5);
    ck_assert(ch_eio_message(0, B("2probe"), &packet));
    ck_assert_int_eq(packet.type, CH_EIO_PING);
    ck_assert(ch_eio_message(1, B("2\xFF"), &packet));
    ck_assert_int_eq(packet.type, CH_EIO_MESSAGE);
    ck_assert_int_eq(packet.binary, 1);
    ck_assert_uint_eq(packet.len, 2);
    ck_assert_mem_eq(packet.data, "2\xFF", 2);
    ck_assert(ch_eio_message(1, "", 0, &packet));
    ck_assert_uint_eq(packet.len, 0);
    ck_assert(!ch_eio_message(0, "", 0, &packet));
    ck_assert(!ch_eio_message(0, B("7"), &packet));
    ck_assert(!ch_eio_message(0, B("b"), &packet));
}
END_TEST

/* --- answers ----------------------------------------------------------- */

static void add(ch_buf_t *body, ch_chunk_t *chunk)
{
    size_t before = body->len;

    ch_eio_add(body, chunk);
    ck_assert_uint_eq(body->len - before + (before ? 0 : 1),
                      ch_eio_size(chunk));
    ch_chunk_drop(chunk);
}

START_TEST(writes_bodies)
{
    ch_buf_t *body = ch_buf_make(pool, 0, 1000);

    add(body, ch_chunk_packet(CH_EIO_NOOP, "", 0));
    add(body, ch_chunk_packet(CH_EIO_MESSAGE, B("hello")));
    add(body, ch_chunk_binary(B("\x01\x02\x03\x04")));
    add(body, ch_chunk_binary(B("")));
    add(body, ch_chunk_binary(B("\xFF\xFE")));
    add(body, ch_chunk_binary(B("\xFF\xFE\xFD")));
    ck_assert_str_eq(ch_buf_cstr(body), "6\x1e" "4hello\x1e" "bAQIDBA==\x1e"
                                        "b\x1e" "b//4=\x1e" "b//79");
    ck_assert_int_eq(body->overflow, 0);
}
END_TEST

/* Attachments of all lengths near the places where they are cut, and back. */
static const size_t lengths[] = { 0,    1,    2,    3,    3071,  3072,
                                  3073, 3074, 6143, 6144, 6145, 100000 };

START_TEST(writes_attachments)
{
    size_t len = lengths[_i];
    char *data = apr_palloc(pool, len + 1);
    ch_buf_t *body = ch_buf_make(pool, 0, (len + 2) / 3 * 4 + 1);
    const char *at;
    ch_eio_packet_t packet;
    size_t i;

    for (i = 0; i < len; i++) {
        data[i] = (char)(i * i >> 4);
    }
    add(body, ch_chunk_binary(data, len));
    ck_assert_int_eq(body->overflow, 0);
    ck_assert_uint_eq(body->len, body->max);
    at = body->data;
    ck_assert_int_eq(ch_eio_next(pool, &at, at + body->len, &packet), 1);
    ck_assert_int_eq(packet.binary, 1);
    ck_assert_uint_eq(packet.len, len);
    ck_assert_mem_eq(packet.data, data, len);
}
END_TEST

CH_SUITE_MAIN("realtime/engineio", CH_EACH(reads_queries, queries),
              CH_ONCE(names_faults), CH_EACH(reads_bodies, bodies),
              CH_ONCE(reads_messages), CH_ONCE(writes_bodies),
              CH_EACH(writes_attachments, lengths))
