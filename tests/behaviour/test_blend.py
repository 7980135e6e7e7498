"""blend: its lists against the formula, from the lists of its parts, each trained in a model of its own."""
import json, math, random

from support import equal, make_events, make_model, malformed, one, refused, refuses_flipped_bits, rows, shadow, trained_blob

ALL = '{"exclude_seen":false}'
EVERYTHING = json.dumps(list(range(1, 60)) + list(range(101, 111)))
KNN, IALS, REPEAT, POPULAR = {"algorithm": "item_knn"}, {"algorithm": "ials", "factors": 8}, {"algorithm": "repeat"}, {"algorithm": "popular"}
SESSION, CONTENT, MF, EASE = {"algorithm": "session_knn"}, {"algorithm": "content"}, {"algorithm": "mf", "factors": 4}, {"algorithm": "ease"}
CATALOGUE = ", items=products, item_key=item, item_text=words"
MIXES = {
    "two": [KNN, dict(IALS, weight=2.5)],
    "options": [dict(KNN, similarity="rp3beta", neighbours=5, weight=.3), dict(KNN, similarity="jaccard"), EASE],
    "negative": [KNN, dict(POPULAR, weight=-.5)],
    "all sorts": [dict(REPEAT, weight=3), POPULAR, SESSION, MF, {"algorithm": "user_knn", "weight": .5}, {"algorithm": "bpr", "factors": 4}, {"algorithm": "graph"}],
    "none counts": [dict(KNN, weight=0), IALS],
}
NO_SIMILAR = ("popular", "user_knn", "repeat")


def blend_shop(shop, parts, fusion="score", common="", name=None, catalogue=""):
    """A model `b` of the parts, and p0, p1, ... of each alone; their items are the same unless there is a catalogue."""
    db = shop.connect(name)
    make_events(db)
    if catalogue:
        draw = random.Random(4)
        db.execute("CREATE TABLE products(item INTEGER, words TEXT)")
        db.executemany("INSERT INTO products VALUES(?, ?)", [(item, " ".join(draw.choices("red blue green cup pot dish oak".split(), k=3))) for item in (*range(1, 51), *range(101, 106))])
    make_model(db, "b", "blend", more=f"{common}{catalogue}, fusion={fusion}, models='{json.dumps(parts)}'")
    for c, part in enumerate(parts):
        options = "".join(f", {key}={value}" for key, value in part.items() if key not in ("algorithm", "weight", "min_history"))
        combine = ", combine=sum" if part["algorithm"] == "mf" else ""  # as the blend, whose events are added up, trains it
        make_model(db, f"p{c}", part["algorithm"], more=common + catalogue + options + combine)
    return db


def items_of(db, model="b"):
    return {row[0] for row in rows(db, f"SELECT item FROM {model} WHERE user = -1")}


def part_scores(db, model, where):
    """What a part says of every item; 0 where it says nothing."""
    listed = dict(rows(db, f"SELECT item, score FROM {model} WHERE {where} AND candidates = ? AND options = '{ALL}'", EVERYTHING))
    return {item: listed[item] for item in items_of(db)}


def part_ranks(db, model, algorithm, where):
    """Ranks among what the part itself lists, without what was filled in."""
    listed = rows(db, f"SELECT item, because FROM {model} WHERE {where} AND options = '{ALL}' ORDER BY rank")
    return {item: rank for rank, (item, because) in enumerate(listed, 1) if algorithm == "popular" or json.loads(because)["source"] != "popular"}


def root_mean_square(scores):
    return math.sqrt(sum(score * score for score in scores.values()) / len(scores))


def combine(db, parts, fusion, where, similar=False, n_history=0):
    total = dict.fromkeys(items_of(db), 0.0)
    speaking = [c for c, part in enumerate(parts) if not (similar and part["algorithm"] in NO_SIMILAR)]
    if fusion == "switch":
        speaking = [([0] + [c for c in speaking if parts[c].get("min_history", 0) <= n_history])[-1]]
    for c in speaking:
        weight = parts[c].get("weight", 1)
        if fusion == "rrf":
            for item, rank in part_ranks(db, f"p{c}", parts[c]["algorithm"], where).items():
                total[item] += weight / (60 + rank)
            continue
        scores = part_scores(db, f"p{c}", where)
        size = root_mean_square(scores)
        factor = 1 if fusion == "switch" else weight / size if size else 0
        for item, score in scores.items():
            total[item] += factor * score
    return total


def popular_order(db):
    return [row[0] for row in rows(db, "SELECT item FROM b WHERE user = -1 ORDER BY rank")]


def check_list(db, where, want, hidden=(), options="{}", what=""):
    """The blend's list has these scores, highest first; what is 0 or less follows from the popular list."""
    got = rows(db, f"SELECT item, score FROM b WHERE {where} AND options = '{options}' ORDER BY rank")
    limit = 1e-6 * max(map(abs, want.values()), default=1)
    known = [(item, score) for item, score in got if score > 0]
    equal([item for item, _ in got[len(known):]], [item for item in popular_order(db) if item not in hidden and item not in dict(known)], f"{what}: the fill")
    equal({item for item, _ in got}, set(want) - set(hidden), what)
    for item, score in got:
        assert abs(score - max(0, want[item])) <= limit, f"{what}: item {item} has {score}, not {want[item]}"
    scores = [score for _, score in got]
    equal(scores, sorted(scores, reverse=True), what)
    return len(known)


def history(db, user, until=10**9):
    return [row[0] for row in rows(db, "SELECT item FROM events WHERE user = ? AND t < ? GROUP BY item HAVING sum(n) > 0", user, until)]


def test_scores_and_ranks_are_those_of_the_formula(shop):
    for name, parts in MIXES.items():
        for fusion in ("score", "rrf"):
            db = blend_shop(shop, parts, fusion)
            known = 0
            for user in (7, 20, 33):
                want = combine(db, parts, fusion, f"user = {user}")
                known += check_list(db, f"user = {user}", want, history(db, user), what=f"{name}, {fusion}, user {user}")
                check_list(db, f"user = {user}", want, options=ALL, what=f"{name}, {fusion}, user {user}, everything")
            for cart in ("[2]", "[2, 3, 3, 9]"):
                known += check_list(db, f"basket = '{cart}'", combine(db, parts, fusion, f"basket = '{cart}'"), json.loads(cart), what=f"{name}, {fusion}, cart {cart}")
            assert known > 30, f"{name}, {fusion}: {known} rows that the parts know"


def test_common_options_are_those_of_the_parts(shop):
    for common in (", scale=linear, half_life=0.003, seed=77", ", max_history=2, scale=binary", ", min_support=4"):
        for fusion in ("score", "rrf"):
            db = blend_shop(shop, MIXES["two"], fusion, common)
            for user in (7, 20):
                where = f"user = {user}"
                want = combine(db, MIXES["two"], fusion, where)
                seen = items_of(db) - {row[0] for row in rows(db, f"SELECT item FROM b WHERE {where}")}
                assert check_list(db, where, want, seen, what=f"{common}, {fusion}, user {user}") > 3


def test_similar_to_adds_the_parts_that_have_neighbours(shop):
    parts = [dict(KNN, weight=2), REPEAT, POPULAR, IALS, {"algorithm": "user_knn"}]
    for fusion in ("score", "rrf"):
        db = blend_shop(shop, parts, fusion)
        for item in (2, 9, 13):
            known = {}
            for c in (0, 3):
                listed = rows(db, f"SELECT item, score, because FROM p{c} WHERE similar_to = {item} ORDER BY rank")
                known[c] = {i: (score, rank) for rank, (i, score, because) in enumerate(listed, 1) if json.loads(because)["source"] == "similar"}
            want = dict.fromkeys(items_of(db), 0.0)
            for c, listed in known.items():
                scores = {i: listed.get(i, (0, 0))[0] for i in want}
                scores[item] = 1 if c == 3 else 0  # the factors' cosine with itself
                size = root_mean_square(scores)
                for i, (score, rank) in listed.items():
                    rank += c == 3  # itself is first
                    want[i] += parts[c].get("weight", 1) * (score / size if fusion == "score" else 1 / (60 + rank))
            assert check_list(db, f"similar_to = {item}", want, [item], what=f"{fusion}, similar to {item}") > 5
    db = blend_shop(shop, [REPEAT, POPULAR])
    refused_or_popular = rows(db, "SELECT item, score FROM b WHERE similar_to = 2 AND k = 3")
    equal(refused_or_popular, [(item, 0.0) for item in popular_order(db) if item != 2][:3], "no part has neighbours: the popular list")


def test_a_switch_asks_the_last_part_that_the_history_is_long_enough_for(shop):
    parts = [dict(POPULAR), dict(KNN, min_history=1, weight=9), dict(IALS, min_history=4), dict(REPEAT, min_history=7)]
    db = blend_shop(shop, parts, "switch")
    met = set()
    for user in range(1, 41):
        mine = history(db, user)
        n = len(mine)
        part = 3 if n >= 7 else 2 if n >= 4 else 1
        if (n, part) in met:
            continue
        met.add((n, part))
        check_list(db, f"user = {user}", combine(db, parts, "switch", f"user = {user}", n_history=n), mine, what=f"user {user} with {n}")
        equal(rows(db, f"SELECT item, score FROM b WHERE user = {user} AND k = 3 AND options = '{ALL}'"), rows(db, f"SELECT item, score FROM p{part} WHERE user = {user} AND k = 3 AND options = '{ALL}'"), f"{n} items")
    assert {3, 4, 6, 7} <= {n for n, _ in met}, met
    for n in range(1, 9):
        cart = sorted(items_of(db))[:n]
        check_list(db, f"basket = '{cart + [-5]}'", combine(db, parts, "switch", f"basket = '{cart}'", n_history=n), cart, what=f"a cart of {n} and of what nobody knows")
    n = len(history(db, 7, 500))
    assert n != len(history(db, 7))
    chosen = 3 if n >= 7 else 2 if n >= 4 else 1
    limited = '{"exclude_seen":false,"until":500}'
    equal(rows(db, f"SELECT item, score FROM b WHERE user = 7 AND k = 3 AND options = '{limited}'"), rows(db, f"SELECT item, score FROM p{chosen} WHERE user = 7 AND k = 3 AND options = '{limited}'"))


def test_a_switch_goes_by_the_order_of_its_parts(shop):
    """The last that fits, not the one of the largest min_history; and the first where none fits."""
    parts = [dict(KNN, min_history=3), dict(IALS, min_history=2)]
    db = blend_shop(shop, parts, "switch")
    for cart, part in (([1, 2, 3, 9], 1), ([2, 9], 1), ([2], 0)):
        options = f"basket = '{cart}' AND k = 5"
        equal(rows(db, f"SELECT item, score FROM b WHERE {options}"), rows(db, f"SELECT item, score FROM p{part} WHERE {options}"), str(cart))


def test_similar_to_of_a_switch_is_the_list_of_the_part_for_one_item(shop):
    """The last part with neighbours whose min_history is not above 1; where there is none the first with neighbours."""
    for parts, part in (([KNN, dict(IALS, min_history=3)], 0), ([KNN, dict(IALS, min_history=1)], 1), ([KNN, IALS, REPEAT], 1), ([REPEAT, dict(IALS, min_history=2), dict(KNN, min_history=2)], 1)):
        db = blend_shop(shop, parts, "switch")
        question = "similar_to = 2 AND k = 10"
        equal(rows(db, f"SELECT item, score FROM b WHERE {question}"), rows(db, f"SELECT item, score FROM p{part} WHERE {question}"), str(parts))


def test_because_adds_up_the_parts(shop):
    parts = [dict(KNN, similarity="cosine", weight=2), {"algorithm": "content", "weight": 3}, POPULAR]
    db = blend_shop(shop, parts, common=", scale=linear", catalogue=CATALOGUE)
    amount = dict(rows(db, "SELECT item, sum(n) FROM events WHERE user = 7 GROUP BY item"))
    factor = [parts[c].get("weight", 1) / root_mean_square(part_scores_of_all(db, f"p{c}", "user = 7")) for c in (0, 1)]
    alone = {h: [part_scores_of_all(db, f"p{c}", f"basket = '[{h}]'") for c in (0, 1)] for h in amount}
    checked = 0
    for item, because in rows(db, "SELECT item, because FROM b WHERE user = 7 AND k = 8"):
        part = {h: amount[h] * sum(factor[c] * alone[h][c][item] for c in (0, 1)) for h in amount}
        shown = {entry["item"]: entry["share"] for entry in json.loads(because)["items"]}
        equal(json.loads(because)["source"], "history")
        equal(len(shown), min(5, sum(value > 0 for value in part.values())))
        for h, share in shown.items():
            assert abs(share - part[h] / sum(part.values())) < 2e-4, (item, h, share, part)
            checked += share < 0.999
    assert checked > 5, "shares of several items"
    db = blend_shop(shop, MIXES["two"], "rrf")
    equal({row[0] for row in rows(db, "SELECT because FROM b WHERE user = 7 AND k = 3")}, {'{"source":"history","items":[]}'}, "ranks have no shares")
    db = blend_shop(shop, [KNN, dict(REPEAT, min_history=1)], "switch")
    equal(json.loads(one(db, f"SELECT because FROM b WHERE user = 7 AND k = 1 AND options = '{ALL}'")), json.loads(one(db, "SELECT because FROM p1 WHERE user = 7 AND k = 1")), "of the part that speaks")


def part_scores_of_all(db, model, where):
    """The same, of the items of the blend: a part that is trained alone may not know the catalogue's."""
    listed = dict(rows(db, f"SELECT item, score FROM {model} WHERE {where} AND candidates = ? AND options = '{ALL}'", EVERYTHING))
    return {item: listed.get(item, 0) for item in items_of(db)}


def test_a_blend_with_content_knows_the_catalogue(shop):
    parts = [dict(KNN, similarity="cosine", weight=2), CONTENT]  # cosine: of others how many items there are matters
    for fusion in ("score", "rrf"):
        db = blend_shop(shop, parts, fusion, catalogue=CATALOGUE)
        sold = {row[0] for row in rows(db, "SELECT DISTINCT item FROM events")}
        equal(items_of(db), sold | set(range(1, 51)) | set(range(101, 106)))
        equal(one(db, "SELECT items FROM rec_versions WHERE model = 'p0'"), len(sold))
        for user in (7, 20):
            where = f"user = {user}"
            if fusion == "score":
                want = dict.fromkeys(items_of(db), 0.0)
                for c in (0, 1):
                    scores = part_scores_of_all(db, f"p{c}", where)
                    for item in want:
                        want[item] += parts[c].get("weight", 1) * scores[item] / root_mean_square(scores)
            else:
                want = combine(db, parts, fusion, where)
            assert check_list(db, where, want, history(db, user), what=f"{fusion}, {where}") > 20
        assert any(item > 100 and score > 0 for item, score in rows(db, "SELECT item, score FROM b WHERE user = 7")), "a cold item"
    refused(db, f"""INSERT INTO p0(p0, arg) VALUES('train', '{{"algorithm":"blend","models":[{{"algorithm":"content"}},{{"algorithm":"content","weighting":"x"}}]}}')""", says=("weighting=x", "tfidf|bm25"))
    make_model(db, "plain", "blend", train=False, more=f", models='{json.dumps(parts)}'")
    refused(db, "INSERT INTO plain(plain) VALUES('train')", says=("content needs items=", "item_text="))


def test_unknown_users_get_the_popular_list_and_everybody_her_own(shop):
    for fusion in ("score", "rrf", "switch"):
        db = blend_shop(shop, [dict(KNN, min_history=2), dict(IALS, min_history=4), POPULAR], fusion)
        popular = [row[0] for row in rows(db, "SELECT item FROM events GROUP BY item HAVING sum(n) > 0 ORDER BY count(DISTINCT user) DESC, item")]
        equal(rows(db, "SELECT item, score FROM b WHERE user = 999 ORDER BY rank"), [(item, 0.0) for item in popular])
        equal({row[0] for row in rows(db, "SELECT because FROM b WHERE user = 999 AND k = 3")}, {'{"source":"popular"}'})
        everybody = rows(db, "SELECT user, item, score, rank FROM b WHERE k = 6")
        for user in sorted({row[0] for row in everybody}):
            equal([row[1:] for row in everybody if row[0] == user], rows(db, "SELECT item, score, rank FROM b WHERE user = ? AND k = 6", user), f"{fusion}, user {user}")
        full = rows(db, "SELECT item, score, rank FROM b WHERE user = 7 ORDER BY rank")
        for item, score, rank in full[:5] + full[-2:]:
            equal(rows(db, "SELECT score, rank FROM b WHERE user = 7 AND item = ?", item), [(score, rank)], "one pair")
        equal([tuple(row[:2]) for row in full[:9]], rows(db, "SELECT item, score FROM b WHERE user = 7 AND candidates = ? ORDER BY rank", json.dumps([row[0] for row in full[:9]][::-1])))


def test_models_that_are_malformed_are_refused(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, "m")
    before = shadow(db, "m")
    part = {"algorithm": "item_knn"}
    cases = (("not json", "models must be a JSON array"), ("{}", "models must be a JSON array"), ("[]", "1 to 8"), (json.dumps([part] * 9), "1 to 8"), ("7", "JSON array"),
             ('["item_knn"]', ("models", "element 1", "object")), (json.dumps([part, 3]), "element 2"), ('[{"algorithm":"nosuch"}]', ("models: algorithm 'nosuch'", "rec_options")),
             ('[{"algorithm":"blend"}]', ("models: algorithm 'blend'", "no blend")), ("[{}]", "models: algorithm ''"), ('[{"algorithm":3}]', "models: algorithm ''"),
             ('[{"algorithm":"item_knn","weight":"much"}]', "models: weight must be a number"), ('[{"algorithm":"item_knn","weight":1e7}]', "-1e6..1e6"),
             ('[{"algorithm":"item_knn","weight":null}]', "weight must be a number"), ('[{"algorithm":"item_knn","min_history":-1}]', "min_history must be a number"),
             ('[{"algorithm":"item_knn","min_history":"x"}]', "min_history"), ('[{"algorithm":"item_knn","factors":8}]', ("unknown option 'factors'", "similarity")),
             ('[{"algorithm":"item_knn","seed":8}]', "unknown option 'seed'"), ('[{"algorithm":"item_knn","neighbours":0}]', "neighbours=0 (1..100000)"),
             ('[{"algorithm":"item_knn","shrink":1,"shrink":2}]', "models"), ('[{"algorithm":"repeat","x":1}]', "unknown option 'x'"), ('[{"algorithm":"item_knn"}', "models"))
    for models, says in cases:
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item, algorithm=blend, models='{models}')", says=says)
        arguments = [json.dumps({"algorithm": "blend", "models": models})]
        if models[0] == "[" and models[-1] == "]" and models.count("shrink") < 2:
            arguments.append('{"algorithm":"blend","models":' + models + "}")
        for argument in arguments:
            refused(db, "INSERT INTO m(m, arg) VALUES('train', ?)", argument, says=says)
            refused(db, "SELECT rec_train('m', ?)", argument, says=says)
    refused(db, "CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item, algorithm=blend, fusion=sum)", says=("fusion=sum", "score|rrf|switch"))
    refused(db, "INSERT INTO m(m, arg) VALUES('train', ?)", json.dumps({"algorithm": "blend", "models": [dict(part, alpha=.123456789)] * 8 + [part] * 40}), says="models")
    equal(shadow(db, "m"), before)
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 'x%'"), [])


def test_a_part_that_starts_from_a_version_is_refused(shop):
    db = shop.connect()
    make_events(db)
    refused(db, """CREATE VIRTUAL TABLE b USING rec_model(events=events, user=user, item=item, algorithm=blend, models='[{"algorithm":"ials","init_from":1}]')""", says=("models", "init_from"))
    make_model(db, "b", "blend", more=""", models='[{"algorithm":"ials","factors":4,"init_from":0}]'""")


def test_eight_parts_and_the_spellings_of_models(shop):
    db = shop.connect()
    make_events(db)
    parts = [dict(KNN, neighbours=n, weight=n) for n in range(1, 9)]
    make_model(db, "b", "blend", more=f", models='{json.dumps(parts)}'")
    for models in (parts, json.dumps(parts), json.dumps(parts, indent=2)):
        db.execute("INSERT INTO b(b, arg) VALUES('train', ?)", (json.dumps({"models": models}),))
    lists = {tuple(rows(db, "SELECT item, score FROM b WHERE user = 7 AND options = ?", json.dumps({"version": version}))) for version in (1, 2, 3, 4)}
    equal(len(lists), 1)
    shown = json.loads(one(db, "SELECT options FROM rec_versions WHERE version = 2"))
    equal(json.loads(shown["models"]) if isinstance(shown["models"], str) else shown["models"], parts)
    equal(shown["fusion"], "score")


def test_a_blend_learns_from_a_purchase_at_once(shop):
    db = blend_shop(shop, MIXES["two"])
    before = rows(db, "SELECT item, score FROM b WHERE user = 7 AND k = 5")
    db.execute("INSERT INTO events VALUES(7, ?, 1, 2000)", (before[0][0],))
    after = rows(db, "SELECT item, score FROM b WHERE user = 7 AND k = 5")
    assert before[0][0] not in dict(after) and after != before
    check_list(db, "user = 7", combine(db, MIXES["two"], "score", "user = 7"), history(db, 7))


def test_a_blend_is_stored_loaded_and_reopened(shop):
    parts = [KNN, IALS, CONTENT, REPEAT, SESSION, {"algorithm": "user_knn"}, {"algorithm": "bpr", "factors": 4}, POPULAR]
    db = blend_shop(shop, parts, name="shop.db", catalogue=CATALOGUE)
    questions = ("user = 7", "basket = '[1, 2, 101]'", "similar_to = 2", "user = 999")
    ask = lambda model: [rows(db, f"SELECT item, score, rank, because FROM {model} WHERE {where} ORDER BY rank") for where in questions]
    expected = ask("b")
    make_model(db, "copy", "item_knn", train=False)
    db.execute("INSERT INTO copy(copy, arg) SELECT 'load', rec_train('b')")
    equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions WHERE model IN ('b', 'copy')")}), 1)
    equal(ask("copy"), expected)
    db.close()
    db = shop.connect("shop.db")
    equal(ask("b"), expected, "reopened")
    equal(ask("copy"), expected, "the copy, reopened")
    for model in ("b", "copy"):
        db.execute(f"INSERT INTO {model}({model}) VALUES('integrity-check')")


def damage_shop(shop):
    parts = [dict(KNN, weight=2), dict(IALS, factors=3), CONTENT, SESSION, {"algorithm": "user_knn"}]
    return blend_shop(shop, parts, catalogue=CATALOGUE)


def test_flipped_bits_of_a_blend_are_found(shop):
    refuses_flipped_bits(damage_shop(shop), "b", random.Random(9), 150)


def test_a_malformed_blend_with_a_right_checksum_never_crashes(shop):
    draw = random.Random(11)
    db = damage_shop(shop)
    blob, end = trained_blob(db, "b")
    text = blob.find(b'"algorithm')
    loaded = 0
    for n in range(500):
        in_text = (lambda: text + draw.randrange(200)) if n % 4 == 0 and text >= 0 else None
        try:
            db.execute("INSERT INTO b(b, arg) VALUES('load', ?)", (malformed(blob, end, draw, in_text),))
            loaded += 1
            for question in ("b(3, 5)", "b WHERE user = 3", "b WHERE basket = '[1, 2, 103]' AND k = 5", "b WHERE k = 1", "b WHERE similar_to = 2"):
                db.execute(f"SELECT item, score, because FROM {question}").fetchall()
            db.execute("""SELECT item FROM b WHERE user = 3 AND k = 5 AND options = '{"diversity":0.5}'""").fetchall()
        except Exception as error:
            assert "b: " in str(error), error
    assert loaded > 50, f"{loaded} could be read"


def test_ials_weighs_unseen_pairs_by_the_density_of_the_events(shop):
    """The version says the number; a part of a blend, whose options do not, is the same model before and after it is stored."""
    db = shop.connect("shop.db")
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?, 1, 1)", [(user, (user * step) % 401) for user in range(1, 400) for step in (1, 7, 11)])
    make_model(db, "plain", "ials", more=", factors=8, sweeps=3")
    pairs, users, items = db.execute("SELECT count(DISTINCT user * 1000 + item), count(DISTINCT user), count(DISTINCT item) FROM events").fetchone()
    said = one(db, "SELECT options ->> 'unobserved_weight' FROM rec_versions")
    assert abs(said - min(1, 64 * pairs / (users * items))) < 1e-9 and 0 < said < 1, f"{said}: {pairs} of {users} x {items}"
    make_model(db, "fixed", "ials", more=f", factors=8, sweeps=3, unobserved_weight={said!r}")
    make_model(db, "mixed", "blend", more=""", models='[{"algorithm":"ials","factors":8,"sweeps":3}]'""")
    lists = {name: rows(db, f"SELECT user, item, rank FROM {name} WHERE k = 5") for name in ("plain", "fixed", "mixed")}
    equal(lists["fixed"], lists["plain"])
    equal(lists["mixed"], lists["plain"], "alone in a blend")
    db.close()
    db = shop.connect("shop.db")
    for name in lists:
        equal(rows(db, f"SELECT user, item, rank FROM {name} WHERE k = 5"), lists[name], f"{name}, read again")
    make_model(db, "hu", "ials", more=", factors=8, sweeps=3, form=hkv")
    equal(one(db, "SELECT options ->> 'unobserved_weight' FROM rec_versions WHERE model = 'hu'"), 1)


def test_factors_of_weights(shop):
    """weight_2 .. weight_4 multiply the parts' own weights."""
    parts = [KNN, dict(IALS, weight=2), POPULAR, MF]
    db = blend_shop(shop, parts)
    make_model(db, "factors", "blend", more=f", weight_2=1.5, weight_3=0.25, weight_4=0, models='{json.dumps(parts)}'")
    make_model(db, "written", "blend", more=f", models='{json.dumps([KNN, dict(IALS, weight=3), dict(POPULAR, weight=.25), dict(MF, weight=0)])}'")
    ask = "SELECT user, item, score, rank FROM {} WHERE k = 10"
    equal(rows(db, ask.format("factors")), rows(db, ask.format("written")))
    assert rows(db, ask.format("factors")) != rows(db, ask.format("b"))


def test_weights_are_learnt_from_what_is_held_out(shop):
    """The parts are trained once for all settings; each setting's value is that of a training of its own, and the best one serves."""
    space = {"weight_2": [.2, 1, 5], "fusion": ["score", "log"]}
    db = blend_shop(shop, [KNN, POPULAR])
    one(db, "SELECT rec_tune('b', ?)", json.dumps({"sampler": "grid", "trials": 6, "space": space, "activate": "always", "split": "random", "judged": 2}))
    tried = rows(db, "SELECT options, value, users FROM rec_trials WHERE model = 'b'")
    equal(len(tried), 7, "six settings, and the blend as it is")
    equal(len({value for _, value, _ in tried}) > 3, True, tried)
    for n, (options, value, users) in enumerate(tried):
        make_model(db, f"one{n}", "blend", train=False, more=f", models='{json.dumps([KNN, POPULAR])}'")
        alone = {key: [option] for key, option in json.loads(options).items() if key != "algorithm"}
        one(db, f"SELECT rec_tune('one{n}', ?)", json.dumps({"sampler": "grid", "trials": 1, "space": alone, "activate": "never", "split": "random", "judged": 2}) if alone else json.dumps(
            {"sampler": "grid", "trials": 1, "space": {"seed": [1]}, "activate": "never", "split": "random", "judged": 2}))
        found = rows(db, "SELECT value, users FROM rec_trials WHERE model = ? AND options = ?", f"one{n}", options)
        equal(found, [(value, users)], options)
    best = max(tried, key=lambda row: row[1])
    stored = json.loads(one(db, "SELECT options FROM rec_versions WHERE model = 'b' AND active"))
    chosen = json.loads(one(db, "SELECT options FROM rec_trials WHERE model = 'b' AND note LIKE 'chosen%'"))
    assert chosen in (json.loads(best[0]), {"algorithm": "blend"}), chosen
    equal({key: stored[key] for key in chosen if key != "algorithm"}, {key: value for key, value in chosen.items() if key != "algorithm"})
