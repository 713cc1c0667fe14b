/* Turns wall clock times into text and back by plain arithmetic: the calendar
 * functions of libc take locks and read the time zone. */
#include "base/clock.h"

#include <string.h>

#define DAY_SECONDS 86400
#define YEAR_FIRST 1970
#define YEAR_LAST 9999
#define END_SECONDS APR_INT64_C(253402300800) /* 10000-01-01T00:00:00Z */

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar. Years
 * begin in March here, so that the leap day is the last one of its year. */
static apr_int64_t days_of(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = y / 400;
    int of_era = y - era * 400;
    int of_year =
        (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (apr_int64_t)era * 146097 + of_era * 365 + of_era / 4 -
           of_era / 100 + of_year - 719468;
}

static void put2(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

/* The reverse of days_of, for days from 1970-01-01 to 9999-12-31. */
static void put_date(char *out, unsigned days)
{
    unsigned shifted = days + 719468;
    unsigned era = shifted / 146097;
    unsigned of_era = shifted % 146097;
    unsigned year =
        (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned shift_month = (5 * of_year + 2) / 153;
    unsigned day = of_year - (153 * shift_month + 2) / 5 + 1;
    unsigned month = shift_month < 10 ? shift_month + 3 : shift_month - 9;

    year += era * 400 + (month <= 2);
    put2(out, year / 100);
    put2(out + 2, year % 100);
    out[4] = '-';
    put2(out + 5, month);
    out[7] = '-';
    put2(out + 8, day);
}

void ch_clock_format(apr_time_t when, char *out)
{
    unsigned days;
    unsigned rest; /* milliseconds of the day */

    /* Nothing that the product stores lies outside; the text has four digits
     * for the year, so the ends are the best that can be said. */
    if (when < 0) {
        when = 0;
    }
    if (when >= END_SECONDS * APR_USEC_PER_SEC) {
        when = END_SECONDS * APR_USEC_PER_SEC - 1;
    }
    days = (unsigned)(when / APR_USEC_PER_SEC / DAY_SECONDS);
    rest = (unsigned)(when / 1000 % (DAY_SECONDS * 1000));
    put_date(out, days);
    out[10] = 'T';
    put2(out + 11, rest / 3600000);
    out[13] = ':';
    put2(out + 14, rest / 60000 % 60);
    out[16] = ':';
    put2(out + 17, rest / 1000 % 60);
    out[19] = '.';
    out[20] = (char)('0' + rest % 1000 / 100);
    put2(out + 21, rest % 100);
    out[23] = 'Z';
    out[24] = '\0';
}

const char *ch_clock_text(apr_pool_t *pool, apr_time_t when)
{
    char *out = apr_palloc(pool, CH_TS_LEN + 1);

    ch_clock_format(when, out);
    return out;
}

/* `count` digits as a number, -1 if one is none. */
static int digits(const char *text, int count)
{
    int value = 0;
    int i;

    for (i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static int days_in(int year, int month)
{
    static const signed char days[] = {31, 28, 31, 30, 31, 30,
                                       31, 31, 30, 31, 30, 31};

    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        return 29;
    }
    return days[month - 1];
}

/* Days from 1970-01-01 of "YYYY-MM-DD", -1 if it is no date of ours. */
static apr_int64_t date_of(const char *text)
{
    int year = digits(text, 4);
    int month = digits(text + 5, 2);
    int day = digits(text + 8, 2);

    if (text[4] != '-' || text[7] != '-' || year < YEAR_FIRST ||
        year > YEAR_LAST || month < 1 || month > 12 || day < 1 ||
        day > days_in(year, month)) {
        return -1;
    }
    return days_of(year, month, day);
}

/* Reads ".d{1,9}" at *pos if there is one. -1 if it is broken, else
 * microseconds; what is finer is cut. */
static int fraction_of(const char *text, size_t len, size_t *pos)
{
    size_t at = *pos;
    int value = 0;
    int count = 0;

    if (at >= len || text[at] != '.') {
        return 0;
    }
    for (at++; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
        if (count < 6) {
            value = value * 10 + (text[at] - '0');
        }
        count++;
    }
    if (count < 1 || count > 9) {
        return -1;
    }
    for (; count < 6; count++) {
        value *= 10;
    }
    *pos = at;
    return value;
}

/* Whether text is "Z" or "+HH:MM"; *minutes is how far it is ahead of UTC. */
static int offset_of(const char *text, size_t len, int *minutes)
{
    int hour;
    int minute;

    if (len == 1 && (text[0] == 'Z' || text[0] == 'z')) {
        *minutes = 0;
        return 1;
    }
    if (len != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') {
        return 0;
    }
    hour = digits(text + 1, 2);
    minute = digits(text + 4, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) {
        return 0;
    }
    *minutes = (hour * 60 + minute) * (text[0] == '-' ? -1 : 1);
    return 1;
}

int ch_clock_parse(const char *text, size_t len, apr_time_t *out)
{
    apr_int64_t days;
    apr_int64_t seconds;
    int hour, minute, second, micros, offset;
    size_t pos = 19;

    if (len < 20 || (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
        text[16] != ':') {
        return 0;
    }
    days = date_of(text);
    hour = digits(text + 11, 2);
    minute = digits(text + 14, 2);
    second = digits(text + 17, 2);
    micros = fraction_of(text, len, &pos);
    if (days < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 60 || micros < 0 ||
        !offset_of(text + pos, len - pos, &offset)) {
        return 0;
    }
    seconds = days * DAY_SECONDS + (hour * 60 + minute - offset) * 60;
    /* Leap seconds are put in at the end of a UTC day and nowhere else. */
    if (second == 60 &&
        (seconds < 0 || seconds % DAY_SECONDS != DAY_SECONDS - 60)) {
        return 0;
    }
    seconds += second;
    if (seconds < 0 || seconds >= END_SECONDS) {
        return 0;
    }
    *out = seconds * APR_USEC_PER_SEC + micros;
    return 1;
}
