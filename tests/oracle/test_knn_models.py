"""user_knn against SciPy, session_knn and repeat against plain Python, from the formulas of the papers."""
import collections
import functools
import json
import math
import random
import sqlite3

import numpy as np
import scipy.sparse as sparse
from scipy.special import xlogy

import support
from support import claim, claim_each, close, connect, create_model, events_db, one, pairs, retail, same, train

ROUNDING = 1e-5  # of the largest score: two scores that are nearer may come in either order


def _check_list(rows, item_id, want, allowed, k, what, tolerance=ROUNDING, filled=None):
    """rows: (item, score) in rank order. Those that the model knows have the scores `want` and none that is better is
    missing; the others follow with score 0, in the order `filled` if it is given. Returns how many the model knew."""
    ids = np.array([item_id[row[0]] for row in rows], int)
    scores = np.array([row[1] for row in rows])
    same(len(set(ids.tolist())), min(k, int(allowed.sum())), f"{what}: distinct items")
    assert allowed[ids].all(), f"{what}: an item that is not allowed came back"
    n = int((scores > 0).sum())
    assert (scores[:n] > 0).all() and (scores[n:] == 0).all(), f"{what}: what is filled in is not at the end, with score 0"
    assert (np.diff(scores) <= 0).all(), f"{what}: the scores rise"
    assert all(a < b for s, t, a, b in zip(scores[:n], scores[1:n], ids, ids[1:]) if s == t), f"{what}: ties are out of key order"
    limit = tolerance * max(np.abs(want).max(), 1e-300)
    close(scores[:n], want[ids[:n]], limit, f"{what}: scores", scale=1)
    best = np.sort(want[allowed])[::-1][:len(rows)]
    close(want[ids[:n]], best[:n], 2 * limit, f"{what}: the scores of the best", scale=1)
    assert (best[n:] <= limit).all(), f"{what}: {int((best[n:] > limit).sum())} that score are missing"
    if filled is not None:
        listed = set(ids[:n].tolist())
        same(ids[n:].tolist(), [i for i in filled if allowed[i] and i not in listed][:len(rows) - n], f"{what}: what is filled in")
    return n


def _popular(binary):
    degree = np.asarray(binary.sum(0)).ravel()
    return np.lexsort((np.arange(len(degree)), -degree)).tolist()


# ---- user_knn ----

PARAMETERS = {"asymmetric": (.5, None), "tversky": (.5, .5), "bm25": (1.2, .5), "p3alpha": (1, None), "rp3beta": (.7, .4)}
SIMILARITIES = ("cosine", "asymmetric", "tfidf", "bm25", "jaccard", "dice", "tversky", "llr", "p3alpha", "rp3beta")
SCALES = {"log": np.log1p, "linear": lambda w: w, "binary": np.ones_like}


@functools.lru_cache(None)
def _shop():
    rows = retail(20000)
    users, items, amounts = pairs(rows)
    binary = amounts.copy()
    binary.data[:] = 1
    return events_db(rows), users, items, amounts, binary


def _case(similarity, weighted=False, alpha=None, beta=None, shrink=0, neighbours=30, scale="log"):
    return similarity, weighted, alpha, beta, shrink, neighbours, scale


USER_CASES = {name: _case(name) for name in SIMILARITIES}
USER_CASES.update({f"{name} weighted": _case(name, weighted=True) for name in SIMILARITIES})
USER_CASES.update({f"{name}, all users": _case(name, neighbours=100000) for name in ("cosine", "bm25", "llr", "rp3beta")})
USER_CASES.update({
    "cosine shrink": _case("cosine", shrink=10), "jaccard shrink": _case("jaccard", shrink=3.5, neighbours=7),
    "asymmetric alpha": _case("asymmetric", alpha=.2, shrink=2, weighted=True),
    "tversky alpha beta": _case("tversky", alpha=.9, beta=.1), "bm25 alpha beta": _case("bm25", alpha=2, beta=.9, weighted=True),
    "p3alpha alpha": _case("p3alpha", alpha=1.7, weighted=True), "rp3beta alpha beta": _case("rp3beta", alpha=1.2, beta=.8),
    "scale linear": _case("cosine", weighted=True, scale="linear"), "scale binary": _case("dice", scale="binary"),
})


def _likeness(u, x, similarity, alpha, beta, shrink):
    """s_uv of the user with the amounts u (a dense row) and all rows v of x (CSR)."""
    n_users, n_items = x.shape
    own, degree = PARAMETERS.get(similarity, (None, None)), np.diff(x.indptr).astype(float)
    alpha, beta = (default if value is None else value for value, default in zip((alpha, beta), own))
    mine = np.flatnonzero(u)
    item_degree = np.bincount(x.indices, minlength=n_items).astype(float)
    shared = (x[:, mine] != 0).sum(1)
    c = np.asarray(shared).ravel().astype(float)
    du = len(mine)
    if similarity == "jaccard":
        return c / (du + degree - c + shrink)
    if similarity == "dice":
        return 2 * c / (du + degree + shrink)
    if similarity == "tversky":
        return c / (c + alpha * (du - c) + beta * (degree - c) + shrink)
    if similarity == "llr":  # of the table: has u it, has v it, over all items
        cells = np.array([[c, du - c], [degree - c, n_items - du - degree + c]])
        total = xlogy(cells, cells).sum((0, 1)) - xlogy(cells.sum(0), cells.sum(0)).sum(0) - xlogy(cells.sum(1), cells.sum(1)).sum(0) + xlogy(n_items, n_items)
        return np.where(c * n_items > du * degree, 2 * total, 0)
    if similarity in ("p3alpha", "rp3beta"):  # user, item, user
        first = (u / u.sum())**alpha
        second = sparse.csr_matrix(x / x.sum(0))
        second.data **= alpha
        walk = second @ first
        return walk / degree**beta if similarity == "rp3beta" else walk
    idf = np.log(n_users) - np.log(1 + item_degree)
    w, v = x.toarray(), u.astype(float)
    if similarity == "tfidf":
        w, v = np.sqrt(w) * idf, np.sqrt(v) * idf
    if similarity == "bm25":
        length = w.sum(1)
        mean = length.mean()
        w = w * (alpha + 1) / (alpha * (1 - beta + beta * length[:, None] / mean) + w) * idf
        v = v * (alpha + 1) / (alpha * (1 - beta + beta * v.sum() / mean) + v) * idf
    c = w @ v
    if similarity == "bm25":
        return c
    exponent = alpha if similarity == "asymmetric" else .5
    return c / ((v @ v)**exponent * (w * w).sum(1)**(1 - exponent) + shrink)


def _expected(u, x, scaled, weighted, similarity, alpha, beta, shrink, neighbours):
    """The scores of all items, or None where rounding decides who is among the K."""
    pattern = (x != 0).astype(float)
    s = _likeness(u if weighted else (u > 0).astype(float), x if weighted else pattern, similarity, alpha, beta, shrink)
    mine = set(np.flatnonzero(u).tolist())
    met = np.asarray((pattern @ (u > 0))).ravel() > 0
    twins = [v for v in np.flatnonzero(met) if set(x.indices[x.indptr[v]:x.indptr[v + 1]].tolist()) == mine]
    s = np.where(met, s, 0)
    s[twins] = 0
    order = np.lexsort((np.arange(len(s)), -s))
    order = order[s[order] > 0]
    if len(order) > neighbours:
        inside, outside = s[order[neighbours - 1]], s[order[neighbours]]
        exact = similarity in ("jaccard", "dice", "tversky")  # quotients of counts: equal is equal, ties are by key
        if inside - outside < 1e-6 * inside and not (exact and inside == outside):
            return None
        order = order[:neighbours]
    return scaled[order].T @ s[order]


@functools.lru_cache(None)
def _user_model(similarity, weighted, alpha, beta, shrink, neighbours, scale):
    db = _shop()[0]
    name = f"u{_user_model.cache_info().misses}"
    create_model(db, name, algorithm="user_knn", similarity=similarity, pairs="weighted" if weighted else "binary", alpha=alpha, beta=beta, shrink=shrink,
                 neighbours=neighbours, scale=scale, threads=1)
    train(db, name)
    return name


def _scaled(scale):
    x = _shop()[3].copy()
    x.data = SCALES[scale](x.data)
    return x


@claim_each(USER_CASES)
def user_knn_lists_sum_the_neighbours_rows(*case):
    similarity, weighted, alpha, beta, shrink, neighbours, scale = case
    db, users, items, _, binary = _shop()
    name, x, item_id = _user_model(*case), _scaled(scale), {item: i for i, item in enumerate(items)}
    popular, compared, known = _popular(binary), 0, 0
    for u in range(0, len(users), 40):
        row = x[u].toarray().ravel()
        want = _expected(row, x, x, weighted, similarity, alpha, beta, shrink, neighbours)
        if want is None:
            continue
        compared += 1
        for exclude in ("true", "false"):
            allowed = (row == 0) | (exclude == "false")
            rows = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 100 AND options = ? ORDER BY rank",
                              (users[u], '{"exclude_seen":%s}' % exclude)).fetchall()
            known += _check_list(rows, item_id, want, allowed, 100, f"user {users[u]}, exclude_seen={exclude}", filled=popular)
    assert compared >= 6 and known > 500, f"{compared} users and {known} rows could be compared"


@claim_each({name: USER_CASES[name] for name in ("cosine", "bm25 weighted", "tfidf weighted", "p3alpha weighted", "llr", "asymmetric alpha")})
def user_knn_takes_a_cart_like_a_history(*case):
    similarity, weighted, alpha, beta, shrink, neighbours, scale = case
    db, _, items, _, binary = _shop()
    name, x, item_id = _user_model(*case), _scaled(scale), {item: i for i, item in enumerate(items)}
    often, generator, compared = _popular(binary)[:300], random.Random(3), 0
    for _ in range(15):
        cart = generator.sample(often, 5)
        row = np.zeros(len(items))
        row[cart] = SCALES[scale](np.array([1., 2, 1, 3, 1]))
        want = _expected(row, x, x, weighted, similarity, alpha, beta, shrink, neighbours)
        if want is None:
            continue
        compared += 1
        basket = [items[i] for i, n in zip(cart, (1, 2, 1, 3, 1)) for _ in range(n)]
        rows = db.execute(f"SELECT item, score FROM {name} WHERE basket = ? AND k = 50 ORDER BY rank", (json.dumps(basket),)).fetchall()
        _check_list(rows, item_id, want, row == 0, 50, f"cart {basket}")
    assert compared >= 6, f"{compared} carts could be compared"


@claim
def user_knn_history_is_live_and_the_rows_are_those_of_training():
    """Who bought since is compared as she is now, also with what she was; who has the same items takes no place."""
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT)")
    sets = {1: "ab", 2: "ab", 3: "abc", 4: "bd", 5: "ae", 6: "ef"}
    db.executemany("INSERT INTO events VALUES(?,?)", [(u, i) for u, row in sets.items() for i in row])
    create_model(db, "m", algorithm="user_knn", similarity="jaccard", weight=None, time=None, neighbours=1, scale="binary")
    train(db, "m")
    lists = lambda: dict(db.execute("SELECT item, score FROM m WHERE user = 1 AND k = 9 AND score > 0").fetchall())
    got = lists()
    same(set(got), {"c"}, "with one neighbour, user 3: user 2 has the same items")
    close(got["c"], 2 / 3, 1e-6, "c")
    db.execute("INSERT INTO events VALUES(1,'e')")  # a b e now: nearest are the two of `ab` (2/3) and `ae` (2/3)
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"neighbours\":3,\"activate\":\"never\"}')")
    same(lists(), {}, "user 1 as she was is the nearest, with nothing new")
    db.execute("INSERT INTO m(m) VALUES('train')")
    got = lists()
    same(got, {}, "the nearest is user 2, with nothing new")
    got = dict(db.execute("SELECT item, score FROM m WHERE user = 1 AND k = 9 AND score > 0 AND options = '{\"version\":2}'").fetchall())
    same(set(got), {"c"}, "three neighbours: 2, and of 3 (2/4) and 5 (2/3) and 4 (1/4) two")
    close(got["c"], 1 / 2, 1e-6, "c by user 3")


@claim
def user_knn_twins_take_no_place_whatever_their_items_weigh():
    """z is with all users but one: tfidf's ln n - ln(1 + d) gives it no weight at all, and yet 1 and 2 have the same items."""
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT)")
    sets = {1: "az", 2: "az", 3: "abz", 4: "cz", 5: "de"}
    db.executemany("INSERT INTO events VALUES(?,?)", [(u, i) for u, row in sets.items() for i in row])
    for similarity in ("cosine", "tfidf", "bm25"):
        create_model(db, similarity, algorithm="user_knn", similarity=similarity, weight=None, time=None, neighbours=1)
        train(db, similarity)
        same([row[0] for row in db.execute(f"SELECT item FROM {similarity} WHERE user = 1 AND k = 9 AND score > 0")], ["b"], f"{similarity}: what user 3 has")


# ---- session_knn ----

DAY = 86400
Log = collections.namedtuple("Log", "db rows keys items")


def _sessions_of(rows, key):
    """{session: its distinct items in the order of their last clicks, and the time of the last}; ties by item."""
    last = collections.defaultdict(dict)
    for row in rows:
        at = last[row[key]]
        at[row[1]] = max(row[2], at.get(row[1], row[2]))
    return {s: ([i for _, i in sorted((t, i) for i, t in at.items())], max(at.values())) for s, at in last.items()}


@functools.lru_cache(None)
def _log(by_session):
    """Clicks at real times (customer, item, time, session): 400 sessions of 1 to 14 clicks on 80 items of 8 kinds."""
    generator = random.Random(11)
    rows = []
    for session in range(400):
        customer = generator.randrange(150)
        now = 1_600_000_000 + generator.randrange(60 * DAY)
        kind = generator.randrange(8)
        for _ in range(generator.choice([1, 1, 2, 3, 4, 6, 9, 14])):
            item = kind * 10 + min(int(generator.expovariate(.4)), 9) if generator.random() < .8 else generator.randrange(80)
            rows.append((customer, item, now, session))
            now += generator.choice([0, 7, 31, 200])
    generator.shuffle(rows)
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code INTEGER, bought_at INTEGER, session INTEGER)")
    db.executemany("INSERT INTO events VALUES(?,?,?,?)", rows)
    db.execute("CREATE INDEX events_by_customer ON events(customer_id)")
    return Log(db, rows, sorted({row[0] for row in rows}), sorted({row[1] for row in rows}))


def _session_scores(clicks, now, known, variant, sessions, neighbours, length, idf_weight, l1, l2, l3, l4, drop_last):
    """{item: score}, in plain Python. clicks: the asker's items in order; known: {key: (items in order, end)}."""
    order = sorted((end, key) for key, (row, end) in known.items())
    place = {key: {item: n for n, item in enumerate(known[key][0], 1)} for _, key in order}
    holders = collections.Counter(item for row in place.values() for item in row)
    n_sessions, n_clicks = len(place), sum(map(len, place.values()))
    clicks = clicks[-length:]
    size = len(clicks)
    stan = variant in ("stan", "vstan")

    def fade(distance, over):
        return math.exp(-distance / over) if over else 1

    weight = {item: fade(size - p, l1) if stan else p for p, item in enumerate(clicks, 1)}  # p / L is divided below: ties stay ties
    norm = math.sqrt(sum(fade(size - p, l1)**2 for p in range(1, size + 1)))
    pool = [(end, key) for end, key in order if set(place[key]) & set(clicks)][-sessions:]
    near = []
    for at, (end, key) in enumerate(pool):
        s = sum(weight[item] for item in clicks if item in place[key])
        if not stan:
            s /= size
        else:
            s = s / (norm * math.sqrt(len(place[key]))) * fade((now - end) / DAY, l2)
        near.append((s, at, key))
    near.sort(reverse=True)
    scores = collections.defaultdict(float)
    for s, _, key in near[:neighbours]:
        last = max(p for p, item in enumerate(clicks, 1) if item in place[key])
        common = place[key][clicks[last - 1]]
        step = {"vmis": max(0, 1 - .1 * (size + 1 - last)), "vsknn": max(0, 1 - .1 * (size - last)), "stan": 1, "vstan": fade(size - last, l4)}[variant]
        for item, p in place[key].items():
            if variant == "vmis":
                f = idf_weight * math.log(n_clicks / holders[item]) if idf_weight else 1
            else:
                f = 1 if variant == "stan" else 1 + idf_weight * math.log(n_sessions / holders[item])
            scores[item] += s * step * (fade(abs(p - common), l3) if stan else 1) * f
    cut = near[neighbours - 1:neighbours + 1]
    doubtful = len(cut) == 2 and 0 < abs(cut[0][0] - cut[1][0]) < 1e-12 * cut[0][0]
    if drop_last and clicks:
        scores.pop(clicks[-1], None)
    return scores, doubtful


DEFAULTS = {"sessions": 2500, "neighbours": 500, "length": 20, "idf_weight": 1, "l1": 3, "l2": 0, "l3": 3, "l4": 3, "drop_last": 0}
SESSION_CASES = {variant: (variant, {}) for variant in ("vmis", "vsknn", "stan", "vstan")}
SESSION_CASES.update({f"{variant}, few": (variant, {"sessions": 40, "neighbours": 12, "length": 4}) for variant in ("vmis", "vsknn", "stan", "vstan")})
SESSION_CASES.update({
    "vmis without idf": ("vmis", {"idf_weight": 0}), "vmis idf": ("vmis", {"idf_weight": 5, "drop_last": 1}),
    "vsknn idf": ("vsknn", {"idf_weight": 10, "neighbours": 30}), "vsknn without idf": ("vsknn", {"idf_weight": 0}),
    "stan by days": ("stan", {"l1": 2, "l2": 20, "l3": 4, "neighbours": 50}), "stan without fading": ("stan", {"l1": 0, "l2": 0, "l3": 0}),
    "vstan all": ("vstan", {"l1": 4.9, "l2": 40, "l3": 4.9, "l4": 1.225, "idf_weight": 10, "neighbours": 50, "drop_last": 1}),
    "vstan without idf": ("vstan", {"l1": 1, "l4": 0, "idf_weight": 0, "length": 1}), "short": ("vsknn", {"length": 1, "sessions": 5}),
})


@functools.lru_cache(None)
def _session_model(by_session, label):
    variant, options = SESSION_CASES[label]
    log = _log(by_session)
    name = f"s{_session_model.cache_info().misses}"
    create_model(log.db, name, algorithm="session_knn", variant=None if variant == "vstan" else variant, weight=None,
                 session="session" if by_session else None, threads=1, **options)
    train(log.db, name)
    return name


def _session_list(log, name, where, given, k=80, options="{}"):
    return log.db.execute(f"SELECT item, score FROM {name} WHERE {where} = ? AND k = ? AND options = ? ORDER BY rank", (given, k, options)).fetchall()


def _check_sessions(by_session, label, questions, where):
    """questions: (what is given, the asker's items in order, and the time when she asks)."""
    variant, options = SESSION_CASES[label]
    log, name = _log(by_session), _session_model(by_session, label)
    known = _sessions_of(log.rows, 3 if by_session else 0)
    degree = collections.Counter(item for row, _ in known.values() for item in row)
    item_id = {item: i for i, item in enumerate(log.items)}
    filled = [item_id[item] for item in sorted(log.items, key=lambda item: (-degree[item], item))]
    compared = scored = 0
    for given, clicks, now in questions:
        scores, doubtful = _session_scores(clicks, now, known, variant, **{**DEFAULTS, **options, **({"drop_last": 1} if where == "similar_to" else {})})
        if doubtful:
            continue
        compared += 1
        want = np.array([scores.get(item, 0.) for item in log.items])
        for exclude in (None, True) if where != "similar_to" else (None,):
            allowed = np.array([not (exclude and item in clicks) for item in log.items])
            if where == "similar_to":
                allowed[item_id[given]] = False
            rows = _session_list(log, name, where, given, options='{"exclude_seen":true}' if exclude else "{}")
            scored += _check_list(rows, item_id, want, allowed, 80, f"{where} = {given}, exclude_seen={exclude}", tolerance=1e-6, filled=filled)
    assert compared > .8 * len(questions) and scored > 100, f"{compared} of {len(questions)} could be compared, {scored} rows"


BOTH = {f"{label}, {'session=' if by_session else 'users'}": (by_session, label) for label in SESSION_CASES for by_session in (False, True)}


@claim_each(BOTH)
def session_knn_answers_a_user(by_session, label):
    """Her latest session with session=, else all she has."""
    log = _log(by_session)
    newest = max(row[2] for row in log.rows)
    questions = []
    for customer in log.keys[::6]:
        own = [row for row in log.rows if row[0] == customer]
        if by_session:
            latest = max(own, key=lambda row: row[2])[3]
            own = [row for row in own if row[3] == latest]
        questions.append((customer, _sessions_of(own, 0)[customer][0], newest))
    _check_sessions(by_session, label, questions, "user")


@claim_each(BOTH)
def session_knn_answers_a_cart(by_session, label):
    """A cart is in the order of its list; what is in it twice is where it was last."""
    log, generator = _log(by_session), random.Random(5)
    newest = max(row[2] for row in log.rows)
    questions = []
    for _ in range(20):
        kind = generator.randrange(8) * 10
        clicks = [kind + min(int(generator.expovariate(.4)), 9) for _ in range(generator.randrange(1, 25))]
        clicks = [item for item in clicks if item in log.items]
        order = [item for n, item in enumerate(clicks) if item not in clicks[n + 1:]]
        questions.append((json.dumps(clicks), order, newest))
    _check_sessions(by_session, label, questions, "basket")


@claim_each({label: case for label, case in BOTH.items() if case[1] in ("vmis", "vsknn", "stan", "vstan")})
def session_knn_neighbours_of_an_item_are_those_of_a_session_of_one(by_session, label):
    log = _log(by_session)
    newest = max(row[2] for row in log.rows)
    _check_sessions(by_session, label, [(item, [item], newest) for item in log.items[::3]], "similar_to")


@claim
def session_knn_sees_clicks_after_training():
    """A new session of a known customer counts at once; so does the time that has passed (only by a common factor)."""
    log = _log(True)
    name, known = _session_model(True, "stan by days"), _sessions_of(log.rows, 3)
    later = max(row[2] for row in log.rows) + 5 * DAY
    new = [(log.keys[0], log.items[n], later + n, 9000) for n in (12, 15, 11)]
    log.db.execute("SAVEPOINT s")
    log.db.executemany("INSERT INTO events VALUES(?,?,?,?)", new)
    rows = _session_list(log, name, "user", log.keys[0])
    log.db.execute("ROLLBACK TO s")
    log.db.execute("RELEASE s")
    variant, options = SESSION_CASES["stan by days"]
    clicks = [row[1] for row in sorted(new, key=lambda row: row[2])]
    scores, _ = _session_scores(clicks, max(row[2] for row in new), known, variant, **{**DEFAULTS, **options})
    item_id = {item: i for i, item in enumerate(log.items)}
    want = np.array([scores.get(item, 0.) for item in log.items])
    assert _check_list(rows, item_id, want, np.ones(len(want), bool), 80, "a new session", tolerance=1e-6) > 5


@claim
def session_knn_drop_last_leaves_only_the_last_item_out():
    log = _log(True)
    names = [_session_model(True, label) for label in ("vstan", "vstan all")]
    with_last = without = 0
    for customer in log.keys[::4]:
        own = [row for row in log.rows if row[0] == customer]
        latest = max(own, key=lambda row: row[2])[3]
        clicks = _sessions_of([row for row in own if row[3] == latest], 0)[customer][0]
        for n, name in enumerate(names):
            score = dict(_session_list(log, name, "user", customer))
            found = score.get(clicks[-1], 0) > 0
            with_last += found and n == 0
            without += found and n == 1
    assert with_last > 10 and without == 0, f"{with_last} lists with the last item by default, {without} with drop_last"


@claim
def session_knn_needs_a_time():
    log = _log(False)
    create_model(log.db, "timeless", algorithm="session_knn", weight=None, time=None)
    try:
        train(log.db, "timeless")
    except sqlite3.Error as error:
        assert "session_knn needs the order of the events: time=" in str(error), str(error)
    else:
        raise AssertionError("it trained without an order")


@claim
def knn_models_are_stored_and_read_back_as_they_were():
    """From a copy of the database that has never trained."""
    for log, names, where, given in ((_log(True), [_session_model(True, "vstan"), _session_model(True, "vmis")], "user", _log(True).keys[1]),
                                     (_shop(), [_user_model(*USER_CASES["bm25 weighted"]), _user_model(*USER_CASES["llr"])], "user", _shop()[1][2])):
        db = log[0]
        copy = sqlite3.connect(":memory:", isolation_level=None)
        copy.deserialize(db.serialize())
        copy.enable_load_extension(True)
        copy.load_extension(str(support.extension))
        for name in names:
            sql = f"SELECT item, score FROM {name} WHERE {where} = ? AND k = 40 ORDER BY rank"
            same(copy.execute(sql, (given,)).fetchall(), db.execute(sql, (given,)).fetchall(), f"{name} in a copy")
            copy.execute(f"INSERT INTO {name}({name}) VALUES('integrity-check')")


# ---- repeat ----


@claim_each({f"{scale}, half-life {half_life}": (scale, half_life) for scale in SCALES for half_life in (0, 30)})
def repeat_ranks_own_items_by_decayed_counts_then_the_popular_ones(scale, half_life):
    rows = retail(20000)
    db, users, items, _, _ = _shop()
    newest = max(row[3] for row in rows)
    own = collections.defaultdict(lambda: collections.defaultdict(float))
    for user, item, quantity, at in rows:
        own[user][item] += quantity * (.5**((newest - at) / DAY / half_life) if half_life else 1)
    popularity = collections.Counter(item for row in own.values() for item in row)
    most = max(popularity.values())
    item_id = {item: i for i, item in enumerate(items)}
    filled = [item_id[item] for item in sorted(items, key=lambda item: (-popularity[item], item))]
    name = f"repeat_{scale}_{half_life}"
    create_model(db, name, algorithm="repeat", scale=scale, half_life=half_life)
    train(db, name)
    for user in users[::40]:
        want = np.zeros(len(items))
        for item, amount in own[user].items():
            want[item_id[item]] = SCALES[scale](np.float64(amount)) + 1e-6 * popularity[item] / (1 + most)
        for exclude in (None, False, True):
            allowed = (want == 0) if exclude else np.ones(len(items), bool)
            shown = "{}" if exclude is None else json.dumps({"exclude_seen": exclude})
            got = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 300 AND options = ? ORDER BY rank", (user, shown)).fetchall()
            known = _check_list(got, item_id, want * allowed, allowed, 300, f"user {user}, exclude_seen={exclude}", tolerance=3e-7, filled=filled)
            same(known, 0 if exclude else min(300, len(own[user])), f"user {user}: own items")


@claim
def repeat_breaks_ties_of_the_counts_by_popularity():
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT)")
    db.executemany("INSERT INTO events VALUES(?,?)", [(1, "a"), (1, "b"), (1, "c"), (1, "c"), (2, "b"), (3, "b"), (3, "d"), (2, "d"), (4, "e")])
    create_model(db, "m", algorithm="repeat", weight=None, time=None, scale="linear")
    train(db, "m")
    same([row[0] for row in db.execute("SELECT item FROM m WHERE user = 1 AND k = 5 ORDER BY rank")], ["c", "b", "a", "d", "e"], "the list of user 1")
    same([row[0] for row in db.execute("SELECT item FROM m WHERE basket = '[\"e\",\"a\",\"a\"]' AND k = 5 ORDER BY rank")], ["a", "e", "b", "d", "c"], "of a cart")
    same([row[0] for row in db.execute("SELECT item FROM m WHERE user = 99 AND k = 5 ORDER BY rank")], ["b", "d", "a", "c", "e"], "of a stranger")
    shown = json.loads(one(db, "SELECT because FROM m WHERE user = 1 AND item = 'c'"))
    same(shown, {"source": "history", "items": [{"item": "c", "share": 1.0}]}, "because")
