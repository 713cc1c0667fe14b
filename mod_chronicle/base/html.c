/* Reads HTML the way a browser's tokenizer does and keeps the text.
 *
 * No parser library: of what a tree builder does, the text needs only which
 * tag begins or ends a block, and libxml2's HTML parser looks through all open
 * elements at each end tag and through all attributes at each attribute, so
 * that a note of 2 MB could hold a thread for minutes. Here every byte is
 * looked at once or twice, whatever the input. The rules are those of the
 * WHATWG standard, section 13.2.5; left out are its foreign elements (SVG) and
 * the double escape of a script inside of a comment inside of a script. */
#include "base/html.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_lib.h>

#include "base/buf.h"
#include "base/charref.h"
#include "base/text.h"

#define NAME_MAX_LEN 10 /* of a row in `elements` */

typedef enum {
    BLOCK = 1,     /* begins and ends with a space */
    RAW = 2,       /* up to its end tag there are no tags */
    LITERAL = 4,   /* RAW without character references */
    HIDDEN = 8,    /* RAW whose text is left out */
    TEMPLATE = 16, /* its contents are left out; may be nested */
    LAST = 32      /* LITERAL without an end tag */
} trait_e;

typedef struct {
    char name[NAME_MAX_LEN + 1];
    unsigned char traits;
} element_t;

/* In the order of strcmp. */
static const element_t elements[] = {
    {"address", BLOCK},
    {"article", BLOCK},
    {"aside", BLOCK},
    {"blockquote", BLOCK},
    {"body", BLOCK},
    {"br", BLOCK},
    {"caption", BLOCK},
    {"center", BLOCK},
    {"dd", BLOCK},
    {"details", BLOCK},
    {"dialog", BLOCK},
    {"dir", BLOCK},
    {"div", BLOCK},
    {"dl", BLOCK},
    {"dt", BLOCK},
    {"fieldset", BLOCK},
    {"figcaption", BLOCK},
    {"figure", BLOCK},
    {"footer", BLOCK},
    {"form", BLOCK},
    {"h1", BLOCK},
    {"h2", BLOCK},
    {"h3", BLOCK},
    {"h4", BLOCK},
    {"h5", BLOCK},
    {"h6", BLOCK},
    {"head", BLOCK},
    {"header", BLOCK},
    {"hgroup", BLOCK},
    {"hr", BLOCK},
    {"html", BLOCK},
    {"iframe", RAW | LITERAL},
    {"legend", BLOCK},
    {"li", BLOCK},
    {"listing", BLOCK},
    {"main", BLOCK},
    {"menu", BLOCK},
    {"nav", BLOCK},
    {"noembed", RAW | LITERAL},
    {"noframes", BLOCK | RAW | LITERAL},
    {"noscript", RAW | LITERAL | HIDDEN},
    {"ol", BLOCK},
    {"optgroup", BLOCK},
    {"option", BLOCK},
    {"p", BLOCK},
    {"plaintext", BLOCK | LAST},
    {"pre", BLOCK},
    {"script", RAW | LITERAL | HIDDEN},
    {"search", BLOCK},
    {"section", BLOCK},
    {"style", RAW | LITERAL | HIDDEN},
    {"summary", BLOCK},
    {"table", BLOCK},
    {"tbody", BLOCK},
    {"td", BLOCK},
    {"template", TEMPLATE},
    {"textarea", RAW},
    {"tfoot", BLOCK},
    {"th", BLOCK},
    {"thead", BLOCK},
    {"title", BLOCK | RAW},
    {"tr", BLOCK},
    {"ul", BLOCK},
    {"xmp", BLOCK | RAW | LITERAL},
};

typedef struct {
    const char *at;
    const char *end;
    ch_buf_t *out;
    int space; /* white space was met since the last letter */
    int words;
    int templates; /* how many are open */
} reader_t;

static size_t left(const reader_t *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* What the first byte of a character says: 0 = no white space, 1 = perhaps
 * (ASCII white space, the first byte of wider ones, NUL). */
static const unsigned char maybe_space[256] = {
    [0] = 1,   ['\t'] = 1, ['\n'] = 1, ['\v'] = 1, ['\f'] = 1, ['\r'] = 1,
    [' '] = 1, [0xC2] = 1, [0xE1] = 1, [0xE2] = 1, [0xE3] = 1,
};

/* Copies bytes up to the next white space or NUL and says how many. */
static size_t copy_word(char *out, const char *text, size_t len)
{
    size_t n;

    for (n = 0; n < len; n++) {
        if (maybe_space[(unsigned char)text[n]] &&
            (text[n] == '\0' || ch_text_space_at(text + n, len - n) > 0)) {
            break;
        }
        out[n] = text[n];
    }
    return n;
}

/* Appends text, which is valid UTF-8, with white space folded. A space waits
 * until a word follows, so that none begins or ends the result. */
static void put_text(reader_t *reader, const char *text, size_t len)
{
    char *out = ch_buf_room(reader->out, len + 1);
    size_t at = 0;

    if (reader->templates > 0 || out == NULL) {
        return;
    }
    while (at < len) {
        int begins = reader->space || reader->out->len == 0;
        size_t gap = begins && reader->out->len > 0;
        size_t n = copy_word(out + gap, text + at, len - at);

        if (n > 0) {
            *out = gap ? ' ' : *out;
            out += gap + n;
            reader->out->len += gap + n;
            reader->words += begins;
            reader->space = 0;
            at += n;
        }
        else if (text[at] == '\0') {
            at++; /* browsers drop it */
        }
        else {
            reader->space = 1;
            at += ch_text_space_at(text + at, len - at);
        }
    }
}

static void put_point(reader_t *reader, unsigned point)
{
    char out[4];
    size_t n = 0;

    if (point < 0x80) {
        out[n++] = (char)point;
    }
    else if (point < 0x800) {
        out[n++] = (char)(0xC0 | point >> 6);
    }
    else if (point < 0x10000) {
        out[n++] = (char)(0xE0 | point >> 12);
        out[n++] = (char)(0x80 | (point >> 6 & 0x3F));
    }
    else {
        out[n++] = (char)(0xF0 | point >> 18);
        out[n++] = (char)(0x80 | (point >> 12 & 0x3F));
        out[n++] = (char)(0x80 | (point >> 6 & 0x3F));
    }
    if (point >= 0x80) {
        out[n++] = (char)(0x80 | (point & 0x3F));
    }
    put_text(reader, out, n);
}

/* What begins with the & at reader->at. */
static void read_reference(reader_t *reader)
{
    unsigned points[2];
    size_t len = ch_charref_read(reader->at, left(reader), points);

    if (len == 0) {
        put_text(reader, reader->at, 1);
        reader->at++;
        return;
    }
    put_point(reader, points[0]);
    if (points[1] != 0) {
        put_point(reader, points[1]);
    }
    reader->at += len;
}

/* Text without tags up to `end`. */
static void read_text(reader_t *reader, const char *end, int references)
{
    while (reader->at < end) {
        size_t len = (size_t)(end - reader->at);
        const char *mark = references ? memchr(reader->at, '&', len) : NULL;

        if (mark == reader->at) {
            read_reference(reader);
            continue;
        }
        len = mark == NULL ? len : (size_t)(mark - reader->at);
        put_text(reader, reader->at, len);
        reader->at += len;
    }
}

static int is_tag_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static void skip_tag_space(reader_t *reader)
{
    while (reader->at < reader->end && is_tag_space(*reader->at)) {
        reader->at++;
    }
}

/* To behind the next `c`; what has none runs to the end. */
static void skip_past(reader_t *reader, char c)
{
    const char *found = memchr(reader->at, c, left(reader));

    reader->at = found == NULL ? reader->end : found + 1;
}

/* An attribute's value behind "=": in quotes, or up to white space or >. */
static void skip_value(reader_t *reader)
{
    skip_tag_space(reader);
    if (reader->at == reader->end) {
        return;
    }
    if (*reader->at == '"' || *reader->at == '\'') {
        reader->at++;
        skip_past(reader, reader->at[-1]);
        return;
    }
    while (reader->at < reader->end && *reader->at != '>' &&
           !is_tag_space(*reader->at)) {
        reader->at++;
    }
}

/* From behind a tag's name to behind its >. */
static void skip_attributes(reader_t *reader)
{
    while (reader->at < reader->end) {
        char c = *reader->at++;

        if (c == '>') {
            return;
        }
        if (c == '/' || is_tag_space(c)) {
            continue;
        }
        /* c began a name, even if it is "=" */
        while (reader->at < reader->end && *reader->at != '>' &&
               *reader->at != '/' && *reader->at != '=' &&
               !is_tag_space(*reader->at)) {
            reader->at++;
        }
        skip_tag_space(reader);
        if (reader->at < reader->end && *reader->at == '=') {
            reader->at++;
            skip_value(reader);
        }
    }
}

static int compare_names(const void *name, const void *row)
{
    return strcmp(name, ((const element_t *)row)->name);
}

/* Steps over a tag's name and says what the element is. */
static const element_t *read_tag_name(reader_t *reader)
{
    char name[NAME_MAX_LEN + 1];
    size_t len = 0;

    while (reader->at < reader->end && *reader->at != '>' &&
           *reader->at != '/' && !is_tag_space(*reader->at)) {
        if (len < sizeof(name)) {
            name[len] = (char)apr_tolower(*reader->at);
        }
        len += len < sizeof(name);
        reader->at++;
    }
    if (len == sizeof(name)) {
        return NULL;
    }
    name[len] = '\0';
    return bsearch(name, elements, CH_COUNT(elements), sizeof(element_t),
                   compare_names);
}

/* Whether the end tag of `name` begins at text. */
static int is_end_tag(const char *text, size_t len, const char *name)
{
    size_t name_len = strlen(name);

    return len > name_len + 2 && text[1] == '/' &&
           strncasecmp(text + 2, name, name_len) == 0 &&
           (text[name_len + 2] == '>' || text[name_len + 2] == '/' ||
            is_tag_space(text[name_len + 2]));
}

/* The contents of an element in which there are no tags. */
static void read_raw(reader_t *reader, const element_t *element)
{
    const char *end = reader->at;

    while (end < reader->end) {
        end = memchr(end, '<', (size_t)(reader->end - end));
        if (end == NULL) {
            end = reader->end;
        }
        else if (is_end_tag(end, (size_t)(reader->end - end), element->name)) {
            break;
        }
        else {
            end++;
        }
    }
    if (element->traits & HIDDEN) {
        reader->at = end;
        return;
    }
    read_text(reader, end, !(element->traits & LITERAL));
}

/* The tag whose name begins at reader->at. */
static void read_tag(reader_t *reader, int is_end)
{
    const element_t *element = read_tag_name(reader);
    unsigned traits = element == NULL ? 0 : element->traits;

    skip_attributes(reader);
    if ((traits & BLOCK) && reader->templates == 0) {
        reader->space = 1;
    }
    if (traits & TEMPLATE) {
        reader->templates += is_end ? -(reader->templates > 0) : 1;
    }
    if (is_end || element == NULL) {
        return;
    }
    if (traits & LAST) {
        read_text(reader, reader->end, 0);
    }
    if (traits & RAW) {
        read_raw(reader, element);
    }
}

/* From behind "<!--" to behind the end of the comment. */
static void skip_comment(reader_t *reader)
{
    /* "<!-->" and "<!--->" are whole */
    const char *at = reader->at - 2;
    size_t len;

    while (at < reader->end) {
        at = memchr(at, '-', (size_t)(reader->end - at));
        if (at == NULL) {
            break;
        }
        len = (size_t)(reader->end - at);
        if (len >= 3 && memcmp(at, "-->", 3) == 0) {
            reader->at = at + 3;
            return;
        }
        if (len >= 4 && at >= reader->at && memcmp(at, "--!>", 4) == 0) {
            reader->at = at + 4;
            return;
        }
        at++;
    }
    reader->at = reader->end;
}

/* What begins with the < at reader->at. */
static void read_markup(reader_t *reader)
{
    const char *at = reader->at;
    char next = left(reader) > 1 ? at[1] : '\0';
    char after = left(reader) > 2 ? at[2] : '\0';

    if (apr_isalpha(next)) {
        reader->at = at + 1;
        read_tag(reader, 0);
    }
    else if (next == '/' && apr_isalpha(after)) {
        reader->at = at + 2;
        read_tag(reader, 1);
    }
    else if (left(reader) >= 4 && memcmp(at, "<!--", 4) == 0) {
        reader->at = at + 4;
        skip_comment(reader);
    }
    else if (next == '!' || next == '?' || (next == '/' && left(reader) > 2)) {
        skip_past(reader, '>');
    }
    else {
        put_text(reader, at, 1);
        reader->at = at + 1;
    }
}

/* A copy with U+FFFD for every byte that fits nowhere. */
static ch_buf_t *repair(apr_pool_t *pool, const char *html, size_t len)
{
    ch_buf_t *copy = ch_buf_make(pool, len + len / 8, SIZE_MAX / 2);
    size_t at = 0;

    while (at < len) {
        size_t n = 1;

        while (n < 4 && n < len - at && !ch_text_valid(html + at, n)) {
            n++;
        }
        if (ch_text_valid(html + at, n)) {
            ch_buf_add(copy, html + at, n);
            at += n;
        }
        else {
            CH_BUF_LIT(copy, "\xEF\xBF\xBD");
            at++;
        }
    }
    return copy;
}

const char *ch_html_text(apr_pool_t *pool, const char *html, size_t len,
                         size_t *out_len, int *words)
{
    reader_t reader = {.at = html, .end = html + len};

    if (!ch_text_valid(html, len)) {
        ch_buf_t *copy = repair(pool, html, len);

        reader.at = copy->data;
        reader.end = copy->data + copy->len;
    }
    /* It has to grow only for "&nGt;" and "&nLt;": 6 bytes out of 5. */
    reader.out = ch_buf_make(pool, left(&reader) + 1, SIZE_MAX / 2);
    while (reader.at < reader.end) {
        const char *tag = memchr(reader.at, '<', left(&reader));

        if (tag == reader.at) {
            read_markup(&reader);
        }
        else {
            read_text(&reader, tag == NULL ? reader.end : tag, 1);
        }
    }
    if (words != NULL) {
        *words = reader.words;
    }
    *out_len = reader.out->len;
    return ch_buf_cstr(reader.out);
}
