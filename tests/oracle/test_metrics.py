"""The metric aggregates and rec_evaluate against plain Python."""
import collections
import functools
import json
import math
import random

import numpy as np

from support import claim, claim_each, close, connect, create_model, events_db, one, retail, same, train

EXACT = 1e-12


# ---- the definitions ----

def dcg(gains, k, exponential=False):
    return sum(((2**g - 1) if exponential else g) / math.log2(n + 2) for n, g in enumerate(gains[:k]))


def metrics(listed, missed, k):
    """listed: gains in rank order, 0 where not relevant; missed: gains of the relevant items that are not in the list."""
    relevant = [g for g in listed + missed if g > 0]
    if not relevant:
        return dict.fromkeys(("precision", "recall", "hit", "rr", "ap", "ap trec", "ndcg", "ndcg exponential"))
    hits = [n + 1 for n, g in enumerate(listed[:k]) if g > 0]  # ranks
    found = sum((nth + 1) / rank for nth, rank in enumerate(hits))
    ideal = sorted(relevant, reverse=True)
    return {
        "precision": len(hits) / k, "recall": len(hits) / len(relevant), "hit": 1 if hits else 0, "rr": 1 / hits[0] if hits else 0,
        "ap": found / min(k, len(relevant)), "ap trec": found / len(relevant), "ndcg": dcg(listed, k) / dcg(ideal, k),
        "ndcg exponential": dcg(listed, k, True) / dcg(ideal, k, True),
    }


CALLS = {"precision": "rec_precision(rank, relevance, ?1)", "recall": "rec_recall(rank, relevance, ?1)", "hit": "rec_hit(rank, relevance, ?1)",
         "rr": "rec_rr(rank, relevance, ?1)", "ap": "rec_ap(rank, relevance, ?1)", "ap trec": "rec_ap(rank, relevance, ?1, 'trec')",
         "ndcg": "rec_ndcg(rank, relevance, ?1)", "ndcg exponential": "rec_ndcg(rank, relevance, ?1, 'exponential')"}


def equal(got, want, what):
    if want is None:
        same(got, None, what)
    else:
        assert got is not None, f"{what}: got NULL, expected {want!r}"
        close(got, want, EXACT, what, scale=max(1, abs(want)))


# ---- aggregates ----

@functools.lru_cache(None)
def _lists():
    """200 random lists: (gains in rank order, gains of what was missed, k)."""
    draw = random.Random(1)
    lists = []
    for n in range(200):
        gains = [1] if n % 3 == 0 else [1, 2, 3, 4] if n % 3 == 1 else [.25, .5, 1.5, 2.75]
        chance = draw.choice([0, .05, .2, .6, 1])
        listed = [draw.choice(gains) if draw.random() < chance else 0 for _ in range(draw.randint(0, 30))]
        missed = [draw.choice(gains) for _ in range(draw.choice([0, 0, 1, 5, 40]))]
        lists.append((listed, missed, draw.choice([1, 2, 5, 10, 20, 50])))
    return lists


@claim_each({name: (name,) for name in CALLS})
def ranking_aggregates_equal_their_definitions(name):
    db = connect()
    db.execute("CREATE TABLE judged(list, rank, relevance)")
    draw = random.Random(2)
    for n, (listed, missed, k) in enumerate(_lists()):
        rows = [(n, r + 1, g or draw.choice([0, None])) for r, g in enumerate(listed)] + [(n, None, g) for g in missed + [0]]
        draw.shuffle(rows)  # the order of rows means nothing
        db.executemany("INSERT INTO judged VALUES(?,?,?)", rows)
        equal(one(db, f"SELECT {CALLS[name]} FROM judged WHERE list = ?2", k, n), metrics(listed, missed, k)[name], f"list {n}, k={k}")
    by_list = dict(db.execute(f"SELECT list, {CALLS[name]} FROM judged GROUP BY list", (10,)))
    for n, (listed, missed, _) in enumerate(_lists()):
        equal(by_list[n], metrics(listed, missed, 10)[name], f"list {n} of GROUP BY")


@claim
def auc_equals_the_count_of_pairs():
    db = connect()
    draw = random.Random(3)
    for n in range(200):
        rows = [(int(draw.random() < draw.choice([.1, .5])), draw.choice([draw.random(), draw.randint(0, 3), -2.5])) for _ in range(draw.randint(0, 60))]
        ones, zeros = [s for label, s in rows if label], [s for label, s in rows if not label]
        pairs = len(ones) * len(zeros)
        want = sum(1 if a > b else .5 if a == b else 0 for a in ones for b in zeros) / pairs if pairs else None
        values = json.dumps(rows + [[None, 1], [1, None]])  # NULLs are left out
        equal(one(db, "SELECT rec_auc(value->>0, value->>1) FROM json_each(?)", values), want, f"auc {n}")


@claim
def rmse_equals_its_definition():
    db = connect()
    draw = random.Random(4)
    for n in range(200):
        rows = [(draw.gauss(100, 50), draw.gauss(100, 50)) for _ in range(draw.randint(0, 50))]
        want = math.sqrt(math.fsum((a - b) ** 2 for a, b in rows) / len(rows)) if rows else None
        values = json.dumps(rows + [[None, 1], [1, None]])
        equal(one(db, "SELECT rec_rmse(value->>0, value->>1) FROM json_each(?)", values), want, f"rmse {n}")


@claim
def rrf_equals_its_definition():
    db = connect()
    draw = random.Random(5)
    for n in range(200):
        ranks = [draw.randint(1, 100) for _ in range(draw.randint(0, 8))]
        c = draw.choice([0, 10, 60.5])
        values = json.dumps(ranks + [None])
        equal(one(db, "SELECT rec_rrf(value) FROM json_each(?)", values), sum(1 / (60 + r) for r in ranks) if ranks else None, f"rrf {n}")
        equal(one(db, "SELECT rec_rrf(value, ?) FROM json_each(?)", c, values), sum(1 / (c + r) for r in ranks) if ranks else None, f"rrf {n} c={c}")


@claim
def coverage_equals_its_definition():
    db = connect()
    draw = random.Random(6)
    for n in range(200):
        items = [draw.choice([draw.randint(1, 20), "item" + str(draw.randint(1, 20))]) for _ in range(draw.randint(1, 60))]
        size = draw.randint(1, 100)
        values = json.dumps(items + [None])
        equal(one(db, "SELECT rec_coverage(value, ?) FROM json_each(?)", size, values), len(set(items)) / size, f"coverage {n}")


# ---- rec_evaluate ----

SALES, KS = 60000, (1, 5, 10, 30)


@functools.lru_cache(None)
def _shop():
    """A shop with a hold-out of its last tenth: pairs that the past has not, once with gains, and once with repeats."""
    rows = retail(SALES)
    until = rows[SALES * 9 // 10][3]
    db = events_db(rows)
    later = "SELECT customer_id, stock_code, 1 + min(sum(quantity), 4) / 2.0 AS relevance FROM events h WHERE bought_at >= %d %s GROUP BY 1, 2"
    unseen = f"AND NOT EXISTS (SELECT 1 FROM events p WHERE p.customer_id = h.customer_id AND p.stock_code = h.stock_code AND p.bought_at < {until})"
    db.execute("CREATE VIEW graded_new AS " + later % (until, unseen))
    db.execute("CREATE VIEW binary_new AS SELECT customer_id, stock_code FROM graded_new")
    db.execute("CREATE VIEW binary_all AS SELECT customer_id, stock_code FROM (" + later % (until, "") + ")")
    past = {}
    for user, item, _, at in rows:
        if at < until:
            past.setdefault(user, set()).add(item)
    for algorithm in ("item_knn", "ials", "popular"):
        create_model(db, algorithm + "_model", algorithm=algorithm, **({"factors": 16, "sweeps": 3} if algorithm == "ials" else {}))
        train(db, algorithm + "_model", json.dumps({"until": until}))
    return db, past


def _expected(lists, popular, past, holdout, catalogue, repeats):
    """{(metric, k): mean over the users who have both a past and a hold-out}, and how many they are."""
    relevance = {}
    for user, item, gain in holdout:
        if user in past:
            relevance.setdefault(user, {})[item] = gain
    out, buyers = {}, collections.Counter(item for items in past.values() for item in items)
    for k in KS:
        values, shown = {}, collections.Counter()
        for user, gain in relevance.items():
            listed = [gain.get(item, 0) for item in lists[user]]
            missed = [g for item, g in gain.items() if item not in lists[user]]
            shown.update(lists[user][:k])
            for name, value in metrics(listed, missed, k).items():
                values.setdefault(name, []).append(value)
            values.setdefault("serendipity", []).append(sum(item in gain and item not in popular[user][:k] for item in lists[user][:k]) / k)
            if repeats:  # what she has beside what is new to her; a user without such items does not count
                top, had = lists[user][:k], past[user]
                values.setdefault("repeat_share", []).append(sum(item in had for item in top) / len(top))
                for name, wanted in (("recall_repeat", gain.keys() & had), ("recall_explore", gain.keys() - had)):
                    if wanted:
                        values.setdefault(name, []).append(len(wanted & set(top)) / len(wanted))
            values.setdefault("popularity_lift", []).append(np.mean([buyers[item] for item in lists[user][:k]]) / np.mean([buyers[item] for item in past[user]]) - 1)
        for name in ("precision", "recall", "hit", "rr", "ap", "ndcg", "serendipity", "popularity_lift"):
            out[name, k] = math.fsum(values[name]) / len(relevance)
        for name in ("repeat_share", "recall_repeat", "recall_explore") if repeats else ():
            out[name, k] = math.fsum(values[name]) / len(values[name])
        out["coverage", k] = len(shown) / catalogue
        counts = sorted(list(shown.values()) + [0] * (catalogue - len(shown)))
        out["gini", k] = sum((2 * i - catalogue - 1) * count for i, count in enumerate(counts, 1)) / (catalogue * sum(counts))
        out["novelty", k] = -math.fsum(count * math.log2(buyers[item] / len(past)) for item, count in shown.items()) / sum(counts)
        vectors = np.zeros((len(relevance), catalogue))
        place = {item: n for n, item in enumerate(sorted(set().union(*past.values())))}
        for n, user in enumerate(relevance):
            vectors[n, [place[item] for item in lists[user][:k]]] = 1
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        out["personalization", k] = 1 - np.mean((unit @ unit.T)[np.triu_indices(len(unit), 1)])
    return out, len(relevance)


def _model_lists(db, name, exclude_seen):
    lists = {}
    for user, item, rank in db.execute(f"SELECT user, item, rank FROM {name} WHERE k = ? AND options = ? ORDER BY user, rank",
                                       (max(KS), json.dumps({"exclude_seen": exclude_seen}))):
        lists.setdefault(user, []).append(item)
        same(rank, len(lists[user]), "rank")
    return lists


def _popular_lists(past, exclude_seen):
    """Items by distinct users, ties by key."""
    users = {}
    for items in past.values():
        for item in items:
            users[item] = users.get(item, 0) + 1
    order = sorted(users, key=lambda item: (-users[item], item))
    lists = {}
    for user, items in past.items():
        seen = items if exclude_seen else ()
        lists[user] = [item for item in order[:max(KS) + len(items)] if item not in seen][:max(KS)]
    return lists


HOLDOUTS = [("binary_new", True), ("graded_new", True), ("binary_all", False)]


@claim_each({f"{model} {view}": (model, view, seen) for model in ("item_knn_model", "ials_model", "popular_model") for view, seen in HOLDOUTS})
def evaluate_equals_the_metrics_of_the_models_lists(model, view, exclude_seen):
    db, past = _shop()
    catalogue = len(set().union(*past.values()))
    gain = "relevance" if view == "graded_new" else "1"
    holdout = db.execute(f"SELECT customer_id, stock_code, {gain} FROM {view}").fetchall()
    options = json.dumps({"k": KS, "exclude_seen": exclude_seen, "bootstrap": 200})
    rows = db.execute("SELECT model, metric, k, value, ci_low, ci_high, users FROM rec_evaluate(?, ?, ?)", (model, view, options)).fetchall()
    for name, lists in [(model, _model_lists(db, model, exclude_seen)), ("popular", _popular_lists(past, exclude_seen))]:
        want, users = _expected(lists, _popular_lists(past, exclude_seen), past, holdout, catalogue, not exclude_seen)
        got = {(row[1], row[2]): row for row in rows if row[0] == name}
        same(sorted(got), sorted(want), f"{name}: metrics and cut-offs")
        for key, row in got.items():
            equal(row[3], want[key], f"{name} {key[0]}@{key[1]}")
            if key[0] not in ("recall_repeat", "recall_explore"):  # of those who have such items
                same(row[6], users, f"{name} {key[0]}@{key[1]}: users")
            if key[0] not in ("coverage", "gini", "novelty", "personalization"):
                assert row[4] <= row[3] <= row[5], f"{name} {key}: {row[3]} is outside of its interval {row[4]}..{row[5]}"


@claim
def bootstrap_intervals_are_about_two_standard_errors_to_each_side():
    db, past = _shop()
    lists = _model_lists(db, "item_knn_model", True)
    relevance = {}
    for user, item in db.execute("SELECT customer_id, stock_code FROM binary_new"):
        if user in past:
            relevance.setdefault(user, set()).add(item)
    values = [metrics([int(i in items) for i in lists[user]], [1 for i in items if i not in lists[user]], 10)["ndcg"] for user, items in relevance.items()]
    mean = sum(values) / len(values)
    error = math.sqrt(sum((v - mean) ** 2 for v in values)) / len(values)
    low, high = db.execute("""SELECT ci_low, ci_high FROM rec_evaluate('item_knn_model', 'binary_new', '{"bootstrap":2000}')
                              WHERE metric = 'ndcg' AND model <> 'popular'""").fetchone()
    close([low, high], [mean - 1.96 * error, mean + 1.96 * error], .25, "interval", scale=2 * error)
