"""Files from somebody else: shadow tables that are views, tables with triggers, names that point elsewhere, stamps that repeat.

Every attack of the matrix is laid by one connection and met by a new one, as a file from the mail is."""
import itertools, random, sqlite3, struct, unittest

from support import equal, make_events, make_model, one, refused, rows, vector

MODEL_SHADOWS = ("config", "versions", "chunks", "deployments", "trials")
INDEX_SHADOWS = ("config", "vectors", "meta", "changes", "segment")
READS = {
    "m": ["SELECT item FROM m WHERE user = 1 AND k = 2", "SELECT user, item FROM m WHERE k = 1", "SELECT * FROM rec_versions", "SELECT * FROM rec_models", "SELECT * FROM rec_trials",
          "SELECT * FROM rec_deployments", "SELECT length(rec_train('m'))", "SELECT * FROM rec_evaluate('m', 'hold')", "SELECT * FROM rec_rules('m', 1)", "SELECT * FROM rec_item_vectors('m')"],
    "x": ["SELECT rowid FROM x WHERE e MATCH '[1,1]' AND k = 2", "SELECT count(*) FROM x", "SELECT * FROM x WHERE rowid = 1", "SELECT * FROM rec_indexes", "SELECT * FROM rec_recall_at('x', 3, 2)",
          "SELECT * FROM rec_search('x', 'queries', 'id', 'e', 2)", "SELECT rowid, e, n FROM x WHERE e MATCH '[1,1]' AND k = 2 AND n < 9"],
}
WRITES = {
    "m": ["INSERT INTO m(m) VALUES('train')", "INSERT INTO m(m, arg) VALUES('tune', '{\"trials\": 2}')", "INSERT INTO m(m, arg) VALUES('activate', 1)", "INSERT INTO m(m) VALUES('rollback')", "INSERT INTO m(m) VALUES('integrity-check')"],
    "x": ["INSERT INTO x(rowid, e, n) VALUES(77, '[1,2]', 3)", "UPDATE x SET n = 5 WHERE rowid = 1", "DELETE FROM x WHERE rowid = 2", "INSERT INTO x(x) VALUES('optimize')", "INSERT INTO x(x) VALUES('rebuild')", "INSERT INTO x(x) VALUES('integrity-check')"],
}
AGAIN = {"m": "(SELECT count(*) FROM m WHERE user = 1 AND k = 1)", "x": "(SELECT count(*) FROM x WHERE e MATCH '[1,1]' AND k = 1)"}


def make_file(shop, name):
    db = shop.connect(name)
    make_events(db, users=8, items=9)
    make_model(db, "m", "item_knn")
    db.execute("CREATE TABLE hold AS SELECT 1 AS user, 99 AS item")
    db.execute("CREATE TABLE queries(id INTEGER PRIMARY KEY, e)")
    db.execute("INSERT INTO queries(e) VALUES('[1,0]'), ('[0,1]')")
    db.execute("CREATE VIRTUAL TABLE x USING rec_index(e float[2], n integer, metric=l2, index=HNSW8)")
    db.executemany("INSERT INTO x(rowid, e, n) VALUES(?, ?, ?)", [(i, vector(i, i % 3), i) for i in range(1, 30)])
    db.execute("INSERT INTO x(x) VALUES('optimize')")
    return db


def lay(db, attack, table, suffix):
    """Make the shadow table what it should not be; gives whether the answers may stay as they were."""
    shadow = f"{table}_{suffix}"
    columns = ", ".join(row[1] for row in rows(db, f"PRAGMA table_info({shadow})"))
    if attack.startswith("view"):
        again = AGAIN["m" if attack == "view of the other" and table == "x" else "x" if attack == "view of the other" else table]
        sometimes = "abs(random()) % 3 = 0 OR " if attack == "view now and then" else ""
        db.execute(f"ALTER TABLE {shadow} RENAME TO hidden")
        db.execute(f"CREATE VIEW {shadow} AS SELECT {columns} FROM hidden WHERE {sometimes}{again} >= 0")
    elif attack == "trigger":
        other = "INSERT INTO x(rowid, e, n) VALUES(abs(random()), '[1,1]', 1)" if table == "x" else "INSERT INTO m(m) VALUES('train')"
        for event in ("INSERT", "UPDATE", "DELETE"):
            db.execute(f"CREATE TRIGGER laid_{event} AFTER {event} ON {shadow} BEGIN {other}; END")
    else:
        db.execute(f"CREATE TEMP TABLE {shadow} AS SELECT * FROM main.{shadow} WHERE 0")


def attempt(db, sql):
    try:
        return db.execute(sql).fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return str(error)


def test_no_shadow_table_that_is_a_view_a_trigger_or_shadowed_by_a_temp_table_harms(shop):
    attacks = ("view", "view now and then", "view of the other", "trigger", "temp table")
    for number, (attack, (table, suffix)) in enumerate(itertools.product(attacks, [("m", s) for s in MODEL_SHADOWS] + [("x", s) for s in INDEX_SHADOWS])):
        what = f"{attack} {table}_{suffix}"
        db = make_file(shop, f"f{number}.db")
        before = {sql: attempt(db, sql) for sql in READS["x" if table == "m" else "m"] + READS[table]}
        lay(db, attack, table, suffix)
        for reader in [db] if attack == "temp table" else [shop.connect(f"f{number}.db"), db]:
            for sql in READS[table] + WRITES[table]:
                said = attempt(reader, sql)
                if attack == "temp table" and sql in READS[table] and "recall" not in sql:
                    equal(said, before[sql], f"{what}: {sql}")
                if attack.startswith("view") and suffix != "trials" and reader is not db and sql in (READS[table][0], WRITES[table][0]):
                    assert isinstance(said, str) and ("an ordinary table" in said or "is in use by itself" in said), f"{what}: {sql}: {said}"
            if attack == "trigger" and table == "x":
                attempt(reader, "DROP TRIGGER laid_INSERT")
        db.close()


def test_two_indexes_that_read_each_other_end_in_an_error(shop):
    db = shop.connect("shop.db")
    for name in "ab":
        db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_index(e float[2])")
        db.execute(f"INSERT INTO {name}(rowid, e) VALUES(1, '[1,1]')")
    for name, other in ("ab", "ba"):
        db.execute(f"ALTER TABLE {name}_vectors RENAME TO hidden_{name}")
        db.execute(f"CREATE VIEW {name}_vectors AS SELECT id, vector FROM hidden_{name} WHERE (SELECT count(*) FROM {other} WHERE e MATCH '[1,1]' AND k = 1) >= 0")
    refused(db, "SELECT rowid FROM a WHERE e MATCH '[1,1]' AND k = 1", says="")
    refused(shop.connect("shop.db"), "SELECT rowid FROM a WHERE e MATCH '[1,1]' AND k = 1", says="an ordinary table")


def test_an_index_whose_stamp_is_anothers_never_shows_the_others_rows(shop):
    draw = random.Random(7)
    kinds = ("float[2]", "float[3]", "float[8]")
    for pair in range(200):
        db = shop.connect(f"p{pair % 4}.db")
        made = []
        for name in (f"a{pair}", f"b{pair}"):
            kind, metric, storage = draw.choice(kinds), draw.choice(("l2", "ip", "cosine")), draw.choice(("f32", "f16", "sq8"))
            meta = draw.choice(("", ", n integer", ", n text", ", n integer, w real"))
            dim, n = int(kind[6:-1]), draw.randrange(1, 40)
            db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_index(e {kind}, metric={metric}, storage={storage}{meta})")
            more = ", n" * bool(meta)
            db.executemany(f"INSERT INTO {name}(rowid, e{more}) VALUES(?, ?{', 7' * bool(meta)})", [(i, vector(*(draw.randrange(1, 5) for _ in range(dim)))) for i in range(1, n + 1)])
            made.append((name, dim, meta))
        seq, stamp = 10 ** 6 + pair, draw.randbytes(16)
        expected = []
        for name, dim, meta in made:
            sql = f"SELECT rowid, score FROM {name} WHERE e MATCH ? AND k = 50" + (" AND n = 7" if meta else "")
            expected.append((sql, vector(*range(1, dim + 1)), rows(db, sql, vector(*range(1, dim + 1)))))
            db.execute(f"INSERT INTO {name}_changes(seq, stamp) VALUES(?, ?)", (seq, stamp))
        other = shop.connect(f"p{pair % 4}.db")
        for sql, query, answer in expected + expected[::-1]:
            equal(rows(other, sql, query), answer, sql)
        db.close()
        other.close()


def test_names_of_stored_rows_reach_no_table_outside_the_schema(shop):
    made = shop.connect("shop.db")
    make_events(made)
    make_model(made, "m", "popular")
    made.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e)")
    made.execute("CREATE VIRTUAL TABLE x USING rec_index(e float[2], content=products)")
    made.execute("CREATE TEMP TABLE elsewhere(user, item, n, t)")
    for name in ("sqlite_stmt", "pragma_database_list", "rec_info", "sqlite_schema", "temp.elsewhere", "elsewhere"):
        made.execute("UPDATE m_config SET value = ? WHERE key = 'events'", (name,))
        db = shop.connect("shop.db")
        for sql in ("INSERT INTO m(m) VALUES('train')", "SELECT rec_train('m')", "SELECT * FROM m(1, 2)", "SELECT * FROM m WHERE k = 2"):
            refused(db, sql, says=f"no table or view main.{name}")
    for event in ("insert", "update", "delete"):
        made.execute(f"DROP TRIGGER x_content_{event}")
    made.execute("PRAGMA writable_schema=ON")
    made.execute("UPDATE sqlite_schema SET sql = replace(sql, 'content=products', 'content=sqlite_stmt, content_rowid=sql') WHERE name = 'x'")
    for sql in ("SELECT * FROM x", "SELECT rowid FROM x('[1,1]', 2)", "INSERT INTO x(x) VALUES('rebuild')", "SELECT * FROM rec_recall_at('x', 2, 2)"):
        refused(shop.connect("shop.db"), sql, says="no ordinary table main.sqlite_stmt")


def test_an_empty_text_is_a_key_like_any_other(shop):
    db = shop.connect()
    db.execute("CREATE TABLE ev(u TEXT, i TEXT)")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, algorithm=popular)")
    db.execute("INSERT INTO ev VALUES('u1',''), ('u2',''), ('u1','a'), ('u2','b'), ('','b')")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(rows(db, "SELECT item FROM m WHERE user = 'x'"), [("",), ("b",), ("a",)])
    equal(rows(db, "SELECT user, item FROM m WHERE k = 9 AND user IS NOT NULL ORDER BY 1, 2"), [("", ""), ("", "a"), ("u1", "b"), ("u2", "a")])
    equal(one(db, "WITH v(c) AS (VALUES(''), (0), (0), ('')) SELECT rec_coverage(c, 10) FROM v"), 0.2)
    equal(one(db, "WITH v(c) AS (VALUES(''), ('')) SELECT rec_coverage(c, 10) FROM v"), 0.1)


def test_a_damaged_number_of_a_change_is_said_and_rebuild_mends_it(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE x USING rec_index(e float[2])")
    db.execute("INSERT INTO x(rowid, e) VALUES(1, '[1,1]')")
    db.execute("INSERT INTO x_changes(seq, stamp) VALUES(9223372036854775807, randomblob(16))")
    db.execute("INSERT INTO x(rowid, e) VALUES(2, '[1,0]')")
    refused(db, "SELECT rowid FROM x('[1,0]', 1)", says="the log of changes is damaged")
    refused(db, "INSERT INTO x(x) VALUES('integrity-check')", says="the log of changes is damaged")
    db.execute("INSERT INTO x(x) VALUES('rebuild')")
    equal(rows(db, "SELECT rowid FROM x('[1,0]', 2)"), [(2,), (1,)])


def test_a_write_that_a_reader_of_the_shared_cache_refuses_half_way_is_still_seen(shop):
    where = f"file:{shop.path('shared.db')}?cache=shared"
    if one(shop.connect(), "SELECT sqlite_compileoption_used('OMIT_SHARED_CACHE')"):
        raise unittest.SkipTest("this SQLite has no shared cache")
    connections = []
    for _ in range(2):
        db = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
        db.enable_load_extension(True)
        db.load_extension(__import__("support").EXTENSION)
        connections.append(db)
    db, reader = connections
    db.execute("CREATE VIRTUAL TABLE x USING rec_index(e float[2], n integer)")
    db.execute("INSERT INTO x(rowid, e, n) VALUES(1, '[1,1]', 1)")
    for number, held in enumerate(("x_changes", "x_vectors", "x_meta"), 2):
        equal(len(rows(db, "SELECT rowid FROM x('[1,0]', 9)")), one(db, "SELECT count(*) FROM x_vectors"))
        db.execute("BEGIN")
        reader.execute("BEGIN")
        rows(reader, f"SELECT * FROM {held}")
        refused(db, f"INSERT INTO x(rowid, e, n) VALUES({number}, '[1,0]', 1)", says="locked")
        reader.execute("COMMIT")
        db.execute("COMMIT")
        got = [row[0] for row in rows(db, "SELECT rowid FROM x('[1,0]', 9) ORDER BY rowid")]
        equal(got, [row[0] for row in rows(db, "SELECT id FROM x_vectors ORDER BY 1")], held)


def test_nothing_that_cannot_be_read_is_activated_whatever_the_cache_holds(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db, "m", "popular")
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\": \"item_knn\"}')")
    before = rows(db, "SELECT item FROM m(1, 5)")
    db.execute("UPDATE m_chunks SET data = zeroblob(length(data)) WHERE version < 3")
    refused(db, "INSERT INTO m(m, arg) VALUES('activate', 1)", says="version 1: ")
    refused(db, "INSERT INTO m(m) VALUES('rollback')", says="version 2: ")
    equal(one(db, "SELECT version FROM rec_versions WHERE active"), 3)
    equal(rows(db, "SELECT item FROM m(1, 5)"), before)
    db.execute("UPDATE m_config SET value = 9223372036854775807 WHERE key = 'last_version'")
    refused(db, "INSERT INTO m(m) VALUES('train')", says="last_version=9223372036854775807")
    db.execute("CREATE TRIGGER spoil AFTER INSERT ON m_chunks BEGIN UPDATE m_chunks SET data = zeroblob(9) WHERE chunk = new.chunk; END")
    db.execute("UPDATE m_config SET value = 3 WHERE key = 'last_version'")
    refused(db, "INSERT INTO m(m) VALUES('train')", says="version 4: ")
    refused(db, "INSERT INTO m(m, arg) VALUES('load', rec_train('m'))", says="version 4: ")
    equal(rows(db, "SELECT version FROM rec_versions"), [(1,), (2,), (3,)])
    equal(rows(shop.connect("shop.db"), "SELECT item FROM m(1, 5)"), before)


def test_a_row_that_is_refused_half_way_leaves_no_half(shop):
    """A statement of one row has no journal of its own, so that inside BEGIN the table has to take back what it wrote."""
    for held, what in (("x_meta", "NEW.c0 = 7"), ("x_vectors", "NEW.id = 7")):
        db = shop.connect()
        db.execute("CREATE VIRTUAL TABLE x USING rec_index(e float[2], n integer)")
        db.execute("INSERT INTO x(rowid, e, n) VALUES(1, '[1,1]', 1)")
        column = rows(db, f"PRAGMA table_info({held})")[1][1]
        db.execute(f"CREATE TRIGGER stop BEFORE INSERT ON {held} WHEN {what.replace('c0', column)} BEGIN SELECT RAISE(ABORT, 'stopped'); END")
        db.execute("BEGIN")
        refused(db, "INSERT INTO x(rowid, e, n) VALUES(7, '[1,0]', 7)", says="")
        db.execute("COMMIT")
        equal(rows(db, "SELECT rowid, n FROM x"), [(1, 1)], held)
        equal(rows(db, "SELECT rowid FROM x('[1,0]', 9)"), [(1,)], held)
        db.execute("INSERT INTO x(x) VALUES('integrity-check')")


def test_a_file_with_a_table_rec_info_loads_like_any_other(shop):
    for made in ("CREATE TABLE rec_info AS SELECT 'version' AS key, '0.1.0' AS value", "CREATE VIEW rec_info AS SELECT 'version' AS key, '9' AS value"):
        path = shop.path(f"{len(made)}.db")
        plain = sqlite3.connect(path)
        plain.execute(made)
        plain.commit()
        plain.close()
        db = shop.connect(f"{len(made)}.db")
        equal(one(db, "SELECT rec_dot('[2]', '[3]')"), 6.0)
        equal(one(db, "SELECT count(*) FROM pragma_module_list WHERE name = 'rec_model'"), 1)


def test_categories_of_one_version_are_never_anothers(shop):
    db = shop.connect()
    draw = random.Random(3)
    db.execute("CREATE TABLE ev(u INTEGER, i INTEGER, t)")
    db.execute("CREATE TABLE it(i INTEGER PRIMARY KEY, c)")
    db.executemany("INSERT INTO it VALUES(?, ?)", [(k, f"c{k % 3}") for k in range(1, 61)])
    db.executemany("INSERT INTO ev VALUES(?, ?, ?)", [(u, 50 + draw.randrange(10), 1000000000 + j) for u in range(600) for j in range(4)])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, time=t, items=it, item_key=i, item_category=c)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.executemany("INSERT INTO ev VALUES(?, ?, ?)", [(u, 1 + draw.randrange(60), 1100000000 + j) for u in range(600) for j in range(8)])
    db.execute("INSERT INTO m(m) VALUES('train')")
    asked = "SELECT user, item, rank FROM m WHERE k = 3 AND options = '{\"max_per_category\": 1, \"exclude_seen\": false, \"version\": %d}'"
    right = rows(db, asked % 2)
    older, newer = db.execute(asked % 1), db.execute(asked % 2)
    older.fetchone(), newer.fetchone()
    older.fetchall()
    equal(rows(db, asked % 2), right)
