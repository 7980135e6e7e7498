/* What session.c works through: scenarios of steps. Vectors lie on a grid of 7 columns; the query
 * lies between its points and is exact as float32, so plain SQL over `truth` gives the same
 * order. */
#ifndef REC_SCENARIOS_H
#define REC_SCENARIOS_H

#include <stddef.h>

typedef struct Step {
    /* without faults, in the same connection; or NULL: then the schema is read with faults */
    const char *before;
    const char *sql;   /* with faults */
    const char *truth; /* gives the same rows as `sql`; or NULL */
} Step;

typedef struct Scenario {
    const char *name;
    const char *setup;
    Step step[24];
} Scenario;

#define TRUTH \
    "CREATE TABLE truth(id INTEGER PRIMARY KEY, x REAL, y REAL, price REAL, kind TEXT);" \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) INSERT INTO " \
    "truth " \
    "SELECT i, i % 7, i / 7, i * 0.5, CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END FROM n;" \
    "CREATE VIEW queries AS SELECT id, json_array(x, y) AS v FROM truth WHERE id < 4;"
#define COLUMNS "e float[2], price real, kind text, metric=l2"
#define FILL \
    "INSERT INTO t(rowid, e, price, kind) SELECT id, json_array(x, y), price, kind FROM truth;"
#define MATCH "FROM t WHERE e MATCH '[2.25,1.125]' "
#define NEAREST "ORDER BY (x - 2.25) * (x - 2.25) + (y - 1.125) * (y - 1.125), id LIMIT "
#define WARM "SELECT count(*) FROM t('[1,1]', 5)"
#define KNOWN "SELECT count(*) FROM t" /* the schema is read, but no copy of the index is loaded */
#define COMMAND(name) "INSERT INTO t(t) VALUES('" name "')"

static const Scenario scenarios[] = {
    {"exact", TRUTH,
        {
            {"SELECT 1 FROM truth", "CREATE VIRTUAL TABLE t USING rec_index(" COLUMNS ")", NULL},
            {KNOWN, FILL, NULL},
            {NULL, "SELECT rowid, price, kind " MATCH "AND k = 6",
                "SELECT id, price, kind FROM truth " NEAREST "6"},
            {KNOWN, "SELECT rowid, price, kind " MATCH "AND k = 6",
                "SELECT id, price, kind FROM truth " NEAREST "6"},
            {WARM,
                "SELECT rowid " MATCH "AND k = 6 AND price BETWEEN 3 AND 15 AND kind IN ('a', 'b')",
                "SELECT id FROM truth WHERE price BETWEEN 3 AND 15 AND kind IN ('a', 'b') " NEAREST
                "6"},
            {KNOWN,
                "SELECT rowid " MATCH
                "AND k = 3 AND kind IS NULL AND rowid IN (2, 5, 8, 11, 14, 99)",
                "SELECT id FROM truth WHERE kind IS NULL AND id IN (2, 5, 8, 11, 14) " NEAREST "3"},
            {WARM,
                "SELECT rowid " MATCH "AND k = 4 AND exclude = '[9, 16, 10]' AND kind IS NOT NULL",
                "SELECT id FROM truth WHERE id NOT IN (9, 16, 10) AND kind IS NOT NULL " NEAREST
                "4"},
            {WARM, "SELECT rowid FROM t WHERE similar_to = 17 AND k = 4",
                "SELECT id FROM truth WHERE id <> 17 ORDER BY (x - 3) * (x - 3) + (y - 2) * (y - "
                "2), id LIMIT 4"},
            {WARM, "SELECT rowid " MATCH "AND distance <= 1.5",
                "SELECT id FROM truth WHERE (x - 2.25) * (x - 2.25) + (y - 1.125) * (y - 1.125) <= "
                "2.25 " NEAREST "99"},
            {WARM, "SELECT id, rank, rowid FROM rec_search('t', 'queries', 'id', 'v', 1)",
                "SELECT id, 1, id FROM truth WHERE id < 4"},
            {WARM,
                "INSERT INTO t(e, price, kind) VALUES('[2,1]', 7, 'new'); SELECT rowid " MATCH
                "AND k = 2",
                "VALUES(9), (21)"},
            {WARM,
                "BEGIN; UPDATE t SET e = '[50,50]' WHERE rowid = 9; DELETE FROM t WHERE rowid = "
                "10; UPDATE t SET price = -1 WHERE rowid = 3;"
                "UPDATE t SET rowid = 99 WHERE rowid = 4; INSERT OR REPLACE INTO t(rowid, e) "
                "VALUES(5, '[60,60]');"
                "SELECT rowid FROM t('[50,50]', 2); COMMIT",
                "VALUES(9), (5)"},
            {WARM,
                "BEGIN; INSERT INTO t(e) VALUES('[2,1]'); SAVEPOINT s; DELETE FROM t; ROLLBACK TO "
                "s; SELECT count(*) " MATCH "AND k = 99; ROLLBACK",
                "VALUES(21)"},
            {WARM, "DELETE FROM t WHERE price > 8; SELECT count(*) FROM t", "VALUES(16)"},
            {KNOWN, COMMAND("integrity-check"), NULL},
            {KNOWN, "DROP TABLE t", NULL},
        }},
    {"rename",
        "CREATE VIRTUAL TABLE t USING rec_index(e float[2], metric=l2); INSERT INTO t(e) "
        "VALUES('[1,2]')",
        {
            {KNOWN, "ALTER TABLE t RENAME TO renamed", NULL},
        }},
    {"graph", TRUTH,
        {
            {"SELECT 1 FROM truth",
                "CREATE VIRTUAL TABLE t USING rec_index(" COLUMNS ", index=HNSW8, storage=sq8)",
                NULL},
            {KNOWN, FILL, NULL},
            {KNOWN, COMMAND("optimize"), NULL},
            {NULL, "SELECT rowid, price " MATCH "AND k = 3", NULL},
            {KNOWN, "SELECT rowid, price " MATCH "AND k = 3 AND kind = 'a'", NULL},
            {WARM,
                "INSERT INTO t(e, price, kind) VALUES('[2.25,1.125]', 7, 'new'); DELETE FROM t "
                "WHERE rowid = 9; SELECT rowid " MATCH "AND k = 1",
                "VALUES(21)"},
            {KNOWN, "SELECT rowid " MATCH "AND k = 1", "VALUES(21)"},
            {WARM,
                "BEGIN; UPDATE t SET e = '[7,7]' WHERE rowid = 3;" COMMAND(
                    "optimize") "; SELECT rowid FROM t('[7,7]', 1); COMMIT",
                "VALUES(3)"},
            {WARM, COMMAND("rebuild") "; SELECT rowid FROM t('[7,7]', 1)", "VALUES(3)"},
            {WARM,
                COMMAND("integrity-check") ";" COMMAND(
                    "drop-cache") "; SELECT rowid FROM t('[7,7]', 1)",
                "VALUES(3)"},
            {KNOWN,
                "SELECT name, rows, dimensions, metric, storage, factory, engine, picks, "
                "changed_rows, content FROM rec_indexes",
                NULL},
            {KNOWN, "SELECT options, recall, queries FROM rec_recall_at('t', 5, 3)", NULL},
            {KNOWN, "DROP TABLE t", NULL},
        }},
    {"ivf", TRUTH,
        {
            {"SELECT 1 FROM truth",
                "CREATE VIRTUAL TABLE t USING rec_index(" COLUMNS
                ", index='IVF4,Flat', storage=f16);" FILL,
                NULL},
            {KNOWN, COMMAND("train"), NULL},
            {KNOWN, "SELECT rowid " MATCH "AND k = 5 AND options = '{\"nprobe\":4}'",
                "SELECT id FROM truth " NEAREST "5"},
            {WARM,
                "SELECT rowid " MATCH
                "AND k = 3 AND options = '{\"nprobe\":4}' AND price > 2 AND kind IS NOT NULL",
                "SELECT id FROM truth WHERE price > 2 AND kind IS NOT NULL " NEAREST "3"},
            {WARM,
                "UPDATE t SET e = '[9,9]' WHERE rowid = 3;" COMMAND(
                    "optimize") "; SELECT rowid FROM t('[9,9]', 1)",
                "VALUES(3)"},
            {KNOWN, "INSERT INTO t(t, arg) VALUES('rebuild', '{\"build_threads\":1}')", NULL},
        }},
    {"key", TRUTH,
        {
            {"SELECT 1 FROM truth",
                "CREATE VIRTUAL TABLE t USING rec_index(sku text primary key, " COLUMNS
                ", index=HNSW8)",
                NULL},
            {KNOWN,
                "INSERT INTO t(sku, e, price, kind) SELECT 's' || id, json_array(x, y), price, "
                "kind FROM truth",
                NULL},
            {KNOWN, "SELECT sku, price, kind " MATCH "AND k = 6",
                "SELECT 's' || id, price, kind FROM truth " NEAREST "6"},
            {KNOWN, COMMAND("optimize"), NULL},
            {KNOWN, "SELECT sku " MATCH "AND k = 3 AND exclude = '[\"s9\", \"s16\"]'",
                "SELECT 's' || id FROM truth WHERE id NOT IN (9, 16) " NEAREST "3"},
            {WARM, "SELECT sku FROM t WHERE similar_to = 's17' AND k = 3",
                "SELECT 's' || id FROM truth WHERE id <> 17 ORDER BY (x - 3) * (x - 3) + (y - 2) * "
                "(y - 2), id LIMIT 3"},
            {WARM, "SELECT sku, price FROM t WHERE sku = 's7'", "VALUES('s7', 3.5)"},
            {WARM,
                "BEGIN; INSERT OR REPLACE INTO t(sku, e, price) VALUES('s9', '[70,70]', 1); INSERT "
                "OR IGNORE INTO t(sku, e) VALUES('s10', '[80,80]');"
                "UPDATE t SET sku = 'moved' WHERE sku = 's3'; DELETE FROM t WHERE sku = 's4'; "
                "INSERT INTO t(sku, e) VALUES('s4', '[90,90]');"
                "SELECT sku FROM t('[81,81]', 2); COMMIT",
                "VALUES('s4'), ('s9')"},
            {WARM, "SELECT id, rank, rowid FROM rec_search('t', 'queries', 'id', 'v', 1)",
                "VALUES(1, 1, 's1'), (2, 1, 's2'), (3, 1, 'moved')"},
        }},
    {"content",
        TRUTH "CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB, price REAL, kind TEXT);"
              "INSERT INTO products SELECT id, CASE WHEN id <> 20 THEN rec_vec(json_array(x, y)) "
              "END, price, kind FROM truth",
        {
            {"SELECT 1 FROM truth",
                "CREATE VIRTUAL TABLE t USING rec_index(" COLUMNS
                ", content=products, index=HNSW8)",
                NULL},
            {NULL, "SELECT rowid, price, kind " MATCH "AND k = 6",
                "SELECT id, price, kind FROM truth WHERE id <> 20 " NEAREST "6"},
            {KNOWN, "SELECT rowid " MATCH "AND k = 3 AND price > 3 AND kind = 'b'",
                "SELECT id FROM truth WHERE price > 3 AND kind = 'b' " NEAREST "3"},
            {KNOWN, COMMAND("optimize"), NULL},
            {WARM,
                "BEGIN; UPDATE products SET e = rec_vec('[50,50]') WHERE id = 9; DELETE FROM "
                "products WHERE id = 10; UPDATE products SET price = -1 WHERE id = 3;"
                "UPDATE products SET id = 99 WHERE id = 4; INSERT OR REPLACE INTO products(id, e) "
                "VALUES(5, rec_vec('[60,60]')); UPDATE products SET e = NULL WHERE id = 6;"
                "SELECT rowid FROM t('[50,50]', 2); COMMIT",
                "VALUES(9), (5)"},
            {KNOWN, "SELECT rowid FROM t('[50,50]', 2)", "VALUES(9), (5)"},
            {WARM, COMMAND("rebuild") ";" COMMAND("integrity-check"), NULL},
            {KNOWN, "DROP TABLE t", NULL},
        }},
    {"encoder", TRUTH "CREATE VIEW texts AS SELECT id, kind || ' lantern' AS x FROM truth",
        {
            {"SELECT 1 FROM truth", "CREATE VIRTUAL TABLE t USING rec_encoder(storage=int8)", NULL},
            {"SELECT count(*) FROM t",
                "INSERT INTO t(t, arg) VALUES('load', 'tests/golden/text_encoder')", NULL},
            {NULL, "SELECT dim, storage FROM t", "VALUES(32, 'int8')"},
            {NULL, "SELECT rec_vec_dim(rec_embed('t', 'heart lantern'))", "VALUES(32)"},
            {"SELECT 1 FROM truth",
                "SELECT id, length(vector) FROM rec_text_vectors('t', 'texts', 'id', 'x')",
                "SELECT id, 128 FROM texts WHERE x IS NOT NULL"},
            {"SELECT count(*) FROM t", COMMAND("integrity-check"), NULL},
            {"SELECT count(*) FROM t", "DROP TABLE t", NULL},
        }},
    {"predictor",
        TRUTH "CREATE VIEW labelled AS SELECT id, x, kind, price, x || ' of ' || y AS words, x > 3 "
              "AS label FROM truth",
        {
            {"SELECT 1 FROM truth",
                "CREATE VIRTUAL TABLE t USING rec_predictor(examples=labelled, label=label, id=id, "
                "algorithm=logistic, calibrate=isotonic, crosses='x*kind', features='{\"words\": "
                "\"text\"}')",
                NULL},
            {"SELECT 1 FROM t_config", COMMAND("train"), NULL},
            {"SELECT 1 FROM truth", "SELECT id, prediction FROM t WHERE id IN (3, 6)",
                "VALUES(3, 0), (6, 1)"},
            {"SELECT 1 FROM truth",
                "SELECT id, rec_predict('t', x, kind, price, words) FROM labelled WHERE id = 6",
                "VALUES(6, 1)"},
            {"SELECT 1 FROM truth", "SELECT feature, kind FROM rec_features('t')",
                "VALUES('x', 'number'), ('kind', 'category'), ('price', 'number'), ('words', "
                "'text'), ('x*kind', 'category')"},
            {"SELECT 1 FROM truth", "SELECT predictor, task FROM rec_predictors",
                "VALUES('t', 'classes')"},
            {"SELECT 1 FROM t_config", COMMAND("integrity-check"), NULL},
        }},
    {"learners",
        TRUTH "CREATE VIEW labelled AS SELECT id, x, kind, price, x > 3 AS label FROM truth",
        {
            {"SELECT 1 FROM truth",
                "CREATE VIRTUAL TABLE t USING rec_predictor(examples=labelled, label=label, id=id, "
                "algorithm=neural_network, hidden='4', epochs=2, weights=int8)",
                NULL},
            {"SELECT 1 FROM t_config", COMMAND("train"), NULL},
            {"SELECT 1 FROM t_config",
                "INSERT INTO t(t, arg) VALUES('train', '{\"algorithm\": "
                "\"factorization_machine\", \"factors\": 2, \"steps\": 3}')",
                NULL},
            {"SELECT 1 FROM t_config",
                "INSERT INTO t(t, arg) VALUES('train', '{\"algorithm\": \"kernel_svm\"}')", NULL},
            {"SELECT 1 FROM t_config",
                "INSERT INTO t(t, arg) VALUES('tune', '{\"algorithm\": \"tree\", \"trials\": 2, "
                "\"folds\": 2, \"activate\": \"always\", \"space\": {\"prune\": [0, 0.1]}}')",
                NULL},
            {"SELECT 1 FROM truth", "SELECT feature FROM rec_feature_drift('t') LIMIT 2",
                "VALUES('x'), ('kind')"},
            {"SELECT 1 FROM truth",
                "SELECT length(rec_onnx('t')) > 100, length(rec_onnx('t', '{\"version\": 1}')) > "
                "100, length(rec_onnx('t', '{\"version\": 2}')) > 100",
                "VALUES(1, 1, 1)"},
            {"SELECT 1 FROM truth",
                "SELECT count(*) FROM rec_explain_prediction('t', json_object('x', 3, 'kind', 'a', "
                "'price', 2), '{\"version\": 1}')",
                "VALUES(4)"},
            {"SELECT 1 FROM truth",
                "SELECT length(rec_from_model(replace('max_feature_idx=0|objective=binary "
                "sigmoid:1|feature_names=x||Tree=0|num_leaves=2|split_feature=0|threshold=3.5|"
                "decision_type=2|left_child=-1|right_child=-2|leaf_value=-1 1||end of trees', '|', "
                "char(10)))) > 100",
                "VALUES(1)"},
            {"SELECT 1 FROM t_config", COMMAND("integrity-check"), NULL},
        }},
    {"sums",
        TRUTH
        "CREATE TABLE sales AS SELECT CAST(x AS INTEGER) AS user, 'p' || y AS item, id AS at "
        "FROM truth; CREATE TABLE others AS SELECT user + 100 AS user, item, at FROM sales;"
        "CREATE TABLE goods AS SELECT DISTINCT item FROM sales;"
        "CREATE VIRTUAL TABLE t USING rec_model(events=sales, user=user, item=item, time=at, "
        "items=goods, item_key=item, algorithm=ease, reg=1);"
        "CREATE VIRTUAL TABLE u USING rec_model(events=others, user=user, item=item, time=at);"
        "INSERT INTO t(t) VALUES('train'); INSERT INTO u(u) VALUES('train')",
        {
            {"SELECT 1 FROM t_config", "SELECT algorithm, users, items FROM rec_estimate('t')",
                "SELECT 'ease', 7, count(*) FROM goods"},
            {"SELECT 1 FROM t_config",
                "SELECT length(rec_train('t', '{}', rec_join_sums(s))) > 100 FROM (SELECT "
                "rec_sums('t') AS s UNION ALL SELECT rec_sums('u'))",
                "VALUES(1)"},
            {"SELECT 1 FROM t_config",
                "SELECT length(rec_sums('t', '{\"rho\": 1, \"max_history\": 2, \"until\": "
                "100000}')) > 100",
                "VALUES(1)"},
        }},
};

#endif
