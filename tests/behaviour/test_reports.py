"""sql/reports at the sqlite3 prompt: they run, and say what the tables say."""
import json, os, re, subprocess

from support import EXTENSION, equal, make_events, make_model, one, rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CUT = 700


def shop_of(shop):
    db = shop.connect("shop.db")
    make_events(db, users=80, items=60)
    db.execute(f"""CREATE VIEW later AS SELECT e.user, e.item, CASE WHEN user % 2 THEN 'odd' ELSE 'even' END AS side FROM events e WHERE t >= {CUT} GROUP BY e.user, e.item
                   HAVING NOT EXISTS (SELECT 1 FROM events b WHERE b.user = e.user AND b.item = e.item AND b.t < {CUT})""")
    make_model(db, "recs", "ials", train=False, more=", factors=8, sweeps=3")
    make_model(db, "pops", "popular", train=False)
    for name in ("recs", "pops"):
        db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', '{{\"until\":{CUT}}}')")
    return db


def report(shop, name, before=""):
    """The rows of a report, each a list of cells, in the tables that it prints."""
    script = f".load {EXTENSION}\n.mode list\n.separator ~\n{before}\n.read {ROOT}/sql/reports/{name}.sql\n"
    done = subprocess.run(["sqlite3", "-bail", shop.path("shop.db")], input=script, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and "rror" not in done.stdout, f"{name}: {done.stdout} {done.stderr}"
    tables = {}
    for line in done.stdout.splitlines():
        if line.startswith("== "):
            tables[line[3:]] = title = []
        elif line:
            title.append(line.split("~"))
    return list(tables.values())


def test_models(shop):
    db = shop_of(shop)
    db.execute("INSERT INTO recs(recs, arg) VALUES('train', '{\"factors\":4}')")
    models, versions, deployments = report(shop, "models")
    equal([row[:4] for row in models], [["pops", "popular", "1", "1"], ["recs", "ials", "2", "2"]])
    equal([row[4:5] + row[2:4] for row in versions][-1], ["factors=4", "<- serves", "ials"], "what differs from the version before")
    equal(deployments, [["pops", "1", "1", "train"], ["recs", "2", "2", "train"], ["recs", "1", "1", "train"]])


def test_evaluation(shop):
    db = shop_of(shop)
    options = '{"k":5,"by":"side"}'
    accuracy, beyond, segments = report(shop, "evaluation", f".parameter set @model recs\n.parameter set @holdout later\n.parameter set @options {options}")
    want = {(model, metric, segment): value for model, metric, value, segment in rows(db, "SELECT model, metric, value, segment FROM rec_evaluate('recs', 'later', ?)", options)}
    equal([(row[0], row[1], row[3]) for row in accuracy], [(f"{metric}@5", f"{want['recs', metric, None]:.4f}", f"{want['popular', metric, None]:.4f}") for metric in ("precision", "recall", "hit", "rr", "ap", "ndcg")])
    assert all(re.fullmatch("#+[.]+", row[5]) for row in accuracy), accuracy
    equal([row[0] for row in beyond], [f"{metric}@5" for metric in ("serendipity", "popularity_lift", "coverage", "gini", "novelty", "personalization")])
    equal(sorted((row[0], row[2]) for row in segments), [(side, f"{want['recs', 'ndcg', side]:.4f}") for side in ("even", "odd")])
    equal(len(report(shop, "evaluation", ".parameter set @model recs\n.parameter set @holdout later")[0]), 6, "without options")


def test_comparison(shop):
    db = shop_of(shop)
    got, = report(shop, "comparison", ".parameter set @a pops\n.parameter set @b recs\n.parameter set @holdout later")
    for row, (metric, a, b, low, high, users) in zip(got, rows(db, "SELECT metric, a, b, ci_low, ci_high, users FROM rec_compare('pops', 'recs', 'later')"), strict=True):
        equal(row[:3] + row[6:], [f"{metric}@10", f"{a:.4f}", f"{b:.4f}", str(users), "b is higher" if low > 0 else "a is higher" if high < 0 else "no difference seen"])


def test_tuning(shop):
    db = shop_of(shop)
    db.execute("INSERT INTO recs(recs, arg) VALUES('tune', ?)", (json.dumps({"algorithm": "item_knn", "trials": 9, "activate": "never", "space": {"neighbours": {"min": 1, "max": 40}, "similarity": ["cosine", "bm25"]}}),))
    summary, best, five, decided, options = report(shop, "tuning", ".parameter set @model recs")
    values = [row[0] for row in rows(db, "SELECT value FROM rec_trials ORDER BY trial")]
    equal((summary[0][0], summary[0][1], summary[0][4]), ("10", "0", "ndcg@10"))
    equal([int(row[0]) for row in best], [n for n, value in enumerate(values, 1) if all(value > other for other in values[:n - 1])])
    equal([row[1] for row in five], [f"{value:.5f}" for value in sorted(values, reverse=True)[:5]])
    equal([row[1] for row in options], ["neighbours"] * 3 + ["similarity"] * len(set(row[0] for row in rows(db, "SELECT options ->> 'similarity' FROM rec_trials WHERE options ->> 'similarity' IS NOT NULL"))))
    equal(sum(int(row[3]) for row in options if row[1] == "neighbours"), 9)


def test_training(shop):
    db = shop_of(shop)
    got, = report(shop, "training", ".parameter set @model recs")
    equal([row[1:3] for row in got], [[str(sweep), f"{objective:.6g}"] for sweep, objective in rows(db, "SELECT sweep, objective FROM rec_training_log WHERE model = 'recs'")])


def test_scores(shop):
    db = shop_of(shop)
    db.execute("CREATE TABLE predictions AS SELECT rowid % 3 = 0 AS bought, (rowid * 37 % 101) / 100.0 AS p FROM events")
    scores, roc, calibration = report(shop, "scores", "CREATE TEMP VIEW report_scores AS SELECT bought AS label, p AS score FROM predictions;")
    equal(scores[0][2], f"{one(db, 'SELECT rec_auc(bought, p) FROM predictions'):.4f}")
    equal((len(roc), roc[-1][:2]), (21, ["1.00", "1.000"]))
    equal(sum(int(row[1]) for row in calibration), one(db, "SELECT count(*) FROM predictions"))


def test_drift(shop):
    db = shop_of(shop)
    periods, new, shifts, gained = report(shop, "drift", f"CREATE TEMP VIEW report_events AS SELECT user, item, n AS amount, t AS at FROM events;\n.parameter set @cut {CUT}")
    equal([int(row[1]) for row in periods], [one(db, "SELECT count(*) FROM events WHERE t < ?", CUT), one(db, "SELECT count(*) FROM events WHERE t >= ?", CUT)])
    equal(shifts[0][1], f"{one(db, 'SELECT rec_psi(t >= ?, n) FROM events', CUT):.3f}")
    equal((len(new[0]), len(gained)), (2, 10))
