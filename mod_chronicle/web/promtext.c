/* Writes metrics in Prometheus' text format. */
#include "web/promtext.h"

/* Backslash and line feed are escaped everywhere, quotes in labels. */
static void write_escaped(ch_buf_t *buf, const char *text, int quotes)
{
    for (; *text; text++) {
        if (*text == '\n') {
            CH_BUF_LIT(buf, "\\n");
        }
        else {
            if (*text == '\\' || (quotes && *text == '"')) {
                ch_buf_putc(buf, '\\');
            }
            ch_buf_putc(buf, *text);
        }
    }
}

void ch_prom_family(ch_buf_t *buf, const char *name, const char *type,
                    const char *help)
{
    ch_buf_printf(buf, "# HELP %s ", name);
    write_escaped(buf, help, 0);
    ch_buf_printf(buf, "\n# TYPE %s %s\n", name, type);
}

static void write_label(ch_buf_t *buf, const char *name, const char *value,
                        int *any)
{
    ch_buf_putc(buf, (char)(*any ? ',' : '{'));
    *any = 1;
    ch_buf_puts(buf, name);
    CH_BUF_LIT(buf, "=\"");
    write_escaped(buf, value, 1);
    ch_buf_putc(buf, '"');
}

/* Name, suffix and labels, up to the blank before the value. bound NULL =
 * no label "le". */
static void write_series(ch_buf_t *buf, const ch_prom_series_t *series,
                         const char *suffix, const char *bound)
{
    int any = 0;
    int i;

    ch_buf_puts(buf, series->name);
    ch_buf_puts(buf, suffix);
    for (i = 0; i < series->count; i++) {
        write_label(buf, series->labels[i].name, series->labels[i].value,
                    &any);
    }
    if (bound) {
        write_label(buf, "le", bound, &any);
    }
    if (any) {
        ch_buf_putc(buf, '}');
    }
    ch_buf_putc(buf, ' ');
}

static void write_count(ch_buf_t *buf, apr_uint64_t value)
{
    ch_buf_printf(buf, "%" APR_UINT64_T_FMT "\n", value);
}

void ch_prom_sample(ch_buf_t *buf, const ch_prom_series_t *series,
                    apr_int64_t value)
{
    write_series(buf, series, "", NULL);
    ch_buf_printf(buf, "%" APR_INT64_T_FMT "\n", value);
}

/* Microseconds as seconds without needless zeros: 0.0005, 2.5, 10. */
static const char *seconds(apr_uint64_t usec, char out[32])
{
    size_t len = 0;
    apr_uint64_t rest = usec % APR_USEC_PER_SEC;
    apr_uint64_t whole = usec / APR_USEC_PER_SEC;
    char digits[24];
    size_t count = 0;
    int place;

    do {
        digits[count++] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole);
    while (count) {
        out[len++] = digits[--count];
    }
    if (rest) {
        out[len++] = '.';
        for (place = APR_USEC_PER_SEC / 10; rest; place /= 10) {
            out[len++] = (char)('0' + rest / (apr_uint64_t)place);
            rest %= (apr_uint64_t)place;
        }
    }
    out[len] = '\0';
    return out;
}

void ch_prom_durations(ch_buf_t *buf, const ch_prom_series_t *series,
                       const ch_prom_histogram_t *histogram)
{
    apr_uint64_t total = 0;
    char text[32];
    int i;

    for (i = 0; i <= histogram->bound_count; i++) {
        total += histogram->buckets[i];
        write_series(buf, series, "_bucket",
                     i < histogram->bound_count
                         ? seconds((apr_uint64_t)histogram->bounds[i], text)
                         : "+Inf");
        write_count(buf, total);
    }
    write_series(buf, series, "_sum", NULL);
    ch_buf_printf(buf, "%s\n", seconds(histogram->sum_usec, text));
    write_series(buf, series, "_count", NULL);
    write_count(buf, total);
}
