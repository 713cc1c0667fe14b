/* Writes JSON into a buffer, appending only. Whoever calls puts the commas
 * and braces; these write one value each. */
#ifndef CH_BASE_JSONW_H
#define CH_BASE_JSONW_H

#include "base/buf.h"

/* A JSON string: quotes, escapes of " \ and U+0000..U+001F (short forms for
 * \b \f \n \r \t, else \u00XX); everything else byte for byte. */
void ch_jsonw_str(ch_buf_t *buf, const char *text, size_t len);

/* As above, of a C string; null for NULL. */
void ch_jsonw_cstr(ch_buf_t *buf, const char *text);

void ch_jsonw_int(ch_buf_t *buf, apr_int64_t value);
void ch_jsonw_bool(ch_buf_t *buf, int value);

/* A time as "YYYY-MM-DDTHH:MM:SS.mmmZ". */
void ch_jsonw_time(ch_buf_t *buf, apr_time_t when);

/* Postgres' text form of a timestamptz under TimeZone=UTC and DateStyle=ISO
 * ("2026-01-24 10:30:00.123456+00", fraction 0 to 6 digits or absent) as a
 * JSON string "YYYY-MM-DDTHH:MM:SS.mmmZ"; finer digits are cut. */
void ch_jsonw_pg_time(ch_buf_t *buf, const char *text, size_t len);

/* Postgres' text form of a one-dimensional text[] ({a,"b c",NULL}) as a JSON
 * array of strings. */
void ch_jsonw_pg_array(ch_buf_t *buf, const char *text, size_t len);

/* Marks in text, as statements put them in. */
#define CH_MARK_ON '\x02'   /* here begins what is marked */
#define CH_MARK_OFF '\x03'  /* here it ends */
#define CH_MARK_LESS '\x04' /* stands for <, CH_MARK_MORE for > */
#define CH_MARK_MORE '\x05'
#define CH_MARK_GAP '\x06' /* text is left out here */

/* Text with marks as a JSON string of HTML: everything is escaped, marked text
 * is between <mark> and </mark>, a gap is " \u2026 ". null when nothing is
 * marked. */
void ch_jsonw_marked(ch_buf_t *buf, const char *text, size_t len);

#endif
