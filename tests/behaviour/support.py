"""What the tests share: connections with the extension, small shops, and expectations that explain themselves."""
import functools, hashlib, os, random, sqlite3, subprocess, sys, unittest

EXTENSION = os.environ["REC_EXTENSION"]
PLAYED = os.path.join(os.path.dirname(EXTENSION), "tests", "device", "recommend")  # with a device that the CPU plays (tests/device/device.h)
ALGORITHMS = ("popular", "item_knn", "ials", "bpr", "mf", "ease", "slim", "graph", "user_knn", "session_knn", "sequence", "repeat", "blend")
PREDICTORS = ("linear", "ridge", "lasso", "elastic_net", "logistic", "svm", "kernel_svm", "factorization_machine", "neural_network", "tree", "forest", "boosting", "naive_bayes", "knn", "kmeans", "pca", "gaussian")
HIDES_SEEN = tuple(name for name in ALGORITHMS if name not in ("session_knn", "repeat"))  # the two offer it unless exclude_seen=true
HAS_SIMILAR = tuple(name for name in ALGORITHMS if name not in ("popular", "user_knn", "repeat"))


class Shop:
    """A temporary folder and the databases in it."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name="shop.db"):
        return os.path.join(self.folder, name)

    def connect(self, name=None, library=EXTENSION):
        """A connection; to memory where no name is given."""
        db = sqlite3.connect(self.path(name) if name else ":memory:", isolation_level=None, timeout=30, check_same_thread=False)
        db.enable_load_extension(True)
        db.load_extension(library)
        db.execute("PRAGMA synchronous=OFF")  # a killed process loses nothing by it, only a power cut would; it is several times faster
        return db


@functools.lru_cache(None)
def fetched(package):
    """The folder with a package of PyPI ("name==version"), by pip below BUILD/peers where it is not there yet; may hold nothing.

    A folder of its own: apsw and apsw-sqlite3mc are both the module apsw, and which came last would be the one that is imported."""
    name, version = package.split("==")
    folder = os.path.join(os.path.dirname(EXTENSION), "peers", package)
    if not os.path.isdir(os.path.join(folder, f"{name.replace('-', '_')}-{version}.dist-info")):
        try:
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--retries", "1", "--timeout", "10", "--target", folder, package], capture_output=True, timeout=90)
        except subprocess.TimeoutExpired:
            pass
    return folder


@functools.lru_cache(None)
def gpu_libraries():
    """The extensions that have a GPU: the real one where there is one, and the one whose device the CPU plays."""
    db = Shop(None).connect()
    real = [EXTENSION] if one(db, "SELECT count(*) FROM rec_devices WHERE device = 'gpu:0' AND state = 'ready'") else []
    return real + ([PLAYED] if os.path.exists(PLAYED + ".so") else [])


def gpu_library():
    if not gpu_libraries():
        raise unittest.SkipTest("no GPU, and no device that the CPU plays (make test builds it)")
    return gpu_libraries()[0]


def rows(db, sql, *arguments):
    return db.execute(sql, arguments).fetchall()


def one(db, sql, *arguments):
    row = db.execute(sql, arguments).fetchone()
    return row[0] if row else None


def equal(got, expected, what=""):
    assert got == expected, f"{what}\n  got      {str(got)[:600]}\n  expected {str(expected)[:600]}"


def same_rows(got, expected, what=""):
    equal(sorted(got, key=repr), sorted(expected, key=repr), what)


def refused(db, sql, *arguments, says):
    """The statement fails and its text holds every word of `says`."""
    try:
        db.execute(sql, arguments).fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        for word in [says] if isinstance(says, str) else says:
            assert word in str(error), f"{sql}\n  said     {error}\n  expected {word}"
        return
    raise AssertionError(f"not refused: {sql}")


def make_events(db, users=40, items=50, seed=3, table="events"):
    """A table of events with a long tail, and products and users beside it."""
    draw = random.Random(seed)
    db.execute(f"CREATE TABLE {table}(user INTEGER, item INTEGER, n REAL, t INTEGER)")
    listed = [(user, int(draw.paretovariate(0.6)) % items + 1, draw.randrange(1, 4), draw.randrange(1000))
              for user in range(1, users + 1) for _ in range(draw.randrange(1, 12))]
    db.execute("SAVEPOINT make_events")  # one commit
    db.executemany(f"INSERT INTO {table} VALUES(?, ?, ?, ?)", listed)
    db.execute("RELEASE make_events")


def make_model(db, name="m", algorithm="item_knn", train=True, events="events", more=""):
    db.execute(f"CREATE VIRTUAL TABLE {name} USING rec_model(events={events}, user=user, item=item, weight=n, time=t, algorithm={algorithm}{more})")
    if train:
        db.execute(f"INSERT INTO {name}({name}) VALUES('train')")


def trained_blob(db, name="m"):
    """A version as rec_train gives it, and where its content ends: 32 bytes of checksum follow, then the times of training, which are not summed,
    and what it was trained on."""
    blob = one(db, "SELECT rec_train(?)", name)
    return blob, end_of_times(blob) - len(rows(db, "SELECT * FROM rec_training_log WHERE model = ?", name)) * 24 - 16 - 32


def end_of_times(blob):
    """Where a version says what it was trained on: a length, JSON, and its hash."""
    return blob.rindex(b'{"fingerprint"') - 4


def refuses_flipped_bits(db, name, draw, times):
    """A version with one bit of content or checksum flipped, or cut short, is not loaded, and in the database it is found."""
    blob, end = trained_blob(db, name)
    for _ in range(times):
        bad = bytearray(blob)
        place = draw.randrange(end + 32 + len(blob) - end_of_times(blob))
        bad[place if place < end + 32 else place - (end + 32) + end_of_times(blob)] ^= 1 << draw.randrange(8)
        refused(db, f"INSERT INTO {name}({name}, arg) VALUES('load', ?)", bytes(bad), says="load: ")
        refused(db, f"INSERT INTO {name}({name}, arg) VALUES('load', ?)", blob[:draw.randrange(len(blob))], says="load: ")
    db.execute(f"UPDATE {name}_chunks SET data = ?", (bytes(bad),))
    refused(db, f"INSERT INTO {name}({name}) VALUES('integrity-check')", says="integrity-check: version 1")


def resealed(bad, end):
    """The damaged version with the checksum that fits its content."""
    return bytes(bad[:end]) + hashlib.sha256(bytes(bad[:end])).digest() + bytes(bad[end + 32:])


def malformed(blob, end, draw, place=None):
    """The version with one to five bits of its content flipped (at place(), or anywhere) and the checksum that fits."""
    bad = bytearray(blob)
    for _ in range(draw.randrange(1, 6)):
        bad[place() if place else draw.randrange(end)] ^= 1 << draw.randrange(8)
    return resealed(bad, end)


def shadow(db, name):
    """Everything in the shadow tables, for 'nothing changed'."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type='table' AND name LIKE ? || '!_%' ESCAPE '!' ORDER BY 1", (name,))]
    return {table: db.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}


def vector(*values):
    return "[" + ",".join(repr(float(value)) for value in values) + "]"


PRELUDE = """import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.enable_load_extension(True)
db.load_extension(sys.argv[2])
"""


def start(shop, code, name="shop.db"):
    """A Python process that has the database open as `db`, with the extension loaded."""
    return subprocess.Popen([sys.executable, "-c", PRELUDE + code, shop.path(name), EXTENSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
