"""What a long statement is at, while it runs, and how to stop it."""
import os
import signal
import sys
import threading
from typing import Any, Callable, Dict, Optional

COLUMNS = ("job", "name", "phase", "done", "total", "unit", "seconds", "seconds_left")


class progress:
    """Show what the connection's statements are at, and let Ctrl-C, or a notebook's stop button, end them.

        with sqlite_recommend.progress(db):
            db.execute("INSERT INTO recs(recs) VALUES('train')")

    show: called with a dict of a row of rec_progress (job, name, phase, done, total, unit, seconds, seconds_left) `every` so many
    seconds, and with None at the end; default: a bar of tqdm where tqdm is installed, else lines on stderr.
    A statement that is stopped ends with the error "interrupted", and leaves everything as it was; in the main thread
    KeyboardInterrupt follows. stop() does the same from another thread."""

    def __init__(self, connection: Any, show: Optional[Callable[[Optional[Dict[str, Any]]], None]] = None, every: float = 0.2) -> None:
        self._connection, self._every = connection, every
        self._show = show or _default_show()
        self._jobs_before: set = set()

    def stop(self) -> None:
        """Interrupt the statement that runs; may be called from any thread."""
        self._connection.interrupt()

    def __enter__(self) -> "progress":
        self._done = threading.Event()
        self._late, self._pipe, self._threads = False, (), []
        self._watcher_connection = _watcher(self._connection)
        self._jobs_before = {row["job"] for row in self._rows()}
        self._start(self._watch)
        try:
            self._catch_interrupts()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)

    def __exit__(self, *error: Any) -> None:
        self._done.set()
        if self._pipe:
            signal.set_wakeup_fd(self._other_fd)
            os.write(self._pipe[1], b"\0")
        for thread in self._threads:
            thread.join()
        for fd in self._pipe:
            os.close(fd)
        self._watcher_connection.close()
        try:
            self._show(None)
        finally:
            if self._pipe:
                signal.signal(signal.SIGINT, self._other_handler)
            if self._late:
                self._other_handler(signal.SIGINT, None)

    def _rows(self) -> list:
        found = self._watcher_connection.execute(f"SELECT {', '.join(COLUMNS)} FROM rec_progress ORDER BY job DESC").fetchall()
        return [dict(zip(COLUMNS, row)) for row in found]

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            rows = [row for row in self._rows() if row["job"] not in self._jobs_before]
            if rows:
                self._show(rows[0])

    def _catch_interrupts(self) -> None:
        """Python acts on a signal between two of its own instructions, so not while a statement runs: the byte that the signal
        writes at once wakes a thread that interrupts the statement."""
        self._other_handler: Any = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(self._other_handler):
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._other_fd = -1
            self._start(self._wait_for_interrupt)
            signal.signal(signal.SIGINT, self._on_interrupt)
            self._other_fd = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)

    def _on_interrupt(self, number: int, frame: Any) -> None:
        """As ever, but that __exit__, which the signal's first chance mostly is, comes to its end first."""
        while frame is not None and frame.f_code is not progress.__exit__.__code__:
            frame = frame.f_back
        self._late = frame is not None
        if not self._late:
            self._other_handler(number, frame)

    def _wait_for_interrupt(self) -> None:
        while True:
            number = os.read(self._pipe[0], 1)
            if self._done.is_set():
                return
            if self._other_fd >= 0:  # an event loop waits for it too
                os.write(self._other_fd, number)
            if number[0] == signal.SIGINT:
                self.stop()


def _watcher(connection: Any) -> Any:
    """A connection of the same SQLite library, used by the watching thread alone."""
    import importlib

    from ._load import load
    kinds = [kind.__module__.split(".")[0] for kind in type(connection).__mro__]  # it may be a class of the caller's own
    name = next((kind for kind in kinds if kind in ("sqlite3", "_sqlite3", "pysqlite3", "sqlean", "apsw")), None)
    if name is None:
        raise TypeError(f"progress() takes a connection of sqlite3, pysqlite3, sqlean or apsw, not {type(connection)}")
    module = importlib.import_module(name.lstrip("_"))
    if module.__name__ == "apsw":
        return load(module.Connection(":memory:"))
    return load(module.connect(":memory:", check_same_thread=False))


def _default_show() -> Callable[[Optional[Dict[str, Any]]], None]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Lines()
    return _Bar(tqdm)


class _Bar:
    """A bar for each phase of each job."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm, self._bar, self._key = tqdm, None, None

    def __call__(self, row: Optional[Dict[str, Any]]) -> None:
        key = row and (row["job"], row["phase"])
        if self._bar is not None and key != self._key:
            self._bar.close()
            self._bar = None
        self._key = key
        if row is None:
            return
        if self._bar is None:
            self._bar = self._tqdm(total=row["total"] or None, desc=f"{row['name']}: {row['phase']}", unit=" " + row["unit"], leave=False)
        self._bar.update(row["done"] - self._bar.n)


class _Lines:
    """A line on stderr whenever the phase changes, and every five seconds."""

    def __init__(self) -> None:
        self._last = (None, -5.0)

    def __call__(self, row: Optional[Dict[str, Any]]) -> None:
        if row is None or (row["phase"] == self._last[0] and row["seconds"] - self._last[1] < 5):
            return
        self._last = (row["phase"], row["seconds"])
        total = f" of {row['total']}" if row["total"] else ""
        print(f"{row['name']}: {row['phase']}, {row['done']}{total} {row['unit']}", file=sys.stderr, flush=True)
