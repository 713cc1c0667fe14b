/* What a client may say about a note and a folder when it syncs, and how they
 * are shown to it. */
#include "api/notes.h"
#include "api/sync.h"

#include <string.h>

#include <apr_strings.h>

#include "base/page.h"

#define VERSION_MAX 2147483647

/* Rows that say of what state an item speaks. */
#define ITEM_HEAD(T)                                                          \
    { .name = "id", CH_IN(T, head.id, CH_T_UUID),                             \
      .flags = CH_REQUIRED | CH_CREATE_ONLY, .doc = "Id" },                   \
    { .name = "baseVersion", CH_IN(T, head.base_version, CH_T_INT),           \
      .flags = CH_CREATE_ONLY, .max = VERSION_MAX,                            \
      .doc = "Version that the change is based on; absent or 0: new" },       \
    { .name = "updatedAt", CH_IN(T, head.updated_at, CH_T_TIME),              \
      .flags = CH_CREATE_ONLY,                                                \
      .doc = "updatedAt of what the change is based on, for clients that "    \
             "keep no version" },                                             \
    { .name = "createdAt", CH_IN(T, head.created_at, CH_T_TIME),              \
      .flags = CH_CREATE_ONLY,                                                \
      .doc = "Of new ones: when it was made, unless in the future" }

#define ITEM_TAIL(T)                                                          \
    { .name = "deletedAt", CH_IN(T, deleted_at, CH_T_TIME),                   \
      .flags = CH_NULLABLE,                                                   \
      .doc = "Any time: into the trash; null: out of it" }

static const ch_field_t note_rows[] = {
    ITEM_HEAD(ch_sync_note_t),
    { .name = "clientUpdatedAt",
      CH_IN(ch_sync_note_t, client_updated_at, CH_T_TIME),
      .flags = CH_NULLABLE, .doc = "The client's own time of the change" },
    { .name = "title", CH_IN(ch_sync_note_t, title, CH_T_STR),
      .max = CH_NOTE_TITLE_MAX,
      .doc = "Empty: \"Untitled Note\"" },
    { .name = "content", CH_IN(ch_sync_note_t, content, CH_T_BYTES),
      .flags = CH_NULLABLE, .max = CH_NOTE_CONTENT_MAX,
      .doc = "HTML, kept as it is" },
    { .name = "folderId", CH_IN(ch_sync_note_t, folder_id, CH_T_UUID),
      .flags = CH_NULLABLE,
      .doc = "Any of the user's folders, also a deleted one" },
    { .name = "tags", CH_IN(ch_sync_note_t, tags, CH_T_STRS),
      .flags = CH_UNIQUE, .max = CH_NOTE_TAGS_MAX, .item_min = 1,
      .item_max = CH_NOTE_TAG_MAX, .doc = "Repeats are dropped" },
    { .name = "isPinned", CH_IN(ch_sync_note_t, is_pinned, CH_T_BOOL),
      .doc = "Pinned" },
    { .name = "isFavorite", CH_IN(ch_sync_note_t, is_favorite, CH_T_BOOL),
      .doc = "Favourite" },
    ITEM_TAIL(ch_sync_note_t),
};

const ch_fields_t ch_sync_note_in = {
    .name = "SyncNoteItem", .rows = note_rows,
    .count = (int)CH_COUNT(note_rows), .size = sizeof(ch_sync_note_t),
};

static const ch_field_t folder_rows[] = {
    ITEM_HEAD(ch_sync_folder_t),
    { .name = "name", CH_IN(ch_sync_folder_t, name, CH_T_STR), .min = 1,
      .max = CH_FOLDER_NAME_MAX, .doc = "A new folder needs one" },
    { .name = "color", CH_IN(ch_sync_folder_t, color, CH_T_COLOR),
      .flags = CH_NULLABLE, .doc = "#RRGGBB" },
    { .name = "icon", CH_IN(ch_sync_folder_t, icon, CH_T_STR),
      .flags = CH_NULLABLE, .min = 1, .max = CH_FOLDER_ICON_MAX,
      .doc = "Name of an icon" },
    { .name = "position", CH_IN(ch_sync_folder_t, position, CH_T_INT),
      .max = CH_FOLDER_POSITION_MAX, .doc = "Place in the list" },
    ITEM_TAIL(ch_sync_folder_t),
};

const ch_fields_t ch_sync_folder_in = {
    .name = "SyncFolderItem", .rows = folder_rows,
    .count = (int)CH_COUNT(folder_rows), .size = sizeof(ch_sync_folder_t),
};

const ch_sync_kind_t ch_sync_kinds[] = {
    [CH_SYNC_NOTE] = { .name = "note", .in = &ch_sync_note_in,
                       .out = &ch_sync_note_out,
                       .missing = CH_E_NOTE_NOT_FOUND },
    [CH_SYNC_FOLDER] = { .name = "folder", .in = &ch_sync_folder_in,
                         .out = &ch_sync_folder_out,
                         .missing = CH_E_FOLDER_NOT_FOUND },
};

const char *const ch_sync_kind_names[] = {
    [CH_SYNC_NOTE] = "note",
    [CH_SYNC_FOLDER] = "folder",
};

void ch_sync_read(apr_pool_t *pool, ch_sync_kind_e kind,
                  const ch_json_t *object, unsigned skip, ch_item_t *item)
{
    item->fields = ch_sync_kinds[kind].in;
    item->skip = skip;
    if (ch_json_type(object) != CH_JSON_OBJECT) {
        ch_err_fault(pool, &item->faults, CH_D_WRONG_TYPE, NULL,
                     "must be an object");
        return;
    }
    ch_item_bind(pool, object, item);
    ch_item_require(pool, item, "field");
    if (kind == CH_SYNC_NOTE) {
        ch_sync_note_t *note = item->values;

        if (note->title && !*note->title) {
            note->title = CH_NOTE_UNTITLED;
        }
    }
}

/* --- places ------------------------------------------------------------ */

/* What guards a cursor is no secret: whoever makes one up for himself reads
 * his own notes from another place. */
static const unsigned char cursor_key[32] = "places of sync";

static const char *binding(const ch_req_t *rq)
{
    return apr_pstrcat(rq->pool, "sync\n", rq->who->user_id, NULL);
}

const char *ch_sync_cursor(const ch_req_t *rq, const char *number,
                           int unfinished)
{
    const char *values[2] = { number, unfinished ? "1" : NULL };

    return ch_page_seal(rq->pool, cursor_key, binding(rq), values, 2);
}

int ch_sync_open_cursor(const ch_req_t *rq, const char *cursor,
                        apr_int64_t *number, int *unfinished)
{
    const char *values[2];

    if (!ch_page_open(rq->pool, cursor_key, binding(rq), cursor, values, 2)
        || !values[0]) {
        return 0;
    }
    *number = apr_atoi64(values[0]);
    *unfinished = values[1] != NULL;
    return 1;
}
