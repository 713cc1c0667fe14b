/* Folders of notes. */
#include "api/api.h"
#include "api/notes.h"

#include "auth/auth.h"
#include "base/uuid.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/folders"

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    const char *id;
    const char *name;
    const char *color;
    const char *icon;
    apr_int64_t position;
} folder_in_t;

static const ch_field_t in_rows[] = {
    { .name = "id", CH_IN(folder_in_t, id, CH_T_UUID),
      .flags = CH_CREATE_ONLY, .doc = "Chosen by the client, else made here" },
    { .name = "name", CH_IN(folder_in_t, name, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = CH_FOLDER_NAME_MAX,
      .doc = "Unique among the live folders of an account" },
    { .name = "color", CH_IN(folder_in_t, color, CH_T_COLOR),
      .flags = CH_NULLABLE, .doc = "#RRGGBB" },
    { .name = "icon", CH_IN(folder_in_t, icon, CH_T_STR),
      .flags = CH_NULLABLE, .min = 1, .max = CH_FOLDER_ICON_MAX,
      .doc = "Name of an icon" },
    { .name = "position", CH_IN(folder_in_t, position, CH_T_INT), .min = 0,
      .max = CH_FOLDER_POSITION_MAX, .def = "0", .doc = "Place in the list" },
};

static const ch_fields_t folder_in = CH_FIELDS(folder_in_t, in_rows);

typedef struct {
    int deleted;
    ch_page_in_t page;
} list_query_t;

static const ch_field_t query_rows[] = {
    { .name = "deleted", CH_IN(list_query_t, deleted, CH_T_BOOL),
      .def = "false", .doc = "true: only deleted folders" },
    CH_PAGE_ROWS(list_query_t, page, "100"),
};

static const ch_fields_t list_query = CH_FIELDS(list_query_t, query_rows);

/* --- outputs ---------------------------------------------------------- */

#define FOLDER_HEAD                                                           \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "name", .type = CH_T_STR, .doc = "Name" },                      \
    { .name = "color", .type = CH_T_COLOR, .flags = CH_NULLABLE,              \
      .doc = "#RRGGBB" },                                                     \
    { .name = "icon", .type = CH_T_STR, .flags = CH_NULLABLE,                 \
      .doc = "Name of an icon" },                                             \
    { .name = "position", .type = CH_T_INT, .doc = "Place in the list" }

#define FOLDER_TAIL                                                           \
    { .name = "version", .type = CH_T_INT, .min = 1,                          \
      .doc = "Counts changes" },                                              \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "Made" },                                                        \
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",         \
      .doc = "Last change" },                                                 \
    { .name = "deletedAt", .type = CH_T_TIME, .column = "deleted_at",         \
      .flags = CH_NULLABLE, .doc = "Put into the trash" }

static const ch_field_t out_rows[] = {
    FOLDER_HEAD,
    { .name = "noteCount", .type = CH_T_INT, .column = "note_count",
      .doc = "Live notes in it" },
    FOLDER_TAIL,
};

const ch_fields_t ch_folder_out = {
    .name = "Folder", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

static const ch_field_t sync_rows[] = { FOLDER_HEAD, FOLDER_TAIL };

const ch_fields_t ch_sync_folder_out = {
    .name = "SyncFolder", .rows = sync_rows, .count = (int)CH_COUNT(sync_rows),
};

static const ch_field_t deleted_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "deletedAt", .type = CH_T_TIME, .column = "deleted_at",
      .doc = "Put into the trash" },
};

static const ch_fields_t deleted_out = {
    .name = "Deleted", .rows = deleted_rows,
    .count = (int)CH_COUNT(deleted_rows),
};

/* --- handlers --------------------------------------------------------- */

static ch_err_t *list_folders(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    const ch_page_in_t *page = &query->page;
    const char *cursor[2];
    ch_list_t list = { 0 };
    ch_rows_t *rows;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, page, cursor, &after);

    if (err) {
        return err;
    }
    if (after) {
        err = sql_folder_after(rq->db,
                               &(sql_folder_after_t){
                                   .user_id = rq->who->user_id,
                                   .after_id = cursor[1],
                                   .fetch = ch_page_fetch(page),
                                   .scope = query->deleted },
                               &rows);
    }
    else {
        err = sql_folder_page(rq->db,
                              &(sql_folder_page_t){
                                  .user_id = rq->who->user_id,
                                  .want_total = ch_page_wants_total(page),
                                  .fetch = ch_page_fetch(page),
                                  .skip = ch_page_offset(page),
                                  .scope = query->deleted },
                              &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, page, &list, "Your folders");
}

static ch_err_t *create_folder(ch_req_t *rq)
{
    const folder_in_t *in = rq->body;
    const sql_folder_create_t row = {
        .user_id = rq->who->user_id,
        .id = in->id ? in->id : ch_uuid_make(rq->pool),
        .name = in->name,
        .color = in->color,
        .icon = in->icon,
        .position = in->position,
    };
    ch_rows_t *rows;
    ch_err_t *err = sql_folder_create(rq->db, &row, &rows);

    if (err) {
        return err;
    }
    return ch_reply_created(rq, rows, HERE "/", "Folder created");
}

static ch_err_t *get_folder(ch_req_t *rq)
{
    const sql_folder_get_t in = { .user_id = rq->who->user_id,
                                  .id = rq->match.param[0] };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_folder_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_FOLDER_NOT_FOUND, "Folder");
}

static ch_err_t *update_folder(ch_req_t *rq)
{
    const folder_in_t *in = rq->body;
    const sql_folder_update_t row = {
        .user_id = rq->who->user_id,
        .id = rq->match.param[0],
        .match = rq->if_match,
        .name = in->name,
        .color_given = CH_GIVEN(rq, folder_in_t, color),
        .color = in->color,
        .icon_given = CH_GIVEN(rq, folder_in_t, icon),
        .icon = in->icon,
        .position = CH_OPT(rq, folder_in_t, position),
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_folder_update(rq->db, &row, &rows);

    return ch_reply_found(rq, err, rows, CH_E_FOLDER_NOT_FOUND,
                          "Folder updated");
}

static ch_err_t *delete_folder(ch_req_t *rq)
{
    const sql_folder_delete_t in = { .user_id = rq->who->user_id,
                                     .id = rq->match.param[0],
                                     .match = rq->if_match };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_folder_delete(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_FOLDER_NOT_FOUND,
                          "Folder deleted");
}

static ch_err_t *restore_folder(ch_req_t *rq)
{
    const sql_folder_restore_t in = { .user_id = rq->who->user_id,
                                      .id = rq->match.param[0],
                                      .match = rq->if_match };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_folder_restore(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_FOLDER_NOT_FOUND,
                          "Folder restored");
}

/* --- routes ----------------------------------------------------------- */

#define FOLDER_ROUTE                                                          \
    .auth = CH_USER, .rate = CH_RATE_API, .feature = CH_FEATURE_NOTES,        \
    .tag = "Folders"

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE, FOLDER_ROUTE, .flags = CH_LIST,
      .ok = 200, .query = &list_query, .out = &ch_folder_out,
      .handler = list_folders, .summary = "Folders" },
    { .method = CH_POST, .path = HERE, FOLDER_ROUTE,
      .flags = CH_IDEMPOTENT | CH_VERSIONED, .ok = 201, .body = &folder_in,
      .out = &ch_folder_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NAME_TAKEN, CH_E_CONFLICT),
      .handler = create_folder, .summary = "Make a folder" },
    { .method = CH_GET, .path = HERE "/{id}", FOLDER_ROUTE,
      .flags = CH_VERSIONED | CH_NO_304, .ok = 200, .out = &ch_folder_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NOT_FOUND), .handler = get_folder,
      .summary = "One folder" },
    { .method = CH_PUT, .path = HERE "/{id}", FOLDER_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .body = &folder_in,
      .out = &ch_folder_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NOT_FOUND, CH_E_FOLDER_NAME_TAKEN),
      .handler = update_folder, .summary = "Change a folder" },
    { .method = CH_DELETE, .path = HERE "/{id}", FOLDER_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .out = &deleted_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NOT_FOUND), .handler = delete_folder,
      .summary = "Put a folder into the trash; its notes stay" },
    { .method = CH_POST, .path = HERE "/{id}/restore", FOLDER_ROUTE,
      .flags = CH_VERSIONED, .ok = 200, .out = &ch_folder_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NOT_FOUND, CH_E_NOT_DELETED,
                     CH_E_FOLDER_NAME_TAKEN),
      .handler = restore_folder, .summary = "Take a folder out of the trash" },
};

const ch_routes_t ch_folder_routes = CH_ROUTES(routes);
