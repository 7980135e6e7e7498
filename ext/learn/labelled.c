#include "labelled.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/date.h"
#include "../base/memory.h"
#include "../base/random.h"

int role_of_column(const ExampleRoles *roles, int32_t column) {
    return column == roles->label || column == roles->id || column == roles->weight ||
        column == roles->split || column == roles->group || column == roles->time;
}

void roles_ask(const ExampleRoles *roles, Columns *columns) {
    columns->n_asked = 0;
    for (int32_t i = 0; i < columns->n_columns; i++)
        if (!role_of_column(roles, i)) columns->asked[columns->n_asked++] = i;
}

void labelled_clear(Labelled *l) {
    mem_free(l->row);
    mem_free(l->held);
    mem_free(l->fold);
    mem_free(l->class_of);
    mem_free(l->value);
    mem_free(l->weight);
    mem_free(l->group_of);
    mem_free(l->group);
    if (!l->is_part) keymap_free(l->classes);
    *l = (Labelled){0};
}

static Status room_for(Labelled *l, int64_t rows, int has_groups, Err *err) {
    size_t n = (size_t)rows;
    l->row = mem_array(n, sizeof *l->row);
    l->held = mem_zeros(n, sizeof *l->held);
    l->fold = mem_zeros(n, sizeof *l->fold);
    l->weight = mem_array(n, sizeof *l->weight);
    if (l->task == LEARN_CLASSES) l->class_of = mem_array(n, sizeof *l->class_of);
    if (l->task == LEARN_NUMBER || l->task == LEARN_RANKING)
        l->value = mem_array(n, sizeof *l->value);
    if (has_groups) l->group_of = mem_array(n, sizeof *l->group_of);
    return l->row && l->held && l->fold && l->weight && (l->task != LEARN_CLASSES || l->class_of) &&
            ((l->task != LEARN_NUMBER && l->task != LEARN_RANKING) || l->value) &&
            (!has_groups || l->group_of)
        ? ST_OK
        : fail_nomem(err, "the examples");
}

/* ---- which task ---- */

static LearnTask find_task(
    const Columns *columns, const ExampleRoles *roles, const PredictorSetting *setting) {
    unsigned tasks = setting->learner->tasks;
    if (setting->common.task) return (LearnTask)(setting->common.task - 1);
    if (roles->label < 0 || !(tasks & (1u << LEARN_CLASSES | 1u << LEARN_NUMBER))) {
        for (int task = LEARN_RANKING; task <= LEARN_ANOMALY; task++)
            if (tasks & 1u << task) return (LearnTask)task;
        return LEARN_NUMBER; /* refused for want of a label */
    }
    if (!(tasks & 1u << LEARN_NUMBER)) return LEARN_CLASSES;
    if (!(tasks & 1u << LEARN_CLASSES)) return LEARN_NUMBER;
    const Column *label = &columns->column[roles->label];
    int is_binary = 1;
    for (int64_t i = 0; i < columns->n_rows; i++) {
        Cell cell = column_cell(label, i);
        if (cell.type == CELL_TEXT) return LEARN_CLASSES;
        if (cell_is_number(&cell)) is_binary &= cell.number == 0 || cell.number == 1;
    }
    return is_binary ? LEARN_CLASSES : LEARN_NUMBER;
}

static Status check_task(
    const PredictorSetting *setting, const ExampleRoles *roles, LearnTask task, Err *err) {
    if (!(setting->learner->tasks & 1u << task))
        return fail(err, ST_BADARG, "algorithm=%s cannot do task=%s", setting->learner->name,
            learn_task_name(task));
    if (task <= LEARN_RANKING && roles->label < 0)
        return fail(err, ST_BADARG, "task=%s needs label=", learn_task_name(task));
    if (task == LEARN_RANKING && roles->group < 0)
        return fail(err, ST_BADARG, "task=ranking needs group=, the lists that are ranked");
    return ST_OK;
}

/* ---- rows ---- */

Status example_number(const char *what, const Cell *cell, double *out, Err *err) {
    *out = cell->number;
    switch (cell->type) {
    case CELL_TEXT:
        if (date_parse(cell->bytes, cell->len, out) || number_parse(cell->bytes, cell->len, out))
            return ST_OK;
        return fail(err, ST_BADARG, "%s: '%.*s' is no number", what,
            (int)(cell->len < 40 ? cell->len : 40), cell->bytes);
    case CELL_NULL: return fail(err, ST_BADARG, "%s: NULL is no number", what);
    case CELL_BLOB: return fail(err, ST_BADARG, "%s: a BLOB is no number", what);
    default:
        return isfinite(cell->number) ? ST_OK
                                      : fail(err, ST_BADARG, "%s: infinity is no number", what);
    }
}

enum { SPLIT_TRAIN, SPLIT_HELD, SPLIT_OUT };

static Status split_of(const Cell *cell, int *out, Err *err) {
    static const struct {
        const char *word;
        int part;
    } words[] = {{"train", SPLIT_TRAIN}, {"validation", SPLIT_HELD}, {"test", SPLIT_OUT}};
    for (int i = 0; i < 3; i++) {
        if (cell->type == CELL_INTEGER && cell->integer == i) *out = words[i].part;
        else if (cell->type == CELL_TEXT && cell->len == strlen(words[i].word) &&
            memcmp(cell->bytes, words[i].word, cell->len) == 0)
            *out = words[i].part;
        else continue;
        return ST_OK;
    }
    return fail(
        err, ST_BADARG, "split: a row is neither 'train', 'validation' nor 'test' (nor 0, 1 or 2)");
}

typedef struct Order {
    int32_t group, id;
    int64_t row;
} Order;

static int compare_order(const void *a, const void *b) {
    const Order *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Places of a column's values in key order; equal values have one. NULL is first. */
static Status rank_column(const Column *column, int64_t n, Order *order, int group, Err *err) {
    KeyMap *keys = keymap_new();
    int32_t *new_id = NULL;
    char buffer[CELL_BUFFER];
    Status status = keys ? ST_OK : fail_nomem(err, "the examples");
    for (int64_t i = 0; i < n && status == ST_OK; i++) {
        Cell cell = column_cell(column, order[i].row);
        Key key;
        int32_t *to = group ? &order[i].group : &order[i].id;
        if (!cell_key(&cell, buffer, &key) && group)
            status = fail(err, ST_BADARG, "group: a row has NULL or a BLOB");
        else if (!cell_key(&cell, buffer, &key)) *to = -1;
        else status = keymap_add(keys, key, to, err);
    }
    if (status == ST_OK) status = keymap_sort(keys, &new_id, err);
    for (int64_t i = 0; i < n && status == ST_OK; i++) {
        int32_t *to = group ? &order[i].group : &order[i].id;
        if (*to >= 0) *to = new_id[*to];
    }
    mem_free(new_id);
    keymap_free(keys);
    return status;
}

/* The rows that count, in their order. */
static Status order_rows(const Columns *columns, const ExampleRoles *roles, LearnTask task,
    Order **out, int64_t *n, int64_t *skipped, Err *err) {
    Order *order = *out = mem_array((size_t)columns->n_rows, sizeof *order);
    int with_label = task <= LEARN_RANKING;
    *n = *skipped = 0;
    if (!order) return fail_nomem(err, "the examples");
    for (int64_t i = 0; i < columns->n_rows; i++) {
        int part = SPLIT_TRAIN;
        if (roles->split >= 0) {
            Cell cell = column_cell(&columns->column[roles->split], i);
            TRY(split_of(&cell, &part, err));
        }
        if (part == SPLIT_OUT || (with_label && columns->column[roles->label].type[i] == CELL_NULL))
            (*skipped)++;
        else order[(*n)++] = (Order){.row = i};
    }
    if (roles->group >= 0) TRY(rank_column(&columns->column[roles->group], *n, order, 1, err));
    if (roles->id >= 0) TRY(rank_column(&columns->column[roles->id], *n, order, 0, err));
    qsort(order, (size_t)*n, sizeof *order, compare_order);
    return ST_OK;
}

static Status read_class(Labelled *l, const Column *column, int64_t i, Err *err) {
    Cell cell = column_cell(column, l->row[i]);
    char buffer[CELL_BUFFER];
    Key key;
    if (!cell_key(&cell, buffer, &key)) return fail(err, ST_BADARG, "label: a BLOB is no class");
    l->classes_are_numbers &= cell_is_number(&cell);
    return keymap_add(l->classes, key, &l->class_of[i], err);
}

static Status read_labels(Labelled *l, const Column *column, Err *err) {
    int32_t *new_id = NULL;
    if (l->task == LEARN_CLASSES && !(l->classes = keymap_new()))
        return fail_nomem(err, "the labels");
    for (int64_t i = 0; i < l->n; i++) {
        Cell cell = column_cell(column, l->row[i]);
        if (l->task == LEARN_CLASSES) TRY(read_class(l, column, i, err));
        else TRY(example_number("label", &cell, &l->value[i], err));
        if (l->task == LEARN_RANKING && !(l->value[i] >= 0 && l->value[i] <= 30))
            return fail(err, ST_BADARG, "label: %g is no grade (0..30)", l->value[i]);
    }
    if (l->task != LEARN_CLASSES) return ST_OK;
    if (keymap_count(l->classes) < 2) {
        Key key = keymap_key(l->classes, 0);
        if (!key.text)
            return fail(err, ST_BADARG, "every label is %lld: there is nothing to learn",
                (long long)key.integer);
        return fail(err, ST_BADARG, "every label is '%.*s': there is nothing to learn",
            (int)(key.len < 60 ? key.len : 60), key.text);
    }
    if (keymap_count(l->classes) > 10000)
        return fail(err, ST_BADARG, "the label has %d classes (up to 10000)",
            (int)keymap_count(l->classes));
    TRY(keymap_sort(l->classes, &new_id, err));
    for (int64_t i = 0; i < l->n; i++) l->class_of[i] = new_id[l->class_of[i]];
    mem_free(new_id);
    return ST_OK;
}

static Status read_weights(Labelled *l, const Column *column, Err *err) {
    for (int64_t i = 0; i < l->n; i++) {
        l->weight[i] = 1;
        if (!column) continue;
        Cell cell = column_cell(column, l->row[i]);
        TRY(example_number("weight", &cell, &l->weight[i], err));
        if (!(l->weight[i] > 0)) return fail(err, ST_BADARG, "weight: %g (above 0)", l->weight[i]);
    }
    return ST_OK;
}

/* ---- who judges ---- */

/* A number in [0, 1) that the seed and the unit alone decide. */
static double draw_of(uint64_t seed, int64_t unit) {
    Random random;
    random_init(&random, seed, (uint64_t)unit + 1);
    return random_uniform(&random);
}

typedef struct Timed {
    double time;
    int64_t place;
} Timed;

static int compare_timed(const void *a, const void *b) {
    const Timed *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* The latest share; examples of one time stay together. */
static Status hold_latest(Labelled *l, const Column *column, double share, Err *err) {
    Timed *timed = mem_array((size_t)l->n, sizeof *timed);
    Status status = timed ? ST_OK : fail_nomem(err, "the examples");
    for (int64_t i = 0; i < l->n && status == ST_OK; i++) {
        Cell cell = column_cell(column, l->row[i]);
        timed[i].place = i;
        status = example_number("time", &cell, &timed[i].time, err);
    }
    if (status == ST_OK) {
        qsort(timed, (size_t)l->n, sizeof *timed, compare_timed);
        int64_t from = (int64_t)floor((1 - share) * (double)l->n);
        while (from > 0 && from < l->n && timed[from].time == timed[from - 1].time) from++;
        for (int64_t i = from; i < l->n; i++) l->held[timed[i].place] = 1;
    }
    mem_free(timed);
    for (int64_t i = 1; l->group_of && i < l->n; i++) /* whole groups */
        if (l->group_of[i] == l->group_of[i - 1]) l->held[i] |= l->held[i - 1];
    for (int64_t i = l->n - 1; l->group_of && i > 0; i--)
        if (l->group_of[i] == l->group_of[i - 1]) l->held[i - 1] |= l->held[i];
    return status;
}

static Status hold(Labelled *l, const Columns *columns, const ExampleRoles *roles,
    const PredictorCommon *common, Err *err) {
    uint64_t seed = (uint64_t)common->seed;
    for (int64_t i = 0; i < l->n; i++) {
        int64_t unit = l->group_of ? l->group_of[i] : i;
        l->fold[i] = (uint8_t)(draw_of(seed ^ 0x5851F42D4C957F2Du, unit) * FEATURE_FOLDS);
        if (roles->split >= 0) {
            int part;
            Cell cell = column_cell(&columns->column[roles->split], l->row[i]);
            TRY(split_of(&cell, &part, err));
            l->held[i] = part == SPLIT_HELD;
        } else if (roles->time < 0) {
            l->held[i] = draw_of(seed, unit) < common->validation;
        }
    }
    if (roles->split < 0 && roles->time >= 0 && common->validation > 0)
        return hold_latest(l, &columns->column[roles->time], common->validation, err);
    return ST_OK;
}

void labelled_hold_part(Labelled *l, uint64_t seed, int64_t part, int64_t parts) {
    for (int64_t i = 0; i < l->n; i++) {
        int64_t unit = l->group_of ? l->group_of[i] : i;
        l->held[i] = (int64_t)(draw_of(seed ^ 0x9E3779B97F4A7C15u, unit) * (double)parts) == part;
    }
}

Status labelled_init(Labelled *out, const Columns *columns, const ExampleRoles *roles,
    const PredictorSetting *setting, Err *err) {
    Order *order = NULL;
    int64_t n = 0;
    *out = (Labelled){.task = find_task(columns, roles, setting), .classes_are_numbers = 1};
    TRY(check_task(setting, roles, out->task, err));
    Status status = order_rows(columns, roles, out->task, &order, &n, &out->n_skipped, err);
    if (status == ST_OK && !n)
        status = fail(
            err, ST_BADARG, columns->n_rows ? "no example has a label" : "there are no examples");
    if (status == ST_OK) status = room_for(out, n, roles->group >= 0, err);
    out->n = n;
    for (int64_t i = 0; i < n && status == ST_OK; i++) {
        out->row[i] = order[i].row;
        if (out->group_of) out->group_of[i] = order[i].group;
    }
    mem_free(order);
    if (status == ST_OK && out->task <= LEARN_RANKING)
        status = read_labels(out, &columns->column[roles->label], err);
    if (status == ST_OK)
        status = read_weights(
            out, roles->weight >= 0 ? &columns->column[roles->weight] : NULL, err);
    return status == ST_OK ? hold(out, columns, roles, &setting->common, err) : status;
}

/* ---- parts ---- */

static Status mark_groups(Labelled *l, Err *err) {
    if (l->task != LEARN_RANKING) return ST_OK;
    l->group = mem_array((size_t)l->n + 1, sizeof *l->group);
    if (!l->group) return fail_nomem(err, "the groups");
    for (int64_t i = 0; i < l->n; i++)
        if (!i || l->group_of[i] != l->group_of[i - 1]) l->group[l->n_groups++] = i;
    l->group[l->n_groups] = l->n;
    return ST_OK;
}

Status labelled_choose(
    Labelled *out, const Labelled *all, const int64_t *place, int64_t n, Err *err) {
    *out = (Labelled){.task = all->task,
        .classes = all->classes,
        .classes_are_numbers = all->classes_are_numbers,
        .is_part = 1,
        .n = n};
    TRY(room_for(out, n, all->group_of != NULL, err));
    for (int64_t i = 0; i < n; i++) {
        int64_t from = place[i];
        out->row[i] = all->row[from];
        out->held[i] = all->held[from];
        out->fold[i] = all->fold[from];
        out->weight[i] = all->weight[from];
        if (all->class_of) out->class_of[i] = all->class_of[from];
        if (all->value) out->value[i] = all->value[from];
        if (all->group_of) out->group_of[i] = all->group_of[from];
    }
    return mark_groups(out, err);
}

Status labelled_part(Labelled *out, const Labelled *all, int held, Err *err) {
    int64_t *place = mem_array((size_t)all->n, sizeof *place), n = 0;
    *out = (Labelled){.is_part = 1};
    if (!place) return fail_nomem(err, "the examples");
    for (int64_t i = 0; i < all->n; i++)
        if (held < 0 || all->held[i] == held) place[n++] = i;
    Status status = labelled_choose(out, all, place, n, err);
    mem_free(place);
    return status;
}

Labels labelled_labels(const Labelled *l) {
    return (Labels){.task = l->task,
        .n_classes = l->task == LEARN_CLASSES ? keymap_count(l->classes) : 0,
        .class_of = l->class_of,
        .value = l->value,
        .weight = l->weight,
        .group = l->group,
        .n_groups = l->n_groups};
}

Status labelled_balance(Labelled *l, Err *err) {
    int32_t k = keymap_count(l->classes), there = 0;
    double *own = mem_zeros((size_t)k, sizeof *own), total = 0;
    if (!own) return fail_nomem(err, "the weights");
    for (int64_t i = 0; i < l->n; i++) {
        total += l->weight[i];
        own[l->class_of[i]] += l->weight[i];
    }
    for (int32_t c = 0; c < k; c++) there += own[c] > 0;
    for (int64_t i = 0; i < l->n; i++) l->weight[i] *= total / (there * own[l->class_of[i]]);
    mem_free(own);
    return ST_OK;
}
