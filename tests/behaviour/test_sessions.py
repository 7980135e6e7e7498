"""session=: for session_knn a session is what the column says, and a user's history is her latest one; others do not read it."""
import json, random

from support import equal, make_model, one, refused, rows, same_rows, shadow

VARIANTS = ("vstan", "stan", "vsknn", "vmis")
HIDE = '{"exclude_seen":true}'


def make_clicks(db, users=30, items=40, seed=6, table="clicks", text=False):
    """Sessions of 2 to 6 clicks, one after the other in time, numbered over all users; rows in no order."""
    draw = random.Random(seed)
    db.execute(f"CREATE TABLE {table}(user INTEGER, item INTEGER, n REAL, t INTEGER, visit)")
    now, listed = 1000, []
    for session in range(users * 4):
        user, kind = draw.randrange(users) + 1, draw.randrange(4)
        for _ in range(draw.randrange(2, 7)):
            item = kind * 10 + draw.randrange(10) + 1 if draw.random() < .8 else draw.randrange(items) + 1
            listed.append((user, item, 1, now, f"visit {session * 7919 % 1000}" if text else session))
            now += draw.choice((0, 5, 60))
        now += 1000
    draw.shuffle(listed)
    db.executemany(f"INSERT INTO {table} VALUES(?, ?, ?, ?, ?)", listed)


def click_shop(shop, more="", algorithm="session_knn", text=False, name=None, train=True):
    db = shop.connect(name)
    make_clicks(db, text=text)
    make_model(db, algorithm=algorithm, events="clicks", more=", session=visit" + more, train=train)
    return db


def latest(db, user, until=10**12):
    """The items of her latest session, in the order of their last clicks."""
    visit = rows(db, "SELECT visit FROM clicks WHERE user = ? AND t < ? ORDER BY t DESC LIMIT 1", user, until)[0][0]
    return [row[0] for row in rows(db, "SELECT item FROM clicks WHERE user = ? AND visit IS ? AND t < ? GROUP BY item ORDER BY max(t), item", user, visit, until)]


def users(db):
    return [row[0] for row in rows(db, "SELECT DISTINCT user FROM clicks ORDER BY 1")]


def of_cart(db, cart, options="{}", model="m"):
    return rows(db, f"SELECT item, score FROM {model} WHERE basket = ? AND options = ? ORDER BY rank", json.dumps(cart), options)


def of_user(db, user, options="{}", model="m"):
    return rows(db, f"SELECT item, score FROM {model} WHERE user = ? AND options = ? ORDER BY rank", user, options)


def test_the_history_of_a_user_is_her_latest_session(shop):
    """Its list is that of a cart with the session's items in their order; without session= it is that of all she has."""
    for text in (False, True):
        for variant in VARIANTS:
            db = click_shop(shop, f", variant={variant}", text=text)
            make_model(db, "whole", "session_knn", events="clicks", more=f", variant={variant}")
            differs = 0
            for user in users(db):
                equal(of_user(db, user), of_cart(db, latest(db, user)), f"{variant}, user {user}")
                equal(of_user(db, user, HIDE), of_cart(db, latest(db, user), HIDE), f"{variant}, user {user}, exclude_seen")
                everything = [row[0] for row in rows(db, "SELECT item FROM clicks WHERE user = ? GROUP BY item ORDER BY max(t), item", user)]
                equal(of_user(db, user, model="whole"), of_cart(db, everything, model="whole"), f"{variant}, user {user}, no session=")
                differs += of_user(db, user) != of_cart(db, everything)
            assert differs > 15, f"{variant}: the sessions decide for {differs}"


def test_sessions_are_what_is_trained_on(shop):
    db = click_shop(shop)
    equal(rows(db, "SELECT users, events FROM rec_versions"), [(one(db, "SELECT count(DISTINCT visit) FROM clicks"), one(db, "SELECT count(*) FROM clicks"))])
    db.execute("CREATE VIEW by_visit AS SELECT visit AS user, item, n, t FROM clicks")
    make_model(db, "visits", "session_knn", events="by_visit")
    equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}), 1, "the same model as of a table whose users are the sessions")


def test_users_may_number_their_own_sessions(shop):
    """The column "tells the sessions of a user apart": 1, 2, 3 of one user and 1, 2, 3 of another are six sessions."""
    db = click_shop(shop)
    db.execute("CREATE TABLE numbered AS SELECT user, item, n, t, dense_rank() OVER (PARTITION BY user ORDER BY visit) AS visit FROM clicks")
    make_model(db, "own", "session_knn", events="numbered", more=", session=visit")
    equal(one(db, "SELECT users FROM rec_versions WHERE model = 'own'"), one(db, "SELECT users FROM rec_versions WHERE model = 'm'"), "sessions")
    for user in (3, 7, 20):
        equal(of_user(db, user, model="own"), of_user(db, user), f"user {user}")


def test_no_two_users_and_sessions_are_one(shop):
    """Whatever is in their texts."""
    db = shop.connect()
    db.execute("CREATE TABLE clicks(user, item INTEGER, n REAL, t INTEGER, visit)")
    pairs = [("a", "b"), ("ab", ""), ("", "ab"), ("a", "\x1fb"), ("a\x1f", "b"), ("a\x1ftb", "c"), ("a", "b\x1ftc"), ("a", "b\x1ftc\x1f3"), ("a\x1ftb\x1f1", "c"), ("1", 1), (1, "1"), (1, 1), ("i8000000000000001", 1), (-1, 1), (1, -1)]
    for n, (user, visit) in enumerate(pairs):
        db.executemany("INSERT INTO clicks VALUES(?, ?, 1, ?, ?)", [(user, n * 2 + at, 1000 * n + at, visit) for at in (1, 2)])
    make_model(db, algorithm="session_knn", events="clicks", more=", session=visit")
    equal(one(db, "SELECT users FROM rec_versions"), len(pairs))
    for n in range(len(pairs)):
        equal([item for item, score in of_cart(db, [n * 2 + 1]) if score > 0 and item != n * 2 + 1], [n * 2 + 2], str(pairs[n]))


def test_a_new_session_counts_at_once(shop):
    db = click_shop(shop)
    before = of_user(db, 7)
    db.execute("BEGIN")
    db.execute("INSERT INTO clicks VALUES(7, 33, 1, 9000000, 'new')")
    equal(of_user(db, 7), of_cart(db, [33]))
    db.execute("INSERT INTO clicks VALUES(7, 3, 1, 9000001, 'new')")
    equal(of_user(db, 7), of_cart(db, [33, 3]))
    db.execute("INSERT INTO clicks VALUES(7, 33, 1, 9000002, 'new')")
    equal(of_user(db, 7), of_cart(db, [3, 33]), "33 was clicked again")
    assert of_cart(db, [3, 33]) != of_cart(db, [33, 3])
    db.execute("INSERT INTO clicks VALUES(7, 5, 1, 1, 'new')")
    equal(of_user(db, 7), of_cart(db, [5, 3, 33]), "an early click of the latest session")
    db.execute("INSERT INTO clicks VALUES(7, 777, 1, 9000009, 'newer')")
    equal(of_user(db, 7), of_cart(db, [5, 3, 33]), "a session of what the model does not know says nothing")
    db.execute("ROLLBACK")
    equal(of_user(db, 7), before)


def test_until_and_max_history_act_within_sessions(shop):
    db = click_shop(shop)
    middle = one(db, "SELECT avg(t) FROM clicks")
    compared = 0
    for user in users(db):
        if one(db, "SELECT count(*) FROM clicks WHERE user = ? AND t < ?", user, middle):
            equal(of_user(db, user, json.dumps({"until": middle})), of_cart(db, latest(db, user, middle)), f"user {user}")
            compared += latest(db, user, middle) != latest(db, user)
    assert compared > 10
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"max_history":2}')""")
    for user in users(db):
        last = rows(db, "SELECT max(t), item FROM clicks WHERE user = ?1 AND visit = (SELECT visit FROM clicks WHERE user = ?1 ORDER BY t DESC LIMIT 1) GROUP BY item ORDER BY 1 DESC, 2 LIMIT 2", user)
        equal(of_user(db, user), of_cart(db, [item for _, item in sorted(last)]), f"user {user}, the last two")


def test_ties_in_time_take_one_session_and_the_same_everywhere(shop):
    db = click_shop(shop)
    for user in users(db):
        db.executemany("INSERT INTO clicks VALUES(?, ?, 1, ?, ?)", [(user, item, t, visit) for visit, offset in (("a", 0), ("b", 10), (5003, 20)) for item, t in ((1 + offset, 8000000), (2 + offset, 9000000))])
    carts = [[1 + offset, 2 + offset] for offset in (0, 10, 20)]
    expected = of_user(db, 7)
    assert expected in [of_cart(db, cart) for cart in carts], "one of the three, and no mixture"
    equal({tuple(of_user(db, user)) for user in users(db)}, {tuple(expected)}, "the same one for everybody")
    db.execute("CREATE TABLE other AS SELECT * FROM clicks ORDER BY visit DESC, item DESC, user DESC")
    make_model(db, "o", "session_knn", events="other", more=", session=visit", train=False)
    db.execute("INSERT INTO o(o, arg) SELECT 'load', rec_train('m')")
    db.execute("INSERT INTO m(m, arg) SELECT 'load', rec_train('m')")
    equal(of_user(db, 7, model="o"), of_user(db, 7), "whatever the order of the rows")
    for user in (7, 8):
        equal(rows(db, "SELECT item, score FROM m WHERE k = 9 AND user = ?", user), of_user(db, user)[:9])
    equal({row for row in rows(db, "SELECT item, score FROM m WHERE k = 2")} <= set(of_user(db, 7)[:2]), True, "everybody's lists take the same one")


def test_numbers_and_texts_are_different_sessions(shop):
    db = shop.connect()
    make_clicks(db)
    db.execute("INSERT INTO clicks VALUES(7, 1, 1, 9000001, 10), (7, 2, 1, 9000002, '10'), (7, 3, 1, 9000003, 10)")
    make_model(db, algorithm="session_knn", events="clicks", more=", session=visit")
    equal(of_user(db, 7)[:12], of_cart(db, [row[0] for row in rows(db, "SELECT item FROM clicks WHERE user = 7 AND visit = 10 AND typeof(visit) = 'integer' GROUP BY item ORDER BY max(t), item")])[:12])
    db.execute("INSERT INTO clicks VALUES(7, 30, 1, 9000004, 10.0)")
    equal(of_user(db, 7)[:12], of_cart(db, [row[0] for row in rows(db, "SELECT item FROM clicks WHERE user = 7 AND visit = 10 AND typeof(visit) <> 'text' GROUP BY item ORDER BY max(t), item")])[:12], "10.0 is 10")


def test_sessions_that_cannot_be_read_are_refused(shop):
    for value in ("NULL", "x'01'", "1.5"):
        db = click_shop(shop)
        before = shadow(db, "m")
        others = of_user(db, 8)
        db.execute(f"INSERT INTO clicks VALUES(7, 1, 1, 9000000, {value})")
        for sql in ("INSERT INTO m(m) VALUES('train')", "SELECT rec_train('m')", "SELECT * FROM m WHERE user = 7", "SELECT * FROM m(7, 3)", "SELECT * FROM m WHERE k = 3"):
            refused(db, sql, says=("clicks.visit", "NULL, a BLOB or a fraction"))
        equal(of_user(db, 8), others, "who has none of them is served")
        equal(shadow(db, "m"), before)
        db.execute("DELETE FROM clicks WHERE t = 9000000")
        equal(len(of_user(db, 7)), one(db, "SELECT items FROM rec_versions"))


def test_arguments_that_are_wrong(shop):
    db = shop.connect()
    make_clicks(db)
    create = "CREATE VIRTUAL TABLE x USING rec_model(events=clicks, user=user, item=item, algorithm=session_knn{})"
    refused(db, create.format(", session=nosuch, time=t"), says="clicks has no column 'nosuch'")
    refused(db, create.format(", session=visit, session=n, time=t"), says="given twice")
    db.execute(create.format(", session=visit"))
    refused(db, "INSERT INTO x(x) VALUES('train')", says="session_knn needs the order of the events: time=")
    db.execute("DROP TABLE x")
    make_model(db, "m", "session_knn", events="clicks", more=', session="VISIT"')
    equal(of_user(db, 7), of_cart(db, latest(db, 7)), "names of columns have no case")


def test_other_algorithms_do_not_read_sessions(shop):
    for algorithm in ("item_knn", "ials", "repeat", "user_knn", "popular", "blend"):
        more = """, models='[{"algorithm":"session_knn"},{"algorithm":"item_knn"}]'""" if algorithm == "blend" else ""
        db = click_shop(shop, more, algorithm=algorithm)
        make_model(db, "plain", algorithm, events="clicks", more=more)
        db.execute("UPDATE clicks SET visit = CASE item % 3 WHEN 0 THEN NULL WHEN 1 THEN x'01' ELSE 1.5 END")
        db.execute("INSERT INTO m(m) VALUES('train')")
        equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}), 1, algorithm)
        for user in (7, 20):
            equal(of_user(db, user), of_user(db, user, model="plain"), algorithm)
        equal(rows(db, "SELECT * FROM m WHERE k = 3"), [row[:5] + (2,) for row in rows(db, "SELECT * FROM plain WHERE k = 3")], algorithm)


def test_the_versions_algorithm_decides_whether_sessions_count(shop):
    db = click_shop(shop, algorithm="item_knn")
    make_model(db, "s", "session_knn", events="clicks", more=", session=visit")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"session_knn"}')""")
    equal(one(db, "SELECT sha256 FROM rec_versions WHERE model = 'm' AND version = 2"), one(db, "SELECT sha256 FROM rec_versions WHERE model = 's'"))
    for user in (7, 20):
        equal(of_user(db, user), of_user(db, user, model="s"))
        equal(of_user(db, user), of_cart(db, latest(db, user)))
        old = of_user(db, user, '{"version":1}')
        seen = {row[0] for row in rows(db, "SELECT item FROM clicks WHERE user = ?", user)}
        equal(seen & {item for item, _ in old}, set(), "item_knn leaves out all she has")
    db.execute("""INSERT INTO s(s, arg) VALUES('train', '{"algorithm":"item_knn"}')""")
    equal(of_user(db, 7, model="s"), of_user(db, 7, '{"version":1}'))


def test_everybodys_lists_are_each_users(shop):
    for more in ("", ", max_history=3", ", variant=vmis, half_life=1"):
        db = click_shop(shop, more)
        for options in ("{}", HIDE, '{"until":100000}', '{"popularity_penalty":0.5}'):
            everybody = rows(db, "SELECT user, item, score, rank FROM m WHERE k = 7 AND options = ?", options)
            single = []
            for user in users(db):
                single += rows(db, "SELECT user, item, score, rank FROM m WHERE user = ? AND k = 7 AND options = ?", user, options)
            same_rows(everybody, [row for row in single if row[0] in {row[0] for row in everybody}], f"{more}, {options}")
            equal({row[0] for row in everybody}, {row[0] for row in rows(db, "SELECT user FROM clicks")}, f"{more}, {options}")  # also those whose events are all later
        joined = rows(db, "SELECT u.user, m.item FROM (SELECT DISTINCT user FROM clicks) u JOIN m ON m.user = u.user WHERE k = 7")
        same_rows(joined, [(user, item) for user in users(db) for item, _ in of_user(db, user)[:7]], "a join")


def test_an_evaluation_takes_the_same_histories(shop):
    """hit at 5, by hand from the lists of each user."""
    db = click_shop(shop, name="shop.db")
    middle = one(db, "SELECT CAST(avg(t) AS INTEGER) FROM clicks")
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps({"until": middle}),))
    db.execute("CREATE TABLE later AS SELECT user, item, min(t) AS t FROM clicks WHERE t >= ? GROUP BY 1, 2", (middle,))
    had = {row[0] for row in rows(db, "SELECT DISTINCT user FROM clicks WHERE t < ?", middle)}
    wanted = {}
    for user, item in rows(db, "SELECT user, item FROM later"):
        wanted.setdefault(user, set()).add(item)
    judged = [user for user in wanted if user in had]
    hits = [bool(wanted[user] & {item for item, _ in of_user(db, user)[:5]}) for user in judged]
    value, n = rows(db, "SELECT value, users FROM rec_evaluate('m', 'later', '{\"k\":5,\"bootstrap\":0}') WHERE metric = 'hit' AND model = 'm'")[0]
    equal(n, len(judged))
    assert abs(value - sum(hits) / len(hits)) < 1e-9 and 0.1 < value < 1, (value, sum(hits) / len(hits))
    whole = sum(bool(wanted[user] & {item for item, _ in of_cart(db, [row[0] for row in rows(db, "SELECT item FROM clicks WHERE user = ? AND t < ? GROUP BY item ORDER BY max(t), item", user, middle)])[:5]}) for user in judged)
    db.execute("UPDATE clicks SET visit = NULL WHERE user = ?", (judged[0],))
    refused(db, "SELECT * FROM rec_evaluate('m', 'later')", says="clicks.visit")
    assert whole != sum(hits), "with whole histories another value would come out: the test can tell"


def test_sessions_survive_reopening_and_renaming(shop):
    db = click_shop(shop, name="shop.db", text=True)
    expected = [of_user(db, user) for user in users(db)]
    db.execute("ALTER TABLE m RENAME TO renamed")
    db.close()
    db = shop.connect("shop.db")
    equal([of_user(db, user, model="renamed") for user in users(db)], expected)
    db.execute("INSERT INTO renamed(renamed) VALUES('train')")
    equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}), 1)
    equal([of_user(db, user, model="renamed") for user in users(db)], expected)
