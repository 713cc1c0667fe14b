/* A growable run of bytes that is born with its maximum. */
#ifndef CH_BASE_BUF_H
#define CH_BASE_BUF_H

#include "chronicle.h"

struct ch_buf_t {
    char *data; /* not NUL-terminated until ch_buf_cstr */
    size_t len;
    size_t size;
    size_t max;
    int overflow; /* something did not fit: data is not whole */
    apr_pool_t *pool;
};

/* A buffer of pool with room for `size` bytes that never passes `max`. */
ch_buf_t *ch_buf_make(apr_pool_t *pool, size_t size, size_t max);

/* A full buffer over bytes that live as long as pool. */
ch_buf_t *ch_buf_over(apr_pool_t *pool, const char *data, size_t len);

/* Makes room for `more` bytes and says where they go; NULL (and overflow)
 * when the maximum would be passed. The caller adds to len. */
char *ch_buf_room(ch_buf_t *buf, size_t more);

void ch_buf_add(ch_buf_t *buf, const void *data, size_t len);
void ch_buf_puts(ch_buf_t *buf, const char *text);
void ch_buf_putc(ch_buf_t *buf, char c);
void ch_buf_printf(ch_buf_t *buf, const char *format, ...) CH_PRINTF(2, 3);

/* The bytes as a C string, of the buffer's pool. */
const char *ch_buf_cstr(ch_buf_t *buf);

#define CH_BUF_LIT(buf, literal) ch_buf_add(buf, literal, sizeof(literal) - 1)

#endif
