"""`name text primary key`: the key that users of an index speak. The oracle of writes is an ordinary table with the same constraints."""
import json, math, random, sqlite3, subprocess

import numpy

from support import equal, one, refused, rows, same_rows, vector

INDEX = "CREATE VIRTUAL TABLE t USING rec_index(e float[3], sku text primary key, price real, metric=l2{})"
ENGINES = ("", ", index=HNSW32", ", index='IVF4,Flat'")
WIDE = '{"ef":1000,"nprobe":64}'  # so wide that a graph or lists find all that there is
UNUSUAL = ["", " ", "  ", "a", "A", "a ", " a", "a\0b", "a\0c", "a\0", "\0", "1", "01", "1.0", "1e0", "-1", "9223372036854775808", "null", "NULL", "'", "''", '"', "[1]", '["x"]', "{}", "\\", "\\u0041", "%", "_", "a,b", "é", "e\u0301",
           "日本", "🛒", "\u200b", "\ufeff", "tab\t", "line\n", "x" * 10000, "x" * 9999 + "y", "rowid", "sku", "\x7f", "\U0010ffff"]


def make(shop, n=60, more="", name=None, seed=1):
    db = shop.connect(name)
    db.execute(INDEX.format(more))
    draw = random.Random(seed)
    db.execute("BEGIN")
    for i in range(1, n + 1):
        db.execute("INSERT INTO t(e, sku, price) VALUES(?, ?, ?)", (vector(*(draw.randrange(-20, 21) / 8 for _ in range(3))), f"sku-{i * 7919 % 1000:03}", i))
    db.execute("COMMIT")
    return db


def listed(db):
    """(rowid, key, vector, price), out of the table as it is read."""
    return [(id, key, json.loads(e), price) for id, key, e, price in rows(db, "SELECT rowid, sku, rec_vec_json(e), price FROM t")]


def nearest(content, query):
    """(key, distance) in order; equal distances by rowid."""
    order = sorted((float(numpy.linalg.norm(numpy.array(e) - query)), id, key) for id, key, e, _ in content)
    return [(key, distance) for distance, _, key in order]


def close(got, expected, what=""):
    equal([row[0] for row in got], [row[0] for row in expected], what)
    for (key, a), (_, b) in zip(got, expected):
        assert math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12), f"{what}: {key!r}: {a}, expected {b}"


def searches(db, what=""):
    content = listed(db)
    for query in ([0, 0, 0], [1, -0.5, 2]):
        expected = nearest(content, query)
        close(rows(db, "SELECT sku, distance FROM t(?, ?)", vector(*query), len(content) + 5), expected, what)
        close(rows(db, "SELECT sku, distance FROM t WHERE e MATCH ? AND k = 7 AND options = ?", vector(*query), WIDE), expected[:7], what)


# -------------------------------------------------------------------------------------------------------------- reading

def test_rows_come_back_with_their_keys(shop):
    for more in ENGINES:
        db = make(shop, more=more)
        for command in (None, "optimize", "rebuild", "drop-cache", "integrity-check"):
            if command:
                db.execute("INSERT INTO t(t) VALUES(?)", (command,))
            searches(db, f"{command}{more}")
        equal(sorted(row[0] for row in rows(db, "SELECT rowid FROM t")), list(range(1, 61)), "rowids are given out in order")
        equal(rows(db, "SELECT typeof(sku) FROM t GROUP BY 1"), [("text",)])


def test_a_key_is_looked_up_without_a_search_and_without_a_scan(shop):
    for more in ENGINES:
        db = make(shop, more=more)
        content = listed(db)
        for id, key, e, price in content[::7]:
            equal(rows(db, "SELECT rowid, sku, rec_vec_json(e), price FROM t WHERE sku = ?", key), [(id, key, one(db, "SELECT rec_vec_json(?)", json.dumps(e)), price)])
        equal(rows(db, "SELECT rowid FROM t WHERE sku = 'nosuch'"), [])
        equal(rows(db, "SELECT rowid FROM t WHERE sku = NULL"), [])
        equal(rows(db, "SELECT rowid FROM t WHERE sku = upper(?)", content[3][1]), [], "BINARY")
        equal(rows(db, "SELECT rowid FROM t WHERE sku = ? COLLATE NOCASE", content[3][1].upper()), [(content[3][0],)], "another collation is SQLite's business")
        wanted = [row[1] for row in content[5:9]]
        same_rows(rows(db, "SELECT sku FROM t WHERE sku IN (SELECT value FROM json_each(?))", json.dumps(wanted + ["nosuch"])), [(key,) for key in wanted])
        same_rows(rows(db, "SELECT sku FROM t WHERE sku IN ('nosuch', ?, ?)", wanted[0], wanted[1]), [(key,) for key in wanted[:2]])
        same_rows(rows(db, "SELECT sku FROM t WHERE sku > 'sku-5' AND price < 30"), [(key,) for _, key, _, price in content if key > "sku-5" and price < 30])
        same_rows(rows(db, "SELECT sku FROM t WHERE sku LIKE 'sku-1%'"), [(key,) for _, key, _, _ in content if key.startswith("sku-1")])
        equal(rows(db, "SELECT max(sku), min(sku), count(*) FROM t"), [(max(row[1] for row in content), min(row[1] for row in content), 60)])
        looked_up, scanned = (rows(db, f"EXPLAIN QUERY PLAN SELECT * FROM t WHERE {condition}")[0][3] for condition in ("sku = 'x'", "price = 5"))
        assert looked_up != scanned and "VIRTUAL TABLE INDEX" in looked_up, (looked_up, scanned)


def test_a_look_up_is_cheap(shop):
    db = shop.connect("shop.db")
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], sku text primary key)")
    db.execute("INSERT INTO t(e, sku) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT '[1,2]', 'k' || i FROM n")
    steps = [0]

    def count():
        steps[0] += 1
    db.set_progress_handler(count, 100)
    for i in range(1, 200):
        equal(rows(db, "SELECT rowid FROM t WHERE sku = ?", f"k{i * 100}"), [(i * 100,)])
    looked_up = steps[0]
    rows(db, "SELECT count(*) FROM t WHERE sku LIKE 'k%'")
    db.set_progress_handler(None, 0)
    assert looked_up * 10 < steps[0] - looked_up, f"200 look-ups took {looked_up} steps, one scan {steps[0] - looked_up}"
    db.execute("CREATE TABLE cart(sku TEXT)")
    db.execute("INSERT INTO cart VALUES('k5'), ('k29999'), ('nosuch'), (NULL)")
    same_rows(rows(db, "SELECT t.rowid FROM cart JOIN t ON t.sku = cart.sku"), [(5,), (29999,)])
    same_rows(rows(db, "SELECT cart.sku, t.rowid FROM cart LEFT JOIN t ON t.sku = cart.sku"), [("k5", 5), ("k29999", 29999), ("nosuch", None), (None, None)])


def test_similar_to_takes_a_key(shop):
    for more in ENGINES:
        db = make(shop, more=more)
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        content = listed(db)
        for id, key, e, _ in content[::9]:
            expected = [row for row in nearest(content, e) if row[0] != key]
            close(rows(db, "SELECT sku, distance FROM t WHERE similar_to = ? AND k = 8 AND options = ?", key, WIDE), expected[:8], f"{key}{more}")
            close(rows(db, "SELECT sku, distance FROM t WHERE similar_to = ? AND k = 99", key), expected, "all but itself")
            close(rows(db, "SELECT sku, distance FROM t(NULL, 5, ?, ?)", WIDE, key), expected[:5], "the function form")
            equal(rows(db, "SELECT DISTINCT similar_to, typeof(similar_to) FROM t WHERE similar_to = ? AND k = 3", key), [(key, "text")], "as it came in")
        equal(rows(db, "SELECT sku FROM t WHERE similar_to = 'nosuch' AND k = 3"), [])
        equal(rows(db, "SELECT sku FROM t WHERE similar_to = NULL AND k = 3"), [])
        equal(rows(db, "SELECT sku FROM t WHERE similar_to = 1 AND k = 3"), [], "1 is the rowid of a row, not the key of one")
        db.execute("CREATE TABLE cart(sku TEXT)")
        db.execute("INSERT INTO cart VALUES(?), (?), ('nosuch')", (content[0][1], content[1][1]))
        pairs = rows(db, "SELECT cart.sku, t.sku FROM cart JOIN t ON t.similar_to = cart.sku AND t.k = 4 AND t.options = ?", WIDE)
        same_rows(pairs, [(key, near) for _, key, e, _ in content[:2] for near, _ in [row for row in nearest(content, e) if row[0] != key][:4]])


def test_exclude_takes_keys(shop):
    for more in ENGINES:
        db = make(shop, more=more)
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        expected = nearest(listed(db), [0, 0, 0])
        keys = [key for key, _ in expected]
        for out in ([], keys[:1], keys[:5] + ["nosuch"], keys[1::2], keys, keys[:2] * 3):
            close(rows(db, "SELECT sku, distance FROM t WHERE e MATCH '[0,0,0]' AND k = 10 AND options = ? AND exclude = ?", WIDE, json.dumps(out)), [row for row in expected if row[0] not in out][:10], f"{out}{more}")
        close(rows(db, "SELECT sku, distance FROM t('[0,0,0]', 3, ?, NULL, json_array(?, ?))", WIDE, keys[0], keys[2]), [expected[1], expected[3], expected[4]])
        near = [row[0] for row in rows(db, "SELECT sku FROM t WHERE similar_to = ? AND k = 9 AND options = ?", keys[0], WIDE)]
        equal([row[0] for row in rows(db, "SELECT sku FROM t WHERE similar_to = ? AND k = 4 AND options = ? AND exclude = json_array(?, ?)", keys[0], WIDE, near[0], near[2])], [near[1], *near[3:6]])
        refused(db, "SELECT sku FROM t WHERE e MATCH '[0,0,0]' AND k = 3 AND exclude = 'x'", says="exclude")
        refused(db, "SELECT sku FROM t WHERE e MATCH '[0,0,0]' AND k = 3 AND exclude = '[[1]]'", says="exclude")
        refused(db, "SELECT sku FROM t WHERE e MATCH '[0,0,0]' AND k = 3 AND exclude = '[null]'", says="exclude")


def test_keys_and_rowids_that_look_alike_are_kept_apart(shop):
    db = shop.connect()
    db.execute(INDEX.format(""))
    for id, key in ((1, "3"), (2, "1"), (3, "2"), (4, "four")):  # each key is the rowid of another row
        db.execute("INSERT INTO t(rowid, e, sku) VALUES(?, ?, ?)", (id, vector(id, 0, 0), key))
    equal(rows(db, "SELECT sku FROM t WHERE similar_to = '1' AND k = 9"), [("3",), ("2",), ("four",)])
    equal(rows(db, "SELECT sku FROM t WHERE e MATCH '[0,0,0]' AND k = 9 AND exclude = '[\"1\"]'"), [("3",), ("2",), ("four",)])
    equal(rows(db, "SELECT rowid FROM t WHERE sku = '1'"), [(2,)])
    equal(rows(db, "SELECT rowid FROM t WHERE sku = 1"), [(2,)], "a column of TEXT affinity")
    equal(rows(db, "SELECT sku FROM t WHERE rowid = 1"), [("3",)])
    equal(rows(db, "SELECT sku FROM t WHERE e MATCH '[0,0,0]' AND k = 9 AND rowid IN (1, 2)"), [("3",), ("1",)])
    db.execute("CREATE TABLE q(id, v)"); db.execute("INSERT INTO q VALUES('x', '[0,0,0]')")
    equal(rows(db, "SELECT rowid FROM rec_search('t', 'q', 'id', 'v', 9)"), [("3",), ("1",), ("2",), ("four",)])


def test_filters_on_the_key_act_inside_the_search(shop):
    for more in ENGINES:
        db = make(shop, more=more)
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        expected = nearest(listed(db), [0, 0, 0])
        far = [key for key, _ in expected[30:40]]
        close(rows(db, "SELECT sku, distance FROM t WHERE e MATCH '[0,0,0]' AND k = 5 AND options = ? AND sku IN (SELECT value FROM json_each(?))", WIDE, json.dumps(far + ["nosuch"])), expected[30:35], f"IN{more}")
        close(rows(db, "SELECT sku, distance FROM t WHERE e MATCH '[0,0,0]' AND k = 5 AND options = ? AND sku IN (?, ?, 'nosuch')", WIDE, far[4], far[1]), [expected[31], expected[34]])
        close(rows(db, "SELECT sku, distance FROM t WHERE e MATCH '[0,0,0]' AND k = 5 AND options = ? AND sku > 'sku-5' AND price > 10", WIDE), [(key, distance) for key, distance in expected if key > "sku-5" and one(db, "SELECT price FROM t WHERE sku = ?", key) > 10][:5])
        close(rows(db, "SELECT sku, distance FROM t WHERE e MATCH '[0,0,0]' AND k = 5 AND options = ? AND sku BETWEEN 'sku-2' AND 'sku-4'", WIDE), [row for row in expected if "sku-2" <= row[0] <= "sku-4"][:5])


def test_joins_by_the_key_in_every_order(shop):
    db = make(shop)
    db.execute("CREATE TABLE products(sku TEXT PRIMARY KEY, name TEXT)")
    db.execute("INSERT INTO products SELECT sku, 'n' || sku FROM t WHERE price % 2")
    expected = [("n" + key, distance) for key, distance in nearest(listed(db), [0, 0, 0])[:20] if one(db, "SELECT 1 FROM products WHERE sku = ?", key)]
    for sql in ("t JOIN products p ON p.sku = t.sku", "products p JOIN t ON p.sku = t.sku", "t CROSS JOIN products p ON p.sku = t.sku"):
        close(rows(db, f"SELECT p.name, t.distance FROM {sql} WHERE t.e MATCH '[0,0,0]' AND t.k = 20 ORDER BY t.rank"), expected, sql)
    equal(one(db, "SELECT count(*) FROM products p WHERE EXISTS (SELECT 1 FROM t WHERE t.e MATCH '[0,0,0]' AND t.k = 20 AND t.sku = p.sku)"), len(expected))


def test_rec_search_speaks_keys(shop):
    for more in ENGINES:
        db = make(shop, more=more)
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        content = listed(db)
        db.execute("CREATE TABLE q(id TEXT, v)")
        db.execute("INSERT INTO q VALUES('p', '[0,0,0]'), ('q', '[1,1,1]'), ('none', NULL)")
        got = rows(db, "SELECT id, rank, rowid, distance, typeof(rowid) FROM rec_search('t', 'q', 'id', 'v', 6, ?)", WIDE)
        expected = [(id, rank, key, "text") for id, query in (("p", [0, 0, 0]), ("q", [1, 1, 1])) for rank, (key, _) in enumerate(nearest(content, query)[:6], 1)]
        equal([(id, rank, key, kind) for id, rank, key, _, kind in got], expected, more)
        each = rows(db, "SELECT id, rowid FROM rec_search('t', 't', 'sku', 'e', 1)")
        equal(len(each), 60)
        equal(sum(id == key for id, key in each) >= 55, True, "everything is nearest to itself, but for twins")
        joined = rows(db, "SELECT s.id, t.price FROM rec_search('t', 'q', 'id', 'v', 2, ?) s JOIN t ON t.sku = s.rowid", WIDE)
        same_rows(joined, [(id, one(db, "SELECT price FROM t WHERE sku = ?", key)) for id, rank, key, _ in expected if rank <= 2])


# -------------------------------------------------------------------------------------------------------- unusual keys

def test_unusual_keys_are_keys_like_any_other(shop):
    for number, more in enumerate(ENGINES):
        db = shop.connect(f"{number}.db")
        db.execute(INDEX.format(more))
        for i, key in enumerate(UNUSUAL):
            db.execute("INSERT INTO t(e, sku, price) VALUES(?, ?, ?)", (vector(i + i * i / 256, 0, 0), key, i))  # no two are equally far from a third
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        for connection in (db, shop.connect(f"{number}.db")):
            equal([row[0] for row in rows(connection, "SELECT sku FROM t('[0,0,0]', 100)")], UNUSUAL, more)
            for i, key in enumerate(UNUSUAL):
                equal(rows(connection, "SELECT sku, length(CAST(sku AS BLOB)), price FROM t WHERE sku = ?", key), [(key, len(key.encode()), i)], repr(key))
                neighbours = [UNUSUAL[j] for j in sorted((j for j in range(len(UNUSUAL)) if j != i), key=lambda j: abs(i + i * i / 256 - j - j * j / 256))][:3]
                equal([row[0] for row in rows(connection, "SELECT sku FROM t WHERE similar_to = ? AND k = 3 AND options = ?", key, WIDE)], neighbours, f"similar_to {key!r}")
                equal([row[0] for row in rows(connection, "SELECT sku FROM t WHERE e MATCH ? AND k = 3 AND options = ? AND exclude = ?", vector(i + i * i / 256, 0, 0), WIDE, json.dumps([key]))], neighbours, f"exclude {key!r}")
                equal([row[0] for row in rows(connection, "SELECT sku FROM t WHERE e MATCH ? AND k = 3 AND options = ? AND exclude = ?", vector(i + i * i / 256, 0, 0), WIDE, json.dumps([key], ensure_ascii=False))], neighbours, f"exclude {key!r}")
            equal(sorted(row[2] for row in rows(connection, "SELECT id, rank, rowid FROM rec_search('t', 't', 'sku', 'e', 1) WHERE id = rowid")), sorted(UNUSUAL))
        refused(db, "INSERT INTO t(e, sku) VALUES('[1,1,1]', ?)", "a\0b", says="a")
        for i, key in enumerate(UNUSUAL):
            db.execute("UPDATE t SET sku = ? WHERE sku = ?", (key + "!", key))
            equal(one(db, "SELECT sku FROM t(?, 1, ?)", vector(i + i * i / 256, 0, 0), WIDE), key + "!")
            db.execute("DELETE FROM t WHERE sku = ?", (key + "!",))
            equal(one(db, "SELECT count(*) FROM t"), len(UNUSUAL) - i - 1)


def test_keys_that_are_no_text(shop):
    db = shop.connect()
    db.execute(INDEX.format(""))
    twin = shop.connect()
    twin.execute("CREATE TABLE t(rowid INTEGER PRIMARY KEY, e, sku TEXT UNIQUE NOT NULL)")
    for key in (17, -5, 2.5, 1e300, 2 ** 62, 3.0):  # TEXT affinity makes texts of numbers, as in a table
        for connection in (db, twin):
            connection.execute("INSERT INTO t(e, sku) VALUES('[1,1,1]', ?)", (key,))
    equal(rows(db, "SELECT rowid, sku, typeof(sku) FROM t ORDER BY rowid"), rows(twin, "SELECT rowid, sku, typeof(sku) FROM t ORDER BY rowid"))
    for connection in (db, twin):
        refused(connection, "INSERT INTO t(e, sku) VALUES('[1,1,1]', 17)", says="")
        refused(connection, "INSERT INTO t(e, sku) VALUES('[1,1,1]', '17')", says="")
    equal(rows(db, "SELECT rowid FROM t WHERE sku = 17"), [(1,)])
    equal(rows(db, "SELECT rowid FROM t WHERE sku = '2.5'"), [(3,)])
    refused(db, "INSERT INTO t(e, sku) VALUES('[1,1,1]', x'6162')", says="sku")  # a BLOB would be equal to no text


def test_a_key_must_be_there_and_be_unique(shop):
    for transaction in (False, True):
        db = make(shop, n=5)
        before = listed(db), rows(db, "SELECT count(*) FROM t_changes")
        key = before[0][2][1]
        if transaction:
            db.execute("BEGIN")
        for sql in ("INSERT INTO t(e) VALUES('[1,1,1]')", "INSERT INTO t(e, sku) VALUES('[1,1,1]', NULL)", "INSERT OR REPLACE INTO t(e, sku) VALUES('[1,1,1]', NULL)", "UPDATE t SET sku = NULL WHERE rowid = 2", "UPDATE OR REPLACE t SET sku = NULL WHERE rowid = 2"):
            refused(db, sql, says=("t", "sku"))
        refused(db, "INSERT INTO t(e, sku) VALUES('[1,1,1]', ?)", key, says=("t", "sku", key))
        refused(db, "INSERT INTO t(rowid, e, sku) VALUES(3, '[1,1,1]', 'new')", says="rowid 3 exists")
        refused(db, "UPDATE t SET sku = ? WHERE rowid = 2", key, says=("sku", key))
        refused(db, "UPDATE t SET sku = 'same'", says=("sku", "same"))
        refused(db, "UPDATE t SET rowid = 4 WHERE rowid = 2", says="rowid 4 exists")
        refused(db, "INSERT INTO t(e, sku) VALUES('[1,1]', 'new')", says="2 elements")
        refused(db, "INSERT INTO t(e, sku) VALUES(NULL, 'new')", says="e is NULL")
        refused(db, "INSERT INTO t(e, sku) VALUES('[1,1,1]', 'x'), ('[1,1,1]', 'x')", says=("sku", "x"))
        refused(db, "INSERT INTO t(e, sku) VALUES('[1,1,1]', 'y') ON CONFLICT DO NOTHING", says="UPSERT")
        equal(db.in_transaction, transaction)
        if transaction:
            db.execute("ROLLBACK")  # what a failed statement of several rows leaves is SQLite's: see the reference
        equal((listed(db), rows(db, "SELECT count(*) FROM t_changes")), before)


# ------------------------------------------------------------------------------------------------- writes against a twin

def test_random_writes_do_what_they_do_to_a_table(shop):
    for number, more in enumerate(ENGINES):
        db = shop.connect(f"{number}.db")
        db.execute(INDEX.format(more))
        twin = shop.connect()
        twin.execute("CREATE TABLE t(rowid INTEGER PRIMARY KEY, e TEXT NOT NULL, sku TEXT NOT NULL UNIQUE, price REAL)")
        draw = random.Random(100 + number)
        depth = 0
        for step in range(900):
            id, key, other, price = draw.randrange(1, 40), f"k{draw.randrange(40)}", f"k{draw.randrange(40)}", draw.randrange(100)
            v = vector(*(draw.randrange(-9, 10) for _ in range(3)))
            sql, arguments = draw.choice((
                ("INSERT INTO t(rowid, e, sku, price) VALUES(?, ?, ?, ?)", (id, v, key, price)), ("INSERT OR REPLACE INTO t(rowid, e, sku, price) VALUES(?, ?, ?, ?)", (id, v, key, price)), ("INSERT OR IGNORE INTO t(rowid, e, sku, price) VALUES(?, ?, ?, ?)", (id, v, key, price)),
                ("INSERT INTO t(e, sku, price) VALUES(?, ?, ?)", (v, key, price)), ("INSERT OR REPLACE INTO t(e, sku, price) VALUES(?, ?, ?)", (v, key, price)), ("INSERT OR IGNORE INTO t(e, sku, price) VALUES(?, ?, ?)", (v, key, price)),
                ("UPDATE t SET sku = ? WHERE sku = ?", (key, other)), ("UPDATE OR REPLACE t SET sku = ? WHERE sku = ?", (key, other)), ("UPDATE OR IGNORE t SET sku = ? WHERE sku = ?", (key, other)),
                ("UPDATE t SET rowid = ? WHERE sku = ?", (id, key)), ("UPDATE OR REPLACE t SET rowid = ?, sku = ? WHERE sku = ?", (id, key, other)), ("UPDATE OR IGNORE t SET rowid = ?, e = ? WHERE sku = ?", (id, v, key)),
                ("UPDATE t SET e = ?, price = ? WHERE sku = ?", (v, price, key)), ("UPDATE t SET price = ? WHERE sku IN (?, ?)", (price, key, other)), ("UPDATE t SET sku = sku WHERE sku = ?", (key,)),
                ("DELETE FROM t WHERE sku = ?", (key,)), ("DELETE FROM t WHERE rowid = ?", (id,)),
                ("SAVEPOINT s", ()), ("ROLLBACK TO s", ()), ("RELEASE s", ())))
            if sql.startswith(("ROLLBACK", "RELEASE")) and not depth:
                continue
            depth += sql.startswith("SAVEPOINT") - sql.startswith("RELEASE")
            outcome = []
            for connection in (db, twin):
                try:
                    connection.execute(sql, arguments)
                    outcome.append("done")
                except sqlite3.Error as error:
                    outcome.append("refused")
                    assert "t" in str(error)
            what = f"step {step}{more}: {sql} {arguments}"
            equal(outcome[0], outcome[1], what)
            equal(rows(db, "SELECT rowid, sku, rec_vec_json(e), price FROM t"), [(a, b, one(db, "SELECT rec_vec_json(?)", c), d) for a, b, c, d in rows(twin, "SELECT rowid, sku, e, price FROM t ORDER BY rowid")], what)
            if step % 25 == 0:
                searches(db, what)
            if step % 300 == 250 and not depth:
                db.execute("INSERT INTO t(t) VALUES('optimize')")
                db.execute("INSERT INTO t(t) VALUES('integrity-check')")
        while depth:
            db.execute("RELEASE s")
            depth -= 1
        db.execute("INSERT INTO t(t) VALUES('integrity-check')")
        searches(shop.connect(f"{number}.db"), "a new connection")


def test_replace_and_ignore_by_the_key_and_by_the_rowid(shop):
    for more in ENGINES:
        db = shop.connect()
        db.execute(INDEX.format(more))
        for id, key in ((1, "a"), (2, "b"), (3, "c"), (4, "d")):
            db.execute("INSERT INTO t(rowid, e, sku, price) VALUES(?, ?, ?, ?)", (id, vector(id, 0, 0), key, id))
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        searches(db)
        content = lambda: [(id, key, e[0], price) for id, key, e, price in listed(db)]
        before = content()
        db.execute("INSERT OR IGNORE INTO t(e, sku, price) VALUES('[9,0,0]', 'b', 9)")
        db.execute("INSERT OR IGNORE INTO t(rowid, e, sku, price) VALUES(3, '[9,0,0]', 'new', 9)")
        equal(content(), before, "IGNORE changes nothing")
        equal(one(db, "SELECT count(*) FROM t('[9,0,0]', 9)"), 4)
        db.execute("INSERT OR REPLACE INTO t(rowid, e, sku, price) VALUES(2, '[20,0,0]', 'b', 20)")
        equal(content(), [(1, "a", 1, 1), (2, "b", 20, 20), (3, "c", 3, 3), (4, "d", 4, 4)], "the same row")
        db.execute("INSERT OR REPLACE INTO t(rowid, e, sku, price) VALUES(2, '[21,0,0]', 'n', 21)")
        equal(content(), [(1, "a", 1, 1), (2, "n", 21, 21), (3, "c", 3, 3), (4, "d", 4, 4)], "by the rowid: key b has gone")
        db.execute("INSERT OR REPLACE INTO t(rowid, e, sku, price) VALUES(9, '[22,0,0]', 'c', 22)")
        equal(content(), [(1, "a", 1, 1), (2, "n", 21, 21), (4, "d", 4, 4), (9, "c", 22, 22)], "by the key: row 3 has gone")
        db.execute("INSERT OR REPLACE INTO t(rowid, e, sku, price) VALUES(1, '[23,0,0]', 'd', 23)")
        equal(content(), [(1, "d", 23, 23), (2, "n", 21, 21), (9, "c", 22, 22)], "by both: rows 1 and 4 have gone")
        searches(db, more)
        for gone in ("a", "b"):
            equal(rows(db, "SELECT sku FROM t WHERE sku = ?", gone), [])
            equal(rows(db, "SELECT sku FROM t WHERE similar_to = ? AND k = 2", gone), [])
            db.execute("INSERT INTO t(e, sku) VALUES('[0,0,0]', ?)", (gone,))
        db.execute("INSERT INTO t(t) VALUES('integrity-check')")
        searches(db, more)


def test_a_change_of_the_key_alone_moves_no_vector(shop):
    db = make(shop, more=", index=HNSW32", name="shop.db")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    other = shop.connect("shop.db")
    searches(other)
    first = nearest(listed(db), [0, 0, 0])[0][0]
    db.execute("UPDATE t SET sku = 'renamed' WHERE sku = ?", (first,))
    for connection in (db, other, shop.connect("shop.db")):
        equal(one(connection, "SELECT sku FROM t('[0,0,0]', 1)"), "renamed")
        equal(rows(connection, "SELECT sku FROM t WHERE sku = ?", first), [])
        equal(rows(connection, "SELECT sku FROM t WHERE similar_to = ? AND k = 1", first), [])
        searches(connection)
    db.execute("UPDATE t SET sku = CASE sku WHEN 'renamed' THEN 'x' ELSE 'p' || sku END")
    searches(other, "all keys changed")


def test_last_insert_rowid_and_returning(shop):
    db = make(shop, n=5)
    equal(db.execute("INSERT INTO t(e, sku) VALUES('[0,0,0]', 'new')").lastrowid, 6)
    equal(one(db, "SELECT last_insert_rowid()"), 6)
    equal(rows(db, "SELECT rowid FROM t WHERE sku = 'new'"), [(6,)])
    equal(rows(db, "INSERT INTO t(e, sku) VALUES('[0,0,0]', 'newer') RETURNING sku"), [("newer",)])
    db.execute("INSERT INTO t(rowid, e, sku) VALUES(9223372036854775807, '[0,0,0]', 'last')")
    refused(db, "INSERT INTO t(e, sku) VALUES('[0,0,0]', 'after the last')", says="no rowid is left")
    equal(one(db, "SELECT count(*) FROM t WHERE sku = 'after the last'"), 0)
    searches(db)


def test_rollbacks_and_other_connections(shop):
    a = make(shop, name="shop.db")
    a.execute("PRAGMA journal_mode=WAL")
    b = shop.connect("shop.db")
    before = rows(b, "SELECT sku, distance FROM t('[0,0,0]', 10)")
    a.execute("BEGIN")
    a.execute("UPDATE t SET sku = 'x' || sku")
    a.execute("INSERT INTO t(e, sku) VALUES('[0,0,0]', 'mine')")
    searches(a, "inside")
    equal(rows(b, "SELECT sku, distance FROM t('[0,0,0]', 10)"), before, "not committed")
    a.execute("SAVEPOINT s"); a.execute("DELETE FROM t WHERE sku = 'mine'"); searches(a, "deleted"); a.execute("ROLLBACK TO s")
    equal(one(a, "SELECT count(*) FROM t WHERE sku = 'mine'"), 1)
    a.execute("ROLLBACK")
    equal(rows(a, "SELECT sku, distance FROM t('[0,0,0]', 10)"), before)
    a.execute("INSERT INTO t(e, sku) VALUES('[0,0,0]', 'mine')")  # the same rowid as the one that was rolled back
    searches(a); searches(b, "committed")
    equal(one(b, "SELECT count(*) FROM t WHERE sku = 'mine'"), 1)


def test_files(shop):
    db = make(shop, more=", index=HNSW32", name="shop.db")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    expected = rows(db, "SELECT sku, distance FROM t('[0,0,0]', 60)")
    db.execute("DELETE FROM t WHERE rowid % 2"); db.execute("VACUUM")
    searches(db, "VACUUM")
    db.execute("ALTER TABLE t RENAME TO u"); db.execute("ALTER TABLE u RENAME TO t")
    searches(db, "renamed")
    db.execute("VACUUM INTO ?", (shop.path("copy.db"),))
    searches(shop.connect("copy.db"), "VACUUM INTO")
    dump = subprocess.run(["sqlite3", "-init", "/dev/null", shop.path(), ".dump"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["sqlite3", "-init", "/dev/null", "-bail", shop.path("again.db")], input=dump, check=True, stdout=subprocess.DEVNULL)
    again = shop.connect("again.db")
    searches(again, "a dump")
    refused(again, "INSERT INTO t(e, sku) VALUES('[0,0,0]', ?)", listed(again)[0][1], says="sku")
    equal([row for row in expected if row[0] in {row[1] for row in listed(db)}], rows(again, "SELECT sku, distance FROM t('[0,0,0]', 60)"))
    db.execute("DROP TABLE t")
    equal(rows(db, "SELECT name FROM sqlite_schema"), [])


def test_damage_to_the_keys_is_found(shop):
    for number, sql in enumerate(("UPDATE t_{} SET {} = 'sku-838' WHERE id = 1", "UPDATE t_{} SET {} = NULL WHERE id = 1", "DELETE FROM t_{} WHERE id = 1", "UPDATE t_{} SET {} = x'00' WHERE id = 1")):
        db = make(shop, name=f"{number}.db")
        searches(db)
        columns = [(table[2:], column) for table, in rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 't!_%' ESCAPE '!' AND type = 'table'") for column in [row[1] for row in rows(db, f"PRAGMA table_info({table})")]
                   if one(db, f"SELECT count(*) FROM {table} WHERE \"{column}\" = 'sku-919'")]
        equal(len(columns), 1, "the keys are kept once")
        try:
            db.execute(sql.format(*columns[0]))
        except sqlite3.Error as error:
            assert "constraint" in str(error), error  # a constraint of the shadow table forbids this damage
            continue
        if "DELETE" in sql:
            refused(db, "INSERT INTO t(t) VALUES('integrity-check')", says="t")
        for read in ("SELECT rowid, sku FROM t('[1,1,1]', 100)", "SELECT * FROM t", "SELECT rowid FROM t WHERE similar_to = 'sku-919' AND k = 3", "SELECT * FROM rec_search('t', 't', 'sku', 'e', 2)", "SELECT * FROM t WHERE sku = 'sku-919'"):
            try:
                rows(db, read)  # an answer or an error, and no crash
            except Exception as error:
                assert str(error), read


def test_wrong_arguments(shop):
    db = shop.connect()
    before = rows(db, "SELECT * FROM sqlite_schema")
    for arguments, says in (("e float[3], sku text primary key, other text primary key", ("other", "primary key")), ("e float[3] primary key", "primary key"), ("e float[3], id real primary key", ("id", "primary key")),
                            ("e float[3], sku text primary", "sku"), ("e float[3], sku text unique", "sku"), ("e float[3], k text primary key", "'k'"), ("e float[3], x text primary key", "'x'"), ("e float[3], e text primary key", "'e'"), ("sku text primary key", "no vector column")):
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_index({arguments})", says=says)
        equal(rows(db, "SELECT * FROM sqlite_schema"), before)
    for number, spelling in enumerate(("sku TEXT PRIMARY KEY", "sku   text   primary\n key", '"sku" Text Primary Key', "[sku] text primary key", "'sku' text primary key")):
        db.execute(f"CREATE VIRTUAL TABLE i{number} USING rec_index(e float[1], {spelling})")
        db.execute(f"INSERT INTO i{number}(e, sku) VALUES('[1]', 'a')")
        refused(db, f"INSERT INTO i{number}(e, sku) VALUES('[1]', 'a')", says="sku")


def test_a_key_whose_name_needs_quotes(shop):
    db = shop.connect("shop.db")
    db.execute('''CREATE VIRTUAL TABLE t USING rec_index(e float[1], "the 'key' ""of it""" text primary key, "select" text, metric=l2)''')
    db.execute("INSERT INTO t VALUES('[1]', 'a', 'x'), ('[2]', 'b', 'y')")
    equal(rows(db, '''SELECT "the 'key' ""of it""" FROM t WHERE similar_to = 'a' AND k = 3'''), [("b",)])
    equal(rows(db, '''SELECT "select" FROM t WHERE "the 'key' ""of it""" = ?''', "b"), [("y",)])
    db.execute('''UPDATE t SET "the 'key' ""of it""" = 'c' WHERE rowid = 2''')
    equal(rows(shop.connect("shop.db"), '''SELECT "the 'key' ""of it""" FROM t('[2]', 1)'''), [("c",)])
