"""Limits of a training, connections that serve only, and what a host forbids: each is respected, with a word."""
import json, os, sqlite3, subprocess, sys, unittest

from support import EXTENSION, equal, fetched, make_events, make_model, one, refused, rows, shadow
from test_rollout import note, two_versions
from test_shown_log import put


def big(db, n=200000):
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i < ?) INSERT INTO events SELECT i * 7919 % 20011, i * i % 5003, 1, i FROM k", (n - 1,))
    make_model(db, train=False)


def test_limits_of_a_training(shop):
    db = shop.connect()
    big(db)
    before = shadow(db, "m")
    for options, says in (({"max_rows": 1000}, "more than max_rows=1000 events"), ({"max_rows": 199999}, "max_rows=199999"), ({"max_memory": 1}, "more than max_memory=1 MiB"), ({"max_memory": 6}, "max_memory=6"),
                          ({"max_seconds": 0.001}, "longer than max_seconds=0.001"), ({"algorithm": "ials", "sweeps": 1000, "max_seconds": 1}, "max_seconds=1")):
        for begin in (False, True):
            if begin:
                db.execute("BEGIN")
            refused(db, "INSERT INTO m(m, arg) VALUES('train', ?)", json.dumps(options), says=says)
            if begin:
                equal(db.in_transaction, True, "an error, and no interrupt that takes all back")
                db.execute("ROLLBACK")
            equal(shadow(db, "m"), before)
        refused(db, "SELECT rec_train('m', ?)", json.dumps(options), says=says)
    note(db, "train", {"max_rows": 200000, "max_memory": 2000, "max_seconds": 600})
    equal(one(db, "SELECT events FROM rec_versions"), 200000)
    options = json.loads(one(db, "SELECT options FROM rec_versions"))
    assert not any(name.startswith("max_") and name != "max_history" for name in options), "limits are no part of a setting"
    note(db, "train")  # nothing of a limit is left behind
    equal(one(db, "SELECT count(DISTINCT sha256) FROM rec_versions"), 1)


def test_a_connection_that_serves_only(shop):
    db = two_versions(shop, "serve.db")
    db.execute("CREATE VIRTUAL TABLE near USING rec_index(v float[2], index=HNSW8)")
    db.execute("INSERT INTO near(rowid, v) VALUES(1, '[1, 0]'), (2, '[0, 1]')")
    blob = one(db, "SELECT rec_train('m')")
    equal(one(db, "SELECT rec_serving_only()"), 1)
    equal(one(db, "SELECT rec_serving_only()"), 1)
    for sql in ("INSERT INTO m(m) VALUES('train')", "INSERT INTO m(m) VALUES('tune')", "SELECT rec_train('m')", "SELECT rec_tune('m')", "SELECT rec_verify('m')", "SELECT * FROM rec_crossval('m')",
                "INSERT INTO near(near) VALUES('optimize')", "INSERT INTO near(near) VALUES('rebuild')", "INSERT INTO near(near) VALUES('train')"):
        refused(db, sql, says="this connection serves only (rec_serving_only)")
    # all else goes on: lists, the log, what others have trained
    assert rows(db, "SELECT * FROM m WHERE user = 3 AND k = 3")
    put(db, "shown", list=1, user=1, items=[1])
    db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))
    note(db, "activate", 1)
    other = shop.connect("serve.db")
    other.execute("INSERT INTO m(m) VALUES('train')")
    done = subprocess.run([sys.executable, "-c", """import sqlite3, sys
db = sqlite3.connect(sys.argv[1]); db.enable_load_extension(True); db.load_extension(sys.argv[2])
try: db.execute("INSERT INTO m(m) VALUES('train')")
except sqlite3.Error as error: print(error)
print(len(db.execute("SELECT * FROM m WHERE user = 3 AND k = 3").fetchall()))""", shop.path("serve.db"), EXTENSION], env=os.environ | {"REC_TRAINING": "0"}, capture_output=True, text=True)
    equal(done.stdout, "rec_model m: REC_TRAINING=0: this process serves only\n3\n")


COMMANDS = [("train", None), ("alias", {"champion": 1}), ("annotate", {"version": 1, "note": "x"}), ("canary", {"version": 2, "share": 0.1}), ("shown", {"list": 9, "user": 1, "items": [1]}), ("outcome", {"user": 1, "kind": "click"}),
            ("merge-user", {"from": 1, "to": 2}), ("forget", 5), ("retain", {"days": 1}), ("privacy-budget", {"rho": 1}), ("flush-stats", None), ("export", {"version": 1, "to": "shipped"}), ("drop-version", 2)]


def arg(value):
    return value if value is None or isinstance(value, int) else json.dumps(value)


def test_every_command_is_rolled_back_without_a_trace(shop):
    """The same .dump, tables that were made and all."""
    ran = set()
    for prepared in (False, True):  # without and with a log, counters, a budget
        db = two_versions(shop, f"back{prepared}.db")
        more = [("experiment", {"name": "x", "arms": {"a": 1, "b": 2}}), ("tune", {"trials": 1, "folds": 2}), ("activate", 2), ("stop", None), ("bandit", {"burn_in": 2}), ("shares", {"shares": [0.1, 0.2]}), ("release", {"name": "r"}),
                ("import", {"from": "shipped", "activate": "never"}), ("rollback", None), ("load", "blob"), ("integrity-check", None)]
        blob = one(db, "SELECT rec_train('m', '{\"algorithm\": \"popular\"}')")
        if prepared:
            for command, value in (("export", {"version": 1, "to": "shipped"}), ("privacy-budget", {"rho": 2}), ("activate", 2), ("activate", 1), ("experiment", {"name": "first", "arms": {"a": 1, "b": 2}})):
                note(db, command, value)
            for user in range(60):
                put(db, "shown", list=user, user=user, items=[1, 2])
                put(db, "outcome", list=user, item=1, kind="purchase")
            db.execute("INSERT INTO m(m) VALUES('flush-stats')")
        before = list(db.iterdump())
        for command, value in COMMANDS + more:
            db.execute("BEGIN")
            try:
                db.execute("INSERT INTO m(m, arg) VALUES(?, ?)", (command, blob if value == "blob" else arg(value)))
                assert command == "integrity-check" or db.execute("SELECT total_changes()").fetchone()[0], command
                ran.add(command)
            except sqlite3.Error:
                pass  # not in this state: nothing is left of it either
            db.execute("ROLLBACK")
            equal(list(db.iterdump()), before, f"{command}, {'with' if prepared else 'without'} a log")
    equal(ran, {command for command, _ in COMMANDS + more}, "each in one of the states")


def test_query_only_and_read_only_files_are_respected(shop):
    db = two_versions(shop, "ro.db")
    put(db, "shown", list=1, user=1, items=[1])
    expected = rows(db, "SELECT * FROM m WHERE user = 3 AND k = 3")
    db.execute("PRAGMA query_only=ON")
    for command, value in COMMANDS:
        refused(db, "INSERT INTO m(m, arg) VALUES(?, ?)", command, arg(value), says="readonly")
    equal(rows(db, "SELECT * FROM m WHERE user = 3 AND k = 3"), expected)
    db.close()
    ro = sqlite3.connect(f"file:{shop.path('ro.db')}?mode=ro", uri=True, isolation_level=None)
    ro.enable_load_extension(True)
    ro.load_extension(EXTENSION)
    for command, value in COMMANDS:
        refused(ro, "INSERT INTO m(m, arg) VALUES(?, ?)", command, arg(value), says="readonly")
    equal(rows(ro, "SELECT * FROM m WHERE user = 3 AND k = 3"), expected)
    for sql in ("SELECT * FROM rec_shown('m')", "SELECT * FROM rec_audit('m')", "SELECT rec_audit_verify('m')", "SELECT * FROM rec_live_at('m', '2030-01-01', 3)", "SELECT * FROM rec_verify_forgotten('m', 1)",
                "SELECT * FROM rec_export_user('m', 1)", "SELECT * FROM rec_drift('m')", "SELECT rec_prometheus()", "SELECT * FROM rec_off_policy('m', 1)", "SELECT * FROM rec_shadow('m', 1, 2)", "SELECT rec_train('m')"):
        rows(ro, sql)


def test_an_authorizer_has_the_last_word(shop):
    db = two_versions(shop)
    put(db, "shown", list=1, user=1, items=[1])
    def deny(table, operation):
        return lambda action, first, second, schema, trigger: sqlite3.SQLITE_DENY if action == operation and first == table else sqlite3.SQLITE_OK
    before = shadow(db, "m")
    events = one(db, "SELECT count(*) FROM events")
    for table, operation, sql in (("events", sqlite3.SQLITE_DELETE, "INSERT INTO m(m, arg) VALUES('forget', 1)"), ("m_audit", sqlite3.SQLITE_INSERT, "INSERT INTO m(m, arg) VALUES('activate', 1)"),
                                  ("m_lists", sqlite3.SQLITE_INSERT, "INSERT INTO m(m, arg) VALUES('shown', '{\"list\": 2, \"items\": []}')"), ("events", sqlite3.SQLITE_READ, "INSERT INTO m(m) VALUES('train')")):
        db.set_authorizer(deny(table, operation))
        refused(db, sql, says="")
        db.set_authorizer(None)
        equal(one(db, "SELECT count(*) FROM events"), events)
        equal({name: content for name, content in shadow(db, "m").items() if name not in ("m_deployments",)}, {name: content for name, content in before.items() if name not in ("m_deployments",)}, sql)


def test_defensive_mode_and_an_untrusted_schema(shop):
    code = """import sqlite3, sys, json
db = sqlite3.connect(sys.argv[1], isolation_level=None); db.enable_load_extension(True); db.load_extension(sys.argv[2])
db.execute("PRAGMA trusted_schema=OFF")
print(len(db.execute("SELECT * FROM m WHERE user = 3 AND k = 3").fetchall()))
db.execute("CREATE VIEW v AS SELECT item FROM m WHERE user = 3 AND k = 3")
print(len(db.execute("SELECT * FROM v").fetchall()))
for name in ("rec_train('m')", "rec_tune('m')", "rec_verify('m')", "rec_serving_only()"):
    db.execute(f"CREATE VIEW bad AS SELECT {name} AS x")
    try: db.execute("SELECT * FROM bad").fetchall(); print("ran", name)
    except sqlite3.OperationalError as error: print("refused", "unsafe use" in str(error))
    db.execute("DROP VIEW bad")
"""
    two_versions(shop, "schema.db").close()
    done = subprocess.run([sys.executable, "-c", code, shop.path("schema.db"), EXTENSION], capture_output=True, text=True)
    equal(done.stdout + done.stderr, "3\n3\n" + "refused True\n" * 4)
    # what belongs to the model is not written around it
    shell = subprocess.run(["sqlite3", "-cmd", f".load {EXTENSION}", "-cmd", ".dbconfig defensive on", shop.path("schema.db"), "UPDATE m_audit SET author = 'x';", "INSERT INTO m(m, arg) VALUES('alias', '{\"a\": 1}');", "SELECT count(*) FROM rec_audit('m');"], capture_output=True, text=True)
    assert "may not be modified" in shell.stderr, shell.stderr
    shell = subprocess.run(["sqlite3", "-cmd", f".load {EXTENSION}", "-cmd", ".dbconfig defensive on", shop.path("schema.db"), "INSERT INTO m(m, arg) VALUES('alias', '{\"a\": 1}');", "INSERT INTO m(m, arg) VALUES('shown', '{\"list\": 1, \"user\": 2, \"items\": [1]}');", "INSERT INTO m(m, arg) VALUES('forget', 2);", "SELECT count(*) FROM rec_audit('m');"], capture_output=True, text=True)
    equal((shell.stdout.splitlines()[-1], shell.stderr), ("4", ""))


ENCRYPTED = """import sys, json
sys.path.insert(0, sys.argv[3])
import apsw
db = apsw.Connection(sys.argv[1])
db.pragma("cipher", "sqlcipher")
assert db.pragma("key", "a secret of the shop") == "ok"
db.enable_load_extension(True)
db.load_extension(sys.argv[2])
run = lambda sql, *values: db.execute(sql, values).fetchall()
if len(sys.argv) > 4:
    print(json.dumps(run("SELECT item, version FROM m WHERE user = 3 AND k = 3")))
    sys.exit()
run("CREATE TABLE events(user TEXT, item INTEGER)")
for user in range(30):
    for i in range(6): run("INSERT INTO events VALUES(?, ?)", f"customer-{user}" if user != 3 else "3", (user * 7 + i * 5) % 23)
run("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item)")
run("INSERT INTO m(m) VALUES('train')")
run("INSERT INTO m(m, arg) VALUES('shown', ?)", json.dumps({"list": "list-of-a-customer", "user": "customer-5", "items": [1, 2]}))
run("INSERT INTO m(m, arg) VALUES('alias', ?)", json.dumps({"champion": 1}))
assert json.loads(run("SELECT rec_audit_verify('m')")[0][0])["ok"]
print(json.dumps(run("SELECT item, version FROM m WHERE user = '3' AND k = 3")))
"""


def test_encryption_at_rest(shop):
    folder = fetched("apsw-sqlite3mc==3.54.0.0")
    if not os.path.isdir(os.path.join(folder, "apsw")):
        raise unittest.SkipTest("no apsw-sqlite3mc from the package index")
    path = shop.path("secret.db")
    first = subprocess.run([sys.executable, "-c", ENCRYPTED, path, EXTENSION, folder], capture_output=True, text=True)
    equal(first.returncode, 0, first.stderr)
    content = open(path, "rb").read()
    for plain in (b"SQLite format 3", b"customer-5", b"list-of-a-customer", b"rec_model", b"RECMODEL", b"champion"):
        assert plain not in content, plain
    again = subprocess.run([sys.executable, "-c", ENCRYPTED, path, EXTENSION, folder, "again"], capture_output=True, text=True)
    equal((again.stdout, again.returncode), (first.stdout, 0), again.stderr)
    plain = sqlite3.connect(path)
    refused(plain, "SELECT * FROM sqlite_schema", says="not a database")
