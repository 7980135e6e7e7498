"""ials against its float64 twin: the objective after each half sweep, user lists, explanations, neighbours."""
import functools
import json

import numpy as np

from support import claim_each, close, create_model, events_db, pairs, retail, same, train
from twin_ials import Twin, start

FACTORS, SWEEPS, SEED, CUSTOMERS = 16, 5, 7, 400
AGREE = 5e-4  # float32 against float64 after five sweeps; seen: 8e-5


@functools.lru_cache(None)
def _shop():
    rows = retail(40000)
    first = set(list(dict.fromkeys(row[0] for row in rows))[:CUSTOMERS])
    rows = [row for row in rows if row[0] in first]
    db = events_db(rows)
    users, items, amounts = pairs(rows)
    same(len(users), CUSTOMERS, "customers")
    return db, users, items, amounts, start(len(items), FACTORS, SEED)


SCALES = {"log": np.log1p, "linear": lambda weight: weight}
CASES = {f"confidence {confidence} {scale} a0 {a0}": (confidence, scale, a0, reg)
         for confidence, scale, a0, reg in [(0, "log", 1, .003), (2, "log", 1, .003), (2, "linear", .1, .01)]}


@functools.lru_cache(None)
def _pair(confidence, scale, a0, reg):
    """The trained model's name, the twin after as many sweeps, and the twin's objectives."""
    db, _, _, amounts, first = _shop()
    name = f"m{_pair.cache_info().misses}"
    create_model(db, name, algorithm="ials", factors=FACTORS, sweeps=SWEEPS, seed=SEED, confidence=confidence, scale=scale,
                 unobserved_weight=a0, reg=reg)
    train(db, name)
    scaled = amounts.copy()
    scaled.data = SCALES[scale](scaled.data)
    twin = Twin(scaled, first, confidence, a0, reg)
    objectives = []
    for _ in range(SWEEPS):
        for half in (twin.solve_users, twin.solve_items):
            half()
            objectives.append(twin.objective())
    return name, twin, objectives


@claim_each(CASES)
def objective_after_each_half_sweep_equals_the_twins(*case):
    name, _, objectives = _pair(*case)
    log = _shop()[0].execute("SELECT sweep, objective FROM rec_training_log WHERE model = ? ORDER BY sweep", (name,)).fetchall()
    same([row[0] for row in log], [(half + 1) / 2 for half in range(2 * SWEEPS)], "sweeps")
    close([row[1] for row in log], objectives, 2e-5, "objective")
    assert all(a >= b for a, b in zip(objectives, objectives[1:])), "the twin's objective rises: the twin is wrong"


def _histories(twin, every):
    """(user, items, confidences) of some users."""
    _, users, _, _, _ = _shop()
    for u in range(0, len(users), every):
        row = twin.c[u]
        yield users[u], row.indices, row.data


@claim_each(CASES)
def user_lists_equal_the_twins_fold_in(*case):
    name, twin, _ = _pair(*case)
    db, _, items, _, _ = _shop()
    item_id = {item: i for i, item in enumerate(items)}
    for user, seen, c in _histories(twin, 10):
        scores = twin.y @ twin.fold_in(seen, c)
        for exclude in ("true", "false"):
            allowed = np.ones(len(items), bool)
            allowed[seen] = exclude == "false"
            rows = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 20 AND options = ? ORDER BY rank",
                              (user, '{"exclude_seen":%s}' % exclude)).fetchall()
            ids = [item_id[row[0]] for row in rows]
            same(len(set(ids)), 20, f"user {user}: distinct items")
            assert allowed[ids].all(), f"user {user}: an item of the history came back"
            close([row[1] for row in rows], scores[ids], AGREE, f"user {user}: scores", scale=np.maximum(1, np.abs(scores[ids])))
            best = np.sort(scores[allowed])[::-1][:20]
            close(scores[ids], best, AGREE, f"user {user}: the scores of the best", scale=np.maximum(1, np.abs(best)))


@claim_each(CASES)
def a_cart_is_folded_in_like_a_history(*case):
    confidence, scale, _, _ = case
    name, twin, _ = _pair(*case)
    db, _, items, _, _ = _shop()
    random = np.random.default_rng(1)
    for _ in range(10):
        cart = np.sort(random.choice(len(items), 4, replace=False))
        count = np.array([1, 2, 1, 3])
        listed = [items[i] for i, n in zip(cart, count) for _ in range(n)]
        scores = twin.y @ twin.fold_in(cart, 1 + confidence * SCALES[scale](count))
        rows = dict(db.execute(f"SELECT item, score FROM {name} WHERE basket = ? AND k = ?", (json.dumps(listed), len(items))))
        rest = np.setdiff1d(np.arange(len(items)), cart)
        same(set(rows), {items[i] for i in rest}, "items")
        close([rows[items[i]] for i in rest], scores[rest], AGREE, f"cart {listed}", scale=np.maximum(1, np.abs(scores[rest])))


@claim_each(CASES)
def because_shows_the_exact_decomposition(*case):
    name, twin, _ = _pair(*case)
    db, _, items, _, _ = _shop()
    item_id = {item: i for i, item in enumerate(items)}
    for user, seen, c in _histories(twin, 25):
        x = twin.fold_in(seen, c)
        for item, because in db.execute(f"SELECT item, because FROM {name} WHERE user = ? AND k = 5 ORDER BY rank", (user,)):
            part = twin.contributions(seen, c, item_id[item])
            what = f"user {user}, item {item}"
            close(part.sum(), twin.y[item_id[item]] @ x, 1e-9, f"{what}: the parts' sum", scale=np.abs(part).sum())
            share = dict(zip(seen.tolist(), part / np.abs(part).sum()))
            shown = json.loads(because)
            same(shown["source"], "history", what)
            ids = [item_id[row["item"]] for row in shown["items"]]
            shares = [row["share"] for row in shown["items"]]
            same([round(value, 4) for value in shares], shares, f"{what}: decimals")
            same(len(set(ids)), min(5, int((part > 0).sum())), f"{what}: how many")
            close(shares, [share[i] for i in ids], AGREE, f"{what}: shares", scale=1)
            best = sorted(share.values(), reverse=True)[:len(ids)]
            close(shares, best, AGREE, f"{what}: the shares of the best", scale=1)


@claim_each(CASES)
def neighbours_are_by_cosine_of_the_factors(*case):
    name, twin, _ = _pair(*case)
    db, _, items, amounts, _ = _shop()
    item_id = {item: i for i, item in enumerate(items)}
    unit = twin.y / np.linalg.norm(twin.y, axis=1, keepdims=True)
    often = np.argsort(-np.bincount(amounts.indices, minlength=len(items)))[:100:5]
    for j in often:
        cosine = unit @ unit[j]
        cosine[j] = -2  # itself is left out
        rows = db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = 10 ORDER BY rank", (items[j],)).fetchall()
        ids = [item_id[row[0]] for row in rows]
        same(len(set(ids)), 10, "distinct items")
        close([row[1] for row in rows], cosine[ids], AGREE, f"neighbours of {items[j]}", scale=1)
        close(cosine[ids], np.sort(cosine)[::-1][:10], AGREE, f"the best neighbours of {items[j]}", scale=1)
