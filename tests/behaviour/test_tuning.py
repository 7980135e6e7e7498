"""The command tune, rec_trials and rec_crossval: what is tried, what is kept, what is served afterwards."""
import itertools, json, threading, time

from support import equal, make_events, make_model, one, refused, rows

GRID = {"algorithm": "item_knn", "sampler": "grid", "k": 5, "space": {"similarity": ["cosine", "tfidf"], "neighbours": [1, 3, 20]}}
FREE = {"algorithm": "popular", "trials": 14, "k": 5, "activate": "never", "space": {"half_life": {"min": 0.0001, "max": 1000, "log": True}, "count": ["users", "events"], "prior": {"min": 0, "max": 20}}}


def tune(db, options=None, model="m", **more):
    cursor = db.execute(f"INSERT INTO {model}({model}, arg) VALUES('tune', ?)", (json.dumps({**(options or {}), **more}) if options or more else None,))
    return cursor.lastrowid


def trials(db, model="m", tuning=None, columns="algorithm, options, metric, k, value, users, seed"):
    return rows(db, f"SELECT {columns} FROM rec_trials WHERE model = ? AND (?2 IS NULL OR tuning = ?2) ORDER BY trial", model, tuning)


def settings(db, tuning=None, model="m"):
    """What was tried besides the algorithm as it is."""
    return [setting for setting in (json.loads(row[0]) for row in trials(db, model, tuning, "options")) if set(setting) != {"algorithm"}]


def versions(db, name="m"):
    return rows(db, "SELECT version, active, algorithm FROM rec_versions WHERE model = ?", name)


def clubs(db, users=60, items=40, size=16, table="events"):
    """Two clubs with shelves of their own: item_knn knows everything there is to know, the popular list half of it."""
    db.execute(f"CREATE TABLE {table}(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    half = items // 2
    db.executemany(f"INSERT INTO {table} VALUES(?, ?, 1, ?)", [(u, (u % 2) * half + (u * 7 + j * 3) % half, j * users + u) for j in range(size) for u in range(users)])


def shop_of(shop, name=None, **more):
    db = shop.connect(name)
    make_events(db, **{"users": 60, "items": 40, **more})
    make_model(db)
    return db


# ---- what is tried ----

def test_the_same_seed_tries_the_same_and_another_seed_others(shop):
    seen = {}
    for sampler in ("tpe", "random"):
        for seed in (1, 1, 2):
            db = shop_of(shop)
            tune(db, FREE, sampler=sampler, seed=seed)
            got = trials(db)
            equal(len(got), 15)
            equal({row[2:4] + row[6:] for row in got}, {("ndcg", 5, seed)}, "metric, k and seed")
            equal(seen.setdefault((sampler, seed), got), got, f"{sampler}, seed {seed}")
        assert [row[1] for row in seen[sampler, 1]] != [row[1] for row in seen[sampler, 2]], "another seed"
    equal(seen["tpe", 1][:11], seen["random", 1][:11], "the first ten of tpe are random ones")
    assert seen["tpe", 1][11:] != seen["random", 1][11:], "and those after them are not"


def test_threads_and_the_order_of_the_rows_change_no_trial(shop):
    for split in ("time", "random", "last"):
        got = {}
        for threads, order in itertools.product((1, 3), ("rowid", "item DESC, user", "n, t DESC")):
            db = shop.connect()
            make_events(db, users=60, items=40)
            db.execute(f"CREATE TABLE shuffled AS SELECT * FROM events ORDER BY {order}")
            make_model(db, events="shuffled", more=f", threads={threads}", train=False)
            tune(db, GRID, split=split, activate="never")
            got[threads, order] = trials(db)
        equal(len({repr(rows) for rows in got.values()}), 1, f"split={split}: different values by threads or by the order of the rows")


def test_split_last_with_equal_times_does_not_depend_on_the_order_of_the_rows(shop):
    got = set()
    for order in ("user, item", "user, item DESC"):
        db = shop.connect()
        make_events(db, users=60, items=40)
        db.execute(f"CREATE TABLE level AS SELECT user, item, n, 7 AS t FROM events ORDER BY {order}")
        make_model(db, events="level", train=False)
        tune(db, GRID, split="last", activate="never")
        got.add(tuple(trials(db)))
    equal(len(got), 1, "the same events in another order")


def test_a_grid_tries_the_whole_product_the_last_option_fastest(shop):
    db = shop_of(shop)
    tune(db, GRID, activate="never")
    equal(settings(db), [{"algorithm": "item_knn", "similarity": s, "neighbours": n} for s in ("cosine", "tfidf") for n in (1, 3, 20)])
    tune(db, GRID, activate="never", trials=4)
    equal(settings(db, 2), settings(db, 1)[:4], "trials bounds it")
    tune(db, {"algorithm": "popular", "sampler": "grid", "activate": "never", "space": {"prior": {"min": 1, "max": 1000, "log": True}, "min_support": {"min": 1, "max": 4}}})
    equal([(round(s["prior"], 3), s["min_support"]) for s in settings(db, 3)], [(p, n) for p in (1, 10, 100, 1000) for n in (1, 2, 3, 4)], "four steps of a number")
    equal({type(s["min_support"]) for s in settings(db, 3)}, {int}, "whole numbers")


def test_draws_stay_in_the_space(shop):
    db = shop_of(shop)
    tune(db, FREE, trials=40)
    got = settings(db)
    equal({tuple(s) for s in got}, {("algorithm", "half_life", "count", "prior")})
    assert all(0.0001 <= s["half_life"] <= 1000 and 0 <= s["prior"] <= 20 and s["count"] in ("users", "events") for s in got), got
    assert sum(s["half_life"] < 0.3163 for s in got[:10]) >= 2, "log draws each magnitude alike"
    assert len({s["half_life"] for s in got}) > 35 and {s["count"] for s in got} == {"users", "events"}


def test_listed_values_are_tried_as_they_are_given(shop):
    db = shop_of(shop)
    listed = {"half_life": [1234567.25 / 2, 0.123456789, 1e-7], "min_support": [1, 2]}
    tune(db, {"algorithm": "popular", "sampler": "grid", "activate": "always", "space": listed})
    equal([(s["half_life"], s["min_support"]) for s in settings(db)], list(itertools.product(*listed.values())))


def test_draws_stay_in_a_narrow_range(shop):
    db = shop_of(shop)
    tune(db, {"algorithm": "item_knn", "trials": 12, "activate": "never", "space": {"shrink": {"min": 100000.25, "max": 100000.75}}})
    got = [s["shrink"] for s in settings(db)]
    assert all(100000.25 <= shrink <= 100000.75 for shrink in got) and len(set(got)) > 1, f"{got}"


def test_a_range_too_wide_is_refused_and_leaves_no_option_out(shop):
    db = shop_of(shop)
    for algorithm, space in (("popular", {"prior": {"min": -1e308, "max": 1e308}}), ("popular", {"prior": {"min": 1e-308, "max": 1e308, "log": True}}), ("ials", {"factors": {"min": 1, "max": 1e300}})):
        try:
            tune(db, {"algorithm": algorithm, "trials": 3, "activate": "never", "space": space})
        except Exception as error:
            assert list(space)[0] in str(error), str(error)
    for algorithm, options, value in rows(db, "SELECT algorithm, options, value FROM rec_trials"):
        name = {"popular": "prior", "ials": "factors"}[algorithm]
        assert json.loads(options).get(name, -1) > 0 or value is None, f"a trial with a value and without {name}: {options}"


def test_a_start_from_a_version_is_not_judged_as_a_start_from_chance(shop):
    """A version's factors have seen what is held out: refused, or a trial without a value."""
    db = shop_of(shop)
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"ials","factors":8}')""")
    try:
        tune(db, {"algorithm": "ials", "sampler": "grid", "activate": "never", "space": {"factors": [8], "init_from": [2]}})
    except Exception as error:
        assert "init_from" in str(error), str(error)
    equal([row[4] for row in trials(db) if row[4] is not None], [])


def test_tpe_comes_closer_than_chance_to_what_is_good(shop):
    """The value grows with neighbours up to all of them: what is drawn after the random ones is better on average."""
    db = shop.connect()
    clubs(db)
    make_model(db, train=False)
    tune(db, {"algorithm": "item_knn", "trials": 40, "k": 5, "share": 0.3, "activate": "never", "space": {"neighbours": {"min": 1, "max": 40}, "shrink": {"min": 0, "max": 50}}})
    value = [row[4] for row in trials(db)]
    first, after = value[:10], value[10:]
    assert sum(after) / len(after) > sum(first) / len(first), f"{value}"
    assert max(value) > min(value), "the space matters"


def test_settings_that_are_refused_are_trials_without_a_value(shop):
    db = shop_of(shop)
    tune(db, {"algorithm": "popular", "sampler": "grid", "space": {"count": ["users", "trend"], "half_life": [0, 30]}})
    got = trials(db, columns="json_extract(options, '$.count'), json_extract(options, '$.half_life'), value IS NULL, users")
    equal([row[:3] for row in got], [(None, None, 0), ("users", 0, 0), ("users", 30, 0), ("trend", 0, 1), ("trend", 30, 0)], "trend needs half_life")
    equal([row[3] > 0 for row in got], [True, True, True, False, True])
    tune(db, {"algorithm": "popular", "activate": "always", "sampler": "grid", "space": {"count": ["trend"], "half_life": [0]}})
    equal(trials(db, tuning=2, columns="value IS NULL, users > 0"), [(0, 1), (1, 0)])
    equal(one(db, "SELECT note FROM rec_trials WHERE tuning = 2 LIMIT 1"), "chosen: the algorithm as it is")


def test_seconds_ends_the_trials(shop):
    db = shop_of(shop)
    options = {"algorithm": "ials", "trials": 10000, "seconds": 0.3, "activate": "never", "space": {"factors": [16, 17], "sweeps": [10], "reg": {"min": 0, "max": 1}}}
    began = time.monotonic()
    tune(db, options)
    spent, count = time.monotonic() - began, len(trials(db))
    assert 0 < count < 10000 and 0.25 < spent < 5, f"{count} trials in {spent:.2f} s"
    tune(db, FREE, seconds=0)
    equal(len(trials(db, tuning=2)), 15, "0 is no limit")
    before = versions(db)
    tune(db, options, seconds=1e-9, activate="never")
    equal((trials(db, tuning=3, columns="options"), versions(db)), ([('{"algorithm":"ials"}',)], before), "no time but for the algorithm as it is")


REFUSALS = [
    ({"space": {"neighbors": [20]}}, ("unknown option 'neighbors'", "neighbours", "half_life")),
    ({"space": {"neighbours": []}}, ("neighbours must be a list", '"min"')),
    ({"space": {"neighbours": 20}}, "neighbours must be a list"),
    ({"space": {"neighbours": {"min": 20, "max": 20}}}, "neighbours must be a list"),
    ({"space": {"neighbours": {"min": 20}}}, "neighbours must be a list"),
    ({"space": {"shrink": {"min": 0, "max": 20, "log": True}}}, ("shrink must be a list", "log")),
    ({"space": {"similarity": {"min": 0, "max": 1}}}, "similarity must be a list"),
    ({"space": {}}, "space must be an object"),
    ({"space": [1]}, "space must be an object"),
    ({"algorithm": "nosuch"}, ("algorithm=nosuch", "auto", "rec_options")),
    ({"algorithm": "auto", "space": {"half_life": [0]}}, ("space belongs to one algorithm", "auto")),
    ({"trials": 0}, ("trials", "1..10000")), ({"trials": 10001}, ("trials", "1..10000")), ({"k": 0}, "k"), ({"share": 0.95}, ("share", "0.9")), ({"folds": 1}, "folds"),
    ({"sampler": "bayes"}, ("sampler", "tpe")), ({"metric": "mrr"}, ("metric", "ndcg")), ({"split": "user"}, ("split", "last")), ({"activate": "yes"}, ("activate", "if-better")),
    ({"seconds": -1}, "seconds"), ({"seed": -1}, "seed"), ({"trails": 3}, ("unknown option 'trails'", "trials")),
]


def test_what_is_refused_says_why_and_writes_nothing(shop):
    db = shop_of(shop)
    before = versions(db)
    for options, says in REFUSALS:
        refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps(options), says=says)
    for text, says in (("{", "options"), ("[]", "not an object"), ("7", "options"), ('{"k":1,"k":2}', "options")):
        refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", text, says=says)
    refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps({"space": {f"o{i}": [1] for i in range(17)}}), says="unknown option")
    equal((versions(db), rows(db, "SELECT * FROM rec_trials")), (before, []))
    equal(rows(db, "SELECT * FROM rec_progress"), [], "no job is left over")
    tune(db, GRID)
    equal(len(trials(db)), 7, "and what is right still works")


def test_a_model_without_times_is_tuned_by_random_pairs_only(shop):
    db = shop.connect()
    make_events(db, users=60, items=40)
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, weight=n)")
    for split in ("time", "last"):
        refused(db, "INSERT INTO m(m, arg) VALUES('tune', ?)", json.dumps({"split": split}), says=("time=", "split=random"))
    tune(db, GRID, split="random")
    equal([row[4] is None for row in trials(db)], [False] * 7)


def test_a_model_with_sessions_is_not_tuned_as_if_users_were_sessions(shop):
    db = shop.connect()
    make_events(db, users=60, items=40)
    db.execute("CREATE VIEW clicks AS SELECT *, user * 10 + t % 3 AS s FROM events")
    for name, algorithm in (("a", "session_knn"), ("b", "item_knn")):
        db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model(events=clicks, user=user, item=item, time=t, session=s, algorithm={algorithm})")
        for ask in ({}, {"algorithm": "session_knn"})[0 if algorithm == "session_knn" else 1:]:
            refused(db, f"INSERT INTO {name}({name}, arg) VALUES('tune', ?)", json.dumps({**ask, "space": {"neighbours": [5, 50]}}), says="session")
            refused(db, f"SELECT * FROM rec_crossval('{name}', ?)", json.dumps({"train": ask}), says="session")


def test_auto_shares_the_trials_among_five_algorithms(shop):
    db = shop.connect()
    clubs(db, users=30, size=8)
    make_model(db, algorithm="popular")
    tune(db, {"algorithm": "auto", "trials": 7, "k": 5, "share": 0.25})
    equal([row[0] for row in trials(db)], ["popular", "item_knn", "ials", "slim", "repeat", "popular", "item_knn"], "in turn")
    tried = [json.loads(row[0]) for row in trials(db, columns="options")]
    equal(tried[:5], [{"algorithm": name} for name in ("popular", "item_knn", "ials", "slim", "repeat")], "first with their defaults")
    assert all(len(setting) > 1 for setting in tried[5:]), tried[5:]
    equal(versions(db)[-1], (2, 1, one(db, "SELECT algorithm FROM rec_trials WHERE note LIKE 'chosen: %'")), "the chosen one is served")
    tune(db, {"algorithm": "auto", "trials": 1, "activate": "never"})
    equal([row[0] for row in trials(db, tuning=2)], ["popular"])


def test_what_create_says_holds_for_trials_of_the_same_algorithm(shop):
    db = shop.connect()
    make_events(db, users=60, items=40)
    make_model(db, "few", more=", neighbours=1, similarity=cosine", train=False)
    make_model(db, "own", train=False)
    common = {"sampler": "grid", "activate": "never", "k": 5}
    tune(db, {**common, "space": {"shrink": [0]}}, "few")
    tune(db, {**common, "space": {"shrink": [0], "neighbours": [1], "similarity": ["cosine"]}}, "own")
    tune(db, {**common, "space": {"shrink": [0]}}, "own")
    tune(db, {**common, "algorithm": "popular", "space": {"min_support": [1]}}, "few")
    (plain, few, _, popular), (_, same, own, default) = (trials(db, model, columns="value, users") for model in ("few", "own"))
    equal((few, plain, own), (same, few, default), "as it is: as CREATE says")
    assert few != default and few != popular, f"{few} {default} {popular}"


def test_exclude_seen_decides_whether_repeats_are_questions(shop):
    db = shop_of(shop)
    n = one(db, "SELECT count(*) FROM events")
    cut = one(db, "SELECT t FROM events ORDER BY t LIMIT 1 OFFSET ?", n - round(n * 0.3 + 0.499))
    users = {}
    for exclude in (True, False):
        tune(db, {**GRID, "trials": 1, "activate": "never", "share": 0.3, "exclude_seen": exclude})
        new = "AND NOT EXISTS (SELECT 1 FROM events b WHERE b.user = e.user AND b.item = e.item AND b.t < ?1)" if exclude else ""
        users[exclude] = one(db, f"SELECT count(DISTINCT user) FROM events e WHERE t >= ?1 AND user IN (SELECT user FROM events WHERE t < ?1) {new}", cut)
        equal(trials(db)[-1][5], users[exclude], f"exclude_seen={exclude}")
    assert users[True] < users[False], "the case is no case"


def test_text_keys_and_dates_give_the_trials_of_numbers(shop):
    """Keys keep their order, so that ties break alike."""
    got = []
    for sql in ("SELECT user + 100 AS user, item + 100 AS item, n, t * 86400 AS t FROM events", "SELECT CAST(user + 100 AS TEXT) AS user, CAST(item + 100 AS TEXT) AS item, n, datetime(t * 86400, 'unixepoch') AS t FROM events"):
        for split in ("time", "last"):
            db = shop.connect()
            make_events(db, users=60, items=40)
            db.execute(f"CREATE TABLE bought AS {sql}")
            make_model(db, events="bought", train=False)
            tune(db, GRID, split=split, activate="never")
            got.append(trials(db))
    equal(got[2:], got[:2])
    assert got[0] != got[1]


# ---- what is served ----

def test_if_better_replaces_a_worse_version_and_keeps_a_better_one(shop):
    db = shop.connect("shop.db")
    clubs(db)
    make_model(db, algorithm="popular")
    equal(tune(db, GRID, share=0.2), 2, "the number of the new version is the rowid")
    equal(versions(db), [(1, 0, "popular"), (2, 1, "item_knn")], "better: served")
    kept = json.loads(one(db, "SELECT options FROM rec_versions WHERE version = 2"))
    won = json.loads(one(db, "SELECT options FROM rec_trials WHERE note LIKE 'chosen: %'"))
    equal({key: kept[key] for key in won if key != "algorithm"}, {key: won[key] for key in won if key != "algorithm"}, "the setting that the trials call chosen")
    equal(one(db, "SELECT events FROM rec_versions WHERE version = 2"), one(db, "SELECT count(*) FROM events"), "trained on all events")
    equal(rows(db, "SELECT version, action FROM rec_deployments"), [(1, "train"), (2, "tune")])
    lists = rows(db, "SELECT item, score, version FROM m(7, 5)")
    tune(db, {"algorithm": "popular", "trials": 3, "k": 5, "share": 0.2})
    equal(versions(db), [(1, 0, "popular"), (2, 1, "item_knn")], "worse: the active one stays")
    tune(db, GRID, share=0.2)
    equal(versions(db), [(1, 0, "popular"), (2, 1, "item_knn")], "equal: the active one stays")
    equal(rows(db, "SELECT item, score, version FROM m(7, 5)"), lists)
    equal(rows(db, "SELECT tuning, count(*), min(trial), max(trial) FROM rec_trials GROUP BY 1"), [(1, 7, 1, 7), (2, 4, 8, 11), (3, 7, 12, 18)])
    db.execute("INSERT INTO m(m) VALUES('rollback')")
    equal(versions(db)[0], (1, 1, "popular"))
    db.execute("INSERT INTO m(m) VALUES('integrity-check')")


def test_always_serves_and_never_does_not(shop):
    db = shop.connect()
    clubs(db)
    make_model(db)
    worse = {"algorithm": "popular", "trials": 2, "share": 0.2, "k": 5}
    before = rows(db, "SELECT item, score FROM m(7, 5)")
    tune(db, worse, activate="never")
    equal((versions(db), rows(db, "SELECT item, score FROM m(7, 5)"), len(trials(db))), ([(1, 1, "item_knn")], before, 3))
    tune(db, worse, activate="always")
    equal(versions(db), [(1, 0, "item_knn"), (2, 1, "popular")])
    make_model(db, "fresh", train=False)
    tune(db, GRID, "fresh", activate="never")
    equal(versions(db, "fresh"), [])
    tune(db, GRID, "fresh")
    equal(versions(db, "fresh"), [(1, 1, "item_knn")], "no active version: anything is better")


def test_the_metric_and_its_cut_off_decide(shop):
    db = shop_of(shop)
    for metric in ("precision", "recall", "hit", "rr", "ap", "ndcg"):
        tune(db, GRID, metric=metric, k=3, activate="never")
    got = {row[2]: [] for row in trials(db)}
    for row in trials(db):
        got[row[2]].append(row[4])
    equal(list(got), ["precision", "recall", "hit", "rr", "ap", "ndcg"])
    assert all(p <= h + 1e-12 and r <= h + 1e-12 and a <= r + 1e-12 for p, r, h, a in zip(got["precision"], got["recall"], got["hit"], got["ap"])), f"{got}"
    equal(len({tuple(values) for values in got.values()}), 6, "six metrics are six things")


# ---- what is kept ----

def test_trials_follow_transactions(shop):
    db = shop_of(shop, "shop.db")
    db.execute("BEGIN")
    tune(db, GRID, activate="always")
    equal((len(trials(db)), len(versions(db))), (7, 2))
    db.execute("SAVEPOINT s")
    tune(db, GRID, activate="always")
    equal((len(trials(db)), len(versions(db))), (14, 3))
    db.execute("ROLLBACK TO s")
    equal((len(trials(db)), len(versions(db))), (7, 2))
    db.execute("ROLLBACK")
    equal((trials(db), versions(db)), ([], [(1, 1, "item_knn")]))
    tune(db, GRID, activate="always")
    equal((len(trials(db)), versions(db)[-1][:2]), (7, (2, 1)))


def test_an_interrupt_leaves_versions_and_trials_as_they_were(shop):
    db, watcher = shop_of(shop, "shop.db"), shop.connect()
    tune(db, GRID)
    before = trials(db), versions(db), rows(db, "SELECT item, score FROM m(7, 5)")
    for sql, options in (("INSERT INTO m(m, arg) VALUES('tune', ?)", {"algorithm": "ials", "trials": 10000, "activate": "always", "space": {"factors": [32, 33], "sweeps": [20], "reg": {"min": 0, "max": 1}}}),
                         ("INSERT INTO m(m, arg) VALUES('tune', ?)", {"algorithm": "ials", "trials": 1, "activate": "always", "space": {"factors": [256], "sweeps": [1000]}}),
                         ("SELECT * FROM rec_crossval('m', ?)", {"train": {"algorithm": "ials", "factors": 256, "sweeps": 1000}})):
        asked = []

        def stop():
            until = time.monotonic() + 20
            while not rows(watcher, "SELECT 1 FROM rec_progress WHERE phase <> 'starting'") and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.2)
            asked.append(time.monotonic())
            db.interrupt()

        thread = threading.Thread(target=stop)
        thread.start()
        refused(db, sql, json.dumps(options), says="interrupted")
        ended = time.monotonic()
        thread.join()
        assert ended - asked[0] < 1, f"{ended - asked[0]:.2f} s after the interrupt: {options}"
        equal((trials(db), versions(db), rows(db, "SELECT item, score FROM m(7, 5)")), before)
        equal(rows(db, "SELECT * FROM rec_progress"), [], "the job is over")
    tune(db, GRID, activate="always")
    equal(one(db, "SELECT max(tuning) FROM rec_trials"), 2)


def test_rename_reopen_and_drop_take_the_trials_along(shop):
    db = shop_of(shop, "shop.db")
    make_model(db, "other")
    tune(db, GRID)
    tune(db, GRID, "other", activate="never", trials=2)
    before = trials(db)
    db.execute("ALTER TABLE m RENAME TO n")
    equal((trials(db, "n"), trials(db, "m"), len(trials(db, "other"))), (before, [], 3))
    equal(one(db, "SELECT count(*) FROM sqlite_schema WHERE name IN ('m_trials', 'n_trials')"), 1)
    tune(db, GRID, "n", activate="never")
    equal(one(db, "SELECT max(tuning) FROM rec_trials WHERE model = 'n'"), 2)
    db.execute("ALTER TABLE other RENAME TO m")
    db.execute("VACUUM")
    db.close()
    db = shop.connect("shop.db")
    equal((trials(db, "n", 1), len(trials(db, "m"))), (before, 3), "after reopening")
    db.execute("DROP TABLE n")
    equal((trials(db, "n"), len(trials(db, "m"))), ([], 3))
    db.execute("DROP TABLE m")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name <> 'events'"), [])


def test_a_database_of_before_has_no_trials_and_gets_them(shop):
    """A model that an earlier version of the extension made has no table of trials."""
    for early in (True, False):  # lost before the first tuning, or after one
        name = f"{early}.db"
        db = shop_of(shop, name)
        if not early:
            tune(db, GRID)
        db.execute("DROP TABLE IF EXISTS m_trials")
        db.close()
        db = shop.connect(name)
        equal(rows(db, "SELECT * FROM rec_trials"), [])
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")
        lists = rows(db, "SELECT item, score FROM m(7, 5)")
        db.execute("ALTER TABLE m RENAME TO n")
        equal(rows(db, "SELECT item, score FROM n(7, 5)"), lists)
        equal((rows(db, "SELECT * FROM rec_trials"), rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 'm!_%' ESCAPE '!'")), ([], []))
        tune(db, GRID, "n", activate="never")
        equal((len(trials(db, "n")), one(db, "SELECT min(tuning) FROM rec_trials")), (7, 1))
        db.execute("INSERT INTO n(n) VALUES('integrity-check')")
        db.execute("DROP TABLE n_trials")
        db.execute("DROP TABLE n")
        equal(rows(db, "SELECT name FROM sqlite_schema WHERE name <> 'events'"), [])


def test_trials_of_an_attached_schema(shop):
    db = shop_of(shop, "shop.db")
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE TABLE aux.events AS SELECT * FROM main.events WHERE user <= 30")
    db.execute("CREATE VIRTUAL TABLE aux.m USING rec_model(events=events, user=user, item=item, time=t)")
    db.execute("CREATE VIRTUAL TABLE aux.\"it's \"\"two\"\" %s\" USING rec_model(events=events, user=user, item=item, time=t)")
    db.execute("INSERT INTO aux.m(m, arg) VALUES('tune', ?)", (json.dumps(GRID),))
    equal(rows(db, "SELECT count(*) FROM aux.m_trials"), [(7,)])
    equal([row[0] for row in rows(db, "SELECT model FROM rec_trials")], ["m"] * 7)
    of_aux = trials(db)
    db.execute("INSERT INTO main.m(m, arg) VALUES('tune', ?)", (json.dumps({**GRID, "trials": 2, "activate": "never"}),))
    equal(len(trials(db)), 10, "both")
    name = '"it\'s ""two"" %s"'
    db.execute(f"INSERT INTO aux.{name}({name}, arg) VALUES('tune', ?)", (json.dumps(GRID),))
    equal(trials(db, 'it\'s "two" %s'), of_aux, "a name full of quotes")
    equal(one(db, "SELECT count(*) FROM rec_crossval('aux.m', '{\"folds\":2}')"), 12)
    db.execute(f"DROP TABLE aux.{name}")
    db.execute("DETACH aux")
    equal(len(trials(db)), 3)


def test_a_table_of_somebody_else_named_like_the_trials(shop):
    """It is not taken for trials, and not dropped or changed with the model."""
    db = shop.connect()
    make_events(db, users=20)
    db.execute("CREATE TABLE m_trials(patient TEXT)")
    db.execute("INSERT INTO m_trials VALUES('ann')")
    try:
        make_model(db)
    except Exception as error:
        assert "m_trials" in str(error), str(error)
        equal(rows(db, "SELECT * FROM m_trials"), [("ann",)])
        return
    equal(rows(db, "SELECT count(*) FROM rec_versions"), [(1,)])
    db.execute("DROP TABLE m")
    equal(rows(db, "SELECT * FROM m_trials"), [("ann",)], "somebody's table went with the model")


def test_a_rename_onto_somebody_elses_table_changes_nothing(shop):
    db = shop_of(shop, "shop.db")
    tune(db, GRID)
    db.execute("CREATE TABLE n_trials(patient TEXT)")
    db.execute("INSERT INTO n_trials VALUES('ann')")
    before = trials(db), versions(db), rows(db, "SELECT item, score FROM m(7, 5)")
    refused(db, "ALTER TABLE m RENAME TO n", says="n_trials")
    equal((trials(db), versions(db), rows(db, "SELECT item, score FROM m(7, 5)")), before)
    equal(rows(db, "SELECT * FROM n_trials"), [("ann",)])
    db.close()
    db = shop.connect("shop.db")
    equal((trials(db), versions(db), rows(db, "SELECT item, score FROM m(7, 5)")), before)


def test_tuning_on_a_read_only_database_or_inside_a_trigger(shop):
    db = shop_of(shop, "shop.db")
    db.execute("PRAGMA query_only=ON")
    refused(db, "INSERT INTO m(m) VALUES('tune')", says="readonly")
    db.execute("PRAGMA query_only=OFF")
    equal(rows(db, "SELECT * FROM rec_trials"), [])
    db.execute("CREATE TABLE wish(options TEXT)")
    db.execute("CREATE TRIGGER tunes AFTER INSERT ON wish BEGIN INSERT INTO m(m, arg) VALUES('tune', NEW.options); END")
    db.execute("INSERT INTO wish VALUES(?)", (json.dumps(GRID),))
    equal(len(trials(db)), 7)


def test_events_that_can_not_be_split(shop):
    for listed in ([], [(1, 1, 1, 5)], [(user, 1, 1, 5) for user in range(4)]):
        for split in ("time", "last", "random"):
            db = shop.connect()
            db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
            db.executemany("INSERT INTO events VALUES(?, ?, ?, ?)", listed)
            make_model(db, train=False)
            try:
                tune(db, GRID, split=split)
            except Exception as error:
                assert "event" in str(error) or "split" in str(error), f"{split}, {listed}: {error}"
            equal([row[4] for row in trials(db) if row[4] is not None], [], f"{split}, {listed}: there is nothing to judge")
            equal(versions(db), [], "nothing was judged, nothing is served")


def test_the_share_that_is_held_out_is_the_one_asked_for(shop):
    """Of ten events, one after the other, the last 10 * share are judged."""
    db = shop.connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?, 1, ?)", [(i % 5, i, i) for i in range(10)])
    make_model(db, train=False)
    held = {}
    for share in (0.1, 0.2, 0.3, 0.5):
        tune(db, {"algorithm": "popular", "trials": 1, "activate": "never", "share": share, "exclude_seen": False})
        held[share] = trials(db)[-1][5]
    equal(held, {0.1: 1, 0.2: 2, 0.3: 3, 0.5: 5}, "users of the held events that have earlier ones")
    db.execute("DELETE FROM events")
    db.executemany("INSERT INTO events VALUES(?, ?, 1, ?)", [(0 if i == 0 else i if i > 1 else 2, i, i) for i in range(10)] )
    for share, users in ((0.8, 1), (0.9, 0)):
        tune(db, {"algorithm": "popular", "trials": 1, "activate": "never", "share": share, "exclude_seen": False})
        equal(trials(db)[-1][5], users, f"share={share}: of 10 events the first {round(10 - 10 * share)} are trained on")


# ---- rec_crossval ----

def test_crossval_lists_folds_and_metrics(shop):
    db = shop_of(shop)
    got = rows(db, "SELECT fold, metric, k, value, users FROM rec_crossval('m', '{\"folds\":3,\"k\":4}')")
    equal([row[:3] for row in got], [(fold, metric, 4) for fold in (1, 2, 3) for metric in ("precision", "recall", "hit", "rr", "ap", "ndcg")])
    assert all(0 <= row[3] <= 1 and 0 < row[4] <= 60 for row in got), got
    equal(rows(db, "SELECT fold, metric, k, value, users FROM rec_crossval('m', '{\"folds\":3,\"k\":4}')"), got, "again")
    other = rows(db, "SELECT fold, metric, k, value, users FROM rec_crossval('m', '{\"folds\":3,\"k\":4,\"seed\":2}')")
    assert [row[3] for row in other] != [row[3] for row in got], "another seed"
    equal(one(db, "SELECT count(DISTINCT fold) FROM rec_crossval('m')"), 5)
    equal(one(db, "SELECT max(k) FROM rec_crossval('m')"), 10)
    equal(rows(db, "SELECT * FROM rec_trials"), [], "it writes nothing")
    equal(versions(db), [(1, 1, "item_knn")])


def test_crossval_judges_the_setting_it_is_given(shop):
    db = shop.connect()
    clubs(db)
    make_model(db, algorithm="popular", train=False)
    recall = lambda options: one(db, "SELECT avg(value) FROM rec_crossval('m', ?) WHERE metric = 'recall'", json.dumps({"k": 5, **options}))
    own, knn = recall({}), recall({"train": {"algorithm": "item_knn"}})
    assert knn > own + .1, f"{own} {knn}"
    equal(recall({"train": {"algorithm": "popular"}}), own)
    few = recall({"train": {"algorithm": "item_knn", "neighbours": 1}})
    assert few < knn, f"{few} {knn}"


def test_crossval_says_what_is_wrong(shop):
    db = shop_of(shop)
    for arguments, says in (("'nosuch'", "no rec_model named 'nosuch'"), ("'m', '{\"space\":{\"neighbours\":[1]}}'", ("one setting", "train")), ("'m', '{\"train\":{\"neighbors\":1}}'", "unknown option 'neighbors'"),
                            ("'m', '{\"train\":7}'", "object"), ("'m', '{\"train\":[]}'", "object"), ("'m', '{\"folds\":1}'", "folds"), ("'m', '{\"fold\":2}'", "unknown option 'fold'"), ("'m', '{'", "options"), ("'m', '{\"train\":{\"algorithm\":\"popular\",\"count\":\"trend\"}}'", "half_life"),
                            ("'m', '{\"train\":{\"algorithm\":\"nosuch\"}}'", "algorithm"), ("", "argument")):
        refused(db, f"SELECT * FROM rec_crossval({arguments})", says=says)
    equal(rows(db, "SELECT * FROM rec_progress"), [])
    db.execute("DELETE FROM events")
    equal({row for row in rows(db, "SELECT value, users FROM rec_crossval('m')")}, {(None, 0)}, "without events there is nothing to judge")
