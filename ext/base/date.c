#include "date.h"

#include <math.h>
#include <string.h>

#include "text.h"

static const double JULIAN_OF_1970 = 2440587.5;

/* `digits` digits at *at, between least and most; moves past them. */
static int take_digits(
    const char **at, const char *end, int digits, int least, int most, int *out) {
    *out = 0;
    if (end - *at < digits) return 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (!ascii_is_digit(**at)) return 0;
        *out = *out * 10 + (**at - '0');
    }
    return *out >= least && *out <= most;
}

static int take_char(const char **at, const char *end, char wanted) {
    if (*at == end || **at != wanted) return 0;
    ++*at;
    return 1;
}

static int days_of_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar, by counting years from March, so that
 * the leap day is the last of its year. */
static int64_t days_since_1970(int year, int month, int day) {
    /* 400 years: y is not negative */
    int64_t y = (month <= 2 ? year - 1 : year) + 400, m = month <= 2 ? month + 9 : month - 3;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468 - 146097;
}

static int take_date(const char **at, const char *end, double *seconds) {
    int year, month, day;
    if (!take_digits(at, end, 4, 0, 9999, &year) || !take_char(at, end, '-') ||
        !take_digits(at, end, 2, 1, 12, &month) || !take_char(at, end, '-') ||
        !take_digits(at, end, 2, 1, days_of_month(year, month), &day))
        return 0;
    *seconds = (double)days_since_1970(year, month, day) * 86400;
    return 1;
}

/* .123 after the seconds: as many digits as there are. */
static int take_fraction(const char **at, const char *end, double *fraction) {
    const char *from = *at;
    double digits = 0, scale = 1;
    for (; *at < end && ascii_is_digit(**at); ++*at)
        if (scale < 1e15) {
            digits = digits * 10 + (**at - '0');
            scale *= 10;
        }
    *fraction = digits / scale;
    return *at > from;
}

static int take_time(const char **at, const char *end, double *seconds, double *fraction) {
    int hour, minute, second = 0;
    if (!take_digits(at, end, 2, 0, 24, &hour) || !take_char(at, end, ':') ||
        !take_digits(at, end, 2, 0, 59, &minute))
        return 0;
    if (take_char(at, end, ':')) {
        if (!take_digits(at, end, 2, 0, 59, &second)) return 0;
        if (take_char(at, end, '.') && !take_fraction(at, end, fraction)) return 0;
    }
    *seconds += hour * 3600 + minute * 60 + second;
    return hour < 24 || (minute == 0 && second == 0 && *fraction == 0);
}

/* Z, or how far local time is ahead. */
static int take_zone(const char **at, const char *end, double *seconds) {
    int hour, minute;
    while (*at < end && **at == ' ') ++*at;
    if (*at == end) return 1;
    if (take_char(at, end, 'Z') || take_char(at, end, 'z')) return *at == end;
    int ahead = **at == '+' ? 1 : **at == '-' ? -1 : 0;
    ++*at;
    if (!ahead || !take_digits(at, end, 2, 0, 14, &hour) || !take_char(at, end, ':') ||
        !take_digits(at, end, 2, 0, 59, &minute))
        return 0;
    *seconds -= ahead * (hour * 3600 + minute * 60);
    return *at == end;
}

static void trim(const char **text, size_t *len) {
    while (*len && ascii_is_space(**text)) ++*text, --*len;
    while (*len && ascii_is_space((*text)[*len - 1])) --*len;
}

int date_parse(const char *text, size_t len, double *out) {
    trim(&text, &len);
    const char *at = text, *end = text + len;
    double fraction = 0;
    if (!take_date(&at, end, out)) return 0;
    if (at == end) return 1;
    if (!take_char(&at, end, 'T') && !take_char(&at, end, 't') && !take_char(&at, end, ' '))
        return 0;
    while (at < end && *at == ' ') at++;
    int is = take_time(&at, end, out, &fraction) && take_zone(&at, end, out);
    *out += fraction; /* last: rounded once, as the number 1704103200.1 is */
    return is;
}

int number_parse(const char *text, size_t len, double *out) {
    char copy[64], *end;
    trim(&text, &len);
    if (len == 0 || len >= sizeof copy) return 0;
    for (size_t i = 0; i < len; i++)
        if (!text[i] || !strchr("0123456789+-.eE", text[i])) return 0;
    memcpy(copy, text, len);
    copy[len] = 0;
    const char *digits = copy + (*copy == '+' || *copy == '-');
    if (digits[0] == '0' && ascii_is_digit(digits[1])) return 0; /* -0500 is a time zone */
    *out = text_to_double(copy, &end);
    return *end == 0 && isfinite(*out);
}

double date_from_number(double value, TimeUnit unit) {
    static const double per_second[] = {1, 1e3, 1e6, 1e9};
    if (unit == TIME_DAYS) return value * 86400;
    if (unit == TIME_JULIAN) return (value - JULIAN_OF_1970) * 86400;
    return value / per_second[unit];
}

int date_is_possible(double seconds) {
    return seconds >= DATE_FIRST && seconds <= DATE_LAST; /* NaN is not */
}

/* Is it a whole number whose digits are year, month and day of 1900 to 2199? */
static int is_yyyymmdd(double value) {
    if (!(value >= 19000101 && value <= 21991231) || value != floor(value)) return 0;
    int number = (int)value, year = number / 10000, month = number / 100 % 100, day = number % 100;
    return month >= 1 && month <= 12 && day >= 1 && day <= days_of_month(year, month);
}

const char *date_looks_like(double value) {
    static const char *const names[] = {NULL, "milliseconds", "microseconds", "nanoseconds"};
    double days = floor(value / 1e6), clock = value - days * 1e6; /* of yyyymmddhhmmss */
    if (is_yyyymmdd(days) && clock < 240000 && fmod(clock, 1e4) < 6000 && fmod(clock, 100) < 60)
        return "yyyymmddhhmmss";
    for (TimeUnit unit = TIME_MILLISECONDS; unit <= TIME_NANOSECONDS; unit++) {
        double seconds = date_from_number(value, unit);
        if (fabs(seconds) <= 1e10) return names[unit]; /* before the year 2287 */
    }
    return NULL;
}

void time_span_add(TimeSpan *span, double value) {
    if (span->n == 0 || value < span->least) span->least = value;
    if (span->n == 0 || value > span->most) span->most = value;
    span->n++;
    span->dates += is_yyyymmdd(value);
    span->wholes += value == floor(value);
}

/* As seconds, yyyymmdd is a week of August 1970, days of today are an hour of its first morning,
 * and Julian days a week of January. */
const char *time_span_suspect(const TimeSpan *span, int days_matter) {
    if (span->n == 0) return NULL;
    if (span->dates == span->n) return "yyyymmdd";
    if (!days_matter) return NULL;
    /* 1980 .. 2070 */
    if (span->least >= 3652 && span->most <= 36525 && span->wholes == span->n) return "days";
    /* the same */
    return span->least >= 2444240 && span->most <= 2477113 ? "julian" : NULL;
}
