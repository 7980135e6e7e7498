#!/usr/bin/python3
"""Golden values of the metric functions, from the tools that the reference names: writes metrics.json.gz (make golden).

    make_metrics.py OUT

A case is a small table (columns c0, c1, ...; vectors are lists of floats) and a value for each call over it, null for
NULL. Rows with a NULL in a column that a call reads are left out before the tool is asked. The tools:

    ranking       trec_eval by pytrec_eval where the gains are whole numbers, else the same formulas in NumPy; the two
                  are compared here. Made from its P and map_cut: 'capped' recall and ap / min(k, R)
    scores, classes, curves, regression   scikit-learn
    beyond accuracy   SciPy (entropy); gini, novelty, diversity, personalization from their formulas
    two samples   SciPy; psi from its formula with numpy.quantile
    categories    SciPy
    experiments   statsmodels; the sequential p-value from its formula; the bootstrap from 20000 resamples of NumPy

Where the specification differs from a tool, it is the specification that counts. These edges are NumPy's here:
    no row gives NULL; so does a total weight of 0, for what divides by it
    ranking: nothing relevant gives NULL (trec_eval 0)
    auc, average precision, precision, recall, specificity, balanced accuracy, f: NULL where they have 0 / 0
    curves: the threshold that means "nothing is predicted" is NULL (scikit-learn inf); the order is by descending
        score; the point (1, 0) that scikit-learn adds to a precision-recall curve is left out; rates that are 0 / 0
        are NULL, also the recall without a positive (scikit-learn warns, and says 1)
    r2: NULL for fewer than two rows; a constant actual gives 1 or 0, also where rounding makes its mean another number
    mcc: 0 where a margin is empty
    two samples: NULL where one is empty; ks_p by Kolmogorov's limit (scipy.stats.kstwobign; its ks_2samp takes the
        distribution for round(n0 n1 / (n0 + n1)) rows); welch_t NULL where one has fewer than two rows
    chi2_p: NULL for one category
Left out, because rounding decides them: psi where a value is nearer than 1e-9 to an edge that it does not equal, and
sample sizes that are nearly whole. Left out, because they are undefined: welch_t where nothing varies, chi2 where
nothing was observed, experiments in which all or none succeed."""
import fractions
import gzip
import json
import math
import random
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pytrec_eval
import scipy.stats
from scipy.spatial.distance import jensenshannon
from sklearn import metrics as sk
from statsmodels.stats import proportion

warnings.simplefilter("ignore")
EPS = float(np.finfo(float).eps)
CASES = 220
families = {}


# ---- what a case is ----

def plain(value):
    """For JSON: 14 digits, NaN is None."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (int, str)):
        return value
    value = float(value)
    assert not math.isinf(value)
    return None if math.isnan(value) else float(f"{value:.14g}")


def columns(rows, picked):
    """The picked columns of the rows that have no NULL in them."""
    kept = [[row[c] for c in picked] for row in rows]
    kept = [row for row in kept if None not in row]
    return [[row[c] for row in kept] for c in range(len(picked))]


def value_of(function, data, as_arrays=True):
    """None for no row. A ZeroDivisionError is NULL: so NumPy's average() answers to a total weight of 0."""
    if not data[0]:
        return None
    try:
        return plain(function(*(np.array(c, float) for c in data) if as_arrays else data))
    except ZeroDivisionError:
        return None


def add(family, rows, calls):
    families.setdefault(family, []).append({"rows": rows, "calls": calls})


def sizes(draw, many=CASES):
    """Empty, one row, two rows, three of 500, and the rest of up to 60."""
    for n in range(many):
        yield (0, 1, 1, 2, 2, 1, 500)[n] if n < 7 else 500 if n in (100, 200) else min(draw.randint(2, 60), draw.randint(2, 60))


def with_nulls(draw, rows, nullable):
    """Every third table: rows again with a NULL in one of the columns, or in several; then all in another order."""
    rows = [list(row) for row in rows]
    if rows and draw.random() < .33:
        for _ in range(draw.randint(1, 4)):
            row = list(draw.choice(rows))
            for c in draw.sample(nullable, draw.choice([1, 1, 1, len(nullable)])):
                row[c] = None
            rows.append(row)
        draw.shuffle(rows)
    return rows


def number(draw, kind):
    if kind == "constant":
        return .75
    if kind == "few":
        return draw.randint(0, 4) / 4
    if kind == "tenths":
        return draw.randint(0, 10) / 10
    if kind == "full":
        return draw.random()
    return round(draw.random(), 3)


KINDS = ("constant", "few", "tenths", "full", "short", "short", "short")
WEIGHTS = ("ones", "whole", "reals", "reals", "zeros among", "all zero")


def weight(draw, kind):
    return {"ones": 1, "whole": draw.randint(1, 4), "all zero": 0,
            "zeros among": draw.choice([0, 0, 1, 2.5])}.get(kind, round(draw.uniform(.01, 3), 3))


def label(draw, kind):
    return {"all 0": 0, "all 1": 1}.get(kind, int(draw.random() < {"few 1": .15, "half": .5, "many 1": .85}.get(kind, .5)))


LABELS = ("half", "half", "half", "few 1", "few 1", "many 1", "all 0", "all 1")


# ---- ranking ----

def dcg(gains, k):
    return sum(g / math.log2(n + 2) for n, g in enumerate(gains[:k]))


def ranking_numpy(listed, missed, k):
    relevant = sorted((g for g in listed + missed if g > 0), reverse=True)
    hits = [n + 1 for n, g in enumerate(listed[:k]) if g > 0]
    found, total = sum((nth + 1) / rank for nth, rank in enumerate(hits)), len(relevant)
    power = [2**g - 1 for g in listed]
    return {
        "precision": len(hits) / k, "recall": len(hits) / total, "capped": len(hits) / min(k, total), "hit": int(bool(hits)),
        "rr": 1 / hits[0] if hits else 0, "ap": found / min(k, total), "trec": found / total,
        "ndcg": dcg(listed, k) / dcg(relevant, k), "exponential": dcg(power, k) / dcg([2**g - 1 for g in relevant], k),
        "full": dcg(listed, k) / dcg(relevant, total), "r_precision": sum(g > 0 for g in listed[:total]) / total,
    }


def ranking_trec(listed, missed, k):
    total = sum(g > 0 for g in listed + missed)
    run = {f"d{n}": float(1000 - n) for n in range(len(listed))}
    judged = {f"d{n}": g for n, g in enumerate(listed)} | {f"m{n}": g for n, g in enumerate(missed)}

    def ask(run, judged, *measures):
        names = {m.replace(".", "_") for m in measures}
        out = pytrec_eval.RelevanceEvaluator({"q": judged}, set(measures)).evaluate({"q": run})["q"]
        return {name: out[name] for name in names}
    whole = ask(run, judged, f"P.{k}", f"recall.{k}", f"success.{k}", f"map_cut.{k}", f"ndcg_cut.{k}", "Rprec")
    cut = ask({d: s for d, s in run.items() if int(d[1:]) < k}, judged, "recip_rank", "ndcg")
    power = ask(run, {d: 2**g - 1 for d, g in judged.items()}, f"ndcg_cut.{k}")
    return {
        "precision": whole[f"P_{k}"], "recall": whole[f"recall_{k}"], "capped": whole[f"P_{k}"] * k / min(k, total),
        "hit": whole[f"success_{k}"], "rr": cut["recip_rank"], "ap": whole[f"map_cut_{k}"] * total / min(k, total),
        "trec": whole[f"map_cut_{k}"], "ndcg": whole[f"ndcg_cut_{k}"], "exponential": power[f"ndcg_cut_{k}"],
        "full": cut["ndcg"], "r_precision": whole["Rprec"],
    }


RANKING = {"precision": "rec_precision(c0, c1, {k})", "recall": "rec_recall(c0, c1, {k})", "capped": "rec_recall(c0, c1, {k}, 'capped')",
           "hit": "rec_hit(c0, c1, {k})", "rr": "rec_rr(c0, c1, {k})", "ap": "rec_ap(c0, c1, {k})", "trec": "rec_ap(c0, c1, {k}, 'trec')",
           "ndcg": "rec_ndcg(c0, c1, {k})", "exponential": "rec_ndcg(c0, c1, {k}, 'exponential')", "full": "rec_ndcg(c0, c1, {k}, 'full')",
           "r_precision": "rec_r_precision(c0, c1)"}


def ranking():
    draw = random.Random(1)
    for n, size in enumerate(sizes(draw)):
        gains = ([1], [1, 2, 3, 4], [.25, .5, 1.5, 2.75])[n % 3]
        chance = draw.choice([0, .05, .2, .6, 1])
        long = size if draw.random() < .8 else 0
        listed = [draw.choice(gains) if draw.random() < chance else 0 for _ in range(long)]
        missed = [draw.choice(gains) for _ in range(draw.choice([0, 0, 1, 5, 40]) if size else 0)]
        rows = [[r + 1, g or draw.choice([0, None])] for r, g in enumerate(listed)]
        if draw.random() < .2:  # rows that are not relevant say nothing
            rows = [row for row in rows if row[1] or draw.random() < .3]
        rows += [[None, g] for g in missed] + [[None, draw.choice([0, None])] for _ in range(draw.choice([0, 0, 2]))]
        draw.shuffle(rows)
        calls = {}
        for k in draw.sample([1, 2, 3, 5, 10, 20, 50, 1000], 2):
            want = dict.fromkeys(RANKING)
            if any(listed + missed):
                want = ranking_numpy(listed, missed, k)
                if n % 3 < 2 and listed:
                    by_numpy, want = want, ranking_trec(listed, missed, k)
                    assert all(abs(want[m] - by_numpy[m]) < 1e-12 for m in want), (n, k, want, by_numpy)
            calls.update((RANKING[name].format(k=k), plain(v)) for name, v in want.items())
        add("ranking", rows, calls)


# ---- classification ----

def both(labels, w=None):
    return all(((labels == side) if w is None else (labels == side) & (w > 0)).any() for side in (0, 1))


def some(labels, w=None):
    return (labels[w > 0] if w is not None else labels).any()


def weighted(w):
    if w is not None and not w.sum():
        raise ZeroDivisionError
    return {"sample_weight": w}


def ece(labels, p, bins=10):
    b = np.minimum(bins - 1, np.floor(p * bins))
    return sum((b == i).mean() * abs(labels[b == i].mean() - p[b == i].mean()) for i in np.unique(b))


def ap(y, s, w=None):
    return sk.average_precision_score(y, s, sample_weight=w) if some(y, w) else None


def log_loss(y, p, w=None):
    return sk.log_loss(y, p, labels=[0, 1], **weighted(w))


SCORES = {  # call: (columns, function)
    "rec_auc(c0, c1": ("01", lambda y, s, w=None: sk.roc_auc_score(y, s, sample_weight=w) if both(y, w) else None),
    "rec_pr_auc(c0, c1": ("01", ap),
    "rec_logloss(c0, c2": ("02", log_loss),
    "rec_brier(c0, c2": ("02", lambda y, p, w=None: sk.brier_score_loss(y, p, labels=[0, 1], pos_label=1, **weighted(w))),
}


def scores():
    draw = random.Random(2)
    for size in sizes(draw):
        kinds = draw.choice(LABELS), draw.choice(KINDS), draw.choice(KINDS), draw.choice(WEIGHTS)
        rows = [[label(draw, kinds[0]), number(draw, kinds[1]) * 6 - 3, number(draw, kinds[2]), weight(draw, kinds[3])] for _ in range(size)]
        for row in rows:
            row[1] = round(row[1], 4) if kinds[1] != "full" else row[1]
            if draw.random() < .1:
                row[2] = draw.choice([0, 1, 0.0, 1.0])
        rows = with_nulls(draw, rows, [0, 1, 2, 3])
        calls = {}
        for head, (picked, function) in SCORES.items():
            picked = [int(c) for c in picked]
            calls[head + ")"] = value_of(function, columns(rows, picked))
            calls[head + ", c3)"] = value_of(function, columns(rows, picked + [3]))
        bins = draw.choice([1, 2, 3, 7, 15, 20, 100])
        calls["rec_ece(c0, c2)"] = value_of(ece, columns(rows, [0, 2]))
        calls[f"rec_ece(c0, c2, {bins})"] = value_of(lambda y, p: ece(y, p, bins), columns(rows, [0, 2]))
        add("classification by score", rows, calls)


def table(y, z, w=None):
    w = np.ones(len(y)) if w is None else w
    return [w[(y == a) & (z == b)].sum() for a, b in ((1, 1), (0, 1), (1, 0), (0, 0))]


def or_null(denominator, function):
    return lambda y, z, w=None: function(y, z, sample_weight=w) if denominator(*table(y, z, w)) else None


def confusion(y, z, w=None):
    if w is not None and not w.any():  # scikit-learn refuses
        return dict.fromkeys(("tp", "fp", "fn", "tn"), 0)
    (tn, fp), (fn, tp) = sk.confusion_matrix(y, z, labels=[0, 1], sample_weight=w)
    return {"tp": tp, "fp": fp, "fn": fn, "tn": tn}


def margins(tp, fp, fn, tn):
    return (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)


def mcc(y, z, w=None):
    return sk.matthews_corrcoef(y, z, sample_weight=w) if margins(*table(y, z, w)) else 0


def fbeta(beta):
    return or_null(lambda tp, fp, fn, tn: tp + fp + fn, lambda y, z, sample_weight: sk.fbeta_score(y, z, beta=beta, sample_weight=sample_weight))


CLASSES = {
    "accuracy": lambda y, z, w=None: sk.accuracy_score(y, z, **weighted(w)),
    "class_precision": or_null(lambda tp, fp, fn, tn: tp + fp, sk.precision_score),
    "class_recall": or_null(lambda tp, fp, fn, tn: tp + fn, sk.recall_score),
    "specificity": or_null(lambda tp, fp, fn, tn: tn + fp, lambda y, z, sample_weight: sk.recall_score(y, z, pos_label=0, sample_weight=sample_weight)),
    "balanced_accuracy": or_null(lambda tp, fp, fn, tn: (tn + fp) * (tp + fn), sk.balanced_accuracy_score),
    "mcc": mcc, "f1": or_null(lambda tp, fp, fn, tn: tp + fp + fn, sk.f1_score), "confusion": confusion,
}


def classes():
    draw = random.Random(3)
    for size in sizes(draw):
        others = LABELS + ("same", "same", "opposite", "near", "near", "near")
        kinds = draw.choice(LABELS), draw.choice(others), draw.choice(WEIGHTS)
        rows = []
        for _ in range(size):
            y = label(draw, kinds[0])
            z = {"same": y, "opposite": 1 - y, "near": y if draw.random() < .8 else 1 - y}.get(kinds[1])
            rows.append([y, label(draw, kinds[1]) if z is None else z, weight(draw, kinds[2])])
        rows = with_nulls(draw, rows, [0, 1, 2])
        calls = {}
        for name, function in CLASSES.items():
            calls[f"rec_{name}(c0, c1)"] = value_of(function, columns(rows, [0, 1]))
            calls[f"rec_{name}(c0, c1, c2)"] = value_of(function, columns(rows, [0, 1, 2]))
        beta = draw.choice([.1, .5, 1, 2, 3.7, 10])
        calls[f"rec_fbeta(c0, c1, {beta})"] = value_of(fbeta(beta), columns(rows, [0, 1]))
        calls[f"rec_fbeta(c0, c1, {beta}, c2)"] = value_of(fbeta(beta), columns(rows, [0, 1, 2]))
        add("classification by class", rows, calls)


# ---- curves ----

def roc_curve(y, s, w=None):
    fpr, tpr, threshold = sk.roc_curve(y, s, sample_weight=w, drop_intermediate=False)
    return [[None if n == 0 else t, f, r] for n, (t, f, r) in enumerate(zip(threshold, fpr, tpr))]


def pr_curve(y, s, w=None):
    precision, recall, threshold = sk.precision_recall_curve(y, s, sample_weight=w)
    if not some(y, w):
        recall = recall * np.nan  # scikit-learn warns, and says 1
    return [list(row) for row in zip(threshold, precision, recall)][::-1]


def calibration_curve(y, p, bins=10):
    b = np.minimum(bins - 1, np.floor(p * bins)).astype(int)
    return [[int(i), i / bins, (i + 1) / bins, int((b == i).sum()), p[b == i].mean(), y[b == i].mean()] for i in np.unique(b)]


def curves():
    draw = random.Random(4)
    for n, size in enumerate(sizes(draw)):
        size = 500 if n == 6 else min(size, 25)
        kinds = draw.choice(LABELS), draw.choice(KINDS[1:]), draw.choice(WEIGHTS[:-1] if n % 2 else ("ones", "reals"))
        rows = [[label(draw, kinds[0]), number(draw, kinds[1]), weight(draw, kinds[2])] for _ in range(size)]
        rows = with_nulls(draw, rows, [0, 1, 2])
        bins, calls = draw.choice([1, 2, 5, 20]), {}
        for name, function in (("roc", roc_curve), ("pr", pr_curve)):
            calls[f"rec_{name}_curve(rec_scored(c0, c1))"] = value_of(function, columns(rows, [0, 1])) or []
            weights = columns(rows, [0, 1, 2])
            if any(weights[2]) or not weights[2]:
                calls[f"rec_{name}_curve(rec_scored(c0, c1, c2))"] = value_of(function, weights) or []
        calls["rec_calibration_curve(rec_scored(c0, c1))"] = value_of(calibration_curve, columns(rows, [0, 1])) or []
        calls[f"rec_calibration_curve(rec_scored(c0, c1), {bins})"] = value_of(lambda y, p: calibration_curve(y, p, bins), columns(rows, [0, 1])) or []
        add("curves", rows, calls)


# ---- regression ----

def r2(a, p, w=None):
    if len(a) < 2:
        return None
    kept = a if w is None else a[w > 0]
    weights = weighted(w)
    if len(set(kept.tolist())) == 1:
        return float(not ((a - p if w is None else (a - p)[w > 0]) != 0).any())
    return sk.r2_score(a, p, **weights)


REGRESSION = {
    "rmse": lambda a, p, w=None: sk.root_mean_squared_error(a, p, **weighted(w)),
    "mae": lambda a, p, w=None: sk.mean_absolute_error(a, p, **weighted(w)),
    "mape": lambda a, p, w=None: sk.mean_absolute_percentage_error(a, p, **weighted(w)),
    "r2": r2,
}


def regression():
    draw = random.Random(5)
    for size in sizes(draw):
        kind, kind_of_weight, near = draw.choice(["constant", "whole", "reals", "reals", "full", "stars"]), draw.choice(WEIGHTS), draw.random() < .7
        rows = []
        for _ in range(size):
            a = {"constant": .1, "whole": draw.randint(-5, 5), "stars": draw.randint(1, 5), "full": draw.gauss(0, 1)}.get(kind, round(draw.gauss(100, 50), 2))
            p = a + round(draw.gauss(0, 1), 2) if near else round(draw.gauss(100, 50), 2)
            rows.append([a, a if draw.random() < .1 or kind == "constant" and near else p, weight(draw, kind_of_weight)])
        rows = with_nulls(draw, rows, [0, 1, 2])
        calls = {}
        for name, function in REGRESSION.items():
            calls[f"rec_{name}(c0, c1)"] = value_of(function, columns(rows, [0, 1]))
            calls[f"rec_{name}(c0, c1, c2)"] = value_of(function, columns(rows, [0, 1, 2]))
        add("regression", rows, calls)


# ---- beyond accuracy ----

def gini(count):
    c, n = np.sort(count), len(count)
    return ((2 * np.arange(1, n + 1) - n - 1) * c).sum() / (n * c.sum()) if c.sum() else None


def diversity(vectors):
    v = np.array(vectors, np.float32).astype(float)
    if len(v) < 2:
        return None
    length = np.sqrt((v * v).sum(1))
    v = v / np.where(length > 0, length, 1)[:, None]
    cosine = v @ v.T
    return 1 - cosine[np.triu_indices(len(v), 1)].mean()


def personalization(users, items):
    sets = {}
    for user, item in zip(users, items):
        sets.setdefault(user, set()).add(item)
    sets = list(sets.values())
    pairs = [len(a & b) / math.sqrt(len(a) * len(b)) for n, a in enumerate(sets) for b in sets[:n]]
    return 1 - math.fsum(pairs) / len(pairs) if pairs else None


def beyond():
    draw = random.Random(6)
    for size in sizes(draw):
        kind, total = draw.choice(["skewed", "whole", "reals", "constant", "zeros", "zero"]), draw.choice([1000, 12345, 200.5])
        rows = []
        for _ in range(size):
            c = {"skewed": int(draw.paretovariate(.8)) % 1000, "whole": draw.randint(0, 9), "constant": 3, "zero": 0,
                 "zeros": draw.choice([0, 0, 0, draw.randint(1, 99)])}.get(kind, round(draw.uniform(0, 50), 2))
            rows.append([c, c or 1, total if draw.random() < .8 else 1500])
        rows = with_nulls(draw, rows, [0, 1, 2])
        add("beyond accuracy", rows, {
            "rec_gini(c0)": value_of(gini, columns(rows, [0])),
            "rec_entropy(c0)": value_of(lambda c: scipy.stats.entropy(c) if c.sum() else None, columns(rows, [0])),
            "rec_novelty(c1, c2)": value_of(lambda c, t: np.mean(-np.log2(c / t)), columns(rows, [1, 2]))})
    for size in sizes(draw):
        width, kind = draw.choice([1, 2, 3, 5]), draw.choice(["reals", "few", "positive", "zeros"])
        make = {"reals": lambda: float(np.float32(round(draw.gauss(0, 1), 2))), "few": lambda: draw.randint(-1, 1),
                "positive": lambda: draw.randint(1, 9) / 4, "zeros": lambda: draw.choice([0, 0, 0, 2.5])}[kind]
        rows = with_nulls(draw, [[[make() for _ in range(width)]] for _ in range(size)], [0])
        add("beyond accuracy", rows, {"rec_diversity(c0)": value_of(diversity, columns(rows, [0]), False)})
    for size in sizes(draw):
        users, items = draw.choice([1, 2, 5, 20]), draw.choice([1, 5, 30])
        rows = [[draw.choice([draw.randint(1, users), f"u{draw.randint(1, users)}"]), draw.choice([draw.randint(1, items), f"i{draw.randint(1, items)}"])]
                for _ in range(size)]
        rows = with_nulls(draw, rows, [0, 1])
        add("beyond accuracy", rows, {"rec_personalization(c0, c1)": value_of(personalization, columns(rows, [0, 1]), False)})


# ---- two samples: which, value ----

def split(function):
    """function(reference, other), NULL where one is empty."""
    def of(which, value):
        x0, x1 = value[which == 0], value[which == 1]
        return function(x0, x1) if len(x0) and len(x1) else None
    return of


def psi(bins, fragile):
    def of(x0, x1):
        edges = np.unique(np.quantile(x0, np.arange(1, bins) / bins))
        exact, x = set(), [fractions.Fraction(v) for v in np.sort(x0).tolist()]
        for i in range(1, bins):
            low, rest = divmod(i * (len(x) - 1), bins)
            exact.add(x[low] + (x[min(low + 1, len(x) - 1)] - x[low]) * fractions.Fraction(rest, bins))
        exact, shares = sorted(exact), []
        for sample in (x0, x1):
            at = np.searchsorted(edges, sample, "right")
            counted = [sum(edge <= fractions.Fraction(v) for edge in exact) for v in sample.tolist()]
            at_exact = np.bincount(counted, minlength=len(exact) + 1) / len(sample)
            by_edge = np.bincount(at, minlength=len(edges) + 1) / len(sample)
            if len(edges) != len(exact) or (at_exact != by_edge).any() or (np.abs(sample[:, None] - edges)[sample[:, None] != edges] < 1e-9).any():
                fragile.append(1)
            shares.append(np.maximum(by_edge, 1e-4))
        e, a = shares
        return ((a - e) * np.log(a / e)).sum()
    return of


def welch(x0, x1):
    if min(len(x0), len(x1)) < 2 or np.ptp(x0) == 0 and np.ptp(x1) == 0:
        return None
    t = scipy.stats.ttest_ind(x1, x0, equal_var=False)
    return {"t": t.statistic, "df": t.df, "p": t.pvalue, "difference": x1.mean() - x0.mean()}


def mann_whitney(x0, x1):
    u = scipy.stats.mannwhitneyu(x1, x0, use_continuity=True, method="asymptotic", alternative="two-sided")
    return {"u": u.statistic, "p": u.pvalue}


def ks_p(x0, x1):
    return scipy.stats.kstwobign.sf(scipy.stats.ks_2samp(x0, x1).statistic * math.sqrt(len(x0) * len(x1) / (len(x0) + len(x1))))


TWO = {"ks": lambda x0, x1: scipy.stats.ks_2samp(x0, x1).statistic, "ks_p": ks_p,
       "wasserstein": scipy.stats.wasserstein_distance, "mann_whitney": mann_whitney, "welch_t": welch}


def two_samples():
    draw = random.Random(7)
    dropped = 0
    for n, size in enumerate(sizes(draw)):
        kind, one_of, shift = draw.choice(["few", "whole", "reals", "reals", "full", "constant"]), draw.choice([.5, .5, .2, .8, 0 if n % 9 == 0 else .5]), draw.choice([0, 0, .5, 3])
        rows = []
        for _ in range(size):
            which = int(draw.random() < one_of)
            v = {"few": draw.randint(0, 3) + which * (shift > 0), "whole": draw.randint(-20, 20), "constant": 4,
                 "full": draw.gauss(which * shift, 1)}.get(kind, round(draw.gauss(which * shift, 1 + which), 2))
            rows.append([which, v])
        rows = with_nulls(draw, rows, [0, 1])
        data = columns(rows, [0, 1])
        calls, groups = {}, [data[0].count(0), data[0].count(1)]
        for name, function in TWO.items():
            want = value_of(split(function), data)
            if name != "welch_t" or want or not all(groups):
                calls[f"rec_{name}(c0, c1)"] = want
        for bins in (10, draw.choice([2, 4, 7, 20])):
            fragile = []
            want = value_of(split(psi(bins, fragile)), data)
            if not fragile:
                calls[f"rec_psi(c0, c1, {bins})"] = want
                if bins == 10:
                    calls["rec_psi(c0, c1)"] = want
            dropped += bool(fragile)
        add("two samples", rows, calls)
    print(f"psi: {dropped} values left out because rounding decides them")


# ---- categories ----

def categories():
    draw = random.Random(8)
    for size in sizes(draw):
        size = min(size, 100)
        kind = draw.choice(["whole", "reals", "constant", "near", "zeros", "zero"])
        rows = []
        for _ in range(size):
            e = draw.choice([draw.randint(1, 40), round(draw.uniform(.1, 60), 2)])
            o = {"whole": draw.randint(0, 40), "constant": 5, "near": e + draw.randint(0, 2), "zeros": draw.choice([0, 0, 7])}.get(kind, round(draw.uniform(0, 60), 1))
            rows.append([5 if kind == "constant" else e, o, 0 if kind == "zero" else draw.choice([0, e, o])])
        rows = with_nulls(draw, rows, [0, 1, 2])

        def js(p, q):
            return jensenshannon(p, q) if p.sum() and q.sum() else None

        calls = {"rec_js(c0, c1)": value_of(js, columns(rows, [0, 1])), "rec_js(c2, c1)": value_of(js, columns(rows, [2, 1]))}
        data = columns(rows, [1, 0])
        if sum(data[0]) or not data[0]:
            calls["rec_chi2(c1, c0)"] = value_of(lambda o, e: scipy.stats.chisquare(o, e * o.sum() / e.sum()).statistic, data)
            calls["rec_chi2_p(c1, c0)"] = value_of(lambda o, e: scipy.stats.chisquare(o, e * o.sum() / e.sum()).pvalue if len(o) > 1 else None, data)
        add("categories", rows, calls)


# ---- experiments ----

def ab_test(a, na, b, nb):
    z, p = proportion.proportions_ztest([b, a], [nb, na])
    low, high = proportion.confint_proportions_2indep(b, nb, a, na, method="wald", compare="diff")
    return {"difference": b / nb - a / na, "z": z, "p": p, "low": low, "high": high}


def sequential_p(a, na, b, nb, tau=.02):
    pooled, d = (a + b) / (na + nb), b / nb - a / na
    v = pooled * (1 - pooled) * (1 / na + 1 / nb)
    log_ratio = .5 * math.log(v / (v + tau**2)) + tau**2 * d * d / (2 * v * (v + tau**2))
    return math.exp(-max(log_ratio, 0))


def sample_size(rate, difference, alpha=.05, power=.8):
    n = proportion.samplesize_proportions_2indep_onetail(difference, rate, power, 1, alpha, 0, "two-sided")
    q, z = rate + difference / 2, scipy.stats.norm.ppf
    own = (z(1 - alpha / 2) * math.sqrt(2 * q * (1 - q)) + z(power) * math.sqrt(rate * (1 - rate) + (rate + difference) * (1 - rate - difference)))**2 / difference**2
    assert abs(n - own) < 1e-9 * own
    return math.ceil(n) if abs(n - round(n)) > 1e-6 * n else None


def bootstrap(value):
    """The interval is what many resamples tend to; `error` is the standard error, in which a difference is measured."""
    rng = np.random.default_rng(9)
    means = np.concatenate([rng.choice(value, (1000, len(value))).mean(1) for _ in range(20)])
    low, high = np.quantile(means, [.025, .975])
    return {"mean": value.mean(), "low": low, "high": high, "n": len(value), "error": value.std() / math.sqrt(len(value))}


def experiments():
    draw = random.Random(9)
    for n in range(CASES):
        na, nb = (draw.choice([draw.randint(1, 30), draw.randint(100, 5000), draw.randint(10**5, 10**7)]) for _ in "ab")
        rate = draw.choice([.01, .1, .5, .93])
        a, b = (min(m, max(0, round(m * rate + draw.gauss(0, 3) * math.sqrt(m * rate * (1 - rate))))) for m in (na, nb))
        if 0 < a + b < na + nb:  # else there is no variance, and no tool has a definition
            tau = draw.choice([.001, .05, .1, 1])
            add("experiments", [[a, na, b, nb]], {
                "rec_ab_test(c0, c1, c2, c3)": plain(ab_test(a, na, b, nb)), "rec_sequential_p(c0, c1, c2, c3)": plain(sequential_p(a, na, b, nb)),
                f"rec_sequential_p(c0, c1, c2, c3, {tau})": plain(sequential_p(a, na, b, nb, tau))})
    for n in range(CASES):
        rate, alpha, power = draw.choice([.001, .02, .1, .5, .9, round(draw.uniform(.01, .99), 3)]), draw.choice([.001, .01, .05, .1, .2]), draw.choice([.5, .8, .9, .99])
        difference = round(draw.uniform(.02, .95) * draw.choice([1 - rate, -rate]), 4)
        if not 0 < rate + difference < 1 or not difference:
            continue
        calls = {"rec_sample_size(c0, c1)": sample_size(rate, difference), f"rec_sample_size(c0, c1, {alpha})": sample_size(rate, difference, alpha),
                 f"rec_sample_size(c0, c1, {alpha}, {power})": sample_size(rate, difference, alpha, power)}
        add("experiments", [[rate, difference]], {call: want for call, want in calls.items() if want is not None})
    for n, size in enumerate(sizes(draw)):
        kind = draw.choice(["reals", "whole", "constant", "skewed"])
        rows = [[{"constant": 2.5, "whole": draw.randint(0, 40), "skewed": round(draw.expovariate(1), 3)}.get(kind, round(draw.gauss(5, 2), 2))] for _ in range(min(size, 200))]
        rows = with_nulls(draw, rows, [0])
        add("experiments", rows, {"rec_bootstrap(c0, 2000)": value_of(bootstrap, columns(rows, [0]))})


def main(out):
    for make in (ranking, scores, classes, curves, regression, beyond, two_samples, categories, experiments):
        make()
    packages = ("numpy", "scipy", "scikit-learn", "pytrec_eval-terrier", "statsmodels")
    versions = {"python": sys.version.split()[0], **{name: version(name) for name in packages}}
    text = json.dumps({"versions": versions, "families": families}, separators=(",", ":"), allow_nan=False)
    with open(out, "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))
    for family, cases in families.items():
        print(f"{family}: {len(cases)} tables, {sum(len(case['calls']) for case in cases)} values")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("make_metrics.py OUT")
    main(sys.argv[1])
