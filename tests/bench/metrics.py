#!/usr/bin/python3
"""Metrics, evaluation and tuning: `make bench-metrics` (REC_DATA=DIR for the section evaluate).

    metrics.py BUILD [WORD ...]     only the sections whose name contains a word: auc, evaluate, tpe, halving

auc       rec_auc over 10 million rows of a file beside scikit-learn reading the same rows through sqlite3, each in a process of its own
evaluate  rec_evaluate of 100,000 users, k = 20: Diginetica's sessions as users, the last click held out
tpe       the samplers on a real tuning task, 30 seeds each: the best after n trials, and a sign test
halving   the same trials' time spent on few settings or, by successive halving, on many"""
import json, math, os, sqlite3, statistics, subprocess, sys, tempfile, time

BUILD = os.path.abspath(sys.argv[1])
WORDS = sys.argv[2:]
ROUNDS, ROWS = 3, 10_000_000
GOLDEN = os.path.join(BUILD, "golden-packages")  # make golden's scikit-learn
SEEDS = range(1, 31)


def connect(path=":memory:"):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(BUILD, "recommend"))
    return db


def section(name):
    chosen = not WORDS or any(word in name for word in WORDS)
    if chosen:
        print(f"\n== {name}", flush=True)
    return chosen


# ---- auc ----

def scored_file(path):
    """A tenth positives, scores of two overlapping normal distributions."""
    import numpy as np
    draw = np.random.default_rng(1)
    label = (draw.random(ROWS) < .1).astype(int)
    score = draw.normal(size=ROWS) + label
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE scored(label INTEGER, score REAL)")
    db.executemany("INSERT INTO scored VALUES(?, ?)", zip(label.tolist(), score.tolist()))
    db.commit()


ONE_RUN = {
    "scan alone: sum(score)": "value = connect(path).execute('SELECT sum(label * score) FROM scored').fetchone()[0]",
    "rec_auc": "value = connect(path).execute('SELECT rec_auc(label, score) FROM scored').fetchone()[0]",
    "rec_auc_approx": "value = connect(path).execute('SELECT rec_auc_approx(label, score) FROM scored').fetchone()[0]",
    "rec_auc, weights": "value = connect(path).execute('SELECT rec_auc(label, score, 1) FROM scored').fetchone()[0]",
    "rec_pr_auc": "value = connect(path).execute('SELECT rec_pr_auc(label, score) FROM scored').fetchone()[0]",
    "scikit-learn, fetchall": "rows = np.array(connect(path).execute('SELECT label, score FROM scored').fetchall()); value = roc_auc_score(rows[:, 0], rows[:, 1])",
    "scikit-learn, fromiter": "rows = np.fromiter(connect(path).execute('SELECT label, score FROM scored'), [('l', 'i4'), ('s', 'f8')]); value = roc_auc_score(rows['l'], rows['s'])",
}


def in_process(code, path):
    """(value, seconds, MiB above the start at the peak)."""
    script = f"""import sqlite3, sys, time
def peak():  # MiB; ru_maxrss would begin with the parent's
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
sys.path.insert(0, {GOLDEN!r})
def connect(path):
    db = sqlite3.connect(path)
    db.enable_load_extension(True)
    db.load_extension({os.path.join(BUILD, "recommend")!r})
    return db
{"import numpy as np; from sklearn.metrics import roc_auc_score" if "sklearn" in code or "roc_auc" in code else ""}
path, before = {path!r}, peak()
started = time.perf_counter()
{code}
print(repr(float(value)), time.perf_counter() - started, peak() - before)"""
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    return [float(word) for word in out]


def auc():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "scored.db")
        scored_file(path)
        in_process(ONE_RUN["scan alone: sum(score)"], path)
        got = {name: [] for name in ONE_RUN}
        for _ in range(ROUNDS):
            for name, code in ONE_RUN.items():
                got[name].append(in_process(code, path))
    seconds = {name: statistics.median(run[1] for run in runs) for name, runs in got.items()}
    for name, runs in got.items():
        print(f"  {name:24} {seconds[name]:6.2f} s   {max(run[2] for run in runs):6.0f} MiB   {runs[0][0]:.12f}", flush=True)
    best = min(seconds["scikit-learn, fetchall"], seconds["scikit-learn, fromiter"])
    print(f"  rec_auc is {best / seconds['rec_auc']:.1f} x as fast as the faster way to scikit-learn, {seconds['scikit-learn, fetchall'] / seconds['rec_auc']:.1f} x as the plain one (target 5)")


# ---- evaluate ----

def evaluate():
    import gzip
    folder = os.path.join(os.environ.get("REC_DATA", ""), "diginetica")
    if not os.path.isdir(folder):
        print("  skipped: REC_DATA has no diginetica")
        return
    db = connect()
    db.execute("CREATE TABLE clicks(user INTEGER, item INTEGER, t INTEGER)")
    name = next(name for name in sorted(os.listdir(folder)) if name.startswith("train_sessions"))
    with gzip.open(os.path.join(folder, name), "rt") as lines:
        sessions = [list(map(int, line.split())) for line in lines]
    db.execute("BEGIN")
    taken = 0
    for user, items in enumerate(sessions):
        if taken < 100_000 and len(set(items)) >= 2 and items[-1] not in items[:-1]:
            taken += 1
            db.executemany("INSERT INTO clicks VALUES(?, ?, ?)", [(user, item, 1 if at + 1 == len(items) else 0) for at, item in enumerate(items)])
    db.execute("COMMIT")
    db.executescript("CREATE INDEX clicks_user ON clicks(user); CREATE VIEW held AS SELECT user, item FROM clicks WHERE t = 1;")
    print(f"  {taken} users, {db.execute('SELECT count(*), count(DISTINCT item) FROM clicks').fetchone()} clicks and items")
    for algorithm, more in (("popular", ""), ("item_knn", ""), ("slim", ""), ("ials", ", factors=64")):
        db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=clicks, user=user, item=item, time=t, algorithm={algorithm}{more})")
        db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"until\":1}')")
        for options in ('{"k":20}', '{"k":20,"bootstrap":0}'):
            took = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                rows = db.execute("SELECT model, metric, value, users FROM rec_evaluate('m', 'held', ?)", (options,)).fetchall()
                took.append(time.perf_counter() - started)
            ndcg = next(row for row in rows if row[:2] == ("m", "ndcg"))
            print(f"  {algorithm:9} {options:24} {statistics.median(took):6.2f} s   {ndcg[3] / statistics.median(took):9.0f} users/s, the popular list's included   ndcg@20 {ndcg[2]:.4f}", flush=True)
        db.execute("DROP TABLE m")


# ---- tuning ----

def gift_shop():
    """Online Retail's purchases; a model to tune."""
    import csv, gzip
    db = connect()
    db.execute("CREATE TABLE lines(customer TEXT, item TEXT, quantity INTEGER, at INTEGER)")
    with gzip.open(os.path.join("data", "online_retail.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        rows = [(r["CustomerID"], r["StockCode"], int(r["Quantity"]), r["InvoiceDate"]) for r in csv.DictReader(file) if r["CustomerID"] and not r["InvoiceNo"].startswith("C")]
    db.executemany("INSERT INTO lines VALUES(?, ?, ?, unixepoch(?))", [row for row in rows if row[2] > 0])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=lines, user=customer, item=item, weight=quantity, time=at)")
    return db


def best_so_far(db, **options):
    db.execute("SELECT rec_tune('m', ?)", (json.dumps({"activate": "never", **options}),)).fetchone()
    values = [row[0] for row in db.execute("SELECT value FROM rec_trials WHERE tuning = (SELECT max(tuning) FROM rec_trials) ORDER BY trial")]
    best, curve = -math.inf, []
    for value in values:
        best = max(best, -math.inf if value is None else value)
        curve.append(best)
    return curve


def sign_test(wins, losses):
    """Two-sided: how likely a split as uneven as this is by chance."""
    n = wins + losses
    return min(1, 2 * sum(math.comb(n, i) for i in range(max(wins, losses), n + 1)) / 2**n) if n else 1


def tpe():
    db, trials = gift_shop(), 30
    for algorithm in ("item_knn", "slim"):
        curve = {sampler: [best_so_far(db, algorithm=algorithm, sampler=sampler, trials=trials, seed=seed) for seed in SEEDS] for sampler in ("random", "tpe")}
        print(f"  {algorithm}: mean of the best ndcg@10 after n trials, {len(SEEDS)} seeds")
        for n in (5, 10, 15, 20, 25, 30):
            mean = {sampler: statistics.mean(c[min(n, len(c)) - 1] for c in curves) for sampler, curves in curve.items()}
            wins, losses = (sum(sign * (t[min(n, len(t)) - 1] - r[min(n, len(r)) - 1]) > 0 for t, r in zip(curve["tpe"], curve["random"])) for sign in (1, -1))
            print(f"    {n:3}   random {mean['random']:.5f}   tpe {mean['tpe']:.5f}   {'#' * round((mean['tpe'] - mean['random']) * 2e4)}   tpe better {wins}, worse {losses}, p {sign_test(wins, losses):.4f}", flush=True)


def halving():
    db = gift_shop()
    for algorithm in ("item_knn", "slim", "ials"):
        for name, options in (("9 settings on everybody", {"trials": 9}), ("14, halving 3, least_share .3", {"trials": 14, "halving": 3}), ("27, halving 3, least_share .1", {"trials": 27, "halving": 3, "least_share": .1})):
            got, started = [], time.perf_counter()
            for seed in SEEDS[:10]:
                answer = json.loads(db.execute("SELECT rec_tune('m', ?)", (json.dumps({"activate": "never", "algorithm": algorithm, "sampler": "random", "seed": seed, **options}),)).fetchone()[0])
                got.append(answer["value"])
            print(f"  {algorithm:9} {name:30} ndcg@10 mean {statistics.mean(got):.4f}, {min(got):.4f} to {max(got):.4f}   {(time.perf_counter() - started) / 10:5.1f} s a tuning", flush=True)


for part in (auc, evaluate, tpe, halving):
    if section(part.__name__):
        part()
