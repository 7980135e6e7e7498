#!/usr/bin/python3
"""Searches on a GPU beside this CPU and beside FAISS's own GPU API, in one run: `make bench-gpu` (SIZE=1m|10m).

    gpu.py BUILD [SIZE]

SIZE x 128 made vectors, inner product, k = 10: exact and IVF4096,Flat (nprobe 32), batches of 1, 100 and 10,000 queries. Ours is a SQL
statement over rec_search, from the first to the last row, with the copy on the device already; the median of ROUNDS. Recall and equal
ids against the CPU's answers of the same statement. Without a GPU it says why and measures the CPU alone."""
import json, os, sqlite3, statistics, subprocess, sys, tempfile, time

BUILD = os.path.abspath(sys.argv[1])
SIZE = {"1m": 1_000_000, "10m": 10_000_000, "20k": 20_000}[sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] else "1m"]
DIM, K, ROUNDS, QUERIES = 128, 10, 5, 10_000


def vectors(n, seed):
    """Clusters, as embeddings have: made without NumPy, which a GPU machine need not have."""
    import array, random
    draw = random.Random(seed)
    centre = [array.array("f", (draw.gauss(0, 1) for _ in range(DIM))) for _ in range(2000)]
    noise = array.array("f", (draw.gauss(0, .7) for _ in range(1 << 20)))
    for _ in range(n):
        c, at = centre[draw.randrange(2000)], draw.randrange((1 << 20) - DIM)
        yield array.array("f", [a + b for a, b in zip(c, noise[at:at + DIM])]).tobytes()


def connect(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(BUILD, "recommend"))
    return db


def prepare(folder):
    db = connect(os.path.join(folder, "bench.db"))
    db.execute("PRAGMA synchronous=OFF")
    rows, queries = os.path.join(folder, "rows"), os.path.join(folder, "queries")
    for index, factory in (("flat", "exact"), ("ivf", "'IVF4096,Flat'" if SIZE >= 1_000_000 else "'IVF64,Flat'")):
        db.execute(f"CREATE VIRTUAL TABLE {index} USING rec_index(e float[{DIM}], metric=ip, index={factory})")
        db.execute("BEGIN")
        with open(rows, "wb") as file:
            def each():
                for n, vector in enumerate(vectors(SIZE, 1)):
                    file.write(vector)
                    yield n + 1, vector
            db.executemany(f"INSERT INTO {index}(rowid, e) VALUES(?, ?)", each())
        db.execute("COMMIT")
    db.execute("CREATE TABLE q(id INTEGER PRIMARY KEY, v BLOB)")
    with open(queries, "wb") as file:
        for vector in vectors(QUERIES, 2):
            file.write(vector)
            db.execute("INSERT INTO q(v) VALUES(?)", (vector,))
    for batch in (1, 100, QUERIES):
        db.execute(f"CREATE VIEW q{batch} AS SELECT * FROM q WHERE id <= {batch}")
    started = time.perf_counter()
    db.execute("INSERT INTO ivf(ivf, arg) VALUES('train', '{\"build_threads\":16}')")
    print(f"  IVF trained and filled on the CPU in {time.perf_counter() - started:.1f} s", flush=True)
    return db, rows, queries


def ours(db, index, batch, device):
    options = json.dumps({"device": device, **({"nprobe": 32} if index == "ivf" else {})})
    answer, taken = None, []
    for _ in range(ROUNDS + 1):  # the first makes the copy
        started = time.perf_counter()
        answer = db.execute(f"SELECT id, rowid, score FROM rec_search('{index}', 'q{batch}', 'id', 'v', {K}, ?)", (options,)).fetchall()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:]) / batch, taken[0], answer


def raw(rows, queries, index, batch):
    program = os.path.join(BUILD, "gpu_raw")
    factory = "flat" if index == "flat" else "IVF4096,Flat" if SIZE >= 1_000_000 else "IVF64,Flat"
    done = subprocess.run([program, rows, queries, str(DIM), str(K), factory, "32", str(batch), str(ROUNDS)], capture_output=True, text=True)
    return statistics.median(map(float, done.stdout.split())) if done.returncode == 0 else None


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        db, rows, queries = prepare(folder)
        listed = db.execute("SELECT device, name, state, reason FROM rec_devices").fetchall()
        print("  ", listed, flush=True)
        there = any(device == "gpu:0" and state == "ready" for device, _, state, _ in listed)
        for index in ("flat", "ivf"):
            for batch in (1, 100, QUERIES):
                cpu, _, want = ours(db, index, batch, "cpu")
                line = f"  {index:5} batch {batch:6}   cpu {1 / cpu:12.0f} queries/s"
                if there:
                    gpu, first, got = ours(db, index, batch, "gpu")
                    theirs = raw(rows, queries, index, batch)
                    same = sum(a == b for a, b in zip(got, want)) / max(1, len(want))
                    line += f"   gpu {1 / gpu:12.0f} ({cpu / gpu:6.1f} x)   raw FAISS {1 / theirs if theirs else 0:12.0f} (ours {theirs / gpu if theirs else 0:.2f} of it, target .9)   equal rows {same:.4f}   first {first:.2f} s"
                print(line, flush=True)


main()
