"""ease, slim and graph against NumPy: the items x items matrix of each, from the papers' formulas, and the lists it makes."""
import functools
import json
import sqlite3

import numpy as np

from support import claim, claim_each, close, create_model, events_db, one, pairs, retail, same, train

ALL = 100000  # neighbours: more than there are items


@functools.lru_cache(None)
def _shop(support):
    """The sales of items with so many customers (SIXTY: of sixty customers): the database, users, items, quantities."""
    rows = retail(40000)
    if support == SIXTY:
        first = set(list(dict.fromkeys(row[0] for row in rows))[:60])
        rows = [row for row in rows if row[0] in first]
        return events_db(rows), *pairs(rows)
    _, items, amounts = pairs(rows)
    often = np.flatnonzero(np.bincount(amounts.indices, minlength=len(items)) >= support)
    known = {items[i] for i in often}
    rows = [row for row in rows if row[1] in known]
    return events_db(rows), *pairs(rows)


WIDE, NARROW, SIXTY = 8, 20, 0  # customers an item: 1200 items, three tiles of ease; 550 items


def _x(support, weighted):
    x = _shop(support)[3].toarray()
    return np.log1p(x) if weighted else (x > 0).astype(float)


@functools.lru_cache(None)
def _model(support, **options):
    db = _shop(support)[0]
    name = f"m{_model.cache_info().misses}"
    create_model(db, name, threads=1, **options)
    train(db, name)
    return name


def _kept(w, n, rounding):
    """The n largest |w| of each row and the diagonal; and which entries may fall on either side of the cut."""
    size = np.abs(w)
    np.fill_diagonal(size, 0)
    if n >= w.shape[1]:
        return w, np.zeros(w.shape, bool)
    cut = -np.partition(-size, (n - 1, n), axis=1)[:, n - 1:n + 1]
    doubt = (size >= cut[:, 1:] - rounding) & (size <= cut[:, :1] + rounding) & (cut[:, :1] - cut[:, 1:] <= 2 * rounding)
    kept = np.where(size >= cut[:, :1], w, 0)
    np.fill_diagonal(kept, np.diag(w))
    return kept, doubt


def _check_list(rows, item_id, want, allowed, doubtful, tolerance, k, what):
    """rows: (item, score). The model's rows come first and have the scores `want`, none that is better is missing, and
    then come those that the model says nothing good about, with score 0. Returns how many could be compared."""
    ids = np.array([item_id[row[0]] for row in rows], int)
    scores = np.array([row[1] for row in rows])
    same(len(set(ids.tolist())), min(k, int(allowed.sum())), f"{what}: distinct items")
    assert allowed[ids].all(), f"{what}: an item of the history came back"
    n = int((scores > 0).sum())
    assert (scores[:n] > 0).all() and (scores[n:] == 0).all(), f"{what}: what is filled in is not at the end, with score 0"
    assert (np.diff(scores) <= 0).all(), f"{what}: the scores rise"
    assert all(a < b for s, t, a, b in zip(scores[:n], scores[1:n], ids, ids[1:]) if s == t), f"{what}: ties are out of key order"
    sure = ~doubtful[ids]
    listed = sure[:n]
    close(scores[:n][listed], want[ids[:n]][listed], tolerance, f"{what}: scores", scale=1)
    bad = sure[n:] & (want[ids[n:]] > tolerance)
    assert not bad.any(), f"{what}: item {ids[n:][bad][:1]} with {want[ids[n:][bad]][:1]} is only filled in"
    least = scores[n - 1] if n == len(rows) and n else 0
    missed = np.setdiff1d(np.flatnonzero(allowed & ~doubtful & (want > least + 2 * tolerance)), ids)
    assert not len(missed), f"{what}: item {missed[0]} with {want[missed[0]]!r} is missing; the list ends at {least!r}"
    return int(listed.sum())


def _check_users(name, support, w, doubt, scale, tolerance, k=60):
    """Lists of some users, with and without their history, are x W; returns how many rows could be compared."""
    db, users, items, amounts = _shop(support)
    every = max(1, len(users) // 40)
    item_id = {item: i for i, item in enumerate(items)}
    compared = 0
    for u in range(0, len(users), every):
        seen, x = amounts[u].indices, scale(amounts[u].data)
        want, doubtful = x @ w[seen], doubt[seen].any(0)
        for exclude in ("true", "false"):
            allowed = np.ones(len(items), bool)
            allowed[seen] = exclude == "false"
            rows = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = ? AND options = ? ORDER BY rank",
                              (users[u], k, '{"exclude_seen":%s}' % exclude)).fetchall()
            compared += _check_list(rows, item_id, want, allowed, doubtful, tolerance * max(1, np.abs(want).max()), k, f"user {users[u]}, exclude_seen={exclude}")
    return compared


def _check_items(name, support, w, doubt, tolerance, k=60, every=25):
    """similar_to lists row j of W."""
    db, _, items, _ = _shop(support)
    item_id = {item: i for i, item in enumerate(items)}
    compared = 0
    for j in range(0, len(items), every):
        allowed = np.arange(len(items)) != j
        rows = db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = ? ORDER BY rank", (items[j], k)).fetchall()
        compared += _check_list(rows, item_id, w[j], allowed, doubt[j], tolerance, k, f"neighbours of {items[j]}")
    return compared


def _check(name, support, w, neighbours, tolerance, scale=np.log1p):
    kept, doubt = _kept(w.copy(), neighbours, tolerance)
    assert _check_users(name, support, kept, doubt, scale, tolerance) > 500, "too few rows of users could be compared"
    assert _check_items(name, support, kept, doubt, tolerance) > 100, "too few neighbours could be compared"


# ---- ease ----


@functools.lru_cache(None)
def _ease(weighted, reg, support=WIDE):
    """B = -P / diag(P) by columns, zero diagonal; P = (X'X + reg Id)^-1."""
    x = _x(support, weighted)
    p = np.linalg.inv(x.T @ x + reg * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


EASE_CASES = {"binary": (False, 200, ALL), "weighted": (True, 50, ALL), "small reg": (False, 5, ALL), "20 neighbours": (False, 200, 20),
              "20 neighbours weighted": (True, 50, 20)}


@claim_each(EASE_CASES)
def ease_lists_equal_the_closed_form(weighted, reg, neighbours):
    name = _model(WIDE, algorithm="ease", pairs="weighted" if weighted else "binary", reg=reg, neighbours=neighbours)
    _check(name, WIDE, _ease(weighted, reg), neighbours, 1e-5)


@claim_each({"linear": ("linear", lambda w: w), "binary": ("binary", np.ones_like)})
def ease_scores_a_history_by_the_scale(scale, scaled):
    name = _model(NARROW, algorithm="ease", reg=100, scale=scale, neighbours=ALL)
    _check(name, NARROW, _ease(False, 100, NARROW), ALL, 1e-5, scaled)


@claim
def ease_because_is_the_terms_of_the_sum():
    """Shares of the sum of absolute terms, negative terms (not listed) included."""
    db, users, items, amounts = _shop(WIDE)
    name, b = _model(WIDE, algorithm="ease", pairs="binary", reg=5, neighbours=ALL), _ease(False, 5)
    item_id = {item: i for i, item in enumerate(items)}
    negative = 0
    for u in range(0, len(users), 50):
        seen, x = amounts[u].indices, np.log1p(amounts[u].data)
        for item, because in db.execute(f"SELECT item, because FROM {name} WHERE user = ? AND k = 5 ORDER BY rank", (users[u],)):
            part = x * b[seen, item_id[item]]
            negative += int((part < 0).sum())
            share = part / np.abs(part).sum()
            shown = json.loads(because)
            if shown["source"] == "popular":  # a history of a few items that all speak against the rest
                assert part.sum() <= 1e-6, f"user {users[u]}, item {item}: {shown}"
                continue
            best = np.sort(share[share > 0])[::-1][:5]
            close([row["share"] for row in shown["items"]], best, 2e-4, f"user {users[u]}, item {item}", scale=1)
    assert negative > 100, "no negative weights were seen"


@claim
def ease_items_leaves_the_others_out():
    """The 300 with the most users (ties by key) are a model of their own; the others have no part in any score."""
    db, users, items, amounts = _shop(WIDE)
    n = 300
    degree = np.bincount(amounts.indices, minlength=len(items))
    chosen = np.sort(np.lexsort((np.arange(len(items)), -degree))[:n])
    x = _x(WIDE, False)[:, chosen]
    p = np.linalg.inv(x.T @ x + 100 * np.eye(n))
    w = np.zeros((len(items), len(items)))
    w[np.ix_(chosen, chosen)] = -p / np.diag(p)
    np.fill_diagonal(w, 0)
    name = _model(WIDE, algorithm="ease", reg=100, max_items=n, neighbours=ALL)
    _check(name, WIDE, w, ALL, 1e-5)
    left_out = next(i for i in range(len(items)) if i not in chosen)
    rows = db.execute(f"SELECT score FROM {name} WHERE similar_to = ? AND k = 20", (items[left_out],)).fetchall()
    same(rows, [(0.0,)] * 20, "neighbours of an item that takes no part")
    same(one(db, f"SELECT max(score) FROM {name} WHERE user = ? AND item = ?", users[0], items[left_out]), 0.0, "its score")
    one_more = _model(WIDE, algorithm="ease", reg=100, max_items=ALL, neighbours=ALL)
    _check(one_more, WIDE, _ease(False, 100), ALL, 1e-5)


@claim
def ease_refuses_more_memory_than_allowed_before_it_begins():
    db = _shop(WIDE)[0]
    create_model(db, "hungry", algorithm="ease", memory=.01)
    try:
        train(db, "hungry")
    except sqlite3.Error as error:
        text = str(error)
    else:
        raise AssertionError("it trained")
    n = len(_shop(WIDE)[2])
    assert text.startswith(f"rec_model hungry: training on {n} items needs ") and "GiB (memory=0.01; allow more, or fewer items by max_items=)" in text, text
    same(one(db, "SELECT count(*) FROM rec_versions WHERE model = 'hungry'"), 0, "versions")
    train(db, "hungry", '{"max_items":200,"memory":0.02}')
    same(one(db, "SELECT count(*) FROM rec_versions WHERE model = 'hungry'"), 1, "versions with fewer items")


@claim
def ease_of_items_that_are_always_had_together():
    """Four such items: each is a third of the other three, nearly. Beyond float32 it refuses, or stays near."""
    db = events_db([(u, i, 1, 1) for u in range(3000) for i in "abcd"])
    gram = np.full((4, 4), 3000.)
    for reg, tolerance in ((1, 1e-3), (.001, .2)):
        p = np.linalg.inv(gram + reg * np.eye(4))
        name = f"reg{int(reg)}"
        create_model(db, name, algorithm="ease", reg=reg)
        try:
            train(db, name)
        except sqlite3.Error as error:
            assert reg < 1 and f"reg={reg} is too small" in str(error), str(error)
            continue
        rows = db.execute(f"SELECT item, score FROM {name} WHERE basket = '[\"a\"]' AND k = 3").fetchall()
        close([row[1] for row in rows], [np.log(2) * -p[0, 1] / p[0, 0]] * 3, tolerance, f"reg={reg}")


# ---- slim ----

SLIM_CASES = {"default": (False, .1, 100, 100), "no l1": (False, 0, 20, 40), "much l1": (False, 2, 10, 40), "weighted": (True, .5, 50, 60),
              "all": (False, .1, 30, ALL)}


@functools.lru_cache(None)
def _slim_weights(weighted, l1, l2, neighbours):
    """w[k, j] as the extension has trained it, from similar_to = k (source rows), and its name."""
    db, _, items, _ = _shop(NARROW)
    item_id = {item: i for i, item in enumerate(items)}
    name = _model(NARROW, algorithm="slim", pairs="weighted" if weighted else "binary", l1=l1, l2=l2, neighbours=neighbours)
    w = np.zeros((len(items), len(items)))
    for k, item in enumerate(items):
        for other, score in db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = ?", (item, len(items))):
            w[k, item_id[other]] = score
    return name, w


def _candidates(gram, j, neighbours):
    """Those with the highest cosine, and those that rounding might put on either side of the cut."""
    cosine = gram[j] / np.sqrt(np.diag(gram) * gram[j, j])
    cosine[j] = 0
    order = np.lexsort((np.arange(len(gram)), -cosine))
    order = order[cosine[order] > 0]
    if neighbours >= len(order):
        return order, order[:0]
    cut = cosine[order[neighbours - 1]]
    doubt = order[np.abs(cosine[order] - cut) < 1e-9] if cut - cosine[order[neighbours]] < 1e-9 else order[:0]
    return order[:neighbours], doubt


@claim_each(SLIM_CASES)
def slim_weights_satisfy_the_conditions_of_the_optimum(weighted, l1, l2, neighbours):
    """For candidates k of j with r = x_j - X w: the gradient -x_k . r + l2 w_k + l1 is 0 where w_k > 0 and not below 0
    elsewhere, up to what a last move of a thousandth leaves; and what is no candidate has no weight."""
    _, w = _slim_weights(weighted, l1, l2, neighbours)
    x = _x(NARROW, weighted)
    gram = x.T @ x
    assert (w >= 0).all() and not np.diag(w).any(), "a weight is below 0, or an item's own"
    positive = compared = 0
    for j in range(gram.shape[0]):
        chosen, doubt = _candidates(gram, j, neighbours)
        outside = np.setdiff1d(np.flatnonzero(w[:, j]), np.union1d(chosen, doubt))
        assert not len(outside), f"item {j}: {outside[:3]} have weights and are no candidates"
        if len(doubt):
            continue
        compared += 1
        gradient = gram[chosen] @ w[:, j] - gram[chosen, j] + l2 * w[chosen, j] + l1
        slack = 4e-3 * (np.diag(gram)[chosen] + l2)  # as if k had four thousandths to go; seen: two
        active = w[chosen, j] > 0
        positive += int(active.sum())
        assert (np.abs(gradient[active]) <= slack[active]).all(), f"item {j}: gradient {np.abs(gradient[active]).max()} at a weight above 0"
        assert (gradient[~active] >= -slack[~active]).all(), f"item {j}: gradient {gradient[~active].min()} at a weight of 0"
    assert compared > .5 * len(gram) and positive > len(gram), f"{compared} items compared, {positive} weights above 0"


@claim_each(SLIM_CASES)
def slim_objective_is_that_of_the_exact_optimum(weighted, l1, l2, neighbours):
    """Of an active set, solved exactly and grown or shrunk until the conditions hold (a convex problem has one optimum)."""
    _, w = _slim_weights(weighted, l1, l2, neighbours)
    x = _x(NARROW, weighted)
    gram = x.T @ x

    def optimum(a, b):
        active = np.zeros(len(b), bool)
        z = np.zeros(len(b))
        for _ in range(20 * len(b)):  # Lawson and Hanson, on the normal equations
            gradient = b - a @ z
            gradient[active] = -1
            if gradient.max(initial=-1) <= 1e-9:
                return z
            active[gradient.argmax()] = True
            while True:
                s = np.zeros(len(b))
                s[active] = np.linalg.solve(a[np.ix_(active, active)], b[active])
                if (s[active] > 0).all():
                    z = s
                    break
                falling = active & (s <= 0)
                step = (z[falling] / (z[falling] - s[falling])).min()
                z = z + step * (s - z)
                active &= z > 1e-12
                z[~active] = 0
        raise AssertionError("no optimum: the twin is wrong")

    for j in range(0, len(gram), 9):
        chosen, doubt = _candidates(gram, j, neighbours)
        if len(doubt):
            continue
        a, b = gram[np.ix_(chosen, chosen)] + l2 * np.eye(len(chosen)), gram[chosen, j] - l1
        got, best = w[chosen, j], optimum(a, b)
        values = [.5 * z @ a @ z - b @ z for z in (got, best)]
        close(values[0], values[1], 5e-4, f"item {j}: objective beside that of no weights", scale=max(1e-3, -values[1]))
        close(got, best, 4e-3, f"item {j}: weights", scale=1)


@claim_each({label: SLIM_CASES[label] for label in ("default", "weighted")})
def slim_lists_sum_weights_times_the_history(*case):
    name, w = _slim_weights(*case)
    _check_users(name, NARROW, w, np.zeros(w.shape, bool), np.log1p, 1e-6)


# ---- graph ----


def _graph(name, weighted, support=NARROW, factors=0, ideal_weight=0, alpha=.6, power=.7, order=1, horizon=2.5, solver="rk4", blur=0, degree_power=.4,
           flatness=1.5):
    """F of the four papers, dense; V by numpy.linalg.svd."""
    x = _x(support, weighted)
    du, di = x.sum(1), x.sum(0)
    if name == "turbocf":
        n = x * du[:, None]**-alpha * di**(alpha - 1)
        p = (n.T @ n)**power
        return p if order == 1 else 2 * p - p @ p if order == 2 else p + .01 * (-p @ p @ p + 10 * p @ p - 29 * p)
    n = x / np.sqrt(du)[:, None] / np.sqrt(di)
    p = n.T @ n
    v = np.linalg.svd(n, full_matrices=False)[2][:factors].T
    ideal = v @ v.T
    if name == "gfcf":
        return p + ideal_weight * ideal * np.sqrt(di) / np.sqrt(di)[:, None]
    if name == "bspm":
        y = p + ideal_weight * ideal * np.sqrt(di) / np.sqrt(di)[:, None]
        k1 = -y @ p
        if solver == "euler":
            sharp = y + horizon * k1
        else:  # Runge and Kutta's four slopes, as the definition of the method has them
            k2 = -(y + horizon / 2 * k1) @ p
            k3 = -(y + horizon / 2 * k2) @ p
            k4 = -(y + horizon * k3) @ p
            sharp = y + horizon / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return blur * p + (1 - blur) * sharp
    # chebycf: the polynomial of L by its eigenvectors
    j = np.arange(order + 1)
    target = np.cos((order - j) / order * np.pi) if order else np.zeros(1)
    plateau = .5 - .5 * np.sign(target) * np.abs(target)**flatness
    nodes = np.cos((order + .5 - j) / (order + 1) * np.pi)
    c = [2 / (order + 1) * (plateau * np.cos(k * np.arccos(nodes))).sum() for k in range(order + 1)]
    c[0] /= 2
    value, vector = np.linalg.eigh(np.eye(len(p)) - 2 * p)
    response = np.polynomial.chebyshev.chebval(value, c)
    return ((vector * response) @ vector.T + ideal_weight * ideal) * di**degree_power / di[:, None]**degree_power


@functools.lru_cache(None)
def _gap(support, weighted, low, high):
    """So many factors, low to high, that the next singular value is well below: their span does not hang on rounding."""
    x = _x(support, weighted)
    s = np.linalg.svd(x / np.sqrt(x.sum(1))[:, None] / np.sqrt(x.sum(0)), compute_uv=False)
    return low + int((s[low - 1:high - 1] / s[low:high]).argmax())


GRAPH_CASES = {
    "gfcf": ("gfcf", False, {"ideal_weight": .3}), "gfcf weighted": ("gfcf", True, {"ideal_weight": 2}),
    "gfcf without ideal": ("gfcf", False, {"ideal_weight": 0}), "turbocf 1": ("turbocf", False, {}),
    "turbocf 1 power 1": ("turbocf", False, {"alpha": .4, "power": 1}), "turbocf 1 weighted": ("turbocf", True, {"alpha": .5, "power": 1.4}),
    "turbocf 2": ("turbocf", False, {"order": 2, "power": 1}), "turbocf 3": ("turbocf", True, {"order": 3, "power": 1, "alpha": .5}),
    "bspm rk4": ("bspm", False, {"ideal_weight": .2}), "bspm euler": ("bspm", False, {"ideal_weight": .3, "solver": "euler", "horizon": 1.2}),
    "bspm blur": ("bspm", True, {"ideal_weight": 0, "solver": "rk4", "horizon": 1.5, "blur": .25}),
    "bspm euler blur": ("bspm", True, {"ideal_weight": .3, "solver": "euler", "blur": .5}),
    "bspm horizon 0": ("bspm", False, {"ideal_weight": .2, "horizon": 0}), "chebycf": ("chebycf", False, {"ideal_weight": .2, "order": 8}),
    "chebycf order 3": ("chebycf", True, {"ideal_weight": 0, "order": 3, "flatness": 10, "degree_power": 0}),
    "chebycf order 1": ("chebycf", False, {"ideal_weight": 0, "order": 1, "flatness": 4, "degree_power": -.2}),
    "chebycf order 0": ("chebycf", False, {"ideal_weight": .5, "order": 0}),
    "chebycf order 15": ("chebycf", False, {"ideal_weight": .1, "order": 15, "flatness": 3, "degree_power": .25}),
}
F32, SPAN = 1e-5, .01  # of the largest entry of F: rounding; what six power steps leave of the singular vectors


def _check_graph(support, label, neighbours, tolerance, low, high):
    name, weighted, options = GRAPH_CASES[label]
    options = dict(options)
    if options.get("ideal_weight"):
        options["factors"] = _gap(support, weighted, low, high)
    model = _model(support, algorithm="graph", filter=name, pairs="weighted" if weighted else "binary", neighbours=neighbours, **options)
    f = _graph(name, weighted, support, **options)
    _check(model, support, f, neighbours, tolerance * max(1, np.abs(f).max()))


@claim_each({label: (label, ALL) for label in GRAPH_CASES} | {f"{label}, 30 neighbours": (label, 30) for label in ("gfcf", "turbocf 2", "chebycf order 3")})
def graph_lists_equal_the_dense_filter(label, neighbours):
    """On sixty customers: the random start of 32 columns beside the factors spans everything, and V is exact."""
    _check_graph(SIXTY, label, neighbours, F32, 28, 58)


@claim_each({label: (label,) for label, case in GRAPH_CASES.items() if not case[2].get("ideal_weight")})
def graph_lists_equal_the_dense_filter_of_many_users(label):
    _check_graph(NARROW, label, ALL, F32, 0, 0)


@claim_each({label: (label,) for label in ("gfcf", "bspm rk4", "chebycf")})
def graph_lists_are_near_the_dense_filter_where_the_vectors_are_only_converging(label):
    _check_graph(NARROW, label, ALL, SPAN, 8, 40)


@claim_each({"gfcf": ("gfcf", {"ideal_weight": .3}), "bspm": ("bspm", {"ideal_weight": .2}), "chebycf": ("chebycf", {"ideal_weight": .2, "order": 8}),
             "turbocf": ("turbocf", {})})
def graph_defaults_are_the_published_settings(name, options):
    """More factors than sixty customers have: the ideal part is the span of all rows."""
    x = _x(SIXTY, False)
    assert np.linalg.svd(x / np.sqrt(x.sum(1))[:, None] / np.sqrt(x.sum(0)), compute_uv=False)[-1] > .05, "the rows' span is not safe to compare"
    model = _model(SIXTY, algorithm="graph", filter=None if name == "chebycf" else name, neighbours=ALL)
    _check(model, SIXTY, _graph(name, False, SIXTY, factors=60, **options), ALL, F32)


@claim_each({"order 4": ("order=4", {"order": 4}), "order 2": ("power=1", {"order": 2})})
def graph_refuses_what_turbocf_does_not_define(word, options):
    db = _shop(NARROW)[0]
    create_model(db, f"refused{options['order']}", algorithm="graph", filter="turbocf", **options)
    try:
        train(db, f"refused{options['order']}")
    except sqlite3.Error as error:
        assert word in str(error) and "turbocf" in str(error), str(error)
    else:
        raise AssertionError("it trained")


# ---- threads ----


@claim_each({"ease": ({"algorithm": "ease"},), "slim": ({"algorithm": "slim"},), "graph": ({"algorithm": "graph", "order": 3, "factors": 32},)})
def linear_models_are_the_same_bits_on_one_and_two_threads(options):
    db = _shop(NARROW)[0]
    name = f"threads_{options['algorithm']}"
    create_model(db, name, neighbours=50, **options)
    for threads in (1, 2):
        train(db, name, json.dumps({"threads": threads}))
    blobs = [row[0] for row in db.execute("SELECT sha256 FROM rec_versions WHERE model = ? ORDER BY version", (name,))]
    same(blobs[0], blobs[1], "checksums")
    lists = [db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 50 AND options = ?", (_shop(NARROW)[1][3], '{"version":%d}' % version)).fetchall()
             for version in (1, 2)]
    same(lists[0], lists[1], "a list")

