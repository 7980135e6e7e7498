#include "feature_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/date.h"
#include "../base/memory.h"
#include "../base/text.h"
#include "../metrics/sort.h"

/* Trees look at every term of every example: at most so many, and one-hot up to so many. */
enum { TREE_TERMS = 500, TREE_ONEHOT = 8 };

/* ---- kinds ---- */

/* What a column's cells are. */
typedef struct Census {
    int64_t n, nulls, integers, reals, texts, blobs;
    int64_t zeros_and_ones; /* of integers */
    int64_t dates, numbers; /* of texts: that are one */
    int64_t words;          /* in all texts */
    int64_t distinct;       /* texts */
} Census;

static int64_t count_words(const Cell *cell) {
    int64_t n = 0;
    int inside = 0;
    for (size_t i = 0; i < cell->len; i++) {
        int blank = ascii_is_space(cell->bytes[i]);
        n += !blank && !inside;
        inside = !blank;
    }
    return n;
}

static Status count(const Column *column, const FitExamples *examples, Census *out, Err *err) {
    Census census = {.n = examples->n};
    size_t texts = column->texts ? (size_t)keymap_count(column->texts) : 0;
    uint8_t *seen = mem_zeros(texts, 1);
    if (!seen) return fail_nomem(err, "a feature");
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        double number;
        switch (cell.type) {
        case CELL_NULL: census.nulls++; break;
        case CELL_INTEGER:
            census.integers++;
            census.zeros_and_ones += cell.integer == 0 || cell.integer == 1;
            break;
        case CELL_REAL: census.reals++; break;
        case CELL_BLOB: census.blobs++; break;
        default:
            census.texts++;
            census.dates += date_parse(cell.bytes, cell.len, &number);
            census.numbers += number_parse(cell.bytes, cell.len, &number);
            census.words += count_words(&cell);
            census.distinct += !seen[column->bytes[examples->row[i]]];
            seen[column->bytes[examples->row[i]]] = 1;
        }
    }
    mem_free(seen);
    *out = census;
    return ST_OK;
}

static int declares(const Column *column, const char *word) {
    size_t n = strlen(word);
    for (const char *at = column->declared; *at; at++) {
        size_t i = 0;
        while (i < n && ascii_lower(at[i]) == word[i]) i++;
        if (i == n) return 1;
    }
    return 0;
}

/* Texts of three words and more on average, hardly two the same. */
static int are_texts(const Census *census) {
    return census->words >= 3 * census->texts && 2 * census->distinct > census->texts &&
        census->distinct > 20;
}

static FeatureKind infer(const Column *column, const Census *census) {
    int64_t numbers = census->integers + census->reals;
    int says_time = declares(column, "date") || declares(column, "time");
    if (census->blobs) return FEATURE_VECTOR;
    if (!numbers && !census->texts) return FEATURE_IGNORE;
    if (!numbers && census->dates == census->texts) return FEATURE_TIMESTAMP;
    if (numbers && !census->texts) {
        if (says_time) return FEATURE_TIMESTAMP;
        return census->zeros_and_ones == numbers ? FEATURE_BOOLEAN : FEATURE_NUMBER;
    }
    if (numbers && census->numbers == census->texts) return FEATURE_NUMBER;
    return !numbers && are_texts(census) ? FEATURE_TEXT : FEATURE_CATEGORY;
}

static void note(Feature *feature, const char *text) {
    text_format(feature->note, sizeof feature->note, "%s", text);
}

/* ---- numbers ---- */

/* The q-th quantile of ascending values, between two by their distance (NumPy's default). */
static double quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t low = (int64_t)floor(at), high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (sorted[high] - sorted[low]) * (at - (double)low);
}

static double mode_of(const double *sorted, int64_t n) {
    double best = sorted[0];
    int64_t most = 0;
    for (int64_t i = 0, to; i < n; i = to) {
        for (to = i; to < n && sorted[to] == sorted[i];) to++;
        if (to - i <= most) continue;
        most = to - i;
        best = sorted[i];
    }
    return best;
}

static double mean_of(const double *value, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += value[i];
    return n ? sum / (double)n : 0;
}

static double deviation_of(const double *value, int64_t n, double mean) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (value[i] - mean) * (value[i] - mean);
    return n ? sqrt(sum / (double)n) : 0;
}

static Status bin_edges(Feature *feature, const double *sorted, int64_t n, Err *err) {
    int64_t bins = feature->options.bins;
    feature->edge = mem_array((size_t)bins, sizeof *feature->edge);
    if (!feature->edge) return fail_nomem(err, "a feature");
    for (int64_t b = 1; b < bins; b++) {
        double edge = quantile(sorted, n, (double)b / (double)bins);
        if (edge > sorted[0] && (!feature->n_edges || edge > feature->edge[feature->n_edges - 1]))
            feature->edge[feature->n_edges++] = edge;
    }
    return ST_OK;
}

/* Fill and scale, of what is there: n values, ascending. */
static Status fit_sorted(Feature *feature, double *value, int64_t n, Err *err) {
    FeatureOptions *options = &feature->options;
    double mean = mean_of(value, n);
    switch (options->impute) {
    case IMPUTE_MEDIAN: feature->fill = quantile(value, n, .5); break;
    case IMPUTE_MODE: feature->fill = mode_of(value, n); break;
    case IMPUTE_ZERO: feature->fill = 0; break;
    default: feature->fill = mean;
    }
    if (options->scale == SCALE_BINS) return bin_edges(feature, value, n, err);
    if (options->clip > 0) {
        feature->low = quantile(value, n, options->clip);
        feature->high = quantile(value, n, 1 - options->clip);
    }
    for (int64_t i = 0; i < n; i++) {
        if (options->clip > 0) value[i] = fmin(fmax(value[i], feature->low), feature->high);
        if (options->scale == SCALE_LOG) value[i] = copysign(log1p(fabs(value[i])), value[i]);
    }
    if (options->scale == SCALE_STANDARD || options->scale == SCALE_LOG) {
        feature->shift = mean_of(value, n);
        feature->scale = deviation_of(value, n, feature->shift);
    } else if (options->scale == SCALE_MINMAX) {
        feature->shift = value[0];
        feature->scale = value[n - 1] - value[0];
    }
    if (!(feature->scale > 0)) feature->scale = 1;
    return ST_OK;
}

static Status gather(Feature *feature, const Column *column, const FitExamples *examples,
    double **out, int64_t *n, Err *err) {
    double *value = *out = mem_array((size_t)examples->n, sizeof *value);
    *n = 0;
    if (!value) return fail_nomem(err, "a feature");
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        double x;
        TRY(feature_number(feature, &cell, &x, err));
        if (!isnan(x)) value[(*n)++] = x;
    }
    feature->n_missing = examples->n - *n;
    sort_doubles(value, (size_t)*n);
    return ST_OK;
}

/* Does the number say the label? A number's correlation with it, or two classes apart. */
static int number_leaks(const Feature *feature, const Column *column, const FitExamples *examples) {
    double least[2] = {INFINITY, INFINITY}, most[2] = {-INFINITY, -INFINITY};
    double n = 0, sx = 0, sy = 0, xx = 0, yy = 0, xy = 0, x;
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        if (feature_number(feature, &cell, &x, NULL) != ST_OK || isnan(x)) continue;
        if (examples->n_classes == 2) {
            int c = examples->class_of[i] != 0;
            least[c] = fmin(least[c], x);
            most[c] = fmax(most[c], x);
        } else if (examples->value) {
            double y = examples->value[i];
            n++, sx += x, sy += y, xx += x * x, yy += y * y, xy += x * y;
        }
    }
    if (examples->n_classes == 2) return most[0] < least[1] || most[1] < least[0];
    double vx = n * xx - sx * sx, vy = n * yy - sy * sy, cov = n * xy - sx * sy;
    return n > 2 && vx > 0 && vy > 0 && cov * cov > .99999 * vx * vy;
}

static Status fit_number(
    Feature *feature, const Column *column, const FitExamples *examples, Err *err) {
    double *value = NULL;
    int64_t n = 0;
    Status status = gather(feature, column, examples, &value, &n, err);
    int constant = status == ST_OK && n && value[0] == value[n - 1] && !feature->n_missing;
    if (status == ST_OK && !n) {
        feature->kind = FEATURE_IGNORE;
        note(feature, "NULL in every example: left out");
    } else if (constant && feature->kind != FEATURE_TIMESTAMP) {
        feature->kind = FEATURE_IGNORE;
        note(feature, "the same in every example: left out");
    } else if (status == ST_OK) {
        status = fit_sorted(feature, value, n, err);
    }
    mem_free(value);
    if (status != ST_OK || feature->kind == FEATURE_IGNORE) return status;
    feature->is_sparse = feature->options.scale == SCALE_BINS;
    feature->width = feature->is_sparse ? feature->n_edges + 1 : 1;
    if (number_leaks(feature, column, examples))
        note(feature, "says the label by itself: is it known when it is asked for?");
    return ST_OK;
}

static Status fit_timestamp(Feature *feature, const Column *column, int likes_numbers,
    const FitExamples *examples, Err *err) {
    feature->options.scale = SCALE_STANDARD;
    TRY(fit_number(feature, column, examples, err));
    if (feature->kind == FEATURE_IGNORE) return ST_OK;
    feature->shift /= 86400;
    feature->scale = feature->scale > 1 ? feature->scale / 86400 : 1;
    feature->is_sparse = !likes_numbers;
    feature->width = likes_numbers ? 4 : 44;
    return ST_OK;
}

/* ---- categories and terms ---- */

typedef struct Counted {
    int32_t id;
    int64_t count;
} Counted;

typedef struct Counting {
    KeyMap *keys;
    Counted *counted; /* by id */
    int64_t room;
    int64_t *last; /* of terms: the text that a term was in last, + 1 */
    int64_t text;
} Counting;

static void counting_clear(Counting *counting) {
    keymap_free(counting->keys);
    mem_free(counting->counted);
    mem_free(counting->last);
}

static Status count_key(Counting *counting, Key key, int32_t *id, Err *err) {
    TRY(keymap_add(counting->keys, key, id, err));
    if (*id >= counting->room) {
        int64_t room = counting->room ? counting->room * 2 : 256;
        void *c = mem_resize(counting->counted, (size_t)room, sizeof *counting->counted);
        if (c) counting->counted = c;
        void *l = c ? mem_resize(counting->last, (size_t)room, sizeof *counting->last) : NULL;
        if (!l) return fail_nomem(err, "a feature");
        counting->last = l;
        for (int64_t i = counting->room; i < room; i++) {
            counting->counted[i] = (Counted){(int32_t)i, 0};
            counting->last[i] = 0;
        }
        counting->room = room;
    }
    return ST_OK;
}

static int more_first(const void *a, const void *b) {
    const Counted *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The most frequent keys, `most` at most, of at least `least`: feature->keys, in key order; *kept:
 * how often each was counted. */
static Status keep_frequent(
    Feature *feature, Counting *counting, int64_t most, int64_t least, int64_t **kept, Err *err) {
    int32_t *new_id = NULL;
    TRY(keymap_sort(counting->keys, &new_id, err));
    int32_t n = keymap_count(counting->keys);
    Counted *counted = counting->counted;
    for (int32_t i = 0; i < n; i++) counted[i].id = new_id[counted[i].id];
    mem_free(new_id);
    qsort(counted, (size_t)n, sizeof *counted, more_first); /* ties by key */
    int64_t keep = 0;
    while (keep < n && keep < most && counted[keep].count >= least) keep++;
    feature->keys = keymap_new();
    *kept = mem_array((size_t)keep, sizeof **kept);
    if (!feature->keys || !*kept) return fail_nomem(err, "a feature");
    for (int64_t i = 0; i < keep; i++) {
        int32_t id;
        TRY(keymap_add(feature->keys, keymap_key(counting->keys, counted[i].id), &id, err));
    }
    TRY(keymap_sort(feature->keys, &new_id, err));
    for (int64_t i = 0; i < keep; i++) (*kept)[new_id[i]] = counted[i].count;
    mem_free(new_id);
    return ST_OK;
}

static Key category_of(const Cell *cell, char *buffer) {
    Key key;
    return cell_key(cell, buffer, &key) ? key : (Key){.text = "", .len = 0};
}

/* Sums of the label by category and part: what target means are made of. */
static void target_sums(const Feature *feature, const Column *column, const FitExamples *examples,
    double *sum, double *n) {
    size_t width = (size_t)feature->width, keys = (size_t)keymap_count(feature->keys) + 1;
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        char buffer[CELL_BUFFER];
        int32_t id = keymap_find(feature->keys, category_of(&cell, buffer));
        size_t at = examples->fold[i] * keys + (id < 0 ? keys - 1 : (size_t)id);
        n[at]++;
        if (examples->value) sum[at * width] += examples->value[i];
        else if (width == 1) sum[at] += examples->class_of[i] == 1;
        else sum[at * width + (size_t)examples->class_of[i]]++;
    }
}

/* A set of means without one part (-1: of all). */
static void target_means(
    const Feature *feature, const double *sum, const double *n, int without, float *out) {
    size_t width = (size_t)feature->width, keys = (size_t)keymap_count(feature->keys) + 1;
    double smoothing = feature->options.smoothing;
    for (size_t w = 0; w < width; w++) {
        double all = 0, count = 0;
        for (size_t f = 0; f < FEATURE_FOLDS; f++)
            for (size_t k = 0; k < keys && (int)f != without; k++) {
                all += sum[(f * keys + k) * width + w];
                count += n[f * keys + k];
            }
        double mean = count > 0 ? all / count : 0;
        for (size_t k = 0; k < keys; k++) {
            double own = 0, own_n = 0;
            for (size_t f = 0; f < FEATURE_FOLDS; f++) {
                if ((int)f == without) continue;
                own += sum[(f * keys + k) * width + w];
                own_n += n[f * keys + k];
            }
            out[k * width + w] = (float)(own_n + smoothing > 0
                    ? (own + smoothing * mean) / (own_n + smoothing)
                    : mean);
        }
    }
}

static Status fit_target(
    Feature *feature, const Column *column, const FitExamples *examples, Err *err) {
    feature->width = examples->n_classes > 2 ? examples->n_classes : 1;
    size_t keys = (size_t)keymap_count(feature->keys) + 1, set = keys * (size_t)feature->width;
    double *sum = mem_zeros(set * FEATURE_FOLDS, sizeof *sum);
    double *n = mem_zeros(keys * FEATURE_FOLDS, sizeof *n);
    feature->weight = mem_array(set, sizeof *feature->weight);
    feature->fold_weight = mem_array(set * FEATURE_FOLDS, sizeof *feature->fold_weight);
    int has_room = sum && n && feature->weight && feature->fold_weight;
    if (has_room) {
        target_sums(feature, column, examples, sum, n);
        target_means(feature, sum, n, -1, feature->weight);
        for (int f = 0; f < FEATURE_FOLDS; f++)
            target_means(feature, sum, n, f, feature->fold_weight + (size_t)f * set);
    }
    mem_free(sum);
    mem_free(n);
    return has_room ? ST_OK : fail_nomem(err, "a feature");
}

/* Does every category have one class, and are there few of them? */
static Status category_leaks(
    const Column *column, const FitExamples *examples, Counting *counting, int *out, Err *err) {
    int32_t n = keymap_count(counting->keys);
    *out = 0;
    if (examples->n_classes < 2 || 10 * (int64_t)n > examples->n || n < 2) return ST_OK;
    int32_t *class_of = mem_array((size_t)n, sizeof *class_of);
    if (!class_of) return fail_nomem(err, "a feature");
    for (int32_t i = 0; i < n; i++) class_of[i] = -1;
    *out = 1;
    for (int64_t i = 0; i < examples->n && *out; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        char buffer[CELL_BUFFER];
        int32_t id = keymap_find(counting->keys, category_of(&cell, buffer));
        if (class_of[id] < 0) class_of[id] = examples->class_of[i];
        *out = class_of[id] == examples->class_of[i];
    }
    mem_free(class_of);
    return ST_OK;
}

static Status count_categories(
    Feature *feature, const Column *column, const FitExamples *examples, Counting *out, Err *err) {
    if (!(out->keys = keymap_new())) return fail_nomem(err, "a feature");
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        char buffer[CELL_BUFFER];
        int32_t id;
        if (cell.type == CELL_BLOB)
            return fail(err, ST_BADARG, "feature '%.60s': a BLOB is no category", feature->name);
        feature->n_missing += cell.type == CELL_NULL;
        TRY(count_key(out, category_of(&cell, buffer), &id, err));
        out->counted[id].count++;
    }
    return ST_OK;
}

static Status fit_category(Feature *feature, const Column *column, int likes_numbers,
    const FitExamples *examples, Err *err) {
    Counting counting = {0};
    FeatureOptions *options = &feature->options;
    int64_t *kept = NULL;
    int leaks = 0;
    Status status = count_categories(feature, column, examples, &counting, err);
    int32_t n = status == ST_OK ? keymap_count(counting.keys) : 0;
    if (status == ST_OK) status = category_leaks(column, examples, &counting, &leaks, err);
    int has_label = examples->value || examples->class_of;
    if (options->encode == ENCODE_AUTO)
        options->encode = likes_numbers && n > TREE_ONEHOT && has_label ? ENCODE_TARGET
                                                                        : ENCODE_ONEHOT;
    if (options->encode == ENCODE_TARGET && !has_label) options->encode = ENCODE_ONEHOT;
    int target = options->encode == ENCODE_TARGET;
    if (status == ST_OK)
        status = keep_frequent(feature, &counting, target ? INT32_MAX : options->max_categories,
            target ? 1 : options->min_count, &kept, err);
    mem_free(kept);
    counting_clear(&counting);
    if (status != ST_OK) return status;
    if (n == 1) {
        note(feature, "the same in every example: left out");
        feature->kind = FEATURE_IGNORE;
        return ST_OK;
    }
    if (leaks) note(feature, "says the label by itself: is it known when it is asked for?");
    feature->is_sparse = !target;
    feature->width = keymap_count(feature->keys) + (int32_t)options->buckets;
    return target ? fit_target(feature, column, examples, err) : ST_OK;
}

static Status count_term(void *context, const char *term, size_t len, Err *err) {
    Counting *counting = context;
    int32_t id;
    TRY(count_key(counting, (Key){.text = term, .len = len}, &id, err));
    counting->counted[id].count += counting->last[id] != counting->text;
    counting->last[id] = counting->text;
    return ST_OK;
}

static Status count_terms(Feature *feature, const Column *column, const FitExamples *examples,
    Counting *out, Task *task, Err *err) {
    if (!(out->keys = keymap_new())) return fail_nomem(err, "a feature");
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        out->text = i + 1;
        feature->n_missing += cell.type == CELL_NULL;
        TRY(feature_terms(&feature->options, &cell, count_term, out, err));
        if (i % 1024 == 0 && task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    }
    return ST_OK;
}

static Status fit_text(Feature *feature, const Column *column, int likes_numbers,
    const FitExamples *examples, Task *task, Err *err) {
    Counting counting = {0};
    FeatureOptions *options = &feature->options;
    int64_t *texts = NULL;
    if (likes_numbers && options->max_terms > TREE_TERMS) options->max_terms = TREE_TERMS;
    if (options->analyzer == ANALYZER_CHAR && options->ngram < 2) options->ngram = 4;
    Status status = count_terms(feature, column, examples, &counting, task, err);
    if (status == ST_OK)
        status = keep_frequent(
            feature, &counting, options->max_terms, options->min_documents, &texts, err);
    counting_clear(&counting);
    int32_t n = status == ST_OK ? keymap_count(feature->keys) : 0;
    if (status == ST_OK && !(feature->weight = mem_array((size_t)n, sizeof *feature->weight)))
        status = fail_nomem(err, "a feature");
    for (int32_t i = 0; i < n && status == ST_OK; i++)
        feature->weight[i] = (float)(log((1 + (double)examples->n) / (1 + (double)texts[i])) + 1);
    mem_free(texts);
    feature->is_sparse = 1;
    feature->width = n;
    if (status == ST_OK && !n) note(feature, "no term is in min_documents texts");
    return status;
}

static Status fit_vector(
    Feature *feature, const Column *column, const FitExamples *examples, Err *err) {
    for (int64_t i = 0; i < examples->n; i++) {
        Cell cell = column_cell(column, examples->row[i]);
        float *vector;
        int32_t dim;
        if (cell.type == CELL_NULL) {
            feature->n_missing++;
            continue;
        }
        Status status = feature_vector(feature, &cell, &vector, &dim, err);
        mem_free(vector);
        TRY(status);
        if (feature->dim && dim != feature->dim)
            return fail(err, ST_BADARG, "feature '%.60s': vectors of %d and of %d elements",
                feature->name, (int)feature->dim, (int)dim);
        feature->dim = dim;
    }
    feature->width = feature->dim;
    return ST_OK;
}

/* ---- a feature ---- */

static void settle(FeatureOptions *options, int likes_numbers) {
    if (options->missing == MISSING_AUTO)
        options->missing = likes_numbers ? MISSING_NATIVE : MISSING_INDICATOR;
    if (options->scale == SCALE_AUTO) options->scale = likes_numbers ? SCALE_NONE : SCALE_STANDARD;
}

static Status fit_kind(Feature *feature, const Column *column, int likes_numbers,
    const FitExamples *examples, Task *task, Err *err) {
    switch (feature->kind) {
    case FEATURE_BOOLEAN:
        feature->options.scale = SCALE_NONE;
        return fit_number(feature, column, examples, err);
    case FEATURE_NUMBER: return fit_number(feature, column, examples, err);
    case FEATURE_TIMESTAMP: return fit_timestamp(feature, column, likes_numbers, examples, err);
    case FEATURE_CATEGORY: return fit_category(feature, column, likes_numbers, examples, err);
    case FEATURE_TEXT: return fit_text(feature, column, likes_numbers, examples, task, err);
    case FEATURE_VECTOR: return fit_vector(feature, column, examples, err);
    default: return ST_OK;
    }
}

Status feature_fit(Feature *out, const Column *column, const FeatureOptions *options,
    int likes_numbers, const FitExamples *examples, Task *task, Err *err) {
    Census census = {0};
    *out = (Feature){.options = *options, .n = examples->n, .scale = 1};
    if (!(out->name = mem_text(column->name, strlen(column->name))))
        return fail_nomem(err, "a feature");
    TRY(count(column, examples, &census, err));
    out->kind = options->kind == FEATURE_AUTO ? infer(column, &census) : (FeatureKind)options->kind;
    if (options->kind == FEATURE_AUTO && out->kind == FEATURE_IGNORE)
        note(out, "NULL in every example: left out");
    settle(&out->options, likes_numbers);
    TRY(fit_kind(out, column, likes_numbers, examples, task, err));
    int can_be_missing = out->kind == FEATURE_NUMBER || out->kind == FEATURE_BOOLEAN ||
        out->kind == FEATURE_TIMESTAMP || out->kind == FEATURE_VECTOR;
    if (out->kind == FEATURE_IGNORE) out->width = 0;
    else if (can_be_missing && out->n_missing && out->options.missing == MISSING_INDICATOR) {
        out->has_indicator = 1;
        out->width++;
    }
    return ST_OK;
}
