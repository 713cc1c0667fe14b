/* Reads multipart/form-data by a table of states. */
#include "web/multipart.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "base/text.h"

#define BOUNDARY_MAX 70 /* RFC 2046 */
#define HEAD_MAX 8192
#define MEDIA_MAX 255

typedef enum {
    PREAMBLE,
    DATA,
    BOUNDARY, /* right behind one */
    DASH,     /* behind one and "-" */
    PADDING,  /* blanks up to the line's end */
    NEWLINE,
    HEAD,
    EPILOGUE,
    STATE__COUNT
} state_e;

struct ch_multipart_t {
    apr_pool_t *pool;
    const ch_part_taker_t *taker;
    void *ctx;
    ch_err_t *err;
    state_e state;
    int parts;
    size_t matched; /* bytes of the delimiter that came last */
    size_t delimiter_len;
    char delimiter[4 + BOUNDARY_MAX + 1]; /* CR LF "--" boundary */
    size_t head_len;
    char head[HEAD_MAX + 1];
};

static ch_err_t *broken(ch_multipart_t *form, const char *what)
{
    if (!form->err) {
        form->err = ch_err_make(form->pool, CH_E_VALIDATION_ERROR,
                                "multipart/form-data: %s", what);
    }
    return form->err;
}

/* --- parameters ------------------------------------------------------- */

/* One parameter of a header. */
typedef struct {
    const char *name; /* lower case */
    const char *value;
} param_t;

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* What browsers write for what may not stand in a quoted string: the length
 * of the escape, and its byte; 0 = it is none. Some put a backslash before a
 * quote or a backslash; others put paths there as they are. */
static size_t escape_at(const char *at, char *out)
{
    static const struct {
        const char *text;
        char byte;
    } escapes[] = {
        { "%22", '"' },   { "%0D", '\r' },   { "%0A", '\n' },
        { "\\\"", '"' }, { "\\\\", '\\' },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(escapes); i++) {
        size_t len = strlen(escapes[i].text);

        if (strncasecmp(at, escapes[i].text, len) == 0) {
            *out = escapes[i].byte;
            return len;
        }
    }
    return 0;
}

/* A quoted string without its quotes; *at moves past it. NULL = it has no
 * end. */
static const char *quoted(apr_pool_t *pool, const char **at)
{
    const char *from = *at + 1;
    char *out = apr_palloc(pool, strlen(from) + 1);
    char *to = out;

    while (*from && *from != '"') {
        size_t len = escape_at(from, to);

        if (!len) {
            *to = *from;
            len = 1;
        }
        to++;
        from += len;
    }
    *to = '\0';
    *at = from + 1;
    return *from ? out : NULL;
}

/* The next parameter at *at, which stands before ";" or at the end: 1, 0 at
 * the end, -1 for what is none. */
static int next_param(apr_pool_t *pool, const char **at, param_t *out)
{
    const char *from = skip_blanks(*at);
    size_t len;

    if (*from == ';') {
        from = skip_blanks(from + 1);
    }
    else if (*from) {
        return -1;
    }
    if (!*from) {
        return 0;
    }
    len = strcspn(from, "= \t;\"");
    if (!len || from[len] != '=') {
        return -1;
    }
    out->name = ch_text_ascii_lower(pool, from, len);
    from += len + 1;
    if (*from == '"') {
        out->value = quoted(pool, &from);
    }
    else {
        len = strcspn(from, " \t;\"");
        out->value = apr_pstrmemdup(pool, from, len);
        from += len;
    }
    *at = from;
    return out->value ? 1 : -1;
}

/* --- the boundary ----------------------------------------------------- */

static int is_type(const char *text, const char *type)
{
    size_t len = strlen(type);

    return strncasecmp(text, type, len) == 0
           && (!text[len] || strchr(" \t;", text[len]));
}

int ch_multipart_is(const char *content_type)
{
    return is_type(skip_blanks(content_type), "multipart/form-data");
}

static int is_boundary(const char *text)
{
    size_t len = strlen(text);
    size_t i;

    for (i = 0; i < len; i++) {
        if (!apr_isalnum(text[i]) && !strchr("'()+_,-./:=? ", text[i])) {
            return 0;
        }
    }
    return len >= 1 && len <= BOUNDARY_MAX && text[len - 1] != ' ';
}

/* NULL = there is none, or two. */
static const char *boundary_of(apr_pool_t *pool, const char *content_type)
{
    const char *at = content_type + strcspn(content_type, ";");
    const char *found = NULL;
    param_t param;
    int more;

    while ((more = next_param(pool, &at, &param)) > 0) {
        if (strcmp(param.name, "boundary") == 0) {
            if (found) {
                return NULL;
            }
            found = param.value;
        }
    }
    return more == 0 && found && is_boundary(found) ? found : NULL;
}

ch_err_t *ch_multipart_make(apr_pool_t *pool, const char *content_type,
                            const ch_part_taker_t *taker, void *ctx,
                            ch_multipart_t **out)
{
    ch_multipart_t *form = apr_pcalloc(pool, sizeof(*form));
    const char *boundary = boundary_of(pool, content_type);

    form->pool = pool;
    form->taker = taker;
    form->ctx = ctx;
    form->matched = 2; /* as if there had been a line before */
    *out = form;
    if (!boundary) {
        return broken(form, "a boundary of 1 to 70 characters is missing in "
                            "Content-Type");
    }
    form->delimiter_len =
        (size_t)apr_snprintf(form->delimiter, sizeof(form->delimiter),
                             "\r\n--%s", boundary);
    return NULL;
}

/* --- headers of a part ------------------------------------------------ */

static int is_clean(const char *text)
{
    size_t len = strlen(text);

    return ch_text_valid(text, len) && !ch_text_has_control(text, len, 0);
}

/* The last part of a path, without control characters; NULL when it is not
 * UTF-8. */
static const char *file_name(apr_pool_t *pool, const char *text)
{
    const char *last = text + strlen(text);
    char *out, *at;

    while (last > text && !strchr("/\\", last[-1])) {
        last--;
    }
    out = apr_pstrdup(pool, last);
    for (at = out; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '_';
        }
    }
    return is_clean(out) ? out : NULL;
}

static void read_disposition(ch_multipart_t *form, const char *text,
                             ch_part_t *part)
{
    const char *at = text + strcspn(text, ";");
    const char *filename = NULL;
    param_t param;
    int more;

    if (part->name || !is_type(text, "form-data")) {
        broken(form, "Content-Disposition of a part must be form-data, once");
        return;
    }
    while ((more = next_param(form->pool, &at, &param)) > 0) {
        const char **to = strcmp(param.name, "name") == 0       ? &part->name
                          : strcmp(param.name, "filename") == 0 ? &filename
                                                                : NULL;

        if (to && *to) {
            more = -1;
            break;
        }
        if (to) {
            *to = param.value;
        }
    }
    if (more < 0 || !part->name || !*part->name || !is_clean(part->name)) {
        broken(form, "Content-Disposition of a part is broken, or without a "
                     "name");
    }
    else if (filename) {
        part->filename = file_name(form->pool, filename);
        if (!part->filename) {
            broken(form, "a file's name must be UTF-8");
        }
    }
}

static void read_media(ch_multipart_t *form, const char *text,
                       ch_part_t *part)
{
    size_t len = strlen(text);
    size_t i;

    for (i = 0; i < len && text[i] >= 0x20 && text[i] < 0x7f; i++) {
    }
    if (i < len || len > MEDIA_MAX) {
        broken(form, "Content-Type of a part is broken");
        return;
    }
    part->media = apr_pstrdup(form->pool, text);
}

static void read_header(ch_multipart_t *form, char *line, ch_part_t *part)
{
    size_t len = strcspn(line, ":");
    char *value = line + len;
    char *end = value + strlen(value);

    if (!len || !*value || strcspn(line, " \t") < len) {
        broken(form, "a part has a broken header");
        return;
    }
    *value++ = '\0';
    value += strspn(value, " \t");
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        *--end = '\0';
    }
    if (strcasecmp(line, "Content-Disposition") == 0) {
        read_disposition(form, value, part);
    }
    else if (strcasecmp(line, "Content-Type") == 0) {
        read_media(form, value, part);
    }
    else if (strcasecmp(line, "Content-Transfer-Encoding") == 0
             && strcasecmp(value, "binary") != 0
             && strcasecmp(value, "8bit") != 0
             && strcasecmp(value, "7bit") != 0) {
        broken(form, "parts must not be encoded");
    }
}

/* All headers are there: lines, and an empty one. */
static void read_head(ch_multipart_t *form)
{
    ch_part_t part = { .media = "" };
    char *line = form->head;
    char *end;

    form->head[form->head_len] = '\0';
    if (memchr(form->head, '\0', form->head_len)) {
        broken(form, "a part has a broken header");
    }
    while (!form->err && (end = strstr(line, "\r\n")) && end > line) {
        *end = '\0';
        read_header(form, line, &part);
        line = end + 2;
    }
    if (!form->err && !part.name) {
        broken(form, "a part has no Content-Disposition");
    }
    else if (!form->err && ++form->parts > CH_PARTS_MAX) {
        broken(form, "there are more than 32 parts");
    }
    if (!form->err) {
        form->err = form->taker->begin(form->ctx, &part);
    }
}

/* --- states ----------------------------------------------------------- */

/* Data of a part; before the first part nobody wants it. */
static void give(ch_multipart_t *form, const char *data, size_t len)
{
    if (form->state == DATA && len && !form->err) {
        form->err = form->taker->data(form->ctx, data, len);
    }
}

static void found(ch_multipart_t *form)
{
    if (form->state == DATA && !form->err) {
        form->err = form->taker->end(form->ctx);
    }
    form->state = BOUNDARY;
    form->matched = 0;
}

/* Matches the delimiter from `at` on. Its CR is nowhere else in it, so what
 * does not match can only begin anew where it failed. */
static const char *match(ch_multipart_t *form, const char *at,
                         const char *end)
{
    while (at < end && form->matched < form->delimiter_len
           && *at == form->delimiter[form->matched]) {
        at++;
        form->matched++;
    }
    return at;
}

static const char *in_data(ch_multipart_t *form, const char *at,
                           const char *end)
{
    const char *from = at;
    size_t held = form->matched; /* bytes of it that earlier pieces ended in */

    for (;;) {
        at = form->matched ? at : memchr(at, '\r', (size_t)(end - at));
        if (!at) {
            give(form, from, (size_t)(end - from));
            return end;
        }
        at = match(form, at, end);
        if (at == end || form->matched == form->delimiter_len) {
            break;
        }
        give(form, form->delimiter, held);
        held = form->matched = 0;
    }
    /* the match, if it began in this piece, is not data */
    if (!held) {
        give(form, from, (size_t)(at - from) - form->matched);
    }
    if (form->matched == form->delimiter_len) {
        found(form);
    }
    return at;
}

static const char *on_boundary(ch_multipart_t *form, const char *at,
                               const char *end)
{
    static const struct {
        state_e state;
        char c;
        state_e next;
    } ways[] = {
        { BOUNDARY, '-', DASH },     { BOUNDARY, '\r', NEWLINE },
        { BOUNDARY, ' ', PADDING },  { BOUNDARY, '\t', PADDING },
        { PADDING, ' ', PADDING },   { PADDING, '\t', PADDING },
        { PADDING, '\r', NEWLINE },  { NEWLINE, '\n', HEAD },
        { DASH, '-', EPILOGUE },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(ways); i++) {
        if (ways[i].state == form->state && ways[i].c == *at) {
            form->state = ways[i].next;
            form->head_len = 0;
            return at + 1;
        }
    }
    broken(form, "something stands behind a boundary");
    return at;
}

static int head_ends_with(const ch_multipart_t *form, const char *text)
{
    size_t len = strlen(text);

    return form->head_len >= len
           && memcmp(form->head + form->head_len - len, text, len) == 0;
}

static const char *in_head(ch_multipart_t *form, const char *at,
                           const char *end)
{
    while (at < end && form->head_len < HEAD_MAX) {
        form->head[form->head_len++] = *at++;
        if (at[-1] == '\n'
            && (head_ends_with(form, "\r\n\r\n")
                || (form->head_len == 2 && head_ends_with(form, "\r\n")))) {
            read_head(form);
            form->state = DATA;
            form->matched = 0;
            return at;
        }
    }
    if (form->head_len == HEAD_MAX) {
        broken(form, "the headers of a part are longer than 8 KB");
    }
    return at;
}

static const char *in_epilogue(ch_multipart_t *form, const char *at,
                               const char *end)
{
    return end;
}

static const char *(*const steps[STATE__COUNT])(ch_multipart_t *form,
                                                const char *at,
                                                const char *end) = {
    [PREAMBLE] = in_data,    [DATA] = in_data,
    [BOUNDARY] = on_boundary, [DASH] = on_boundary,
    [PADDING] = on_boundary, [NEWLINE] = on_boundary,
    [HEAD] = in_head,        [EPILOGUE] = in_epilogue,
};

ch_err_t *ch_multipart_feed(ch_multipart_t *form, const char *data,
                            size_t len)
{
    const char *at = data;
    const char *end = data + len;

    while (!form->err && at < end) {
        at = steps[form->state](form, at, end);
    }
    return form->err;
}

ch_err_t *ch_multipart_end(ch_multipart_t *form)
{
    return form->state == EPILOGUE || form->err
               ? form->err
               : broken(form, "it ends before its last boundary");
}
