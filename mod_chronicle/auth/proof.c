/* Remembers that a password fits a hash, as a MAC in one of the four places
 * that its head picks. */
#include "auth/proof.h"

#include <string.h>

#include "base/seal.h"

#define BUCKETS 1024 /* power of two */
#define WAYS 4
#define WORDS (CH_SHA256_LEN / sizeof(apr_uint64_t))

/* Words are read and written one by one: a MAC that is half of another is
 * none that a password has. */
typedef struct {
    apr_uint64_t word[WORDS];
} mac_t;

static mac_t (*table)[WAYS];
static unsigned char key[CH_SHA256_LEN];

/* The table goes with its pool. */
static apr_status_t shut(void *unused)
{
    table = NULL;
    return APR_SUCCESS;
}

void ch_proof_open(apr_pool_t *pool)
{
    ch_seal_random(key, sizeof(key));
    table = apr_pcalloc(pool, sizeof(*table) * BUCKETS);
    apr_pool_cleanup_register(pool, NULL, shut, apr_pool_cleanup_null);
}

/* The hash of the password under the process' key, then that of both: no two
 * pairs look the same, whatever bytes they have. */
static mac_t mac_of(const char *password, const char *hash)
{
    unsigned char inner[CH_SHA256_LEN], out[CH_SHA256_LEN];
    mac_t mac;

    ch_seal_hmac(key, sizeof(key), password, strlen(password), inner);
    ch_seal_hmac(inner, sizeof(inner), hash, strlen(hash), out);
    memcpy(&mac, out, sizeof(mac));
    return mac;
}

static int is_same(const mac_t *slot, const mac_t *mac)
{
    apr_uint64_t differs = 0;
    size_t i;

    for (i = 0; i < WORDS; i++) {
        differs |= __atomic_load_n(&slot->word[i], __ATOMIC_RELAXED)
                   ^ mac->word[i];
    }
    return !differs;
}

int ch_proof_has(const char *password, const char *hash)
{
    mac_t mac, *bucket;
    int i;

    if (!table) {
        return 0;
    }
    mac = mac_of(password, hash);
    bucket = table[mac.word[0] & (BUCKETS - 1)];
    for (i = 0; i < WAYS; i++) {
        if (is_same(&bucket[i], &mac)) {
            return 1;
        }
    }
    return 0;
}

/* Another part of the MAC picks who has to go. */
void ch_proof_add(const char *password, const char *hash)
{
    mac_t mac, *slot;
    size_t i;

    if (!table) {
        return;
    }
    mac = mac_of(password, hash);
    slot = &table[mac.word[0] & (BUCKETS - 1)][mac.word[1] & (WAYS - 1)];
    for (i = 0; i < WORDS; i++) {
        __atomic_store_n(&slot->word[i], mac.word[i], __ATOMIC_RELAXED);
    }
}
