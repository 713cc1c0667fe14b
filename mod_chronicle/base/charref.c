/* Decodes the character references of HTML. */
#include "base/charref.h"

#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>

#include "base/charref_names.h"

#define REPLACEMENT 0xFFFD
#define POINT_MAX 0x10FFFF

/* Like memcmp between a name and the name of a row, the shorter first. */
static int compare(const char *name, size_t len, const char *row)
{
    size_t i;

    for (i = 0; i < len && name[i] == row[i]; i++) {
    }
    if (row[i] == '=' || row[i] == ':') {
        return i < len;
    }
    return i == len || name[i] < row[i] ? -1 : 1;
}

/* The row of a name of letters and digits, NULL if there is none. The table is
 * searched by halves as it is: from any byte the next space to the left leads
 * to a row. */
static const char *find_row(const char *name, size_t len)
{
    const char *low = ch_charref_names;
    const char *high = ch_charref_names + sizeof(ch_charref_names) - 1;

    while (low < high) {
        const char *row = low + (high - low) / 2;
        int order;

        while (row > low && row[-1] != ' ') {
            row--;
        }
        order = compare(name, len, row);
        if (order == 0) {
            return row;
        }
        if (order < 0) {
            high = row;
        }
        else {
            low = strchr(row, ' ') + 1;
        }
    }
    return NULL;
}

/* Of "name=22,3F " what stands behind the name. */
static void take_points(const char *row, size_t name_len, unsigned points[2])
{
    char *end;

    points[0] = (unsigned)strtoul(row + name_len + 1, &end, 16);
    points[1] = *end == ',' ? (unsigned)strtoul(end + 1, NULL, 16) : 0;
}

/* A name at the start of text; returns how many bytes it takes. */
static size_t read_name(const char *text, size_t len, unsigned points[2])
{
    size_t max = len < CH_CHARREF_NAME_MAX ? len : CH_CHARREF_NAME_MAX;
    size_t n = 0;
    const char *row;

    while (n < max && apr_isalnum(text[n])) {
        n++;
    }
    if (n > 0 && n < len && text[n] == ';') {
        row = find_row(text, n);
        if (row != NULL) {
            take_points(row, n, points);
            return n + 1;
        }
    }
    /* "&notit;" is "\u00ACit;" */
    for (n = n < CH_CHARREF_LEGACY_MAX ? n : CH_CHARREF_LEGACY_MAX; n > 1;
         n--) {
        row = find_row(text, n);
        if (row != NULL && row[n] == ':') {
            take_points(row, n, points);
            return n;
        }
    }
    return 0;
}

/* What a number stands for: C1 controls mean Windows-1252, as in the pages
 * that browsers had to read. */
static unsigned point_of(unsigned number)
{
    static const unsigned short windows[32] = {
        0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
        0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
        0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
        0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178,
    };

    if (number >= 0x80 && number <= 0x9F) {
        return windows[number - 0x80];
    }
    if (number == 0 || number > POINT_MAX ||
        (number >= 0xD800 && number <= 0xDFFF)) {
        return REPLACEMENT;
    }
    return number;
}

static unsigned value_of(char digit)
{
    return (unsigned)(apr_isdigit(digit) ? digit - '0'
                                         : (digit | 0x20) - 'a' + 10);
}

/* A number at the start of text ("65;", "x41"); returns how many bytes it
 * takes. */
static size_t read_number(const char *text, size_t len, unsigned points[2])
{
    int is_hex = len > 0 && (text[0] == 'x' || text[0] == 'X');
    size_t first = is_hex ? 1 : 0;
    unsigned number = 0;
    size_t n;

    for (n = first; n < len; n++) {
        if (!(is_hex ? apr_isxdigit(text[n]) : apr_isdigit(text[n]))) {
            break;
        }
        number = number * (is_hex ? 16 : 10) + value_of(text[n]);
        if (number > POINT_MAX) {
            number = POINT_MAX + 1; /* however many digits follow */
        }
    }
    if (n == first) {
        return 0;
    }
    points[0] = point_of(number);
    points[1] = 0;
    return n < len && text[n] == ';' ? n + 1 : n;
}

size_t ch_charref_read(const char *text, size_t len, unsigned points[2])
{
    size_t n;

    if (len > 1 && text[1] == '#') {
        n = read_number(text + 2, len - 2, points);
        return n == 0 ? 0 : n + 2;
    }
    n = len > 0 ? read_name(text + 1, len - 1, points) : 0;
    return n == 0 ? 0 : n + 1;
}
