/* Tests of realtime/socketio: packets in and out. */
#include "ch_check.h"

#include <apr_strings.h>

#include "realtime/socketio.h"

/* --- packets ----------------------------------------------------------- */

static const struct {
    const char *text;
    int type; /* -1 = it is none */
    int attachments;
    const char *nsp;
    apr_int64_t ack;
    const char *json;
} packets[] = {
    /* of the protocol's document */
    { "0", CH_SIO_CONNECT, 0, "/", -1, "" },
    { "0{\"sid\":\"oSO0\"}", CH_SIO_CONNECT, 0, "/", -1,
      "{\"sid\":\"oSO0\"}" },
    { "0/admin,", CH_SIO_CONNECT, 0, "/admin", -1, "" },
    { "0/admin,{\"token\":\"123\"}", CH_SIO_CONNECT, 0, "/admin", -1,
      "{\"token\":\"123\"}" },
    { "1/admin,", CH_SIO_DISCONNECT, 0, "/admin", -1, "" },
    { "2[\"foo\"]", CH_SIO_EVENT, 0, "/", -1, "[\"foo\"]" },
    { "2/admin,[\"bar\"]", CH_SIO_EVENT, 0, "/admin", -1, "[\"bar\"]" },
    { "212[\"foo\"]", CH_SIO_EVENT, 0, "/", 12, "[\"foo\"]" },
    { "3/admin,13[\"bar\"]", CH_SIO_ACK, 0, "/admin", 13, "[\"bar\"]" },
    { "4{\"message\":\"Not authorized\"}", CH_SIO_CONNECT_ERROR, 0, "/", -1,
      "{\"message\":\"Not authorized\"}" },
    { "51-[\"baz\",{\"_placeholder\":true,\"num\":0}]", CH_SIO_BINARY_EVENT, 1,
      "/", -1, "[\"baz\",{\"_placeholder\":true,\"num\":0}]" },
    { "52-/admin,[\"baz\"]", CH_SIO_BINARY_EVENT, 2, "/admin", -1,
      "[\"baz\"]" },
    { "61-15[\"bar\"]", CH_SIO_BINARY_ACK, 1, "/", 15, "[\"bar\"]" },
    { "61-/admin,1[\"bar\"]", CH_SIO_BINARY_ACK, 1, "/admin", 1,
      "[\"bar\"]" },
    /* names */
    { "0/", CH_SIO_CONNECT, 0, "/", -1, "" },
    { "0/,", CH_SIO_CONNECT, 0, "/", -1, "" },
    { "0/echo", CH_SIO_CONNECT, 0, "/echo", -1, "" },
    { "0/echo?token=1&a=?,{}", CH_SIO_CONNECT, 0, "/echo", -1, "{}" },
    { "0/?a,", CH_SIO_CONNECT, 0, "/", -1, "" },
    { "0/a?b", CH_SIO_CONNECT, 0, "/a", -1, "" },
    { "1", CH_SIO_DISCONNECT, 0, "/", -1, "" },
    { "4\"no\"", CH_SIO_CONNECT_ERROR, 0, "/", -1, "\"no\"" },
    /* numbers */
    { "20[]", CH_SIO_EVENT, 0, "/", 0, "[]" },
    { "2007[]", CH_SIO_EVENT, 0, "/", 7, "[]" },
    { "29007199254740992[]", CH_SIO_EVENT, 0, "/", APR_INT64_C(1) << 53,
      "[]" },
    { "29007199254740993[]", -1, 0, NULL, 0, NULL },
    { "218446744073709551617[]", -1, 0, NULL, 0, NULL },
    { "2-1[]", -1, 0, NULL, 0, NULL },
    { "21.5[]", -1, 0, NULL, 0, NULL },
    { "2 1[]", -1, 0, NULL, 0, NULL },
    { "564-[]", CH_SIO_BINARY_EVENT, 64, "/", -1, "[]" },
    { "565-[]", -1, 0, NULL, 0, NULL },
    { "5064-[]", CH_SIO_BINARY_EVENT, 64, "/", -1, "[]" },
    { "599999999999999999999-[]", -1, 0, NULL, 0, NULL },
    { "50-[]", -1, 0, NULL, 0, NULL },
    { "5-[]", -1, 0, NULL, 0, NULL },
    { "5[]", -1, 0, NULL, 0, NULL },
    { "51[]", -1, 0, NULL, 0, NULL },
    { "51", -1, 0, NULL, 0, NULL },
    { "5", -1, 0, NULL, 0, NULL },
    { "51-", -1, 0, NULL, 0, NULL },
    { "51-1", -1, 0, NULL, 0, NULL },
    { "5/a,1-[]", -1, 0, NULL, 0, NULL },
    { "6x-[]", -1, 0, NULL, 0, NULL },
    { "61e1-[]", -1, 0, NULL, 0, NULL },
    /* types and payloads */
    { "", -1, 0, NULL, 0, NULL },
    { "7[]", -1, 0, NULL, 0, NULL },
    { "/[]", -1, 0, NULL, 0, NULL },
    { "x", -1, 0, NULL, 0, NULL },
    { "0[]", -1, 0, NULL, 0, NULL },
    { "0\"a\"", -1, 0, NULL, 0, NULL },
    { "0null", -1, 0, NULL, 0, NULL },
    { "1{}", -1, 0, NULL, 0, NULL },
    { "1/a,[]", -1, 0, NULL, 0, NULL },
    { "2", -1, 0, NULL, 0, NULL },
    { "21", -1, 0, NULL, 0, NULL },
    { "2/a", -1, 0, NULL, 0, NULL },
    { "2/a,", -1, 0, NULL, 0, NULL },
    { "2{}", -1, 0, NULL, 0, NULL },
    { "2\"a\"", -1, 0, NULL, 0, NULL },
    { "3", -1, 0, NULL, 0, NULL },
    { "31{}", -1, 0, NULL, 0, NULL },
    { "4", -1, 0, NULL, 0, NULL },
    { "4[]", -1, 0, NULL, 0, NULL },
};

static int read_copy(const char *text, ch_sio_packet_t *out)
{
    size_t len = strlen(text);

    return ch_sio_read(ch_check_copy(text, len), len, out);
}

static void is_bytes(ch_bytes_t bytes, const char *text)
{
    ck_assert_str_eq(apr_pstrmemdup(pool, bytes.data, bytes.len), text);
}

START_TEST(reads_packets)
{
    ch_sio_packet_t packet = { .ack = 99 };
    int good = read_copy(packets[_i].text, &packet);

    ck_assert_int_eq(good, packets[_i].type >= 0);
    if (!good) {
        return;
    }
    ck_assert_int_eq(packet.type, packets[_i].type);
    ck_assert_int_eq(packet.attachments, packets[_i].attachments);
    is_bytes(packet.nsp, packets[_i].nsp);
    ck_assert_int_eq(packet.ack, packets[_i].ack);
    is_bytes(packet.json, packets[_i].json);
}
END_TEST

/* --- events ------------------------------------------------------------ */

#define HOLD(num) "{\"_placeholder\":true,\"num\":" num "}"

#define TOO_DEEP 99
#define DEEP "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["

static const struct {
    const char *text;
    const char *name; /* NULL = it is none */
    size_t args;
} events[] = {
    { "2[\"foo\"]", "foo", 1 },
    { "2[\"foo\",1,{\"a\":[]},null]", "foo", 4 },
    { "2[\"\"]", "", 1 },
    { "2[\"message:send\",{}]", "message:send", 2 },
    { "2[\"\\u00e9\"]", "\xC3\xA9", 1 },
    { "2[12,\"a\"]", "12", 2 },
    { "2[-1.5]", "-1.5", 1 },
    { "2[\"connected\"]", "connected", 1 },
    { "2[\"Connect\"]", "Connect", 1 },
    { "2[]", NULL, 0 },
    { "2[null]", NULL, 0 },
    { "2[true]", NULL, 0 },
    { "2[[\"a\"]]", NULL, 0 },
    { "2[{}]", NULL, 0 },
    { "2[\"connect\"]", NULL, 0 },
    { "2[\"connect_error\"]", NULL, 0 },
    { "2[\"disconnect\"]", NULL, 0 },
    { "2[\"disconnecting\"]", NULL, 0 },
    { "2[\"newListener\"]", NULL, 0 },
    { "2[\"removeListener\"]", NULL, 0 },
    { "2[\"\\u0064isconnect\"]", NULL, 0 },
    { "2[\"a\"", NULL, 0 },
    { "2[\"a\"]]", NULL, 0 },
    { "2[\"a\",]", NULL, 0 },
    { "2[\"a\\u0000\"]", NULL, 0 },
    { "2[\"a\",\"\\u0000\"]", "a", 2 },
    { "2[\"a\",{\"b\":1,\"b\":2}]", "a", 2 },
    { "2[\"a\",1e999]", NULL, 0 },
    /* halves of surrogate pairs */
    { "2[\"a\",\"\\uD83D\"]", "a", 2 },
    { "2[\"a\",\"\\udc00\\ud83d\",{\"\\ud800\":\"\\ud83d\\ud83d\\ude00\"}]",
      "a", 3 },
    { "2[\"\\ud83dx\\ud83d\\ude00\\\\ud83d\"]",
      "\xEF\xBF\xBDx\xF0\x9F\x98\x80\\ud83d", 1 },
    { "2[\"a\",\"\\ud83d\"", NULL, 0 },
    { "2[\"a\",\"\\ud83\"]", NULL, 0 },
    { "2[\"a\",\\ud83d]", NULL, 0 },
    { "2[\"a\",\"\\ud83d\"]\\", NULL, 0 },
    { "51-[\"a\",\"\\ud83d\"," HOLD("1") "]", NULL, 0 },
    /* as deep as may be, and deeper */
    { "2[\"a\",[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
      "a", 2 },
    { "2[\"a\",[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
      "]]",
      "a", TOO_DEEP },
    { "2[\"\\\"],[\\u00e9\" ,{\"[\":" DEEP "\"\\\\\",x",
      "\"],[\xC3\xA9", TOO_DEEP },
    { "51-[\"a\"," HOLD("7") "," DEEP "]", "a", TOO_DEEP },
    { "2[" DEEP ",\"a\"]", NULL, 0 },
    { "2[[[]]," DEEP, NULL, 0 },
    { "2[\"connect\"," DEEP, NULL, 0 },
    { "2[\"\\x\"," DEEP, NULL, 0 },
    { "2[\"a\",\"" DEEP, NULL, 0 },
    /* places of attachments */
    { "51-[\"a\"," HOLD("0") "]", "a", 2 },
    { "52-[\"a\",{\"b\":[" HOLD("1") ",1," HOLD("0") "]}]", "a", 2 },
    { "52-[\"a\"]", "a", 1 },
    { "51-[\"a\"," HOLD("0") "," HOLD("0") "]", "a", 3 },
    { "51-[\"a\"," HOLD("1") "]", NULL, 0 },
    { "51-[\"a\"," HOLD("-1") "]", NULL, 0 },
    { "51-[\"a\"," HOLD("\"0\"") "]", NULL, 0 },
    { "51-[\"a\"," HOLD("0.5") "]", NULL, 0 },
    { "51-[\"a\"," HOLD("null") "]", NULL, 0 },
    { "51-[\"a\",{\"_placeholder\":true}]", NULL, 0 },
    { "51-[\"a\",{\"_placeholder\":false,\"num\":7}]", "a", 2 },
    { "51-[\"a\",{\"_placeholder\":1,\"num\":7}]", "a", 2 },
    { "52-[\"a\",[[{\"b\":{\"c\":" HOLD("2") "}}]]]", NULL, 0 },
    { "51-[\"a\",[1," HOLD("0") "," HOLD("1") "]]", NULL, 0 },
    { "51-[" HOLD("0") "]", NULL, 0 },
    { "2[\"a\"," HOLD("7") "]", "a", 2 }, /* where none are, an object */
};

START_TEST(reads_events)
{
    ch_sio_packet_t packet;
    ch_sio_event_t event;
    int good;

    ck_assert(read_copy(events[_i].text, &packet));
    good = ch_sio_event(pool, &packet, &event);
    ck_assert_int_eq(good, events[_i].name != NULL);
    if (good) {
        ck_assert_str_eq(event.name, events[_i].name);
        ck_assert_uint_eq(event.args ? ch_json_size(event.args) : TOO_DEEP,
                          events[_i].args);
    }
}
END_TEST

/* --- out --------------------------------------------------------------- */

static void is_text(ch_chunk_t *chunk, const char *text)
{
    ck_assert_int_eq(chunk->binary, 0);
    ck_assert_int_eq(chunk->data[0], '\x81');
    ck_assert_str_eq(apr_pstrmemdup(pool, chunk->data + chunk->head,
                                    chunk->len - chunk->head),
                     text);
    ch_chunk_drop(chunk);
}

static ch_bytes_t json(const char *text)
{
    return (ch_bytes_t){ .data = text, .len = strlen(text) };
}

START_TEST(writes_packets)
{
    is_text(ch_sio_packet(CH_SIO_CONNECT, "/", 0, -1, json("{\"sid\":\"a\"}")),
            "40{\"sid\":\"a\"}");
    is_text(ch_sio_packet(CH_SIO_CONNECT_ERROR, "/x", 0, -1, json("{}")),
            "44/x,{}");
    is_text(ch_sio_packet(CH_SIO_DISCONNECT, "/", 0, -1, json("")), "41");
    is_text(ch_sio_packet(CH_SIO_DISCONNECT, "/a", 0, -1, json("")), "41/a,");
    is_text(ch_sio_packet(CH_SIO_EVENT, "/echo", 0, 0, json("[\"a\"]")),
            "42/echo,0[\"a\"]");
    is_text(ch_sio_packet(CH_SIO_EVENT, "/echo", 2, 7, json("[\"a\"]")),
            "452-/echo,7[\"a\"]");
    is_text(ch_sio_packet(CH_SIO_BINARY_EVENT, "/", 0, -1, json("[\"a\"]")),
            "42[\"a\"]");
    is_text(ch_sio_packet(CH_SIO_ACK, "/echo", 1, 9, json("[]")),
            "461-/echo,9[]");
    is_text(ch_sio_packet(CH_SIO_BINARY_ACK, "/", 64, 1, json("[]")),
            "4664-1[]");
    is_text(ch_sio_packet(CH_SIO_BINARY_ACK, "/", 0, APR_INT64_MAX, json("")),
            "439223372036854775807");
}
END_TEST

START_TEST(writes_events)
{
    char name[2000];
    char text[2000 + 16];

    is_text(ch_sio_emit("message:new", json("{\"a\":1}")),
            "42[\"message:new\",{\"a\":1}]");
    is_text(ch_sio_emit("", json("null")), "42[\"\",null]");
    is_text(ch_sio_emit("\x01\x02\x03\x04\"\\\n", json("{}")),
            "42[\"\\u0001\\u0002\\u0003\\u0004\\\"\\\\\\n\",{}]");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    apr_snprintf(text, sizeof(text), "42[\"%s\",{}]", name);
    is_text(ch_sio_emit(name, json("{}")), text);
    is_text(ch_sio_ack(0, json("{\"success\":true}")),
            "430[{\"success\":true}]");
    is_text(ch_sio_ack(APR_INT64_C(1) << 53, json("{}")),
            "439007199254740992[{}]");
}
END_TEST

CH_SUITE_MAIN("realtime/socketio", CH_EACH(reads_packets, packets),
              CH_EACH(reads_events, events), CH_ONCE(writes_packets),
              CH_ONCE(writes_events))
