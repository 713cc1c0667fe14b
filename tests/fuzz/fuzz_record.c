/* Fuzzes realtime/record: what is read lies inside of what came, and is the
 * same when it is written again. As text, the input is a list of rooms. */
#include "ch_fuzz.h"

#include "conf.h"
#include "realtime/record.h"

static void inside(ch_bytes_t text, ch_bytes_t of)
{
    CH_PROMISE(text.data >= of.data);
    CH_PROMISE(text.len <= of.len);
    CH_PROMISE(text.data + text.len <= of.data + of.len);
}

static int same_text(ch_bytes_t one, ch_bytes_t other)
{
    return one.len == other.len
           && (!one.len || memcmp(one.data, other.data, one.len) == 0);
}

static void read_again(apr_pool_t *pool, const ch_record_t *first)
{
    ch_bytes_t bytes = ch_record_write(pool, first);
    ch_record_t again;

    CH_PROMISE(ch_record_read(bytes, &again));
    CH_PROMISE(again.kind == first->kind && again.what == first->what);
    CH_PROMISE(again.site == first->site && again.slot == first->slot);
    CH_PROMISE(again.fault == first->fault && again.id == first->id);
    CH_PROMISE(again.number == first->number && again.seq == first->seq);
    CH_PROMISE(memcmp(again.room, first->room, 16) == 0);
    CH_PROMISE(memcmp(again.user, first->user, 16) == 0);
    CH_PROMISE(same_text(again.name, first->name));
    CH_PROMISE(same_text(again.data, first->data));
    CH_PROMISE(same_text(again.more, first->more));
}

static void read_one(apr_pool_t *pool, ch_bytes_t bytes)
{
    ch_record_t record;

    if (ch_record_read(bytes, &record)) {
        inside(record.name, bytes);
        inside(record.data, bytes);
        inside(record.more, bytes);
        read_again(pool, &record);
    }
}

/* The input as the rooms of something published. */
static void rooms_of(apr_pool_t *pool, const char *text)
{
    static const ch_conf_t conf = { .site = 1 };
    const ch_pub_t pub = { .what = CH_PUB_PRESENCE, .rooms = text };
    ch_record_t record;

    ch_record_of(pool, &conf, &pub, &record);
    CH_PROMISE(record.more.len % 16 == 0);
    CH_PROMISE(record.more.len / 16 * 36 <= strlen(text));
    read_again(pool, &record);
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    rooms_of(pool, text);
    text = realloc(text, size ? size : 1);
    read_one(pool, (ch_bytes_t){ text, size });
    free(text);
}
