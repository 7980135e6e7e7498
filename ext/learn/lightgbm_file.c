/* LightGBM's text: "key=value" lines, a head and a section a tree, as its own io/tree.cpp writes
 * them. decision_type: bit 0 categorical, bit 1 a missing value goes left, bits 2 and 3 what is
 * missing: 0 nothing (NaN is taken for 0), 1 zero, 2 NaN. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
#include "model_files.h"

/* Where a word is first in a text; NULL: nowhere. */
static const char *find(const char *text, size_t len, const char *word) {
    size_t n = strlen(word);
    for (const char *at = text, *end = text + len; (size_t)(end - at) >= n; at++) {
        at = memchr(at, word[0], (size_t)(end - at) - n + 1);
        if (!at || memcmp(at, word, n) == 0) return at;
    }
    return NULL;
}

/* Lines of a section; a text that ends with NUL. */
typedef struct Section {
    const char *at, *end;
} Section;

/* The value of a key: from *value to the line's end; NULL: it is not there. */
static const char *value_of(const Section *section, const char *key, size_t *len) {
    size_t n = strlen(key);
    for (const char *line = section->at; line < section->end;) {
        const char *stop = memchr(line, '\n', (size_t)(section->end - line));
        if (!stop) stop = section->end;
        if ((size_t)(stop - line) > n && memcmp(line, key, n) == 0 && line[n] == '=') {
            *len = (size_t)(stop - line) - n - 1;
            while (*len && line[n + *len] == '\r') --*len;
            return line + n + 1;
        }
        line = stop + 1;
    }
    return NULL;
}

static int64_t number_of(const Section *section, const char *key, int64_t otherwise) {
    size_t len;
    const char *value = value_of(section, key, &len);
    return value ? strtoll(value, NULL, 10) : otherwise;
}

/* n numbers of a key, as doubles; 0: there are not so many. */
static int numbers_of(const Section *section, const char *key, double *out, int32_t n) {
    size_t len;
    const char *at = value_of(section, key, &len), *end = at + (at ? len : 0);
    for (int32_t i = 0; i < n; i++) {
        char *next;
        if (!at || at >= end) return 0;
        out[i] = text_to_double(at, &next);
        if (next == at || next > end) return 0;
        at = next;
    }
    return 1;
}

static int says(const char *value, size_t len, const char *word) {
    size_t n = strlen(word);
    return value && len >= n && memcmp(value, word, n) == 0 && (len == n || value[n] == ' ');
}

/* ---- a tree ---- */

static Status decide(FileTree *t, const double *type, const double *threshold, Err *err) {
    for (int32_t i = 0; i < t->n_splits; i++) {
        int kind = type[i] >= 0 && type[i] < 16 ? (int)type[i] : 1, missing = kind >> 2 & 3;
        if (kind & 1)
            return fail(err, ST_BADARG, "a categorical split (number your categories' indicators)");
        if (missing == 1) return fail(err, ST_BADARG, "zero_as_missing is not known here");
        t->threshold[i] = float_at_most(threshold[i]);
        t->missing_left[i] = missing == 2 ? kind >> 1 & 1 : 0 <= threshold[i];
    }
    return ST_OK;
}

static void links(const double *from, int32_t *to, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        to[i] = from[i] >= -2147483647.0 && from[i] <= 2147483647.0 ? (int32_t)from[i] : INT32_MAX;
}

static Status fill(FileTree *t, const Section *s, double *room, Err *err) {
    int32_t n = t->n_splits;
    double *type = room, *threshold = room + n + 1;
    int sound = numbers_of(s, "leaf_value", t->leaf, n ? n + 1 : 1);
    if (n) {
        sound = sound && numbers_of(s, "split_feature", room, n);
        if (sound) links(room, t->column, n);
        sound = sound && numbers_of(s, "left_child", room, n);
        if (sound) links(room, t->left, n);
        sound = sound && numbers_of(s, "right_child", room, n);
        if (sound) links(room, t->right, n);
        sound = sound && numbers_of(s, "decision_type", type, n) &&
            numbers_of(s, "threshold", threshold, n);
    }
    if (!sound) return fail(err, ST_BADARG, "a tree of LightGBM's text is cut short");
    /* without them nothing is explained, but all is predicted */
    numbers_of(s, "leaf_count", t->leaf_cover, n + 1);
    numbers_of(s, "internal_count", t->split_cover, n);
    numbers_of(s, "split_gain", t->gain, n);
    return decide(t, type, threshold, err);
}

static Status read_tree(ModelFile *file, const Section *section, Err *err) {
    int64_t leaves = number_of(section, "num_leaves", 0);
    if (leaves < 1 || leaves > 10000000 || (size_t)leaves > (size_t)(section->end - section->at))
        return fail(err, ST_BADARG, "a tree of LightGBM's text has no num_leaves");
    if (number_of(section, "is_linear", 0))
        return fail(err, ST_BADARG, "linear_tree is not known here");
    FileTree t;
    double *room = mem_array(2 * (size_t)leaves, sizeof *room);
    Status status = file_tree_init(&t, (int32_t)leaves - 1, 1, err);
    if (status == ST_OK && !room) status = fail_nomem(err, "the trees");
    if (status == ST_OK) status = fill(&t, section, room, err);
    if (status == ST_OK) status = file_tree_append(file->trees, &t, file->n_names, err);
    file_tree_clear(&t);
    mem_free(room);
    return status;
}

/* ---- the head ---- */

static Status read_names(ModelFile *file, const Section *head, Err *err) {
    size_t len;
    const char *names = value_of(head, "feature_names", &len);
    int64_t last = number_of(head, "max_feature_idx", -1), n = last + (last < INT32_MAX);
    if (!names || n < 1 || n > MODEL_FILE_COLUMNS || (size_t)n > len)
        return fail(err, ST_BADARG, "this is no model of LightGBM: it has no feature_names");
    if (!(file->name = mem_zeros((size_t)n, sizeof *file->name)))
        return fail_nomem(err, "the columns");
    file->n_names = (int32_t)n;
    const char *end = names + len;
    for (int64_t i = 0; i < n; i++) {
        const char *stop = memchr(names, ' ', (size_t)(end - names));
        if (!stop) stop = end;
        if (stop == names) return fail(err, ST_BADARG, "feature_names are fewer than the features");
        if (!(file->name[i] = mem_text(names, (size_t)(stop - names))))
            return fail_nomem(err, "the columns");
        names = stop < end ? stop + 1 : end;
    }
    return ST_OK;
}

static Status read_objective(ModelFile *file, const Section *head, int32_t *scores, Err *err) {
    static const char *const numbers[] = {
        "regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom"};
    size_t len;
    const char *own = value_of(head, "objective", &len);
    int64_t classes = number_of(head, "num_class", 1);
    *scores = 1;
    if (says(own, len, "binary")) {
        const char *slope = memchr(own, ':', len);
        file->n_classes = 2;
        return slope && text_to_double(slope + 1, NULL) == 1
            ? ST_OK
            : fail(err, ST_BADARG, "binary with another sigmoid than 1");
    }
    if (says(own, len, "multiclass")) {
        if (classes < 3 || classes > 100000) return fail(err, ST_BADARG, "num_class is damaged");
        *scores = file->n_classes = (int32_t)classes;
        return ST_OK;
    }
    file->is_ranking = says(own, len, "lambdarank") || says(own, len, "rank_xendcg");
    if (file->is_ranking || !own) return ST_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (says(own, len, numbers[i]) && !find(own, len, "sqrt")) return ST_OK;
    return fail(
        err, ST_BADARG, "objective %.*s is not known here", (int)(len < 60 ? len : 60), own);
}

static const char *next_tree(const char *at, const char *end) {
    const char *found = at < end ? find(at, (size_t)(end - at), "\nTree=") : NULL;
    return found ? found + 1 : NULL;
}

Status lightgbm_read(ModelFile *out, const char *text, size_t len, Err *err) {
    const char *end = text + len, *tree = next_tree(text, end);
    const char *stop = find(text, len, "\nend of trees");
    Section head = {text, tree ? tree : end};
    int32_t scores = 1;
    if (!stop) return fail(err, ST_BADARG, "this is neither a model of LightGBM nor of XGBoost");
    TRY(read_names(out, &head, err));
    TRY(read_objective(out, &head, &scores, err));
    if (number_of(&head, "num_tree_per_iteration", scores) != scores)
        return fail(err, ST_BADARG, "num_tree_per_iteration is damaged");
    if (!(out->trees = trees_new(scores, 1, err))) return ST_NOMEM;
    while (tree && tree < stop) {
        const char *next = next_tree(tree, stop);
        Section section = {tree, next ? next : stop};
        TRY(read_tree(out, &section, err));
        tree = next;
    }
    if (find(head.at, (size_t)(head.end - head.at), "\naverage_output"))
        out->trees->scale = scores / (double)(out->trees->n_trees ? out->trees->n_trees : 1);
    return ST_OK;
}
