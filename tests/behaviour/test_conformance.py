"""What every algorithm of a rec_model must do, whatever it computes: one row of this table for a new algorithm (support.py)."""
import threading

from support import ALGORITHMS, HAS_SIMILAR, HIDES_SEEN, equal, make_events, make_model, one, refused, rows, same_rows


def each_algorithm(shop, events=None, more=""):
    for algorithm in ALGORITHMS:
        db = shop.connect()
        if events is None:
            make_events(db)
        else:
            db.execute("CREATE TABLE events(user, item, n REAL, t INTEGER)")
            db.executemany("INSERT INTO events VALUES(?, ?, 1, 1)", events)
        make_model(db, algorithm=algorithm, more=more)
        yield algorithm, db


def hidden(algorithm, seen):
    """What of the history is listed where exclude_seen is not said."""
    return [] if algorithm in HIDES_SEEN else list(seen)


def test_an_empty_table(shop):
    for algorithm, db in each_algorithm(shop, []):
        equal(rows(db, "SELECT events, users, items FROM rec_versions"), [(0, 0, 0)], algorithm)
        for asked in ("user = 1", "user = 1 AND k = 3", "k = 3", "basket = '[1]' AND k = 3", "basket = '[]'", "user = 1 AND item = 2", "user = 1 AND item IN (2, 3)"):
            equal(rows(db, f"SELECT * FROM m WHERE {asked}"), [], f"{algorithm} {asked}")
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")


def test_one_event(shop):
    for algorithm, db in each_algorithm(shop, [(1, 10)]):
        equal(rows(db, "SELECT item FROM m WHERE user = 1"), hidden(algorithm, [(10,)]), "she has everything")
        equal(rows(db, "SELECT item, rank FROM m WHERE user = 2"), [(10, 1)], algorithm)
        equal(rows(db, """SELECT item, rank FROM m WHERE user = 1 AND options = '{"exclude_seen":false}'"""), [(10, 1)], algorithm)
        if algorithm in HAS_SIMILAR:
            equal(rows(db, "SELECT item FROM m WHERE similar_to = 10 AND k = 3"), [], "there is no other item")


def test_one_user(shop):
    for algorithm, db in each_algorithm(shop, [("u", f"i{i}") for i in range(9)]):
        same_rows(rows(db, "SELECT item FROM m WHERE user = 'u'"), hidden(algorithm, [(f"i{i}",) for i in range(9)]))
        equal(rows(db, "SELECT item FROM m WHERE user = 'v' AND k = 3"), [("i0",), ("i1",), ("i2",)], f"{algorithm}: ties break by key")
        equal(len(rows(db, "SELECT item FROM m WHERE basket = '[\"i3\"]' AND k = 20")), 8 + len(hidden(algorithm, [3])), algorithm)


def test_one_item(shop):
    for algorithm, db in each_algorithm(shop, [(user, 7) for user in range(9)]):
        same_rows(rows(db, "SELECT user, item FROM m WHERE k = 3"), hidden(algorithm, [(user, 7) for user in range(9)]))
        equal(rows(db, "SELECT item FROM m WHERE user = 99"), [(7,)], algorithm)


def test_the_whole_list_holds_every_unseen_item_once(shop):
    for algorithm, db in each_algorithm(shop):
        catalogue = {item for item, in rows(db, "SELECT DISTINCT item FROM events")}
        for user in (1, 2, 3, 999):
            seen = {item for item, in rows(db, "SELECT item FROM events WHERE user = ?", user)}
            for limit in ("", f"AND k = {len(catalogue) + 100}"):
                listed = rows(db, f"SELECT item, score, rank FROM m WHERE user = {user} {limit}")
                equal(sorted(item for item, _, _ in listed), sorted((catalogue - seen) | set(hidden(algorithm, seen))), f"{algorithm} {user}")
                equal([rank for _, _, rank in listed], list(range(1, len(listed) + 1)), "ranks")
                scores = [score for _, score, _ in listed]
                assert scores == sorted(scores, reverse=True), f"{algorithm} {user}: scores descend"
            for k in (0, 1, 5):
                equal(rows(db, f"SELECT item, score, rank FROM m WHERE user = {user} AND k = {k}"), listed[:k], f"{algorithm}: k = {k} is a prefix")


def test_an_unknown_user_has_the_popular_list(shop):
    for algorithm, db in each_algorithm(shop):
        popular = rows(db, "SELECT item FROM events GROUP BY item ORDER BY count(DISTINCT user) DESC, item")
        equal(rows(db, "SELECT item FROM m WHERE user = 999"), popular, algorithm)
        equal(rows(db, "SELECT item FROM m WHERE basket = '[]'"), popular, f"{algorithm}: an empty cart")
        equal(rows(db, "SELECT item FROM m WHERE basket = '[12345]'"), popular, f"{algorithm}: a cart of unknown items")


def test_a_cold_item(shop):
    for algorithm, db in each_algorithm(shop):
        if algorithm in HAS_SIMILAR:
            equal(rows(db, "SELECT item FROM m WHERE similar_to = 12345 AND k = 3"), [])
        for user in (1, 999):
            listed = rows(db, f"SELECT item, rank FROM m WHERE user = {user} AND candidates = '[12345, 2, 3, 54321, 12345]'")
            equal([row[1] for row in listed], [1, 2, 3, 4], f"{algorithm}: each once")
            equal([row[0] for row in listed][2:], [12345, 54321], f"{algorithm}: last, as they were given")
        equal(rows(db, "SELECT * FROM m WHERE user = 1 AND item = 12345"), [])
        before = rows(db, "SELECT item, score FROM m WHERE user = 1 AND k = 5")
        db.execute("INSERT INTO events VALUES(1, 12345, 1, 1)")
        equal(rows(db, "SELECT item, score FROM m WHERE user = 1 AND k = 5"), before, f"{algorithm}: an item that the version does not know says nothing")


def test_text_keys_of_any_kind(shop):
    keys = ["", " ", "'", '"', "o'hara", 'say "hi"', "\\", "é", "日本", "🛒", "[1]", "NULL", "17", "a" * 300, "tab\tnewline\n"]
    for algorithm, db in each_algorithm(shop, [(keys[u], keys[(u + i) % len(keys)]) for u in range(len(keys)) for i in range(4)]):
        for u, user in enumerate(keys):
            seen = {keys[(u + i) % len(keys)] for i in range(4)}
            listed = rows(db, "SELECT user, item FROM m WHERE user = ?", user)
            same_rows(listed, [(user, key) for key in keys if key not in seen or key in hidden(algorithm, seen)], f"{algorithm} {user!r}")
            equal(one(db, "SELECT rank FROM m WHERE user = ? AND item = ?", user, listed[3][1]), 4, "a pair")
            equal(rows(db, "SELECT item FROM m WHERE user = ? AND candidates = json_array(?, ?)", user, listed[5][1], listed[2][1]), [(listed[2][1],), (listed[5][1],)])
            assert all(because.startswith('{"source":') and one(db, "SELECT json_valid(?)", because) for because, in rows(db, "SELECT because FROM m WHERE user = ? AND k = 20", user))
        equal({user for user, in rows(db, "SELECT user FROM m WHERE k = 1")}, set(keys))


def test_keys_of_both_types_in_one_column(shop):
    # without a declared type 17 and '17' are two keys, as they are in SQLite
    for algorithm, db in each_algorithm(shop, [(1, 17), (1, "17"), (2, 17), (2, "x"), ("1", "17")]):
        same_rows(rows(db, "SELECT item FROM m WHERE user = 1"), [("x",)] + hidden(algorithm, [(17,), ("17",)]), algorithm)
        same_rows(rows(db, "SELECT item FROM m WHERE user = '1'"), [(17,), ("x",)] + hidden(algorithm, [("17",)]), algorithm)
        same_rows(rows(db, "SELECT item FROM m WHERE user = 99"), [(17,), ("17",), ("x",)], algorithm)


def test_one_and_several_threads_give_the_same_bits(shop):
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db, users=200, items=80)
        for threads in (1, 2, 7):
            make_model(db, f"m{threads}", algorithm, more=f", threads={threads}")
        equal(len(rows(db, "SELECT DISTINCT sha256 FROM rec_versions")), 1, algorithm)
        lists = [rows(db, f"SELECT user, item, score, rank FROM m{threads} WHERE k = 7") for threads in (1, 2, 7)]
        assert lists[0] and lists[0] == lists[1] == lists[2], f"{algorithm}: everybody's lists"


def test_the_pair_the_list_and_everybody_agree_to_the_bit(shop):
    for algorithm, db in each_algorithm(shop):
        everybody = rows(db, "SELECT user, item, score, rank FROM m WHERE k = 4")
        for user in (1, 2, 3):
            listed = rows(db, "SELECT user, item, score, rank FROM m WHERE user = ? AND k = 4", user)
            equal([row for row in everybody if row[0] == user], listed, algorithm)
            for row in listed:
                equal(rows(db, "SELECT user, item, score, rank FROM m WHERE user = ? AND item = ?", user, row[1]), [row], f"{algorithm}: the pair")


def test_cancelled_half_way_the_old_version_serves(shop):
    for algorithm in ALGORITHMS:
        db = shop.connect("cancel.db" + algorithm)
        db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
        db.execute("INSERT INTO events VALUES(1, 10, 1, 1), (2, 10, 1, 1), (2, 11, 1, 1)")
        make_model(db, algorithm=algorithm)
        before = rows(db, "SELECT item, score FROM m WHERE user = 1")
        # endless where it cannot be interrupted: the reading of the events
        db.execute("DROP TABLE events")
        db.execute("CREATE VIEW events AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000000) SELECT i % 9 AS user, i % 7 AS item, 1.0 AS n, 1 AS t FROM n")
        for sql in ("INSERT INTO m(m) VALUES('train')", "SELECT rec_train('m')"):
            stop = threading.Timer(0.15, db.interrupt)
            stop.start()
            refused(db, sql, says="interrupted")
            stop.join()
        db.execute("DROP VIEW events")
        db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
        db.execute("INSERT INTO events VALUES(1, 10, 1, 1)")
        equal(rows(db, "SELECT item, score FROM m WHERE user = 1"), before, algorithm)
        equal(rows(db, "SELECT version, active FROM rec_versions"), [(1, 1)])


def test_weights_are_netted(shop):
    for algorithm in (name for name in ALGORITHMS if name != "mf"):  # of ratings the latest counts, and 0 is one
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        expected = one(db, "SELECT sha256 FROM rec_versions")
        db.execute("INSERT INTO events SELECT user, 777, -2, t FROM events LIMIT 9")  # sent back, never bought
        db.execute("INSERT INTO m(m) VALUES('train')")
        equal(one(db, "SELECT count(*) FROM m WHERE user = 999 AND item = 777"), 0, f"{algorithm}: sums of 0 or less never were")
        equal(rows(db, "SELECT item, score FROM m WHERE user = 3"), rows(db, """SELECT item, score FROM m WHERE user = 3 AND options = '{"version":1}'"""), algorithm)
        assert expected
