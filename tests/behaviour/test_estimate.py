"""rec_estimate: counts are those of the training, bytes within a factor of two of what it makes, and nothing is written. How long trainings
take beside what was foretold is no test: make bench-estimate."""
import json
import random

from support import equal, one, refused, rows, shadow

COLUMNS = "algorithm, events, users, items, pairs, threads, reading_seconds, training_seconds, seconds, memory_bytes, version_bytes"


def sold(shop, algorithm="item_knn", more=""):
    """600 customers, 150 products, some liked by many; visits of one to three products; texts of the products."""
    draw = random.Random(5)
    db = shop.connect()
    db.execute("CREATE TABLE sales(customer INTEGER, product TEXT, at INTEGER, stars INTEGER)")
    for customer in range(600):
        for visit in range(draw.randrange(2, 12)):
            db.executemany("INSERT INTO sales VALUES(?, ?, ?, ?)", [(customer, f"p{int(150 * draw.random() ** 2):03}", 1000000 * customer + 86400 * visit, draw.randrange(1, 6))
                                                                    for _ in range(draw.randrange(1, 4))])
    db.execute("CREATE TABLE catalogue(product TEXT PRIMARY KEY, words TEXT)")
    db.executemany("INSERT INTO catalogue VALUES(?, ?)", [(f"p{i:03}", " ".join(f"word{draw.randrange(80)}" for _ in range(9))) for i in range(150)])
    db.execute(f"CREATE VIRTUAL TABLE recs USING rec_model(events=sales, user=customer, item=product, time=at, weight=stars, items=catalogue, "
               f"item_key=product, item_text=words, algorithm={algorithm}{more})")
    return db


def estimate(db, options=None):
    row, = rows(db, f"SELECT {COLUMNS} FROM rec_estimate('recs', ?)", options and json.dumps(options))
    return dict(zip(COLUMNS.split(", "), row))


SETTINGS = [{"algorithm": name} for name in ("popular", "item_knn", "ials", "bpr", "mf", "ease", "slim", "graph", "user_knn", "session_knn", "sequence", "repeat", "content", "blend")] + [
    {"algorithm": "item_knn", "pairs": "ordered", "window": 3}, {"algorithm": "ease", "target": "next"}, {"algorithm": "ease", "max_items": 40, "neighbours": 10},
    {"algorithm": "slim", "target": "both", "neighbours": 30}, {"algorithm": "graph", "filter": "turbocf"}, {"algorithm": "graph", "filter": "bspm", "factors": 16},
    {"algorithm": "graph", "filter": "gfcf", "factors": 16}, {"algorithm": "ials", "solver": "blocks", "factors": 40, "block": 16}, {"algorithm": "repeat", "variant": "tifu"},
    {"algorithm": "content", "factors": 16}, {"algorithm": "sequence", "dim": 32, "blocks": 1, "patience": 2, "validation": 0.2}, {"algorithm": "item_knn", "until": 300000000, "min_support": 3},
    {"algorithm": "blend", "models": '[{"algorithm": "popular"}, {"algorithm": "ials", "factors": 16}]'}]


def test_counts_and_bytes_are_those_of_the_training(shop):
    db = sold(shop)
    for options in SETTINGS:
        if options["algorithm"] == "sequence":
            options = {**options, "passes": 1}
        before = shadow(db, "recs")
        said = estimate(db, {**options, "threads": 2})
        equal(shadow(db, "recs"), before, "nothing is written")
        db.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (json.dumps({**options, "keep": 1}),))
        made = rows(db, "SELECT algorithm, events, users, items, bytes FROM rec_versions WHERE active")[0]
        equal(tuple(said[name] for name in ("algorithm", "events", "users", "items")), made[:4], options)
        until = options.get("until", 10 ** 12)
        pairs = one(db, "SELECT count(*) FROM (SELECT DISTINCT customer, product FROM sales WHERE at < ? AND product IN "
                        "(SELECT product FROM sales WHERE at < ? GROUP BY product HAVING count(DISTINCT customer) >= ?))", until, until, options.get("min_support", 1))
        equal(said["pairs"], pairs, options)
        assert .5 < said["version_bytes"] / made[4] < 2, (options, said["version_bytes"], made[4])
        assert said["threads"] == 2 and said["training_seconds"] > 0 and said["seconds"] >= said["reading_seconds"] + said["training_seconds"], said
        assert said["memory_bytes"] > said["version_bytes"] / 2


def test_what_is_said_is_enough(shop):
    """A training may have what was said (and half of it on top: what the training thread holds is what is limited)."""
    db = sold(shop)
    for options in SETTINGS:
        if options["algorithm"] == "sequence":
            options = {**options, "passes": 1}
        limit = max(1, -(-3 * estimate(db, options)["memory_bytes"] // 2 ** 21))
        db.execute("INSERT INTO recs(recs, arg) VALUES('train', ?)", (json.dumps({**options, "max_memory": limit, "keep": 1}),))


def test_more_costs_more(shop):
    """Steps are counted, so that these do not depend on how fast the machine is."""
    db = sold(shop)
    for few, many, least in (({"algorithm": "ials", "sweeps": 2}, {"algorithm": "ials", "sweeps": 200}, 20), ({"algorithm": "ials", "factors": 8}, {"algorithm": "ials", "factors": 512}, 20),
                             ({"algorithm": "sequence", "passes": 1}, {"algorithm": "sequence", "passes": 100}, 20), ({"algorithm": "bpr", "sweeps": 1}, {"algorithm": "bpr", "sweeps": 1000}, 100)):
        a, b = estimate(db, few), estimate(db, many)
        times = b["training_seconds"] / a["training_seconds"]
        assert times > least, f"{few}, {many}: {times:.1f} times"
    assert estimate(db, {"algorithm": "ials", "factors": 512})["memory_bytes"] > 2 * estimate(db, {"algorithm": "ials", "factors": 8})["memory_bytes"]


def test_refusals(shop):
    db = sold(shop)
    for arguments, says in (("'nosuch'", "no rec_model named 'nosuch'"), ("NULL", "model"), ("'recs', '{'", "JSON"), ("'recs', '{\"factors\": 3}'", "unknown option 'factors'"),
                            ("'recs', '{\"algorithm\": \"nosuch\"}'", "algorithm"), ("'recs', '{\"max_rows\": 10}'", "max_rows"), ("'recs', '{\"neighbours\": 0}'", "neighbours=0")):
        refused(db, f"SELECT * FROM rec_estimate({arguments})", says=says)
    db.execute("CREATE VIRTUAL TABLE any USING rec_model(events=sales, user=customer, item=product, algorithm=auto)")
    refused(db, "SELECT * FROM rec_estimate('any')", says="algorithm=auto tries several")
    equal(rows(db, "SELECT algorithm, users FROM rec_estimate('any', '{\"algorithm\": \"slim\"}')"), [("slim", 600)])
    db.execute("INSERT INTO sales(customer) VALUES(7)")
    refused(db, "SELECT * FROM rec_estimate('recs')", says="sales.product is NULL")


def test_nothing_to_learn_from(shop):
    db = sold(shop)
    db.execute("DELETE FROM sales")
    said = None
    try:
        said = estimate(db)
    except Exception as error:  # as the training says it
        assert "event" in str(error), error
    try:
        db.execute("INSERT INTO recs(recs) VALUES('train')")
        assert said, "the training takes what the estimate does not"
    except Exception as error:
        assert said is None or "event" in str(error), error
