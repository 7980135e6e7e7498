"""A rec_index through transactions, schema changes, other connections, other processes, damage."""
import os, random, struct, subprocess, sys

from support import EXTENSION, equal, one, refused, rows, vector

QUERY = vector(0.5, 0.5, 0.5)


def make(db, n=200, more="", seed=1):
    draw = random.Random(seed)
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[3], kind text{more})")
    db.execute("BEGIN")
    for i in range(1, n + 1):
        db.execute("INSERT INTO t(rowid, e, kind) VALUES(?, ?, ?)", (i, vector(*(draw.random() for _ in range(3))), "ab"[i % 2]))
    db.execute("COMMIT")


def found(db, k=10, query=QUERY):
    return [row[0] for row in db.execute("SELECT rowid FROM t(?, ?)", (query, k))]


def brute(db, k=10, query=QUERY):
    """The same by the scalar function over a plain scan."""
    return [row[0] for row in db.execute("SELECT rowid FROM (SELECT rowid, rec_cosine(e, ?) AS s FROM t) ORDER BY s DESC, rowid LIMIT ?", (query, k))]


def test_random_changes_keep_the_search_exact(shop):
    for more in ("", ", index=HNSW8"):
        db = shop.connect("changes" + str(len(more)))
        make(db, more=more)
        draw = random.Random(2)
        if more:
            db.execute("INSERT INTO t(t) VALUES('optimize')")
        for step in range(300):
            id, v = draw.randrange(1, 260), vector(*(draw.random() for _ in range(3)))
            kind = step % 5
            if kind == 0:
                db.execute("DELETE FROM t WHERE rowid = ?", (id,))
            elif kind == 1:
                db.execute("INSERT OR REPLACE INTO t(rowid, e, kind) VALUES(?, ?, 'r')", (id, v))
            elif kind == 2:
                db.execute("INSERT OR IGNORE INTO t(rowid, e) VALUES(?, ?)", (id, v))
            elif kind == 3:
                db.execute("UPDATE t SET e = ? WHERE rowid = ?", (v, id))
            else:
                db.execute("INSERT INTO t(e) VALUES(?)", (v,))
            if step % 10 == 0 and not more:
                equal(found(db), brute(db), f"step {step}")
            if step == 150 and more:
                db.execute("INSERT INTO t(t) VALUES('rebuild')")
        k = one(db, "SELECT count(*) FROM t")
        equal(found(db, k), brute(db, k))
        db.execute("INSERT INTO t(t) VALUES('integrity-check')")


def test_own_changes_are_seen_and_rollbacks_leave_no_trace(shop):
    db = shop.connect("shop.db")
    make(db)
    before = found(db)
    db.execute("BEGIN")
    db.execute("INSERT INTO t(rowid, e) VALUES(1000, ?)", (QUERY,))
    equal(found(db, 1), [1000])
    db.execute("SAVEPOINT s")
    db.execute("DELETE FROM t WHERE rowid = 1000")
    equal(found(db), before)
    db.execute("ROLLBACK TO s")
    equal(found(db, 1), [1000], "a savepoint's rollback")
    db.execute("ROLLBACK")
    equal(found(db), before, "a rollback")
    db.execute("BEGIN"); db.execute("INSERT INTO t(rowid, e) VALUES(1001, ?)", (QUERY,)); db.execute("ROLLBACK")
    db.execute("INSERT INTO t(rowid, e) VALUES(1002, ?)", (vector(0.5, 0.5, 0.51),))
    equal(1001 in found(db), False, "the same change number with other content")
    equal(1002 in found(db), True)


def test_a_second_connection_sees_commits_and_nothing_else(shop):
    a, b = shop.connect("shop.db"), None
    a.execute("PRAGMA journal_mode=WAL")
    make(a)
    b = shop.connect("shop.db")
    before = found(b)
    a.execute("BEGIN")
    a.execute("INSERT INTO t(rowid, e) VALUES(1000, ?)", (QUERY,))
    equal(found(b), before)
    a.execute("COMMIT")
    equal(found(b, 1), [1000])
    b.execute("DELETE FROM t WHERE rowid = 1000")
    equal(found(a), before)


def test_another_process_is_picked_up(shop):
    db = shop.connect("shop.db")
    make(db)
    found(db)
    code = ("import sqlite3,sys\ndb=sqlite3.connect(sys.argv[1]);db.enable_load_extension(True);db.load_extension(sys.argv[2])\n"
            "db.execute('INSERT INTO t(rowid,e) VALUES(1000,?)',(sys.argv[3],));db.commit()")
    subprocess.run([sys.executable, "-c", code, shop.path(), EXTENSION, QUERY], check=True)
    equal(found(db, 1), [1000])


def test_reopen_vacuum_rename_and_schema_changes_lose_nothing(shop):
    db = shop.connect("shop.db")
    make(db, more=", index=HNSW8")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    expected = brute(db, 200)
    equal(found(db, 200), expected)
    db.execute("VACUUM")
    equal(found(db, 200), expected, "VACUUM")
    db.execute("CREATE TABLE other(x)")
    equal(found(db, 200), expected, "DDL elsewhere")
    for taken in ("k", "rank", "E"):
        refused(db, f"ALTER TABLE t RENAME TO {taken}", says="one of its columns")
    db.execute("ALTER TABLE t RENAME TO u")
    db.execute("ALTER TABLE u RENAME TO t")
    equal(found(db, 200), expected, "renames")
    db.close()
    db = shop.connect("shop.db")
    equal(found(db, 200), expected, "reopening")
    db.execute("VACUUM INTO ?", (shop.path("copy.db"),))
    equal(found(shop.connect("copy.db"), 200), expected, "VACUUM INTO")
    db.execute("DROP TABLE t")
    equal(rows(db, "SELECT name FROM sqlite_schema"), [("other",)], "DROP leaves nothing")


def test_last_insert_rowid_is_the_rows(shop):
    db = shop.connect()
    make(db, n=5)
    cursor = db.execute("INSERT INTO t(e) VALUES(?)", (QUERY,))
    equal(cursor.lastrowid, 6)
    db.execute("UPDATE t SET kind = 'x' WHERE rowid = 2"); db.execute("DELETE FROM t WHERE rowid = 3")
    equal(one(db, "SELECT last_insert_rowid()"), 6)


def test_attached_databases_have_indexes_of_their_own(shop):
    db = shop.connect("shop.db")
    make(db)
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE VIRTUAL TABLE aux.t USING rec_index(e float[3])")
    db.execute("INSERT INTO aux.t(rowid, e) VALUES(77, ?)", (QUERY,))
    equal(rows(db, "SELECT rowid FROM aux.t(?, 5)", QUERY), [(77,)])
    db.execute("CREATE TABLE q(id, v)"); db.execute("INSERT INTO q VALUES(1, ?)", (QUERY,))
    equal(rows(db, "SELECT rowid FROM rec_search('aux.t', 'q', 'id', 'v', 5)"), [(77,)])


def test_damage_is_found_and_named(shop):
    db = shop.connect("shop.db")
    make(db, more=", index=HNSW8")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    good = one(db, "SELECT data FROM t_segment")
    draw = random.Random(4)
    for _ in range(50):
        bad = bytearray(good)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        db.execute("UPDATE t_segment SET data = ?", (bytes(bad),))
        refused(db, "INSERT INTO t(t) VALUES('integrity-check')", says=("stored index", "rebuild"))
    db.execute("INSERT INTO t(t) VALUES('rebuild')")
    db.execute("INSERT INTO t(t) VALUES('integrity-check')")
    db.execute("UPDATE t_vectors SET vector = x'0000' WHERE id = 7")
    refused(db, "INSERT INTO t(t) VALUES('integrity-check')", says=("vector 7", "3 elements"))
    db.execute("DELETE FROM t_changes")
    refused(db, "SELECT * FROM t(?, 3)", QUERY, says="log of changes is damaged")


def test_a_damaged_graph_with_a_right_checksum_never_crashes(shop):
    import hashlib
    db = shop.connect("shop.db")
    make(db, n=80, more=", index=HNSW8")
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    good = one(db, "SELECT data FROM t_segment")[:-32]
    draw = random.Random(5)
    for _ in range(200):
        bad = bytearray(good)
        for _ in range(draw.randrange(1, 4)):
            bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        db.execute("UPDATE t_segment SET data = ?", (bytes(bad) + hashlib.sha256(bytes(bad)).digest(),))
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        try:
            found(db)
        except Exception as error:
            assert "index" in str(error), error


def test_bad_vectors_change_nothing(shop):
    for transaction in (False, True):
        db = shop.connect()
        make(db, n=10)
        before = rows(db, "SELECT rowid, hex(e), kind FROM t"), rows(db, "SELECT count(*) FROM t_changes")
        if transaction:
            db.execute("BEGIN")
        nan, infinity = struct.pack("<3f", 1, float("nan"), 1), struct.pack("<3f", float("inf"), 1, 1)
        refused(db, "INSERT INTO t(e) VALUES(?)", nan, says="element 2 is NaN or infinite")
        refused(db, "INSERT INTO t(e) VALUES(?)", infinity, says="element 1 is NaN or infinite")
        refused(db, "INSERT INTO t(e) VALUES('[1,2]')", says="e has 2 elements (3)")
        refused(db, "INSERT INTO t(e) VALUES(NULL)", says="e is NULL")
        refused(db, "UPDATE t SET e = NULL WHERE rowid = 3", says="e is NULL")
        refused(db, "UPDATE t SET e = '[1]' WHERE rowid = 3", says="e has 1 elements (3)")
        refused(db, "UPDATE t SET rowid = 4 WHERE rowid = 3", says="rowid 4 exists")
        refused(db, "INSERT INTO t(rowid, e) VALUES(3, '[1,2,3]')", says="rowid 3 exists")
        refused(db, "SELECT * FROM t WHERE e MATCH ? AND k = 3", nan, says="NaN")
        refused(db, "INSERT INTO t(e) VALUES('[1,2,3]') ON CONFLICT DO NOTHING", says="UPSERT")
        equal((rows(db, "SELECT rowid, hex(e), kind FROM t"), rows(db, "SELECT count(*) FROM t_changes")), before)
