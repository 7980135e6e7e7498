/* Reading a rec_index: searches (materialised at once) and scans of the stored rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/options.h"
#include "index_table.h"

typedef struct IndexCursor {
    sqlite3_vtab_cursor base;
    int search;
    TopK found; /* a search's rows, best first */
    size_t at;
    sqlite3_stmt *scan; /* a scan's rows */
    int has_row;
    sqlite3_value *echo[N_HIDDEN]; /* the inputs as they came in */
    sqlite3_value *query;          /* MATCH's argument */
} IndexCursor;

const OptSpec index_search_options[] = {
    {"ef", OPT_INT, offsetof(SearchOptions, ef), 1, 100000, 64, NULL, "HNSW: candidates kept while searching"},
    {"nprobe", OPT_INT, offsetof(SearchOptions, nprobe), 1, 1000000, 1, NULL, "IVF: lists visited"},
    {0},
};

double index_shown_score(AnnMetric metric, double score) {
    if (metric != ANN_L2) return score;
    return score < 0 ? -sqrt(-score) : 0; /* not -0 */
}

double index_distance(AnnMetric metric, double score) {
    if (metric == ANN_L2) return sqrt(-score);
    return metric == ANN_COSINE ? 1 - score : -score;
}

int index_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    IndexCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void cursor_reset(IndexCursor *cursor) {
    topk_clear(&cursor->found);
    sqlite3_finalize(cursor->scan);
    cursor->scan = NULL;
    for (int i = 0; i < N_HIDDEN; i++) sqlite3_value_free(cursor->echo[i]);
    memset(cursor->echo, 0, sizeof cursor->echo);
    sqlite3_value_free(cursor->query);
    cursor->query = NULL;
    cursor->at = 0;
    cursor->has_row = 0;
}

int index_close_cursor(sqlite3_vtab_cursor *base) {
    cursor_reset((IndexCursor *)base);
    mem_free(base);
    return SQLITE_OK;
}

/* ---- the inputs of a search ---- */

typedef struct Inputs {
    IndexRequest request;
    float *query; /* ours */
    int has_query;
    int empty; /* an input was NULL: no rows, as for = NULL */
    int has_k;
    int64_t k;
    int64_t limit, offset;
    double max_distance;
    int64_t similar_to;
    int has_similar;
    int64_t *only; /* rowid IN, then also what the metadata allow */
    size_t n_only;
    int has_only;
    KeyList exclude;
    int64_t *exclude_id;
    sqlite3_str *where; /* metadata conditions */
    sqlite3_value **bound; /* their arguments */
    int n_bound;
    int bound_capacity;
} Inputs;

static void inputs_clear(Inputs *in) {
    mem_free(in->query);
    mem_free(in->only);
    mem_free(in->exclude_id);
    key_list_clear(&in->exclude);
    if (in->where) sqlite3_free(sqlite3_str_finish(in->where));
    for (int i = 0; i < in->n_bound; i++) sqlite3_value_free(in->bound[i]);
    mem_free(in->bound);
}

static Status take_query(const IndexTable *t, Inputs *in, sqlite3_value *value, Err *err) {
    const float *vector;
    float *owned;
    int dim;
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        in->empty = 1;
        return ST_OK;
    }
    if (in->has_query) return fail(err, ST_BADARG, "two query vectors");
    TRY(glue_vector(value, &vector, &dim, &owned, err));
    Status status = ST_OK;
    if (dim != t->dim)
        status = fail(err, ST_BADARG, "a query of %d elements, the column is float[%d]", dim, t->dim);
    else if (!(in->query = mem_array((size_t)dim, sizeof *in->query)))
        status = fail_nomem(err, "the query");
    else
        memcpy(in->query, vector, (size_t)dim * sizeof *vector);
    mem_free(owned);
    in->has_query = 1;
    return status;
}

static Status take_integer(Inputs *in, const char *what, sqlite3_value *value, int64_t min, int64_t *out, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        in->empty = 1;
        return ST_OK;
    }
    if (sqlite3_value_numeric_type(value) != SQLITE_INTEGER)
        return fail(err, ST_BADARG, "%s=%.40s (a whole number)", what, (const char *)sqlite3_value_text(value));
    *out = sqlite3_value_int64(value);
    if (*out < min) return fail(err, ST_BADARG, "%s=%lld (%lld or more)", what, (long long)*out, (long long)min);
    return ST_OK;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Keep of the ascending list only what is in another ascending list. */
static size_t intersect(int64_t *list, size_t n, const int64_t *other, size_t n_other) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (n_other && bsearch(&list[i], other, n_other, sizeof *other, ascending)) list[kept++] = list[i];
    return kept;
}

/* The integers of an IN list; a second list must hold as well. */
static Status take_rowids(Inputs *in, sqlite3_value *list, Err *err) {
    sqlite3_value *value;
    int64_t *id = NULL;
    size_t n = 0, capacity = 0;
    for (int code = sqlite3_vtab_in_first(list, &value); code == SQLITE_OK && value; code = sqlite3_vtab_in_next(list, &value)) {
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
    if (n) qsort(id, n, sizeof *id, ascending);
    if (in->has_only) n = intersect(id, n, in->only, in->n_only);
    mem_free(in->only);
    in->only = id;
    in->n_only = n;
    in->has_only = 1;
    return ST_OK;
}

static Status bind_value(Inputs *in, sqlite3_value *value, Err *err) {
    if (in->n_bound == in->bound_capacity) {
        int capacity = in->bound_capacity * 2 + 16;
        sqlite3_value **grown = mem_resize(in->bound, (size_t)capacity, sizeof(sqlite3_value *));
        if (!grown) return fail_nomem(err, "the filter");
        in->bound = grown;
        in->bound_capacity = capacity;
    }
    in->bound[in->n_bound] = sqlite3_value_dup(value);
    return in->bound[in->n_bound++] ? ST_OK : fail_nomem(err, "a filter");
}

static Status take_metadata(const IndexTable *t, Inputs *in, int column, char op, sqlite3_value *value, Err *err) {
    int shadow = t->column[column].shadow;
    if (!in->where) in->where = sqlite3_str_new(NULL);
    if (sqlite3_str_length(in->where)) sqlite3_str_appendall(in->where, " AND ");
    if (op == 'n' || op == 'N') {
        sqlite3_str_appendf(in->where, "c%d IS %sNULL", shadow, op == 'N' ? "NOT " : "");
        return ST_OK;
    }
    if (op == 'i') {
        sqlite3_value *element;
        const char *comma = "";
        sqlite3_str_appendf(in->where, "c%d IN (", shadow);
        for (int code = sqlite3_vtab_in_first(value, &element); code == SQLITE_OK && element; code = sqlite3_vtab_in_next(value, &element)) {
            TRY(bind_value(in, element, err));
            sqlite3_str_appendf(in->where, "%s?", comma);
            comma = ", ";
        }
        sqlite3_str_appendall(in->where, ")");
        return ST_OK;
    }
    sqlite3_str_appendf(in->where, "c%d%s?", shadow, op == '{' ? "<=" : op == '}' ? ">=" : op == '<' ? "<" : op == '>' ? ">" : "=");
    return bind_value(in, value, err);
}

static Status take_options(Inputs *in, sqlite3_value *value, Err *err) {
    SearchOptions options = {0};
    OptTarget target = {index_search_options, &options};
    if (sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    const char *text = (const char *)sqlite3_value_text(value);
    if (!text) return fail_nomem(err, "the options");
    TRY(options_set_json(&target, 1, text, err));
    in->request.ef = options.ef;
    in->request.nprobe = options.nprobe;
    return ST_OK;
}

static Status take_exclude(Inputs *in, sqlite3_value *value, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    TRY(key_list_parse(&in->exclude, "exclude", (const char *)sqlite3_value_text(value), AFFINITY_INTEGER, err));
    in->exclude_id = mem_array(in->exclude.n + 1, sizeof *in->exclude_id);
    if (!in->exclude_id) return fail_nomem(err, "exclude");
    for (size_t i = 0; i < in->exclude.n; i++) {
        if (in->exclude.key[i].text) return fail(err, ST_BADARG, "exclude: element %zu is no rowid", i + 1);
        in->exclude_id[in->request.n_exclude++] = in->exclude.key[i].integer;
    }
    return ST_OK;
}

static Status take_distance(Inputs *in, sqlite3_value *value, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        in->empty = 1;
        return ST_OK;
    }
    int kind = sqlite3_value_numeric_type(value);
    if (kind != SQLITE_INTEGER && kind != SQLITE_FLOAT) return fail(err, ST_BADARG, "a bound on distance is a number");
    double bound = sqlite3_value_double(value);
    in->max_distance = fmin(in->max_distance, bound);
    return ST_OK;
}

/* Read the arguments by the plan string of index_plan.c. */
static Status read_inputs(IndexCursor *cursor, const IndexTable *t, Inputs *in, const char *plan, sqlite3_value **argv, Err *err) {
    int function_form = strchr(plan, 'f') != NULL;
    for (int i = 0; *plan; plan++, i++) {
        int echo = -1;
        Status status = ST_OK;
        /* t(:q, 10, NULL, NULL, '[7]'): NULL passes an argument over, in the function form */
        if (function_form && strchr("fs", *plan) && sqlite3_value_type(argv[i]) == SQLITE_NULL) continue;
        switch (*plan) {
        case 'q':
            status = take_query(t, in, argv[i], err);
            cursor->query = sqlite3_value_dup(argv[i]);
            break;
        case 'f': echo = H_COMMAND; status = take_query(t, in, argv[i], err); break;
        case 's':
            echo = H_SIMILAR_TO;
            in->has_similar = 1;
            status = take_integer(in, "similar_to", argv[i], INT64_MIN, &in->similar_to, err);
            break;
        case 'k': echo = H_K; in->has_k = 1; status = take_integer(in, "k", argv[i], 0, &in->k, err); break;
        case 'l': status = take_integer(in, "LIMIT", argv[i], INT64_MIN, &in->limit, err); in->has_k = 2; break;
        case 'o': status = take_integer(in, "OFFSET", argv[i], INT64_MIN, &in->offset, err); break;
        case 'O': echo = H_OPTIONS; status = take_options(in, argv[i], err); break;
        case 'x': echo = H_EXCLUDE; status = take_exclude(in, argv[i], err); break;
        case 'd':
        case 'D': status = take_distance(in, argv[i], err); break;
        case 'i': status = take_rowids(in, argv[i], err); break;
        case 'm':
            status = take_metadata(t, in, (plan[1] - '0') * 10 + plan[2] - '0', plan[3], argv[i], err);
            plan += 3;
            break;
        default: status = fail(err, ST_BADARG, "unknown plan"); break;
        }
        if (status == ST_OK && echo >= 0 && !(cursor->echo[echo] = sqlite3_value_dup(argv[i]))) status = fail_nomem(err, "an input");
        TRY(status);
    }
    return ST_OK;
}

/* The ids whose metadata pass, in ascending order, into in->only (those of rowid IN that pass, if it was given). */
static Status apply_metadata(const IndexTable *t, Inputs *in, Err *err) {
    sqlite3_stmt *statement;
    int64_t *id = NULL;
    size_t n = 0, capacity = 0;
    int has_row = 1;
    if (!in->where) return ST_OK;
    const char *where = sqlite3_str_value(in->where);
    if (!where) return fail_nomem(err, "the filter");
    TRY(glue_prepare(t->db, &statement, err, "SELECT id FROM \"%w\".\"%w_meta\" WHERE %s ORDER BY id", t->schema, t->name, where));
    Status status = ST_OK;
    for (int i = 0; i < in->n_bound; i++) sqlite3_bind_value(statement, i + 1, in->bound[i]);
    while (status == ST_OK) {
        status = glue_step(t->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        if (n == capacity) {
            capacity = capacity * 2 + 256;
            int64_t *grown = mem_resize(id, capacity, sizeof *grown);
            if (!grown) {
                status = fail_nomem(err, "the filter");
                break;
            }
            id = grown;
        }
        sqlite3_int64 found = sqlite3_column_int64(statement, 0);
        if (in->has_only && (!in->n_only || !bsearch(&found, in->only, in->n_only, sizeof found, ascending))) continue;
        id[n++] = found;
    }
    sqlite3_finalize(statement);
    if (status != ST_OK) {
        mem_free(id);
        return status;
    }
    mem_free(in->only);
    in->only = id;
    in->n_only = n;
    in->has_only = 1;
    return ST_OK;
}

/* Read the vector of similar_to and leave that row out. */
static Status resolve_similar(IndexTable *t, Inputs *in, Err *err) {
    int found;
    if (!in->has_similar || in->empty) return ST_OK;
    if (in->has_query) return fail(err, ST_BADARG, "give a query vector or similar_to, not both");
    int64_t *grown = mem_resize(in->exclude_id, in->request.n_exclude + 1, sizeof *grown);
    in->query = mem_array((size_t)t->dim, sizeof *in->query);
    if (!grown || !in->query) return fail_nomem(err, "the query");
    in->exclude_id = grown;
    grown[in->request.n_exclude++] = in->similar_to;
    TRY(index_read_vector(t, in->similar_to, in->query, &found, err));
    in->empty |= !found;
    return ST_OK;
}

/* The least score that a distance bound allows, a little lower; SQLite checks the bound itself afterwards. */
static double score_bound(AnnMetric metric, double distance) {
    if (isinf(distance)) return distance > 0 ? -INFINITY : INFINITY;
    double score = metric == ANN_L2 ? -(distance < 0 ? 0 : distance * distance) : metric == ANN_COSINE ? 1 - distance : -distance;
    return score - fabs(score) * 1e-12 - 1e-300;
}

static Status run_search(IndexTable *t, IndexCursor *cursor, Inputs *in, Err *err) {
    TRY(index_view_sync(t, err));
    TRY(apply_metadata(t, in, err));
    if (!in->query) return ST_OK;                       /* t(NULL, 10) */
    if (in->has_only && in->n_only == 0) return ST_OK; /* nothing qualifies */
    int64_t n = index_view_count(t), k = n;
    if (in->has_k == 1) k = in->k;
    if (in->has_k == 2 && in->limit >= 0 && in->limit < n) k = in->limit + (in->offset < 0 ? 0 : in->offset < n ? in->offset : n);
    if (!in->has_k && isinf(in->max_distance))
        return fail(err, ST_BADARG, "a search needs k (WHERE ... AND k = 10), a bound on distance, or a LIMIT, which SQLite before 3.41 hands over for the function form alone: t(:q) LIMIT 10");
    in->request.query = in->query;
    in->request.k = (size_t)(k > n ? n : k);
    in->request.min_score = score_bound(t->metric, in->max_distance);
    in->request.only = in->has_only ? in->only : NULL;
    in->request.n_only = in->n_only;
    in->request.exclude = in->exclude_id;
    return index_view_search(t, &in->request, &cursor->found, err);
}

static Status filter_search(IndexTable *t, IndexCursor *cursor, const char *plan, sqlite3_value **argv, Err *err) {
    Inputs in = {.max_distance = INFINITY};
    Status status = read_inputs(cursor, t, &in, plan, argv, err);
    if (status == ST_OK) status = resolve_similar(t, &in, err);
    if (status == ST_OK && !in.empty) status = run_search(t, cursor, &in, err);
    inputs_clear(&in);
    return status;
}

static Status filter_scan(IndexTable *t, IndexCursor *cursor, const char *plan, sqlite3_value **argv, Err *err) {
    sqlite3_str *names = sqlite3_str_new(NULL);
    for (int i = 0; i < t->n_meta; i++) sqlite3_str_appendf(names, ", m.c%d", i);
    char *text = sqlite3_str_finish(names);
    const char *where = *plan == '=' ? " WHERE v.id=?1" : "";
    Status status;
    if (t->n_meta)
        status = glue_prepare(t->db, &cursor->scan, err, "SELECT v.id, v.vector%s FROM \"%w\".\"%w_vectors\" v LEFT JOIN \"%w\".\"%w_meta\" m ON m.id=v.id%s ORDER BY v.id",
                              text ? text : "", t->schema, t->name, t->schema, t->name, where);
    else
        status = glue_prepare(t->db, &cursor->scan, err, "SELECT v.id, v.vector FROM \"%w\".\"%w_vectors\" v%s ORDER BY v.id", t->schema, t->name, where);
    sqlite3_free(text);
    if (status == ST_OK && *where) sqlite3_bind_value(cursor->scan, 1, argv[0]);
    return status == ST_OK ? glue_step(t->db, cursor->scan, &cursor->has_row, err) : status;
}

int index_filter(sqlite3_vtab_cursor *base, int search, const char *plan, int argc, sqlite3_value **argv) {
    IndexCursor *cursor = (IndexCursor *)base;
    IndexTable *t = (IndexTable *)base->pVtab;
    Err err = {0};
    (void)argc;
    cursor_reset(cursor);
    cursor->search = search;
    Status status = search ? filter_search(t, cursor, plan, argv, &err) : filter_scan(t, cursor, plan, argv, &err);
    return glue_vtab_error(base->pVtab, "rec_index", t->name, status, &err);
}

int index_next(sqlite3_vtab_cursor *base) {
    IndexCursor *cursor = (IndexCursor *)base;
    IndexTable *t = (IndexTable *)base->pVtab;
    Err err = {0};
    if (cursor->search) {
        cursor->at++;
        return SQLITE_OK;
    }
    return glue_vtab_error(base->pVtab, "rec_index", t->name, glue_step(t->db, cursor->scan, &cursor->has_row, &err), &err);
}

int index_eof(sqlite3_vtab_cursor *base) {
    const IndexCursor *cursor = (const IndexCursor *)base;
    return cursor->search ? cursor->at >= cursor->found.len : !cursor->has_row;
}

static sqlite3_int64 current_id(const IndexCursor *cursor) {
    return cursor->search ? cursor->found.item[cursor->at].id : sqlite3_column_int64(cursor->scan, 0);
}

/* A declared column of a search's row, read from the shadow tables. */
static Status stored_column(IndexTable *t, sqlite3_context *context, sqlite3_int64 id, int column, Err *err) {
    sqlite3_stmt *statement;
    int has_row, vector = column == t->vector_column;
    TRY(index_statement(t, vector ? GET_VECTOR : GET_META, &statement, err));
    sqlite3_bind_int64(statement, 1, id);
    Status status = glue_step(t->db, statement, &has_row, err);
    if (has_row) sqlite3_result_value(context, sqlite3_column_value(statement, vector ? 0 : t->column[column].shadow));
    sqlite3_reset(statement);
    return status;
}

static void hidden_column(const IndexTable *t, const IndexCursor *cursor, sqlite3_context *context, int hidden) {
    if (!cursor->search) return;
    double score = cursor->found.item[cursor->at].score;
    if (hidden == H_SCORE)
        sqlite3_result_double(context, index_shown_score(t->metric, score));
    else if (hidden == H_DISTANCE)
        sqlite3_result_double(context, index_distance(t->metric, score));
    else if (hidden == H_RANK)
        sqlite3_result_int64(context, (sqlite3_int64)cursor->at + 1);
    else if (cursor->echo[hidden])
        sqlite3_result_value(context, cursor->echo[hidden]);
}

int index_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    IndexCursor *cursor = (IndexCursor *)base;
    IndexTable *t = (IndexTable *)base->pVtab;
    Err err = {0};
    if (column >= t->n_columns) {
        if (sqlite3_vtab_nochange(context)) return SQLITE_OK; /* lets an UPDATE of a hidden column be told from none */
        hidden_column(t, cursor, context, column - t->n_columns);
        return SQLITE_OK;
    }
    if (sqlite3_vtab_nochange(context) && column == t->vector_column) return SQLITE_OK;
    if (!cursor->search) {
        int vector = column == t->vector_column;
        sqlite3_result_value(context, sqlite3_column_value(cursor->scan, vector ? 1 : 2 + t->column[column].shadow));
        return SQLITE_OK;
    }
    return glue_vtab_error(base->pVtab, "rec_index", t->name, stored_column(t, context, current_id(cursor), column, &err), &err);
}

int index_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    *out = current_id((IndexCursor *)base);
    return SQLITE_OK;
}
