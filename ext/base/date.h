/* Times of events: dates as text, numbers in other units than seconds, and numbers that are not
 * what they are taken for. */
#ifndef REC_DATE_H
#define REC_DATE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Unix seconds of a date text, the fraction of a second kept: YYYY-MM-DD, then nothing or a blank
 * or T and HH:MM[:SS[.f]], then nothing, Z or +HH:MM (time zones other than by number are refused:
 * what they mean depends on the machine). Returns 0 when it is none, or a day or hour that does not
 * exist. len bytes. */
int date_parse(const char *text, size_t len, double *out);

/* A decimal number that is the whole text but for blanks around it, as files of text hold it; 007
 * and -0500 are none. Returns 0 when it is none. */
int number_parse(const char *text, size_t len, double *out);

typedef enum TimeUnit {
    TIME_SECONDS,
    TIME_MILLISECONDS,
    TIME_MICROSECONDS,
    TIME_NANOSECONDS,
    TIME_DAYS,
    TIME_JULIAN
} TimeUnit;
#define TIME_UNITS "seconds|milliseconds|microseconds|nanoseconds|days|julian"

/* A number in a unit since 1970 (julian: a Julian day) as unix seconds. */
double date_from_number(double value, TimeUnit unit);

/* Years -9999 .. 9999, as unix seconds: nothing else is a time. */
#define DATE_FIRST (-377705116800.0) /* -9999-01-01 */
#define DATE_LAST 253402300799.0     /* 9999-12-31 23:59:59 */
int date_is_possible(double seconds);

/* What a number that cannot be in its unit looks like: a word of TIME_UNITS, "yyyymmddhhmmss", or
 * NULL. */
const char *date_looks_like(double value);

/* What the numbers of a column have in common. All zeros before the first. */
typedef struct TimeSpan {
    int64_t n; /* numbers, texts not counted */
    double least, most;
    int64_t dates;  /* that are yyyymmdd */
    int64_t wholes; /* that have no fraction */
} TimeSpan;
void time_span_add(TimeSpan *span, double value);

/* Do numbers that were taken as seconds look like something else as a whole? "yyyymmdd", and where
 * the length of a day counts (days_matter) "days" or "julian"; NULL where not. */
const char *time_span_suspect(const TimeSpan *span, int days_matter);

#endif
