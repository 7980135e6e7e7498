"""Vectors, queries and true neighbours of make bench-index. All rows are named from 1, as SQLite does."""
import collections, csv, gzip, json, os
import numpy as np

K = 10
QUERIES = 1000   # with true neighbours
BATCH = 10_000   # queries of the batches; the first QUERIES of them are those above
Filter = collections.namedtuple("Filter", "label sql mask truth")


class Data:
    """rows, queries: float32. truth: the k nearest rows of the first queries. files: the same for the C program, which
    gets normalised rows for cosine, since FAISS has inner products only."""

    def __init__(self, name, title, metric, rows, queries, group, folder):
        self.name, self.title, self.metric, self.folder = name, title, metric, folder
        self.rows, self.queries, self.group = rows, queries, group
        self.n, self.dim = rows.shape
        self.price = np.random.default_rng(7).random(self.n) * 1000
        os.makedirs(folder, exist_ok=True)
        self.rows_file, self.queries_file = os.path.join(folder, "rows.f32"), os.path.join(folder, "queries.f32")
        normal = unit if metric == "cosine" else lambda x: x
        normal(rows).tofile(self.rows_file)
        normal(queries).tofile(self.queries_file)
        self.blobs = [q.tobytes() for q in queries[:QUERIES]]
        self.truth = nearest(rows, queries[:QUERIES], metric)

    def filters(self, count):
        """Conditions on a column that says nothing about the vector, and one on a column that follows the clusters."""
        masks = [(f"{share:g} %", f"price < {share * 10:.1f}", self.price < share * 10) for share in (.1, 1, 10, 50)]
        if self.group is not None:
            clusters = int(np.searchsorted(np.cumsum(np.bincount(self.group)), self.n // 10)) + 1
            masks.append(("10 %, whole clusters", f"grp < {clusters}", self.group < clusters))
        for label, sql, mask in masks:
            ids = np.flatnonzero(mask)
            if len(ids) < K:
                continue
            found = nearest(self.rows[ids], self.queries[:count], self.metric)
            yield Filter(label, sql, mask, np.where(found > 0, ids[found - 1] + 1, 0))


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30).astype("float32")


def scores(rows, queries, metric):
    """Higher is nearer; in the precision of the arguments."""
    if metric == "cosine":
        rows, queries = unit(rows), unit(queries)
    product = queries @ rows.T
    return product - (rows * rows).sum(axis=1) / 2 if metric == "l2" else product


def nearest(rows, queries, metric, k=K, spare=40):
    """ids from 1, 0 where there are fewer than k: k + spare candidates by float32 products, then float64."""
    best, score = np.zeros((len(queries), 0), int), np.zeros((len(queries), 0), "float32")
    for begin in range(0, len(rows), 50_000):
        block = scores(rows[begin:begin + 50_000], queries, metric)
        ids = np.broadcast_to(np.arange(begin, begin + block.shape[1]), block.shape)
        best, score = np.hstack([best, ids]), np.hstack([score, block])
        if score.shape[1] > k + spare:
            keep = np.argpartition(-score, k + spare, axis=1)[:, :k + spare]
            best, score = np.take_along_axis(best, keep, 1), np.take_along_axis(score, keep, 1)
    out = np.zeros((len(queries), k), int)
    for i, candidates in enumerate(best):
        exact = scores(rows[candidates].astype(float), queries[i:i + 1].astype(float), metric)[0]
        order = np.lexsort((candidates, -exact))[:k]
        out[i, :len(order)] = candidates[order] + 1
    return out


def recall(found, truth):
    """Of the true neighbours, the share that was found; found: lists of ids."""
    hits = sum(len(set(f) & set(t[t > 0].tolist())) for f, t in zip(found, truth))
    return hits / max(1, sum(int((t > 0).sum()) for _, t in zip(found, truth)))


def made(name, n, metric, folder, dim=128, clusters=1000):
    """Centres N(0, 1); sizes log-normal; around a centre noise as strong as the centres' own spread, whose variance falls as
    1 / dimension, as that of learned vectors does. Queries are drawn as the rows are and are no rows."""
    generator = np.random.default_rng(5)
    size = generator.lognormal(0, 1, clusters)
    centre = generator.standard_normal((clusters, dim), dtype="float32")
    spread = (np.arange(1, dim + 1) ** -0.5).astype("float32")
    spread *= np.float32(np.sqrt(dim / (spread ** 2).sum()))
    group = generator.choice(clusters, n + BATCH, p=size / size.sum())
    rows = generator.standard_normal((n + BATCH, dim), dtype="float32") * spread
    rows += centre[group]
    return Data(name, f"{n:,} x {dim}, {metric}, {clusters:,} made clusters", metric, rows[:n], rows[n:], group[:n], folder)


def read_pairs(path):
    """'user item item ...' lines, as (user, item)."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            user, *items = map(int, line.split())
            yield from ((user, item) for item in items)


def retail_pairs(path):
    """The sample's purchases, as (user, item)."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["CustomerID"] and not row["InvoiceNo"].startswith("C"):
                yield row["CustomerID"], row["StockCode"]


def learned(name, pairs, connect, folder, factors=64):
    """Item factors of an ials model that the extension trains, and users' vectors: inner product, nothing normalised. The
    layout of a stored version is that of docs/internals/model.md."""
    db = connect()
    db.execute("CREATE TABLE events(user, item)")
    db.executemany("INSERT INTO events VALUES(?, ?)", pairs)
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item)")
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (json.dumps({"algorithm": "ials", "factors": factors, "unobserved_weight": .05}),))
    sha, n, options = db.execute("SELECT sha256, items, options FROM rec_versions").fetchone()
    blob = b"".join(row[0] for row in db.execute("SELECT data FROM m_chunks ORDER BY chunk"))
    end = blob.index(bytes.fromhex(sha))
    rows = np.frombuffer(blob[end - n * factors * 4:end], "float32").reshape(n, factors).copy()
    queries = users(db, rows, json.loads(options))
    return Data(name, f"{n:,} x {factors}, inner product: ials item factors of {name}, asked by users' vectors", "ip", rows, queries, None, folder)


def users(db, rows, options):
    """The vectors of the first users, by the formula of docs/reference/algorithms.md; drawn again where there are few."""
    items = {item: i for i, (item,) in enumerate(db.execute("SELECT DISTINCT item FROM events ORDER BY item"))}
    history = collections.defaultdict(list)
    for user, item in db.execute("SELECT user, item FROM events"):
        if len(history) < BATCH or user in history:
            history[user].append(items[item])
    a0, reg, y = options["unobserved_weight"], options["reg"], rows.astype(float)
    gram, out = a0 * (y.T @ y), []
    for seen in history.values():
        mine = y[seen]
        weight = 1 + options["confidence"]
        ridge = reg * (len(seen) + a0 * len(rows))
        out.append(np.linalg.solve(gram + weight * mine.T @ mine + ridge * np.eye(y.shape[1]), weight * mine.sum(axis=0)))
    out = np.array(out, "float32")
    return np.ascontiguousarray(out[np.arange(BATCH) % len(out)])

