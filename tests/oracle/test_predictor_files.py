"""Models of LightGBM, XGBoost and scikit-learn (ONNX) as versions of rec_predictor: what these programs, and the package shap, said
of the same rows (tests/golden/make_model_files.py)."""
import base64
import gzip
import json

import numpy as np

from support import ROOT, claim_each, close, connect, one

CASES = json.loads(gzip.decompress((ROOT / "tests/golden/model_files.json.gz").read_bytes()))


def _loaded(case):
    """The database, with the rows in `t` and the model in the predictor `p`, and the names of its features."""
    db = connect()
    names = [("f" if case["name"].startswith("onnx") else "x") + str(i) for i in range(len(case["x"][0]))]
    db.execute(f"CREATE TABLE t(id INTEGER PRIMARY KEY, y, {', '.join(name + ' REAL' for name in names)})")
    db.executemany(f"INSERT INTO t VALUES({', '.join('?' * (len(names) + 2))})", [(i, i % 2, *row) for i, row in enumerate(case["x"])])
    db.execute("CREATE VIRTUAL TABLE p USING rec_predictor(examples=t, label=y, id=id)")
    is_onnx = case["name"].startswith("onnx")
    version = one(db, "SELECT rec_from_model(?)", base64.b64decode(case["file"]) if is_onnx else case["file"])
    db.execute("INSERT INTO p(p, arg) VALUES('load', ?)", (version,))
    return db, names


@claim_each({case["name"]: (case,) for case in CASES})
def a_model_of_another_program_says_the_same(case):
    db, _ = _loaded(case)
    answers = db.execute("SELECT prediction, score, probabilities FROM p ORDER BY id").fetchall()
    if "score" in case:  # XGBoost sums in float32
        scale = max(np.abs(case["score"]))
        close([a[1] for a in answers], case["score"], 1e-12 if case["name"].startswith("lightgbm") else 2e-6, "scores", scale=scale)
    elif "value" in case:
        close([a[0] for a in answers], np.ravel(case["value"]), 2e-6, "predictions", scale=max(np.abs(np.ravel(case["value"]))))
    else:
        close([list(json.loads(a[2]).values()) for a in answers], case["probabilities"], 3e-6, "probabilities", scale=1)


@claim_each({case["name"]: (case,) for case in CASES if "shap" in case})
def explanations_are_those_of_the_package_shap(case):
    db, names = _loaded(case)
    for row, values in list(zip(case["x"], case["shap"]))[:10]:
        said = db.execute("SELECT feature, contribution FROM rec_explain_prediction('p', ?)", (json.dumps(dict(zip(names, row))),)).fetchall()
        close(said[0][1], case["base"], 1e-9, "base", scale=1)
        close([value for _, value in said[1:]], values, 1e-9, "contributions", scale=1)
