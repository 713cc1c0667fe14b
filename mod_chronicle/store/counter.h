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

/* How a run of a job ended. */
typedef enum {
    CH_JOB_COMPLETED,
    CH_JOB_RETRIED,  /* it failed and will be tried again */
    CH_JOB_FAILED,   /* it failed for good */
    CH_JOB_RETURNED, /* the server stopped meanwhile */
    CH_JOB__COUNT
} ch_job_result_e;

/* Third parties, and how a request to one ended. */
#define CH_UPSTREAMS(X) X(SMTP, "smtp")

typedef enum {
#define X(name, text) CH_UPSTREAM_##name,
    CH_UPSTREAMS(X)
#undef X
    CH_UPSTREAM__COUNT
} ch_upstream_e;

typedef enum {
    CH_UPSTREAM_2XX,
    CH_UPSTREAM_3XX,
    CH_UPSTREAM_4XX,
    CH_UPSTREAM_5XX,
    CH_UPSTREAM_TIMEOUT,
    CH_UPSTREAM_ERROR, /* no answer at all: network, TLS */
    CH_UPSTREAM_STATUS__COUNT
} ch_upstream_status_e;

/* Caches of answers (API.md 1.7). */
typedef enum {
    CH_CACHE_NONE,
    CH_CACHE_NOTES,  /* of a user */
    CH_CACHE_PUBLIC, /* of conversations, for nobody in particular */
    CH_CACHE__COUNT
} ch_cache_e;

typedef struct {
    apr_uint64_t bucket[CH_COUNTER_BUCKETS]; /* not cumulative */
    apr_uint64_t sum_usec;
} ch_histogram_t;

typedef struct {
    ch_histogram_t duration;
    apr_uint64_t status[CH_COUNTER_CODES];
} ch_route_counter_t;

typedef struct {
    ch_histogram_t duration;
    apr_uint64_t status[CH_UPSTREAM_STATUS__COUNT];
    apr_uint64_t failures; /* in a row, up to now */
    apr_time_t failed;     /* when, last */
} ch_upstream_counter_t;

typedef struct {
    ch_route_counter_t route[CH_COUNTER_ROUTES];
    ch_upstream_counter_t upstream[CH_UPSTREAM__COUNT];
    ch_histogram_t statement;
    apr_uint64_t rate_limited[CH_COUNTER_KINDS];  /* by rate class */
    apr_uint64_t auth_failures[CH_COUNTER_KINDS]; /* by ch_auth_failure_e */
    apr_uint64_t security[CH_COUNTER_KINDS];      /* by ch_security_e */
    apr_uint64_t jobs[CH_COUNTER_KINDS][CH_JOB__COUNT]; /* by kind */
    apr_uint64_t cache_hits[CH_COUNTER_KINDS];    /* by ch_cache_e */
    apr_uint64_t cache_misses[CH_COUNTER_KINDS];
    apr_int64_t jobs_queued, jobs_failed; /* as last counted */
    apr_time_t jobs_counted;
    apr_uint64_t total, errors;
    apr_uint64_t logs_lost; /* lines that a log did not take */
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
extern const char *const ch_job_result_names[CH_JOB__COUNT];
extern const char *const ch_upstream_names[CH_UPSTREAM__COUNT];
extern const char *const ch_upstream_statuses[CH_UPSTREAM_STATUS__COUNT];
extern const char *const ch_cache_names[CH_CACHE__COUNT];

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
void ch_counter_log_lost(void);

/* kind: index into ch_job_kinds; -1 does nothing. */
void ch_counter_job(int kind, ch_job_result_e result);
void ch_counter_queue(apr_int64_t queued, apr_int64_t failed);
void ch_counter_cache(ch_cache_e cache, int hit);

/* A request to a third party ended so. code: an HTTP or SMTP status. */
ch_upstream_status_e ch_counter_upstream_status(int code);
void ch_counter_upstream(ch_upstream_e upstream, ch_upstream_status_e status,
                         apr_time_t took);

/* Whether it does its work, by a try that tells. The server's start forgets
 * what was known. */
void ch_counter_upstream_mark(ch_upstream_e upstream, int up);

/* 0: it did not at the last try that told. */
int ch_counter_upstream_up(ch_upstream_e upstream);

/* Microseconds for which it is better left alone: 2 seconds after the first
 * failure, twice as long after each more in a row, at most a minute; 0 when
 * it may be tried. */
apr_time_t ch_counter_upstream_rest(ch_upstream_e upstream);

/* Puts the clock of uptimeSeconds to now; called when the server starts. */
void ch_counter_start(void);

/* A child died: what it had in flight cannot be told, so in_flight is only
 * ever shown at 0 or more. */
apr_int64_t ch_counter_in_flight(void);

#endif
