/* Ends the connection of a statement that sleeps, while it runs. */
#ifndef CH_TESTS_KILLER_H
#define CH_TESTS_KILLER_H

#include <apr_thread_proc.h>

#include "ch_database.h"

static int killed;

/* Waits for a statement that sleeps and ends its connection. */
static inline void *APR_THREAD_FUNC kill_sleeper(apr_thread_t *thread, void *data)
{
    PGconn *pg = ch_pg_connect(database.name);
    int i;

    for (i = 0; pg && !killed && i < 1000; i++) {
        PGresult *res = PQexec(
            pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE wait_event = 'PgSleep' "
                "AND datname = current_database()");

        killed = PQntuples(res) > 0;
        PQclear(res);
        usleep(5000);
    }
    PQfinish(pg);
    return NULL;
}

static inline apr_thread_t *start_killer(void)
{
    apr_thread_t *thread;

    killed = 0;
    ck_assert_int_eq(
        apr_thread_create(&thread, NULL, kill_sleeper, NULL, pool), 0);
    return thread;
}

static inline void ck_killed(apr_thread_t *thread)
{
    apr_status_t status;

    apr_thread_join(&status, thread);
    ck_assert(killed);
}

#endif
