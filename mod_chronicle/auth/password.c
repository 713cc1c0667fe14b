/* Password policy and bcrypt, with a gate that caps the hashes which run at
 * once; the only file that sees apr_md5.h. */
#include "auth/password.h"

#include <string.h>
#include <unistd.h>

#include <apr_md5.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "base/seal.h"
#include "base/steady.h"
#include "base/text.h"

#define SALT_LEN 16
#define HASH_SIZE 120

/* A bcrypt hash of cost 12 that no password fits on purpose: who has no
 * account waits as long as who has one. It was made of random bytes. */
#define NOBODY "$2y$12$V1J5Hv40dxK8hn4i9rsqe.DXAhCQyZFtODYTWL5S1pqnj51hODqHu"

static const char *const known_bad[] = {
    "password",  "password1",  "password123", "passw0rd",   "12345678",
    "123456789", "1234567890", "qwerty123",   "qwertyuiop", "iloveyou",
    "11111111",  "00000000",   "letmein1",    "welcome1",   "admin123",
    "abc12345",  "abcd1234",   "sunshine",    "football",   "baseball",
    "princess",  "changeme",
};

/* A hash costs a quarter of a second of a processor; without the gate a few
 * hundred logins at once would stop everything else in this child. */
static struct {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    int free_places;
    apr_interval_time_t wait;
} gate;

/* The mutex goes with its pool; without this a later call would use it. */
static apr_status_t shut(void *unused)
{
    gate.mutex = NULL;
    return APR_SUCCESS;
}

apr_status_t ch_password_init(apr_pool_t *pool, int parallel, int wait_ms)
{
    apr_thread_mutex_t *mutex;
    apr_status_t rv;

    if (parallel <= 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        parallel = processors > 0 && processors < 4096 ? (int)processors : 1;
    }
    rv = apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_thread_cond_create(&gate.cond, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    gate.free_places = parallel;
    gate.wait = apr_time_from_msec(wait_ms);
    gate.mutex = mutex;
    apr_pool_cleanup_register(pool, NULL, shut, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

/* Waits for a place among those who hash. A tool that never called init
 * needs none. */
static ch_err_t *enter(apr_pool_t *pool)
{
    apr_time_t deadline = ch_steady_now() + gate.wait;
    int entered = 1;

    if (gate.mutex == NULL) {
        return NULL;
    }
    apr_thread_mutex_lock(gate.mutex);
    while (gate.free_places == 0 && entered) {
        apr_interval_time_t left = deadline - ch_steady_now();

        /* Waking up is no promise: somebody else may have been faster. */
        entered = left > 0;
        if (entered) {
            apr_thread_cond_timedwait(gate.cond, gate.mutex, left);
        }
    }
    if (entered) {
        gate.free_places--;
    }
    apr_thread_mutex_unlock(gate.mutex);
    return entered ? NULL
                   : ch_err_cause(pool, CH_E_SERVICE_UNAVAILABLE,
                                  "too many password hashes at once");
}

static void leave(void)
{
    if (gate.mutex == NULL) {
        return;
    }
    apr_thread_mutex_lock(gate.mutex);
    gate.free_places++;
    apr_thread_cond_signal(gate.cond);
    apr_thread_mutex_unlock(gate.mutex);
}

static int is_known_bad(const char *lower)
{
    size_t i;

    for (i = 0; i < CH_COUNT(known_bad); i++) {
        if (strcmp(lower, known_bad[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether it is the address or what stands before its @. */
static int is_own_email(apr_pool_t *pool, const char *lower, const char *email)
{
    size_t len = strlen(lower);
    const char *own;

    if (email == NULL) {
        return 0;
    }
    own = ch_text_lower(pool, email, strlen(email));
    return strncmp(own, lower, len) == 0 &&
           (own[len] == '\0' || own[len] == '@');
}

void ch_password_check(apr_pool_t *pool, ch_err_t **err, const char *field,
                       const char *password, const char *email)
{
    size_t len = strlen(password);
    const char *lower;

    if (len < CH_PASSWORD_MIN) {
        ch_err_fault(pool, err, CH_D_TOO_SHORT, field,
                     "must have %d to %d bytes", CH_PASSWORD_MIN,
                     CH_PASSWORD_MAX);
        return;
    }
    if (len > CH_PASSWORD_MAX) {
        ch_err_fault(pool, err, CH_D_TOO_LONG, field,
                     "must have %d to %d bytes", CH_PASSWORD_MIN,
                     CH_PASSWORD_MAX);
        return;
    }
    lower = ch_text_lower(pool, password, len);
    if (is_known_bad(lower) || is_own_email(pool, lower, email)) {
        ch_err_fault(pool, err, CH_D_INVALID_VALUE, field,
                     "is too easy to guess");
    }
}

ch_err_t *ch_password_hash(apr_pool_t *pool, const char *password,
                           const char **out)
{
    unsigned char salt[SALT_LEN];
    char *hash = apr_palloc(pool, HASH_SIZE);
    apr_status_t rv;
    ch_err_t *err;

    *out = NULL;
    if (strlen(password) > CH_PASSWORD_MAX) {
        return ch_err_cause(pool, CH_E_INTERNAL_ERROR,
                            "a password that bcrypt would cut");
    }
    err = enter(pool);
    if (err != NULL) {
        return err;
    }
    ch_seal_random(salt, sizeof(salt));
    rv = apr_bcrypt_encode(password, CH_PASSWORD_COST, salt, sizeof(salt),
                           hash, HASH_SIZE);
    leave();
    if (rv != APR_SUCCESS) {
        return ch_err_cause(pool, CH_E_INTERNAL_ERROR, "bcrypt: %d", rv);
    }
    *out = hash;
    return NULL;
}

/* Anything else would make apr_password_validate try DES, MD5 or worse. */
static int is_bcrypt(const char *hash)
{
    return hash != NULL && strncmp(hash, "$2", 2) == 0;
}

ch_err_t *ch_password_verify(apr_pool_t *pool, const char *password,
                             const char *hash, int *good)
{
    int possible = is_bcrypt(hash) && strlen(password) <= CH_PASSWORD_MAX;
    ch_err_t *err = enter(pool);
    apr_status_t rv;

    *good = 0;
    if (err != NULL) {
        return err;
    }
    rv = apr_password_validate(password, is_bcrypt(hash) ? hash : NOBODY);
    leave();
    *good = possible && rv == APR_SUCCESS;
    return NULL;
}
