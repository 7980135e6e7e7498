"""Behaviour tables as shops have them: times as text and in other units, returns in fractions, collations, guests, NumPy's numbers."""
import json, sqlite3, struct

from support import equal, make_events, make_model, one, refused, rows

CLICKS = [(1, "z", "10:00:00.100"), (1, "a", "10:00:00.900"), (2, "a", "10:01:00.100"), (2, "n", "10:01:00.900"), (3, "z", "10:02:00.100"), (3, "m", "10:02:00.900")]


def click_table(db, as_time):
    db.execute("CREATE TABLE clicks(visitor INTEGER, page TEXT, at)")
    db.executemany("INSERT INTO clicks VALUES(?, ?, ?)", [(visitor, page, as_time(f"2024-01-01 {clock}")) for visitor, page, clock in CLICKS])
    db.execute("CREATE VIRTUAL TABLE t USING rec_model(events=clicks, user=visitor, item=page, time=at, algorithm=session_knn, drop_last=true)")
    db.execute("INSERT INTO t(t) VALUES('train')")


def seconds(text):
    return 1704067200 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + float(text[17:])


def test_text_times_keep_their_fraction_of_a_second(shop):
    answers = []
    for as_time in (str, seconds, lambda text: repr(seconds(text)), lambda text: text.replace(" ", "T") + "Z"):
        db = shop.connect()
        click_table(db, as_time)
        db.execute("INSERT INTO t(t, arg) VALUES('train', '{\"until\": 1704103200.5}')")
        answers.append((rows(db, "SELECT group_concat(item) FROM t WHERE user = 1 AND k = 2 AND options = '{\"version\": 1}'"), rows(db, "SELECT events FROM rec_versions WHERE until IS NOT NULL")))
    equal(answers, [([("z,n",)], [(1,)])] * 4)


def test_what_she_bought_does_not_come_back_and_the_evaluation_sees_it(shop):
    for options in ({"half_life": 2}, {"max_history": 2}, {"half_life": 0.001}):
        db = shop.connect()
        db.execute("CREATE TABLE ev(user INTEGER, item TEXT, t INTEGER)")
        db.execute("INSERT INTO ev VALUES(1,'old',0), (1,'b',86400*300), (1,'new',86400*301), (2,'new',86400*301), (2,'old',86400*301), (3,'b',86400*301)")
        db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=user, item=item, time=t, algorithm=popular)")
        db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps(options),))
        equal(rows(db, "SELECT item FROM m WHERE user = 1"), [], options)
        equal(rows(db, "SELECT item FROM m WHERE k = 9 AND user = 1"), [], options)
        equal({row[0] for row in rows(db, "SELECT item FROM m WHERE user = 9")}, {"old", "b", "new"}, f"{options}: what only old buyers have stays in the catalogue")
        equal({row for row in rows(db, "SELECT user, item FROM m WHERE k = 9")}, {(2, "b"), (3, "new"), (3, "old")}, options)
        db.execute("CREATE TABLE hold(user, item)")
        db.execute("INSERT INTO hold VALUES(1, 'old')")
        for call in ("rec_evaluate('m', 'hold', '{\"k\": 1, \"bootstrap\": 0}')", "rec_compare('m', 'm', 'hold')", "rec_evaluate_users('m', 'hold')"):
            refused(db, f"SELECT * FROM {call}", says="1 hold-out rows are also in the history")


def test_an_evaluation_hides_all_she_had_and_not_only_the_latest(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, "m", "popular", more=", max_history=1")
    db.execute("CREATE TABLE hold AS SELECT DISTINCT user, 4711 AS item FROM events")
    db.execute("INSERT INTO hold SELECT user, max(item) FROM (SELECT u.user, i.item FROM (SELECT DISTINCT user FROM events) u, (SELECT DISTINCT item FROM events) i EXCEPT SELECT user, item FROM events) GROUP BY 1")
    known = {row[0] for row in rows(db, "SELECT item FROM m WHERE user = -1")}
    for user, value in rows(db, "SELECT user, value FROM rec_evaluate_users('m', 'hold', '{\"k\": 5}') WHERE metric = 'hit'"):
        listed = {row[0] for row in rows(db, "SELECT item FROM m WHERE user = ? AND k = 5", user)}
        held = {row[0] for row in rows(db, "SELECT item FROM hold WHERE user = ?", user)} & known
        equal(value, float(bool(listed & held)), f"user {user}")
        equal(listed & {row[0] for row in rows(db, "SELECT item FROM events WHERE user = ?", user)}, set())


def test_fractional_returns_net_to_nothing(shop):
    db = shop.connect()
    db.execute("CREATE TABLE ev(user INTEGER, item TEXT, n REAL)")
    db.execute("INSERT INTO ev VALUES(1,'cloth',.1), (1,'cloth',.2), (1,'cloth',-.3), (1,'cup',1), (2,'cup',1), (2,'pot',1e12), (2,'pot',-999999999999)")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=user, item=item, weight=n, algorithm=popular)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(rows(db, "SELECT item FROM m WHERE user = 9 ORDER BY 1"), [("cup",), ("pot",)])
    equal({row[0] for row in rows(db, "SELECT item FROM rec_rules('m', 0)")}, {"cup", "pot"})
    equal(rows(db, "SELECT rec_vec_json(rec_vec_avg('[1]', column1)) FROM (VALUES(.1), (.2), (-.3))"), [(None,)])
    equal(rows(db, "SELECT rec_vec_json(rec_vec_avg('[2]', column1)) FROM (VALUES(.1), (.2), (-.2))"), [("[2]",)])
    window = rows(db, """SELECT rec_vec_json(rec_vec_avg('[3]', column1) OVER (ORDER BY rowid ROWS 1 PRECEDING)) FROM (SELECT row_number() OVER () AS rowid, column1 FROM (VALUES(.1), (-.1), (.1), (.7)))""")
    equal(window, [("[3]",), (None,), (None,), ("[3]",)])


def test_keys_are_bytes_whatever_the_collation_of_the_column(shop):
    for collation in ("NOCASE", "RTRIM"):
        for view in (False, True):
            db = shop.connect()
            db.execute(f"CREATE TABLE ev(u TEXT COLLATE {collation}, i TEXT)")
            db.execute("CREATE INDEX by_user ON ev(u)")
            db.execute("INSERT INTO ev VALUES('bob','a'), ('Bob','b'), ('bob ','c'), ('z','a'), ('z','b'), ('z','c'), ('z','d')")
            db.execute("CREATE VIEW v AS SELECT * FROM ev")
            db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events={'v' if view else 'ev'}, user=u, item=i, algorithm=popular)")
            db.execute("INSERT INTO m(m) VALUES('train')")
            everybody = rows(db, "SELECT user, item FROM m WHERE k = 9 ORDER BY user, rank")
            single = [(user, row[0]) for user in ("Bob", "bob", "bob ") for row in rows(db, "SELECT item FROM m WHERE user = ? ORDER BY rank", user)]
            equal(everybody, single, f"{collation} {view}")
            equal(len(single), 9)
            equal(one(db, "SELECT history FROM rec_models"), "index")


def test_a_value_that_can_be_no_key_is_an_error_with_its_type(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    numpy_int = struct.pack("<q", 3)  # what Python binds for numpy.int64(3)
    for what in ("user", "similar_to"):
        refused(db, f"SELECT item FROM m WHERE {what} = ? AND k = 2", numpy_int, says=f"{what} is a BLOB of 8 bytes (an INTEGER or a TEXT, as in the table; NumPy's numbers are bound like this: write int(...))")
        refused(db, f"SELECT item FROM m WHERE {what} = 3.7 AND k = 2", says=f"{what}=3.7 (an INTEGER or a TEXT")
        equal(rows(db, f"SELECT item FROM m WHERE {what} = NULL AND k = 2"), [])
        equal(rows(db, f"SELECT item FROM m WHERE {what} = 3.0 AND k = 2"), rows(db, f"SELECT item FROM m WHERE {what} = 3 AND k = 2"))
    refused(db, "SELECT item FROM m(?, 2)", numpy_int, says="write int(...)")
    refused(db, "SELECT item FROM m WHERE user = 3 AND k = ?", numpy_int, says="k is a BLOB of 8 bytes (a whole number; NumPy's numbers are bound like this: write int(...))")
    equal(rows(db, "SELECT item FROM m WHERE user = 3 AND k = 2.0"), rows(db, "SELECT item FROM m WHERE user = 3 AND k = 2"))


def test_times_in_another_unit_are_an_error_that_says_which(shop):
    base = 1706745600
    cases = (("milliseconds", lambda s: s * 1000, True), ("microseconds", lambda s: s * 10**6, True), ("nanoseconds", lambda s: s * 10**9, True), ("days", lambda s: s // 86400, True), ("julian", lambda s: s / 86400 + 2440587.5, True),
             ("yyyymmdd", lambda s: 20240101 + (s - base) // 86400, False), ("yyyymmddhhmmss", lambda s: 20240101100000 + (s - base) // 86400, False))
    answers = {}
    for unit, convert, is_option in (("seconds", lambda s: s, True), *cases):
        db = shop.connect()
        db.execute("CREATE TABLE ev(user INTEGER, item INTEGER, n REAL, t)")
        db.executemany("INSERT INTO ev VALUES(?, ?, 1, ?)", [(u, (u * 7 + i * 3) % 11, convert(base + (i * 5 + u) % 30 * 86400)) for u in range(20) for i in range(5)])
        more = ", half_life=90"
        if unit != "seconds":
            make_model(db, "bad", events="ev", train=False, more=more)
            refused(db, "INSERT INTO bad(bad) VALUES('train')", says=["ev.t is ", f"looks like {unit}", f"time_unit={unit}" if is_option else "make it a date text"])
            refused(db, "SELECT length(rec_train('bad', '{\"until\": \"2024-02-15\"}'))", says=f"looks like {unit}")
        if is_option:
            make_model(db, "m", events="ev", more=more + f", time_unit={unit}")
            answers[unit] = rows(db, "SELECT user, item, round(score, 9) FROM m WHERE k = 4"), rows(shop.connect(), "SELECT 1")
            db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"until\": \"2024-02-15\"}')")
            answers[unit] += (rows(db, "SELECT events, until FROM rec_versions WHERE version = 2"),)
    for unit, answer in answers.items():
        equal(answer, answers["seconds"], unit)
    refused(shop.connect(), "CREATE VIRTUAL TABLE m USING rec_model(events=e, user=u, item=i, time_unit=weeks)", says="time_unit=weeks (seconds|milliseconds")


def test_numeric_text_is_a_time_and_a_word_is_none(shop):
    db = shop.connect()
    db.execute("CREATE TABLE ev(user INTEGER, item INTEGER, n, t)")
    db.execute("INSERT INTO ev VALUES(1, 1, '2', '1706745600'), (1, 2, ' 1.5 ', '1706745601.5'), (2, 2, 1, '2024-02-01')")
    make_model(db, "m", "popular", events="ev")
    for bad in ("now", "10:00", "-0500", "Europe/Berlin", "31/12/2024", "", "2024-02-30", "2024-01-01 10:00:00 PST"):
        db.execute("SAVEPOINT s")
        db.execute("INSERT INTO ev VALUES(3, 3, 1, ?)", (bad,))
        refused(db, "INSERT INTO m(m) VALUES('train')", says=[f"ev.t is '{bad}', which is no time", "rec_check_events('m')"])
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")


def test_until_takes_a_date_and_refuses_to_train_on_nothing(shop):
    db = shop.connect()
    db.execute("CREATE TABLE ev(user INTEGER, item INTEGER, n, t)")
    db.execute("INSERT INTO ev VALUES(1, 1, 1, '2024-02-01'), (1, 2, 1, '2024-02-02'), (2, 2, 1, '2024-02-03')")
    make_model(db, "m", "popular", events="ev")
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"until\": \"2024-02-02 12:00\"}')")
    equal(rows(db, "SELECT events, until FROM rec_versions WHERE version = 2"), [(2, 1706875200.0)])
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"until\": \"2023-02-02\"}')", says="no event of ev is before until=1675296000")
    refused(db, "INSERT INTO m(m, arg) VALUES('train', '{\"until\": \"yesterday\"}')", says="until=yesterday (unix seconds, or a date such as")
    equal(one(db, "SELECT max(version) FROM rec_versions"), 2)


def test_events_of_a_pair_combine_as_asked_and_ratings_by_the_latest(shop):
    db = shop.connect()
    db.execute("CREATE TABLE ev(user INTEGER, item INTEGER, n REAL, t)")
    db.execute("INSERT INTO ev VALUES(1, 1, 5, 1), (1, 1, 3, 2), (1, 2, 0, 3), (2, 1, 4, 1), (2, 3, 2, 1), (3, 3, 1, 1), (3, 2, 4, 1)")
    make_model(db, "p", "repeat", events="ev", train=False, more=", variant=frequency, scale=linear")
    for combine, expected in (("sum", 8.0), ("last", 3.0), ("max", 5.0), ("mean", 4.0), ("auto", 8.0)):
        db.execute("INSERT INTO p(p, arg) VALUES('train', ?)", (json.dumps({"combine": combine}),))
        equal(rows(db, "SELECT item, round(score, 4) FROM p WHERE user = 1 AND k = 1"), [(1, expected)], combine)
    make_model(db, "r", "mf", events="ev", more=", factors=2")
    equal(rows(db, "SELECT item FROM r WHERE user = 1"), [(3,)], "an item rated 0 is rated")
    latest = rows(db, "SELECT item, score FROM r WHERE user = 1 AND options = '{\"exclude_seen\": false}'")
    db.execute("DELETE FROM ev WHERE user = 1 AND item = 1 AND t = 1")
    equal(rows(db, "SELECT item, score FROM r WHERE user = 1 AND options = '{\"exclude_seen\": false}'"), latest)


def test_everybody_has_a_list_also_who_came_later(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, "m", "popular")
    every = rows(db, "SELECT user, count(*) FROM m WHERE k = 3 AND options = '{\"until\": 1}' GROUP BY user")
    equal(every, [(user, 3) for user, in rows(db, "SELECT DISTINCT user FROM events ORDER BY 1")])


def test_the_drift_report_is_not_blinded_by_a_guest(shop):
    import pathlib, subprocess, os
    from support import EXTENSION
    report = pathlib.Path(__file__).resolve().parents[2] / "sql" / "reports" / "drift.sql"
    script = f""".load {EXTENSION}
CREATE TABLE e(user, item, amount, at);
INSERT INTO e VALUES(1,'a',1,1),(NULL,'b',1,1),(2,NULL,1,1),(1,'a',1,10),(3,'c',1,10),(NULL,'d',1,10),(4,'a',1,10);
CREATE TEMP VIEW report_events AS SELECT * FROM e;
.parameter set @cut 5
.read {report}
"""
    said = subprocess.run(["sqlite3", "-batch", ":memory:"], input=script, capture_output=True, text=True).stdout
    assert "50.0 %|50.0 %" in said, said
