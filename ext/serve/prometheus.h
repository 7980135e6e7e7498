/* The text that Prometheus reads (exposition format 0.0.4). */
#ifndef REC_PROMETHEUS_H
#define REC_PROMETHEUS_H

#include "../base/bytes.h"
#include "counters.h"

typedef struct PrometheusLabel {
    const char *name, *value;
} PrometheusLabel;

/* # HELP and # TYPE; then the samples of that name. */
void prometheus_family(Bytes *out, const char *name, const char *type, const char *help);
void prometheus_sample(
    Bytes *out, const char *name, const PrometheusLabel *label, int n, double value);

/* Families of all that was counted: requests, errors, rows, ..., and a histogram of seconds. */
void prometheus_counters(Bytes *out, const CounterSeries *series, size_t n);

#endif
