/* Grows a run of bytes inside a pool, up to a maximum it is born with. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Every block has one byte more than `size`, so that ch_buf_cstr and the NUL
 * that vsnprintf insists on never need to grow it. */
static char *block(apr_pool_t *pool, size_t size)
{
    return apr_palloc(pool, size + 1);
}

ch_buf_t *ch_buf_make(apr_pool_t *pool, size_t size, size_t max)
{
    ch_buf_t *buf = apr_pcalloc(pool, sizeof(*buf));

    buf->size = size < max ? size : max;
    buf->max = max;
    buf->pool = pool;
    buf->data = block(pool, buf->size);
    return buf;
}

ch_buf_t *ch_buf_over(apr_pool_t *pool, const char *data, size_t len)
{
    ch_buf_t *buf = apr_pcalloc(pool, sizeof(*buf));

    /* it is full: nothing is ever written through it */
    memcpy(&buf->data, &data, sizeof(data));
    buf->len = len;
    buf->size = len;
    buf->max = len;
    buf->pool = pool;
    return buf;
}

/* Doubling: the blocks that are left behind in the pool add up to no more
 * than the last one. */
static char *grow(ch_buf_t *buf, size_t need)
{
    size_t size = buf->size < 64 ? 64 : buf->size;
    char *data;

    while (size < need && size < buf->max) {
        size = size > buf->max / 2 ? buf->max : size * 2;
    }
    if (size > buf->max) {
        size = buf->max;
    }
    data = block(buf->pool, size);
    memcpy(data, buf->data, buf->len);
    buf->data = data;
    buf->size = size;
    return data + buf->len;
}

char *ch_buf_room(ch_buf_t *buf, size_t more)
{
    /* Sticky: what follows a gap must not be appended either. */
    if (buf->overflow || more > buf->max - buf->len) {
        buf->overflow = 1;
        return NULL;
    }
    if (more <= buf->size - buf->len) {
        return buf->data + buf->len;
    }
    return grow(buf, buf->len + more);
}

void ch_buf_add(ch_buf_t *buf, const void *data, size_t len)
{
    char *at = ch_buf_room(buf, len);

    if (at != NULL && len > 0) {
        memcpy(at, data, len);
        buf->len += len;
    }
}

void ch_buf_puts(ch_buf_t *buf, const char *text)
{
    ch_buf_add(buf, text, strlen(text));
}

void ch_buf_putc(ch_buf_t *buf, char c)
{
    char *at = ch_buf_room(buf, 1);

    if (at != NULL) {
        *at = c;
        buf->len++;
    }
}

void ch_buf_printf(ch_buf_t *buf, const char *format, ...)
{
    size_t room = buf->size - buf->len;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(buf->data + buf->len, room + 1, format, args);
    va_end(args);
    if (n < 0 || ch_buf_room(buf, (size_t)n) == NULL) {
        buf->overflow = 1;
        return;
    }
    if ((size_t)n > room) {
        va_start(args, format);
        n = vsnprintf(buf->data + buf->len, (size_t)n + 1, format, args);
        va_end(args);
    }
    if (n > 0) {
        buf->len += (size_t)n;
    }
}

const char *ch_buf_cstr(ch_buf_t *buf)
{
    buf->data[buf->len] = '\0';
    return buf->data;
}
