"""rec_index against brute force in float64."""
import functools

import numpy as np

from support import blob, claim, claim_each, close, connect, same

N, DIM, COLOURS = 20000, 96, 7
METRICS = {metric: (metric,) for metric in ("ip", "l2", "cosine")}


@functools.lru_cache(None)
def _data():
    """Vectors, of which some are the same (ties in every metric) and some doubled (ties in cosine), and queries."""
    random = np.random.default_rng(11)
    x = random.normal(0, 1, (N, DIM)).astype("<f4")
    original, copies = random.choice(N // 2, 300, replace=False), N // 2 + random.choice(N // 2, 1200, replace=False)
    x[copies[:900]] = np.tile(x[original], (3, 1))
    x[copies[900:]] = 2 * x[original]  # exact in float32, and so is the cosine's tie in float64
    queries = random.normal(0, 1, (30, DIM)).astype("<f4")
    queries[:15] += x[original[:15]]  # half of the queries are near a tie
    return x, queries


def _scores(metric, x, query):
    """Row sums, not a matrix product: BLAS rounds equal rows differently."""
    x, query = x.astype(float), query.astype(float)
    if metric == "l2":
        return -np.sqrt(((x - query) ** 2).sum(1))
    dot = (x * query).sum(1)
    return dot if metric == "ip" else dot / np.sqrt((x * x).sum(1)) / np.sqrt((query * query).sum())


@functools.lru_cache(None)
def _all_scores(metric):
    x, queries = _data()
    return [_scores(metric, x, query) for query in queries]


def _best(scores, ids, k):
    """(ids, scores), best first, ties by id."""
    order = np.lexsort((ids, -scores[ids]))[:k]
    return ids[order], scores[ids[order]]


@functools.lru_cache(None)
def _index(metric):
    db = connect()
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(embedding float[{DIM}], metric={metric}, index=exact, colour integer)")
    x, _ = _data()
    db.execute("BEGIN")
    db.executemany("INSERT INTO t(rowid, embedding, colour) VALUES(?,?,?)", ((3 * i + 1, blob(x[i]), i % COLOURS) for i in range(N)))
    db.execute("COMMIT")
    return db


def _compare(metric, where, chosen, parameters=()):
    """All queries, for k = 10 and 100, among the `chosen` row numbers (rowid 3 i + 1)."""
    db = _index(metric)
    for number, (query, scores) in enumerate(zip(_data()[1], _all_scores(metric))):
        for k in (10, 100):
            ids, want = _best(scores, chosen, k)
            rows = db.execute(f"SELECT rowid, score FROM t WHERE embedding MATCH ? AND k = ?{where} ORDER BY rank",
                              (blob(query), k, *parameters)).fetchall()
            what = f"{metric} query {number} k={k}"
            same([row[0] for row in rows], [int(3 * i + 1) for i in ids], f"{what}: ids")
            close([row[1] for row in rows], want, 1e-6, f"{what}: scores", scale=np.maximum(1, np.abs(want)))


@claim_each(METRICS)
def exact_index_returns_what_brute_force_returns(metric):
    _compare(metric, "", np.arange(N))


@claim_each(METRICS)
def a_metadata_filter_acts_inside_the_search(metric):
    _compare(metric, " AND colour = 4", np.arange(4, N, COLOURS))
    _compare(metric, " AND colour < 2", np.flatnonzero(np.arange(N) % COLOURS < 2))


@claim_each(METRICS)
def a_rowid_list_acts_inside_the_search(metric):
    chosen = np.sort(np.random.default_rng(12).choice(N, 150, replace=False))
    listed = ",".join(str(3 * i + 1) for i in chosen)
    _compare(metric, f" AND rowid IN ({listed})", chosen)


@claim_each(METRICS)
def hnsw_finds_nine_of_ten_and_its_scores_are_exact(metric):
    dim = 64
    random = np.random.default_rng(13)
    centres = random.normal(0, 1, (200, dim))
    x = (centres[random.integers(0, 200, N)] + random.normal(0, .3, (N, dim))).astype("<f4")
    queries = (centres[random.integers(0, 200, 100)] + random.normal(0, .3, (100, dim))).astype("<f4")
    db = connect()
    db.execute(f"CREATE VIRTUAL TABLE h USING rec_index(embedding float[{dim}], metric={metric}, index='HNSW32')")
    db.execute("BEGIN")
    db.executemany("INSERT INTO h(rowid, embedding) VALUES(?,?)", ((i, blob(x[i])) for i in range(N)))
    db.execute("COMMIT")
    db.execute("INSERT INTO h(h) VALUES('optimize')")
    found = 0
    for query in queries:
        scores = _scores(metric, x, query)
        rows = db.execute("SELECT rowid, score FROM h WHERE embedding MATCH ? AND k = 10 ORDER BY rank", (blob(query),)).fetchall()
        ids = [row[0] for row in rows]
        same(len(set(ids)), 10, "distinct rows")
        found += len(set(ids) & set(_best(scores, np.arange(N), 10)[0].tolist()))
        close([row[1] for row in rows], scores[ids], 1e-6, "scores", scale=np.maximum(1, np.abs(scores[ids])))
        assert all(a >= b for a, b in zip(scores[ids], scores[ids][1:])), "rows are not in the order of the exact scores"
    recall = found / (10 * len(queries))
    assert recall >= .9, f"recall@10 is {recall:.3f} (at least .9)"
