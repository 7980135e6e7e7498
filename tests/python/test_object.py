"""The object inside the wheel: what it needs and offers, its own OpenMP, and other packages in the same process."""
import glob
import os
import re
import subprocess
import sys
import zipfile

import numpy
import sqlite_recommend

OBJECT = sqlite_recommend.loadable_path() + ".so"


def test_it_needs_an_old_c_library_alone_and_offers_one_name(folder):
    table = subprocess.run(["objdump", "-T", OBJECT], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", table)}
    assert max(versions) <= (2, 28), max(versions)
    assert not re.findall(r"GLIBCXX|CXXABI|GOMP|OMP_", table)
    assert [line.split()[-1] for line in table.splitlines() if ".text" in line] == ["sqlite3_recommend_init"]
    needed = re.findall(r"NEEDED +(\S+)", subprocess.run(["objdump", "-p", OBJECT], capture_output=True, text=True, check=True).stdout)
    assert set(needed) <= {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}, needed


def test_the_wheel_says_what_it_is(folder):
    wheel, = glob.glob(os.path.join(os.environ["REC_BUILD"], "dist", "raw", "*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        said = archive.read(next(name for name in names if name.endswith(".dist-info/WHEEL"))).decode()
        assert "Root-Is-Purelib: false" in said and re.search(r"Tag: py3-none-linux_", said), said
        licences = archive.read("sqlite_recommend/LICENSES.txt").decode()
        for inside in ("FAISS", "openblas", "jansson", "libsodium", "utf8proc", "libstdc++"):
            assert inside in licences, inside
    assert {"sqlite_recommend/py.typed", "sqlite_recommend/recommend.so", "sqlite_recommend/online_retail.csv.xz"} <= set(names)
    assert os.path.getsize(wheel) < 20e6


def built(db, factory, vectors, threads):
    db.execute("DROP TABLE IF EXISTS v")
    db.execute(f"CREATE VIRTUAL TABLE v USING rec_index(e float[{vectors.shape[1]}], metric=l2, index='{factory}')")
    db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", enumerate(vectors))
    db.execute("INSERT INTO v(v, arg) VALUES('optimize', ?)", (f'{{"build_threads": {threads}}}',))


def test_structures_are_built_on_one_thread_and_on_many(folder):
    """What FAISS runs by OpenMP: clustering, codes, graphs; recall beside a scan in NumPy, and where threads may change nothing the same lists."""
    draw = numpy.random.default_rng(3)
    vectors, asked = draw.standard_normal((6000, 16)).astype("f4"), draw.standard_normal((50, 16)).astype("f4")
    nearest = [set(numpy.argsort(((vectors - one) ** 2).sum(1))[:10]) for one in asked]
    db = sqlite_recommend.connect(":memory:")
    for factory, least, same in (("IVF32,Flat", .5, True), ("IVF16,PQ8x4", .2, True), ("HNSW16", .9, False), ("SQ8", .95, True)):
        lists = {}
        for threads in (1, 2, 7):
            built(db, factory, vectors, threads)
            lists[threads] = [[row[0] for row in db.execute("SELECT rowid FROM v WHERE e MATCH ? AND k = 10", (one,))] for one in asked]
            recall = sum(len(set(found) & wanted) for found, wanted in zip(lists[threads], nearest)) / 500
            assert recall >= least, (factory, threads, recall)
        assert not same or lists[1] == lists[2] == lists[7], factory


ORDERS = """
import sys
def ours():
    import sqlite_recommend, numpy
    db = sqlite_recommend.connect(":memory:")
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?)", [(u, (u * 3 + i * i) % 50) for u in range(200) for i in range(6)])
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm=ease)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    print(db.execute("SELECT item, round(score, 9) FROM m WHERE user = 3 AND k = 3").fetchall())
def theirs():
    for name in sys.argv[2].split(","):
        try:
            __import__(name)
        except ImportError:
            if len(sys.argv) > 3: raise
    import numpy
    a = numpy.random.default_rng(1).standard_normal((300, 300))
    print(round(float(numpy.linalg.eigvalsh(a @ a.T)[-1]), 6))
    if "sklearn" in sys.modules:
        from sklearn.cluster import KMeans
        print(round(float(KMeans(3, n_init=1, random_state=1).fit(a).inertia_), 4))
    if "faiss" in sys.modules:
        import faiss
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(300), 300, 4)
        index.train(a.astype("f4")), index.add(a.astype("f4"))
        print(index.search(a[:2].astype("f4"), 1)[1].tolist())
    if "lightgbm" in sys.modules:
        import lightgbm
        print(round(float(lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(a, a[:, 0]).predict(a[:1])[0]), 6))
parts = [ours, theirs] if sys.argv[1] == "ours" else [theirs, ours]
if sys.argv[1] == "theirs twice": parts = [theirs, ours, theirs]
for part in parts:
    part()
"""
PACKAGES = "numpy,scipy.linalg,sklearn,faiss,lightgbm,xgboost"


def test_others_in_the_process_whoever_comes_first(folder):
    said = {}
    for order in ("ours", "theirs", "theirs twice"):
        done = subprocess.run([sys.executable, "-c", ORDERS, order, PACKAGES, *(["all"] if "REC_CROWD" in os.environ else [])], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said[order] = done.stdout.splitlines()
    assert sorted(said["ours"]) == sorted(said["theirs"]) and said["theirs twice"][-1] == said["ours"][-1], said
