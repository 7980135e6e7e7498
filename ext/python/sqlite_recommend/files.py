"""Vectors in and out, as other tools keep them: .npy, .fvecs, .fbin and their kin, Parquet, the factors of implicit and of Spark, FAISS.

    ids, vectors = files.read_vectors("images.npy")
    files.load_index(db, "looks", vectors, ids, metric="cosine")
    files.write_vectors("looks.fvecs", *files.index_vectors(db, "looks"))
    files.load_factors(db, "als", "als.npz", users=user_keys, items=item_keys)
    files.write_faiss("looks.faiss", *files.index_vectors(db, "looks"), metric="cosine")

NumPy is needed, and pandas (with pyarrow) for Parquet. Nothing is committed: db.commit() is yours."""
import contextlib
import importlib
import json
import os
import re
import struct
from typing import Any, BinaryIO, Dict, Iterable, Iterator, Optional, Sequence, Tuple

from ._parameters import vector

# The files of the corpus-texmex and big-ann-benchmarks collections: each row as (int32 d, d elements); or (uint32 n, uint32 d) and then
# all elements.
_ROWS = {".fvecs": "<f4", ".bvecs": "u1", ".ivecs": "<i4"}
_BLOCKS = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1", ".ibin": "<i4"}
_VECTOR_NAMES = ("vector", "embedding", "features", "factors")
_ID_NAMES = ("id", "item", "user", "key", "rowid")


class FormatError(ValueError):
    """A file that is not what its name says, or has nothing of the kind in it."""


def _numpy() -> Any:
    return importlib.import_module("numpy")


def _matrix(vectors: Any, what: str = "vectors") -> Any:
    numpy = _numpy()
    matrix = numpy.asarray(vectors)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise FormatError(f"{what}: a matrix of one vector a row is needed, not the shape {matrix.shape}")
    return matrix


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """What a library says of a damaged file, as a FormatError. What the system says (OSError) is left alone."""
    try:
        yield
    except (FormatError, OSError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise FormatError(f"{path}: {error}") from None


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """A file that takes the place of another once it is whole: the vectors may be mapped from the old one."""
    new = f"{path}.{os.getpid()}.new"
    try:
        with open(new, "wb") as file:
            yield file
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(new)
        raise


@contextlib.contextmanager
def _whole(db: Any) -> Iterator[None]:
    """All of it or nothing, whether a transaction is open or not; it stays open."""
    ours = not db.in_transaction
    if ours:
        db.execute("BEGIN")
    db.execute("SAVEPOINT sqlite_recommend_files")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK" if ours else "ROLLBACK TO sqlite_recommend_files")
        if not ours:
            db.execute("RELEASE sqlite_recommend_files")
        raise
    db.execute("RELEASE sqlite_recommend_files")


# ---- files of vectors ----

def _read_rows(path: str, kind: str) -> Any:
    numpy = _numpy()
    raw = numpy.memmap(path, "u1", "r") if os.path.getsize(path) else numpy.zeros(0, "u1")
    if len(raw) < 4:
        raise FormatError(f"{path}: too short for a vector")
    d = int(raw[:4].view("<i4")[0])
    size = 4 + d * numpy.dtype(kind).itemsize
    if d <= 0 or len(raw) % size:
        raise FormatError(f"{path}: {len(raw)} bytes are no whole number of vectors of {d} elements")
    rows = raw.reshape(-1, size)
    if not (rows[:, :4] == rows[0, :4]).all():
        raise FormatError(f"{path}: vectors of several lengths")
    return numpy.ascontiguousarray(rows[:, 4:]).view(kind)


def _read_block(path: str, kind: str) -> Any:
    numpy = _numpy()
    with open(path, "rb") as file:
        head = file.read(8)
    if len(head) < 8:
        raise FormatError(f"{path}: too short for its head of 8 bytes")
    n, d = struct.unpack("<II", head)
    if os.path.getsize(path) != 8 + n * d * numpy.dtype(kind).itemsize:
        raise FormatError(f"{path}: its head says {n} vectors of {d} elements, its size does not")
    return numpy.memmap(path, kind, "r", offset=8, shape=(n, d)) if n and d else numpy.zeros((n, d), kind)


def _read_parquet(path: str) -> Tuple[Optional[list], Any]:
    with _readable(path):
        frame = importlib.import_module("pandas").read_parquet(path)
    column = next((name for name in _VECTOR_NAMES if name in frame.columns), None)
    if column is None:
        raise FormatError(f"{path}: no column called {', '.join(_VECTOR_NAMES)} among {', '.join(map(str, frame.columns))}")
    if frame[column].isna().any():
        raise FormatError(f"{path}: {int(frame[column].isna().sum())} rows have no vector")
    if frame[column].map(len).nunique() > 1:
        raise FormatError(f"{path}: vectors of several lengths")
    ids = next((name for name in _ID_NAMES if name in frame.columns), None)
    return (frame[ids].tolist() if ids else None), _numpy().array(frame[column].tolist(), "<f4")


def _unknown(path: str, suffix: str) -> FormatError:
    return FormatError(f"{path}: unknown suffix {suffix!r} (.npy, .parquet, {', '.join([*_ROWS, *_BLOCKS])})")


def read_vectors(path: str) -> Tuple[Optional[list], Any]:
    """(ids, matrix of n x d) of a file, by its suffix: .npy, .fvecs .bvecs .ivecs, .fbin .u8bin .i8bin .ibin, or .parquet (a file or
    a folder) with a column `vector`, `embedding`, `features` or `factors` and perhaps one of ids. ids is None where the file has none.
    Elements keep their type; .npy and blocks are mapped, not read. FormatError where the file is damaged."""
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".npy":
        with _readable(path):
            return None, _matrix(_numpy().load(path, mmap_mode="r", allow_pickle=False), path)
    if suffix in _ROWS:
        return None, _read_rows(path, _ROWS[suffix])
    if suffix in _BLOCKS:
        return None, _read_block(path, _BLOCKS[suffix])
    if suffix == ".parquet" or os.path.isdir(path):
        return _read_parquet(path)
    raise _unknown(path, suffix)


def write_vectors(path: str, ids: Optional[Sequence], vectors: Any) -> None:
    """The other way, for the same suffixes; a file that is there is replaced once the new one is whole. ids are kept by Parquet alone.
    A type that the file cannot hold without loss is refused."""
    numpy, path, matrix = _numpy(), os.fspath(path), _matrix(vectors)
    suffix = os.path.splitext(path)[1].lower()
    kind = _ROWS.get(suffix) or _BLOCKS.get(suffix)
    if kind is None and suffix not in (".npy", ".parquet"):
        raise _unknown(path, suffix)
    stored = matrix.astype(kind or matrix.dtype)
    if not ((stored.astype(matrix.dtype) == matrix) | (matrix != matrix)).all():
        raise FormatError(f"{path}: {suffix} holds {numpy.dtype(kind).name}, and these vectors would lose something")
    with _replacing(path) as file:
        if suffix == ".npy":
            numpy.save(file, matrix)
        elif suffix == ".parquet":
            frame = {"id": list(ids) if ids is not None else range(len(matrix)), "vector": list(matrix)}
            importlib.import_module("pandas").DataFrame(frame).to_parquet(file)
        elif suffix in _ROWS:
            head = numpy.full((len(stored), 1), stored.shape[1], "<i4").view("u1")
            file.write(numpy.hstack([head, numpy.ascontiguousarray(stored).view("u1").reshape(len(stored), -1)]).tobytes())
        else:
            file.write(struct.pack("<II", *stored.shape))
            file.write(stored.tobytes())


# ---- a rec_index ----

def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _plain(keys: Iterable) -> Iterable:
    """NumPy's scalars as Python's."""
    return (key.item() if hasattr(key, "item") else key for key in keys)


def _is_there(db: Any, name: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (name,)).fetchone() is not None


def _columns(db: Any, name: str) -> Tuple[str, str]:
    """Of a rec_index the key's column (rowid, where it has no text key) and the vector's, as SQL names them."""
    row = db.execute("SELECT sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND sql LIKE 'CREATE VIRTUAL TABLE%'", (name,)).fetchone()
    if row is None or not re.search(r"\busing\s+rec_index\b", row[0], re.I):
        raise FormatError(f"no rec_index named {name!r}")
    vectors, texts = ([c for c, kind in db.execute("SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden = 0", (name,)) if kind == wanted] for wanted in ("BLOB", "TEXT"))
    # "id", [id], `id` or id, and then its type
    key = next((c for c in texts if re.search(r"""["\[`]?""" + re.escape(c) + r"""["\]`]?\s+text\s+primary\s+key""", row[0], re.I)), None)
    return _quoted(key) if key else "rowid", _quoted(vectors[0])


def load_index(db: Any, name: str, vectors: Any, ids: Optional[Sequence] = None, metric: str = "cosine", **options: Any) -> int:
    """Insert a matrix into a rec_index and return how many rows it took. Where there is none of that name it is made, with
    `embedding float[d]`, the metric and further options (index="HNSW32", storage="f16"). ids: integers (rowids; default 1 .. n), or
    texts, which become its text key `id`. One transaction, if none is open; nothing is kept of a failed one."""
    matrix = _matrix(vectors)
    keys = range(1, len(matrix) + 1) if ids is None else list(_plain(ids))
    if len(keys) != len(matrix):
        raise FormatError(f"{len(keys)} ids for {len(matrix)} vectors")
    texts = len(keys) > 0 and isinstance(keys[0], str)
    with _whole(db):
        if not _is_there(db, name):
            arguments = ["id text primary key"] if texts else []
            arguments += [f"embedding float[{matrix.shape[1]}]", *(f"{option}={_literal(value)}" for option, value in {"metric": metric, **options}.items())]
            db.execute(f"CREATE VIRTUAL TABLE {_quoted(name)} USING rec_index({', '.join(arguments)})")
        key, column = _columns(db, name)
        db.executemany(f"INSERT INTO {_quoted(name)}({key}, {column}) VALUES(?, ?)", ((k, vector(row)) for k, row in zip(keys, matrix)))
    return len(matrix)


def index_vectors(db: Any, name: str) -> Tuple[list, Any]:
    """(ids, matrix of float32) of all rows of a rec_index that have a vector, in the order of its rowids; ids are its text keys where
    it has them."""
    key, column = _columns(db, name)
    rows = db.execute(f"SELECT {key}, {column} FROM {_quoted(name)} WHERE {column} IS NOT NULL ORDER BY rowid").fetchall()
    d = 1 if rows else db.execute("SELECT dimensions FROM rec_indexes WHERE name = ? COLLATE NOCASE", (name,)).fetchone()[0]
    return [row[0] for row in rows], _stacked([row[1] for row in rows], d)


def _stacked(blobs: Sequence[bytes], d: int = 1) -> Any:
    return _numpy().frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), -1 if blobs else d)


# ---- factors ----

def _read_factors(source: Any) -> Dict[str, Any]:
    """{"user": (keys or None, matrix), "item": ...} of implicit's file or model, or of Spark's ALS as a folder."""
    if hasattr(source, "item_factors") and hasattr(source, "user_factors"):
        found = {which: getattr(source, f"{which}_factors") for which in ("user", "item")}
        return {which: (None, _numpy().asarray(factors.to_numpy() if hasattr(factors, "to_numpy") else factors)) for which, factors in found.items()}
    path = os.fspath(source)
    if os.path.isdir(path):
        return {which: _read_parquet(os.path.join(path, f"{which}Factors")) for which in ("user", "item")}
    with _readable(path):
        archive = _numpy().load(path, allow_pickle=False)
        if not {"user_factors", "item_factors"} <= set(getattr(archive, "files", ())):
            raise FormatError(f"{path}: no user_factors and item_factors in it, but {', '.join(getattr(archive, 'files', ['one array']))}")
        with archive:
            return {which: (None, archive[f"{which}_factors"]) for which in ("user", "item")}


def load_factors(db: Any, name: str, source: Any, users: Optional[Sequence] = None, items: Optional[Sequence] = None) -> Tuple[int, int]:
    """Factors that were trained elsewhere, to be asked here: a table NAME_users(user, vector) and a rec_index NAME_items with the inner
    product. source: a model of implicit or the file of its save(), or the folder of Spark's ALSModel.save(). users, items: the key of
    each row, where the source has only numbers of rows (implicit). Returns how many users and items. All of it is made, or nothing.
    A customer's list (id: rowid where keys are integers):

        SELECT id, score FROM NAME_items WHERE embedding MATCH (SELECT vector FROM NAME_users WHERE user = ?) AND k = 10"""
    factors = _read_factors(source)
    (user_keys, user_matrix), (item_keys, item_matrix) = factors["user"], factors["item"]
    user_keys = list(_plain(users if users is not None else user_keys if user_keys is not None else range(len(user_matrix))))
    item_keys = items if items is not None else item_keys if item_keys is not None else range(len(item_matrix))
    user_matrix, item_matrix = _matrix(user_matrix, "users' factors"), _matrix(item_matrix, "items' factors")
    if len(user_keys) != len(user_matrix) or len(item_keys) != len(item_matrix) or user_matrix.shape[1] != item_matrix.shape[1]:
        raise FormatError(f"{len(user_keys)} keys for {len(user_matrix)} users of {user_matrix.shape[1]} factors, {len(item_keys)} for {len(item_matrix)} items of {item_matrix.shape[1]}")
    with _whole(db):
        db.execute(f"CREATE TABLE {_quoted(name + '_users')}(user PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")
        db.executemany(f"INSERT INTO {_quoted(name + '_users')} VALUES(?, ?)", ((key, vector(row)) for key, row in zip(user_keys, user_matrix)))
        return len(user_keys), load_index(db, name + "_items", item_matrix, item_keys, metric="ip")


def _write_spark(path: str, factors: Dict[str, Tuple[list, Any]]) -> None:
    """What ALSModel.load() reads: metadata, and two folders of Parquet with columns id INT, features ARRAY<FLOAT>."""
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    rank = factors["item"][1].shape[1]
    names = {"userCol": "user", "itemCol": "item", "predictionCol": "prediction", "coldStartStrategy": "nan", "blockSize": 4096}
    metadata = {"class": "org.apache.spark.ml.recommendation.ALSModel", "timestamp": 0, "sparkVersion": "3.5.0", "uid": "ALS_sqlite_recommend",
                "paramMap": {}, "defaultParamMap": names, "rank": rank}
    os.makedirs(path)
    for folder in ("metadata", "userFactors", "itemFactors"):
        os.makedirs(os.path.join(path, folder))
    with open(os.path.join(path, "metadata", "part-00000"), "w", encoding="utf-8") as file:
        file.write(json.dumps(metadata) + "\n")
    for which, (keys, matrix) in factors.items():
        table = pyarrow.table({"id": pyarrow.array(keys, pyarrow.int32()), "features": pyarrow.array(list(matrix), pyarrow.list_(pyarrow.float32()))})
        parquet.write_table(table, os.path.join(path, f"{which}Factors", "part-00000.parquet"))


def save_factors(db: Any, name: str, path: str) -> Tuple[list, list]:
    """The way back of load_factors, also after rows were changed here: NAME_users and NAME_items as the file of implicit's save()
    (path ends with .npz) or as a new folder for Spark's ALSModel.load(), whose ids are whole numbers below 2^31. Returns the keys of
    users and of items in the order of their rows, which implicit's file does not keep."""
    users = db.execute(f"SELECT user, vector FROM {_quoted(name + '_users')} ORDER BY user").fetchall()
    factors = {"user": ([row[0] for row in users], _stacked([row[1] for row in users])), "item": index_vectors(db, name + "_items")}
    if factors["user"][1].shape[1] != factors["item"][1].shape[1]:
        raise FormatError(f"{name}: users of {factors['user'][1].shape[1]} factors, items of {factors['item'][1].shape[1]}")
    if path.endswith(".npz"):
        with _replacing(path) as file:
            _numpy().savez(file, user_factors=factors["user"][1], item_factors=factors["item"][1], factors=factors["item"][1].shape[1])
    else:
        for which, (keys, _) in factors.items():
            bad = next((key for key in keys if not isinstance(key, int) or not -2 ** 31 <= key < 2 ** 31), None)
            if bad is not None:
                raise FormatError(f"{which} {bad!r}: Spark's ids are whole numbers below 2^31")
        if os.path.exists(path):
            raise FormatError(f"{path}: is there already")
        _write_spark(path, factors)
    return factors["user"][0], factors["item"][0]


def item_factors(db: Any, model: str, version: Optional[int] = None) -> Tuple[list, Any]:
    """(items, matrix) of a rec_model with factors (ials, bpr, mf, sequence ...). A version holds no user, so there are no users'."""
    rows = db.execute("SELECT item, vector FROM rec_item_vectors(?" + (", ?)" if version else ")"), (model, version) if version else (model,)).fetchall()
    return [row[0] for row in rows], _stacked([row[1] for row in rows])


# ---- FAISS ----

def write_faiss(path: str, ids: Sequence[int], vectors: Any, metric: str = "cosine") -> None:
    """A file for faiss.read_index: an IndexIDMap over an IndexFlat, exact, with these ids (whole numbers). cosine is the inner product
    over vectors of length 1, as FAISS has it: give it queries of length 1. For another structure read the file and hand its vectors
    to faiss.index_factory. The format is that of FAISS 1.5 and later (faiss/impl/index_write.cpp)."""
    numpy, matrix = _numpy(), _matrix(vectors).astype("<f4")
    if metric not in ("cosine", "ip", "l2"):
        raise FormatError(f"metric={metric} (cosine, ip, l2)")
    if len(ids) != len(matrix) or not all(isinstance(key, int) for key in _plain(ids)):
        raise FormatError("FAISS names a row by a whole number: give one for each vector")
    if metric == "cosine":
        length = numpy.linalg.norm(matrix.astype("f8"), axis=1, keepdims=True)
        matrix = (matrix / numpy.where(length > 0, length, 1)).astype("<f4")
    n, d = matrix.shape
    # int d; idx_t ntotal; two idx_t that are not used; bool is_trained; int metric (0: inner product, 1: L2)
    head = struct.pack("<iqqq?i", d, n, 1 << 20, 1 << 20, True, 1 if metric == "l2" else 0)
    with _replacing(os.fspath(path)) as file:
        file.write(b"IxMp" + head + (b"IxF2" if metric == "l2" else b"IxFI") + head + struct.pack("<Q", n * d))
        file.write(matrix.tobytes())
        file.write(struct.pack("<Q", n) + numpy.array(list(_plain(ids)), "<i8").tobytes())
