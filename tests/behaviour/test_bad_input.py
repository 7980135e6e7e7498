"""Bad input gets an error that names the thing and what is allowed, and leaves the database as it was, also inside BEGIN."""
import random, struct, threading, time

from support import ALGORITHMS, HIDES_SEEN, equal, make_events, make_model, malformed, one, refused, refuses_flipped_bits, resealed, rows, shadow, trained_blob


def both(shop, check):
    """Run check(db) in autocommit and inside BEGIN; the shadow tables must not have changed."""
    for transaction in (False, True):
        db = shop.connect()
        make_events(db)
        make_model(db)
        before = shadow(db, "m")
        if transaction:
            db.execute("BEGIN")
        check(db)
        equal(shadow(db, "m"), before, f"in a transaction: {transaction}")
        equal(db.in_transaction, transaction, "the transaction is still the caller's")


def test_train_options(shop):
    def check(db):
        train = "INSERT INTO m(m, arg) VALUES('train', ?)"
        refused(db, train, '{"neighbours":0}', says="neighbours=0 (1..100000)")
        refused(db, train, '{"neighbor":3}', says=("unknown option 'neighbor'", "neighbours"))
        refused(db, train, '{"shrink":1,"shrink":2}', says="duplicate")
        refused(db, train, '{"similarity":"cosin"}', says=("similarity=cosin", "cosine|asymmetric"))
        refused(db, train, '{"algorithm":"als"}', says=("algorithm=als", "popular|item_knn|ials"))
        refused(db, train, '{"shrink":"nan"}', says="shrink=nan")
        refused(db, train, '{"shrink":null}', says="shrink=null")
        refused(db, train, "shrink", says="options")
        refused(db, train, '{"algorithm":"ials","reg":0,"unobserved_weight":1e-9,"factors":1024}', says="reg=0")
    both(shop, check)


def test_commands_and_arguments(shop):
    def check(db):
        refused(db, "INSERT INTO m(m) VALUES('tarin')", says=("tarin", "train, tune, load, activate"))
        refused(db, "INSERT INTO m(m) VALUES('activate')", says="version's number")
        refused(db, "INSERT INTO m(m, arg) VALUES('activate', 99)", says="no version 99")
        refused(db, "INSERT INTO m(m, arg) VALUES('drop-version', 99)", says="no version 99")
        refused(db, "INSERT INTO m(m) VALUES('rollback')", says="no earlier version")
        refused(db, "INSERT INTO m(m, arg) VALUES('load', 'text')", says="BLOB that rec_train gave")
        refused(db, "INSERT INTO m(m, arg) VALUES('load', x'52454347')", says="load")
        refused(db, "INSERT INTO m(user, item) VALUES(1, 2)", says="cannot be changed")
        refused(db, "UPDATE m SET score = 1 WHERE user = 1 AND k = 1", says="cannot be changed")
        refused(db, "DELETE FROM m WHERE user = 1 AND k = 1", says="cannot be changed")
        refused(db, "SELECT rec_train('nosuch')", says="no rec_model named 'nosuch'")
        refused(db, "SELECT rec_train(NULL)", says="NULL")
    both(shop, check)


def test_queries(shop):
    def check(db):
        equal(rows(db, "SELECT * FROM m(1, 0)"), [])
        equal(rows(db, "SELECT * FROM m WHERE user = 1 AND k = NULL"), [])
        equal(rows(db, "SELECT * FROM m WHERE user = NULL AND k = 3"), [])
        equal(rows(db, "SELECT * FROM m WHERE similar_to = 12345 AND k = 3"), [])
        equal(len(rows(db, "SELECT * FROM m WHERE user = 999 AND k = 1000000000")), one(db, "SELECT items FROM rec_versions"))
        refused(db, "SELECT * FROM m(1, -1)", says="k=-1 (0 or more)")
        refused(db, "SELECT * FROM m(1, 'x')", says="k=x (a whole number)")
        refused(db, "SELECT * FROM m(1, 2.5)", says="k=2.5")
        refused(db, "SELECT * FROM m WHERE user = 1 AND k BETWEEN 1 AND 3", says="must be given with =")
        refused(db, "SELECT * FROM m WHERE user = 1 AND basket = '[1]' AND k = 1", says="one of user, similar_to and basket")
        refused(db, "SELECT * FROM m WHERE basket = '[1.5]' AND k = 1", says="element 1")
        refused(db, "SELECT * FROM m WHERE basket = '{' AND k = 1", says="JSON array")
        refused(db, "SELECT * FROM m WHERE user = 1 AND k = 1 AND options = '{\"exclude_sen\":1}'", says=("exclude_sen", "exclude_seen"))
        refused(db, "SELECT * FROM m WHERE rank < 3", says="k is needed")
        refused(db, "SELECT * FROM rec_options('nosuch')", says="no algorithm 'nosuch'")
    both(shop, check)


def test_events_that_cannot_be_read(shop):
    cases = (("NULL, 1, 1, 1", "events.user is NULL"), ("1, NULL, 1, 1", "events.item is NULL"), ("1, 1.5, 1, 1", "fraction"), ("x'00', 1, 1, 1", "BLOB"),
             ("1, 1, NULL, 1", "events.n is NULL"), ("1, 1, 'many', 1", "events.n is 'many' (a number"), ("1, 1, 1e13, 1", "events.n is 10000000000000 (a number, -1e12..1e12"),
             ("1, 1, 9e999, 1", "-1e12..1e12"), ("1, 1, 1, NULL", "events.t is NULL, which is no time"), ("1, 1, 1, 'noday'", "events.t is 'noday', which is no time"))
    for values, says in cases:
        def check(db):
            db.execute("SAVEPOINT s")
            db.execute(f"INSERT INTO events VALUES({values})")
            refused(db, "INSERT INTO m(m) VALUES('train')", says=says)
            refused(db, "SELECT rec_train('m')", says=says)
            db.execute("ROLLBACK TO s"); db.execute("RELEASE s")
        both(shop, check)


def test_create_refuses_what_does_not_exist(shop):
    db = shop.connect()
    make_events(db)
    create = "CREATE VIRTUAL TABLE x USING rec_model({})"
    for arguments, says in (("events=nosuch, user=user, item=item", "no table or view 'nosuch'"), ('events=events, user="nosuch", item=item', "no column 'nosuch'"),
                            ("events=events, user=user", "events=, user= and item= are needed"), ("events=events, user=user, item=item, weight=w", "no column 'w'"),
                            ("events=events, user=abs(1), item=item", "no column"), ("events=events, user=user, item=item, nonsense", "not name=value"),
                            ("events=events, user=user, user=user, item=item", "given twice"), ("events=events, user=user, item=item, factors=3", "unknown option 'factors'"),
                            ("events=events, user=user, item=item, algorithm=ials, factors=99999", "factors=99999 (1..1024)"),
                            ("events=events, user=user, item=item, user_type=TEXT", "unknown option 'user_type'")):
        refused(db, create.format(arguments), says=says)
    for name in ("user", "item", "rank", "k", "arg"):
        refused(db, f"CREATE VIRTUAL TABLE {name} USING rec_model(events=events, user=user, item=item)", says=f"'{name}'")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name <> 'events'"), [])


def test_an_empty_table_trains_and_answers_nothing(shop):
    for algorithm in ALGORITHMS:
        db = shop.connect()
        db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
        make_model(db, algorithm=algorithm)
        equal(rows(db, "SELECT * FROM m(1, 5)"), [])
        equal(rows(db, "SELECT * FROM m WHERE k = 5"), [])
        equal(rows(db, "SELECT item, rank FROM m WHERE user = 1 AND candidates = '[7, 8]'"), [(7, 1), (8, 2)])
        db.execute("INSERT INTO events VALUES(1, 10, 1, 1)")
        db.execute("INSERT INTO m(m) VALUES('train')")
        equal(len(rows(db, "SELECT * FROM m(1, 5)")), int(algorithm not in HIDES_SEEN), "one user who has everything")
        equal(rows(db, "SELECT item FROM m(2, 5)"), [(10,)])


def test_a_view_that_reads_the_model_itself_is_refused(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE VIEW loop AS SELECT * FROM events")
    make_model(db, events="loop")
    db.execute("DROP VIEW loop")
    db.execute("CREATE VIEW loop AS SELECT 1 AS user, item, 1.0 AS n, 1 AS t FROM m WHERE user = 1 AND k = 3")
    refused(db, "SELECT * FROM m(1, 3)", says="it is in use by itself")
    refused(db, "INSERT INTO m(m) VALUES('train')", says="it is in use by itself")


def test_flipped_bits_are_found(shop):
    draw = random.Random(9)
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        refuses_flipped_bits(db, "m", draw, 120)
        db.execute("UPDATE m_versions SET sha256 = 'x'")
        refused(db, "SELECT * FROM m(1, 3)", says="no checksum")


def test_a_cadence_that_cannot_be_is_refused(shop):
    """The lifts stand last: one that is 0, infinite or no number, and a gap that is none, under a checksum that fits."""
    db = shop.connect()
    make_events(db)
    make_model(db, "m", "repeat", more=", variant=tifu, cadence=true")
    refuses_flipped_bits(db, "m", random.Random(3), 60)
    db = shop.connect()
    make_events(db)
    make_model(db, "m", "repeat", more=", variant=tifu, cadence=true")
    blob, end = trained_blob(db, "m")
    for at, value in ((end - 8, struct.pack("<d", 0)), (end - 8 * 68, struct.pack("<d", -1)), (end - 16, struct.pack("<d", float("inf"))), (end - 8 * 68 - 4, struct.pack("<f", float("nan")))):
        bad = bytearray(blob)
        bad[at:at + len(value)] = value
        refused(db, "INSERT INTO m(m, arg) VALUES('load', ?)", resealed(bad, end), says="the gaps are malformed")
    db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (blob,))


def test_malformed_content_with_a_right_checksum_never_crashes(shop):
    draw = random.Random(11)
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        blob, end = trained_blob(db)
        for _ in range(200):
            try:
                db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (malformed(blob, end, draw),))
                for question in ("m(3, 5)", "m WHERE user = 3", "m WHERE basket = '[1, 2, 3]' AND k = 5", "m WHERE k = 1"):
                    db.execute(f"SELECT item, score, because FROM {question}").fetchall()
            except Exception as error:
                assert "m: " in str(error), repr(error)


def test_an_interrupt_ends_training_and_the_old_version_serves(shop):
    db = shop.connect("shop.db")
    make_events(db, users=500, items=300)
    make_model(db, algorithm="ials")
    before = rows(db, "SELECT item, score FROM m(7, 5)")
    for sql in ("INSERT INTO m(m, arg) VALUES('train', ?)", "SELECT rec_train('m', ?)"):
        stop = threading.Timer(0.3, db.interrupt)
        stop.start()
        begin = time.monotonic()
        refused(db, sql, '{"sweeps":1000,"factors":512}', says="interrupted")
        assert time.monotonic() - begin < 5, "it ended long before the training would have"
        stop.join()
    equal(rows(db, "SELECT item, score FROM m(7, 5)"), before)
    equal(one(db, "SELECT count(*) FROM rec_versions"), 1)
