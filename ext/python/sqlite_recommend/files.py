"""Vectors in and out, as other tools keep them: .npy, .fvecs, .fbin and their kin, Parquet, the factors of implicit and of Spark, FAISS.

    ids, vectors = files.read_vectors("images.npy")
    files.load_index(db, "looks", vectors, ids, metric="cosine")
    files.write_vectors("looks.fvecs", *files.index_vectors(db, "looks"))
    files.load_factors(db, "als", "als.npz", users=user_keys, items=item_keys)
    files.write_faiss("looks.faiss", *files.index_vectors(db, "looks"), metric="cosine")

NumPy is needed, and pandas (with pyarrow) for Parquet. Nothing is committed: db.commit() is yours."""
import importlib
import os
import re
import struct
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

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
    frame = importlib.import_module("pandas").read_parquet(path)
    column = next((name for name in _VECTOR_NAMES if name in frame.columns), None)
    if column is None:
        raise FormatError(f"{path}: no column called {', '.join(_VECTOR_NAMES)} among {', '.join(map(str, frame.columns))}")
    if frame[column].map(len).nunique() > 1:
        raise FormatError(f"{path}: vectors of several lengths")
    ids = next((name for name in _ID_NAMES if name in frame.columns), None)
    return (frame[ids].tolist() if ids else None), _numpy().array(frame[column].tolist(), "<f4")


def read_vectors(path: str) -> Tuple[Optional[list], Any]:
    """(ids, matrix of n x d) of a file, by its suffix: .npy, .fvecs .bvecs .ivecs, .fbin .u8bin .i8bin .ibin, or .parquet (a file or
    a folder) with a column `vector`, `embedding`, `features` or `factors` and perhaps one of ids. ids is None where the file has none.
    Elements keep their type; .npy and blocks are mapped, not read. FormatError where the file is damaged."""
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".npy":
        try:
            return None, _matrix(_numpy().load(path, mmap_mode="r", allow_pickle=False), path)
        except (ValueError, EOFError, OSError) as error:
            if isinstance(error, (FormatError, FileNotFoundError)):
                raise
            raise FormatError(f"{path}: {error}") from None
    if suffix in _ROWS:
        return None, _read_rows(path, _ROWS[suffix])
    if suffix in _BLOCKS:
        return None, _read_block(path, _BLOCKS[suffix])
    if suffix == ".parquet" or os.path.isdir(path):
        return _read_parquet(path)
    raise FormatError(f"{path}: unknown suffix {suffix!r} (.npy, .parquet, {', '.join([*_ROWS, *_BLOCKS])})")


def write_vectors(path: str, ids: Optional[Sequence], vectors: Any) -> None:
    """The other way, for the same suffixes. ids are kept by Parquet alone. A type that the file cannot hold without loss is refused."""
    numpy, path, matrix = _numpy(), os.fspath(path), _matrix(vectors)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".npy":
        numpy.save(path, matrix)
        return
    if suffix == ".parquet":
        frame = {"id": list(ids) if ids is not None else range(len(matrix)), "vector": list(matrix)}
        importlib.import_module("pandas").DataFrame(frame).to_parquet(path)
        return
    kind = _ROWS.get(suffix) or _BLOCKS.get(suffix)
    if kind is None:
        raise FormatError(f"{path}: unknown suffix {suffix!r} (.npy, .parquet, {', '.join([*_ROWS, *_BLOCKS])})")
    stored = matrix.astype(kind)
    if not (stored == matrix).all():
        raise FormatError(f"{path}: {suffix} holds {numpy.dtype(kind).name}, and these vectors would lose something")
    with open(path, "wb") as file:
        if suffix in _ROWS:
            head = numpy.full((len(stored), 1), stored.shape[1], "<i4").view("u1")
            numpy.hstack([head, numpy.ascontiguousarray(stored).view("u1").reshape(len(stored), -1)]).tofile(file)
        else:
            file.write(struct.pack("<II", *stored.shape))
            stored.tofile(file)


# ---- a rec_index ----

def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(keys: Iterable) -> Iterable:
    """NumPy's scalars as Python's."""
    return (key.item() if hasattr(key, "item") else key for key in keys)


def _vector_column(db: Any, name: str) -> Tuple[str, Optional[str]]:
    """The vector column of a rec_index, and its text key if it has one."""
    row = db.execute("SELECT sql FROM sqlite_master WHERE name = ? AND sql LIKE '%rec_index%'", (name,)).fetchone()
    if row is None:
        raise FormatError(f"no rec_index named {name!r}")
    column = db.execute("SELECT name FROM pragma_table_xinfo(?) WHERE type = 'BLOB' AND hidden = 0", (name,)).fetchone()[0]
    key = re.search(r'("(?:[^"]|"")+"|\w+)\s+text\s+primary\s+key', row[0], re.I)
    return _quoted(column), key.group(1) if key else None


def load_index(db: Any, name: str, vectors: Any, ids: Optional[Sequence] = None, metric: str = "cosine", **options: Any) -> int:
    """Insert a matrix into a rec_index and return how many rows it took. Where there is none of that name it is made, with
    `embedding float[d]`, the metric and further options (index="HNSW32", storage="f16"). ids: integers (rowids; default 1 .. n), or
    texts, which become its text key `id`. One transaction, if none is open; nothing is kept of a failed one."""
    matrix = _matrix(vectors)
    keys = range(1, len(matrix) + 1) if ids is None else list(_plain(ids))
    if len(keys) != len(matrix):
        raise FormatError(f"{len(keys)} ids for {len(matrix)} vectors")
    texts = len(keys) > 0 and isinstance(keys[0], str)
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone():
        more = "".join(f", {option}='{value}'" for option, value in {"metric": metric, **options}.items())
        db.execute(f"CREATE VIRTUAL TABLE {_quoted(name)} USING rec_index({'id text primary key, ' if texts else ''}embedding float[{matrix.shape[1]}]{more})")
    column, key = _vector_column(db, name)
    db.executemany(f"INSERT INTO {_quoted(name)}({key or 'rowid'}, {column}) VALUES(?, ?)", ((k, vector(row)) for k, row in zip(keys, matrix)))
    return len(matrix)


def index_vectors(db: Any, name: str) -> Tuple[list, Any]:
    """(ids, matrix of float32) of all rows of a rec_index that have a vector, in the order of its rowids; ids are its text keys where
    it has them."""
    column, key = _vector_column(db, name)
    rows = db.execute(f"SELECT {key or 'rowid'}, {column} FROM {_quoted(name)} WHERE {column} IS NOT NULL ORDER BY rowid").fetchall()
    return [row[0] for row in rows], _stacked([row[1] for row in rows])


def _stacked(blobs: Sequence[bytes]) -> Any:
    numpy = _numpy()
    return numpy.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), -1) if blobs else numpy.zeros((0, 0), "<f4")


# ---- factors ----

def _read_factors(source: Any) -> Dict[str, Any]:
    """{"user": (keys or None, matrix), "item": ...} of implicit's file or model, or of Spark's ALS as a folder."""
    if hasattr(source, "item_factors") and hasattr(source, "user_factors"):
        found = {which: getattr(source, f"{which}_factors") for which in ("user", "item")}
        return {which: (None, _numpy().asarray(factors.to_numpy() if hasattr(factors, "to_numpy") else factors)) for which, factors in found.items()}
    path = os.fspath(source)
    if os.path.isdir(path):
        return {which: _read_parquet(os.path.join(path, f"{which}Factors")) for which in ("user", "item")}
    with _numpy().load(path, allow_pickle=False) as archive:
        if not {"user_factors", "item_factors"} <= set(archive.files):
            raise FormatError(f"{path}: no user_factors and item_factors in it, but {', '.join(archive.files)}")
        return {which: (None, archive[f"{which}_factors"]) for which in ("user", "item")}


def load_factors(db: Any, name: str, source: Any, users: Optional[Sequence] = None, items: Optional[Sequence] = None) -> Tuple[int, int]:
    """Factors that were trained elsewhere, to be asked here: a table NAME_users(user, vector) and a rec_index NAME_items with the inner
    product. source: a model of implicit or the file of its save(), or the folder of Spark's ALSModel.save(). users, items: the key of
    each row, where the source has only numbers of rows (implicit). Returns how many users and items. A customer's list:

        SELECT id, score FROM NAME_items WHERE embedding MATCH (SELECT vector FROM NAME_users WHERE user = ?) AND k = 10"""
    factors = _read_factors(source)
    (user_keys, user_matrix), (item_keys, item_matrix) = factors["user"], factors["item"]
    user_keys = list(_plain(users if users is not None else user_keys if user_keys is not None else range(len(user_matrix))))
    item_keys = items if items is not None else item_keys if item_keys is not None else range(len(item_matrix))
    if len(user_keys) != len(user_matrix) or user_matrix.shape[1] != item_matrix.shape[1]:
        raise FormatError(f"{len(user_keys)} keys for {len(user_matrix)} users of {user_matrix.shape[1]} factors, items of {item_matrix.shape[1]}")
    db.execute(f"CREATE TABLE {_quoted(name + '_users')}(user PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")
    db.executemany(f"INSERT INTO {_quoted(name + '_users')} VALUES(?, ?)", ((key, vector(row)) for key, row in zip(user_keys, user_matrix)))
    return len(user_keys), load_index(db, name + "_items", item_matrix, item_keys, metric="ip")


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
    with open(path, "wb") as file:
        file.write(b"IxMp" + head + (b"IxF2" if metric == "l2" else b"IxFI") + head + struct.pack("<Q", n * d))
        matrix.tofile(file)
        file.write(struct.pack("<Q", n) + numpy.array(list(_plain(ids)), "<i8").tobytes())
