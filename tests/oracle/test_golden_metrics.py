"""The metric functions against the golden values of tests/golden/metrics.json.gz (scikit-learn, SciPy, trec_eval, statsmodels), and against
properties that hold for any data."""
import functools
import gzip
import json
import math
import random
import re
import sqlite3

import numpy as np

from support import ROOT, blob, claim, claim_each, connect, one, same

EXACT = 1e-9


# ---- comparisons ----

def agree(got, want, what, tolerance=EXACT):
    """Within the tolerance, relative or absolute. want: None for NULL, a number, a dict for a JSON object, or a list of rows."""
    if isinstance(want, dict):
        assert isinstance(got, (str, dict)), f"{what}: got {got!r}, expected a JSON object"
        got = document(got, what) if isinstance(got, str) else got
        same(list(got), list(want), f"{what}: keys")
        for key, value in want.items():
            agree(got[key], value, f"{what}: {key}", tolerance)
    elif isinstance(want, list):
        same(len(got), len(want), f"{what}: rows")
        for n, (row, expected) in enumerate(zip(got, want)):
            for c, (a, b) in enumerate(zip(row, expected)):
                agree(a, b, f"{what}: row {n}, column {c}", tolerance)
    elif want is None:
        same(got, None, what)
    else:
        assert isinstance(got, (int, float)), f"{what}: got {got!r}, expected {want!r}"
        assert abs(got - want) <= tolerance * max(1, abs(want)), f"{what}: got {got!r}, expected {want!r}"


def document(text, what):
    """Parsed JSON, in which there is no NaN and no Infinity: the standard has none."""
    def refuse(word):
        raise AssertionError(f"{what}: {word} in {text}")
    return json.loads(text, parse_constant=refuse)


def agree_bootstrap(got, want, what):
    """The mean and n exactly; the ends within .3 standard errors, five times as far as 2000 resamples scatter them."""
    if want is None:
        same(got, None, what)
        return
    got = document(got, what)
    same(list(got), ["mean", "low", "high", "n"], f"{what}: keys")
    agree([[got["mean"], got["n"]]], [[want["mean"], want["n"]]], what)
    for end in ("low", "high"):
        scatter = .3 * want["error"] * (1 if want["n"] >= 10 else 4) + 1e-9
        assert abs(got[end] - want[end]) <= scatter, f"{what}: {end}: got {got[end]!r}, expected {want[end]!r} +- {scatter:.3g}"


def agree_squared(got, want, what):
    """For a distance that is a root: the root of a rounding error is no rounding error."""
    if want is None:
        same(got, None, what)
    else:
        agree(got * got, want * want, what, 1e-12)


RULES = {"rec_bootstrap": agree_bootstrap, "rec_js": agree_squared}


# ---- golden values ----

@functools.lru_cache(None)
def _golden():
    with gzip.open(ROOT / "tests" / "golden" / "metrics.json.gz", "rt", encoding="utf-8") as text:
        return json.load(text)["families"]


def _function(call):
    return re.match(r"rec_\w+", call)[0]


def _names():
    """{function: (function,)}, in the order of the file."""
    return {_function(call): (_function(call),) for cases in _golden().values() for case in cases for call in case["calls"]}


@functools.lru_cache(None)
def _tables():
    """All golden tables in one: cell(at, c0 .. c3), at = number of the table."""
    db = connect()
    db.execute("CREATE TABLE cell(at INTEGER, c0, c1, c2, c3)")
    at = 0
    for cases in _golden().values():
        for case in cases:
            rows = [[blob(v) if isinstance(v, list) else v for v in row] + [None] * (4 - len(row)) for row in case["rows"]]
            db.executemany("INSERT INTO cell VALUES(?,?,?,?,?)", [[at, *row] for row in rows])
            case["at"] = at
            at += 1
    db.execute("CREATE INDEX cell_at ON cell(at)")
    return db


CURVES = {"rec_roc_curve": "threshold, fpr, tpr", "rec_pr_curve": "threshold, precision, recall",
          "rec_calibration_curve": "bin, low, high, n, mean_score, mean_label"}


def _answer(db, call, at):
    curve = re.fullmatch(r"(rec_\w+_curve)\((rec_scored\([^)]*\))(.*)\)", call)
    if not curve:
        return one(db, f"SELECT {call} FROM cell WHERE at = ?", at)
    name, scored, rest = curve.groups()
    return db.execute(f"SELECT {CURVES[name]} FROM {name}((SELECT {scored} FROM cell WHERE at = ?){rest})", (at,)).fetchall()


@claim_each(_names())
def golden_values_come_out(name):
    db = _tables()
    wrong, n = [], 0
    for family, cases in _golden().items():
        for case in cases:
            for call, want in case["calls"].items():
                if _function(call) != name:
                    continue
                n += 1
                try:
                    RULES.get(name, agree)(_answer(db, call, case["at"]), want, f"{family}, table {case['at']} of {len(case['rows'])} rows, {call}")
                except (AssertionError, sqlite3.Error) as error:
                    wrong.append(error)
    assert not wrong, f"{len(wrong)} of {n} differ: {wrong[0]}"


@claim
def small_p_values_keep_their_digits():
    """1e-9 would let any p below it pass."""
    db, n, wrong = _tables(), 0, []
    for cases in _golden().values():
        for case in cases:
            for call, want in case["calls"].items():
                p = want.get("p") if isinstance(want, dict) else want if _function(call) in ("rec_ks_p", "rec_chi2_p", "rec_sequential_p") else None
                if p is None or not 1e-290 < p < 1e-3:
                    continue
                got = _answer(db, call, case["at"])
                got = document(got, call)["p"] if isinstance(want, dict) else got
                n += 1
                if not abs(got - p) <= 1e-7 * p:
                    wrong.append(f"table {case['at']}, {call}: got {got!r}, expected {p!r}")
    assert n > 100, f"only {n} small values"
    assert not wrong, f"{len(wrong)} of {n} differ: {wrong[0]}"


# ---- random tables ----

COLUMNS = ("id", "label", "predicted", "score", "p", "actual", "guess", "w", "rank", "relevance", "which", "value", "count", "expected", "user", "item", "vector")

WEIGHTED = ("rec_auc(label, score, w)", "rec_pr_auc(label, score, w)", "rec_logloss(label, p, w)", "rec_brier(label, p, w)",
            *(f"rec_{name}(label, predicted, w)" for name in (
                "accuracy", "class_precision", "class_recall", "specificity", "balanced_accuracy", "mcc", "f1", "confusion")),
            "rec_fbeta(label, predicted, 2, w)", *(f"rec_{name}(actual, guess, w)" for name in ("rmse", "mae", "mape", "r2")))
UNWEIGHTED = tuple(call.replace(", w)", ")") for call in WEIGHTED)
SKETCHED = ("rec_auc_approx(label, score)",)  # of so few rows exact; no window function
RANKED = ("rec_precision(rank, relevance, 3)", "rec_recall(rank, relevance, 3)", "rec_recall(rank, relevance, 3, 'capped')", "rec_hit(rank, relevance, 3)",
          "rec_rr(rank, relevance, 3)", "rec_ap(rank, relevance, 3)", "rec_ap(rank, relevance, 3, 'trec')", "rec_ndcg(rank, relevance, 3)",
          "rec_ndcg(rank, relevance, 3, 'exponential')", "rec_ndcg(rank, relevance, 3, 'full')", "rec_r_precision(rank, relevance)",
          "rec_serendipity(rank, relevance, item, 3)")
BINNED = ("rec_ece(label, p)", "rec_ece(label, p, 3)", "rec_psi(which, value)", "rec_psi(which, value, 4)")
REST = ("rec_gini(count)", "rec_entropy(count)", "rec_novelty(count, 1000)", "rec_diversity(vector)", "rec_personalization(user, item)",
        "rec_ks(which, value)", "rec_ks_p(which, value)", "rec_wasserstein(which, value)", "rec_welch_t(which, value)", "rec_mann_whitney(which, value)",
        "rec_js(expected, count)", "rec_chi2(count, expected)", "rec_chi2_p(count, expected)")
AGGREGATES = RANKED + UNWEIGHTED + WEIGHTED + BINNED + REST
IN_0_1 = RANKED + ("rec_auc(label, score)", "rec_pr_auc(label, score)", "rec_brier(label, p)", "rec_accuracy(label, predicted)", "rec_class_precision(label, predicted)",
                   "rec_class_recall(label, predicted)", "rec_specificity(label, predicted)", "rec_balanced_accuracy(label, predicted)", "rec_f1(label, predicted)",
                   "rec_fbeta(label, predicted, 2)", "rec_ece(label, p)", "rec_gini(count)", "rec_personalization(user, item)", "rec_ks(which, value)",
                   "rec_ks_p(which, value)", "rec_chi2_p(count, expected)")
ABOVE_0 = ("rec_logloss(label, p)", "rec_rmse(actual, guess)", "rec_mae(actual, guess)", "rec_mape(actual, guess)", "rec_entropy(count)", "rec_psi(which, value)",
           "rec_wasserstein(which, value)", "rec_chi2(count, expected)", "rec_novelty(count, 1000)")


def _row(draw, n):
    ties = draw.random() < .4
    return (n, int(draw.random() < .5), int(draw.random() < .5), round(draw.gauss(0, 1), 1 if ties else 6), draw.choice([0, 1, round(draw.random(), 3)]),
            round(draw.gauss(5, 3), 2), round(draw.gauss(5, 3), 2), draw.choice([1, 2, .5, 0]), draw.choice([None, n]), draw.choice([0, 0, 1, 2, None]),
            int(draw.random() < .5), draw.randint(0, 9) if ties else round(draw.gauss(0, 2), 3), draw.randint(1, 60), round(draw.uniform(1, 50), 1),
            draw.randint(1, 4), draw.randint(1, 6), blob([draw.randint(-2, 2) for _ in range(3)]))


def _table(draw, rows, nulls=.05):
    """A connection with the table t of random rows. id runs from 1 without a hole."""
    db = connect()
    db.execute(f"CREATE TABLE t({', '.join(COLUMNS)})")
    made = [_row(draw, n + 1) for n in range(rows)]
    keep = ("id", "rank")
    made = [[None if name not in keep and draw.random() < nulls else v for name, v in zip(COLUMNS, row)] for row in made]
    db.executemany(f"INSERT INTO t VALUES({','.join('?' * len(COLUMNS))})", made)
    return db


def _parsed(value):
    return document(value, "answer") if isinstance(value, str) else value


def _all_claim(cases=AGGREGATES + SKETCHED):
    return claim_each({call: (call,) for call in cases})


@_all_claim()
def the_order_of_rows_and_FILTER_mean_nothing(call):
    draw = random.Random(11)
    for rows in (0, 1, 2, 7, 40):
        db = _table(draw, rows)
        want = one(db, f"SELECT {call} FROM t WHERE id % 3 > 0")
        for order in ("id", "-id", "id * 7 % 11, id", "id * 7919 % 101"):
            agree(one(db, f"SELECT {call} FROM (SELECT * FROM t WHERE id % 3 > 0 ORDER BY {order} LIMIT 1000)"), _parsed(want), f"{rows} rows by {order}")
        agree(one(db, f"SELECT {call} FILTER (WHERE id % 3 > 0) FROM t"), _parsed(want), f"{rows} rows, FILTER")
        grouped = db.execute(f"SELECT id % 3 > 0, {call} FROM t GROUP BY 1").fetchall()
        agree(dict(grouped).get(1), _parsed(want), f"{rows} rows, GROUP BY")
    same(one(db, f"SELECT {call} FROM t WHERE 0"), None, "no row")
    same(one(db, f"SELECT {call} FILTER (WHERE 0) FROM t"), None, "no row through the filter")
    nothing = "SELECT " + ", ".join(f"NULL AS {name}" for name in COLUMNS)
    same(one(db, f"SELECT {call} FROM ({nothing})"), None, "a row of NULLs")


FRAMES = {  # rows of t that the frame of the row o has
    "ROWS BETWEEN 4 PRECEDING AND CURRENT ROW": "id BETWEEN o.id - 4 AND o.id",
    "ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING": "id BETWEEN o.id - 3 AND o.id + 3",
    "ROWS BETWEEN 9 PRECEDING AND 2 PRECEDING": "id BETWEEN o.id - 9 AND o.id - 2",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING": "id >= o.id",
    "ROWS UNBOUNDED PRECEDING": "id <= o.id",
    "ROWS BETWEEN 4 PRECEDING AND 4 FOLLOWING EXCLUDE CURRENT ROW": "id BETWEEN o.id - 4 AND o.id + 4 AND id <> o.id",
    "RANGE BETWEEN 3 PRECEDING AND CURRENT ROW": "id BETWEEN o.id - 3 AND o.id",
}


def _check_frames(db, call, tolerance=EXACT, frames=FRAMES):
    for frame, where in frames.items():
        got = db.execute(f"SELECT id, {call} OVER (ORDER BY id {frame}) FROM t ORDER BY id").fetchall()
        for n, value in got:
            want = one(db, f"SELECT {call} FROM t WHERE {where.replace('o.id', str(n))}")
            agree(value, _parsed(want), f"{frame}, row {n}", tolerance)


WINDOWS = AGGREGATES + ("rec_bootstrap(value, 50)", "rec_coverage(item, 6)", "rec_rrf(id)")


@_all_claim(WINDOWS)
def a_window_is_the_aggregate_of_its_frame(call):
    draw = random.Random(12)
    for nulls in (0, .2):
        _check_frames(_table(draw, 30, nulls), call)
    db = _table(draw, 30)
    got = db.execute(f"SELECT DISTINCT user, {call} OVER (PARTITION BY user) FROM t").fetchall()
    want = dict(db.execute(f"SELECT user, {call} FROM t GROUP BY user").fetchall())
    same(len(got), len(want), "partitions")
    for user, value in got:
        agree(value, _parsed(want[user]), f"PARTITION BY, user {user}")
    got = db.execute(f"SELECT id, {call} FILTER (WHERE id % 3) OVER (ORDER BY id ROWS 5 PRECEDING) FROM t").fetchall()
    for n, value in got:
        agree(value, _parsed(one(db, f"SELECT {call} FROM t WHERE id BETWEEN ? - 5 AND ?1 AND id % 3", n)), f"FILTER, row {n}")


@_all_claim(tuple(call for call in AGGREGATES if re.search("guess|value|count|score", call)))
def what_has_left_a_window_leaves_no_rounding_behind(call):
    """One row in ten is 1e7 times as large as the others, and weighs 1e3 times as much."""
    db = _table(random.Random(13), 60, 0)
    db.execute("UPDATE t SET actual = actual * 1e7, guess = guess * -3e6, value = value * 1e7, score = score * 1e7, w = w * 1e3 WHERE id % 10 = 3")
    if "novelty" not in call:
        db.execute("UPDATE t SET count = count * 1e7 WHERE id % 10 = 3")
    _check_frames(db, call, frames=dict(list(FRAMES.items())[:3]))


@_all_claim(WEIGHTED)
def weights_that_have_left_a_window_are_gone(call):
    """Weights of any size, then weights of 0: a total of 0, not what rounding left of it."""
    draw = random.Random(22)
    db = _table(draw, 60, 0)
    db.create_function("any_weight", 0, lambda: draw.random() * 10.0**draw.randint(-6, 6))
    db.execute("UPDATE t SET w = CASE WHEN id % 12 < 6 THEN 0 ELSE any_weight() END")
    _check_frames(db, call, frames=dict(list(FRAMES.items())[:3]))


@claim
def a_window_of_scores_is_the_curve_of_its_frame():
    db = _table(random.Random(14), 30)
    for scored in ("rec_scored(label, p)", "rec_scored(label, p, w)"):
        for frame, where in FRAMES.items():
            got = db.execute(f"SELECT id, {scored} OVER (ORDER BY id {frame}) FROM t ORDER BY id").fetchall()
            for n, value in got:
                want = one(db, f"SELECT {scored} FROM t WHERE {where.replace('o.id', str(n))}")
                for curve, columns in CURVES.items():
                    rows = [db.execute(f"SELECT {columns} FROM {curve}(?)", (scores,)).fetchall() for scores in (value, want)]
                    agree(rows[0], rows[1], f"{curve}, {scored}, {frame}, row {n}")


@_all_claim(WEIGHTED)
def a_weight_of_2_is_the_row_twice_and_of_0_is_no_row(call):
    draw = random.Random(15)
    plain = call.replace(", w)", ")")
    for rows in (1, 2, 5, 20, 50):
        db = _table(draw, rows)
        db.execute("UPDATE t SET w = 1 + id % 2")
        db.execute("CREATE VIEW twice AS SELECT * FROM t UNION ALL SELECT * FROM t WHERE w = 2")
        if "r2" not in call or rows > 2:  # r2 counts the rows
            agree(one(db, f"SELECT {call} FROM t"), _parsed(one(db, f"SELECT {plain} FROM twice")), f"{rows} rows, weight 2")
            agree(one(db, f"SELECT {call} FROM (SELECT *, 1 AS w FROM (SELECT {', '.join(c for c in COLUMNS if c != 'w')} FROM t))"),
                  _parsed(one(db, f"SELECT {plain} FROM t")), f"{rows} rows, weight 1")
        db.execute("UPDATE t SET w = id % 2")
        if rows > 4:
            agree(one(db, f"SELECT {call} FROM t"), _parsed(one(db, f"SELECT {plain} FROM t WHERE id % 2")), f"{rows} rows, weight 0")
        if "confusion" not in call:  # the mean does not depend on the unit of the weight
            db.execute("UPDATE t SET w = .25 + id % 3")
            agree(one(db, f"SELECT {call.replace(', w)', ', w * 1024)')} FROM t"), one(db, f"SELECT {call} FROM t"), f"{rows} rows, scaled weights")


@claim
def values_keep_within_their_bounds():
    draw = random.Random(16)
    for n in range(150):
        db = _table(draw, draw.choice([1, 2, 3, 5, 10, 40]))
        for calls, low, high in ((IN_0_1, 0, 1), (ABOVE_0, 0, math.inf), (("rec_mcc(label, predicted)",), -1, 1), (("rec_diversity(vector)",), 0, 2),
                                 (("rec_r2(actual, guess)",), -math.inf, 1), (("rec_js(expected, count)",), 0, math.sqrt(math.log(2)))):
            for call, value in zip(calls, db.execute(f"SELECT {', '.join(calls)} FROM t").fetchone()):
                assert value is None or low - 1e-12 <= value <= high + 1e-12, f"table {n}: {call} is {value!r}, outside of {low}..{high}"


# ---- identities: (one side, other side) are equal over any table ----

SWAPPED = "SELECT 1 - label AS label, 1 - predicted AS predicted, -score AS score, 1 - p AS p, 1 - which AS which, * FROM t"
IDENTITIES = {
    "brier is the mean squared error": ("rec_brier(label, p)", "power(rec_rmse(label, p), 2)"),
    "weighted too": ("rec_brier(label, p, w)", "power(rec_rmse(label, p, w), 2)"),
    "mae of classes is 1 - accuracy": ("rec_mae(label, predicted)", "1 - rec_accuracy(label, predicted)"),
    "auc of the other label": ("rec_auc(1 - label, score)", "1 - rec_auc(label, score)"),
    "weighted auc of the other label": ("rec_auc(1 - label, score, w)", "1 - rec_auc(label, score, w)"),
    "auc of negated scores": ("rec_auc(label, -score)", "1 - rec_auc(label, score)"),
    "auc under a monotone map": ("rec_auc(label, exp(score) * 3 + 7)", "rec_auc(label, score)"),
    "weighted auc under a monotone map": ("rec_auc(label, score * score * score, w)", "rec_auc(label, score, w)"),
    "pr_auc under a monotone map": ("rec_pr_auc(label, exp(score), w)", "rec_pr_auc(label, score, w)"),
    "auc of a class is balanced accuracy": ("rec_auc(label, predicted, w)", "rec_balanced_accuracy(label, predicted, w)"),
    "balanced accuracy": ("rec_balanced_accuracy(label, predicted)", "(rec_class_recall(label, predicted) + rec_specificity(label, predicted)) / 2"),
    "precision and recall change places": ("rec_class_precision(label, predicted, w)", "rec_class_recall(predicted, label, w)"),
    "specificity is the other class's recall": ("rec_specificity(label, predicted, w)", "rec_class_recall(1 - label, 1 - predicted, w)"),
    "f1 is fbeta of 1": ("rec_f1(label, predicted, w)", "rec_fbeta(label, predicted, 1, w)"),
    "f1 is symmetric": ("rec_f1(label, predicted)", "rec_f1(predicted, label)"),
    "mcc is symmetric": ("rec_mcc(label, predicted, w)", "rec_mcc(predicted, label, w)"),
    "mcc of both other classes": ("rec_mcc(1 - label, 1 - predicted)", "rec_mcc(label, predicted)"),
    "mcc of the opposite": ("rec_mcc(label, 1 - predicted)", "-rec_mcc(label, predicted)"),
    "logloss of the other class": ("rec_logloss(1 - label, 1 - p, w)", "rec_logloss(label, p, w)"),
    "confusion counts the rows": ("rec_confusion(label, predicted) ->> 'tp' + rec_confusion(label, predicted) ->> 'tn'",
                                  "rec_accuracy(label, predicted) * count(label + predicted)"),
    "rmse of scaled values": ("rec_rmse(actual * 8, guess * 8, w)", "8 * rec_rmse(actual, guess, w)"),
    "mae is symmetric": ("rec_mae(actual, guess)", "rec_mae(guess, actual)"),
    "mape of scaled values": ("rec_mape((1 + abs(actual)) * 8, guess * 8)", "rec_mape(1 + abs(actual), guess)"),
    "r2 of shifted values": ("rec_r2(actual * 4 + 1, guess * 4 + 1)", "rec_r2(actual, guess)"),
    "gini of scaled counts": ("rec_gini(count * 8)", "rec_gini(count)"),
    "entropy of scaled counts": ("rec_entropy(count * 8)", "rec_entropy(count)"),
    "entropy of equal counts": ("rec_entropy(abs(label) + 3 - abs(label))", "ln(count(label))"),
    "gini of equal counts": ("rec_gini(abs(label) + 3 - abs(label))", "count(label) * 0"),
    "novelty in halves": ("rec_novelty(count, 2000)", "rec_novelty(count, 1000) + 1"),
    "diversity of scaled vectors": ("rec_diversity(rec_vec_scale(vector, 4 + id % 3))", "rec_diversity(vector)"),
    "personalization under other names": ("rec_personalization('user ' || user, 'item ' || item)", "rec_personalization(user, item)"),
    "ks is symmetric": ("rec_ks(1 - which, value)", "rec_ks(which, value)"),
    "ks_p is symmetric": ("rec_ks_p(1 - which, value)", "rec_ks_p(which, value)"),
    "serendipity of what nobody expects": ("rec_serendipity(rank, relevance, NULL, 3)", "rec_precision(rank, relevance, 3)"),
    "serendipity is precision without what is expected": (
        "rec_serendipity(rank, relevance, item, 3)", "(SELECT iif(count(*) FILTER (WHERE relevance > 0), count(*) FILTER (WHERE rank <= 3 AND relevance > 0 AND NOT coalesce(item <= 3, 0)) / 3.0, NULL) FROM t)"),
    "auc of few rows is exact": ("rec_auc_approx(label, score)", "rec_auc(label, score)"),
    "ks under a monotone map": ("rec_ks(which, exp(value))", "rec_ks(which, value)"),
    "ks is the largest distance of the roc curve from its diagonal": (
        "rec_ks(which, value)", "(SELECT max(abs(tpr - fpr)) FROM rec_roc_curve((SELECT rec_scored(which, value) FROM t)))"),
    "wasserstein is symmetric": ("rec_wasserstein(1 - which, value)", "rec_wasserstein(which, value)"),
    "wasserstein of scaled values": ("rec_wasserstein(which, value * -4 + 1)", "4 * rec_wasserstein(which, value)"),
    "wasserstein is at least the difference of the means": (
        "max(rec_wasserstein(which, value), abs(rec_welch_t(which, value) ->> 'difference'))", "rec_wasserstein(which, value) + 0 * (rec_welch_t(which, value) ->> 't')"),
    "u is auc": ("rec_mann_whitney(which, value) ->> 'u'", "rec_auc(which, value) * count(value) FILTER (WHERE which = 1) * count(value) FILTER (WHERE which = 0)"),
    "u of the other side": ("rec_mann_whitney(1 - which, value) ->> 'p'", "rec_mann_whitney(which, value) ->> 'p'"),
    "t of the other side": ("rec_welch_t(1 - which, value) ->> 't'", "-(rec_welch_t(which, value) ->> 't')"),
    "t of scaled values": ("rec_welch_t(which, value * 8 + 1) ->> 'p'", "rec_welch_t(which, value) ->> 'p'"),
    "js is symmetric": ("power(rec_js(expected, count), 2)", "power(rec_js(count, expected), 2)"),
    "js of shares": ("power(rec_js(expected * 8, count), 2)", "power(rec_js(expected, count), 2)"),
    "chi2 of a scaled expectation": ("rec_chi2(count, expected * 3)", "rec_chi2(count, expected)"),
    "area under the roc curve": (
        "rec_auc(label, score, w)", "(SELECT sum((fpr - f) * (tpr + t) / 2) FROM (SELECT fpr, tpr, lag(fpr) OVER () AS f, lag(tpr) OVER () AS t "
        "FROM rec_roc_curve((SELECT rec_scored(label, score, w) FROM t))))"),
    "area under the precision-recall curve": (
        "rec_pr_auc(label, score, w)", "(SELECT sum(precision * (recall - r)) FROM (SELECT precision, recall, lag(recall, 1, 0) OVER () AS r "
        "FROM rec_pr_curve((SELECT rec_scored(label, score, w) FROM t))))"),
    "ece is the calibration curve's mean distance": (
        "rec_ece(label, p, 7)", "(SELECT sum(n * abs(mean_score - mean_label)) / sum(n) FROM rec_calibration_curve((SELECT rec_scored(label, p) FROM t), 7))"),
}


@claim_each(IDENTITIES)
def identities_hold(left, right):
    draw = random.Random(17)
    compared = 0
    for n in range(40):
        db = _table(draw, draw.choice([3, 5, 10, 25, 60]), draw.choice([0, .1]))
        a, b = db.execute(f"SELECT {left}, {right} FROM t").fetchone()
        agree(a, b, f"table {n}: {left} = {right}")
        compared += a is not None
    assert compared > 25, f"only {compared} tables have a value"


@claim
def more_weight_on_errors_is_worse():
    draw = random.Random(18)
    for n in range(100):
        db = _table(draw, 20)
        for call, wrong, sign in (("rec_accuracy(label, predicted, {})", "label <> predicted", -1), ("rec_brier(label, p, {})", "abs(label - p) > .99", 1),
                                  ("rec_mae(actual, guess, {})", "abs(actual - guess) > 8", 1)):
            low, high = (one(db, f"SELECT {call.format(w)} FROM t") for w in ("1", f"1 + coalesce({wrong}, 0)"))
            assert (high - low) * sign >= -1e-12, f"table {n}: {call}: {low} and {high}"


# ---- scalar functions, the bootstrap, buckets ----

@claim
def experiments_keep_their_identities():
    db, draw = connect(), random.Random(19)
    for n in range(300):
        na, nb = draw.randint(10, 10**draw.randint(2, 7)), draw.randint(10, 10**draw.randint(2, 7))
        a, b = draw.randint(1, na - 1), draw.randint(1, nb - 1)
        there, back = (document(one(db, "SELECT rec_ab_test(?,?,?,?)", *arguments), "ab") for arguments in ((a, na, b, nb), (b, nb, a, na)))
        agree(there, {"difference": -back["difference"], "z": -back["z"], "p": back["p"], "low": -back["high"], "high": -back["low"]}, f"{n}: a and b change places")
        assert there["low"] <= there["difference"] <= there["high"] and 0 <= there["p"] <= 1, f"{n}: {there}"
        p = one(db, "SELECT rec_sequential_p(?,?,?,?)", a, na, b, nb)
        agree(one(db, "SELECT rec_sequential_p(?,?,?,?)", b, nb, a, na), p, f"{n}: sequential, a and b change places")
        agree(one(db, "SELECT rec_sequential_p(?,?,?,?,.02)", a, na, b, nb), p, f"{n}: tau is .02")
        assert 0 <= p <= 1 and p >= there["p"] - 1e-9, f"{n}: always valid p {p} is below the fixed p {there['p']}"
    same(one(db, "SELECT rec_sequential_p(50, 100, 50, 100)"), 1, "no difference")
    same(one(db, "SELECT rec_sample_size(.1, .02)"), one(db, "SELECT rec_sample_size(.1, .02, .05, .8)"), "defaults")
    sizes = [one(db, "SELECT rec_sample_size(.1, ?)", d) for d in (.01, .02, .05, .2, .6)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 5, f"sizes of growing differences: {sizes}"


@claim
def undefined_statistics_are_no_broken_JSON():
    """Where nothing varies there is no z and no t: NULL, or an object that JSON can say."""
    db = connect()
    for a, na, b, nb in ((0, 10, 0, 20), (10, 10, 20, 20), (0, 10, 20, 20), (0, 1, 0, 1), (1, 1, 0, 1), (0, 10, 1, 10**9)):
        for call in ("rec_ab_test(?,?,?,?)", "rec_sequential_p(?,?,?,?)"):
            value = one(db, f"SELECT {call}", a, na, b, nb)
            if isinstance(value, str):
                document(value, f"{call} of {a, na, b, nb}")
            else:
                assert value is None or 0 <= value <= 1, f"{call} of {a, na, b, nb}: {value!r}"
    samples = ([(0, 1), (0, 1), (1, 1), (1, 1)], [(0, 1), (0, 1), (1, 2), (1, 2)], [(0, 1), (1, 2)], [(0, 1), (1, 2), (1, 3)], [(0, 1), (0, 2)], [(1, 5)],
               [(0, 1e300), (1, -1e300), (0, 1), (1, 2)], [(0, 1e-300), (1, 2e-300), (0, 3e-300), (1, 5e-300)])
    for rows in samples:
        for name in ("ks", "ks_p", "wasserstein", "welch_t", "mann_whitney", "psi"):
            value = one(db, f"SELECT rec_{name}(value ->> 0, value ->> 1) FROM json_each(?)", json.dumps(rows))
            if isinstance(value, str):
                document(value, f"rec_{name} of {rows}")
            else:
                assert value is None or math.isfinite(value), f"rec_{name} of {rows}: {value!r}"


PAST_THE_LARGEST = {  # what the answer would be if the sums had room
    "rec_rmse(v, -v)": math.inf, "rec_rmse(v, -v, 1)": math.inf, "rec_mae(v, -v)": math.inf, "rec_mape(0, v)": math.inf, "rec_r2(v, -v)": -math.inf,
    "rec_gini(v)": .02658, "rec_entropy(v)": 1.385, "rec_wasserstein(v < 1.65e308, v)": 1.45e307, "rec_bootstrap(v)": None, "rec_welch_t(v < 1.65e308, v)": None}


@claim_each({call: (call, true) for call, true in PAST_THE_LARGEST.items()})
def what_is_past_the_largest_number_is_not_another_number(call, true):
    """It is NULL or infinite, or right; and no broken JSON."""
    value = one(connect(), f"SELECT {call} FROM (SELECT 1.7e308 AS v UNION ALL SELECT 1.6e308 UNION ALL SELECT 1.5e308 UNION ALL SELECT 1.69e308)")
    if isinstance(value, str):
        document(value, call)
    else:
        assert value is None or math.isinf(value) or true is not None and abs(value - true) < .01 * abs(true), f"got {value!r}, expected {true!r}"


@claim
def the_bootstrap_follows_its_seed():
    db = _table(random.Random(20), 60)
    first, again, default, other, many = (one(db, f"SELECT rec_bootstrap(value{rest}) FROM t") for rest in (", 500, 7", ", 500, 7", "", ", 500, 8", ", 1000, 1"))
    same(again, first, "the same seed")
    same(many, default, "1000 samples and the seed 1 are the defaults")
    assert other != first, "another seed gives the same interval"
    for text in (first, default, other):
        row = document(text, "bootstrap")
        assert row["low"] < row["mean"] < row["high"], text
    constant = document(one(db, "SELECT rec_bootstrap(2.5) FROM t"), "constant")
    same((constant["low"], constant["mean"], constant["high"], constant["n"]), (2.5, 2.5, 2.5, 60), "constant")


@claim
def buckets_are_even_and_follow_key_and_seed():
    db = connect()
    db.execute("CREATE TABLE k AS WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 19999) SELECT i FROM n")
    for key in ("i", "-i", "i * 4294967296", "'user ' || i", "CAST(i AS TEXT)", "printf('%s', i) || x'00e9'", "9223372036854775807 - i"):
        for n in (2, 7, 10):
            for seed in (0, 1, "'test A'") if n == 7 else (1,):
                try:
                    counts = np.array([row[0] for row in db.execute(f"SELECT count(*) FROM k GROUP BY rec_bucket({key}, {seed}, {n})")])
                except sqlite3.Error:
                    if seed == "'test A'":  # a seed may have to be a number
                        continue
                    raise
                same(len(counts), n, f"buckets of {key} with seed {seed}")
                chi2 = ((counts - 20000 / n)**2 / (20000 / n)).sum()
                assert chi2 < n + 5 * math.sqrt(2 * n), f"{key}, seed {seed}, {n} buckets: {counts}"
    same(one(db, "SELECT group_concat(DISTINCT rec_bucket(i, 1, 1)) FROM k"), "0", "one bucket")
    same(one(db, "SELECT min(rec_bucket(i, 1, 5) = rec_bucket(i, 1, 5)) FROM k"), 1, "the same answer twice")
    same(one(db, "SELECT min(rec_bucket(i, 1, 1000000000) BETWEEN 0 AND 999999999) FROM k"), 1, "many buckets")
    equal = one(db, "SELECT avg(rec_bucket(i, 1, 10) = rec_bucket(i, 2, 10)) FROM k")
    assert .09 < equal < .11, f"{equal:.3f} of the keys keep their bucket of ten under another seed"
    for step in (1, 2, 16, 1000):
        pairs = one(db, f"SELECT avg(rec_bucket(i, 1, 2) = rec_bucket(i + {step}, 1, 2)) FROM k")
        assert .48 < pairs < .52, f"{pairs:.3f} of the neighbours at {step} share their half"


# ---- refusals ----

def _scores_refusals(name, takes_p, weighted, other="0.5"):
    yield f"rec_{name}(2, {other})", "label"
    yield f"rec_{name}(0.5, {other})", "label"
    yield f"rec_{name}('yes', {other})", "label"
    yield f"rec_{name}(1, 'high')", ""
    yield f"rec_{name}(1, 9e999)", ""
    yield f"rec_{name}(1, -9e999)", ""
    if takes_p:
        yield f"rec_{name}(1, 1.5)", ""
        yield f"rec_{name}(1, -0.1)", ""
    if weighted:
        yield from ((f"rec_{name}(1, {other}, {w})", "weight") for w in ("-1", "9e999", "'heavy'"))


def _refusals():
    for name, takes_p, weighted in (("auc", 0, 1), ("pr_auc", 0, 1), ("logloss", 1, 1), ("brier", 1, 1), ("ece", 1, 0), ("scored", 0, 1)):
        yield from _scores_refusals(name, takes_p, weighted)
    for name in ("accuracy", "class_precision", "class_recall", "specificity", "balanced_accuracy", "mcc", "f1", "confusion"):
        yield from _scores_refusals(name, True, True, "0")
        yield f"rec_{name}(1, 0.5)", "predicted"
    for beta in ("-1", "'x'", "9e999"):
        yield f"rec_fbeta(1, 1, {beta})", "beta"
    yield "rec_fbeta(1, 1, 2, -1)", "weight"
    for name in ("rmse", "mae", "mape", "r2"):
        for arguments in ("'a', 1", "1, 'b'", "9e999, 1", "1, -9e999"):
            yield f"rec_{name}({arguments})", "number"
        for w in ("-1", "9e999", "'heavy'"):
            yield f"rec_{name}(1, 1, {w})", "weight"
    for name in ("precision", "recall", "hit", "rr", "ap", "ndcg"):
        for k in ("0", "-1", "1.5", "'x'", "NULL"):
            yield f"rec_{name}(1, 1, {k})", "k must be"
        for rank in ("0", "1.5", "'x'"):
            yield f"rec_{name}({rank}, 1, 3)", "rank"
        for relevance in ("-1", "'x'", "9e999"):
            yield f"rec_{name}(1, {relevance}, 3)", "relevance"
    for name in ("recall", "ap", "ndcg"):
        yield f"rec_{name}(1, 1, 3, 'nosuch')", "argument"
    yield "rec_r_precision(0, 1)", "rank"
    yield "rec_r_precision(1, -1)", "relevance"
    for name in ("gini(-1)", "gini('x')", "gini(9e999)", "entropy(-1)", "entropy('x')", "entropy(9e999)", "novelty(-1, 5)", "novelty('x', 5)", "novelty(1, 'x')",
                 "novelty(1, 9e999)", "diversity('x')", "diversity(3)", "diversity(x'000000')", "personalization(1.5, 1)", "personalization(1, x'00')",
                 "js(-1, 2)", "js(1, 'x')", "js(1, 9e999)", "chi2(-1, 2)", "chi2(1, -2)", "chi2_p('x', 2)", "chi2_p(1, 9e999)"):
        yield "rec_" + name, ""
    for name in ("psi", "ks", "ks_p", "wasserstein", "welch_t", "mann_whitney"):
        for arguments in ("2, 1", "0.5, 1", "'a', 1", "1, 'x'", "1, 9e999"):
            yield f"rec_{name}({arguments})", ""
    for bins in ("0", "-1", "2.5", "'x'"):
        yield f"rec_ece(1, .5, {bins})", "bins"
        yield f"rec_psi(1, .5, {bins})", "bins"
    for arguments in ("5, 4, 1, 2", "-1, 4, 1, 2", "1, 0, 1, 2", "1, 4, 3, 2", "1, 4, 1, 0", "'x', 4, 1, 2", "1, 9e999, 1, 2"):
        yield f"rec_ab_test({arguments})", ""
        yield f"rec_sequential_p({arguments})", ""
    for tau, word in (("0", "tau"), ("-1", "tau"), ("'x'", "number"), ("9e999", "number")):
        yield f"rec_sequential_p(1, 4, 1, 2, {tau})", word
    for arguments in ("0, .1", "1, .1", "1.5, .1", ".1, 0", ".1, .95", ".1, -.2", "'x', .1", ".1, 'x'", ".1, .1, 0", ".1, .1, 1", ".1, .1, 2", ".1, .1, .05, 0", ".1, .1, .05, 1", ".1, .1, 'x'"):
        yield f"rec_sample_size({arguments})", ""
    for arguments in ("'x'", "9e999", "1, 0", "1, -5", "1, 'x'", "1, 10, 'x'"):
        yield f"rec_bootstrap({arguments})", ""
    for arguments in ("1, 1, 0", "1, 1, -2", "1, 1, 'x'", "1, 1, 1.5", "1.5, 1, 2", "x'00', 1, 2"):
        yield f"rec_bucket({arguments})", ""


@claim_each({call: (call, word) for call, word in _refusals()})
def nonsense_is_refused_in_words(call, word):
    db = connect()
    for sql in (f"SELECT {call}", f"SELECT {call} FROM (VALUES(1), (2))"):
        try:
            value = one(db, sql)
        except sqlite3.OperationalError as error:
            text = str(error)
            assert text.startswith(_function(call) + ": ") and len(text.split()) >= 4, f"{call} says only {text!r}"
            assert word in text, f"{call} says {text!r}, which does not name {word!r}"
        else:
            raise AssertionError(f"{sql} is not refused: {value!r}")
        if "rec_ab" in call or "_sequential_p" in call or "sample_size" in call or "bucket" in call:
            break


NONSENSE = {"rec_auc(label + 2, score)": "label", "rec_logloss(label, p + 2)": "", "rec_rmse(actual, guess, -1)": "weight", "rec_fbeta(label, predicted, -1)": "beta",
            "rec_ndcg(rank, relevance, 0)": "k must be", "rec_gini(-count)": "", "rec_ks(3, value)": ""}


@claim_each({call: (call, word) for call, word in NONSENSE.items()})
def nonsense_is_refused_in_a_window_too(call, word):
    db = _table(random.Random(21), 20, 0)
    try:
        db.execute(f"SELECT {call} OVER (ORDER BY id ROWS 2 PRECEDING) FROM t").fetchall()
    except sqlite3.OperationalError as error:
        assert str(error).startswith(_function(call) + ": ") and word in str(error), error
    else:
        raise AssertionError(f"{call} in a window is not refused")


@claim_each({f"{call}, {weight}": (call, weight) for call in ("rec_auc", "rec_pr_auc") for weight in ("", ", w")})
def parts_put_together_are_the_whole(call, weight):
    """rec_scored of each part is kept; the metric of all parts comes from these, as does one rec_scored for the curves."""
    draw = random.Random(31)
    for rows in (0, 1, 2, 10, 60, 400):
        db = _table(draw, rows)
        want = one(db, f"SELECT {call}(label, score{weight}) FROM t")
        db.execute(f"CREATE TABLE kept AS SELECT user, rec_scored(label, score{weight}) AS scored FROM t GROUP BY user")
        agree(one(db, f"SELECT {call}(scored) FROM kept"), want, f"{rows} rows")
        agree(one(db, f"SELECT {call}(scored) FROM (SELECT rec_scored(scored) AS scored FROM kept GROUP BY user % 2)"), want, f"{rows} rows, in two steps")
        for curve, columns in list(CURVES.items())[:2]:
            agree(db.execute(f"SELECT {columns} FROM {curve}((SELECT rec_scored(scored) FROM kept))").fetchall(),
                  [tuple(row) for row in db.execute(f"SELECT {columns} FROM {curve}((SELECT rec_scored(label, score{weight}) FROM t))").fetchall()], f"{rows} rows: {curve}")


@claim
def parts_that_are_none_are_refused():
    db = connect()
    for call in ("rec_auc", "rec_pr_auc", "rec_scored"):
        same(one(db, f"SELECT {call}(NULL)"), None, f"{call} of NULL")
        for value in ("x'00'", "'text'", "7"):
            try:
                db.execute(f"SELECT {call}({value})").fetchall()
            except sqlite3.OperationalError as error:
                assert str(error).startswith(call + ": ") and "rec_scored" in str(error), error
            else:
                raise AssertionError(f"{call}({value}) is not refused")


@claim
def curves_refuse_what_is_no_list_of_scores():
    db = connect()
    good = one(db, "SELECT rec_scored(value % 2, value / 10.0) FROM json_each('[1,2,3,4,5,6]')")
    for curve in CURVES:
        assert db.execute(f"SELECT * FROM {curve}(?)", (good,)).fetchall()
        same(db.execute(f"SELECT * FROM {curve}(NULL)").fetchall(), [], f"{curve} of NULL")
        flipped = [good[:n] + bytes([good[n] ^ 255]) + good[n + 1:] for n in range(len(good))]
        bad = ["scores", 5, b"", b"x", good[:-1], good + b"\0", good[1:], b"\xff" * len(good), b"\0" * len(good), *(good[:n] for n in range(len(good))), *flipped]
        refused = 0
        for value in bad:
            try:
                rows = db.execute(f"SELECT * FROM {curve}(?)", (value,)).fetchall()
            except sqlite3.OperationalError as error:
                assert len(str(error).split()) >= 3, f"{curve} of {value!r}: {error}"
                refused += 1
            else:  # a byte that changes a number, or shorter by whole rows
                assert all(v is None or math.isfinite(v) for row in rows for v in row), f"{curve} of {value!r}: {rows}"
        assert refused >= 6, f"{curve}: only {refused} of {len(bad)} refused"
    for bins in ("0", "-1", "'x'", "1.5"):
        try:
            rows = db.execute(f"SELECT * FROM rec_calibration_curve(?, {bins})", (good,)).fetchall()
        except sqlite3.OperationalError as error:
            assert "bins" in str(error), f"bins = {bins}: {error}"
        else:
            raise AssertionError(f"bins = {bins} is not refused: {rows}")
    outside = one(db, "SELECT rec_scored(1, 1.5)")
    try:
        rows = db.execute("SELECT * FROM rec_calibration_curve(?)", (outside,)).fetchall()
    except sqlite3.OperationalError as error:
        assert len(str(error).split()) >= 4, error
    else:
        raise AssertionError(f"a calibration curve of the score 1.5 is not refused: {rows}")
