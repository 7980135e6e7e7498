"""Trees of rec_predictor: against scikit-learn's where both must find the same, Shapley values by their definition, gradients of lists by their formula."""
import itertools
import json
import math

import numpy as np
from sklearn import datasets, ensemble, metrics, tree

from support import claim, claim_each, close, connect, one, same


def _table(db, x, y, part=None, group=None, name="t"):
    columns = ", ".join(f"x{i} REAL" for i in range(x.shape[1]))
    db.execute(f"DROP TABLE IF EXISTS {name}")
    db.execute(f"CREATE TABLE {name}(id INTEGER PRIMARY KEY, part TEXT, list INTEGER, y, {columns})")
    db.executemany(f"INSERT INTO {name} VALUES({','.join('?' * (x.shape[1] + 4))})",
                   [(i, "train" if part is None else part[i], None if group is None else int(group[i]), y[i], *[None if math.isnan(v) else float(v) for v in x[i]]) for i in range(len(y))])


def _train(db, options, name="p", arg="{}"):
    db.execute(f"DROP TABLE IF EXISTS {name}")
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_predictor(examples=t, label=y, id=id, split=part, {options})")
    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', ?)", (arg,))
    return db.execute(f"SELECT prediction, score, probabilities FROM {name} ORDER BY id").fetchall()


def _diabetes():
    x, y = datasets.load_diabetes(return_X_y=True)
    return np.round(x * 300).astype("<f4").astype(float), y  # fewer values than bins: the same thresholds can be found


def _without_list(options):
    return options + """, features='{"list": "ignore"}'"""


@claim_each({f"depth {depth}": (depth,) for depth in (1, 2, 3, 4)})
def a_tree_splits_where_scikit_learn_splits(depth):
    x, y = _diabetes()
    db = connect()
    _table(db, x, [float(v) for v in y])
    got = [row[0] for row in _train(db, _without_list(f"algorithm=tree, depth={depth}, min_leaf=3"))]
    wanted = tree.DecisionTreeRegressor(max_depth=depth, min_samples_leaf=3, random_state=0).fit(x, y).predict(x)
    close(got, wanted, 1e-6, "predictions")


@claim
def a_tree_of_classes_has_their_shares():
    x, y = datasets.load_wine(return_X_y=True)
    x = np.round(x, 1).astype("<f4").astype(float)
    db = connect()
    _table(db, x, [int(v) for v in y])
    got = [list(json.loads(row[2]).values()) for row in _train(db, _without_list("algorithm=tree, depth=2, task=classes"))]
    wanted = tree.DecisionTreeClassifier(max_depth=2, random_state=0).fit(x, y).predict_proba(x)
    close(got, wanted, 1e-6, "shares", scale=1)


@claim
def boosting_grows_the_trees_of_scikit_learns_histograms():
    """HistGradientBoostingRegressor has LightGBM's rules; both see every value in a bin of its own."""
    x, y = _diabetes()
    db = connect()
    _table(db, x, [float(v) for v in y])
    got = [row[0] for row in _train(db, _without_list("algorithm=boosting, rounds=20, leaves=8"))]
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=20, max_leaf_nodes=8, min_samples_leaf=20, l2_regularization=0, learning_rate=.1, early_stopping=False)
    close(got, estimator.fit(x, y).predict(x), 1e-4, "predictions")


@claim
def boosting_and_forests_are_as_good_as_scikit_learns():
    made = datasets.make_classification(6000, 15, n_informative=8, random_state=0)
    for name, (x, y), kind in (("made", made, "classes"), ("digits", datasets.load_digits(return_X_y=True), "classes"), ("friedman", datasets.make_friedman1(4000, 10, noise=1, random_state=1), "number")):
        x = x.astype("<f4").astype(float)
        held = np.random.RandomState(3).rand(len(y)) < .3
        db = connect()
        _table(db, x, [float(v) if kind == "number" else int(v) for v in y], np.where(held, "test", "train"))
        peers = {"forest": (ensemble.RandomForestClassifier(random_state=0) if kind == "classes" else ensemble.RandomForestRegressor(max_features=1 / 3, random_state=0)),
                 "boosting": (ensemble.HistGradientBoostingClassifier(early_stopping=False) if kind == "classes" else ensemble.HistGradientBoostingRegressor(early_stopping=False))}
        for algorithm, peer in peers.items():
            rows = _train(db, _without_list(f"algorithm={algorithm}, task={kind}"))
            peer.fit(x[~held], y[~held])
            if kind == "number":
                own = math.sqrt(metrics.mean_squared_error(y[held], np.array([row[0] for row in rows])[held]))
                other = math.sqrt(metrics.mean_squared_error(y[held], peer.predict(x[held])))
                assert own <= other * 1.02, (name, algorithm, own, other)
            else:
                own = metrics.log_loss(y[held], np.array([list(json.loads(row[2]).values()) for row in rows])[held])
                other = metrics.log_loss(y[held], peer.predict_proba(x[held]))
                assert own <= other + .02, (name, algorithm, own, other)


# ---- Shapley values ----


def _trees(db, name="p"):
    """The trees of a predictor as nested tuples, from the rules: (rule, value, cover) of the leaves."""
    return db.execute(f"SELECT tree, rule, value, cover FROM rec_tree_rules('{name}')").fetchall()


def _holds(condition, row):
    name, sign, threshold = condition.split(" ")[:3]
    return (row[int(name[1:])] <= float(threshold)) == (sign == "<=")


def _expected(leaves, row, known):
    """What a tree says of a row of which only some columns are known: both ways, by the covers, where one is not."""
    if len(leaves) == 1:
        return leaves[0][1]
    first = leaves[0][0][0]
    sides = [[(rule[1:], value, cover) for rule, value, cover in leaves if (rule[0] == first) == side] for side in (True, False)]
    column = int(first.split(" ")[0][1:])
    if column in known:
        return _expected(sides[0] if _holds(first, row) else sides[1], row, known)
    covers = [sum(leaf[2] for leaf in side) for side in sides]
    return sum(cover * _expected(side, row, known) for cover, side in zip(covers, sides)) / sum(covers)


@claim
def explanations_are_shapley_values_by_their_definition():
    rng = np.random.RandomState(2)
    x = np.round(rng.normal(size=(300, 5)), 2).astype("<f4").astype(float)
    y = x[:, 0] * x[:, 1] + np.sin(x[:, 2]) + (x[:, 3] > 0) * x[:, 0]
    db = connect()
    _table(db, x, [float(v) for v in y])
    for options in ("algorithm=boosting, rounds=3, rate=0.5, leaves=9, min_leaf=5", "algorithm=forest, trees=3, depth=4"):
        rows = _train(db, _without_list(options))
        n_trees = 3
        scale = 1 if "boosting" in options else 1 / n_trees
        trees = {}
        for number, rule, value, cover in _trees(db):
            trees.setdefault(number, []).append((rule.split(" AND ") if rule else [], value, cover))
        for at in (0, 17, 101):
            wanted = np.zeros(5)
            for column in range(5):
                others = [c for c in range(5) if c != column]
                for size in range(5):
                    weight = math.factorial(size) * math.factorial(4 - size) / math.factorial(5)
                    for known in itertools.combinations(others, size):
                        wanted[column] += weight * sum(_expected(t, x[at], set(known) | {column}) - _expected(t, x[at], set(known)) for t in trees.values())
            arguments = ", ".join(f"'x{i}', x{i}" for i in range(5))
            said = db.execute(f"SELECT e.feature, e.contribution FROM t, rec_explain_prediction('p', json_object('list', NULL, {arguments})) e WHERE t.id = ?", (at,)).fetchall()
            got = np.array([dict(said).get(f"x{i}", 0) for i in range(5)])
            close(got, wanted * scale, 1e-5, f"{options}: row {at}", scale=np.abs(wanted).max())
            close(sum(c for _, c in said), rows[at][1], 1e-9, "the sum is the score", scale=1)


@claim
def explanations_of_linear_models_are_weights_times_values():
    x, y = _diabetes()
    db = connect()
    _table(db, x, [float(v) for v in y])
    rows = _train(db, _without_list("algorithm=ridge"))
    arguments = ", ".join(f"'x{i}', x{i}" for i in range(x.shape[1]))
    for at in (0, 100):
        said = db.execute(f"SELECT e.contribution FROM t, rec_explain_prediction('p', json_object('list', NULL, {arguments})) e WHERE t.id = ?", (at,)).fetchall()
        close(sum(c for c, in said), rows[at][0], 1e-9, "the sum is the score")


# ---- lists ----


@claim
def the_first_tree_of_a_ranking_has_the_lambdas_of_the_formula():
    """Two lists; one column with two values, so that the only tree splits them; a leaf is -sum of lambdas / sum of their derivatives."""
    grades = [[2, 0, 1, 0], [0, 1, 0]]
    sides = [[1, 0, 1, 0], [0, 1, 1]]
    db = connect()
    flat = [(g, s, q) for q, (gs, ss) in enumerate(zip(grades, sides)) for g, s in zip(gs, ss)]
    _table(db, np.array([[s] for _, s, _ in flat], float), [g for g, _, _ in flat], group=[q for _, _, q in flat])
    rows = _train(db, "algorithm=boosting, task=ranking, group=list, rounds=1, rate=1, leaves=2, min_leaf=1, min_weight=0")
    gradient, hessian = np.zeros(len(flat)), np.zeros(len(flat))
    start = 0
    for gs in grades:
        best = sum((2 ** g - 1) / math.log2(i + 2) for i, g in enumerate(sorted(gs, reverse=True)))
        own_g, own_h, total = np.zeros(len(gs)), np.zeros(len(gs)), 0
        for i in range(len(gs)):  # all scores are 0: the lists are as they came
            for j in range(i + 1, len(gs)):
                if gs[i] == gs[j]:
                    continue
                high, low = (i, j) if gs[i] > gs[j] else (j, i)
                delta = (2 ** gs[high] - 2 ** gs[low]) * abs(1 / math.log2(i + 2) - 1 / math.log2(j + 2)) / best
                own_g[low] += delta / 2
                own_g[high] -= delta / 2
                own_h[[low, high]] += delta / 4
                total += delta
        factor = math.log2(1 + total) / total
        gradient[start:start + len(gs)], hessian[start:start + len(gs)] = own_g * factor, own_h * factor
        start += len(gs)
    side = np.array([s for _, s, _ in flat])
    value = {s: -gradient[side == s].sum() / hessian[side == s].sum() for s in (0, 1)}
    close([row[1] for row in rows], [value[s] for s in side], 1e-9, "scores")


@claim
def a_ranking_is_learnt():
    rng = np.random.RandomState(4)
    lists = np.repeat(np.arange(300), 12)
    x = rng.normal(size=(len(lists), 6))
    quality = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(lists)) * .3
    grade = np.zeros(len(lists), int)
    for q in range(300):
        own = lists == q
        grade[own] = np.searchsorted(np.quantile(quality[own], [.5, .8, .95]), quality[own])
    db = connect()
    _table(db, x, [int(g) for g in grade], np.where(lists % 3 == 0, "validation", "train"), lists)
    _train(db, "algorithm=boosting, task=ranking, group=list, refit=false")
    judged = json.loads(one(db, "SELECT judged FROM rec_predictors"))["ndcg@10"]
    score = np.array([row[0] for row in db.execute("SELECT score FROM p ORDER BY id")])
    own = []
    for q in range(0, 300, 3):
        at = lists == q
        own.append(metrics.ndcg_score([2. ** grade[at] - 1], [score[at]], k=10))
    close(judged, np.mean(own), 1e-9, "ndcg@10")
    assert judged > .9, judged


# ---- the rest ----


@claim
def a_quantile_is_predicted():
    rng = np.random.RandomState(6)
    x = rng.uniform(-2, 2, size=(4000, 1))
    y = x[:, 0] + rng.normal(size=4000) * (1 + np.abs(x[:, 0]))
    db = connect()
    _table(db, x, [float(v) for v in y], np.where(np.arange(4000) % 2, "test", "train"))
    for q in (.1, .9):
        rows = _train(db, _without_list(f"algorithm=boosting, loss=quantile, quantile={q}, rounds=60, leaves=8"))
        below = np.mean(y[1::2] <= np.array([row[0] for row in rows])[1::2])
        assert abs(below - q) < .03, (q, below)


@claim
def missing_numbers_go_where_it_is_better():
    rng = np.random.RandomState(8)
    x = rng.normal(size=(500, 2))
    y = np.where(rng.rand(500) < .3, 5., x[:, 1])
    x[y == 5, 0] = np.nan
    db = connect()
    _table(db, x, [float(v) for v in y])
    rows = _train(db, _without_list("algorithm=boosting, rounds=50, rate=0.3"))
    got = np.array([row[0] for row in rows])
    assert np.abs(got[y == 5] - 5).mean() < .05, got[y == 5]
    assert "missing" in " ".join(rule for _, rule, _, _ in _trees(db))


@claim
def training_goes_on_to_the_trees_of_one_in_a_piece():
    x, y = _diabetes()
    db = connect()
    _table(db, x, [float(v) for v in y])
    whole = _train(db, _without_list("algorithm=boosting, rounds=30, rows=0.7, columns=0.6"))
    _train(db, _without_list("algorithm=boosting, rounds=10, rows=0.7, columns=0.6"))
    db.execute("""INSERT INTO p(p, arg) VALUES('train', '{"init_from": 1, "rounds": 20}')""")
    close([row[0] for row in db.execute("SELECT prediction FROM p ORDER BY id")], [row[0] for row in whole], 1e-9, "predictions")


@claim
def it_stops_when_the_examples_that_judge_do_not_get_better():
    x, y = _diabetes()
    part = np.where(np.arange(len(y)) % 4 == 0, "validation", "train")
    db = connect()
    _table(db, x, [float(v) for v in y], part)
    _train(db, _without_list("algorithm=boosting, rounds=500, patience=10, refit=false"))
    log = db.execute("SELECT sweep, validation FROM rec_training_log WHERE model = 'p' ORDER BY sweep").fetchall()
    best = min(log, key=lambda row: row[1])[0]
    assert best + 10 == log[-1][0] < 500, (best, log[-1])
    same(one(db, "SELECT max(tree) FROM rec_tree_rules('p')"), int(best), "trees that are kept")
    _train(db, _without_list("algorithm=boosting, rounds=500, patience=10"))
    same(one(db, "SELECT max(tree) FROM rec_tree_rules('p')"), int(best), "trees of the training on all examples")
