"""Several processes: forks, kills, writers beside a training."""
import os, signal, subprocess, sys, time

from support import start, equal, make_events, make_model, one, rows, vector

def test_a_forked_child_can_query(shop):
    db = shop.connect()
    make_events(db)
    for algorithm in ("item_knn", "ials"):
        make_model(db, "m_" + algorithm, algorithm)
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], index=HNSW8)")
    db.executemany("INSERT INTO t(e) VALUES(?)", [(vector(i, i * i),) for i in range(50)])
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    questions = ("SELECT item FROM m_ials(7, 3)", "SELECT item FROM m_item_knn(7, 3)", "SELECT rowid FROM t('[1,1]', 3)")
    expected = [rows(db, question) for question in questions]
    for _ in range(10):
        child = os.fork()
        if child == 0:
            os._exit(0 if [rows(db, question) for question in questions] == expected else 1)
        equal(os.waitpid(child, 0)[1], 0)


def test_a_killed_training_leaves_the_old_version(shop):
    db = shop.connect("shop.db")
    make_events(db, users=500, items=300)
    make_model(db, algorithm="ials")
    before = rows(db, "SELECT item, score FROM m(7, 5)")
    for delay in (0.2, 0.5, 0.8):
        trainer = start(shop, "print('go',flush=True)\ndb.execute(\"INSERT INTO m(m,arg) VALUES('train','{\\\"sweeps\\\":1000,\\\"factors\\\":256}')\")")
        trainer.stdout.readline()
        time.sleep(delay)
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
        equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
        equal(one(db, "SELECT count(*) FROM rec_versions"), 1)
        equal(one(db, "PRAGMA integrity_check"), "ok")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(one(db, "SELECT version FROM m(7, 1)"), 2)


def test_two_processes_train_in_turn(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db)
    make_model(db, train=False)
    code = "for i in range(5): db.execute(\"INSERT INTO m(m) VALUES('train')\")"
    for process in [start(shop, code), start(shop, code)]:
        equal(process.wait(), 0)
    equal([row[0] for row in rows(db, "SELECT version FROM rec_versions")], list(range(1, 11)))


def test_orders_are_written_while_rec_train_runs(shop):
    db = shop.connect("shop.db")
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db, users=500, items=300)
    make_model(db, algorithm="ials")
    trainer = start(shop, "print('go',flush=True)\nblob=db.execute(\"SELECT rec_train('m','{\\\"sweeps\\\":60,\\\"factors\\\":128}')\").fetchone()[0]\n"
                          "db.execute(\"INSERT INTO m(m,arg) VALUES('load',?)\",(blob,))")
    trainer.stdout.readline()
    written = 0
    db.execute("PRAGMA busy_timeout=0")
    while trainer.poll() is None and written < 2000:
        try:
            db.execute("INSERT INTO events VALUES(1, 2, 1, 2000)")
            written += 1
        except Exception as error: # only while `load` itself stores the version, some milliseconds
            assert "locked" in str(error)
        time.sleep(0.002)
    equal(trainer.wait(), 0)
    assert written > 10, written
    equal(one(db, "SELECT version FROM m(7, 1)"), 2)
