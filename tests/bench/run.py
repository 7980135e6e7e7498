"""make bench: timings against peers and limits, medians of several, all in one run. Usage: run.py BUILD_DIR

Peers are installed from PyPI into BUILD/peers when they can be had; what is missing is skipped with a word."""
import os, re, random, sqlite3, statistics, struct, subprocess, sys, threading, time

BUILD = sys.argv[1]
EXTENSION = os.path.abspath(os.path.join(BUILD, "recommend"))
PEERS = os.path.join(BUILD, "peers")


def connect(path=":memory:"):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def timed(function, repeat):
    times = []
    for i in range(repeat):
        begin = time.perf_counter()
        function(i)
        times.append(time.perf_counter() - begin)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def machine():
    with open("/proc/cpuinfo") as info:
        names = {line.split(":")[1].strip() for line in info if line.startswith("model name")}
    db = connect()
    facts = dict(db.execute("SELECT key, value FROM rec_info"))
    print(f"machine: {os.cpu_count()} x {', '.join(names)}; SQLite {facts['sqlite']}, FAISS {facts['faiss']}, SIMD {facts['simd']}")


def serving():
    print("\n== one user's top 10, warm, through a prepared statement in C")
    big = os.path.join(BUILD, "big.db")
    serve = os.path.join(BUILD, "tests", "serve")
    if not os.path.exists(big):
        subprocess.run([serve, "--make", big, "100000", "60000"], check=True, stderr=subprocess.DEVNULL)
    sample = os.path.join(BUILD, "demo.db")
    for name, path in (("sample (ials, 64 factors)", sample), ("made shop (ials, 64 factors, 100,000 items)", big)):
        lines = [subprocess.run([serve, path, "recs"], check=True, capture_output=True, text=True).stdout.strip() for _ in range(3)]
        print(f"{name}: {sorted(lines)[1]}")
    for name, path in (("sample", sample), ("made shop", big)):
        found = {"1": [], "0": []}
        for _ in range(7):  # by turns
            for counters in found:
                line = subprocess.run([serve, "--threads", "8", path, "recs"], check=True, capture_output=True, text=True, env=os.environ | {"REC_COUNTERS": counters}).stdout
                found[counters].append([float(x) for x in re.findall(r"p\d+ ([\d.]+) us", line)])
        (p50, p99), (bare50, bare99) = ([sorted(column)[3] for column in zip(*found[counters])] for counters in found)
        print(f"{name}, eight threads: p50 {p50:.1f} us, p99 {p99:.1f} us; without counters {bare50:.1f}, {bare99:.1f} (medians of 7)")
    for name, path, user in (("sample", sample, "customer_id"), ("made shop", big, "user")):
        db = connect(path)
        users = [row[0] for row in db.execute(f"SELECT DISTINCT {user} FROM events WHERE {user} IS NOT NULL LIMIT 4000")]
        ask = lambda i: db.execute("SELECT item, score FROM recs WHERE user = ? AND k = 10", (users[i % len(users)],)).fetchall()
        timed(ask, len(users))
        p50, p99 = timed(ask, len(users))
        print(f"{name} from Python's sqlite3: p50 {p50 * 1e6:.0f} us, p99 {p99 * 1e6:.0f} us")


def training():
    print("\n== training on the sample (397,924 rows of reference_purchases, all of the year; read, train, store)")
    db = connect(os.path.join(BUILD, "demo.db"))
    db.execute("DROP TABLE IF EXISTS bench_model")
    db.execute("CREATE VIRTUAL TABLE bench_model USING rec_model(events=reference_purchases, user=customer_id, item=stock_code)")
    for algorithm in ("popular", "item_knn", "ials"):
        p50, _ = timed(lambda i: db.execute("INSERT INTO bench_model(bench_model, arg) VALUES('train', ?)", (f'{{"algorithm":"{algorithm}"}}',)), 3)
        print(f"{algorithm}: {p50:.2f} s")
    p50, _ = timed(lambda i: db.execute("SELECT count(*) FROM bench_model WHERE k = 10").fetchall(), 3)
    users = db.execute("SELECT count(DISTINCT customer_id) FROM reference_purchases").fetchone()[0]
    print(f"everybody's top 10 ({users} users, ials): {p50:.2f} s")
    db.execute("DROP TABLE bench_model")


def peer(package):
    if not os.path.isdir(os.path.join(PEERS, package.replace("-", "_"))):
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", PEERS, package], capture_output=True)
    sys.path.insert(0, PEERS)
    try:
        return __import__(package.replace("-", "_"))
    except ImportError:
        print(f"SKIP {package}: not to be had")
        return None


def searching():
    import numpy
    n, dim, k = 100_000, 128, 10
    print(f"\n== {n:,} x {dim} float32, cosine, k = {k}: insert (one transaction), then one query")
    generator = numpy.random.default_rng(1)
    centres = generator.standard_normal((200, dim))
    rows = (centres[generator.integers(0, 200, n)] + 0.7 * generator.standard_normal((n, dim))).astype("float32")
    queries = rows[generator.integers(0, n, 200)] + 0.1 * generator.standard_normal((200, dim)).astype("float32")
    blobs = [row.tobytes() for row in rows]
    asked = [q.astype("float32").tobytes() for q in queries]
    unit = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
    truth = [set((numpy.argsort(-(unit @ q))[:k] + 1).tolist()) for q in queries]

    def report(name, insert_seconds, ask):
        first = time.perf_counter()
        ask(0)
        first = time.perf_counter() - first
        found = [set(row[0] for row in ask(i)) for i in range(200)]
        recall = statistics.mean(len(f & t) / k for f, t in zip(found, truth))
        p50, p99 = timed(lambda i: ask(i % 200), 400)
        print(f"{name}: insert {insert_seconds:.1f} s, first query {first:.2f} s, p50 {p50 * 1e3:.3f} ms, p99 {p99 * 1e3:.3f} ms, recall {recall:.3f}")

    for index in ("exact", "HNSW32"):
        db = connect()
        db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[{dim}], metric=cosine, index={index})")
        begin = time.perf_counter()
        db.execute("BEGIN")
        db.executemany("INSERT INTO t(rowid, e) VALUES(?, ?)", enumerate(blobs, 1))
        db.execute("COMMIT")
        if index != "exact":
            db.execute("INSERT INTO t(t, arg) VALUES('optimize', '{\"build_threads\":2}')")
        seconds = time.perf_counter() - begin
        report(f"rec_index {index}", seconds, lambda i: db.execute("SELECT rowid FROM t WHERE e MATCH ? AND k = 10", (asked[i],)).fetchall())
    vec = peer("sqlite-vec")
    if vec:
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.enable_load_extension(True)
        vec.load(db)
        db.execute(f"CREATE VIRTUAL TABLE t USING vec0(e float[{dim}] distance_metric=cosine)")
        begin = time.perf_counter()
        db.execute("BEGIN")
        db.executemany("INSERT INTO t(rowid, e) VALUES(?, ?)", enumerate(blobs, 1))
        db.execute("COMMIT")
        seconds = time.perf_counter() - begin
        version = db.execute("SELECT vec_version()").fetchone()[0]
        report(f"sqlite-vec {version} (exact)", seconds, lambda i: db.execute("SELECT rowid FROM t WHERE e MATCH ? AND k = 10", (asked[i],)).fetchall())
    scores = numpy.empty(n, "float32")
    p50, _ = timed(lambda i: numpy.argpartition(-(unit @ queries[i % 200]), k)[:k], 100)
    print(f"NumPy (matrix times vector, argpartition): p50 {p50 * 1e3:.3f} ms")
    p50, _ = timed(lambda i: unit.sum(), 20)
    print(f"limit: one pass over the {unit.nbytes / 1e6:.0f} MB of float32 (sum): {p50 * 1e3:.2f} ms")


def writer(path, seconds, waits):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        db.execute("INSERT INTO events(user, item) VALUES(?, ?)", (random.randrange(1, 60000), random.randrange(100000)))
        waits.append(time.perf_counter() - begin)
        time.sleep(max(0, 0.010 - waits[-1]))


def waiting():
    print("\n== an order committed every 10 ms by another process: how long it waits (WAL, synchronous default)")
    big = os.path.join(BUILD, "big.db")
    code = ("import sqlite3,sys\ndb=sqlite3.connect(sys.argv[1])\ndb.enable_load_extension(True)\ndb.load_extension(sys.argv[2])\n"
            "print('go',flush=True)\ndb.execute('SELECT length(rec_train(?, ?))', ('recs', '{\"sweeps\":8,\"threads\":1}')).fetchone()\n")
    for name, train in (("nobody trains", False), ("rec_train runs in one process", True)):
        waits = []
        process = subprocess.Popen([sys.executable, "-c", code, big, EXTENSION], stdout=subprocess.PIPE) if train else None
        if process:
            process.stdout.readline()
        writer(big, 30, waits)
        running = process.poll() is None if process else None
        if process:
            process.wait()
        waits.sort()
        print(f"{name}: {len(waits)} orders, median {waits[len(waits) // 2] * 1e3:.2f} ms, p99 {waits[len(waits) * 99 // 100] * 1e3:.2f} ms, "
              f"longest {waits[-1] * 1e3:.1f} ms" + (f" (still training at the end: {running})" if process else ""))


machine()
serving()
training()
searching()
waiting()
