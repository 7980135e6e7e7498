"""Programs that load the extension in ways of their own: locales, SELECT load_extension(...), two SQLite libraries, stop buttons."""
import json, os, random, sqlite3, struct, subprocess, sys, time, unittest

from support import EXTENSION, equal, fetched, make_events, make_model, one, refused, rows

LOCALES = ("de_DE", "tr_TR", "fr_FR")

IN_A_LOCALE = """
import json
def answers(db):
    db.execute("CREATE TABLE events(user, item TEXT, weight REAL, name TEXT)")
    db.executemany("INSERT INTO events VALUES(?, ?, 1.5, ?)", [(u, f"I{i}", f"ICE Icicle {i}") for u in range(20) for i in range(u % 5, u % 7 + 4)])
    db.execute("CREATE TABLE items AS SELECT DISTINCT item AS id, 'ICE Icicle ' || item AS name FROM events")
    common = "events=events, user=user, item=item, weight=weight"
    db.execute(f"CREATE VIRTUAL TABLE a USING rec_model({common}, algorithm=slim, l1=0.5, l2=0.25)")
    db.execute(f"CREATE VIRTUAL TABLE c USING rec_model({common}, items=items, item_key=id, item_text=name, algorithm=content)")
    db.execute("INSERT INTO a(a) VALUES('train')")
    db.execute("INSERT INTO c(c) VALUES('train')")
    out = [db.execute("SELECT rec_vec_json('[1.5,-2.25]'), rec_dot('[0.5]', '[1.5]'), rec_vec_json(rec_vec('[1e-3]'))").fetchall()]
    out.append(db.execute("SELECT item, score, because FROM a WHERE user = 3 AND k = 3").fetchall())
    out.append(db.execute("SELECT item, score FROM c WHERE similar_to = 'I3' AND k = 3").fetchall())
    db.execute("INSERT INTO a(a, arg) VALUES('train', '{\\"algorithm\\": \\"ials\\", \\"factors\\": 4, \\"reg\\": 0.25}')")
    db.execute("INSERT INTO a(a, arg) VALUES('tune', '{\\"trials\\": 4, \\"algorithm\\": \\"slim\\"}')")
    out.append(db.execute("SELECT options, value FROM rec_trials").fetchall())
    out.append(db.execute("SELECT options, algorithm, sha256 FROM rec_versions").fetchall())
    try:
        db.execute("INSERT INTO a(a, arg) VALUES('train', '{\\"algorithm\\": \\"slim\\", \\"l1\\": -0.5}')")
    except Exception as error:
        out.append(str(error))
    db.execute("INSERT INTO a(a) VALUES('integrity-check')")
    return json.dumps(out)
"""


def in_locale(folder, name):
    """What a process in that locale answers, on a database of its own."""
    code = "import locale, sqlite3, sys\n" + (f"locale.setlocale(locale.LC_ALL, '{name}.UTF-8')\nassert locale.format_string('%g', 1.5) == '1,5'\n" if name else "")
    code += "db = sqlite3.connect(':memory:', isolation_level=None)\ndb.enable_load_extension(True)\ndb.load_extension(sys.argv[1])\n" + IN_A_LOCALE + "print(answers(db))"
    done = subprocess.run([sys.executable, "-c", code, EXTENSION], capture_output=True, text=True, env=dict(os.environ, LOCPATH=folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_answer_and_error_is_the_same_in_a_locale_with_a_decimal_comma_and_in_turkish(shop):
    for name in LOCALES:
        if subprocess.run(["localedef", "-i", name, "-f", "UTF-8", shop.path(f"{name}.UTF-8")], capture_output=True).returncode:
            raise unittest.SkipTest("no localedef, or no sources of locales (the package locales)")
    expected = in_locale(shop.folder, None)
    equal(json.loads(expected)[0], [["[1.5,-2.25]", 0.75, "[0.00100000005]"]])
    for name in LOCALES:
        equal(in_locale(shop.folder, name), expected, name)


def test_select_load_extension_works_while_a_statement_runs_and_twice(shop):
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    open_cursor = db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
    equal(next(open_cursor), (1,))
    equal(rows(db, "SELECT load_extension(?)", EXTENSION), [(None,)])
    names = rows(db, "SELECT name, narg FROM pragma_function_list WHERE name GLOB 'rec_*' ORDER BY 1, 2")
    equal(one(db, "SELECT rec_auc(column1, column2) FROM (VALUES(1, 2), (0, 1))"), 1.0)
    equal(rows(db, "SELECT load_extension(?)", EXTENSION), [(None,)], "again")
    equal(rows(db, "SELECT name, narg FROM pragma_function_list WHERE name GLOB 'rec_*' ORDER BY 1, 2"), names)
    equal(next(open_cursor), (2,))


def with_apsw(code):
    """What a program prints that has apsw, which carries a SQLite library of its own."""
    environment = dict(os.environ, PYTHONPATH=fetched("apsw==3.54.1.0"))
    if subprocess.run([sys.executable, "-c", "import apsw"], capture_output=True, env=environment).returncode:
        raise unittest.SkipTest("apsw is not to be had")
    done = subprocess.run([sys.executable, "-c", code, EXTENSION], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


def test_a_second_sqlite_library_of_the_process_is_refused_with_a_sentence(shop):
    said = with_apsw("""
import apsw, sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
other = apsw.Connection(":memory:")
other.enable_load_extension(True)
try:
    other.load_extension(sys.argv[1])
    print("it loaded")
except apsw.ExtensionLoadingError as error:
    print(error)
print(list(other.execute("SELECT count(*) FROM pragma_function_list WHERE name GLOB 'rec_*'")), db.execute("SELECT rec_dot('[1]', '[2]')").fetchall())
""")
    assert "in use by another SQLite library of this process (3." in said, said
    equal(said.splitlines()[-1], "[(0,)] [(2.0,)]")


def test_a_table_browser_sees_short_lists_of_the_first_users(shop):
    for more in ("", ", max_history=2", ", algorithm=session_knn, session=n"):
        db = shop.connect()
        make_events(db)
        db.execute("INSERT INTO events VALUES(NULL, 1, 1, 1)")
        db.execute("CREATE VIEW clean AS SELECT * FROM events WHERE user IS NOT NULL")
        db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=clean, user=user, item=item, time=t{more})")
        refused(db, "SELECT * FROM m", says="no version is active: train one")
        db.execute("INSERT INTO m(m) VALUES('train')")
        listed = rows(db, "SELECT user, item, score, rank, because, version FROM m")
        first = [row[0] for row in rows(db, "SELECT user FROM events WHERE user IS NOT NULL GROUP BY user ORDER BY min(rowid) LIMIT 10")]
        single = [row for user in sorted(first) for row in rows(db, "SELECT user, item, score, rank, because, version FROM m WHERE user = ? AND k = 10", user)]
        equal(listed, single, more)
        equal(one(db, "SELECT count(*) FROM m"), len(single))
        equal(rows(db, "SELECT * FROM m ORDER BY rowid LIMIT 7 OFFSET 2"), rows(db, "SELECT * FROM m ORDER BY rowid")[2:9])
        columns = "user, item, score, rank, because, version, m, k, similar_to, basket, candidates, exclude, options, arg"  # as Datasette counts the values of a column
        for column in columns.split(", "):
            counted = rows(db, f"SELECT {column} AS value, count(*) AS n FROM (SELECT {columns} FROM m) WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY n DESC, value LIMIT 31")
            if column in ("user", "rank", "version"):  # no more than 31 values
                equal(sum(n for _, n in counted), len(single), column)
            equal(bool(counted), column in ("user", "item", "score", "rank", "because", "version"), column)
        equal(rows(db, "SELECT item FROM m WHERE user = 3 AND k = 4 AND k IS NOT NULL AND exclude IS NOT NULL"), [])
        equal(rows(db, "SELECT item FROM m WHERE user = 3 AND k = 4 AND k IS NOT NULL"), rows(db, "SELECT item FROM m WHERE user = 3 AND k = 4"))
        for asked in ("rank <= 5", "score > 0", "user > 3", "item = 4", "version = 1"):
            refused(db, f"SELECT * FROM m WHERE {asked}", says="k is needed")


def test_a_progress_handler_stops_what_computes(shop):
    db = shop.connect()
    make_events(db, users=3000, items=600)
    make_model(db, "m", "popular")
    db.execute("CREATE VIRTUAL TABLE x USING rec_index(e float[64], index=HNSW32)")
    draw = random.Random(2)
    db.execute("BEGIN")
    db.executemany("INSERT INTO x(e) VALUES(?)", [(struct.pack("<64f", *(draw.random() for _ in range(64))),) for _ in range(9000)])
    db.execute("COMMIT")
    db.execute("CREATE TABLE hold AS SELECT user, 1000 + user AS item FROM (SELECT DISTINCT user FROM events)")
    jobs = ("SELECT length(rec_train('m', '{\"algorithm\": \"ials\", \"factors\": 256, \"sweeps\": 900}'))", "INSERT INTO m(m, arg) VALUES('train', '{\"algorithm\": \"bpr\", \"factors\": 256, \"sweeps\": 9000}')",
            "INSERT INTO m(m, arg) VALUES('tune', '{\"trials\": 9000, \"algorithm\": \"ials\"}')", "INSERT INTO x(x, arg) VALUES('rebuild', '{\"ef_construction\": 4000}')",
            "SELECT count(*) FROM rec_evaluate('m', 'hold', '{\"bootstrap\": 100000}')")
    for ops in (1, 1000, 100000):
        for job in jobs:
            began = time.monotonic()
            asked = []

            def handler():
                asked.append(time.monotonic() - began)
                return asked[-1] > .4
            db.set_progress_handler(handler, ops)
            refused(db, job, says="interrupted")
            ended = time.monotonic() - began
            db.set_progress_handler(None, 0)
            assert ended < 3, f"{job}, every {ops}: {ended:.2f} s"  # the clock of the promise, 100 ms, is in docs/benchmarks.md: tests share their machine
            equal(one(db, "SELECT count(*) FROM rec_versions"), 1)
            equal(rows(db, "SELECT * FROM rec_progress"), [])


def test_tuning_by_select_is_refused_where_statements_are_replicated(shop):
    """rqlite and dqlite replicate what a writing statement does; dqlite ends the node where a SELECT writes on another connection."""
    said = with_apsw(f"""
import apsw, sys
class Replicated(apsw.VFS):
    def __init__(self):
        super().__init__("dqlite-1", "")
vfs = Replicated()
db = apsw.Connection({shop.path("node.db")!r}, vfs="dqlite-1")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
db.execute("CREATE TABLE events(user, item)")
db.execute("INSERT INTO events VALUES(1, 1), (1, 2), (2, 1), (2, 3), (3, 1)")
db.execute("CREATE VIRTUAL TABLE recs USING rec_model(events=events, user=user, item=item, algorithm=popular)")
try:
    list(db.execute("SELECT rec_tune('recs', '{{}}')"))
except apsw.Error as error:
    print(error)
db.execute("INSERT INTO recs(recs) VALUES('tune')")
db.execute("INSERT INTO recs(recs) VALUES('train')")
print(list(db.execute("SELECT item FROM recs WHERE user = 9 AND k = 1")))
""").splitlines()
    assert "cannot write to a replicated database" in said[0], said
    equal(said[1], "[(1,)]")
