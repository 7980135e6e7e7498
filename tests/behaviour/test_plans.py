"""A query's rows do not depend on the plan: the same rows in every join order, as CTE, in EXISTS, in LEFT JOIN."""
from support import ALGORITHMS, equal, make_events, make_model, rows, same_rows, vector


def shop_with_models(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, cat TEXT)")
    db.executemany("INSERT INTO products VALUES(?, ?)", [(i, "lamp" if i % 3 == 0 else "vase") for i in range(1, 56)])
    db.execute("CREATE TABLE users(id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO users SELECT DISTINCT user FROM events UNION SELECT 999")
    for algorithm in ALGORITHMS:
        make_model(db, f"m_{algorithm}", algorithm)
    category = dict(rows(db, "SELECT id, cat FROM products"))
    return db, category


def joins(model):
    yield f"{model} r JOIN products p ON p.id = r.item"
    yield f"products p JOIN {model} r ON p.id = r.item"
    yield f"products p CROSS JOIN {model} r ON p.id = r.item"
    yield f"{model} r CROSS JOIN products p ON p.id = r.item"


def each_case(shop):
    db, category = shop_with_models(shop)
    for algorithm in ALGORITHMS:
        model = f"m_{algorithm}"
        for user in (1, 7, 999):
            best = rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user} AND k = 5")
            full = rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user}")
            equal(len(best), 5)
            equal(full[:5], best, "the list without k begins with the list with k")
            yield db, category, model, user, best, full


def test_a_list_is_the_same_in_every_join_order(shop):
    for db, category, model, user, best, full in each_case(shop):
        for source in joins(model):
            same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} WHERE r.user = {user} AND r.k = 5"), best, source)
            same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} WHERE r.user = {user} AND r.k = 5 AND p.cat = 'lamp'"),
                      [row for row in best if category[row[1]] == "lamp"], source)
            same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} WHERE r.user = {user} AND p.cat = 'lamp'"),
                      [row for row in full if category[row[1]] == "lamp"], source)


def test_a_pair_has_its_true_rank_in_every_join_order(shop):
    for db, category, model, user, best, full in each_case(shop):
        for item in (3, 1, 20):
            pair = [row for row in full if row[1] == item]
            same_rows(rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user} AND item = {item}"), pair)
            same_rows(rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user} AND item = {item} AND k = 5"), [row for row in best if row[1] == item])
            for source in joins(model):
                same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} WHERE r.user = {user} AND p.id = {item}"), pair, source)


def test_a_list_is_the_same_as_cte_exists_left_join_and_subquery(shop):
    for db, category, model, user, best, full in each_case(shop):
        for kind in ("", "MATERIALIZED", "NOT MATERIALIZED"):
            same_rows(rows(db, f"WITH x AS {kind} (SELECT user, item, rank FROM {model} WHERE user = {user} AND k = 5) SELECT x.* FROM products p JOIN x ON x.item = p.id"), best)
        items = [(row[1],) for row in best]
        same_rows(rows(db, f"SELECT id FROM products p WHERE EXISTS (SELECT 1 FROM {model} r WHERE r.user = {user} AND r.k = 5 AND r.item = p.id)"), items)
        same_rows(rows(db, f"SELECT id FROM products WHERE id IN (SELECT item FROM {model} WHERE user = {user} AND k = 5)"), items)
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM users u LEFT JOIN {model} r ON r.user = u.id AND r.k = 5 WHERE u.id = {user}"), best)
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM users u JOIN {model} r ON r.user = u.id WHERE r.k = 5 AND u.id = {user}"), best)
        equal(rows(db, f"SELECT (SELECT item FROM {model} r WHERE r.user = u.id AND r.k = 5 AND r.rank = 2) FROM users u WHERE u.id = {user}"), [(best[1][1],)])
        same_rows(rows(db, f"SELECT item FROM {model}({user}, 5)"), items)
        same_rows(rows(db, f"SELECT user, item, rank FROM {model} WHERE user = '{user}' AND k IS 5"), best)
        db.execute(f"CREATE TEMP VIEW v_{model}_{user} AS SELECT user, item, rank FROM {model} WHERE user = {user} AND k = 5")
        same_rows(rows(db, f"SELECT v.* FROM products p JOIN v_{model}_{user} v ON v.item = p.id"), best)


def test_candidates_and_item_in_are_the_same_in_joins(shop):
    for db, category, model, user, best, full in each_case(shop):
        wanted = "r.candidates = '[3, 6, 50, 1, 777]'"
        listed = rows(db, f"SELECT user, item, rank FROM {model} r WHERE user = {user} AND {wanted}")
        equal(sorted(row[1] for row in listed), [1, 3, 6, 50, 777])
        equal(listed[-1][1], 777, "what the model does not know comes last")
        lamps = "r.item IN (SELECT id FROM products WHERE cat = 'lamp')"
        restricted = rows(db, f"SELECT user, item, rank FROM {model} r WHERE user = {user} AND k = 5 AND {lamps}")
        equal([row[2] for row in restricted], [1, 2, 3, 4, 5], "IN acts before the best are chosen")
        for source in joins(model):
            same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} WHERE r.user = {user} AND {wanted}"), [row for row in listed if row[1] < 56], source)
            same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} WHERE r.user = {user} AND r.k = 5 AND {lamps}"), restricted, source)


def test_order_limit_and_offset_page_through_the_full_list(shop):
    for db, category, model, user, best, full in each_case(shop):
        equal(rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user} ORDER BY rank LIMIT 3 OFFSET 2"), full[2:5])
        equal(rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user} LIMIT 4"), full[:4])
        equal(rows(db, f"SELECT user, item, rank FROM {model} WHERE user = {user} ORDER BY rank DESC LIMIT 2"), full[::-1][:2])
        plan = rows(db, f"EXPLAIN QUERY PLAN SELECT item FROM {model} WHERE user = {user} AND k = 5 ORDER BY rank")
        assert not any("TEMP B-TREE" in row[3] for row in plan), "ORDER BY rank costs no sort"


def test_everybody_is_the_union_of_all_lists(shop):
    db, category = shop_with_models(shop)
    for algorithm in ALGORITHMS:
        model = f"m_{algorithm}"
        everybody = rows(db, f"SELECT user, item, rank FROM {model} WHERE k = 3")
        single = [row for (user,) in rows(db, "SELECT DISTINCT user FROM events") for row in rows(db, f"SELECT user, item, rank FROM {model} WHERE user = ? AND k = 3", user)]
        same_rows(everybody, single)
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM products p JOIN {model} r ON r.item = p.id WHERE r.k = 3"), everybody)
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM users u JOIN {model} r ON r.user = u.id JOIN products p ON p.id = r.item WHERE r.k = 3 AND u.id < 999 AND p.cat = 'lamp'"),
                  [row for row in everybody if category[row[1]] == "lamp"])
        same_rows(rows(db, f"SELECT a.user, a.item, b.rank FROM {model} a JOIN {model} b ON a.user = b.user AND a.item = b.item WHERE a.k = 3 AND b.k = 3"), everybody)
        first_two = [row for row in everybody if row[0] in (1, 2)]
        same_rows(rows(db, f"SELECT user, item, rank FROM {model} WHERE k = 3 AND (user = 1 OR user = 2)"), first_two)
        same_rows(rows(db, f"SELECT user, item, rank FROM {model} WHERE k = 3 AND user IN (1, 2)"), first_two)
        equal(len(rows(db, f"SELECT user, item, rank FROM {model} WHERE (user = 1 AND k = 2) OR (user = 2 AND k = 3)")), 5)
        equal(len(rows(db, f"SELECT * FROM (SELECT item FROM {model} WHERE user = 1 LIMIT 2) UNION ALL SELECT * FROM (SELECT item FROM {model} WHERE user = 2 LIMIT 2)")), 4)


def test_an_index_search_is_the_same_in_every_join_order(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text, metric=l2)")
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, kind TEXT)")
    for i in range(1, 61):
        kind = "ab"[i % 2]
        db.execute("INSERT INTO t(rowid, e, kind) VALUES(?, ?, ?)", (i, vector(i % 7, i % 11), kind))
        db.execute("INSERT INTO products VALUES(?, ?, ?)", (i, f"p{i}", kind))
    db.execute("CREATE TABLE queries(id INTEGER PRIMARY KEY, v TEXT)")
    db.executemany("INSERT INTO queries VALUES(?, ?)", [(1, vector(0, 0)), (2, vector(3, 5))])
    for query in (1, 2):
        asked = f"t.e MATCH (SELECT v FROM queries WHERE id = {query}) AND t.k = 7"
        best = rows(db, f"SELECT rowid, rank FROM t WHERE {asked}")
        inside = rows(db, f"SELECT rowid, rank FROM t WHERE {asked} AND t.kind = 'a'")
        equal((len(best), len(inside)), (7, 7), "a filter on metadata acts inside the search")
        for source in ("t JOIN products p ON p.id = t.rowid", "products p JOIN t ON p.id = t.rowid", "products p CROSS JOIN t ON p.id = t.rowid"):
            same_rows(rows(db, f"SELECT t.rowid, t.rank FROM {source} WHERE {asked}"), best, source)
            same_rows(rows(db, f"SELECT t.rowid, t.rank FROM {source} WHERE {asked} AND p.kind = 'a'"), [row for row in best if row[0] % 2 == 0], source)
            same_rows(rows(db, f"SELECT t.rowid, t.rank FROM {source} WHERE {asked} AND t.kind = 'a'"), inside, source)
        for source in ("queries q JOIN t ON t.e MATCH q.v AND t.k = 7", "t JOIN queries q ON t.e MATCH q.v AND t.k = 7", "queries q LEFT JOIN t ON t.e MATCH q.v AND t.k = 7", "queries q, t(q.v, 7)"):
            same_rows(rows(db, f"SELECT t.rowid, t.rank FROM {source} WHERE q.id = {query}"), best, source)
        same_rows(rows(db, f"SELECT id FROM products p WHERE EXISTS (SELECT 1 FROM t WHERE {asked} AND t.rowid = p.id)"), [(row[0],) for row in best])
        same_rows(rows(db, f"SELECT rowid FROM t WHERE {asked} AND rowid IN (SELECT id FROM products WHERE kind = 'a')"), [(row[0],) for row in inside])


def test_filters_that_look_like_inputs_do_not_lose_rows(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[2], kind text, metric=l2)")
    for i in range(1, 21):
        db.execute("INSERT INTO t(rowid, e, kind) VALUES(?, ?, ?)", (i, vector(i, 0), "ab"[i % 2]))
    ask = lambda where: [row[0] for row in rows(db, f"SELECT rowid FROM t WHERE e MATCH '[0,0]' AND {where}")]
    equal(ask("k IS 3"), [1, 2, 3])
    equal(ask("k = 3 AND (rowid = 8 OR kind = 'a')"), [2], "an OR filters the finished list")
    equal(ask("k = 2 AND rowid IN (1, 2) AND rowid IN (2, 3)"), [2], "two lists must both hold")
    equal(ask("k = 2 AND rowid IN (3, 4, 5) AND kind = 'a'"), [4])
    equal([row[0] for row in rows(db, "SELECT rowid FROM t('[0,0]', 3) WHERE rowid = 8 OR kind = 'a'")], [2])
    equal(rows(db, "SELECT rowid FROM t WHERE rowid = 3 OR rowid = 4"), [(3,), (4,)])


def test_users_may_be_joined_to_one_item(shop):
    db, _ = shop_with_models(shop)
    for algorithm in ALGORITHMS:
        model = f"m_{algorithm}"
        one_by_one = [row for (user,) in rows(db, "SELECT id FROM users") for row in rows(db, f"SELECT user, item, rank FROM {model} WHERE user = ? AND item = 3", user)]
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM users u JOIN {model} r ON r.user = u.id WHERE r.item = 3"), one_by_one)
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {model} r JOIN users u ON r.user = u.id WHERE r.item = 3"), one_by_one)
        same_rows(rows(db, f"SELECT user, item, rank FROM {model} WHERE (user, item) IN (SELECT id, 3 FROM users)"), one_by_one)


def test_every_item_in_restricts_the_list(shop):
    db, _ = shop_with_models(shop)
    both = rows(db, "SELECT item, rank FROM m_ials WHERE user = 7 AND k = 2 AND item IN (1, 2, 3, 5) AND item IN (SELECT id FROM products WHERE cat = 'vase')")
    equal(both, rows(db, "SELECT item, rank FROM m_ials WHERE user = 7 AND k = 2 AND item IN (SELECT id FROM products WHERE cat = 'vase' AND id IN (1, 2, 3, 5))"))
    correlated = "r.user = 7 AND r.k = 2 AND r.item IN (SELECT id FROM products x WHERE x.cat = p.cat AND x.id < 30)"
    same_rows(rows(db, f"SELECT p.id, r.item, r.rank FROM m_ials r, products p WHERE {correlated}"),
              rows(db, f"SELECT p.id, r.item, r.rank FROM products p CROSS JOIN m_ials r WHERE {correlated}"))
