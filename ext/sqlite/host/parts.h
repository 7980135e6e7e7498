/* The parts that the entry point registers on a connection, each a function register_<part> of its
 * own file, which returns SQLite's code. This list is the only place that names them all. */
#ifndef REC_PARTS_H
#define REC_PARTS_H

#include "sql.h"

#define SQL_PARTS(X) \
    X(vector_functions) \
    X(vector_aggregates) \
    X(ranking_aggregates) \
    X(list_aggregates) \
    X(value_aggregates) \
    X(index) \
    X(index_tables) \
    X(recall) \
    X(search) \
    X(item_vectors) \
    X(model) \
    X(train_function) \
    X(sums_functions) \
    X(serving_only) \
    X(tune_function) \
    X(models) \
    X(version_tables) \
    X(audit) \
    X(log) \
    X(experiment_tables) \
    X(interleaving) \
    X(off_policy) \
    X(clicks) \
    X(stats) \
    X(forget) \
    X(privacy) \
    X(pseudonym) \
    X(verify) \
    X(explain) \
    X(shadow) \
    X(shilling) \
    X(drift) \
    X(estimate) \
    X(describe) \
    X(evaluate) \
    X(compare) \
    X(crossval) \
    X(curves) \
    X(experiment_functions) \
    X(rules) \
    X(balance) \
    X(check_events) \
    X(encoder) \
    X(embed) \
    X(predictor) \
    X(predictor_tables) \
    X(predictor_explain) \
    X(predictor_drift) \
    X(predictor_interchange) \
    X(info_tables) \
    X(help)

#define X(part) int register_##part(sqlite3 *db);
SQL_PARTS(X)
#undef X

/* Bits for sqlite3_create_function: pure functions may be used in triggers, views and indexes. */
#define FUNCTION_PURE (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)

#endif
