/* Takes frames of a websocket apart; the only file that sees libwslay. It is
 * given one frame after the other, and answers for RFC 6455: unmasking, order
 * of frames, UTF-8, pongs. What it does not do is done here: it makes up its
 * mind only at the first byte of a payload, knows no bound of a message in
 * fragments that it doesn't keep itself (and keeps each in blocks of its own,
 * a hundred bytes for one), gives a close frame without a code to frames that
 * can't be, takes a close frame of one byte, refuses the codes 1012 to 1014,
 * and looks at the reason of a close frame wrongly when it comes in parts. */
#include "realtime/ws.h"

#include <stdlib.h>
#include <string.h>

#include <apr_base64.h>
#include <wslay/wslay.h>

#include "base/heap.h"
#include "base/seal.h"
#include "base/text.h"

#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

#define FIN 0x80
#define MASKED 0x80
#define CONTROL 0x08
#define CONTROL_MAX 125 /* bytes of a control frame's payload */

#define INVALID 1007
#define TOO_BIG 1009

struct ch_ws_t {
    wslay_event_context_ptr frames;

    /* of the call */
    const ch_ws_user_t *user;
    void *ctx;
    size_t max;
    const char *in; /* what libwslay may read now */
    size_t in_len;

    /* the frame that is half read: its header (a control frame is kept whole),
     * and the bytes of its payload that are still to come */
    unsigned char head[2 + 4 + CONTROL_MAX];
    size_t head_len;
    apr_uint64_t left;

    /* the message that is half read */
    int fragments; /* more frames of it will come */
    char *text;
    size_t len;
    size_t size; /* of the place */

    unsigned char out[2 + CONTROL_MAX]; /* the frame that libwslay sends */
    size_t out_len;
    int over;
};

size_t ch_ws_head(unsigned char head[CH_WS_HEAD_MAX], int opcode, size_t len)
{
    apr_uint64_t rest = len;
    size_t n = len < 126 ? 2 : len < 65536 ? 4 : 10;
    size_t i;

    head[0] = (unsigned char)(FIN | opcode);
    head[1] = (unsigned char)(n == 2 ? len : n == 4 ? 126 : 127);
    for (i = n; i > 2; i--) {
        head[i - 1] = (unsigned char)(rest & 0xFF);
        rest >>= 8;
    }
    return n;
}

size_t ch_ws_close_frame(unsigned char frame[4], int code)
{
    frame[0] = FIN | CH_WS_CLOSE;
    frame[1] = 2;
    frame[2] = (unsigned char)(code >> 8);
    frame[3] = (unsigned char)(code & 0xFF);
    return 4;
}

int ch_ws_accept(const char *key, char accept[CH_WS_ACCEPT_LEN + 1])
{
    char text[CH_WS_KEY_LEN + sizeof(MAGIC)];
    unsigned char sum[CH_SHA1_LEN];

    if (strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                    "0123456789+/") != CH_WS_KEY_LEN - 2 ||
        strcmp(key + CH_WS_KEY_LEN - 2, "==") != 0) {
        return 0;
    }
    memcpy(text, key, CH_WS_KEY_LEN);
    memcpy(text + CH_WS_KEY_LEN, MAGIC, sizeof(MAGIC));
    ch_seal_sha1(text, sizeof(text) - 1, sum);
    apr_base64_encode_binary(accept, sum, sizeof(sum));
    return 1;
}

/* --- what libwslay calls ----------------------------------------------- */

static ssize_t read_cb(wslay_event_context_ptr frames, uint8_t *data,
                       size_t size, int flags, void *state)
{
    ch_ws_t *ws = state;
    size_t n = ws->in_len < size ? ws->in_len : size;

    if (n == 0) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(data, ws->in, n);
    ws->in += n;
    ws->in_len -= n;
    return (ssize_t)n;
}

/* A frame comes as its header and, flagged before, its payload. */
static ssize_t write_cb(wslay_event_context_ptr frames, const uint8_t *data,
                        size_t len, int flags, void *state)
{
    ch_ws_t *ws = state;

    if (len > sizeof(ws->out) - ws->out_len) {
        wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    memcpy(ws->out + ws->out_len, data, len);
    ws->out_len += len;
    if (!(flags & WSLAY_MSG_MORE)) {
        ws->user->reply(ws->ctx, (const char *)ws->out, ws->out_len);
        ws->out_len = 0;
    }
    return (ssize_t)len;
}

/* The place grows with what has come, whatever was announced. */
static void chunk_cb(wslay_event_context_ptr frames,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk,
                     void *state)
{
    ch_ws_t *ws = state;
    size_t need = ws->len + chunk->data_length;

    if (ws->head[0] & CONTROL) {
        return;
    }
    if (need > ws->size) {
        ws->size = need > ws->size * 2 ? need : ws->size * 2;
        ws->text = ch_heap_resize(ws->text, ws->size);
    }
    if (chunk->data_length) {
        memcpy(ws->text + ws->len, chunk->data, chunk->data_length);
    }
    ws->len = need;
}

static void message_cb(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *message,
                       void *state)
{
    ch_ws_t *ws = state;

    if (message->opcode & CONTROL) {
        return;
    }
    ws->user->message(ws->ctx, message->opcode == WSLAY_BINARY_FRAME,
                      ws->len ? ws->text : "", ws->len);
    ws->len = 0;
}

static ch_ws_t *begin(void)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = read_cb,
        .send_callback = write_cb,
        .on_frame_recv_chunk_callback = chunk_cb,
        .on_msg_recv_callback = message_cb,
    };
    ch_ws_t *ws = ch_heap_take(sizeof(*ws));

    if (wslay_event_context_server_init(&ws->frames, &callbacks, ws)) {
        abort(); /* as base/heap does */
    }
    wslay_event_config_set_no_buffering(ws->frames, 1);
    return ws;
}

/* --- the frames -------------------------------------------------------- */

static void end_with(ch_ws_t *ws, int code)
{
    unsigned char frame[4];

    ws->user->reply(ws->ctx, (const char *)frame,
                    ch_ws_close_frame(frame, code));
    ws->over = 1;
}

/* Lets libwslay have bytes of one frame. A failure is a header that can't
 * be. */
static void pass(ch_ws_t *ws, const void *data, size_t len)
{
    ws->in = data;
    ws->in_len = len;
    if (wslay_event_recv(ws->frames) || wslay_event_send(ws->frames)) {
        end_with(ws, CH_WS_PROTOCOL);
    }
    else if (!wslay_event_want_read(ws->frames)) {
        ws->over = 1;
    }
}

/* Codes that may be sent (RFC 6455, 7.4, and IANA's registry). */
static int is_code(int code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
            code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* A masked close frame that came: it is answered with its own code. */
static void closed(ch_ws_t *ws)
{
    static const char empty[2] = { (char)(FIN | CH_WS_CLOSE), 0 };
    const unsigned char *key = ws->head + 2;
    size_t len = ws->head_len - 6;
    char text[CONTROL_MAX] = { 0 };
    int code;
    size_t i;

    for (i = 0; i < len; i++) {
        text[i] = (char)(key[4 + i] ^ key[i % 4]);
    }
    code = (unsigned char)text[0] << 8 | (unsigned char)text[1];
    if (len == 0) {
        ws->user->reply(ws->ctx, empty, sizeof(empty));
        ws->over = 1;
    }
    else if (len == 1 || !is_code(code)) {
        end_with(ws, CH_WS_PROTOCOL);
    }
    else {
        end_with(ws, ch_text_valid(text + 2, len - 2) ? code : INVALID);
    }
}

/* What is kept of a frame in `head`, as far as one knows by now. */
static size_t head_size(const ch_ws_t *ws)
{
    size_t len = ws->head[1] & 0x7F;
    size_t n = 2;

    if (ws->head_len < 2) {
        return n;
    }
    n += ws->head[1] & MASKED ? 4 : 0;
    if (len > CONTROL_MAX) {
        return n + (len == 126 ? 2 : 8);
    }
    return ws->head[0] & CONTROL ? n + len : n;
}

/* Bytes of the payload that a header of more than two bytes announces. */
static apr_uint64_t announced(const unsigned char *head)
{
    apr_uint64_t len = head[1] & 0x7F;
    int n = len == 126 ? 2 : len == 127 ? 8 : 0;
    int i;

    if (n) {
        len = 0;
    }
    for (i = 0; i < n; i++) {
        len = len << 8 | head[2 + i];
    }
    return len;
}

/* A header is complete (with a control frame's payload). */
static void began(ch_ws_t *ws)
{
    if (ws->head[0] == (FIN | CH_WS_CLOSE) && ws->head[1] & MASKED &&
        (ws->head[1] & 0x7F) <= CONTROL_MAX) {
        closed(ws);
        return;
    }
    if (!(ws->head[0] & CONTROL)) {
        ws->left = announced(ws->head);
        ws->fragments = !(ws->head[0] & FIN);
    }
    pass(ws, ws->head, ws->head_len);
    ws->head_len = 0;
    if (!ws->over &&
        (ws->left > ws->max || ws->len > ws->max - (size_t)ws->left)) {
        end_with(ws, TOO_BIG);
    }
}

static size_t feed_head(ch_ws_t *ws, const char *data, size_t len)
{
    size_t need = head_size(ws) - ws->head_len;
    size_t n = need < len ? need : len;

    memcpy(ws->head + ws->head_len, data, n);
    ws->head_len += n;
    if (ws->head_len == head_size(ws)) {
        began(ws);
    }
    return n;
}

static size_t feed_payload(ch_ws_t *ws, const char *data, size_t len)
{
    size_t n = ws->left < len ? (size_t)ws->left : len;

    ws->left -= n;
    pass(ws, data, n);
    return n;
}

int ch_ws_feed(ch_ws_t **ws, size_t max, const ch_ws_user_t *user, void *ctx,
               const char *data, size_t len)
{
    ch_ws_t *state = *ws ? *ws : begin();
    int over;

    *ws = state;
    state->user = user;
    state->ctx = ctx;
    state->max = max;
    while (len && !state->over) {
        size_t n = state->left ? feed_payload(state, data, len)
                               : feed_head(state, data, len);

        data += n;
        len -= n;
    }
    over = state->over;
    if (over || !(state->head_len || state->left || state->fragments)) {
        ch_ws_end(ws);
    }
    return !over;
}

void ch_ws_end(ch_ws_t **ws)
{
    if (*ws) {
        wslay_event_context_free((*ws)->frames);
        ch_heap_give((*ws)->text);
        ch_heap_give(*ws);
        *ws = NULL;
    }
}
