"""The reference figures on the whole of Online Retail: train before 2011-11-09, judge NDCG@10 on what came afterwards."""
import functools
import pathlib
import shutil
import subprocess
import tempfile

from support import ROOT, Skip, claim_each, connect, create_model, same, train

CUT = 1320796800  # 2011-11-09 00:00 UTC
folder = tempfile.TemporaryDirectory(prefix="rec-oracle-")


@functools.lru_cache(None)
def _shop():
    if not shutil.which("sqlite3"):
        raise Skip("no sqlite3 shell to load the sample with")
    path = pathlib.Path(folder.name) / "shop.db"
    with open(ROOT / "sql" / "shop.sql", encoding="utf-8") as script:
        done = subprocess.run(["sqlite3", str(path)], stdin=script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"sql/shop.sql: {done.stderr.strip()}"
    db = connect(path)
    db.execute(f"CREATE VIEW holdout_all AS SELECT DISTINCT customer_id, stock_code FROM reference_purchases WHERE bought_at >= {CUT}")
    db.execute(f"""CREATE VIEW holdout_new AS SELECT * FROM holdout_all h WHERE NOT EXISTS (SELECT 1 FROM reference_purchases p
                   WHERE p.customer_id = h.customer_id AND p.stock_code = h.stock_code AND p.bought_at < {CUT})""")
    return db


@functools.lru_cache(None)
def _figures(algorithm):
    """{'new' | 'all': (NDCG@10, users)} with default settings."""
    db, name = _shop(), "ref_" + algorithm
    create_model(db, name, events="reference_purchases", weight=None, algorithm=algorithm)
    train(db, name, '{"until":%d}' % CUT)
    out = {}
    for which, exclude in (("new", "true"), ("all", "false")):
        options = '{"exclude_seen":%s,"bootstrap":0}' % exclude
        (out[which],) = db.execute("SELECT value, users FROM rec_evaluate(?, ?, ?) WHERE metric = 'ndcg' AND k = 10 AND model = ?",
                                   (name, "holdout_" + which, options, name)).fetchall()
    return out


@claim_each({"new products": ("new", .034, 1295), "with repeats": ("all", .0806, 1396)})
def popular_reaches_the_published_figure(which, want, want_users):
    value, users = _figures("popular")[which]
    same(users, want_users, "judged users")
    assert abs(value - want) <= .001, f"NDCG@10 is {value:.4f}, expected {want} +- .001"


@claim_each({"item_knn new products": ("item_knn", "new", .080), "ials new products": ("ials", "new", .093), "ials with repeats": ("ials", "all", .258)})
def default_settings_reach(algorithm, which, least):
    value, _ = _figures(algorithm)[which]
    assert value >= least, f"NDCG@10 is {value:.4f}, expected at least {least}"
