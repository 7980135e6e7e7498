"""mf, bpr and ials (exact at other sizes, blocks, init_from) against float64 NumPy twins of the papers' formulas."""
import functools
import json
import math
import sqlite3

import numpy as np

import support
from support import claim, claim_each, close, connect, create_model, events_db, one, pairs, retail, same, train
from twin_ials import Twin, start

AGREE = 5e-4  # float32 against float64 after a few sweeps


def _log(db, name, version=1):
    return db.execute("SELECT sweep, objective FROM rec_training_log WHERE model = ? AND version = ? ORDER BY sweep", (name, version)).fetchall()


def _all_scores(db, name, n_items, where, given, options="{}"):
    """Scores of all items by key 0 .. n-1; keys are whole numbers."""
    rows = db.execute(f"SELECT item, score FROM {name} WHERE {where} = ? AND k = ? AND options = ?", (given, n_items, options)).fetchall()
    out = np.full(n_items, np.nan)
    for item, score in rows:
        out[item] = score
    return out


# ---- ials ----


@functools.lru_cache(None)
def _shop(customers=250):
    rows = retail(20000)
    first = set(list(dict.fromkeys(row[0] for row in rows))[:customers])
    rows = [row for row in rows if row[0] in first]
    users, items, amounts = pairs(rows)
    scaled = amounts.copy()
    scaled.data = np.log1p(scaled.data)
    return events_db(rows), users, items, scaled


@functools.lru_cache(None)
def _start(n, factors, seed):
    return start(n, factors, seed)


class BlockTwin(Twin):
    """iALS++ (Rendle et al. 2021): Newton steps on `block` factors of each row, all other factors as they are."""

    def __init__(self, *arguments, block):
        super().__init__(*arguments)
        self.block = block
        for at in self.blocks():  # users against the items as they start, from 0
            self.x = self.moved(self.c, self.x, self.y, at)

    def blocks(self):
        d = self.y.shape[1]
        return [np.arange(f, min(f + self.block, d)) for f in range(0, d, self.block)]

    def moved(self, rows, own, other, at):
        out = own.copy()
        whole = self.a0 * other.T @ other
        for r, (p, q) in enumerate(zip(rows.indptr, rows.indptr[1:])):
            f, c, x = other[rows.indices[p:q]], rows.data[p:q], own[r]
            ridge = self.reg * (q - p + self.a0 * len(other))
            gradient = f[:, at].T @ (c * (f @ x - 1)) + whole[at] @ x + ridge * x[at]
            hessian = (f[:, at].T * c) @ f[:, at] + whole[np.ix_(at, at)] + ridge * np.eye(len(at))
            out[r, at] -= np.linalg.solve(hessian, gradient)
        return out

    def sweep(self):
        for at in self.blocks():
            self.x = self.moved(self.c, self.x, self.y, at)
            self.y = self.moved(self.c.T.tocsr(), self.y, self.x, at)


def _check_fold_in(db, name, twin, users, items, scaled, confidence, options="{}", agree=AGREE):
    item_id = {item: i for i, item in enumerate(items)}
    for u in range(0, len(users), 25):
        seen = scaled[u].indices
        scores = twin.y @ twin.fold_in(seen, 1 + confidence * scaled[u].data)
        allowed = np.ones(len(items), bool)
        allowed[seen] = False
        rows = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 20 AND options = ? ORDER BY rank", (users[u], options)).fetchall()
        ids = [item_id[row[0]] for row in rows]
        assert allowed[ids].all() and len(set(ids)) == 20, f"user {users[u]}: an item of the history, or one twice"
        close([row[1] for row in rows], scores[ids], agree, f"user {users[u]}: scores", scale=np.maximum(1, np.abs(scores[ids])))
        close(scores[ids], np.sort(scores[allowed])[::-1][:20], agree, f"user {users[u]}: the scores of the best", scale=1)


@claim_each({"d 64": (64, 1, 1, .003, 3), "d 8": (8, 1, .1, .01, 5), "d 1": (1, 2, 1, .003, 4), "d 70 without confidence": (70, 0, 1, .003, 2)})
def exact_ials_equals_the_twin_at_other_sizes(factors, confidence, a0, reg, sweeps):
    """With 64 factors most rows are shorter than a vector: they are solved as n x n systems."""
    db, users, items, scaled = _shop()
    short = np.diff(scaled.indptr) < factors
    name = f"exact{factors}"
    create_model(db, name, algorithm="ials", factors=factors, sweeps=sweeps, seed=3, confidence=confidence, unobserved_weight=a0, reg=reg, threads=1)
    train(db, name)
    if factors > 60:
        assert short.mean() > .5 and not short.all(), "the sample has rows on one side only"
    twin, objectives = Twin(scaled, _start(len(items), factors, 3), confidence, a0, reg), []
    for _ in range(sweeps):
        for half in (twin.solve_users, twin.solve_items):
            half()
            objectives.append(twin.objective())
    log = _log(db, name)
    same([row[0] for row in log], [(half + 1) / 2 for half in range(2 * sweeps)], "sweeps")
    close([row[1] for row in log], objectives, 3e-5, "objective")
    _check_fold_in(db, name, twin, users, items, scaled, confidence)


BLOCK_CASES = {"24 by 8": (24, 8, 1, 1, .003), "24 by 10": (24, 10, 0, .1, .01), "16 by 1": (16, 1, 1, 1, .003), "one block": (16, 64, 2, 1, .003)}


@claim_each(BLOCK_CASES)
def blocks_of_ials_equal_the_twin_of_ials_plus_plus(factors, block, confidence, a0, reg):
    db, users, items, scaled = _shop()
    name, sweeps = f"blocks{factors}_{block}", 4
    create_model(db, name, algorithm="ials", solver="blocks", block=block, factors=factors, sweeps=sweeps, seed=5, confidence=confidence,
                 unobserved_weight=a0, reg=reg, threads=1)
    train(db, name)
    twin, objectives = BlockTwin(scaled, _start(len(items), factors, 5), confidence, a0, reg, block=block), []
    for _ in range(sweeps):
        twin.sweep()
        objectives.append(twin.objective())
    log = _log(db, name)
    same([row[0] for row in log], [sweep + 1. for sweep in range(sweeps)], "sweeps")
    close([row[1] for row in log], objectives, 3e-5, "objective")
    assert all(a > b for a, b in zip(objectives, objectives[1:])), "the twin's objective rises: the twin is wrong"
    _check_fold_in(db, name, twin, users, items, scaled, confidence)


@claim
def blocks_of_ials_come_to_the_objective_of_exact():
    """A little less far a sweep, never below by more than the two ways that local optima differ."""
    db = _shop()[0]
    last = {}
    for solver in ("exact", "blocks"):
        name = f"long_{solver}"
        create_model(db, name, algorithm="ials", solver=solver, block=8, factors=32, sweeps=25, seed=1, threads=1)
        train(db, name)
        values = [row[1] for row in _log(db, name)]
        assert all(b <= a * (1 + 1e-6) for a, b in zip(values, values[1:])), f"{solver}: the objective rises"
        last[solver] = values[-1]
    close(last["blocks"], last["exact"], .01, "objective after 25 sweeps")


@claim_each({"exact": ("exact",), "blocks": ("blocks",)})
def init_from_goes_on_from_the_items_of_the_version(solver):
    """Two sweeps and then two more are the twin's four. (blocks: users are solved anew from 0 in between)"""
    db, users, items, scaled = _shop()
    name, factors = f"warm_{solver}", 12
    create_model(db, name, algorithm="ials", solver=solver, block=5, factors=factors, sweeps=2, seed=9, confidence=1, unobserved_weight=1, threads=1)
    train(db, name)
    train(db, name, '{"init_from":1,"seed":77}')
    first = _start(len(items), factors, 9)
    if solver == "exact":
        twin, want = Twin(scaled, first, 1, 1, .003), []
        for _ in range(4):
            twin.solve_users()
            want.append(twin.objective())
            twin.solve_items()
            want.append(twin.objective())
    else:
        twin, want = BlockTwin(scaled, first, 1, 1, .003, block=5), []
        for sweep in range(4):
            if sweep == 2:
                twin = BlockTwin(scaled, twin.y, 1, 1, .003, block=5)
            twin.sweep()
            want.append(twin.objective())
    got = [row[1] for version in (1, 2) for row in _log(db, name, version)]
    close(got, want, 3e-5, "objectives of both versions")
    _check_fold_in(db, name, twin, users, items, scaled, 1)


@claim
def init_from_starts_new_items_at_random_and_drops_those_that_are_gone():
    """Item factors are matched by key, not by number."""
    rows = [row for row in retail(20000) if row[0] in set(_shop(120)[1])]
    users, items, amounts = pairs(rows)
    gone, new = set(items[3::7]), set(items[::5])
    db = events_db([row for row in rows if row[1] not in new])
    create_model(db, "m", algorithm="ials", factors=10, sweeps=3, seed=4, threads=1)
    train(db, "m")
    before = [row for row in rows if row[1] not in new]
    _, old_items, old = pairs(before)
    old.data = np.log1p(old.data)
    twin = Twin(old, _start(len(old_items), 10, 4), 1, 1, .003)
    for _ in range(3):
        twin.solve_users()
        twin.solve_items()
    db.execute("DELETE FROM events")
    after = [row for row in rows if row[1] not in gone]
    db.executemany("INSERT INTO events VALUES(?,?,?,?)", after)
    train(db, "m", '{"init_from":1,"seed":8,"sweeps":1}')
    after_users, after_items, now = pairs(after)
    now.data = np.log1p(now.data)
    first = _start(len(after_items), 10, 8).copy()
    for i, item in enumerate(after_items):
        if item in old_items:
            first[i] = twin.y[old_items.index(item)]
    assert len(set(after_items) - set(old_items)) > 50 and len(set(old_items) - set(after_items)) > 50, "nothing has come or gone"
    warm = Twin(now, first, 1, 1, .003)
    want = []
    for half in (warm.solve_users, warm.solve_items):
        half()
        want.append(warm.objective())
    close([row[1] for row in _log(db, "m", 2)], want, 3e-5, "objectives")
    _check_fold_in(db, "m", warm, after_users, after_items, now, 1)


@claim_each({"another number of factors": ('{"init_from":1,"factors":9}', "another number of factors"), "no such version": ('{"init_from":55}', "there is no version 55"),
             "another algorithm": ('{"init_from":2}', "init_from: the version is popular")})
def init_from_refuses(options, text):
    db = events_db(retail(2000))
    create_model(db, "m", algorithm="ials", factors=8, sweeps=1)
    train(db, "m")
    train(db, "m", '{"algorithm":"popular"}')
    try:
        train(db, "m", options)
    except sqlite3.Error as error:
        assert text in str(error), str(error)
    else:
        raise AssertionError("it trained")
    same(one(db, "SELECT count(*) FROM rec_versions"), 2, "versions")


@claim_each({"exact": ({"solver": "exact", "factors": 40},), "blocks": ({"solver": "blocks", "block": 12, "factors": 40},)})
def ials_is_the_same_bits_on_one_and_two_threads(options):
    _same_on_threads(_shop()[0], f"threads_{options['solver']}", algorithm="ials", sweeps=2, **options)


def _same_on_threads(db, name, **options):
    create_model(db, name, **options)
    for threads in (1, 2, 2):
        train(db, name, json.dumps({"threads": threads, "seed": 1 + (threads == 2 and one(db, "SELECT count(*) = 2 FROM rec_versions WHERE model = ?", name))}))
    first, second, other = [row[0] for row in db.execute("SELECT sha256 FROM rec_versions WHERE model = ? ORDER BY version", (name,))]
    same(second, first, "checksums on 1 and 2 threads")
    assert other != first, "another seed gives the same model"


# ---- mf ----

MF = {"factors 4": (4, 8, .05, 3), "factors 16": (16, 6, .1, 1), "factors 1": (1, 5, .02, 2)}
USERS, ITEMS = 220, 130


@functools.lru_cache(None)
def _ratings():
    """Whole ratings 1 .. 5 out of three factors and biases: the matrix (0: not rated), and ratings that are held out."""
    random = np.random.default_rng(17)
    taste = random.normal(size=(USERS, 3)) @ random.normal(size=(3, ITEMS)) * .6
    r = np.clip(np.rint(3.3 + taste + random.normal(size=(USERS, 1)) * .5 + random.normal(size=(1, ITEMS)) * .4 + random.normal(size=(USERS, ITEMS)) * .3), 1, 5)
    draw = random.random((USERS, ITEMS)) + random.random((USERS, 1)) * .3
    known = r * (draw < .45)
    held = r * ((draw >= .45) & (draw < .55))
    known[:, 0] = np.where(np.arange(USERS) < 2, r[:, 0], 0)  # an item of two ratings
    held[:, 0] = 0
    db = connect()
    db.execute("CREATE TABLE ratings(customer_id INTEGER, stock_code INTEGER, rating REAL)")
    db.executemany("INSERT INTO ratings VALUES(?,?,?)", [(int(u), int(i), known[u, i]) for u, i in np.argwhere(known)])
    db.execute("CREATE INDEX ratings_by_customer ON ratings(customer_id)")
    same((int((known > 0).any(1).sum()), int((known > 0).any(0).sum())), (USERS, ITEMS), "users and items with ratings")
    return db, known, held


class MfTwin:
    def __init__(self, ratings, factors, reg, seed):
        self.r, self.rated, self.reg, self.d = ratings, ratings > 0, reg, factors
        self.mean = ratings[self.rated].mean()
        drawn = start(ITEMS, factors + 2, seed)[:, :factors] * math.sqrt((factors + 2) / factors)  # spread 0.1 / sqrt d
        self.y, self.x = np.hstack([drawn, np.zeros((ITEMS, 1))]), np.zeros((USERS, factors + 1))

    def row(self, ratings, other):
        """Factors and bias of who gave these ratings to the others (rows of factors and bias): the ridge solution."""
        a = np.hstack([other[:, :-1], np.ones((len(other), 1))])
        target = ratings - self.mean - other[:, -1]
        return np.linalg.solve(a.T @ a + self.reg * len(other) * np.eye(self.d + 1), a.T @ target)

    def sweep(self):
        self.x = np.array([self.row(self.r[u, self.rated[u]], self.y[self.rated[u]]) for u in range(USERS)])
        self.y = np.array([self.row(self.r[self.rated[:, i], i], self.x[self.rated[:, i]]) for i in range(ITEMS)])

    def predict(self, x):
        return self.mean + x[..., -1:] + self.y[:, -1] + x[..., :-1] @ self.y[:, :-1].T

    def objective(self):
        miss = (self.r - self.predict(self.x))[self.rated]
        return miss @ miss + self.reg * (self.rated.sum(1) @ (self.x**2).sum(1) + self.rated.sum(0) @ (self.y**2).sum(1))


@functools.lru_cache(None)
def _mf(factors, sweeps, reg, seed):
    db, known, _ = _ratings()
    name = f"mf{factors}"
    create_model(db, name, events="ratings", weight="rating", time=None, algorithm="mf", factors=factors, sweeps=sweeps, reg=reg, seed=seed, threads=1)
    train(db, name)
    twin, objectives = MfTwin(known, factors, reg, seed), []
    for _ in range(sweeps):
        twin.sweep()
        objectives.append(twin.objective())
    return name, twin, objectives


@claim_each(MF)
def mf_objective_after_each_sweep_equals_the_twins(*case):
    name, _, objectives = _mf(*case)
    log = _log(_ratings()[0], name)
    same([row[0] for row in log], [sweep + 1. for sweep in range(case[1])], "sweeps")
    close([row[1] for row in log], objectives, 5e-5, "objective")
    assert all(a > b for a, b in zip(objectives, objectives[1:])), "the twin's objective rises: the twin is wrong"


@claim_each(MF)
def mf_scores_are_the_predicted_ratings_of_the_ridge_solution(*case):
    """All items, in order, whatever their sign; and a cart is a history too."""
    name, twin, _ = _mf(*case)
    db, known, _ = _ratings()
    for u in range(0, USERS, 20):
        mine = np.flatnonzero(known[u])
        want = twin.predict(twin.row(known[u, mine], twin.y[mine]))
        got = _all_scores(db, name, ITEMS, "user", u, '{"exclude_seen":false}')
        close(got, want, 2e-3, f"user {u}", scale=1)
        rows = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 10 ORDER BY rank", (u,)).fetchall()
        rest = np.setdiff1d(np.arange(ITEMS), mine)
        assert not set(row[0] for row in rows) & set(mine.tolist()), f"user {u}: an item of the history came back"
        close([row[1] for row in rows], np.sort(want[rest])[::-1][:10], 2e-3, f"user {u}: the best", scale=1)
    cart = [5, 7, 7, 7, 7, 90]
    want = twin.predict(twin.row(np.array([1., 4, 1]), twin.y[[5, 7, 90]]))
    close(_all_scores(db, name, ITEMS, "basket", json.dumps(cart), '{"exclude_seen":false}'), want, 2e-3, "a cart", scale=1)


@claim_each(MF)
def mf_expects_the_mean_of_all_ratings_from_an_unknown_user(*case):
    name, _, _ = _mf(*case)
    db, known, _ = _ratings()
    mean, popular = known[known > 0].mean(), sorted(range(ITEMS), key=lambda i: (-(known[:, i] > 0).sum(), i))
    rows = db.execute(f"SELECT item, score, because FROM {name} WHERE user = -1 AND k = {ITEMS} ORDER BY rank").fetchall()
    same([row[0] for row in rows], popular, "the order is the popular one")
    close([row[1] for row in rows], [mean] * ITEMS, 1e-12, "scores")
    same({row[2] for row in rows}, {'{"source":"popular"}'}, "because")
    asked = db.execute(f"SELECT item, score FROM {name} WHERE user = -1 AND candidates = '[7, 3, 0]' ORDER BY rank").fetchall()
    same(asked, [row[:2] for row in rows if row[0] in (7, 3, 0)], "candidates")
    for i in (0, 64):
        same(db.execute(f"SELECT rank, score FROM {name} WHERE user = -1 AND item = ?", (i,)).fetchall(), [(popular.index(i) + 1, rows[0][1])], "one pair")


@claim_each(MF)
def mf_solution_of_the_live_history_is_stationary(*case):
    """A rating that is given after training counts at once: only items stay as they were."""
    name, twin, _ = _mf(*case)
    db, known, _ = _ratings()
    mine = np.flatnonzero(known[3])
    other = np.setdiff1d(np.arange(ITEMS), mine)[:6]
    db.execute("SAVEPOINT s")
    db.executemany("INSERT INTO ratings VALUES(3,?,?)", [(int(i), 5) for i in other])
    got = _all_scores(db, name, ITEMS, "user", 3, '{"exclude_seen":false}')
    db.execute("ROLLBACK TO s")
    db.execute("RELEASE s")
    items = np.concatenate([mine, other])
    ratings = np.concatenate([known[3, mine], np.full(6, 5.)])
    want = twin.predict(twin.row(ratings, twin.y[items]))
    close(got, want, 2e-3, "predictions", scale=1)
    assert np.abs(want - twin.predict(twin.row(known[3, mine], twin.y[mine]))).max() > .05, "six ratings change nothing: the check is void"


@claim
def mf_predicts_held_out_ratings_better_than_biases_alone():
    name, twin, _ = _mf(*MF["factors 4"])
    db, known, held = _ratings()
    biases = MfTwin(known, 1, .05, 1)
    biases.y[:, :-1] = 0
    for _ in range(20):
        biases.sweep()
        biases.x[:, :-1] = biases.y[:, :-1] = 0
    errors = {"mf": [], "twin": [], "biases": []}
    for u in range(USERS):
        at = np.flatnonzero(held[u])
        got = _all_scores(db, name, ITEMS, "user", u, '{"exclude_seen":false}')
        for label, values in (("mf", got), ("twin", twin.predict(twin.row(known[u, known[u] > 0], twin.y[known[u] > 0]))), ("biases", biases.predict(biases.x[u]))):
            errors[label] += (values[at] - held[u, at]).tolist()
    rmse = {label: float(np.sqrt(np.mean(np.square(values)))) for label, values in errors.items()}
    close(rmse["mf"], rmse["twin"], 1e-3, "RMSE beside the twin's")
    assert rmse["mf"] < .75 * rmse["biases"], f"{rmse}"


@claim_each(MF)
def mf_neighbours_are_by_cosine_of_the_factors_without_the_bias(*case):
    name, twin, _ = _mf(*case)
    db = _ratings()[0]
    factors = twin.y[:, :-1]
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    for j in range(1, ITEMS, 13):
        rows = db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = 10 ORDER BY rank", (j,)).fetchall()
        cosine = unit @ unit[j]
        cosine[j] = -2
        close([row[1] for row in rows], cosine[[row[0] for row in rows]], 5e-3, f"neighbours of {j}", scale=1)
        close([row[1] for row in rows], np.sort(cosine)[::-1][:10], 5e-3, f"the best neighbours of {j}", scale=1)


@claim
def mf_is_the_same_bits_on_one_and_two_threads():
    _same_on_threads(_ratings()[0], "mf_threads", events="ratings", weight="rating", time=None, algorithm="mf", factors=12, sweeps=3)


# ---- bpr ----


@functools.lru_cache(None)
def _tastes():
    """150 users of two tastes: users of the first have items 0 .. 89 only, those of the second 90 .. 179."""
    random = np.random.default_rng(23)
    weight = 1 / (3 + np.arange(90))
    rows = []
    for user in range(150):
        n = int(random.integers(8, 30))
        items = random.choice(90, n, replace=False, p=weight / weight.sum()) + 90 * (user % 2)
        rows += [(user, int(item)) for item in items]
    db = connect()
    db.execute("CREATE TABLE likes(customer_id INTEGER, stock_code INTEGER)")
    db.executemany("INSERT INTO likes VALUES(?,?)", rows)
    db.execute("CREATE INDEX likes_by_customer ON likes(customer_id)")
    has = np.zeros((150, 180), bool)
    has[tuple(np.array(rows).T)] = True
    keep = has.any(0)
    return db, has, keep


LIKES = {"events": "likes", "weight": None, "time": None, "algorithm": "bpr"}


@functools.lru_cache(None)
def _bpr():
    create_model(_tastes()[0], "bpr", **LIKES, factors=16, sweeps=60, rate=.05, reg=.005, threads=1)
    train(_tastes()[0], "bpr")
    return "bpr"


def _auc(scores, positive, known):
    """The share of (positive, other) pairs that are in order."""
    order = np.argsort(np.argsort(scores[known]))
    mine = positive[known]
    n = int(mine.sum())
    return (order[mine].sum() - n * (n - 1) / 2) / (n * (len(mine) - n))


def _bpr_scores(where, given, name="bpr"):
    _, _, keep = _tastes()
    out = np.full(180, np.nan)
    for item, score in _tastes()[0].execute(f"SELECT item, score FROM {name} WHERE {where} = ? AND k = 180 AND options = '{{\"exclude_seen\":false}}'", (given,)):
        out[item] = score
    same(int(np.isnan(out).sum()), int((~keep).sum()), "items without a score")
    return out


@claim
def bpr_ranks_what_users_have_above_what_they_have_not():
    _bpr()
    _, has, keep = _tastes()
    popularity = has.sum(0).astype(float)
    got = np.mean([_auc(_bpr_scores("user", u), has[u], keep) for u in range(150)])
    baseline = np.mean([_auc(popularity, has[u], keep) for u in range(150)])
    assert got > .93 and got > baseline + .1, f"AUC {got:.3f}; of the popular list {baseline:.3f}"


@claim
def bpr_ranks_the_own_taste_first_for_a_cart_that_nobody_had():
    _bpr()
    _, _, keep = _tastes()
    random = np.random.default_rng(2)
    taste = np.arange(180) >= 90
    shares = []
    for n in range(20):
        cart = random.choice(np.flatnonzero(keep & (taste == n % 2)), 3, replace=False)
        scores = _bpr_scores("basket", json.dumps(cart.tolist()))
        rest = keep.copy()
        rest[cart] = False
        shares.append(_auc(scores, taste == n % 2, rest))
    assert np.mean(shares) > .95, f"AUC of the taste {np.mean(shares):.3f}"


@claim
def bpr_loss_falls_and_starts_at_a_coin_toss():
    """With steps of a millionth z stays near 0: -ln s(z) = ln 2 for every pair, and a sweep sees every pair once."""
    db, has, _ = _tastes()
    _bpr()
    losses = [row[1] for row in _log(db, "bpr")]
    same(len(losses), 60, "sweeps")
    assert losses[-1] < .45 * losses[0] and sum(b < a for a, b in zip(losses, losses[1:])) > 35, f"{losses[0]:.0f} ... {losses[-1]:.0f}"
    create_model(db, "bpr_still", **LIKES, factors=8, sweeps=1, rate=1e-6)
    train(db, "bpr_still")
    close(_log(db, "bpr_still")[0][1], has.sum() * math.log(2), .005, "loss of the first sweep")


@claim
def bpr_answers_the_same_history_the_same_way():
    """Whoever asks, and however often: the negatives of a fold-in come from the model's seed."""
    db, has, _ = _tastes()
    _bpr()
    db.execute("SAVEPOINT s")
    db.execute("INSERT INTO likes SELECT 1000, stock_code FROM likes WHERE customer_id = 4")
    lists = [_bpr_scores("user", user).tolist() for user in (4, 1000, 4)] + [_bpr_scores("basket", json.dumps(np.flatnonzero(has[4]).tolist())).tolist()]
    db.execute("ROLLBACK TO s")
    db.execute("RELEASE s")
    nan = [[-9 if value != value else value for value in row] for row in lists]
    for row, what in zip(nan[1:], ("a user with the same items", "asked again", "a cart of the same items")):
        same(row, nan[0], what)


@claim
def bpr_bias_follows_popularity_and_neighbours_share_the_taste():
    """A user of one random item still sees popular ones of her taste first; similar_to does not look at biases."""
    db, _, keep = _tastes()
    _bpr()
    right = total = 0
    for j in np.flatnonzero(keep)[::7]:
        for item, score in db.execute("SELECT item, score FROM bpr WHERE similar_to = ? AND k = 10", (int(j),)):
            assert -1.0001 <= score <= 1.0001, f"a cosine of {score}"
            right += (item >= 90) == (j >= 90)
            total += 1
    assert right > .9 * total, f"{right} of {total} neighbours are of the same taste"


@claim
def bpr_regularisation_keeps_factors_small():
    """With reg so large that each step takes most of the factors away, all scores are near 0."""
    db, _, keep = _tastes()
    create_model(db, "bpr_ridge", **LIKES, factors=8, sweeps=20, rate=.05, reg=10)
    train(db, "bpr_ridge")
    large, small = (np.nanmax(np.abs(_bpr_scores("user", 4, name))) for name in (_bpr(), "bpr_ridge"))
    assert small < .2 < 1 < large, f"largest |score| {large} and with reg=10 {small}"


@claim
def bpr_is_the_same_bits_on_one_and_two_threads():
    _same_on_threads(_shop()[0], "bpr_threads", algorithm="bpr", factors=16, sweeps=3)


@claim
def bpr_refuses_a_rate_that_has_no_bound():
    db, _, _ = _tastes()
    create_model(db, "bpr_wild", **LIKES, factors=8, sweeps=40, rate=1, reg=100)
    try:
        train(db, "bpr_wild")
    except sqlite3.Error as error:
        assert "rate=1 is too large" in str(error), str(error)
    else:
        raise AssertionError("it trained")


@claim
def factor_models_are_stored_and_read_back_as_they_were():
    """From a copy of the database that has never trained."""
    for db, name, given in ((_tastes()[0], _bpr(), 4), (_ratings()[0], _mf(*MF["factors 4"])[0], 3)):
        copy = sqlite3.connect(":memory:", isolation_level=None)
        copy.deserialize(db.serialize())
        copy.enable_load_extension(True)
        copy.load_extension(str(support.extension))
        sql = f"SELECT item, score FROM {name} WHERE user = ? AND k = 40 ORDER BY rank"
        same(copy.execute(sql, (given,)).fetchall(), db.execute(sql, (given,)).fetchall(), f"{name} in a copy")
        copy.execute(f"INSERT INTO {name}({name}) VALUES('integrity-check')")
