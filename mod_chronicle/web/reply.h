/* The answer: envelopes, rows to JSON, conditional requests. The only place
 * that writes a response. Every function returns what a handler returns: NULL
 * when the reply is set. */
#ifndef CH_WEB_REPLY_H
#define CH_WEB_REPLY_H

#include "web/request.h"

/* data:null. */
ch_err_t *ch_reply_null(ch_req_t *rq, const char *message);

/* data = row `row` of rows by the route's out table. For CH_VERSIONED routes
 * sets the ETag from the column "version" and answers 304 where asked. */
ch_err_t *ch_reply_row(ch_req_t *rq, const ch_rows_t *rows,
                       const char *message);

/* The same with another table (a route whose answers differ). */
ch_err_t *ch_reply_row_as(ch_req_t *rq, const ch_fields_t *out,
                          const ch_rows_t *rows, const char *message);

/* For an answer that is written by ch_reply_begin: sets the ETag as
 * ch_reply_row does; 1 when the client has it already and 304 is set. */
int ch_reply_not_modified(ch_req_t *rq, const ch_rows_t *rows);

/* An answer that was kept: its ETag ("" = none) and body, which may be "" when
 * only the ETag is known. 0 when that is not enough and nothing is set. */
int ch_reply_kept(ch_req_t *rq, const char *etag, ch_bytes_t body);

/* 201: as ch_reply_row, with Location: path_prefix + the column "id".
 * INVALID_TOKEN when there is no row: the account for which it was to be was
 * deleted while the request was under way. */
ch_err_t *ch_reply_created(ch_req_t *rq, const ch_rows_t *rows,
                           const char *path_prefix, const char *message);

/* Starts an answer whose data the caller writes into the buffer given, and
 * ends it. Between the two exactly one JSON value must be written. */
ch_buf_t *ch_reply_begin(ch_req_t *rq, size_t size);
ch_err_t *ch_reply_end(ch_req_t *rq, const char *message);

/* Between the two: puts what was written so far aside when it is long, so that
 * an answer of any length needs little memory. To be called after each item of
 * a list that may be long. */
ch_err_t *ch_reply_spill(ch_req_t *rq);

/* One row as a JSON object into buf, by table. */
void ch_reply_write_row(ch_buf_t *buf, const ch_fields_t *out,
                        const ch_rows_t *rows, int row);

/* The same without the brace at its end: more members may follow. */
void ch_reply_write_members(ch_buf_t *buf, const ch_fields_t *out,
                            const ch_rows_t *rows, int row);

/* How a list is cut. Fill rows from a statement that was asked for
 * ch_page_fetch() rows. */
typedef struct {
    const ch_rows_t *rows;
    const char *sort_column; /* cursor's first value; NULL = id alone */
    const char *id_column;   /* NULL = "id" */
    int no_cursor;           /* pages by number alone */
} ch_list_t;

/* Rows to ask the statement for: limit + 1 with a cursor, else limit. And the
 * offset, 0 with a cursor. */
apr_int64_t ch_page_fetch(const ch_page_in_t *page);
apr_int64_t ch_page_offset(const ch_page_in_t *page);
int ch_page_wants_total(const ch_page_in_t *page);

/* Reads the cursor given by the client: *after = 0 when there is none (first
 * page), else 1 and values[2] = sort value (NULL when it was too long to be
 * held: look it up by id) and id. VALIDATION_ERROR for a foreign one. */
ch_err_t *ch_page_open_cursor(ch_req_t *rq, const ch_page_in_t *page,
                              const char *values[2], int *after);

/* data:{items,pagination}. In page mode the total is in the column "total"
 * of every row; an empty page is one row whose id is NULL. */
ch_err_t *ch_reply_list(ch_req_t *rq, const ch_page_in_t *page,
                        const ch_list_t *list, const char *message);

/* An answer that is not enveloped: media type and bytes. */
ch_err_t *ch_reply_raw(ch_req_t *rq, int status, const char *content_type,
                       ch_buf_t *body);

/* A file of ours, public for an hour; ROUTE_NOT_FOUND when it is not there.
 * name has been checked by the caller. */
ch_err_t *ch_reply_file(ch_req_t *rq, const char *dir, const char *name);

/* A statement's column "fault" holds NULL or the name of an error code, for
 * PRECONDITION_FAILED followed by the present version ("…:5"). NULL when the
 * first row is good; `missing` when there is no row. */
ch_err_t *ch_reply_fault(ch_req_t *rq, const ch_rows_t *rows,
                         ch_code_e missing);

/* The usual end of a handler: the statement's error, else what
 * ch_reply_fault finds, else its first row. rows is not looked at when there
 * is an error. */
ch_err_t *ch_reply_found(ch_req_t *rq, ch_err_t *err, const ch_rows_t *rows,
                         ch_code_e missing, const char *message);

/* An error's code, message and details as a JSON object into buf. */
void ch_reply_write_error(ch_buf_t *buf, const ch_err_t *err);

/* Turns an error into the reply, logs its cause. Called in one place. */
void ch_reply_error(ch_req_t *rq, const ch_err_t *err);

/* The headers of every answer (API.md 1.7). */
void ch_reply_headers(ch_req_t *rq);

#endif
