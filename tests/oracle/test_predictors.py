"""rec_predictor against scikit-learn on the sets that it ships: the same rows learnt from, the same rows asked."""
import functools
import json
import math

import numpy as np
from sklearn import calibration, datasets, feature_extraction, isotonic, linear_model, metrics, pipeline, preprocessing, svm

from support import claim, claim_each, close, connect, one, same

SETS = {
    "breast_cancer": (datasets.load_breast_cancer, int),
    "diabetes": (datasets.load_diabetes, float),
    "digits": (datasets.load_digits, int),
    "wine": (datasets.load_wine, int),
    "iris": (datasets.load_iris, int),
}


@functools.lru_cache(None)
def _shop(name):
    """A table with all rows, a fifth of them of the split 'test': the database, X, y, which rows are learnt from."""
    load, kind = SETS[name]
    x, y = load(return_X_y=True)
    x = np.asarray(x, "<f4").astype(float)
    learn = np.random.RandomState(7).rand(len(y)) < .8
    db = connect()
    columns = ", ".join(f"x{i} REAL" for i in range(x.shape[1]))
    db.execute(f"CREATE TABLE examples(id INTEGER PRIMARY KEY, part TEXT, y, {columns})")
    db.executemany(f"INSERT INTO examples VALUES({','.join('?' * (x.shape[1] + 3))})",
                   [(i, "train" if learn[i] else "test", kind(y[i]), *map(float, x[i])) for i in range(len(y))])
    return db, x, y, learn


def _train(name, options, **arguments):
    """Predictions of all rows that are not learnt from: the database, the predictor's name, [(prediction, probability), ...]."""
    db, _, y, learn = _shop(name)
    _train.n = getattr(_train, "n", 0) + 1
    predictor = f"p{_train.n}"
    db.execute(f"CREATE VIRTUAL TABLE {predictor} USING rec_predictor(examples=examples, label=y, id=id, split=part, {options})")
    db.execute(f"INSERT INTO {predictor}({predictor}) VALUES('train')")
    answers = {row[0]: row[1:] for row in db.execute(f"SELECT id, prediction, probability, probabilities, score FROM {predictor}")}
    return db, predictor, [answers[int(i)] for i in np.flatnonzero(~learn)]


def _standard(estimator):
    return pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)


NUMBERS = {
    "least squares": ("algorithm=linear", linear_model.LinearRegression()),
    "least squares by L-BFGS": ("algorithm=linear, solver=lbfgs", linear_model.LinearRegression()),
    "least squares by gradient descent": ("algorithm=linear, solver=descent, steps=200000", linear_model.LinearRegression()),
    "ridge": ("algorithm=ridge, alpha=10", linear_model.Ridge(alpha=10)),
    "ridge by L-BFGS": ("algorithm=ridge, alpha=10, solver=lbfgs", linear_model.Ridge(alpha=10)),
    "lasso": ("algorithm=lasso, alpha=2", linear_model.Lasso(alpha=2, tol=1e-10)),
    "elastic net": ("algorithm=elastic_net, alpha=0.1, ratio=0.3", linear_model.ElasticNet(alpha=.1, l1_ratio=.3, tol=1e-10)),
}


@claim_each(NUMBERS)
def numbers_are_those_of_scikit_learn(options, estimator):
    _, x, y, learn = _shop("diabetes")
    _, _, answers = _train("diabetes", options)
    wanted = _standard(estimator).fit(x[learn], y[learn]).predict(x[~learn])
    close([a[0] for a in answers], wanted, 1e-4, "predictions", scale=np.abs(wanted).max())


CLASSES = {
    "two, l2": ("breast_cancer", "algorithm=logistic", dict(C=1)),
    "two, weak l2": ("breast_cancer", "algorithm=logistic, c=100", dict(C=100)),
    "three": ("wine", "algorithm=logistic", dict(C=1)),
    "three, balanced": ("iris", "algorithm=logistic, balance=classes, c=0.5", dict(C=.5, class_weight="balanced")),
}


@claim_each(CLASSES)
def probabilities_are_those_of_scikit_learn(name, options, settings):
    _, x, y, learn = _shop(name)
    _, _, answers = _train(name, options)
    estimator = _standard(linear_model.LogisticRegression(tol=1e-10, max_iter=100000, **settings)).fit(x[learn], y[learn])
    wanted = estimator.predict_proba(x[~learn])
    got = np.array([[json.loads(a[2])[str(c)] for c in range(wanted.shape[1])] for a in answers])
    close(got, wanted, 1e-3, "probabilities", scale=1)
    same([a[0] for a in answers], list(estimator.predict(x[~learn])), "classes")


@claim
def l1_leaves_the_weights_out_that_scikit_learn_leaves_out():
    _, x, y, learn = _shop("breast_cancer")
    db, predictor, answers = _train("breast_cancer", "algorithm=logistic, penalty=l1, c=0.1")
    estimator = _standard(linear_model.LogisticRegression(penalty="l1", C=.1, solver="liblinear", intercept_scaling=1000, tol=1e-8, max_iter=100000))
    estimator.fit(x[learn], y[learn])
    wanted = estimator.predict_proba(x[~learn])[:, 1]
    close([a[1] for a in answers], wanted, 5e-3, "probabilities", scale=1)
    kept = [i for i, (w,) in enumerate(db.execute(f"SELECT importance FROM rec_features('{predictor}')")) if w > 0]
    same(kept, list(np.flatnonzero(estimator[-1].coef_[0])), "features with a weight")


@claim
def digits_are_read_as_well_as_by_scikit_learn():
    _, x, y, learn = _shop("digits")
    _, _, answers = _train("digits", "algorithm=logistic")
    estimator = _standard(linear_model.LogisticRegression(max_iter=10000)).fit(x[learn], y[learn])
    own = metrics.accuracy_score(y[~learn], [a[0] for a in answers])
    assert own >= estimator.score(x[~learn], y[~learn]) - .002, own


@claim
def svm_separates_as_liblinear_does():
    for name in ("breast_cancer", "wine"):
        _, x, y, learn = _shop(name)
        _, _, answers = _train(name, "algorithm=svm")
        estimator = _standard(svm.LinearSVC(tol=1e-8, max_iter=1000000, intercept_scaling=100)).fit(x[learn], y[learn])
        own = metrics.accuracy_score(y[~learn], [a[0] for a in answers])
        assert own >= estimator.score(x[~learn], y[~learn]) - .002, (name, own)


# ---- features ----


@claim
def texts_become_the_tf_idf_of_scikit_learn():
    texts = ["red heart lantern of metal", "metal lantern, RED and green", "a green wooden heart", "wooden box with a heart of wood", "box"] * 6
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, title TEXT, y REAL)")
    db.executemany("INSERT INTO t(title, y) VALUES(?, ?)", [(text + f" no{i}", i % 5) for i, text in enumerate(texts)])
    for options, tokens, ngrams in (("", r"(?u)[a-z0-9]+", (1, 1)), (", ngram=2", r"(?u)[a-z0-9]+", (1, 2))):
        db.execute("DROP TABLE IF EXISTS p")
        db.execute(f"CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y, id=id, algorithm=ridge, validation=0{options})")
        db.execute("INSERT INTO p(p) VALUES('train')")
        same(one(db, "SELECT kind FROM rec_features('p')"), "text", "kind")
        vectorizer = feature_extraction.text.TfidfVectorizer(token_pattern=tokens, min_df=2, ngram_range=ngrams)
        wanted = vectorizer.fit_transform(row[0] for row in db.execute("SELECT title FROM t ORDER BY id")).toarray()
        names = vectorizer.get_feature_names_out()
        for row, (json_text,) in enumerate(db.execute("SELECT rec_transform('p', title) FROM t ORDER BY id")):
            got = json.loads(json_text)
            close([got.get(f"title~{name}", 0) for name in names], wanted[row], 1e-6, f"row {row}", scale=1)
            assert set(got) <= {f"title~{name}" for name in names}, got


@claim
def numbers_are_scaled_as_scikit_learn_scales():
    rng = np.random.RandomState(3)
    x = np.round(rng.lognormal(size=200) * 10, 3)
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, y REAL)")
    db.executemany("INSERT INTO t(x, y) VALUES(?, ?)", [(float(a), float(i % 7)) for i, a in enumerate(x)])
    column = x.reshape(-1, 1)
    low, high = np.quantile(x, [.05, .95])
    logs = np.log1p(x)
    edges = np.quantile(x, np.arange(1, 4) / 4)
    wanted = {
        "scale=standard": {"x": preprocessing.StandardScaler().fit_transform(column)[:, 0]},
        "scale=minmax": {"x": preprocessing.MinMaxScaler().fit_transform(column)[:, 0]},
        "scale=log": {"x": (logs - logs.mean()) / logs.std()},
        "scale=none, clip=0.05": {"x": np.clip(x, low, high)},
        "scale=bins, bins=4": {(f"x>={edges[b - 1]:.6g}" if b else f"x<{edges[0]:.6g}"): (np.searchsorted(edges, x, side="right") == b) * 1.0 for b in range(4)},
    }
    for options, columns in wanted.items():
        db.execute("DROP TABLE IF EXISTS p")
        db.execute(f"CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y, id=id, algorithm=ridge, validation=0, {options})")
        db.execute("INSERT INTO p(p) VALUES('train')")
        rows = [json.loads(row[0]) for row in db.execute("SELECT rec_transform('p', x) FROM t ORDER BY id")]
        for name, values in columns.items():
            close([row.get(name, 0) for row in rows], values, 2e-6, f"{options}: {name}", scale=max(1, np.abs(values).max()))


# ---- probabilities and intervals ----


@claim
def calibrations_are_those_of_scikit_learn():
    """Platt's two numbers and the isotonic steps, of the scores of the held rows."""
    db, x, y, learn = _shop("breast_cancer")
    rng = np.random.RandomState(1)
    held = learn & (rng.rand(len(y)) < .4)
    db.execute("CREATE TABLE IF NOT EXISTS parts(id INTEGER PRIMARY KEY, part TEXT)")
    db.execute("DELETE FROM parts")
    db.executemany("INSERT INTO parts VALUES(?, ?)", [(i, "validation" if held[i] else "train" if learn[i] else "test") for i in range(len(y))])
    db.execute("DROP VIEW IF EXISTS split3")
    db.execute("CREATE VIEW split3 AS SELECT p.part AS own_part, e.* FROM examples e JOIN parts p USING(id)")
    columns = ", ".join(f"x{i}" for i in range(x.shape[1]))
    db.execute("DROP VIEW IF EXISTS held3")
    db.execute(f"CREATE VIEW held3 AS SELECT id, own_part, y, {columns} FROM split3")
    for kind in ("platt", "isotonic"):
        db.execute("DROP TABLE IF EXISTS c")
        db.execute(f"CREATE VIRTUAL TABLE c USING rec_predictor(examples=held3, label=y, id=id, split=own_part, algorithm=svm, refit=false, calibrate={kind})")
        db.execute("INSERT INTO c(c) VALUES('train')")
        rows = db.execute("SELECT id, score, probability FROM c").fetchall()
        score, probability = (np.array([row[k] for row in rows]) for k in (1, 2))
        ids = np.array([row[0] for row in rows])
        of_held = held[ids]
        if kind == "platt":
            a, b = calibration._sigmoid_calibration(score[of_held], y[ids][of_held])
            wanted = 1 / (1 + np.exp(a * score + b))
        else:
            wanted = isotonic.IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score[of_held], y[ids][of_held]).predict(score)
        close(probability, wanted, 2e-4, kind, scale=1)


@claim
def intervals_hold_what_they_promise():
    """Split conformal: the ceil((n + 1) c)-th smallest error of the held rows, and the share of test rows inside."""
    rng = np.random.RandomState(5)
    n = 3000
    x = rng.normal(size=(n, 3))
    y = x @ [1, -2, .5] + rng.standard_t(4, size=n)
    part = np.where(np.arange(n) % 3 == 0, "test", np.where(np.arange(n) % 3 == 1, "validation", "train"))
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, part TEXT, y REAL, a REAL, b REAL, c REAL)")
    db.executemany("INSERT INTO t VALUES(?, ?, ?, ?, ?, ?)", [(i, part[i], float(y[i]), *map(float, x[i])) for i in range(n)])
    db.execute("CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y, id=id, split=part, algorithm=linear, refit=false)")
    db.execute("INSERT INTO p(p) VALUES('train')")
    for coverage in (.5, .9, .99):
        rows = db.execute("SELECT id, prediction, low, high FROM p WHERE options = json_object('coverage', ?)", (coverage,)).fetchall()
        prediction = np.array([row[1] for row in rows])
        low, high = (np.array([row[k] for row in rows]) for k in (2, 3))
        errors = np.sort(np.abs(y - prediction)[part == "validation"])
        half = errors[math.ceil((len(errors) + 1) * coverage) - 1]
        close(high - prediction, np.full(n, half), 1e-6, "half width")
        inside = ((low <= y) & (y <= high))[part == "test"].mean()
        assert abs(inside - coverage) < .04, (coverage, inside)


@claim
def what_is_judged_is_what_scikit_learn_measures():
    db, x, y, learn = _shop("breast_cancer")
    _, predictor, _ = _train("breast_cancer", "algorithm=logistic")
    db.execute("CREATE VIEW IF NOT EXISTS as_validation AS SELECT CASE part WHEN 'test' THEN 'validation' ELSE part END AS who, * FROM examples")
    columns = ", ".join(f"x{i}" for i in range(x.shape[1]))
    db.execute(f"CREATE VIEW IF NOT EXISTS judged3 AS SELECT id, who, y, {columns} FROM as_validation")
    db.execute("CREATE VIRTUAL TABLE j USING rec_predictor(examples=judged3, label=y, id=id, split=who, algorithm=logistic, refit=false)")
    db.execute("INSERT INTO j(j) VALUES('train')")
    judged = json.loads(one(db, "SELECT judged FROM rec_predictors WHERE predictor = 'j'"))
    p = np.array([row[0] for row in db.execute("SELECT probability FROM j ORDER BY id")])[~learn]
    wanted = {"auc": metrics.roc_auc_score(y[~learn], p), "average_precision": metrics.average_precision_score(y[~learn], p),
              "log_loss": metrics.log_loss(y[~learn], p), "accuracy": metrics.accuracy_score(y[~learn], p > .5)}
    for name, value in wanted.items():
        close(judged[name], value, 1e-6, name)
