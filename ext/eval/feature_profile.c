#include "feature_profile.h"

#include <math.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "../metrics/sort.h"
#include "../metrics/special.h"

void feature_profile_clear(FeatureProfile *profile) {
    for (int32_t i = 0; i < profile->n; i++) keymap_free(profile->counts[i].keys);
    mem_free(profile->counts);
    *profile = (FeatureProfile){0};
}

static Status make_room(FeatureProfile *out, int32_t features, Err *err) {
    out->counts = mem_zeros((size_t)features + 1, sizeof *out->counts);
    if (!out->counts) return fail_nomem(err, "the profile");
    out->n = features + 1;
    return ST_OK;
}

/* ---- values ---- */

/* NaN: missing, or none. */
static double number_of(const Feature *feature, const Cell *cell) {
    double x;
    Err ignored = {0};
    if (feature->kind == FEATURE_TEXT)
        return cell->type == CELL_TEXT ? (double)cell->len : (double)NAN;
    return feature_number(feature, cell, &x, &ignored) == ST_OK ? x : (double)NAN;
}

static int bin_of_number(const FeatureCounts *c, double x) {
    int bin = 0;
    if (isnan(x)) return c->n - 1;
    while (bin < c->n - 2 && x > c->edge[bin]) bin++;
    return bin;
}

static int bin_of_cell(const FeatureCounts *c, const Feature *feature, const Cell *cell) {
    char buffer[CELL_BUFFER];
    Key key;
    if (!c->by_key) return bin_of_number(c, number_of(feature, cell));
    if (!cell_key(cell, buffer, &key)) return c->n - 1;
    int32_t id = keymap_find(c->keys, key);
    return id >= 0 ? id : c->n - 2;
}

/* ---- what the bins are ---- */

static void set_deciles(FeatureCounts *c, double *x, int64_t n) {
    sort_doubles(x, (size_t)n);
    c->n = 2;
    for (int i = 1; i <= PROFILE_EDGES && n; i++) {
        double edge = x[n * i / (PROFILE_EDGES + 1)];
        if (edge >= x[n - 1]) break;
        if (c->n > 2 && edge <= c->edge[c->n - 3]) continue;
        c->edge[c->n++ - 2] = edge;
    }
}

typedef struct Frequent {
    int64_t count;
    int32_t id;
} Frequent;

static int more_frequent(const void *a, const void *b) {
    const Frequent *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Does JSON have it? Others are counted with all others. */
static int is_plain(Key key) {
    if (!key.text) return 1;
    json_t *text = memchr(key.text, 0, key.len) ? NULL : json_stringn(key.text, key.len);
    json_decref(text);
    return text != NULL;
}

/* The most frequent keys, ties by when they came first. */
static Status keep_frequent(FeatureCounts *c, const KeyMap *all, const int64_t *count, Err *err) {
    int32_t n = keymap_count(all);
    Frequent *frequent = mem_array((size_t)n, sizeof *frequent);
    Status status = frequent && (c->keys = keymap_new()) ? ST_OK : fail_nomem(err, "the profile");
    for (int32_t i = 0; i < n && status == ST_OK; i++) frequent[i] = (Frequent){count[i], i};
    if (status == ST_OK) qsort(frequent, (size_t)n, sizeof *frequent, more_frequent);
    for (int32_t i = 0; status == ST_OK && i < n && keymap_count(c->keys) < PROFILE_KEYS; i++) {
        int32_t id;
        Key key = keymap_key(all, frequent[i].id);
        if (is_plain(key)) status = keymap_add(c->keys, key, &id, err);
    }
    mem_free(frequent);
    if (status == ST_OK) c->n = keymap_count(c->keys) + 2;
    return status;
}

typedef struct Rows {
    const Predictor *predictor;
    const Columns *columns;
    Cell *cells; /* of a row */
    Bytes buffer;
} Rows;

static Cell cell_of_row(Rows *rows, int32_t feature, int64_t row) {
    const Columns *columns = rows->columns;
    const int32_t *source = &rows->predictor->features.source[2 * feature];
    for (int i = 0; i < 2; i++) /* the columns that it is made of */
        if (source[i] >= 0)
            rows->cells[source[i]] = column_cell(&columns->column[columns->asked[source[i]]], row);
    return feature_set_cell(&rows->predictor->features, feature, rows->cells, &rows->buffer);
}

static Status find_keys(FeatureCounts *c, Rows *rows, int32_t feature, Err *err) {
    KeyMap *all = keymap_new();
    int64_t n = rows->columns->n_rows, *count = mem_zeros((size_t)n + 1, sizeof *count);
    Status status = all && count ? ST_OK : fail_nomem(err, "the profile");
    for (int64_t i = 0; i < n && status == ST_OK; i++) {
        char buffer[CELL_BUFFER];
        Key key;
        int32_t id;
        Cell cell = cell_of_row(rows, feature, i);
        if (!cell_key(&cell, buffer, &key)) continue;
        status = keymap_add(all, key, &id, err);
        if (status == ST_OK) count[id]++;
    }
    if (status == ST_OK) status = keep_frequent(c, all, count, err);
    keymap_free(all);
    mem_free(count);
    return status;
}

static Status find_deciles(FeatureCounts *c, Rows *rows, int32_t feature, Err *err) {
    int64_t n = 0;
    double *x = mem_array((size_t)rows->columns->n_rows, sizeof *x);
    if (!x) return fail_nomem(err, "the profile");
    for (int64_t i = 0; i < rows->columns->n_rows; i++) {
        Cell cell = cell_of_row(rows, feature, i);
        x[n] = number_of(&rows->predictor->features.feature[feature], &cell);
        n += !isnan(x[n]);
    }
    set_deciles(c, x, n);
    mem_free(x);
    return ST_OK;
}

static Status look_at(FeatureCounts *c, Rows *rows, int32_t feature, Err *err) {
    const Feature *own = &rows->predictor->features.feature[feature];
    c->by_key = own->kind == FEATURE_CATEGORY;
    c->is_looked_at = own->kind == FEATURE_NUMBER || own->kind == FEATURE_BOOLEAN ||
        own->kind == FEATURE_TEXT || c->by_key;
    if (!c->is_looked_at) return ST_OK;
    TRY(c->by_key ? find_keys(c, rows, feature, err) : find_deciles(c, rows, feature, err));
    for (int64_t i = 0; i < rows->columns->n_rows; i++) {
        Cell cell = cell_of_row(rows, feature, i);
        c->count[bin_of_cell(c, own, &cell)]++;
    }
    return rows->buffer.failed ? fail_nomem(err, "the profile") : ST_OK;
}

/* A tenth of the examples that judged is in each, as the edges are their deciles. */
static void take_predictions(FeatureCounts *c, const Predictor *predictor) {
    c->is_looked_at = predictor->n_deciles > 0;
    c->n = predictor->n_deciles + 2;
    for (int i = 0; i < predictor->n_deciles; i++) c->edge[i] = predictor->decile[i];
    for (int i = 0; i <= predictor->n_deciles; i++) c->count[i] = predictor->decile_count[i];
}

Status feature_profile_of(
    FeatureProfile *out, const Predictor *predictor, const Columns *columns, Err *err) {
    Rows rows = {.predictor = predictor, .columns = columns};
    Status status = make_room(out, predictor->features.n, err);
    rows.cells = mem_array((size_t)columns->n_asked, sizeof *rows.cells);
    if (status == ST_OK && !rows.cells) status = fail_nomem(err, "the profile");
    for (int32_t i = 0; i < predictor->features.n && status == ST_OK; i++)
        status = look_at(&out->counts[i], &rows, i, err);
    if (status == ST_OK) take_predictions(&out->counts[out->n - 1], predictor);
    mem_free(rows.cells);
    bytes_clear(&rows.buffer);
    return status;
}

Status feature_profile_empty(FeatureProfile *out, const FeatureProfile *like, Err *err) {
    TRY(make_room(out, like->n - 1, err));
    for (int32_t i = 0; i < like->n; i++) {
        FeatureCounts *c = &out->counts[i];
        *c = like->counts[i];
        c->keys = NULL;
        memset(c->count, 0, sizeof c->count);
        if (!like->counts[i].keys) continue;
        if (!(c->keys = keymap_new())) return fail_nomem(err, "the profile");
        for (int32_t k = 0; k < keymap_count(like->counts[i].keys); k++) {
            int32_t id;
            TRY(keymap_add(c->keys, keymap_key(like->counts[i].keys, k), &id, err));
        }
    }
    return ST_OK;
}

Status feature_profile_add(FeatureProfile *profile, const Predictor *predictor, const Cell *cells,
    const Prediction *prediction, Bytes *buffer, Err *err) {
    const FeatureSet *set = &predictor->features;
    for (int32_t i = 0; i < set->n; i++) {
        FeatureCounts *c = &profile->counts[i];
        if (!c->is_looked_at) continue;
        Cell cell = feature_set_cell(set, i, cells, buffer);
        c->count[bin_of_cell(c, &set->feature[i], &cell)]++;
    }
    FeatureCounts *last = &profile->counts[set->n];
    if (last->is_looked_at)
        last->count[bin_of_number(last, prediction_number(predictor, prediction))]++;
    return buffer->failed ? fail_nomem(err, "the profile") : ST_OK;
}

/* ---- as JSON ---- */

static void counts_json(const FeatureCounts *c, Bytes *out) {
    if (!c->is_looked_at) {
        bytes_append(out, "null", 4);
        return;
    }
    bytes_format(out, c->by_key ? "{\"keys\":[" : "{\"edges\":[");
    for (int k = 0; k < c->n - 2; k++) {
        if (k) bytes_append(out, ",", 1);
        if (c->by_key) key_json(keymap_key(c->keys, k), out);
        else bytes_format(out, "%.17g", c->edge[k]);
    }
    bytes_append(out, "],\"counts\":[", 12);
    for (int k = 0; k < c->n; k++) bytes_format(out, "%s%.0f", k ? "," : "", c->count[k]);
    bytes_append(out, "]}", 2);
}

void feature_profile_json(const FeatureProfile *profile, Bytes *out) {
    bytes_format(out, "{\"features\":[");
    for (int32_t i = 0; i + 1 < profile->n; i++) {
        if (i) bytes_append(out, ",", 1);
        counts_json(&profile->counts[i], out);
    }
    bytes_format(out, "],\"predictions\":");
    counts_json(&profile->counts[profile->n - 1], out);
    bytes_append(out, "}", 1);
}

static Status damaged(Err *err) {
    return fail(err, ST_CORRUPT, "what the version was trained on is damaged");
}

static Status parse_keys(const json_t *keys, FeatureCounts *out, Err *err) {
    size_t i;
    json_t *key;
    if (!(out->keys = keymap_new())) return fail_nomem(err, "the profile");
    json_array_foreach(keys, i, key) {
        int32_t id;
        const char *text = json_string_value(key);
        Key own = text ? (Key){.text = text, .len = json_string_length(key)}
                       : (Key){.integer = json_integer_value(key)};
        if (!text && !json_is_integer(key)) return damaged(err);
        TRY(keymap_add(out->keys, own, &id, err));
        if (id != (int32_t)i) return damaged(err);
    }
    return ST_OK;
}

static Status parse_counts(const json_t *root, int by_key, FeatureCounts *out, Err *err) {
    const json_t *keys = json_object_get(root, "keys"), *edges = json_object_get(root, "edges"),
                 *counts = json_object_get(root, "counts");
    size_t most = by_key ? PROFILE_KEYS : PROFILE_EDGES;
    size_t n = json_array_size(by_key ? keys : edges);
    if (json_is_null(root)) return ST_OK;
    if (n > most || json_array_size(counts) != n + 2) return damaged(err);
    out->is_looked_at = 1;
    out->by_key = by_key;
    out->n = (int)n + 2;
    for (size_t i = 0; i < n + 2; i++) {
        out->count[i] = json_number_value(json_array_get(counts, i));
        if (!(out->count[i] >= 0 && out->count[i] < 1e15)) return damaged(err);
    }
    if (by_key) return parse_keys(keys, out, err);
    for (size_t i = 0; i < n; i++) {
        out->edge[i] = json_number_value(json_array_get(edges, i));
        if (i && !(out->edge[i] > out->edge[i - 1])) return damaged(err);
    }
    return ST_OK;
}

Status feature_profile_parse(
    const char *json, const Predictor *predictor, FeatureProfile *out, Err *err) {
    json_error_t json_error;
    json_t *root = json_loads(json, 0, &json_error);
    const json_t *features = json_object_get(root, "features");
    const FeatureSet *set = &predictor->features;
    *out = (FeatureProfile){0};
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the profile");
    Status status = json_array_size(features) == (size_t)set->n ? make_room(out, set->n, err)
                                                                : damaged(err);
    for (int32_t i = 0; i < set->n && status == ST_OK; i++)
        status = parse_counts(json_array_get(features, (size_t)i),
            set->feature[i].kind == FEATURE_CATEGORY, &out->counts[i], err);
    if (status == ST_OK)
        status = parse_counts(json_object_get(root, "predictions"), 0, &out->counts[set->n], err);
    json_decref(root);
    if (status != ST_OK) feature_profile_clear(out);
    return status;
}

/* ---- comparing ---- */

double stability_index(const double *p, const double *q, int n) {
    double all_p = n * .5, all_q = n * .5, sum = 0;
    for (int b = 0; b < n; b++) {
        all_p += p[b];
        all_q += q[b];
    }
    for (int b = 0; b < n; b++) {
        double x = (p[b] + .5) / all_p, y = (q[b] + .5) / all_q;
        sum += (y - x) * log(y / x);
    }
    return sum;
}

FeatureDrift feature_drift(const FeatureCounts *then, const FeatureCounts *now) {
    double n = 0, m = 0, chi = 0;
    int used = 0;
    for (int b = 0; b < then->n; b++) {
        n += then->count[b];
        m += now->count[b];
    }
    if (!(n > 0) || !(m > 0)) return (FeatureDrift){0, 1};
    for (int b = 0; b < then->n; b++) {
        double both = then->count[b] + now->count[b];
        if (!(both > 0)) continue;
        double expect_n = both * n / (n + m), expect_m = both * m / (n + m);
        chi += pow(then->count[b] - expect_n, 2) / expect_n +
            pow(now->count[b] - expect_m, 2) / expect_m;
        used++;
    }
    return (FeatureDrift){stability_index(then->count, now->count, then->n),
        used > 1 ? chi_square_upper(chi, used - 1) : 1};
}
