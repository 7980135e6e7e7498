/* What a query of a rec_index asks: the arguments of xFilter as inputs of a search. */
#include <math.h>
#include <string.h>

#include "../../base/ids.h"
#include "../../base/memory.h"
#include "../../base/options.h"
#include "../host/values.h"
#include "index_cursor.h"

void index_inputs_clear(IndexInputs *inputs) {
    mem_free(inputs->query);
    mem_free(inputs->only);
    mem_free(inputs->exclude_id);
    for (size_t i = 0; i < inputs->n_conditions; i++) {
        for (size_t j = 0; j < inputs->condition[i].n_cells; j++)
            cell_free(&inputs->condition[i].cell[j]);
        mem_free(inputs->condition[i].cell);
    }
    mem_free(inputs->condition);
}

static Status take_query(
    const IndexTable *table, IndexInputs *inputs, sqlite3_value *value, Err *err) {
    const float *vector;
    float *owned;
    int dim;
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        inputs->empty = 1;
        return ST_OK;
    }
    if (inputs->has_query) return fail(err, ST_BADARG, "two query vectors");
    TRY(value_vector(value, &vector, &dim, &owned, err));
    Status status = ST_OK;
    if (dim != table->dim)
        status = fail(
            err, ST_BADARG, "a query of %d elements, the column is float[%d]", dim, table->dim);
    else if (!(inputs->query = mem_array((size_t)dim, sizeof *inputs->query)))
        status = fail_nomem(err, "the query");
    else memcpy(inputs->query, vector, (size_t)dim * sizeof *vector);
    mem_free(owned);
    inputs->has_query = 1;
    return status;
}

static Status take_integer(IndexInputs *inputs, const char *what, sqlite3_value *value, int64_t min,
    int64_t *out, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        inputs->empty = 1;
        return ST_OK;
    }
    TRY(value_whole(what, value, out, err));
    if (*out < min)
        return fail(
            err, ST_BADARG, "%s=%lld (%lld or more)", what, (long long)*out, (long long)min);
    return ST_OK;
}

/* Keep of the ascending list only what is in another ascending list. */
static size_t intersect(int64_t *list, size_t n, const int64_t *other, size_t n_other) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (ids_find(other, (int64_t)n_other, list[i]) >= 0) list[kept++] = list[i];
    return kept;
}

/* The integers of an IN list; a second list must hold as well. */
static Status take_rowids(IndexInputs *inputs, sqlite3_value *list, Err *err) {
    sqlite3_value *value;
    int64_t *id = NULL;
    size_t n = 0, capacity = 0;
    for (int code = sqlite3_vtab_in_first(list, &value); code == SQLITE_OK && value;
         code = sqlite3_vtab_in_next(list, &value)) {
        if (sqlite3_value_type(value) != SQLITE_INTEGER) continue;
        if (n == capacity) {
            capacity = capacity * 2 + 64;
            int64_t *grown = mem_resize(id, capacity, sizeof *grown);
            if (!grown) {
                mem_free(id);
                return fail_nomem(err, "the list of rowids");
            }
            id = grown;
        }
        id[n++] = sqlite3_value_int64(value);
    }
    ids_sort(id, n);
    if (inputs->has_only) n = intersect(id, n, inputs->only, inputs->n_only);
    mem_free(inputs->only);
    inputs->only = id;
    inputs->n_only = n;
    inputs->has_only = 1;
    return ST_OK;
}

/* The value as the column's affinity makes it (SQLite's rules for comparisons), a copy of ours. It
 * is converted first: of a copy that sqlite3_value_dup made, SQLite 3.53 cannot. */
static Status keep_value(sqlite3_value *value, Affinity affinity, Cell *out, Err *err) {
    int type = sqlite3_value_type(value);
    Cell borrowed;
    if (affinity == AFFINITY_TEXT && (type == SQLITE_INTEGER || type == SQLITE_FLOAT)) {
        const unsigned char *text = sqlite3_value_text(value);
        if (!text) return fail_nomem(err, "a filter");
        borrowed = (Cell){
            .kind = CELL_TEXT, .bytes = text, .len = (size_t)sqlite3_value_bytes(value)};
    } else {
        /* converts what looks like a number */
        if (affinity != AFFINITY_TEXT && type == SQLITE_TEXT) sqlite3_value_numeric_type(value);
        borrowed = index_cell(value);
    }
    return cell_copy(out, &borrowed, err);
}

static Status add_cell(
    IndexInputs *inputs, Condition *condition, sqlite3_value *value, Affinity affinity, Err *err) {
    if (condition->n_cells == inputs->list_capacity) {
        size_t capacity = inputs->list_capacity * 2 + 1;
        Cell *grown = mem_resize(condition->cell, capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the filter");
        condition->cell = grown;
        inputs->list_capacity = capacity;
    }
    TRY(keep_value(value, affinity, &condition->cell[condition->n_cells], err));
    condition->n_cells++;
    return ST_OK;
}

/* One condition of the plan string: op is one of = < { > } i n N. */
static Status take_metadata(const IndexTable *table, IndexInputs *inputs, int column, char op,
    sqlite3_value *value, Err *err) {
    static const char letters[] = "=<{>}inN";
    static const ConditionKind kinds[] = {IS_EQUAL, IS_LESS, IS_LESS_EQUAL, IS_GREATER,
        IS_GREATER_EQUAL, IS_IN, IS_NULL, IS_NOT_NULL};
    Affinity affinity = affinity_of(table->column[column].type);
    Condition *grown = mem_resize(inputs->condition, inputs->n_conditions + 1, sizeof *grown);
    if (!grown) return fail_nomem(err, "the filter");
    inputs->condition = grown;
    Condition *condition = &grown[inputs->n_conditions++];
    *condition = (Condition){
        .column = table->column[column].shadow, .kind = kinds[strchr(letters, op) - letters]};
    inputs->list_capacity = 0;
    if (op == 'n' || op == 'N') return ST_OK;
    if (op != 'i') return add_cell(inputs, condition, value, affinity, err);
    sqlite3_value *element;
    Status status = ST_OK;
    for (int code = sqlite3_vtab_in_first(value, &element);
         code == SQLITE_OK && element && status == ST_OK;
         code = sqlite3_vtab_in_next(value, &element))
        status = add_cell(inputs, condition, element, affinity, err);
    if (status == ST_OK) condition_sort(condition);
    return status;
}

const OptSpec index_search_options[] = {
    {"ef", OPT_INT, offsetof(SearchOptions, ef), 1, 100000, 64, NULL,
        "HNSW: candidates kept while searching"},
    {"nprobe", OPT_INT, offsetof(SearchOptions, nprobe), 1, 1000000, 1, NULL, "IVF: lists visited"},
    {"candidates", OPT_INT, offsetof(SearchOptions, candidates), 1, 1000000, 100, NULL,
        "codes that lose something: rows that are scored exactly"},
    {"device", OPT_TEXT, offsetof(SearchOptions, device), 0, 16, 0, "",
        "cpu, gpu, gpu:N or auto; default: the index's"},
    {0},
};

Status index_take_options(
    const IndexTable *table, const char *text, IndexRequest *request, Err *err) {
    SearchOptions options = {0};
    OptTarget target = {index_search_options, &options};
    request->device = table->device;
    if (!text) return ST_OK;
    TRY(options_set_json(&target, 1, text, err));
    request->ef = options.ef;
    request->nprobe = options.nprobe;
    request->candidates = options.candidates;
    return *options.device ? device_parse(options.device, &request->device, err) : ST_OK;
}

static Status take_options(
    const IndexTable *table, IndexInputs *inputs, sqlite3_value *value, Err *err) {
    const char *text = value_text(value);
    if (!text && sqlite3_value_type(value) != SQLITE_NULL) return fail_nomem(err, "the options");
    return index_take_options(table, text, &inputs->request, err);
}

/* The id that a key of `exclude` names; *found is 0 for a text key that the table does not have. */
static Status excluded_id(IndexTable *table, Key key, int64_t *id, int *found, Err *err) {
    *found = 1;
    *id = key.integer;
    if (table->key_column < 0)
        return key.text ? fail(err, ST_BADARG, "exclude: '%.60s' is no rowid", key.text) : ST_OK;
    sqlite3_stmt *statement;
    TRY(index_statement(table, ID_OF_KEY, &statement, err));
    sqlite3_bind_text64(statement, 1, key.text, key.len, SQLITE_STATIC, SQLITE_UTF8);
    Status status = sql_step(table->db, statement, found, err);
    if (status == ST_OK && *found) *id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

static Status take_exclude(IndexTable *table, IndexInputs *inputs, sqlite3_value *value, Err *err) {
    KeyList list = {0};
    int found;
    if (sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    TRY(key_list_parse(&list, "exclude", value_text(value),
        table->key_column >= 0 ? AFFINITY_TEXT : AFFINITY_INTEGER, err));
    Status status = ST_OK;
    inputs->exclude_id = mem_array(list.n + 1, sizeof *inputs->exclude_id);
    if (!inputs->exclude_id) status = fail_nomem(err, "exclude");
    for (size_t i = 0; i < list.n && status == ST_OK; i++) {
        status = excluded_id(
            table, list.key[i], &inputs->exclude_id[inputs->request.n_exclude], &found, err);
        inputs->request.n_exclude += status == ST_OK && found;
    }
    key_list_clear(&list);
    return status;
}

static Status take_distance(IndexInputs *inputs, sqlite3_value *value, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        inputs->empty = 1;
        return ST_OK;
    }
    int kind = sqlite3_value_numeric_type(value);
    if (kind != SQLITE_INTEGER && kind != SQLITE_FLOAT)
        return fail(err, ST_BADARG, "a bound on distance is a number");
    double bound = sqlite3_value_double(value);
    inputs->max_distance = fmin(inputs->max_distance, bound);
    return ST_OK;
}

/* The hidden column that shows an input, or -1. */
static int echo_of(char letter) {
    switch (letter) {
    case 'f': return H_COMMAND;
    case 's': return H_SIMILAR_TO;
    case 'k': return H_K;
    case 'O': return H_OPTIONS;
    case 'x': return H_EXCLUDE;
    default: return -1;
    }
}

/* Read the arguments by the plan string of index_plan.c. */
Status index_read_inputs(IndexCursor *cursor, IndexTable *table, IndexInputs *inputs,
    const char *plan, sqlite3_value **argv, Err *err) {
    int function_form = strchr(plan, 'f') != NULL;
    inputs->request.device = table->device;
    for (int i = 0; *plan; plan++, i++) {
        int echo = echo_of(*plan);
        Status status = ST_OK;
        /* t(:q, 10, NULL, NULL, '[7]'): NULL passes an argument over, in the function form */
        if (function_form && strchr("fs", *plan) && sqlite3_value_type(argv[i]) == SQLITE_NULL)
            continue;
        switch (*plan) {
        case 'q':
            status = take_query(table, inputs, argv[i], err);
            cursor->query = sqlite3_value_dup(argv[i]);
            break;
        case 'f': status = take_query(table, inputs, argv[i], err); break;
        case 's':
            inputs->similar_to = argv[i];
            inputs->empty |= sqlite3_value_type(argv[i]) == SQLITE_NULL;
            break;
        case 'k':
            inputs->wanted.by = WANTS_K;
            status = take_integer(inputs, "k", argv[i], 0, &inputs->wanted.k, err);
            break;
        case 'l':
            status = take_integer(inputs, "LIMIT", argv[i], INT64_MIN, &inputs->wanted.limit, err);
            inputs->wanted.by = WANTS_LIMIT;
            break;
        case 'o':
            status = take_integer(
                inputs, "OFFSET", argv[i], INT64_MIN, &inputs->wanted.offset, err);
            break;
        case 'O': status = take_options(table, inputs, argv[i], err); break;
        case 'x': status = take_exclude(table, inputs, argv[i], err); break;
        case 'd':
        case 'D': status = take_distance(inputs, argv[i], err); break;
        case 'i': status = take_rowids(inputs, argv[i], err); break;
        case 'm':
            status = take_metadata(
                table, inputs, (plan[1] - '0') * 10 + plan[2] - '0', plan[3], argv[i], err);
            plan += 3;
            break;
        default: status = fail(err, ST_BADARG, "unknown plan"); break;
        }
        if (status == ST_OK && echo >= 0 && !(cursor->echo[echo] = sqlite3_value_dup(argv[i])))
            status = fail_nomem(err, "an input");
        TRY(status);
    }
    return ST_OK;
}

/* The row that similar_to names: by its key, or its rowid. */
static Status similar_id(
    IndexTable *table, IndexInputs *inputs, sqlite3_int64 *id, int *found, Err *err) {
    int64_t rowid = 0;
    if (table->key_column >= 0) return index_find_key(table, inputs->similar_to, id, found, err);
    TRY(take_integer(inputs, "similar_to", inputs->similar_to, INT64_MIN, &rowid, err));
    *id = rowid;
    *found = 1;
    return ST_OK;
}

/* Read the vector of similar_to and leave that row out. */
Status index_resolve_similar(IndexTable *table, IndexInputs *inputs, Err *err) {
    int found;
    sqlite3_int64 id = 0;
    if (!inputs->similar_to || inputs->empty) return ST_OK;
    if (inputs->has_query)
        return fail(err, ST_BADARG, "give a query vector or similar_to, not both");
    int64_t *grown = mem_resize(inputs->exclude_id, inputs->request.n_exclude + 1, sizeof *grown);
    if (grown) inputs->exclude_id = grown;
    inputs->query = mem_array((size_t)table->dim, sizeof *inputs->query);
    if (!grown || !inputs->query) return fail_nomem(err, "the query");
    TRY(similar_id(table, inputs, &id, &found, err));
    if (found) TRY(index_read_row(table, id, inputs->query, NULL, &found, err));
    if (found) grown[inputs->request.n_exclude++] = id;
    inputs->empty |= !found;
    return ST_OK;
}

/* The least score that a distance bound allows, a little lower; SQLite checks the bound itself
 * afterwards. */
double index_score_bound(AnnMetric metric, double distance) {
    if (isinf(distance)) return distance > 0 ? -INFINITY : INFINITY;
    double score = metric == ANN_L2 ? -(distance < 0 ? 0 : distance * distance)
        : metric == ANN_COSINE      ? 1 - distance
                                    : -distance;
    /* 1 - score rounds to multiples of 2^-53 */
    double rounding = metric == ANN_COSINE ? 1e-15 : 1e-300;
    return score - fabs(score) * 1e-12 - rounding;
}
