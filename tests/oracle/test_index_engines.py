"""Recall of every index engine against brute force, over clustered data; rec_search, rec_recall_at and rebuilds.

Recall is of the 10 nearest by float64 scores over the vectors as given, so for storage=f16 and sq8 it has their rounding in it."""
import functools
import json

import numpy as np

from support import blob, claim, claim_each, close, connect, one, same

N, DIM, QUERIES, K = 20000, 64, 100, 10
CENTRES = 200
PARTS = {".1 %": 1, "1 %": 10, "10 %": 100, "50 %": 500}  # part < this, of 1000
IVF, GRAPH = {"nprobe": 8}, {"ef": 128}

# label: index=, storage=, metric, options of a search, least recall without a filter
ENGINES = {
    "exact": ("exact", "f32", "cosine", {}, 1), "auto": ("auto", "f32", "cosine", GRAPH, .98), "Flat": ("Flat", "f32", "l2", {}, 1),
    "HNSW32": ("HNSW32", "f32", "cosine", GRAPH, .98), "HNSW32 l2": ("HNSW32", "f32", "l2", GRAPH, .98),
    "IVF64,Flat": ("IVF64,Flat", "f32", "l2", IVF, .9), "IVF64,PQ16": ("IVF64,PQ16", "f32", "l2", IVF, .88), "IVF64,SQ8": ("IVF64,SQ8", "f32", "cosine", IVF, .9),
    "PQ4": ("PQ4", "f32", "cosine", {}, .9), "SQ8": ("SQ8", "f32", "l2", {}, .98), "PCA32,IVF64,Flat": ("PCA32,IVF64,Flat", "f32", "l2", IVF, .85),
    "exact f16": ("exact", "f16", "cosine", {}, .99), "exact sq8": ("exact", "sq8", "cosine", {}, .95),
    "HNSW32 sq8": ("HNSW32", "sq8", "l2", GRAPH, .93),
}
EACH = {label: (label,) for label in ENGINES}


@functools.lru_cache(None)
def _data(lognormal=False):
    """Vectors around centres, the centre and a part 0..999 of each, queries like them, and the queries' centres."""
    random = np.random.default_rng(41)
    centres, part = random.normal(0, 1, (CENTRES, DIM)), random.permutation(N) % 1000
    of_row, of_query = random.integers(0, CENTRES, N), random.integers(0, CENTRES, QUERIES)
    x = centres[of_row] + random.normal(0, .5, (N, DIM))
    queries = centres[of_query] + random.normal(0, .5, (QUERIES, DIM))
    if lognormal:
        x = x / np.linalg.norm(x, axis=1, keepdims=True) * random.lognormal(0, .5, (N, 1))
    return x.astype("<f4"), of_row, part, queries.astype("<f4"), of_query


@functools.lru_cache(None)
def _scores(metric, lognormal=False):
    """Queries x rows, in float64."""
    x, _, _, queries, _ = _data(lognormal)
    x, queries = x.astype(float), queries.astype(float)
    dot = queries @ x.T
    if metric == "ip":
        return dot
    squares, query_squares = (x * x).sum(1), (queries * queries).sum(1)
    if metric == "l2":
        return -np.sqrt(np.maximum(0, squares + query_squares[:, None] - 2 * dot))
    return dot / np.sqrt(squares) / np.sqrt(query_squares)[:, None]


def _create(db, index, storage, metric, dim=DIM):
    kept = "" if storage == "f32" else f", storage={storage}"
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(embedding float[{dim}], part integer, centre integer, metric={metric}, index='{index}'{kept})")


@functools.lru_cache(None)
def _index(index, storage, metric, lognormal=False):
    db = connect()
    x, of_row, part, queries, _ = _data(lognormal)
    _create(db, index, storage, metric)
    db.execute("BEGIN")
    db.executemany("INSERT INTO t(rowid, embedding, part, centre) VALUES(?,?,?,?)", ((i, blob(x[i]), int(part[i]), int(of_row[i])) for i in range(N)))
    db.execute("INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":1}')")
    db.execute("CREATE TABLE queries(id INTEGER PRIMARY KEY, v BLOB)")
    db.executemany("INSERT INTO queries VALUES(?,?)", ((i, blob(query)) for i, query in enumerate(queries)))
    db.execute("COMMIT")
    return db


def _search(db, query, options, where="", *parameters):
    return db.execute(f"SELECT rowid, score FROM t WHERE embedding MATCH ? AND k = {K} AND options = ?{where} ORDER BY rank", (blob(query), json.dumps(options), *parameters)).fetchall()


def _recall(db, metric, options, where="", allowed=None, lognormal=False, exact_scores=True):
    """Mean recall of all queries; every list has K rows of those allowed, the best first, with exact scores. allowed: a mask of the rows, or one a query."""
    queries = _data(lognormal)[3]
    found = wanted = 0
    for number, (query, scores) in enumerate(zip(queries, _scores(metric, lognormal))):
        may = np.ones(N, bool) if allowed is None else allowed if allowed.ndim == 1 else allowed[number]
        ids = np.flatnonzero(may)
        best = ids[np.lexsort((ids, -scores[ids]))[:K]]
        text = where.format(centre=_data(lognormal)[4][number])
        rows = _search(db, query, options, text)
        got = [row[0] for row in rows]
        what = f"{metric} {options}{text} query {number}"
        same(len(rows), min(K, len(ids)), f"{what}: rows")
        same(len(set(got)), len(got), f"{what}: distinct rows")
        assert may[got].all(), f"{what}: rows that the filter does not allow"
        if exact_scores:
            close([row[1] for row in rows], scores[got], 1e-6, f"{what}: scores", scale=np.maximum(1, np.abs(scores[got])))
        assert all(a[1] >= b[1] for a, b in zip(rows, rows[1:])), f"{what}: the best first"
        found += len(set(got) & set(best.tolist()))
        wanted += len(best)
    return found / wanted


def _at_least(recall, least, what):
    assert recall >= least, f"{what}: recall@{K} is {recall:.4f} (at least {least:.4f})"


@claim_each(EACH)
def an_engine_finds_the_nearest(label):
    index, storage, metric, options, least = ENGINES[label]
    _at_least(_recall(_index(index, storage, metric), metric, options, exact_scores=storage == "f32"), least, label)


@claim_each(EACH)
def filters_of_any_selectivity_give_k_near_rows(label):
    index, storage, metric, options, _ = ENGINES[label]
    options = {"nprobe": 32} if options == IVF else options
    for share, parts in PARTS.items():
        recall = _recall(_index(index, storage, metric), metric, options, f" AND part < {parts}", _data()[2] < parts, exact_scores=storage == "f32")
        _at_least(recall, .93 if storage == "sq8" else .95, f"{label}, a filter that leaves {share}")


@claim_each({label: (label,) for label in ("HNSW32", "IVF64,Flat", "IVF64,PQ16", "SQ8")})
def a_filter_that_leaves_out_the_query_s_own_surroundings_gives_k_near_rows(label):
    index, storage, metric, options, _ = ENGINES[label]
    _, of_row, _, _, of_query = _data()
    options = {"nprobe": 48} if options == IVF else {"ef": 256}
    _at_least(_recall(_index(index, storage, metric), metric, options, " AND centre > {centre}", of_row[None, :] > of_query[:, None]), .9, f"{label}, other centres alone")


@claim
def lists_of_codes_that_are_ranked_again_are_near_the_lists_of_vectors():
    for nprobe in (1, 4, 16):
        flat, codes = (_recall(_index(index, "f32", "l2"), "l2", {"nprobe": nprobe}) for index in ("IVF64,Flat", "IVF64,PQ16"))
        _at_least(codes, flat - .04, f"IVF64,PQ16 at nprobe={nprobe}, where IVF64,Flat has {flat:.4f}")
    _at_least(_recall(_index("IVF64,Flat", "f32", "l2"), "l2", {"nprobe": 64}), 1, "IVF64,Flat, all lists")
    one_list, all_lists = (_recall(_index("IVF64,Flat", "f32", "l2"), "l2", {"nprobe": nprobe}) for nprobe in (1, 64))
    assert one_list < all_lists, "nprobe does nothing"


@claim
def more_candidates_find_more_in_a_graph():
    few, many = (_recall(_index("HNSW32", "f32", "l2"), "l2", {"ef": ef}) for ef in (10, 200))
    assert few < many, f"ef=10 finds {few:.4f}, ef=200 {many:.4f}"


@claim
def inner_products_of_vectors_of_unlike_norms_are_found_in_a_graph():
    db = _index("HNSW32", "f32", "ip", True)
    _at_least(_recall(db, "ip", {}, lognormal=True), .95, "HNSW32, lognormal norms")
    for share, parts in PARTS.items():
        _at_least(_recall(db, "ip", GRAPH, f" AND part < {parts}", _data()[2] < parts, lognormal=True), .95, f"HNSW32, lognormal norms, a filter that leaves {share}")


@claim_each(EACH)
def rec_search_gives_the_rows_of_the_single_queries(label):
    index, storage, metric, options, _ = ENGINES[label]
    db = _index(index, storage, metric)
    for given in (options, None) if options else (None,):
        batch = {}
        for id, rank, rowid, score, distance in db.execute("SELECT * FROM rec_search('t', 'queries', 'id', 'v', ?, ?)", (K, json.dumps(given) if given else None)):
            batch.setdefault(id, []).append((rank, rowid, score, distance))
        same(len(batch), QUERIES, "queries answered")
        for id, v in db.execute("SELECT id, v FROM queries").fetchall():
            single = db.execute(f"SELECT rank, rowid, score, distance FROM t WHERE embedding MATCH ? AND k = {K} AND options = ?", (v, json.dumps(given or {}))).fetchall()
            same([row[:2] for row in batch[id]], [row[:2] for row in single], f"{label} query {id}")
            close([row[2:] for row in batch[id]], [row[2:] for row in single], 1e-12, f"{label} query {id}", scale=1)


# ---- small tables: bits, and rec_recall_at of every row ----

SMALL = 1500
SMALL_ENGINES = {"HNSW8": ("HNSW8", "l2", {"ef": [10, 40]}), "IVF16,Flat": ("IVF16,Flat", "cosine", {"nprobe": [1, 4, 16]}), "IVF16,PQ8": ("IVF16,PQ8", "l2", {"nprobe": [1, 4]}),
                 "PQ8": ("PQ8", "ip", {}), "SQ8": ("SQ8", "cosine", {}), "OPQ2_8,IVF16,PQ2": ("OPQ2_8,IVF16,PQ2", "l2", {"nprobe": [2]}), "PCA16,IVF16,Flat": ("PCA16,IVF16,Flat", "l2", {"nprobe": [2]})}


@functools.lru_cache(None)
def _small(index, metric):
    db = connect()
    _create(db, index, "f32", metric)
    db.executemany("INSERT INTO t(rowid, embedding) VALUES(?,?)", ((i, blob(_data()[0][i])) for i in range(SMALL)))
    db.execute("INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":1}')")
    return db


def _stored(db):
    return np.frombuffer(b"".join(row[0] for row in db.execute("SELECT data FROM t_segment ORDER BY chunk")), np.uint8)


@claim_each({label: (label,) for label in SMALL_ENGINES})
def a_rebuild_on_one_thread_makes_the_same_bits(label):
    index, metric, _ = SMALL_ENGINES[label]
    db = _small(index, metric)
    first = _stored(db)
    assert len(first) > SMALL, "there is a structure"
    for command in ("rebuild",) if label.startswith("OPQ") else ("rebuild", "train"):
        db.execute("INSERT INTO t(t, arg) VALUES(?, '{\"build_threads\":1}')", (command,))
        again = _stored(db)
        same(len(again), len(first), "bytes")
        differ = int((again != first).sum())
        assert differ <= 8 + 16 + 32, f"{label}: {differ} of {len(first)} bytes differ; the change's number, its stamp and the checksum are 56"


@functools.lru_cache(None)
def _small_nearest(metric):
    """The sets of the K nearest other rows."""
    x = _data()[0][:SMALL].astype(float)
    nearest = []
    for i in range(SMALL):
        dot, squares = x @ x[i], (x * x).sum(1)
        scores = dot if metric == "ip" else dot / np.sqrt(squares * squares[i]) if metric == "cosine" else -((x - x[i]) ** 2).sum(1)
        scores[i] = -np.inf
        nearest.append(set(np.lexsort((np.arange(SMALL), -scores))[:K].tolist()))
    return nearest


@functools.lru_cache(None)
def _small_hits(label, options):
    """For every row, how many of its K nearest come back: a search of K + 1 for its vector, itself left out."""
    index, metric, _ = SMALL_ENGINES[label]
    sql = f"SELECT rowid FROM t WHERE embedding MATCH ? AND k = {K + 1} AND options = ?"
    found = ([row[0] for row in _small(index, metric).execute(sql, (blob(_data()[0][i]), options)) if row[0] != i][:K] for i in range(SMALL))
    return np.array([len(set(ids) & nearest) for ids, nearest in zip(found, _small_nearest(metric))])


@claim_each({label: (label,) for label in SMALL_ENGINES})
def rec_recall_at_measures_what_numpy_measures(label):
    index, metric, settings = SMALL_ENGINES[label]
    wanted = [{name: value} for name, values in settings.items() for value in values] or [{}]
    for sample in (SMALL, 10 * SMALL, 100):  # a smaller sample is spread evenly
        rows = _small(index, metric).execute("SELECT options, recall, p50_ms, p99_ms, exact_p50_ms, queries FROM rec_recall_at('t', ?, ?, ?)", (sample, K, json.dumps(settings))).fetchall()
        same([json.loads(row[0]) for row in rows], wanted, "settings")
        for (options, recall, p50, p99, exact_p50, queries), want in zip(rows, wanted):
            same(queries, min(sample, SMALL), "queries")
            hits = _small_hits(label, json.dumps(want))[::SMALL // queries]
            close(recall, hits.sum() / (K * queries), 1e-9, f"{label} {options} sample={sample}")
            assert 0 < p50 <= p99 and exact_p50 > 0, f"times: {p50}, {p99}, {exact_p50}"


@claim
def the_ladder_of_rec_recall_at_goes_up():
    for label, name in (("HNSW8", "ef"), ("IVF16,Flat", "nprobe")):
        index, metric, _ = SMALL_ENGINES[label]
        rows = _small(index, metric).execute("SELECT options, recall FROM rec_recall_at('t', 200, 10)").fetchall()
        values = [json.loads(options)[name] for options, _ in rows]
        assert len(values) > 3 and values == sorted(values), f"{label}: {values}"
        assert rows[0][1] < rows[-1][1] and rows[-1][1] > .99, f"{label}: {rows}"
