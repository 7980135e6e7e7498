/* rec_balance(relation, key, label [, options]): the rows of a table or view of labelled examples,
 * with weights or copies that make the classes equal. */
#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../base/queue.h"
#include "../../eval/balance.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/schema.h"
#include "../host/values.h"

typedef struct BalanceCall {
    int64_t method;
    int64_t seed;
} BalanceCall;

static const OptSpec balance_options[] = {
    {"method", OPT_CHOICE, offsetof(BalanceCall, method), 0, 0, BALANCE_WEIGHT, "weight|under|over",
        "a weight for every row, fewer rows of the larger classes, or copies of the smaller ones' "
        "rows"},
    {"seed", OPT_INT, offsetof(BalanceCall, seed), 0, 9007199254740991.0, 1, NULL,
        "which rows are left out or copied"},
    {0},
};

typedef struct Examples {
    BalanceCall call;
    KeyMap *keys, *labels;
    Queue rows; /* BalanceRow, of the key with the same number */
} Examples;

static Status add_example(Examples *examples, sqlite3_stmt *row, const char *relation, Err *err) {
    char buffer[2 * KEY_BUFFER];
    Key key, label;
    int32_t id;
    BalanceRow example;
    if (sqlite3_column_type(row, 1) == SQLITE_NULL) return ST_OK;
    if (!value_key(sqlite3_column_value(row, 0), AFFINITY_NONE, buffer, &key))
        return fail(err, ST_BADARG, "%.60s: a key is NULL, a BLOB or a fraction (INTEGER or TEXT)",
            relation);
    if (!value_key(sqlite3_column_value(row, 1), AFFINITY_NONE, buffer + KEY_BUFFER, &label))
        return fail(
            err, ST_BADARG, "%.60s: a label is a BLOB or a fraction (INTEGER or TEXT)", relation);
    TRY(keymap_add(examples->keys, key, &id, err));
    if ((size_t)id < examples->rows.n)
        return fail(err, ST_BADARG, "%.60s: two rows have one key", relation);
    TRY(keymap_add(examples->labels, label, &example.class_id, err));
    if (!key_bucket_hash(key, (uint64_t)examples->call.seed, &example.hash) ||
        !queue_push(&examples->rows, &example, sizeof example))
        return fail_nomem(err, "the examples");
    return ST_OK;
}

static Status read_examples(Examples *examples, sqlite3 *db, const char *relation, const char *key,
    const char *label, Err *err) {
    char *schema, *table;
    sqlite3_stmt *rows = NULL;
    TRY(schema_find_table(db, "table or view", relation, "", &schema, &table, err));
    Status status = ST_OK;
    const char *const columns[] = {key, label};
    for (int i = 0; i < 2 && status == ST_OK; i++) {
        int found;
        status = schema_has_column(db, schema, table, columns[i], &found, err);
        if (status == ST_OK && !found)
            status = fail(err, ST_BADARG, "%.60s has no column '%.60s'", table, columns[i]);
    }
    if (status == ST_OK)
        status = sql_prepare(
            db, &rows, err, "SELECT \"%w\", \"%w\" FROM \"%w\".\"%w\"", key, label, schema, table);
    while (sql_next(db, rows, &status, err)) {
        status = add_example(examples, rows, relation, err);
    }
    sqlite3_finalize(rows);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

/* In key order. */
static Status emit_examples(Examples *examples, RowSink *sink, Err *err) {
    int64_t n = (int64_t)examples->rows.n;
    int32_t *place = NULL;
    BalanceRow *row = mem_array((size_t)n, sizeof *row);
    int64_t *copies = mem_array((size_t)n, sizeof *copies);
    double *weight = mem_array((size_t)n, sizeof *weight);
    Status status = row && copies && weight ? keymap_sort(examples->keys, &place, err)
                                            : fail_nomem(err, "the examples");
    for (int64_t i = 0; status == ST_OK && i < n; i++)
        row[place[i]] = ((BalanceRow *)queue_records(&examples->rows, sizeof *row))[i];
    if (status == ST_OK)
        status = balance(row, n, keymap_count(examples->labels),
            (BalanceMethod)examples->call.method, copies, weight, err);
    for (int64_t i = 0; status == ST_OK && i < n; i++)
        for (int64_t c = 1; c <= copies[i]; c++) {
            row_key(sink, keymap_key(examples->keys, (int32_t)i));
            row_key(sink, keymap_key(examples->labels, row[i].class_id));
            row_real(sink, weight[i]);
            row_integer(sink, c);
        }
    mem_free(row);
    mem_free(copies);
    mem_free(weight);
    mem_free(place);
    return status;
}

static Status balance_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Examples examples = {.keys = keymap_new(), .labels = keymap_new()};
    OptTarget target = {balance_options, &examples.call};
    const char *text[3];
    Status status = examples.keys && examples.labels ? ST_OK : fail_nomem(err, "the examples");
    for (int i = 0; i < 3 && status == ST_OK; i++)
        if (!(text[i] = (const char *)sqlite3_value_text(argv[i])))
            status = fail(err, ST_BADARG, "relation, key and label are names");
    if (status == ST_OK) status = value_options(&target, 1, argv[3], err);
    if (status == ST_OK) status = read_examples(&examples, db, text[0], text[1], text[2], err);
    if (status == ST_OK) status = emit_examples(&examples, sink, err);
    keymap_free(examples.keys);
    keymap_free(examples.labels);
    queue_clear(&examples.rows);
    return status;
}

int register_balance(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_balance",
        .columns = "key, label, weight REAL, copy INTEGER",
        .n_columns = 4,
        .arguments = ", relation HIDDEN, key_column HIDDEN, label_column HIDDEN, options HIDDEN",
        .n_arguments = 4,
        .n_required = 3,
        .fill = balance_fill,
    };
    return row_table_register(db, &table);
}
