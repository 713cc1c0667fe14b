/* A worker process: its connections, one epoll, and the phases of a run. */
#include "load.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 512

/* Connection number i belongs to worker i % workers. */
static void prepare(worker_t *w)
{
    const options_t *opt = w->opt;
    char *carry;
    int i;

    w->count = (opt->total - w->id + opt->workers - 1) / opt->workers;
    w->conns = map((size_t)w->count * sizeof(conn_t), 0);
    w->buffer = map(BUFFER, 0);
    carry = map((size_t)w->count * CARRY, 0);
    for (i = 0; i < w->count; i++) {
        w->conns[i].index = i * opt->workers + w->id;
        w->conns[i].carry = carry + (size_t)i * CARRY;
    }
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->current = -1;
    if (opt->tls) {
        w->ssl = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(w->ssl, SSL_MODE_RELEASE_BUFFERS);
    }
}

static void open_more(worker_t *w)
{
    while (w->next < w->count && w->opening < w->opt->ramp
           && atomic_load(&w->sh->phase) == PHASE_OPEN) {
        conn_open(w, &w->conns[w->next++]);
    }
}

static void change(worker_t *w, int from, int to)
{
    if (from == PHASE_OPEN) {
        w->cpu_before = cpu_seconds();
        talk_start(w);
    }
    if (to == PHASE_END) {
        w->sh->shares[w->id].cpu = cpu_seconds() - w->cpu_before;
    }
}

void worker_run(worker_t *w)
{
    struct epoll_event events[EVENTS];
    int phase = PHASE_OPEN, was, n, i;

    prepare(w);
    while (phase != PHASE_END) {
        open_more(w);
        n = epoll_wait(w->epoll, events, EVENTS, phase == PHASE_RUN ? 1 : 10);
        for (i = 0; i < n; i++) {
            conn_event(w, events[i].data.ptr, events[i].events);
        }
        was = phase;
        phase = atomic_load(&w->sh->phase);
        if (was != phase) {
            change(w, was, phase);
        }
        if (phase == PHASE_RUN) {
            talk_tick(w);
        }
    }
    for (i = 0; i < w->next; i++) {
        conn_end(w, &w->conns[i], NULL);
    }
}
