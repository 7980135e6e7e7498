/* What the entry point registers, one function a file. Each returns SQLite's code. */
#ifndef REC_MODULES_H
#define REC_MODULES_H

#include "sql.h"

int register_vector_functions(sqlite3 *db);
int register_vector_aggregates(sqlite3 *db);
int register_metric_aggregates(sqlite3 *db);
int register_index(sqlite3 *db);
int register_model(sqlite3 *db);
int register_train_function(sqlite3 *db);
int register_tune_function(sqlite3 *db);
int register_info_tables(sqlite3 *db);
int register_model_tables(sqlite3 *db);
int register_evaluate(sqlite3 *db);
int register_search(sqlite3 *db);
int register_index_tables(sqlite3 *db);
int register_recall(sqlite3 *db);
int register_item_vectors(sqlite3 *db);
int register_rules(sqlite3 *db);
int register_check_events(sqlite3 *db);
int register_pair_aggregates(sqlite3 *db);
int register_crossval(sqlite3 *db);
int register_balance(sqlite3 *db);
int register_curves(sqlite3 *db);
int register_experiment_functions(sqlite3 *db);

/* Bits for sqlite3_create_function: pure functions may be used in triggers, views and indexes. */
#define FUNCTION_PURE (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)

#endif
