"""A client of dqlite in Python's standard library: https://dqlite.io/docs/protocol, version 1.

    cluster = Cluster(["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103"], "shop")
    cluster.execute("INSERT INTO recs(recs) VALUES('train')")
    cluster.query("SELECT item FROM recs WHERE user = ? AND k = 10", [12388])

A statement goes to whichever node leads. A read is asked again, and a write that a node refused because it does not lead or folds in
its log, until `patience` (seconds) is over. A write whose node lost the lead before it answered may have happened or not: that is
`Gone`, unless `done`, a query and its values, tells by having a row; where it has none the write is made again.

    cluster.execute("INSERT INTO orders VALUES(?, ?)", [order, customer], done=("SELECT 1 FROM orders WHERE id = ?", [order]))"""
import socket
import struct
import time

LEADER, OPEN, EXEC_SQL, QUERY_SQL, ADD, ASSIGN, REMOVE, DUMP, CLUSTER, TRANSFER = 0, 3, 8, 9, 12, 13, 14, 15, 16, 17
FAILURE = 0
INTEGER, FLOAT, TEXT, BLOB, NULL, ISO8601, BOOLEAN = 1, 2, 3, 4, 5, 10, 11
VOTER = 0
# SQLite's, and dqlite's own among the I/O errors. NOT_LEADING is raft's word for NOT_LEADER while the lead changes hands
BUSY, NOT_LEADING, NOT_LEADER, LEADERSHIP_LOST = 5, (7, "no more rows available"), 10 | 40 << 8, 10 | 41 << 8
LAST, MORE = 0xFFFFFFFFFFFFFFFF, 0xEEEEEEEEEEEEEEEE  # after the rows of an answer


class Error(Exception):
    """What SQLite or dqlite answered."""

    def __init__(self, code, message):
        super().__init__(f"{message} ({code})")
        self.code = code


class Gone(Exception):
    """The node answers no more, or has lost the lead meanwhile."""


class Refused(Gone):
    """The node does not lead, or is busy: nothing has happened."""


def padded(data):
    return data + bytes(-len(data) % 8)


def text(value):
    if "\0" in value:
        raise ValueError("a text with a NUL: what stands behind it would be read as the next value")
    return padded(value.encode(errors="surrogateescape") + b"\0")


def value_bytes(value):
    if value is None:
        return NULL, bytes(8)
    if isinstance(value, bool):
        return BOOLEAN, struct.pack("<Q", value)
    if isinstance(value, int):
        return INTEGER, struct.pack("<q", value)
    if isinstance(value, float):
        return FLOAT, struct.pack("<d", value)
    if isinstance(value, str):
        return TEXT, text(value)
    return BLOB, struct.pack("<Q", len(value)) + padded(bytes(value))


def parameters(values):
    """A count and a type of one byte each, padded, and the values."""
    if len(values) > 255:
        raise ValueError("at most 255 parameters; send many rows as one JSON: ... FROM json_each(?)")
    kinds = [value_bytes(value) for value in values]
    return padded(bytes([len(kinds)]) + bytes(kind for kind, _ in kinds)) + b"".join(data for _, data in kinds) if values else b""


class Answer:
    """A message's body, read from its start."""

    def __init__(self, kind, body):
        self.kind, self.body, self.at = kind, body, 0

    def number(self, form="<Q"):
        self.at += 8
        return struct.unpack_from(form, self.body, self.at - 8)[0]

    def text(self):
        end = self.body.index(b"\0", self.at)
        value = self.body[self.at:end].decode(errors="surrogateescape")
        self.at += (end - self.at) // 8 * 8 + 8
        return value

    def value(self, kind):
        if kind in (TEXT, ISO8601):
            return self.text()
        if kind == BLOB:
            size = self.number()
            self.at += size + -size % 8
            return self.body[self.at - size - -size % 8:self.at - -size % 8]
        number = self.number("<d" if kind == FLOAT else "<q")
        return None if kind == NULL else bool(number) if kind == BOOLEAN else number

    def failure(self):
        """(code, message), at the body's end: what a query had found before it failed stands before them. Of their words of eight bytes
        only the code and the message's last one hold a zero."""
        start = max(0, len(self.body) - 16)
        while start > 0 and 0 not in self.body[start:start + 8]:
            start -= 8
        self.at = start
        return self.number(), self.text()

    def rows(self, into):
        """Appends the rows; are there more in the next message?"""
        columns = self.number()
        for _ in range(columns):
            self.text()
        while True:
            word = struct.unpack_from("<Q", self.body, self.at)[0]
            if word in (LAST, MORE):
                return word == MORE
            kinds = [self.body[self.at + c // 2] >> 4 * (c % 2) & 15 for c in range(columns)]  # four bits each
            self.at += ((columns + 1) // 2 + 7) // 8 * 8
            into.append(tuple(self.value(kind) for kind in kinds))


class Node:
    """A connection to one node."""

    def __init__(self, address, timeout=30):
        host, port = address.rsplit(":", 1)
        try:
            self.socket = socket.create_connection((host, int(port)), timeout)
        except OSError as error:
            raise Gone(f"{address}: {error}") from error
        try:
            self.socket.sendall(struct.pack("<Q", 1))
        except OSError as error:
            self.socket.close()
            raise Gone(f"{address}: {error}") from error

    def close(self):
        self.socket.close()

    def send(self, kind, body):
        try:
            self.socket.sendall(struct.pack("<IBBH", len(body) // 8, kind, 0, 0) + body)
        except OSError as error:
            raise Gone(str(error)) from error

    def receive(self, size):
        data = bytearray()
        while len(data) < size:
            try:
                part = self.socket.recv(min(size - len(data), 1 << 20))
            except OSError as error:
                raise Gone(str(error)) from error
            if not part:
                raise Gone("the connection was closed")
            data += part
        return bytes(data)

    def answer(self):
        words, kind, _, _ = struct.unpack("<IBBH", self.receive(8))
        answer = Answer(kind, self.receive(8 * words))
        if kind != FAILURE:
            return answer
        code, message = answer.failure()
        if code in (BUSY, NOT_LEADER) or (code, message) == NOT_LEADING:
            raise Refused(message)
        raise Gone(message) if code == LEADERSHIP_LOST else Error(code, message)

    def ask(self, kind, body):
        self.send(kind, body)
        return self.answer()

    def leader(self):
        """(id, address) of the node that leads, as this one knows; address '': of nobody."""
        answer = self.ask(LEADER, bytes(8))
        return answer.number(), answer.text()

    def open(self, database):
        self.ask(OPEN, text(database) + bytes(8) + text("volatile"))

    def execute(self, sql, values=()):
        """One statement that writes: (last rowid, rows changed). Of several the first would be made again where a later one is refused."""
        answer = self.ask(EXEC_SQL, bytes(8) + text(sql) + parameters(values))
        return answer.number("<q"), answer.number()

    def query(self, sql, values=()):
        rows = []
        self.send(QUERY_SQL, bytes(8) + text(sql) + parameters(values))
        while self.answer().rows(rows):
            pass
        return rows

    def files(self, database):
        """{name: bytes} of the database and its log, as this node has them, whether it leads or not: a copy to read and to train on."""
        answer, files = self.ask(DUMP, text(database)), {}
        for _ in range(answer.number()):
            name, size = answer.text(), answer.number()
            files[name] = answer.body[answer.at:answer.at + size]
            answer.at += size + -size % 8
        return files

    # ---- of the node that leads ----

    def nodes(self):
        """{id: (address, role)}"""
        answer = self.ask(CLUSTER, struct.pack("<Q", 1))
        return {answer.number(): (answer.text(), answer.number()) for _ in range(answer.number())}

    def add(self, node, address):
        self.ask(ADD, struct.pack("<Q", node) + text(address))

    def make_voter(self, node):
        self.ask(ASSIGN, struct.pack("<QQ", node, VOTER))

    def remove(self, node):
        self.ask(REMOVE, struct.pack("<Q", node))

    def transfer(self, node):
        """Lets another voter lead."""
        self.ask(TRANSFER, struct.pack("<Q", node))


class Cluster:
    """Several nodes, and the connection to the one that leads."""

    def __init__(self, addresses, database, patience=30):
        self.addresses, self.database, self.patience, self.node = list(addresses), database, patience, None

    def close(self):
        if self.node:
            self.node.close()
        self.node = None

    def find(self):
        """A connection to the leader, whoever knows it."""
        for address in self.addresses:
            try:
                asked = Node(address, 2)
                try:
                    leader = asked.leader()[1]
                finally:
                    asked.close()
                if leader:
                    node = Node(leader)
                    try:
                        node.open(self.database)
                        node.query("SELECT 1")  # waits for all that was written before it led; else its first statement may find less
                    except BaseException:
                        node.close()
                        raise
                    return node
            except (Gone, Error):
                pass
        return None

    def connect(self, end=None):
        """Who leads; Refused where nobody has until `end`."""
        end = time.monotonic() + self.patience if end is None else end
        while not self.node:
            self.node = self.find()
            if not self.node:
                if time.monotonic() > end:
                    raise Refused(f"nobody has led for {self.patience} s")
                time.sleep(.02)
        return self.node

    def ask(self, method, again, sql, values, end):
        while True:
            try:
                return method(self.connect(end), sql, values)
            except Error:
                raise
            except Gone as error:
                self.close()
                if not isinstance(error, again) or time.monotonic() > end:
                    raise
                time.sleep(.02)
            except BaseException:  # half an answer is still on its way: the next one would be taken for it
                self.close()
                raise

    def query(self, sql, values=()):
        return self.ask(Node.query, Gone, sql, values, time.monotonic() + self.patience)

    def fence(self, end=None):
        """After it, no write that was not found to have happened ever will: a node that has come to lead answers reads before it has made
        a write, and until then one that was sent to the leader before it may still come back with that leader."""
        end = time.monotonic() + self.patience if end is None else end
        while True:
            try:
                for sql in ("CREATE TABLE IF NOT EXISTS dqlite_fence(passed INTEGER)",
                            "INSERT OR REPLACE INTO dqlite_fence(rowid, passed) SELECT 1, ifnull(max(passed), 0) + 1 FROM dqlite_fence"):
                    self.ask(Node.execute, Refused, sql, (), end)
                return
            except Gone:
                if time.monotonic() > end:
                    raise

    def execute(self, sql, values=(), done=None):
        """(last rowid, rows changed); None where `done` found that it has happened."""
        end = time.monotonic() + self.patience
        while True:
            try:
                return self.ask(Node.execute, Refused, sql, values, end)
            except Refused:
                raise
            except Gone:
                if not done:
                    raise
                self.fence(end)
                if self.ask(Node.query, Gone, *done, end):
                    return None
