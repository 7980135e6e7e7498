"""Erasing a user, proving it, handing over what is kept of her, and keeping no longer than needed."""
import collections, json, os, sqlite3, subprocess, sys, time

from support import EXTENSION, equal, make_events, make_model, one, refused, rows, same_rows, shadow
from test_rollout import note, two_versions
from test_shown_log import put

NAME = "anna.nobody@example.org"


def named_shop(shop, name="shop.db", algorithm="item_knn", **options):
    """Users by name, with times; NAME is one of them."""
    db = shop.connect(name)
    db.execute("CREATE TABLE events(who TEXT, item INTEGER, at INTEGER, paid REAL, raw BLOB, visit TEXT)")
    for user in range(30):
        who = NAME if user == 7 else f"user-{user:02}"
        for i in range(6 + user % 5):
            db.execute("INSERT INTO events VALUES(?, ?, ?, ?, ?, ?)", (who, (user * 7 + i * (3 + user % 4)) % 40, 1700000000 + user * 86400 + i * 3600, 9.5, b"\1\2", f"visit-{user}-{i // 3}"))
    db.execute("CREATE INDEX by_who ON events(who)")
    more = "".join(f", {key}={value}" for key, value in options.items())
    db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=events, user=who, item=item, time=at, algorithm={algorithm}{more})")
    db.execute("INSERT INTO m(m) VALUES('train')")
    put(db, "shown", list="l1", user=NAME, items=[1, 2])
    put(db, "shown", list="l2", user="user-03", items=[1, 2])
    put(db, "outcome", list="l1", item=1, kind="click")
    put(db, "outcome", user=NAME, item=1, kind="purchase", value=3)
    put(db, "outcome", list="l2", item=1, kind="click")
    return db


def test_a_user_is_erased_everywhere_but_in_nobody_else(shop):
    db = named_shop(shop)
    others = rows(db, "SELECT * FROM events WHERE who <> ?", NAME)
    equal(rows(db, "SELECT place, rows FROM rec_verify_forgotten('m', ?)", NAME), [("events", 8), ("lists", 1), ("outcomes", 2)])
    db.execute("INSERT INTO m(m, arg) VALUES('forget', ?)", (NAME,))
    equal(rows(db, "SELECT * FROM rec_verify_forgotten('m', ?)", NAME), [])
    equal(rows(db, "SELECT * FROM events"), others)
    equal(rows(db, "SELECT DISTINCT user FROM rec_shown('m')"), [("user-03",)])
    equal(rows(db, "SELECT user FROM rec_outcomes('m')"), [("user-03",)])
    equal(one(db, "SELECT count(*) FROM m WHERE user = ? AND score > 0", NAME), 0)
    equal(json.loads(one(db, "SELECT detail FROM rec_audit('m') WHERE command = 'forget'")), {"events": 8, "rows": 5, "versions": {}})
    equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["ok"], True)


def test_no_page_of_the_file_has_her_name(shop):
    for mode in ("DELETE", "WAL"):
        db = named_shop(shop, f"{mode}.db")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("PRAGMA secure_delete=OFF")
        db.execute("BEGIN")
        db.execute("INSERT INTO m(m, arg) VALUES('forget', ?)", (json.dumps({"user": NAME}),))
        db.execute("COMMIT")
        equal(one(db, "PRAGMA secure_delete"), 0, "as it was")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for file in os.listdir(shop.folder):
            if file.startswith(mode):
                with open(shop.path(file), "rb") as stream:
                    assert NAME.encode() not in stream.read(), file
        db.close()


def stored_rows(db, version=1):
    """What a user_knn version keeps, by its own layout: the last part before the checksum."""
    return b"".join(row[0] for row in rows(db, "SELECT data FROM m_chunks WHERE version = ? ORDER BY chunk", version))


def test_rows_of_users_leave_the_versions_that_keep_them(shop):
    for algorithm, options in (("user_knn", {}), ("repeat", {"variant": "tifu"}), ("repeat", {"variant": "tifu", "cadence": "true"}), ("session_knn", {}), ("session_knn", {"session": "visit"}),
                               ("blend", {"models": "'[{\"algorithm\":\"item_knn\"},{\"algorithm\":\"user_knn\"}]'"})):
        name = f"{algorithm}{len(options)}{'session' in options}.db"
        db = named_shop(shop, name, algorithm, **options)
        items = [row[0] for row in rows(db, "SELECT DISTINCT item FROM events WHERE who = ?", NAME)]
        visits = {}
        for visit, item in rows(db, "SELECT visit, item FROM events WHERE who = ?", NAME):
            visits.setdefault(visit if "session" in options else "all", set()).add(item)
        others = collections.defaultdict(set)
        for who, visit, item in rows(db, "SELECT who, visit, item FROM events WHERE who <> ?", NAME):
            others[visit if "session" in options else who].add(item)
        asked = [json.dumps(sorted(own)) for own in visits.values() if own not in others.values()]
        assert asked
        for own in asked:
            equal(rows(db, "SELECT place, version FROM rec_verify_forgotten('m', ?, ?) WHERE place = 'version'", NAME, own), [("version", 1)], name)
        sha, before, size = one(db, "SELECT sha256 FROM m_versions"), rows(db, "SELECT user, item, score FROM m WHERE k = 5"), len(stored_rows(db))
        other = shop.connect(name)  # another connection has the version at hand
        rows(other, "SELECT * FROM m WHERE user = 'user-03' AND k = 3")
        db.execute("BEGIN")
        db.execute("INSERT INTO m(m, arg) VALUES('forget', ?)", (NAME,))
        db.execute("ROLLBACK")
        equal((one(db, "SELECT sha256 FROM m_versions"), rows(db, "SELECT user, item, score FROM m WHERE k = 5")), (sha, before))
        db.execute("INSERT INTO m(m, arg) VALUES('forget', ?)", (NAME,))
        for own in asked:
            equal(rows(db, "SELECT * FROM rec_verify_forgotten('m', ?, ?)", NAME, own), [], name)
        equal(json.loads(one(db, "SELECT detail FROM rec_audit('m') WHERE command = 'forget'"))["versions"], {"1": "rewritten"})
        assert one(db, "SELECT sha256 FROM m_versions") != sha and len(stored_rows(db)) < size
        equal(one(db, "SELECT bytes FROM m_versions"), len(stored_rows(db)))
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")
        # as if she had never been there: a version that is trained without her lists the same
        now = rows(db, "SELECT user, item, rank FROM m WHERE k = 5")
        equal(rows(other, "SELECT user, item, rank FROM m WHERE k = 5"), now, "other connections have the new rows")
        db.execute("INSERT INTO m(m) VALUES('train')")
        if algorithm == "user_knn":
            equal(rows(db, "SELECT user, item, rank FROM m WHERE k = 5"), now)
        db.close()
        other.close()


def test_of_equal_rows_one_goes(shop):
    db = named_shop(shop, algorithm="user_knn")
    for item, at in rows(db, "SELECT item, at FROM events WHERE who = ?", NAME):
        db.execute("INSERT INTO events(who, item, at) VALUES('twin', ?, ?)", (item, at))
    db.execute("INSERT INTO m(m) VALUES('train')")
    items = json.dumps([row[0] for row in rows(db, "SELECT item FROM events WHERE who = 'twin'")])
    db.execute("INSERT INTO m(m, arg) VALUES('forget', ?)", (NAME,))
    equal(rows(db, "SELECT place, version FROM rec_verify_forgotten('m', ?, ?)", NAME, items), [("version", 2)], "the twin's")


def test_what_cannot_be_told_is_said_before_anything_is_erased(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="user_knn")
    db.execute("INSERT INTO events VALUES(3, 39, 1, 5)")  # of before the training, but not trained on
    before, events = shadow(db, "m"), rows(db, "SELECT * FROM events")
    refused(db, "INSERT INTO m(m, arg) VALUES('forget', 3)", says="version 1 (user_knn) keeps users' rows")
    equal((shadow(db, "m"), rows(db, "SELECT * FROM events")), (before, events))
    refused(db, "INSERT INTO m(m, arg) VALUES('forget', '{\"user\": 3, \"versions\": \"drop\"}')", says="version 1 keeps users' rows and is active")
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("INSERT INTO m(m, arg) VALUES('forget', '{\"user\": 3, \"versions\": \"keep\"}')")
    equal(json.loads(one(db, "SELECT detail FROM rec_audit('m') WHERE command = 'forget'"))["versions"], {"1": "kept", "2": "kept"})
    equal(one(db, "SELECT count(*) FROM events WHERE user = 3"), 0)
    for arg, says in ((None, "arg is a user"), ("{}", "user must be"), ('{"user": [1]}', "user must be"), ('{"user": 3, "events": "maybe"}', "delete|keep"), ('{"user": 3, "all": 1}', "unknown option 'all'")):
        refused(db, "INSERT INTO m(m, arg) VALUES('forget', ?)", arg, says=says)


def test_events_of_a_view_are_the_shops(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE VIEW seen AS SELECT * FROM events")
    db.execute("CREATE VIRTUAL TABLE v USING rec_model(events=seen, user=user, item=item)")
    db.execute("INSERT INTO v(v) VALUES('train')")
    refused(db, "INSERT INTO v(v, arg) VALUES('forget', 3)", says="seen is no ordinary table")
    db.execute("INSERT INTO v(v, arg) VALUES('forget', '{\"user\": 3, \"events\": \"keep\"}')")
    equal(rows(db, "SELECT place FROM rec_verify_forgotten('v', 3)"), [("events",)])


def test_what_is_kept_of_a_user_is_handed_over(shop):
    db = named_shop(shop)
    found = rows(db, "SELECT source, row FROM rec_export_user('m', ?)", NAME)
    by_source = collections.defaultdict(list)
    for source, row in found:
        by_source[source].append(json.loads(row))
    equal([tuple(row.values()) for row in by_source["event"]], [row[:4] + ("0102",) + row[5:] for row in rows(db, "SELECT * FROM events WHERE who = ?", NAME)])
    equal([(row["list"], row["item"], row["rank"]) for row in by_source["shown"]], [("l1", 1, 1), ("l1", 2, 2)])
    equal([(row["kind"], row["list"], row["value"]) for row in by_source["outcome"]], [("click", "l1", 1.0), ("purchase", None, 3.0)])
    equal(rows(db, "SELECT * FROM rec_export_user('m', 'nobody')"), [])
    refused(db, "SELECT * FROM rec_export_user('m', NULL)", says="user")


def test_the_log_is_kept_no_longer_than_said(shop):
    db = two_versions(shop)
    for day in range(10):
        put(db, "shown", list=day, user=day, items=[1, 2], at=day * 86400)
        put(db, "outcome", list=day, item=1, kind="click", at=day * 86400 + 10)
    refused(db, "INSERT INTO m(m) VALUES('retain')", says="give one of days and before")
    refused(db, "INSERT INTO m(m, arg) VALUES('retain', '{\"days\": 3, \"before\": 5}')", says="give one of days and before")
    note(db, "retain", {"before": 4 * 86400}, at=1)
    equal(rows(db, "SELECT DISTINCT list FROM rec_shown('m')"), [(day,) for day in range(4, 10)])
    equal(rows(db, "SELECT list FROM rec_outcomes('m')"), [(day,) for day in range(4, 10)])
    note(db, "retain", {"days": 2}, at=9 * 86400)
    equal(rows(db, "SELECT DISTINCT list FROM rec_shown('m')"), [(day,) for day in range(7, 10)])
    equal(one(db, "SELECT count(*) FROM m_shown"), 6)
    equal(json.loads(one(db, "SELECT detail FROM rec_audit('m') ORDER BY id DESC LIMIT 1")), {"before": 7 * 86400, "rows": 3 + 6 + 3})


KILLED = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None); db.enable_load_extension(True); db.load_extension(sys.argv[2])
print("ready", flush=True)
for user in range(1, 10**6):
    db.execute("INSERT INTO m(m, arg) VALUES('forget', ?)", (user,))
"""


def test_a_killed_forget_has_erased_all_or_nothing(shop):
    db = shop.connect("killed.db")
    make_events(db, users=400)
    make_model(db, algorithm="user_knn")
    for user in range(1, 401):
        put(db, "shown", list=user, user=user, items=[1])
    db.close()
    process = subprocess.Popen([sys.executable, "-c", KILLED, shop.path("killed.db"), EXTENSION], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(0.4)
    process.kill()
    process.wait()
    db = shop.connect("killed.db")
    equal(one(db, "PRAGMA integrity_check"), "ok")
    done = one(db, "SELECT count(*) FROM rec_audit('m') WHERE command = 'forget'")
    assert 0 < done < 400, done
    equal({row[0] for row in rows(db, "SELECT DISTINCT user FROM rec_shown('m')")}, set(range(done + 1, 401)))
    equal(one(db, "SELECT min(user) FROM events"), done + 1)
    equal(one(db, "SELECT count(DISTINCT user) FROM events"), 400 - done)
    db.execute("INSERT INTO m(m) VALUES('integrity-check')")
    equal(json.loads(one(db, "SELECT rec_audit_verify('m')"))["ok"], True)
