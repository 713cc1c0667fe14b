/* What is said: Engine.IO, Socket.IO, and the messages that are counted. A
 * message's content begins with "~" and the number of its slot. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STARTS(text, len, what)                                               \
    ((len) >= sizeof(what) - 1 && memcmp(text, what, sizeof(what) - 1) == 0)

#define LATE_NS 10000000000 /* it is lost, and the run over */

static int is_trigger(const worker_t *w, const conn_t *c)
{
    return w->opt->mode == MODE_BROADCAST && c->index == 0;
}

static int is_sender(const worker_t *w, const conn_t *c)
{
    const options_t *opt = w->opt;

    return opt->mode == MODE_SEND
           && c->index % opt->members * opt->rooms + c->index / opt->members
                  < opt->senders;
}

static int is_running(const worker_t *w)
{
    int phase = atomic_load(&w->sh->phase);

    return phase == PHASE_RUN || phase == PHASE_DRAIN;
}

static int room_of(const worker_t *w, const conn_t *c)
{
    return w->opt->mode == MODE_SEND ? c->index / w->opt->members : 0;
}

/* --- out ----------------------------------------------------------------- */

static int64_t take_slot(worker_t *w)
{
    unsigned number = atomic_fetch_add(&w->sh->slots, 1);

    if (number >= SLOTS_MAX) {
        atomic_fetch_sub(&w->sh->slots, 1);
        fault(w->sh, "too many messages", "", 0);
        return -1;
    }
    return number;
}

/* The content that goes with a slot. */
static const char *content_of(const worker_t *w, int64_t number)
{
    static char text[CONTENT_MAX + 1];
    int len = snprintf(text, sizeof(text), "~%08x ", (unsigned)number);

    if (len < w->opt->size) {
        memset(text + len, 'x', (size_t)(w->opt->size - len));
        text[w->opt->size] = '\0';
    }
    return text;
}

/* Sends a message as this connection; the number of its slot, -1 = none. */
static int64_t send_message(worker_t *w, conn_t *c)
{
    const char *room = w->opt->room_ids.lines[room_of(w, c)];
    int64_t number = take_slot(w);
    char text[CONTENT_MAX + 512];
    int len;

    if (number < 0) {
        return -1;
    }
    len =
        snprintf(text, sizeof(text),
                 "42%u[\"message:send\",{\"roomId\":\"%.*s\","
                 "\"content\":\"%s\",\"clientId\":\"load-%08x\"}]",
                 (unsigned)number + 1, w->opt->room_ids.lengths[room_of(w, c)],
                 room, content_of(w, number), (unsigned)number);
    w->sh->slot[number].sent = now_ns();
    conn_send(w, c, text, (size_t)len);
    return number;
}

static int64_t send_edit(worker_t *w, conn_t *c)
{
    int64_t number = take_slot(w);
    char text[CONTENT_MAX + 512];
    int len;

    if (number < 0) {
        return -1;
    }
    len = snprintf(text, sizeof(text),
                   "42%u[\"message:edit\",{\"messageId\":\"%s\","
                   "\"content\":\"%s\"}]",
                   (unsigned)number + 1, w->message_id, content_of(w, number));
    w->sh->slot[number].sent = now_ns();
    conn_send(w, c, text, (size_t)len);
    return number;
}

static int64_t send_raw(worker_t *w, conn_t *c)
{
    int64_t number = take_slot(w);
    const char *text;

    if (number < 0) {
        return -1;
    }
    text = content_of(w, number);
    w->sh->slot[number].sent = now_ns();
    conn_send(w, c, text, strlen(text));
    return number;
}

void talk_begin(worker_t *w, conn_t *c)
{
    if (w->opt->raw) {
        conn_ready(w, c);
    }
    else {
        c->state = CONN_ENGINE;
    }
}

static void ask_connect(worker_t *w, conn_t *c)
{
    const lines_t *tokens = &w->opt->tokens;
    int user = c->index % w->opt->users;
    char text[2048];
    int len = snprintf(text, sizeof(text), "40{\"token\":\"%.*s\"}",
                       tokens->lengths[user], tokens->lines[user]);

    c->state = CONN_NSP;
    conn_send(w, c, text, (size_t)len);
}

static void ask_join(worker_t *w, conn_t *c)
{
    int room = room_of(w, c);
    char text[256];
    int len = snprintf(
        text, sizeof(text), "420[\"room:join\",{\"roomId\":\"%.*s\"}]",
        w->opt->room_ids.lengths[room], w->opt->room_ids.lines[room]);

    c->state = CONN_JOIN;
    conn_send(w, c, text, (size_t)len);
}

/* A sender has as many under way as it may. */
static void fill_window(worker_t *w, conn_t *c)
{
    while (c->state == CONN_READY && !c->stopped
           && c->under_way < w->opt->window) {
        c->under_way++;
        if (send_message(w, c) < 0) {
            c->stopped = 1;
        }
    }
}

/* --- in ------------------------------------------------------------------ */

static int64_t number_after(const char *text, size_t len, const char *what,
                            int base)
{
    size_t size = strlen(what);
    const char *at = memmem(text, len, what, size);
    char digits[24];
    size_t left;

    if (!at) {
        return -1;
    }
    at += size;
    left = len - (size_t)(at - text);
    left = left < sizeof(digits) - 1 ? left : sizeof(digits) - 1;
    memcpy(digits, at, left);
    digits[left] = '\0';
    return strtoll(digits, NULL, base);
}

static void arrived(worker_t *w, conn_t *c, int64_t number)
{
    slot_t *slot;
    share_t *share = &w->sh->shares[w->id];

    if (is_trigger(w, c) || !is_running(w)
        || (number >= 0 && number < (int64_t)w->sh->first)) {
        return;
    }
    if (number < 0 || number >= (int64_t)atomic_load(&w->sh->slots)) {
        atomic_fetch_add(&w->sh->unknown, 1);
        return;
    }
    if (w->opt->mode == MODE_BROADCAST) {
        /* one at a time: a number is never seen again */
        atomic_fetch_add(&w->sh->repeated, number < c->seq);
        c->seq = number + 1;
    }
    slot = &w->sh->slot[number];
    if (w->opt->mode == MODE_BROADCAST && share->samples < w->samples_max) {
        w->samples[share->samples++] =
            (float)((double)(w->now - slot->sent) / 1e6);
    }
    if (atomic_fetch_add(&slot->got, 1) + 1 == w->sh->receivers) {
        atomic_store(&slot->done, w->now);
    }
}

static void read_message(worker_t *w, conn_t *c, const char *text, size_t len)
{
    int64_t seq;

    if (w->opt->mode == MODE_SEND) {
        seq = number_after(text, len, "\"seq\":", 10);
        if (c->seq > 0 && seq != c->seq + 1) {
            atomic_fetch_add(&w->sh->unordered, 1);
        }
        c->seq = seq;
    }
    arrived(w, c, number_after(text, len, "\"content\":\"~", 16));
}

/* The message that broadcasts will edit is there. */
static void read_made(worker_t *w, conn_t *c, const char *text, size_t len)
{
    const char *at = memmem(text, len, "\"message\":{", 11);
    const char *end = text + len;

    at = at ? memmem(at, (size_t)(end - at), "\"id\":\"", 6) : NULL;
    if (!at || end - at < 6 + 36) {
        fault(w->sh, "no message", text, len);
        conn_end(w, c, NULL);
        return;
    }
    memcpy(w->message_id, at + 6, 36);
    conn_ready(w, c);
}

static void read_ack(worker_t *w, conn_t *c, const char *text, size_t len)
{
    int64_t number = number_after(text, len, "43", 10) - 1;

    if (!memmem(text, len < 60 ? len : 60, "\"success\":true", 14)) {
        fault(w->sh, "refused", text, len);
        atomic_fetch_add(&w->sh->nacks, 1);
        c->stopped = 1;
        if (c->state != CONN_READY) {
            conn_end(w, c, NULL);
        }
        return;
    }
    if (c->state == CONN_JOIN) {
        if (is_trigger(w, c) && w->opt->by_edit) {
            c->state = CONN_MAKE;
            send_message(w, c);
        }
        else {
            conn_ready(w, c);
        }
    }
    else if (c->state == CONN_MAKE) {
        read_made(w, c, text, len);
    }
    else if (number >= 0 && number < (int64_t)SLOTS_MAX) {
        atomic_store(&w->sh->slot[number].acked, w->now);
        c->under_way--;
        if (is_sender(w, c) && atomic_load(&w->sh->phase) == PHASE_RUN) {
            fill_window(w, c);
        }
    }
}

/* 40 or 44: the answer to CONNECT. */
static void read_connect(worker_t *w, conn_t *c, const char *text, size_t len)
{
    if (!STARTS(text, len, "40{")) {
        fault(w->sh, "not connected", text, len);
        conn_end(w, c, NULL);
    }
    else if (w->opt->mode == MODE_IDLE) {
        conn_ready(w, c);
    }
    else {
        ask_join(w, c);
    }
}

void talk_message(worker_t *w, conn_t *c, const char *text, size_t len)
{
    share_t *share = &w->sh->shares[w->id];

    if (is_running(w)) {
        share->frames++;
        share->bytes += len;
    }
    if (w->opt->raw) {
        arrived(w, c, number_after(text, len, "~", 16));
    }
    else if (STARTS(text, len, "2")) {
        atomic_fetch_add(&w->sh->pings, 1);
        conn_send(w, c, "3", 1);
    }
    else if (STARTS(text, len, "42[\"message:new\"")
             || STARTS(text, len, "42[\"message:updated\"")) {
        read_message(w, c, text, len);
    }
    else if (STARTS(text, len, "42[\"unread\"")) {
        share->unread += (unsigned)is_running(w);
    }
    else if (STARTS(text, len, "43")) {
        read_ack(w, c, text, len);
    }
    else if (c->state == CONN_ENGINE && STARTS(text, len, "0{")) {
        ask_connect(w, c);
    }
    else if (c->state == CONN_NSP && STARTS(text, len, "4")
             && !STARTS(text, len, "42")) {
        read_connect(w, c, text, len);
    }
    else if (STARTS(text, len, "1") || STARTS(text, len, "41")) {
        fault(w->sh, "sent away", text, len);
        conn_end(w, c, NULL);
    }
}

/* --- while running ------------------------------------------------------- */

static int64_t broadcast(worker_t *w, conn_t *c)
{
    return w->opt->raw       ? send_raw(w, c)
           : w->opt->by_edit ? send_edit(w, c)
                             : send_message(w, c);
}

/* The next broadcast is made when all have the last one. */
static void tick_trigger(worker_t *w, conn_t *c)
{
    const slot_t *slot = w->current < 0 ? NULL : &w->sh->slot[w->current];
    int64_t now = now_ns();

    int late = slot && !atomic_load(&slot->done);

    if (late && now - slot->sent < LATE_NS) {
        return;
    }
    if (late || w->made == w->opt->count || c->state != CONN_READY
        || c->stopped) {
        atomic_store(&w->sh->finished, 1);
    }
    else if (now >= w->due) {
        w->current = broadcast(w, c);
        w->made++;
        w->due = now + (int64_t)w->opt->interval * 1000000;
    }
}

void talk_start(worker_t *w)
{
    int i;

    for (i = 0; w->opt->mode == MODE_SEND && i < w->count; i++) {
        if (is_sender(w, &w->conns[i])) {
            fill_window(w, &w->conns[i]);
        }
    }
}

void talk_tick(worker_t *w)
{
    if (w->opt->mode == MODE_BROADCAST && w->id == 0) {
        tick_trigger(w, &w->conns[0]);
    }
}
