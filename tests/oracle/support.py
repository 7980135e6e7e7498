"""What the oracle tests share: claims, a connection with the extension, comparisons, the real sample."""
import calendar
import csv
import functools
import gzip
import pathlib
import sqlite3
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
claims = []  # (name, function), in the order of definition
extension = None  # set by run.py


class Skip(Exception):
    pass


def claim(function):
    """A check: it returns when what its name says holds, and raises AssertionError when not."""
    claims.append((function.__name__, function))
    return function


def claim_each(cases):
    """The same check for every case of a dict {label: arguments}."""
    def register(function):
        for label, arguments in cases.items():
            claims.append((f"{function.__name__}[{label}]", functools.partial(function, *arguments)))
        return function
    return register


def connect(path=":memory:"):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(str(extension))
    return db


def one(db, sql, *parameters):
    """The only column of the only row."""
    (value,), = db.execute(sql, parameters).fetchall()
    return value


def blob(vector):
    return np.asarray(vector, "<f4").tobytes()


def vector(value):
    return np.frombuffer(value, "<f4").astype(float)


def same(got, want, what):
    assert got == want, f"{what}: got {got!r}, expected {want!r}"


def close(got, want, tolerance, what, scale=None):
    """|got - want| <= tolerance * scale, elementwise; scale is |want| unless the sum may cancel."""
    got, want = np.asarray(got, float), np.asarray(want, float)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    limit = tolerance * (np.abs(want) if scale is None else scale) + 1e-300
    bad = ~(np.abs(got - want) <= limit)  # NaN is bad
    if bad.any():
        at = tuple(np.argwhere(bad)[0]) if got.shape else ()
        where = f" at {list(map(int, at))}" if at else ""
        raise AssertionError(f"{what}{where}: got {got[at]!r}, expected {want[at]!r}; {int(bad.sum())} of {bad.size} differ")


@functools.lru_cache(None)
def retail(limit):
    """The first `limit` sales of Online Retail: (customer_id, stock_code, quantity, bought_at)."""
    rows = []
    with gzip.open(ROOT / "data" / "online_retail.csv.gz", "rt", encoding="utf-8", newline="") as text:
        for line in csv.DictReader(text):
            if not line["CustomerID"] or int(line["Quantity"]) <= 0 or line["InvoiceNo"].startswith("C"):
                continue
            at = calendar.timegm(time.strptime(line["InvoiceDate"], "%Y-%m-%d %H:%M:%S"))
            rows.append((int(line["CustomerID"]), line["StockCode"], int(line["Quantity"]), at))
            if len(rows) == limit:
                break
    return tuple(rows)


def events_db(rows):
    """A connection with the rows in the table events."""
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT, quantity INTEGER, bought_at INTEGER)")
    db.executemany("INSERT INTO events VALUES(?,?,?,?)", rows)
    db.execute("CREATE INDEX events_by_customer ON events(customer_id)")
    return db


def create_model(db, name, **options):
    """A model over events; `weight` and `time` are on unless they are given as None."""
    arguments = {"events": "events", "user": "customer_id", "item": "stock_code", "weight": "quantity", "time": "bought_at"}
    arguments.update(options)
    listed = ", ".join(f"{key}={value}" for key, value in arguments.items() if value is not None)
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model({listed})")


def train(db, name, options=None):
    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', ?)", (options,))


def pairs(rows):
    """Users, items (in key order) and the float32 matrix of summed quantities that the rows make."""
    import scipy.sparse as sparse
    users, items = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    user_id = {user: i for i, user in enumerate(users)}
    item_id = {item: i for i, item in enumerate(items)}
    u = [user_id[row[0]] for row in rows]
    i = [item_id[row[1]] for row in rows]
    summed = sparse.csr_matrix(([row[2] for row in rows], (u, i)), shape=(len(users), len(items)), dtype=float)
    summed.sum_duplicates()
    summed.data = summed.data.astype(np.float32).astype(float)
    return users, items, summed
