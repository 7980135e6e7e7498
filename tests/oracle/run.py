#!/usr/bin/python3
"""Oracle tests: results of the extension against NumPy, SciPy and plain Python.

    tests/oracle/run.py BUILD [WORD ...]     only the claims and modules whose name contains a word, if there are words

Prints a line for each failure and skip, and as its last line "N passed, N failed[, N skipped]"."""
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's own threads would only disturb the extension's

import importlib
import pathlib
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import support


def last_line_of(error):
    """Where in the tests it went wrong."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if pathlib.Path(frame.filename).parent == HERE]
    return f"{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def main(build, *words):
    support.extension = (support.ROOT / build / "recommend.so").resolve()
    passed = failed = skipped = 0
    for path in sorted(HERE.glob("test_*.py")):
        support.claims.clear()
        importlib.import_module(path.stem)
        started = time.monotonic()
        n = 0
        for name, check in list(support.claims):
            if words and not any(word in f"{path.stem}.{name}" for word in words):
                continue
            n += 1
            try:
                check()
                passed += 1
            except support.Skip as why:
                skipped += 1
                print(f"SKIP {name}: {why}")
            except Exception as error:  # an error of SQLite is a failure too
                failed += 1
                kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
                print(f"FAIL {name}: {kind}{error} ({last_line_of(error)})")
            sys.stdout.flush()
        if n:
            print(f"{path.stem}: {n} claims, {time.monotonic() - started:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("run.py BUILD [WORD ...]")
    sys.exit(main(*sys.argv[1:]))
