"""Forks of a process that has used the extension, and processes that write models and indexes in turn."""
import os, signal, sqlite3, subprocess, sys, time

from support import EXTENSION, start, equal, make_events, make_model, one, rows, vector

def in_child(work):
    """True where work() was true in a forked child; a child that hangs is killed and counts as false."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def test_a_forked_child_queries_trains_and_builds(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db, users=200, items=100)
    make_model(db, algorithm="ials", more=", threads=2, factors=16")
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], index=HNSW8)")
    db.executemany("INSERT INTO t(e) VALUES(?)", [(vector(i, i * i),) for i in range(200)])
    db.execute("INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":2}')")  # threads have been at work before the fork
    questions = ("SELECT item, score, because FROM m WHERE user = 7 AND k = 3", "SELECT user, item FROM m WHERE k = 2", "SELECT rowid, score FROM t('[1,1]', 3)", "SELECT item FROM m WHERE similar_to = 3 AND k = 2")
    expected = [rows(db, question) for question in questions]
    sha = one(db, "SELECT sha256 FROM rec_versions")
    db.close()

    def child():
        mine = shop.connect("shop.db")
        if [rows(mine, question) for question in questions] != expected:
            return False
        mine.execute("INSERT INTO m(m, arg) VALUES('train', '{\"threads\":2}')")
        mine.execute("INSERT INTO t(e) VALUES('[-1,-1]')")
        mine.execute("INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":1}')")
        return rows(mine, "SELECT DISTINCT sha256 FROM rec_versions") == [(sha,)] and rows(mine, questions[0]) == expected[0]

    for _ in range(4):
        assert in_child(child)
    db = shop.connect("shop.db")
    equal(one(db, "SELECT count(*) FROM rec_versions"), 5)
    equal(one(db, "SELECT count(*) FROM t"), 204)


def test_two_processes_train_in_turn_and_each_sees_the_others_version(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db)
    make_model(db)
    other = start(shop, """
for line in sys.stdin:
    db.execute("INSERT INTO m(m) VALUES('train')")
    print(db.execute("SELECT version FROM m(7, 1)").fetchone()[0], flush=True)
""")
    for version in range(2, 12, 2):
        other.stdin.write("go\n")
        other.stdin.flush()
        equal(int(other.stdout.readline()), version)
        equal(one(db, "SELECT version FROM m(7, 1)"), version, "the other process's commit")
        db.execute("INSERT INTO m(m) VALUES('train')")
        equal(one(db, "SELECT version FROM m(7, 1)"), version + 1)
    other.stdin.close()
    equal(other.wait(), 0)


def test_an_index_written_by_two_processes_is_the_sum_of_both(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], metric=l2, index=HNSW8)")
    code = """
for i in range({first}, {first} + 400, 2):
    db.execute("INSERT INTO t(rowid, e) VALUES(?, ?)", (i, f"[{{i % 20}},{{i // 20}}]"))
    if i % 50 == {first}: db.execute("INSERT INTO t(t) VALUES('optimize')")
    if i % 3 == 0: db.execute("DELETE FROM t WHERE rowid = ?", (i,))
    found = db.execute("SELECT rowid, distance FROM t(?, 1)", (f"[{{i % 20}},{{i // 20}}]",)).fetchone()
    assert i % 3 == 0 or found == (i, 0), (i, found)
"""
    for process in [start(shop, code.format(first=first)) for first in (0, 1)]:
        equal(process.wait(), 0)
    equal(one(db, "SELECT count(*) FROM t"), 400 - 134)
    for i in range(400):
        equal(rows(db, "SELECT rowid FROM t(?, 1) WHERE distance = 0", f"[{i % 20},{i // 20}]"), [] if i % 3 == 0 else [(i,)])
    db.execute("INSERT INTO t(t) VALUES('integrity-check')")


def test_kill_9_during_a_write_loses_nothing_that_was_committed(shop):
    for mode in ("WAL", "DELETE"):
        name = f"{mode}.db"
        db = shop.connect(name)
        db.execute(f"PRAGMA journal_mode={mode}")
        make_events(db)
        make_model(db)
        db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text, index=HNSW8)")
        db.execute("INSERT INTO t(rowid, e) VALUES(1, '[0,1]')")
        writer = start(shop, """
print("go", flush=True)
i = 0
while True:
    i += 1
    db.execute("BEGIN")
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("INSERT INTO t(e, kind) VALUES(?, 'x')", (f"[{i},1]",))
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.execute("COMMIT")
    print(i, flush=True)
""", name)
        writer.stdout.readline()
        committed = [int(writer.stdout.readline()) for _ in range(10)][-1]
        writer.kill()
        writer.wait()
        committed = int((writer.stdout.read().split() or [committed])[-1])
        equal(one(db, "PRAGMA integrity_check"), "ok")
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")
        db.execute("INSERT INTO t(t) VALUES('integrity-check')")
        trained, stored = one(db, "SELECT version FROM m(7, 1)") - 1, one(db, "SELECT count(*) FROM t") - 1
        assert trained == stored and committed <= stored <= committed + 1, (mode, trained, stored, committed)


def test_orders_are_committed_while_rec_train_runs_elsewhere(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA busy_timeout=0")  # SQLITE_BUSY would be an error at once
    make_events(db, users=500, items=300)
    make_model(db, algorithm="ials", more=", factors=16, sweeps=2")
    trainer = start(shop, """
print("go", flush=True)
print(len(db.execute("SELECT rec_train('m', ?)", ('{"sweeps":60,"factors":64}',)).fetchone()[0]), flush=True)
""")
    trainer.stdout.readline()
    written = 0
    while trainer.poll() is None:
        db.execute("INSERT INTO events VALUES(1, 2, 1, 2000)")
        written += 1
        time.sleep(0.01)
    equal(trainer.wait(), 0)
    assert int(trainer.stdout.read()) > 1000 and written > 3, written


def test_a_read_only_connection_and_a_read_only_file_answer_the_same(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db)
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2])")
    db.execute("INSERT INTO t(e) VALUES('[1,1]'), ('[1,2]')")
    questions = ("SELECT item, score, because FROM m(7, 5)", "SELECT * FROM m WHERE k = 2", "SELECT rowid, score FROM t('[1,1]', 5)", "SELECT * FROM rec_models", "SELECT length(rec_train('m'))")
    expected = [rows(db, question) for question in questions]
    db.execute("PRAGMA query_only=1")
    equal([rows(db, question) for question in questions], expected)
    db.close()
    for uri in (f"file:{shop.path()}?mode=ro", f"file:{shop.path()}?immutable=1"):
        db = sqlite3.connect(uri, uri=True, isolation_level=None)
        db.enable_load_extension(True)
        db.load_extension(EXTENSION)
        equal([rows(db, question) for question in questions], expected, uri)
        try:
            db.execute("INSERT INTO m(m) VALUES('train')")
            raise AssertionError("a read-only database was written")
        except sqlite3.OperationalError as error:
            assert "readonly" in str(error), error
