/* Takes JSON apart as it comes: a table of states, each of which eats as many
 * bytes of a piece as it can. */
#include "base/jsonseq.h"

#include <limits.h>
#include <string.h>

#include <apr_strings.h>

#include "base/heap.h"

#define DEPTH_MAX 512 /* levels of one element, or of a member skipped */
#define KEEP_MIN 4096 /* bytes that are taken from the heap at first */

typedef enum {
    START,  /* a BOM, or what comes after it */
    TOP,    /* "[" or "{" */
    FIRST,  /* of the array: an element or "]" */
    NEXT,   /* of the array: an element */
    AFTER,  /* of the array: "," or "]" */
    KEYS,   /* of the object: a key or "}" */
    KEY,    /* of the object: a key */
    IN_KEY, /* within one */
    COLON,
    VALUE,
    BEHIND, /* of the object: "," or "}" */
    TEXT,   /* within a string */
    NEST,   /* within brackets */
    SCALAR, /* within a number, true, false, null, or what looks like one */
    END,
    STATE__COUNT
} state_e;

struct ch_jsonseq_t {
    apr_pool_t *pool;
    const char *key; /* NULL = none is wanted */
    size_t key_len;
    size_t item_max;
    ch_jsonseq_item_t *item;
    void *ctx;
    ch_err_t *err;

    state_e state;
    int bom;       /* bytes of it that were there */
    int in_object; /* an object is at the top */
    int in_array;  /* the array is being taken apart */
    int found;     /* the array was there */
    int odd;       /* an odd number of backslashes came last, in a string */
    int same;      /* the key is the wanted one so far */
    size_t key_at; /* bytes of the key so far */
    int depth;
    unsigned char open[DEPTH_MAX]; /* the brackets that close these levels */

    int index;
    const char *from; /* of what is kept, in this piece; NULL = nothing is */
    char *kept;       /* what earlier pieces had of it */
    size_t kept_len;  /* its length, beyond item_max too */
    size_t kept_size; /* of the block */

    apr_uint64_t passed; /* bytes before this piece */
    const char *piece;
};

static ch_err_t *broken(ch_jsonseq_t *seq, const char *at, const char *what)
{
    apr_uint64_t byte = seq->passed + (apr_uint64_t)(at - seq->piece);

    if (!seq->err) {
        seq->err = ch_err_make(seq->pool, CH_E_MALFORMED_JSON,
                               "byte %" APR_UINT64_T_FMT ": %s", byte, what);
    }
    return seq->err;
}

static apr_status_t release(void *data)
{
    ch_heap_give(((ch_jsonseq_t *)data)->kept);
    return APR_SUCCESS;
}

ch_jsonseq_t *ch_jsonseq_make(apr_pool_t *pool, const char *key,
                              size_t item_max, ch_jsonseq_item_t *item,
                              void *ctx)
{
    ch_jsonseq_t *seq = apr_pcalloc(pool, sizeof(*seq));

    seq->pool = pool;
    seq->key = apr_pstrdup(pool, key);
    seq->key_len = key ? strlen(key) : 0;
    seq->item_max = item_max;
    seq->item = item;
    seq->ctx = ctx;
    apr_pool_cleanup_register(pool, seq, release, apr_pool_cleanup_null);
    return seq;
}

/* --- what is kept ----------------------------------------------------- */

/* Keeps what this piece has, up to `end`. What is too long is counted on. */
static void keep(ch_jsonseq_t *seq, const char *end)
{
    size_t len = (size_t)(end - seq->from);
    size_t all = seq->kept_len + len;

    if (all <= seq->item_max) {
        if (all > seq->kept_size) {
            size_t size = seq->kept_size ? seq->kept_size : KEEP_MIN;

            while (size < all) {
                size *= 2;
            }
            seq->kept_size = size < seq->item_max ? size : seq->item_max;
            seq->kept = ch_heap_resize(seq->kept, seq->kept_size);
        }
        if (len) {
            memcpy(seq->kept + seq->kept_len, seq->from, len);
        }
    }
    seq->kept_len = all;
}

/* Gives the element that ends before `end`; one that lies in this piece whole
 * is not copied. */
static void give(ch_jsonseq_t *seq, const char *end)
{
    const char *text = seq->from;
    size_t len = (size_t)(end - seq->from);

    if (seq->kept_len) {
        keep(seq, end);
        text = seq->kept;
        len = seq->kept_len;
    }
    seq->from = NULL;
    seq->kept_len = 0;
    if (seq->index == INT_MAX) {
        broken(seq, end, "too many elements");
        return;
    }
    seq->err = seq->item(seq->ctx, seq->index++,
                         len > seq->item_max ? NULL : text, len);
}

/* --- states ----------------------------------------------------------- */

static int is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at)) {
        at++;
    }
    return at;
}

/* A value ended before `at`: an element, or a member that was skipped. */
static void end_value(ch_jsonseq_t *seq, const char *at)
{
    if (seq->in_array) {
        seq->state = AFTER;
        give(seq, at);
    }
    else {
        seq->state = BEHIND;
    }
}

static const char *begin_value(ch_jsonseq_t *seq, const char *at)
{
    seq->odd = 0;
    seq->depth = 0;
    switch (*at) {
    case '"':
        seq->state = TEXT;
        return at + 1;
    case '[':
    case '{':
        seq->state = NEST;
        return at; /* NEST counts it */
    case ',':
    case ':':
    case ']':
    case '}':
        broken(seq, at, "a value is missing");
        return at;
    default:
        seq->state = SCALAR;
        return at + 1;
    }
}

static const char *on_start(ch_jsonseq_t *seq, const char *at,
                            const char *end)
{
    static const char bom[] = "\xef\xbb\xbf";

    while (at < end && seq->bom < 3 && *at == bom[seq->bom]) {
        seq->bom++;
        at++;
    }
    if (seq->bom == 3 || (at < end && !seq->bom)) {
        seq->state = TOP;
    }
    else if (at < end) {
        broken(seq, at, "this is no JSON");
    }
    return at;
}

static const char *on_top(ch_jsonseq_t *seq, const char *at, const char *end)
{
    if (*at == '[') {
        seq->state = FIRST;
        seq->in_array = seq->found = 1;
    }
    else if (*at == '{') {
        /* until the key is found this may be an element itself */
        seq->state = KEYS;
        seq->in_object = 1;
        seq->from = at;
    }
    else {
        broken(seq, at, "this is no array and no object");
    }
    return at + 1;
}

static void end_array(ch_jsonseq_t *seq)
{
    seq->in_array = 0;
    seq->state = seq->in_object ? BEHIND : END;
}

static const char *on_element(ch_jsonseq_t *seq, const char *at,
                              const char *end)
{
    if (*at == ']' && seq->state == FIRST) {
        end_array(seq);
        return at + 1;
    }
    seq->from = at;
    return begin_value(seq, at);
}

static const char *on_after(ch_jsonseq_t *seq, const char *at,
                            const char *end)
{
    if (*at == ',') {
        seq->state = NEXT;
    }
    else if (*at == ']') {
        end_array(seq);
    }
    else {
        broken(seq, at, "\",\" or \"]\" is missing");
    }
    return at + 1;
}

static void end_object(ch_jsonseq_t *seq, const char *at)
{
    seq->state = END;
    if (!seq->found) {
        give(seq, at + 1);
    }
}

static const char *on_key(ch_jsonseq_t *seq, const char *at, const char *end)
{
    if (*at == '}' && seq->state == KEYS) {
        end_object(seq, at);
    }
    else if (*at == '"') {
        seq->state = IN_KEY;
        seq->odd = 0;
        seq->same = seq->key != NULL;
        seq->key_at = 0;
    }
    else {
        broken(seq, at, "a key is missing");
    }
    return at + 1;
}

/* To the quote that ends a string, and past it; `end` when it is not there.
 * A quote is part of the string where the number of backslashes right before
 * it is odd. */
static const char *string_end(ch_jsonseq_t *seq, const char *at,
                              const char *end, int *ended)
{
    const char *quote;
    const char *begin = at;

    *ended = 0;
    do {
        const char *stop, *back;
        int odd;

        quote = memchr(at, '"', (size_t)(end - at));
        stop = quote ? quote : end;
        for (back = stop; back > at && back[-1] == '\\'; back--) {
        }
        odd = (stop - back) & 1;
        if (back == begin) {
            odd ^= seq->odd;
        }
        if (quote) {
            *ended = !odd;
            at = quote + 1;
        }
        else {
            seq->odd = odd;
            return end;
        }
    } while (!*ended);
    return at;
}

static const char *in_key(ch_jsonseq_t *seq, const char *at, const char *end)
{
    int ended;
    const char *stop = string_end(seq, at, end, &ended);
    size_t len = (size_t)(stop - at) - (size_t)ended;

    if (seq->same) {
        seq->same = len <= seq->key_len - seq->key_at
                    && memcmp(at, seq->key + seq->key_at, len) == 0;
        seq->key_at += len;
    }
    if (ended) {
        seq->same = seq->same && seq->key_at == seq->key_len;
        seq->state = COLON;
    }
    return stop;
}

static const char *on_colon(ch_jsonseq_t *seq, const char *at,
                            const char *end)
{
    if (*at != ':') {
        broken(seq, at, "\":\" is missing");
    }
    seq->state = VALUE;
    return at + 1;
}

static const char *on_value(ch_jsonseq_t *seq, const char *at,
                            const char *end)
{
    if (!seq->same) {
        return begin_value(seq, at);
    }
    if (*at != '[' || seq->found) {
        broken(seq, at,
               apr_psprintf(seq->pool, "%s %s", seq->key,
                            seq->found ? "is there twice"
                                       : "must be an array"));
        return at;
    }
    seq->found = seq->in_array = 1;
    seq->from = NULL;
    seq->kept_len = 0;
    seq->state = FIRST;
    return at + 1;
}

static const char *on_behind(ch_jsonseq_t *seq, const char *at,
                             const char *end)
{
    if (*at == ',') {
        seq->state = KEY;
    }
    else if (*at == '}') {
        end_object(seq, at);
    }
    else {
        broken(seq, at, "\",\" or \"}\" is missing");
    }
    return at + 1;
}

static const char *in_text(ch_jsonseq_t *seq, const char *at, const char *end)
{
    int ended;

    at = string_end(seq, at, end, &ended);
    if (ended && seq->depth) {
        seq->state = NEST;
    }
    else if (ended) {
        end_value(seq, at);
    }
    return at;
}

/* What is not passed over between brackets. */
static const unsigned char stops[256] = {
    ['"'] = 1, ['['] = 1, [']'] = 1, ['{'] = 1, ['}'] = 1,
};

static const char *bracket(ch_jsonseq_t *seq, const char *at)
{
    if (*at == '[' || *at == '{') {
        if (seq->depth == DEPTH_MAX) {
            broken(seq, at, "this is nested too deep");
            return at;
        }
        seq->open[seq->depth++] = *at == '[' ? ']' : '}';
        return at + 1;
    }
    if (seq->open[--seq->depth] != (unsigned char)*at) {
        broken(seq, at, "the wrong bracket");
    }
    else if (!seq->depth) {
        end_value(seq, at + 1);
    }
    return at + 1;
}

static const char *in_nest(ch_jsonseq_t *seq, const char *at, const char *end)
{
    while (at < end && !stops[(unsigned char)*at]) {
        at++;
    }
    if (at == end) {
        return at;
    }
    if (*at == '"') {
        seq->state = TEXT;
        seq->odd = 0;
        return at + 1;
    }
    return bracket(seq, at);
}

static const char *in_scalar(ch_jsonseq_t *seq, const char *at,
                             const char *end)
{
    while (at < end && !is_space(*at) && *at != ',' && *at != ':'
           && !stops[(unsigned char)*at]) {
        at++;
    }
    if (at < end) {
        end_value(seq, at); /* whether it may stand here is for that state */
    }
    return at;
}

static const char *on_end(ch_jsonseq_t *seq, const char *at, const char *end)
{
    broken(seq, at, "something follows the end");
    return at;
}

/* --- the stream ------------------------------------------------------- */

static const struct {
    const char *(*step)(ch_jsonseq_t *seq, const char *at, const char *end);
    int spaces; /* may stand here */
} states[STATE__COUNT] = {
    [START] = { on_start, 0 },     [TOP] = { on_top, 1 },
    [FIRST] = { on_element, 1 },   [NEXT] = { on_element, 1 },
    [AFTER] = { on_after, 1 },     [KEYS] = { on_key, 1 },
    [KEY] = { on_key, 1 },         [IN_KEY] = { in_key, 0 },
    [COLON] = { on_colon, 1 },     [VALUE] = { on_value, 1 },
    [BEHIND] = { on_behind, 1 },   [TEXT] = { in_text, 0 },
    [NEST] = { in_nest, 0 },       [SCALAR] = { in_scalar, 0 },
    [END] = { on_end, 1 },
};

ch_err_t *ch_jsonseq_feed(ch_jsonseq_t *seq, const char *data, size_t len)
{
    const char *at = data;
    const char *end = data + len;

    if (!len) {
        return seq->err;
    }
    seq->piece = data;
    if (seq->from) {
        seq->from = data;
    }
    while (!seq->err) {
        if (states[seq->state].spaces) {
            at = skip_spaces(at, end);
        }
        if (at == end) {
            break;
        }
        at = states[seq->state].step(seq, at, end);
    }
    if (!seq->err && seq->from) {
        keep(seq, end);
    }
    seq->passed += len;
    return seq->err;
}

ch_err_t *ch_jsonseq_end(ch_jsonseq_t *seq)
{
    if (!seq->err && seq->state != END) {
        seq->piece = NULL;
        broken(seq, NULL, "the text ends too early");
    }
    return seq->err;
}
