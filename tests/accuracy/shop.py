"""A shop: Online Retail (data/online_retail.csv.gz), what customers buy after 2011-11-09 by what they bought before.

Purchases with a customer, not cancelled, quantity above 0. Customers who bought before the cut are judged: `online-retail` on
items that they had not bought before (exclude_seen), `online-retail-repeats` on all items. Validation: the model knows what was
before 2011-10-10 and is judged on the month that follows. Rows named "default" have no option set."""
import csv, gzip, os, random

import common

SETS = {"online-retail": "", "online-retail-repeats": ""}
METRICS = [("ndcg@10", "ndcg@10", 4, 1), ("recall@20", "recall@20", 4, 1), ("coverage@20", "coverage@20", 3, 1), ("p50", "p50 us", 0, 1e6),
           ("p99", "p99 us", 0, 1e6)]
GOAL = "ndcg@10"
CSV = os.path.join(common.HERE, "..", "..", "data", "online_retail.csv.gz")
TIMED = 3000

# Computed with implicit 0.7.3 and NumPy on the same rows and split.
PUBLISHED = {
    "online-retail": [("NumPy: popular", .034), ("implicit: item-kNN cosine", .059), ("implicit: TF-IDF", .067), ("implicit: BM25", .082),
                      ("implicit: ALS, 64 factors", .095)],
    "online-retail-repeats": [("NumPy: popular", .081), ("implicit: TF-IDF", .245), ("implicit: BM25", .261), ("implicit: ALS, 64 factors", .276)],
}


def load(db, name, folder):
    """events(user, item, weight, t, basket); a view of each hold-out, of all items and of those new to the customer."""
    db.executescript("CREATE TABLE events(user INTEGER, item TEXT, weight INTEGER, t INTEGER, basket TEXT)")
    db.execute("BEGIN")
    with gzip.open(CSV, "rt", encoding="utf-8", errors="replace", newline="") as text:
        for row in csv.DictReader(text):
            if row["CustomerID"] and int(row["Quantity"]) > 0 and not row["InvoiceNo"].startswith("C"):
                db.execute("INSERT INTO events VALUES(?, ?, ?, unixepoch(?), ?)",
                           (int(row["CustomerID"]), row["StockCode"], int(row["Quantity"]), row["InvoiceDate"], row["InvoiceNo"]))
    db.execute("COMMIT")
    db.execute("CREATE INDEX events_user ON events(user, item, weight, t, basket)")
    for part, start, end in (("valid", "2011-10-10", "2011-11-09"), ("test", "2011-11-09", "2100-01-01")):
        db.executescript(f"""
            CREATE TABLE {part}_all AS SELECT DISTINCT user, item FROM events WHERE t >= unixepoch('{start}') AND t < unixepoch('{end}');
            CREATE TABLE {part}_new AS SELECT * FROM {part}_all h
             WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.user = h.user AND e.item = h.item AND e.t < unixepoch('{start}'));""")


def measure(db, name, options, part):
    until = db.execute("SELECT unixepoch(?)", ("2011-10-10" if part == "valid" else "2011-11-09",)).fetchone()[0]
    repeats = name.endswith("repeats")
    options = {**options, "until": until}
    columns = "events=events, user=user, item=item, time=t" + (", session=basket" if options.pop("by_basket", False) else ", weight=weight")
    result = common.train(db, columns, options)
    result.update(common.evaluate(db, f"{part}_{'all' if repeats else 'new'}", [10, 20], exclude_seen=not repeats))
    users = db.execute("SELECT DISTINCT user FROM events WHERE t < ? ORDER BY user", (until,)).fetchall()
    random.Random(1).shuffle(users)
    asked = '{"exclude_seen":%s}' % ("false" if repeats else "true")
    ask = lambda row: db.execute("SELECT item, score FROM m WHERE user = ? AND k = 20 AND options = ?", (row[0], asked)).fetchall()
    result.update(common.quantiles(ask, users[:TIMED]))
    return result
