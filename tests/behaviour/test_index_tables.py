"""rec_indexes, one row for each index, and rec_recall_at, what an index finds of the exact answer."""
import json, math

import numpy

from support import equal, one, refused, rows, same_rows

COLUMNS = ["name", "schema", "rows", "dimensions", "metric", "storage", "factory", "engine", "picks", "built_rows", "changed_rows", "memory_bytes", "loaded", "content"]
BIG = dict(n=3000, dim=32)


def blob(values):
    return numpy.asarray(values, "<f4").tobytes()


def fill(db, name, n, dim, seed=1, key=""):
    vectors = numpy.random.default_rng(seed).normal(size=(n, dim)).astype(numpy.float32)
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO {name}(rowid, e{key and ', ' + key}) VALUES(?, ?{key and ', ?'})", [(i, blob(v), *([f"k{i}"] if key else [])) for i, v in enumerate(vectors, 1)])
    db.execute("COMMIT")
    return vectors


def make(shop, index="HNSW8", n=300, dim=8, metric="l2", more="", name=None, table="t", db=None):
    db = db or shop.connect(name)
    db.execute(f"CREATE VIRTUAL TABLE {table} USING rec_index(e float[{dim}], metric={metric}, index='{index}'{more})")
    return db, fill(db, table, n, dim)


def row(db, name="t", schema="main"):
    found = db.execute("SELECT * FROM rec_indexes WHERE name = ? AND schema = ?", (name, schema))
    columns = [column[0] for column in found.description]
    listed = found.fetchall()
    equal(len(listed), 1, f"one row for {schema}.{name}")
    return dict(zip(columns, listed[0]))


# ---------------------------------------------------------------------------------------------------------- rec_indexes

def test_its_columns(shop):
    db = shop.connect()
    equal([column[0] for column in db.execute("SELECT * FROM rec_indexes").description], COLUMNS)
    equal(rows(db, "SELECT * FROM rec_indexes"), [], "no index, no row")


def test_one_row_for_each_index_of_the_connection(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE VIRTUAL TABLE b USING rec_index(e float[3], metric=ip, index=exact, storage=f16)")
    db.execute("CREATE VIRTUAL TABLE a USING rec_index(e float[2], price real)")
    db.execute("CREATE VIRTUAL TABLE temp.c USING rec_index(e float[4], sku text primary key, metric=l2, index='HNSW16')")
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE VIRTUAL TABLE aux.a USING rec_index(e float[5], storage=sq8, index='IVF16,Flat')")
    db.execute("CREATE TABLE events(user, item)")
    db.execute("CREATE VIRTUAL TABLE recs USING rec_model(events=events, user=user, item=item)")
    db.execute("CREATE VIRTUAL TABLE words USING fts5(x)")
    same_rows(rows(db, "SELECT name, schema, rows, dimensions, metric, storage, factory, content FROM rec_indexes"),
              [("b", "main", 0, 3, "ip", "f16", "exact", None), ("a", "main", 0, 2, "cosine", "f32", "auto", None), ("c", "temp", 0, 4, "l2", "f32", "HNSW16", None), ("a", "aux", 0, 5, "cosine", "sq8", "IVF16,Flat", None)])
    db.execute("DROP TABLE b")
    db.execute("ALTER TABLE a RENAME TO z")
    db.execute("DETACH aux")
    same_rows(rows(db, "SELECT name, schema FROM rec_indexes"), [("z", "main"), ("c", "temp")])
    same_rows(rows(shop.connect("shop.db"), "SELECT name, schema FROM rec_indexes"), [("z", "main")])


def test_spellings_of_the_module_and_names_that_need_quotes(shop):
    db = shop.connect()
    for number, module in enumerate(("rec_index", "REC_INDEX", '"rec_index"', "[rec_index]", "rec_index /* so */ ")):
        db.execute(f"CREATE  VIRTUAL\nTABLE  i{number}   USING   {module}(e float[2])")
    db.execute("""CREATE VIRTUAL TABLE "it's a ""name""%" USING rec_index(e float[2])""")
    db.execute("INSERT INTO \"it's a \"\"name\"\"%\"(e) VALUES('[1,2]')")
    same_rows(rows(db, "SELECT name, rows FROM rec_indexes"), [(f"i{number}", 0) for number in range(5)] + [("it's a \"name\"%", 1)])
    db.execute("CREATE TABLE notes(x DEFAULT 'CREATE VIRTUAL TABLE fake USING rec_index(e float[2])')")
    equal(one(db, "SELECT count(*) FROM rec_indexes"), 6, "a text in another table's schema is no index")


def test_rows_and_what_was_built_and_changed(shop):
    db, vectors = make(shop, name="shop.db")
    said = row(db)
    equal((said["rows"], said["built_rows"] or 0, said["engine"]), (300, 0, "exact"), "nothing is built before optimize")
    equal(said["picks"], "HNSW8")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    for connection in (db, shop.connect("shop.db")):
        said = row(connection)
        equal((said["rows"], said["built_rows"], said["changed_rows"], said["engine"], said["picks"]), (300, 300, 0, "HNSW8", "HNSW8"))
    db.execute("INSERT INTO t(rowid, e) VALUES(1000, ?)", (blob(vectors[0]),))
    equal((row(db)["rows"], row(db)["built_rows"], row(db)["changed_rows"]), (301, 300, 1))
    db.execute("UPDATE t SET e = ? WHERE rowid IN (5, 6)", (blob(vectors[0]),))
    db.execute("UPDATE t SET e = ? WHERE rowid = 5", (blob(vectors[1]),))
    equal((row(db)["rows"], row(db)["changed_rows"]), (301, 3), "row 5 counts once")
    db.execute("DELETE FROM t WHERE rowid IN (7, 8, 1000)")
    equal((row(db)["rows"], row(db)["built_rows"]), (298, 300))
    assert row(db)["changed_rows"] in (4, 5), "5, 6, 7, 8, and 1000 which came and went"
    db.execute("BEGIN")
    db.execute("DELETE FROM t")
    equal(row(db)["rows"], 0)
    db.execute("ROLLBACK")
    equal(row(db)["rows"], 298)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    equal((row(db)["rows"], row(db)["built_rows"], row(db)["changed_rows"]), (298, 298, 0))
    db.execute("DELETE FROM t")
    db.execute("INSERT INTO t(t) VALUES('rebuild')")
    equal((row(db)["rows"], row(db)["built_rows"] or 0, row(db)["changed_rows"] or 0), (0, 0, 0))


def test_metadata_alone_is_no_change(shop):
    db, _ = make(shop, more=", price real")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.execute("UPDATE t SET price = 5")
    equal(row(db)["changed_rows"], 0)


def test_auto_is_exact_while_it_is_small(shop):
    db, _ = make(shop, "auto")
    equal((row(db)["factory"], row(db)["engine"], row(db)["picks"]), ("auto", "exact", "exact"))
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    equal((row(db)["engine"], row(db)["picks"]), ("exact", "exact"))


def test_memory_is_predicted_and_counted(shop):
    for number, (index, factor) in enumerate((("exact", 1.6), ("HNSW16", 1.6), ("IVF8,Flat", 1.6))):
        db, vectors = make(shop, index, 4000, 64, name=f"{number}.db")
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        said = row(db)
        equal(said["loaded"], 0, "nothing is loaded yet")
        assert said["memory_bytes"] >= 4000 * 64 * 4, said
        rows(db, "SELECT rowid FROM t(?, 5)", blob(vectors[0]))
        loaded = row(db)["loaded"]
        assert loaded >= 4000 * 64 * 4, f"{index}: {loaded}"
        assert said["memory_bytes"] / factor < loaded < said["memory_bytes"] * factor, f"{index}: predicted {said['memory_bytes']}, loaded {loaded}"
        equal(row(shop.connect(f"{number}.db"))["loaded"], loaded, "the cache is the process's")
        db.execute("DELETE FROM t WHERE rowid > 1000")
        assert row(db)["memory_bytes"] < said["memory_bytes"] / 2, "for the present rows"
        db.close()


def test_loaded_is_nothing_after_drop_cache(shop):
    db, vectors = make(shop, name="shop.db")
    rows(db, "SELECT rowid FROM t(?, 5)", blob(vectors[0]))
    assert row(db)["loaded"] > 0
    db.close()
    other = shop.connect("shop.db")
    other.execute("INSERT INTO t(t) VALUES('drop-cache')")
    equal(row(other)["loaded"], 0)


def test_reading_it_loads_and_writes_nothing(shop):
    db, _ = make(shop, name="shop.db")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.close()
    db = shop.connect("shop.db")
    db.execute("INSERT INTO t(t) VALUES('drop-cache')")
    before = db.total_changes
    for _ in range(3):
        equal(row(db)["loaded"], 0)
    equal(db.total_changes, before)
    db.execute("PRAGMA query_only=ON")
    equal(row(db)["rows"], 300)


def test_content_is_named(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB, price REAL)")
    db.execute("INSERT INTO products(id, e) VALUES(1, zeroblob(8)), (2, zeroblob(8)), (3, NULL)")
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], price real, content=products, index='HNSW4')")
    said = row(db)
    equal((said["content"], said["rows"]), ("products", 2), "a row without a vector is no row of the index")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.execute("DELETE FROM products WHERE id = 1")
    equal((row(db)["rows"], row(db)["built_rows"], row(db)["changed_rows"]), (1, 2, 1))
    db.execute("UPDATE products SET price = 5")
    equal(row(db)["changed_rows"], 1, "metadata alone is no change")
    db.execute("ALTER TABLE products RENAME TO goods")
    equal(row(db)["content"], "goods", "as it is called now")


def test_a_broken_index_does_not_hide_the_others(shop):
    db, _ = make(shop, name="shop.db")
    make(shop, table="u", db=db)
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB)")
    db.execute("CREATE VIRTUAL TABLE v USING rec_index(e float[2], content=products)")
    db.execute("DROP TABLE products")
    db.execute("UPDATE u_config SET value = 99 WHERE key = 'format'")
    for connection in (db, shop.connect("shop.db")):
        said = {name: (rows, engine) for name, rows, engine in rows(connection, "SELECT name, rows, engine FROM rec_indexes")}
        equal(sorted(said), ["t", "u", "v"])
        equal(said["t"][0], 300)
        equal(said["v"][0], None)
        assert "products" in said["v"][1], said
    assert "format" in said["u"][1], said  # found when it is opened


def test_a_structure_that_cannot_be_trained_leaves_the_table_exact(shop):
    for n in (0, 3):
        db, vectors = make(shop, "IVF8,Flat", n, 4)
        refused(db, "INSERT INTO t(t) VALUES('train')", says=("t", "train"))
        for command in ("optimize", "rebuild"):
            db.execute("INSERT INTO t(t) VALUES(?)", (command,))
            equal((row(db)["engine"], row(db)["built_rows"], row(db)["rows"]), ("exact", 0, n), command)
        vectors = fill(db, "t", 60, 4) if not n else vectors
        if not n:
            db.execute("INSERT INTO t(t) VALUES('train')")
            equal((row(db)["engine"], row(db)["built_rows"]), ("IVF8,Flat", 60))
            db.execute("DELETE FROM t WHERE rowid > 3")
            db.execute("INSERT INTO t(t) VALUES('optimize')")
            equal(len(rows(db, "SELECT rowid FROM t(?, 9)", blob(vectors[0]))), 3, "fewer than there are lists")
            db.execute("INSERT INTO t(t) VALUES('integrity-check')")


def test_it_joins_and_filters_like_a_table(shop):
    db, _ = make(shop)
    make(shop, table="u", n=20, db=db)
    equal(rows(db, "SELECT sum(rows) FROM rec_indexes"), [(320,)])
    equal(rows(db, "SELECT name FROM rec_indexes ORDER BY rows"), [("u",), ("t",)])
    equal(rows(db, "SELECT i.name, s.name FROM rec_indexes i JOIN sqlite_schema s ON s.name = i.name WHERE i.rows < 100"), [("u", "u")])
    refused(db, "INSERT INTO rec_indexes(name) VALUES('x')", says="rec_indexes")
    refused(db, "DELETE FROM rec_indexes", says="rec_indexes")


# -------------------------------------------------------------------------------------------------------- rec_recall_at

def own_recall(db, k, options, ids, table="t"):
    """The same by hand: for each of the rows its k nearest but itself as the index finds them, against those by a scan of the table."""
    content = {id: numpy.frombuffer(e, "<f4").astype(float) for id, e in rows(db, f"SELECT rowid, e FROM {table}")}
    matrix = numpy.array(list(content.values()))
    found = total = 0
    for id in ids:
        order = sorted((float(distance), other) for other, distance in zip(content, numpy.linalg.norm(matrix - content[id], axis=1)) if other != id)[:k]
        got = [row[0] for row in rows(db, f"SELECT rowid FROM {table}(?, ?, ?)", blob(content[id]), k + 1, options) if row[0] != id][:k]
        found += len(set(got) & {other for _, other in order})
        total += len(order)
    return found / total


def recall(db, *arguments):
    found = db.execute(f"SELECT * FROM rec_recall_at({', '.join('?' * len(arguments))})", arguments)
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, one)) for one in found.fetchall()]


def test_its_rows_are_the_settings(shop):
    db, _ = make(shop, "HNSW8", **BIG)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    listed = recall(db, "t", 50, 10, '{"ef":[10,40,160]}')
    equal(list(listed[0]), ["options", "recall", "p50_ms", "p99_ms", "exact_p50_ms", "queries", "note"])
    equal([json.loads(each["options"]) for each in listed], [{"ef": 10}, {"ef": 40}, {"ef": 160}], "in the order given; each can be given to a search")
    for each in listed:
        equal(each["queries"], 50)
        assert 0 < each["recall"] <= 1 and 0 < each["p50_ms"] <= each["p99_ms"] and 0 < each["exact_p50_ms"] < 10000, each
        equal(len(rows(db, "SELECT rowid FROM t WHERE similar_to = 3 AND k = 5 AND options = ?", each["options"])), 5)
    assert listed[0]["recall"] < listed[2]["recall"], listed
    equal([json.loads(each["options"]) for each in recall(db, "t", 20, 10, '{"ef":64}')], [{"ef": 64}], "one setting")


def test_recall_is_what_a_comparison_by_hand_gives(shop):
    for index, options in (("HNSW4", '{"ef":[1,8,30]}'), ("IVF16,Flat", '{"nprobe":[1,4,16]}'), ("PQ4", None)):
        db, _ = make(shop, index, 400, 8)
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        listed = recall(db, "t", 400, 7, options) if options else recall(db, "t", 400, 7)
        for each in listed:
            equal(each["queries"], 400, "a sample of all rows is all rows")
            own = own_recall(db, 7, each["options"] or "{}", range(1, 401))
            assert math.isclose(each["recall"], own, abs_tol=1e-9), f"{index} {each}: by hand {own}"
        if "IVF" in index:
            equal(listed[-1]["recall"], 1.0, "all lists are visited")
            assert listed[0]["recall"] < 1, listed


def test_an_exact_index_finds_everything(shop):
    for index, command in (("exact", None), ("auto", None), ("HNSW8", None), ("exact", "optimize"), ("Flat", "optimize")):
        for metric in ("cosine", "ip", "l2"):
            db, _ = make(shop, index, 500, 8, metric)
            if command:
                db.execute("INSERT INTO t(t) VALUES(?)", (command,))
            listed = recall(db, "t", 40, 10)
            assert listed, index
            for each in listed:
                equal((each["recall"], each["queries"]), (1.0, 40), f"{index} {metric}")


def test_the_default_ladder(shop):
    for index, name in (("HNSW8", "ef"), ("IVF32,Flat", "nprobe")):
        db, _ = make(shop, index, **BIG)
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        listed = recall(db, "t", 100, 10)
        settings = [json.loads(each["options"])[name] for each in listed]
        assert len(settings) >= 3 and settings == sorted(set(settings)), settings
        assert listed[0]["recall"] < listed[-1]["recall"] and listed[-1]["recall"] > 0.9, listed
        for a, b in zip(listed, listed[1:]):
            assert b["recall"] >= a["recall"] - 0.02, "more work finds more"


def test_rows_that_changed_and_twins_count_too(shop):
    db, vectors = make(shop, "HNSW8", 300, 8)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    for i in range(400, 450):
        db.execute("INSERT INTO t(rowid, e) VALUES(?, ?)", (i, blob(vectors[i - 400])))  # twins of rows 1 to 50, beside the graph
    db.execute("DELETE FROM t WHERE rowid BETWEEN 100 AND 150")
    listed = recall(db, "t", 1000, 5, '{"ef":300}')
    equal(listed[0]["queries"] in (249, 299), True, "no more than there are; those beside the graph may be left out of the sample")
    assert listed[0]["recall"] > 0.99, listed


def test_the_sample_is_the_same_each_time(shop):
    db, _ = make(shop, "HNSW4", 1000, 16)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    first = [each["recall"] for each in recall(db, "t", 60, 10, '{"ef":[4,16]}')]
    for _ in range(3):
        equal([each["recall"] for each in recall(db, "t", 60, 10, '{"ef":[4,16]}')], first)


def test_text_keys_content_and_storage(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[8], sku text primary key, metric=l2, index=HNSW8, storage=f16)")
    fill(db, "t", 300, 8, key="sku")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB)")
    db.execute("INSERT INTO products SELECT rowid, e FROM t")
    db.execute("INSERT INTO products(id) VALUES(999)")
    db.execute("CREATE VIRTUAL TABLE u USING rec_index(e float[8], metric=l2, index=HNSW8, content=products)")
    db.execute("INSERT INTO u(u) VALUES('optimize')")
    for name in ("t", "u", "main.u"):
        listed = recall(db, name, 100, 5, '{"ef":300}')
        equal((listed[0]["queries"], listed[0]["recall"] > 0.99), (100, True), name)


def test_few_rows(shop):
    for n in (0, 1, 2, 5):
        for index in ("exact", "HNSW8"):
            db, _ = make(shop, index, n, 4)
            db.execute("INSERT INTO t(t) VALUES('optimize')")
            for each in recall(db, "t", 10, 10):
                equal(each["queries"] in (0, n), True, f"{n} rows: {each}")
                assert each["recall"] in (None, 1.0), each


def test_what_is_refused(shop):
    db, _ = make(shop, "HNSW8", 100, 4)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.execute("CREATE TABLE ordinary(x)")
    for arguments, says in ((("nosuch", 10, 5), "nosuch"), (("ordinary", 10, 5), "ordinary"), (("aux.t", 10, 5), "aux.t"), (("t", 0, 5), "sample=0"), (("t", -1, 5), "sample=-1"), (("t", "x", 5), "no table or view named 'x'"), (("t", 1.5, 5), "sample=1.5"),
                            (("t", 10, 0), "k=0"), (("t", 10, -3), "k=-3"), (("t", 10, "x"), "k=x"), (("t", 10, 5, "x"), "JSON object"), (("t", 10, 5, "[1]"), "JSON object"), (("t", 10, 5, '{"eff":[1]}'), ("eff", "ef")), (("t", 10, 5, '{"ef":[0]}'), "ef=0"),
                            (("t", 10, 5, '{"ef":["x"]}'), "ef"), (("t", 10, 5, '{"ef":[10,1e9]}'), "ef"), (("t", 10, 5, '{"ef":[[1]]}'), "ef"), (("t", 10, 5, '{"ef":[10,20],"nprobe":[1,2]}'), "two lists"), (("t", 10), "arguments"), (("t",), "arguments"), ((None, 10, 5), "NULL")):
        refused(db, f"SELECT * FROM rec_recall_at({', '.join('?' * len(arguments))})", *arguments, says=says)


def test_it_changes_nothing(shop):
    db, _ = make(shop, "HNSW8", 200, 4, name="shop.db")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    before = rows(db, "SELECT * FROM t_changes"), rows(db, "SELECT * FROM t_segment"), db.total_changes
    db.execute("PRAGMA query_only=ON")
    recall(db, "t", 20, 5)
    equal((rows(db, "SELECT * FROM t_changes"), rows(db, "SELECT * FROM t_segment"), db.total_changes), before)
    shown = rows(db, "SELECT rowid, distance FROM t WHERE similar_to = 3 AND k = 5")
    recall(db, "t", 20, 5, '{"ef":[1]}')
    equal(rows(db, "SELECT rowid, distance FROM t WHERE similar_to = 3 AND k = 5"), shown, "a setting is for its call alone")


def test_it_joins_with_a_list_of_settings(shop):
    db, _ = make(shop, "HNSW8", 300, 8)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    got = rows(db, "SELECT k.value, r.recall <= 1 FROM json_each('[1,5,10]') k JOIN rec_recall_at('t', 20, k.value, '{\"ef\":[20]}') r")
    equal(got, [(1, 1), (5, 1), (10, 1)])
    best = rows(db, "SELECT options FROM rec_recall_at('t', 50, 10, '{\"ef\":[8,300]}') ORDER BY recall DESC, p50_ms LIMIT 1")
    equal(len(best), 1)
