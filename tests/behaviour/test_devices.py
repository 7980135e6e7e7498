"""device=: errors and fall-backs where there is no GPU, the same answers as the CPU's where there is one."""
import os, random, shutil, struct, subprocess, sys, unittest

from support import EXTENSION, equal, one, refused, rows

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
    for name in ("tpu", "gpu:", "gpu:-1", "gpu:1x", "gpu: 1", "gpu:+1", "GPU", "gpu:99999", ""):
        refused(db, f"CREATE VIRTUAL TABLE x USING rec_index(e float[2], device='{name}')", says=("device=", "gpu:N"))
    fill(db, more=", device=cpu")
    refused(db, "SELECT rowid FROM t WHERE e MATCH (SELECT v FROM q_t) AND k = 5 AND options = '{\"device\":\"cuda\"}'", says="device=cuda (cpu, gpu, gpu:N, auto)")
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
    for folder, _, files in os.walk(headers):  # as tools/deps.sh does: the name that cuBLAS's header has now
        for name in files:
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if "<cublas.h>" in text:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text.replace("<cublas.h>", "<cublas_v2.h>"))
    done = subprocess.run(["g++", "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-isystem", headers, "-isystem", os.path.join(cuda, "include"), os.path.join(root, "ext", "ann", "gpu_plugin.cpp")], capture_output=True, text=True)
    equal((done.returncode, done.stderr[:500]), (0, ""))


# ---- where there is a GPU ----

ENGINES = [(index, metric, storage) for metric in ("ip", "l2", "cosine") for index, storage in (("exact", "f32"), ("exact", "f16"), ("exact", "sq8"), ("HNSW16", "f32"), ("IVF16,Flat", "f32"), ("IVF16,SQ8", "f32"), ("IVF16,PQ8", "f32"))]


def test_a_gpu_finds_what_the_cpu_finds(shop):
    db = shop.connect()
    if not has_gpu(db):
        raise unittest.SkipTest("no GPU: " + devices(db)["gpu"][2])
    for at, (index, metric, storage) in enumerate(ENGINES):
        name = f"t{at}"
        fill(db, name, n=5000, dim=32, more=f", index='{index}', metric={metric}, storage={storage}", seed=at)
        db.execute(f"INSERT INTO {name}({name}) VALUES('optimize')")
        exact = index == "exact"
        for change in (None, f"DELETE FROM {name} WHERE rowid IN (3, 5, 7)", f"INSERT INTO {name}(rowid, e, kind) SELECT 9001, e, 1 FROM {name} WHERE rowid = 11"):
            if change:
                db.execute(change)
            for k in (1, 10, 100):
                got, want = ({(row[0], row[1]): row[2:] for row in rows(db, f"SELECT id, rank, rowid, score FROM rec_search('{name}', 'q_{name}', 'id', 'v', {k}, ?)", f'{{"device":"{device}","nprobe":16}}')} for device in ("gpu", "cpu"))
                if exact:
                    equal(got, want, f"{index} {metric} {storage} k={k}")
                else:
                    same = sum(got[key][0] == want[key][0] for key in want)
                    assert len(got) == len(want) and same >= .9 * len(want), f"{index} {metric}: {same} of {len(want)}"
        for sql in (f"SELECT rowid FROM {name} WHERE e MATCH (SELECT v FROM q_{name} LIMIT 1) AND k = 7 AND kind = 2", f"SELECT rowid FROM {name} WHERE e MATCH (SELECT v FROM q_{name} LIMIT 1) AND k = 7 AND exclude = '[1,2,3]'"):
            equal(len(rows(db, sql + " AND options = '{\"device\":\"gpu\"}'")), 7, f"{index}: {sql}")
        db.execute(f"DROP TABLE {name}")
