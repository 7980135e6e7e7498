"""Models of what comes next against plain Python, from the formulas of the reference page: ordered pairs and fading
histories on real baskets, on clicks in sessions and in carts."""
import collections
import functools
import json

import numpy as np

from support import claim, claim_each, close, connect, create_model, events_db, one, retail, same, train

SALES = 12000
DAY = 86400


@functools.lru_cache(None)
def _shop():
    rows = retail(SALES)
    return events_db(rows), rows


def _sequences(rows):
    """{user: [(time, item), ..]} in the order of time, of one time by key, each (time, item) once."""
    had = collections.defaultdict(set)
    for user, item, _, at in rows:
        had[user].add((at, item))
    return {user: sorted(visits) for user, visits in had.items()}


def _last(sequence):
    """A history: distinct items by when they were had last."""
    at = {}
    for when, item in sequence:
        at[item] = max(when, at.get(item, when))
    return sorted((when, item) for item, when in at.items())


def _places(sequence):
    times = sorted({at for at, _ in sequence})
    return [times.index(at) for at, _ in sequence]


def _ordered_counts(sequences, item_id, decay, reverse, window):
    c = np.zeros((len(item_id), len(item_id)))
    for sequence in sequences.values():
        place = _places(sequence)
        ids = [item_id[item] for _, item in sequence]
        for a in range(len(ids)):
            for b in range(a + 1, len(ids)):
                g = place[b] - place[a]
                if g > window:
                    continue
                forward, backward = (decay ** (g - 1), reverse * decay ** (g - 1)) if g else ((1 + reverse) / 2,) * 2
                c[ids[a], ids[b]] += forward
                c[ids[b], ids[a]] += backward  # an item that came again is after itself, and before
    return c


def _recency(sequence, factor, half_life):
    place, last = _places(sequence), sequence[-1][0]
    return np.array([factor ** (place[-1] - p) * (2 ** ((at - last) / DAY / half_life) if half_life else 1)
                     for p, (at, _) in zip(place, sequence)])


DEFAULTS = {"decay": .9, "reverse": .3, "window": 50, "source_power": .4, "target_power": .1, "shrink": 8, "recency": .7,
            "recency_days": 0}
CASES = {"default": {}, "one way": {"reverse": 0, "decay": .5}, "next only": {"window": 1, "shrink": 0, "source_power": 1},
         "by days": {"recency_days": 20, "recency": 1}, "both": {"recency_days": 40, "recency": .5, "target_power": .5},
         "last alone": {"recency": 0}, "per target": {"per": "target"}}


@functools.lru_cache(None)
def _ordered_model(label):
    """The name of the trained model, s, its items and the sequences."""
    db, rows = _shop()
    options = {**DEFAULTS, **CASES[label]}
    sequences = _sequences(rows)
    items = sorted({item for _, item, _, _ in rows})
    item_id = {item: i for i, item in enumerate(items)}
    c = _ordered_counts(sequences, item_id, options["decay"], options["reverse"], options["window"])
    h = options["shrink"]
    discount = (c.sum(1)[:, None] + h) ** options["source_power"] * (c.sum(0)[None, :] + h) ** options["target_power"]
    s = np.divide(c, discount, out=np.zeros_like(c), where=c > 0)
    name = "o" + label.replace(" ", "_")
    create_model(db, name, algorithm="item_knn", pairs="ordered", neighbours=100000, scale="binary", **CASES[label])
    train(db, name)
    return name, s, items, sequences


@claim_each({label: (label,) for label in CASES})
def ordered_neighbours_equal_plain_python(label):
    db, _ = _shop()
    name, s, items, _ = _ordered_model(label)
    for j in np.linspace(0, len(items) - 1, 25).astype(int):
        want = {items[i]: s[j, i] for i in np.flatnonzero(s[j]) if i != j}
        got = dict(db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = ? AND score > 0",
                              (items[j], len(items))))
        same(set(got), set(want), f"neighbours of {items[j]}")
        close([got[i] for i in want], list(want.values()), 1e-5, f"neighbours of {items[j]}")


def _want_list(s, items, sequence, options):
    item_id = {item: i for i, item in enumerate(items)}
    sequence = _last(sequence)
    ids = [item_id[item] for _, item in sequence]
    x = _recency(sequence, options["recency"], options["recency_days"])
    return x[:, None] * s[ids], ids


@claim_each({label: (label,) for label in CASES})
def lists_fade_with_the_places_of_the_history(label):
    """And because names the very terms of the sum."""
    db, _ = _shop()
    name, s, items, sequences = _ordered_model(label)
    options = {**DEFAULTS, **CASES[label]}
    for user in sorted(sequences)[::20]:
        terms, ids = _want_list(s, items, sequences[user], options)
        want = terms.sum(0)
        want[ids] = 0
        rows = db.execute(f"SELECT item, score, because FROM {name} WHERE user = ? AND k = 30", (user,)).fetchall()
        rows = [row for row in rows if row[1] > 0]
        assert len(rows) == min(30, np.count_nonzero(want)), f"user {user}: {len(rows)} rows"
        close([row[1] for row in rows], np.sort(want)[::-1][:len(rows)], 1e-5, f"user {user}: scores")
        for item, score, because in rows[:3]:
            part = terms[:, items.index(item)]
            close(score, part.sum(), 1e-5, f"user {user}, item {item}")
            share = np.sort(part[part > 0] / part.sum())[::-1][:5]
            close([row["share"] for row in json.loads(because)["items"]], share, 1e-4, f"user {user}, item {item}", scale=1)


@claim
def the_order_of_a_cart_counts():
    db, _ = _shop()
    name, s, items, sequences = _ordered_model("default")
    user = max(sequences, key=lambda u: len(sequences[u]))
    cart = [item for _, item in _last(sequences[user])][:6]
    for basket in (cart, cart[::-1]):
        ids = [items.index(item) for item in basket]
        want = (.7 ** np.arange(len(ids))[::-1, None] * s[ids]).sum(0)
        want[ids] = 0
        got = [row[0] for row in db.execute(f"SELECT score FROM {name} WHERE basket = ? AND k = 20", (json.dumps(basket),))]
        close(got, np.sort(want)[::-1][:20], 1e-5, f"cart {basket}")


@claim
def a_session_is_one_sequence():
    """Pairs never cross the border of two sessions, and a list comes from the latest session alone."""
    db = connect()
    db.execute("CREATE TABLE clicks(visitor, page, at, visit)")
    db.executemany("INSERT INTO clicks VALUES(?,?,?,?)",
                   [(1, "a", 1, 1), (1, "b", 2, 1), (1, "c", 3, 2), (1, "d", 4, 2), (2, "b", 5, 3), (2, "c", 6, 3)])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=clicks, user=visitor, item=page, time=at, session=visit, algorithm=item_knn, "
               "pairs=ordered, shrink=0, source_power=0, target_power=0, reverse=.25, scale=binary)")
    train(db, "m")
    near = lambda page: dict(db.execute("SELECT item, score FROM m WHERE similar_to = ? AND k = 9 AND score > 0", (page,)))
    same(near("a"), {"b": 1}, "after a")
    same(near("b"), {"c": 1, "a": .25}, "after b")
    same(near("c"), {"d": 1, "b": .25}, "after c")
    same(db.execute("SELECT item, score FROM m WHERE user = 1 AND k = 1").fetchall(), [("b", .7 * .25)], "the list of visit 2")


@claim
def without_an_order_there_is_an_error():
    db, _ = _shop()
    create_model(db, "no_time", algorithm="item_knn", pairs="ordered", time=None)
    try:
        train(db, "no_time")
    except Exception as error:
        assert "needs the order of the events" in str(error), error
    else:
        raise AssertionError("trained without an order")
    same(one(db, "SELECT count(*) FROM rec_versions WHERE model = 'no_time'"), 0, "versions")


# ---- what linear models learn from ----

BUYERS = 12  # an item


@functools.lru_cache(None)
def _often_bought():
    """The sales of items with so many customers: a database, the sequences, the items."""
    rows = retail(20000)
    buyers = collections.Counter(item for item, _ in {(item, user) for user, item, _, _ in rows})
    rows = [row for row in rows if buyers[row[1]] >= BUYERS]
    return events_db(rows), _sequences(rows), sorted({row[1] for row in rows})


def _examples(target, decay=.8, floor=.4, window=50, next_share=.5, user_power=0):
    """S and T as dense rows: a row for every item of a place, where the extension merges those of one place."""
    _, sequences, items = _often_bought()
    item_id = {item: i for i, item in enumerate(items)}
    source, said = [], []
    for sequence in sequences.values():
        place, ids = _places(sequence), [item_id[item] for _, item in sequence]
        weight = len(set(ids)) ** (-user_power / 2)
        x = np.zeros(len(items))
        x[ids] = weight
        if target != "next":
            source.append(x * (1 - next_share) ** .5 if target == "both" else x)
            said.append(source[-1])
        for a in range(len(ids)) if target != "self" else ():
            s, t = np.zeros(len(items)), np.zeros(len(items))
            for b in range(len(ids)):
                g = place[a] - place[b]
                if 1 <= g <= window:
                    s[ids[b]] = max(decay ** (g - 1), floor) * weight  # as of the last time: b rises
            t[ids[a]] = weight
            factor = next_share ** .5 if target == "both" else 1
            if place[a] > 0:
                source.append(s * factor)
                said.append(t * factor)
    return np.array(source), np.array(said)


def _users_of(items):
    _, sequences, _ = _often_bought()
    count = collections.Counter(item for sequence in sequences.values() for _, item in _last(sequence))
    return np.array([count[item] for item in items], float)


LINEAR = {"next": {"target": "next"}, "both": {"target": "both", "next_share": .3}, "next, no floor": {"target": "next", "floor": 0, "decay": .6, "window": 3},
          "users discounted": {"target": "both", "user_power": .6}, "self, users discounted": {"target": "self", "user_power": 1},
          "dropout": {"target": "next", "dropout": .4}, "self, dropout": {"target": "self", "dropout": .6}, "items discounted": {"target": "self", "item_power": .3},
          "next, items discounted": {"target": "next", "item_power": .5, "dropout": .2}}


@functools.lru_cache(None)
def _gram(label):
    """S'S with what dropout adds, S'T, and (c_i / c_j)^item_power."""
    options = dict(LINEAR[label])
    ratio = 0
    if "dropout" in options:
        ratio = options["dropout"] / (1 - options.pop("dropout"))
    power = options.pop("item_power", 0)
    source, said = _examples(**options)
    gram = source.T @ source
    count = _users_of(_often_bought()[2])
    return gram, ratio * np.diag(gram), source.T @ said, (count[:, None] / count[None, :]) ** power


def _train_linear(algorithm, label, **more):
    name = f"{algorithm}_" + "".join(c if c.isalnum() else "_" for c in label)
    create_model(_often_bought()[0], name, algorithm=algorithm, neighbours=100000, scale="binary", recency=1, **LINEAR[label], **more)
    train(_often_bought()[0], name)
    return name


def _row_of(name, item):
    """B of an item: its neighbours by similar_to, those above 0."""
    db, _, items = _often_bought()
    listed = dict(db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = ? AND score > 0", (item, len(items))))
    return np.array([listed.get(other, 0) for other in items])


def _own(name, item):
    """B_jj: what a cart of the item says about it."""
    return _often_bought()[0].execute(f"SELECT score FROM {name} WHERE basket = ? AND item = ? AND options = '{{\"exclude_seen\": false}}'",
                                      (json.dumps([item]), item)).fetchone()[0]


@claim_each({label: (label,) for label in LINEAR})
def ease_of_what_comes_next_is_the_closed_form(label):
    gram, extra, said, discount = _gram(label)
    p = np.linalg.inv(gram + np.diag(extra + 20.))
    if LINEAR[label]["target"] == "self":
        b = -p / np.diag(p)
    else:
        b = p @ said
    b = b * discount
    own = np.diag(b).copy() if LINEAR[label]["target"] != "self" else np.zeros(len(b))
    np.fill_diagonal(b, 0)  # similar_to never lists the item itself
    name = _train_linear("ease", label, reg=20)
    items = _often_bought()[2]
    for j in range(0, len(items), 30):
        close(_row_of(name, items[j]), np.maximum(b[j], 0), 2e-5, f"neighbours of {items[j]}", scale=np.abs(b[j]).max())
        close(_own(name, items[j]), max(own[j], 0), 2e-5, f"{items[j]} again", scale=max(np.abs(b[j]).max(), abs(own[j])))


@claim_each({label: (label,) for label in LINEAR})
def slim_of_what_comes_next_is_at_its_optimum(label):
    """Karush, Kuhn and Tucker: the slope is 0 where a weight is above 0, and not above 0 elsewhere."""
    l1, l2 = .05, 10
    gram, extra, said, discount = _gram(label)
    name = _train_linear("slim", label, l1=l1, l2=l2)
    items = _often_bought()[2]
    w = np.array([_row_of(name, item) for item in items]) / discount
    if LINEAR[label]["target"] != "self":
        np.fill_diagonal(w, [_own(name, item) for item in items])
    slope = said - gram @ w - (extra + l2)[:, None] * w - l1
    if LINEAR[label]["target"] == "self":
        np.fill_diagonal(slope, 0)
    size = np.diag(gram)[:, None] + extra[:, None] + l2
    # descent ends where no weight moves by more than a thousandth
    assert np.abs(slope / size)[w > 0].max() < 3e-3, np.abs(slope / size)[w > 0].max()
    assert (slope / size)[w == 0].max() < 3e-3, (slope / size)[w == 0].max()
    assert (w > 0).sum() > len(items), (w > 0).sum()


@claim
def linear_models_of_what_comes_next_fade_and_know_sessions():
    db, sequences, items = _often_bought()
    name = "slim_fades"
    create_model(db, name, algorithm="slim", target="next", scale="binary")
    train(db, name)
    for user in sorted(sequences)[::60]:
        ids = [items.index(item) for _, item in _last(sequences[user])]
        x = _recency(_last(sequences[user]), .6, 0)
        want = sum(weight * _row_of(name, items[i]) for weight, i in zip(x, ids))
        want[ids] = 0
        got = [row[0] for row in db.execute(f"SELECT score FROM {name} WHERE user = ? AND k = 10 AND score > 0", (user,))]
        close(got, np.sort(want[want > 0])[::-1][:10], 1e-5, f"user {user}")
    clicks = connect()
    clicks.execute("CREATE TABLE clicks(visitor, page, at, visit)")
    clicks.executemany("INSERT INTO clicks VALUES(?,?,?,?)", [(v, page, 10 * v + i, v * 2 + (i > 1)) for v in range(9) for i, page in enumerate("abcd")])
    clicks.execute("CREATE VIRTUAL TABLE m USING rec_model(events=clicks, user=visitor, item=page, time=at, session=visit, algorithm=ease, target=next, reg=1)")
    train(clicks, "m")
    near = lambda page: [row[0] for row in clicks.execute("SELECT item FROM m WHERE similar_to = ? AND k = 3 AND score > 0", (page,))]
    same([near(page) for page in "abcd"], [["b"], [], ["d"], []], "nothing crosses a session's border")
