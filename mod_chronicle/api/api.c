/* Lists the resources; their order is the order of the documents. */
#include "api/api.h"

const ch_routes_t *const ch_api_tables[] = {
    &ch_root_routes,       &ch_auth_routes, &ch_auth_token_routes,
    &ch_auth_mail_routes,  &ch_user_routes, &ch_folder_routes,
    &ch_note_routes,       &ch_note_version_routes,
};

const int ch_api_table_count = (int)CH_COUNT(ch_api_tables);
