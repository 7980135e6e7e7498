"""Bad input to a rec_index: an error that names the thing and what is allowed, or no rows; nothing is written, also inside BEGIN."""
import struct

from support import equal, one, refused, rows, shadow, vector

HIDDEN = ("k", "options", "similar_to", "exclude", "arg", "score", "distance", "rank")


def both(shop, check, more=""):
    for transaction in (False, True):
        db = shop.connect()
        db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[2], price real, kind text, metric=l2{more})")
        db.executemany("INSERT INTO t(rowid, e, price, kind) VALUES(?, ?, ?, ?)", [(i, vector(i, i * i % 7), i, "ab"[i % 2]) for i in range(1, 21)])
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        before = shadow(db, "t"), rows(db, "SELECT * FROM sqlite_schema")
        if transaction:
            db.execute("BEGIN")
        check(db)
        equal((shadow(db, "t"), rows(db, "SELECT * FROM sqlite_schema")), before, f"in a transaction: {transaction}")
        equal(db.in_transaction, transaction, "the transaction is still the caller's")
        equal(rows(db, "SELECT rowid FROM t('[3,2]', 2)"), rows(db, "SELECT rowid FROM t ORDER BY rec_l2(e, '[3,2]'), rowid LIMIT 2"))


def test_create(shop):
    def check(db):
        for arguments, says in (("", "no vector column"), ("price real", "no vector column"), ("e float[0]", "float[1] .. float[65536]"), ("e float[65537]", "float[1] .. float[65536]"),
                                ("e float[-1]", "float[1]"), ("e float[2]x", "float["), ("e float[2], f float[2]", "second vector column"), ("e float[2], price money", ("'money'", "text, integer, real")),
                                ("e float[2], price", "float[N], text, integer, real"), ("e float[2], metric=manhattan", "ip|l2|cosine"), ("e float[2], metrci=l2", ("metrci", "allowed: metric, index")),
                                ("e float[2], metric=l2, metric=l2", "given twice"), ("e float[2], index=", "index="), ("e float[2], index=Nonsense", ("Nonsense", "could not parse")), ("e float[3], index='IVF4,PQ2'", ("IVF4,PQ2", "multiple")), ("e float[2], index=LSH, metric=ip", ("LSH", "METRIC_L2")), ("e float[2], storage=f64", "f32|f16|sq8"),
                                ("e float[2], e text", "'e' is taken"), ("e float[2], E text", "taken"), ("e float[2], x text", "'x' is taken"), ("e float[2], rowid integer", "taken")):
            refused(db, f"CREATE VIRTUAL TABLE x USING rec_index({arguments})", says=says)
        for name in HIDDEN:
            refused(db, f"CREATE VIRTUAL TABLE x USING rec_index(e float[2], {name} text)", says=(f"'{name}' is taken", "hidden column"))
            refused(db, f"CREATE VIRTUAL TABLE x USING rec_index({name.upper()} float[2])", says="is taken")
            refused(db, f"CREATE VIRTUAL TABLE {name} USING rec_index(e float[2])", says=f"'{name}'")
    both(shop, check)


def test_a_name_that_is_a_column_is_no_new_name_either(shop):
    def check(db):
        for name in HIDDEN + ("rowid", "price", "E"):
            refused(db, f"ALTER TABLE t RENAME TO {name}", says=f"'{name}'")
    both(shop, check)


def test_a_rename_onto_anothers_shadow_table_changes_nothing(shop):
    for transaction in (False, True):
        db = shop.connect()
        db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text)")
        db.execute("INSERT INTO t(e) VALUES('[1,1]')")
        db.execute("CREATE TABLE u_meta(x)")
        before = rows(db, "SELECT name FROM sqlite_schema")
        if transaction:
            db.execute("BEGIN")
        refused(db, "ALTER TABLE t RENAME TO u", says="u_meta")
        equal(rows(db, "SELECT name FROM sqlite_schema"), before)
        equal(rows(db, "SELECT rowid FROM t('[1,1]', 1)"), [(1,)])


def test_a_create_onto_anothers_shadow_table_leaves_nothing(shop):
    for transaction in (False, True):
        for module, arguments, suffix in (("rec_index", "e float[2]", "segment"), ("rec_model", "events=ev, user=user, item=item", "deployments")):
            db = shop.connect()
            db.execute("CREATE TABLE ev(user, item)")
            db.execute(f"CREATE TABLE w_{suffix}(x)")
            if transaction:
                db.execute("BEGIN")
            refused(db, f"CREATE VIRTUAL TABLE w USING {module}({arguments})", says=f"w_{suffix}")
            equal(rows(db, "SELECT name FROM sqlite_schema"), [("ev",), (f"w_{suffix}",)])


def test_vectors_that_are_written(shop):
    nan, infinity = struct.pack("<2f", 1, float("nan")), struct.pack("<2f", float("-inf"), 1)
    cases = ((nan, "element 2 is NaN"), (infinity, "element 1 is NaN or infinite"), ("[1]", ("1 elements", "(2)")), ("[1,2,3]", ("3 elements", "(2)")), (struct.pack("<3f", 1, 2, 3), "3 elements"), (None, "e is NULL"),
             (b"", "at least one element"), ("[]", "at least one element"), (b"\0" * 7, "no whole number of float32"), ("[1,", "JSON array of numbers"), ("hello", "'hello'"), ("[1,\"2\"]", "element 2 is not a number"),
             ("[1,null]", "element 2"), ("[1,[2]]", "element 2"), ("[1e39,1]", "element 1 is NaN or infinite"), ("{}", "JSON array"), (17, "a vector is"), (1.5, "a vector is"))
    def check(db):
        for value, says in cases:
            refused(db, "INSERT INTO t(e) VALUES(?)", value, says=says)
            refused(db, "INSERT OR REPLACE INTO t(rowid, e) VALUES(3, ?)", value, says=says)
            refused(db, "INSERT OR IGNORE INTO t(rowid, e) VALUES(99, ?)", value, says=says)
            refused(db, "UPDATE t SET e = ?, price = 0 WHERE rowid = 3", value, says=says)
            refused(db, "INSERT INTO t(e) VALUES('[1,1]'), (?)", value, says=says)
            refused(db, "INSERT INTO t(e) SELECT '[1,1]' UNION ALL SELECT ?", value, says=says)
            refused(db, "UPDATE t SET e = CASE rowid WHEN 20 THEN ? ELSE '[5,5]' END", value, says=says)
    both(shop, check)


def test_rowids_and_columns_that_are_written(shop):
    def check(db):
        refused(db, "INSERT INTO t(rowid, e) VALUES('x', '[1,1]')", says="mismatch")
        refused(db, "INSERT INTO t(rowid, e) VALUES(1.5, '[1,1]')", says="mismatch")
        refused(db, "INSERT INTO t(rowid, e) VALUES(3, '[1,1]')", says="rowid 3 exists")
        refused(db, "UPDATE t SET rowid = 4 WHERE rowid = 3", says="rowid 4 exists")
        refused(db, "UPDATE t SET rowid = 4, e = '[1,1]' WHERE rowid = 3", says="rowid 4 exists")
        refused(db, "UPDATE t SET rowid = rowid + 1", says="exists")
        refused(db, "INSERT INTO t DEFAULT VALUES", says="e is NULL")
        for name in HIDDEN:
            refused(db, f"INSERT INTO t(e, {name}) VALUES('[1,1]', 3)", says=f"column {name}")
            refused(db, f"UPDATE t SET {name} = 3 WHERE rowid = 5", says=f"column {name}")
        refused(db, "INSERT INTO t(e) VALUES('[1,1]') ON CONFLICT DO NOTHING", says="UPSERT")
        refused(db, "UPDATE t SET t = 'optimize' WHERE rowid = 5", says="t")  # a command is an INSERT
    both(shop, check)


def test_commands(shop):
    def check(db):
        refused(db, "INSERT INTO t(t) VALUES('optimise')", says=("'optimise'", "rebuild, optimize, integrity-check"))
        refused(db, "INSERT INTO t(t) VALUES('')", says="unknown command")
        refused(db, "INSERT INTO t(t) VALUES(3)", says="unknown command '3'")
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":0}')", says="build_threads=0 (1..64)")
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":65}')", says="build_threads=65 (1..64)")
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', '{\"ef_construction\":-1}')", says="ef_construction=-1 (0..10000)")
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', '{\"threads\":1}')", says=("unknown option 'threads'", "build_threads"))
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', '{\"progress\":\"stderr\",\"progress\":\"none\"}')", says="duplicate")
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', 'x')", says="JSON object")
        refused(db, "INSERT INTO t(t, arg) VALUES('optimize', '[1]')", says="JSON object")
    both(shop, check, ", index=HNSW8")


def test_queries(shop):
    nan = struct.pack("<2f", 1, float("nan"))
    match = "SELECT rowid FROM t WHERE e MATCH '[1,1]'"
    def check(db):
        for query, says in ((nan, "NaN"), (struct.pack("<3f", 1, 2, 3), ("3 elements", "float[2]")), ("[1]", "1 elements"), ("x", "JSON array"), (5, "a vector is")):
            refused(db, "SELECT rowid FROM t WHERE e MATCH ? AND k = 3", query, says=says)
            refused(db, "SELECT rowid FROM t(?, 3)", query, says=says)
        for k, says in (("-1", "k=-1 (0 or more)"), ("'x'", "k=x (a whole number)"), ("2.5", "k=2.5 (a whole number)"), ("-9223372036854775808", "0 or more"), ("1e300", "a whole number")):
            refused(db, f"{match} AND k = {k}", says=says)
        for condition, says in (("1", "a search needs k"), ("k > 3", "k must be given with ="), ("k BETWEEN 1 AND 3", "k must be given with ="), ("k = 3 AND similar_to = 4", "not both"), ("k = 3 AND distance < 'x'", "distance is a number"),
                                ("k = 3 AND e MATCH '[2,2]'", "two query vectors"), ("k = 3 AND options = '{\"eff\":1}'", ("'eff'", "ef, nprobe")), ("k = 3 AND options = '{\"ef\":0}'", "ef=0 (1..100000)"), ("k = 3 AND options = '{\"ef\":1,\"ef\":1}'", "duplicate"),
                                ("k = 3 AND options = 'ef'", "JSON object"), ("k = 3 AND options = 5", "JSON object"), ("k = 3 AND exclude = '7'", "JSON array of keys"), ("k = 3 AND exclude = '[\"x\"]'", "'x' is no rowid"),
                                ("k = 3 AND exclude = '[1.5]'", "element 1"), ("k = 3 AND exclude = '[1, null]'", "element 2")):
            refused(db, f"{match} AND {condition}", says=says)
        refused(db, "SELECT rowid FROM t WHERE similar_to = 'x' AND k = 3", says="similar_to=x (a whole number)")
        for name in ("nosuch", "t_vectors", "sqlite_schema", "aux.t", ""):
            refused(db, "SELECT * FROM rec_search(?, 't', 'rowid', 'e', 1)", name, says="no rec_index named")
        refused(db, "SELECT * FROM rec_search(NULL, 't', 'rowid', 'e', 1)", says="NULL")
        refused(db, "SELECT * FROM rec_search('t', 'nosuch', 'id', 'v', 1)", says="'nosuch'")
        refused(db, "SELECT * FROM rec_search('t', 't', 'nosuch', 'e', 1)", says="nosuch")
    both(shop, check)


def test_what_is_null_or_nothing_gives_no_rows(shop):
    def check(db):
        for condition in ("e MATCH NULL AND k = 3", "e MATCH '[1,1]' AND k = NULL", "e MATCH '[1,1]' AND k = 0", "similar_to = NULL AND k = 3", "similar_to = 99 AND k = 3", "e MATCH '[1,1]' AND distance < NULL", "e MATCH '[1,1]' AND distance < -1",
                          "e MATCH '[1,1]' AND k = 3 AND rowid IN (77, 78)", "e MATCH '[1,1]' AND k = 3 AND kind IN ('x', NULL)", "e MATCH '[1,1]' AND k = 3 AND kind = NULL", "e MATCH '[1,1]' AND k = 3 AND price > 'text'"):
            equal(rows(db, f"SELECT rowid FROM t WHERE {condition}"), [], condition)
        equal(rows(db, "SELECT count(*) FROM t WHERE e MATCH '[1,1]' AND k = 9223372036854775807"), [(20,)], "k over all rows")
        equal(rows(db, "SELECT count(*) FROM t WHERE e MATCH '[1,1]' AND k = '3'"), [(3,)], "k as a text that is a number")
    both(shop, check)


def test_an_empty_index_answers_nothing(shop):
    for index in ("exact", "auto", "Flat", "HNSW8"):
        db = shop.connect()
        db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[2], index={index})")
        for command in (None, "optimize", "integrity-check", "rebuild", "drop-cache"):
            if command:
                db.execute("INSERT INTO t(t) VALUES(?)", (command,))
            equal(rows(db, "SELECT * FROM t('[1,1]', 3)"), [], index)
        db.execute("INSERT INTO t(e) VALUES('[1,1]')")
        equal(rows(db, "SELECT rowid FROM t('[1,1]', 3)"), [(1,)])
        db.execute("DELETE FROM t")
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        equal(rows(db, "SELECT * FROM t('[1,1]', 3)"), [], index)


def test_shadow_rows_are_not_trusted(shop):
    damage = ("UPDATE t_vectors SET vector = x'00' WHERE id = 3", "UPDATE t_vectors SET vector = 'text8888' WHERE id = 3", "UPDATE t_vectors SET vector = 5 WHERE id = 3", "UPDATE t_vectors SET vector = zeroblob(8000) WHERE id = 3",
              "DELETE FROM t_meta WHERE id = 3", "INSERT INTO t_meta(id) VALUES(77)", "DELETE FROM t_changes", "UPDATE t_changes SET stamp = x'00'", "UPDATE t_config SET value = 3 WHERE key = 'format'",
              "UPDATE t_segment SET data = x'00'", "UPDATE t_segment SET data = substr(data, 1, length(data) - 1)", "UPDATE t_segment SET data = data || x'00'", "UPDATE t_segment SET data = 'text'", "DROP TABLE t_segment", "DROP TABLE t_vectors", "DROP TABLE t_meta",
              "UPDATE t_vectors SET vector = x'0000c07f0000803f' WHERE id = 3")  # the last one: NaN
    for number, sql in enumerate(damage):
        db = shop.connect(f"damage{number}.db")
        db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text, index=HNSW8)")
        db.executemany("INSERT INTO t(rowid, e) VALUES(?, ?)", [(i, vector(i, i)) for i in range(1, 21)])
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        db.close()
        db = shop.connect(f"damage{number}.db")
        db.execute(sql)
        refused(db, "INSERT INTO t(t) VALUES('integrity-check')", says=())
        for read in ("SELECT rowid, e, kind FROM t('[1,1]', 30)", "SELECT * FROM t", "SELECT rowid FROM t WHERE similar_to = 3 AND k = 3", "SELECT * FROM rec_search('t', 't', 'rowid', 'e', 2)"):
            try:
                rows(db, read)  # an answer or an error, and no crash
            except Exception as error:
                assert str(error), read
