/* Merges by base/merge3, and by the program git, which must write the same. */
#ifndef CH_TESTS_MERGE_H
#define CH_TESTS_MERGE_H

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "ch_check.h"

#include "base/buf.h"
#include "base/merge3.h"

enum { BASE, SERVER, CLIENT, SIDES };

static inline ch_bytes_t bytes(const char *text)
{
    return (ch_bytes_t){ .data = text, .len = strlen(text) };
}

/* In blocks of their own, so that a sanitizer sees what is read behind. */
static ch_bytes_t exactly(ch_bytes_t text)
{
    return (ch_bytes_t){ .data = ch_check_copy(text.data, text.len),
                         .len = text.len };
}

static ch_bytes_t merge(const ch_bytes_t *base, ch_bytes_t server,
                        ch_bytes_t client, int *clashes)
{
    ch_bytes_t copy, out;
    ch_err_t *err;

    if (base) {
        copy = exactly(*base);
        base = &copy;
    }
    *clashes = -1;
    err = ch_merge3(pool, base, exactly(server), exactly(client), &out,
                    clashes);
    ck_assert_msg(!err, "%s", err ? err->cause : "");
    return out;
}

static inline void expect(ch_bytes_t out, ch_bytes_t want)
{
    ck_assert_msg(out.len == want.len
                      && memcmp(out.data, want.data, want.len) == 0,
                  "got %u bytes:\n%.*s\nnot %u:\n%.*s",
                  (unsigned)out.len, (int)out.len, out.data,
                  (unsigned)want.len, (int)want.len, want.data);
}

/* --- the program git -------------------------------------------------- */

/* A file without a name; git opens it by its number. */
static const char *file_of(ch_bytes_t text, int *fd)
{
    *fd = memfd_create("merge", 0);
    ck_assert_int_ge(*fd, 0);
    ck_assert_int_eq(write(*fd, text.data, text.len), text.len);
    return apr_psprintf(pool, "/proc/self/fd/%d", *fd);
}

/* No configuration of whoever runs this, and in no repository. */
static pid_t start_git(const char *const *files, int out)
{
    const char *const words[] = {
        "git", "-C", "/", "merge-file", "-p", "-L", "server", "-L", "base",
        "-L", "client", files[SERVER], files[BASE], files[CLIENT], NULL,
    };
    const char *const env[] = {
        apr_pstrcat(pool, "PATH=", getenv("PATH"), NULL),
        "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1",
        "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C", NULL,
    };
    char *argv[CH_COUNT(words)], *envp[CH_COUNT(env)];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int rv;

    memcpy(argv, words, sizeof(words)); /* they are not written to */
    memcpy(envp, env, sizeof(env));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    rv = posix_spawnp(&pid, "git", &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    ck_assert_msg(rv == 0, "the program git is needed (Debian: git): %s",
                  strerror(rv));
    return pid;
}

static ch_bytes_t read_all(int fd)
{
    ch_buf_t *buf = ch_buf_make(pool, 65536, 1 << 26);
    char block[4096];
    ssize_t len;

    while ((len = read(fd, block, sizeof(block))) > 0) {
        ch_buf_add(buf, block, (size_t)len);
    }
    ck_assert_int_eq(len, 0);
    return (ch_bytes_t){ .data = buf->data, .len = buf->len };
}

/* What git writes, and its number of clashes, which stops at 127. */
static ch_bytes_t git(const ch_bytes_t *texts, int *clashes)
{
    const char *files[SIDES];
    int fds[SIDES], ends[2], i, status;
    ch_bytes_t out;
    pid_t pid;

    for (i = 0; i < SIDES; i++) {
        files[i] = file_of(texts[i], &fds[i]);
    }
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid = start_git(files, ends[1]);
    close(ends[1]);
    out = read_all(ends[0]);
    close(ends[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= 127,
                  "git merge-file failed: %d", status);
    *clashes = WEXITSTATUS(status);
    for (i = 0; i < SIDES; i++) {
        close(fds[i]);
    }
    return out;
}

/* Ours is as git's; the answer is the number of clashes. */
static inline int expect_as_git(const ch_bytes_t *texts)
{
    int ours, theirs;
    ch_bytes_t out = merge(&texts[BASE], texts[SERVER], texts[CLIENT], &ours);

    expect(out, git(texts, &theirs));
    ck_assert_int_eq(ours < 127 ? ours : 127, theirs);
    return ours;
}

#endif
