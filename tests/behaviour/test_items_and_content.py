"""The catalogue of a rec_model (items=), content, which recommends what nobody has yet, rec_item_vectors, and init_from."""
import json, math, random, struct

from support import equal, make_events, make_model, malformed, one, refused, refuses_flipped_bits, resealed, rows, same_rows, shadow, trained_blob

ITEMS = ", items=products, item_key=item"
TEXT = ITEMS + ", item_text=words"
BOTH = TEXT + ", item_vector=look"
KINDS = {"text": TEXT, "bm25": TEXT + ", weighting=bm25", "vectors": ITEMS + ", item_vector=look", "both": BOTH, "lsa": TEXT + ", factors=6"}
WORDS = "red blue green teapot cup dish large small glass steel oak linen".split()
ALL_ITEMS = '{"exclude_seen":false}'


def blob(*values):
    return struct.pack(f"<{len(values)}f", *values)


def numbers(value):
    return struct.unpack(f"<{len(value) // 4}f", value)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def make_products(db, items=50, cold=10, seed=5):
    """Products 1 .. items, some of which are in the events, and the cold ones from 101 on."""
    draw = random.Random(seed)
    db.execute("CREATE TABLE products(item INTEGER, words TEXT, look, kind)")
    keys = list(range(1, items + 1)) + list(range(101, 101 + cold))
    db.executemany("INSERT INTO products VALUES(?, ?, ?, ?)", [(key, " ".join(draw.choices(WORDS, k=draw.randrange(1, 6))),
                   blob(*[draw.gauss(0, 1) for _ in range(4)]), draw.randrange(4)) for key in keys])


def content_shop(shop, more=TEXT, name=None, train=True):
    db = shop.connect(name)
    make_events(db)
    make_products(db)
    make_model(db, algorithm="content", more=more, train=train)
    return db


def whole(db, where="user = 7", model="m"):
    return rows(db, f"SELECT item, score FROM {model} WHERE {where} ORDER BY rank")


def test_what_nobody_has_yet_is_in_the_catalogue_and_recommended(shop):
    db = content_shop(shop)
    sold = {row[0] for row in rows(db, "SELECT DISTINCT item FROM events")}
    listed = {row[0] for row in rows(db, "SELECT item FROM products")}
    equal(one(db, "SELECT items FROM rec_versions"), len(sold | listed))
    equal({row[0] for row in whole(db, "user = 7 AND options = '" + ALL_ITEMS + "'")}, sold | listed)
    mine = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7")}
    texts = dict(rows(db, "SELECT item, words FROM products"))
    own = set(" ".join(texts[item] for item in mine).split())
    scores = dict(whole(db))
    cold = [item for item in scores if item > 100]
    equal(len(cold), 10)
    for item, score in scores.items():
        equal(score > 0, bool(set(texts[item].split()) & own), f"item {item} scores where it shares a word")
    assert any(scores[item] > 0 for item in cold), "a cold item that shares a word"
    db.execute("INSERT INTO products VALUES(200, (SELECT words FROM products WHERE item = ?), NULL, NULL)", (min(mine),))
    assert 200 not in dict(whole(db)), "the version does not know it yet"
    db.execute("INSERT INTO m(m) VALUES('train')")
    twin = dict(rows(db, "SELECT item, score FROM m WHERE similar_to = ?", min(mine)))
    assert abs(twin[200] - 1) < 1e-5, f"the same words: {twin[200]}"


def test_only_algorithms_that_read_the_catalogue_know_it(shop):
    db = content_shop(shop)
    sold = one(db, "SELECT count(DISTINCT item) FROM events")
    for algorithm in ("item_knn", "popular", "ials"):
        make_model(db, algorithm, algorithm, more=BOTH)
        equal(one(db, "SELECT items FROM rec_versions WHERE model = ?", algorithm), sold, algorithm)
        make_model(db, "plain_" + algorithm, algorithm)
        equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions WHERE algorithm = ?", algorithm)}), 1, algorithm)


def test_a_cold_item_counts_in_carts_histories_and_as_similar_to(shop):
    db = content_shop(shop)
    equal(len(whole(db, "basket = '[101]'")), 59)
    assert whole(db, "basket = '[101]'")[0][1] > 0
    equal(whole(db, "similar_to = 101")[0][0], whole(db, "basket = '[101]'")[0][0])
    assert 101 not in dict(whole(db, "similar_to = 101"))
    db.execute("INSERT INTO events VALUES(999, 101, 1, 5000)")
    equal(whole(db, "user = 999"), whole(db, "basket = '[101]'"), "a cart is a history")


def test_rows_of_the_catalogue_that_say_nothing(shop):
    db = content_shop(shop, BOTH)
    before = whole(db)
    same = one(db, "SELECT sha256 FROM rec_versions")
    db.execute("INSERT INTO products VALUES(NULL, 'red', ?, 1), (x'07', 'red', ?, 1), (7.5, 'red', ?, 1)", (blob(1, 1, 1, 1),) * 3)
    db.execute("INSERT INTO m(m) VALUES('train')")
    equal({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}, {same}, "rows without a key are passed over")
    db.execute("INSERT INTO products VALUES(300, NULL, NULL, NULL), (301, '', NULL, NULL), (302, ' -- !', NULL, NULL), (303, 'red', NULL, NULL), (304, NULL, ?, NULL), (305, NULL, zeroblob(16), NULL)",
               (blob(1, 2, 3, 4),))
    db.execute("INSERT INTO m(m) VALUES('train')")
    scores = dict(whole(db))
    equal(set(scores) - {row[0] for row in before}, {300, 301, 302, 303, 304, 305})
    equal([scores[item] for item in (300, 301, 302, 305)], [0, 0, 0, 0], "nothing to say about them")
    vectors = dict(rows(db, "SELECT item, vector FROM rec_item_vectors('m')"))
    equal([numbers(vectors[item]) for item in (300, 303, 305)], [(0.0,) * 4] * 3)
    assert all(abs(a - b / math.sqrt(30)) < 1e-6 for a, b in zip(numbers(vectors[304]), (1, 2, 3, 4))), "unit length"
    equal(whole(db, "similar_to = 300 AND k = 3"), [(item, 0.0) for item, _ in whole(db, "user = 123456 AND k = 3")], "the popular list")


def test_the_last_row_of_a_key_counts(shop):
    db = content_shop(shop, BOTH)
    plain = one(db, "SELECT sha256 FROM rec_versions")
    db.execute("CREATE TABLE again AS SELECT item, 'other words' AS words, zeroblob(16) AS look, kind FROM products UNION ALL SELECT * FROM products")
    make_model(db, "twice", "content", more=BOTH.replace("products", "again"))
    equal(one(db, "SELECT sha256 FROM rec_versions WHERE model = 'twice'"), plain)
    db.execute("CREATE TABLE swapped AS SELECT * FROM products UNION ALL SELECT item, 'other words', zeroblob(16), kind FROM products")
    make_model(db, "swapped_model", "content", more=BOTH.replace("products", "swapped"))
    assert one(db, "SELECT sha256 FROM rec_versions WHERE model = 'swapped_model'") != plain


def test_null_takes_nothing_back_in_a_later_row_of_a_key(shop):
    """The last text and the last vector count, be they of one row or of two."""
    db = content_shop(shop, BOTH)
    db.execute("CREATE TABLE again AS SELECT item, words, NULL AS look FROM products UNION ALL SELECT item, NULL, look FROM products UNION ALL SELECT item, NULL, NULL FROM products")
    make_model(db, "parts", "content", more=BOTH.replace("products", "again"))
    equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}), 1)


def test_keys_of_the_catalogue_are_read_like_the_events_column(shop):
    db = content_shop(shop)
    plain = one(db, "SELECT sha256 FROM rec_versions")
    for spelling in ("CAST(item AS TEXT)", "' ' || item", "CAST(item AS REAL)"):
        db.execute(f"CREATE VIEW spelled AS SELECT {spelling} AS item, words FROM products")
        db.execute("DROP TABLE IF EXISTS spelled_model")
        make_model(db, "spelled_model", "content", more=TEXT.replace("products", "spelled"))
        equal(one(db, "SELECT sha256 FROM rec_versions WHERE model = 'spelled_model'"), plain, spelling)
        db.execute("DROP VIEW spelled")
    db = shop.connect()
    db.execute("CREATE TABLE events(user TEXT, item TEXT, n REAL, t INTEGER)")
    db.execute("INSERT INTO events VALUES('a', '7', 1, 1), ('b', 'x', 1, 1)")
    db.execute("CREATE TABLE products(item, words)")
    db.execute("INSERT INTO products VALUES(7, 'red'), ('x', 'red'), (8, 'red')")
    make_model(db, algorithm="content", more=TEXT)
    same_rows(rows(db, "SELECT item, typeof(item) FROM m WHERE user = 'a'"), [("8", "text"), ("x", "text")])


def test_the_letters_of_words(shop):
    """ASCII letters in lower case; digits and bytes past ASCII are letters; all else is between words."""
    db = shop.connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("INSERT INTO events VALUES(1, 1, 1, 1)")
    db.execute("CREATE TABLE products(item INTEGER, words TEXT)")
    db.executemany("INSERT INTO products VALUES(?, ?)", [(1, "Tea-POT"), (2, "tea pot"), (3, "teapot"), (4, "TEA_pot!"), (5, "été 日本 7up"), (6, "ÉTÉ 日本 7UP"), (7, "été 7up"), (8, "日本"), (9, "7 up")])
    make_model(db, algorithm="content", more=TEXT)
    near = lambda item: {other for other, score in whole(db, f"similar_to = {item}") if score > 0}
    equal(near(1), {2, 4})
    equal(near(3), set())
    equal(near(5), {6, 7, 8}, "日本 and 7up; É is not é")
    equal(near(9), set())
    assert all(abs(score - 1) < 1e-6 for item, score in whole(db, "similar_to = 1") if item in (2, 4))


def test_catalogues_that_are_refused(shop):
    db = content_shop(shop, BOTH)
    train = "INSERT INTO m(m) VALUES('train')"
    before = shadow(db, "m")
    for look, says in ((blob(1, 2), ("products.look", "4", "2")), (blob(1, 2, float("nan"), 4), "NaN"), (blob(1, float("inf"), 3, 4), "infin"),
                       (b"abc", "float32"), ("[1,2,3]", ("products.look", "4", "3")), ("no vector", "vector"), (3, "vector"), (b"", "element")):
        for transaction in (False, True):
            db.execute("BEGIN")
            db.execute("UPDATE products SET look = ? WHERE item = 105", (look,))
            if not transaction:
                db.execute("SAVEPOINT s")
            refused(db, train, says=says)
            refused(db, "SELECT rec_train('m')", says=says)
            equal(shadow(db, "m"), before)
            db.execute("ROLLBACK")
    db.execute("UPDATE products SET look = '[1,2,3,4]' WHERE item = 105")
    db.execute(train)
    equal(one(db, "SELECT count(*) FROM rec_versions"), 2, "a vector as JSON will do")


def test_the_length_of_a_vector_does_not_matter_however_long_or_short(shop):
    db = content_shop(shop, ITEMS + ", item_vector=look")
    expected = whole(db, "similar_to = 101 AND k = 10")
    given = rows(db, "SELECT look, item FROM products")
    for factor in (1e30, 1e-30, 4e37):
        db.executemany("UPDATE products SET look = ? WHERE item = ?", [(blob(*(x * factor / 4 for x in numbers(look))), item) for look, item in given])
        db.execute("INSERT INTO m(m) VALUES('train')")
        got = whole(db, "similar_to = 101 AND k = 10")
        equal([item for item, _ in got], [item for item, _ in expected], f"vectors times {factor}")
        assert all(abs(a - b) < 1e-5 for (_, a), (_, b) in zip(got, expected)), (factor, got, expected)


def test_vectors_too_long_to_be_read_back_are_refused(shop):
    db = content_shop(shop, ITEMS + ", item_vector=look", train=False)
    db.execute("UPDATE products SET look = NULL")
    db.execute("UPDATE products SET look = zeroblob(280000) WHERE item = 1")
    try:
        db.execute("INSERT INTO m(m) VALUES('train')")
    except Exception as error:
        assert "vector" in str(error) or "dimension" in str(error) or "elements" in str(error), error
        return
    equal(len(whole(db)) > 0, True, "what trains can be asked")


def test_arguments_that_are_missing_or_wrong(shop):
    db = shop.connect()
    make_events(db)
    make_products(db)
    create = "CREATE VIRTUAL TABLE x USING rec_model(events=events, user=user, item=item, algorithm=content{})"
    for more, says in ((", items=products", ("items=", "item_key=")), (", item_key=item", ("items=", "item_key=")), (", item_text=words", "items="),
                       (", item_vector=look", "items="), (", item_category=kind", "items="), (", item_key=item, item_text=words", "items="),
                       (", items=nosuch, item_key=item", "no table or view 'nosuch'"), (", items=products, item_key=nosuch", "products has no column 'nosuch'"),
                       (ITEMS + ", item_text=nosuch", "products has no column 'nosuch'"), (ITEMS + ", item_vector=nosuch", "no column 'nosuch'"),
                       (ITEMS + ", item_category=nosuch", "no column 'nosuch'"), (TEXT + ", factors=3000", "factors=3000 (0..2048)"),
                       (TEXT + ", weighting=bm26", ("weighting=bm26", "tfidf|bm25")), (TEXT + ", vector_weight=-1", "vector_weight=-1"), (TEXT + ", item_text=kind", "given twice")):
        refused(db, create.format(more), says=says)
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 'x%'"), [])
    for more in ("", ITEMS):
        db.execute("DROP TABLE IF EXISTS x")
        db.execute(create.format(more))
        refused(db, "INSERT INTO x(x) VALUES('train')", says=("content needs items=", "item_text=", "item_vector="))
        refused(db, "SELECT rec_train('x')", says="content needs")
    equal(rows(db, "SELECT * FROM rec_versions"), [])
    make_model(db, "other", more=TEXT)
    db.execute("""INSERT INTO other(other, arg) VALUES('train', '{"algorithm":"content"}')""")
    equal(one(db, "SELECT items FROM rec_versions WHERE algorithm = 'content'"), 60)


def test_the_catalogue_may_go_once_it_is_trained(shop):
    db = content_shop(shop, name="shop.db")
    before = whole(db)
    db.execute("DROP TABLE products")
    equal(whole(db), before)
    refused(db, "INSERT INTO m(m) VALUES('train')", says="products")
    db.close()
    db = shop.connect("shop.db")
    equal(whole(db), before)


def test_until_exclude_in_and_min_support(shop):
    db = content_shop(shop)
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"until":500}')""")
    equal(one(db, "SELECT events FROM rec_versions WHERE version = 2"), one(db, "SELECT count(*) FROM events WHERE t < 500"))
    seen = {row[0] for row in rows(db, "SELECT item FROM events WHERE user = 7 AND t < 500")}
    everything = {row[0] for row in rows(db, "SELECT item FROM products")} | {row[0] for row in rows(db, "SELECT item FROM events WHERE t < 500")}
    equal({row[0] for row in whole(db)}, everything - seen, "the catalogue has no time, the history has")
    listed = whole(db)
    hidden = [row[0] for row in listed[:3]]
    equal(whole(db, f"user = 7 AND exclude = '{hidden}'"), listed[3:])
    same_rows(rows(db, "SELECT item, score FROM m WHERE user = 7 AND item IN (101, 102, 103)"), [row for row in listed if row[0] in (101, 102, 103)])
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"min_support":5}')""")
    equal(one(db, "SELECT items FROM rec_versions WHERE version = 3"), 60, "the catalogue is listed whatever its support")
    db.execute("DELETE FROM products WHERE item < 50")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"min_support":5}')""")
    kept = {row[0] for row in rows(db, "SELECT item FROM events GROUP BY item HAVING count(DISTINCT user) >= 5")} | {50} | set(range(101, 111))
    equal(one(db, "SELECT items FROM rec_versions WHERE version = 4"), len(kept))


def test_because_of_content_are_shares_of_the_cosines(shop):
    """Without vectors nothing is below 0, and a cart of one item has the cosine times what it counts for."""
    db = content_shop(shop, TEXT + ", scale=linear")
    weight = dict(rows(db, "SELECT item, sum(n) FROM events WHERE user = 7 GROUP BY item"))
    alone = {h: dict(whole(db, f"basket = '[{h}]' AND options = '{ALL_ITEMS}'")) for h in weight}
    checked = 0
    for item, score, because in rows(db, "SELECT item, score, because FROM m WHERE user = 7 AND k = 10"):
        part = {h: weight[h] * alone[h][item] for h in weight if alone[h][item] > 0}
        assert abs(sum(part.values()) - score) < 1e-4 * score, (item, score, part)
        equal(json.loads(because)["source"], "history")
        shown = {entry["item"]: entry["share"] for entry in json.loads(because)["items"]}
        equal(len(shown), min(5, len(part)), item)
        for h, share in shown.items():
            assert abs(share - part[h] / score) < 2e-4, (item, h, share, part[h] / score)
            checked += 1
    assert checked > 10, checked


def test_the_same_catalogue_gives_the_same_bits(shop):
    for kind, more in KINDS.items():
        hashes = set()
        for order in ("rowid", "rowid DESC", "words, item DESC"):
            db = shop.connect()
            make_events(db)
            make_products(db)
            db.execute(f"CREATE TABLE shuffled AS SELECT * FROM products ORDER BY {order}")
            for threads in (1, 3):
                make_model(db, f"m{threads}", "content", more=more.replace("products", "shuffled") + f", threads={threads}")
            hashes |= {row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}
        equal(len(hashes), 1, kind)


def test_content_is_stored_loaded_and_reopened(shop):
    for kind, more in KINDS.items():
        db = content_shop(shop, more, f"{kind}.db")
        expected = {where: whole(db, where) for where in ("user = 7", "basket = '[1, 101]'", "similar_to = 103")}
        vectors = [] if kind in ("text", "bm25") else rows(db, "SELECT * FROM rec_item_vectors('m')")
        make_model(db, "copy", "content", more=more, train=False)
        db.execute("INSERT INTO copy(copy, arg) SELECT 'load', rec_train('m')")
        equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions")}), 1, kind)
        for where, listed in expected.items():
            equal(whole(db, where, "copy"), listed, f"{kind} {where}")
        db.execute("INSERT INTO copy(copy) VALUES('integrity-check')")
        db.close()
        db = shop.connect(f"{kind}.db")
        for model in ("m", "copy"):
            for where, listed in expected.items():
                equal(whole(db, where, model), listed, f"{kind} {where} reopened")
            if vectors:
                equal(rows(db, "SELECT * FROM rec_item_vectors(?)", model), vectors)
        db.execute("INSERT INTO m(m) VALUES('integrity-check')")


def test_flipped_bits_of_content_are_found(shop):
    draw = random.Random(9)
    for kind, more in KINDS.items():
        db = content_shop(shop, more)
        refuses_flipped_bits(db, "m", draw, 60)


def test_malformed_content_models_with_a_right_checksum_never_crash(shop):
    draw = random.Random(11)
    loaded = 0
    for kind, more in KINDS.items():
        db = content_shop(shop, more)
        blob, end = trained_blob(db)
        for _ in range(150):
            try:
                db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (malformed(blob, end, draw),))
                loaded += 1
                for question in ("m(3, 5)", "m WHERE user = 3", "m WHERE basket = '[1, 2, 103]' AND k = 5", "m WHERE k = 1", "m WHERE similar_to = 104"):
                    db.execute(f"SELECT item, score, because FROM {question}").fetchall()
                db.execute("""SELECT item FROM m WHERE user = 3 AND k = 5 AND options = '{"diversity":0.5}'""").fetchall()
                if kind not in ("text", "bm25"):
                    db.execute("SELECT * FROM rec_item_vectors('m')").fetchall()
            except Exception as error:
                assert "m: " in str(error) or "rec_item_vectors: " in str(error), error
    assert loaded > 50, "most damage is in a value and can be read"


def test_a_number_of_words_that_cannot_be_is_refused(shop):
    """A small file must not ask for much memory: every word is in a text."""
    db = content_shop(shop, TEXT)
    blob, end = trained_blob(db)
    n_words = len(set(" ".join(row[0] for row in rows(db, "SELECT words FROM products")).split()))
    places = [at for at in range(len(blob) - 4) if blob[at:at + 4] == struct.pack("<I", n_words)]
    assert 1 <= len(places) < 40, places
    for at in places:
        bad = bytearray(blob)
        bad[at:at + 4] = struct.pack("<I", 1 << 24)
        try:
            db.execute("INSERT INTO m(m, arg) VALUES('load', ?)", (resealed(bad, end),))
        except Exception as error:
            assert "load: " in str(error), error
            continue
        size = one(db, "SELECT options FROM rec_versions ORDER BY version DESC LIMIT 1")
        raise AssertionError(f"loaded with 2^24 for {n_words} at {at}: {size}")


def test_an_empty_catalogue_and_no_events(shop):
    db = shop.connect()
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    db.execute("CREATE TABLE products(item INTEGER, words TEXT, look, kind)")
    for kind, more in KINDS.items():
        make_model(db, kind, "content", more=more)
        equal(rows(db, f"SELECT * FROM {kind}(1, 5)"), [], kind)
    db.execute("INSERT INTO products VALUES(1, 'red', ?, 1), (2, 'red', ?, 1), (3, 'blue', ?, 1)", (blob(1, 0), blob(1, 1), blob(0, 1)))
    for kind in KINDS:
        db.execute(f"INSERT INTO {kind}({kind}) VALUES('train')")
        equal(rows(db, f"SELECT item, score FROM {kind}(1, 5)"), [(1, 0.0), (2, 0.0), (3, 0.0)], f"{kind}: nobody has anything")
        equal(rows(db, f"SELECT item FROM {kind} WHERE basket = '[1]' AND k = 1"), [(2,)], kind)
    equal(rows(db, "SELECT item FROM text WHERE k = 3"), [], "there are no users")


# ---- rec_item_vectors ----


def test_item_vectors_of_ials_have_the_cosines_of_similar_to(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="ials", more=", factors=8")
    vectors = {item: numbers(vector) for item, vector in rows(db, "SELECT item, vector FROM rec_item_vectors('m')")}
    equal(list(vectors), sorted(row[0] for row in rows(db, "SELECT DISTINCT item FROM events")), "every item, in key order")
    equal({len(vector) for vector in vectors.values()}, {8})
    equal(rows(db, "SELECT DISTINCT typeof(item), typeof(vector) FROM rec_item_vectors('m')"), [("integer", "blob")])
    for item in list(vectors)[:6]:
        listed = rows(db, "SELECT item, score FROM m WHERE similar_to = ?", item)
        equal(len(listed), len(vectors) - 1)
        for other, score in listed:
            assert abs(score - cosine(vectors[item], vectors[other])) < 1e-5, (item, other, score)


def test_item_vectors_of_other_algorithms(shop):
    db = content_shop(shop, BOTH)
    for algorithm, length in (("bpr", 8), ("mf", 8)):
        make_model(db, algorithm, algorithm, more=", factors=8")
        vectors = {item: numbers(vector) for item, vector in rows(db, "SELECT item, vector FROM rec_item_vectors(?)", algorithm)}
        equal({len(vector) for vector in vectors.values()}, {length}, algorithm)
        for other, score in rows(db, f"SELECT item, score FROM {algorithm} WHERE similar_to = 2"):
            assert abs(score - cosine(vectors[2], vectors[other])) < 1e-5, (algorithm, other, score)
    given = dict(rows(db, "SELECT item, look FROM products"))
    for item, vector in rows(db, "SELECT item, vector FROM rec_item_vectors('m')"):
        assert abs(cosine(numbers(given[item]), numbers(vector)) - 1) < 1e-6 and abs(sum(x * x for x in numbers(vector)) - 1) < 1e-5
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"content","factors":5}')""")
    equal({len(row[0]) for row in rows(db, "SELECT vector FROM rec_item_vectors('m')")}, {16}, "given vectors come before made ones")
    for algorithm in ("popular", "item_knn", "ease", "slim", "graph", "user_knn", "session_knn", "repeat", "blend"):
        make_model(db, "m_" + algorithm, algorithm)
        refused(db, f"SELECT * FROM rec_item_vectors('m_{algorithm}')", says=("rec_item_vectors", algorithm, "no vectors"))
    make_model(db, "texts", "content", more=TEXT)
    refused(db, "SELECT * FROM rec_item_vectors('texts')", says=("no vectors", "factors=", "item_vector="))


def test_item_vectors_of_a_version_and_of_names(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="ials", more=", factors=4", train=False)
    refused(db, "SELECT * FROM rec_item_vectors('m')", says="no version")
    db.execute("INSERT INTO m(m) VALUES('train')")
    first = rows(db, "SELECT * FROM rec_item_vectors('m')")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"factors":6}')""")
    equal({len(row[1]) for row in rows(db, "SELECT * FROM rec_item_vectors('m')")}, {24})
    equal(rows(db, "SELECT * FROM rec_item_vectors('m', 1)"), first)
    equal(rows(db, "SELECT item, vector FROM rec_item_vectors WHERE model_name = 'main.m' AND version = 1"), first)
    for arguments, says in (("'m', 3", "no version 3"), ("'m', -1", "-1"), ("'nosuch'", "no rec_model named 'nosuch'"), ("NULL", "NULL"), ("'events'", "events")):
        refused(db, f"SELECT * FROM rec_item_vectors({arguments})", says=("rec_item_vectors", says))
    refused(db, "SELECT * FROM rec_item_vectors", says="rec_item_vectors")


def test_a_version_of_item_vectors_that_is_no_number_is_refused(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="ials", more=", factors=4")
    for version in ("'x'", "1.5", "x'01'"):
        refused(db, f"SELECT * FROM rec_item_vectors('m', {version})", says="version")


def test_item_vectors_join_and_feed_an_index(shop):
    db = content_shop(shop, BOTH)
    make_model(db, "taste", "ials", more=", factors=8")
    equal(one(db, "SELECT count(*) FROM rec_item_vectors('taste') v JOIN products p ON p.item = v.item"), one(db, "SELECT count(DISTINCT item) FROM events"))
    equal(one(db, "SELECT v.vector FROM products p JOIN rec_item_vectors('taste') v ON v.item = p.item WHERE p.item = 9"),
          one(db, "SELECT vector FROM rec_item_vectors('taste') WHERE item = 9"))
    equal(rows(db, "SELECT n.name, count(*) FROM (SELECT 'taste' AS name UNION ALL SELECT 'm') n, rec_item_vectors(n.name) v GROUP BY 1"),
          [("m", 60), ("taste", one(db, "SELECT count(DISTINCT item) FROM events"))])
    for model, size in (("taste", 8), ("m", 4)):
        db.execute(f"CREATE VIRTUAL TABLE near_{model} USING rec_index(e float[{size}], metric=cosine)")
        db.execute(f"INSERT INTO near_{model}(rowid, e) SELECT item, vector FROM rec_item_vectors('{model}')")
    for item in (2, 9, 13):
        equal([row[0] for row in rows(db, "SELECT rowid FROM near_taste WHERE similar_to = ? AND k = 10", item)],
              [row[0] for row in rows(db, "SELECT item FROM taste WHERE similar_to = ? AND k = 10", item)])


# ---- init_from ----


def first_objective(db, version):
    return rows(db, "SELECT objective FROM rec_training_log WHERE model = 'm' AND version = ? ORDER BY sweep LIMIT 1", version)[0][0]


def test_init_from_starts_where_a_version_ended(shop):
    for solver in ("exact", "blocks"):
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm="ials", more=f", factors=8, sweeps=6, solver={solver}, block=4")
        db.execute("INSERT INTO events VALUES(3, 777, 1, 1000), (4, 777, 1, 1000)")
        db.execute("INSERT INTO m(m) VALUES('train')")
        db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"init_from":1}')""")
        db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"init_from":1}')""")
        cold, warm = first_objective(db, 2), first_objective(db, 3)
        assert warm < cold - 1e-6 * abs(cold), f"{solver}: the first objective of a warm start {warm}, of a cold one {cold}"
        equal(first_objective(db, 4), warm, "the same start, the same bits")
        equal(len({row[0] for row in rows(db, "SELECT sha256 FROM rec_versions WHERE version > 2")}), 1)
        assert 777 in {row[0] for row in rows(db, "SELECT item FROM rec_item_vectors('m', 3)")}, "an item that version 1 did not know"
        db.execute("INSERT INTO m(m, arg) VALUES('load', rec_train('m', '{\"init_from\":1}'))")
        equal(one(db, "SELECT sha256 FROM rec_versions WHERE version = 5"), one(db, "SELECT sha256 FROM rec_versions WHERE version = 3"))


def test_init_from_with_no_sweep_to_go_is_near_its_start(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="ials", more=", factors=4, sweeps=200")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"init_from":1,"sweeps":1}')""")
    for (_, a), (_, b) in zip(rows(db, "SELECT * FROM rec_item_vectors('m', 1)"), rows(db, "SELECT * FROM rec_item_vectors('m', 2)")):
        assert all(abs(x - y) < 0.02 for x, y in zip(numbers(a), numbers(b))), "converged factors stay where they are"


def test_init_from_what_does_not_fit_is_refused(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="ials", more=", factors=8")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"bpr","factors":8}')""")
    db.execute("""INSERT INTO m(m, arg) VALUES('train', '{"algorithm":"popular"}')""")
    before = shadow(db, "m")
    train = "INSERT INTO m(m, arg) VALUES('train', ?)"
    for options, says in (('{"init_from":2}', ("init_from", "bpr")), ('{"init_from":3}', ("init_from", "popular")), ('{"init_from":1,"factors":4}', ("init_from", "factors")),
                          ('{"init_from":9}', "no version 9"), ('{"init_from":-1}', "init_from=-1"), ('{"init_from":1.5}', "init_from=1.5"),
                          ('{"algorithm":"popular","init_from":1}', "unknown option 'init_from'")):
        refused(db, train, options, says=says)
        refused(db, "SELECT rec_train('m', ?)", options, says=says)
    equal(shadow(db, "m"), before)
