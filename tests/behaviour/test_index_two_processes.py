"""A process that writes a rec_index beside one that reads it: no search sees a torn state.

Every row's vector follows from its tag, so a hit shows by itself whether vector, metadata and distance belong together.
There are GROUPS groups of SIZE rows that share a tag; a transaction renews all rows of a group or none. The row with a
negative tag is a clock: most transactions advance it and report the time once they are committed, and a search that
begins after the report may not show an earlier one."""
import itertools, math, os, random, select, struct, sys, time
from collections import Counter

from support import equal, one, rows, start
from test_index_crash import KINDS

DIM, GROUPS, SIZE, SINGLES = 6, 10, 5, 30
COLUMNS = f"e float[{DIM}], tag integer"
QUERIES = "CREATE TABLE q(tag INTEGER PRIMARY KEY, e BLOB)"


def vector_of(tag):
    """Whole numbers, the first one the largest: exact as float32, as half and in 8 bits."""
    draw = random.Random(tag)
    return struct.pack(f"<{DIM}f", 127, *(draw.randrange(-126, 127) for _ in range(DIM - 1)))


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(struct.unpack(f"<{DIM}f", a), struct.unpack(f"<{DIM}f", b))))


# ---- the writer ----

class Writer:
    def __init__(self, db, kind):
        self.db, self.kind, self.draw = db, kind, random.Random(kind.name)
        self.tag, self.time, self.keys, self.group = itertools.count(1), 0, itertools.count(1), []

    def put(self, number, tag, word="INSERT"):
        self.db.execute(f"{word} INTO {self.kind.target}({self.kind.key}, e, tag) VALUES(?, ?, ?)", (self.kind.key_of(number), vector_of(tag), tag))

    def fill(self):
        self.db.execute("BEGIN")
        self.put(0, -1)
        for _ in range(GROUPS):
            self.group.append((next(self.tag), [next(self.keys) for _ in range(SIZE)]))
            for number in self.group[-1][1]:
                self.put(number, self.group[-1][0])
        self.db.execute("COMMIT")

    def tick(self):
        self.time += 1
        self.db.execute(f"UPDATE {self.kind.target} SET e = ?, tag = ? WHERE {self.kind.key} = ?", (vector_of(-1 - self.time), -1 - self.time, self.kind.key_of(0)))

    def renewed(self, at, rows_of_it=SIZE):
        """Write the first rows of a group with a new tag, in one of three ways; gives the group as it is then."""
        (old, numbers), new, way = self.group[at], next(self.tag), self.draw.randrange(3)
        for place, number in enumerate(numbers[:rows_of_it]):
            if way == 0:
                self.db.execute(f"UPDATE {self.kind.target} SET e = ?, tag = ? WHERE {self.kind.key} = ?", (vector_of(new), new, self.kind.key_of(number)))
            elif way == 1:
                self.put(number, new, "INSERT OR REPLACE")
            else:
                self.db.execute(f"DELETE FROM {self.kind.target} WHERE {self.kind.key} = ?", (self.kind.key_of(number),))
                numbers = numbers[:place] + [next(self.keys)] + numbers[place + 1:]
                self.put(numbers[place], new)
        return new, numbers

    def renew_by_one_statement(self):
        at, new = self.draw.randrange(GROUPS), next(self.tag)
        self.db.execute(f"UPDATE {self.kind.target} SET e = ?, tag = ? WHERE tag = ?", (vector_of(new), new, self.group[at][0]))
        self.group[at] = (new, self.group[at][1])

    def single_row(self):
        number, tag = 10**6 + self.draw.randrange(SINGLES), 10**9 + next(self.tag)
        if self.draw.random() < 0.3:
            self.db.execute(f"DELETE FROM {self.kind.target} WHERE {self.kind.key} = ?", (self.kind.key_of(number),))
        else:
            self.put(number, tag, "INSERT OR REPLACE")

    def command(self):
        self.db.execute(f"INSERT INTO t(t) VALUES('{self.draw.choice(('optimize', 'rebuild'))}')")

    def transaction(self):
        self.db.execute("BEGIN IMMEDIATE")
        if self.draw.random() < 0.3:  # taken back when it is half done
            self.db.execute("SAVEPOINT s")
            self.renewed(self.draw.randrange(GROUPS), 2)
            self.db.execute("ROLLBACK TO s")
        renewed = {at: self.renewed(at) for at in self.draw.sample(range(GROUPS), self.draw.randrange(1, 4))}
        if self.draw.random() < 0.3:
            self.command()
        if self.draw.random() < 0.2:
            self.renewed(self.draw.choice([at for at in range(GROUPS) if at not in renewed]), 3)
            self.db.execute("ROLLBACK")
            return
        self.tick()
        self.db.execute("COMMIT")
        for at, group in renewed.items():
            self.group[at] = group

    def one_step(self):
        self.draw.choice((self.transaction, self.transaction, self.transaction, self.single_row, self.single_row, self.renew_by_one_statement, self.command))()


def write(db, name):
    """The writer's process: fills the table, then works until its input ends; prints the time after each commit."""
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=20")  # pages reach the file in the middle of a transaction
    writer = Writer(db, next(kind for kind in KINDS if kind.name == name))
    writer.fill()
    print(0, flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        writer.one_step()
        print(writer.time, flush=True)
        time.sleep(writer.draw.random() * 0.004)  # a reader gets its turn


WRITER = f"sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); from test_index_two_processes import write; write(db, NAME)"


# ---- the reader ----

class Reader:
    def __init__(self, shop, file, kind, writer):
        self.kind, self.writer, self.draw = kind, writer, random.Random(1)
        self.connections = [shop.connect(file) for _ in range(2)]
        self.said, self.acknowledged, self.seen, self.searches, self.tags = b"", 0, set(), 0, []

    def listen(self):
        """The last time that the writer reported."""
        while select.select([self.writer.stdout], [], [], 0)[0]:
            part = os.read(self.writer.stdout.fileno(), 65536)
            assert part, "the writer has ended"
            self.said = (self.said + part)[-1000:]
        lines = self.said.split(b"\n")[:-1]
        self.acknowledged = int(lines[-1]) if lines else self.acknowledged

    def search(self, db, query, k, condition=""):
        """Rows (distance, rowid, tag, vector), each of which is right in itself."""
        found = rows(db, f"SELECT distance, rowid, tag, e FROM t WHERE e MATCH ? AND k = ? {condition} ORDER BY rank", query, k)
        self.searches += 1
        for d, rowid, tag, e in found:
            equal((e, d), (vector_of(tag), distance(query, vector_of(tag))), f"vector and distance of row {rowid} with tag {tag}")
        equal([row[:2] for row in found], sorted(row[:2] for row in found), "the order")
        equal(len({row[1] for row in found}), len(found), "a row comes once")
        return found

    def whole(self, db):
        """All rows, found by one search: whole groups, and no older than what was acknowledged before."""
        least = self.acknowledged
        found = self.search(db, vector_of(self.draw.randrange(10**6)), 10**4)
        counts = Counter(row[2] for row in found)
        clock = [tag for tag in counts if tag < 0]
        groups = {tag: n for tag, n in counts.items() if 0 <= tag < 10**9}
        equal((len(clock), counts[clock[0]]), (1, 1), "one clock")
        equal(sorted(groups.values()), [SIZE] * GROUPS, f"whole groups at {-1 - clock[0]}: {groups}")
        assert -1 - clock[0] >= least, f"a search shows {-1 - clock[0]} after {least} was acknowledged"
        self.seen.add(clock[0])
        self.tags = list(groups)
        return found

    def group(self, db, tag, sizes=(0, SIZE)):
        found = self.search(db, vector_of(tag), SIZE + 3, f"AND tag = {tag}")
        assert len(found) in sizes and not any(row[0] for row in found), f"group {tag}: {found}"

    def some(self, db):
        equal(len(self.search(db, vector_of(self.draw.randrange(10**6)), 20)), 20, "k rows")

    def snapshot(self, db):
        """Within a transaction every search has the same rows, whatever the other process commits."""
        db.execute("BEGIN")
        found = self.whole(db)
        time.sleep(self.draw.random() * 0.01)
        equal(one(db, "SELECT count(*) FROM t"), len(found))
        for tag in self.draw.sample(self.tags, 3):
            self.group(db, tag, (SIZE,))
        query = vector_of(self.draw.randrange(10**6))
        nearest = self.search(db, query, 20)
        expected = sorted((distance(query, e), rowid) for _, rowid, _, e in found)[:20]
        equal(len(nearest), 20)
        if self.kind.name == "exact":
            equal([row[:2] for row in nearest], expected, "the nearest")
        batch = rows(db, "SELECT id, s.distance, s.rowid FROM rec_search('t', 'q', 'tag', 'e', 10000) s")
        distances = {}
        for tag, d, _ in batch:
            distances.setdefault(tag, []).append(d)
        for tag, listed in distances.items():
            equal(listed, sorted(distance(vector_of(tag), e) for *_, e in found), f"rec_search for {tag}")
        equal(set(distances), {1, 2, 3})
        again = {row[1:] for row in self.whole(db)}
        equal(again, {row[1:] for row in found}, "the same rows in one transaction")
        db.execute("COMMIT")

    def one_step(self):
        self.listen()
        db = self.draw.choice(self.connections)
        way = self.draw.randrange(5)
        if way < 2 or not self.tags:
            self.whole(db)
        elif way == 2:
            self.group(db, self.draw.choice(self.tags))
        elif way == 3:
            self.some(db)
        else:
            self.snapshot(db)


def read_beside_a_writer(shop, mode, kind):
    file = f"{mode}_{kind.name}.db"
    db = shop.connect(file)
    equal(one(db, f"PRAGMA journal_mode={mode}"), mode.lower())
    db.execute(QUERIES)
    db.executemany("INSERT INTO q VALUES(?, ?)", [(tag, vector_of(tag)) for tag in (1, 2, 3)])
    if kind.content:
        db.execute("CREATE TABLE products(id INTEGER PRIMARY KEY, e BLOB, tag INTEGER)")
    db.execute(kind.create("t", COLUMNS))
    db.close()
    writer = start(shop, WRITER.replace("NAME", repr(kind.name)), file)
    equal(writer.stdout.readline(), "0\n")
    reader = Reader(shop, file, kind, writer)
    while reader.searches < 100 or len(reader.seen) < 15:
        try:
            reader.one_step()
        except Exception as error:
            writer.kill()
            raise AssertionError(f"{kind.name}, {mode}, after {reader.searches} searches: {type(error).__name__} {error}")
    writer.stdin.write("stop\n")
    writer.stdin.flush()
    writer.communicate()
    equal(writer.returncode, 0, "the writer")
    for db in reader.connections:
        reader.whole(db)
        db.execute("INSERT INTO t(t) VALUES('integrity-check')")
        reader.whole(db)


def test_a_reader_beside_a_writer_with_a_rollback_journal_sees_whole_transactions(shop):
    for kind in KINDS:
        read_beside_a_writer(shop, "DELETE", kind)


def test_a_reader_beside_a_writer_with_a_write_ahead_log_sees_whole_transactions(shop):
    for kind in KINDS:
        read_beside_a_writer(shop, "WAL", kind)
