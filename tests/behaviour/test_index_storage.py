"""storage=f16 and storage=sq8: what is kept, what is read back, and scores that are exact for what is kept. The oracle is NumPy."""
import json, math, os, random

import numpy

from support import equal, one, refused, rows, vector

METRICS = ("cosine", "ip", "l2")
ENGINES = ("exact", "HNSW32", "'IVF4,Flat'")
WIDE = '{"ef":1000,"nprobe":64}'  # so wide that a graph or lists find all that there is
FLT_MAX = float(numpy.finfo(numpy.float32).max)


def blob(values):
    return numpy.asarray(values, "<f4").tobytes()


def back(db, table="t"):
    """{rowid: the vector as it is read}."""
    return {id: numpy.frombuffer(e, "<f4") for id, e in rows(db, f"SELECT rowid, e FROM {table}")}


def make(shop, dim, storage, vectors, more="", name=None):
    db = shop.connect(name)
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[{dim}], kind text, storage={storage}{more})")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t(rowid, e, kind) VALUES(?, ?, ?)", [(i, blob(v), "ab"[i % 2]) for i, v in enumerate(vectors, 1)])
    db.execute("COMMIT")
    return db


def half(values):
    """To the nearest half, ties to even, as IEEE 754 and NumPy have it."""
    return numpy.asarray(values, numpy.float32).astype(numpy.float16).astype(numpy.float32)


def sq8(values):
    """q = round(x / scale), scale = max|x| / 127: the stored vector, by float64 arithmetic on a float32 scale."""
    values = numpy.asarray(values, numpy.float32)
    scale = numpy.float32(numpy.abs(values).max() / numpy.float32(127))
    if not scale:
        return numpy.zeros_like(values), scale
    return (numpy.rint(values.astype(float) / float(scale)) * float(scale)).astype(numpy.float32), scale


def scores(metric, stored, query):
    x, q = numpy.asarray(stored, float), numpy.asarray(query, float)
    if metric == "ip":
        return x @ q
    if metric == "l2":
        return -numpy.linalg.norm(x - q, axis=1)
    norms = numpy.linalg.norm(x, axis=1) * numpy.linalg.norm(q)
    return numpy.where(norms > 0, x @ q / numpy.where(norms > 0, norms, 1), 0)


def gaussian(n, dim, seed=1):
    return numpy.random.default_rng(seed).normal(size=(n, dim)).astype(numpy.float32)


# ------------------------------------------------------------------------------------------------------------------ f16

def test_f16_keeps_every_half(shop):
    every = numpy.arange(65536, dtype=numpy.uint32).astype(numpy.uint16).view(numpy.float16)
    every = every[numpy.isfinite(every)].astype(numpy.float32)
    equal(len(every), 63488)
    vectors = every.reshape(-1, 512)
    got = back(make(shop, 512, "f16", vectors))
    for i, v in enumerate(vectors, 1):
        equal(got[i].tobytes(), v.tobytes(), f"row {i}: a half is kept bit for bit, -0.0 and subnormals too")


def test_f16_rounds_to_the_nearest_and_ties_to_even(shop):
    halves = numpy.arange(0x7BFF, dtype=numpy.uint16).view(numpy.float16).astype(numpy.float32)
    above = numpy.arange(1, 0x7C00, dtype=numpy.uint16).view(numpy.float16).astype(numpy.float32)
    middle = (halves + above) / 2  # exact in float32
    values = numpy.concatenate([middle, numpy.nextafter(middle, numpy.float32(0)), numpy.nextafter(middle, numpy.float32(1e9)), numpy.nextafter(halves, numpy.float32(1e9)), numpy.nextafter(above, numpy.float32(0))]).astype(numpy.float32)
    values = numpy.concatenate([values, -values, [1e-45, -1e-45, 2.0 ** -25, 2.0 ** -25 * 1.0000001, 5.960464e-08, 65504, -65504, 65519.996, -65519.996, 1e-38]]).astype(numpy.float32)
    values = numpy.concatenate([values, numpy.zeros(-len(values) % 1000, numpy.float32)])
    vectors = values.reshape(-1, 1000)
    got = back(make(shop, 1000, "f16", vectors))
    expected = half(vectors)
    for i in range(len(vectors)):
        wrong = numpy.nonzero(got[i + 1].view(numpy.uint32) != expected[i].view(numpy.uint32))[0]
        assert not len(wrong), f"{vectors[i][wrong[0]]!r} is kept as {got[i + 1][wrong[0]]!r}, nearest is {expected[i][wrong[0]]!r} ({len(wrong)} of {len(vectors[i])})"


def test_f16_rounds_random_floats_of_every_size(shop):
    generator = numpy.random.default_rng(7)
    bits = generator.integers(0, 2 ** 32, 200000, dtype=numpy.uint64).astype(numpy.uint32).view(numpy.float32)
    values = numpy.concatenate([bits[numpy.isfinite(bits) & (numpy.abs(bits) < 65519)], generator.normal(size=50000).astype(numpy.float32), (generator.normal(size=50000) * 1e-5).astype(numpy.float32)])
    vectors = values[:len(values) // 500 * 500].reshape(-1, 500)
    got = back(make(shop, 500, "f16", vectors))
    expected = half(vectors)
    for i in range(len(vectors)):
        equal(got[i + 1].tobytes(), expected[i].tobytes(), f"row {i + 1}")


def test_f16_refuses_what_overflows(shop):
    for transaction in (False, True):
        db = make(shop, 3, "f16", [[1, 2, 3], [4, 5, 6]])
        before = back(db)
        if transaction:
            db.execute("BEGIN")
        for value in (65520.0, -65520.0, 70000.0, -1e30, FLT_MAX):
            for sql in ("INSERT INTO t(e) VALUES(?)", "INSERT OR REPLACE INTO t(rowid, e) VALUES(1, ?)", "INSERT OR IGNORE INTO t(rowid, e) VALUES(9, ?)", "UPDATE t SET e = ? WHERE rowid = 1"):
                refused(db, sql, blob([1, value, 3]), says=("e", "element 2", "65504"))
                refused(db, sql, vector(value, 1, 3), says=("element 1", "65504"))
        equal({id: v.tobytes() for id, v in back(db).items()}, {id: v.tobytes() for id, v in before.items()})
        equal(rows(db, "SELECT count(*) FROM t('[1,2,3]', 9)"), [(2,)])
        db.execute("INSERT INTO t(e) VALUES(?)", (blob([65519.996, -65519.996, 65504]),))  # rounds to the largest half
        equal(one(db, "SELECT rec_vec_json(e) FROM t WHERE rowid = 3"), "[65504,-65504,65504]")
    for sql in ("SELECT rowid FROM t WHERE e MATCH ? AND k = 1", "SELECT rowid FROM t(?, 1)"):
        equal(len(rows(db, sql, blob([1e30, 0, 0]))), 1, "a query is not stored and not rounded")


# ------------------------------------------------------------------------------------------------------------------ sq8

def test_sq8_is_a_scale_and_bytes(shop):
    generator = numpy.random.default_rng(3)
    cases = [gaussian(1, 256, seed)[0] * numpy.float32(10.0 ** size) for seed, size in enumerate(range(-30, 31, 3))]
    cases += [numpy.arange(-127, 129, dtype=numpy.float32).clip(-127, 127), numpy.zeros(256, numpy.float32), numpy.eye(1, 256, 7, dtype=numpy.float32)[0], -numpy.eye(1, 256, 7, dtype=numpy.float32)[0] * 5,
              numpy.full(256, 3.3, numpy.float32), numpy.full(256, -1e-3, numpy.float32), generator.integers(-127, 128, 256).astype(numpy.float32) * numpy.float32(0.25), generator.uniform(0, 1, 256).astype(numpy.float32)]
    got = back(make(shop, 256, "sq8", cases))
    for i, values in enumerate(cases):
        stored, scale = sq8(values)
        kept = got[i + 1]
        assert numpy.isfinite(kept).all(), i
        if not scale:
            equal(kept.tobytes(), bytes(4 * 256), "a zero vector stays one")
            continue
        steps = kept.astype(float) / float(scale)
        assert numpy.abs(steps - numpy.rint(steps)).max() < 1e-4, f"case {i}: not whole numbers of the scale {scale}: {steps[:8]}"
        assert numpy.abs(numpy.rint(steps)).max() == 127, f"case {i}: the largest element has the largest code"
        fraction = numpy.abs(values.astype(float) / float(scale) % 1 - 0.5)
        clear = fraction > 1e-4  # where x / scale is halfway, both neighbours are nearest
        equal(numpy.rint(steps)[clear].tolist(), numpy.rint(values.astype(float) / float(scale))[clear].tolist(), f"case {i}")
        assert numpy.abs(kept.astype(float) - values).max() <= float(scale) * 0.5001, f"case {i}: farther than half a step"
        assert math.isclose(float(numpy.abs(kept).max()), float(numpy.abs(values).max()), rel_tol=1e-6), f"case {i}: the largest element is kept"


def test_sq8_of_the_largest_and_the_smallest_floats(shop):
    tiny = float(numpy.finfo(numpy.float32).tiny)
    for values in ([FLT_MAX, 1, 0], [-FLT_MAX, FLT_MAX, FLT_MAX / 2], [FLT_MAX * 0.999999, 0, -1], [tiny, -tiny, 0], [tiny * 127, tiny, 0], [1e-45, 0, 0], [1e-45, -1e-45, 1e-45], [1e-43, 1e-44, 1e-45], [1e-40, -1e-41, 0], [1, 1e-45, FLT_MAX]):
        db = make(shop, 3, "sq8", [values, [1, 1, 1]])
        kept = back(db)[1]
        assert numpy.isfinite(kept).all(), f"{values} is kept as {kept}"
        largest = float(numpy.abs(numpy.asarray(values, numpy.float32)).max())
        assert numpy.abs(kept.astype(float) - numpy.asarray(values, numpy.float32).astype(float)).max() <= max(largest / 127 * 0.51, 1e-43), f"{values} is kept as {kept}"
        equal(sorted(rows(db, "SELECT rowid FROM t('[1,1,1]', 9)")), [(1,), (2,)])
        db.execute("INSERT INTO t(t) VALUES('integrity-check')")


def test_a_stored_vector_is_written_again_without_another_loss(shop):
    for storage in ("f32", "f16", "sq8"):
        db = make(shop, 64, storage, gaussian(200, 64))
        before = back(db)
        db.execute("UPDATE t SET kind = 'x'")
        equal([v.tobytes() for v in back(db).values()], [v.tobytes() for v in before.values()], f"{storage}: another column changes")
        db.execute("UPDATE t SET rowid = rowid + 1000")
        equal([v.tobytes() for v in back(db).values()], [v.tobytes() for v in before.values()], f"{storage}: the rowid changes")
        db.execute("UPDATE t SET e = e")
        after = back(db)
        for id, v in before.items():
            assert numpy.abs(after[id + 1000].astype(float) - v).max() <= 1e-6 * float(numpy.abs(v).max()), f"{storage}: row {id}"


# ----------------------------------------------------------------------------------------------------- what both must do

def test_reading_gives_what_is_stored(shop):
    vectors = gaussian(50, 16)
    for storage, rounded in (("f32", lambda v: v), ("f16", half), ("sq8", None)):
        db = make(shop, 16, storage, vectors, name=f"{storage}.db")
        got = back(db)
        for i, v in enumerate(vectors, 1):
            equal(len(got[i]), 16)
            if rounded:
                equal(got[i].tobytes(), rounded(v).tobytes(), storage)
            equal(one(db, "SELECT e FROM t WHERE rowid = ?", i), got[i].tobytes(), "a look-up")
            equal(one(db, "SELECT e FROM t WHERE e MATCH ? AND k = 1", blob(got[i])), got[i].tobytes(), "a hit")
            equal(one(db, "SELECT typeof(e) FROM t WHERE rowid = ?", i), "blob")
        again = back(shop.connect(f"{storage}.db"))
        equal([v.tobytes() for v in again.values()], [v.tobytes() for v in got.values()], "another connection")
        db.execute("CREATE TABLE copied(id INTEGER PRIMARY KEY, e BLOB)")
        db.execute("INSERT INTO copied SELECT rowid, e FROM t")
        equal([v for v, in rows(db, "SELECT e FROM copied")], [got[i].tobytes() for i in range(1, 51)])
        db.execute("INSERT INTO t(rowid, e) VALUES(99, ?)", ("[" + ",".join(str(float(x)) for x in vectors[0]) + "]",))
        equal(back(db)[99].tobytes(), got[1].tobytes(), "JSON is stored alike")


def test_scores_are_exact_for_the_stored_vectors(shop):
    vectors = gaussian(400, 24) * numpy.random.default_rng(5).uniform(0.1, 10, (400, 1)).astype(numpy.float32)
    vectors[17] = 0
    queries = gaussian(6, 24, seed=2)
    for storage in ("f32", "f16", "sq8"):
        for metric in METRICS:
            for number, engine in enumerate(ENGINES):
                db = make(shop, 24, storage, vectors, f", metric={metric}, index={engine}")
                for command in ("optimize", "rebuild") if number else ("optimize",):
                    db.execute("INSERT INTO t(t) VALUES(?)", (command,))
                    kept = numpy.array([v for _, v in sorted(back(db).items())])
                    for q in queries:
                        exact = scores(metric, kept, q)
                        got = rows(db, "SELECT rowid, score, distance FROM t(?, 400)", blob(q))
                        equal(sorted(id for id, _, _ in got), list(range(1, 401)))
                        for id, score, distance in got:
                            assert math.isclose(score, exact[id - 1], rel_tol=1e-11, abs_tol=1e-11), f"{storage} {metric} {engine}: row {id}: score {score}, exact {exact[id - 1]}"
                            assert math.isclose(distance, 1 - score if metric == "cosine" else -score, rel_tol=1e-12, abs_tol=1e-12), (score, distance)
                        assert all(a[1] >= b[1] for a, b in zip(got, got[1:])), "in order"
                        top = rows(db, "SELECT rowid, score FROM t(?, 10, ?)", blob(q), WIDE)
                        equal([id for id, _ in top], [id for id, _, _ in got[:10]], f"{storage} {metric} {engine}: the best ten")
                        for id, score in top:
                            assert math.isclose(score, exact[id - 1], rel_tol=1e-11, abs_tol=1e-11), f"{storage} {metric} {engine}: row {id}"
                    similar = rows(db, "SELECT rowid, score FROM t WHERE similar_to = 7 AND k = 399")
                    exact = scores(metric, kept, kept[6])
                    equal(len(similar), 399)
                    for id, score in similar:
                        assert math.isclose(score, exact[id - 1], rel_tol=1e-11, abs_tol=1e-11), f"{storage} {metric} {engine}: similar_to starts from the stored vector"


def test_the_scalar_functions_agree_with_the_scores(shop):
    for storage in ("f16", "sq8"):
        for metric, function in (("cosine", "rec_cosine(e, {q})"), ("ip", "rec_dot(e, {q})"), ("l2", "-rec_l2(e, {q})")):
            db = make(shop, 24, storage, gaussian(100, 24), f", metric={metric}")
            for id, score, own in rows(db, f"SELECT rowid, score, {function.format(q='?1')} FROM t(?1, 100)", blob(gaussian(1, 24, 9)[0])):
                assert math.isclose(score, own, rel_tol=1e-12, abs_tol=1e-12), (storage, metric, id, score, own)


def test_bounds_filters_and_batches(shop):
    vectors, queries = gaussian(300, 12), gaussian(5, 12, 4)
    for storage in ("f16", "sq8"):
        for engine in ENGINES:
            db = make(shop, 12, storage, vectors, f", metric=l2, index={engine}")
            db.execute("INSERT INTO t(t) VALUES('optimize')")
            kept = numpy.array([v for _, v in sorted(back(db).items())])
            db.execute("CREATE TABLE q(id, v)")
            db.executemany("INSERT INTO q VALUES(?, ?)", [(i, blob(q)) for i, q in enumerate(queries)])
            batch = rows(db, "SELECT id, rowid, distance FROM rec_search('t', 'q', 'id', 'v', 5, ?)", WIDE)
            for i, q in enumerate(queries):
                order = sorted((float(-s), id) for id, s in enumerate(scores("l2", kept, q), 1))
                odd = [(id, distance) for distance, id in order if id % 2]
                got = rows(db, "SELECT rowid, distance FROM t WHERE e MATCH ? AND k = 20 AND options = ? AND kind = 'b'", blob(q), WIDE)
                equal([id for id, _ in got], [id for id, _ in odd[:20]], f"{storage} {engine}: a filter")
                bound = (order[8][0] + order[9][0]) / 2
                equal([id for id, in rows(db, "SELECT rowid FROM t WHERE e MATCH ? AND distance < ?", blob(q), bound)], [id for _, id in order[:9]], f"{storage} {engine}: a bound")
                equal([(id, rowid) for id, rowid, _ in batch if id == i], [(i, id) for _, id in order[:5]], f"{storage} {engine}: rec_search")


def test_changes_after_a_build(shop):
    for storage in ("f16", "sq8"):
        for engine in ENGINES:
            vectors = gaussian(200, 8)
            db = make(shop, 8, storage, vectors, f", metric=l2, index={engine}", name=f"{storage}{ENGINES.index(engine)}.db")
            db.execute("INSERT INTO t(t) VALUES('optimize')")
            other = shop.connect(f"{storage}{ENGINES.index(engine)}.db")
            draw = random.Random(1)
            for step in range(120):
                id, v = draw.randrange(1, 260), blob(gaussian(1, 8, 1000 + step)[0])
                if step % 3 == 0:
                    db.execute("DELETE FROM t WHERE rowid = ?", (id,))
                elif step % 3 == 1:
                    db.execute("INSERT OR REPLACE INTO t(rowid, e) VALUES(?, ?)", (id, v))
                else:
                    db.execute("UPDATE t SET e = ? WHERE rowid = ?", (v, id))
                if step % 20 == 19:
                    content = back(db)
                    for connection in (db, other):
                        got = rows(connection, "SELECT rowid, distance FROM t(?, 300)", blob(vectors[step]))
                        expected = sorted((float(numpy.linalg.norm(e.astype(float) - vectors[step])), id) for id, e in content.items())
                        equal([id for id, _ in got], [id for _, id in expected], f"{storage} {engine} step {step}")
            db.execute("INSERT INTO t(t) VALUES('rebuild')")
            db.execute("INSERT INTO t(t) VALUES('integrity-check')")


def test_files_are_about_a_half_and_a_quarter(shop):
    vectors = gaussian(4000, 250)  # 1000, 500 and 254 bytes: several of them fill a page of 4096
    size = {}
    for storage in ("f32", "f16", "sq8"):
        db = make(shop, 250, storage, vectors, ", index=exact", name=f"{storage}.db")
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        db.execute("VACUUM")
        size[storage] = os.path.getsize(shop.path(f"{storage}.db"))
    assert 0.45 < size["f16"] / size["f32"] < 0.56, size
    assert 0.22 < size["sq8"] / size["f32"] < 0.32, size


def test_memory_is_less(shop):
    vectors = gaussian(4000, 256)
    loaded, predicted = {}, {}
    for storage in ("f32", "f16", "sq8"):
        db = make(shop, 256, storage, vectors, ", index=exact", name=f"{storage}.db")
        rows(db, "SELECT rowid FROM t(?, 5)", blob(vectors[0]))
        predicted[storage], loaded[storage] = rows(db, "SELECT memory_bytes, loaded FROM rec_indexes WHERE name = 't'")[0]
    for what in (loaded, predicted):
        assert what["sq8"] < what["f16"] < what["f32"], what
        assert what["f32"] - what["f16"] > 0.9 * 4000 * 256 * 2, what
    equal([row[0] for row in rows(db, "SELECT storage FROM rec_indexes")], ["sq8"])


def test_transactions_reopening_and_copies(shop):
    for storage in ("f16", "sq8"):
        db = make(shop, 8, storage, gaussian(100, 8), ", metric=l2, index=HNSW32", name=f"{storage}.db")
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        query = blob(gaussian(1, 8, 5)[0])
        expected = rows(db, "SELECT rowid, score, hex(e) FROM t(?, 100)", query)
        db.execute("BEGIN"); db.execute("UPDATE t SET e = ? WHERE rowid < 50", (query,)); db.execute("DELETE FROM t WHERE rowid > 90")
        equal(one(db, "SELECT count(*) FROM t(?, 100)", query), 90)
        db.execute("ROLLBACK")
        equal(rows(db, "SELECT rowid, score, hex(e) FROM t(?, 100)", query), expected, "a rollback")
        db.execute("VACUUM"); db.execute("ALTER TABLE t RENAME TO u"); db.execute("ALTER TABLE u RENAME TO t")
        db.execute("VACUUM INTO ?", (shop.path(f"{storage}-copy.db"),))
        for connection in (db, shop.connect(f"{storage}.db"), shop.connect(f"{storage}-copy.db")):
            equal(rows(connection, "SELECT rowid, score, hex(e) FROM t(?, 100)", query), expected)
            connection.execute("INSERT INTO t(t) VALUES('integrity-check')")


def test_bad_vectors_are_refused_as_ever(shop):
    nan, infinity = numpy.array([1, float("nan"), 3], "<f4").tobytes(), numpy.array([float("-inf"), 2, 3], "<f4").tobytes()
    for storage in ("f16", "sq8"):
        db = make(shop, 3, storage, [[1, 2, 3]])
        for value, says in ((nan, "element 2 is NaN"), (infinity, "element 1 is NaN or infinite"), ("[1,2]", "2 elements"), (blob([1, 2, 3, 4]), "4 elements"), (b"\0" * 6, ""), (b"\0" * 7, "no whole number"), (None, "e is NULL"), ("hello", "hello")):
            refused(db, "INSERT INTO t(e) VALUES(?)", value, says=says)
            refused(db, "UPDATE t SET e = ? WHERE rowid = 1", value, says=says)
        equal(rows(db, "SELECT count(*) FROM t"), [(1,)])


def test_damaged_shadow_rows_are_named(shop):
    for storage in ("f16", "sq8"):
        for number, value in enumerate(("x''", "x'00'", "zeroblob(4 * 8)", "zeroblob(5)", "'text'", "NULL", "7", "x'7c007c007c007c007c007c007c007c00'", "x'ffffffffffffffffffffffffffffffff'", "x'0000c07f' || zeroblob(8)")):
            db = make(shop, 8, storage, gaussian(20, 8), name=f"{storage}{number}.db")
            rows(db, "SELECT rowid FROM t(?, 3)", blob([0] * 8))
            try:
                db.execute(f"UPDATE t_vectors SET vector = {value} WHERE id = 7")
            except Exception as error:
                assert "constraint" in str(error), error
                continue
            harmless = True
            try:
                harmless = numpy.isfinite(numpy.frombuffer(one(db, "SELECT e FROM t WHERE rowid = 7"), "<f4")).all()
            except Exception as error:
                assert str(error)
                harmless = False
            db.close()
            db = shop.connect(f"{storage}{number}.db")
            db.execute("INSERT INTO t(t) VALUES('drop-cache')")
            if not harmless:
                refused(db, "INSERT INTO t(t) VALUES('integrity-check')", says="vector 7")
                refused(db, "SELECT rowid FROM t(?, 30)", blob([0] * 8), says="7")


def test_arguments(shop):
    db = shop.connect()
    before = rows(db, "SELECT * FROM sqlite_schema")
    for arguments, says in (("storage=f64", ("storage=f64", "f32|f16|sq8")), ("storage=", "storage="), ("storage=f16, storage=f16", "twice"), ("storage=F17", "storage=F17"), ("storag=f16", ("storag", "storage"))):
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_index(e float[2], {arguments})", says=says)
        equal(rows(db, "SELECT * FROM sqlite_schema"), before)
    db.execute("CREATE VIRTUAL TABLE a USING rec_index(e float[2], storage='f16')")
    db.execute("CREATE VIRTUAL TABLE b USING rec_index(storage = sq8, e float[2])")
    db.execute("CREATE VIRTUAL TABLE c USING rec_index(e float[2])")
    equal(rows(db, "SELECT name, storage FROM rec_indexes ORDER BY name"), [("a", "f16"), ("b", "sq8"), ("c", "f32")])


def test_with_content_the_table_keeps_its_vectors_and_memory_the_rounded_ones(shop):
    vectors = gaussian(120, 16)
    q = gaussian(1, 16, 9)[0]
    for storage in ("f16", "sq8"):
        for metric in METRICS:
            for number, engine in enumerate(ENGINES):
                name = f"{storage}{metric}{number}.db"
                db = shop.connect(name)
                db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB)")
                db.executemany("INSERT INTO products VALUES(?, ?)", [(i, blob(v)) for i, v in enumerate(vectors, 1)])
                db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[16], content=products, storage={storage}, metric={metric}, index={engine})")
                db.execute("INSERT INTO t(t) VALUES('optimize')")
                for step in range(3):
                    content = {id: half(v) if storage == "f16" else sq8(v)[0] for id, v in back(db, "(SELECT id AS rowid, e FROM products)").items()}
                    equal(rows(db, "SELECT rowid, e FROM t"), rows(db, "SELECT id, e FROM products ORDER BY id"), "the column is the table's")
                    exact = dict(zip(content, scores(metric, list(content.values()), q)))
                    for connection in (db, shop.connect(name)):
                        got = rows(connection, "SELECT rowid, score FROM t(?, 200)", blob(q))
                        equal(sorted(id for id, _ in got), sorted(content))
                        for id, score in got:
                            assert math.isclose(score, exact[id], rel_tol=1e-5, abs_tol=1e-6) and (storage == "sq8" or math.isclose(score, exact[id], rel_tol=1e-11, abs_tol=1e-11)), f"{storage} {metric} {engine} step {step}: row {id}: {score}, exact {exact[id]}"
                    db.execute("UPDATE products SET e = ? WHERE id BETWEEN ? AND ?", (blob(gaussian(1, 16, 50 + step)[0]), 10 * step, 10 * step + 5))  # beside what was built
                    db.execute("DELETE FROM products WHERE id = ?", (100 + step,))
                db.execute("INSERT INTO t(t) VALUES('integrity-check')")
    db = shop.connect("large.db")
    db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB)")
    db.execute("INSERT INTO products VALUES(1, ?), (2, ?)", (blob([1, 2]), blob([3, 70000])))
    for storage in ("f32", "sq8"):
        db.execute(f"CREATE VIRTUAL TABLE t_{storage} USING rec_index(e float[2], content=products, storage={storage})")
        equal(len(rows(db, f"SELECT rowid FROM t_{storage}('[1,1]', 5)")), 2)
    try:
        db.execute("CREATE VIRTUAL TABLE t_f16 USING rec_index(e float[2], content=products, storage=f16)")
        refused(db, "SELECT rowid FROM t_f16('[1,1]', 5)", says=("row 2", "65504"))
        db.execute("UPDATE products SET e = ? WHERE id = 2", (blob([3, 4]),))
        equal(len(rows(db, "SELECT rowid FROM t_f16('[1,1]', 5)")), 2)
    except Exception as error:
        assert "65504" in str(error), error


def test_a_text_key_and_a_storage_go_together(shop):
    for storage in ("f16", "sq8"):
        db = shop.connect()
        db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[4], sku text primary key, metric=l2, storage={storage}, index=HNSW32)")
        vectors = gaussian(50, 4)
        db.executemany("INSERT INTO t(e, sku) VALUES(?, ?)", [(blob(v), f"k{i}") for i, v in enumerate(vectors)])
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        kept = {key: numpy.frombuffer(e, "<f4").astype(float) for key, e in rows(db, "SELECT sku, e FROM t")}
        expected = sorted(kept, key=lambda key: numpy.linalg.norm(kept[key] - kept["k7"]))[1:6]
        equal([key for key, in rows(db, "SELECT sku FROM t WHERE similar_to = 'k7' AND k = 5 AND options = ?", WIDE)], expected)
        db.execute("INSERT OR REPLACE INTO t(e, sku) VALUES(?, 'k7')", (blob(kept["k9"]),))
        same = numpy.frombuffer(one(db, "SELECT e FROM t WHERE sku = 'k7'"), "<f4")
        assert numpy.abs(same - kept["k9"]).max() < 1e-6 * numpy.abs(kept["k9"]).max()
