/* Writes and reads records, and sends them where somebody listens. */
#include "realtime/record.h"

#include <string.h>

#include "base/uuid.h"
#include "realtime/far.h"
#include "realtime/wire.h"
#include "store/bus.h"

#define VERSION 1 /* of the layout: servers of another one are not heard */

/* What stands before the three texts. Servers that share a database share
 * their byte order. */
typedef struct {
    apr_uint32_t version;
    apr_int32_t kind, what, site, slot, fault;
    apr_uint64_t id;
    apr_int64_t number, seq;
    unsigned char room[16], user[16];
    apr_uint32_t name, data, more; /* lengths */
    apr_uint32_t spare;
} head_t;

ch_bytes_t ch_record_write(apr_pool_t *pool, const ch_record_t *record)
{
    const head_t head = {
        .version = VERSION,
        .kind = record->kind,
        .what = record->what,
        .site = record->site,
        .slot = record->slot,
        .fault = record->fault,
        .id = record->id,
        .number = record->number,
        .seq = record->seq,
        .name = (apr_uint32_t)record->name.len,
        .data = (apr_uint32_t)record->data.len,
        .more = (apr_uint32_t)record->more.len,
    };
    const ch_bytes_t texts[] = { record->name, record->data, record->more };
    size_t len = sizeof(head) + head.name + head.data + head.more;
    char *bytes = apr_palloc(pool, len);
    char *at = bytes + sizeof(head);
    size_t i;

    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + offsetof(head_t, room), record->room, 16);
    memcpy(bytes + offsetof(head_t, user), record->user, 16);
    for (i = 0; i < CH_COUNT(texts); i++) {
        if (texts[i].len) {
            memcpy(at, texts[i].data, texts[i].len);
            at += texts[i].len;
        }
    }
    return (ch_bytes_t){ bytes, len };
}

int ch_record_read(ch_bytes_t bytes, ch_record_t *out)
{
    const char *at = bytes.data + sizeof(head_t);
    head_t head;

    if (bytes.len < sizeof(head)) {
        return 0;
    }
    memcpy(&head, bytes.data, sizeof(head));
    if (head.version != VERSION
        || bytes.len - sizeof(head)
               != (size_t)head.name + head.data + head.more) {
        return 0;
    }
    *out = (ch_record_t){
        .kind = (ch_record_e)head.kind,
        .what = head.what,
        .site = head.site,
        .slot = head.slot,
        .fault = head.fault,
        .id = head.id,
        .number = head.number,
        .seq = head.seq,
        .name = { at, head.name },
        .data = { at + head.name, head.data },
        .more = { at + head.name + head.data, head.more },
    };
    memcpy(out->room, head.room, 16);
    memcpy(out->user, head.user, 16);
    return 1;
}

/* Ids of an array as Postgres writes it, {a,b}: 16 bytes each. */
static ch_bytes_t rooms_of(apr_pool_t *pool, const char *text)
{
    size_t max = text ? strlen(text) / (CH_UUID_LEN + 1) + 1 : 1;
    unsigned char *ids = apr_palloc(pool, max * 16);
    size_t count = 0;

    while (text && (*text == '{' || *text == ',') && count < max) {
        char id[CH_UUID_LEN + 1];
        size_t len = strcspn(++text, ",}");

        if (len == CH_UUID_LEN) {
            memcpy(id, text, len);
            id[len] = '\0';
            count += (size_t)ch_uuid_bytes(id, ids + count * 16);
        }
        text += len;
    }
    return (ch_bytes_t){ (const char *)ids, count * 16 };
}

void ch_record_of(apr_pool_t *pool, const ch_conf_t *conf,
                  const ch_pub_t *pub, ch_record_t *out)
{
    *out = (ch_record_t){
        .kind = CH_RECORD_PUB,
        .what = pub->what,
        .site = conf->site,
        .id = pub->except,
        .number = pub->number,
        .seq = pub->seq,
        .name = { pub->event, pub->event ? strlen(pub->event) : 0 },
        .data = pub->data,
        .more = rooms_of(pool, pub->rooms),
    };
    if (pub->room) {
        ch_uuid_bytes(pub->room, out->room);
    }
    if (pub->user) {
        ch_uuid_bytes(pub->user, out->user);
    }
}

void ch_record_send(apr_pool_t *pool, const ch_conf_t *conf,
                    const ch_record_t *record)
{
    ch_bytes_t bytes;

    if (!ch_wire_heard() && ch_bus_alone(conf->site)) {
        return; /* nobody is there to hear of it */
    }
    bytes = ch_record_write(pool, record);
    ch_wire_tell(CH_WIRE_ALL, bytes.data, bytes.len, -1);
    ch_far_post(conf, NULL, bytes.data, bytes.len);
}

void ch_record_send_sync(apr_pool_t *pool, const ch_conf_t *conf,
                         const char *user)
{
    const ch_pub_t pub = { .what = CH_PUB_SYNC, .user = user };
    ch_record_t record;

    ch_record_of(pool, conf, &pub, &record);
    ch_record_send(pool, conf, &record);
}

void ch_record_send_all(ch_req_t *rq)
{
    const ch_pub_t *pubs = (const ch_pub_t *)rq->told->elts;
    ch_record_t record;
    int i;

    for (i = 0; i < rq->told->nelts; i++) {
        ch_record_of(rq->pool, rq->conf, &pubs[i], &record);
        ch_record_send(rq->pool, rq->conf, &record);
    }
    rq->told->nelts = 0;
}
