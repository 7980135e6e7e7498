/* XGBoost's JSON (doc/model.schema of XGBoost): learner.gradient_booster.model.trees, each with a
 * list for each property of its nodes. A row goes left where x < split_conditions, a NaN where
 * default_left says; a leaf's number is its split_conditions. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "../base/text.h"
#include "model_files.h"

static Status damaged(Err *err) { return fail(err, ST_BADARG, "XGBoost's JSON is damaged"); }

static double number_at(const json_t *tree, const char *list, size_t i) {
    const json_t *value = json_array_get(json_object_get(tree, list), i);
    return json_is_true(value) ? 1 : json_number_value(value);
}

/* "5E-1", or "[5E-1]". */
static double first_number(const json_t *value) {
    const char *text = json_string_value(value);
    if (!text) return NAN;
    return text_to_double(text + (*text == '['), NULL);
}

/* ---- a tree: nodes become splits and leaves, each numbered by themselves ---- */

enum { ABSENT = INT32_MIN }; /* the place of a node that no path leads to */

static Status fill(FileTree *t, const json_t *tree, const int32_t *place, size_t n, Err *err) {
    for (size_t i = 0; i < n; i++) {
        if (place[i] == ABSENT) continue;
        double condition = number_at(tree, "split_conditions", i);
        double cover = number_at(tree, "sum_hessian", i);
        if (place[i] < 0) {
            t->leaf[~place[i]] = condition;
            t->leaf_cover[~place[i]] = cover;
            continue;
        }
        double left = number_at(tree, "left_children", i);
        double right = number_at(tree, "right_children", i);
        double column = number_at(tree, "split_indices", i);
        int32_t at = place[i];
        if (!(left >= 0 && left < (double)n && right >= 0 && right < (double)n) ||
            !(column >= 0 && column < 1e6))
            return damaged(err);
        t->column[at] = (int32_t)column;
        t->left[at] = place[(size_t)left];
        t->right[at] = place[(size_t)right];
        t->threshold[at] = nextafterf((float)condition, -INFINITY); /* x < c: x <= the one below */
        t->missing_left[at] = number_at(tree, "default_left", i) != 0;
        t->split_cover[at] = cover;
        t->gain[at] = number_at(tree, "loss_changes", i);
        if (number_at(tree, "split_type", i) != 0)
            return fail(err, ST_BADARG, "a categorical split (number your categories' indicators)");
    }
    return ST_OK;
}

/* From the root down, as pruned nodes stay in the lists. */
static Status number_nodes(
    const json_t *tree, size_t n, int32_t *place, int32_t *splits, int32_t *leaves, Err *err) {
    size_t *queue = mem_array(n, sizeof *queue), end = 1;
    if (!queue) return fail_nomem(err, "the trees");
    Status status = ST_OK;
    for (size_t i = 0; i < n; i++) place[i] = ABSENT;
    queue[0] = 0;
    for (size_t at = 0; at < end && status == ST_OK; at++) {
        double left = number_at(tree, "left_children", queue[at]);
        double right = number_at(tree, "right_children", queue[at]);
        if (place[queue[at]] != ABSENT) status = damaged(err);
        place[queue[at]] = left < 0 ? ~(*leaves)++ : (*splits)++;
        if (left < 0 || status != ST_OK) continue;
        if (!(left < (double)n && right >= 0 && right < (double)n) || end + 2 > n) {
            status = damaged(err);
            break;
        }
        queue[end++] = (size_t)left;
        queue[end++] = (size_t)right;
    }
    mem_free(queue);
    return status;
}

static Status read_tree(ModelFile *file, const json_t *tree, Err *err) {
    size_t n = json_array_size(json_object_get(tree, "left_children"));
    int32_t splits = 0, leaves = 0;
    FileTree t = {0};
    double vector = first_number(
        json_object_get(json_object_get(tree, "tree_param"), "size_leaf_vector"));
    if (vector > 1) return fail(err, ST_BADARG, "leaves of several numbers (multi_output_tree)");
    if (!n || n > 20000000) return damaged(err);
    int32_t *place = mem_array(n, sizeof *place);
    if (!place) return fail_nomem(err, "the trees");
    Status found = number_nodes(tree, n, place, &splits, &leaves, err);
    Status status = found;
    if (status == ST_OK) status = file_tree_init(&t, splits, 1, err);
    if (status == ST_OK) status = fill(&t, tree, place, n, err);
    if (status == ST_OK) status = file_tree_append(file->trees, &t, file->n_names, err);
    file_tree_clear(&t);
    mem_free(place);
    return status;
}

/* ---- the learner ---- */

static Status read_objective(ModelFile *file, const json_t *learner, int32_t *scores, Err *err) {
    const json_t *params = json_object_get(learner, "learner_model_param");
    const char *name = json_string_value(
        json_object_get(json_object_get(learner, "objective"), "name"));
    double classes = first_number(json_object_get(params, "num_class"));
    *scores = 1;
    if (!name) return damaged(err);
    if (strcmp(name, "binary:logistic") == 0) {
        file->n_classes = 2;
    } else if (strcmp(name, "multi:softprob") == 0 || strcmp(name, "multi:softmax") == 0) {
        if (!(classes >= 3 && classes < 100000)) return damaged(err);
        *scores = file->n_classes = (int32_t)classes;
    } else if (strncmp(name, "rank:", 5) == 0) {
        file->is_ranking = 1;
    } else if (strcmp(name, "reg:squarederror") != 0 && strcmp(name, "reg:absoluteerror") != 0 &&
        strcmp(name, "reg:quantileerror") != 0 && strcmp(name, "reg:pseudohubererror") != 0) {
        return fail(err, ST_BADARG, "objective %.40s is not known here", name);
    }
    return ST_OK;
}

static Status read_base(ModelFile *file, const json_t *learner, Err *err) {
    const json_t *params = json_object_get(learner, "learner_model_param");
    const json_t *value = json_object_get(params, "base_score");
    const char *text = json_string_value(value);
    double base = first_number(value);
    /* several, of an intercept a class */
    const char *at = text ? text + (*text == '[') : "";
    for (int32_t s = 0; s < file->trees->n_scores; s++) {
        char *next;
        double own = text_to_double(at, &next);
        if (next == at) own = base;
        at = *next == ',' ? next + 1 : next;
        if (file->n_classes == 2) own = log(own / (1 - own));
        if (!isfinite(own)) return damaged(err);
        file->trees->base[s] = own;
    }
    return ST_OK;
}

static Status read_names(ModelFile *file, const json_t *learner, Err *err) {
    const json_t *names = json_object_get(learner, "feature_names");
    const json_t *params = json_object_get(learner, "learner_model_param");
    double n = first_number(json_object_get(params, "num_feature"));
    if (!(n >= 1 && n <= MODEL_FILE_COLUMNS)) return damaged(err);
    file->n_names = (int32_t)n;
    if (!json_array_size(names)) return ST_OK;
    if (json_array_size(names) != (size_t)n) return damaged(err);
    if (!(file->name = mem_zeros((size_t)n, sizeof *file->name)))
        return fail_nomem(err, "the columns");
    for (int32_t i = 0; i < file->n_names; i++) {
        const char *name = json_text(json_array_get(names, (size_t)i));
        if (!name) return damaged(err);
        if (!(file->name[i] = mem_text(name, strlen(name)))) return fail_nomem(err, "the columns");
    }
    return ST_OK;
}

/* Tree t of ours belongs to score t mod n_scores. */
static Status read_trees(ModelFile *file, const json_t *model, Err *err) {
    const json_t *trees = json_object_get(model, "trees"), *tree;
    const json_t *info = json_object_get(model, "tree_info");
    size_t i;
    json_array_foreach(trees, i, tree) {
        json_int_t score = json_integer_value(json_array_get(info, i));
        if (score != (json_int_t)(i % (size_t)file->trees->n_scores))
            return fail(
                err, ST_BADARG, "several trees a round (num_parallel_tree) are not known here");
        TRY(read_tree(file, tree, err));
    }
    return ST_OK;
}

static Status read_learner(ModelFile *out, const json_t *root, Err *err) {
    const json_t *learner = json_object_get(root, "learner");
    const json_t *booster = json_object_get(learner, "gradient_booster");
    const char *kind = json_string_value(json_object_get(booster, "name"));
    int32_t scores;
    if (!learner || !kind) return fail(err, ST_BADARG, "this is no model of XGBoost");
    if (strcmp(kind, "gbtree") != 0)
        return fail(err, ST_BADARG, "booster %.40s is not known here (gbtree)", kind);
    TRY(read_names(out, learner, err));
    TRY(read_objective(out, learner, &scores, err));
    if (!(out->trees = trees_new(scores, 1, err))) return ST_NOMEM;
    TRY(read_base(out, learner, err));
    return read_trees(out, json_object_get(booster, "model"), err);
}

Status xgboost_read(ModelFile *out, const char *text, size_t len, Err *err) {
    json_error_t json_error;
    json_t *root = json_loadb(text, len, 0, &json_error);
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the model");
    if (!root) return fail(err, ST_BADARG, "XGBoost's JSON: %s", json_error.text);
    Status status = read_learner(out, root, err);
    json_decref(root);
    return status;
}
