"""NumPy's numbers and arrays as parameters; what a long statement is at, and how it is stopped."""
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy
import sqlite_recommend


def index(db, rows=200, dim=8):
    draw = numpy.random.default_rng(1)
    vectors = draw.standard_normal((rows, dim))
    db.execute(f"CREATE VIRTUAL TABLE v USING rec_index(e float[{dim}], metric=l2, n integer)")
    db.executemany("INSERT INTO v(rowid, e, n) VALUES(?, ?, ?)", [(numpy.int64(i), vectors[i], numpy.int32(i % 3)) for i in range(rows)])
    return vectors


def test_numpy_numbers_and_arrays_are_parameters(folder):
    db = sqlite_recommend.connect(":memory:")
    for value, kind in ((numpy.int64(7), "integer"), (numpy.uint8(7), "integer"), (numpy.float32(.5), "real"), (numpy.bool_(True), "integer"), (numpy.str_("x"), "text"), (numpy.ones(3), "blob")):
        assert db.execute("SELECT typeof(?)", (value,)).fetchone() == (kind,), value
    vectors = index(db)
    asked = vectors[17] + .01
    found = [row[0] for row in db.execute("SELECT rowid FROM v WHERE e MATCH ? AND k = ? AND n = ?", (asked, numpy.int64(5), numpy.int8(2)))]
    distance = ((vectors.astype("f4").astype("f8") - asked.astype("f4")) ** 2).sum(1)
    assert found == [int(i) for i in numpy.argsort(distance, kind="stable") if i % 3 == 2][:5]
    for kind in ("f2", "f4", "f8", "i4", ">f4"):
        assert db.execute("SELECT rec_vec_json(?)", (numpy.array([1, 2, 3], kind),)).fetchone() == ("[1,2,3]",), kind
        assert sqlite_recommend.vector(numpy.array([1, 2, 3], kind)) == sqlite_recommend.vector([1, 2, 3])
    back = sqlite_recommend.array(db.execute("SELECT e FROM v WHERE rowid = 17").fetchone()[0])
    assert back.dtype == numpy.float32 and (back == vectors[17].astype("f4")).all()
    for wrong in (numpy.ones((2, 2)), numpy.array(3.)):
        try:
            sqlite_recommend.vector(wrong)
        except ValueError as error:
            assert "one dimension" in str(error)
        else:
            raise AssertionError("a matrix as a vector")


def long_model(db, users=3000, items=600):
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?)", [(u, (u * 7 + i * i) % items) for u in range(users) for i in range(20)])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm=ials, factors=128)")
    db.commit()


LONG = "INSERT INTO m(m, arg) VALUES('train', '{\"sweeps\": 1000}')"


def test_progress_shows_the_phases_and_stop_ends_them(folder):
    db, threads = sqlite_recommend.connect(f"{folder}/a.db"), threading.active_count()
    long_model(db)
    shown = []

    def show(row):
        shown.append(row)
        if row and row["phase"] == "factors" and row["done"] > 3:
            bar.stop()
    began = time.time()
    try:
        with sqlite_recommend.progress(db, show, every=.02) as bar:
            db.execute(LONG)
    except sqlite3.OperationalError as error:
        assert "interrupted" in str(error), error
    else:
        raise AssertionError("not stopped")
    assert time.time() - began < 60 and shown[-1] is None and threading.active_count() == threads
    assert {row["name"] for row in shown if row} == {"m"} and any(row["total"] == 1000 for row in shown if row), shown[:3]
    assert db.execute("SELECT count(*) FROM rec_versions").fetchone() == (0,)
    with sqlite_recommend.progress(db, shown.append):
        db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"sweeps\": 2}')")
    assert db.execute("SELECT count(*) FROM rec_versions").fetchone() == (1,)


INTERRUPTED = """
import sys, signal, sqlite_recommend
sys.path.insert(0, sys.argv[2])
from test_parameters_and_progress import LONG, long_model
db = sqlite_recommend.connect(sys.argv[1])
long_model(db)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell ignores it
handler, fd = signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)
print("go", flush=True)
try:
    with sqlite_recommend.progress(db):
        db.execute(LONG)
except KeyboardInterrupt:
    print("KeyboardInterrupt", db.execute("SELECT count(*) FROM rec_versions").fetchone(), signal.getsignal(signal.SIGINT) is handler, signal.set_wakeup_fd(-1))
"""


def test_ctrl_c_ends_a_training(folder):
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, f"{folder}/a.db", os.path.dirname(os.path.abspath(__file__))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "go\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert out == "KeyboardInterrupt (0,) True -1\n", (out, errors)
    assert "m: " in errors, errors  # lines, or tqdm's bar
