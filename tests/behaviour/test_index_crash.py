"""kill -9 at random points of what changes a rec_index: what was acknowledged stays, and nothing is half there.

Parent and child know the same history: transaction i follows from the seed, the kind of work and the content before it.
The child, a fork of this warm process, works without an end and writes a byte before each transaction and one after each
commit; the parent kills it after a random time. Then the file must hold the content after the last acknowledged commit,
or after the transaction that was under way, whole; it must pass both integrity checks; and a search must find what brute
force over that content finds: with what this process had in its cache, in half of the cases also in a connection that
was open and searching during the kill, and then with nothing."""
import math, os, random, signal, sqlite3, struct, time, traceback

from support import equal, one, rows

DIM, FEWEST, MOST = 6, 40, 120
COLUMNS = f"e float[{DIM}], price real, kind text"
PRODUCTS = "CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB, price REAL, kind TEXT, stock INTEGER DEFAULT 0)"


class Kind:
    """A kind of table. Rows are written to `target` and have the key `key`."""

    def __init__(self, name, more="", content=False, text_key=False):
        self.name, self.more, self.content = name, more, content
        self.target, self.key = ("products" if content else "t"), ("sku" if text_key else "rowid")

    def create(self, name, columns=COLUMNS):
        return f"CREATE VIRTUAL TABLE {name} USING rec_index({'sku text primary key, ' * (self.key == 'sku')}{columns}, metric=l2{self.more})"

    def key_of(self, number):
        return f"s{number}" if self.key == "sku" else number


KINDS = (
    Kind("exact"),
    Kind("graph", more=", index=HNSW16"),
    Kind("ivf", more=", index='IVF4,Flat', storage=f16"),
    Kind("key", more=", index=HNSW16, storage=sq8", text_key=True),
    Kind("content", more=", index='IVF4,Flat', content=products", content=True),
    Kind("content_graph", more=", index=HNSW16, content=products", content=True),
)
QUERY = struct.pack(f"<{DIM}f", *range(DIM))
WORK = ("rows", "optimize", "rows", "rebuild", "all", "tables")


def draw_vector(draw):
    """Small whole numbers, the first one the largest: exact as float32, as half and in 8 bits, and so are the distances."""
    return struct.pack(f"<{DIM}f", draw.choice((-127, 127)), *(draw.randrange(-126, 127) for _ in range(DIM - 1)))


# ---- the history: content is {key number: (vector or None, price, kind)} ----

class Writer:
    """Collects the statements of a transaction and what they make of the content."""

    def __init__(self, kind, content):
        self.kind, self.content, self.statements = kind, dict(content), []
        self.columns = f"{kind.key}, e, price, kind"

    def run(self, sql, *arguments):
        self.statements.append((sql, arguments))

    def row(self, draw):
        nothing = self.kind.content and draw.random() < 0.1  # NULL: a product without a vector
        return None if nothing else draw_vector(draw), draw.randrange(100) / 4, draw.choice(("a", "b", None))

    def new_number(self, draw):
        return draw.choice([number for number in range(1, 4 * MOST) if number not in self.content])

    def insert(self, draw):
        number, row = self.new_number(draw), self.row(draw)
        self.run(f"INSERT INTO {self.kind.target}({self.columns}) VALUES(?, ?, ?, ?)", self.kind.key_of(number), *row)
        self.content[number] = row

    def append(self, draw):
        if self.kind.key == "sku":
            return self.insert(draw)
        row = self.row(draw)
        self.run(f"INSERT INTO {self.kind.target}(e, price, kind) VALUES(?, ?, ?)", *row)
        self.content[max(self.content, default=0) + 1] = row

    def insert_several(self, draw):
        new = [(number, self.row(draw)) for number in draw.sample([n for n in range(1, 4 * MOST) if n not in self.content], 8)]
        self.run(f"INSERT INTO {self.kind.target}({self.columns}) VALUES" + ", ".join(["(?, ?, ?, ?)"] * len(new)),
                 *(value for number, row in new for value in (self.kind.key_of(number), *row)))
        self.content.update(new)

    def replace(self, draw):
        number, row = draw.randrange(1, 4 * MOST), self.row(draw)
        self.run(f"INSERT OR REPLACE INTO {self.kind.target}({self.columns}) VALUES(?, ?, ?, ?)", self.kind.key_of(number), *row)
        self.content[number] = row

    def change_vector(self, draw):
        number, vector = draw.choice(sorted(self.content)), draw_vector(draw)
        self.run(f"UPDATE {self.kind.target} SET e = ? WHERE {self.kind.key} = ?", vector, self.kind.key_of(number))
        self.content[number] = (vector, *self.content[number][1:])

    def change_price(self, draw):
        number, price = draw.choice(sorted(self.content)), draw.randrange(100) / 4
        self.run(f"UPDATE {self.kind.target} SET price = ? WHERE {self.kind.key} = ?", price, self.kind.key_of(number))
        self.content[number] = (self.content[number][0], price, self.content[number][2])

    def change_key(self, draw):
        number, new = draw.choice(sorted(self.content)), self.new_number(draw)
        self.run(f"UPDATE {self.kind.target} SET {self.kind.key} = ? WHERE {self.kind.key} = ?", self.kind.key_of(new), self.kind.key_of(number))
        self.content[new] = self.content.pop(number)

    def delete(self, draw):
        number = draw.choice(sorted(self.content))
        self.run(f"DELETE FROM {self.kind.target} WHERE {self.kind.key} = ?", self.kind.key_of(number))
        del self.content[number]

    def delete_several(self, draw):
        least = draw.randrange(90, 100) / 4
        self.run(f"DELETE FROM {self.kind.target} WHERE price >= ?", least)
        self.content = {number: row for number, row in self.content.items() if row[1] < least}

    def taken_back(self, draw):
        before = dict(self.content)
        self.run("SAVEPOINT s")
        for _ in range(3):
            self.one(draw)
        self.run("ROLLBACK TO s")
        self.run("RELEASE s")
        self.content = before

    def one(self, draw):
        if len(self.content) < FEWEST:
            return self.insert_several(draw)
        if len(self.content) > MOST:
            return self.delete_several(draw) if draw.random() < 0.2 else self.delete(draw)
        draw.choice((self.insert, self.append, self.replace, self.change_vector, self.change_vector, self.change_price, self.change_key, self.delete))(draw)

    def command(self, command):
        self.run(f"INSERT INTO t(t) VALUES('{command}')")


def transaction(kind, work, i, content):
    """The statements of transaction i of that work and the content after it."""
    draw, writer = random.Random(f"{kind.name} {work} {i}"), Writer(kind, content)
    if work == "tables" and kind.content and i % 2:  # nothing of its own is lost by it
        return [("BEGIN", ()), ("DROP TABLE t", ()), (kind.create("t"), ()), ("COMMIT", ())], content
    if work == "tables":
        return [(kind.create("extra"), ()), ("DROP TABLE extra", ())], content
    command = draw.choice(("optimize", "rebuild", None)) if work == "all" else work if work != "rows" else None
    alone = draw.random() < 0.3  # one statement, which commits itself
    if alone:
        writer.command(command) if command else writer.one(draw)
        return writer.statements, writer.content
    writer.run("BEGIN IMMEDIATE")
    for _ in range(draw.randrange(1, 20 if work in ("rows", "all") else 5)):
        writer.taken_back(draw) if draw.random() < 0.05 else writer.one(draw)
    if command:
        writer.command(command)
        if draw.random() < 0.5:
            writer.one(draw)  # beside what the command has just stored
    if draw.random() < 0.1:
        writer.run("ROLLBACK")
        return writer.statements, content
    writer.run("COMMIT")
    return writer.statements, writer.content


# ---- the child ----

def settings(db, mode):
    """As little in memory as can be, so that pages reach the files in the middle of a transaction; many checkpoints."""
    db.execute("PRAGMA page_size=1024")
    equal(one(db, f"PRAGMA journal_mode={mode}"), mode.lower())
    db.execute("PRAGMA cache_size=5")
    if mode == "WAL":  # SQLite 3.40 loses commits by a crash after a ROLLBACK TO in a transaction that has spilled its cache
        db.execute("PRAGMA cache_spill=OFF")
    db.execute("PRAGMA wal_autocheckpoint=20")


def work_until_killed(shop, file, mode, kind, work, i, content, pipe):
    """Never comes back. Writes G (go), then for each transaction B (begun) and C (committed)."""
    try:
        db = shop.connect(file)
        settings(db, mode)
        os.write(pipe, b"G")
        while True:
            statements, content = transaction(kind, work, i, content)
            os.write(pipe, b"B")
            for sql, arguments in statements:
                db.execute(sql, arguments).fetchall()
            os.write(pipe, b"C")
            i += 1
    except BaseException:
        os.write(pipe, b"X" + traceback.format_exc().encode())
    finally:
        os._exit(1)


def killed(shop, file, mode, kind, work, i, content, delay, watch):
    """What the child had written to its pipe when it was killed, and a connection that has seen it at work if `watch`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        work_until_killed(shop, file, mode, kind, work, i, content, writing)
    os.close(writing)
    said, end, db = os.read(reading, 1), time.monotonic() + delay, None
    if watch:  # opened after the fork: an open database must not be carried through one
        db = shop.connect(file)
        db.execute("PRAGMA busy_timeout=5")
        try:
            rows(db, "SELECT rowid FROM t WHERE e MATCH ? AND k = 3", QUERY)
        except sqlite3.OperationalError as error:
            assert "locked" in str(error) or "schema has changed" in str(error), error
        db.execute("PRAGMA busy_timeout=30000")
    time.sleep(max(0, end - time.monotonic()))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    while part := os.read(reading, 65536):
        said += part
    os.close(reading)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and b"X" not in said, f"{kind.name}, {work}: the child ended by itself: {said.decode()[-1500:]}"
    return said.decode(), db or shop.connect(file)


# ---- what must hold after the kill ----

def stored(db, kind):
    """The content as the file has it: by key, and what the index itself reads."""
    target = {key: (e, price, word) for key, e, price, word in rows(db, f"SELECT {kind.key}, e, price, kind FROM {kind.target}")}
    indexed = {key: (e, price, word) for key, e, price, word in rows(db, f"SELECT {kind.key}, e, price, kind FROM t")} if kind.content else target
    return target, indexed


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(struct.unpack(f"<{DIM}f", a), struct.unpack(f"<{DIM}f", b))))


def check_searches(db, kind, content, rowid_of, draw):
    """Content by key; the rows of a search are right ones, all k of them, and where the search is exact, the best ones."""
    query, low = draw_vector(draw), draw.randrange(60) / 4
    for k, condition, allowed in ((len(content) + 5, "", lambda row: True), (10, "", lambda row: True), (10, f"AND price >= {low} AND kind = 'a'", lambda row: row[1] >= low and row[2] == "a")):
        expected = sorted((distance(query, row[0]), rowid_of[key], key) for key, row in content.items() if row[0] and allowed(row))[:k]
        got = rows(db, f"SELECT distance, rowid, {kind.key}, price, kind, e FROM t WHERE e MATCH ? AND k = ? {condition} ORDER BY rank", query, k)
        what = f"{kind.name}: the {k} nearest {condition}"
        for d, rowid, key, price, word, e in got:
            equal((e, price, word), content.get(key), f"{what}: row {key}")
            equal((rowid, d), (rowid_of[key], distance(query, e)), f"{what}: rowid and distance of row {key}")
        equal(len(got), len(expected), f"{what}: number of rows")
        equal([row[:3] for row in got], sorted(row[:3] for row in got), f"{what}: order")
        if kind.name == "exact" or k > len(content):
            equal([row[:3] for row in got], expected, what)


def described(content, expected):
    return [f"{key}: {content.get(key)} instead of {expected.get(key)}" for key in sorted(set(content) | set(expected), key=str) if content.get(key) != expected.get(key)][:5]


def check_after_kill(db, kind, possible, draw):
    """Which of the possible contents, each by number, the file holds."""
    searched = {key for key, in rows(db, f"SELECT {kind.key} FROM t WHERE e MATCH ? AND k = 1000", QUERY)}  # the first read of all
    target, indexed = stored(db, kind)
    by_key = [{kind.key_of(number): row for number, row in content.items()} for content in possible]
    at = next((at for at, content in enumerate(by_key) if content == target), None)
    assert at is not None, f"neither before nor after the transaction: {described(target, by_key[0])} and {described(target, by_key[-1])}"
    with_vector = {key: row for key, row in target.items() if row[0] is not None}
    equal(indexed, with_vector, "the rows of the index")
    equal(searched, set(with_vector), "the rows of the first search")
    rowid_of = dict(rows(db, f"SELECT {kind.key}, rowid FROM t"))
    check_searches(db, kind, with_vector, rowid_of, draw)
    equal(one(db, "PRAGMA integrity_check"), "ok")
    db.execute("INSERT INTO t(t) VALUES('integrity-check')")
    db.execute("INSERT INTO t(t) VALUES('drop-cache')")
    check_searches(db, kind, with_vector, rowid_of, draw)
    tables = {name: one(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE ? || '!_%' ESCAPE '!'", name) for name in ("t", "extra")}
    if one(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"):  # killed between CREATE and DROP
        equal(tables["extra"], tables["t"], "the shadow tables")
        rows(db, "SELECT rowid FROM extra WHERE e MATCH ? AND k = 1", QUERY)
        db.execute("DROP TABLE extra")
    equal(rows(db, "SELECT name FROM sqlite_schema WHERE name LIKE 'extra%'"), [], "left of a table that is not there")
    return at


class Counts:
    kills = inside = commits = journals = 0  # inside: a transaction was under way

    def __str__(self):
        return f"{self.kills} kills, {self.inside} inside a transaction, {self.journals} with a journal, {self.commits} commits"


def begin(shop, file, mode, kind, draw):
    """The table with its first content, which is returned."""
    db, first = shop.connect(file), Writer(kind, {})
    settings(db, mode)
    if kind.content:
        db.execute(PRODUCTS)
    db.execute(kind.create("t"))
    while len(first.content) < 2 * FEWEST:
        first.insert_several(draw)
    for sql, arguments in first.statements:
        db.execute(sql, arguments)
    db.execute("INSERT INTO t(t) VALUES('optimize')")
    db.close()
    return first.content


def kill_often(shop, mode, kind, rounds, counts):
    """`rounds` kills in each sort of work."""
    file, i, draw = f"{mode}_{kind.name}.db", 0, random.Random(f"{mode} {kind.name}")
    content = begin(shop, file, mode, kind, draw)
    spent, done = dict.fromkeys(WORK, 0.01), dict.fromkeys(WORK, 1)  # seconds and transactions so far
    for at in range(rounds * len(WORK)):
        work = WORK[at % len(WORK)]
        delay = draw.uniform(0, min(0.1, 4 * spent[work] / done[work]))
        said, db = killed(shop, file, mode, kind, work, i, content, delay, watch=draw.random() < 0.5)
        journal = shop.path(file) + "-journal"
        counts.kills, counts.inside, counts.commits = counts.kills + 1, counts.inside + said.endswith("B"), counts.commits + said.count("C")
        counts.journals += os.path.exists(journal) and os.path.getsize(journal) > 0
        spent[work], done[work] = spent[work] + delay, done[work] + said.count("C")
        for _ in range(said.count("C")):
            content, i = transaction(kind, work, i, content)[1], i + 1
        possible = [content] + [transaction(kind, work, i, content)[1]] * said.endswith("B")
        try:
            content = possible[check_after_kill(db, kind, possible, draw)]
        except Exception as error:
            raise AssertionError(f"{kind.name}, {mode}, kill {at} in {work} after {said}: {type(error).__name__} {error}")
        i += 1
        db.close()


def kill_every_kind(shop, mode):
    counts = Counts()
    for kind in KINDS:
        kill_often(shop, mode, kind, 6, counts)
    # 216 kills; most of them hit a transaction, and work was done between them
    assert counts.kills >= 200 and counts.inside > counts.kills / 2 and counts.commits > counts.kills / 2, str(counts)
    return counts


def test_216_kills_with_a_rollback_journal_lose_nothing_and_leave_nothing_half_done(shop):
    counts = kill_every_kind(shop, "DELETE")
    assert counts.journals > 20, str(counts)  # there was something to roll back


def test_216_kills_with_a_write_ahead_log_lose_nothing_and_leave_nothing_half_done(shop):
    kill_every_kind(shop, "WAL")
