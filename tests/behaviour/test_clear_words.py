"""What people write in the habits of other systems is taken, or answered with what to write; what is wrong names value and row."""
import os, subprocess

from support import EXTENSION, equal, make_events, make_model, one, refused, rows, vector


def test_words_of_other_systems_are_taken_or_answered(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE a USING rec_index(e float(3), price float, n int, name varchar, ok boolean, metric=L2)")
    db.execute("INSERT INTO a(rowid, e, price, n, name, ok) VALUES(1, '[1,0,0]', '2.5', '7', 3, 1)")
    equal(rows(db, "SELECT typeof(price), typeof(n), typeof(name), distance FROM a WHERE e MATCH '[1,0,1]' AND k = 1"), [("real", "integer", "text", 1.0)])
    db.execute("CREATE VIRTUAL TABLE b USING rec_index(e float [2], metric=COSINE)")
    for arguments, says in (("e float[3] distance_metric=cosine", "metric=cosine is an argument of its own"), ("e float[3], price REAL NOT NULL", "no constraints here (text, integer or real alone)"), ("e float(0)", "float[1] .. float[65536]"),
                            ("e float[3], d date", "float[N], text, integer, real")):
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_index({arguments})", says=says)
    make_events(db)
    make_model(db)
    make_model(db, "other", more=", similarity=BM25")
    db.execute("INSERT INTO m(m, arg) VALUES('activate', '1')")
    equal(rows(db, "SELECT item FROM m WHERE user = 3 AND k = '2'"), rows(db, "SELECT item FROM m WHERE user = 3 AND k = 2.0"))


def test_a_query_of_a_wrong_length_is_named_by_its_id(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE a USING rec_index(e float[2])")
    db.execute("INSERT INTO a(rowid, e) VALUES(1, '[1,0]')")
    db.execute("CREATE TABLE q(id TEXT, v)")
    db.execute("INSERT INTO q VALUES('good', '[1,1]'), ('bad', '[1]')")
    refused(db, "SELECT * FROM rec_search('a', 'q', 'id', 'v', 1)", says="the query with the id bad: 1 elements, the column is float[2]")
    db.execute("UPDATE q SET v = '[1,' WHERE id = 'bad'")
    refused(db, "SELECT * FROM rec_search('a', 'q', 'id', 'v', 1)", says="the query with the id bad: ")


def test_two_hits_of_one_rank_are_no_list(shop):
    db = shop.connect()
    for metric in ("rec_ap", "rec_ndcg", "rec_precision", "rec_rr"):
        refused(db, f"SELECT {metric}(column1, column2, 2) FROM (VALUES(1, 1), (1, 1))", says="two relevant rows have rank 1: give the rows of one list (GROUP BY user)")
    equal(one(db, "SELECT rec_ap(column1, column2, 2) FROM (VALUES(1, 1), (2, 1), (NULL, 1), (NULL, 1))"), 1.0)
    refused(db, "SELECT rec_ap(column1, column2, 2) FROM (VALUES(1, 'yes'))", says="relevance must be a finite number")
    make_events(db)
    make_model(db, "m", "popular")
    db.execute("CREATE TABLE hold AS SELECT 3 AS user, 777 AS item, 'yes' AS relevance")
    refused(db, "SELECT * FROM rec_evaluate('m', 'hold')", says="the hold-out's relevance is yes (a number, 0 or more)")


def test_the_describing_tables_say_the_schema(shop):
    db = shop.connect()
    db.execute("ATTACH ':memory:' AS aux")
    for schema in ("main", "aux"):
        db.execute(f"CREATE TABLE {schema}.events(user, item)")
        db.execute(f"INSERT INTO {schema}.events VALUES(1, 1), (2, 1), (2, 2)")
        db.execute(f"CREATE VIRTUAL TABLE {schema}.m USING  rec_model(events=events, user=user, item=item)")
        db.execute(f"INSERT INTO {schema}.m(m) VALUES('train')")
        db.execute(f"INSERT INTO {schema}.m(m, arg) VALUES('tune', '{{\"trials\": 1, \"activate\": \"never\"}}')")
    for table in ("rec_models", "rec_versions", "rec_deployments", "rec_trials"):
        equal({row[0] for row in rows(db, f"SELECT schema FROM {table} WHERE model = 'm'")}, {"main", "aux"}, table)


def test_rules_come_by_and_by(shop):
    db = shop.connect()
    make_events(db, users=60, items=40)
    make_model(db)
    every = rows(db, "SELECT * FROM rec_rules('m', 0)")
    equal(rows(db, "SELECT * FROM rec_rules('m', 0) LIMIT 7"), every[:7])
    equal([row[0] for row in rows(db, "SELECT rowid FROM rec_rules('m', 0)")], list(range(1, len(every) + 1)))
    item = every[-1][0]
    equal(rows(db, "SELECT * FROM rec_rules('m', 0, ?)", item), [row for row in every if row[0] == item])
    equal(rows(db, "SELECT * FROM rec_rules('m', 0, 999999)"), [])
    equal(one(db, "SELECT count(*) FROM rec_rules('m', 0) a JOIN rec_rules('m', 0) b ON a.item = b.then_item AND a.then_item = b.item"), len(every))


def test_integrity_check_sees_rows_that_nobody_logged(shop):
    for harm, says in (("INSERT INTO x_vectors VALUES(500, (SELECT vector FROM x_vectors LIMIT 1)); INSERT INTO x_meta VALUES(500, 1)", "are not in the index as they are"),
                       ("DELETE FROM x_vectors WHERE id = 3; DELETE FROM x_meta WHERE id = 3", "the index has"),
                       ("UPDATE x_vectors SET vector = (SELECT vector FROM x_vectors WHERE id = 9) WHERE id = 4", "1 of "), ("UPDATE x_vectors SET vector = x'00' WHERE id = -1", "vector -1 has not 2 elements"),
                       ("UPDATE x_meta SET c0 = 99 WHERE id = 5", "1 of ")):
        for structure in ("exact", "HNSW8"):
            name = f"{abs(hash((harm, structure)))}.db"
            db = shop.connect(name)
            db.execute(f"CREATE VIRTUAL TABLE x USING rec_index(e float[2], n integer, metric=l2, index={structure})")
            db.executemany("INSERT INTO x(rowid, e, n) VALUES(?, ?, ?)", [(i, vector(i, i * i % 7), i) for i in range(-1, 40)])
            db.execute("INSERT INTO x(x) VALUES('optimize')")
            db.execute("INSERT INTO x(x) VALUES('integrity-check')")
            rows(db, "SELECT rowid FROM x('[1,1]', 1)")
            shop.connect(name).executescript(harm)
            refused(db, "INSERT INTO x(x) VALUES('integrity-check')", says=says)


def test_little_memory_is_an_error_and_not_a_wait_without_end(shop):
    script = f""".load {EXTENSION}
CREATE TABLE e(u, i);
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) INSERT INTO e SELECT x % 100, x * 7 % 83 FROM n;
CREATE VIRTUAL TABLE m USING rec_model(events=e, user=u, item=i, algorithm=ials, factors=8);
INSERT INTO m(m) VALUES('train');
SELECT 'alive';
"""
    for kilobytes in (250000, 400000):
        done = subprocess.run(["sh", "-c", f"ulimit -v {kilobytes}; exec sqlite3 -batch :memory:"], input=script, capture_output=True, text=True, timeout=60)
        assert "alive" in done.stdout or "memory" in done.stderr, (done.stdout, done.stderr)
