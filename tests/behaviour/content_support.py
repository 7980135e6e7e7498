"""What the tests of content= share: a shop of products, connections with and without the extension, and the oracle:
NumPy over the rows of the ordinary table, read with plain SQL."""
import json, math, random, sqlite3, subprocess

import numpy

from support import EXTENSION, equal, one, refused, rows, vector

PRODUCTS = "CREATE TABLE products(product_id INTEGER PRIMARY KEY, sku TEXT UNIQUE, embedding BLOB, price REAL, category TEXT, note TEXT)"
INDEX = "CREATE VIRTUAL TABLE looks USING rec_index(embedding float[4], price real, category text, metric=l2, content=products{})"
ENGINES = ("", ", index=HNSW32", ", index='IVF4,Flat'")
WIDE = '{"ef":1000,"nprobe":64}'  # so wide that a graph or lists find all that there is


def blob(values):
    return numpy.asarray(values, "<f4").tobytes()


def draw_blob(draw, d=4):
    return blob([draw.randrange(-8, 9) / 4 for _ in range(d)])  # a coarse grid: there are ties, and distances are exact


def read(value):
    """What a vector column of the ordinary table means."""
    return numpy.array(json.loads(value), "<f4") if isinstance(value, str) else numpy.frombuffer(value, "<f4")


def plain(shop, name="shop.db"):
    """A connection of a program that has never heard of the extension."""
    db = sqlite3.connect(shop.path(name), isolation_level=None, timeout=30)
    db.execute("PRAGMA synchronous=OFF")
    return db


def make(shop, n=60, more="", name="shop.db", seed=1):
    db = shop.connect(name)
    db.execute(PRODUCTS)
    draw = random.Random(seed)
    db.execute("BEGIN")
    for i in range(1, n + 1):
        db.execute("INSERT INTO products VALUES(?, ?, ?, ?, ?, NULL)", (i, f"s{i}", draw_blob(draw), i, "ab"[i % 2] if i % 7 else None))
    db.execute("COMMIT")
    db.execute(INDEX.format(more))
    return db


def nearest(db, query, where="1", table="products", key="product_id", column="embedding"):
    """Every indexed row in the order of its distance: what the index must say, out of plain SQL and NumPy."""
    listed = []
    for id, value in db.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL AND ({where})"):
        listed.append((float(numpy.linalg.norm(read(value).astype(float) - query)), id))
    return [(id, distance) for distance, id in sorted(listed)]


def close(got, expected, what="", k=None):
    """The first k of `expected`. Which of equal distances come last is free with a graph or lists: they break ties among what they found."""
    cut = expected[:k]
    equal(len(got), len(cut), what)
    for (id, a), (_, b) in zip(got, cut):
        assert math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12), f"{what}: row {id}: distance {a}, expected {b}\n  got      {got}\n  expected {cut}"
    last = cut[-1][1] if cut else 0
    before = sum(distance < last - 1e-12 for _, distance in cut)
    equal([row[0] for row in got[:before]], [row[0] for row in cut[:before]], what)
    tied = [id for id, distance in expected if abs(distance - last) <= 1e-12]
    if len(expected) == len(cut) or "index=" not in what:
        equal([row[0] for row in got[before:]], tied[:len(cut) - before], what)
    else:
        equal([row[0] for row in got[before:]], sorted({row[0] for row in got[before:]} & set(tied)), what)


def follows(db, what="", index="looks", **names):
    """The index says what the ordinary table holds."""
    what += one(db, "SELECT substr(sql, instr(sql, ', index=')) FROM sqlite_schema WHERE name = ? AND sql LIKE '%, index=%'", index) or ""
    for query in ([0, 0, 0, 0], [1, -0.5, 0.25, 2]):
        expected = nearest(db, query, **names)
        text = vector(*query)
        close(rows(db, f"SELECT rowid, distance FROM {index} WHERE embedding MATCH ? AND k = ?", text, len(expected) + 9), expected, what)
        for k in (1, 7):
            close(rows(db, f"SELECT rowid, distance FROM {index}(?, ?, ?)", text, k, WIDE), expected, f"{what}: k = {k}", k)
        for condition in ("price > 20", "category = 'a'", "category IS NULL", "price BETWEEN 5 AND 40 AND category IN ('a', 'b')"):
            close(rows(db, f"SELECT rowid, distance FROM {index} WHERE embedding MATCH ? AND k = 6 AND options = ? AND {condition}", text, WIDE), nearest(db, query, condition, **names), f"{what}: {condition}", 6)


def stored(values):
    return (blob(values),)
