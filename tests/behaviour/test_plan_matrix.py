"""A generated matrix: every question to a model or an index, in every form that SQL has for it, gives the rows of the plain
form. The plain form is checked against the whole list, or against distances computed here.

CROSS JOIN with our table first is in the matrix only where no condition of ours names the other table: SQLite 3.40 does not
hand such a condition over at all then, so that it can only filter the finished list."""
import math, random

from support import equal, one, refused, rows, same_rows, vector

LAMPS = "{r}.item IN (SELECT code FROM products WHERE cat = 'lamp')"
QUESTIONS = {
    "a_list_with_k": "{r}.user = 3 AND {r}.k = 4",
    "a_whole_list": "{r}.user = 3",
    "an_unknown_user": "{r}.user = 999 AND {r}.k = 4",
    "a_pair": "{r}.user = 3 AND {r}.item = 'i06'",
    "a_pair_and_k": "{r}.user = 3 AND {r}.item = 'i05' AND {r}.k = 4",
    "candidates": """{r}.user = 3 AND {r}.candidates = '["i09","i77","i02","i15","i01","i78"]'""",
    "a_cart": """{r}.basket = '["i01","i02"]' AND {r}.k = 4""",
    "everybody": "{r}.k = 2",
    "item_in": "{r}.user = 3 AND {r}.k = 3 AND " + LAMPS,
    "item_in_of_a_whole_list": "{r}.user = 3 AND " + LAMPS,
    "two_users": "{r}.user IN (1, 3) AND {r}.k = 2",
    "one_user_or_another": "({r}.user = 1 OR {r}.user = 3) AND {r}.k = 2",
    "exclude": """{r}.user = 3 AND {r}.k = 4 AND {r}.exclude = '["i06"]'""",
    "seen_items_too": """{r}.user = 3 AND {r}.k = 4 AND {r}.options = '{{"exclude_seen":false}}'""",
    "similar_items": "{r}.similar_to = 'i02' AND {r}.k = 4",
}


def shop_of_three_models(shop):
    db = shop.connect()
    draw = random.Random(3)
    db.execute("CREATE TABLE events(user INTEGER, item TEXT, n REAL, t INTEGER)")
    for user in range(1, 25):
        for _ in range(draw.randrange(1, 8)):
            db.execute("INSERT INTO events VALUES(?, ?, ?, ?)", (user, f"i{int(draw.paretovariate(0.4)) % 20:02d}", draw.randrange(1, 4), draw.randrange(1000)))
    products = [(f"i{i:02d}", "lamp" if i % 3 == 0 else "vase", i) for i in range(2, 27)]  # i00, i01 are sold and no products
    for table, key in (("products", "code TEXT PRIMARY KEY"), ("heap", "code TEXT")):
        db.execute(f"CREATE TABLE {table}({key}, cat TEXT, price REAL)")
        db.executemany(f"INSERT INTO {table} VALUES(?, ?, ?)", products)
    for algorithm in ("popular", "item_knn", "ials"):
        db.execute(f"CREATE VIRTUAL TABLE {algorithm}_m USING rec_model(events=events, user=user, item=item, weight=n, time=t, algorithm={algorithm}, seed=2)")
        db.execute(f"INSERT INTO {algorithm}_m({algorithm}_m) VALUES('train')")
    return db, {code: cat for code, cat, _ in products}


def expected_rows(db, model, name):
    """The plain form's rows, computed from whole lists."""
    whole = lambda user, seen="true": rows(db, f"""SELECT user, item, rank FROM {model} WHERE user = {user} AND options = '{{"exclude_seen":{seen}}}'""")
    again = lambda listed: [(user, item, rank) for rank, (user, item, _) in enumerate(listed, 1)]
    lamps = {code for code, in rows(db, "SELECT code FROM products WHERE cat = 'lamp'")}
    three = whole(3)
    if name == "a_list_with_k": return three[:4]
    if name == "a_whole_list": return three
    if name == "an_unknown_user": return whole(999)[:4]
    if name == "a_pair": return [row for row in three if row[1] == "i06"]
    if name == "a_pair_and_k": return [row for row in three[:4] if row[1] == "i05"]
    if name == "candidates":
        known = [row for row in whole(3, "false") if row[1] in ("i09", "i02", "i15", "i01")]
        return again(known + [(3, "i77", 0), (3, "i78", 0)])
    if name == "everybody": return [row for user, in rows(db, "SELECT DISTINCT user FROM events") for row in whole(user)[:2]]
    if name == "item_in": return again([row for row in three if row[1] in lamps])[:3]
    if name == "item_in_of_a_whole_list": return again([row for row in three if row[1] in lamps])
    if name in ("two_users", "one_user_or_another"): return whole(1)[:2] + three[:2]
    if name == "exclude": return again([row for row in three if row[1] != "i06"])[:4]
    if name == "seen_items_too": return whole(3, "false")[:4]
    return None  # a cart, similar items: no list to compute them from


def forms(model, where, table):
    """(SQL, what it makes of the plain rows): r is the plain rows, p {product: category}."""
    w = where.format(r="r")
    columns = "r.user, r.item, r.rank"
    sold = lambda r, p: [row for row in r if row[1] in p]
    lamps = lambda r, p: [row for row in r if p.get(row[1]) == "lamp"]
    items = lambda r, p: sorted({row[1] for row in r if row[1] in p})
    for source in (f"{model} r JOIN {table} p", f"{table} p JOIN {model} r", f"{model} r CROSS JOIN {table} p", f"{table} p CROSS JOIN {model} r", f"{table} p, {model} r", f"{model} r, {table} p"):
        on = "WHERE" if "," in source else "ON"
        yield f"SELECT {columns} FROM {source} {on} p.code = r.item AND {w}", sold
        yield f"SELECT {columns} FROM {source} {on} p.code = r.item AND {w} AND p.cat = 'lamp'", lamps
        yield f"SELECT {columns} FROM {source} {on} p.code = r.item AND p.cat = 'lamp' AND p.price > 0 AND {w} ORDER BY p.price", lamps
    for kind in ("", "MATERIALIZED", "NOT MATERIALIZED"):
        x = f"WITH x AS {kind} (SELECT {columns} FROM {model} r WHERE {w})"
        yield f"{x} SELECT * FROM x", lambda r, p: r
        yield f"{x} SELECT x.* FROM {table} p JOIN x ON x.item = p.code WHERE p.cat = 'lamp'", lamps
        yield f"{x} SELECT x.* FROM x CROSS JOIN {table} p WHERE x.item = p.code", sold
        yield f"{x} SELECT a.* FROM x a JOIN x b ON a.user IS b.user AND a.item = b.item", lambda r, p: r
    yield f"SELECT v.* FROM {table} p JOIN v ON v.item = p.code", sold
    yield f"SELECT v.* FROM v JOIN {table} p ON v.item = p.code WHERE p.cat = 'lamp'", lamps
    yield f"SELECT * FROM v UNION ALL SELECT {columns} FROM {model} r WHERE {w}", lambda r, p: r + r
    yield f"SELECT DISTINCT code FROM {table} p WHERE EXISTS (SELECT 1 FROM {model} r WHERE {w} AND r.item = p.code)", lambda r, p: [(i,) for i in items(r, p)]
    yield f"SELECT code FROM {table} p WHERE NOT EXISTS (SELECT 1 FROM {model} r WHERE {w} AND p.code = r.item)", lambda r, p: [(i,) for i in p if i not in items(r, p)]
    yield f"SELECT code FROM {table} p WHERE code IN (SELECT r.item FROM {model} r WHERE {w})", lambda r, p: [(i,) for i in items(r, p)]
    yield (f"SELECT code, (SELECT min(r.rank) FROM {model} r WHERE {w} AND r.item = p.code) FROM {table} p",
           lambda r, p: [(i, min((row[2] for row in r if row[1] == i), default=None)) for i in p])
    yield (f"SELECT p.code, r.user, r.rank FROM {table} p LEFT JOIN {model} r ON r.item = p.code AND {w}",
           lambda r, p: [(row[1], row[0], row[2]) for row in sold(r, p)] + [(i, None, None) for i in p if i not in items(r, p)])
    yield f"SELECT {columns}, p.cat FROM {model} r LEFT JOIN {table} p ON p.code = r.item WHERE {w}", lambda r, p: [row + (p.get(row[1]),) for row in r]
    yield f"SELECT user, item, rank FROM (SELECT * FROM {model} r WHERE {w}) WHERE rank <= 2", lambda r, p: [row for row in r if row[2] <= 2]
    yield f"SELECT {columns} FROM {model} r WHERE {w} ORDER BY item DESC", lambda r, p: r
    yield f"SELECT DISTINCT {columns} FROM {model} r WHERE {w}", lambda r, p: r
    yield f"SELECT count(*), sum(rank) FROM {model} r WHERE {w}", lambda r, p: [(len(r), sum(row[2] for row in r) if r else None)]
    yield f"SELECT {columns} FROM (VALUES(1), (2)) JOIN {model} r ON {w}", lambda r, p: r + r


def matrix(shop, name):
    db, category = shop_of_three_models(shop)
    for model in ("popular_m", "item_knn_m", "ials_m"):
        if name == "similar_items" and model == "popular_m":
            continue  # it has none
        where = QUESTIONS[name]
        plain = rows(db, f"SELECT user, item, rank FROM {model} r WHERE {where.format(r='r')}")
        expected = expected_rows(db, model, name)
        assert plain or name == "a_pair_and_k", f"{model}: the question has an answer"
        if expected is not None:
            same_rows(plain, expected, f"{model}: the plain form")
        db.execute(f"CREATE TEMP VIEW v AS SELECT user, item, rank FROM {model} r WHERE {where.format(r='r')}")
        for analyzed in (False, True):
            if analyzed:
                db.execute("ANALYZE")  # other costs, other plans
            for table in ("products", "heap"):
                for sql, change in forms(model, where, table):
                    same_rows(rows(db, sql), change(plain, category), sql)
        db.execute("DROP VIEW v")
        db.execute("DROP TABLE sqlite_stat1")


for _name in QUESTIONS:
    globals()[f"test_{_name}_is_the_same_in_every_form"] = lambda shop, name=_name: matrix(shop, name)


def test_one_score_for_each_user_of_a_table(shop):
    db, _ = shop_of_three_models(shop)
    db.execute("CREATE TABLE users(id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO users SELECT DISTINCT user FROM events UNION SELECT 999")
    expected = [(user, rank) for user, in rows(db, "SELECT id FROM users") for rank, in rows(db, "SELECT rank FROM ials_m WHERE user = ? AND item = 'i02'", user)]
    assert len(expected) > 5
    for source in ("users u CROSS JOIN ials_m r ON r.user = u.id", "users u JOIN ials_m r ON r.user = u.id", "ials_m r JOIN users u ON r.user = u.id"):
        same_rows(rows(db, f"SELECT r.user, r.rank FROM {source} WHERE r.item = 'i02'"), expected, source)
    same_rows(rows(db, "SELECT u.id, r.rank FROM users u LEFT JOIN ials_m r ON r.user = u.id AND r.item = 'i02' WHERE r.rank > 0"), expected)


def test_each_user_of_a_table_has_her_list_in_both_orders(shop):
    db, _ = shop_of_three_models(shop)
    db.execute("CREATE TABLE users(id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO users SELECT DISTINCT user FROM events UNION SELECT 998 UNION SELECT 999")  # two have no events: the popular list
    expected = [row for user, in rows(db, "SELECT id FROM users") for row in rows(db, "SELECT user, item, rank FROM item_knn_m WHERE user = ? AND k = 2", user)]
    equal([row for row in expected if row[0] == 999], [(999,) + row[1:] for row in expected if row[0] == 998])
    for source in ("users u JOIN item_knn_m r", "item_knn_m r JOIN users u", "users u CROSS JOIN item_knn_m r"):
        same_rows(rows(db, f"SELECT r.user, r.item, r.rank FROM {source} ON r.user = u.id WHERE r.k = 2"), expected, source)


def test_pairs_of_user_and_item_can_be_scored_from_a_list_of_rows(shop):
    db, _ = shop_of_three_models(shop)
    pairs = [(1, "i09"), (3, "i09"), (3, "i05"), (999, "i02")]
    expected = [row for pair in pairs for row in rows(db, "SELECT user, item, rank FROM ials_m WHERE user = ? AND item = ?", *pair)]
    db.execute("CREATE TABLE wanted(u INTEGER, i TEXT)")
    db.executemany("INSERT INTO wanted VALUES(?, ?)", pairs)
    same_rows(rows(db, "SELECT user, item, rank FROM wanted JOIN ials_m r ON r.user = u AND r.item = i"), expected)
    same_rows(rows(db, "SELECT user, item, rank FROM ials_m WHERE (user, item) IN (SELECT u, i FROM wanted)"), expected)


def test_item_in_a_list_of_the_other_table_restricts_in_both_orders(shop):
    db, _ = shop_of_three_models(shop)
    db.execute("CREATE TABLE related(a TEXT, b TEXT)")
    db.execute("INSERT INTO related SELECT p.code, q.code FROM products p JOIN products q ON p.cat = q.cat WHERE p.price < 6")
    expected = []
    for code, in rows(db, "SELECT code FROM products WHERE price < 6"):
        expected += [(code,) + row for row in rows(db, "SELECT item, rank FROM ials_m WHERE user = 3 AND k = 2 AND item IN (SELECT b FROM related WHERE a = ?)", code)]
    equal(len(expected), 8)
    for source in ("products p CROSS JOIN ials_m r", "products p JOIN ials_m r", "ials_m r JOIN products p"):
        same_rows(rows(db, f"SELECT p.code, r.item, r.rank FROM {source} WHERE r.user = 3 AND r.k = 2 AND r.item IN (SELECT b FROM related WHERE a = p.code)"), expected, source)


def test_two_lists_of_items_both_restrict(shop):
    db, _ = shop_of_three_models(shop)
    a, b = "item IN (SELECT code FROM products WHERE cat = 'lamp')", "item IN (SELECT code FROM products WHERE price > 5)"
    both = "item IN (SELECT code FROM products WHERE cat = 'lamp' AND price > 5)"
    for k in ("AND k = 2", ""):
        expected = rows(db, f"SELECT item, rank FROM ials_m WHERE user = 3 {k} AND {both}")
        assert len(expected) >= 2
        same_rows(rows(db, f"SELECT item, rank FROM ials_m WHERE user = 3 {k} AND {a} AND {b}"), expected)
        same_rows(rows(db, f"SELECT item, rank FROM ials_m WHERE user = 3 {k} AND {b} AND {a}"), expected)


def test_different_k_for_two_users_gives_five_rows(shop):
    db, _ = shop_of_three_models(shop)
    expected = rows(db, "SELECT user, item, rank FROM ials_m WHERE user = 1 AND k = 2") + rows(db, "SELECT user, item, rank FROM ials_m WHERE user = 2 AND k = 3")
    for sql in ("(user = 1 AND k = 2) OR (user = 2 AND k = 3)", "(user = 2 AND k = 3) OR (user = 1 AND k = 2)", "(user = 1 AND k = 1) OR (user = 1 AND k = 2) OR (user = 2 AND k = 3)"):
        got = rows(db, f"SELECT user, item, rank FROM ials_m WHERE {sql}")
        same_rows(set(got), set(expected), sql)
    equal(len(rows(db, "SELECT user, item, rank FROM ials_m WHERE (user = 1 AND k = 2) OR (user = 2 AND k = 3)")), 5)


def test_limit_and_offset_page_only_where_nothing_else_filters(shop):
    db, _ = shop_of_three_models(shop)
    whole = rows(db, "SELECT item, rank FROM ials_m WHERE user = 3")
    for limit, offset in ((3, 0), (3, 2), (0, 0), (-1, 0), (-1, 2), (2, -5), (1, 1000), (9223372036854775807, 3), (2, 9223372036854775807)):
        for order in ("", "ORDER BY rank"):
            expected = whole[max(offset, 0):][:limit] if limit >= 0 else whole[max(offset, 0):]
            equal(rows(db, f"SELECT item, rank FROM ials_m WHERE user = 3 {order} LIMIT ? OFFSET ?", limit, offset), expected, f"LIMIT {limit} OFFSET {offset} {order}")
    for filter, keep in (("rank > 2", lambda row: row[1] > 2), ("item > 'i05'", lambda row: row[0] > "i05"), ("item LIKE '%9'", lambda row: row[0][-1] == "9"), ("score IS NOT NULL", lambda row: True), ("+rank <> 1", lambda row: row[1] != 1)):
        equal(rows(db, f"SELECT item, rank FROM ials_m WHERE user = 3 AND {filter} ORDER BY rank LIMIT 2 OFFSET 1"), [row for row in whole if keep(row)][1:3], filter)
    equal(rows(db, "SELECT item, rank FROM ials_m WHERE user = 3 ORDER BY rank DESC LIMIT 2"), whole[::-1][:2])
    equal(rows(db, "SELECT count(*), max(rank) FROM ials_m WHERE user = 3 LIMIT 1"), [(len(whole), len(whole))], "LIMIT is of the aggregate's rows")
    equal(rows(db, "SELECT DISTINCT version FROM ials_m WHERE user = 3 LIMIT 2"), [(1,)])
    equal(one(db, "SELECT sum(rank) OVER () FROM ials_m WHERE user = 3 LIMIT 1"), sum(row[1] for row in whole))
    equal(rows(db, "SELECT item, rank FROM (SELECT item, rank FROM ials_m WHERE user = 3 LIMIT 2) UNION ALL SELECT * FROM (SELECT item, rank FROM ials_m WHERE user = 3 LIMIT 1 OFFSET 4)"), whole[:2] + whole[4:5])


def test_k_is_3_is_k_equals_3(shop):
    db, _ = shop_of_three_models(shop)
    equal(rows(db, "SELECT item FROM ials_m WHERE user = 3 AND k IS 3"), rows(db, "SELECT item FROM ials_m WHERE user = 3 AND k = 3"))
    db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[1])")
    db.executemany("INSERT INTO t(e) VALUES(?)", [(f"[{i + 1}]",) for i in range(5)])
    equal(len(rows(db, "SELECT rowid FROM t WHERE e MATCH '[1]' AND k IS 3")), 3)


def test_inputs_read_back_as_they_came_in(shop):
    db, _ = shop_of_three_models(shop)
    equal(rows(db, "SELECT DISTINCT k, typeof(k), exclude, options, similar_to FROM ials_m WHERE user = '3' AND k = '2' AND exclude = '[\"i01\"]' AND options = '{}'"), [("2", "text", '["i01"]', "{}", None)])
    equal(rows(db, "SELECT DISTINCT user, typeof(user) FROM ials_m WHERE user = '3' AND k = 2"), [(3, "integer")], "the column has the type of the events")
    equal(rows(db, "SELECT DISTINCT basket, user FROM ials_m WHERE basket = '[\"i02\"]' AND k = 2"), [('["i02"]', None)])


# ---- rec_index ----

QUERY = (0.5, -1.0, 2.0)
INDEX_QUESTIONS = {  # source, condition, which rows may be found
    "match_and_k": ("t", "t.e MATCH {q} AND t.k = 5", lambda row: True),
    "match_filtered": ("t", "t.e MATCH {q} AND t.k = 5 AND t.cat = 'a'", lambda row: row[2] == "a"),
    "match_with_a_range": ("t", "t.e MATCH {q} AND t.k = 5 AND t.price BETWEEN 10 AND 40 AND t.cat IN ('a', 'b')", lambda row: 10 <= row[1] <= 40 and row[2] in ("a", "b")),
    "match_in_rowids": ("t", "t.e MATCH {q} AND t.k = 5 AND t.rowid IN (SELECT id FROM products WHERE odd)", lambda row: row[0] % 2),
    "function_form": ("t({q}, 5) AS t", "1", lambda row: True),
    "function_form_with_null": ("t({q}, 5) AS t", "t.cat IS NULL", lambda row: row[2] is None),
    "exclude": ("t", "t.e MATCH {q} AND t.k = 5 AND t.exclude = '[1,2,3,4,5,6,7,8,9]'", lambda row: row[0] > 9),
    "similar": ("t", "t.similar_to = 7 AND t.k = 5", lambda row: row[0] != 7),
    "near": ("t", "t.e MATCH {q} AND t.distance < 3.2", lambda row: True),
    "k_is_large": ("t", "t.e MATCH {q} AND t.k = 1000", lambda row: True),
}


def shop_of_vectors(shop, metric, index):
    db = shop.connect()
    draw = random.Random(8)
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[3], price real, cat text, metric={metric}, index={index})")
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, odd INTEGER, kind TEXT)")
    db.execute("CREATE TABLE heap(id INTEGER, odd INTEGER, kind TEXT)")
    stored = []
    for i in range(1, 61):
        v = tuple(draw.randrange(-4096, 4096) / 1024 for _ in range(3))  # exact in float32, and no two rows tie
        stored.append((i, i * 1.5, ("a", "b", None)[i % 3], v))
        db.execute("INSERT INTO t(rowid, e, price, cat) VALUES(?, ?, ?, ?)", (i, vector(*v), i * 1.5, stored[-1][2]))
        if i % 10:
            for table in ("products", "heap"):
                db.execute(f"INSERT INTO {table} VALUES(?, ?, ?)", (i, i % 2, "xy"[i % 2]))
    if index != "exact":
        db.execute("INSERT INTO t(t) VALUES('optimize')")
    return db, stored


def distance(metric, a, b):
    dot = sum(x * y for x, y in zip(a, b))
    if metric == "ip": return -dot
    if metric == "l2": return math.dist(a, b)
    norms = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return 1 - (dot / norms if norms else 0)


def index_forms(source, where, table):
    c = "t.rowid, t.rank"
    both = lambda r: [row for row in r if row[0] % 10]
    odd = lambda r: [row for row in both(r) if row[0] % 2]
    yield f"SELECT {c} FROM {source} WHERE {where}", lambda r: r
    for order in (f"{source} JOIN {table} p", f"{table} p JOIN {source}", f"{source} CROSS JOIN {table} p", f"{table} p CROSS JOIN {source}"):
        yield f"SELECT {c} FROM {order} ON p.id = t.rowid WHERE {where}", both
        yield f"SELECT {c} FROM {order} ON p.id = t.rowid AND {where} AND p.odd", odd
    for kind in ("", "MATERIALIZED", "NOT MATERIALIZED"):
        x = f"WITH x(id, rank) AS {kind} (SELECT {c} FROM {source} WHERE {where})"
        yield f"{x} SELECT * FROM x", lambda r: r
        yield f"{x} SELECT x.* FROM {table} p JOIN x ON x.id = p.id WHERE p.kind = 'y'", odd
        yield f"{x} SELECT x.* FROM x CROSS JOIN {table} p ON x.id = p.id", both
    yield f"SELECT id FROM {table} p WHERE EXISTS (SELECT 1 FROM {source} WHERE {where} AND t.rowid = p.id)", lambda r: [row[:1] for row in both(r)]
    yield f"SELECT id FROM {table} p WHERE id IN (SELECT t.rowid FROM {source} WHERE {where})", lambda r: [row[:1] for row in both(r)]
    yield (f"SELECT id, (SELECT t.rank FROM {source} WHERE {where} AND t.rowid = p.id) FROM {table} p",
           lambda r: [(i, dict(r).get(i)) for i in range(1, 61) if i % 10])
    yield f"SELECT p.id, t.rank FROM {table} p LEFT JOIN {source} ON t.rowid = p.id AND {where}", lambda r: [(i, dict(r).get(i)) for i in range(1, 61) if i % 10]
    yield f"SELECT {c}, p.odd FROM {source} LEFT JOIN {table} p ON p.id = t.rowid WHERE {where}", lambda r: [row + (row[0] % 2 if row[0] % 10 else None,) for row in r]
    yield f"SELECT {c} FROM {source} WHERE {where} UNION ALL SELECT * FROM (SELECT {c} FROM {source} WHERE {where} LIMIT 3)", lambda r: r + r[:3]
    yield f"SELECT {c} FROM {source} WHERE {where} ORDER BY t.rank DESC", lambda r: r
    yield f"SELECT {c} FROM {source} WHERE {where} AND t.rank BETWEEN 2 AND 3", lambda r: r[1:3]
    yield f"SELECT {c} FROM {source} WHERE {where} AND t.rowid = 7", lambda r: [row for row in r if row[0] == 7]
    yield f"SELECT {c} FROM (VALUES(1), (2)) JOIN {source} ON {where}", lambda r: r + r


def index_matrix(shop, name):
    for metric in ("l2", "cosine", "ip"):
        for index in ("exact", "HNSW16"):
            db, stored = shop_of_vectors(shop, metric, index)
            source, where, allowed = INDEX_QUESTIONS[name]
            query = stored[6][3] if name == "similar" else QUERY
            literal = "'" + vector(*query) + "'"
            # scores in float32 input and double sums: rounding keeps ties ties
            best = sorted((round(distance(metric, query, row[3]), 9), row[0]) for row in stored if allowed(row))
            best = [row for row in best if row[0] < 3.2] if name == "near" else best if name == "k_is_large" else best[:5]
            expected = [(id, rank) for rank, (_, id) in enumerate(best, 1)]
            assert expected, f"{metric}: the question has an answer"
            for analyzed in (False, True):
                if analyzed:
                    db.execute("ANALYZE")
                for table in ("products", "heap"):
                    for sql, change in index_forms(source.format(q=literal), where.format(q=literal), table):
                        same_rows(rows(db, sql), change(expected), f"{metric} {index} {sql}")


for _name in INDEX_QUESTIONS:
    globals()[f"test_index_{_name}_is_the_same_in_every_form"] = lambda shop, name=_name: index_matrix(shop, name)


def test_index_rowid_or_rowid_has_the_rows_of_one_of_its_readings(shop):
    db, _ = shop_of_vectors(shop, "l2", "exact")
    q = vector(*QUERY)
    best = rows(db, "SELECT rowid, rank FROM t WHERE e MATCH ? AND k = 5", q)
    first, third = best[0][0], best[2][0]
    inside, finished = [(first, 1), (third, 2)], [best[0], best[2]]
    # SQLite itself turns x = a OR x = b into x IN (a, b), which acts inside; any other OR filters the finished list
    for where, expected in ((f"(rowid = {first} OR rowid = {third})", inside), (f"(rowid = {third} OR rowid = {first} OR rowid = 0)", inside),
                            (f"(rowid IN ({first}, 0) OR rowid IN ({third}, -1))", finished), (f"(rowid = {first} OR rank = 3)", finished)):
        equal(rows(db, f"SELECT rowid, rank FROM t WHERE e MATCH ? AND k = 5 AND {where}", q), expected, where)
        equal(rows(db, f"SELECT rowid, rank FROM t(?, 5) WHERE {where}", q), expected, f"function form, {where}")


def test_index_two_lists_of_rowids_intersect(shop):
    db, _ = shop_of_vectors(shop, "l2", "exact")
    same_rows(rows(db, "SELECT rowid FROM t WHERE e MATCH ? AND k = 9 AND rowid IN (1, 2, 3) AND rowid IN (2, 3, 4)", vector(*QUERY)), [(2,), (3,)])


def test_index_filters_from_another_table_act_inside_in_both_orders(shop):
    db, stored = shop_of_vectors(shop, "l2", "exact")
    db.execute("CREATE TABLE shelf(name TEXT, cat TEXT, least REAL)")
    db.execute("INSERT INTO shelf VALUES('s', 'a', 20), ('t', 'b', 50), ('u', 'c', 0)")
    for condition in ("t.cat = s.cat", "t.price > s.least", "t.cat = s.cat AND t.price >= s.least", "t.rowid IN (SELECT id FROM products WHERE id > s.least)"):
        expected = []
        for name, cat, least in rows(db, "SELECT * FROM shelf"):
            one_shelf = condition.replace("s.cat", repr(cat)).replace("s.least", str(least))
            expected += [(name,) + row for row in rows(db, f"SELECT t.rowid, t.rank FROM t WHERE e MATCH ? AND k = 3 AND {one_shelf}", vector(*QUERY))]
        for source in ("shelf s CROSS JOIN t", "shelf s JOIN t", "t JOIN shelf s"):
            same_rows(rows(db, f"SELECT s.name, t.rowid, t.rank FROM {source} ON t.e MATCH ? AND t.k = 3 AND {condition}", vector(*QUERY)), expected, f"{source} {condition}")


def test_index_each_query_of_a_table_has_its_own_list(shop):
    db, _ = shop_of_vectors(shop, "cosine", "HNSW16")
    db.execute("CREATE TABLE queries(id INTEGER PRIMARY KEY, v)")
    queries = [(1, vector(1, 0, 0)), (2, vector(0, 1, 1)), (3, None)]
    db.executemany("INSERT INTO queries VALUES(?, ?)", queries)
    expected = [(id,) + row for id, v in queries for row in rows(db, "SELECT rowid, rank FROM t(?, 4)", v)]
    equal(len(expected), 8, "a NULL query has no list")
    for source in ("queries q JOIN t ON t.e MATCH q.v AND t.k = 4", "t JOIN queries q ON t.e MATCH q.v AND t.k = 4", "queries q, t(q.v, 4) AS t", "queries q JOIN t ON t.e MATCH q.v AND t.k = 3 + (q.id > 0)"):
        same_rows(rows(db, f"SELECT q.id, t.rowid, t.rank FROM {source}"), expected, source)
    same_rows(rows(db, "SELECT id, rowid, rank FROM rec_search('t', 'queries', 'id', 'v', 4)"), expected)


def test_index_limit_is_k_for_the_function_form(shop):
    db, _ = shop_of_vectors(shop, "l2", "exact")
    q = vector(*QUERY)
    whole = rows(db, "SELECT rowid, rank FROM t(?, 60)", q)
    for limit, offset in ((3, 0), (3, 2), (0, 0), (-1, 0), (2, -1), (1, 1000), (9223372036854775807, 50), (2, 9223372036854775807)):
        for order in ("", "ORDER BY rank", "ORDER BY distance", "ORDER BY score DESC"):
            expected = whole[max(offset, 0):][:limit] if limit >= 0 else whole[max(offset, 0):]
            equal(rows(db, f"SELECT rowid, rank FROM t(?) {order} LIMIT ? OFFSET ?", q, limit, offset), expected, f"LIMIT {limit} OFFSET {offset} {order}")
    odd = [row[0] for row in whole if row[0] % 2 and row[0] % 10]
    equal([row[0] for row in rows(db, "SELECT rowid FROM t(?) WHERE rowid IN (SELECT id FROM products WHERE odd) LIMIT 3", q)], odd[:3], "with filters that act inside")
    for sql in ("SELECT rowid FROM t(?) ORDER BY rank DESC LIMIT 2", "SELECT DISTINCT cat FROM t(?) LIMIT 2", "SELECT rowid FROM t(?) WHERE cat LIKE 'a' LIMIT 2", "SELECT rowid FROM t(?)"):
        refused(db, sql, q, says="a search needs k")
    equal(rows(db, "SELECT rowid, rank FROM t(?, 5) ORDER BY rank DESC LIMIT 2 OFFSET 1", q), whole[2:4][::-1], "k and LIMIT are two things")
