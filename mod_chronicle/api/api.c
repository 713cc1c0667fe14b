/* Lists the resources, in the order of the documents, events and jobs. */
#include "api/api.h"
#include "api/export.h"
#include "api/files.h"
#include "api/import.h"
#include "api/mail.h"
#include "api/upkeep.h"

const ch_routes_t *const ch_api_tables[] = {
    &ch_root_routes,       &ch_auth_routes, &ch_auth_token_routes,
    &ch_auth_mail_routes,  &ch_user_routes, &ch_export_routes,
    &ch_account_routes,    &ch_folder_routes, &ch_note_routes,
    &ch_note_version_routes, &ch_sync_routes, &ch_search_routes,
    &ch_room_routes,       &ch_member_routes, &ch_message_search_routes,
    &ch_message_routes,    &ch_reaction_routes, &ch_message_read_routes,
    &ch_conversation_list_routes, &ch_conversation_search_routes,
    &ch_conversation_routes, &ch_conversation_read_routes,
    &ch_import_routes,
    &ch_form_routes,
    &ch_admin_routes,      &ch_admin_log_routes,
};

const int ch_api_table_count = (int)CH_COUNT(ch_api_tables);

const ch_events_t *const ch_api_events[] = { &ch_chat_events };

const int ch_api_event_count = (int)CH_COUNT(ch_api_events);

const ch_job_kind_t ch_job_kinds[] = {
    { .type = "mail", .run = ch_mail_send, .ready = ch_mail_ready },
    { .type = "trash_purge", .run = ch_upkeep_trash, .every = 86400 },
    { .type = "retention", .run = ch_upkeep_retention, .every = 3600 },
    { .type = "export", .run = ch_export_run, .ready = ch_files_ready },
    { .type = "import", .run = ch_import_run, .ready = ch_files_ready },
    { .type = "file_delete", .run = ch_files_delete,
      .ready = ch_files_ready },
};

const int ch_job_kind_count = (int)CH_COUNT(ch_job_kinds);
