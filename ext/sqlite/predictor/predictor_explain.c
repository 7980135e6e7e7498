/* rec_explain_prediction, rec_tree_rules: why a predictor says what it says. */
#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../learn/shapley.h"
#include "../../learn/trees.h"
#include "../host/cache.h"
#include "../host/interrupt.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "predictor_object.h"

typedef struct ExplainOptions {
    char version[ROUTE_NAME];
    char class_name[256];
    int64_t by;
} ExplainOptions;
enum { BY_FEATURE, BY_COLUMN };

static const OptSpec explain_options[] = {
    {"version", OPT_TEXT, offsetof(ExplainOptions, version), 0, ROUTE_NAME, 0, "",
        "the number of a version, or an alias; default: what is live"},
    {"class", OPT_TEXT, offsetof(ExplainOptions, class_name), 0, 256, 0, "",
        "whose score is explained; default: of two the second, of more the predicted one"},
    {"by", OPT_CHOICE, offsetof(ExplainOptions, by), 0, 0, BY_FEATURE, "feature|column",
        "a row a feature, or a row a column of its numbers"},
    {0},
};

typedef struct Explaining {
    sqlite3 *db;
    ExplainOptions options;
    HeldVersion held;
    FeatureObject object;
    Prediction prediction;
    double *part, base; /* of the design's columns; NULL where features alone have one */
    double *of_feature;
} Explaining;

static void explaining_clear(Explaining *e) {
    mem_free(e->part);
    mem_free(e->of_feature);
    feature_object_clear(&e->object);
    held_clear(&e->held);
}

/* The score that is explained. */
static Status score_of_class(const Explaining *e, int32_t *out, Err *err) {
    const Predictor *predictor = e->held.predictor;
    const char *name = e->options.class_name;
    char buffer[32];
    *out = predictor_scores(predictor) > 1 ? e->prediction.best : 0;
    if (!*name) return ST_OK;
    for (int32_t i = 0; i < predictor_classes(predictor); i++) {
        Key key = keymap_key(predictor->classes, i);
        size_t len = key.text
            ? key.len
            : strlen(sqlite3_snprintf(sizeof buffer, buffer, "%lld", (long long)key.integer));
        if (len != strlen(name) || memcmp(key.text ? key.text : buffer, name, len) != 0) continue;
        *out = predictor_scores(predictor) > 1 ? i : 0;
        return i || predictor_scores(predictor) > 1
            ? ST_OK
            : fail(err, ST_BADARG, "of two classes the second one's score is explained");
    }
    return fail(err, ST_BADARG, "there is no class '%.60s'", name);
}

static Status explain_by_features(Explaining *e, int32_t score, Err *err) {
    InterruptPoll poll;
    TRY(interrupt_poll_init(&poll, e->db, err));
    Task task = {.poll = interrupt_poll, .host = &poll, .threads = 1};
    Status status = shapley_explain(
        e->held.predictor, &e->held.asker->row, score, e->of_feature, &e->base, &task, err);
    interrupt_poll_clear(&poll);
    return status;
}

static Status explain(Explaining *e, Err *err) {
    const Predictor *predictor = e->held.predictor;
    int32_t score;
    TRY(asker_predict(e->held.asker, e->held.cell, &e->prediction, err));
    TRY(score_of_class(e, &score, err));
    const FeatureSet *set = &predictor->features;
    if (!(e->of_feature = mem_zeros((size_t)set->n, sizeof *e->of_feature)))
        return fail_nomem(err, "the explanation");
    if (!predictor->learner->explain && e->options.by == BY_COLUMN)
        return fail(err, ST_BADARG, "by=column: what %s says is explained by feature alone",
            predictor->learner->name);
    if (!predictor->learner->explain) return explain_by_features(e, score, err);
    if (!(e->part = mem_zeros((size_t)set->dim, sizeof *e->part)))
        return fail_nomem(err, "the explanation");
    TRY(predictor->learner->explain(
        predictor->state, &e->held.asker->row, score, e->part, &e->base, err));
    for (int32_t i = 0; i < set->n; i++)
        for (int32_t c = 0; c < set->feature[i].width; c++)
            e->of_feature[i] += e->part[set->feature[i].first + c];
    return ST_OK;
}

/* ---- rows ---- */

static void row_cell(RowSink *sink, const Cell *cell) {
    switch (cell->type) {
    case CELL_INTEGER: row_integer(sink, cell->integer); break;
    case CELL_REAL: row_real(sink, cell->number); break;
    case CELL_TEXT: row_key(sink, (Key){.text = cell->bytes, .len = cell->len}); break;
    case CELL_BLOB: row_blob(sink, cell->bytes, cell->len); break;
    default: row_null(sink);
    }
}

static Status feature_rows(const Explaining *e, RowSink *sink, Err *err) {
    const FeatureSet *set = &e->held.predictor->features;
    Bytes buffer = {0};
    for (int32_t i = 0; i < set->n; i++) {
        const Feature *feature = &set->feature[i];
        if (feature->kind == FEATURE_IGNORE) continue;
        Cell cell = feature_set_cell(set, i, e->held.cell, &buffer);
        row_text(sink, feature->name);
        row_cell(sink, &cell);
        row_real(sink, e->of_feature[i]);
    }
    int failed = buffer.failed;
    bytes_clear(&buffer);
    return failed ? fail_nomem(err, "the explanation") : ST_OK;
}

/* Columns that give nothing are left out. */
static Status column_rows(const Explaining *e, RowSink *sink, Err *err) {
    const FeatureSet *set = &e->held.predictor->features;
    Bytes name = {0};
    for (int32_t c = 0; c < set->dim; c++) {
        if (e->part[c] == 0) continue;
        name.len = 0;
        feature_set_column_name(set, c, &name);
        row_key(sink, (Key){.text = (const char *)name.data, .len = name.len});
        row_real(sink, design_row_at(&e->held.asker->row, c));
        row_real(sink, e->part[c]);
    }
    int failed = name.failed;
    bytes_clear(&name);
    return failed ? fail_nomem(err, "the explanation") : ST_OK;
}

static Status emit(const Explaining *e, RowSink *sink, Err *err) {
    row_null(sink);
    row_null(sink);
    row_real(sink, e->base);
    return e->options.by == BY_COLUMN ? column_rows(e, sink, err) : feature_rows(e, sink, err);
}

static Status open_version(Explaining *e, sqlite3 *db, sqlite3_value **argv, Err *err) {
    OptTarget target = {explain_options, &e->options};
    PredictorDefinition definition;
    Predictor *predictor;
    TRY(value_options(&target, 1, argv[2], err));
    TRY(predictor_of_version(db, argv[0], e->options.version, &predictor, err));
    TRY(held_open(&e->held, predictor, err));
    TRY(feature_object_read(&e->object, argv[1], err));
    if (!e->object.root)
        return fail(err, ST_BADARG, "the features are one json_object('name', value, ...)");
    TRY(predictor_definition_find(&definition, db, value_text(argv[0]), err));
    Status status = feature_object_cells(&e->object, &e->held, definition.row_id, err);
    predictor_definition_clear(&definition);
    return status;
}

static Status explain_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Explaining e = {.db = db};
    Status status = open_version(&e, db, argv, err);
    if (status == ST_OK) status = explain(&e, err);
    if (status == ST_OK) status = emit(&e, sink, err);
    explaining_clear(&e);
    return status;
}

/* ---- rec_tree_rules ---- */

typedef struct Rules {
    const Predictor *predictor;
    const Trees *trees;
    int32_t *parent; /* of each node of the tree; -1: the root */
    RowSink *sink;
    Bytes text;
} Rules;

/* "price <= 3.5 AND country=France > 0.5", from the root to the node. */
static void append_path(Rules *rules, int32_t tree, int32_t node) {
    int32_t first = rules->trees->root[tree], parent = rules->parent[node - first];
    if (parent < 0) return;
    append_path(rules, tree, parent);
    const TreeNode *split = &rules->trees->node[parent];
    int left = split->child == node;
    if (rules->text.len) bytes_append(&rules->text, " AND ", 5);
    feature_set_column_name(&rules->predictor->features, split->column, &rules->text);
    if (isfinite(split->threshold))
        bytes_format(&rules->text, " %s %.6g", left ? "<=" : ">", (double)split->threshold);
    else bytes_format(&rules->text, left ? " is there" : " is missing");
    int32_t feature = feature_set_feature_of(&rules->predictor->features, split->column);
    if (isfinite(split->threshold) && split->missing_left == left &&
        rules->predictor->features.feature[feature].n_missing)
        bytes_format(&rules->text, " or missing");
}

static void rule_row(Rules *rules, int32_t tree, int32_t node) {
    const Trees *trees = rules->trees;
    const TreeNode *leaf = &trees->node[node];
    const double *value = trees->value + (int64_t)leaf->child * trees->width;
    rules->text.len = 0;
    append_path(rules, tree, node);
    row_integer(rules->sink, tree + 1);
    row_key(rules->sink,
        (Key){
            .text = rules->text.len ? (const char *)rules->text.data : "", .len = rules->text.len});
    if (trees->width == 1) {
        row_real(rules->sink, *value);
    } else {
        rules->text.len = 0;
        for (int32_t k = 0; k < trees->width; k++)
            bytes_format(&rules->text, "%s%.9g", k ? "," : "[", value[k]);
        bytes_append(&rules->text, "]", 1);
        row_key(rules->sink, (Key){.text = (const char *)rules->text.data, .len = rules->text.len});
    }
    row_real(rules->sink, leaf->cover);
}

static Status tree_rows(Rules *rules, int32_t tree, Err *err) {
    const Trees *trees = rules->trees;
    int32_t first = trees->root[tree], end = trees->root[tree + 1];
    rules->parent = mem_array((size_t)(end - first), sizeof *rules->parent);
    if (!rules->parent) return fail_nomem(err, "the rules");
    rules->parent[0] = -1;
    for (int32_t i = first; i < end; i++) {
        const TreeNode *node = &trees->node[i];
        if (node->column < 0) rule_row(rules, tree, i);
        else rules->parent[node->child - first] = rules->parent[node->child + 1 - first] = i;
    }
    mem_free(rules->parent);
    return rules->text.failed ? fail_nomem(err, "the rules") : ST_OK;
}

static Status rules_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Predictor *predictor;
    TRY(predictor_of_options(db, argv[0], argv[1], &predictor, err));
    Rules rules = {.predictor = predictor, .trees = predictor->state, .sink = sink};
    Status status = predictor->learner->explain == trees_explain
        ? ST_OK
        : fail(err, ST_BADARG, "%s has no trees", predictor->learner->name);
    for (int32_t t = 0; status == ST_OK && t < rules.trees->n_trees; t++)
        status = tree_rows(&rules, t, err);
    bytes_clear(&rules.text);
    cache_release(predictor);
    return status;
}

int register_predictor_explain(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_explain_prediction",
            .columns = "feature TEXT, value, contribution REAL",
            .n_columns = 3,
            .arguments = ", predictor HIDDEN, features HIDDEN, options HIDDEN",
            .n_arguments = 3,
            .n_required = 2,
            .fill = explain_fill},
        {.name = "rec_tree_rules",
            .columns = "tree INTEGER, rule TEXT, value, cover REAL",
            .n_columns = 4,
            .arguments = ", predictor HIDDEN, options HIDDEN",
            .n_arguments = 2,
            .n_required = 1,
            .fill = rules_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
