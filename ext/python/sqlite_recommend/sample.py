"""The sample shop: Online Retail, a UK gift shop's year (UCI, CC0): products, customers, orders, events, and the view purchases."""
import csv
import lzma
import os
from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))


def load_shop(db: Any) -> None:
    """Create and fill the tables of the sample shop: about five seconds. db: a connection of sqlite3 or pysqlite3, in no transaction."""
    with open(os.path.join(FOLDER, "shop.sql"), encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith((".", "PRAGMA", "ANALYZE"))]
    before, after = "".join(lines).split("CREATE TABLE products(", 1)
    db.executescript(before)
    if not db.in_transaction:
        db.execute("BEGIN")
    with lzma.open(os.path.join(FOLDER, "online_retail.csv.xz"), "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        db.executemany("INSERT INTO raw VALUES(?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.executescript("BEGIN; CREATE TABLE products(" + after + "COMMIT; ANALYZE;")
