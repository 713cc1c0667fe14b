/* Counters in shared memory: what /metrics and /health/detailed tell, summed
 * over all processes of the server. Every function is lock-free and does
 * nothing before ch_counter_open. */
#ifndef CH_STORE_COUNTER_H
#define CH_STORE_COUNTER_H

#include "chronicle.h"

#define CH_COUNTER_ROUTES 256  /* told apart; the last: no route */
#define CH_COUNTER_CODES 24    /* HTTP statuses that are told apart */
#define CH_COUNTER_BUCKETS 14  /* of a duration histogram, the last +Inf */
#define CH_COUNTER_KINDS 16    /* values of a labelled counter */

typedef struct {
    apr_uint64_t bucket[CH_COUNTER_BUCKETS]; /* not cumulative */
    apr_uint64_t sum_usec;
} ch_histogram_t;

typedef struct {
    ch_histogram_t duration;
    apr_uint64_t status[CH_COUNTER_CODES];
} ch_route_counter_t;

typedef struct {
    ch_route_counter_t route[CH_COUNTER_ROUTES];
    ch_histogram_t statement;
    apr_uint64_t rate_limited[CH_COUNTER_KINDS];  /* by rate class */
    apr_uint64_t auth_failures[CH_COUNTER_KINDS]; /* by ch_auth_failure_e */
    apr_uint64_t security[CH_COUNTER_KINDS];      /* by ch_security_e */
    apr_uint64_t total, errors;
    apr_int64_t in_flight;
    apr_time_t started;
} ch_counters_t;

typedef enum {
    CH_AUTH_NO_CREDENTIAL,
    CH_AUTH_BAD_TOKEN,
    CH_AUTH_EXPIRED_TOKEN,
    CH_AUTH_BAD_LOGIN,
    CH_AUTH_REFRESH_REUSE,
    CH_AUTH_BAD_CSRF,
    CH_AUTH__COUNT
} ch_auth_failure_e;

typedef enum {
    CH_SECURITY_PATTERN,
    CH_SECURITY_ORIGIN,
    CH_SECURITY__COUNT
} ch_security_e;

extern const char *const ch_auth_failure_names[CH_AUTH__COUNT];
extern const char *const ch_security_names[CH_SECURITY__COUNT];

/* Upper bounds of the buckets in microseconds, and the statuses of the
 * status slots (the last slot is "other", 0). */
extern const apr_time_t ch_counter_bounds[CH_COUNTER_BUCKETS - 1];
extern const int ch_counter_statuses[CH_COUNTER_CODES];

/* Memory shared by all processes, zeroed when new. */
void ch_counter_open(void *memory);
size_t ch_counter_size(void);

/* NULL before open. Read it with relaxed loads. */
const ch_counters_t *ch_counter_read(void);

void ch_counter_begin(void);
void ch_counter_end(int route, int status, apr_time_t took);
void ch_counter_statement(apr_time_t took);
void ch_counter_limited(int rate_class);
void ch_counter_auth_failure(ch_auth_failure_e reason);
void ch_counter_security(ch_security_e type);

/* Puts the clock of uptimeSeconds to now; called when the server starts. */
void ch_counter_start(void);

/* A child died: what it had in flight cannot be told, so in_flight is only
 * ever shown at 0 or more. */
apr_int64_t ch_counter_in_flight(void);

#endif
