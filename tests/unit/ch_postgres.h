/* A PostgreSQL of this program alone, with the product's schema, on a unix
 * socket in a directory of its own.
 *
 * A process beside the tests, the keeper, starts it and waits: however this
 * program ends, the pipe between the two ends with it, and the keeper stops
 * the server and removes the directory. */
#ifndef CH_TESTS_POSTGRES_H
#define CH_TESTS_POSTGRES_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "ch_check.h"

#define CH_PG_OLDEST 13
#define CH_PG_STOP_SECONDS 20

static struct {
    char dir[64];
    char bin[256];
    pid_t owner;
    pid_t keeper;
    int life; /* the keeper goes when the last copy of this is closed */
    const struct passwd *user; /* the server's, NULL = our own */
    pid_t postmaster;          /* known to the keeper */
} cluster;

/* --- small tools ----------------------------------------------------------
 */

static inline void ch_pg_fail(const char *what, const char *detail)
{
    fprintf(stderr, "PostgreSQL for the tests: %s: %s\n", what, detail);
    exit(EXIT_FAILURE);
}

/* In a child: becomes the server's user if there is one, writes to the log,
 * runs. */
static inline void ch_pg_exec(char *const argv[], const struct passwd *user)
{
    char log[sizeof(cluster.dir) + 8];
    int fd;

    if (user
        && (initgroups(user->pw_name, user->pw_gid) != 0
            || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
        _exit(126);
    }
    /* only now: a change of user takes it back */
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    snprintf(log, sizeof(log), "%s/log", cluster.dir);
    fd = open(log, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd < 0 || chdir("/") != 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) {
        _exit(126);
    }
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    execvp(argv[0], argv);
    _exit(127);
}

static inline pid_t ch_pg_spawn(char *const argv[], const struct passwd *user)
{
    pid_t pid = fork();

    if (pid < 0) {
        ch_pg_fail("cannot fork", strerror(errno));
    }
    if (pid == 0) {
        ch_pg_exec(argv, user);
    }
    return pid;
}

/* Runs to the end; 1 when all was well. */
static inline int ch_pg_run(char *const argv[], const struct passwd *user)
{
    pid_t pid = ch_pg_spawn(argv, user);
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- finding it -----------------------------------------------------------
 */

/* The newest of the installed ones, where Debian and Red Hat put them. */
static inline int ch_pg_find_installed(void)
{
    static const char *const patterns[] = { "/usr/lib/postgresql/*/bin/initdb",
                                            "/usr/pgsql-*/bin/initdb" };
    long best = CH_PG_OLDEST - 1;
    size_t i, k;

    for (i = 0; i < CH_COUNT(patterns); i++) {
        glob_t found;

        if (glob(patterns[i], 0, NULL, &found) != 0) {
            continue;
        }
        for (k = 0; k < found.gl_pathc; k++) {
            const char *path = found.gl_pathv[k];
            long version = strtol(strpbrk(path, "0123456789"), NULL, 10);

            if (version > best && access(path, X_OK) == 0) {
                best = version;
                snprintf(cluster.bin, sizeof(cluster.bin), "%.*s",
                         (int)(strrchr(path, '/') - path), path);
            }
        }
        globfree(&found);
    }
    return best >= CH_PG_OLDEST;
}

/* What pg_config says, for all other places. */
static inline int ch_pg_ask_config(void)
{
    char initdb[sizeof(cluster.bin) + 8];
    ssize_t len;
    int ends[2];
    pid_t pid;

    if (pipe(ends) != 0 || (pid = fork()) < 0) {
        return 0;
    }
    if (pid == 0) {
        dup2(ends[1], 1);
        execlp("pg_config", "pg_config", "--bindir", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    len = read(ends[0], cluster.bin, sizeof(cluster.bin) - 1);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    cluster.bin[len > 0 ? len : 0] = '\0';
    cluster.bin[strcspn(cluster.bin, "\n")] = '\0';
    snprintf(initdb, sizeof(initdb), "%s/initdb", cluster.bin);
    return access(initdb, X_OK) == 0;
}

/* --- the keeper -----------------------------------------------------------
 */

static inline char *ch_pg_program(const char *name)
{
    static char path[2][sizeof(cluster.bin) + 16];
    static int turn;
    char *out = path[turn = !turn];

    snprintf(out, sizeof(path[0]), "%s/%s", cluster.bin, name);
    return out;
}

static inline void ch_pg_conninfo(char *out, size_t size, const char *dbname)
{
    snprintf(out, size, "host=%s user=tester dbname=%s connect_timeout=10",
             cluster.dir, dbname);
}

/* A connection past the code under test; the test ends without it. */
static inline PGconn *ch_pg_connect(const char *dbname)
{
    char conninfo[256];
    PGconn *pg;

    ch_pg_conninfo(conninfo, sizeof(conninfo), dbname);
    pg = PQconnectdb(conninfo);
    if (PQstatus(pg) != CONNECTION_OK) {
        PQfinish(pg);
        return NULL;
    }
    return pg;
}

/* Fast; then at once; then without asking. */
static inline void ch_pg_stop_server(void)
{
    static const int signals[] = { SIGINT, SIGQUIT, SIGKILL };
    size_t i;
    int waited;

    for (i = 0; cluster.postmaster > 0 && i < CH_COUNT(signals); i++) {
        kill(cluster.postmaster, signals[i]);
        for (waited = 0; waited < CH_PG_STOP_SECONDS * 100; waited++) {
            if (waitpid(cluster.postmaster, NULL, WNOHANG) != 0) {
                return;
            }
            usleep(10 * 1000);
        }
    }
}

/* Removes what a failed start, or an ended server, leaves. */
static inline void ch_pg_remove(void)
{
    char *const argv[] = { (char[]){ "rm" }, (char[]){ "-rf" }, cluster.dir,
                           NULL };
    pid_t pid = fork();

    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

/* The end of the server's log, then the end of the keeper. */
static inline void ch_pg_give_up(const char *what)
{
    char *const argv[] = { (char[]){ "tail" }, (char[]){ "-n" },
                           (char[]){ "20" }, (char[]){ "log" }, NULL };
    pid_t pid;

    fprintf(stderr, "PostgreSQL for the tests: %s; its log ends with\n", what);
    pid = fork();
    if (pid == 0) {
        if (chdir(cluster.dir) == 0 && dup2(2, 1) >= 0) {
            execvp(argv[0], argv);
        }
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    ch_pg_stop_server();
    ch_pg_remove();
    _exit(EXIT_FAILURE);
}

static inline void ch_pg_init(void)
{
    char data[sizeof(cluster.dir) + 8];
    char *const argv[] = {
        ch_pg_program("initdb"),  (char[]){ "-D" },     data,
        (char[]){ "-U" },         (char[]){ "tester" }, (char[]){ "-A" },
        (char[]){ "trust" },      (char[]){ "-E" },     (char[]){ "UTF8" },
        (char[]){ "--locale=C" }, (char[]){ "-N" },     NULL
    };

    snprintf(data, sizeof(data), "%s/data", cluster.dir);
    if (!ch_pg_run(argv, cluster.user)) {
        ch_pg_give_up("initdb failed");
    }
}

/* Nothing has to outlive a crash. The settings that the product must not rest
 * on are not what it wants. */
static inline void ch_pg_start_server(void)
{
    char data[sizeof(cluster.dir) + 8];
    char *const argv[] = { ch_pg_program("postgres"),
                           (char[]){ "-D" },
                           data,
                           (char[]){ "-k" },
                           cluster.dir,
                           (char[]){ "-clisten_addresses=" },
                           (char[]){ "-cfsync=off" },
                           (char[]){ "-cfull_page_writes=off" },
                           (char[]){ "-csynchronous_commit=off" },
                           (char[]){ "-cshared_buffers=16MB" },
                           (char[]){ "-cmax_connections=40" },
                           (char[]){ "-cautovacuum=off" },
                           (char[]){ "-ctimezone=America/New_York" },
                           (char[]){ "-cdatestyle=German" },
                           NULL };

    snprintf(data, sizeof(data), "%s/data", cluster.dir);
    cluster.postmaster = ch_pg_spawn(argv, cluster.user);
}

static inline void ch_pg_make_template(void)
{
    char conninfo[256], script[1024];
    const char *root = getenv("CH_TEST_SRCDIR");
    char *const argv[] = { (char[]){ "sh" }, script, (char[]){ "apply" },
                           conninfo, NULL };
    PGresult *res;
    PGconn *pg = NULL;
    int tries;

    for (tries = 0; !pg && tries < 600; tries++) {
        pg = ch_pg_connect("postgres");
        if (!pg) {
            usleep(100 * 1000);
        }
    }
    if (!pg) {
        ch_pg_give_up("it does not start");
    }
    res = PQexec(pg, "CREATE DATABASE chronicle");
    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        ch_pg_give_up("CREATE DATABASE failed");
    }
    PQclear(res);
    PQfinish(pg);
    ch_pg_conninfo(conninfo, sizeof(conninfo), "chronicle");
    snprintf(script, sizeof(script), "%s/sql/chronicle-migrate",
             root ? root : ".");
    if (!ch_pg_run(argv, NULL)) {
        ch_pg_give_up("chronicle-migrate failed");
    }
}

static inline void ch_pg_keep(int life, int ready)
{
    char byte;

    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    ch_pg_init();
    ch_pg_start_server();
    ch_pg_make_template();
    if (write(ready, "1", 1) == 1) {
        close(ready);
        while (read(life, &byte, 1) < 0 && errno == EINTR) {
        }
    }
    ch_pg_stop_server();
    ch_pg_remove();
    _exit(EXIT_SUCCESS);
}

/* --- for the tests --------------------------------------------------------
 */

static inline void ch_pg_prepare_place(void)
{
    const char *path = getenv("PATH");
    char longer[4096];

    if (!ch_pg_find_installed() && !ch_pg_ask_config()) {
        ch_pg_fail("not found", "no initdb in /usr/lib/postgresql/*/bin, and "
                                "none where pg_config points to");
    }
    snprintf(longer, sizeof(longer), "%s:%s", cluster.bin, path ? path : "");
    setenv("PATH", longer, 1);
    snprintf(cluster.dir, sizeof(cluster.dir), "/tmp/chronicle-pg.XXXXXX");
    if (!mkdtemp(cluster.dir)) {
        ch_pg_fail("no directory", strerror(errno));
    }
    if (geteuid() == 0) {
        cluster.user = getpwnam("postgres");
        if (!cluster.user
            || chown(cluster.dir, cluster.user->pw_uid, cluster.user->pw_gid)
                   != 0) {
            rmdir(cluster.dir);
            ch_pg_fail("cannot run as root", "there is no user postgres");
        }
    }
}

static inline void ch_pg_start(void)
{
    int life[2], ready[2];
    char byte;

    ch_pg_prepare_place();
    cluster.owner = getpid();
    if (pipe2(life, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0) {
        ch_pg_fail("no pipe", strerror(errno));
    }
    cluster.keeper = fork();
    if (cluster.keeper < 0) {
        ch_pg_fail("cannot fork", strerror(errno));
    }
    if (cluster.keeper == 0) {
        setsid(); /* whoever ends this program's group must not end it */
        close(life[1]);
        close(ready[0]);
        ch_pg_keep(life[0], ready[1]);
    }
    close(life[0]);
    close(ready[1]);
    cluster.life = life[1];
    if (read(ready[0], &byte, 1) != 1) {
        waitpid(cluster.keeper, NULL, 0);
        exit(EXIT_FAILURE);
    }
    close(ready[0]);
}

static inline void ch_pg_stop(void)
{
    close(cluster.life);
    waitpid(cluster.keeper, NULL, 0);
}

/* The program: as CH_SUITE_MAIN, with the server around it. */
#define CH_POSTGRES_MAIN(name, ...)                                           \
    int main(void)                                                            \
    {                                                                         \
        const ch_test_t tests[] = { __VA_ARGS__ };                            \
        int result;                                                           \
                                                                              \
        ch_pg_start();                                                        \
        result = ch_check_run(name, tests, CH_COUNT(tests));                  \
        ch_pg_stop();                                                         \
        return result;                                                        \
    }

#endif
