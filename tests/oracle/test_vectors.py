"""The vector functions and aggregates against float64 NumPy."""
import json

import numpy as np

from support import blob, claim, close, connect, one, same, vector

TOLERANCE = 1e-6
DIMS = [1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 96, 100, 127, 256, 300, 769, 1536]  # around and between SIMD widths


def _inputs():
    """(a, b as float64, and both as SQL values): every pairing of BLOB and JSON."""
    random = np.random.default_rng(1)
    for dim in DIMS:
        size = 10 ** random.uniform(-3, 3)
        a, b = (random.normal(0, size, dim).astype("<f4") for _ in range(2))
        for as_blob_a in (True, False):
            for as_blob_b in (True, False):
                yield (a.astype(float), b.astype(float), blob(a) if as_blob_a else json.dumps(a.astype(float).tolist()),
                       blob(b) if as_blob_b else json.dumps(b.astype(float).tolist()))


@claim
def dot_cosine_l2_l1_and_norm_equal_numpy():
    db = connect()
    for a, b, x, y in _inputs():
        what = f"dim {len(a)}"
        close(one(db, "SELECT rec_dot(?,?)", x, y), a @ b, TOLERANCE, f"rec_dot {what}", scale=np.abs(a) @ np.abs(b))
        close(one(db, "SELECT rec_cosine(?,?)", x, y), a @ b / np.linalg.norm(a) / np.linalg.norm(b), TOLERANCE, f"rec_cosine {what}", scale=1)
        close(one(db, "SELECT rec_l2(?,?)", x, y), np.linalg.norm(a - b), TOLERANCE, f"rec_l2 {what}")
        close(one(db, "SELECT rec_l1(?,?)", x, y), np.abs(a - b).sum(), TOLERANCE, f"rec_l1 {what}")
        close(one(db, "SELECT rec_vec_norm(?)", x), np.linalg.norm(a), TOLERANCE, f"rec_vec_norm {what}")
        same(one(db, "SELECT rec_vec_dim(?)", x), len(a), "rec_vec_dim")


@claim
def distances_of_near_vectors_do_not_cancel():
    """|a|^2 + |b|^2 - 2 a.b would lose every digit here."""
    db = connect()
    a = np.random.default_rng(2).normal(1000, 1, 128).astype("<f4")
    b = a.copy()
    b[5] = np.nextafter(b[5], np.float32(np.inf))
    want = float(b[5]) - float(a[5])
    close(one(db, "SELECT rec_l2(?,?)", blob(a), blob(b)), want, TOLERANCE, "rec_l2")
    close(one(db, "SELECT rec_l1(?,?)", blob(a), blob(b)), want, TOLERANCE, "rec_l1")
    same(one(db, "SELECT rec_l2(?,?)", blob(a), blob(a)), 0, "rec_l2 of equal vectors")


@claim
def normalize_add_sub_scale_and_slice_equal_numpy():
    db = connect()
    random = np.random.default_rng(3)
    for a, b, x, y in _inputs():
        by = float(random.normal(0, 10))
        start = int(random.integers(0, len(a)))
        stop = int(random.integers(start + 1, len(a) + 1))
        for name, sql, parameters, want in [
                ("normalize", "rec_vec_normalize(?)", (x,), a / np.linalg.norm(a)), ("add", "rec_vec_add(?,?)", (x, y), a + b),
                ("sub", "rec_vec_sub(?,?)", (x, y), a - b), ("scale", "rec_vec_scale(?,?)", (x, by), a * by),
                ("slice", "rec_vec_slice(?,?,?)", (x, start, stop), a[start:stop])]:
            close(vector(one(db, "SELECT " + sql, *parameters)), want, TOLERANCE, f"rec_vec_{name} dim {len(a)}")


@claim
def cosine_and_normalize_of_the_zero_vector_are_zero():
    db = connect()
    zero, a = blob([0, 0, 0]), blob([1, 2, 3])
    same(one(db, "SELECT rec_cosine(?,?)", zero, a), 0, "rec_cosine")
    same(one(db, "SELECT rec_vec_normalize(?)", zero), zero, "rec_vec_normalize")


@claim
def json_and_blob_turn_into_each_other_without_loss():
    db = connect()
    random = np.random.default_rng(4)
    for dim in DIMS:
        bits = random.integers(0, 2**32, dim, dtype=np.uint32).view("<f4")  # all exponents, subnormals too
        a = blob(np.where(np.isfinite(bits), bits, 1))
        text = one(db, "SELECT rec_vec_json(?)", a)
        same(np.asarray(json.loads(text), "<f4").tobytes(), a, "the JSON's numbers")
        same(one(db, "SELECT rec_vec(?)", text), a, "rec_vec(rec_vec_json(v))")
        same(one(db, "SELECT rec_vec(?)", a), a, "rec_vec of a BLOB")
    decimal = [0.1, 1 / 3, -2.5e-3, 7, 1e20]
    same(one(db, "SELECT rec_vec(?)", json.dumps(decimal)), blob(decimal), "rec_vec rounds to the nearest float32")


def _vector_table(db, n=60, dim=19):
    random = np.random.default_rng(5)
    vectors = random.normal(0, 1, (n, dim)).astype("<f4")
    weights = random.uniform(.1, 5, n)
    db.execute("CREATE TABLE v(id INTEGER PRIMARY KEY, grp INTEGER, v BLOB, w REAL)")
    for i in range(n):
        value = blob(vectors[i]) if i % 3 else json.dumps(vectors[i].astype(float).tolist())
        db.execute("INSERT INTO v VALUES(?,?,?,?)", (i, i % 4, value, weights[i]))
    return vectors.astype(float), weights


@claim
def sum_and_avg_with_and_without_weights_equal_numpy():
    db = connect()
    vectors, weights = _vector_table(db)
    db.execute("INSERT INTO v VALUES(1000,0,NULL,1),(1001,1,?,NULL)", (blob(vectors[0]),))  # only w leaves the second out
    for grp, s, a, sw, aw in db.execute("""SELECT grp, rec_vec_sum(v) FILTER (WHERE w IS NOT NULL), rec_vec_avg(v) FILTER (WHERE w IS NOT NULL),
                                           rec_vec_sum(v,w), rec_vec_avg(v,w) FROM v GROUP BY grp"""):
        rows = np.arange(grp, len(vectors), 4)
        v, w = vectors[rows], weights[rows]
        size, weighted = np.abs(v).sum(0), (w @ np.abs(v))
        close(vector(s), v.sum(0), TOLERANCE, "rec_vec_sum", scale=size)
        close(vector(a), v.mean(0), TOLERANCE, "rec_vec_avg", scale=size / len(v))
        close(vector(sw), w @ v, TOLERANCE, "weighted rec_vec_sum", scale=weighted)
        close(vector(aw), w @ v / w.sum(), TOLERANCE, "weighted rec_vec_avg", scale=weighted / w.sum())
    same(one(db, "SELECT rec_vec_avg(v) FROM v WHERE id < 0"), None, "rec_vec_avg of no rows")


@claim
def sum_and_avg_over_a_moving_frame_equal_numpy():
    db = connect()
    vectors, weights = _vector_table(db)
    rows = db.execute("""SELECT id, rec_vec_sum(v) OVER frame, rec_vec_avg(v, w) OVER frame FROM v
                         WINDOW frame AS (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) ORDER BY id""").fetchall()
    same(len(rows), len(vectors), "rows")
    for i, s, a in rows:
        v, w = vectors[max(i - 3, 0):i + 2], weights[max(i - 3, 0):i + 2]
        close(vector(s), v.sum(0), TOLERANCE, f"the sum at row {i}", scale=np.abs(v).sum(0))
        close(vector(a), w @ v / w.sum(), TOLERANCE, f"the mean at row {i}", scale=w @ np.abs(v) / w.sum())
