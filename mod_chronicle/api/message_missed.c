/* Messages that a room's subscribers missed, for realtime. */
#include "api/api.h"
#include "api/chat.h"

#include "realtime/realtime.h"
#include "web/reply.h"

#define NOBODY "00000000-0000-0000-0000-000000000000"
#define MISSED_MAX 500

static ch_bytes_t payload(ch_req_t *rq, const ch_rows_t *rows, int row)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    CH_BUF_LIT(buf, "{\"message\":");
    ch_reply_write_row(buf, &ch_message_out, rows, row);
    ch_buf_putc(buf, '}');
    return (ch_bytes_t){ buf->data, buf->len };
}

ch_err_t *ch_message_missed(ch_req_t *rq, const char *room, apr_int64_t seq,
                            apr_int64_t *number, apr_array_header_t **out)
{
    ch_rows_t *rows;
    ch_err_t *err = sql_message_since(
        rq->db,
        &(sql_message_since_t){ .user_id = NOBODY,
                                .room_id = room,
                                .admin = 1,
                                .since = &seq,
                                .fetch = MISSED_MAX },
        &rows);
    int i;

    *out = NULL;
    if (err || !ch_rows_count(rows)) {
        return err;
    }
    *number = ch_rows_int(rows, 0, "event_seq");
    *out = apr_array_make(rq->pool, ch_rows_count(rows), sizeof(ch_missed_t));
    for (i = 0; i < ch_rows_count(rows); i++) {
        ch_missed_t *message;

        if (!ch_rows_text(rows, i, "message_id")) {
            break; /* there is none */
        }
        message = apr_array_push(*out);
        message->user = ch_rows_text(rows, i, "user_id");
        message->seq = ch_rows_int(rows, i, "seq");
        message->data = payload(rq, rows, i);
    }
    if ((*out)->nelts == MISSED_MAX) {
        *number = 0; /* what is not here has not been seen */
    }
    return NULL;
}
