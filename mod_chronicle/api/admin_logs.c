/* What administrators look at when they ask what happened: the audit log, the
 * API log, background jobs. */
#include "api/api.h"
#include "auth/auth.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/admin"

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    const char *user_id;
    const char *action;
    const char *from;
    const char *to;
    ch_page_in_t page;
} audit_query_t;

static const ch_field_t audit_query_rows[] = {
    { .name = "userId", CH_IN(audit_query_t, user_id, CH_T_UUID),
      .doc = "Only what this user did" },
    { .name = "action", CH_IN(audit_query_t, action, CH_T_STR), .min = 1,
      .max = 50, .doc = "Only this action" },
    { .name = "from", CH_IN(audit_query_t, from, CH_T_TIME),
      .doc = "Not before" },
    { .name = "to", CH_IN(audit_query_t, to, CH_T_TIME),
      .doc = "Not after" },
    CH_PAGE_ROWS(audit_query_t, page, "20"),
};

static const ch_fields_t audit_query =
    CH_FIELDS(audit_query_t, audit_query_rows);

typedef struct {
    const char *user_id;
    apr_int64_t status;
    const char *path;
    const char *from;
    const char *to;
    ch_page_in_t page;
} api_query_t;

static const ch_field_t api_query_rows[] = {
    { .name = "userId", CH_IN(api_query_t, user_id, CH_T_UUID),
      .doc = "Only requests of this user" },
    { .name = "status", CH_IN(api_query_t, status, CH_T_INT), .min = 100,
      .max = 599, .doc = "Only with this status" },
    { .name = "path", CH_IN(api_query_t, path, CH_T_STR), .min = 1,
      .max = 512, .doc = "Only paths that begin so" },
    { .name = "from", CH_IN(api_query_t, from, CH_T_TIME),
      .doc = "Not before" },
    { .name = "to", CH_IN(api_query_t, to, CH_T_TIME), .doc = "Not after" },
    CH_PAGE_ROWS(api_query_t, page, "20"),
};

static const ch_fields_t api_query = CH_FIELDS(api_query_t, api_query_rows);

static const char *const job_states[] = { "queued", "running", "completed",
                                          "failed" };

typedef struct {
    int status;
    const char *type;
    ch_page_in_t page;
} jobs_query_t;

static const ch_field_t jobs_query_rows[] = {
    { .name = "status", CH_IN(jobs_query_t, status, CH_T_ENUM),
      CH_CHOICES(job_states), .doc = "Only in this state" },
    { .name = "type", CH_IN(jobs_query_t, type, CH_T_STR), .min = 1,
      .max = 30, .doc = "Only of this type" },
    CH_PAGE_ROWS(jobs_query_t, page, "20"),
};

static const ch_fields_t jobs_query =
    CH_FIELDS(jobs_query_t, jobs_query_rows);

/* --- outputs ---------------------------------------------------------- */

static const ch_field_t audit_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "actorId", .type = CH_T_UUID, .column = "actor_id",
      .flags = CH_NULLABLE, .doc = "Who did it; null: nobody known" },
    { .name = "action", .type = CH_T_STR, .doc = "What was done" },
    { .name = "targetType", .type = CH_T_STR, .column = "target_type",
      .flags = CH_NULLABLE, .doc = "Kind of what it was done to" },
    { .name = "targetId", .type = CH_T_UUID, .column = "target_id",
      .flags = CH_NULLABLE, .doc = "What it was done to" },
    { .name = "ipAddress", .type = CH_T_IP, .column = "ip_address",
      .flags = CH_NULLABLE, .doc = "From where" },
    { .name = "requestId", .type = CH_T_STR, .column = "request_id",
      .flags = CH_NULLABLE, .doc = "Which request did it" },
    { .name = "details", .type = CH_T_OBJECT,
      .doc = "More of it, by action" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "When" },
};

static const ch_fields_t audit_out = {
    .name = "AuditEntry", .rows = audit_rows,
    .count = (int)CH_COUNT(audit_rows),
};

static const ch_field_t api_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "requestId", .type = CH_T_STR, .column = "request_id",
      .doc = "The answer's X-Request-Id" },
    { .name = "userId", .type = CH_T_UUID, .column = "user_id",
      .flags = CH_NULLABLE, .doc = "The caller, if known" },
    { .name = "method", .type = CH_T_STR, .doc = "Method" },
    { .name = "path", .type = CH_T_STR,
      .doc = "As it was sent, without query string" },
    { .name = "route", .type = CH_T_STR,
      .doc = "Template of the path; none: it led nowhere" },
    { .name = "status", .type = CH_T_INT, .doc = "Status of the answer" },
    { .name = "durationMs", .type = CH_T_INT, .column = "duration_ms",
      .doc = "From the request's arrival to its answer" },
    { .name = "ipAddress", .type = CH_T_IP, .column = "ip_address",
      .flags = CH_NULLABLE, .doc = "From where" },
    { .name = "userAgent", .type = CH_T_STR, .column = "user_agent",
      .flags = CH_NULLABLE, .doc = "What asked" },
    { .name = "errorCode", .type = CH_T_STR, .column = "error_code",
      .flags = CH_NULLABLE, .doc = "Code of an error" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "Arrival of the request" },
};

static const ch_fields_t api_out = {
    .name = "ApiLogEntry", .rows = api_rows, .count = (int)CH_COUNT(api_rows),
};

static const ch_field_t job_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "type", .type = CH_T_STR, .doc = "What it does" },
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(job_states),
      .doc = "State" },
    { .name = "attempts", .type = CH_T_INT, .doc = "Tries so far" },
    { .name = "maxAttempts", .type = CH_T_INT, .column = "max_attempts",
      .doc = "Tries before it has failed" },
    { .name = "runAt", .type = CH_T_TIME, .column = "run_at",
      .doc = "Not tried before" },
    { .name = "lastError", .type = CH_T_STR, .column = "last_error",
      .flags = CH_NULLABLE, .doc = "What the last try failed of" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "Made" },
    { .name = "finishedAt", .type = CH_T_TIME, .column = "finished_at",
      .flags = CH_NULLABLE, .doc = "Completed or failed" },
};

static const ch_fields_t job_out = {
    .name = "Job", .rows = job_rows, .count = (int)CH_COUNT(job_rows),
};

/* --- handlers --------------------------------------------------------- */

/* How the lists of this file are read: `fetch` runs the statement of a page,
 * or with a cursor the one of what is behind it. */
typedef ch_err_t *fetch_t(ch_req_t *rq, const char *const *cursor,
                          ch_rows_t **rows);

static ch_err_t *list(ch_req_t *rq, const ch_page_in_t *page, fetch_t *fetch,
                      const char *message)
{
    ch_list_t items = { .sort_column = "created_at" };
    const char *cursor[2];
    ch_rows_t *rows = NULL;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, page, cursor, &after);

    if (!err) {
        err = fetch(rq, after ? cursor : NULL, &rows);
    }
    if (err) {
        return err;
    }
    items.rows = rows;
    return ch_reply_list(rq, page, &items, message);
}

static ch_err_t *fetch_audit(ch_req_t *rq, const char *const *cursor,
                             ch_rows_t **rows)
{
    const audit_query_t *query = rq->query;
    const sql_admin_audit_page_t page = {
        .actor = query->user_id,
        .action = query->action,
        .since = query->from,
        .until = query->to,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };
    sql_admin_audit_after_t after;

    if (!cursor) {
        return sql_admin_audit_page(rq->db, &page, rows);
    }
    after = (sql_admin_audit_after_t){
        .actor = page.actor,
        .action = page.action,
        .since = page.since,
        .until = page.until,
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = page.fetch,
    };
    return sql_admin_audit_after(rq->db, &after, rows);
}

static ch_err_t *list_audit(ch_req_t *rq)
{
    const audit_query_t *query = rq->query;

    return list(rq, &query->page, fetch_audit, "Audit log");
}

static ch_err_t *fetch_api_logs(ch_req_t *rq, const char *const *cursor,
                                ch_rows_t **rows)
{
    const api_query_t *query = rq->query;
    const sql_admin_api_log_page_t page = {
        .user_id = query->user_id,
        .status = CH_QUERY_OPT(rq, api_query_t, status),
        .since = query->from,
        .until = query->to,
        .path = query->path,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };
    sql_admin_api_log_after_t after;

    if (!cursor) {
        return sql_admin_api_log_page(rq->db, &page, rows);
    }
    after = (sql_admin_api_log_after_t){
        .user_id = page.user_id,
        .status = page.status,
        .since = page.since,
        .until = page.until,
        .path = page.path,
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = page.fetch,
    };
    return sql_admin_api_log_after(rq->db, &after, rows);
}

static ch_err_t *list_api_logs(ch_req_t *rq)
{
    const api_query_t *query = rq->query;

    return list(rq, &query->page, fetch_api_logs, "API log");
}

static ch_err_t *fetch_jobs(ch_req_t *rq, const char *const *cursor,
                            ch_rows_t **rows)
{
    const jobs_query_t *query = rq->query;
    const int *status = CH_QUERY_OPT(rq, jobs_query_t, status);
    const sql_admin_job_page_t page = {
        .status = status ? job_states[*status] : NULL,
        .type = query->type,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };
    sql_admin_job_after_t after;

    if (!cursor) {
        return sql_admin_job_page(rq->db, &page, rows);
    }
    after = (sql_admin_job_after_t){
        .status = page.status,
        .type = page.type,
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = page.fetch,
    };
    return sql_admin_job_after(rq->db, &after, rows);
}

static ch_err_t *list_jobs(ch_req_t *rq)
{
    const jobs_query_t *query = rq->query;

    return list(rq, &query->page, fetch_jobs, "Jobs");
}

static ch_err_t *retry_job(ch_req_t *rq)
{
    const sql_admin_job_retry_t in = {
        .id = rq->match.param[0],
        .actor = rq->who->user_id,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_admin_job_retry(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_JOB_NOT_FOUND, "Job queued");
}

/* --- routes ----------------------------------------------------------- */

#define ADMIN_ROUTE .auth = CH_ADMIN, .rate = CH_RATE_API, .tag = "Admin"

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE "/audit-log", ADMIN_ROUTE,
      .flags = CH_LIST, .ok = 200, .query = &audit_query, .out = &audit_out,
      .handler = list_audit, .summary = "Who did what",
      .doc = "Newest first. The total counts to 1000001 at most." },
    { .method = CH_GET, .path = HERE "/api-logs", ADMIN_ROUTE,
      .flags = CH_LIST, .ok = 200, .query = &api_query, .out = &api_out,
      .handler = list_api_logs, .summary = "Requests",
      .doc = "Newest first. The total counts to 1000001 at most." },
    { .method = CH_GET, .path = HERE "/jobs", ADMIN_ROUTE, .flags = CH_LIST,
      .ok = 200, .query = &jobs_query, .out = &job_out, .handler = list_jobs,
      .summary = "Background jobs" },
    { .method = CH_POST, .path = HERE "/jobs/{id}/retry", ADMIN_ROUTE,
      .ok = 200, .out = &job_out,
      CH_ROUTE_CODES(CH_E_JOB_NOT_FOUND, CH_E_INVALID_TRANSITION),
      .handler = retry_job, .summary = "Queue a failed job anew" },
};

const ch_routes_t ch_admin_log_routes = CH_ROUTES(routes);
