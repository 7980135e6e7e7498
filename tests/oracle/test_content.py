"""content against NumPy in float64, from its formulas: TF-IDF and BM25 of texts, given vectors, both, and latent semantic analysis."""
import csv
import functools
import gzip
import json
import math
import random
import re

import numpy as np

import support
from support import blob, claim, claim_each, close, connect, one, same, train, vector

ROUNDING = 2e-6  # of the largest score: texts and vectors are stored as float32
WORDS = ("red", "Blue", "teapot", "TEA-POT", "7up", "été", "日本", "x" * 70, "x" * 71, "cup", "dish", "oak", "linen", "glass", "it's", "a_b", "steel", "large")
SCALES = {"log": np.log1p, "linear": lambda w: w, "binary": np.ones_like}


def _catalogue():
    """{item: (text or None, vector or None)}; some are empty, some are alike, the tail of the words is long."""
    draw = random.Random(21)
    out = {}
    for item in range(1, 141):
        text = draw.choice((" ", ", ", "/", "  - ")).join(WORDS[min(int(draw.expovariate(.2)), len(WORDS) - 1)] for _ in range(draw.randrange(1, 9)))
        look = [draw.gauss(0, 1) * draw.choice((1, 1, 30)) for _ in range(5)]
        out[item] = (draw.choice((text,) * 8 + (None, "", "...")), look if draw.random() < .85 else draw.choice((None, [0] * 5)))
    return out


def _events():
    """(user, item, n) of users with few and with many; items from 101 on are never sold."""
    draw = random.Random(22)
    return [(user, min(int(draw.expovariate(.03)) + 1, 100), draw.choice((1, 1, 2, 5))) for user in range(1, 61) for _ in range(draw.choice((1, 2, 4, 9)))]


@functools.lru_cache(None)
def _shop():
    db = connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n INTEGER)")
    db.executemany("INSERT INTO events VALUES(?,?,?)", _events())
    db.execute("CREATE TABLE products(item INTEGER, words TEXT, look BLOB)")
    db.executemany("INSERT INTO products VALUES(?,?,?)", [(item, text, None if look is None else blob(look)) for item, (text, look) in _catalogue().items()])
    return db


def _words(text):
    """Runs of ASCII letters, digits and what is past ASCII; ASCII in lower case; cut after 64 bytes."""
    return [word.lower()[:64] for word in re.findall(rb"[0-9A-Za-z\x80-\xff]+", (text or "").encode())]


def _unit(rows):
    size = np.sqrt((rows * rows).sum(1, keepdims=True))
    return np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)


def _text_rows(texts, weighting):
    """Items x words, of unit length."""
    split = [_words(text) for text in texts]
    vocabulary = {word: w for w, word in enumerate(sorted({word for row in split for word in row}))}
    tf = np.zeros((len(texts), len(vocabulary)))
    for i, row in enumerate(split):
        for word in row:
            tf[i, vocabulary[word]] += 1
    n = sum(bool(row) for row in split)
    idf = np.log((1 + n) / (1 + (tf > 0).sum(0))) + 1
    if weighting == "bm25":
        k1, b, length = 1.2, .75, tf.sum(1, keepdims=True)
        tf = tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / (length.sum() / n)))
    return _unit(tf * idf)


def _likeness(weighting, text, look, vector_weight):
    """s_ji of all pairs."""
    catalogue = _catalogue()
    s = np.zeros((len(catalogue), len(catalogue)))
    if text:
        t = _text_rows([text for text, _ in catalogue.values()], weighting)
        s += t @ t.T
    if look:
        v = _unit(np.array([np.zeros(5) if look is None else np.asarray(look, "<f4").astype(float) for _, look in catalogue.values()]))
        s += vector_weight * (v @ v.T)
    return s


def _create(name, **options):
    """A content model; what it was created with decides what it reads."""
    db = _shop()
    arguments = dict(events="events", user="user", item="item", weight="n", items="products", item_key="item", algorithm="content", threads=1)
    arguments.update(options)
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model({', '.join(f'{key}={value}' for key, value in arguments.items() if value is not None)})")
    train(db, name)


CASES = {f"{weighting}, {scale}": (weighting, True, False, 1, scale) for weighting in ("tfidf", "bm25") for scale in SCALES}
CASES.update({"vectors": ("tfidf", False, True, 1, "log"), "vectors, weight 3": ("tfidf", False, True, 3, "linear"), "both": ("tfidf", True, True, 1, "log"),
              "both, bm25, weight 0.3": ("bm25", True, True, .3, "linear"), "both, weight 0": ("tfidf", True, True, 0, "binary"), "both, weight 40": ("bm25", True, True, 40, "log")})


@functools.lru_cache(None)
def _model(weighting, text, look, vector_weight, scale):
    name = f"m{_model.cache_info().misses}"
    _create(name, weighting=weighting, item_text="words" if text else None, item_vector="look" if look else None, vector_weight=vector_weight, scale=scale)
    return name, _likeness(weighting, text, look, vector_weight)


def _history(user, scale):
    """x of all items."""
    x = np.zeros(len(_catalogue()))
    for who, item, n in _events():
        x[item - 1] += n * (who == user)
    x[x > 0] = SCALES[scale](x[x > 0])
    return x


def _check(got, want, hidden, what):
    """The whole list: scores, their order, ties by key, and then those that score nothing. Returns how many score."""
    items, scores = np.array([row[0] for row in got]), np.array([row[1] for row in got])
    same(sorted(items.tolist()), [i + 1 for i in range(len(want)) if not hidden[i]], f"{what}: items")
    limit = ROUNDING * np.abs(want).max() if want.any() else 1e-12
    close(scores, np.maximum(want[items - 1], 0), limit, what, scale=1)
    n = int((scores > 0).sum())
    assert (scores[n:] == 0).all() and (np.diff(scores) <= 0).all(), f"{what}: not in the order of the scores"
    assert all(a < b for s, t, a, b in zip(scores[:n], scores[1:n], items, items[1:]) if s == t), f"{what}: ties are out of key order"
    return n


@claim_each(CASES)
def content_lists_are_the_weighted_sums_of_cosines(*case):
    name, s = _model(*case)
    db, known = _shop(), 0
    same(one(db, "SELECT items FROM rec_versions WHERE model = ?", name), len(_catalogue()), "the catalogue")
    for user in range(1, 61, 7):
        x = _history(user, case[4])
        for exclude in ("true", "false"):
            got = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND options = ? ORDER BY rank", (user, '{"exclude_seen":%s}' % exclude)).fetchall()
            known += _check(got, x @ s, (x > 0) & (exclude == "true"), f"user {user}, exclude_seen={exclude}")
    for cart in ([3, 3, 9], [120], [1, 2, 3, 4, 5, 6, 7, 8, 130]):
        x = np.bincount(np.array(cart) - 1, minlength=len(s)).astype(float)
        x[x > 0] = SCALES[case[4]](x[x > 0])
        got = db.execute(f"SELECT item, score FROM {name} WHERE basket = ? ORDER BY rank", (json.dumps(cart),)).fetchall()
        known += _check(got, x @ s, x > 0, f"cart {cart}")
    assert known > 500, f"{known} rows that score"


@claim_each(CASES)
def content_similar_items_have_the_largest_cosines(*case):
    name, s = _model(*case)
    known = 0
    for item in (1, 2, 17, 50, 101, 139):
        hidden = np.arange(1, len(s) + 1) == item
        got = _shop().execute(f"SELECT item, score FROM {name} WHERE similar_to = ? ORDER BY rank", (item,)).fetchall()
        known += _check(got, s[item - 1], hidden, f"similar to {item}")
    assert known > 100, f"{known} rows that score"


@claim
def content_scores_of_pairs_and_candidates_are_the_same_sums():
    for label in ("bm25, linear", "both, bm25, weight 0.3"):
        case = CASES[label]
        name, s = _model(*case)
        x = _history(8, case[4])
        want = np.maximum(x @ s, 0)
        got = dict(_shop().execute(f"SELECT item, score FROM {name} WHERE user = 8 AND candidates = ?", (json.dumps(list(range(140, 0, -1))),)))
        close([got[item] for item in range(1, 141)], want, ROUNDING * want.max(), label, scale=1)
        order = np.lexsort((np.arange(140), -want))
        for place in (0, 3, 20):
            score, rank = _shop().execute(f"""SELECT score, rank FROM {name} WHERE user = 8 AND item = ? AND options = '{{"exclude_seen":false}}'""", (int(order[place]) + 1,)).fetchone()
            close(score, want[order[place]], 1e-5, label)
            assert want[order[max(rank - 1, 0)]] - score <= 1e-5 * want.max(), f"{label}: rank {rank} of place {place + 1}"


@claim_each({f"{weighting}, {factors}": (weighting, factors) for weighting in ("tfidf", "bm25") for factors in (2, 8, 14)})
def content_factors_have_the_cosines_of_the_texts_in_the_largest_singular_space(weighting, factors):
    t = _text_rows([text for text, _ in _catalogue().values()], weighting)
    u, values, _ = np.linalg.svd(t, full_matrices=False)
    if factors < len(values):
        assert values[factors - 1] - values[factors] > 1e-3 * values[0], f"the space is not determined: {values[factors - 1:factors + 1]}"
    v = _unit(u[:, :factors] * values[:factors])
    v[~t.any(1)] = 0
    name = f"lsa_{weighting}_{factors}"
    _create(name, weighting=weighting, factors=factors, item_text="words", scale="linear")
    stored = np.array([vector(row[0]) for row in _shop().execute("SELECT vector FROM rec_item_vectors(?)", (name,))])
    same(stored.shape, (140, factors), "vectors")
    close(stored @ stored.T, v @ v.T, 2e-4, "cosines of the vectors", scale=1)
    s = stored @ stored.T
    for user in (8, 15, 22):
        x = _history(user, "linear")
        got = _shop().execute(f"""SELECT item, score FROM {name} WHERE user = ? AND options = '{{"exclude_seen":false}}' ORDER BY rank""", (user,)).fetchall()
        _check(got, x @ s, np.zeros(140, bool), f"user {user}: the vectors alone count")


@claim
def content_factors_past_the_rank_add_nothing():
    t = _text_rows([text for text, _ in _catalogue().values()], "tfidf")
    _create("lsa_full", factors=100, item_text="words")
    stored = np.array([vector(row[0]) for row in _shop().execute("SELECT vector FROM rec_item_vectors('lsa_full')")])
    same(stored.shape, (140, 100), "vectors")
    close(stored @ stored.T, t @ t.T, 2e-4, "of all singular vectors: the texts' own cosines", scale=1)


@claim
def content_of_given_vectors_leaves_factors_alone():
    _create("given", factors=3, item_text="words", item_vector="look")
    db = _shop()
    given = np.array([np.zeros(5) if look is None else np.asarray(look, "<f4").astype(float) for _, look in _catalogue().values()])
    stored = np.array([vector(row[0]) for row in db.execute("SELECT vector FROM rec_item_vectors('given')")])
    close(stored, _unit(given), 1e-6, "the given vectors, of unit length", scale=1)


@claim
def content_of_real_descriptions_finds_the_nearest_texts():
    """The descriptions of Online Retail: items, words and lists of a real catalogue."""
    described, sold = {}, []
    with gzip.open(support.ROOT / "data" / "online_retail.csv.gz", "rt", encoding="utf-8", newline="") as text:
        for line in csv.DictReader(text):
            described.setdefault(line["StockCode"], line["Description"])
            if line["CustomerID"] and len(sold) < 3000:
                sold.append((int(line["CustomerID"]), line["StockCode"]))
            if len(described) == 900:
                break
    db = connect()
    db.execute("CREATE TABLE events(user INTEGER, item TEXT)")
    db.executemany("INSERT INTO events VALUES(?,?)", [row for row in sold if row[1] in described])
    db.execute("CREATE TABLE products(item TEXT, words TEXT)")
    db.executemany("INSERT INTO products VALUES(?,?)", described.items())
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, items=products, item_key=item, item_text=words, algorithm=content, scale=binary)")
    train(db, "m")
    items = sorted(described)
    t = _text_rows([described[item] for item in items], "tfidf")
    place = {item: i for i, item in enumerate(items)}
    for item in items[::90]:
        got = db.execute("SELECT item, score FROM m WHERE similar_to = ? AND k = 10 ORDER BY rank", (item,)).fetchall()
        want = t @ t[place[item]]
        want[place[item]] = -1
        close([row[1] for row in got], np.maximum(np.sort(want)[::-1][:10], 0), 1e-5, f"like {described[item]}", scale=1)
        close([row[1] for row in got], np.maximum(want[[place[row[0]] for row in got]], 0), 1e-5, f"like {described[item]}", scale=1)
    user = sold[0][0]
    x = np.zeros(len(items))
    x[[place[item] for who, item in sold if who == user]] = 1
    got = db.execute("SELECT item, score FROM m WHERE user = ? AND k = 20 ORDER BY rank", (user,)).fetchall()
    want = np.where(x > 0, -1, t @ (x @ t))
    close([row[1] for row in got], np.sort(want)[::-1][:20], 1e-5, "a list")
    close([row[1] for row in got], want[[place[row[0]] for row in got]], 1e-5, "its items")
    assert math.isclose(float(np.linalg.norm(t[0])), 1), "the twin's rows are of unit length"
