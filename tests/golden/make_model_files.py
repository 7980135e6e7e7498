"""tests/golden/model_files.json.gz: models of LightGBM, XGBoost and scikit-learn (as ONNX), and what these say of some rows.

    make_model_files.py FILE

A case: name, file (text, or base64 of ONNX), x (rows; null: missing), and `score` (raw), `value`, or `probabilities` of them;
of one of LightGBM's also `shap` and `base` by the package shap."""
import base64, gzip, json, os, sys, tempfile, types

sys.path = [path for path in sys.path if "dist-packages" not in path]
sys.modules.setdefault("coverage", None)
import lightgbm, numpy as np, shap, xgboost
from skl2onnx import to_onnx
from sklearn import datasets, ensemble, linear_model, tree

ROWS = 25
random = np.random.default_rng(1)


def load(loader, missing=0.0):
    x, y = loader(return_X_y=True)
    x = x[:, :8].astype("f4").astype(float)
    x[random.random(x.shape) < missing] = np.nan
    return x, y


def numbers(x):
    return [None if np.isnan(v) else float(v) for v in x]


def case(name, file, x, **expected):
    return dict(name=name, file=file, x=[numbers(row) for row in x[:ROWS]], **{key: np.asarray(value)[:ROWS].tolist() if np.ndim(value) else float(value) for key, value in expected.items()})


def lightgbm_cases():
    two, numbers_, three = load(datasets.load_breast_cancer, .05), load(datasets.load_diabetes, .02), load(datasets.load_wine)
    for name, (x, y), options in (("binary", two, {}), ("regression", numbers_, {}), ("multiclass", three, {"num_class": 3}), ("quantile", numbers_, {"alpha": .3}),
                                  ("binary", two, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": .6})):
        model = lightgbm.train({"objective": name, "verbose": -1, "num_leaves": 8, **options}, lightgbm.Dataset(x, y, feature_name=[f"x{i}" for i in range(8)]), 12)
        text, is_forest = model.model_to_string(), "boosting" in options
        if name == "multiclass" or is_forest:
            said = model.predict(x)
            yield case(f"lightgbm {'rf' if is_forest else name}", text, x, probabilities=np.stack([1 - said, said], 1) if is_forest else said)
        else:
            expected = dict(score=model.predict(x, raw_score=True))
            if name == "binary":
                explainer = shap.TreeExplainer(model)
                values = explainer.shap_values(x[:ROWS])
                expected.update(shap=values[1] if isinstance(values, list) else values, base=np.ravel(explainer.expected_value)[-1])
            yield case(f"lightgbm {name}", text, x, **expected)


def xgboost_cases():
    for name, (x, y), options in (("binary:logistic", load(datasets.load_breast_cancer, .05), {}), ("reg:squarederror", load(datasets.load_diabetes, .02), {}),
                                  ("multi:softprob", load(datasets.load_wine), {"num_class": 3})):
        data = xgboost.DMatrix(x, y, feature_names=[f"x{i}" for i in range(8)])
        model = xgboost.train({"objective": name, "max_depth": 3, **options}, data, 12)
        with tempfile.TemporaryDirectory() as folder:
            model.save_model(os.path.join(folder, "m.json"))
            text = open(os.path.join(folder, "m.json")).read()
        expected = dict(probabilities=model.predict(data)) if "multi" in name else dict(score=model.predict(data, output_margin=True))
        yield case(f"xgboost {name}", text, x, **expected)


def onnx_cases():
    two, numbers_, three = load(datasets.load_breast_cancer), load(datasets.load_diabetes), load(datasets.load_wine)
    for name, model, (x, y) in (("logistic of two", linear_model.LogisticRegression(max_iter=5000), two), ("logistic of three", linear_model.LogisticRegression(max_iter=5000), three),
                                ("ridge", linear_model.Ridge(), numbers_), ("forest of two", ensemble.RandomForestClassifier(8, max_depth=5, random_state=1), two),
                                ("forest of three", ensemble.RandomForestClassifier(8, max_depth=5, random_state=1), three),
                                ("forest of numbers", ensemble.RandomForestRegressor(8, max_depth=5, random_state=1), numbers_), ("tree", tree.DecisionTreeClassifier(random_state=1), three),
                                ("boosting of two", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=1), two),
                                ("boosting of three", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=1), three),
                                ("boosting of numbers", ensemble.GradientBoostingRegressor(n_estimators=10, random_state=1), numbers_)):
        model.fit(x.astype("f4"), y)
        file = base64.b64encode(to_onnx(model, x[:1].astype("f4")).SerializeToString()).decode()
        expected = dict(probabilities=model.predict_proba(x)) if hasattr(model, "predict_proba") else dict(value=model.predict(x))
        yield case(f"onnx {name}", file, x, **expected)


with gzip.GzipFile(sys.argv[1], "wb", mtime=0) as out:
    out.write(json.dumps([*lightgbm_cases(), *xgboost_cases(), *onnx_cases()]).encode())
