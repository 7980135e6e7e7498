"""rec_check_events: every kind of odd row is counted, with its first offenders and what to write."""
import json, os, subprocess, time

from support import EXTENSION, equal, make_events, make_model, one, refused, rows


AMOUNT = ("nothing new for a month", "days without events", "few events for the algorithm")  # of the whole, whatever the rows are


def checked(db, model="m", amount=False):
    return {problem: (count, json.loads(first), advice) for problem, count, first, advice in rows(db, "SELECT problem, count, first, advice FROM rec_check_events(?)", model)
            if (problem in AMOUNT) == amount}


def clean(db, n=600):
    db.execute("CREATE TABLE ev(u, i, n, t)")
    db.executemany("INSERT INTO ev VALUES(?, ?, 1, ?)", [(k % 60 + 1, k * 7 % 29 + 1, 1700000000 + k) for k in range(n)])


def test_each_problem_is_counted_with_its_rows_and_values(shop):
    now = int(time.time())
    planted = {
        "user is NULL": [(None, 1, 1, 1700000000)] * 2, "user is an empty text": [("", 1, 1, 1700000001)] * 3, "user is a BLOB": [(b"12345678", 1, 1, 1700000002)], "user is a fraction": [(1.5, 1, 1, 1700000003)],
        "item is NULL": [(1, None, 1, 1700000004)], "item is an empty text": [(1, "", 1, 1700000005)], "item is a BLOB": [(1, b"", 1, 1700000006)], "item is a fraction": [(1, 2.5, 1, 1700000007)],
        "time is NULL": [(1, 1, 1, None)], "time is no date": [(1, 1, 1, "31/12/2024"), (1, 1, 1, "Europe/Berlin"), (1, 1, 1, "-0500")], "time is past the year 9999 in its unit": [(1, 1, 1, 1700000000123)],
        "time is in the future": [(1, 1, 1, now + 10 * 86400), (1, 1, 1, "2999-01-01")], "time is before 1990": [(1, 1, 1, 0), (1, 1, 1, -1), (1, 1, 1, "1970-01-01 00:00:09")],
        "weight is NULL": [(1, 1, None, 1700000008)], "weight is no number": [(1, 1, "many", 1700000009)], "weight is beyond -1e12..1e12": [(1, 1, 1e13, 1700000010)], "weight is 0": [(1, 1, 0, 1700000011)],
        "user is a number here and its text there": [("7", 1, 1, 1700000012)], "item is a number here and its text there": [(1, "9", 1, 1700000013)], "user has blanks around it": [(" x", 1, 1, 1700000014), ("x ", 1, 1, 1700000015)],
        "item has blanks around it": [(1, "y\n", 1, 1700000016)],
    }
    for problem, events in planted.items():
        db = shop.connect()
        clean(db)
        db.executemany("INSERT INTO ev VALUES(?, ?, ?, ?)", events)
        make = "CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, weight=n, time=t)"
        db.execute(make)
        got = checked(db)
        assert problem in got, f"{problem}: {got}"
        count, first, advice = got[problem]
        one_key = "here" in problem
        equal(count, 1 if one_key else len(events), problem)
        if not one_key:
            equal([row["rowid"] for row in first], list(range(601, 601 + min(5, len(events)))), problem)
        else:
            equal(first, [7 if problem.startswith("user") else 9], problem)
        assert advice and "%" not in advice, advice
        others = set(got) - {problem, "items of a single user", "exact duplicates"}
        equal(others, set(), f"beside {problem}")


def test_a_clean_table_has_no_problems_and_a_view_is_told_by_keys(shop):
    db = shop.connect()
    clean(db)
    db.execute("CREATE VIEW v AS SELECT * FROM ev")
    for events in ("ev", "v"):
        db.execute(f"CREATE VIRTUAL TABLE m_{events} USING rec_model(events={events}, user=u, item=i, weight=n, time=t)")
        equal(checked(db, f"m_{events}"), {})
    db.execute("INSERT INTO ev VALUES(3, NULL, 1, 1700000000)")
    equal(checked(db, "m_v")["item is NULL"][:2], (1, [{"user": 3, "item": None, "value": None}]))
    refused(db, "SELECT * FROM rec_check_events('nosuch')", says="no rec_model named 'nosuch'")
    refused(db, "SELECT * FROM rec_check_events()", says="argument")


def test_freshness_pauses_and_amounts(shop):
    now = int(time.time())
    day = now // 86400 - 100
    closed = {30, 31, 32, 33, 34, 35, 36, 37, 60, 61}  # eight days, and two, which every shop has
    for age, lost, algorithm in ((0, True, "item_knn"), (0, False, "popular"), (40, True, "bpr")):
        db = shop.connect()
        db.execute("CREATE TABLE ev(u, i, n, t)")
        listed = [(k % 60 + 1, k * 7 % 29 + 1, 1, (day - age + d) * 86400 + k % 86400) for d in range(101) if d % 7 < 5 and (not lost or d not in closed) for k in range(d, d + 60)]
        db.executemany("INSERT INTO ev VALUES(?, ?, ?, ?)", [row for row in listed if row[3] <= now])
        db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, weight=n, time=t, algorithm={algorithm})")
        got = checked(db, amount=True)
        newest, n = rows(db, "SELECT max(t), count(*) FROM ev")[0]
        equal("nothing new for a month" in got, age == 40)
        if age:
            equal(got["nothing new for a month"][:2], ((now - newest) // 86400, [{"newest": newest}]))
        equal("few events for the algorithm" in got, algorithm == "bpr")
        if algorithm == "bpr":
            equal(got["few events for the algorithm"][:2], (n, [{"algorithm": "bpr", "wants": 20000}]))
        equal("days without events" in got, lost)
        if lost:
            last_open = max(d for d in range(30) if d % 7 < 5)
            first_open = min(d for d in range(38, 101) if d % 7 < 5)
            equal(got["days without events"][:2], (first_open - last_open - 1, [{"after": (day - age + last_open + 1) * 86400, "days": first_open - last_open - 1}]))


def test_duplicates_robots_guests_and_single_items(shop):
    db = shop.connect()
    clean(db)
    db.execute("INSERT INTO ev SELECT * FROM ev WHERE u = 5 LIMIT 4")
    db.execute("WITH RECURSIVE k(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM k WHERE x < 30000) INSERT INTO ev SELECT x % 3000 + 1000, x % 29 + 1, 1, 1700001000 + x FROM k")
    db.execute("WITH RECURSIVE k(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM k WHERE x < 1100) INSERT INTO ev SELECT 77777, x % 29 + 1, 1, 1700100000 + x FROM k")
    db.execute("WITH RECURSIVE k(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM k WHERE x < 600) INSERT INTO ev SELECT 'guest', x % 29 + 1, 1, 1700200000 + x FROM k")
    db.execute("INSERT INTO ev VALUES(9, 555, 1, 1700000000), (9, 555, 2, 1700000001)")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, weight=n, time=t)")
    got = checked(db)
    equal(got["exact duplicates"][0], 4)
    equal(got["exact duplicates"][1][0]["times"], 2)
    equal(got["users with very many events"][:2], (1, [{"key": 77777, "events": 1100}]))
    equal(got["one user who may be all guests"][:2], (1, [{"key": "guest", "events": 600}]))
    equal(got["items of a single user"][:2], (1, [555]))
    equal(set(got), {"exact duplicates", "users with very many events", "one user who may be all guests", "items of a single user"})


def test_times_that_look_like_another_unit_as_a_whole(shop):
    for name, convert in (("days", lambda t: t // 86400), ("julian", lambda t: t / 86400 + 2440587.5), ("yyyymmdd", lambda t: 20240101 + t % 28)):
        db = shop.connect()
        clean(db)
        db.create_function("convert", 1, convert)
        db.execute("UPDATE ev SET t = convert(t)")
        db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, weight=n, time=t)")
        count, first, advice = checked(db)["all times look like another unit"]
        equal((count, first[0]["looks like"]), (600, name))


def test_what_training_refuses_the_check_has_found(shop):
    """Every error of the events names the value and points here."""
    for values in ("NULL, 1, 1, 1700000000", "1, x'00', 1, 1700000000", "1, 1, 'many', 1700000000", "1, 1, 1, 'noday'", "1, 1, 1, 1700000000123"):
        db = shop.connect()
        clean(db)
        db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, weight=n, time=t)")
        before = set(checked(db))
        db.execute(f"INSERT INTO ev VALUES({values})")
        refused(db, "INSERT INTO m(m) VALUES('train')", says="ev." if "123" in values else "rec_check_events('m')")
        assert set(checked(db)) - before, values


def test_the_check_itself_can_say_every_value(shop):
    db = shop.connect()
    db.execute("CREATE TABLE ev(u, i, n, t, rowid TEXT)")
    db.executemany("INSERT INTO ev VALUES(?, ?, ?, ?, 'abc')", [(1, 3, b"\0", 1700000000)] * 2 + [(1, 4, float("inf"), 1700000000)] * 2 + [("x" * 79 + "\u00e9 ", 5, 1, 1700000000)])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=ev, user=u, item=i, weight=n, time=t)")
    got = checked(db)
    equal(got["exact duplicates"][:2], (2, [{"times": 2, "row": [1, 3, "a BLOB", 1700000000]}, {"times": 2, "row": [1, 4, "infinite", 1700000000]}]))
    equal(got["weight is no number"][0] + got.get("weight is beyond -1e12..1e12", (0,))[0], 4)
    equal(got["user has blanks around it"][1], [{"user": "x" * 79, "item": 5, "value": "x" * 79}], "cut between characters, and a column rowid is no number of a row")
