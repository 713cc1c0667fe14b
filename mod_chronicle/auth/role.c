/* The names of roles, and lists of them in the configuration. */
#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"

const char *const ch_role_names[CH_ROLE_ADMIN + 1] = { "user", "manager",
                                                       "admin" };

/* The index of a name, -1 for none. */
static int find(const char *name)
{
    int i;

    for (i = CH_ROLE_ADMIN; i >= 0; i--) {
        if (name && strcmp(ch_role_names[i], name) == 0) {
            break;
        }
    }
    return i;
}

ch_role_e ch_role_of(const char *name)
{
    int i = find(name);

    return i < 0 ? CH_ROLE_USER : (ch_role_e)i;
}

const char *ch_role_lowest(apr_pool_t *pool, const char *list, ch_role_e *out)
{
    char *copy = apr_pstrdup(pool, list);
    char *last;
    char *word = apr_strtok(copy, " \t", &last);
    int lowest = CH_ROLE_ADMIN;

    if (!word) {
        return "names no role: user, manager or admin";
    }
    for (; word; word = apr_strtok(NULL, " \t", &last)) {
        int role = find(word);

        if (role < 0) {
            return apr_psprintf(pool,
                                "unknown role %s: user, manager or admin",
                                word);
        }
        if (role < lowest) {
            lowest = role;
        }
    }
    *out = (ch_role_e)lowest;
    return NULL;
}
