/* Makes and reads UUIDs. */
#include "base/uuid.h"

#include <string.h>

#include "base/seal.h"

/* Where the last UUID of this thread stood. The counter fills the 12 bits
 * behind the time (RFC 9562 section 6.2, method 1). */
typedef struct {
    apr_uint64_t millis;
    unsigned counter;
} last_t;

#define COUNTER_MAX 0xFFFu

static __thread last_t last;

/* Moves on to the next place: a new millisecond begins somewhere in the lower
 * half of the counter, so that there is room to count up. A clock that goes
 * back is not followed. */
static void step(apr_uint64_t now, unsigned start)
{
    if (now > last.millis) {
        last.millis = now;
        last.counter = start & (COUNTER_MAX >> 1);
    }
    else if (last.counter < COUNTER_MAX) {
        last.counter++;
    }
    else {
        last.millis++;
        last.counter = start & (COUNTER_MAX >> 1);
    }
}

const char *ch_uuid_make(apr_pool_t *pool)
{
    unsigned char bytes[16];
    char *out = apr_palloc(pool, CH_UUID_LEN + 1);
    int i;

    ch_seal_random(bytes + 6, 10);
    step((apr_uint64_t)apr_time_now() / 1000,
         (unsigned)bytes[6] << 8 | bytes[7]);
    for (i = 0; i < 6; i++) {
        bytes[i] = (unsigned char)(last.millis >> (40 - 8 * i));
    }
    bytes[6] = (unsigned char)(0x70 | last.counter >> 8);
    bytes[7] = (unsigned char)last.counter;
    bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3F));
    ch_uuid_text(bytes, out);
    return out;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int ch_uuid_parse(const char *text, size_t len, char *out)
{
    char lower[CH_UUID_LEN + 1];
    size_t i;

    if (len != CH_UUID_LEN) {
        return 0;
    }
    for (i = 0; i < CH_UUID_LEN; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            lower[i] = '-';
            if (text[i] != '-') {
                return 0;
            }
            continue;
        }
        if (hex_of(text[i]) < 0) {
            return 0;
        }
        lower[i] = "0123456789abcdef"[hex_of(text[i])];
    }
    lower[CH_UUID_LEN] = '\0';
    if (out != NULL) {
        memcpy(out, lower, sizeof(lower));
    }
    return 1;
}

int ch_uuid_bytes(const char *text, unsigned char out[16])
{
    int i;

    if (!ch_uuid_parse(text, strlen(text), NULL)) {
        return 0;
    }
    for (i = 0; i < 16; i++) {
        text += *text == '-';
        out[i] = (unsigned char)(hex_of(text[0]) << 4 | hex_of(text[1]));
        text += 2;
    }
    return 1;
}

void ch_uuid_text(const unsigned char bytes[16], char out[CH_UUID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    int i;

    for (i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *out++ = '-';
        }
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
    *out = '\0';
}

void ch_uuid_push(apr_array_header_t *texts, const unsigned char bytes[16])
{
    char *text = apr_palloc(texts->pool, CH_UUID_LEN + 1);

    ch_uuid_text(bytes, text);
    APR_ARRAY_PUSH(texts, const char *) = text;
}
