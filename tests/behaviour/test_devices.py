"""device=: errors and fall-backs where there is no GPU, the same answers as the CPU's where there is one."""
import contextlib, os, random, shutil, sqlite3, struct, subprocess, sys, threading, unittest

from support import EXTENSION, PLAYED, equal, gpu_libraries, gpu_library, make_events, make_model, one, refused, rows

PLUGIN = os.path.join(os.path.dirname(EXTENSION), "recommend_gpu.so")


def devices(db):
    return {row[0]: row[1:] for row in rows(db, "SELECT device, kind, state, reason, memory_total FROM rec_devices")}


def has_gpu(db):
    return "gpu:0" in devices(db)


def fill(db, name="t", n=400, dim=8, more="", seed=1):
    draw = random.Random(seed)
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_index(e float[{dim}], kind integer{more})")
    db.execute("BEGIN")
    for i in range(n):
        db.execute(f"INSERT INTO {name}(rowid, e, kind) VALUES(?, ?, ?)", (i + 1, struct.pack(f"<{dim}f", *(draw.gauss(0, 1) for _ in range(dim))), i % 5))
    db.execute("COMMIT")
    db.execute(f"CREATE TABLE IF NOT EXISTS q_{name} AS SELECT rowid AS id, e AS v FROM {name} WHERE rowid <= 40")


def mapped(process="self"):
    with open(f"/proc/{process}/maps") as lines:
        return {os.path.basename(line.split()[-1]) for line in lines if ".so" in line}


def test_rec_devices_lists_the_cpu_and_says_why_there_is_no_gpu(shop):
    db = shop.connect()
    got = devices(db)
    equal(got["cpu"][:3], ("cpu", "ready", None))
    assert got["cpu"][3] > 1 << 28
    if "gpu" in got:
        kind, state, reason, memory = got["gpu"]
        equal((kind, state, memory), ("gpu", "unavailable", None))
        assert reason and (os.path.exists(PLUGIN) or "recommend_gpu.so is not beside" in reason), reason


def test_no_cuda_library_is_mapped_until_a_gpu_is_asked_for(shop):
    script = """import sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
db.executescript('''CREATE VIRTUAL TABLE t USING rec_index(e float[2], device=auto); INSERT INTO t(e) VALUES('[1,2]'), ('[3,4]');''')
print(db.execute("SELECT rowid FROM t('[1,2]', 1)").fetchall(), *[line.split()[-1] for line in open("/proc/self/maps") if "cuda" in line or "cublas" in line or "recommend_gpu" in line])"""
    done = subprocess.run([sys.executable, "-c", script, EXTENSION], capture_output=True, text=True, check=True)
    equal(done.stdout.strip(), "[(1,)]", "a small search with device=auto stays on the CPU, and opens nothing")


def test_a_device_that_is_not_there_is_an_error_and_auto_is_not(shop):
    db = shop.connect()
    fill(db, n=3000, dim=64)
    want = rows(db, "SELECT id, rank, rowid, score FROM rec_search('t', 'q_t', 'id', 'v', 10)")
    for device in ("gpu:77", "gpu" if not has_gpu(db) else "gpu:78"):
        for sql in ("SELECT * FROM rec_search('t', 'q_t', 'id', 'v', 10, ?)", "SELECT rowid FROM t WHERE e MATCH (SELECT v FROM q_t) AND k = 5 AND options = ?"):
            refused(db, sql, f'{{"device":"{device}"}}', says="device=gpu")
    equal(rows(db, "SELECT id, rank, rowid, score FROM rec_search('t', 'q_t', 'id', 'v', 10, '{\"device\":\"auto\"}')"), want)
    db.execute("CREATE TABLE many AS SELECT a.id * 1000 + b.id AS id, a.v AS v FROM q_t a, q_t b")
    got = rows(db, "SELECT id / 1000, rank, rowid, score FROM rec_search('t', 'many', 'id', 'v', 10, '{\"device\":\"auto\"}') WHERE id % 1000 = 1")
    equal(got, want, "a batch that is worth a GPU")
    if not has_gpu(db):
        assert "gpu" in devices(db)["gpu"][2] or "CUDA" in devices(db)["gpu"][2], devices(db)
    equal(rows(db, "SELECT id, rank, rowid, score FROM rec_search('t', 'q_t', 'id', 'v', 10, '{\"device\":\"cpu\"}')"), want)


def test_device_names(shop):
    db = shop.connect()
    for name in ("tpu", "gpu:", "gpu:-1", "gpu:1x", "gpu: 1", "gpu:+1", "gpu:al", "gpu:all1", "GPU", "gpu:99999", ""):
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_index(e float[2], device='{name}')", says=("device=", "gpu:N"))
    fill(db, more=", device=cpu")
    refused(db, "SELECT rowid FROM t WHERE e MATCH (SELECT v FROM q_t) AND k = 5 AND options = '{\"device\":\"cuda\"}'", says="device=cuda (cpu, gpu, gpu:N, gpu:all, auto)")
    refused(db, "CREATE VIRTUAL TABLE x USING rec_index(e float[2], device=cpu, device=cpu)", says="given twice")
    db.execute("CREATE VIRTUAL TABLE far USING rec_index(e float[2], device=gpu:900)")
    db.execute("INSERT INTO far(e) VALUES('[1,2]')")
    refused(db, "SELECT rowid FROM far('[1,2]', 1)", says="device=gpu")
    equal(rows(db, "SELECT rowid FROM far WHERE e MATCH '[1,2]' AND k = 1 AND options = '{\"device\":\"cpu\"}'"), [(1,)], "a call may say another device")
    equal(rows(db, "SELECT rowid FROM far"), [(1,)], "and a scan asks none")


def test_a_plug_in_that_is_none_is_a_reason(shop):
    folder = shop.path("lib")
    os.mkdir(folder)
    shutil.copy(EXTENSION + ".so", folder)
    with open(os.path.join(folder, "recommend_gpu.so"), "w") as file:
        file.write("not a library")
    script = """import sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
print(db.execute("SELECT state, reason FROM rec_devices WHERE kind = 'gpu'").fetchall())"""
    done = subprocess.run([sys.executable, "-c", script, os.path.join(folder, "recommend")], capture_output=True, text=True, check=True)
    assert "unavailable" in done.stdout and "cannot be opened" in done.stdout, done.stdout


def test_the_plug_in_is_looked_for_where_the_library_was(shop):
    """Loaded by a relative name: another folder that later fits the name is not asked."""
    for folder in ("here/build", "elsewhere/build"):
        os.makedirs(shop.path(folder))
    shutil.copy(EXTENSION + ".so", shop.path("here/build"))
    with open(shop.path("elsewhere/build/recommend_gpu.so"), "w") as file:
        file.write("not ours")
    script = """import os, sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
os.chdir(sys.argv[1] + "/here")
db.load_extension("build/recommend")
os.chdir(sys.argv[1] + "/elsewhere")
print(db.execute("SELECT reason FROM rec_devices WHERE kind = 'gpu'").fetchone()[0])"""
    done = subprocess.run([sys.executable, "-c", script, shop.folder], capture_output=True, text=True, check=True)
    assert "not beside" in done.stdout, done.stdout


def test_a_forked_child_of_a_process_that_asked_for_a_gpu_still_searches(shop):
    script = """import os, sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
db.executescript('''CREATE VIRTUAL TABLE t USING rec_index(e float[2]); INSERT INTO t(e) VALUES('[1,2]'), ('[3,4]');''')
db.execute("SELECT * FROM rec_devices").fetchall()
if os.fork() == 0:
    reason = db.execute("SELECT reason FROM rec_devices WHERE kind = 'gpu'").fetchone()[0]
    found = db.execute("SELECT rowid FROM t WHERE e MATCH '[3,4]' AND k = 1 AND options = '{\\"device\\":\\"auto\\"}'").fetchall()
    os._exit(0 if found == [(2,)] and ("forked" in reason or "not beside" in reason) else 1)
print(os.WEXITSTATUS(os.wait()[1]))"""
    done = subprocess.run([sys.executable, "-c", script, EXTENSION], capture_output=True, text=True, check=True)
    equal(done.stdout.strip(), "0")


def test_the_plug_in_compiles(shop):
    """Against the CUDA toolkit's headers and those of FAISS's GPU part, which the CPU build keeps; the link is `make gpu`'s."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    cuda = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    if not os.path.exists(os.path.join(cuda, "include", "cuda_runtime.h")):
        raise unittest.SkipTest("no CUDA toolkit under " + cuda)
    if not os.path.exists(os.path.join(os.path.dirname(EXTENSION), "deps.mk")):
        raise unittest.SkipTest("no build tree")
    with open(os.path.join(os.path.dirname(EXTENSION), "deps.mk")) as file:
        faiss = file.read().split(":=")[1].strip()
    headers = shop.path("include")
    shutil.copytree(os.path.join(faiss, "include"), headers)
    for folder, _, files in os.walk(headers):  # as ext/tools/deps.sh does: the name that cuBLAS's header has now
        for name in files:
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if "<cublas.h>" in text:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text.replace("<cublas.h>", "<cublas_v2.h>"))
    done = subprocess.run(["g++", "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-isystem", headers, "-isystem", os.path.join(cuda, "include"), os.path.join(root, "ext", "ann", "gpu_plugin.cpp")], capture_output=True, text=True)
    equal((done.returncode, done.stderr[:500]), (0, ""))


# ---- with a GPU: a real one, and the one that the CPU plays ----

ENGINES = [(index, metric, storage) for metric in ("ip", "l2", "cosine") for index, storage in (("exact", "f32"), ("exact", "f16"), ("exact", "sq8"), ("HNSW16", "f32"), ("IVF16,Flat", "f32"), ("IVF16,SQ8", "f32"), ("IVF16,PQ8", "f32"))]


def each_gpu(shop):
    for library in gpu_libraries() or [gpu_library()]:
        yield shop.connect(None, library)


def played(shop):
    if PLAYED not in gpu_libraries():
        raise unittest.SkipTest("no device that the CPU plays (make test builds it)")
    return shop.connect(None, PLAYED)


def search(db, name, k, device, more="", queries=None):
    return rows(db, f"SELECT id, rank, rowid, score FROM rec_search('{name}', '{queries or 'q_' + name}', 'id', 'v', {k}, ?)", f'{{"device":"{device}"{more}}}')


def free_memory(db):
    return rows(db, "SELECT memory_free FROM rec_devices WHERE kind = 'gpu'")


@contextlib.contextmanager
def room(db, megabytes):
    """The played devices have so much, beside what is held."""
    total = 1 << 30
    held = max(total - free for free, in free_memory(db))
    os.environ["REC_TEST_DEVICE_MB"] = str((held >> 20) + 1 + megabytes)
    try:
        yield
    finally:
        del os.environ["REC_TEST_DEVICE_MB"]


def test_a_gpu_finds_what_the_cpu_finds(shop):
    for db in each_gpu(shop):
        for at, (index, metric, storage) in enumerate(ENGINES):
            name = f"t{at}"
            fill(db, name, n=3000, dim=32, more=f", index='{index}', metric={metric}, storage={storage}", seed=at)
            db.execute(f"INSERT INTO {name}({name}) VALUES('optimize')")
            for change in (None, f"DELETE FROM {name} WHERE rowid IN (3, 5, 7)", f"INSERT INTO {name}(rowid, e, kind) SELECT 9001, e, 1 FROM {name} WHERE rowid = 11"):
                if change:
                    db.execute(change)
                for k in (1, 10, 100):
                    got, want = ({(row[0], row[1]): row[2:] for row in search(db, name, k, device, ',"nprobe":16,"ef":4000')} for device in ("gpu", "cpu"))
                    if index == "exact":
                        equal(got, want, f"{index} {metric} {storage} k={k}")
                    else:
                        same = sum(got[key][0] == want[key][0] for key in want)
                        assert len(got) == len(want) and same >= .9 * len(want), f"{index} {metric}: {same} of {len(want)}"
            for sql in (f"SELECT rowid FROM {name} WHERE e MATCH (SELECT v FROM q_{name} LIMIT 1) AND k = 7 AND kind = 2", f"SELECT rowid FROM {name} WHERE e MATCH (SELECT v FROM q_{name} LIMIT 1) AND k = 7 AND exclude = '[1,2,3]'"):
                equal(len(rows(db, sql + " AND options = '{\"device\":\"gpu\"}'")), 7, f"{index}: {sql}")
            db.execute(f"DROP TABLE {name}")


def test_a_batch_whose_queries_want_more_than_a_device_can_give(shop):
    for db in each_gpu(shop):
        fill(db, n=6000, dim=8)
        many = "[" + ",".join(map(str, range(1, 3001))) + "]"
        for k, more in ((10, f" AND exclude = '{many}'"), (3000, ""), (6000, ""), (1500, " AND kind = 2"), (5, " AND kind IN (1, 2, 3, 4)"), (3, " AND distance < -5"), (0, "")):
            sql = f"SELECT rowid, rank, score FROM t WHERE e MATCH (SELECT v FROM q_t LIMIT 1) AND k = {k}{more} AND options = ?"
            equal(*(rows(db, sql, f'{{"device":"{device}"}}') for device in ("gpu", "cpu")), f"k={k}{more}")


def test_rows_that_a_device_cannot_tell_apart(shop):
    """Equal rows, and rows that differ by less than float32 sees in a sum: the answer is the CPU's, in its order."""
    for db in each_gpu(shop):
        for metric in ("ip", "l2", "cosine"):
            for storage in ("f32", "f16"):
                db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[4], metric={metric}, storage={storage})")
                db.execute("BEGIN")
                for i in range(500):
                    db.execute("INSERT INTO t(rowid, e) VALUES(?, ?)", (i + 1, struct.pack("<4f", 1, 1 + (i * 7 % 500 if i % 2 else 0) * 2 ** -23, .5, 1000 if i == 400 else -1)))
                db.execute("COMMIT")
                db.execute("CREATE TABLE q_t AS SELECT rowid AS id, e AS v FROM t WHERE rowid < 30")
                for k in (1, 7, 40, 480):
                    equal(search(db, "t", k, "gpu"), search(db, "t", k, "cpu"), f"{metric} {storage} k={k}")
                db.execute("DROP TABLE t")
                db.execute("DROP TABLE q_t")


def test_sums_in_another_order_on_every_device(shop):
    """Distances within the stated error change nothing; far ones do, which shows that the device's answers are used."""
    db = played(shop)
    for metric, storage in (("ip", "f32"), ("l2", "f32"), ("cosine", "f16")):
        fill(db, n=4000, dim=32, more=f", metric={metric}, storage={storage}")
        want = search(db, "t", 10, "cpu")
        for millionths, same in ((1, True), (400_000, False)):
            os.environ["REC_TEST_NOISE"] = str(millionths)
            try:
                got = search(db, "t", 10, "gpu")
            finally:
                del os.environ["REC_TEST_NOISE"]
            if same or metric == "ip":
                assert (got == want) == same, (metric, storage, millionths)
        db.execute("DROP TABLE t")
        db.execute("DROP TABLE q_t")


def test_auto_leaves_a_device_that_settles_little(shop):
    """One long row makes the error of a sum larger than what the others differ by."""
    db = played(shop)
    fill(db, n=3000, dim=64, more=", metric=l2")
    db.execute("INSERT INTO t(rowid, e) VALUES(9999, ?)", (struct.pack("<64f", *(1e6 for _ in range(64))),))
    db.execute("CREATE TABLE many AS SELECT a.id * 1000 + b.id AS id, a.v AS v FROM q_t a, q_t b")
    want = search(db, "t", 5, "cpu", queries="many")
    equal(search(db, "t", 5, "gpu", queries="many"), want)
    equal(search(db, "t", 5, "auto", queries="many"), want)
    assert "settle few answers" in devices(db)["gpu:0"][2], devices(db)


def test_vectors_that_a_device_cannot_hold(shop):
    for db in each_gpu(shop):
        fill(db, n=200, dim=4)
        db.execute("INSERT INTO t(rowid, e) VALUES(900, ?)", (struct.pack("<4f", 1e30, 1e30, 0, 0),))
        db.execute("INSERT INTO t(t) VALUES('optimize')")
        db.execute("CREATE TABLE q(id INTEGER PRIMARY KEY, v BLOB)")
        db.executemany("INSERT INTO q(v) VALUES(?)", [(struct.pack("<4f", *v),) for v in ((1e30, 0, 0, 0), (0, 0, 0, 0), (1e-40, 0, 0, 0), (1, 2, 3, 4), (1e18, 1e18, -1e18, 3))])
        equal(search(db, "t", 5, "gpu", queries="q"), search(db, "t", 5, "cpu", queries="q"), "rows and queries whose scores float32 cannot hold")
        db.execute("CREATE VIRTUAL TABLE half USING rec_index(e float[2], storage=f16, metric=ip)")
        db.execute("INSERT INTO half(e) VALUES('[60000, 60000]')")
        refused(db, "SELECT rowid FROM half WHERE e MATCH '[1, 1]' AND k = 1 AND options = '{\"device\":\"gpu\"}'", says="too long or too short for float16")


def test_parts_of_an_index_on_every_device(shop):
    db = played(shop)
    equal([row[0] for row in rows(db, "SELECT device FROM rec_devices ORDER BY device")], ["cpu", "gpu:0", "gpu:1"])
    for at, (index, metric) in enumerate((("exact", "ip"), ("exact", "l2"), ("IVF16,Flat", "cosine"), ("IVF16,SQ8", "l2"))):
        fill(db, f"t{at}", n=4000, dim=192 if index != "IVF16,SQ8" else 800, more=f", index='{index}', metric={metric}", seed=at)
        db.execute(f"INSERT INTO t{at}(t{at}) VALUES('optimize')")
        for megabytes, what in ((600, "replicas"), (258, "shards")):
            db.execute(f"INSERT INTO t{at}(t{at}) VALUES('drop-cache')")
            with room(db, megabytes):
                if what == "shards":
                    refused(db, f"SELECT * FROM rec_search('t{at}', 'q_t{at}', 'id', 'v', 3, '{{\"device\":\"gpu:0\"}}')", says=("GPU 0 has", "the index needs", "drop-cache"))
                for k in (1, 10, 700):
                    equal(search(db, f"t{at}", k, "gpu:all", ',"nprobe":16'), search(db, f"t{at}", k, "cpu", ',"nprobe":16'), f"{what} {index} {metric} k={k}")
    refused(db, "SELECT * FROM rec_search('t0', 'q_t0', 'id', 'v', 3, '{\"device\":\"gpu:2\"}')", says="device=gpu:2: there are 2")


def test_memory_is_given_back_and_its_want_is_said(shop):
    for db in each_gpu(shop):
        fill(db, n=3000, dim=64)
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        search(db, "t", 3, "gpu")
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        before = free_memory(db)
        search(db, "t", 3, "gpu")
        held = free_memory(db)
        assert held < before or one(db, "SELECT name FROM rec_devices WHERE device = 'gpu:0'") != "the tests' device", (held, before)
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        equal(free_memory(db), before, "given back")
    db = played(shop)
    fill(db, n=6000, dim=64)
    fill(db, "big", n=7000, dim=64, seed=2)
    with room(db, 250):
        refused(db, "SELECT * FROM rec_search('t', 'q_t', 'id', 'v', 3, '{\"device\":\"gpu\"}')", says=("GPU 0 has 0.2 of", "the index needs 0.3", "drop-cache"))
        db.execute("CREATE TABLE many AS SELECT a.id * 1000 + b.id AS id, a.v AS v FROM q_t a, q_t b")
        equal(search(db, "t", 3, "auto", queries="many"), search(db, "t", 3, "cpu", queries="many"), "auto goes on on the CPU")
        assert "GPU 0 has" in devices(db)["gpu:0"][2], devices(db)
    with room(db, 259):  # for one of the two: what nobody uses goes
        for name in ("t", "big", "t", "big"):
            equal(search(db, name, 3, "gpu"), search(db, name, 3, "cpu"), name)
    equal(search(db, "t", 3, "auto", queries="many"), search(db, "t", 3, "cpu", queries="many"))


def test_an_ivf_is_built_on_every_device(shop):
    for db in each_gpu(shop):
        for at, (index, metric) in enumerate((("IVF32,Flat", "ip"), ("IVF32,PQ8", "l2"), ("IVF32,SQ8", "cosine"), ("IVF32,Flat,IDMap", "l2"))):
            name = f"t{at}"
            fill(db, name, n=4000, dim=32, more=f", index='{index}', metric={metric}", seed=at)
            exact = {row[:2]: row[2] for row in search(db, name, 10, "cpu")}
            for nprobe, least in ((8, .25), (32, .75 if "PQ" in index else .999)):
                recall = {}
                for device in ("cpu", "gpu"):
                    db.execute(f"INSERT INTO {name}({name}, arg) VALUES('train', ?)", (f'{{"device":"{device}"}}',))
                    for asked in ("cpu", "gpu"):
                        db.execute(f"INSERT INTO {name}({name}) VALUES('drop-cache')")
                        found = {row[:2]: row[2] for row in search(db, name, 10, asked, f',"nprobe":{nprobe}')}
                        recall[device, asked] = sum(found[key] == exact[key] for key in exact) / len(exact)
                assert min(recall.values()) > least and max(recall.values()) - min(recall.values()) < .12, (index, recall)
            db.execute(f"INSERT INTO {name}({name}) VALUES('integrity-check')")
        fill(db, "empty", n=0, dim=8, more=", index='IVF16,Flat', device=gpu")
        refused(db, "INSERT INTO empty(empty) VALUES('train')", says="no rows to train on")
        refused(db, "INSERT INTO t0(t0, arg) VALUES('train', '{\"device\":\"gpu:77\"}')", says="device=gpu:77")
        refused(db, "INSERT INTO t0(t0, arg) VALUES('train', '{\"device\":\"there\"}')", says="device=there")
        fill(db, "graph", n=500, dim=8, more=", index='HNSW16', device=gpu")
        db.execute("INSERT INTO graph(graph) VALUES('train')")  # a graph is the CPU's


def test_a_forked_child_builds_after_a_build_on_a_device(shop):
    """OpenMP's threads of the parent's build are not waited for in the child."""
    played(shop)
    db = shop.connect("forked.db", PLAYED)
    fill(db, n=3000, dim=32, more=", index='IVF16,PQ8'")
    db.close()
    script = """import os, sqlite3, sys
def train(device):
    db = sqlite3.connect(sys.argv[2], isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(sys.argv[1])
    db.execute("INSERT INTO t(t, arg) VALUES('train', ?)", ('{"build_threads":2,"device":"' + device + '"}',))
    db.close()
train("gpu")
if os.fork() == 0:
    train("cpu")
    os._exit(0)
print(os.WEXITSTATUS(os.wait()[1]))"""
    done = subprocess.run([sys.executable, "-c", script, PLAYED, shop.path("forked.db")], capture_output=True, text=True, timeout=60)
    equal((done.stdout.strip(), done.stderr), ("0", ""))


def test_a_build_on_a_device_is_interrupted(shop):
    for db in each_gpu(shop):
        fill(db, n=20000, dim=64, more=", index='IVF256,Flat', device=gpu")
        before = free_memory(db)
        timer = threading.Timer(.05, db.interrupt)
        timer.start()
        try:
            db.execute("INSERT INTO t(t) VALUES('train')")
            assert one(db, "SELECT name FROM rec_devices WHERE device = 'gpu:0'") != "the tests' device", "not interrupted"  # a real one may be done before
        except sqlite3.OperationalError as error:
            assert "interrupted" in str(error), error
        timer.join()
        (left,), (had,) = free_memory(db)[0], before[0]
        assert left >= had - (64 << 20), "what CUDA keeps for itself"
        equal(one(db, "SELECT count(*) FROM t"), 20000)


def test_a_long_table_of_queries_on_every_device(shop):
    """Several batches: one is searched while another's answers are handed over and the next is read."""
    for db in each_gpu(shop):
        fill(db, n=2000, dim=16)
        db.execute("CREATE TABLE many AS SELECT a.id * 1000 + b.rowid AS id, rec_vec_add(a.v, b.e) AS v FROM q_t a, t b WHERE b.rowid <= 250")
        for k in (3, 100):
            equal(search(db, "t", k, "gpu", queries="many"), search(db, "t", k, "cpu", queries="many"), f"k={k}")
        db.execute("INSERT INTO many VALUES(99, '[1, 2, 3]')")  # the last of 10001
        refused(db, "SELECT count(*) FROM rec_search('t', 'many', 'id', 'v', 3, '{\"device\":\"gpu\"}')", says="the query with the id 99: 3 elements, the column is float[16]")
        db.execute("UPDATE many SET v = NULL WHERE id = 99")
        timer = threading.Timer(.05, db.interrupt)
        timer.start()
        refused(db, "SELECT count(*) FROM rec_search('t', 'many', 'id', 'v', 700, '{\"device\":\"gpu\"}')", says="interrupted")
        timer.join()
        equal(one(db, "SELECT count(*) FROM rec_search('t', 'many', 'id', 'v', 3, '{\"device\":\"gpu\"}')"), 30000)


def test_threads_searching_on_every_device(shop):
    """Connections of several threads, copies made and dropped meanwhile."""
    library, wrong = gpu_library(), []
    db = shop.connect("shared.db", library)
    fill(db, n=4000, dim=32)
    want = search(db, "t", 10, "cpu")

    def work(seed):
        try:
            own = shop.connect("shared.db", library)
            for turn in range(12):
                if search(own, "t", 10, ("gpu", "gpu:0", "gpu:all")[(seed + turn) % 3]) != want:
                    wrong.append((seed, turn))
                if turn % 5 == seed:
                    own.execute("INSERT INTO t(t) VALUES('drop-cache')")
        except Exception as error:
            wrong.append(error)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    equal(wrong, [])


def test_threads_that_want_the_same_copy_share_one(shop):
    """There is room for one; none of them finds it taken by another's."""
    played(shop)
    db = shop.connect("shared.db", PLAYED)
    fill(db, n=3000, dim=128)
    want = search(db, "t", 10, "cpu")
    for _ in range(5):
        said, start = [], threading.Barrier(6)
        owns = [shop.connect("shared.db", PLAYED) for _ in range(6)]

        def work(own):
            search(own, "t", 1, "cpu")
            start.wait()
            try:
                said.append(search(own, "t", 10, "gpu") == want)
            except sqlite3.Error as error:
                said.append(str(error))
        db.execute("INSERT INTO t(t) VALUES('drop-cache')")
        with room(db, 258):
            threads = [threading.Thread(target=work, args=(own,)) for own in owns]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        equal(said, [True] * 6)
        for own in owns: own.close()


def test_a_device_that_is_lost(shop):
    """An error of the device is an error of the statement, or with auto a reason to go on; nothing ends, before or after."""
    played(shop)
    script = """import sqlite3, struct, random, sys
db = sqlite3.connect(":memory:", isolation_level=None)
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
draw = random.Random(1)
db.execute("CREATE VIRTUAL TABLE t USING rec_index(e float[128])")
db.execute("CREATE TABLE q(id INTEGER PRIMARY KEY, v)")
for i in range(3000):
    db.execute("INSERT INTO t(e) VALUES(?)", (struct.pack("<128f", *(draw.gauss(0, 1) for _ in range(128))),))
db.execute("INSERT INTO q SELECT rowid, e FROM t WHERE rowid <= 1000")
ask = lambda device: db.execute("SELECT id, rank, rowid, score FROM rec_search('t', 'q', 'id', 'v', 5, ?)", ('{"device":"' + device + '"}',)).fetchall()
want = ask("cpu")
assert ask("auto") == want
for turn in range(9):
    assert ask("auto") == want, turn
for turn in range(2):
    try:
        ask("gpu")
        print("answered")
    except sqlite3.OperationalError as error:
        print(error)
print(db.execute("SELECT state, reason FROM rec_devices WHERE device = 'gpu:0'").fetchone())
db.execute("INSERT INTO t(t) VALUES('drop-cache')")
assert ask("auto") == want
db.close()
print("closed")"""
    done = subprocess.run([sys.executable, "-c", script, PLAYED], capture_output=True, text=True, env={**os.environ, "REC_TEST_BREAKS": "4"})
    said = done.stdout.splitlines()
    equal((done.returncode, done.stderr, len(said), said[-1:]), (0, "", 4, ["closed"]), done.stdout)
    assert "lost to an earlier error" in said[0] and "lost to an earlier error" in said[1] and "failed" in said[2] and "lost" in said[2], said


def test_a_plug_in_of_another_version(shop):
    if not shutil.which("gcc"):
        raise unittest.SkipTest("no gcc")
    folder = shop.path("lib")
    os.mkdir(folder)
    shutil.copy(EXTENSION + ".so", folder)
    with open(shop.path("old.c"), "w") as file:
        file.write("static const struct { unsigned version; } old = {1}; const void *recommend_gpu(void) { return &old; }")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", os.path.join(folder, "recommend_gpu.so"), shop.path("old.c")], check=True)
    db = shop.connect(None, os.path.join(folder, "recommend"))
    assert "version 1 of the interface" in devices(db)["gpu"][2] and "build them together" in devices(db)["gpu"][2], devices(db)


# ---- recommenders ----

def make_shop(db, users=300, items=400, seed=5):
    make_events(db, users, items, seed)
    db.execute("CREATE TABLE holdout AS SELECT u.user AS user, i.item AS item FROM (SELECT DISTINCT user FROM events) u JOIN (SELECT DISTINCT item FROM events) i ON (u.user * 31 + i.item * 17) % 97 = 0 "
               "WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.user = u.user AND e.item = i.item)")


def test_everybodys_lists_are_the_same_on_every_device(shop):
    for db in each_gpu(shop):
        make_shop(db)
        for algorithm, more in (("ials", ", factors=16, sweeps=3"), ("bpr", ", factors=16, sweeps=5"), ("mf", ", factors=8")):
            make_model(db, algorithm, algorithm, more=more)
            alone = [(user, *row) for user, in rows(db, "SELECT DISTINCT user FROM events ORDER BY user") for row in rows(db, f"SELECT item, rank, score FROM {algorithm} WHERE user = {user} AND k = 20")]
            for device in ("cpu", "gpu", "gpu:all", "auto"):
                equal(rows(db, f"SELECT user, item, rank, score FROM {algorithm} WHERE k = 20 AND options = ?", f'{{"device":"{device}"}}'), alone, f"{algorithm} {device}: as each user's own list")
            for k, asked in ((0, ""), (1, ""), (5, " AND item IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 77)"), (5, " AND exclude = '[1, 2, 3]'"), (500, "")):
                for more in ("", ',"exclude_seen":false', ',"diversity":0.5', ',"popularity_penalty":0.5,"pool":60'):
                    sql = f"SELECT user, item, rank, score FROM {algorithm} WHERE k = {k}{asked} AND options = ?"
                    equal(*(rows(db, sql, f'{{"device":"{device}"{more}}}') for device in ("gpu", "cpu")), f"{algorithm} k={k}{asked} {more}")
            because = f"SELECT user, item, because FROM {algorithm} WHERE k = 3 AND options = ?"
            equal(*(rows(db, because, f'{{"device":"{device}"}}') for device in ("gpu", "cpu")), "because")
            db.execute(f"INSERT INTO {algorithm}({algorithm}) VALUES('train')")  # another version has another copy
            equal(*(rows(db, f"SELECT user, item, score FROM {algorithm} WHERE k = 4 AND options = ?", f'{{"device":"{device}"}}') for device in ("gpu", "cpu")))
        make_model(db, "knn", "item_knn")
        refused(db, "SELECT * FROM knn WHERE k = 3 AND options = '{\"device\":\"gpu\"}'", says=("item_knn is not scored on a GPU", "ials, bpr, mf and sequence"))
        equal(*(rows(db, "SELECT * FROM knn WHERE k = 3 AND options = ?", f'{{"device":"{device}"}}') for device in ("auto", "cpu")))
        refused(db, "SELECT * FROM ials WHERE k = 3 AND options = '{\"device\":\"tpu\"}'", says="device=tpu")
        refused(db, "SELECT * FROM ials WHERE k = 3 AND options = '{\"device\":\"gpu:9\"}'", says="device=gpu:9")


def test_an_evaluation_is_the_same_on_every_device(shop):
    for db in each_gpu(shop):
        make_shop(db)
        make_model(db, "a", "ials", more=", factors=16, sweeps=3")
        make_model(db, "b", "bpr", more=", factors=8, sweeps=5")
        make_model(db, "knn", "item_knn")
        for sql in ("SELECT * FROM rec_evaluate('a', 'holdout', ?)", "SELECT * FROM rec_evaluate_users('b', 'holdout', ?)", "SELECT * FROM rec_compare('a', 'b', 'holdout', ?)"):
            want = rows(db, sql, '{"k":[5,20],"bootstrap":50}')
            assert len(want) > 10
            for device in ("cpu", "gpu", "gpu:all", "auto"):
                equal(rows(db, sql, f'{{"k":[5,20],"bootstrap":50,"device":"{device}"}}'), want, f"{sql} {device}")
        for device, says in (("gpu", "item_knn is not scored on a GPU"), ("gpus", "device=gpus")):
            refused(db, "SELECT * FROM rec_evaluate('knn', 'holdout', ?)", f'{{"device":"{device}"}}', says=says)
        equal(rows(db, "SELECT * FROM rec_evaluate('knn', 'holdout', '{\"device\":\"auto\"}')"), rows(db, "SELECT * FROM rec_evaluate('knn', 'holdout')"))


def test_recommenders_where_there_is_no_gpu(shop):
    db = shop.connect()
    make_shop(db)
    make_model(db, "a", "ials", more=", factors=16, sweeps=3")
    want, figures = rows(db, "SELECT user, item, rank, score FROM a WHERE k = 20"), rows(db, "SELECT * FROM rec_evaluate('a', 'holdout')")
    equal(rows(db, "SELECT user, item, rank, score FROM a WHERE k = 20 AND options = '{\"device\":\"auto\"}'"), want)
    equal(rows(db, "SELECT * FROM rec_evaluate('a', 'holdout', '{\"device\":\"auto\"}')"), figures)
    refused(db, "SELECT * FROM a WHERE k = 20 AND options = '{\"device\":\"gpu:900\"}'", says="device=gpu")
    refused(db, "SELECT * FROM rec_evaluate('a', 'holdout', '{\"device\":\"gpu:900\"}')", says="device=gpu")
