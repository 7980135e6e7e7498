"""sqlite_recommend.files: round trips with the tools themselves (NumPy, pandas, FAISS, implicit) and with files written byte by byte."""
import importlib
import json
import os
import struct
import unittest

import numpy
import sqlite_recommend
from sqlite_recommend import files


def tool(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise unittest.SkipTest(f"{name} is not there: {error}")


def draw(n, d, seed=1):
    return numpy.random.default_rng(seed).standard_normal((n, d)).astype("f4")


def refused(call, *words):
    try:
        call()
    except files.FormatError as error:
        assert all(word in str(error) for word in words), error
        return
    raise AssertionError(f"not refused: {words}")


def test_files_of_vectors_byte_by_byte(folder):
    at = lambda name: os.path.join(folder, name)
    with open(at("a.fvecs"), "wb") as file:
        file.write(struct.pack("<i3f", 3, 1, 2, 3) + struct.pack("<i3f", 3, -.5, 0, 9))
    with open(at("a.bvecs"), "wb") as file:
        file.write(struct.pack("<i2B", 2, 7, 255))
    with open(at("a.ibin"), "wb") as file:
        file.write(struct.pack("<II4i", 2, 2, 1, -2, 3, 1 << 30))
    assert files.read_vectors(at("a.fvecs"))[1].tolist() == [[1, 2, 3], [-.5, 0, 9]]
    assert files.read_vectors(at("a.bvecs"))[1].tolist() == [[7, 255]]
    assert files.read_vectors(at("a.ibin"))[1].tolist() == [[1, -2], [3, 1 << 30]]
    for name in ("a.fvecs", "a.bvecs", "a.ibin"):
        files.write_vectors(at("b" + name), *files.read_vectors(at(name)))
        assert open(at("b" + name), "rb").read() == open(at(name), "rb").read(), name


def test_files_of_vectors_there_and_back(folder):
    at, vectors = lambda name: os.path.join(folder, name), draw(57, 9)
    for name in ("a.npy", "a.fvecs", "a.fbin"):
        files.write_vectors(at(name), None, vectors)
        assert (files.read_vectors(at(name))[1] == vectors).all(), name
    assert (numpy.load(at("a.npy")) == vectors).all()
    files.write_vectors(at("a.u8bin"), None, numpy.arange(12).reshape(3, 4))
    assert files.read_vectors(at("a.u8bin"))[1].tolist() == numpy.arange(12).reshape(3, 4).tolist()
    refused(lambda: files.write_vectors(at("b.i8bin"), None, vectors), "int8", "lose")
    refused(lambda: files.write_vectors(at("b.fbin"), None, numpy.array([[2**60 + 1]])), "float32", "lose")
    assert not os.path.exists(at("b.i8bin"))
    holes = numpy.array([[1, numpy.nan]], "f4")
    files.write_vectors(at("holes.fbin"), None, holes)
    assert numpy.array_equal(files.read_vectors(at("holes.fbin"))[1], holes, equal_nan=True)
    for name in ("a.npy", "a.fvecs", "a.fbin"):  # onto the file that the vectors are mapped from
        files.write_vectors(at(name), *files.read_vectors(at(name)))
        assert (files.read_vectors(at(name))[1] == vectors).all(), name
    assert not [name for name in os.listdir(folder) if name.endswith(".new")]


def test_files_that_are_damaged(folder):
    at = lambda name: os.path.join(folder, name)
    for name, raw, word in (("cut.fvecs", struct.pack("<i2f", 3, 1, 2), "whole number"), ("none.fvecs", b"", "short"), ("zero.fvecs", struct.pack("<i", 0), "vectors of 0"),
                            ("two.fvecs", struct.pack("<i2f", 2, 1, 2) + struct.pack("<i2f", 1, 1, 2), "several lengths"), ("cut.fbin", struct.pack("<IIf", 2, 2, 1), "its size does not"),
                            ("huge.fbin", struct.pack("<II", 2**32 - 1, 2**32 - 1), "its size does not"), ("x.npy", b"\x93NUMPY\x01\x00garbage", "x.npy"), ("x.xyz", b"", "unknown suffix")):
        with open(at(name), "wb") as file:
            file.write(raw)
        refused(lambda: files.read_vectors(at(name)), word)
    numpy.save(at("line.npy"), numpy.arange(3.))
    refused(lambda: files.read_vectors(at("line.npy")), "one vector a row")
    db = sqlite_recommend.connect(":memory:")
    for name, raw in (("bad.npz", b"PK not a zip"), ("empty.npz", b"")):
        with open(at(name), "wb") as file:
            file.write(raw)
        try:
            files.load_factors(db, "x", at(name))
            raise AssertionError(name)
        except (files.FormatError, OSError):
            pass
    numpy.savez(at("other.npz"), a=numpy.eye(2))
    refused(lambda: files.load_factors(db, "x", at("other.npz")), "no user_factors")
    refused(lambda: files.load_factors(db, "x", at("line.npy")), "one array")
    for missing in ("gone.npy", "gone.fbin", "gone.npz"):
        try:
            files.read_vectors(at(missing)) if missing != "gone.npz" else files.load_factors(db, "x", at(missing))
            raise AssertionError(missing)
        except FileNotFoundError:
            pass


def test_files_into_an_index_and_out(folder):
    db, vectors = sqlite_recommend.connect(os.path.join(folder, "a.db")), draw(40, 6)
    assert files.load_index(db, "near it", vectors, metric="l2", index="exact") == 40
    assert files.load_index(db, "near it", draw(2, 6, 9), numpy.array([100, 77])) == 2  # one that is there
    ids, out = files.index_vectors(db, "near it")
    assert ids == [*range(1, 41), 77, 100] and (out[:40] == vectors).all() and (out[40:] == draw(2, 6, 9)[::-1]).all()
    found = [row[0] for row in db.execute('SELECT rowid FROM "near it" WHERE embedding MATCH ? AND k = 5', (vectors[3],))]
    assert found == (numpy.argsort(((out - vectors[3]) ** 2).sum(1))[:5] + 1).tolist()
    files.load_index(db, "named", vectors[:3], ["b", "a", "c"])
    assert dict(zip(*files.index_vectors(db, "named"))).keys() == {"a", "b", "c"}
    assert (dict(zip(*files.index_vectors(db, "named")))["a"] == vectors[1]).all()
    refused(lambda: files.load_index(db, "x", vectors, [1]), "1 ids for 40")
    refused(lambda: files.index_vectors(db, "sqlite_master"), "no rec_index")
    db.execute("CREATE VIRTUAL TABLE bare USING rec_index(price real, e float[2])")
    ids, none = files.index_vectors(db, "BARE")
    assert ids == [] and none.shape == (0, 2)
    files.write_vectors(os.path.join(folder, "none.fbin"), ids, none)
    db.execute("CREATE TABLE plain(a BLOB /* rec_index */)")
    refused(lambda: files.index_vectors(db, "plain"), "no rec_index")
    db.execute("CREATE VIRTUAL TABLE odd USING rec_index([a key] text primary key, \"the vector\" float[6])")
    files.load_index(db, "odd", vectors[:2], ["x", "y"])
    assert dict(zip(*files.index_vectors(db, "odd")))["y"].tolist() == vectors[1].tolist()


def test_files_all_or_nothing(folder):
    path = os.path.join(folder, "a.db")
    db, other = sqlite_recommend.connect(path), sqlite_recommend.connect(path)
    tables = lambda: [row[0] for row in other.execute("SELECT name FROM sqlite_master ORDER BY 1")]
    holes = draw(5, 3)
    holes[3, 1] = numpy.nan
    for open_before in (False, True):
        if open_before:
            db.execute("CREATE TABLE mine(x)")
            db.execute("INSERT INTO mine VALUES(1)")
        for call in (lambda: files.load_index(db, "near", holes), lambda: files.load_index(db, "near", draw(5, 3), metric="l2', index='HNSW32"),
                     lambda: files.load_factors(db, "als", type("Model", (), {"user_factors": draw(2, 3), "item_factors": holes})())):
            try:
                call()
                raise AssertionError("taken")
            except AssertionError:
                raise
            except Exception:
                assert db.in_transaction == open_before
        db.commit()
        assert tables() == (["mine"] if open_before else [])
    assert db.execute("SELECT x FROM mine").fetchall() == [(1,)]
    assert files.load_index(db, "near", draw(5, 3)) == 5 and tables() == ["mine"]  # not committed: that is the caller's
    db.commit()
    assert "near" in tables()


def test_files_parquet(folder):
    tool("pyarrow")
    pandas, vectors = tool("pandas"), draw(8, 4)
    path = os.path.join(folder, "a.parquet")
    pandas.DataFrame({"price": range(8), "item": list("abcdefgh"), "embedding": list(vectors)}).to_parquet(path)
    ids, read = files.read_vectors(path)
    assert ids == list("abcdefgh") and (read == vectors).all()
    files.write_vectors(path, ids, vectors)
    frame = pandas.read_parquet(path)
    assert frame.id.tolist() == ids and (numpy.array(frame.vector.tolist(), "f4") == vectors).all()
    pandas.DataFrame({"vector": [[1., 2.], None]}).to_parquet(path)
    refused(lambda: files.read_vectors(path), "1 rows have no vector")
    with open(path, "wb") as file:
        file.write(b"PAR1 and then nothing")
    try:
        files.read_vectors(path)
        raise AssertionError("read")
    except (files.FormatError, OSError):
        pass
    pandas.DataFrame({"price": [1]}).to_parquet(path)
    refused(lambda: files.read_vectors(path), "no column called vector", "price")
    # What Spark's ALSModel.save() writes: a folder of parts, id and features.
    for which, n in (("user", 3), ("item", 5)):
        os.makedirs(os.path.join(folder, "als", f"{which}Factors"))
        pandas.DataFrame({"id": range(10, 10 + n), "features": list(draw(n, 2, n))}).to_parquet(os.path.join(folder, "als", f"{which}Factors", "part-0.parquet"))
    db = sqlite_recommend.connect(os.path.join(folder, "a.db"))
    assert files.load_factors(db, "als", os.path.join(folder, "als")) == (3, 5)
    asked = "SELECT rowid, score FROM als_items WHERE embedding MATCH (SELECT vector FROM als_users WHERE user = 11) AND k = 2"
    scores = draw(5, 2, 5).astype("f8") @ draw(3, 2, 3)[1]
    assert [(row, round(score, 5)) for row, score in db.execute(asked)] == [(10 + i, round(scores[i], 5)) for i in numpy.argsort(-scores)[:2]]


def test_files_of_spark_itself(folder):
    """A model that Spark 3.5 saved (tests/golden/make_spark_als.py): what Spark recommends by it, and the same folder back."""
    parquet = tool("pyarrow.parquet")
    golden = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "spark_als")
    db = sqlite_recommend.connect(os.path.join(folder, "a.db"))
    users, items = files.load_factors(db, "als", golden)
    with open(os.path.join(golden, "recommended.json"), encoding="utf-8") as file:
        for user, wanted in json.load(file).items():
            got = db.execute("SELECT rowid, score FROM als_items WHERE embedding MATCH (SELECT vector FROM als_users WHERE user = ?) AND k = 5", (int(user),)).fetchall()
            assert [item for item, _ in got] == [item for item, _ in wanted] and numpy.allclose([score for _, score in got], [score for _, score in wanted], atol=1e-6)
    back = os.path.join(folder, "back")
    keys = files.save_factors(db, "als", back)
    assert (len(keys[0]), len(keys[1])) == (users, items)
    for which in ("user", "item"):
        ours, theirs = (parquet.read_table(os.path.join(place, f"{which}Factors")) for place in (back, golden))
        described = lambda table: (table.schema.names, str(table.schema.field("id").type), str(table.schema.field("features").type.value_type))
        assert described(ours) == described(theirs)
        as_rows = lambda table: sorted((row["id"], tuple(row["features"])) for row in table.to_pylist())
        assert as_rows(ours) == as_rows(theirs)
    with open(os.path.join(back, "metadata", "part-00000"), encoding="utf-8") as ours, open(os.path.join(golden, "metadata", "part-00000"), encoding="utf-8") as theirs:
        ours, theirs = json.load(ours), json.load(theirs)
        assert ours.keys() == theirs.keys() and all(ours[key] == theirs[key] for key in ("class", "rank"))
    assert files.load_factors(db, "again", back) == (users, items)
    refused(lambda: files.save_factors(db, "als", back), "is there already")
    db.execute("INSERT INTO als_users SELECT 'anna', vector FROM als_users LIMIT 1")
    refused(lambda: files.save_factors(db, "als", os.path.join(folder, "other")), "'anna'", "whole numbers")
    assert not os.path.exists(os.path.join(folder, "other"))


def test_files_implicit(folder):
    implicit, sparse = tool("implicit.als"), tool("scipy.sparse")
    draws = numpy.random.default_rng(3)
    seen = sparse.csr_matrix((draws.random((60, 30)) < .2).astype("f4"))
    model = implicit.AlternatingLeastSquares(factors=8, iterations=3, random_state=1, num_threads=1)
    model.fit(seen, show_progress=False)
    path = os.path.join(folder, "als.npz")
    model.save(path)
    db = sqlite_recommend.connect(os.path.join(folder, "a.db"))
    users, items = [f"u{i}" for i in range(60)], [f"i{i}" for i in range(30)]
    for name, source in (("kept", path), ("living", model)):
        assert files.load_factors(db, name, source, users, items) == (60, 30)
        wanted, scores = model.recommend(7, seen[7], N=5, filter_already_liked_items=False)
        got = db.execute(f"SELECT id, score FROM {name}_items WHERE embedding MATCH (SELECT vector FROM {name}_users WHERE user = 'u7') AND k = 5").fetchall()
        assert [key for key, _ in got] == [items[i] for i in wanted] and numpy.allclose([score for _, score in got], scores, atol=1e-5)
    refused(lambda: files.load_factors(db, "short", path, users[:5], items), "5 keys for 60 users")
    # the way back: implicit's own load() gives the same lists
    again = os.path.join(folder, "again.npz")
    user_keys, item_keys = files.save_factors(db, "kept", again)
    loaded = type(model).load(again)
    row = user_keys.index("u7")
    wanted, scores = model.recommend(7, seen[7], N=5, filter_already_liked_items=False)
    got, theirs = loaded.recommend(row, sparse.csr_matrix((1, 30), dtype="f4"), N=5, filter_already_liked_items=False)
    assert [item_keys[i] for i in got] == [items[i] for i in wanted] and numpy.allclose(scores, theirs, atol=1e-5)
    # and a model of ours there
    db.execute("CREATE TABLE seen(user, item)")
    db.executemany("INSERT INTO seen VALUES(?, ?)", [(int(u), int(i)) for u, i in zip(*seen.nonzero())])
    db.execute("CREATE VIRTUAL TABLE ours USING rec_model(events=seen, user=user, item=item, algorithm=ials, factors=8)")
    db.execute("INSERT INTO ours(ours) VALUES('train')")
    keys, factors = files.item_factors(db, "ours")
    order = numpy.argsort(keys)
    theirs = implicit.AlternatingLeastSquares(factors=8)
    theirs.item_factors, theirs.user_factors = factors[order], numpy.zeros((60, 8), "f4")
    near, _ = theirs.similar_items(4, N=4)
    cosine = (factors[order] @ factors[order][4]) / numpy.linalg.norm(factors[order], axis=1)
    assert near.tolist() == numpy.argsort(-cosine)[:4].tolist() and keys[order[0]] == 0


def test_files_faiss(folder):
    faiss = tool("faiss")
    db, vectors = sqlite_recommend.connect(os.path.join(folder, "a.db")), draw(300, 12)
    vectors[17] = 0
    ids = [int(i) for i in numpy.random.default_rng(4).permutation(1000)[:300]]
    for metric in ("cosine", "ip", "l2"):
        files.load_index(db, metric, vectors, ids, metric=metric)
        path = os.path.join(folder, metric + ".faiss")
        files.write_faiss(path, *files.index_vectors(db, metric), metric=metric)
        index = faiss.read_index(path)
        assert (index.ntotal, index.d, index.is_trained) == (300, 12, True) and index.metric_type == (faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
        for query in draw(20, 12, 8):
            score, found = index.search((query / numpy.linalg.norm(query) if metric == "cosine" else query)[None], 10)
            rows = db.execute(f"SELECT rowid, score FROM {metric} WHERE embedding MATCH ? AND k = 10", (query,)).fetchall()
            assert found[0].tolist() == [row[0] for row in rows]
            want = numpy.array([row[1] for row in rows])
            assert numpy.allclose(score[0], want ** 2 if metric == "l2" else want, rtol=1e-4, atol=1e-5)
        # and back
        flat = faiss.downcast_index(index.index).reconstruct_n(0, 300)
        back = dict(zip(faiss.vector_to_array(index.id_map).tolist(), flat))
        if metric != "cosine":
            assert all((back[i] == v).all() for i, v in zip(*files.index_vectors(db, metric)))
    refused(lambda: files.write_faiss(os.path.join(folder, "x"), ["a"], vectors[:1]), "whole number")
