/* Notifications: how they look, and how their users hear of new ones. */
#ifndef CH_API_NOTIFICATIONS_H
#define CH_API_NOTIFICATIONS_H

#include "store/db.h"
#include "web/request.h"

/* A row with the columns of the fragment notification_columns. */
extern const ch_fields_t ch_notification_out;

/* Notes that each row's notification is new, for the sockets of the user in
 * the column user_id. Rows without one are passed over. */
void ch_notification_tell(ch_req_t *rq, const ch_rows_t *rows);

#endif
