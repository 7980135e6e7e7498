"""NumPy's numbers and arrays as parameters of statements.

Left alone, sqlite3 binds numpy.int64(7) as a BLOB of eight bytes, which equals no key, and an array of float64 as a vector of
twice its length."""
import array as arrays
import importlib
import sqlite3
import sys
from typing import Any, Iterable, Union


def vector(numbers: Union[Iterable[float], Any]) -> bytes:
    """A vector as the extension takes it: float32, little-endian, from a list, a tuple or a one-dimensional array."""
    if hasattr(numbers, "astype"):
        if numbers.ndim != 1:
            raise ValueError(f"a vector has one dimension, not {numbers.ndim}: give its rows one by one")
        return numbers.astype("<f4").tobytes()
    packed = arrays.array("f", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def array(blob: bytes) -> Any:
    """A vector that came out of a query, as a NumPy array of float32."""
    return importlib.import_module("numpy").frombuffer(blob, dtype="<f4")


def numpy_parameters(module: Any = sqlite3) -> None:
    """Let NumPy's integers, floats, booleans and one-dimensional arrays of numbers be parameters of every connection of `module`
    (sqlite3, pysqlite3): as INTEGER, REAL, 0 or 1, and as a float32 vector. connect() does this; without NumPy it does nothing."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        try:
            numpy = importlib.import_module("numpy")
        except ImportError:
            return
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        module.register_adapter(getattr(numpy, name), int)
    for name in ("float16", "float32", "float64"):
        module.register_adapter(getattr(numpy, name), float)
    module.register_adapter(numpy.bool_, int)
    module.register_adapter(numpy.str_, str)
    module.register_adapter(numpy.ndarray, vector)
