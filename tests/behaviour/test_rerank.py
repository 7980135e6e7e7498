"""Lists in another order: diversity, popularity_penalty, calibration, max_per_category and pool, against the definition in
ext/models/rerank.h, from the model's own list, its events and its similar items."""
import json, math, random, struct

from support import equal, make_events, make_model, one, refused, rows, same_rows

CATALOGUE = ", items=products, item_key=item, item_category=kind"
RULES = ("diversity", "popularity_penalty", "calibration", "max_per_category")
CASES = [{"diversity": .3}, {"diversity": .9}, {"diversity": 1}, {"popularity_penalty": .5}, {"popularity_penalty": 3}, {"calibration": .4}, {"calibration": 50}, {"max_per_category": 1},
         {"max_per_category": 3}, {"diversity": .5, "popularity_penalty": .7}, {"diversity": .4, "max_per_category": 2}, {"calibration": 1, "max_per_category": 4, "popularity_penalty": .3},
         {"diversity": .6, "popularity_penalty": .5, "calibration": .5, "max_per_category": 5}, {"diversity": .5, "pool": 12}, {"max_per_category": 1, "pool": 6},
         {"calibration": 2, "pool": 15, "max_per_category": 2}, {"popularity_penalty": 1, "pool": 1}, {"pool": 5}]
NO_CATEGORIES = [case for case in CASES if not {"calibration", "max_per_category"} & set(case)]
ALGORITHMS = {"item_knn": "", "ials": ", factors=6", "bpr": ", factors=4", "mf": ", factors=4, combine=sum", "ease": "", "slim": "", "graph": "", "content": ", item_text=words, item_vector=look"}


def rerank_shop(shop, algorithm="item_knn", name=None, more=None, train=True):
    """Kinds: an INTEGER or a TEXT for most products, none for some, and some products are not in the table."""
    db = shop.connect(name)
    make_events(db)
    draw = random.Random(8)
    db.execute("CREATE TABLE products(item INTEGER, kind, words TEXT, look)")
    db.executemany("INSERT INTO products VALUES(?, ?, ?, ?)", [(item, [1, "b", "1", 2, None, "c"][item % 6] if item % 7 else None,
                   " ".join(draw.choices("red blue green cup pot dish".split(), k=3)), struct.pack("<3f", *(draw.gauss(0, 1) for _ in range(3)))) for item in range(1, 46)])
    make_model(db, algorithm=algorithm, more=(CATALOGUE + ALGORITHMS.get(algorithm, "")) if more is None else more, train=train)
    return db


def plain(db, where, more=""):
    """The list as the model has it: [(item, score, filled in)]."""
    return [(item, score, json.loads(because)["source"] == "popular") for item, score, because in rows(db, f"SELECT item, score, because FROM m WHERE {where}{more} ORDER BY rank")]


def asked(db, where, rules, more=""):
    return rows(db, f"SELECT item, score FROM m WHERE {where} AND options = '{json.dumps(rules)}'{more} ORDER BY rank")


def kinds(db):
    """Category of each item; 1 and '1' are two."""
    return {item: (type(kind), kind) for item, kind in rows(db, "SELECT item, kind FROM products") if kind is not None}


def users_of(db):
    return dict(rows(db, "SELECT item, count(*) FROM (SELECT user, item FROM events GROUP BY 1, 2 HAVING sum(n) > 0) GROUP BY 1"))


def likeness(db, algorithm):
    """alike(a, b) of the header, from rec_item_vectors or from the rows of similar_to."""
    if algorithm in ("ials", "bpr", "mf"):
        vector = {item: struct.unpack(f"<{len(value) // 4}f", value) for item, value in rows(db, "SELECT * FROM rec_item_vectors('m')")}
        size = {item: math.sqrt(sum(x * x for x in value)) for item, value in vector.items()}
        return lambda a, b: max(0, sum(x * y for x, y in zip(vector[a], vector[b])) / (size[a] * size[b])) if size[a] * size[b] else 0
    keys = [row[0] for row in rows(db, "SELECT item FROM m WHERE user = -1")]
    row = {key: {item: score for item, score in rows(db, "SELECT item, score FROM m WHERE similar_to = ?", key)} for key in keys}
    if algorithm == "content":  # text and a vector: at most 2
        return lambda a, b: max(0, row[a].get(b, 0) / 2)
    most = {key: max(row[key].values(), default=0) for key in keys}
    share = lambda a, b: row[a].get(b, 0) / most[a] if most[a] > 0 else 0
    return lambda a, b: max(0, share(a, b), share(b, a))


def history(db, user):
    """Items and what they count for."""
    return {item: math.log1p(n) for item, n in rows(db, "SELECT item, sum(n) FROM events WHERE user = ? GROUP BY item HAVING sum(n) > 0", user)}


def shares(own, kind):
    """p: the categories of a history by weight."""
    total = sum(x for item, x in own.items() if item in kind)
    p = {}
    for item, x in own.items():
        if item in kind:
            p[kind[item]] = p.get(kind[item], 0) + x / total
    return p


def divergence(p, listed, kind):
    named = [kind[item] for item in listed if item in kind]
    q = {c: named.count(c) / len(named) for c in p} if named else dict.fromkeys(p, 0)
    return sum(share * math.log(share / (.99 * q[c] + .01 * share)) for c, share in p.items())


def check(got, listed, k, rules, alike, users, own, kind, what):
    """Every step of the list `got` is the best by the definition; where two are equal it is the one listed before."""
    limit = 1e-5
    pool = [entry for entry in listed[:rules.get("pool", 200)]]
    relevance = {item: 0 if filled or score <= 0 else score / max(1, users.get(item, 0)) ** rules.get("popularity_penalty", 0) for item, score, filled in pool}
    top = max(relevance.values(), default=0)
    relevance = {item: r / top if top > 0 else r for item, r in relevance.items()}
    p = shares(own, kind)
    chosen, left, full = [], [entry[0] for entry in pool], rules.get("max_per_category", 0)
    closest = dict.fromkeys(left, 0)
    place = {item: n for n, item in enumerate(left)}

    def may_come(item):
        return not full or item not in kind or sum(kind.get(other) == kind[item] for other in chosen) < full

    def value(item):
        v = (1 - rules.get("diversity", 0)) * relevance[item] - rules.get("diversity", 0) * closest[item]
        return v - rules["calibration"] * divergence(p, chosen + [item], kind) if rules.get("calibration") else v

    while len(chosen) < k:
        free = {item: value(item) for item in left if may_come(item)}
        if not free:
            break
        assert len(got) > len(chosen), f"{what}: only {len(got)} rows, {list(free)[:5]} may come yet"
        item = got[len(chosen)][0]
        best = max(free.values())
        assert item in free, f"{what}: place {len(chosen) + 1} is {item}, which may not come"
        assert free[item] >= best - limit * max(1, rules.get("calibration", 0)), f"{what}: place {len(chosen) + 1} is {item} of {free[item]}, the best is {max(free, key=free.get)} of {best}"
        same = [other for other in free if relevance[other] == relevance[item] and closest[other] == closest[item] and (kind.get(other) == kind.get(item) or not rules.get("calibration"))]
        equal(min(same, key=place.get), item, f"{what}: place {len(chosen) + 1}, of equal ones who was listed before")
        chosen.append(item)
        left.remove(item)
        for other in left if rules.get("diversity") else ():
            closest[other] = max(closest[other], alike(other, item))
    for item, _, _ in listed[len(pool):]:
        if len(chosen) < k and may_come(item):
            chosen.append(item)
    score = {item: s for item, s, _ in listed}
    equal(got, [(item, score[item]) for item in chosen], what)


def test_every_rule_is_as_it_is_defined(shop):
    for algorithm in ALGORITHMS:
        db = rerank_shop(shop, algorithm)
        alike, users, kind = likeness(db, algorithm), users_of(db), kinds(db)
        changed = 0
        for user in (7, 20):
            where = f"user = {user}"
            listed = plain(db, where)
            for rules in CASES:
                for k in (8, len(listed)):
                    got = asked(db, where, rules, f" AND k = {k}")
                    check(got, listed, k, rules, alike, users, history(db, user), kind, f"{algorithm}, user {user}, {rules}, k {k}")
                changed += [row[0] for row in got] != [row[0] for row in listed]
        assert changed > 16, f"{algorithm}: {changed} lists changed"


def test_whole_lists_carts_and_similar_items_by_the_definition(shop):
    for algorithm in ("item_knn", "ials"):
        db = rerank_shop(shop, algorithm)
        alike, users, kind = likeness(db, algorithm), users_of(db), kinds(db)
        carts = {"basket = '[2, 3, 9, 9]'": {2: math.log1p(1), 3: math.log1p(1), 9: math.log1p(2)}, "similar_to = 9": {}, "user = -1": {}}
        for where, own in carts.items():
            listed = plain(db, where)
            for rules in CASES:
                check(asked(db, where, rules), listed, len(listed), rules, alike, users, own, kind, f"{algorithm}, {where}, {rules}")


def test_pool_can_be_larger_or_smaller_than_the_list(shop):
    db = rerank_shop(shop)
    alike, users, kind = likeness(db, "item_knn"), users_of(db), kinds(db)
    listed = plain(db, "user = 7")
    for pool in (1, 2, 5, 10, 39, 1000000):
        for k in (1, 3, 5, 10, 1000):
            rules = {"diversity": .5, "max_per_category": 3, "pool": pool}
            check(asked(db, "user = 7", rules, f" AND k = {k}"), listed, k, rules, alike, users, history(db, 7), kind, f"pool {pool}, k {k}")
    equal([row[0] for row in asked(db, "user = 7", {"diversity": .9, "pool": 1})], [row[0] for row in listed], "a pool of one")
    equal(asked(db, "user = 7", {"pool": 3}), [row[:2] for row in listed], "a pool alone changes nothing")
    assert [row[0] for row in asked(db, "user = 7", {"diversity": .9, "pool": 3})][3:] == [row[0] for row in listed][3:], "the rest follows as it is"


def test_caps_hold_over_the_whole_list_and_prefixes_agree(shop):
    for algorithm in ("item_knn", "popular", "repeat"):
        db = rerank_shop(shop, algorithm)
        kind = kinds(db)
        for cap, pool in ((1, 200), (2, 200), (2, 10), (1, 1), (3, 4)):
            rules = {"max_per_category": cap, "pool": pool}
            whole = [row[0] for row in asked(db, "user = 7", rules)]
            held = [kind[item] for item in whole if item in kind]
            equal(max(map(held.count, held)), cap, f"{algorithm}, {rules}")
            equal(set(held), {kind[item] for item, _, _ in plain(db, "user = 7") if item in kind}, "every category is there")
            without = [item for item, _, _ in plain(db, "user = 7") if item not in kind]
            assert len(without) > 5 and set(without) <= set(whole), "no category, no limit"
    db = rerank_shop(shop)
    for rules in CASES:
        whole = asked(db, "user = 7", rules)
        for k in (0, 1, 2, 7, 12, 30):
            got = asked(db, "user = 7", rules, f" AND k = {k}")
            equal(got, whole[:len(got)], f"{rules}, k {k}")
            equal(len(got), min(k, len(whole)), f"{rules}, k {k}")


def test_a_list_of_k_is_the_first_k_of_the_whole_list(shop):
    """Also where the pool, or as much of the list as k needs, has too few that may come."""
    db = rerank_shop(shop)
    for rules in ({"max_per_category": 1, "pool": 6}, {"max_per_category": 1, "pool": 1}, {"max_per_category": 2, "calibration": 2, "pool": 4}):
        whole = asked(db, "user = 7", rules)
        assert len(whole) > 12
        for k in (2, 4, 6, 8, 12):
            equal(asked(db, "user = 7", rules, f" AND k = {k}"), whole[:k], f"{rules}, k {k}")


def test_every_way_to_ask_gives_the_same_rows(shop):
    for algorithm in ("item_knn", "ials"):
        db = rerank_shop(shop, algorithm)
        db.execute("CREATE TABLE people AS SELECT DISTINCT user AS id FROM events WHERE user % 5 = 0")
        for rules in CASES[::2] + CASES[12:13]:
            options = json.dumps(rules)
            everybody = rows(db, "SELECT user, item, score, rank, because FROM m WHERE k = 6 AND options = ?", options)
            single = []
            for (user,) in rows(db, "SELECT DISTINCT user FROM events"):
                single += rows(db, "SELECT user, item, score, rank, because FROM m WHERE user = ? AND k = 6 AND options = ?", user, options)
            same_rows(everybody, single, f"{algorithm}, {rules}: everybody")
            few = [row for row in single if row[0] % 5 == 0]
            listed = ", ".join(str(row[0]) for row in rows(db, "SELECT id FROM people"))
            same_rows(rows(db, f"SELECT user, item, score, rank, because FROM m WHERE user IN ({listed}) AND k = 6 AND options = ?", options), few, f"{rules}: IN")
            same_rows(rows(db, "SELECT m.user, item, score, rank, because FROM people JOIN m ON m.user = people.id WHERE k = 6 AND options = ?", options), few, f"{rules}: a join")
            same_rows(rows(db, "SELECT p.id, r.item, r.score, r.rank, r.because FROM people p, m(p.id, 6, NULL, NULL, NULL, NULL, ?) r", options), few, f"{rules}: the function form")
            equal(rows(db, "SELECT item, score FROM m WHERE user = 10 AND options = ? ORDER BY rank LIMIT 4 OFFSET 2", options), [row[1:3] for row in sorted((r for r in single if r[0] == 10), key=lambda r: r[3])][2:6], f"{rules}: LIMIT")
            whole = rows(db, "SELECT item, score, rank FROM m WHERE user = 10 AND options = ?", options)
            equal([row[2] for row in whole], list(range(1, len(whole) + 1)))
            for row in whole[::7]:
                equal(rows(db, "SELECT item, score, rank FROM m WHERE user = 10 AND item = ? AND options = ?", row[0], options), [row], f"{rules}: one pair")
                equal(rows(db, "SELECT item, score, rank FROM m WHERE user = 10 AND item = ? AND k = 5 AND options = ?", row[0], options), [row] if row[2] <= 5 else [], f"{rules}: one pair of five")
            missing = {row[0] for row in rows(db, "SELECT DISTINCT item FROM events")} - {row[0] for row in whole}
            for item in list(missing)[:3]:
                equal(rows(db, "SELECT * FROM m WHERE user = 10 AND item = ? AND options = ?", item, options), [], "not in the list")


def test_exclude_and_in_restrict_what_is_put_in_order(shop):
    db = rerank_shop(shop)
    alike, users, kind = likeness(db, "item_knn"), users_of(db), kinds(db)
    for restriction in (" AND exclude = '[3, 4, 8, 9, 13]'", " AND item IN (2, 3, 5, 8, 9, 13, 14, 20, 21, 28)"):
        listed = plain(db, "user = 7", restriction)
        for rules in CASES:
            got = asked(db, "user = 7", rules, restriction)
            check(got, listed, len(listed), rules, alike, users, history(db, 7), kind, f"{restriction}, {rules}")


def test_candidates_stay_as_they_are(shop):
    db = rerank_shop(shop)
    where = "user = 7 AND candidates = '[2, 3, 5, 8, 9, 13, 14, 20, 21, 28, 9999]'"
    expected = rows(db, f"SELECT item, score, rank FROM m WHERE {where}")
    for rules in CASES:
        equal(rows(db, f"SELECT item, score, rank FROM m WHERE {where} AND options = ?", json.dumps(rules)), expected, str(rules))


def test_categories_are_those_of_the_table_now(shop):
    """Changed by this connection and by another one, committed or not, rolled back, or by a table in another's place."""
    db = rerank_shop(shop, name="shop.db")
    other = shop.connect("shop.db")
    rules = {"max_per_category": 1}
    count = lambda connection=db: len(asked(connection, "user = 7", rules))
    expected, all_items = count(), len(plain(db, "user = 7"))
    assert expected < all_items
    db.execute("UPDATE products SET kind = NULL")
    equal(count(), all_items, "own UPDATE")
    equal(count(other), all_items, "seen by the other connection")
    other.execute("UPDATE products SET kind = 1")
    one_kind = count(other)
    equal(count(), one_kind, "the other's UPDATE")
    other.execute("DELETE FROM products")
    equal(count(), all_items, "the other's DELETE")
    other.execute("INSERT INTO products SELECT DISTINCT item, 5, NULL, NULL FROM events")
    equal(count(), 1, "the other's INSERT")
    db.execute("BEGIN")
    db.execute("UPDATE products SET kind = NULL")
    equal(count(), all_items, "within the transaction")
    equal(count(other), 1, "not yet committed")
    db.execute("ROLLBACK")
    equal(count(), 1, "rolled back")
    db.execute("BEGIN")
    db.execute("SAVEPOINT s")
    db.execute("UPDATE products SET kind = NULL")
    equal(count(), all_items, "within the savepoint")
    db.execute("ROLLBACK TO s")
    equal(count(), 1, "rolled back to the savepoint")
    db.execute("COMMIT")
    db.execute("CREATE TABLE newer AS SELECT item, NULL AS kind FROM products")
    equal(count(), 1)
    db.execute("ALTER TABLE products RENAME TO older")
    db.execute("ALTER TABLE newer RENAME TO products")
    equal(count(), all_items, "another table of that name")
    db.execute("DROP TABLE products")
    db.execute("CREATE TABLE products AS SELECT * FROM older")
    equal(count(), 1, "and another")
    db.execute("DROP TABLE products")
    refused(db, "SELECT * FROM m WHERE user = 7 AND options = '{\"max_per_category\":1}'", says="products")
    equal(len(plain(db, "user = 7")), all_items, "without categories it serves")


def test_categories_belong_to_the_version_that_answers(shop):
    db = rerank_shop(shop)
    db.execute("INSERT INTO events SELECT user, item + 1000, n, t FROM events WHERE item < 9")
    db.execute("INSERT INTO products VALUES(1002, 2, NULL, NULL), (1003, 2, NULL, NULL), (-1, 3, NULL, NULL)")
    db.execute("INSERT INTO events VALUES(1, -1, 1, 1)")  # all ids move by one
    db.execute("INSERT INTO m(m) VALUES('train')")
    kind = kinds(db)
    for version in (1, 2, 1, 0, 1, 2):
        rules = {"max_per_category": 1, "version": version}
        held = [kind[item] for item, _ in asked(db, "user = 7", rules) if item in kind]
        equal(max(map(held.count, held)), 1, f"version {version}")
    both = rows(db, """SELECT a.item, b.item FROM m a JOIN m b ON a.rank = b.rank WHERE a.user = 7 AND b.user = 7 AND a.options = '{"max_per_category":1,"version":1}' AND b.options = '{"max_per_category":1,"version":2}'""")
    for side in (0, 1):
        held = [kind[row[side]] for row in both if row[side] in kind]
        equal(max(map(held.count, held)), 1, f"two versions in one statement, {side}")


def test_rows_of_the_table_that_say_nothing(shop):
    db = rerank_shop(shop)
    expected = [asked(db, "user = 7", rules) for rules in CASES]
    db.execute("INSERT INTO products(item, kind) VALUES(NULL, 1), (x'07', 1), (7.5, 1), ('no number', 1), (99999, 1)")
    equal([asked(db, "user = 7", rules) for rules in CASES], expected, "no key, or of no item")
    db.execute("UPDATE products SET kind = x'01' WHERE kind IS NULL")
    equal([asked(db, "user = 7", rules) for rules in CASES], expected, "a BLOB is no category")
    db.execute("UPDATE products SET kind = 0.5 WHERE typeof(kind) = 'blob'")
    equal([asked(db, "user = 7", rules) for rules in CASES], expected, "nor is a fraction")
    db.execute("UPDATE products SET kind = CAST(kind AS REAL) WHERE typeof(kind) = 'integer'")
    equal([asked(db, "user = 7", rules) for rules in CASES], expected, "2.0 is 2")
    db.execute("UPDATE products SET kind = 'b' WHERE kind = 1")
    assert [asked(db, "user = 7", rules) for rules in CASES] != expected


def with_earlier_rows(db, where):
    """Put a row of another category before those of the items."""
    db.execute(f"CREATE TABLE again AS SELECT item, 'x' AS kind, NULL AS words, NULL AS look FROM products WHERE {where} UNION ALL SELECT * FROM products")
    db.execute("DROP TABLE products")
    db.execute("ALTER TABLE again RENAME TO products")
    db.execute("UPDATE products SET words = words")


def test_the_last_category_of_an_item_counts(shop):
    db = rerank_shop(shop)
    expected = [asked(db, "user = 7", rules) for rules in CASES]
    with_earlier_rows(db, "kind IS NOT NULL")
    equal([asked(db, "user = 7", rules) for rules in CASES], expected)


def test_null_takes_no_category_back_in_a_later_row(shop):
    db = rerank_shop(shop)
    expected = [asked(db, "user = 7", rules) for rules in CASES]
    db.execute("INSERT INTO products(item, kind) SELECT item, NULL FROM products")
    equal([asked(db, "user = 7", rules) for rules in CASES], expected)


def test_calibration_brings_the_list_nearer_to_the_history(shop):
    for algorithm in ("item_knn", "popular"):
        db = rerank_shop(shop, algorithm)
        kind = kinds(db)
        nearer = compared = 0
        for user in range(1, 41):
            p = shares(history(db, user), kind)
            if len(p) < 2:
                continue
            plainly = divergence(p, [item for item, _, _ in plain(db, f"user = {user}", " AND k = 8")], kind)
            calibrated = divergence(p, [item for item, _ in asked(db, f"user = {user}", {"calibration": 20}, " AND k = 8")], kind)
            assert calibrated <= plainly + 1e-9, (user, plainly, calibrated)
            compared += 1
            nearer += calibrated < plainly - 1e-6
        assert compared > 20 and nearer > compared / 2, f"{algorithm}: nearer for {nearer} of {compared}"


def test_what_does_not_go_together_is_refused(shop):
    db = rerank_shop(shop)
    make_model(db, "bare")
    make_model(db, "keyed", more=", items=products, item_key=item")
    for model in ("bare", "keyed"):
        for options in ('{"calibration":1}', '{"max_per_category":2}', '{"diversity":0.5,"calibration":1}'):
            for where in ("user = 7", "user = 7 AND k = 3", "basket = '[2]' AND k = 3", "similar_to = 2 AND k = 3", "k = 3", "user = 7 AND item = 3"):
                refused(db, f"SELECT * FROM {model} WHERE {where} AND options = '{options}'", says=("items=", "item_key=", "item_category="))
        equal(len(rows(db, f"""SELECT * FROM {model} WHERE user = 7 AND k = 3 AND options = '{{"diversity":0.5,"popularity_penalty":1}}'""")), 3)
    for algorithm in ("popular", "repeat", "user_knn", "session_knn"):
        make_model(db, algorithm, algorithm, more=CATALOGUE)
        for where in ("user = 7 AND k = 3", "user = 7", "k = 3", "basket = '[2]' AND k = 3"):
            refused(db, f"""SELECT * FROM "{algorithm}" WHERE {where} AND options = '{{"diversity":0.5}}'""", says=("diversity", algorithm, "alike"))
        equal(len(rows(db, f"""SELECT * FROM "{algorithm}" WHERE user = 7 AND k = 3 AND options = '{{"calibration":2,"popularity_penalty":1,"max_per_category":2}}'""")), 3, algorithm)
    for options, says in (('{"diversity":1.5}', "diversity=1.5 (0..1)"), ('{"diversity":-0.1}', "diversity=-0.1"), ('{"popularity_penalty":11}', "popularity_penalty=11 (0..10)"),
                          ('{"calibration":1001}', "calibration=1001 (0..1000)"), ('{"max_per_category":-1}', "max_per_category=-1"), ('{"max_per_category":1.5}', "max_per_category=1.5"),
                          ('{"pool":0}', "pool=0 (1..1000000)"), ('{"diversty":1}', ("diversty", "diversity"))):
        refused(db, "SELECT * FROM m WHERE user = 7 AND k = 3 AND options = ?", options, says=says)
    refused(db, "CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item, item_category=kind)", says="items=")
    refused(db, f"CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item, diversity=0.5{CATALOGUE})", says="unknown option 'diversity'")


def test_a_blend_is_as_diverse_as_its_first_part_that_can_tell(shop):
    db = rerank_shop(shop, "blend", more=CATALOGUE + """, models='[{"algorithm":"repeat","weight":0.1},{"algorithm":"ease"},{"algorithm":"ials","factors":4}]'""")
    db.execute("CREATE VIRTUAL TABLE part USING rec_model(events=events, user=user, item=item, weight=n, time=t, algorithm=ease)")
    db.execute("INSERT INTO part(part) VALUES('train')")
    keys = [row[0] for row in rows(db, "SELECT DISTINCT item FROM events")]
    row = {key: dict(rows(db, "SELECT item, score FROM part WHERE similar_to = ?", key)) for key in keys}
    share = lambda a, b: row[a].get(b, 0) / max(row[a].values()) if max(row.get(a, {0: 0}).values()) > 0 else 0
    listed = plain(db, "user = 7")
    for rules in CASES:
        check(asked(db, "user = 7", rules), listed, len(listed), rules, lambda a, b: max(0, share(a, b), share(b, a)), users_of(db), history(db, 7), kinds(db), str(rules))
    make_model(db, "deaf", "blend", more=""", models='[{"algorithm":"repeat"},{"algorithm":"popular"}]'""")
    try:
        got = rows(db, """SELECT item FROM deaf WHERE user = 7 AND options = '{"diversity":0.5}'""")
    except Exception as error:
        assert "alike" in str(error), error
    else:
        equal(got, rows(db, "SELECT item FROM deaf WHERE user = 7"), "no part can tell: as it was")


def test_a_view_of_items_that_reads_the_model_is_refused(shop):
    db = rerank_shop(shop)
    db.execute("CREATE VIEW shelf AS SELECT * FROM products")
    make_model(db, "n", more=CATALOGUE.replace("products", "shelf"))
    equal(rows(db, """SELECT item FROM n WHERE user = 7 AND options = '{"max_per_category":1}'"""), [row[:1] for row in asked(db, "user = 7", {"max_per_category": 1})], "a view will do")
    db.execute("DROP VIEW shelf")
    db.execute("""CREATE VIEW shelf AS SELECT item, 1 AS kind FROM n WHERE user = 7 AND k = 3 AND options = '{"max_per_category":1}'""")
    db.execute("UPDATE products SET kind = kind")
    refused(db, """SELECT item FROM n WHERE user = 7 AND k = 3 AND options = '{"max_per_category":1}'""", says="it is in use by itself")
