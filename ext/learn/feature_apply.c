/* A cell becomes the numbers of its feature. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/date.h"
#include "../base/json.h"
#include "../base/memory.h"
#include "../base/words.h"
#include "feature.h"

/* ---- cells ---- */

static Status no_number(const Feature *feature, const Cell *cell, const char *what, Err *err) {
    if (cell->type == CELL_TEXT)
        return fail(err, ST_BADARG, "feature '%.60s': '%.*s' is no %s", feature->name,
            (int)(cell->len < 40 ? cell->len : 40), cell->bytes, what);
    return fail(err, ST_BADARG, "feature '%.60s': a BLOB is no %s", feature->name, what);
}

/* Squares and sums of such numbers are still numbers, as float after they were scaled. */
static const double LARGEST = 1e30;

Status feature_number(const Feature *feature, const Cell *cell, double *out, Err *err) {
    int is_date = feature->kind == FEATURE_TIMESTAMP;
    *out = NAN;
    if (cell->type == CELL_NULL) return ST_OK;
    if (cell_is_number(cell)) *out = cell->number;
    else if (cell->type != CELL_TEXT ||
        !(is_date ? date_parse(cell->bytes, cell->len, out)
                  : number_parse(cell->bytes, cell->len, out)))
        return no_number(feature, cell, is_date ? "time" : "number", err);
    if (is_date && !date_is_possible(*out))
        return fail(err, ST_BADARG, "feature '%.60s': %g is no time", feature->name, *out);
    if (isfinite(*out) && fabs(*out) <= LARGEST) return ST_OK;
    return fail(err, ST_BADARG, "feature '%.60s': %s is no number to learn from", feature->name,
        isfinite(*out) ? "one beyond 1e30" : "infinity");
}

static Status vector_of_json(
    const Feature *feature, const Cell *cell, float **out, int32_t *dim, Err *err) {
    json_error_t json_error;
    json_t *root = json_loadb(cell->bytes, cell->len, 0, &json_error), *element;
    size_t i, n = json_array_size(root);
    Status status = ST_OK;
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "a vector");
    if (!json_is_array(root) || !n || n > INT32_MAX)
        status = no_number(feature, cell, "vector", err);
    if (status == ST_OK && !(*out = mem_array(n, sizeof **out)))
        status = fail_nomem(err, "a vector");
    if (status == ST_OK) json_array_foreach(root, i, element) {
            (*out)[i] = (float)json_number_value(element);
            if (!json_is_number(element) && status == ST_OK)
                status = no_number(feature, cell, "vector", err);
        }
    *dim = (int32_t)n;
    json_decref(root);
    return status;
}

Status feature_vector(
    const Feature *feature, const Cell *cell, float **out, int32_t *dim, Err *err) {
    *out = NULL;
    *dim = 0;
    if (cell->type == CELL_TEXT) {
        TRY(vector_of_json(feature, cell, out, dim, err));
    } else {
        if (cell->type != CELL_BLOB || !cell->len || cell->len % 4 || cell->len > INT32_MAX)
            return fail(err, ST_BADARG,
                "feature '%.60s': a vector is a BLOB of float32 or a JSON array", feature->name);
        *dim = (int32_t)(cell->len / 4);
        if (!(*out = mem_array((size_t)*dim, sizeof **out))) return fail_nomem(err, "a vector");
        memcpy(*out, cell->bytes, cell->len);
    }
    for (int32_t i = 0; i < *dim; i++)
        if (!isfinite((*out)[i]))
            return fail(err, ST_BADARG, "feature '%.60s': element %d of a vector is no number",
                feature->name, (int)i + 1);
    return ST_OK;
}

/* ---- terms ---- */

/* A word is cut there: longer ones are no language. */
enum { WORD_ROOM = 64, TERM_ROOM = 8 * (WORD_ROOM + 1) };

/* The bytes of the UTF-8 character at text. */
static size_t character(const char *text, const char *end) {
    size_t n = 1;
    while (text + n < end && ((unsigned char)text[n] & 0xC0) == 0x80) n++;
    return n;
}

/* Runs of 2 .. ngram characters of " word ". */
static Status runs(const FeatureOptions *options, const char *word, size_t len, TermVisit visit,
    void *context, Err *err) {
    char padded[WORD_ROOM + 2];
    padded[0] = ' ';
    memcpy(padded + 1, word, len);
    padded[len + 1] = ' ';
    const char *end = padded + len + 2;
    for (const char *from = padded; from < end; from += character(from, end)) {
        const char *to = from;
        for (int64_t n = 1; n <= options->ngram && to < end; n++) {
            to += character(to, end);
            if (n > 1) TRY(visit(context, from, (size_t)(to - from), err));
        }
    }
    return ST_OK;
}

Status feature_terms(
    const FeatureOptions *options, const Cell *cell, TermVisit visit, void *context, Err *err) {
    const char *text = cell->bytes, *end = cell->bytes + cell->len;
    char window[TERM_ROOM]; /* the last words, blanks between */
    size_t start[8], len = 0;
    int64_t n = 0; /* words in the window */
    if (cell->type != CELL_TEXT) return ST_OK;
    for (;;) {
        char word[WORD_ROOM];
        size_t word_len = word_next(&text, end, word, sizeof word);
        if (!word_len) return ST_OK;
        if (options->analyzer == ANALYZER_CHAR) {
            TRY(runs(options, word, word_len, visit, context, err));
            continue;
        }
        if (n == options->ngram) { /* the oldest goes */
            size_t gone = n > 1 ? start[1] : len;
            memmove(window, window + gone, len - gone);
            len -= gone;
            for (int64_t i = 1; i < n; i++) start[i - 1] = start[i] - gone;
            n--;
        }
        if (n) window[len++] = ' ';
        start[n++] = len;
        memcpy(window + len, word, word_len);
        len += word_len;
        for (int64_t i = n - 1; i >= 0; i--)
            TRY(visit(context, window + start[i], len - start[i], err));
    }
}

/* ---- into the row ---- */

static Status put(DesignRow *row, int32_t col, double val, Err *err) {
    if (row->n == row->room) {
        int64_t room = row->room ? row->room * 2 : 64;
        void *c = mem_resize(row->col, (size_t)room, sizeof *row->col);
        if (c) row->col = c;
        void *v = c ? mem_resize(row->val, (size_t)room, sizeof *row->val) : NULL;
        if (!v) return fail_nomem(err, "a row");
        row->val = v;
        row->room = room;
    }
    row->col[row->n] = col;
    row->val[row->n++] = (float)val;
    return ST_OK;
}

static Status put_missing(const Feature *feature, DesignRow *row, Err *err) {
    int32_t last = feature->first + feature->width - 1;
    if (!feature->has_indicator) return ST_OK;
    if (feature->is_sparse) return put(row, last, 1, err);
    row->dense[last] = 1;
    return ST_OK;
}

static Status check_missing(const Feature *feature, double x, Err *err) {
    return isnan(x) && feature->options.missing == MISSING_ERROR
        ? fail(err, ST_BADARG, "feature '%.60s' is NULL (missing=error)", feature->name)
        : ST_OK;
}

static Status apply_number(const Feature *feature, const Cell *cell, DesignRow *row, Err *err) {
    double x;
    TRY(feature_number(feature, cell, &x, err));
    TRY(check_missing(feature, x, err));
    int is_missing = isnan(x);
    if (is_missing) TRY(put_missing(feature, row, err));
    if (feature->options.scale == SCALE_BINS) {
        int32_t low = 0, high = feature->n_edges; /* bins by edges not above x */
        if (is_missing) return ST_OK;
        while (low < high) {
            int32_t middle = (low + high) / 2;
            if (feature->edge[middle] <= x) low = middle + 1;
            else high = middle;
        }
        return put(row, feature->first + low, 1, err);
    }
    if (is_missing && feature->options.missing == MISSING_NATIVE) {
        row->dense[feature->first] = NAN;
        return ST_OK;
    }
    if (is_missing) x = feature->fill;
    if (feature->options.clip > 0) x = fmin(fmax(x, feature->low), feature->high);
    if (feature->options.scale == SCALE_LOG) x = copysign(log1p(fabs(x)), x);
    float scaled = (float)((x - feature->shift) / feature->scale);
    row->dense[feature->first] = scaled;
    return isfinite(scaled)
        ? ST_OK
        : fail(err, ST_BADARG, "feature '%.60s': %g is far beyond what was learnt", feature->name,
              x);
}

/* Days, month 1..12, weekday 0..6 (Sunday is 0), hour: of the proleptic Gregorian calendar, UTC
 * (Hinnant, chrono-compatible low-level date algorithms). */
static void date_parts(double seconds, double part[4]) {
    double days = floor(seconds / 86400);
    int64_t z = (int64_t)days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    part[0] = seconds / 86400;
    part[1] = (double)(mp < 10 ? mp + 3 : mp - 9);
    part[2] = (double)((((int64_t)days + 4) % 7 + 7) % 7);
    part[3] = floor((seconds - days * 86400) / 3600);
}

static Status apply_timestamp(const Feature *feature, const Cell *cell, DesignRow *row, Err *err) {
    double x, part[4];
    TRY(feature_number(feature, cell, &x, err));
    TRY(check_missing(feature, x, err));
    int is_missing = isnan(x);
    if (is_missing && feature->options.missing != MISSING_NATIVE) x = feature->fill;
    if (isnan(x)) {
        for (int i = 0; i < 4; i++) row->dense[feature->first + i] = NAN;
        return ST_OK;
    }
    date_parts(x, part);
    if (!feature->is_sparse) {
        for (int i = 0; i < 4; i++) row->dense[feature->first + i] = (float)part[i];
        return is_missing ? put_missing(feature, row, err) : ST_OK;
    }
    TRY(put(row, feature->first, (part[0] - feature->shift) / feature->scale, err));
    TRY(put(row, feature->first + (int32_t)part[1], 1, err));
    TRY(put(row, feature->first + 13 + (int32_t)part[2], 1, err));
    TRY(put(row, feature->first + 20 + (int32_t)part[3], 1, err));
    return is_missing ? put_missing(feature, row, err) : ST_OK; /* columns ascend */
}

/* NULL and '' are one category. */
static Status apply_category(
    const Feature *feature, const Cell *cell, int fold, DesignRow *row, Err *err) {
    char buffer[CELL_BUFFER];
    Key key;
    int32_t keys = keymap_count(feature->keys), width = feature->width;
    if (cell->type == CELL_BLOB)
        return fail(err, ST_BADARG, "feature '%.60s': a BLOB is no category", feature->name);
    if (!cell_key(cell, buffer, &key)) key = (Key){.text = "", .len = 0};
    int32_t id = keymap_find(feature->keys, key);
    if (feature->options.encode == ENCODE_TARGET) {
        const float *set = fold >= 0 && feature->fold_weight
            ? feature->fold_weight + (size_t)fold * (size_t)(keys + 1) * (size_t)width
            : feature->weight;
        memcpy(row->dense + feature->first, set + (size_t)(id < 0 ? keys : id) * (size_t)width,
            (size_t)width * sizeof *set);
        return ST_OK;
    }
    if (id < 0) {
        uint64_t hash;
        if (!feature->options.buckets) return ST_OK;
        if (!key_bucket_hash(key, 0, &hash)) return fail_nomem(err, "a category");
        id = keys + (int32_t)(hash % (uint64_t)feature->options.buckets);
    }
    return put(row, feature->first + id, 1, err);
}

typedef struct TermsOfText {
    const Feature *feature;
    DesignRow *row;
} TermsOfText;

static Status put_term(void *context, const char *term, size_t len, Err *err) {
    const TermsOfText *terms = context;
    int32_t id = keymap_find(terms->feature->keys, (Key){.text = term, .len = len});
    return id < 0 ? ST_OK : put(terms->row, terms->feature->first + id, 1, err);
}

static int compare_columns(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static Status apply_text(const Feature *feature, const Cell *cell, DesignRow *row, Err *err) {
    TermsOfText terms = {feature, row};
    int64_t from = row->n, kept = from;
    double square = 0;
    if (cell->type == CELL_BLOB)
        return fail(err, ST_BADARG, "feature '%.60s': a BLOB is no text", feature->name);
    TRY(feature_terms(&feature->options, cell, put_term, &terms, err));
    if (row->n == from) return ST_OK;
    qsort(row->col + from, (size_t)(row->n - from), sizeof *row->col, compare_columns);
    for (int64_t i = from, to; i < row->n; i = to) {
        for (to = i; to < row->n && row->col[to] == row->col[i];) to++;
        double count = (double)(to - i);
        if (feature->options.sublinear) count = 1 + log(count);
        double x = count * feature->weight[row->col[i] - feature->first];
        row->col[kept] = row->col[i];
        row->val[kept++] = (float)x;
        square += x * x;
    }
    row->n = kept;
    for (int64_t i = from; i < kept; i++) row->val[i] = (float)(row->val[i] / sqrt(square));
    return ST_OK;
}

static Status apply_vector(const Feature *feature, const Cell *cell, DesignRow *row, Err *err) {
    float *vector, *to = row->dense + feature->first;
    int32_t dim;
    if (cell->type == CELL_NULL) return put_missing(feature, row, err);
    Status status = feature_vector(feature, cell, &vector, &dim, err);
    if (status == ST_OK && dim != feature->dim)
        status = fail(err, ST_BADARG, "feature '%.60s': %d elements instead of %d", feature->name,
            (int)dim, (int)feature->dim);
    if (status == ST_OK) memcpy(to, vector, (size_t)dim * sizeof *to);
    mem_free(vector);
    return status;
}

Status feature_apply(const Feature *feature, const Cell *cell, int fold, DesignRow *row, Err *err) {
    switch (feature->kind) {
    case FEATURE_NUMBER:
    case FEATURE_BOOLEAN: return apply_number(feature, cell, row, err);
    case FEATURE_TIMESTAMP: return apply_timestamp(feature, cell, row, err);
    case FEATURE_CATEGORY: return apply_category(feature, cell, fold, row, err);
    case FEATURE_TEXT: return apply_text(feature, cell, row, err);
    case FEATURE_VECTOR: return apply_vector(feature, cell, row, err);
    default: return ST_OK;
    }
}
