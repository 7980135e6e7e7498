"""Runs the test_* functions of tests/python/test_*.py in the environment that the wheel is installed in (run.sh)."""
import glob
import importlib
import os
import sys
import tempfile
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def main(part=""):
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        for name, function in list(vars(module).items()):
            if not name.startswith("test_") or part not in name:
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    function(folder)
                    counts["passed"] += 1
                except unittest.SkipTest as reason:
                    counts["skipped"] += 1
                    print(f"SKIP {name}: {reason}")
                except Exception:
                    counts["failed"] += 1
                    print(f"FAIL {name}:\n{traceback.format_exc()}")
    print(f"{counts['passed']} passed, {counts['failed']} failed" + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
