"""What intervals and tests promise, over 1,000 simulated runs: a 95 % interval holds the truth in 93 to 97 % of them, a test at 5 % finds
nothing where there is nothing in about 95 %. Fixed seeds: the same result every time."""
import json

import numpy as np

from support import claim, claim_each, connect, one

RUNS = 1000


def _held(share, what, low=.93, high=.97):
    assert low <= share <= high, f"{what}: {share:.3f} of {RUNS} runs, promised {low} to {high}"


def _answers(db, sql, runs):
    """One JSON a run."""
    return [json.loads(one(db, sql, *arguments)) for arguments in runs]


@claim_each({f"rates {a} and {b}, {n} visitors each": (a, b, n) for a, b, n in ((.1, .12, 1000), (.3, .3, 400), (.03, .036, 5000), (.5, .45, 200))})
def the_interval_of_an_ab_test_holds_the_true_difference(a, b, n):
    draw = np.random.default_rng(1)
    db = connect()
    runs = [(int(x), n, int(y), n) for x, y in zip(draw.binomial(n, a, RUNS), draw.binomial(n, b, RUNS))]
    answers = _answers(db, "SELECT rec_ab_test(?, ?, ?, ?)", runs)
    _held(np.mean([answer["low"] <= b - a <= answer["high"] for answer in answers]), "interval")


@claim_each({f"rate {rate}, {n} visitors each": (rate, n) for rate, n in ((.1, 1000), (.3, 400), (.02, 5000), (.5, 200))})
def an_ab_test_of_equals_is_significant_in_5_percent(rate, n):
    draw = np.random.default_rng(2)
    db = connect()
    runs = [(int(x), n, int(y), n) for x, y in draw.binomial(n, rate, (RUNS, 2))]
    answers = _answers(db, "SELECT rec_ab_test(?, ?, ?, ?)", runs)
    _held(np.mean([answer["p"] >= .05 for answer in answers]), "not significant")


@claim
def who_looks_fifty_times_is_not_fooled_by_the_sequential_test():
    """At every 200 visitors, up to 10,000: the always-valid p falls below 5 % in at most 5 % of the runs, the fixed test's in many more."""
    draw = np.random.default_rng(3)
    db = connect()
    steps = draw.binomial(200, .1, (300, 50, 2)).cumsum(axis=1)
    fooled = {"rec_sequential_p(?1, ?2, ?3, ?2)": 0, "rec_ab_test(?1, ?2, ?3, ?2) ->> 'p'": 0}
    for call in fooled:
        for run in steps:
            fooled[call] += any((one(db, f"SELECT {call}", int(a), 200 * (at + 1), int(b)) or 1) < .05 for at, (a, b) in enumerate(run))
    sequential, fixed = (count / len(steps) for count in fooled.values())
    assert sequential <= .05 and fixed > .2, f"sequential {sequential:.3f}, fixed {fixed:.3f}"


SAMPLES = {  # like per-user metrics: many zeros; skewed; small and plain
    "rr of 300 users": lambda draw: np.where(draw.random(300) < .6, 0, 1 / draw.integers(1, 11, 300)),
    "exponential, 300": lambda draw: draw.exponential(size=300),
    "normal, 100": lambda draw: draw.normal(3, 2, 100),
}
TRUTH = {"rr of 300 users": .4 * np.mean(1 / np.arange(1, 11)), "exponential, 300": 1, "normal, 100": 3}


@claim_each({name: (name,) for name in SAMPLES})
def a_bootstrap_interval_holds_the_true_mean(name):
    draw = np.random.default_rng(4)
    db = connect()
    held = 0
    for run in range(RUNS):
        answer = json.loads(one(db, "SELECT rec_bootstrap(value, 1000, ?) FROM json_each(?)", run, json.dumps(SAMPLES[name](draw).tolist())))
        held += answer["low"] <= TRUTH[name] <= answer["high"]
    _held(held / RUNS, "interval")


@claim_each({f"{call}, {shape}": (call, shape) for call in ("rec_welch_t", "rec_mann_whitney") for shape in ("normal", "exponential", "unequal spread")
             if (call, shape) != ("rec_mann_whitney", "unequal spread")})
def a_test_of_equals_is_significant_in_5_percent(call, shape):
    draw = np.random.default_rng(5)
    db = connect()
    quiet = 0
    for _ in range(RUNS):
        a, b = {"normal": (draw.normal(size=80), draw.normal(size=60)), "exponential": (draw.exponential(size=150), draw.exponential(size=150)),
                "unequal spread": (draw.normal(0, 1, 80), draw.normal(0, 4, 40))}[shape]
        rows = [[0, x] for x in a.tolist()] + [[1, x] for x in b.tolist()]
        quiet += json.loads(one(db, f"SELECT {call}(value ->> 0, value ->> 1) FROM json_each(?)", json.dumps(rows)))["p"] >= .05
    _held(quiet / RUNS, "not significant")


def _population():
    """3,000 users of two tastes; two models; every user's values."""
    draw = np.random.default_rng(6)
    db = connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, t INTEGER)")
    rows = []
    for user in range(3000):
        shelf = 100 * (user % 2)
        items = (shelf + np.minimum(draw.pareto(.8, 16).astype(int), 99)) if user % 5 else draw.integers(0, 200, 16)
        rows += [(user, int(item), 0 if at < 12 else 1) for at, item in enumerate(dict.fromkeys(items.tolist()))]
    db.executemany("INSERT INTO events VALUES(?, ?, ?)", rows)
    db.executescript("""CREATE INDEX by_user ON events(user); CREATE TABLE chosen(user INTEGER PRIMARY KEY);
                        CREATE VIEW everybody AS SELECT user, item FROM events WHERE t = 1 AND user IN (SELECT user FROM events WHERE t = 0);
                        CREATE VIEW held AS SELECT e.user, e.item FROM chosen c CROSS JOIN events e WHERE e.user = c.user AND e.t = 1;""")
    for name, algorithm in (("a", "popular"), ("b", "item_knn")):
        db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model(events=events, user=user, item=item, time=t, algorithm={algorithm})")
        db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', '{{\"until\":1}}')")
    return db, draw


@claim
def the_intervals_of_evaluate_and_compare_hold_the_population_s_value():
    """Hold-outs of 150 users drawn from the population, with as many repetitions as the reading of all histories allows in a test."""
    db, draw = _population()
    truth = {}
    for name in "ab":
        truth[name] = dict(db.execute(f"SELECT user, value FROM rec_evaluate_users('{name}', 'everybody') WHERE metric = 'ndcg'"))
    users = sorted(truth["a"])
    mean = {name: np.mean([truth[name][user] for user in users]) for name in "ab"}
    # rec_evaluate's and rec_compare's intervals are rec_bootstrap's over these values: shown once through SQL, then 1,000 times over the values
    for round_ in range(3):
        db.execute("DELETE FROM chosen")
        chosen = [users[i] for i in draw.integers(0, len(users), 400)]
        db.executemany("INSERT OR IGNORE INTO chosen VALUES(?)", [(user,) for user in chosen])
        kept = [row[0] for row in db.execute("SELECT user FROM chosen ORDER BY user")]
        options = json.dumps({"seed": round_})
        low, high = db.execute("SELECT ci_low, ci_high FROM rec_evaluate('b', 'held', ?) WHERE metric = 'ndcg' AND model = 'b'", (options,)).fetchone()
        again = json.loads(one(db, "SELECT rec_bootstrap(value, 1000, ?) FROM json_each(?)", round_, json.dumps([truth["b"][user] for user in kept])))
        assert (low, high) == (again["low"], again["high"]), f"{low}..{high} and {again}"
        low, high = db.execute("SELECT ci_low, ci_high FROM rec_compare('a', 'b', 'held', ?) WHERE metric = 'ndcg'", (options,)).fetchone()
        again = json.loads(one(db, "SELECT rec_bootstrap(value, 1000, ?) FROM json_each(?)", round_, json.dumps([truth["b"][user] - truth["a"][user] for user in kept])))
        assert abs(low - again["low"]) < 1e-12 and abs(high - again["high"]) < 1e-12, f"{low}..{high} and {again}"
    held = {"value": 0, "difference": 0}
    for run in range(RUNS):
        chosen = [users[i] for i in draw.integers(0, len(users), 150)]
        for what, values, want in (("value", [truth["b"][user] for user in chosen], mean["b"]), ("difference", [truth["b"][user] - truth["a"][user] for user in chosen], mean["b"] - mean["a"])):
            answer = json.loads(one(db, "SELECT rec_bootstrap(value, 1000, ?) FROM json_each(?)", run, json.dumps(values)))
            held[what] += answer["low"] <= want <= answer["high"]
    for what, count in held.items():
        _held(count / RUNS, what)
