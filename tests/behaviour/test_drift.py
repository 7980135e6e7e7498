"""What a version was trained on: verified bit for bit, and compared with what has come since."""
import json, math, random, statistics

from support import equal, one, refused, rows, same_rows
from test_rollout import note

DAY = 86400
START = 1600000000 // DAY * DAY


def shop_of(shop, seed, days=60, users=600, items=120, name=None, algorithm="item_knn"):
    db = shop.connect(name)
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("CREATE INDEX by_user ON events(user)")
    add_days(db, seed, range(days), users, items)
    db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, weight=n, time=t, algorithm={algorithm})")
    return db


def add_days(db, seed, days, users=600, items=120, change=None):
    db.execute("BEGIN")
    for day in days:
        draw = random.Random(f"{seed}-{day}")
        for _ in range(int(60 * math.exp(draw.gauss(0, 0.1)) * (1 + 0.2 * math.sin(day * 2 * math.pi / 7)) * (4 if change == "events" else 1))):
            user = int(users * draw.random() ** 1.5)
            if change == "new users":
                user += 10 ** 6
            for _ in range(draw.randrange(1, 4) * (5 if change == "users" else 1)):
                item = int(items * draw.random() ** 2.5)
                if change == "items" and draw.random() < 0.4:
                    item = 77
                if change == "new items" and draw.random() < 0.3:
                    item += 5000
                n = draw.randrange(1, 4) * (10 if change == "weights" else 1)
                db.execute("INSERT INTO events VALUES(?, ?, ?, ?)", (user, item, n, START + day * DAY + draw.randrange(DAY)))
    db.execute("COMMIT")


def drift(db, now):
    return {row[0]: row[1:] for row in rows(db, "SELECT input, reference, current, distance, threshold, p, days, verdict FROM rec_drift('m', ?)", json.dumps({"now": now}))}


def test_quiet_days_are_quiet_and_changes_are_found(shop):
    alarms = {}
    for seed in range(12):
        db = shop_of(shop, seed, name=f"{seed}.db")
        db.execute("INSERT INTO m(m) VALUES('train')")
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
        add_days(db, seed, range(60, 62))
        found = drift(db, START + 61 * DAY + DAY // 2)
        equal({row[5] for row in found.values()}, {1})
        for name, row in found.items():
            if row[6] != "quiet":
                alarms[name] = alarms.get(name, 0) + 1
        db.execute("DELETE FROM events WHERE t >= ?", (START + 60 * DAY,))
        change = ("events", "users", "items", "new users", "new items", "weights")[seed % 6]
        add_days(db, seed, range(60, 62), change=change)
        equal(drift(db, START + 61 * DAY + DAY // 2)[change][6], "drift", f"{change}, shop {seed}")
        db.close()
    assert sum(alarms.values()) <= 1, alarms


def test_the_numbers_are_those_of_plain_sums(shop):
    db = shop_of(shop, 3)
    db.execute("INSERT INTO m(m) VALUES('train')")
    last = one(db, "SELECT max(t) FROM events")
    add_days(db, 3, range(60, 64))
    found = drift(db, last + 3.5 * DAY)
    equal({row[5] for row in found.values()}, {3})
    counts = [len(rows(db, "SELECT * FROM events WHERE t > ? AND t <= ?", last - (d + 1) * DAY, last - d * DAY)) for d in range(28)]
    reference, current = found["events"][:2]
    assert abs(reference - math.expm1(statistics.mean(math.log1p(n) for n in counts))) < 1e-6 * reference
    new = [len(rows(db, "SELECT * FROM events WHERE t > ? AND t < ?", last + d * DAY, last + (d + 1) * DAY)) for d in range(3)]
    assert abs(current - math.expm1(statistics.mean(math.log1p(n) for n in new))) < 0.02 * current
    means = [statistics.mean(math.asinh(n) for n, in rows(db, "SELECT n FROM events WHERE t > ? AND t <= ?", last - (d + 1) * DAY, last - d * DAY)) for d in range(28)]
    assert abs(found["weights"][0] - statistics.mean(means)) < 1e-6


def test_too_little_is_said(shop):
    db = shop_of(shop, 4, days=5)
    db.execute("INSERT INTO m(m) VALUES('train')")
    add_days(db, 4, range(5, 7))
    equal({row[6] for name, row in drift(db, START + 7 * DAY).items() if name not in ("scores", "coverage", "popularity")}, {"too little data"})
    db = shop_of(shop, 5, days=30)
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal({row[6] for row in drift(db, START + 30 * DAY).values()}, {"too little data"}, "nothing has come yet")
    db.execute("CREATE VIRTUAL TABLE timeless USING rec_model(events=events, user=user, item=item)")
    db.execute("INSERT INTO timeless(timeless) VALUES('train')")
    refused(db, "SELECT * FROM rec_drift('timeless')", says="needs the model's time=")
    refused(db, "SELECT * FROM rec_drift('m', '{\"alpha\": 2}')", says="alpha=2")
    db.execute("CREATE VIRTUAL TABLE fresh USING rec_model(events=events, user=user, item=item, time=t)")
    refused(db, "SELECT * FROM rec_drift('fresh')", says="no version is active")


# ---- verify ----


def test_every_algorithm_is_verified_bit_for_bit(shop):
    for algorithm, more in (("item_knn", {}), ("ials", {"factors": 4, "sweeps": 2}), ("bpr", {"factors": 4, "sweeps": 2}), ("user_knn", {}), ("popular", {"until": START + 20 * DAY})):
        db = shop_of(shop, 6, days=30, name=f"{algorithm}.db", algorithm=algorithm)
        note(db, "train", more)
        add_days(db, 6, range(30, 32))
        got = json.loads(one(db, "SELECT rec_verify('m')"))
        equal(got, {"ok": True, "sha256": one(db, "SELECT sha256 FROM rec_versions"), "again": one(db, "SELECT sha256 FROM rec_versions"), "events": "the same"})
        db.execute("UPDATE events SET n = n + 1 WHERE rowid = 7")
        got = json.loads(one(db, "SELECT rec_verify('m', 1)"))
        equal(got["events"], "changed")
        refused(db, "SELECT rec_verify('m', 9)", says="no version 9")
        db.close()


def test_what_it_was_trained_on_travels_with_the_version(shop):
    db = shop_of(shop, 7, days=30)
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("INSERT INTO m(m, arg) SELECT 'load', rec_train('m')")
    first, second = (json.loads(text) for text, in rows(db, "SELECT trained_on FROM rec_versions ORDER BY version"))
    equal(first, second)
    equal((first["events"], first["first"], first["last"]), rows(db, "SELECT count(*), min(t), max(t) FROM events")[0])
    equal((first["users"], first["items"]), rows(db, "SELECT count(DISTINCT user), count(DISTINCT item) FROM events")[0])
    db.execute("INSERT INTO m(m, arg) VALUES('drop-version', 1)")
    equal(one(db, "SELECT count(*) FROM m_facts WHERE version = 1"), 0)
    # the order of the rows does not matter, nor who trains
    db.execute("CREATE TABLE shuffled AS SELECT * FROM events ORDER BY random()")
    db.execute("CREATE VIRTUAL TABLE s USING rec_model(events=shuffled, user=user, item=item, weight=n, time=t)")
    db.execute("INSERT INTO s(s) VALUES('train')")
    equal(json.loads(one(db, "SELECT trained_on FROM rec_versions WHERE model = 's'"))["fingerprint"], first["fingerprint"])


# ---- rec_describe ----


def test_a_table_is_described_as_plain_sums_do(shop):
    db = shop.connect()
    db.execute("CREATE TABLE t(a INTEGER, b, \"odd \"\"name\")")
    draw = random.Random(8)
    values = [(draw.choice([None, draw.randrange(50), draw.random() * 10, 0]), draw.choice(["x", "y", b"blob", None, 3]), i) for i in range(501)]
    db.executemany("INSERT INTO t VALUES(?, ?, ?)", values)
    db.execute("CREATE VIEW v AS SELECT * FROM t")
    for table in ("t", "v", "main.t"):
        got = {row[0]: row[1:] for row in rows(db, "SELECT name, rows, nulls, different, kinds, least, most, mean, deviation, q1, median, q3, zeros, common, times FROM rec_describe(?)", table)}
        for column, name in enumerate(("a", "b", "odd \"name")):
            there = [row[column] for row in values if row[column] is not None]
            numbers = sorted(value for value in there if isinstance(value, (int, float)))
            kinds = {}
            for row in values:
                kind = {type(None): "null", int: "integer", float: "real", str: "text", bytes: "blob"}[type(row[column])]
                kinds[kind] = kinds.get(kind, 0) + 1
            own = got[name]
            equal((own[0], own[1], own[2], json.loads(own[3])), (501, 501 - len(there), len(set(there)), kinds))
            assert abs(own[6] - statistics.mean(numbers)) < 1e-9
            assert abs(own[7] - statistics.stdev(numbers)) < 1e-9
            n = len(numbers)
            equal(own[8:12], (numbers[(n + 3) // 4 - 1], numbers[(n + 1) // 2 - 1], numbers[(3 * n + 3) // 4 - 1], numbers.count(0)))
            equal(own[13], max(there.count(value) for value in set(there)))
        equal(got["b"][5], "(BLOB)")
    db.execute("CREATE TABLE empty(x)")
    equal(rows(db, "SELECT name, rows, nulls, different, kinds, least, mean, common, times FROM rec_describe('empty')"), [("x", 0, 0, 0, "{}", None, None, None, None)])
    refused(db, "SELECT * FROM rec_describe('nosuch')", says="nosuch")
    refused(db, "SELECT * FROM rec_describe(NULL)", says="")
