"""Programs that load the extension in ways of their own: locales, SELECT load_extension(...), two SQLite libraries, stop buttons."""
import json, os, sqlite3, subprocess, sys, unittest

from support import EXTENSION, equal, one, rows

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


def test_a_second_sqlite_library_of_the_process_is_refused_with_a_sentence(shop):
    try:
        import apsw
    except ImportError:
        raise unittest.SkipTest("no second SQLite library (apsw)")
    db = shop.connect()
    if apsw.sqlite_lib_version() == sqlite3.sqlite_version:
        raise unittest.SkipTest("apsw is the only SQLite library here")
    other = apsw.Connection(":memory:")
    other.enable_load_extension(True)
    try:
        other.load_extension(EXTENSION)
        raise AssertionError("it loaded")
    except apsw.ExtensionLoadingError as error:
        assert "in use by another SQLite library of this process (3." in str(error), str(error)
    equal(list(other.execute("SELECT count(*) FROM pragma_function_list WHERE name GLOB 'rec_*'")), [(0,)])
    equal(one(db, "SELECT rec_dot('[1]', '[2]')"), 2.0)
