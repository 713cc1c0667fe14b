/* Sends several statements of one request in one go. */
#include "store/db_pipe.h"

/* Whatever is not prepared yet, each in a round trip of its own, once per
 * connection. */
static ch_run_e prepare_all(const ch_conn_t *conn, ch_piped_t *piped,
                            int count, int *failed)
{
    ch_run_e run = RUN_DONE;
    int i;

    for (i = 0; i < count && run == RUN_DONE; i++) {
        if (!ch_conn_prepared(conn, piped[i].sql)) {
            *failed = i;
            run = ch_conn_prepare(conn, piped[i].sql, &piped[i].res);
            if (run == RUN_DONE) {
                PQclear(piped[i].res);
                piped[i].res = NULL;
            }
        }
    }
    return run;
}

static int send_all(const ch_conn_t *conn, const ch_piped_t *piped, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        if (!PQsendQueryPrepared(conn->pg, piped[i].sql->name,
                                 piped[i].sql->params, piped[i].in.values,
                                 piped[i].in.lengths, piped[i].in.formats,
                                 0)) {
            return 0;
        }
    }
    return PQpipelineSync(conn->pg);
}

/* A statement's result; what follows it up to the NULL that ends it is
 * dropped. */
static PGresult *receive(const ch_conn_t *conn)
{
    PGresult *res = PQgetResult(conn->pg);
    PGresult *end;

    while ((end = PQgetResult(conn->pg))) {
        PQclear(end);
    }
    return res;
}

/* The end of the transaction. A COMMIT that fails says so in front of the
 * synchronisation. */
static PGresult *receive_end(const ch_conn_t *conn)
{
    PGresult *res = PQgetResult(conn->pg);
    PGresult *error = NULL;

    while (res && PQresultStatus(res) != PGRES_PIPELINE_SYNC) {
        PQclear(error);
        error = res;
        while (!(res = PQgetResult(conn->pg))
               && PQstatus(conn->pg) == CONNECTION_OK) {
        }
    }
    PQclear(res);
    return error;
}

/* The server's last words come as the result of a statement, before libpq has
 * seen that the connection is gone. */
static int is_farewell(const PGresult *res)
{
    const char *severity =
        res ? PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED) : NULL;

    return severity && (*severity == 'F' || *severity == 'P');
}

static ch_run_e receive_all(const ch_conn_t *conn, ch_piped_t *piped,
                            int count, int *failed)
{
    ch_run_e run = RUN_DONE;
    PGresult *error;
    int i;

    for (i = 0; i < count; i++) {
        piped[i].res = receive(conn);
        if (run == RUN_DONE) {
            *failed = i;
            run = is_farewell(piped[i].res)
                      ? RUN_LOST
                      : ch_conn_judge(conn, piped[i].res);
        }
    }
    error = receive_end(conn);
    if (run == RUN_DONE && error) {
        PQclear(piped[count - 1].res);
        piped[count - 1].res = error;
        return ch_conn_judge(conn, error);
    }
    PQclear(error);
    return run == RUN_DONE && PQstatus(conn->pg) != CONNECTION_OK ? RUN_LOST
                                                                  : run;
}

ch_run_e ch_pipe_run(const ch_conn_t *conn, ch_piped_t *piped, int count,
                     int *failed)
{
    ch_run_e run;

    *failed = 0;
    if (!ch_conn_plan(conn, 0)) {
        return RUN_UNSENT;
    }
    run = prepare_all(conn, piped, count, failed);
    if (run != RUN_DONE) {
        return run;
    }
    if (!PQenterPipelineMode(conn->pg)) {
        return RUN_UNSENT;
    }
    run = send_all(conn, piped, count)
              ? receive_all(conn, piped, count, failed)
              : RUN_LOST;
    PQexitPipelineMode(conn->pg);
    return run;
}
