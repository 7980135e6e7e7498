#!/usr/bin/python3
"""Recommenders beside `implicit` (PyPI) and the machine's own limits, in one run: `REC_DATA=DIR make bench-models`.

    models.py BUILD [WORD ...]     only the sections whose name contains a word: knn, ials, ranking, ease, scaling

Yelp2018 (REC_DATA/yelp2018), two threads each. Ours is rec_versions.trained_seconds: reading and storing are apart, as for implicit,
which gets a matrix. Contenders take turns; the median of ROUNDS."""
import gzip, json, os, resource, sqlite3, statistics, subprocess, sys, tempfile, time

ROUNDS = 3
BUILD = os.path.abspath(sys.argv[1])
WORDS = sys.argv[2:]
PACKAGES = os.path.join(BUILD, "bench-models")
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # implicit's own advice


def install():
    if not os.path.isdir(os.path.join(PACKAGES, "implicit")):
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", PACKAGES, "implicit==0.7.3"], check=True, capture_output=True)
    sys.path.insert(0, PACKAGES)


def pairs(path):
    with gzip.open(path, "rt") as lines:
        for line in lines:
            user, *items = map(int, line.split())
            yield from ((user, item) for item in items)


def connect(events, **views):
    db = sqlite3.connect(os.path.join(tempfile.mkdtemp(), "bench.db"))
    db.enable_load_extension(True)
    db.load_extension(os.path.join(BUILD, "recommend"))
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, part INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?, ?)", events)
    db.executescript("CREATE INDEX events_user ON events(user); CREATE VIEW train AS SELECT user, item FROM events WHERE part = 0; CREATE VIEW valid AS SELECT user, item FROM events WHERE part = 1;")
    return db


def train(db, algorithm, **options):
    """Seconds of the computing alone."""
    db.execute("DROP TABLE IF EXISTS m")
    db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=train, user=user, item=item, scale=binary, threads=2, algorithm={algorithm})")
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps(options),))
    return db.execute("SELECT trained_seconds FROM rec_versions WHERE model = 'm'").fetchone()[0]


def timed(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def turns(**contenders):
    """Medians of ROUNDS rounds, each contender once a round."""
    got = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            got[name].append(run())
    return {name: statistics.median(values) for name, values in got.items()}


def row(*cells):
    print("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True)


def knn(db, matrix):
    import implicit.nearest_neighbours as nn
    row("item_knn fit, 100 neighbours", "ours s", "implicit s", "ours / implicit")
    row(*["---"] * 4)
    cosine = 0
    for name, kind in (("cosine", nn.CosineRecommender), ("tfidf", nn.TFIDFRecommender), ("bm25", nn.BM25Recommender)):
        got = turns(ours=lambda: train(db, "item_knn", similarity=name, neighbours=100), theirs=lambda: timed(lambda: kind(K=100, num_threads=2).fit(matrix, show_progress=False)))
        cosine = cosine or got["ours"]
        row(name, got["ours"], got["theirs"], got["ours"] / got["theirs"])
    walk = turns(ours=lambda: train(db, "item_knn", similarity="rp3beta", neighbours=100))["ours"]
    row("rp3beta beside our cosine", walk, "", walk / cosine)


def als(matrix, factors, cg, sweeps):
    from implicit.als import AlternatingLeastSquares
    model = AlternatingLeastSquares(factors=factors, regularization=1, alpha=1, iterations=sweeps, use_cg=cg, num_threads=2, use_gpu=False, random_state=1)
    return timed(lambda: model.fit(matrix, show_progress=False)), model


def ials(db, matrix):
    row("a sweep of users and items", "ours, exact, s", "implicit Cholesky s", "implicit CG s", "Cholesky / ours")
    row(*["---"] * 5)
    for factors in (64, 128):
        options = {"factors": factors, "unobserved_weight": .1, "confidence": 0}
        per_sweep = lambda run: (run(4) - run(1)) / 3
        got = turns(ours=lambda: per_sweep(lambda n: train(db, "ials", sweeps=n, **options)), cholesky=lambda: per_sweep(lambda n: als(matrix, factors, False, n)[0]),
                    cg=lambda: per_sweep(lambda n: als(matrix, factors, True, n)[0]))
        row(f"d = {factors}", got["ours"], got["cholesky"], got["cg"], got["cholesky"] / got["ours"])
    print("\nTo the validation NDCG@20 that implicit's default (CG, 15 iterations, its best of alpha 1, 10 and regularization 1, 10, 30) reaches:\n")
    row("d", "implicit NDCG@20", "s", "ours NDCG@20", "sweeps", "s", "ours / implicit")
    row(*["---"] * 7)
    for factors in (64, 128):
        seconds, best = min_quality(db, matrix, factors)
        for sweeps in range(3, 16):
            own = train(db, "ials", factors=factors, sweeps=sweeps, unobserved_weight=.1, confidence=0, reg=.0003)
            quality = dict(db.execute("SELECT metric, value FROM rec_evaluate('m', 'valid', '{\"k\":20,\"bootstrap\":0}') WHERE model = 'm'"))["ndcg"]
            if quality >= best:
                break
        row(factors, best, seconds, quality, sweeps, own, own / seconds)


def min_quality(db, matrix, factors):
    """implicit's seconds and NDCG@20 on the validation part at its best of a small grid."""
    import numpy as np
    from implicit.als import AlternatingLeastSquares
    valid = {}
    for user, item in db.execute("SELECT user, item FROM valid"):
        valid.setdefault(user, set()).add(item)
    users = np.array(sorted(valid))
    best = (0, 0)
    for alpha in (1, 10):
        for regularization in (1, 10, 30):
            model = AlternatingLeastSquares(factors=factors, regularization=regularization, alpha=alpha, num_threads=2, use_gpu=False, random_state=1)
            seconds = timed(lambda: model.fit(matrix, show_progress=False))
            ids, _ = model.recommend(users, matrix[users], N=20)
            discount = 1 / np.log2(np.arange(2, 22))
            ndcg = np.mean([sum(discount[r] for r, item in enumerate(found) if item in valid[user]) / discount[:len(valid[user])].sum() for user, found in zip(users, ids)])
            best = max(best, (ndcg, seconds))
    return best[1], float(best[0])


def ranking(db, matrix):
    import numpy as np
    train(db, "ials", factors=64, sweeps=4, unobserved_weight=.1, confidence=0)
    model = als(matrix, 64, True, 2)[1]
    got = turns(ours=lambda: timed(lambda: db.execute("SELECT count(*), sum(score) FROM m WHERE k = 20").fetchone()), theirs=lambda: timed(lambda: model.recommend(np.arange(matrix.shape[0]), matrix, N=20)))
    row("full ranking of all users, ials d = 64, k = 20", "ours through SQL, histories read, s", "implicit.recommend s", "ours / implicit")
    row(*["---"] * 4)
    row(f"{matrix.shape[0]} x {matrix.shape[1]}", got["ours"], got["theirs"], got["ours"] / got["theirs"])


def sgemm_rate():
    """Floating point operations a second of the machine's OpenBLAS on two threads, 4096 x 4096."""
    script = "import numpy as np, time\na = np.ones((4096, 4096), 'f4'); a @ a\nbest = 1e9\nfor _ in range(5):\n t = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - t)\nprint(2 * 4096 ** 3 / best)"
    return float(subprocess.run(["/usr/bin/python3", "-c", script], env={**os.environ, "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": ""}, capture_output=True, text=True, check=True).stdout)


def ease(db, matrix):
    rate = sgemm_rate()
    n = 16384
    seconds = train(db, "ease", reg=300, neighbours=500, max_items=n)
    quality = dict(db.execute("SELECT metric, value FROM rec_evaluate('m', 'valid', '{\"k\":20,\"bootstrap\":0}') WHERE model = 'm'"))
    row("ease, items", "s", "I^3 flop a second", "sgemm's rate", "share", "peak GiB", "validation recall@20")
    row(*["---"] * 7)
    row(n, seconds, n ** 3 / seconds, rate, n ** 3 / seconds / rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20, quality["recall"])


def scaling(db, matrix):
    """Synthetic events with a long tail: users, items and events grow together, or events alone."""
    import numpy as np
    row("events", "item_knn s", "rp3beta s", "ials d = 64, 3 sweeps, s", "slim s", "graph gfcf s", "bpr 5 sweeps s")
    row(*["---"] * 7)
    seconds, sizes = {}, (100_000, 200_000, 400_000, 800_000)
    for events in sizes:
        draw = np.random.default_rng(1)
        users, items = events // 20, events // 50
        popularity = 1 / (np.arange(items) + 10)
        made = set(zip(draw.integers(users, size=events).tolist(), draw.choice(items, size=events, p=popularity / popularity.sum()).tolist()))
        own = connect(((u, i, 0) for u, i in sorted(made)))
        cells = [statistics.median(train(own, algorithm, **options) for _ in range(3)) for algorithm, options in (
            ("item_knn", {}), ("item_knn", {"similarity": "rp3beta", "neighbours": 500}), ("ials", {"sweeps": 3}), ("slim", {}), ("graph", {"filter": "gfcf", "factors": 64}), ("bpr", {"sweeps": 5}))]
        seconds[events] = cells
        row(f"{len(made):,} ({users:,} x {items:,})", *cells)
    first, last = seconds[sizes[0]], seconds[sizes[-1]]
    row("exponent", *(float(np.log(b / a) / np.log(8)) for a, b in zip(first, last)))


def main():
    install()
    import numpy as np
    import scipy.sparse as sparse
    import random
    draw = random.Random(20)
    events = []
    by_user = {}
    for user, item in pairs(os.path.join(os.environ["REC_DATA"], "yelp2018", "train.txt.gz")):
        by_user.setdefault(user, []).append(item)
    for user, items in by_user.items():
        held = set(draw.sample(items, len(items) // 10))
        events += [(user, item, int(item in held)) for item in items]
    db = connect(events)
    kept = [(u, i) for u, i, part in events if part == 0]
    matrix = sparse.csr_matrix((np.ones(len(kept), "f4"), tuple(zip(*kept))))
    print(f"## Recommenders beside implicit: Yelp2018, {matrix.shape[0]:,} x {matrix.shape[1]:,}, {matrix.nnz:,} pairs of train (a tenth held out), 2 threads\n")
    for section in (knn, ials, ranking, ease, scaling):
        if not WORDS or any(word in section.__name__ for word in WORDS):
            section(db, matrix)
            print()


if __name__ == "__main__":
    main()
