/* A conversation as Markdown. */
#ifndef CH_API_TRANSCRIPT_H
#define CH_API_TRANSCRIPT_H

#include "base/buf.h"
#include "store/db.h"

/* What stands before the messages, from a row of conversation_columns
 * (sql/queries/conversations.sql); a message, from one of
 * message_page_columns. */
void ch_transcript_head(ch_buf_t *buf, const ch_rows_t *rows, int row);
void ch_transcript_message(ch_buf_t *buf, const ch_rows_t *rows, int row);

#endif
