#include "stats_read.h"

#include "../../base/json.h"

void stats_buckets_json(const CounterSeries *series, Bytes *out) {
    for (int i = 0; i <= COUNTER_BUCKETS; i++)
        bytes_format(out, "%s%llu", i ? "," : "[", (unsigned long long)series->bucket[i]);
    bytes_append(out, "]", 2);
}

Status stats_buckets_parse(const char *json, CounterSeries *series, Err *err) {
    json_error_t json_error;
    json_t *array = json ? json_loads(json, 0, &json_error) : NULL;
    int is_whole = json_array_size(array) == COUNTER_BUCKETS + 1;
    for (int i = 0; is_whole && i <= COUNTER_BUCKETS; i++)
        series->bucket[i] = (uint64_t)json_integer_value(json_array_get(array, (size_t)i));
    json_decref(array);
    return is_whole ? ST_OK : fail(err, ST_CORRUPT, "stored counters have no buckets");
}

void stats_row(RowSink *sink, const CounterSeries *series) {
    row_integer(sink, (sqlite3_int64)series->requests);
    row_integer(sink, (sqlite3_int64)series->errors);
    row_integer(sink, (sqlite3_int64)series->fall_backs);
    row_integer(sink, (sqlite3_int64)series->rows);
    row_integer(sink, (sqlite3_int64)series->filled);
    row_integer(sink, (sqlite3_int64)series->candidates);
    row_real(sink, (double)series->nanoseconds * 1e-9);
    row_number(sink, counters_quantile(series, .5));
    row_number(sink, counters_quantile(series, .9));
    row_number(sink, counters_quantile(series, .99));
}
