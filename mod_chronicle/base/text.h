/* UTF-8 text: checks, counts, trimming. No function changes its input. */
#ifndef CH_BASE_TEXT_H
#define CH_BASE_TEXT_H

#include "chronicle.h"

/* Whether the bytes are valid UTF-8 (no surrogates, no overlong forms, at
 * most U+10FFFF). */
int ch_text_valid(const char *text, size_t len);

/* Code points of valid UTF-8. */
size_t ch_text_count(const char *text, size_t len);

/* The text without leading and trailing Unicode white space (White_Space=yes:
 * tab to CR, space, U+0085, U+00A0, U+1680, U+2000..200A, U+2028, U+2029,
 * U+202F, U+205F, U+3000). */
ch_bytes_t ch_text_trim(const char *text, size_t len);

/* Whether it holds U+0001..U+001F or U+007F; with allow_breaks \t \n \r do
 * not count. */
int ch_text_has_control(const char *text, size_t len, int allow_breaks);

/* Any bytes as one line of valid UTF-8, copied into pool: in place of every
 * control character (U+0000..U+001F, U+007F..U+009F) and of every byte that is
 * no UTF-8 stands "?". */
const char *ch_text_clean(apr_pool_t *pool, const char *text, size_t len);

/* A pattern of LIKE for everything that holds text, in which no character
 * means anything but itself; NULL for NULL. */
const char *ch_text_like(apr_pool_t *pool, const char *text);
/* Bytes of the first `points` code points (all of it when shorter). */
size_t ch_text_prefix(const char *text, size_t len, size_t points);

/* If a white space character begins at text: its length in bytes, else 0. */
size_t ch_text_space_at(const char *text, size_t len);

/* Lower case of ASCII letters only, copied into pool. */
char *ch_text_ascii_lower(apr_pool_t *pool, const char *text, size_t len);

/* Whether a letter of a script that puts no blanks between words is in valid
 * UTF-8: Thai, Lao, Myanmar, Khmer, kana, Han. */
int ch_text_has_unspaced(const char *text, size_t len);

/* Whether a letter that has another case is in valid UTF-8. */
int ch_text_has_case(const char *text, size_t len);

/* Whether it has white space or control characters, U+0080..U+009F
 * included. */
int ch_text_has_blank(const char *text, size_t len);

/* Whether `word` (not empty) stands in text with no letter, digit or mark
 * before or after it. Bytes are compared: fold both first. */
int ch_text_has_word(const char *text, const char *word);

/* An e-mail address of API.md 1.4: at most 254 bytes, one @, local part 1 to
 * 64 bytes, a domain of labels with at least one dot, no white space or
 * control characters, valid UTF-8. */
int ch_text_is_email(const char *text, size_t len);

/* A name for addresses, of valid UTF-8: NFKD without combining marks, ASCII
 * letters and digits in lower case, one "-" for every other run, none at the
 * ends; at most max characters; `none` when nothing is left. In pool. */
const char *ch_text_slug(apr_pool_t *pool, const char *text, size_t max,
                         const char *none);

/* Lower case by Unicode simple case mapping (utf8proc), copied into pool. */
char *ch_text_lower(apr_pool_t *pool, const char *text, size_t len);

/* What names that differ by case or by the way their characters are written
 * have in common (NFKC with case folding), copied into pool; NULL for text
 * that is no UTF-8. */
char *ch_text_fold(apr_pool_t *pool, const char *text, size_t len);

/* An absolute http or https URL of at most 2048 bytes with a host, no white
 * space or control characters. */
int ch_text_is_url(const char *text, size_t len);

#endif
