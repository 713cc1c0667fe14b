/* Rows that no database gave: a test that includes this is linked without
 * store/db, whose reading functions are here. */
#ifndef CH_TESTS_ROWS_H
#define CH_TESTS_ROWS_H

#include <string.h>

#include <apr_strings.h>

#include "store/db.h"

#define CH_ROWS_COLUMNS 8

/* names ends with the first NULL; cells row by row, NULL = SQL NULL. */
struct ch_rows_t {
    const char *names[CH_ROWS_COLUMNS];
    int count;
    const char *const *cells;
};

int ch_rows_count(const ch_rows_t *rows)
{
    return rows->count;
}

int ch_rows_columns(const ch_rows_t *rows)
{
    int columns = 0;

    while (columns < CH_ROWS_COLUMNS && rows->names[columns]) {
        columns++;
    }
    return columns;
}

const char *ch_rows_cell(const ch_rows_t *rows, int row, int column,
                         size_t *len)
{
    const char *cell = NULL;

    if (column >= 0 && row < rows->count) {
        cell = rows->cells[row * ch_rows_columns(rows) + column];
    }
    *len = cell ? strlen(cell) : 0;
    return cell;
}

size_t ch_rows_size(const ch_rows_t *rows)
{
    size_t size = 0;
    int i;

    for (i = 0; i < rows->count * ch_rows_columns(rows); i++) {
        size += rows->cells[i] ? strlen(rows->cells[i]) : 0;
    }
    return size;
}

int ch_rows_find(const ch_rows_t *rows, const char *name, int hint)
{
    int column;

    if (hint >= 0 && hint < ch_rows_columns(rows)
        && strcmp(rows->names[hint], name) == 0) {
        return hint;
    }
    for (column = 0; column < ch_rows_columns(rows); column++) {
        if (strcmp(rows->names[column], name) == 0) {
            return column;
        }
    }
    return -1;
}

const char *ch_rows_text(const ch_rows_t *rows, int row, const char *name)
{
    size_t len;

    return ch_rows_cell(rows, row, ch_rows_find(rows, name, -1), &len);
}

apr_int64_t ch_rows_int(const ch_rows_t *rows, int row, const char *name)
{
    const char *text = ch_rows_text(rows, row, name);

    return text ? apr_atoi64(text) : 0;
}

int ch_rows_bool(const ch_rows_t *rows, int row, const char *name)
{
    const char *text = ch_rows_text(rows, row, name);

    return text && *text == 't';
}

#endif
