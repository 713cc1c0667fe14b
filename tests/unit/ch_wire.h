/* Children of a server that are connected by realtime/wire, for its tests. */
#ifndef CH_TESTS_WIRE_H
#define CH_TESTS_WIRE_H

#include "ch_check.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "realtime/wire.h"

static inline void *wire_memory(void)
{
    void *memory = mmap(NULL, ch_wire_size(), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static inline void open_wire(int slots)
{
    ck_assert_ptr_nonnull(ch_wire_make(pool, NULL, slots));
    ch_wire_open(wire_memory());
}

/* Open descriptors of this process. */
static inline int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count - 3; /* the two dots, and dir itself */
}

/* The next record within five seconds; the test ends without one. */
static inline ch_bytes_t next_with(int *fd)
{
    struct pollfd wait = { .fd = ch_wire_fd(), .events = POLLIN };
    ch_bytes_t bytes = { NULL, 0 };

    ck_assert_int_eq(poll(&wait, 1, 5000), 1);
    ck_assert_int_eq(ch_wire_next(pool, &bytes, fd), 1);
    return bytes;
}

static inline ch_bytes_t next(void)
{
    int fd;
    ch_bytes_t bytes = next_with(&fd);

    ck_assert_int_eq(fd, -1);
    return bytes;
}

#define ck_next(text)                                                         \
    do {                                                                      \
        const ch_bytes_t got_ = next();                                       \
                                                                              \
        ck_assert_str_eq(apr_pstrmemdup(pool, got_.data, got_.len), text);    \
    } while (0)

static inline int has_none(void)
{
    ch_bytes_t bytes;
    int fd;

    return !ch_wire_next(pool, &bytes, &fd);
}

static inline int tell(int slot, const char *text)
{
    return ch_wire_tell(slot, text, strlen(text), -1);
}

/* A child of the server: does its work in a pool of its own, and ends
 * without giving anything back unless it destroys that pool. */
static inline pid_t start_child(void (*work)(void))
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        apr_pool_create(&pool, NULL);
        work();
        _exit(0);
    }
    return pid;
}

static inline void end_child(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static inline void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Every byte tells where it is, and which record it is of. */
static inline char *pattern(size_t len, unsigned seed)
{
    char *data = apr_palloc(pool, len + 1);
    size_t i;

    for (i = 0; i < len; i++) {
        data[i] = (char)(i * 31 + i / 251 + seed);
    }
    return data;
}

#endif
