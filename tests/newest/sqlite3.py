"""The newest SQLite in the place of Python's own module: apsw (PyPI), which carries a SQLite of its own, under the names and
habits of sqlite3 that the behaviour suite uses. `make test-newest` puts this folder first on the path."""
import weakref

import apsw

sqlite_version = apsw.sqlite_lib_version()
Error = apsw.Error
OperationalError = DatabaseError = IntegrityError = InterfaceError = Error
PARSE_DECLTYPES = 0


def describing(owner):
    """Note the columns as a statement starts: an empty result has them too. No cycle: a cursor must go with its last name."""
    def describe(cursor, *_):
        owner().description = [(name, *[None] * 6) for name, _ in cursor.get_description()]
        return True
    return describe


class Cursor:
    def __init__(self, db):
        self.cursor, self.db, self.description = db.cursor(), db, None
        self.cursor.exec_trace = describing(weakref.ref(self))

    def execute(self, sql, arguments=()):
        self.cursor.execute(sql, arguments)
        return self

    def executemany(self, sql, many):
        self.cursor.executemany(sql, many)
        return self

    def fetchall(self):
        return list(self.cursor)

    def fetchone(self):
        return next(self.cursor, None)

    def __iter__(self):
        return iter(self.cursor)

    def __next__(self):
        return next(self.cursor)

    def close(self):
        self.cursor.close(True)

    @property
    def lastrowid(self):
        return self.db.last_insert_rowid()

    @property
    def rowcount(self):
        return self.db.changes()


class Connection:
    def __init__(self, path, isolation_level=None, timeout=5.0, check_same_thread=True, uri=False, **_):
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | (apsw.SQLITE_OPEN_URI if uri else 0)
        self.db = apsw.Connection(path, flags=flags)
        self.db.set_busy_timeout(int(timeout * 1000))

    def execute(self, sql, arguments=()):
        return self.cursor().execute(sql, arguments)

    def executemany(self, sql, many):
        return self.cursor().executemany(sql, many)

    def executescript(self, sql):
        return self.cursor().execute(sql)

    def cursor(self):
        return Cursor(self.db)

    def load_extension(self, path):
        self.db.load_extension(path)

    def enable_load_extension(self, on):
        self.db.enable_load_extension(on)

    def set_progress_handler(self, handler, n):
        self.db.set_progress_handler(handler and (lambda: bool(handler())), n)

    def set_authorizer(self, callback):
        self.db.set_authorizer(callback)

    def create_function(self, name, n, function, deterministic=False):
        self.db.create_scalar_function(name, function, n, deterministic=deterministic)

    def interrupt(self):
        self.db.interrupt()

    def serialize(self):
        return self.db.serialize("main")

    def commit(self):
        if self.in_transaction:
            self.db.execute("COMMIT")

    def rollback(self):
        if self.in_transaction:
            self.db.execute("ROLLBACK")

    def backup(self, target):
        with target.db.backup("main", self.db, "main") as backup:
            backup.step()

    @property
    def in_transaction(self):
        return self.db.in_transaction

    @property
    def total_changes(self):
        return self.db.total_changes()

    def close(self):
        try:
            self.db.close(True)
        except apsw.BusyError:
            pass  # sqlite3_close_v2, which Python calls, does not mind

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def connect(path, **options):
    return Connection(path, **options)
