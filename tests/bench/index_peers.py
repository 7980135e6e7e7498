"""Who is measured by make bench-index from Python: ours and the peers, each in a process of its own.

A peer builds what it needs in __init__ and then answers; what it cannot do raises Missing. Peers keep their tables in
memory, which favours them; ours are in a file."""
import collections, ctypes, json, multiprocessing, os, sqlite3, statistics, sys, time, traceback
import numpy as np
from index_data import K, QUERIES, recall

EXTENSION = PEERS = None  # set by index.py
PATIENCE = 600            # seconds that a peer's build may take
Figures = collections.namedtuple("Figures", "p50 p99 recall fewest count")  # microseconds; fewest: rows of the shortest answer


class Missing(Exception):
    """Says why there is no figure, short enough for a table."""

    def __str__(self):
        text = " ".join(super().__str__().split()).replace("|", "/")
        return text if len(text) <= 160 else text[:160] + " ..."


class Process:
    """An object in a forked process of its own: what is loaded and grows there touches nobody else."""

    def __init__(self, make, *args, limit=PATIENCE + 300):
        self.pipe, theirs = multiprocessing.Pipe()
        context, self.limit = multiprocessing.get_context("fork"), limit
        self.process = context.Process(target=self.serve, args=(theirs, make, args), daemon=True)
        self.process.start()
        theirs.close()

    @staticmethod
    def serve(pipe, make, args):
        try:
            thing = make(*args)
            pipe.send(("ok", None))
            while True:
                method, args = pipe.recv()
                value = getattr(thing, method)
                pipe.send(("ok", value(*args) if callable(value) else value))
        except EOFError:
            pass
        except Exception as problem:
            if not isinstance(problem, (Missing, sqlite3.Error, ImportError)):
                traceback.print_exc()
            pipe.send(("missing", f"{type(problem).__name__}: {problem}" if not isinstance(problem, Missing) else str(problem)))

    def result(self):
        try:
            if not self.pipe.poll(self.limit):
                raise Missing(f"no answer in {self.limit / 60:.0f} minutes")
            kind, value = self.pipe.recv()
        except EOFError:
            kind, value = "missing", f"its process ended ({self.process.exitcode})"
        if kind != "ok":
            self.close()
            raise Missing(value)
        return value

    def call(self, method, *args):
        self.pipe.send((method, args))
        return self.result()

    def result_of(self, method, *args):
        """For a process that is asked once."""
        self.result()
        out = self.call(method, *args)
        self.close()
        return out

    def close(self):
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def one_thread():
    """NumPy on this thread alone, as everybody else answers on one."""
    try:
        ctypes.CDLL("libopenblas.so.0").openblas_set_num_threads(1)
    except (OSError, AttributeError):
        pass


def measure(asks, blobs, truth, budget=2.0, rounds=3):
    """Figures of each function blob -> ids; they take turns. Slow ones get fewer queries, never fewer than 20."""
    count = len(blobs)
    for ask in asks:
        ask(blobs[0])  # may load a table
        begin = time.perf_counter()
        ask(blobs[0])
        count = min(count, max(20, int(budget / max(1e-6, time.perf_counter() - begin))))
    found = [[ask(blob) for blob in blobs[:count]] for ask in asks]
    times = [[] for _ in asks]
    for _ in range(rounds):
        for ask, mine in zip(asks, times):
            one = []
            for blob in blobs[:count]:
                begin = time.perf_counter_ns()
                ask(blob)
                one.append((time.perf_counter_ns() - begin) / 1000)
            mine.append(np.quantile(one, [.5, .99]))
    return [Figures(*np.median(t, axis=0), recall(f, truth), min(map(len, f)), count) for t, f in zip(times, found)]


def insert(db, sql, rows, n, patience=PATIENCE):
    """One transaction; gives up once it is sure to take longer than patience, as inserts into a graph only get slower."""
    begin, done, batch = time.perf_counter(), 0, []
    db.execute("BEGIN")
    for row in rows:
        batch.append(row)
        if len(batch) == 5000 or done + len(batch) == n:
            db.executemany(sql, batch)
            done, batch = done + len(batch), []
            passed = time.perf_counter() - begin
            if passed > 60 and passed / done * n > patience:
                raise Missing(f"build passes {patience / 60:.0f} minutes: {done:,} of {n:,} rows after {passed:.0f} s")
    db.execute("COMMIT")
    return time.perf_counter() - begin


class Peer:
    """ask(blob, setting, where) -> ids. setting is a number (ef, nprobe) or None, where a Filter or None."""
    version = ""

    def __init__(self, data):
        self.data, self.build = data, 0.0
        one_thread()

    def load(self, path):
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.enable_load_extension(True)
        if not os.path.exists(path + ".so"):
            raise Missing("not to be had from PyPI")
        self.db.load_extension(path)

    def needs(self, names):
        if self.data.metric not in names:
            raise Missing({"ip": "no inner product", "cosine": "no cosine", "l2": "no l2"}[self.data.metric])
        return names[self.data.metric]

    def rows(self):
        """(id, vector, price, grp)."""
        data = self.data
        group = data.group.tolist() if data.group is not None else [0] * data.n
        return zip(range(1, data.n + 1), (row.tobytes() for row in data.rows), data.price.tolist(), group)

    def select(self, sql, *args):
        return [row[0] for row in self.db.execute(sql, args)]

    def figures(self, setting=None, where=None):
        truth = where.truth if where else self.data.truth
        return measure([lambda blob: self.ask(blob, setting, where)], self.data.blobs[:len(truth)], truth)[0]

    def sweep(self, ladder, goals):
        """The least setting of each goal and its recall; None and the best where a goal is not reached."""
        out = {}
        for setting in ladder:
            got = recall([self.ask(blob, setting, None) for blob in self.data.blobs], self.data.truth)
            for goal in goals:
                if got >= goal:
                    out.setdefault(goal, setting)
            if len(out) == len(goals):
                break
        return out, (setting, got)


class Ours(Peer):
    """rec_index from files that index.py has made. setting is (name, number)."""
    name = "rec_index from Python"

    def __init__(self, data, *paths):
        super().__init__(data)
        self.connections = [connect(path) for path in paths]
        self.db = self.connections[0]

    def ask(self, blob, setting=None, where=None, db=None):
        sql = "SELECT rowid FROM t WHERE e MATCH ? AND k = 10"
        if where:
            sql += " AND " + where.sql
        args = (blob,)
        if setting:
            sql, args = sql + " AND options = ?", (blob, json.dumps(dict([setting])))
        return [row[0] for row in (db or self.db).execute(sql, args)]

    def against_exact(self, where, setting):
        """The same filter on this index, on the exact one, which is the second path, and by NumPy: in turns."""
        data, truth = self.data, where.truth
        norms = (data.rows * data.rows).sum(axis=1)

        def naive(blob):
            ids = np.flatnonzero(predicate())
            rows, query = data.rows[ids], np.frombuffer(blob, "float32")
            score = rows @ query
            if data.metric == "l2":
                score -= norms[ids] / 2
            if data.metric == "cosine":
                score /= np.sqrt(norms[ids])
            best = np.argpartition(-score, K)[:K]
            return (ids[best[np.argsort(-score[best])]] + 1).tolist()

        column, bound = where.sql.split(" < ")
        values = data.price if column == "price" else data.group
        predicate = lambda: values < float(bound)
        asks = [lambda b: self.ask(b, setting, where), lambda b: self.ask(b, None, where, self.connections[1]), naive]
        return measure(asks, data.blobs[:len(truth)], truth, budget=1.5)


class SqliteVec(Peer):
    name = "sqlite-vec"

    def __init__(self, data, metadata=False):
        super().__init__(data)
        metric = self.needs({"l2": "l2", "cosine": "cosine"})
        self.load(os.path.join(PEERS, "sqlite_vec", "vec0"))
        self.version = self.db.execute("SELECT vec_version()").fetchone()[0].lstrip("v")
        more = ", price float, grp integer" if metadata else ""
        self.db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{data.dim}] distance_metric={metric}{more})")
        if metadata:
            self.build = insert(self.db, "INSERT INTO v(rowid, e, price, grp) VALUES(?, ?, ?, ?)", self.rows(), data.n)
        else:
            self.build = insert(self.db, "INSERT INTO v(rowid, e) VALUES(?, ?)", (row[:2] for row in self.rows()), data.n)

    def ask(self, blob, setting=None, where=None):
        return self.select("SELECT rowid FROM v WHERE e MATCH ? AND k = 10" + (f" AND {where.sql}" if where else ""), blob)


class Vectorlite(Peer):
    """A graph of hnswlib; M and ef_construction as given."""
    name = "vectorlite"

    def __init__(self, data, links, construction):
        super().__init__(data)
        metric = self.needs({"l2": "l2", "cosine": "cosine", "ip": "ip"})
        self.load(os.path.join(PEERS, "vectorlite_py", "vectorlite"))
        self.version = installed("vectorlite_py")
        self.db.execute(f"CREATE VIRTUAL TABLE v USING vectorlite(e float32[{data.dim}] {metric}, "
                        f"hnsw(max_elements={data.n}, ef_construction={construction}, M={links}))")
        self.build = insert(self.db, "INSERT INTO v(rowid, e) VALUES(?, ?)", (row[:2] for row in self.rows()), data.n)

    def prepare_filters(self):
        """Its filters are sets of rowids, so the columns stand in an indexed table beside it."""
        self.db.execute("CREATE TABLE meta(id INTEGER PRIMARY KEY, price REAL, grp INTEGER)")
        self.db.executemany("INSERT INTO meta VALUES(?, ?, ?)", (row[:1] + row[2:] for row in self.rows()))
        self.db.execute("CREATE INDEX by_price ON meta(price)")
        self.db.execute("CREATE INDEX by_group ON meta(grp)")

    def ask(self, blob, setting=None, where=None):
        more = f" AND rowid IN (SELECT id FROM meta WHERE {where.sql})" if where else ""
        return self.select(f"SELECT rowid FROM v WHERE knn_search(e, knn_param(?, 10, ?)){more}", blob, setting)

    def duel(self, setting, path, ours):
        """Vectorlite and ours in turns, both from Python, in this process."""
        other = Ours(self.data, path)
        return measure([lambda b: self.ask(b, setting), lambda b: other.ask(b, ours)], self.data.blobs, self.data.truth)


class Vec1(Peer):
    """SQLite's own; the apsw wheel carries it as sqlite_extra_binaries/vec1.so, which any SQLite can load."""
    name = "vec1"

    def __init__(self, data, buckets):
        super().__init__(data)
        metric = self.needs({"l2": "l2", "cosine": "cos"})
        self.load(os.path.join(PEERS, "apsw", "sqlite_extra_binaries", "vec1"))
        self.version = self.select("SELECT vec1_info()")[0].split()[1]
        self.db.execute("CREATE VIRTUAL TABLE v USING vec1(e, price, grp)")
        self.build = insert(self.db, "INSERT INTO v(rowid, e, price, grp) VALUES(?, ?, ?, ?)", self.rows(), data.n)
        self.db.execute("SELECT vec1_config('nthread', 2)").fetchall()
        begin = time.perf_counter()
        model = json.dumps({"index": "flat", "distance": metric})
        if buckets:
            options = json.dumps({"nbucket": buckets, "codesize": 0, "distance": metric})
            sample = min(data.n, 256 * buckets)  # what FAISS's k-means takes at most
            model = self.db.execute("SELECT vec1_train(e, ?) FROM (SELECT e FROM v LIMIT ?)", (options, sample)).fetchone()[0]
        self.db.execute("INSERT INTO v(cmd, arg) VALUES('rebuild', ?)", (model,))
        self.build += time.perf_counter() - begin

    def ask(self, blob, setting=None, where=None):
        more = f" WHERE {where.sql}" if where else ""
        options = {"k": K, "nprobe": setting} if setting else {"k": K}
        return self.select("SELECT rowid FROM v(?, ?)" + more, blob, json.dumps(options))


class SqliteAi(Peer):
    """A table of BLOBs, scanned in full, or by 8-bit codes kept in memory."""
    name = "sqliteai-vector"

    def __init__(self, data, quantized):
        super().__init__(data)
        metric = self.needs({"l2": "L2", "cosine": "COSINE", "ip": "DOT"})
        self.load(os.path.join(PEERS, "sqlite_vector", "binaries", "vector"))
        self.version = self.select("SELECT vector_version()")[0]
        self.scan = "vector_quantize_scan" if quantized else "vector_full_scan"
        self.db.execute("CREATE TABLE v(id INTEGER PRIMARY KEY, e BLOB)")
        self.build = insert(self.db, "INSERT INTO v VALUES(?, ?)", (row[:2] for row in self.rows()), data.n)
        begin = time.perf_counter()
        self.select("SELECT vector_init('v', 'e', ?)", f"type=FLOAT32,dimension={data.dim},distance={metric}")
        if quantized:
            self.select("SELECT vector_quantize('v', 'e')")
            self.select("SELECT vector_quantize_preload('v', 'e')")
        self.build += time.perf_counter() - begin

    def ask(self, blob, setting=None, where=None):
        if where:
            raise Missing("no filters inside the search")
        return self.select(f"SELECT rowid FROM {self.scan}('v', 'e', ?, 10)", blob)


class FaissCpu(Peer):
    """PyPI's newest FAISS, from Python, no SQL; it reads the structure that the linked FAISS has built and written."""
    name = "faiss-cpu"

    def __init__(self, data, path):
        super().__init__(data)
        os.environ["FAISS_OPT_LEVEL"] = "avx2"  # its loader asks a newer NumPy than Debian's for the CPU's features
        sys.path.insert(0, PEERS)
        try:
            import faiss
        except ImportError as problem:
            raise Missing(f"cannot be imported beside Debian's NumPy: {problem}")
        self.faiss, self.version = faiss, faiss.__version__
        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(path)

    def parameters(self, setting, **more):
        if isinstance(self.index, self.faiss.IndexHNSW):
            return self.faiss.SearchParametersHNSW(efSearch=setting or 16, **more)
        if isinstance(self.index, self.faiss.IndexIVF):
            return self.faiss.SearchParametersIVF(nprobe=setting or 1, **more)
        return None

    def ask(self, blob, setting=None, where=None):
        query, more = np.frombuffer(blob, "float32")[None], {}
        if self.data.metric == "cosine":
            query = query / np.linalg.norm(query)
        if where:
            more["sel"] = self.faiss.IDSelectorBitmap(np.packbits(where.mask, bitorder="little"))
        ids = self.index.search(query, K, params=self.parameters(setting, **more))[1][0]
        return (ids[ids >= 0] + 1).tolist()

    def batch(self, setting, threads, count):
        self.faiss.omp_set_num_threads(threads)
        queries = np.fromfile(self.data.queries_file, "float32").reshape(-1, self.data.dim)[:count]
        begin = time.perf_counter()
        self.index.search(queries, K, params=self.parameters(setting))
        seconds = time.perf_counter() - begin
        self.faiss.omp_set_num_threads(1)
        return seconds


def connect(path=":memory:"):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def installed(package):
    """The version of a package in PEERS, from its dist-info folder."""
    for name in os.listdir(PEERS):
        if name.startswith(package + "-") and name.endswith(".dist-info"):
            return name[len(package) + 1:-len(".dist-info")]
    return "?"


class Table:
    """One rec_index in a file of its own, made in a child. build: the command, without the inserts."""

    def __init__(self, data, path, index, storage, threads):
        self.db = db = connect(path)
        db.execute("PRAGMA journal_mode=WAL").fetchall()
        metric = f"metric={data.metric}, index='{index}'" + (f", storage={storage}" if storage != "f32" else "")
        try:
            db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[{data.dim}], price real, grp integer, {metric})")
        except sqlite3.Error as problem:
            raise Missing(str(problem))
        db.execute("CREATE TABLE asked(id INTEGER PRIMARY KEY, v BLOB)")
        db.executemany("INSERT INTO asked VALUES(?, ?)", ((i, q.tobytes()) for i, q in enumerate(data.queries, 1)))
        for view, n in (("first", QUERIES), ("some", 2 * QUERIES)):
            db.execute(f"CREATE VIEW {view} AS SELECT * FROM asked WHERE id <= {n}")
        self.insert = insert(db, "INSERT INTO t(rowid, e, price, grp) VALUES(?, ?, ?, ?)", Peer(data).rows(), data.n)
        self.build = self.command("optimize", threads) if index != "exact" else 0
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.bytes = os.path.getsize(path)

    def command(self, name, threads):
        begin = time.perf_counter()
        self.db.execute("INSERT INTO t(t, arg) VALUES(?, ?)", (name, f'{{"build_threads":{threads}}}'))
        return time.perf_counter() - begin


class Rebuilt(Table):
    """A table that is there, to be built again; nothing is kept."""

    def __init__(self, path):
        self.db = connect(path)

    def command(self, name, threads):
        self.db.execute("BEGIN")
        seconds = super().command(name, threads)
        self.db.execute("ROLLBACK")
        return seconds


class Commits:
    """Fifty rows, each a commit of its own, and then out again. Bytes are what the process writes (/proc/self/io)."""

    def __init__(self, data, path):
        self.data, self.db = data, connect(path)

    def run(self):
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "wal_autocheckpoint=0"):
            self.db.execute("PRAGMA " + pragma).fetchall()
        kilobytes, times, after, n = [], [], [], self.data.n
        ask = lambda blob: self.db.execute("SELECT rowid FROM t WHERE e MATCH ? AND k = 10", (blob,)).fetchall()
        ask(self.data.blobs[0])
        for i in range(50):
            blob, before = self.data.queries[i].tobytes(), written()
            begin = time.perf_counter()
            self.db.execute("INSERT INTO t(rowid, e, price, grp) VALUES(?, ?, 1, 1)", (n + 1 + i, blob))
            times.append((time.perf_counter() - begin) * 1000)
            kilobytes.append((written() - before) / 1024)
            begin = time.perf_counter()
            ask(blob)
            after.append((time.perf_counter() - begin) * 1000)
        self.db.execute("DELETE FROM t WHERE rowid > ?", (n,))
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return kilobytes, times, statistics.median(after)


def written():
    with open("/proc/self/io") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))
