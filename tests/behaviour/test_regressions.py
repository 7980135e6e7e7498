"""Defects that were found once, each by its smallest reproduction."""
import os, random

from support import equal, make_events, make_model, one, refused, rows, vector


def graph(db, n=200):
    draw = random.Random(1)
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[3], kind integer, index=HNSW8, metric=l2)")
    db.executemany("INSERT INTO t(rowid, e, kind) VALUES(?, ?, ?)", [(i, vector(*(draw.random() for _ in range(3))), i) for i in range(1, n + 1)])
    db.execute("INSERT INTO t(t) VALUES('optimize')")


def test_a_base_loaded_inside_a_transaction_does_not_serve_its_rows_after_a_rollback(shop):
    db = shop.connect("shop.db")
    graph(db)
    queries = {i: one(db, "SELECT rec_vec_json(e) FROM t WHERE rowid = ?", i) for i in (5, 6, 7)}
    for load in ("drop-cache", "integrity-check"):
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        db.execute("BEGIN")
        db.execute("UPDATE t SET e = '[9,9,9]' WHERE rowid = 5")
        db.execute("DELETE FROM t WHERE rowid = 6")
        db.execute("INSERT INTO t(t) VALUES(?)", (load,))
        equal(one(db, "SELECT rowid FROM t('[9,9,9]', 1)"), 5)
        db.execute("ROLLBACK")
        other = shop.connect("shop.db")
        for connection in (db, other):
            for id, query in queries.items():
                equal(rows(connection, "SELECT rowid, distance FROM t(?, 1)", query), [(id, 0.0)], load)


def test_an_interrupted_search_leaves_nothing_of_its_transaction(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], metric=l2)")
    db.executemany("INSERT INTO t(rowid, e) VALUES(?, ?)", [(i, vector(i, 0)) for i in range(1, 2001)])
    before = rows(db, "SELECT rowid FROM t('[0,0]', 2)")
    for patience in range(1, 40, 3):
        db.execute("BEGIN")
        db.executemany("INSERT INTO t(rowid, e) VALUES(?, '[0,0]')", [(i,) for i in range(5000, 5200)])
        left = [patience]

        def handler():
            left[0] -= 1
            return left[0] <= 0
        db.set_progress_handler(handler, 50)
        try:
            rows(db, "SELECT rowid FROM t('[0,0]', 2)")
        except Exception:
            pass
        db.set_progress_handler(None, 0)
        if db.in_transaction:
            db.execute("ROLLBACK")
        equal(rows(db, "SELECT rowid FROM t('[0,0]', 2)"), before, f"patience {patience}")


def test_a_long_metadata_list_is_a_filter_like_any_other(shop):
    db = shop.connect()
    graph(db)
    db.execute("CREATE TABLE wanted(x)")
    db.executemany("INSERT INTO wanted VALUES(?)", [(i,) for i in range(100, 3000)])
    equal(len(rows(db, "SELECT rowid FROM t WHERE e MATCH '[0,0,0]' AND k = 500 AND kind IN (SELECT x FROM wanted)")), 101)


def test_users_beyond_2_to_the_53_keep_rows_of_their_own(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    big = 2 ** 53
    equal(len(rows(db, f"SELECT user, item FROM m WHERE (user = {big} AND k = 4) OR (user = {big + 1} AND k = 4)")), 8)


def test_a_file_that_is_renamed_while_open_still_answers(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db)
    before = rows(db, "SELECT item FROM m(7, 3)")
    os.rename(shop.path(), shop.path("elsewhere.db"))
    equal(rows(db, "SELECT item FROM m(7, 3)"), before)


def test_another_collation_filters_the_finished_list(shop):
    db = shop.connect()
    db.execute("CREATE TABLE events(user TEXT, item TEXT, n REAL, t INTEGER)")
    for user in range(6):
        for item in range(4):
            db.execute("INSERT INTO events VALUES(?, ?, 1, 1)", (f"u{user}", f"i{(user + item) % 7}"))
    make_model(db)
    full = rows(db, "SELECT item, rank FROM m WHERE user = 'u1'")
    item, rank = full[1]
    equal(rows(db, "SELECT item, rank FROM m WHERE user = 'u1' AND item = ? COLLATE NOCASE", item.upper()), [(item, rank)])
    equal(rows(db, "SELECT item, rank FROM m WHERE user = 'u1' AND item COLLATE NOCASE IN (?, 'I99')", item.upper()), [(item, rank)])


def test_a_history_that_decays_below_float32_is_still_a_history(shop):
    for similarity in ("bm25", "cosine", "jaccard", "rp3beta", "llr"):
        db = shop.connect()
        db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
        for item in range(100):
            db.execute("INSERT INTO events VALUES(1, ?, 1, 0)", (item,))
            db.execute("INSERT INTO events VALUES(?, ?, 1, ?)", (2 + item % 9, item, 300 * 86400))
        make_model(db, more=f", half_life=1, similarity={similarity}")
        listed = [row[0] for row in rows(db, """SELECT item FROM m WHERE user = 1 AND options = '{"exclude_seen":false}'""")]
        equal(sorted(listed), list(range(100)), similarity)
        equal(rows(db, "SELECT item FROM m WHERE user = 1"), [], similarity)  # she has them all
        equal(len(rows(db, "SELECT item FROM m WHERE k = 5")), 45)


def test_commands_refuse_what_they_do_not_read(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    graph(db, 20)
    refused(db, """INSERT INTO m(m, options) VALUES('train', '{"nosuch":1}')""", says="unknown option 'nosuch' (allowed: at, author, note)")
    refused(db, """INSERT INTO m(m, options) VALUES('integrity-check', '{"author":"x"}')""", says="command integrity-check takes no options")
    refused(db, "INSERT INTO m(m, user, k) VALUES('train', 1, 5)", says="command train takes no user")
    refused(db, "INSERT INTO m(m, arg) VALUES('rollback', 'junk')", says="command rollback takes no arg")
    refused(db, "INSERT INTO t(t, arg) VALUES('drop-cache', 'junk')", says="command drop-cache takes no arg")
    refused(db, "INSERT INTO t(t, k) VALUES('optimize', 4)", says="command optimize takes no k")
    refused(db, "INSERT INTO t(t, e) VALUES('optimize', '[1,2,3]')", says="command optimize takes no e")
    refused(db, "UPDATE t SET rowid = NULL WHERE rowid = 3", says="rowid must be a whole number")
    refused(db, "SELECT rowid FROM t WHERE k = 3", says="k needs a query")


def test_a_declared_type_is_never_sql(shop):
    db = shop.connect("shop.db")
    db.execute('CREATE TABLE events(user "INTEGER)--", item "TEXT, x", n REAL, t INTEGER)')
    db.executemany("INSERT INTO events VALUES(?, ?, 1, 1)", [(u, f"i{u % 3}") for u in range(9)])
    make_model(db)
    equal(len(rows(db, "SELECT item FROM m(1, 5)")), 2)
    refused(db, "INSERT INTO m(user) VALUES(1)", says="cannot be changed")


def test_a_damaged_log_of_changes_is_mended_by_rebuild(shop):
    db = shop.connect("shop.db")
    graph(db, 20)
    expected = rows(db, "SELECT rowid FROM t('[0,0,0]', 20)")
    db.execute("DELETE FROM t_changes")
    refused(db, "SELECT rowid FROM t('[0,0,0]', 20)", says="log of changes is damaged")
    refused(db, "SELECT * FROM rec_search('t', 't', 'kind', 'e', 3)", says="log of changes is damaged")
    db.execute("INSERT INTO t(t) VALUES('rebuild')")
    equal(rows(db, "SELECT rowid FROM t('[0,0,0]', 20)"), expected)


def test_null_passes_an_argument_of_the_function_form_over(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    equal(rows(db, "SELECT item FROM m(7, 3, NULL, NULL, '[1, 2, 3]')"), rows(db, "SELECT item FROM m WHERE user = 7 AND k = 3 AND candidates = '[1, 2, 3]'"))
    equal(rows(db, "SELECT item FROM m(NULL, 3, 5)"), rows(db, "SELECT item FROM m WHERE similar_to = 5 AND k = 3"))
    equal(rows(db, "SELECT item FROM m(NULL, 3)"), [])
    equal(rows(db, "SELECT item FROM m WHERE similar_to = NULL AND k = 3"), [], "where = NULL is written, it is never true")
    graph(db, 20)
    nearest = [row[0] for row in rows(db, "SELECT rowid FROM t('[0,0,0]', 4)")]
    equal([row[0] for row in rows(db, "SELECT rowid FROM t('[0,0,0]', 3, NULL, NULL, ?)", f"[{nearest[0]}]")], nearest[1:])
    equal(rows(db, "SELECT rowid FROM t(NULL, 3, NULL, 4)"), rows(db, "SELECT rowid FROM t WHERE similar_to = 4 AND k = 3"))
    equal(rows(db, "SELECT rowid FROM t(NULL, 3)"), [])


def test_dropping_an_index_leaves_tables_alone_that_only_look_like_its_own(shop):
    db = shop.connect()
    db.executescript("CREATE TABLE looks_queue(x); CREATE TABLE looks_meta(x); CREATE VIRTUAL TABLE looks USING rec_index(e float[2]); DROP TABLE looks")
    equal(rows(db, "SELECT name FROM sqlite_schema ORDER BY name"), [("looks_meta",), ("looks_queue",)])


def test_functions_open_an_index_however_its_arguments_are_written(shop):
    db = shop.connect()
    db.executescript("CREATE TABLE q(id, v); INSERT INTO q VALUES(1, '[1,1]'); CREATE TABLE z(a); CREATE TRIGGER x AFTER INSERT ON z BEGIN SELECT 1; END;"
                     "CREATE VIRTUAL TABLE x USING rec_index(e float[2] -- the , vector\n, [a,b] text, [it's] text, \"q\"\"q\" integer, /* and, */ metric=l2);"
                     "INSERT INTO x(e) VALUES('[1,2]')")
    equal(rows(db, "SELECT id, rowid, distance FROM rec_search('x', 'q', 'id', 'v', 1)"), [(1, 1, 1.0)])
    db.execute("ATTACH ':memory:' AS Aux")
    db.executescript("CREATE TABLE Aux.p(id INTEGER PRIMARY KEY, e BLOB); CREATE VIRTUAL TABLE Aux.t USING rec_index(e float[2], content=p); INSERT INTO p VALUES(7, '[1,1]')")
    equal(rows(db, "SELECT rowid FROM rec_search('Aux.t', 'q', 'id', 'v', 1)"), [(7,)])


def test_a_bound_on_cosine_distance_keeps_rows_just_past_a_right_angle(shop):
    db = shop.connect()
    db.executescript("CREATE VIRTUAL TABLE c USING rec_index(e float[2]); INSERT INTO c(e) VALUES('[-1e-18,1]'), ('[0,1]'), ('[1,0]')")
    equal(rows(db, "SELECT rowid FROM c WHERE e MATCH '[1,0]' AND distance <= 1 ORDER BY rowid"), [(1,), (2,), (3,)])


def test_optimize_of_a_table_that_shrank_gives_up_the_structure(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], metric=l2, index='IVF4,Flat')")
    db.executemany("INSERT INTO t(e) VALUES(?)", [(f"[{i % 30},{i // 30}]",) for i in range(300)])
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    equal(rows(db, "SELECT engine, built_rows FROM rec_indexes"), [("IVF4,Flat", 300)])
    db.executescript("DELETE FROM t; INSERT INTO t(rowid, e) VALUES(1000, '[1,1]'); INSERT INTO t(t) VALUES('optimize')")
    equal(rows(db, "SELECT rows, engine, built_rows, changed_rows FROM rec_indexes"), [(1, "exact", 0, 0)])
    equal(rows(db, "SELECT rowid FROM t('[1,1]', 3)"), [(1000,)])
