/* WebSocket frames of one connection, by libwslay. An idle connection costs
 * nothing: what is half read lives in a state that is gone at the end of each
 * message. Source: RFC 6455. */
#ifndef CH_REALTIME_WS_H
#define CH_REALTIME_WS_H

#include "chronicle.h"

#define CH_WS_KEY_LEN 24    /* characters of Sec-WebSocket-Key */
#define CH_WS_ACCEPT_LEN 28 /* characters of Sec-WebSocket-Accept */
#define CH_WS_HEAD_MAX 10   /* bytes of a server's frame header */

#define CH_WS_TEXT 1
#define CH_WS_BINARY 2
#define CH_WS_CLOSE 8

/* Reasons for closing (RFC 6455, 7.4.1). */
#define CH_WS_NORMAL 1000
#define CH_WS_PROTOCOL 1002
#define CH_WS_RESTART 1012
#define CH_WS_TRY_LATER 1013

/* What is half read; NULL between messages. */
typedef struct ch_ws_t ch_ws_t;

typedef struct {
    /* A whole message; text is valid UTF-8. data lives during the call. */
    void (*message)(void *ctx, int binary, const char *data, size_t len);
    /* Frames to be sent: pongs, and the answer to a close. */
    void (*reply)(void *ctx, const char *data, size_t len);
} ch_ws_user_t;

/* Takes what came in. max: bytes of a message. 1 = go on; 0 = it is over (the
 * peer closed, or broke the protocol, said too much, sent invalid UTF-8, did
 * not mask): `reply` was given the close frame, send it and close. What the
 * callbacks do must not end *ws. */
int ch_ws_feed(ch_ws_t **ws, size_t max, const ch_ws_user_t *user, void *ctx,
               const char *data, size_t len);

/* Forgets what was half read. */
void ch_ws_end(ch_ws_t **ws);

/* The header of an unmasked frame of len bytes; its size. */
size_t ch_ws_head(unsigned char head[CH_WS_HEAD_MAX], int opcode, size_t len);

/* A close frame with a reason; its size (4). */
size_t ch_ws_close_frame(unsigned char frame[4], int code);

/* What answers a key: 1 and a C string, 0 when the key is none (base64 of 16
 * bytes). */
int ch_ws_accept(const char *key, char accept[CH_WS_ACCEPT_LEN + 1]);

#endif
