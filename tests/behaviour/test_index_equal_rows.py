"""Graphs over rows of which many are equal, above all the zero vectors of items without an embedding."""
import random

import numpy

from support import equal, one, refused, rows, vector


def shop_of_vectors(db, name, x, metric, factory, more=""):
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_index(e float[{x.shape[1]}], kind integer, metric={metric}, index={factory}{more})")
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO {name}(rowid, e, kind) VALUES(?, ?, ?)", [(i + 1, row.tobytes(), i % 7) for i, row in enumerate(x)])
    db.execute("COMMIT")
    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('optimize', '{{\"build_threads\": 1}}')")


def drawn(n, dim, share, kind, seed):
    draw = numpy.random.default_rng(seed)
    x = draw.standard_normal((n, dim)).astype("<f4")
    chosen = draw.permutation(n)[:int(share * n)]
    if kind == "zero":
        x[chosen] = 0
    else:
        for at in range(0, len(chosen), 50):
            x[chosen[at:at + 50]] = x[chosen[at]]
    return x, draw


def scores(x, query, metric):
    x, query = x.astype(float), query.astype(float)
    if metric == "l2":
        return -numpy.sqrt(((x - query) ** 2).sum(1))
    lengths = numpy.linalg.norm(x, axis=1) * numpy.linalg.norm(query)
    return x @ query / numpy.where(lengths > 0, lengths, 1) if metric == "cosine" else x @ query


def test_recall_by_score_holds_with_half_of_the_rows_equal(shop):
    for metric in ("cosine", "l2", "ip"):
        for factory in ("HNSW16", "HNSW32"):
            for share, kind in ((0, "zero"), (.01, "zero"), (.05, "zero"), (.3, "zero"), (.5, "zero"), (.3, "groups"), (.5, "groups")):
                x, draw = drawn(3000, 16, share, kind, 5)
                db = shop.connect()
                shop_of_vectors(db, "h", x, metric, factory)
                found = 0
                for query in draw.standard_normal((60, 16)).astype("<f4"):
                    true = scores(x, query, metric)
                    least = numpy.sort(true)[-10]
                    got = rows(db, "SELECT rowid FROM h WHERE e MATCH ? AND k = 10", query.tobytes())
                    equal(len({row[0] for row in got}), 10)
                    found += sum(true[row[0] - 1] >= least - 1e-9 * abs(least) for row in got)
                assert found >= .95 * 600, f"{metric} {factory} {share} {kind}: recall {found / 600}"


def test_one_row_that_differs_from_three_thousand_is_found(shop):
    db = shop.connect()
    db.execute("CREATE VIRTUAL TABLE h USING rec_index(e float[4], metric=cosine, index='HNSW8')")
    db.execute("INSERT INTO h(rowid, e) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i, CASE i WHEN 2999 THEN '[1,1,1,1.5]' ELSE '[1,1,1,1]' END FROM n")
    db.execute("INSERT INTO h(h) VALUES('optimize')")
    equal(rows(db, "SELECT rowid FROM h WHERE e MATCH '[1,1,1,1.5]' AND k = 3"), [(2999,), (1,), (2,)])


def same_as_exact(shop, db, x, present, metric, draw, what):
    """Answers with room for every row equal an exact index's, by score; each row comes once and satisfies the filter."""
    for round in range(6):
        query = numpy.zeros(x.shape[1], "<f4") if round == 0 and metric != "cosine" else draw.standard_normal(x.shape[1]).astype("<f4")
        wanted = [i for i in present if round < 3 or i % 7 in (2, 5)]
        where = " AND kind IN (2, 5)" if round >= 3 else ""
        for k in (1, 7, 150):
            got = rows(db, f"SELECT rowid, score FROM h WHERE e MATCH ? AND k = ?{where} AND options = '{{\"ef\": 3000}}'", query.tobytes(), k)
            true = scores(x, query, metric)
            best = sorted((true[i] for i in wanted), reverse=True)[:k]
            assert numpy.allclose([score for _, score in got], best, rtol=1e-5, atol=1e-6), f"{what}, round {round}, k {k}:\n{got[:5]}\n{best[:5]}"
            assert len({row[0] for row in got}) == len(got) and {row[0] - 1 for row in got} <= set(wanted), what


def test_rows_of_a_group_live_their_own_lives(shop):
    for metric in ("cosine", "l2", "ip"):
        for kind in ("zero", "groups"):
            x, draw = drawn(700, 8, .6, kind, 9)
            if metric == "cosine" and kind == "groups":
                x[::3] *= numpy.float32(3)  # of one direction
            name = f"{metric}_{kind}.db"
            db = shop.connect(name)
            shop_of_vectors(db, "h", x, metric, "HNSW8")
            present = set(range(len(x)))
            change = random.Random(3)
            for step in range(5):
                what = f"{metric} {kind} step {step}"
                same_as_exact(shop, db, x, present, metric, draw, what)
                same_as_exact(shop, shop.connect(name), x, present, metric, draw, what + ", another connection")
                for _ in range(25):  # the first row of a group is its node: it too moves and goes
                    i = min(present) if change.random() < .3 else change.choice(sorted(present))
                    if change.random() < .4 and len(present) > 500:
                        db.execute("DELETE FROM h WHERE rowid = ?", (i + 1,))
                        present.discard(i)
                    else:
                        x[i] = 0 if change.random() < .3 else x[change.choice(sorted(present))] if change.random() < .5 else draw.standard_normal(8)
                        db.execute("UPDATE h SET e = ? WHERE rowid = ?", (x[i].tobytes(), i + 1))
                db.execute("INSERT INTO h(h) VALUES('drop-cache')")
                same_as_exact(shop, db, x, present, metric, draw, what + ", loaded again")
                if step % 2:
                    db.execute("INSERT INTO h(h) VALUES('optimize')")
                    db.execute("INSERT INTO h(h) VALUES('drop-cache')")
                db.execute("INSERT INTO h(h) VALUES('integrity-check')")


def test_a_table_without_a_direction_at_all(shop):
    for metric in ("cosine", "l2", "ip"):
        db = shop.connect()
        shop_of_vectors(db, "h", numpy.zeros((300, 4), "<f4"), metric, "HNSW8")
        equal(len(rows(db, "SELECT rowid FROM h WHERE e MATCH '[1,0,0,0]' AND k = 5")), 5)
        db.execute("INSERT INTO h(h) VALUES('drop-cache')")
        equal(len(rows(db, "SELECT rowid FROM h WHERE e MATCH '[1,0,0,0]' AND k = 300")), 300)
        db.execute("INSERT INTO h(rowid, e) VALUES(1000, '[1,0,0,0]')")
        db.execute("INSERT INTO h(h) VALUES('optimize')")
        equal(one(db, "SELECT rowid FROM h WHERE e MATCH '[1,0,0,0]' AND k = 1"), 1000)


def test_rec_recall_at_counts_by_score_takes_queries_and_says_that_rows_are_equal(shop):
    db = shop.connect()
    x = numpy.ones((3000, 4), "<f4")
    shop_of_vectors(db, "h", x, "l2", "HNSW8")
    equal(rows(db, "SELECT recall, note FROM rec_recall_at('h', 20, 5, '{\"ef\": 16}')"), [(1.0, "3000 of 3000 rows have a vector that another has, too (1 such vectors)")])
    x, draw = drawn(400, 4, 0, "zero", 3)
    shop_of_vectors(db, "g", x, "ip", "HNSW8")
    db.execute("CREATE TABLE asked(id INTEGER PRIMARY KEY, e, q)")
    db.executemany("INSERT INTO asked(e, q) VALUES(?, ?)", [(None if i == 3 else row.tobytes(), vector(*row)) for i, row in enumerate(draw.standard_normal((40, 4)).astype("<f4"))])
    equal(rows(db, "SELECT recall, queries, note FROM rec_recall_at('g', 'asked', 10, '{\"ef\": 400}')"), [(1.0, 39, None)])
    equal(rows(db, "SELECT recall, queries FROM rec_recall_at('g', 'asked', 10, '{\"ef\": 400}', 'q')"), [(1.0, 40)])
    refused(db, "SELECT * FROM rec_recall_at('g', 'nowhere', 10)", says="no table or view named 'nowhere'")
    refused(db, "SELECT * FROM rec_recall_at('g', 0, 10)", says="sample=0 (1..1000000 rows of the index, or the name of a table of queries)")
    db.execute("INSERT INTO asked(e) VALUES('[1]')")
    refused(db, "SELECT * FROM rec_recall_at('g', 'asked', 10)", says="a query of asked has 1 elements, the column is float[4]")
