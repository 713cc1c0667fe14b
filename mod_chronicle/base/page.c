/* Seals a place in a sorted list into a paging cursor and reads it back.
 * Layout before base64url: MAC 16 | per value its length + 1 (2 bytes, big
 * endian, 0 = NULL) and its bytes. */
#include "base/page.h"

#include <string.h>

#include "base/seal.h"

#define MAC_LEN 16
#define BYTES_MAX (CH_CURSOR_MAX / 4 * 3)
#define VALUES_MAX (BYTES_MAX - MAC_LEN)

/* Authenticates the binding, then the values. The NUL between the two keeps
 * them apart, since a binding can't hold one. */
static void mac_of(apr_pool_t *pool, const unsigned char *key,
                   const char *binding, const unsigned char *values,
                   size_t len, unsigned char mac[CH_SHA256_LEN])
{
    size_t head = strlen(binding) + 1;
    unsigned char *data = apr_palloc(pool, head + len);

    memcpy(data, binding, head);
    memcpy(data + head, values, len);
    ch_seal_hmac(key, CH_SHA256_LEN, data, head + len, mac);
}

/* Writes the values to out[VALUES_MAX]; 0 if they are too long. */
static int pack(const char *const *values, int count, unsigned char *out,
                size_t *out_len)
{
    size_t used = 0;
    int i;

    for (i = 0; i < count; i++) {
        size_t len = values[i] == NULL ? 0 : strlen(values[i]);
        size_t mark = values[i] == NULL ? 0 : len + 1;

        if (len > VALUES_MAX || used + 2 + len > VALUES_MAX) {
            return 0;
        }
        out[used++] = (unsigned char)(mark >> 8);
        out[used++] = (unsigned char)mark;
        if (len > 0) {
            memcpy(out + used, values[i], len);
            used += len;
        }
    }
    *out_len = used;
    return 1;
}

/* Reads exactly `count` values. The bytes are ours (the MAC said so); another
 * build may have packed them, so their form is checked all the same. */
static int unpack(apr_pool_t *pool, const unsigned char *data, size_t len,
                  const char **values, int count)
{
    size_t at = 0;
    int i;

    for (i = 0; i < count; i++) {
        size_t mark;
        char *value;

        if (len - at < 2) {
            return 0;
        }
        mark = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        if (mark == 0) {
            values[i] = NULL;
            continue;
        }
        if (mark - 1 > len - at) {
            return 0;
        }
        value = apr_palloc(pool, mark);
        memcpy(value, data + at, mark - 1);
        value[mark - 1] = '\0';
        values[i] = value;
        at += mark - 1;
    }
    return at == len;
}

const char *ch_page_seal(apr_pool_t *pool, const unsigned char *key,
                         const char *binding, const char *const *values,
                         int count)
{
    unsigned char data[BYTES_MAX];
    unsigned char mac[CH_SHA256_LEN];
    size_t len;

    if (!pack(values, count, data + MAC_LEN, &len)) {
        return NULL;
    }
    mac_of(pool, key, binding, data + MAC_LEN, len, mac);
    memcpy(data, mac, MAC_LEN);
    return ch_seal_b64url(pool, data, MAC_LEN + len);
}

int ch_page_open(apr_pool_t *pool, const unsigned char *key,
                 const char *binding, const char *cursor, const char **values,
                 int count)
{
    unsigned char mac[CH_SHA256_LEN];
    unsigned char *data;
    size_t text_len = strlen(cursor);
    size_t len;

    if (text_len > CH_CURSOR_MAX) {
        return 0;
    }
    data = ch_seal_b64url_decode(pool, cursor, text_len, &len);
    if (data == NULL || len < MAC_LEN) {
        return 0;
    }
    mac_of(pool, key, binding, data + MAC_LEN, len - MAC_LEN, mac);
    if (!ch_seal_equal(data, MAC_LEN, mac, MAC_LEN)) {
        return 0;
    }
    return unpack(pool, data + MAC_LEN, len - MAC_LEN, values, count);
}
