"""rec_predictor where columns act together: kernels, factorization machines, networks; and what is said of any predictor: Shapley
values by their definition, permutation importance, drift, tuning, pruning."""
import itertools
import json
import math

import numpy as np
from scipy import stats
from sklearn import datasets, multiclass, neural_network, preprocessing, svm, tree

from support import claim, claim_each, close, connect, one, same


def _table(db, x, y, part=None, name="t"):
    columns = ", ".join(f"x{i} REAL" for i in range(x.shape[1]))
    db.execute(f"DROP TABLE IF EXISTS {name}")
    db.execute(f"CREATE TABLE {name}(id INTEGER PRIMARY KEY, part TEXT, y, {columns})")
    db.executemany(f"INSERT INTO {name} VALUES({','.join('?' * (x.shape[1] + 3))})", [(i, "train" if part is None or part[i] else "test", y[i], *map(float, x[i])) for i in range(len(y))])


def _train(db, options, name="p", source="t", arguments="label=y, id=id, split=part, ", arg="{}"):
    db.execute(f"DROP TABLE IF EXISTS {name}")
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_predictor(examples={source}, {arguments}{options})")
    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', ?)", (arg,))
    return db.execute(f"SELECT prediction, score, probabilities FROM {name} ORDER BY id").fetchall()


def _set(load, kind):
    """Numbers as float32 holds them, labels, which rows are learnt from, and the numbers standardised by these."""
    x, y = load(return_X_y=True)
    x = np.asarray(x, "<f4").astype(float)
    learn = np.random.RandomState(7).rand(len(y)) < .8
    return x, [kind(v) for v in y], learn, preprocessing.StandardScaler().fit(x[learn]).transform(x)


# ---- kernels ----


@claim_each({"rbf": ("kernel=rbf", {}), "poly": ("kernel=poly, gamma=0.05", dict(kernel="poly", gamma=.05, coef0=1)), "linear": ("kernel=linear, c=0.1", dict(kernel="linear", C=.1)),
             "weak": ("kernel=rbf, c=50, gamma=0.01", dict(C=50, gamma=.01))})
def kernels_find_the_margins_of_libsvm(options, settings):
    x, y, learn, scaled = _set(datasets.load_breast_cancer, int)
    db = connect()
    _table(db, x, y, learn)
    answers = _train(db, f"algorithm=kernel_svm, tolerance=1e-6, calibrate=none, {options}")
    wanted = svm.SVC(tol=1e-6, **settings).fit(scaled[learn], np.array(y)[learn]).decision_function(scaled)
    close([a[1] for a in answers], wanted, 1e-4, "scores", scale=np.abs(wanted).max())


@claim
def kernels_of_many_classes_are_one_against_the_rest():
    x, y, learn, scaled = _set(datasets.load_digits, int)
    db = connect()
    _table(db, x, y, learn)
    answers = _train(db, "algorithm=kernel_svm, task=classes, calibrate=none")
    wanted = multiclass.OneVsRestClassifier(svm.SVC()).fit(scaled[learn], np.array(y)[learn]).predict(scaled)
    same(float(np.mean([a[0] == w for a, w in zip(answers, wanted)])), 1.0, "labels")


@claim
def kernels_of_numbers_are_those_of_libsvm():
    x, y, learn, scaled = _set(datasets.load_diabetes, float)
    y = np.array(y)
    db = connect()
    _table(db, x, y.tolist(), learn)
    answers = _train(db, "algorithm=kernel_svm, tolerance=1e-6")
    mean, deviation = y[learn].mean(), y[learn].std()
    wanted = svm.SVR(tol=1e-6).fit(scaled[learn], (y[learn] - mean) / deviation).predict(scaled) * deviation + mean
    close([a[0] for a in answers], wanted, 1e-5, "predictions", scale=deviation)


# ---- factorization machines ----


def _pairs(n, users, items, seed):
    """Categories whose pairs matter: y = <u, v> + noise, most pairs never seen."""
    random = np.random.default_rng(seed)
    u, v = random.normal(size=(users, 3)), random.normal(size=(items, 3))
    rows = [(i, f"u{random.integers(users)}", f"i{random.integers(items)}") for i in range(n)]
    return rows, [float(u[int(r[1][1:])] @ v[int(r[2][1:])] + .1 * random.normal()) for r in rows]


@claim
def a_factorization_machine_knows_pairs_that_it_has_not_seen():
    rows, y = _pairs(6000, 60, 60, 3)
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, part TEXT, y REAL, a TEXT, b TEXT)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?, ?, ?)", [(i, "train" if i % 3 else "test", v, a, b) for (i, a, b), v in zip(rows, y)])
    held = np.arange(len(y)) % 3 == 0
    off = lambda answers: math.sqrt(np.mean((np.array([a[0] for a in answers]) - y)[held] ** 2))
    linear, pairs = off(_train(db, "algorithm=ridge")), off(_train(db, "algorithm=factorization_machine, l2=0.3, l2_linear=0.3, steps=500"))
    assert pairs < .25 < 1 < linear, (pairs, linear)


@claim
def a_factorization_machine_minimises_what_it_says():
    """The objective in the log, at its end, is at most what SciPy's L-BFGS finds from ten beginnings of the same function."""
    from scipy import optimize

    x, y, learn, scaled = _set(datasets.load_diabetes, float)
    y = np.array(y)
    db = connect()
    _table(db, x[:, :4], y.tolist(), learn)
    _train(db, "algorithm=factorization_machine, factors=2, l2=3, l2_linear=2, steps=1000, patience=0", arg='{"seed": 5}')
    ours = one(db, "SELECT objective FROM rec_training_log WHERE model = 'p' ORDER BY sweep DESC LIMIT 1")
    a, t = scaled[learn][:, :4], (y[learn] - y[learn].mean()) / y[learn].std()

    def objective(p):
        w, b, v = p[:4], p[4], p[5:].reshape(4, 2)
        s = b + a @ w + (((a @ v) ** 2).sum(1) - (a ** 2 @ v ** 2).sum(1)) / 2
        return (((s - t) ** 2).sum() / 2 + w @ w * 2 / 2 + (v ** 2).sum() * 3 / 2) / len(t)

    best = min(optimize.minimize(objective, np.random.default_rng(i).normal(size=13) * .3, method="L-BFGS-B", options=dict(maxiter=2000, ftol=1e-14)).fun for i in range(10))
    close(ours, best, 1e-4, "objective")


# ---- networks ----


@claim
def a_network_learns_what_no_sum_can_say():
    random = np.random.default_rng(2)
    x = random.normal(size=(3000, 2)).astype("<f4").astype(float)
    y = (x[:, 0] * x[:, 1] > 0).astype(int).tolist()
    learn = np.arange(3000) % 4 != 0
    db = connect()
    _table(db, x, y, learn)
    right = lambda answers: np.mean([a[0] == v for a, v, l in zip(answers, y, learn) if not l])
    assert right(_train(db, "algorithm=logistic")) < .6
    assert right(_train(db, "algorithm=neural_network, hidden='32,16', epochs=40")) > .95
    assert right(_train(db, "algorithm=neural_network, hidden='32,16', epochs=40, weights=int8")) > .95


@claim
def a_network_reads_digits_as_well_as_scikit_learns():
    x, y, learn, scaled = _set(datasets.load_digits, int)
    db = connect()
    _table(db, x, y, learn)
    answers = _train(db, "algorithm=neural_network, task=classes")
    ours = np.mean([a[0] == v for a, v, l in zip(answers, y, learn) if not l])
    theirs = neural_network.MLPClassifier((64,), random_state=1).fit(scaled[learn], np.array(y)[learn]).score(scaled[~learn], np.array(y)[~learn])
    assert ours > theirs - .015, (ours, theirs)


@claim
def embeddings_say_what_categories_have_in_common():
    """What a category means is a number that no column has; most categories have few examples."""
    random = np.random.default_rng(4)
    meaning = random.normal(size=200)
    rows = [(i, f"c{random.integers(200)}", float(random.normal())) for i in range(8000)]
    y = [float(np.tanh(2 * meaning[int(c[1:])] * x)) for _, c, x in rows]
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, part TEXT, y REAL, c TEXT, x REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?, ?, ?)", [(i, "train" if i % 4 else "test", v, c, x) for (i, c, x), v in zip(rows, y)])
    held = np.arange(len(y)) % 4 == 0
    off = lambda answers: math.sqrt(np.mean((np.array([a[0] for a in answers]) - y)[held] ** 2))
    linear, network = off(_train(db, "algorithm=ridge")), off(_train(db, "algorithm=neural_network, hidden='64,32', embedding=4, epochs=40"))
    assert network < linear / 3, (network, linear)


@claim
def bytes_of_weights_are_a_quarter():
    x, y, learn, _ = _set(datasets.load_digits, int)
    db = connect()
    _table(db, x, y, learn)
    size = {}
    for kind in ("float", "int8"):
        _train(db, f"algorithm=neural_network, task=classes, hidden='1024,512', epochs=1, weights={kind}")
        size[kind] = one(db, "SELECT bytes FROM rec_versions WHERE model = 'p'")
    assert .25 < size["int8"] / size["float"] < .33, size


# ---- of any predictor ----


@claim
def shapley_values_are_those_of_the_definition():
    """v(S): the score of the row whose columns outside S are the examples' means."""
    x, y, learn, _ = _set(datasets.load_diabetes, float)
    x = x[:, :5]
    db = connect()
    _table(db, x, y, learn)
    for options in ("algorithm=neural_network, epochs=5", "algorithm=factorization_machine, steps=20", "algorithm=knn", "algorithm=kernel_svm"):
        _train(db, options)
        mean = x[learn].mean(0)
        ask = lambda row: one(db, "SELECT rec_predict('p', ?, ?, ?, ?, ?)", *map(float, row))
        row = x[3]
        v = {s: ask([row[i] if i in s else mean[i] for i in range(5)]) for n in range(6) for s in itertools.combinations(range(5), n)}
        wanted = [sum(math.factorial(len(s)) * math.factorial(4 - len(s)) / 120 * (v[tuple(sorted(s + (i,)))] - v[s]) for s in v if i not in s) for i in range(5)]
        said = db.execute("SELECT feature, contribution FROM rec_explain_prediction('p', ?)", (json.dumps({f"x{i}": row[i] for i in range(5)}),)).fetchall()
        scale = np.std(y)
        close(said[0][1], v[()], 1e-5, "base of " + options, scale=scale)
        close([value for _, value in said[1:]], wanted, 1e-5, "parts of " + options, scale=scale)


@claim
def shapley_values_of_many_features_sum_to_the_score():
    x, y, learn, _ = _set(datasets.load_breast_cancer, int)
    db = connect()
    _table(db, x, y, learn)
    answers = _train(db, "algorithm=neural_network")
    for row in (0, 100):
        total = one(db, "SELECT sum(contribution) FROM rec_explain_prediction('p', ?)", json.dumps({f"x{i}": v for i, v in enumerate(x[row])}))
        close(total, answers[row][1], 1e-9, "sum", scale=1)


@claim
def permutation_says_which_features_matter():
    """Of y = x0 + 2 x1, x2 nothing: exchanging a feature of weight w adds 2 w^2 var to the squared error."""
    random = np.random.default_rng(1)
    x = random.normal(size=(5000, 3)).astype("<f4").astype(float)
    y = (x[:, 0] + 2 * x[:, 1] + random.normal(size=5000)).tolist()
    db = connect()
    _table(db, x, y)
    _train(db, "algorithm=linear", arguments="label=y, id=id, ", arg='{"features": {"part": "ignore"}}')
    said = dict(db.execute("SELECT feature, permutation FROM rec_features('p')"))
    for name, weight in (("x0", 1), ("x1", 2), ("x2", 0)):
        close(said[name], math.sqrt(1 + 2 * weight ** 2) - 1, .1, name, scale=1)


@claim
def drift_is_the_psi_and_the_chi_square_of_scipy():
    random = np.random.default_rng(5)
    db = connect()
    for name, shift in (("then", 0), ("now", .4)):
        db.execute(f"CREATE TABLE {name}_rows(id INTEGER PRIMARY KEY, y REAL, x REAL, c TEXT)")
        db.executemany(f"INSERT INTO {name}_rows VALUES(?, ?, ?, ?)", [(i, float(random.normal()), None if random.random() < .1 else float(random.normal() + shift),
                                                                        "abcdef"[min(5, int(random.exponential() * (2 + shift)))]) for i in range(2000)])
    _train(db, "algorithm=ridge", source="then_rows", arguments="label=y, id=id, ")
    profile = json.loads(one(db, "SELECT trained_on FROM rec_versions WHERE model = 'p'"))["features"]
    rows = db.execute("SELECT x, c FROM now_rows").fetchall()
    numbers, classes = profile
    now_x = [sum(1 for x, _ in rows if x is not None and low < x <= high) for low, high in zip([-math.inf, *numbers["edges"]], [*numbers["edges"], math.inf])] + [sum(x is None for x, _ in rows)]
    now_c = [sum(c == key for _, c in rows) for key in classes["keys"]] + [sum(c not in classes["keys"] for _, c in rows), 0]
    said = {row[0]: row[1:] for row in db.execute("SELECT feature, psi, p FROM rec_feature_drift('p', 'now_rows')")}
    same(sum(numbers["counts"]), 2000, "rows of the profile")
    for name, then, now in (("x", numbers["counts"], now_x), ("c", classes["counts"], now_c)):
        then, now = np.array(then, float), np.array(now, float)
        p, q = (then + .5) / (then + .5).sum(), (now + .5) / (now + .5).sum()
        close(said[name][0], float(((q - p) * np.log(q / p)).sum()), 1e-9, name + ": psi", scale=1)
        used = then + now > 0
        close(said[name][1], min(1, 3 * stats.chi2_contingency([then[used], now[used]], correction=False)[1]), 1e-9, name + ": p", scale=1)


@claim
def a_trial_is_worth_what_a_training_is_judged():
    x, y, learn, _ = _set(datasets.load_breast_cancer, int)
    db = connect()
    _table(db, x, y)
    _train(db, "algorithm=logistic", arguments="label=y, id=id, ", arg='{"features": {"part": "ignore"}}')
    db.execute("""INSERT INTO p(p, arg) VALUES('tune', '{"trials": 8, "activate": "never", "features": {"part": "ignore"}}')""")
    trials = db.execute("SELECT options, value, note FROM rec_trials ORDER BY trial").fetchall()
    same(len(trials) >= 8, True, "trials")
    for options, value, note in trials:
        arg = json.loads(options)
        arg.update(features={"part": "ignore"}, activate="never")
        db.execute("INSERT INTO p(p, arg) VALUES('train', ?)", (json.dumps(arg),))
        tags = json.loads(one(db, "SELECT tags FROM rec_versions WHERE model = 'p' ORDER BY version DESC LIMIT 1"))
        close(value, tags["validation.log_loss"], 1e-6, "log loss of " + options)
        close(json.loads(note)["auc"], tags["validation.auc"], 1e-5, "auc of " + options)
    db.execute("""INSERT INTO p(p, arg) VALUES('tune', '{"trials": 8, "activate": "always", "features": {"part": "ignore"}}')""")
    best = min(trials, key=lambda trial: trial[1])
    serves = json.loads(one(db, "SELECT options FROM rec_versions WHERE model = 'p' AND active"))
    same(serves["c"], json.loads(best[0]).get("c", 1), "c of what serves")


@claim_each({"none": (0,), "a little": (10,), "more": (50,), "much": (200,)})
def pruning_leaves_the_tree_of_scikit_learn(cost):
    x, y = datasets.load_diabetes(return_X_y=True)
    x = np.round(x * 300).astype("<f4").astype(float)  # fewer values than bins: the same thresholds can be found
    db = connect()
    _table(db, x, y.tolist())
    _train(db, f"algorithm=tree, prune={cost}")
    theirs = tree.DecisionTreeRegressor(ccp_alpha=cost, random_state=0).fit(x, y)
    leaves = one(db, "SELECT count(*) FROM rec_tree_rules('p')")
    close(leaves, theirs.get_n_leaves(), .01, "leaves")  # splits that gain the same may fall otherwise
    if cost >= 50:
        close([a[0] for a in db.execute("SELECT prediction FROM p ORDER BY id")], theirs.predict(x), 1e-9, "predictions")


@claim_each({"none": (0,), "a little": (.003,), "much": (.02,)})
def pruning_of_classes_leaves_the_tree_of_scikit_learn(cost):
    for load in (datasets.load_iris, datasets.load_breast_cancer):
        x, y = load(return_X_y=True)
        x = np.round(x[:, :8] / x[:, :8].std(0) * 30).astype(float)
        db = connect()
        _table(db, x, y.tolist())
        _train(db, f"algorithm=tree, task=classes, prune={cost}")
        theirs = tree.DecisionTreeClassifier(ccp_alpha=cost, random_state=0).fit(x, y)
        close(one(db, "SELECT count(*) FROM rec_tree_rules('p')"), theirs.get_n_leaves(), .06, "leaves")
