/* Counters as rows: rec_stats and flush-stats write them alike. */
#ifndef REC_STATS_READ_H
#define REC_STATS_READ_H

#include "../../serve/counters.h"
#include "../host/row_table.h"

/* The buckets as a JSON array of counts, with its NUL, and back. */
void stats_buckets_json(const CounterSeries *series, Bytes *out);
Status stats_buckets_parse(const char *json, CounterSeries *series, Err *err);

/* requests, errors, fall_backs, rows, filled, candidates, seconds, p50, p90, p99 */
#define STATS_COLUMNS \
    "requests INTEGER, errors INTEGER, fall_backs INTEGER, rows INTEGER, filled INTEGER, " \
    "candidates INTEGER, seconds REAL, p50 REAL, p90 REAL, p99 REAL"
enum { N_STATS_COLUMNS = 10 };
void stats_row(RowSink *sink, const CounterSeries *series);

#endif
