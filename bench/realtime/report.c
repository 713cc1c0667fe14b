/* The result: one line of JSON. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds of what was measured, sorted. */
typedef struct {
    float *values;
    size_t count;
} sorted_t;

static int compare(const void *a, const void *b)
{
    float one = *(const float *)a, other = *(const float *)b;

    return one < other ? -1 : one > other;
}

static void sort(sorted_t *all)
{
    qsort(all->values, all->count, sizeof(float), compare);
}

static double at_share(const sorted_t *all, double share)
{
    size_t at = (size_t)(share * (double)all->count);

    if (all->count == 0) {
        return 0;
    }
    return (double)all->values[at < all->count ? at : all->count - 1];
}

static void print_latency(const char *name, sorted_t *all)
{
    sort(all);
    printf(",\"%s\":{\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}",
           name, at_share(all, .5), at_share(all, .95), at_share(all, .99),
           at_share(all, 1));
}

/* From sending to the last receiver. */
static float to_last(const slot_t *slot)
{
    return (float)((double)(atomic_load(&slot->done) - slot->sent) / 1e6);
}

static void print_broadcast(const options_t *opt, shared_t *sh,
                            worker_t *workers)
{
    unsigned slots = atomic_load(&sh->slots), i;
    uint64_t got = 0;
    double seconds = 0;
    sorted_t all = { 0 }, last = { 0 };
    int k;

    last.values = map((slots + 1) * sizeof(float), 0);
    for (i = sh->first; i < slots; i++) {
        got += atomic_load(&sh->slot[i].got);
        if (atomic_load(&sh->slot[i].done)) {
            last.values[last.count++] = to_last(&sh->slot[i]);
            seconds += (double)to_last(&sh->slot[i]) / 1e3;
        }
    }
    for (k = 0; k < opt->workers; k++) {
        all.count += sh->shares[k].samples;
    }
    all.values = map((all.count + 1) * sizeof(float), 0);
    for (k = 0, all.count = 0; k < opt->workers; k++) {
        memcpy(all.values + all.count, workers[k].samples,
               sh->shares[k].samples * sizeof(float));
        all.count += sh->shares[k].samples;
    }
    printf(",\"broadcasts\":%u,\"receivers\":%u,\"delivered\":%llu,"
           "\"lost\":%lld,\"deliveriesPerSecond\":%.0f",
           slots - sh->first, sh->receivers, (unsigned long long)got,
           (long long)(slots - sh->first) * sh->receivers - (long long)got,
           seconds > 0 ? (double)got / seconds : 0);
    print_latency("latency", &all);
    print_latency("last", &last);
}

static void print_send(shared_t *sh, const int64_t window[3])
{
    unsigned slots = atomic_load(&sh->slots), i, whole = 0;
    uint64_t got = 0;
    int64_t done, acked;
    sorted_t last = { 0 }, ack = { 0 };

    last.values = map((slots + 1) * sizeof(float), 0);
    ack.values = map((slots + 1) * sizeof(float), 0);
    for (i = sh->first; i < slots; i++) {
        slot_t *slot = &sh->slot[i];

        got += atomic_load(&slot->got);
        done = atomic_load(&slot->done);
        acked = atomic_load(&slot->acked);
        if (done && acked) {
            int64_t end = done > acked ? done : acked;

            whole += end >= window[1] && end < window[2];
        }
        if (done && slot->sent >= window[1] && slot->sent < window[2]) {
            last.values[last.count++] = to_last(slot);
        }
        if (acked && slot->sent >= window[1] && slot->sent < window[2]) {
            ack.values[ack.count++] =
                (float)((double)(acked - slot->sent) / 1e6);
        }
    }
    printf(",\"sent\":%u,\"receivers\":%u,\"delivered\":%llu,\"lost\":%lld,"
           "\"seconds\":%.3f,\"messagesPerSecond\":%.1f",
           slots - sh->first, sh->receivers, (unsigned long long)got,
           (long long)(slots - sh->first) * sh->receivers - (long long)got,
           (double)(window[2] - window[1]) / 1e9,
           (double)whole * 1e9 / (double)(window[2] - window[1]));
    print_latency("last", &last);
    print_latency("ack", &ack);
}

static void print_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*text < ' ' || (unsigned char)*text > '~'
                    ? ' '
                    : *text);
    }
}

void report(const options_t *opt, shared_t *sh, worker_t *workers,
            const int64_t window[3])
{
    share_t sum = { 0 };
    int k;

    for (k = 0; k < opt->workers; k++) {
        sum.cpu += sh->shares[k].cpu;
        sum.frames += sh->shares[k].frames;
        sum.bytes += sh->shares[k].bytes;
        sum.unread += sh->shares[k].unread;
    }
    printf(
        "{\"asked\":%d,\"opened\":%u,\"refused\":%u,\"dropped\":%u,"
        "\"openSeconds\":%.3f,\"pings\":%u,\"nacks\":%u,\"unordered\":%u,"
        "\"unknown\":%u,\"repeated\":%u,\"frames\":%llu,\"bytes\":%llu,\"unread\":%llu,"
        "\"clientCpu\":%.3f,\"clientWall\":%.3f",
        opt->total, atomic_load(&sh->opened), atomic_load(&sh->refused),
        atomic_load(&sh->dropped), (double)window[0] / 1e9,
        atomic_load(&sh->pings), atomic_load(&sh->nacks),
        atomic_load(&sh->unordered), atomic_load(&sh->unknown),
        atomic_load(&sh->repeated), (unsigned long long)sum.frames,
        (unsigned long long)sum.bytes, (unsigned long long)sum.unread, sum.cpu,
        (double)(window[2] - window[1]) / 1e9);
    if (opt->mode == MODE_BROADCAST) {
        print_broadcast(opt, sh, workers);
    }
    if (opt->mode == MODE_SEND) {
        print_send(sh, window);
    }
    printf(",\"fault\":\"");
    print_text(sh->fault);
    printf("\"}\n");
}
