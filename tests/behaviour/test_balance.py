"""rec_balance: classes of unequal size."""
import collections

from support import equal, one, refused, rows


def visits(shop, sizes=(7, 30, 13), text=False):
    db = shop.connect()
    db.execute("CREATE TABLE visits(id, class, n)")
    listed = [(f"k{i}" if text else i, ("no", "yes", 3)[label], i) for label, size in enumerate(sizes) for i in range(label * 1000, label * 1000 + size)]
    db.executemany("INSERT INTO visits VALUES(?, ?, ?)", listed[::-1])
    return db, {key: label for key, label, _ in listed}


def balanced(db, options=None):
    return rows(db, "SELECT key, label, weight, copy FROM rec_balance('visits', 'id', 'class', ?)", options)


def test_weights_are_those_of_scikit_learn(shop):
    for text in (False, True):
        db, label_of = visits(shop, text=text)
        got = balanced(db)
        equal([row[0] for row in got], sorted(label_of), "every key once, in order")
        equal({row[0]: row[1] for row in got}, label_of)
        equal({row[1:] for row in got}, {("no", 50 / (3 * 7), 1), ("yes", 50 / (3 * 30), 1), (3, 50 / (3 * 13), 1)}, "n / (classes * rows of the class)")


def test_under_takes_as_many_of_each_as_the_smallest_has(shop):
    db, label_of = visits(shop)
    got = balanced(db, '{"method":"under"}')
    equal(collections.Counter(row[1] for row in got), {"no": 7, "yes": 7, 3: 7})
    equal(len({row[0] for row in got}), 21, "no key twice")
    assert all(label_of[row[0]] == row[1] and row[2:] == (1.0, 1) for row in got)
    equal(got, balanced(db, '{"method":"under","seed":1}'))
    other = balanced(db, '{"method":"under","seed":2}')
    assert {row[0] for row in other} != {row[0] for row in got}, "another seed"
    db.execute("CREATE TABLE again AS SELECT * FROM visits ORDER BY n")
    equal(rows(db, "SELECT key, label, weight, copy FROM rec_balance('again', 'id', 'class', '{\"method\":\"under\"}')"), got, "the order of the rows means nothing")


def test_over_takes_as_many_of_each_as_the_largest_has(shop):
    db, label_of = visits(shop)
    got = balanced(db, '{"method":"over"}')
    equal(collections.Counter(row[1] for row in got), {"no": 30, "yes": 30, 3: 30})
    copies = collections.defaultdict(list)
    for key, _, weight, copy in got:
        copies[key].append(copy)
        equal(weight, 1.0)
    equal(set(copies), set(label_of), "every row is there")
    for label, least in (("no", 4), ("yes", 1), (3, 2)):
        equal({len(copies[key]) for key in copies if label_of[key] == label}, {least} if 30 % least == 0 and label == "yes" else {least, least + 1}, f"{label}: evenly")
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in copies.values())


def test_what_is_left_out_and_what_is_refused(shop):
    db, _ = visits(shop, sizes=(3, 5, 0))
    db.execute("INSERT INTO visits VALUES(9999, NULL, 1)")
    equal(len(balanced(db)), 8, "NULL is no class")
    db.execute("CREATE TABLE few(id, class)")
    equal(rows(db, "SELECT * FROM rec_balance('few', 'id', 'class', '{\"method\":\"over\"}')"), [])
    db.execute("INSERT INTO few VALUES(1, 'a'), (2, 'a')")
    for method in ("weight", "under", "over"):
        equal(rows(db, "SELECT key, weight, copy FROM rec_balance('few', 'id', 'class', ?)", f'{{"method":"{method}"}}'), [(1, 1.0, 1), (2, 1.0, 1)], "one class")
    for arguments, says in (("'nosuch', 'id', 'class'", "no table or view named 'nosuch'"), ("'visits', 'idd', 'class'", "no column 'idd'"), ("'visits', 'id', 'klass'", "no column 'klass'"),
                            ("'visits', 'class', 'id'", "two rows have one key"), ("'visits', 'id'", "arguments"), ("NULL, 'id', 'class'", "names"), ("'visits', 'id', 'class', '{\"methd\":1}'", "unknown option 'methd'"),
                            ("'visits', 'id', 'class', '{\"method\":\"both\"}'", "weight|under|over")):
        refused(db, f"SELECT * FROM rec_balance({arguments})", says=says)
    db.execute("INSERT INTO few VALUES(NULL, 'a')")
    refused(db, "SELECT * FROM rec_balance('few', 'id', 'class')", says=("key", "NULL"))
    db.execute("UPDATE few SET id = 3, class = 1.5 WHERE id IS NULL")
    refused(db, "SELECT * FROM rec_balance('few', 'id', 'class')", says=("label", "fraction"))


def test_a_label_that_is_none_is_refused(shop):
    db = shop.connect()
    db.execute("CREATE TABLE keys(id INTEGER PRIMARY KEY, label INTEGER)")
    db.execute("INSERT INTO keys WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, iif(i < 10000, 0, i) FROM n")
    refused(db, "SELECT count(*) FROM rec_balance('keys', 'id', 'label', '{\"method\":\"over\"}')", says=("over:", "is the label one"))
    equal(one(db, "SELECT count(*) FROM rec_balance('keys', 'id', 'label', '{\"method\":\"under\"}')"), 10002)


def test_a_view_that_reads_itself_ends(shop):
    db = shop.connect()
    db.execute("CREATE VIEW v AS SELECT key AS k, label AS l FROM rec_balance('v', 'k', 'l')")
    refused(db, "SELECT * FROM v", says="reads a view that reads it")
    db.execute("CREATE TABLE t(k INTEGER, l INTEGER)")
    db.execute("INSERT INTO t VALUES(1, 0)")
    equal(len(rows(db, "SELECT * FROM rec_balance('t', 'k', 'l')")), 1, "and nothing is left over")
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    db.execute("INSERT INTO events VALUES(1, 1), (1, 2), (2, 1)")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    db.execute("CREATE VIEW h AS SELECT 1 AS user, 2 AS item FROM rec_evaluate('m', 'h')")
    refused(db, "SELECT * FROM rec_evaluate('m', 'h')", says="reads a view that reads it")


def test_names_with_quotes_and_schemas(shop):
    db = shop.connect()
    db.execute("ATTACH ':memory:' AS aux")
    db.execute('CREATE TABLE aux."it\'s ""x"""("k ""y""" INTEGER, "l\'z" TEXT)')
    db.execute('INSERT INTO aux."it\'s ""x""" VALUES(1, \'a\'), (2, \'b\'), (3, \'b\')')
    equal(rows(db, "SELECT key, label, weight FROM rec_balance('it''s \"x\"', 'k \"y\"', 'l''z')"), [(1, "a", 1.5), (2, "b", .75), (3, "b", .75)])
    equal(one(db, "SELECT count(*) FROM rec_balance('aux.it''s \"x\"', 'k \"y\"', 'l''z', '{\"method\":\"under\"}')"), 2)
