"""A rec_model through versions, live histories, transactions, names, threads."""
import json, threading, time

from support import ALGORITHMS, HIDES_SEEN, equal, make_events, make_model, one, refused, rows, same_rows


def versions(db, name="m"):
    return rows(db, "SELECT version, active, algorithm FROM rec_versions WHERE model = ?", name)


def test_versions_are_numbered_activated_rolled_back_and_dropped(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db, train=False)
    refused(db, "SELECT * FROM m(1, 3)", says=("no version is active", "train"))
    cursor = db.execute("INSERT INTO m(m) VALUES('train')")
    equal(cursor.lastrowid, 1, "the version's number")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"ials","factors":8}')""")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"popular","activate":"never"}')""")
    equal(versions(db), [(1, 0, "item_knn"), (2, 1, "ials"), (3, 0, "popular")])
    equal({row[0] for row in rows(db, "SELECT version FROM m WHERE user = 1 AND k = 3")}, {2})
    equal({row[0] for row in rows(db, """SELECT version FROM m WHERE user = 1 AND k = 3 AND options = '{"version":1}'""")}, {1})
    db.execute("INSERT INTO m(m) VALUES('rollback')")
    equal(versions(db)[0], (1, 1, "item_knn"))
    db.execute("INSERT INTO m(m) VALUES('rollback')")
    equal(versions(db)[1], (2, 1, "ials"), "a rollback can be rolled back")
    refused(db, "INSERT INTO m(m, arg) VALUES('drop-version', 2)", says="version 2 is active")
    db.execute("INSERT INTO m(m, arg) VALUES('drop-version', 3)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal([row[0] for row in versions(db)], [1, 2, 4], "a number is never used twice")
    db.execute("INSERT INTO m(m, arg) VALUES('activate', 1)")
    equal([row[2] for row in rows(db, "SELECT model, version, action FROM rec_deployments")], ["train", "train", "rollback", "rollback", "train", "activate"])
    db.close()
    db = shop.connect("shop.db")
    equal({row[0] for row in rows(db, "SELECT version FROM m WHERE user = 1 AND k = 3")}, {1}, "after reopening")
    db.execute("INSERT INTO m(m) VALUES('integrity-check')")


def test_the_same_data_gives_the_same_bits(shop):
    for algorithm in ALGORITHMS:
        hashes = set()
        for order in ("rowid", "rowid DESC", "item, user DESC"):
            db = shop.connect()
            make_events(db, users=300, items=120)
            db.execute(f"CREATE TABLE shuffled AS SELECT * FROM events ORDER BY {order}")
            for threads in (1, 2, 5):
                make_model(db, f"m{threads}", algorithm, events="shuffled", more=f", threads={threads}, half_life=300")
            hashes |= {row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}
            db.execute("INSERT INTO m1(m1, arg) SELECT 'load', rec_train('m2')")
            hashes |= {row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}
        equal(len(hashes), 1, algorithm)


def test_a_purchase_counts_at_once(shop):
    for algorithm in ("item_knn", "ials"):
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        first = one(db, "SELECT item FROM m(7, 1)")
        before = rows(db, "SELECT item, score FROM m(7, 5)")
        db.execute("BEGIN")
        db.execute("INSERT INTO events VALUES(7, ?, 1, 2000)", (first,))
        after = rows(db, "SELECT item, score FROM m(7, 5)")
        assert first not in [row[0] for row in after] and after != before, algorithm
        db.execute("ROLLBACK")
        equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
        db.execute("INSERT INTO events VALUES(7, ?, 1, 2000), (7, ?, -1, 2001)", (first, first))
        equal([row[0] for row in rows(db, "SELECT item, score FROM m(7, 5)")][0], first, "bought and returned")


def test_unknown_users_and_short_lists_get_the_popular_ones(shop):
    db = shop.connect()
    make_events(db)
    popular = [row[0] for row in rows(db, "SELECT item FROM events GROUP BY item ORDER BY count(DISTINCT user) DESC, item LIMIT 5")]
    for algorithm in ALGORITHMS:
        make_model(db, "m_" + algorithm, algorithm)
        listed = rows(db, f"SELECT item, because FROM m_{algorithm} WHERE user = 999 AND k = 5")
        equal([row[0] for row in listed], popular, algorithm)
        equal({row[1] for row in listed}, {'{"source":"popular"}'})
    full = rows(db, "SELECT item, score, because FROM m_item_knn WHERE user = 7")
    filled = [row for row in full if row[1] == 0]
    assert filled and full[-len(filled):] == filled, "what is filled in comes last"
    equal({row[2] for row in filled}, {'{"source":"popular"}'})


def test_because_names_items_of_the_history_and_its_shares(shop):
    for algorithm in ("item_knn", "ials"):
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        history = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7")}
        for (because,) in rows(db, "SELECT because FROM m WHERE user = 7 AND k = 3"):
            reason = json.loads(because)
            equal(reason["source"], "history")
            assert {part["item"] for part in reason["items"]} <= history
            assert 0 < sum(part["share"] for part in reason["items"]) <= 1.0005


def test_seen_items_are_left_out_unless_asked_for(shop):
    for algorithm in HIDES_SEEN:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        history = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7")}
        everything = {row[0] for row in rows(db, "SELECT DISTINCT item FROM events")}
        equal({row[0] for row in rows(db, "SELECT item FROM m WHERE user = 7")}, everything - history)
        equal({row[0] for row in rows(db, """SELECT item FROM m WHERE user = 7 AND options = '{"exclude_seen":false}'""")}, everything)
        listed = rows(db, "SELECT item, score, rank FROM m WHERE user = 7")
        equal([row[2] for row in listed], list(range(1, len(listed) + 1)))
        equal([row[1] for row in listed], sorted((row[1] for row in listed), reverse=True))
        if algorithm != "popular":
            equal({row[0] for row in rows(db, "SELECT item FROM m WHERE basket = '[1, 2]'")}, everything - {1, 2})


def test_algorithms_of_repeats_offer_what_was_seen_unless_told_not_to(shop):
    for algorithm in set(ALGORITHMS) - set(HIDES_SEEN):
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        history = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7")}
        everything = {row[0] for row in rows(db, "SELECT DISTINCT item FROM events")}
        equal({row[0] for row in rows(db, "SELECT item FROM m WHERE user = 7")}, everything)
        equal({row[0] for row in rows(db, """SELECT item FROM m WHERE user = 7 AND options = '{"exclude_seen":true}'""")}, everything - history)
        equal({row[0] for row in rows(db, "SELECT item FROM m WHERE user = 7 AND k = 1")} <= history, True, algorithm)


def test_keys_keep_the_type_of_the_users_table(shop):
    db = shop.connect()
    db.execute("CREATE TABLE events(user TEXT, item TEXT, n REAL, t INTEGER)")
    names = ["", "o'hara", 'q"uote', "éclair", "17", "日本"]
    for i, user in enumerate(names):
        for j in range(3):
            db.execute("INSERT INTO events VALUES(?, ?, 1, 1)", (user, names[(i + j) % 6]))
    make_model(db)
    for user in names:
        equal({row[0] for row in rows(db, "SELECT user FROM m WHERE user = ? AND k = 2", user)}, {user})
    equal(rows(db, "SELECT typeof(user), typeof(item) FROM m WHERE user = 17 AND k = 1"), [("text", "text")])
    db = shop.connect()
    make_events(db)
    make_model(db)
    expected = rows(db, "SELECT user, item FROM m WHERE user = 7 AND k = 3")
    for spelling in ("'7'", "7.0", "' 7'"):
        equal(rows(db, f"SELECT user, item FROM m WHERE user = {spelling} AND k = 3"), expected, spelling)
    equal(rows(db, "SELECT user, rank FROM m WHERE user = 'x' AND k = 1"), [("x", 1)], "a text can be no INTEGER user: the popular list")


def test_training_follows_transactions(shop):
    db, other = shop.connect("shop.db"), None
    db.execute("PRAGMA journal_mode=WAL")
    make_events(db)
    make_model(db)
    other = shop.connect("shop.db")
    before = rows(db, "SELECT item, score FROM m(7, 5)")
    db.execute("BEGIN")
    db.execute("DELETE FROM events WHERE user > 20")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(one(db, "SELECT version FROM m(7, 1)"), 2)
    equal(one(other, "SELECT version FROM m(7, 1)"), 1, "others still see the old version")
    db.execute("SAVEPOINT s"); db.execute("INSERT INTO m(m) VALUES('train')"); db.execute("ROLLBACK TO s")
    equal(one(db, "SELECT version FROM m(7, 1)"), 2)
    db.execute("ROLLBACK")
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(one(other, "SELECT version FROM m(7, 1)"), 2)


def test_names_resolve_to_the_schema_of_the_model(shop):
    db = shop.connect("shop.db")
    make_events(db, seed=1)
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE TABLE aux.events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("INSERT INTO aux.events VALUES(1, 100, 1, 1), (2, 100, 1, 1), (2, 101, 1, 1)")
    db.execute("CREATE VIRTUAL TABLE aux.m USING rec_model(events=events, user=user, item=item)")
    db.execute("CREATE TEMP TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("INSERT INTO aux.m(m) VALUES('train')")
    equal(rows(db, "SELECT item FROM aux.m(1, 5)"), [(101,)])
    equal(rows(db, "SELECT schema, model FROM rec_models"), [("aux", "m")])
    blob = one(db, "SELECT length(rec_train('aux.m'))")
    assert blob > 100


def test_rename_drop_and_reopen(shop):
    db = shop.connect("shop.db")
    make_events(db)
    make_model(db)
    before = rows(db, "SELECT item FROM m(7, 5)")
    db.execute("ALTER TABLE m RENAME TO renamed")
    equal(rows(db, "SELECT item FROM renamed(7, 5)"), before)
    db.execute("VACUUM")
    db.close()
    db = shop.connect("shop.db")
    equal(rows(db, "SELECT item FROM renamed(7, 5)"), before)
    db.execute("INSERT INTO renamed(renamed) VALUES('train')")
    db.execute("DROP TABLE renamed")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name <> 'events'"), [])


def test_triggers_may_deploy_and_may_not_train_by_function(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("CREATE TABLE alarm(x)")
    db.execute("CREATE TRIGGER back AFTER INSERT ON alarm BEGIN INSERT INTO m(m) VALUES('rollback'); END")
    db.execute("INSERT INTO alarm VALUES(1)")
    equal(one(db, "SELECT version FROM m(7, 1)"), 1)
    db.execute("CREATE VIEW v AS SELECT rec_train('m')")
    refused(db, "SELECT * FROM v", says="unsafe use of rec_train")


def test_progress_is_rows_that_another_thread_reads(shop):
    db, watcher = shop.connect("shop.db"), shop.connect("other.db")
    make_events(db, users=400, items=200)
    make_model(db, algorithm="ials", more=", factors=128, sweeps=60")
    seen = []
    thread = threading.Thread(target=lambda: db.execute("SELECT rec_train('m')").fetchone())
    thread.start()
    while thread.is_alive():
        seen += rows(watcher, "SELECT name, phase, done, total FROM rec_progress")
        time.sleep(0.005)
    thread.join()
    assert any(row[0] == "m" and row[1] == "factors" and 0 < row[2] <= row[3] == 60 for row in seen), seen[:3]
    equal(rows(watcher, "SELECT * FROM rec_progress"), [])


def test_the_history_is_said_to_be_a_scan_or_an_index(shop):
    db = shop.connect()
    make_events(db)
    make_model(db)
    equal(one(db, "SELECT history FROM rec_models"), "scan")
    db.execute("CREATE INDEX by_user ON events(user)")
    equal(one(db, "SELECT history FROM rec_models"), "index")


def test_until_bounds_training_and_history(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, train=False)
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"until":500}')""")
    equal(one(db, "SELECT events FROM rec_versions"), one(db, "SELECT count(*) FROM events WHERE t < 500"))
    seen = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7 AND t < 500")}
    known = {row[0] for row in rows(db, "SELECT DISTINCT item FROM events WHERE t < 500")}
    equal({row[0] for row in rows(db, "SELECT item FROM m WHERE user = 7")}, known - seen)
    all_seen = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7")}
    equal({row[0] for row in rows(db, """SELECT item FROM m WHERE user = 7 AND options = '{"until":250000000000}'""")}, known - all_seen)


def test_keep_leaves_the_newest_versions_the_active_one_and_the_one_before_it(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, time=t, algorithm=popular, keep=2)")

    def versions():
        kept = [row[0] for row in rows(db, "SELECT version FROM rec_versions ORDER BY 1")]
        equal([row[0] for row in rows(db, "SELECT DISTINCT version FROM m_chunks ORDER BY 1")], kept, "and no bytes of others")
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")
        return kept

    for _ in range(4):
        db.execute("INSERT INTO m(m) VALUES('train')")
    equal(versions(), [3, 4])
    for _ in range(3):
        db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"activate": "never"}')""")
    equal(versions(), [3, 4, 6, 7], "4 serves, and rollback goes back to 3")
    db.execute("INSERT INTO m(m) VALUES('rollback')")
    equal(one(db, "SELECT version FROM rec_versions WHERE active"), 3)
    db.execute("INSERT INTO m(m, arg) VALUES('load', rec_train('m'))")
    equal(versions(), [3, 7, 8])
    db.execute("""INSERT INTO m(m, arg, options) VALUES('load', rec_train('m'), '{"keep": 0}')""")
    equal(versions(), [3, 7, 8, 9], "0: all that are there")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"keep": 1}')""")
    equal(versions(), [9, 10])
    refused(db, """INSERT INTO m(m, arg) VALUES('train', '{"keep": -1}')""", says="keep=-1 (0..1000000)")
    db.execute("BEGIN")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(versions(), [10, 11])
    db.execute("ROLLBACK")
    equal(versions(), [9, 10])
