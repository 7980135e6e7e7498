"""ials form=hkv and reg_power, popular count=trend, repeat variant=tifu, rec_rules, tuning's splits and rec_crossval: against
NumPy, SciPy and plain Python in float64, from the formulas of the papers and of docs/reference."""
import collections
import functools
import json
import math
import sqlite3

import numpy as np
import scipy.sparse as sparse

from support import claim, claim_each, close, connect, create_model, events_db, one, pairs, retail, same, train
from twin_ials import start

DAY = 86400


@functools.lru_cache(None)
def _shop():
    """12000 sales of real customers, and 60 returns; users, items and the amounts."""
    rows = list(retail(12000))
    returned = [(user, item, -quantity, at + 3600) for user, item, quantity, at in rows[::400]]
    rows += returned + [(user, item, -1, at + 7200) for user, item, quantity, at in rows[100::400] if quantity > 1]
    db = events_db(rows)
    net = collections.Counter()
    for user, item, quantity, _ in rows:
        net[user, item] += quantity
    assert any(n <= 0 for n in net.values()), "no pair is returned: the case is no case"
    kept = {pair for pair, n in net.items() if n > 0}
    users, items, amounts = pairs([row for row in rows if row[:2] in kept])
    return db, tuple(rows), users, items, amounts


def _list(db, name, user, k=100000, options="{}"):
    return db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = ? AND options = ? ORDER BY rank", (user, k, options)).fetchall()


def _check(rows, want, allowed, limit, what):
    """rows (item, score) in rank order: the scores of `want` {item: score}, in falling order, of allowed items, none better missing."""
    same(len({item for item, _ in rows}), len(rows), f"{what}: distinct items")
    assert all(item in allowed for item, _ in rows), f"{what}: an item that is not allowed came back"
    got = [score for _, score in rows]
    assert all(a >= b for a, b in zip(got, got[1:])), f"{what}: the scores rise"
    close(got, [want.get(item, 0.) for item, _ in rows], limit, f"{what}: scores", scale=1)
    best = sorted((want.get(item, 0.) for item in allowed), reverse=True)[:len(rows)]
    close(got, best, limit, f"{what}: the scores of the best", scale=1)


# ---- ials: form=hkv, reg_power ----

FACTORS, SWEEPS, SEED, CUSTOMERS = 12, 4, 7, 150


class Hkv:
    """Hu, Koren and Volinsky 2008, dense: sum over all pairs of C_ui (x_u . y_i - p_ui)^2 + sum of the ridges, row by row."""

    def __init__(self, scaled, first, confidence, a0, reg, power, hkv):
        self.p = (scaled.toarray() > 0).astype(float)
        more = confidence * scaled.toarray()
        self.c = a0 + np.where(self.p > 0, more if hkv else 1 + more, 0)  # the weight of a square with the target
        self.a0, self.reg, self.power, self.hkv = a0, reg, power, hkv
        # rendle: 1 + confidence x of the seen beside a0 of all with target 0, that is weight c and target (c - a0) / c
        self.target = self.p if hkv else np.where(self.p > 0, (self.c - a0) / self.c, 0)
        self.y, self.x = first.copy(), np.zeros((scaled.shape[0], first.shape[1]))

    def ridge(self, counts, columns):
        return self.reg * (counts + self.a0 * columns) ** self.power

    def solve(self, c, target, p, other):
        out = np.zeros((len(c), other.shape[1]))
        for r in range(len(c)):
            a = (other.T * c[r]) @ other + self.ridge(p[r].sum(), len(other)) * np.eye(other.shape[1])
            out[r] = np.linalg.solve(a, other.T @ (c[r] * target[r]))
        return out

    def solve_users(self):
        self.x = self.solve(self.c, self.target, self.p, self.y)

    def solve_items(self):
        self.y = self.solve(self.c.T, self.target.T, self.p.T, self.x)

    def objective(self):
        s = self.x @ self.y.T
        if self.hkv:
            loss = (self.c * (s - self.p) ** 2).sum()
        else:
            loss = ((self.c - self.a0) * (s - self.p) ** 2).sum() + self.a0 * (s * s).sum()
        return loss + self.ridge(self.p.sum(1), self.p.shape[1]) @ (self.x**2).sum(1) + self.ridge(self.p.sum(0), self.p.shape[0]) @ (self.y**2).sum(1)


@functools.lru_cache(None)
def _few_customers():
    _, rows, _, _, _ = _shop()
    first = set(list(dict.fromkeys(row[0] for row in rows))[:CUSTOMERS])
    kept = [row for row in rows if row[0] in first and row[2] > 0]
    often = {item for item, n in collections.Counter(row[1] for row in kept).most_common(500)}
    kept = [row for row in kept if row[1] in often]
    users, items, amounts = pairs(kept)
    return events_db(kept), users, items, amounts, start(len(items), FACTORS, SEED)


HKV_CASES = {f"{form}, power {power}, confidence {confidence}, a0 {a0}, {scale}, {solver}": (form, power, confidence, a0, reg, scale, solver) for form, power, confidence, a0, reg, scale, solver in [
    ("hkv", 0, 40, 1, .1, "linear", "exact"), ("hkv", 1, 2, .1, .003, "log", "exact"), ("hkv", 0, 5, .3, 1, "log", "exact"), ("hkv", .5, 1, 1, .05, "binary", "exact"),
    ("hkv", 1, 0, 1, .003, "log", "exact"), ("hkv", 0, 3, .5, .5, "log", "blocks"), ("rendle", 0, 2, .1, .5, "log", "exact"), ("rendle", .5, 2, .1, .05, "linear", "exact"), ("rendle", 0, 2, .5, .5, "log", "blocks"),
    ("rendle", 2, 1, .05, .0003, "log", "exact")]}
SCALES = {"log": np.log1p, "linear": lambda w: w, "binary": np.ones_like}


@functools.lru_cache(None)
def _hkv_pair(form, power, confidence, a0, reg, scale, solver):
    db, _, _, amounts, first = _few_customers()
    name = f"m{_hkv_pair.cache_info().misses}"
    # blocks as long as the vector: each half of a sweep is exact
    create_model(db, name, algorithm="ials", factors=FACTORS, sweeps=SWEEPS, seed=SEED, confidence=confidence, scale=scale, unobserved_weight=a0, reg=reg, reg_power=power,
                 form=form, solver=solver, block=FACTORS, threads=1)
    train(db, name)
    scaled = amounts.copy()
    scaled.data = SCALES[scale](scaled.data)
    twin, objectives = Hkv(scaled, first, confidence, a0, reg, power, form == "hkv"), []
    for _ in range(SWEEPS):
        for half in (twin.solve_users, twin.solve_items):
            half()
            objectives.append(twin.objective())
    return name, twin, objectives


@claim_each(HKV_CASES)
def ials_objective_equals_the_dense_twins(*case):
    name, _, objectives = _hkv_pair(*case)
    log = _few_customers()[0].execute("SELECT sweep, objective FROM rec_training_log WHERE model = ? ORDER BY sweep", (name,)).fetchall()
    assert all(a >= b * (1 - 1e-12) for a, b in zip(objectives, objectives[1:])), "the twin's objective rises: the twin is wrong"
    want = objectives if case[-1] == "exact" else objectives[1::2]
    same([row[0] for row in log], [(half + 1) / 2 for half in range(2 * SWEEPS)] if case[-1] == "exact" else list(range(1, SWEEPS + 1)), "sweeps")
    close([row[1] for row in log], want, 1e-4, "objective")


@claim_each(HKV_CASES)
def ials_lists_equal_the_dense_twins_fold_in(*case):
    name, twin, _ = _hkv_pair(*case)
    db, users, items, _, _ = _few_customers()
    x = twin.solve(twin.c, twin.target, twin.p, twin.y)
    for u in range(0, len(users), 11):
        scores = twin.y @ x[u]
        limit = 1e-3 * np.abs(scores).max()
        for exclude in (True, False):
            allowed = {item for i, item in enumerate(items) if not (exclude and twin.p[u, i])}
            rows = _list(db, name, users[u], 25, json.dumps({"exclude_seen": exclude}))
            same(len(rows), 25, f"user {users[u]}: rows")
            _check(rows, dict(zip(items, scores)), allowed, limit, f"user {users[u]}, exclude_seen={exclude}")


@claim_each({label: case for label, case in HKV_CASES.items() if case[0] == "hkv"})
def ials_because_splits_an_hkv_score(*case):
    """b_j y_i' A^-1 y_j over the history, b_j = a0 + confidence x_j, as shares of their absolute values' sum."""
    name, twin, _ = _hkv_pair(*case)
    db, users, items, _, _ = _few_customers()
    item_id, compared = {item: i for i, item in enumerate(items)}, 0
    for u in range(0, len(users), 23):
        seen = np.flatnonzero(twin.p[u])
        a = (twin.y.T * twin.c[u]) @ twin.y + twin.ridge(len(seen), len(items)) * np.eye(FACTORS)
        for item, because in db.execute(f"SELECT item, because FROM {name} WHERE user = ? AND k = 3", (users[u],)):
            part = twin.c[u, seen] * (twin.y[seen] @ np.linalg.solve(a, twin.y[item_id[item]]))
            reason = json.loads(because)
            same(reason["source"], "history", "source")
            for shown in reason["items"]:
                at = int(np.flatnonzero(seen == item_id[shown["item"]])[0])
                close(shown["share"], part[at] / np.abs(part).sum(), 2e-3, f"user {users[u]}, {item}: share of {shown['item']}", scale=1)
                compared += 1
    assert compared > 20, f"{compared} shares were compared"


@claim
def reg_power_and_form_change_what_is_learned():
    """By default form=rendle and reg_power=1."""
    db = _few_customers()[0]
    for name, options in {"d0": {}, "d1": {"form": "rendle", "reg_power": 1}, "d2": {"form": "hkv"}, "d3": {"reg_power": 0}}.items():
        create_model(db, name, algorithm="ials", factors=8, sweeps=2, **options)
        train(db, name)
    scores = {name: db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 20", (_few_customers()[1][0],)).fetchall() for name in ("d0", "d1", "d2", "d3")}
    same(scores["d0"], scores["d1"], "the defaults")
    assert len({repr(rows) for rows in scores.values()}) == 3, "form or reg_power changes nothing"


# ---- popular count=trend ----

TREND_CASES = {f"half-life {half_life}, prior {prior}, min_support {support_}": (half_life, prior, support_) for half_life, prior, support_ in [(1, 0, 1), (7, 1, 1), (30, 5.5, 1), (.2, 10, 3)]}


@claim_each(TREND_CASES)
def trend_is_how_far_an_item_is_above_what_its_users_would_give_it(half_life, prior, min_support):
    db, rows, users, _, _ = _shop()
    net, latest = collections.Counter(), {}
    newest = max(row[3] for row in rows)
    for user, item, quantity, at in rows:
        net[user, item] += quantity * .5 ** ((newest - at) / DAY / half_life)
        latest[user, item] = max(at, latest.get((user, item), at))
    kept = [pair for pair, n in net.items() if np.float32(n) > 0]
    holders = collections.Counter(item for _, item in kept)
    kept = [pair for pair in kept if holders[pair[1]] >= min_support]
    s, n = collections.Counter(), collections.Counter()
    for user, item in kept:
        s[item] += .5 ** ((newest - latest[user, item]) / DAY / half_life)
        n[item] += 1
    mean = sum(s.values()) / len(kept)
    want = {item: (s[item] - n[item] * mean) / math.sqrt(n[item] * mean + prior) for item in n}
    name = f"trend{TREND_KEYS.index((half_life, prior, min_support))}"
    create_model(db, name, algorithm="popular", count="trend", half_life=half_life, prior=prior, min_support=min_support)
    train(db, name)
    got = _list(db, name, users[5], options='{"exclude_seen":false}')
    same({item for item, _ in got}, set(want), "items")
    _check(got, want, set(want), 1e-9 * max(map(abs, want.values())), "trend")
    assert got[0][1] > 0 > got[-1][1], "some rise and some fall"


TREND_KEYS = list(TREND_CASES.values())


@claim
def trend_lists_what_is_new_before_what_many_had_and_needs_a_half_life():
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT, quantity INTEGER, bought_at INTEGER)")
    db.executemany("INSERT INTO events VALUES(?,?,1,?)", [(u, "old", 0) for u in range(50)] + [(u, "even", u * DAY) for u in range(30)] + [(u, "new", 29 * DAY) for u in range(8)])
    for name, options in {"t": {"count": "trend", "half_life": 5}, "u": {"half_life": 0}}.items():
        create_model(db, name, algorithm="popular", **options)
        train(db, name)
    same([row[0] for row in db.execute("SELECT item FROM t WHERE user = 40 AND k = 3 AND options = '{\"exclude_seen\":false}' ORDER BY rank")], ["new", "even", "old"], "trend")
    same([row[0] for row in db.execute("SELECT item FROM u WHERE user = 40 AND k = 3 AND options = '{\"exclude_seen\":false}' ORDER BY rank")], ["old", "even", "new"], "users")
    create_model(db, "v", algorithm="popular", count="trend")
    try:
        train(db, "v")
    except sqlite3.Error as error:
        assert "count=trend needs half_life" in str(error), str(error)
    else:
        raise AssertionError("trend without half_life was trained")


# ---- repeat variant=tifu ----

def _tifu_vectors(rows, group, decay, group_decay):
    """{user: {item: p}}. Baskets of one time; of the latest basket b = 0, group b // group, place b % group."""
    times, net, at = collections.defaultdict(set), collections.Counter(), collections.defaultdict(set)
    for user, item, quantity, when in rows:
        times[user].add(when)
        net[user, item] += quantity
        at[user, item].add(when)
    p = collections.defaultdict(dict)
    for (user, item), n in net.items():
        if n <= 0:
            continue
        order = sorted(times[user], reverse=True)
        groups = [order[g:g + group] for g in range(0, len(order), group)]
        total = 0.
        for g, baskets in enumerate(groups):
            inside = sum(decay ** a for a, when in enumerate(baskets) if when in at[user, item])
            total += group_decay ** g * inside / len(baskets)
        if np.float32(total / len(groups)) > 0:
            p[user][item] = float(np.float32(total / len(groups)))
    return p


# ---- cadence ----

def _visits(rows):
    """{user: {item: [times]}} of what is there."""
    net, had = collections.Counter(), collections.defaultdict(lambda: collections.defaultdict(set))
    for user, item, quantity, at in rows:
        net[user, item] += quantity
        if quantity > 0:
            had[user][item].add(at)
    return {user: {item: sorted(times) for item, times in items.items() if net[user, item] > 0} for user, items in had.items()}


def _log_days(a, b):
    return math.log(max((b - a) / DAY, .5))


def _gaps(times):
    return [_log_days(a, b) for a, b in zip(times, times[1:])]


class _Cadence:
    """lift by (how often she had it, ratio), learnt from each user's last three baskets or windows."""

    def __init__(self, rows, group, decay, group_decay, horizon):
        self.visits = _visits(rows)
        self.newest = max(row[3] for row in rows)
        gaps = collections.defaultdict(list)
        for items in self.visits.values():
            for item, times in items.items():
                gaps[item] += _gaps(times)
        every = [gap for of_item in gaps.values() for gap in of_item]
        self.mean = sum(every) / len(every)
        self.sums = {item: (sum(of_item), len(of_item)) for item, of_item in gaps.items()}
        cells = collections.defaultdict(lambda: [0, 0])
        for user, items in self.visits.items():
            baskets = sorted({at for times in items.values() for at in times})
            if horizon:
                moments = [(self.newest - r * horizon * DAY, self.newest - (r - 1) * horizon * DAY) for r in (3, 2, 1)]
            else:
                moments = [(at, at + .5) for at in baskets[max(2, len(baskets) - 3):]]
            for now, end in moments:
                before = {item: [at for at in times if at < now] for item, times in items.items() if times[0] < now}
                came = {item for item, times in items.items() if any(now <= at < end for at in times)}
                if not before or not came:
                    continue
                order = [at for at in reversed(baskets) if at < now]
                groups = [order[g:g + group] for g in range(0, len(order), group)]
                own = {item: self.gap(item, items[item]) for item in before}
                tempo = self.tempo(before, own)
                for item, times in before.items():
                    p = sum(group_decay ** g / len(groups) * sum(decay ** a for a, at in enumerate(inside) if at in times) / len(inside) for g, inside in enumerate(groups))
                    weight = min(max(math.floor(32 + 2 * math.log2(p)), 0), 31)
                    cell = cells[weight, self.count(times), self.ratio(times, own[item], tempo, now)]
                    cell[0] += 1
                    cell[1] += item in came
        shares = {w: sum(c[1] for key, c in cells.items() if key[0] == w) / sum(c[0] for key, c in cells.items() if key[0] == w) for w in {key[0] for key in cells}}
        m = sum(c[1] for c in cells.values()) / sum(c[0] for c in cells.values())
        self.lift = {}
        for count in range(4):
            for ratio in range(17):
                inside = [(key, c) for key, c in cells.items() if key[1] == count and (count == 0 or key[2] == ratio)]
                self.lift[count, ratio] = (sum(c[1] for _, c in inside) + 30 * m) / (sum(c[0] * shares[key[0]] for key, c in inside) + 30 * m)

    def gap(self, item, without=()):
        total, n = self.sums.get(item, (0, 0))
        return (total - sum(_gaps(without)) + 5 * self.mean) / (n - max(len(without) - 1, 0) + 5)

    @staticmethod
    def tempo(items, gap):
        own = [g - gap[item] for item, times in items.items() for g in _gaps(times)]
        return sum(own) / (len(own) + 5)

    @staticmethod
    def count(times):
        return min(len(times) - 1, 2) if len(times) < 5 else 3

    @staticmethod
    def ratio(times, gap, tempo, now):
        ratio = _log_days(times[-1], now) - (sum(_gaps(times)) + 2 * (gap + tempo)) / (len(times) + 1)
        return min(max(math.floor(2 * ratio + 8 + .5), 0), 16)

    def factors(self, items, own):
        """own: {item: p}; items: {item: times}."""
        gap = {item: self.gap(item) for item in items}
        tempo, now = self.tempo(items, gap), max([self.newest, *(times[-1] for times in items.values())])
        lift = {item: self.lift[self.count(times), self.ratio(times, gap[item], tempo, now)] for item, times in items.items()}
        scale = sum(own.values()) / sum(own[item] * lift[item] for item in own)
        return {item: lift[item] * scale for item in own}


@claim_each({"next basket": (0, False), "ten days": (10, False), "what is bought since": (10, True)})
def tifu_by_cadence_is_its_twin(horizon, is_live):
    db, rows, users = _frequent()
    name = f"cadence_{horizon}_{int(is_live)}"
    create_model(db, name, algorithm="repeat", variant="tifu", cadence="true", horizon=horizon, alpha=1)
    train(db, name)
    cadence = _Cadence(rows, 7, .9, .7, horizon)
    same(len({round(lift, 6) for lift in cadence.lift.values()}) > 20, True, "many lifts")
    items, newest, asked = {row[1] for row in rows}, max(row[3] for row in rows), users[2::7]
    live = [(user, row[1], 1, newest + DAY) for user in asked for row in [next(row for row in rows if row[0] == user)]] if is_live else []
    db.execute("SAVEPOINT s")
    db.executemany("INSERT INTO events VALUES(?,?,?,?)", live)
    wrong = compared = 0
    try:
        now, visits = _tifu_vectors([*rows, *live], 7, .9, .7), _visits([*rows, *live])
        for user in asked:
            own = {item: v for item, v in now[user].items() if item in items}
            factor = cadence.factors({item: visits[user][item] for item in own}, own)
            got = dict(_list(db, name, user))
            compared += len(own)
            wrong += sum(abs(got[item] - own[item] * factor[item]) > 2e-5 * max(own.values()) for item in own)
            total = sum(got[item] for item in own)
            close(total, sum(own.values()), 1e-5, f"user {user}: the sum stays")
    finally:
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")
    assert compared > 500 and wrong <= .002 * compared, f"{wrong} of {compared} differ (a ratio may round to another place)"


@claim
def cadence_needs_times():
    db, _, _ = _frequent()
    create_model(db, "timeless", algorithm="repeat", variant="tifu", cadence="true", time=None)
    try:
        train(db, "timeless")
    except sqlite3.Error as error:
        assert "cadence needs the model's time= column" in str(error), str(error)
    else:
        raise AssertionError("cadence without times was trained")


@claim
def a_cart_has_no_cadence():
    db, _, _ = _frequent()
    create_model(db, "with_cadence", algorithm="repeat", variant="tifu", cadence="true")
    create_model(db, "without", algorithm="repeat", variant="tifu")
    train(db, "with_cadence")
    train(db, "without")
    basket = json.dumps([item for item, in db.execute("SELECT DISTINCT item FROM without WHERE user = (SELECT min(customer_id) FROM events) AND k = 5")])
    ask = "SELECT item, score FROM {} WHERE basket = ? AND k = 20"
    same(db.execute(ask.format("with_cadence"), (basket,)).fetchall(), db.execute(ask.format("without"), (basket,)).fetchall(), "lists of a cart")
    part = one(db, "SELECT json_group_array(json(because)) FROM with_cadence WHERE user = (SELECT min(customer_id) FROM events) AND k = 3")
    same("unexplained" in part, False, part)


def _tifu_scores(own, p, neighbours, alpha):
    """Scores of everything, and None where rounding decides who is among the neighbours. p in the order of the users' keys."""
    near = []
    size = sum(v * v for v in own.values())
    for place, (user, other) in enumerate(p.items()):
        distance = sum((own.get(item, 0) - other.get(item, 0)) ** 2 for item in own.keys() | other.keys())
        if distance > 1e-10 * size:
            near.append((distance, place, other))
    near.sort(key=lambda row: row[:2])
    if len(near) > neighbours and 0 < near[neighbours][0] - near[neighbours - 1][0] < 1e-9 * near[neighbours][0]:
        return None
    near = near[:neighbours]
    scores = collections.defaultdict(float, {item: alpha * v for item, v in own.items()})
    for _, _, other in near:
        for item, v in other.items():
            scores[item] += (1 - alpha) * v / len(near)
    return {item: v for item, v in scores.items() if v > 0}


TIFU_CASES = {"defaults": {}, "groups of one": {"group": 1, "group_decay": .6}, "groups of two": {"group": 2, "decay": .5, "group_decay": .3, "neighbours": 20}, "no decay": {"decay": 1, "group_decay": 1, "group": 3},
              "only her own": {"alpha": 1}, "only the others'": {"alpha": 0, "neighbours": 1}, "the last basket": {"decay": 0, "group_decay": 0, "group": 2}, "all neighbours": {"neighbours": 100000, "alpha": .3}, "half-life and scale do nothing": {"half_life": 1, "scale": "linear"}}
TIFU_DEFAULTS = {"neighbours": 300, "alpha": .7, "group": 7, "decay": .9, "group_decay": .7}


@functools.lru_cache(None)
def _frequent():
    """The 150 customers with most baskets: many have several groups."""
    rows = [row for row in retail(60000)]
    baskets = collections.defaultdict(set)
    for row in rows:
        baskets[row[0]].add(row[3])
    first = set(sorted(baskets, key=lambda user: -len(baskets[user]))[:150])
    rows = [row for row in rows if row[0] in first]
    rows = rows[::3]
    rows += [(user, item, -quantity, at + 60) for user, item, quantity, at in rows[::50]]
    return events_db(rows), tuple(rows), sorted(first)


def _check_tifu(db, name, rows, options, users, live=()):
    o = {**TIFU_DEFAULTS, **options}
    by = {key: o[key] for key in ("group", "decay", "group_decay")}
    p = _tifu_vectors(rows, **by)
    p = {user: p[user] for user in sorted(p)}
    items = {item for row in p.values() for item in row}
    now = _tifu_vectors([*rows, *live], **by)
    net = collections.Counter()
    for user, item, quantity, _ in [*rows, *live]:
        net[user, item] += quantity
    had = collections.defaultdict(set)  # also what is in no basket that counts
    for (user, item), n in net.items():
        if n > 0:
            had[user].add(item)
    compared = 0
    for user in users:
        own = {item: v for item, v in now[user].items() if item in items}
        want = _tifu_scores(own, p, o["neighbours"], o["alpha"]) if own else {}  # without a history she gets the popular list
        if want is None:
            continue
        compared += 1
        for exclude in (False, True):
            allowed = items - (had[user] if exclude else set())
            got = _list(db, name, user, options=json.dumps({"exclude_seen": exclude}))
            same({item for item, _ in got}, allowed, f"user {user}: items")
            _check(got, want, allowed, 2e-6 * max(want.values(), default=0), f"user {user}, exclude_seen={exclude}")
            same({item for item, score in got if score > 0}, {item for item in want if item in allowed}, f"user {user}: those that score")
    assert compared > .7 * len(users), f"{compared} of {len(users)} users could be compared"


@claim_each({label: (label,) for label in TIFU_CASES})
def tifu_blends_baskets_with_the_nearest_users(label):
    db, rows, users = _frequent()
    name = f"tifu{list(TIFU_CASES).index(label)}"
    create_model(db, name, algorithm="repeat", variant="tifu", **TIFU_CASES[label])
    train(db, name)
    same(max(len({row[3] for row in rows if row[0] == user}) for user in users) > 14, True, "several groups")
    _check_tifu(db, name, rows, TIFU_CASES[label], users[::9])


@claim_each({label: (label,) for label in ("defaults", "groups of two")})
def tifu_counts_a_basket_at_once(label):
    """What is bought since makes the newest basket: all others move on by one, and the neighbours are those of the new p."""
    db, rows, users = _frequent()
    name = f"tifu_live_{label.split()[0]}"
    create_model(db, name, algorithm="repeat", variant="tifu", **TIFU_CASES[label])
    train(db, name)
    items, newest, asked = sorted({row[1] for row in rows}), max(row[3] for row in rows), users[1::15]
    live = [(user, items[(n * 37 + j * 11) % len(items)], 1, newest + DAY) for n, user in enumerate(asked) for j in range(3)] + [(user, items[5], 1, newest + 2 * DAY) for user in asked[::2]]
    before = {user: _list(db, name, user, 20) for user in asked}
    db.execute("SAVEPOINT s")
    db.executemany("INSERT INTO events VALUES(?,?,?,?)", live)
    try:
        assert all(_list(db, name, user, 20) != before[user] for user in asked), "nothing has changed"
        _check_tifu(db, name, rows, TIFU_CASES[label], asked, live)
    finally:
        db.execute("ROLLBACK TO s")
        db.execute("RELEASE s")
    same({user: _list(db, name, user, 20) for user in asked}, before, "and back")


@claim
def tifu_by_hand():
    """Three baskets of one user, one neighbour; group=2: groups {3rd, 2nd... from the latest}."""
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT, quantity INTEGER, bought_at INTEGER)")
    db.executemany("INSERT INTO events VALUES(?,?,?,?)", [(1, "a", 5, 10), (1, "b", 1, 10), (1, "a", 1, 20), (1, "a", 2, 30), (1, "c", 1, 30), (1, "c", 1, 30), (2, "a", 1, 15), (2, "d", 1, 15)])
    create_model(db, "m", algorithm="repeat", variant="tifu", group=2, decay=.5, group_decay=.4, alpha=.75, neighbours=1)
    train(db, "m")
    got = dict(_list(db, "m", 1))
    own = {"a": (1 + .5) / 2 / 2 + .4 * 1 / 1 / 2, "b": .4 / 2, "c": 1 / 2 / 2}
    want = {item: .75 * own.get(item, 0) + .25 * {"a": 1, "d": 1}.get(item, 0) for item in "abcd"}
    close([got[item] for item in "abcd"], [want[item] for item in "abcd"], 1e-6, "a, b, c, d")
    shown = json.loads(one(db, "SELECT because FROM m WHERE user = 1 AND item = 'b'"))
    same([part["item"] for part in shown["items"]], ["b"], "because")


@claim
def tifu_with_rare_items_left_out_weighs_a_history_as_training_did():
    """A basket of nothing but rare items is a basket in training; asked for, the same history has the same p (distance 0: she is not her own neighbour)."""
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT, quantity INTEGER, bought_at INTEGER)")
    db.executemany("INSERT INTO events VALUES(?,?,1,?)", [(1, "a", 10), (1, "rare", 20), (2, "a", 10), (2, "b", 20), (3, "b", 5), (3, "c", 9), (4, "c", 3)])
    create_model(db, "m", algorithm="repeat", variant="tifu", min_support=2, group=1, group_decay=.5, alpha=1, neighbours=1)
    train(db, "m")
    got = dict(_list(db, "m", 1))
    close(got["a"], .5 / 2, 1e-6, "the second basket from the latest, of two groups")


# ---- rec_rules ----

def _rules(x, users, items, min_confidence):
    """{(item, then_item): (c, support, confidence, lift, conviction)} of the binary matrix."""
    shared = (x.T @ x).tocoo()
    degree, out = np.asarray(x.sum(0)).ravel(), {}
    for j, i, c in zip(shared.row, shared.col, shared.data):
        if i != j and c / degree[j] >= min_confidence:
            conviction = (1 - degree[i] / len(users)) / (1 - c / degree[j]) if c < degree[j] else None
            out[items[j], items[i]] = (int(c), c / len(users), c / degree[j], c * len(users) / (degree[j] * degree[i]), conviction)
    return out


def _check_rules(got, want, what):
    listed = [row[:2] for row in got]
    same((sorted(set(want) - set(listed))[:5], sorted(set(listed) - set(want))[:5]), ([], []), f"{what}: rules that are missing, and that are too much")
    same(listed == sorted(want), True, f"{what}: in key order")
    for row in got:
        c, *numbers = want[row[:2]]
        same(row[2], c, f"{what} {row[:2]}: users")
        close(row[3:6], numbers[:3], 1e-12, f"{what} {row[:2]}")
        same(row[6] is None, numbers[3] is None, f"{what} {row[:2]}: conviction is NULL")
        if numbers[3] is not None:
            close(row[6], numbers[3], 1e-9, f"{what} {row[:2]}: conviction", scale=max(1, abs(numbers[3])))


@functools.lru_cache(None)
def _ruled():
    db, rows, users, items, amounts = _shop()
    binary = amounts.copy()
    binary.data[:] = 1
    create_model(db, "plain", algorithm="popular")
    return db, users, items, sparse.csr_matrix(binary)


@claim_each({f"min_confidence {least}": (least,) for least in (.5, .75, 1, .28)})
def rec_rules_equal_scipys_counts(least):
    db, users, items, x = _ruled()
    got = db.execute("SELECT * FROM rec_rules('plain', ?)", (least,)).fetchall()
    assert len(got) > 100, f"{len(got)} rules"
    _check_rules(got, _rules(x, users, items, least), "all")


@claim
def rec_rules_from_one_item():
    db, users, items, x = _ruled()
    want = _rules(x, users, items, .1)
    some = [items[i] for i in np.argsort(-np.asarray(x.sum(0)).ravel())[:300:60]]
    for item in some:
        own = {pair: rule for pair, rule in want.items() if pair[0] == item}
        _check_rules(db.execute("SELECT * FROM rec_rules('plain', NULL, ?)", (item,)).fetchall(), own, "the default .1")
        every = db.execute("SELECT * FROM rec_rules('plain', 0, ?)", (item,)).fetchall()
        _check_rules(every, {pair: rule for pair, rule in _rules(x, users, items, 0).items() if pair[0] == item} if item == some[0] else {row[:2]: row[2:] for row in every}, "all")
        assert len(every) > len(own)
    same(db.execute("SELECT * FROM rec_rules('plain', 0, 'no such')").fetchall(), [], "an unknown item")


@claim
def rec_rules_min_confidence_takes_the_rule_that_has_exactly_that():
    """c / d as the column says: 7 of 25 is .28, which times 25 is more than 7 in float64."""
    for c, d in ((7, 25), (15, 29), (29, 35), (1, 3), (11, 20)):
        db = connect()
        db.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT)")
        db.executemany("INSERT INTO events VALUES(?,?)", [(u, "a") for u in range(d)] + [(u, "b") for u in range(c)] + [(99, "b")])
        create_model(db, "m", weight=None, time=None)
        same(db.execute("SELECT then_item, confidence FROM rec_rules('m', ?, 'a')", (c / d,)).fetchall(), [("b", c / d)], f"{c} of {d}")
        same(db.execute("SELECT then_item FROM rec_rules('m', ?, 'a')", (math.nextafter(c / d, 1),)).fetchall(), [], f"{c} of {d}, a hair more")


@claim
def rec_rules_use_the_events_now_and_the_models_limits():
    db, rows, users, items, _ = _shop()
    create_model(db, "limited", algorithm="item_knn", min_support=5, max_history=20)
    latest, net = {}, collections.Counter()
    for user, item, quantity, at in rows:
        net[user, item] += quantity
        latest[user, item] = max(at, latest.get((user, item), at))
    by_user = collections.defaultdict(list)
    for (user, item), n in net.items():
        if n > 0:
            by_user[user].append((-latest[user, item], item))
    kept = [(user, item) for user, row in by_user.items() for _, item in sorted(row)[:20]]
    holders = collections.Counter(item for _, item in kept)
    kept = [(user, item, 1) for user, item in kept if holders[item] >= 5]
    users, items, x = pairs(kept)
    _check_rules(db.execute("SELECT * FROM rec_rules('limited', .2)").fetchall(), _rules(x, users, items, .2), "limited")
    small = connect()
    small.execute("CREATE TABLE events(customer_id INTEGER, stock_code TEXT)")
    small.executemany("INSERT INTO events VALUES(?,?)", [(1, "a"), (1, "b"), (2, "a")])
    create_model(small, "m", weight=None, time=None)
    rule = lambda: small.execute("SELECT users, confidence, conviction FROM rec_rules('m', 0, 'a') WHERE then_item = 'b'").fetchall()
    same(rule(), [(1, .5, 1.)], "before: untrained models will do")
    small.execute("INSERT INTO events VALUES(2, 'b')")
    same(rule(), [(2, 1., None)], "after")


# ---- the splits of tuning and rec_crossval ----

@functools.lru_cache(None)
def _clock():
    """Events with many equal times, repeats and returns."""
    draw = np.random.default_rng(9)
    rows = [(int(u), f"i{int(i)}", int(q), int(t)) for u, i, q, t in zip(draw.integers(0, 70, 1500), draw.zipf(1.4, 1500) % 45, draw.choice([1, 1, 1, 2, 3, -1], 1500), draw.integers(0, 200, 1500) * 3600)]
    return events_db(rows), tuple(rows)


TRIED = {"item_knn": {"similarity": "cosine", "neighbours": 7}, "popular": {"half_life": 2}, "ials": {"factors": 8, "sweeps": 2}, "repeat": {"half_life": 3}, "tifu": {"variant": "tifu", "group": 3, "neighbours": 10},
         "user_knn": {"neighbours": 9}, "session_knn": {"neighbours": 20}, "min_support": {"min_support": 6}, "max_history": {"max_history": 4}, "ease": {"reg": 10}, "graph": {"factors": 8},
         "slim": {"l1": .1, "l2": 5}, "bpr": {"factors": 8}, "mf": {"factors": 8}, "blend": {"fusion": "rrf"}, "hkv": {"form": "hkv", "reg_power": 0, "reg": 1, "factors": 8}, "trend": {"count": "trend", "half_life": 2}}


def _history(rows, cut, options):
    """The pairs before the cut that count as seen by a version with the options: what is there at all, of the items that it knows
    by each user's latest max_history. Of ratings every pair is there."""
    net, latest = collections.Counter(), {}
    for user, item, quantity, at in rows:
        if at < cut:
            net[user, item] += quantity
            latest[user, item] = max(at, latest.get((user, item), at))
    there = {pair for pair, n in net.items() if n > 0 or options["algorithm"] == "mf"}
    by_user = collections.defaultdict(list)
    for user, item in there:
        by_user[user].append((-latest[user, item], item))
    holders = collections.Counter(item for row in by_user.values() for _, item in sorted(row)[:options.get("max_history")])
    return {(user, item) for user, item in there if holders[item] >= options.get("min_support", 1)}


def _trial(db, name, tried, options):
    algorithm = {"tifu": "repeat", "min_support": "item_knn", "max_history": "item_knn", "hkv": "ials", "trend": "popular"}.get(tried, tried)
    space = {key: [value] for key, value in TRIED[tried].items()}
    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('tune', ?)", (json.dumps({"algorithm": algorithm, "space": space, "sampler": "grid", "activate": "never", **options}),))
    (shown, value, users), = db.execute("SELECT options, value, users FROM rec_trials WHERE model = ? ORDER BY trial DESC LIMIT 1", (name,)).fetchall()
    same(json.loads(shown), {"algorithm": algorithm, **TRIED[tried]}, "the trial's options")
    return shown, value, users


@claim_each({f"{tried}, share {share}, {metric}": (tried, share, metric) for tried, share, metric in
             [*((tried, .2, "ndcg") for tried in TRIED), ("item_knn", .1, "recall"), ("item_knn", .4, "ap"), ("repeat", .3, "precision"), ("popular", .1, "hit"), ("ials", .1, "rr")]})
def a_trial_by_time_is_the_evaluation_of_a_version_trained_until_the_cut(tried, share, metric):
    db, rows = _clock()
    name = f"by_time_{tried}_{round(100 * share)}_{metric}"
    create_model(db, name)
    shown, value, users = _trial(db, name, tried, {"share": share, "metric": metric, "k": 5})
    cut = sorted(row[3] for row in rows)[math.floor((1 - share) * len(rows) + 1e-9)]
    train(db, name, json.dumps({**json.loads(shown), "until": cut}))
    # the held pairs, netted; where repeats are left out those of the history that is trained on are no questions
    options = json.loads(shown)
    had = _history(rows, cut, options) if options["algorithm"] not in ("repeat", "session_knn") else set()
    net = collections.Counter()
    for user, item, quantity, at in rows:
        net[user, item] += quantity if at >= cut else 0
    db.execute("DROP TABLE IF EXISTS held")
    db.execute("CREATE TABLE held(customer_id INTEGER, stock_code TEXT)")
    db.executemany("INSERT INTO held VALUES(?,?)", sorted(pair for pair, n in net.items() if n > 0 and pair not in had))
    (want, n), = db.execute("SELECT value, users FROM rec_evaluate(?, 'held', '{\"k\":5,\"bootstrap\":0}') WHERE model = ? AND metric = ?", (name, name, metric)).fetchall()
    same(users, n, "users")
    assert 20 < n and 0 < value < 1, f"{value} of {n} users"
    close(value, want, 1e-12, metric)


@claim_each({tried: (tried,) for tried in ("item_knn", "popular", "ials", "repeat")})
def a_trial_of_the_last_item_is_the_evaluation_by_a_view(tried):
    """Held out: of every user with two items or more all events of the item that she got to know last. The rest is another table."""
    rows = [(u, i, 1, t + n) for n, (u, i, _, t) in enumerate(_clock()[1])]  # no two at one time: t is in hours
    same(len({row[3] for row in rows}), len(rows), "times")
    db = events_db(rows)
    first, items_of = {}, collections.defaultdict(set)
    for user, item, _, at in rows:
        first[user, item] = min(at, first.get((user, item), at))
        items_of[user].add(item)
    last = {user: max(items, key=lambda item: first[user, item]) for user, items in items_of.items() if len(items) > 1}
    db.execute("CREATE TABLE rest(customer_id INTEGER, stock_code TEXT, quantity INTEGER, bought_at INTEGER)")
    db.executemany("INSERT INTO rest VALUES(?,?,?,?)", [row for row in rows if last.get(row[0]) != row[1]])
    db.execute("CREATE TABLE held(customer_id INTEGER, stock_code TEXT)")
    db.executemany("INSERT INTO held VALUES(?,?)", list(last.items()))
    create_model(db, "m")
    create_model(db, "r", events="rest")
    for metric in ("ndcg", "hit"):
        shown, value, users = _trial(db, "m", tried, {"split": "last", "metric": metric, "k": 8, "exclude_seen": True})
        train(db, "r", shown)
        (want, n), = db.execute("SELECT value, users FROM rec_evaluate('r', 'held', '{\"k\":8,\"bootstrap\":0,\"exclude_seen\":true}') WHERE model = 'r' AND metric = ?", (metric,)).fetchall()
        same((users, n), (len(last), len(last)), "users")
        close(value, want, 1e-12, metric)
        assert value > 0, f"{value}"


@claim
def a_trial_of_content_knows_the_catalogues_items_that_nobody_had_before_the_cut():
    rows = [(u, i, 1, t) for n, (u, i, _, t) in enumerate(_clock()[1])]
    rows = [(u, i if t < 160 * 3600 or n % 2 else i + "new", q, t) for n, (u, i, q, t) in enumerate(rows)]
    db = events_db(rows)
    words = {item: f"{'red blue green'.split()[int(item.rstrip('new')[1:]) % 3]} {'cup hat'.split()[int(item.rstrip('new')[1:]) % 2]}" for item in {row[1] for row in rows}}
    db.execute("CREATE TABLE products(item TEXT PRIMARY KEY, words TEXT)")
    db.executemany("INSERT INTO products VALUES(?,?)", sorted(words.items()))
    create_model(db, "m", items="products", item_key="item", item_text="words", algorithm="content")
    cut = sorted(row[3] for row in rows)[round(.8 * len(rows))]
    same(sum(item.endswith("new") and at >= cut for _, item, _, at in rows) > 50 and not any(item.endswith("new") and at < cut for _, item, _, at in rows if at < 160 * 3600), True, "cold items")
    db.execute("INSERT INTO m(m, arg) VALUES('tune', ?)", (json.dumps({"space": {"weighting": ["tfidf", "bm25"]}, "sampler": "grid", "activate": "never", "share": .2, "k": 30, "metric": "recall"}),))
    got = db.execute("SELECT options, value, users FROM rec_trials").fetchall()
    had = _history(rows, cut, {})
    db.execute("CREATE TABLE held(customer_id INTEGER, stock_code TEXT)")
    db.executemany("INSERT INTO held VALUES(?,?)", sorted({row[:2] for row in rows if row[3] >= cut} - had))
    for shown, value, users in got:
        train(db, "m", json.dumps({**json.loads(shown), "until": cut}))
        want = db.execute("SELECT value, users FROM rec_evaluate('m', 'held', '{\"k\":30,\"bootstrap\":0}') WHERE model = 'm' AND metric = 'recall'").fetchall()
        same(users, want[0][1], shown)
        close(value, want[0][0], 1e-12, shown)
    cold = db.execute("SELECT sum(value) FROM rec_evaluate_users('m', 'held', '{\"k\":45}') WHERE metric = 'hit'").fetchall()
    assert cold[0][0] > 0 and got[0][1] > 0, f"{got}"


@claim
def a_trial_of_random_pairs_is_the_first_fold_of_crossval():
    db, _ = _clock()
    create_model(db, "split_random")
    for seed, folds in ((1, 5), (3, 2)):
        shown, value, users = _trial(db, "split_random", "item_knn", {"split": "random", "metric": "recall", "k": 6, "seed": seed, "folds": folds, "judged": 1})
        got = db.execute("SELECT fold, value, users FROM rec_crossval('split_random', ?) WHERE metric = 'recall'", (json.dumps({"k": 6, "seed": seed, "folds": folds, "train": json.loads(shown)}),)).fetchall()
        same(len(got), folds, "folds")
        same((got[0][0], got[0][2]), (1, users), "the first fold")
        close(got[0][1], value, 1e-12, "the first fold")
        assert len({row[1] for row in got}) == folds, "the folds are different parts"


@claim
def crossvals_folds_share_out_all_pairs():
    """The popular list of all items has every held pair, so that precision x items x users counts them: over the folds all pairs, as long as every
    user keeps a pair to be trained on."""
    db = connect()
    db.execute("CREATE TABLE events(customer_id INTEGER, stock_code INTEGER, quantity INTEGER, bought_at INTEGER)")
    draw = np.random.default_rng(4)
    pairs_ = {(int(u), int(i)) for u, i in zip(draw.integers(0, 90, 2600), draw.integers(0, 40, 2600))}
    db.executemany("INSERT INTO events VALUES(?,?,1,?)", [(u, i, t) for u, i in sorted(pairs_) for t in (1, 2)])  # each twice: both go the same way
    create_model(db, "m", algorithm="popular")
    for folds, seed in ((2, 1), (5, 1), (5, 8)):
        got = {(fold, metric): (value, users) for fold, metric, value, users in db.execute("SELECT fold, metric, value, users FROM rec_crossval('m', ?)", (json.dumps({"folds": folds, "seed": seed, "k": 40, "exclude_seen": False}),))}
        held = [got[fold, "precision"][0] * 40 * got[fold, "precision"][1] for fold in range(1, folds + 1)]
        same([got[fold, "recall"][0] for fold in range(1, folds + 1)], [1.] * folds, "every held item is listed")
        close(held, np.round(held), 1e-9, "held pairs are whole numbers", scale=1)
        same(max(got[fold, "hit"][1] for fold in range(1, folds + 1)) <= 90, True, "users")
        same(round(sum(held)), len(pairs_), "the folds' pairs are all pairs")
        assert all(.7 * len(pairs_) / folds < n < 1.3 * len(pairs_) / folds for n in held), f"{held}: parts of a like size"
        again = db.execute("SELECT fold, metric, value, users FROM rec_crossval('m', ?)", (json.dumps({"folds": folds, "seed": seed, "k": 40, "exclude_seen": False}),)).fetchall()
        same({row[:2]: row[2:] for row in again}, got, "reproducible")


@claim
def crossvals_values_lie_about_a_plain_evaluation():
    """Of item_knn on a shop of two clubs a fold says about what an evaluation on a random part of our own says; the order of the rows does not matter."""
    rows = [(u, (u % 2) * 25 + (u * 7 + j * j) % 25, 1, j) for u in range(120) for j in range(14)]
    values = []
    for order in (1, -1):
        db = events_db(rows[::order])
        create_model(db, "m", algorithm="item_knn", similarity="cosine")
        values.append(db.execute("SELECT fold, metric, value, users FROM rec_crossval('m', '{\"k\":10,\"seed\":2}') ORDER BY 1, 2").fetchall())
    same(values[0], values[1], "events in another order")
    db.execute("CREATE TABLE rest AS SELECT * FROM events WHERE rec_bucket(customer_id || '/' || stock_code, 3, 5) <> 0")
    db.execute("CREATE VIEW held AS SELECT DISTINCT customer_id, stock_code FROM events WHERE rec_bucket(customer_id || '/' || stock_code, 3, 5) = 0")
    create_model(db, "r", algorithm="item_knn", similarity="cosine", events="rest")
    train(db, "r")
    plain = dict(db.execute("SELECT metric, value FROM rec_evaluate('r', 'held', '{\"k\":10,\"bootstrap\":0}') WHERE model = 'r'"))
    for fold, metric, value, _ in values[0]:
        assert abs(value - plain[metric]) < .15, f"fold {fold}, {metric}: {value}, an evaluation of our own says {plain[metric]}"
