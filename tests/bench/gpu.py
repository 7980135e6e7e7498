#!/usr/bin/python3
"""A GPU beside this CPU and beside FAISS's own GPU API, in one run: `make bench-gpu` (SIZE=20k|1m|10m).

    gpu.py BUILD [SIZE]

Searches: SIZE x 128 made vectors in clusters, inner product, k = 10: exact and IVF4096,Flat (nprobe 32), batches of 1, 100 and 10,000
queries. Ours is one statement that produces every row and adds them up inside SQLite, with the copy on the device already; raw FAISS
answers the same queries from and to the host's memory, and once with both on the device: what the kernels take. Medians of ROUNDS.
Ids, distances and recall against the CPU's answers of the same statement.

Lists: everybody's 20 items of a bpr model. Without a GPU it says why and measures the CPU alone."""
import json, os, sqlite3, statistics, subprocess, sys, tempfile, time

import numpy as np

BUILD = os.path.abspath(sys.argv[1])
SIZE = {"1m": 1_000_000, "10m": 10_000_000, "20k": 20_000}[sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] else "1m"]
DIM, K, ROUNDS, QUERIES, NPROBE = 128, 10, 5, 10_000, 32
BATCHES = (1, 100, QUERIES)
FACTORY = {"flat": "exact", "ivf": "IVF4096,Flat" if SIZE >= 1_000_000 else "IVF64,Flat"}
CPU_LIMIT = 20  # seconds; a batch that would take the CPU longer is not asked of it


def connect(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.environ.get("REC_EXTENSION", os.path.join(BUILD, "recommend")))
    db.execute("PRAGMA synchronous=OFF")
    return db


def vectors(draw, centres, n):
    """Clusters, as embeddings have, in chunks of rows."""
    for at in range(0, n, 50_000):
        rows = min(50_000, n - at)
        yield centres[draw.integers(len(centres), size=rows)] + .7 * draw.standard_normal((rows, DIM), dtype=np.float32)


def prepare(folder):
    draw = np.random.default_rng(1)
    centres = draw.standard_normal((2000, DIM), dtype=np.float32)
    db = connect(os.path.join(folder, "bench.db"))
    rows, queries = os.path.join(folder, "rows"), os.path.join(folder, "queries")
    for index, factory in FACTORY.items():
        db.execute(f"CREATE VIRTUAL TABLE {index} USING rec_index(e float[{DIM}], metric=ip, index='{factory}')")
    with open(rows, "wb") as file:
        at = 0
        for chunk in vectors(draw, centres, SIZE):
            file.write(chunk.tobytes())
            for index in FACTORY:
                db.execute("BEGIN")
                db.executemany(f"INSERT INTO {index}(rowid, e) VALUES(?, ?)", ((at + i + 1, row.tobytes()) for i, row in enumerate(chunk)))
                db.execute("COMMIT")
            at += len(chunk)
    db.execute("CREATE TABLE q(id INTEGER PRIMARY KEY, v BLOB)")
    with open(queries, "wb") as file:
        for chunk in vectors(draw, centres, QUERIES):
            file.write(chunk.tobytes())
            db.executemany("INSERT INTO q(v) VALUES(?)", ((row.tobytes(),) for row in chunk))
    for batch in BATCHES:
        db.execute(f"CREATE VIEW q{batch} AS SELECT * FROM q WHERE id <= {batch}")
    return db, rows, queries


def options(index, device):
    return json.dumps({"device": device, **({"nprobe": NPROBE} if index == "ivf" else {})})


def timed(run):
    started = time.perf_counter()
    got = run()
    return time.perf_counter() - started, got


def seconds(db, index, batch, device):
    """A query's median, and the first call's time, which makes the copy."""
    ask = lambda: db.execute(f"SELECT count(*), sum(rowid), sum(score) FROM rec_search('{index}', 'q{batch}', 'id', 'v', {K}, ?)", (options(index, device),)).fetchone()
    first = timed(ask)[0]
    return statistics.median([timed(ask)[0] for _ in range(ROUNDS)]) / batch, first


def answers(db, index, batch, device):
    return db.execute(f"SELECT id, rowid, distance FROM rec_search('{index}', 'q{batch}', 'id', 'v', {K}, ?)", (options(index, device),)).fetchall()


def raw(rows, queries, index, batch):
    """FAISS's own seconds a query: from and to the host, and on the device alone."""
    program = os.path.join(BUILD, "gpu_raw")
    if not os.path.exists(program):
        return None, None
    done = subprocess.run([program, rows, queries, str(DIM), str(K), "flat" if index == "flat" else FACTORY[index], str(NPROBE), str(batch), str(ROUNDS)], capture_output=True, text=True)
    if done.returncode:
        return None, None
    return tuple(statistics.median(column) for column in zip(*(map(float, line.split()) for line in done.stdout.splitlines())))


def compare(got, want):
    same = sum(a[:2] == b[:2] for a, b in zip(got, want)) / max(1, len(want))
    found = len({row[:2] for row in got} & {row[:2] for row in want}) / max(1, len(want))
    far = max((abs(a[2] - b[2]) / max(1e-9, abs(b[2])) for a, b in zip(got, want)), default=0)
    return f"equal rows {same:.5f}, recall {found:.5f}, distances within {far:.1e}"


def search_section(db, rows, queries, there):
    copied = SIZE * (DIM + 1) * 4
    for index in FACTORY:
        for batch in BATCHES:
            least = timed(lambda: answers(db, index, min(batch, 100), "cpu"))[0] / min(batch, 100)
            with_cpu = least * batch < CPU_LIMIT
            cpu = seconds(db, index, batch, "cpu")[0] if with_cpu else least
            line = f"  {index:4} batch {batch:6}   cpu {1 / cpu:10.0f} queries/s"
            if there:
                gpu, first = seconds(db, index, batch, "gpu")
                theirs, kernels = raw(rows, queries, index, batch)
                line += f"   gpu {1 / gpu:10.0f} ({cpu / gpu:6.1f} x)"
                if theirs:
                    line += f"   raw FAISS {1 / theirs:10.0f} (ours {theirs / gpu:.2f} of it, target .9)   kernels {min(1, kernels / gpu):.2f} of our time"
                line += f"   to the device {batch * DIM * 4 / 1e6:.2f} MB, back {batch * 32 * 12 / 1e6:.2f} MB, the copy {copied / 1e6:.0f} MB, first {first:.2f} s"
                if with_cpu:
                    line += "   " + compare(answers(db, index, batch, "gpu"), answers(db, index, batch, "cpu"))
            print(line, flush=True)


def build_section(db, there):
    for device in ("cpu", "gpu") if there else ("cpu",):
        taken = timed(lambda: db.execute("INSERT INTO ivf(ivf, arg) VALUES('train', ?)", (json.dumps({"device": device, "build_threads": os.cpu_count()}),)))[0]
        print(f"  {FACTORY['ivf']} trained and filled, {device}: {taken:.1f} s, reading and storing included", flush=True)


def lists_section(folder, there):
    items, users = (200_000, 50_000) if SIZE >= 1_000_000 else (5_000, 2_000)
    draw = np.random.default_rng(2)
    db = connect(os.path.join(folder, "lists.db"))
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER)")
    db.executemany("INSERT INTO events VALUES(?, ?)", zip(np.repeat(np.arange(users), 30).tolist(), draw.integers(items, size=users * 30).tolist()))
    db.execute("CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, algorithm=bpr, factors=64, sweeps=1)")
    db.execute("INSERT INTO m(m) VALUES('train')")
    ask = lambda device: db.execute("SELECT count(*), sum(item * rank), sum(score) FROM m WHERE k = 20 AND options = ?", (json.dumps({"device": device}),)).fetchone()
    cpu, want = timed(lambda: ask("cpu"))
    line = f"  lists of 20 for {users} users of {items} items x 64 factors   cpu {users / cpu:.0f} users/s"
    if there:
        ask("gpu")
        gpu, got = timed(lambda: ask("gpu"))
        line += f"   gpu {users / gpu:.0f} ({cpu / gpu:.1f} x), the same lists: {got == want}"
    print(line, flush=True)


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        taken, (db, rows, queries) = timed(lambda: prepare(folder))
        listed = db.execute("SELECT device, name, state, reason FROM rec_devices").fetchall()
        print(f"  {SIZE} x {DIM}, made in {taken:.0f} s; {os.cpu_count()} threads; {listed}", flush=True)
        there = any(device == "gpu:0" and state == "ready" for device, _, state, _ in listed)
        build_section(db, there)
        search_section(db, rows, queries, there)
        lists_section(folder, there)


main()
