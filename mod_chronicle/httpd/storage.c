/* The directory in which files are kept: made at start, and tried as the user
 * that the children run as. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/wait.h>

#include <grp.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include <httpd.h>
#include <http_log.h>
#include <unixd.h>

#include "blob/blob.h"
#include "httpd/server.h"

#define TRIED 77 /* exit status of a try that could not be made */

static int is_dir(apr_pool_t *pool, const char *path, apr_status_t *rv)
{
    apr_finfo_t info = { .filetype = APR_NOFILE };

    *rv = apr_stat(&info, path, APR_FINFO_TYPE, pool);
    return (*rv == APR_SUCCESS || *rv == APR_INCOMPLETE)
           && info.filetype == APR_DIR;
}

static const char *parent_of(apr_pool_t *pool, const char *path)
{
    const char *slash = ap_strrchr_c(path, '/');

    return slash && slash > path ? apr_pstrmemdup(pool, path, slash - path)
                                 : "/";
}

/* What is wrong with a place for the directory, NULL if it is there, or could
 * be made. */
static const char *fault_of_place(apr_pool_t *pool, const char *dir)
{
    apr_status_t rv;

    if (is_dir(pool, dir, &rv)) {
        return NULL;
    }
    if (rv == APR_SUCCESS) {
        return "is not a directory";
    }
    if (APR_STATUS_IS_ENOENT(rv)) {
        return is_dir(pool, parent_of(pool, dir), &rv)
                   ? NULL
                   : apr_pstrcat(pool,
                                 "cannot be made: there is no directory ",
                                 parent_of(pool, dir), NULL);
    }
    return NULL; /* who looks now may see less than who starts the server */
}

/* Tries it as the user of the children, with all of its groups. 1, or 0 and
 * errno. */
static int children_may_write(const char *dir)
{
    int status = 0;
    pid_t pid;

    if (geteuid() != 0) {
        return access(dir, R_OK | W_OK | X_OK) == 0;
    }
    pid = fork();
    if (pid == 0) {
        if (initgroups(ap_unixd_config.user_name, ap_unixd_config.group_id)
            || setgid(ap_unixd_config.group_id)
            || setuid(ap_unixd_config.user_id)) {
            _exit(TRIED);
        }
        _exit(access(dir, R_OK | W_OK | X_OK) == 0 ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        return 1; /* they will tell */
    }
    errno = EACCES;
    return !WIFEXITED(status) || WEXITSTATUS(status) != 1;
}

/* Makes the directory if it is not there, for the children alone. What is
 * there already is the admin's to give. */
static const char *make(apr_pool_t *pool, const char *dir)
{
    char reason[120];
    apr_status_t rv =
        apr_dir_make(dir, APR_UREAD | APR_UWRITE | APR_UEXECUTE, pool);

    if (rv == APR_SUCCESS && geteuid() == 0
        && chown(dir, ap_unixd_config.user_id, ap_unixd_config.group_id)
               < 0) {
        rv = errno;
    }
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EEXIST(rv)) {
        return apr_psprintf(pool, "cannot be made: %s",
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    if (!children_may_write(dir)) {
        return apr_psprintf(pool, "the user %s cannot write there (chown %s)",
                            geteuid() == 0 ? ap_unixd_config.user_name
                                           : "of this server",
                            dir);
    }
    return NULL;
}

static int refuse(server_rec *server, const char *error)
{
    const ch_settings_t *settings = ch_config_of(server);

    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, server,
                 "CH1090: ChronicleStorage fs %s: %s, for Chronicle On at %s",
                 settings->conf.storage_dir, error, settings->where);
    return HTTP_INTERNAL_SERVER_ERROR;
}

int ch_storage_check(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server;

    for (server = main_server; server; server = server->next) {
        const ch_settings_t *settings = ch_config_of(server);
        const char *error;

        if (!settings->conf.enabled || !settings->storage_dir) {
            continue; /* the default is judged at start */
        }
        error = fault_of_place(pool, settings->storage_dir);
        if (error) {
            return refuse(server, error);
        }
    }
    return OK;
}

/* A directory that was named must be usable; without one, exports and uploads
 * are off where the default cannot be had. */
int ch_storage_open(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server;

    for (server = main_server; server; server = server->next) {
        ch_settings_t *settings = ch_config_of(server);
        const char *error;

        if (!settings->conf.enabled || settings->conf.blob) {
            continue;
        }
        error = fault_of_place(pool, settings->conf.storage_dir);
        if (!error) {
            error = make(pool, settings->conf.storage_dir);
        }
        if (error && settings->storage_dir) {
            return refuse(server, error);
        }
        if (error) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                         "CH1091: no files can be kept, so exports are off: "
                         "%s %s; give ChronicleStorage fs <directory>",
                         settings->conf.storage_dir, error);
            continue;
        }
        settings->conf.blob =
            ch_blob_fs_make(pool, settings->conf.storage_dir);
    }
    return OK;
}
