/* What the planner may hand to rec_index.
 *
 * Plan string: one entry per xFilter argument, in argv order.
 *     q  query vector (MATCH)     f  query vector (function form)     s  similar_to
 *     k  rows wanted              l  LIMIT                            o  OFFSET
 *     O  options                  x  exclude
 *     d  distance <               D  distance <=
 *     i  rowid IN (...)           =  rowid = ... (no search)          K  key = ... (no search)
 *     mNNc  metadata column NN: c is one of = < { > } (<= is {, >= is }), i for IN, n IS NULL,
 *           N IS NOT NULL
 * "" is a full scan. "qkm01=" : the k nearest to q among the rows whose column 1 equals an
 * argument.
 *
 * Rules that keep the rows the same in every join order:
 *   - an input of the search (q f s k O x d) that is not usable here makes this plan impossible:
 *     SQLITE_CONSTRAINT;
 *   - metadata constraints act inside the search, so one that is not usable makes the plan
 *     impossible too;
 *   - rowid = and key = are never used in a search: they filter the finished list, since they are
 *     what a join with the user's table brings. rowid IN (list) and key IN (list) act inside. */
#include <stdio.h>
#include <string.h>

#include "../../base/text.h"
#include "index.h"

typedef struct Plan {
    char text[4 * INDEX_MAX_COLUMNS + 64];
    int n_text;
    int n_argv;
    int search;   /* a query vector is there */
    int bounded;  /* k or a distance bound */
    int leftover; /* a constraint that SQLite will check after us */
    int limit;    /* indexes into aConstraint, or -1 */
    int offset;
} Plan;

static int take(sqlite3_index_info *info, Plan *plan, int constraint, const char *code, int omit) {
    size_t len = strlen(code);
    if ((size_t)plan->n_text + len + 1 > sizeof plan->text) return 0;
    memcpy(plan->text + plan->n_text, code, len + 1);
    plan->n_text += (int)len;
    info->aConstraintUsage[constraint].argvIndex = ++plan->n_argv;
    info->aConstraintUsage[constraint].omit = (unsigned char)omit;
    return 1;
}

/* The operator's letter for metadata, or 0. */
static char metadata_operator(int op) {
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: return '=';
    case SQLITE_INDEX_CONSTRAINT_LT: return '<';
    case SQLITE_INDEX_CONSTRAINT_LE: return '{';
    case SQLITE_INDEX_CONSTRAINT_GT: return '>';
    case SQLITE_INDEX_CONSTRAINT_GE: return '}';
    case SQLITE_INDEX_CONSTRAINT_ISNULL: return 'n';
    case SQLITE_INDEX_CONSTRAINT_ISNOTNULL: return 'N';
    default: return 0;
    }
}

/* Is there a search at all, usable or not? */
static int find_search(const IndexTable *table, const sqlite3_index_info *info, int *usable) {
    int present = 0;
    *usable = 0;
    for (int i = 0; i < info->nConstraint; i++) {
        int column = info->aConstraint[i].iColumn, op = info->aConstraint[i].op;
        int is = (column == table->vector_column && op == SQLITE_INDEX_CONSTRAINT_MATCH) ||
            ((column == table->n_columns + H_COMMAND ||
                 column == table->n_columns + H_SIMILAR_TO) &&
                op == SQLITE_INDEX_CONSTRAINT_EQ);
        present |= is;
        if (is && info->aConstraint[i].usable) *usable = 1;
    }
    return present;
}

/* The letter of a search input by hidden column and operator, or NULL. */
static const char *input_code(const IndexTable *table, int column, int op) {
    if (column == table->vector_column && op == SQLITE_INDEX_CONSTRAINT_MATCH) return "q";
    if (column == table->n_columns + H_DISTANCE && op == SQLITE_INDEX_CONSTRAINT_LT) return "d";
    if (column == table->n_columns + H_DISTANCE && op == SQLITE_INDEX_CONSTRAINT_LE) return "D";
    /* others may compare with NULL */
    if (op == SQLITE_INDEX_CONSTRAINT_IS && column == table->n_columns + H_K) return "k";
    if (op != SQLITE_INDEX_CONSTRAINT_EQ) return NULL;
    switch (column - table->n_columns) {
    case H_COMMAND: return "f";
    case H_K: return "k";
    case H_OPTIONS: return "O";
    case H_SIMILAR_TO: return "s";
    case H_EXCLUDE: return "x";
    default: return NULL;
    }
}

/* Take one constraint of a search; returns SQLite's code. */
static int take_search(IndexTable *table, sqlite3_index_info *info, Plan *plan, int i) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    const char *code = input_code(table, c->iColumn, c->op);
    char metadata[8];

    if (c->op == SQLITE_INDEX_CONSTRAINT_LIMIT || c->op == SQLITE_INDEX_CONSTRAINT_OFFSET) {
        if (c->usable) *(c->op == SQLITE_INDEX_CONSTRAINT_LIMIT ? &plan->limit : &plan->offset) = i;
        return SQLITE_OK;
    }
    if (code) {
        if (!c->usable) return SQLITE_CONSTRAINT;
        /* a second one filters: SQLite compares it with the echo */
        if (*code != 'q' && strchr(plan->text, *code)) {
            plan->leftover = 1;
            return SQLITE_OK;
        }
        if (*code == 'k' || *code == 'd' || *code == 'D') plan->bounded = 1;
        return take(info, plan, i, code, *code != 'd' && *code != 'D') ? SQLITE_OK : SQLITE_ERROR;
    }
    if (c->iColumn == table->n_columns + H_K) {
        table->base.zErrMsg = sqlite3_mprintf("rec_index %s: k must be given with =", table->name);
        return SQLITE_ERROR;
    }
    if (c->iColumn < 0 && c->op == SQLITE_INDEX_CONSTRAINT_EQ && sqlite3_vtab_in(info, i, -1)) {
        if (!c->usable) return SQLITE_CONSTRAINT; /* it must act inside in every join order */
        sqlite3_vtab_in(info, i, 1);
        return take(info, plan, i, "i", 1) ? SQLITE_OK : SQLITE_ERROR;
    }
    char op = c->iColumn >= 0 && c->iColumn < table->n_columns && c->iColumn != table->vector_column
        ? metadata_operator(c->op)
        : 0;
    if (!op || (op != 'n' && op != 'N' && strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)) {
        plan->leftover = 1;
        return SQLITE_OK;
    }
    if (c->iColumn == table->key_column && op == '=' && !sqlite3_vtab_in(info, i, -1)) {
        plan->leftover = 1;
        return SQLITE_OK;
    }
    if (!c->usable) return SQLITE_CONSTRAINT;
    if (op == '=' && sqlite3_vtab_in(info, i, 1)) op = 'i';
    text_format(metadata, sizeof metadata, "m%02d%c", c->iColumn, op);
    return take(info, plan, i, metadata, 1) ? SQLITE_OK : SQLITE_ERROR;
}

/* ORDER BY rank, distance, or score DESC is the order in which a search answers. */
static int order_is_ours(const IndexTable *table, const sqlite3_index_info *info) {
    if (info->nOrderBy != 1) return 0;
    int column = info->aOrderBy[0].iColumn - table->n_columns, descending = info->aOrderBy[0].desc;
    return column == H_SCORE ? descending
                             : (column == H_RANK || column == H_DISTANCE) && !descending;
}

static int plan_search(IndexTable *table, sqlite3_index_info *info, Plan *plan) {
    for (int i = 0; i < info->nConstraint; i++) {
        int code = take_search(table, info, plan, i);
        if (code) return code;
    }
    int ours = order_is_ours(table, info);
    info->orderByConsumed = ours;
    /* A LIMIT says how many are wanted only if nothing filters or sorts after us. */
    if (plan->limit >= 0 && !plan->bounded && !plan->leftover && (info->nOrderBy == 0 || ours)) {
        if (!take(info, plan, plan->limit, "l", 0)) return SQLITE_ERROR;
        if (plan->offset >= 0 && !take(info, plan, plan->offset, "o", 0)) return SQLITE_ERROR;
    }
    /* Cheaper than any two look-ups by rowid: where (rowid = a OR rowid = b) stands beside a
     * search, SQLite weighs a plan of one look-up a branch, in which k and the query would be
     * lost. */
    info->estimatedCost = 1;
    info->estimatedRows = 10;
    return SQLITE_OK;
}

static int plan_scan(IndexTable *table, sqlite3_index_info *info, Plan *plan) {
    info->estimatedCost = 1e6;
    info->estimatedRows = 100000;
    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *c = &info->aConstraint[i];
        if (c->iColumn == table->n_columns + H_K && c->op == SQLITE_INDEX_CONSTRAINT_EQ) {
            table->base.zErrMsg = sqlite3_mprintf(
                "rec_index %s: k needs a query (%s MATCH :q, similar_to, or the function form)",
                table->name, table->column[table->vector_column].name);
            return SQLITE_ERROR;
        }
        int by_key = table->key_column >= 0 && c->iColumn == table->key_column &&
            strcmp(sqlite3_vtab_collation(info, i), "BINARY") == 0;
        if ((c->iColumn >= 0 && !by_key) || c->op != SQLITE_INDEX_CONSTRAINT_EQ || !c->usable)
            continue;
        if (!take(info, plan, i, by_key ? "K" : "=", !by_key)) return SQLITE_ERROR;
        info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
        info->estimatedCost = 10;
        info->estimatedRows = 1;
        break;
    }
    return SQLITE_OK;
}

int index_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    IndexTable *table = (IndexTable *)vtab;
    Plan plan = {.limit = -1, .offset = -1};
    int usable, present = find_search(table, info, &usable);
    if (present && !usable) return SQLITE_CONSTRAINT;
    int code = present ? plan_search(table, info, &plan) : plan_scan(table, info, &plan);
    if (code == SQLITE_ERROR && !vtab->zErrMsg)
        vtab->zErrMsg = sqlite3_mprintf(
            "rec_index %s: too many conditions in one search", table->name);
    if (code) return code;
    info->idxNum = present;
    info->idxStr = sqlite3_mprintf("%s", plan.text);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}
