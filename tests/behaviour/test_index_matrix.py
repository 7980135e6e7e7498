"""A generated matrix of rec_index: every engine before `optimize`, after it, after changes, folded and loaded again; every condition;
every form that SQL has for a search.

The oracle is the ordinary table `plain` with the same rows and declared types. SQLite evaluates the conditions on it, the scores
are computed here in float64 over the stored vectors, ties go by rowid. A list that is exact must be the oracle's. Where a lossy
structure chooses among many rows, the list must have min(k, matches) rows, each satisfying the condition, with exact scores, in
order, and over all questions nine of ten of the oracle's rows. The plain form of a question is checked so; every other form
must give what the plain form gives."""
import collections, functools, itertools, os, random

import numpy as np

from support import EXTENSION, equal, gpu_library, one, refused, rows, same_rows

EVERY = bool(os.environ.get("REC_EVERY"))  # all forms of all questions; minutes for each engine
DIM, ROWS, FEW = 16, 1200, 60  # up to FEW matches are scanned: the exact rows, also of a lossy engine
METRICS = ("l2", "cosine", "ip")
COLUMNS = "n INTEGER, r REAL, c TEXT"
ENGINES = {  # name: (index=, storage=, always exact)
    "exact": ("exact", "f32", True), "auto": ("auto", "f32", True), "flat": ("Flat", "f32", True), "hnsw": ("HNSW16", "f32", False),
    "ivf_flat": ("IVF16,Flat", "f32", False), "ivf_pq": ("IVF16,PQ4", "f32", False), "pq": ("PQ4", "f32", False),
    "sq8": ("SQ8", "f32", False), "pca_ivf": ("PCA8,IVF8,Flat", "f32", False), "opq_ivf_pq": ("OPQ4,IVF16,PQ4", "f32", False),
    "ivf_sq8": ("IVF16,SQ8", "f32", False), "exact_in_f16": ("exact", "f16", True), "exact_in_sq8": ("exact", "sq8", True),
    "hnsw_in_f16": ("HNSW16", "f16", False), "hnsw_in_sq8": ("HNSW16", "sq8", False),
}
ON_GPU = {  # the same with device=: the last
    "gpu_exact": ("exact", "f32", True, "gpu"), "gpu_exact_in_f16": ("exact", "f16", True, "gpu"), "gpu_exact_in_sq8": ("exact", "sq8", True, "gpu:0"), "gpu_hnsw": ("HNSW16", "f32", False, "gpu"),
    "gpu_ivf_flat": ("IVF16,Flat", "f32", False, "gpu"), "gpu_ivf_pq": ("IVF16,PQ4", "f32", False, "gpu"), "gpu_ivf_sq8": ("IVF16,SQ8", "f32", False, "gpu"), "gpus_exact": ("exact", "f32", True, "gpu:all"),
}

# ---- conditions, in the words of both tables: t.rowid, t.n, t.r, t.c ----

OPERATORS = ("=", "<", "<=", ">", ">=")
COMPARED = [f"t.{column} {op} {value}" for column, values in {
    "n": ("5", "'5'", "5.0", "' 5 '", "x'35'", "NULL", "'abc'", "5.5", "'1e1'", "9007199254740993", "-1"),
    "r": ("7.5", "'7.5'", "8", "' 8 '", "x'00'", "NULL", "'high'"),
    "c": ("'b'", "5", "5.0", "'5'", "' 5 '", "x'61'", "NULL", "''", "'Lamp'"),
}.items() for value in values for op in OPERATORS] + ["5 = t.n", "90 <= t.n", "'b' > t.c", "t.n == (SELECT 7)", "t.n = 5 AND t.n = 7", "t.n > 5 AND t.n > 60 AND t.n < 70"]
BETWEEN = ["t.n BETWEEN 3 AND 9", "t.n BETWEEN '3' AND 9.5", "t.n BETWEEN 9 AND 3", "t.n BETWEEN 50 AND 'abc'", "t.n BETWEEN NULL AND 9", "t.r BETWEEN '5' AND 20",
           "t.r BETWEEN 60 AND x''", "t.c BETWEEN 'a' AND 'b'", "t.c BETWEEN 4 AND 6", "t.c BETWEEN '' AND 'Z' AND t.n BETWEEN 0 AND 50"]
LISTS = ["t.n IN (5, 7)", "t.n IN (5)", "t.n IN ('5', ' 7 ', 5.5, NULL)", "t.n IN (x'35', 'abc', 9007199254740993)", "t.n IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10) AND t.n IN (4, 5, 6)",
         "t.n IN (NULL, NULL)", "t.r IN (7.5, 8, '9.5', 'high')", "t.c IN ('a', 'b')", "t.c IN (5, '5.0', 6)", "t.c IN ('', ' 5 ', x'61', NULL)", "t.c IN ('a', 'b') AND t.n IN (1, 5, 9)",
         "(t.n = 5 OR t.n = '7')", "t.n IN (5, 7) AND t.n > 5", "(t.n, t.c) = (5, 'a')", "t.c GLOB 'la*'",
         "t.n IN (SELECT 5 UNION SELECT 7)", "t.n IN (SELECT id FROM products WHERE id < 9)", "t.n IN (SELECT 5 WHERE 0)", "t.n IN (SELECT NULL)", "t.n IN (SELECT '5' UNION SELECT 'abc')",
         "t.c IN (SELECT kind FROM products)", "t.c IN (SELECT value FROM json_each('[\"b\",\"Lamp\"]'))", "t.r IN (SELECT price FROM products)",
         "t.n IN (SELECT x.n FROM plain x WHERE x.c = 'lamp')", "t.n NOTNULL AND t.n IN (SELECT n FROM plain WHERE r > 90)"]
NULLS = ["t.n IS NULL", "t.n IS NOT NULL", "t.r IS NULL", "t.r NOTNULL", "t.c ISNULL", "t.c IS NOT NULL", "t.n IS NULL AND t.c IS NULL", "t.n IS NULL AND t.n = 5", "t.n IS NULL AND t.c IS NOT NULL AND t.r > 50"]
ROWIDS = ["t.rowid IN (3, 40, 41, 42, 599, 700)", "t.rowid IN (5, '6', 7.0, 8.5, 'x', NULL, ' 9 ')", "t.rowid IN (SELECT id FROM products)", "t.rowid IN (SELECT id FROM products WHERE kind = 'b')",
          "t.rowid IN (SELECT x.id FROM plain x WHERE x.n = 5)", "t.rowid IN (1, 2, 3) AND t.rowid IN (2, 3, 4)", "t.rowid IN (SELECT 12 WHERE 0)", "t.rowid IN (-1, 0)",
          "t.rowid IN (SELECT value FROM json_each('[9, 8, 77, \"78\", null]'))", "(t.rowid = 8 OR t.rowid = 13)"]
TOGETHER = ["t.n > 20 AND t.r < 60 AND t.c IS NOT NULL", "t.n >= 10 AND t.n <= '40' AND t.c IN ('a', 'b', 'lamp') AND t.r IS NOT NULL", "t.c = 'b' AND t.rowid IN (SELECT id FROM products WHERE price > 30)",
            "t.rowid IN (SELECT id FROM products) AND t.n IN (SELECT n FROM plain WHERE c = 'a') AND t.r >= 10", "t.n = '5' AND t.r > '10' AND t.c > ''", "t.c < 'b' AND t.c >= 'a' AND t.n BETWEEN 10 AND 90 AND t.rowid IN (10, 20, 30, 40, 50, 60, 70, 80)"]
OUTSIDE = ["t.n <> 5", "t.n IS 5", "t.n IS NOT 5", "t.c LIKE 'A%'", "t.c LIKE '%a%'", "t.c NOT LIKE 'a'", "t.c = 'LAMP' COLLATE NOCASE", "t.c COLLATE NOCASE = 'lamp'", "t.c COLLATE NOCASE IN ('A', 'lamp')",
           "t.c > 'B' COLLATE NOCASE", "t.c = 'b' COLLATE RTRIM", "t.c BETWEEN 'A' COLLATE NOCASE AND 'B' COLLATE NOCASE", "t.n NOT IN (1, 2, 3)", "t.n NOT BETWEEN 3 AND 50", "NOT t.n = 5", "(t.n = 5 OR t.c = 'b')",
           "(t.n > 50 OR t.n IS NULL)", "t.n + 0 > 40", "+t.n > 40", "t.rowid <> 4", "t.rowid > 300", "t.rowid BETWEEN 100 AND 400", "t.rowid NOT IN (SELECT id FROM products)", "abs(t.r) < 50",
           "typeof(t.n) = 'integer'", "t.r > t.n", "EXISTS (SELECT 1 FROM products p WHERE p.id = t.rowid)", "CASE WHEN t.n > 5 THEN t.c IS NOT NULL ELSE 1 END"]
FAMILIES = {"comparisons": COMPARED, "between": BETWEEN, "lists": LISTS, "nulls": NULLS, "rowids": ROWIDS, "together": TOGETHER, "outside": OUTSIDE}

# inside and outside: conditions; near: (operator, n): the bound on distance lies just past the n-th match; from_row: similar_to
Question = collections.namedtuple("Question", "inside outside k exclude near from_row options", defaults=("", "", 7, (), None, None, None))


@functools.lru_cache(None)
def questions():
    draw = random.Random(17)
    inside = [condition for family, listed in FAMILIES.items() if family != "outside" for condition in listed]
    made = [Question(), Question(k=0), Question(k=1), Question(k=40), Question(k=5000), Question(exclude=range(1, 200)), Question(exclude=(7, 8, 10 ** 12), from_row=9), Question(from_row=9),
            Question(from_row=12345678), Question(from_row=9, inside="t.n > 50"), Question(from_row=33, k=None, near=("<=", 4)), Question(options='{"ef":200,"nprobe":16}'), Question(exclude=())]
    walked = '{"ef":14,"nprobe":6}'  # a graph of so few rows is walked for a small ef alone; it is scanned otherwise
    made += [Question(options=walked, k=k, inside=condition) for k in (1, 5, 10) for condition in ("", "t.n IS NOT NULL", "t.r < 90", "t.n > 4", "t.rowid IN (SELECT id FROM products)")]
    made += [Question(options=walked, exclude=range(1, 1000, 7)), Question(options=walked, from_row=33, inside="t.n >= 5")]
    made += [Question(inside=condition) for condition in inside] + [Question(outside=condition) for condition in OUTSIDE]
    for op, k, n, condition in itertools.product(("<", "<="), (None, 5), (3, 20), ("", "t.n > 30", "t.c = 'b'")):
        made.append(Question(inside=condition, k=k, near=(op, n)))
    for _ in range(60):  # what comes together by chance
        some = draw.sample(inside, draw.choice((1, 1, 2, 3)))
        made.append(Question(inside=" AND ".join(f"({part})" if " OR " in part else part for part in some), outside=draw.choice(OUTSIDE + [""] * 25), k=draw.choice((2, 7, 25)),
                             exclude=tuple(draw.sample(range(1, 600), 120)) if draw.random() < .4 else (), near=("<", draw.randrange(1, 9)) if draw.random() < .3 else None,
                             from_row=draw.choice((None, None, 9, 33)), options=draw.choice((None, '{"ef":100}', '{"nprobe":8}', walked))))
    return made


# ---- the rows: 20 groups, some equal vectors, columns with NULL and with values of every storage class ----

def make_row(draw, centres, i):
    vector = centres[draw.integers(len(centres))] + .4 * draw.normal(size=DIM)
    n = (int(draw.integers(100)), 5, None, 5.5, "5", " 7 ", "abc", b"5", 2 ** 53 + 1, "1e1")[max(0, int(draw.integers(16)) - 6)]
    r = (float(draw.integers(400)) / 4, 7.5, None, "7.5", "high", b"\x01", 8)[max(0, int(draw.integers(12)) - 5)]
    c = ("a", "b", "B", "lamp", "Lamp", "b ", "", None, 5, "5.0", " 5 ", b"a", "ä", "a\0b", "lamb")[int(draw.integers(15))]
    return i, vector.astype("<f4").tobytes(), n, r, c


@functools.lru_cache(None)
def history():
    """The first rows, and then the changes: [(SQL with {t}, arguments)]. {t} is an index or `plain`, whose key is called rowid too."""
    draw = np.random.default_rng(23)
    centres = draw.normal(size=(20, DIM))
    first = [make_row(draw, centres, i) for i in range(1, ROWS - 39)]
    for group in range(8):  # equal vectors: ties by rowid
        same = first[50 * group][1]
        for i in range(3):
            at = 50 * group + 11 * (i + 1)
            first[at] = first[at][:1] + (same,) + first[at][2:]
    first[99] = first[99][:1] + (bytes(4 * DIM),) + first[99][2:]  # a zero vector
    insert = "INSERT INTO {t}(rowid, e, n, r, c) VALUES(?, ?, ?, ?, ?)"
    changes = [(insert, make_row(draw, centres, i)) for i in range(ROWS - 39, ROWS + 1)]
    at = lambda count: (int(i) for i in draw.choice(np.arange(101, 500), count, replace=False))
    changes += [("UPDATE {t} SET e = ? WHERE rowid = ?", (make_row(draw, centres, i)[1], i)) for i in at(20)]
    changes += [("UPDATE {t} SET n = ?, r = ?, c = ? WHERE rowid = ?", (*make_row(draw, centres, i)[2:], i)) for i in at(20)]
    changes += [("UPDATE {t} SET c = 'b' WHERE rowid = ?", (i,)) for i in at(10)]
    changes += [("DELETE FROM {t} WHERE rowid = ?", (i,)) for i in at(30)]
    changes += [(insert.replace("INSERT", "INSERT OR REPLACE"), make_row(draw, centres, i)) for i in at(15)]
    changes += [(insert.replace("INSERT", "INSERT OR IGNORE"), make_row(draw, centres, i)) for i in at(15)]
    changes += [("UPDATE {t} SET rowid = rowid + 5000 WHERE rowid = ?", (i,)) for i in at(8)]
    return [(insert, row) for row in first], changes


def apply(db, changes, tables):
    db.execute("BEGIN")
    for table in tables:
        for sql, arguments in changes:
            db.execute(sql.format(t=table), arguments)
    db.execute("COMMIT")


@functools.lru_cache(None)
def oracle_tables():
    """SQL of the ordinary tables beside the index."""
    statements = [(f"CREATE TABLE plain(id INTEGER PRIMARY KEY, e BLOB, {COLUMNS})", ())]
    statements.append(("CREATE TABLE products(id INTEGER PRIMARY KEY, kind TEXT, price REAL)", ()))
    return statements + [("INSERT INTO products VALUES(?, ?, ?)", (i, kind(i), i / 4)) for i in range(1, ROWS + 1) if i % 3]


def unit_of(metric, q, x):
    """What rounding errors of a score are relative to."""
    size = np.sqrt((q * q).sum()) * np.sqrt((x * x).sum(1))
    return size if metric == "ip" else np.maximum(1, np.sqrt(((x - q) ** 2).sum(1))) if metric == "l2" else np.ones(len(x))


def scores_of(metric, q, x):
    dot = (x * q).sum(1)
    if metric == "l2": return -np.sqrt(((x - q) ** 2).sum(1))
    if metric == "ip": return dot
    norms = np.sqrt((q * q).sum()) * np.sqrt((x * x).sum(1))
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)


class Bench:
    """One engine's three tables, one a metric, beside the oracle's."""

    def __init__(self, shop, name):
        self.shop, self.name = shop, name
        self.factory, self.storage, self.always_exact, self.device = ON_GPU.get(name) or ENGINES[name] + (None,)
        self.library = gpu_library() if self.device else EXTENSION
        self.metrics = METRICS[1:] if "OPQ" in self.factory else METRICS  # it trains for seconds
        self.connect()
        apply(self.db, oracle_tables(), [""])
        for metric in self.metrics:
            self.db.execute(f"CREATE VIRTUAL TABLE {metric}_t USING rec_index(e float[{DIM}], {COLUMNS}, metric={metric}, index='{self.factory}'{self.kept()})")
            self.db.execute(f"CREATE VIEW {metric}_v AS SELECT rowid AS rowid, * , k, options, similar_to, exclude, score, distance, rank FROM {metric}_t")
        draw = np.random.default_rng(29)
        self.queries = [(draw.normal(size=DIM)).astype("<f4"), None]
        self.lossy = False
        apply(self.db, history()[0], ["plain"] + [f"{metric}_t" for metric in self.metrics])
        self.queries[1] = np.frombuffer(one(self.db, "SELECT e FROM plain WHERE rowid = 51"), "<f4") + np.float32(.1)
        self.db.execute("CREATE TABLE queries(id INTEGER PRIMARY KEY, v)")
        self.db.executemany("INSERT INTO queries VALUES(?, ?)", [(0, self.queries[0].tobytes()), (1, self.queries[1].tobytes()), (2, None)])
        self.look()

    def connect(self):
        self.db = self.shop.connect(f"{self.name}.db", self.library)
        for table, key in (("few", "id INTEGER PRIMARY KEY"), ("few_in_a_heap", "id INTEGER")):
            self.db.execute(f"CREATE TEMP TABLE {table}({key}, kind TEXT, price REAL)")

    def kept(self):
        return ("" if self.storage == "f32" else f", storage={self.storage}") + (f", device='{self.device}'" if self.device else "")

    def command(self, command, arg=None):
        for metric in self.metrics:
            self.db.execute(f"INSERT INTO {metric}_t({metric}_t, arg) VALUES(?, ?)", (command, arg))

    def change(self):
        apply(self.db, history()[1], ["plain"] + [f"{metric}_t" for metric in self.metrics])
        self.look()

    def again(self):
        """Everything in memory is forgotten; the structure comes from the file."""
        self.command("drop-cache")
        self.db.close()
        self.connect()

    def look(self):
        """Read what the oracle needs: ids, stored vectors, who satisfies what."""
        stored = rows(self.db, "SELECT rowid, e FROM plain ORDER BY rowid")
        given = np.array([np.frombuffer(e, "<f4") for _, e in stored])
        self.ids = [id for id, _ in stored]
        kept = rows(self.db, "SELECT rowid, e FROM ip_t ORDER BY rowid")
        equal([id for id, _ in kept], self.ids, "the rows that are stored")
        kept = np.array([np.frombuffer(e, "<f4") for _, e in kept])
        if self.storage == "f32": assert (kept == given).all(), "vectors are stored as they came"
        if self.storage == "f16": assert (kept == given.astype(np.float16).astype(np.float32)).all(), "vectors are rounded to halves"
        if self.storage == "sq8":
            scale = np.abs(given).max(1, keepdims=True) / 127
            assert (np.abs(kept - given) <= .501 * scale).all(), "vectors are rounded to 1/127 of their greatest element"
        self.x = kept.astype(float)
        self.metadata = {id: tuple(columns) for id, *columns in rows(self.db, "SELECT id, n, r, c FROM plain")}
        self.place = {id: i for i, id in enumerate(self.ids)}
        self.satisfies = functools.lru_cache(None)(lambda where: {id for id, in rows(self.db, f"SELECT t.rowid FROM plain t WHERE {where}")} if where else set(self.ids))
        self.order = functools.lru_cache(None)(self._order)
        for metric in self.metrics:
            for columns in ("rowid, n, r, c", "typeof(n), typeof(r), typeof(c)"):
                equal(rows(self.db, f"SELECT {columns} FROM {metric}_t ORDER BY rowid"), rows(self.db, f"SELECT {columns} FROM plain ORDER BY rowid"), "what is stored")

    def _order(self, metric, which):
        """All ids, best first, and their scores by place; `which`: a query's number, or ("row", id)."""
        q = (self.x[self.place[which[1]]] if isinstance(which, tuple) else self.queries[which]).astype(float)
        scores = scores_of(metric, q, self.x)
        return [self.ids[i] for i in np.lexsort((self.ids, -scores))], scores, unit_of(metric, q, self.x)


# ---- one question: its SQL, the oracle's answer, the check of the plain form ----

class Ask:
    """The SQL pieces of a question: `inputs` of the search, `filters` on its rows, the function form."""

    def __init__(self, bench, metric, question, query):
        self.bench, self.metric, self.question, self.query = bench, metric, question, query
        self.table, self.T = f"{metric}_t", f"{metric}_t AS t"
        which = ("row", question.from_row) if question.from_row else query
        self.known = not question.from_row or question.from_row in bench.place
        allowed = bench.satisfies(question.inside) - set(question.exclude) - {question.from_row} if self.known else set()
        order, self.scores, self.unit = bench.order(metric, which) if self.known else ([], None, None)
        self.matches = [id for id in order if id in allowed]
        self.bound = None
        if question.near:
            op, n = question.near
            self.bound = self.distance_after(n)
            self.matches = [id for id in self.matches if self.distance(id) < self.bound]
        self.best = self.matches[:question.k]
        literal = f"(SELECT v FROM queries WHERE id = {query})" if query == 1 else f"x'{bench.queries[query].tobytes().hex()}'"
        self.given = f"t.similar_to = {question.from_row}" if question.from_row else f"t.e MATCH {literal}"
        bounds = [] if question.k is None else [f"t.k = {question.k}"]
        more = [f"t.exclude = '{self.json()}'"] if question.exclude else []
        more += [f"t.options = '{question.options}'"] if question.options else []
        filters = [f"t.distance {question.near[0]} {self.bound!r}"] if question.near else []
        filters += [part for part in (question.inside, question.outside) if part]
        self.inputs = " AND ".join(bounds + more + filters) or "1"  # beside the query
        self.where = " AND ".join([self.given] + bounds + more + filters)
        self.inner = " AND ".join([self.given] + bounds + more + [part for part in filters if part != question.outside])
        self.filters = " AND ".join(filters) or "1"
        head = "NULL" if question.from_row else literal
        self.short = f"{self.table}({head}{'' if question.k is None else f', {question.k}'}) AS t WHERE " + " AND ".join(more + filters + ([self.given] if question.from_row else []) or ["1"])
        self.long = None
        if question.k is not None:
            quote = lambda text: "NULL" if text is None else f"'{text}'"
            self.long = (f"{self.table}({head}, {question.k}, {quote(question.options)}, {question.from_row or 'NULL'}, {quote(self.json() if question.exclude else None)}) AS t WHERE {self.filters}")

    def json(self):
        return "[" + ",".join(map(str, self.question.exclude)) + "]"

    def distance(self, id):
        score = self.scores[self.bench.place[id]]
        return 1 - score if self.metric == "cosine" else -score

    def distance_after(self, n):
        """Between the n-th match and the next that is farther; or past all."""
        distances = [self.distance(id) for id in self.matches]
        for a, b in zip(distances[n - 1:], distances[n:]):
            if b - a > 1e-6: return float((a + b) / 2)
        return float(max(distances, default=0) + 1)

    def exact(self):
        q = self.question
        return self.bench.always_exact or not self.bench.lossy or len(self.matches) <= FEW or q.k is None or q.k >= len(self.matches)

    def check(self, recall):
        """The plain form against the oracle; gives the inner list and what is left of it outside, as (rowid, rank)."""
        db, q = self.bench.db, self.question
        got = rows(db, f"SELECT t.rowid, t.rank, t.score, t.distance FROM {self.T} WHERE {self.inner}")
        ids = [row[0] for row in got]
        equal([row[1] for row in got], list(range(1, len(got) + 1)), "ranks")
        if self.exact():
            equal(ids, self.best, "rows")
        else:
            equal(len(ids), len(self.best), "as many rows as match, up to k")
            equal(len(set(ids)), len(ids), "no row twice")
            assert set(ids) <= set(self.matches), f"rows that do not satisfy it: {set(ids) - set(self.matches)}"
            recall[0] += len(set(ids) & set(self.best))
            recall[1] += len(ids)
        if ids:
            at = [self.bench.place[id] for id in ids]
            want, unit = self.scores[at], self.unit[at]
            assert (np.abs(np.array([row[2] for row in got]) - want) <= 1e-6 * unit).all(), f"scores\n  got      {[row[2] for row in got]}\n  expected {want}"
            far = 1 - want if self.metric == "cosine" else -want
            assert (np.abs(np.array([row[3] for row in got]) - far) <= 1e-6 * unit).all(), f"distances\n  got      {[row[3] for row in got]}\n  expected {far}"
            for (a, a_id), (b, b_id) in zip(zip(want, ids), zip(want[1:], ids[1:])):
                assert a > b or (a == b and a_id < b_id) or a > b - 1e-12 * unit[0], f"order of {a_id} and {b_id}"
        inner = [row[:2] for row in got]
        if not q.outside:
            return inner
        left = self.bench.satisfies(q.outside)
        left = [row for row in inner if row[0] in left]
        equal(rows(db, f"SELECT t.rowid, t.rank FROM {self.T} WHERE {self.where}"), left, "the finished list, filtered")
        return left


# ---- the forms ----

NO_SORT = "EXPLAIN QUERY PLAN shows no sort"


def form_function(a, r): yield f"SELECT t.rowid, t.rank FROM {a.short}", r
def form_function_of_all_arguments(a, r): yield f"SELECT t.rowid, t.rank FROM {a.long or a.short}", r
def form_view(a, r): yield f"SELECT t.rowid, t.rank FROM {a.metric}_v AS t WHERE {a.where}", r
def form_subquery_of_all_columns(a, r): yield f"SELECT t.rowid, t.rank FROM (SELECT rowid AS rowid, *, k, options, similar_to, exclude, score, distance, rank FROM {a.table}) AS t WHERE {a.where}", r
def form_inner_subquery(a, r): yield f"SELECT t.rowid, t.rank FROM (SELECT rowid AS rowid, rank, n, r, c, distance FROM {a.table} AS t WHERE {a.where}) AS t WHERE {a.filters}", r
def form_distinct(a, r): yield f"SELECT DISTINCT t.rowid, t.rank FROM {a.T} WHERE {a.where}", r
def form_count(a, r): yield f"SELECT count(*), sum(t.rank), min(t.rank) FROM {a.T} WHERE {a.where}", [(len(r), sum(row[1] for row in r) if r else None, min((row[1] for row in r), default=None))]
def form_group(a, r): yield f"SELECT t.rank % 2, count(*) FROM {a.T} WHERE {a.where} GROUP BY 1", [(odd, n) for odd, n in sorted(collections.Counter(row[1] % 2 for row in r).items())]
def form_window(a, r): yield f"SELECT t.rowid, row_number() OVER (ORDER BY t.rank), count(*) OVER () FROM {a.T} WHERE {a.where}", [(row[0], i, len(r)) for i, row in enumerate(r, 1)]
def form_metadata_read(a, r): yield f"SELECT t.rowid, t.n, t.r, t.c FROM {a.T} WHERE {a.where}", [row[:1] + a.bench.metadata[row[0]] for row in r]


def form_cte(a, r):
    ids, sold = beside(a, r)
    for kind in ("", "MATERIALIZED", "NOT MATERIALIZED"):
        x = f"WITH x AS {kind} (SELECT t.rowid AS id, t.rank FROM {a.T} WHERE {a.where})"
        yield f"{x} SELECT * FROM x", r
        yield f"{x} SELECT x.* FROM few p JOIN x ON x.id = p.id", sold
        yield f"{x} SELECT x.* FROM x CROSS JOIN few_in_a_heap p WHERE x.id = p.id", sold
        yield f"{x} SELECT a.id, b.rank FROM x a JOIN x b ON a.id = b.id", r


def form_order(a, r):
    for order in ("t.rank", "t.score DESC", "t.distance", "t.distance ASC"):
        yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} ORDER BY {order}", r, NO_SORT
    yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} ORDER BY t.rank DESC", r[::-1]
    yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} ORDER BY t.rowid", sorted(r)
    yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} ORDER BY t.score, t.rank DESC", r[::-1]


def form_limit(a, r):
    for order in ("", "ORDER BY t.rank", "ORDER BY t.score DESC"):
        yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} {order} LIMIT 3", r[:3]
        yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} {order} LIMIT 2 OFFSET 2", r[2:4]
        yield f"SELECT t.rowid, t.rank FROM {a.short} {order} LIMIT 2 OFFSET 1", r[1:3]
    yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} LIMIT -1 OFFSET 1", r[1:]
    yield f"SELECT * FROM (SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} LIMIT 2) UNION ALL SELECT * FROM (SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} LIMIT 1 OFFSET 3)", r[:2] + r[3:4]


def form_union(a, r):
    yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} UNION ALL SELECT t.rowid, t.rank FROM {a.short}", r + r
    yield f"SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where} EXCEPT SELECT t.rowid, t.rank FROM {a.short}", []
    yield f"SELECT * FROM (SELECT t.rowid AS id, t.rank FROM {a.T} WHERE {a.where} UNION ALL SELECT id, 0 FROM products WHERE id < 3) WHERE id > 1", [row for row in r if row[0] > 1] + [(2, 0)]


def kind(id): return ("a", "b", "lamp", None)[id % 4]


def beside(a, r):
    """Fill the small tables for joins with some of the rows and some others; gives their ids, and which of r are there."""
    ids = sorted({row[0] for row in r[:9] + r[-2:] if row[0] % 3} | {4, 5, 710, 713})
    for table in ("few", "few_in_a_heap"):
        a.bench.db.execute(f"DELETE FROM {table}")
        a.bench.db.executemany(f"INSERT INTO {table} VALUES(?, ?, ?)", [(id, kind(id), id / 4) for id in ids])
    return ids, [row for row in r if row[0] in ids]


def form_join(a, r):
    ids, sold = beside(a, r)
    for table, (left, right) in itertools.product(("few", "few_in_a_heap"), ((a.T, "{} p"), ("{} p", a.T))):
        for join in ("JOIN", "CROSS JOIN"):
            source = f"{left} {join} {right}".format(table)
            yield f"SELECT t.rowid, t.rank FROM {source} ON p.id = t.rowid WHERE {a.where}", sold
            yield f"SELECT t.rowid, t.rank, p.kind FROM {source} ON p.id = t.rowid AND {a.where} AND p.kind IN ('a', 'lamp') AND p.price > 3", [row + (kind(row[0]),) for row in sold if kind(row[0]) in ("a", "lamp") and row[0] > 12]
        source = f"{left}, {right}".format(table)
        yield f"SELECT t.rowid, t.rank FROM {source} WHERE {a.where} AND t.rowid = p.id AND p.kind = 'b'", [row for row in sold if kind(row[0]) == "b"]
    yield f"SELECT t.rowid, t.rank FROM few p JOIN {a.short.replace(' AS t WHERE ', ' AS t ON p.id = t.rowid WHERE ')}", sold
    yield f"SELECT t.rowid, t.rank, other.c FROM {a.T} JOIN {a.table} AS other ON other.rowid = t.rowid WHERE {a.where}", [row + (a.bench.metadata[row[0]][2],) for row in r]
    yield f"SELECT t.rowid, t.rank FROM (VALUES(1), (2)) JOIN {a.T} ON {a.where}", r + r


def form_join_in_order(a, r):
    for order in ("t.rank", "t.distance", "t.score DESC"):
        yield f"SELECT t.rowid, t.rank FROM {a.T} JOIN products ON products.id = t.rowid WHERE {a.where} ORDER BY {order}", [row for row in r if row[0] % 3 and row[0] <= ROWS], NO_SORT


def form_left_join(a, r):
    ids, sold = beside(a, r)
    yield f"SELECT p.id, t.rank FROM few p LEFT JOIN {a.T} ON t.rowid = p.id AND {a.where}", [(id, dict(r).get(id)) for id in ids]
    yield f"SELECT p.id, t.rank FROM few_in_a_heap p LEFT JOIN {a.T} ON p.id = t.rowid AND {a.where} WHERE t.rank IS NULL OR p.kind = 'a'", [(id, dict(r).get(id)) for id in ids if id not in dict(r) or kind(id) == "a"]
    yield f"SELECT t.rowid, t.rank, p.kind FROM {a.T} LEFT JOIN few p ON p.id = t.rowid WHERE {a.where}", [row + (kind(row[0]) if row in sold else None,) for row in r]
    yield f"SELECT one.x, t.rowid, t.rank FROM (SELECT 1 AS x) one LEFT JOIN {a.T} ON {a.where}", [(1,) + row for row in r] or [(1, None, None)]


def form_correlated(a, r):
    ids, sold = beside(a, r)
    yield f"SELECT p.id FROM few p WHERE EXISTS (SELECT 1 FROM {a.T} WHERE {a.where} AND t.rowid = p.id)", [row[:1] for row in sold]
    yield f"SELECT p.id FROM few_in_a_heap p WHERE NOT EXISTS (SELECT 1 FROM {a.short} AND p.id = t.rowid)", [(id,) for id in ids if id not in dict(r)]
    yield f"SELECT p.id, (SELECT t.rank FROM {a.T} WHERE {a.where} AND t.rowid = p.id) FROM few p", [(id, dict(r).get(id)) for id in ids]


def form_in_select(a, r):
    yield f"SELECT p.id FROM plain p WHERE p.id IN (SELECT t.rowid FROM {a.T} WHERE {a.where})", sorted((row[0],) for row in r)
    yield f"SELECT p.id FROM products p WHERE p.id IN (SELECT t.rowid FROM {a.short}) AND p.kind = 'a'", sorted((row[0],) for row in r if kind(row[0]) == "a" and row[0] % 3 and row[0] <= ROWS)
    yield f"SELECT rowid FROM {a.table} WHERE rowid IN (SELECT t.rowid FROM {a.T} WHERE {a.where})", sorted((row[0],) for row in r)


def form_queries(a, r):
    """The query comes from another table's row; the last one's is NULL."""
    if a.question.from_row: return
    mine = f"t.e MATCH q.v AND {a.inputs}"
    for source in (f"queries q JOIN {a.T}", f"{a.T} JOIN queries q", f"queries q CROSS JOIN {a.T}"):
        yield f"SELECT t.rowid, t.rank FROM {source} ON {mine} WHERE q.id IN ({a.query}, 2)", r
    yield f"SELECT t.rowid, t.rank FROM queries q, {a.T} WHERE {mine} AND q.id = {a.query}", r
    yield f"SELECT q.id, t.rowid, t.rank FROM queries q LEFT JOIN {a.T} ON {mine} WHERE q.id IN ({a.query}, 2)", [(a.query,) + row for row in r] + [(a.query, None, None)] * (not r) + [(2, None, None)]
    if a.question.k is not None:
        yield f"SELECT t.rowid, t.rank FROM queries q, {a.table}(q.v, {a.question.k}) AS t WHERE {a.inputs} AND q.id = {a.query}", r
        yield f"SELECT q.id, (SELECT count(*) FROM {a.T} WHERE {mine}) FROM queries q WHERE q.id IN ({a.query}, 2)", [(a.query, len(r)), (2, 0)]


def form_written(a, r):
    """Reading inside a statement that writes."""
    a.bench.db.execute("CREATE TEMP TABLE IF NOT EXISTS kept(id, rank)")
    a.bench.db.execute("DELETE FROM kept")
    a.bench.db.execute(f"INSERT INTO kept SELECT t.rowid, t.rank FROM {a.T} WHERE {a.where}")
    yield "SELECT id, rank FROM kept", r


FORMS = {name[5:]: form for name, form in list(globals().items()) if name.startswith("form_")}
IN_ORDER = ("function", "function_of_all_arguments", "order", "join_in_order", "limit", "view", "written")


def check_form(ask, name, r, draw):
    variants = list(FORMS[name](ask, r))
    for sql, expected, *plan in variants if EVERY else draw.sample(variants, min(1, len(variants))):
        (equal if name in IN_ORDER else same_rows)(rows(ask.bench.db, sql), expected, f"form {name}: {sql[:1500]}")
        if plan:
            assert not any("USE TEMP B-TREE" in line[3] for line in rows(ask.bench.db, "EXPLAIN QUERY PLAN " + sql)), f"a sort: {sql[:1500]}"


# ---- the tests ----

class Faults:
    """The first few of what went wrong, with how many it was."""

    def __init__(self):
        self.texts, self.n = [], 0

    def note(self, what, error):
        self.n += 1
        if self.n <= 4: self.texts.append(f"{what}\n  {type(error).__name__} {error}")

    def raise_all(self):
        if self.n: raise AssertionError(f"{self.n} faults\n" + "\n".join(self.texts))


def ask_everything(bench, state, draw, faults, share=.22):
    """The questions in the plain form, and each in one other form (with REC_EVERY set: every question in every form of every metric)."""
    for metric in bench.metrics:
        recall = [0, 0]
        for number, question in enumerate(questions()):
            if not EVERY and draw.random() > share:
                continue
            what = f"{bench.name}, {state}, {metric}, {str(question)[:300]}"
            try:
                ask = Ask(bench, metric, question, draw.randrange(2))
                r = ask.check(recall)
            except Exception as error:
                faults.note(what, error)
                continue
            for name in FORMS if EVERY else [draw.choice(list(FORMS))]:
                try:
                    check_form(ask, name, r, draw)
                except Exception as error:
                    faults.note(what, error)
        if recall[0] < .9 * recall[1]:
            faults.note(f"{bench.name}, {state}, {metric}", AssertionError(f"{recall[0]} of {recall[1]} of the nearest rows found"))


SHELF = [  # name, n, c, r, k, gone, far, o, id, untyped
    ("one", 5, "a", 20.0, 3, "[1, 2]", 4.5, '{"ef":80}', 9, "5"), ("two", 7, "b", 50.5, 5, "[]", 6, "{}", 33, " 7 "), ("three", 40, "Lamp", 90, 1, "[9, 33, 51]", 100.5, '{"nprobe":9}', 51, 40.0),
    ("four", None, None, None, 4, "[300]", -0.5, "{}", 12345678, None), ("five", 60, "", 1, 0, "[]", 5, "{}", 9, 60)]
FROM_SHELF = ["t.n = {n}", "t.n = {untyped}", "t.n > {n}", "t.c = {c} AND t.r >= {r}", "t.n BETWEEN {n} AND {n} + 30", "t.rowid IN (SELECT x.id FROM products x WHERE x.price > {r})", "t.c IN (SELECT x.kind FROM products x WHERE x.id < {id} AND x.id > {n})",
              "t.rowid IN ({id}, {id} + 1, {id} + 2, 5)", "t.n IN ({n}, {n} + 1, 12)", "t.c >= {c} AND t.c NOTNULL AND t.n > 2 AND t.rowid IN (SELECT id FROM products)"]


def ask_with_inputs_from_rows(bench, faults):
    """Each row of another table gives its own condition, k, exclude, options, bound or row to be similar to."""
    db = bench.db
    db.execute("CREATE TABLE IF NOT EXISTS shelf(name TEXT, n INTEGER, c TEXT, r REAL, k INTEGER, gone TEXT, far REAL, o TEXT, id INTEGER, untyped)")
    db.execute("DELETE FROM shelf")
    db.executemany("INSERT INTO shelf VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", SHELF)
    names = ("name", "n", "c", "r", "k", "gone", "far", "o", "id", "untyped")
    of_shelf = {name: f"s.{name}" for name in names}
    asked = [("t.e MATCH {v} AND t.k = 4", inside) for inside in FROM_SHELF]
    asked += [(inputs, inside) for inputs in ("t.e MATCH {v} AND t.k = {k}", "t.e MATCH {v} AND t.k = 4 AND t.exclude = {gone}", "t.e MATCH {v} AND t.k = {k} + 1 AND t.options = {o}", "t.similar_to = {id} AND t.k = {k}",
                                              "t.e MATCH {v} AND t.distance < {far}", "t.similar_to = {id} AND t.distance <= {far} AND t.k = 6") for inside in ("1", "t.c IN ('a', 'b', 'lamp')", "t.r > {r}")]
    for metric, (inputs, inside) in itertools.product(bench.metrics, asked):
        expected = []
        for row in SHELF:
            quoted = {name: "NULL" if value is None else repr(value) for name, value in zip(names, row)}
            where = f"{inputs} AND {inside}".format(v="(SELECT v FROM queries WHERE id = 0)", **quoted)
            listed = rows(db, f"SELECT '{row[0]}', t.rowid, t.rank FROM {metric}_t AS t WHERE {where}")
            passing = bench.satisfies(inside.format(**quoted))
            assert {id for _, id, _ in listed} <= passing, where
            if "t.k = 4" in inputs and "exclude" not in inputs: equal(len(listed), min(4, len(passing)), where)
            expected += listed
        for source in (f"shelf s JOIN {metric}_t AS t", f"{metric}_t AS t JOIN shelf s", f"shelf s CROSS JOIN {metric}_t AS t", f"shelf s LEFT JOIN {metric}_t AS t"):
            left_out = [(row[0], None, None) for row in SHELF if row[0] not in {name for name, _, _ in expected}] if "LEFT" in source else []
            sql = f"SELECT s.name, t.rowid, t.rank FROM {source} ON {inputs} AND {inside}".format(v="(SELECT v FROM queries WHERE id = 0)", **of_shelf)
            try:
                same_rows(rows(db, sql), expected + left_out, sql)
            except Exception as error:
                faults.note(bench.name, error)


def ask_at_the_bound(bench, faults):
    """A bound that is a row's own distance, bit for bit: < leaves the row out, <= has it."""
    for metric, query in itertools.product(bench.metrics, (0, 1)):
        q = f"(SELECT v FROM queries WHERE id = {query})"
        for n in (1, 2, 6, 30):
            ask = Ask(bench, metric, Question(k=None, near=("<", n)), query)
            far = rows(bench.db, f"SELECT t.distance FROM {ask.short}")[n - 1][0]  # all rows within a bound are exact
            for op, more in itertools.product(("<", "<="), ("", "AND t.k = 1000", "AND t.rowid IN (SELECT id FROM products)")):
                got = [id for id, in rows(bench.db, f"SELECT rowid FROM {metric}_t AS t WHERE e MATCH {q} AND t.distance {op} ? {more}", far)]
                kept = [id for id, distance in rows(bench.db, f"SELECT t.rowid, t.distance FROM {ask.short} {more}") if distance < far or (distance == far and op == "<=")]
                try:
                    equal(got, kept, f"{bench.name} {metric} distance {op} {far!r} {more}")
                except AssertionError as error:
                    faults.note(bench.name, error)


def engine_matrix(shop, name):
    bench, faults, draw = Bench(shop, name), Faults(), random.Random(name)
    ask_everything(bench, "before optimize", draw, faults)
    bench.command("optimize", '{"build_threads":1}')
    bench.lossy = True
    ask_everything(bench, "optimized", draw, faults)
    bench.change()
    ask_everything(bench, "changed", draw, faults)
    ask_at_the_bound(bench, faults)
    bench.command("optimize")
    ask_everything(bench, "folded", draw, faults)
    bench.again()
    ask_everything(bench, "loaded", draw, faults)
    ask_with_inputs_from_rows(bench, faults)
    bench.db.execute("BEGIN")
    for table in ["plain"] + [f"{metric}_t" for metric in bench.metrics]:
        for sql in ("DELETE FROM {} WHERE rowid % 5 = 0", "UPDATE {} SET e = (SELECT v FROM queries WHERE id = 0), n = 5 WHERE rowid % 50 = 1", "UPDATE {} SET c = 'a' WHERE rowid % 7 = 1"):
            bench.db.execute(sql.format(table))
    bench.look()
    ask_everything(bench, "in a transaction", draw, faults, share=.1)
    bench.db.execute("ROLLBACK")
    bench.look()
    ask_everything(bench, "rolled back", draw, faults, share=.1)
    bench.command("integrity-check")
    faults.raise_all()


for _name in (*ENGINES, *ON_GPU):
    globals()[f"test_{_name}_answers_every_condition_in_every_form"] = lambda shop, name=_name: engine_matrix(shop, name)


# Values on the edges of SQLite's conversions and comparisons; what a column makes of each is SQLite's affair.
EDGES = [None, 0, 5, -5, 2 ** 53, 2 ** 53 + 1, 2 ** 63 - 1, -2 ** 63, 0.0, -0.0, 5.0, 5.5, float(2 ** 53), 2.0 ** 63, -2.0 ** 63, 1e300, float("inf"), -float("inf"), 5e-324, 0.1, 1e15, 123456789012345680.0,
         "", " ", "5", " 5", "5 ", "5.0", "+5", "05", "5e0", "5.", ".5", "5x", "0x5", "-0", "9007199254740993", "9223372036854775807", "9223372036854775808", "1e999", "inf", "nan", "abc", "ABC", "abc ", "ab", "ä", "\U0001f600",
         "\uffff", "a\0b", "a\0", "a", b"", b"5", b"a", b"a\0b", b"abc", b"\xff"]


def test_comparisons_are_those_of_sqlite(shop):
    db = shop.connect()
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[1], {COLUMNS}, metric=l2)")
    db.execute(f"CREATE TABLE plain(id INTEGER PRIMARY KEY, {COLUMNS})")
    db.execute("CREATE TABLE edges(id INTEGER PRIMARY KEY, untyped, words TEXT)")
    db.execute("BEGIN")
    for i, value in enumerate(EDGES, 1):
        db.execute("INSERT INTO t(rowid, e, n, r, c) VALUES(?1, '[1]', ?2, ?2, ?2)", (i, value))
        db.execute("INSERT INTO plain VALUES(?1, ?2, ?2, ?2)", (i, value))
        db.execute("INSERT INTO edges VALUES(?1, ?2, ?2)", (i, value))
    db.execute("COMMIT")
    faults = Faults()

    def ask(condition, *arguments):
        try:
            equal(rows(db, f"SELECT t.rowid FROM t WHERE e MATCH '[0]' AND k = 1000 AND {condition}", *arguments), rows(db, f"SELECT t.id FROM plain t WHERE {condition} ORDER BY t.id", *arguments), f"{condition} {arguments}")
        except Exception as error:
            faults.note("", error)

    for column, value in itertools.product("nrc", EDGES):
        for op in OPERATORS:
            ask(f"t.{column} {op} ?", value)
        ask(f"t.{column} BETWEEN ? AND 6", value)
        ask(f"t.{column} IN (?, ?)", value, "5")
        ask(f"t.{column} IN (SELECT ? UNION ALL SELECT 'ab')", value)
        ask(f"t.{column} <> ?", value)
    for column, other in (("n", "untyped"), ("r", "untyped"), ("n", "words"), ("r", "words"), ("c", "words")):  # a text column beside numbers: see Limits
        ask(f"t.{column} IN (SELECT {other} FROM edges WHERE id % 3)")
        ask(f"t.{column} IN (SELECT {other} FROM edges) AND t.{column} > 4")
        for op in OPERATORS:
            same_rows(rows(db, f"SELECT s.id, t.rowid FROM edges s JOIN t ON t.e MATCH '[0]' AND t.k = 1000 AND t.{column} {op} s.{other}"), rows(db, f"SELECT s.id, t.id FROM edges s JOIN plain t ON t.{column} {op} s.{other}"), f"{column} {op} {other}")
    faults.raise_all()


def test_pairs_in_a_subquery_are_a_search_each(shop):
    """SQLite hands (n, c) IN (SELECT ...) over as n = and c =, once a pair, as in a join; k rows of each pair come back."""
    db = shop.connect()
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[1], {COLUMNS}, metric=l2)")
    db.executemany("INSERT INTO t(rowid, e, n, c) VALUES(?, ?, ?, ?)", [(1, "[1]", 1, "a"), (2, "[2]", 2, "b"), (3, "[3]", 2, "b"), (4, "[4]", 3, "c"), (5, "[5]", 1, "b")])
    db.execute("CREATE TABLE wanted(n INTEGER, c TEXT)")
    db.execute("INSERT INTO wanted VALUES(1, 'a'), (2, 'b'), (7, 'z')")
    same_rows(rows(db, "SELECT rowid, rank FROM t WHERE e MATCH '[0]' AND k = 1 AND (n, c) IN (SELECT n, c FROM wanted)"), [(1, 1), (2, 1)])
    constant = rows(db, "SELECT rowid, rank FROM t WHERE e MATCH '[0]' AND k = 3 AND (n, c) IN (VALUES(2, 'b'), (3, 'c'))")
    a_search_each, its_own = [(2, 1), (3, 2), (4, 1)], [(2, 2), (3, 3)]  # newer ones hand constant pairs over too
    equal(constant, its_own if one(db, "SELECT sqlite_version()").startswith("3.40.") else a_search_each)


def few_rows(db, factory, metric):
    """Fewer rows than lists, centroids or dimensions: the lists are exact, before optimize and after."""
    draw = np.random.default_rng(31)
    db.execute(f"CREATE VIRTUAL TABLE t USING rec_index(e float[{DIM}], n integer, metric={metric}, index='{factory}')")
    x, q = draw.normal(size=(20, DIM)).astype("<f4"), draw.normal(size=DIM).astype("<f4")
    x[4] = 0
    order = lambda ids: [ids[i] for i in np.lexsort((ids, -scores_of(metric, q.astype(float), x[ids].astype(float))))]
    for have in (0, 1, 2, 20, 3, 0):
        for id, in rows(db, "SELECT rowid FROM t WHERE rowid >= ?", have):
            db.execute("DELETE FROM t WHERE rowid = ?", (id,))
        for id in range(one(db, "SELECT count(*) FROM t"), have):
            db.execute("INSERT INTO t(rowid, e, n) VALUES(?, ?, ?)", (id, x[id].tobytes(), id % 3))
        for command in (None, "optimize", "rebuild", "integrity-check"):
            if command: db.execute("INSERT INTO t(t) VALUES(?)", (command,))
            equal(rows(db, "SELECT rowid FROM t(?, 30)", q.tobytes()), [(id,) for id in order(list(range(have)))], f"{factory} {metric}: all of {have} rows, {command}")
            equal(rows(db, "SELECT rowid FROM t(?, 2) WHERE n = 1", q.tobytes()), [(id,) for id in order(list(range(1, have, 3)))[:2]], f"{factory} {metric}: a third of {have} rows, {command}")
    db.execute("DROP TABLE t")


def test_tables_of_few_rows_are_searched_exactly(shop):
    db, faults = shop.connect(), Faults()
    factories = [factory for factory, storage, _ in ENGINES.values() if storage == "f32"] + ["HNSW8,SQ8", "IVF16,PQ4x4", "IVF16_HNSW8,Flat", "IVF16,PQ4,RFlat", "PCA4,Flat"]
    for factory, metric in zip(factories, itertools.cycle(METRICS)):
        try:
            few_rows(db, factory, metric)
        except Exception as error:
            faults.note(f"{factory} {metric}", error)
            db = shop.connect()
    faults.raise_all()


def test_a_graph_of_the_nsg_kind_over_few_rows(shop):
    """FAISS's NSG ends the process where it has too few rows: it is refused, or never built over them."""
    for factory in ("NSG8", "IVF16_NSG8,Flat"):
        db = shop.connect()
        try:
            few_rows(db, factory, "l2")
        except Exception as error:
            assert "NSG" in str(error), error
