#include "prometheus.h"

#include <math.h>
#include <string.h>

#include "../base/text.h"

void prometheus_family(Bytes *out, const char *name, const char *type, const char *help) {
    bytes_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Backslash, quote and newline are escaped; bytes that are no UTF-8 are the caller's. */
static void append_value(Bytes *out, const char *value) {
    for (; value && *value; value++) {
        if (*value == '\n') bytes_append(out, "\\n", 2);
        else {
            if (*value == '\\' || *value == '"') bytes_append(out, "\\", 1);
            bytes_append(out, value, 1);
        }
    }
}

void prometheus_sample(
    Bytes *out, const char *name, const PrometheusLabel *label, int n, double value) {
    bytes_format(out, "%s", name);
    for (int i = 0; i < n; i++) {
        bytes_format(out, "%s%s=\"", i ? "," : "{", label[i].name);
        append_value(out, label[i].value);
        bytes_append(out, "\"", 1);
    }
    bytes_format(out, n ? "} %.17g\n" : " %.17g\n", value);
}

enum { N_LABELS = 5 };

typedef struct SeriesLabels {
    char version[24];
    PrometheusLabel label[N_LABELS + 1]; /* and room for le */
} SeriesLabels;

static void labels_of(SeriesLabels *out, const CounterSeries *series) {
    if (series->version == COUNTER_OLDER) text_format(out->version, sizeof out->version, "older");
    else text_format(out->version, sizeof out->version, "%lld", (long long)series->version);
    out->label[0] = (PrometheusLabel){"database", series->database};
    out->label[1] = (PrometheusLabel){"table", series->table};
    out->label[2] = (PrometheusLabel){"version", out->version};
    out->label[3] = (PrometheusLabel){"arm", series->arm};
    out->label[4] = (PrometheusLabel){"operation", operation_names[series->operation]};
}

static void histogram(Bytes *out, const CounterSeries *series) {
    static const char name[] = "recommend_request_duration_seconds";
    char sample[sizeof name + 8], bound[32];
    SeriesLabels labels;
    uint64_t below = 0;
    labels_of(&labels, series);
    labels.label[N_LABELS] = (PrometheusLabel){"le", bound};
    text_format(sample, sizeof sample, "%s_bucket", name);
    for (int i = 0; i <= COUNTER_BUCKETS; i++) {
        below += series->bucket[i];
        if (i < COUNTER_BUCKETS) text_format(bound, sizeof bound, "%g", counter_bound[i]);
        else text_format(bound, sizeof bound, "+Inf");
        prometheus_sample(out, sample, labels.label, N_LABELS + 1, (double)below);
    }
    text_format(sample, sizeof sample, "%s_sum", name);
    prometheus_sample(out, sample, labels.label, N_LABELS, (double)series->nanoseconds * 1e-9);
    text_format(sample, sizeof sample, "%s_count", name);
    /* of the buckets, which were read together with them: a request may be half counted */
    prometheus_sample(out, sample, labels.label, N_LABELS, (double)below);
}

void prometheus_counters(Bytes *out, const CounterSeries *series, size_t n) {
    static const struct {
        const char *name, *help;
        size_t offset;
    } counters[] = {
        {"recommend_requests_total", "Lists and searches asked for.",
            offsetof(CounterSeries, requests)},
        {"recommend_errors_total", "Requests that failed.", offsetof(CounterSeries, errors)},
        {"recommend_fall_backs_total", "Requests that an earlier version answered.",
            offsetof(CounterSeries, fall_backs)},
        {"recommend_rows_total", "Rows answered.", offsetof(CounterSeries, rows)},
        {"recommend_filled_rows_total", "Rows that came from the popular list.",
            offsetof(CounterSeries, filled)},
        {"recommend_candidates_total", "Candidates given with requests.",
            offsetof(CounterSeries, candidates)},
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        prometheus_family(out, counters[i].name, "counter", counters[i].help);
        for (size_t j = 0; j < n; j++) {
            SeriesLabels labels;
            uint64_t value;
            memcpy(&value, (const char *)&series[j] + counters[i].offset, sizeof value);
            labels_of(&labels, &series[j]);
            prometheus_sample(out, counters[i].name, labels.label, N_LABELS, (double)value);
        }
    }
    prometheus_family(
        out, "recommend_request_duration_seconds", "histogram", "How long a request took.");
    for (size_t j = 0; j < n; j++) histogram(out, &series[j]);
}
