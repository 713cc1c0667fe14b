/* Redis servers of a test alone, each on a unix socket in a directory of the
 * program's own; they end with the test. And a peer that says what the test
 * has written down for it. */
#ifndef CH_TESTS_REDIS_H
#define CH_TESTS_REDIS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "ch_check.h"

#include "store/redis.h"

static char redis_dir[64];
static pid_t redis_pid;

/* What all processes of a test see. */
static struct {
    int lost, back;             /* lines in the log */
    int clock_ahead_ms;         /* how far our clock is put forward */
    struct timespec stopped_at; /* tv_sec 0: it runs */
    char text[512];             /* the last line */
} * seen;

/* The clock that store/ reads. */
int clock_gettime(clockid_t which, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, which, out);

    if (which == CLOCK_MONOTONIC && seen) {
        if (seen->stopped_at.tv_sec) {
            *out = seen->stopped_at;
        }
        out->tv_sec += seen->clock_ahead_ms / 1000;
        out->tv_nsec += (seen->clock_ahead_ms % 1000) * 1000000L;
        if (out->tv_nsec >= 1000000000L) {
            out->tv_sec++;
            out->tv_nsec -= 1000000000L;
        }
    }
    return result;
}

static inline void clock_forward(int ms)
{
    seen->clock_ahead_ms += ms;
}

/* From now on only clock_forward moves it, however slow the machine is. Who
 * waits for a socket still waits as long as he should, but only once. */
static inline void clock_stop(void)
{
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &seen->stopped_at);
}

static inline void clock_run(void)
{
    seen->stopped_at.tv_sec = 0;
}

static inline void *ch_redis_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

/* --- a real one -----------------------------------------------------------
 */

/* Of this test: the server of the one before may not be gone yet. */
static inline const char *ch_redis_socket(void)
{
    static int owner;

    if (!owner) {
        owner = (int)getpid();
    }
    return apr_psprintf(pool, "%s/%d.sock", redis_dir, owner);
}

static inline void ch_redis_exec(const char *const *more)
{
    const char *argv[32] = { "redis-server", "--port", "0",
                             "--save",       "",       "--unixsocket" };
    int count = 6;
    int log;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    argv[count++] = ch_redis_socket();
    argv[count++] = "--dir";
    argv[count++] = redis_dir;
    while (*more && count < 31) {
        argv[count++] = *more++;
    }
    log = open(apr_psprintf(pool, "%s/log", redis_dir),
               O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    execvp(argv[0], (char *const *)(void *)argv);
    _exit(127);
}

static inline int ch_redis_dial(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    apr_cpystrn(un.sun_path, path, sizeof(un.sun_path));
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

/* With more arguments, up to a NULL. */
static inline void ch_redis_start_with(const char *const *more)
{
    const char *path = ch_redis_socket();
    int tries;

    redis_pid = fork();
    ck_assert_int_ge(redis_pid, 0);
    if (redis_pid == 0) {
        ch_redis_exec(more);
    }
    for (tries = 0; tries < 1000; tries++) {
        int fd = ch_redis_dial(path);

        if (fd >= 0) {
            close(fd);
            return;
        }
        ck_assert_msg(waitpid(redis_pid, NULL, WNOHANG) == 0,
                      "redis-server does not start (is it installed?)");
        usleep(10 * 1000);
    }
    ck_abort_msg("redis-server does not answer");
}

#define ch_redis_start(...)                                                   \
    ch_redis_start_with(                                                      \
        (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static inline void ch_redis_stop(void)
{
    kill(redis_pid, SIGKILL);
    waitpid(redis_pid, NULL, 0);
    unlink(ch_redis_socket());
}

/* --- a home ---------------------------------------------------------------
 */

static inline void ch_redis_note(void *ctx, char level, int number,
                                 const char *text)
{
    ck_assert_int_eq(number, level == 'e' ? 1030 : 1031);
    __atomic_fetch_add(level == 'e' ? &seen->lost : &seen->back, 1,
                       __ATOMIC_ACQ_REL);
    apr_cpystrn(seen->text, text, sizeof(seen->text));
}

static inline const ch_redis_url_t *ch_redis_parse(const char *text)
{
    const ch_redis_url_t *url = NULL;
    const char *error = ch_redis_url_parse(pool, text, &url);

    ck_assert_msg(!error, "%s: %s", text, error);
    return url;
}

/* Another child of the same server. */
static inline ch_redis_t *ch_redis_child(const char *url, int max)
{
    ch_redis_t *redis =
        ch_redis_make(pool, ch_redis_parse(url), max, ch_redis_note, NULL);

    ck_assert_ptr_nonnull(redis);
    return redis;
}

static inline void ch_redis_memory(void)
{
    seen = ch_redis_shared(sizeof(*seen));
    ch_redis_open(ch_redis_shared(ch_redis_size()));
}

static inline ch_redis_t *ch_redis_home(const char *url, int max)
{
    if (!seen) {
        ch_redis_memory();
    }
    ch_redis_claim(ch_redis_parse(url));
    return ch_redis_child(url, max);
}

static inline const char *ch_redis_url(const char *login, const char *query)
{
    return apr_pstrcat(pool, "unix://", login, ch_redis_socket(), query, NULL);
}

/* --- commands -------------------------------------------------------------
 */

/* A command of words, up to a NULL. */
static inline ch_redis_command_t ch_redis_words(const char *const *words)
{
    ch_redis_command_t command = { .repeatable = 1 };

    while (*words) {
        ch_redis_arg_text(&command, *words++);
    }
    return command;
}

#define WORDS(...) ch_redis_words((const char *const[]){ __VA_ARGS__, NULL })

/* The reply as redis-cli would have it, more or less; "-" for none. */
static inline const char *ch_redis_show(const ch_redis_reply_t *reply)
{
    const char *all = "[";
    int i;

    if (!reply) {
        return "-";
    }
    switch (reply->kind) {
    case CH_REDIS_NIL:
        return "nil";
    case CH_REDIS_INT:
        return apr_psprintf(pool, "%" APR_INT64_T_FMT, reply->number);
    case CH_REDIS_TEXT:
        return apr_pstrmemdup(pool, reply->text.data, reply->text.len);
    case CH_REDIS_ERROR:
        return apr_pstrcat(pool, "!",
                           apr_strtok(apr_pstrdup(pool, reply->text.data), " ",
                                      &(char *){ NULL }),
                           NULL);
    case CH_REDIS_ARRAY:
        break;
    }
    for (i = 0; i < reply->count; i++) {
        all = apr_pstrcat(pool, all, i ? " " : "",
                          ch_redis_show(&reply->items[i]), NULL);
    }
    return apr_pstrcat(pool, all, "]", NULL);
}

static inline const char *ch_redis_ask(ch_redis_t *redis,
                                       const ch_redis_command_t command)
{
    return ch_redis_show(ch_redis_one(redis, pool, &command));
}

#define SAYS(redis, ...) ch_redis_ask(redis, WORDS(__VA_ARGS__))
#define ck_says(redis, want, ...)                                             \
    ck_assert_str_eq(SAYS(redis, __VA_ARGS__), want)

/* Whether it takes its time, in milliseconds of the real clock. */
static inline int ch_redis_took(ch_redis_t *redis)
{
    struct timespec from, to;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &from);
    SAYS(redis, "PING");
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &to);
    return (int)((to.tv_sec - from.tv_sec) * 1000
                 + (to.tv_nsec - from.tv_nsec) / 1000000);
}

/* --- a peer of paper ------------------------------------------------------
 */

#define INFO_OK "$11\r\nrun_id:0a1b\r\n"
#define CUT NULL         /* ends the connection */
#define HANG ((char *)1) /* says nothing, ever */
#define DRIP ((char *)2) /* says a byte of a long text now and then */

/* What is said at each time that something comes; the last is repeated. After
 * what begins with "!" the connection ends. */
typedef struct {
    const char *say[8];
} ch_paper_t;

static inline void ch_paper_drip(int fd)
{
    send(fd, "$1000\r\n", 7, MSG_NOSIGNAL);
    while (send(fd, "x", 1, MSG_NOSIGNAL) == 1) {
        usleep(20 * 1000);
    }
}

static inline void ch_paper_talk(int fd, const ch_paper_t *paper)
{
    char chunk[4096];
    int turn;

    for (turn = 0; read(fd, chunk, sizeof(chunk)) > 0; turn++) {
        const char *say = paper->say[turn < 7 ? turn : 7];

        if (say == CUT) {
            break;
        }
        if (say == DRIP) {
            ch_paper_drip(fd);
        }
        else if (say != HANG) {
            int last = say[0] == '!';

            send(fd, say + last, strlen(say + last), MSG_NOSIGNAL);
            if (last) {
                break;
            }
        }
    }
    close(fd);
}

/* Serves one connection after the other, `count` papers, the last for all
 * that follow. */
static inline void ch_paper_start(const ch_paper_t *papers, int count)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int i;

    apr_cpystrn(un.sun_path, ch_redis_socket(), sizeof(un.sun_path));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    redis_pid = fork();
    if (redis_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (i = 0;; i += i < count - 1) {
            ch_paper_talk(accept(fd, NULL, NULL), &papers[i]);
        }
    }
    close(fd);
}

/* --- the program ----------------------------------------------------------
 */

static inline void ch_redis_remove_dir(void)
{
    char *const argv[] = { (char[]){ "rm" }, (char[]){ "-rf" }, redis_dir,
                           NULL };
    pid_t pid = fork();

    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

#define CH_REDIS_MAIN(name, ...)                                              \
    int main(void)                                                            \
    {                                                                         \
        const ch_test_t tests[] = { __VA_ARGS__ };                            \
        int result;                                                           \
                                                                              \
        snprintf(redis_dir, sizeof(redis_dir),                                \
                 "/tmp/chronicle-redis.XXXXXX");                              \
        if (!mkdtemp(redis_dir)) {                                            \
            return EXIT_FAILURE;                                              \
        }                                                                     \
        result = ch_check_run(name, tests, CH_COUNT(tests));                  \
        ch_redis_remove_dir();                                                \
        return result;                                                        \
    }

#endif
