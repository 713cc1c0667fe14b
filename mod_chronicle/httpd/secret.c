/* Reads secrets from where they are kept: file:, env:, exec:. */
#include <string.h>

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "httpd/config.h"

#define SECRET_MAX 8192

static char *without_newline(char *text, apr_size_t len)
{
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }
    text[len] = '\0';
    return text;
}

static const char *read_file(apr_pool_t *pool, const char *path,
                             const char **out)
{
    char *text = apr_palloc(pool, SECRET_MAX + 1);
    apr_size_t len = 0;
    apr_file_t *file;
    apr_status_t rv;
    char reason[120];

    path = ap_server_root_relative(pool, path);
    rv = apr_file_open(&file, path, APR_FOPEN_READ, 0, pool);
    if (rv == APR_SUCCESS) {
        rv = apr_file_read_full(file, text, SECRET_MAX, &len);
        apr_file_close(file);
        if (rv == APR_EOF) {
            rv = APR_SUCCESS;
        }
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "cannot read %s: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    *out = without_newline(text, len);
    return NULL;
}

static const char *run_program(apr_pool_t *pool, const char *command,
                               const char **out)
{
    char *text = apr_palloc(pool, SECRET_MAX + 1);
    apr_procattr_t *attr;
    apr_proc_t proc;
    apr_size_t len = 0;
    apr_exit_why_e why;
    char **argv;
    int code = 0;

    if (apr_tokenize_to_argv(command, &argv, pool) != APR_SUCCESS || !argv[0]
        || apr_procattr_create(&attr, pool) != APR_SUCCESS
        || apr_procattr_io_set(attr, APR_NO_PIPE, APR_FULL_BLOCK, APR_NO_PIPE)
               != APR_SUCCESS
        || apr_procattr_cmdtype_set(attr, APR_PROGRAM_ENV) != APR_SUCCESS
        || apr_proc_create(&proc, argv[0], (const char *const *)argv, NULL,
                           attr, pool)
               != APR_SUCCESS) {
        return apr_psprintf(pool, "cannot run \"%s\"", command);
    }
    apr_file_read_full(proc.out, text, SECRET_MAX, &len);
    apr_file_close(proc.out);
    apr_proc_wait(&proc, &code, &why, APR_WAIT);
    if (why != APR_PROC_EXIT || code != 0) {
        return apr_psprintf(pool, "\"%s\" failed with status %d", command,
                            code);
    }
    *out = without_newline(text, len);
    return NULL;
}

static const char *read_variable(apr_pool_t *pool, const char *name,
                                 const char **out)
{
    char *value;

    if (apr_env_get(&value, name, pool) != APR_SUCCESS) {
        return apr_psprintf(pool, "the environment has no %s", name);
    }
    *out = value;
    return NULL;
}

const char *ch_secret_read(apr_pool_t *pool, const char *text,
                           const char **out)
{
    static const struct {
        const char *prefix;
        const char *(*read)(apr_pool_t *pool, const char *rest,
                            const char **out);
    } ways[] = {
        { "file:", read_file },
        { "env:", read_variable },
        { "exec:", run_program },
    };
    const char *error = NULL;
    size_t i;

    *out = text;
    for (i = 0; i < CH_COUNT(ways); i++) {
        size_t len = strlen(ways[i].prefix);

        if (strncmp(text, ways[i].prefix, len) == 0) {
            error = ways[i].read(pool, text + len, out);
        }
    }
    return !error && !**out ? "the secret is empty" : error;
}
