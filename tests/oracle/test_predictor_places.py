"""naive_bayes, knn, kmeans, pca and gaussian of rec_predictor against scikit-learn and NumPy."""
import json

import numpy as np
from sklearn import cluster, datasets, decomposition, metrics, naive_bayes, neighbors

from support import claim, claim_each, close, connect, one, same, vector


def _table(db, x, y=None):
    columns = ", ".join(f"x{i} REAL" for i in range(x.shape[1]))
    db.execute("DROP TABLE IF EXISTS t")
    db.execute(f"CREATE TABLE t(id INTEGER PRIMARY KEY, y, {columns})")
    db.executemany(f"INSERT INTO t VALUES({','.join('?' * (x.shape[1] + 2))})", [(i, None if y is None else y[i], *map(float, x[i])) for i in range(len(x))])


def _train(db, options, label="label=y, "):
    db.execute("DROP TABLE IF EXISTS p")
    extra = "" if label else """, features='{"y": "ignore"}'"""
    db.execute(f"CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, {label}id=id, scale=none, {options}{extra})")
    db.execute("INSERT INTO p(p) VALUES('train')")
    return db.execute("SELECT prediction, score, probabilities FROM p ORDER BY id").fetchall()


def _wine():
    x, y = datasets.load_wine(return_X_y=True)
    return x.astype("<f4").astype(float), y


@claim
def naive_bayes_is_gaussian_of_dense_columns():
    x, y = _wine()
    db = connect()
    for classes in (3, 2):
        own = y < classes
        _table(db, x[own], [int(v) for v in y[own]])
        rows = _train(db, "algorithm=naive_bayes, validation=0")
        wanted = naive_bayes.GaussianNB().fit(x[own], y[own]).predict_proba(x[own])
        close([list(json.loads(row[2]).values()) for row in rows], wanted, 1e-5, f"{classes} classes", scale=1)


@claim
def naive_bayes_is_multinomial_of_texts():
    news = ["red lamp", "red heart lamp", "lamp of glass", "wooden box", "box of wood and glass", "wooden heart box"] * 5
    db = connect()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, title TEXT, y TEXT)")
    db.executemany("INSERT INTO t(title, y) VALUES(?, ?)", [(f"{title} {i}", "lamp" if i % 6 < 3 else "box") for i, title in enumerate(news)])
    db.execute("""CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y, id=id, algorithm=naive_bayes, validation=0, features='{"title": "text"}')""")
    db.execute("INSERT INTO p(p) VALUES('train')")
    terms = [json.loads(row[0]) for row in db.execute("SELECT rec_transform('p', title) FROM t ORDER BY id")]
    names = sorted({name for row in terms for name in row})
    x = np.array([[row.get(name, 0) for name in names] for row in terms])
    y = ["lamp" if i % 6 < 3 else "box" for i in range(30)]
    wanted = naive_bayes.MultinomialNB().fit(x, y).predict_proba(x)[:, 1]
    close([row[0] for row in db.execute("SELECT probability FROM p ORDER BY id")], wanted, 1e-5, "probabilities", scale=1)


@claim_each({"equal": (False,), "by distance": (True,)})
def neighbours_are_those_of_scikit_learn(by_distance):
    x, y = _wine()
    db = connect()
    weights = "distance" if by_distance else "uniform"
    option = f"algorithm=knn, neighbours=7, by_distance={str(by_distance).lower()}, validation=0"
    _table(db, x, [int(v) for v in y])
    rows = _train(db, option + ", task=classes")
    wanted = neighbors.KNeighborsClassifier(7, weights=weights).fit(x, y).predict_proba(x)
    close([list(json.loads(row[2]).values()) for row in rows], wanted, 1e-5, "shares", scale=1)
    numbers = x[:, 12] * .5 + y
    _table(db, x[:, :6], [float(v) for v in numbers])
    rows = _train(db, option + ", task=number")
    close([row[0] for row in rows], neighbors.KNeighborsRegressor(7, weights=weights).fit(x[:, :6], numbers).predict(x[:, :6]), 1e-5, "means")


@claim
def segments_have_the_inertia_of_scikit_learn():
    for name, x, k in (("digits", datasets.load_digits().data, 10), ("blobs", datasets.make_blobs(3000, 8, centers=12, random_state=1)[0], 12), ("wine", _wine()[0], 3)):
        x = np.asarray(x, "<f4").astype(float)
        db = connect()
        _table(db, x)
        rows = _train(db, f"algorithm=kmeans, clusters={k}, restarts=10", label="")
        judged = json.loads(one(db, "SELECT judged FROM rec_predictors"))
        peer = cluster.KMeans(k, n_init=10, random_state=0).fit(x)
        assert judged["inertia"] <= peer.inertia_ * 1.01, (name, judged["inertia"], peer.inertia_)
        segment = np.array([row[0] for row in rows])
        centres = np.array([x[segment == s].mean(0) for s in range(k)])
        close(judged["inertia"], ((x - centres[segment]) ** 2).sum(), 1e-3, "inertia by its definition")
        close([row[1] for row in rows], np.sqrt(((x[:, None] - centres) ** 2).sum(2)).min(1), 2e-2, "distances", scale=np.sqrt(((x - centres[segment]) ** 2).sum(1)).max())
        if len(x) <= 1000:
            close(judged["silhouette"], metrics.silhouette_score(x, segment), 1e-4, "silhouette")


@claim_each({"uniform": (0,), "blobs": (6,), "with equal rows": (-1,)})
def bounds_leave_no_row_at_a_centre_that_is_not_its_nearest(blobs):
    """Rows that cannot have another centre are passed over (Hamerly): at the end the inertia that was kept is that of all distances."""
    random = np.random.default_rng(3)
    x = random.random((4000, 5)) if blobs <= 0 else random.normal(size=(4000, 5)) + 8 * random.normal(size=(blobs, 5))[random.integers(blobs, size=4000)]
    if blobs < 0:
        x = np.round(x)
    db = connect()
    _table(db, x.astype("<f4").astype(float))
    _train(db, "algorithm=kmeans, clusters=23, restarts=1, tolerance=0, sweeps=1000", label="")
    kept, = db.execute("SELECT objective FROM rec_training_log ORDER BY sweep DESC LIMIT 1").fetchone()
    true = db.execute("SELECT sum(score * score) FROM p").fetchone()[0]
    close(kept, true, 1e-6, "inertia", scale=true + 1e-9)


@claim
def components_are_those_of_scikit_learn():
    x, _ = _wine()
    x = (x - x.mean(0)) / x.std(0)
    db = connect()
    _table(db, x)
    rows = _train(db, "algorithm=pca, components=4", label="")
    wanted = decomposition.PCA(4).fit(x)
    signs = np.sign([c[np.argmax(np.abs(c))] for c in wanted.components_])
    close([vector(row[0]) for row in rows], wanted.transform(x) * signs, 1e-3, "coordinates", scale=1)


@claim
def oddness_is_the_mahalanobis_distance():
    x, _ = _wine()
    x = x[:, :6]
    db = connect()
    _table(db, x)
    rows = _train(db, "algorithm=gaussian, shrink=0", label="")
    centred = x - x.mean(0)
    wanted = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(x.T)), centred)
    close([row[0] for row in rows], wanted, 1e-3, "distances", scale=wanted.max())
    same(one(db, "SELECT task FROM rec_predictors"), "anomaly", "task")
