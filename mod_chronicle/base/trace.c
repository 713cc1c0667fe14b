/* W3C trace context: reads, makes and writes "traceparent". */
#include "base/trace.h"

#include <string.h>

#include "base/seal.h"

/* "00-<trace id>-<parent id>-<flags>" */
#define AT_TRACE 3
#define AT_PARENT (AT_TRACE + CH_TRACE_ID_LEN + 1)
#define AT_FLAGS (AT_PARENT + CH_TRACE_SPAN_LEN + 1)
#define LEN (AT_FLAGS + 2)

#define SAMPLED 1u /* the one flag that version 00 knows */

static const char hex[] = "0123456789abcdef";

/* --- reading ---------------------------------------------------------- */

/* Whether count lower case hex digits stand there. */
static int is_hex(const char *text, size_t count)
{
    return strspn(text, hex) >= count;
}

static int is_zero(const char *text, size_t count)
{
    return strspn(text, "0") >= count;
}

static unsigned value_of(char digit)
{
    return (unsigned)(strchr(hex, digit) - hex);
}

int ch_trace_parse(const char *text, ch_trace_t *out)
{
    size_t len = text ? strlen(text) : 0;

    if (len < LEN || !is_hex(text, 2) || text[2] != '-'
        || !is_hex(text + AT_TRACE, CH_TRACE_ID_LEN)
        || text[AT_PARENT - 1] != '-'
        || !is_hex(text + AT_PARENT, CH_TRACE_SPAN_LEN)
        || text[AT_FLAGS - 1] != '-' || !is_hex(text + AT_FLAGS, 2)) {
        return 0;
    }
    if (strncmp(text, "ff", 2) == 0
        || is_zero(text + AT_TRACE, CH_TRACE_ID_LEN)
        || is_zero(text + AT_PARENT, CH_TRACE_SPAN_LEN)) {
        return 0;
    }
    /* version 00 ends here; a later one may go on behind a dash */
    if (len > LEN && (strncmp(text, "00", 2) == 0 || text[LEN] != '-')) {
        return 0;
    }
    memcpy(out->trace_id, text + AT_TRACE, CH_TRACE_ID_LEN);
    out->trace_id[CH_TRACE_ID_LEN] = '\0';
    memcpy(out->parent_id, text + AT_PARENT, CH_TRACE_SPAN_LEN);
    out->parent_id[CH_TRACE_SPAN_LEN] = '\0';
    out->flags = (unsigned char)(value_of(text[AT_FLAGS]) << 4
                                 | value_of(text[AT_FLAGS + 1]));
    return 1;
}

/* --- making ----------------------------------------------------------- */

/* A generator per thread (splitmix64 over a counter that begins at a strong
 * random place): each id costs a few multiplications. */
static __thread apr_uint64_t place;
static __thread int seeded;

static apr_uint64_t next_number(void)
{
    apr_uint64_t z;

    if (!seeded) {
        ch_seal_random(&place, sizeof(place));
        seeded = 1;
    }
    place += 0x9E3779B97F4A7C15u;
    z = place;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Sixteen digits of a number that is not 0. */
static void put_number(char *out)
{
    apr_uint64_t number = next_number();
    int i;

    while (number == 0) {
        number = next_number();
    }
    for (i = 15; i >= 0; i--) {
        out[i] = hex[number & 15];
        number >>= 4;
    }
}

void ch_trace_make(ch_trace_t *out)
{
    put_number(out->trace_id);
    put_number(out->trace_id + 16);
    out->trace_id[CH_TRACE_ID_LEN] = '\0';
    out->parent_id[0] = '\0';
    out->flags = 0;
}

const char *ch_trace_child(apr_pool_t *pool, const ch_trace_t *trace)
{
    char *out = apr_palloc(pool, LEN + 1);

    memcpy(out, "00-", AT_TRACE);
    memcpy(out + AT_TRACE, trace->trace_id, CH_TRACE_ID_LEN);
    out[AT_PARENT - 1] = '-';
    put_number(out + AT_PARENT);
    out[AT_FLAGS - 1] = '-';
    out[AT_FLAGS] = '0';
    out[AT_FLAGS + 1] = (char)('0' + (trace->flags & SAMPLED));
    out[LEN] = '\0';
    return out;
}
