/* Options, workers, and the order of a run. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const usage =
    "usage: load [options] idle N | broadcast N | send ROOMS SENDERS\n"
    "  --port N         of the server on 127.0.0.1\n"
    "  --tls            wss\n"
    "  --raw            bare websocket: no Engine.IO, no tokens, no rooms\n"
    "  --path TEXT      of the upgrade\n"
    "  --tokens FILE    an access token in each line\n"
    "  --users N        how many of them are used (all)\n"
    "  --rooms FILE     the id of a room in each line; broadcast: the first\n"
    "  --members N      connections in each room, for send (100): the users\n"
    "                   of the first N tokens are those of the first room\n"
    "  --count N        broadcasts (20)\n"
    "  --interval MS    from one broadcast to the next (200)\n"
    "  --by WHAT        edit, send: what a broadcast is (edit)\n"
    "  --seconds S      idle: how long; send: how long is measured (5)\n"
    "  --warm S         send: how long before that (1)\n"
    "  --window N       messages that a sender has under way (1)\n"
    "  --size BYTES     of a message (120)\n"
    "  --workers N      processes (1)\n"
    "  --ramp N         connections being opened at a time by each (32)\n"
    "  --patience S     until all must be open (120)\n"
    "  --step           says ready and done on stderr, and each time waits\n"
    "                   for a line on stdin\n";

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double cpu_seconds(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(2);
}

void *map(size_t bytes, int shared)
{
    int flags =
        MAP_ANONYMOUS | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE);
    void *at =
        mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (at == MAP_FAILED) {
        die("mmap");
    }
    return at;
}

void fault(shared_t *sh, const char *what, const char *text, size_t len)
{
    if (atomic_exchange(&sh->fault_taken, 1) == 0) {
        snprintf(sh->fault, sizeof(sh->fault), "%s: %.*s", what,
                 (int)(len < 200 ? len : 200), text);
    }
}

/* --- options ------------------------------------------------------------- */

static lines_t read_lines(const char *path)
{
    lines_t all = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    const char *text, *end, *stop;

    if (fd < 0 || fstat(fd, &info) != 0) {
        die(path);
    }
    text = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED) {
        die(path);
    }
    close(fd);
    all.lines = map((size_t)info.st_size * sizeof(char *), 0);
    all.lengths = map((size_t)info.st_size * sizeof(int), 0);
    end = text + info.st_size;
    while (text < end
           && (stop = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        all.lines[all.count] = text;
        all.lengths[all.count++] = (int)(stop - text);
        text = stop + 1;
    }
    return all;
}

static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    errno = 0;
    if (end == text || *end || value < 0 || value > 10000000) {
        die("not a number");
    }
    return (int)value;
}

enum {
    OPT_PORT = 1,
    OPT_MEMBERS,
    OPT_COUNT,
    OPT_INTERVAL,
    OPT_SECONDS,
    OPT_WARM,
    OPT_WINDOW,
    OPT_SIZE,
    OPT_WORKERS,
    OPT_RAMP,
    OPT_PATIENCE,
    OPT_USERS,
    OPT_NUMBERS, /* those before it have one */
    OPT_TLS,
    OPT_RAW,
    OPT_STEP,
    OPT_PATH,
    OPT_TOKENS,
    OPT_ROOMS,
    OPT_BY
};

static const struct option known[] = { { "port", 1, NULL, OPT_PORT },
                                       { "members", 1, NULL, OPT_MEMBERS },
                                       { "count", 1, NULL, OPT_COUNT },
                                       { "interval", 1, NULL, OPT_INTERVAL },
                                       { "seconds", 1, NULL, OPT_SECONDS },
                                       { "warm", 1, NULL, OPT_WARM },
                                       { "window", 1, NULL, OPT_WINDOW },
                                       { "size", 1, NULL, OPT_SIZE },
                                       { "workers", 1, NULL, OPT_WORKERS },
                                       { "ramp", 1, NULL, OPT_RAMP },
                                       { "patience", 1, NULL, OPT_PATIENCE },
                                       { "users", 1, NULL, OPT_USERS },
                                       { "tls", 0, NULL, OPT_TLS },
                                       { "raw", 0, NULL, OPT_RAW },
                                       { "step", 0, NULL, OPT_STEP },
                                       { "path", 1, NULL, OPT_PATH },
                                       { "tokens", 1, NULL, OPT_TOKENS },
                                       { "rooms", 1, NULL, OPT_ROOMS },
                                       { "by", 1, NULL, OPT_BY },
                                       { NULL, 0, NULL, 0 } };

static void take_option(options_t *opt, int which, const char *value)
{
    int *const numbers[OPT_NUMBERS] = {
        NULL,           &opt->port,    &opt->members, &opt->count,
        &opt->interval, &opt->seconds, &opt->warm,    &opt->window,
        &opt->size,     &opt->workers, &opt->ramp,    &opt->patience,
        &opt->users
    };

    if (which < OPT_NUMBERS) {
        *numbers[which] = number(value);
        return;
    }
    switch (which) {
    case OPT_TLS:
        opt->tls = 1;
        break;
    case OPT_RAW:
        opt->raw = 1;
        opt->path = opt->path ? opt->path : "/";
        break;
    case OPT_STEP:
        opt->step = 1;
        break;
    case OPT_PATH:
        opt->path = value;
        break;
    case OPT_TOKENS:
        opt->tokens = read_lines(value);
        break;
    case OPT_ROOMS:
        opt->room_ids = read_lines(value);
        break;
    default:
        opt->by_edit = strcmp(value, "send") != 0;
    }
}

static void take_mode(options_t *opt, int count, char **words)
{
    errno = 0;
    if (count == 2 && strcmp(words[0], "idle") == 0) {
        opt->total = number(words[1]);
    }
    else if (count == 2 && strcmp(words[0], "broadcast") == 0) {
        opt->mode = MODE_BROADCAST;
        opt->total = number(words[1]) + 1;
    }
    else if (count == 3 && strcmp(words[0], "send") == 0) {
        opt->mode = MODE_SEND;
        opt->rooms = number(words[1]);
        opt->senders = number(words[2]);
        opt->total = opt->rooms * opt->members;
    }
    else {
        fputs(usage, stderr);
        exit(2);
    }
}

static void check(options_t *opt)
{
    errno = 0;
    if (opt->users == 0 || opt->users > opt->tokens.count) {
        opt->users = opt->tokens.count;
    }
    if (!opt->path) {
        opt->path = "/socket.io/?EIO=4&transport=websocket";
    }
    if (opt->port == 0 || opt->total == 0) {
        die("no --port, or nothing to do");
    }
    if (opt->workers < 1 || opt->workers > WORKERS_MAX) {
        die("too many --workers");
    }
    if (opt->size > CONTENT_MAX) {
        die("--size is too large");
    }
    if (!opt->raw && opt->users == 0) {
        die("no --tokens");
    }
    if (!opt->raw
        && opt->room_ids.count < (opt->mode == MODE_SEND        ? opt->rooms
                                  : opt->mode == MODE_BROADCAST ? 1
                                                                : 0)) {
        die("not enough --rooms");
    }
    if (opt->raw && opt->mode == MODE_SEND) {
        die("send is not for --raw");
    }
}

/* --- the run ------------------------------------------------------------- */

/* All that is allowed; how many connections a worker may have by it. */
static int raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 10000000 ? 10000000 : (int)limit.rlim_cur - 32;
}

static void nap(void)
{
    poll(NULL, 0, 2);
}

static double since(int64_t begin)
{
    return (double)(now_ns() - begin) / 1e9;
}

/* Says where it is, and waits for a line when it is to. */
static void step(const options_t *opt, const char *where)
{
    char c = 0;

    if (!opt->step) {
        return;
    }
    fprintf(stderr, "%s\n", where);
    while (c != '\n' && read(STDIN_FILENO, &c, 1) == 1) {
    }
}

static void wait_open(const options_t *opt, shared_t *sh)
{
    int64_t begin = now_ns();

    while (atomic_load(&sh->opened) + atomic_load(&sh->refused)
               < (unsigned)opt->total
           && since(begin) < opt->patience) {
        nap();
    }
}

/* All that was sent has arrived, or nothing arrives any more. */
static void wait_delivered(shared_t *sh)
{
    int64_t begin = now_ns();
    unsigned i = sh->first;

    while (i < atomic_load(&sh->slots) && since(begin) < 5) {
        if (atomic_load(&sh->slot[i].done)
            && atomic_load(&sh->slot[i].acked)) {
            i++;
        }
        else {
            nap();
        }
    }
}

/* window: how long opening took; from when to when it was measured. */
static void conduct(const options_t *opt, shared_t *sh, int64_t window[3])
{
    int64_t begin = now_ns();

    wait_open(opt, sh);
    window[0] = now_ns() - begin;
    step(opt, "ready");
    sh->first = atomic_load(&sh->slots);
    sh->receivers = opt->mode == MODE_SEND ? (unsigned)opt->members
                                           : atomic_load(&sh->opened) - 1;
    begin = now_ns();
    atomic_store(&sh->phase, PHASE_RUN);
    while (opt->mode == MODE_SEND && since(begin) < opt->warm) {
        nap();
    }
    window[1] = now_ns();
    while (opt->mode == MODE_BROADCAST ? !atomic_load(&sh->finished)
                                       : since(window[1]) < opt->seconds) {
        nap();
    }
    window[2] = now_ns();
    if (opt->mode == MODE_SEND) {
        atomic_store(&sh->phase, PHASE_DRAIN);
        wait_delivered(sh);
    }
    step(opt, "done");
    atomic_store(&sh->phase, PHASE_END);
}

static void start(worker_t *w, int limit)
{
    pid_t parent = getpid();

    if ((w->opt->total + w->opt->workers - 1) / w->opt->workers > limit) {
        errno = 0;
        die("RLIMIT_NOFILE is too low for so many connections in a worker");
    }
    if (w->opt->mode == MODE_BROADCAST) {
        w->samples_max = (size_t)(w->opt->total / w->opt->workers + 2)
                         * (size_t)w->opt->count;
        w->samples = map(w->samples_max * sizeof(float), 1);
    }
    switch (fork()) {
    case -1:
        die("fork");
        break;
    case 0:
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            worker_run(w);
        }
        _exit(0);
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    options_t opt = { .members = 100,
                      .count = 20,
                      .interval = 200,
                      .seconds = 5,
                      .warm = 1,
                      .window = 1,
                      .size = 120,
                      .by_edit = 1,
                      .workers = 1,
                      .ramp = 32,
                      .patience = 120 };
    worker_t workers[WORKERS_MAX] = { { 0 } };
    shared_t *sh = map(sizeof(*sh), 1);
    int64_t window[3];
    int which, i, status, bad = 0, limit = raise_limit();

    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (which == '?') {
            fputs(usage, stderr);
            return 2;
        }
        take_option(&opt, which, optarg);
    }
    take_mode(&opt, argc - optind, argv + optind);
    check(&opt);
    signal(SIGPIPE, SIG_IGN);
    for (i = 0; i < opt.workers; i++) {
        workers[i].id = i;
        workers[i].opt = &opt;
        workers[i].sh = sh;
        start(&workers[i], limit);
    }
    conduct(&opt, sh, window);
    while (wait(&status) > 0) {
        bad |= status;
    }
    report(&opt, sh, workers, window);
    return bad ? 1 : 0;
}
