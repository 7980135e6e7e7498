"""rec_onnx: what onnxruntime says of a version's model, and what the version says of the same rows."""
import json
import sqlite3
import unittest

import numpy
import sqlite_recommend

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

NAMES = ["pages", "country", "seconds", "shape", "kind", "price", "flag"]


def shop():
    random = numpy.random.RandomState(0)
    db = sqlite3.connect(":memory:", isolation_level=None)
    sqlite_recommend.load(db)
    db.execute(f"CREATE TABLE visits(visit INTEGER PRIMARY KEY, pages INTEGER, country TEXT, seconds REAL, shape BLOB, kind TEXT, price REAL, flag INTEGER, bought INTEGER, band TEXT, spend REAL)")
    rows = []
    for i in range(500):
        pages, country = int(random.randint(9)), [None, "UK", "FR", "DE"][random.randint(4)]
        seconds = None if random.rand() < .1 else float(random.rand() * 400)
        shape, kind, price, flag = random.randn(3).astype("<f4"), f"k{random.zipf(1.5) % 60}", float(random.lognormal()), int(random.rand() < .3)
        z = pages * .5 - 2 + (country == "UK") + shape[0] - .3 * price + flag
        rows.append((i, pages, country, seconds, shape.tobytes(), kind, price, flag, int(z + random.randn() > 0), "abc"[min(2, max(0, int(z + 1)))], float(z + random.randn() * .2)))
    db.executemany("INSERT INTO visits VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return db, rows


def trained(db, options, label, features=()):
    said = {"price": {"scale": "log", "clip": .05}, "kind": {"min_count": 3}, **{name: "ignore" for name in ("bought", "band", "spend") if name != label}, **dict(features)}
    db.execute("DROP TABLE IF EXISTS p")
    label = f"label={label}, " if label else ""
    db.execute(f"CREATE VIRTUAL TABLE p USING rec_predictor(examples=visits, {label}id=visit, {options}, features='{json.dumps(said)}')")
    db.execute("INSERT INTO p(p) VALUES('train')")
    return db.execute("SELECT prediction, probability, probabilities, score FROM p ORDER BY id").fetchall()


def said_by_onnx(db, rows):
    model, = db.execute("SELECT rec_onnx('p')").fetchone()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {}
    for wanted in session.get_inputs():
        column = [row[1 + NAMES.index(wanted.name)] for row in rows]
        if "string" in wanted.type:
            feed[wanted.name] = numpy.array([[value or ""] for value in column], dtype=object)
        elif "double" in wanted.type:
            feed[wanted.name] = numpy.array([[numpy.nan if value is None else value] for value in column], dtype=float)
        else:
            feed[wanted.name] = numpy.array([numpy.frombuffer(value, "<f4") for value in column])
    return dict(zip((value.name for value in session.get_outputs()), session.run(None, feed)))


def near(got, wanted, what):
    off = numpy.abs(numpy.asarray(got) - numpy.asarray(wanted)).max()
    assert off < 5e-6, (what, off)


def test_onnx_says_what_the_version_says(folder):
    if not onnxruntime:
        raise unittest.SkipTest("onnxruntime is not there")
    db, rows = shop()
    for algorithm in "logistic svm kernel_svm tree forest boosting naive_bayes neural_network factorization_machine".split():
        for label in ("bought", "band"):
            answers = trained(db, f"algorithm={algorithm}", label)
            said = said_by_onnx(db, rows)
            near(said["probabilities"], [list(json.loads(row[2]).values()) for row in answers], (algorithm, label))
            assert numpy.mean([str(a) == str(row[0]) for a, row in zip(said["label"], answers)]) > .99, (algorithm, label)  # ties of float32
    for algorithm in "linear ridge lasso elastic_net tree forest boosting kernel_svm neural_network factorization_machine".split():
        answers = trained(db, f"algorithm={algorithm}", "spend")
        near(said_by_onnx(db, rows)["prediction"][:, 0], [row[0] for row in answers], algorithm)


def test_onnx_prepares_features_as_the_version_does(folder):
    if not onnxruntime:
        raise unittest.SkipTest("onnxruntime is not there")
    db, rows = shop()
    for options, label, features in (("algorithm=logistic", "bought", {"seconds": {"scale": "bins"}, "pages": {"scale": "minmax", "impute": "median"}}),
                                     ("algorithm=logistic, buckets=0", "bought", {"seconds": {"missing": "impute"}}), ("algorithm=logistic, encode=target", "band", {}),
                                     ("algorithm=logistic, calibrate=platt", "band", {}), ("algorithm=kernel_svm, kernel=poly", "bought", {}), ("algorithm=boosting, rounds=20", "bought", {"pages": "category"})):
        answers = trained(db, options, label, features)
        said = said_by_onnx(db, [tuple(str(value) if i == 1 and "category" in str(features) else value for i, value in enumerate(row)) for row in rows])
        near(said["probabilities"], [list(json.loads(row[2]).values()) for row in answers], options)
    answers = trained(db, "algorithm=kmeans, clusters=4", "")
    said = said_by_onnx(db, rows)
    assert said["label"].tolist() == [row[0] for row in answers]
    near(said["distance"][:, 0], [row[3] for row in answers], "distances")
    answers = trained(db, "algorithm=pca, components=3", "")
    near(said_by_onnx(db, rows)["coordinates"], [numpy.frombuffer(row[0], "<f4") for row in answers], "coordinates")
    answers = trained(db, "algorithm=gaussian", "")
    near(said_by_onnx(db, rows)["score"][:, 0], [row[3] for row in answers], "oddness")


def test_onnx_of_columns_takes_what_rec_transform_gives(folder):
    if not onnxruntime:
        raise unittest.SkipTest("onnxruntime is not there")
    db, rows = shop()
    answers = trained(db, "algorithm=logistic, crosses='country*flag'", "bought")
    model, = db.execute("SELECT rec_onnx('p', '{\"input\": \"columns\"}')").fetchone()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    columns = json.loads(session.get_modelmeta().custom_metadata_map["columns"])
    assert session.get_inputs()[0].shape[1] == len(columns)
    transformed = [json.loads(row[0]) for row in db.execute(f"SELECT rec_transform('p', {', '.join(NAMES)}, 'a', 0) FROM visits ORDER BY visit")]
    x = numpy.array([[row.get(name, 0) for name in columns] for row in transformed], "f4")
    near(session.run(["probabilities"], {"columns": x})[0], [list(json.loads(row[2]).values()) for row in answers], "columns")
    for text, says in (("SELECT rec_onnx('p')", "two columns"), ("SELECT rec_onnx('nothing')", "nothing"), ("SELECT rec_onnx('p', '{\"input\": 3}')", "input"), ("SELECT rec_onnx(NULL)", "NULL")):
        try:
            db.execute(text).fetchone()
        except sqlite3.Error as error:
            assert says in str(error), error
        else:
            raise AssertionError(text)
    trained(db, "algorithm=knn", "bought")
    try:
        db.execute("SELECT rec_onnx('p')").fetchone()
    except sqlite3.Error as error:
        assert "knn has no form in ONNX" in str(error), error
    else:
        raise AssertionError("knn")
