"""Metrics of groups that are sorted byte by byte, or sketched: against NumPy, by other roads than the code's."""
import math
import sqlite3

import numpy as np

from support import claim, claim_each, connect, one, same

draw = np.random.default_rng(5)


def _awkward(n):
    """Both signs, zeros of both signs, the smallest and the largest numbers, many ties."""
    values = draw.normal(size=n) * 10.0 ** draw.integers(-300, 300, size=n)
    values[::5] = draw.integers(-3, 4, size=len(values[::5]))
    values[1::50] = 0.0
    values[2::50] = -0.0
    values[3::50] = 5e-324
    return values


SCORES = {
    "ties": lambda n: draw.integers(0, 50, size=n).astype(float),
    "negative": lambda n: -draw.random(n) - 1,
    "float32": lambda n: draw.normal(size=n).astype(np.float32).astype(float),
    "one value": lambda n: np.full(n, 2.5),
    "awkward": _awkward,
    "ascending": lambda n: np.arange(n) / 3,
    "descending": lambda n: -np.arange(n) * 1e5,
}


def _table(scores, share=.3):
    labels = (draw.random(len(scores)) < share).astype(int)
    labels[:2] = 0, 1
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, label INTEGER, score REAL)")
    db.executemany("INSERT INTO t(label, score) VALUES(?, ?)", zip(labels.tolist(), scores.tolist()))
    return db, labels, scores


def _auc(labels, scores):
    negative = np.sort(scores[labels == 0])
    below, upto = (np.searchsorted(negative, scores[labels == 1], side) for side in ("left", "right"))
    return math.fsum((below + upto) / 2 / len(negative)) / int(labels.sum())


def _average_precision(labels, scores):
    area = seen = 0
    for score in sorted(set(scores[labels == 1].tolist()), reverse=True):
        above = int((scores >= score).sum())
        hits = int(((scores >= score) & (labels == 1)).sum())
        area += (hits - seen) * hits / above
        seen = hits
    return area / int(labels.sum())


@claim_each({f"{name}, {n} rows": (name, n) for name in SCORES for n in (127, 129, 130, 3000)})
def large_groups_are_sorted_rightly(name, n):
    db, labels, scores = _table(SCORES[name](n))
    for call, want in (("rec_auc(label, score)", _auc(labels, scores)), ("rec_auc(label, score, 2)", _auc(labels, scores)),
                       ("rec_pr_auc(label, score)", _average_precision(labels, scores)), ("rec_pr_auc(label, score, .5)", _average_precision(labels, scores)),
                       ("rec_auc_approx(label, score)", _auc(labels, scores))):
        got = one(db, f"SELECT {call} FROM t")
        assert abs(got - want) < 1e-12, f"{call}: {got} for {want}"
    both = [np.sort(scores[labels == which]) for which in (0, 1)]
    at = np.unique(scores)
    want = max(abs(np.searchsorted(both[0], at, "right") / len(both[0]) - np.searchsorted(both[1], at, "right") / len(both[1])))
    assert abs(one(db, "SELECT rec_ks(label, score) FROM t") - want) < 1e-12
    curve = [row[0] for row in db.execute("SELECT threshold FROM rec_roc_curve((SELECT rec_scored(label, score) FROM t)) WHERE threshold IS NOT NULL")]
    same(curve, at[::-1].tolist(), "thresholds")


@claim
def a_window_of_many_rows_is_the_aggregate_of_its_frame():
    db, labels, scores = _table(_awkward(900))
    for call in ("rec_auc(label, score)", "rec_pr_auc(label, score)", "rec_auc(label, score, 1)"):
        got = dict(db.execute(f"SELECT id, {call} OVER (ORDER BY id ROWS 299 PRECEDING) FROM t").fetchall())
        for n in (1, 2, 150, 300, 301, 450, 700, 900):
            same(got[n], one(db, f"SELECT {call} FROM t WHERE id BETWEEN ? - 299 AND ?1", n), f"{call}, row {n}")


def _bound(positives, negatives):
    """What ext/metrics/auc.h promises."""
    room = 16384
    part = lambda n: 0 if n <= room else (math.ceil(math.log2(n / room)) / 2 + 1) / room
    return part(positives) + part(negatives)


@claim_each({name: (name,) for name in ("ties", "float32", "awkward", "ascending", "descending")})
def a_sketch_is_within_its_bound(name):
    scores = SCORES[name](400_000)
    labels = np.zeros(len(scores), int)
    if name in ("ascending", "descending"):  # the scores come in order; positives in one stretch of them
        labels[100_000:200_000] = 1
    else:
        labels = (draw.random(len(scores)) < .2).astype(int)
    db = connect()
    db.execute("CREATE TABLE t(label INTEGER, score REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?)", zip(labels.tolist(), scores.tolist()))
    got, want, bound = one(db, "SELECT rec_auc_approx(label, score) FROM t"), _auc(labels, scores), _bound(int(labels.sum()), int((1 - labels).sum()))
    assert abs(got - want) <= bound < .001, f"{got} for {want}: off by {abs(got - want)}, promised {bound}"
    same(got, one(db, "SELECT rec_auc_approx(label, score) FROM t"), "again")


@claim
def a_sketch_of_up_to_16384_rows_a_label_is_exact():
    scores = draw.normal(size=32768)
    labels = np.arange(32768) % 2
    db = connect()
    db.execute("CREATE TABLE t(label INTEGER, score REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?)", zip(labels.tolist(), scores.tolist()))
    got, want = db.execute("SELECT rec_auc_approx(label, score), rec_auc(label, score) FROM t").fetchone()
    assert abs(got - want) < 1e-14, f"{got} for {want}"


@claim
def a_sketch_refuses_and_leaves_out_as_the_exact_one_does():
    db = connect()
    for call in ("rec_auc_approx(2, 1)", "rec_auc_approx('x', 1)", "rec_auc_approx(1, 'x')", "rec_auc_approx(1, 1e999)"):
        try:
            db.execute(f"SELECT {call}").fetchall()
        except sqlite3.OperationalError as error:
            assert str(error).startswith("rec_auc_approx: "), error
        else:
            raise AssertionError(f"{call} is not refused")
    same(one(db, "SELECT rec_auc_approx(1, 2)"), None, "no negative")
    same(one(db, "SELECT rec_auc_approx(label, score) FROM (SELECT 1 AS label, NULL AS score UNION ALL SELECT NULL, 1)"), None, "NULLs")


@claim_each({f"{bins} bins": (bins,) for bins in (1, 3, 10, 1000)})
def bins_of_large_groups(bins):
    rows = 5000
    p, label, which, value = draw.random(rows).round(3), (draw.random(rows) < .4).astype(int), (draw.random(rows) < .5).astype(int), _awkward(rows)
    value[which == 1] += .5
    db = connect()
    db.execute("CREATE TABLE t(label INTEGER, p REAL, which INTEGER, value REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?, ?)", zip(label.tolist(), p.tolist(), which.tolist(), value.tolist()))
    at = np.minimum(np.floor(p * bins), bins - 1)
    want = sum(abs((label - p)[at == b].sum()) for b in range(bins)) / rows
    got = one(db, "SELECT rec_ece(label, p, ?) FROM t", bins)
    assert abs(got - want) < 1e-12, f"ece: {got} for {want}"
    edges = np.unique(np.quantile(value[which == 0], [b / bins for b in range(1, bins)])) if bins > 1 else np.array([])
    shares = [np.bincount(np.searchsorted(edges, value[which == side], "right"), minlength=len(edges) + 1) / (which == side).sum() for side in (0, 1)]
    want = sum((max(a, 1e-4) - max(e, 1e-4)) * math.log(max(a, 1e-4) / max(e, 1e-4)) for e, a in zip(*shares))
    got = one(db, "SELECT rec_psi(which, value, ?) FROM t", bins)
    assert abs(got - want) < 1e-9, f"psi: {got} for {want}"
