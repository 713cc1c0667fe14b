/* Writes objects and arrays member by member, commas included, for JSON that
 * is put together by hand. */
#ifndef CH_BASE_MEMBER_H
#define CH_BASE_MEMBER_H

#include "base/buf.h"

/* A comma where one is due (after a value, not after { [ or :), then
 * "name": of the value that the caller writes. name NULL is for elements of
 * an array. */
void ch_member(ch_buf_t *buf, const char *name);

/* The same with the value. */
void ch_member_text(ch_buf_t *buf, const char *name, const char *text);
void ch_member_int(ch_buf_t *buf, const char *name, apr_int64_t value);
void ch_member_time(ch_buf_t *buf, const char *name, apr_time_t when);
void ch_member_json(ch_buf_t *buf, const char *name, const char *json);

/* "name":{ and what ends it. */
void ch_member_open(ch_buf_t *buf, const char *name);
void ch_member_close(ch_buf_t *buf);

#endif
