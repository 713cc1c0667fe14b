/* Notifications: their wire form, and the event that tells of a new one. */
#include "api/notifications.h"

#include "realtime/publish.h"
#include "web/reply.h"

static const ch_field_t notification_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "notification_id" },
    { .name = "type", .type = CH_T_STR },
    { .name = "title", .type = CH_T_STR },
    { .name = "body", .type = CH_T_TEXT, .flags = CH_NULLABLE },
    { .name = "data", .type = CH_T_OBJECT },
    { .name = "readAt", .type = CH_T_TIME, .column = "read_at",
      .flags = CH_NULLABLE },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at" },
};

const ch_fields_t ch_notification_out = {
    .rows = notification_rows, .count = (int)CH_COUNT(notification_rows),
};

static void tell(ch_req_t *rq, const ch_rows_t *rows, int row)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    CH_BUF_LIT(buf, "{\"notification\":");
    ch_reply_write_row(buf, &ch_notification_out, rows, row);
    ch_buf_putc(buf, '}');
    ch_publish(rq, &(ch_pub_t){ .what = CH_PUB_EMIT,
                                .user = ch_rows_text(rows, row, "user_id"),
                                .event = "notification:new",
                                .data = { buf->data, buf->len } });
}

void ch_notification_tell(ch_req_t *rq, const ch_rows_t *rows)
{
    int row;

    for (row = 0; row < ch_rows_count(rows); row++) {
        if (ch_rows_text(rows, row, "notification_id")) {
            tell(rq, rows, row);
        }
    }
}
