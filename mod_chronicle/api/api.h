/* Table of contents of the product: its resources and their routes. */
#ifndef CH_API_API_H
#define CH_API_API_H

#include "jobs/job.h"
#include "realtime/event.h"
#include "web/route.h"

/* All route tables, in the order of the documents. */
extern const ch_routes_t *const ch_api_tables[];
extern const int ch_api_table_count;

/* All types of jobs. */
extern const ch_job_kind_t ch_job_kinds[];
extern const int ch_job_kind_count;

/* All events of Socket.IO. */
extern const ch_events_t *const ch_api_events[];
extern const int ch_api_event_count;

/* Each resource file exports its table and nothing else. */
extern const ch_routes_t ch_root_routes;
extern const ch_routes_t ch_auth_routes;
extern const ch_routes_t ch_auth_token_routes;
extern const ch_routes_t ch_auth_mail_routes;
extern const ch_routes_t ch_user_routes;
extern const ch_routes_t ch_export_routes;
extern const ch_routes_t ch_account_routes;
extern const ch_routes_t ch_folder_routes;
extern const ch_routes_t ch_note_routes;
extern const ch_routes_t ch_note_version_routes;
extern const ch_routes_t ch_sync_routes;
extern const ch_routes_t ch_search_routes;
extern const ch_routes_t ch_room_routes;
extern const ch_routes_t ch_member_routes;
extern const ch_routes_t ch_message_routes;
extern const ch_routes_t ch_message_search_routes;
extern const ch_routes_t ch_message_read_routes;
extern const ch_routes_t ch_reaction_routes;
extern const ch_routes_t ch_conversation_routes;
extern const ch_routes_t ch_conversation_read_routes;
extern const ch_routes_t ch_conversation_list_routes;
extern const ch_routes_t ch_conversation_search_routes;
extern const ch_routes_t ch_import_routes;
extern const ch_routes_t ch_form_routes;
extern const ch_routes_t ch_admin_routes;
extern const ch_routes_t ch_admin_log_routes;

extern const ch_events_t ch_chat_events;

#endif
