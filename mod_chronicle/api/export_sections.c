/* What an export holds: one row for each key of export.json. A resource that
 * comes later adds its row here. */
#include <apr_strings.h>

#include "api/account.h"
#include "api/chat.h"
#include "api/conversations.h"
#include "api/export.h"
#include "api/forms.h"
#include "api/notes.h"
#include "api/notifications.h"

#define ROWS 500         /* of a page */
#define BYTES 1048576    /* of the long columns of a page */

/* --- shapes that no endpoint has yet --------------------------------- */

static const ch_field_t attachment_rows[] = {
    { .name = "id", .type = CH_T_UUID },
    { .name = "noteId", .type = CH_T_UUID, .column = "note_id" },
    { .name = "filename", .type = CH_T_STR },
    { .name = "fileSize", .type = CH_T_INT, .column = "file_size" },
    { .name = "mimeType", .type = CH_T_STR, .column = "mime_type" },
    { .name = "sha256", .type = CH_T_STR },
    { .name = "width", .type = CH_T_INT, .flags = CH_NULLABLE },
    { .name = "height", .type = CH_T_INT, .flags = CH_NULLABLE },
    { .name = "url", .type = CH_T_STR },
    { .name = "thumbnailUrl", .type = CH_T_STR, .column = "thumbnail_url",
      .flags = CH_NULLABLE },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at" },
};

static const ch_fields_t attachment_out = {
    .rows = attachment_rows, .count = (int)CH_COUNT(attachment_rows),
};

static const ch_field_t sync_log_rows[] = {
    { .name = "id", .type = CH_T_UUID },
    { .name = "deviceId", .type = CH_T_STR, .column = "device_id",
      .flags = CH_NULLABLE },
    { .name = "action", .type = CH_T_STR },
    { .name = "notesSynced", .type = CH_T_INT, .column = "notes_synced" },
    { .name = "conflictsResolved", .type = CH_T_INT,
      .column = "conflicts_resolved" },
    { .name = "errorMessage", .type = CH_T_STR, .column = "error_message",
      .flags = CH_NULLABLE },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at" },
};

static const ch_fields_t sync_log_out = {
    .rows = sync_log_rows, .count = (int)CH_COUNT(sync_log_rows),
};

/* --- statements ------------------------------------------------------- */

static ch_err_t *fetch_user(const ch_export_t *export,
                            const ch_export_place_t *place, ch_rows_t **rows)
{
    const sql_user_get_t in = { .id = export->user_id };

    return sql_user_get(export->db, &in, rows);
}

static ch_err_t *fetch_settings(const ch_export_t *export,
                                const ch_export_place_t *place,
                                ch_rows_t **rows)
{
    const sql_export_settings_t in = { .user_id = export->user_id };

    return sql_export_settings(export->db, &in, rows);
}

static ch_err_t *fetch_sessions(const ch_export_t *export,
                                const ch_export_place_t *place,
                                ch_rows_t **rows)
{
    const sql_export_sessions_t in = { .user_id = export->user_id,
                                       .after = place->after[0],
                                       .fetch = ROWS };

    return sql_export_sessions(export->db, &in, rows);
}

static ch_err_t *fetch_folders(const ch_export_t *export,
                               const ch_export_place_t *place,
                               ch_rows_t **rows)
{
    const sql_export_folders_t in = { .user_id = export->user_id,
                                      .after = place->after[0],
                                      .fetch = ROWS };

    return sql_export_folders(export->db, &in, rows);
}

static ch_err_t *fetch_notes(const ch_export_t *export,
                             const ch_export_place_t *place,
                             ch_rows_t **rows)
{
    const sql_export_notes_t in = { .user_id = export->user_id,
                                    .ids = place->ids,
                                    .bytes = BYTES };

    return sql_export_notes(export->db, &in, rows);
}

ch_err_t *ch_export_fetch_texts(const ch_export_t *export,
                                const ch_export_place_t *place,
                                ch_rows_t **rows)
{
    const sql_export_texts_t in = { .user_id = export->user_id,
                                    .ids = place->ids,
                                    .bytes = BYTES };

    return sql_export_texts(export->db, &in, rows);
}

static ch_err_t *fetch_versions(const ch_export_t *export,
                                const ch_export_place_t *place,
                                ch_rows_t **rows)
{
    const sql_export_versions_t in = {
        .user_id = export->user_id,
        .ids = place->ids,
        .after = place->after[0] ? apr_atoi64(place->after[0]) : 0,
        .fetch = ROWS,
        .bytes = BYTES,
    };

    return sql_export_versions(export->db, &in, rows);
}

ch_err_t *ch_export_fetch_attachments(const ch_export_t *export,
                                      const ch_export_place_t *place,
                                      ch_rows_t **rows)
{
    const sql_export_attachments_t in = { .user_id = export->user_id,
                                          .ids = place->ids,
                                          .after = place->after[0],
                                          .fetch = ROWS };

    return sql_export_attachments(export->db, &in, rows);
}

static ch_err_t *fetch_conversations(const ch_export_t *export,
                                     const ch_export_place_t *place,
                                     ch_rows_t **rows)
{
    const sql_export_conversations_t in = { .user_id = export->user_id,
                                            .after = place->after[0],
                                            .messages = ROWS };

    return sql_export_conversations(export->db, &in, rows);
}

ch_err_t *ch_export_fetch_transcripts(const ch_export_t *export,
                                      const ch_export_place_t *place,
                                      ch_rows_t **rows)
{
    const sql_export_transcripts_t in = { .user_id = export->user_id,
                                          .after = place->after[0],
                                          .messages = ROWS };

    return sql_export_transcripts(export->db, &in, rows);
}

static ch_err_t *fetch_rooms(const ch_export_t *export,
                             const ch_export_place_t *place,
                             ch_rows_t **rows)
{
    const sql_export_rooms_t in = { .user_id = export->user_id,
                                    .after = place->after[0],
                                    .fetch = ROWS };

    return sql_export_rooms(export->db, &in, rows);
}

static ch_err_t *fetch_messages(const ch_export_t *export,
                                const ch_export_place_t *place,
                                ch_rows_t **rows)
{
    const sql_export_messages_t in = { .user_id = export->user_id,
                                       .after = place->after[0],
                                       .fetch = ROWS };

    return sql_export_messages(export->db, &in, rows);
}

static ch_err_t *fetch_notifications(const ch_export_t *export,
                                     const ch_export_place_t *place,
                                     ch_rows_t **rows)
{
    const sql_export_notifications_t in = { .user_id = export->user_id,
                                            .after = place->after[0],
                                            .fetch = ROWS };

    return sql_export_notifications(export->db, &in, rows);
}

static ch_err_t *fetch_sync_logs(const ch_export_t *export,
                                 const ch_export_place_t *place,
                                 ch_rows_t **rows)
{
    const sql_export_sync_logs_t in = { .user_id = export->user_id,
                                        .after_at = place->after[0],
                                        .after = place->after[1],
                                        .fetch = ROWS };

    return sql_export_sync_logs(export->db, &in, rows);
}

static ch_err_t *fetch_form(const ch_export_t *export,
                            const ch_export_place_t *place, int form,
                            ch_rows_t **rows)
{
    const sql_form_export_t in = { .user_id = export->user_id,
                                   .after = place->after[0],
                                   .fetch = ROWS,
                                   .form = form };

    return sql_form_export(export->db, &in, rows);
}

static ch_err_t *fetch_contact(const ch_export_t *export,
                               const ch_export_place_t *place,
                               ch_rows_t **rows)
{
    return fetch_form(export, place, CH_FORM_CONTACT, rows);
}

static ch_err_t *fetch_demo(const ch_export_t *export,
                            const ch_export_place_t *place, ch_rows_t **rows)
{
    return fetch_form(export, place, CH_FORM_DEMO, rows);
}

/* --- the table -------------------------------------------------------- */

const ch_export_section_t ch_export_sections[] = {
    { .key = "user", .form = CH_EXPORT_ONE, .fetch = fetch_user,
      .out = &ch_user_out },
    { .key = "settings", .form = CH_EXPORT_ONE, .fetch = fetch_settings,
      .out = &ch_settings_out },
    { .key = "sessions", .form = CH_EXPORT_LIST, .fetch = fetch_sessions,
      .out = &ch_session_out, .by = { "id" } },
    { .key = "folders", .form = CH_EXPORT_LIST, .fetch = fetch_folders,
      .out = &ch_folder_out, .by = { "id" } },
    { .key = "notes", .form = CH_EXPORT_NOTES, .fetch = fetch_notes,
      .out = &ch_note_out },
    { .key = "noteVersions", .form = CH_EXPORT_NOTES,
      .fetch = fetch_versions, .out = &ch_note_version_out,
      .by = { "version" } },
    { .key = "attachments", .form = CH_EXPORT_NOTES,
      .fetch = ch_export_fetch_attachments, .out = &attachment_out,
      .by = { "id" } },
    { .key = "conversations", .form = CH_EXPORT_LIST,
      .fetch = fetch_conversations, .out = &ch_conversation_out,
      .by = { "id" } },
    { .key = "rooms", .opens = "chat", .form = CH_EXPORT_LIST,
      .fetch = fetch_rooms, .out = &ch_room_out, .by = { "id" } },
    { .key = "messages", .closes = 1, .form = CH_EXPORT_LIST,
      .fetch = fetch_messages, .out = &ch_message_out,
      .by = { "message_id" } },
    { .key = "aiUsage", .form = CH_EXPORT_FIXED, .fixed = "[]" },
    { .key = "integrations", .form = CH_EXPORT_FIXED, .fixed = "[]" },
    { .key = "inventoryItems", .form = CH_EXPORT_FIXED, .fixed = "[]" },
    { .key = "claims", .form = CH_EXPORT_FIXED, .fixed = "[]" },
    { .key = "notifications", .form = CH_EXPORT_LIST,
      .fetch = fetch_notifications, .out = &ch_notification_out,
      .by = { "notification_id" } },
    { .key = "syncLogs", .form = CH_EXPORT_LIST, .fetch = fetch_sync_logs,
      .out = &sync_log_out, .by = { "created_at", "id" } },
    { .key = "contact", .opens = "forms", .form = CH_EXPORT_LIST,
      .fetch = fetch_contact, .out = &ch_contact_sent_out, .by = { "id" } },
    { .key = "demo", .closes = 1, .form = CH_EXPORT_LIST,
      .fetch = fetch_demo, .out = &ch_demo_sent_out, .by = { "id" } },
};

const int ch_export_section_count = (int)CH_COUNT(ch_export_sections);
