/* ONNX in: the one node of ai.onnx.ml that learns, with its attributes (onnx.proto3). Nodes around
 * it that only pass numbers on, or dress its answer, are passed over. */
#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "model_files.h"

/* ---- Protocol Buffers ---- */

typedef struct Message {
    const uint8_t *at, *end;
    int failed;
} Message;

typedef struct Field {
    unsigned number;
    uint64_t value; /* of a varint, and the bits of a fixed one */
    Message bytes;  /* of a length-delimited one */
    unsigned wire;
} Field;

static uint64_t varint(Message *m) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (m->at >= m->end) break;
        uint8_t byte = *m->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
    m->failed = 1;
    return 0;
}

/* 0 at the end, and where it is cut short. */
static int next_field(Message *m, Field *out) {
    if (m->failed || m->at >= m->end) return 0;
    uint64_t key = varint(m);
    size_t left = (size_t)(m->end - m->at), n = 0;
    *out = (Field){.number = (unsigned)(key >> 3), .wire = (unsigned)(key & 7)};
    if (out->wire == 0) {
        out->value = varint(m);
    } else if (out->wire == 2) {
        uint64_t len = varint(m);
        left = (size_t)(m->end - m->at);
        if (len > left) m->failed = 1;
        else out->bytes = (Message){m->at, m->at + len, 0};
        n = (size_t)len;
    } else if (out->wire == 1 || out->wire == 5) {
        n = out->wire == 1 ? 8 : 4;
        if (n > left) m->failed = 1;
        else memcpy(&out->value, m->at, n);
    } else {
        m->failed = 1;
    }
    if (m->failed) return 0;
    m->at += n;
    return 1;
}

static int is_text(const Message *m, const char *text) {
    return (size_t)(m->end - m->at) == strlen(text) && memcmp(m->at, text, strlen(text)) == 0;
}

/* ---- attributes ---- */

typedef struct List {
    double *number; /* n */
    Message *text;  /* n_texts */
    int64_t n, n_texts, room, text_room;
} List;
static void list_clear(List *list) {
    mem_free(list->number);
    mem_free(list->text);
    *list = (List){0};
}

static int push(List *list, double x) {
    if (list->n == list->room) {
        int64_t room = list->room ? 2 * list->room : 64;
        void *grown = mem_resize(list->number, (size_t)room, sizeof *list->number);
        if (!grown) return 0;
        list->number = grown;
        list->room = room;
    }
    list->number[list->n++] = x;
    return 1;
}

static int push_text(List *list, Message text) {
    if (list->n_texts == list->text_room) {
        int64_t room = list->text_room ? 2 * list->text_room : 64;
        void *grown = mem_resize(list->text, (size_t)room, sizeof *list->text);
        if (!grown) return 0;
        list->text = grown;
        list->text_room = room;
    }
    list->text[list->n_texts++] = text;
    return 1;
}

static double float_of(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float x;
    memcpy(&x, &low, sizeof x);
    return x;
}

/* A field of numbers, packed or one by one. */
static int push_field(List *list, Field *f, int is_float) {
    if (f->wire == 0) return push(list, (double)(int64_t)f->value);
    if (f->wire == 5) return push(list, float_of(f->value));
    if (f->wire != 2) return 0;
    while (f->bytes.at < f->bytes.end) {
        double x;
        if (is_float) {
            uint32_t bits;
            if (f->bytes.end - f->bytes.at < 4) return 0;
            memcpy(&bits, f->bytes.at, 4);
            f->bytes.at += 4;
            x = float_of(bits);
        } else {
            x = (double)(int64_t)varint(&f->bytes);
            if (f->bytes.failed) return 0;
        }
        if (!push(list, x)) return 0;
    }
    return 1;
}

/* The attribute of a node: i 3, f 2, s 4, floats 7, ints 8, strings 9; empty where it has none. */
static Status attribute(const Message *node, const char *name, List *out, Err *err) {
    Message m = *node;
    Field f, own;
    *out = (List){0};
    while (next_field(&m, &f)) {
        if (f.number != 5 || f.wire != 2) continue;
        Message find = f.bytes, values = f.bytes;
        int found = 0, sound = 1;
        while (next_field(&find, &own))
            found |= own.number == 1 && own.wire == 2 && is_text(&own.bytes, name);
        while (found && sound && next_field(&values, &own)) {
            if (own.number == 2 || own.number == 7) sound = push_field(out, &own, 1);
            else if (own.number == 3 || own.number == 8) sound = push_field(out, &own, 0);
            else if (own.number == 4 || own.number == 9)
                sound = own.wire == 2 && push_text(out, own.bytes);
        }
        if (found && sound && !values.failed && !find.failed) return ST_OK;
        if (found) return fail(err, ST_BADARG, "the model's attribute %s is damaged", name);
    }
    return m.failed ? fail(err, ST_BADARG, "the model is damaged") : ST_OK;
}

static Status damaged(Err *err) { return fail(err, ST_BADARG, "the model of ONNX is damaged"); }

/* ---- what both kinds have ---- */

/* What becomes of the scores; classes has the labels. */
typedef enum After { AFTER_NOTHING, AFTER_LOGISTIC, AFTER_SOFTMAX } After;

static Status read_after(const Message *node, After *out, Err *err) {
    List list;
    *out = AFTER_NOTHING;
    Status status = attribute(node, "post_transform", &list, err);
    if (status == ST_OK && list.n_texts) {
        const Message *own = list.text;
        if (is_text(own, "LOGISTIC")) *out = AFTER_LOGISTIC;
        else if (is_text(own, "SOFTMAX")) *out = AFTER_SOFTMAX;
        else if (!is_text(own, "NONE"))
            status = fail(err, ST_BADARG, "post_transform %.*s is not known here",
                (int)(own->end - own->at < 40 ? own->end - own->at : 40), (const char *)own->at);
    }
    list_clear(&list);
    return status;
}

/* A whole number that a double holds; else NULL. */
static json_t *label_of(double x) {
    return fabs(x) <= 9007199254740992.0 && x == floor(x) ? json_integer((json_int_t)x) : NULL;
}

static Status read_labels(
    ModelFile *file, const Message *node, const char *ints, const char *strings, Err *err) {
    List number, text = {0};
    Status status = attribute(node, ints, &number, err);
    if (status == ST_OK) status = attribute(node, strings, &text, err);
    int64_t n = text.n_texts ? text.n_texts : number.n;
    if (status == ST_OK && ((number.n && text.n_texts) || n < 2 || n > 32767))
        status = damaged(err);
    file->n_classes = status == ST_OK ? (int32_t)n : 0;
    if (status == ST_OK && !(file->classes = json_array())) status = fail_nomem(err, "the classes");
    for (int32_t i = 0; i < file->n_classes && status == ST_OK; i++) {
        json_t *label = text.n_texts ? json_stringn((const char *)text.text[i].at,
                                           (size_t)(text.text[i].end - text.text[i].at))
                                     : label_of(number.number[i]);
        if (json_array_append_new(file->classes, label))
            status = fail(
                err, ST_BADARG, "a label of the model is neither a text nor a whole number");
    }
    list_clear(&number);
    list_clear(&text);
    return status;
}

/* ---- linear ---- */

static Status fill_linear(
    ModelFile *file, const List *weight, const List *bias, After after, Err *err) {
    int32_t scores = file->n_classes > 2 ? file->n_classes : 1;
    /* of two classes a row each, or one for the second */
    int64_t rows = bias->n ? bias->n : file->n_classes == 2 && weight->n % 2 == 0 ? 2 : scores;
    int64_t dim = rows ? weight->n / rows : 0;
    if (dim < 1 || dim > MODEL_FILE_COLUMNS || rows * dim != weight->n ||
        (rows != scores && !(rows == 2 && file->n_classes == 2)))
        return damaged(err);
    if (!(file->linear = linear_state_new((int32_t)dim, scores)))
        return fail_nomem(err, "the weights");
    double *to = file->linear->weight;
    int64_t first = rows == 2 && scores == 1 ? 1 : 0;
    double less = first && after == AFTER_SOFTMAX ? 1 : 0; /* e^b / (e^a + e^b): of b - a */
    for (int32_t s = 0; s < scores; s++) {
        for (int64_t i = 0; i < dim; i++)
            to[i * scores + s] = weight->number[(first + s) * dim + i] - less * weight->number[i];
        if (bias->n) to[dim * scores + s] = bias->number[first + s] - less * bias->number[0];
    }
    for (int64_t i = 0; i < (dim + 1) * scores; i++)
        if (!isfinite(to[i])) return damaged(err);
    file->n_names = (int32_t)dim;
    return ST_OK;
}

static Status read_linear(ModelFile *file, const Message *node, int is_classifier, Err *err) {
    List weight = {0}, bias = {0};
    After after;
    Status status = read_after(node, &after, err);
    if (status == ST_OK && is_classifier)
        status = read_labels(file, node, "classlabels_ints", "classlabels_strings", err);
    if (status == ST_OK && is_classifier && after == AFTER_NOTHING)
        status = fail(err, ST_BADARG, "a LinearClassifier whose scores are no probabilities");
    if (status == ST_OK && !is_classifier && after != AFTER_NOTHING)
        status = fail(err, ST_BADARG, "a LinearRegressor with a post_transform");
    if (status == ST_OK && is_classifier && after == AFTER_LOGISTIC && file->n_classes > 2)
        status = fail(err, ST_BADARG, "a LinearClassifier of one class against the others");
    if (status == ST_OK) status = attribute(node, "coefficients", &weight, err);
    if (status == ST_OK) status = attribute(node, "intercepts", &bias, err);
    if (status == ST_OK) status = fill_linear(file, &weight, &bias, after, err);
    list_clear(&weight);
    list_clear(&bias);
    return status;
}

/* ---- trees ---- */

enum {
    TREE,
    NODE,
    FEATURE,
    VALUE,
    TRUE,
    FALSE,
    MISSING,
    MODE,
    LEAF_TREE,
    LEAF_NODE,
    LEAF_TARGET,
    LEAF_WEIGHT,
    BASE,
    N_LISTS
};

typedef struct Ensemble {
    List list[N_LISTS];
    int32_t width, n_targets; /* numbers of a leaf; different targets */
    int32_t *place;           /* n: split i, or leaf ~i, of its tree */
    int32_t *node_at;         /* of a tree: which entry is node id; n + 1 */
    int64_t leaf;             /* entries of the leaves that have been read */
} Ensemble;

static Status read_lists(Ensemble *e, const Message *node, int is_classifier, Err *err) {
    static const char *const names[2][N_LISTS] = {
        {"nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_truenodeids",
            "nodes_falsenodeids", "nodes_missing_value_tracks_true", "nodes_modes",
            "target_treeids", "target_nodeids", "target_ids", "target_weights", "base_values"},
        {"nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_truenodeids",
            "nodes_falsenodeids", "nodes_missing_value_tracks_true", "nodes_modes", "class_treeids",
            "class_nodeids", "class_ids", "class_weights", "base_values"}};
    for (int i = 0; i < N_LISTS; i++)
        TRY(attribute(node, names[is_classifier][i], &e->list[i], err));
    const List *l = e->list;
    int64_t n = l[TREE].n, leaves = l[LEAF_TREE].n;
    if (!n || n > 100000000 || l[NODE].n != n || l[FEATURE].n != n || l[VALUE].n != n ||
        l[TRUE].n != n || l[FALSE].n != n || l[MODE].n_texts != n ||
        (l[MISSING].n && l[MISSING].n != n) || !leaves || l[LEAF_NODE].n != leaves ||
        l[LEAF_TARGET].n != leaves || l[LEAF_WEIGHT].n != leaves)
        return damaged(err);
    return ST_OK;
}

static int is_leaf(const Ensemble *e, int64_t i) { return is_text(&e->list[MODE].text[i], "LEAF"); }

/* The entry of a tree's node; -1: there is none. */
static int64_t entry_of(const Ensemble *e, double id, int64_t from, int64_t to) {
    if (!(id >= 0 && id < (double)(to - from))) return -1;
    int32_t at = e->node_at[from + (int64_t)id];
    return at < 0 ? -1 : from + at;
}

static Status fill_node(const Ensemble *e, FileTree *t, int64_t i, int64_t from, int64_t to,
    int32_t *most_column, Err *err) {
    const List *l = e->list;
    int64_t left = entry_of(e, l[TRUE].number[i], from, to);
    int64_t right = entry_of(e, l[FALSE].number[i], from, to);
    double column = l[FEATURE].number[i], value = l[VALUE].number[i];
    int32_t at = e->place[i];
    if (left < 0 || right < 0 || !(column >= 0 && column < MODEL_FILE_COLUMNS)) return damaged(err);
    int is_less = is_text(&l[MODE].text[i], "BRANCH_LT");
    if (!is_less && !is_text(&l[MODE].text[i], "BRANCH_LEQ"))
        return fail(err, ST_BADARG, "a split that is neither BRANCH_LEQ nor BRANCH_LT");
    t->column[at] = (int32_t)column;
    t->left[at] = e->place[left];
    t->right[at] = e->place[right];
    t->threshold[at] = is_less ? nextafterf((float)value, -INFINITY) : (float)value;
    t->missing_left[at] = l[MISSING].n && l[MISSING].number[i] != 0;
    if (t->column[at] >= *most_column) *most_column = t->column[at] + 1;
    return ST_OK;
}

/* Leaves' numbers of one tree: those lists are in the trees' order, too. */
static Status fill_leaves(Ensemble *e, FileTree *t, int64_t from, int64_t to, Err *err) {
    const List *l = e->list;
    double tree = l[TREE].number[from];
    for (; e->leaf < l[LEAF_TREE].n && l[LEAF_TREE].number[e->leaf] == tree; e->leaf++) {
        int64_t i = e->leaf;
        int64_t at = entry_of(e, l[LEAF_NODE].number[i], from, to);
        double target = e->width == 1 ? 0 : l[LEAF_TARGET].number[i];
        if (at < 0 || e->place[at] >= 0 || !(target >= 0 && target < e->width)) return damaged(err);
        t->leaf[(int64_t)~e->place[at] * e->width + (int64_t)target] += l[LEAF_WEIGHT].number[i];
    }
    return ST_OK;
}

/* Entries from .. to - 1 are a tree, its root the first. */
static Status read_tree(
    Ensemble *e, Trees *trees, int64_t from, int64_t to, int32_t *columns, Err *err) {
    int32_t splits = 0, leaves = 0;
    FileTree t = {0};
    for (int64_t i = from; i < to; i++) e->node_at[i] = -1;
    for (int64_t i = from; i < to; i++) {
        double id = e->list[NODE].number[i];
        if (!(id >= 0 && id < (double)(to - from)) || e->node_at[from + (int64_t)id] >= 0)
            return damaged(err);
        e->node_at[from + (int64_t)id] = (int32_t)(i - from);
        e->place[i] = is_leaf(e, i) ? ~leaves++ : splits++;
    }
    if (leaves != splits + 1 || (splits && e->place[from] != 0)) return damaged(err);
    /* of a forest each leaf has an entry a class */
    if ((int64_t)leaves * e->width > e->list[LEAF_TREE].n) return damaged(err);
    Status status = file_tree_init(&t, splits, e->width, err);
    for (int64_t i = from; i < to && status == ST_OK; i++)
        if (e->place[i] >= 0) status = fill_node(e, &t, i, from, to, columns, err);
    if (status == ST_OK) status = fill_leaves(e, &t, from, to, err);
    if (status == ST_OK) status = file_tree_append(trees, &t, *columns, err);
    file_tree_clear(&t);
    return status;
}

static Status fill_trees(ModelFile *file, Ensemble *e, Err *err) {
    const List *l = e->list;
    int64_t n = l[TREE].n;
    int32_t columns = 1;
    e->place = mem_array((size_t)n, sizeof *e->place);
    e->node_at = mem_array((size_t)n, sizeof *e->node_at);
    if (!e->place || !e->node_at) return fail_nomem(err, "the trees");
    if (!(file->trees = trees_new(e->n_targets, e->width, err))) return ST_NOMEM;
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && l[TREE].number[to] == l[TREE].number[from];) to++;
        TRY(read_tree(e, file->trees, from, to, &columns, err));
    }
    if (e->leaf != l[LEAF_TREE].n) return damaged(err);
    for (int32_t s = 0; s < e->n_targets && l[BASE].n; s++)
        file->trees->base[s] = l[BASE].number[l[BASE].n > s ? s : 0];
    file->n_names = columns;
    return ST_OK;
}

static Status check_sums(const Message *node, Err *err) {
    List list;
    TRY(attribute(node, "aggregate_function", &list, err));
    int sums = !list.n_texts || is_text(list.text, "SUM");
    list_clear(&list);
    return sums ? ST_OK : fail(err, ST_BADARG, "trees that are not summed (aggregate_function)");
}

/* Of two classes one score, that of the second: what the first one's leaves say is taken from it
 * where a softmax follows, and follows by itself where they are shares. */
static Status settle_two(Ensemble *e, After after, Err *err) {
    List *target = &e->list[LEAF_TARGET], *weight = &e->list[LEAF_WEIGHT];
    int first = 0, second = 0;
    for (int64_t i = 0; i < target->n; i++) {
        first |= target->number[i] == 0;
        second |= target->number[i] == 1;
    }
    if (!(first && second)) return ST_OK; /* all are of the second, however it is numbered */
    if (after == AFTER_LOGISTIC)
        return fail(err, ST_BADARG, "two classes with scores of their own and a LOGISTIC");
    for (int64_t i = 0; i < target->n; i++)
        if (target->number[i] == 0) weight->number[i] *= after == AFTER_SOFTMAX ? -1 : 0;
    List *base = &e->list[BASE];
    if (base->n == 2)
        base->number[0] = base->number[1] - (after == AFTER_SOFTMAX ? base->number[0] : 0);
    return ST_OK;
}

/* Of more classes with a softmax a tree is of one class, each in its turn. */
static Status check_turns(const Ensemble *e, int32_t n_classes, Err *err) {
    const List *l = e->list;
    double tree = l[LEAF_TREE].number[0];
    int64_t turn = 0;
    for (int64_t i = 0; i < l[LEAF_TREE].n; i++) {
        turn += l[LEAF_TREE].number[i] != tree;
        tree = l[LEAF_TREE].number[i];
        if (l[LEAF_TARGET].number[i] != (double)(turn % n_classes))
            return fail(err, ST_BADARG, "trees whose classes do not take turns");
    }
    return ST_OK;
}

static Status read_ensemble(ModelFile *file, const Message *node, int is_classifier, Err *err) {
    Ensemble e = {.width = 1, .n_targets = 1};
    After after;
    double targets = 0;
    Status status = read_after(node, &after, err);
    if (status == ST_OK && is_classifier)
        status = read_labels(file, node, "classlabels_int64s", "classlabels_strings", err);
    if (status == ST_OK) status = read_lists(&e, node, is_classifier, err);
    if (status == ST_OK) status = check_sums(node, err);
    if (status == ST_OK && !is_classifier && after != AFTER_NOTHING)
        status = fail(err, ST_BADARG, "a TreeEnsembleRegressor with a post_transform");
    if (status == ST_OK && after == AFTER_LOGISTIC && file->n_classes > 2)
        status = fail(err, ST_BADARG, "trees of one class against the others");
    for (int64_t i = 0; i < e.list[LEAF_TARGET].n && status == ST_OK; i++)
        targets = fmax(targets, e.list[LEAF_TARGET].number[i]);
    if (status == ST_OK && !is_classifier && targets > 0)
        status = fail(err, ST_BADARG, "trees of several targets");
    file->has_probabilities = is_classifier && after == AFTER_NOTHING;
    if (status == ST_OK && file->n_classes == 2) status = settle_two(&e, after, err);
    if (status == ST_OK && file->n_classes > 2) {
        e.n_targets = file->n_classes;
        e.width = after == AFTER_NOTHING ? file->n_classes : 1;
        if (e.width == 1) status = check_turns(&e, file->n_classes, err);
    }
    if (status == ST_OK) status = fill_trees(file, &e, err);
    for (int i = 0; i < N_LISTS; i++) list_clear(&e.list[i]);
    mem_free(e.place);
    mem_free(e.node_at);
    return status;
}

/* ---- the graph: nodes 1, inputs 11 ---- */

static Status read_node(ModelFile *file, const Message *node, int *found, Err *err) {
    static const char *const around[] = {"Cast", "Identity", "ZipMap", "Normalizer", "Reshape",
        "ArrayFeatureExtractor", "Flatten", "Squeeze"};
    Message m = *node;
    Field f;
    while (next_field(&m, &f)) {
        const Message *op = &f.bytes;
        if (f.number != 4 || f.wire != 2) continue;
        int linear = is_text(op, "LinearClassifier") || is_text(op, "LinearRegressor");
        int trees = is_text(op, "TreeEnsembleClassifier") || is_text(op, "TreeEnsembleRegressor");
        int passes = 0;
        for (size_t i = 0; i < sizeof around / sizeof *around; i++)
            passes |= is_text(op, around[i]);
        if ((linear || trees) && (*found)++)
            return fail(err, ST_BADARG, "the model has several learners");
        if (linear) return read_linear(file, node, is_text(op, "LinearClassifier"), err);
        if (trees) return read_ensemble(file, node, is_text(op, "TreeEnsembleClassifier"), err);
        if (passes) return ST_OK;
        return fail(err, ST_BADARG,
            "the operator %.*s is not known here (a tree ensemble or a linear model alone)",
            (int)(op->end - op->at < 40 ? op->end - op->at : 40), (const char *)op->at);
    }
    return m.failed ? damaged(err) : ST_OK;
}

/* Inputs of one column each name the features. */
static Status read_inputs(ModelFile *file, const Message *graph, Err *err) {
    Message m = *graph;
    Field f, own;
    int32_t n = 0;
    while (next_field(&m, &f)) n += f.number == 11;
    if (n < 2 || n < file->n_names) return ST_OK;
    TRY(model_file_number_names(file, n, err));
    m = *graph;
    for (int32_t i = 0; next_field(&m, &f);) {
        if (f.number != 11 || f.wire != 2) continue;
        while (next_field(&f.bytes, &own)) {
            if (own.number != 1 || own.wire != 2) continue;
            mem_free(file->name[i]);
            file->name[i] = mem_text(
                (const char *)own.bytes.at, (size_t)(own.bytes.end - own.bytes.at));
            if (!file->name[i]) return fail_nomem(err, "the columns");
        }
        i++;
    }
    return ST_OK;
}

Status onnx_read(ModelFile *out, const char *data, size_t len, Err *err) {
    Message m = {(const uint8_t *)data, (const uint8_t *)data + len, 0}, graph = {0}, nodes;
    Field f;
    int found = 0;
    while (next_field(&m, &f))
        if (f.number == 7 && f.wire == 2) graph = f.bytes;
    if (m.failed || !graph.at) return damaged(err);
    nodes = graph;
    while (next_field(&nodes, &f))
        if (f.number == 1 && f.wire == 2) TRY(read_node(out, &f.bytes, &found, err));
    if (nodes.failed) return damaged(err);
    if (!found) return fail(err, ST_BADARG, "the model of ONNX has no trees and no linear model");
    return read_inputs(out, &graph, err);
}
