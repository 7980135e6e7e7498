/* What the planner may hand to rec_model.
 *
 * Plan string: one letter per xFilter argument, in argv order.
 *     u  user (column)     U  user (function form)     s  similar_to        b  basket
 *     c  candidates        x  exclude                  O  options           k  rows wanted
 *     l  LIMIT             o  OFFSET                   i  item IN (...)     =  item = ...
 * idxNum: MODEL_PLAN_BECAUSE says that `because` is read, MODEL_PLAN_BROWSE that nothing is asked
 * (SELECT * FROM recs).
 *
 * Rules that keep the rows the same in every join order (measured on SQLite 3.40):
 *   - k, options, similar_to, basket, candidates, exclude and the function form's user must be
 *     usable, or the plan is impossible: SQLITE_CONSTRAINT;
 *   - an unusable user makes the plan very dear instead (a self-join would find no plan at all);
 *   - item IN (list) restricts what is ranked, so it must be usable too; item = never does: with k
 *     it is left to SQLite, which filters the finished list; without k the list is the full
 *     ranking, so scoring that pair alone gives the same row. */
#include <string.h>

#include "model_table.h"

typedef struct Plan {
    char text[32];
    int n;
    int has_k, one_list, has_limit_stopper;
    int unusable_user;
    int asks_nothing;          /* no condition on any column */
    int item_equals;           /* constraint index or -1 */
    int item_in[MODEL_MAX_IN]; /* item IN (...) that can be read at once */
    int n_item_in;
    int unusable_item_in;
    int limit, offset;
} Plan;

static void take(sqlite3_index_info *info, Plan *plan, int constraint, char letter, int omit) {
    if (plan->n + 1 >= (int)sizeof plan->text) return;
    plan->text[plan->n++] = letter;
    plan->text[plan->n] = 0;
    info->aConstraintUsage[constraint].argvIndex = plan->n;
    info->aConstraintUsage[constraint].omit = (unsigned char)omit;
}

static char input_letter(int column) {
    switch (column) {
    case C_COMMAND: return 'U';
    case C_K: return 'k';
    case C_SIMILAR_TO: return 's';
    case C_BASKET: return 'b';
    case C_CANDIDATES: return 'c';
    case C_EXCLUDE: return 'x';
    case C_OPTIONS: return 'O';
    default: return 0;
    }
}

static int seen_before(const Plan *plan, char letter) { return strchr(plan->text, letter) != NULL; }

static int refuse(ModelTable *table, const char *text) {
    sqlite3_free(table->versions.base.zErrMsg);
    table->versions.base.zErrMsg = sqlite3_mprintf(
        "rec_model %s: %s", table->definition.id.name, text);
    return SQLITE_ERROR;
}

/* A condition on an input: k, similar_to, ... */
static int take_input(ModelTable *table, sqlite3_index_info *info, Plan *plan, int i, char letter) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    /* IS may compare with NULL, which as an input would mean something else: only k is read
     * from it */
    int equals = c->op == SQLITE_INDEX_CONSTRAINT_EQ ||
        (c->op == SQLITE_INDEX_CONSTRAINT_IS && letter == 'k');
    if (!equals)
        return refuse(
            table, "k, similar_to, basket, candidates, exclude and options must be given with =");
    if (!c->usable) return SQLITE_CONSTRAINT;
    if (seen_before(plan, letter)) { /* a second one filters */
        plan->has_limit_stopper = 1;
        return SQLITE_OK;
    }
    take(info, plan, i, letter, 1);
    plan->has_k |= letter == 'k';
    plan->one_list |= letter == 'U' || letter == 's' || letter == 'b';
    return SQLITE_OK;
}

/* user = */
static void take_user(sqlite3_index_info *info, Plan *plan, int i) {
    if (!info->aConstraint[i].usable) {
        plan->unusable_user = 1;
    } else if (seen_before(plan, 'u') || seen_before(plan, 'U')) {
        plan->has_limit_stopper = 1;
    } else {
        take(info, plan, i, 'u', 0);
        plan->one_list = 1;
    }
}

/* item = and item IN (...) */
static int take_item(ModelTable *table, sqlite3_index_info *info, Plan *plan, int i) {
    int usable = info->aConstraint[i].usable;
    if (sqlite3_vtab_in(info, i, -1)) {
        if (!usable) plan->unusable_item_in = 1;
        else if (plan->n_item_in < MODEL_MAX_IN) plan->item_in[plan->n_item_in++] = i;
        else return refuse(table, "more than 8 conditions item IN (...)");
        return SQLITE_OK;
    }
    if (usable && plan->item_equals < 0) plan->item_equals = i;
    plan->has_limit_stopper = 1;
    return SQLITE_OK;
}

/* Conditions that are left to SQLite, which filters the finished rows, stop a LIMIT from being
 * read: the rows that it counts are those that are left. */
static int take_constraint(ModelTable *table, sqlite3_index_info *info, Plan *plan, int i) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    char letter = input_letter(c->iColumn);
    int is_key = c->iColumn == C_USER || c->iColumn == C_ITEM;
    int equals = c->op == SQLITE_INDEX_CONSTRAINT_EQ;

    if (c->op == SQLITE_INDEX_CONSTRAINT_LIMIT || c->op == SQLITE_INDEX_CONSTRAINT_OFFSET) {
        if (c->usable) *(c->op == SQLITE_INDEX_CONSTRAINT_LIMIT ? &plan->limit : &plan->offset) = i;
        return SQLITE_OK;
    }
    /* NULL is never an input: SQLite looks at the rows, where inputs are echoed */
    int asks_echo = c->op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL ||
        (c->op == SQLITE_INDEX_CONSTRAINT_IS && letter && letter != 'k');
    if (letter && !asks_echo) return take_input(table, info, plan, i, letter);
    /* keys are compared byte by byte: another collation filters the list */
    int is_ours = !asks_echo && equals && is_key &&
        strcmp(sqlite3_vtab_collation(info, i), "BINARY") == 0;
    if (is_ours && c->iColumn == C_ITEM) return take_item(table, info, plan, i);
    if (is_ours) take_user(info, plan, i);
    else plan->has_limit_stopper = 1;
    return SQLITE_OK;
}

int model_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    ModelTable *table = (ModelTable *)vtab;
    Plan plan = {.item_equals = -1, .limit = -1, .offset = -1, .asks_nothing = 1};
    for (int i = 0; i < info->nConstraint; i++) {
        /* a browser that counts the values of a column says IS NOT NULL */
        int op = info->aConstraint[i].op;
        plan.asks_nothing &= op == SQLITE_INDEX_CONSTRAINT_LIMIT ||
            op == SQLITE_INDEX_CONSTRAINT_OFFSET || op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL;
        int code = take_constraint(table, info, &plan, i);
        if (code) return code;
    }
    if (seen_before(&plan, 'c')) { /* candidates are exactly the list: IN filters it afterwards */
        plan.has_limit_stopper |= plan.n_item_in > 0;
    } else {
        /* it must restrict the list in every join order */
        if (plan.unusable_item_in) return SQLITE_CONSTRAINT;
        for (int i = 0; i < plan.n_item_in; i++) {
            sqlite3_vtab_in(info, plan.item_in[i], 1);
            take(info, &plan, plan.item_in[i], 'i', 1);
        }
    }
    int ours = plan.one_list && info->nOrderBy == 1 && info->aOrderBy[0].iColumn == C_RANK &&
        !info->aOrderBy[0].desc;
    info->orderByConsumed = ours;
    if (plan.limit >= 0 && plan.one_list && !plan.has_k && !plan.has_limit_stopper &&
        (info->nOrderBy == 0 || ours)) {
        take(info, &plan, plan.limit, 'l', 0);
        if (plan.offset >= 0) take(info, &plan, plan.offset, 'o', 0);
    }
    info->estimatedCost = plan.one_list ? 1e4 : 1e9;
    info->estimatedRows = plan.one_list && plan.has_k ? 10 : 10000;
    if (plan.item_equals >= 0 && plan.one_list && !plan.has_k) {
        take(info, &plan, plan.item_equals, '=', 0);
        /* one list is cheaper than a pair a row: inner joins start here */
        info->estimatedCost = 1e12;
        info->estimatedRows = 1;
    }
    /* dearer than a pair for each of any number of users */
    if (plan.unusable_user) info->estimatedCost = 1e40;
    info->idxNum = (info->colUsed >> C_BECAUSE & 1 ? MODEL_PLAN_BECAUSE : 0) |
        (plan.asks_nothing ? MODEL_PLAN_BROWSE : 0) |
        (info->colUsed >> C_PROPENSITY & 1 ? MODEL_PLAN_PROPENSITY : 0);
    info->idxStr = sqlite3_mprintf("%s", plan.text);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}
