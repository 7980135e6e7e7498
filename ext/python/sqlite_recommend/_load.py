"""Loading the extension into the connections that people have."""
import importlib
import inspect
import os
import sqlite3
from typing import Any, TypeVar

LEAST_SQLITE = (3, 38, 0)
Target = TypeVar("Target")


class CannotLoad(RuntimeError):
    """The SQLite of this connection cannot load extensions, or is too old."""


def loadable_path() -> str:
    """The extension's path as SQLite's load_extension and the shell's .load take it (without .so)."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "recommend")


def load(target: Target) -> Target:
    """Load the extension into a connection, and return it.

    target: a Connection of sqlite3, pysqlite3, sqlean or apsw; of aiosqlite (`await load(db)`); an Engine or AsyncEngine of
    SQLAlchemy (every connection that it opens from now on); Django's `connection` (for all connections put
    "sqlite_recommend.django" into INSTALLED_APPS). Loading twice is no error. Afterwards SQL may not load further extensions.

    Raises CannotLoad where the SQLite of the connection loads no extensions; what SQLite itself says comes as its error."""
    kind = type(target).__module__.split(".")[0]
    if kind == "sqlalchemy":
        return _load_engine(target)
    if kind == "django":
        target.ensure_connection()  # type: ignore[attr-defined]
        load(target.connection)  # type: ignore[attr-defined]
        return target
    if inspect.iscoroutinefunction(getattr(target, "load_extension", None)):
        return _load_async(target)  # type: ignore[return-value]
    return _load_now(target)


def _allow(target: Any, name: str) -> Any:
    """The connection's own name for it: apsw had others before it took those of sqlite3."""
    method = getattr(target, name, None) or getattr(target, name.replace("_", ""), None)
    if method is None:
        raise CannotLoad(f"{type(target).__module__}.{type(target).__name__} cannot load extensions: this Python was built without them. "
                         "sqlite_recommend.connect() finds an SQLite that can (pip install 'sqlite-recommend[connect]'), and so does apsw.")
    return method


def _load_now(target: Any) -> Any:
    allow, run = _allow(target, "enable_load_extension"), _allow(target, "load_extension")
    allow(True)
    try:
        run(loadable_path())
    finally:
        allow(False)
    return target


async def _load_async(target: Any) -> Any:
    await target.enable_load_extension(True)
    try:
        await target.load_extension(loadable_path())
    finally:
        await target.enable_load_extension(False)
    return target


def _load_engine(engine: Any) -> Any:
    event = importlib.import_module("sqlalchemy").event

    def opened(connection: Any, record: Any) -> None:
        if hasattr(connection, "run_async"):  # an aiosqlite connection behind a synchronous face
            connection.run_async(load)
        else:
            load(connection)

    event.listen(getattr(engine, "sync_engine", engine), "connect", opened)
    return engine


def _able(module: Any) -> bool:
    return hasattr(module.Connection, "enable_load_extension") and module.sqlite_version_info >= LEAST_SQLITE


def connect(database: str, **options: Any) -> sqlite3.Connection:
    """A connection with the extension loaded: like sqlite3.connect, whose options it takes, but of pysqlite3 or sqlean where the
    interpreter's own sqlite3 loads no extensions or is older than 3.38 (pip install 'sqlite-recommend[connect]').

    NumPy's numbers and vectors may be parameters (numpy_parameters). Raises CannotLoad where none of the three is able."""
    from ._parameters import numpy_parameters
    for name in ("sqlite3", "pysqlite3", "sqlean"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if _able(module):
            numpy_parameters(module)
            return load(module.connect(database, **options))
    raise CannotLoad("this Python's sqlite3 loads no extensions, or is older than 3.38, and pysqlite3 is not there: pip install 'sqlite-recommend[connect]'")
