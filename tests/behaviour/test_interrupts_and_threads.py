"""Interrupts, cursors that are open while things change, connections of several threads."""
import random, threading, time

from support import equal, make_events, make_model, one, refused, rows, vector


def busy_shop(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db, users=500, items=300)
    make_model(db, algorithm="ials", more=", factors=16, sweeps=2")
    return db


def interrupted(db, sql, *arguments):
    """Run it, interrupt it when a job of ours is under way, and give the seconds from there to its end."""
    asked = []

    def stop():
        until = time.monotonic() + 20
        while not rows(watcher, "SELECT 1 FROM rec_progress WHERE phase <> 'starting'") and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        asked.append(time.monotonic())
        db.interrupt()

    watcher = interrupted.shop.connect()
    thread = threading.Thread(target=stop)
    thread.start()
    refused(db, sql, *arguments, says="interrupted")
    ended = time.monotonic()
    thread.join()
    return ended - asked[0]


def test_an_interrupt_ends_training_within_a_second(shop):
    db = busy_shop(shop)
    interrupted.shop = shop
    before = rows(db, "SELECT item, score FROM m(7, 5)")
    for sql in ("INSERT INTO m(m, arg) VALUES('train', ?)", "SELECT rec_train('m', ?)"):
        for options in ('{"sweeps":1000,"factors":64}', '{"sweeps":1000,"factors":1024}'):
            seconds = interrupted(db, sql, options)
            assert seconds < 1, f"{seconds:.2f} s: {sql} {options}"
            equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
            equal(rows(db, "SELECT version, active FROM rec_versions"), [(1, 1)])
            equal(rows(db, "SELECT * FROM rec_progress"), [], "the job is over")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(one(db, "SELECT version FROM m(7, 1)"), 2, "and the next training works")


def test_an_interrupt_inside_begin_ends_that_transaction(shop):
    db = busy_shop(shop)
    interrupted.shop = shop
    before = rows(db, "SELECT item, score FROM m(7, 5)")
    db.execute("BEGIN")
    db.execute("INSERT INTO events VALUES(7, 2, 1, 5000)")
    interrupted(db, "INSERT INTO m(m, arg) VALUES('train', ?)", '{"sweeps":1000,"factors":256}')
    equal(db.in_transaction, False, "SQLite rolls the transaction back")
    equal(one(db, "SELECT count(*) FROM events WHERE t = 5000"), 0)
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)


def test_an_interrupt_ends_the_building_of_a_graph(shop):
    db = shop.connect("shop.db")
    interrupted.shop = shop
    draw = random.Random(1)
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[64], index=HNSW32)")
    db.execute("BEGIN")
    for _ in range(12000):
        db.execute("INSERT INTO t(e) VALUES(?)", (draw.randbytes(64 * 4 - 64).translate(bytes(range(64)) * 4) + bytes(64),))
    db.execute("COMMIT")
    query = bytes(60) + b"\0\0\x80?" * 49
    before = rows(db, "SELECT rowid, score FROM t(?, 5)", query)
    stop = threading.Timer(0.2, db.interrupt)
    stop.start()
    refused(db, "INSERT INTO t(t) VALUES('optimize')", says="interrupted")
    stop.join()
    equal(one(db, "SELECT count(*) FROM t_segment"), 0)
    equal(rows(db, "SELECT rowid, score FROM t(?, 5)", query), before)


def test_a_cursor_keeps_its_version_while_another_is_trained(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    for asked in ("k = 2", "user = 7"):
        cursor = db.execute(f"SELECT version, because FROM m WHERE {asked}")
        seen = [cursor.fetchone()]
        db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"ials","factors":8}')""")
        old, new = rows(db, "SELECT min(version), max(version) FROM rec_versions")[0]
        db.execute("INSERT INTO m(m, arg) VALUES('drop-version', ?)", (seen[0][0],))
        rows(db, "SELECT * FROM m(7, 3)")
        db.execute("CREATE TABLE IF NOT EXISTS another(x)")
        seen += cursor.fetchall()
        assert len(seen) > 2
        equal({row[0] for row in seen}, {new - 1}, asked)


def test_a_cursor_of_an_index_survives_changes(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text, index=HNSW8)")
    db.executemany("INSERT INTO t(e, kind) VALUES(?, 'a')", [(vector(i, i * i % 17),) for i in range(100)])
    expected = rows(db, "SELECT rowid, rank FROM t('[1,1]', 50)")
    cursor = db.execute("SELECT rowid, rank FROM t('[1,1]', 50)")
    seen = [cursor.fetchone()]
    for sql in ("INSERT INTO t(t) VALUES('optimize')", "DELETE FROM t WHERE rowid % 2", "INSERT INTO t(t) VALUES('drop-cache')", "UPDATE t SET kind = 'b'"):
        db.execute(sql)
    rows(db, "SELECT rowid FROM t('[2,2]', 5)")
    equal(seen + cursor.fetchall(), expected)
    scan = db.execute("SELECT rowid, e, kind FROM t")
    scan.fetchone()
    db.execute("INSERT INTO t(t) VALUES('drop-cache')")
    equal(len(scan.fetchall()), 49)
    # a search decides which rows are changed before they change
    db.execute("UPDATE t SET e = '[1,1]' WHERE e MATCH '[1,1]' AND k = 10")
    equal(one(db, "SELECT count(*) FROM t WHERE e = rec_vec('[1,1]')"), 10)
    db.execute("DELETE FROM t WHERE e MATCH '[1,1]' AND k = 10")
    equal(one(db, "SELECT count(*) FROM t"), 40)


def test_six_threads_read_and_write_one_file(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db)
    make_model(db)
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text, index=HNSW8)")
    db.executemany("INSERT INTO t(e, kind) VALUES(?, 'a')", [(vector(i, i * i % 17),) for i in range(100)])
    wrong = []

    def work(number):
        mine, draw = shop.connect("shop.db"), random.Random(number)
        mine.execute("PRAGMA busy_timeout=60000")
        for _ in range(60):
            sql = draw.choice(("INSERT INTO m(m) VALUES('train')", "SELECT item, because FROM m(3, 5)", "SELECT user, item FROM m WHERE k = 2", "INSERT INTO t(e) VALUES('[%d,%d]')" % (draw.randrange(30), draw.randrange(30)),
                               "DELETE FROM t WHERE rowid = %d" % draw.randrange(200), "SELECT rowid, e FROM t('[3,3]', 20)", "INSERT INTO t(t) VALUES('optimize')", "INSERT INTO t(t) VALUES('drop-cache')",
                               "INSERT INTO events VALUES(3, %d, 1, 1)" % draw.randrange(60), "INSERT INTO m(m) VALUES('rollback')", "INSERT INTO m(m) VALUES('integrity-check')", "INSERT INTO t(t) VALUES('integrity-check')"))
            try:
                rows(mine, sql)
            except Exception as error:
                if "no earlier version" not in str(error):
                    wrong.append((sql, str(error)))
        mine.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [])
    count = one(db, "SELECT count(*) FROM t")
    equal([row[0] for row in rows(db, "SELECT rowid FROM t('[3,3]', ?)", count)], [row[0] for row in rows(db, "SELECT rowid FROM t ORDER BY rec_cosine(e, '[3,3]') DESC, rowid")])
    equal(one(db, "PRAGMA integrity_check"), "ok")
