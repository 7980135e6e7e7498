/* A fitted feature: its options, its stored form, its words. */
#include <math.h>
#include <string.h>

#include "../base/date.h"
#include "../base/memory.h"
#include "feature.h"

const OptSpec feature_options[] = {
    {"kind", OPT_CHOICE, offsetof(FeatureOptions, kind), 0, 0, FEATURE_AUTO, FEATURE_KINDS,
        "what the column is; ignore: no feature"},
    FEATURE_OPTIONS(FeatureOptions, ),
    {0},
};

void feature_clear(Feature *feature) {
    mem_free(feature->name);
    mem_free(feature->edge);
    keymap_free(feature->keys);
    mem_free(feature->weight);
    mem_free(feature->fold_weight);
    *feature = (Feature){0};
}

/* Numbers in `weight`: of text one a term, of target means a set a category and one more. */
static size_t n_weights(const Feature *feature) {
    size_t keys = feature->keys ? (size_t)keymap_count(feature->keys) : 0;
    if (feature->kind == FEATURE_TEXT) return keys;
    if (feature->kind == FEATURE_CATEGORY && feature->options.encode == ENCODE_TARGET)
        return (keys + 1) * (size_t)feature->width;
    return 0;
}

size_t feature_memory(const Feature *feature) {
    return sizeof *feature + (size_t)feature->n_edges * sizeof *feature->edge +
        n_weights(feature) * sizeof *feature->weight +
        (feature->keys ? keymap_memory(feature->keys) : 0);
}

void design_row_clear(DesignRow *row) {
    mem_free(row->dense);
    mem_free(row->col);
    mem_free(row->val);
    *row = (DesignRow){0};
}

/* ---- stored form ---- */

void feature_write(const Feature *feature, Bytes *out) {
    const double number[] = {
        feature->low, feature->high, feature->fill, feature->shift, feature->scale};
    bytes_text(out, feature->name);
    options_write(feature_options, &feature->options, out);
    bytes_u32(out, (uint32_t)feature->kind);
    bytes_u32(out, (uint32_t)feature->is_sparse);
    bytes_u32(out, (uint32_t)feature->first);
    bytes_u32(out, (uint32_t)feature->width);
    bytes_u32(out, (uint32_t)feature->has_indicator);
    bytes_u64(out, (uint64_t)feature->n);
    bytes_u64(out, (uint64_t)feature->n_missing);
    bytes_text(out, feature->note);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) bytes_f64(out, number[i]);
    bytes_u32(out, (uint32_t)feature->n_edges);
    for (int32_t i = 0; i < feature->n_edges; i++) bytes_f64(out, feature->edge[i]);
    bytes_u32(out, (uint32_t)feature->dim);
    bytes_u32(out, feature->keys != NULL);
    if (feature->keys) keymap_write(feature->keys, out);
    bytes_append(out, feature->weight, n_weights(feature) * sizeof *feature->weight);
}

static Status read_arrays(Feature *out, Reader *in, Err *err) {
    out->n_edges = (int32_t)read_u32(in);
    if (out->n_edges < 0 || out->n_edges > 1000) in->failed = 1;
    if (in->failed) return ST_OK;
    out->edge = mem_array((size_t)out->n_edges, sizeof *out->edge);
    if (!out->edge) return fail_nomem(err, "a feature");
    for (int32_t i = 0; i < out->n_edges; i++) out->edge[i] = read_f64(in);
    out->dim = (int32_t)read_u32(in);
    if (read_u32(in)) TRY(keymap_read(in, &out->keys, err));
    size_t n = in->failed ? 0 : n_weights(out);
    const void *weight = read_block(in, n, sizeof *out->weight);
    if (in->failed || !n) return ST_OK;
    if (!(out->weight = mem_array(n, sizeof *out->weight))) return fail_nomem(err, "a feature");
    memcpy(out->weight, weight, n * sizeof *out->weight);
    return ST_OK;
}

/* Does what was read hold together? Applying it relies on that. */
static int is_sound(const Feature *f) {
    int32_t keys = f->keys ? keymap_count(f->keys) : 0;
    int32_t own = f->width - (f->has_indicator != 0);
    const double number[] = {f->low, f->high, f->fill, f->shift, f->scale};
    if (f->first < 0 || f->width < 0 || own < 0 || (f->is_sparse & ~1) || (f->has_indicator & ~1))
        return 0;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (!isfinite(number[i])) return 0;
    if (f->scale == 0) return 0;
    switch (f->kind) {
    case FEATURE_IGNORE: return f->width == 0;
    case FEATURE_NUMBER:
    case FEATURE_BOOLEAN:
        return own == (f->options.scale == SCALE_BINS ? f->n_edges + 1 : 1) &&
            f->is_sparse == (f->options.scale == SCALE_BINS);
    case FEATURE_TIMESTAMP:
        return own == (f->is_sparse ? 44 : 4) && date_is_possible(f->fill) &&
            !(f->is_sparse && f->options.missing == MISSING_NATIVE);
    case FEATURE_CATEGORY:
        return f->keys && own > 0 &&
            (f->options.encode == ENCODE_TARGET ? !f->is_sparse
                                                : f->is_sparse && own == keys + f->options.buckets);
    case FEATURE_TEXT: return f->keys && f->is_sparse && own == keys;
    case FEATURE_VECTOR: return !f->is_sparse && own == f->dim;
    default: return 0;
    }
}

Status feature_read(Feature *out, Reader *in, Err *err) {
    size_t len;
    *out = (Feature){0};
    const char *name = read_text(in, &len);
    if (in->failed) return fail(err, ST_CORRUPT, "a feature is cut short");
    if (!(out->name = mem_text(name, len))) return fail_nomem(err, "a feature");
    TRY(options_read(feature_options, &out->options, in, err));
    out->kind = (FeatureKind)read_u32(in);
    out->is_sparse = (int)read_u32(in);
    out->first = (int32_t)read_u32(in);
    out->width = (int32_t)read_u32(in);
    out->has_indicator = (int)read_u32(in);
    out->n = (int64_t)read_u64(in);
    out->n_missing = (int64_t)read_u64(in);
    const char *note = read_text(in, &len);
    if (!in->failed && len < sizeof out->note) memcpy(out->note, note, len);
    out->low = read_f64(in);
    out->high = read_f64(in);
    out->fill = read_f64(in);
    out->shift = read_f64(in);
    out->scale = read_f64(in);
    TRY(read_arrays(out, in, err));
    if (in->failed || !is_sound(out))
        return fail(err, ST_CORRUPT, "feature '%.60s' is damaged", out->name);
    return ST_OK;
}

/* ---- words ---- */

static void key_name(const Feature *feature, const char *between, int32_t id, Bytes *out) {
    Key key = keymap_key(feature->keys, id);
    bytes_format(out, "%s%s", feature->name, between);
    if (key.text) bytes_append(out, key.text, key.len);
    else bytes_format(out, "%lld", (long long)key.integer);
}

static void part_of_date(const Feature *feature, int32_t column, Bytes *out) {
    static const char *const parts[] = {"days", "month", "weekday", "hour"};
    if (!feature->is_sparse || column == 0)
        bytes_format(out, "%s.%s", feature->name, parts[feature->is_sparse ? 0 : column]);
    else if (column < 13) bytes_format(out, "%s.month=%d", feature->name, (int)column);
    else if (column < 20) bytes_format(out, "%s.weekday=%d", feature->name, (int)column - 13);
    else bytes_format(out, "%s.hour=%d", feature->name, (int)column - 20);
}

void feature_column_name(const Feature *feature, int32_t column, Bytes *out) {
    int32_t keys = feature->keys ? keymap_count(feature->keys) : 0;
    if (feature->has_indicator && column == feature->width - 1)
        bytes_format(out, "%s is missing", feature->name);
    else if (feature->kind == FEATURE_TIMESTAMP) part_of_date(feature, column, out);
    else if (feature->kind == FEATURE_TEXT) key_name(feature, "~", column, out);
    else if (feature->kind == FEATURE_VECTOR)
        bytes_format(out, "%s[%d]", feature->name, (int)column);
    else if (feature->is_sparse && feature->kind == FEATURE_CATEGORY && column < keys)
        key_name(feature, "=", column, out);
    else if (feature->is_sparse && feature->kind == FEATURE_CATEGORY)
        bytes_format(out, "%s=other %d", feature->name, (int)(column - keys));
    else if (feature->is_sparse && feature->n_edges && column)
        bytes_format(out, "%s>=%.6g", feature->name, feature->edge[column - 1]);
    else if (feature->is_sparse && feature->n_edges)
        bytes_format(out, "%s<%.6g", feature->name, feature->edge[0]);
    else if (feature->width - (feature->has_indicator != 0) > 1)
        bytes_format(out, "%s mean %d", feature->name, (int)column);
    else bytes_format(out, "%s", feature->name);
}

static void describe_number(const Feature *feature, Bytes *out) {
    static const char *const scales[] = {
        "as it is", "standardised", "to 0..1", "log, standardised", "quantile bins", "as it is"};
    static const char *const fills[] = {"mean", "median", "mode", "zero"};
    if (feature->options.clip > 0)
        bytes_format(out, "clipped to %.6g..%.6g, ", feature->low, feature->high);
    bytes_format(out, "%s", scales[feature->options.scale]);
    if (feature->options.missing == MISSING_NATIVE) return;
    if (feature->options.scale != SCALE_BINS)
        bytes_format(out, "; missing: %s", fills[feature->options.impute]);
    if (feature->has_indicator)
        bytes_format(
            out, feature->options.scale == SCALE_BINS ? "; missing: indicator" : " and indicator");
}

void feature_describe(const Feature *feature, Bytes *out) {
    long long keys = feature->keys ? keymap_count(feature->keys) : 0;
    switch (feature->kind) {
    case FEATURE_NUMBER: describe_number(feature, out); break;
    case FEATURE_BOOLEAN: describe_number(feature, out); break;
    case FEATURE_TIMESTAMP: bytes_format(out, "days, month, weekday, hour"); break;
    case FEATURE_VECTOR: bytes_format(out, "its %d elements", (int)feature->dim); break;
    case FEATURE_TEXT:
        bytes_format(out, "tf-idf of %lld %s", keys,
            feature->options.analyzer == ANALYZER_CHAR ? "runs of characters" : "terms");
        break;
    case FEATURE_CATEGORY:
        if (feature->options.encode == ENCODE_TARGET)
            bytes_format(out, "mean of the label in %lld categories", keys);
        else
            bytes_format(out, "indicators of %lld categories, %lld for others", keys,
                (long long)feature->options.buckets);
        break;
    default: bytes_format(out, "left out");
    }
}
