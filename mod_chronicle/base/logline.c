/* Writes JSON into a line of fixed size, and cuts what does not fit. */
#include "base/logline.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define TAIL 2 /* "}" and the line feed */
#define ESCAPE_MAX 6

static const char ellipsis[] = "\xE2\x80\xA6";
static const char replacement[] = "\xEF\xBF\xBD";

/* --- characters ------------------------------------------------------- */

/* One character as it is written. */
typedef struct {
    char out[ESCAPE_MAX];
    size_t len;  /* of out */
    size_t used; /* bytes of the text */
} piece_t;

static void put_unicode(piece_t *piece, unsigned point)
{
    static const char hex[] = "0123456789abcdef";

    piece->out[0] = '\\';
    piece->out[1] = 'u';
    piece->out[2] = hex[point >> 12 & 15];
    piece->out[3] = hex[point >> 8 & 15];
    piece->out[4] = hex[point >> 4 & 15];
    piece->out[5] = hex[point & 15];
    piece->len = ESCAPE_MAX;
}

static void put_ascii(piece_t *piece, unsigned char c)
{
    piece->used = 1;
    if (c < 0x20 || c == 0x7F) {
        put_unicode(piece, c);
        return;
    }
    piece->len = 0;
    if (c == '"' || c == '\\') {
        piece->out[piece->len++] = '\\';
    }
    piece->out[piece->len++] = (char)c;
}

/* How long a character is that begins with this byte; 0 = none does. */
static size_t length_of(unsigned char c)
{
    if (c >= 0xF0) {
        return c <= 0xF4 ? 4 : 0;
    }
    if (c >= 0xE0) {
        return 3;
    }
    return c >= 0xC2 ? 2 : 0;
}

/* Beyond ASCII: as it is, but for what programs take for the end of a line
 * or terminals for a command (U+0080 to U+009F, U+2028, U+2029). */
static void put_wide(piece_t *piece, const char *text, size_t len)
{
    size_t used = length_of((unsigned char)*text);

    if (used == 0 || used > len || !ch_text_valid(text, used)) {
        memcpy(piece->out, replacement, 3);
        piece->len = 3;
        piece->used = 1;
        return;
    }
    piece->used = used;
    if (text[0] == '\xC2' && (unsigned char)text[1] < 0xA0) {
        put_unicode(piece, (unsigned char)text[1]);
    }
    else if (strncmp(text, "\xE2\x80\xA8", 3) == 0
             || strncmp(text, "\xE2\x80\xA9", 3) == 0) {
        put_unicode(piece, 0x2028u + ((unsigned char)text[2] - 0xA8u));
    }
    else {
        memcpy(piece->out, text, used);
        piece->len = used;
    }
}

static void next_piece(piece_t *piece, const char *text, size_t len)
{
    if ((unsigned char)*text < 0x80) {
        put_ascii(piece, (unsigned char)*text);
    }
    else {
        put_wide(piece, text, len);
    }
}

/* --- members ---------------------------------------------------------- */

static size_t room(const ch_logline_t *line)
{
    return CH_LOGLINE_MAX - TAIL - line->len;
}

static void put(ch_logline_t *line, const char *text, size_t len)
{
    memcpy(line->data + line->len, text, len);
    line->len += len;
}

/* The name of a member whose value needs `more` bytes at least; 0 when that
 * does not fit. */
static int put_name(ch_logline_t *line, const char *name, size_t more)
{
    size_t len = strlen(name);

    if (room(line) < len + 4 + more) {
        return 0;
    }
    put(line, line->len > 1 ? ",\"" : "\"", line->len > 1 ? 2 : 1);
    put(line, name, len);
    put(line, "\":", 2);
    return 1;
}

/* The inside of a string that may take `max` bytes. What was written last is
 * taken back as far as the ellipsis needs its place. */
static void put_text(ch_logline_t *line, const char *text, size_t max)
{
    size_t len = strlen(text);
    size_t start = line->len;
    size_t fits = line->len; /* up to here there is room for the ellipsis */
    piece_t piece;

    while (len > 0) {
        next_piece(&piece, text, len);
        if (line->len - start + piece.len > max) {
            line->len = fits;
            put(line, ellipsis, 3);
            return;
        }
        put(line, piece.out, piece.len);
        text += piece.used;
        len -= piece.used;
        if (line->len - start + 3 <= max) {
            fits = line->len;
        }
    }
}

void ch_logline_text(ch_logline_t *line, const char *name, const char *text,
                     size_t max)
{
    if (!text) {
        if (put_name(line, name, 4)) {
            put(line, "null", 4);
        }
        return;
    }
    if (put_name(line, name, 2 + 3)) {
        size_t most = room(line) - 2;

        put(line, "\"", 1);
        put_text(line, text, max < most ? (max > 3 ? max : 3) : most);
        put(line, "\"", 1);
    }
}

void ch_logline_int(ch_logline_t *line, const char *name, apr_int64_t value)
{
    char text[20]; /* -9223372036854775808 */
    size_t at = sizeof(text);
    apr_uint64_t rest =
        value < 0 ? 0 - (apr_uint64_t)value : (apr_uint64_t)value;

    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) {
        text[--at] = '-';
    }
    if (put_name(line, name, sizeof(text) - at)) {
        put(line, text + at, sizeof(text) - at);
    }
}

void ch_logline_number(ch_logline_t *line, const char *name, const char *text)
{
    size_t whole = text ? strspn(text, "0123456789") : 0;
    size_t len = whole;

    if (whole && text[whole] == '.') {
        len += 1 + strspn(text + whole + 1, "0123456789");
    }
    if (!whole || text[len] || text[len - 1] == '.'
        || (text[0] == '0' && whole > 1)) {
        ch_logline_text(line, name, NULL, 0);
    }
    else if (put_name(line, name, len)) {
        put(line, text, len);
    }
}

void ch_logline_begin(ch_logline_t *line, apr_time_t when, const char *stream)
{
    char text[CH_TS_LEN + 1];

    line->len = 0;
    put(line, "{", 1);
    ch_clock_format(when, text);
    ch_logline_text(line, "time", text, sizeof(text));
    ch_logline_text(line, "stream", stream, 32);
}

void ch_logline_end(ch_logline_t *line)
{
    put(line, "}", 1);
    line->data[line->len] = '\0';
}
