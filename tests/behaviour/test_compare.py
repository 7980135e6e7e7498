"""rec_evaluate by segments and beyond accuracy, rec_evaluate_users, rec_compare, rec_rules as tables."""
import itertools, json, math

from support import equal, make_events, make_model, one, refused, rows, same_rows

METRICS = ["precision", "recall", "hit", "rr", "ap", "ndcg", "serendipity", "popularity_lift"]
BEYOND = ["coverage", "gini", "novelty", "personalization"]
CUT = 800


def shop_of(shop, train=True):
    """Events until CUT and what is new to their users after it, with a country and an age that change within users."""
    db = shop.connect()
    make_events(db, users=80, items=60)
    db.execute(f"""CREATE TABLE later AS SELECT e.user, e.item, CASE WHEN e.user % 4 = 3 THEN NULL ELSE substr('DEFRUK', e.user % 4 * 2 + 1, 2) END AS country,
                   CASE e.user % 3 WHEN 0 THEN 20 WHEN 1 THEN '20' ELSE 30 END AS age FROM events e WHERE t >= {CUT} GROUP BY e.user, e.item
                   HAVING NOT EXISTS (SELECT 1 FROM events b WHERE b.user = e.user AND b.item = e.item AND b.t < {CUT})""")
    for name, algorithm in (("knn", "item_knn"), ("pop", "popular"), ("als", "ials")):
        make_model(db, name, algorithm, train=False, more=", factors=8" if algorithm == "ials" else "")
        if train:
            db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', '{{\"until\":{CUT}}}')")
    return db


def near(got, want, what="", tolerance=1e-12):
    assert (got is None) == (want is None) and (got is None or abs(got - want) <= tolerance), f"{what}\n  got      {got!r}\n  expected {want!r}"


def evaluate(db, model, options, columns="model, metric, k, value, users, segment", holdout="later"):
    return rows(db, f"SELECT {columns} FROM rec_evaluate(?, ?, ?)", model, holdout, json.dumps({"bootstrap": 0, **options}))


def users_of(db, model, options=None, holdout="later"):
    """{(metric, k): {user: value}}"""
    out = {}
    for user, metric, k, value in rows(db, "SELECT user, metric, k, value FROM rec_evaluate_users(?, ?, ?)", model, holdout, json.dumps(options or {})):
        assert user not in out.setdefault((metric, k), {}), f"{user} twice"
        out[metric, k][user] = value
    return out


def compare(db, a, b, options=None, holdout="later", columns="metric, k, a, b, difference, ci_low, ci_high, p, users"):
    return rows(db, f"SELECT {columns} FROM rec_compare(?, ?, ?, ?)", a, b, holdout, json.dumps(options) if options is not None else None)


# ---- rec_evaluate_users ----

def test_users_values_average_to_what_rec_evaluate_says(shop):
    db = shop_of(shop)
    for model in ("knn", "pop", "als"):
        of = users_of(db, model, {"k": [3, 7]})
        equal(list(of), [(metric, k) for k in (3, 7) for metric in METRICS])
        said = {row[1:3]: row[3:5] for row in evaluate(db, model, {"k": [3, 7]}) if row[0] == model}
        for key, values in of.items():
            near(said[key][0], math.fsum(values.values()) / len(values), f"{model} {key}")
            equal(said[key][1], len(values), "users")


def test_users_are_listed_in_key_order_with_their_segment(shop):
    db = shop_of(shop)
    got = rows(db, "SELECT user, metric, k, typeof(user), segment FROM rec_evaluate_users('knn', 'later', '{\"by\":\"country\"}')")
    users = [row[0] for row in rows(db, f"SELECT DISTINCT user FROM later WHERE user IN (SELECT user FROM events WHERE t < {CUT}) ORDER BY 1")]
    equal([row[:4] for row in got], [(user, metric, 10, "integer") for user in users for metric in METRICS])
    equal({row[0]: row[4] for row in got}, {user: one(db, "SELECT country FROM later WHERE user = ?", user) for user in users})
    equal({row[0] for row in rows(db, "SELECT segment FROM rec_evaluate_users('knn', 'later')")}, {None}, "without by")


def test_a_users_value_is_that_of_her_list(shop):
    """hit and precision of each user counted from the model's own list."""
    db = shop_of(shop)
    of, compared = users_of(db, "knn", {"k": 5}), 0
    for user, value in of["hit", 5].items():
        listed = {row[0] for row in rows(db, "SELECT item FROM knn WHERE user = ? AND k = 5", user)}
        relevant = {row[0] for row in rows(db, "SELECT item FROM later WHERE user = ?", user)}
        equal(value, float(bool(listed & relevant)), f"hit of {user}")
        near(of["precision", 5][user], len(listed & relevant) / 5, f"precision of {user}")
        near(of["recall", 5][user], len(listed & relevant) / len(relevant), f"recall of {user}")
        compared += bool(listed & relevant)
    assert 5 < compared < len(of["hit", 5]), f"{compared} hits"


# ---- by ----

def test_segments_partition_the_users_and_have_their_means(shop):
    db = shop_of(shop)
    for by, segments in (("country", ["DE", "FR", "UK"]), ("age", [20, "20", 30]), ("COUNTRY", ["DE", "FR", "UK"])):
        options = {"k": [2, 10], "by": by}
        got = evaluate(db, "als", options)
        plain = evaluate(db, "als", {"k": [2, 10]})
        equal([row for row in got if row[5] is None], plain, "the rows over all stay as they are")
        cut = {row[:3] + row[5:]: row[3:5] for row in got if row[0] == "als" and row[5] is not None}
        equal(len(cut), len([row for row in got if row[0] == "als" and row[5] is not None]), "no segment twice")
        expected = rows(db, "SELECT 'als', metric, k, segment, avg(value), count(*) FROM rec_evaluate_users('als', 'later', ?) WHERE segment IS NOT NULL GROUP BY metric, k, segment", json.dumps(options))
        equal(sorted(map(repr, cut)), sorted(repr(row[:4]) for row in expected), "segments")
        equal({repr(row[3]) for row in expected}, set(map(repr, segments)))
        for row in expected:
            near(cut[row[:4]][0], row[4], row[:4])
            equal(cut[row[:4]][1], row[5], row[:4])
        users = {row[3]: row[5] for row in expected}
        missing = one(db, "SELECT count(DISTINCT user) FROM rec_evaluate_users('als', 'later', ?) WHERE segment IS NULL", json.dumps(options))
        equal(sum(users.values()) + missing, plain[0][4], "the segments' users and those of none are all users")
        equal(missing > 0, by.lower() == "country", "users without a country")
        equal({row[1] for row in got if row[5] is not None}, set(METRICS), "beyond accuracy is of all users")
        popular = [row for row in got if row[0] == "popular" and row[5] is not None]
        equal(len(popular), len(cut), "the popular list's segments, too")


def test_a_user_is_of_the_segment_of_her_first_row_that_counts(shop):
    db = shop.connect()
    make_events(db, users=20, items=20, seed=5)
    make_model(db, train=False)
    db.execute("INSERT INTO m(m, arg) VALUES('train', '{\"until\":500}')")
    db.execute("CREATE TABLE holdout(user INTEGER, item INTEGER, relevance REAL, kind TEXT)")
    new = rows(db, "SELECT a.user, b.item FROM (SELECT DISTINCT user FROM events WHERE t < 500) a, (SELECT DISTINCT item FROM events WHERE t < 500) b WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.user = a.user AND e.item = b.item) ORDER BY b.item, a.user")
    first = {}
    for n, (user, item) in enumerate(new[:120]):
        relevance, kind = n % 3, ["a", "b", None][n % 7 % 3]
        db.execute("INSERT INTO holdout VALUES(?, ?, ?, ?)", (user, item, relevance, kind))
        if relevance:
            first.setdefault(user, kind)
    got = dict(rows(db, "SELECT user, segment FROM rec_evaluate_users('m', 'holdout', '{\"by\":\"kind\"}') WHERE metric = 'hit'"))
    equal(got, first)
    assert {"a", "b", None} == set(first.values())
    equal({row[0]: row[1] for row in evaluate(db, "m", {"by": "kind"}, "segment, users", "holdout") if row[0]}, {kind: list(first.values()).count(kind) for kind in ("a", "b")})


def test_intervals_of_a_segment_hold_its_mean_and_are_reproducible(shop):
    db = shop_of(shop)
    sql = "SELECT metric, value, ci_low, ci_high, segment FROM rec_evaluate('knn', 'later', '{\"by\":\"country\",\"bootstrap\":200,\"seed\":3}') WHERE model = 'knn'"
    got = rows(db, sql)
    equal(rows(db, sql), got)
    accuracy = [row for row in got if row[0] in METRICS]
    assert all(row[2] <= row[1] <= row[3] for row in accuracy), accuracy
    assert any(row[2] < row[3] for row in accuracy if row[4] == "DE")
    equal({row[2:4] for row in got if row[0] in BEYOND}, {(None, None)}, "no mean over users, no interval")


def test_segments_of_fractions_are_judged_or_refused_but_not_lost(shop):
    db = shop_of(shop)
    db.execute("CREATE VIEW priced AS SELECT *, user % 3 + 0.5 AS price FROM later")
    try:
        got = {row[5]: row[4] for row in evaluate(db, "knn", {"by": "price"}, holdout="priced") if row[0] == "knn" and row[1] == "hit"}
    except Exception as error:
        assert "price" in str(error), str(error)
        return
    equal(set(got), {None, 0.5, 1.5, 2.5})
    equal(sum(users for segment, users in got.items() if segment), got[None])


def test_by_says_what_is_wrong(shop):
    db = shop_of(shop)
    for function in ("rec_evaluate('knn', 'later'", "rec_evaluate_users('knn', 'later'", "rec_compare('knn', 'pop', 'later'"):
        refused(db, f"SELECT * FROM {function}, '{{\"by\":\"nosuch\"}}')", says="later has no column 'nosuch' (by)")
        refused(db, f"SELECT * FROM {function}, '{{\"by\":\"{'x' * 200}\"}}')", says="by")
        refused(db, f"SELECT * FROM {function}, '{{\"byy\":\"country\"}}')", says=("unknown option 'byy'", "by"))
    db.execute('ALTER TABLE later RENAME COLUMN country TO "it\'s ""x"" %s"')
    equal(len({row[5] for row in evaluate(db, "knn", {"by": 'it\'s "x" %s'})}), 4, "a name full of quotes")


# ---- gini and novelty ----

def test_coverage_gini_and_novelty_of_the_lists(shop):
    db = shop_of(shop)
    holders = dict(rows(db, f"SELECT item, count(DISTINCT user) FROM events WHERE t < {CUT} GROUP BY item"))
    n_users = one(db, f"SELECT count(DISTINCT user) FROM events WHERE t < {CUT}")
    for model, k in itertools.product(("knn", "pop", "als"), (1, 5, 1000)):
        judged = [row[0] for row in rows(db, "SELECT user FROM rec_evaluate_users(?, 'later') WHERE metric = 'hit'", model)]
        lists = {user: [row[0] for row in rows(db, f"SELECT item FROM {model} WHERE user = ? AND k = ?", user, k)] for user in judged}
        count = {item: 0 for item in holders}
        for listed in lists.values():
            for item in listed:
                count[item] += 1
        c, n = sorted(count.values()), len(count)
        shown = [item for listed in lists.values() for item in listed]
        got = {row[1]: row[3] for row in evaluate(db, model, {"k": k}) if row[0] == model}
        near(got["coverage"], sum(x > 0 for x in c) / n, f"coverage {model} {k}")
        near(got["gini"], sum((2 * i - n - 1) * x for i, x in enumerate(c, 1)) / (n * sum(c)), f"gini {model} {k}")
        near(got["novelty"], sum(-math.log2(holders[item] / n_users) for item in shown) / len(shown), f"novelty {model} {k}", 1e-9)
    by = {row[:2]: row[3] for row in evaluate(db, "als", {"k": 3})}
    equal([row[1] for row in evaluate(db, "als", {"k": 3})], (METRICS + BEYOND) * 2)
    assert by["popular", "gini"] > by["als", "gini"] and by["popular", "novelty"] < by["als", "novelty"], "the popular list is even and news to nobody"


def test_nobody_judged_has_no_values(shop):
    db = shop_of(shop)
    db.execute("CREATE TABLE strangers AS SELECT user + 1000 AS user, item, 'x' AS kind FROM later")
    got = evaluate(db, "knn", {"by": "kind"}, holdout="strangers")
    equal({row[3:5] for row in got}, {(None, 0)})
    equal(rows(db, "SELECT * FROM rec_evaluate_users('knn', 'strangers')"), [])
    equal({row[2:] for row in compare(db, "knn", "pop", holdout="strangers")}, {(None, None, None, None, None, None, 0)})


# ---- rec_compare ----

def test_compare_pairs_the_users_values(shop):
    from scipy import stats
    db = shop_of(shop)
    for a, b in (("knn", "pop"), ("als", "knn"), ("pop", "als")):
        of_a, of_b = users_of(db, a, {"k": [2, 10]}), users_of(db, b, {"k": [2, 10]})
        got = compare(db, a, b, {"k": [2, 10], "bootstrap": 300})
        equal([row[:2] for row in got], [(metric, k) for k in (2, 10) for metric in METRICS])
        for metric, k, mean_a, mean_b, difference, low, high, p, users in got:
            x, y = of_a[metric, k], of_b[metric, k]
            equal(users, len(x), "users")
            equal(set(x), set(y))
            d = [y[user] - x[user] for user in x]
            near(mean_a, math.fsum(x.values()) / users, f"a: {a} {metric}")
            near(mean_b, math.fsum(y.values()) / users, f"b: {b} {metric}")
            near(difference, math.fsum(d) / users, f"difference {metric}")
            assert low <= difference <= high, (low, difference, high)
            near(p, stats.ttest_rel(list(y.values()), [x[user] for user in y]).pvalue if any(d) else 1, f"p of {a} {b} {metric} {k}", 1e-9)


def test_swapping_the_models_turns_the_signs(shop):
    db = shop_of(shop)
    there, back = compare(db, "knn", "als", {"k": 5, "seed": 4}), compare(db, "als", "knn", {"k": 5, "seed": 4})
    for one_way, other in zip(there, back):
        equal(one_way[2:4], other[3:1:-1], "a and b")
        near(one_way[4], -other[4], "difference")
        near(one_way[5], -other[6], "the interval", 1e-9)
        near(one_way[6], -other[5], "the interval", 1e-9)
        near(one_way[7], other[7], "p", 1e-12)
    assert any(row[4] for row in there)
    equal(compare(db, "knn", "als", {"k": 5, "seed": 4}), there, "again")
    assert [row[5] for row in compare(db, "knn", "als", {"k": 5, "seed": 5})] != [row[5] for row in there], "another seed draws others"
    equal({row[5:7] for row in compare(db, "knn", "als", {"k": 5, "bootstrap": 0})}, {(None, None)})
    equal([row[:5] + row[7:] for row in compare(db, "knn", "als", {"k": 5, "threads": 3})], [row[:5] + row[7:] for row in compare(db, "knn", "als", {"k": 5, "threads": 1})])


def test_a_model_beside_itself_and_beside_its_last_version(shop):
    db = shop_of(shop)
    for metric, k, a, b, difference, low, high, p, users in compare(db, "knn", "knn"):
        equal((a, difference, low, high, p), (b, 0, 0, 0, 1), metric)
    db.execute(f"INSERT INTO knn(knn, arg) VALUES('train', '{{\"until\":{CUT},\"neighbours\":1,\"activate\":\"never\"}}')")
    of = {version: users_of(db, "knn", {"version": version}) for version in (1, 2)}
    assert of[1] != of[2]
    for versions, sides in (({}, (1, 1)), ({"version": 2}, (2, 1)), ({"version_b": 2}, (1, 2)), ({"version": 1, "version_b": 2}, (1, 2)), ({"version": 2, "version_b": 2}, (2, 2))):
        for row in compare(db, "knn", "knn", versions):
            for mean, version in zip(row[2:4], sides):
                values = of[version][row[0], 10].values()
                near(mean, math.fsum(values) / len(values), f"{versions} {row[0]}")
    refused(db, "SELECT * FROM rec_compare('knn', 'pop', 'later', '{\"version_b\":2}')", says="no version 2")
    refused(db, "SELECT * FROM rec_compare('knn', 'pop', 'later', '{\"version\":3}')", says="no version 3")


def test_users_whom_one_model_cannot_judge_are_left_out(shop):
    db = shop_of(shop)
    db.execute("CREATE VIEW some AS SELECT * FROM events WHERE user % 3 <> 0")
    make_model(db, "few", train=False, events="some")
    db.execute(f"INSERT INTO few(few, arg) VALUES('train', '{{\"until\":{CUT}}}')")
    full, part = users_of(db, "pop"), users_of(db, "few")
    both = set(full["hit", 10]) & set(part["hit", 10])
    assert 2 < len(both) < len(full["hit", 10]), "the case is no case"
    for a, b, x, y in (("pop", "few", full, part), ("few", "pop", part, full)):
        for row in compare(db, a, b):
            equal(row[8], len(both), f"{a} {b}")
            near(row[2], math.fsum(x[row[0], 10][user] for user in both) / len(both), f"a: {a}")
            near(row[3], math.fsum(y[row[0], 10][user] for user in both) / len(both), f"b: {b}")
            near(row[4], row[3] - row[2], "difference")
    equal(compare(db, "pop", "few", {"unknown_users": "popular"})[0][8], one(db, "SELECT count(DISTINCT user) FROM later"), "unless the popular list stands in")


def test_few_users_have_no_p(shop):
    db = shop_of(shop)
    user = one(db, "SELECT min(user) FROM rec_evaluate_users('knn', 'later')")
    db.execute("CREATE TABLE lonely AS SELECT user, item FROM later WHERE user = ?", (user,))
    equal({(row[7], row[8]) for row in compare(db, "knn", "pop", holdout="lonely")}, {(None, 1)})
    db.execute("CREATE TABLE held(user INTEGER, item INTEGER)")
    db.execute("CREATE TABLE bought(user INTEGER, item INTEGER, n REAL, t INTEGER)")  # a and b: everybody gets what she wants by knn, nobody by the popular list
    db.executemany("INSERT INTO bought VALUES(?, ?, 1, 1)", [(user, item) for user in range(2) for item in (1,)] + [(2, 1), (2, 2), (3, 3), (4, 3), (5, 3)])
    make_model(db, "k2", events="bought", more=", similarity=cosine")
    make_model(db, "p2", "popular", events="bought")
    db.executemany("INSERT INTO held VALUES(?, 2)", [(0,), (1,)])
    got = {row[0]: row[4:] for row in compare(db, "p2", "k2", {"k": 1}, "held")}
    equal(got["hit"], (1.0, 1.0, 1.0, 0.0, 2), "all differ alike: p is 0")


def test_models_of_repeats_are_compared_by_their_own_or_a_common_rule(shop):
    db = shop_of(shop)
    db.execute(f"CREATE VIEW all_later AS SELECT user, item, t FROM events WHERE t >= {CUT}")
    make_model(db, "again", "repeat", train=False)
    db.execute(f"INSERT INTO again(again, arg) VALUES('train', '{{\"until\":{CUT}}}')")
    refused(db, "SELECT * FROM rec_compare('again', 'knn', 'all_later')", says=("history", "exclude_seen"))
    got = compare(db, "again", "knn", {"exclude_seen": False}, "all_later")
    of_a, of_b = (users_of(db, model, {"exclude_seen": False}, "all_later") for model in ("again", "knn"))
    equal({row[0] for row in got} >= {"repeat_share", "recall_repeat", "recall_explore"}, True)
    for row in got:  # who has no item of a kind has no value
        pairs = [(of_a[row[0], 10][user], of_b[row[0], 10][user]) for user in of_a[row[0], 10]]
        near(row[4], math.fsum(b - a for a, b in pairs if None not in (a, b)) / row[8], row[0])
    there, back = ({row[0]: row for row in compare(db, *pair)} for pair in (("again", "knn"), ("knn", "again")))
    for metric in ("repeat_share", "recall_explore"):  # each by its own rule, in either order
        near(there[metric][2], back[metric][3], metric)
        near(there[metric][3], back[metric][2], metric)
    assert there["recall_explore"][3] > 0 and there["repeat_share"][3] == 0 < there["repeat_share"][2], there
    own = compare(db, "again", "knn")  # new items only: repeat with its own false, knn with its own true
    equal(own[0][8] > 0, True)
    near(own[0][2], sum(users_of(db, "again")["precision", 10].values()) / own[0][8], "repeat lists what was seen, too")


def test_compare_says_what_is_wrong(shop):
    db = shop_of(shop)
    for arguments, says in (("'knn', 'pop'", "arguments"), ("'knn', 'nosuch', 'later'", "no rec_model named 'nosuch'"), ("'nosuch', 'knn', 'later'", "no rec_model named 'nosuch'"), ("'knn', 'pop', 'nosuch'", "'nosuch'"),
                            ("NULL, 'pop', 'later'", "NULL"), ("'knn', NULL, 'later'", "NULL"), ("'knn', 'pop', 'later', '{\"k\":0}'", "k must be"), ("'knn', 'pop', 'later', '{\"verson\":1}'", ("unknown option", "version_b"))):
        refused(db, f"SELECT * FROM rec_compare({arguments})", says=says)
    equal(rows(db, "SELECT * FROM rec_progress"), [], "no job is left over")
    make_model(db, "raw", train=False)
    refused(db, "SELECT * FROM rec_compare('knn', 'raw', 'later')", says="no version is active")
    db.execute("INSERT INTO knn(knn) VALUES('train')")
    refused(db, "SELECT * FROM rec_compare('pop', 'knn', 'later')", says=("also in the history", "exclude_seen"))
    equal(len(compare(db, "pop", "pop")), len(METRICS), "and what is right still works")


def test_compare_across_schemas_and_key_types(shop):
    db = shop_of(shop)
    db.execute("ATTACH ? AS aux", (shop.path("aux.db"),))
    db.execute("CREATE TABLE aux.events AS SELECT * FROM main.events")
    db.execute("CREATE VIRTUAL TABLE aux.knn USING rec_model(events=events, user=user, item=item, weight=n, time=t)")
    db.execute(f"INSERT INTO aux.knn(knn, arg) VALUES('train', '{{\"until\":{CUT}}}')")
    equal({(row[4], row[7]) for row in compare(db, "main.knn", "aux.knn")}, {(0, 1)}, "the same model elsewhere")
    db.execute("CREATE TABLE texts(user TEXT, item TEXT, n REAL, t INTEGER)")
    db.execute("INSERT INTO texts SELECT * FROM events")
    make_model(db, "words", train=False, events="texts")
    db.execute(f"INSERT INTO words(words, arg) VALUES('train', '{{\"until\":{CUT}}}')")
    db.execute("CREATE TABLE text_later AS SELECT CAST(user AS TEXT) AS user, CAST(item AS TEXT) AS item FROM later")
    a, b = users_of(db, "words", holdout="text_later"), users_of(db, "words", holdout="later")
    equal(a, b, "keys take the type of the model's table")
    equal(set(a["hit", 10]), set(map(str, users_of(db, "knn")["hit", 10])))


# ---- rec_rules ----

def test_rules_take_any_model_and_keep_the_keys_types(shop):
    db = shop_of(shop, train=False)
    got = rows(db, "SELECT * FROM rec_rules('knn', 0.3)")
    equal(rows(db, "SELECT * FROM rec_rules('pop', 0.3)"), got, "the algorithm does not matter")
    equal({row[0] for row in rows(db, "SELECT typeof(item) || typeof(then_item) FROM rec_rules('knn')")}, {"integerinteger"})
    db.execute("CREATE TABLE texts(user TEXT, item TEXT, n REAL, t INTEGER)")
    db.execute("INSERT INTO texts SELECT user, item, n, t FROM events")
    make_model(db, "words", events="texts", train=False)
    same_rows(rows(db, "SELECT CAST(item AS INTEGER), CAST(then_item AS INTEGER), users, support, confidence, lift, conviction FROM rec_rules('words', 0.3)"), got)
    equal(rows(db, "SELECT * FROM rec_rules('words', 0, 7)"), rows(db, "SELECT * FROM rec_rules('words', 0, '7')"), "a number for a text")
    equal(rows(db, "SELECT then_item FROM rec_rules('knn', 0, '2')"), rows(db, "SELECT then_item FROM rec_rules('knn', 0, 2)"))
    assert got and rows(db, "SELECT * FROM rec_rules('knn', 0, 2)"), "the case is no case"


def test_rules_are_symmetric_in_users_support_and_lift(shop):
    db = shop_of(shop, train=False)
    rule = {row[:2]: row[2:] for row in rows(db, "SELECT * FROM rec_rules('knn', 0)")}
    holders = dict(rows(db, "SELECT item, count(DISTINCT user) FROM events GROUP BY 1"))
    for (item, then), (users, support, confidence, lift, conviction) in rule.items():
        equal(rule[then, item][:2], (users, support))
        near(rule[then, item][3], lift, "lift")
        near(confidence, users / holders[item], "confidence")
        equal(conviction is None, users == holders[item], "conviction")
    equal(sorted(rule), list(rule), "in key order")
    for least in (0, .1, .5, 1):
        equal([row[:2] for row in rows(db, "SELECT * FROM rec_rules('knn', ?)", least)], [pair for pair, row in rule.items() if row[2] >= least])
    equal(len(rows(db, "SELECT * FROM rec_rules('knn')")), sum(row[2] >= .1 for row in rule.values()), "the default")
    for bad in ("abc", 50, -0.1):
        refused(db, "SELECT * FROM rec_rules('knn', ?)", bad, says=f"min_confidence={bad} (0..1)")


def test_rules_say_what_is_wrong_and_need_no_events(shop):
    db = shop_of(shop, train=False)
    for arguments, says in (("'nosuch'", "no rec_model named 'nosuch'"), ("NULL", "NULL"), ("", "argument")):
        refused(db, f"SELECT * FROM rec_rules({arguments})", says=says)
    db.execute("UPDATE events SET n = NULL WHERE rowid = 5")
    refused(db, "SELECT * FROM rec_rules('knn')", says="events.n is NULL")
    db.execute("DELETE FROM events")
    equal(rows(db, "SELECT * FROM rec_rules('knn', 0)"), [])
