"""rec_explain: terms that sum to the score, and what is left out shows; rec_reason: the same as a sentence."""
import json

from support import ALGORITHMS, equal, make_events, make_model, one, refused, rows

EXACT = ("item_knn", "ials", "ease", "slim", "graph", "popular")


def test_terms_sum_to_the_score_of_the_list(shop):
    for algorithm in ALGORITHMS:
        db = shop.connect()
        make_events(db)
        make_model(db, algorithm=algorithm)
        methods = set()
        for user in (1, 2, 7, 11):
            for item, score in rows(db, "SELECT item, score FROM m WHERE user = ? AND k = 4", user):
                terms = rows(db, "SELECT item, contribution, score, method FROM rec_explain('m', ?, ?)", user, item)
                methods |= {method for *_, method in terms}
                if terms:
                    total = sum(term[1] for term in terms)
                    assert abs(total - terms[0][2]) <= 1e-4 * max(1, abs(total)), (algorithm, user, item, total, terms[0][2])
                    if score:  # 0 is the popular list's
                        assert abs(terms[0][2] - score) <= 1e-6 * max(1, abs(score)), (algorithm, user, item, score, terms)
                own = {key for key, *_ in terms if key is not None}
                assert own <= {row[0] for row in rows(db, "SELECT item FROM events WHERE user = ?", user)}
                sizes = [abs(term[1]) for term in terms if term[0] is not None]
                equal(sizes, sorted(sizes, reverse=True))
        if algorithm in EXACT:
            assert methods <= {"exact"}, (algorithm, methods)
        elif algorithm in ("user_knn", "session_knn", "bpr", "mf"):
            equal(methods, {"leave-one-out"}, algorithm)


def test_leaving_out_is_what_deleting_the_event_does(shop):
    db = shop.connect()
    make_events(db)
    make_model(db, algorithm="user_knn")
    terms = {}
    for item, score in rows(db, "SELECT item, score FROM m WHERE user = 7 AND k = 3 AND score > 0"):
        terms[item] = dict(rows(db, "SELECT item, contribution FROM rec_explain('m', 7, ?)", item)), score
    assert terms
    for item, (parts, score) in terms.items():
        for had in [key for key in parts if key is not None]:
            db.execute("SAVEPOINT s")
            db.execute("DELETE FROM events WHERE user = 7 AND item = ?", (had,))
            now = one(db, "SELECT coalesce(max(score), 0) FROM m WHERE user = 7 AND candidates = ?", json.dumps([item]))
            db.execute("ROLLBACK TO s")
            db.execute("RELEASE s")
            assert abs(score - now - parts[had]) < 1e-6, (item, had, score, now, parts[had])


def test_a_sentence_names_what_speaks_for_it(shop):
    db = shop.connect()
    make_events(db)
    db.execute("CREATE TABLE products(sku INTEGER, title TEXT)")
    db.executemany("INSERT INTO products VALUES(?, ?)", [(i, f"Product {i}") for i in range(60)])
    make_model(db)
    db.execute("CREATE VIRTUAL TABLE named USING rec_model(events=events, user=user, item=item, weight=n, time=t, items=products, item_key=sku, item_text=title)")
    db.execute("INSERT INTO named(named) VALUES('train')")
    item = one(db, "SELECT item FROM m WHERE user = 7 AND k = 1")
    best = [row[0] for row in rows(db, "SELECT item FROM rec_explain('m', 7, ?) WHERE contribution > 0", item)]
    assert len(best) >= 2
    equal(one(db, "SELECT rec_reason('m', 7, ?)", item), f"because you chose {best[0]} and {best[1]}")
    equal(one(db, "SELECT rec_reason('named', 7, ?, '{\"items\": 1, \"text\": \"weil du {items} gekauft hast\"}')", item), f"weil du Product {best[0]} gekauft hast")
    equal(one(db, "SELECT rec_reason('m', 7, ?, '{\"items\": 3, \"and\": \" und \"}')", item),
          f"because you chose {best[0]}, {best[1]} und {best[2]}" if len(best) > 2 else f"because you chose {best[0]} und {best[1]}")
    equal(one(db, "SELECT rec_reason('m', 99999, ?)", item), None, "of a stranger nothing is known")
    equal(one(db, "SELECT item FROM rec_explain('m', 99999, ?)", item), None)
    refused(db, "SELECT rec_reason('m', 7, ?, '{\"text\": \"no place\"}')", item, says="text has no {items}")
    for sql, says in (("SELECT rec_reason('m', 7, 12345)", "does not know this item"), ("SELECT rec_reason('m', NULL, 1)", "user is NULL"), ("SELECT rec_reason('m', 7, NULL)", "item"),
                      ("SELECT * FROM rec_explain('m', 7, 1, '{\"version\": 9}')", "no version 9"), ("SELECT * FROM rec_explain('x', 7, 1)", "no rec_model named 'x'")):
        refused(db, sql, says=says)
