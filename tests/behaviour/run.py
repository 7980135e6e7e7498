"""Runs every test_* function of the modules beside this file against BUILD_DIR/recommend.so.

Usage: run.py BUILD_DIR [PART_OF_A_NAME]     last line: "N passed, N failed"
Each module runs in a process of its own, so that a crash fails one module and not the run. A test takes one argument,
a Shop (support.py), with a fresh temporary folder."""
import glob, importlib, os, subprocess, sys, tempfile, traceback

HERE = os.path.dirname(os.path.abspath(__file__))


def run_module(name, part):
    sys.path.insert(0, HERE)
    support, module = importlib.import_module("support"), importlib.import_module(name)
    passed = failed = 0
    for test, function in list(vars(module).items()):
        if not test.startswith("test_") or part not in test:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(support.Shop(folder))
                passed += 1
            except Exception:
                failed += 1
                print(f"FAIL {name}.{test}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)


def main():
    build, part = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    os.environ["REC_EXTENSION"] = os.path.abspath(os.path.join(build, "recommend"))
    passed = failed = 0
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        name = os.path.basename(path)[:-3]
        run = subprocess.run([sys.executable, __file__, "--module", name, part], capture_output=True, text=True)
        lines = run.stdout.strip().splitlines() or [""]
        try:
            here_passed, here_failed = (int(word.split()[0]) for word in lines[-1].split(", "))
        except ValueError:
            here_passed, here_failed = 0, 1
            print(f"FAIL {name} ended with code {run.returncode}\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        print("\n".join(line for line in lines[:-1]))
        passed, failed = passed + here_passed, failed + here_failed
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if len(sys.argv) > 2 and sys.argv[1] == "--module":
    run_module(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
else:
    main()
