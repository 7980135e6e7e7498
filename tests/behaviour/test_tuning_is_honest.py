"""A search that falls for noise is worse than none: challengers have to beat the algorithm as it is by more than chance."""
import json, math, random

from support import equal, one, rows


def clubs(db, seed, users=400, items=120, own=0.0, n=8, tail=2.5):
    """Users who draw from a long tail (tail 1: from all items alike), and with probability own from their club's items."""
    draw = random.Random(seed)
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    listed = set()
    for user in range(users):
        while sum(1 for pair in listed if pair[0] == user) < n:
            item = user % 6 * 20 + draw.randrange(20) if draw.random() < own else int(items * draw.random() ** tail)
            listed.add((user, item))
    db.executemany("INSERT INTO events VALUES(?, ?)", sorted(listed))


def tuned(shop, seed, own, algorithm, space, trials=24):
    db = shop.connect()
    clubs(db, seed, own=own, tail=2.5 if own else 1)
    db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm={algorithm})")
    got = json.loads(one(db, "SELECT rec_tune('m', ?)", json.dumps({"trials": trials, "activate": "always", "space": space, "seed": seed})))
    return db, got


def paired(db, a, b):
    """Mean difference and one-sided p of b over a: computed again by hand from crossval's folds, one value a user and fold."""
    values = []
    for setting in (a, b):
        row = rows(db, "SELECT fold, value FROM rec_crossval('m', ?) WHERE metric = 'ndcg'", json.dumps({"train": json.loads(setting), "k": 10, "folds": 5}))
        values.append([value for _, value in row])
    return [y - x for x, y in zip(*values)]


NOISE = {"neighbours": [1, 2, 3, 5, 8, 13, 21, 34, 55, 89], "shrink": {"min": 0, "max": 50}, "similarity": ["cosine", "bm25", "tfidf", "jaccard"]}


def test_where_there_is_nothing_to_learn_the_algorithm_as_it_is_wins(shop):
    chosen = []
    for seed in range(6):
        db, got = tuned(shop, seed, 0.0, "item_knn", NOISE)
        chosen.append(got["options"] == {"algorithm": "item_knn"})
        best = one(db, "SELECT max(value) FROM rec_trials")
        plain = one(db, "SELECT value FROM rec_trials WHERE options = '{\"algorithm\":\"item_knn\"}'")
        if chosen[-1] and best > plain:
            assert "does not beat it by more than chance" in got["why"], got
            note = one(db, "SELECT note FROM rec_trials WHERE value = ?", best)
            assert note.startswith("does not beat the algorithm as it is by more than chance: +"), note
        assert one(db, "SELECT count(*) FROM rec_trials WHERE note LIKE 'chosen: %'") == 1
    assert sum(chosen) >= 5, f"{chosen}: at most one in twenty is luck"


def test_a_setting_that_is_better_wins_and_the_trials_say_by_how_much(shop):
    db, got = tuned(shop, 3, 0.9, "ials", {"factors": [4, 8, 16], "reg": [0.01, 0.1], "sweeps": [8]}, trials=6)
    knn, best = tuned(shop, 3, 0.9, "item_knn", {"neighbours": [1, 50], "similarity": ["cosine"]}, trials=2)
    db, got = tuned(shop, 3, 0.9, "popular", {"min_support": [1, 2]}, trials=2)
    equal(got["options"], {"algorithm": "popular"}, "nothing better among these")
    db = shop.connect()
    clubs(db, 3, own=0.9)
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm=item_knn, neighbours=1)")
    got = json.loads(one(db, "SELECT rec_tune('m', ?)", json.dumps({"trials": 3, "activate": "always", "sampler": "grid", "space": {"neighbours": [1, 2, 60]}})))
    equal(got["options"], {"algorithm": "item_knn", "neighbours": 60})
    note = one(db, "SELECT note FROM rec_trials WHERE options = ?", json.dumps(got["options"], separators=(",", ":")))
    assert note.startswith("chosen: beats the algorithm as it is by more than chance: +"), note
    differences = paired(db, '{"algorithm":"item_knn"}', '{"algorithm":"item_knn","neighbours":60}')
    assert all(difference > 0 for difference in differences), differences


def test_the_judged_parts_of_random_pairs_are_the_folds_of_crossval(shop):
    db = shop.connect()
    clubs(db, 5, own=0.7)
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm=item_knn)")
    folds = rows(db, "SELECT value, users FROM rec_crossval('m', '{\"k\": 10, \"folds\": 5, \"seed\": 4}') WHERE metric = 'ndcg' ORDER BY fold")
    for judged in (1, 2, 5):
        db.execute("INSERT INTO m(m, arg) VALUES('tune', ?)", (json.dumps({"trials": 1, "judged": judged, "folds": 5, "seed": 4, "activate": "never"}),))
        value, users = rows(db, "SELECT value, users FROM rec_trials WHERE options = '{\"algorithm\":\"item_knn\"}' ORDER BY trial DESC")[0]
        if judged == 1:
            assert math.isclose(value, folds[0][0], rel_tol=1e-12) and users == folds[0][1]
        low, high = min(row[0] for row in folds[:judged]), max(row[0] for row in folds[:judged])
        assert low - 1e-9 <= value <= high + 1e-9 or judged > 1, (judged, value, folds)
        assert users >= max(row[1] for row in folds[:judged]), "a user of any part"


def test_auto_on_a_shop_too_small_to_judge_trains_and_says_so(shop):
    db = shop.connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    db.execute("INSERT INTO events VALUES(1, 1), (2, 1), (2, 2)")
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm=auto, trials=5)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal(rows(db, "SELECT version, active FROM rec_versions"), [(1, 1)])
    assert one(db, "SELECT count(*) FROM rec_trials WHERE note IS NOT NULL") >= 1
    equal(len(rows(db, "SELECT item FROM m WHERE user = 1")), 1)
