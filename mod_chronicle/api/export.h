/* Inside of exports: what is written, and how it gets to the file. */
#ifndef CH_API_EXPORT_H
#define CH_API_EXPORT_H

#include "blob/blob.h"
#include "jobs/job.h"
#include "web/field.h"

/* The job: writes the file of an export. */
ch_job_fn_t ch_export_run;

/* An account that is being written down. */
typedef struct {
    ch_job_t *job;
    const char *user_id;
    apr_pool_t *page; /* cleared before each page of rows */
    ch_db_t *db;      /* of that page */

    /* ids of the notes, 32 hex digits each */
    const char *ids;
    size_t count;

    /* where the bytes go; an error ends it all */
    ch_err_t *(*give)(void *ctx, const void *data, size_t len);
    void *ctx;
} ch_export_t;

/* --- export_sections.c ------------------------------------------------- */

/* Where in a section the next page begins. */
typedef struct {
    const apr_array_header_t *ids; /* notes of the page, of const char * */
    const char *after[2]; /* key of the last row; NULL = from the start */
} ch_export_place_t;

/* How a section's rows are found. */
typedef enum {
    CH_EXPORT_ONE,   /* an object, of one row */
    CH_EXPORT_LIST,  /* an array; by[] are the columns of the key */
    CH_EXPORT_NOTES, /* an array of rows that belong to notes: the column "ord"
                      * tells to which of the page; by[0], where there is one,
                      * is the key of a row within its note */
    CH_EXPORT_FIXED  /* as it is written in the table */
} ch_export_form_e;

/* A page of rows. */
typedef ch_err_t *ch_export_fetch_t(const ch_export_t *export,
                                    const ch_export_place_t *place,
                                    ch_rows_t **rows);

/* One key of export.json. */
typedef struct {
    const char *key;
    const char *opens; /* it is the first of an object of this name, */
    int closes;        /* the last */
    ch_export_form_e form;
    ch_export_fetch_t *fetch;
    const ch_fields_t *out;
    const char *by[2];
    const char *fixed;
} ch_export_section_t;

extern const ch_export_section_t ch_export_sections[];
extern const int ch_export_section_count;

/* Rows that are files of their own in an archive: texts of notes, messages of
 * conversations, and attachments. */
ch_export_fetch_t ch_export_fetch_texts;
ch_export_fetch_t ch_export_fetch_transcripts;
ch_export_fetch_t ch_export_fetch_attachments;

/* --- export_write.c ---------------------------------------------------- */

/* Does something with a row. */
typedef ch_err_t *ch_export_row_t(ch_export_t *export, void *ctx,
                                  const ch_rows_t *rows, int row);

/* Finds out which notes there are. */
ch_err_t *ch_export_begin(ch_export_t *export);

/* Goes through all rows of a section, page by page. USER_NOT_FOUND when the
 * account is gone. */
ch_err_t *ch_export_walk(ch_export_t *export,
                         const ch_export_section_t *section,
                         ch_export_row_t *row, void *ctx);

/* Writes export.json to give. */
ch_err_t *ch_export_json(ch_export_t *export);

/* --- export_archive.c --------------------------------------------------- */

/* Writes a ZIP archive of export.json, the notes and, if wanted, the
 * attachments to out. */
ch_err_t *ch_export_archive(ch_export_t *export, ch_blob_out_t *out,
                            int attachments);

#endif
