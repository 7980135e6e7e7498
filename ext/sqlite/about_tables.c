/* rec_info(key, value), rec_options(algorithm), rec_progress, rec_devices: what the library is and
 * does, whatever the database. */
#define _DEFAULT_SOURCE /* _SC_PHYS_PAGES */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../ann/ann.h"
#include "../ann/gpu.h"
#include "../base/text.h"
#include "../learn/predictor.h"
#include "../math/dense.h"
#include "../math/kernels.h"
#include "../models/model.h"
#include "host/cache.h"
#include "host/jobs.h"
#include "host/parts.h"
#include "host/row_table.h"
#include "host/values.h"
#include "model/tune.h"

static void pair(RowSink *sink, const char *key, const char *value) {
    row_text(sink, key);
    row_text(sink, value);
}

static void number(RowSink *sink, const char *key, long long value) {
    char text[32];
    text_format(text, sizeof text, "%lld", value);
    pair(sink, key, text);
}

static Status info_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    CacheUsage cache = cache_usage();
    (void)db, (void)argv, (void)err;
    pair(sink, "version", REC_VERSION);
    pair(sink, "sqlite", sqlite3_libversion());
    pair(sink, "faiss", ann_faiss_version());
    pair(sink, "openblas", dense_library());
    pair(sink, "jansson", JANSSON_VERSION);
    pair(sink, "simd", kernels()->name);
    number(sink, "threads", task_default_threads());
    pair(sink, "device", "cpu");
    number(sink, "cache_entries", (long long)cache.entries);
    number(sink, "cache_bytes", (long long)cache.bytes);
    number(sink, "cache_hits", (long long)cache.hits);
    number(sink, "cache_misses", (long long)cache.misses);
    return ST_OK;
}

static const char *kind_name(OptKind kind) {
    static const char *const names[] = {"integer", "real", "flag", "choice", "time", "text"};
    return names[kind];
}

static void option_rows(const char *name, const OptSpec *specs, void *params, RowSink *sink) {
    options_default(specs, params);
    for (const OptSpec *spec = specs; spec->name; spec++) {
        row_text(sink, name);
        row_text(sink, spec->name);
        row_text(sink, kind_name(spec->kind));
        row_option_range(sink, spec);
        row_option_initial(sink, spec, params);
        row_text(sink, spec->help);
    }
}

/* The word for what all algorithms of rec_predictor take. */
static const char PREDICTOR[] = "predictor";

static int is_of_predictors(const char *name) {
    return learner_find(name) || strcmp(name, PREDICTOR) == 0;
}

static void predictor_rows(const char *wanted, RowSink *sink) {
    LearnerParams params;
    PredictorCommon common;
    for (size_t i = 0; learner_registry[i]; i++)
        if (!wanted || strcmp(wanted, learner_registry[i]->name) == 0)
            option_rows(learner_registry[i]->name, learner_registry[i]->options, &params, sink);
    if (!wanted || strcmp(wanted, PREDICTOR) == 0)
        option_rows(PREDICTOR, predictor_options, &common, sink);
}

static Status options_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    const char *wanted = value_text(argv[0]);
    AlgorithmParams params;
    CommonParams common;
    TuneCall call = {0};
    int automatic = !wanted || strcmp(wanted, "auto") == 0;
    (void)db;
    if (!automatic && !algorithm_find(wanted) && !is_of_predictors(wanted))
        return fail(err, ST_BADARG,
            "no algorithm '%.60s' (SELECT DISTINCT algorithm FROM rec_options)", wanted);
    for (size_t i = 0; algorithm_registry[i]; i++) {
        const Algorithm *algorithm = algorithm_registry[i];
        if (wanted && strcmp(wanted, algorithm->name) != 0) continue;
        option_rows(algorithm->name, algorithm->options, &params, sink);
        option_rows(algorithm->name, model_common_options, &common, sink);
    }
    if (automatic) option_rows("auto", tune_options, &call, sink);
    predictor_rows(wanted, sink);
    return ST_OK;
}

static Status progress_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    (void)db, (void)argv, (void)err;
    jobs_rows(sink);
    return ST_OK;
}

/* ---- rec_devices ---- */

static void device_row(RowSink *sink, const char *device, const char *kind, const char *name,
    double total, double available, const char *state, const char *reason) {
    row_text(sink, device);
    row_text(sink, kind);
    row_text(sink, name);
    const double bytes[] = {total, available};
    for (int i = 0; i < 2; i++) {
        if (isnan(bytes[i])) row_null(sink);
        else row_integer(sink, (sqlite3_int64)bytes[i]);
    }
    row_text(sink, state);
    row_text(sink, reason && *reason ? reason : NULL);
}

static Status gpu_rows(RowSink *sink, Err *err) {
    char reason[300] = "", note[300], device[16];
    int n = gpu_count(reason, sizeof reason);
    gpu_noted(note, sizeof note);
    if (n == 0) device_row(sink, "gpu", "gpu", NULL, NAN, NAN, "unavailable", reason);
    for (int i = 0; i < n; i++) {
        GpuInfo info;
        Err own = {0};
        Status status = gpu_info(i, &info, &own);
        if (status == ST_NOMEM) return fail_nomem(err, "the devices");
        text_format(device, sizeof device, "gpu:%d", i);
        if (status == ST_OK)
            device_row(sink, device, "gpu", info.name, (double)info.memory_total,
                (double)info.memory_free, "ready", i == 0 ? note : NULL);
        else device_row(sink, device, "gpu", NULL, NAN, NAN, "failed", own.text);
    }
    return ST_OK;
}

/* The CPU, and what GPUs there are; asking opens the plug-in. */
static Status devices_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    char name[64];
    double page = (double)sysconf(_SC_PAGESIZE);
    (void)db, (void)argv;
    text_format(name, sizeof name, "%s, %d threads", kernels()->name, task_default_threads());
    device_row(sink, "cpu", "cpu", name, page * (double)sysconf(_SC_PHYS_PAGES),
        page * (double)sysconf(_SC_AVPHYS_PAGES), "ready", NULL);
    return gpu_rows(sink, err);
}

int register_info_tables(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_info",
            .columns = "key TEXT, value TEXT",
            .n_columns = 2,
            .arguments = "",
            .flags = SQLITE_VTAB_DIRECTONLY,
            .fill = info_fill},
        {.name = "rec_options",
            .columns =
                "algorithm TEXT, option TEXT, type TEXT, range TEXT, initial TEXT, meaning TEXT",
            .n_columns = 6,
            .arguments = ", for_algorithm HIDDEN",
            .n_arguments = 1,
            .flags = SQLITE_VTAB_INNOCUOUS,
            .fill = options_fill},
        {.name = "rec_progress",
            .columns = "job INTEGER, name TEXT, phase TEXT, done INTEGER, total INTEGER, seconds "
                       "REAL, seconds_left REAL, unit TEXT, rate REAL",
            .n_columns = 9,
            .arguments = "",
            .flags = SQLITE_VTAB_DIRECTONLY,
            .fill = progress_fill},
        {.name = "rec_devices",
            .columns = "device TEXT, kind TEXT, name TEXT, memory_total INTEGER, memory_free "
                       "INTEGER, state TEXT, reason TEXT",
            .n_columns = 7,
            .arguments = "",
            .flags = SQLITE_VTAB_DIRECTONLY,
            .fill = devices_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
